/*
 * check.h - what a check is. The door of the harness/checks/ room.
 *
 * A check measures and reports; it never judges. Limits live in the spec and verdicts in judge.c,
 * so one run can be judged again under another spec. A new check is one file and one row in
 * registry.c.
 */
#ifndef ASSAY_CHECK_H
#define ASSAY_CHECK_H

#include "harness/base/base.h"
#include "kernels/kernels.h"

enum scope {
	PER_NODE, /* one step on each node */
	PER_DISK, /* one step for each disk of each node, named "disk0" */
	PER_GPU,  /* one step for each GPU that the spec has compute on, named "gpu0" */
	ALL_GPUS, /* one step on each node that has such GPUs, for all of them together */
	/*
	 * Steps that nodes run together, one a node; each reports what it measured itself. They
	 * have the knob "peers" (from_spec: the host list of the members).
	 */
	PER_PAIR,  /* of two nodes, in rounds; with the knob "rounds" (0: as many as needed) */
	PER_GROUP, /* of many nodes; with the knob "group": how many (0: all) */
};

/*
 * A joint check may be one over rails: then each of its steps is about one rail, the same on all
 * members, and uses one NIC of each. It has the knobs "nic" (from_spec: the own NIC on that rail,
 * "nic3") and "alone": 0 for all rails of a round at once, 1 for one rail behind the other. Nodes
 * of whose NICs the spec calls none a rail take no part. A knob "stride" (from_spec) is how far
 * apart in the list of members two nodes are of which one is likely to be below other leaves.
 */

enum better { MORE, LESS, NONE }; /* NONE: any but zero is a fault, in whatever spec */

/* How the samples of one figure become a verdict. */
enum judged {
	BY_MEDIAN, /* the median's interval against the limit */
	BY_EVERY,  /* every single sample must hold: counts, and things that do not scatter */
	BY_SHARE,  /* samples are windows: the share in band, and the worst one */
	RECORDED,  /* kept and shown, not judged: points of a curve */
};

/* What a step occupies on its node while it runs; steps that share nothing run at the same time. */
enum resource {
	USES_NOTHING = 0,
	USES_CORES = 1 << 0,
	USES_MEMORY = 1 << 1, /* its bandwidth */
	USES_DISKS = 1 << 2,
	USES_GPUS = 1 << 3, /* of a PER_GPU step: that one GPU */
	USES_NICS =
		1 << 4, /* of a step over a rail: that one NIC, and its leaf's part of the fabric */
};

enum { RUN_OK = 0, RUN_ERROR = -1, RUN_SKIP = 1 };

struct param {                            /* a knob; the list ends at name == NULL */
	const char *name, *preset, *help; /* preset as in a profile: "256MiB" */
	int from_spec; /* a text that only the planner fills in; else a quantity like the preset */
};

struct metric { /* a figure that the check promises to report */
	const char *name, *unit;
	enum better better;
	enum judged judged;
	const char *ceiling; /* formula in theory.c, or NULL */
	const char *help;
};

/* Knobs of one step, as texts in the order of check->params. */
struct knobs {
	const struct check *check;
	const char *const *values;
	int numas, disks, gpus; /* of the node, by the spec; for expected times */
};

/* The value of a knob in base units (bytes, seconds). Asking for one that is not declared aborts.
 */
double knob(const struct knobs *k, const char *name);
const char *knob_text(const struct knobs *k, const char *name);

/* Where results go; filled by whoever runs the check. */
struct sink {
	void (*figure)(void *arg, const char *metric, const char *subject, const double *samples,
		       int count);
	/* is_hole: it could not be measured; else there is nothing to measure */
	void (*absent)(void *arg, const char *metric, const char *subject, const char *why,
		       int is_hole);
	fact_fn *fact;
	void (*note)(void *arg, const char *text);
	void *arg;
	/* Of joint steps; NULL for others. job_share() and its like say what they do. */
	/* to: one member, or NULL for all */
	int (*share)(void *arg, const char *to, const char *key, const char *value,
		     struct error *err);
	int (*take)(void *arg, const char *from, const char *key, char **value, struct error *err);
	int (*begin)(void *arg, struct error *err);
};

/* How far the clock of this node is ahead of the controller's, and how well that is known. */
struct clock_offset {
	int known;
	double seconds, error;
};

