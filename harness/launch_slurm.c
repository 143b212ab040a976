/*
 * launch_slurm.c - agents as tasks of srun: a step inside an allocation, or by itself a job a
 * command.
 *
 * srun reads dozens of SLURM_ variables, and a job script may have set any of them. Those that
 * would change the lines of agents and cannot be taken back by an option are removed. Slurm places
 * the agent and nothing else: limits, binding and folder are the node's own, for a figure must not
 * depend on the shell that it was asked for in.
 */
#include "harness/launch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A node that is drained or down makes srun wait until somebody resumes it, so it gets this long.
 * Shorter than the row's patience, so that srun can still say why.
 */
#define GIVE_UP "--immediate=15"

static void add_environment(struct launch_words *w)
{
	/* Labels and a terminal would cut lines; the others would take processors from the step. */
	static const char *const unset[] = {
		"SLURM_LABELIO",       "SLURM_UNBUFFEREDIO", "SLURM_STDINMODE",
		"SLURM_STDOUTMODE",    "SLURM_STDERRMODE",   "SLURM_EXACT",
		"SLURM_CPUS_PER_TASK", "SRUN_CPUS_PER_TASK",
	};

	launch_add(w, "env");
	for (size_t i = 0; i < ARRAY_SIZE(unset); i++) {
		launch_add(w, "-u");
		launch_add(w, unset[i]);
	}
}

/* What an option of the user's may change comes before it, what it may not change behind it. */
static void add_options(struct launch_words *w, const struct launch *launch)
{
	static const char *const fixed[] = {
		/* The others go on when a node or an agent is lost. */
		"--no-kill",       "--kill-on-bad-exit=0", "--wait=0",  "--mpi=none",
		"--cpu-bind=none", "--propagate=NONE",     "--chdir=/",
	};

	/* By itself the whole node; in an allocation beside whatever else runs in it. */
	launch_add(w, getenv("SLURM_JOB_ID") ? "--overlap" : "--exclusive");
	launch_add(w, "--mem=0");
	launch_add(w, GIVE_UP);
	for (const char *const *word = launch->srun; word && *word; word++)
		launch_add(w, *word);
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		launch_add(w, fixed[i]);
}

static void add_owned(struct launch_words *w, char *word)
{
	launch_add(w, word);
	free(word);
}

static void add_nodes(struct launch_words *w, const char *const *nodes, int count)
{
	char *list = hostlist_text(nodes, count);

	add_owned(w, xasprintf("--nodes=%d", count));
	add_owned(w, xasprintf("--ntasks=%d", count));
	launch_add(w, "--ntasks-per-node=1");
	add_owned(w, xasprintf("--nodelist=%s", list));
	free(list);
}

/*
 * Nobody waits for a node that is drained. A node that is drained while we have it still takes
 * steps; one that is busy may be free in a moment.
 */
static int slurm_refuses(const struct launch *launch, const char *node, struct error *err)
{
	const char *state = launch->slurm ? slurm_state(launch->slurm, node) : NULL, *reason;
	int ours = getenv("SLURM_JOB_ID") != NULL;

	if (!launch->slurm)
		return 0;
	if (!state)
		return error_set(err, "Slurm has no node of this name");
	if (!slurm_state_has(state, "DOWN") &&
	    (ours || !(slurm_state_has(state, "DRAIN") || slurm_state_has(state, "FAIL"))))
		return 0;
	reason = slurm_reason(launch->slurm, node);
	return error_set(err, "Slurm has it as %.100s%s%.300s", state, *reason ? ": " : "", reason);
}

/* One command line for many tasks: each finds its name in its own environment. */
static void add_agent(struct launch_words *w, const char *program, const char *node)
{
	launch_add(w, program);
	launch_add(w, "agent");
	launch_add(w, *node ? "--node" : "--node-env");
	launch_add(w, *node ? node : "SLURMD_NODENAME");
	launch_add(w, "--root");
}

