/*
 * test_host_memory.c - placed memory, pinned threads, memory rates and the pointer chase.
 *
 * Nothing is asserted about how fast anything is, only that a figure comes from work that was done.
 */
#include "kernels/work.h"

#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SAMPLES = 3 };

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

/* The first NUMA node with processors, or NULL. */
static const struct host_numa *any_numa(const struct machine *m)
{
	for (int i = 0; i < m->host.numa_count; i++)
		if (m->host.numas[i].cpu_count > 0)
			return &m->host.numas[i];
	return NULL;
}

static void blocks_are_writable_and_aligned(void **state)
{
	static const uint64_t sizes[] = {
		1, 4096, 16384, (2 << 20) - 1, 2 << 20, (5 << 20) + 4096
	};
	struct machine *m = *state;
	struct error err;
	struct pages p;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(pages_alloc(m, &p, sizes[i], any_numa(m)->id, &err), 0);
		assert_int_equal(p.bytes, sizes[i]);
		assert_int_equal((uintptr_t)p.base % (2 << 20), 0);
		memset(p.base, 0xa5, sizes[i]);
		pages_count_huge(&p);
		assert_true(p.huge_share >= 0 && p.huge_share <= 1);
		pages_free(&p);
		assert_null(p.base);
	}
}

static void blocks_that_cannot_be_had_are_refused(void **state)
{
	struct machine *m = *state;
	struct machine recorded = *m;
	const struct {
		const char *name;
		struct machine *m;
		uint64_t bytes;
		int numa;
		const char *says;
	} cases[] = {
		{ "more than there is", m, UINT64_C(1) << 46, -1, "64 TiB" },
		{ "all there is", m, m->host.memory_available, -1, "stay free" },
		{ "nothing", m, 0, -1, "no size" },
		{ "a size that wraps", m, UINT64_MAX, -1, "no size" },
		{ "a node that is not there", m, 4096, 4711, "NUMA node 4711" },
		{ "a recorded machine", &recorded, 4096, -1, "recorded" },
	};
	char root[] = "/recorded";

	recorded.root = root;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { "" };
		struct pages p;

		assert_int_equal(pages_alloc(cases[i].m, &p, cases[i].bytes, cases[i].numa, &err),
				 -1);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].name, err.text,
				 cases[i].says);
		assert_null(p.base);
		pages_free(&p);
	}
}

static void where_am_i(void *arg, int index)
{
	((int *)arg)[index] = sched_getcpu();
}

static void threads_run_where_they_should(void **state)
{
	const struct machine *m = *state;
	int *seen = xcalloc((size_t)m->host.cpu_count, sizeof(*seen));
	struct error err;

	for (int i = 0; i < m->host.cpu_count; i++)
		seen[i] = -1;
	assert_int_equal(threads_run(m->host.cpus, m->host.cpu_count, where_am_i, seen, &err), 0);
	for (int i = 0; i < m->host.cpu_count; i++)
		assert_int_equal(seen[i], m->host.cpus[i]);
	free(seen);
}

static void a_processor_that_is_not_there_stops_all(void **state)
{
	const struct machine *m = *state;
	int cpus[] = { m->host.cpus[0], 100000 }, seen[] = { -1, -1 };
	struct error err;

	assert_int_equal(threads_run(cpus, 2, where_am_i, seen, &err), -1);
	assert_non_null(strstr(err.text, "processor 100000"));
	assert_int_equal(seen[0], -1);
	assert_int_equal(seen[1], -1);
	assert_int_equal(threads_run(cpus, 0, where_am_i, seen, &err), -1);
}

static void rates_are_positive(void **state)
{
	static const uint64_t sizes[] = { 64 << 10, (1 << 20) + 64, (8 << 20) - 64 * 7 };
	struct machine *m = *state;
	const struct host_numa *numa = any_numa(m);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		double gbs[MEMORY_OPS][SAMPLES] = { 0 };
		struct memory_rate job = { .cpu_numa = numa->id,
					   .memory_numa = numa->id,
					   .bytes = sizes[i] + 64 * (uint64_t)numa->cpu_count,
					   .samples = SAMPLES };
		struct error err = { "" };

		for (int op = 0; op < MEMORY_OPS; op++)
			job.gbs[op] = gbs[op];
		if (host_memory_rate(m, &job, &err) < 0)
			fail_msg("%llu bytes: %s", (unsigned long long)sizes[i], err.text);
		for (int op = 0; op < MEMORY_OPS; op++)
			for (int s = 0; s < SAMPLES; s++)
				assert_true(gbs[op][s] > 0 && isfinite(gbs[op][s]));
		assert_int_equal(job.threads, numa->cpu_count);
		assert_true(job.huge_share >= 0 && job.huge_share <= 1);
	}
}

