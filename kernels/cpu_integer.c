/*
 * cpu_integer.c - the integer load: wide multiply, add, rotate, popcount and division in the scalar
 * ports while 256-bit multiply, shift, add and permute run in the vector ports.
 *
 * No chain can fall into a fixed point, and a wrong bit spreads through the multiplications, so
 * only the state after the last step need be looked at. cpu.h writes the step down as a formula.
 */
#include "kernels/cpu.h"

#include <immintrin.h>

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

__attribute__((target("popcnt"))) static inline void step_scalar(uint64_t s[4], const uint64_t k[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned __int128 p = (unsigned __int128)s[i] * k[i];

		s[i] = (uint64_t)p ^ rotate(p >> 64, 29);
		s[i] += __builtin_popcountll(s[(i + 3) % 4]);
	}

	uint64_t divisor = s[2] >> 33 | 1;

	s[0] ^= s[1] / divisor + s[1] % divisor;
}

__attribute__((target("avx2"))) static inline void step_vector(__m256i v[4], __m256i k)
{
	for (int j = 0; j < 4; j++) {
		__m256i turned =
			_mm256_or_si256(_mm256_slli_epi64(v[j], 23), _mm256_srli_epi64(v[j], 41));
		__m256i next_lane = _mm256_permute4x64_epi64(turned, 0x39);

		v[j] = _mm256_add_epi64(_mm256_mul_epu32(v[j], k), next_lane);
	}
}

__attribute__((target("avx2,popcnt"))) static void run(const uint64_t *in, uint64_t *out)
{
	const __m256i *vectors = (const __m256i *)(const void *)(in + 8);
	__m256i v[4] = { vectors[0], vectors[1], vectors[2], vectors[3] };
	uint64_t s[4] = { in[0], in[1], in[2], in[3] };

	for (int step = 0; step < INTEGER_STEPS; step++) {
		step_scalar(s, in + 4);
		step_vector(v, vectors[4]);
	}
	for (int i = 0; i < 4; i++) {
		out[i] = s[i];
		_mm256_storeu_si256((__m256i *)(void *)(out + 4 + 4 * i), v[i]);
	}
}

static void fill(uint64_t *in, int variant)
{
	cpu_random_words(in, INTEGER_IN, variant);
	for (int i = 0; i < 4; i++) {
		in[4 + i] |= 1;
		in[24 + i] |= 1;
	}
}

static int can(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

const struct cpu_unit cpu_unit_integer = {
	.name = "integer",
	.mix = CPU_INTEGER,
	.ops = INTEGER_STEPS,
	.in_words = INTEGER_IN,
	.out_words = INTEGER_OUT,
	.can = can,
	.fill = fill,
	.run = run,
	.golden = { 0x153acba4bd16f2f5, 0x8f0ae5cda3f93791, 0x34e034355ab8f1a3,
		    0x790f9493ab9d7bf0 },
};
