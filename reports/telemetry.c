/*
 * telemetry.c - what telemetry adds to reports: when the trouble of a finding began, and charts.
 *
 * Telemetry of a large run is gigabytes, so it is read here, once and only as far as failures ask
 * for it; the formats get it as a part of their input and stay pure.
 */
#include "reports/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHART_POINTS = 600 };

/* Stands behind all others and may have the step of any of them. */
static int is_watch(const struct finding *f)
{
	return !strcmp(f->check, WATCH_CHECK);
}

/* Those whose second somebody will want to know; a hole of the watching has none. */
static int asks(const struct finding *f)
{
	if (is_watch(f) && f->verdict != VERDICT_FAIL)
		return 0;
	return !f->recorded && (f->verdict == VERDICT_FAIL || f->verdict == VERDICT_NOT_MEASURED);
}

/* "gpu3" of "n001/gpu3", "gpu0>gpu5" of "n001/gpu0>gpu5", "nic3" of "n001/nic3>n002/nic3". */
static char *part_of(const char *subject)
{
	const char *slash = strchr(subject, '/'), *other;

	if (!slash)
		return xstrdup("");
	other = strpbrk(slash + 1, "<>");
	if (other && strchr(other, '/'))
		return xstrndup(slash + 1, (size_t)(other - slash - 1));
	return xstrdup(slash + 1);
}

static const struct step_result *step_of(const struct report_input *in, const struct finding *f)
{
	int step = results_step(in->results, in->plan->steps[f->step].id);

	return step < 0 ? NULL : &in->results->steps[step];
}

/* The same subject in the same step was asked already: its moment, -1 if it has none, -2 if not. */
static int asked_before(const struct report_telemetry *t, const struct judgement *j, int finding)
{
	const struct finding *f = &j->items[finding], *g;

	for (int i = finding - 1; i >= 0 && (j->items[i].step == f->step || is_watch(f)); i--) {
		g = &j->items[i];
		if (g->step == f->step && asks(g) && !strcmp(g->subject, f->subject))
			return t->of_finding[i];
	}
	return -2;
}

static int find_moment(struct report_telemetry *t, const struct report_input *in,
		       const struct finding *f, const double *ahead)
{
	int node = in->plan->steps[f->step].node, found;
	const struct step_result *s = step_of(in, f);
	struct error ignored; /* a node without telemetry has no moments */
	struct moment moment;
	char *part;

	if (!s || !(s->started > 0) || !(s->ended >= s->started))
		return -1;
	part = part_of(f->subject);
	found = telemetry_moment_of(in->run, in->fleet->nodes[node].name, ahead ? ahead[node] : 0,
				    part, s->started, s->ended, &moment, &ignored) > 0;
	free(part);
	if (!found)
		return -1;
	t->moments = grow(t->moments, (size_t)t->moment_count, sizeof(*t->moments));
	t->moments[t->moment_count] =
		(struct report_moment){ f->step, f->check, f->subject, moment };
	return t->moment_count++;
}

static void find_moments(struct report_telemetry *t, const struct report_input *in,
			 const double *ahead)
{
	const struct judgement *j = in->judgement;
	int asked = 0;

	t->of_finding = xcalloc((size_t)j->count + 1, sizeof(*t->of_finding));
	for (int i = 0; i < j->count; i++) {
		int before = asks(&j->items[i]) ? asked_before(t, j, i) : -1;

		t->of_finding[i] = before;
		if (before != -2)
			continue;
		if (asked++ < REPORT_MOMENTS)
			t->of_finding[i] = find_moment(t, in, &j->items[i], ahead);
		else
			t->of_finding[i] = -1;
		t->not_asked += asked > REPORT_MOMENTS;
	}
}

static int has_chart(const struct report_telemetry *t, int node)
{
	for (int i = 0; i < t->chart_count; i++)
		if (t->charts[i].node == node)
			return 1;
	return 0;
}

static void load_charts(struct report_telemetry *t, const struct report_input *in,
			const double *ahead)
{
	static const char *const patterns[] = { "gpu*.power_w", "gpu*.temperature_c",
						"gpu*.clock_mhz", NULL };
	const struct judgement *j = in->judgement;
	double took = in->results->ended - in->results->started;

	for (int i = 0; i < j->count && t->chart_count < REPORT_CHARTS; i++) {
		int node = in->plan->steps[j->items[i].step].node;
		const struct telemetry_wish wish = { .ahead = ahead ? ahead[node] : 0,
						     .from = in->results->started,
						     .to = in->results->ended,
						     .bucket = took / CHART_POINTS,
						     .patterns = patterns };
		struct error ignored; /* no telemetry, no chart */
		struct telemetry *got;

		if (j->items[i].verdict != VERDICT_FAIL || has_chart(t, node))
			continue;
		got = telemetry_load(in->run, in->fleet->nodes[node].name, &wish, &ignored);
		if (got)
			t->charts[t->chart_count++] = (struct report_chart){ node, got };
	}
}

struct report_telemetry *report_telemetry_load(const struct report_input *in, const double *ahead)
{
	char *path = xasprintf("%s/telemetry", in->run);
	int is_there = access(path, F_OK) == 0;
	struct report_telemetry *t;

	free(path);
	if (!is_there)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	find_moments(t, in, ahead);
	load_charts(t, in, ahead);
	return t;
}

void report_telemetry_free(struct report_telemetry *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->moment_count; i++)
		moment_release(&t->moments[i].moment);
	for (int i = 0; i < t->chart_count; i++)
		telemetry_free(t->charts[i].telemetry);
	free(t->moments);
	free(t->of_finding);
	free(t);
}

const struct moment *report_moment_of(const struct report_input *in, const struct finding *f)
{
	const struct report_telemetry *t = in->telemetry;
	int i = t ? t->of_finding[f - in->judgement->items] : -1;

	return i >= 0 ? &t->moments[i].moment : NULL;
}
