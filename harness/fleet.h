/*
 * fleet.h - the nodes of a run: their names and what type of node the spec says each is.
 */
#ifndef ASSAY_FLEET_H
#define ASSAY_FLEET_H

#include "harness/spec.h"

#include <jansson.h>

struct fleet_node {
	char *name;
	int type;       /* index into spec->nodes */
	int rack, unit; /* index into spec->racks and spec->units; -1: in none */
};

struct fleet {
	struct fleet_node *nodes;
	int count;
	json_t *index; /* of each node by its name */
};

/*
 * hosts: the names of this run. Each gets the node type whose `hosts` names it, else the one type
 * that names none. NULL with err when a host belongs nowhere.
 */
struct fleet *fleet_build(const struct spec *s, const struct hostlist *hosts, struct error *err);
void fleet_free(struct fleet *f);
/* Index of a node, or -1. */
int fleet_find(const struct fleet *f, const char *name);

#endif
