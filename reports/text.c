/*
 * text.c - the report on a terminal: verdict, what failed and why, what was not measured, figures.
 */
#include "reports/matrix.h"
#include "reports/pairs.h"

#include "harness/nodes.h"

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
	va_list args;
	char *text;

	va_start(args, fmt);
	text = xvasprintf(fmt, args);
	va_end(args);
	wrap(out, text, indent);
	free(text);
}

static void print_header(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	char started[32], took[40], bound[200];
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
	report_bound(in, bound, sizeof(bound));
	if (*bound)
		wrapf(out, 2, "proves    %s", bound);
	text_add(out, "  findings ");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (j->of[counts[i]])
			text_addf(out, " %d %s%s", j->of[counts[i]], verdict_name(counts[i]),
				  i + 1 < ARRAY_SIZE(counts) ? "," : "");
	if (out->data[out->len - 1] == ',')
		out->data[--out->len] = '\0';
	text_add(out, "\n");
}

/* Which nodes came out how, as lists that schedulers take. */
static void print_nodes(const struct report_input *in, struct text *out)
{
	struct node_outcome *of;

	if (in->fleet->count < 2)
		return;
	of = node_outcomes(in->fleet, in->plan, in->results, in->judgement);
	for (int c = 0; c < NODE_CLASS_COUNT; c++) {
		int count;
		char *list = node_list(in->fleet, of, (enum node_class)c, &count);

		if (count)
			text_addf(out, "  %-9s %d: %s\n", node_class_past((enum node_class)c),
				  count, list);
		free(list);
	}
	free(of);
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

/* What a finding is about within its node: "numa0>numa0", ">n007", "nic3>n007/nic3", or "". */
static const char *local_of(const struct finding *f)
{
	const char *s = f->subject + strcspn(f->subject, "/<>");

	return s + (*s == '/');
}

/* To one other node or from one, or between NICs of two: a pair, whichever two they are. */
static int is_pair(const struct finding *f)
{
	size_t own = strcspn(local_of(f), "<>");

	return local_of(f)[own] && (!own || strchr(local_of(f) + own, '/'));
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

/* Figures of one part that are missing for one reason, so that a dead GPU is a paragraph, not a
 * page. */
static int same_hole(const struct finding *a, const struct finding *b)
{
	return b->verdict == VERDICT_NOT_MEASURED && !b->recorded && !b->samples &&
	       a->step == b->step && !strcmp(a->check, b->check) && !strcmp(a->why, b->why) &&
	       !strcmp(a->subject, b->subject);
}

/* Prints the hole at `first` and those like it behind it in the same step, marking them as done. */
static void print_hole(const struct judgement *j, int first, char *done, struct text *out)
{
	const struct finding *f = &j->items[first];
	struct text t;
	int n = 0;

	text_init(&t);
	text_addf(&t, "%s ", f->check);
	for (int i = first; i < j->count && j->items[i].step == f->step; i++) {
		if (done[i] || !same_hole(f, &j->items[i]))
			continue;
		text_addf(&t, "%s%s", n++ ? ", " : "", j->items[i].metric);
		done[i] = 1;
	}
	text_addf(&t, " of %s", f->subject);
	if (n == 1) {
		print_one(out, f);
	} else {
		wrap(out, t.data, 2);
		if (*f->why)
			wrap(out, f->why, 6);
	}
	text_release(&t);
}

/* Figures that break one limit alike and need no words of their own. */
static int same_failure(const struct finding *a, const struct finding *b)
{
	return b->verdict == VERDICT_FAIL && b->samples && !b->found && !*a->why && !*b->why &&
	       !*b->next && a->limit_text && b->limit_text && !strcmp(a->check, b->check) &&
	       !strcmp(a->metric, b->metric) && !strcmp(a->limit_text, b->limit_text) &&
	       a->source && b->source && !strcmp(a->source, b->source);
}

/* Of failing pairs there may be thousands; what they have in common stands below. */
enum { FAILURES_LEAST = 3, PAIRS_SHOWN = 40 };

/* Those like the one at `first`, as one list; 0 if they are too few for that. */
static int print_failures(const struct judgement *j, int first, char *done, struct text *out)
{
	const struct finding *f = &j->items[first];
	char value[80], limit[120];
	struct text t;
	int n = 0, pairs = 0;

	for (int i = first; i < j->count; i++)
		n += same_failure(f, &j->items[i]);
	if (n < FAILURES_LEAST)
		return 0;
	report_limit(f, limit, sizeof(limit));
	wrapf(out, 2, "%s %s: %d figures, wanted %s", f->check, f->metric, n, limit);
	text_init(&t);
	for (int i = first; i < j->count; i++) {
		const struct finding *g = &j->items[i];

		if (!same_failure(f, g))
			continue;
		done[i] = 1;
		pairs += is_pair(g);
		if (pairs > PAIRS_SHOWN && is_pair(g))
			continue;
		report_value(g, value, sizeof(value));
		text_addf(&t, "%s%s: %s", t.len ? ", " : "", g->subject, value);
	}
	if (pairs > PAIRS_SHOWN)
		text_addf(&t, ", and %d more pairs, in the other formats", pairs - PAIRS_SHOWN);
	wrap(out, t.data, 6);
	wrapf(out, 6, "limit from: %s", f->source);
	if (f->at.line)
		wrapf(out, 6, "at %s:%d", f->at.file, f->at.line);
	text_release(&t);
	return 1;
}

static void print_section(const struct report_input *in, const struct section *s, struct text *out)
{
	const struct judgement *j = in->judgement;
	char *done = xcalloc((size_t)j->count + 1, 1);

	if (j->of[s->verdict])
		text_addf(out, "\n%s (%d)\n\n", s->title, j->of[s->verdict]);
	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];

		if (f->verdict != s->verdict || f->recorded || done[i])
			continue;
		if (s->verdict == VERDICT_NOT_MEASURED && !f->samples)
			print_hole(j, i, done, out);
		else if (!same_failure(f, f) || !print_failures(j, i, done, out))
			print_one(out, f);
	}
	free(done);
}

