/* hearing.c - telemetry on the controller's side: marks, silence and files. */
#include "harness/hearing.h"

#include "harness/marks.h"
#include "harness/telemetry.h"

#include <stdlib.h>

struct voice {        /* of one node */
	int told;     /* to send telemetry */
	int gap;      /* of its telemetry, in the journal */
	int marks[2]; /* of trouble, and calm ones, in the journal */
	int lost;
	int heard_end;        /* some came after the run was over */
	struct instant heard; /* when telemetry came last, or it was told to send it */
};

struct hearing {
	const struct fleet *fleet;
	struct scribe *scribe;
	struct voice *voices;
	struct telemetry_files *files; /* NULL: none are kept */
	int is_on, over;
	hearing_note *note;
	void *arg;
};

struct instant instant_now(void)
{
	return (struct instant){ .now = clock_now(), .wall = clock_wall() };
}

struct hearing *hearing_new(const char *run, const struct fleet *fleet, struct scribe *scribe,
			    hearing_note *note, void *arg)
{
	struct hearing *h = xcalloc(1, sizeof(*h));
	struct error err;

	*h = (struct hearing){
		.fleet = fleet,
		.scribe = scribe,
		.voices = xcalloc((size_t)fleet->count, sizeof(*h->voices)),
		.is_on = run != NULL,
		.note = note,
		.arg = arg,
	};
	if (run && !(h->files = telemetry_files_open(run, &err)))
		note(arg, -1, err.text);
	return h;
}

void hearing_free(struct hearing *h)
{
	telemetry_files_close(h->files);
	free(h->voices);
	free(h);
}

int hearing_is_on(const struct hearing *h)
{
	return h->is_on;
}

void hearing_told(struct hearing *h, int node, struct instant at)
{
	scribe_watch(h->scribe, node, WATCH_TOLD, 0);
	h->voices[node].told = 1;
	h->voices[node].heard = at;
}

void hearing_lost(struct hearing *h, int node)
{
	h->voices[node].lost = 1;
}

void hearing_over(struct hearing *h)
{
	h->over = 1;
}

/* Marks are what the judge needs of telemetry. Those beyond the bound are a hole, unless calm. */
static void take_mark(struct hearing *h, int node, const struct event *ev, const char *line,
		      size_t len)
{
	int calm = mark_is_calm(event_text(ev, "what"), event_text(ev, "text"));
	int *count = &h->voices[node].marks[calm];

	if (*count > NODE_MARKS_MOST || !h->voices[node].told)
		return;
	if (++*count <= NODE_MARKS_MOST)
		scribe_line(h->scribe, ev, line, len);
	else
		scribe_watch(h->scribe, node, calm ? WATCH_ENOUGH : WATCH_FULL, 0);
}

static void hear(struct hearing *h, int node, struct instant at)
{
	struct voice *v = &h->voices[node];

	if (v->gap && v->told)
		scribe_watch(h->scribe, node, WATCH_BACK, v->heard.wall);
	v->gap = 0;
	v->heard = at;
	v->heard_end |= h->over;
}

void hearing_take(struct hearing *h, int node, const struct event *ev, const char *line, size_t len,
		  struct instant at)
{
	if (h->scribe->failed)
		return;
	if (ev->kind == EV_TELE)
		hear(h, node, at);
	if (ev->kind == EV_MARK)
		take_mark(h, node, ev, line, len);
}

/* The rest is not for the journal: it is much, and what is missing of it stands in nobody's way. */
void hearing_file(struct hearing *h, int node, const struct event *ev, const char *line, size_t len)
{
	struct error err;

	if (h->files && telemetry_files_take(h->files, ev, line, len, &err) < 0)
		h->note(h->arg, node, err.text);
}

/* A node that is lost is lost anyway; any other must go on telling. */
static void find_gap(struct hearing *h, int node, double patience, double now)
{
	struct voice *v = &h->voices[node];

	if (!v->told || v->gap || v->lost || v->heard_end || now - v->heard.now <= patience)
		return;
	v->gap = 1;
	scribe_watch(h->scribe, node, WATCH_GAP, v->heard.wall);
}

void hearing_find_gaps(struct hearing *h, struct instant at)
{
	for (int n = 0; n < h->fleet->count; n++)
		find_gap(h, n, GAP_SECONDS, at.now);
}

/*
 * A sampler that lives tells a last time when it is asked to end. One that does not has died or
 * hung since it told last, however short that is. A run that is stopped, by a scheduler that takes
 * its nodes away, say, ends samplers too; it goes on later, and repeats what it cut off.
 *
 * What a node kept in full is the better half of its telemetry, so its absence is said.
 */
void hearing_end(struct hearing *h, int cut_off, struct instant at)
{
	for (int n = 0; n < h->fleet->count; n++)
		find_gap(h, n, cut_off ? STOPPED_SECONDS : 0, at.now);
	for (int n = 0; h->files && n < h->fleet->count; n++)
		if (h->voices[n].told && !h->voices[n].lost &&
		    !telemetry_files_complete(h->files, h->fleet->nodes[n].name))
			h->note(h->arg, n, "what it kept of its telemetry did not arrive");
}
