/*
 * test_stats.c - medians and their intervals against the published table.
 *
 * Ranks as in David & Nagaraja, Order Statistics, 7.1, at 95 %: samples 1, 2, ..., n make the value
 * of an order statistic its own rank.
 */
#include "harness/base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 2000 };

/* 1 .. n in an order that a generator made. */
static double *shuffled(int n)
{
	double *v = xcalloc((size_t)n, sizeof(*v));
	uint64_t seed = 7;

	for (int i = 0; i < n; i++) {
		int k = (int)(random_next(&seed) % (uint64_t)(i + 1));

		v[i] = v[k];
		v[k] = i + 1;
	}
	return v;
}

static const struct {
	int n, low, high;
} table[] = {
	{ 6, 1, 6 },   { 7, 1, 7 },    { 8, 1, 8 },    { 9, 2, 8 },     { 10, 2, 9 },
	{ 11, 2, 10 }, { 12, 3, 10 },  { 15, 4, 12 },  { 17, 5, 13 },   { 20, 6, 15 },
	{ 25, 8, 18 }, { 30, 10, 21 }, { 50, 18, 33 }, { 100, 40, 61 },
};

static void intervals_are_as_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		double *v = shuffled(table[i].n);
		struct median m = median_of(v, table[i].n);

		if (!m.sure || m.low != table[i].low || m.high != table[i].high)
			fail_msg("n=%d: (%g,%g)", table[i].n, m.low, m.high);
		assert_true(m.value == (table[i].n + 1) / 2.0);
		assert_int_equal(m.n, table[i].n);
		free(v);
	}
}

static void few_samples_are_not_sure(void **state)
{
	(void)state;
	for (int n = 1; n < 6; n++) {
		double *v = shuffled(n);
		struct median m = median_of(v, n);

		assert_false(m.sure);
		assert_true(m.low == 1 && m.high == n && m.value == (n + 1) / 2.0);
		free(v);
	}
}

/* Exact coverage by adding up binomials, for every n: never below 95 %, and no wider than it must
 * be. */
static void coverage_holds_for_every_n(void **state)
{
	(void)state;
	for (int n = 6; n <= 200; n++) {
		double *v = shuffled(n), p = pow(0.5, n), tail = 0, next;
		struct median m = median_of(v, n);
		int j = (int)m.low;

		assert_true(m.high == n + 1 - j);
		for (int k = 0; k < j; k++) {
			tail += p;
			p = p * (n - k) / (k + 1);
		}
		next = tail + p;
		if (tail > 0.025 || next <= 0.025)
			fail_msg("n=%d: rank %d leaves %g, the next %g", n, j, tail, next);
		free(v);
	}
}

static void large_samples_work(void **state)
{
	double *v = shuffled(MOST);
	struct median m = median_of(v, MOST);

	(void)state;
	assert_true(m.sure);
	/* n/2 -+ 1.96 * sqrt(n)/2 */
	assert_true(fabs(m.low - 956.7) < 2 && fabs(m.high - 1044.3) < 2);
	free(v);
}

static void input_is_left_alone(void **state)
{
	double v[] = { 3, 1, 2 };

	(void)state;
	assert_true(median_of(v, 3).value == 2);
	assert_true(percentile_of(v, 3, 0.5) == 2);
	assert_true(v[0] == 3 && v[1] == 1 && v[2] == 2);
}

static void percentiles_take_the_nearest_rank(void **state)
{
	double *v = shuffled(1000), one = 5;

	(void)state;
	assert_true(percentile_of(v, 1000, 0) == 1);
	assert_true(percentile_of(v, 1000, 0.5) == 500);
	assert_true(percentile_of(v, 1000, 0.99) == 990);
	assert_true(percentile_of(v, 1000, 0.999) == 999);
	assert_true(percentile_of(v, 1000, 1) == 1000);
	assert_true(percentile_of(&one, 1, 0.01) == 5);
	free(v);
}

/* The reference output of splitmix64 for the seed 1234567. */
static void random_is_splitmix(void **state)
{
	static const uint64_t want[] = { 6457827717110365317u, 3203168211198807973u,
					 9817491932198370423u, 4593380528125082431u,
					 16408922859458223821u };
	uint64_t seed = 1234567;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_true(random_next(&seed) == want[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intervals_are_as_published),
		cmocka_unit_test(few_samples_are_not_sure),
		cmocka_unit_test(coverage_holds_for_every_n),
		cmocka_unit_test(large_samples_work),
		cmocka_unit_test(input_is_left_alone),
		cmocka_unit_test(percentiles_take_the_nearest_rank),
		cmocka_unit_test(random_is_splitmix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
