/*
 * agent.c - one process a node: orders in, children, stamped lines out.
 *
 * A child's lines are taken apart and put together again, never passed on: only data, fact and note
 * get through, with this node's name and that child's step on them, whatever the child wrote there.
 */
#include "harness/agent.h"

#include "harness/child.h"
#include "harness/event.h"
#include "harness/version.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOTES_MOST = 200, WHY_MOST = 400 };

struct agent;

struct running {
	struct agent *agent;
	struct child_process *child;
	char *step;
	struct text order; /* with and run lines for the child */
	double deadline;
	char end_word[16], end_why[WHY_MOST + 1]; /* what the child said of its end */
	char last_noise[WHY_MOST + 1];
	long lines, notes;
	struct running *next;
};

struct agent {
	const struct agent_options *options;
	uv_loop_t *loop;
	uv_pipe_t in, out;
	struct lines orders;
	struct running *list; /* waiting for its run line, or running */
	long sent;
	int leaving;
	char buf[16384];
};

struct sending {
	uv_write_t write;
	char *line;
};

static void on_sent(uv_write_t *w, int status)
{
	struct sending *s = w->data;

	(void)status; /* a controller that went away shows as the end of our input */
	free(s->line);
	free(s);
}

static void send_event(struct agent *a, json_t *object)
{
	struct sending *s = xcalloc(1, sizeof(*s));
	struct error err;
	uv_buf_t buf;

	json_object_set_new(object, "at", json_string(a->options->node));
	json_object_set_new(object, "n", json_integer(++a->sent));
	s->line = event_line(object, &err);
	if (!s->line) { /* cannot be: members are bounded where they are made */
		free(s);
		return;
	}
	s->write.data = s;
	buf = uv_buf_init(s->line, (unsigned)strlen(s->line));
	if (uv_write(&s->write, (uv_stream_t *)&a->out, &buf, 1, on_sent) < 0)
		on_sent(&s->write, -1);
}

static void send_note(struct running *r, const char *text)
{
	json_t *event = event_new(EV_NOTE);

	if (r->notes++ >= NOTES_MOST)
		return json_decref(event);
	json_object_set_new(event, "step", json_string(r->step));
	json_object_set_new(
		event, "text",
		event_string(r->notes == NOTES_MOST ? "further lines are left out" : text, 500));
	send_event(r->agent, event);
}

/* ---- one child ---- */

static void keep_end(struct running *r, const struct event *ev)
{
	snprintf(r->end_word, sizeof(r->end_word), "%s", event_text(ev, "word"));
	snprintf(r->end_why, sizeof(r->end_why), "%s", event_text(ev, "why"));
}

static void on_child_line(void *arg, char *line, size_t len, int cut)
{
	struct running *r = arg;
	struct error err = { "a line without an end" };
	struct event ev;

	if (cut || event_parse(line, len, &ev, &err) < 0) {
		send_note(r, err.text);
		return;
	}
	if (ev.kind == EV_END) {
		keep_end(r, &ev);
	} else if (ev.kind == EV_NOTE) {
		send_note(r, event_text(&ev, "text"));
	} else if (ev.kind == EV_DATA || ev.kind == EV_FACT) {
		json_object_del(ev.json, "c");
		json_object_set_new(ev.json, "step", json_string(r->step));
		r->lines++;
		send_event(r->agent, json_incref(ev.json));
	}
	event_release(&ev);
}

static void on_child_noise(void *arg, char *line, size_t len, int cut)
{
	struct running *r = arg;

	(void)len;
	(void)cut;
	snprintf(r->last_noise, sizeof(r->last_noise), "%s", line);
	send_note(r, line);
}

static enum end_word classify(const struct running *r, const struct child_end *end, char *why,
			      size_t room)
{
	int said = end_word_find(r->end_word);

	if (end->stuck) {
		snprintf(why, room, "SIGKILL did not end it (%s); this node takes no further steps",
			 end->state);
		return END_STUCK;
	}
	if (end->timed_out) {
		snprintf(why, room, "not done after its deadline of %.0f s", r->deadline);
		return END_TIMEOUT;
	}
	if (said > END_NONE && end->exit_code == 0) {
		snprintf(why, room, "%s", r->end_why);
		return (enum end_word)said;
	}
	if (end->signal)
		snprintf(why, room, "killed by signal %d (%s)%s%s", end->signal,
			 strsignal(end->signal), *r->last_noise ? ": " : "", r->last_noise);
	else
		snprintf(why, room, "its process left with code %d without an end%s%s",
			 end->exit_code, *r->last_noise ? ": " : "", r->last_noise);
	return END_CRASH;
}

static void forget(struct running *r)
{
	struct running **at = &r->agent->list;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	text_release(&r->order);
	free(r->step);
	free(r);
}

static void leave_if_done(struct agent *a)
{
	if (!a->leaving || a->list)
		return;
	if (!uv_is_closing((uv_handle_t *)&a->in))
		uv_close((uv_handle_t *)&a->in, NULL);
}

