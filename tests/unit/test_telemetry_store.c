/*
 * test_telemetry_store.c - what is kept in full comes back exactly, and nothing else comes back.
 */
#include "harness/telemetry.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SERIES = 6, ROWS = 4000 };

static const struct sample_series list[SERIES] = {
	{ "gpu0", "power_w", "", SERIES_LEVEL, 0.1, 10 },
	{ "nic1", "rx_bytes", "", SERIES_FLOW, 1048576, 1e6 },
	{ "", "mce", "", SERIES_ERRORS, 1, 0 },
	{ "disk2", "live", "", SERIES_STATE, 1, 0 },
	{ "dimm:A \"1\".2", "edac_ce", "label", SERIES_ERRORS, 1, 0 },
	{ "", "late_c", "", SERIES_LEVEL, 0.5, 1 },
};

/* What series i says in a second: restless, growing, still, away, or not read. */
static double value_of(int i, int row)
{
	uint64_t seed = (uint64_t)(row * SERIES + i);
	double noise = (double)(random_next(&seed) % 1000);

	switch (i) {
	case 0:
		return row % 977 == 5 ? INFINITY : 600 + noise / 10;
	case 1:
		return floor((48e9 * row + noise * 1e6) / 1048576) * 1048576;
	case 2:
		return row < 1000 ? 0 : row < 2000 ? 7 : 3; /* it was reset */
	case 3:
		return row % 10 ? NAN : 1;
	case 4:
		return row % 60 ? NAN : row / 600;
	default:
		return -20.5 + row / 100;
	}
}

static void fill(struct store *s, int rows)
{
	int64_t from;

	for (int row = 0; row < rows; row++) {
		double values[SERIES];
		/* The last series begins late. */
		const struct sampling now = { list, values, row < 100 ? SERIES - 1 : SERIES };

		for (int i = 0; i < SERIES; i++)
			values[i] = value_of(i, row);
		assert_int_equal(store_add(s, 1795268383550 + row * 1000LL + row % 3, &now, &from),
				 0);
	}
}

static int same(double a, double b)
{
	return (isnan(a) && isnan(b)) || a == b || fabs(a - b) < 1e-6 * fabs(a);
}

static void check_block(const struct block *b, int first_row)
{
	struct error err;
	double *values = xcalloc((size_t)b->rows, sizeof(*values));

	for (int row = 0; row < b->rows; row++)
		assert_int_equal(b->ms[row], 1795268383550 + (first_row + row) * 1000LL +
						     (first_row + row) % 3);
	for (int c = 0; c < b->count; c++) {
		int i = 0;

		while (strcmp(list[i].name, b->columns[c].series.name) != 0)
			i++;
		assert_string_equal(b->columns[c].series.part, list[i].part);
		assert_string_equal(b->columns[c].series.about, list[i].about);
		assert_int_equal(b->columns[c].series.kind, list[i].kind);
		assert_true(b->columns[c].series.unit == list[i].unit);
		assert_true(b->columns[c].series.moved == list[i].moved);
		assert_int_equal(block_values(b, c, values, &err), 0);
		for (int row = 0; row < b->rows; row++) {
			int at = first_row + row;
			double want = i == SERIES - 1 && at < 100 ? NAN : value_of(i, at);

			if (!same(values[row], want))
				fail_msg("%s of row %d: %.17g, not %.17g", list[i].name, at,
					 values[row], want);
		}
	}
	free(values);
}

static void test_all_comes_back(void **state)
{
	struct store *s = store_new(1 << 24);
	const unsigned char *data;
	int64_t lost;
	int rows = 0, blocks = 0;
	struct error err;
	struct block b;
	size_t len, used;

	(void)state;
	fill(s, ROWS);
	data = store_data(s, &len, &lost);
	assert_int_equal(lost, 0);
	for (; block_open(data, len, &used, &b, &err) > 0; data += used, len -= used) {
		assert_int_equal(b.count, SERIES);
		assert_int_equal(b.first_ms, b.ms[0]);
		assert_int_equal(b.last_ms, b.ms[b.rows - 1]);
		check_block(&b, rows);
		rows += b.rows;
		blocks++;
		block_release(&b);
	}
	assert_int_equal(len, 0);
	assert_int_equal(rows, ROWS);
	assert_int_equal(blocks, 2);
	store_free(s);
}

/* What is kept stays below the bound, and the second from which nothing is kept is told. */
static void test_bound(void **state)
{
	struct store *s = store_new(5000);
	int64_t from = 0, lost;
	size_t len, used;
	const unsigned char *data;
	struct error err;
	struct block b;
	int row = 0, rows = 0;

	(void)state;
	for (; row < 20000; row++) {
		double values[SERIES];
		const struct sampling now = { list, values, SERIES };

		for (int i = 0; i < SERIES; i++)
			values[i] = value_of(i, row);
		if (store_add(s, row * 1000LL, &now, &from) < 0)
			break;
	}
	assert_int_equal(row, 3599);
	assert_int_equal(from, 0);
	data = store_data(s, &len, &lost);
	assert_int_equal(len, 0);
	store_free(s);

	s = store_new(60000);
	for (row = 0; row < 20000; row++) {
		double values[SERIES];
		const struct sampling now = { list, values, SERIES };

		for (int i = 0; i < SERIES; i++)
			values[i] = value_of(i, row);
		if (store_add(s, row * 1000LL, &now, &from) < 0)
			break;
	}
	assert_true(row < 20000);
	data = store_data(s, &len, &lost);
	assert_in_range(len, 1, 60000);
	for (; block_open(data, len, &used, &b, &err) > 0; data += used, len -= used) {
		rows += b.rows;
		block_release(&b);
	}
	assert_int_equal(from, rows * 1000LL);
	store_free(s);
}

/* At the end what does not fit is told as well. */
static void test_bound_at_the_end(void **state)
{
	struct store *s = store_new(100);
	int64_t lost;
	size_t len;

	(void)state;
	fill(s, 50);
	store_data(s, &len, &lost);
	assert_int_equal(len, 0);
	assert_int_equal(lost, 1795268383550);
	store_free(s);
}

/* Every byte of a block that is wrong is noticed. */
static void test_damage(void **state)
{
	struct store *s = store_new(1 << 20);
	const unsigned char *data;
	unsigned char *copy;
	int64_t lost;
	struct error err;
	struct block b;
	size_t len, used;

	(void)state;
	fill(s, 20);
	data = store_data(s, &len, &lost);
	copy = xcalloc(1, len);
	for (size_t i = 0; i < len; i++) {
		memcpy(copy, data, len);
		copy[i] ^= 0x10;
		assert_int_equal(block_open(copy, len, &used, &b, &err), -1);
	}
	for (size_t cut = 1; cut < len; cut++)
		assert_int_equal(block_open(data, cut, &used, &b, &err), -1);
	assert_int_equal(block_open(data, 0, &used, &b, &err), 0);
	free(copy);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_comes_back),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_bound_at_the_end),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
