/*
 * data.h - what every byte of a test ought to be. Valid C11 and CUDA.
 *
 * One definition serves the kernels, the CPU that checks them, and the doubles, so that "expected"
 * cannot mean two things. All of it is a pure function of a seed and a position: a block that was
 * delivered twice, late, or to the wrong place differs from the one that belongs there.
 */
#ifndef ASSAY_GPU_DATA_H
#define ASSAY_GPU_DATA_H

#include <stdint.h>

#ifdef __CUDACC__
#define GPU_HD __host__ __device__ static inline
#else
#define GPU_HD static inline
#endif

/* splitmix64's finaliser (Steele, Lea, Flood 2014): a bijection, so no two positions collide. */
GPU_HD uint64_t gpu_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* The word at a position: never the same at two positions of one seed. */
GPU_HD uint64_t gpu_unique(uint64_t seed, uint64_t index)
{
	return gpu_mix(index + 0x9e3779b97f4a7c15ULL * (seed + 1));
}

/* ---- patterns of the memory test ----------------------------------------------------------- */

enum gpu_pattern {
	PATTERN_ADDRESS, /* own address xor seed */
	PATTERN_SOLID,   /* 0x00.., moved on by inversion */
	PATTERN_CHECKER, /* 0xaa.. */
	PATTERN_WALKING, /* one bit set, its place moves with address and step */
	PATTERN_RANDOM,  /* gpu_unique */
	PATTERN_MODULO,  /* every 20th word differs, at offset `step`: what neighbours disturb */
	PATTERN_COUNT
};

/* The word of a pattern at a position; `invert` gives its complement. */
GPU_HD uint64_t gpu_pattern_word(int pattern, uint64_t seed, uint64_t step, uint64_t index,
				 int invert)
{
	uint64_t word = 0;

	if (pattern == PATTERN_ADDRESS)
		word = (index << 3) ^ seed;
	else if (pattern == PATTERN_CHECKER)
		word = 0xaaaaaaaaaaaaaaaaULL;
	else if (pattern == PATTERN_WALKING)
		word = 1ULL << ((index + step) & 63);
	else if (pattern == PATTERN_RANDOM)
		word = gpu_unique(seed, index);
	else if (pattern == PATTERN_MODULO)
		word = index % 20 == step % 20 ? gpu_mix(seed) : ~gpu_mix(seed);
	return invert ? ~word : word;
}

/* ---- operands of the GEMM ------------------------------------------------------------------ */

/* As enum gpu_data of gpu.h: exact, random, toggle. */
enum { OPERAND_EXACT, OPERAND_RANDOM, OPERAND_TOGGLE };

/*
 * Exact operands are -2..2, without 0 more than they must: products are at most 4, and a sum over k
 * of them at most 4 k, which every accumulator holds exactly while 4 k x gemms < 2^24 (fp32).
 * Tensor cores that add fp8 products in fewer bits hold them while a chunk of 128 stays below 2^13.
 */
GPU_HD int gpu_exact_operand(uint64_t seed, uint64_t index)
{
	return (int)(gpu_unique(seed, index) % 5) - 2;
}

/* Weights of the row checksum, modulo 2^64; odd, so that no single difference is lost. */
GPU_HD uint64_t gpu_weight(uint64_t seed, uint64_t column)
{
	return gpu_unique(seed ^ 0x77656967687473ULL, column) | 1;
}

/* One element's share of a digest: the sum of all of them modulo 2^64, in any order. */
GPU_HD uint64_t gpu_digest_term(uint64_t index, uint64_t bits)
{
	return gpu_mix(bits ^ gpu_mix(index + 1));
}

#endif
