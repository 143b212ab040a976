/*
 * plan_joint.c - steps that nodes run together: pairs in rounds, groups, each as a batch that
 * begins as a whole.
 */
#include "harness/plan_inside.h"

#include "harness/pairing.h"

#include <stdio.h>
#include <stdlib.h>

int plan_batch(struct plan *p, int first, int before)
{
	p->batches = grow(p->batches, (size_t)p->batch_count, sizeof(*p->batches));
	p->batches[p->batch_count] = (struct batch){ first, 0, before };
	return p->batch_count++;
}

/* One joint step of these nodes: a step for each, all with the same list of peers. */
static void plan_meeting(const struct planning *x, const int *nodes, int count, const char *unit,
			 int batch)
{
	const char **names = xcalloc((size_t)count, sizeof(*names));
	int lead = x->plan->count;
	char *peers;

	for (int i = 0; i < count; i++)
		names[i] = x->fleet->nodes[nodes[i]].name;
	peers = hostlist_text(names, count);
	for (int i = 0; i < count; i++) {
		struct step *s = plan_step(x, nodes[i], unit, -1);

		/* A list of thousands of names once, not once for each of them. */
		if (i == 0)
			own_value(s, "peers", peers);
		else
			s->values[param_index(s->check, "peers")] = peers;
		s->lead = lead;
		s->members = count;
		s->batch = batch;
	}
	x->plan->batches[batch].count += count;
	free(names);
}

/* The nodes that such a check can meet on: all, or those with GPUs to compute on. */
static int *meeting_nodes(const struct planning *x, const struct check *check, int *count)
{
	int *nodes = xcalloc((size_t)x->fleet->count, sizeof(*nodes));

	*count = 0;
	for (int n = 0; n < x->fleet->count; n++) {
		const struct node_type *t = &x->spec->nodes[x->fleet->nodes[n].type];

		if (!(check->occupies & USES_GPUS) || compute_count(t) > 0)
			nodes[(*count)++] = n;
	}
	return nodes;
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

/* One round, as a batch. Marks who met somebody; returns how many never did so far. */
static int plan_round(const struct planning *x, const int *nodes, int count, const int *partner,
		      int batch, int round, char *met)
{
	int unmet = 0;
	char name[32];

	snprintf(name, sizeof(name), "r%d", round + 1);
	for (int i = 0; i < count; i++) {
		met[i] |= partner[i] >= 0;
		unmet += !met[i];
		if (partner[i] > i)
			plan_meeting(x, (int[]){ nodes[i], nodes[partner[i]] }, 2, name, batch);
	}
	return unmet;
}

/* Who sits out the only round there is would never be measured, and nobody would say so. */
static void plan_pairs(const struct planning *x, const struct check *check)
{
	int count, *nodes = meeting_nodes(x, check, &count), before = -1, unmet = count;
	int *partner = xcalloc((size_t)count + 1, sizeof(*partner));
	int *unit = xcalloc((size_t)count + 1, sizeof(*unit));
	char *met = xcalloc((size_t)count + 1, 1);
	int rounds = pairing_rounds(count, (int)profile_knob(x, check, "rounds"));

	for (int i = 0; i < count; i++)
		unit[i] = x->fleet->nodes[nodes[i]].unit;
	for (int r = 0; count > 1 && (r < rounds || unmet); r++) {
		pairing_round(count, x->spec->units.count ? unit : NULL, r, partner);
		before = plan_batch(x->plan, x->plan->count, before);
		unmet = plan_round(x, nodes, count, partner, before, r, met);
	}
	x->plan->alone = count == 1 ? check->name : x->plan->alone;
	free(met);
	free(unit);
	free(partner);
	free(nodes);
}

/*
 * Groups of neighbours in the host list, all at the same time; 0: one of all nodes. One that would
 * be left over alone joins the last group.
 */
static void plan_groups(const struct planning *x, const struct check *check)
{
	int count, *nodes = meeting_nodes(x, check, &count);
	int size = (int)profile_knob(x, check, "group");
	int batch = count > 1 ? plan_batch(x->plan, x->plan->count, -1) : -1;

	size = size > 1 && size < count ? size : count;
	for (int i = 0, n; count > 1 && i < count; i += n) {
		n = count - i <= size + 1 ? count - i : size;
		plan_meeting(x, nodes + i, n, "group", batch);
	}
	x->plan->alone = count == 1 ? check->name : x->plan->alone;
	free(nodes);
}

void plan_joint(const struct planning *x, const struct check *check)
{
	if (check->scope == PER_PAIR)
		plan_pairs(x, check);
	else
		plan_groups(x, check);
}
