/*
 * test_rail_members.c - rings of real processes, with TCP over the loopback in RDMA's place.
 *
 * What waits for whom, and what is left when one of them dies, shows only where each end is a
 * process of its own. What members tell each other goes over a board in shared memory.
 */
#include "harness/checks/check.h"
#include "kernels/machine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

extern const struct check check_rail_ring;

enum { MEMBERS_MOST = 3, SHARES_MOST = 64, SAID_MOST = 6000 };

struct share {
	atomic_int is_there;
	char from[20], to[20], key[16], value[256];
};

struct board {
	atomic_int count, ready, gone_count;
	struct share shares[SHARES_MOST];
	atomic_int gone[MEMBERS_MOST];
	char said[MEMBERS_MOST][SAID_MOST];
	int rc[MEMBERS_MOST];
};

static const char *const names[] = { "127.0.0.1", "127.0.0.2", "127.0.0.3" };

/* Of one child. */
struct member {
	struct board *board;
	int number, count, dies_early;
	struct text said;
};

static void on_figure(void *arg, const char *metric, const char *subject, const double *v, int n)
{
	struct member *m = arg;

	if (!strcmp(metric, "rate"))
		text_addf(&m->said, "%s %s %d x\n", metric, subject, n);
	else if (!strcmp(metric, "compared"))
		text_addf(&m->said, "%s %s %s\n", metric, subject, v[0] > 0 ? "much" : "0");
	else if (strcmp(metric, "retransmits") != 0)
		text_addf(&m->said, "%s %s %g\n", metric, subject, v[0]);
}

static void on_absent(void *arg, const char *metric, const char *subject, const char *why, int hole)
{
	struct member *m = arg;

	text_addf(&m->said, "%s %s %s: %s\n", metric, subject, hole ? "hole" : "na", why);
}

static void on_note(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static int on_share(void *arg, const char *to, const char *key, const char *value,
		    struct error *err)
{
	struct member *m = arg;
	struct share *s = &m->board->shares[atomic_fetch_add(&m->board->count, 1)];

	(void)err;
	snprintf(s->from, sizeof(s->from), "%s", names[m->number]);
	snprintf(s->to, sizeof(s->to), "%s", to);
	snprintf(s->key, sizeof(s->key), "%s", key);
	snprintf(s->value, sizeof(s->value), "%s", value);
	atomic_store(&s->is_there, 1);
	return 0;
}

static const struct share *find(const struct member *m, const char *from, const char *key)
{
	for (int i = 0; i < SHARES_MOST; i++) {
		struct share *s = &m->board->shares[i];

		if (atomic_load(&s->is_there) && !strcmp(s->from, from) &&
		    !strcmp(s->to, names[m->number]) && !strcmp(s->key, key))
			return s;
	}
	return NULL;
}

static int is_gone(const struct member *m, const char *name)
{
	for (int i = 0; i < m->count; i++)
		if (!strcmp(names[i], name))
			return atomic_load(&m->board->gone[i]);
	return 0;
}

static int on_take(void *arg, const char *from, const char *key, char **value, struct error *err)
{
	const struct member *m = arg;
	double until = clock_now() + 20;

	for (; clock_now() < until; usleep(1000)) {
		const struct share *s = find(m, from, key);

		if (s) {
			*value = xstrdup(s->value);
			return 0;
		}
		if (is_gone(m, from))
			return error_set(err, "%s is gone: killed", from);
	}
	return error_set(err, "%s did not answer in time", from);
}

/* Begins without those that are gone. */
static int on_begin(void *arg, struct error *err)
{
	struct member *m = arg;
	double until = clock_now() + 20;

	(void)err;
	atomic_fetch_add(&m->board->ready, 1);
	while (atomic_load(&m->board->ready) + atomic_load(&m->board->gone_count) < m->count)
		if (clock_now() > until)
			return error_set(err, "the others are not ready");
		else
			usleep(1000);
	return 0;
}

static void be_member(struct member *m)
{
	const struct sink sink = { .figure = on_figure,
				   .absent = on_absent,
				   .note = on_note,
				   .share = on_share,
				   .take = on_take,
				   .begin = on_begin,
				   .arg = m };
	const struct kernels hw = { .name = "loopback", .rdma = &net_tcp };
	const char *peers = m->count == 2 ? "127.0.0.1,127.0.0.2" : "127.0.0.1,127.0.0.2,127.0.0.3";
	const char *values[] = { "1", NULL, "1s", "0.1s", NULL, NULL, peers, "nic3", NULL };
	struct job job = { .hw = &hw, .node = names[m->number], .sink = &sink };
	struct error err = { "" };

	if (m->dies_early)
		raise(SIGKILL);
	text_init(&m->said);
	job.machine = real_kernels.machine_open("", &err);
	job.knobs = (struct knobs){ .check = &check_rail_ring, .values = values };
	m->board->rc[m->number] = check_rail_ring.run(&job, &err);
	text_add(&m->said, err.text);
	snprintf(m->board->said[m->number], SAID_MOST, "%s", m->said.data);
	text_release(&m->said);
	real_kernels.machine_close(job.machine);
}

struct ring_case {
	const char *name;
	int count;
	int killed;  /* the member that is, or -1 */
	double when; /* seconds behind the common start; 0: before it has done anything */
};

static void kill_later(const struct ring_case *c, const struct board *b, pid_t pid)
{
	double until = clock_now() + 20;

	while (atomic_load(&b->ready) < c->count && clock_now() < until)
		usleep(1000);
	usleep((useconds_t)(c->when * 1e6));
	kill(pid, SIGKILL);
}

/* Runs all members; the caller unmaps the board. */
static struct board *run(const struct ring_case *c)
{
	struct board *b =
		mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[MEMBERS_MOST], pid;
	int status;

	assert_ptr_not_equal(b, MAP_FAILED);
	fflush(NULL);
	for (int i = 0; i < c->count; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			be_member(
				&(struct member){ b, i, c->count, c->killed == i && c->when <= 0 });
			exit(0); /* not _exit: leaks are looked for */
		}
	}
	if (c->killed >= 0 && c->when > 0)
		kill_later(c, b, pids[c->killed]);
	while ((pid = wait(&status)) > 0)
		for (int i = 0; i < c->count; i++) {
			if (pids[i] != pid)
				continue;
			assert_int_equal(status, i == c->killed ? SIGKILL : 0);
			atomic_store(&b->gone[i], i == c->killed);
			atomic_fetch_add(&b->gone_count, i == c->killed);
		}
	return b;
}

