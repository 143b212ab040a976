/*
 * test_gpu_wgmma.c - the wgmma kernels against the golden result and the mma.sync kernels, and the
 * emulation that they run on against the PTX ISA and against kernels that leave something out.
 */
#include "harness/base/base.h"
#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"
#include "kernels/gpu_gemm.h"
#include "tests/doubles/faulty.h"
#include "tests/doubles/tensor_map.h"
#include "tests/doubles/twins.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEED_A = 11, SEED_B = 12, WEIGHTS = 9, SMS = 7, GUARDS = 64 };
enum { MMA_MOST = 512 }; /* larger ones take the emulation of mma.sync long */

/* ---- launches ------------------------------------------------------------------------------ */

static CUresult encode(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *at,
		       const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
		       const cuuint32_t *steps, CUtensorMapInterleave interleave,
		       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
		       CUtensorMapFloatOOBfill fill)
{
	return (CUresult)tensor_map_encode(map, (int)type, rank, at, dims, strides, box, steps,
					   (int)interleave, (int)swizzle, (int)promotion,
					   (int)fill);
}

static void launch(const char *name, unsigned blocks, unsigned threads, unsigned shared,
		   void **args)
{
	const struct twin *t = twin_find(name);

	if (!t)
		fail_msg("no twin of %s", name);
	t->run(blocks, threads, shared, args);
}

static const struct format {
	const char *name;
	int width, is_integer;
	unsigned b_rows;
} formats[] = {
	{ "tf32", 4, 0, DEVICE_MAP_ROWS_B }, { "bf16", 2, 0, DEVICE_MAP_ROWS_B },
	{ "fp16", 2, 0, DEVICE_MAP_ROWS_B }, { "fp8", 1, 0, DEVICE_MAP_ROWS_B8 },
	{ "int8", 1, 1, DEVICE_MAP_ROWS_B },
};

enum { TF32, BF16, FP16, FP8, INT8 };

struct product {
	const struct format *f;
	unsigned n;
	void *a, *b;
	uint32_t *c, *by_mma; /* results, with guards behind */
	unsigned *tile_sm;
	CUtensorMap map_a, map_b;
};

static void *operand_new(const struct format *f, uint64_t count, int data, uint64_t seed)
{
	void *to = aligned_alloc(256, count * (size_t)f->width);
	void *args[] = { &to, &count, &data, &seed };
	char name[32];

	assert_non_null(to);
	snprintf(name, sizeof(name), "operand_%s", f->name);
	launch(name, 3, 64, 0, args);
	return to;
}

static uint32_t *result_new(size_t count)
{
	uint32_t *c = aligned_alloc(256, (count + GUARDS) * sizeof(*c));

	assert_non_null(c);
	memset(c, 0xff, (count + GUARDS) * sizeof(*c)); /* NaN: keep 0 must not look at it */
	return c;
}

static struct product product_new(const struct format *f, unsigned n, int data)
{
	const size_t count = (size_t)n * n, side = n / DEVICE_TILE;
	struct product p = { .f = f, .n = n };

	p.a = operand_new(f, count, data, SEED_A);
	p.b = operand_new(f, count, data, SEED_B);
	p.c = result_new(count);
	p.by_mma = result_new(count);
	p.tile_sm = xcalloc(side * side + 1, sizeof(*p.tile_sm));
	memset(p.tile_sm, 0xff, (side * side + 1) * sizeof(*p.tile_sm));
	assert_int_equal(gemm_map(encode, &p.map_a, (CUdeviceptr)(uintptr_t)p.a, (int)n, f->width,
				  DEVICE_MAP_ROWS_A),
			 CUDA_SUCCESS);
	assert_int_equal(gemm_map(encode, &p.map_b, (CUdeviceptr)(uintptr_t)p.b, (int)n, f->width,
				  f->b_rows),
			 CUDA_SUCCESS);
	return p;
}

static void product_free(struct product *p)
{
	free(p->a);
	free(p->b);
	free(p->c);
	free(p->by_mma);
	free(p->tile_sm);
}

