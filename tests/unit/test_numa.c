/* test_numa.c - which NUMA nodes a check runs on, and which of the others are holes. */
#include "harness/checks/numa.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	int cpus;            /* that we may use */
	const char *threads; /* that the machine says there are; NULL: it does not say */
	int can_run;
	const char *hole;
} cases[] = {
	{ 4, "4", 1, "" },
	{ 4, NULL, 1, "" },
	{ 0, "4", 0, "local of numa7: affinity or cgroup allow none of its processors" },
	{ 0, "0", 0, "" },
	{ 0, NULL, 0, "" },
};

struct told {
	const char *threads;
	char hole[200];
};

static int tell_facts(struct machine *m, fact_fn *put, void *arg, struct error *err)
{
	const struct told *t = (const void *)m;

	(void)err;
	put(arg, "numa0", "threads", "9", NULL);
	if (t->threads)
		put(arg, "numa7", "threads", t->threads, NULL);
	return 0;
}

static void on_absent(void *arg, const char *metric, const char *subject, const char *why,
		      int is_hole)
{
	struct told *t = arg;

	assert_true(is_hole);
	snprintf(t->hole, sizeof(t->hole), "%s of %s: %s", metric, subject, why);
}

static void what_is_forbidden_is_a_hole(void **state)
{
	const struct kernels hw = { .facts = tell_facts };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct told told = { .threads = cases[i].threads };
		const struct sink sink = { .absent = on_absent, .arg = &told };
		const struct host_numa numa = { .id = 7, .cpu_count = cases[i].cpus };
		struct job job = { .hw = &hw, .machine = (struct machine *)&told, .sink = &sink };

		assert_int_equal(numa_can_run(&job, &numa, "local"), cases[i].can_run);
		assert_string_equal(told.hole, cases[i].hole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_forbidden_is_a_hole) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
