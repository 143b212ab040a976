/*
 * test_gpu_golden.c - golden results against products that are worked out element by element.
 */
#include "harness/base/base.h"
#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"
#include "kernels/gpu_golden.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEED_A = 3, SEED_B = 4, WEIGHTS = 5 };

static int64_t element(int n, uint64_t seed_a, uint64_t seed_b, int row, int column)
{
	int64_t sum = 0;

	for (int k = 0; k < n; k++)
		sum += gpu_exact_operand(seed_a, (uint64_t)row * (uint64_t)n + (uint64_t)k) *
		       gpu_exact_operand(seed_b, (uint64_t)column * (uint64_t)n + (uint64_t)k);
	return sum;
}

static void row_sums_are_those_of_the_product(void **state)
{
	static const int sizes[] = { 1, 7, 128, 130 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (int threads = 0; threads <= 5; threads += 5) {
			const int n = sizes[i];
			struct golden *g = golden_new(n, SEED_A, SEED_B, WEIGHTS, threads);

			for (int r = 0; r < n; r++) {
				uint64_t want = 0;

				for (int j = 0; j < n; j++)
					want += (uint64_t)element(n, SEED_A, SEED_B, r, j) *
						gpu_weight(WEIGHTS, (uint64_t)j);
				assert_true(g->rows[r] == want);
				assert_true(golden_row_sum(g, r, 3) == 3 * want);
				assert_true(golden_row_is_right(g, r, 3, 3 * want));
				assert_false(golden_row_is_right(g, r, 3, 3 * want + 1));
				assert_false(golden_row_is_right(g, r, 1, DEVICE_ROW_SPOILED));
			}
			golden_free(g);
		}
	golden_free(NULL);
}

/* Even where what is expected happens to be the mark of a spoilt row. */
static void a_spoilt_row_is_never_right(void **state)
{
	struct golden *g = golden_new(2, SEED_A, SEED_B, WEIGHTS, 1);

	(void)state;
	g->rows[0] = DEVICE_ROW_SPOILED;
	assert_false(golden_row_is_right(g, 0, 1, DEVICE_ROW_SPOILED));
	golden_free(g);
}

static void whole_rows_are_those_of_the_product(void **state)
{
	const int n = 128, rows[] = { 127, 0, 77 };
	struct golden *g = golden_new(n, SEED_A, SEED_B, WEIGHTS, 3);
	int32_t to[ARRAY_SIZE(rows) * 128];

	(void)state;
	golden_rows(g, rows, ARRAY_SIZE(rows), to);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int j = 0; j < n; j++)
			assert_int_equal(to[i * (size_t)n + (size_t)j],
					 element(n, SEED_A, SEED_B, rows[i], j));
	golden_free(g);
}

/* ---- one flipped bit ----------------------------------------------------------------------- */

enum { N = 128, PRODUCTS = 5 };

static uint64_t sum_of_row(const float *row)
{
	uint64_t sum = 0;

	for (int j = 0; j < N; j++)
		sum += (uint64_t)(int64_t)row[j] * gpu_weight(WEIGHTS, (uint64_t)j);
	return sum;
}

static float *new_result(void)
{
	float *c = xcalloc(N * N, sizeof(*c));

	for (int i = 0; i < N * N; i++)
		c[i] = PRODUCTS * (float)element(N, SEED_A, SEED_B, i / N, i % N);
	return c;
}

static void flip(float *f, int bit)
{
	uint32_t bits;

	memcpy(&bits, f, sizeof(bits));
	bits ^= 1U << bit;
	memcpy(f, &bits, sizeof(bits));
}

/* The sign: other bits may leave no integer, which spoils the row on the GPU already. */
static void one_flipped_bit_is_found(void **state)
{
	struct golden *g = golden_new(N, SEED_A, SEED_B, WEIGHTS, 2);
	float *c = new_result();
	int32_t golden[N];

	(void)state;
	for (int at = 0; at < N * N; at += 1009) {
		const int row = at / N, column = at % N;
		const float right = c[at];
		int wrong = 0, found = -1;

		if (right == 0)
			continue;
		flip(&c[at], 31);
		for (int r = 0; r < N; r++)
			if (!golden_row_is_right(g, r, PRODUCTS, sum_of_row(c + (size_t)r * N))) {
				assert_int_equal(r, row);
				wrong++;
			}
		assert_int_equal(wrong, 1);
		golden_rows(g, &row, 1, golden);
		for (int j = 0; j < N; j++)
			if (c[row * N + j] != PRODUCTS * (float)golden[j]) {
				assert_int_equal(found, -1);
				found = j;
			}
		assert_int_equal(found, column);
		assert_true(PRODUCTS * (float)golden[column] == right && c[at] == -right);
		c[at] = right;
	}
	free(c);
	golden_free(g);
}

/* ---- bounds -------------------------------------------------------------------------------- */

/* 4 n g must stay below where the accumulator's integers end. */
static void bounds_are_those_of_the_accumulators(void **state)
{
	static const struct {
		enum gpu_precision precision;
		int n;
		uint64_t most;
	} cases[] = {
		{ GPU_BF16, 8192, 511 },    { GPU_TF32, 16384, 255 },
		{ GPU_FP16, 128, 32767 },   { GPU_FP8, 8192, 511 },
		{ GPU_INT8, 8192, 65535 },  { GPU_FP64, 8192, 274877906943 },
		{ GPU_BF16, 1 << 22, 0 },   { GPU_BF16, 1 << 21, 1 },
		{ GPU_INT8, 536870911, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_true(golden_most(cases[i].precision, cases[i].n) == cases[i].most);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_sums_are_those_of_the_product),
		cmocka_unit_test(a_spoilt_row_is_never_right),
		cmocka_unit_test(whole_rows_are_those_of_the_product),
		cmocka_unit_test(one_flipped_bit_is_found),
		cmocka_unit_test(bounds_are_those_of_the_accumulators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
