/*
 * stream.c - the rival for the memory rates: McCalpin's four STREAM kernels as plain C loops.
 *
 * Written anew after the published kernels (J. D. McCalpin, "Memory Bandwidth and Machine Balance
 * in Current High Performance Computers", 1995) and counted as they are: 2, 2, 3 and 3 arrays, no
 * write-allocate. The arrays are allocated, not static, and touched by the threads that use them.
 *
 * Build: gcc -O3 -march=native -fopenmp ci/rivals/stream.c -o stream
 * Run:   stream ARRAY_BYTES REPEATS THREADS
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { COPY, SCALE, ADD, TRIAD, KERNELS };

static const struct {
	const char *name;
	int arrays;
} kernels[KERNELS] = {
	[COPY] = { "copy", 2 },
	[SCALE] = { "scale", 2 },
	[ADD] = { "add", 3 },
	[TRIAD] = { "triad", 3 },
};

static const double scalar = 3.0;

static void copy(double *restrict c, const double *restrict a, long n)
{
#pragma omp parallel for schedule(static)
	for (long i = 0; i < n; i++)
		c[i] = a[i];
}

static void scale(double *restrict b, const double *restrict c, long n)
{
#pragma omp parallel for schedule(static)
	for (long i = 0; i < n; i++)
		b[i] = scalar * c[i];
}

static void add(double *restrict c, const double *restrict a, const double *restrict b, long n)
{
#pragma omp parallel for schedule(static)
	for (long i = 0; i < n; i++)
		c[i] = a[i] + b[i];
}

static void triad(double *restrict a, const double *restrict b, const double *restrict c, long n)
{
#pragma omp parallel for schedule(static)
	for (long i = 0; i < n; i++)
		a[i] = b[i] + scalar * c[i];
}

static double *array_new(long n, double value)
{
	double *a = aligned_alloc(2 << 20, (n * sizeof(*a) + (2 << 20) - 1) >> 21 << 21);

	if (!a)
		return NULL;
	madvise(a, n * sizeof(*a), MADV_HUGEPAGE);
#pragma omp parallel for schedule(static)
	for (long i = 0; i < n; i++)
		a[i] = value;
	return a;
}

static int compare(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

/* What the arrays must hold in the end, as the original validates itself. */
static int wrong(const double *a, const double *b, const double *c, long n, int repeats)
{
	double ea = 1, eb = 2, ec = 0;

	for (int k = 0; k < repeats; k++) {
		ec = ea;
		eb = scalar * ec;
		ec = ea + eb;
		ea = eb + scalar * ec;
	}
	for (long i = 0; i < n; i++)
		if (a[i] != ea || b[i] != eb || c[i] != ec)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) / (long)sizeof(double) : 0;
	int repeats = argc > 2 ? atoi(argv[2]) : 10;
	double *a, *b, *c, *times[KERNELS];

	if (n < 1 || repeats < 2)
		return fprintf(stderr, "usage: stream ARRAY_BYTES REPEATS THREADS\n"), 2;
	if (argc > 3)
		omp_set_num_threads(atoi(argv[3]));
	a = array_new(n, 1);
	b = array_new(n, 2);
	c = array_new(n, 0);
	for (int k = 0; k < KERNELS; k++)
		times[k] = calloc(repeats, sizeof(double));
	if (!a || !b || !c || !times[KERNELS - 1])
		return fprintf(stderr, "stream: out of memory\n"), 1;

	for (int k = 0; k < repeats; k++) {
		double t[KERNELS + 1];

		t[COPY] = omp_get_wtime();
		copy(c, a, n);
		t[SCALE] = omp_get_wtime();
		scale(b, c, n);
		t[ADD] = omp_get_wtime();
		add(c, a, b, n);
		t[TRIAD] = omp_get_wtime();
		triad(a, b, c, n);
		t[KERNELS] = omp_get_wtime();
		for (int i = 0; i < KERNELS; i++)
			times[i][k] = t[i + 1] - t[i];
	}
	if (repeats < 300 &&
	    wrong(a, b, c, n, repeats)) /* later the values leave the range of doubles */
		return fprintf(stderr, "stream: wrong data\n"), 1;

	for (int i = 0; i < KERNELS; i++) {
		double moved = (double)n * sizeof(double) * kernels[i].arrays / 1e9;

		qsort(times[i] + 1, repeats - 1, sizeof(double),
		      compare); /* the first is warm-up */
		printf("%-6s best %8.2f GB/s  median %8.2f GB/s\n", kernels[i].name,
		       moved / times[i][1], moved / times[i][1 + (repeats - 1) / 2]);
	}
	return 0;
}
