/*
 * judge.c - figures against limits.
 *
 * A median passes or fails when its whole interval lies on one side of the limit; between, more
 * samples are asked for. Counts pass only if every sample does. Windows of a soak are judged by the
 * share of them in band and by the worst one, never by the best.
 */
#include "harness/judge.h"

#include "harness/theory.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A figure above its ceiling by more than this is a wrong measurement or a wrong spec (methods:
 * links). */
#define CEILING_SLACK 1.02
enum { WINDOWS_LEAST = 6 };

#define WORD(id, word) word,
static const char *const verdict_words[] = { VERDICTS(WORD) };

const char *verdict_name(enum verdict v)
{
	return verdict_words[v];
}

struct finding *judge_add(struct judging *x, int step, const char *check, const char *metric,
			  const char *unit, const char *local_subject)
{
	struct judgement *j = x->out;
	const char *node = x->fleet->nodes[x->plan->steps[step].node].name;
	struct finding *f;

	j->items = grow(j->items, (size_t)j->count, sizeof(*j->items));
	f = &j->items[j->count++];
	*f = (struct finding){ .check = check, .metric = metric, .unit = unit, .step = step };
	/* Behind the node stands a part of it, or an arrow to another node. */
	f->subject =
		xasprintf("%s%s%s", node, strchr("<>", *local_subject) ? "" : "/", local_subject);
	f->why = xstrdup("");
	f->next = xstrdup("");
	return f;
}

static void say(struct finding *f, char *why)
{
	free(f->why);
	f->why = why;
}

char *judge_hole(const struct judging *x, int step)
{
	int i = x->step_of_plan[step];
	const struct step_result *s = i < 0 ? NULL : &x->results->steps[i];
	static const char *const words[END_WORD_COUNT] = {
		[END_NONE] = "the step was started and has no end",
		[END_DONE] = "the step ended without this figure",
		[END_SKIP] = "it cannot run here",
		[END_ERROR] = "it could not measure",
		[END_TIMEOUT] = "it was killed",
		[END_CRASH] = "it died",
		[END_STUCK] = "it cannot be killed",
		[END_LOST] = "its result is lost",
		[END_LEFT] = "it was left out",
	};

	if (!s)
		return xstrdup("the step was not run");
	return xasprintf("%s%s%s", words[s->word], *s->why ? ": " : "", s->why);
}

/* ---- limits ---- */

static int part_of_subject(const struct judging *x, int step, const char *local)
{
	const struct node_type *t =
		&x->spec->nodes[x->fleet->nodes[x->plan->steps[step].node].type];
	int kind = part_kind_of(local);

	if (kind <= PART_NODE)
		return -1;
	return node_type_part(t, (enum part_kind)kind, atoi(local + strlen(part_kind_name(kind))));
}

static int applies(const struct limit *l, const struct finding *f, const char *local, int part)
{
	return !strcmp(l->check, f->check) && !strcmp(l->metric, f->metric) &&
	       (l->part < 0 || l->part == part) && (!l->subject || !fnmatch(l->subject, local, 0));
}

/* More particular limits win; of two equally particular ones the stricter. */
static int beats(const struct limit *a, const struct limit *b)
{
	int rank_a = (a->part >= 0) * 2 + (a->subject != NULL);
	int rank_b = (b->part >= 0) * 2 + (b->subject != NULL);

	if (rank_a != rank_b)
		return rank_a > rank_b;
	return a->op == AT_MOST ? a->value < b->value : a->value > b->value;
}

static const struct limit *find_limit(const struct judging *x, const struct finding *f,
				      const char *local, int part)
{
	const struct limit *best = NULL;

	for (int i = 0; i < x->spec->limit_count; i++) {
		const struct limit *l = &x->spec->limits[i];

		if (applies(l, f, local, part) && (!best || beats(l, best)))
			best = l;
	}
	return best;
}

static void note_limit(struct finding *f, const struct limit *l)
{
	f->basis = l->op == EXACTLY ? BASIS_EXACT : BASIS_FLOOR;
	f->op = l->op;
	f->limit = l->value;
	f->limit_text = xstrdup(l->text);
	f->source = xasprintf("%s (%s)", l->source, l->origin);
	f->at = l->at;
}

/* ---- the three ways to judge ---- */

