/*
 * test_reach.c - reach.c against channels that drop, damage, mix, lie and fall silent.
 *
 * A channel's command is this program again (`test_reach speak HOW NODE...`), which speaks for
 * several agents as a launcher would pass them on. What the callbacks saw of a node is one line of
 * words, such as "hello ready note data note end".
 */
#include "harness/reach.h"
#include "harness/reach_private.h"
#include "harness/version.h"

#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { NODES_MOST = 8, LINES_MOST = 2000 };

#define WHOLE "hello ready note data note end"

/* ---- the other side: a command that speaks for agents ---------------------------------------- */

struct agent {
	const char *name;
	char *lines[LINES_MOST]; /* line n at n - 1 */
	const char *kinds[LINES_MOST];
	int count, clocked, stopped;
};

struct mouth {
	const char *how; /* "drop note", "silent", ... */
	struct agent agents[NODES_MOST];
	int count, done; /* done: what was to be done once has been done */
	char *held;      /* a line that waits for the next one to overtake it */
};

static int is_how(const struct mouth *m, const char *how)
{
	return !strcmp(m->how, how);
}

static void put(const char *text)
{
	size_t len = strlen(text);

	if (write(STDOUT_FILENO, text, len) != (ssize_t)len)
		_exit(0);
}

static void pause_ms(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* The line as it stands, or as a launcher with bad habits passes it on. */
static void mangle(struct mouth *m, const char *what, const char *line, const char *other)
{
	char *copy = xstrdup(line);
	size_t len = strlen(copy);

	if (!strcmp(what, "damage")) {
		copy[len / 2] ^= 1;
		put(copy);
	} else if (!strcmp(what, "twice")) {
		put(copy);
		put(copy);
	} else if (!strcmp(what, "swap")) {
		m->held = xstrdup(copy);
	} else if (!strcmp(what, "split")) {
		char *mixed = xasprintf("%.*s%s%s", (int)(len / 2), copy, other, copy + len / 2);

		put(mixed);
		free(mixed);
	} else if (!strcmp(what, "join")) {
		copy[len - 1] = '\0';
		put(copy);
	} else if (strcmp(what, "drop") != 0) {
		put(copy);
	}
	free(copy);
}

/* "drop note" is done to the first agent's first note, "never note" whenever it is sent. */
static void say(struct mouth *m, int agent, int number)
{
	struct agent *a = &m->agents[agent];
	const char *kind = strchr(m->how, ' '), *line = a->lines[number - 1];
	char what[16] = "";

	if (kind && agent == 0 && !strcmp(kind + 1, a->kinds[number - 1]))
		snprintf(what, sizeof(what), "%.*s", (int)(kind - m->how), m->how);
	if (!strcmp(what, "never") || (!strcmp(what, "forgetful") && number == 6))
		return;
	if (*what && !m->done) {
		m->done = 1;
		mangle(m, what, line, m->agents[m->count - 1].lines[0]);
		return;
	}
	put(line);
	if (m->held)
		put(m->held);
	free(m->held);
	m->held = NULL;
}

/* number: what the line says of itself; 0: what is right */
static void tell(struct mouth *m, int agent, const char *kind, json_t *object, json_t *number)
{
	struct agent *a = &m->agents[agent];
	struct error err;

	if (a->count == LINES_MOST)
		_exit(0);
	json_object_set_new(object, "at", json_string(a->name));
	if (!number)
		json_object_set_new(object, "n", json_integer(a->count + 1));
	else if (!json_is_null(number))
		json_object_set(object, "n", number);
	json_decref(number);
	a->kinds[a->count] = kind;
	a->lines[a->count++] = event_line(object, &err);
	say(m, agent, a->count);
}

static void tell_hello(struct mouth *m, int agent)
{
	json_t *e = event_new(EV_HELLO);
	const char *version = is_how(m, "version") && agent == 0 ? "99.9" : ASSAY_VERSION;
	const char *commit = is_how(m, "commit") && agent == 0 ? "beef" : ASSAY_COMMIT;
	char *boot = xasprintf("boot-%s", is_how(m, "twin") ? "x" : m->agents[agent].name);

	json_object_set_new(e, "version", json_string(version));
	json_object_set_new(e, "commit", json_string(commit));
	if (!is_how(m, "no-boot"))
		json_object_set_new(e, "boot", json_string(boot));
	free(boot);
	tell(m, agent, "hello", e, NULL);
}

static void tell_beat(struct mouth *m, int agent, const char *first)
{
	json_t *e = event_new(EV_BEAT);

	if (first)
		json_object_set_new(e, "first", json_integer(atoll(first)));
	tell(m, agent, "beat", e, NULL);
}

static void tell_result(struct mouth *m, int agent, const char *kind, enum event_kind ev)
{
	json_t *e = event_new(ev), *number = NULL;

	json_object_set_new(e, "step", json_string("p/c/n"));
	if (agent == 0 && ev == EV_DATA && !strncmp(m->how, "number=", 7))
		number = json_loads(m->how + 7, JSON_DECODE_ANY, NULL);
	tell(m, agent, kind, e, number);
}

/* An end in the name of another agent, with the number that is next there. */
static void forge(const char *name, int number)
{
	json_t *e = event_new(EV_END);
	struct error err;
	char *line;

	json_object_set_new(e, "at", json_string(name));
	json_object_set_new(e, "step", json_string("forged"));
	json_object_set_new(e, "n", json_integer(number));
	line = event_line(e, &err);
	put(line);
	free(line);
}

/* Once its clock is known, an agent tells all it has to tell. */
static void tell_all(struct mouth *m, int agent)
{
	if (is_how(m, "forge") && agent == 0) {
		forge("n9", 1);
		forge("", 1);
		forge("n2", m->agents[1].count + 1);
	}
	if (is_how(m, "silent") && agent == 0)
		return;
	if (is_how(m, "hello-again"))
		tell_hello(m, agent);
	if (!strncmp(m->how, "first=", 6) && agent == 0)
		tell_beat(m, agent, m->how + 6);
	tell_result(m, agent, "note", EV_NOTE);
	tell_result(m, agent, "data", EV_DATA);
	tell_result(m, agent, "note", EV_NOTE);
	tell_result(m, agent, "end", EV_END);
}

static void answer_ping(struct mouth *m, int agent, const struct event *ev)
{
	json_t *e = event_new(EV_PONG);
	double ahead = is_how(m, "clock") ? 2 : 0;

	if (is_how(m, "mute") && agent == 0) {
		json_decref(e);
		return;
	}
	json_object_set_new(
		e, "k",
		json_integer(is_how(m, "wrong-pong") && agent == 0 ? 9 : event_whole(ev, "k")));
	json_object_set_new(e, "us", json_integer((json_int_t)((clock_wall() + ahead) * 1e6)));
	if (is_how(m, "clock")) /* all of the delay lies on the way back */
		pause_ms(40 + 20 * (int)event_whole(ev, "k"));
	tell(m, agent, "pong", e, NULL);
}

/* Its first note, which stands behind the pongs, was never seen and is kept no more. */
static void answer_again(struct mouth *m, int agent, int from)
{
	struct agent *a = &m->agents[agent];

	if (is_how(m, "forgetful note") && agent == 0 && from < 7) {
		tell_beat(m, agent, "7");
		from = 7;
	}
	for (int n = from; n <= a->count; n++)
		say(m, agent, n);
}

static int is_for(const struct event *ev, const char *name)
{
	struct hostlist to;
	struct error err;
	int found = !*event_text(ev, "to");

	if (found || hostlist_parse(event_text(ev, "to"), &to, &err) < 0)
		return found;
	for (int i = 0; i < to.count; i++)
		found |= !strcmp(to.names[i], name);
	hostlist_release(&to);
	return found;
}

static void on_order(void *arg, char *line, size_t len, int cut)
{
	struct mouth *m = arg;
	struct error err;
	struct event ev;

	if (cut || event_parse(line, len, &ev, &err) < 0)
		return;
	for (int i = 0; i < m->count; i++) {
		if (!is_for(&ev, m->agents[i].name))
			continue;
		m->agents[i].stopped |= ev.kind == EV_STOP;
		if (ev.kind == EV_STOP && !*event_text(&ev, "to"))
			_exit(0);
		if (ev.kind == EV_PING)
			answer_ping(m, i, &ev);
		if (ev.kind == EV_AGAIN)
			answer_again(m, i, (int)event_whole(&ev, "from"));
		if (ev.kind == EV_CLOCK && !m->agents[i].clocked++)
			tell_all(m, i);
	}
	event_release(&ev);
}

static void begin_to_speak(struct mouth *m)
{
	if (is_how(m, "banner") || is_how(m, "banner-only"))
		put("Welcome.\n\nHave a nice day.\n");
	if (is_how(m, "banner-only"))
		_exit(0);
	for (int i = 0; i < m->count && !is_how(m, "nothing"); i++)
		tell_hello(m, i);
	if (is_how(m, "early")) {
		fputs("boom\n", stderr);
		exit(3);
	}
	if (is_how(m, "killed"))
		raise(SIGKILL);
}

static int speak(int count, char **words)
{
	struct mouth m = { .how = words[0], .count = count - 1 };
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	struct lines lines;
	char buf[4096];
	ssize_t n;

	for (int i = 0; i < m.count; i++)
		m.agents[i].name = words[i + 1];
	lines_init(&lines, EVENT_MOST, on_order, &m);
	begin_to_speak(&m);
	for (;;) {
		if (poll(&in, 1, 30) > 0) {
			n = read(STDIN_FILENO, buf, sizeof(buf));
			if (n <= 0)
				return 0;
			lines_feed(&lines, buf, (size_t)n);
		} else {
			for (int i = 0; i < m.count && !is_how(&m, "nothing"); i++)
				if (!m.agents[i].stopped && (i || !is_how(&m, "silent")))
					tell_beat(&m, i, NULL);
		}
	}
}

/* ---- this side ---------------------------------------------------------------------------------
 */

static const struct reach_times quick = {
	.silent = 1, .beat = 0.2, .again = 0.05, .agains = 20, .clock = 600, .tick = 0.05
};

struct watch {
	uv_loop_t loop;
	uv_timer_t timer;
	struct fleet fleet;
	struct fleet_node nodes[NODES_MOST];
	struct launcher launcher;
	struct reach *reach;
	struct text seen[NODES_MOST], notes, why[NODES_MOST];
	const char *lose_at, *leave_at; /* a word at which node 0 is given up, or all is left */
	double deadline;
};

static char **speaker(const struct launch *launch, const char *const *nodes, int count,
		      struct error *err)
{
	char **argv = xcalloc((size_t)count + 4, sizeof(*argv));

	(void)err;
	argv[0] = xstrdup("/proc/self/exe");
	argv[1] = xstrdup("speak");
	argv[2] = xstrdup(launch->program); /* "drop note" */
	for (int i = 0; i < count; i++)
		argv[3 + i] = xstrdup(nodes[i]);
	return argv;
}

static void see(struct watch *w, int node, const char *word)
{
	text_addf(&w->seen[node], "%s%s", w->seen[node].len ? " " : "", word);
	if (w->lose_at && node == 0 && !strcmp(word, w->lose_at))
		reach_lose(w->reach, node, "given up");
	if (w->leave_at && node == 0 && !strcmp(word, w->leave_at))
		reach_leave(w->reach, 0, 0);
}

static void on_ready(void *arg, int node)
{
	see(arg, node, "ready");
}

static void on_line(void *arg, int node, const struct event *ev, const char *line, size_t len)
{
	struct watch *w = arg;
	struct event again;
	struct error err;

	/* The line is what was parsed. */
	assert_int_equal(event_parse(line, len, &again, &err), 0);
	assert_true(json_equal(again.json, ev->json));
	event_release(&again);
	see(w, node, !strcmp(ev->step, "forged") ? "forged" : event_text(ev, "e"));
}

static void on_lost(void *arg, int node, const char *why)
{
	struct watch *w = arg;

	text_add(&w->why[node], why);
	see(w, node, "lost");
}

static void on_note(void *arg, int node, const char *text)
{
	struct watch *w = arg;

	text_addf(&w->notes, "%s: %s\n", node < 0 ? "" : w->nodes[node].name, text);
}

static int ends_in(const struct text *t, const char *word)
{
	size_t n = strlen(word);

	return t->len >= n && !strcmp(t->data + t->len - n, word);
}

/* Done when every node has come to an end of its own, or the time is over. */
static void on_timer(uv_timer_t *timer)
{
	struct watch *w = timer->data;
	int done = 0;

	for (int i = 0; i < w->fleet.count; i++)
		done += ends_in(&w->seen[i], "end") || ends_in(&w->seen[i], "lost");
	if (done == w->fleet.count || clock_now() > w->deadline)
		uv_stop(&w->loop);
}

static void set_up(struct watch *w, int nodes, int together, const struct launch *launch)
{
	const struct reach_calls calls = { on_ready, on_line, on_lost, on_note, w };
	static const char *const names[] = { "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8" };

	w->fleet = (struct fleet){ w->nodes, nodes, json_object() };
	for (int i = 0; i < nodes; i++) {
		w->nodes[i].name = (char *)names[i];
		json_object_set_new(w->fleet.index, names[i], json_integer(i));
		text_init(&w->seen[i]);
		text_init(&w->why[i]);
	}
	text_init(&w->notes);
	w->launcher.name = "test";
	w->launcher.together = together;
	if (!w->launcher.patience)
		w->launcher.patience = 20;
	if (!w->launcher.command)
		w->launcher.command = speaker;
	uv_loop_init(&w->loop);
	w->reach = reach_new(&w->loop, &w->fleet, &w->launcher, launch, &calls);
	reach_set_times(w->reach, &quick);
	uv_timer_init(&w->loop, &w->timer);
	w->timer.data = w;
	uv_timer_start(&w->timer, on_timer, 20, 20);
}

static void run_for(struct watch *w, double seconds)
{
	w->deadline = clock_now() + seconds;
	uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void tear_down(struct watch *w)
{
	double began = clock_now();

	reach_leave(w->reach, 0, 0);
	reach_kill(w->reach); /* speakers know no `stop` */
	uv_close((uv_handle_t *)&w->timer, NULL);
	while (reach_alive(w->reach)) {
		uv_run(&w->loop, UV_RUN_ONCE);
		assert_true(clock_now() - began < 10);
	}
	reach_free(w->reach);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	for (int i = 0; i < w->fleet.count; i++) {
		text_release(&w->seen[i]);
		text_release(&w->why[i]);
	}
	text_release(&w->notes);
	json_decref(w->fleet.index);
}

/* ---- lines that suffer on their way ------------------------------------------------------------
 */

static void expect_whole(const char *how, int nodes, int together)
{
	const struct launch launch = { .program = how };
	struct watch w = { 0 };

	set_up(&w, nodes, together, &launch);
	reach_start(w.reach);
	run_for(&w, 10);
	for (int i = 0; i < nodes; i++)
		if (strcmp(w.seen[i].data, WHOLE) != 0)
			fail_msg("%s, n%d: %s (%s)", how, i + 1, w.seen[i].data, w.why[i].data);
	tear_down(&w);
}

static void every_line_comes_once_in_order(void **state)
{
	static const char *const kinds[] = { "hello", "pong", "note", "data", "end", "beat" };
	static const char *const what[] = { "drop", "damage", "twice", "swap", "split", "join" };

	(void)state;
	expect_whole("good", 3, 3);
	expect_whole("good", 3, 1);
	expect_whole("good", 5, 2);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (size_t i = 0; i < ARRAY_SIZE(what); i++) {
			char *how = xasprintf("%s %s", what[i], kinds[k]);

			expect_whole(how, 3, 3);
			expect_whole(how, 1, 1);
			free(how);
		}
	}
}

/* ---- agents that do what they should not -------------------------------------------------------
 */

static const struct {
	const char *name, *how;
	int nodes, together, patience;
	const char *first, *others; /* what is seen of the first node and of each other */
	const char *why, *note;     /* parts of why the first was lost, and of the notes */
} odd[] = {
	{ "never gives a line", "never data", 2, 2, 20, "hello ready note lost", WHOLE,
	  "its lines stay damaged, however often they are asked for", "" },
	{ "never gives the hello", "never hello", 2, 2, 20, "lost", WHOLE,
	  "its lines stay damaged, however often they are asked for", "" },
	{ "keeps no older lines", "forgetful note", 2, 2, 20, "hello ready data note end", WHOLE,
	  "", "n1: its lines 6 to 6 are lost" },
	{ "number of an old line", "number=1", 2, 2, 20, "hello ready note lost", WHOLE,
	  "its lines stay damaged", "" },
	{ "number that is huge", "number=9223372036854775807", 2, 2, 20, "hello ready note lost",
	  WHOLE, "its lines stay damaged", "" },
	{ "number below zero", "number=-7", 2, 2, 20, "hello ready note lost", WHOLE,
	  "its lines stay damaged", "" },
	{ "number that is a text", "number=\"7\"", 2, 2, 20, "hello ready note lost", WHOLE,
	  "its lines stay damaged", "" },
	{ "no number", "number=null", 2, 2, 20, "hello ready note lost", WHOLE,
	  "its lines stay damaged", "" },
	{ "first that is huge", "first=9223372036854775807", 2, 2, 20, WHOLE, WHOLE, "", "" },
	{ "first below zero", "first=-1", 2, 2, 20, WHOLE, WHOLE, "", "" },
	{ "first that is known", "first=2", 2, 2, 20, WHOLE, WHOLE, "", "" },
	{ "says hello again", "hello-again", 2, 2, 20, WHOLE, WHOLE, "", "" },
	{ "another version", "version", 2, 2, 20, "hello lost", WHOLE, "its agent is version 99.9",
	  "" },
	{ "another commit", "commit", 2, 2, 20, "hello lost", WHOLE, "(beef), this is", "" },
	{ "no boot id", "no-boot", 2, 2, 20, WHOLE, WHOLE, "", "n1: its agent tells no boot id" },
	{ "silence", "silent", 2, 2, 20, "hello ready lost", WHOLE,
	  "it fell silent: no life sign of its agent for 1 s", "" },
	{ "silence of the only one", "nothing", 1, 1, 1, "lost", "", "no agent answered", "" },
	{ "silence of all", "nothing", 2, 2, 1, "lost", "lost", "no agent answered", "" },
	{ "no answer to a ping", "mute", 2, 2, 20, "hello lost", WHOLE,
	  "its agent gives life signs, but no answers", "" },
	{ "answers another ping", "wrong-pong", 2, 2, 20, "hello lost", WHOLE,
	  "its agent gives life signs, but no answers", "" },
	{ "leaves early", "early", 2, 2, 20, "hello lost", "hello lost",
	  "its agent left with code 3: boom", "" },
	{ "is killed", "killed", 2, 2, 20, "hello lost", "hello lost",
	  "its agent was killed by signal 9", "" },
	{ "a banner", "banner", 1, 1, 20, WHOLE, "", "",
	  "n1: 3 lines came before its agent spoke" },
	{ "a banner before many", "banner", 2, 2, 20, WHOLE, WHOLE, "", "" },
	{ "a banner and no more", "banner-only", 1, 1, 20, "lost", "", "its agent left with code 0",
	  "" },
};

static void odd_agents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		const struct launch launch = { .program = odd[i].how };
		struct watch w = { .launcher = { .patience = odd[i].patience } };
		double began = clock_now();

		set_up(&w, odd[i].nodes, odd[i].together, &launch);
		reach_start(w.reach);
		run_for(&w, 10);
		if (strcmp(w.seen[0].data, odd[i].first) != 0 || !strstr(w.why[0].data, odd[i].why))
			fail_msg("%s: %s (%s)", odd[i].name, w.seen[0].data, w.why[0].data);
		for (int n = 1; n < odd[i].nodes; n++)
			if (strcmp(w.seen[n].data, odd[i].others) != 0)
				fail_msg("%s, n%d: %s (%s)", odd[i].name, n + 1, w.seen[n].data,
					 w.why[n].data);
		if (!strstr(w.notes.data, odd[i].note) || (!*odd[i].note && w.notes.len))
			fail_msg("%s: notes: %s", odd[i].name, w.notes.data);
		assert_true(clock_now() - began < 9);
		tear_down(&w);
	}
}

