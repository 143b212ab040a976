/*
 * reach_private.h - for tests of reach.c: shorter times, and a channel without a command.
 *
 * Not in reach.h, so that nothing in the program can shorten the patience it has with nodes.
 */
#ifndef ASSAY_REACH_PRIVATE_H
#define ASSAY_REACH_PRIVATE_H

#include "harness/reach.h"

struct reach_times { /* seconds */
	double silent, beat, again, clock, tick;
	int agains; /* how often one line is asked for */
};

void reach_set_times(struct reach *r, const struct reach_times *times);

/* Gets every line that goes to a channel, whether or not a command runs there. */
void reach_spy(struct reach *r, void (*sent)(void *arg, int channel, const char *line), void *arg);

/* In place of reach_start: all agents are waited for, and no command runs. */
void reach_start_without(struct reach *r);
/* What the command of a channel would have written, up to its end. */
void reach_feed(struct reach *r, int channel, const char *data, size_t len);

#endif
