/*
 * test_spec_library.c - the specs and profiles inside the program: each one loads and holds
 * together, and says of the systems what was bought.
 */
#include "harness/plan.h"
#include "harness/theory.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct spec *load(const char *name)
{
	struct complaints c;
	struct spec *s;

	complaints_init(&c);
	s = spec_load(name, &c);
	if (s)
		spec_lint(s, &c);
	if (!s || c.errors || c.warnings)
		fail_msg("%s: %s", name, c.text.data);
	complaints_release(&c);
	return s;
}

static struct profile *load_profile(const char *name)
{
	struct complaints c;
	struct profile *p;

	complaints_init(&c);
	p = profile_load(name, &c);
	if (!p || c.errors)
		fail_msg("%s: %s", name, c.text.data);
	complaints_release(&c);
	return p;
}

/* Every system under every profile: knobs exist, and there is something to do. */
static void plan_all(const struct spec *s, const struct profile *p)
{
	static const struct plan_options none = { 0 };
	struct complaints c;
	struct hostlist hosts;
	struct error err;
	struct fleet *f;
	struct plan *plan;

	complaints_init(&c);
	profile_check_against(p, s, &c);
	if (c.errors)
		fail_msg("%s on %s: %s", p->name, s->name, c.text.data);
	complaints_release(&c);
	assert_int_equal(hostlist_parse("n1", &hosts, &err), 0);
	f = fleet_build(s, &hosts, &err);
	assert_non_null(f);
	plan = plan_build(s, f, p, &none, &err);
	if (!plan)
		fail_msg("%s on %s: %s", p->name, s->name, err.text);
	for (int i = 0; i < plan->count; i++)
		if (!strncmp(plan->steps[i].name, "gpu_", 4))
			assert_true(node_type_computes(&s->nodes[0], 0));
	plan_free(plan);
	fleet_free(f);
	hostlist_release(&hosts);
}

static void everything_holds_together(void **state)
{
	int systems = 0;

	(void)state;
	for (const struct library_file *f = library_files; f->name; f++) {
		struct spec *s;

		if (strcmp(f->folder, "systems") != 0)
			continue;
		s = load(f->name);
		for (const struct library_file *g = library_files; g->name; g++) {
			struct profile *p;

			if (strcmp(g->folder, "profiles") != 0)
				continue;
			p = load_profile(g->name);
			plan_all(s, p);
			profile_free(p);
		}
		spec_free(s);
		systems++;
	}
	assert_int_equal(systems, 13);
}

/* What was bought: parts of each kind, GPUs that are computed on, and what bounds them, in GB/s. */
static const struct {
	const char *name, *part;
	int sockets, dimms, gpus, compute, nics, disks;
	double nvlink, hbm;
} systems[] = {
	{ "gn560e-v7", NULL, 2, 32, 0, 0, 14, 7, 0, 0 },
	{ "gn560e-v7-a800", "a800-sxm4-80g", 2, 32, 8, 8, 14, 7, 200, 2039.04 },
	{ "gn560e-v7-h800", "h800-sxm5-80g", 2, 32, 8, 8, 14, 7, 200, 3352.32 },
	{ "gn560e-v7-h20", "h20-sxm5-96g", 2, 32, 8, 8, 14, 7, 450, 4000 },
	{ "g8600e-v7", NULL, 2, 0, 0, 0, 0, 0, 0, 0 },
	{ "g8600e-v7-h800", "h800-sxm5-80g", 2, 0, 8, 8, 0, 0, 200, 3352.32 },
	{ "dgx-station-a100", "a100-sxm4-80g", 1, 8, 5, 4, 2, 2, 100, 2039.04 },
	{ "hgx-h100", "h100-sxm5-80g", 0, 0, 8, 8, 0, 0, 450, 3352.32 },
	{ "hgx-h200", "h200-sxm5-141g", 0, 0, 8, 8, 0, 0, 450, 4916.736 },
	{ "hgx-b200", "b200-sxm-180g", 0, 0, 8, 8, 0, 0, 900, 8183.808 },
	{ "service-node-2288e-v6", NULL, 2, 16, 0, 0, 6, 6, 0, 0 },
	{ "all-flash-node", NULL, 2, 0, 0, 0, 3, 26, 0, 0 },
	{ "object-store-node", NULL, 2, 0, 0, 0, 6, 42, 0, 0 },
};

static double ceiling(const struct spec *s, const char *formula)
{
	double value = 0;
	char how[200];

	theory_ceiling(s, &s->nodes[0], -1, formula, &value, how, sizeof(how));
	return value / 1e9;
}

