/*
 * preflight.c - what spoils a run whatever the hardware is like: a clock that is off, and others
 * at work on the node.
 *
 * A busy stranger is a mistake in the set-up and no fault of the node, so it is a hole and never a
 * failure; what was measured beside it is still there to be looked at.
 */
#include "harness/checks/check.h"

#include <math.h>
#include <stdio.h>

static const struct param params[] = {
	{ "watch", "1s", "how long processes are watched" },
	{ "share", "20%", "of one processor: what others may use" },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "clock_offset", "s", LESS, BY_EVERY, NULL,
	  "how far this node's clock surely is off the controller's" },
	{ "foreign", "", NONE, BY_EVERY, NULL, "busy processes of others" },
	{ 0 },
};

enum { NAMED_MOST = 5 };

#define ERROR_MOST 0.5 /* s: half of what is allowed of the clock itself */
#define WATCH_LEAST 0.1
#define WATCH_MOST 60.0

static double seconds(const struct knobs *k)
{
	return 1 + knob(k, "watch");
}

static void report_clock(struct job *job)
{
	const struct clock_offset *c = &job->clock;
	char why[100];

	if (!c->known) {
		job_hole(job, "clock_offset", "",
			 "the controller could not read this node's clock");
		return;
	}
	if (!(c->error <= ERROR_MOST)) {
		snprintf(why, sizeof(why), "the clock could not be read more closely than +-%.3g s",
			 c->error);
		job_hole(job, "clock_offset", "", why);
		return;
	}
	job_report(job, "clock_offset", "", fmax(0, fabs(c->seconds) - c->error));
}

static void hole_of_strangers(struct job *job, const struct busy *busy)
{
	int named = busy->kept < NAMED_MOST ? busy->kept : NAMED_MOST;
	struct text t;

	text_init(&t);
	text_add(&t, "others are at work here: ");
	for (int i = 0; i < named; i++)
		text_addf(&t, "%sprocess %d (%s) at %.0f%% of a processor", i ? ", " : "",
			  busy->first[i].pid, busy->first[i].name, 100 * busy->first[i].share);
	if (busy->count > named)
		text_addf(&t, ", and %d more", busy->count - named);
	job_hole(job, "foreign", "", t.data);
	text_release(&t);
}

static void report_foreign(struct job *job, double watch)
{
	struct busy busy = { .seconds = watch, .share = knob(&job->knobs, "share") };
	struct error err;
	int rc = job->hw->busy ? job->hw->busy(job->machine, &busy, &err)
			       : error_set(&err, "this build cannot look at processes");

	if (rc < 0) {
		job_hole(job, "foreign", "", err.text);
	} else if (rc > 0) {
		job_absent(job, "foreign", "", "a recorded machine runs nothing");
	} else {
		if (busy.is_apart)
			job_note(job, "this is a process namespace of its own: what runs outside "
				      "of it was not looked at");
		if (busy.count)
			hole_of_strangers(job, &busy);
		else
			job_report(job, "foreign", "", 0);
	}
}

static int run(struct job *job, struct error *err)
{
	double watch = knob(&job->knobs, "watch"), share = knob(&job->knobs, "share");

	if (watch < WATCH_LEAST || watch > WATCH_MOST)
		return error_set(err, "watch must be from %g s to %g s", WATCH_LEAST, WATCH_MOST);
	if (share < 0.02)
		return error_set(err, "share must be at least 2%%: the kernel counts in ticks");
	report_clock(job);
	report_foreign(job, watch);
	return RUN_OK;
}

const struct check check_preflight = {
	.name = "preflight",
	.summary = "the node's clock, and whether others are at work on it",
	.how = "The controller reads the node's clock when its agent starts; the offset less half "
	       "of the "
	       "fastest round trip is surely wrong. The processor time of every process is read "
	       "twice, `watch` apart; kernel threads and what this program started do not count. "
	       "Busy processes of others are no fault of the node, so they are a hole that names "
	       "the five busiest.",
	.scope = PER_NODE,
	.occupies = USES_NOTHING,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
