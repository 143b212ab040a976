/*
 * gpu_golden.h - what a product of exact operands must be, worked out by the CPU in integers.
 * Private to kernels/.
 *
 * Nothing here comes from a GPU: operands are made again from their formula (data.h). All sums are
 * exact in every accumulator, so one golden result holds for every GPU, kernel and library.
 */
#ifndef ASSAY_GPU_GOLDEN_H
#define ASSAY_GPU_GOLDEN_H

#include "kernels/gpu.h"

/* c = a b of n x n; a row after row, b column after column, as device.h has them. */
struct golden {
	int n, threads;
	uint64_t seed_a, seed_b; /* of the operands */
	uint64_t weights;        /* seed of the weights of columns */
	uint64_t *rows;          /* of one product, as rows_* gives them for `weights` */
};

/*
 * Works out `rows` in O(n^2), by so many threads. Never NULL; golden_free takes NULL. The second
 * one of the same n and seeds costs as much again, so keep it.
 */
struct golden *golden_new(int n, uint64_t seed_a, uint64_t seed_b, uint64_t weights, int threads);
void golden_free(struct golden *g);

/* What rows_* must give of row r after so many products were added up. */
uint64_t golden_row_sum(const struct golden *g, int r, uint64_t products);
/* Whether rows[r], made by rows_*, is right. */
int golden_row_is_right(const struct golden *g, int r, uint64_t products, uint64_t row);

/*
 * Some whole rows of one product: to[i * n + j] is element j of row rows[i]. O(n^2) for each, with
 * the making of operands shared between them.
 */
void golden_rows(const struct golden *g, const int *rows, int count, int32_t *to);

/* How many products an accumulator of this precision may add up and still be exact; 0: not one. */
uint64_t golden_most(enum gpu_precision precision, int n);

#endif
