/*
 * nic.c - the thread that is a NIC: sends what was posted at the rate of its wire, takes what
 * comes, answers, and sends again what nobody answered.
 */
#include "tests/doubles/verbs/verbs.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	UNANSWERED = 8, /* requests of a queue pair: sockets hold few datagrams */
	OVERHEAD = 64,  /* bytes of a packet beside its data */
	LARGE = 4096,   /* messages that faults are planted in */
	TURNS = 16,     /* packets before it looks for others */
	PSN_MASK = 0xffffff,
};

/* Seconds: between two looks; until a full socket is tried again, or one without a buffer. */
#define IDLE 0.02
#define FULL 0.0002
#define NO_BUFFER 0.01
/* A wire that was idle does not make up for it. */
#define CATCH_UP 0.002

enum op { OP_SEND, OP_WRITE, OP_WRITE_IMM, OP_ACK, OP_NAK_ACCESS, OP_NAK_LENGTH, OP_NO_BUFFER };

struct head {
	uint32_t op, from, to, psn, key, imm, bytes;
	uint32_t lid, is_global;
	union ibv_gid gid;
	uint64_t address;
};

struct packet {
	struct head head;
	unsigned char data[MESSAGE_MOST];
};

enum { HEAD = sizeof(struct head) };

/* ---- sockets ------------------------------------------------------------------------------- */

static socklen_t address_of(uint32_t number, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "assay-verbs-%06x", number);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a->sun_path + 1));
}

void qp_bind(struct queue_pair *qp)
{
	struct sockaddr_un a;
	uint32_t number;
	socklen_t len;

	qp->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	for (int i = 0; i < 100; i++) {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			break;
		number = number & PSN_MASK ? number & PSN_MASK : 1;
		len = address_of(number, &a);
		if (bind(qp->fd, (struct sockaddr *)&a, len) == 0) {
			qp->v.qp_num = number;
			return;
		}
	}
	double_die("no socket for a queue pair: %s", strerror(errno));
}

/* 0, or -1 when the other socket is full. One that is not there takes nothing, as on a wire. */
static int packet_send(const struct queue_pair *qp, const struct head *p)
{
	struct sockaddr_un a;
	socklen_t len = address_of(p->to, &a);

	if (sendto(qp->fd, p, HEAD + p->bytes, MSG_NOSIGNAL, (struct sockaddr *)&a, len) >= 0)
		return 0;
	return errno == EAGAIN || errno == ENOBUFS ? -1 : 0;
}

static int is_cut_off(const struct nic *nic)
{
	return nic->port.state != IBV_PORT_ACTIVE ||
	       (nic->device.rules.dead >= 0 && (double)nic->sent >= nic->device.rules.dead);
}

/* ---- completions --------------------------------------------------------------------------- */

static void event(struct ibv_comp_channel *channel, struct ibv_cq *cq)
{
	struct channel *c = (struct channel *)(void *)channel;
	const uint64_t one = 1;

	pthread_mutex_lock(&c->lock);
	if (c->count == EVENTS_MOST)
		double_die("too many events wait");
	c->events[c->count++] = cq;
	pthread_mutex_unlock(&c->lock);
	if (write(channel->fd, &one, sizeof(one)) < 0)
		double_die("eventfd: %s", strerror(errno));
}

void queue_push(struct ibv_cq *cq, const struct ibv_wc *wc)
{
	struct queue *q = (struct queue *)(void *)cq;
	int armed;

	pthread_mutex_lock(&q->lock);
	if (q->count == q->room)
		double_die("a completion queue of %d overruns", q->room);
	q->ring[(q->first + q->count++) % q->room] = *wc;
	armed = q->armed;
	q->armed = 0;
	pthread_mutex_unlock(&q->lock);
	if (armed && cq->channel)
		event(cq->channel, cq);
}

static void complete(struct queue_pair *qp, enum ibv_wc_status status)
{
	const struct request *s = &qp->sends[qp->done++ % qp->cap.max_send_wr];
	const struct ibv_wc wc = { .wr_id = s->id,
				   .status = status,
				   .opcode = s->op == IBV_WR_SEND ? IBV_WC_SEND : IBV_WC_RDMA_WRITE,
				   .byte_len = s->sge.length,
				   .qp_num = qp->v.qp_num };

	if (qp->sent < qp->done)
		qp->sent = qp->done;
	if (s->signaled || status != IBV_WC_SUCCESS)
		queue_push(qp->v.send_cq, &wc);
}

