/*
 * test_telemetry_files.c - from a node's lines to RUN/telemetry/ and to the moment of a finding.
 */
#include "harness/telemetry.h"

#include <math.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { START = 1795268000, SECONDS = 300, SERIES = 5, EVENT_AT = 187, PIECE = 200 };

static const struct sample_series list[SERIES] = {
	{ "gpu3", "power_w", "", SERIES_LEVEL, 0.1, 10 },
	{ "gpu3", "clock_mhz", "", SERIES_LEVEL, 1, 30 },
	{ "gpu4", "power_w", "", SERIES_LEVEL, 0.1, 10 },
	{ "nic3", "port_rcv_bytes", "", SERIES_FLOW, 1048576, 200e6 },
	{ "", "fan_rpm", "", SERIES_LEVEL, 10, 300 },
};

/* GPU 3 falls off at EVENT_AT; a second later the traffic of its NIC ends. Fans are restless. */
static double value_of(int i, int second)
{
	int is_over = second >= EVENT_AT;

	switch (i) {
	case 0:
		return is_over ? 88 : 700 + second % 5;
	case 1:
		return is_over ? 210 : 1755;
	case 2:
		return 690 + second % 7;
	case 3:
		return 1048576.0 * 40000 * (second <= EVENT_AT + 1 ? second : EVENT_AT + 1);
	default:
		return second % 2 ? 9000 : 4000;
	}
}

struct node {
	struct telemetry_files *files;
	struct store *store;
	char name[16];
	int n;
};

/* As an agent passes an event on, and the controller takes it. */
static int pass_on(struct node *x, json_t *object, struct error *err)
{
	struct error no;
	struct event ev;
	char *line;
	int rc;

	json_object_set_new(object, "at", json_string(x->name));
	json_object_set_new(object, "n", json_integer(++x->n));
	line = event_line(object, &no);
	assert_non_null(line);
	assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &no), 0);
	rc = telemetry_files_take(x->files, &ev, line, strlen(line) - 1, err);
	event_release(&ev);
	free(line);
	return rc;
}

static void hear(void *arg, json_t *event)
{
	struct error err;

	assert_int_equal(pass_on(arg, event, &err), 0);
}

static json_t *piece_of(int i, const unsigned char *data, size_t len)
{
	char text[sodium_base64_ENCODED_LEN(PIECE, sodium_base64_VARIANT_ORIGINAL)];
	json_t *event = event_new(EV_FULL);

	sodium_bin2base64(text, sizeof(text), data, len, sodium_base64_VARIANT_ORIGINAL);
	json_object_set_new(event, "i", json_integer(i));
	json_object_set_new(event, "z", json_string(text));
	return event;
}

static json_t *last_of(int i, const unsigned char *data, size_t len, int is_wrong)
{
	json_t *event = event_new(EV_FULL);

	json_object_set_new(event, "i", json_integer(i));
	json_object_set_new(event, "bytes", json_integer((json_int_t)len));
	json_object_set_new(event, "crc", json_integer(crc32c(data, len) ^ (uint32_t)is_wrong));
	return event;
}

/* What may go wrong on the way of the pieces. */
enum trouble { NONE, TWICE, MISSING, NO_END, WRONG_SUM, NONSENSE, NO_BASE64 };

static int send_full(struct node *x, enum trouble trouble, struct error *err)
{
	static const unsigned char nonsense[300] = "this was never packed by a node";
	int64_t lost;
	size_t len;
	const unsigned char *data = store_data(x->store, &len, &lost);
	int i = 0, rc = 0;

	if (trouble == NONSENSE) {
		data = nonsense;
		len = sizeof(nonsense);
	}
	assert_true(len > PIECE);
	for (size_t at = 0; at < len && rc == 0; at += PIECE, i++) {
		size_t n = len - at < PIECE ? len - at : PIECE;
		json_t *event = piece_of(i, data + at, n);

		if (trouble == NO_BASE64 && i == 1)
			json_object_set_new(event, "z", json_string("%%%"));
		if (trouble == MISSING && i == 1) {
			json_decref(event);
			continue;
		}
		rc = pass_on(x, event, err);
		if (trouble == TWICE && rc == 0)
			rc = pass_on(x, piece_of(i, data + at, n), err);
	}
	if (rc == 0 && trouble != NO_END)
		rc = pass_on(x, last_of(i, data, len, trouble == WRONG_SUM), err);
	return rc;
}

