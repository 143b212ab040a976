/*
 * patterns.c - what memory is filled with, and how that is written, moved and compared.
 *
 * A comparer keeps the very words it has loaded and hands those on when they differ. Reading them
 * again to see which one it was could find them right, and lose a read that went wrong once.
 */
#include "kernels/patterns.h"

#include <immintrin.h>
#include <stddef.h>

static const uint64_t weyl = 0x9e3779b97f4a7c15; /* 2^64 / golden ratio: neighbours lie far apart */
static const uint64_t spread = 0xd6e8feb8;       /* 32 bits, for the multiplication that SIMD has */

uint64_t pattern_word(const struct pattern_data *d, uint64_t address)
{
	uint64_t hash = (address >> 3) * weyl + d->seed;

	hash ^= hash >> 32;
	hash ^= (hash & UINT32_MAX) * spread;
	return d->table[(address >> 3) % PATTERN_WORDS] ^ (address & d->address_mask) ^
	       (hash & d->hash_mask);
}

void pattern_invert(struct pattern_data *d)
{
	for (int i = 0; i < PATTERN_WORDS; i++)
		d->table[i] = ~d->table[i];
}

/* ---- the table of patterns ------------------------------------------------------------------- */

static void make_address(struct pattern_data *d, uint64_t seed)
{
	for (int i = 0; i < PATTERN_WORDS; i++)
		d->table[i] = seed;
	d->address_mask = UINT64_MAX;
}

static void make_zeros(struct pattern_data *d, uint64_t seed)
{
	(void)d, (void)seed;
}

static void make_random(struct pattern_data *d, uint64_t seed)
{
	d->seed = seed;
	d->hash_mask = UINT64_MAX;
}

static void make_walking_ones(struct pattern_data *d, uint64_t seed)
{
	for (int i = 0; i < PATTERN_WORDS; i++)
		d->table[i] = UINT64_C(1) << ((i + seed) % PATTERN_WORDS);
}

static void make_walking_zeros(struct pattern_data *d, uint64_t seed)
{
	make_walking_ones(d, seed);
	pattern_invert(d);
}

static void make_checkerboard(struct pattern_data *d, uint64_t seed)
{
	for (int i = 0; i < PATTERN_WORDS; i++)
		d->table[i] = (i / 8 + seed) % 2 ? 0x5555555555555555 : 0xaaaaaaaaaaaaaaaa;
}

enum { UP, DOWN };

const struct pattern patterns[] = {
	{ "address",
	  make_address,
	  { { PASS_FILL, UP },
	    { PASS_VERIFY, DOWN },
	    { PASS_INVERT, UP },
	    { PASS_VERIFY, DOWN } } },
	{ "moving-inversions",
	  make_zeros,
	  { { PASS_FILL, UP }, { PASS_INVERT, UP }, { PASS_INVERT, DOWN }, { PASS_VERIFY, UP } } },
	{ "random",
	  make_random,
	  { { PASS_FILL, UP }, { PASS_VERIFY, UP }, { PASS_VERIFY, DOWN } } },
	{ "walking-ones",
	  make_walking_ones,
	  { { PASS_FILL, UP }, { PASS_VERIFY, UP }, { PASS_VERIFY, DOWN } } },
	{ "walking-zeros",
	  make_walking_zeros,
	  { { PASS_FILL, DOWN }, { PASS_VERIFY, UP }, { PASS_VERIFY, DOWN } } },
	{ "checkerboard",
	  make_checkerboard,
	  { { PASS_FILL, UP }, { PASS_VERIFY, UP }, { PASS_INVERT, DOWN }, { PASS_VERIFY, UP } } },
	{ "block-move",
	  make_random,
	  { { PASS_FILL, UP }, { PASS_MOVE, UP }, { PASS_VERIFY, UP }, { PASS_VERIFY, DOWN } } },
	{ 0 },
};

/* ---- what all engines share ------------------------------------------------------------------ */

static void report(const struct pattern_sink *sink, const unsigned char *at, const uint64_t *want,
		   const uint64_t *got)
{
	for (int w = 0; w < PATTERN_STEP_WORDS; w++)
		if (want[w] != got[w])
			sink->differs(sink->arg, (const uint64_t *)(const void *)at + w, want[w],
				      got[w]);
}

