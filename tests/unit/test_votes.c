/* test_votes.c - results of equal work against each other, and runs on doubles. */
#include "harness/judge.h"
#include "harness/event.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char spec_text[] = "assay: spec/1\nname: t\nnodes: {n: {facts: {sockets: 1}}}\n";
static const char profile_text[] =
	"assay: profile/1\nname: p\nphases: [{name: p, checks: {inventory: }}]\n";

static char *tree_file(const char *name, const char *text)
{
	struct error err;
	char *path = xasprintf("/tmp/assay-votes-%d-%s.yaml", (int)getpid(), name);

	assert_int_equal(file_replace(path, text, strlen(text), &err), 0);
	return path;
}

struct run {
	struct spec *spec;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;
	struct results *results;
	struct judgement *out;
};

static void make(struct run *r, const char *hosts)
{
	const struct plan_options options = { 0 };
	struct complaints c;
	struct hostlist list;
	struct error err;
	char *spec = tree_file("spec", spec_text), *profile = tree_file("profile", profile_text);

	complaints_init(&c);
	r->spec = spec_load(spec, &c);
	r->profile = profile_load(profile, &c);
	assert_int_equal(c.errors, 0);
	assert_int_equal(hostlist_parse(hosts, &list, &err), 0);
	r->fleet = fleet_build(r->spec, &list, &err);
	r->plan = plan_build(r->spec, r->fleet, r->profile, &options, &err);
	assert_non_null(r->plan);
	r->results = results_new();
	hostlist_release(&list);
	complaints_release(&c);
	remove(spec);
	remove(profile);
	free(spec);
	free(profile);
}

static void drop(struct run *r)
{
	judgement_free(r->out);
	results_free(r->results);
	plan_free(r->plan);
	fleet_free(r->fleet);
	profile_free(r->profile);
	spec_free(r->spec);
}

static void feed(struct run *r, json_t *object)
{
	struct error err;
	char *line = event_line(object, &err);

	assert_non_null(line);
	results_feed(r->results, line, strlen(line));
	free(line);
}

static void fact(struct run *r, const char *node, const char *part, const char *key,
		 const char *value)
{
	char *step = xasprintf("p/inventory/%s", node);

	feed(r, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "e", "fact", "at", node, "step", step,
			  "part", part, "k", key, "v", value));
	free(step);
}

static void end(struct run *r, const char *node, int lines)
{
	char *step = xasprintf("p/inventory/%s", node);

	feed(r, json_pack("{s:s,s:s,s:s,s:s,s:s,s:i}", "e", "end", "at", node, "step", step, "word",
			  "done", "why", "", "lines", lines));
	free(step);
}

/* One letter a GPU, two nodes of four: its digest, '.' for none; below what becomes of each. */
static const struct {
	const char *name, *digests, *verdicts;
} cases[] = {
	{ "all agree", "aaaaaaaa", "pppppppp" },
	{ "one of eight differs", "aaaaabaa", "pppppfpp" },
	{ "two differ from all", "aabaaaac", "ppfppppf" },
	{ "two differ alike", "aabaaaab", "ppfppppf" },
	{ "half and half", "aaaabbbb", "ffffffff" },
	{ "no majority of three", "abc.....", "fff....." },
	{ "most frequent without a majority", "aab.c...", "fff.f..." },
	{ "two agree", "aa......", "pp......" },
	{ "two differ", "ab......", "ff......" },
	{ "one alone", "a.......", "n......." },
	{ "nobody", "........", "........" },
};

static char letter(enum verdict v)
{
	return v == VERDICT_PASS             ? 'p'
	       : v == VERDICT_FAIL           ? 'f'
	       : v == VERDICT_NOT_APPLICABLE ? 'n'
					     : '?';
}

static void majority_decides(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char got[] = "........", value[] = "?", part[8];
		struct run r = { 0 };
		int lines[2] = { 0, 0 };

		make(&r, "n[1-2]");
		for (int g = 0; g < 8; g++) {
			*value = cases[i].digests[g];
			snprintf(part, sizeof(part), "gpu%d", g % 4);
			if (*value != '.')
				fact(&r, g < 4 ? "n1" : "n2", part, "digest bf16 128", value);
			lines[g / 4] += *value != '.';
		}
		end(&r, "n1", lines[0]);
		end(&r, "n2", lines[1]);
		r.out = judge(r.spec, r.fleet, r.plan, r.results);
		for (int k = 0; k < r.out->count; k++) {
			const struct finding *f = &r.out->items[k];

			if (!strcmp(f->metric, "vote"))
				got[(f->subject[1] - '1') * 4 + f->subject[6] - '0'] =
					letter(f->verdict);
		}
		if (strcmp(got, cases[i].verdicts) != 0)
			fail_msg("%s: %s, expected %s", cases[i].name, got, cases[i].verdicts);
		drop(&r);
	}
}

/* Different work is never compared, and a step without an end has no vote. */
static void only_equal_and_whole_work_votes(void **state)
{
	struct run r = { 0 };
	int votes = 0;

	(void)state;
	make(&r, "n[1-2]");
	fact(&r, "n1", "gpu0", "digest bf16 128", "a");
	fact(&r, "n1", "gpu1", "digest fp16 128", "b");
	fact(&r, "n2", "gpu0", "digest bf16 128", "c");
	end(&r, "n1", 2);
	r.out = judge(r.spec, r.fleet, r.plan, r.results);
	for (int k = 0; k < r.out->count; k++) {
		if (strcmp(r.out->items[k].metric, "vote") != 0)
			continue;
		votes++;
		assert_int_equal(r.out->items[k].verdict, VERDICT_NOT_APPLICABLE);
	}
	assert_int_equal(votes, 2);
	drop(&r);
}

/* A GPU that did the work twice alone agrees with itself, which is no vote; but it must agree. */
static void own_repeats_are_no_votes(void **state)
{
	static const struct {
		const char *second;
		enum verdict verdict;
	} repeats[] = { { "a", VERDICT_NOT_APPLICABLE }, { "b", VERDICT_FAIL } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(repeats); i++) {
		struct run r = { 0 };

		make(&r, "n1");
		fact(&r, "n1", "gpu0", "digest bf16 128", "a");
		fact(&r, "n1", "gpu0", "digest bf16 128", repeats[i].second);
		end(&r, "n1", 2);
		r.out = judge(r.spec, r.fleet, r.plan, r.results);
		for (int k = 0; k < r.out->count; k++)
			if (!strcmp(r.out->items[k].metric, "vote"))
				assert_int_equal(r.out->items[k].verdict, repeats[i].verdict);
		drop(&r);
	}
}

static void a_double_makes_the_run_simulated(void **state)
{
	struct run r = { 0 };

	(void)state;
	make(&r, "n1");
	feed(&r, json_pack("{s:s,s:b}", "e", "head", "simulated", 0));
	fact(&r, "n1", "", "sockets", "1");
	end(&r, "n1", 1);
	assert_false(results_simulated(r.results));
	r.out = judge(r.spec, r.fleet, r.plan, r.results);
	assert_string_equal(r.out->verdict, "accepted");
	judgement_free(r.out);
	fact(&r, "n1", "", "simulated", "libcuda is a double");
	r.out = judge(r.spec, r.fleet, r.plan, r.results);
	assert_true(results_simulated(r.results));
	assert_string_not_equal(r.out->verdict, "accepted");
	drop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(majority_decides),
		cmocka_unit_test(only_equal_and_whole_work_votes),
		cmocka_unit_test(own_repeats_are_no_votes),
		cmocka_unit_test(a_double_makes_the_run_simulated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
