/*
 * pairs_strip.c - figures of pairs of many nodes: a strip with all nodes side by side.
 *
 * Above 128 nodes each meets five others only, and a map would be all holes. Each figure stands at
 * both of its nodes, so a bad node is a column of low dots while its partners have one each. Where
 * dots would be megabytes there are medians, and where those are more than the strip is wide, their
 * range in each column.
 */
#include "reports/pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDTH = 1100,
	LEFT = 74,
	EDGE = 8,
	ALONE = 170,      /* height of the only strip, */
	ONE_OF_MANY = 84, /* and of one of several */
	FOOT = 26,        /* below: what was not measured, and units */
	DOTS_MOST = 20000,
	WORST_MOST = 20
};

struct strip {
	const struct report_input *in;
	const struct pairs *p;
	struct pair_end *ends;
	int *order;                         /* nodes from left to right */
	int *column;                        /* and back: the place of each */
	int worst[WORST_MOST], worst_count; /* ends */
	int height, with_dots;
};

static double x_of(const struct strip *s, int place)
{
	return LEFT + (WIDTH - LEFT - EDGE) * (place + 0.5) / s->p->node_count;
}

static double y_of(const struct strip *s, double value)
{
	return s->height - EDGE - (s->height - 2 * EDGE) * pairs_scale(s->p, value);
}

/* ---- order ---- */

static int unit_of(const struct strip *s, int node)
{
	return s->in->fleet->nodes[s->p->nodes[node]].unit;
}

/* The worst first: within units where the spec has them, for who stands together fails together. */
struct ranked {
	int unit, node;
	double rank; /* the smaller, the worse */
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->unit != y->unit   ? (x->unit > y->unit) - (x->unit < y->unit)
	       : x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank)
				    : x->node - y->node;
}

static double rank_of(const struct pairs *p, double median)
{
	return isnan(median) ? HUGE_VAL : p->less_is_better ? -median : median;
}

/* Of a node's NICs the median of their medians, so that nodes stand alike in all strips. */
static double node_median(const struct strip *s, int node)
{
	double v[PAIRS_NICS_MOST];
	int n = 0;

	for (int k = 0; k < s->p->nic_count; k++) {
		double median = s->ends[node * s->p->nic_count + k].median;

		if (!isnan(median))
			v[n++] = median;
	}
	return n ? median_of(v, n).value : NAN;
}

static void put_in_order(struct strip *s)
{
	int n = s->p->node_count;
	struct ranked *ranked = xcalloc((size_t)n + 1, sizeof(*ranked));

	s->order = xcalloc((size_t)n + 1, sizeof(*s->order));
	s->column = xcalloc((size_t)n + 1, sizeof(*s->column));
	for (int i = 0; i < n; i++)
		ranked[i] = (struct ranked){ unit_of(s, i), i, rank_of(s->p, node_median(s, i)) };
	qsort(ranked, (size_t)n, sizeof(*ranked), by_rank);
	for (int i = 0; i < n; i++) {
		s->order[i] = ranked[i].node;
		s->column[ranked[i].node] = i;
	}
	free(ranked);
}

/* ---- one strip ---- */

static void put_frame(const struct strip *s, struct text *out)
{
	double low, high;
	char text[60];

	pairs_range(s->p, &low, &high);
	text_addf(out, "<path fill=\"#f7f9fb\" d=\"M%d 0h%dv%dh-%dz\"/>\n", LEFT, WIDTH - LEFT,
		  s->height, WIDTH - LEFT);
	for (int i = 0; i < 2; i++) {
		quantity_text(i ? high : low, s->p->any->unit, text, sizeof(text));
		text_addf(out, "<text text-anchor=\"end\" x=\"%d\" y=\"%.1f\">", LEFT - 5,
			  y_of(s, i ? high : low) + 3.5);
		text_add_xml(out, text);
		text_add(out, "</text>\n");
	}
	if (!pairs_shows_limit(s->p))
		return;
	text_addf(out,
		  "<path fill=\"none\" stroke=\"#1b1f24\" stroke-dasharray=\"6 3\" d=\"M%d "
		  "%.1fH%d\"/><text text-anchor=\"end\" x=\"%d\" y=\"%.1f\">limit</text>\n",
		  LEFT, y_of(s, s->p->any->limit), WIDTH, WIDTH - 4,
		  y_of(s, s->p->any->limit) + (pairs_scale(s->p, s->p->any->limit) > .5 ? 11 : -4));
}

