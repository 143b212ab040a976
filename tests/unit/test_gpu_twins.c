/*
 * test_gpu_twins.c - copies, latencies and streams of the device code, run by its twins on the CPU.
 *
 * What belongs where is said here once more in plain C, not taken from the kernels' own header.
 */
#include "tests/unit/twin_area.h"

/* ---- what the table says ------------------------------------------------------------------- */

static void names_and_arguments(void **state)
{
	static const struct {
		const char *name;
		int count;
		size_t sizes[7];
	} cases[] = {
		{ "spin", 3, { 8, 8, 8 } },
		{ "check_unique", 5, { 8, 8, 8, 8, 8 } },
		{ "chase", 6, { 8, 8, 4, 4, 8, 8 } },
		{ "flag_first", 7, { 8, 8, 4, 4, 8, 8, 8 } },
		{ "stress_write", 3, { 8, 8, sizeof(struct device_pattern) } },
		{ "gemm_bf16", 6, { 8, 8, 8, 4, 8, 4 } },
		{ "digest_words", 5, { 8, 8, 4, 8, 8 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct twin *t = twin_find(cases[i].name);

		assert_non_null(t);
		assert_string_equal(t->name, cases[i].name);
		assert_int_equal(t->arg_count, cases[i].count);
		for (int a = 0; a < t->arg_count; a++)
			assert_int_equal(t->arg_sizes[a], cases[i].sizes[a]);
	}
	assert_null(twin_find("copy"));
	assert_null(twin_find(""));
}

/* ---- copy.cu ------------------------------------------------------------------------------- */

static void unique_data(const struct grid *g, uint64_t words, int odd)
{
	struct area a = area_new(words, odd);
	struct device_wrong wrong = { 0 }, *at_wrong = &wrong;
	uint64_t seed = 7, first = 1000003;
	void *fill[] = { &a.words, &words, &seed, &first };
	void *check[] = { &a.words, &words, &seed, &first, &at_wrong };

	launch("fill_unique", g, fill, ARRAY_SIZE(fill));
	for (uint64_t i = 0; i < words; i++)
		assert_true(a.words[i] == gpu_unique(seed, first + i));
	launch("check_unique", g, check, ARRAY_SIZE(check));
	assert_int_equal(wrong.count, 0);
	assert_int_equal(wrong.kept, 0);
	if (words) {
		a.words[words - 1] ^= UINT64_C(1) << 63;
		launch("check_unique", g, check, ARRAY_SIZE(check));
		assert_int_equal(wrong.count, 1);
		assert_int_equal(wrong.kept, 1);
		assert_true(wrong.first[0].index == first + words - 1);
		assert_true(wrong.first[0].actual == a.words[words - 1]);
		assert_true(wrong.first[0].expected == gpu_unique(seed, first + words - 1));
	}
	area_free(&a);
}

static void copy(const struct grid *g, uint64_t units)
{
	struct area from = area_new(2 * units, 0), to = area_new(2 * units, 0);
	void *args[] = { &to.words, &from.words, &units };

	area_fill(&from);
	launch("copy_units", g, args, ARRAY_SIZE(args));
	assert_memory_equal(to.words, from.words, units * 16);
	area_free(&from);
	area_free(&to);
}

static void unique_data_and_copies(void **state)
{
	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
			unique_data(&grids[g], counts[c], 0);
			unique_data(&grids[g], counts[c], 1);
			copy(&grids[g], counts[c]);
		}
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void *set_later(void *go)
{
	sleep_ms(20);
	__atomic_store_n((unsigned *)go, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void spin_ends(void **state)
{
	static const struct {
		const char *name;
		unsigned go, later;
		unsigned long long most_ns;
		unsigned late;
	} cases[] = {
		{ "released before", 1, 0, 0, 0 },
		{ "released while it waits", 0, 1, 10000000000ULL, 0 },
		{ "never released", 0, 0, 5000000, 1 },
		{ "no time at all", 0, 0, 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned go = cases[i].go, late = 0, *at_go = &go, *at_late = &late;
		unsigned long long most_ns = cases[i].most_ns;
		void *args[] = { &at_go, &at_late, &most_ns };
		pthread_t thread;

		if (cases[i].later)
			assert_int_equal(pthread_create(&thread, NULL, set_later, &go), 0);
		launch("spin", &grids[i % 2], args, ARRAY_SIZE(args));
		if (cases[i].later)
			pthread_join(thread, NULL);
		if (late != cases[i].late)
			fail_msg("%s: late is %u", cases[i].name, late);
	}
}

/* ---- latency.cu ---------------------------------------------------------------------------- */

static void chase_follows_its_ring(void **state)
{
	enum { PLACES = 1009, STEP = 617, SAMPLES = 5, HOPS = 1003 };
	static uint64_t ring[PLACES];
	uint64_t *at_ring = ring, start = 11, end = 0, *at_end = &end, ns[SAMPLES + 1];
	uint64_t *at_ns = ns;
	unsigned samples = SAMPLES, hops = HOPS;
	void *args[] = { &at_ring, &start, &samples, &hops, &at_ns, &at_end };

	(void)state;
	for (uint64_t i = 0; i < PLACES; i++)
		ring[i] = (i + STEP) % PLACES;
	memset(ns, 0xff, sizeof(ns));
	launch("chase", &grids[3], args, ARRAY_SIZE(args));
	assert_true(end == (start + (uint64_t)STEP * HOPS * SAMPLES) % PLACES);
	for (int s = 0; s < SAMPLES; s++)
		assert_true(ns[s] > 0 && ns[s] < 10000000000ULL);
	assert_true(ns[SAMPLES] == UINT64_MAX);
}

/* Two flags, and who waits for which. */
struct flags {
	uint64_t first, second;
	unsigned samples, rounds, rounds_in_all;
	uint64_t most_ns, ns[8];
	unsigned first_late, second_late;
};

static void *run_second(void *arg)
{
	struct flags *f = arg;
	uint64_t *mine = &f->second, *theirs = &f->first;
	unsigned *late = &f->second_late;
	void *args[] = { &mine, &theirs, &f->rounds_in_all, &f->most_ns, &late };

	launch("flag_second", &grids[0], args, ARRAY_SIZE(args));
	return NULL;
}

static void run_first(struct flags *f)
{
	uint64_t *mine = &f->first, *theirs = &f->second, *ns = f->ns;
	unsigned *late = &f->first_late;
	void *args[] = { &mine, &theirs, &f->samples, &f->rounds, &f->most_ns, &ns, &late };

	launch("flag_first", &grids[0], args, ARRAY_SIZE(args));
}

static void flags_pass_to_and_fro(void **state)
{
	struct flags f = { .samples = 4, .rounds = 50, .rounds_in_all = 200 };
	pthread_t thread;

	(void)state;
	f.most_ns = 60000000000ULL;
	assert_int_equal(pthread_create(&thread, NULL, run_second, &f), 0);
	run_first(&f);
	pthread_join(thread, NULL);
	assert_int_equal(f.first_late, 0);
	assert_int_equal(f.second_late, 0);
	assert_int_equal(f.first, 200);
	assert_int_equal(f.second, 200);
	for (unsigned s = 0; s < f.samples; s++)
		assert_true(f.ns[s] > 0);
	assert_int_equal(f.ns[f.samples], 0);
}

static void flags_give_up(void **state)
{
	struct flags f = { .samples = 4, .rounds = 50, .rounds_in_all = 200, .most_ns = 2000000 };
	pthread_t thread;

	(void)state;
	run_first(&f); /* nobody answers */
	assert_int_equal(f.first_late, 1);
	assert_int_equal(f.second, 1);
	assert_int_equal(f.ns[0], 0);

	f.first = f.second = 0;
	run_second(&f); /* nobody asks */
	assert_int_equal(f.second_late, 1);
	assert_int_equal(f.first, 0);

	f.second = 5; /* from elsewhere: not the 1 that it waits for */
	run_second(&f);
	assert_int_equal(f.second_late, 1);
	assert_int_equal(f.first, 0);

	/* The second answers 3 rounds, and then no more. */
	f = (struct flags){ .samples = 4, .rounds = 2, .rounds_in_all = 3, .most_ns = 500000000 };
	assert_int_equal(pthread_create(&thread, NULL, run_second, &f), 0);
	run_first(&f);
	pthread_join(thread, NULL);
	assert_int_equal(f.first_late, 1);
	assert_int_equal(f.second_late, 0);
	assert_true(f.ns[0] > 0);
	assert_int_equal(f.ns[1], 0);
	assert_int_equal(f.second, 4);
}

/* ---- memory.cu ----------------------------------------------------------------------------- */

/* One word of the odd sum at a time in a field of zeros: the sink tells that it was read once. */
static void read_sees_each_unit(void **state)
{
	static const uint64_t units[] = { 1, 2, 33, 255, 257, 300 };

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (size_t u = 0; u < ARRAY_SIZE(units); u++) {
			struct area a = area_new(2 * units[u], 0);
			uint64_t sink = 0, *at_sink = &sink, count = units[u], planted = 0;
			void *args[] = { &a.words, &count, &at_sink };

			memset(a.words, 0, count * 16);
			launch("read_units", &grids[g], args, ARRAY_SIZE(args));
			assert_int_equal(sink, 0);
			for (uint64_t i = 0; i < 2 * count; i += 1 + i % 3) {
				a.words[i] = ODD_SUM;
				launch("read_units", &grids[g], args, ARRAY_SIZE(args));
				a.words[i] = 0;
				planted++;
			}
			assert_true(sink == planted * ODD_SUM);
			area_free(&a);
		}
}

static void write_writes_each_unit(void **state)
{
	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
			struct area a = area_new(2 * counts[c], 0);
			uint64_t units = counts[c], value = UINT64_C(0x0123456789abcdef);
			void *args[] = { &a.words, &units, &value };

			launch("write_units", &grids[g], args, ARRAY_SIZE(args));
			for (uint64_t i = 0; i < a.count; i++)
				assert_true(a.words[i] == value);
			area_free(&a);
		}
}

/* Small whole numbers, so that a fused and a separate addition agree. */
static void triad(const struct grid *g, uint64_t count, int odd)
{
	struct area a = area_new(count, odd), b = area_new(count, 0), c = area_new(count, odd);
	double *to = (double *)a.words, *from = (double *)b.words, *more = (double *)c.words;
	double factor = 3;
	void *args[] = { &to, &from, &more, &factor, &count };

	for (uint64_t i = 0; i < count; i++) {
		from[i] = (double)i;
		more[i] = (double)(i % 17) - 8;
	}
	launch("triad", g, args, ARRAY_SIZE(args));
	for (uint64_t i = 0; i < count; i++)
		assert_true(to[i] == (double)i + 3 * ((double)(i % 17) - 8));
	area_free(&a);
	area_free(&b);
	area_free(&c);
}

static void triads(void **state)
{
	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
			triad(&grids[g], counts[c], 0);
			triad(&grids[g], counts[c], 1);
		}
}

static void slabs_are_read_alone_and_timed(void **state)
{
	enum { SLABS = 7, UNITS = 301, PASSES = 3 };

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++) {
		struct area a = area_new(2 * UNITS * SLABS, 0);
		uint64_t ns[SLABS + 1], *at_ns = ns, sink = 0, *at_sink = &sink, units = UNITS;
		unsigned slabs = SLABS, passes = PASSES;
		void *args[] = { &a.words, &units, &slabs, &passes, &at_ns, &at_sink };

		memset(a.words, 0, a.count * 8);
		for (uint64_t s = 0; s < SLABS; s++)
			a.words[2 * (s * UNITS + s * 50) + s % 2] = ODD_SUM;
		for (int s = 0; s <= SLABS; s++)
			ns[s] = GUARD;
		launch("slab_read", &grids[g], args, ARRAY_SIZE(args));
		for (int s = 0; s < SLABS; s++)
			assert_true(ns[s] > 0 && ns[s] < 10000000000ULL);
		assert_true(ns[SLABS] == GUARD);
		assert_true(sink == SLABS * PASSES * ODD_SUM);
		area_free(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_arguments),
		cmocka_unit_test(unique_data_and_copies),
		cmocka_unit_test(spin_ends),
		cmocka_unit_test(chase_follows_its_ring),
		cmocka_unit_test(flags_pass_to_and_fro),
		cmocka_unit_test(flags_give_up),
		cmocka_unit_test(read_sees_each_unit),
		cmocka_unit_test(write_writes_each_unit),
		cmocka_unit_test(triads),
		cmocka_unit_test(slabs_are_read_alone_and_timed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