static void operations_left_out_stay_out(void **state)
{
	struct machine *m = *state;
	double gbs[SAMPLES] = { 0 };
	struct memory_rate job = { .cpu_numa = any_numa(m)->id,
				   .memory_numa = any_numa(m)->id,
				   .bytes = 1 << 20,
				   .samples = SAMPLES,
				   .gbs = { [MEMORY_TRIAD] = gbs } };
	struct error err;

	assert_int_equal(host_memory_rate(m, &job, &err), 0);
	assert_true(gbs[SAMPLES - 1] > 0);
	assert_null(job.gbs[MEMORY_READ]);
}

static void rates_refuse(void **state)
{
	struct machine *m = *state;
	const int id = any_numa(m)->id;
	const struct {
		const char *name;
		struct memory_rate job;
		const char *says;
	} cases[] = {
		{ "no such processors",
		  { .cpu_numa = 99, .bytes = 1 << 20, .samples = 1 },
		  "node 99" },
		{ "no such memory",
		  { .cpu_numa = id, .memory_numa = 99, .bytes = 1 << 20, .samples = 1 },
		  "node 99" },
		{ "no samples", { .cpu_numa = id, .bytes = 1 << 20 }, "samples" },
		{ "no bytes", { .cpu_numa = id, .samples = 1 }, "multiple of 64" },
		{ "part of a line",
		  { .cpu_numa = id, .bytes = 65537, .samples = 1 },
		  "multiple of 64" },
		{ "too much",
		  { .cpu_numa = id, .memory_numa = id, .bytes = UINT64_C(1) << 44, .samples = 1 },
		  "available" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memory_rate job = cases[i].job;
		struct error err = { "" };

		assert_int_equal(host_memory_rate(m, &job, &err), -1);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: \"%s\"", cases[i].name, err.text);
	}
}

static void chases_are_positive(void **state)
{
	static const struct {
		uint64_t bytes;
		int hops;
	} cases[] = { { 128, 10000 }, { 16384, 10000 }, { 16384, 10007 }, { 4 << 20, 5000 } };
	struct machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double ns[SAMPLES] = { 0 };
		struct memory_chase job = { .cpu_numa = any_numa(m)->id,
					    .memory_numa = any_numa(m)->id,
					    .bytes = cases[i].bytes,
					    .samples = SAMPLES,
					    .hops_per_sample = cases[i].hops,
					    .ns = ns };
		struct error err = { "" };

		if (host_memory_chase(m, &job, &err) < 0)
			fail_msg("%llu bytes: %s", (unsigned long long)cases[i].bytes, err.text);
		for (int s = 0; s < SAMPLES; s++)
			assert_true(ns[s] > 0 && isfinite(ns[s]));
		assert_true(job.huge_share >= 0 && job.huge_share <= 1);
	}
}

static void chases_refuse(void **state)
{
	struct machine *m = *state;
	const int id = any_numa(m)->id;
	const struct memory_chase cases[] = {
		{ .cpu_numa = 99, .bytes = 4096, .samples = 1, .hops_per_sample = 1 },
		{ .cpu_numa = id, .bytes = 64, .samples = 1, .hops_per_sample = 1 },
		{ .cpu_numa = id, .bytes = 4096, .samples = 0, .hops_per_sample = 1 },
		{ .cpu_numa = id, .bytes = 4096, .samples = 1, .hops_per_sample = 0 },
		{ .cpu_numa = id,
		  .memory_numa = 99,
		  .bytes = 4096,
		  .samples = 1,
		  .hops_per_sample = 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memory_chase job = cases[i];
		struct error err = { "" };

		assert_int_equal(host_memory_chase(m, &job, &err), -1);
		assert_true(err.text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_writable_and_aligned),
		cmocka_unit_test(blocks_that_cannot_be_had_are_refused),
		cmocka_unit_test(threads_run_where_they_should),
		cmocka_unit_test(a_processor_that_is_not_there_stops_all),
		cmocka_unit_test(rates_are_positive),
		cmocka_unit_test(operations_left_out_stay_out),
		cmocka_unit_test(rates_refuse),
		cmocka_unit_test(chases_are_positive),
		cmocka_unit_test(chases_refuse),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
