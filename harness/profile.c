/* profile.c - which checks run, with which knobs, in which phases. */
#include "harness/hash.h"
#include "harness/judge.h"
#include "harness/load.h"

#include <stdlib.h>
#include <string.h>

#define AT(type, member) offsetof(struct type, member)
#define WORD(id, word) word,

static void load_check(struct load *l, const struct yaml *map, int i, struct phase *p)
{
	struct profile_check *c = &p->checks[p->check_count++];
	const struct yaml *y = map->items[i];

	*c = (struct profile_check){ .name = map->keys[i], .at = map->key_at[i] };
	if (y->kind == YAML_TEXT && !*y->text)
		return; /* "settings:" with nothing behind it: all presets */
	if (load_kind(l, y, YAML_MAP, "the knobs of a check") < 0)
		return;
	c->knobs = xcalloc((size_t)y->count, sizeof(*c->knobs));
	c->values = xcalloc((size_t)y->count, sizeof(*c->values));
	c->value_at = xcalloc((size_t)y->count, sizeof(*c->value_at));
	for (int k = 0; k < y->count; k++) {
		if (load_kind(l, y->items[k], YAML_TEXT, "a knob") < 0)
			continue;
		c->knobs[c->knob_count] = y->keys[k];
		c->values[c->knob_count] = y->items[k]->text;
		c->value_at[c->knob_count++] = y->items[k]->at;
	}
}

static void load_checks(struct load *l, const struct yaml *y, void *into)
{
	struct phase *p = into;

	if (load_kind(l, y, YAML_MAP, "checks") < 0)
		return;
	p->checks = xcalloc((size_t)y->count, sizeof(*p->checks));
	for (int i = 0; i < y->count; i++)
		load_check(l, y, i, p);
}

static void load_gate(struct load *l, const struct yaml *y, void *into)
{
	static const char *const words[] = { GATES(WORD) };
	int gate = 0;

	if (load_kind(l, y, YAML_TEXT, "gate") < 0)
		return;
	while (gate < GATE_COUNT && strcmp(words[gate], y->text) != 0)
		gate++;
	if (gate == GATE_COUNT)
		complain(l->c, &y->at, "gate: '%s' is none of open, alone, leave, stop", y->text);
	else
		*(enum gate *)into = (enum gate)gate;
}

static const struct field phase_fields[] = {
	{ "name", 1, load_text, AT(phase, name) },
	{ "gate", 0, load_gate, AT(phase, gate) },
	{ "checks", 1, load_checks, 0 },
	{ 0 },
};

static void load_phases(struct load *l, const struct yaml *y, void *into)
{
	struct profile *p = into;

	if (load_kind(l, y, YAML_LIST, "phases") < 0)
		return;
	p->phases = xcalloc((size_t)y->count, sizeof(*p->phases));
	for (int i = 0; i < y->count; i++) {
		struct phase *phase = &p->phases[p->phase_count++];

		phase->at = y->items[i]->at;
		phase->gate = GATE_ALONE;
		load_map(l, y->items[i], "a phase", phase_fields, phase);
		/* It becomes a part of step ids. */
		if (phase->name && (!hostname_valid(phase->name) || strlen(phase->name) > 40))
			complain(l->c, &phase->at,
				 "a phase's name is made of at most 40 letters, digits, '-', '_' "
				 "and '.'");
	}
	if (y->count == 0)
		complain(l->c, &y->at, "a profile without phases checks nothing");
}

static void load_schema(struct load *l, const struct yaml *y, void *into)
{
	(void)into;
	if (load_kind(l, y, YAML_TEXT, "assay") == 0 && strcmp(y->text, "profile/1") != 0)
		complain(l->c, &y->at, "this is '%s', not 'profile/1'", y->text);
}

static void load_repeat(struct load *l, const struct yaml *y, void *into)
{
	int *repeat = into;

	load_count(l, y, repeat);
	if (*repeat > 20)
		complain(l->c, &y->at, "repeat is at most 20");
}

static void load_fleet(struct load *l, const struct yaml *y, void *into)
{
	if (load_kind(l, y, YAML_TEXT, "fleet") < 0)
		return;
	if (strcmp(y->text, "whole") != 0 && strcmp(y->text, "part") != 0)
		complain(l->c, &y->at, "fleet: '%s' is neither whole nor part", y->text);
	*(int *)into = !strcmp(y->text, "whole");
}