static int holds(const struct finding *f, double value, double limit)
{
	return f->op == AT_LEAST  ? value >= limit
	       : f->op == AT_MOST ? value <= limit
				  : fabs(value - limit) <= 1e-9 * fabs(limit);
}

static void by_median(struct finding *f, const double *v, int n, const struct limit *l)
{
	struct median m = median_of(v, n);
	int low = holds(f, m.low, l->value), high = holds(f, m.high, l->value);
	int around = f->op == EXACTLY && m.low < l->value && m.high > l->value;

	f->value = m.value;
	f->low = m.low;
	f->high = m.high;
	f->is_interval = m.sure;
	if (!m.sure) {
		f->verdict = VERDICT_INCONCLUSIVE;
		say(f,
		    xasprintf("%d samples are too few for a 95%% interval; six is the least", n));
	} else if (low && high) {
		f->verdict = VERDICT_PASS;
	} else if (!low && !high && !around) {
		f->verdict = VERDICT_FAIL;
	} else {
		f->verdict = VERDICT_INCONCLUSIVE;
		say(f, xasprintf("the limit lies within the 95%% interval of %d samples", n));
	}
}

static void range_of(struct finding *f, const double *v, int n)
{
	f->low = f->high = v[0];
	for (int i = 1; i < n; i++) {
		f->low = v[i] < f->low ? v[i] : f->low;
		f->high = v[i] > f->high ? v[i] : f->high;
	}
}

static void by_every(struct finding *f, const double *v, int n, const struct limit *l)
{
	int bad = 0;

	range_of(f, v, n);
	f->value = f->op == AT_LEAST ? f->low : f->high; /* the one nearest to trouble */
	for (int i = 0; i < n; i++)
		bad += !holds(f, v[i], l->value);
	f->verdict = bad ? VERDICT_FAIL : VERDICT_PASS;
	if (bad && n > 1)
		say(f, xasprintf("%d of %d samples break it", bad, n));
}

static void by_share(struct finding *f, const double *v, int n, const struct limit *l)
{
	double worst_limit = f->op == AT_MOST ? l->value / l->worst : l->value * l->worst, worst;
	int in = 0;

	f->value = median_of(v, n).value;
	range_of(f, v, n);
	worst = f->op == AT_MOST ? f->high : f->low;
	for (int i = 0; i < n; i++)
		in += holds(f, v[i], l->value);
	if (n < WINDOWS_LEAST) {
		f->verdict = VERDICT_INCONCLUSIVE;
		say(f, xasprintf("%d windows are too few to speak of a share", n));
		return;
	}
	f->verdict = in >= (l->share - 1e-9) * n && holds(f, worst, worst_limit) ? VERDICT_PASS
										 : VERDICT_FAIL;
	say(f,
	    xasprintf("%d of %d windows in band (%.1f%%, wanted %.1f%%), worst %.4g %s (wanted "
		      "%.4g %s)",
		      in, n, 100.0 * in / n, 100 * l->share, worst, f->unit, worst_limit, f->unit));
}

static void by_nothing(struct finding *f, const double *v, int n, const struct limit *l)
{
	(void)l;
	f->value = median_of(v, n).value;
	range_of(f, v, n);
}

static void (*const judges[])(struct finding *, const double *, int, const struct limit *) = {
	[BY_MEDIAN] = by_median,
	[BY_EVERY] = by_every,
	[BY_SHARE] = by_share,
	[RECORDED] = by_nothing,
};

/* A figure that physics forbids proves nothing about the hardware. */
static void distrust(const struct judging *x, struct finding *f, const struct metric *m, int part)
{
	const struct node_type *t =
		&x->spec->nodes[x->fleet->nodes[x->plan->steps[f->step].node].type];
	enum dimension dim;
	double factor, ceiling;
	char how[200];

	if (!m->ceiling || f->verdict == VERDICT_FAIL || unit_find(m->unit, &dim, &factor) < 0 ||
	    theory_ceiling(x->spec, t, part, m->ceiling, &ceiling, how, sizeof(how)) < 0 ||
	    f->value * factor <= ceiling * CEILING_SLACK)
		return;
	f->verdict = VERDICT_NOT_MEASURED;
	say(f, xasprintf("%.4g %s is more than physics allows (%s): the measurement or the spec is "
			 "wrong",
			 f->value, f->unit, how));
}

