/*
 * rail_ring.c - every node of a rail sends to one and receives from another, for long.
 *
 * The fabric is full in both directions as long as the plan says; what fails once in hours needs
 * hours. Nothing that happens later takes away what was measured before: a link that breaks costs
 * the windows that were to come, a node that dies one direction of each neighbour, and all the rest
 * goes on.
 * Each member has two meetings, one that it sends on and one that it only listens on; with two
 * members both are with the same node, so all that is told names its meeting.
 */
#include "harness/checks/meeting.h"

#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WINDOWS_LEAST = 6, /* fewer make no share */
	WINDOWS_MOST = 1000000,
	SAMPLES_MOST = 600, /* of one rate; thousands of rails end at the same moment */
	STRIDE_MOST = 65536,
};

#define MEETING 3.0 /* seconds for all to meet, between the common start and the first byte */

static const struct param params[] = {
	{ "streams", "2", "queue pairs" },
	{ "bytes", "4MiB", "memory to send from, and as much to receive in" },
	{ "seconds", "60s", "how long" },
	{ "window", "1s", "length of one window; one more warms up" },
	{ "group", "0", "nodes of one ring; 0: all" },
	{ "alone", "0", "1: one rail behind the other; 0: all at once" },
	{ "peers", "", "the nodes of the ring", 1 },
	{ "nic", "", "the own NIC on this rail", 1 },
	{ "stride", "1", "how far behind in the list the one is that is sent to", 1 },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "rate", "GB/s", MORE, BY_SHARE, "nic", "sending while receiving" },
	{ "breaks", "", NONE, BY_EVERY, NULL, "1: sending broke off" },
	{ "wrong_bytes", "B", NONE, BY_EVERY, NULL, "of what was compared" },
	{ "compared", "B", MORE, RECORDED, NULL, "of what came" },
	{ "retransmits", "", LESS, RECORDED, NULL, "packets sent again" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 10 + MEETING + knob(k, "seconds") + knob(k, "window");
}

/* Keys of what the two ends of a meeting tell each other: the place, and that it is over. */
struct role {
	const char *place, *over;
};

static const struct role sender = { "sends", "sent" }, listener = { "listens", "heard" };

struct side {
	struct ring *ring;
	struct link link;
	const struct role *own, *other;
	char *told;           /* by the neighbour; NULL: nothing came */
	struct error failure; /* "" while all is well */
	struct error gone;    /* the neighbour has not come to the end of its step; else "" */
	struct net_sum sum;
	int has_met, has_ended;
};

struct ring {
	struct job *job;
	struct side ahead, behind; /* sends, listens */
	int windows, has_broken;
	double window, start; /* start: of sending, by clock_now() */
	struct net_rate rate;
};

/* ---- who is whose neighbour ---------------------------------------------------------------- */

static int check_knobs(const struct job *job, struct error *err)
{
	double window = knob(&job->knobs, "window"), all = knob(&job->knobs, "seconds");

	if (window < 0.01 || window > 3600)
		return error_set(err, "window must be from 10 ms to an hour");
	if (all < WINDOWS_LEAST * window || all > WINDOWS_MOST * window)
		return error_set(err, "seconds must be from %d to %d windows", WINDOWS_LEAST,
				 WINDOWS_MOST);
	return rail_knobs(job, err);
}

/* How far the neighbours are, from 1 to count - 1. */
static int read_stride(const struct job *job, int count, int *stride, struct error *err)
{
	const char *text = knob_text(&job->knobs, "stride");
	char *end;
	long n = strtol(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || n > STRIDE_MOST)
		return error_set(err, "a stride is a number up to %d", STRIDE_MOST);
	*stride = (int)(n % count);
	if (*stride)
		return 0;
	return error_set(err, "no ring of %d nodes: the one %ld further is the node itself", count,
			 n);
}

static struct side side_of(struct ring *r, const char *peer, const struct role *own,
			   const struct role *other)
{
	return (struct side){ .ring = r,
			      .link = { .job = r->job,
					.net = r->job->hw->rdma,
					.peer = peer,
					.nic = knob_text(&r->job->knobs, "nic") },
			      .own = own,
			      .other = other };
}

/* ---- meeting ------------------------------------------------------------------------------- */

/* Only the neighbour needs the place: told to all it would be a thousand lines for each node. */
static int open_side(struct side *x, struct error *err)
{
	char told[LINK_TOLD];

	if (link_open(&x->link, told, err) < 0)
		return -1;
	return job_tell(x->link.job, x->link.peer, x->own->place, told, err);
}