static const struct field profile_fields[] = {
	{ "assay", 1, load_schema, 0 },
	{ "name", 1, load_text, AT(profile, name) },
	{ "about", 0, load_text, AT(profile, about) },
	{ "repeat", 0, load_repeat, AT(profile, repeat) },
	{ "fleet", 0, load_fleet, AT(profile, whole) },
	{ "phases", 1, load_phases, 0 },
	{ 0 },
};

struct profile *profile_from(struct yaml *tree, struct complaints *c)
{
	struct profile *p = xcalloc(1, sizeof(*p));
	struct load l = { c, p };
	int errors = c->errors;
	char *text;

	p->tree = tree;
	p->repeat = 2;
	load_map(&l, tree, "a profile", profile_fields, p);
	if (c->errors > errors) {
		profile_free(p);
		return NULL;
	}
	text = yaml_text(tree);
	p->sha256 = hash_text(text, strlen(text));
	free(text);
	return p;
}

struct profile *profile_load(const char *name_or_path, struct complaints *c)
{
	struct yaml *tree = spec_load_tree("profiles", name_or_path, c);

	return tree ? profile_from(tree, c) : NULL;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	for (int i = 0; i < p->phase_count; i++) {
		for (int k = 0; k < p->phases[i].check_count; k++) {
			free(p->phases[i].checks[k].knobs);
			free(p->phases[i].checks[k].values);
			free(p->phases[i].checks[k].value_at);
		}
		free(p->phases[i].checks);
	}
	free(p->phases);
	free(p->sha256);
	yaml_delete(p->tree);
	free(p);
}

static void check_knob(const struct check *check, const struct profile_check *pc, int k,
		       struct complaints *c)
{
	const struct param *p = check->params;
	struct quantity q, preset;
	struct error err;

	while (p->name && strcmp(p->name, pc->knobs[k]) != 0)
		p++;
	if (!p->name) {
		complain(c, &pc->value_at[k],
			 "check %s has no knob '%s' (see `assay check show %s`)", check->name,
			 pc->knobs[k], check->name);
		return;
	}
	if (p->from_spec) {
		complain(c, &pc->value_at[k],
			 "knob %s is filled in from the spec, not by a profile", p->name);
		return;
	}
	if (quantity_parse(p->preset, &preset, &err) < 0)
		BUG("%s.%s: %s", check->name, p->name, err.text);
	if (quantity_parse(pc->values[k], &q, &err) < 0)
		complain(c, &pc->value_at[k], "knob %s: %s", p->name, err.text);
	else if (q.dim != preset.dim)
		complain(c, &pc->value_at[k], "knob %s is a %s, '%s' is a %s", p->name,
			 dimension_name(preset.dim), pc->values[k], dimension_name(q.dim));
	else if (q.value < 0)
		complain(c, &pc->value_at[k], "knob %s cannot be negative", p->name);
}

static void check_one(const struct profile_check *pc, const struct spec *s, struct complaints *c)
{
	const struct check *check = check_find(pc->name);

	if (spec_program(s, pc->name)) {
		if (pc->knob_count)
			complain(c, &pc->at,
				 "program %s has no knobs here; it is described in the spec",
				 pc->name);
		return;
	}
	if (!strcmp(pc->name, WATCH_CHECK)) {
		complain(c, &pc->at,
			 "'%s' is no check to run: every run watches by itself, and judges what it "
			 "saw",
			 pc->name);
		return;
	}
	if (!check || !strcmp(check->name, "program")) {
		complain(
			c, &pc->at,
			"unknown check '%s' (see `assay check list`; programs must be in the spec)",
			pc->name);
		return;
	}
	for (int k = 0; k < pc->knob_count; k++)
		check_knob(check, pc, k, c);
}

void profile_check_against(const struct profile *p, const struct spec *s, struct complaints *c)
{
	for (int i = 0; i < p->phase_count; i++)
		for (int k = 0; k < p->phases[i].check_count; k++)
			check_one(&p->phases[i].checks[k], s, c);
}
