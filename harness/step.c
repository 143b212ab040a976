/*
 * step.c - the child process that runs one step.
 *
 * It reads its `with` and `run` lines, opens the machine, runs the check and prints `data`, `fact`
 * and `note` lines, the last one an `end`. Standard output is set aside for those lines first:
 * whatever a library prints goes to standard error, where it harms nobody.
 */
#include "harness/agent.h"
#include "harness/checks/check.h"
#include "harness/event.h"
#include "harness/meet.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SAMPLES_A_LINE = 30, TEXT_MOST = 600, WIRE_TEXT_MOST = 16 << 20 };

struct child {
	struct meet *meet;
	struct clock_offset clock;
	int out;
	json_t *values; /* knobs by name */
	const struct check *check;
	char *unit;
	int started;         /* a run line came */
	struct error broken; /* the first thing that went wrong with the wire or a figure */
};

static void send_event(struct child *c, json_t *object)
{
	struct error err;
	char *line = event_line(object, &err);

	if (!line) {
		if (!*c->broken.text)
			c->broken = err;
		return;
	}
	if (write_all(c->out, line, strlen(line)) < 0)
		_exit(1); /* the agent is gone, so nobody is left to tell */
	free(line);
}

static void send_samples(struct child *c, const char *metric, const char *subject, const double *v,
			 int count)
{
	json_t *event = event_new(EV_DATA), *list = json_array(), *map = json_object();

	for (int i = 0; i < count; i++)
		json_array_append_new(list, json_real(v[i]));
	json_object_set_new(map, subject, list);
	json_object_set_new(event, "m", event_string(metric, 80));
	json_object_set_new(event, "v", map);
	send_event(c, event);
}

static void on_figure(void *arg, const char *metric, const char *subject, const double *v,
		      int count)
{
	struct child *c = arg;

	for (int i = 0; i < count; i++)
		if (!isfinite(v[i]) && !*c->broken.text)
			error_set(&c->broken, "%s of %s is not a number", metric,
				  *subject ? subject : "the node");
	if (*c->broken.text)
		return;
	for (int i = 0; i < count; i += SAMPLES_A_LINE)
		send_samples(c, metric, subject, v + i,
			     count - i < SAMPLES_A_LINE ? count - i : SAMPLES_A_LINE);
}

static void on_absent(void *arg, const char *metric, const char *subject, const char *why,
		      int is_hole)
{
	json_t *event = event_new(EV_DATA);

	json_object_set_new(event, "m", event_string(metric, 80));
	json_object_set_new(event, "s", event_string(subject, 80));
	json_object_set_new(event, is_hole ? "hole" : "na", event_string(why, TEXT_MOST));
	send_event(arg, event);
}

static void on_fact(void *arg, const char *part, const char *key, const char *value,
		    const char *hole)
{
	json_t *event = event_new(EV_FACT);

	json_object_set_new(event, "part", event_string(part, 40));
	json_object_set_new(event, "k", event_string(key, 200));
	json_object_set_new(event, value ? "v" : "hole",
			    event_string(value ? value : hole, TEXT_MOST));
	send_event(arg, event);
}

static void on_note(void *arg, const char *text)
{
	json_t *event = event_new(EV_NOTE);

	json_object_set_new(event, "text", event_string(text, TEXT_MOST));
	send_event(arg, event);
}

static void send_end(struct child *c, enum end_word word, const char *why)
{
	json_t *event = event_new(EV_END);

	json_object_set_new(event, "word", json_string(end_word_name(word)));
	json_object_set_new(event, "why", event_string(why, 500));
	send_event(c, event);
}

/* A knob comes in pieces; each is added to what is there. */
static void add_knob(struct child *c, const struct event *ev)
{
	const char *key = event_text(ev, "k"), *piece = event_text(ev, "v");
	const char *old = json_string_value(json_object_get(c->values, key));
	char *whole = xasprintf("%s%s", old ? old : "", piece);

	if (strlen(whole) > WIRE_TEXT_MOST)
		error_set(&c->broken, "knob %s is too long", key);
	else
		json_object_set_new(c->values, key, json_string(whole));
	free(whole);
}

static void on_line(void *arg, char *line, size_t len, int cut)
{
	struct child *c = arg;
	struct event ev;

	if (*c->broken.text)
		return;
	if (c->started) {
		if (!cut)
			meet_line(c->meet, line, len);
		return;
	}
	if (cut || event_parse(line, len, &ev, &c->broken) < 0) {
		error_prefix(&c->broken, "the order for this step is damaged: ");
		return;
	}
	if (ev.kind == EV_WITH) {
		add_knob(c, &ev);
	} else if (ev.kind == EV_CLOCK) {
		c->clock = (struct clock_offset){ 1, event_number(&ev, "offset"),
						  event_number(&ev, "error") };
	} else if (ev.kind == EV_RUN) {
		c->check = check_find(event_text(&ev, "check"));
		c->unit = xstrdup(event_text(&ev, "unit"));
		c->started = 1;
		if (!c->check)
			error_set(&c->broken, "no check is called '%s'", event_text(&ev, "check"));
	}
	event_release(&ev);
}

