/*
 * judge_watch.c - what telemetry saw, as findings of a check that nobody runs.
 *
 * Marks come at any second, between steps too, so their findings hang on the step that ran then or
 * that had begun last. A node that was told to send telemetry and did not is a hole; one that was
 * never told, as in journals of older versions, has no findings here.
 */
#include "harness/judge_watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NEAR = 3,  /* seconds between lines of one event, each read once a second */
	SLACK = 2, /* a mark of a step comes up to two readings after the step */
	KINDS_SHOWN = 6,
};

const struct metric watch_metrics[] = {
	{ "faults", "", NONE, BY_EVERY, NULL,
	  "marks of trouble: XIDs, machine checks, links, disks, lanes, uncorrected errors" },
	{ "watch", "", NONE, BY_EVERY, NULL,
	  "holes: time, sources of faults and marks that were not watched" },
	{ "corrected", "", LESS, RECORDED, NULL, "marks of errors that were put right at once" },
	{ 0 },
};

void watch_say(struct finding *f, char *why)
{
	free(f->why);
	f->why = why;
}

/* ---- steps of the node --------------------------------------------------------------------- */

const struct step_result *watch_result(const struct judging *x, int step)
{
	int i = x->step_of_plan[step];

	return i < 0 ? NULL : &x->results->steps[i];
}

/* Whether a step ran at that time, or up to `slack` seconds before. */
static int ran_at(const struct judging *x, int step, double t, double slack)
{
	const struct step_result *s = watch_result(x, step);

	return s && s->started > 0 && s->started <= t &&
	       (s->word == END_NONE || t <= s->ended + slack);
}

/* How well a step fits a mark: 4 of this very part, 3 it ran then, 2 it had begun, 1 it is one. */
static int fit_of(const struct watching *w, int step, const char *part, double t)
{
	const struct step_result *s = watch_result(w->x, step);

	if (ran_at(w->x, step, t, 0))
		return *part && !strcmp(w->x->plan->steps[step].unit, part) ? 4 : 3;
	return s && s->started > 0 && s->started <= t ? 2 : 1;
}

/* Of equally good ones that which began last; of those that had not begun, the first. */
static int step_at(const struct watching *w, const char *part, double t, int *ran)
{
	int best = -1, fit = 0;

	for (size_t i = w->steps.from[w->node]; i < w->steps.from[w->node + 1]; i++) {
		int step = (int)w->steps.at[i], this = fit_of(w, step, part, t);

		if (this > fit ||
		    (this == fit && this > 1 &&
		     watch_result(w->x, step)->started > watch_result(w->x, best)->started)) {
			best = step;
			fit = this;
		}
	}
	*ran = fit > 2;
	return best;
}

struct finding *watch_add(struct watching *w, int metric, const char *part, double t)
{
	int ran, step = step_at(w, part, t, &ran);

	return judge_add(w->x, w->x->base_of_plan[step], WATCH_CHECK, watch_metrics[metric].name,
			 watch_metrics[metric].unit, part);
}

void watch_add_time(struct text *out, double t)
{
	const double year_9999 = 253402300800;
	char when[32];

	if (!(t > 0) || t >= year_9999) {
		text_add(out, "at no time that a clock shows");
		return;
	}
	clock_text(t, when);
	text_addf(out, "%.8s UTC", when + 11);
}

/* ---- what a step told already -------------------------------------------------------------- */

static int is_told_metric(const char *metric)
{
	static const char *const metrics[] = { "xid", "xids", "hot_share", "throttled" };

	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		if (!strcmp(metric, metrics[i]))
			return 1;
	return 0;
}

static void list_told(struct watching *w)
{
	const struct judgement *j = w->x->out;
	size_t count = 0;

	w->told_rows = xcalloc((size_t)j->count + 1, sizeof(*w->told_rows));
	for (int i = 0; i < j->count; i++)
		if (is_told_metric(j->items[i].metric))
			w->told_rows[count++] = (struct told){
				w->x->plan->steps[j->items[i].step].node,
				i,
			};
	w->told = rows_by_owner(w->told_rows, count, sizeof(*w->told_rows), w->x->fleet->count);
}

