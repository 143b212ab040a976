/*
 * test_gpu_gemm.c - the GEMM kernels against plain loops.
 *
 * The twins run the real kernels/gpu/gemm.cu with the tensor core's instructions emulated from the
 * layouts of the PTX ISA. Operands are taken apart here by a reader of our own, so that a format
 * which is written wrongly is not read wrongly in the same way.
 */
#include "harness/base/base.h"
#include "kernels/gpu.h"
#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"
#include "kernels/gpu_golden.h"
#include "tests/doubles/twins.h"

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEED_A = 11, SEED_B = 12, SMS = 7 };

/* ---- formats ------------------------------------------------------------------------------- */

enum sum { FLOATS, DOUBLES, INTEGERS };

static const struct format {
	const char *name;
	int width, exponent, mantissa, shift; /* of an operand; exponent 0: an integer */
	enum sum sum;
} formats[] = {
	{ "fp64", 8, 11, 52, 0, DOUBLES }, { "tf32", 4, 8, 10, 13, FLOATS },
	{ "bf16", 2, 8, 7, 0, FLOATS },    { "fp16", 2, 5, 10, 0, FLOATS },
	{ "fp8", 1, 4, 3, 0, FLOATS },     { "int8", 1, 0, 8, 0, INTEGERS },
};

static uint64_t bits_at(const struct format *f, const unsigned char *at, size_t i)
{
	uint64_t bits = 0;

	memcpy(&bits, at + i * (size_t)f->width, (size_t)f->width);
	return bits;
}

static double value_at(const struct format *f, const unsigned char *at, size_t i)
{
	uint64_t bits = bits_at(f, at, i) >> f->shift;
	int bias = (1 << f->exponent) / 2 - 1, e;
	double m;

	if (!f->exponent)
		return (double)(int8_t)bits;
	e = (int)(bits >> f->mantissa & ((1ULL << f->exponent) - 1));
	m = (double)(bits & ((1ULL << f->mantissa) - 1)) + (e ? ldexp(1, f->mantissa) : 0);
	m = ldexp(m, (e ? e : 1) - bias - f->mantissa);
	return bits >> (f->exponent + f->mantissa) & 1 ? -m : m;
}

static size_t sum_width(const struct format *f)
{
	return f->sum == DOUBLES ? sizeof(double) : sizeof(float);
}

static double sum_at(const struct format *f, const void *c, size_t i)
{
	if (f->sum == DOUBLES)
		return ((const double *)c)[i];
	return f->sum == FLOATS ? (double)((const float *)c)[i] : ((const int *)c)[i];
}

/* ---- launches ------------------------------------------------------------------------------ */

static void launch(const char *prefix, const char *suffix, unsigned blocks, unsigned threads,
		   unsigned shared, void **args)
{
	char name[64];
	const struct twin *t;

	snprintf(name, sizeof(name), "%s%s", prefix, suffix);
	t = twin_find(name);
	if (!t)
		fail_msg("no twin of %s", name);
	t->run(blocks, threads, shared, args);
}

static unsigned char *new_operand(const struct format *f, size_t count, int data, uint64_t seed)
{
	void *to = aligned_alloc(256, (count * (size_t)f->width + 255) / 256 * 256);
	uint64_t n = count;
	void *args[] = { &to, &n, &data, &seed };

	assert_non_null(to);
	launch("operand_", f->name, 3, 64, 0, args);
	return to;
}

struct product {
	const struct format *f;
	unsigned n;
	unsigned char *a, *b;
	void *c;
	unsigned *tile_sm;
};

static struct product product_new(const struct format *f, unsigned n, int data)
{
	const size_t count = (size_t)n * n, tiles = n / DEVICE_TILE;
	struct product p = { .f = f, .n = n };

	p.a = new_operand(f, count, data, SEED_A);
	p.b = new_operand(f, count, data, SEED_B);
	p.c = aligned_alloc(256, count * sum_width(f));
	assert_non_null(p.c);
	memset(p.c, 0xff, count * sum_width(f)); /* NaN: keep 0 must not look at it */
	p.tile_sm = xcalloc(tiles * tiles, sizeof(*p.tile_sm));
	memset(p.tile_sm, 0xff, tiles * tiles * sizeof(*p.tile_sm));
	return p;
}