/* A walk over a stretch in steps: where it begins, and which way it goes. */
struct walk {
	unsigned char *at;
	uint64_t as, steps;
	int64_t by;
};

static inline struct walk walk_of(struct stretch s)
{
	const uint64_t first = s.down ? s.bytes - PATTERN_STEP : 0;

	return (struct walk){ .at = s.at + first,
			      .as = s.as + first,
			      .steps = s.bytes / PATTERN_STEP,
			      .by = s.down ? -PATTERN_STEP : PATTERN_STEP };
}

/* ---- plain: what every x86-64 has ------------------------------------------------------------ */

static void fill_plain(const struct pattern_data *d, struct stretch s)
{
	struct walk w = walk_of(s);

	for (; w.steps > 0; w.steps--, w.at += w.by, w.as += (uint64_t)w.by)
		for (int i = 0; i < PATTERN_STEP; i += 8)
			_mm_stream_si64((long long *)(void *)(w.at + i),
					(long long)pattern_word(d, w.as + (uint64_t)i));
	_mm_sfence();
}

static inline void compare_plain(const struct pattern_data *d, struct stretch s, int rewrite,
				 const struct pattern_sink *sink)
{
	uint64_t want[PATTERN_STEP_WORDS], got[PATTERN_STEP_WORDS], differ;
	struct walk w = walk_of(s);

	for (; w.steps > 0; w.steps--, w.at += w.by, w.as += (uint64_t)w.by) {
		differ = 0;
		for (int i = 0; i < PATTERN_STEP_WORDS; i++) {
			want[i] = pattern_word(d, w.as + (uint64_t)i * 8);
			got[i] = ((const volatile uint64_t *)(void *)w.at)[i];
			differ |= want[i] ^ got[i];
		}
		if (__builtin_expect(differ != 0, 0))
			report(sink, w.at, want, got);
		for (int i = 0; rewrite && i < PATTERN_STEP_WORDS; i++)
			_mm_stream_si64((long long *)(void *)w.at + i, (long long)~want[i]);
	}
	_mm_sfence();
}

static void verify_plain(const struct pattern_data *d, struct stretch s,
			 const struct pattern_sink *sink)
{
	compare_plain(d, s, 0, sink);
}

static void invert_plain(const struct pattern_data *d, struct stretch s,
			 const struct pattern_sink *sink)
{
	compare_plain(d, s, 1, sink);
}

static void swap_plain(unsigned char *a, unsigned char *b, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 8) {
		long long *x = (long long *)(void *)(a + i), *y = (long long *)(void *)(b + i);
		const long long held = *x;

		_mm_stream_si64(x, *y);
		_mm_stream_si64(y, held);
	}
	_mm_sfence();
}

/* ---- AVX2: a step is four vectors ------------------------------------------------------------ */

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline))

struct words256 {
	__m256i address, hash;
};

AVX2 INLINE struct words256 words_avx2(const struct pattern_data *d, uint64_t as)
{
	const uint64_t h = (as >> 3) * weyl + d->seed;

	return (struct words256){ _mm256_add_epi64(_mm256_set1_epi64x((long long)as),
						   _mm256_set_epi64x(24, 16, 8, 0)),
				  _mm256_set_epi64x((long long)(h + 3 * weyl),
						    (long long)(h + 2 * weyl),
						    (long long)(h + weyl), (long long)h) };
}

/* Vector number v of the step, as pattern_word() has it. */
AVX2 INLINE __m256i value_avx2(const struct pattern_data *d, struct words256 w, uint64_t as, int v)
{
	const __m256i table = _mm256_load_si256(
		(const __m256i *)(const void *)(d->table + (as >> 3) % PATTERN_WORDS + v * 4));
	__m256i address = _mm256_add_epi64(w.address, _mm256_set1_epi64x(v * 32));
	__m256i hash =
		_mm256_add_epi64(w.hash, _mm256_set1_epi64x((long long)((uint64_t)v * 4 * weyl)));

	hash = _mm256_xor_si256(hash, _mm256_srli_epi64(hash, 32));
	hash = _mm256_xor_si256(hash,
				_mm256_mul_epu32(hash, _mm256_set1_epi64x((long long)spread)));
	address = _mm256_and_si256(address, _mm256_set1_epi64x((long long)d->address_mask));
	hash = _mm256_and_si256(hash, _mm256_set1_epi64x((long long)d->hash_mask));
	return _mm256_xor_si256(table, _mm256_xor_si256(address, hash));
}

