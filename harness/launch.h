/*
 * launch.h - how an agent comes to be on a node. One row a launcher.
 *
 * A launcher only says which command starts an agent whose standard input and output are ours;
 * placement, authentication and fan-out belong to the engine behind it.
 */
#ifndef ASSAY_LAUNCH_H
#define ASSAY_LAUNCH_H

#include "harness/push.h"

/* What all agents of a run are started with. The strings are lent. */
struct launch {
	const char *root;        /* "" or the folder of a recorded machine */
	const char *program;     /* where assay is on the nodes; "" : where it is here */
	const char *ssh_config;  /* for `ssh -F`; "": what ssh reads anyway */
	const struct push *push; /* the program for nodes that lack it; NULL: it must be there */
};

struct launcher {
	const char *name, *summary;
	int one_node;   /* reaches only this machine */
	int pretends;   /* its nodes are not what they are called: such a run accepts nothing */
	int window;     /* agents that are being reached at the same time; 0: all */
	int patience;   /* seconds for a command to bring its agents to speak */
	int together;   /* agents that one command may start; their lines may come mixed */
	int alone_most; /* up to so many nodes each has a command of its own all the same */
	/*
	 * The command that starts the agents of these nodes, 1 up to `together` of them; to be
	 * freed by launch_free. NULL with err.
	 */
	char **(*command)(const struct launch *launch, const char *const *nodes, int count,
			  struct error *err);
	/* What an exit code before or behind the agent means, or NULL; noise: its last words. */
	const char *(*explain)(int exit_code, const char *noise);
};

extern const struct launcher launchers[]; /* ends at name == NULL */
const struct launcher *launcher_find(const char *name);
void launch_free(char **command);

#endif
