/*
 * test_net_pair.c - what the check of pairs says of a network that is told beforehand.
 */
#include "harness/checks/check.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

extern const struct check check_net_pair;

/* A network and a partner as the case wants them, and all that the check said. */
struct told_net {
	struct meeting meeting;
	const char *peers, *place; /* place: what the partner gives out; NULL: it is gone */
	struct net_sum sum;
	int busy[2]; /* windows with traffic from the other: of the first run, of the second */
	int pings;
	const char *fails; /* the primitive that fails */
	char met[NET_PLACE];
	int runs, closed;
	double order[3]; /* when the ping and the runs came, since the start */
	double began;
	struct text said;
};

static struct told_net net; /* of the case that runs now */

static int fails(const char *what, struct error *err)
{
	return net.fails && !strcmp(net.fails, what) ? error_set(err, "it fails") : 0;
}

#define OWN "10.0.0.1 4711 0123456789abcdef0123456789abcdef"

static int told_open(struct machine *m, const struct net_way *way, struct meeting **x,
		     char place[NET_PLACE], struct error *err)
{
	(void)m;
	if (fails("open", err) < 0)
		return -1;
	assert_int_equal(way->streams, 4);
	text_addf(&net.said, "open %s\n", way->peer);
	*x = &net.meeting;
	strcpy(place, OWN);
	return 0;
}

static int told_meet(struct meeting *x, const char *place, struct error *err)
{
	(void)x;
	snprintf(net.met, sizeof(net.met), "%s", place);
	return fails("meet", err);
}

static int told_ping(struct meeting *x, struct net_pings *job, struct error *err)
{
	struct told_net *t = (struct told_net *)x;

	t->order[0] = clock_now() - t->began;
	job->count = t->pings;
	for (int i = 0; i < t->pings; i++)
		job->us[i] = 10 + i / (t->pings / 10 ? t->pings / 10 : 1);
	return fails("ping", err);
}

static int told_send(struct meeting *x, struct net_rate *job, struct error *err)
{
	struct told_net *t = (struct told_net *)x;

	if (fails(t->runs ? "both" : "send", err) < 0)
		return -1;
	t->order[1 + t->runs] = clock_now() - t->began;
	job->busy_windows = t->busy[t->runs];
	job->retransmits = 3;
	for (int i = 0; i < job->windows; i++)
		job->gbs[i] = 1 + t->runs;
	t->runs++;
	return 0;
}

static int told_end(struct meeting *x, int runs, struct net_sum *sum, struct error *err)
{
	assert_int_equal(runs, 2);
	(void)x;
	*sum = net.sum;
	return fails("end", err);
}

static void told_close(struct meeting *x)
{
	net.closed += x != NULL;
}

static const struct net told_net = {
	.name = "told",
	.open = told_open,
	.meet = told_meet,
	.ping = told_ping,
	.send = told_send,
	.end = told_end,
	.close = told_close,
};

static const struct kernels told = { .name = "told", .tcp = &told_net };

static void on_figure(void *arg, const char *metric, const char *subject, const double *v, int n)
{
	(void)arg;
	text_addf(&net.said, "%s %s %d x %g\n", metric, subject, n, v[0]);
}

static void on_absent(void *arg, const char *metric, const char *subject, const char *why, int hole)
{
	(void)arg;
	text_addf(&net.said, "%s %s %s: %s\n", metric, subject, hole ? "hole" : "na", why);
}

static void on_note(void *arg, const char *text)
{
	(void)arg;
	text_addf(&net.said, "note: %s\n", text);
}

static int on_share(void *arg, const char *to, const char *key, const char *value,
		    struct error *err)
{
	(void)arg;
	(void)to;
	(void)err;
	text_addf(&net.said, "share %s %s\n", key, value);
	return 0;
}

