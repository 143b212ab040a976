/*
 * alike.c - findings by what makes them one line.
 *
 * There are few kinds and up to millions of findings, so a tree of kinds finds a finding's own in a
 * few comparisons; subjects and texts of a spec come from outside, and no order of them is slow.
 */
#include "reports/alike.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

const char *subject_local(const struct finding *f)
{
	const char *s = f->subject + strcspn(f->subject, "/<>");

	return s + (*s == '/');
}

int subject_is_pair(const struct finding *f)
{
	size_t own = strcspn(subject_local(f), "<>");

	return subject_local(f)[own] && (!own || strchr(subject_local(f) + own, '/'));
}

int subject_part(const struct finding *f)
{
	const char *slash = strchr(f->subject, '/');
	int kind = slash ? part_kind_of(slash + 1) : PART_NODE;

	return kind > PART_NODE && slash[1 + strcspn(slash + 1, "<> ")] == '\0' ? kind : PART_NODE;
}

struct kind { /* what figures of one line have in common; texts are lent by them */
	const char *metric, *limit; /* limit: NULL without one */
	int verdict, part, is_pair;
	const char *place; /* within the node: of a pair up to the other end, of a part nothing */
	size_t place_len;
	int last; /* the last finding so far */
};

static int is_line_of_many(const struct finding *f)
{
	return f->samples && !f->found &&
	       (f->verdict == VERDICT_PASS || f->recorded || subject_is_pair(f));
}

static struct kind kind_of(const struct finding *f)
{
	struct kind k = {
		.metric = f->metric,
		.limit = f->limit_text,
		.verdict = (int)f->verdict,
		.part = subject_part(f),
		.place = subject_local(f),
	};

	if (k.part != PART_NODE)
		return k;
	k.is_pair = subject_is_pair(f);
	k.place_len = k.is_pair ? strcspn(k.place, "<>") + 1 : strlen(k.place);
	return k;
}

static int compare_texts(const char *a, const char *b)
{
	return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

static int compare_kinds(const void *pa, const void *pb)
{
	const struct kind *a = pa, *b = pb;
	int order = a->verdict != b->verdict       ? a->verdict - b->verdict
		    : a->part != b->part           ? a->part - b->part
		    : a->is_pair != b->is_pair     ? a->is_pair - b->is_pair
		    : a->place_len != b->place_len ? (a->place_len < b->place_len ? -1 : 1)
						   : memcmp(a->place, b->place, a->place_len);

	order = order ? order : compare_texts(a->metric, b->metric);
	return order ? order : compare_texts(a->limit, b->limit);
}

/* Adds finding i to those of its kind. */
static void link_one(void **kinds, const struct finding *f, int i, int *next)
{
	struct kind key = kind_of(f), **found = tsearch(&key, kinds, compare_kinds);

	if (!found)
		abort();
	if (*found == &key) {
		*found = xcalloc(1, sizeof(key));
		**found = key;
	} else {
		next[(*found)->last] = i;
	}
	(*found)->last = i;
}

void alike_link(const struct judgement *j, int from, int to, int *next)
{
	void *kinds = NULL;

	for (int i = from; i < to; i++) {
		next[i] = -1;
		if (is_line_of_many(&j->items[i]))
			link_one(&kinds, &j->items[i], i, next);
	}
	tdestroy(kinds, free);
}
