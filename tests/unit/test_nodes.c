/*
 * test_nodes.c - what came out of a node: every class, and which of two goes first.
 */
#include "harness/nodes.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Two steps a node; six samples are what a verdict takes. */
static const char spec_text[] = "assay: spec/1\nname: t\nnodes: {n: {}}\nprograms:\n"
				"  p:\n    argv: [echo]\n    timeout: 7s\n"
				"    figures: {rate: {better: more, json: a}}\n"
				"  q:\n    argv: [echo]\n    timeout: 7s\n"
				"    figures: {rate: {better: more, json: a}}\n"
				"limits:\n"
				"  p.rate: {at_least: 10, source: s, origin: contract}\n"
				"  q.rate: {at_least: 10, source: s, origin: contract}\n";
static const char profile_text[] =
	"assay: profile/1\nname: t\nphases: [{name: f, checks: {p: {}, q: {}}}]\n";

#define HELLO "{\"e\":\"hello\",\"at\":\"n1\",\"version\":\"1\",\"commit\":\"c\"}"
#define DATA(check, value) DATA_OF(check, "", value)
#define DATA_OF(check, subject, value)                                                             \
	"{\"e\":\"data\",\"step\":\"f/" check "/n1\",\"m\":\"rate\",\"v\":{\"" subject             \
	"\":[" value "]}}"
#define END(check, word, lines)                                                                    \
	"{\"e\":\"end\",\"step\":\"f/" check "/n1\",\"word\":\"" word "\",\"why\":\"because\","    \
	"\"lines\":" lines "}"
#define GOOD(check) DATA(check, "10,10,10,10,10,10") "\n" END(check, "done", "1") "\n"
#define BAD_OF(check, subject)                                                                     \
	DATA_OF(check, subject, "9,9,9,9,9,9") "\n" END(check, "done", "1") "\n"
#define BAD(check) DATA(check, "9,9,9,9,9,9") "\n" END(check, "done", "1") "\n"

static const struct {
	const char *name, *journal;
	enum node_class class;
	const char *why;
	int fails, passes;
} cases[] = {
	{ "all good", HELLO "\n" GOOD("p") GOOD("q"), NODE_PASSED, "", 0, 2 },
	{ "one fails", HELLO "\n" GOOD("p") BAD("q"), NODE_FAILED, "", 1, 1 },
	{ "a step has no end", HELLO "\n" GOOD("p"), NODE_INCOMPLETE, "", 0, 1 },
	{ "a step could not measure", HELLO "\n" GOOD("p") END("q", "error", "0") "\n",
	  NODE_INCOMPLETE, "", 0, 1 },
	{ "a step is lost", HELLO "\n" GOOD("p") END("q", "lost", "0") "\n", NODE_LOST, "because",
	  0, 1 },
	{ "a step is stuck", HELLO "\n" GOOD("p") END("q", "stuck", "0") "\n", NODE_LOST, "because",
	  0, 1 },
	{ "lines of a step are lost", HELLO "\n" GOOD("p") END("q", "done", "7") "\n", NODE_LOST,
	  "its end counts 7 lines, the journal holds 0 good ones", 0, 1 },
	{ "what goes to another node fails", HELLO "\n" GOOD("p") BAD_OF("q", ">n10"), NODE_FAILED,
	  "", 1, 1 },
	{ "what comes from another node fails", HELLO "\n" GOOD("p") BAD_OF("q", "<n10"),
	  NODE_FAILED, "", 1, 1 },
	{ "a failure goes before a loss", HELLO "\n" BAD("p") END("q", "lost", "0") "\n",
	  NODE_FAILED, "because", 1, 0 },
	{ "it never answered", "", NODE_LOST, "", 0, 0 },
	{ "it answered and said nothing", HELLO "\n", NODE_INCOMPLETE, "", 0, 0 },
	{ "simulated", "{\"e\":\"head\",\"simulated\":true}\n" HELLO "\n" GOOD("p") GOOD("q"),
	  NODE_INCOMPLETE, "", 0, 2 },
};

static void feed(struct results *r, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		json_t *o = json_loadb(text, n, 0, NULL);
		struct error err;
		char *line;

		assert_non_null(o);
		line = event_line(o, &err);
		results_feed(r, line, strlen(line));
		free(line);
		text += n + (text[n] == '\n');
	}
	assert_int_equal(r->damaged, 0);
}

static void classes(void **state)
{
	struct plan_options options = { 0 };
	struct complaints c;
	struct hostlist hosts;
	struct error err;
	struct spec *spec;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;

	(void)state;
	complaints_init(&c);
	spec = spec_from(yaml_parse(spec_text, strlen(spec_text), "s.yaml", &c), &c);
	profile = profile_from(yaml_parse(profile_text, strlen(profile_text), "p.yaml", &c), &c);
	if (c.errors)
		fail_msg("%s", c.text.data);
	assert_int_equal(hostlist_parse("n1,n10", &hosts, &err), 0);
	fleet = fleet_build(spec, &hosts, &err);
	plan = plan_build(spec, fleet, profile, &options, &err);
	assert_non_null(plan);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct results *r = results_new();
		struct judgement *j;
		struct node_outcome *o;
		char *list;
		int count;

		print_message("  %s\n", cases[i].name);
		feed(r, cases[i].journal);
		j = judge(spec, fleet, plan, r);
		o = node_outcomes(fleet, plan, r, j);
		assert_string_equal(node_class_word(o[0].class), node_class_word(cases[i].class));
		assert_string_equal(o[0].why, cases[i].why);
		assert_int_equal(o[0].fails, cases[i].fails);
		assert_int_equal(o[0].passes, cases[i].passes);
		assert_int_equal(o[0].hello != NULL, strstr(cases[i].journal, "hello") != NULL);
		/* The other node, whose name begins alike, never answered. */
		assert_int_equal(o[1].class, NODE_LOST);
		list = node_list(fleet, o, cases[i].class, &count);
		assert_string_equal(list, cases[i].class == NODE_LOST ? "n1,n10" : "n1");
		assert_int_equal(count, cases[i].class == NODE_LOST ? 2 : 1);
		free(list);
		free(o);
		judgement_free(j);
		results_free(r);
	}
	plan_free(plan);
	fleet_free(fleet);
	hostlist_release(&hosts);
	profile_free(profile);
	spec_free(spec);
	complaints_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
