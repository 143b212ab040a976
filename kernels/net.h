/*
 * net.h - the network part of the door: two nodes that meet over one kind of network. Included by
 * kernels.h.
 *
 * A kind is a const table, so that a check of pairs or of rings is written once and runs over any.
 * Both ends open, swap the places that they got (through the controller: nothing here talks to
 * anybody else), meet, and then each may send while the other listens, or both at once. From the
 * meeting on all that comes is received and compared by a thread of the meeting's own. Errors speak
 * of the other node as "it".
 */
#ifndef ASSAY_KERNELS_NET_H
#define ASSAY_KERNELS_NET_H

#include <stdint.h>

struct error;
struct machine;

enum { NET_PLACE = 251, NET_STREAMS_MOST = 32 }; /* a place as a text, with its \0 */

struct meeting { /* with one other node; each kind has more behind it */
	const struct net *net;
};

struct net_way {
	const char *peer; /* the other node. TCP finds its own address by the route to that name */
	const char *nic;  /* RDMA: the own NIC, "nic3". TCP: not looked at */
	int streams;      /* connections each way, for data */
	uint64_t bytes;   /* RDMA: memory to send from, and as much to receive in */
};

/* Sends on all streams for one window, which does not count, and so many more. */
struct net_rate {
	double seconds; /* of a window */
	int windows;
	/* Spoils what is sent, piece by piece, for tests; NULL in production. */
	void (*tamper)(void *arg, unsigned char *piece, uint64_t offset);
	void *tamper_arg;
	/* out */
	double *gbs;         /* caller's array of `windows`: what the other end acknowledged */
	int done;            /* windows that were measured: all, or those before it broke */
	int busy_windows;    /* in which something came from the other end */
	int64_t retransmits; /* segments or packets sent again; -1: nothing here counts them */
};

struct net_pings {
	int most;
	double seconds; /* stops then */
	/* out */
	double *us; /* caller's array of `most`: there and back */
	int count;
};

struct net_sum {
	uint64_t sent, received; /* bytes; received: as far as the receiver's own end counts them */
	uint64_t compared, wrong_bytes; /* of what came */
	int strangers;                  /* who came without our token */
	char interface[32]; /* whose counter is looked at; "" if none can tell the path */
	uint64_t counted;   /* bytes that it has sent meanwhile */
};

struct net {
	const char *name; /* "tcp" */
	/* Finds the way and waits there; `place` is for the other end. 0, or -1 with nothing to
	 * close. */
	int (*open)(struct machine *m, const struct net_way *way, struct meeting **x,
		    char place[NET_PLACE], struct error *err);
	/* place: of the other end, as it came; it may be anything. */
	int (*meet)(struct meeting *x, const char *place, struct error *err);
	int (*ping)(struct meeting *x, struct net_pings *job, struct error *err);
	int (*send)(struct meeting *x, struct net_rate *job, struct error *err);
	/* Waits until the other end has sent its `runs` as well; then nothing more is sent. */
	int (*end)(struct meeting *x, int runs, struct net_sum *sum, struct error *err);
	void (*close)(struct meeting *x); /* at any time; NULL is fine */
};

#endif