AVX2 INLINE void advance_avx2(struct words256 *words, struct walk *w)
{
	const uint64_t by = (uint64_t)(w->by / 8) * weyl;

	words->address = _mm256_add_epi64(words->address, _mm256_set1_epi64x(w->by));
	words->hash = _mm256_add_epi64(words->hash, _mm256_set1_epi64x((long long)by));
	w->at += w->by;
	w->as += (uint64_t)w->by;
	w->steps--;
}

AVX2 static void fill_avx2(const struct pattern_data *d, struct stretch s)
{
	struct walk w = walk_of(s);
	struct words256 words = words_avx2(d, w.as);

	while (w.steps > 0) {
		for (int v = 0; v < 4; v++)
			_mm256_stream_si256((__m256i *)(void *)w.at + v,
					    value_avx2(d, words, w.as, v));
		advance_avx2(&words, &w);
	}
	_mm_sfence();
}

AVX2 INLINE void compare_avx2(const struct pattern_data *d, struct stretch s, int rewrite,
			      const struct pattern_sink *sink)
{
	const __m256i ones = _mm256_set1_epi64x(-1);
	struct walk w = walk_of(s);
	struct words256 words = words_avx2(d, w.as);

	for (; w.steps > 0; advance_avx2(&words, &w)) {
		__m256i *at = (__m256i *)(void *)w.at;
		const __m256i want[4] = { value_avx2(d, words, w.as, 0),
					  value_avx2(d, words, w.as, 1),
					  value_avx2(d, words, w.as, 2),
					  value_avx2(d, words, w.as, 3) };
		const __m256i got[4] = { _mm256_load_si256(at), _mm256_load_si256(at + 1),
					 _mm256_load_si256(at + 2), _mm256_load_si256(at + 3) };
		__m256i differ = _mm256_xor_si256(want[0], got[0]);

		for (int v = 1; v < 4; v++)
			differ = _mm256_or_si256(differ, _mm256_xor_si256(want[v], got[v]));
		if (__builtin_expect(!_mm256_testz_si256(differ, differ), 0))
			report(sink, w.at, (const uint64_t *)(const void *)want,
			       (const uint64_t *)(const void *)got);
		for (int v = 0; rewrite && v < 4; v++)
			_mm256_stream_si256(at + v, _mm256_xor_si256(want[v], ones));
	}
	_mm_sfence();
}

AVX2 static void verify_avx2(const struct pattern_data *d, struct stretch s,
			     const struct pattern_sink *sink)
{
	compare_avx2(d, s, 0, sink);
}

AVX2 static void invert_avx2(const struct pattern_data *d, struct stretch s,
			     const struct pattern_sink *sink)
{
	compare_avx2(d, s, 1, sink);
}

AVX2 static void swap_avx2(unsigned char *a, unsigned char *b, uint64_t bytes)
{
	__m256i *x = (__m256i *)(void *)a, *y = (__m256i *)(void *)b;

	for (uint64_t i = 0; i < bytes / sizeof(*x); i++) {
		const __m256i held = _mm256_load_si256(x + i);

		_mm256_stream_si256(x + i, _mm256_load_si256(y + i));
		_mm256_stream_si256(y + i, held);
	}
	_mm_sfence();
}

/* ---- AVX-512: a step is two vectors, each one line ------------------------------------------- */

struct words512 {
	__m512i address, hash;
};

AVX512 INLINE struct words512 words_avx512(const struct pattern_data *d, uint64_t as)
{
	uint64_t address[8] __attribute__((aligned(64))), hash[8] __attribute__((aligned(64)));

	for (uint64_t i = 0; i < 8; i++) {
		address[i] = as + i * 8;
		hash[i] = ((as >> 3) + i) * weyl + d->seed;
	}
	return (struct words512){ _mm512_load_si512(address), _mm512_load_si512(hash) };
}

