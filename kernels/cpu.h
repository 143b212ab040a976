/*
 * cpu.h - what the files of the processor burn share. Private to kernels/.
 *
 * A unit turns operands into result words by one fixed amount of work ("block"). What the words
 * must be is defined by arithmetic alone, so each unit's digests are constants that a portable
 * scalar program computed; tests/unit/test_cpu_burn.c is that program. The layouts below are all it
 * knows.
 */
#ifndef ASSAY_CPU_H
#define ASSAY_CPU_H

#include "kernels/kernels.h"

enum {
	CPU_VARIANTS = 4,    /* sets of operands, taken in turn */
	CPU_OUT_WORDS = 512, /* the most that a unit puts out */
	CPU_OPERAND_ALIGN = 64,
};

/*
 * In:  x[FMA_CHAINS][lanes], c[FMA_ADDENDS][lanes], doubles.  Out: x.
 * Each step s: x[i] = fma(x[i], x[i], c[(i + s) % FMA_ADDENDS]).
 */
enum { FMA_CHAINS = 12, FMA_ADDENDS = 4, FMA_STEPS = 32768 };

/*
 * In:  AMX_SETS times A0, A1, B0, B1, tiles of 1 KiB.  Out: C00, C01, C10, C11, fp32.
 * Step s: Cij += Ai x Bj of set s % AMX_SETS. The second half of the sets takes back what the first
 * half adds, and the last ring stops in its middle.
 */
enum { AMX_SETS = 8, AMX_TILE_WORDS = 128, AMX_STEPS = AMX_SETS * 1000 + AMX_SETS / 2 };

/*
 * In:  s[4], multipliers k[4], v[4][4], multipliers kv[4], 4 unused.  Out: s, v.
 * Step: for i in 0..3: p = s[i] * k[i] (128 bits); s[i] = low(p) ^ rotl(high(p), 29); then
 *       s[i] += popcount(s[(i + 3) % 4]).
 *       d = s[2] >> 33 | 1;  s[0] ^= s[1] / d + s[1] % d.
 *       For j, l in 0..3:
 *       v'[j][l] = low32(v[j][l]) * low32(kv[l]) + rotl(v[j][(l + 1) % 4], 23).
 */
enum { INTEGER_STEPS = 4096, INTEGER_IN = 32, INTEGER_OUT = 20 };

/*
 * In:  a[8][2], round keys k[4][2], p[2][2], factors q[2], 2 unused.  Out: a, p.
 * Step: a[i] = AESENC(a[i], k[i % 4]) for i < 4, AESDEC for the others; then
 *       p[j] = clmul(p[j][0], q[0]) ^ clmul(p[j][1], q[1]) ^ a[j].
 */
enum { AES_STEPS = 16384, AES_IN = 32, AES_OUT = 20 };

/*
 * Two chains. In:  state[2][8], w[2][16], 32-bit.  Out: the same.
 * Step: SHA-256 compression of both; the last 16 words of the schedule are the next message. A
 * state lies in memory as the registers of SHA-NI hold it: F E B A H G D C.
 */
enum { SHA_STEPS = 256, SHA_CHAINS = 2, SHA_WORDS = 24 };

struct cpu_unit {
	const char *name;
	enum cpu_mix mix;
	double ops;              /* of one block: FLOP, or steps */
	int in_words, out_words; /* 64-bit; in_words is a multiple of 8 */
	int (*can)(void);
	void (*fill)(uint64_t *in, int variant);
	void (*run)(const uint64_t *in, uint64_t *out); /* in is aligned to CPU_OPERAND_ALIGN */
	uint64_t golden[CPU_VARIANTS];
};

extern const struct cpu_unit cpu_unit_avx2, cpu_unit_avx512, cpu_unit_amx, cpu_unit_integer,
	cpu_unit_aes, cpu_unit_sha;
extern const struct cpu_unit *const cpu_units[]; /* ends with NULL */

/* Words of a variant's operands before a unit gives them their shape. */
void cpu_random_words(uint64_t *words, int count, int variant);
/* Changes for certain when one word changes. */
uint64_t cpu_digest(const uint64_t *words, int count);

/*
 * Operations per cycle of one core, by mix; 0 where not known. Hardware threads share their core:
 * with two of them at work each gets half.
 */
struct cpu_model {
	const char *vendor;
	unsigned family, first, last; /* models, as the CPUID instruction displays them */
	const char *brand;            /* must be part of the brand string; NULL: any */
	const char *name;
	double ops[CPU_MIXES];
};

/* NULL if the table does not know such a core. */
const struct cpu_model *cpu_model_find(const char *vendor, unsigned family, unsigned model,
				       const char *brand);
/* Of the processor that runs the call. */
const struct cpu_model *cpu_model_here(void);

#endif
