/*
 * html.c - one plain page without script, font or image from elsewhere.
 *
 * Text goes through text_add_xml, the style sheet is fixed: nothing a node says can become markup.
 */
#include "harness/nodes.h"
#include "reports/matrix.h"
#include "reports/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
	"body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem;"
	"color:#1b1f24;background:#fff}"
	"h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}"
	".verdict{padding:1rem 1.2rem;border-radius:6px;color:#fff}"
	".verdict b{font-size:2rem;display:block;letter-spacing:.03em}"
	".accepted{background:#1a6b36}.rejected{background:#a3201d}.incomplete{background:#8a5a00}"
	".simulated{background:#5b2a86;color:#fff;padding:.6rem 1.2rem;font-weight:bold}"
	"table{border-collapse:collapse;width:100%;margin:.3rem 0}"
	"th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid "
	"#dde2e7;vertical-align:top}"
	"td{overflow-wrap:break-word}th{font-weight:600;color:#57606a;font-size:.85rem;white-space:"
	"nowrap}"
	"td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td.v{"
	"white-space:nowrap}"
	"tr.check th{color:#1b1f24;font-size:1rem;padding-top:1.2rem;border-bottom:2px solid "
	"#1b1f24}"
	".pass{color:#1a6b36}.fail{color:#a3201d;font-weight:bold}.inconclusive,.not-measured{"
	"color:#8a5a00;"
	"font-weight:bold}.not-applicable,.recorded,.waived{color:#57606a}"
	".why{color:#57606a;font-size:.9rem}code{background:#f2f4f6;padding:.1rem "
	".3rem;border-radius:3px}"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem "
	"1rem}dt{color:#57606a}dd{margin:0}"
	"table.matrix{width:auto}table.matrix "
	"td{text-align:right;font-variant-numeric:tabular-nums;"
	"min-width:4.2rem;border:1px solid #fff}table.matrix td.bad{outline:3px solid #a3201d;"
	"outline-offset:-3px;font-weight:bold}table.matrix td.none{color:#8a5a00;font-weight:bold}"
	"table.matrix caption{text-align:left;padding:.6rem 0 .2rem}"
	"svg.chart{width:100%;background:#f7f9fb}"
	"@media(max-width:74rem){th,td{padding:.25rem .3rem}td.n{white-space:normal}}"
	"summary{cursor:pointer}@media print{body{margin:0;max-width:none}details{display:block}}";

static void put(struct text *out, const char *before, const char *text, const char *after)
{
	text_add(out, before);
	text_add_xml(out, text ? text : "");
	text_add(out, after);
}

static void pair(struct text *out, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	put(out, "<dt>", name, "</dt>");
	put(out, "<dd>", value, "</dd>\n");
}

/* Of several nodes, which passed, failed, were lost: a row for each that there are. */
static void put_nodes(const struct report_input *in, struct text *out)
{
	struct node_outcome *of;

	if (in->fleet->count < 2)
		return;
	of = node_outcomes(in->fleet, in->plan, in->results, in->judgement);
	for (int c = 0; c < NODE_CLASS_COUNT; c++) {
		int count;
		char *list = node_list(in->fleet, of, (enum node_class)c, &count), text[60];
		char *value = xasprintf("%d: %s", count, list);

		snprintf(text, sizeof(text), "Nodes %s", node_class_past((enum node_class)c));
		pair(out, text, count ? value : "");
		free(value);
		free(list);
	}
	free(of);
}

static void put_head(const struct report_input *in, struct text *out)
{
	put(out,
	    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	    "<meta name=\"viewport\" content=\"width=device-width\"><title>assay: ",
	    in->spec->name, "");
	text_addf(out, " %s</title>\n<style>%s%s</style></head><body>\n", in->judgement->verdict,
		  style, pairs_style);
	if (report_is_simulated(in))
		text_add(out, "<p class=\"simulated\">SIMULATED: these figures come from no "
			      "hardware and accept "
			      "nothing.</p>\n");
	text_addf(out, "<div class=\"verdict %s\"><b>%s</b>", in->judgement->verdict,
		  in->judgement->verdict);
	put(out, "", report_meaning(in), "</div>\n");
}

