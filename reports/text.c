/*
 * text.c - the report on a terminal: verdict, what failed and why, what was not measured, figures.
 */
#include "reports/text.h"

#include "reports/alike.h"
#include "reports/pairs.h"

#include "harness/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 79 };

/* Text in lines of at most WIDTH, all but the first indented. */
void text_wrap(struct text *out, const char *text, int indent)
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

void text_wrapf(struct text *out, int indent, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = xvasprintf(fmt, args);
	va_end(args);
	text_wrap(out, text, indent);
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
	text_wrap(out, report_meaning(in), 0);
	text_add(out, "\n");
	text_wrapf(out, 2, "spec      %s%s%s%s", in->spec->name, in->spec->calibration ? " (" : "",
		   in->spec->calibration ? in->spec->calibration : "",
		   in->spec->calibration ? ")" : "");
	text_wrapf(out, 2, "profile   %s, %d node%s, started %s, took %s", in->profile->name,
		   in->fleet->count, in->fleet->count == 1 ? "" : "s", started, took);
	if (*report_head(in, "only"))
		text_wrapf(out, 2, "only      %s", report_head(in, "only"));
	report_bound(in, bound, sizeof(bound));
	if (*bound)
		text_wrapf(out, 2, "proves    %s", bound);
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
		text_wrapf(out, 2, "%s %s of %s", f->check, f->metric, f->subject);
	else
		text_wrapf(out, 2, "%s %s of %s: %s%s%s", f->check, f->metric, f->subject, value,
			   *limit ? ", wanted " : "", limit);
	if (f->samples > 1 && !f->found && f->low < f->high) {
		char low[80], high[80];

		quantity_text(f->low, f->unit, low, sizeof(low));
		quantity_text(f->high, f->unit, high, sizeof(high));
		text_wrapf(out, 6,
			   f->is_interval ? "95%% interval %s to %s of %d samples"
					  : "lowest %s, highest %s of %d samples",
			   low, high, f->samples);
	}
	if (*f->why)
		text_wrap(out, f->why, 6);
	if (f->source && f->verdict == VERDICT_FAIL && *f->source)
		text_wrapf(out, 6, "limit from: %s", f->source);
	if (f->at.line)
		text_wrapf(out, 6, "at %s:%d", f->at.file, f->at.line);
	if (*f->next)
		text_wrapf(out, 6, "to set it: %s", f->next);
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
		text_wrap(out, t.data, 2);
		if (*f->why)
			text_wrap(out, f->why, 6);
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
	text_wrapf(out, 2, "%s %s: %d figures, wanted %s", f->check, f->metric, n, limit);
	text_init(&t);
	for (int i = first; i < j->count; i++) {
		const struct finding *g = &j->items[i];

		if (!same_failure(f, g))
			continue;
		done[i] = 1;
		pairs += subject_is_pair(g);
		if (pairs > PAIRS_SHOWN && subject_is_pair(g))
			continue;
		report_value(g, value, sizeof(value));
		text_addf(&t, "%s%s: %s", t.len ? ", " : "", g->subject, value);
	}
	if (pairs > PAIRS_SHOWN)
		text_addf(&t, ", and %d more pairs, in the other formats", pairs - PAIRS_SHOWN);
	text_wrap(out, t.data, 6);
	text_wrapf(out, 6, "limit from: %s", f->source);
	if (f->at.line)
		text_wrapf(out, 6, "at %s:%d", f->at.file, f->at.line);
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
			text_wrapf(out, 2, "%s: %d of %d fail", title, p->of[VERDICT_FAIL],
				   p->count);
		for (int k = 0; k < n; k++)
			text_wrap(out, said[k], 6);
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
		text_wrapf(out, 2, "%s, %s", t->moments[i].subject, t->moments[i].check);
		text_wrap(out, t->moments[i].moment.text, 6);
	}
	if (t->not_asked)
		text_wrapf(out, 2, "%d further parts were not looked up", t->not_asked);
}

int text_is_absent(const struct finding *f)
{
	return f->verdict == VERDICT_NOT_APPLICABLE && !f->recorded;
}

static int same_reason(const struct finding *a, const struct finding *b)
{
	return text_is_absent(a) && text_is_absent(b) && !strcmp(a->check, b->check) &&
	       !strcmp(a->why, b->why);
}

/* All figures of one check that are absent for the same reason, as one sentence. */
static void print_absent_group(const struct judgement *j, int first, char *done, struct text *out)
{
	const char *why = j->items[first].why;
	struct text t, names;

	text_init(&t);
	text_init(&names);
	for (int i = first; i < j->count; i++) {
		char name[100];

		if (done[i] || !same_reason(&j->items[first], &j->items[i]))
			continue;
		done[i] = 1;
		snprintf(name, sizeof(name), " %s,", j->items[i].metric);
		if (!strstr(names.data, name))
			text_add(&names, name);
	}
	names.data[names.len - 1] = '\0';
	text_addf(&t, "%s: %s:%s", j->items[first].check, why, names.data);
	text_wrap(out, t.data, 2);
	text_release(&names);
	text_release(&t);
}

static void print_absent(const struct report_input *in, struct text *out)
{
	const struct judgement *j = in->judgement;
	char *done;

	if (!j->of[VERDICT_NOT_APPLICABLE])
		return;
	text_addf(out, "\nNot applicable here (%d)\n\n", j->of[VERDICT_NOT_APPLICABLE]);
	done = xcalloc((size_t)j->count + 1, 1);
	for (int i = 0; i < j->count; i++)
		if (text_is_absent(&j->items[i]) && !done[i])
			print_absent_group(j, i, done, out);
	free(done);
}

void report_text(const struct report_input *in, struct text *out)
{
	print_header(in, out);
	print_nodes(in, out);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		print_section(in, &sections[i], out);
	print_pairs(in, out);
	print_moments(in, out);
	text_figures(in, out);
	print_absent(in, out);
}
