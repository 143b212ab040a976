/*
 * tcp_flow.c - what flows once two nodes have met: runs of data, one thread a stream, and pings.
 *
 * Every word of a stream is its place in it times an odd constant, so no two are alike and a byte
 * that is wrong, lost, doubled or out of place does not fit. That costs an addition a word, far
 * less than the copy into the kernel beside it; so all bytes are compared, while the clock runs,
 * and not a sample of them. What counts as sent is what the other end has acknowledged (tcp_info),
 * not what our own buffers took. The first word of a run's last chunk is inverted; the other end
 * answers it with the bytes that it has got.
 */
#include "kernels/tcp.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/tcp.h>

#define STEP 0x9e3779b97f4a7c15u /* 2^64 / golden ratio, odd */

enum { WORDS = TCP_CHUNK / 8, END_SECONDS = 30 };

static uint64_t word_at(const struct flow *f)
{
	return f->seed + (f->offset / 8 + 1) * STEP;
}

static void fill(const struct flow *f, uint64_t *words)
{
	uint64_t word = word_at(f);

	for (int i = 0; i < WORDS; i++, word += STEP)
		words[i] = word;
}

static unsigned wrong_bytes_of(uint64_t difference)
{
	unsigned count = 0;

	for (; difference; difference >>= 8)
		count += (difference & 0xff) != 0;
	return count;
}

/* Bytes that are not what was to come; the first word is right both ways. */
static uint64_t compare(const struct flow *f, const uint64_t *words)
{
	uint64_t word = word_at(f), wrong = 0;

	if (words[0] != word && words[0] != ~word)
		wrong += wrong_bytes_of(words[0] ^ word);
	for (int i = 1; i < WORDS; i++)
		if (words[i] != (word += STEP))
			wrong += wrong_bytes_of(words[i] ^ word);
	return wrong;
}

/* ---- whole pieces -------------------------------------------------------------------------- */

