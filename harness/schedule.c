/*
 * schedule.c - the rules of schedule.h.
 *
 * A step that occupies something never overtakes an earlier one on its node that waits for it.
 * Only nodes about which something changed are looked at again, so sixteen thousand of them cost
 * no more than what happens on them.
 */
#include "harness/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct list {
	int *items;
	int count;
};

struct spot {
	uint64_t busy; /* what running steps occupy there */
	double watts;  /* what they draw above idle */
	int ready, queued;
	int held_by_rack, held_by_ramp;
};

struct leaf {
	int batch; /* that uses it */
	int steps; /* of that one, running */
};

struct schedule {
	const struct spec *spec;
	const struct fleet *fleet;
	const struct plan *plan;
	char *running, *closed; /* of each step */
	struct spot *nodes;
	int *at, *from;         /* steps of node n: at[from[n]] up to at[from[n + 1]] */
	int *left;              /* of each phase */
	int *batch_left;        /* of each batch */
	int *batch_hint;        /* the member that was in the way last */
	char *batch_over;       /* of each batch: it and all before it have ended */
	struct leaf *leaves;    /* schedule_leaf() */
	struct list queue, due; /* nodes to look at; steps of a batch that starts */
	struct list *rack_held; /* of each rack: nodes that wait for its power */
	struct list ramp_held;  /* nodes that wait until more of them may be loaded */
	int ramp_first;         /* of these, the first that still waits */
	double *rack_watts, site_watts;
	double *rack_room; /* what a rack may carry above what its nodes draw at rest */
	int loaded, level; /* nodes under load, and how many may be by the ramp */
	double grown;      /* when the level last grew */
	double wake;
	int phase;
};

static void push(struct list *l, int item)
{
	l->items = grow(l->items, (size_t)l->count, sizeof(*l->items));
	l->items[l->count++] = item;
}

static void look_at(struct schedule *s, int node)
{
	if (s->nodes[node].queued)
		return;
	s->nodes[node].queued = 1;
	push(&s->queue, node);
}

/* ---- power --------------------------------------------------------------------------------- */

static int rack_of(const struct schedule *s, int node)
{
	return s->fleet->nodes[node].rack;
}

static double idle_of(const struct schedule *s, int node)
{
	return s->spec->nodes[s->fleet->nodes[node].type].idle_power;
}

static double *rack_rooms(const struct schedule *s)
{
	double *room = xcalloc((size_t)s->spec->racks.count + 1, sizeof(*room));

	for (int i = 0; i < s->spec->racks.count; i++)
		room[i] = s->spec->racks.items[i].power;
	for (int i = 0; i < s->fleet->count; i++)
		if (rack_of(s, i) >= 0)
			room[rack_of(s, i)] -= idle_of(s, i);
	return room;
}

/* A step that alone is more than the rack carries still runs, alone; the plan says so. */
static int rack_carries(const struct schedule *s, const struct step *st)
{
	int rack = rack_of(s, st->node);

	if (rack < 0 || s->spec->racks.items[rack].power <= 0 || s->rack_watts[rack] <= 0)
		return 1;
	return s->rack_watts[rack] + st->watts <= s->rack_room[rack];
}

/* Whether one more node may be loaded. */
static int ramp_has_room(const struct schedule *s, double now)
{
	const struct ramp *r = &s->spec->ramp;

	if (r->loaded_nodes && s->loaded >= r->loaded_nodes)
		return 0;
	return !r->stage_nodes || s->loaded < s->level || now - s->grown >= r->stage;
}

/* The level grows by a stage at a time, and only when it is reached. */
static int ramp_allows(struct schedule *s, const struct step *st, double now)
{
	if (s->nodes[st->node].watts > 0)
		return 1;
	if (!ramp_has_room(s, now))
		return 0;
	if (s->spec->ramp.stage_nodes && s->loaded >= s->level) {
		s->level += s->spec->ramp.stage_nodes;
		s->grown = now;
	}
	return 1;
}

static void add_watts(struct schedule *s, const struct step *st, double watts)
{
	struct spot *n = &s->nodes[st->node];
	int was = n->watts > 0;

	n->watts += watts;
	if (n->watts < 1e-6)
		n->watts = 0;
	s->loaded += (n->watts > 0) - was;
	s->site_watts += watts;
	if (rack_of(s, st->node) >= 0)
		s->rack_watts[rack_of(s, st->node)] += watts;
}

