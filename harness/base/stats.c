/* stats.c - the median and how sure one can be of it. */
#include "harness/base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double *sorted(const double *values, int n)
{
	double *copy = xcalloc((size_t)n, sizeof(*copy));

	memcpy(copy, values, (size_t)n * sizeof(*copy));
	qsort(copy, (size_t)n, sizeof(*copy), compare);
	return copy;
}

/* lgamma() itself writes a global. */
static double log_factorial(int n)
{
	int sign;

	return lgamma_r(n + 1.0, &sign);
}

/*
 * Largest j (from 1) with P(x(j) <= median <= x(n+1-j)) >= 95 %, that is with the binomial tail
 * P(X <= j-1) <= 2.5 % for X ~ B(n, 1/2); 0 if there is none. Logarithms, so that n may be large.
 */
static int interval_rank(int n)
{
	double tail = 0, half_n = n * log(0.5);
	int j = 0;

	for (int k = 0; k < n / 2; k++) {
		tail += exp(log_factorial(n) - log_factorial(k) - log_factorial(n - k) + half_n);
		if (tail > 0.025)
			break;
		j = k + 1;
	}
	return j;
}

struct median median_of(const double *values, int n)
{
	struct median m = { .n = n };
	double *x;
	int j;

	if (n < 1)
		BUG("median of nothing");
	x = sorted(values, n);
	j = interval_rank(n);
	m.sure = j > 0;
	j = j ? j : 1;
	m.value = n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
	m.low = x[j - 1];
	m.high = x[n - j];
	free(x);
	return m;
}

double percentile_of(const double *values, int n, double p)
{
	double *x = sorted(values, n);
	int rank = (int)ceil(p * n);
	double value = x[rank < 1 ? 0 : rank > n ? n - 1 : rank - 1];

	free(x);
	return value;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}
