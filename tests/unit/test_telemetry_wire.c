/*
 * test_telemetry_wire.c - which marks a node's readings make, what a window tells, and the bounds
 * of both.
 */
#include "harness/telemetry.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { READINGS = 130, MARKS = 8 };
#define AWAY INFINITY

struct heard {
	struct text marks; /* "12 gpu0 ecc: ecc 0 to 3\n" */
	struct text lines; /* tele lines */
	int line_count, mark_count;
	size_t longest;
	double start;
};

static void hear(void *arg, json_t *event)
{
	struct heard *h = arg;
	struct error err;
	struct event ev;
	char *line = event_line(event, &err);

	if (!line)
		fail_msg("%s", err.text);
	assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
	if (strlen(line) > h->longest)
		h->longest = strlen(line);
	if (ev.kind == EV_MARK) {
		text_addf(&h->marks, "%g %s %s: %s\n", event_number(&ev, "t") - h->start,
			  event_text(&ev, "part"), event_text(&ev, "what"),
			  event_text(&ev, "text"));
		h->mark_count++;
	} else {
		assert_int_equal(ev.kind, EV_TELE);
		text_add(&h->lines, line);
		h->line_count++;
	}
	event_release(&ev);
	free(line);
}

static void heard_init(struct heard *h)
{
	*h = (struct heard){ .start = 1795268000 };
	text_init(&h->marks);
	text_init(&h->lines);
}

static void heard_release(struct heard *h)
{
	text_release(&h->marks);
	text_release(&h->lines);
}

/* ---- marks --------------------------------------------------------------------------------- */

/* Values from second `at` on; the list ends at at 0 behind the first. */
struct from {
	int at;
	double value;
};

static const struct mark_case {
	const char *name, *series;
	enum series_kind kind;
	struct from values[8];
	const char *marks; /* all of them, in order */
} mark_cases[] = {
	{ "a counter that stands still", "ecc", SERIES_ERRORS, { { 0, 5 } }, "" },
	{ "a counter that grows once",
	  "ecc",
	  SERIES_ERRORS,
	  { { 0, 5 }, { 12, 9 } },
	  "12 gpu0 ecc: ecc 5 to 9\n" },
	{ "a counter that goes on growing is told again after a minute, and at the end",
	  "ecc",
	  SERIES_ERRORS,
	  { { 0, 0 }, { 10, 1 }, { 11, 2 }, { 40, 3 }, { 100, 4 } },
	  "10 gpu0 ecc: ecc 0 to 1\n70 gpu0 ecc: ecc 1 to 3\n130 gpu0 ecc: ecc 3 to 4\n" },
	{ "a counter that was reset",
	  "ecc",
	  SERIES_ERRORS,
	  { { 0, 90 }, { 20, 0 } },
	  "20 gpu0 ecc: ecc 90 to 0, it was reset\n" },
	{ "a link that becomes narrower",
	  "lanes",
	  SERIES_STATE,
	  { { 0, 16 }, { 30, 8 } },
	  "30 gpu0 lanes: lanes 16 to 8\n" },
	{ "a link that flaps",
	  "lanes",
	  SERIES_STATE,
	  { { 0, 16 }, { 30, 8 }, { 31, 16 }, { 32, 8 }, { 33, 16 }, { 34, 1 } },
	  "30 gpu0 lanes: lanes 16 to 8\n40 gpu0 lanes: lanes 8 to 1 in 4 changes\n" },
	{ "throttling that comes and goes",
	  "throttle",
	  SERIES_BITS,
	  { { 0, GPU_IDLE },
	    { 20, GPU_HARDWARE_THERMAL },
	    { 22, 0 },
	    { 24, GPU_HARDWARE_THERMAL },
	    { 26, 0 } },
	  "20 gpu0 throttle: throttle set: heat (hardware)\n"
	  "35 gpu0 throttle: throttle no more for 10 s: heat (hardware)\n" },
	{ "throttling from the first second on",
	  "throttle",
	  SERIES_BITS,
	  { { 0, GPU_POWER_BRAKE } },
	  "0 gpu0 throttle: throttle set: power brake\n" },
	{ "bits of something else",
	  "critical_warning",
	  SERIES_BITS,
	  { { 0, 0 }, { 3, 8 } },
	  "3 gpu0 critical_warning: critical_warning set: 8\n" },
	{ "a sensor that goes away and comes back",
	  "power_w",
	  SERIES_LEVEL,
	  { { 0, 700 }, { 50, AWAY }, { 60, 690 } },
	  "50 gpu0 away: power_w (1 series)\n60 gpu0 back: power_w (1 series)\n" },
	{ "a sensor that never was there", "power_w", SERIES_LEVEL, { { 0, AWAY } }, "" },
	{ "a level that jumps is no mark", "power_w", SERIES_LEVEL, { { 0, 700 }, { 9, 80 } }, "" },
	{ "traffic that stops is no mark", "rx_bytes", SERIES_FLOW, { { 0, 0 }, { 9, 5e9 } }, "" },
};

