/*
 * rdma.c - how two nodes meet over RDMA: memory, queue pairs, and the knock at the other's door.
 *
 * A queue pair may be written to as soon as both ends have brought it up, and nothing tells one
 * end when the other has. Whoever wrote too early would be given up as dead after a second or two,
 * with all its state lost. So each end has one more queue pair, its door, on which it writes one
 * word into the other's memory; only this one is made anew until somebody answers. It is brought up
 * last: once a knock is heard, everything else is ready too.
 */
#include "kernels/rdma.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

enum {
	MEET_SECONDS = 20,
	PAGE = 4096,
	HOPS = 64, /* routers on the way, at most */
	/* of a data queue pair, beside pieces: what tells progress, ends of windows, and pings */
	MORE_ROOM = RDMA_FLIGHT + 64,
};

static const uint64_t ID_KNOCK = 3ull << 60;

/* ---- memory and threads -------------------------------------------------------------------- */

int rdma_memory(struct rdma *r, struct pages *p, uint64_t bytes, struct error *err)
{
	const struct machine *m = r->machine;

	if (!*m->root)
		return pages_alloc(r->machine, p, bytes,
				   machine_numa(m, r->port.numa) ? r->port.numa : -1, err);
	/* The NUMA nodes of a recorded machine are none of this one's. */
	p->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->base == MAP_FAILED) {
		p->base = NULL;
		return error_sys(err, "no memory");
	}
	p->bytes = bytes;
	return 0;
}

static void memory_free(const struct rdma *r, struct pages *p)
{
	if (!*r->machine->root)
		pages_free(p);
	else if (p->base)
		munmap(p->base, p->bytes);
	p->base = NULL;
}

struct rdma_mailbox *rdma_mailbox(const struct rdma *r)
{
	return (struct rdma_mailbox *)(void *)(r->take.base + r->own.bytes);
}

static const struct host_numa *numa_of(const struct rdma *r)
{
	const struct host_numa *numa = NULL;

	if (!*r->machine->root)
		numa = machine_numa(r->machine, r->port.numa);
	return numa && numa->cpu_count ? numa : NULL;
}

int rdma_bind(const struct rdma *r, cpu_set_t *before)
{
	const struct host_numa *numa = numa_of(r);
	cpu_set_t set;

	if (!numa || pthread_getaffinity_np(pthread_self(), sizeof(*before), before) != 0)
		return 0;
	CPU_ZERO(&set);
	for (int i = 0; i < numa->cpu_count; i++)
		if (numa->cpus[i] < CPU_SETSIZE)
			CPU_SET(numa->cpus[i], &set);
	return CPU_COUNT(&set) && pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

void rdma_unbind(const cpu_set_t *before)
{
	pthread_setaffinity_np(pthread_self(), sizeof(*before), before);
}

/* ---- queue pairs --------------------------------------------------------------------------- */

static int qp_make(struct rdma *r, int i, struct error *err)
{
	const int is_control = i == RDMA_CONTROL(r);
	struct ibv_qp_init_attr attr = { .send_cq = is_control ? r->in.cq : r->out.cq,
					 .recv_cq = r->in.cq,
					 .qp_type = IBV_QPT_RC };
	const struct ibv_qp_cap cap = { .max_send_wr = (unsigned)r->depth + MORE_ROOM,
					.max_recv_wr = is_control ? RDMA_WORDS : RDMA_TAKES,
					.max_send_sge = 1,
					.max_recv_sge = 1,
					.max_inline_data = sizeof(struct rdma_word) };

	attr.cap = cap;
	r->qps[i] = r->verbs->create_qp(r->pd, &attr);
	if (!r->qps[i]) { /* not every NIC sends what lies in the request itself */
		attr.cap = cap;
		attr.cap.max_inline_data = 0;
		r->has_inline = 0;
		r->qps[i] = r->verbs->create_qp(r->pd, &attr);
	}
	if (!r->qps[i])
		return verbs_sys(err, r->own.bytes, "no queue pair of %s", r->port.device);
	r->own.qpns[i] = r->qps[i]->qp_num;
	return 0;
}

static int qp_move(const struct rdma *r, int i, struct ibv_qp_attr *attr, int mask,
		   const char *what, struct error *err)
{
	int code = r->verbs->modify_qp(r->qps[i], attr, mask | IBV_QP_STATE);

	errno = code;
	return code ? error_sys(err, "%s: a queue pair cannot %s", r->port.device, what) : 0;
}

static int qp_init(const struct rdma *r, int i, struct error *err)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT,
				    .port_num = (uint8_t)r->port.number,
				    .qp_access_flags =
					    IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE };

	return qp_move(r, i, &attr, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS, "begin",
		       err);
}

