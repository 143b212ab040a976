/*
 * pairs_say.c - which nodes, NICs and pairs of nodes failing figures have in common, in sentences.
 *
 * This sums up findings and accuses nobody further: an end is named only when all of its judged
 * figures are bad, with two partners at least, and a pair only when both of its nodes are good
 * with others. What is neither is counted. Figures that a sentence already covers (a whole rail, a
 * node that is named) count against nobody else.
 */
#include "reports/pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RAIL_LEAST = 5, SENTENCES_MOST = 20 };

/* ---- words ---- */

struct saying {
	const struct report_input *in;
	const struct pairs *p;
	struct pair_end *ends;
	char *rail_done; /* by rail */
	char *end_done;  /* ends that a sentence about their whole node covers */
	char **sentences;
	int count;
};

static void say(struct saying *x, char *sentence)
{
	x->sentences = grow(x->sentences, (size_t)x->count, sizeof(*x->sentences));
	x->sentences[x->count++] = sentence;
}

static const char *word_of(const struct pairs *p, int all_undecided)
{
	static const char *const words[] = {
		[AT_LEAST] = "low", [AT_MOST] = "high", [EXACTLY] = "wrong"
	};

	return all_undecided ? "too close to tell" : words[p->any->op];
}

/* "31.2 of 48 GB/s", "93 us, wanted <= 40 us": a value and the limit that it is held against. */
static void value_text(const struct finding *f, double value, char *out, size_t room)
{
	char a[60], b[120];

	quantity_text(value, f->unit, a, sizeof(a));
	if (f->op != AT_LEAST) {
		report_limit(f, b, sizeof(b));
		snprintf(out, room, "%s, wanted %s", a, b);
		return;
	}
	quantity_text(f->limit, f->unit, b, sizeof(b));
	if (!strcmp(a + strcspn(a, " "), b + strcspn(b, " ")))
		a[strcspn(a, " ")] = '\0';
	snprintf(out, room, "%s of %s", a, b);
}

static const char *node_name(const struct saying *x, int node)
{
	return x->in->fleet->nodes[x->p->nodes[node]].name;
}

/* "n003, all 8 NICs", "n003, all 7 other NICs" behind a sentence about one rail */
static char *nics_name(const struct saying *x, int node, int nics)
{
	return xasprintf("%s, all %d %sNICs", node_name(x, node), nics,
			 nics < x->p->nic_count ? "other " : "");
}

/* "n003", "n003 nic2" */
static char *end_name(const struct saying *x, int node, int nic)
{
	int number = x->p->nics[nic];

	return number < 0 ? xstrdup(node_name(x, node))
			  : xasprintf("%s nic%d", node_name(x, node), number);
}

/* "with 7 of 7 partners, both ways", "to 7 of 7 partners" */
static void partners_text(const struct pair_end *e, const char *noun, char *out, size_t room)
{
	int out_too = e->blame & PAIR_SENDS_BADLY, in_too = e->blame & PAIR_GETS_BADLY;

	if (out_too && in_too && e->out == e->in)
		snprintf(out, room, "with %d of %d %s, both ways", e->out, e->out, noun);
	else if (out_too && in_too)
		snprintf(out, room, "to %d of %d and from %d of %d %s", e->out, e->out, e->in,
			 e->in, noun);
	else
		snprintf(out, room, "%s %d of %d %s", out_too ? "to" : "from",
			 out_too ? e->out : e->in, out_too ? e->out : e->in, noun);
}

static void say_end(struct saying *x, const struct pair_end *e, char *name, const char *noun)
{
	char partners[120], value[200], close[60] = "", holes[60] = "";
	int out_too = e->blame & PAIR_SENDS_BADLY, in_too = e->blame & PAIR_GETS_BADLY;
	int bad = (out_too ? e->out_bad : 0) + (in_too ? e->in_bad : 0);
	int undecided = (out_too ? e->out_undecided : 0) + (in_too ? e->in_undecided : 0);

	if (e->blame & PAIR_IS_HOLE) {
		say(x, xasprintf("%s: not measured with any partner", name));
		free(name);
		return;
	}
	partners_text(e, noun, partners, sizeof(partners));
	value_text(e->worst, e->median, value, sizeof(value));
	if (undecided && undecided < bad)
		snprintf(close, sizeof(close), "; %d too close to tell", undecided);
	if (e->holes)
		snprintf(holes, sizeof(holes), "; %d not measured", e->holes);
	say(x, xasprintf("%s: %s %s (median %s%s%s)", name, word_of(x->p, undecided == bad),
			 partners, value, close, holes));
	free(name);
}