/*
 * Agents of one command share its channel, so one of them can speak in the name of another and is
 * believed; a name that is not of this channel, or none, is not.
 */
static void forged_names(void **state)
{
	const struct launch launch = { .program = "forge" };

	(void)state;
	for (int together = 1; together <= 3; together += 2) {
		struct watch w = { 0 };

		set_up(&w, 3, together, &launch);
		reach_start(w.reach);
		run_for(&w, 10);
		assert_string_equal(w.seen[0].data, WHOLE);
		assert_string_equal(w.seen[2].data, WHOLE);
		if (together == 1)
			assert_string_equal(w.seen[1].data, WHOLE);
		else
			assert_non_null(strstr(w.seen[1].data, "forged"));
		if (together == 1)
			assert_non_null(strstr(w.notes.data,
					       "n1: a line of its agent is left out: it is in the "
					       "name of another node"));
		tear_down(&w);
	}
}

/* One good machine must not count as two; but pretended nodes are one machine. */
static void two_names_of_one_machine(void **state)
{
	const struct launch launch = { .program = "twin" };

	(void)state;
	for (int pretends = 0; pretends <= 1; pretends++) {
		struct watch w = { .launcher = { .pretends = pretends } };

		set_up(&w, 3, 3, &launch);
		reach_start(w.reach);
		run_for(&w, 10);
		assert_string_equal(w.seen[0].data, WHOLE);
		for (int i = 1; i < 3; i++) {
			assert_string_equal(w.seen[i].data, pretends ? WHOLE : "hello lost");
			assert_string_equal(w.why[i].data,
					    pretends ? ""
						     : "it is the same machine as n1 (both have "
						       "boot id boot-x)");
		}
		tear_down(&w);
	}
}

