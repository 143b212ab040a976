/*
 * rdma.h - one meeting of two nodes over RDMA. Private to rdma*.c and their test.
 *
 * Data is written straight into the other's memory, so nobody there sees it come. That memory is
 * two halves: what is sent in window w goes into half w % 2, and at the end of the window a message
 * on every queue pair, which cannot overtake the data before it, says how much of the half was
 * written. The other end then compares that part while the next window fills the other half, and
 * gives a credit back, without which the sender does not write there again.
 */
#ifndef ASSAY_RDMA_H
#define ASSAY_RDMA_H

#include "kernels/verbs.h"
#include "kernels/work.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	RDMA_PIECE = 64 << 10,
	RDMA_FLIGHT = 128,     /* pieces, over all queue pairs: 8 MiB */
	RDMA_FLIGHT_SOFT = 32, /* soft-RoCE answers behind all of them, and is slow */
	RDMA_PATIENCE = 10,    /* seconds in which a peer at work must take or give something */
	RDMA_TAKES = 4,        /* buffers for messages of a data queue pair: two windows may end */
	RDMA_WORDS = 16, /* the same of the queue pair for control, and messages on their way */
	RDMA_QPS = NET_STREAMS_MOST + 2,
};

/*
 * How long a NIC sends again before it calls the other dead. The wait for an acknowledgement is
 * 4.096 us x 2^TIMEOUT = 0.27 s (InfiniBand Architecture Specification vol. 1, 9.7.6.1.3: at least
 * that and at most four times as long), for the first time and RETRIES more: 1.9 s, at most 7.5 s.
 * So RDMA_PATIENCE bounds it in any case. Not 7 retries: soft-RoCE takes that for endless
 * (rxe_comp.c).
 *
 * Soft-RoCE on a busy machine answers late, behind what waits in the queue of its interface, and
 * sending again makes that worse; its timer is exact. So it waits longer and tries less often:
 * 1.1 s four times, 4.3 s.
 */
enum {
	RDMA_TIMEOUT = 16,
	RDMA_RETRIES = 6,
	RDMA_SOFT_TIMEOUT = 18,
	RDMA_SOFT_RETRIES = 3,
	/* The same for who has no buffer: 6 times 0.16 s (28, ibidem table 45). It always has one.
	 */
	RDMA_NO_BUFFER = 28,
	/* Knocks, before the other is there: 67 ms, three times; then they are made anew. */
	RDMA_KNOCK_TIMEOUT = 14,
	RDMA_KNOCK_RETRIES = 2,
};

/* The part of a node that is used, and its way into the network. */
struct rdma_port {
	char nic[16];    /* "nic3" */
	char device[64]; /* "mlx5_3" */
	char netdev[64]; /* "" if none */
	int number;      /* of the port: the first, as in facts */
	int is_soft;     /* soft-RoCE */
	int is_ethernet; /* RoCE, not InfiniBand */
	int needs_grh;   /* a global route header even within the subnet */
	int numa;        /* -1: not known */
	unsigned lid;    /* InfiniBand */
	int gid_index;
	union ibv_gid gid;
	enum ibv_mtu mtu;
};

/* Where a node can be written to. All that the other end must know. */
struct rdma_place {
	unsigned lid, mtu, psn, rkey;
	union ibv_gid gid;
	uint64_t address, bytes; /* both halves; the mailbox is behind them */
	uint64_t token;
	int qp_count;
	uint32_t qpns[RDMA_QPS]; /* data, control, door */
};

/* Behind the halves: what the other end writes there while nobody is told. */
struct rdma_mailbox {
	uint64_t knock; /* our token: it knows our place and can write there */
	uint64_t ping, pong;
	uint64_t progress; /* pieces that it has sent on its first queue pair */
};

/* A message: what it says, in network byte order. */
enum rdma_kind {
	WORD_END = 1,
	WORD_CREDIT,
	WORD_PING,
	WORD_READY,
	WORD_STOP,
	WORD_ALIVE,
	WORD_BYE
};

struct rdma_word {
	uint64_t kind;
	uint64_t window; /* END, CREDIT */
	uint64_t bytes;  /* END: how much of the half was written */
	uint64_t last;   /* END: 1 if the run ends with this window */
};

/* What a NIC sends messages from and takes them into. */
struct rdma_desk {
	struct rdma_word ends[NET_STREAMS_MOST][2];
	struct rdma_word said[RDMA_WORDS];
	struct rdma_word takes[NET_STREAMS_MOST][RDMA_TAKES];
	struct rdma_word heard[RDMA_WORDS];
	uint64_t token, ping, pong, progress;
};

/* A completion queue, and who waits for it. */
struct rdma_queue {
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	int is_armed;
};

struct rdma_stream {           /* for data, as the sender sees it */
	uint32_t posted, done; /* pieces, ever */
	int unsignalled;
	int ends; /* of windows, posted and not yet done */
};

/* What the other end has told of a window. */
struct rdma_ended {
	uint64_t bytes;
	int last;
	int count; /* streams that have told it */
};

struct rdma {
	struct meeting meeting; /* the first, so one is the other */
	struct machine *machine;
	const struct verbs *verbs;
	struct rdma_port port;
	struct rdma_place own, peer;
	int streams;
	int flight, depth; /* pieces on their way, over all queue pairs and of one */
	int every;         /* how many of them a completion stands for */
	int has_inline;
	double meet_seconds; /* patience for the other end to come */

