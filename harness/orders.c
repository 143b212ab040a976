/* orders.c - `with` and `run` lines, one set for all nodes that get the same. */
#include "harness/orders.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a knob in one line: all of them escaped, with a long host list, it still fits. */
enum { PIECE = 60 };

char *order_id(const struct step *s, const struct fleet *fleet)
{
	const char *node = fleet->nodes[s->node].name;
	const char *at = strchr(strchr(s->id, '/') + 1, '/') + 1;

	return xasprintf("%.*s@%s", (int)(at - s->id), s->id, at + strlen(node));
}

static void add_piece(json_t *order, const char *id, const char *key, const char *piece, size_t len)
{
	json_t *event = event_new(EV_WITH);

	json_object_set_new(event, "step", json_string(id));
	json_object_set_new(event, "k", json_string(key));
	json_object_set_new(event, "v", json_stringn(piece, len));
	json_array_append_new(order, event);
}

static void add_knob(json_t *order, const char *id, const char *key, const char *value)
{
	while (*value) {
		size_t n = strnlen(value, PIECE);

		while (n > 1 && n == PIECE && ((unsigned char)value[n] & 0xc0) == 0x80)
			n--;
		add_piece(order, id, key, value, n);
		value += n;
	}
}

/* All events of one order, without "to". */
static json_t *order_of(const struct step *s, const char *id, const char *peers)
{
	json_t *order = json_array(), *run = event_new(EV_RUN);

	for (int i = 0; s->check->params[i].name; i++) {
		const char *name = s->check->params[i].name, *value = s->values[i];

		if (peers && !strcmp(name, "peers"))
			value = peers;
		if (value)
			add_knob(order, id, name, value);
	}
	/* A knob that was lost on its way must not quietly be the preset. */
	json_object_set_new(run, "with", json_integer((json_int_t)json_array_size(order)));
	json_object_set_new(run, "step", json_string(id));
	json_object_set_new(run, "check", json_string(s->check->name));
	json_object_set_new(run, "unit", json_string(s->unit));
	json_object_set_new(run, "deadline", json_real(s->deadline));
	if (peers)
		json_object_set_new(run, "joint", json_true());
	json_array_append_new(order, run);
	return order;
}

/* The members that are there: who was lost or left out since the plan was made is not met. */
static char *peers_of(const struct plan *plan, const struct fleet *fleet, const struct step *s,
		      int (*is_member)(void *arg, int step), void *arg)
{
	const char **names = xcalloc((size_t)s->members, sizeof(*names));
	int count = 0;
	char *text;

	for (int i = s->lead; i < s->lead + s->members; i++)
		if (is_member(arg, i))
			names[count++] = fleet->nodes[plan->steps[i].node].name;
	text = hostlist_text(names, count);
	free(names);
	return text;
}

struct bundle { /* steps with the same order */
	json_t *order;
	int *nodes;
	int count;
};

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void send_bundle(struct reach *reach, struct bundle *g)
{
	json_t *event;
	size_t i;

	qsort(g->nodes, (size_t)g->count, sizeof(*g->nodes), by_number);
	json_array_foreach(g->order, i, event)
		reach_send(reach, g->nodes, g->count, json_incref(event));
	json_decref(g->order);
	free(g->nodes);
}

struct bundles {
	struct bundle *items;
	int count;
	json_t *known; /* index of each by its order's text */
};

/* The bundle of all steps with the same order as this one. */
static struct bundle *find_bundle(struct bundles *all, const struct step *s, const char *id,
				  const char *peers)
{
	json_t *order = order_of(s, id, peers);
	char *text = json_dumps(order, JSON_COMPACT);
	json_t *found = json_object_get(all->known, text);
	int i = found ? (int)json_integer_value(found) : all->count;

	if (!found) {
		json_object_set_new(all->known, text, json_integer(all->count++));
		all->items[i].order = json_incref(order);
	}
	json_decref(order);
	free(text);
	return &all->items[i];
}

/* Whether a member has a knob that the first one has otherwise, such as its NIC on a rail. */
static int is_different(const struct plan *plan, int step)
{
	const struct step *s = &plan->steps[step];

	for (int i = 0; s->lead != step && s->check->params[i].name; i++)
		if (s->owned[i])
			return 1;
	return 0;
}

void orders_send(struct reach *reach, const struct plan *plan, const struct fleet *fleet,
		 const int *steps, int count, int (*is_member)(void *arg, int step), void *arg)
{
	struct bundles all = { xcalloc((size_t)count, sizeof(*all.items)), 0, json_object() };
	struct bundle *g = NULL;
	int lead = -1; /* of the joint step that g is of */

	for (int i = 0; i < count; i++) {
		const struct step *s = &plan->steps[steps[i]];
		int own = is_different(plan, steps[i]);

		/* Members of a joint step have one order, with a list of all of them in it. */
		if (s->members == 1 || s->lead != lead || own) {
			char *id = order_id(s, fleet);
			char *peers =
				s->members > 1 ? peers_of(plan, fleet, s, is_member, arg) : NULL;

			g = find_bundle(&all, s, id, peers);
			free(peers);
			free(id);
		}
		lead = own ? -1 : s->lead;
		g->nodes = grow(g->nodes, (size_t)g->count, sizeof(*g->nodes));
		g->nodes[g->count++] = s->node;
	}
	for (int i = 0; i < all.count; i++)
		send_bundle(reach, &all.items[i]);
	json_decref(all.known);
	free(all.items);
}
