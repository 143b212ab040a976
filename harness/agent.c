/*
 * agent.c - one process a node: orders in, children, stamped lines out.
 *
 * An agent that hears nothing for SILENT_SECONDS takes the controller for dead: it stops its steps
 * and leaves, so no crash and no cut cable leaves a node under load.
 *
 * A child's lines are taken apart and put together again, never passed on: only data, fact and note
 * get through, with this node's name and that child's step on them, whatever the child wrote there.
 */
#include "harness/agent.h"

#include "harness/outbox.h"
#include "harness/sampler_child.h"
#include "harness/step_end.h"
#include "harness/version.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	NOTES_MOST = 200,
	BEAT_SECONDS = 5,    /* between our own life signs */
	SILENT_SECONDS = 20, /* four life signs of the controller did not come */
	DRAIN_SECONDS = 5,   /* for the last lines, once all children are gone */
};

struct agent;

struct running {
	struct agent *agent;
	struct child_process *child;
	char *step;
	struct text order; /* with and run lines for the child */
	struct step_told told;
	int joint; /* its input stays open for what other members share */
	long lines, notes, withs;
	struct running *next;
};

struct agent {
	const struct agent_options *options;
	uv_loop_t *loop;
	uv_pipe_t in, out;
	uv_timer_t beat, drain;
	struct outbox sent;
	struct sampler_child *sampler;
	struct lines orders;
	struct running *list; /* waiting for its run line, or running */
	double heard;         /* when the controller last said anything */
	json_t *clock;        /* its last clock event, or NULL */
	int leaving;
	char buf[16384];
};

static void send_event(struct agent *a, json_t *object)
{
	outbox_send(&a->sent, object);
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
	snprintf(r->told.word, sizeof(r->told.word), "%s", event_text(ev, "word"));
	snprintf(r->told.why, sizeof(r->told.why), "%s", event_text(ev, "why"));
}

/* A member waits for another one, or no longer; kept for the day on which it hangs there. */
static void keep_wait(struct running *r, const struct event *ev)
{
	snprintf(r->told.waits_for, sizeof(r->told.waits_for), "%s", event_text(ev, "wait"));
}

