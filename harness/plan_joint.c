/*
 * plan_joint.c - steps that nodes run together: pairs in rounds and groups, each over the whole
 * node or over one rail of it.
 *
 * What begins at the same time is a batch: a round of pairs, all groups; over all rails at once, or
 * over one rail behind the other. Batches of a check follow each other.
 */
#include "harness/plan_inside.h"

#include "harness/pairing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int plan_batch(struct plan *p, int first, int before)
{
	p->batches = grow(p->batches, (size_t)p->batch_count, sizeof(*p->batches));
	p->batches[p->batch_count] = (struct batch){ first, 0, before };
	return p->batch_count++;
}

/* What members have in common is kept once: a list of thousands of names, not thousands of them. */
static void share_values(struct step *s, const struct step *lead)
{
	for (int k = 0; s->check->params[k].name; k++) {
		if (!lead->owned[k] || (s->owned[k] && strcmp(s->owned[k], lead->owned[k]) != 0))
			continue;
		free(s->owned[k]);
		s->owned[k] = NULL;
		s->values[k] = lead->owned[k];
	}
}

/* Nodes that may take part in a check, over one rail of theirs, and their scalable units. */
struct circle {
	int *nodes, *unit;
	int count;
	int rail;  /* -1: over none */
	int alone; /* nothing else goes over other rails of these nodes meanwhile */
};

static int can_meet(const struct planning *x, const struct check *check, int node, int rail)
{
	const struct node_type *t = &x->spec->nodes[x->fleet->nodes[node].type];

	if ((check->occupies & USES_GPUS) && !compute_count(t))
		return 0;
	return rail < 0 || node_type_rail(t, rail) >= 0;
}

/* A knob as this profile sets it. */
static double profile_knob(const struct planning *x, const struct check *check, const char *name)
{
	const char **values = xcalloc((size_t)param_count(check) + 1, sizeof(*values));
	struct knobs k = { .check = check, .values = values };
	double value;

	for (int i = 0; i < x->pc->knob_count; i++)
		values[param_index(check, x->pc->knobs[i])] = x->pc->values[i];
	value = knob(&k, name);
	free(values);
	return value;
}

static struct circle circle_of(const struct planning *x, const struct check *check, int rail)
{
	size_t most = (size_t)x->fleet->count + 1;
	struct circle c = { xcalloc(most, sizeof(int)), xcalloc(most, sizeof(int)), 0, rail, 0 };

	c.alone = rail >= 0 && profile_knob(x, check, "alone") > 0;
	for (int n = 0; n < x->fleet->count; n++) {
		if (!can_meet(x, check, n, rail))
			continue;
		c.unit[c.count] = x->fleet->nodes[n].unit;
		c.nodes[c.count++] = n;
	}
	return c;
}

static void circle_release(struct circle *c)
{
	free(c->nodes);
	free(c->unit);
}

/*
 * The largest part of a unit in a group that knows several: whoever is so far apart in a list in
 * the order of the units is below other leaves.
 */
static int stride_of(const struct planning *x, const int *nodes, int count)
{
	int *members = xcalloc((size_t)x->spec->units.count + 1, sizeof(*members));
	int units = 0, most = 1;

	for (int i = 0; i < count; i++) {
		int unit = x->fleet->nodes[nodes[i]].unit, of_unit = ++members[unit + 1];

		units += of_unit == 1;
		most = of_unit > most ? of_unit : most;
	}
	free(members);
	return units > 1 ? most : 1;
}

static void fill_lead(const struct planning *x, struct step *s, const int *nodes, int count)
{
	const char **names = xcalloc((size_t)count, sizeof(*names));

	for (int i = 0; i < count; i++)
		names[i] = x->fleet->nodes[nodes[i]].name;
	own_value(s, "peers", hostlist_text(names, count));
	if (param_index(s->check, "stride") >= 0)
		own_value(s, "stride", xasprintf("%d", stride_of(x, nodes, count)));
	free(names);
}

/* One joint step of these nodes: a step for each, all with the same list of peers. */
static void plan_meeting(const struct planning *x, const int *nodes, int count, const char *unit,
			 const struct circle *c)
{
	const uint64_t all = ((1ULL << RAILS_MOST) - 1) << FIRST_RAIL_BIT;
	int lead = x->plan->count, batch = x->plan->batch_count - 1;

	for (int i = 0; i < count; i++) {
		struct step *s = plan_step(x, nodes[i], unit, c->rail);

		if (i == 0)
			fill_lead(x, s, nodes, count);
		else
			share_values(s, &x->plan->steps[lead]);
		s->occupies |= c->alone ? all : 0;
		/* Who waits for a member that hangs must not be killed with it. */
		s->deadline += count > 1 ? JOINT_WAIT : 0;
		s->lead = lead;
		s->members = count;
		s->batch = batch;
	}
	x->plan->batches[batch].count += count;
}

