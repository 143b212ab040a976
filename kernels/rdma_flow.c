/*
 * rdma_flow.c - runs of data, pings and the end, as the caller sees them.
 *
 * A window is closed at the first completion behind its time, and its rate is what completed
 * between two such moments by the time between them: so it does not matter that one completion
 * stands for several pieces. What has not yet completed counts in the window in which it does.
 */
#include "kernels/rdma.h"

#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { COMPLETIONS = 16, END_SECONDS = 30, COUNTER_SECONDS = 3, PING_EVERY = 16, PING_LOOKS = 256 };

/* In the id of a request: its stream, whether a window ends, and pieces posted so far. */
static const uint64_t ID_PING = 1ull << 60, ID_END = 1ull << 40;
enum { STREAM_SHIFT = 48 };

struct run {
	struct rdma *r;
	struct net_rate *job;
	uint64_t offset;       /* in the run, of the next piece */
	uint64_t pieces;       /* posted in this window */
	int flight;            /* pieces on their way */
	int next;              /* stream */
	int closed;            /* windows, with the first one */
	double due, at, moved; /* end of the window; begin of it; last sign of life */
	uint64_t completed;    /* when the window began */
	uint64_t progress;     /* of the other end, then */
	double retransmits;    /* when the first window ended */
};

/* Why the thread gave up, or that the other end said good-bye. -1 if so. */
static int check_other(struct rdma *r, struct error *err)
{
	if (atomic_load(&r->over)) {
		pthread_mutex_lock(&r->lock);
		*err = r->err;
		pthread_mutex_unlock(&r->lock);
		return -1;
	}
	return atomic_load(&r->left) ? error_set(err, "it left before the end") : 0;
}

static int check_met(struct rdma *r, struct error *err)
{
	if (!r->is_met || !r->has_thread)
		return error_set(err, "it was not met");
	if (check_other(r, err) < 0)
		return -1;
	return r->is_broken ? error_set(err, "the connection broke before") : 0;
}

/* ---- completions --------------------------------------------------------------------------- */

static void count(struct rdma *r, uint64_t id)
{
	struct rdma_stream *s = &r->out_streams[id >> STREAM_SHIFT];
	uint32_t pieces = (uint32_t)id - s->done;

	s->done += pieces;
	s->ends -= (id & ID_END) != 0;
	r->completed += pieces;
}

/* How many there were, or -1. */
static int reap(struct rdma *r, struct error *err)
{
	struct ibv_wc wcs[COMPLETIONS];
	int n = r->context->ops.poll_cq(r->out.cq, COMPLETIONS, wcs);

	if (n < 0)
		return error_set(err, "%s gives no completions", r->port.device);
	for (int i = 0; i < n; i++) {
		if (wcs[i].status != IBV_WC_SUCCESS)
			return rdma_wrong(r, &wcs[i], err);
		if (wcs[i].wr_id != ID_PING)
			count(r, wcs[i].wr_id);
	}
	return n;
}

/* As reap(). What went wrong here is the cause of what the thread saw then. */
static int look(struct rdma *r, struct error *err)
{
	struct error own;
	int n = reap(r, err);

	if (n < 0 || check_other(r, err) == 0)
		return n;
	if (reap(r, &own) < 0)
		*err = own;
	return -1;
}

/* One more look if events were not asked for yet, else sleeps. */
static int rest(struct rdma *r, double deadline, struct error *err)
{
	if (!r->out.is_armed)
		return rdma_arm(r, &r->out, err);
	return rdma_sleep(r, &r->out, r->wake, deadline, err);
}

/* ---- pieces -------------------------------------------------------------------------------- */

/* The memory to send from comes with the first run: who only listens needs none. */
static int give_make(struct rdma *r, const struct net_rate *job, struct error *err)
{
	uint64_t *words;

	if (!r->give.base && rdma_memory(r, &r->give, r->own.bytes, err) < 0)
		return -1;
	words = (uint64_t *)(void *)r->give.base;
	if (!r->is_filled)
		rdma_fill(r->peer.token, words, 0, 2 * r->span);
	r->is_filled = !job->tamper; /* what is spoiled for a test stays so */
	if (!r->give_mr)
		r->give_mr = r->verbs->reg_mr(r->pd, r->give.base, r->own.bytes, 0);
	if (!r->give_mr)
		return verbs_sys(err, 2 * r->own.bytes, "%s cannot lock memory to send from",
				 r->port.device);
	return 0;
}

/* Windows end with a credit for the one before the last, so the half is free. */
static int may_write(const struct run *run)
{
	return run->r->window < 2 || atomic_load(&run->r->credits) + 1 >= run->r->window;
}

