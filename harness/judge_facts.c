/*
 * judge_facts.c - inventory and settings against what the spec expects.
 *
 * Found parts are matched with bought ones in two rounds: first those that fit in every fact, then,
 * in order, what is left; so one wrong DIMM is named as that DIMM, and does not shift all behind
 * it.
 */
#include "harness/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A step that did not end in `done` has no facts either. */
static int is_whole(const struct judging *x, int step)
{
	int i = x->step_of_plan[step];

	return i >= 0 && x->results->steps[i].word == END_DONE;
}

static const struct fact *find_fact(const struct judging *x, int step, const char *part,
				    const char *key)
{
	int of = x->step_of_plan[step];

	if (!is_whole(x, step))
		return NULL;
	for (size_t i = x->facts.from[of]; i < x->facts.from[of + 1]; i++) {
		const struct fact *f = &x->results->facts[x->facts.at[i]];

		if (!strcmp(f->part, part) && !strcmp(f->key, key))
			return f;
	}
	return NULL;
}

static void set_text(char **at, char *text)
{
	free(*at);
	*at = text;
}

static void expect_limit(struct finding *f, const char *want, const char *source,
			 const struct place *at)
{
	f->basis = BASIS_EXACT;
	f->is_fact = 1;
	f->op = EXACTLY;
	f->limit_text = xstrdup(want);
	f->source = xstrdup(source);
	f->at = *at;
}

/* "slot A1, serial 123" of a part, or "". */
static char *identity(const struct judging *x, int step, const char *part)
{
	static const char *const keys[] = { "slot", "device", "pci", "serial" };
	struct text t;

	text_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct fact *f = find_fact(x, step, part, keys[i]);

		if (f && f->value)
			text_addf(&t, "%s%s %s", t.len ? ", " : "", keys[i], f->value);
	}
	return text_detach(&t);
}

static void judge_expect(struct judging *x, int step, const char *part, const struct expect *e,
			 const char *source)
{
	const struct fact *fact = find_fact(x, step, part, e->key->name);
	struct finding *f = judge_add(x, step, "inventory", e->key->name, "", part);
	char *who;

	expect_limit(f, e->want, source, &e->at);
	if (!fact || !fact->value) {
		set_text(&f->why,
			 fact ? xstrdup(fact->hole)
			 : x->step_of_plan[step] < 0 ||
					 x->results->steps[x->step_of_plan[step]].word != END_DONE
				 ? judge_hole(x, step)
				 : xstrdup("this machine does not say"));
		return;
	}
	f->found = xstrdup(fact->value);
	f->samples = 1;
	f->verdict = expect_holds(e->key->type, e->want, fact->value) ? VERDICT_PASS : VERDICT_FAIL;
	if (f->verdict == VERDICT_PASS)
		return;
	who = identity(x, step, part);
	set_text(&f->why, xasprintf("found %s, expected %s%s%s", fact->value, e->want,
				    *who ? "; " : "", who));
	free(who);
}

/* ---- parts ---- */

enum { PARTS_MOST = 512 };

struct found_parts {
	char names[PARTS_MOST][16];
	int part[PARTS_MOST]; /* of the spec, -1: not matched */
	int count;
	const char *hole; /* why parts of this kind could not be listed */
};

static int part_number(const char *name, enum part_kind kind)
{
	return atoi(name + strlen(part_kind_name(kind)));
}

static void list_parts(const struct judging *x, int step, enum part_kind kind,
		       struct found_parts *p)
{
	int of = x->step_of_plan[step];

	*p = (struct found_parts){ 0 };
	if (!is_whole(x, step))
		return;
	for (size_t i = x->facts.from[of]; i < x->facts.from[of + 1]; i++) {
		const struct fact *f = &x->results->facts[x->facts.at[i]];
		int known = 0, at;

		if (!strcmp(f->part, part_kind_name(kind)) && f->hole)
			p->hole = f->hole;
		if (!*f->part || part_kind_of(f->part) != (int)kind || strlen(f->part) > 15)
			continue;
		for (int k = 0; k < p->count; k++)
			known |= !strcmp(p->names[k], f->part);
		if (known || p->count == PARTS_MOST)
			continue;
		/* keep them by number, whatever the order of the lines */
		for (at = p->count++;
		     at > 0 && part_number(p->names[at - 1], kind) > part_number(f->part, kind);
		     at--)
			memcpy(p->names[at], p->names[at - 1], sizeof(p->names[at]));
		snprintf(p->names[at], sizeof(p->names[at]), "%s", f->part);
	}
	for (int i = 0; i < p->count; i++)
		p->part[i] = -1;
}

static int fits(const struct judging *x, int step, const char *name, const struct part *part)
{
	for (int i = 0; i < part->fact_count; i++) {
		const struct fact *f = find_fact(x, step, name, part->facts[i].key->name);

		if (!f || !f->value ||
		    !expect_holds(part->facts[i].key->type, part->facts[i].want, f->value))
			return 0;
	}
	return 1;
}

/* One round over the groups of a kind: gives each still missing place a part, if it fits. */
static void match_round(const struct judging *x, int step, const struct node_type *t,
			enum part_kind kind, struct found_parts *p, int *missing, int must_fit)
{
	for (int g = 0; g < t->group_count; g++) {
		if (t->groups[g].kind != kind)
			continue;
		for (int i = 0; i < p->count && missing[g] > 0; i++) {
			const struct part *part = &x->spec->parts[t->groups[g].part];

			if (p->part[i] >= 0 || (must_fit && !fits(x, step, p->names[i], part)))
				continue;
			p->part[i] = t->groups[g].part;
			missing[g]--;
		}
	}
}

