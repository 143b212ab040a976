/*
 * rail_pair.c - RDMA between two nodes over one rail.
 *
 * What the two do, and when, is in meeting.c. Each rail is a step with a process of its own, and
 * all rails of all pairs of a round begin together, so a node's NICs are loaded at once as a
 * training job loads them; `alone` tells a slow NIC from NICs that are slow together.
 */
#include "harness/checks/meeting.h"

static const struct param params[] = {
	{ "streams", "2", "queue pairs" },
	{ "bytes", "4MiB", "memory to send from, and as much to receive in" },
	{ "windows", "8", "timings of each rate" },
	{ "seconds", "0.5s", "length of one timing; one more warms up" },
	{ "pings", "2000", "round trips that are timed, for at most 0.8 s" },
	{ "rounds", "0", "0: until every two have met, 5 above 128 nodes" },
	{ "alone", "0", "1: one rail behind the other; 0: all at once" },
	{ "peers", "", "the two nodes", 1 },
	{ "nic", "", "the own NIC on this rail", 1 },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "rate", "GB/s", MORE, BY_MEDIAN, "nic", "sending, the other listens" },
	{ "rate_both", "GB/s", MORE, BY_MEDIAN, "nic", "sending, the other too" },
	{ "latency", "us", LESS, BY_MEDIAN, NULL, "8 bytes, half a round trip" },
	{ "wrong_bytes", "B", NONE, BY_EVERY, NULL, "of what was compared" },
	{ "compared", "B", MORE, RECORDED, NULL, "of what came" },
	{ "latency_p99", "us", LESS, RECORDED, NULL, "the slowest of a hundred" },
	{ "retransmits", "", LESS, RECORDED, NULL, "packets sent again" },
	{ 0 },
};

static const struct pair_kind kind = {
	.missing = "this build knows no RDMA",
	.round_trip = "latency",
	.slowest = "latency_p99",
	.share = 0.5, /* as ib_write_lat of perftest counts */
	.is_rail = 1,
};

static int run(struct job *job, struct error *err)
{
	return pair_run(job, job->hw->rdma, &kind, err);
}

const struct check check_rail_pair = {
	.name = "rail_pair",
	.summary = "RDMA rate and latency between every two nodes, over each rail",
	.how = "In rounds in which every node has one partner, two nodes meet over one rail, by "
	       "default over all rails at once. Writes of 8 bytes go there and back, and half of "
	       "that is the latency; then "
	       "`streams` queue pairs carry data one way, the other way, and both ways at once, in "
	       "all pairs at the same time. Data lie in host memory and rotate through `bytes`. A "
	       "rate is what the other end acknowledged in a window. The one that gets the data "
	       "compares as much as it can meanwhile, and says how much that was. What was sent "
	       "must be accounted for by the counters of the NIC.",
	.scope = PER_PAIR,
	.occupies = USES_NICS,
	.per_rail = 1,
	.params = params,
	.metrics = metrics,
	.seconds = pair_seconds,
	.run = run,
};
