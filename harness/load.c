/* load.c - the reader behind load.h. */
#include "harness/load.h"

#include <math.h>
#include <string.h>

static const char *const kind_words[] = { "a single value", "a list", "a map" };

int load_kind(struct load *l, const struct yaml *y, enum yaml_kind kind, const char *what)
{
	if (y->kind == kind)
		return 0;
	complain(l->c, &y->at, "%s must be %s, not %s", what, kind_words[kind],
		 kind_words[y->kind]);
	return -1;
}

static void complain_unknown(struct load *l, const struct place *at, const char *key,
			     const char *what, const struct field *fields)
{
	struct text known;

	text_init(&known);
	for (const struct field *f = fields; f->key; f++)
		text_addf(&known, "%s%s", f == fields ? "" : ", ", f->key);
	complain(l->c, at, "unknown key '%s' in %s (known: %s)", key, what, known.data);
	text_release(&known);
}

int load_map(struct load *l, const struct yaml *y, const char *what, const struct field *fields,
	     void *into)
{
	if (load_kind(l, y, YAML_MAP, what) < 0)
		return -1;
	for (int i = 0; i < y->count; i++) {
		const struct field *f = fields;

		while (f->key && strcmp(f->key, y->keys[i]) != 0)
			f++;
		if (f->key)
			f->read(l, y->items[i], (char *)into + f->offset);
		else
			complain_unknown(l, &y->key_at[i], y->keys[i], what, fields);
	}
	for (const struct field *f = fields; f->key; f++)
		if (f->required && !yaml_get(y, f->key))
			complain(l->c, &y->at, "%s lacks '%s'", what, f->key);
	return 0;
}

void load_text(struct load *l, const struct yaml *y, void *into)
{
	if (load_kind(l, y, YAML_TEXT, "this") == 0)
		*(const char **)into = y->text;
}

void load_texts(struct load *l, const struct yaml *y, void *into)
{
	struct texts *t = into;

	if (y->kind == YAML_TEXT) {
		t->items = xcalloc(1, sizeof(*t->items));
		t->items[t->count++] = y->text;
		return;
	}
	if (load_kind(l, y, YAML_LIST, "this") < 0)
		return;
	t->items = xcalloc((size_t)y->count, sizeof(*t->items));
	for (int i = 0; i < y->count; i++)
		if (load_kind(l, y->items[i], YAML_TEXT, "an item of this list") == 0)
			t->items[t->count++] = y->items[i]->text;
}

int load_quantity(struct load *l, const struct yaml *y, enum dimension dim, double *out)
{
	struct quantity q;
	struct error err;

	if (load_kind(l, y, YAML_TEXT, "a quantity") < 0)
		return -1;
	if (quantity_parse(y->text, &q, &err) < 0) {
		complain(l->c, &y->at, "%s", err.text);
		return -1;
	}
	if (q.dim != dim) {
		complain(l->c, &y->at, "'%s' is a %s, but a %s is wanted here", y->text,
			 dimension_name(q.dim), dimension_name(dim));
		return -1;
	}
	*out = q.value;
	return 0;
}

void load_count(struct load *l, const struct yaml *y, void *into)
{
	double value;

	if (load_quantity(l, y, DIM_COUNT, &value) < 0)
		return;
	if (value < 0 || value > 1e6 || value != floor(value))
		complain(l->c, &y->at, "'%s' is not a whole number from 0 to 1000000", y->text);
	else
		*(int *)into = (int)value;
}

void load_share(struct load *l, const struct yaml *y, void *into)
{
	double value;

	if (load_quantity(l, y, DIM_SHARE, &value) < 0)
		return;
	if (value < 0 || value > 1)
		complain(l->c, &y->at, "'%s' is not between 0%% and 100%%", y->text);
	else
		*(double *)into = value;
}

void load_hosts(struct load *l, const struct yaml *y, void *into)
{
	struct hostlist list;
	struct error err;

	if (load_kind(l, y, YAML_TEXT, "hosts") < 0)
		return;
	*(const char **)into = y->text;
	if (hostlist_parse(y->text, &list, &err) < 0)
		complain(l->c, &y->at, "%s", err.text);
	else
		hostlist_release(&list);
}