static void make_run(struct node *x, const char *run, double ahead)
{
	struct wire *w = wire_new(hear, x);
	struct error err;
	int64_t from;

	x->files = telemetry_files_open(run, &err);
	x->store = store_new(1 << 20);
	snprintf(x->name, sizeof(x->name), "n1");
	assert_non_null(x->files);
	for (int second = 0; second < SECONDS; second++) {
		double values[SERIES], t = START + second + ahead;
		const struct sampling now = { list, values, SERIES };

		for (int i = 0; i < SERIES; i++)
			values[i] = value_of(i, second);
		if (second == 30)
			wire_mark(w, t, "gpu4", "throttle", "throttle set: power limit");
		if (second == 50)
			wire_mark(w, t, "gpu4", "ecc_corrected", "ecc_corrected 0 to 1");
		if (second == EVENT_AT)
			wire_mark(w, t, "gpu3", "xid", "XID 79: NVRM: Xid (PCI:0000:41:00): 79");
		if (second == EVENT_AT + 1)
			wire_mark(w, t, "nic3", "link", "Link is Down");
		if (second == EVENT_AT + 3)
			wire_mark(w, t, "gpu3", "away", "power_w (1 series)");
		if (second == 250)
			wire_mark(w, t, "", "oom", "Out of memory: Killed process 1");
		wire_take(w, t, &now);
		assert_int_equal(store_add(x->store, llround(t * 1e3), &now, &from), 0);
	}
	wire_end(w, START + SECONDS + ahead);
	wire_free(w);
}

static void node_release(struct node *x)
{
	telemetry_files_close(x->files);
	store_free(x->store);
}

static const struct telemetry_wish all = { .from = START, .to = START + SECONDS };

static int setup(void **state)
{
	char *folder = xstrdup("/tmp/test-tele.XXXXXX");

	if (sodium_init() < 0 || !mkdtemp(folder))
		return -1;
	*state = folder;
	return 0;
}

static int teardown(void **state)
{
	char *command = xasprintf("rm -r %s", (char *)*state);
	int rc = system(command);

	free(command);
	free(*state);
	return rc;
}

/* ---- pieces -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum trouble trouble;
	int is_complete;
	const char *says; /* NULL: nothing */
} piece_cases[] = {
	{ "in order", NONE, 1, NULL },
	{ "each twice", TWICE, 1, NULL },
	{ "one is missing", MISSING, 0, "what n1 kept in full is lost: piece 1 is missing" },
	{ "cut off", NO_END, 0, NULL },
	{ "wrong sum", WRONG_SUM, 0, "what n1 kept in full is lost: its checksum is wrong" },
	{ "nonsense with a right sum", NONSENSE, 0,
	  "what n1 kept in full is lost: no block of telemetry begins here" },
	{ "no base64", NO_BASE64, 0, "what n1 kept in full is lost: a piece is no base64" },
};

