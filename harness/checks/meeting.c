/*
 * meeting.c - how two nodes measure one network together.
 *
 * All pairs of a round begin at the same time and keep to one timetable: pings of the first, pings
 * of the second, the first sends, the second sends, both send. So the network carries all of them
 * at once, over all rails, and what is measured is not one pair in an empty network. Each member
 * reports what it sent itself as ">OTHER", and what it got and compared as "<OTHER".
 */
#include "harness/checks/meeting.h"

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

#define BYTES_LEAST (1 << 20) /* of memory to send from */
#define BYTES_MOST 64e9

void pause_until(double when)
{
	double left = when - clock_now();
	struct timespec ts = { (time_t)left, (long)((left - floor(left)) * 1e9) };

	while (left > 0 && nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* ---- one link ------------------------------------------------------------------------------ */

/* How many characters the name of a NIC takes with which the text begins; 0 if there is none. */
static size_t nic_length(const char *text)
{
	size_t kind = strlen("nic"), digits;

	if (strncmp(text, "nic", kind) != 0)
		return 0;
	digits = strspn(text + kind, "0123456789");
	if (!digits || digits > 3 || (digits > 1 && text[kind] == '0'))
		return 0;
	return kind + digits;
}

/* What figures are called; n characters of `nic` name the other end's. */
static void name(struct link *x, const char *nic, size_t n)
{
	const char *own = x->nic ? x->nic : "", *slash = n ? "/" : "";

	snprintf(x->to, sizeof(x->to), "%s>%s%s%.*s", own, x->peer, slash, (int)n, nic);
	snprintf(x->from, sizeof(x->from), "%s<%s%s%.*s", own, x->peer, slash, (int)n, nic);
}

int link_open(struct link *x, char told[LINK_TOLD], struct error *err)
{
	const struct knobs *k = &x->job->knobs;
	const struct net_way way = { .peer = x->peer,
				     .nic = x->nic,
				     .streams = (int)knob(k, "streams"),
				     .bytes = x->nic ? (uint64_t)knob(k, "bytes") : 0 };
	char place[NET_PLACE];

	name(x, "", 0); /* for holes, should the two never meet */
	if (x->net->open(x->job->machine, &way, &x->meeting, place, err) < 0)
		return -1;
	snprintf(told, LINK_TOLD, "%s%s%s", x->nic ? x->nic : "", x->nic ? " " : "", place);
	return 0;
}

int link_meet(struct link *x, const char *told, struct error *err)
{
	size_t n = x->nic ? nic_length(told) : 0;

	if (x->nic && (!n || told[n] != ' '))
		return error_set(err, "%s: it does not say which NIC it took", x->peer);
	name(x, told, n);
	told += n ? n + 1 : 0;
	if (strlen(told) >= NET_PLACE)
		return error_set(err, "%s: it does not say where it can be met", x->peer);
	if (x->net->meet(x->meeting, told, err) < 0)
		return error_prefix(err, "%s: ", x->peer);
	return 0;
}

void link_close(struct link *x)
{
	if (x->net)
		x->net->close(x->meeting);
	x->meeting = NULL;
}

void link_path(const struct net_sum *sum, char *why, size_t room)
{
	*why = '\0';
	if (*sum->interface && sum->counted < sum->sent)
		snprintf(why, room, "the bytes did not go through %s: it counted %llu of %llu",
			 sum->interface, (unsigned long long)sum->counted,
			 (unsigned long long)sum->sent);
}

void link_notes(const struct link *x, const struct net_sum *sum)
{
	if (sum->strangers)
		job_note(x->job, "%d connections came without our token and were closed",
			 sum->strangers);
	if (*sum->interface)
		job_note(x->job, "%llu bytes to %s through %s", (unsigned long long)sum->sent,
			 x->peer, sum->interface);
	else if (x->nic)
		job_note(x->job, "%s has no counters of what it sent, so no path is proved",
			 x->nic);
	else
		job_note(x->job, "the address belongs to no interface with counters, so no path is "
				 "proved");
}

void link_retransmits(const struct link *x, int64_t count)
{
	if (count < 0)
		job_hole(x->job, "retransmits", x->to, "nothing here counts what is sent again");
	else
		job_report(x->job, "retransmits", x->to, (double)count);
}

/* ---- rails --------------------------------------------------------------------------------- */

int rail_knobs(const struct job *job, struct error *err)
{
	double streams = knob(&job->knobs, "streams"), bytes = knob(&job->knobs, "bytes");
	const char *nic = knob_text(&job->knobs, "nic");
	size_t n = nic_length(nic);

	if (streams < 1 || streams > NET_STREAMS_MOST)
		return error_set(err, "streams must be from 1 to %d", NET_STREAMS_MOST);
	if (bytes < BYTES_LEAST || bytes > BYTES_MOST)
		return error_set(err, "bytes must be from 1 MiB to 64 GB");
	if (!n || nic[n])
		return error_set(err, "no NIC of this node was named for this step");
	return 0;
}

/* Wrong bytes that were found are a fault, however it ended; that there were none until then, or
 * among nothing, proves nothing. */
void rail_came(const struct link *x, const struct net_sum *sum, const char *failure)
{
	if (!failure && !sum->compared)
		failure = "nothing of what came was compared";
	if (sum->wrong_bytes || !failure)
		job_report(x->job, "wrong_bytes", x->from, (double)sum->wrong_bytes);
	if (failure)
		job_hole(x->job, "wrong_bytes", x->from, failure);
	job_report(x->job, "compared", x->from, (double)sum->compared);
}

/* ---- pairs --------------------------------------------------------------------------------- */

struct pair {
	struct link link;
	const struct pair_kind *kind;
	int is_first, windows;
	double began;
	double *rate, *both; /* windows of each */
	int busy, quiet;     /* windows of `rate` in which the other sent, of `both` in which not */
	int64_t retransmits; /* -1: not counted */
};

static double run_seconds(const struct knobs *k)
{
	return GAP + (1 + knob(k, "windows")) * knob(k, "seconds");
}

/* Meeting takes about two seconds; the interface's counters may lag behind by three. */
double pair_seconds(const struct knobs *k)
{
	return 5 + 2 * PING_SLOT + 3 * run_seconds(k);
}

static int check_knobs(const struct job *job, const struct pair_kind *kind, struct error *err)
{
	double windows = knob(&job->knobs, "windows"), pings = knob(&job->knobs, "pings");
	double window = knob(&job->knobs, "seconds");

	if (windows < WINDOWS_LEAST || windows > WINDOWS_MOST)
		return error_set(err, "windows must be from %d to %d", WINDOWS_LEAST, WINDOWS_MOST);
	if (pings < PING_GROUPS || pings > PINGS_MOST)
		return error_set(err, "pings must be from %d to %d", PING_GROUPS, PINGS_MOST);
	if (window < 0.01 || window > 3600)
		return error_set(err, "seconds must be from 10 ms to an hour");
	return kind->is_rail ? rail_knobs(job, err) : 0;
}

static int meet(struct pair *x, struct error *err)
{
	struct job *job = x->link.job;
	char own[LINK_TOLD], *other;
	int rc;

	if (link_open(&x->link, own, err) < 0 || job_share(job, "place", own, err) < 0 ||
	    job_take(job, x->link.peer, "place", &other, err) < 0)
		return -1;
	rc = link_meet(&x->link, other, err);
	free(other);
	return rc < 0 ? -1 : job_begin(job, err);
}

static void report_pings(struct pair *x, const struct net_pings *p)
{
	double medians[PING_GROUPS], slowest[PING_GROUPS];
	int each = p->count / PING_GROUPS;

	for (int i = 0; i < PING_GROUPS; i++) {
		medians[i] = x->kind->share * median_of(p->us + i * each, each).value;
		slowest[i] = x->kind->share * percentile_of(p->us + i * each, each, 0.99);
	}
	job_samples(x->link.job, x->kind->round_trip, x->link.to, medians, PING_GROUPS);
	job_samples(x->link.job, x->kind->slowest, x->link.to, slowest, PING_GROUPS);
}

static int ping(struct pair *x, struct error *err)
{
	struct net_pings p = { .most = (int)knob(&x->link.job->knobs, "pings"),
			       .seconds = PING_TIME };
	char why[80];
	int rc;

	pause_until(x->began + (x->is_first ? 0 : PING_SLOT));
	p.us = xcalloc((size_t)p.most, sizeof(*p.us));
	rc = x->link.net->ping(x->link.meeting, &p, err);
	if (rc == 0 && p.count >= PING_GROUPS) {
		report_pings(x, &p);
	} else if (rc == 0) {
		snprintf(why, sizeof(why), "only %d round trips in %g s", p.count, PING_TIME);
		job_hole(x->link.job, x->kind->round_trip, x->link.to, why);
	}
	free(p.us);
	return rc;
}

/* turn: 0 is the first's, 1 the second's, 2 that of both. */
static int send_run(struct pair *x, int turn, double *gbs, int *busy, struct error *err)
{
	const struct knobs *k = &x->link.job->knobs;
	struct net_rate r = { .seconds = knob(k, "seconds"), .windows = x->windows, .gbs = gbs };

	pause_until(x->began + 2 * PING_SLOT + turn * run_seconds(k));
	if (x->link.net->send(x->link.meeting, &r, err) < 0)
		return -1;
	if (r.retransmits < 0 || x->retransmits < 0)
		x->retransmits = -1;
	else
		x->retransmits += r.retransmits;
	*busy = r.busy_windows;
	return 0;
}

static int measure(struct pair *x, struct error *err)
{
	int busy;

	if (ping(x, err) < 0 || send_run(x, x->is_first ? 0 : 1, x->rate, &x->busy, err) < 0 ||
	    send_run(x, 2, x->both, &busy, err) < 0)
		return -1;
	x->quiet = x->windows - busy;
	return 0;
}

static void report_rate(struct pair *x, const char *metric, const double *gbs, const char *why)
{
	if (*why)
		job_hole(x->link.job, metric, x->link.to, why);
	else
		job_samples(x->link.job, metric, x->link.to, gbs, x->windows);
}

/*
 * A rate counts only if its bytes went the way that was meant. Some windows may be off where the
 * two did not begin exactly together, or where one of them stood still; the median is of the others
 * as long as those are the most.
 */
static void report_rates(struct pair *x, const struct net_sum *sum)
{
	int half = x->windows / 2;
	char path[160], why[400];

	link_path(sum, path, sizeof(path));
	snprintf(why, sizeof(why), "%s", path);
	if (!*path && x->busy > half)
		snprintf(why, sizeof(why), "%s sent meanwhile: the two did not begin together",
			 x->link.peer);
	report_rate(x, "rate", x->rate, why);
	snprintf(why, sizeof(why), "%s", path);
	if (!*path && x->quiet > half)
		snprintf(why, sizeof(why),
			 "%s did not send meanwhile: the two did not begin together", x->link.peer);
	report_rate(x, "rate_both", x->both, why);
}

static int report(struct pair *x, struct error *err)
{
	struct net_sum sum = { 0 };

	if (x->link.net->end(x->link.meeting, RUNS, &sum, err) < 0)
		return -1;
	report_rates(x, &sum);
	if (x->kind->is_rail)
		rail_came(&x->link, &sum, NULL);
	else
		job_report(x->link.job, "wrong_bytes", x->link.from, (double)sum.wrong_bytes);
	link_retransmits(&x->link, x->retransmits);
	link_notes(&x->link, &sum);
	return 0;
}

static int run_with(struct pair *x, struct error *err)
{
	int rc;

	if (meet(x, err) < 0)
		return -1;
	x->began = clock_now();
	x->windows = (int)knob(&x->link.job->knobs, "windows");
	x->rate = xcalloc((size_t)x->windows, sizeof(*x->rate));
	x->both = xcalloc((size_t)x->windows, sizeof(*x->both));
	rc = measure(x, err);
	if (rc == 0)
		rc = report(x, err);
	if (rc < 0)
		error_prefix(err, "%s: ", x->link.peer);
	free(x->rate);
	free(x->both);
	return rc;
}

int pair_run(struct job *job, const struct net *net, const struct pair_kind *kind,
	     struct error *err)
{
	struct pair x = { .link = { .job = job, .net = net }, .kind = kind };
	struct hostlist peers;
	int self, rc;

	if (!net)
		return job_skip(err, "%s", kind->missing);
	if (check_knobs(job, kind, err) < 0 || job_peers(job, &peers, &self, err) < 0)
		return RUN_ERROR;
	x.link.nic = kind->is_rail ? knob_text(&job->knobs, "nic") : NULL;
	if (peers.count == 2) {
		x.link.peer = peers.names[!self];
		x.is_first = self == 0;
		rc = run_with(&x, err);
	} else {
		rc = error_set(err, "a pair is two nodes, and here are %d", peers.count);
	}
	link_close(&x.link);
	hostlist_release(&peers);
	return rc < 0 ? RUN_ERROR : RUN_OK;
}
