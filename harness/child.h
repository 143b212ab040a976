/*
 * child.h - one child process with a deadline: steps for the agent, agents for the controller.
 *
 * The caller: 1. child_start with its callbacks; 2. gets line() and noise() as output comes; 3.
 * gets ended() exactly once, after the process is gone and its pipes are read to the end, or after
 * it could not be killed; 4. child_free.
 */
#ifndef ASSAY_CHILD_H
#define ASSAY_CHILD_H

#include "harness/base/base.h"

#include <uv.h>

struct child_end {
	int exit_code; /* -1 if killed by a signal */
	int signal;
	int timed_out; /* killed by us at its deadline */
	int stopped;   /* killed by us on request */
	int stuck;     /* not even SIGKILL ended it; still running */
	/* timed out or stuck: what /proc says it waited for at that moment */
	char state[200];
	int in_kernel; /* it waited for a device, in the kernel or a driver */
	double seconds;
};

struct child_process;

struct child_calls {
	void (*line)(void *arg, char *line, size_t len, int cut);  /* standard output */
	void (*noise)(void *arg, char *line, size_t len, int cut); /* standard error */
	void (*ended)(void *arg, const struct child_end *end);
	void *arg;
};

/*
 * Starts argv in its own session, writes `input` to its standard input and closes it; NULL: keeps
 * it open for child_send. Deadline in seconds; then SIGTERM to the group, 5 s, SIGKILL, 5 s, stuck.
 * NULL with err.
 */
struct child_process *child_start(uv_loop_t *loop, const char *const *argv, const char *input,
				  double deadline, const struct child_calls *calls,
				  struct error *err);
/* Queues text for its standard input; what it does not read is lost with it. */
void child_send(struct child_process *c, const char *text);
/* The same with bytes that stay where they are until the child has ended. */
void child_send_lent(struct child_process *c, const char *data, size_t len);
void child_close_input(struct child_process *c); /* after all that was sent */
/* Ends it before its time; ended() still comes. */
void child_stop(struct child_process *c);
void child_free(struct child_process *c); /* after ended() */

#endif
