/*
 * test_launch.c - what is started for nodes, and what engines' words mean.
 */
#include "harness/launch.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const no_words[] = { NULL };
static const char *const two_words[] = { "--partition=gpu", "--comment=a 'b' $c;d", NULL };

/* The command in one line, words apart by one blank; those of `env` left out. */
static char *joined(char **command)
{
	struct text t;
	int in_env = 1;

	text_init(&t);
	for (char **at = command; *at; at++) {
		in_env = in_env && strcmp(*at, "srun") != 0;
		if (!in_env)
			text_addf(&t, "%s%s", t.len ? " " : "", *at);
	}
	return text_detach(&t);
}

#define FIXED                                                                                      \
	"--no-kill --kill-on-bad-exit=0 --wait=0 --mpi=none --cpu-bind=none --propagate=NONE "     \
	"--chdir=/ --job-name=assay-1 "

static const struct {
	const char *name, *job;
	int count;
	const char *const *words;
	const char *want;
} commands[] = {
	{ "by itself", NULL, 1, no_words,
	  "srun --exclusive --mem=0 --immediate=15 " FIXED
	  "--nodes=1 --ntasks=1 --ntasks-per-node=1 --nodelist=n1 -- /opt/assay agent --node n1 "
	  "--root " },
	{ "in an allocation", "5", 1, no_words,
	  "srun --overlap --mem=0 --immediate=15 " FIXED
	  "--nodes=1 --ntasks=1 --ntasks-per-node=1 --nodelist=n1 -- /opt/assay agent --node n1 "
	  "--root " },
	{ "many tasks", "5", 4, no_words,
	  "srun --overlap --mem=0 --immediate=15 " FIXED
	  "--nodes=4 --ntasks=4 --ntasks-per-node=1 --nodelist=n[1-3],m7 -- /opt/assay agent "
	  "--node-env SLURMD_NODENAME --root " },
	{ "words of the user, each in one piece", NULL, 1, two_words,
	  "srun --exclusive --mem=0 --immediate=15 --partition=gpu --comment=a 'b' $c;d " FIXED
	  "--nodes=1 --ntasks=1 --ntasks-per-node=1 --nodelist=n1 -- /opt/assay agent --node n1 "
	  "--root " },
};

static void srun_commands(void **state)
{
	static const char *const nodes[] = { "n1", "n2", "n3", "m7" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct launch launch = {
			.root = "",
			.program = "/opt/assay",
			.ssh_config = "",
			.srun = commands[i].words,
			.job = "assay-1",
		};
		struct error err;
		char **command, *text;

		print_message("  %s\n", commands[i].name);
		if (commands[i].job)
			setenv("SLURM_JOB_ID", commands[i].job, 1);
		else
			unsetenv("SLURM_JOB_ID");
		command = launcher_slurm.command(&launch, nodes, commands[i].count, &err);
		assert_non_null(command);
		text = joined(command);
		assert_string_equal(text, commands[i].want);
		free(text);
		launch_free(command);
	}
	unsetenv("SLURM_JOB_ID");
}

/* The states are those of Slurm 22.05 in the laboratory; "" is a node of which nothing is said. */
#define STATES                                                                                     \
	"NodeName=n1 Arch=x86_64 CoresPerSocket=1 \n   State=IDLE ThreadsPerCore=1\n\n"            \
	"NodeName=n2 Arch=x86_64\n   State=IDLE+DRAIN ThreadsPerCore=1\n"                          \
	"   Reason=bad fan; State=IDLE Reason=x [y] [root@2026-11-21T18:39:17]\n"                  \
	"          NodeName=n1 second\n\n"                                                         \
	"NodeName=n3\n   State=DOWN+NOT_RESPONDING ThreadsPerCore=1\n"                             \
	"   Reason=Not responding [slurm@2026-11-21T18:39:17]\n\n"                                 \
	"NodeName=n4\n   State=MIXED ThreadsPerCore=1\n\n"                                         \
	"NodeName=n5\n   State=ALLOCATED+DRAIN\n   Reason=\n\n"                                    \
	"NodeName=n6\n   State=IDLE*+NOT_RESPONDING"

static const struct {
	const char *node, *job, *why; /* why NULL: not refused */
} refusals[] = {
	{ "n1", NULL, NULL },
	{ "n2", NULL, "Slurm has it as IDLE+DRAIN: bad fan; State=IDLE Reason=x [y]" },
	{ "n2", "5", NULL },
	{ "n3", NULL, "Slurm has it as DOWN+NOT_RESPONDING: Not responding" },
	{ "n3", "5", "Slurm has it as DOWN+NOT_RESPONDING: Not responding" },
	{ "n4", NULL, NULL },
	{ "n5", NULL, "Slurm has it as ALLOCATED+DRAIN" },
	{ "n6", NULL, NULL },
	{ "n7", "5", "Slurm has no node of this name" },
	{ "NodeName", NULL, "Slurm has no node of this name" },
};

