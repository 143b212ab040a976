/*
 * text.c - the report on a terminal: verdict, what failed and why, what was not measured, figures.
 */
#include "reports/matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 79 };

/* Text in lines of at most WIDTH, all but the first indented. */
static void wrap(struct text *out, const char *text, int indent)
{
	struct text clean;
	int column = indent;
	const char *s;

	text_init(&clean);
	text_add_printable(&clean, text);
	text_addf(out, "%*s", indent, "");
	for (s = clean.data; *s;) {
		int n = (int)strcspn(s, " ");

		if (column > indent && column + 1 + n > WIDTH) {
			text_addf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			text_add(out, " ");
			column++;
		}
		text_put(out, s, (size_t)n);
		column += n;
		s += n + (s[n] == ' ');
	}
	text_add(out, "\n");
	text_release(&clean);
}

static void wrapf(struct text *out, int indent, const char *fmt, ...) PRINTF(3, 4);
static void wrapf(struct text *out, int indent, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		abort();
	va_end(args);
	wrap(out, text, indent);
	free(text);
}

static void print_header(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	char started[32], took[40];
	const char *word = j->verdict;
	static const enum verdict counts[] = {
		VERDICT_PASS,         VERDICT_FAIL,           VERDICT_INCONCLUSIVE,
		VERDICT_NOT_MEASURED, VERDICT_NOT_APPLICABLE, VERDICT_WAIVED,
	};

	clock_text(in->results->started, started);
	seconds_text(in->results->ended - in->results->started, took, sizeof(took));
	if (report_is_simulated(in))
		text_add(out, "SIMULATED: a twin or a recorded machine, not the hardware; it "
			      "accepts nothing.\n\n");
	text_addf(out, "%s\n",
		  !strcmp(word, "accepted")   ? "ACCEPTED"
		  : !strcmp(word, "rejected") ? "REJECTED"
					      : "INCOMPLETE");
	wrap(out, report_meaning(in), 0);
	text_add(out, "\n");
	wrapf(out, 2, "spec      %s%s%s%s", in->spec->name, in->spec->calibration ? " (" : "",
	      in->spec->calibration ? in->spec->calibration : "", in->spec->calibration ? ")" : "");
	wrapf(out, 2, "profile   %s, %d node%s, started %s, took %s", in->profile->name,
	      in->fleet->count, in->fleet->count == 1 ? "" : "s", started, took);
	if (*report_head(in, "only"))
		wrapf(out, 2, "only      %s", report_head(in, "only"));
	text_add(out, "  findings ");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (j->of[counts[i]])
			text_addf(out, " %d %s%s", j->of[counts[i]], verdict_name(counts[i]),
				  i + 1 < ARRAY_SIZE(counts) ? "," : "");
	if (out->data[out->len - 1] == ',')
		out->data[--out->len] = '\0';
	text_add(out, "\n");
}

static void print_one(struct text *out, const struct finding *f)
{
	char value[200], limit[300];

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	if (!f->samples)
		wrapf(out, 2, "%s %s of %s", f->check, f->metric, f->subject);
	else
		wrapf(out, 2, "%s %s of %s: %s%s%s", f->check, f->metric, f->subject, value,
		      *limit ? ", wanted " : "", limit);
	if (f->samples > 1 && !f->found && f->low < f->high) {
		char low[80], high[80];

		quantity_text(f->low, f->unit, low, sizeof(low));
		quantity_text(f->high, f->unit, high, sizeof(high));
		wrapf(out, 6,
		      f->is_interval ? "95%% interval %s to %s of %d samples"
				     : "lowest %s, highest %s of %d samples",
		      low, high, f->samples);
	}
	if (*f->why)
		wrap(out, f->why, 6);
	if (f->source && f->verdict == VERDICT_FAIL && *f->source)
		wrapf(out, 6, "limit from: %s", f->source);
	if (f->at.line)
		wrapf(out, 6, "at %s:%d", f->at.file, f->at.line);
	if (*f->next)
		wrapf(out, 6, "to set it: %s", f->next);
}

struct section {
	enum verdict verdict;
	const char *title;
};

static const struct section sections[] = {
	{ VERDICT_FAIL, "What failed" },
	{ VERDICT_INCONCLUSIVE, "What is too close to tell" },
	{ VERDICT_NOT_MEASURED, "What was not measured" },
	{ VERDICT_WAIVED, "What was waived" },
};

