/*
 * text_figures.c - the figures of the report on a terminal, check by check.
 *
 * A fleet has millions of them. What is alike is one line, so each figure is looked at a fixed
 * number of times and not compared with all others.
 */
#include "reports/alike.h"
#include "reports/matrix.h"
#include "reports/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct figures {
	const struct report_input *in;
	struct matrix *matrix; /* room for one */
	char *done;            /* findings that stand somewhere already */
	int *next;             /* the one that is like this one, see alike_link */
};

/* The part of the subject behind the node's name, when there is only one node. */
static const char *short_subject(const struct report_input *in, const struct finding *f)
{
	const char *slash = strchr(f->subject, '/');

	if (in->fleet->count > 1)
		return f->subject;
	return slash ? slash + 1 : "";
}

static void print_line(const char *mark, const char *what, const char *value, const char *limit,
		       struct text *out)
{
	struct text a, b;

	text_init(&a);
	text_init(&b);
	text_add_printable(&a, what);
	text_add_printable(&b, value);
	text_addf(out, "  %-6s %-32.32s %18.40s%s%.17s\n", mark, a.data, b.data, *limit ? "  " : "",
		  limit);
	text_release(&a);
	text_release(&b);
}

static const char *const marks[VERDICT_COUNT] = {
	[VERDICT_NOT_MEASURED] = "HOLE", [VERDICT_PASS] = "pass",       [VERDICT_FAIL] = "FAIL",
	[VERDICT_INCONCLUSIVE] = "?",    [VERDICT_NOT_APPLICABLE] = "", [VERDICT_WAIVED] = "waived",
};

static void print_figure(const struct report_input *in, const struct finding *f, struct text *out)
{
	char value[120], limit[120], what[200];

	report_value(f, value, sizeof(value));
	report_limit(f, limit, sizeof(limit));
	snprintf(what, sizeof(what), "%s %s", f->metric, short_subject(in, f));
	print_line(marks[f->verdict], what, value, limit, out);
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

/* One empty line, not two, wherever blocks meet. */
static void blank_line(struct text *out)
{
	if (out->len < 2 || strcmp(out->data + out->len - 2, "\n\n") != 0)
		text_add(out, "\n");
}

enum { COLUMNS = 8, SERIES_SHOWN = 16 };

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
	blank_line(out);
	text_wrapf(out, 2, "%s%s%s%s, from row to column%s%s%s", m->any->metric, node,
		   *m->any->unit ? " in " : "", m->any->unit, *limit ? "; wanted " : "", limit,
		   *limit ? ", ! breaks it" : "");
	for (int c = 0; c < m->columns.count; c += COLUMNS)
		print_columns(m, c, c + COLUMNS < m->columns.count ? c + COLUMNS : m->columns.count,
			      out);
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
	text_wrapf(out, 9, "%s: %d points from %s to %s, in the other formats", f->metric, n, a, b);
}

static void print_range(const struct finding *f, double low, double high, int n, struct text *out)
{
	int where = (int)strcspn(subject_local(f), subject_is_pair(f) ? "<>" : "");
	char a[60], b[60], value[130], limit[120], what[200];

	quantity_text(low, f->unit, a, sizeof(a));
	quantity_text(high, f->unit, b, sizeof(b));
	if (!strcmp(a + strcspn(a, " "), b + strcspn(b, " ")))
		a[strcspn(a, " ")] = '\0';
	snprintf(value, sizeof(value), "%s to %s", a, b);
	report_limit(f, limit, sizeof(limit));
	if (subject_part(f) != PART_NODE)
		snprintf(what, sizeof(what), "%s, %d %ss", f->metric, n,
			 part_kind_name((enum part_kind)subject_part(f)));
	else
		snprintf(what, sizeof(what), "%s%s%.*s, %d %s", f->metric, where ? " " : "", where,
			 subject_local(f), n, subject_is_pair(f) ? "pairs" : "nodes");
	print_line(marks[f->verdict], what, low < high ? value : b, limit, out);
}

enum { ALIKE_LEAST = 4, NODES_LEAST = 9 };

/* Those that are like the one at `first`, which no line has shown yet: all of them as one line. */
static int print_alike(const struct figures *x, int first, struct text *out)
{
	const struct judgement *j = x->in->judgement;
	const struct finding *f = &j->items[first];
	double low = f->value, high = f->value;
	int n = 0;

	for (int i = first; i >= 0; i = x->next[i]) {
		if (x->done[i])
			continue;
		n++;
		low = j->items[i].value < low ? j->items[i].value : low;
		high = j->items[i].value > high ? j->items[i].value : high;
	}
	if (n < (subject_part(f) == PART_NODE ? NODES_LEAST : ALIKE_LEAST))
		return 0;
	for (int i = first; i >= 0; i = x->next[i])
		x->done[i] = 1;
	print_range(f, low, high, n, out);
	return 1;
}

/* Prints finding i and marks all that this dealt with. */
static void print_next(const struct figures *x, int i, struct text *out)
{
	const struct judgement *j = x->in->judgement;
	const struct finding *f = &j->items[i];
	int n = report_series(j, i);

	if (matrix_has(j, i)) {
		if (matrix_at(j, i, x->matrix))
			print_matrix(x->in, x->matrix, out);
	} else if (n > SERIES_SHOWN) {
		print_series(x->in, i, n, out);
		memset(x->done + i, 1, (size_t)n);
	} else if (f->samples && !print_alike(x, i, out)) {
		print_figure(x->in, f, out);
	}
	x->done[i] = 1;
}

/* What stands behind the figures of a check. */
static void close_check(int plain, int absent, struct text *out)
{
	if (plain)
		text_addf(out, "  pass   %d more with exactly what was wanted\n", plain);
	if (absent)
		text_addf(out, "         %d not applicable here\n", absent);
}

/* One check, findings [from, to): matrices, figures and curves in the order they came. */
static void print_check(const struct figures *x, int from, int to, struct text *out)
{
	const struct judgement *j = x->in->judgement;
	int plain = 0, absent = 0;

	if (has_figures(j, from)) {
		blank_line(out);
		text_addf(out, "%s\n", j->items[from].check);
	}
	alike_link(j, from, to, x->next);
	for (int i = from; i < to; i++) {
		const struct finding *f = &j->items[i];

		plain += is_plain(f);
		absent += text_is_absent(f) && !f->samples;
		if (!x->done[i] && !is_plain(f) && !(text_is_absent(f) && !f->samples))
			print_next(x, i, out);
	}
	close_check(plain, absent, out);
}

void text_figures(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	const size_t room = (size_t)j->count + 1;
	struct figures x = {
		.in = in,
		.matrix = xcalloc(1, sizeof(*x.matrix)),
		.done = xcalloc(room, sizeof(*x.done)),
		.next = xcalloc(room, sizeof(*x.next)),
	};
	int to;

	text_add(out, "\nFigures\n");
	for (int i = 0; i < j->count; i = to) {
		for (to = i; to < j->count && !strcmp(j->items[to].check, j->items[i].check);)
			to++;
		print_check(&x, i, to, out);
	}
	free(x.next);
	free(x.done);
	free(x.matrix);
}