static void slurm_refuses(void **state)
{
	struct slurm_nodes *slurm = slurm_nodes_parse(STATES);
	const struct launch launch = {
		.slurm = slurm, .program = "/opt/assay", .root = "", .job = "j"
	};
	const struct launch blind = { .program = "/opt/assay", .root = "", .job = "j" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct error err = { "" };
		char **command;
		int rc;

		print_message("  %s %s\n", refusals[i].node, refusals[i].job ? "in a job" : "");
		if (refusals[i].job)
			setenv("SLURM_JOB_ID", refusals[i].job, 1);
		else
			unsetenv("SLURM_JOB_ID");
		rc = launcher_slurm.refuses(&launch, refusals[i].node, &err);
		assert_int_equal(rc, refusals[i].why ? -1 : 0);
		assert_string_equal(err.text, refusals[i].why ? refusals[i].why : "");
		assert_int_equal(launcher_slurm.refuses(&blind, refusals[i].node, &err), 0);
		command = launcher_slurm.command(&launch, &refusals[i].node, 1, &err);
		assert_int_equal(command == NULL, refusals[i].why != NULL);
		launch_free(command);
	}
	unsetenv("SLURM_JOB_ID");
	slurm_nodes_free(slurm);
}

/* Noise as srun 22.05 wrote it. */
static const struct {
	int code;
	const char *noise, *want;
} meanings[] = {
	{ 1, "srun: error: Unable to allocate resources: Invalid node name specified",
	  "Slurm does not know this node" },
	{ 1, "srun: error: Unable to allocate resources: Requested nodes are busy",
	  "Slurm did not give the node: it is busy, drained or down" },
	{ 1, "srun: Required node not available (down, drained or reserved)",
	  "Slurm has the node down, drained or reserved" },
	{ 1,
	  "srun: error: Unable to create step for job 14: Requested node configuration is not "
	  "available",
	  "this Slurm job does not have the node, or it is down" },
	{ 1,
	  "srun: error: Unable to allocate resources: Unable to contact slurm controller (connect "
	  "failure)",
	  "Slurm's controller does not answer" },
	{ 1, "srun: error: Unable to allocate resources: Invalid partition name specified",
	  "Slurm gave no job" },
	{ 1, "srun: fatal: Could not establish a configuration source",
	  "Slurm is not configured here" },
	{ 1, "srun: error: Task launch for StepId=5.0 failed on node n2: Job credential expired",
	  "Slurm's credential expired: clocks differ" },
	{ 143,
	  "slurmstepd: error: *** STEP 5.0 ON n1 CANCELLED AT 2026-11-21T18:35:02 DUE TO TIME "
	  "LIMIT ***",
	  "the Slurm job came to its time limit" },
	{ 143, "slurmstepd: error: *** STEP 5.0 ON n1 CANCELLED AT 2026-11-21T18:35:02 ***",
	  "the Slurm job was cancelled" },
	{ 0, "srun: error: Node failure on n2", "Slurm lost the node" },
	{ 137, "srun: error: n2: task 1: Killed", "its agent was killed" },
	{ 137, "srun: Force Terminated StepId=7.0", "its agent was killed" },
	{ 143, "srun: error: n2: task 0: Terminated", "Slurm ended its agent" },
	{ 137, "srun: error: n2: task 0: Out Of Memory",
	  "its agent was killed for want of memory" },
	{ 2, "slurmstepd-n1: error: execve(): /nowhere/assay: No such file or directory",
	  "assay is not there (--program says where to look)" },
	{ 2, "srun: error: n1: task 0: Exited with exit code 2",
	  "assay is not there (--program says where to look)" },
	{ 13, "slurmstepd: error: execve(): /etc/passwd: Permission denied",
	  "assay cannot be started there" },
	{ 13, "srun: error: n1: task 0: Exited with exit code 13",
	  "assay cannot be started there" },
	{ 4, "srun: error: n1: task 0: Exited with exit code 4", NULL },
	{ 127, "env: 'srun': No such file or directory", "srun is not installed here" },
	{ 0, "", NULL },
};

static void words_of_srun(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
		const char *got = launcher_slurm.explain(meanings[i].code, meanings[i].noise);

		print_message("  %s\n", meanings[i].noise);
		if (meanings[i].want)
			assert_string_equal(got ? got : "nothing", meanings[i].want);
		else
			assert_null(got);
	}
}