/* ---- rails, or everything ---- */

struct rail_sum {
	int judged, bad, undecided, values, holes;
	const struct finding *worst;
};

static void add_to_rail(const struct pairs *p, struct rail_sum *s, const struct finding *f)
{
	s->judged += pair_is_judged(f);
	s->bad += pair_is_bad(f);
	s->undecided += f->verdict == VERDICT_INCONCLUSIVE;
	s->values += pair_has_value(f);
	s->holes += f->verdict == VERDICT_NOT_MEASURED && !pair_has_value(f);
	if (pair_is_bad(f) && (!s->worst || pairs_is_worse(p, f->value, s->worst->value)))
		s->worst = f;
}

static double rail_median(const struct pairs *p, int rail, int count)
{
	double *v = xcalloc((size_t)count + 1, sizeof(*v)), median;
	int n = 0;

	for (int i = 0; i < p->count; i++)
		if (p->items[i].rail == rail && pair_has_value(p->items[i].f))
			v[n++] = p->items[i].f->value;
	median = median_of(v, n).value;
	free(v);
	return median;
}

static void rail_name(const struct pairs *p, int rail, char *out, size_t room)
{
	if (p->rails[rail] < 0)
		snprintf(out, room, "between all %d nodes", p->node_count);
	else
		snprintf(out, room, "rail %d", p->rails[rail]);
}

/* A rail of which each figure is bad, or missing, says nothing about one end of it. */
static void say_rail(struct saying *x, int rail, const struct rail_sum *s)
{
	char name[60], value[200], holes[40] = "";

	rail_name(x->p, rail, name, sizeof(name));
	if (!s->judged && !s->values && s->holes) {
		say(x, xasprintf("%s: nothing was measured", name));
	} else if (s->judged >= RAIL_LEAST && s->bad == s->judged) {
		value_text(s->worst, rail_median(x->p, rail, s->values), value, sizeof(value));
		if (s->holes)
			snprintf(holes, sizeof(holes), "; %d not measured", s->holes);
		say(x, xasprintf("%s: all %d figures are %s (median %s%s)", name, s->bad,
				 word_of(x->p, s->undecided == s->bad), value, holes));
	} else {
		return;
	}
	x->rail_done[rail] = 1;
}

static void say_rails(struct saying *x)
{
	struct rail_sum *sums = xcalloc((size_t)x->p->rail_count + 1, sizeof(*sums));

	for (int i = 0; i < x->p->count; i++)
		add_to_rail(x->p, &sums[x->p->items[i].rail], x->p->items[i].f);
	for (int r = 0; r < x->p->rail_count; r++)
		say_rail(x, r, &sums[r]);
	free(sums);
}

/* ---- nodes and NICs ---- */

static void add_end(struct pair_end *sum, const struct pairs *p, const struct pair_end *e)
{
	sum->out += e->out;
	sum->out_bad += e->out_bad;
	sum->in += e->in;
	sum->in_bad += e->in_bad;
	sum->out_undecided += e->out_undecided;
	sum->in_undecided += e->in_undecided;
	sum->holes += e->holes;
	if (e->worst && (!sum->worst || pairs_is_worse(p, e->worst->value, sum->worst->value)))
		sum->worst = e->worst;
}

static int is_hole(const struct pair_end *e)
{
	return (e->blame & PAIR_IS_HOLE) != 0;
}

static int is_silent(const struct pair_end *e)
{
	return !e->out && !e->in && !e->holes;
}

/* What all NICs of a node have in common, those of rails that are done with left out. */
static int sum_node(const struct pairs *p, const struct pair_end *of, struct pair_end *sum)
{
	double *medians = xcalloc((size_t)p->nic_count, sizeof(*medians));
	int nics = 0;

	*sum = (struct pair_end){ 0 };
	for (int n = 0; n < p->nic_count; n++) {
		if (is_silent(&of[n]))
			continue;
		sum->blame = nics ? sum->blame & of[n].blame : of[n].blame;
		add_end(sum, p, &of[n]);
		medians[nics++] = of[n].median;
	}
	sum->median = nics ? median_of(medians, nics).value : NAN;
	free(medians);
	return nics;
}

static int are_alike(const struct pairs *p, const struct pair_end *of, int blame)
{
	for (int n = 0; n < p->nic_count; n++)
		if (!is_silent(&of[n]) && of[n].blame != blame)
			return 0;
	return 1;
}

