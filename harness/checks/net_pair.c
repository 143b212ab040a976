/*
 * net_pair.c - TCP between two nodes, over the network by whose names they know each other.
 *
 * What the two do, and when, is in meeting.c.
 */
#include "harness/checks/meeting.h"

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

static const struct pair_kind kind = {
	.missing = "this build knows no network",
	.round_trip = "round_trip",
	.slowest = "round_trip_p99",
	.share = 1,
};

static int run(struct job *job, struct error *err)
{
	return pair_run(job, job->hw->tcp, &kind, err);
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
	.seconds = pair_seconds,
	.run = run,
};