static const struct {
	const char *line, *want;
} abouts[] = {
	{ "srun: error: n2: task 1: Killed", "n2" },
	{ "srun: error: n[2-3,7]: tasks 1-3: Exited with exit code 4", "n[2-3,7]" },
	{ "srun: error: Node failure on n2", "n2" },
	{ "srun: error: Task launch for StepId=5.0 failed on node n2: Communication connection "
	  "failure",
	  "n2" },
	{ "slurmstepd-n1: error: execve(): /x: No such file or directory", "n1" },
	{ "srun: error: $(reboot): task 1: Killed", NULL },
	{ "srun: error: Node failure on ", NULL },
	{ "srun: error: Unable to create step for job 14: task", NULL },
	{ "srun: Force Terminated StepId=7.0", NULL },
	{ "", NULL },
};

static void lines_about_nodes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(abouts); i++) {
		char *got = launcher_slurm.about(abouts[i].line);

		print_message("  %s\n", abouts[i].line);
		if (abouts[i].want)
			assert_string_equal(got ? got : "nothing", abouts[i].want);
		else
			assert_null(got);
		free(got);
	}
}

static void keeps_last_words(void **state)
{
	char noise[40] = "";

	(void)state;
	launch_keep(noise, sizeof(noise), "srun: Node failure on n2");
	assert_string_equal(noise, "srun: Node failure on n2");
	launch_keep(noise, sizeof(noise), "aborted");
	assert_string_equal(noise, "srun: Node failure on n2 / aborted");
	assert_string_equal(launcher_slurm.explain(0, noise), "Slurm lost the node");
	launch_keep(noise, sizeof(noise), "0123456789");
	assert_string_equal(noise, "aborted / 0123456789");
	launch_keep(noise, sizeof(noise), "0123456789012345678901234567890123456789tail");
	assert_string_equal(noise, "012345678901234567890123456789012345678");
}

static void sweeps_only_its_own(void **state)
{
	static const char *const bad[] = { "", "assay-", "x", "*" };
	struct launch launch = { .job = "assay-1" };
	char **command = launcher_slurm.sweep(&launch);

	(void)state;
	assert_string_equal(command[0], "scancel");
	assert_string_equal(command[1], "--quiet");
	assert_string_equal(command[2], "--name=assay-1");
	assert_null(command[3]);
	launch_free(command);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		launch.job = bad[i];
		assert_null(launcher_slurm.sweep(&launch));
	}
}

static const struct {
	const char *word;
	int ok;
} options[] = {
	{ "--partition=gpu", 1 },
	{ "--account=a", 1 },
	{ "--time=8:00:00", 1 },
	{ "--exclusive", 1 },
	{ "--label", 0 },
	{ "--lab", 0 },
	{ "--la=x", 0 },
	{ "--unbuffered", 0 },
	{ "--pty", 0 },
	{ "--pt", 0 },
	{ "--multi-prog", 0 },
	{ "--output=x", 0 },
	{ "--input=none", 0 },
	{ "--error=none", 0 },
	{ "-n4", 0 },
	{ "--", 0 },
	{ "--=x", 0 },
	{ "gpu", 0 },
	{ "", 0 },
};

static void options_for_srun(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct error err;

		print_message("  %s\n", options[i].word);
		assert_int_equal(launch_srun_option(options[i].word, &err), options[i].ok ? 0 : -1);
	}
}

static const struct {
	const char *state, *word;
	int has;
} words[] = {
	{ "IDLE+DRAIN", "DRAIN", 1 },
	{ "IDLE+DRAIN", "IDLE", 1 },
	{ "IDLE", "DRAIN", 0 },
	{ "DOWN*+DRAIN", "DOWN", 1 },
	{ "IDLE+NOT_RESPONDING", "DOWN", 0 },
	{ "POWERED_DOWN", "DOWN", 0 },
	{ "POWERED_DOWN+DRAIN", "DRAIN", 1 },
	{ "IDLE+DRAINED_BY_X", "DRAIN", 0 },
	{ "", "DRAIN", 0 },
};

static void words_of_states(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		print_message("  %s in %s\n", words[i].word, words[i].state);
		assert_int_equal(slurm_state_has(words[i].state, words[i].word), words[i].has);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sweeps_only_its_own), cmocka_unit_test(keeps_last_words),
		cmocka_unit_test(srun_commands),       cmocka_unit_test(slurm_refuses),
		cmocka_unit_test(words_of_srun),       cmocka_unit_test(lines_about_nodes),
		cmocka_unit_test(options_for_srun),    cmocka_unit_test(words_of_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
