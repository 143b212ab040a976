/*
 * test_cpu_burn.c - the processor burn: its golden digests, its counts, its table of cores.
 *
 * The first half computes every golden digest again, in scalar integer arithmetic from the formulas
 * in cpu.h: the fused multiply-add is exact by 128-bit integers, AES by the field GF(2^8), SHA-256
 * by FIPS 180-4, so no instruction under test vouches for itself. A digest that is off is printed
 * with what it should be.
 */
#include "kernels/cpu.h"
#include "kernels/machine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t rotate64(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static uint32_t rotate32(uint32_t x, int right)
{
	return x >> right | x << (32 - right);
}

/* ---- fused multiply-add -------------------------------------------------------------------- */

/* x*x in units of 2^-104, |x| < 2; what is cut off below stays visible in the last bit. */
static __int128 exact_square(uint64_t x)
{
	int exponent = (int)(x >> 52 & 0x7ff) - 1023;
	unsigned __int128 m = (x & 0xfffffffffffff) | 0x10000000000000;
	int shift = -2 * exponent;

	m *= m;
	if (shift > 120)
		return 1;

	unsigned __int128 kept = m >> shift;

	return (__int128)(kept | (kept << shift != m));
}

/* Rounds a value in units of 2^-104 to the nearest double, ties to even. */
static uint64_t round_to_double(__int128 value)
{
	uint64_t sign = value < 0 ? 1ull << 63 : 0;
	unsigned __int128 m = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
	int exponent = -52; /* of the last bit of m >> 52, as a power of two */
	int shift = 52;

	assert_true(m != 0);
	for (; m >> shift >= 0x20000000000000; exponent++)
		shift++;
	for (; m >> shift < 0x10000000000000 && shift > 0; exponent--)
		shift--;
	assert_true(shift > 0);

	unsigned __int128 rest = m & (((unsigned __int128)1 << shift) - 1);
	unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
	uint64_t kept = (uint64_t)(m >> shift);

	kept += rest > half || (rest == half && (kept & 1));
	/* A carry out of the mantissa lands in the exponent, where it belongs. */
	return sign | (((uint64_t)(exponent + 52 + 1023) << 52) + (kept - 0x10000000000000));
}

/* x*x + c for normal x in (-2, 2) and c in (-2, -1], as bits. */
static uint64_t soft_fma(uint64_t x, uint64_t c)
{
	__int128 addend = (__int128)((c & 0xfffffffffffff) | 0x10000000000000) << 52;

	return round_to_double(exact_square(x) - addend);
}

static void portable_fma(const uint64_t *in, uint64_t *out, int lanes)
{
	const uint64_t *c = in + FMA_CHAINS * lanes;

	for (int i = 0; i < FMA_CHAINS; i++)
		for (int l = 0; l < lanes; l++) {
			uint64_t x = in[i * lanes + l];

			for (int s = 0; s < FMA_STEPS; s++)
				x = soft_fma(x, c[(i + s) % FMA_ADDENDS * lanes + l]);
			out[i * lanes + l] = x;
		}
}

static void portable_avx2(const uint64_t *in, uint64_t *out)
{
	portable_fma(in, out, 4);
}

static void portable_avx512(const uint64_t *in, uint64_t *out)
{
	portable_fma(in, out, 8);
}

/* ---- tiles --------------------------------------------------------------------------------- */

