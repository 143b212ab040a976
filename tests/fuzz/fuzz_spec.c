/*
 * fuzz_spec.c - any bytes as a spec, and as a profile against a small one.
 *
 * What loads must also survive the linter, the planner, and being written and read again.
 */
#include "harness/plan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char small[] = "assay: spec/1\n"
			    "name: small\n"
			    "parts: {d: {kind: disk, source: s}}\n"
			    "nodes: {n: {disks: [{part: d, count: 2}]}}\n";

static const char one_phase[] =
	"assay: profile/1\n"
	"name: one\n"
	"phases: [{name: p, checks: {inventory: , settings: , disk_seq: }}]\n";

static struct yaml *tree_of(const char *data, size_t size)
{
	struct complaints c;
	struct yaml *y;

	complaints_init(&c);
	y = yaml_parse(data, size, "f.yaml", &c);
	if (!y == !c.errors)
		abort(); /* refused without a reason, or taken with one */
	complaints_release(&c);
	return y;
}

static void plan(const struct spec *s, const struct profile *p, struct complaints *c)
{
	struct plan_options options = { 0 };
	struct hostlist hosts;
	struct error err;
	struct fleet *f;
	struct plan *plan = NULL;
	int errors = c->errors;

	profile_check_against(p, s, c);
	if (c->errors > errors || hostlist_parse("n[1-2]", &hosts, &err) < 0)
		return;
	f = fleet_build(s, &hosts, &err);
	for (int i = 0, disks = 0; f && i < s->node_count; i++) {
		disks += node_type_count(&s->nodes[i], PART_DISK);
		if (disks > 64) {
			fleet_free(f);
			f = NULL;
		}
	}
	if (f)
		plan = plan_build(s, f, p, &options, &err);
	if (plan)
		plan_extend(plan, &(const char *){ plan->steps[0].id }, 1, 2);
	plan_free(plan);
	fleet_free(f);
	hostlist_release(&hosts);
}

static void as_spec(struct yaml *tree)
{
	struct complaints c;
	struct spec *s;
	struct profile *p = NULL;
	int known;

	complaints_init(&c);
	s = spec_from(tree, &c);
	if (!s == !c.errors)
		abort();
	known = c.errors;
	if (s) {
		spec_lint(s, &c);
		p = profile_from(tree_of(one_phase, strlen(one_phase)), &c);
	}
	if (p && c.errors == known)
		plan(s, p, &c);
	profile_free(p);
	spec_free(s);
	complaints_release(&c);
}

static void as_profile(struct yaml *tree)
{
	struct complaints c;
	struct spec *s;
	struct profile *p;

	complaints_init(&c);
	p = profile_from(tree, &c);
	if (!p == !c.errors)
		abort();
	if (p) {
		s = spec_from(tree_of(small, strlen(small)), &c);
		plan(s, p, &c);
		spec_free(s);
	}
	profile_free(p);
	complaints_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct yaml *tree = tree_of((const char *)data, size);
	char *text;

	if (!tree)
		return 0;
	if (tree->kind !=
	    YAML_MAP) { /* an empty text alone is no document when it is written again */
		as_spec(tree);
		return 0;
	}
	text = yaml_text(tree);
	yaml_delete(tree);
	as_spec(tree_of(text, strlen(text)));
	as_profile(tree_of(text, strlen(text)));
	free(text);
	return 0;
}
