/*
 * test_plan.c - specs, fleets and profiles into steps: pure, complete, and bounded.
 */
#include "harness/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char spec_text[] =
	"assay: spec/1\n"
	"name: two types\n"
	"parts:\n"
	"  ssd: {kind: disk, source: s}\n"
	"nodes:\n"
	"  gpu: {disks: [{part: ssd, count: 2, folders: [/a], serials: [S0, S1]}]}\n"
	"  login: {hosts: 'l[1-2]', disks: [{part: ssd, count: 1}]}\n"
	"settings:\n"
	"  - {kind: sysctl, name: vm.swappiness, is: '1', source: s}\n"
	"  - {kind: governor, is: performance, source: s}\n"
	"programs:\n"
	"  hello:\n"
	"    argv: [echo, two words]\n"
	"    timeout: 7s\n"
	"    exit: [0, 2]\n"
	"    figures: {rate: {better: more, regex: '(x)'}, wrong: {better: zero, json: a.b}}\n";

#define PROFILE "assay: profile/1\nname: t\nphases:\n"

struct fixture {
	struct spec *spec;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;
	struct error err;
};

static struct fixture make(const char *phases, const char *hosts,
			   const struct plan_options *options)
{
	static const struct plan_options none = { 0 };
	struct fixture x = { 0 };
	struct complaints c;
	struct hostlist list;
	char *text = xasprintf(PROFILE "%s", phases);

	complaints_init(&c);
	x.spec = spec_from(yaml_parse(spec_text, strlen(spec_text), "s.yaml", &c), &c);
	x.profile = profile_from(yaml_parse(text, strlen(text), "p.yaml", &c), &c);
	if (x.spec && x.profile)
		profile_check_against(x.profile, x.spec, &c);
	if (c.errors)
		fail_msg("%s", c.text.data);
	assert_int_equal(hostlist_parse(hosts, &list, &x.err), 0);
	x.fleet = fleet_build(x.spec, &list, &x.err);
	if (!x.fleet)
		fail_msg("%s", x.err.text);
	x.plan = plan_build(x.spec, x.fleet, x.profile, options ? options : &none, &x.err);
	hostlist_release(&list);
	complaints_release(&c);
	free(text);
	return x;
}

static void drop(struct fixture *x)
{
	plan_free(x->plan);
	fleet_free(x->fleet);
	profile_free(x->profile);
	spec_free(x->spec);
}

static void assert_ids(const struct plan *p, const char *want)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < p->count; i++)
		text_addf(&t, "%s\n", p->steps[i].id);
	assert_string_equal(t.data, want);
	text_release(&t);
}

static void steps_per_node_and_disk(void **state)
{
	struct fixture x = make("  - {name: a, checks: {inventory: , disk_seq: , hello: }}\n"
				"  - {name: b, checks: {disk_seq: }}\n",
				"n1,l1", NULL);

	(void)state;
	assert_non_null(x.plan);
	assert_ids(x.plan, "a/inventory/n1\n"
			   "a/inventory/l1\n"
			   "a/disk_seq/n1/disk0\n"
			   "a/disk_seq/n1/disk1\n"
			   "a/disk_seq/l1/disk0\n"
			   "a/hello/n1\n"
			   "a/hello/l1\n"
			   "b/disk_seq/n1/disk0\n"
			   "b/disk_seq/n1/disk1\n"
			   "b/disk_seq/l1/disk0\n");
	assert_int_equal(x.plan->first_count, 10);
	for (int i = 0; i < x.plan->count; i++) {
		const struct step *s = &x.plan->steps[i];

		assert_int_equal(plan_find(x.plan, s->id), i);
		assert_string_equal(s->id, s->base);
		assert_int_equal(s->round, 1);
		assert_true(s->seconds > 0 && s->deadline >= 2 * s->seconds);
	}
	assert_int_equal(plan_find(x.plan, "a/inventory/n2"), -1);
	assert_string_equal(x.plan->steps[3].unit, "disk1");
	assert_string_equal(x.plan->steps[5].name, "hello");
	assert_string_equal(x.plan->steps[5].unit, "hello");
	assert_string_equal(x.plan->steps[5].check->name, "program");
	assert_int_equal(x.plan->steps[9].phase, 1);
	drop(&x);
}

static const char all_phases[] = "  - {name: a, checks: {inventory: , settings: , cpu_burn: }}\n"
				 "  - {name: b, checks: {disk_seq: {bytes: 64MiB}, hello: }}\n";

