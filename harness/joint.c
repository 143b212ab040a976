/* joint.c - shares and common starts. */
#include "harness/joint.h"

#include "harness/orders.h"

#include <stdlib.h>
#include <string.h>

/* Time for the line with the start to reach all members: far more than a hop through ssh takes. */
#define AHEAD 1.0
enum ready { NOT_READY, READY, LATE };

struct joints {
	const struct plan *plan;
	const struct fleet *fleet;
	struct reach *reach;
	const struct schedule *schedule;
	char *ready;   /* of each step: enum ready */
	double *first; /* of each batch: when its first member was ready; 0: none is */
	char *gone;    /* of each batch: it was told to begin */
	int *hints;    /* of each batch: a member that was not ready */
	int steps, batches;
};

void joints_grow(struct joints *j)
{
	size_t steps = (size_t)j->plan->count, batches = (size_t)j->plan->batch_count;

	j->ready = xrealloc(j->ready, steps + 1, 1);
	j->gone = xrealloc(j->gone, batches + 1, 1);
	j->first = xrealloc(j->first, batches + 1, sizeof(*j->first));
	j->hints = xrealloc(j->hints, batches + 1, sizeof(*j->hints));
	memset(j->ready + j->steps, 0, steps - (size_t)j->steps);
	memset(j->gone + j->batches, 0, batches - (size_t)j->batches);
	memset(j->hints + j->batches, 0, (batches - (size_t)j->batches) * sizeof(*j->hints));
	memset(j->first + j->batches, 0, (batches - (size_t)j->batches) * sizeof(*j->first));
	j->steps = (int)steps;
	j->batches = (int)batches;
}

struct joints *joints_new(const struct plan *p, const struct fleet *f, struct reach *reach,
			  const struct schedule *s)
{
	struct joints *j = xcalloc(1, sizeof(*j));

	j->plan = p;
	j->fleet = f;
	j->reach = reach;
	j->schedule = s;
	joints_grow(j);
	return j;
}

void joints_free(struct joints *j)
{
	if (!j)
		return;
	free(j->ready);
	free(j->gone);
	free(j->hints);
	free(j->first);
	free(j);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Nodes of the running steps from `from` on, without one of them; the caller frees the array. */
static int *nodes_of(const struct joints *j, int from, int members, int without, int *count)
{
	int *nodes = xcalloc((size_t)members, sizeof(*nodes));

	*count = 0;
	for (int i = from; i < from + members; i++)
		if (i != without && schedule_is_running(j->schedule, i))
			nodes[(*count)++] = j->plan->steps[i].node;
	qsort(nodes, (size_t)*count, sizeof(*nodes), by_number);
	return nodes;
}

/* The one running member on the node of this name; the caller frees the array. */
static int *node_called(const struct joints *j, const struct step *s, const char *name, int *count)
{
	int *node = xcalloc(1, sizeof(*node));

	*node = fleet_find(j->fleet, name);
	*count = 0;
	for (int i = s->lead; i < s->lead + s->members && *node >= 0; i++)
		*count |= j->plan->steps[i].node == *node && schedule_is_running(j->schedule, i);
	return node;
}

/* to: one of them, "" for all. */
static void tell_members(struct joints *j, int step, const char *to, const char *key, json_t *value)
{
	const struct step *s = &j->plan->steps[step];
	json_t *event = event_new(EV_SHARE);
	char *id = order_id(s, j->fleet);
	int count, *nodes = *to ? node_called(j, s, to, &count)
				: nodes_of(j, s->lead, s->members, step, &count);

	json_object_set_new(event, "step", json_string(id));
	json_object_set_new(event, "from", json_string(j->fleet->nodes[s->node].name));
	json_object_set_new(event, "k", json_string(key));
	json_object_set_new(event, "v", value);
	reach_send(j->reach, nodes, count, event);
	free(nodes);
	free(id);
}

/* Steps from..to have one id but for their nodes. */
static void send_start(struct joints *j, int from, int to, double when)
{
	json_t *event = event_new(EV_GO);
	char *id = order_id(&j->plan->steps[from], j->fleet);
	int *nodes = xcalloc((size_t)(to - from), sizeof(*nodes)), count = 0;

	for (int i = from; i < to; i++)
		if (schedule_is_running(j->schedule, i) && j->ready[i] == READY)
			nodes[count++] = j->plan->steps[i].node;
	qsort(nodes, (size_t)count, sizeof(*nodes), by_number);
	json_object_set_new(event, "step", json_string(id));
	json_object_set_new(event, "us", json_integer((json_int_t)(when * 1e6)));
	if (count)
		reach_send(j->reach, nodes, count, event);
	else
		json_decref(event);
	free(nodes);
	free(id);
}

/* All rails of a round, all groups: one start, told to each under its own id. */
static void begin_batch(struct joints *j, const struct batch *b)
{
	const struct step *steps = j->plan->steps;
	double when = clock_wall() + AHEAD;

	for (int i = b->first, to; i < b->first + b->count; i = to) {
		for (to = i + 1; to < b->first + b->count; to++)
			if (strcmp(steps[to].unit, steps[i].unit) != 0)
				break;
		send_start(j, i, to, when);
	}
}

/* Looks first at the member that was not ready the last time: most attempts end there. */
static void begin_if_ready(struct joints *j, int batch)
{
	const struct batch *b = &j->plan->batches[batch];
	int hint = j->hints[batch], is_any = 0;

	for (int n = 0; n < b->count; n++) {
		int i = b->first + (hint + n) % b->count;

		if (!schedule_is_running(j->schedule, i) || j->ready[i] == LATE)
			continue;
		is_any = 1;
		if (!j->ready[i]) {
			j->hints[batch] = i - b->first;
			return;
		}
	}
	if (!is_any || j->gone[batch])
		return;
	j->gone[batch] = 1;
	begin_batch(j, b);
}

void joints_share(struct joints *j, int step, const struct event *ev)
{
	const struct step *s = &j->plan->steps[step];
	const char *key = event_text(ev, "k");

	if (s->batch < 0)
		return;
	if (strcmp(key, "ready") != 0) {
		tell_members(j, step, event_text(ev, "for"), key,
			     event_string(event_text(ev, "v"), 500));
		return;
	}
	if (j->ready[step] == LATE)
		return;
	j->ready[step] = READY;
	if (!(j->first[s->batch] > 0))
		j->first[s->batch] = clock_now();
	begin_if_ready(j, s->batch);
}

static void leave_late(struct joints *j, int batch)
{
	const struct batch *b = &j->plan->batches[batch];

	for (int i = b->first; i < b->first + b->count; i++) {
		if (!schedule_is_running(j->schedule, i) || j->ready[i] != NOT_READY)
			continue;
		j->ready[i] = LATE;
		tell_members(j, i, "", "gone", json_string("it was not ready in time"));
	}
	begin_if_ready(j, batch);
}

void joints_tick(struct joints *j, double now)
{
	for (int b = 0; b < j->batches; b++)
		if (j->first[b] > 0 && !j->gone[b] && now - j->first[b] > JOINT_WAIT)
			leave_late(j, b);
}

void joints_closed(struct joints *j, int step, const char *why)
{
	const struct step *s = &j->plan->steps[step];

	if (s->batch < 0)
		return;
	if (why)
		tell_members(j, step, "", "gone", event_string(why, 300));
	begin_if_ready(j, s->batch);
}
