/*
 * plan.h - what will be run, in which order, for how long.
 *
 * plan_build is pure: the same spec, fleet and profile give the same steps with the same ids.
 * Resume is "plan again, replay the journal, run what has no end".
 */
#ifndef ASSAY_PLAN_H
#define ASSAY_PLAN_H

#include "harness/fleet.h"

#include <jansson.h>

/*
 * Bits of step.occupies: those of enum resource, then one for each GPU that can be told apart, then
 * one for each rail. A joint step with rails takes its leaves' part of the fabric too: no two
 * batches share one.
 */
enum {
	FIRST_GPU_BIT = 8,
	GPU_BITS = 32,
	FIRST_RAIL_BIT = FIRST_GPU_BIT + GPU_BITS,
	RESOURCES = FIRST_RAIL_BIT + RAILS_MOST
};

/* Seconds for which members of a joint step that are ready wait for those that are not. */
enum { JOINT_WAIT = 120 };

struct step {
	char *id;   /* "baseline/disk_seq/n001/disk0"; a repeat adds "#2" to the check's name */
	char *base; /* the id of its first round */
	const char *name; /* of the check, or of the program */
	const struct check *check;
	int phase, node, round; /* round 1 is the first */
	int numas, disks, gpus; /* how many the spec says its node has; GPUs: to compute on */
	uint64_t occupies;      /* of its node: the bits above */
	char unit[32]; /* "disk0", "gpu3", a program's name, "r2" of pairs, "r2.rail5", or "" */
	const char **values; /* knobs, in the order of check->params; NULL: the preset */
	char **owned;        /* those of them made by the planner; freed with the step */
	double seconds, deadline;
	double writes; /* bytes to a disk */
	double watts;  /* what it adds to its node's power, by the spec; 0: nothing, or not known */
	/*
	 * Of a joint step, which nodes run together: its members are the steps `lead` up to
	 * lead + members, one a node. A step that runs alone leads itself.
	 */
	int lead, members;
	int batch; /* of joint steps that start at the same time; -1: none */
};

/* Consecutive steps, whole joint steps, that start together once the batch before is over. */
struct batch {
	int first, count, before; /* before: -1 for none */
};

struct plan {
	const struct profile *profile; /* lent */
	struct step *steps;
	int count;
	int first_count;       /* steps of the first round; the rest are repeats */
	double seconds, bound; /* expected time, and the busiest resource's share of it */
	double writes;
	double energy, peak; /* J and W, of all nodes, by the spec */
	double *rack_peak;   /* W of each of the spec's racks */
	const char *unknown; /* what the spec does not tell of power, so that it is more; or NULL */
	struct batch *batches;
	int batch_count;
	char *sha256; /* of the first round */
	json_t *ids;  /* index of each step by its id */
};

struct plan_options {
	const char *only; /* "CHECK,CHECK": others are left out; NULL: all */
	int destroy_data; /* disks whose exact serials the spec names may be written to */
};

struct plan *plan_build(const struct spec *s, const struct fleet *f, const struct profile *p,
			const struct plan_options *options, struct error *err);
void plan_free(struct plan *p);
/*
 * Adds one repeat of each step in `bases`, of a joint step with all its members, (base ids) that
 * has had fewer than `most` repeats. Pure like plan_build. Returns how many were added.
 */
int plan_extend(struct plan *p, const char *const *bases, int count, int most);
/* Index, or -1. */
int plan_find(const struct plan *p, const char *id);

/* Whether a step is about one part of its node, which its unit names. */
int step_has_part(const struct step *s);
/* Knobs of one step, as a check takes them. */
struct knobs step_knobs(const struct step *s);

#endif
