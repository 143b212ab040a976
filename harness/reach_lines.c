/*
 * reach_lines.c - what comes from agents: in order, once, from who it says it is; and their clocks.
 *
 * Agents number their lines. A number that is missing is asked for again and everything behind it
 * is dropped until it comes (go-back-N): a launcher that mixes lines does so seldom, and holding
 * lines back in order would cost memory for each of thousands of nodes.
 */
#include "harness/reach_inside.h"
#include "harness/version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PUSH_SECONDS = 120, /* for the program to get to a node */
	PINGS = 4,
	BAD_LINES_NOTED = 100,
	BAD_LINES_MOST = 100000, /* of an agent that has the channel for itself, once it is known */
};

/* No agent gets there: at a million lines a second it takes 30 years. */
static const long long NUMBER_MOST = 1000000000000000LL;

/* ---- clocks -------------------------------------------------------------------------------- */

static void ping(struct reach *r, int node)
{
	struct node *n = &r->nodes[node];
	json_t *event = event_new(EV_PING);

	json_object_set_new(event, "k", json_integer(n->pings));
	n->pinged = clock_now();
	reach_send_one(r, node, event);
}

void reach_begin_clock(struct reach *r, int node)
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
	reach_send_one(r, node, event);
	if (n->state != CLOCKING)
		return;
	reach_arrive(r, node, READY);
	reach_start_channels(r);
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
	struct channel *c = reach_channel_of(r, node);
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
		 reach_name_of(r, (int)json_integer_value(other)), boot);
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
	reach_begin_clock(r, node);
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

void reach_ask_again(struct reach *r, int node)
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
	reach_send_one(r, node, event);
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
		reach_ask_again(r, node);
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
	int node = c->count == 1 && !strcmp(ev->at, reach_name_of(c->reach, c->first))
			   ? c->first
			   : fleet_find(c->reach->fleet, ev->at);

	return node >= c->first && node < c->first + c->count ? node : -1;
}

void reach_on_line(void *arg, char *line, size_t len, int cut)
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

void reach_on_noise(void *arg, char *line, size_t len, int cut)
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

void reach_on_ended(void *arg, const struct child_end *end)
{
	struct channel *c = arg;
	struct reach *r = c->reach;
	char why[800];

	child_free(c->agent);
	c->agent = NULL;
	ending_text(c, end, why, sizeof(why));
	for (int i = c->first; i < c->first + c->count; i++)
		reach_lose(r, i, why);
	reach_start_channels(r);
}
