/*
 * reach.c - channels to agents: started, spoken to, looked after, given up.
 */
#include "harness/reach_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	AGENT_SECONDS = 400 * 86400,
	TO_MOST = 200, /* bytes of a host list in one line */
};

static const struct reach_times usual_times = {
	.silent = 30,  /* six life signs of an agent in a row did not come */
	.beat = 5,     /* between our own life signs */
	.again = 2,    /* before a line is asked for once more */
	.agains = 100, /* more than three minutes: what is mixed so often is mixed for ever */
	.clock = 600,  /* clocks drift: 50 ppm are 30 ms in this time */
	.tick = 0.5,
};

const char *reach_name_of(const struct reach *r, int node)
{
	return r->fleet->nodes[node].name;
}

struct channel *reach_channel_of(struct reach *r, int node)
{
	return &r->channels[r->nodes[node].channel];
}

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
		names[i] = reach_name_of(r, nodes[i]);
	for (int from = 0, end = 0, n; from < count; from += n) {
		char *to;

		if (from == end)
			c = reach_channel_of(r, nodes[from]);
		while (end < count && reach_channel_of(r, nodes[end]) == c)
			end++;
		n = fit_names(names + from, end - from, &to);
		send_text(r, c, to, event);
		free(to);
	}
	free(names);
	json_decref(event);
}

void reach_send_one(struct reach *r, int node, json_t *event)
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
	struct channel *c = reach_channel_of(r, node);

	if (!c->agent)
		return;
	if (c->count > 1) {
		json_t *stop = event_new(EV_STOP);

		reach_send_one(r, node, stop);
	}
	if (!channel_has_nodes(r, c))
		child_stop(c->agent);
}

/* A node that was being reached no longer is, for better or worse. */
void reach_arrive(struct reach *r, int node, enum state state)
{
	struct node *n = &r->nodes[node];

	if ((n->state == STARTING || n->state == CLOCKING) &&
	    --reach_channel_of(r, node)->coming == 0)
		r->reaching--;
	n->state = state;
}

void reach_lose(struct reach *r, int node, const char *why)
{
	if (r->nodes[node].state == GONE || r->leaving)
		return;
	reach_arrive(r, node, GONE);
	dismiss(r, node);
	r->calls.lost(r->calls.arg, node, why);
	reach_start_channels(r);
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

	if (n->state == STARTING && now - reach_channel_of(r, node)->began > r->launcher->patience)
		reach_lose(r, node, "no agent answered");
	else if ((n->state == CLOCKING || n->state == READY) && now - n->heard > r->times.silent)
		lose_silent(r, node);
	else if (n->state == CLOCKING && now - n->clocked > r->times.silent)
		reach_lose(r, node, "its agent gives life signs, but no answers");
	else if (n->state == READY && now - n->clocked > r->times.clock)
		reach_begin_clock(r, node);
	else if (n->asked > 0)
		reach_ask_again(r, node);
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
			reach_ask_again(r, i);
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
		    r->launcher->refuses(r->launch, reach_name_of(r, i), &err) < 0) {
			reach_lose(r, i, err.text);
			continue;
		}
		r->nodes[i].state = STARTING;
		names[c->coming++] = reach_name_of(r, i);
	}
	c->tasks = c->coming;
	r->reaching += c->coming > 0;
	return names;
}

static void start_channel(struct reach *r, int channel)
{
	struct channel *c = &r->channels[channel];
	const struct child_calls calls = { reach_on_line, reach_on_noise, reach_on_ended, c };
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
void reach_start_channels(struct reach *r)
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

	lines_init(&lines, EVENT_MOST, reach_on_line, &r->channels[channel]);
	lines_feed(&lines, data, len);
	lines_flush(&lines);
	lines_release(&lines);
}

void reach_start(struct reach *r)
{
	reach_start_channels(r);
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
