/*
 * gpu_golden.c - the golden result of a product of exact operands.
 *
 * A checksum of each row of c = a b is a (b w), with w the weights of the columns: two products of
 * a matrix by a vector instead of one of two matrices (Freivalds 1977; Huang and Abraham 1984). It
 * is worked out modulo 2^64, where a single wrong element shows for certain, since weights are odd.
 */
#include "kernels/gpu_golden.h"

#include "harness/base/base.h"
#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"

#include <pthread.h>
#include <stdlib.h>

enum { THREADS_MOST = 64, OPERAND_MOST = 2 };

/* ---- threads ------------------------------------------------------------------------------- */

/*
 * Works on [from, end) of 0..n. Threads are not pinned: the sisters of this step would all pin
 * theirs to the same processors.
 */
typedef void part_fn(void *arg, int from, int end);

struct part {
	part_fn *fn;
	void *arg;
	int from, end;
	pthread_t thread;
	int started;
};

static void *part_run(void *arg)
{
	struct part *p = arg;

	p->fn(p->arg, p->from, p->end);
	return NULL;
}

/* A thread that cannot be had costs time and nothing else. */
static void in_parts(int n, int threads, part_fn *fn, void *arg)
{
	struct part parts[THREADS_MOST];
	int count = threads < 1 ? 1 : threads > THREADS_MOST ? THREADS_MOST : threads;

	for (int i = 0; i < count; i++) {
		parts[i] = (struct part){ .fn = fn,
					  .arg = arg,
					  .from = (int)((int64_t)n * i / count),
					  .end = (int)((int64_t)n * (i + 1) / count) };
		if (i + 1 < count)
			parts[i].started =
				!pthread_create(&parts[i].thread, NULL, part_run, &parts[i]);
		if (!parts[i].started)
			part_run(&parts[i]);
	}
	for (int i = 0; i < count; i++)
		if (parts[i].started)
			pthread_join(parts[i].thread, NULL);
}

/* ---- checksums of rows --------------------------------------------------------------------- */

struct sums {
	const struct golden *g;
	uint64_t *t; /* b w */
};

static uint64_t operand(uint64_t seed, uint64_t index)
{
	return (uint64_t)(int64_t)gpu_exact_operand(seed, index);
}

/* t[k] = sum over j of b[k][j] w[j] */
static void sum_columns(void *arg, int from, int end)
{
	struct sums *s = arg;
	const uint64_t n = (uint64_t)s->g->n;

	for (uint64_t j = 0; j < n; j++) {
		const uint64_t w = gpu_weight(s->g->weights, j);

		for (int k = from; k < end; k++)
			s->t[k] += operand(s->g->seed_b, j * n + (uint64_t)k) * w;
	}
}

/* rows[i] = sum over k of a[i][k] t[k] */
static void sum_rows(void *arg, int from, int end)
{
	struct sums *s = arg;
	const uint64_t n = (uint64_t)s->g->n;

	for (int i = from; i < end; i++) {
		uint64_t sum = 0;

		for (uint64_t k = 0; k < n; k++)
			sum += operand(s->g->seed_a, (uint64_t)i * n + k) * s->t[k];
		s->g->rows[i] = sum;
	}
}

struct golden *golden_new(int n, uint64_t seed_a, uint64_t seed_b, uint64_t weights, int threads)
{
	struct golden *g = xcalloc(1, sizeof(*g));
	struct sums s = { .g = g, .t = xcalloc((size_t)n, sizeof(*s.t)) };

	*g = (struct golden){ .n = n,
			      .threads = threads,
			      .seed_a = seed_a,
			      .seed_b = seed_b,
			      .weights = weights,
			      .rows = xcalloc((size_t)n, sizeof(*g->rows)) };
	in_parts(n, threads, sum_columns, &s);
	in_parts(n, threads, sum_rows, &s);
	free(s.t);
	return g;
}

void golden_free(struct golden *g)
{
	if (g)
		free(g->rows);
	free(g);
}

uint64_t golden_row_sum(const struct golden *g, int r, uint64_t products)
{
	return g->rows[r] * products;
}

/* A row that holds no integers is wrong even if its mark happens to be what was expected. */
int golden_row_is_right(const struct golden *g, int r, uint64_t products, uint64_t row)
{
	return row != DEVICE_ROW_SPOILED && row == golden_row_sum(g, r, products);
}

/* ---- whole rows ---------------------------------------------------------------------------- */

struct rows {
	const struct golden *g;
	int count;
	int8_t *a; /* rows of a */
	int32_t *to;
};

static void make_operands(int8_t *to, uint64_t seed, uint64_t row, int n)
{
	for (int k = 0; k < n; k++)
		to[k] = (int8_t)gpu_exact_operand(seed, row * (uint64_t)n + (uint64_t)k);
}

/* The sum is at most 4 n, so it fits for every n that fits a GPU. */
static int32_t dot(const int8_t *a, const int8_t *b, int n)
{
	int32_t sum = 0;

	for (int k = 0; k < n; k++)
		sum += (int32_t)a[k] * b[k];
	return sum;
}

static void multiply_columns(void *arg, int from, int end)
{
	struct rows *r = arg;
	const int n = r->g->n;
	int8_t *b = xcalloc((size_t)n, 1);

	for (int j = from; j < end; j++) {
		make_operands(b, r->g->seed_b, (uint64_t)j, n);
		for (int i = 0; i < r->count; i++)
			r->to[(size_t)i * n + j] = dot(r->a + (size_t)i * n, b, n);
	}
	free(b);
}

void golden_rows(const struct golden *g, const int *rows, int count, int32_t *to)
{
	struct rows r = { .g = g, .count = count, .to = to };

	r.a = xcalloc((size_t)count, (size_t)g->n);
	for (int i = 0; i < count; i++)
		make_operands(r.a + (size_t)i * g->n, g->seed_a, (uint64_t)rows[i], g->n);
	in_parts(g->n, g->threads, multiply_columns, &r);
	free(r.a);
}

/* ---- bounds -------------------------------------------------------------------------------- */

/*
 * Sums must stay below where the accumulator's integers end: fp32 2^24 and fp64 2^53 (IEEE 754,
 * bits of the significand), int32 2^31. A tensor core does not add as IEEE 754 has it: it cuts all
 * addends off at one place below the largest. From sm_80 on that is 24 bits or more below it, but
 * 13 with fp8 on some (arXiv 2511.10909, MMA-Sim), so that it never cuts off a part of an integer
 * within these bounds, nor within one chunk of fp8.
 */
uint64_t golden_most(enum gpu_precision precision, int n)
{
	static const uint64_t ends[GPU_PRECISION_COUNT] = {
		[GPU_FP64] = 1ULL << 53, [GPU_TF32] = 1 << 24, [GPU_BF16] = 1 << 24,
		[GPU_FP16] = 1 << 24,    [GPU_FP8] = 1 << 24,  [GPU_INT8] = 1ULL << 31,
	};

	return (ends[precision] - 1) / ((uint64_t)OPERAND_MOST * OPERAND_MOST * (uint64_t)n);
}
