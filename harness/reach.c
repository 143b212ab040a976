/*
 * reach.c - channels to agents.
 *
 * Agents number their lines. A number that is missing is asked for again and everything behind it
 * is dropped until it comes (go-back-N): a launcher that mixes lines does so seldom, and holding
 * lines back in order would cost memory for each of thousands of nodes.
 */
#include "harness/reach.h"

#include "harness/child.h"
#include "harness/reach_private.h"
#include "harness/version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PUSH_SECONDS = 120, /* for the program to get to a node */
	PINGS = 4,
	AGENT_SECONDS = 400 * 86400,
	BAD_LINES_NOTED = 100,
	BAD_LINES_MOST = 100000, /* of an agent that has the channel for itself, once it is known */
	TO_MOST = 200,           /* bytes of a host list in one line */
};

/* No agent gets there: at a million lines a second it takes 30 years. */
static const long long NUMBER_MOST = 1000000000000000LL;

static const struct reach_times usual_times = {
	.silent = 30,  /* six life signs of an agent in a row did not come */
	.beat = 5,     /* between our own life signs */
	.again = 2,    /* before a line is asked for once more */
	.agains = 100, /* more than three minutes: what is mixed so often is mixed for ever */
	.clock = 600,  /* clocks drift: 50 ppm are 30 ms in this time */
	.tick = 0.5,
};

enum state { WAITING, STARTING, CLOCKING, READY, GONE };

struct node {
	enum state state;
	int channel;
	long long next;         /* number of the line that comes next */
	double heard;           /* when it last said anything */
	double asked;           /* when its next line was asked for again, 0: it was not */
	int agains;             /* how often, since a line came as it should */
	double pinged, clocked; /* when the ping under way left, when the clock was known */
	int pings;
	double offset, error, best; /* best: offset and round trip of the fastest ping so far */
	double best_offset;
};

struct channel {
	struct reach *reach;
	struct child_process *agent;
	int first, count; /* its nodes */
	int coming;       /* of them are being reached */
	int bad_lines;
	int tasks;   /* of its nodes the ones that its command was given */
	int wanting; /* of those that wait for the program */
	double began;
	char noise[600]; /* the last lines of its standard error, joined */
};

struct reach {
	const struct fleet *fleet;
	const struct launcher *launcher;
	const struct launch *launch;
	struct reach_calls calls;
	uv_loop_t *loop;
	uv_timer_t tick;
	struct node *nodes;
	struct channel *channels;
	int channel_count, next;  /* next: the channel that is started next */
	int reaching;             /* channels with nodes that are being reached */
	int leaving, starting;    /* starting: start_channels is at work */
	int stop_each, stop_next; /* nodes that are told to leave at once, and the next of them */
	double stop_every, stopped;
	struct reach_times times;
	double beaten;
	void (*spy)(void *arg, int channel, const char *line);
	void *spy_arg;
	json_t *boots; /* index of the node that told this boot id */
};

static const char *name_of(const struct reach *r, int node)
{
	return r->fleet->nodes[node].name;
}

static struct channel *channel_of(struct reach *r, int node)
{
	return &r->channels[r->nodes[node].channel];
}

static void start_channels(struct reach *r);

/* ---- sending ------------------------------------------------------------------------------- */

static void send_text(struct reach *r, const struct channel *c, const char *to, const json_t *event)
{
	json_t *copy = json_copy((json_t *)event);
	struct error err;
	char *line;

	if (to)
		json_object_set_new(copy, "to", json_string(to));
	line = event_line(copy, &err);
	if (!line)
		BUG("%s", err.text);
	if (c->agent)
		child_send(c->agent, line);
	if (r->spy)
		r->spy(r->spy_arg, (int)(c - r->channels), line);
	free(line);
}

/*
 * How many of these names fit into one "to", at least one; the text is the caller's. Tried from a
 * few names upwards: from all of them downwards, thousands of names that make no ranges took as
 * many tries of thousands.
 */
static int fit_names(const char *const *names, int count, char **text)
{
	int fits = 1, too_many = count + 1;

	*text = hostlist_text(names, 1);
	for (int n = count > 1 ? 2 : 1; n > fits;) {
		char *longer = hostlist_text(names, n);

		if (strlen(longer) <= TO_MOST) {
			free(*text);
			*text = longer;
			fits = n;
		} else {
			free(longer);
			too_many = n;
		}
		n = too_many > count ? (2 * fits < count ? 2 * fits : count)
				     : (fits + too_many) / 2;
	}
	return fits;
}

