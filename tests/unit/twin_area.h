/*
 * twin_area.h - launches of twins and memory between guards, for their tests.
 *
 * Every range lies between guard words, and counts are such that pieces, sides of 32 threads and
 * pairs of words all have something left over.
 */
#ifndef ASSAY_TWIN_AREA_H
#define ASSAY_TWIN_AREA_H

#include "harness/base/base.h"
#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"
#include "tests/doubles/twins.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define GUARD UINT64_C(0x6775617264677561)
/* device_sink()'s: a thread that reads just this adds it to the sink. */
#define ODD_SUM UINT64_C(0x9d7f3c5a1e6b8243)

enum { GUARDS = 8, SMS = 4 };

struct grid {
	unsigned blocks, threads;
};

/* One thread; not a side of 32; sides and a rest; whole sides; a block as large as can be. */
static const struct grid grids[] = { { 1, 1 },   { 1, 31 }, { 2, 33 },
				     { 3, 100 }, { 5, 64 }, { 2, 1024 } };

static const uint64_t counts[] = { 0, 1, 2, 3, 31, 64, 127, 255, 256, 257, 1000, 4099, 20001 };

static inline void launch(const char *name, const struct grid *g, void **args, int count)
{
	const struct twin *t = twin_find(name);

	assert_non_null(t);
	assert_int_equal(t->arg_count, count);
	twin_set_sms(SMS);
	t->run(g->blocks, g->threads, 0, args);
}

/* ---- memory between guards ----------------------------------------------------------------- */

struct area {
	uint64_t *all, *words; /* words: aligned to 16 bytes, or 8 bytes beyond it */
	uint64_t count;
};

static inline struct area area_new(uint64_t count, int odd)
{
	struct area a = { .count = count };
	void *memory = NULL;

	assert_int_equal(posix_memalign(&memory, 64, (count + 2 * GUARDS + 1) * 8), 0);
	a.all = memory;
	a.words = a.all + GUARDS + odd;
	for (uint64_t i = 0; i < count + 2 * GUARDS + 1; i++)
		a.all[i] = GUARD;
	return a;
}

static inline void area_free(struct area *a)
{
	for (uint64_t *w = a->all; w < a->words; w++)
		assert_true(*w == GUARD);
	for (int i = 0; i < GUARDS; i++)
		assert_true(a->words[a->count + (uint64_t)i] == GUARD);
	free(a->all);
}

/* Any data: the guards' word must not be in it by chance. */
static inline uint64_t any_word(uint64_t i)
{
	return i * UINT64_C(0x9e3779b97f4a7c15) ^ i << 7;
}

static inline void area_fill(struct area *a)
{
	for (uint64_t i = 0; i < a->count; i++)
		a->words[i] = any_word(i);
}

#endif
