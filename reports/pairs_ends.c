/*
 * pairs_ends.c - figures of pairs of nodes, summed up by node and NIC.
 */
#include "reports/pairs.h"

#include <math.h>
#include <stdlib.h>

enum { PARTNERS_LEAST = 2 };

int pair_is_judged(const struct finding *f)
{
	return f->verdict == VERDICT_PASS || pair_is_bad(f);
}

int pair_end_of(const struct pairs *p, int node, int nic)
{
	return node * p->nic_count + nic;
}

int pair_from_end(const struct pairs *p, const struct pair_figure *x)
{
	return pair_end_of(p, x->from, x->from_nic);
}

int pair_to_end(const struct pairs *p, const struct pair_figure *x)
{
	return pair_end_of(p, x->to, x->to_nic);
}

int pairs_is_worse(const struct pairs *p, double a, double b)
{
	return p->less_is_better ? a > b : a < b;
}

static void note_value(const struct pairs *p, struct pair_end *e, const struct finding *f)
{
	if (pair_has_value(f) && (isnan(e->farthest) || pairs_is_worse(p, f->value, e->farthest)))
		e->farthest = f->value;
	if (pair_is_bad(f) && (!e->worst || pairs_is_worse(p, f->value, e->worst->value)))
		e->worst = f;
}

static void count_figure(const struct pairs *p, struct pair_end *ends, const struct pair_figure *x)
{
	struct pair_end *from = &ends[pair_from_end(p, x)], *to = &ends[pair_to_end(p, x)];
	int bad = pair_is_bad(x->f), judged = pair_is_judged(x->f), hole, undecided;

	undecided = x->f->verdict == VERDICT_INCONCLUSIVE;
	hole = x->f->verdict == VERDICT_NOT_MEASURED && !pair_has_value(x->f);
	from->out += judged;
	from->out_bad += bad;
	from->out_undecided += undecided;
	from->passes += judged && !bad;
	from->holes += hole;
	to->in += judged;
	to->in_bad += bad;
	to->in_undecided += undecided;
	to->passes += judged && !bad;
	to->holes += hole;
	note_value(p, from, x->f);
	note_value(p, to, x->f);
}

static void lay_blame(struct pair_end *e)
{
	e->blame = (e->out >= PARTNERS_LEAST && e->out_bad == e->out ? PAIR_SENDS_BADLY : 0) |
		   (e->in >= PARTNERS_LEAST && e->in_bad == e->in ? PAIR_GETS_BADLY : 0) |
		   (!e->out && !e->in && e->holes >= PARTNERS_LEAST ? PAIR_IS_HOLE : 0);
}

/* Of which end a figure's value counts for the median: where one way is blamed, that way alone. */
static int counts_from(const struct pair_end *e)
{
	return !(e->blame & PAIR_GETS_BADLY) || (e->blame & PAIR_SENDS_BADLY);
}

static int counts_to(const struct pair_end *e)
{
	return !(e->blame & PAIR_SENDS_BADLY) || (e->blame & PAIR_GETS_BADLY);
}

/* Values of end e stand at v[from[e]] up to v[from[e + 1]]. */
static void find_medians(const struct pairs *p, struct pair_end *ends, const char *skip)
{
	size_t count = (size_t)(p->node_count * p->nic_count), *at;
	double *v = xcalloc(2 * (size_t)p->count + 1, sizeof(*v));

	at = xcalloc(count + 2, sizeof(*at));
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < p->count; i++) {
			const struct pair_figure *x = &p->items[i];
			size_t from = (size_t)pair_from_end(p, x), to = (size_t)pair_to_end(p, x);
			int has = pair_has_value(x->f) && !(skip && skip[x->rail]);
			int a = has && counts_from(&ends[from]), b = has && counts_to(&ends[to]);

			if (!pass) {
				at[from + 2] += (size_t)a;
				at[to + 2] += (size_t)b;
				continue;
			}
			if (a)
				v[at[from + 1]++] = x->f->value;
			if (b)
				v[at[to + 1]++] = x->f->value;
		}
		for (size_t e = 0; e < count && !pass; e++)
			at[e + 2] += at[e + 1];
	}
	for (size_t e = 0; e < count; e++)
		ends[e].median = at[e + 1] > at[e]
					 ? median_of(v + at[e], (int)(at[e + 1] - at[e])).value
					 : NAN;
	free(at);
	free(v);
}

struct pair_end *pairs_ends(const struct pairs *p, const char *skip)
{
	int count = p->node_count * p->nic_count;
	struct pair_end *ends = xcalloc((size_t)count + 1, sizeof(*ends));

	for (int e = 0; e < count; e++)
		ends[e].farthest = NAN;
	for (int i = 0; i < p->count; i++)
		if (!skip || !skip[p->items[i].rail])
			count_figure(p, ends, &p->items[i]);
	for (int e = 0; e < count; e++)
		lay_blame(&ends[e]);
	find_medians(p, ends, skip);
	return ends;
}
