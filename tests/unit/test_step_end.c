/* test_step_end.c - how the end of a step's process is classified, and in which words. */
#include "harness/step_end.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *name;
	struct step_told told;
	struct child_end child;
	enum end_word word;
	const char *hang, *why;
} cases[] = {
	{ "done", { .word = "done" }, { 0 }, END_DONE, NULL, "" },
	{ "its own words",
	  { .word = "error", .why = "no disk0", .noise = "x" },
	  { 0 },
	  END_ERROR,
	  NULL,
	  "no disk0" },
	{ "done, and then a crash",
	  { .word = "done" },
	  { .exit_code = -1, .signal = 11 },
	  END_CRASH,
	  NULL,
	  "killed by signal 11 (Segmentation fault)" },
	{ "done, and then a code",
	  { .word = "done", .noise = "oops" },
	  { .exit_code = 3 },
	  END_CRASH,
	  NULL,
	  "its process left with code 3 without an end: oops" },
	{ "nothing said",
	  { 0 },
	  { 0 },
	  END_CRASH,
	  NULL,
	  "its process left with code 0 without an end" },
	{ "a word that is none",
	  { .word = "fine" },
	  { 0 },
	  END_CRASH,
	  NULL,
	  "its process left with code 0 without an end" },
	{ "none is no end",
	  { .word = "none" },
	  { 0 },
	  END_CRASH,
	  NULL,
	  "its process left with code 0 without an end" },
	{ "hung in its own code",
	  { .deadline = 60, .word = "done" },
	  { .exit_code = -1, .signal = 15, .timed_out = 1, .state = "state R, waiting in ?" },
	  END_TIMEOUT,
	  "tool",
	  "not done after its deadline of 60 s: it hung in its own code (state R, waiting in ?)" },
	{ "hung in a driver",
	  { .deadline = 60 },
	  { .exit_code = -1, .timed_out = 1, .state = "state D, waiting in nvme", .in_kernel = 1 },
	  END_TIMEOUT,
	  "driver",
	  "not done after its deadline of 60 s: it hung in the kernel or a driver (state D, "
	  "waiting "
	  "in nvme)" },
	{ "waited for another member",
	  { .deadline = 60, .waits_for = "n2" },
	  { .exit_code = -1, .timed_out = 1, .in_kernel = 1 },
	  END_TIMEOUT,
	  "peer",
	  "not done after its deadline of 60 s: it waited for n2" },
	{ "too many lines",
	  { .too_much = 1, .word = "done" },
	  { .exit_code = -1, .signal = 15, .stopped = 1 },
	  END_ERROR,
	  NULL,
	  "it gave more than 200000 lines of figures and facts" },
	{ "cannot be killed",
	  { .too_much = 1, .waits_for = "n2" },
	  { .timed_out = 1, .stuck = 1, .state = "state D, waiting in uvm_x" },
	  END_STUCK,
	  "driver",
	  "SIGKILL did not end it (state D, waiting in uvm_x); this node takes no further steps" },
};

static void ends_are_classified(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *hang = cases[i].hang;
		struct step_end end;

		step_end_of(&cases[i].told, &cases[i].child, &end);
		if (end.word != cases[i].word || strcmp(end.why, cases[i].why) != 0 ||
		    (hang ? !end.hang || strcmp(end.hang, hang) != 0 : end.hang != NULL))
			fail_msg("%s: %s, %s: %s", cases[i].name, end_word_name(end.word),
				 end.hang ? end.hang : "no hang", end.why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ends_are_classified) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