/* What failing pairs of nodes have in common. */
static void print_pairs(const struct report_input *in, struct text *out)
{
	struct pairs_list *l = pairs_collect(in);
	int any = 0;

	for (int i = 0; i < l->count; i++) {
		const struct pairs *p = &l->items[i];
		int n;
		char **said = pairs_say(in, p, &n), *title = pairs_title(l, p);

		if (n && !any++)
			text_add(out, "\nBetween nodes\n\n");
		if (n)
			wrapf(out, 2, "%s: %d of %d fail", title, p->of[VERDICT_FAIL], p->count);
		for (int k = 0; k < n; k++)
			wrap(out, said[k], 6);
		pairs_sentences_free(said, n);
		free(title);
	}
	pairs_free(l);
}

/* Once for each part and step, since a dead GPU has many findings and one moment. */
static void print_moments(const struct report_input *in, struct text *out)
{
	const struct report_telemetry *t = in->telemetry;

	if (!t || !t->moment_count)
		return;
	text_add(out, "\nWhen it began (UTC)\n\n");
	for (int i = 0; i < t->moment_count; i++) {
		wrapf(out, 2, "%s, %s", t->moments[i].subject, t->moments[i].check);
		wrap(out, t->moments[i].moment.text, 6);
	}
	if (t->not_asked)
		wrapf(out, 2, "%d further parts were not looked up", t->not_asked);
}

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
	wrapf(out, 2, "%s%s%s%s, from row to column%s%s%s", m->any->metric, node,
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
	wrapf(out, 9, "%s: %d points from %s to %s, in the other formats", f->metric, n, a, b);
}

/* The kind of the part that a finding is about, PART_NODE if it is about no single one. */
static int part_of(const struct finding *f)
{
	const char *slash = strchr(f->subject, '/');
	int kind = slash ? part_kind_of(slash + 1) : PART_NODE;

	return kind > PART_NODE && slash[1 + strcspn(slash + 1, "<> ")] == '\0' ? kind : PART_NODE;
}

static int is_same_place(const struct finding *a, const struct finding *b)
{
	size_t n = strcspn(local_of(a), "<>");

	if (part_of(a) != PART_NODE || !strcmp(local_of(a), local_of(b)))
		return 1;
	return is_pair(a) && is_pair(b) && !strncmp(local_of(a), local_of(b), n + 1);
}

/*
 * Good figures of parts of one kind, or of the same of many nodes, wanted alike: many of them are a
 * range and not a list.
 */
static int is_alike(const struct finding *a, const struct finding *b)
{
	return !strcmp(a->metric, b->metric) && a->verdict == b->verdict && b->samples &&
	       !b->found && (b->verdict == VERDICT_PASS || b->recorded || is_pair(b)) &&
	       part_of(b) == part_of(a) && is_same_place(a, b) &&
	       !a->limit_text == !b->limit_text &&
	       (!a->limit_text || !strcmp(a->limit_text, b->limit_text));
}

