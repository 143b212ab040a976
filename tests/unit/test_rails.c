/*
 * test_rails.c - plans of steps over rails: who meets whom over which NIC, and what that occupies.
 */
#include "harness/schedule.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Rail 0 is nic1 of an ordinary node and nic0 of an old one, which has no rail 1. */
static const char spec_text[] =
	"assay: spec/1\n"
	"name: rails\n"
	"parts:\n"
	"  ndr: {kind: nic, source: s}\n"
	"  eth: {kind: nic, source: s}\n"
	"nodes:\n"
	"  new: {nics: [{part: eth, count: 1}, {part: ndr, count: 2, rails: yes}]}\n"
	"  old: {hosts: 'o[1-4]', nics: [{part: ndr, count: 1, rails: yes}, {part: eth, count: "
	"2}]}\n"
	"  login: {hosts: 'l[1-4]', nics: [{part: eth, count: 2}]}\n"
	"units:\n"
	"  su0: {hosts: 'n[1-3]'}\n"
	"  su1: {hosts: 'n[4-5]'}\n";

struct world {
	struct spec *spec;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;
};

static void make(struct world *w, const char *checks, const char *hosts)
{
	static const struct plan_options none = { 0 };
	char *text = xasprintf(
		"assay: profile/1\nname: t\nphases:\n  - name: p\n    checks: {%s}\n", checks);
	struct complaints c;
	struct hostlist list;
	struct error err;

	complaints_init(&c);
	w->spec = spec_from(yaml_parse(spec_text, strlen(spec_text), "s.yaml", &c), &c);
	w->profile = profile_from(yaml_parse(text, strlen(text), "p.yaml", &c), &c);
	if (c.errors)
		fail_msg("%s", c.text.data);
	assert_int_equal(hostlist_parse(hosts, &list, &err), 0);
	w->fleet = fleet_build(w->spec, &list, &err);
	assert_non_null(w->fleet);
	w->plan = plan_build(w->spec, w->fleet, w->profile, &none, &err);
	if (!w->plan)
		fail_msg("%s", err.text);
	hostlist_release(&list);
	complaints_release(&c);
	free(text);
}

static void drop(struct world *w)
{
	plan_free(w->plan);
	fleet_free(w->fleet);
	profile_free(w->profile);
	spec_free(w->spec);
}

static const char *value_of(const struct step *s, const char *knob)
{
	for (int i = 0; s->check->params[i].name; i++)
		if (!strcmp(s->check->params[i].name, knob))
			return s->values[i] ? s->values[i] : s->check->params[i].preset;
	return NULL;
}

/* "NODE UNIT NIC PEERS" of each step, batches parted by "|"; the caller frees it. */
static char *steps_text(const struct plan *p)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < p->count; i++) {
		const struct step *s = &p->steps[i];
		const char *node = strchr(strchr(s->id, '/') + 1, '/') + 1;

		text_addf(&t, "%s%.*s %s %s %s",
			  !i                                  ? ""
			  : s->batch != p->steps[i - 1].batch ? " | "
							      : ", ",
			  (int)strcspn(node, "/"), node, s->unit, value_of(s, "nic"),
			  value_of(s, "peers"));
	}
	return text_detach(&t);
}

static const struct {
	const char *name, *checks, *hosts, *want;
} cases[] = {
	{ "all rails of a round at once", "rail_pair: {}", "n[1-2]",
	  "n1 r1.rail0 nic1 n[1-2], n2 r1.rail0 nic1 n[1-2], n1 r1.rail1 nic2 n[1-2], "
	  "n2 r1.rail1 nic2 n[1-2]" },
	{ "one rail behind the other", "rail_pair: {alone: 1}", "n[1-2]",
	  "n1 r1.rail0 nic1 n[1-2], n2 r1.rail0 nic1 n[1-2] | n1 r1.rail1 nic2 n[1-2], "
	  "n2 r1.rail1 nic2 n[1-2]" },
	{ "rounds follow each other", "rail_pair: {alone: 1}", "o[1-3]",
	  "o2 r1.rail0 nic0 o[2-3], o3 r1.rail0 nic0 o[2-3] | "
	  "o1 r2.rail0 nic0 o[1,3], o3 r2.rail0 nic0 o[1,3] | "
	  "o1 r3.rail0 nic0 o[1-2], o2 r3.rail0 nic0 o[1-2]" },
	{ "each node has its own NIC on a rail", "rail_pair: {}", "n1,o1",
	  "n1 r1.rail0 nic1 n1,o1, o1 r1.rail0 nic0 n1,o1 | n1 r1.rail1 nic2 n1" },
	{ "nodes without rails take no part", "rail_pair: {}, preflight: {}", "l[1-2]", NULL },
	{ "who has nobody to meet says so", "rail_pair: {}", "o1", "o1 r1.rail0 nic0 o1" },
	{ "who sat out gets a round more", "rail_pair: {rounds: 1}", "o[1-3]",
	  "o2 r1.rail0 nic0 o[2-3], o3 r1.rail0 nic0 o[2-3] | "
	  "o1 r2.rail0 nic0 o[1,3], o3 r2.rail0 nic0 o[1,3]" },
	{ "a ring a rail", "rail_ring: {}", "n[1-2],o1",
	  "n1 group.rail0 nic1 n[1-2],o1, n2 group.rail0 nic1 n[1-2],o1, "
	  "o1 group.rail0 nic0 n[1-2],o1, n1 group.rail1 nic2 n[1-2], n2 group.rail1 nic2 n[1-2]" },
	{ "rings of some nodes", "rail_ring: {group: 2, alone: 1}", "o[1-4]",
	  "o1 group.rail0 nic0 o[1-2], o2 group.rail0 nic0 o[1-2], o3 group.rail0 nic0 o[3-4], "
	  "o4 group.rail0 nic0 o[3-4]" },
};

