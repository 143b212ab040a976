/*
 * test_gpu_twins_stress.c - the memory test's device code, run by its twins on the CPU: what
 * patterns are, in which order, and that one wrong bit is found wherever it lies.
 *
 * Patterns are said here once more in plain C, not taken from the kernels' own header.
 */
#include "tests/unit/twin_area.h"

static uint64_t ought(const struct device_pattern *p, uint64_t i)
{
	const uint64_t index = p->first + i;
	uint64_t word = 0;

	switch (p->kind) {
	case PATTERN_ADDRESS:
		word = index * 8 ^ p->seed;
		break;
	case PATTERN_CHECKER:
		word = UINT64_C(0xaaaaaaaaaaaaaaaa);
		break;
	case PATTERN_WALKING:
		word = UINT64_C(1) << (index + p->step) % 64;
		break;
	case PATTERN_RANDOM:
		word = gpu_unique(p->seed, index);
		break;
	case PATTERN_MODULO:
		word = gpu_mix(p->seed);
		if (index % 20 != p->step % 20)
			word = ~word;
		break;
	}
	return p->invert ? ~word : word;
}

/* One pattern written, compared, and moved on by inversion. */
static void pattern_holds(const struct grid *g, uint64_t words, struct device_pattern p, int odd)
{
	struct area a = area_new(words, odd);
	struct device_wrong wrong = { 0 }, *at_wrong = &wrong;
	void *args[] = { &a.words, &words, &p, &at_wrong };

	launch("stress_write", g, args, 3);
	for (uint64_t i = 0; i < words; i++)
		if (a.words[i] != ought(&p, i))
			fail_msg("pattern %d inverted %d backward %d, word %llu of %llu", p.kind,
				 p.invert, p.backward, (unsigned long long)i,
				 (unsigned long long)words);
	launch("stress_check", g, args, ARRAY_SIZE(args));
	launch("stress_invert", g, args, ARRAY_SIZE(args));
	for (uint64_t i = 0; i < words; i++)
		assert_true(a.words[i] == ~ought(&p, i));
	p.invert = !p.invert;
	p.backward = !p.backward;
	launch("stress_check", g, args, ARRAY_SIZE(args));
	assert_int_equal(wrong.count, 0);
	assert_int_equal(wrong.kept, 0);
	area_free(&a);
}

static void patterns_hold(void **state)
{
	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (size_t c = 0; c < ARRAY_SIZE(counts) - 1; c++)
			for (int kind = 0; kind < PATTERN_COUNT; kind++)
				for (int way = 0; way < 8; way++) {
					const struct device_pattern p = {
						.seed = 99,
						.step = c * 7,
						.first = (uint64_t)way * 1001,
						.kind = kind,
						.invert = way & 1,
						.backward = way >> 1 & 1,
					};

					pattern_holds(&grids[g], counts[c], p, way >> 2);
				}
}

static void every_step_of_modulo(void **state)
{
	(void)state;
	for (uint64_t step = 0; step < 20; step++)
		pattern_holds(&grids[4], 1000,
			      (struct device_pattern){
				      .seed = step, .step = step, .kind = PATTERN_MODULO },
			      0);
}

/* Flips one bit of one word; it must be found by `kernel`, and nothing else. */
static void plant(const char *kernel, const struct grid *g, struct area *a,
		  struct device_pattern *p, uint64_t place, int bit)
{
	const uint64_t good = a->words[place], bad = good ^ UINT64_C(1) << bit;
	struct device_wrong wrong = { 0 }, *at_wrong = &wrong;
	void *args[] = { &a->words, &a->count, p, &at_wrong };

	a->words[place] = bad;
	launch(kernel, g, args, ARRAY_SIZE(args));
	assert_int_equal(wrong.count, 1);
	assert_int_equal(wrong.kept, 1);
	assert_true(wrong.first[0].index == p->first + place);
	assert_true(wrong.first[0].expected == good);
	assert_true(wrong.first[0].actual == bad);
	assert_true(wrong.first[0].again == bad);
	assert_true(wrong.first[0].sm < SMS && wrong.first[0].sm < g->blocks);
	a->words[place] = good;
}

static void single_bits_are_found(void **state)
{
	enum { WORDS = 1003 };
	static const uint64_t places[] = { 0, 1, WORDS / 2, 700, WORDS - 2, WORDS - 1 };

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (int kind = 0; kind < PATTERN_COUNT; kind++)
			for (int bit = 0; bit < 64; bit++) {
				struct device_pattern p = { .seed = 5,
							    .step = 3,
							    .first = UINT64_C(1) << 40,
							    .kind = kind,
							    .invert = bit & 1,
							    .backward = bit >> 1 & 1 };
				struct area a = area_new(WORDS, bit % 3 == 0);

				for (uint64_t i = 0; i < WORDS; i++)
					a.words[i] = ought(&p, i);
				plant("stress_check", &grids[g], &a, &p,
				      places[(size_t)bit % ARRAY_SIZE(places)], bit);
				plant("stress_check", &grids[g], &a, &p, 0, bit);
				plant("stress_check", &grids[g], &a, &p, WORDS - 1, bit);
				area_free(&a);
			}
}

