/*
 * load.h - maps of a YAML tree into structs by tables. Private to spec.c and profile.c.
 *
 * A table says which keys a map may hold and who reads each; an unknown key is an error that lists
 * the known ones, so a typo can never switch something off unnoticed.
 */
#ifndef ASSAY_LOAD_H
#define ASSAY_LOAD_H

#include "harness/spec.h"

struct load {
	struct complaints *c;
	void *top; /* the spec or profile in the making */
};

typedef void load_fn(struct load *l, const struct yaml *y, void *into);

struct field { /* the table ends at key == NULL */
	const char *key;
	int required;
	load_fn *read;
	size_t offset; /* of the member that read() fills */
};

/* what: "a limit", for messages. 0, or -1 when y is no map. */
int load_map(struct load *l, const struct yaml *y, const char *what, const struct field *fields,
	     void *into);
/* Complains unless y is of this kind. */
int load_kind(struct load *l, const struct yaml *y, enum yaml_kind kind, const char *what);

load_fn load_text;  /* const char * */
load_fn load_texts; /* struct texts: a list of texts, or one */
load_fn load_count; /* int, 0 .. 1e6 */
load_fn load_share; /* double, from "95%" */
load_fn load_hosts; /* const char *: a host list that can be read */

struct texts {
	const char **items;
	int count;
};

/* A quantity of one dimension into *out. 0 or -1 with a complaint. */
int load_quantity(struct load *l, const struct yaml *y, enum dimension dim, double *out);

/* spec_limits.c: the limits of a part, -1: of the spec itself. y may be NULL. */
void spec_load_limits(struct load *l, const struct yaml *y, int part);

/* program.c: the part of a spec that describes programs. */
load_fn spec_load_programs; /* struct spec */
void spec_free_programs(struct spec *s);

/* place.c: the part of a spec that says where nodes stand. */
load_fn spec_load_racks, spec_load_units; /* struct standings */
load_fn spec_load_ramp;                   /* struct ramp */
void spec_free_places(struct spec *s);

#endif
