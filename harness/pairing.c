/* pairing.c - circle method and random matchings. */
#include "harness/pairing.h"

#include "harness/base/base.h"

#include <stdlib.h>

int pairing_rounds(int n, int wanted)
{
	int all = n % 2 ? n : n - 1;

	if (n < 2)
		return 0;
	if (wanted > 0)
		return n <= PAIRING_ALL_MOST && wanted > all ? all : wanted;
	return n <= PAIRING_ALL_MOST ? all : PAIRING_ROUNDS;
}

static void pair(int *partner, int a, int b)
{
	partner[a] = b;
	partner[b] = a;
}

/* Node m - 1 stays, the others turn round it; of an odd number the last one is not there. */
static void circle(int n, int round, int *partner)
{
	int m = n + n % 2, turns = m - 1;

	for (int i = 0; i < m / 2; i++) {
		int a = i == 0 ? m - 1 : (round + i) % turns;
		int b = (round + turns - i) % turns;

		if (a < n && b < n)
			pair(partner, a, b);
	}
}

static void shuffle(int *items, int n, uint64_t *state)
{
	for (int i = n - 1; i > 0; i--) {
		int k = (int)(random_next(state) % (uint64_t)(i + 1)), swap = items[i];

		items[i] = items[k];
		items[k] = swap;
	}
}

struct card {
	uint64_t key; /* random, the same for all of a unit */
	int unit, node;
};

static int by_unit(const void *a, const void *b)
{
	const struct card *x = a, *y = b;

	return x->key != y->key ? (x->key > y->key) - (x->key < y->key)
				: (x->unit > y->unit) - (x->unit < y->unit);
}

/* All nodes in random order, those of a unit behind each other, the units in random order too. */
static int *deal(int n, const int *unit, int round)
{
	uint64_t state = 0x9e3779b97f4a7c15u + (uint64_t)round;
	struct card *cards = xcalloc((size_t)n, sizeof(*cards));
	int *order = xcalloc((size_t)n, sizeof(*order));

	for (int i = 0; i < n; i++)
		order[i] = i;
	shuffle(order, n, &state);
	for (int i = 0; i < n; i++) {
		int u = unit ? unit[order[i]] : -1;
		uint64_t of_unit = (uint64_t)(u + 2) * 0xd1342543de82ef95u + (uint64_t)round;

		cards[i] = (struct card){ u < 0 ? 0 : random_next(&of_unit), u, order[i] };
	}
	qsort(cards, (size_t)n, sizeof(*cards), by_unit);
	for (int i = 0; i < n; i++)
		order[i] = cards[i].node;
	free(cards);
	return order;
}

/* Neighbours of the same unit; the last ones of odd units meet each other. */
static void within_units(const int *order, const int *unit, int n, int *partner)
{
	int left = -1;

	for (int i = 0; i < n; i++) {
		if (i + 1 < n && unit[order[i]] == unit[order[i + 1]]) {
			pair(partner, order[i], order[i + 1]);
			i++;
		} else if (left < 0) {
			left = order[i];
		} else {
			pair(partner, left, order[i]);
			left = -1;
		}
	}
}

/* Half the fleet apart in that order is another unit, as long as no unit is half the fleet. */
static void across_units(const int *order, int n, int *partner)
{
	for (int i = 0; i < n / 2; i++)
		pair(partner, order[i], order[i + n / 2]);
}

void pairing_round(int n, const int *unit, int round, int *partner)
{
	int *order;

	for (int i = 0; i < n; i++)
		partner[i] = -1;
	if (n <= PAIRING_ALL_MOST) {
		circle(n, round, partner);
		return;
	}
	order = deal(n, unit, round);
	if (unit && round % 2 == 0)
		within_units(order, unit, n, partner);
	else
		across_units(order, n, partner);
	free(order);
}