static void product_free(struct product *p)
{
	free(p->a);
	free(p->b);
	free(p->c);
	free(p->tile_sm);
}

static void multiply(struct product *p, int keep)
{
	const unsigned tiles = p->n / DEVICE_TILE;
	void *args[] = { &p->a, &p->b, &p->c, &p->n, &p->tile_sm, &keep };

	launch("gemm_", p->f->name, tiles * tiles, DEVICE_GEMM_THREADS, DEVICE_GEMM_SHARED, args);
}

/* ---- the plain loops ----------------------------------------------------------------------- */

static double *values_of(const struct format *f, const unsigned char *at, size_t count)
{
	double *v = xcalloc(count, sizeof(*v));

	for (size_t i = 0; i < count; i++)
		v[i] = value_at(f, at, i);
	return v;
}

/* b's columns lie in rows. *size is the sum of the products' absolute values. */
static double plain_sum(const double *a, const double *b, unsigned n, double *size)
{
	double sum = 0;

	*size = 0;
	for (unsigned k = 0; k < n; k++) {
		sum += a[k] * b[k];
		*size += fabs(a[k] * b[k]);
	}
	return sum;
}

/* Each addition rounds once: an fp32 sum of n terms is within n 2^-24 of their size (Higham 4.2).
 */
static double tolerance(const struct format *f, unsigned n, double size)
{
	static const double unit[] = { [FLOATS] = 0x1p-24, [DOUBLES] = 0x1p-52, [INTEGERS] = 0 };

	return n * unit[f->sum] * size;
}

static void check_product(const struct product *p, int data, int times)
{
	const size_t count = (size_t)p->n * p->n;
	double *a = values_of(p->f, p->a, count), *b = values_of(p->f, p->b, count), size;

	for (unsigned i = 0; i < p->n; i++)
		for (unsigned j = 0; j < p->n; j++) {
			double want = times * plain_sum(a + (size_t)i * p->n, b + (size_t)j * p->n,
							p->n, &size),
			       got = sum_at(p->f, p->c, (size_t)i * p->n + j);

			if (!(fabs(got - want) <=
			      (data == GPU_EXACT ? 0 : tolerance(p->f, p->n, times * size))))
				fail_msg("%s n=%u data %d times %d: c[%u][%u] is %.17g, not %.17g",
					 p->f->name, p->n, data, times, i, j, got, want);
		}
	free(a);
	free(b);
}

static void check_tiles(const struct product *p)
{
	const unsigned tiles = p->n / DEVICE_TILE;

	for (unsigned t = 0; t < tiles * tiles; t++)
		assert_true(p->tile_sm[t] < SMS);
}

static void run_product(const struct format *f, unsigned n, int data)
{
	struct product p = product_new(f, n, data);

	multiply(&p, 0);
	check_product(&p, data, 1);
	check_tiles(&p);
	multiply(&p, 1);
	check_product(&p, data, 2);
	product_free(&p);
}

static void run_all(int data)
{
	twin_set_sms(SMS);
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++)
		for (unsigned n = 128; n <= 256; n += 128)
			run_product(&formats[f], n, data);
}

static void exact_products_are_exact(void **state)
{
	(void)state;
	run_all(GPU_EXACT);
}

static void random_products_are_within_rounding(void **state)
{
	(void)state;
	run_all(GPU_RANDOM);
}

/* The same data give the same bits, whatever was in c. */
static void products_repeat_bit_by_bit(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		struct product p = product_new(&formats[f], 128, GPU_TOGGLE);
		const size_t bytes = 128 * 128 * sum_width(&formats[f]);
		void *first = xcalloc(1, bytes);

		multiply(&p, 0);
		memcpy(first, p.c, bytes);
		multiply(&p, 0);
		assert_memory_equal(first, p.c, bytes);
		for (size_t i = 0; i < 128 * 128; i++)
			assert_true(isfinite(sum_at(&formats[f], p.c, i)));
		free(first);
		product_free(&p);
	}
}

/* n = 0 asks what the code was built for; the CPU is no architecture. */
static void ask_architecture(struct product *p)
{
	unsigned none = 0;
	int keep = 0;
	void *args[] = { &p->a, &p->b, &p->c, &none, &p->tile_sm, &keep };

	p->tile_sm[0] = 99;
	launch("gemm_", p->f->name, 1, DEVICE_GEMM_THREADS, DEVICE_GEMM_SHARED, args);
	assert_int_equal(p->tile_sm[0], 0);
}