static int post(struct rdma *r, int stream, struct ibv_send_wr *wr, struct error *err)
{
	struct ibv_send_wr *bad;
	int code = r->context->ops.post_send(r->qps[stream], wr, &bad);

	errno = code;
	return code ? error_sys(err, "%s takes no work", r->port.device) : 0;
}

/*
 * Tells the other end that something comes. In a long window no message does, and of what is
 * written there nobody is told; so a count of pieces is written too, behind the data.
 */
static int tell_progress(struct rdma *r, struct error *err)
{
	r->desk->progress = r->out_streams[0].posted;
	return rdma_drop(r, r->qps[0], &r->desk->progress, offsetof(struct rdma_mailbox, progress),
			 0, 0, err);
}

static int post_piece(struct run *run, int stream, struct error *err)
{
	struct rdma *r = run->r;
	struct rdma_stream *s = &r->out_streams[stream];
	uint64_t place = run->pieces * RDMA_PIECE % r->span,
		 from = place + rdma_shift(r, r->window);
	struct ibv_sge sge = { (uintptr_t)(r->give.base + from), RDMA_PIECE, r->give_mr->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE };
	int is_signaled = ++s->unsignalled == r->every || run->job->tamper;

	if (run->job->tamper) {
		rdma_fill(r->peer.token, (uint64_t *)(void *)(r->give.base + from), from,
			  RDMA_PIECE);
		run->job->tamper(run->job->tamper_arg, r->give.base + from, run->offset);
	}
	wr.wr_id = (uint64_t)stream << STREAM_SHIFT | (s->posted + 1);
	wr.send_flags = is_signaled ? IBV_SEND_SIGNALED : 0;
	wr.wr.rdma.remote_addr = r->peer.address + r->window % 2 * r->peer_half + place;
	wr.wr.rdma.rkey = r->peer.rkey;
	if (post(r, stream, &wr, err) < 0)
		return -1;
	s->posted++;
	s->unsignalled = is_signaled ? 0 : s->unsignalled;
	run->pieces++;
	run->offset += RDMA_PIECE;
	run->flight++;
	return is_signaled && stream == 0 ? tell_progress(r, err) : 0;
}

/* As many as may be on their way; each stream its share, so that a slow one does not take all. */
static int feed(struct run *run, struct error *err)
{
	struct rdma *r = run->r;
	int full = 0, most = run->job->tamper ? 1 : r->flight;

	while (may_write(run) && run->flight < most && full < r->streams) {
		const struct rdma_stream *s = &r->out_streams[run->next];

		if (s->posted - s->done >= (uint32_t)r->depth)
			full++;
		else if (post_piece(run, run->next, err) < 0)
			return -1;
		else
			full = 0;
		run->next = (run->next + 1) % r->streams;
	}
	return 0;
}

static int post_end(struct run *run, int stream, int is_last, struct error *err)
{
	struct rdma *r = run->r;
	struct rdma_word *word = &r->desk->ends[stream][r->window % 2];
	uint64_t bytes = run->pieces * RDMA_PIECE;
	struct ibv_sge sge = { (uintptr_t)word, sizeof(*word), r->desk_mr->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND };

	*word = (struct rdma_word){ .kind = htobe64(WORD_END),
				    .window = htobe64(r->window),
				    .bytes = htobe64(bytes < r->span ? bytes : r->span),
				    .last = htobe64((uint64_t)is_last) };
	wr.wr_id = (uint64_t)stream << STREAM_SHIFT | ID_END | r->out_streams[stream].posted;
	wr.send_flags = IBV_SEND_SIGNALED | (r->has_inline ? IBV_SEND_INLINE : 0);
	r->out_streams[stream].ends++;
	r->out_streams[stream].unsignalled = 0;
	return post(r, stream, &wr, err);
}

/* ---- windows ------------------------------------------------------------------------------- */

static void measure(struct run *run, double now)
{
	const struct rdma *r = run->r;
	uint64_t progress = __atomic_load_n(&rdma_mailbox(r)->progress, __ATOMIC_ACQUIRE);
	uint64_t bytes = (r->completed - run->completed) * RDMA_PIECE;

	if (run->closed) {
		run->job->gbs[run->closed - 1] = (double)bytes / (now - run->at) / 1e9;
		run->job->busy_windows += progress != run->progress;
		run->job->done = run->closed;
	} else {
		run->retransmits = rdma_retransmits(r->machine, &r->port);
	}
	run->completed = r->completed;
	run->progress = progress;
	run->at = now;
	run->due = now + run->job->seconds;
	run->closed++;
}