static float from_bf16(const unsigned char *tile, int row, int element)
{
	uint16_t half;
	uint32_t bits;
	float value;

	memcpy(&half, tile + 64 * row + 2 * element, sizeof(half));
	bits = (uint32_t)half << 16;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* TDPBF16PS as the manual's pseudo-code has it; every sum is exact, so the order is free. */
static void portable_tile_product(float c[16][16], const unsigned char *a, const unsigned char *b)
{
	for (int m = 0; m < 16; m++)
		for (int k = 0; k < 16; k++)
			for (int n = 0; n < 16; n++)
				for (int i = 0; i < 2; i++)
					c[m][n] += from_bf16(a, m, 2 * k + i) *
						   from_bf16(b, k, 2 * n + i);
}

static void portable_set(float c[4][16][16], const uint64_t *set)
{
	for (int i = 0; i < 4; i++)
		portable_tile_product(c[i], (const unsigned char *)(set + i / 2 * AMX_TILE_WORDS),
				      (const unsigned char *)(set + (2 + i % 2) * AMX_TILE_WORDS));
}

static void portable_amx(const uint64_t *in, uint64_t *out)
{
	static const float zero[4][16][16];
	float c[4][16][16] = { 0 };

	for (int s = 0; s < AMX_SETS; s++)
		portable_set(c, in + s * 4 * AMX_TILE_WORDS);
	/* -0 == 0 here, but its bits would differ: a ring leaves nothing at all. */
	assert_memory_equal(c, zero, sizeof(c));
	for (int s = 0; s < AMX_STEPS % AMX_SETS; s++)
		portable_set(c, in + s * 4 * AMX_TILE_WORDS);
	memcpy(out, c, sizeof(c));
}

/* ---- integer ------------------------------------------------------------------------------- */

static int count_bits(uint64_t x)
{
	int n = 0;

	for (; x; x &= x - 1)
		n++;
	return n;
}

static void portable_scalar_step(uint64_t s[4], const uint64_t k[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned __int128 p = (unsigned __int128)s[i] * k[i];

		s[i] = (uint64_t)p ^ rotate64((uint64_t)(p >> 64), 29);
		s[i] += (uint64_t)count_bits(s[(i + 3) % 4]);
	}

	uint64_t d = s[2] >> 33 | 1;

	s[0] ^= s[1] / d + s[1] % d;
}

static void portable_vector_step(uint64_t v[4], const uint64_t kv[4])
{
	uint64_t old[4];

	memcpy(old, v, sizeof(old));
	for (int l = 0; l < 4; l++)
		v[l] = (old[l] & 0xffffffff) * (kv[l] & 0xffffffff) +
		       rotate64(old[(l + 1) % 4], 23);
}

static void portable_integer(const uint64_t *in, uint64_t *out)
{
	memcpy(out, in, 4 * sizeof(*out));
	memcpy(out + 4, in + 8, 16 * sizeof(*out));
	for (int step = 0; step < INTEGER_STEPS; step++) {
		portable_scalar_step(out, in + 4);
		for (int j = 0; j < 4; j++)
			portable_vector_step(out + 4 + 4 * j, in + 24);
	}
}

/* ---- AES and carry-less multiplication ----------------------------------------------------- */

struct aes_tables {
	unsigned char box[256], back[256]; /* FIPS 197, 5.1.1 and 5.3.2 */
	unsigned char times[16][256];      /* products in GF(2^8) */
};

static unsigned char field_multiply(unsigned char a, unsigned char b)
{
	unsigned product = 0;

	for (int i = 0; i < 8; i++)
		if (b >> i & 1)
			product ^= (unsigned)a << i;
	for (int i = 14; i >= 8; i--)
		if (product >> i & 1)
			product ^= 0x11bu << (i - 8);
	return (unsigned char)product;
}

static unsigned char field_inverse(unsigned char a)
{
	for (unsigned b = 1; b < 256; b++)
		if (field_multiply(a, (unsigned char)b) == 1)
			return (unsigned char)b;
	return 0;
}

static struct aes_tables *aes_tables_make(void)
{
	struct aes_tables *t = xcalloc(1, sizeof(*t));

	for (unsigned x = 0; x < 256; x++) {
		unsigned b = field_inverse((unsigned char)x), wide = b << 8 | b;

		b ^= wide >> 7 ^ wide >> 6 ^ wide >> 5 ^ wide >> 4 ^ 0x63;
		t->box[x] = b & 0xff;
		t->back[b & 0xff] = (unsigned char)x;
		for (unsigned k = 0; k < 16; k++)
			t->times[k][x] = field_multiply((unsigned char)x, (unsigned char)k);
	}
	return t;
}

/* AESENC: shift rows, substitute, mix columns, add the key. AESDEC with the inverses of each. */
static void aes_round(const struct aes_tables *t, unsigned char state[16],
		      const unsigned char key[16], int backwards)
{
	static const unsigned char mixes[2][4] = { { 2, 3, 1, 1 }, { 14, 11, 13, 9 } };
	const unsigned char *mix = mixes[backwards], *box = backwards ? t->back : t->box;
	unsigned char shifted[16];

	for (int column = 0; column < 4; column++)
		for (int row = 0; row < 4; row++) {
			int from = backwards ? column + 4 - row : column + row;

			shifted[4 * column + row] = box[state[from % 4 * 4 + row]];
		}
	for (int i = 0; i < 16; i++) {
		unsigned char sum = key[i];

		for (int row = 0; row < 4; row++)
			sum ^= t->times[mix[(row + 4 - i % 4) % 4]][shifted[i / 4 * 4 + row]];
		state[i] = sum;
	}
}

static void carryless_multiply(uint64_t a, uint64_t b, uint64_t product[2])
{
	product[0] = product[1] = 0;
	for (int i = 0; i < 64; i++)
		if (b >> i & 1) {
			product[0] ^= a << i;
			product[1] ^= i ? a >> (64 - i) : 0;
		}
}

static void portable_fold(uint64_t p[2], const uint64_t q[2], const uint64_t a[2])
{
	uint64_t low[2], high[2];

	carryless_multiply(p[0], q[0], low);
	carryless_multiply(p[1], q[1], high);
	for (int i = 0; i < 2; i++)
		p[i] = low[i] ^ high[i] ^ a[i];
}

static void portable_aes(const uint64_t *in, uint64_t *out)
{
	struct aes_tables *t = aes_tables_make();

	memcpy(out, in, 16 * sizeof(*out));
	memcpy(out + 16, in + 24, 4 * sizeof(*out));
	for (int step = 0; step < AES_STEPS; step++) {
		for (int i = 0; i < 8; i++)
			aes_round(t, (unsigned char *)(out + 2 * i),
				  (const unsigned char *)(in + 16 + 2 * (i % 4)), i >= 4);
		for (int j = 0; j < 2; j++)
			portable_fold(out + 16 + 2 * j, in + 28, out + 2 * j);
	}
	free(t);
}

/* ---- SHA-256 ------------------------------------------------------------------------------- */

/* FIPS 180-4, 4.2.2: first 32 bits of the fraction of the cube roots of the first 64 primes. */
static void sha_constants(uint32_t k[64])
{
	int found = 0;

	for (int n = 2; found < 64; n++) {
		int prime = 1;

		for (int d = 2; d * d <= n; d++)
			prime &= n % d != 0;
		if (prime)
			k[found++] = (uint32_t)(fmod(cbrt(n), 1) * 4294967296.0);
	}
}

/* FIPS 180-4, 6.2.2. The state is a to h; w goes on to its last sixteen words. */
static void sha_compress(const uint32_t k[64], uint32_t state[8], uint32_t w[16])
{
	uint32_t s[8], all[64];

	memcpy(s, state, sizeof(s));
	memcpy(all, w, 16 * sizeof(*w));
	for (int t = 16; t < 64; t++) {
		uint32_t x = all[t - 15], y = all[t - 2];

		all[t] = (rotate32(x, 7) ^ rotate32(x, 18) ^ x >> 3) + all[t - 16] + all[t - 7] +
			 (rotate32(y, 17) ^ rotate32(y, 19) ^ y >> 10);
	}
	for (int t = 0; t < 64; t++) {
		uint32_t big1 = rotate32(s[4], 6) ^ rotate32(s[4], 11) ^ rotate32(s[4], 25);
		uint32_t big0 = rotate32(s[0], 2) ^ rotate32(s[0], 13) ^ rotate32(s[0], 22);
		uint32_t one = s[7] + big1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[t] + all[t];
		uint32_t two = big0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(*s));
		s[4] += one;
		s[0] = one + two;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
	memcpy(w, all + 48, 16 * sizeof(*w));
}

static void portable_sha(const uint64_t *in, uint64_t *out)
{
	static const int lies_at[8] = { 3, 2, 7, 6, 1, 0, 5, 4 }; /* of a to h in F E B A H G D C */
	uint32_t words[2 * SHA_WORDS], state[8], k[64];

	sha_constants(k);
	memcpy(words, in, sizeof(words));
	for (int chain = 0; chain < SHA_CHAINS; chain++) {
		uint32_t *held = words + 8 * chain, *w = words + 8 * SHA_CHAINS + 16 * chain;

		for (int i = 0; i < 8; i++)
			state[i] = held[lies_at[i]];
		for (int step = 0; step < SHA_STEPS; step++)
			sha_compress(k, state, w);
		for (int i = 0; i < 8; i++)
			held[lies_at[i]] = state[i];
	}
	memcpy(out, words, sizeof(words));
}

/* ---- known answers of the portable half ---------------------------------------------------- */

static void fma_rounds_once(void **unused)
{
	static const struct {
		double x, c, sum;
	} cases[] = {
		{ 0x1.8p+0, -0x1p+0, 0x1.4p+0 },
		{ 0x1p-1, -0x1.8p+0, -0x1.4p+0 },
		/* (1 + 2^-52)^2 - 1 = 2^-51 + 2^-104: two roundings would lose the last term */
		{ 0x1.0000000000001p+0, -0x1p+0, 0x1.0000000000000p-51 },
		{ 0x1.4000000000001p+0, -0x1.9p+0, 0x1.4000000000000p-51 },
		{ 0x1p-27, -0x1.8p+0, -0x1.7ffffffffffffp+0 - 0x1p-53 },
		{ 0x1.8p-30, -0x1.8p+0, -0x1.8p+0 },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t x, c;
		double sum;

		memcpy(&x, &cases[i].x, sizeof(x));
		memcpy(&c, &cases[i].c, sizeof(c));
		x = soft_fma(x, c);
		memcpy(&sum, &x, sizeof(sum));
		if (sum != cases[i].sum)
			fail_msg("case %zu: %a, not %a", i, sum, cases[i].sum);
	}
}

/* From "Intel Advanced Encryption Standard Instructions Set" (323641), the descriptions of both. */
static void aes_rounds_match_the_paper(void **unused)
{
	static const unsigned char key[16] = { 0x5d, 0x6e, 0x6f, 0x72, 0x65, 0x75, 0x47, 0x5b,
					       0x29, 0x79, 0x61, 0x68, 0x53, 0x28, 0x69, 0x48 };
	static const unsigned char state[16] = { 0x5d, 0x47, 0x53, 0x5d, 0x72, 0x6f, 0x74, 0x63,
						 0x65, 0x56, 0x74, 0x73, 0x65, 0x54, 0x5b, 0x7b };
	static const unsigned char after[2][16] = {
		{ 0x95, 0xe5, 0xd7, 0xde, 0x58, 0x4b, 0x10, 0x8b, 0xc5, 0xa3, 0xdb, 0x9f, 0x2f,
		  0x1c, 0x31, 0xa8 },
		{ 0x2a, 0x39, 0x30, 0xb7, 0x5e, 0xb9, 0x8e, 0xb5, 0x87, 0x27, 0xea, 0xfa, 0x42,
		  0xc3, 0x8a, 0x13 },
	};
	struct aes_tables *t = aes_tables_make();

	(void)unused;
	for (int backwards = 0; backwards < 2; backwards++) {
		unsigned char got[16];

		memcpy(got, state, sizeof(got));
		aes_round(t, got, key, backwards);
		assert_memory_equal(got, after[backwards], sizeof(got));
	}
	free(t);
}

/* FIPS 180-4's example: the one-block message "abc". */
static void sha_matches_the_standard(void **unused)
{
	static const uint32_t digest[8] = { 0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
					    0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad };
	uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	uint32_t w[16] = { [0] = 0x61626380, [15] = 24 }, k[64];

	(void)unused;
	sha_constants(k);
	sha_compress(k, state, w);
	assert_memory_equal(state, digest, sizeof(state));
}

/* ---- golden digests ------------------------------------------------------------------------ */

static const struct {
	const struct cpu_unit *unit;
	void (*compute)(const uint64_t *in, uint64_t *out);
} portables[] = {
	{ &cpu_unit_avx2, portable_avx2 }, { &cpu_unit_avx512, portable_avx512 },
	{ &cpu_unit_amx, portable_amx },   { &cpu_unit_integer, portable_integer },
	{ &cpu_unit_aes, portable_aes },   { &cpu_unit_sha, portable_sha },
};

static int digest_is_off(int which, int variant)
{
	const struct cpu_unit *unit = portables[which].unit;
	uint64_t *in = xcalloc(unit->in_words, sizeof(*in));
	uint64_t *out = xcalloc(CPU_OUT_WORDS, sizeof(*out)), digest;

	unit->fill(in, variant);
	portables[which].compute(in, out);
	digest = cpu_digest(out, unit->out_words);
	free(in);
	free(out);
	if (digest == unit->golden[variant])
		return 0;
	print_error("%s variant %d: golden must be 0x%016llx\n", unit->name, variant,
		    (unsigned long long)digest);
	return 1;
}

static void golden_digests_are_right(void **unused)
{
	int off = 0;

	(void)unused;
	for (int i = 0; i < (int)ARRAY_SIZE(portables); i++)
		for (int v = 0; v < CPU_VARIANTS; v++)
			off += digest_is_off(i, v);
	assert_int_equal(off, 0);
}

static void every_unit_has_a_portable_twin(void **unused)
{
	size_t count = 0;

	(void)unused;
	for (; cpu_units[count]; count++) {
		assert_true(count < ARRAY_SIZE(portables));
		assert_ptr_equal(cpu_units[count], portables[count].unit);
		assert_true(cpu_units[count]->out_words <= CPU_OUT_WORDS);
		assert_int_equal(cpu_units[count]->in_words % 8, 0);
	}
	assert_int_equal(count, ARRAY_SIZE(portables));
}

static void a_digest_sees_every_bit(void **unused)
{
	uint64_t words[8];

	(void)unused;
	cpu_random_words(words, 8, 0);

	uint64_t clean = cpu_digest(words, 8);

	for (int bit = 0; bit < 8 * 64; bit++) {
		words[bit / 64] ^= 1ull << bit % 64;
		assert_true(cpu_digest(words, 8) != clean);
		words[bit / 64] ^= 1ull << bit % 64;
	}
}

/* A wrong bit anywhere at the start of a block must still be seen at its end. */
static void an_early_flip_is_seen(void **unused)
{
	_Alignas(CPU_OPERAND_ALIGN) uint64_t in[AMX_SETS * 4 * AMX_TILE_WORDS];
	uint64_t out[CPU_OUT_WORDS];

	(void)unused;
	for (int u = 0; cpu_units[u]; u++) {
		const struct cpu_unit *unit = cpu_units[u];

		assert_true(unit->in_words <= (int)ARRAY_SIZE(in));
		if (!unit->can()) {
			print_message("not flipped, this processor lacks it: %s\n", unit->name);
			continue;
		}
		unit->fill(in, 0);
		for (int i = 0; i < unit->out_words; i++) {
			in[i] ^= 1 << 20;
			unit->run(in, out);
			if (cpu_digest(out, unit->out_words) == unit->golden[0])
				fail_msg("%s: a flip in word %d was lost", unit->name, i);
			in[i] ^= 1 << 20;
		}
	}
}

/* ---- the burn ------------------------------------------------------------------------------ */

enum { WINDOWS = 2 };

static const struct {
	enum cpu_mix mix;
	const char *name;
} mixes[] = {
	{ CPU_AVX2, "avx2" },       { CPU_AVX512, "avx512" }, { CPU_AMX, "amx" },
	{ CPU_INTEGER, "integer" }, { CPU_CRYPTO, "crypto" },
};

static struct cpu_burn burn_make(enum cpu_mix mix, int cpu_count, int tamper_cpu)
{
	return (struct cpu_burn){
		.mix = mix,
		.window = 0.05,
		.windows = WINDOWS,
		.tamper_cpu = tamper_cpu,
		.rate = xcalloc(cpu_count * WINDOWS, sizeof(double)),
		.clock = xcalloc(cpu_count * WINDOWS, sizeof(double)),
		.wrong = xcalloc(cpu_count, sizeof(uint64_t)),
		.blocks = xcalloc(cpu_count, sizeof(uint64_t)),
	};
}

static void burn_release(struct cpu_burn *job)
{
	free(job->rate);
	free(job->clock);
	free(job->wrong);
	free(job->blocks);
}

static void burn_and_compare(struct machine *m, enum cpu_mix mix, int tamper_cpu)
{
	const struct host *host = machine_host(m);
	struct cpu_burn job = burn_make(mix, host->cpu_count, tamper_cpu);
	struct error err;

	if (host_cpu_burn(m, &job, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < host->cpu_count; i++) {
		assert_true(job.blocks[i] > 0);
		assert_int_equal(job.wrong[i], host->cpus[i] == tamper_cpu);
		for (int w = 0; w < WINDOWS; w++) {
			assert_true(isfinite(job.rate[i * WINDOWS + w]));
			assert_true(isfinite(job.clock[i * WINDOWS + w]));
		}
	}
	assert_non_null(job.core);
	burn_release(&job);
}

static void refuse(struct machine *m, enum cpu_mix mix)
{
	struct cpu_burn job = burn_make(mix, machine_host(m)->cpu_count, -1);
	struct error err = { "" };

	assert_int_equal(host_cpu_burn(m, &job, &err), -1);
	assert_non_null(strstr(err.text, "lacks"));
	burn_release(&job);
}

static struct machine *open_here(void)
{
	struct error err;
	struct machine *m = machine_open("", &err);

	if (!m)
		fail_msg("%s", err.text);
	return m;
}

static void every_mix_burns_clean(void **unused)
{
	struct machine *m = open_here();

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(mixes); i++) {
		if (host_cpu_can(m, mixes[i].mix)) {
			burn_and_compare(m, mixes[i].mix, -1);
			continue;
		}
		print_message("not burnt, this processor lacks it: %s\n", mixes[i].name);
		refuse(m, mixes[i].mix);
	}
	machine_close(m);
}

static void a_spoilt_result_names_its_cpu(void **unused)
{
	struct machine *m = open_here();
	const struct host *host = machine_host(m);

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(mixes); i++)
		if (host_cpu_can(m, mixes[i].mix))
			burn_and_compare(m, mixes[i].mix, host->cpus[i % host->cpu_count]);
	machine_close(m);
}