static void print_range(const struct finding *f, double low, double high, int n, struct text *out)
{
	int where = (int)strcspn(local_of(f), is_pair(f) ? "<>" : "");
	char a[60], b[60], value[130], limit[120], what[200];

	quantity_text(low, f->unit, a, sizeof(a));
	quantity_text(high, f->unit, b, sizeof(b));
	if (!strcmp(a + strcspn(a, " "), b + strcspn(b, " ")))
		a[strcspn(a, " ")] = '\0';
	snprintf(value, sizeof(value), "%s to %s", a, b);
	report_limit(f, limit, sizeof(limit));
	if (part_of(f) != PART_NODE)
		snprintf(what, sizeof(what), "%s, %d %ss", f->metric, n,
			 part_kind_name((enum part_kind)part_of(f)));
	else
		snprintf(what, sizeof(what), "%s%s%.*s, %d %s", f->metric, where ? " " : "", where,
			 local_of(f), n, is_pair(f) ? "pairs" : "nodes");
	print_line(marks[f->verdict], what, low < high ? value : b, limit, out);
}

enum { ALIKE_LEAST = 4, NODES_LEAST = 9 };

/* Findings [from, to) of one check that are like the one at `first`: all of them as one line. */
static int print_alike(const struct judgement *j, int first, int to, char *done, struct text *out)
{
	const struct finding *f = &j->items[first];
	double low = f->value, high = f->value;
	int n = 0;

	for (int i = first; i < to && is_alike(f, f); i++) {
		const struct finding *g = &j->items[i];

		if (done[i] || !is_alike(f, g))
			continue;
		n++;
		low = g->value < low ? g->value : low;
		high = g->value > high ? g->value : high;
	}
	if (n < (part_of(f) == PART_NODE ? NODES_LEAST : ALIKE_LEAST))
		return 0;
	for (int i = first; i < to; i++)
		done[i] |= is_alike(f, &j->items[i]);
	print_range(f, low, high, n, out);
	return 1;
}

/* Prints finding i, of a check whose findings end at `to`, and marks all that this dealt with. */
static void print_next(const struct report_input *in, int i, int to, char *done, struct matrix *m,
		       struct text *out)
{
	const struct judgement *j = in->judgement;
	const struct finding *f = &j->items[i];
	int n = report_series(j, i);

	done[i] = 1;
	if (matrix_has(j, i)) {
		if (matrix_at(j, i, m))
			print_matrix(in, m, out);
	} else if (n > SERIES_SHOWN) {
		print_series(in, i, n, out);
		memset(done + i, 1, (size_t)n);
	} else if (f->samples) {
		done[i] = 0;
		if (!print_alike(j, i, to, done, out))
			print_figure(in, f, out);
		done[i] = 1;
	}
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

/* One check: matrices, figures and curves in the order they came. */
static void print_check(const struct report_input *in, int from, int to, char *done,
			struct matrix *m, struct text *out)
{
	const struct judgement *j = in->judgement;
	int plain = 0, absent = 0;

	if (has_figures(j, from)) {
		blank_line(out);
		text_addf(out, "%s\n", j->items[from].check);
	}
	for (int i = from; i < to; i++) {
		const struct finding *f = &j->items[i];

		plain += is_plain(f);
		absent += is_absent(f) && !f->samples;
		if (!done[i] && !is_plain(f) && !(is_absent(f) && !f->samples))
			print_next(in, i, to, done, m, out);
	}
	close_check(plain, absent, out);
}

static void print_figures(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	struct matrix *m = xcalloc(1, sizeof(*m));
	char *done = xcalloc((size_t)j->count + 1, 1);
	int to;

	text_add(out, "\nFigures\n");
	for (int i = 0; i < j->count; i = to) {
		for (to = i; to < j->count && !strcmp(j->items[to].check, j->items[i].check);)
			to++;
		print_check(in, i, to, done, m, out);
	}
	free(done);
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
	const char *why = j->items[first].why;
	struct text t, names;

	text_init(&t);
	text_init(&names);
	for (int i = first; i < j->count; i++) {
		char name[100];

		snprintf(name, sizeof(name), " %s,", j->items[i].metric);
		if (same_reason(&j->items[first], &j->items[i]) && !strstr(names.data, name))
			text_add(&names, name);
	}
	names.data[names.len - 1] = '\0';
	text_addf(&t, "%s: %s:%s", j->items[first].check, why, names.data);
	wrap(out, t.data, 2);
	text_release(&names);
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
	print_nodes(in, out);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		print_section(in, &sections[i], out);
	print_pairs(in, out);
	print_moments(in, out);
	print_figures(in, out);
	print_absent(in, out);
}
