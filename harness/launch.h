/*
 * launch.h - how an agent comes to be on a node. One row a launcher.
 *
 * A launcher only says which command starts an agent whose standard input and output are ours;
 * placement, authentication and fan-out belong to the engine behind it.
 */
#ifndef ASSAY_LAUNCH_H
#define ASSAY_LAUNCH_H

#include "harness/push.h"
#include "harness/slurm.h"

/* What all agents of a run are started with. The strings are lent. */
struct launch {
	const char *root;        /* "" or the folder of a recorded machine */
	const char *program;     /* where assay is on the nodes; "" : where it is here */
	const char *ssh_config;  /* for `ssh -F`; "": what ssh reads anyway */
	const struct push *push; /* the program for nodes that lack it; NULL: it must be there */
	const char *const *srun; /* options for srun, ends with NULL; NULL: none */
	int together;            /* many agents by one command, however few there are */
	const char *job;         /* name of this run's own jobs, so that no other is cancelled */
	const struct slurm_nodes *slurm; /* what Slurm thinks of nodes; NULL: not known */
};

struct launcher {
	const char *name, *summary;
	int one_node;   /* reaches only this machine */
	int pretends;   /* its nodes are not what they are called: such a run accepts nothing */
	int window;     /* commands whose agents are being reached at the same time; 0: all */
	int together;   /* agents that one command may start; their lines come mixed */
	int alone_most; /* up to so many nodes each has a command of its own, whose lines do not mix
			 */
	int patience;   /* seconds until an agent must have spoken */
	/* The variable that names the nodes where --hosts is left out, or NULL. */
	const char *hosts_from;
	/*
	 * Whether the engine behind it says already that it will not give this node: -1 with err,
	 * else 0. NULL: nobody knows. To be asked before nodes are put together in one command.
	 */
	int (*refuses)(const struct launch *launch, const char *node, struct error *err);
	/*
	 * The command that starts the agents of these nodes, 1 up to `together` of them; to be
	 * freed by launch_free. NULL with err.
	 */
	char **(*command)(const struct launch *launch, const char *const *nodes, int count,
			  struct error *err);
	/* What an exit code before or behind the agent means, or NULL; noise: its last words. */
	const char *(*explain)(int exit_code, const char *noise);
	/*
	 * Which nodes a line of standard error is about, as a host list that the caller frees, or
	 * NULL. For commands with several agents: one of them may leave while the others go on.
	 */
	char *(*about)(const char *line);
	/* The command that ends what this run may have left behind, or NULL if nothing can be. */
	char **(*sweep)(const struct launch *launch);
};

extern const struct launcher *const launchers[]; /* ends with NULL */
const struct launcher *launcher_find(const char *name);
void launch_free(char **command);
/*
 * Adds a line of standard error to a command's last words; the oldest go when there is no room. For
 * explain(): what tells most is seldom the very last line.
 */
void launch_keep(char *noise, size_t room, const char *line);

/*
 * Whether this may go to srun: a long option that leaves the lines of agents whole. -1 with err.
 */
int launch_srun_option(const char *word, struct error *err);

/* For the launchers' own files. */
extern const struct launcher launcher_slurm;
struct launch_words {
	char **at; /* always ends with NULL once something was added */
	size_t count;
};
void launch_add(struct launch_words *w, const char *word);
/* Where assay is on the nodes; the caller frees it. NULL with err. */
char *launch_program(const struct launch *launch, struct error *err);
/* "its host key is not known", from a table of what programs say. */
struct launch_saying {
	const char *words, *meaning;
};
const char *launch_meaning(const struct launch_saying *table, size_t count, const char *noise);

#endif
