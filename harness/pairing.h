/*
 * pairing.h - who meets whom in which round. Pure: the same numbers give the same partners.
 *
 * Up to PAIRING_ALL_MOST nodes, every two meet once (circle method: n - 1 rounds of n / 2 disjoint
 * pairs). Above, all pairs would take days, and a few random perfect matchings tell a bad node as
 * well: it is slow with each of its partners (methods: localisation). Their rounds alternate
 * between partners of the same scalable unit (the leaf alone) and of different ones (leaf and
 * spine).
 */
#ifndef ASSAY_PAIRING_H
#define ASSAY_PAIRING_H

enum {
	PAIRING_ALL_MOST = 128,
	/* 16384 nodes, 1 % of them bad: 4 matchings accuse fewer than 0.06 good ones if only nodes
	 * that fail in all of them are accused; one more as reserve. */
	PAIRING_ROUNDS = 5
};

/* How many rounds n nodes need; wanted 0: as many as the above says. */
int pairing_rounds(int n, int wanted);
/*
 * Fills partner[0 .. n-1] of round 0, 1, ...; -1 sits this one out. unit[i] is the scalable unit of
 * node i, -1 if none is known; NULL: of none.
 */
void pairing_round(int n, const int *unit, int round, int *partner);

#endif