static const struct limit zero_limit = {
	.op = EXACTLY,
	.value = 0,
	.text = "0",
	.source = "no error is acceptable",
	.origin = "built in",
};

void judge_zero(struct finding *f, double count)
{
	note_limit(f, &zero_limit);
	f->samples = 1;
	by_every(f, &count, 1, &zero_limit);
}

/* Of figures whose limit is not the site's to choose; one that the spec gives wins. */
static const struct limit built_in[] = {
	{
		.check = "preflight",
		.metric = "clock_offset",
		.op = AT_MOST,
		.value = 1,
		.text = "1 s",
		.source = "steps that begin together, and times in one journal, need clocks within "
			  "a second",
		.origin = "built in",
	},
};

const struct limit *judge_built_in(const char *check, const char *metric)
{
	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		if (!strcmp(built_in[i].check, check) && !strcmp(built_in[i].metric, metric))
			return &built_in[i];
	return NULL;
}

static void judge_figure(struct judging *x, int step, const struct metric *m, const char *local,
			 const double *v, int n)
{
	struct finding *f = judge_add(x, step, x->plan->steps[step].name, m->name, m->unit, local);
	int part = part_of_subject(x, step, local);
	const struct limit *l = m->better == NONE ? &zero_limit : find_limit(x, f, local, part);

	if (!l)
		l = judge_built_in(f->check, f->metric);
	f->samples = n;
	f->recorded = m->judged == RECORDED;
	if (l)
		note_limit(f, l);
	if (!l && !f->recorded) {
		by_nothing(f, v, n, NULL);
		say(f, xasprintf("measured, but the spec has no limit %s.%s", f->check, f->metric));
		return;
	}
	judges[m->judged](f, v, n, l);
	if (f->recorded)
		f->verdict = VERDICT_NOT_APPLICABLE;
	else
		distrust(x, f, m, part);
}

/* ---- collecting samples ---- */

struct sample {
	int base, metric, subject; /* base: plan index of the step's first round */
	double value;
};

static int by_base(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	return x->base != y->base       ? (x->base > y->base) - (x->base < y->base)
	       : x->metric != y->metric ? (x->metric > y->metric) - (x->metric < y->metric)
					: (x->subject > y->subject) - (x->subject < y->subject);
}

/* Only what whole steps measured: a step that did not end in `done` has no figures. */
static struct sample *collect(const struct judging *x, size_t *count)
{
	const struct results *r = x->results;
	struct sample *s = xcalloc(r->figure_count, sizeof(*s));

	*count = 0;
	for (size_t i = 0; i < r->figure_count; i++) {
		const struct figure *g = &r->figures[i];
		int step = x->plan_of_step[g->step];

		if (step < 0 || r->steps[g->step].word != END_DONE)
			continue;
		s[(*count)++] = (struct sample){
			x->base_of_plan[step],
			g->metric,
			g->subject,
			g->value,
		};
	}
	/* Within a figure any order will do: nothing below depends on it. */
	qsort(s, *count, sizeof(*s), by_base);
	return s;
}

static const struct metric *step_metrics(const struct judging *x, int step)
{
	return spec_metrics(x->spec, x->plan->steps[step].name);
}

/* All figures of one step: samples [from, to). Marks the metrics that came. */
static void judge_samples(struct judging *x, int step, const struct sample *s, size_t from,
			  size_t to, char *came)
{
	const struct metric *metrics = step_metrics(x, step);
	double *v = xcalloc(to - from, sizeof(*v));

	for (size_t i = from, k; i < to; i = k) {
		const struct metric *m = metric_find(metrics, x->results->names[s[i].metric]);
		int n = 0;

		for (k = i; k < to && by_base(&s[i], &s[k]) == 0; k++)
			v[n++] = s[k].value;
		if (!m)
			continue;
		came[m - metrics] = 1;
		judge_figure(x, step, m, x->results->names[s[i].subject], v, n);
	}
	free(v);
}

