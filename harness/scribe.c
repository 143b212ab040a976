/* scribe.c - lines into the journal. The controller's own bear the time of its own clock. */
#include "harness/scribe.h"

#include <stdlib.h>

static void add_own(struct scribe *s, json_t *object, int sync)
{
	char *text;

	json_object_set_new(object, "t", json_real(clock_wall()));
	if (s->failed) {
		json_decref(object);
		return;
	}
	if (s->line) {
		text = json_dumps(object, JSON_COMPACT);
		s->line(s->arg, text);
		free(text);
	}
	if (journal_append(s->journal, object, sync, s->results, s->err) < 0)
		s->failed = 1;
}

void scribe_line(struct scribe *s, const struct event *ev, const char *line, size_t len)
{
	if (s->line)
		s->line(s->arg, line);
	if (journal_append_line(s->journal, line, len, ev->kind == EV_END, s->err) < 0)
		s->failed = 1;
	else
		results_add(s->results, ev);
}

static const char *node_name(const struct scribe *s, int node)
{
	return node < 0 ? "" : s->fleet->nodes[node].name;
}

static json_t *about_node(const struct scribe *s, enum event_kind kind, int node)
{
	json_t *event = event_new(kind);

	json_object_set_new(event, "at", event_string(node_name(s, node), 255));
	return event;
}

static json_t *about_step(const struct scribe *s, enum event_kind kind, int step)
{
	const struct step *of = &s->plan->steps[step];
	json_t *event = about_node(s, kind, of->node);

	json_object_set_new(event, "step", json_string(of->id));
	return event;
}

void scribe_note(struct scribe *s, int node, const char *text)
{
	json_t *event = about_node(s, EV_NOTE, node);

	json_object_set_new(event, "text", event_string(text, 500));
	add_own(s, event, 0);
}

void scribe_start(struct scribe *s, int step)
{
	add_own(s, about_step(s, EV_START, step), 0);
}

void scribe_end(struct scribe *s, int step, enum end_word word, const char *why)
{
	json_t *event = about_step(s, EV_END, step);

	json_object_set_new(event, "word", json_string(end_word_name(word)));
	json_object_set_new(event, "why", event_string(why, 300));
	add_own(s, event, 1);
}

void scribe_clock(struct scribe *s, int node, double offset, double error)
{
	json_t *event = about_node(s, EV_CLOCK, node);

	json_object_set_new(event, "offset", json_real(offset));
	json_object_set_new(event, "error", json_real(error));
	add_own(s, event, 0);
}

void scribe_watch(struct scribe *s, int node, enum watch_word word, double since)
{
	json_t *event = about_node(s, EV_WATCH, node);

	json_object_set_new(event, "word", json_string(watch_word_name(word)));
	if (since > 0)
		json_object_set_new(event, "since", json_real(since));
	add_own(s, event, 0);
}

void scribe_over(struct scribe *s)
{
	add_own(s, about_node(s, EV_BEAT, -1), 0);
}
