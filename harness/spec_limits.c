/*
 * spec_limits.c - the limits of a spec, each checked against what its check measures.
 */
#include "harness/load.h"

#include <stdlib.h>
#include <string.h>

#define AT(type, member) offsetof(struct type, member)

static struct spec *spec_of(struct load *l)
{
	return l->top;
}

struct limit_text {
	const char *at_least, *at_most, *exactly, *source, *origin;
	double share, worst;
};

static const struct field limit_fields[] = {
	{ "at_least", 0, load_text, AT(limit_text, at_least) },
	{ "at_most", 0, load_text, AT(limit_text, at_most) },
	{ "exactly", 0, load_text, AT(limit_text, exactly) },
	{ "source", 1, load_text, AT(limit_text, source) },
	{ "origin", 1, load_text, AT(limit_text, origin) },
	{ "share", 0, load_share, AT(limit_text, share) },
	{ "worst", 0, load_share, AT(limit_text, worst) },
	{ 0 },
};

/* Splits "CHECK.METRIC[SUBJECT]" into the tree's own copy of the three. */
static int split_key(struct spec *s, const char *key, struct limit *limit)
{
	char *copy = xstrdup(key), *dot = strchr(copy, '.'), *open = strchr(copy, '[');
	size_t n = strlen(copy);

	s->tree->files = grow(s->tree->files, (size_t)s->tree->file_count, sizeof(char *));
	s->tree->files[s->tree->file_count++] = copy; /* freed with the tree */
	if (!dot || (open && (open < dot || copy[n - 1] != ']')))
		return -1;
	*dot = '\0';
	if (open) {
		*open = copy[n - 1] = '\0';
		limit->subject = open + 1;
	}
	limit->check = copy;
	limit->metric = dot + 1;
	return 0;
}

static int limit_metric(struct load *l, struct limit *limit)
{
	const struct metric *metrics = spec_metrics(spec_of(l), limit->check);

	if (!metrics) {
		complain(l->c, &limit->at,
			 "no check or program is called '%s', so nothing would evaluate "
			 "this limit",
			 limit->check);
		return -1;
	}
	limit->of = metric_find(metrics, limit->metric);
	if (!limit->of) {
		complain(l->c, &limit->at,
			 "check %s measures no '%s', so nothing would evaluate this limit",
			 limit->check, limit->metric);
		return -1;
	}
	if (limit->of->judged == RECORDED) {
		complain(l->c, &limit->at,
			 "%s.%s is recorded only, never judged, so nothing would evaluate "
			 "this limit",
			 limit->check, limit->metric);
		return -1;
	}
	return 0;
}

static int limit_value(struct load *l, struct limit *limit, const struct limit_text *t,
		       const struct yaml *y)
{
	const char *const texts[] = { t->at_least, t->at_most, t->exactly };
	const char *const words[] = { "at_least", "at_most", "exactly" };
	enum dimension dim;
	double factor, value;
	int found = 0;

	for (int i = 0; i < 3; i++) {
		if (!texts[i])
			continue;
		found++;
		limit->op = (enum limit_op)i;
		limit->text = texts[i];
	}
	if (found != 1) {
		complain(l->c, &y->at,
			 "a limit needs exactly one of at_least, at_most, exactly; this has %d",
			 found);
		return -1;
	}
	if (unit_find(limit->of->unit, &dim, &factor) < 0)
		BUG("metric %s has the unknown unit '%s'", limit->of->name, limit->of->unit);
	if (load_quantity(l, yaml_get(y, words[limit->op]), dim, &value) < 0)
		return -1;
	limit->value = value / factor;
	return 0;
}

static void check_origin(struct load *l, const struct limit_text *t, const struct yaml *y)
{
	static const char *const origins[] = { "datasheet", "measured", "derived", "contract" };

	if (!t->origin)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(origins); i++)
		if (!strcmp(origins[i], t->origin))
			return;
	complain(l->c, &yaml_get(y, "origin")->at,
		 "origin '%s' is none of datasheet, measured, derived, contract", t->origin);
}

static void load_limit(struct load *l, const struct yaml *map, int i, int part)
{
	struct spec *s = spec_of(l);
	const struct yaml *y = map->items[i];
	struct limit limit = { .part = part, .at = map->key_at[i], .share = 1, .worst = 1 };
	struct limit_text t = { .share = 1, .worst = 1 };

	if (split_key(s, map->keys[i], &limit) < 0) {
		complain(l->c, &limit.at,
			 "'%s' is not of the form CHECK.METRIC or CHECK.METRIC[SUBJECT]",
			 map->keys[i]);
		return;
	}
	if (load_map(l, y, "a limit", limit_fields, &t) < 0)
		return;
	check_origin(l, &t, y);
	if (limit_metric(l, &limit) < 0 || limit_value(l, &limit, &t, y) < 0)
		return;
	if ((yaml_get(y, "share") || yaml_get(y, "worst")) && limit.of->judged != BY_SHARE)
		complain(l->c, &y->at,
			 "%s.%s is no figure of windows: share and worst mean nothing here",
			 limit.check, limit.metric);
	limit.source = t.source ? t.source : "";
	limit.origin = t.origin ? t.origin : "";
	limit.share = t.share;
	limit.worst = t.worst;
	s->limits = grow(s->limits, (size_t)s->limit_count, sizeof(*s->limits));
	s->limits[s->limit_count++] = limit;
}

void spec_load_limits(struct load *l, const struct yaml *y, int part)
{
	if (!y || load_kind(l, y, YAML_MAP, "limits") < 0)
		return;
	for (int i = 0; i < y->count; i++)
		load_limit(l, y, i, part);
}