static void test_pieces(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(piece_cases); c++) {
		char folder[] = "/tmp/test-tele.XXXXXX", *path, *command;
		struct error err = { "" };
		struct node x = { 0 };
		struct telemetry *t;
		int rc;

		assert_non_null(mkdtemp(folder));
		make_run(&x, folder, 0);
		rc = send_full(&x, piece_cases[c].trouble, &err);
		if ((rc < 0) != (piece_cases[c].says != NULL) ||
		    (piece_cases[c].says && strcmp(piece_cases[c].says, err.text) != 0))
			fail_msg("%s: %d, \"%s\"", piece_cases[c].name, rc, err.text);
		assert_int_equal(telemetry_files_complete(x.files, "n1"),
				 piece_cases[c].is_complete);
		path = xasprintf("%s/telemetry/n1.full", folder);
		assert_int_equal(access(path, F_OK) == 0, piece_cases[c].is_complete);
		free(path);
		/* without it the lines serve, ten seconds a point */
		t = telemetry_load(folder, "n1", &all, &err);
		assert_non_null(t);
		assert_true(t->every == (piece_cases[c].is_complete ? 1 : 10));
		assert_int_equal(t->damaged, 0);
		assert_int_equal(t->mark_count, 6);
		telemetry_free(t);
		/* a lost one is told once, and the next one, of a resumed run, is taken */
		if (rc < 0)
			assert_int_equal(send_full(&x, piece_cases[c].trouble, &err), 0);
		assert_int_equal(send_full(&x, NONE, &err), 0);
		assert_true(telemetry_files_complete(x.files, "n1"));
		node_release(&x);
		command = xasprintf("rm -r %s", folder);
		assert_int_equal(system(command), 0);
		free(command);
	}
}