/* The delay lies on one side, which no clock can see: the error must cover it, and be the least. */
static void clocks_are_measured(void **state)
{
	const struct launch launch = { .program = "clock" };
	struct watch w = { 0 };
	double offset, error;

	(void)state;
	set_up(&w, 2, 1, &launch);
	assert_false(reach_clock(w.reach, 0, &offset, &error));
	reach_start(w.reach);
	run_for(&w, 10);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(w.seen[i].data, WHOLE);
		assert_true(reach_clock(w.reach, i, &offset, &error));
		if (fabs(offset - 2) > error || error < 0.020 || error > 0.035)
			fail_msg("offset %g, error %g", offset, error);
	}
	tear_down(&w);
}

static void nodes_are_given_up_inside_callbacks(void **state)
{
	static const struct {
		const char *at, *seen;
	} cases[] = {
		{ "hello", "hello lost" },
		{ "ready", "hello ready lost" },
		{ "note", "hello ready note lost" },
		{ "end", WHOLE " lost" },
	};

	(void)state;
	for (int together = 1; together <= 2; together++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			const struct launch launch = { .program = "good" };
			struct watch w = { .lose_at = cases[i].at };

			set_up(&w, 2, together, &launch);
			reach_start(w.reach);
			run_for(&w, 10);
			assert_string_equal(w.seen[0].data, cases[i].seen);
			assert_string_equal(w.seen[1].data, WHOLE);
			assert_string_equal(w.why[0].data, "given up");
			assert_false(reach_is_ready(w.reach, 0));
			reach_lose(w.reach, 0, "once more"); /* at most once */
			assert_string_equal(w.seen[0].data, cases[i].seen);
			tear_down(&w);
		}
	}
}