/* "::ffff:10.0.0.1", or the LID. */
static void address_text(const struct rdma *r, const struct rdma_place *p, char out[64])
{
	if (!r->port.is_ethernet)
		snprintf(out, 64, "LID %u", p->lid);
	else if (!inet_ntop(AF_INET6, p->gid.raw, out, 64))
		*out = '\0';
}

static struct ibv_ah_attr way_to(const struct rdma *r)
{
	const struct rdma_port *port = &r->port;
	struct ibv_ah_attr way = { .port_num = (uint8_t)port->number,
				   .dlid = (uint16_t)r->peer.lid };

	/* The subnet is the first half of a GID; a LID counts within one only. */
	way.is_global = port->is_ethernet || port->needs_grh ||
			port->gid.global.subnet_prefix != r->peer.gid.global.subnet_prefix;
	if (way.is_global) {
		way.grh.dgid = r->peer.gid;
		way.grh.sgid_index = (uint8_t)port->gid_index;
		way.grh.hop_limit = HOPS;
	}
	return way;
}

static int qp_join(const struct rdma *r, int i, struct error *err)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RTR,
				    .dest_qp_num = r->peer.qpns[i],
				    .rq_psn = r->peer.psn,
				    .max_dest_rd_atomic = 1,
				    .min_rnr_timer = RDMA_NO_BUFFER,
				    .ah_attr = way_to(r) };
	char to[64], what[120];

	attr.path_mtu = r->peer.mtu < r->port.mtu ? (enum ibv_mtu)r->peer.mtu : r->port.mtu;
	address_text(r, &r->peer, to);
	snprintf(what, sizeof(what), "find the way to %s", to);
	return qp_move(r, i, &attr,
		       IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
		       what, err);
}

static int qp_start(const struct rdma *r, int i, struct error *err)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RTS,
				    .timeout = RDMA_TIMEOUT,
				    .retry_cnt = RDMA_RETRIES,
				    .rnr_retry = RDMA_RETRIES,
				    .sq_psn = r->own.psn,
				    .max_rd_atomic = 1 };

	if (r->port.is_soft) {
		attr.timeout = RDMA_SOFT_TIMEOUT;
		attr.retry_cnt = RDMA_SOFT_RETRIES;
	}
	if (i == RDMA_DOOR(r)) {
		attr.timeout = RDMA_KNOCK_TIMEOUT;
		attr.retry_cnt = RDMA_KNOCK_RETRIES;
	}
	return qp_move(r, i, &attr,
		       IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			       IBV_QP_MAX_QP_RD_ATOMIC,
		       "start", err);
}

/* ---- opening ------------------------------------------------------------------------------- */

static int context_open(struct rdma *r, struct error *err)
{
	int count = 0, rc = 0;
	struct ibv_device **list = r->verbs->get_device_list(&count), *found = NULL;

	for (int i = 0; list && i < count; i++)
		if (!strcmp(r->verbs->get_device_name(list[i]), r->port.device))
			found = list[i];
	if (!found)
		rc = error_set(err,
			       "libibverbs lists %d RDMA devices and not %s: is its provider "
			       "installed, and ib_uverbs loaded?",
			       count, r->port.device);
	if (found && !(r->context = r->verbs->open_device(found)))
		rc = error_sys(err, "%s cannot be opened", r->port.device);
	if (list)
		r->verbs->free_device_list(list);
	return rc;
}

static struct ibv_mr *lock_memory(const struct rdma *r, void *at, uint64_t bytes, int access,
				  const char *what, struct error *err)
{
	struct ibv_mr *mr = r->verbs->reg_mr(r->pd, at, bytes, access);
	char size[32];

	bytes_text((double)bytes, size, sizeof(size));
	if (!mr)
		verbs_sys(err, bytes, "%s cannot lock %s to %s", r->port.device, size, what);
	return mr;
}

static int memory_make(struct rdma *r, struct error *err)
{
	const int written = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
	void *desk;

	if (posix_memalign(&desk, PAGE, sizeof(*r->desk)) != 0)
		return error_set(err, "out of memory");
	r->desk = desk;
	memset(r->desk, 0, sizeof(*r->desk));
	if (rdma_memory(r, &r->take, r->own.bytes + PAGE, err) < 0)
		return -1;
	memset(r->take.base, 0, r->own.bytes + PAGE);
	r->take_mr = lock_memory(r, r->take.base, r->own.bytes + PAGE, written, "receive in", err);
	if (!r->take_mr)
		return -1;
	r->desk_mr = lock_memory(r, r->desk, sizeof(*r->desk), IBV_ACCESS_LOCAL_WRITE,
				 "hold messages", err);
	return r->desk_mr ? 0 : -1;
}

