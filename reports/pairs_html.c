/*
 * pairs_html.c - figures of pairs of nodes inside the HTML: sentences, counts and a picture each.
 */
#include "reports/pairs.h"

#include "harness/pairing.h"

#include <math.h>
#include <string.h>

/* Cells with a text of their own, and cells of figures that nobody judges, on one page. */
enum { TEXTS_MOST = 16000, RECORDED_MOST = 100000 };

const char pairs_style[] =
	".pairs h3{font-size:1rem;margin:1.4rem 0 .2rem}.pairs ul{margin:.2rem "
	"0;padding-left:1.2rem}"
	".pairs p{margin:.2rem 0}.maps{display:grid;grid-template-columns:repeat(auto-fill,"
	"minmax(16.5rem,1fr));gap:.8rem 1rem}.pairs figure{margin:.3rem 0;break-inside:avoid}"
	".pairs figcaption{font-size:.9rem}.pairs svg{display:block;width:100%;height:auto}"
	".pairs svg text{font:10px system-ui,sans-serif;fill:#57606a}"
	".pairs svg.key{display:inline-block;width:auto;max-width:100%;margin-right:1.5rem;"
	"vertical-align:middle}"
	".pairs svg text.b{fill:#a3201d;font-weight:bold}.pairs svg .v text{fill:#1b1f24;"
	"text-anchor:middle;pointer-events:none}.pairs svg .v text.f{font-weight:bold}"
	".pairs .c0{stroke:#f7fbff}.pairs .c1{stroke:#e6f0f9}.pairs .c2{stroke:#d5e5f4}"
	".pairs .c3{stroke:#c4dbef}.pairs .c4{stroke:#b0cfe8}.pairs .c5{stroke:#9ac3e0}"
	".pairs .c6{stroke:#83b5d8}.pairs .c7{stroke:#6da7cf}.pairs .c8{stroke:#5699c6}"
	".pairs .m,.pairs .u{fill:none;pointer-events:none;stroke:#8b1512}"
	".pairs .u{stroke:#6b4600}"
	".pairs .dot{fill:none;stroke:#3f7fb0;stroke-width:2.4;stroke-linecap:round;opacity:.55}"
	".pairs .cross{fill:none;stroke:#8b1512;stroke-width:1.3}"
	".pairs .median{fill:none;stroke:#3f7fb0;stroke-width:1.4}"
	".pairs .far{fill:none;stroke:#9ac3e0;stroke-width:1}"
	".pairs .hole{fill:none;stroke:#8a5a00;stroke-width:1.4}.pairs "
	"table.worst{width:auto;font-size:.85rem}"
	".pairs table.worst td{padding:0 .6rem}.pairs "
	".hit{stroke:#000;stroke-opacity:0;stroke-width:7}";

/* ---- what maps and strips share ---- */

/* One that is far from all values would leave no colours to tell them apart by. */
int pairs_shows_limit(const struct pairs *p)
{
	return p->any->limit_text && p->any->limit >= p->low / 2 && p->any->limit <= p->high * 2;
}

void pairs_range(const struct pairs *p, double *low, double *high)
{
	*low = p->low;
	*high = p->high;
	if (!pairs_shows_limit(p))
		return;
	*low = fmin(*low, p->any->limit);
	*high = fmax(*high, p->any->limit);
}

double pairs_scale(const struct pairs *p, double value)
{
	double low, high;

	pairs_range(p, &low, &high);
	return high > low ? (value - low) / (high - low) : 1;
}

void pairs_rail_caption(const struct pairs *p, int rail, struct text *out)
{
	int fails = 0, holes = 0;

	if (p->rails[rail] < 0)
		return;
	for (int i = 0; i < p->count; i++) {
		fails += p->items[i].rail == rail && p->items[i].f->verdict == VERDICT_FAIL;
		holes += p->items[i].rail == rail && pair_is_hole(p->items[i].f);
	}
	text_addf(out, "<figcaption>rail %d", p->rails[rail]);
	if (fails)
		text_addf(out, " <span class=\"fail\">%d fail</span>", fails);
	if (holes)
		text_addf(out, " <span class=\"not-measured\">%d not measured</span>", holes);
	text_add(out, "</figcaption>\n");
}

/* ---- the section ---- */

/* With limits that differ none of them is wanted of all figures. */
static void put_limit(const struct pairs *p, struct text *out)
{
	char limit[300];

	report_limit(p->any, limit, sizeof(limit));
	if (!*limit) {
		text_add(out, p->any->recorded ? ", not judged" : ", without limit");
		return;
	}
	text_add(out, p->limits_differ ? "; not all have the same limit, one is " : ", wanted ");
	text_add_xml(out, limit);
}

