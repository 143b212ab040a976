/*
 * test_journal.c - a journal that is written, torn at every byte, damaged, locked and read again.
 */
#include "harness/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- journals as texts ---- */

/* Adds one event, given as a printf format of JSON, with its checksum. */
static void add(struct text *j, const char *fmt, ...) PRINTF(2, 3);
static void add(struct text *j, const char *fmt, ...)
{
	char *body = NULL, *line;
	json_error_t why;
	struct error err;
	json_t *o;
	va_list args;

	va_start(args, fmt);
	assert_true(vasprintf(&body, fmt, args) >= 0);
	va_end(args);
	o = json_loads(body, 0, &why);
	if (!o)
		fail_msg("%s: %s", body, why.text);
	line = event_line(o, &err);
	assert_non_null(line);
	text_add(j, line);
	free(line);
	free(body);
}

static void add_head(struct text *j)
{
	add(j, "{\"e\":\"head\",\"schema\":\"run/1\",\"t\":100}");
}

static void add_step(struct text *j, const char *step, int samples)
{
	add(j, "{\"e\":\"start\",\"at\":\"n1\",\"step\":\"%s\",\"t\":101}", step);
	for (int i = 0; i < samples; i++)
		add(j,
		    "{\"e\":\"data\",\"at\":\"n1\",\"step\":\"%s\",\"m\":\"read\",\"v\":{\"disk0\":"
		    "[%d]}}",
		    step, i + 1);
	add(j,
	    "{\"e\":\"end\",\"at\":\"n1\",\"step\":\"%s\",\"word\":\"done\",\"why\":\"\","
	    "\"seconds\":2.5,\"lines\":%d,\"t\":104}",
	    step, samples);
}

static struct results *feed(const struct text *j)
{
	struct results *r = results_new();

	results_feed(r, j->data, j->len);
	return r;
}

static const struct step_result *step(const struct results *r, const char *id)
{
	int i = results_step(r, id);

	assert_true(i >= 0);
	return &r->steps[i];
}

/* ---- what a journal says ---- */

static void events_become_rows(void **state)
{
	struct text j;
	struct results *r;

	(void)state;
	text_init(&j);
	add_head(&j);
	add_step(&j, "p/a/n1", 3);
	add(&j, "{\"e\":\"fact\",\"step\":\"p/i/n1\",\"part\":\"dimm0\",\"k\":\"size\",\"v\":\"64 "
		"GiB\"}");
	add(&j, "{\"e\":\"fact\",\"step\":\"p/i/n1\",\"part\":\"dimm\",\"k\":\"\",\"hole\":\"no "
		"root\"}");
	add(&j,
	    "{\"e\":\"data\",\"step\":\"p/b/n1\",\"m\":\"x\",\"s\":\"gpu0\",\"na\":\"no link\"}");
	add(&j,
	    "{\"e\":\"data\",\"step\":\"p/b/n1\",\"m\":\"x\",\"s\":\"gpu1\",\"hole\":\"busy\"}");
	add(&j, "{\"e\":\"note\",\"at\":\"n1\",\"step\":\"p/b/n1\",\"text\":\"hello\"}");
	add(&j, "{\"e\":\"end\",\"step\":\"p/b/n1\",\"word\":\"timeout\",\"why\":\"60 s\"}");
	r = feed(&j);
	assert_non_null(r->head);
	assert_int_equal(r->damaged, 0);
	assert_int_equal(r->step_count, 3);
	assert_int_equal(r->figure_count, 3);
	assert_true(r->figures[2].value == 3);
	assert_string_equal(r->names[r->figures[2].metric], "read");
	assert_string_equal(r->names[r->figures[2].subject], "disk0");
	assert_int_equal(r->figures[2].step, results_step(r, "p/a/n1"));
	assert_int_equal(step(r, "p/a/n1")->word, END_DONE);
	assert_int_equal(step(r, "p/a/n1")->lines, 3);
	assert_true(step(r, "p/a/n1")->seconds == 2.5);
	assert_int_equal(r->fact_count, 2);
	assert_string_equal(r->facts[0].value, "64 GiB");
	assert_null(r->facts[0].hole);
	assert_null(r->facts[1].value);
	assert_string_equal(r->facts[1].hole, "no root");
	assert_int_equal(r->absent_count, 2);
	assert_false(r->absents[0].is_hole);
	assert_true(r->absents[1].is_hole);
	assert_string_equal(r->names[r->absents[1].why], "busy");
	assert_int_equal(r->note_count, 1);
	assert_string_equal(r->notes[0].text, "hello");
	assert_int_equal(step(r, "p/b/n1")->word, END_TIMEOUT);
	assert_string_equal(step(r, "p/b/n1")->why, "60 s");
	assert_int_equal(step(r, "p/i/n1")->word, END_NONE);
	assert_true(r->started == 100 && r->ended == 104);
	assert_int_equal(results_step(r, "p/none"), -1);
	results_free(r);
	text_release(&j);
}

