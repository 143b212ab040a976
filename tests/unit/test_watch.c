/* test_watch.c - journals and the moments of them that `assay watch` shows. */
#include "harness/event.h"
#include "harness/watch.h"

#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <wchar.h>

#include <cmocka.h>

/* Two phases of one step each, of 10 s; a third check that ends too early to judge. */
static const char spec_text[] =
	"assay: spec/1\nname: %s\nnodes: {n: {}}\nprograms:\n"
	"  good: {argv: [a], timeout: 10s, figures: {value: {better: more, regex: \"(.)\"}}}\n"
	"  late: {argv: [a], timeout: 10s, figures: {value: {better: more, regex: \"(.)\"}}}\n"
	"limits:\n"
	"  good.value: {at_least: 40, origin: contract, source: t}\n"
	"  late.value: {at_least: 40, origin: contract, source: t}\n";
static const char profile_text[] = "assay: profile/1\nname: p\nrepeat: 1\nphases:\n"
				   "  - {name: one, checks: {good: }}\n"
				   "  - {name: two, checks: {late: }}\n";

struct run {
	struct spec *spec;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;
	struct results *results;
	struct watch watch;
};

static char *tree_file(const char *name, const char *text)
{
	struct error err;
	char *path = xasprintf("/tmp/assay-watch-%d-%s.yaml", (int)getpid(), name);

	assert_int_equal(file_replace(path, text, strlen(text), &err), 0);
	return path;
}

static void make(struct run *r, const char *name, const char *hosts)
{
	const struct plan_options options = { 0 };
	char *text = xasprintf(spec_text, name), *spec = tree_file("spec", text),
	     *profile = tree_file("profile", profile_text);
	struct complaints c;
	struct hostlist list;
	struct error err;

	complaints_init(&c);
	*r = (struct run){ .spec = spec_load(spec, &c), .profile = profile_load(profile, &c) };
	assert_int_equal(c.errors, 0);
	assert_int_equal(hostlist_parse(hosts, &list, &err), 0);
	r->fleet = fleet_build(r->spec, &list, &err);
	r->plan = plan_build(r->spec, r->fleet, r->profile, &options, &err);
	assert_non_null(r->plan);
	r->results = results_new();
	r->results->head = json_pack("{s:s,s:s,s:b}", "e", "head", "version", "1", "simulated", 0);
	r->results->started = r->results->ended = 1000;
	watch_init(&r->watch, "run1");
	watch_begin(&r->watch, r->spec, r->profile, r->fleet, r->plan, r->results);
	hostlist_release(&list);
	complaints_release(&c);
	remove(spec);
	remove(profile);
	free(text);
	free(spec);
	free(profile);
}

static void drop(struct run *r)
{
	watch_release(&r->watch);
	results_free(r->results);
	plan_free(r->plan);
	fleet_free(r->fleet);
	profile_free(r->profile);
	spec_free(r->spec);
}

/* ---- journals in short: one word, the step or node, and what else the word needs ---- */

static json_t *hello_event(const char *node, const char *version)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:i}", "e", "hello", "at", node, "version",
			 *version ? version : "1", "pid", 7, "t", 1001);
}

static json_t *start_event(const char *step, const char *t)
{
	return json_pack("{s:s,s:s,s:s,s:f}", "e", "start", "at", "", "step", step, "t", atof(t));
}

static json_t *value_event(const char *step, const char *v)
{
	double x = atof(v);

	return json_pack("{s:s,s:s,s:s,s:s,s:{s:[f,f,f,f,f,f]}}", "e", "data", "at", "", "step",
			 step, "m", "value", "v", "", x, x, x, x, x, x);
}

static json_t *few_event(const char *step, const char *v)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:{s:[f]}}", "e", "data", "at", "", "step", step, "m",
			 "value", "v", "", atof(v));
}

static json_t *end_event(const char *step, const char *word, const char *why, int lines)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:i}", "e", "end", "at", "", "step", step, "word",
			 word, "why", why, "lines", lines);
}

static json_t *done_event(const char *step, const char *rest)
{
	(void)rest;
	return end_event(step, "done", "", 1);
}

static json_t *died_event(const char *step, const char *why)
{
	return end_event(step, "crash", why, 0);
}

static json_t *stuck_event(const char *step, const char *why)
{
	return end_event(step, "stuck", why, 0);
}

static json_t *lost_event(const char *step, const char *why)
{
	return end_event(step, "lost", why, 0);
}

static json_t *note_event(const char *at, const char *text)
{
	return json_pack("{s:s,s:s,s:s}", "e", "note", "at", strcmp(at, "-") ? at : "", "text",
			 text);
}

static const struct {
	const char *word;
	json_t *(*make)(const char *of, const char *rest);
} words[] = {
	{ "hello", hello_event }, { "start", start_event }, { "value", value_event },
	{ "few", few_event },     { "done", done_event },   { "died", died_event },
	{ "stuck", stuck_event }, { "lost", lost_event },   { "note", note_event },
};

static char *line_of(const char *word, const char *of, const char *rest)
{
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].word, word))
			return event_line(words[i].make(of, rest), &err);
	fail_msg("no word '%s'", word);
	return NULL;
}

