/*
 * cpu_amx.c - the bf16 load of the tile matrix unit.
 *
 * The tile layout follows TDPBF16PS, TILELOADD and LDTILECFG in the Intel 64 and IA-32
 * Architectures Software Developer's Manual, volume 2: A holds 16 rows of 32 bf16, B holds 16 rows
 * of 16 pairs, pair (r, n) being the elements (2r, n) and (2r + 1, n). Operands are integers of 8
 * significant bits times powers of two that cancel in the product, and every partial sum stays
 * below 2^24: all fp32 sums are exact, so the golden result does not depend on the order in which a
 * core adds.
 */
#include "kernels/cpu.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SET_BYTES = 4096, TILE_ROWS = 16, TILE_COLUMNS = 32, SET_WORDS = 4 * AMX_TILE_WORDS };

/* SDM volume 1, "Programming with Intel AMX": palette 1, bytes of a row at 16, rows at 48. */
struct tile_config {
	uint8_t palette, start_row, reserved[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
};

static const struct tile_config config = {
	.palette = 1,
	.row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
	.rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

/* Tiles 0 to 3 are C, 4 and 5 A, 6 and 7 B: four products for four loads, so the unit never waits.
 */
static void run(const uint64_t *in, uint64_t *out)
{
	long steps = AMX_STEPS, offset = 0;

	__asm__ volatile("ldtilecfg (%[config])\n\t"
			 "tilezero %%tmm0\n\t"
			 "tilezero %%tmm1\n\t"
			 "tilezero %%tmm2\n\t"
			 "tilezero %%tmm3\n"
			 "1:\n\t"
			 "lea (%[in], %[offset]), %%rax\n\t"
			 "tileloadd (%%rax, %[stride]), %%tmm4\n\t"
			 "tileloadd 2048(%%rax, %[stride]), %%tmm6\n\t"
			 "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\t"
			 "tileloadd 3072(%%rax, %[stride]), %%tmm7\n\t"
			 "tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
			 "tileloadd 1024(%%rax, %[stride]), %%tmm5\n\t"
			 "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\t"
			 "tdpbf16ps %%tmm7, %%tmm5, %%tmm3\n\t"
			 "add %[set], %[offset]\n\t"
			 "and %[mask], %[offset]\n\t"
			 "dec %[steps]\n\t"
			 "jnz 1b\n\t"
			 "tilestored %%tmm0, (%[out], %[stride])\n\t"
			 "tilestored %%tmm1, 1024(%[out], %[stride])\n\t"
			 "tilestored %%tmm2, 2048(%[out], %[stride])\n\t"
			 "tilestored %%tmm3, 3072(%[out], %[stride])\n\t"
			 "tilerelease\n\t"
			 : [steps] "+r"(steps), [offset] "+r"(offset)
			 : [in] "r"(in), [out] "r"(out), [config] "r"(&config), [stride] "r"(64L),
			   [set] "i"(SET_BYTES), [mask] "i"(AMX_SETS * SET_BYTES - 1)
			 : "cc", "memory", "rax");
}

/* +-1.mmmmmmm times 2^exponent; 134 is the biased exponent of 128. */
static uint16_t bf16(uint64_t bits, int exponent)
{
	return (bits & 0x80) << 8 | (134 + exponent) << 7 | (bits & 0x7f);
}

static size_t at_a(int m, int k)
{
	return m * TILE_COLUMNS + k;
}

static size_t at_b(int k, int n)
{
	return k / 2 * TILE_COLUMNS + n * 2 + k % 2;
}

static void shape_set(uint16_t *set)
{
	for (int tile = 0; tile < 2; tile++) {
		uint16_t *a = set + tile * 4 * AMX_TILE_WORDS;
		uint16_t *b = a + 2 * 4 * AMX_TILE_WORDS;

		for (int k = 0; k < TILE_COLUMNS; k++)
			for (int i = 0; i < TILE_ROWS; i++) {
				a[at_a(i, k)] = bf16(a[at_a(i, k)], k - TILE_ROWS);
				b[at_b(k, i)] = bf16(b[at_b(k, i)], TILE_ROWS - k);
			}
	}
}

/* -A times B with k running backwards, so that a multiplier's own fault does not cancel. */
static void shape_opposite(uint16_t *opposite, const uint16_t *set)
{
	for (int tile = 0; tile < 2; tile++) {
		size_t a = tile * 4 * AMX_TILE_WORDS, b = a + 2 * 4 * AMX_TILE_WORDS;

		for (int k = 0; k < TILE_COLUMNS; k++)
			for (int i = 0; i < TILE_ROWS; i++) {
				int mirror = TILE_COLUMNS - 1 - k;

				opposite[a + at_a(i, k)] = set[a + at_a(i, mirror)] ^ 0x8000;
				opposite[b + at_b(k, i)] = set[b + at_b(mirror, i)];
			}
	}
}

static void fill(uint64_t *in, int variant)
{
	/* The tiles are 16-bit elements; a word only carries them. */
	uint16_t *sets = (uint16_t *)(void *)in;
	size_t half = (size_t)AMX_SETS / 2 * SET_WORDS * 4;

	cpu_random_words(in, AMX_SETS / 2 * SET_WORDS, variant);
	for (int s = 0; s < AMX_SETS / 2; s++) {
		uint16_t *set = sets + (size_t)s * SET_WORDS * 4;

		shape_set(set);
		shape_opposite(set + half, set);
	}
}

/* CPUID leaf 7: EDX bit 22 is AMX-BF16, 24 AMX-TILE. XCR0 bits 17 and 18 are the tile states. */
static int can(void)
{
	enum { OSXSAVE = 1 << 27, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, TILE_STATES = 3 << 17 };
	/* Linux, Documentation/arch/x86/xstate.rst: tile data must be asked for, once a process. */
	enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
	unsigned a, b, c, d, xcr0, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
		return 0;
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE))
		return 0;
	__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
	return (xcr0 & TILE_STATES) == TILE_STATES &&
	       syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

const struct cpu_unit cpu_unit_amx = {
	.name = "amx",
	.mix = CPU_AMX,
	.ops = AMX_STEPS * 4.0 * (2.0 * TILE_ROWS * TILE_ROWS * TILE_COLUMNS),
	.in_words = AMX_SETS * SET_WORDS,
	.out_words = 4 * AMX_TILE_WORDS,
	.can = can,
	.fill = fill,
	.run = run,
	.golden = { 0xecf46691baa36f3f, 0x7b4ddf19dd775554, 0x21afa1900e3353c7,
		    0x41802ee3a0a9bc70 },
};