void reach_send(struct reach *r, const int *nodes, int count, json_t *event)
{
	const char **names = xcalloc((size_t)count + 1, sizeof(*names));
	struct channel *c = NULL;

	for (int i = 0; i < count; i++)
		names[i] = name_of(r, nodes[i]);
	for (int from = 0, end = 0, n; from < count; from += n) {
		char *to;

		if (from == end)
			c = channel_of(r, nodes[from]);
		while (end < count && channel_of(r, nodes[end]) == c)
			end++;
		n = fit_names(names + from, end - from, &to);
		send_text(r, c, to, event);
		free(to);
	}
	free(names);
	json_decref(event);
}

static void send_one(struct reach *r, int node, json_t *event)
{
	reach_send(r, &node, 1, event);
}

/* ---- losing -------------------------------------------------------------------------------- */

static int channel_has_nodes(const struct reach *r, const struct channel *c)
{
	for (int i = c->first; i < c->first + c->count; i++)
		if (r->nodes[i].state != GONE)
			return 1;
	return 0;
}

/* The last node of a channel takes its command with it; else only this agent is sent away. */
static void dismiss(struct reach *r, int node)
{
	struct channel *c = channel_of(r, node);

	if (!c->agent)
		return;
	if (c->count > 1) {
		json_t *stop = event_new(EV_STOP);

		send_one(r, node, stop);
	}
	if (!channel_has_nodes(r, c))
		child_stop(c->agent);
}

/* A node that was being reached no longer is, for better or worse. */
static void arrive(struct reach *r, int node, enum state state)
{
	struct node *n = &r->nodes[node];

	if ((n->state == STARTING || n->state == CLOCKING) && --channel_of(r, node)->coming == 0)
		r->reaching--;
	n->state = state;
}

void reach_lose(struct reach *r, int node, const char *why)
{
	if (r->nodes[node].state == GONE || r->leaving)
		return;
	arrive(r, node, GONE);
	dismiss(r, node);
	r->calls.lost(r->calls.arg, node, why);
	start_channels(r);
}

/* ---- clocks -------------------------------------------------------------------------------- */

static void ping(struct reach *r, int node)
{
	struct node *n = &r->nodes[node];
	json_t *event = event_new(EV_PING);

	json_object_set_new(event, "k", json_integer(n->pings));
	n->pinged = clock_now();
	send_one(r, node, event);
}

static void begin_clock(struct reach *r, int node)
{
	struct node *n = &r->nodes[node];

	n->pings = 0;
	n->best = INFINITY;
	n->clocked = clock_now();
	ping(r, node);
}

static void tell_clock(struct reach *r, int node)
{
	struct node *n = &r->nodes[node];
	json_t *event = event_new(EV_CLOCK);

	n->offset = n->best_offset;
	n->error = n->best / 2;
	json_object_set_new(event, "offset", json_real(n->offset));
	json_object_set_new(event, "error", json_real(n->error));
	send_one(r, node, event);
	if (n->state != CLOCKING)
		return;
	arrive(r, node, READY);
	start_channels(r);
	r->calls.ready(r->calls.arg, node);
}

/* The fastest of a few round trips: what waited on its way tells least about the clock. */
static void on_pong(struct reach *r, int node, const struct event *ev)
{
	struct node *n = &r->nodes[node];
	/* By a clock that nobody sets: a trip of less than nothing would look like the fastest. */
	double trip = clock_now() - n->pinged;

	if (n->pings >= PINGS || event_whole(ev, "k") != n->pings)
		return;
	if (trip < n->best) {
		n->best = trip;
		n->best_offset = (double)event_whole(ev, "us") / 1e6 - (clock_wall() - trip / 2);
	}
	if (++n->pings < PINGS)
		ping(r, node);
	else
		tell_clock(r, node);
}

int reach_clock(const struct reach *r, int node, double *offset, double *error)
{
	*offset = r->nodes[node].offset;
	*error = r->nodes[node].error;
	return r->nodes[node].state == READY;
}

int reach_is_ready(const struct reach *r, int node)
{
	return r->nodes[node].state == READY;
}

/* ---- hello --------------------------------------------------------------------------------- */

