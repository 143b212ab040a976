/*
 * chase.c - the rival for the memory latency: a pointer chase as lat_mem_rd of lmbench does it.
 *
 * Written anew after the published method (L. McVoy, C. Staelin, "lmbench: Portable Tools for
 * Performance Analysis", 1996), but in random order instead of with a stride, which prefetchers see
 * through. 2 MiB pages by madvise.
 *
 * Build: gcc -O2 ci/rivals/chase.c -o chase
 * Run:   chase BYTES HOPS [CPU]
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define ONE p = *(void **)p;
#define TEN ONE ONE ONE ONE ONE ONE ONE ONE ONE ONE
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

enum { LINE = 64, ROUNDS = 11 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *chain_new(long lines)
{
	unsigned char *base = aligned_alloc(2 << 20, (lines * LINE + (2 << 20) - 1) >> 21 << 21);
	uint32_t *order = malloc(lines * sizeof(*order));
	uint64_t state = 88172645463325252u;

	if (!base || !order)
		return NULL;
	madvise(base, lines * LINE, MADV_HUGEPAGE);
	for (long i = 0; i < lines; i++)
		order[i] = i;
	for (long i = lines - 1; i > 0; i--) {
		uint32_t held = order[i];
		long j;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		j = state % (i + 1);
		order[i] = order[j];
		order[j] = held;
	}
	for (long i = 0; i < lines; i++)
		*(void **)(base + order[i] * (uint64_t)LINE) =
			base + order[(i + 1) % lines] * (uint64_t)LINE;
	free(order);
	return base;
}

static int compare(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
	long lines = argc > 1 ? atol(argv[1]) / LINE : 0;
	long hundreds = argc > 2 ? atol(argv[2]) / 100 : 10000;
	double ns[ROUNDS];
	cpu_set_t one;
	void *p;

	if (lines < 2 || hundreds < 1)
		return fprintf(stderr, "usage: chase BYTES HOPS [CPU]\n"), 2;
	CPU_ZERO(&one);
	CPU_SET(argc > 3 ? atoi(argv[3]) : 0, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return perror("chase: sched_setaffinity"), 1;
	p = chain_new(lines);
	if (!p)
		return fprintf(stderr, "chase: out of memory\n"), 1;

	for (int r = -1; r < ROUNDS; r++) { /* round -1 warms up */
		double start = now();

		for (long i = 0; i < hundreds; i++) {
			HUNDRED
		}
		if (r >= 0)
			ns[r] = (now() - start) * 1e9 / (hundreds * 100);
	}
	qsort(ns, ROUNDS, sizeof(*ns), compare);
	printf("best %.3f ns  median %.3f ns  (end %p)\n", ns[0], ns[ROUNDS / 2], p);
	return 0;
}