static void systems_are_what_was_bought(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(systems); i++) {
		struct spec *s = load(systems[i].name);
		const struct node_type *t = &s->nodes[0];
		int gpus = node_type_count(t, PART_GPU), compute = 0;

		print_message("  %s\n", systems[i].name);
		for (int g = 0; g < gpus; g++)
			compute += node_type_computes(t, g);
		assert_int_equal(node_type_count(t, PART_SOCKET), systems[i].sockets);
		assert_int_equal(node_type_count(t, PART_DIMM), systems[i].dimms);
		assert_int_equal(gpus, systems[i].gpus);
		assert_int_equal(compute, systems[i].compute);
		assert_int_equal(node_type_count(t, PART_NIC), systems[i].nics);
		assert_int_equal(node_type_count(t, PART_DISK), systems[i].disks);
		if (gpus)
			assert_string_equal(s->parts[node_type_part(t, PART_GPU, 0)].name,
					    systems[i].part);
		assert_float_equal(ceiling(s, "nvlink"), systems[i].nvlink, 1e-3);
		assert_float_equal(ceiling(s, "hbm"), systems[i].hbm, 1e-3);
		spec_free(s);
	}
}

/* Value of a limit of the part of the first GPU; subject NULL: of all. -1 if there is none. */
static double limit_of(const struct spec *s, const char *check, const char *metric,
		       const char *subject)
{
	int part = node_type_part(&s->nodes[0], PART_GPU, 0);

	for (int i = 0; i < s->limit_count; i++) {
		const struct limit *l = &s->limits[i];

		if (l->part == part && !strcmp(l->check, check) && !strcmp(l->metric, metric) &&
		    !l->subject == !subject && (!subject || !strcmp(l->subject, subject)))
			return l->value;
	}
	return -1;
}

/* Its GPUs are tied to each other by 4 links, not by a switch: the guide's figures, less 5 %. */
static void the_station_has_the_limits_of_its_guide(void **state)
{
	struct spec *s = load("dgx-station-a100");

	(void)state;
	assert_true(limit_of(s, "gpu_p2p", "both", NULL) == 176);
	assert_true(limit_of(s, "gpu_p2p", "both", "gpu0>gpu0") == 1510);
	assert_true(limit_of(s, "gpu_p2p", "both", "gpu3>gpu3") == 1510);
	assert_true(limit_of(s, "gpu_p2p", "write", NULL) == 78);
	assert_true(limit_of(s, "gpu_memory_bandwidth", "triad", NULL) == 1631);
	assert_false(node_type_computes(&s->nodes[0], 4));
	spec_free(s);
}

/* A figure of a GPU without a limit would be a hole in every run. */
static void every_figure_of_a_gpu_has_a_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(systems); i++) {
		struct spec *s = load(systems[i].name);
		struct profile *p = load_profile("delivery");
		struct complaints c;

		complaints_init(&c);
		spec_lint_profile(s, p, &c);
		for (const char *line = c.text.data; line && *line; line = strchr(line, '\n')) {
			line += *line == '\n';
			/* A100 and A800 have no fp8, and the check says so. */
			if (strstr(line, "gpu_") && strstr(line, "gpu_") < line + 80 &&
			    strncmp(strstr(line, "gpu_"), "gpu_burn.fp8 of part a", 22) != 0)
				fail_msg("%s: %s", systems[i].name, line);
		}
		complaints_release(&c);
		profile_free(p);
		spec_free(s);
	}
}

static int has_limit(const struct spec *s, const char *check, const char *metric, const char *part)
{
	for (int i = 0; i < s->limit_count; i++)
		if (!strcmp(s->limits[i].check, check) && !strcmp(s->limits[i].metric, metric) &&
		    s->limits[i].part >= 0 && !strcmp(s->parts[s->limits[i].part].name, part))
			return 1;
	return 0;
}

/* The same of NICs that may be rails, whose figures have subjects like "nic3>n2/nic3". */
static void every_figure_of_a_rail_has_a_limit(void **state)
{
	static const char *const parts[] = { "ib-ndr-400g", "ib-hdr-200g" };
	static const char *const checks[] = { "rail_pair", "rail_ring" };
	struct spec *s = load("gn560e-v7");
	int count = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts) * ARRAY_SIZE(checks); i++) {
		const struct metric *m = spec_metrics(s, checks[i / 2]);

		for (; m->name; m++) {
			if (m->better == NONE || m->judged == RECORDED)
				continue;
			count++;
			if (!has_limit(s, checks[i / 2], m->name, parts[i % 2]))
				fail_msg("%s has no limit %s.%s", parts[i % 2], checks[i / 2],
					 m->name);
		}
	}
	assert_int_equal(count, 2 * (3 + 1));
	spec_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_holds_together),
		cmocka_unit_test(systems_are_what_was_bought),
		cmocka_unit_test(the_station_has_the_limits_of_its_guide),
		cmocka_unit_test(every_figure_of_a_gpu_has_a_limit),
		cmocka_unit_test(every_figure_of_a_rail_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