static void put_units(const struct strip *s, struct text *out)
{
	int n = s->p->node_count;

	for (int i = 0, k; i < n; i = k) {
		int unit = unit_of(s, s->order[i]);
		const char *name = unit < 0 ? "" : s->in->spec->units.items[unit].name;

		for (k = i; k < n && unit_of(s, s->order[k]) == unit;)
			k++;
		if (i)
			text_addf(out,
				  "<path stroke=\"#9aa4ad\" stroke-width=\".7\" d=\"M%.1f 0v%d\"/>",
				  (x_of(s, i) + x_of(s, i - 1)) / 2, s->height + FOOT);
		if (x_of(s, k - 1) - x_of(s, i) < 6.2 * (double)strlen(name))
			continue;
		text_addf(out, "<text text-anchor=\"middle\" x=\"%.1f\" y=\"%d\">",
			  (x_of(s, i) + x_of(s, k - 1)) / 2, s->height + FOOT - 4);
		text_add_xml(out, name);
		text_add(out, "</text>\n");
	}
}

/* Either the good dots of a rail or the bad ones, each at both of its nodes. */
static void put_dots(const struct strip *s, int rail, int bad, struct text *out)
{
	text_addf(out, "<path class=\"%s\" d=\"", bad ? "cross" : "dot");
	for (int i = 0; i < s->p->count; i++) {
		const struct pair_figure *x = &s->p->items[i];

		if (x->rail != rail || !pair_has_value(x->f) || pair_is_bad(x->f) != bad)
			continue;
		for (int end = 0; end < 2; end++)
			text_addf(out, bad ? "M%.1f %.1fl4 4m0-4l-4 4" : "M%.1f %.1fh0",
				  x_of(s, s->column[end ? x->to : x->from]) - (bad ? 2 : 0),
				  y_of(s, x->f->value) - (bad ? 2 : 0));
	}
	text_add(out, "\"/>\n");
}

/* The end of a node that a rail's figures are about: that with the rail's number, or the only one.
 */
static const struct pair_end *end_at(const struct strip *s, int place, int rail)
{
	int nic = s->p->nic_count == s->p->rail_count ? rail : 0;

	return &s->ends[s->order[place] * s->p->nic_count + nic];
}

/* Where nodes are more than there is width for: all medians of a column, or all that is worse. */
static void put_columns(const struct strip *s, int rail, int far, struct text *out)
{
	int n = s->p->node_count;

	text_addf(out, "<path class=\"%s\" d=\"", far ? "far" : "median");
	for (int i = 0, k; i < n; i = k) {
		double low = NAN, high = NAN;

		for (k = i; k < n && (int)x_of(s, k) == (int)x_of(s, i); k++) {
			const struct pair_end *e = end_at(s, k, rail);

			low = fmin(low, fmin(e->median, far ? e->farthest : NAN));
			high = fmax(high, fmax(e->median, far ? e->farthest : NAN));
		}
		if (!isnan(low))
			text_addf(out, "M%d %.1fV%.1f", (int)x_of(s, i), y_of(s, low) + .8,
				  y_of(s, high) - .8);
	}
	text_add(out, "\"/>\n");
}

/* Ends that are bad with each partner, one mark a column; above each other they are one mark. */
static void put_blamed(const struct strip *s, int rail, struct text *out)
{
	int last = -1;

	text_add(out, "<path class=\"cross\" d=\"");
	for (int i = 0; i < s->p->node_count; i++) {
		const struct pair_end *e = end_at(s, i, rail);

		if (!(e->blame & (PAIR_SENDS_BADLY | PAIR_GETS_BADLY)) || (int)x_of(s, i) == last)
			continue;
		last = (int)x_of(s, i);
		text_addf(out, "M%.1f %.1fl6 6m0-6l-6 6", x_of(s, i) - 3, y_of(s, e->median) - 3);
	}
	text_add(out, "\"/>\n");
}

/* Below the strip, where no value can be taken for it. */
static void put_missing(const struct strip *s, int rail, struct text *out)
{
	int last = -1, any = 0;

	for (int i = 0; i < s->p->node_count; i++) {
		if (!end_at(s, i, rail)->holes || (int)x_of(s, i) == last)
			continue;
		last = (int)x_of(s, i);
		text_addf(out, "%sM%.1f %dv7", any++ ? "" : "<path class=\"hole\" d=\"", x_of(s, i),
			  s->height + 2);
	}
	if (any)
		text_addf(out,
			  "\"/><text text-anchor=\"end\" x=\"%d\" y=\"%d\">not measured</text>\n",
			  LEFT - 5, s->height + 9);
}

/* Names of the worst, for who points at their column. */
static void put_hits(const struct strip *s, int rail, struct text *out)
{
	for (int i = 0; i < s->worst_count; i++) {
		int node = s->worst[i] / s->p->nic_count;
		char text[60];

		if (&s->ends[s->worst[i]] != end_at(s, s->column[node], rail))
			continue;
		text_addf(out, "<path class=\"hit\" d=\"M%.1f 0v%d\"><title>",
			  x_of(s, s->column[node]), s->height);
		text_add_xml(out, s->in->fleet->nodes[s->p->nodes[node]].name);
		quantity_text(s->ends[s->worst[i]].median, s->p->any->unit, text, sizeof(text));
		text_add(out, ": median ");
		text_add_xml(out, text);
		text_add(out, "</title></path>\n");
	}
}

