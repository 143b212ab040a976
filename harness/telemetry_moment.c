/*
 * telemetry_moment.c - the second at which a part's trouble began, and what else changed then.
 *
 * Pure: only what was sampled counts. A series changed when it left, within two seconds of the
 * mark, what it had been within the minute before by more than it had moved in all of that minute;
 * so a series that is always restless accuses nobody.
 */
#include "harness/marks.h"
#include "harness/telemetry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double share_at_rest = 0.02;
enum {
	NEAR = 2,
	BEFORE = 60,
	POINTS_LEAST = 3,
	JUMPS_SHOWN = 5,
	WHAT_MOST = 120,
	OTHERS_SHOWN = 2,
	OTHER_MOST = 80
};

struct jump {
	const struct telemetry_series *series;
	double before, after, size; /* size: in spreads of the minute before */
};

/* Whether a mark is about this part: "gpu3" of "gpu3" and of the pair "gpu0>gpu3". */
static int is_of(const char *part, const char *mark_part)
{
	size_t len = strlen(mark_part);
	const char *other = strchr(part, '>');

	if (!strcmp(part, mark_part))
		return 1;
	return other && len &&
	       ((!strncmp(part, mark_part, len) && part[len] == '>') ||
		!strcmp(other + 1, mark_part));
}

static int is_trouble(const struct telemetry_mark *m)
{
	return !mark_is_of_watching(m->what);
}

/* What a healthy part does as well: a power limit that is reached, a link that rests. */
static int is_common(const struct telemetry_mark *m)
{
	return mark_meaning(m->what, m->text)->class == MARK_NOTE;
}

/* How much a mark explains of a part's trouble; 0: nothing. */
static int rank_of(const struct telemetry_mark *m, const char *part)
{
	if (!is_trouble(m))
		return 0;
	if (is_of(part, m->part))
		return is_common(m) ? 1 : 3;
	return !*m->part && !is_common(m) ? 2 : 0;
}

/* The first mark of those that explain most; NULL if there is none. */
static const struct telemetry_mark *first_mark(const struct telemetry *t, const char *part,
					       double from, double to)
{
	const struct telemetry_mark *found = NULL;
	int best = 0;

	for (int i = 0; i < t->mark_count; i++) {
		const struct telemetry_mark *m = &t->marks[i];
		int rank = m->t >= from && m->t <= to ? rank_of(m, part) : 0;

		if (rank > best || (rank && rank == best && m->t < found->t)) {
			best = rank;
			found = m;
		}
	}
	return found;
}

/* ---- what else changed --------------------------------------------------------------------- */

static double spread_of(const double *values, int count)
{
	double least = values[0], most = values[0];

	for (int i = 1; i < count; i++) {
		least = fmin(least, values[i]);
		most = fmax(most, values[i]);
	}
	return most - least;
}

/* What it was before, and by how much it must leave that. 0, or -1 when nothing is known of it. */
static int before_of(const struct telemetry *t, const struct telemetry_series *s, double at,
		     double *value, double *least)
{
	double *before = xcalloc((size_t)s->count + 1, sizeof(*before)), spread = 0, told = NAN;
	int count = 0;

	for (int i = 0; i < s->count && s->points[i].t < at - NEAR; i++) {
		told = s->points[i].t >= at - TELEMETRY_BEFORE ? s->points[i].mean : NAN;
		if (s->points[i].t >= at - BEFORE)
			before[count++] = s->points[i].mean;
	}
	*value = told;
	if (count >= POINTS_LEAST) {
		spread = spread_of(before, count);
		*value = median_of(before, count).value;
	}
	free(before);
	*least = fmax(spread, fmax(s->about.moved, fmax(s->about.unit, 1e-9)));
	if (count >= POINTS_LEAST)
		return 0;
	/* On the wire a series that rests is silent: what it was told last still holds. */
	*least = fmax(*least, fabs(told) * share_at_rest);
	return t->every > 1 && isfinite(told) ? 0 : -1;
}

/* How long behind a mark a change still belongs to it. */
static double near_of(const struct telemetry *t)
{
	return t->every > 1 ? 2 * t->every : NEAR;
}

/* The farthest that the series got from what it was before. 1 if that is a jump. */
static int find_jump(const struct telemetry *t, const struct telemetry_series *s, double at,
		     struct jump *j)
{
	double least;
	int found = 0;

	*j = (struct jump){ .series = s };
	if (before_of(t, s, at, &j->before, &least) < 0)
		return 0;
	for (int i = 0; i < s->count; i++) {
		double size = fabs(s->points[i].mean - j->before) / least;

		if (s->points[i].t < at - NEAR || s->points[i].t > at + near_of(t) || !(size > 1) ||
		    size <= j->size)
			continue;
		j->after = s->points[i].mean;
		j->size = size;
		found = 1;
	}
	return found;
}