static void put_facts(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	char text[200];

	text_add(out, "<dl>\n");
	pair(out, "Spec", in->spec->name);
	pair(out, "Calibration", in->spec->calibration);
	pair(out, "Profile", in->profile->name);
	pair(out, "Only", report_head(in, "only"));
	pair(out, "Site", in->spec->site.name);
	pair(out, "Contract", in->spec->site.contract);
	pair(out, "Vendor", in->spec->site.vendor);
	pair(out, "Customer", in->spec->site.customer);
	clock_text(in->results->started, text);
	pair(out, "Started", text);
	seconds_text(in->results->ended - in->results->started, text, sizeof(text));
	pair(out, "Took", text);
	snprintf(text, sizeof(text), "%d", in->fleet->count);
	pair(out, "Nodes", text);
	put_nodes(in, out);
	snprintf(text, sizeof(text),
		 "%d pass, %d fail, %d inconclusive, %d not measured, %d not applicable, "
		 "%d waived",
		 j->of[VERDICT_PASS], j->of[VERDICT_FAIL], j->of[VERDICT_INCONCLUSIVE],
		 j->of[VERDICT_NOT_MEASURED], j->of[VERDICT_NOT_APPLICABLE], j->of[VERDICT_WAIVED]);
	pair(out, "Findings", text);
	report_bound(in, text, sizeof(text));
	pair(out, "Proves", text);
	snprintf(text, sizeof(text), "assay %s (%s)", report_head(in, "version"),
		 report_head(in, "commit"));
	pair(out, "Program", text);
	pair(out, "Spec SHA-256", in->spec->sha256);
	text_add(out, "</dl>\n");
}

static void put_row(const struct finding *f, int with_check, struct text *out)
{
	const char *word = f->recorded && f->samples ? "recorded" : verdict_name(f->verdict);
	char value[300], limit[300], range[200] = "";

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	if (f->samples > 1 && !f->found && f->low < f->high)
		snprintf(range, sizeof(range), "%.4g to %.4g", f->low, f->high);
	text_addf(out, "<tr><td class=\"v %s\">%s</td>", word, word);
	if (with_check)
		put(out, "<td>", f->check, "</td>");
	put(out, "<td>", f->metric, "</td>");
	put(out, "<td>", f->subject, "</td>");
	put(out, "<td class=\"n\">", value, "</td>");
	put(out, "<td class=\"n\">", range, "</td>");
	put(out, "<td class=\"n\">", limit, "</td><td class=\"why\">");
	put(out, "", f->why, "");
	if (f->source && *f->source && f->verdict == VERDICT_FAIL)
		put(out, " Limit from: ", f->source, ".");
	if (*f->next)
		put(out, " To set it: <code>", f->next, "</code>");
	text_add(out, "</td></tr>\n");
}

static void open_table(int with_check, struct text *out)
{
	text_add(out, "<table><thead><tr><th>Verdict</th>");
	text_add(out, with_check ? "<th>Check</th>" : "");
	text_add(out,
		 "<th>Figure</th><th>Subject</th>"
		 "<th class=\"n\">Value</th><th class=\"n\">Interval</th><th class=\"n\">Limit</th>"
		 "<th>Why</th></tr></thead><tbody>\n");
}

/* Of pairs of nodes there may be hundreds of thousands; sentences and pictures have them all. */
enum { PAIRS_SHOWN = 8 };

static void put_rest(const struct pairs_list *l, const int *seen, struct text *out)
{
	for (int i = 0; i < l->count; i++) {
		char *title;

		if (seen[i] <= PAIRS_SHOWN)
			continue;
		title = pairs_title(l, &l->items[i]);
		text_addf(out, "<tr><td></td><td colspan=\"7\" class=\"why\">and %d more of ",
			  seen[i] - PAIRS_SHOWN);
		text_add_xml(out, title);
		text_add(out, ": see Between nodes; CSV and JSON list them all</td></tr>\n");
		free(title);
	}
}