/* "hello n1|start one/good/n1 1002|!torn": a '!' feeds the text behind it as it is. */
static void feed(struct run *r, const char *journal)
{
	char *copy = xstrdup(journal), *save = NULL;

	for (char *at = strtok_r(copy, "|", &save); at; at = strtok_r(NULL, "|", &save)) {
		char word[20] = "", of[100] = "", *line;
		int rest = 0;

		if (*at == '!') {
			watch_feed(&r->watch, at + 1, strlen(at + 1));
			continue;
		}
		assert_true(sscanf(at, "%19s %99s %n", word, of, &rest) >= 2);
		line = line_of(word, of, rest ? at + rest : "");
		watch_feed(&r->watch, line, strlen(line));
		free(line);
	}
	free(copy);
}

static void same(const char *name, const char *want, const struct text *got)
{
	if (strcmp(want, got->data) == 0)
		return;
	fprintf(stderr, "--- wanted\n%s--- got\n%s---\n", want,
		got->data); /* too long for cmocka */
	fail_msg("%s", name);
}

#define N1_DONE "start one/good/n1 1002|value one/good/n1 50|done one/good/n1|"
#define N2_DONE "start one/good/n2 1002|value one/good/n2 4|done one/good/n2|"
#define N1_LATE "start two/late/n1 1012|value two/late/n1 50|done two/late/n1|"
#define N2_LATE "start two/late/n2 1012|value two/late/n2 60|done two/late/n2|"

struct moment {
	const char *name, *journal;
	enum journal_lock lock;
	double now, written;
	const char *screen, *line;
};