static int on_take(void *arg, const char *from, const char *key, char **value, struct error *err)
{
	(void)arg;
	assert_string_equal(key, "place");
	if (!net.place)
		return error_set(err, "%s is gone: it died", from);
	*value = xstrdup(net.place);
	return 0;
}

static int on_begin(void *arg, struct error *err)
{
	(void)arg;
	(void)err;
	net.began = clock_now();
	return 0;
}

#define PLACE "10.0.0.2 5000 fedcba9876543210fedcba9876543210"

/* The check on node "a"; returns what it said and, at the end, its error. The caller frees it. */
static char *run(struct told_net how, int want)
{
	const struct sink sink = { .figure = on_figure,
				   .absent = on_absent,
				   .note = on_note,
				   .share = on_share,
				   .take = on_take,
				   .begin = on_begin };
	const char *values[] = { NULL, "6", "10ms", NULL, NULL, how.peers ? how.peers : "a,b" };
	struct job job = { .hw = &told, .unit = "r1", .node = "a", .sink = &sink };
	struct error err = { "" };

	net = how;
	text_init(&net.said);
	job.knobs = (struct knobs){ .check = &check_net_pair, .values = values };
	assert_int_equal(check_net_pair.run(&job, &err), want);
	text_add(&net.said, err.text);
	return text_detach(&net.said);
}

#define OPEN "open b\nshare place " OWN "\n"
#define PINGS "round_trip >b 10 x 10\nround_trip_p99 >b 10 x 10\n"
#define NO_PATH "note: the address belongs to no interface with counters, so no path is proved\n"
#define REST "wrong_bytes <b 1 x 0\nretransmits >b 1 x 6\n"

static const struct {
	const char *name;
	struct told_net how;
	int rc;
	const char *said;
} cases[] = {
	{ "all is well",
	  { .place = PLACE, .pings = 100, .busy = { 0, 6 } },
	  RUN_OK,
	  OPEN PINGS "rate >b 6 x 1\nrate_both >b 6 x 2\n" REST NO_PATH },
	{ "a path that is proved, wrong bytes, strangers",
	  { .place = PLACE,
	    .pings = 100,
	    .busy = { 0, 6 },
	    .sum = { .sent = 100,
		     .counted = 100,
		     .wrong_bytes = 7,
		     .strangers = 2,
		     .interface = "eth0" } },
	  RUN_OK,
	  OPEN PINGS
	  "rate >b 6 x 1\nrate_both >b 6 x 2\nwrong_bytes <b 1 x 7\nretransmits >b 1 x 6\n"
	  "note: 2 connections came without our token and were closed\n"
	  "note: 100 bytes to b through eth0\n" },
	{ "the bytes went another way",
	  { .place = PLACE,
	    .pings = 100,
	    .busy = { 0, 6 },
	    .sum = { .sent = 100, .counted = 99, .interface = "eth0" } },
	  RUN_OK,
	  OPEN PINGS
	  "rate >b hole: the bytes did not go through eth0: it counted 99 of 100\n"
	  "rate_both >b hole: the bytes did not go through eth0: it counted 99 of 100\n" REST
	  "note: 100 bytes to b through eth0\n" },
	{ "half of the windows are off",
	  { .place = PLACE, .pings = 100, .busy = { 3, 3 } },
	  RUN_OK,
	  OPEN PINGS "rate >b 6 x 1\nrate_both >b 6 x 2\n" REST NO_PATH },
	{ "most are",
	  { .place = PLACE, .pings = 100, .busy = { 4, 2 } },
	  RUN_OK,
	  OPEN PINGS
	  "rate >b hole: b sent meanwhile: the two did not begin together\n"
	  "rate_both >b hole: b did not send meanwhile: the two did not begin together\n" REST
		  NO_PATH },
	{ "few pings",
	  { .place = PLACE, .pings = 9, .busy = { 0, 6 } },
	  RUN_OK,
	  OPEN "round_trip >b hole: only 9 round trips in 0.8 s\n"
	       "rate >b 6 x 1\nrate_both >b 6 x 2\n" REST NO_PATH },
	{ "no way to it", { .fails = "open" }, RUN_ERROR, "it fails" },
	{ "it is gone", { .place = NULL }, RUN_ERROR, OPEN "b is gone: it died" },
	{ "it does not meet", { .place = PLACE, .fails = "meet" }, RUN_ERROR, OPEN "b: it fails" },
	{ "pings fail",
	  { .place = PLACE, .fails = "ping", .pings = 100 },
	  RUN_ERROR,
	  OPEN "b: it fails" },
	{ "sending fails",
	  { .place = PLACE, .fails = "send", .pings = 100 },
	  RUN_ERROR,
	  OPEN PINGS "b: it fails" },
	{ "sending both ways fails",
	  { .place = PLACE, .fails = "both", .pings = 100 },
	  RUN_ERROR,
	  OPEN PINGS "b: it fails" },
	{ "its own data do not come",
	  { .place = PLACE, .fails = "end", .pings = 100 },
	  RUN_ERROR,
	  OPEN PINGS "b: it fails" },
	{ "alone", { .peers = "a" }, RUN_ERROR, "a pair is two nodes, and here are 1" },
	{ "three", { .peers = "a,b,c" }, RUN_ERROR, "a pair is two nodes, and here are 3" },
	{ "not one of them", { .peers = "b,c" }, RUN_ERROR, "a is no member of this step" },
};

