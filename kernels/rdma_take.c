/*
 * rdma_take.c - the thread of a meeting that hears what the other end says, compares what it wrote,
 * and answers its pings.
 *
 * It sleeps until a message comes. Only while the other end pings does it look at one word of
 * memory all the time, for a sleeper would be woken later than a ping takes. It compares a little
 * at a time, so that messages do not wait for it.
 */
#include "kernels/rdma.h"

#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	COMPARE_STEP = 256 << 10,
	COMPLETIONS = 16,
	LOOKS = 2000,     /* at the word of pings, between two at the queue */
	PONGS = 32,       /* between two looks at the queue */
	PONG_EVERY = 16,  /* of them that are signalled */
	IDLE_SECONDS = 1, /* it would be woken; but nothing here waits for ever */
};

static const uint64_t ID_PONG = 1ull << 61;

static void wake(const struct rdma *r)
{
	const uint64_t one = 1;

	if (write(r->wake, &one, sizeof(one)) < 0)
		return; /* full: it is awake */
}

/* ---- what it says -------------------------------------------------------------------------- */

static int nonsense(struct error *err)
{
	return error_set(err, "it says what makes no sense");
}

/* The end of a window on one of its queue pairs. It may be one window ahead of the comparing. */
static int hear_end(struct rdma *r, int stream, const struct rdma_word *w, struct error *err)
{
	struct rdma_ended *slot = &r->slots[w->window % 2];

	if (stream >= r->streams || w->window != r->ended[stream] || w->window > r->comparing + 1 ||
	    w->bytes > r->span || w->bytes % 8 || w->last > 1)
		return nonsense(err);
	if (slot->count && (slot->bytes != w->bytes || slot->last != (int)w->last))
		return nonsense(err);
	slot->bytes = w->bytes;
	slot->last = (int)w->last;
	slot->count++;
	r->ended[stream]++;
	return 0;
}

static int hear_control(struct rdma *r, const struct rdma_word *w, struct error *err)
{
	switch (w->kind) {
	case WORD_CREDIT:
		if (w->window != atomic_load(&r->credits))
			return nonsense(err);
		atomic_fetch_add(&r->credits, 1);
		break;
	case WORD_PING:
		r->is_ponging = 1;
		r->ponged = __atomic_load_n(&rdma_mailbox(r)->ping, __ATOMIC_ACQUIRE);
		r->ponged_at = clock_now();
		return rdma_say(r, WORD_READY, 0, err);
	case WORD_READY:
		atomic_store(&r->ready, 1);
		break;
	case WORD_STOP:
		r->is_ponging = 0;
		return 0;
	case WORD_ALIVE:
		return 0;
	case WORD_BYE:
		atomic_store(&r->left, 1);
		break;
	default:
		return nonsense(err);
	}
	wake(r);
	return 0;
}

static int hear(struct rdma *r, const struct ibv_wc *wc, struct error *err)
{
	int qp = (int)(wc->wr_id >> 8), buffer = (int)(wc->wr_id & 0xff);
	const int is_control = qp == RDMA_CONTROL(r);
	const struct rdma_word *at =
		is_control ? &r->desk->heard[buffer] : &r->desk->takes[qp][buffer];
	const struct rdma_word w = { .kind = be64toh(at->kind),
				     .window = be64toh(at->window),
				     .bytes = be64toh(at->bytes),
				     .last = be64toh(at->last) };

	if (wc->byte_len != sizeof(w) || rdma_offer(r, qp, buffer, err) < 0)
		return wc->byte_len == sizeof(w) ? -1 : nonsense(err);
	if (is_control)
		return hear_control(r, &w, err);
	return w.kind == WORD_END ? hear_end(r, qp, &w, err) : nonsense(err);
}

/* What is in the queue: how many, or -1. */
static int hear_all(struct rdma *r, struct error *err)
{
	struct ibv_wc wcs[COMPLETIONS];
	int n = r->context->ops.poll_cq(r->in.cq, COMPLETIONS, wcs);

	if (n < 0)
		return error_set(err, "%s gives no completions", r->port.device);
	for (int i = 0; i < n; i++) {
		if (wcs[i].status != IBV_WC_SUCCESS)
			return rdma_wrong(r, &wcs[i], err);
		if (wcs[i].wr_id == RDMA_ID_SAID)
			atomic_fetch_add(&r->heard, 1);
		else if (wcs[i].wr_id != ID_PONG && hear(r, &wcs[i], err) < 0)
			return -1;
	}
	return n;
}

