/* runfolder.c - making and opening runs. */
#include "harness/runfolder.h"

#include "harness/remaining.h"
#include "harness/version.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTION_MOST = 200 }; /* two of them must fit into the head's line */

static int say(struct complaints *c)
{
	int errors = c->errors;

	fputs(c->text.data, stderr);
	if (errors)
		fprintf(stderr, "assay: %d error%s\n", errors, errors == 1 ? "" : "s");
	complaints_release(c);
	return errors;
}

static struct spec *load_or_say(const char *name, int with_lint)
{
	struct complaints c;
	struct spec *s;

	complaints_init(&c);
	s = spec_load(name, &c);
	if (s && with_lint)
		spec_lint(s, &c);
	if (say(&c)) {
		spec_free(s);
		return NULL;
	}
	return s;
}

struct spec *load_spec_or_say(const char *name)
{
	return load_or_say(name, 1);
}

int check_profile_or_say(const struct spec *s, const char *name)
{
	struct complaints c;
	struct profile *p;

	complaints_init(&c);
	p = profile_load(name, &c);
	if (p) {
		profile_check_against(p, s, &c);
		spec_lint_profile(s, p, &c);
	}
	profile_free(p);
	return say(&c);
}

/* ---- a new run ---- */

/* "memory_stress.seconds=5s" into the profile's tree, in every phase that has the check. */
static int set_knob(struct yaml *tree, const char *set, struct error *err)
{
	const char *dot = strchr(set, '.'), *eq = strchr(set, '=');
	struct yaml *phases = yaml_get(tree, "phases");
	int found = 0;
	char *check, *knob_name;

	if (!dot || !eq || dot > eq)
		return error_set(err, "--set takes CHECK.KNOB=VALUE, not '%.100s'", set);
	check = xstrndup(set, (size_t)(dot - set));
	knob_name = xstrndup(dot + 1, (size_t)(eq - dot - 1));
	for (int i = 0; phases && phases->kind == YAML_LIST && i < phases->count; i++) {
		struct yaml *checks = yaml_get(phases->items[i], "checks"),
			    *knobs = yaml_get(checks, check);

		if (!knobs)
			continue;
		yaml_set_text(checks, check, knob_name, eq + 1);
		found = 1;
	}
	if (!found)
		error_set(err, "--set %s: the profile does not run check '%s'", set, check);
	free(check);
	free(knob_name);
	return found ? 0 : -1;
}

static int load_profile(struct runfolder *r, const struct arguments *a)
{
	struct complaints c;
	struct yaml *tree;
	struct error err;

	complaints_init(&c);
	tree = spec_load_tree("profiles", a->value[OPT_PROFILE], &c);
	for (int i = 0; tree && i < a->set_count; i++)
		if (set_knob(tree, a->sets[i], &err) < 0)
			complain(&c, NULL, "%s", err.text);
	if (tree)
		r->profile = profile_from(tree, &c);
	if (r->profile)
		profile_check_against(r->profile, r->spec, &c);
	return say(&c) ? EXIT_USAGE : 0;
}

/* A host list, or @FILE with one on each line; # begins a comment. */
static int load_hosts(const char *text, struct hostlist *list, struct error *err)
{
	char name[256], *data, *at, *save = NULL;
	struct text joined;
	size_t len;
	int rc;

	if (!text) {
		if (gethostname(name, sizeof(name)) < 0)
			return error_sys(err, "cannot read the name of this machine");
		name[sizeof(name) - 1] = '\0';
		return hostlist_parse(name, list, err);
	}
	if (*text != '@')
		return hostlist_parse(text, list, err);
	data = file_read(text + 1, 16 << 20, &len, err);
	if (!data)
		return -1;
	if (strlen(data) != len) {
		free(data);
		return error_set(err, "%s holds a zero byte, so it is no list of hosts", text + 1);
	}
	text_init(&joined);
	rc = 0;
	for (at = strtok_r(data, "\n", &save); at && !rc; at = strtok_r(NULL, "\n", &save)) {
		struct hostlist one;
		size_t n;

		at[strcspn(at, "#")] = '\0';
		at += strspn(at, " \t\r");
		for (n = strlen(at); n && strchr(" \t\r", at[n - 1]);)
			at[--n] = '\0';
		if (!*at)
			continue;
		rc = hostlist_parse(at, &one, err);
		if (rc == 0) {
			text_addf(&joined, "%s%s", joined.len ? "," : "", at);
			hostlist_release(&one);
		} else {
			error_prefix(err, "%s: ", text + 1);
		}
	}
	if (rc == 0)
		rc = hostlist_parse(joined.data, list, err);
	text_release(&joined);
	free(data);
	return rc;
}