AVX512 INLINE __m512i value_avx512(const struct pattern_data *d, struct words512 w, uint64_t as,
				   int v)
{
	const __m512i table = _mm512_load_si512(d->table + (as >> 3) % PATTERN_WORDS + v * 8);
	__m512i address = _mm512_add_epi64(w.address, _mm512_set1_epi64(v * 64));
	__m512i hash =
		_mm512_add_epi64(w.hash, _mm512_set1_epi64((long long)((uint64_t)v * 8 * weyl)));

	hash = _mm512_xor_si512(hash, _mm512_srli_epi64(hash, 32));
	hash = _mm512_xor_si512(hash, _mm512_mul_epu32(hash, _mm512_set1_epi64((long long)spread)));
	address = _mm512_and_si512(address, _mm512_set1_epi64((long long)d->address_mask));
	hash = _mm512_and_si512(hash, _mm512_set1_epi64((long long)d->hash_mask));
	return _mm512_xor_si512(table, _mm512_xor_si512(address, hash));
}

AVX512 INLINE void advance_avx512(struct words512 *words, struct walk *w)
{
	const uint64_t by = (uint64_t)(w->by / 8) * weyl;

	words->address = _mm512_add_epi64(words->address, _mm512_set1_epi64(w->by));
	words->hash = _mm512_add_epi64(words->hash, _mm512_set1_epi64((long long)by));
	w->at += w->by;
	w->as += (uint64_t)w->by;
	w->steps--;
}

AVX512 static void fill_avx512(const struct pattern_data *d, struct stretch s)
{
	struct walk w = walk_of(s);
	struct words512 words = words_avx512(d, w.as);

	while (w.steps > 0) {
		_mm512_stream_si512((__m512i *)(void *)w.at, value_avx512(d, words, w.as, 0));
		_mm512_stream_si512((__m512i *)(void *)w.at + 1, value_avx512(d, words, w.as, 1));
		advance_avx512(&words, &w);
	}
	_mm_sfence();
}

AVX512 INLINE void compare_avx512(const struct pattern_data *d, struct stretch s, int rewrite,
				  const struct pattern_sink *sink)
{
	const __m512i ones = _mm512_set1_epi64(-1);
	struct walk w = walk_of(s);
	struct words512 words = words_avx512(d, w.as);

	for (; w.steps > 0; advance_avx512(&words, &w)) {
		__m512i *at = (__m512i *)(void *)w.at;
		const __m512i want[2] = { value_avx512(d, words, w.as, 0),
					  value_avx512(d, words, w.as, 1) };
		const __m512i got[2] = { _mm512_load_si512(at), _mm512_load_si512(at + 1) };
		const __m512i differ = _mm512_or_si512(_mm512_xor_si512(want[0], got[0]),
						       _mm512_xor_si512(want[1], got[1]));

		if (__builtin_expect(_mm512_test_epi64_mask(differ, differ) != 0, 0))
			report(sink, w.at, (const uint64_t *)(const void *)want,
			       (const uint64_t *)(const void *)got);
		if (rewrite) {
			_mm512_stream_si512(at, _mm512_xor_si512(want[0], ones));
			_mm512_stream_si512(at + 1, _mm512_xor_si512(want[1], ones));
		}
	}
	_mm_sfence();
}

AVX512 static void verify_avx512(const struct pattern_data *d, struct stretch s,
				 const struct pattern_sink *sink)
{
	compare_avx512(d, s, 0, sink);
}

AVX512 static void invert_avx512(const struct pattern_data *d, struct stretch s,
				 const struct pattern_sink *sink)
{
	compare_avx512(d, s, 1, sink);
}

AVX512 static void swap_avx512(unsigned char *a, unsigned char *b, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 64) {
		const __m512i held = _mm512_load_si512(a + i);

		_mm512_stream_si512((__m512i *)(void *)(a + i), _mm512_load_si512(b + i));
		_mm512_stream_si512((__m512i *)(void *)(b + i), held);
	}
	_mm_sfence();
}

/* ---- which of them --------------------------------------------------------------------------- */

static int has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}

static int has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static int has_plain(void)
{
	return 1;
}

const struct pattern_engine pattern_engines[] = {
	{ "avx512", has_avx512, fill_avx512, verify_avx512, invert_avx512, swap_avx512 },
	{ "avx2", has_avx2, fill_avx2, verify_avx2, invert_avx2, swap_avx2 },
	{ "plain", has_plain, fill_plain, verify_plain, invert_plain, swap_plain },
	{ 0 },
};

const struct pattern_engine *pattern_engine_best(void)
{
	const struct pattern_engine *engine = pattern_engines;

	while (!engine->usable())
		engine++;
	return engine;
}