/* A share of readings was judged whether or not it was too large; of counts only those that failed.
 */
static int tells(const struct finding *f, const struct seen *s)
{
	const char *local = strchr(f->subject, '/'), *by = s->is->told_by;

	if (!strcmp(by, "throttled"))
		return !strcmp(f->metric, by) && f->verdict == VERDICT_FAIL;
	if (!local || strcmp(local + 1, s->mark->part) != 0)
		return 0;
	if (!strcmp(by, "hot_share"))
		return !strcmp(f->metric, by) &&
		       (f->verdict == VERDICT_FAIL || f->verdict == VERDICT_PASS);
	return !strncmp(f->metric, by, strlen(by)) && f->verdict == VERDICT_FAIL;
}

/* Repeats of a step are judged by the finding of its first round. */
static int round_ran_at(const struct watching *w, int base, double t)
{
	for (size_t i = w->steps.from[w->node]; i < w->steps.from[w->node + 1]; i++) {
		int step = (int)w->steps.at[i];

		if (w->x->base_of_plan[step] == base && ran_at(w->x, step, t, SLACK))
			return 1;
	}
	return 0;
}

static int is_told(const struct watching *w, const struct seen *s)
{
	for (size_t i = w->told.from[w->node]; s->is->told_by && i < w->told.from[w->node + 1];
	     i++) {
		const struct told *t = &w->told_rows[w->told.at[i]];
		const struct finding *f = &w->x->out->items[t->finding];

		if (tells(f, s) && round_ran_at(w, f->step, s->mark->t))
			return 1;
	}
	return 0;
}

/* ---- what other marks decide --------------------------------------------------------------- */

/* "xids", the counter, and "xid", the log, are one family. */
static int is_family(const struct mark *a, const struct mark *b)
{
	size_t n = strlen(b->what);

	if (!strcmp(a->what, "xids"))
		return !strcmp(b->what, "xid") && !strcmp(a->part, b->part);
	return strlen(a->what) == n && !strcmp(a->what, b->what);
}

static enum mark_class class_of_companion(const struct watching *w, const struct seen *s)
{
	enum mark_class worst = MARK_NOTE;
	int found = 0;

	for (int i = 0; i < w->count; i++) {
		const struct seen *o = &w->seen[i];

		if (o->is->class > MARK_FAULT || !is_family(s->mark, o->mark) ||
		    !(fabs(o->mark->t - s->mark->t) <= NEAR))
			continue;
		found = 1;
		worst = o->is->class > worst ? o->is->class : worst;
	}
	return found ? worst : MARK_FAULT;
}

static int same_source(const struct mark *a, const struct mark *b)
{
	size_t n = strcspn(a->text, ":");

	return !strncmp(a->text, b->text, n + 1);
}

/* Whether a later mark of this class ends what this one began. */
static int ends_later(const struct watching *w, int i, enum mark_class class)
{
	for (int k = i + 1; k < w->count; k++)
		if (w->seen[k].is->class == class &&
		    (class == MARK_ANSWERS ? same_source(w->seen[i].mark, w->seen[k].mark)
					   : !strcmp(w->seen[i].mark->part, w->seen[k].mark->part)))
			return 1;
	return 0;
}

static enum mark_class decide(const struct watching *w, int i)
{
	switch (w->seen[i].is->class) {
	case MARK_AWAY:
		return ends_later(w, i, MARK_BACK) ? MARK_NOTE : MARK_FAULT;
	case MARK_SILENT:
		return ends_later(w, i, MARK_ANSWERS) ? MARK_NOTE : MARK_HOLE;
	case MARK_BACK:
	case MARK_ANSWERS:
		return MARK_NOTE;
	case MARK_COMPANION:
		return class_of_companion(w, &w->seen[i]);
	default:
		return w->seen[i].is->class;
	}
}