/* Nine rows of tiles, for blocks take them in groups of eight: none may be missed. */
static void every_tile_is_done_once(void **state)
{
	struct product p = product_new(&formats[5], 9 * DEVICE_TILE, GPU_EXACT);
	struct golden *g = golden_new((int)p.n, SEED_A, SEED_B, 9, 2);
	const int *c = p.c;

	(void)state;
	multiply(&p, 0);
	check_tiles(&p);
	for (unsigned r = 0; r < p.n; r++) {
		uint64_t sum = 0;

		for (unsigned j = 0; j < p.n; j++)
			sum += (uint64_t)(int64_t)c[(size_t)r * p.n + j] * gpu_weight(9, j);
		if (!golden_row_is_right(g, (int)r, 1, sum))
			fail_msg("row %u is wrong", r);
	}
	golden_free(g);
	ask_architecture(&p);
	product_free(&p);
}

/* ---- operands ------------------------------------------------------------------------------ */

enum { OPERANDS = 4096 };

static void exact_operands_are_the_formula(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		unsigned char *v = new_operand(&formats[f], OPERANDS, GPU_EXACT, 5);

		for (size_t i = 0; i < OPERANDS; i++)
			assert_true(value_at(&formats[f], v, i) == gpu_exact_operand(5, i));
		free(v);
	}
}

/* Every bit of the mantissa is 1 in about half of them; 5 sigma of 4096 coins are 160. */
static void check_mantissas(const struct format *f, const unsigned char *v)
{
	for (int bit = 0; bit < f->mantissa; bit++) {
		int ones = 0;

		for (size_t i = 0; i < OPERANDS; i++)
			ones += bits_at(f, v, i) >> (f->shift + bit) & 1;
		if (abs(ones - OPERANDS / 2) > 160)
			fail_msg("%s: bit %d is set in %d of %d", f->name, bit, ones, OPERANDS);
	}
}

static void random_operands_are_full_and_finite(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		unsigned char *v = new_operand(&formats[f], OPERANDS, GPU_RANDOM, 6);
		int negative = 0;

		check_mantissas(&formats[f], v);
		for (size_t i = 0; i < OPERANDS; i++) {
			double x = value_at(&formats[f], v, i);

			negative += x < 0;
			if (formats[f].exponent)
				assert_true(fabs(x) >= 0.25 && fabs(x) < 2);
			assert_int_equal(
				bits_at(&formats[f], v, i) & ((1ULL << formats[f].shift) - 1), 0);
		}
		assert_true(abs(negative - OPERANDS / 2) < 160 + 40);
		free(v);
	}
}

static void toggling_operands_differ_in_every_bit(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		const struct format *o = &formats[f];
		unsigned char *v = new_operand(o, OPERANDS, GPU_TOGGLE, 7);
		const int width = o->width * 8;
		const uint64_t all =
			(width == 64 ? ~0ULL : (1ULL << width) - 1) >> o->shift << o->shift;

		for (size_t i = 0; i < OPERANDS; i++) {
			if (i % DEVICE_TILE != DEVICE_TILE - 1)
				assert_true((bits_at(o, v, i) ^ bits_at(o, v, i + 1)) == all);
			if (o->exponent)
				assert_true(fabs(value_at(o, v, i)) >= 1 &&
					    fabs(value_at(o, v, i)) <= 4);
		}
		free(v);
	}
}

/* ---- checksums and digests ----------------------------------------------------------------- */

enum { ROWS = 128 };

static const char *rows_name(const struct format *f)
{
	static const char *const names[] = { "f32", "f64", "i32" };

	return names[f->sum];
}

static uint64_t rows_of(const struct format *f, void *c, uint64_t *rows, unsigned threads)
{
	unsigned n = ROWS;
	uint64_t seed = 9, not_finite = 0, *count = &not_finite;
	void *args[] = { &c, &n, &seed, &rows, &count };

	launch("rows_", rows_name(f), n, threads, 0, args);
	return not_finite;
}

