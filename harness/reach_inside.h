/* reach_inside.h - what reach.c and reach_lines.c share. Private to them. */
#ifndef ASSAY_REACH_INSIDE_H
#define ASSAY_REACH_INSIDE_H

#include "harness/child.h"
#include "harness/reach_private.h"

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

/* ---- reach.c ---- */

const char *reach_name_of(const struct reach *r, int node);
struct channel *reach_channel_of(struct reach *r, int node);
/* Eats the event. */
void reach_send_one(struct reach *r, int node, json_t *event);
/* A node comes into another state than being reached. */
void reach_arrive(struct reach *r, int node, enum state state);
void reach_start_channels(struct reach *r);

/* ---- reach_lines.c ---- */

void reach_begin_clock(struct reach *r, int node);
/* Asks for the line that comes next, if it is time to. */
void reach_ask_again(struct reach *r, int node);
/* What the command of a channel (arg) does. */
void reach_on_line(void *arg, char *line, size_t len, int cut);
void reach_on_noise(void *arg, char *line, size_t len, int cut);
void reach_on_ended(void *arg, const struct child_end *end);

#endif