static void plans_are_pure(void **state)
{
	struct fixture x = make(all_phases, "n[1-3],l1", NULL),
		       y = make(all_phases, "n[1-3],l1", NULL);
	struct fixture hosts = make(all_phases, "n[1-2],l1", NULL);
	struct fixture knob = make("  - {name: a, checks: {inventory: , settings: , cpu_burn: }}\n"
				   "  - {name: b, checks: {disk_seq: {bytes: 65MiB}, hello: }}\n",
				   "n[1-3],l1", NULL);

	(void)state;
	assert_int_equal(x.plan->count, y.plan->count);
	for (int i = 0; i < x.plan->count; i++)
		assert_string_equal(x.plan->steps[i].id, y.plan->steps[i].id);
	assert_string_equal(x.plan->sha256, y.plan->sha256);
	assert_int_equal(strlen(x.plan->sha256), 64);
	assert_string_not_equal(x.plan->sha256, hosts.plan->sha256);
	assert_string_not_equal(x.plan->sha256, knob.plan->sha256);
	assert_true(x.plan->seconds == y.plan->seconds && x.plan->bound == y.plan->bound);
	drop(&x);
	drop(&y);
	drop(&hosts);
	drop(&knob);
}

static const char *text_knob(const struct fixture *x, const char *id, const char *name)
{
	int i = plan_find(x->plan, id);
	struct knobs k;

	assert_true(i >= 0);
	k = step_knobs(&x->plan->steps[i]);
	return knob_text(&k, name);
}

static double number_knob(const struct fixture *x, const char *id, const char *name)
{
	struct knobs k = step_knobs(&x->plan->steps[plan_find(x->plan, id)]);

	return knob(&k, name);
}

static void knobs_come_from_profile_and_spec(void **state)
{
	struct fixture x = make(all_phases, "n1", NULL);

	(void)state;
	assert_true(number_knob(&x, "b/disk_seq/n1/disk0", "bytes") == 64 << 20);
	assert_true(number_knob(&x, "b/disk_seq/n1/disk0", "depth") == 16);
	assert_string_equal(text_knob(&x, "b/disk_seq/n1/disk0", "folder"), "/a");
	assert_string_equal(text_knob(&x, "b/disk_seq/n1/disk1", "folder"), "");
	assert_string_equal(text_knob(&x, "b/disk_seq/n1/disk1", "serial"), "S1");
	assert_string_equal(text_knob(&x, "a/settings/n1", "settings"),
			    "sysctl\tvm.swappiness\ngovernor\t\n");
	assert_string_equal(text_knob(&x, "b/hello/n1", "argv"), "echo\ntwo words\n");
	assert_string_equal(text_knob(&x, "b/hello/n1", "exit"), "0\n2\n");
	assert_string_equal(text_knob(&x, "b/hello/n1", "figures"),
			    "rate\tregex\t(x)\nwrong\tjson\ta.b\n");
	assert_true(number_knob(&x, "b/hello/n1", "timeout") == 7);
	assert_true(number_knob(&x, "b/hello/n1", "output") == 1 << 20);
	drop(&x);
}

/* Only the flag, only a disk without a folder, only one whose serial the spec names. */
static void destroys_only_what_was_allowed(void **state)
{
	const struct plan_options allow = { .destroy_data = 1 };
	struct fixture no = make(all_phases, "n1,l1", NULL),
		       yes = make(all_phases, "n1,l1", &allow);

	(void)state;
	assert_string_equal(text_knob(&no, "b/disk_seq/n1/disk0", "destroy"), "no");
	assert_string_equal(text_knob(&no, "b/disk_seq/n1/disk1", "destroy"), "no");
	assert_string_equal(text_knob(&yes, "b/disk_seq/n1/disk0", "destroy"), "no");
	assert_string_equal(text_knob(&yes, "b/disk_seq/n1/disk1", "destroy"), "yes");
	assert_string_equal(text_knob(&yes, "b/disk_seq/l1/disk0", "destroy"), "no");
	assert_string_equal(text_knob(&yes, "b/disk_seq/l1/disk0", "serial"), "");
	drop(&no);
	drop(&yes);
}

/* What the planner fills in from the spec is no business of a profile. */
static void a_profile_cannot_allow_destroying(void **state)
{
	static const char *const knobs[] = { "destroy: 'yes'", "serial: S9", "folder: /etc" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		char *text =
			xasprintf(PROFILE "  - {name: a, checks: {disk_seq: {%s}}}\n", knobs[i]);
		struct complaints c;
		struct spec *s;
		struct profile *p;

		complaints_init(&c);
		s = spec_from(yaml_parse(spec_text, strlen(spec_text), "s.yaml", &c), &c);
		p = profile_from(yaml_parse(text, strlen(text), "p.yaml", &c), &c);
		assert_int_equal(c.errors, 0);
		profile_check_against(p, s, &c);
		if (c.errors != 1)
			fail_msg("a profile may set %s", knobs[i]);
		profile_free(p);
		spec_free(s);
		complaints_release(&c);
		free(text);
	}
}