void qp_flush(struct queue_pair *qp)
{
	qp->v.state = IBV_QPS_ERR;
	while (qp->done < qp->posted)
		complete(qp, IBV_WC_WR_FLUSH_ERR);
	while (qp->taken < qp->offered) {
		const struct offer *o = &qp->offers[qp->taken++ % qp->cap.max_recv_wr];
		const struct ibv_wc wc = { .wr_id = o->id,
					   .status = IBV_WC_WR_FLUSH_ERR,
					   .opcode = IBV_WC_RECV,
					   .qp_num = qp->v.qp_num };

		queue_push(qp->v.recv_cq, &wc);
	}
}

static void fail(struct queue_pair *qp, enum ibv_wc_status status)
{
	complete(qp, status);
	qp_flush(qp);
}

/* ---- what comes ---------------------------------------------------------------------------- */

static const struct ibv_mr *mr_find(const struct nic *nic, uint32_t key, int is_remote, uint64_t at,
				    uint64_t bytes)
{
	for (int i = 0; i < MRS_MOST; i++) {
		const struct ibv_mr *mr = nic->mrs[i];

		if (!mr || (is_remote ? mr->rkey : mr->lkey) != key || (is_remote && !(key & 1)))
			continue;
		if (at >= (uintptr_t)mr->addr && bytes <= mr->length &&
		    at - (uintptr_t)mr->addr <= mr->length - bytes)
			return mr;
	}
	return NULL;
}

static void answer(struct nic *nic, const struct queue_pair *qp, const struct packet *p, enum op op)
{
	const struct head a = { .op = op,
				.from = qp->v.qp_num,
				.to = p->head.from,
				.psn = p->head.psn,
				.lid = qp->attr.ah_attr.dlid,
				.is_global = qp->attr.ah_attr.is_global,
				.gid = qp->attr.ah_attr.grh.dgid };

	if (!is_cut_off(nic))
		packet_send(qp, &a); /* one that is lost is asked for again */
}

/* A word is seen whole or not at all, as with a real NIC. */
static void place_data(uint64_t at, const struct packet *p)
{
	uint64_t word;

	if (p->head.bytes == sizeof(word) && at % sizeof(word) == 0) {
		memcpy(&word, p->data, sizeof(word));
		__atomic_store_n((uint64_t *)(uintptr_t)at, word, __ATOMIC_RELEASE);
	} else {
		memcpy((void *)(uintptr_t)at, p->data, p->head.bytes);
	}
}

static void take_message(struct queue_pair *qp, const struct packet *p)
{
	const struct offer *o = &qp->offers[qp->taken++ % qp->cap.max_recv_wr];
	const struct ibv_wc wc = { .wr_id = o->id,
				   .status = IBV_WC_SUCCESS,
				   .opcode = p->head.op == OP_SEND ? IBV_WC_RECV
								   : IBV_WC_RECV_RDMA_WITH_IMM,
				   .byte_len = p->head.bytes,
				   .imm_data = p->head.imm,
				   .wc_flags = p->head.op == OP_SEND ? 0 : IBV_WC_WITH_IMM,
				   .qp_num = qp->v.qp_num };

	if (p->head.op == OP_SEND)
		place_data(o->sge.addr, p);
	queue_push(qp->v.recv_cq, &wc);
}

static int is_forgotten(struct nic *nic, const struct packet *p)
{
	const struct rules *rules = &nic->device.rules;

	return p->head.bytes >= LARGE && rules->forgets &&
	       ++nic->taken % (uint64_t)rules->forgets == 0;
}

static enum op carry_out(struct nic *nic, struct queue_pair *qp, const struct packet *p)
{
	const struct offer *o = &qp->offers[qp->taken % qp->cap.max_recv_wr];

	if (p->head.op != OP_SEND && !mr_find(nic, p->head.key, 1, p->head.address, p->head.bytes))
		return OP_NAK_ACCESS;
	if (p->head.op != OP_WRITE && qp->taken == qp->offered)
		return OP_NO_BUFFER;
	if (p->head.op == OP_SEND && p->head.bytes > o->sge.length)
		return OP_NAK_LENGTH;
	if (p->head.op != OP_SEND && !is_forgotten(nic, p))
		place_data(p->head.address, p);
	if (p->head.op != OP_WRITE)
		take_message(qp, p);
	qp->expected = (qp->expected + 1) & PSN_MASK;
	return OP_ACK;
}

static void take_request(struct nic *nic, struct queue_pair *qp, const struct packet *p)
{
	uint32_t ahead = (p->head.psn - qp->expected) & PSN_MASK;
	enum op op = OP_ACK;

	if (ahead && ahead < PSN_MASK / 2)
		return; /* something before it is missing */
	if (!ahead)
		op = carry_out(nic, qp, p);
	answer(nic, qp, p, op);
	if (op == OP_NAK_ACCESS || op == OP_NAK_LENGTH)
		qp_flush(qp);
}

