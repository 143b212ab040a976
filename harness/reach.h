/*
 * reach.h - reaches the nodes: agents, their life signs, their clocks, their lines in order.
 *
 * One command of a launcher carries the agents of one or of many nodes (a channel). Lines that a
 * channel damaged or mixed are asked for again, so callers see every line of a node once and in its
 * order. A node is lost at most once, with a reason for people, and says nothing after that.
 *
 * Whose line it is stands in the line itself, and a channel's own nodes only are believed. So an
 * agent with a channel of its own speaks for nobody else. Agents that share a command could speak
 * for each other: with the number that is next there, one of them gives another node figures, ends
 * its steps or makes it lost. The harm stays with the nodes of that command. It could be kept to
 * the node itself by a key in each hello and a keyed hash in each line, but for those who say hello
 * in the name of another one first; a launcher that serves nodes which do not trust each other
 * starts a command for each (`alone_most`). A boot id is believed too: who tells that of another
 * node first gets that one refused, and is named there.
 */
#ifndef ASSAY_REACH_H
#define ASSAY_REACH_H

#include "harness/event.h"
#include "harness/fleet.h"
#include "harness/launch.h"

#include <uv.h>

struct reach;

struct reach_calls {
	/* It answered, is of our version and no second name of another node; its clock is known. */
	void (*ready)(void *arg, int node);
	/* hello, fact, data, note, end, share, tele, mark or full, as it came (without newline). */
	void (*line)(void *arg, int node, const struct event *ev, const char *line, size_t len);
	void (*lost)(void *arg, int node, const char *why);
	/* Something worth a line in the journal; node -1: of no node in particular. */
	void (*note)(void *arg, int node, const char *text);
	void *arg;
};

/* All is lent for the life of the reach. */
struct reach *reach_new(uv_loop_t *loop, const struct fleet *fleet, const struct launcher *launcher,
			const struct launch *launch, const struct reach_calls *calls);
/* Starts agents, as many at a time as the launcher likes. */
void reach_start(struct reach *r);
/*
 * Sends one event to these nodes (ascending), as few lines as it can be; "to" is filled in here.
 * Eats the event. It must leave 250 bytes of a line for "to".
 */
void reach_send(struct reach *r, const int *nodes, int count, json_t *event);
/* Gives a node up: it is told to leave, and lost() is called with the reason. */
void reach_lose(struct reach *r, int node, const char *why);
/* Whether it can take orders. */
int reach_is_ready(const struct reach *r, int node);
/*
 * Tells all agents to stop their steps and to leave, `each` of them every so many seconds (0: all
 * at once). Nothing but telemetry is reported any more: what nodes kept of it comes now.
 */
void reach_leave(struct reach *r, int each, double every);
/* Commands that still run. */
int reach_alive(const struct reach *r);
/* Ends them: SIGTERM, and SIGKILL 5 s later, for a killed srun leaves its job behind. */
void reach_kill(struct reach *r);
/* After reach_alive is 0; closes its timer, so the loop must run once more before the loop ends. */
void reach_free(struct reach *r);

/*
 * Seconds by which the node's clock is ahead of ours, and by how much that may be wrong: half of
 * the fastest round trip. 0 if it is not known yet, else 1.
 */
int reach_clock(const struct reach *r, int node, double *offset, double *error);

#endif
