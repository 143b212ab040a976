/*
 * spec_ask.c - questions to a loaded spec, and whether what was found is what was expected.
 */
#include "harness/spec.h"

#include "harness/judge.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *expect_number(const char *want)
{
	size_t op = *want == '<' || *want == '>' ? 1 + (want[1] == '=') : *want == '=';

	return want + op;
}

const struct metric *spec_metrics(const struct spec *s, const char *check)
{
	const struct program *p = spec_program(s, check);
	const struct check *c = check_find(check);

	if (!strcmp(check, WATCH_CHECK))
		return watch_metrics;

	return p ? p->metrics : c && strcmp(c->name, "program") != 0 ? c->metrics : NULL;
}

double part_physics(const struct part *p, const char *name)
{
	for (int i = 0; i < p->physics_count; i++)
		if (!strcmp(p->physics[i].key->name, name))
			return p->physics[i].value;
	return -1;
}

double part_fact(const struct part *p, const char *name)
{
	struct quantity q;
	struct error err;

	for (int i = 0; i < p->fact_count; i++)
		if (!strcmp(p->facts[i].key->name, name) &&
		    quantity_parse(expect_number(p->facts[i].want), &q, &err) == 0)
			return q.value;
	return -1;
}

static const struct group *find_group(const struct node_type *t, enum part_kind kind, int *n)
{
	for (int i = 0; i < t->group_count; i++) {
		if (t->groups[i].kind != kind)
			continue;
		if (*n < t->groups[i].count)
			return &t->groups[i];
		*n -= t->groups[i].count;
	}
	return NULL;
}

int node_type_part(const struct node_type *t, enum part_kind kind, int n)
{
	const struct group *g = find_group(t, kind, &n);

	return g ? g->part : -1;
}

int node_type_count(const struct node_type *t, enum part_kind kind)
{
	int count = 0;

	for (int i = 0; i < t->group_count; i++)
		count += t->groups[i].kind == kind ? t->groups[i].count : 0;
	return count;
}

int node_type_computes(const struct node_type *t, int gpu)
{
	const struct group *g = find_group(t, PART_GPU, &gpu);

	return g && !g->no_compute;
}

int node_type_rail(const struct node_type *t, int rail)
{
	int nic = 0;

	for (int i = 0; i < t->group_count; i++) {
		const struct group *g = &t->groups[i];

		if (g->kind != PART_NIC)
			continue;
		if (g->rails && rail < g->count)
			return nic + rail;
		rail -= g->rails ? g->count : 0;
		nic += g->count;
	}
	return -1;
}

const char *node_type_folder(const struct node_type *t, int disk)
{
	const struct group *g = find_group(t, PART_DISK, &disk);

	return g && disk < g->folder_count ? g->folders[disk] : NULL;
}

const char *node_type_serial(const struct node_type *t, int disk)
{
	const struct group *g = find_group(t, PART_DISK, &disk);

	return g && disk < g->serial_count ? g->serials[disk] : NULL;
}

/* Settings give sizes as plain bytes, and limits may be "unlimited". */
static int same_kind(const struct quantity *found, const struct quantity *want)
{
	return found->dim == want->dim || (found->dim == DIM_COUNT && want->dim == DIM_BYTES);
}

/* -1, 0, 1 for found against want: by value, or as versions ("6.1.0-18" after "5.15"); -2: neither.
 */
static int compare_values(enum fact_type type, const char *want, const char *found)
{
	struct quantity a, b;
	struct error err;
	int versions;

	if (quantity_parse(want, &b, &err) == 0 && !strcmp(found, "unlimited"))
		return 1;
	if (quantity_parse(want, &b, &err) == 0 && quantity_parse(found, &a, &err) == 0 &&
	    same_kind(&a, &b)) {
		if (fabs(a.value - b.value) <= 1e-9 * fabs(b.value))
			return 0;
		return a.value < b.value ? -1 : 1;
	}
	if (type == FACT_NUMBER || !isdigit((unsigned char)*found) ||
	    !isdigit((unsigned char)*want))
		return -2;
	versions = strverscmp(found, want);
	return (versions > 0) - (versions < 0);
}

int expect_holds(enum fact_type type, const char *want, const char *found)
{
	const char *value = expect_number(want);
	int order;

	if (type == FACT_WORD && value == want)
		return fnmatch(want, found, 0) == 0;
	value += strspn(value, " ");
	order = compare_values(type, value, found);
	if (order == -2)
		return 0;
	if (*want == '>' || *want == '<')
		return order == 0 ? want[1] == '=' : order == (*want == '>' ? 1 : -1);
	return order == 0;
}
