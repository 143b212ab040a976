/*
 * test_preflight.c - clocks, strangers, and what is none of them.
 */
#include "harness/checks/check.h"
#include "kernels/busy.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

extern const struct check check_preflight;

/* ---- /proc/PID/stat ------------------------------------------------------------------------- */

#define REST " 1 2 3 4 5 4194560 7 8 9 10 250 50 13 14 20 0 1 0 777 18 19"

static const struct {
	const char *text;
	int rc, pid, parent;
	const char *name;
} stats[] = {
	{ "42 (sleep) S" REST, 0, 42, 1, "sleep" },
	{ "42 (a b) S" REST, 0, 42, 1, "a b" },
	{ "42 (:) R 9 9 9 9 9 9) S" REST, 0, 42, 1, ":) R 9 9 9 9 9 9" },
	{ "42 (() S" REST, 0, 42, 1, "(" },
	{ "42 ()) S" REST, 0, 42, 1, ")" },
	{ "42 () S" REST, 0, 42, 1, "" },
	{ "42 (two\nlines) Z" REST "\n", 0, 42, 1, "two\nlines" },
	{ "", -1 },
	{ "42", -1 },
	{ "42 sleep S" REST, -1 },
	{ "42 (sleep", -1 },
	{ "42 )sleep( S" REST, -1 },
	{ "42 (sleep) S 1 2 3", -1 },
	{ "x (sleep) S" REST, -1 },
};

static void names_cannot_pretend(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stats); i++) {
		struct process p;

		assert_int_equal(process_parse(stats[i].text, &p), stats[i].rc);
		if (stats[i].rc < 0)
			continue;
		assert_int_equal(p.pid, stats[i].pid);
		assert_int_equal(p.parent, stats[i].parent);
		assert_string_equal(p.name, stats[i].name);
		assert_int_equal(p.flags, 4194560);
		assert_true(p.ticks == 300 && p.started == 777);
	}
}

/* ---- strangers ------------------------------------------------------------------------------ */

static void burn(const char *name)
{
	alarm(30); /* of a test that failed nothing stays behind */
	if (name)
		prctl(PR_SET_NAME, name);
	for (volatile unsigned long i = 0;; i++)
		;
}

