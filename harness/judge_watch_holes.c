/*
 * judge_watch_holes.c - when, and of what, a node was not watched.
 *
 * Each thing that was not watched has a finding of its own, named like a part, so that a site can
 * waive one (the kernel's log) without waiving all others with it.
 */
#include "harness/judge_watch.h"

#include <stdlib.h>
#include <string.h>

/* The kernel's log as a thing that is watched; parts have names of their own. */
static const char kernel_log[] = "kmsg";

static const struct watch_line *watch_at(const struct watching *w, size_t i)
{
	return &w->x->results->watches[w->watches.at[i]];
}

static double gap_from(const struct watch_line *l)
{
	return l->since > 0 ? l->since : l->t;
}

/* A node is lost of which a step was lost or can never end; its holes are named by its steps. */
int watch_is_lost(const struct watching *w)
{
	for (size_t i = w->steps.from[w->node]; i < w->steps.from[w->node + 1]; i++) {
		const struct step_result *s = watch_result(w->x, (int)w->steps.at[i]);

		if (s && (s->word == END_LOST || s->word == END_STUCK))
			return 1;
	}
	return 0;
}

/* "nothing came from 12:00:01 UTC to 12:03:00 UTC" */
static void add_gap(const struct watching *w, size_t at, struct text *out)
{
	const struct watch_line *g = watch_at(w, at);
	size_t next = at + 1;

	while (next < w->watches.from[w->node + 1] && watch_at(w, next)->word != WATCH_BACK &&
	       watch_at(w, next)->word != WATCH_TOLD)
		next++;
	text_add(out, "its telemetry did not come from ");
	watch_add_time(out, gap_from(g));
	text_add(out, " to ");
	if (next < w->watches.from[w->node + 1])
		watch_add_time(out, watch_at(w, next)->t);
	else
		text_add(out, "the end");
}

/* Holes of one subject: the first in words, how many more, and when the first was. */
struct holes {
	struct text why;
	double since;
	int count;
};

static void hole_begin(struct holes *h, double t)
{
	if (!h->count)
		h->since = t;
	h->count++;
}

static void hole_add(struct watching *w, struct holes *h, const char *subject)
{
	struct finding *f;

	if (h->count) {
		f = watch_add(w, WATCH, subject, h->since);
		if (h->count > 1)
			text_addf(&h->why, "; and %d more holes", h->count - 1);
		watch_say(f, text_detach(&h->why));
	}
	text_release(&h->why);
}

static const char *subject_of(const struct mark *m)
{
	return strstr(m->text, "the kernel's log") ? kernel_log : m->part;
}

/* Adds the marks that are holes of this subject and marks them as done. */
static void add_mark_holes(struct watching *w, struct holes *h, const char *subject)
{
	for (int i = 0; i < w->count; i++) {
		struct seen *s = &w->seen[i];

		if (s->class != MARK_HOLE || s->done || strcmp(subject_of(s->mark), subject) != 0)
			continue;
		s->done = 1;
		hole_begin(h, s->mark->t);
		if (h->count > 1)
			continue;
		text_addf(&h->why, "%.*s", WATCH_TEXT_SHOWN, s->mark->text);
		if (strcmp(s->mark->what, "hole") != 0)
			text_addf(&h->why, " (%s)", s->is->reason);
	}
}

static int judge_node_holes(struct watching *w)
{
	struct holes h = { .count = 0 };
	int count;

	text_init(&h.why);
	for (size_t i = w->watches.from[w->node]; i < w->watches.from[w->node + 1]; i++) {
		const struct watch_line *l = watch_at(w, i);

		if (l->word != WATCH_GAP && l->word != WATCH_FULL)
			continue;
		hole_begin(&h, gap_from(l));
		if (h.count == 1 && l->word == WATCH_GAP)
			add_gap(w, i, &h.why);
		else if (h.count == 1)
			text_add(&h.why, "it told of so much trouble that further marks are not in "
					 "the journal");
	}
	add_mark_holes(w, &h, "");
	count = h.count;
	hole_add(w, &h, "");
	return count;
}

static int judge_part_holes(struct watching *w)
{
	int count = 0;

	for (int i = 0; i < w->count; i++) {
		struct holes h = { .count = 0 };

		if (w->seen[i].class != MARK_HOLE || w->seen[i].done)
			continue;
		text_init(&h.why);
		add_mark_holes(w, &h, subject_of(w->seen[i].mark));
		count += h.count;
		hole_add(w, &h, subject_of(w->seen[i].mark));
	}
	return count;
}

/* When it was first told to send telemetry; 0: never. */
double watch_told_at(const struct watching *w)
{
	for (size_t i = w->watches.from[w->node]; i < w->watches.from[w->node + 1]; i++)
		if (watch_at(w, i)->word == WATCH_TOLD)
			return watch_at(w, i)->t;
	return 0;
}

/* Each time that it was told, nothing came from that second on. */
int watch_never_came(const struct watching *w)
{
	int told = 0, gaps = 0;

	if (w->count)
		return 0;
	for (size_t i = w->watches.from[w->node]; i < w->watches.from[w->node + 1]; i++) {
		const struct watch_line *l = watch_at(w, i);
		double before = i > w->watches.from[w->node] ? watch_at(w, i - 1)->t : 0;

		if (l->word == WATCH_BACK)
			return 0;
		told += l->word == WATCH_TOLD;
		gaps += l->word == WATCH_GAP && gap_from(l) - before < 1;
	}
	return gaps >= told;
}

int watch_judge_holes(struct watching *w)
{
	return judge_node_holes(w) + judge_part_holes(w);
}
