/*
 * test_hearing.c - what of the nodes' telemetry reaches the journal: bounded marks, silence, and
 * what did not arrive at the end. Time is made up.
 */
#include "harness/hearing.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NODES = 2, DEEDS_MOST = 12, WALL = 1000 };

enum what { DONE_ALL, TOLD, TELE, TROUBLE, CALM, FULL, LOST, OVER, GAPS, STOPS, FAILS };

struct deed {
	enum what what;
	int node; /* of GAPS, STOPS and so on: none */
	double at;
	int times; /* 0 is 1 */
};

struct world {
	char folder[32];
	struct fleet fleet;
	struct fleet_node nodes[NODES];
	struct scribe scribe;
	struct hearing *hearing;
	struct error err;
	struct text notes;
	int lines; /* of nodes, as they came */
};

static void take_note(void *arg, int node, const char *text)
{
	struct world *w = arg;

	text_addf(&w->notes, "note %s: %s\n", node < 0 ? "all" : w->nodes[node].name, text);
}

static void count_line(void *arg, const char *line)
{
	struct world *w = arg;

	w->lines += !strncmp(line, "{\"e\":\"mark\"", 11);
}

/* run: "" for a folder that is there, NULL for none. */
static void set_up(struct world *w, const char *run)
{
	static char names[NODES][4] = { "n1", "n2" };
	char *path;

	memset(w, 0, sizeof(*w));
	strcpy(w->folder, "/tmp/assay-hearing-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	text_init(&w->notes);
	for (int n = 0; n < NODES; n++)
		w->nodes[n] = (struct fleet_node){ .name = names[n], .rack = -1, .unit = -1 };
	w->fleet = (struct fleet){ .nodes = w->nodes, .count = NODES };
	w->scribe = (struct scribe){
		.journal = journal_create(w->folder, &w->err),
		.results = results_new(),
		.fleet = &w->fleet,
		.line = count_line,
		.arg = w,
		.err = &w->err,
	};
	assert_non_null(w->scribe.journal);
	path = run ? xasprintf("%s%s", w->folder, run) : NULL;
	w->hearing = hearing_new(path, &w->fleet, &w->scribe, take_note, w);
	free(path);
}

static void empty(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char *path = xasprintf("%s/%s", folder, e->d_name);

		if (*e->d_name != '.' && unlink(path) < 0)
			empty(path);
		free(path);
	}
	if (d)
		closedir(d);
	rmdir(folder);
}

static void tear_down(struct world *w)
{
	hearing_free(w->hearing);
	journal_close(w->scribe.journal);
	results_free(w->scribe.results);
	text_release(&w->notes);
	empty(w->folder);
}

static json_t *event_of(enum what what)
{
	json_t *o = event_new(what == TELE ? EV_TELE : what == FULL ? EV_FULL : EV_MARK);

	if (what == TROUBLE || what == CALM) {
		json_object_set_new(o, "what", json_string(what == CALM ? "kept" : "xid"));
		json_object_set_new(o, "text", json_string("79"));
		json_object_set_new(o, "part", json_string("gpu0"));
	}
	if (what == FULL) { /* the last piece of nothing */
		json_object_set_new(o, "i", json_integer(0));
		json_object_set_new(o, "bytes", json_integer(0));
		json_object_set_new(o, "crc", json_integer(0));
	}
	return o;
}

/* A line as an agent passes it on. */
static void say(struct world *w, const struct deed *d)
{
	const struct instant at = { d->at, WALL + d->at };
	json_t *o = event_of(d->what);
	struct error err;
	struct event ev;
	char *line;

	json_object_set_new(o, "at", json_string(w->nodes[d->node].name));
	json_object_set_new(o, "t", json_real(WALL + d->at));
	json_object_set_new(o, "n", json_integer(1));
	line = event_line(o, &err);
	assert_non_null(line);
	line[strlen(line) - 1] = '\0';
	assert_int_equal(event_parse(line, strlen(line), &ev, &err), 0);
	hearing_take(w->hearing, d->node, &ev, line, strlen(line), at);
	hearing_file(w->hearing, d->node, &ev, line, strlen(line));
	event_release(&ev);
	free(line);
}

