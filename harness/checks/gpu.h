/*
 * gpu.h - what the GPU checks have in common. Private to harness/checks/.
 *
 * A GPU that fails must cost its own figures and nobody else's: the step goes on with the others,
 * and every figure of the failed one becomes a hole with the reason.
 */
#ifndef ASSAY_CHECKS_GPU_H
#define ASSAY_CHECKS_GPU_H

#include "harness/checks/counters.h"

/* The planner fills it from the spec: "gpu0 gpu1". */
#define GPUS_KNOB                                                                                  \
	{                                                                                          \
		"gpus", "", "GPUs that may be computed on; from the spec", 1                       \
	}

enum { GPU_SUBJECT = 64, GPU_SAMPLES_MOST = 1000 };

extern const char gpu_no_code[]; /* why a hook of the table is NULL */

int gpu_number(const struct host_gpu *gpu);             /* 3 of "gpu3" */
void gpu_pair(char out[GPU_SUBJECT], int from, int to); /* "gpu0>gpu1" */

const char *gpu_precision_word(int precision); /* "bf16" */

/* 0, or RUN_ERROR with err when a knob is no whole number from `least` to `most`. */
int gpu_knob_within(const struct knobs *k, const char *name, double least, double most,
		    struct error *err);

/* Reports rates or times; a hole if one of them is no positive number. */
void gpu_samples(struct job *job, const char *metric, const char *subject, const double *v, int n);

/* ---- GPUs of one step ---------------------------------------------------------------------- */

struct gpu_team {
	struct job *job;
	struct job_gpus gpus;
	char dead[GPUS_MOST][300]; /* by number of the GPU: why, "" while it lives */
};

/* As job_gpus. */
int team_open(struct gpu_team *t, struct job *job, const char *const *metrics, struct error *err);
const struct host_gpu *team_gpu(const struct gpu_team *t, int gpu);
/* After something went wrong on a GPU: 1 if it still works, 0 if it is dead from now on. */
int team_probe(struct gpu_team *t, int gpu, const struct error *why);
/* Why a GPU, or one of a pair, cannot be measured any more; NULL while both live. */
const char *team_dead(const struct gpu_team *t, int from, int to);
/* The living ones, in order, into numbers; returns how many. */
int team_living(const struct gpu_team *t, int numbers[GPUS_MOST]);

/* A copy of 64 KiB within the GPU's own memory. 0, or -1 with err. */
int gpu_alive(struct job *job, int gpu, struct error *err);

/* ---- copies between many ------------------------------------------------------------------- */

/*
 * Rounds in which each of n meets each other once, all pairs of a round disjoint (the circle
 * method). rounds_pair gives the partner of i in a round, -1 if it rests.
 */
int rounds_count(int n);
int rounds_pair(int n, int round, int i);

/*
 * Line y = at_zero + slope * x with the least sum of |y - line| / y: scatter of a time grows with
 * the time, so without the weight the largest sizes alone would decide. 0, or -1 when there are not
 * two different x, or a y that is not positive.
 */
int fit_line(const double *x, const double *y, int n, double *at_zero, double *slope);

/* ---- counters ------------------------------------------------------------------------------ */

enum gpu_count {
	COUNT_ECC_CORRECTED,
	COUNT_ECC_UNCORRECTED,
	COUNT_ROW_REMAPS,
	COUNT_REMAP_PENDING,
	COUNT_REMAP_FAILED,
	COUNT_RETIRED_PAGES,
	COUNT_LINK_ERRORS,
	COUNT_XIDS,
	GPU_COUNTS
};

struct gpu_counters {
	struct counters c;
	struct error failure; /* the machine's counters could not be read; "" if they could */
};

/* Reads all counters; what cannot be read becomes a hole when it is asked for. To be freed. */
struct gpu_counters *gpu_counters_new(struct job *job);
void gpu_counters_free(struct gpu_counters *g);
void gpu_counters_read(struct gpu_counters *g, struct job *job);
/* Value at the first reading and growth until the last. 0, or -1 with err saying why not known. */
int gpu_counter(const struct gpu_counters *g, const struct host_gpu *gpu, enum gpu_count what,
		double *before, double *growth, struct error *err);
/* Reports growth, or the value at the first reading, or why there is none. */
void gpu_report_growth(const struct gpu_counters *g, struct job *job, const struct host_gpu *gpu,
		       enum gpu_count what, const char *metric);
void gpu_report_state(const struct gpu_counters *g, struct job *job, const struct host_gpu *gpu,
		      enum gpu_count what, const char *metric);
/* Reports how many XIDs this GPU raised since the step opened the driver; notes which. */
void gpu_report_xids(const struct gpu_counters *g, struct job *job, const struct host_gpu *gpu,
		     const char *metric);
const char *gpu_count_name(enum gpu_count what); /* "remapped rows" */

#endif
