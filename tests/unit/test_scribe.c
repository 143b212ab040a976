/*
 * test_scribe.c - the controller's own lines in the journal, word by word.
 */
#include "harness/scribe.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char folder[32];
	struct fleet fleet;
	struct fleet_node node;
	struct plan plan;
	struct step step;
	struct scribe scribe;
	struct error err;
	int told; /* lines given to `line` */
};

static void count(void *arg, const char *line)
{
	struct world *w = arg;

	assert_int_equal(*line, '{');
	w->told++;
}

static void set_up(struct world *w)
{
	memset(w, 0, sizeof(*w));
	strcpy(w->folder, "/tmp/assay-scribe-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	w->node.name = (char *)"n1";
	w->fleet = (struct fleet){ .nodes = &w->node, .count = 1 };
	w->step = (struct step){ .id = (char *)"p/c/n1" };
	w->plan = (struct plan){ .steps = &w->step, .count = 1 };
	w->scribe = (struct scribe){
		.journal = journal_create(w->folder, &w->err),
		.results = results_new(),
		.fleet = &w->fleet,
		.plan = &w->plan,
		.line = count,
		.arg = w,
		.err = &w->err,
	};
	assert_non_null(w->scribe.journal);
}

static void tear_down(struct world *w)
{
	char *path = xasprintf("%s/journal.jsonl", w->folder);

	journal_close(w->scribe.journal);
	results_free(w->scribe.results);
	unlink(path);
	rmdir(w->folder);
	free(path);
}

/* The journal's only line without its time and checksum, or "". */
static char *written(const struct world *w)
{
	char *path = xasprintf("%s/journal.jsonl", w->folder), *text, *at;
	struct error err;
	size_t len;

	text = file_read(path, 1 << 20, &len, &err);
	assert_non_null(text);
	free(path);
	at = strstr(text, ",\"t\":");
	if (*text) {
		assert_non_null(at);
		assert_ptr_equal(strchr(text, '\n'), text + len - 1);
		*at = '\0';
	}
	return text;
}

static void note(struct scribe *s)
{
	scribe_note(s, 0, "says \"no\"");
}

static void note_of_nobody(struct scribe *s)
{
	scribe_note(s, -1, "stopped");
}

static void hostile_note(struct scribe *s)
{
	scribe_note(s, 0, "\033[31m\n");
}

static void start(struct scribe *s)
{
	scribe_start(s, 0);
}

static void end(struct scribe *s)
{
	scribe_end(s, 0, END_LOST, "it is gone");
}

static void clock_ahead(struct scribe *s)
{
	scribe_clock(s, 0, 1.5, 0.25);
}

static void told(struct scribe *s)
{
	scribe_watch(s, 0, WATCH_TOLD, 0);
}

static void gap(struct scribe *s)
{
	scribe_watch(s, 0, WATCH_GAP, 100);
}

static const struct {
	const char *name;
	void (*write)(struct scribe *s);
	const char *line;
} cases[] = {
	{ "note", note, "{\"e\":\"note\",\"at\":\"n1\",\"text\":\"says \\\"no\\\"\"" },
	{ "note about no node", note_of_nobody,
	  "{\"e\":\"note\",\"at\":\"\",\"text\":\"stopped\"" },
	{ "hostile note", hostile_note, "{\"e\":\"note\",\"at\":\"n1\",\"text\":\"?[31m?\"" },
	{ "start", start, "{\"e\":\"start\",\"at\":\"n1\",\"step\":\"p/c/n1\"" },
	{ "end", end,
	  "{\"e\":\"end\",\"at\":\"n1\",\"step\":\"p/c/n1\",\"word\":\"lost\",\"why\":\"it is "
	  "gone\"" },
	{ "clock", clock_ahead, "{\"e\":\"clock\",\"at\":\"n1\",\"offset\":1.5,\"error\":0.25" },
	{ "told", told, "{\"e\":\"watch\",\"at\":\"n1\",\"word\":\"told\"" },
	{ "gap", gap, "{\"e\":\"watch\",\"at\":\"n1\",\"word\":\"gap\",\"since\":100.0" },
	{ "over", scribe_over, "{\"e\":\"beat\",\"at\":\"\"" },
};

static void own_lines_are_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int failed = 0; failed < 2; failed++) {
			struct world w;
			char *got;

			print_message("  %s%s\n", cases[i].name, failed ? ", too late" : "");
			set_up(&w);
			w.scribe.failed = failed;
			cases[i].write(&w.scribe);
			got = written(&w);
			assert_string_equal(got, failed ? "" : cases[i].line);
			assert_int_equal(w.told, !failed);
			assert_int_equal(w.scribe.failed, failed);
			free(got);
			tear_down(&w);
		}
}

/* A line of a node is kept to the byte. */
static void lines_of_nodes_stay_as_they_came(void **state)
{
	static const char text[] = "{\"e\":\"note\",\"at\":\"n1\",\"text\":\"x\",\"t\":5,";
	struct error err;
	struct event ev;
	struct world w;
	char *line, *got;

	(void)state;
	line = xasprintf("%.*s,\"c\":\"%08x\"}", (int)strlen(text) - 1, text,
			 (unsigned int)crc32c(text, strlen(text) - 1));
	assert_int_equal(event_parse(line, strlen(line), &ev, &err), 0);
	set_up(&w);
	scribe_line(&w.scribe, &ev, line, strlen(line));
	got = written(&w);
	assert_string_equal(got, "{\"e\":\"note\",\"at\":\"n1\",\"text\":\"x\"");
	assert_memory_equal(got + strlen(got) + 1, line + strlen(got) + 1,
			    strlen(line) - strlen(got) - 1);
	assert_int_equal(w.told, 1);
	assert_int_equal(w.scribe.results->note_count, 1);
	event_release(&ev);
	free(got);
	free(line);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_lines_are_written),
		cmocka_unit_test(lines_of_nodes_stay_as_they_came),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