static const struct moment moments[] = {
	{
		"nothing but a head",
		"",
		LOCK_HELD,
		1001,
		1000,
		"run1: s, profile p, 2 nodes\n"
		"one, phase 1 of 2  [--------------------------------------------------]    0%\n"
		"0 of 4 steps\n"
		"1 s so far, about 20 s left; newest event 1 s old\n"
		"\n"
		"nodes     2: 2 waiting\n"
		"\n"
		"findings  none yet\n"
		"\n"
		"power     no telemetry in this run\n",
		"[  0%] one: 0 of 4 steps, about 20 s left\n",
	},
	{
		"one runs, one has failed and waits",
		"hello n1|hello n2|start one/good/n1 1002|" N2_DONE,
		LOCK_HELD,
		1006,
		1004,
		"run1: s, profile p, 2 nodes\n"
		"one, phase 1 of 2  [############--------------------------------------]   25%\n"
		"1 of 4 steps, 1 running: one/good/n1\n"
		"6 s so far, about 13 s left; newest event 2 s old\n"
		"\n"
		"nodes     2: 1 running, 1 idle\n"
		"failing   1: n2\n"
		"\n"
		"findings  0 pass, 1 fail, 0 inconclusive, 0 not measured\n"
		"  FAIL  good value of n2: 4, wanted >= 40\n"
		"\n"
		"power     no telemetry in this run\n",
		"[ 25%] one: 1 of 4 steps, 1 node failing, about 13 s left\n",
	},
	{
		"a torn last line and a damaged one",
		"hello n1|!{\"e\":\"start\",\"c\":\"00000000\"}\n|" N1_DONE "!{\"e\":\"star",
		LOCK_HELD,
		1006,
		1006,
		"run1: s, profile p, 2 nodes\n"
		"one, phase 1 of 2  [############--------------------------------------]   25%\n"
		"1 of 4 steps\n"
		"6 s so far, about 15 s left; newest event 0 s old\n"
		"2 damaged lines of the journal left out\n"
		"\n"
		"nodes     2: 1 waiting, 1 idle\n"
		"\n"
		"findings  1 pass, 0 fail, 0 inconclusive, 0 not measured\n"
		"\n"
		"power     no telemetry in this run\n",
		"[ 25%] one: 1 of 4 steps, about 15 s left\n",
	},
	{
		"a long step explains a long silence",
		"hello n1|start one/good/n1 1002|hello n2|start one/good/n2 1179",
		LOCK_HELD,
		1190,
		1003,
		"run1: s, profile p, 2 nodes\n"
		"one, phase 1 of 2  [--------------------------------------------------]    0%\n"
		"0 of 4 steps, 2 running: one/good/n2, ...\n"
		"3 min 10 s so far, about 10 s left; newest event 3 min 07 s old\n"
		"\n"
		"nodes     2: 2 running\n"
		"\n"
		"findings  none yet\n"
		"\n"
		"power     no telemetry in this run\n",
		"[  0%] one: 0 of 4 steps, about 10 s left\n",
	},
	{
		"nothing explains it, and a lock says nothing",
		"hello n1|start one/good/n1 1002",
		LOCK_UNKNOWN,
		1300,
		1003,
		"run1: s, profile p, 2 nodes\n"
		"one, phase 1 of 2  [--------------------------------------------------]    0%\n"
		"0 of 4 steps, 1 running: one/good/n1\n"
		"5 min 00 s so far, about 15 s left; newest event 4 min 57 s old\n"
		"NO EVENT for 4 min 57 s: the controller may be gone; `assay resume run1`\n"
		"\n"
		"nodes     2: 1 waiting, 1 running\n"
		"\n"
		"findings  none yet\n"
		"\n"
		"power     no telemetry in this run\n",
		"[  0%] one: 0 of 4 steps, no event for 4 min 57 s: the controller may be gone\n",
	},
	{
		"the lock is free",
		"hello n1|hello n2|start one/good/n1 1002|note - stopped by the user",
		LOCK_FREE,
		1003,
		1003,
		"run1: s, profile p, 2 nodes\n"
		"one, phase 1 of 2  [--------------------------------------------------]    0%\n"
		"0 of 4 steps, 1 cut off: one/good/n1\n"
		"STOPPED BY THE USER: no controller runs; `assay resume run1` goes on\n"
		"about 20 s left when it goes on\n"
		"\n"
		"nodes     2: 2 waiting\n"
		"\n"
		"findings  none yet\n"
		"\n"
		"power     no telemetry in this run\n",
		"[  0%] one: 0 of 4 steps, stopped: no controller runs; `assay resume run1` goes "
		"on\n",
	},
	{
		"nodes leave in three ways, and one step dies",
		"hello n1|hello n2 2|start one/good/n1 1002|died one/good/n1 by signal 11|"
		"lost one/good/n2 another version|lost two/late/n2 another version|"
		"start two/late/n1 1003|stuck two/late/n1 in the driver",
		LOCK_HELD,
		1004,
		1004,
		"run1: s, profile p, 2 nodes\n"
		"all steps have ended  [##################################################]  100%\n"
		"4 of 4 steps, 4 of them without result\n"
		"4 s so far; the controller is about to leave\n"
		"\n"
		"nodes     2: 2 left out\n"
		"left out  2: n[1-2]\n"
		"\n"
		"findings  0 pass, 0 fail, 0 inconclusive, 4 not measured\n"
		"  HOLE  good value of n1: it died: by signal 11\n"
		"  HOLE  2 figures of n2: its result is lost: another version\n"
		"  HOLE  late value of n1: it cannot be killed: in the driver\n"
		"\n"
		"power     no telemetry in this run\n",
		"[100%] all phases: 4 of 4 steps, 2 left out, about 0 s left\n",
	},
	{
		"the end",
		"hello n1|hello n2|" N1_DONE N2_DONE N1_LATE N2_LATE,
		LOCK_FREE,
		5000,
		1020,
		"run1: s, profile p, 2 nodes\n"
		"REJECTED: At least one figure breaks its limit; the list below says which part\n"
		"and why.\n"
		"4 of 4 steps\n"
		"took 12 s; the whole report: `assay report run1`\n"
		"\n"
		"nodes     2: 2 done\n"
		"failing   1: n2\n"
		"\n"
		"findings  3 pass, 1 fail, 0 inconclusive, 0 not measured\n"
		"  FAIL  good value of n2: 4, wanted >= 40\n"
		"\n"
		"power     no telemetry in this run\n",
		"REJECTED: 4 of 4 steps, 1 node failing; the whole report: `assay report run1`\n",
	},
	{
		"all has ended, but a repeat is to come",
		"hello n1|hello n2|" N1_DONE "start one/good/n2 1002|few one/good/n2 50|"
		"done one/good/n2|" N1_LATE N2_LATE,
		LOCK_FREE,
		5000,
		1020,
		"run1: s, profile p, 2 nodes\n"
		"one, phase 1 of 2  [########################################----------]   80%\n"
		"4 of 5 steps\n"
		"STOPPED: no controller runs; `assay resume run1` goes on\n"
		"about 5 s left when it goes on\n"
		"\n"
		"nodes     2: 1 waiting, 1 done\n"
		"\n"
		"findings  3 pass, 0 fail, 1 inconclusive, 0 not measured\n"
		"  ?     good value of n2: 50, wanted >= 40\n"
		"\n"
		"power     no telemetry in this run\n",
		"[ 80%] one: 4 of 5 steps, stopped: no controller runs; `assay resume run1` goes "
		"on\n",
	},
};

static void a_screen_and_a_line_for_each_moment(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
		const struct moment *m = &moments[i];
		struct text out;
		struct run r;

		text_init(&out);
		make(&r, "s", "n[1-2]");
		feed(&r, m->journal);
		watch_look(&r.watch, m->now, m->lock, 1, m->written);
		if (r.watch.news)
			watch_judge(&r.watch);
		watch_render(&r.watch, 80, 24, &out);
		same(m->name, m->screen, &out);
		text_clear(&out);
		watch_line(&r.watch, &out);
		same(m->name, m->line, &out);
		drop(&r);
		text_release(&out);
	}
}

static void an_empty_journal(void **state)
{
	struct watch w;
	struct text out;

	(void)state;
	watch_init(&w, "run1");
	watch_look(&w, 1000, LOCK_HELD, 0, 1000);
	text_init(&out);
	watch_render(&w, 80, 24, &out);
	same("screen", "run1 has not begun yet: its journal has no head\n", &out);
	text_clear(&out);
	watch_json(&w, &out);
	same("json",
	     "{\"schema\":\"assay.watch/1\",\"run\":\"run1\",\"state\":\"empty\",\"t\":1000.0}\n",
	     &out);
	text_release(&out);
}