static double value_at(const struct from *values, int second)
{
	double value = values[0].value;

	for (int i = 1; i < 8 && values[i].at; i++)
		if (second >= values[i].at)
			value = values[i].value;
	return value;
}

static void test_marks(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(mark_cases); c++) {
		const struct mark_case *x = &mark_cases[c];
		struct sample_series s = { .part = "gpu0", .kind = x->kind, .unit = 1, .moved = 1 };
		struct heard h;
		struct wire *w;

		heard_init(&h);
		w = wire_new(hear, &h);
		snprintf(s.name, sizeof(s.name), "%s", x->series);
		for (int second = 0; second < READINGS; second++) {
			double value = value_at(x->values, second);

			wire_take(w, h.start + second, &(struct sampling){ &s, &value, 1 });
		}
		wire_end(w, h.start + READINGS);
		if (strcmp(h.marks.data, x->marks) != 0)
			fail_msg("%s:\n%sinstead of\n%s", x->name, h.marks.data, x->marks);
		wire_free(w);
		heard_release(&h);
	}
}

/* A GPU that falls off takes all its series along: one mark, and no other part in it. */
static void test_away_together(void **state)
{
	const struct sample_series s[] = {
		{ "gpu0", "power_w", "", SERIES_LEVEL, 1, 1 },
		{ "gpu1", "power_w", "", SERIES_LEVEL, 1, 1 },
		{ "gpu0", "clock_mhz", "", SERIES_LEVEL, 1, 1 },
	};
	struct heard h;
	struct wire *w;

	(void)state;
	heard_init(&h);
	w = wire_new(hear, &h);
	wire_take(w, h.start, &(struct sampling){ s, (double[]){ 1, 2, 3 }, 3 });
	wire_take(w, h.start + 1, &(struct sampling){ s, (double[]){ AWAY, 2, AWAY }, 3 });
	wire_take(w, h.start + 2, &(struct sampling){ s, (double[]){ AWAY, 2, AWAY }, 3 });
	assert_string_equal(h.marks.data, "1 gpu0 away: power_w, clock_mhz (2 series)\n");
	wire_free(w);
	heard_release(&h);
}

/* A storm of one kind leaves room for others, is counted, and stays inside the budget. */
static void test_storm(void **state)
{
	struct heard h;
	struct wire *w;

	(void)state;
	heard_init(&h);
	w = wire_new(hear, &h);
	for (int i = 0; i < 500; i++)
		wire_mark(w, h.start, "nic0", "link", "Link is Down");
	wire_mark(w, h.start, "gpu3", "xid", "XID 79");
	assert_int_equal(h.mark_count, 41);
	assert_non_null(strstr(h.marks.data, "0 gpu3 xid: XID 79\n"));
	wire_end(w, h.start + 5);
	assert_non_null(strstr(h.marks.data, "5  link: 460 marks of this kind were left out"));

	for (int i = 0; i < 10000; i++) {
		char what[24];

		snprintf(what, sizeof(what), "kind%d", i);
		wire_mark(w, h.start, "", what, "x");
	}
	assert_in_range(h.mark_count, TELEMETRY_MARKS, TELEMETRY_MARKS + 5);
	wire_free(w);
	heard_release(&h);
}

/* ---- windows ------------------------------------------------------------------------------- */

