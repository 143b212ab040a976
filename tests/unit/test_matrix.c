/* test_matrix.c - which findings make a matrix, and what stands in it. */
#include "reports/matrix.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Findings of one step and metric: subjects, and what a row of the matrix then reads. */
static const struct {
	const char *name, *subjects, *rows;
} cases[] = {
	{ "two GPUs", "n/gpu0>gpu1 n/gpu1>gpu0", "gpu0: - 1.50; gpu1: 2.50 -; " },
	{ "with a diagonal", "n/gpu0>gpu0 n/gpu0>gpu1 n/gpu1>gpu0 n/gpu1>gpu1",
	  "gpu0: 1.50 2.50; gpu1: 3.50 4.50; " },
	{ "a diagonal alone", "n/gpu0>gpu0 n/gpu1>gpu1", NULL },
	{ "by number and not by letter", "n/gpu10>gpu2 n/gpu2>gpu10",
	  "gpu2: - 2.50; gpu10: 1.50 -; " },
	{ "rows and columns of two kinds", "n/numa0>gpu0 n/numa1>gpu0 n/numa0>gpu1 n/numa1>gpu1",
	  "numa0: 1.50 3.50; numa1: 2.50 4.50; " },
	{ "parts alone", "n/gpu0 n/gpu1", NULL },
	{ "the node alone", "n", NULL },
	{ "markup", "n/<script>gpu0 n/gpu0><b", NULL },
	{ "an arrow alone", "n/> n/gpu0> n/>gpu0", NULL },
	{ "names without a number", "n/gpu>gpu n/gpu0>gpu", NULL },
	{ "a curve of pairs", "n/gpu0>gpu1 64KiB", NULL },
};

static void add(struct judgement *j, const char *subject, int step, double value)
{
	j->items = grow(j->items, (size_t)j->count, sizeof(*j->items));
	j->items[j->count++] = (struct finding){
		.check = "gpu_p2p",
		.metric = "write",
		.unit = "GB/s",
		.subject = xstrdup(subject),
		.step = step,
		.value = value,
		.samples = 1,
	};
}

static void drop(struct judgement *j)
{
	for (int i = 0; i < j->count; i++)
		free(j->items[i].subject);
	free(j->items);
}

static char *rows_text(const struct matrix *m)
{
	struct text t;
	char cell[40];

	text_init(&t);
	for (int r = 0; r < m->rows.count; r++) {
		text_addf(&t, "%s:", m->rows.items[r]);
		for (int c = 0; c < m->columns.count; c++) {
			matrix_cell(m->cells[r][c], cell, sizeof(cell));
			text_addf(&t, " %s", cell);
		}
		text_add(&t, "; ");
	}
	return text_detach(&t);
}

static void pairs_make_a_matrix(void **state)
{
	struct matrix *m = xcalloc(1, sizeof(*m));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct judgement j = { 0 };
		char *list = xstrdup(cases[i].subjects), *save = NULL, *rows;
		double value = 1.5;
		int first = 0;

		add(&j, "n/gpu7>gpu8", 6, 99); /* of another step: must not show */
		/* a curve's subject has a blank in it */
		if (!strcmp(cases[i].name, "a curve of pairs"))
			add(&j, list, 7, value);
		else
			for (char *s = strtok_r(list, " ", &save); s;
			     s = strtok_r(NULL, " ", &save), value++)
				add(&j, s, 7, value);
		add(&j, "n/gpu8>gpu7", 8, 99);
		for (int k = 1; k < j.count - 1; k++)
			if (!first && matrix_at(&j, k, m))
				first = k;
		rows = first ? rows_text(m) : NULL;
		if (!rows != !cases[i].rows || (rows && strcmp(rows, cases[i].rows) != 0))
			fail_msg("%s: %s", cases[i].name, rows ? rows : "no matrix");
		for (int k = 2; k < j.count - 1 && first; k++)
			assert_false(matrix_at(&j, k, m));
		free(rows);
		free(list);
		drop(&j);
	}
	free(m);
}

static void cells_say_what_is_missing(void **state)
{
	static const struct {
		struct finding f;
		const char *text;
	} cells[] = {
		{ { .samples = 1, .value = 185.456, .unit = "GB/s" }, "185.46" },
		{ { .samples = 1, .value = 1592.76, .unit = "GB/s" }, "1592.76" },
		{ { .samples = 1, .value = 15920.4, .unit = "ns" }, "15920" },
		{ { .samples = 1, .value = 1, .unit = "" }, "1" },
		{ { .samples = 0, .unit = "" }, "HOLE" },
		{ { .samples = 0, .unit = "", .verdict = VERDICT_NOT_APPLICABLE }, "-" },
	};
	char text[40];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
		matrix_cell(&cells[i].f, text, sizeof(text));
		assert_string_equal(text, cells[i].text);
	}
	matrix_cell(NULL, text, sizeof(text));
	assert_string_equal(text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_make_a_matrix),
		cmocka_unit_test(cells_say_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