static void nonsense_is_refused(void **unused)
{
	struct machine *m = open_here();
	static const struct {
		double window;
		int windows, tamper_cpu;
	} cases[] = {
		{ 0.0, 1, -1 },  { -1.0, 1, -1 },      { (double)NAN, 1, -1 },
		{ 0.05, 0, -1 }, { 0.05, 1, 1000000 },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpu_burn job = burn_make(CPU_AVX2, machine_host(m)->cpu_count, -1);
		struct error err = { "" };

		job.window = cases[i].window;
		job.windows = cases[i].windows;
		job.tamper_cpu = cases[i].tamper_cpu;
		assert_int_equal(host_cpu_burn(m, &job, &err), -1);
		assert_true(err.text[0]);
		burn_release(&job);
	}
	machine_close(m);
}

static void cores_are_told_apart(void **unused)
{
	static const char xeon[] = "Intel(R) Xeon(R) ";
	static const struct {
		const char *vendor;
		unsigned family, model;
		const char *brand;
		double avx2, avx512, amx;
	} cases[] = {
		{ "GenuineIntel", 6, 0x8f, xeon, 16, 32, 1024 },
		{ "GenuineIntel", 6, 0xad, xeon, 16, 32, 1024 },
		{ "GenuineIntel", 6, 0x6a, xeon, 16, 32, 0 },
		{ "GenuineIntel", 6, 0x55, "Intel(R) Xeon(R) Platinum 8280 CPU", 16, 32, 0 },
		{ "GenuineIntel", 6, 0x55, "Intel(R) Xeon(R) Gold 6230 CPU", 16, 32, 0 },
		{ "GenuineIntel", 6, 0x55, "Intel(R) Xeon(R) Silver 4214 CPU", 16, 0, 0 },
		{ "GenuineIntel", 6, 0x8c, "11th Gen Intel(R) Core(TM) i7", 16, 16, 0 },
		{ "AuthenticAMD", 0x17, 0x01, "AMD EPYC 7601", 8, 0, 0 },
		{ "AuthenticAMD", 0x17, 0x31, "AMD EPYC 7742", 16, 0, 0 },
		{ "AuthenticAMD", 0x19, 0x01, "AMD EPYC 7763", 16, 0, 0 },
		{ "AuthenticAMD", 0x19, 0x11, "AMD EPYC 9654", 16, 16, 0 },
		{ "AuthenticAMD", 0x1a, 0x02, "AMD EPYC 9755", 16, 32, 0 },
		{ "AuthenticAMD", 0x1a, 0x24, "AMD Ryzen AI 9 HX 370", 16, 16, 0 },
		{ "AuthenticAMD", 0x7f, 0x02, "AMD EPYC", 0, 0, 0 },
		{ "GenuineIntel", 6, 0x97, "12th Gen Intel(R) Core(TM) i9", 0, 0, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct cpu_model *m = cpu_model_find(cases[i].vendor, cases[i].family,
							   cases[i].model, cases[i].brand);
		static const double none[CPU_MIXES];
		const double *ops = m ? m->ops : none;

		if (ops[CPU_AVX2] != cases[i].avx2 || ops[CPU_AVX512] != cases[i].avx512 ||
		    ops[CPU_AMX] != cases[i].amx)
			fail_msg("%s: %g %g %g", cases[i].brand, ops[CPU_AVX2], ops[CPU_AVX512],
				 ops[CPU_AMX]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fma_rounds_once),
		cmocka_unit_test(aes_rounds_match_the_paper),
		cmocka_unit_test(sha_matches_the_standard),
		cmocka_unit_test(every_unit_has_a_portable_twin),
		cmocka_unit_test(golden_digests_are_right),
		cmocka_unit_test(a_digest_sees_every_bit),
		cmocka_unit_test(an_early_flip_is_seen),
		cmocka_unit_test(every_mix_burns_clean),
		cmocka_unit_test(a_spoilt_result_names_its_cpu),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(cores_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