static void put_section(const struct report_input *in, const struct pairs_list *l, enum verdict v,
			const char *title, struct text *out)
{
	int *seen;

	if (!in->judgement->of[v])
		return;
	seen = xcalloc((size_t)l->count + 1, sizeof(*seen));
	text_addf(out, "<h2>%s (%d)</h2>\n", title, in->judgement->of[v]);
	open_table(1, out);
	for (int i = 0; i < in->judgement->count; i++) {
		const struct finding *f = &in->judgement->items[i];
		int of = l->of_finding[i];

		if (f->verdict != v || f->recorded)
			continue;
		if (of < 0 || !pairs_are_many(&l->items[of]) || ++seen[of] <= PAIRS_SHOWN)
			put_row(f, 1, out);
	}
	put_rest(l, seen, out);
	text_add(out, "</tbody></table>\n");
	free(seen);
}

static void put_moments(const struct report_input *in, struct text *out)
{
	const struct report_telemetry *t = in->telemetry;

	if (!t || !t->moment_count)
		return;
	text_add(out, "<h2>When it began</h2>\n<table><thead><tr><th>Subject</th><th>Check</th>"
		      "<th>UTC, and what else changed then</th></tr></thead><tbody>\n");
	for (int i = 0; i < t->moment_count; i++) {
		put(out, "<tr><td>", t->moments[i].subject, "</td>");
		put(out, "<td>", t->moments[i].check, "</td>");
		put(out, "<td>", t->moments[i].moment.text, "</td></tr>\n");
	}
	text_add(out, "</tbody></table>\n");
	if (t->not_asked)
		text_addf(out, "<p class=\"why\">%d further parts were not looked up.</p>\n",
			  t->not_asked);
}

/* ---- matrices ---- */

/* The deeper the blue, the larger the value among the pairs of this matrix; 0 to 8. */
static int depth(const struct matrix *m, const struct finding *f)
{
	if (!(m->high > m->low) || f->value < m->low)
		return 0;
	return f->value >= m->high ? 8 : (int)(8 * (f->value - m->low) / (m->high - m->low));
}

static void put_cell(const struct matrix *m, const struct finding *f, struct text *out)
{
	static const char *const blues[] = { "#f7fbff", "#e6f0f9", "#d5e5f4", "#c4dbef", "#b0cfe8",
					     "#9ac3e0", "#83b5d8", "#6da7cf", "#5699c6" };
	char value[40];

	matrix_cell(f, value, sizeof(value));
	if (!f || !f->samples) {
		text_addf(out, "<td%s>%s</td>", f && *value == 'H' ? " class=\"none\"" : "", value);
		return;
	}
	text_addf(out, "<td%s style=\"background:%s\" title=\"%.6g to %.6g, %d samples\">%s</td>",
		  f->verdict == VERDICT_FAIL ? " class=\"bad\"" : "", blues[depth(m, f)], f->low,
		  f->high, f->samples, value);
}

static void put_matrix(const struct matrix *m, struct text *out)
{
	char limit[300], node[300];

	report_limit(m->any, limit, sizeof(limit));
	snprintf(node, sizeof(node), "%.*s", m->node_len, m->node);
	put(out, "<table class=\"matrix\"><caption><b>", m->any->check, " ");
	put(out, "", m->any->metric, "</b> of ");
	put(out, "", node, ", from row to column");
	put(out, *m->any->unit ? ", " : "", m->any->unit, "");
	put(out, *limit ? "; wanted " : "", limit, "</caption><tr><th></th>");
	for (int c = 0; c < m->columns.count; c++)
		put(out, "<th class=\"n\">", m->columns.items[c], "</th>");
	for (int r = 0; r < m->rows.count; r++) {
		put(out, "</tr>\n<tr><th>", m->rows.items[r], "</th>");
		for (int c = 0; c < m->columns.count; c++)
			put_cell(m, m->cells[r][c], out);
	}
	text_add(out, "</tr></table>\n");
}

static void put_matrices(const struct report_input *in, struct text *out)
{
	struct matrix *m = xcalloc(1, sizeof(*m));
	int any = 0;

	for (int i = 0; i < in->judgement->count; i++) {
		if (!matrix_at(in->judgement, i, m))
			continue;
		text_add(out, any++ ? "" : "<h2>Between parts</h2>\n");
		put_matrix(m, out);
	}
	free(m);
}

/* ---- everything ---- */