static void only_leaves_the_rest_out(void **state)
{
	struct plan_options only = { .only = "hello,inventory" };
	struct fixture x = make(all_phases, "n1", &only);

	(void)state;
	assert_ids(x.plan, "a/inventory/n1\nb/hello/n1\n");
	drop(&x);
	only.only = "hell";
	x = make(all_phases, "n1", &only);
	assert_null(x.plan);
	assert_string_equal(x.err.text, "--only names 'hell', which profile t does not run");
	drop(&x);
	only.only = "inventory,nothing";
	x = make(all_phases, "n1", &only);
	assert_null(x.plan);
	drop(&x);
	only.only = "";
	x = make(all_phases, "n1", &only);
	assert_null(x.plan);
	drop(&x);
}

static void a_plan_of_nothing_is_refused(void **state)
{
	struct fixture x = make("  - {name: a, checks: {}}\n", "n1", NULL);

	(void)state;
	assert_null(x.plan);
	assert_string_equal(x.err.text, "profile t plans no step for spec two types");
	drop(&x);
}

/* On one node and on several, where steps of one name do not lie side by side. */
static void ids_are_unique(void **state)
{
	static const char *const hosts[] = { "n1", "n[1-3]", "n1,l1" };
	static const char phases[] = "  - {name: a, checks: {inventory: , settings: }}\n"
				     "  - {name: a, checks: {inventory: }}\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct fixture x = make(phases, hosts[i], NULL);

		if (x.plan)
			fail_msg("%s: two steps are called %s", hosts[i], x.plan->steps[0].id);
		assert_non_null(strstr(x.err.text, "two steps are called a/inventory/"));
		assert_non_null(strstr(x.err.text, "a check may stand only once in a phase"));
		drop(&x);
	}
}

static void repeats_are_bounded(void **state)
{
	struct fixture x =
		make("  - {name: a, checks: {disk_seq: , cpu_burn: , hello: }}\n", "n1", NULL);
	const char *bases[] = { "a/disk_seq/n1/disk1", "a/cpu_burn/n1", "a/none/n1" };
	char *hash = xstrdup(x.plan->sha256);
	int last;

	(void)state;
	assert_int_equal(plan_extend(x.plan, bases, 3, 2), 2);
	assert_int_equal(plan_extend(x.plan, bases, 1, 2), 1);
	assert_int_equal(plan_extend(x.plan, bases, 1, 2), 0);
	assert_int_equal(plan_extend(x.plan, bases, 3, 2), 1);
	assert_int_equal(plan_extend(x.plan, bases, 3, 2), 0);
	assert_int_equal(plan_extend(x.plan, bases, 3, 0), 0);
	assert_ids(x.plan, "a/disk_seq/n1/disk0\n"
			   "a/disk_seq/n1/disk1\n"
			   "a/cpu_burn/n1\n"
			   "a/hello/n1\n"
			   "a/disk_seq#2/n1/disk1\n"
			   "a/cpu_burn#2/n1\n"
			   "a/disk_seq#3/n1/disk1\n"
			   "a/cpu_burn#3/n1\n");
	assert_int_equal(x.plan->first_count, 4);
	assert_string_equal(x.plan->sha256, hash);
	last = x.plan->count - 2;
	assert_int_equal(x.plan->steps[last].round, 3);
	assert_string_equal(x.plan->steps[last].base, bases[0]);
	assert_string_equal(x.plan->steps[last].unit, "disk1");
	assert_true(x.plan->steps[last].deadline == x.plan->steps[1].deadline);
	assert_string_equal(text_knob(&x, "a/disk_seq#3/n1/disk1", "serial"), "S1");
	free(hash);
	drop(&x);
}

static void many_repeats_keep_their_knobs(void **state)
{
	struct fixture x = make("  - {name: a, checks: {hello: }}\n", "n[1-5]", NULL);

	(void)state;
	for (int round = 2; round <= 20; round++)
		for (int n = 1; n <= 5; n++) {
			char *base = xasprintf("a/hello/n%d", n);
			const char *bases[] = { base };

			assert_int_equal(plan_extend(x.plan, bases, 1, 20), 1);
			free(base);
		}
	assert_int_equal(x.plan->count, 100);
	assert_string_equal(text_knob(&x, "a/hello#20/n5", "argv"), "echo\ntwo words\n");
	drop(&x);
}

/*
 * inventory and settings (1 s each) occupy nothing; cpu_burn takes 2 + 4.2 x 0.5 x 10 = 23 s of
 * cores, pcie_link 2 + (2 + 1) x 1 = 5 s of disks, at the same time; hello takes its 7 s of
 * everything.
 */