static void set_sum(const struct format *f, void *c, size_t i, double v)
{
	if (f->sum == DOUBLES)
		((double *)c)[i] = v;
	else if (f->sum == FLOATS)
		((float *)c)[i] = (float)v;
	else
		((int *)c)[i] = (int)v;
}

static uint64_t plain_row(const struct format *f, const void *c, unsigned r)
{
	uint64_t sum = 0;

	for (unsigned j = 0; j < ROWS; j++)
		sum += (uint64_t)(int64_t)sum_at(f, c, (size_t)r * ROWS + j) * gpu_weight(9, j);
	return sum;
}

static void *new_integers(const struct format *f)
{
	void *c = aligned_alloc(256, ROWS * ROWS * sum_width(f));

	assert_non_null(c);
	for (size_t i = 0; i < ROWS * ROWS; i++)
		set_sum(f, c, i, (double)(int)(gpu_unique(3, i) % 16777215) - 8388607);
	return c;
}

static void row_sums_are_those_of_c(void **state)
{
	static const size_t kinds[] = { 0, 1, 5 }; /* fp64, tf32, int8 */
	uint64_t rows[ROWS];

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		const struct format *f = &formats[kinds[k]];
		void *c = new_integers(f);

		for (unsigned threads = 32; threads <= 512; threads *= 4) {
			assert_int_equal(rows_of(f, c, rows, threads), 0);
			for (unsigned r = 0; r < ROWS; r++)
				assert_true(rows[r] == plain_row(f, c, r));
		}
		free(c);
	}
}

static void no_integers_spoil_their_row(void **state)
{
	static const double odd[] = { 0.5, NAN, INFINITY, -INFINITY, 0x1p53, 1e30, -1e-30 };
	uint64_t rows[ROWS];

	(void)state;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
			const struct format *f = &formats[k];
			void *c = new_integers(f);

			set_sum(f, c, 5 * ROWS + 77, odd[i]);
			assert_int_equal(rows_of(f, c, rows, 256), !isfinite(odd[i]));
			for (unsigned r = 0; r < ROWS; r++)
				assert_true(rows[r] ==
					    (r == 5 ? DEVICE_ROW_SPOILED : plain_row(f, c, r)));
			free(c);
		}
}

static uint64_t digest_of(uint32_t *c, uint64_t words, int is_double, uint64_t *not_finite)
{
	uint64_t digest = 0, *to = &digest;
	void *args[] = { &c, &words, &is_double, &to, &not_finite };

	*not_finite = 0;
	launch("digest_", "words", 5, 64, 0, args);
	return digest;
}

static void digests_are_the_sum_of_terms(void **state)
{
	uint32_t c[1000];
	uint64_t want = 0, odd;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(c); i++) {
		c[i] = (uint32_t)gpu_unique(1, i) & ~0x40000000U; /* finite */
		want += gpu_digest_term(i, c[i]);
	}
	for (int kind = -1; kind <= 1; kind++) {
		assert_true(digest_of(c, ARRAY_SIZE(c), kind, &odd) == want);
		assert_int_equal(odd, 0);
	}
	c[3] ^= 1;
	assert_true(digest_of(c, ARRAY_SIZE(c), -1, &odd) != want);
	c[500] = 0x7f800000; /* float infinity; a lower half of a double */
	c[701] = 0xfff80000; /* the upper half of a NaN; a NaN */
	digest_of(c, ARRAY_SIZE(c), 0, &odd);
	assert_int_equal(odd, 2);
	digest_of(c, ARRAY_SIZE(c), 1, &odd);
	assert_int_equal(odd, 1);
	digest_of(c, ARRAY_SIZE(c), -1, &odd);
	assert_int_equal(odd, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_products_are_exact),
		cmocka_unit_test(random_products_are_within_rounding),
		cmocka_unit_test(products_repeat_bit_by_bit),
		cmocka_unit_test(every_tile_is_done_once),
		cmocka_unit_test(exact_operands_are_the_formula),
		cmocka_unit_test(random_operands_are_full_and_finite),
		cmocka_unit_test(toggling_operands_differ_in_every_bit),
		cmocka_unit_test(row_sums_are_those_of_c),
		cmocka_unit_test(no_integers_spoil_their_row),
		cmocka_unit_test(digests_are_the_sum_of_terms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
