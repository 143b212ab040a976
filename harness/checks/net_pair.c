/*
 * net_pair.c - TCP between two nodes, over the network by whose names they know each other.
 *
 * All pairs of a round begin at the same time and keep to one timetable: pings of the first, pings
 * of the second, the first sends, the second sends, both send. So the network carries all of them
 * at once, and what is measured is not one pair in an empty network. Each member reports what it
 * sent itself as ">OTHER", and what it got and compared as "<OTHER".
 */
#include "harness/checks/check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	WINDOWS_LEAST = 6, /* fewer samples have no interval */
	WINDOWS_MOST = 1000,
	PINGS_MOST = 1000000,
	PING_GROUPS = 10, /* each gives one sample */
	RUNS = 2,         /* of data, each way: alone, and both together */
};

/* Seconds: for the pings of one member, and between two runs, for buffers to run empty. */
#define PING_SLOT 1.0
#define PING_TIME 0.8
#define GAP 0.5

static const struct param params[] = {
	{ "streams", "4", "connections each way" },
	{ "windows", "8", "timings of each rate" },
	{ "seconds", "0.5s", "length of one timing; one more warms up" },
	{ "pings", "2000", "round trips that are timed, for at most 0.8 s" },
	{ "rounds", "0", "rounds of pairs; 0: until every two have met, 5 above 128 nodes" },
	{ "peers", "", "the two nodes", 1 },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "rate", "GB/s", MORE, BY_MEDIAN, NULL, "sending to the other, while it only listens" },
	{ "rate_both", "GB/s", MORE, BY_MEDIAN, NULL, "sending to the other, while it sends too" },
	{ "round_trip", "us", LESS, BY_MEDIAN, NULL, "one byte there and back" },
	{ "wrong_bytes", "B", NONE, BY_EVERY, NULL, "of what came from the other" },
	{ "round_trip_p99", "us", LESS, RECORDED, NULL, "the slowest of a hundred" },
	{ "retransmits", "", LESS, RECORDED, NULL, "segments sent again, in all timings" },
	{ 0 },
};

static double run_seconds(const struct knobs *k)
{
	return GAP + (1 + knob(k, "windows")) * knob(k, "seconds");
}

/* Meeting takes about two seconds; the interface's counters may lag behind by three. */
static double seconds(const struct knobs *k)
{
	return 5 + 2 * PING_SLOT + 3 * run_seconds(k);
}

struct pair {
	struct job *job;
	const struct net *net;
	struct meeting *meeting;
	const char *peer;
	char to[300], from[300]; /* subjects: ">n002", "<n002" */
	int is_first;
	double began;
	double *rate, *both; /* windows of each */
	int busy, quiet;     /* windows of `rate` in which the other sent, of `both` in which not */
	double retransmits;
};

