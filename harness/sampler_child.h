/*
 * sampler_child.h - the process beside an agent that reads sensors and counters, `assay sample`.
 *
 * The caller: 1. sampler_child_new; 2. sampler_child_start, whose lines then go into the outbox; 3.
 * sampler_child_end when it leaves, and waits for ended(); 4. sampler_child_free. A node without
 * telemetry is said in notes and stops nothing.
 */
#ifndef ASSAY_SAMPLER_CHILD_H
#define ASSAY_SAMPLER_CHILD_H

#include "harness/outbox.h"

struct sampler_child;

/* All is lent. root: "" or the folder of a recorded machine. ended(arg): its process is gone. */
struct sampler_child *sampler_child_new(uv_loop_t *loop, const char *root, struct outbox *out,
					void (*ended)(void *arg), void *arg);
/* Starts the process, unless it runs or was told to end. A failure is a note. */
void sampler_child_start(struct sampler_child *s);
/*
 * Asks it to hand over all that it kept, for which it gets some minutes; at_once: nobody would take
 * that, so it is killed. May be called again with at_once.
 */
void sampler_child_end(struct sampler_child *s, int at_once);
int sampler_child_runs(const struct sampler_child *s);
/* Once it does not run and the loop has closed its handles. */
void sampler_child_free(struct sampler_child *s);

#endif