static const struct {
	const char *name, *phases, *hosts;
	double seconds, bound;
} schedules[] = {
	{ "nothing in common", "  - {name: a, checks: {inventory: , settings: }}\n", "n1", 1, 0 },
	{ "one resource", "  - {name: a, checks: {cpu_burn: }}\n", "n1", 23, 23 },
	{ "side by side", "  - {name: a, checks: {cpu_burn: , pcie_link: , inventory: }}\n", "n1",
	  23, 23 },
	{ "one after the other", "  - {name: a, checks: {cpu_burn: , hello: }}\n", "n1", 30, 30 },
	{ "waits for the longest", "  - {name: a, checks: {pcie_link: , cpu_burn: , hello: }}\n",
	  "n1", 30, 30 },
	{ "bound below the expected", "  - {name: a, checks: {pcie_link: , hello: , cpu_burn: }}\n",
	  "n1", 35, 30 },
	{ "phases add up, the bound does not",
	  "  - {name: a, checks: {cpu_burn: }}\n  - {name: b, checks: {pcie_link: }}\n", "n1", 28,
	  23 },
	{ "one resource in two phases",
	  "  - {name: a, checks: {cpu_burn: }}\n  - {name: b, checks: {hello: }}\n", "n1", 30, 30 },
	{ "nodes do not", "  - {name: a, checks: {cpu_burn: }}\n", "n[1-9],l[1-2]", 23, 23 },
};

static void expected_time_is_the_schedule(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(schedules); i++) {
		struct fixture x = make(schedules[i].phases, schedules[i].hosts, NULL);

		if (fabs(x.plan->seconds - schedules[i].seconds) > 1e-9 ||
		    fabs(x.plan->bound - schedules[i].bound) > 1e-9)
			fail_msg("%s: %g s, bound %g s", schedules[i].name, x.plan->seconds,
				 x.plan->bound);
		assert_true(x.plan->bound <= x.plan->seconds);
		drop(&x);
	}
}

static void bytes_written_are_told(void **state)
{
	struct fixture x = make("  - {name: a, checks: {disk_seq: {bytes: 1GB, samples: 6}}}\n",
				"n1,l1", NULL);

	(void)state;
	/* Only disk0 of n1 has a folder; the others are only read. */
	assert_true(x.plan->writes == 7e9);
	assert_true(x.plan->steps[0].writes == 7e9);
	assert_true(x.plan->steps[1].writes == 0);
	drop(&x);
}

/* ---- fleets ---- */

static const struct {
	const char *name, *nodes, *hosts, *want;
} fleets[] = {
	{ "one type takes all", "{a: {}}", "x,y", NULL },
	{ "the open type takes the rest", "{a: {}, b: {hosts: 'b[1-2]'}}", "b1,x", NULL },
	{ "no type names it", "{a: {hosts: 'a[1-2]'}}", "a1,a3",
	  "no node type of spec f names host a3" },
	{ "two open types", "{a: {}, b: {}}", "x",
	  "host x could be of node type a or b: give `hosts` in the spec" },
};

static void hosts_find_their_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fleets); i++) {
		char *text = xasprintf("assay: spec/1\nname: f\nnodes: %s\n", fleets[i].nodes);
		struct complaints c;
		struct hostlist hosts;
		struct error err = { "" };
		struct spec *s;
		struct fleet *f;

		print_message("  %s\n", fleets[i].name);
		complaints_init(&c);
		s = spec_from(yaml_parse(text, strlen(text), "s.yaml", &c), &c);
		assert_int_equal(hostlist_parse(fleets[i].hosts, &hosts, &err), 0);
		f = fleet_build(s, &hosts, &err);
		assert_string_equal(err.text, fleets[i].want ? fleets[i].want : "");
		assert_int_equal(f != NULL, !fleets[i].want);
		if (f) {
			assert_int_equal(f->count, 2);
			assert_string_equal(f->nodes[1].name, hosts.names[1]);
			assert_int_equal(fleet_find(f, hosts.names[1]), 1);
			assert_int_equal(fleet_find(f, "nobody"), -1);
			assert_int_equal(f->nodes[0].type, s->node_count - 1);
			assert_int_equal(f->nodes[1].type, 0);
		}
		fleet_free(f);
		hostlist_release(&hosts);
		spec_free(s);
		complaints_release(&c);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_per_node_and_disk),
		cmocka_unit_test(plans_are_pure),
		cmocka_unit_test(knobs_come_from_profile_and_spec),
		cmocka_unit_test(destroys_only_what_was_allowed),
		cmocka_unit_test(a_profile_cannot_allow_destroying),
		cmocka_unit_test(only_leaves_the_rest_out),
		cmocka_unit_test(a_plan_of_nothing_is_refused),
		cmocka_unit_test(ids_are_unique),
		cmocka_unit_test(repeats_are_bounded),
		cmocka_unit_test(many_repeats_keep_their_knobs),
		cmocka_unit_test(expected_time_is_the_schedule),
		cmocka_unit_test(bytes_written_are_told),
		cmocka_unit_test(hosts_find_their_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