static void note_banner(struct reach *r, int node)
{
	struct channel *c = channel_of(r, node);
	char text[200];

	if (!c->bad_lines || c->count > 1)
		return;
	snprintf(text, sizeof(text),
		 "%d lines came before its agent spoke and are left out: a banner?", c->bad_lines);
	r->calls.note(r->calls.arg, node, text);
	c->bad_lines = 0;
}

/* -1 with why when this agent cannot be worked with. */
static int refuse_version(const struct event *ev, char *why, size_t room)
{
	if (!strcmp(event_text(ev, "version"), ASSAY_VERSION) &&
	    !strcmp(event_text(ev, "commit"), ASSAY_COMMIT))
		return 0;
	snprintf(why, room, "its agent is version %.40s (%.40s), this is %s (%s)",
		 event_text(ev, "version"), event_text(ev, "commit"), ASSAY_VERSION, ASSAY_COMMIT);
	return -1;
}

/* Two names of one machine would make one good node two. */
static int refuse_twin(struct reach *r, int node, const struct event *ev, char *why, size_t room)
{
	const char *boot = event_text(ev, "boot");
	json_t *other = json_object_get(r->boots, boot);

	if (r->launcher->pretends || r->fleet->count == 1)
		return 0;
	if (!*boot) {
		r->calls.note(r->calls.arg, node,
			      "its agent tells no boot id, so a second name of the same machine "
			      "would not be noticed");
		return 0;
	}
	if (!other) {
		json_object_set_new(r->boots, boot, json_integer(node));
		return 0;
	}
	snprintf(why, room, "it is the same machine as %s (both have boot id %.40s)",
		 name_of(r, (int)json_integer_value(other)), boot);
	return -1;
}

static void on_hello(struct reach *r, int node, const struct event *ev)
{
	struct node *n = &r->nodes[node];
	char why[300];

	if (n->state != STARTING)
		return;
	note_banner(r, node);
	if (refuse_version(ev, why, sizeof(why)) < 0 ||
	    refuse_twin(r, node, ev, why, sizeof(why)) < 0) {
		reach_lose(r, node, why);
		return;
	}
	n->state = CLOCKING;
	begin_clock(r, node);
}

/* ---- lines --------------------------------------------------------------------------------- */

/* A banner is no harm, and a node that talks without end must not fill our disk. */
static void on_bad_line(struct channel *c, const char *why)
{
	struct reach *r = c->reach;
	int is_one = c->count == 1;
	char text[700];

	if (is_one && r->nodes[c->first].state == GONE)
		return;
	c->bad_lines++;
	if (is_one && c->bad_lines > BAD_LINES_MOST && r->nodes[c->first].state > STARTING)
		reach_lose(r, c->first, "its agent sends damaged lines without end");
	if ((is_one && r->nodes[c->first].state <= STARTING) || c->bad_lines > BAD_LINES_NOTED)
		return;
	snprintf(text, sizeof(text), "a line of its agent is left out: %s%s", why,
		 c->bad_lines == BAD_LINES_NOTED ? "; further ones are not noted" : "");
	if (is_one) /* where agents share a channel, lines get mixed, and come again */
		r->calls.note(r->calls.arg, c->first, text);
}

static void ask_again(struct reach *r, int node)
{
	struct node *n = &r->nodes[node];
	json_t *event;

	if (n->asked > 0 && clock_now() - n->asked < r->times.again)
		return;
	n->asked = clock_now();
	if (++n->agains > r->times.agains) {
		reach_lose(r, node, "its lines stay damaged, however often they are asked for");
		return;
	}
	event = event_new(EV_AGAIN);
	json_object_set_new(event, "from", json_integer(n->next));
	send_one(r, node, event);
}

/* An agent keeps only so many lines. What it cannot give again is lost, and the step's end, which
 * counts its lines, will say so. */
static void skip_lines(struct reach *r, int node, long long first)
{
	struct node *n = &r->nodes[node];
	char text[120];

	if (first <= n->next || first > NUMBER_MOST)
		return;
	snprintf(text, sizeof(text), "its lines %lld to %lld are lost", n->next, first - 1);
	n->next = first;
	r->calls.note(r->calls.arg, node, text);
}

static int is_telemetry(enum event_kind kind)
{
	return kind == EV_TELE || kind == EV_MARK || kind == EV_FULL;
}

static int is_result(enum event_kind kind)
{
	return kind == EV_HELLO || kind == EV_FACT || kind == EV_DATA || kind == EV_NOTE ||
	       kind == EV_END || kind == EV_SHARE || kind == EV_TELE || kind == EV_MARK ||
	       kind == EV_FULL;
}

