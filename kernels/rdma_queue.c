/*
 * rdma_queue.c - how requests are handed to a NIC, and how one sleeps until some are done.
 *
 * A library's own way of waiting has no end, so the channel that tells of completions never blocks
 * and is waited for with poll(), beside an eventfd by which the other thread can wake us.
 */
#include "kernels/rdma.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* More than can be on their way: when a queue pair breaks, each of its requests completes. */
enum { QUEUE_ROOM = 1024 };

int rdma_queue_make(const struct rdma *r, struct rdma_queue *q, struct error *err)
{
	q->channel = r->verbs->create_comp_channel(r->context);
	if (!q->channel)
		return verbs_sys(err, 0, "no completion channel of %s", r->port.device);
	if (fcntl(q->channel->fd, F_SETFL, fcntl(q->channel->fd, F_GETFL) | O_NONBLOCK) < 0)
		return error_sys(err, "no completion channel of %s", r->port.device);
	q->cq = r->verbs->create_cq(r->context, QUEUE_ROOM, NULL, q->channel, 0);
	if (!q->cq)
		return verbs_sys(err, r->own.bytes, "no completion queue of %s", r->port.device);
	return 0;
}

void rdma_queue_drop(const struct rdma *r, struct rdma_queue *q)
{
	if (q->cq)
		r->verbs->destroy_cq(q->cq);
	if (q->channel)
		r->verbs->destroy_comp_channel(q->channel);
}

int rdma_arm(const struct rdma *r, struct rdma_queue *q, struct error *err)
{
	int code = r->context->ops.req_notify_cq(q->cq, 0);

	q->is_armed = !code;
	errno = code;
	return code ? error_sys(err, "%s gives no events", r->port.device) : 0;
}

static void take_event(const struct rdma *r, struct rdma_queue *q)
{
	struct ibv_cq *cq;
	void *own;

	if (r->verbs->get_cq_event(q->channel, &cq, &own) < 0)
		return;
	r->verbs->ack_cq_events(cq, 1);
	q->is_armed = 0;
}

int rdma_sleep(const struct rdma *r, struct rdma_queue *q, int event, double deadline,
	       struct error *err)
{
	struct pollfd fds[] = { { .fd = q->channel->fd, .events = POLLIN },
				{ .fd = event, .events = POLLIN } };
	double left = deadline - clock_now();
	uint64_t ignored;
	int rc = poll(fds, ARRAY_SIZE(fds), left > 0 ? (int)ceil(left * 1000) : 0);

	if (rc < 0 && errno != EINTR)
		return error_sys(err, "poll");
	if (rc > 0 && fds[0].revents)
		take_event(r, q);
	if (rc > 0 && fds[1].revents && read(event, &ignored, sizeof(ignored)) < 0)
		return errno == EAGAIN ? 0 : error_sys(err, "eventfd");
	return 0;
}

int rdma_wrong(const struct rdma *r, const struct ibv_wc *wc, struct error *err)
{
	error_set(err, "%s", verbs_status(r->verbs, wc->status));
	return rdma_blame_port(r, err);
}

/* ---- posting ------------------------------------------------------------------------------- */

int rdma_offer(struct rdma *r, int qp, int buffer, struct error *err)
{
	struct rdma_word *at =
		qp == RDMA_CONTROL(r) ? &r->desk->heard[buffer] : &r->desk->takes[qp][buffer];
	struct ibv_sge sge = { (uintptr_t)at, sizeof(*at), r->desk_mr->lkey };
	struct ibv_recv_wr *bad, wr = { .wr_id = (uint64_t)qp << 8 | (unsigned)buffer,
					.sg_list = &sge,
					.num_sge = 1 };
	int code = r->context->ops.post_recv(r->qps[qp], &wr, &bad);

	errno = code;
	return code ? error_sys(err, "%s takes no buffer", r->port.device) : 0;
}

int rdma_drop(struct rdma *r, struct ibv_qp *qp, const uint64_t *from, size_t into, int signaled,
	      uint64_t id, struct error *err)
{
	struct ibv_sge sge = { (uintptr_t)from, sizeof(*from), r->desk_mr->lkey };
	struct ibv_send_wr *bad,
		wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE };
	int code;

	wr.send_flags = (signaled ? IBV_SEND_SIGNALED : 0) | (r->has_inline ? IBV_SEND_INLINE : 0);
	wr.wr.rdma.remote_addr = r->peer.address + r->peer.bytes + into;
	wr.wr.rdma.rkey = r->peer.rkey;
	code = r->context->ops.post_send(qp, &wr, &bad);
	errno = code;
	return code ? error_sys(err, "%s takes no work", r->port.device) : 0;
}

static int say_locked(struct rdma *r, const struct rdma_word *word, struct error *err)
{
	struct rdma_word *at = &r->desk->said[atomic_load(&r->said) % RDMA_WORDS];
	struct ibv_sge sge = { (uintptr_t)at, sizeof(*at), r->desk_mr->lkey };
	struct ibv_send_wr *bad, wr = { .wr_id = RDMA_ID_SAID,
					.sg_list = &sge,
					.num_sge = 1,
					.opcode = IBV_WR_SEND,
					.send_flags = IBV_SEND_SIGNALED };
	int code;

	if (atomic_load(&r->said) - atomic_load(&r->heard) >= RDMA_WORDS)
		return error_set(err, "it takes no messages");
	*at = *word;
	if (r->has_inline)
		wr.send_flags |= IBV_SEND_INLINE;
	code = r->context->ops.post_send(r->qps[RDMA_CONTROL(r)], &wr, &bad);
	errno = code;
	if (code)
		return error_sys(err, "%s takes no work", r->port.device);
	atomic_fetch_add(&r->said, 1);
	return 0;
}

int rdma_say(struct rdma *r, enum rdma_kind kind, uint64_t window, struct error *err)
{
	const struct rdma_word word = { .kind = htobe64(kind), .window = htobe64(window) };
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = say_locked(r, &word, err);
	pthread_mutex_unlock(&r->lock);
	return rc;
}