static void hold(struct list *l, int *is_held, int node)
{
	if (!*is_held)
		push(l, node);
	*is_held = 1;
}

/* Else its node is held, by what is in the way. */
static int power_allows(struct schedule *s, const struct step *st, double now)
{
	struct spot *n = &s->nodes[st->node];

	if (st->watts <= 0)
		return 1;
	if (!rack_carries(s, st)) {
		hold(&s->rack_held[rack_of(s, st->node)], &n->held_by_rack, st->node);
		return 0;
	}
	if (ramp_allows(s, st, now))
		return 1;
	hold(&s->ramp_held, &n->held_by_ramp, st->node);
	return 0;
}

static void release_rack(struct schedule *s, int rack)
{
	struct list *l = &s->rack_held[rack];

	for (int i = l->count - 1; i >= 0; i--) { /* so the first is looked at first */
		s->nodes[l->items[i]].held_by_rack = 0;
		look_at(s, l->items[i]);
	}
	l->count = 0;
}

/*
 * The first node that waits for the ramp, if there is room for it; one at a time, for most of
 * thousands will have to wait on. Whether there was one.
 */
static int release_from_ramp(struct schedule *s, double now)
{
	int node;

	s->wake = INFINITY;
	if (s->ramp_first == s->ramp_held.count)
		return 0;
	if (!ramp_has_room(s, now)) {
		const struct ramp *r = &s->spec->ramp;

		if (!r->loaded_nodes || s->loaded < r->loaded_nodes)
			s->wake = s->grown + r->stage;
		return 0;
	}
	node = s->ramp_held.items[s->ramp_first++];
	if (s->ramp_first == s->ramp_held.count)
		s->ramp_first = s->ramp_held.count = 0;
	s->nodes[node].held_by_ramp = 0;
	look_at(s, node);
	return 1;
}

/* ---- leaves -------------------------------------------------------------------------------- */

int schedule_leaf(const struct fleet *f, const struct step *s, int rail)
{
	return (f->nodes[s->node].unit + 1) * RAILS_MOST + rail;
}

static int has_rail(const struct step *s, int rail)
{
	return (s->occupies >> (FIRST_RAIL_BIT + rail)) & 1;
}

/* Traffic of two batches below one leaf would measure neither of them. */
static int leaves_are_free(const struct schedule *s, const struct step *st)
{
	for (int rail = 0; rail < RAILS_MOST; rail++) {
		const struct leaf *leaf = &s->leaves[schedule_leaf(s->fleet, st, rail)];

		if (has_rail(st, rail) && leaf->steps && leaf->batch != st->batch)
			return 0;
	}
	return 1;
}

/* change: 1 when a step of a batch begins, -1 when it is over. */
static void use_leaves(struct schedule *s, const struct step *st, int change)
{
	for (int rail = 0; rail < RAILS_MOST && st->batch >= 0; rail++) {
		struct leaf *leaf = &s->leaves[schedule_leaf(s->fleet, st, rail)];

		if (!has_rail(st, rail))
			continue;
		leaf->batch = st->batch;
		leaf->steps += change;
	}
}

/* ---- starting ------------------------------------------------------------------------------ */

static int is_open(const struct schedule *s, int step)
{
	return s->plan->steps[step].phase <= s->phase && !s->closed[step] && !s->running[step];
}

static void begin(struct schedule *s, int step)
{
	const struct step *st = &s->plan->steps[step];

	s->running[step] = 1;
	s->nodes[st->node].busy |= st->occupies;
	add_watts(s, st, st->watts);
	use_leaves(s, st, 1);
}

static int member_is_free(const struct schedule *s, int step)
{
	const struct step *st = &s->plan->steps[step];
	const struct spot *n = &s->nodes[st->node];

	if (!n->ready || (n->busy & st->occupies) || !leaves_are_free(s, st))
		return 0;
	for (int k = s->from[st->node]; s->at[k] != step; k++)
		if (is_open(s, s->at[k]) && (s->plan->steps[s->at[k]].occupies & st->occupies))
			return 0;
	return 1;
}

/* Begins where it failed last: most attempts end there at once. */
static int batch_is_free(struct schedule *s, int batch)
{
	const struct batch *b = &s->plan->batches[batch];

	if (b->before >= 0 && !s->batch_over[b->before])
		return 0;
	for (int i = 0; i < b->count; i++) {
		int member = b->first + (s->batch_hint[batch] + i) % b->count;

		if (is_open(s, member) && !member_is_free(s, member)) {
			s->batch_hint[batch] = member - b->first;
			return 0;
		}
	}
	return 1;
}