/* A process that no longer descends from us: its parent is gone. */
static pid_t start_stranger(const char *name)
{
	int ends[2];
	pid_t pid, child;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		child = fork();
		if (child == 0)
			burn(name);
		_exit(write(ends[1], &child, sizeof(child)) != sizeof(child));
	}
	assert_int_equal(read(ends[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ends[0]);
	close(ends[1]);
	return child;
}

static const struct busy_process *find(const struct busy *b, pid_t pid)
{
	for (int i = 0; i < b->kept; i++)
		if (b->first[i].pid == pid)
			return &b->first[i];
	return NULL;
}

static struct busy look(double share)
{
	struct busy b = { .seconds = 0.5, .share = share };
	struct error err;
	struct machine *m = real_kernels.machine_open("", &err);

	assert_non_null(m);
	assert_int_equal(real_kernels.busy(m, &b, &err), 0);
	real_kernels.machine_close(m);
	return b;
}

/* The machine that tests run on may be busy; so only processes of our own are looked for. */
static void strangers_are_found_and_children_are_not(void **state)
{
	pid_t child = fork(), stranger;
	struct busy b;

	(void)state;
	if (child == 0)
		burn(NULL);
	stranger = start_stranger("odd) R 1\x1b[2J");
	b = look(0.02);
	assert_true(b.count >= 1);
	assert_null(find(&b, child));
	assert_null(find(&b, getpid()));
	assert_non_null(find(&b, stranger));
	assert_string_equal(find(&b, stranger)->name, "odd) R 1?[2J");
	assert_true(find(&b, stranger)->share > 0.02 && find(&b, stranger)->share < 1.5);
	b = look(3); /* no process of one thread gets there */
	assert_null(find(&b, stranger));
	kill(stranger, SIGKILL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* ---- the check ------------------------------------------------------------------------------ */

struct record {
	struct text said;
};

static void on_figure(void *arg, const char *metric, const char *subject, const double *v, int n)
{
	struct record *r = arg;

	assert_int_equal(n, 1);
	text_addf(&r->said, "%s%s=%g\n", metric, subject, v[0]);
}

static void on_absent(void *arg, const char *metric, const char *subject, const char *why, int hole)
{
	struct record *r = arg;

	text_addf(&r->said, "%s%s %s: %s\n", metric, subject, hole ? "hole" : "na", why);
}

static void on_note(void *arg, const char *text)
{
	struct record *r = arg;

	text_addf(&r->said, "note: %s\n", text);
}

static struct busy told; /* what the machine below shows */
static int told_rc;

static int tell_busy(struct machine *m, struct busy *job, struct error *err)
{
	(void)m;
	assert_true(job->seconds == 1 && job->share == 0.2);
	job->count = told.count;
	job->kept = told.kept;
	job->is_apart = told.is_apart;
	memcpy(job->first, told.first, sizeof(told.first));
	return told_rc < 0 ? error_set(err, "no way") : told_rc;
}

static char *check(struct clock_offset clock, const char *const *knobs, int rc)
{
	static const struct kernels hw = { .name = "told", .busy = tell_busy };
	struct record r;
	const struct sink sink = {
		.figure = on_figure, .absent = on_absent, .note = on_note, .arg = &r
	};
	static const char *const presets[] = { NULL, NULL, NULL };
	struct job job = { .hw = &hw, .unit = "", .node = "n1", .clock = clock, .sink = &sink };
	struct error err = { "" };

	text_init(&r.said);
	job.knobs = (struct knobs){ .check = &check_preflight, .values = knobs ? knobs : presets };
	assert_int_equal(check_preflight.run(&job, &err), rc);
	text_add(&r.said, err.text);
	return text_detach(&r.said);
}

static const struct {
	struct clock_offset clock;
	const char *want;
} clocks[] = {
	{ { 1, 0, 0.001 }, "clock_offset=0\n" },
	{ { 1, 0.3, 0.4 }, "clock_offset=0\n" },
	{ { 1, 2.5, 0.5 }, "clock_offset=2\n" },
	{ { 1, -2.5, 0.5 }, "clock_offset=2\n" },
	{ { 1, -3600, 0 }, "clock_offset=3600\n" },
	{ { 0, 0, 0 }, "clock_offset hole: the controller could not read this node's clock\n" },
	{ { 1, 0, 0.51 },
	  "clock_offset hole: the clock could not be read more closely than +-0.51 s\n" },
	{ { 1, 9, 60 },
	  "clock_offset hole: the clock could not be read more closely than +-60 s\n" },
};

static void clocks_are_told_as_far_as_they_are_known(void **state)
{
	(void)state;
	told = (struct busy){ 0 };
	told_rc = 0;
	for (size_t i = 0; i < ARRAY_SIZE(clocks); i++) {
		char *said = check(clocks[i].clock, NULL, RUN_OK);
		char *want = xasprintf("%sforeign=0\n", clocks[i].want);

		assert_string_equal(said, want);
		free(want);
		free(said);
	}
}

static const struct {
	int rc;
	struct busy busy;
	const char *want;
} crowds[] = {
	{ 0,
	  { .is_apart = 1 },
	  "note: this is a process namespace of its own: what runs outside of it was not looked "
	  "at\nforeign=0\n" },
	{ 0,
	  { .count = 1, .kept = 1, .first = { { 7, "make", 0.994 } } },
	  "foreign hole: others are at work here: process 7 (make) at 99% of a processor\n" },
	{ 0,
	  { .count = 6, .kept = 2, .first = { { 7, "make", 64 }, { 8, "a) b", 0.21 } } },
	  "foreign hole: others are at work here: process 7 (make) at 6400% of a processor, "
	  "process 8 (a) b) at 21% of a processor, and 4 more\n" },
	{ 0,
	  { .count = 7,
	    .kept = 7,
	    .first = { { 1, "a", 1 },
		       { 2, "b", 1 },
		       { 3, "c", 1 },
		       { 4, "d", 1 },
		       { 5, "e", 1 },
		       { 6, "f", 1 },
		       { 7, "g", 1 } } },
	  "foreign hole: others are at work here: process 1 (a) at 100% of a processor, "
	  "process 2 (b) at 100% of a processor, process 3 (c) at 100% of a processor, "
	  "process 4 (d) at 100% of a processor, process 5 (e) at 100% of a processor, and 2 "
	  "more\n" },
	{ 1, { 0 }, "foreign na: a recorded machine runs nothing\n" },
	{ -1, { 0 }, "foreign hole: no way\n" },
};

static void strangers_are_holes_with_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(crowds); i++) {
		char *said, *want = xasprintf("clock_offset=0\n%s", crowds[i].want);

		told = crowds[i].busy;
		told_rc = crowds[i].rc;
		said = check((struct clock_offset){ 1, 0, 0 }, NULL, RUN_OK);
		assert_string_equal(said, want);
		free(want);
		free(said);
	}
}

static void senseless_knobs_are_refused(void **state)
{
	static const char *const knobs[][3] = { { "0s", "20%" }, { "2h", "20%" }, { "1s", "1%" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		char *said = check((struct clock_offset){ 1, 0, 0 }, knobs[i], RUN_ERROR);

		assert_non_null(strstr(said, " must be "));
		free(said);
	}
}

static void a_recorded_machine_runs_nothing(void **state)
{
	struct busy b = { .seconds = 0.1, .share = 0.2 };
	struct error err;
	char folder[] = "/tmp/preflight.XXXXXX";
	struct machine m = { .root = folder };

	(void)state;
	assert_int_equal(machine_busy(&m, &b, &err), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_cannot_pretend),
		cmocka_unit_test(strangers_are_found_and_children_are_not),
		cmocka_unit_test(clocks_are_told_as_far_as_they_are_known),
		cmocka_unit_test(strangers_are_holes_with_names),
		cmocka_unit_test(senseless_knobs_are_refused),
		cmocka_unit_test(a_recorded_machine_runs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