/* Inversion finds it, too, and leaves behind what ought to be there and not what was. */
static void inversion_finds_and_repairs(void **state)
{
	enum { WORDS = 517 };
	static const uint64_t places[] = { 0, 1, WORDS / 2, WORDS - 1 };
	struct device_pattern p = { .seed = 12, .first = 20, .kind = PATTERN_RANDOM };

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
			struct area a = area_new(WORDS, (int)i & 1);

			for (uint64_t w = 0; w < WORDS; w++)
				a.words[w] = ought(&p, w);
			plant("stress_invert", &grids[g], &a, &p, places[i], 17);
			a.words[places[i]] = ~ought(&p, places[i]); /* plant() put it back */
			for (uint64_t w = 0; w < WORDS; w++)
				assert_true(a.words[w] == ~ought(&p, w));
			area_free(&a);
		}
}

static void many_are_counted_and_some_kept(void **state)
{
	enum { WORDS = 20001 };
	struct device_pattern p = { .seed = 1, .kind = PATTERN_ADDRESS };

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (uint64_t bad = 15; bad <= WORDS; bad += bad < 17 ? 1 : WORDS - 17) {
			struct area a = area_new(WORDS, 0);
			struct device_wrong wrong = { 0 }, *at_wrong = &wrong;
			void *args[] = { &a.words, &a.count, &p, &at_wrong };

			for (uint64_t i = 0; i < WORDS; i++)
				a.words[i] = i < bad ? ~ought(&p, i) : ought(&p, i);
			launch("stress_check", &grids[g], args, ARRAY_SIZE(args));
			assert_int_equal(wrong.count, bad);
			assert_true(wrong.kept >=
				    (bad < DEVICE_WRONG_KEPT ? bad : DEVICE_WRONG_KEPT));
			for (unsigned k = 0; k < DEVICE_WRONG_KEPT && k < bad; k++) {
				assert_true(wrong.first[k].actual == ~wrong.first[k].expected);
				for (unsigned j = 0; j < k; j++)
					assert_true(wrong.first[j].index != wrong.first[k].index);
			}
			area_free(&a);
		}
}

/* Where all is wrong, what is kept are the words that were come to first. */
static void backward_begins_at_the_end(void **state)
{
	enum { WORDS = 4096, NEAR = 512 };
	const struct grid g = { 1, 32 };

	(void)state;
	for (int backward = 0; backward < 2; backward++) {
		struct device_pattern p = { .kind = PATTERN_WALKING, .backward = backward };
		struct area a = area_new(WORDS, 0);
		struct device_wrong wrong = { 0 }, *at_wrong = &wrong;
		void *args[] = { &a.words, &a.count, &p, &at_wrong };

		memset(a.words, 0, WORDS * 8);
		launch("stress_check", &g, args, ARRAY_SIZE(args));
		assert_int_equal(wrong.count, WORDS);
		if (backward)
			assert_true(wrong.first[0].index >= WORDS - NEAR);
		else
			assert_true(wrong.first[0].index < NEAR);
		area_free(&a);
	}
}

static void both_of_a_pair_are_found(void **state)
{
	struct device_pattern p = { .kind = PATTERN_CHECKER };
	struct area a = area_new(512, 0);
	struct device_wrong wrong = { 0 }, *at_wrong = &wrong;
	void *args[] = { &a.words, &a.count, &p, &at_wrong };

	(void)state;
	launch("stress_write", &grids[4], args, 3);
	a.words[300] = 1;
	a.words[301] = 2;
	launch("stress_check", &grids[4], args, ARRAY_SIZE(args));
	assert_int_equal(wrong.count, 2);
	assert_int_equal(wrong.first[0].index + wrong.first[1].index, 601);
	assert_int_equal(wrong.first[0].actual + wrong.first[1].actual, 3);
	area_free(&a);
}

static void moves(void **state)
{
	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(grids); g++)
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++)
			for (int odd = 0; odd < 4; odd++) {
				struct area from = area_new(counts[c], odd & 1);
				struct area to = area_new(counts[c], odd >> 1);
				void *args[] = { &to.words, &from.words, &from.count };

				area_fill(&from);
				launch("stress_move", &grids[g], args, ARRAY_SIZE(args));
				assert_memory_equal(to.words, from.words, counts[c] * 8);
				area_free(&from);
				area_free(&to);
			}
}

/*
 * With a thread for each word, one pass sums word i and its partner: a single odd sum is met by two
 * threads. In three passes it cancels once for the thread whose first word it is.
 */
static void hammer_reads_both_words(void **state)
{
	static const struct {
		uint64_t stride;
		unsigned repeat;
		uint64_t met;
	} cases[] = { { 1, 1, 2 },   { 60, 1, 2 }, { 99, 1, 2 },
		      { 160, 1, 2 }, { 60, 0, 0 }, { 60, 3, 1 } };
	enum { WORDS = 100 };
	const struct grid g = { 5, 32 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (uint64_t place = 0; place < WORDS; place += 9) {
			struct area a = area_new(WORDS, 0);
			uint64_t stride = cases[i].stride, sink = 0, *at_sink = &sink;
			unsigned repeat = cases[i].repeat;
			void *args[] = { &a.words, &a.count, &stride, &repeat, &at_sink };

			memset(a.words, 0, WORDS * 8);
			a.words[place] = ODD_SUM;
			launch("stress_hammer", &g, args, ARRAY_SIZE(args));
			assert_true(sink == cases[i].met * ODD_SUM);
			area_free(&a);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_hold),
		cmocka_unit_test(every_step_of_modulo),
		cmocka_unit_test(single_bits_are_found),
		cmocka_unit_test(inversion_finds_and_repairs),
		cmocka_unit_test(many_are_counted_and_some_kept),
		cmocka_unit_test(backward_begins_at_the_end),
		cmocka_unit_test(both_of_a_pair_are_found),
		cmocka_unit_test(moves),
		cmocka_unit_test(hammer_reads_both_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