static void take_answer(struct queue_pair *qp, const struct packet *p)
{
	const struct request *first = &qp->sends[qp->done % qp->cap.max_send_wr];
	uint32_t count = ((p->head.psn - first->psn) & PSN_MASK) + 1;

	if (qp->done == qp->sent || count > qp->sent - qp->done)
		return; /* of what is done */
	qp->since = double_now();
	qp->tries = 0;
	while (count-- > (p->head.op != OP_ACK))
		complete(qp, IBV_WC_SUCCESS);
	if (p->head.op == OP_ACK) {
		qp->no_buffer = 0;
	} else if (p->head.op != OP_NO_BUFFER) {
		fail(qp,
		     p->head.op == OP_NAK_ACCESS ? IBV_WC_REM_ACCESS_ERR : IBV_WC_REM_INV_REQ_ERR);
	} else if (qp->attr.rnr_retry != 7 && qp->no_buffer++ >= qp->attr.rnr_retry) {
		fail(qp, IBV_WC_RNR_RETRY_EXC_ERR);
	} else {
		qp->sent = qp->done;
		qp->not_before = double_now() + NO_BUFFER;
	}
}

static int is_for(const struct nic *nic, const struct packet *p)
{
	if (!p->head.is_global)
		return p->head.lid == nic->port.lid;
	for (int i = 0; i < GIDS; i++)
		if (!memcmp(&p->head.gid, &nic->gids[i], sizeof(p->head.gid)))
			return 1;
	return 0;
}

static void take(struct nic *nic, struct queue_pair *qp, const struct packet *p, ssize_t len)
{
	if (len < HEAD || (size_t)len != HEAD + (size_t)p->head.bytes || is_cut_off(nic) ||
	    !is_for(nic, p) || p->head.from != qp->attr.dest_qp_num)
		return;
	if (qp->v.state != IBV_QPS_RTS && qp->v.state != IBV_QPS_RTR)
		return;
	if (p->head.op >= OP_ACK)
		take_answer(qp, p);
	else
		take_request(nic, qp, p);
}

static void take_all(struct nic *nic, const struct pollfd *fds, struct packet *p)
{
	for (int i = 0; i < QPS_MOST; i++)
		for (int k = 0; k < TURNS; k++) {
			struct queue_pair *qp = nic->qps[i];
			ssize_t len;

			if (!qp || fds[i].fd != qp->fd || !fds[i].revents)
				break;
			len = recv(qp->fd, p, sizeof(*p), MSG_DONTWAIT);
			if (len < 0)
				break;
			take(nic, qp, p, len);
		}
}

/* ---- what goes ----------------------------------------------------------------------------- */

static void plant(struct nic *nic, struct packet *p)
{
	const struct rules *rules = &nic->device.rules;

	if (p->head.bytes < LARGE)
		return;
	nic->messages++;
	if (rules->corrupt && nic->messages % (uint64_t)rules->corrupt == 0)
		p->data[p->head.bytes / 3] ^= 0x20;
	if (rules->loses && nic->messages % (uint64_t)rules->loses == 0)
		nic->resent++;
}

/* 0, or -1 when its memory may not be read. */
static int packet_fill(struct nic *nic, const struct queue_pair *qp, struct request *s,
		       struct packet *p)
{
	static const enum op ops[] = { [IBV_WR_SEND] = OP_SEND,
				       [IBV_WR_RDMA_WRITE] = OP_WRITE,
				       [IBV_WR_RDMA_WRITE_WITH_IMM] = OP_WRITE_IMM };

	memset(p, 0, HEAD);
	p->head.op = ops[s->op];
	p->head.from = qp->v.qp_num;
	p->head.to = qp->attr.dest_qp_num;
	p->head.psn = s->psn;
	p->head.key = s->key;
	p->head.imm = s->imm;
	p->head.address = s->address;
	p->head.bytes = s->sge.length;
	p->head.lid = qp->attr.ah_attr.dlid;
	p->head.is_global = qp->attr.ah_attr.is_global;
	p->head.gid = qp->attr.ah_attr.grh.dgid;
	if (s->has_inline)
		memcpy(p->data, s->own, p->head.bytes);
	else if (mr_find(nic, s->sge.lkey, 0, s->sge.addr, s->sge.length))
		memcpy(p->data, (void *)(uintptr_t)s->sge.addr, p->head.bytes);
	else
		return -1;
	return 0;
}

static struct queue_pair *next_to_send(struct nic *nic, double now)
{
	for (int i = 0; i < QPS_MOST; i++) {
		struct queue_pair *qp = nic->qps[nic->turn = (nic->turn + 1) % QPS_MOST];

		if (qp && qp->v.state == IBV_QPS_RTS && qp->sent < qp->posted &&
		    qp->sent - qp->done < UNANSWERED && now >= qp->not_before)
			return qp;
	}
	return NULL;
}

