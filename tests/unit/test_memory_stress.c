/*
 * test_memory_stress.c - plants every kind of memory fault that can be planted, and looks for it.
 *
 * A fault is planted by the job's own `tamper`, in every pattern, so that each of them has to find
 * it at the right address, with the right bits and under its own name.
 */
#include "kernels/machine.h"
#include "kernels/patterns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGE = 4096, PATTERNS_MOST = 16 };

static int setup(void **state)
{
	struct error err;
	struct machine *m = machine_open("", &err);

	if (!m)
		fprintf(stderr, "machine_open: %s\n", err.text);
	*state = m;
	return m ? 0 : -1;
}

static int teardown(void **state)
{
	machine_close(*state);
	return 0;
}

/* Odd on purpose: slices of unequal size, and an odd number of blocks to move. */
static uint64_t some_bytes(const struct machine *m)
{
	return PAGE * (uint64_t)(8 * m->host.cpu_count + 5);
}

static int verifying_passes(void)
{
	int count = 0;

	for (const struct pattern *p = patterns; p->name; p++)
		for (int i = 0; i < PATTERN_PASSES; i++)
			count += p->passes[i].kind == PASS_VERIFY ||
				 p->passes[i].kind == PASS_INVERT;
	return count;
}

/* ---- flips ----------------------------------------------------------------------------------- */

struct planted {
	const char *pattern;
	uint64_t address, expected, actual;
};

struct flip {
	const char *name;
	double place; /* 0 first word, 1 last word */
	uint64_t bits;
	/* planted by tamper, once for each pattern */
	struct planted planted[PATTERNS_MOST];
	int count;
};

static void plant_flip(void *arg, const char *pattern, unsigned char *base, uint64_t bytes)
{
	struct flip *f = arg;
	uint64_t *word = (uint64_t *)(void *)base + (uint64_t)(f->place * (double)(bytes / 8 - 1));
	struct planted *p;

	if (f->count > 0 && f->planted[f->count - 1].pattern == pattern)
		return;
	p = &f->planted[f->count++];
	*p = (struct planted){ pattern, (uintptr_t)word, *word, *word ^ f->bits };
	*word = p->actual;
}

static const struct memory_mismatch *mismatch_at(const struct memory_stress *job,
						 const struct planted *p)
{
	for (int i = 0; i < job->kept; i++)
		if (job->first[i].virtual_address == p->address &&
		    job->first[i].pattern == p->pattern)
			return &job->first[i];
	fail_msg("%s: nothing found at %#llx", p->pattern, (unsigned long long)p->address);
	return NULL;
}

static void flips_are_found(void **state)
{
	struct flip cases[] = {
		{ .name = "lowest bit of the first word", .place = 0, .bits = 1 },
		{ .name = "highest bit of the last word", .place = 1, .bits = UINT64_C(1) << 63 },
		{ .name = "a whole word in the middle", .place = 0.5, .bits = UINT64_MAX },
		{ .name = "two bits near the end", .place = 0.993, .bits = 0x100000100 },
		{ .name = "a byte near the start", .place = 0.011, .bits = 0xff00 },
	};
	struct machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memory_stress job = { .bytes = some_bytes(m),
					     .seed = i,
					     .tamper = plant_flip,
					     .tamper_arg = &cases[i] };
		struct error err = { "" };

		if (host_memory_stress(m, &job, &err) < 0)
			fail_msg("%s: %s", cases[i].name, err.text);
		for (const struct pattern *p = patterns; p->name; p++)
			assert_string_equal(cases[i].planted[p - patterns].pattern, p->name);
		for (int k = 0; k < cases[i].count; k++) {
			const struct planted *p = &cases[i].planted[k];
			const struct memory_mismatch *got = mismatch_at(&job, p);

			assert_int_equal(got->expected, p->expected);
			assert_int_equal(got->actual, p->actual);
			assert_int_equal(got->again, p->actual);
			assert_true(got->cpu >= 0);
			if (got->physical_address)
				assert_int_equal(got->physical_address % PAGE, p->address % PAGE);
		}
		assert_int_equal(job.kept, cases[i].count);
		assert_true(job.mismatches >= (uint64_t)job.kept);
	}
}