static void begin_batch(struct schedule *s, int batch)
{
	const struct batch *b = &s->plan->batches[batch];

	for (int i = b->first; i < b->first + b->count; i++) {
		if (!is_open(s, i))
			continue;
		begin(s, i);
		push(&s->due, i);
	}
}

/* Steps to be started now because of this node: into `due`. Whether there are any. */
static int try_node(struct schedule *s, int node, double now)
{
	uint64_t waiting = s->nodes[node].busy;

	for (int k = s->from[node]; k < s->from[node + 1] && s->nodes[node].ready; k++) {
		const struct step *st = &s->plan->steps[s->at[k]];

		if (!is_open(s, s->at[k]))
			continue;
		if (!(st->occupies & waiting) && st->batch >= 0 && batch_is_free(s, st->batch)) {
			begin_batch(s, st->batch);
			return 1;
		}
		if (!(st->occupies & waiting) && st->batch < 0 && power_allows(s, st, now)) {
			begin(s, s->at[k]);
			push(&s->due, s->at[k]);
			return 1;
		}
		waiting |= st->occupies;
	}
	return 0;
}

int schedule_next(struct schedule *s, double now)
{
	while (!s->due.count && (s->queue.count || release_from_ramp(s, now))) {
		int node = s->queue.items[s->queue.count - 1];

		if (try_node(s, node, now))
			break;
		/* Nothing that was tried adds to the queue, so it is still the last one. */
		s->queue.count--;
		s->nodes[node].queued = 0;
	}
	if (!s->due.count)
		return -1;
	return s->due.items[--s->due.count];
}

/* Any node of a batch can start it. */
static void look_at_member(struct schedule *s, int batch)
{
	const struct batch *b = &s->plan->batches[batch];

	for (int i = b->first; i < b->first + b->count; i++)
		if (!s->closed[i]) {
			look_at(s, s->plan->steps[i].node);
			return;
		}
}

/*
 * The next batch may be on other nodes than this one, and others may have waited for its leaves.
 * One that nobody is left of is over only when those before it are, or the batch behind it would
 * begin too early.
 */
static void end_batch(struct schedule *s)
{
	for (int k = 0; k < s->plan->batch_count; k++) {
		int before = s->plan->batches[k].before;

		if (before >= 0 && !s->batch_over[before])
			continue;
		if (s->batch_left[k])
			look_at_member(s, k);
		else
			s->batch_over[k] = 1;
	}
}

void schedule_close(struct schedule *s, int step)
{
	const struct step *st = &s->plan->steps[step];
	int was_running = s->running[step];

	if (s->closed[step])
		return;
	s->closed[step] = 1;
	s->running[step] = 0;
	s->left[st->phase]--;
	if (was_running) {
		s->nodes[st->node].busy &= ~st->occupies;
		add_watts(s, st, -st->watts);
		use_leaves(s, st, -1);
	}
	if (was_running && st->watts > 0 && rack_of(s, st->node) >= 0)
		release_rack(s, rack_of(s, st->node));
	look_at(s, st->node);
	if (st->batch < 0)
		return;
	if (--s->batch_left[st->batch] == 0)
		end_batch(s);
	else if (!was_running)
		look_at_member(s, st->batch);
}

void schedule_reopen(struct schedule *s, int step)
{
	const struct step *st = &s->plan->steps[step];

	if (!s->closed[step])
		return;
	s->closed[step] = 0;
	s->left[st->phase]++;
	if (st->batch >= 0)
		s->batch_left[st->batch]++;
	look_at(s, st->node);
}

/* ---- asking -------------------------------------------------------------------------------- */

double schedule_wake(const struct schedule *s)
{
	return s->wake;
}

int schedule_left(const struct schedule *s, int phase)
{
	int left = 0;

	for (int p = 0; p <= phase; p++)
		left += s->left[p];
	return left;
}

int schedule_is_running(const struct schedule *s, int step)
{
	return s->running[step];
}

int schedule_is_closed(const struct schedule *s, int step)
{
	return s->closed[step];
}

const int *schedule_of_node(const struct schedule *s, int node, int *count)
{
	*count = s->from[node + 1] - s->from[node];
	return s->at + s->from[node];
}