static void read_marks(struct watching *w)
{
	size_t from = w->marks.from[w->node], to = w->marks.from[w->node + 1];

	w->count = (int)(to - from);
	w->seen = xcalloc(to - from + 1, sizeof(*w->seen));
	for (int i = 0; i < w->count; i++) {
		const struct mark *m = &w->x->results->marks[w->marks.at[from + (size_t)i]];

		w->seen[i] = (struct seen){ .mark = m, .is = mark_meaning(m->what, m->text) };
	}
	for (int i = 0; i < w->count; i++) {
		struct seen *s = &w->seen[i];

		s->class = decide(w, i);
		if ((s->class == MARK_FAULT || s->class == MARK_DOUBT) && is_told(w, s))
			s->class = MARK_NOTE;
	}
}

/* ---- faults -------------------------------------------------------------------------------- */

static int is_trouble(const struct seen *s)
{
	return s->class == MARK_FAULT || s->class == MARK_DOUBT;
}

/* "; and 3 more: nvme 2, link 1". Marks of the group are those with this number in `done`. */
static void add_kinds(const struct watching *w, const struct seen *first, int group, int count,
		      struct text *out)
{
	int shown = 0, told = 0;

	if (count < 2)
		return;
	text_addf(out, "; and %d more: ", count - 1);
	for (int i = 0; i < w->count && shown < KINDS_SHOWN; i++) {
		int of = 0, before = 0;

		if (w->seen[i].done != group || &w->seen[i] == first)
			continue;
		for (int k = 0; k < w->count; k++) {
			if (w->seen[k].done != group || &w->seen[k] == first ||
			    strcmp(w->seen[k].mark->what, w->seen[i].mark->what) != 0)
				continue;
			of++;
			before |= k < i;
		}
		if (before)
			continue;
		text_addf(out, "%s%s %d", shown++ ? ", " : "", w->seen[i].mark->what, of);
		told += of;
	}
	if (told < count - 1)
		text_addf(out, ", others %d", count - 1 - told);
}

static char *faults_text(const struct watching *w, const struct seen *first, int group, int count)
{
	const struct mark *m = first->mark;
	struct text out;
	int ran, step = step_at(w, m->part, m->t, &ran);

	text_init(&out);
	text_addf(&out, "%.*s, ", WATCH_TEXT_SHOWN, m->text);
	watch_add_time(&out, m->t);
	if (ran)
		text_addf(&out, ", while %s ran", w->x->plan->steps[step].id);
	else
		text_add(&out, ", between its steps");
	if (first->is->class == MARK_FAULT && !strcmp(first->is->reason, "unknown kind"))
		text_addf(&out, " (unknown kind of mark: %s)", m->what);
	add_kinds(w, first, group, count, &out);
	if (first->class == MARK_DOUBT)
		text_addf(&out, ". %s; figures of that time are doubtful", first->is->reason);
	return text_detach(&out);
}

/* One finding for all trouble of the part that mark `at` is of. */
static void judge_part(struct watching *w, int at, int group)
{
	const struct seen *first = &w->seen[at];
	struct finding *f;
	int count = 0;

	for (int i = at; i < w->count; i++) {
		struct seen *s = &w->seen[i];

		if (!is_trouble(s) || strcmp(s->mark->part, w->seen[at].mark->part) != 0)
			continue;
		s->done = group;
		count++;
		/* what is a fault goes before what is only doubtful */
		if (s->class > first->class ||
		    (s->class == first->class && s->mark->t < first->mark->t))
			first = s;
	}
	f = watch_add(w, FAULTS, first->mark->part, first->mark->t);
	judge_zero(f, count);
	if (first->class == MARK_DOUBT)
		f->verdict = VERDICT_INCONCLUSIVE;
	watch_say(f, faults_text(w, first, group, count));
}

static int judge_faults(struct watching *w)
{
	int groups = 0;

	for (int i = 0; i < w->count; i++)
		if (is_trouble(&w->seen[i]) && !w->seen[i].done)
			judge_part(w, i, ++groups);
	return groups;
}