static int close_window(struct run *run, double now, struct error *err)
{
	struct rdma *r = run->r;

	measure(run, now);
	for (int i = 0; i < r->streams; i++)
		if (post_end(run, i, run->closed > run->job->windows, err) < 0)
			return -1;
	r->window++;
	run->pieces = 0;
	return 0;
}

/* Since the end of the first window, and also of a run that broke. */
static void count_retransmits(const struct run *run)
{
	double now = rdma_retransmits(run->r->machine, &run->r->port);

	if (run->retransmits >= 0 && now >= run->retransmits)
		run->job->retransmits = (int64_t)(now - run->retransmits);
}

static int on_the_way(const struct rdma *r)
{
	int sum = 0;

	for (int i = 0; i < r->streams; i++)
		sum += (int)(r->out_streams[i].posted - r->out_streams[i].done) +
		       r->out_streams[i].ends;
	return sum;
}

static int silent(const struct run *run, struct error *err)
{
	if (on_the_way(run->r))
		error_set(err, "it took nothing for %d s", RDMA_PATIENCE);
	else
		error_set(err, "it does not look at what it got for %d s", RDMA_PATIENCE);
	return rdma_blame_port(run->r, err);
}

/* Takes what has completed, or waits for it. 1 if there was something, 0 if not, or -1. */
static int step(struct run *run, struct error *err)
{
	struct rdma *r = run->r;
	uint64_t credits = atomic_load(&r->credits);
	int n = look(r, err);

	if (n < 0)
		return -1;
	run->flight = 0;
	for (int i = 0; i < r->streams; i++)
		run->flight += (int)(r->out_streams[i].posted - r->out_streams[i].done);
	if (n == 0 && rest(r, run->moved + RDMA_PATIENCE, err) < 0)
		return -1;
	if (n || atomic_load(&r->credits) != credits)
		run->moved = clock_now();
	else if (clock_now() > run->moved + RDMA_PATIENCE)
		return silent(run, err);
	return n > 0;
}

/*
 * What the other end has looked at has arrived. Acknowledgements of it may still be on their way,
 * and never come if the other end has left with its last credit.
 */
static void settle(struct run *run)
{
	struct rdma *r = run->r;
	struct error ignored;

	while (on_the_way(r) && step(run, &ignored) >= 0)
		;
	for (int i = 0; i < r->streams; i++) {
		struct rdma_stream *s = &r->out_streams[i];

		r->completed += s->posted - s->done;
		r->is_broken |= s->posted != s->done || s->ends;
		s->done = s->posted;
	}
}

static int run_all(struct run *run, struct error *err)
{
	const struct net_rate *job = run->job;
	struct rdma *r = run->r;

	run->at = run->moved = clock_now();
	run->due = run->at + job->seconds;
	run->completed = r->completed;
	while (run->closed <= job->windows) {
		int came;

		if (feed(run, err) < 0 || (came = step(run, err)) < 0)
			return -1;
		/* a window that may not be written yet is not over either */
		if (came && may_write(run) && clock_now() >= run->due &&
		    close_window(run, clock_now(), err) < 0)
			return -1;
	}
	/* With a failure that came behind the last credit nothing is lost any more. */
	while (atomic_load(&r->credits) < r->window)
		if (step(run, err) < 0 && atomic_load(&r->credits) < r->window)
			return -1;
	settle(run);
	return 0;
}

int rdma_send(struct meeting *x, struct net_rate *job, struct error *err)
{
	struct rdma *r = (struct rdma *)x;
	struct run run = { .r = r, .job = job, .retransmits = -1 };
	cpu_set_t before;
	int is_bound, rc;

	job->done = job->busy_windows = 0;
	job->retransmits = -1;
	if (check_met(r, err) < 0)
		return -1;
	is_bound = rdma_bind(r, &before);
	rc = give_make(r, job, err);
	if (rc == 0) {
		rc = run_all(&run, err);
		r->is_broken |= rc < 0;
		count_retransmits(&run);
	}
	if (is_bound)
		rdma_unbind(&before);
	return rc;
}

/* ---- pings --------------------------------------------------------------------------------- */

/* Whoever is pinged looks all the time from then on. */
static int wake_other(struct rdma *r, struct error *err)
{
	double deadline = clock_now() + RDMA_PATIENCE;

	atomic_store(&r->ready, 0);
	if (rdma_say(r, WORD_PING, 0, err) < 0)
		return -1;
	while (!atomic_load(&r->ready)) {
		if (look(r, err) < 0)
			return -1;
		if (clock_now() > deadline) {
			error_set(err, "it does not get ready for pings");
			return rdma_blame_port(r, err);
		}
		if (rest(r, deadline, err) < 0)
			return -1;
	}
	return 0;
}