/* --hosts, or the nodes that the launcher has from elsewhere. */
static int find_hosts(struct runfolder *r, const struct arguments *a, struct error *err)
{
	const struct launcher *l =
		a->value[OPT_LAUNCHER] ? launcher_find(a->value[OPT_LAUNCHER]) : NULL;
	const char *list = a->value[OPT_HOSTS];

	if (list || !l || !l->hosts_from)
		return load_hosts(list, &r->hosts, err);
	list = getenv(l->hosts_from);
	if (!list)
		return error_set(err,
				 "--hosts is missing, and %s, which names the nodes of an "
				 "allocation, is not set",
				 l->hosts_from);
	if (load_hosts(list, &r->hosts, err) < 0)
		return error_prefix(err, "%s: ", l->hosts_from);
	return 0;
}

static int build_plan(struct runfolder *r, struct error *err)
{
	r->fleet = fleet_build(r->spec, &r->hosts, err);
	if (r->fleet)
		r->plan = plan_build(r->spec, r->fleet, r->profile, &r->options, err);
	return r->plan ? 0 : -1;
}
int run_from_options(struct runfolder *r, const struct arguments *a)
{
	struct error err;

	*r = (struct runfolder){ 0 };
	if (!a->value[OPT_SPEC] || !a->value[OPT_PROFILE]) {
		error_set(&err, "--%s is missing", a->value[OPT_SPEC] ? "profile" : "spec");
		return fail_with(EXIT_USAGE, &err);
	}
	r->spec = load_spec_or_say(a->value[OPT_SPEC]);
	if (!r->spec || load_profile(r, a))
		return EXIT_USAGE;
	r->options.only = a->value[OPT_ONLY];
	if ((r->options.only && strlen(r->options.only) > OPTION_MOST) ||
	    (a->value[OPT_ROOT] && strlen(a->value[OPT_ROOT]) > OPTION_MOST)) {
		error_set(&err, "--only and --root take at most %d characters", OPTION_MOST);
		return fail_with(EXIT_USAGE, &err);
	}
	r->options.destroy_data = a->value[OPT_DESTROY] != NULL;
	if (find_hosts(r, a, &err) < 0 || build_plan(r, &err) < 0)
		return fail_with(EXIT_USAGE, &err);
	r->results = results_new();
	return 0;
}

static int write_tree(const char *folder, const char *name, const struct yaml *tree,
		      struct error *err)
{
	char *path = xasprintf("%s/%s", folder, name), *text = yaml_text(tree);
	int rc = file_replace(path, text, strlen(text), err);

	free(path);
	free(text);
	return rc;
}

/* A recorded machine and pretended nodes are not the hardware that was bought. */
static int is_simulated(const struct arguments *a)
{
	const char *name = a->value[OPT_LAUNCHER];

	return real_kernels.simulated || a->value[OPT_ROOT] ||
	       (name && launcher_find(name)->pretends);
}

static json_t *head_event(const struct runfolder *r, const struct arguments *a)
{
	json_t *head = event_new(EV_HEAD);

	json_object_set_new(head, "schema", json_string("assay.journal/1"));
	json_object_set_new(head, "version", json_string(ASSAY_VERSION));
	json_object_set_new(head, "commit", json_string(ASSAY_COMMIT));
	json_object_set_new(head, "simulated", json_boolean(is_simulated(a)));
	json_object_set_new(head, "spec", json_string(r->spec->sha256));
	json_object_set_new(head, "profile", json_string(r->profile->sha256));
	json_object_set_new(head, "plan", json_string(r->plan->sha256));
	json_object_set_new(head, "steps", json_integer(r->plan->first_count));
	json_object_set_new(head, "destroy", json_boolean(r->options.destroy_data));
	json_object_set_new(head, "only",
			    event_string(r->options.only ? r->options.only : "", OPTION_MOST));
	json_object_set_new(
		head, "root",
		event_string(a->value[OPT_ROOT] ? a->value[OPT_ROOT] : "", OPTION_MOST));
	json_object_set_new(head, "t", json_real(clock_wall()));
	return head;
}

static int write_hosts(const struct runfolder *r, const char *path, struct error *err)
{
	struct text t;
	char *file = xasprintf("%s/hosts", path);
	int rc;

	text_init(&t);
	for (int i = 0; i < r->hosts.count; i++)
		text_addf(&t, "%s\n", r->hosts.names[i]);
	rc = file_replace(file, t.data, t.len, err);
	text_release(&t);
	free(file);
	return rc;
}

