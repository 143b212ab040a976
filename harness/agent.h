/*
 * agent.h - the two processes on a node: the agent, and the child that runs one step.
 *
 * The agent never touches hardware. It reads `with` and `run` lines, starts one child a step,
 * enforces its deadline, stamps and numbers its lines, and says how it ended. When its input ends,
 * or falls silent, it kills what still runs and leaves.
 */
#ifndef ASSAY_AGENT_H
#define ASSAY_AGENT_H

#include "harness/base/base.h"

struct agent_options {
	const char *node; /* its name in this run */
	const char *root; /* "" or the folder of a recorded machine */
	int pushed;       /* its file was made for this run and is to be removed at once */
};

/* Serves lines on standard input until it ends. The program's exit code. */
int agent_main(const struct agent_options *options);
/* Runs the one step described on standard input. The program's exit code. */
int step_main(const struct agent_options *options);

#endif
