/*
 * test_pairing.c - who meets whom: every two once while that can be done, random matchings above.
 */
#include "harness/base/base.h"
#include "harness/pairing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void rounds_are_as_many_as_needed(void **state)
{
	static const struct {
		int n, wanted, rounds;
	} cases[] = {
		{ 0, 0, 0 },
		{ 1, 0, 0 },
		{ 1, 5, 0 },
		{ 2, 0, 1 },
		{ 2, 7, 1 },
		{ 3, 0, 3 },
		{ 4, 0, 3 },
		{ 5, 0, 5 },
		{ 8, 0, 7 },
		{ 8, 3, 3 },
		{ 8, 99, 7 },
		{ 128, 0, 127 },
		{ 127, 0, 127 },
		{ 129, 0, PAIRING_ROUNDS },
		{ 16384, 0, PAIRING_ROUNDS },
		{ 16384, 9, 9 },
		{ 16384, 2, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(pairing_rounds(cases[i].n, cases[i].wanted), cases[i].rounds);
}

/* Partners of each other, nobody of himself; returns who sits out. */
static int assert_matching(const int *partner, int n)
{
	int out = 0;

	for (int i = 0; i < n; i++) {
		assert_true(partner[i] >= -1 && partner[i] < n && partner[i] != i);
		if (partner[i] < 0)
			out++;
		else
			assert_int_equal(partner[partner[i]], i);
	}
	return out;
}

static void every_two_meet_once(void **state)
{
	(void)state;
	for (int n = 2; n <= PAIRING_ALL_MOST; n++) {
		int rounds = pairing_rounds(n, 0), partner[PAIRING_ALL_MOST];
		char *met = xcalloc((size_t)(n * n), 1);

		for (int r = 0; r < rounds; r++) {
			pairing_round(n, NULL, r, partner);
			assert_int_equal(assert_matching(partner, n), n % 2);
			for (int i = 0; i < n; i++)
				met[i * n + (partner[i] < 0 ? i : partner[i])]++;
		}
		/* who met himself sat out: of odd numbers everyone once */
		for (int i = 0; i < n; i++)
			for (int k = 0; k < n; k++)
				assert_int_equal(met[i * n + k], i == k ? n % 2 : 1);
		free(met);
	}
}

/* sizes of units, one behind the other; 0 ends them. `none`: nodes of no unit, at the end. */
static const struct {
	const char *name;
	int n, sizes[8], none;
} fleets[] = {
	{ "four equal units", 256, { 64, 64, 64, 64 }, 0 },
	{ "odd units", 255, { 61, 65, 64, 65 }, 0 },
	{ "one odd unit before even ones", 257, { 33, 32, 64, 64, 64 }, 0 },
	{ "a unit of one", 201, { 1, 100, 100 }, 0 },
	{ "some in no unit", 250, { 60, 60, 60 }, 70 },
	{ "two halves", 200, { 100, 100 }, 0 },
};

static int *units_of(size_t fleet)
{
	int *unit = xcalloc((size_t)fleets[fleet].n, sizeof(*unit)), at = 0;

	for (int u = 0; fleets[fleet].sizes[u]; u++)
		for (int i = 0; i < fleets[fleet].sizes[u]; i++)
			unit[at++] = u;
	for (int i = 0; i < fleets[fleet].none; i++)
		unit[at++] = -1;
	assert_int_equal(at, fleets[fleet].n);
	return unit;
}

/* How many units have an odd number of nodes: one of each cannot meet its own. */
static int odd_units(size_t fleet)
{
	int odd = fleets[fleet].none % 2;

	for (int u = 0; fleets[fleet].sizes[u]; u++)
		odd += fleets[fleet].sizes[u] % 2;
	return odd;
}

static int mixed_pairs(const int *partner, const int *unit, int n)
{
	int mixed = 0;

	for (int i = 0; i < n; i++)
		mixed += partner[i] > i && unit[i] != unit[partner[i]];
	return mixed;
}

static void rounds_alternate_within_and_across_units(void **state)
{
	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(fleets); f++) {
		int n = fleets[f].n, *unit = units_of(f);
		int *partner = xcalloc((size_t)n, sizeof(*partner));

		print_message("  %s\n", fleets[f].name);
		for (int r = 0; r < PAIRING_ROUNDS; r++) {
			pairing_round(n, unit, r, partner);
			assert_int_equal(assert_matching(partner, n), n % 2);
			assert_int_equal(mixed_pairs(partner, unit, n),
					 r % 2 ? n / 2 : odd_units(f) / 2);
		}
		free(partner);
		free(unit);
	}
}

static void large_fleets_meet_at_random_and_always_the_same_way(void **state)
{
	static const int sizes[] = { 129, 200, 1001, 16384 };

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		int n = sizes[s], again = 0;
		int *all = xcalloc((size_t)n * PAIRING_ROUNDS, sizeof(*all));
		int *twice = xcalloc((size_t)n, sizeof(*twice));

		for (int r = 0; r < PAIRING_ROUNDS; r++) {
			int *partner = all + r * n;

			pairing_round(n, NULL, r, partner);
			assert_int_equal(assert_matching(partner, n), n % 2);
			memset(twice, 0xff, (size_t)n * sizeof(*twice));
			pairing_round(n, NULL, r, twice);
			assert_memory_equal(partner, twice, (size_t)n * sizeof(*twice));
			for (int before = 0; before < r; before++)
				for (int i = 0; i < n; i++)
					again += partner[i] >= 0 &&
						 partner[i] == all[before * n + i];
		}
		/* by chance about ten couples of two, whatever n is */
		assert_true(again < 60);
		free(twice);
		free(all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_are_as_many_as_needed),
		cmocka_unit_test(every_two_meet_once),
		cmocka_unit_test(rounds_alternate_within_and_across_units),
		cmocka_unit_test(large_fleets_meet_at_random_and_always_the_same_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