/* Tasks of one command read one standard input, so the program goes to all of them or to none. */
static void add_push(struct launch_words *w, const struct launch *launch, const char *program,
		     const char *node)
{
	const char *const words[] = { "sh", "-c", push_script, "assay-push" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		launch_add(w, words[i]);
	add_owned(w, xasprintf("%zu", launch->push->len));
	launch_add(w, launch->push->sha256);
	launch_add(w, *node ? program : "");
	launch_add(w, node);
}

static char **slurm(const struct launch *launch, const char *const *nodes, int count,
		    struct error *err)
{
	struct launch_words w = { 0 };
	char *program;

	for (int i = 0; i < count; i++)
		if (slurm_refuses(launch, nodes[i], err) < 0)
			return NULL;
	program = launch_program(launch, err);
	if (!program)
		return NULL;
	add_environment(&w);
	launch_add(&w, "srun");
	add_options(&w, launch);
	add_owned(&w, xasprintf("--job-name=%s", launch->job));
	add_nodes(&w, nodes, count);
	launch_add(&w, "--");
	if (launch->push)
		add_push(&w, launch, program, count == 1 ? nodes[0] : "");
	else
		add_agent(&w, program, count == 1 ? nodes[0] : "");
	launch_add(&w, launch->root);
	free(program);
	return w.at;
}

/* A job of its own outlives an srun that was killed with its helper (seen with Slurm 22.05). */
static char **sweep_slurm(const struct launch *launch)
{
	struct launch_words w = { 0 };

	/* Without a name scancel would take all jobs of the user. */
	if (strncmp(launch->job, "assay-", 6) != 0 || !launch->job[6])
		return NULL;
	launch_add(&w, "scancel");
	launch_add(&w, "--quiet");
	add_owned(&w, xasprintf("--name=%s", launch->job));
	return w.at;
}

/*
 * Words of srun and slurmstepd, Slurm 22.05 (src/common/slurm_errno.c and srun itself); the first
 * row that fits counts, so the rows with more to tell come first.
 */
static const struct launch_saying sayings[] = {
	{ "env: ", "srun is not installed here" },
	{ "DUE TO TIME LIMIT", "the Slurm job came to its time limit" },
	{ "DUE TO PREEMPTION", "the Slurm job had to make room for another one" },
	{ "DUE TO NODE FAILURE", "Slurm lost the node" },
	{ "Node failure on", "Slurm lost the node" },
	{ "CANCELLED AT", "the Slurm job was cancelled" },
	{ "has been revoked", "the Slurm job is over" },
	{ "Invalid job id", "the Slurm job is over" },
	{ "already completing", "the Slurm job is over" },
	{ "Invalid node name", "Slurm does not know this node" },
	{ "Required node not available", "Slurm has the node down, drained or reserved" },
	{ "Requested node configuration", "this Slurm job does not have the node, or it is down" },
	{ "Requested nodes are busy", "Slurm did not give the node: it is busy, drained or down" },
	{ "Invalid generic resource",
	  "the job's GPUs are asked for in a way that no step can have; use --gres" },
	{ "Unable to contact slurm controller", "Slurm's controller does not answer" },
	{ "Socket timed out", "Slurm's controller does not answer" },
	{ "configuration file", "Slurm is not configured here" },
	{ "configuration source", "Slurm is not configured here" },
	{ "credential expired", "Slurm's credential expired: clocks differ" },
	{ "Invalid job credential", "Slurm's authentication failed: its munge, or its clock" },
	{ "authentication", "Slurm's authentication failed: its munge, or its clock" },
	{ "munge", "Slurm's authentication failed: its munge, or its clock" },
	{ "Munge", "Slurm's authentication failed: its munge, or its clock" },
	{ "Communication connection failure", "its slurmd does not answer" },
	{ "Prolog", "Slurm's prolog failed there" },
	{ "prolog", "Slurm's prolog failed there" },
	{ "Out Of Memory", "its agent was killed for want of memory" },
	{ ": Killed", "its agent was killed" },
	{ ": Terminated", "Slurm ended its agent" },
	{ "Job step aborted", "Slurm ended its agent" },
	{ "Unable to allocate resources", "Slurm gave no job" },
	{ "Unable to create step", "Slurm gave no step" },
};

/*
 * slurmstepd hands on errno as exit code when it cannot start the program (exec_task in
 * slurmd/slurmstepd/task.c), and its words may come before those of srun.
 */
static const char *explain_slurm(int exit_code, const char *noise)
{
	const char *meaning = launch_meaning(sayings, ARRAY_SIZE(sayings), noise);
	int exec = strstr(noise, "execve()") != NULL, bare = strstr(noise, "Exited with") != NULL;

	if (meaning)
		return meaning;
	if (exit_code == 125)
		return "assay could not be brought there";
	if (exit_code == ENOENT && (exec || bare))
		return "assay is not there (--program says where to look)";
	if (exec || (bare && (exit_code == EACCES || exit_code == ENOEXEC)))
		return "assay cannot be started there";
	/* srun's very last words are often only that it ends the step. */
	return exit_code == 128 + SIGKILL ? "its agent was killed" : NULL;
}

/* The text between two marks, when it is a host list. */
static char *list_between(const char *line, const char *before, const char *after)
{
	const char *from = strstr(line, before), *to;
	struct hostlist list;
	struct error err;
	char *text;

	if (!from)
		return NULL;
	from += strlen(before);
	to = *after ? strstr(from, after) : from + strcspn(from, " \r");
	if (!to)
		return NULL;
	text = xstrndup(from, (size_t)(to - from));
	if (hostlist_parse(text, &list, &err) == 0) {
		hostlist_release(&list);
		return text;
	}
	free(text);
	return NULL;
}

static char *about_slurm(const char *line)
{
	static const struct {
		const char *before, *after;
	} marks[] = {
		{ "srun: error: ", ": task" },
		{ "Node failure on ", "" },
		{ "failed on node ", ":" },
		{ "slurmstepd-", ":" },
	};
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(marks) && !found; i++)
		found = list_between(line, marks[i].before, marks[i].after);
	return found;
}

int launch_srun_option(const char *word, struct error *err)
{
	/* Lines that are labelled, cut or elsewhere are no lines. srun takes options cut short. */
	static const char *const refused[] = { "label", "unbuffered", "pty",  "multi-prog",
					       "input", "output",     "error" };
	size_t n = strcspn(word, "=");

	if (strncmp(word, "--", 2) != 0 || n < 4)
		return error_set(err,
				 "--srun takes a long option such as --partition=NAME, not '%.60s'",
				 word);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (!strncmp(refused[i], word + 2, n - 2))
			return error_set(err,
					 "--srun %.60s would change the lines between nodes and "
					 "harness",
					 word);
	return 0;
}

const struct launcher launcher_slurm = {
	.name = "slurm",
	.summary = "srun, inside an allocation or by itself",
	.window = 64,
	/* A step's output is one stream and its input goes to all: groups keep both bounded. */
	.together = 128,
	.alone_most = 256,
	/* Prologs of sites take their time. */
	.patience = 60,
	.hosts_from = "SLURM_JOB_NODELIST",
	.refuses = slurm_refuses,
	.command = slurm,
	.explain = explain_slurm,
	.about = about_slurm,
	.sweep = sweep_slurm,
};