static void print_section(const struct report_input *in, const struct section *s, struct text *out)
{
	if (!in->judgement->of[s->verdict])
		return;
	text_addf(out, "\n%s (%d)\n\n", s->title, in->judgement->of[s->verdict]);
	for (int i = 0; i < in->judgement->count; i++) {
		const struct finding *f = &in->judgement->items[i];

		if (f->verdict == s->verdict && !f->recorded)
			print_one(out, f);
	}
}

/* The part of the subject behind the node's name, when there is only one node. */
static const char *short_subject(const struct report_input *in, const struct finding *f)
{
	const char *slash = strchr(f->subject, '/');

	if (in->fleet->count > 1)
		return f->subject;
	return slash ? slash + 1 : "";
}

static void print_figure(const struct report_input *in, const struct finding *f, struct text *out)
{
	static const char *const marks[VERDICT_COUNT] = {
		[VERDICT_NOT_MEASURED] = "HOLE", [VERDICT_PASS] = "pass",
		[VERDICT_FAIL] = "FAIL",         [VERDICT_INCONCLUSIVE] = "?",
		[VERDICT_NOT_APPLICABLE] = "",   [VERDICT_WAIVED] = "waived",
	};
	char value[120], limit[120], what[200], clean_what[200];
	struct text clean;

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	snprintf(what, sizeof(what), "%s %s", f->metric, short_subject(in, f));
	text_init(&clean);
	text_add_printable(&clean, what);
	snprintf(clean_what, sizeof(clean_what), "%s", clean.data);
	text_clear(&clean);
	text_add_printable(&clean, value);
	text_addf(out, "  %-6s %-32.32s %18.40s%s%.17s\n", marks[f->verdict], clean_what,
		  clean.data, *limit ? "  " : "", limit);
	text_release(&clean);
}

/* Counts of zero faults are one line, not one a core. */
static int is_plain(const struct finding *f)
{
	return f->verdict == VERDICT_PASS && f->basis == BASIS_EXACT;
}

/* A check of which nothing came has no heading; its holes stand above. */
static int has_figures(const struct judgement *j, int first)
{
	for (int i = first; i < j->count && !strcmp(j->items[i].check, j->items[first].check); i++)
		if (j->items[i].samples || j->items[i].verdict == VERDICT_NOT_APPLICABLE)
			return 1;
	return 0;
}

enum { COLUMNS = 8, SERIES_SHOWN = 40 };

static void print_columns(const struct matrix *m, int from, int to, struct text *out)
{
	char value[40];

	text_addf(out, "  %-7s", "");
	for (int c = from; c < to; c++)
		text_addf(out, "%8s ", m->columns.items[c]);
	text_add(out, "\n");
	for (int r = 0; r < m->rows.count; r++) {
		text_addf(out, "  %-7s", m->rows.items[r]);
		for (int c = from; c < to; c++) {
			const struct finding *f = m->cells[r][c];

			matrix_cell(f, value, sizeof(value));
			text_addf(out, "%8s%c", value, f && f->verdict == VERDICT_FAIL ? '!' : ' ');
		}
		while (out->len && out->data[out->len - 1] == ' ')
			out->data[--out->len] = '\0';
		text_add(out, "\n");
	}
}

/* One metric between all pairs, as the sample programs and guides of the vendors print it. */
static void print_matrix(const struct report_input *in, const struct matrix *m, struct text *out)
{
	char limit[120], node[80] = "";

	report_limit(m->any, limit, sizeof(limit));
	if (in->fleet->count > 1)
		snprintf(node, sizeof(node), " of %.*s", m->node_len, m->node);
	text_add(out, "\n");
	wrapf(out, 2, "%s%s%s%s, from row to column%s%s%s", m->any->metric, node,
	      *m->any->unit ? " in " : "", m->any->unit, *limit ? "; wanted " : "", limit,
	      *limit ? ", ! breaks it" : "");
	for (int c = 0; c < m->columns.count; c += COLUMNS)
		print_columns(m, c, c + COLUMNS < m->columns.count ? c + COLUMNS : m->columns.count,
			      out);
}