static int write_plan(const struct runfolder *r, const char *path, struct error *err)
{
	char *file = xasprintf("%s/plan.json", path),
	     *text = report_plan_json(r->spec, r->fleet, r->plan);
	int rc = file_replace(file, text, strlen(text), err);

	free(text);
	free(file);
	return rc;
}

static const char *value_or(const struct arguments *a, enum opt option, const char *otherwise)
{
	return a->value[option] ? a->value[option] : otherwise;
}

static int write_launch(struct runfolder *r, const struct arguments *a, const char *path,
			struct error *err)
{
	char *file = xasprintf("%s/launch.json", path), *text, job[32];
	json_t *srun = json_array();
	int rc;

	r->started_by = json_object();
	json_object_set_new(r->started_by, "launcher",
			    json_string(value_or(a, OPT_LAUNCHER, "local")));
	json_object_set_new(r->started_by, "program",
			    event_string(value_or(a, OPT_PROGRAM, ""), 4096));
	json_object_set_new(r->started_by, "ssh_config",
			    event_string(value_or(a, OPT_SSH_CONFIG, ""), 4096));
	json_object_set_new(r->started_by, "push", json_string(a->value[OPT_PUSH] ? "yes" : ""));
	json_object_set_new(r->started_by, "together",
			    json_string(a->value[OPT_TOGETHER] ? "yes" : ""));
	for (int i = 0; i < a->srun_count; i++)
		json_array_append_new(srun, event_string(a->srun[i], 4096));
	json_object_set_new(r->started_by, "srun", srun);
	snprintf(job, sizeof(job), "assay-%08x%08x", randombytes_random(), randombytes_random());
	json_object_set_new(r->started_by, "job", json_string(job));
	text = json_dumps(r->started_by, JSON_INDENT(1));
	rc = file_replace(file, text, strlen(text), err);
	free(text);
	free(file);
	return rc;
}

const char *run_started_by(const struct runfolder *r, const char *key)
{
	const char *s = json_string_value(json_object_get(r->started_by, key));

	return s ? s : "";
}

const char **run_srun_options(const struct runfolder *r)
{
	json_t *list = json_object_get(r->started_by, "srun");
	const char **words = xcalloc(json_array_size(list) + 1, sizeof(*words));
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_is_string(json_array_get(list, i)))
			words[count++] = json_string_value(json_array_get(list, i));
	return words;
}

int run_create(struct runfolder *r, const struct arguments *a, const char *path)
{
	struct error err;

	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		error_sys(&err, "cannot make the run folder %s", path);
		return fail_with(EXIT_USAGE, &err);
	}
	r->path = xstrdup(path);
	r->journal = journal_create(path, &err);
	if (!r->journal)
		return fail_with(EXIT_USAGE, &err);
	if (write_tree(path, "spec.yaml", r->spec->tree, &err) < 0 ||
	    write_tree(path, "profile.yaml", r->profile->tree, &err) < 0 ||
	    write_hosts(r, path, &err) < 0 || write_plan(r, path, &err) < 0 ||
	    write_launch(r, a, path, &err) < 0 ||
	    journal_append(r->journal, head_event(r, a), 1, r->results, &err) < 0)
		return fail_with(EXIT_HARNESS, &err);
	return 0;
}

/* ---- an old run ---- */

static const char *head_text(const struct runfolder *r, const char *key)
{
	const char *s = json_string_value(json_object_get(r->results->head, key));

	return s ? s : "";
}

static struct spec *reload_spec(const char *run, const char *spec_path)
{
	char *path = spec_path ? xstrdup(spec_path) : xasprintf("%s/spec.yaml", run);
	/* What the linter thinks of a run's own spec was said when the run was started. */
	struct spec *s = load_or_say(path, spec_path != NULL);

	free(path);
	return s;
}

static struct profile *reload_profile(const char *run, const struct spec *s)
{
	struct complaints c;
	struct profile *p;
	char *path = xasprintf("%s/profile.yaml", run);

	complaints_init(&c);
	p = profile_load(path, &c);
	if (p)
		profile_check_against(p, s, &c);
	free(path);
	if (!say(&c))
		return p;
	profile_free(p);
	return NULL;
}

/* Only those who go on with a run need it; an older folder has none. */
static int reload_launch(struct runfolder *r, const char *run, struct error *err)
{
	char *file = xasprintf("%s/launch.json", run);
	json_error_t why;

	r->started_by = json_load_file(file, 0, &why);
	if (!r->started_by)
		error_set(err, "%s: %s", file, why.text);
	free(file);
	return r->started_by ? 0 : -1;
}

static int reload_hosts(struct runfolder *r, const char *run, struct error *err)
{
	char *file = xasprintf("@%s/hosts", run);
	int rc = load_hosts(file, &r->hosts, err);

	free(file);
	return rc;
}

