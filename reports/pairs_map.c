/*
 * pairs_map.c - figures of pairs of nodes as maps: from row to column, a map a rail.
 *
 * A bad node is then a cross, a bad leaf a block, a bad rail a map of its own. 128 nodes with 8
 * rails are 130 000 cells a metric, so cells of a row and colour are one path where there are many,
 * and only those have a text of their own that somebody will point at. What has no value has no
 * colour: a hole is hatched, a pair that was never to meet is bare ground.
 */
#include "reports/pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHADES = 9, SINGLE_VALUES = 16, RAIL_VALUES = 8, LABEL_GAP = 11, NAME_MOST = 10 };

struct map {
	const struct pairs *p;
	int n, rail;
	const struct finding **cells; /* [from * n + to], NULL where nobody met */
	char *row_bad, *column_bad;   /* nodes that send or get badly whomever they meet */
	double left, top, cw, ch;
	int with_values;    /* as numbers in the cells */
	int prefix, suffix; /* how much long names have in common, which is left out */
};

/* ---- scale ---- */

static int shade_of(const struct pairs *p, const struct finding *f)
{
	int shade = (int)(SHADES * pairs_scale(p, f->value));

	return shade < 0 ? 0 : shade >= SHADES ? SHADES - 1 : shade;
}

static void cell_text(double value, char *out, size_t room)
{
	double size = fabs(value);

	if (size >= 1e5 || (size > 0 && size < 0.005))
		snprintf(out, room, "%.0e", value);
	else
		snprintf(out, room, "%.*f",
			 size >= 100 || size == 0 ? 0
			 : size >= 10             ? 1
						  : 2,
			 value);
}

static void put_scale(const struct pairs *p, struct text *out)
{
	enum { BAR = 90, CELL = 16, ROOM = 330 };
	double low, high;
	char a[60], b[60];

	pairs_range(p, &low, &high);
	quantity_text(low, p->any->unit, a, sizeof(a));
	quantity_text(high, p->any->unit, b, sizeof(b));
	text_addf(out,
		  "<svg class=\"key\" width=\"%d\" height=\"26\" viewBox=\"0 0 %d 26\">"
		  "<text x=\"%d\" y=\"22\" text-anchor=\"end\">",
		  ROOM, ROOM, BAR - 5);
	text_add_xml(out, a);
	text_add(out, "</text>");
	for (int i = 0; i < SHADES; i++)
		text_addf(out, "<path class=\"c%d\" stroke-width=\"12\" d=\"M%d 18h%d\"/>", i,
			  BAR + i * CELL, CELL);
	text_addf(out,
		  "<path fill=\"none\" stroke=\"#9aa4ad\" d=\"M%d 12h%dv12h-%dz\"/><text "
		  "x=\"%d\" y=\"22\">",
		  BAR, SHADES * CELL, SHADES * CELL, BAR + SHADES * CELL + 5);
	text_add_xml(out, b);
	text_add(out, "</text>");
	if (pairs_shows_limit(p)) {
		double x = BAR + SHADES * CELL * pairs_scale(p, p->any->limit);

		text_addf(out,
			  "<path stroke=\"#1b1f24\" stroke-width=\"2\" d=\"M%.4g 10v15\"/><text "
			  "x=\"%.4g\" y=\"8\" text-anchor=\"middle\">limit</text>",
			  x, x);
	}
	text_add(out, "</svg>");
}

static void put_key(const struct pairs *p, int with_values, struct text *out)
{
	put_scale(p, out);
	text_add(out, "<svg class=\"key\" width=\"400\" height=\"18\" viewBox=\"0 0 400 18\">");
	text_add(out, "<path class=\"c1\" stroke-width=\"14\" d=\"M2 9h14\"/>");
	text_add(out, with_values ? "<path class=\"m\" stroke-width=\"2\" d=\"M2 2h14v14h-14z\"/>"
				  : "<path class=\"m\" stroke-width=\"8\" d=\"M5 9h8\"/>");
	text_add(out, "<text x=\"21\" y=\"13\">breaks the limit</text>"
		      "<path class=\"c1\" stroke-width=\"14\" d=\"M106 9h14\"/>");
	text_add(out, with_values ? "<path class=\"u\" stroke-width=\"2\" "
				    "stroke-dasharray=\"3 2\" d=\"M106 2h14v14h-14z\"/>"
				  : "<path class=\"u\" stroke-width=\"3\" d=\"M109 9h8\"/>");
	text_add(out, "<text x=\"125\" y=\"13\">too close to tell</text>"
		      "<path fill=\"url(#hatch)\" d=\"M210 2h14v14h-14z\"/>"
		      "<text x=\"229\" y=\"13\">not measured</text>"
		      "<path fill=\"#ece8e1\" d=\"M303 2h14v14h-14z\"/>"
		      "<text x=\"322\" y=\"13\">not planned</text></svg>\n");
}