/* Whether this is the line that comes next. */
static int in_order(struct reach *r, int node, const struct event *ev)
{
	struct node *n = &r->nodes[node];
	long long number = event_whole(ev, "n");

	if (ev->kind == EV_BEAT && json_object_get(ev->json, "first"))
		skip_lines(r, node, event_whole(ev, "first"));
	if (number > n->next)
		ask_again(r, node);
	if (number != n->next)
		return 0;
	n->next++;
	n->asked = 0;
	n->agains = 0;
	return 1;
}

static void take_line(struct reach *r, int node, const struct event *ev, const char *line,
		      size_t len)
{
	struct node *n = &r->nodes[node];

	if (n->state == GONE || n->state == WAITING)
		return;
	n->heard = clock_now();
	if (!in_order(r, node, ev) || (r->leaving && !is_telemetry(ev->kind)))
		return;
	/* One hello, before all else: a second one would be one more line in the journal. */
	if ((n->state == STARTING) != (ev->kind == EV_HELLO))
		return;
	if (is_result(ev->kind))
		r->calls.line(r->calls.arg, node, ev, line, len);
	if (ev->kind == EV_HELLO)
		on_hello(r, node, ev);
	else if (ev->kind == EV_PONG)
		on_pong(r, node, ev);
}

/* Tasks of one command read the same standard input, so all must wait before any is served. */
static int push_if_wanted(struct channel *c, const char *line)
{
	const struct push *p = c->reach->launch->push;

	if (!p || strcmp(line, PUSH_WORDS) != 0 || ++c->wanting > c->tasks)
		return 0;
	c->began = clock_now() + PUSH_SECONDS;
	if (c->wanting == c->tasks && c->agent)
		child_send_lent(c->agent, p->data, p->len);
	return 1;
}

static int node_of_line(const struct channel *c, const struct event *ev)
{
	int node = c->count == 1 && !strcmp(ev->at, name_of(c->reach, c->first))
			   ? c->first
			   : fleet_find(c->reach->fleet, ev->at);

	return node >= c->first && node < c->first + c->count ? node : -1;
}

static void on_line(void *arg, char *line, size_t len, int cut)
{
	struct channel *c = arg;
	struct reach *r = c->reach;
	struct error err = { "a line without an end" };
	struct event ev;
	int node;

	if (!cut && push_if_wanted(c, line))
		return;
	if (cut || event_parse(line, len, &ev, &err) < 0) {
		on_bad_line(c, err.text);
		return;
	}
	node = node_of_line(c, &ev);
	if (node >= 0)
		take_line(r, node, &ev, line, len);
	else if (!r->leaving)
		on_bad_line(c, "it is in the name of another node");
	event_release(&ev);
}

/* One of many agents may leave while the others go on; only the launcher's words tell which. */
static void lose_named(struct channel *c, const char *line)
{
	struct reach *r = c->reach;
	char *text = c->count > 1 && r->launcher->about ? r->launcher->about(line) : NULL;
	const char *meaning = text ? r->launcher->explain(0, line) : NULL;
	struct hostlist list = { 0 };
	struct error err;
	char why[700];

	snprintf(why, sizeof(why), "%s%s%s", meaning ? meaning : "", meaning ? ": " : "", line);
	if (text && hostlist_parse(text, &list, &err) == 0) {
		for (int i = 0; i < list.count; i++) {
			int node = fleet_find(r->fleet, list.names[i]);

			if (node >= c->first && node < c->first + c->count)
				reach_lose(r, node, why);
		}
		hostlist_release(&list);
	}
	free(text);
}

static void on_noise(void *arg, char *line, size_t len, int cut)
{
	struct channel *c = arg;

	(void)cut;
	while (len && line[len - 1] == '\r') /* ssh ends its lines as a terminal wants them */
		line[--len] = '\0';
	if (!len)
		return;
	launch_keep(c->noise, sizeof(c->noise), line);
	if (!c->reach->leaving)
		lose_named(c, line);
}

/* Why a command is gone that nobody sent away. */
static void ending_text(const struct channel *c, const struct child_end *end, char *out,
			size_t room)
{
	const struct launcher *launcher = c->reach->launcher;
	const char *meaning = launcher->explain && !end->signal
				      ? launcher->explain(end->exit_code, c->noise)
				      : NULL;

	if (end->signal)
		snprintf(out, room, "its agent was killed by signal %d", end->signal);
	else if (meaning)
		snprintf(out, room, "%s%s%s", meaning, *c->noise ? ": " : "", c->noise);
	else
		snprintf(out, room, "its agent left with code %d%s%s", end->exit_code,
			 *c->noise ? ": " : "", c->noise);
}