static void multiply(struct product *p, unsigned blocks, int keep)
{
	void *args[] = { &p->map_a, &p->map_b, &p->c, &p->n, &p->tile_sm, &keep };
	char name[40];

	snprintf(name, sizeof(name), "gemm_%s_wgmma", p->f->name);
	launch(name, blocks, DEVICE_WGMMA_THREADS, DEVICE_WGMMA_SHARED, args);
}

static void multiply_by_mma(struct product *p, int keep)
{
	const unsigned side = p->n / DEVICE_TILE;
	unsigned *no_sms = NULL;
	void *args[] = { &p->a, &p->b, &p->by_mma, &p->n, &no_sms, &keep };
	char name[40];

	snprintf(name, sizeof(name), "gemm_%s", p->f->name);
	launch(name, side * side, DEVICE_GEMM_THREADS, DEVICE_GEMM_SHARED, args);
}

/* ---- products ------------------------------------------------------------------------------ */

static double sum_at(const struct product *p, const uint32_t *c, size_t i)
{
	float f;

	memcpy(&f, &c[i], sizeof(f));
	return p->f->is_integer ? (double)(int32_t)c[i] : (double)f;
}

static void check_rows(const struct product *p, const char *name, uint64_t times)
{
	struct golden *g = golden_new((int)p->n, SEED_A, SEED_B, WEIGHTS, 2);

	for (unsigned r = 0; r < p->n; r++) {
		uint64_t sum = 0;

		for (unsigned j = 0; j < p->n; j++) {
			const double v = sum_at(p, p->c, (size_t)r * p->n + j);

			if (!(fabs(v) < 1e9))
				fail_msg("%s: c[%u][%u] is %g", name, r, j, v);
			sum += (uint64_t)(int64_t)v * gpu_weight(WEIGHTS, j);
		}
		if (!golden_row_is_right(g, (int)r, times, sum))
			fail_msg("%s: row %u is wrong after %d products", name, r, (int)times);
	}
	golden_free(g);
}

/* What is left of c, and of the list of SMs, must be as it was. */
static void check_bounds(const struct product *p, const char *name)
{
	const size_t count = (size_t)p->n * p->n, side = p->n / DEVICE_TILE;

	for (size_t i = 0; i < GUARDS; i++)
		if (p->c[count + i] != UINT32_MAX)
			fail_msg("%s: wrote %zu words behind c", name, i);
	for (size_t t = 0; t < side * side; t++)
		if (p->tile_sm[t] >= SMS)
			fail_msg("%s: nobody did tile %zu", name, t);
	if (p->tile_sm[side * side] != UINT32_MAX)
		fail_msg("%s: wrote behind the list of SMs", name);
}

/* Stages are 4, of fp8 6; a chunk is 128 bytes of k; a block may have several tiles, or none. */
static const struct {
	const char *name;
	int format;
	unsigned n, blocks;
} products[] = {
	{ "bf16, fewer chunks than stages", BF16, 128, 1 },
	{ "bf16, a block for each tile", BF16, 256, 2 },
	{ "bf16, all by one block, a last tile half outside", BF16, 384, 1 },
	{ "bf16, more blocks than tiles", BF16, 128, 3 },
	{ "bf16, twice round the stages", BF16, 512, 3 },
	{ "fp16, one chunk more than stages", FP16, 384, 4 },
	{ "tf32, as many chunks as stages", TF32, 128, 1 },
	{ "tf32, twice round the stages", TF32, 256, 1 },
	{ "tf32, a last tile half outside", TF32, 384, 5 },
	{ "fp8, one chunk", FP8, 128, 1 },
	{ "fp8, several tiles a block", FP8, 384, 4 },
	{ "fp8, one chunk more than stages", FP8, 896, 9 },
	{ "int8, one chunk", INT8, 128, 1 },
	{ "int8, one chunk more than stages, a last tile half outside", INT8, 640, 6 },
};