/* ---- one map ---- */

/* Of two figures of one cell the worse one shows. */
static void put_into(const struct finding **cell, const struct finding *f)
{
	if (!*cell || pair_is_bad(f) || (pair_is_hole(f) && !pair_is_bad(*cell)))
		*cell = f;
}

static void fill_map(struct map *m, const struct pair_end *ends)
{
	const struct pairs *p = m->p;

	m->n = p->node_count;
	m->cells = xcalloc((size_t)m->n * (size_t)m->n, sizeof(*m->cells));
	m->row_bad = xcalloc((size_t)m->n + 1, 1);
	m->column_bad = xcalloc((size_t)m->n + 1, 1);
	for (int i = 0; i < p->count; i++) {
		const struct pair_figure *x = &p->items[i];
		int from = pair_from_end(p, x), to = pair_to_end(p, x);

		if (x->rail != m->rail)
			continue;
		put_into(&m->cells[x->from * m->n + x->to], x->f);
		m->row_bad[x->from] |= (ends[from].blame & PAIR_SENDS_BADLY) != 0;
		m->column_bad[x->to] |= (ends[to].blame & PAIR_GETS_BADLY) != 0;
	}
}

static const char *name_of(const struct report_input *in, const struct map *m, int node)
{
	return in->fleet->nodes[m->p->nodes[node]].name;
}

static int same_start(const char *a, const char *b, int most)
{
	int n = 0;

	while (n < most && a[n] && a[n] == b[n])
		n++;
	return n;
}

static int same_end(const char *a, const char *b, int most)
{
	int la = (int)strlen(a), lb = (int)strlen(b), n = 0;

	while (n < most && n < la && n < lb && a[la - 1 - n] == b[lb - 1 - n])
		n++;
	return n;
}

