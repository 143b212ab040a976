/*
 * sampler_child.c - starts, reads and ends the telemetry process of an agent.
 *
 * It is a process of its own so that a sensor that hangs hangs nothing else. Of its lines only
 * telemetry goes on, with this node's name on it, whatever it wrote there.
 */
#include "harness/sampler_child.h"

#include "harness/child.h"
#include "harness/event.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	NOTES_MOST = 20,
	COLLECT_SECONDS = 300, /* to hand over what it kept */
	DEADLINE = 400 * 86400,
};

struct sampler_child {
	uv_loop_t *loop;
	uv_timer_t collect;
	const char *root;
	struct outbox *out;
	void (*ended)(void *arg);
	void *arg;
	struct child_process *child; /* NULL: it does not run */
	int notes;
	int ending;
};

static void on_collect_late(uv_timer_t *timer)
{
	struct sampler_child *s = timer->data;

	if (s->child)
		child_stop(s->child);
}

struct sampler_child *sampler_child_new(uv_loop_t *loop, const char *root, struct outbox *out,
					void (*ended)(void *arg), void *arg)
{
	struct sampler_child *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->root = root;
	s->out = out;
	s->ended = ended;
	s->arg = arg;
	uv_timer_init(loop, &s->collect);
	uv_unref((uv_handle_t *)&s->collect); /* the loop goes on for the process, not for this */
	s->collect.data = s;
	return s;
}

static int is_telemetry(enum event_kind kind)
{
	return kind == EV_TELE || kind == EV_MARK || kind == EV_FULL;
}

static void on_line(void *arg, char *line, size_t len, int cut)
{
	struct sampler_child *s = arg;
	struct error err;
	struct event ev;

	if (cut || event_parse(line, len, &ev, &err) < 0)
		return;
	if (is_telemetry(ev.kind)) {
		json_object_del(ev.json, "c");
		outbox_send(s->out, json_incref(ev.json));
	}
	event_release(&ev);
}

static void on_noise(void *arg, char *line, size_t len, int cut)
{
	struct sampler_child *s = arg;

	(void)len;
	(void)cut;
	if (s->notes++ < NOTES_MOST)
		outbox_note(s->out, line);
}

static void on_ended(void *arg, const struct child_end *end)
{
	struct sampler_child *s = arg;
	char why[120];

	child_free(s->child);
	s->child = NULL;
	snprintf(why, sizeof(why), "its telemetry ended: %s %d",
		 end->signal ? "killed by signal" : "exit code",
		 end->signal ? end->signal : end->exit_code);
	if (!s->ending)
		outbox_note(s->out, why);
	s->ended(s->arg);
}

void sampler_child_start(struct sampler_child *s)
{
	const char *const argv[] = { "/proc/self/exe", "sample", "--root", s->root, NULL };
	const struct child_calls calls = { on_line, on_noise, on_ended, s };
	struct error err;

	if (s->child || s->ending)
		return;
	s->child = child_start(s->loop, argv, NULL, DEADLINE, &calls, &err);
	if (!s->child)
		outbox_note(s->out, err.text);
}

void sampler_child_end(struct sampler_child *s, int at_once)
{
	s->ending = 1;
	if (!s->child)
		return;
	if (at_once) {
		child_stop(s->child);
		return;
	}
	child_send(s->child, "stop\n");
	uv_timer_start(&s->collect, on_collect_late, COLLECT_SECONDS * 1000, 0);
}

int sampler_child_runs(const struct sampler_child *s)
{
	return s->child != NULL;
}

void sampler_child_free(struct sampler_child *s)
{
	free(s);
}
