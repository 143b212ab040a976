/*
 * meet.h - the standard input of a step's process: its order first, then what other members of a
 * joint step give out. Private to that process.
 */
#ifndef ASSAY_MEET_H
#define ASSAY_MEET_H

#include "harness/event.h"

struct meet;

/* on_line gets every line of standard input; send writes one event to standard output. */
struct meet *meet_new(void (*on_line)(void *arg, char *line, size_t len, int cut),
		      void (*send)(void *arg, json_t *event), void *arg);
void meet_free(struct meet *m);
/*
 * Reads what is there, waiting at most so many seconds (negative: for ever). 1: something came, 0:
 * the end, or -1 with err: the time is over.
 */
int meet_read(struct meet *m, double seconds, struct error *err);
/* A line behind the order: kept if it is a share or a start. */
void meet_line(struct meet *m, const char *line, size_t len);

/* What check.h says of job_tell, job_share (to: NULL), job_take and job_begin. */
int meet_share(struct meet *m, const char *to, const char *key, const char *value,
	       struct error *err);
int meet_take(struct meet *m, const char *from, const char *key, char **value, struct error *err);
/* with_all: -1 with err if any member is gone; else those that are there begin. */
int meet_begin(struct meet *m, int with_all, struct error *err);

#endif
