/*
 * told_net.h - an RDMA network and other members as a case wants them, for checks over rails.
 * Included once by a test program.
 *
 * The checks keep to a timetable of seconds, so all cases run at once, each in a child of its own,
 * which leaves what it saw in memory that both share. The node is "a", its NIC "nic3".
 */
#ifndef ASSAY_TOLD_NET_H
#define ASSAY_TOLD_NET_H

#include "harness/checks/check.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { TOLD_MEETINGS = 2, TOLD_SAID = 8000 };

#define PLACE "lid 7 qp 11"

/* What one other member gives out under one key; no value: it is gone. */
struct told_share {
	const char *from, *key, *value;
};

struct told_case {
	const char *name;
	const char *knobs[10]; /* in the order of the check's; NULL: as preset */
	struct told_share others[8];
	const char *fails; /* "open", "tell", "begin", or with the meeting: "meet 0" */
	struct net_sum sum[TOLD_MEETINGS];
	int pings, busy[2];
	int done;           /* windows before it breaks, when "send 0" fails */
	int quits;          /* it sends that many windows, and says that all is well */
	int64_t resent[2];  /* of each run */
	int counts_nothing; /* it fails before it has filled anything */
	double gbs[8];      /* of the first windows; those of others are 40 */
	int rc;
	const char *said;
};

/* What it did. The memory is shared with the parent. */
struct told_seen {
	char said[TOLD_SAID];
	char met[TOLD_MEETINGS][NET_PLACE];
	int rc, opened, closed;
	int runs[TOLD_MEETINGS]; /* that it waited for at the end */
	int streams;
	uint64_t bytes;
	double began, pinged, sent[2], ended[TOLD_MEETINGS]; /* seconds behind the start */
};

struct told_meeting {
	struct meeting meeting;
	int number, sends;
};

struct told_net {
	const struct told_case *how;
	struct told_seen *seen;
	struct told_meeting meetings[TOLD_MEETINGS];
	struct text said;
};

static struct told_net told; /* of this child */

static inline int told_fails(const char *what, int number, struct error *err)
{
	char numbered[40];

	if (number < 0)
		snprintf(numbered, sizeof(numbered), "%s", what);
	else
		snprintf(numbered, sizeof(numbered), "%s %d", what, number);
	return told.how->fails && !strcmp(told.how->fails, numbered) ? error_set(err, "it fails")
								     : 0;
}

static inline int told_open(struct machine *m, const struct net_way *way, struct meeting **x,
			    char place[NET_PLACE], struct error *err)
{
	struct told_meeting *t = &told.meetings[told.seen->opened];

	(void)m;
	if (told_fails("open", -1, err) < 0)
		return -1;
	t->number = told.seen->opened++;
	told.seen->streams = way->streams;
	told.seen->bytes = way->bytes;
	text_addf(&told.said, "open %s %s\n", way->nic, way->peer);
	snprintf(place, NET_PLACE, "own %d", t->number);
	*x = &t->meeting;
	return 0;
}

static inline int told_meet(struct meeting *x, const char *place, struct error *err)
{
	int number = ((struct told_meeting *)x)->number;

	snprintf(told.seen->met[number], NET_PLACE, "%s", place);
	return told_fails("meet", number, err);
}

static inline int told_ping(struct meeting *x, struct net_pings *job, struct error *err)
{
	told.seen->pinged = clock_now() - told.seen->began;
	job->count = told.how->pings;
	for (int i = 0; i < job->count; i++)
		job->us[i] = 4;
	return told_fails("ping", ((struct told_meeting *)x)->number, err);
}

static inline int told_send(struct meeting *x, struct net_rate *job, struct error *err)
{
	struct told_meeting *t = (struct told_meeting *)x;
	int breaks = told_fails("send", t->number, err) < 0 ||
		     (t->sends && told_fails("both", t->number, err) < 0);

	told.seen->sent[t->sends] = clock_now() - told.seen->began;
	if (told.how->counts_nothing)
		return breaks ? -1 : 0;
	job->retransmits = told.how->resent[t->sends];
	job->busy_windows = told.how->busy[t->sends++];
	job->done = breaks ? told.how->done : told.how->quits ? told.how->quits : job->windows;
	for (int i = 0; i < job->done; i++)
		job->gbs[i] = i < 8 && told.how->gbs[i] > 0 ? told.how->gbs[i] : 40;
	return breaks ? -1 : 0;
}

