/*
 * remaining.h - how far a plan is and how long the rest takes. Pure arithmetic over the plan and
 * what is known of each step, so that whoever runs a plan and whoever looks on tell one story.
 */
#ifndef ASSAY_REMAINING_H
#define ASSAY_REMAINING_H

#include "harness/plan.h"

struct step_state {
	int running, ended, failed; /* failed: ended in another word than `done` */
	double started;             /* of a running step, by the clock that `now` is read from */
};

struct remaining {
	int total, done, running, failed;
	int step;    /* the last in the plan that runs now, -1: none */
	int phase;   /* the first with a step that has no end; phase_count when all have one */
	double left; /* seconds, by the plan's expected times */
};

/* at: one for each step of the plan. */
struct remaining plan_remaining(const struct plan *p, const struct step_state *at, double now);

/* What happens, for a progress display. Times in seconds. */
struct progress {
	const char *phase; /* "" behind the last one */
	const char *step;  /* one that runs now; NULL: none */
	int running, done, total;
	double elapsed, left; /* left: by the plan's expected times */
	int failed;           /* steps that did not end in `done` */
};

/* All of it that plan and steps say; the caller fills in `elapsed` and `failed`. */
struct progress plan_progress(const struct plan *p, const struct step_state *at, int phase,
			      double now);

/* A repeat that a journal names ("PHASE/CHECK#2/NODE") is planned again. Its index, or -1. */
int plan_recall(struct plan *p, const char *id);

#endif
