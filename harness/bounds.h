/*
 * bounds.h - how much of what a node sends is kept.
 *
 * Our disk is not a node's to fill. What honest agents send stays far below all of this.
 */
#ifndef ASSAY_BOUNDS_H
#define ASSAY_BOUNDS_H

#include "harness/event.h"

enum {
	NODE_NOTES_MOST = 1000,
	STEP_NOTES_MOST = 250, /* an agent itself sends 200 */
};

struct node_sent {
	int notes;
	long long bytes; /* of its lines in the journal */
};

struct step_sent { /* of one attempt at one step */
	int lines, notes, shares;
};

/*
 * Counts a line of `len` bytes; step: NULL when it belongs to none. What is wrong when it is one
 * too many, for the node that sends without end is then to be lost; else NULL.
 */
const char *bounds_count(struct node_sent *node, struct step_sent *step, const struct event *ev,
			 size_t len);
/* Counts a note. Whether it is left out; the last one that is not says so in *text. */
int bounds_note(int *count, int most, const char **text);

#endif