static void read_order(struct child *c)
{
	struct error err;

	while (!c->started && meet_read(c->meet, -1, &err) > 0)
		;
	if (!c->started && !*c->broken.text)
		error_set(&c->broken, "the order for this step ended before it was whole");
}

static void send_for_meet(void *arg, json_t *event)
{
	send_event(arg, event);
}

static const char **knob_values(struct child *c)
{
	const char **values;
	int n = 0;

	while (c->check->params[n].name)
		n++;
	values = xcalloc((size_t)n + 1, sizeof(*values));
	for (int i = 0; i < n; i++)
		values[i] = json_string_value(json_object_get(c->values, c->check->params[i].name));
	return values;
}

static void tell_xids(const struct job *job, int gpu, const char *part)
{
	struct error err;
	char *text;

	if (job->hw->gpu_events(job->machine, gpu, &text, &err) < 0)
		return; /* checks that promise a count of XIDs report the hole */
	if (*text)
		job->sink->fact(job->sink->arg, part, "xid", text, NULL);
	free(text);
}

/*
 * Which code ran on the GPUs, and what the driver said of them meanwhile, goes into the record
 * however the check ended: a GPU that was lost leaves no figures, and must not leave it at holes.
 */
static void tell_gpus(const struct job *job)
{
	const struct host_gpus *gpus;
	struct error err;

	if ((job->knobs.check->scope != PER_GPU && job->knobs.check->scope != ALL_GPUS) ||
	    !job->hw->gpus || !job->hw->gpu_events)
		return;
	gpus = job->hw->gpus(job->machine, &err);
	for (int i = 0; gpus && i < gpus->count; i++) {
		const struct host_gpu *g = &gpus->items[i];

		if (job->knobs.check->scope == PER_GPU && strcmp(g->part, job->unit) != 0)
			continue;
		if (*g->image)
			job->sink->fact(job->sink->arg, g->part, "image", g->image, NULL);
		tell_xids(job, i, g->part);
	}
}

/* Facts and counters come from driver libraries too, so this is asked behind every check. */
static void tell_double(const struct job *job)
{
	const char *what = job->hw->double_of ? job->hw->double_of(job->machine) : NULL;

	if (what)
		job->sink->fact(job->sink->arg, "", "simulated", what, NULL);
}

static int on_share(void *arg, const char *to, const char *key, const char *value,
		    struct error *err)
{
	return meet_share(((struct child *)arg)->meet, to, key, value, err);
}

static int on_take(void *arg, const char *from, const char *key, char **value, struct error *err)
{
	return meet_take(((struct child *)arg)->meet, from, key, value, err);
}

static int on_begin(void *arg, struct error *err)
{
	const struct child *c = arg;

	return meet_begin(c->meet, c->check->scope == PER_PAIR, err);
}

static enum end_word run_check(struct child *c, const struct agent_options *options,
			       struct error *err)
{
	static const enum end_word words[] = { [RUN_OK] = END_DONE, [RUN_SKIP] = END_SKIP };
	const int is_joint = c->check->scope >= PER_PAIR;
	const struct sink sink = {
		.figure = on_figure,
		.absent = on_absent,
		.fact = on_fact,
		.note = on_note,
		.share = is_joint ? on_share : NULL,
		.take = is_joint ? on_take : NULL,
		.begin = is_joint ? on_begin : NULL,
		.arg = c,
	};
	struct job job = {
		.hw = &real_kernels,
		.unit = c->unit,
		.node = options->node,
		.clock = c->clock,
		.sink = &sink,
	};
	const char **values = knob_values(c);
	int rc;

	job.knobs = (struct knobs){ .check = c->check, .values = values };
	job.machine = job.hw->machine_open(options->root, err);
	rc = job.machine ? c->check->run(&job, err) : RUN_ERROR;
	if (job.machine) {
		tell_gpus(&job);
		tell_double(&job);
		job.hw->machine_close(job.machine);
	}
	free(values);
	if (rc != RUN_ERROR && *c->broken.text) {
		*err = c->broken;
		rc = RUN_ERROR;
	}
	return rc == RUN_ERROR ? END_ERROR : words[rc];
}

/* The step leads its own session, so its group is all that it started and itself. */
static void end_group(int number)
{
	(void)number;
	kill(0, SIGKILL);
}

int step_main(const struct agent_options *options)
{
	struct child c = { .values = json_object() };
	struct error err = { "" };
	enum end_word word = END_ERROR;

	/* If the agent dies, this must not go on heating the node, nor must anything it started. */
	signal(SIGHUP, end_group);
	prctl(PR_SET_PDEATHSIG, SIGHUP);
	if (getppid() == 1)
		return 4;
	c.out = dup(STDOUT_FILENO);
	if (c.out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return 4;
	c.meet = meet_new(on_line, send_for_meet, &c);
	read_order(&c);
	if (*c.broken.text)
		err = c.broken;
	else
		word = run_check(&c, options, &err);
	send_end(&c, word, word == END_DONE ? "" : err.text);
	/* The exit handlers of a GPU's driver wait for a GPU that hangs; the end is told, so leave.
	 */
	if (c.check && (c.check->scope == PER_GPU || c.check->scope == ALL_GPUS))
		_exit(0);
	meet_free(c.meet);
	json_decref(c.values);
	free(c.unit);
	return 0;
}