/* ---- cells that are stuck -------------------------------------------------------------------- */

struct stuck {
	uint64_t bit;
	int at; /* 0 or 1 */
	uint64_t address;
};

static void hold_stuck(void *arg, const char *pattern, unsigned char *base, uint64_t bytes)
{
	struct stuck *s = arg;
	uint64_t *word = (uint64_t *)(void *)(base + bytes / 3 / 8 * 8);

	(void)pattern;
	s->address = (uintptr_t)word;
	*word = s->at ? *word | s->bit : *word & ~s->bit;
}

/* These leave every cell holding a 0 and a 1, whatever the seed, so they must find either. */
static const char *const sees_any_stuck[] = { "address", "moving-inversions", "checkerboard" };

static void stuck_cells_are_found(void **state)
{
	struct machine *m = *state;

	for (int i = 0; i < 128; i += 9) {
		struct stuck s = { .bit = UINT64_C(1) << (i / 2), .at = i % 2 };
		struct memory_stress job = { .bytes = some_bytes(m),
					     .seed = (uint64_t)i,
					     .tamper = hold_stuck,
					     .tamper_arg = &s };
		struct error err;

		assert_int_equal(host_memory_stress(m, &job, &err), 0);
		for (size_t k = 0; k < ARRAY_SIZE(sees_any_stuck); k++) {
			int found = 0;

			for (int f = 0; f < job.kept; f++)
				found |= !strcmp(job.first[f].pattern, sees_any_stuck[k]);
			if (!found)
				fail_msg("%s missed bit %d stuck at %d", sees_any_stuck[k], i / 2,
					 s.at);
		}
		for (int f = 0; f < job.kept; f++) {
			const struct memory_mismatch *got = &job.first[f];

			assert_int_equal(got->virtual_address, s.address);
			assert_int_equal(got->expected ^ got->actual, s.bit);
			assert_int_equal(got->again, got->actual);
		}
	}
}

/* ---- address lines --------------------------------------------------------------------------- */

struct lines_fault {
	const char *name;
	uint64_t from, to, bytes; /* blocks that answer for one another */
	int swap;                 /* else the second is written by the first */
	uint64_t base;
};

static void cross_lines(void *arg, const char *pattern, unsigned char *base, uint64_t bytes)
{
	struct lines_fault *f = arg;
	unsigned char *a = base + f->from, *b = base + f->to, *held = xcalloc(1, f->bytes);

	(void)pattern;
	assert_true(f->from + f->bytes <= bytes && f->to + f->bytes <= bytes);
	f->base = (uintptr_t)base;
	memcpy(held, a, f->bytes);
	if (f->swap)
		memcpy(a, b, f->bytes);
	memcpy(b, held, f->bytes);
	free(held);
}

/* The patterns whose words tell where they belong. */
static const char *const sees_addresses[] = { "address", "random", "block-move" };

static int found_at(const struct memory_stress *job, const struct lines_fault *f)
{
	for (int i = 0; i < job->kept; i++) {
		const uint64_t at = job->first[i].virtual_address - f->base;

		if ((at < f->to || at >= f->to + f->bytes) &&
		    (!f->swap || at < f->from || at >= f->from + f->bytes))
			return 0;
	}
	return job->kept > 0;
}

