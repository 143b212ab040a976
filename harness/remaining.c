/*
 * remaining.c - how far a plan is and how long the rest takes.
 *
 * The plan's own ratio of schedule to sum turns the sum of what is left into time. That ratio is an
 * average over the fleet, so the longest single step that runs is the least there can be.
 */
#include "harness/remaining.h"

#include <stdlib.h>
#include <string.h>

/* What one step still takes. */
static double step_left(const struct step *s, const struct step_state *at, double now)
{
	double left = s->seconds - (at->running ? now - at->started : 0);

	if (at->ended || left < 0)
		return 0;
	return left < s->seconds ? left : s->seconds; /* a start to come is another clock's */
}

struct remaining plan_remaining(const struct plan *p, const struct step_state *at, double now)
{
	struct remaining r = { .total = p->count, .step = -1, .phase = p->profile->phase_count };
	double sum = 0, left = 0, longest = 0;

	for (int i = 0; i < p->count; i++) {
		const struct step *s = &p->steps[i];
		double rest = step_left(s, &at[i], now);

		r.done += at[i].ended;
		r.failed += at[i].failed;
		r.running += at[i].running;
		if (at[i].running)
			r.step = i;
		if (!at[i].ended && s->phase < r.phase)
			r.phase = s->phase;
		left += rest;
		if (at[i].running && rest > longest)
			longest = rest;
		sum += i < p->first_count ? s->seconds : 0;
	}
	r.left = sum > 0 ? left * p->seconds / sum : 0;
	r.left = r.left > longest ? r.left : longest;
	return r;
}

struct progress plan_progress(const struct plan *p, const struct step_state *at, int phase,
			      double now)
{
	const struct remaining rest = plan_remaining(p, at, now);

	return (struct progress){
		.phase = phase < p->profile->phase_count ? p->profile->phases[phase].name : "",
		.step = rest.step < 0 ? NULL : p->steps[rest.step].id,
		.running = rest.running,
		.done = rest.done,
		.total = rest.total,
		.left = rest.left,
	};
}

int plan_recall(struct plan *p, const char *id)
{
	const char *mark = strchr(id, '#'), *slash = mark ? strchr(mark, '/') : NULL, *one;
	char *base;

	if (plan_find(p, id) >= 0 || !slash)
		return plan_find(p, id);
	one = base = xasprintf("%.*s%s", (int)(mark - id), id, slash);
	if (plan_find(p, base) >= 0)
		plan_extend(p, &one, 1, atoi(mark + 1) - 1);
	free(base);
	return plan_find(p, id);
}