static void judge_count(struct judging *x, int step, const struct node_type *t, enum part_kind kind,
			const struct found_parts *p, const int *missing)
{
	static const char *const metrics[] = { "nodes", "sockets", "numas", "dimms",
					       "gpus",  "nics",    "disks" };
	int want = node_type_count(t, kind);
	struct finding *f = judge_add(x, step, "inventory", metrics[kind], "", "");
	struct text why;

	expect_limit(f, "", "count of the parts in the spec", &t->at);
	set_text(&f->limit_text, xasprintf("%d", want));
	f->limit = want;
	if (p->hole || p->count == 0) {
		int done = x->step_of_plan[step] >= 0 &&
			   x->results->steps[x->step_of_plan[step]].word == END_DONE;

		if (p->hole || !done) {
			set_text(&f->why, p->hole ? xstrdup(p->hole) : judge_hole(x, step));
			return;
		}
	}
	f->samples = 1;
	f->value = f->low = f->high = p->count;
	f->verdict = p->count >= want ? VERDICT_PASS : VERDICT_FAIL;
	text_init(&why);
	for (int g = 0; g < t->group_count; g++)
		if (t->groups[g].kind == kind && missing[g] > 0)
			text_addf(&why, "%s%d of %d %s missing", why.len ? ", " : "", missing[g],
				  t->groups[g].count, x->spec->parts[t->groups[g].part].name);
	if (p->count > want)
		text_addf(&why, "%d more than the spec lists", p->count - want);
	set_text(&f->why, text_detach(&why));
	text_release(&why);
}

static void judge_kind(struct judging *x, int step, const struct node_type *t, enum part_kind kind)
{
	struct found_parts p;
	int *missing = xcalloc((size_t)t->group_count, sizeof(*missing));

	list_parts(x, step, kind, &p);
	for (int g = 0; g < t->group_count; g++)
		missing[g] = t->groups[g].kind == kind ? t->groups[g].count : 0;
	match_round(x, step, t, kind, &p, missing, 1);
	match_round(x, step, t, kind, &p, missing, 0);
	judge_count(x, step, t, kind, &p, missing);
	for (int i = 0; i < p.count; i++) {
		const struct part *part = p.part[i] < 0 ? NULL : &x->spec->parts[p.part[i]];

		for (int k = 0; part && k < part->fact_count; k++)
			judge_expect(x, step, p.names[i], &part->facts[k],
				     part->source ? part->source : "");
	}
	free(missing);
}

void judge_inventory(struct judging *x, int step)
{
	const struct node_type *t =
		&x->spec->nodes[x->fleet->nodes[x->plan->steps[step].node].type];

	for (int i = 0; i < t->fact_count; i++)
		judge_expect(x, step, "", &t->facts[i], t->name);
	for (int kind = PART_SOCKET; kind < PART_KIND_COUNT; kind++)
		if (node_type_count(t, (enum part_kind)kind) > 0)
			judge_kind(x, step, t, (enum part_kind)kind);
}

/* ---- settings ---- */

static char *how_to_set(const struct setting *s)
{
	const struct setting_kind *k = setting_kinds;
	const char *want = s->want + strspn(s->want, "<>= ");

	if (s->fix)
		return xstrdup(s->fix);
	while (k->name && strcmp(k->name, s->kind) != 0)
		k++;
	if (!k->fix)
		return xstrdup("");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return xasprintf(k->fix, s->name, want);
#pragma GCC diagnostic pop
}

static void judge_setting(struct judging *x, int step, const struct setting *s)
{
	char *key = xasprintf("%s%s%s", s->kind, *s->name ? " " : "", s->name);
	const struct fact *fact = find_fact(x, step, "", key);
	struct finding *f = judge_add(x, step, "settings", s->kind, "", s->name);

	free(key);
	expect_limit(f, s->want, s->source, &s->at);
	if (!fact || !fact->value) {
		set_text(&f->why, fact ? xstrdup(fact->hole) : judge_hole(x, step));
		return;
	}
	f->samples = 1;
	f->found = xstrdup(fact->value);
	f->verdict = expect_holds(FACT_WORD, s->want, fact->value) ? VERDICT_PASS : VERDICT_FAIL;
	if (f->verdict == VERDICT_PASS)
		return;
	set_text(&f->why, xasprintf("found %s, expected %s", fact->value, s->want));
	set_text(&f->next, how_to_set(s));
}

void judge_settings(struct judging *x, int step)
{
	for (int i = 0; i < x->spec->setting_count; i++)
		judge_setting(x, step, &x->spec->settings[i]);
}

/* ---- XIDs ---- */

void judge_xids(struct judging *x, int step)
{
	int of = x->step_of_plan[step];

	for (size_t i = of < 0 ? 0 : x->facts.from[of]; of >= 0 && i < x->facts.from[of + 1]; i++) {
		const struct fact *fact = &x->results->facts[x->facts.at[i]];
		const struct step *s = &x->plan->steps[step];
		struct finding *f;

		if (strcmp(fact->key, "xid") != 0 || !fact->value)
			continue;
		f = judge_add(x, x->base_of_plan[step], s->name, "xid", "", fact->part);
		f->found = xstrdup(fact->value);
		f->samples = 1;
		f->verdict = VERDICT_FAIL;
		set_text(&f->why,
			 xasprintf("the driver reported XID %s while %s ran", fact->value, s->id));
	}
}
