/*
 * judge_votes.c - GPUs that did the same work must have the same result, to the last bit.
 *
 * A GPU that always computes the same wrong value agrees with itself for ever; only its siblings
 * can tell. Checks report results of equal work as facts called "digest WHAT"; here those of one
 * WHAT are set against each other over the whole run.
 */
#include "harness/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "digest ";

struct vote {
	const char *what, *value, *part;
	int step; /* of the plan */
};

struct votes {
	struct vote *items; /* by what, then value */
	int count;
};

static int by_what(const void *a, const void *b)
{
	const struct vote *x = a, *y = b;
	int order = strcmp(x->what, y->what);

	return order ? order : strcmp(x->value, y->value);
}

struct votes *judge_count_votes(const struct judging *x)
{
	struct votes *v = xcalloc(1, sizeof(*v));

	for (size_t i = 0; i < x->results->fact_count; i++) {
		const struct fact *f = &x->results->facts[i];
		int step = x->plan_of_step[f->step];

		if (step < 0 || !f->value || strncmp(f->key, prefix, strlen(prefix)) != 0 ||
		    x->results->steps[f->step].word != END_DONE)
			continue;
		v->items = grow(v->items, (size_t)v->count, sizeof(*v->items));
		v->items[v->count++] = (struct vote){
			f->key + strlen(prefix),
			f->value,
			f->part,
			x->base_of_plan[step],
		};
	}
	if (v->count)
		qsort(v->items, (size_t)v->count, sizeof(*v->items), by_what);
	return v;
}

void judge_free_votes(struct votes *v)
{
	free(v->items);
	free(v);
}

/*
 * How many did this work, how many had this result, and how many had the most frequent one; others:
 * how many were of other GPUs, for one that agrees with its own repeats has proved nothing.
 */
struct tally {
	int all, same, most, others;
};

static int is_same_gpu(const struct judging *x, const struct vote *a, const struct vote *b)
{
	return x->plan->steps[a->step].node == x->plan->steps[b->step].node &&
	       !strcmp(a->part, b->part);
}

static struct tally tally(const struct judging *x, const struct votes *v, const struct vote *of)
{
	struct tally t = { 0 };

	for (int i = 0, run = 0; i < v->count; i++) {
		int again = i > 0 && !by_what(&v->items[i - 1], &v->items[i]);

		run = again ? run + 1 : 1;
		if (strcmp(v->items[i].what, of->what) != 0)
			continue;
		t.all++;
		t.others += !is_same_gpu(x, &v->items[i], of);
		t.same += !strcmp(v->items[i].value, of->value);
		t.most = run > t.most ? run : t.most;
	}
	return t;
}

static void judge_vote(struct judging *x, const struct vote *vote, struct tally t)
{
	const struct step *s = &x->plan->steps[vote->step];
	struct finding *f = judge_add(x, vote->step, s->name, "vote", "", vote->part);

	f->found = xstrdup(vote->value);
	f->samples = 1;
	f->basis = BASIS_EXACT;
	f->op = EXACTLY;
	free(f->why);
	f->verdict = VERDICT_FAIL;
	if (!t.others && t.same == t.all) {
		f->verdict = VERDICT_NOT_APPLICABLE;
		f->samples = 0;
		f->why = xstrdup("no other GPU of this run did the same work");
	} else if (t.same == t.all) {
		f->verdict = VERDICT_PASS;
		f->why = xasprintf("%d results of %s agree", t.all, vote->what);
	} else if (t.same == t.most && 2 * t.same > t.all) {
		f->verdict = VERDICT_PASS;
		f->why = xasprintf("the result of %d of %d, %s", t.same, t.all, vote->what);
	} else if (2 * t.most > t.all) {
		f->why = xasprintf(
			"its result of %s is not that of %d of %d GPUs: it computes wrong",
			vote->what, t.most, t.all);
	} else {
		f->why =
			xasprintf("%d results of %s do not agree and none has a majority: at least "
				  "one of these GPUs computes wrong",
				  t.all, vote->what);
	}
}

void judge_votes(struct judging *x, const struct votes *v, int step)
{
	for (int i = 0; i < v->count; i++)
		if (v->items[i].step == step)
			judge_vote(x, &v->items[i], tally(x, v, &v->items[i]));
}