static void send_end(struct running *r, enum end_word word, const char *why, double seconds)
{
	json_t *event = event_new(EV_END);

	json_object_set_new(event, "step", json_string(r->step));
	json_object_set_new(event, "word", json_string(end_word_name(word)));
	json_object_set_new(event, "why", event_string(why, WHY_MOST));
	json_object_set_new(event, "seconds", json_real(seconds));
	json_object_set_new(event, "lines", json_integer(r->lines));
	json_object_set_new(event, "t", json_real(clock_wall()));
	send_event(r->agent, event);
}

static void on_child_ended(void *arg, const struct child_end *end)
{
	struct running *r = arg;
	struct agent *a = r->agent;
	char why[WHY_MOST + 200];
	enum end_word word = classify(r, end, why, sizeof(why));

	/* A step that was stopped has no end, so that a resumed run does it again. */
	if (!end->stopped)
		send_end(r, word, why, end->seconds);
	child_free(r->child);
	forget(r);
	leave_if_done(a);
}

/* ---- orders ---- */

static struct running *find_or_add(struct agent *a, const char *step)
{
	struct running *r;

	for (r = a->list; r; r = r->next)
		if (!strcmp(r->step, step))
			return r;
	r = xcalloc(1, sizeof(*r));
	r->agent = a;
	r->step = xstrdup(step);
	text_init(&r->order);
	r->next = a->list;
	a->list = r;
	return r;
}

static void start_child(struct running *r)
{
	const char *const argv[] = { "/proc/self/exe", "step", "--root", r->agent->options->root,
				     NULL };
	const struct child_calls calls = { on_child_line, on_child_noise, on_child_ended, r };
	struct error err;

	r->child = child_start(r->agent->loop, argv, r->order.data, r->deadline, &calls, &err);
	if (r->child)
		return;
	send_end(r, END_ERROR, err.text, 0);
	forget(r);
}

static void take_order(struct agent *a, const struct event *ev, const char *line)
{
	struct running *r = find_or_add(a, ev->step);

	if (r->child) /* the same step twice: the first one goes on */
		return;
	text_addf(&r->order, "%s\n", line);
	if (ev->kind == EV_WITH)
		return;
	r->deadline = event_number(ev, "deadline");
	start_child(r);
}

/* Takes no more orders and ends what runs; the loop ends with the last child. */
static void leave(struct agent *a)
{
	struct running *next;

	a->leaving = 1;
	uv_read_stop((uv_stream_t *)&a->in);
	for (struct running *r = a->list; r; r = next) {
		next = r->next;
		if (r->child)
			child_stop(r->child);
		else
			forget(r);
	}
	leave_if_done(a);
}

static int is_for(const struct agent *a, const struct event *ev)
{
	struct hostlist list;
	struct error err;
	int found = 0;

	if (hostlist_parse(event_text(ev, "to"), &list, &err) < 0)
		return 0;
	for (int i = 0; i < list.count && !found; i++)
		found = !strcmp(list.names[i], a->options->node);
	hostlist_release(&list);
	return found;
}

static void on_order(void *arg, char *line, size_t len, int cut)
{
	struct agent *a = arg;
	struct error err = { "a line without an end" };
	struct event ev;

	if (a->leaving)
		return;
	if (cut || event_parse(line, len, &ev, &err) < 0) {
		json_t *note = event_new(EV_NOTE);

		json_object_set_new(note, "text", event_string(err.text, 200));
		send_event(a, note);
		return;
	}
	if (ev.kind == EV_STOP)
		leave(a);
	else if ((ev.kind == EV_WITH || ev.kind == EV_RUN) && is_for(a, &ev))
		take_order(a, &ev, line);
	event_release(&ev);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	struct agent *a = h->data;

	(void)size;
	*buf = uv_buf_init(a->buf, sizeof(a->buf));
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct agent *a = s->data;

	if (n > 0)
		lines_feed(&a->orders, buf->base, (size_t)n);
	else if (n < 0 && !a->leaving)
		leave(a);
}

static void send_hello(struct agent *a)
{
	json_t *event = event_new(EV_HELLO);

	json_object_set_new(event, "version", json_string(ASSAY_VERSION));
	json_object_set_new(event, "commit", json_string(ASSAY_COMMIT));
	json_object_set_new(event, "pid", json_integer(getpid()));
	json_object_set_new(event, "t", json_real(clock_wall()));
	send_event(a, event);
}

int agent_main(const struct agent_options *options)
{
	struct agent a = { .options = options };
	uv_loop_t loop;

	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&loop);
	a.loop = &loop;
	lines_init(&a.orders, EVENT_MOST, on_order, &a);
	uv_pipe_init(&loop, &a.in, 0);
	uv_pipe_init(&loop, &a.out, 0);
	a.in.data = a.out.data = &a;
	if (uv_pipe_open(&a.in, STDIN_FILENO) < 0 || uv_pipe_open(&a.out, STDOUT_FILENO) < 0)
		return 4;
	send_hello(&a);
	uv_read_start((uv_stream_t *)&a.in, on_alloc, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&a.out, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	lines_release(&a.orders);
	uv_loop_close(&loop);
	return 0;
}
