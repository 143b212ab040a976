/*
 * watch_findings.c - what is worst so far, in a few lines.
 *
 * A figure that fails on a hundred nodes is one line with their names, and so is what one lost node
 * leaves unmeasured. Steps that have not ended yet leave holes too; those are no news and are not
 * counted.
 */
#include "harness/watch.h"

#include "reports/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int node_of(const struct watch *w, const struct finding *f)
{
	return w->plan->steps[f->step].node;
}

/* The order in which they matter; 0: not at all. */
static int class_of(const struct watch *w, const struct finding *f)
{
	static const int classes[VERDICT_COUNT] = {
		[VERDICT_FAIL] = 3,
		[VERDICT_INCONCLUSIVE] = 2,
		[VERDICT_NOT_MEASURED] = 1,
	};

	if (f->recorded || (f->verdict == VERDICT_NOT_MEASURED && !w->steps[f->step].ended))
		return 0;
	return classes[f->verdict];
}

/* How far from its limit, as a share of it; what has no measure is as bad as can be. */
static double badness_of(const struct finding *f)
{
	double scale = fabs(f->limit);

	if (f->found || !f->samples || !f->limit_text || scale <= 0)
		return HUGE_VAL;
	return fabs(f->value - f->limit) / scale;
}

/* Those with the same text are one group: holes of one cause, or one figure with one limit. */
static char *group_key(const struct finding *f)
{
	if (f->verdict == VERDICT_NOT_MEASURED && !f->samples)
		return xasprintf("hole\n%s", f->why);
	return xasprintf("%d\n%s\n%s\n%s", f->verdict, f->check, f->metric,
			 f->limit_text ? f->limit_text : "");
}

static void add_to_group(struct watch_group *g, const struct finding *f)
{
	double badness = badness_of(f);

	if (!g->worst || badness > g->badness) {
		g->worst = f;
		g->badness = badness;
	}
	g->count++;
}

struct grouping {
	struct watch_group *groups;
	int count;
	json_t *index; /* of the groups, by their keys */
	int *of;       /* the group of each finding, or -1 */
};

static int find_group(struct grouping *x, const struct finding *f)
{
	char *key = group_key(f);
	json_t *at = json_object_get(x->index, key);
	int i = at ? (int)json_integer_value(at) : x->count;

	if (!at) {
		json_object_set_new_nocheck(x->index, key, json_integer(i));
		x->groups = grow(x->groups, (size_t)x->count, sizeof(*x->groups));
		x->groups[x->count++] = (struct watch_group){ 0 };
	}
	free(key);
	return i;
}

static void collect(struct watch *w, struct grouping *x)
{
	const struct judgement *j = w->judgement;

	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];

		x->of[i] = class_of(w, f) ? find_group(x, f) : -1;
		if (x->of[i] >= 0)
			add_to_group(&x->groups[x->of[i]], f);
		w->holes += x->of[i] >= 0 && f->verdict == VERDICT_NOT_MEASURED;
		if (f->verdict == VERDICT_FAIL && !f->recorded)
			w->nodes[node_of(w, f)].failing = 1;
	}
}

static int is_worse(const struct watch *w, const struct watch_group *a, const struct watch_group *b)
{
	int class_a = class_of(w, a->worst), class_b = class_of(w, b->worst);

	return class_a != class_b ? class_a > class_b : a->badness > b->badness;
}

/* The nodes of group g, each once, in the order of the fleet. */
static void name_nodes(const struct watch *w, const struct grouping *x, int g,
		       struct watch_group *out)
{
	char *has = xcalloc((size_t)w->fleet->count, 1);
	const char **names = xcalloc((size_t)w->fleet->count, sizeof(*names));

	for (int i = 0; i < w->judgement->count; i++)
		if (x->of[i] == g)
			has[node_of(w, &w->judgement->items[i])] = 1;
	out->node_count = 0;
	for (int n = 0; n < w->fleet->count; n++)
		if (has[n])
			names[out->node_count++] = w->fleet->nodes[n].name;
	out->nodes = hostlist_text(names, out->node_count);
	free(names);
	free(has);
}

/* The worst group that was not taken yet; of equally bad ones the first. */
static int next_group(const struct watch *w, const struct grouping *x, const char *taken)
{
	int best = -1;

	for (int i = 0; i < x->count; i++)
		if (!taken[i] && (best < 0 || is_worse(w, &x->groups[i], &x->groups[best])))
			best = i;
	return best;
}

void watch_group_findings(struct watch *w)
{
	struct grouping x = { .index = json_object() };
	char *taken;

	x.of = xcalloc((size_t)w->judgement->count, sizeof(*x.of));
	for (int i = 0; i < w->group_count; i++)
		free(w->groups[i].nodes);
	for (int i = 0; i < w->fleet->count; i++)
		w->nodes[i].failing = 0;
	w->group_count = w->holes = 0;
	collect(w, &x);
	taken = xcalloc((size_t)x.count + 1, 1);
	while (w->group_count < WATCH_GROUPS && w->group_count < x.count) {
		int i = next_group(w, &x, taken);

		taken[i] = 1;
		w->groups[w->group_count] = x.groups[i];
		name_nodes(w, &x, i, &w->groups[w->group_count++]);
	}
	free(taken);
	free(x.groups);
	free(x.of);
	json_decref(x.index);
}

/* "cpu_burn efficiency of n1/avx2: 47.38%, wanted >= 85%" */
static void add_one(const struct finding *f, struct text *out)
{
	char value[200], limit[300];

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	text_addf(out, "%s %s of %s", f->check, f->metric, f->subject);
	if (f->samples)
		text_addf(out, ": %s%s%s", value, *limit ? ", wanted " : "", limit);
	if (*f->why && (!f->samples || f->verdict == VERDICT_NOT_MEASURED))
		text_addf(out, ": %s", f->why);
}

void watch_group_text(const struct watch_group *g, struct text *out)
{
	static const char *const marks[VERDICT_COUNT] = {
		[VERDICT_FAIL] = "FAIL  ",
		[VERDICT_INCONCLUSIVE] = "?     ",
		[VERDICT_NOT_MEASURED] = "HOLE  ",
	};
	const struct finding *f = g->worst;

	text_add(out, marks[f->verdict]);
	if (g->count > 1 && f->verdict == VERDICT_NOT_MEASURED && !f->samples) {
		text_addf(out, "%d figures of %s: %s", g->count, g->nodes, f->why);
		return;
	}
	add_one(f, out);
	if (g->count > 1)
		text_addf(out, "; the worst of %d on %s", g->count, g->nodes);
}