/* Points of long curves and maps go into a fold of their own: the page must stay readable. */
enum { SERIES_SHOWN = 40 };

static void put_series(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;

	for (int i = 0; i < j->count; i++) {
		int n = report_series(j, i);

		if (n <= SERIES_SHOWN || matrix_has(j, i))
			continue;
		put(out, "<details><summary>", j->items[i].check, " ");
		put(out, "", j->items[i].metric, "");
		text_addf(out, ", %d points</summary>\n", n);
		open_table(0, out);
		for (int k = i; k < i + n; k++)
			put_row(&j->items[k], 0, out);
		text_add(out, "</tbody></table></details>\n");
		i += n - 1;
	}
}

static int is_in_picture(const struct pairs_list *l, int finding)
{
	return l->of_finding[finding] >= 0 && pairs_are_many(&l->items[l->of_finding[finding]]);
}

/* Figures of pairs as one row, in the place of the first of them. */
static void put_once(const struct pairs_list *l, int of, char *told, struct text *out)
{
	const struct pairs *p = &l->items[of];
	char *title;

	if (told[of])
		return;
	told[of] = 1;
	title = pairs_title(l, p);
	put(out, "<tr><td></td><td>", p->any->metric, "</td><td colspan=\"5\" class=\"why\">");
	text_addf(out, "%d figures of %d nodes: see ", p->count, p->node_count);
	text_add_xml(out, title);
	text_add(out, " in Between nodes</td></tr>\n");
	free(title);
}

static void put_all(const struct report_input *in, const struct pairs_list *l, struct text *out)
{
	char *told = xcalloc((size_t)l->count + 1, 1);
	const char *check = "";

	text_add(out, "<h2>All figures</h2>\n");
	open_table(0, out);
	for (int i = 0; i < in->judgement->count; i++) {
		const struct finding *f = &in->judgement->items[i];

		if (strcmp(f->check, check) != 0)
			put(out, "<tr class=\"check\"><th colspan=\"7\">", f->check,
			    "</th></tr>\n");
		check = f->check;
		if (matrix_has(in->judgement, i))
			continue;
		if (is_in_picture(l, i)) {
			put_once(l, l->of_finding[i], told, out);
			continue;
		}
		if (report_series(in->judgement, i) > SERIES_SHOWN)
			i += report_series(in->judgement, i) - 1;
		else
			put_row(f, 0, out);
	}
	text_add(out, "</tbody></table>\n");
	free(told);
}

struct listing {
	const struct report_input *in;
	struct text *out;
};

static void put_part(void *arg, int node, const char *part)
{
	struct listing *l = arg;
	const char *name = l->in->fleet->nodes[node].name;

	put(l->out, "<tr><td>", name, *part ? "/" : "");
	put(l->out, "", part, "</td>");
	put(l->out, "<td>", report_fact(l->in, node, part, *part ? "model" : "product"), "</td>");
	put(l->out, "<td>", report_fact(l->in, node, part, "serial"), "</td>");
	put(l->out, "<td>", report_fact(l->in, node, part, *part ? "firmware" : "bios"),
	    "</td></tr>\n");
}

void report_html(const struct report_input *in, struct text *out)
{
	struct pairs_list *pairs = pairs_collect(in);
	struct listing parts = { in, out };

	put_head(in, out);
	put_facts(in, out);
	put_section(in, pairs, VERDICT_FAIL, "What failed", out);
	put_section(in, pairs, VERDICT_INCONCLUSIVE, "What is too close to tell", out);
	put_section(in, pairs, VERDICT_NOT_MEASURED, "What was not measured", out);
	put_section(in, pairs, VERDICT_WAIVED, "What was waived", out);
	put_moments(in, out);
	report_charts(in, out);
	report_pairs_html(in, pairs, out);
	put_matrices(in, out);
	put_all(in, pairs, out);
	put_series(in, out);
	text_add(out, "<h2>Parts</h2>\n<table><thead><tr><th>Part</th><th>Model</th><th>Serial</th>"
		      "<th>Firmware</th></tr></thead><tbody>\n");
	report_parts(in, put_part, &parts);
	text_add(out, "</tbody></table>\n</body></html>\n");
	pairs_free(pairs);
}
