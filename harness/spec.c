/*
 * spec.c - spec files into struct spec.
 *
 * The file is read twice in spirit: first the tree with all `extends` merged, then tables that turn
 * maps into structs. Limits are keyed "CHECK.METRIC" so that a child spec overrides one by writing
 * its key.
 */
#include "harness/spec.h"

#include "harness/hash.h"
#include "harness/load.h"

#include <stdlib.h>
#include <string.h>

#define AT(type, member) offsetof(struct type, member)

static struct spec *spec_of(struct load *l)
{
	return l->top;
}

/* ---- facts and physics of parts ---- */

struct expects {
	struct expect *items;
	int count;
};

static void load_expect(struct load *l, enum part_kind kind, const struct yaml *map, int i,
			struct expects *e)
{
	const struct fact_key *key = fact_key_find(kind, map->keys[i]);
	const struct yaml *y = map->items[i];
	struct quantity q;
	struct error err;

	if (!key) {
		complain(l->c, &map->key_at[i], "a %s has no fact '%s' (see `assay inventory`)",
			 part_kind_name(kind), map->keys[i]);
		return;
	}
	if (load_kind(l, y, YAML_TEXT, "a fact") < 0)
		return;
	if (key->type == FACT_NUMBER) {
		const char *number = expect_number(y->text);

		if (quantity_parse(number, &q, &err) < 0) {
			complain(l->c, &y->at, "%s", err.text);
			return;
		}
		if (q.dim != key->dim) {
			complain(l->c, &y->at, "'%s' is a %s, but %s is a %s", y->text,
				 dimension_name(q.dim), key->name, dimension_name(key->dim));
			return;
		}
	}
	e->items = grow(e->items, (size_t)e->count, sizeof(*e->items));
	e->items[e->count++] = (struct expect){ key, y->text, y->at };
}

static struct expects load_expects(struct load *l, enum part_kind kind, const struct yaml *y)
{
	struct expects e = { 0 };

	if (!y || load_kind(l, y, YAML_MAP, "facts") < 0)
		return e;
	for (int i = 0; i < y->count; i++)
		load_expect(l, kind, y, i, &e);
	return e;
}

static void load_physics(struct load *l, struct part *p, const struct yaml *y)
{
	if (!y || load_kind(l, y, YAML_MAP, "physics") < 0)
		return;
	p->physics = xcalloc((size_t)y->count, sizeof(*p->physics));
	for (int i = 0; i < y->count; i++) {
		const struct physics_key *key = physics_key_find(p->kind, y->keys[i]);
		double value;

		if (!key)
			complain(l->c, &y->key_at[i], "a %s has no physics '%s'",
				 part_kind_name(p->kind), y->keys[i]);
		else if (load_quantity(l, y->items[i], key->dim, &value) == 0)
			p->physics[p->physics_count++] =
				(struct physics){ key, value, y->items[i]->at };
	}
}

/* ---- parts ---- */

struct part_texts {
	const char *kind, *source;
	const struct yaml *facts, *physics, *limits;
};

static void load_tree(struct load *l, const struct yaml *y, void *into)
{
	(void)l;
	*(const struct yaml **)into = y;
}

static const struct field part_fields[] = {
	{ "kind", 1, load_text, AT(part_texts, kind) },
	{ "source", 1, load_text, AT(part_texts, source) },
	{ "facts", 0, load_tree, AT(part_texts, facts) },
	{ "physics", 0, load_tree, AT(part_texts, physics) },
	{ "limits", 0, load_tree, AT(part_texts, limits) },
	{ 0 },
};

static void load_part(struct load *l, const struct yaml *map, int i)
{
	struct spec *s = spec_of(l);
	struct part p = { .name = map->keys[i], .at = map->key_at[i] };
	struct part_texts t = { 0 };
	struct expects facts;
	int kind;

	if (load_map(l, map->items[i], "a part", part_fields, &t) < 0 || !t.kind)
		return;
	kind = part_kind_find(t.kind);
	if (kind < 0 || kind == PART_NODE) {
		complain(l->c, &p.at,
			 "part '%s' is of the unknown kind '%s' (known: socket, numa, dimm, "
			 "gpu, nic, disk)",
			 p.name, t.kind);
		return;
	}
	p.kind = (enum part_kind)kind;
	p.source = t.source;
	facts = load_expects(l, p.kind, t.facts);
	p.facts = facts.items;
	p.fact_count = facts.count;
	load_physics(l, &p, t.physics);
	s->parts[s->part_count++] = p;
	spec_load_limits(l, t.limits, s->part_count - 1);
}