	struct ibv_context *context;
	struct ibv_pd *pd;
	struct rdma_queue in, out; /* of the receiving thread; of the caller */
	struct ibv_qp *qps[RDMA_QPS];
	struct pages take, give; /* received into, sent from */
	struct ibv_mr *take_mr, *give_mr, *desk_mr;
	struct rdma_desk *desk;
	uint64_t half, span; /* of the own memory; of what is written in a window, either way */
	uint64_t peer_half;
	int is_filled;
	int is_met, is_broken;

	/* the caller's side */
	struct rdma_stream out_streams[NET_STREAMS_MOST];
	uint64_t window;    /* the next that is sent */
	uint64_t completed; /* pieces, ever */
	uint64_t pings;
	double counted;

	/* the receiving thread's */
	pthread_t thread;
	int has_thread;
	uint64_t ended[NET_STREAMS_MOST]; /* windows, a stream */
	struct rdma_ended slots[2];
	uint64_t comparing, compared_to; /* window; bytes of it */
	int is_ponging;
	uint64_t ponged;
	double ponged_at;
	int pongs_unsignalled;

	/* between the two */
	pthread_mutex_t lock; /* of posting to the control queue pair, and of err */
	atomic_ullong said;   /* messages */
	atomic_ullong heard;  /* of them that are done */
	int wake, stop;       /* eventfds: for the caller, for the thread */
	atomic_int stopping, over, left;
	atomic_ullong credits; /* windows that the other end has compared */
	atomic_int ready;      /* for pings */
	atomic_int runs;
	atomic_ullong compared, wrong;
	struct error err; /* of the thread, when it is over */
};

#define RDMA_ID_SAID (1ull << 62) /* the id of messages on the queue pair for control */
#define RDMA_CONTROL(r) ((r)->streams)
#define RDMA_DOOR(r) ((r)->streams + 1)

/* rdma_port.c. 0, or -1 with a sentence. */
int rdma_port_find(struct machine *m, const char *nic, struct rdma_port *port, struct error *err);
int rdma_port_look(const struct verbs *v, struct machine *m, struct ibv_context *context,
		   struct rdma_port *port, struct error *err);
/* Adds to err that the port is down, if it is. -1. */
int rdma_blame_port(const struct rdma *r, struct error *err);
/* "mlx5_3 port 1", and bytes that it has sent; -1 if nothing counts them. */
void rdma_counter_name(const struct rdma_port *port, char out[32]);
double rdma_counter(struct machine *m, const struct rdma_port *port);
/* Packets that the port sent again, or was asked to; -1 if nothing counts them. */
double rdma_retransmits(struct machine *m, const struct rdma_port *port);

/* rdma_place.c */
void rdma_place_text(const struct rdma_place *place, char out[NET_PLACE]);
int rdma_place_parse(const char *text, struct rdma_place *place);

/* rdma.c */
struct rdma_mailbox *rdma_mailbox(const struct rdma *r); /* our own */
int rdma_memory(struct rdma *r, struct pages *p, uint64_t bytes, struct error *err);
/* Binds the calling thread to the NIC's NUMA node; *before is for rdma_unbind. */
int rdma_bind(const struct rdma *r, cpu_set_t *before);
void rdma_unbind(const cpu_set_t *before);

/* rdma_queue.c. 0, or -1 with a sentence. */
int rdma_queue_make(const struct rdma *r, struct rdma_queue *q, struct error *err);
void rdma_queue_drop(const struct rdma *r, struct rdma_queue *q);
/* Says a word on the control queue pair; any thread may. */
int rdma_say(struct rdma *r, enum rdma_kind kind, uint64_t window, struct error *err);
/* Writes 8 bytes of the desk into a place of the peer's mailbox. */
int rdma_drop(struct rdma *r, struct ibv_qp *qp, const uint64_t *from, size_t into, int signaled,
	      uint64_t id, struct error *err);
/* Gives a buffer back to a queue pair. */
int rdma_offer(struct rdma *r, int qp, int buffer, struct error *err);
/* Makes the next completion an event; only then may one sleep, after one more look. */
int rdma_arm(const struct rdma *r, struct rdma_queue *q, struct error *err);
/*
 * Sleeps until something is in an armed queue or an eventfd was written, which is emptied. 0 also
 * when time is up.
 */
int rdma_sleep(const struct rdma *r, struct rdma_queue *q, int event, double deadline,
	       struct error *err);
/* The words for a completion that went wrong. -1. */
int rdma_wrong(const struct rdma *r, const struct ibv_wc *wc, struct error *err);

/* rdma_take.c */
int rdma_start_taking(struct rdma *r, struct error *err);
void rdma_stop_taking(struct rdma *r);

/* rdma_data.c: what words are where. */
uint64_t rdma_shift(const struct rdma *r, uint64_t window);
void rdma_fill(uint64_t token, uint64_t *words, uint64_t offset, uint64_t bytes);
uint64_t rdma_compare(uint64_t token, const uint64_t *words, uint64_t offset, uint64_t bytes);

/* rdma_flow.c */
int rdma_ping(struct meeting *x, struct net_pings *job, struct error *err);
int rdma_send(struct meeting *x, struct net_rate *job, struct error *err);
int rdma_end(struct meeting *x, int runs, struct net_sum *sum, struct error *err);

#endif