static void act(struct world *w, const struct deed *d)
{
	const struct instant at = { d->at, WALL + d->at };

	switch (d->what) {
	case TOLD:
		hearing_told(w->hearing, d->node, at);
		break;
	case LOST:
		hearing_lost(w->hearing, d->node);
		break;
	case OVER:
		hearing_over(w->hearing);
		break;
	case GAPS:
		hearing_find_gaps(w->hearing, at);
		break;
	case STOPS:
		hearing_end(w->hearing, 1, at);
		break;
	case FAILS:
		w->scribe.failed = 1;
		break;
	case DONE_ALL:
		break;
	default:
		say(w, d);
	}
}

/* What the journal says of the watching, then notes: "gap n1 10" is silence since then. */
static char *said(const struct world *w)
{
	const struct results *r = w->scribe.results;
	struct text t;

	text_init(&t);
	for (size_t i = 0; i < r->watch_count; i++) {
		const struct watch_line *l = &r->watches[i];

		text_addf(&t, "%s %s", watch_word_name(l->word), l->at);
		if (l->since > 0)
			text_addf(&t, " %.0f", l->since - WALL);
		text_add(&t, "\n");
	}
	text_add(&t, w->notes.data);
	return text_detach(&t);
}

#define NOT_ALL(node) "note " node ": what it kept of its telemetry did not arrive\n"

/* All begin with n1 told at 0, and end at `end` as runs do that nobody stopped; 0: not at all. */
static const struct {
	const char *name;
	double end;
	struct deed deeds[DEEDS_MOST];
	const char *said;
	int marks;
} cases[] = {
	{ "nothing happens", 0, { { 0 } }, "told n1\n" },
	{ "a minute is no gap", 0, { { GAPS, 0, 60 } }, "told n1\n" },
	{ "more than a minute is", 0, { { GAPS, 0, 60.5 } }, "told n1\ngap n1 0\n", 0 },
	{ "a gap is said once", 0, { { GAPS, 0, 61 }, { GAPS, 0, 90 } }, "told n1\ngap n1 0\n" },
	{ "since it was last heard",
	  0,
	  { { TELE, 0, 10 }, { GAPS, 0, 70 }, { GAPS, 0, 71 } },
	  "told n1\ngap n1 10\n" },
	{ "a gap ends",
	  0,
	  { { TELE, 0, 10 }, { GAPS, 0, 71 }, { TELE, 0, 80 }, { TELE, 0, 90 } },
	  "told n1\ngap n1 10\nback n1 10\n" },
	{ "a second gap",
	  0,
	  { { GAPS, 0, 61 }, { TELE, 0, 62 }, { GAPS, 0, 123 } },
	  "told n1\ngap n1 0\nback n1 0\ngap n1 62\n" },
	{ "marks alone are no sign of a sampler's windows",
	  0,
	  { { TROUBLE, 0, 50 }, { GAPS, 0, 61 } },
	  "told n1\ngap n1 0\n",
	  1 },
	{ "who is lost has no gap", 0, { { LOST }, { GAPS, 0, 99 } }, "told n1\n" },
	{ "each node by itself",
	  0,
	  { { TOLD, 1, 30 }, { TELE, 0, 40 }, { GAPS, 0, 95 } },
	  "told n1\ntold n2\ngap n2 30\n" },
	{ "who was never told has none",
	  0,
	  { { TELE, 0, 90 }, { TELE, 1, 10 }, { GAPS, 0, 99 }, { TELE, 1, 100 } },
	  "told n1\n" },

	{ "last words",
	  100,
	  { { TELE, 0, 90 }, { OVER }, { TELE, 0, 99 }, { FULL, 0, 99 } },
	  "told n1\n" },
	{ "no last words, however short the silence",
	  100,
	  { { TELE, 0, 99 }, { OVER }, { FULL, 0, 99 } },
	  "told n1\ngap n1 99\n" },
	{ "none, and the gap is known",
	  100,
	  { { GAPS, 0, 80 }, { OVER }, { FULL, 0, 99 } },
	  "told n1\ngap n1 0\n" },
	{ "who was lost says none", 100, { { LOST }, { OVER } }, "told n1\n" },
	{ "a stopped run does not wait for them",
	  0,
	  { { TELE, 0, 70 }, { OVER }, { FULL, 0, 99 }, { STOPS, 0, 100 } },
	  "told n1\n" },
	{ "but was it silent before",
	  0,
	  { { TELE, 0, 69 }, { OVER }, { FULL, 0, 99 }, { STOPS, 0, 100 } },
	  "told n1\ngap n1 69\n" },
	{ "what it kept is missing",
	  100,
	  { { OVER }, { TELE, 0, 99 } },
	  "told n1\n" NOT_ALL("n1") },
	{ "of both",
	  100,
	  { { TOLD, 1, 1 }, { OVER }, { TELE, 1, 99 }, { TELE, 0, 99 } },
	  "told n1\ntold n2\n" NOT_ALL("n1") NOT_ALL("n2") },

	{ "marks", 0, { { TROUBLE, 0, 1, 3 }, { CALM, 0, 1, 2 } }, "told n1\n", 5 },
	{ "as many as there may be", 0, { { TROUBLE, 0, 1, 1000 } }, "told n1\n", 1000 },
	{ "one too many of trouble is a hole",
	  0,
	  { { TROUBLE, 0, 1, 1001 }, { TROUBLE, 0, 1, 5 }, { CALM, 0, 1 } },
	  "told n1\nfull n1\n",
	  1001 },
	{ "one too many that accuses nobody is none",
	  0,
	  { { CALM, 0, 1, 1002 }, { TROUBLE, 0, 1, 2 } },
	  "told n1\nenough n1\n",
	  1002 },
	{ "who was not told has no marks", 0, { { TROUBLE, 1, 1 } }, "told n1\n" },
	{ "a node has its own bound",
	  0,
	  { { TOLD, 1, 1 }, { TROUBLE, 0, 1, 1001 }, { TROUBLE, 1, 1 } },
	  "told n1\ntold n2\nfull n1\n",
	  1001 },
	{ "behind a failed journal nothing is taken",
	  0,
	  { { FAILS }, { TROUBLE, 0, 1 }, { GAPS, 0, 99 } },
	  "told n1\n" },
};