static void load_parts(struct load *l, const struct yaml *y, void *into)
{
	struct spec *s = into;

	if (load_kind(l, y, YAML_MAP, "parts") < 0)
		return;
	s->parts = xcalloc((size_t)y->count, sizeof(*s->parts));
	for (int i = 0; i < y->count; i++)
		load_part(l, y, i);
}

/* ---- node types ---- */

struct group_texts {
	const char *part;
	int count;
	struct texts folders, serials;
	const char *compute, *rails;
};

static const struct field group_fields[] = {
	{ "part", 1, load_text, AT(group_texts, part) },
	{ "count", 1, load_count, AT(group_texts, count) },
	{ "folders", 0, load_texts, AT(group_texts, folders) },
	{ "serials", 0, load_texts, AT(group_texts, serials) },
	{ "compute", 0, load_text, AT(group_texts, compute) },
	{ "rails", 0, load_text, AT(group_texts, rails) },
	{ 0 },
};

static int part_by_name(const struct spec *s, const char *name)
{
	for (int i = 0; i < s->part_count; i++)
		if (!strcmp(s->parts[i].name, name))
			return i;
	return -1;
}

/* "yes" or "no", which only parts of one kind have; `preset` where it is not said. */
static int load_flag(struct load *l, const struct yaml *y, const char *key, const char *word,
		     const char *whose, int preset)
{
	if (!word)
		return preset;
	if (whose)
		complain(l->c, &yaml_get(y, key)->at, "only %s have '%s'", whose, key);
	else if (strcmp(word, "yes") != 0 && strcmp(word, "no") != 0)
		complain(l->c, &yaml_get(y, key)->at, "%s is 'yes' or 'no', not '%s'", key, word);
	return !strcmp(word, "yes");
}

static void load_group(struct load *l, const struct yaml *y, enum part_kind kind,
		       struct node_type *t)
{
	struct spec *s = spec_of(l);
	struct group_texts g = { 0 };
	int part;

	if (load_map(l, y, "a group of parts", group_fields, &g) < 0 || !g.part) {
		free(g.folders.items);
		free(g.serials.items);
		return;
	}
	part = part_by_name(s, g.part);
	if (part < 0)
		complain(l->c, &yaml_get(y, "part")->at, "no part is called '%s'", g.part);
	else if (s->parts[part].kind != kind)
		complain(l->c, &yaml_get(y, "part")->at, "part '%s' is a %s, not a %s", g.part,
			 part_kind_name(s->parts[part].kind), part_kind_name(kind));
	if ((g.folders.count || g.serials.count) && kind != PART_DISK)
		complain(l->c, &y->at, "only disks have folders and serials");
	for (int i = 0; i < g.folders.count; i++)
		if (g.folders.items[i][0] != '/')
			complain(l->c, &yaml_get(y, "folders")->at,
				 "folder '%s' is not an absolute path", g.folders.items[i]);
	t->groups = grow(t->groups, (size_t)t->group_count, sizeof(*t->groups));
	t->groups[t->group_count++] = (struct group){
		kind,
		part,
		g.count,
		g.folders.items,
		g.folders.count,
		g.serials.items,
		g.serials.count,
		!load_flag(l, y, "compute", g.compute, kind == PART_GPU ? NULL : "GPUs", 1),
		load_flag(l, y, "rails", g.rails, kind == PART_NIC ? NULL : "NICs", 0),
		y->at,
	};
}

static void load_groups(struct load *l, const struct yaml *y, enum part_kind kind,
			struct node_type *t)
{
	if (load_kind(l, y, YAML_LIST, "a list of parts") < 0)
		return;
	for (int i = 0; i < y->count; i++)
		load_group(l, y->items[i], kind, t);
}

/* One reader for "sockets", "dimms", ...: the key itself names the kind. */
#define GROUP_READER(word, kind)                                                                   \
	static void load_##word(struct load *l, const struct yaml *y, void *into)                  \
	{                                                                                          \
		load_groups(l, y, kind, into);                                                     \
	}
GROUP_READER(sockets, PART_SOCKET)
GROUP_READER(numas, PART_NUMA)
GROUP_READER(dimms, PART_DIMM)
GROUP_READER(gpus, PART_GPU)
GROUP_READER(nics, PART_NIC)
GROUP_READER(disks, PART_DISK)