static void nothing_is_said_after_leaving(void **state)
{
	static const char *const at[] = { "hello", "ready", "note" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		const struct launch launch = { .program = "good" };
		struct watch w = { .leave_at = at[i] };
		size_t before;

		set_up(&w, 3, 1, &launch);
		w.launcher.window = 1; /* the others are not even started then */
		reach_start(w.reach);
		run_for(&w, 0.3);
		before = w.seen[0].len + w.seen[1].len + w.seen[2].len;
		assert_true(ends_in(&w.seen[0], at[i]));
		run_for(&w, 0.3);
		assert_int_equal(w.seen[0].len + w.seen[1].len + w.seen[2].len, before);
		assert_string_equal(w.seen[2].data, "");
		tear_down(&w);
	}
}

static void leaving_while_commands_start(void **state)
{
	const struct launch launch = { .program = "nothing" };
	struct watch w = { 0 };

	(void)state;
	set_up(&w, 4, 1, &launch);
	w.launcher.window = 2;
	reach_start(w.reach);
	assert_int_equal(reach_alive(w.reach), 2);
	tear_down(&w);
}

static void not_more_at_a_time_than_wanted(void **state)
{
	const struct launch launch = { .program = "good" };
	struct watch w = { 0 };

	(void)state;
	set_up(&w, 6, 1, &launch);
	w.launcher.window = 2;
	reach_start(w.reach);
	assert_int_equal(reach_alive(w.reach), 2);
	run_for(&w, 10);
	for (int i = 0; i < 6; i++)
		assert_string_equal(w.seen[i].data, WHOLE);
	tear_down(&w);
}

