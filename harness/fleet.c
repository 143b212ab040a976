/* fleet.c - hosts matched with node types. */
#include "harness/fleet.h"

#include <jansson.h>
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

struct fleet *fleet_build(const struct spec *s, const struct hostlist *hosts, struct error *err)
{
	struct fleet *f = xcalloc(1, sizeof(*f));
	json_t *named = named_types(s);

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
		f->nodes[f->count++] = (struct fleet_node){ xstrdup(hosts->names[i]), type };
	}
	json_decref(named);
	return f;
}

void fleet_free(struct fleet *f)
{
	if (!f)
		return;
	for (int i = 0; i < f->count; i++)
		free(f->nodes[i].name);
	free(f->nodes);
	free(f);
}

int fleet_find(const struct fleet *f, const char *name)
{
	for (int i = 0; i < f->count; i++)
		if (!strcmp(f->nodes[i].name, name))
			return i;
	return -1;
}