/* ---- one controller after another ---- */

static void state_is(const struct run *r, const char *when, const char *want)
{
	struct text got;

	text_init(&got);
	text_add(&got, run_state_word(r->watch.state));
	for (int i = 0; i < r->fleet->count; i++)
		text_addf(&got, " %s", watch_node_word(r->watch.nodes[i].state));
	same(when, want, &got);
	text_release(&got);
}

static void a_run_is_resumed(void **state)
{
	struct run r;

	(void)state;
	make(&r, "s", "n[1-2]");
	feed(&r, "hello n1|hello n2|start one/good/n1 1002|lost one/good/n2 gone|"
		 "lost two/late/n2 gone");
	watch_look(&r.watch, 1003, LOCK_HELD, 1, 1003);
	state_is(&r, "before", "running running lost");
	watch_look(&r.watch, 1004, LOCK_FREE, 0, 1003);
	state_is(&r, "killed", "stopped waiting lost");
	watch_look(&r.watch, 1005, LOCK_FREE, 0, 1003);
	assert_int_equal(r.watch.remaining.done, 2);
	watch_look(&r.watch, 1006, LOCK_HELD, 0, 1003);
	state_is(&r, "resumed", "running waiting waiting");
	assert_int_equal(r.watch.remaining.done, 0);
	feed(&r, "hello n1|start one/good/n1 1007");
	watch_look(&r.watch, 1007, LOCK_HELD, 1, 1007);
	state_is(&r, "one is back", "running running waiting");
	drop(&r);
}

/* The new controller's first lines may come with the look before its lock is seen. */
static void its_first_lines_are_kept(void **state)
{
	struct run r;

	(void)state;
	make(&r, "s", "n[1-2]");
	feed(&r, "hello n1|hello n2|start one/good/n1 1002");
	watch_look(&r.watch, 1003, LOCK_FREE, 1, 1003);
	watch_look(&r.watch, 1004, LOCK_FREE, 0, 1003);
	feed(&r, "hello n2|start one/good/n2 1004");
	watch_look(&r.watch, 1005, LOCK_FREE, 1, 1005);
	watch_look(&r.watch, 1006, LOCK_HELD, 0, 1005);
	state_is(&r, "taken over", "running waiting running");
	drop(&r);
}

/* Where the lock of another machine cannot be seen, lines tell that somebody writes them. */
static void a_lock_that_nobody_sees(void **state)
{
	struct run r;

	(void)state;
	make(&r, "s", "n1");
	feed(&r, "hello n1");
	watch_look(&r.watch, 1001, LOCK_FREE, 1, 1001);
	state_is(&r, "first look", "stopped waiting");
	feed(&r, "start one/good/n1 1002");
	watch_look(&r.watch, 1002, LOCK_FREE, 1, 1002);
	feed(&r, "value one/good/n1 50");
	watch_look(&r.watch, 1003, LOCK_FREE, 1, 1003);
	state_is(&r, "it grows", "running running");
	feed(&r, "done one/good/n1|" N1_LATE);
	watch_look(&r.watch, 1004, LOCK_FREE, 1, 1004);
	state_is(&r, "all has ended", "running done");
	watch_look(&r.watch, 1040, LOCK_FREE, 0, 1004);
	state_is(&r, "and is quiet", "finished done");
	drop(&r);
}

/* A controller whose clock is an hour ahead of ours. */
static void clocks_differ(void **state)
{
	struct run r;

	(void)state;
	make(&r, "s", "n1");
	r.results->started = 4600;
	watch_look(&r.watch, 1000, LOCK_HELD, 1, 1000);
	feed(&r, "hello n1|start one/good/n1 4602");
	watch_look(&r.watch, 1002, LOCK_HELD, 1, 1002);
	watch_look(&r.watch, 1007, LOCK_HELD, 0, 1002);
	assert_true(watch_elapsed(&r.watch) > 5 && watch_elapsed(&r.watch) < 10);
	assert_true(r.watch.remaining.left > 12 && r.watch.remaining.left < 18);
	drop(&r);
}

/* Two nodes of two steps of 10 s: one letter a step, and the seconds that are left at 1005. */
static const struct {
	const char *name, *steps; /* w: waits, r: runs since 1002, l: since 900, d, f: has ended */
	int done, running, failed, phase;
	double left;
} parts[] = {
	{ "all is to come", "wwww", 0, 0, 0, 0, 20 },
	{ "both run", "rrww", 0, 2, 0, 0, 17 },
	{ "half is done", "dfww", 2, 0, 1, 1, 10 },
	{ "one runs late", "dlww", 1, 1, 0, 0, 10 },
	{ "one alone takes its own time", "dddr", 3, 1, 0, 1, 7 },
	{ "all has ended", "dfdd", 4, 0, 1, 2, 0 },
};