static void everything_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *said;

		print_message("  %s\n", cases[i].name);
		said = run(cases[i].how, cases[i].rc);
		assert_string_equal(said, cases[i].said);
		assert_int_equal(net.closed, strstr(said, "open b") != NULL);
		free(said);
	}
}

/* What the partner gives out came over the wire and may be anything: the network looks at it. */
static void places_are_passed_on(void **state)
{
	char *said = run((struct told_net){ .place = PLACE, .pings = 100 }, RUN_OK);

	(void)state;
	assert_string_equal(net.met, PLACE);
	free(said);
}

static int is_about(double x, double y)
{
	return x >= y - 0.001 && x < y + 0.5;
}

/* Six windows of 10 ms, one more to warm up, and half a second's gap: 0.57 s for each run. */
static void the_timetable_is_kept(void **state)
{
	char *said = run((struct told_net){ .place = PLACE, .pings = 100 }, RUN_OK);

	(void)state;
	assert_true(is_about(net.order[0], 0));
	assert_true(is_about(net.order[1], 2));
	assert_true(is_about(net.order[2], 2 + 2 * 0.57));
	free(said);
	said = run((struct told_net){ .place = PLACE, .pings = 100, .peers = "A,a" }, RUN_OK);
	assert_true(is_about(net.order[0], 1));
	assert_true(is_about(net.order[1], 2 + 0.57));
	assert_true(is_about(net.order[2], 2 + 2 * 0.57));
	free(said);
}

static void senseless_knobs_are_refused(void **state)
{
	static const char *const bad[][6] = {
		{ NULL, "5", NULL, NULL, NULL, "a,b" },
		{ NULL, "1001", NULL, NULL, NULL, "a,b" },
		{ NULL, NULL, "1ms", NULL, NULL, "a,b" },
		{ NULL, NULL, "2h", NULL, NULL, "a,b" },
		{ NULL, NULL, NULL, "9", NULL, "a,b" },
		{ NULL, NULL, NULL, "2000000", NULL, "a,b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct job job = { .hw = &told, .unit = "r1", .node = "a" };
		struct error err;

		job.knobs = (struct knobs){ .check = &check_net_pair, .values = bad[i] };
		assert_int_equal(check_net_pair.run(&job, &err), RUN_ERROR);
		assert_non_null(strstr(err.text, " must be from "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_told),
		cmocka_unit_test(places_are_passed_on),
		cmocka_unit_test(the_timetable_is_kept),
		cmocka_unit_test(senseless_knobs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
