/*
 * main.c - the commands, one row each.
 */
#include "harness/agent.h"
#include "harness/options.h"
#include "harness/telemetry.h"
#include "harness/version.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int cmd_agent(const struct arguments *a)
{
	const char *variable = a->value[OPT_NODE_ENV];
	const struct agent_options options = { variable ? getenv(variable) : a->value[OPT_NODE],
					       a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "",
					       a->value[OPT_PUSHED] != NULL };
	struct error err;

	if (!options.node || !hostname_valid(options.node)) {
		error_set(&err, "agent needs --node, or --node-env with a variable that is set");
		return fail_with(EXIT_USAGE, &err);
	}
	return agent_main(&options);
}

static int cmd_step(const struct arguments *a)
{
	const struct agent_options options = { a->value[OPT_NODE] ? a->value[OPT_NODE] : "",
					       a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "", 0 };

	return step_main(&options);
}

static int cmd_sample(const struct arguments *a)
{
	const struct sample_options options = { a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "" };

	return sample_main(&options);
}

const struct command commands[] = {
	{
		.name = "inventory",
		.words = "",
		.summary = "what is in this machine",
		.about = "Lists processors, memory modules, GPUs, NICs and disks, one name a part,"
			 " and names what could not be read without root.",
		.example = "assay inventory --json",
		.options = { OPT_ROOT, OPT_JSON, OPT_HELP },
		.run = cmd_inventory,
	},
	{
		.name = "spec list",
		.words = "",
		.summary = "the specs and profiles that ship with assay",
		.about = "Lists the library: systems, parts and profiles.",
		.example = "assay spec list",
		.options = { OPT_HELP },
		.run = cmd_spec_list,
	},
	{
		.name = "spec show",
		.words = "NAME",
		.least = 1,
		.most = 1,
		.summary = "one file of the library",
		.about = "Prints a file of the library, to be copied and changed.",
		.example = "assay spec show quick",
		.options = { OPT_HELP },
		.run = cmd_spec_show,
	},
	{
		.name = "spec check",
		.words = "FILE",
		.least = 1,
		.most = 1,
		.summary = "look for mistakes in a spec",
		.about = "Loads a spec and lints it: unknown keys, wrong units, limits above what "
			 "physics allows, limits that no check evaluates, missing sources. All "
			 "mistakes are shown at once, with file, line and column. With a profile, "
			 "figures that it would measure and that no limit judges are named too.",
		.example = "assay spec check site.yaml --profile quick",
		.options = { OPT_PROFILE, OPT_HELP },
		.run = cmd_spec_check,
	},
	{
		.name = "spec derive",
		.words = "",
		.summary = "write a spec of this machine",
		.about = "Writes a spec of the machine it runs on: its inventory exactly, and "
			 "floors from first principles that are marked uncalibrated.",
		.example = "assay spec derive --folder /var/tmp -o my-node.yaml",
		.options = { OPT_FOLDER, OPT_ROOT, OPT_OUT, OPT_HELP },
		.run = cmd_spec_derive,
	},
	{
		.name = "check list",
		.words = "",
		.summary = "all checks",
		.about = "Lists the checks that profiles can run.",
		.example = "assay check list",
		.options = { OPT_HELP },
		.run = cmd_check_list,
	},
	{
		.name = "check show",
		.words = "NAME",
		.least = 1,
		.most = 1,
		.summary = "what a check measures and how",
		.about = "Shows what a check measures, how, its knobs and its figures.",
		.example = "assay check show memory_bandwidth",
		.options = { OPT_HELP },
		.run = cmd_check_show,
	},
	{
		.name = "plan",
		.words = "",
		.summary = "what would be run, how long, and what it would write",
		.about = "Prints the steps of a run, the expected time against its lower bound, "
			 "and the bytes that would be written to disks. Touches no hardware.",
		.example = "assay plan --spec my-node.yaml --profile quick",
		.options = { OPT_SPEC, OPT_PROFILE, OPT_HOSTS, OPT_ONLY, OPT_SET, OPT_DESTROY,
			     OPT_JSON, OPT_HELP },
		.run = cmd_plan,
	},
	{
		.name = "run",
		.words = "",
		.summary = "measure and judge",
		.about = "Runs a profile, writes the journal of all that was measured into a new "
			 "folder, judges it against the spec and writes the reports. Exit code: 0 "
			 "accepted, 1 rejected, 2 usage or spec error, 3 incomplete, 4 the harness"
			 " failed.",
		.example = "assay run --spec my-node.yaml --profile quick -o run1",
		.options = { OPT_SPEC, OPT_PROFILE, OPT_HOSTS, OPT_LAUNCHER, OPT_ONLY, OPT_SET,
			     OPT_PROGRAM, OPT_PUSH, OPT_SSH_CONFIG, OPT_SRUN, OPT_TOGETHER,
			     OPT_DRAIN, OPT_UNDRAIN, OPT_DESTROY, OPT_ROOT, OPT_OUT, OPT_JSON,
			     OPT_QUIET, OPT_HELP },
		.run = cmd_run,
	},
	{
		.name = "resume",
		.words = "RUN",
		.least = 1,
		.most = 1,
		.summary = "go on with a run that was cut off",
		.about = "Replays the journal of a run and runs every step that has no end.",
		.example = "assay resume run1",
		.options = { OPT_DRAIN, OPT_UNDRAIN, OPT_ROOT, OPT_JSON, OPT_QUIET, OPT_HELP },
		.run = cmd_resume,
	},
	{
		.name = "watch",
		.words = "RUN",
		.least = 1,
		.most = 1,
		.summary = "look at a run while it goes on",
		.about =
			"Shows how far a run is, what its nodes do, the worst findings so far and "
			"the power, from another terminal or another machine that sees the "
			"folder. It only reads. On a terminal the screen is drawn anew every "
			"second, else it prints lines. It leaves with the run's exit code when the "
			"run has ended, with 130 on Ctrl-C, and with 0 after --once.",
		.example = "assay watch run1",
		.options = { OPT_JSON, OPT_ONCE, OPT_INTERVAL, OPT_HELP },
		.run = cmd_watch,
	},
	{
		.name = "judge",
		.words = "RUN",
		.least = 1,
		.most = 1,
		.summary = "judge a run again, without any hardware",
		.about = "Judges the journal of a run again, under its own spec or another one, "
			 "and prints the report.",
		.example = "assay judge run1 --spec stricter.yaml",
		.options = { OPT_SPEC, OPT_JSON, OPT_HELP },
		.run = cmd_judge,
	},
	{
		.name = "report",
		.words = "RUN",
		.least = 1,
		.most = 1,
		.summary = "write a report of a run",
		.about = "Writes a report in one of the formats to standard output or a file.",
		.example = "assay report run1 --format html -o run1.html",
		.options = { OPT_FORMAT, OPT_OUT, OPT_HELP },
		.run = cmd_report,
	},
	{
		.name = "telemetry",
		.words = "RUN [NODE [SERIES]]",
		.least = 1,
		.most = 3,
		.summary = "what the nodes' sensors said",
		.about =
			"Lists the nodes of which there is telemetry; the marks of one node, which "
			"are the seconds at which something happened; or series of it as CSV. "
			"SERIES is a name or a pattern in quotes: gpu3.power_w, 'gpu*.power_w'. A "
			"counter of bytes is given as bytes a second.",
		.example = "assay telemetry run1 n001 'gpu*.temperature_c' > hot.csv",
		.options = { OPT_HELP },
		.run = cmd_telemetry,
	},
	{
		.name = "agent",
		.words = "",
		.summary = "serve one node",
		.about = "Started by launchers on each node.",
		.example = "assay agent --node n1",
		.options = { OPT_NODE, OPT_NODE_ENV, OPT_PUSHED, OPT_ROOT, OPT_HELP },
		.run = cmd_agent,
		.hidden = 1,
	},
	{
		.name = "step",
		.words = "",
		.summary = "run one step",
		.about = "Started by the agent.",
		.example = "assay step",
		.options = { OPT_NODE, OPT_ROOT, OPT_HELP },
		.run = cmd_step,
		.hidden = 1,
	},
	{
		.name = "sample",
		.words = "",
		.summary = "read all sensors once a second",
		.about = "Started by the agent.",
		.example = "assay sample",
		.options = { OPT_ROOT, OPT_HELP },
		.run = cmd_sample,
		.hidden = 1,
	},
	{
		.name = "manual",
		.words = "",
		.summary = "print the man page",
		.about = "Prints the man page in roff.",
		.example = "assay manual | man -l -",
		.options = { OPT_HELP },
		.run = cmd_manual,
		.hidden = 1,
	},
	{
		.name = "completion",
		.words = "",
		.summary = "print the bash completion",
		.about = "Prints the bash completion.",
		.example = "assay completion > /usr/share/bash-completion/completions/assay",
		.options = { OPT_HELP },
		.run = cmd_completion,
		.hidden = 1,
	},
	{ 0 },
};