/* What the timetable has for this member: 0 is the first, 1 the second, 2 both. */
static void wait_for_turn(const struct pair *x, double offset)
{
	double left = x->began + offset - clock_now();
	struct timespec ts = { (time_t)left, (long)((left - floor(left)) * 1e9) };

	while (left > 0 && nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static int check_knobs(const struct job *job, struct error *err)
{
	double windows = knob(&job->knobs, "windows"), pings = knob(&job->knobs, "pings");
	double window = knob(&job->knobs, "seconds");

	if (windows < WINDOWS_LEAST || windows > WINDOWS_MOST)
		return error_set(err, "windows must be from %d to %d", WINDOWS_LEAST, WINDOWS_MOST);
	if (pings < PING_GROUPS || pings > PINGS_MOST)
		return error_set(err, "pings must be from %d to %d", PING_GROUPS, PINGS_MOST);
	if (window < 0.01 || window > 3600)
		return error_set(err, "seconds must be from 10 ms to an hour");
	return 0;
}

/* ---- meeting ------------------------------------------------------------------------------- */

static int meet(struct pair *x, struct error *err)
{
	const struct net_way way = { .peer = x->peer,
				     .streams = (int)knob(&x->job->knobs, "streams") };
	char own[NET_PLACE], *other;
	int rc;

	if (x->net->open(x->job->machine, &way, &x->meeting, own, err) < 0 ||
	    job_share(x->job, "place", own, err) < 0 ||
	    job_take(x->job, x->peer, "place", &other, err) < 0)
		return -1;
	rc = x->net->meet(x->meeting, other, err);
	free(other);
	return rc < 0 ? error_prefix(err, "%s: ", x->peer) : job_begin(x->job, err);
}

/* ---- measuring ----------------------------------------------------------------------------- */

static void report_pings(struct pair *x, const struct net_pings *p)
{
	double medians[PING_GROUPS], slowest[PING_GROUPS];
	int each = p->count / PING_GROUPS;

	for (int i = 0; i < PING_GROUPS; i++) {
		medians[i] = median_of(p->us + i * each, each).value;
		slowest[i] = percentile_of(p->us + i * each, each, 0.99);
	}
	job_samples(x->job, "round_trip", x->to, medians, PING_GROUPS);
	job_samples(x->job, "round_trip_p99", x->to, slowest, PING_GROUPS);
}

static int ping(struct pair *x, struct error *err)
{
	struct net_pings p = { .most = (int)knob(&x->job->knobs, "pings"), .seconds = PING_TIME };
	char why[80];
	int rc;

	wait_for_turn(x, x->is_first ? 0 : PING_SLOT);
	p.us = xcalloc((size_t)p.most, sizeof(*p.us));
	rc = x->net->ping(x->meeting, &p, err);
	if (rc == 0 && p.count >= PING_GROUPS) {
		report_pings(x, &p);
	} else if (rc == 0) {
		snprintf(why, sizeof(why), "only %d round trips in %g s", p.count, PING_TIME);
		job_hole(x->job, "round_trip", x->to, why);
	}
	free(p.us);
	return rc;
}

static int send_run(struct pair *x, int turn, double *gbs, int *busy, struct error *err)
{
	const struct knobs *k = &x->job->knobs;
	struct net_rate r = { .seconds = knob(k, "seconds"),
			      .windows = (int)knob(k, "windows"),
			      .gbs = gbs };

	wait_for_turn(x, 2 * PING_SLOT + turn * run_seconds(k));
	if (x->net->send(x->meeting, &r, err) < 0)
		return -1;
	x->retransmits += (double)r.retransmits;
	*busy = r.busy_windows;
	return 0;
}

static int measure(struct pair *x, struct error *err)
{
	int windows = (int)knob(&x->job->knobs, "windows"), busy;

	if (ping(x, err) < 0 || send_run(x, x->is_first ? 0 : 1, x->rate, &x->busy, err) < 0 ||
	    send_run(x, 2, x->both, &busy, err) < 0)
		return -1;
	x->quiet = windows - busy;
	return 0;
}

/* ---- reporting ----------------------------------------------------------------------------- */

static void report_rate(struct pair *x, const char *metric, const double *gbs, const char *why)
{
	if (*why)
		job_hole(x->job, metric, x->to, why);
	else
		job_samples(x->job, metric, x->to, gbs, (int)knob(&x->job->knobs, "windows"));
}

/*
 * A rate counts only if its bytes went through the interface that has our address. Some windows may
 * be off where the two did not begin exactly together, or where one of them stood still; the median
 * is of the others as long as those are the most.
 */
static void report_rates(struct pair *x, const struct net_sum *sum)
{
	int half = (int)knob(&x->job->knobs, "windows") / 2;
	char path[160] = "", why[400];

	if (*sum->interface && sum->counted < sum->sent)
		snprintf(path, sizeof(path),
			 "the bytes did not go through %s: it counted %llu of %llu", sum->interface,
			 (unsigned long long)sum->counted, (unsigned long long)sum->sent);
	snprintf(why, sizeof(why), "%s", path);
	if (!*path && x->busy > half)
		snprintf(why, sizeof(why), "%s sent meanwhile: the two did not begin together",
			 x->peer);
	report_rate(x, "rate", x->rate, why);
	snprintf(why, sizeof(why), "%s", path);
	if (!*path && x->quiet > half)
		snprintf(why, sizeof(why),
			 "%s did not send meanwhile: the two did not begin together", x->peer);
	report_rate(x, "rate_both", x->both, why);
}

static int report(struct pair *x, struct error *err)
{
	struct net_sum sum = { 0 };

	if (x->net->end(x->meeting, RUNS, &sum, err) < 0)
		return -1;
	report_rates(x, &sum);
	job_report(x->job, "wrong_bytes", x->from, (double)sum.wrong_bytes);
	job_report(x->job, "retransmits", x->to, x->retransmits);
	if (sum.strangers)
		job_note(x->job, "%d connections came without our token and were closed",
			 sum.strangers);
	if (!*sum.interface)
		job_note(x->job, "the address belongs to no interface with counters, so no path is "
				 "proved");
	else
		job_note(x->job, "%llu bytes to %s through %s", (unsigned long long)sum.sent,
			 x->peer, sum.interface);
	return 0;
}

static int run_with(struct pair *x, struct error *err)
{
	size_t windows = (size_t)knob(&x->job->knobs, "windows");
	int rc;

	snprintf(x->to, sizeof(x->to), ">%s", x->peer);
	snprintf(x->from, sizeof(x->from), "<%s", x->peer);
	if (meet(x, err) < 0)
		return -1;
	x->began = clock_now();
	x->rate = xcalloc(windows, sizeof(*x->rate));
	x->both = xcalloc(windows, sizeof(*x->both));
	rc = measure(x, err);
	if (rc == 0)
		rc = report(x, err);
	if (rc < 0)
		error_prefix(err, "%s: ", x->peer);
	free(x->rate);
	free(x->both);
	return rc;
}

static int run(struct job *job, struct error *err)
{
	struct pair x = { .job = job, .net = job->hw->tcp };
	struct hostlist peers;
	int self, rc;

	if (!x.net)
		return job_skip(err, "this build knows no network");
	if (check_knobs(job, err) < 0 || job_peers(job, &peers, &self, err) < 0)
		return RUN_ERROR;
	if (peers.count == 2) {
		x.peer = peers.names[!self];
		x.is_first = self == 0;
		rc = run_with(&x, err);
	} else {
		rc = error_set(err, "a pair is two nodes, and here are %d", peers.count);
	}
	if (x.net)
		x.net->close(x.meeting);
	hostlist_release(&peers);
	return rc < 0 ? RUN_ERROR : RUN_OK;
}

const struct check check_net_pair = {
	.name = "net_pair",
	.summary = "TCP rate and round trip between every two nodes",
	.how = "In rounds in which every node has one partner, two nodes meet over the network "
	       "that their names lead to. One byte goes there and back, then `streams` connections "
	       "carry data one way, the other way, and both ways at once, in all pairs at the same "
	       "time. A rate is what the other end acknowledged in a window. Every byte is "
	       "compared "
	       "by the one that gets it. What was sent must be accounted for by the counters of "
	       "the "
	       "interface.",
	.scope = PER_PAIR,
	.occupies = USES_CORES | USES_NICS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