static int place_make(struct rdma *r, struct error *err)
{
	struct {
		uint64_t token;
		uint32_t psn;
	} random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_sys(err, "getrandom");
	r->own.token = random.token;
	r->own.psn = random.psn & 0xffffff;
	r->own.lid = r->port.lid;
	r->own.gid = r->port.gid;
	r->own.mtu = r->port.mtu;
	r->own.rkey = r->take_mr->rkey;
	r->own.address = (uintptr_t)r->take.base;
	r->own.qp_count = r->streams + 2;
	return 0;
}

static void choose_depth(struct rdma *r)
{
	r->flight = r->port.is_soft ? RDMA_FLIGHT_SOFT : RDMA_FLIGHT;
	r->depth = r->flight / r->streams;
	r->every = r->depth >= 16 ? 4 : 1;
}

static int open_all(struct rdma *r, const struct net_way *way, struct error *err)
{
	r->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->wake < 0 || r->stop < 0)
		return error_sys(err, "eventfd");
	r->verbs = verbs_open(r->machine, err);
	if (!r->verbs || rdma_port_find(r->machine, way->nic, &r->port, err) < 0 ||
	    context_open(r, err) < 0 ||
	    rdma_port_look(r->verbs, r->machine, r->context, &r->port, err) < 0)
		return -1;
	choose_depth(r);
	r->pd = r->verbs->alloc_pd(r->context);
	if (!r->pd)
		return verbs_sys(err, 0, "no protection domain of %s", r->port.device);
	if (rdma_queue_make(r, &r->in, err) < 0 || rdma_queue_make(r, &r->out, err) < 0 ||
	    memory_make(r, err) < 0)
		return -1;
	for (int i = 0; i < r->streams + 2; i++)
		if (qp_make(r, i, err) < 0 || qp_init(r, i, err) < 0)
			return -1;
	return place_make(r, err);
}

static void rdma_close(struct meeting *x);

static int rdma_open(struct machine *m, const struct net_way *way, struct meeting **x,
		     char place[NET_PLACE], struct error *err)
{
	struct rdma *r;

	if (way->streams < 1 || way->streams > NET_STREAMS_MOST)
		return error_set(err, "streams must be from 1 to %d", NET_STREAMS_MOST);
	if (way->bytes < 2 * RDMA_PIECE || way->bytes >= 1ull << 47)
		return error_set(err, "bytes must be from 128 KiB to less than 128 TiB");
	r = xcalloc(1, sizeof(*r));
	r->meeting.net = &net_rdma;
	r->machine = m;
	r->streams = way->streams;
	r->has_inline = 1;
	r->meet_seconds = MEET_SECONDS;
	r->own.bytes = way->bytes / (2 * RDMA_PIECE) * (2 * RDMA_PIECE);
	r->half = r->own.bytes / 2;
	r->wake = r->stop = -1;
	pthread_mutex_init(&r->lock, NULL);
	if (open_all(r, way, err) < 0) {
		rdma_close(&r->meeting);
		return -1;
	}
	rdma_place_text(&r->own, place);
	*x = &r->meeting;
	return 0;
}

/* ---- meeting ------------------------------------------------------------------------------- */

static int fits(const struct rdma *r, struct error *err)
{
	if (r->peer.qp_count != r->streams + 2)
		return error_set(err, "it has %d streams and this node %d", r->peer.qp_count - 2,
				 r->streams);
	if (r->port.is_ethernet && r->peer.lid)
		return error_set(err, "its port is InfiniBand, and port %d of %s is Ethernet",
				 r->port.number, r->port.device);
	if (!r->port.is_ethernet && !r->port.needs_grh && !r->peer.lid)
		return error_set(err, "its port is Ethernet, and port %d of %s is InfiniBand",
				 r->port.number, r->port.device);
	return 0;
}

static int bring_up(struct rdma *r, struct error *err)
{
	for (int i = 0; i < r->streams; i++)
		for (int k = 0; k < RDMA_TAKES; k++)
			if (rdma_offer(r, i, k, err) < 0)
				return -1;
	for (int k = 0; k < RDMA_WORDS; k++)
		if (rdma_offer(r, RDMA_CONTROL(r), k, err) < 0)
			return -1;
	for (int i = 0; i < r->streams + 2; i++) /* the door is the last */
		if (qp_join(r, i, err) < 0 || qp_start(r, i, err) < 0)
			return -1;
	return 0;
}

static int knock(struct rdma *r, struct error *err)
{
	r->desk->token = r->peer.token;
	return rdma_drop(r, r->qps[RDMA_DOOR(r)], &r->desk->token,
			 offsetof(struct rdma_mailbox, knock), 1, ID_KNOCK, err);
}