int fail_with(int code, const struct error *err)
{
	struct text t;

	text_init(&t);
	text_add_printable(&t, err->text);
	fprintf(stderr, "assay: %s\n", t.data);
	text_release(&t);
	return code;
}

static void print_usage(FILE *out)
{
	fprintf(out,
		"assay %s - accepts GPU clusters: measures, judges, points at the guilty part\n\n"
		"usage: assay COMMAND [options]\n\n",
		ASSAY_VERSION);
	for (const struct command *c = commands; c->name; c++)
		if (!c->hidden)
			fprintf(out, "  %-14s %s\n", c->name, c->summary);
	fprintf(out, "\n`assay COMMAND --help` explains one of them. A first run:\n\n"
		     "  assay spec derive -o my-node.yaml\n"
		     "  assay run --spec my-node.yaml --profile quick -o run1\n");
}

/* The command at argv[1], of one or two words; *used says how many. */
static const struct command *find_command(int argc, char **argv, int *used)
{
	for (const struct command *c = commands; c->name; c++) {
		const char *space = strchr(c->name, ' ');
		size_t n = space ? (size_t)(space - c->name) : strlen(c->name);

		if (strlen(argv[1]) != n || strncmp(argv[1], c->name, n) != 0)
			continue;
		if (space && (argc < 3 || strcmp(argv[2], space + 1) != 0))
			continue;
		*used = space ? 2 : 1;
		return c;
	}
	return NULL;
}

