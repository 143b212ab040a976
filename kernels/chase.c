/*
 * chase.c - how long one load takes that nothing can foresee.
 *
 * Every line of the block points to the next in one random cycle through all of them (S. Sattolo,
 * "An algorithm to generate a random cyclic permutation", 1986), so that a chain never closes early
 * into a loop that fits a cache. The lines are linked in place: no second array competes for
 * memory.
 */
#include "kernels/work.h"

enum { LINE = 64, UNROLLED = 32 };

struct chase_run {
	struct memory_chase *job;
	unsigned char *base;
	uint64_t lines;
	const char *wrong;
};

static void **line_at(const struct chase_run *run, uint64_t i)
{
	return (void **)(run->base + i * LINE);
}

static void link_lines(struct chase_run *run)
{
	uint64_t state = 0x243f6a8885a308d3; /* any will do */

	for (uint64_t i = 0; i < run->lines; i++)
		*line_at(run, i) = line_at(run, i);
	for (uint64_t i = run->lines - 1; i > 0; i--) {
		void **a = line_at(run, i), **b = line_at(run, random_next(&state) % i);
		void *held = *a;

		*a = *b;
		*b = held;
	}
}

/* The asm keeps the compiler from thinking about p: each load stays one load that waits for the
 * last. */
#define HOP                                                                                        \
	p = *(void **)p;                                                                           \
	__asm__ volatile("" : "+r"(p));
#define HOPS_8 HOP HOP HOP HOP HOP HOP HOP HOP

static void *follow(void *p, uint64_t hops)
{
	for (uint64_t i = hops / UNROLLED; i > 0; i--) {
		HOPS_8 HOPS_8 HOPS_8 HOPS_8
	}
	for (uint64_t i = hops % UNROLLED; i > 0; i--) {
		HOP
	}
	return p;
}

/* A walk of as many hops as there are lines ends where it began if, and only if, the cycle is
 * whole. */
static void chase_thread(void *arg, int index)
{
	struct chase_run *run = arg;
	const uint64_t hops = (uint64_t)run->job->hops_per_sample;
	void *p;

	(void)index;
	link_lines(run);
	p = follow(run->base, run->lines);
	if (p != run->base)
		run->wrong = "the chain of pointers came back wrong from memory";
	for (int s = 0; s < run->job->samples; s++) {
		const double start = clock_now();

		p = follow(p, hops);
		run->job->ns[s] = (clock_now() - start) * 1e9 / hops;
		if (!(run->job->ns[s] > 0))
			run->wrong = "the samples are too short to be timed";
	}
	if ((unsigned char *)p < run->base || (unsigned char *)p >= run->base + run->lines * LINE)
		run->wrong = "the chain of pointers led out of its block";
}

int host_memory_chase(struct machine *m, struct memory_chase *job, struct error *err)
{
	const struct host_numa *cpus = machine_numa(m, job->cpu_numa);
	struct chase_run run = { .job = job, .lines = job->bytes / LINE };
	struct pages pages;
	int rc;

	if (!cpus || cpus->cpu_count < 1)
		return error_set(err, "NUMA node %d has no processor that may be used",
				 job->cpu_numa);
	if (run.lines < 2 || job->samples < 1 || job->hops_per_sample < 1)
		return error_set(err,
				 "a pointer chase needs 128 bytes, a sample and a hop at least");
	if (pages_alloc(m, &pages, job->bytes, job->memory_numa, err) < 0)
		return -1;
	run.base = pages.base;
	rc = threads_run(cpus->cpus, 1, chase_thread, &run, err);
	pages_count_huge(&pages);
	job->huge_share = pages.huge_share;
	pages_free(&pages);
	if (rc == 0 && run.wrong)
		rc = error_set(err, "%s", run.wrong);
	return rc;
}
