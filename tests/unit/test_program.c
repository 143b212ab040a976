/*
 * test_program.c - a program's figures from its output, and orders that were mangled on their way.
 */
#include "harness/checks/check.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

extern const struct check check_program;

struct told {
	int count;
	double first, last;
};

static void on_figure(void *arg, const char *metric, const char *subject, const double *samples,
		      int count)
{
	struct told *t = arg;

	(void)metric;
	(void)subject;
	for (int i = 0; i < count; i++) {
		t->first = t->count++ ? t->first : samples[i];
		t->last = samples[i];
	}
}

static void on_note(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static int run(const char *argv, const char *codes, const char *figures, struct told *told,
	       struct error *err)
{
	const struct sink sink = { .figure = on_figure, .note = on_note, .arg = told };
	const char *values[] = { argv, codes, figures, "60s", "64MiB" };
	struct job job = { .sink = &sink, .unit = "" };

	*told = (struct told){ 0 };
	err->text[0] = '\0';
	job.knobs = (struct knobs){ .check = &check_program, .values = values };
	return check_program.run(&job, err);
}

#define SH "sh\n-c\n"
#define VALUE "v\tregex\tvalue ([0-9.]+)\n"

/* why NULL: it ran, and its samples are so many, from the first to the last. */
static const struct {
	const char *argv, *codes, *figures, *why;
	int count;
	double first, last;
} cases[] = {
	{ SH "echo value 1; echo value 2.5\n", "0\n", VALUE, NULL, 2, 1, 2.5 },
	{ SH "printf \"value 1 value 2\"\n", "0\n", VALUE, NULL, 2, 1, 2 },
	{ SH "printf \"value 1\\n2\\n\"\n", "0\n", "v\tregex\tvalue 1[[:space:]]([0-9])\n", NULL, 1,
	  2, 2 },
	/* The line end belongs to the match, and the next line begins behind it all the same. */
	{ SH "printf \"v 1\\nv 2\\nv 3\\n\"\n", "0\n", "v\tregex\t^v ([0-9])[[:space:]]\n", NULL, 3,
	  1, 3 },
	{ SH "printf \"vv 1\\n\"\n", "0\n", "v\tregex\t^v([ 0-9])*\n",
	  "figure v: '' is not a number" },
	{ SH "echo v 1v 2\n", "0\n", "v\tregex\t^v ([0-9])\n", NULL, 1, 1, 1 },
	{ SH "echo value x\n", "0\n", "v\tregex\tvalue (.)\n", "figure v: 'x' is not a number" },
	{ SH "echo none\n", "0\n", VALUE, "figure v: nothing in its output matches" },
	{ SH "echo none\n", "0\n", "v\tregex\tx*\n", "figure v: nothing in its output matches" },
	{ SH "printf \"value 1\\0value 2\"\n", "0\n", VALUE, NULL, 1, 1, 1 },
	{ SH "echo \"{\\\"a\\\": [3, 4]}\"\n", "0\n", "v\tjson\ta\n", NULL, 2, 3, 4 },
	{ SH "echo value 1; exit 3\n", "0\n3\n", VALUE, NULL, 1, 1, 1 },
	{ SH "exit 3\n", "0\n2\n", VALUE, "it left with code 3, which does not mean that it ran" },
	{ "/nowhere/program\n", "0\n", VALUE,
	  "cannot start /nowhere/program: No such file or directory" },
	{ "\n", "0\n", VALUE, "cannot start : No such file or directory" },
	/* mangled */
	{ "", "0\n", VALUE, "the order for this step is damaged: its argv is empty" },
	{ "sh", "0\n", VALUE, "the order for this step is damaged: its argv has no end" },
	{ SH "echo value 1", "0\n", VALUE,
	  "the order for this step is damaged: its argv has no end" },
	{ SH "echo value 1\n", "", VALUE, "the order for this step is damaged: its exit is empty" },
	{ SH "echo value 1\n", "0", VALUE,
	  "the order for this step is damaged: its exit has no end" },
	{ SH "echo value 1\n", "0\n", "",
	  "the order for this step is damaged: its figures is empty" },
	{ SH "echo value 1\n", "0\n", "v\tregex\tvalue ([0-9",
	  "the order for this step is damaged: its figures has no end" },
	{ SH "echo value 1\n", "0\n", "v\tregex\n",
	  "the order for this step is damaged: a figure without its expression" },
	{ SH "echo value 1\n", "0\n", "v\tregex\tvalue (\n", "figure v: bad expression" },
};

static void figures_or_a_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct told told;
		struct error err;
		int rc = run(cases[i].argv, cases[i].codes, cases[i].figures, &told, &err);

		if (cases[i].why
			    ? rc != RUN_ERROR || strcmp(err.text, cases[i].why) != 0
			    : rc != RUN_OK || told.count != cases[i].count ||
				      told.first < cases[i].first || told.first > cases[i].first ||
				      told.last < cases[i].last || told.last > cases[i].last)
			fail_msg("case %zu: %d, %d samples from %g to %g, %s", i, rc, told.count,
				 told.first, told.last, err.text);
	}
}

/* More words than any spec may have: none is dropped in silence. */
static void every_word_counts(void **state)
{
	struct text argv;
	struct told told;
	struct error err;

	(void)state;
	text_init(&argv);
	text_add(&argv, "sh\n-c\necho value $#\nsh\n");
	for (int i = 0; i < 1000; i++)
		text_add(&argv, "word\n");
	assert_int_equal(run(argv.data, "0\n", VALUE, &told, &err), RUN_OK);
	assert_true(told.last > 999 && told.last < 1001);
	text_release(&argv);
}

static double cpu_seconds(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/*
 * In processor time, for the machine may have other things to do. An allocation of a sanitizer
 * takes longer the larger it is, and regexec makes one as large as the output for each match.
 */
#ifdef __SANITIZE_ADDRESS__
#define MATCHES 20000
#else
#define MATCHES 2000000
#endif
static void many_matches_take_no_hours(void **state)
{
	const double began = cpu_seconds();
	char argv[80];
	struct told told;
	struct error err;

	(void)state;
	snprintf(argv, sizeof(argv), SH "yes value 7 | head -%d\n", MATCHES);
	assert_int_equal(run(argv, "0\n", VALUE, &told, &err), RUN_OK);
	assert_int_equal(told.count, MATCHES);
	assert_true(cpu_seconds() - began < 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_or_a_sentence),
		cmocka_unit_test(every_word_counts),
		cmocka_unit_test(many_matches_take_no_hours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