/* What the check itself says of figures it could not give. Marks the metrics it speaks of. */
static void judge_absents(struct judging *x, int step, char *came)
{
	const struct metric *metrics = step_metrics(x, step);
	const struct step *s = &x->plan->steps[step];
	int of = x->step_of_plan[step];

	for (size_t i = of < 0 ? 0 : x->absents.from[of]; of >= 0 && i < x->absents.from[of + 1];
	     i++) {
		const struct absent *a = &x->results->absents[x->absents.at[i]];
		const struct metric *m = metric_find(metrics, x->results->names[a->metric]);
		const char *subject = x->results->names[a->subject];
		struct finding *f;

		if (!m || x->results->steps[of].word != END_DONE)
			continue;
		came[m - metrics] = 1;
		if (!*subject && step_has_part(s))
			subject = s->unit;
		f = judge_add(x, step, s->name, m->name, m->unit, subject);
		f->recorded = m->judged == RECORDED;
		f->verdict = a->is_hole ? VERDICT_NOT_MEASURED : VERDICT_NOT_APPLICABLE;
		say(f, xstrdup(x->results->names[a->why]));
	}
}

/* A metric that the check promised and that never came. */
static void judge_missing(struct judging *x, int step, const struct metric *m)
{
	const struct step *s = &x->plan->steps[step];
	struct finding *f;

	if (m->judged == RECORDED)
		return;
	f = judge_add(x, step, s->name, m->name, m->unit, step_has_part(s) ? s->unit : "");
	say(f, judge_hole(x, step));
}

static void judge_step(struct judging *x, int step, const struct sample *s, size_t from, size_t to)
{
	const struct metric *metrics = step_metrics(x, step);
	char *came;
	int n = 0;

	if (!metrics) /* the new spec dropped this program */
		return;
	while (metrics[n].name)
		n++;
	came = xcalloc((size_t)n, 1);
	judge_samples(x, step, s, from, to, came);
	judge_absents(x, step, came);
	for (int i = 0; metrics[i].name; i++)
		if (!came[i])
			judge_missing(x, step, &metrics[i]);
	free(came);
	if (!strcmp(x->plan->steps[step].name, "inventory"))
		judge_inventory(x, step);
	if (!strcmp(x->plan->steps[step].name, "settings"))
		judge_settings(x, step);
}

/* ---- the whole ---- */

static int waives(const char *pattern, const char *text)
{
	return !pattern || !fnmatch(pattern, text, 0);
}

static void waive(const struct spec *s, struct finding *f)
{
	for (int i = 0; i < s->waiver_count; i++) {
		const struct waiver *w = &s->waivers[i];

		if (f->verdict == VERDICT_PASS || f->verdict == VERDICT_NOT_APPLICABLE ||
		    !waives(w->check, f->check) || !waives(w->metric, f->metric) ||
		    !waives(w->subject, f->subject))
			continue;
		say(f, xasprintf("%s, waived by %s: %s", verdict_name(f->verdict),
				 w->by ? w->by : "?", w->reason));
		f->verdict = VERDICT_WAIVED;
		return;
	}
}

/* Nodes that were bought and are not in the run are holes, when the profile wants the whole fleet.
 */
static void judge_fleet(struct judging *x)
{
	for (int t = 0; t < x->spec->node_count && x->plan->profile->whole; t++) {
		const struct node_type *type = &x->spec->nodes[t];
		struct finding *f;
		int here = 0;

		for (int i = 0; i < x->fleet->count; i++)
			here += x->fleet->nodes[i].type == t;
		if (here >= type->count)
			continue;
		f = judge_add(x, 0, "inventory", "nodes", "", "");
		free(f->subject);
		f->subject = xstrdup(type->name);
		say(f, xasprintf("%d nodes of this type were bought, %d are in this run",
				 type->count, here));
	}
}

static void conclude(struct judgement *j, int is_simulated)
{
	int proven = 0;

	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];

		if (f->recorded)
			continue;
		j->of[f->verdict]++;
		/* That nothing happened while nothing was measured proves nothing. */
		proven += f->verdict == VERDICT_PASS && strcmp(f->check, WATCH_CHECK) != 0;
	}
	if (j->of[VERDICT_FAIL])
		j->verdict = "rejected";
	else if (is_simulated || j->of[VERDICT_NOT_MEASURED] || j->of[VERDICT_INCONCLUSIVE] ||
		 !proven)
		j->verdict = "incomplete";
	else
		j->verdict = "accepted";
}