/* Numbers are not cut in two, nor are characters of several bytes. */
static int is_inside(char c)
{
	return (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

/* Of long names only what tells nodes apart: "rack12-gpu003.site" is "003" where all are alike. */
static void shorten_names(const struct report_input *in, struct map *m)
{
	const char *first = name_of(in, m, 0);
	int len = (int)strlen(first), longest = 0, shortest = len;

	m->prefix = m->suffix = len;
	for (int i = 0; i < m->n; i++) {
		const char *name = name_of(in, m, i);

		m->prefix = same_start(first, name, m->prefix);
		m->suffix = same_end(first, name, m->suffix);
		longest = (int)strlen(name) > longest ? (int)strlen(name) : longest;
		shortest = (int)strlen(name) < shortest ? (int)strlen(name) : shortest;
	}
	while (m->prefix && is_inside(first[m->prefix - 1]))
		m->prefix--;
	while (m->suffix && is_inside(first[len - m->suffix]))
		m->suffix--;
	if (longest <= NAME_MOST || m->prefix + m->suffix >= shortest)
		m->prefix = m->suffix = 0;
}

static int shown_length(const struct report_input *in, const struct map *m, int node)
{
	int len = (int)strlen(name_of(in, m, node)) - m->prefix - m->suffix;

	return len > NAME_MOST ? NAME_MOST : len;
}

static void put_name(const struct report_input *in, const struct map *m, int node, struct text *out)
{
	const char *name = name_of(in, m, node), *end = name + strlen(name) - m->suffix;
	const char *start = end - shown_length(in, m, node);
	char *shown;

	while (start > name && start < end && (*start & 0xc0) == 0x80)
		start++;
	shown = xstrndup(start, (size_t)(end - start));
	text_add_xml(out, shown);
	free(shown);
}

static int longest_name(const struct report_input *in, const struct map *m)
{
	int most = 0;

	for (int i = 0; i < m->n; i++)
		most = shown_length(in, m, i) > most ? shown_length(in, m, i) : most;
	return most;
}

static void measure_map(const struct report_input *in, struct map *m, int is_rail)
{
	shorten_names(in, m);
	m->with_values = m->n <= (is_rail ? RAIL_VALUES : SINGLE_VALUES);
	m->left = 8 + 6.2 * longest_name(in, m);
	m->top = m->left;
	if (is_rail) {
		m->cw = fmin((272 - m->left - 4) / m->n, m->with_values ? 40 : 20);
		m->ch = m->with_values ? 18 : m->cw;
	} else {
		m->cw = m->with_values ? 46 : fmin(fmax(900.0 / m->n, 6.5), 20);
		m->ch = m->with_values ? 22 : m->cw;
	}
	if (m->cw > 6.2 * longest_name(in, m) + 2)
		m->top = 16; /* names of columns lie flat */
}

static int has_near(const char *shown, int n, int at, int reach)
{
	for (int i = at - reach; i <= at + reach; i++)
		if (i >= 0 && i < n && shown[i])
			return 1;
	return 0;
}

/* Names thin out where they would touch; those of bad nodes go first. */
static char *shown_names(const struct map *m, const char *bad, double pitch)
{
	char *shown = xcalloc((size_t)m->n + 1, 1);
	int reach = (int)ceil(LABEL_GAP / pitch) - 1, step = 1;

	while (step <= reach)
		step *= 2;
	for (int i = 0; i < m->n; i++)
		if (bad[i] && !has_near(shown, m->n, i, reach))
			shown[i] = 1;
	for (int i = 0; i < m->n; i += step)
		if (!has_near(shown, m->n, i, reach))
			shown[i] = 1;
	return shown;
}

static void put_names(const struct report_input *in, const struct map *m, struct text *out)
{
	char *rows = shown_names(m, m->row_bad, m->ch);
	char *columns = shown_names(m, m->column_bad, m->top < m->left ? LABEL_GAP : m->cw);

	for (int i = 0; i < m->n; i++) {
		double x = m->left + (i + 0.5) * m->cw, y = m->top + (i + 0.5) * m->ch + 3.5;

		if (rows[i]) {
			text_addf(out, "<text%s text-anchor=\"end\" x=\"%.1f\" y=\"%.1f\">",
				  m->row_bad[i] ? " class=\"b\"" : "", m->left - 4, y);
			put_name(in, m, i, out);
			text_add(out, "</text>");
		}
		if (!columns[i])
			continue;
		if (m->top < m->left)
			text_addf(out, "<text%s text-anchor=\"middle\" x=\"%.1f\" y=\"11\">",
				  m->column_bad[i] ? " class=\"b\"" : "", x);
		else
			text_addf(out, "<text%s transform=\"translate(%.1f %.1f) rotate(-90)\">",
				  m->column_bad[i] ? " class=\"b\"" : "", x + 3.5, m->top - 4);
		put_name(in, m, i, out);
		text_add(out, "</text>");
	}
	text_add(out, "\n");
	free(columns);
	free(rows);
}

static const struct finding *cell_at(const struct map *m, int r, int c)
{
	return m->cells[r * m->n + c];
}

/* What is shown when somebody points at a cell. A lost step's finding names but one of the two. */
static void put_title(const struct report_input *in, const struct map *m, int r, int c,
		      struct text *out)
{
	const struct finding *f = cell_at(m, r, c);
	char *two = xasprintf("%s to %s", name_of(in, m, r), name_of(in, m, c));
	char value[300], limit[300];

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	text_add(out, "<title>");
	text_add_xml(out, strpbrk(f->subject, "<>") ? f->subject : two);
	text_add(out, ": ");
	text_add_xml(out, f->samples ? value : "not measured");
	text_add(out, *limit ? ", wanted " : "");
	text_add_xml(out, limit);
	if (!f->recorded && f->samples)
		text_addf(out, ", %s", verdict_name(f->verdict));
	text_add(out, *f->why ? ": " : "");
	text_add_xml(out, f->why);
	text_add(out, "</title>");
	free(two);
}

static int wants_text(struct pairs_sheet *s, const struct finding *f)
{
	if (s->all_texts)
		return 1;
	if (pair_has_value(f) && !pair_is_bad(f))
		return 0;
	return s->texts_left-- > 0;
}

static int shade_at(const struct map *m, int r, int c)
{
	const struct finding *f = cell_at(m, r, c);

	return f && pair_has_value(f) ? shade_of(m->p, f) : -1;
}

/* All cells of one row and shade as one path, runs of neighbours as one stroke. */
static void put_shade(const struct map *m, int r, int shade, struct text *out)
{
	int any = 0, at = 0;

	for (int c = 0, n; c < m->n; c += n) {
		for (n = 1;
		     c + n < m->n && shade_at(m, r, c) == shade && shade_at(m, r, c + n) == shade;)
			n++;
		if (shade_at(m, r, c) != shade)
			continue;
		if (!any++)
			text_addf(out, "<path class=\"c%d\" d=\"M%d %d.5h%d", shade, c, r, n);
		else
			text_addf(out, "m%d 0h%d", c - at, n);
		at = c + n;
	}
	text_add(out, any ? "\"/>" : "");
}

static void put_row_title(const struct report_input *in, const struct map *m, int r,
			  struct text *out)
{
	double low = NAN, high = NAN;
	int values = 0, fails = 0;
	char a[60], b[60];

	for (int c = 0; c < m->n; c++) {
		const struct finding *f = cell_at(m, r, c);

		if (!f || !pair_has_value(f))
			continue;
		values++;
		fails += f->verdict == VERDICT_FAIL;
		low = fmin(low, f->value);
		high = fmax(high, f->value);
	}
	quantity_text(low, m->p->any->unit, a, sizeof(a));
	quantity_text(high, m->p->any->unit, b, sizeof(b));
	text_add(out, "<title>from ");
	text_add_xml(out, name_of(in, m, r));
	text_addf(out, " to %d others: ", values);
	text_add_xml(out, a);
	text_add(out, " to ");
	text_add_xml(out, b);
	text_addf(out, ", %d fail</title>", fails);
}

static void put_row(struct pairs_sheet *s, const struct map *m, int r)
{
	struct text *out = s->out;

	if (!s->all_texts) {
		text_add(out, "<g>");
		put_row_title(s->in, m, r, out);
		for (int shade = 0; shade < SHADES; shade++)
			put_shade(m, r, shade, out);
	}
	for (int c = 0; c < m->n; c++) {
		int shade = shade_at(m, r, c);

		if (shade < 0 || !wants_text(s, cell_at(m, r, c)))
			continue;
		text_addf(out, "<path class=\"c%d\" d=\"M%d %d.5h1\">", shade, c, r);
		put_title(s->in, m, r, c, out);
		text_add(out, "</path>");
	}
	text_add(out, s->all_texts ? "\n" : "</g>\n");
}

/* Hatched in the page's own measure, so that the pattern is the same in every map. */
static void put_holes(struct pairs_sheet *s, const struct map *m)
{
	const char *fill = m->ch < 6 ? "hatch-fine" : "hatch";

	for (int r = 0; r < m->n; r++)
		for (int c = 0; c < m->n; c++) {
			const struct finding *f = cell_at(m, r, c);

			if (!f || !pair_is_hole(f))
				continue;
			text_addf(s->out,
				  "<path fill=\"url(#%s)\" d=\"M%.5g %.5gh%.4gv%.4gh-%.4gz\"", fill,
				  m->left + c * m->cw, m->top + r * m->ch, m->cw, m->ch, m->cw);
			if (wants_text(s, f)) {
				text_add(s->out, ">");
				put_title(s->in, m, r, c, s->out);
				text_add(s->out, "</path>\n");
			} else {
				text_add(s->out, "/>");
			}
		}
}

/* A mark in each cell of one verdict, for eyes and printers without colour. */
static void put_marks(const struct map *m, enum verdict v, const char *class, const char *width,
		      struct text *out)
{
	int any = 0;

	for (int r = 0; r < m->n; r++) {
		int at = -1;

		for (int c = 0; c < m->n; c++) {
			const struct finding *f = cell_at(m, r, c);

			if (!f || f->verdict != v || !pair_has_value(f))
				continue;
			if (!any++)
				text_addf(out, "<path class=\"%s\" stroke-width=\"%s\" d=\"", class,
					  width);
			if (at == c)
				text_add(out, "m.4 0h.6");
			else
				text_addf(out, "M%d.2 %d.5h.6", c, r);
			at = c + 1;
		}
	}
	text_add(out, any ? "\"/>\n" : "");
}

static void put_value(const struct map *m, int r, int c, struct text *out)
{
	const struct finding *f = cell_at(m, r, c);
	double x = m->left + c * m->cw, y = m->top + r * m->ch;
	char value[40];

	if (!f || !pair_has_value(f))
		return;
	cell_text(f->value, value, sizeof(value));
	if (pair_is_bad(f))
		text_addf(out,
			  "<path class=\"%s\" stroke-width=\"2\"%s d=\"M%.5g "
			  "%.5gh%.4gv%.4gh-%.4gz\"/>",
			  f->verdict == VERDICT_FAIL ? "m" : "u",
			  f->verdict == VERDICT_FAIL ? "" : " stroke-dasharray=\"3 2\"", x + 1.5,
			  y + 1.5, m->cw - 3, m->ch - 3, m->cw - 3);
	text_addf(out, "<text%s x=\"%.5g\" y=\"%.5g\">%s</text>",
		  f->verdict == VERDICT_FAIL ? " class=\"f\"" : "", x + m->cw / 2,
		  y + m->ch / 2 + 3.5, value);
}

static void put_values(const struct map *m, struct text *out)
{
	text_add(out, "<g class=\"v\">");
	for (int r = 0; r < m->n; r++)
		for (int c = 0; c < m->n; c++)
			put_value(m, r, c, out);
	text_add(out, "</g>\n");
}

/* White lines between cells that are large enough for it. */
static void put_grid(const struct map *m, struct text *out)
{
	double w = m->n * m->cw, h = m->n * m->ch;

	if (m->ch < 6)
		return;
	text_add(out, "<path fill=\"none\" stroke=\"#fff\" pointer-events=\"none\" d=\"");
	for (int i = 1; i < m->n; i++)
		text_addf(out, "M%.5g %.5gh%.5gM%.5g %.5gv%.5g", m->left, m->top + i * m->ch, w,
			  m->left + i * m->cw, m->top, h);
	text_add(out, "\"/>\n");
}

static void put_map(struct pairs_sheet *s, const struct map *m)
{
	double w = m->left + m->n * m->cw + 4, h = m->top + m->n * m->ch + 4;
	struct text *out = s->out;

	text_addf(out,
		  "<svg role=\"img\" viewBox=\"0 0 %.5g %.5g\" style=\"max-width:%.0fpx\">\n"
		  "<path fill=\"#ece8e1\" d=\"M%.5g %.5gh%.5gv%.5gh-%.5gz\"/>\n",
		  w, h, w, m->left, m->top, m->n * m->cw, m->n * m->ch, m->n * m->cw);
	put_names(s->in, m, out);
	text_addf(out,
		  "<g shape-rendering=\"crispEdges\" "
		  "transform=\"translate(%.5g %.5g) scale(%.5g %.5g)\">\n",
		  m->left, m->top, m->cw, m->ch);
	for (int r = 0; r < m->n; r++)
		put_row(s, m, r);
	if (!m->with_values) {
		put_marks(m, VERDICT_FAIL, "m", ".6", out);
		put_marks(m, VERDICT_INCONCLUSIVE, "u", ".2", out);
	}
	text_add(out, "</g>\n");
	put_holes(s, m);
	put_grid(m, out);
	if (m->with_values)
		put_values(m, out);
	text_add(out, "</svg>\n");
}

void pairs_maps(struct pairs_sheet *s, const struct pairs *p)
{
	struct pair_end *ends = pairs_ends(p, NULL);
	int is_rail = p->rails[0] >= 0 || p->rail_count > 1;

	for (int r = 0; r < p->rail_count; r++) {
		struct map m = { .p = p, .rail = r };

		fill_map(&m, ends);
		measure_map(s->in, &m, is_rail);
		if (!r) {
			put_key(p, m.with_values, s->out);
			text_add(s->out, is_rail ? "<div class=\"maps\">\n" : "");
		}
		text_add(s->out, "<figure>\n");
		pairs_rail_caption(p, r, s->out);
		put_map(s, &m);
		text_add(s->out, "</figure>\n");
		free(m.column_bad);
		free(m.row_bad);
		free(m.cells);
	}
	text_add(s->out, is_rail ? "</div>\n" : "");
	free(ends);
}