/* It sends one word only and takes none that anybody waits for, so nothing is lost. */
static int door_again(struct rdma *r, struct error *err)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };
	int i = RDMA_DOOR(r);

	if (qp_move(r, i, &attr, 0, "begin again", err) < 0 || qp_init(r, i, err) < 0 ||
	    qp_join(r, i, err) < 0 || qp_start(r, i, err) < 0)
		return -1;
	return knock(r, err);
}

static int is_knocked(const struct rdma *r)
{
	return __atomic_load_n(&rdma_mailbox(r)->knock, __ATOMIC_ACQUIRE) == r->own.token;
}

/* 1 when the door was answered, 0 not yet. */
static int look_at_door(struct rdma *r, struct error *err)
{
	struct ibv_wc wc;
	int n = r->context->ops.poll_cq(r->out.cq, 1, &wc);

	if (n < 0)
		return error_set(err, "%s gives no completions", r->port.device);
	if (n == 0 || wc.wr_id != ID_KNOCK)
		return 0;
	if (wc.status == IBV_WC_SUCCESS)
		return 1;
	if (wc.status == IBV_WC_RETRY_EXC_ERR)
		return door_again(r, err);
	return rdma_wrong(r, &wc, err);
}

static int await(struct rdma *r, struct error *err)
{
	const struct timespec rest = { .tv_nsec = 2000000 };
	double deadline = clock_now() + r->meet_seconds;
	int answered = 0, rc;
	char at[64];

	if (knock(r, err) < 0)
		return -1;
	address_text(r, &r->peer, at);
	while (!answered || !is_knocked(r)) {
		rc = answered ? 0 : look_at_door(r, err);
		if (rc < 0)
			return error_prefix(err, "at %s: ", at);
		answered |= rc;
		if (clock_now() > deadline) {
			error_set(err,
				  answered ? "it answers at %s, and nothing comes from it"
					   : "nothing answers at %s in time",
				  at);
			return rdma_blame_port(r, err);
		}
		nanosleep(&rest, NULL);
	}
	return 0;
}

static int rdma_meet(struct meeting *x, const char *place, struct error *err)
{
	struct rdma *r = (struct rdma *)x;

	if (rdma_place_parse(place, &r->peer) < 0)
		return error_set(err, "it does not say where it can be met");
	if (fits(r, err) < 0)
		return -1;
	r->peer_half = r->peer.bytes / 2;
	r->span = r->half < r->peer_half ? r->half : r->peer_half;
	if (bring_up(r, err) < 0 || await(r, err) < 0)
		return -1;
	r->is_met = 1;
	r->counted = rdma_counter(r->machine, &r->port);
	return rdma_start_taking(r, err);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* What was said must have left before the queue pair goes, or the other end would wait for it. */
static void say_goodbye(struct rdma *r)
{
	const struct timespec rest = { .tv_nsec = 1000000 };
	double until = clock_now() + 1;
	struct error ignored;

	if (!r->has_thread || atomic_load(&r->over) || atomic_load(&r->left))
		return;
	rdma_say(r, WORD_BYE, 0, &ignored);
	while (atomic_load(&r->heard) < atomic_load(&r->said) && !atomic_load(&r->over) &&
	       !atomic_load(&r->left) && clock_now() < until)
		nanosleep(&rest, NULL);
}

static void rdma_close(struct meeting *x)
{
	struct rdma *r = (struct rdma *)x;

	if (!r)
		return;
	say_goodbye(r);
	rdma_stop_taking(r);
	for (int i = 0; i < RDMA_QPS; i++)
		if (r->qps[i])
			r->verbs->destroy_qp(r->qps[i]);
	if (r->take_mr)
		r->verbs->dereg_mr(r->take_mr);
	if (r->give_mr)
		r->verbs->dereg_mr(r->give_mr);
	if (r->desk_mr)
		r->verbs->dereg_mr(r->desk_mr);
	rdma_queue_drop(r, &r->in);
	rdma_queue_drop(r, &r->out);
	if (r->pd)
		r->verbs->dealloc_pd(r->pd);
	if (r->context)
		r->verbs->close_device(r->context);
	memory_free(r, &r->take);
	memory_free(r, &r->give);
	free(r->desk);
	if (r->wake >= 0)
		close(r->wake);
	if (r->stop >= 0)
		close(r->stop);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

const struct net net_rdma = {
	.name = "rdma",
	.open = rdma_open,
	.meet = rdma_meet,
	.ping = rdma_ping,
	.send = rdma_send,
	.end = rdma_end,
	.close = rdma_close,
};