static void silence_and_marks_are_written_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;
		char *got;

		print_message("  %s\n", cases[i].name);
		set_up(&w, "");
		assert_true(hearing_is_on(w.hearing));
		act(&w, &(struct deed){ TOLD, 0, 0 });
		for (const struct deed *d = cases[i].deeds; d->what; d++)
			for (int k = 0; k < (d->times ? d->times : 1); k++)
				act(&w, d);
		if (cases[i].end > 0)
			hearing_end(w.hearing, 0,
				    (struct instant){ cases[i].end, WALL + cases[i].end });
		got = said(&w);
		assert_string_equal(got, cases[i].said);
		assert_int_equal(w.lines, cases[i].marks);
		assert_int_equal(w.scribe.results->mark_count, cases[i].marks);
		free(got);
		tear_down(&w);
	}
}

/* Without a folder of the run nothing is told, and what comes all the same is left out. */
static void nobody_is_told_without_a_run(void **state)
{
	struct world w;
	char *got;

	(void)state;
	set_up(&w, NULL);
	assert_false(hearing_is_on(w.hearing));
	act(&w, &(struct deed){ TELE, 0, 1 });
	act(&w, &(struct deed){ TROUBLE, 0, 1 });
	act(&w, &(struct deed){ GAPS, 0, 100 });
	hearing_end(w.hearing, 0, (struct instant){ 100, WALL + 100 });
	got = said(&w);
	assert_string_equal(got, "");
	assert_int_equal(w.lines, 0);
	free(got);
	tear_down(&w);
}

/* The journal has its part all the same. */
static void no_folder_is_a_note(void **state)
{
	struct world w;

	(void)state;
	set_up(&w, "/not/there");
	assert_true(hearing_is_on(w.hearing));
	assert_non_null(strstr(w.notes.data, "note all: cannot make "));
	assert_non_null(strstr(w.notes.data, "/not/there/telemetry: No such file or directory\n"));
	text_clear(&w.notes);
	act(&w, &(struct deed){ TOLD, 0, 0 });
	act(&w, &(struct deed){ TROUBLE, 0, 1 });
	hearing_end(w.hearing, 0, (struct instant){ 100, WALL + 100 });
	assert_string_equal(w.notes.data, "");
	assert_int_equal(w.lines, 1);
	assert_int_equal(w.scribe.results->watch_count, 2);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_and_marks_are_written_down),
		cmocka_unit_test(nobody_is_told_without_a_run),
		cmocka_unit_test(no_folder_is_a_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
