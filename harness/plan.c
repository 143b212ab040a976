/*
 * plan.c - spec, fleet and profile into steps.
 *
 * Steps of one phase that occupy nothing in common run at the same time on a node; the expected
 * time is found by playing that schedule through, so plan and run cannot tell different stories.
 */
#include "harness/plan_inside.h"

#include "harness/hash.h"
#include "harness/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = list; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
		if (!strncmp(s, name, n) && (s[n] == ',' || s[n] == '\0'))
			return 1;
	return 0;
}

/* One step for each disk, or for each GPU that is computed on. */
static void plan_parts(const struct planning *x, int node, enum part_kind kind)
{
	const struct node_type *t = &x->spec->nodes[x->fleet->nodes[node].type];
	char unit[32];

	for (int i = 0; i < node_type_count(t, kind); i++) {
		if (kind == PART_GPU && !node_type_computes(t, i))
			continue;
		snprintf(unit, sizeof(unit), "%s%d", part_kind_name(kind), i);
		plan_step(x, node, unit, i);
	}
}

static void plan_check(const struct planning *x)
{
	const struct check *check = check_find(x->pc->name);

	if (check && check->scope >= PER_PAIR) {
		plan_joint(x, check);
		return;
	}

	for (int n = 0; n < x->fleet->count; n++) {
		const struct node_type *t = &x->spec->nodes[x->fleet->nodes[n].type];

		if (!check)
			plan_step(x, n, x->pc->name, -1);
		else if (check->scope == PER_DISK || check->scope == PER_GPU)
			plan_parts(x, n, check->scope == PER_DISK ? PART_DISK : PART_GPU);
		else if (check->scope == PER_NODE || compute_count(t) > 0)
			plan_step(x, n, "", -1);
	}
}

static void hash_plan(struct plan *p)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < p->count; i++) {
		const struct step *s = &p->steps[i];

		text_addf(&t, "%s\n", s->id);
		for (int k = 0; s->check->params[k].name; k++) {
			if (s->lead != i && p->steps[s->lead].owned[k] && !s->owned[k])
				continue; /* what members share was said by the first */
			text_addf(&t, " %s=%s\n", s->check->params[k].name,
				  s->values[k] ? s->values[k] : s->check->params[k].preset);
		}
	}
	p->sha256 = hash_text(t.data, t.len);
	text_release(&t);
}

static int check_only(const struct profile *p, const char *only, struct error *err)
{
	char *list = xstrdup(only), *save = NULL;
	int rc = 0;

	for (char *name = strtok_r(list, ",", &save); name && !rc;
	     name = strtok_r(NULL, ",", &save)) {
		int found = 0;

		for (int i = 0; i < p->phase_count; i++)
			for (int k = 0; k < p->phases[i].check_count; k++)
				found |= !strcmp(p->phases[i].checks[k].name, name);
		if (!found)
			rc = error_set(err, "--only names '%s', which profile %s does not run",
				       name, p->name);
	}
	free(list);
	return rc;
}

/* -1 if the plan has a step of that id already. */
static int index_id(struct plan *p, int step)
{
	const char *id = p->steps[step].id;

	if (json_object_get(p->ids, id))
		return -1;
	json_object_set_new_nocheck(p->ids, id, json_integer(step));
	return 0;
}

static int check_ids(struct plan *p, struct error *err)
{
	for (int i = 0; i < p->count; i++)
		if (index_id(p, i) < 0)
			return error_set(
				err,
				"two steps are called %s: a check may stand only once in a "
				"phase, and phases need different names",
				p->steps[i].id);
	return 0;
}