static void test_hostile_name(void **state)
{
	struct error err;
	struct telemetry_files *f = telemetry_files_open(*state, &err);
	struct event ev;
	char *line = event_line(json_pack("{s:s, s:s, s:f}", "e", "mark", "at", "../n1", "t", 1.0),
				&err);

	assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
	assert_int_equal(telemetry_files_take(f, &ev, line, strlen(line) - 1, &err), -1);
	assert_null(telemetry_load(*state, "../n1", &all, &err));
	assert_null(telemetry_load(*state, "n1", &all, &err));
	assert_non_null(strstr(err.text, "there is no telemetry of n1"));
	event_release(&ev);
	free(line);
	telemetry_files_close(f);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void test_series(void **state)
{
	struct error err;
	struct node x = { 0 };
	const struct telemetry_series *s;
	struct telemetry *t;

	make_run(&x, *state, 100);
	assert_int_equal(send_full(&x, NONE, &err), 0);
	t = telemetry_load(
		*state, "n1",
		&(struct telemetry_wish){ .ahead = 100, .from = START + 20, .to = START + 29 },
		&err);
	assert_non_null(t);
	assert_int_equal(t->series_count, SERIES);
	s = telemetry_find(t, "gpu3", "power_w");
	assert_int_equal(s->count, 10);
	assert_true(s->points[0].t == START + 20);
	assert_true(fabs(s->points[3].mean - value_of(0, 23)) < 1e-9);
	s = telemetry_find(t, "nic3", "port_rcv_bytes");
	assert_int_equal(s->count, 10);
	assert_true(fabs(s->points[5].mean - 1048576.0 * 40000) < 1);
	assert_null(telemetry_find(t, "nic3", "power_w"));
	telemetry_free(t);
	/* only some, and put together */
	t = telemetry_load(
		*state, "n1",
		&(struct telemetry_wish){ .ahead = 100,
					  .from = START,
					  .to = START + SECONDS,
					  .bucket = 60,
					  .patterns = (const char *[]){ "gpu*.power_w", NULL } },
		&err);
	assert_int_equal(t->series_count, 2);
	s = telemetry_find(t, "gpu3", "power_w");
	assert_int_equal(s->count, 5);
	assert_true(s->points[3].t == START + 180);
	assert_true(s->points[3].least == 88 && s->points[3].most == 704);
	assert_true(fabs(s->points[0].mean - 702) < 1e-6);
	telemetry_free(t);
	node_release(&x);
}

/* The first lines of a stretch are found by halving: all of them, and no others. */
static void test_long_file(void **state)
{
	struct text lines;
	struct telemetry *t;
	struct error err;

	(void)state;
	text_init(&lines);
	for (int i = 0; i < 30000; i++) {
		char *line = event_line(json_pack("{s:s, s:f, s:s, s:s, s:s}", "e", "mark", "t",
						  (double)START + i, "part", "", "what", "x",
						  "text", "y"),
					&err);

		text_add(&lines, i % 1000 == 7 ? "{damaged}\n" : line);
		free(line);
	}
	t = telemetry_parse(lines.data, lines.len, NULL, 0,
			    &(struct telemetry_wish){ .from = START + 20001, .to = START + 20010 });
	assert_int_equal(t->mark_count, 9); /* one of them was damaged */
	assert_true(t->marks[0].t == START + 20001);
	assert_in_range(t->damaged, 1, 3);
	telemetry_free(t);
	t = telemetry_parse(lines.data, lines.len, NULL, 0, &(struct telemetry_wish){ .to = 1e12 });
	assert_int_equal(t->mark_count, 30000 - 30);
	telemetry_free(t);
	text_release(&lines);
}

/* ---- moments ------------------------------------------------------------------------------- */

static const struct {
	const char *part;
	double from, to;
	int is_full;
	const char *text; /* NULL: there is none */
} moments[] = {
	/* 1795268187 is 2026-11-21T13:36:27Z */
	{ "gpu3", 175, 290, 1,
	  "from 13:36:27 (12 s into the step): XID 79: NVRM: Xid (PCI:0000:41:00): 79; also nic3 "
	  "Link is Down; at that second nic3.port_rcv_bytes 4.194e+10 to 0, gpu3.power_w 702 to "
	  "88, "
	  "gpu3.clock_mhz 1755 to 210" },
	{ "gpu3>gpu5", 175, 290, 1,
	  "from 13:36:27 (12 s into the step): gpu3 XID 79: NVRM: Xid (PCI:0000:41:00): 79; also "
	  "nic3 Link is Down; at that second nic3.port_rcv_bytes 4.194e+10 to 0, gpu3.power_w 702 "
	  "to "
	  "88, gpu3.clock_mhz 1755 to 210" },
	/* by the lines alone: windows of ten seconds */
	{ "gpu3", 175, 290, 0,
	  "from 13:36:27 (12 s into the step): XID 79: NVRM: Xid (PCI:0000:41:00): 79; also nic3 "
	  "Link is Down; within 20 s of it nic3.port_rcv_bytes 4.194e+10 to 0, gpu3.clock_mhz 1755 "
	  "to 210, gpu3.power_w 702 to 88" },
	/* nothing of the part itself: what the node said */
	{ "disk0", 100, 290, 1,
	  "from 13:37:30 (150 s into the step): Out of memory: Killed process 1" },
	{ "gpu4", 0, 290, 1, "from 13:34:10 (50 s into the step): ecc_corrected 0 to 1" },
	/* what a healthy part does as well explains less, but more than nothing */
	{ "gpu4", 25, 45, 1, "from 13:33:50 (5 s into the step): throttle set: power limit" },
	{ "gpu4", 100, 240, 1, NULL },
	{ "", 0, 240, 1, NULL },
	{ "gpu", 175, 240, 1, NULL },
};

static void test_moments(void **state)
{
	char lines_only[64];
	struct error err;
	struct node x = { 0 }, y = { 0 };

	make_run(&x, *state, 0);
	assert_int_equal(send_full(&x, NONE, &err), 0);
	snprintf(lines_only, sizeof(lines_only), "%s/lines", (char *)*state);
	assert_int_equal(mkdir(lines_only, 0777), 0);
	make_run(&y, lines_only, 0);
	for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
		struct telemetry *t =
			telemetry_load(moments[i].is_full ? *state : lines_only, "n1", &all, &err);
		struct moment m = { 0 };
		int found = telemetry_moment(t, moments[i].part, START + moments[i].from,
					     START + moments[i].to, &m);

		if (found != (moments[i].text != NULL) ||
		    (found && strcmp(m.text, moments[i].text) != 0))
			fail_msg("moment %zu of '%s': %s", i, moments[i].part,
				 found ? m.text : "none");
		moment_release(&m);
		telemetry_free(t);
	}
	node_release(&x);
	node_release(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test_setup_teardown(test_hostile_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_series, setup, teardown),
		cmocka_unit_test(test_long_file),
		cmocka_unit_test_setup_teardown(test_moments, setup, teardown),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