static void put_counts(const struct pairs *p, struct text *out)
{
	static const enum verdict order[] = { VERDICT_FAIL, VERDICT_INCONCLUSIVE,
					      VERDICT_NOT_MEASURED, VERDICT_WAIVED, VERDICT_PASS };

	text_addf(out, "<p class=\"why\">%d figures of %d nodes", p->count, p->node_count);
	if (*p->any->unit) {
		text_add(out, " in ");
		text_add_xml(out, p->any->unit);
	}
	put_limit(p, out);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (p->of[order[i]] && !p->any->recorded)
			text_addf(out, "; %d %s", p->of[order[i]], verdict_name(order[i]));
	text_add(out, "</p>\n");
}

static void put_sentences(const struct report_input *in, const struct pairs *p, struct text *out)
{
	int n;
	char **said = pairs_say(in, p, &n);

	text_add(out, n ? "<ul>\n" : "");
	for (int i = 0; i < n; i++) {
		text_add(out, "<li>");
		text_add_xml(out, said[i]);
		text_add(out, "</li>\n");
	}
	text_add(out, n ? "</ul>\n" : "");
	pairs_sentences_free(said, n);
}

/* What is the same everywhere needs no picture, and what nobody judges none of many megabytes. */
static const char *why_no_picture(const struct pairs *p)
{
	if (!p->values)
		return "Nothing was measured.";
	if (p->values == p->count && !(p->low < p->high) && !p->of[VERDICT_FAIL])
		return "All of them are the same.";
	if (p->any->recorded && p->count > RECORDED_MOST)
		return "They are too many for a picture; CSV and JSON have them.";
	return NULL;
}

static void put_pairs(struct pairs_sheet *s, const struct pairs_list *l, const struct pairs *p)
{
	const char *no_picture = why_no_picture(p);
	char *title = pairs_title(l, p);
	struct text *out = s->out;

	text_add(out, p->any->recorded ? "<details><summary>" : "<h3>");
	text_add_xml(out, title);
	text_add(out, p->any->recorded ? "</summary>\n" : "</h3>\n");
	put_counts(p, out);
	put_sentences(s->in, p, out);
	if (no_picture)
		text_addf(out, "<p class=\"why\">%s</p>\n", no_picture);
	else if (p->node_count <= PAIRING_ALL_MOST)
		pairs_maps(s, p);
	else
		pairs_strip(s->in, p, out);
	text_add(out, p->any->recorded ? "</details>\n" : "");
	free(title);
}

/* Patterns are shared by all maps of the page; an image that is not there cannot be hidden. */
static const char hatches[] =
	"<svg width=\"0\" height=\"0\" style=\"position:absolute\"><defs>"
	"<pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
	"patternTransform=\"rotate(45)\"><path fill=\"#fff\" d=\"M0 0h5v5h-5z\"/>"
	"<path fill=\"#8a5a00\" d=\"M0 0h1.6v5h-1.6z\"/></pattern>"
	"<pattern id=\"hatch-fine\" width=\"2\" height=\"2\" patternUnits=\"userSpaceOnUse\" "
	"patternTransform=\"rotate(45)\"><path fill=\"#fff\" d=\"M0 0h2v2h-2z\"/>"
	"<path fill=\"#8a5a00\" d=\"M0 0h1v2h-1z\"/></pattern></defs></svg>\n";

void report_pairs_html(const struct report_input *in, const struct pairs_list *l, struct text *out)
{
	struct pairs_sheet s = { in, out, 0, TEXTS_MOST };
	long cells = 0;
	int any = 0;

	for (int i = 0; i < l->count; i++)
		if (pairs_are_many(&l->items[i]) && !why_no_picture(&l->items[i]))
			cells += l->items[i].count;
	s.all_texts = cells <= TEXTS_MOST;
	for (int i = 0; i < l->count; i++) {
		if (!pairs_are_many(&l->items[i]))
			continue;
		if (!any++)
			text_addf(out, "<h2>Between nodes</h2>\n<div class=\"pairs\">\n%s%s",
				  hatches,
				  l->items[i].node_count > PAIRING_ALL_MOST
					  ? ""
					  : "<p class=\"why\">From row to column. A bad node is a "
					    "row and a column, a bad rail a whole map.</p>\n");
		put_pairs(&s, l, &l->items[i]);
	}
	text_add(out, any ? "</div>\n" : "");
}