/* Every step's lines are counted by its `end`; none may be missing, too many, or no number. */
static const struct {
	const char *name, *data, *end;
	enum end_word word;
	const char *why;
} ends[] = {
	{ "as promised", "\"v\":{\"d\":[1,2.5]}", "\"word\":\"done\",\"lines\":1", END_DONE, "" },
	{ "one line missing", "\"v\":{\"d\":[1]}", "\"word\":\"done\",\"lines\":2", END_LOST,
	  "its end counts 2 lines, the journal holds 1 good ones" },
	{ "a line too many", "\"v\":{\"d\":[1]}", "\"word\":\"done\",\"lines\":0", END_LOST, NULL },
	{ "no count", "\"v\":{\"d\":[1]}", "\"word\":\"done\"", END_LOST, NULL },
	{ "count is a text", "\"v\":{\"d\":[1]}", "\"word\":\"done\",\"lines\":\"1\"", END_LOST,
	  NULL },
	{ "unknown word", "\"v\":{\"d\":[1]}", "\"word\":\"fine\",\"lines\":1", END_LOST, NULL },
	{ "no word", "\"v\":{\"d\":[1]}", "\"lines\":1", END_LOST, NULL },
	{ "the word none", "\"v\":{\"d\":[1]}", "\"word\":\"none\",\"lines\":1", END_LOST, NULL },
	{ "a text as a sample", "\"v\":{\"d\":[1,\"2\"]}", "\"word\":\"done\",\"lines\":1",
	  END_LOST, "a figure of it is no number" },
	{ "null as a sample", "\"v\":{\"d\":[null]}", "\"word\":\"done\",\"lines\":1", END_LOST,
	  "a figure of it is no number" },
	{ "true as a sample", "\"v\":{\"d\":[true]}", "\"word\":\"done\",\"lines\":1", END_LOST,
	  "a figure of it is no number" },
	{ "no list of samples", "\"v\":{\"d\":7}", "\"word\":\"done\",\"lines\":1", END_LOST,
	  NULL },
	{ "an empty list of samples", "\"v\":{\"d\":[]}", "\"word\":\"done\",\"lines\":1", END_LOST,
	  NULL },
	{ "neither figure nor reason", "\"s\":\"d\"", "\"word\":\"done\",\"lines\":1", END_LOST,
	  NULL },
	{ "an error keeps its word", "\"v\":{\"d\":[1]}",
	  "\"word\":\"error\",\"lines\":5,\"why\":\"broke\"", END_ERROR, "broke" },
};

static void an_end_counts_its_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct text j;
		struct results *r;

		print_message("  %s\n", ends[i].name);
		text_init(&j);
		add(&j, "{\"e\":\"start\",\"step\":\"s\"}");
		add(&j, "{\"e\":\"data\",\"step\":\"s\",\"m\":\"x\",%s}", ends[i].data);
		add(&j, "{\"e\":\"end\",\"step\":\"s\",%s}", ends[i].end);
		r = feed(&j);
		assert_int_equal(step(r, "s")->word, ends[i].word);
		if (ends[i].why)
			assert_string_equal(step(r, "s")->why, ends[i].why);
		results_free(r);
		text_release(&j);
	}
}