/* Order within an owner is kept. */
struct rows rows_by_owner(const void *rows, size_t count, size_t size, int of)
{
	struct rows r = { xcalloc(count + 1, sizeof(size_t)),
			  xcalloc((size_t)of + 2, sizeof(size_t)) };
	const char *base = rows;

	for (size_t i = 0; i < count; i++)
		r.from[*(const int *)(base + i * size) + 2]++;
	for (int s = 0; s < of; s++)
		r.from[s + 2] += r.from[s + 1];
	for (size_t i = 0; i < count; i++)
		r.at[r.from[*(const int *)(base + i * size) + 1]++] = i;
	return r;
}

void rows_release(struct rows *r)
{
	free(r->at);
	free(r->from);
}

static void index_steps(struct judging *x)
{
	const struct results *r = x->results;

	x->facts = rows_by_owner(r->facts, r->fact_count, sizeof(*r->facts), r->step_count);
	x->absents = rows_by_owner(r->absents, r->absent_count, sizeof(*r->absents), r->step_count);
	x->step_of_plan = xcalloc((size_t)x->plan->count, sizeof(int));
	x->base_of_plan = xcalloc((size_t)x->plan->count, sizeof(int));
	x->plan_of_step = xcalloc((size_t)x->results->step_count, sizeof(int));
	for (int i = 0; i < x->results->step_count; i++)
		x->plan_of_step[i] = -1;
	for (int i = 0; i < x->plan->count; i++) {
		const struct step *s = &x->plan->steps[i];

		x->base_of_plan[i] = s->round == 1 ? i : plan_find(x->plan, s->base);
		x->step_of_plan[i] = results_step(x->results, x->plan->steps[i].id);
		if (x->step_of_plan[i] >= 0)
			x->plan_of_step[x->step_of_plan[i]] = i;
	}
}

struct judgement *judge(const struct spec *s, const struct fleet *f, const struct plan *p,
			const struct results *r)
{
	struct judging x = { .spec = s, .fleet = f, .plan = p, .results = r };
	struct sample *samples;
	struct votes *votes;
	size_t count, from = 0, to;

	x.out = xcalloc(1, sizeof(*x.out));
	index_steps(&x);
	samples = collect(&x, &count);
	votes = judge_count_votes(&x);
	for (int step = 0; step < p->count; step++) {
		judge_xids(&x, step);
		if (p->steps[step].round > 1)
			continue;
		for (to = from; to < count && samples[to].base == step;)
			to++;
		judge_step(&x, step, samples, from, to);
		judge_votes(&x, votes, step);
		from = to;
	}
	judge_fleet(&x);
	judge_watch(&x);
	for (int i = 0; i < x.out->count; i++)
		waive(s, &x.out->items[i]);
	conclude(x.out, results_simulated(r));
	judge_free_votes(votes);
	rows_release(&x.facts);
	rows_release(&x.absents);
	free(samples);
	free(x.step_of_plan);
	free(x.base_of_plan);
	free(x.plan_of_step);
	return x.out;
}

void judgement_free(struct judgement *j)
{
	if (!j)
		return;
	for (int i = 0; i < j->count; i++) {
		free(j->items[i].subject);
		free(j->items[i].found);
		free(j->items[i].limit_text);
		free(j->items[i].source);
		free(j->items[i].why);
		free(j->items[i].next);
	}
	free(j->items);
	free(j);
}

const char **judge_undecided(const struct judgement *j, const struct plan *p, int *count)
{
	const char **bases = xcalloc((size_t)j->count, sizeof(*bases));
	char *known = xcalloc((size_t)p->count, 1);

	*count = 0;
	for (int i = 0; i < j->count; i++) {
		const struct finding *f = &j->items[i];

		/* No repeat takes back what telemetry saw. */
		if (f->verdict != VERDICT_INCONCLUSIVE || f->recorded || known[f->step] ||
		    !strcmp(f->check, WATCH_CHECK))
			continue;
		known[f->step] = 1; /* findings belong to first rounds, whose id is their base */
		bases[(*count)++] = p->steps[f->step].base;
	}
	free(known);
	return bases;
}

int judgement_exit(const struct judgement *j)
{
	return !strcmp(j->verdict, "accepted") ? 0 : !strcmp(j->verdict, "rejected") ? 1 : 3;
}