/* One check on one node. All of it is lent for the length of run(). */
struct job {
	const struct kernels *hw; /* the real machine or its twin */
	struct machine *machine;
	struct knobs knobs;
	const char
		*unit; /* "disk0" of a PER_DISK step, "gpu0" of a PER_GPU one, a program; else "" */
	const char *node; /* what this node is called in the run */
	struct clock_offset clock;
	const struct sink *sink;
};

struct check {
	const char *name, *summary;
	const char *how; /* what is done and why so, for `assay check show` and the methods page */
	enum scope scope;
	unsigned occupies;
	int burns;    /* drives what it occupies to its full power */
	int per_rail; /* a joint check over rails */
	const struct param *params;
	const struct metric *metrics;
	double (*seconds)(const struct knobs *k); /* expected time of one step */
	double (*writes)(const struct knobs *k);  /* bytes written to a disk; NULL: none */
	int (*run)(struct job *job, struct error *err);
};

extern const struct check *const all_checks[]; /* ends with NULL */
const struct check *check_find(const char *name);
const struct metric *metric_find(const struct metric *metrics, const char *name);

/* Reports figures about one subject ("numa0>numa1", "" for the node). An undeclared metric aborts.
 */
void job_report(struct job *job, const char *metric, const char *subject, double value);
void job_samples(struct job *job, const char *metric, const char *subject, const double *samples,
		 int count);
/*
 * Says that a promised metric does not exist on this machine ("": for no subject), and why: "one
 * NUMA node only".
 */
void job_absent(struct job *job, const char *metric, const char *subject, const char *why);
/* Says that a promised figure of one subject could not be measured, and why. */
void job_hole(struct job *job, const char *metric, const char *subject, const char *why);
void job_note(struct job *job, const char *fmt, ...) PRINTF(2, 3);
/* Says why the check cannot run here. Returns RUN_SKIP, to be passed on. */
int job_skip(struct error *err, const char *fmt, ...) PRINTF(2, 3);
/* One fact of a part, or of the node itself (part ""), or NULL; the caller frees it. */
char *job_fact(struct job *job, const char *part, const char *key);
/* The same as a plain number; 0 if it is not known. */
double job_count(struct job *job, const char *part, const char *key);
/* Whether this is a virtual machine, which lacks counters and links that real ones must have. */
int job_is_virtual(struct job *job);
/* The disk of a PER_DISK step, or NULL with err when the node has no such disk. */
const struct host_disk *job_disk(struct job *job, struct error *err);

/*
 * Joint steps. Members give out short texts (at most 250 bytes) under a key and take those of
 * others; it goes through the controller, so a fraction of a second each. All return 0, or -1 with
 * err: a member that is gone is named there.
 */
/* All members in their order, this node among them at *self; to be released by the caller. */
int job_peers(struct job *job, struct hostlist *peers, int *self, struct error *err);
int job_share(struct job *job, const char *key, const char *value, struct error *err);
/* Waits for what `from` gives out under this key; the caller frees *value. */
int job_take(struct job *job, const char *from, const char *key, char **value, struct error *err);
/*
 * Says that this member is ready, waits until all are, and returns at the common start. A pair does
 * not begin without the other one; a group begins without members that are gone, or not ready two
 * minutes behind the first, for one bad node of a thousand must not take the figures of all:
 * job_take() says so to those who need it.
 */
int job_begin(struct job *job, struct error *err);
/* The same text for one member alone: what only it needs is not sent to thousands. */
int job_tell(struct job *job, const char *to, const char *key, const char *value,
	     struct error *err);

/* The compute GPUs of a step that has the knob "gpus" (from_spec: "gpu0 gpu1"). */
struct job_gpus {
	const struct host_gpus *all;
	int numbers[GPUS_MOST]; /* those that the spec wants computed on and that can be used */
	int count;
};
/*
 * Opens the driver's libraries and records which they are and whether they are doubles. Every
 * wanted GPU that cannot be used becomes a hole of each metric in `metrics` (NULL at its end) with
 * the reason, so that the rest goes on without it. 0, or RUN_ERROR with err when nothing could be
 * listed or none is left.
 */
int job_gpus(struct job *job, struct job_gpus *gpus, const char *const *metrics, struct error *err);
/* Whether the knob "gpus" of a step names this part. */
int job_may_compute(const struct job *job, const char *part);
/* The same for the one GPU of a PER_GPU step: its entry, or NULL with err. */
const struct host_gpu *job_gpu(struct job *job, struct error *err);

#endif