/* 1, 0 at the end of the stream before the first byte, or -1. first: seconds until it must come. */
static int read_whole(int fd, void *into, size_t len, double first, struct error *err)
{
	size_t got = 0;

	while (got < len) {
		double patience = got ? TCP_PATIENCE : first;
		ssize_t n;

		if (tcp_wait(fd, POLLIN, clock_now() + patience, "it sent nothing", err) < 0)
			return -1;
		n = recv(fd, (char *)into + got, len - got, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return error_sys(err, "the connection broke");
		if (n == 0)
			return got ? error_set(err, "it closed the connection") : 0;
		got += (size_t)n;
	}
	return 1;
}

static int write_whole(int fd, const void *from, size_t len, struct error *err)
{
	size_t put = 0;

	while (put < len) {
		ssize_t n;

		if (tcp_wait(fd, POLLOUT, clock_now() + TCP_PATIENCE, "it took nothing", err) < 0)
			return -1;
		n = send(fd, (const char *)from + put, len - put, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_sys(err, "the connection broke");
		put += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* One chunk: 1, 0 when the other end has closed between runs, or -1. */
static int take_chunk(struct flow *f, uint64_t *words, int *is_last)
{
	/* Between runs it may be long until the next one begins; tcp_end does not wait for ever. */
	double first = *is_last ? INFINITY : TCP_PATIENCE;
	int rc = read_whole(f->fd, words, TCP_CHUNK, first, &f->err);
	uint64_t receipt;

	if (rc == 0 && !*is_last)
		return error_set(&f->err, "it closed the connection");
	if (rc <= 0)
		return rc;
	*is_last = words[0] == ~word_at(f);
	atomic_fetch_add(&f->tcp->wrong, compare(f, words));
	atomic_fetch_add(&f->tcp->received, TCP_CHUNK);
	f->offset += TCP_CHUNK;
	if (!*is_last)
		return 1;
	receipt = htobe64(f->offset);
	if (write_whole(f->fd, &receipt, sizeof(receipt), &f->err) < 0)
		return -1;
	atomic_fetch_add(&f->runs, 1);
	return 1;
}

static void *receive(void *arg)
{
	struct flow *f = arg;
	uint64_t *words = xcalloc(WORDS, sizeof(*words));
	int is_last = 1, rc;

	while ((rc = take_chunk(f, words, &is_last)) > 0)
		;
	f->failed = rc < 0;
	free(words);
	atomic_store(&f->over, 1);
	return NULL;
}

/* Gives back each byte at once. */
static void *echo(void *arg)
{
	struct flow *f = arg;
	char byte;
	int rc;

	while ((rc = read_whole(f->fd, &byte, 1, INFINITY, &f->err)) > 0)
		if ((rc = write_whole(f->fd, &byte, 1, &f->err)) < 0)
			break;
	f->failed = rc < 0;
	atomic_store(&f->over, 1);
	return NULL;
}

static int start(struct flow *f, void *(*work)(void *), struct error *err)
{
	int rc;

	f->over = f->failed = 0;
	rc = pthread_create(&f->thread, NULL, work, f);
	errno = rc;
	f->has_thread = !rc;
	return rc ? error_sys(err, "cannot start a thread") : 0;
}

static void join(struct flow *f)
{
	if (f->has_thread)
		pthread_join(f->thread, NULL);
	f->has_thread = 0;
}

int tcp_start_receiving(struct tcp *t, struct error *err)
{
	for (int i = 0; i <= t->streams; i++)
		if (start(&t->in[i], i < t->streams ? receive : echo, err) < 0)
			return -1;
	return 0;
}

void tcp_stop_flows(struct tcp *t)
{
	atomic_store(&t->stop, 1);
	for (int i = 0; i <= t->streams; i++) {
		if (t->in[i].fd >= 0)
			shutdown(t->in[i].fd, SHUT_RDWR);
		join(&t->in[i]);
	}
}

/* ---- sending ------------------------------------------------------------------------------- */

static int send_run(struct flow *f, uint64_t *words)
{
	uint64_t receipt;
	int is_last;

	do {
		is_last = atomic_load(&f->tcp->stop);
		fill(f, words);
		if (is_last)
			words[0] = ~words[0];
		if (f->tcp->tamper)
			f->tcp->tamper(f->tcp->tamper_arg, (unsigned char *)words, f->offset);
		if (write_whole(f->fd, words, TCP_CHUNK, &f->err) < 0)
			return -1;
		f->offset += TCP_CHUNK;
	} while (!is_last);
	if (read_whole(f->fd, &receipt, sizeof(receipt), TCP_PATIENCE, &f->err) <= 0)
		return error_prefix(&f->err, "it does not say what it has got: ");
	if (be64toh(receipt) == f->offset)
		return 0;
	return error_set(&f->err, "it has got %llu bytes of %llu",
			 (unsigned long long)be64toh(receipt), (unsigned long long)f->offset);
}

static void *send_all(void *arg)
{
	struct flow *f = arg;
	uint64_t *words = xcalloc(WORDS, sizeof(*words));

	error_set(&f->err, "it closed the connection");
	f->failed = send_run(f, words) < 0;
	free(words);
	atomic_store(&f->over, 1);
	return NULL;
}

struct reading {
	double at;
	uint64_t acked, retransmits, received;
};

static int read_counters(const struct tcp *t, struct reading *r, struct error *err)
{
	*r = (struct reading){ .received = atomic_load(&t->received) };
	for (int i = 0; i < t->streams; i++) {
		struct tcp_info info = { 0 };
		socklen_t len = sizeof(info);

		if (getsockopt(t->out[i].fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
			return error_sys(err, "TCP_INFO");
		/* Linux 4.1 and later */
		if (len <
		    offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
			return error_set(err, "this kernel does not count acknowledged bytes");
		r->acked += info.tcpi_bytes_acked;
		r->retransmits += info.tcpi_total_retrans;
	}
	r->at = clock_now();
	return 0;
}

static void sleep_to(double when)
{
	double left = when - clock_now();
	struct timespec ts = { (time_t)left, (long)((left - floor(left)) * 1e9) };

	while (left > 0 && nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static int any_failed(const struct tcp *t)
{
	for (int i = 0; i < t->streams; i++)
		if (atomic_load(&t->out[i].over) && t->out[i].failed)
			return 1;
	return 0;
}

/* The first window warms up: congestion windows and buffers grow in it. */
static int watch(struct tcp *t, struct net_rate *job, struct error *err)
{
	double begin = clock_now();
	struct reading first, before, now;

	sleep_to(begin + job->seconds);
	if (read_counters(t, &before, err) < 0)
		return -1;
	first = before;
	for (int i = 0; i < job->windows && !any_failed(t); i++) {
		sleep_to(begin + (i + 2) * job->seconds);
		if (read_counters(t, &now, err) < 0)
			return -1;
		job->gbs[i] = (double)(now.acked - before.acked) / (now.at - before.at) / 1e9;
		job->busy_windows += now.received > before.received;
		job->done = i + 1;
		before = now;
	}
	job->retransmits = (int64_t)(before.retransmits - first.retransmits);
	return 0;
}

int tcp_send(struct meeting *x, struct net_rate *job, struct error *err)
{
	struct tcp *t = (struct tcp *)x;
	struct reading before, behind;
	int rc = 0;

	job->busy_windows = job->done = 0;
	t->tamper = job->tamper;
	t->tamper_arg = job->tamper_arg;
	atomic_store(&t->stop, 0);
	if (read_counters(t, &before, err) < 0)
		return -1;
	for (int i = 0; i < t->streams && rc == 0; i++)
		rc = start(&t->out[i], send_all, err);
	if (rc == 0)
		rc = watch(t, job, err);
	atomic_store(&t->stop, 1);
	for (int i = 0; i < t->streams; i++) {
		join(&t->out[i]);
		if (rc == 0 && t->out[i].failed) {
			*err = t->out[i].err;
			rc = -1;
		}
	}
	if (rc < 0 || read_counters(t, &behind, err) < 0)
		return -1;
	t->sent += behind.acked - before.acked;
	return 0;
}

/* ---- pings --------------------------------------------------------------------------------- */

int tcp_ping(struct meeting *x, struct net_pings *job, struct error *err)
{
	const struct tcp *t = (struct tcp *)x;
	int fd = t->out[t->streams].fd;
	double until = clock_now() + job->seconds, now = clock_now();

	for (job->count = 0; job->count < job->most && now < until; job->count++) {
		char byte = (char)job->count, back;
		double sent = now;
		int rc = write_whole(fd, &byte, 1, err);

		if (rc == 0)
			rc = read_whole(fd, &back, 1, TCP_PATIENCE, err);
		if (rc == 0)
			error_set(err, "it closed the connection");
		if (rc <= 0)
			return -1;
		if (back != byte)
			return error_set(err, "a ping came back as another one");
		now = clock_now();
		job->us[job->count] = (now - sent) * 1e6;
	}
	return 0;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* 1 if all has come, 0 if not yet, -1 with err if it will not. */
static int all_came(struct tcp *t, int runs, struct error *err)
{
	int all = 1;

	for (int i = 0; i < t->streams; i++) {
		struct flow *f = &t->in[i];
		int is_over = atomic_load(&f->over); /* first, for then its runs are final */

		if (atomic_load(&f->runs) >= runs)
			continue;
		all = 0;
		if (is_over && f->failed)
			*err = f->err;
		else if (is_over)
			error_set(err, "it closed the connection before it had sent all");
		if (is_over)
			return -1;
	}
	return all;
}

int tcp_end(struct meeting *x, int runs, struct net_sum *sum, struct error *err)
{
	struct tcp *t = (struct tcp *)x;
	double until = clock_now() + END_SECONDS;
	int rc;

	while ((rc = all_came(t, runs, err)) == 0) {
		if (clock_now() > until)
			rc = error_set(err, "it has not sent all in time");
		if (rc < 0)
			break;
		usleep(10000);
	}
	sum->received = sum->compared = atomic_load(&t->received);
	sum->wrong_bytes = atomic_load(&t->wrong);
	sum->strangers = t->strangers;
	if (rc < 0) {
		if (sum->wrong_bytes)
			error_prefix(err, "after %llu wrong bytes: ",
				     (unsigned long long)sum->wrong_bytes);
		return -1;
	}
	tcp_account(t, sum);
	return 0;
}