static void what_remains(void **state)
{
	struct run r;

	(void)state;
	make(&r, "s", "n[1-2]");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct step_state at[4] = { 0 };
		struct remaining got;

		for (int k = 0; k < 4; k++) {
			char c = parts[i].steps[k];

			at[k].running = c == 'r' || c == 'l';
			at[k].ended = c == 'd' || c == 'f';
			at[k].failed = c == 'f';
			at[k].started = c == 'r' ? 1002 : c == 'l' ? 900 : 0;
		}
		got = plan_remaining(r.plan, at, 1005);
		if (got.done != parts[i].done || got.running != parts[i].running ||
		    got.failed != parts[i].failed || got.phase != parts[i].phase ||
		    got.left != parts[i].left || got.total != 4)
			fail_msg("%s: %d %d %d %d %g", parts[i].name, got.done, got.running,
				 got.failed, got.phase, got.left);
	}
	drop(&r);
}

/* Ids as a journal may hold them, and where they stand in the plan; those it lacks leave it as it
 * is. */
static void repeats_are_recalled(void **state)
{
	static const struct {
		const char *id;
		int step, count;
	} ids[] = {
		{ "one/good/n1", 0, 2 },
		{ "one/good#2/n1", 2, 3 },
		{ "one/good#2/n1", 2, 3 },
		{ "one/good#9/n1", -1, 4 },
		{ "one/none#2/n1", -1, 4 },
		{ "x#2/y", -1, 4 },
		{ "#", -1, 4 },
		{ "#/", -1, 4 },
		{ "", -1, 4 },
	};
	struct run r;

	(void)state;
	make(&r, "s", "n1");
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (plan_recall(r.plan, ids[i].id) != ids[i].step || r.plan->count != ids[i].count)
			fail_msg("%s: %d steps", ids[i].id, r.plan->count);
	drop(&r);
}

/* ---- limits of the terminal ---- */

static int columns_of(const char *line, size_t n)
{
	mbstate_t state = { 0 };
	int columns = 0;

	for (size_t len; n; line += len, n -= len) {
		wchar_t wide;

		len = mbrtowc(&wide, line, n, &state);
		assert_true(len > 0 && len <= n);
		assert_true(wcwidth(wide) > 0);
		columns += wcwidth(wide);
	}
	return columns;
}

static void check_size(const struct run *r, int columns, int rows)
{
	struct text out;
	int count = 0;

	text_init(&out);
	watch_render(&r->watch, columns, rows, &out);
	for (const char *at = out.data, *end; (end = strchr(at, '\n')); at = end + 1, count++)
		if (columns_of(at, (size_t)(end - at)) > columns)
			fail_msg("%dx%d: a line too wide: %.*s", columns, rows, (int)(end - at),
				 at);
	if (count > rows || count < 1 || out.data[out.len - 1] != '\n')
		fail_msg("%dx%d: %d lines\n%s", columns, rows, count, out.data);
	text_release(&out);
}

/* What nodes say: an escape sequence, a C1 control, a mark that turns the text around. */
#define HOSTILE "\033[2J \302\233 \342\200\256 \351\225\277\351\225\277 end"

static void it_fits_whatever_the_size(void **state)
{
	struct run r;

	(void)state;
	make(&r, "\"\346\234\272\346\237\234\346\234\272\346\237\234\"", "n[1-2],x[1-9]");
	feed(&r, "hello n1|hello n2|" N1_DONE N2_DONE "start two/late/n1 1010|"
		 "lost one/good/x1 " HOSTILE "|died one/good/x2 " HOSTILE "|"
		 "stuck one/good/x3 " HOSTILE);
	watch_look(&r.watch, 1400, LOCK_UNKNOWN, 1, 1010);
	watch_judge(&r.watch);
	for (int columns = 1; columns < 120; columns++)
		for (int rows = 1; rows < 30; rows++)
			check_size(&r, columns, rows);
	drop(&r);
}

static void what_matters_stays_longest(void **state)
{
	static const char want[] = "run1: s, profile p, 2 nodes\n"
				   "two, phase 2 of 2  [##############---------------]   50%\n"
				   "STOPPED: no controller runs; `assay resume run1` goes on\n"
				   "failing   1: n2\n"
				   "lost      1: n1: gone\n";
	struct text out;
	struct run r;

	(void)state;
	make(&r, "s", "n[1-2]");
	feed(&r, "hello n1|hello n2|lost one/good/n1 gone|" N2_DONE);
	watch_look(&r.watch, 1006, LOCK_FREE, 1, 1006);
	watch_judge(&r.watch);
	text_init(&out);
	watch_render(&r.watch, 56, 5, &out);
	same("five lines", want, &out);
	text_release(&out);
	drop(&r);
}

static void nothing_reaches_the_terminal(void **state)
{
	void (*const draw[])(const struct watch *, struct text *) = { watch_line, watch_json };
	struct text out;
	struct run r;

	(void)state;
	make(&r, "s", "n[1-2]");
	/* The line format refuses what is no UTF-8; the rest comes through it. */
	feed(&r, "hello n1|note n1 \033]0;x\007|died one/good/n1 \033[31m\302\233\177|"
		 "lost one/good/n2 \033[2J|lost two/late/n2 \033[2J");
	r.watch.run = "\033[2Jrun";
	watch_look(&r.watch, 1006, LOCK_FREE, 1, 1006);
	watch_judge(&r.watch);
	text_init(&out);
	watch_render(&r.watch, 80, 24, &out);
	assert_non_null(strstr(out.data, "HOLE  good value of n1: it died: ?[31m???\n"));
	assert_non_null(strstr(out.data, "lost      1: n2: ?[2J\n"));
	for (size_t i = 0; i < ARRAY_SIZE(draw); i++)
		draw[i](&r.watch, &out);
	for (const char *at = out.data; *at; at++)
		assert_true((unsigned char)*at >= 0x20 || *at == '\n');
	assert_null(strstr(out.data, "\302\233"));
	assert_null(strchr(out.data, '\177'));
	text_release(&out);
	drop(&r);
}

