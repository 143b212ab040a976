/*
 * test_bounds.c - how much of what a node sends is kept: the last line that may come and the first
 * that may not.
 */
#include "harness/bounds.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SHARES = 1000, BYTES = 64 << 20, NONE = -1 };

static const char figures[] = "its agent sends figures of one step without end";
static const char shares[] = "its agent sends texts to other members without end";
static const char lines[] = "its agent sends lines without end";

/* What was sent before, what comes now, what is said of it and what was sent then. */
static const struct {
	const char *name;
	enum event_kind kind;
	size_t len;
	long long bytes;
	int lines, shares; /* NONE: it belongs to no step */
	const char *said;
	long long bytes_then;
	int lines_then, shares_then;
} cases[] = {
	{ "a figure", EV_DATA, 100, 0, 0, 0, NULL, 100, 1, 0 },
	{ "a fact", EV_FACT, 100, 900, 4, 2, NULL, 1000, 5, 2 },
	{ "a note is no figure", EV_NOTE, 80, 0, 3, 3, NULL, 80, 3, 3 },
	{ "nor is an end", EV_END, 80, 0, 3, 3, NULL, 80, 3, 3 },
	{ "a text for others is not in the journal", EV_SHARE, 500, 7, 1, 1, NULL, 7, 1, 2 },
	{ "the last figure", EV_DATA, 9, 0, STEP_LINES_MOST - 1, 0, NULL, 9, STEP_LINES_MOST, 0 },
	{ "one too many", EV_DATA, 9, 0, STEP_LINES_MOST, 0, figures, 9, STEP_LINES_MOST + 1, 0 },
	{ "one fact too many", EV_FACT, 9, 0, STEP_LINES_MOST, 0, figures, 9, STEP_LINES_MOST + 1,
	  0 },
	{ "an end behind the last figure", EV_END, 9, 0, STEP_LINES_MOST, 0, NULL, 9,
	  STEP_LINES_MOST, 0 },
	{ "the last text for others", EV_SHARE, 9, 0, 0, SHARES - 1, NULL, 0, 0, SHARES },
	{ "one text too many", EV_SHARE, 9, 0, 0, SHARES, shares, 0, 0, SHARES + 1 },
	{ "the last byte", EV_DATA, 50, BYTES - 50, 0, 0, NULL, BYTES, 1, 0 },
	{ "one byte too many", EV_DATA, 51, BYTES - 50, 0, 0, lines, BYTES + 1, 1, 0 },
	{ "a text for others when the bytes are used up", EV_SHARE, 51, BYTES, 0, 0, NULL, BYTES, 0,
	  1 },
	{ "a hello", EV_HELLO, 60, 5, NONE, NONE, NULL, 65, NONE, NONE },
	{ "a hello too many", EV_HELLO, 60, BYTES, NONE, NONE, lines, BYTES + 60, NONE, NONE },
};

static void lines_are_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct node_sent node = { .bytes = cases[i].bytes };
		struct step_sent step = { .lines = cases[i].lines, .shares = cases[i].shares };
		const struct event ev = { .kind = cases[i].kind };
		const char *said;

		print_message("  %s\n", cases[i].name);
		said = bounds_count(&node, cases[i].lines == NONE ? NULL : &step, &ev,
				    cases[i].len);
		if (cases[i].said)
			assert_string_equal(said, cases[i].said);
		else
			assert_null(said);
		assert_int_equal(node.bytes, cases[i].bytes_then);
		assert_int_equal(node.notes, 0);
		assert_int_equal(step.lines, cases[i].lines_then);
		assert_int_equal(step.shares, cases[i].shares_then);
		assert_int_equal(step.notes, 0);
	}
}

static const struct {
	const char *name;
	int before, most, is_left_out, then;
	int is_last; /* the text says so */
} notes[] = {
	{ "the first", 0, NODE_NOTES_MOST, 0, 1, 0 },
	{ "the last but one", STEP_NOTES_MOST - 2, STEP_NOTES_MOST, 0, STEP_NOTES_MOST - 1, 0 },
	{ "the last says so", STEP_NOTES_MOST - 1, STEP_NOTES_MOST, 0, STEP_NOTES_MOST, 1 },
	{ "one more", STEP_NOTES_MOST, STEP_NOTES_MOST, 1, STEP_NOTES_MOST, 0 },
	{ "a node may send more", STEP_NOTES_MOST, NODE_NOTES_MOST, 0, STEP_NOTES_MOST + 1, 0 },
	{ "the last of a node", NODE_NOTES_MOST - 1, NODE_NOTES_MOST, 0, NODE_NOTES_MOST, 1 },
	{ "one more of a node", NODE_NOTES_MOST, NODE_NOTES_MOST, 1, NODE_NOTES_MOST, 0 },
};

static void notes_are_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
		const char *text = "as it came";
		int count = notes[i].before;

		print_message("  %s\n", notes[i].name);
		assert_int_equal(bounds_note(&count, notes[i].most, &text), notes[i].is_left_out);
		assert_int_equal(count, notes[i].then);
		assert_string_equal(text,
				    notes[i].is_last ? "further notes are left out" : "as it came");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_counted),
		cmocka_unit_test(notes_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