static void on_ended(void *arg, const struct child_end *end)
{
	struct channel *c = arg;
	struct reach *r = c->reach;
	char why[800];

	child_free(c->agent);
	c->agent = NULL;
	ending_text(c, end, why, sizeof(why));
	for (int i = c->first; i < c->first + c->count; i++)
		reach_lose(r, i, why);
	start_channels(r);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* Before that, what reads our lines may be a shell that waits for the program. */
static int has_spoken(const struct reach *r, const struct channel *c)
{
	for (int i = c->first; i < c->first + c->count; i++)
		if (r->nodes[i].state == CLOCKING || r->nodes[i].state == READY)
			return 1;
	return 0;
}

static void beat(struct reach *r)
{
	json_t *event;

	if (clock_now() - r->beaten < r->times.beat)
		return;
	r->beaten = clock_now();
	event = event_new(EV_BEAT);
	for (int i = 0; i < r->channel_count; i++)
		if (r->channels[i].agent && has_spoken(r, &r->channels[i]))
			send_text(r, &r->channels[i], NULL, event);
	json_decref(event);
}

static void lose_silent(struct reach *r, int node)
{
	char why[200];

	snprintf(why, sizeof(why),
		 "it fell silent: no life sign of its agent for %.0f s, so the node or the way to "
		 "it is frozen",
		 r->times.silent);
	reach_lose(r, node, why);
}

static void look_after(struct reach *r, int node, double now)
{
	struct node *n = &r->nodes[node];

	if (n->state == STARTING && now - channel_of(r, node)->began > r->launcher->patience)
		reach_lose(r, node, "no agent answered");
	else if ((n->state == CLOCKING || n->state == READY) && now - n->heard > r->times.silent)
		lose_silent(r, node);
	else if (n->state == CLOCKING && now - n->clocked > r->times.silent)
		reach_lose(r, node, "its agent gives life signs, but no answers");
	else if (n->state == READY && now - n->clocked > r->times.clock)
		begin_clock(r, node);
	else if (n->asked > 0)
		ask_again(r, node);
}

/* The next of those that wait to be told, `each` of them or all. */
static void stop_some(struct reach *r)
{
	int *nodes = xcalloc((size_t)r->fleet->count, sizeof(*nodes)), count = 0;

	r->stopped = clock_now();
	while (r->stop_next < r->fleet->count && (!r->stop_each || count < r->stop_each)) {
		enum state state = r->nodes[r->stop_next].state;

		if (state == CLOCKING || state == READY)
			nodes[count++] = r->stop_next;
		r->stop_next++;
	}
	reach_send(r, nodes, count, event_new(EV_STOP));
	free(nodes);
}

static void on_tick(uv_timer_t *timer)
{
	struct reach *r = timer->data;
	double now = clock_now();

	if (!r->leaving || r->stop_next < r->fleet->count)
		beat(r);
	if (r->leaving && r->stop_next < r->fleet->count && now - r->stopped >= r->stop_every)
		stop_some(r);
	for (int i = 0; i < r->fleet->count; i++)
		if (!r->leaving)
			look_after(r, i, now);
		else if (r->nodes[i].asked > 0)
			ask_again(r, i);
}

/* ---- setting up and leaving ---------------------------------------------------------------- */

/*
 * The nodes of a channel that were not given up before their turn came; the caller frees them.
 * Those that the engine will not give stay out of the command, or it would give none.
 */
static const char **begin_to_reach(struct reach *r, struct channel *c)
{
	const char **names = xcalloc((size_t)c->count, sizeof(*names));
	struct error err;

	c->began = clock_now();
	for (int i = c->first; i < c->first + c->count; i++) {
		if (r->nodes[i].state == GONE)
			continue;
		if (r->launcher->refuses &&
		    r->launcher->refuses(r->launch, name_of(r, i), &err) < 0) {
			reach_lose(r, i, err.text);
			continue;
		}
		r->nodes[i].state = STARTING;
		names[c->coming++] = name_of(r, i);
	}
	c->tasks = c->coming;
	r->reaching += c->coming > 0;
	return names;
}

static void start_channel(struct reach *r, int channel)
{
	struct channel *c = &r->channels[channel];
	const struct child_calls calls = { on_line, on_noise, on_ended, c };
	const char **names = begin_to_reach(r, c);
	struct error err;
	char **argv = c->coming ? r->launcher->command(r->launch, names, c->coming, &err) : NULL;

	if (argv)
		c->agent = child_start(r->loop, (const char *const *)argv, NULL, AGENT_SECONDS,
				       &calls, &err);
	launch_free(argv);
	free(names);
	for (int i = c->first; i < c->first + c->count && !c->agent; i++)
		reach_lose(r, i, err.text);
}

/* As many at the same time as the launcher likes: a thousand logins at once are an attack. */
static void start_channels(struct reach *r)
{
	int window = r->launcher->window;

	/* A command that cannot be started loses its nodes, which leads here again: thousands of
	 * them would be as many levels deep. */
	if (r->starting)
		return;
	r->starting = 1;
	while (!r->leaving && r->next < r->channel_count && (!window || r->reaching < window))
		start_channel(r, r->next++);
	r->starting = 0;
}

static void make_channels(struct reach *r)
{
	const struct launcher *l = r->launcher;
	int count = r->fleet->count;
	int each = count > l->alone_most || r->launch->together ? l->together : 1;

	each = each > 1 ? each : 1;
	r->channel_count = (count + each - 1) / each;
	r->channels = xcalloc((size_t)r->channel_count, sizeof(*r->channels));
	for (int i = 0; i < count; i++) {
		struct channel *c = &r->channels[i / each];

		r->nodes[i] = (struct node){ .channel = i / each, .next = 1 };
		c->reach = r;
		c->first = i / each * each;
		c->count++;
	}
}

static void start_timer(struct reach *r)
{
	const uint64_t ms = (uint64_t)(r->times.tick * 1000);

	uv_timer_start(&r->tick, on_tick, ms, ms);
}

struct reach *reach_new(uv_loop_t *loop, const struct fleet *fleet, const struct launcher *launcher,
			const struct launch *launch, const struct reach_calls *calls)
{
	struct reach *r = xcalloc(1, sizeof(*r));

	r->fleet = fleet;
	r->launcher = launcher;
	r->launch = launch;
	r->calls = *calls;
	r->loop = loop;
	r->boots = json_object();
	r->times = usual_times;
	r->nodes = xcalloc((size_t)fleet->count, sizeof(*r->nodes));
	make_channels(r);
	uv_timer_init(loop, &r->tick);
	r->tick.data = r;
	start_timer(r);
	return r;
}

void reach_set_times(struct reach *r, const struct reach_times *times)
{
	r->times = *times;
	start_timer(r);
}

void reach_spy(struct reach *r, void (*sent)(void *arg, int channel, const char *line), void *arg)
{
	r->spy = sent;
	r->spy_arg = arg;
}

void reach_start_without(struct reach *r)
{
	while (r->next < r->channel_count)
		free(begin_to_reach(r, &r->channels[r->next++]));
}

void reach_feed(struct reach *r, int channel, const char *data, size_t len)
{
	struct lines lines;

	lines_init(&lines, EVENT_MOST, on_line, &r->channels[channel]);
	lines_feed(&lines, data, len);
	lines_flush(&lines);
	lines_release(&lines);
}

void reach_start(struct reach *r)
{
	start_channels(r);
}

void reach_leave(struct reach *r, int each, double every)
{
	r->leaving = 1;
	r->stop_each = each;
	r->stop_every = every;
	/* Who has not spoken may be waiting for the program; who has, leaves by itself. */
	for (int i = 0; i < r->channel_count; i++)
		if (r->channels[i].agent && !has_spoken(r, &r->channels[i]))
			child_close_input(r->channels[i].agent);
	stop_some(r);
}

int reach_alive(const struct reach *r)
{
	int alive = 0;

	for (int i = 0; i < r->channel_count; i++)
		alive += r->channels[i].agent != NULL;
	return alive;
}

void reach_kill(struct reach *r)
{
	for (int i = 0; i < r->channel_count; i++)
		if (r->channels[i].agent)
			child_stop(r->channels[i].agent);
}

static void on_closed(uv_handle_t *h)
{
	struct reach *r = h->data;

	json_decref(r->boots);
	free(r->channels);
	free(r->nodes);
	free(r);
}

void reach_free(struct reach *r)
{
	uv_close((uv_handle_t *)&r->tick, on_closed);
}