/* ---- many nodes ---- */

static const char thousand[] =
	"run1: s, profile p, 1024 nodes\n"
	"one, phase 1 of 2  [###-----------------------------------------------]    6%\n"
	"126 of 2048 steps, 6 of them without result, 961 running: one/good/n1024, ...\n"
	"6 s so far, about 16 s left; newest event 0 s old\n"
	"\n"
	"nodes     1024: 961 running, 60 done, 3 lost\n"
	"failing   10: n[0011-0020]\n"
	"lost      3: n[0001,0003,0512]: no agent answered\n"
	"\n"
	"findings  110 pass, 10 fail, 0 inconclusive, 6 not measured\n"
	"  FAIL  good value of n0020: 20, wanted >= 40; the worst of 10 on n[0011-0020]\n"
	"  HOLE  6 figures of n[0001,0003,0512]: its result is lost: no agent answered\n"
	"\n"
	"power     no telemetry in this run\n";

static void one_of_thousand(struct run *r, int n)
{
	char *journal;

	if (n == 1 || n == 3 || n == 512)
		journal = xasprintf("lost one/good/n%04d no agent answered|"
				    "lost two/late/n%04d no agent answered",
				    n, n);
	else if (n <= 62)
		journal = xasprintf("hello n%04d|start one/good/n%04d 1002|"
				    "value one/good/n%04d %d|done one/good/n%04d|"
				    "start two/late/n%04d 1003|value two/late/n%04d 70|"
				    "done two/late/n%04d",
				    n, n, n, n > 10 && n <= 20 ? 40 - n : 70, n, n, n, n);
	else
		journal = xasprintf("hello n%04d|start one/good/n%04d 1003", n, n);
	feed(r, journal);
	free(journal);
}

static void a_thousand_nodes(void **state)
{
	struct text out;
	struct run r;

	(void)state;
	make(&r, "s", "n[0001-1024]");
	for (int n = 1; n <= 1024; n++)
		one_of_thousand(&r, n);
	watch_look(&r.watch, 1006, LOCK_HELD, 1, 1006);
	watch_judge(&r.watch);
	text_init(&out);
	watch_render(&r.watch, 80, 24, &out);
	same("a thousand", thousand, &out);
	check_size(&r, 80, 24);
	check_size(&r, 80, 8);
	text_release(&out);
	drop(&r);
}

/* ---- the file ---- */

static void take(void *arg, const char *data, size_t n)
{
	text_put(arg, data, n);
}

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void add_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "a");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void looks(struct follow *f, enum follow_news news, const char *want)
{
	struct error err = { "" };
	struct text got;

	text_init(&got);
	assert_int_equal(follow_look(f, take, &got, &err), news);
	same("what was taken", want, &got);
	assert_int_equal(*err.text != '\0', news == FOLLOW_FAILED);
	text_release(&got);
}

static void a_file_is_followed(void **state)
{
	char folder[] = "/tmp/assay-follow-XXXXXX", *path, *other;
	struct follow f;

	(void)state;
	assert_non_null(mkdtemp(folder));
	follow_init(&f, folder);
	path = xasprintf("%s/journal.jsonl", folder);
	other = xasprintf("%s/other", folder);
	looks(&f, FOLLOW_FAILED, "");
	put_file(path, "");
	looks(&f, FOLLOW_SAME, "");
	assert_int_equal(f.lock, LOCK_FREE);
	add_file(path, "one\ntw");
	looks(&f, FOLLOW_GREW, "one\n");
	looks(&f, FOLLOW_SAME, "");
	add_file(path, "o\nthree\n");
	looks(&f, FOLLOW_GREW, "two\nthree\n");
	assert_int_equal(truncate(path, 4), 0); /* somebody cut what was taken */
	looks(&f, FOLLOW_AGAIN, "");
	looks(&f, FOLLOW_GREW, "one\n");
	put_file(other, "an other file\n");
	assert_int_equal(rename(other, path), 0);
	looks(&f, FOLLOW_AGAIN, "");
	looks(&f, FOLLOW_GREW, "an other file\n");
	remove(path);
	looks(&f, FOLLOW_FAILED, "");
	rmdir(folder);
	follow_release(&f);
	free(path);
	free(other);
}

static void a_lock_is_seen(void **state)
{
	char folder[] = "/tmp/assay-follow-XXXXXX", *path;
	struct journal *j;
	struct follow f;
	struct error err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	follow_init(&f, folder);
	path = xasprintf("%s/journal.jsonl", folder);
	j = journal_create(folder, &err);
	assert_non_null(j);
	looks(&f, FOLLOW_SAME, "");
	assert_int_equal(f.lock, LOCK_HELD);
	journal_close(j);
	looks(&f, FOLLOW_SAME, "");
	assert_int_equal(f.lock, LOCK_FREE);
	remove(path);
	rmdir(folder);
	follow_release(&f);
	free(path);
}

