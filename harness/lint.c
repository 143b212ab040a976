/*
 * lint.c - what is wrong with a spec although each line of it is well formed.
 *
 * A threshold that physics cannot reach fails every healthy machine, one in the wrong direction
 * passes every broken one; both are errors here and not surprises on the day of delivery.
 */
#include "harness/judge.h"
#include "harness/theory.h"

#include <stdio.h>
#include <string.h>

static void lint_ceiling(const struct spec *s, const struct limit *limit, struct complaints *c)
{
	enum dimension dim;
	double factor, ceiling;
	char how[200];

	if (!limit->of->ceiling || limit->op == AT_MOST)
		return;
	unit_find(limit->of->unit, &dim, &factor);
	for (int i = 0; i < s->node_count; i++) {
		if (theory_ceiling(s, &s->nodes[i], limit->part, limit->of->ceiling, &ceiling, how,
				   sizeof(how)) < 0)
			continue;
		if (limit->value * factor > ceiling * (1 + 1e-9))
			complain(c, &limit->at,
				 "%s.%s at least %s is above the physical ceiling of node type %s: "
				 "%s",
				 limit->check, limit->metric, limit->text, s->nodes[i].name, how);
	}
}

static void lint_direction(const struct limit *limit, struct complaints *c)
{
	if (limit->of->better == MORE && limit->op == AT_MOST)
		complain(c, &limit->at,
			 "%s.%s: more is better, so at_most would fail the good and pass the "
			 "bad",
			 limit->check, limit->metric);
	if (limit->of->better == LESS && limit->op == AT_LEAST)
		complain(c, &limit->at,
			 "%s.%s: less is better, so at_least would fail the good and pass the "
			 "bad",
			 limit->check, limit->metric);
	if (limit->of->better == NONE)
		complain(c, &limit->at, "%s.%s: any but zero is a fault already, it takes no limit",
			 limit->check, limit->metric);
	if (limit->value < 0)
		complain(c, &limit->at, "%s.%s: a limit below zero", limit->check, limit->metric);
}

static void lint_source(const struct limit *limit, struct complaints *c)
{
	if (!limit->source[strspn(limit->source, " \t\n.-?")])
		complain(c, &limit->at, "%s.%s: the source is empty; say where %s comes from",
			 limit->check, limit->metric, limit->text);
}

static int part_is_used(const struct spec *s, int part)
{
	for (int i = 0; i < s->node_count; i++)
		for (int k = 0; k < s->nodes[i].group_count; k++)
			if (s->nodes[i].groups[k].part == part)
				return 1;
	return 0;
}

/* Whether any node has this part in a group that checks may work on. */
static int part_is_measured(const struct spec *s, int part)
{
	for (int i = 0; i < s->node_count; i++)
		for (int k = 0; k < s->nodes[i].group_count; k++)
			if (s->nodes[i].groups[k].part == part && !s->nodes[i].groups[k].no_compute)
				return 1;
	return 0;
}

static void lint_counts(const struct node_type *t, struct complaints *c)
{
	for (int i = 0; i < t->group_count; i++) {
		const struct group *g = &t->groups[i];

		if (g->folder_count > g->count)
			complain(c, &g->at, "%d folders for %d disks", g->folder_count, g->count);
		if (g->serial_count > g->count)
			complain(c, &g->at, "%d serials for %d disks", g->serial_count, g->count);
	}
}

static int matches(const char *pattern, const char *text)
{
	return !pattern || strpbrk(pattern, "*?[") || !strcmp(pattern, text);
}

static void lint_waivers(const struct spec *s, struct complaints *c)
{
	for (int i = 0; i < s->waiver_count; i++) {
		const struct waiver *w = &s->waivers[i];
		const struct metric *metrics = spec_metrics(s, w->check);
		int dynamic = !strcmp(w->check, "inventory") || !strcmp(w->check, "settings");

		if (!metrics && matches(w->check, ""))
			continue; /* a pattern: may match anything */
		if (!metrics)
			complain(c, &w->at, "the waiver names the unknown check '%s'", w->check);
		else if (!dynamic && !strpbrk(w->metric ? w->metric : "*", "*?[") &&
			 !metric_find(metrics, w->metric))
			complain(c, &w->at, "the waiver names '%s', which %s does not measure",
				 w->metric, w->check);
	}
}

void spec_lint(const struct spec *s, struct complaints *c)
{
	for (int i = 0; i < s->limit_count; i++) {
		lint_direction(&s->limits[i], c);
		lint_source(&s->limits[i], c);
		lint_ceiling(s, &s->limits[i], c);
		/* A catalogue of parts is made to be used in part. */
		if (s->limits[i].part >= 0 && !part_is_used(s, s->limits[i].part) &&
		    strncmp(s->limits[i].at.file, "parts/", 6) != 0)
			complain_warning(
				c, &s->limits[i].at,
				"this limit belongs to part '%s', which no node has, so nothing "
				"evaluates it",
				s->parts[s->limits[i].part].name);
	}
	for (int i = 0; i < s->node_count; i++)
		lint_counts(&s->nodes[i], c);
	lint_waivers(s, c);
}

static int has_limit(const struct spec *s, const char *check, const char *metric, int part)
{
	for (int i = 0; i < s->limit_count; i++)
		if (!strcmp(s->limits[i].check, check) && !strcmp(s->limits[i].metric, metric) &&
		    (s->limits[i].part < 0 || s->limits[i].part == part))
			return 1;
	return 0;
}

/* Whose limits may judge the figures of a check: those of a kind of part, or only general ones. */
static int limits_kind(const struct check *check)
{
	if (check && check->per_rail)
		return PART_NIC;
	if (check && check->scope == PER_DISK)
		return PART_DISK;
	return check && (check->scope == PER_GPU || check->scope == ALL_GPUS) ? PART_GPU
									      : PART_NODE;
}

static void lint_metric(const struct spec *s, const struct profile_check *pc,
			const struct metric *m, struct complaints *c)
{
	int kind = limits_kind(check_find(pc->name));

	if (m->better == NONE || m->judged == RECORDED || judge_built_in(pc->name, m->name))
		return;
	if (kind == PART_NODE && !has_limit(s, pc->name, m->name, -1))
		complain_warning(c, &s->nodes[0].at,
				 "no limit for %s.%s: on nodes that have it, it will be a hole",
				 pc->name, m->name);
	for (int i = 0; i < s->part_count && kind != PART_NODE; i++)
		if ((int)s->parts[i].kind == kind && part_is_measured(s, i) &&
		    !has_limit(s, pc->name, m->name, i))
			complain_warning(c, &s->parts[i].at,
					 "no limit for %s.%s of part %s: it will be a hole",
					 pc->name, m->name, s->parts[i].name);
}

void spec_lint_profile(const struct spec *s, const struct profile *p, struct complaints *c)
{
	for (int i = 0; i < p->phase_count; i++)
		for (int k = 0; k < p->phases[i].check_count; k++) {
			const struct metric *m = spec_metrics(s, p->phases[i].checks[k].name);

			for (; m && m->name; m++)
				lint_metric(s, &p->phases[i].checks[k], m, c);
		}
}
