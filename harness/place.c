/*
 * place.c - the part of a spec that says where nodes stand: racks, scalable units, and how much of
 * the site may be loaded at the same time.
 */
#include "harness/load.h"

#include <stdlib.h>

#define AT(type, member) offsetof(struct type, member)

static void load_watts(struct load *l, const struct yaml *y, void *into)
{
	load_quantity(l, y, DIM_POWER, into);
}

static void load_seconds(struct load *l, const struct yaml *y, void *into)
{
	load_quantity(l, y, DIM_TIME, into);
}

static const struct field rack_fields[] = {
	{ "hosts", 1, load_hosts, AT(standing, hosts) },
	{ "power", 0, load_watts, AT(standing, power) },
	{ "source", 0, load_text, AT(standing, source) },
	{ 0 },
};

static const struct field unit_fields[] = {
	{ "hosts", 1, load_hosts, AT(standing, hosts) },
	{ 0 },
};

static void load_standings(struct load *l, const struct yaml *y, const char *what,
			   const struct field *fields, struct standings *s)
{
	if (load_kind(l, y, YAML_MAP, what) < 0)
		return;
	s->items = xcalloc((size_t)y->count, sizeof(*s->items));
	for (int i = 0; i < y->count; i++) {
		struct standing *one = &s->items[s->count++];

		one->name = y->keys[i];
		one->at = y->key_at[i];
		load_map(l, y->items[i], what, fields, one);
	}
}

void spec_load_racks(struct load *l, const struct yaml *y, void *into)
{
	load_standings(l, y, "a rack", rack_fields, into);
}

void spec_load_units(struct load *l, const struct yaml *y, void *into)
{
	load_standings(l, y, "a scalable unit", unit_fields, into);
}

static void load_celsius(struct load *l, const struct yaml *y, void *into)
{
	load_quantity(l, y, DIM_TEMPERATURE, into);
}

static const struct field ramp_fields[] = {
	{ "loaded_nodes", 0, load_count, AT(ramp, loaded_nodes) },
	{ "stage_nodes", 0, load_count, AT(ramp, stage_nodes) },
	{ "stage", 0, load_seconds, AT(ramp, stage) },
	{ "inlet_most", 0, load_celsius, AT(ramp, inlet_most) },
	{ "gpu_most", 0, load_celsius, AT(ramp, gpu_most) },
	{ 0 },
};

void spec_load_ramp(struct load *l, const struct yaml *y, void *into)
{
	struct ramp *ramp = into;

	load_map(l, y, "the power of the site", ramp_fields, ramp);
	if ((ramp->stage_nodes > 0) != (ramp->stage > 0))
		complain(l->c, &y->at,
			 "stage_nodes and stage belong together: so many nodes every so many "
			 "seconds");
}

void spec_free_places(struct spec *s)
{
	free(s->racks.items);
	free(s->units.items);
}
