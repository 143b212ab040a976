/*
 * scribe.h - writes the journal for the controller: lines of nodes as they came, and its own.
 *
 * When the journal refuses a line, `failed` is set with err and nothing more is written: what is
 * there then is whole, and a run that cannot keep its record must stop.
 */
#ifndef ASSAY_SCRIBE_H
#define ASSAY_SCRIBE_H

#include "harness/journal.h"
#include "harness/plan.h"

struct scribe { /* all of it is lent */
	struct journal *journal;
	struct results *results; /* what is written goes into them as well */
	const struct fleet *fleet;
	const struct plan *plan;
	/* NULL: quiet. Each line as it is written. */
	void (*line)(void *arg, const char *line);
	void *arg;
	struct error *err;
	int failed;
};

/* What a node said, as it came. */
void scribe_line(struct scribe *s, const struct event *ev, const char *line, size_t len);
/* node: -1 when it is about none. */
void scribe_note(struct scribe *s, int node, const char *text);
void scribe_start(struct scribe *s, int step);
/* An end that the agent could not give. */
void scribe_end(struct scribe *s, int step, enum end_word word, const char *why);
/* How far a node's clock is ahead of ours: times in its telemetry can then be set against ours. */
void scribe_clock(struct scribe *s, int node, double offset, double error);
/* What becomes of a node's telemetry; since: 0 if it is not about a time. */
void scribe_watch(struct scribe *s, int node, enum watch_word word, double since);
/* The clocks of nodes may be anything, so the end of the run needs a line by ours. */
void scribe_over(struct scribe *s);

#endif