static void take(struct wire *w, struct heard *h, int second, const struct sample_series *s,
		 double a, double b)
{
	const double values[] = { a, b };

	wire_take(w, h->start + second, &(struct sampling){ s, values, 2 });
}

static void test_window(void **state)
{
	static const struct sample_series s[] = {
		{ "gpu0", "power_w", "", SERIES_LEVEL, 0.1, 10 },
		{ "nic0", "rx_bytes", "", SERIES_FLOW, 1, 1000 },
	};
	struct heard h;
	struct wire *w;

	(void)state;
	heard_init(&h);
	w = wire_new(hear, &h);
	for (int i = 0; i < 10; i++)
		take(w, &h, i, s, i == 4 ? 500 : 700, 1e6 * i);
	assert_int_equal(h.line_count, 1);
	assert_non_null(strstr(
		h.lines.data,
		"\"w\":10,\"v\":{\"gpu0.power_w\":[500,680,700],\"nic0.rx_bytes\":[1000000]}"));
	/* nothing moved, a flow that was not read, and a counter that went back */
	text_clear(&h.lines);
	for (int i = 10; i < 20; i++)
		take(w, &h, i, s, 683, i == 19 ? 5 : NAN);
	assert_non_null(strstr(h.lines.data, "\"v\":{\"gpu0.power_w\":[683]}"));
	text_clear(&h.lines);
	for (int i = 20; i < 30; i++)
		take(w, &h, i, s, 690, 5 + i);
	assert_non_null(strstr(h.lines.data, "\"v\":{\"nic0.rx_bytes\":"));
	assert_null(strstr(h.lines.data, "power_w"));
	/* seconds that were missed make a window of fewer seconds, never a longer one */
	text_clear(&h.lines);
	for (int i = 0; i < 3; i++)
		take(w, &h, 30 + 5 * i, s, 100, 5);
	take(w, &h, 41, s, 100, 5);
	assert_non_null(strstr(h.lines.data, "\"w\":4,"));
	wire_free(w);
	heard_release(&h);
}

/* Everything is told again within the promised time, also beside series that never rest. */
static void test_told_again(void **state)
{
	enum { RESTLESS = 200, CALM = 300, COUNT = RESTLESS + CALM };
	static struct sample_series s[COUNT];
	static double values[COUNT];
	static int told_at[COUNT];
	int seconds = 3 * TELEMETRY_AGAIN, widest = 0;
	struct heard h;
	struct wire *w;

	(void)state;
	heard_init(&h);
	w = wire_new(hear, &h);
	for (int i = 0; i < COUNT; i++) {
		s[i] = (struct sample_series){ .kind = i < RESTLESS ? SERIES_LEVEL : SERIES_ERRORS,
					       .unit = 1 };
		snprintf(s[i].part, sizeof(s[i].part), "gpu%d", i);
		snprintf(s[i].name, sizeof(s[i].name), "some_name_w");
	}
	for (int second = 0; second < seconds; second++) {
		for (int i = 0; i < RESTLESS; i++)
			values[i] = (second * 7919 + i * 31) % 1000;
		wire_take(w, h.start + second, &(struct sampling){ s, values, COUNT });
		for (int i = 0; i < COUNT && h.lines.len; i++) {
			char name[80];

			snprintf(name, sizeof(name), "\"gpu%d.some_name_w\"", i);
			if (!strstr(h.lines.data, name))
				continue;
			if (second - told_at[i] > widest)
				widest = second - told_at[i];
			told_at[i] = second;
		}
		text_clear(&h.lines);
	}
	for (int i = 0; i < COUNT; i++)
		if (seconds - told_at[i] > widest)
			widest = seconds - told_at[i];
	assert_in_range(h.line_count, seconds / 10, seconds / 10 * TELEMETRY_LINES);
	assert_in_range(h.longest, 100, EVENT_MOST - 250); /* room for the longest name of a node */
	assert_in_range(widest, TELEMETRY_AGAIN / 2, TELEMETRY_AGAIN + 2 * TELEMETRY_WINDOW);
	wire_free(w);
	heard_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks),      cmocka_unit_test(test_away_together),
		cmocka_unit_test(test_storm),      cmocka_unit_test(test_window),
		cmocka_unit_test(test_told_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
