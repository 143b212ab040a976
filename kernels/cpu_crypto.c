/*
 * cpu_crypto.c - AES rounds with carry-less multiplication, and SHA-256, by their own instructions.
 *
 * Two units and not one, because Skylake and Cascade Lake servers have the first and not the
 * second; the burn takes those that are there in turn. cpu.h writes the steps down as formulas.
 */
#include "kernels/cpu.h"

#include <cpuid.h>
#include <immintrin.h>

__attribute__((target("aes,pclmul"))) static void run_aes(const uint64_t *in, uint64_t *out)
{
	const __m128i *from = (const __m128i *)(const void *)in;
	__m128i *to = (__m128i *)(void *)out;
	const __m128i *k = from + 8;
	__m128i a[8], p[2] = { from[12], from[13] }, q = from[14];

	for (int i = 0; i < 8; i++)
		a[i] = from[i];
	for (int step = 0; step < AES_STEPS; step++) {
		for (int i = 0; i < 4; i++) {
			a[i] = _mm_aesenc_si128(a[i], k[i]);
			a[i + 4] = _mm_aesdec_si128(a[i + 4], k[i]);
		}
		for (int j = 0; j < 2; j++) {
			__m128i low = _mm_clmulepi64_si128(p[j], q, 0x00);
			__m128i high = _mm_clmulepi64_si128(p[j], q, 0x11);

			p[j] = _mm_xor_si128(_mm_xor_si128(low, high), a[j]);
		}
	}
	for (int i = 0; i < 8; i++)
		_mm_storeu_si128(to + i, a[i]);
	for (int j = 0; j < 2; j++)
		_mm_storeu_si128(to + 8 + j, p[j]);
}

/* FIPS 180-4, 4.2.2. */
static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/* Four rounds, on four words of the schedule. */
__attribute__((target("sha,sse4.1"))) static inline void sha_rounds(__m128i state[2], __m128i w,
								    int quad)
{
	const __m128i *constants = (const __m128i *)(const void *)round_constants;
	__m128i wk = _mm_add_epi32(w, _mm_loadu_si128(constants + quad));

	state[1] = _mm_sha256rnds2_epu32(state[1], state[0], wk);
	state[0] = _mm_sha256rnds2_epu32(state[0], state[1], _mm_shuffle_epi32(wk, 0x0e));
}

/* The four words of the schedule that follow the sixteen in w, oldest at w[quad % 4]. */
__attribute__((target("sha,sse4.1"))) static inline __m128i sha_schedule(const __m128i w[4],
									 int quad)
{
	__m128i last = w[(quad + 3) % 4];
	__m128i sum = _mm_sha256msg1_epu32(w[quad % 4], w[(quad + 1) % 4]);

	sum = _mm_add_epi32(sum, _mm_alignr_epi8(last, w[(quad + 2) % 4], 4));
	return _mm_sha256msg2_epu32(sum, last);
}

/* The chains go side by side: the rounds of one alone would wait for their own results. */
__attribute__((target("sha,sse4.1"))) static void sha_step(__m128i state[SHA_CHAINS][2],
							   __m128i w[SHA_CHAINS][4])
{
	__m128i old[SHA_CHAINS][2];

	for (int c = 0; c < SHA_CHAINS; c++)
		for (int i = 0; i < 2; i++)
			old[c][i] = state[c][i];
	for (int quad = 0; quad < 16; quad++)
		for (int c = 0; c < SHA_CHAINS; c++) {
			if (quad >= 4)
				w[c][quad % 4] = sha_schedule(w[c], quad);
			sha_rounds(state[c], w[c][quad % 4], quad);
		}
	for (int c = 0; c < SHA_CHAINS; c++)
		for (int i = 0; i < 2; i++)
			state[c][i] = _mm_add_epi32(state[c][i], old[c][i]);
}

__attribute__((target("sha,sse4.1"))) static void run_sha(const uint64_t *in, uint64_t *out)
{
	const __m128i *from = (const __m128i *)(const void *)in;
	__m128i *to = (__m128i *)(void *)out;
	__m128i state[SHA_CHAINS][2], w[SHA_CHAINS][4];

	for (int i = 0; i < 2 * SHA_CHAINS; i++)
		state[i / 2][i % 2] = from[i];
	for (int i = 0; i < 4 * SHA_CHAINS; i++)
		w[i / 4][i % 4] = from[2 * SHA_CHAINS + i];
	for (int step = 0; step < SHA_STEPS; step++)
		sha_step(state, w);
	for (int i = 0; i < 2 * SHA_CHAINS; i++)
		_mm_storeu_si128(to + i, state[i / 2][i % 2]);
	for (int i = 0; i < 4 * SHA_CHAINS; i++)
		_mm_storeu_si128(to + 2 * SHA_CHAINS + i, w[i / 4][i % 4]);
}

static void fill_aes(uint64_t *in, int variant)
{
	cpu_random_words(in, AES_IN, variant);
}

static void fill_sha(uint64_t *in, int variant)
{
	cpu_random_words(in, SHA_WORDS, variant);
}

static int can_aes(void)
{
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
}

/* CPUID leaf 7, EBX bit 29. The instructions work on XMM registers, which every x86-64 saves. */
static int can_sha(void)
{
	unsigned a, b, c, d;

	return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
	       (b & 1u << 29);
}

const struct cpu_unit cpu_unit_aes = {
	.name = "aes",
	.mix = CPU_CRYPTO,
	.ops = AES_STEPS,
	.in_words = AES_IN,
	.out_words = AES_OUT,
	.can = can_aes,
	.fill = fill_aes,
	.run = run_aes,
	.golden = { 0xb2a61188452a3f39, 0xc0ccbd9221b11aa7, 0xe68629030f451596,
		    0x6a201195e4429b87 },
};

const struct cpu_unit cpu_unit_sha = {
	.name = "sha",
	.mix = CPU_CRYPTO,
	.ops = SHA_STEPS,
	.in_words = SHA_WORDS,
	.out_words = SHA_WORDS,
	.can = can_sha,
	.fill = fill_sha,
	.run = run_sha,
	.golden = { 0xdbac5c12090818d2, 0x47c03651e7186638, 0xedd36e778584f32b,
		    0x0729d91583095e31 },
};