static void put_strip(const struct strip *s, int rail, struct text *out)
{
	text_addf(out, "<svg role=\"img\" viewBox=\"0 0 %d %d\">\n", WIDTH, s->height + FOOT);
	put_frame(s, out);
	put_units(s, out);
	if (s->with_dots) {
		put_dots(s, rail, 0, out);
		put_dots(s, rail, 1, out);
	} else {
		put_columns(s, rail, 1, out);
		put_columns(s, rail, 0, out);
		put_blamed(s, rail, out);
	}
	put_missing(s, rail, out);
	put_hits(s, rail, out);
	text_add(out, "</svg>\n");
}

/* ---- the worst by name ---- */

static void put_cell(const char *text, struct text *out)
{
	text_add(out, "<td class=\"n\">");
	text_add_xml(out, text);
	text_add(out, "</td>");
}

static void put_worst_row(const struct strip *s, int end, struct text *out)
{
	const struct pair_end *e = &s->ends[end];
	int nic = s->p->nics[end % s->p->nic_count];
	char text[120];

	text_add(out, "<tr><td>");
	text_add_xml(out, s->in->fleet->nodes[s->p->nodes[end / s->p->nic_count]].name);
	if (nic >= 0)
		text_addf(out, " nic%d", nic);
	text_add(out, "</td>");
	quantity_text(e->median, s->p->any->unit, text, sizeof(text));
	put_cell(text, out);
	snprintf(text, sizeof(text), "%d of %d", e->out_bad, e->out);
	put_cell(text, out);
	snprintf(text, sizeof(text), "%d of %d", e->in_bad, e->in);
	put_cell(text, out);
	snprintf(text, sizeof(text), "%d", e->holes);
	put_cell(text, out);
	text_add(out, "</tr>\n");
}

/* Ends with figures, the worst first; at most WORST_MOST. */
static int find_worst(const struct strip *s, int *worst)
{
	int count = s->p->node_count * s->p->nic_count, n = 0;
	struct ranked *ranked = xcalloc((size_t)count + 1, sizeof(*ranked));

	for (int e = 0; e < count; e++)
		if (!isnan(s->ends[e].median))
			ranked[n++] = (struct ranked){ 0, e, rank_of(s->p, s->ends[e].median) };
	qsort(ranked, (size_t)n, sizeof(*ranked), by_rank);
	n = n < WORST_MOST ? n : WORST_MOST;
	for (int i = 0; i < n; i++)
		worst[i] = ranked[i].node;
	free(ranked);
	return n;
}

static void put_worst(const struct strip *s, struct text *out)
{
	text_addf(out,
		  "<table class=\"worst\"><thead><tr><th>The %s %d</th><th class=\"n\">Median</th>"
		  "<th class=\"n\">Bad to</th><th class=\"n\">Bad from</th>"
		  "<th class=\"n\">Not measured</th></tr></thead><tbody>\n",
		  s->p->less_is_better ? "highest" : "lowest", s->worst_count);
	for (int i = 0; i < s->worst_count; i++)
		put_worst_row(s, s->worst[i], out);
	text_add(out, "</tbody></table>\n");
}

void pairs_strip(const struct report_input *in, const struct pairs *p, struct text *out)
{
	struct strip s = { .in = in, .p = p, .ends = pairs_ends(p, NULL) };

	s.height = p->rail_count > 1 ? ONE_OF_MANY : ALONE;
	s.with_dots = p->count <= DOTS_MOST;
	put_in_order(&s);
	s.worst_count = find_worst(&s, s.worst);
	text_addf(out, "<p class=\"why\">Nodes side by side%s, from the %s median on; %s%s.</p>\n",
		  in->spec->units.count ? " within their units" : "",
		  p->less_is_better ? "highest" : "lowest",
		  s.with_dots
			  ? "each figure stands at both of its nodes, and a cross breaks the "
			    "limit or is too close to tell"
			  : "medians of what each reached, pale as far as its worst figure, and a "
			    "cross is bad with all partners",
		  p->any->limit_text && !pairs_shows_limit(p)
			  ? "; the limit is too far away to be drawn"
			  : "");
	for (int r = 0; r < p->rail_count; r++) {
		text_add(out, "<figure>\n");
		pairs_rail_caption(p, r, out);
		put_strip(&s, r, out);
		text_add(out, "</figure>\n");
	}
	put_worst(&s, out);
	free(s.column);
	free(s.order);
	free(s.ends);
}