/* A node of which every NIC is bad alike is one sentence and not eight. */
static void say_node(struct saying *x, int node, int holes)
{
	const struct pairs *p = x->p;
	const struct pair_end *of = &x->ends[pair_end_of(p, node, 0)];
	struct pair_end sum;
	int nics = sum_node(p, of, &sum);

	if (nics < 2 || !sum.blame || is_hole(&sum) != holes || !are_alike(p, of, sum.blame))
		return;
	say_end(x, &sum, nics_name(x, node, nics), "figures");
	memset(x->end_done + pair_end_of(p, node, 0), 1, (size_t)p->nic_count);
}

struct ranked {
	int end;
	double rank; /* the smaller, the worse; holes last */
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) : x->end - y->end;
}

static void say_more(struct saying *x, int more, const char *what)
{
	if (more > 0)
		say(x, xasprintf("and %d more such %s", more, what));
}

/* What fails, or what is missing, as two lists: a hole is no failure. */
static void say_ends(struct saying *x, int holes)
{
	const struct pairs *p = x->p;
	int count = p->node_count * p->nic_count, n = 0;
	struct ranked *order = xcalloc((size_t)count + 1, sizeof(*order));

	for (int node = 0; node < p->node_count; node++)
		say_node(x, node, holes);
	for (int e = 0; e < count; e++) {
		double median = x->ends[e].median;

		if (!x->ends[e].blame || is_hole(&x->ends[e]) != holes || x->end_done[e])
			continue;
		order[n++] = (struct ranked){ e, isnan(median)       ? HUGE_VAL
						 : p->less_is_better ? -median
								     : median };
	}
	qsort(order, (size_t)n, sizeof(*order), by_rank);
	for (int i = 0; i < n && i < SENTENCES_MOST; i++)
		say_end(x, &x->ends[order[i].end],
			end_name(x, order[i].end / p->nic_count, order[i].end % p->nic_count),
			"partners");
	say_more(x, n - SENTENCES_MOST, p->rails[0] < 0 ? "nodes" : "NICs");
	free(order);
}

/* ---- pairs ---- */

/* Bad, and no sentence covers it yet. */
static int is_open(const struct saying *x, const struct pair_figure *f)
{
	return pair_is_bad(f->f) && !x->rail_done[f->rail] &&
	       !(x->ends[pair_from_end(x->p, f)].blame & PAIR_SENDS_BADLY) &&
	       !(x->ends[pair_to_end(x->p, f)].blame & PAIR_GETS_BADLY);
}

struct open_pair {
	int a, b; /* ends, the smaller one first */
	const struct pair_figure *figure;
};

static int by_ends(const void *a, const void *b)
{
	const struct open_pair *x = a, *y = b;

	return x->a != y->a   ? (x->a > y->a) - (x->a < y->a)
	       : x->b != y->b ? (x->b > y->b) - (x->b < y->b)
			      : (x->figure > y->figure) - (x->figure < y->figure);
}

/* Pairs of one check that are open; touched: how many of them each end has. */
static struct open_pair *open_pairs(const struct saying *x, int *touched, int *count)
{
	struct open_pair *open = NULL;

	*count = 0;
	for (int i = 0; i < x->p->count; i++) {
		const struct pair_figure *f = &x->p->items[i];
		int from = pair_from_end(x->p, f), to = pair_to_end(x->p, f);

		if (!is_open(x, f))
			continue;
		open = grow(open, (size_t)*count, sizeof(*open));
		open[(*count)++] =
			(struct open_pair){ from < to ? from : to, from < to ? to : from, f };
		touched[from]++;
		touched[to]++;
	}
	if (*count)
		qsort(open, (size_t)*count, sizeof(*open), by_ends);
	return open;
}

/* One way or both ways of two ends. */
struct bad_pair {
	const struct open_pair *open;
	int ways;
	int a, b; /* nodes */
};

static int by_nodes(const void *a, const void *b)
{
	const struct bad_pair *x = a, *y = b;

	return x->a != y->a   ? (x->a > y->a) - (x->a < y->a)
	       : x->b != y->b ? (x->b > y->b) - (x->b < y->b)
			      : by_ends(x->open, y->open);
}

static const char fine[] = "though both are fine with others";

