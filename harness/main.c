/*
 * main.c - the commands, one row each.
 */
#include "harness/agent.h"
#include "harness/options.h"
#include "harness/version.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static int cmd_agent(const struct arguments *a)
{
	const struct agent_options options = { a->value[OPT_NODE], a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "" };
	struct error err;

	if (!options.node) {
		error_set(&err, "agent needs --node");
		return fail_with(EXIT_USAGE, &err);
	}
	return agent_main(&options);
}

static int cmd_step(const struct arguments *a)
{
	const struct agent_options options = { "", a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "" };

	return step_main(&options);
}

const struct command commands[] = {
	{ "inventory", "", 0, 0, "what is in this machine",
	  "Lists processors, memory modules, GPUs, NICs and disks, one name a part, and names what could not "
	  "be read without root.",
	  "assay inventory --json",
	  { OPT_ROOT, OPT_JSON, OPT_HELP }, cmd_inventory, 0 },
	{ "spec list", "", 0, 0, "the specs and profiles that ship with assay",
	  "Lists the library: systems, parts and profiles.", "assay spec list",
	  { OPT_HELP }, cmd_spec_list, 0 },
	{ "spec show", "NAME", 1, 1, "one file of the library",
	  "Prints a file of the library, to be copied and changed.", "assay spec show quick",
	  { OPT_HELP }, cmd_spec_show, 0 },
	{ "spec check", "FILE", 1, 1, "look for mistakes in a spec",
	  "Loads a spec and lints it: unknown keys, wrong units, limits above what physics allows, limits that "
	  "no check evaluates, missing sources. All mistakes are shown at once, with file, line and column.",
	  "assay spec check site.yaml",
	  { OPT_PROFILE, OPT_HELP }, cmd_spec_check, 0 },
	{ "spec derive", "", 0, 0, "write a spec of this machine",
	  "Writes a spec of the machine it runs on: its inventory exactly, and floors from first principles "
	  "that are marked uncalibrated.",
	  "assay spec derive --folder /var/tmp -o my-node.yaml",
	  { OPT_FOLDER, OPT_ROOT, OPT_OUT, OPT_HELP }, cmd_spec_derive, 0 },
	{ "check list", "", 0, 0, "all checks", "Lists the checks that profiles can run.", "assay check list",
	  { OPT_HELP }, cmd_check_list, 0 },
	{ "check show", "NAME", 1, 1, "what a check measures and how",
	  "Shows what a check measures, how, its knobs and its figures.", "assay check show memory_bandwidth",
	  { OPT_HELP }, cmd_check_show, 0 },
	{ "plan", "", 0, 0, "what would be run, how long, and what it would write",
	  "Prints the steps of a run, the expected time against its lower bound, and the bytes that would be "
	  "written to disks. Touches no hardware.",
	  "assay plan --spec my-node.yaml --profile quick",
	  { OPT_SPEC, OPT_PROFILE, OPT_HOSTS, OPT_ONLY, OPT_SET, OPT_DESTROY, OPT_JSON, OPT_HELP }, cmd_plan, 0 },
	{ "run", "", 0, 0, "measure and judge",
	  "Runs a profile, writes the journal of all that was measured into a new folder, judges it against "
	  "the spec and writes the reports. Exit code: 0 accepted, 1 rejected, 2 usage or spec error, 3 "
	  "incomplete, 4 the harness failed.",
	  "assay run --spec my-node.yaml --profile quick -o run1",
	  { OPT_SPEC, OPT_PROFILE, OPT_HOSTS, OPT_LAUNCHER, OPT_ONLY, OPT_SET, OPT_DESTROY, OPT_ROOT, OPT_OUT,
	    OPT_JSON, OPT_QUIET, OPT_HELP }, cmd_run, 0 },
	{ "resume", "RUN", 1, 1, "go on with a run that was cut off",
	  "Replays the journal of a run and runs every step that has no end.", "assay resume run1",
	  { OPT_ROOT, OPT_JSON, OPT_QUIET, OPT_HELP }, cmd_resume, 0 },
	{ "judge", "RUN", 1, 1, "judge a run again, without any hardware",
	  "Judges the journal of a run again, under its own spec or another one, and prints the report.",
	  "assay judge run1 --spec stricter.yaml",
	  { OPT_SPEC, OPT_JSON, OPT_HELP }, cmd_judge, 0 },
	{ "report", "RUN", 1, 1, "write a report of a run",
	  "Writes a report in one of the formats to standard output or a file.",
	  "assay report run1 --format html -o run1.html",
	  { OPT_FORMAT, OPT_OUT, OPT_HELP }, cmd_report, 0 },
	{ "agent", "", 0, 0, "serve one node", "Started by launchers on each node.", "assay agent --node n1",
	  { OPT_NODE, OPT_ROOT, OPT_HELP }, cmd_agent, 1 },
	{ "step", "", 0, 0, "run one step", "Started by the agent.", "assay step",
	  { OPT_ROOT, OPT_HELP }, cmd_step, 1 },
	{ "manual", "", 0, 0, "print the man page", "Prints the man page in roff.", "assay manual | man -l -",
	  { OPT_HELP }, cmd_manual, 1 },
	{ "completion", "", 0, 0, "print the bash completion", "Prints the bash completion.",
	  "assay completion > /usr/share/bash-completion/completions/assay",
	  { OPT_HELP }, cmd_completion, 1 },
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
	fprintf(out, "assay %s - accepts GPU clusters: measures, judges, points at the guilty part\n\n"
		     "usage: assay COMMAND [options]\n\n", ASSAY_VERSION);
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

static int is_any(const char *word, const char *a, const char *b, const char *c)
{
	return !strcmp(word, a) || !strcmp(word, b) || !strcmp(word, c);
}

int main(int argc, char **argv)
{
	struct arguments a = { 0 };
	const struct command *c;
	struct error err;
	int used;

	if (sodium_init() < 0)
		BUG("libsodium does not start");
	if (argc < 2 || is_any(argv[1], "help", "--help", "-h")) {
		print_usage(argc < 2 ? stderr : stdout);
		return argc < 2 ? EXIT_USAGE : 0;
	}
	if (is_any(argv[1], "version", "--version", "-V")) {
		printf("assay %s (%s)\n", ASSAY_VERSION, ASSAY_COMMIT);
		return 0;
	}
	c = find_command(argc, argv, &used);
	if (!c) {
		error_set(&err, "unknown command '%.60s%s%.60s'; `assay --help` lists them", argv[1],
			  argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
		return fail_with(EXIT_USAGE, &err);
	}
	if (arguments_parse(c, argc - used, argv + used, &a, &err) < 0)
		return fail_with(EXIT_USAGE, &err);
	if (a.value[OPT_HELP]) {
		command_help(c);
		return 0;
	}
	return c->run(&a);
}
