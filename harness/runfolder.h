/*
 * runfolder.h - everything about one run, put together: from options for a new one, from its folder
 * for an old one.
 *
 * RUN/ holds journal.jsonl, spec.yaml and profile.yaml as used (with all that they extend),
 * plan.json, launch.json, the reports and host lists of nodes by outcome. The head event of the
 * journal holds the rest: hosts, options, hashes.
 */
#ifndef ASSAY_RUNFOLDER_H
#define ASSAY_RUNFOLDER_H

#include "harness/control.h"
#include "harness/options.h"
#include "reports/report.h"

struct runfolder {
	char *path; /* NULL before run_create */
	struct spec *spec;
	struct profile *profile;
	struct hostlist hosts;
	struct fleet *fleet;
	struct plan *plan;
	struct plan_options options;
	struct results *results;
	struct journal *journal;
	struct judgement *judgement;
	struct report_telemetry *telemetry; /* NULL: none, or not judged yet */
	char *only;                         /* owns options.only of an old run */
	/* RUN/launch.json: how agents are started, so that resume goes on the same way. */
	json_t *started_by; /* launcher, program, ssh_config, srun, job; owned */
};

/* Spec, profile, hosts and plan from options. 0 or the exit code, with everything said on stderr.
 */
int run_from_options(struct runfolder *r, const struct arguments *a);
/* Makes the folder, writes what is used into it and starts the journal. */
int run_create(struct runfolder *r, const struct arguments *a, const char *path);
/*
 * An old run. spec_path NULL: its own spec, and spec, profile and plan must be those of the
 * journal's head. `write`: opens the journal for appending and locks it. 0 or the exit code.
 */
int run_open(struct runfolder *r, const char *path, const char *spec_path, int write);
/* The same of a run that still goes on: only the head of its journal was read, into `head`, which
 * the run owns from now on. */
int run_open_head(struct runfolder *r, const char *path, struct results *head);
/* The options for srun that the run was started with; to be freed, not its words. */
const char **run_srun_options(const struct runfolder *r);
/* A text of started_by, "" when it is not there. */
const char *run_started_by(const struct runfolder *r, const char *key);
/* Judges what the results hold. */
void run_judge(struct runfolder *r);
struct report_input run_report_input(const struct runfolder *r);
void run_close(struct runfolder *r);

/* Says on stderr what is wrong with a profile for this spec, and what no limit judges. 0 or not. */
int check_profile_or_say(const struct spec *s, const char *name);
/* Loads and lints; says everything on stderr; NULL when there are errors. */
struct spec *load_spec_or_say(const char *name);

#endif