static void pass_share(struct running *r, const struct event *ev)
{
	json_t *event = event_new(EV_SHARE);

	json_object_set_new(event, "step", json_string(r->step));
	json_object_set_new(event, "k", event_string(event_text(ev, "k"), 60));
	json_object_set_new(event, "v", event_string(event_text(ev, "v"), 500));
	if (*event_text(ev, "for"))
		json_object_set_new(event, "for", event_string(event_text(ev, "for"), 255));
	send_event(r->agent, event);
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
	} else if (ev.kind == EV_BEAT) {
		keep_wait(r, &ev);
	} else if (ev.kind == EV_SHARE && r->joint) {
		pass_share(r, &ev);
	} else if ((ev.kind == EV_DATA || ev.kind == EV_FACT) && r->lines == STEP_LINES_MOST) {
		r->told.too_much = 1;
		child_stop(r->child);
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
	snprintf(r->told.noise, sizeof(r->told.noise), "%s", line);
	send_note(r, line);
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

/* A controller that reads no more must not hold us here. */
static void on_drained(uv_timer_t *timer)
{
	struct agent *a = timer->data;

	uv_stop(a->loop);
}

static void leave_if_done(struct agent *a)
{
	if (!a->leaving || a->list || sampler_child_runs(a->sampler) ||
	    uv_is_closing((uv_handle_t *)&a->in))
		return;
	uv_close((uv_handle_t *)&a->in, NULL);
	uv_timer_start(&a->drain, on_drained, DRAIN_SECONDS * 1000, 0);
}

static void send_end(struct running *r, enum end_word word, const char *why, const char *hang,
		     double seconds)
{
	json_t *event = event_new(EV_END);

	json_object_set_new(event, "step", json_string(r->step));
	json_object_set_new(event, "word", json_string(end_word_name(word)));
	json_object_set_new(event, "why", event_string(why, STEP_WHY_MOST));
	if (hang)
		json_object_set_new(event, "hang", json_string(hang));
	json_object_set_new(event, "seconds", json_real(seconds));
	json_object_set_new(event, "lines", json_integer(r->lines));
	json_object_set_new(event, "t", json_real(clock_wall()));
	send_event(r->agent, event);
}

static void on_child_ended(void *arg, const struct child_end *end)
{
	struct running *r = arg;
	struct agent *a = r->agent;
	struct step_end how;

	step_end_of(&r->told, end, &how);
	/* A step that was stopped has no end, so that a resumed run does it again. */
	if (!end->stopped || r->told.too_much)
		send_end(r, how.word, how.why, how.hang, end->seconds);
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

/* "PHASE/CHECK/@/r3" with the name of this node; the caller frees it. */
static char *own_step(const struct agent *a, const char *id)
{
	const char *at = strstr(id, "/@");

	if (!at || (at[2] && at[2] != '/'))
		return xstrdup(id);
	return xasprintf("%.*s%s%s", (int)(at + 1 - id), id, a->options->node, at + 2);
}

static void send_clock(const struct agent *a, struct text *order)
{
	struct error err;
	char *line = a->clock ? event_line(json_copy(a->clock), &err) : NULL;

	text_add(order, line ? line : "");
	free(line);
}

static void start_child(struct running *r)
{
	const char *const argv[] = {
		"/proc/self/exe",        "step", "--root", r->agent->options->root, "--node",
		r->agent->options->node, NULL
	};
	const struct child_calls calls = { on_child_line, on_child_noise, on_child_ended, r };
	struct error err;

	r->child = child_start(r->agent->loop, argv, r->joint ? NULL : r->order.data,
			       r->told.deadline, &calls, &err);
	if (r->child && r->joint)
		child_send(r->child, r->order.data);
	if (r->child)
		return;
	send_end(r, END_ERROR, err.text, NULL, 0);
	forget(r);
}

static void take_order(struct agent *a, const struct event *ev, const char *line)
{
	char *step = own_step(a, ev->step);
	struct running *r = find_or_add(a, step);

	free(step);
	if (r->child) /* the same step twice: the first one goes on */
		return;
	if (ev->kind == EV_RUN)
		send_clock(a, &r->order);
	text_addf(&r->order, "%s\n", line);
	if (ev->kind == EV_WITH) {
		r->withs++;
		return;
	}
	/* Lost, not failed: `assay resume` orders it again. */
	if (r->withs != event_whole(ev, "with")) {
		send_end(r, END_LOST, "a line of its order was damaged on its way", NULL, 0);
		forget(r);
		return;
	}
	r->told.deadline = event_number(ev, "deadline");
	r->joint = json_is_true(json_object_get(ev->json, "joint"));
	start_child(r);
}

static json_int_t clock_ahead_us(const struct agent *a)
{
	return (json_int_t)(json_number_value(json_object_get(a->clock, "offset")) * 1e6);
}

/* Shares and starts of joint steps; a start is told by this node's own clock. */
static void pass_on(struct agent *a, const struct event *ev)
{
	char *step = own_step(a, ev->step), *line;
	json_t *copy = json_copy(ev->json);
	struct error err;

	json_object_del(copy, "c");
	if (ev->kind == EV_GO)
		json_object_set_new(copy, "us",
				    json_integer(event_whole(ev, "us") + clock_ahead_us(a)));
	line = event_line(copy, &err);
	for (struct running *r = a->list; r && line; r = r->next)
		if (r->child && r->joint && !strcmp(r->step, step))
			child_send(r->child, line);
	free(line);
	free(step);
}

/* ---- leaving ---- */

static void on_sampler_ended(void *arg)
{
	leave_if_done(arg);
}

/* Takes no more orders and ends what runs; the loop ends with the last child. */
static void leave(struct agent *a, int orderly)
{
	struct running *next;

	a->leaving = 1;
	sampler_child_end(a->sampler, !orderly);
	for (struct running *r = a->list; r; r = next) {
		next = r->next;
		if (r->child)
			child_stop(r->child);
		else
			forget(r);
	}
	leave_if_done(a);
}

static void on_stop(struct agent *a, const struct event *ev, const char *line)
{
	(void)ev;
	(void)line;
	leave(a, 1);
}

static void on_again(struct agent *a, const struct event *ev, const char *line)
{
	(void)line;
	outbox_again(&a->sent, (long)event_whole(ev, "from"));
}

static void on_ping(struct agent *a, const struct event *ev, const char *line)
{
	json_t *event = event_new(EV_PONG);

	(void)line;
	json_object_set_new(event, "k", json_integer(event_whole(ev, "k")));
	json_object_set_new(event, "us", json_integer((json_int_t)(clock_wall() * 1e6)));
	send_event(a, event);
}

static void on_clock(struct agent *a, const struct event *ev, const char *line)
{
	(void)line;
	json_decref(a->clock);
	a->clock = json_copy(ev->json);
	json_object_del(a->clock, "c");
}

static void on_pass(struct agent *a, const struct event *ev, const char *line)
{
	(void)line;
	pass_on(a, ev);
}

static void on_tele(struct agent *a, const struct event *ev, const char *line)
{
	(void)ev;
	(void)line;
	sampler_child_start(a->sampler);
}

static void (*const orders[EVENT_KIND_COUNT])(struct agent *, const struct event *,
					      const char *) = {
	[EV_WITH] = take_order, [EV_RUN] = take_order, [EV_STOP] = on_stop,
	[EV_AGAIN] = on_again,  [EV_TELE] = on_tele,   [EV_PING] = on_ping,
	[EV_CLOCK] = on_clock,  [EV_SHARE] = on_pass,  [EV_GO] = on_pass,
};

/* Without "to" it is for everyone. */
static int is_for(const struct agent *a, const struct event *ev)
{
	const char *to = event_text(ev, "to");
	struct hostlist list;
	struct error err;
	int found = 0;

	if (!*to || !strcmp(to, a->options->node))
		return 1;
	if (hostlist_parse(event_text(ev, "to"), &list, &err) < 0)
		return 0;
	for (int i = 0; i < list.count && !found; i++)
		found = !strcmp(list.names[i], a->options->node);
	hostlist_release(&list);
	return found;
}

/* Once it leaves, it still sends lines again that were damaged on their way. */
static void on_order(void *arg, char *line, size_t len, int cut)
{
	struct agent *a = arg;
	struct error err = { "a line without an end" };
	struct event ev;

	if (cut || event_parse(line, len, &ev, &err) < 0) {
		outbox_note(&a->sent, err.text);
		return;
	}
	if (orders[ev.kind] && (!a->leaving || ev.kind == EV_AGAIN) && is_for(a, &ev))
		orders[ev.kind](a, &ev, line);
	event_release(&ev);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	struct agent *a = h->data;

	(void)size;
	*buf = uv_buf_init(a->buf, sizeof(a->buf));
}

/* Nobody is left who would take anything. */
static void on_input_end(struct agent *a)
{
	uv_read_stop((uv_stream_t *)&a->in);
	if (!a->leaving)
		leave(a, 0);
	else
		sampler_child_end(a->sampler, 1);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct agent *a = s->data;

	a->heard = clock_now();
	if (n > 0)
		lines_feed(&a->orders, buf->base, (size_t)n);
	else if (n < 0)
		on_input_end(a);
}

static void on_beat(uv_timer_t *timer)
{
	struct agent *a = timer->data;
	json_t *event = event_new(EV_BEAT);

	json_object_set_new(event, "t", json_real(clock_wall()));
	send_event(a, event);
	if (!a->leaving && clock_now() - a->heard > SILENT_SECONDS)
		leave(a, 0);
}

/* Tells one boot of one machine from all others, so that two names of it are noticed. */
static char *boot_id(const struct agent *a)
{
	char *path = xasprintf("%s/proc/sys/kernel/random/boot_id", a->options->root);
	char *id = file_line(path);

	free(path);
	return id ? id : xstrdup("");
}

static void send_hello(struct agent *a)
{
	json_t *event = event_new(EV_HELLO);
	char *boot = boot_id(a);

	json_object_set_new(event, "version", json_string(ASSAY_VERSION));
	json_object_set_new(event, "commit", json_string(ASSAY_COMMIT));
	json_object_set_new(event, "pid", json_integer(getpid()));
	json_object_set_new(event, "boot", event_string(boot, 60));
	free(boot);
	json_object_set_new(event, "t", json_real(clock_wall()));
	send_event(a, event);
}

/* Children are started from /proc/self/exe, which needs no name. */
static void remove_own_file(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return;
	path[n] = '\0';
	unlink(path);
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

int agent_main(const struct agent_options *options)
{
	struct agent a = { .options = options };
	uv_loop_t loop;

	signal(SIGPIPE, SIG_IGN);
	if (options->pushed)
		remove_own_file();
	uv_loop_init(&loop);
	a.loop = &loop;
	lines_init(&a.orders, EVENT_MOST, on_order, &a);
	uv_pipe_init(&loop, &a.in, 0);
	uv_pipe_init(&loop, &a.out, 0);
	uv_timer_init(&loop, &a.beat);
	uv_timer_init(&loop, &a.drain);
	a.in.data = a.out.data = a.beat.data = a.drain.data = &a;
	a.heard = clock_now();
	if (uv_pipe_open(&a.in, STDIN_FILENO) < 0 || uv_pipe_open(&a.out, STDOUT_FILENO) < 0)
		return 4;
	a.sent.node = options->node;
	a.sent.out = (uv_stream_t *)&a.out;
	a.sampler = sampler_child_new(&loop, options->root, &a.sent, on_sampler_ended, &a);
	send_hello(&a);
	/* Neither timer keeps the loop going: it ends with our input and the last child. */
	uv_timer_start(&a.beat, on_beat, BEAT_SECONDS * 1000, BEAT_SECONDS * 1000);
	uv_unref((uv_handle_t *)&a.beat);
	uv_unref((uv_handle_t *)&a.drain);
	uv_read_start((uv_stream_t *)&a.in, on_alloc, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_walk(&loop, close_handle, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	lines_release(&a.orders);
	sampler_child_free(a.sampler);
	outbox_release(&a.sent);
	json_decref(a.clock);
	uv_loop_close(&loop);
	return 0;
}
