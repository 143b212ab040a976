/*
 * outbox.h - an agent's lines on their way to the controller: named, numbered, and kept for a
 * while.
 *
 * The way may damage lines, so the last OUTBOX_KEPT of them can be sent once more. Nothing waits
 * for the controller: one that reads no more shows as the end of our input.
 */
#ifndef ASSAY_OUTBOX_H
#define ASSAY_OUTBOX_H

#include <jansson.h>
#include <uv.h>

enum { OUTBOX_KEPT = 4096 }; /* lines: at most 4 MB */

struct outbox {
	const char *node; /* lent */
	uv_stream_t *out; /* lent */
	long sent;
	char *kept[OUTBOX_KEPT]; /* line n at n % OUTBOX_KEPT */
};

/* Puts this node's name and the next number on an event and sends it; eats the event. */
void outbox_send(struct outbox *o, json_t *event);
/* A note that belongs to no step. */
void outbox_note(struct outbox *o, const char *text);
/* Sends lines from number `from` on once more. What is gone is said, so that nobody waits for it.
 */
void outbox_again(struct outbox *o, long from);
/* Once its stream is closed. */
void outbox_release(struct outbox *o);

#endif