double schedule_watts(const struct schedule *s, int rack)
{
	return rack < 0 ? s->site_watts : s->rack_watts[rack];
}

/* ---- setting up ---------------------------------------------------------------------------- */

static void index_nodes(struct schedule *s)
{
	const struct plan *p = s->plan;

	free(s->at);
	free(s->from);
	s->at = xcalloc((size_t)p->count + 1, sizeof(*s->at));
	s->from = xcalloc((size_t)s->fleet->count + 2, sizeof(*s->from));
	for (int i = 0; i < p->count; i++)
		s->from[p->steps[i].node + 2]++;
	for (int n = 0; n < s->fleet->count; n++)
		s->from[n + 2] += s->from[n + 1];
	for (int i = 0; i < p->count; i++)
		s->at[s->from[p->steps[i].node + 1]++] = i;
}

static void *widen(void *items, size_t had, size_t wanted, size_t size)
{
	items = xrealloc(items, wanted + 1, size);
	memset((char *)items + had * size, 0, (wanted + 1 - had) * size);
	return items;
}

static void take_steps(struct schedule *s, int from, int batches)
{
	const struct plan *p = s->plan;
	size_t had = (size_t)from, had_batches = (size_t)batches;

	s->running = widen(s->running, had, (size_t)p->count, 1);
	s->closed = widen(s->closed, had, (size_t)p->count, 1);
	s->batch_left = widen(s->batch_left, had_batches, (size_t)p->batch_count, sizeof(int));
	s->batch_hint = widen(s->batch_hint, had_batches, (size_t)p->batch_count, sizeof(int));
	s->batch_over = widen(s->batch_over, had_batches, (size_t)p->batch_count, 1);
	for (int i = from; i < p->count; i++) {
		s->left[p->steps[i].phase]++;
		if (p->steps[i].batch >= 0)
			s->batch_left[p->steps[i].batch]++;
	}
	index_nodes(s);
}

/* Repeats are the last steps and the last batches, so what is new is what has not been counted. */
void schedule_grow(struct schedule *s)
{
	int steps = 0, batches = 0;

	for (int n = 0; n < s->fleet->count; n++)
		steps += s->from[n + 1] - s->from[n];
	while (batches < s->plan->batch_count && s->plan->batches[batches].first < steps)
		batches++;
	take_steps(s, steps, batches);
	for (int i = steps; i < s->plan->count; i++)
		look_at(s, s->plan->steps[i].node);
}

struct schedule *schedule_new(const struct spec *spec, const struct fleet *f, const struct plan *p)
{
	struct schedule *s = xcalloc(1, sizeof(*s));

	s->spec = spec;
	s->fleet = f;
	s->plan = p;
	s->phase = -1;
	s->wake = INFINITY;
	s->grown = -INFINITY;
	s->nodes = xcalloc((size_t)f->count, sizeof(*s->nodes));
	s->left = xcalloc((size_t)p->profile->phase_count + 1, sizeof(*s->left));
	s->leaves = xcalloc(((size_t)spec->units.count + 1) * RAILS_MOST, sizeof(*s->leaves));
	s->rack_watts = xcalloc((size_t)spec->racks.count + 1, sizeof(*s->rack_watts));
	s->rack_room = rack_rooms(s);
	s->rack_held = xcalloc((size_t)spec->racks.count + 1, sizeof(*s->rack_held));
	take_steps(s, 0, 0);
	return s;
}

void schedule_free(struct schedule *s)
{
	if (!s)
		return;
	free(s->running);
	free(s->closed);
	free(s->nodes);
	free(s->at);
	free(s->from);
	free(s->left);
	free(s->batch_left);
	free(s->batch_hint);
	free(s->batch_over);
	free(s->leaves);
	free(s->queue.items);
	for (int r = 0; r < s->spec->racks.count; r++)
		free(s->rack_held[r].items);
	free(s->rack_held);
	free(s->ramp_held.items);
	free(s->due.items);
	free(s->rack_watts);
	free(s->rack_room);
	free(s);
}

void schedule_open(struct schedule *s, int phase, double now)
{
	s->phase = phase;
	s->level = s->spec->ramp.stage_nodes;
	s->grown = now;
	for (int n = s->fleet->count - 1; n >= 0; n--)
		look_at(s, n);
}

void schedule_ready(struct schedule *s, int node)
{
	s->nodes[node].ready = 1;
	if (s->phase >= 0)
		look_at(s, node);
}
