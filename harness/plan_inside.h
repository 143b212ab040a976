/*
 * plan_inside.h - what the files that build a plan share. Private to plan*.c.
 */
#ifndef ASSAY_PLAN_INSIDE_H
#define ASSAY_PLAN_INSIDE_H

#include "harness/plan.h"

struct planning {
	struct plan *plan;
	const struct spec *spec;
	const struct fleet *fleet;
	const struct plan_options *options;
	const struct profile_check *pc;
	int phase;
};

/* plan_step.c: the last step of the plan from now on, and the same one with all that it needs. */
struct step *plan_add(struct plan *p, const struct check *check);
/* part: number of the disk, GPU or rail that the step is about, -1: of none */
struct step *plan_step(const struct planning *x, int node, const char *unit, int part);
int param_index(const struct check *check, const char *name); /* -1: none such */
int param_count(const struct check *check);
/* Sets a knob of the step to a text that the step owns from now on. */
void own_value(struct step *s, const char *name, char *value);
/* How many GPUs of such a node are computed on. */
int compute_count(const struct node_type *t);

/* plan_joint.c: all steps of a check that nodes run together. */
void plan_joint(const struct planning *x, const struct check *check);
/* A batch of none; its steps are the next ones. Returns its number. */
int plan_batch(struct plan *p, int first, int before);

#endif