/* Sends one packet: 1, or 0 when there is none or it must wait; then *until says how long. */
static int send_one(struct nic *nic, struct packet *p, double *until)
{
	const struct rules *rules = &nic->device.rules;
	double now = double_now();
	struct queue_pair *qp = next_to_send(nic, now);
	struct request *s;

	if (qp && now < nic->free_at)
		*until = nic->free_at;
	if (!qp || now < nic->free_at)
		return 0;
	s = &qp->sends[qp->sent % qp->cap.max_send_wr];
	if (packet_fill(nic, qp, s, p) < 0) {
		fail(qp, IBV_WC_LOC_PROT_ERR);
		return 1;
	}
	if (!is_cut_off(nic)) {
		plant(nic, p);
		if (packet_send(qp, &p->head) < 0) {
			*until = now + FULL;
			return 0;
		}
		nic->sent += p->head.bytes + OVERHEAD;
	}
	if (qp->sent++ == qp->done)
		qp->since = now;
	if (nic->free_at < now - CATCH_UP)
		nic->free_at = now - CATCH_UP;
	nic->free_at += (p->head.bytes + OVERHEAD) / (rules->rate * rules->slow);
	return 1;
}

static void send_again(struct nic *nic, struct queue_pair *qp, double now)
{
	/* InfiniBand Architecture Specification vol. 1, 9.7.6.1.3 */
	double patience = 4.096e-6 * (double)(1ull << qp->attr.timeout);

	if (qp->v.state != IBV_QPS_RTS || qp->sent == qp->done || !qp->attr.timeout ||
	    now < qp->since + patience)
		return;
	nic->resent++;
	qp->since = now;
	if (qp->tries++ < qp->attr.retry_cnt)
		qp->sent = qp->done;
	else
		fail(qp, IBV_WC_RETRY_EXC_ERR);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* One round: what came, what may go, what waits too long. Until when it may rest. */
static double work(struct nic *nic, const struct pollfd *fds, struct packet *p)
{
	double now, until;

	pthread_mutex_lock(&nic->lock);
	take_all(nic, fds, p);
	until = double_now() + IDLE;
	for (int i = 0; i < TURNS && send_one(nic, p, &until); i++)
		if (i == TURNS - 1)
			until = 0;
	now = double_now();
	for (int i = 0; i < QPS_MOST; i++)
		if (nic->qps[i])
			send_again(nic, nic->qps[i], now);
	counters_tell(nic, 0);
	pthread_mutex_unlock(&nic->lock);
	return until;
}

static void rest(struct nic *nic, struct pollfd *fds, double until)
{
	double left = until - double_now();
	struct timespec ts = { 0 };
	uint64_t ignored;

	pthread_mutex_lock(&nic->lock);
	for (int i = 0; i < QPS_MOST; i++)
		fds[i] = (struct pollfd){ .fd = nic->qps[i] ? nic->qps[i]->fd : -1,
					  .events = POLLIN };
	pthread_mutex_unlock(&nic->lock);
	fds[QPS_MOST] = (struct pollfd){ .fd = nic->kick, .events = POLLIN };
	if (left > 0)
		ts.tv_nsec = (long)(left * 1e9);
	if (ppoll(fds, QPS_MOST + 1, &ts, NULL) <= 0)
		for (int i = 0; i < QPS_MOST; i++)
			fds[i].revents = 0;
	else if (fds[QPS_MOST].revents && read(nic->kick, &ignored, sizeof(ignored)) < 0)
		double_die("eventfd: %s", strerror(errno));
}

static void *run(void *arg)
{
	struct nic *nic = arg;
	struct packet *p = calloc(1, sizeof(*p));
	struct pollfd fds[QPS_MOST + 1];
	double until = 0;

	if (!p)
		double_die("out of memory");
	while (!__atomic_load_n(&nic->stop, __ATOMIC_ACQUIRE)) {
		rest(nic, fds, until);
		until = work(nic, fds, p);
	}
	free(p);
	return NULL;
}

void nic_start(struct nic *nic)
{
	nic->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (nic->kick < 0 || pthread_create(&nic->thread, NULL, run, nic) != 0)
		double_die("a NIC cannot start: %s", strerror(errno));
}

void nic_stop(struct nic *nic)
{
	__atomic_store_n(&nic->stop, 1, __ATOMIC_RELEASE);
	nic_kick(nic);
	pthread_join(nic->thread, NULL);
	close(nic->kick);
}

void nic_kick(struct nic *nic)
{
	const uint64_t one = 1;

	if (write(nic->kick, &one, sizeof(one)) < 0 && errno != EAGAIN)
		double_die("eventfd: %s", strerror(errno));
}