static void exact_products_are_golden(void **state)
{
	(void)state;
	twin_set_sms(SMS);
	for (size_t i = 0; i < ARRAY_SIZE(products); i++) {
		struct product p =
			product_new(&formats[products[i].format], products[i].n, GPU_EXACT);
		const size_t bytes = (size_t)p.n * p.n * sizeof(*p.c);

		for (int keep = 0; keep < 2; keep++) {
			multiply(&p, products[i].blocks, keep);
			if (p.n <= MMA_MOST)
				multiply_by_mma(&p, keep);
			check_rows(&p, products[i].name, (uint64_t)keep + 1);
			if (p.n <= MMA_MOST && memcmp(p.c, p.by_mma, bytes))
				fail_msg("%s: not the bits of mma.sync", products[i].name);
		}
		check_bounds(&p, products[i].name);
		product_free(&p);
	}
}

/* Rows of tiles are worked on 16 at a time: neither may one be missed behind that, nor done twice.
 */
static void every_tile_is_done(void **state)
{
	struct product p = product_new(&formats[INT8], 17 * DEVICE_TILE, GPU_EXACT);

	(void)state;
	twin_set_sms(SMS);
	multiply(&p, 11, 0);
	check_rows(&p, "int8, 17 rows of tiles", 1);
	check_bounds(&p, "int8, 17 rows of tiles");
	product_free(&p);
}

/*
 * Random operands are below 2, products below 4, and each addition of n rounds once: two orders of
 * summing are within 2 n 2^-24 x 4 n of each other (Higham 4.2).
 */
static void random_products_are_near(void **state)
{
	const unsigned n = 256;

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		struct product p = product_new(&formats[f], n, GPU_RANDOM);
		const double most = formats[f].is_integer ? 0 : 2 * n * 0x1p-24 * 4 * n;

		multiply(&p, 2, 0);
		multiply_by_mma(&p, 0);
		for (size_t i = 0; i < (size_t)n * n; i++)
			if (!(fabs(sum_at(&p, p.c, i) - sum_at(&p, p.by_mma, i)) <= most))
				fail_msg("%s: element %zu is %g, by mma.sync %g", formats[f].name,
					 i, sum_at(&p, p.c, i), sum_at(&p, p.by_mma, i));
		product_free(&p);
	}
}

static void code_tells_what_it_was_built_for(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		struct product p = product_new(&formats[f], 128, GPU_EXACT);

		p.n = 0;
		multiply(&p, 1, 0);
		assert_int_equal(p.tile_sm[0], 90);
		assert_int_equal(p.c[0], UINT32_MAX);
		product_free(&p);
	}
}

/* ---- what the emulation stands on ---------------------------------------------------------- */

#define DESCRIPTOR(start, leading, stride, base, mode)                                             \
	((start) >> 4 | (leading) >> 4 << 16 | (stride) >> 4 << 32 | (base) << 49 | (mode) << 62)

/* Examples of the PTX ISA, "Strides" and "Canonical Layouts"; tf32, so four elements are 16 bytes.
 */
