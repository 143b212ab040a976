/*
 * agent.c - one process a node: orders in, children, stamped lines out.
 *
 * Sent lines are kept for a while, for the way to the controller may damage them, and are sent once
 * more when it asks. An agent that hears nothing for SILENT_SECONDS takes the controller for dead:
 * it stops its steps and leaves, so no crash and no cut cable leaves a node under load.
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

enum {
	NOTES_MOST = 200,
	SAMPLER_NOTES = 20,
	WHY_MOST = 400,
	KEPT = 4096,           /* lines that can be sent again: at most 4 MB */
	BEAT_SECONDS = 5,      /* between our own life signs */
	SILENT_SECONDS = 20,   /* four life signs of the controller did not come */
	DRAIN_SECONDS = 5,     /* for the last lines, once all children are gone */
	COLLECT_SECONDS = 300, /* for the sampler to hand over what it kept */
	QUEUE_MOST = 1 << 20,  /* bytes that wait for the controller before none are sent again */
	SAMPLER_SECONDS = 400 * 86400,
};

struct agent;

struct running {
	struct agent *agent;
	struct child_process *child;
	char *step;
	struct text order; /* with and run lines for the child */
	double deadline;
	char end_word[16], end_why[WHY_MOST + 1]; /* what the child said of its end */
	char last_noise[WHY_MOST + 1];
	char waits_for[80]; /* the member that a joint step waits for now */
	int joint;          /* its input stays open for what other members share */
	long lines, notes, withs;
	int too_much; /* it was stopped because it gave more lines than there is room for */
	struct running *next;
};