static void crossed_address_lines_are_found(void **state)
{
	struct lines_fault cases[] = {
		{ .name = "two pages swapped",
		  .from = 0,
		  .to = 3 * PAGE,
		  .bytes = PAGE,
		  .swap = 1 },
		{ .name = "two lines swapped",
		  .from = 64,
		  .to = PAGE + 64,
		  .bytes = 64,
		  .swap = 1 },
		{ .name = "a page aliased", .from = PAGE, .to = 5 * PAGE, .bytes = PAGE },
		{ .name = "a word aliased", .from = 8, .to = 8 + 512, .bytes = 8 },
		{ .name = "neighbours swapped",
		  .from = 4 * PAGE,
		  .to = 4 * PAGE + 8,
		  .bytes = 8,
		  .swap = 1 },
	};
	struct machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memory_stress job = { .bytes = some_bytes(m),
					     .seed = 77 + i,
					     .tamper = cross_lines,
					     .tamper_arg = &cases[i] };
		struct error err;
		int seen = 0;

		assert_int_equal(host_memory_stress(m, &job, &err), 0);
		if (!found_at(&job, &cases[i]))
			fail_msg("%s: found elsewhere or not at all", cases[i].name);
		for (size_t k = 0; k < ARRAY_SIZE(sees_addresses); k++)
			for (int f = 0; f < job.kept; f++)
				if (!strcmp(job.first[f].pattern, sees_addresses[k])) {
					seen++;
					break;
				}
		/* a whole page fills the list of the kept with the first pattern's finds */
		assert_int_equal(seen, cases[i].bytes == 8 ? ARRAY_SIZE(sees_addresses) : 1);
	}
}

/* ---- runs without a fault -------------------------------------------------------------------- */