static void descriptors_are_read_as_the_isa_has_them(void **state)
{
	static const struct {
		const char *name;
		unsigned long long descriptor;
		unsigned row, k, at;
	} cases[] = {
		{ "none: the first", DESCRIPTOR(0x400ULL, 256ULL, 128ULL, 0ULL, 0ULL), 0, 0,
		  0x400 },
		{ "none: (1 x 4 + 32 + 64) x 4", DESCRIPTOR(0ULL, 256ULL, 128ULL, 0ULL, 0ULL), 9,
		  16, 400 },
		{ "32: (5 x 8 + 4) x 4, swizzled", DESCRIPTOR(0ULL, 16ULL, 256ULL, 0ULL, 3ULL), 5,
		  16, 0xa0 },
		{ "32: the next eight rows", DESCRIPTOR(0ULL, 16ULL, 256ULL, 0ULL, 3ULL), 13, 16,
		  0x1a0 },
		{ "64: 3 x 64, bit 7 moves 16", DESCRIPTOR(0ULL, 16ULL, 512ULL, 0ULL, 2ULL), 3, 0,
		  0xd0 },
		{ "128: 3 x 128 + 16, by 3", DESCRIPTOR(0ULL, 16ULL, 1024ULL, 0ULL, 1ULL), 3, 16,
		  0x1a0 },
		{ "128: k goes on by the start", DESCRIPTOR(0x60ULL, 16ULL, 1024ULL, 0ULL, 1ULL), 7,
		  16, 0x380 },
		{ "128: the next eight rows", DESCRIPTOR(0x2000ULL, 16ULL, 1024ULL, 0ULL, 1ULL), 8,
		  0, 0x2400 },
		{ "128: a pattern that begins two rows later",
		  DESCRIPTOR(0x100ULL, 16ULL, 1024ULL, 2ULL, 1ULL), 1, 0, 0x190 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const unsigned at =
			twin_wgmma_address(cases[i].descriptor, cases[i].row, cases[i].k);

		if (at != cases[i].at)
			fail_msg("%s: at %x, not %x", cases[i].name, at, cases[i].at);
	}
}

/* CUDA driver API, cuTensorMapEncodeTiled. */
static void maps_are_refused_as_by_the_driver(void **state)
{
	static const struct {
		const char *name;
		uintptr_t at;
		cuuint64_t bytes, rows, stride;
		cuuint32_t box, box_rows;
		CUresult rc;
	} cases[] = {
		{ "good", 0x1000, 256, 128, 256, 128, 128, CUDA_SUCCESS },
		{ "address", 0x1008, 256, 128, 256, 128, 128, CUDA_ERROR_INVALID_VALUE },
		{ "no bytes", 0x1000, 0, 128, 256, 128, 128, CUDA_ERROR_INVALID_VALUE },
		{ "stride", 0x1000, 250, 128, 250, 128, 128, CUDA_ERROR_INVALID_VALUE },
		{ "box wider than its swizzle", 0x1000, 256, 128, 256, 256, 128,
		  CUDA_ERROR_INVALID_VALUE },
		{ "box of odd bytes", 0x1000, 256, 128, 256, 120, 128, CUDA_ERROR_INVALID_VALUE },
		{ "more than 256 rows", 0x1000, 256, 512, 256, 128, 257, CUDA_ERROR_INVALID_VALUE },
	};
	CUtensorMap map;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const cuuint64_t dims[] = { cases[i].bytes, cases[i].rows };
		const cuuint32_t box[] = { cases[i].box, cases[i].box_rows }, steps[] = { 1, 1 };
		const CUresult rc =
			encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, (void *)cases[i].at, dims,
			       &cases[i].stride, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
			       CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE,
			       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);

		if (rc != cases[i].rc)
			fail_msg("%s: %d, not %d", cases[i].name, (int)rc, (int)cases[i].rc);
	}
}

/* ---- kernels that leave something out ------------------------------------------------------ */

enum { ROWS = 256, SUMS = 128 * 128 };