/* A node that was given up before its turn came is not started, and not lost twice. */
static void given_up_before_its_turn(void **state)
{
	const struct launch launch = { .program = "good" };

	(void)state;
	for (int together = 1; together <= 2; together++) {
		struct watch w = { 0 };

		set_up(&w, 4, together, &launch);
		reach_lose(w.reach, 2, "given up");
		reach_start(w.reach);
		run_for(&w, 10);
		assert_string_equal(w.seen[0].data, WHOLE);
		assert_string_equal(w.seen[2].data, "lost");
		assert_string_equal(w.seen[3].data, WHOLE);
		tear_down(&w);
	}
}

/* ---- many nodes --------------------------------------------------------------------------------
 */

static char **no_command(const struct launch *launch, const char *const *nodes, int count,
			 struct error *err)
{
	(void)launch;
	(void)nodes;
	(void)count;
	error_set(err, "no way there");
	return NULL;
}

static void count_lost(void *arg, int node, const char *why)
{
	(void)node;
	assert_string_equal(why, "no way there");
	++*(int *)arg;
}

/* A launcher that is not installed fails for every node: that must not be one level deeper each. */
static void every_command_fails(void **state)
{
	enum { MANY = 65536 }; /* as many as a host list may have */
	struct fleet fleet = { xcalloc(MANY, sizeof(*fleet.nodes)), MANY, json_object() };
	const struct launcher launcher = { .patience = 20, .window = 32, .command = no_command };
	const struct launch launch = { .program = "" };
	int lost = 0;
	const struct reach_calls calls = { .lost = count_lost, .arg = &lost };
	struct reach *reach;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	for (int i = 0; i < MANY; i++)
		fleet.nodes[i].name = "n";
	reach = reach_new(&loop, &fleet, &launcher, &launch, &calls);
	reach_start(reach);
	assert_int_equal(lost, MANY);
	reach_free(reach);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	json_decref(fleet.index);
	free(fleet.nodes);
}