/* How many findings of this metric of this step follow, this one included. */
static int series_length(const struct judgement *j, int first)
{
	const struct finding *f = &j->items[first];
	int n = 0;

	for (int i = first;
	     i < j->count && j->items[i].step == f->step && !strcmp(j->items[i].metric, f->metric);
	     i++)
		n++;
	return n;
}

/* A curve or map of hundreds of points is one line here; the other formats hold it all. */
static void print_series(const struct report_input *in, int first, int n, struct text *out)
{
	const struct finding *f = &in->judgement->items[first];
	double low = f->value, high = f->value;
	char a[60], b[60];

	for (int i = first; i < first + n; i++) {
		const struct finding *g = &in->judgement->items[i];

		low = g->samples && g->value < low ? g->value : low;
		high = g->samples && g->value > high ? g->value : high;
	}
	quantity_text(low, f->unit, a, sizeof(a));
	quantity_text(high, f->unit, b, sizeof(b));
	wrapf(out, 9, "%s: %d points from %s to %s, in the other formats", f->metric, n, a, b);
}

/* Prints finding i in its turn; returns how many findings that dealt with. */
static int print_next(const struct report_input *in, int i, struct matrix *m, struct text *out)
{
	const struct finding *f = &in->judgement->items[i];
	int n = f->recorded ? series_length(in->judgement, i) : 0;

	if (matrix_has(in->judgement, i)) {
		if (matrix_at(in->judgement, i, m))
			print_matrix(in, m, out);
		return 1;
	}
	if (n > SERIES_SHOWN) {
		print_series(in, i, n, out);
		return n;
	}
	if (f->samples)
		print_figure(in, f, out);
	return 1;
}

static int is_absent(const struct finding *f)
{
	return f->verdict == VERDICT_NOT_APPLICABLE && !f->recorded;
}

/* What stands behind the figures of a check. */
static void close_check(int plain, int absent, struct text *out)
{
	if (plain)
		text_addf(out, "  pass   %d more with exactly what was wanted\n", plain);
	if (absent)
		text_addf(out, "         %d not applicable here\n", absent);
}

static void print_figures(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	struct matrix *m = xcalloc(1, sizeof(*m));
	const char *check = "";
	int plain = 0, absent = 0;

	text_add(out, "\nFigures\n");
	for (int i = 0; i < j->count;) {
		const struct finding *f = &j->items[i];

		if (strcmp(f->check, check) != 0) {
			close_check(plain, absent, out);
			plain = absent = 0;
			check = f->check;
			if (has_figures(j, i))
				text_addf(out, "\n%s\n", check);
		}
		plain += is_plain(f);
		absent += is_absent(f) && !f->samples;
		i += is_plain(f) || (is_absent(f) && !f->samples) ? 1 : print_next(in, i, m, out);
	}
	close_check(plain, absent, out);
	free(m);
}

static int same_reason(const struct finding *a, const struct finding *b)
{
	return is_absent(a) && is_absent(b) && !strcmp(a->check, b->check) &&
	       !strcmp(a->why, b->why);
}

/* All figures of one check that are absent for the same reason, as one sentence. */
static void print_absent_group(const struct judgement *j, int first, struct text *out)
{
	struct text t;

	text_init(&t);
	text_addf(&t, "%s: %s:", j->items[first].check, j->items[first].why);
	for (int i = first; i < j->count; i++)
		if (same_reason(&j->items[first], &j->items[i]) &&
		    !strstr(t.data, j->items[i].metric))
			text_addf(&t, "%s %s", i > first ? "," : "", j->items[i].metric);
	wrap(out, t.data, 2);
	text_release(&t);
}

static void print_absent(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;

	if (!j->of[VERDICT_NOT_APPLICABLE])
		return;
	text_addf(out, "\nNot applicable here (%d)\n\n", j->of[VERDICT_NOT_APPLICABLE]);
	for (int i = 0; i < j->count; i++) {
		int seen = !is_absent(&j->items[i]);

		for (int k = 0; k < i && !seen; k++)
			seen = same_reason(&j->items[k], &j->items[i]);
		if (!seen)
			print_absent_group(j, i, out);
	}
}

void report_text(const struct report_input *in, struct text *out)
{
	print_header(in, out);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		print_section(in, &sections[i], out);
	print_figures(in, out);
	print_absent(in, out);
}