static void record_corrected(struct watching *w)
{
	for (int i = 0; i < w->count; i++) {
		const struct mark *m = w->seen[i].mark;
		struct finding *f;
		int count = 0;

		for (int k = i; k < w->count && w->seen[i].class == MARK_CORRECTED; k++) {
			if (w->seen[k].class != MARK_CORRECTED || w->seen[k].done ||
			    strcmp(w->seen[k].mark->part, m->part) != 0)
				continue;
			w->seen[k].done = 1;
			count++;
		}
		if (!count)
			continue;
		f = watch_add(w, CORRECTED, m->part, m->t);
		f->recorded = 1;
		f->verdict = VERDICT_NOT_APPLICABLE;
		f->samples = 1;
		f->value = f->low = f->high = count;
		watch_say(f, xasprintf("the first: %.*s", WATCH_TEXT_SHOWN, m->text));
	}
}

/* ---- a node -------------------------------------------------------------------------------- */

static void judge_node(struct watching *w)
{
	double t = watch_told_at(w);
	int lost, holes = 0;

	if (!(t > 0) || w->steps.from[w->node] == w->steps.from[w->node + 1])
		return;
	read_marks(w);
	lost = watch_is_lost(w);
	if (!judge_faults(w) && !lost) {
		struct finding *f = watch_add(w, FAULTS, "", t);

		if (watch_never_came(w))
			watch_say(f, xstrdup("no telemetry came"));
		else
			judge_zero(f, 0);
	}
	record_corrected(w);
	if (!lost)
		holes = watch_judge_holes(w);
	if (!lost && !holes)
		judge_zero(watch_add(w, WATCH, "", t), 0);
	free(w->seen);
}

/* ---- all nodes ----------------------------------------------------------------------------- */

struct owned { /* by a node */
	int node;
};

/* Rows of those whose node is in the run; others are as if they were not there. */
static struct rows marks_by_node(const struct judging *x)
{
	const struct results *r = x->results;
	struct owned *of = xcalloc(r->mark_count + 1, sizeof(*of));
	struct rows rows;

	for (size_t i = 0; i < r->mark_count; i++) {
		int node = fleet_find(x->fleet, r->marks[i].at);

		of[i].node = node < 0 ? x->fleet->count : node;
	}
	rows = rows_by_owner(of, r->mark_count, sizeof(*of), x->fleet->count + 1);
	free(of);
	return rows;
}

static struct rows watches_by_node(const struct judging *x)
{
	const struct results *r = x->results;
	struct owned *of = xcalloc(r->watch_count + 1, sizeof(*of));
	struct rows rows;

	for (size_t i = 0; i < r->watch_count; i++) {
		int node = fleet_find(x->fleet, r->watches[i].at);

		of[i].node = node < 0 ? x->fleet->count : node;
	}
	rows = rows_by_owner(of, r->watch_count, sizeof(*of), x->fleet->count + 1);
	free(of);
	return rows;
}

static struct rows steps_by_node(const struct judging *x)
{
	struct owned *of = xcalloc((size_t)x->plan->count + 1, sizeof(*of));
	struct rows rows;

	for (int i = 0; i < x->plan->count; i++)
		of[i].node = x->plan->steps[i].node;
	rows = rows_by_owner(of, (size_t)x->plan->count, sizeof(*of), x->fleet->count);
	free(of);
	return rows;
}

void judge_watch(struct judging *x)
{
	struct watching w = { .x = x };

	if (!x->results->watch_count)
		return;
	w.steps = steps_by_node(x);
	w.marks = marks_by_node(x);
	w.watches = watches_by_node(x);
	list_told(&w);
	for (w.node = 0; w.node < x->fleet->count; w.node++)
		judge_node(&w);
	rows_release(&w.steps);
	rows_release(&w.marks);
	rows_release(&w.watches);
	rows_release(&w.told);
	free(w.told_rows);
}