static void a_clean_run_finds_nothing(void **state)
{
	static const uint64_t more[] = { 0, 1, PAGE - 1, PAGE, 3 << 20 };
	struct machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		struct memory_stress job = { .bytes = some_bytes(m) + more[i], .seed = i };
		struct error err = { "" };

		if (host_memory_stress(m, &job, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(job.mismatches, 0);
		assert_int_equal(job.kept, 0);
		assert_int_equal(job.tested_bytes, job.bytes / PAGE * PAGE);
		assert_int_equal(job.verified_bytes,
				 job.tested_bytes * (uint64_t)verifying_passes());
		assert_int_equal(job.threads, m->host.cpu_count);
		assert_true(job.took > 0);
	}
}

/* A machine of two nodes, made of this one's first: each with all its processors and half the
 * memory. */
static void two_nodes_share_the_memory(void **state)
{
	struct machine *m = *state, two = *m;
	struct host_numa halves[2] = { m->host.numas[0], m->host.numas[0] };
	struct flip last = { .place = 1, .bits = 4 };
	struct memory_stress job = { .tamper = plant_flip, .tamper_arg = &last };
	struct error err = { "" };

	two.host.numas = halves;
	two.host.numa_count = 2;
	job.bytes = PAGE * (uint64_t)(6 * halves[0].cpu_count + 1);
	if (host_memory_stress(&two, &job, &err) < 0) {
		if (!strstr(err.text, "cannot be bound"))
			fail_msg("%s", err.text);
		print_message("not tried: %s\n", err.text);
		skip();
	}
	assert_int_equal(job.threads, 2 * halves[0].cpu_count);
	assert_int_equal(job.tested_bytes, job.bytes);
	assert_int_equal(job.verified_bytes, job.bytes * (uint64_t)verifying_passes());
	for (int k = 0; k < last.count; k++)
		mismatch_at(&job, &last.planted[k]);
}

static void it_goes_on_until_its_time_is_over(void **state)
{
	struct machine *m = *state;
	struct memory_stress job = { .bytes = some_bytes(m), .seconds = 0.2 };
	struct error err;

	assert_int_equal(host_memory_stress(m, &job, &err), 0);
	assert_true(job.took >= job.seconds);
	assert_true(job.verified_bytes >= job.tested_bytes * (uint64_t)verifying_passes());
	assert_int_equal(job.verified_bytes % job.tested_bytes, 0);
}

static void what_cannot_be_had_is_refused(void **state)
{
	struct machine *m = *state;
	const struct {
		const char *name;
		struct memory_stress job;
		const char *says;
	} cases[] = {
		{ "nothing", { .bytes = 0 }, "too few" },
		{ "part of a page", { .bytes = PAGE - 1 }, "too few" },
		{ "all memory", { .bytes = m->host.memory_available }, "available" },
		{ "more than all", { .bytes = UINT64_C(1) << 46 }, "64 TiB" },
		{ "no time", { .bytes = some_bytes(m), .seconds = -1 }, "time" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memory_stress job = cases[i].job;
		struct error err = { "" };

		assert_int_equal(host_memory_stress(m, &job, &err), -1);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: \"%s\"", cases[i].name, err.text);
		assert_int_equal(job.verified_bytes, 0);
	}
}

/* ---- engines --------------------------------------------------------------------------------- */

struct seen {
	const uint64_t *at;
	uint64_t expected, actual;
	int count;
};

static void remember(void *arg, const uint64_t *at, uint64_t expected, uint64_t actual)
{
	struct seen *s = arg;

	*s = (struct seen){ at, expected, actual, s->count + 1 };
}

enum { BLOCK = 8192 };

/* Fills with one engine, compares with the other, finds a flip, inverts, compares again. */
static void engines_agree(const struct pattern_engine *a, const struct pattern_engine *b,
			  const struct pattern *p, int down, unsigned char *block)
{
	struct pattern_data d = { .seed = 0 };
	const uint64_t as = 0x7fffdead0000 + 128 * 3;
	const struct stretch s = { block, as, BLOCK, down };
	uint64_t *words = (uint64_t *)(void *)block, *bad = words + 777;
	struct seen seen = { 0 };
	const struct pattern_sink sink = { remember, &seen };

	p->make(&d, 0x123456789abcdef);
	a->fill(&d, s);
	for (int i = 0; i < BLOCK / 8; i++)
		assert_int_equal(words[i], pattern_word(&d, as + (uint64_t)i * 8));
	b->verify(&d, s, &sink);
	assert_int_equal(seen.count, 0);

	*bad ^= 0x40;
	b->verify(&d, s, &sink);
	assert_int_equal(seen.count, 1);
	assert_ptr_equal(seen.at, bad);
	assert_int_equal(seen.expected, pattern_word(&d, as + 777 * 8));
	assert_int_equal(seen.actual, seen.expected ^ 0x40);

	b->invert(&d, s, &sink);
	assert_int_equal(seen.count, 2);
	pattern_invert(&d);
	a->verify(&d, s, &sink);
	assert_int_equal(seen.count, 2);
}

static void engines_agree_with_one_another(void **state)
{
	unsigned char *block = aligned_alloc(PATTERN_STEP, BLOCK);

	(void)state;
	assert_non_null(block);
	for (const struct pattern_engine *a = pattern_engines; a->name; a++)
		for (const struct pattern_engine *b = pattern_engines; b->name; b++)
			for (const struct pattern *p = patterns; p->name; p++)
				for (int down = 0; a->usable() && b->usable() && down < 2; down++)
					engines_agree(a, b, p, down, block);
	free(block);
}

static void engines_swap(void **state)
{
	unsigned char *a = aligned_alloc(PATTERN_STEP, BLOCK),
		      *b = aligned_alloc(PATTERN_STEP, BLOCK);

	(void)state;
	assert_true(a && b);
	for (const struct pattern_engine *e = pattern_engines; e->name; e++) {
		if (!e->usable()) {
			print_message("not tried: this machine has no %s\n", e->name);
			continue;
		}
		for (int i = 0; i < BLOCK; i++) {
			a[i] = (unsigned char)(i * 7);
			b[i] = (unsigned char)(i * 13 + 1);
		}
		e->swap(a, b, BLOCK);
		for (int i = 0; i < BLOCK; i++) {
			assert_int_equal(a[i], (unsigned char)(i * 13 + 1));
			assert_int_equal(b[i], (unsigned char)(i * 7));
		}
	}
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flips_are_found),
		cmocka_unit_test(stuck_cells_are_found),
		cmocka_unit_test(crossed_address_lines_are_found),
		cmocka_unit_test(a_clean_run_finds_nothing),
		cmocka_unit_test(two_nodes_share_the_memory),
		cmocka_unit_test(it_goes_on_until_its_time_is_over),
		cmocka_unit_test(what_cannot_be_had_is_refused),
		cmocka_unit_test(engines_agree_with_one_another),
		cmocka_unit_test(engines_swap),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