static void load_node_facts(struct load *l, const struct yaml *y, void *into)
{
	struct node_type *t = into;
	struct expects e = load_expects(l, PART_NODE, y);

	t->facts = e.items;
	t->fact_count = e.count;
}

static void load_watts(struct load *l, const struct yaml *y, void *into)
{
	load_quantity(l, y, DIM_POWER, into);
}

static const struct field node_fields[] = {
	{ "hosts", 0, load_hosts, AT(node_type, hosts) },
	{ "count", 0, load_count, AT(node_type, count) },
	{ "idle_power", 0, load_watts, AT(node_type, idle_power) },
	{ "facts", 0, load_node_facts, 0 },
	{ "sockets", 0, load_sockets, 0 },
	{ "numas", 0, load_numas, 0 },
	{ "dimms", 0, load_dimms, 0 },
	{ "gpus", 0, load_gpus, 0 },
	{ "nics", 0, load_nics, 0 },
	{ "disks", 0, load_disks, 0 },
	{ 0 },
};

static void load_nodes(struct load *l, const struct yaml *y, void *into)
{
	struct spec *s = into;

	if (load_kind(l, y, YAML_MAP, "nodes") < 0)
		return;
	s->nodes = xcalloc((size_t)y->count, sizeof(*s->nodes));
	for (int i = 0; i < y->count; i++) {
		struct node_type *t = &s->nodes[s->node_count++];

		t->name = y->keys[i];
		t->at = y->key_at[i];
		load_map(l, y->items[i], "a node type", node_fields, t);
		if (node_type_rail(t, RAILS_MOST) >= 0)
			complain(l->c, &t->at, "a node has at most %d rails", RAILS_MOST);
	}
	if (s->node_count == 0)
		complain(l->c, &y->at, "no node type is described");
}

/* ---- settings and waivers ---- */

static const struct field setting_fields[] = {
	{ "kind", 1, load_text, AT(setting, kind) },
	{ "name", 0, load_text, AT(setting, name) },
	{ "is", 1, load_text, AT(setting, want) },
	{ "source", 1, load_text, AT(setting, source) },
	{ "fix", 0, load_text, AT(setting, fix) },
	{ 0 },
};

static const struct setting_kind *setting_kind_find(const char *name)
{
	for (const struct setting_kind *k = setting_kinds; k->name; k++)
		if (!strcmp(k->name, name))
			return k;
	return NULL;
}

static void check_setting(struct load *l, const struct setting *s)
{
	const struct setting_kind *k = setting_kind_find(s->kind);
	struct text known;

	if (k) {
		if (k->takes && !*s->name)
			complain(l->c, &s->at, "a setting of kind %s needs a name: %s", s->kind,
				 k->takes);
		if (!k->takes && *s->name)
			complain(l->c, &s->at, "a setting of kind %s takes no name", s->kind);
		return;
	}
	text_init(&known);
	for (k = setting_kinds; k->name; k++)
		text_addf(&known, "%s%s", k == setting_kinds ? "" : ", ", k->name);
	complain(l->c, &s->at, "unknown kind of setting '%s' (known: %s)", s->kind, known.data);
	text_release(&known);
}

static void load_settings(struct load *l, const struct yaml *y, void *into)
{
	struct spec *s = into;

	if (load_kind(l, y, YAML_LIST, "settings") < 0)
		return;
	s->settings = xcalloc((size_t)y->count, sizeof(*s->settings));
	for (int i = 0; i < y->count; i++) {
		struct setting one = { .name = "", .at = y->items[i]->at };

		if (load_map(l, y->items[i], "a setting", setting_fields, &one) < 0 || !one.kind ||
		    !one.want)
			continue;
		check_setting(l, &one);
		if (strpbrk(one.kind, "\n\t") || strpbrk(one.name, "\n\t"))
			complain(l->c, &one.at, "a setting's name holds no line ends and tabs");
		s->settings[s->setting_count++] = one;
	}
}

static const struct field waiver_fields[] = {
	{ "check", 1, load_text, AT(waiver, check) },
	{ "metric", 0, load_text, AT(waiver, metric) },
	{ "subject", 0, load_text, AT(waiver, subject) },
	{ "reason", 1, load_text, AT(waiver, reason) },
	{ "by", 1, load_text, AT(waiver, by) },
	{ 0 },
};

