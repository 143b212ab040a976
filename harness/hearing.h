/*
 * hearing.h - what the controller hears of the nodes' samplers, and what it makes of silence.
 *
 * Into the journal goes what the judge needs: marks, so many of a node, and when a node was told to
 * send, fell silent and was heard again. All of it goes into RUN/telemetry. It decides nothing
 * else: who is lost, and when the run is over, it is told. Time is an argument.
 */
#ifndef ASSAY_HEARING_H
#define ASSAY_HEARING_H

#include "harness/scribe.h"

enum {
	NODE_MARKS_MOST = 1000, /* of trouble; as many again that accuse nobody */
	GAP_SECONDS = 60,       /* a sampler tells something every 10 s */
	STOPPED_SECONDS = 30,   /* the same where nobody waited for its last words */
};

struct hearing;

struct instant {
	double now;  /* clock_now(): what deadlines are counted by */
	double wall; /* clock_wall(): what the journal shows */
};

struct instant instant_now(void);

/* For people: something is wrong with what this node sent; -1: with all of it. */
typedef void hearing_note(void *arg, int node, const char *text);

/*
 * run: the folder. NULL: no node is to be told, and what nodes send all the same is left out. A
 * folder that cannot be made is a note; the journal then has its part as ever. Fleet and scribe are
 * lent.
 */
struct hearing *hearing_new(const char *run, const struct fleet *fleet, struct scribe *scribe,
			    hearing_note *note, void *arg);
void hearing_free(struct hearing *h);
/* Whether nodes are to be told to send telemetry. */
int hearing_is_on(const struct hearing *h);

/* This node was told to send. */
void hearing_told(struct hearing *h, int node, struct instant at);
/* It is gone, so that its silence means nothing further. */
void hearing_lost(struct hearing *h, int node);
/* All steps are through: what comes now are last words. */
void hearing_over(struct hearing *h);
/* A tele or mark line of this node: what of it belongs into the journal. */
void hearing_take(struct hearing *h, int node, const struct event *ev, const char *line, size_t len,
		  struct instant at);
/* A tele, mark or full line: all of it, into the folder. */
void hearing_file(struct hearing *h, int node, const struct event *ev, const char *line,
		  size_t len);
/* Writes down who has fallen silent; to be asked again and again while the run is not over. */
void hearing_find_gaps(struct hearing *h, struct instant at);
/*
 * The run ends: writes down who never said its last words, and whose telemetry did not all arrive.
 * cut_off: it was stopped, and nobody waited for them.
 */
void hearing_end(struct hearing *h, int cut_off, struct instant at);

#endif
