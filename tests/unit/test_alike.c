/*
 * test_alike.c - which figures the report on a terminal puts into one line.
 */
#include "reports/alike.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 8 };

struct row { /* one figure; unless it says otherwise it is a good one of "rate" */
	const char *subject, *metric, *limit, *found;
	int fails, recorded, empty;
};

static struct finding finding_of(const struct row *r)
{
	return (struct finding){
		.verdict = r->fails ? VERDICT_FAIL : VERDICT_PASS,
		.metric = r->metric ? r->metric : "rate",
		.subject = (char *)(uintptr_t)r->subject,
		.limit_text = (char *)(uintptr_t)r->limit,
		.found = (char *)(uintptr_t)r->found,
		.samples = r->empty ? 0 : 6,
		.recorded = r->recorded,
	};
}

/* Letters of `lines`: findings with the same one are one line; '-' stands alone whatever follows.
 */
static const struct {
	const char *name, *lines;
	struct row rows[MOST];
} cases[] = {
	{ "parts of one kind, of whatever node",
	  "AAABBA",
	  { { "n1/gpu0" },
	    { "n1/gpu1" },
	    { "n2/gpu0" },
	    { "n1/nic0" },
	    { "n2/nic7" },
	    { "n3/gpu5" } } },
	{ "what is no part is alike on all nodes",
	  "ABABA",
	  { { "n1/numa0>numa0" },
	    { "n1/numa0>numa1" },
	    { "n2/numa0>numa0" },
	    { "n2/numa0>numa1" },
	    { "n3/numa0>numa0" } } },
	{ "nodes", "AAB", { { "n1" }, { "n2" }, { "n2/all" } } },
	{ "pairs by the near end and the direction",
	  "AABCCAD",
	  { { "n1/nic0>n2/nic0" },
	    { "n2/nic0>n1/nic0" },
	    { "n1/nic1>n2/nic1" },
	    { "n1/nic0<n2/nic0" },
	    { "n9/nic0<n2/nic5" },
	    { "n3/nic0>n2/nic7" },
	    { "n3/nic01>n2/nic7" } } },
	{ "pairs of nodes", "AABB", { { "n1>n2" }, { "n2>n1" }, { "n1<n2" }, { "n2<n1" } } },
	{ "half a pair is none",
	  "ABA",
	  { { "n1/nic3>n2/nic3" }, { "n1/nic3>" }, { "n2/nic3>n1/nic3" } } },
	{ "bad pairs are a range, bad parts are not",
	  "AA--",
	  { { "n1>n2", .fails = 1 },
	    { "n2>n3", .fails = 1 },
	    { "n1/gpu0", .fails = 1 },
	    { "n2/gpu0", .fails = 1 } } },
	{ "not with another verdict",
	  "ABAB",
	  { { "n1>n2" }, { "n2>n3", .fails = 1 }, { "n3>n4" }, { "n4>n5", .fails = 1 } } },
	{ "not with another limit, or with none",
	  "ABCABC",
	  { { "n1>n2", .limit = "1" },
	    { "n2>n3", .limit = "2" },
	    { "n3>n4" },
	    { "n4>n5", .limit = "1" },
	    { "n5>n6", .limit = "2" },
	    { "n6>n7" } } },
	{ "not of another metric",
	  "ABAB",
	  { { "n1/gpu0" },
	    { "n1/gpu0", .metric = "power" },
	    { "n1/gpu1" },
	    { "n1/gpu1", .metric = "power" } } },
	{ "a hole and a word are no figures",
	  "A--A",
	  { { "n1/gpu0" },
	    { "n1/gpu1", .empty = 1 },
	    { "n1/gpu2", .found = "on" },
	    { "n1/gpu3" } } },
	{ "recorded ones too",
	  "AA-",
	  { { "n1/gpu0", .fails = 1, .recorded = 1 },
	    { "n1/gpu1", .fails = 1, .recorded = 1 },
	    { "n1/gpu1", .fails = 1 } } },
};

static int wanted_next(const char *lines, int count, int i)
{
	for (int k = i + 1; k < count && lines[i] != '-'; k++)
		if (lines[k] == lines[i])
			return k;
	return -1;
}

static void figures_are_linked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct finding items[MOST];
		struct judgement j = { .items = items, .count = (int)strlen(cases[i].lines) };
		int next[MOST];

		print_message("  %s\n", cases[i].name);
		for (int k = 0; k < j.count; k++)
			items[k] = finding_of(&cases[i].rows[k]);
		alike_link(&j, 0, j.count, next);
		for (int k = 0; k < j.count; k++)
			assert_int_equal(next[k], wanted_next(cases[i].lines, j.count, k));
	}
}

/* Findings outside of the stretch are another check's. */
static void only_the_stretch_is_linked(void **state)
{
	struct finding items[6];
	struct judgement j = { .items = items, .count = 6 };
	int next[6] = { 7, 7, 7, 7, 7, 7 };

	(void)state;
	for (int i = 0; i < 6; i++)
		items[i] = finding_of(&(struct row){ .subject = "n1/gpu0" });
	alike_link(&j, 1, 4, next);
	assert_memory_equal(next, ((int[]){ 7, 2, 3, -1, 7, 7 }), sizeof(next));
}

static const struct {
	const char *subject, *local;
	int is_pair, part;
} subjects[] = {
	{ "n1", "", 0, PART_NODE },
	{ "n1/gpu3", "gpu3", 0, PART_GPU },
	{ "n1/gpu3>gpu4", "gpu3>gpu4", 0, PART_NODE },
	{ "n1>n2", ">n2", 1, PART_NODE },
	{ "n1<n2", "<n2", 1, PART_NODE },
	{ "n1/nic3>n2/nic3", "nic3>n2/nic3", 1, PART_NODE },
	{ "n1/gpu3 hot", "gpu3 hot", 0, PART_NODE },
	{ "n1/", "", 0, PART_NODE },
	{ "", "", 0, PART_NODE },
};

static void subjects_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		const struct finding f = { .subject = (char *)(uintptr_t)subjects[i].subject };

		print_message("  '%s'\n", f.subject);
		assert_string_equal(subject_local(&f), subjects[i].local);
		assert_int_equal(subject_is_pair(&f) != 0, subjects[i].is_pair);
		assert_int_equal(subject_part(&f), subjects[i].part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_linked),
		cmocka_unit_test(only_the_stretch_is_linked),
		cmocka_unit_test(subjects_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
