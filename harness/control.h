/*
 * control.h - runs a plan: agents, phases, deadlines, repeats, and every line into the journal.
 *
 * Nothing here measures or judges by itself; it asks judge() what is undecided and plan_extend()
 * for repeats. It never waits without a deadline.
 */
#ifndef ASSAY_CONTROL_H
#define ASSAY_CONTROL_H

#include "harness/judge.h"
#include "harness/launch.h"
#include "harness/remaining.h"

struct control {
	const struct spec *spec;
	const struct fleet *fleet;
	const struct profile *profile;
	struct plan *plan;       /* grows by repeats */
	struct results *results; /* of what the journal held before; grows */
	struct journal *journal;
	const char *run; /* the folder, for telemetry; NULL: none is kept */
	const struct launcher *launcher;
	struct launch launch;
	/* NULL: quiet. Called about twice a second, and when a step ends. */
	void (*progress)(void *arg, const struct progress *p);
	/* NULL: quiet. Each line of the journal as it is written. */
	void (*line)(void *arg, const char *line);
	void *arg;
};

enum control_end { CONTROL_DONE, CONTROL_STOPPED, CONTROL_FAILED };

/*
 * Runs every step that has no end yet. STOPPED after SIGINT or SIGTERM: the journal is whole and
 * the run can be resumed. FAILED with err when the harness itself cannot go on (the journal's disk
 * is full).
 */
enum control_end control_run(struct control *c, struct error *err);

#endif