struct sent {
	const struct fleet *fleet;
	int together, lines;
	char *told; /* how often each node was named */
};

static void on_sent(void *arg, int channel, const char *line)
{
	struct sent *s = arg;
	struct hostlist to;
	struct error err;
	struct event ev;

	s->lines++;
	assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
	assert_int_equal(hostlist_parse(event_text(&ev, "to"), &to, &err), 0);
	assert_true(strlen(event_text(&ev, "to")) <= 200);
	for (int i = 0; i < to.count; i++) {
		int node = fleet_find(s->fleet, to.names[i]);

		assert_in_range(node, 0, s->fleet->count - 1);
		assert_int_equal(node / s->together, channel);
		s->told[node]++;
	}
	hostlist_release(&to);
	event_release(&ev);
}

/* Names that make ranges, and names that make none; all in one channel, some, and one each. */
static void orders_name_each_node_once(void **state)
{
	enum { MANY = 3000 };
	static const struct {
		int every, together, most; /* lines */
	} cases[] = {
		{ 1, MANY, 1 }, { 1, 700, 5 }, { 1, 1, MANY }, { 3, MANY, 60 }, { 3, 1, 1000 }
	};
	struct fleet fleet = { xcalloc(MANY, sizeof(*fleet.nodes)), MANY, json_object() };
	const struct reach_calls calls = { 0 };
	const struct launch launch = { .program = "" };
	int *nodes = xcalloc(MANY, sizeof(*nodes));

	(void)state;
	for (int i = 0; i < MANY; i++) {
		fleet.nodes[i].name = xasprintf("n%04d", i);
		json_object_set_new(fleet.index, fleet.nodes[i].name, json_integer(i));
	}
	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		const struct launcher launcher = { .together = cases[c].together };
		struct sent sent = { &fleet, cases[c].together, 0, xcalloc(MANY, 1) };
		struct reach *reach;
		uv_loop_t loop;
		int count = 0;

		uv_loop_init(&loop);
		reach = reach_new(&loop, &fleet, &launcher, &launch, &calls);
		reach_spy(reach, on_sent, &sent);
		for (int i = 0; i < MANY; i += cases[c].every)
			nodes[count++] = i;
		reach_send(reach, nodes, count, event_new(EV_RUN));
		for (int i = 0; i < MANY; i++)
			assert_int_equal(sent.told[i], i % cases[c].every == 0);
		assert_in_range(sent.lines, 1, cases[c].most);
		reach_free(reach);
		uv_run(&loop, UV_RUN_DEFAULT);
		assert_int_equal(uv_loop_close(&loop), 0);
		free(sent.told);
	}
	for (int i = 0; i < MANY; i++)
		free(fleet.nodes[i].name);
	json_decref(fleet.index);
	free(fleet.nodes);
	free(nodes);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_comes_once_in_order),
		cmocka_unit_test(odd_agents),
		cmocka_unit_test(forged_names),
		cmocka_unit_test(two_names_of_one_machine),
		cmocka_unit_test(clocks_are_measured),
		cmocka_unit_test(nodes_are_given_up_inside_callbacks),
		cmocka_unit_test(nothing_is_said_after_leaving),
		cmocka_unit_test(leaving_while_commands_start),
		cmocka_unit_test(not_more_at_a_time_than_wanted),
		cmocka_unit_test(given_up_before_its_turn),
		cmocka_unit_test(every_command_fails),
		cmocka_unit_test(orders_name_each_node_once),
	};

	if (argc > 3 && !strcmp(argv[1], "speak"))
		return speak(argc - 2, argv + 2);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