/* "assay spec": the commands of a group. Whether there is such a group. */
static int print_group(const char *name)
{
	size_t n = strlen(name);
	int any = 0;

	for (const struct command *c = commands; c->name; c++) {
		if (strncmp(c->name, name, n) != 0 || c->name[n] != ' ')
			continue;
		if (!any++)
			printf("usage: assay %s COMMAND [options]\n\n", name);
		printf("  %-14s %s\n", c->name, c->summary);
	}
	return any;
}

static int is_any(const char *word, const char *a, const char *b, const char *c)
{
	return !strcmp(word, a) || !strcmp(word, b) || !strcmp(word, c);
}

int main(int argc, char **argv)
{
	struct arguments a = { 0 };
	static char help[] = "--help";
	const struct command *c;
	struct error err;
	int used;

	if (sodium_init() < 0)
		BUG("libsodium does not start");
	if (argc > 2 && !strcmp(argv[1], "help")) { /* "assay help run" is "assay run --help" */
		memmove(argv + 1, argv + 2, (size_t)(argc - 1) * sizeof(*argv));
		argv[argc - 1] = help;
	}
	if (argc < 2 || is_any(argv[1], "help", "--help", "-h")) {
		print_usage(argc < 2 ? stderr : stdout);
		return argc < 2 ? EXIT_USAGE : 0;
	}
	if (is_any(argv[1], "version", "--version", "-V")) {
		printf("assay %s (%s)\n", ASSAY_VERSION, ASSAY_COMMIT);
		return 0;
	}
	c = find_command(argc, argv, &used);
	if (!c && (argc == 2 || argv[2][0] == '-') && print_group(argv[1]))
		return argc == 2 ? EXIT_USAGE : 0;
	if (!c) {
		error_set(&err, "unknown command '%.60s%s%.60s'; `assay --help` lists them",
			  argv[1], argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
		return fail_with(EXIT_USAGE, &err);
	}
	if (arguments_parse(c, argc - used, argv + used, &a, &err) < 0)
		return fail_with(EXIT_USAGE, &err);
	if (a.value[OPT_HELP]) {
		command_help(c);
		return 0;
	}
	used = c->run(&a);
	/* A report that a full disk swallowed was not given. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		error_set(&err, "cannot write to standard output");
		return fail_with(EXIT_HARNESS, &err);
	}
	return used;
}