/* Repeats that the journal knows are planned again, so that their figures have their steps. */
static void replan_repeats(struct runfolder *r)
{
	for (int i = 0; i < r->results->step_count; i++)
		plan_recall(r->plan, r->results->steps[i].id);
}

static int check_same_files(const struct runfolder *r, struct error *err)
{
	if (strcmp(head_text(r, "version"), ASSAY_VERSION) != 0)
		return error_set(err, "%s was started by assay %s, this is %s", r->path,
				 head_text(r, "version"), ASSAY_VERSION);
	if (strcmp(head_text(r, "spec"), r->spec->sha256) != 0)
		return error_set(err, "%s/spec.yaml was changed since the run was started",
				 r->path);
	if (strcmp(head_text(r, "profile"), r->profile->sha256) != 0)
		return error_set(err, "%s/profile.yaml was changed since the run was started",
				 r->path);
	return 0;
}

static int check_same_plan(const struct runfolder *r, struct error *err)
{
	if (strcmp(head_text(r, "plan"), r->plan->sha256) != 0)
		return error_set(err,
				 "%s: the plan comes out otherwise than when the run was started",
				 r->path);
	return 0;
}

/* Everything but the journal; whose head says what must not have changed. */
static int reload(struct runfolder *r, const char *spec_path, int write)
{
	struct error err;

	r->spec = reload_spec(r->path, spec_path);
	r->profile = r->spec ? reload_profile(r->path, r->spec) : NULL;
	if (!r->profile)
		return EXIT_USAGE;
	r->only = xstrdup(head_text(r, "only"));
	r->options.only = *r->only ? r->only : NULL;
	r->options.destroy_data = json_is_true(json_object_get(r->results->head, "destroy"));
	if ((!spec_path && check_same_files(r, &err) < 0) || reload_hosts(r, r->path, &err) < 0 ||
	    build_plan(r, &err) < 0 || (!spec_path && check_same_plan(r, &err) < 0) ||
	    (write && reload_launch(r, r->path, &err) < 0))
		return fail_with(EXIT_USAGE, &err);
	return 0;
}

int run_open(struct runfolder *r, const char *path, const char *spec_path, int write)
{
	struct error err;
	size_t cut = 0;
	int rc;

	*r = (struct runfolder){ .path = xstrdup(path) };
	if (write && !(r->journal = journal_open(path, &cut, &err)))
		return fail_with(EXIT_USAGE, &err);
	r->results = journal_load(path, &err);
	if (!r->results)
		return fail_with(EXIT_USAGE, &err);
	if (cut || r->results->torn)
		fprintf(stderr,
			"assay: the journal ends in a torn line of %zu bytes, which is %s\n",
			cut ? cut : r->results->torn, cut ? "cut" : "left out");
	if (r->results->damaged)
		fprintf(stderr,
			"%sassay: %d damaged lines are left out; their steps count as not "
			"measured\n",
			r->results->damage.data, r->results->damaged);
	rc = reload(r, spec_path, write);
	if (rc == 0)
		replan_repeats(r);
	return rc;
}

int run_open_head(struct runfolder *r, const char *path, struct results *head)
{
	*r = (struct runfolder){ .path = xstrdup(path), .results = head };
	return reload(r, NULL, 0);
}

void run_judge(struct runfolder *r)
{
	judgement_free(r->judgement);
	r->judgement = judge(r->spec, r->fleet, r->plan, r->results);
	report_telemetry_free(r->telemetry);
	r->telemetry = NULL;
	if (r->path) {
		struct report_input in = run_report_input(r);
		double *ahead = xcalloc((size_t)r->fleet->count, sizeof(*ahead));

		for (int i = 0; i < r->fleet->count; i++)
			ahead[i] = results_ahead(r->results, r->fleet->nodes[i].name);
		r->telemetry = report_telemetry_load(&in, ahead);
		free(ahead);
	}
}

struct report_input run_report_input(const struct runfolder *r)
{
	return (struct report_input){
		.spec = r->spec,
		.profile = r->profile,
		.fleet = r->fleet,
		.plan = r->plan,
		.results = r->results,
		.judgement = r->judgement,
		.run = r->path,
		.telemetry = r->telemetry,
	};
}

void run_close(struct runfolder *r)
{
	report_telemetry_free(r->telemetry);
	judgement_free(r->judgement);
	journal_close(r->journal);
	results_free(r->results);
	plan_free(r->plan);
	fleet_free(r->fleet);
	hostlist_release(&r->hosts);
	profile_free(r->profile);
	spec_free(r->spec);
	free(r->only);
	json_decref(r->started_by);
	free(r->path);
}