static void say_pair(struct saying *x, const struct bad_pair *bad)
{
	const struct finding *f = bad->open->figure->f;
	int undecided = f->verdict == VERDICT_INCONCLUSIVE;
	char value[200], *a, *b;

	value_text(f, f->value, value, sizeof(value));
	if (bad->ways == 1) {
		say(x, xasprintf("%s: %s, %s (%s)", f->subject, word_of(x->p, undecided), fine,
				 value));
		return;
	}
	for (int i = 1; i < bad->ways; i++)
		undecided &= bad->open[i].figure->f->verdict == VERDICT_INCONCLUSIVE;
	a = end_name(x, bad->a, bad->open->a % x->p->nic_count);
	b = end_name(x, bad->b, bad->open->b % x->p->nic_count);
	say(x, xasprintf("%s and %s: %s both ways, %s (%s)", a, b, word_of(x->p, undecided), fine,
			 value));
	free(a);
	free(b);
}

/* The same two nodes on several NICs are one sentence. */
static void say_nics(struct saying *x, const struct bad_pair *bad, int n)
{
	const struct finding *worst = bad->open->figure->f;
	char value[200];
	int undecided = 1;

	if (n == 1) {
		say_pair(x, bad);
		return;
	}
	for (int i = 0; i < n; i++)
		for (int k = 0; k < bad[i].ways; k++) {
			const struct finding *f = bad[i].open[k].figure->f;

			undecided &= f->verdict == VERDICT_INCONCLUSIVE;
			worst = pairs_is_worse(x->p, f->value, worst->value) ? f : worst;
		}
	value_text(worst, worst->value, value, sizeof(value));
	say(x,
	    xasprintf("%s and %s: %s between %d of their NICs, %s (worst %s)", node_name(x, bad->a),
		      node_name(x, bad->b), word_of(x->p, undecided), n, fine, value));
}

/* Those of which both ends are good with all others; returns how many figures are of no such pair.
 */
static int find_bad_pairs(const struct saying *x, const struct open_pair *open, int count,
			  const int *touched, struct bad_pair *bad, int *found)
{
	int rest = 0;

	*found = 0;
	for (int i = 0, n; i < count; i += n) {
		const struct pair_end *a = &x->ends[open[i].a], *b = &x->ends[open[i].b];

		for (n = 1;
		     i + n < count && open[i + n].a == open[i].a && open[i + n].b == open[i].b;)
			n++;
		if (touched[open[i].a] != n || touched[open[i].b] != n || !a->passes || !b->passes)
			rest += n;
		else
			bad[(*found)++] =
				(struct bad_pair){ &open[i], n, open[i].a / x->p->nic_count,
						   open[i].b / x->p->nic_count };
	}
	return rest;
}

static void say_pairs(struct saying *x)
{
	int *touched = xcalloc((size_t)(x->p->node_count * x->p->nic_count) + 1, sizeof(int));
	int count, found, rest, said = 0;
	struct open_pair *open = open_pairs(x, touched, &count);
	struct bad_pair *bad = xcalloc((size_t)count + 1, sizeof(*bad));

	rest = find_bad_pairs(x, open, count, touched, bad, &found);
	qsort(bad, (size_t)found, sizeof(*bad), by_nodes);
	for (int i = 0, n; i < found; i += n) {
		for (n = 1; i + n < found && bad[i + n].a == bad[i].a && bad[i + n].b == bad[i].b;)
			n++;
		if (said++ < SENTENCES_MOST)
			say_nics(x, &bad[i], n);
	}
	say_more(x, said - SENTENCES_MOST, "pairs");
	if (rest)
		say(x, xasprintf("%d %sfigure%s that point%s at no single node or pair", rest,
				 x->count ? "further " : "", rest == 1 ? "" : "s",
				 rest == 1 ? "s" : ""));
	free(bad);
	free(open);
	free(touched);
}

char **pairs_say(const struct report_input *in, const struct pairs *p, int *count)
{
	struct saying x = { .in = in, .p = p };

	*count = 0;
	if (!pairs_are_many(p) || p->any->recorded ||
	    !(p->of[VERDICT_FAIL] + p->of[VERDICT_INCONCLUSIVE] + p->of[VERDICT_NOT_MEASURED]))
		return NULL;
	x.rail_done = xcalloc((size_t)p->rail_count + 1, 1);
	x.end_done = xcalloc((size_t)(p->node_count * p->nic_count) + 1, 1);
	say_rails(&x);
	x.ends = pairs_ends(p, x.rail_done);
	say_ends(&x, 0);
	say_pairs(&x);
	say_ends(&x, 1);
	free(x.ends);
	free(x.end_done);
	free(x.rail_done);
	*count = x.count;
	return x.sentences;
}

void pairs_sentences_free(char **sentences, int count)
{
	for (int i = 0; i < count; i++)
		free(sentences[i]);
	free(sentences);
}
