/*
 * gates.h - who goes on behind a phase, and what that leaves open.
 *
 * A gate decides by the judgement of its phase; it runs nothing and writes nothing itself: what a
 * node takes no part in is ended through the caller.
 */
#ifndef ASSAY_GATES_H
#define ASSAY_GATES_H

#include "harness/judge.h"
#include "harness/schedule.h"

struct gates { /* all of it is lent */
	const struct fleet *fleet;
	const struct profile *profile;
	const struct plan *plan;
	const struct schedule *schedule;
	/* Ends a step that is not run any more. */
	void (*end)(void *arg, int step, enum end_word word, const char *why);
	void *arg;
};

/*
 * A member of a joint step is gone; `what` says how ("is lost"). Of a pair that has not begun
 * nobody is left, so the other one is ended too; a group meets without the one that is not there.
 */
void gates_end_partners(const struct gates *g, int step, enum end_word word, const char *what);
/* Ends what the gate behind this phase leaves out of later ones, as the profile wants it. */
void gates_pass(const struct gates *g, int phase, const struct judgement *j);

#endif
