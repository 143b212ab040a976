/*
 * patterns.h - what memory is filled with, and how that is written, moved and compared. Private to
 * kernels/.
 *
 * Every pattern is data for one formula of the address, not code of its own: the word at an address
 * is a table's entry, by choice xored with the address and with a hash of it. So each instruction
 * set has one writer and one comparer, and any word's right value is known without a copy of the
 * memory.
 */
#ifndef ASSAY_PATTERNS_H
#define ASSAY_PATTERNS_H

#include <stdint.h>

enum { PATTERN_WORDS = 64, PATTERN_PASSES = 4, PATTERN_STEP = 128, PATTERN_STEP_WORDS = 16 };

struct pattern_data {
	uint64_t table[PATTERN_WORDS] __attribute__((aligned(64)));
	uint64_t address_mask, hash_mask, seed;
};

enum pass_kind {
	PASS_NONE,
	PASS_FILL,
	PASS_VERIFY,
	PASS_INVERT, /* verify, and leave the complement behind */
	PASS_MOVE, /* swap the blocks of a slice; the data are then verified where they came to lie
		    */
};

struct pass {
	enum pass_kind kind;
	int down; /* from the highest address to the lowest */
};

struct pattern {
	const char *name;
	void (*make)(struct pattern_data *d, uint64_t seed);
	struct pass passes[PATTERN_PASSES]; /* up to the first PASS_NONE */
};

extern const struct pattern patterns[]; /* ends at name == NULL */

uint64_t pattern_word(const struct pattern_data *d, uint64_t address);
void pattern_invert(struct pattern_data *d);

/* Memory at `at` that holds the pattern of the addresses from `as` on; all multiples of
 * PATTERN_STEP. */
struct stretch {
	unsigned char *at;
	uint64_t as, bytes;
	int down;
};

/* Told of every word that was not as expected. */
struct pattern_sink {
	void (*differs)(void *arg, const uint64_t *at, uint64_t expected, uint64_t actual);
	void *arg;
};

/* All writes go past the caches, so that what is compared later has been in memory. */
struct pattern_engine {
	const char *name;
	int (*usable)(void);
	void (*fill)(const struct pattern_data *d, struct stretch s);
	void (*verify)(const struct pattern_data *d, struct stretch s,
		       const struct pattern_sink *sink);
	void (*invert)(const struct pattern_data *d, struct stretch s,
		       const struct pattern_sink *sink);
	void (*swap)(unsigned char *a, unsigned char *b, uint64_t bytes);
};

extern const struct pattern_engine pattern_engines[]; /* best first; ends at name == NULL */
const struct pattern_engine *pattern_engine_best(void);

#endif
