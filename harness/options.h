/*
 * options.h - the command line as tables: help, parsing, man page and completion all read the same
 * rows.
 */
#ifndef ASSAY_OPTIONS_H
#define ASSAY_OPTIONS_H

#include "harness/base/base.h"

/* name, argument (NULL: a switch), help */
#define OPTIONS(X)                                                                                 \
	X(OPT_SPEC, "spec", "SPEC", "what was bought: a file, or a name from `assay spec list`")   \
	X(OPT_PROFILE, "profile", "PROFILE", "which checks, how long: a file or a name")           \
	X(OPT_HOSTS, "hosts", "LIST", "nodes: n[001-128], or @FILE; default: this machine")        \
	X(OPT_LAUNCHER, "launcher", "NAME",                                                        \
	  "how agents get to the nodes: local, ssh, slurm, pretend")                               \
	X(OPT_ONLY, "only", "CHECK,...", "leave out all other checks")                             \
	X(OPT_SET, "set", "CHECK.KNOB=VALUE", "change a knob; may be given more than once")        \
	X(OPT_OUT, "out", "PATH", "where the result goes: a new folder for run, else a file")      \
	X(OPT_DESTROY, "destroy-data", NULL,                                                       \
	  "allow writing to disks whose serials the spec names")                                   \
	X(OPT_FORMAT, "format", "FORMAT", "text, html, json, junit, csv or prometheus")            \
	X(OPT_JSON, "json", NULL, "print JSON for programs")                                       \
	X(OPT_FOLDER, "folder", "DIR", "where the derived spec lets disk checks write files")      \
	X(OPT_ROOT, "root", "DIR", "read a recorded machine under DIR instead of this one")        \
	X(OPT_NODE, "node", "NAME", "name of the node (used by launchers)")                        \
	X(OPT_PROGRAM, "program", "PATH", "where assay is on the nodes, if not where it is here")  \
	X(OPT_PUSH, "push", NULL, "bring assay to nodes that lack it; removed again")              \
	X(OPT_PUSHED, "pushed", NULL, "remove the own file at the start (used by launchers)")      \
	X(OPT_SSH_CONFIG, "ssh-config", "FILE", "configuration for ssh, in place of your own")     \
	X(OPT_NODE_ENV, "node-env", "VARIABLE",                                                    \
	  "where the name of the node stands (for launchers)")                                     \
	X(OPT_SRUN, "srun", "OPTION",                                                              \
	  "for srun: --srun=--partition=gpu; may be given more than once")                         \
	X(OPT_TOGETHER, "together", NULL, "start agents by few srun, each for many nodes")         \
	X(OPT_DRAIN, "drain", NULL, "drain failed and lost nodes in Slurm, with the reason")       \
	X(OPT_UNDRAIN, "undrain", NULL, "resume nodes that assay drained and that pass now")       \
	X(OPT_QUIET, "quiet", NULL, "no progress")                                                 \
	X(OPT_ONCE, "once", NULL, "show it one time and leave")                                    \
	X(OPT_INTERVAL, "interval", "TIME", "between two lines: 10s; on a terminal 1s")            \
	X(OPT_HELP, "help", NULL, "this help")

#define OPTION_ENUM(id, name, arg, help) id,
enum opt { OPTIONS(OPTION_ENUM) OPTION_COUNT };

enum { SETS_MOST = 64, WORDS_MOST = 8 };

struct arguments {
	const char *value[OPTION_COUNT]; /* "" for a switch that was given, NULL if not given */
	const char *sets[SETS_MOST];
	int set_count;
	const char *srun[SETS_MOST + 1]; /* ends with NULL */
	int srun_count;
	const char *words[WORDS_MOST];
	int word_count;
};

struct command {
	const char *name;  /* "spec check"; two words are a command of a group */
	const char *words; /* what stands behind it: "RUN" */
	int least, most;   /* how many words */
	const char *summary, *about, *example;
	enum opt options[OPTION_COUNT]; /* ends at OPT_HELP */
	int (*run)(const struct arguments *a);
	int hidden; /* for the harness itself */
};

extern const struct command commands[]; /* ends at name == NULL */

/* Parses what stands behind the command's name. 0, or -1 with err. */
int arguments_parse(const struct command *c, int argc, char **argv, struct arguments *a,
		    struct error *err);
const char *option_name(enum opt o);
const char *option_argument(enum opt o);
const char *option_help(enum opt o);
void command_help(const struct command *c);
/* Words in lines of at most `width`, all indented. */
void print_wrapped(const char *text, int indent, int width);

/* cmd_*.c: 0 or the program's exit code */
int cmd_run(const struct arguments *a);
int cmd_resume(const struct arguments *a);
int cmd_watch(const struct arguments *a);
int cmd_plan(const struct arguments *a);
int cmd_judge(const struct arguments *a);
int cmd_report(const struct arguments *a);
int cmd_telemetry(const struct arguments *a);
int cmd_inventory(const struct arguments *a);
int cmd_spec_list(const struct arguments *a);
int cmd_spec_show(const struct arguments *a);
int cmd_spec_check(const struct arguments *a);
int cmd_spec_derive(const struct arguments *a);
int cmd_check_list(const struct arguments *a);
int cmd_check_show(const struct arguments *a);
int cmd_manual(const struct arguments *a);
int cmd_completion(const struct arguments *a);

enum exit_code {
	EXIT_ACCEPTED = 0,
	EXIT_REJECTED = 1,
	EXIT_USAGE = 2,
	EXIT_INCOMPLETE = 3,
	EXIT_HARNESS = 4
};

/* Prints "assay: TEXT" and returns the code. */
int fail_with(int code, const struct error *err);

#endif