static void *let_go(void *fd)
{
	usleep(30000);
	flock(*(int *)fd, LOCK_UN);
	return NULL;
}

/* Who only looks does not keep a controller away; who stays does. */
static void a_look_is_no_lock(void **state)
{
	char folder[] = "/tmp/assay-follow-XXXXXX", *path;
	struct journal *j;
	struct error err;
	pthread_t thread;
	size_t cut;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	path = xasprintf("%s/journal.jsonl", folder);
	put_file(path, "");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_null(journal_open(folder, &cut, &err));
	assert_non_null(strstr(err.text, "belongs to a run that is still going on"));
	assert_int_equal(pthread_create(&thread, NULL, let_go, &fd), 0);
	j = journal_open(folder, &cut, &err);
	assert_non_null(j);
	pthread_join(thread, NULL);
	journal_close(j);
	close(fd);
	remove(path);
	rmdir(folder);
	free(path);
}

/* ---- power ---- */

static void tele(const char *folder, const char *node, double t, const char *series)
{
	json_t *v = json_loads(series, 0, NULL);
	struct error err;
	char *path = xasprintf("%s/telemetry/%s.jsonl", folder, node), *line;

	assert_non_null(v);
	line = event_line(json_pack("{s:s,s:s,s:f,s:f,s:o}", "e", "tele", "at", node, "t", t, "w",
				    10.0, "v", v),
			  &err);
	add_file(path, line);
	free(line);
	free(path);
}

static void power_is(struct run *r, const char *folder, double later, const char *want)
{
	struct power_meter *t = power_meter_new(folder, r->fleet);
	struct text got;

	text_init(&got);
	r->watch.now = clock_wall() + later;
	power_meter_look(t, r->watch.now, 0, &r->watch.power);
	watch_power_text(&r->watch, &got);
	same("power", want, &got);
	text_release(&got);
	power_meter_free(t);
}

static void power_is_added_up(void **state)
{
	char folder[] = "/tmp/assay-tele-XXXXXX", *command, *path;
	struct run r;

	(void)state;
	assert_non_null(mkdtemp(folder));
	make(&r, "s", "n[1-3]");
	power_is(&r, folder, 0, "no telemetry in this run");
	path = xasprintf("%s/telemetry", folder);
	command = xasprintf("mkdir %s", path);
	assert_int_equal(system(command), 0);
	power_is(&r, folder, 0, "no node has told anything yet");
	tele(folder, "n3", 100, "{\"cpu0.clock_hz\":[1,2,3]}");
	power_is(&r, folder, 0, "no node tells its power");
	/* What was not told again for too long, what did not move since, and what did. */
	tele(folder, "n1", 100, "{\"gpu0.power_w\":[1,9999,9999],\"gpu7.power_w\":[1,9999,9999]}");
	tele(folder, "n1", 790, "{\"gpu0.power_w\":[1,8888,9999],\"gpu0.temperature_c\":[1,2,99]}");
	tele(folder, "n1", 790, "{\"gpu1.power_w\":[300,400,500],\"gpu1.temperature_c\":[1,2,71]}");
	tele(folder, "n1", 800, "{\"gpu0.power_w\":[1,600.4,700],\"gpu0.temperature_c\":[1,2,65]}");
	power_is(&r, folder, 0, "1.00 kW of 2 gpus on 1 of 3 nodes; hottest n1/gpu1, 71 C");
	tele(folder, "n2", 5,
	     "{\"socket0.power_w\":[1,150,200],\"gpu0.temperature_c\":[1,2,\"x\"]}");
	tele(folder, "n2", 5, "{\"gpu0.power_w\":\"much\",\"gpu0.memory_temperature_c\":[1,2,99]}");
	path = xrealloc(path, strlen(path) + 20, 1);
	strcat(path, "/n2.jsonl");
	add_file(path, "{\"e\":\"tele\",\"at\":\"n2\",\"t\":6,\"w\":1,\"v\":{\"gpu0.power_w\":[1,"
		       "5000,1]},\"c\":\"00000000\"}\n{\"e\":\"tele\"");
	power_is(&r, folder, 0,
		 "1.15 kW of 1 socket, 2 gpus on 2 of 3 nodes; hottest n1/gpu1, 71 C");
	power_is(&r, folder, 300, "nothing told for 5 min 00 s");
	drop(&r);
	free(command);
	command = xasprintf("rm -r %s", folder);
	assert_int_equal(system(command), 0);
	free(command);
	free(path);
}