/*
 * Behind the common start, when every place is there or its node is gone: so nobody is kept from
 * one neighbour because the other one is slow.
 */
static void take_place(struct side *x)
{
	if (job_take(x->link.job, x->link.peer, x->other->place, &x->told, &x->failure) < 0)
		x->told = NULL;
}

static int meet(struct side *x)
{
	if (x->told && link_meet(&x->link, x->told, &x->failure) == 0)
		x->has_met = 1;
	return x->has_met ? 0 : -1;
}

/* ---- at work ------------------------------------------------------------------------------- */

static void end(struct side *x, int runs)
{
	if (x->link.net->end(x->link.meeting, runs, &x->sum, &x->failure) == 0)
		x->has_ended = 1;
	else
		error_prefix(&x->failure, "%s: ", x->link.peer);
}

static void work_ahead(struct side *x)
{
	struct ring *r = x->ring;

	if (meet(x) < 0)
		return;
	pause_until(r->start);
	r->has_broken = x->link.net->send(x->link.meeting, &r->rate, &x->failure) < 0;
	if (!r->has_broken && r->rate.done < r->windows)
		r->has_broken = error_set(&x->failure, "it ended early") < 0;
	if (!r->has_broken)
		end(x, 0);
}

/* All send for the same time, so what is behind has sent all when we should have. */
static void *work_behind(void *arg)
{
	struct side *x = arg;
	const struct ring *r = x->ring;

	if (meet(x) < 0)
		return NULL;
	pause_until(r->start + (1 + r->windows) * r->window);
	end(x, 1);
	return NULL;
}

/* In two threads, for each meeting waits for another node. */
static int work(struct ring *r, struct error *err)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work_behind, &r->behind) != 0)
		return error_set(err, "cannot start a thread");
	work_ahead(&r->ahead);
	pthread_join(thread, NULL);
	return 0;
}

/*
 * Whoever comes to the end of its work says so to both neighbours, whatever became of it. So where
 * a link broke, one can tell a broken link from a node that died, which is no fault of this one.
 */
static int say_over(const struct side *x, struct error *err)
{
	return job_tell(x->link.job, x->link.peer, x->own->over, "", err);
}

static void ask_over(struct side *x)
{
	char *over;

	if (!x->told || x->has_ended)
		return;
	if (job_take(x->link.job, x->link.peer, x->other->over, &over, &x->gone) == 0)
		free(over);
}

/* ---- reports ------------------------------------------------------------------------------- */

/* What became of a side that failed, and of its node; the caller frees it. */
static char *why_not(const struct side *x)
{
	const struct ring *r = x->ring;
	char *where = x == &r->ahead && r->has_broken
			      ? xasprintf("sending to %s broke in window %d of %d: ", x->link.peer,
					  r->rate.done + 1, r->windows)
			      : xstrdup("");
	char *why = xasprintf("%s%s%s%s", where, x->failure.text, *x->gone.text ? "; " : "",
			      x->gone.text);

	free(where);
	return why;
}

/* So many samples as may go over the wire: of neighbouring windows the slowest, so no dip is lost.
 */
static void report_rates(const struct ring *r)
{
	const struct link *link = &r->ahead.link;
	int each = (r->windows + SAMPLES_MOST - 1) / SAMPLES_MOST, count = 0;
	double *samples = xcalloc((size_t)r->rate.done + 1, sizeof(*samples));

	for (int i = 0; i < r->rate.done; i++) {
		if (i % each == 0)
			samples[count++] = r->rate.gbs[i];
		else
			samples[count - 1] = fmin(samples[count - 1], r->rate.gbs[i]);
	}
	if (count)
		job_samples(r->job, "rate", link->to, samples, count);
	if (each > 1)
		job_note(r->job, "a sample of rate is the slowest of %d windows of %g s", each,
			 r->window);
	free(samples);
}

static void report_break(const struct ring *r)
{
	const struct side *x = &r->ahead;
	char *why = why_not(x), after[40];

	seconds_text((1 + r->rate.done) * r->window, after, sizeof(after));
	job_note(r->job, "%s: %s, after %s", x->link.to, why, after);
	report_rates(r);
	job_hole(r->job, "rate", x->link.to, why); /* the windows that did not come */
	if (*x->gone.text)
		job_hole(r->job, "breaks", x->link.to, why);
	else
		job_report(r->job, "breaks", x->link.to, 1);
	free(why);
}