static void load_waivers(struct load *l, const struct yaml *y, void *into)
{
	struct spec *s = into;

	if (load_kind(l, y, YAML_LIST, "waivers") < 0)
		return;
	s->waivers = xcalloc((size_t)y->count, sizeof(*s->waivers));
	for (int i = 0; i < y->count; i++) {
		struct waiver *w = &s->waivers[s->waiver_count];

		w->at = y->items[i]->at;
		if (load_map(l, y->items[i], "a waiver", waiver_fields, w) == 0 && w->check &&
		    w->reason)
			s->waiver_count++;
	}
}

/* ---- the whole ---- */

static const struct field site_fields[] = {
	{ "name", 0, load_text, AT(site, name) },
	{ "place", 0, load_text, AT(site, place) },
	{ "contract", 0, load_text, AT(site, contract) },
	{ "vendor", 0, load_text, AT(site, vendor) },
	{ "customer", 0, load_text, AT(site, customer) },
	{ 0 },
};

static void load_site(struct load *l, const struct yaml *y, void *into)
{
	load_map(l, y, "the site", site_fields, into);
}

static void load_schema(struct load *l, const struct yaml *y, void *into)
{
	(void)into;
	if (load_kind(l, y, YAML_TEXT, "assay") == 0 && strcmp(y->text, "spec/1") != 0)
		complain(l->c, &y->at, "this is '%s', not 'spec/1'", y->text);
}

static void load_nothing(struct load *l, const struct yaml *y, void *into)
{
	(void)l;
	(void)y;
	(void)into; /* read in its own turn: parts and programs must exist before limits name them
		     */
}

/* First pass: what others refer to. */
static const struct field first_fields[] = {
	{ "assay", 1, load_schema, 0 },
	{ "name", 1, load_text, AT(spec, name) },
	{ "about", 0, load_text, AT(spec, about) },
	{ "calibration", 0, load_text, AT(spec, calibration) },
	{ "site", 0, load_site, AT(spec, site) },
	{ "programs", 0, spec_load_programs, 0 },
	{ "parts", 0, load_nothing, 0 },
	{ "nodes", 1, load_nothing, 0 },
	{ "limits", 0, load_nothing, 0 },
	{ "settings", 0, load_settings, 0 },
	{ "waivers", 0, load_waivers, 0 },
	{ "racks", 0, spec_load_racks, AT(spec, racks) },
	{ "units", 0, spec_load_units, AT(spec, units) },
	{ "power", 0, spec_load_ramp, AT(spec, ramp) },
	{ 0 },
};

struct spec *spec_from(struct yaml *tree, struct complaints *c)
{
	struct spec *s = xcalloc(1, sizeof(*s));
	struct load l = { c, s };
	int errors = c->errors;
	const struct yaml *y;
	char *text;

	s->tree = tree;
	if (load_map(&l, tree, "a spec", first_fields, s) == 0) {
		if ((y = yaml_get(tree, "parts")))
			load_parts(&l, y, s);
		if ((y = yaml_get(tree, "nodes")))
			load_nodes(&l, y, s);
		spec_load_limits(&l, yaml_get(tree, "limits"), -1);
	}
	if (c->errors > errors) {
		spec_free(s);
		return NULL;
	}
	text = yaml_text(tree);
	s->sha256 = hash_text(text, strlen(text));
	free(text);
	return s;
}

struct spec *spec_load(const char *name_or_path, struct complaints *c)
{
	struct yaml *tree = spec_load_tree("systems", name_or_path, c);

	return tree ? spec_from(tree, c) : NULL;
}

void spec_free(struct spec *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->part_count; i++) {
		free(s->parts[i].facts);
		free(s->parts[i].physics);
	}
	for (int i = 0; i < s->node_count; i++) {
		for (int k = 0; k < s->nodes[i].group_count; k++) {
			free(s->nodes[i].groups[k].folders);
			free(s->nodes[i].groups[k].serials);
		}
		free(s->nodes[i].facts);
		free(s->nodes[i].groups);
	}
	spec_free_programs(s);
	spec_free_places(s);
	free(s->parts);
	free(s->nodes);
	free(s->limits);
	free(s->settings);
	free(s->waivers);
	free(s->sha256);
	yaml_delete(s->tree);
	free(s);
}