static inline int told_end(struct meeting *x, int runs, struct net_sum *sum, struct error *err)
{
	int number = ((struct told_meeting *)x)->number;

	told.seen->runs[number] = runs;
	told.seen->ended[number] = clock_now() - told.seen->began;
	*sum = told.how->sum[number];
	return told_fails("end", number, err);
}

static inline void told_close(struct meeting *x)
{
	told.seen->closed += x != NULL;
}

static const struct net told_rdma = {
	.name = "told",
	.open = told_open,
	.meet = told_meet,
	.ping = told_ping,
	.send = told_send,
	.end = told_end,
	.close = told_close,
};

static const struct kernels told_kernels = { .name = "told", .rdma = &told_rdma };

/* ---- what the check says, and what it hears ------------------------------------------------- */

static inline void told_figure(void *arg, const char *metric, const char *subject, const double *v,
			       int n)
{
	double least = v[0];

	(void)arg;
	for (int i = 1; i < n; i++)
		least = v[i] < least ? v[i] : least;
	text_addf(&told.said, "%s %s %d x %g", metric, subject, n, v[0]);
	text_addf(&told.said, least < v[0] ? " down to %g\n" : "\n", least);
}

static inline void told_absent(void *arg, const char *metric, const char *subject, const char *why,
			       int hole)
{
	(void)arg;
	text_addf(&told.said, "%s %s %s: %s\n", metric, subject, hole ? "hole" : "na", why);
}

static inline void told_note(void *arg, const char *text)
{
	(void)arg;
	text_addf(&told.said, "note: %s\n", text);
}

static inline int told_tell(void *arg, const char *to, const char *key, const char *value,
			    struct error *err)
{
	(void)arg;
	text_addf(&told.said, "tell %s %s %s\n", to ? to : "all", key, value);
	return told_fails("tell", -1, err);
}

static inline int told_take(void *arg, const char *from, const char *key, char **value,
			    struct error *err)
{
	const struct told_share *s = told.how->others;

	(void)arg;
	for (; s->from; s++) {
		if (strcmp(s->from, from) != 0 || strcmp(s->key, key) != 0)
			continue;
		if (!s->value)
			return error_set(err, "%s is gone: it died", from);
		*value = xstrdup(s->value);
		return 0;
	}
	text_addf(&told.said, "nobody gives %s of %s\n", key, from);
	return error_set(err, "%s did not answer in time", from);
}

static inline int told_begin(void *arg, struct error *err)
{
	(void)arg;
	text_add(&told.said, "begin\n");
	told.seen->began = clock_now();
	return told_fails("begin", -1, err);
}

/* ---- running ------------------------------------------------------------------------------- */

static inline void told_child(const struct check *check, const struct told_case *how,
			      struct told_seen *seen)
{
	const struct sink sink = { .figure = told_figure,
				   .absent = told_absent,
				   .note = told_note,
				   .share = told_tell,
				   .take = told_take,
				   .begin = told_begin };
	struct job job = { .hw = &told_kernels, .unit = "r1", .node = "a", .sink = &sink };
	struct error err = { "" };

	told = (struct told_net){ .how = how, .seen = seen };
	text_init(&told.said);
	job.knobs = (struct knobs){ .check = check, .values = how->knobs };
	seen->rc = check->run(&job, &err);
	text_add(&told.said, err.text);
	snprintf(seen->said, sizeof(seen->said), "%s", told.said.data);
	text_release(&told.said);
}

/* Runs all cases and waits for them; the caller unmaps what each has seen. */
static inline struct told_seen *told_run(const struct check *check, const struct told_case *cases,
					 int count)
{
	struct told_seen *seen = mmap(NULL, (size_t)count * sizeof(*seen), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	assert_ptr_not_equal(seen, MAP_FAILED);
	fflush(NULL);
	for (int i = 0; i < count; i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			told_child(check, &cases[i], &seen[i]);
			exit(0); /* not _exit: leaks are looked for */
		}
	}
	for (int i = 0; i < count; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	return seen;
}

/* Runs them and compares what they said; all that was opened must be closed. */
static inline void told_expect(const struct check *check, const struct told_case *cases, int count)
{
	struct told_seen *seen = told_run(check, cases, count);

	for (int i = 0; i < count; i++) {
		print_message("  %s\n", cases[i].name);
		assert_string_equal(seen[i].said, cases[i].said);
		assert_int_equal(seen[i].rc, cases[i].rc);
		assert_int_equal(seen[i].closed, seen[i].opened);
	}
	munmap(seen, (size_t)count * sizeof(*seen));
}

static inline int is_about(double x, double y)
{
	return x >= y - 0.001 && x < y + 0.5;
}

#endif