static void report_sent(const struct ring *r)
{
	const struct side *x = &r->ahead;
	char path[160];

	job_report(r->job, "breaks", x->link.to, 0);
	link_path(&x->sum, path, sizeof(path));
	if (*path)
		job_hole(r->job, "rate", x->link.to, path);
	else
		report_rates(r);
	if (x->has_ended)
		link_notes(&x->link, &x->sum);
	else /* measured, but which way it went is not known */
		job_hole(r->job, "rate", x->link.to, x->failure.text);
}

static void report_ahead(const struct ring *r)
{
	const struct side *x = &r->ahead;
	char *why;

	if (!x->has_met) {
		why = why_not(x);
		job_hole(r->job, "rate", x->link.to, why);
		job_hole(r->job, "breaks", x->link.to, why);
		free(why);
		return;
	}
	if (r->has_broken)
		report_break(r);
	else
		report_sent(r);
	/* Of what broke nobody may have come to read the counters. */
	if (!r->has_broken || r->rate.retransmits >= 0)
		link_retransmits(&x->link, r->rate.retransmits);
}

static void report_behind(const struct ring *r)
{
	const struct side *x = &r->behind;
	char *why = x->has_ended ? NULL : why_not(x);

	rail_came(&x->link, &x->sum, why);
	free(why);
}

/* ---- the check ----------------------------------------------------------------------------- */

/* From the common start on it has figures, whatever fails. */
static int run_together(struct ring *r, struct error *err)
{
	r->start = clock_now() + MEETING;
	take_place(&r->ahead);
	take_place(&r->behind);
	if (work(r, err) < 0 || say_over(&r->ahead, err) < 0 || say_over(&r->behind, err) < 0)
		return -1;
	ask_over(&r->ahead);
	ask_over(&r->behind);
	report_ahead(r);
	report_behind(r);
	return 0;
}

static int run_ring(struct ring *r, struct error *err)
{
	const struct knobs *k = &r->job->knobs;
	int rc;

	r->window = knob(k, "window");
	r->windows = (int)floor(knob(k, "seconds") / r->window + 1e-6);
	r->rate = (struct net_rate){ .seconds = r->window, .windows = r->windows };
	r->rate.retransmits = -1;
	r->rate.gbs = xcalloc((size_t)r->windows, sizeof(*r->rate.gbs));
	rc = open_side(&r->ahead, err) < 0 || open_side(&r->behind, err) < 0 ||
			     job_begin(r->job, err) < 0
		     ? -1
		     : run_together(r, err);
	link_close(&r->ahead.link);
	link_close(&r->behind.link);
	free(r->ahead.told);
	free(r->behind.told);
	free(r->rate.gbs);
	return rc;
}

static int run(struct job *job, struct error *err)
{
	struct ring r = { .job = job };
	struct hostlist peers;
	int self, stride, rc, n;

	if (!job->hw->rdma)
		return job_skip(err, "this build knows no RDMA");
	if (check_knobs(job, err) < 0 || job_peers(job, &peers, &self, err) < 0)
		return RUN_ERROR;
	n = peers.count;
	rc = read_stride(job, n, &stride, err);
	if (rc == 0) {
		r.ahead = side_of(&r, peers.names[(self + stride) % n], &sender, &listener);
		r.behind = side_of(&r, peers.names[(self - stride + n) % n], &listener, &sender);
		rc = run_ring(&r, err);
	}
	hostlist_release(&peers);
	return rc < 0 ? RUN_ERROR : RUN_OK;
}

const struct check check_rail_ring = {
	.name = "rail_ring",
	.summary = "RDMA around all nodes, over all rails at once, for long",
	.how = "Each node sends to the one `stride` further in the list of nodes and receives from "
	       "the one as far before it, on every rail at the same time, for `seconds`; so every "
	       "NIC sends and receives, and with a stride beyond a leaf all goes through the "
	       "spines. A rate is what the other end acknowledged in a window; of more than 600 "
	       "windows the slowest of neighbours is told. The one that gets the data compares as "
	       "much as it can meanwhile, and says how much that was. When a "
	       "connection breaks, the windows before it count and the others go on.",
	.scope = PER_GROUP,
	.occupies = USES_NICS,
	.per_rail = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
