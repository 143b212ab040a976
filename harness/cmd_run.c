/* cmd_run.c - run and resume, with their progress on a terminal. */
#include "harness/drain.h"
#include "harness/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct display {
	int on_terminal;
	char phase[64];
	int shown;
};

static void show_progress(void *arg, const struct progress *p)
{
	struct display *d = arg;
	char left[40], line[120];
	int n;

	seconds_text(p->left, left, sizeof(left));
	if (!d->on_terminal)
		return;
	n = snprintf(line, sizeof(line), "[%3d%%] %s: %.36s, %d of %d steps%s, about %s left",
		     p->total ? 100 * p->done / p->total : 100, p->phase, p->step ? p->step : "...",
		     p->done, p->total, p->failed ? ", some without result" : "", left);
	fprintf(stderr, "\r\033[K%.*s", n > 79 ? 79 : n, line);
	d->shown = 1;
}

static void show_line(void *arg, const char *line)
{
	(void)arg;
	puts(line);
	fflush(stdout);
}

static void end_display(const struct display *d)
{
	if (d->shown)
		fputs("\r\033[K", stderr);
}

/* All formats into the run folder, so the record is whole without further commands. */
static int write_reports(const struct report_input *in, struct error *err)
{
	for (const struct report_format *f = report_formats; f->name; f++) {
		struct text out;
		char *path = xasprintf("%s/report.%s", in->run, f->suffix);
		int rc;

		text_init(&out);
		f->write(in, &out);
		rc = file_replace(path, out.data, out.len, err);
		text_release(&out);
		free(path);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static void print_verdict(const struct report_input *in, int json)
{
	struct text out;

	text_init(&out);
	if (!json) {
		report_text(in, &out);
		fputs(out.data, stdout);
		printf("\nReport: %s/report.html (also .txt .json .xml .csv .prom); journal: "
		       "%s/journal.jsonl\n",
		       in->run, in->run);
	} else {
		printf("{\"e\":\"verdict\",\"verdict\":\"%s\"}\n", in->judgement->verdict);
	}
	text_release(&out);
}

/* RUN/hosts.pass and so on: one host list in one line, for --nodelist and --exclude. */
static int write_host_lists(const struct runfolder *r, struct error *err)
{
	struct node_outcome *nodes = node_outcomes(r->fleet, r->plan, r->results, r->judgement);
	int rc = 0;

	for (int c = 0; c < NODE_CLASS_COUNT && rc == 0; c++) {
		char *list = node_list(r->fleet, nodes, (enum node_class)c, NULL);
		char *line = xasprintf("%s\n", list);
		char *path = xasprintf("%s/hosts.%s", r->path, node_class_word((enum node_class)c));

		rc = file_replace(path, line, strlen(line), err);
		free(path);
		free(line);
		free(list);
	}
	free(nodes);
	return rc;
}

static int finish(struct runfolder *r, enum control_end end, struct error *err,
		  const struct arguments *a)
{
	int json = a->value[OPT_JSON] != NULL;
	struct report_input in;

	if (end == CONTROL_FAILED) {
		fprintf(stderr, "assay: %s\n", err->text);
		fprintf(stderr,
			"assay: nothing that was measured is lost; when that is mended: assay "
			"resume %s\n",
			r->path);
		return EXIT_HARNESS;
	}
	run_judge(r);
	in = run_report_input(r);
	if (end == CONTROL_STOPPED) {
		fprintf(stderr,
			"assay: stopped; the journal is whole. Go on with: assay resume %s\n",
			r->path);
		return EXIT_INCOMPLETE;
	}
	if (write_reports(&in, err) < 0 || write_host_lists(r, err) < 0)
		return fail_with(EXIT_HARNESS, err);
	print_verdict(&in, json);
	if (a->value[OPT_DRAIN] || a->value[OPT_UNDRAIN])
		drain_nodes(r, a->value[OPT_DRAIN] != NULL, a->value[OPT_UNDRAIN] != NULL);
	return judgement_exit(r->judgement);
}

/* Whether any step lacks an end, or an inconclusive one could be repeated: else nothing is started.
 */
static int has_work(struct runfolder *r)
{
	struct judgement *j;
	const char **bases;
	int count, before = r->plan->count, more;

	for (int i = 0; i < r->plan->count; i++)
		if (!results_ended(r->results, r->plan->steps[i].id))
			return 1;
	j = judge(r->spec, r->fleet, r->plan, r->results);
	bases = judge_undecided(j, r->plan, &count);
	more = plan_extend(r->plan, bases, count, r->profile->repeat);
	free(bases);
	judgement_free(j);
	return more > 0 || r->plan->count > before;
}

static int execute(struct runfolder *r, const struct arguments *a, int again)
{
	int json = a->value[OPT_JSON] != NULL, quiet = a->value[OPT_QUIET] != NULL;
	const char *root = json_string_value(json_object_get(r->results->head, "root"));
	const char **srun = run_srun_options(r);
	struct slurm_nodes *slurm = NULL;
	struct display d = { .on_terminal = !json && !quiet && isatty(STDERR_FILENO) };
	struct control c = {
		.spec = r->spec,
		.fleet = r->fleet,
		.profile = r->profile,
		.plan = r->plan,
		.results = r->results,
		.journal = r->journal,
		.run = r->path,
		.launcher = launcher_find(run_started_by(r, "launcher")),
		.launch = { .root = a->value[OPT_ROOT] ? a->value[OPT_ROOT]
				    : root             ? root
						       : "",
			    .program = run_started_by(r, "program"),
			    .ssh_config = run_started_by(r, "ssh_config"),
			    .srun = srun,
			    .together = *run_started_by(r, "together") != '\0',
			    .job = run_started_by(r, "job") },
		.progress = show_progress,
		.line = json ? show_line : NULL,
		.arg = &d,
	};
	struct push *push = NULL;
	struct error err;
	enum control_end end = CONTROL_DONE;

	if (*run_started_by(r, "push") && !(push = push_load(&err)))
		return fail_with(EXIT_HARNESS, &err);
	c.launch.push = push;
	if (!c.launcher) {
		free(srun);
		error_set(&err, "%s was started by a launcher that this build lacks", r->path);
		return fail_with(EXIT_HARNESS, &err);
	}
	if (has_work(r)) {
		/* What a controller that was killed left on nodes would be in this one's way. */
		if (again)
			launch_sweep(c.launcher, &c.launch);
		if (c.launcher->refuses)
			c.launch.slurm = slurm = slurm_ask(r);
		end = control_run(&c, &err);
		launch_sweep(c.launcher, &c.launch);
	}
	end_display(&d);
	push_free(push);
	slurm_nodes_free(slurm);
	free(srun);
	return finish(r, end, &err, a);
}

int cmd_run(const struct arguments *a)
{
	struct runfolder r = { 0 };
	const struct launcher *l;
	struct error err;
	int rc;

	if (!a->value[OPT_OUT]) {
		error_set(&err, "-o is missing: the folder for this run");
		return fail_with(EXIT_USAGE, &err);
	}
	l = launcher_find(a->value[OPT_LAUNCHER] ? a->value[OPT_LAUNCHER] : "local");
	if (!l) {
		error_set(&err, "unknown launcher '%s'; this build has: local, ssh, slurm, pretend",
			  a->value[OPT_LAUNCHER]);
		return fail_with(EXIT_USAGE, &err);
	}
	for (int i = 0; i < a->srun_count; i++)
		if (launch_srun_option(a->srun[i], &err) < 0)
			return fail_with(EXIT_USAGE, &err);
	/* A part of the profile is no proof that a node is well again. */
	if (a->value[OPT_UNDRAIN] && a->value[OPT_ONLY]) {
		error_set(&err, "--undrain takes the whole profile; leave out --only");
		return fail_with(EXIT_USAGE, &err);
	}
	rc = run_from_options(&r, a);
	if (rc == 0 && r.hosts.count > 1 && l->one_node) {
		error_set(&err, "launcher %s reaches one node, this machine; --hosts names %d",
			  l->name, r.hosts.count);
		rc = fail_with(EXIT_USAGE, &err);
	}
	if (rc == 0)
		rc = run_create(&r, a, a->value[OPT_OUT]);
	if (rc == 0)
		rc = execute(&r, a, 0);
	run_close(&r);
	return rc;
}

int cmd_resume(const struct arguments *a)
{
	struct runfolder r = { 0 };
	int rc = run_open(&r, a->words[0], NULL, 1);

	if (rc == 0)
		rc = execute(&r, a, 1);
	run_close(&r);
	return rc;
}