/* ---- pairs --------------------------------------------------------------------------------- */

/* All circles of a check: one, or one a rail. */
struct circles {
	struct circle items[RAILS_MOST];
	int rounds[RAILS_MOST]; /* that were planned */
	char *met[RAILS_MOST];  /* who met somebody */
	int count, batch;       /* the last batch, -1: none yet */
};

static void open_circles(const struct planning *x, const struct check *check, struct circles *c)
{
	*c = (struct circles){ .batch = -1 };
	for (int rail = check->per_rail ? 0 : -1; rail < (check->per_rail ? RAILS_MOST : 0);
	     rail++) {
		struct circle one = circle_of(x, check, rail);

		c->met[c->count] = xcalloc((size_t)one.count + 1, 1);
		c->items[c->count++] = one;
	}
}

static void close_circles(struct circles *c)
{
	for (int i = 0; i < c->count; i++) {
		circle_release(&c->items[i]);
		free(c->met[i]);
	}
}

/* The steps that follow begin with those before, or behind them if rails are to be alone. */
static void next_batch(const struct planning *x, struct circles *c, int is_first)
{
	if (is_first || c->items[0].alone)
		c->batch = plan_batch(x->plan, x->plan->count, c->batch);
}

static void unit_name(char *out, size_t room, const char *what, int rail)
{
	if (rail < 0)
		snprintf(out, room, "%s", what);
	else
		snprintf(out, room, "%s.rail%d", what, rail);
}

/* Whether this circle needs a round more: who sat out all of them would never be measured, and
 * nobody would say so. */
static int needs_round(const struct circles *c, int circle, int wanted)
{
	int count = c->items[circle].count;

	if (count < 2 || c->rounds[circle] < pairing_rounds(count, wanted))
		return count >= 2;
	return memchr(c->met[circle], 0, (size_t)count) != NULL;
}

static void plan_round(const struct planning *x, struct circles *circles, int circle)
{
	const struct circle *c = &circles->items[circle];
	int *partner = xcalloc((size_t)c->count, sizeof(*partner));
	int round = circles->rounds[circle]++;
	char what[16], unit[32];

	snprintf(what, sizeof(what), "r%d", round + 1);
	unit_name(unit, sizeof(unit), what, c->rail);
	pairing_round(c->count, x->spec->units.count ? c->unit : NULL, round, partner);
	for (int i = 0; i < c->count; i++) {
		circles->met[circle][i] |= partner[i] >= 0;
		if (partner[i] > i)
			plan_meeting(x, (int[]){ c->nodes[i], c->nodes[partner[i]] }, 2, unit, c);
	}
	free(partner);
}

/* A node that has nobody to meet says so itself, as a hole: what was promised is not measured. */
static void plan_lonely(const struct planning *x, struct circles *c)
{
	for (int i = 0; i < c->count; i++) {
		char unit[32];

		if (c->items[i].count != 1)
			continue;
		unit_name(unit, sizeof(unit), "r1", c->items[i].rail);
		next_batch(x, c, 1);
		plan_meeting(x, c->items[i].nodes, 1, unit, &c->items[i]);
	}
}

static void plan_pairs(const struct planning *x, const struct check *check)
{
	int wanted = (int)profile_knob(x, check, "rounds"), is_first;
	struct circles c;

	open_circles(x, check, &c);
	do {
		is_first = 1;
		for (int i = 0; i < c.count; i++) {
			if (!needs_round(&c, i, wanted))
				continue;
			next_batch(x, &c, is_first);
			plan_round(x, &c, i);
			is_first = 0;
		}
	} while (!is_first);
	plan_lonely(x, &c);
	close_circles(&c);
}

/* ---- groups -------------------------------------------------------------------------------- */

/* Groups of neighbours in the host list. One that would be left over alone joins the last group. */
static void plan_circle(const struct planning *x, const struct circle *c, int size)
{
	char unit[32];

	unit_name(unit, sizeof(unit), "group", c->rail);
	for (int i = 0, n; i < c->count; i += n) {
		n = c->count - i <= size + 1 ? c->count - i : size;
		plan_meeting(x, c->nodes + i, n, unit, c);
	}
}

/* group 0: one of all nodes. */
static void plan_groups(const struct planning *x, const struct check *check)
{
	int wanted = (int)profile_knob(x, check, "group"), is_first = 1;
	struct circles c;

	open_circles(x, check, &c);
	for (int i = 0; i < c.count; i++) {
		int count = c.items[i].count;

		if (!count)
			continue;
		next_batch(x, &c, is_first);
		plan_circle(x, &c.items[i], wanted > 1 && wanted < count ? wanted : count);
		is_first = 0;
	}
	close_circles(&c);
}

void plan_joint(const struct planning *x, const struct check *check)
{
	if (check->scope == PER_PAIR)
		plan_pairs(x, check);
	else
		plan_groups(x, check);
}
