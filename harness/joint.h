/*
 * joint.h - steps that nodes run together: what members tell each other, and their common start.
 *
 * Members swap small texts (an address, a QP number, an NCCL id) through the controller, so that
 * our control plane opens no port. All members of a batch begin at the same time: when each has
 * said that it is ready, they are given a time a little ahead, by the controller's clock.
 */
#ifndef ASSAY_JOINT_H
#define ASSAY_JOINT_H

#include "harness/plan.h"
#include "harness/reach.h"
#include "harness/schedule.h"

struct joints;

struct joints *joints_new(const struct plan *p, const struct fleet *f, struct reach *reach,
			  const struct schedule *s);
void joints_free(struct joints *j);
void joints_grow(struct joints *j); /* the plan has grown */
/* A `share` line of a running member: passed on to the others, or its "ready" counted. */
void joints_share(struct joints *j, int step, const struct event *ev);
/* Every now and then: whoever is not ready long after the first one was is not waited for. */
void joints_tick(struct joints *j, double now); /* by clock_now() */
/* A member is over, well or not; call it after the schedule was told. */
void joints_closed(struct joints *j, int step, const char *why);

#endif