static void a_restart_drops_the_earlier_try(void **state)
{
	struct text j;
	struct results *r;

	(void)state;
	text_init(&j);
	add_step(&j, "other", 2);
	add(&j, "{\"e\":\"start\",\"step\":\"s\"}");
	for (int i = 0; i < 9; i++)
		add(&j, "{\"e\":\"data\",\"step\":\"s\",\"m\":\"read\",\"v\":{\"d\":[%d,%d]}}", i,
		    i);
	add(&j, "{\"e\":\"data\",\"step\":\"s\",\"m\":\"x\",\"s\":\"\",\"na\":\"old\"}");
	add(&j, "{\"e\":\"fact\",\"step\":\"s\",\"part\":\"\",\"k\":\"os\",\"v\":\"old\"}");
	add_step(&j, "s", 1);
	r = feed(&j);
	assert_int_equal(step(r, "s")->word, END_DONE);
	assert_int_equal(step(r, "s")->lines, 1);
	assert_int_equal(r->figure_count, 3);
	assert_true(r->figures[2].value == 1);
	assert_int_equal(r->fact_count, 0);
	assert_int_equal(r->absent_count, 0);
	results_free(r);
	/* and one whose new try has no end is without one, whatever the old one said */
	add(&j, "{\"e\":\"start\",\"step\":\"s\"}");
	r = feed(&j);
	assert_int_equal(step(r, "s")->word, END_NONE);
	assert_int_equal(r->figure_count, 2);
	assert_int_equal(step(r, "other")->word, END_DONE);
	results_free(r);
	text_release(&j);
}

/* Many rows dropped and added again: rows shrink below what was reserved for them, and grow. */
static void rows_survive_many_restarts(void **state)
{
	struct text j;
	struct results *r;

	(void)state;
	text_init(&j);
	for (int n = 40; n >= 0; n--) {
		add_step(&j, "s", n);
		add_step(&j, n % 2 ? "even" : "odd", 40 - n);
	}
	add_step(&j, "s", 70);
	r = feed(&j);
	assert_int_equal(r->figure_count, 70 + 40 + 39);
	assert_int_equal(step(r, "s")->word, END_DONE);
	results_free(r);
	text_release(&j);
}

/* ---- damage ---- */

static void damage_is_named_by_line(void **state)
{
	struct text j;
	struct results *r;
	char *data;

	(void)state;
	text_init(&j);
	add_head(&j);
	add_step(&j, "a", 2);
	text_put(&j, "gar\0bage\n\n", 10);
	add_step(&j, "b", 1);
	data = strstr(j.data, "[2]"); /* line 4, of a */
	data[1] = '3';
	r = feed(&j);
	assert_int_equal(r->damaged, 3);
	assert_string_equal(r->damage.data, "journal.jsonl:4: the line's checksum is wrong\n"
					    "journal.jsonl:6: a line of 8 bytes is no event\n"
					    "journal.jsonl:7: a line of 0 bytes is no event\n");
	assert_int_equal(step(r, "a")->word, END_LOST);
	assert_string_equal(step(r, "a")->why,
			    "its end counts 2 lines, the journal holds 1 good ones");
	assert_int_equal(step(r, "b")->word, END_DONE);
	results_free(r);
	text_release(&j);
}

/* Each byte of a step's lines, one after the other: never does the step pass for whole with less.
 */
static void no_damage_passes_unseen(void **state)
{
	struct text j;

	(void)state;
	text_init(&j);
	add_head(&j);
	add_step(&j, "a", 2);
	for (size_t i = 0; i < j.len; i++) {
		char was = j.data[i];
		struct results *r;
		int at;

		j.data[i] = was == '\n' ? ' ' : '\n';
		r = feed(&j);
		at = results_step(r, "a");
		assert_true(r->damaged > 0 || r->torn > 0);
		if (at >= 0 && r->steps[at].word == END_DONE)
			assert_int_equal(r->figure_count, 2);
		j.data[i] = was;
		results_free(r);
	}
	text_release(&j);
}

static void long_damage_is_cut(void **state)
{
	struct text j;
	struct results *r;
	int lines = 0;

	(void)state;
	text_init(&j);
	for (int i = 0; i < 50; i++)
		text_add(&j, "x\n");
	r = feed(&j);
	assert_int_equal(r->damaged, 50);
	for (const char *s = r->damage.data; (s = strchr(s, '\n')); s++)
		lines++;
	assert_int_equal(lines, 10);
	results_free(r);
	text_release(&j);
}

/* ---- files ---- */

struct folder {
	char path[32], *journal;
};

static int make_folder(void **state)
{
	struct folder *f = xcalloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/assay-journal-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->journal = xasprintf("%s/journal.jsonl", f->path);
	*state = f;
	return 0;
}

static int remove_folder(void **state)
{
	struct folder *f = *state;
	int rc = unlink(f->journal) | rmdir(f->path);

	free(f->journal);
	free(f);
	return rc;
}