/* ---- comparing ----------------------------------------------------------------------------- */

static int window_over(struct rdma *r, struct rdma_ended *slot, struct error *err)
{
	uint64_t window = r->comparing++;
	int last = slot->last;

	atomic_fetch_add(&r->compared, slot->bytes);
	*slot = (struct rdma_ended){ 0 };
	r->compared_to = 0;
	if (rdma_say(r, WORD_CREDIT, window, err) < 0)
		return -1;
	if (last)
		atomic_fetch_add(&r->runs, 1);
	wake(r);
	return 1;
}

/* 1 if there was something to do, else 0; or -1. */
static int compare_some(struct rdma *r, struct error *err)
{
	struct rdma_ended *slot = &r->slots[r->comparing % 2];
	const unsigned char *half = r->take.base + r->comparing % 2 * r->half;
	uint64_t step = COMPARE_STEP;

	if (slot->count < r->streams)
		return 0;
	if (step > slot->bytes - r->compared_to)
		step = slot->bytes - r->compared_to;
	atomic_fetch_add(&r->wrong,
			 rdma_compare(r->own.token,
				      (const uint64_t *)(const void *)(half + r->compared_to),
				      rdma_shift(r, r->comparing) + r->compared_to, step));
	r->compared_to += step;
	return r->compared_to < slot->bytes ? 1 : window_over(r, slot, err);
}

/* ---- pings --------------------------------------------------------------------------------- */

static int pong(struct rdma *r, uint64_t ping, struct error *err)
{
	int is_signaled = ++r->pongs_unsignalled == PONG_EVERY, rc;

	if (is_signaled)
		r->pongs_unsignalled = 0;
	r->desk->pong = r->ponged = ping;
	pthread_mutex_lock(&r->lock);
	rc = rdma_drop(r, r->qps[RDMA_CONTROL(r)], &r->desk->pong,
		       offsetof(struct rdma_mailbox, pong), is_signaled, ID_PONG, err);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int pong_some(struct rdma *r, struct error *err)
{
	struct rdma_mailbox *box = rdma_mailbox(r);
	int pongs = 0;

	for (int i = 0; i < LOOKS && pongs < PONGS; i++) {
		uint64_t ping = __atomic_load_n(&box->ping, __ATOMIC_ACQUIRE);

		if (ping == r->ponged) {
			__builtin_ia32_pause();
			continue;
		}
		if (pong(r, ping, err) < 0)
			return -1;
		pongs++;
	}
	if (pongs)
		r->ponged_at = clock_now();
	else if (clock_now() - r->ponged_at > RDMA_PATIENCE)
		r->is_ponging = 0; /* whoever wanted them is gone or hangs */
	return 0;
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* The order matters: what comes between the last look and the arming makes no event. */
static int rest(struct rdma *r, struct error *err)
{
	if (!r->in.is_armed)
		return rdma_arm(r, &r->in, err);
	return rdma_sleep(r, &r->in, r->stop, clock_now() + IDLE_SECONDS, err);
}

static int take_all(struct rdma *r, struct error *err)
{
	while (!atomic_load(&r->stopping)) {
		int heard = hear_all(r, err), worked = heard < 0 ? 0 : compare_some(r, err);

		if (heard < 0 || worked < 0)
			return -1;
		if (r->is_ponging && pong_some(r, err) < 0)
			return -1;
		if (!heard && !worked && !r->is_ponging && rest(r, err) < 0)
			return -1;
	}
	return 0;
}

static void *take(void *arg)
{
	struct rdma *r = arg;
	struct error err;
	cpu_set_t ignored;

	rdma_bind(r, &ignored);
	if (take_all(r, &err) < 0) {
		pthread_mutex_lock(&r->lock);
		r->err = err;
		pthread_mutex_unlock(&r->lock);
		atomic_store(&r->over, 1);
		wake(r);
	}
	return NULL;
}

int rdma_start_taking(struct rdma *r, struct error *err)
{
	int code = pthread_create(&r->thread, NULL, take, r);

	errno = code;
	r->has_thread = !code;
	return code ? error_sys(err, "cannot start a thread") : 0;
}

void rdma_stop_taking(struct rdma *r)
{
	const uint64_t one = 1;

	if (!r->has_thread)
		return;
	atomic_store(&r->stopping, 1);
	if (write(r->stop, &one, sizeof(one)) < 0)
		BUG("an eventfd takes nothing");
	pthread_join(r->thread, NULL);
	r->has_thread = 0;
}
