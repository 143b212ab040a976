/* fleet.c - hosts matched with node types. */
#include "harness/fleet.h"

#include <stdlib.h>
#include <string.h>

static int names(const struct node_type *t, const char *host)
{
	struct hostlist list;
	struct error err;
	int found = 0;

	if (!t->hosts || hostlist_parse(t->hosts, &list, &err) < 0)
		return 0;
	for (int i = 0; i < list.count && !found; i++)
		found = !strcmp(list.names[i], host);
	hostlist_release(&list);
	return found;
}

static int type_of(const struct spec *s, const char *host, struct error *err)
{
	int open = -1;

	for (int i = 0; i < s->node_count; i++) {
		if (names(&s->nodes[i], host))
			return i;
		if (!s->nodes[i].hosts && open >= 0)
			return error_set(
				err,
				"host %s could be of node type %s or %s: give `hosts` in the spec",
				host, s->nodes[open].name, s->nodes[i].name);
		if (!s->nodes[i].hosts)
			open = i;
	}
	if (open < 0)
		return error_set(err, "no node type of spec %s names host %s", s->name, host);
	return open;
}

struct fleet *fleet_build(const struct spec *s, const struct hostlist *hosts, struct error *err)
{
	struct fleet *f = xcalloc(1, sizeof(*f));

	f->nodes = xcalloc((size_t)hosts->count, sizeof(*f->nodes));
	for (int i = 0; i < hosts->count; i++) {
		int type = type_of(s, hosts->names[i], err);

		if (type < 0) {
			fleet_free(f);
			return NULL;
		}
		f->nodes[f->count++] = (struct fleet_node){ xstrdup(hosts->names[i]), type };
	}
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