static void write_file(const struct folder *f, const char *data, size_t len)
{
	struct error err;

	if (file_replace(f->journal, data, len, &err) < 0)
		fail_msg("%s", err.text);
}

/* A time that the line's rounding carries over a full second once told two reports of one run
 * apart. */
static void says_live_what_is_read_later(void **state)
{
	static const double times[] = { 1795271744.9996, 1795271744.994, 0.1, 1795271744.0000001 };
	const struct folder *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct error err;
		struct results *live = results_new(), *later;
		struct journal *j;
		json_t *head = event_new(EV_HEAD);

		unlink(f->journal);
		j = journal_create(f->path, &err);
		assert_non_null(j);

		json_object_set_new(head, "t", json_real(times[i]));
		assert_int_equal(journal_append(j, head, 1, live, &err), 0);
		journal_close(j);
		later = journal_load(f->path, &err);
		assert_non_null(later);
		assert_true(json_equal(live->head, later->head));
		assert_memory_equal(&live->started, &later->started, sizeof(double));
		results_free(live);
		results_free(later);
	}
}

static void appends_and_goes_on(void **state)
{
	const struct folder *f = *state;
	struct error err;
	struct results *r;
	struct journal *j = journal_create(f->path, &err);
	struct text more;
	json_t *too_long = event_new(EV_NOTE);
	size_t cut = 9;

	assert_non_null(j);
	assert_int_equal(journal_append(j, event_new(EV_HEAD), 1, NULL, &err), 0);
	assert_int_equal(
		journal_append(j, json_pack("{s:s,s:s}", "e", "start", "step", "s"), 0, NULL, &err),
		0);
	journal_close(j);

	assert_null(journal_create(f->path, &err));
	assert_non_null(strstr(err.text, "holds a run already"));
	j = journal_open(f->path, &cut, &err);
	assert_non_null(j);
	assert_int_equal(cut, 0);
	text_init(&more);
	add(&more, "{\"e\":\"end\",\"step\":\"s\",\"word\":\"done\",\"lines\":0}");
	assert_int_equal(journal_append_line(j, more.data, more.len - 1, 1, &err), 0);
	text_release(&more);
	json_object_set_new(too_long, "text", json_sprintf("%0*d", 1000, 1));
	assert_int_equal(journal_append(j, too_long, 0, NULL, &err), -1);
	assert_non_null(strstr(err.text, "does not fit"));
	journal_close(j);
	journal_close(NULL);

	r = journal_load(f->path, &err);
	assert_non_null(r);
	assert_int_equal(r->damaged, 0);
	assert_int_equal(step(r, "s")->word, END_DONE);
	results_free(r);
}

static void one_controller_at_a_time(void **state)
{
	const struct folder *f = *state;
	struct error err;
	size_t cut;
	struct journal *j = journal_create(f->path, &err), *second;

	assert_non_null(j);
	second = journal_open(f->path, &cut, &err);
	assert_null(second);
	assert_non_null(strstr(err.text, "belongs to a run that is still going on"));
	journal_close(j);
	second = journal_open(f->path, &cut, &err);
	assert_non_null(second);
	assert_null(journal_open(f->path, &cut, &err));
	journal_close(second);
}

/* Journals are read in pieces of a megabyte: lines lie across their borders. */
static void long_journals_are_read_whole(void **state)
{
	enum { SAMPLES = 30000, ENDLESS = 2500000 };
	const struct folder *f = *state;
	struct error err;
	struct results *r;
	struct text whole;

	text_init(&whole);
	add_head(&whole);
	add_step(&whole, "a", SAMPLES);
	assert_true(whole.len > 2 << 20);
	for (int i = 0; i < ENDLESS; i++)
		text_add(&whole, "x");
	text_add(&whole, "\n");
	add_step(&whole, "b", 1);
	text_add(&whole, "{\"torn");
	write_file(f, whole.data, whole.len);
	r = journal_load(f->path, &err);
	assert_non_null(r);
	assert_int_equal(r->figure_count, SAMPLES + 1);
	assert_int_equal(step(r, "a")->word, END_DONE);
	assert_int_equal(step(r, "b")->word, END_DONE);
	assert_int_equal(r->damaged, 1);
	assert_non_null(strstr(r->damage.data, "journal.jsonl:30004: "));
	assert_int_equal(r->torn, 6);
	results_free(r);
	text_release(&whole);
}

