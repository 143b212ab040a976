/*
 * verbs.h - the double of libibverbs: NICs that are threads, and a network of datagram sockets.
 *
 * A queue pair is a unix socket with an abstract name made from its number, which is therefore the
 * only one on this machine: so two ends may be threads of a process or processes. A request is one
 * datagram, answered by one; whoever gets no answer sends again as often and as late as its queue
 * pair says, so that an end that is not up yet, dead or gone looks as it does on a wire. Only what
 * a queue pair of type RC, one element and messages up to 64 KiB need is here; all else ends the
 * process, as does what a real library would answer by hanging.
 */
#ifndef ASSAY_VERBS_DOUBLE_H
#define ASSAY_VERBS_DOUBLE_H

#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdint.h>

#undef ibv_get_device_list
#undef ibv_query_port
#undef ibv_reg_mr

#define FACE __attribute__((visibility("default")))
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	MESSAGE_MOST = 64 << 10,
	QPS_MOST = 64,
	MRS_MOST = 64,
	EVENTS_MOST = 64,
	GIDS = 8,
};

struct rules {             /* what a scenario says of one device */
	double rate, slow; /* bytes a second; a factor */
	double dead;       /* after so many bytes; < 0: never */
	int down, wrong_path, memlock, is_ethernet;
	int corrupt, loses, forgets; /* each so many-th large message; 0: never */
	int max_inline;
};

struct device {
	struct ibv_device v; /* the first */
	char root[512];
	int number;
	struct rules rules;
};

struct nic {                  /* an opened device */
	struct ibv_context v; /* the first */
	struct device device;
	struct ibv_port_attr port;
	union ibv_gid gids[GIDS];
	pthread_mutex_t lock; /* of all that belongs to it */
	pthread_t thread;
	int kick, stop; /* kick: an eventfd */
	struct queue_pair *qps[QPS_MOST];
	struct ibv_mr *mrs[MRS_MOST];
	uint64_t locked; /* bytes */
	int objects;     /* that must be gone before it is closed */
	uint32_t next_key;
	int turn;                 /* queue pair */
	double free_at;           /* the wire */
	uint64_t sent;            /* bytes */
	uint64_t messages, taken; /* large ones */
	uint64_t told_sent;       /* in its files */
	uint64_t resent, told_resent;
	double told_at;
};

struct channel {
	struct ibv_comp_channel v; /* the first */
	pthread_mutex_t lock;
	struct ibv_cq *events[EVENTS_MOST];
	int count;
};

struct queue {           /* completions */
	struct ibv_cq v; /* the first */
	pthread_mutex_t lock;
	struct ibv_wc *ring;
	int room, first, count;
	int armed;
	unsigned events, acked;
};

struct request {
	uint64_t id;
	enum ibv_wr_opcode op;
	int signaled, has_inline;
	struct ibv_sge sge;
	unsigned char own[256]; /* inline */
	uint64_t address;
	uint32_t key, imm;
	uint32_t psn;
};

struct offer {
	uint64_t id;
	struct ibv_sge sge;
};

struct queue_pair {
	struct ibv_qp v; /* the first */
	struct nic *nic;
	int fd;
	struct ibv_qp_cap cap;
	struct ibv_qp_attr attr;
	struct request *sends; /* ring; numbers below count for ever */
	uint64_t posted, sent, done;
	uint32_t next_psn, expected;
	double since; /* of the last answer, or the first request behind it */
	int tries, no_buffer;
	double not_before; /* after the other end had no buffer */
	struct offer *offers;
	uint64_t offered, taken;
};

_Noreturn void double_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
double double_now(void);
void rules_read(struct device *d);

/* nic.c */
void nic_start(struct nic *nic);
void nic_stop(struct nic *nic);
void nic_kick(struct nic *nic);
void qp_bind(struct queue_pair *qp);  /* gets its number and socket */
void qp_flush(struct queue_pair *qp); /* under the lock: into the error state */
void queue_push(struct ibv_cq *cq, const struct ibv_wc *wc);

/* counters.c */
void counters_make(const struct nic *nic);
void counters_tell(struct nic *nic, int now);

/* face.c */
extern char assay_double[];

#endif