static void rails_meet_rails(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;
		char *text;

		print_message("  %s\n", cases[i].name);
		make(&w, cases[i].checks, cases[i].hosts);
		text = cases[i].want ? steps_text(w.plan) : NULL;
		if (text)
			assert_string_equal(text, cases[i].want);
		else
			assert_int_equal(w.plan->count, w.fleet->count); /* preflight alone */
		free(text);
		drop(&w);
	}
}

/* Across units, in the order of the list: three of su0, two of su1. */
static void rings_cross_leaves_where_units_are_known(void **state)
{
	static const struct {
		const char *hosts, *stride;
	} rings[] = { { "n[1-5]", "3" }, { "n[1-3]", "1" }, { "n[3-5]", "2" }, { "o[1-4]", "1" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		struct world w;

		make(&w, "rail_ring: {}", rings[i].hosts);
		for (int k = 0; k < w.fleet->count; k++)
			assert_string_equal(value_of(&w.plan->steps[k], "stride"), rings[i].stride);
		drop(&w);
	}
}

/* A rail at once with others is one bit; alone it keeps the others of its nodes quiet. */
static void steps_occupy_their_rail(void **state)
{
	const uint64_t all = ((1ULL << RAILS_MOST) - 1) << FIRST_RAIL_BIT;
	struct world w;

	(void)state;
	make(&w, "rail_pair: {}", "n[1-2]");
	assert_true(w.plan->steps[0].occupies == 1ULL << FIRST_RAIL_BIT);
	assert_true(w.plan->steps[2].occupies == 1ULL << (FIRST_RAIL_BIT + 1));
	drop(&w);
	make(&w, "rail_pair: {alone: 1}", "n[1-2]");
	assert_true(w.plan->steps[0].occupies == all && w.plan->steps[2].occupies == all);
	assert_true(w.plan->seconds <= w.plan->bound * 1.0001);
	drop(&w);
	make(&w, "net_pair: {}", "n[1-2]");
	assert_true(w.plan->steps[0].occupies == (all | USES_NICS | USES_CORES));
	drop(&w);
}

/* One that hangs is not waited for when JOINT_WAIT is over; until then the others must live. */
static void deadlines_leave_time_to_wait(void **state)
{
	struct world w;

	(void)state;
	make(&w, "rail_pair: {}", "n[1-2]");
	assert_true(w.plan->steps[0].deadline >= w.plan->steps[0].seconds + JOINT_WAIT + 30);
	drop(&w);
}

/* What members have in common is kept once, and a repeat has it too. */
static void repeats_keep_nic_and_peers(void **state)
{
	struct world w;
	const char *base;

	(void)state;
	make(&w, "rail_pair: {}", "n1,o1");
	base = w.plan->steps[1].base;
	assert_int_equal(plan_extend(w.plan, &base, 1, 2), 2);
	for (int i = 0; i < 2; i++) {
		const struct step *s = &w.plan->steps[w.plan->first_count + i];

		assert_string_equal(value_of(s, "nic"), i ? "nic0" : "nic1");
		assert_string_equal(value_of(s, "peers"), "n1,o1");
		assert_true(s->occupies == 1ULL << FIRST_RAIL_BIT);
	}
	drop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rails_meet_rails),
		cmocka_unit_test(rings_cross_leaves_where_units_are_known),
		cmocka_unit_test(steps_occupy_their_rail),
		cmocka_unit_test(deadlines_leave_time_to_wait),
		cmocka_unit_test(repeats_keep_nic_and_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
