/*
 * cpu_fma.c - the double precision FMA loads, 256 and 512 bits wide.
 *
 * Every chain iterates x = x*x + c with c in (-1.96875, -1.953125]: the quadratic map is chaotic
 * there (its Lyapunov exponent is 0.59 or more for all chains used), so all mantissa bits and the
 * sign toggle for ever, a wrong bit grows from step to step instead of fading, and |x| never passes
 * 1.985. Nearer to zero the map has windows of short cycles, which is why c stays in this range.
 * The loop is written in assembly, so that every compiler at every setting runs the same stream
 * without a spill: 12 chains cover latency x ports of every known core (5 x 2 on Haswell and Zen
 * 2), and they and 4 addends are just the 16 registers of AVX2.
 */
#include "kernels/cpu.h"

/* clang-format off: it takes pasted strings for one long expression */
#define EACH(i, body) ".irp i," i "\n\t" body "\n\t.endr\n\t"

#define FMAS(reg, chains, addend)                                                                  \
	EACH(chains, "vfmadd213pd %%" reg addend ", %%" reg "\\i, %%" reg "\\i")

/* Chain i takes the addends, which lie in registers 12 to 15, in turn. */
#define STEP(reg, a, b, c, d)                                                                      \
	FMAS(reg, "0,4,8", a)                                                                      \
	FMAS(reg, "1,5,9", b)                                                                      \
	FMAS(reg, "2,6,10", c)                                                                     \
	FMAS(reg, "3,7,11", d)

#define BLOCK(reg, width)                                                                          \
	EACH("0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",                                              \
	     "vmovupd \\i*" width "(%[in]), %%" reg "\\i")                                         \
	".p2align 6\n"                                                                             \
	"1:\n\t" STEP(reg, "12", "13", "14", "15") STEP(reg, "13", "14", "15", "12")               \
		STEP(reg, "14", "15", "12", "13")                                                  \
			STEP(reg, "15", "12", "13",                                                \
			     "14") "dec %[turns]\n\t"                                              \
				   "jnz 1b\n\t" EACH("0,1,2,3,4,5,6,7,8,9,10,11",                  \
						     "vmovupd %%" reg "\\i, \\i*" width            \
						     "(%[out])") "vzeroupper\n\t"
/* clang-format on */

#define CLOBBERED                                                                                  \
	"cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",    \
		"xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

enum { LANES_AVX2 = 4, LANES_AVX512 = 8 };

static void run_avx2(const uint64_t *in, uint64_t *out)
{
	long turns = FMA_STEPS / FMA_ADDENDS;

	__asm__ volatile(BLOCK("ymm", "32")
			 : [turns] "+r"(turns)
			 : [in] "r"(in), [out] "r"(out)
			 : CLOBBERED);
}

static void run_avx512(const uint64_t *in, uint64_t *out)
{
	long turns = FMA_STEPS / FMA_ADDENDS;

	__asm__ volatile(BLOCK("zmm", "64")
			 : [turns] "+r"(turns)
			 : [in] "r"(in), [out] "r"(out)
			 : CLOBBERED);
}

/* Doubles made of bits, not by arithmetic, which a compiler could contract: |x| in [0.5, 1). */
static void fill(uint64_t *in, int variant, int lanes)
{
	int chains = FMA_CHAINS * lanes, all = (FMA_CHAINS + FMA_ADDENDS) * lanes;

	cpu_random_words(in, all, variant);
	for (int i = 0; i < chains; i++)
		in[i] = 0x3fe0000000000000 | (in[i] & 0x800fffffffffffff);
	for (int i = chains; i < all; i++)
		in[i] = 0xbfff400000000000 | (in[i] & 0x00003fffffffffff);
}

static void fill_avx2(uint64_t *in, int variant)
{
	fill(in, variant, LANES_AVX2);
}

static void fill_avx512(uint64_t *in, int variant)
{
	fill(in, variant, LANES_AVX512);
}

static int can_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int can_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}

const struct cpu_unit cpu_unit_avx2 = {
	.name = "avx2",
	.mix = CPU_AVX2,
	.ops = 2.0 * FMA_STEPS * FMA_CHAINS * LANES_AVX2,
	.in_words = (FMA_CHAINS + FMA_ADDENDS) * LANES_AVX2,
	.out_words = FMA_CHAINS * LANES_AVX2,
	.can = can_avx2,
	.fill = fill_avx2,
	.run = run_avx2,
	.golden = { 0x41077e2618e71bdf, 0x0f72b6d327c0ecb8, 0x95ef40f8f5785e4f,
		    0x28ccfa9d4b773e98 },
};

const struct cpu_unit cpu_unit_avx512 = {
	.name = "avx512",
	.mix = CPU_AVX512,
	.ops = 2.0 * FMA_STEPS * FMA_CHAINS * LANES_AVX512,
	.in_words = (FMA_CHAINS + FMA_ADDENDS) * LANES_AVX512,
	.out_words = FMA_CHAINS * LANES_AVX512,
	.can = can_avx512,
	.fill = fill_avx512,
	.run = run_avx512,
	.golden = { 0x983da55d93ba6227, 0x07d059786cb5cd38, 0x4589c0ec5a0f7972,
		    0x5c502e92b47e459f },
};