/* What was told lasts while the file grows; a part that went away is not counted any more. */
static void power_of_a_file_that_grows(void **state)
{
	char folder[] = "/tmp/assay-tele-XXXXXX", *command, *path, *line;
	struct power_meter *t;
	struct error err;
	struct run r;

	(void)state;
	assert_non_null(mkdtemp(folder));
	make(&r, "s", "n1");
	command = xasprintf("mkdir %s/telemetry", folder);
	path = xasprintf("%s/telemetry/n1.jsonl", folder);
	assert_int_equal(system(command), 0);
	t = power_meter_new(folder, r.fleet);
	tele(folder, "n1", 100, "{\"gpu0.power_w\":[100],\"gpu1.power_w\":[1,200,300]}");
	power_meter_look(t, clock_wall(), 1, &r.watch.power);
	assert_int_equal((int)r.watch.power.watts, 300);
	tele(folder, "n1", 110, "{\"gpu1.power_w\":[250],\"gpu1.temperature_c\":[70]}");
	power_meter_look(t, clock_wall(), 1, &r.watch.power);
	assert_int_equal((int)r.watch.power.watts, 350);
	assert_string_equal(r.watch.power.hottest, "n1/gpu1");
	line = event_line(json_pack("{s:s,s:s,s:f,s:s,s:s,s:s}", "e", "mark", "at", "n1", "t",
				    111.0, "part", "gpu1", "what", "away", "text", ""),
			  &err);
	add_file(path, line);
	power_meter_look(t, clock_wall(), 1, &r.watch.power);
	assert_int_equal((int)r.watch.power.watts, 100);
	assert_string_equal(r.watch.power.hottest, "");
	put_file(path, ""); /* and when it is another file, nothing of the old one */
	power_meter_look(t, clock_wall(), 1, &r.watch.power);
	assert_int_equal(r.watch.power.nodes, 0);
	power_meter_free(t);
	drop(&r);
	free(line);
	free(command);
	command = xasprintf("rm -r %s", folder);
	assert_int_equal(system(command), 0);
	free(command);
	free(path);
}

/* A window that is longer than what is read of a file, as no agent writes it. */
static void a_long_tail(void **state)
{
	char folder[] = "/tmp/assay-tele-XXXXXX", *command;
	struct run r;

	(void)state;
	assert_non_null(mkdtemp(folder));
	make(&r, "s", "n1");
	command = xasprintf("mkdir %s/telemetry", folder);
	assert_int_equal(system(command), 0);
	for (int i = 0; i < 6000; i++)
		tele(folder, "n1", i < 4000 ? 50 : 1000,
		     i < 4000 ? "{\"gpu0.power_w\":[1,900,1],\"gpu3.power_w\":[1,900,1]}"
			      : "{\"gpu0.power_w\":[1,100,1],\"gpu1.power_w\":[1,200,1]}");
	power_is(&r, folder, 0, "300 W of 2 gpus on 1 of 1 node");
	drop(&r);
	free(command);
	command = xasprintf("rm -r %s", folder);
	assert_int_equal(system(command), 0);
	free(command);
}

/* ---- for programs ---- */

static void members_for_programs(void **state)
{
	static const char want[] =
		"{\"schema\":\"assay.watch/1\",\"run\":\"run1\",\"state\":\"running\","
		"\"t\":1006.0,\"simulated\":false,\"verdict\":null,\"phase\":\"one\","
		"\"phase_number\":1,\"phases\":2,\"elapsed\":6.0,\"left\":13.0,\"silent\":2.0,"
		"\"suspicious\":false,\"damaged\":0,\"steps\":{\"total\":4,\"ended\":1,"
		"\"running\":1,\"without_result\":0},\"nodes\":{\"total\":2,\"waiting\":0,"
		"\"running\":1,\"idle\":1,\"done\":0,\"failing\":\"n2\",\"lost\":\"\","
		"\"left_out\":\"\"},\"findings\":{\"pass\":0,\"fail\":1,\"inconclusive\":0,"
		"\"not_measured\":0,\"waived\":0,\"worst\":[{\"verdict\":\"fail\",\"figures\":1,"
		"\"nodes\":\"n2\",\"check\":\"good\",\"metric\":\"value\",\"subject\":\"n2\","
		"\"value\":\"4\",\"limit\":\">= 40\",\"why\":\"\"}]},\"power\":null}\n";
	struct text out;
	struct run r;

	(void)state;
	make(&r, "s", "n[1-2]");
	feed(&r, moments[1].journal);
	watch_look(&r.watch, 1006, LOCK_HELD, 1, 1004);
	watch_judge(&r.watch);
	text_init(&out);
	watch_json(&r.watch, &out);
	same("json", want, &out);
	text_release(&out);
	drop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_screen_and_a_line_for_each_moment),
		cmocka_unit_test(an_empty_journal),
		cmocka_unit_test(a_run_is_resumed),
		cmocka_unit_test(its_first_lines_are_kept),
		cmocka_unit_test(a_lock_that_nobody_sees),
		cmocka_unit_test(clocks_differ),
		cmocka_unit_test(what_remains),
		cmocka_unit_test(repeats_are_recalled),
		cmocka_unit_test(it_fits_whatever_the_size),
		cmocka_unit_test(what_matters_stays_longest),
		cmocka_unit_test(nothing_reaches_the_terminal),
		cmocka_unit_test(a_thousand_nodes),
		cmocka_unit_test(a_file_is_followed),
		cmocka_unit_test(a_lock_is_seen),
		cmocka_unit_test(a_look_is_no_lock),
		cmocka_unit_test(power_is_added_up),
		cmocka_unit_test(power_of_a_file_that_grows),
		cmocka_unit_test(a_long_tail),
		cmocka_unit_test(members_for_programs),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