static void says(const struct board *b, int member, const char *words)
{
	if (!strstr(b->said[member], words))
		fail_msg("%s does not say \"%s\", but:\n%s", names[member], words, b->said[member]);
}

static void all_is_well(const struct board *b, int from, int to, int behind)
{
	char line[200];

	assert_int_equal(b->rc[from], RUN_OK);
	snprintf(line, sizeof(line),
		 "breaks nic3>%s/nic3 0\nrate nic3>%s/nic3 10 x\nwrong_bytes nic3<%s/nic3 0\n"
		 "compared nic3<%s/nic3 much\n",
		 names[to], names[to], names[behind], names[behind]);
	assert_string_equal(b->said[from], line);
}

static void rings_of_two_and_three_run(void **state)
{
	const struct ring_case two = { "two", 2, -1, 0 }, three = { "three", 3, -1, 0 };
	struct board *b = run(&two);

	(void)state;
	all_is_well(b, 0, 1, 1);
	all_is_well(b, 1, 0, 0);
	munmap(b, sizeof(*b));
	b = run(&three);
	all_is_well(b, 0, 1, 2);
	all_is_well(b, 1, 2, 0);
	all_is_well(b, 2, 0, 1);
	munmap(b, sizeof(*b));
}

/* The second is killed in the middle: the first sends to it, the third hears it. */
static void a_death_costs_what_was_behind_it(void **state)
{
	const struct ring_case c = { "death", 3, 1, 3.6 };
	struct board *b = run(&c);

	(void)state;
	assert_int_equal(b->rc[0], RUN_OK);
	says(b, 0, " x\nrate nic3>127.0.0.2/nic3 hole: sending to 127.0.0.2 broke in window ");
	says(b, 0, "breaks nic3>127.0.0.2/nic3 hole: ");
	says(b, 0, "; 127.0.0.2 is gone: killed\n");
	says(b, 0, "wrong_bytes nic3<127.0.0.3/nic3 0\n");
	assert_int_equal(b->rc[2], RUN_OK);
	says(b, 2, "breaks nic3>127.0.0.1/nic3 0\nrate nic3>127.0.0.1/nic3 10 x\n");
	says(b, 2, "wrong_bytes nic3<127.0.0.2/nic3 hole: 127.0.0.2: ");
	says(b, 2, "; 127.0.0.2 is gone: killed\n");
	munmap(b, sizeof(*b));
}

static void who_never_came_costs_its_neighbours_one_side(void **state)
{
	const struct ring_case c = { "early", 3, 1, 0 };
	struct board *b = run(&c);

	(void)state;
	says(b, 0, "rate nic3>127.0.0.2 hole: 127.0.0.2 is gone: killed\n");
	says(b, 0, "breaks nic3>127.0.0.2 hole: 127.0.0.2 is gone: killed\n");
	says(b, 0, "wrong_bytes nic3<127.0.0.3/nic3 0\ncompared nic3<127.0.0.3/nic3 much\n");
	says(b, 2, "breaks nic3>127.0.0.1/nic3 0\nrate nic3>127.0.0.1/nic3 10 x\n");
	says(b, 2, "wrong_bytes nic3<127.0.0.2 hole: 127.0.0.2 is gone: killed\n");
	munmap(b, sizeof(*b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_of_two_and_three_run),
		cmocka_unit_test(a_death_costs_what_was_behind_it),
		cmocka_unit_test(who_never_came_costs_its_neighbours_one_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