static void a_torn_tail_is_cut_at_every_byte(void **state)
{
	const struct folder *f = *state;
	struct error err;
	struct text whole;

	text_init(&whole);
	add_head(&whole);
	add_step(&whole, "a", 1);
	for (size_t n = 0; n <= whole.len; n++) {
		size_t last = n, cut = 12345;
		struct journal *j;
		struct results *r;
		struct stat st;

		while (last > 0 && whole.data[last - 1] != '\n')
			last--;
		write_file(f, whole.data, n);
		r = journal_load(f->path, &err); /* reading leaves the file alone */
		assert_true((r != NULL) == (last > 0));
		if (r) {
			assert_int_equal(r->torn, n - last);
			assert_int_equal(r->damaged, 0);
		}
		results_free(r);
		assert_int_equal(stat(f->journal, &st), 0);
		assert_int_equal(st.st_size, n);

		j = journal_open(f->path, &cut, &err);
		assert_non_null(j);
		assert_int_equal(cut, n - last);
		assert_int_equal(journal_append(j, event_new(EV_HEAD), 0, NULL, &err), 0);
		journal_close(j);
		r = journal_load(f->path, &err);
		assert_non_null(r);
		assert_int_equal(r->torn, 0);
		assert_int_equal(r->damaged, 0);
		if (n == whole.len)
			assert_int_equal(step(r, "a")->word, END_DONE);
		results_free(r);
	}
	text_release(&whole);
}

/* Longer than the pieces in which the end is looked for. */
static void a_long_torn_tail_is_cut(void **state)
{
	const struct folder *f = *state;
	struct error err;
	struct text whole;
	struct journal *j;
	struct stat st;
	size_t cut, head;

	text_init(&whole);
	add_head(&whole);
	head = whole.len;
	for (int i = 0; i < 20000; i++)
		text_add(&whole, "x");
	for (size_t n = 4090; n < 4100; n++) {
		write_file(f, whole.data, head + n);
		j = journal_open(f->path, &cut, &err);
		assert_non_null(j);
		assert_int_equal(cut, n);
		journal_close(j);
	}
	write_file(f, whole.data, whole.len);
	j = journal_open(f->path, &cut, &err);
	assert_int_equal(cut, 20000);
	journal_close(j);
	assert_int_equal(stat(f->journal, &st), 0);
	assert_int_equal(st.st_size, head);
	text_release(&whole);
}

static void refuses_what_is_no_run(void **state)
{
	const struct folder *f = *state;
	struct error err;
	struct text j;
	size_t cut;

	assert_null(journal_open(f->path, &cut, &err));
	assert_non_null(strstr(err.text, "is no run folder"));
	assert_null(journal_load(f->path, &err));
	assert_non_null(strstr(err.text, "is no run folder"));
	assert_null(journal_create("/nowhere/at/all", &err));

	write_file(f, "", 0);
	assert_null(journal_load(f->path, &err));
	assert_non_null(
		strstr(err.text, "no readable head, so there is nothing to go on with; remove"));
	write_file(f, "x\ny\n", 4);
	assert_null(journal_load(f->path, &err));
	assert_non_null(
		strstr(err.text, "nothing to go on with: journal.jsonl:1: a line of 1 bytes"));
	assert_null(strchr(err.text, '\n'));
	text_init(&j);
	add_step(&j, "s", 1);
	write_file(f, j.data, j.len);
	assert_null(journal_load(f->path, &err));
	text_release(&j);
}

#define FILE_TEST(t) cmocka_unit_test_setup_teardown(t, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_become_rows),
		cmocka_unit_test(an_end_counts_its_lines),
		cmocka_unit_test(a_restart_drops_the_earlier_try),
		cmocka_unit_test(rows_survive_many_restarts),
		cmocka_unit_test(damage_is_named_by_line),
		cmocka_unit_test(no_damage_passes_unseen),
		cmocka_unit_test(long_damage_is_cut),
		FILE_TEST(says_live_what_is_read_later),
		FILE_TEST(appends_and_goes_on),
		FILE_TEST(one_controller_at_a_time),
		FILE_TEST(long_journals_are_read_whole),
		FILE_TEST(a_torn_tail_is_cut_at_every_byte),
		FILE_TEST(a_long_torn_tail_is_cut),
		FILE_TEST(refuses_what_is_no_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
