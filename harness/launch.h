/*
 * launch.h - how an agent comes to be on a node. One row a launcher.
 *
 * A launcher only says which command starts an agent whose standard input and output are ours;
 * placement, authentication and fan-out belong to the engine behind it.
 */
#ifndef ASSAY_LAUNCH_H
#define ASSAY_LAUNCH_H

#include "harness/base/base.h"

enum { LAUNCH_ARGS = 16 };

struct launcher {
	const char *name, *summary;
	int one_node; /* reaches only this machine */
	int pretends; /* its nodes are not what they are called: such a run accepts nothing */
	/* Fills argv, ends with NULL. The strings are lent by the caller or constant. */
	void (*command)(const char *node, const char *root, const char *argv[LAUNCH_ARGS]);
};

extern const struct launcher launchers[]; /* ends at name == NULL */
const struct launcher *launcher_find(const char *name);

#endif
