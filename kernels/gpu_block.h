/*
 * gpu_block.h - blocks of data that are different everywhere, on a GPU or in host memory. Private
 * to kernels/.
 */
#ifndef ASSAY_GPU_BLOCK_H
#define ASSAY_GPU_BLOCK_H

#include "kernels/gpu_start.h"

struct gpu_block {
	struct gpu_context *g; /* NULL: the block lies in host memory */
	CUstream stream;       /* on g */
	int numa;              /* of host memory, -1: any */
	unsigned char *host;   /* of host memory */
	CUdeviceptr at;        /* host memory: as the GPU sees it that drives the copies */
	uint64_t bytes;        /* a multiple of 8 */
};

struct gpu_block_wrong {
	uint64_t bytes, first; /* how many, and the offset of the first one that was kept */
};

/* Word i becomes gpu_unique(seed, i). 0 or -1. */
int gpu_block_fill(struct gpu_bag *bag, const struct gpu_block *b, uint64_t seed,
		   struct error *err);
/* Fills it with what gpu_unique does not give. */
int gpu_block_clear(struct gpu_bag *bag, const struct gpu_block *b, struct error *err);
/*
 * Compares the first `bytes`. In host memory every differing byte is counted, and `first` is the
 * first one. A GPU keeps the first few words that it comes across: their differing bytes are
 * counted and the lowest is `first`; of each further word all eight count.
 */
int gpu_block_compare(struct gpu_bag *bag, const struct gpu_block *b, uint64_t bytes, uint64_t seed,
		      struct gpu_block_wrong *wrong, struct error *err);

#endif