struct plan *plan_build(const struct spec *s, const struct fleet *f, const struct profile *p,
			const struct plan_options *options, struct error *err)
{
	struct plan *plan;
	struct planning x = { .spec = s, .fleet = f, .options = options };

	if (options->only && check_only(p, options->only, err) < 0)
		return NULL;
	plan = xcalloc(1, sizeof(*plan));
	plan->profile = p;
	plan->ids = json_object();
	x.plan = plan;
	for (x.phase = 0; x.phase < p->phase_count; x.phase++)
		for (int k = 0; k < p->phases[x.phase].check_count; k++) {
			x.pc = &p->phases[x.phase].checks[k];
			if (!options->only || is_listed(options->only, x.pc->name))
				plan_check(&x);
		}
	plan->first_count = plan->count;
	if (plan->count == 0 || check_ids(plan, err) < 0) {
		if (plan->count == 0)
			error_set(err, "profile %s plans no step for spec %s", p->name, s->name);
		plan_free(plan);
		return NULL;
	}
	schedule_expect(s, f, plan);
	for (int i = 0; i < plan->count; i++)
		plan->writes += plan->steps[i].writes;
	hash_plan(plan);
	return plan;
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	for (int i = 0; i < p->count; i++) {
		for (int k = 0; p->steps[i].check->params[k].name; k++)
			free(p->steps[i].owned[k]);
		free(p->steps[i].owned);
		free(p->steps[i].values);
		free(p->steps[i].id);
		free(p->steps[i].base);
	}
	json_decref(p->ids);
	free(p->batches);
	free(p->rack_peak);
	free(p->steps);
	free(p->sha256);
	free(p);
}

int plan_find(const struct plan *p, const char *id)
{
	json_t *found = json_object_get(p->ids, id);

	return found ? (int)json_integer_value(found) : -1;
}

/* "PHASE/CHECK/NODE" as "PHASE/CHECK#2/NODE". */
static char *repeat_id(const char *base, int round)
{
	const char *slash = strchr(strchr(base, '/') + 1, '/');

	return xasprintf("%.*s#%d%s", (int)(slash - base), base, round, slash);
}

/* Repeats follow each other without a gap, so the first one missing is the next. */
static int rounds_of(const struct plan *p, const char *base)
{
	for (int round = 2;; round++) {
		char *id = repeat_id(base, round);
		int found = plan_find(p, id);

		free(id);
		if (found < 0)
			return round - 1;
	}
}

static void add_repeat(struct plan *p, int first, int round, int lead, int batch)
{
	struct step *s = plan_add(p, p->steps[first].check);
	const struct step *from = &p->steps[first];
	struct step copy = *from;

	copy.values = s->values;
	copy.owned = s->owned;
	memcpy(copy.values, from->values, (size_t)param_count(from->check) * sizeof(*copy.values));
	copy.round = round;
	copy.lead = lead;
	copy.batch = batch;
	copy.id = repeat_id(from->base, round);
	copy.base = xstrdup(from->base);
	*s = copy;
	index_id(p, p->count - 1);
}

/* The last batch of the same check: repeats of joint steps run one behind the other. */
static int last_batch(const struct plan *p, const struct step *s)
{
	for (int b = p->batch_count - 1; b >= 0; b--) {
		const struct step *other = &p->steps[p->batches[b].first];

		if (other->phase == s->phase && other->name == s->name)
			return b;
	}
	return -1;
}

/* A step, or all members of a joint one. */
static void add_repeats(struct plan *p, int first, int round)
{
	int from = p->steps[first].lead, count = p->steps[first].members, lead = p->count;
	int batch = p->steps[first].batch;

	if (batch >= 0) {
		batch = plan_batch(p, lead, last_batch(p, &p->steps[first]));
		p->batches[batch].count = count;
	}
	for (int i = 0; i < count; i++)
		add_repeat(p, from + i, round, lead, batch);
}

int plan_extend(struct plan *p, const char *const *bases, int count, int most)
{
	int before = p->count;

	for (int b = 0; b < count; b++) {
		int first = plan_find(p, bases[b]), rounds = rounds_of(p, bases[b]);
		char *last = repeat_id(bases[b], rounds);
		int is_new = rounds > 1 && plan_find(p, last) >= before;

		free(last);
		/* Another member of its joint step has brought it along already. */
		if (first >= 0 && rounds <= most && !is_new)
			add_repeats(p, first, rounds + 1);
	}
	return p->count - before;
}
