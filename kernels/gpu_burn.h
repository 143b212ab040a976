/*
 * gpu_burn.h - a burn while it runs: shared by gpu_burn.c, which drives it, and gpu_wrong.c, which
 * looks into results that are not what they must be. Private to kernels/.
 */
#ifndef ASSAY_GPU_BURN_H
#define ASSAY_GPU_BURN_H

#include "kernels/gpu_gemm.h"

struct burn_set {
	struct golden *golden; /* of exact data */
	uint64_t since;        /* products since c was last verified, or made anew */
	uint64_t reference;    /* digest that every result must have, of other data */
	int seen;              /* how often it was seen; 0: there is none yet */
};

struct burn {
	struct machine *m;
	struct gpu_burn *job;
	struct gemm gemm;
	struct burn_set sets[GEMM_SETS_MOST];
	uint64_t bound; /* products that may be added up in c */
	int next;       /* set that is multiplied next */
	int window;
	double product_seconds, check_seconds; /* of one, as last measured; 0: not yet */
	double started, stepped;
};

/* A checksum that has come back. */
struct burn_check {
	int set, slot;
	uint64_t products; /* that were added up in c */
	int intact;        /* c still holds what was checked */
	uint64_t digest, not_finite;
};

/*
 * Compares one checksum with what it must be; on a mismatch finds the elements, repeats the work
 * and writes all of it into the job. Results are only -1 when the GPU itself fails. Of several
 * checks of one set the last one comes first.
 */
int burn_judge(struct burn *b, const struct burn_check *check, struct error *err);

/* machine_gpu_burn with another patience: tests have less, and doubles multiply slowly. */
int gpu_burn_run(struct machine *m, struct gpu_burn *job, const struct gpu_patience *patience,
		 struct error *err);

#endif