static int await_pong(struct rdma *r, struct error *err)
{
	double deadline = clock_now() + RDMA_PATIENCE;
	const struct rdma_mailbox *box = rdma_mailbox(r);

	for (int i = 1; __atomic_load_n(&box->pong, __ATOMIC_ACQUIRE) != r->pings; i++) {
		__builtin_ia32_pause();
		if (i % PING_LOOKS)
			continue;
		if (look(r, err) < 0)
			return -1;
		if (clock_now() > deadline) {
			error_set(err, "a ping did not come back");
			return rdma_blame_port(r, err);
		}
	}
	return 0;
}

static int one_ping(struct rdma *r, struct error *err)
{
	int is_signaled = ++r->pings % PING_EVERY == 0;

	r->desk->ping = r->pings;
	if (rdma_drop(r, r->qps[0], &r->desk->ping, offsetof(struct rdma_mailbox, ping),
		      is_signaled, ID_PING, err) < 0)
		return -1;
	return await_pong(r, err);
}

static int ping_all(struct rdma *r, struct net_pings *job, struct error *err)
{
	double begin, now, until;

	if (wake_other(r, err) < 0)
		return -1;
	now = clock_now();
	until = now + job->seconds;
	for (; job->count < job->most && now < until; job->count++) {
		begin = now;
		if (one_ping(r, err) < 0 || (r->pings % PING_EVERY == 1 && reap(r, err) < 0))
			return -1;
		now = clock_now();
		job->us[job->count] = (now - begin) * 1e6;
	}
	return rdma_say(r, WORD_STOP, 0, err);
}

int rdma_ping(struct meeting *x, struct net_pings *job, struct error *err)
{
	struct rdma *r = (struct rdma *)x;
	cpu_set_t before;
	int is_bound, rc;

	job->count = 0;
	if (check_met(r, err) < 0)
		return -1;
	is_bound = rdma_bind(r, &before);
	rc = ping_all(r, job, err);
	r->is_broken = rc < 0;
	if (is_bound)
		rdma_unbind(&before);
	return rc;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Some drivers bring their counters up to date only once a second. */
static void account(const struct rdma *r, struct net_sum *sum)
{
	const struct timespec rest_time = { .tv_nsec = 50000000 };
	double until = clock_now() + COUNTER_SECONDS, now = r->counted;

	if (r->counted < 0)
		return;
	rdma_counter_name(&r->port, sum->interface);
	for (;;) {
		now = rdma_counter(r->machine, &r->port);
		sum->counted = now > r->counted ? (uint64_t)(now - r->counted) : 0;
		if (sum->counted >= sum->sent || clock_now() > until)
			return;
		nanosleep(&rest_time, NULL);
	}
}

/*
 * Who only waits would not notice that the other is gone, as nothing that is written here needs us:
 * a word now and then finds out.
 */
static int await_runs(struct rdma *r, int runs, struct error *err)
{
	double now = clock_now(), until = now + END_SECONDS, word_at = now + 1;

	while (atomic_load(&r->runs) < runs) {
		if (check_other(r, err) < 0)
			return -1;
		now = clock_now();
		if (now > until) {
			error_set(err, "it has not sent all in time");
			return rdma_blame_port(r, err);
		}
		if (now > word_at && rdma_say(r, WORD_ALIVE, 0, err) < 0)
			return -1;
		if (now > word_at)
			word_at = now + 1;
		if (rdma_sleep(r, &r->out, r->wake, word_at, err) < 0)
			return -1;
	}
	return 0;
}

int rdma_end(struct meeting *x, int runs, struct net_sum *sum, struct error *err)
{
	struct rdma *r = (struct rdma *)x;
	int rc;

	*sum = (struct net_sum){ .sent = r->completed * RDMA_PIECE };
	rc = r->is_met && r->has_thread ? await_runs(r, runs, err)
					: error_set(err, "it was not met");
	/* Nobody counts what a NIC writes into memory; what was compared surely came. */
	sum->received = sum->compared = atomic_load(&r->compared);
	sum->wrong_bytes = atomic_load(&r->wrong);
	if (rc < 0) {
		if (sum->wrong_bytes)
			error_prefix(err, "after %llu wrong bytes: ",
				     (unsigned long long)sum->wrong_bytes);
		return -1;
	}
	account(r, sum);
	return 0;
}
