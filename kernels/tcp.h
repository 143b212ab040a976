/*
 * tcp.h - one meeting of two nodes over TCP. Private to tcp.c, tcp_flow.c and their test.
 */
#ifndef ASSAY_TCP_H
#define ASSAY_TCP_H

#include "kernels/machine.h"

#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum {
	TCP_CHUNK = 256 << 10,
	TCP_TOKEN = 32,            /* hexadecimal digits of 128 bits */
	TCP_HELLO = TCP_TOKEN + 3, /* the token, two digits of the stream, a newline */
	TCP_PATIENCE = 10,         /* seconds in which a peer at work must take or give something */
};

/* One connection, one way. The last one of each way is for pings. */
struct flow {
	struct tcp *tcp;
	int fd;
	uint64_t seed, offset; /* of what is sent or awaited next */
	pthread_t thread;
	int has_thread;
	atomic_int runs; /* that have come to their end */
	atomic_int over; /* its thread has ended; then err is filled if it failed */
	int failed;
	struct error err;
};

/* Where a node waits for the other, and the word it wants to hear first. */
struct tcp_place {
	char address[64]; /* in digits */
	int port;
	char token[TCP_TOKEN + 1]; /* 128 random bits in hexadecimal digits */
};

struct tcp {
	struct meeting meeting; /* the first, so one is the other */
	struct machine *machine;
	struct tcp_place own;
	struct sockaddr_storage address; /* of ours, without a port */
	socklen_t address_len;
	int listener;
	int streams;
	struct flow out[NET_STREAMS_MOST + 1], in[NET_STREAMS_MOST + 1];
	int strangers;
	char interface[IF_NAMESIZE]; /* "" if it cannot be told or is no way to another node */
	double counted;              /* by the interface when we met */
	uint64_t sent;               /* acknowledged in all */
	atomic_ullong received, wrong;
	atomic_int stop; /* the run that is sent now is to end */
	void (*tamper)(void *arg, unsigned char *chunk, uint64_t offset);
	void *tamper_arg;
};

/* tcp.c: waits for events of one socket. 0, or -1 with err naming what did not happen in time. */
int tcp_wait(int fd, short events, double deadline, const char *what, struct error *err);
/* What the interface says of the bytes that were sent. */
void tcp_account(struct tcp *t, struct net_sum *sum);

/* tcp_flow.c */
int tcp_ping(struct meeting *x, struct net_pings *job, struct error *err);
int tcp_send(struct meeting *x, struct net_rate *job, struct error *err);
int tcp_end(struct meeting *x, int runs, struct net_sum *sum, struct error *err);
int tcp_start_receiving(struct tcp *t, struct error *err);
void tcp_stop_flows(struct tcp *t); /* breaks all off and waits for their threads */

#endif
