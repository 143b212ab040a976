/* fleet.c - hosts matched with node types. */
#include "harness/fleet.h"

#include <stdlib.h>
#include <string.h>

/* The node type of every host that a type names, by host. */
static json_t *named_types(const struct spec *s)
{
	json_t *types = json_object();

	for (int t = s->node_count - 1; t >= 0; t--) { /* the first type that names a host has it */
		struct hostlist list;
		struct error err;

		if (!s->nodes[t].hosts || hostlist_parse(s->nodes[t].hosts, &list, &err) < 0)
			continue;
		for (int i = 0; i < list.count; i++)
			json_object_set_new(types, list.names[i], json_integer(t));
		hostlist_release(&list);
	}
	return types;
}

/* The one type that names no hosts takes all that are left. */
static int open_type(const struct spec *s, const char *host, struct error *err)
{
	int open = -1;

	for (int i = 0; i < s->node_count; i++) {
		if (s->nodes[i].hosts)
			continue;
		if (open >= 0)
			return error_set(
				err,
				"host %s could be of node type %s or %s: give `hosts` in the spec",
				host, s->nodes[open].name, s->nodes[i].name);
		open = i;
	}
	if (open < 0)
		return error_set(err, "no node type of spec %s names host %s", s->name, host);
	return open;
}

/* Where each host stands that a rack or a unit names, by host. NULL with err if one stands twice.
 */
static json_t *standing_of(const struct standings *all, struct error *err)
{
	json_t *of = json_object();

	for (int s = 0; s < all->count; s++) {
		struct hostlist list = { 0 };

		if (hostlist_parse(all->items[s].hosts, &list, err) < 0)
			continue;
		for (int i = 0; i < list.count; i++) {
			json_t *other = json_object_get(of, list.names[i]);

			if (other) {
				error_set(err, "host %s stands in both %s and %s", list.names[i],
					  all->items[json_integer_value(other)].name,
					  all->items[s].name);
				hostlist_release(&list);
				json_decref(of);
				return NULL;
			}
			json_object_set_new(of, list.names[i], json_integer(s));
		}
		hostlist_release(&list);
	}
	return of;
}

static int index_of(const json_t *of, const char *name)
{
	json_t *found = json_object_get(of, name);

	return found ? (int)json_integer_value(found) : -1;
}

static int place_nodes(struct fleet *f, const struct spec *s, struct error *err)
{
	json_t *racks = standing_of(&s->racks, err), *units = NULL;
	int rc;

	if (racks)
		units = standing_of(&s->units, err);
	for (int i = 0; units && i < f->count; i++) {
		f->nodes[i].rack = index_of(racks, f->nodes[i].name);
		f->nodes[i].unit = index_of(units, f->nodes[i].name);
	}
	rc = units ? 0 : -1;
	json_decref(racks);
	json_decref(units);
	return rc;
}

struct fleet *fleet_build(const struct spec *s, const struct hostlist *hosts, struct error *err)
{
	struct fleet *f = xcalloc(1, sizeof(*f));
	json_t *named = named_types(s);

	f->index = json_object();
	f->nodes = xcalloc((size_t)hosts->count, sizeof(*f->nodes));
	for (int i = 0; i < hosts->count; i++) {
		json_t *type_of = json_object_get(named, hosts->names[i]);
		int type = type_of ? (int)json_integer_value(type_of)
				   : open_type(s, hosts->names[i], err);

		if (type < 0) {
			json_decref(named);
			fleet_free(f);
			return NULL;
		}
		json_object_set_new(f->index, hosts->names[i], json_integer(i));
		f->nodes[f->count++] =
			(struct fleet_node){ xstrdup(hosts->names[i]), type, -1, -1 };
	}
	json_decref(named);
	if (place_nodes(f, s, err) == 0)
		return f;
	fleet_free(f);
	return NULL;
}

void fleet_free(struct fleet *f)
{
	if (!f)
		return;
	for (int i = 0; i < f->count; i++)
		free(f->nodes[i].name);
	json_decref(f->index);
	free(f->nodes);
	free(f);
}

int fleet_find(const struct fleet *f, const char *name)
{
	return index_of(f->index, name);
}
