/*
 * schedule.h - which step may start now.
 *
 * The one place that knows the rules: what steps occupy on a node, that a batch of joint steps
 * starts as a whole and shares no leaf with another, how much power racks carry and how fast load
 * may grow. `assay plan` plays it in virtual time, the controller in real time, so the two cannot
 * tell different stories.
 */
#ifndef ASSAY_SCHEDULE_H
#define ASSAY_SCHEDULE_H

#include "harness/plan.h"

struct schedule;

/* All is lent. No node is ready and no phase is open. */
struct schedule *schedule_new(const struct spec *s, const struct fleet *f, const struct plan *p);
void schedule_free(struct schedule *s);
/* The plan has grown by repeats. */
void schedule_grow(struct schedule *s);

/* Steps of this phase and of those before it may start. */
void schedule_open(struct schedule *s, int phase, double now);
void schedule_ready(struct schedule *s, int node); /* it takes steps from now on */
/*
 * The next step that may start now; it counts as running from here on. -1: none. Members of a batch
 * come out one behind the other.
 */
int schedule_next(struct schedule *s, double now);
/* A step is over, or will never run. */
void schedule_close(struct schedule *s, int step);
/* A step that was over is to be done again, whatever phase is open. */
void schedule_reopen(struct schedule *s, int step);
/* When to ask again though nothing ends until then; INFINITY: not by time. */
double schedule_wake(const struct schedule *s);

int schedule_left(const struct schedule *s, int phase); /* steps up to it that are not over */
int schedule_is_running(const struct schedule *s, int step);
int schedule_is_closed(const struct schedule *s, int step);
/* Steps of a node in plan order: *count of them. */
const int *schedule_of_node(const struct schedule *s, int node, int *count);

/* What the running steps of this rack draw above idle; rack -1: of the whole site. */
double schedule_watts(const struct schedule *s, int rack);

/* A leaf: one rail of one scalable unit, or of all nodes of which no unit is known. */
int schedule_leaf(const struct fleet *f, const struct step *s, int rail);

/* Plays all of the plan's first round and fills its seconds, bound, energy and peaks. */
void schedule_expect(const struct spec *s, const struct fleet *f, struct plan *p);

#endif
