/*
 * meeting.h - two nodes over one network, as the checks of pairs and of rings use it.
 *
 * A link is a meeting with one other node together with what its figures are called. Over rails
 * both ends tell each other in front of their place which NIC they took, for it may have another
 * number there; so figures name both ends of the cable path.
 */
#ifndef ASSAY_MEETING_H
#define ASSAY_MEETING_H

#include "harness/checks/check.h"

enum { LINK_TOLD = NET_PLACE + 8, LINK_SUBJECT = 320 }; /* "nic127 " in front of a place */

struct link {
	struct job *job;
	const struct net *net;
	const char *peer;
	const char *nic; /* our own; NULL where the network finds its way itself */
	struct meeting *meeting;
	char to[LINK_SUBJECT], from[LINK_SUBJECT]; /* "nic3>n002/nic3", "nic3<n002/nic3" */
};

/* Opens it by the step's knobs. told: for the other end. */
int link_open(struct link *x, char told[LINK_TOLD], struct error *err);
/* told: what the other end gave out, and it may be anything. Its NIC joins the subjects. */
int link_meet(struct link *x, const char *told, struct error *err);
void link_close(struct link *x);

/* Why the bytes that were sent did not go the way they should, or "". */
void link_path(const struct net_sum *sum, char *why, size_t room);
/* How much went which way. */
void link_notes(const struct link *x, const struct net_sum *sum);
/* -1: nothing counts them, which is no zero. */
void link_retransmits(const struct link *x, int64_t count);

/* Knobs that all checks over rails have. */
int rail_knobs(const struct job *job, struct error *err);
/* wrong_bytes and compared of what came; failure: why not all of it did, or NULL. */
void rail_came(const struct link *x, const struct net_sum *sum, const char *failure);

void pause_until(double when); /* by clock_now() */

/* ---- pairs --------------------------------------------------------------------------------- */

/* How a check of pairs calls what all of them do. */
struct pair_kind {
	const char *missing; /* why it cannot run in a build without the network */
	const char *round_trip,
		*slowest; /* metrics of pings: the median, and the 99th percentile */
	double share;     /* of a round trip that these two count */
	int is_rail;
};

double pair_seconds(const struct knobs *k);
/* All of a check of pairs: RUN_OK, RUN_SKIP or RUN_ERROR. net may be NULL. */
int pair_run(struct job *job, const struct net *net, const struct pair_kind *kind,
	     struct error *err);

#endif