static int larger_first(const void *a, const void *b)
{
	const struct jump *x = a, *y = b;

	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return x->series < y->series ? -1 : 1;
}

static int find_jumps(const struct telemetry *t, const struct telemetry_mark *m,
		      struct jump **jumps)
{
	int count = 0;

	*jumps = xcalloc((size_t)t->series_count + 1, sizeof(**jumps));
	for (int i = 0; i < t->series_count; i++) {
		const struct sample_series *about = &t->series[i].about;
		int is_itself = !strcmp(about->part, m->part) && !strcmp(about->name, m->what);

		if (!is_itself && find_jump(t, &t->series[i], m->t, &(*jumps)[count]))
			count++;
	}
	qsort(*jumps, (size_t)count, sizeof(**jumps), larger_first);
	return count;
}

static void tell_jumps(const struct telemetry *t, const struct telemetry_mark *m, struct text *out)
{
	struct jump *jumps;
	int count = find_jumps(t, m, &jumps);

	if (count && t->every > 1)
		text_addf(out, "; within %.0f s of it ", near_of(t));
	else if (count)
		text_add(out, "; at that second ");
	for (int i = 0; i < count && i < JUMPS_SHOWN; i++) {
		const struct sample_series *about = &jumps[i].series->about;
		char name[128];

		text_addf(out, "%s%s %.4g to %.4g", i ? ", " : "",
			  series_name(about->part, about->name, name), jumps[i].before,
			  jumps[i].after);
	}
	if (count > JUMPS_SHOWN)
		text_addf(out, " and %d more", count - JUMPS_SHOWN);
	free(jumps);
}

/* Other troubles of the same seconds, on this part or elsewhere on the node. */
static void tell_others(const struct telemetry *t, const struct telemetry_mark *mark,
			struct text *out)
{
	int told = 0;

	for (int i = 0; i < t->mark_count && told < OTHERS_SHOWN; i++) {
		const struct telemetry_mark *m = &t->marks[i];

		if (m == mark || !is_trouble(m) || fabs(m->t - mark->t) > NEAR)
			continue;
		text_addf(out, "%s%s%s%.*s", told++ ? ", " : "; also ", m->part,
			  *m->part ? " " : "", OTHER_MOST, m->text);
	}
}

static void fill(const struct telemetry *t, const struct telemetry_mark *mark, const char *part,
		 double from, struct moment *m)
{
	struct text out;
	char when[32];

	clock_text(mark->t, when);
	text_init(&out);
	/* "2026-11-21T14:03:07Z": the time of day is enough beside the seconds */
	text_addf(&out, "from %.8s (%.0f s into the step): ", when + 11, mark->t - from);
	if (*mark->part && strcmp(mark->part, part) != 0)
		text_addf(&out, "%s ", mark->part);
	text_addf(&out, "%.*s", WHAT_MOST, mark->text);
	tell_others(t, mark, &out);
	tell_jumps(t, mark, &out);
	m->t = mark->t;
	m->what = xstrdup(mark->text);
	m->text = text_detach(&out);
}

int telemetry_moment(const struct telemetry *t, const char *part, double from, double to,
		     struct moment *m)
{
	const struct telemetry_mark *mark = first_mark(t, part, from, to);

	if (!mark)
		return 0;
	fill(t, mark, part, from, m);
	return 1;
}

int telemetry_moment_of(const char *run, const char *node, double ahead, const char *part,
			double from, double to, struct moment *m, struct error *err)
{
	const char *const no_series[] = { NULL };
	struct telemetry_wish wish = {
		.ahead = ahead, .from = from, .to = to, .patterns = no_series
	};
	struct telemetry *t = telemetry_load(run, node, &wish, err);
	const struct telemetry_mark *mark = t ? first_mark(t, part, from, to) : NULL;
	double at = mark ? mark->t : 0;

	telemetry_free(t);
	if (!mark)
		return t ? 0 : -1;
	/* A step may last for days: its series are read around the mark only. */
	wish = (struct telemetry_wish){ .ahead = ahead,
					.from = at - TELEMETRY_BEFORE,
					.to = at + BEFORE };
	t = telemetry_load(run, node, &wish, err);
	mark = t ? first_mark(t, part, at, at) : NULL;
	if (mark)
		fill(t, mark, part, from, m);
	telemetry_free(t);
	return t ? mark != NULL : -1;
}

void moment_release(struct moment *m)
{
	free(m->what);
	free(m->text);
	m->what = m->text = NULL;
}