static const struct {
	int fault;
	const char *says; /* "": nothing, and the product is right; NULL: and it is not */
} faults[] = {
	{ FAULTY_NOTHING, "" },
	{ FAULTY_INIT, "mbarrier: was never initialised" },
	{ FAULTY_PUBLISH, "mbarrier: not fenced for the asynchronous proxy" },
	{ FAULTY_SYNC, "mbarrier: another thread initialised it, and nothing was in between" },
	{ FAULTY_FREE_WAIT, "mbarrier: more arrivals than it was made for" },
	{ FAULTY_TWICE, "copy: into shared memory that another copy is writing" },
	{ FAULTY_BYTES, "wait for what never comes: a GPU would hang" },
	{ FAULTY_FULL_WAIT, "wgmma: reads what no copy has brought yet" },
	{ FAULTY_HEARSAY, "wgmma: reads what this thread has not waited for" },
	{ FAULTY_FENCE, "wgmma: no wgmma.fence since its sums could be touched" },
	{ FAULTY_DESCRIPTOR, "wgmma: bits of a descriptor are set that mean nothing" },
	{ FAULTY_PATTERN, "wgmma: the pattern does not begin where the base offset says" },
	{ FAULTY_GROUP, "wgmma: the threads of its warpgroup are at different products" },
	{ FAULTY_TOUCH, "wgmma: a thread has written to sums" },
	{ FAULTY_EARLY_FREE, "copy: into shared memory that a product is still reading" },
	{ FAULTY_ARRIVE, "wait for what never comes: a GPU would hang" },
	{ FAULTY_WRITE, "wgmma: reads what threads wrote without fence.proxy.async" },
	{ FAULTY_WRITE_SHOWN, NULL },
	{ FAULTY_READ, NULL },
	{ FAULTY_END, "wgmma: ended without waiting for its products" },
};

/* Sum i of a thread, by the figure of the PTX ISA, against a plain product. */
static int product_is_right(const struct product *p, const float *to)
{
	int32_t golden[64 * ROWS];
	const struct golden g = { .n = ROWS, .threads = 1, .seed_a = SEED_A, .seed_b = SEED_B };
	int rows[64];

	for (int i = 0; i < 64; i++)
		rows[i] = i;
	golden_rows(&g, rows, 64, golden);
	for (int t = 0; t < 128; t++)
		for (int i = 0; i < 128; i++) {
			const int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8,
				  column = i / 4 * 8 + t % 4 * 2 + i % 2;

			if (to[t * 128 + i] != (float)golden[row * ROWS + column])
				return 0;
		}
	return p->n == ROWS;
}

/* In a child: the exit status says whether the product was right. */
static void run_fault(struct product *p, int fault)
{
	float *to = xcalloc(SUMS, sizeof(*to));
	void *args[] = { &p->map_a, &p->map_b, &to, &fault };

	launch("faulty_wgmma", 1, 129, 2 * 320 * 128 + 2048, args);
	_exit(product_is_right(p, to) ? 0 : 1);
}

/* Its status, and what it said in `text`. */
static int run_child(struct product *p, int fault, char *text, size_t room)
{
	size_t length = 0;
	ssize_t got;
	int ends[2], status;
	pid_t pid;

	fflush(NULL);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(ends[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		run_fault(p, fault);
	}
	close(ends[1]);
	while ((got = read(ends[0], text + length, room - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void check_fault(struct product *p, size_t i)
{
	char text[2000];
	const int status = run_child(p, faults[i].fault, text, sizeof(text));
	const int ended = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (!faults[i].says && ended != 1)
		fail_msg("fault %d: %d: %s", faults[i].fault, ended, text);
	else if (faults[i].says && !*faults[i].says && ended != 0)
		fail_msg("fault %d: %d: %s", faults[i].fault, ended, text);
	else if (faults[i].says && *faults[i].says &&
		 (ended != -1 || !strstr(text, faults[i].says)))
		fail_msg("fault %d: %d: \"%s\", not \"%s\"", faults[i].fault, ended, text,
			 faults[i].says);
}

static void omissions_are_noticed(void **state)
{
	struct product p = product_new(&formats[BF16], ROWS, GPU_EXACT);

	(void)state;
	/* its a has the 64 rows of one warpgroup */
	assert_int_equal(gemm_map(encode, &p.map_a, (CUdeviceptr)(uintptr_t)p.a, ROWS, 2, 64),
			 CUDA_SUCCESS);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		check_fault(&p, i);
	product_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_read_as_the_isa_has_them),
		cmocka_unit_test(maps_are_refused_as_by_the_driver),
		cmocka_unit_test(omissions_are_noticed),
		cmocka_unit_test(code_tells_what_it_was_built_for),
		cmocka_unit_test(exact_products_are_golden),
		cmocka_unit_test(every_tile_is_done),
		cmocka_unit_test(random_products_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