struct agent {
	const struct agent_options *options;
	uv_loop_t *loop;
	uv_pipe_t in, out;
	uv_timer_t beat, drain, collect;
	struct child_process *sampler; /* NULL: none was asked for, or it is gone */
	struct lines orders;
	struct running *list; /* waiting for its run line, or running */
	int sampler_notes;
	long sent;
	char *kept[KEPT]; /* line n at n % KEPT */
	double heard;     /* when the controller last said anything */
	json_t *clock;    /* its last clock event, or NULL */
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

static void send_line(struct agent *a, const char *line)
{
	struct sending *s = xcalloc(1, sizeof(*s));
	uv_buf_t buf;

	s->line = xstrdup(line);
	s->write.data = s;
	buf = uv_buf_init(s->line, (unsigned)strlen(s->line));
	if (uv_write(&s->write, (uv_stream_t *)&a->out, &buf, 1, on_sent) < 0)
		on_sent(&s->write, -1);
}

static void send_event(struct agent *a, json_t *object)
{
	struct error err;
	char *line, **slot;

	json_object_set_new(object, "at", json_string(a->options->node));
	json_object_set_new(object, "n", json_integer(a->sent + 1));
	line = event_line(object, &err);
	if (!line) /* cannot be: members are bounded where they are made */
		return;
	a->sent++;
	slot = &a->kept[a->sent % KEPT];
	free(*slot);
	*slot = line;
	send_line(a, line);
}

/* What is no longer kept cannot come again; `first` tells the controller not to wait for it. */
static void send_again(struct agent *a, long from)
{
	long first = a->sent - KEPT + 1 > 1 ? a->sent - KEPT + 1 : 1;

	/* They may still be on their way: sending more of them would only make it longer. */
	if (uv_stream_get_write_queue_size((uv_stream_t *)&a->out) > QUEUE_MOST)
		return;
	if (from < first && first > 1) {
		json_t *beat = event_new(EV_BEAT);

		json_object_set_new(beat, "first", json_integer(first + 1));
		send_event(a, beat);
		from = first + 1; /* the beat has just taken the place of the oldest line */
	}
	for (long n = from < 1 ? 1 : from; n <= a->sent; n++)
		send_line(a, a->kept[n % KEPT]);
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

/* A member waits for another one, or no longer; kept for the day on which it hangs there. */
static void keep_wait(struct running *r, const struct event *ev)
{
	snprintf(r->waits_for, sizeof(r->waits_for), "%s", event_text(ev, "wait"));
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
		r->too_much = 1;
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
	snprintf(r->last_noise, sizeof(r->last_noise), "%s", line);
	send_note(r, line);
}

/* Where a step hung that was killed at its deadline: the reader wants to know whom to ask. */
static const char *classify_hang(const struct running *r, const struct child_end *end, char *why,
				 size_t room)
{
	if (*r->waits_for)
		snprintf(why, room, "not done after its deadline of %.0f s: it waited for %s",
			 r->deadline, r->waits_for);
	else
		snprintf(why, room, "not done after its deadline of %.0f s: it hung %s (%s)",
			 r->deadline,
			 end->in_kernel ? "in the kernel or a driver" : "in its own code",
			 end->state);
	return *r->waits_for ? "peer" : end->in_kernel ? "driver" : "tool";
}

static enum end_word classify(const struct running *r, const struct child_end *end, char *why,
			      size_t room, const char **hang)
{
	int said = end_word_find(r->end_word);

	*hang = NULL;
	if (r->too_much && !end->stuck) {
		snprintf(why, room, "it gave more than %d lines of figures and facts",
			 STEP_LINES_MOST);
		return END_ERROR;
	}
	if (end->stuck) {
		snprintf(why, room, "SIGKILL did not end it (%s); this node takes no further steps",
			 end->state);
		*hang = "driver";
		return END_STUCK;
	}
	if (end->timed_out) {
		*hang = classify_hang(r, end, why, room);
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

/* A controller that reads no more must not hold us here. */
static void on_drained(uv_timer_t *timer)
{
	struct agent *a = timer->data;

	uv_stop(a->loop);
}

static void leave_if_done(struct agent *a)
{
	if (!a->leaving || a->list || a->sampler || uv_is_closing((uv_handle_t *)&a->in))
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
	json_object_set_new(event, "why", event_string(why, WHY_MOST));
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
	char why[WHY_MOST + 200];
	const char *hang;
	enum end_word word = classify(r, end, why, sizeof(why), &hang);

	/* A step that was stopped has no end, so that a resumed run does it again. */
	if (!end->stopped || r->too_much)
		send_end(r, word, why, hang, end->seconds);
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

	r->child = child_start(r->agent->loop, argv, r->joint ? NULL : r->order.data, r->deadline,
			       &calls, &err);
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
	r->deadline = event_number(ev, "deadline");
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

/* ---- telemetry ---- */

static int is_telemetry(enum event_kind kind)
{
	return kind == EV_TELE || kind == EV_MARK || kind == EV_FULL;
}

static void say(struct agent *a, const char *text)
{
	json_t *note = event_new(EV_NOTE);

	json_object_set_new(note, "text", event_string(text, 500));
	send_event(a, note);
}

static void on_sample(void *arg, char *line, size_t len, int cut)
{
	struct agent *a = arg;
	struct error err;
	struct event ev;

	if (cut || event_parse(line, len, &ev, &err) < 0)
		return;
	if (is_telemetry(ev.kind)) {
		json_object_del(ev.json, "c");
		send_event(a, json_incref(ev.json));
	}
	event_release(&ev);
}

static void on_sampler_noise(void *arg, char *line, size_t len, int cut)
{
	struct agent *a = arg;

	(void)len;
	(void)cut;
	if (a->sampler_notes++ < SAMPLER_NOTES)
		say(a, line);
}

static void on_sampler_ended(void *arg, const struct child_end *end)
{
	struct agent *a = arg;
	char why[120];

	child_free(a->sampler);
	a->sampler = NULL;
	snprintf(why, sizeof(why), "its telemetry ended: %s %d",
		 end->signal ? "killed by signal" : "exit code",
		 end->signal ? end->signal : end->exit_code);
	if (!a->leaving)
		say(a, why);
	leave_if_done(a);
}

static void start_sampler(struct agent *a, const struct event *ev, const char *line)
{
	const char *const argv[] = { "/proc/self/exe", "sample", "--root", a->options->root, NULL };
	const struct child_calls calls = { on_sample, on_sampler_noise, on_sampler_ended, a };
	struct error err;

	(void)ev;
	(void)line;
	if (a->sampler || a->leaving)
		return;
	a->sampler = child_start(a->loop, argv, NULL, SAMPLER_SECONDS, &calls, &err);
	if (!a->sampler)
		say(a, err.text);
}

static void on_collect_late(uv_timer_t *timer)
{
	struct agent *a = timer->data;

	if (a->sampler)
		child_stop(a->sampler);
}

/* Asked to leave, it hands over all that it kept; nobody would take that from a lost controller. */
static void end_sampler(struct agent *a, int orderly)
{
	if (!a->sampler)
		return;
	if (!orderly) {
		child_stop(a->sampler);
		return;
	}
	child_send(a->sampler, "stop\n");
	uv_timer_start(&a->collect, on_collect_late, COLLECT_SECONDS * 1000, 0);
}

/* ---- leaving ---- */

/* Takes no more orders and ends what runs; the loop ends with the last child. */
static void leave(struct agent *a, int orderly)
{
	struct running *next;

	a->leaving = 1;
	end_sampler(a, orderly);
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
	send_again(a, (long)event_whole(ev, "from"));
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

static void (*const orders[EVENT_KIND_COUNT])(struct agent *, const struct event *,
					      const char *) = {
	[EV_WITH] = take_order, [EV_RUN] = take_order,     [EV_STOP] = on_stop,
	[EV_AGAIN] = on_again,  [EV_TELE] = start_sampler, [EV_PING] = on_ping,
	[EV_CLOCK] = on_clock,  [EV_SHARE] = on_pass,      [EV_GO] = on_pass,
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
		say(a, err.text);
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
		end_sampler(a, 0);
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
	uv_timer_init(&loop, &a.collect);
	a.in.data = a.out.data = a.beat.data = a.drain.data = a.collect.data = &a;
	a.heard = clock_now();
	if (uv_pipe_open(&a.in, STDIN_FILENO) < 0 || uv_pipe_open(&a.out, STDOUT_FILENO) < 0)
		return 4;
	send_hello(&a);
	/* Neither timer keeps the loop going: it ends with our input and the last child. */
	uv_timer_start(&a.beat, on_beat, BEAT_SECONDS * 1000, BEAT_SECONDS * 1000);
	uv_unref((uv_handle_t *)&a.beat);
	uv_unref((uv_handle_t *)&a.drain);
	uv_unref((uv_handle_t *)&a.collect);
	uv_read_start((uv_stream_t *)&a.in, on_alloc, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_walk(&loop, close_handle, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	lines_release(&a.orders);
	for (int i = 0; i < KEPT; i++)
		free(a.kept[i]);
	json_decref(a.clock);
	uv_loop_close(&loop);
	return 0;
}
