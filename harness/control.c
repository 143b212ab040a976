/*
 * control.c - one loop around agents, steps and the journal.
 *
 * A phase is a gate: its steps, then repeats of what stayed inconclusive, then the next phase. On a
 * node a step starts as soon as nothing that runs there occupies what it needs, in plan order,
 * which is the very schedule that `assay plan` played through. Lines from agents are believed only
 * as far as they fit: the right node, a step that runs there now, a good checksum.
 */
#include "harness/control.h"

#include "harness/child.h"
#include "harness/version.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HELLO_SECONDS = 20, /* an agent that says nothing this long is lost */
	LOST_SECONDS = 30,  /* after a step's own deadline and kills, its agent is lost */
	STOP_SECONDS = 20,  /* for agents to stop their children and leave */
	PIECE = 140,        /* bytes of a knob in one line: all escaped it still fits */
	AGENT_SECONDS = 400 * 86400,
	BAD_LINES_NOTED = 100,
};

enum node_state { NODE_WAITING, NODE_STARTING, NODE_READY, NODE_LEAVING, NODE_GONE };

struct run;

struct link {
	struct run *run;
	int node;
	enum node_state state;
	struct child_process *agent;
	uv_timer_t hello;
	uint64_t busy;   /* resources of the steps that run there */
	int retired;     /* takes no further steps */
	int bad_lines;   /* lines that were no events */
	char why[300];   /* why it is gone or retired */
	char noise[300]; /* last line of the agent's standard error */
};

struct order {
	int running, ended, failed; /* failed: ended in another word than `done` */
	double started;
};

/* Steps of each node in plan order: at[from[node]] up to at[from[node + 1]]. */
struct node_steps {
	int *at, *from;
};

struct run {
	struct control *c;
	uv_loop_t loop;
	uv_timer_t tick;
	uv_signal_t interrupt, terminate;
	struct link *links;
	struct order *orders; /* of the plan's steps */
	struct node_steps of_node;
	int *open; /* steps of each phase that have no end yet */
	int phase;
	int next, reaching; /* the next node to be reached, and how many are being reached */
	int stopping, over;
	double began, stop_began;
	struct error *err;
	int failed;
};

static void fail(struct run *r)
{
	r->failed = 1;
	r->stopping = 1;
}

/* ---- the journal ---- */

static void append(struct run *r, json_t *object, int sync)
{
	char *text;

	if (r->failed) {
		json_decref(object);
		return;
	}
	if (r->c->line) {
		text = json_dumps(object, JSON_COMPACT);
		r->c->line(r->c->arg, text);
		free(text);
	}
	if (journal_append(r->c->journal, object, sync, r->c->results, r->err) < 0)
		fail(r);
}

static void add_own(struct run *r, json_t *object, int sync)
{
	json_object_set_new(object, "t", json_real(clock_wall()));
	append(r, object, sync);
}

static void note(struct run *r, const char *at, const char *text)
{
	json_t *event = event_new(EV_NOTE);

	json_object_set_new(event, "at", event_string(at, 255));
	json_object_set_new(event, "text", event_string(text, 500));
	add_own(r, event, 0);
}

/* ---- steps ---- */

static const char *node_name(const struct run *r, int node)
{
	return r->c->fleet->nodes[node].name;
}

static void advance(struct run *r, struct link *only);

static void index_nodes(struct run *r)
{
	const struct plan *p = r->c->plan;
	struct node_steps *s = &r->of_node;

	free(s->at);
	free(s->from);
	s->at = xcalloc((size_t)p->count, sizeof(*s->at));
	s->from = xcalloc((size_t)r->c->fleet->count + 2, sizeof(*s->from));
	for (int i = 0; i < p->count; i++)
		s->from[p->steps[i].node + 2]++;
	for (int n = 0; n < r->c->fleet->count; n++)
		s->from[n + 2] += s->from[n + 1];
	for (int i = 0; i < p->count; i++)
		s->at[s->from[p->steps[i].node + 1]++] = i;
}

static void mark_ended(struct run *r, int step, enum end_word word)
{
	const struct step *s = &r->c->plan->steps[step];
	struct order *o = &r->orders[step];

	if (o->running)
		r->links[s->node].busy &= ~s->occupies;
	r->open[s->phase] -= !o->ended;
	o->running = 0;
	o->ended = 1;
	o->failed = word != END_DONE;
}

/* An end that the agent could not give. */
static void end_as_lost(struct run *r, int step, const char *why)
{
	json_t *event = event_new(EV_END);

	json_object_set_new(event, "at", json_string(node_name(r, r->c->plan->steps[step].node)));
	json_object_set_new(event, "step", json_string(r->c->plan->steps[step].id));
	json_object_set_new(event, "word", json_string(end_word_name(END_LOST)));
	json_object_set_new(event, "why", event_string(why, 300));
	add_own(r, event, 1);
	mark_ended(r, step, END_LOST);
}

/* Every step of a node that is gone ends as lost; the rest of the fleet goes on. */
static void lose_steps(struct run *r, int node)
{
	const struct node_steps *s = &r->of_node;

	for (int k = s->from[node]; k < s->from[node + 1]; k++)
		if (!r->orders[s->at[k]].ended && !r->stopping)
			end_as_lost(r, s->at[k], r->links[node].why);
}

static void add_piece(struct text *order, const struct step *s, const char *node, const char *key,
		      const char *piece, size_t len)
{
	json_t *event = event_new(EV_WITH);
	struct error err;
	char *line;

	json_object_set_new(event, "to", json_string(node));
	json_object_set_new(event, "step", json_string(s->id));
	json_object_set_new(event, "k", json_string(key));
	json_object_set_new(event, "v", json_stringn(piece, len));
	line = event_line(event, &err);
	if (!line)
		BUG("%s", err.text);
	text_add(order, line);
	free(line);
}

static void add_knob(struct text *order, const struct step *s, const char *node, const char *key,
		     const char *value)
{
	while (*value) {
		size_t n = strnlen(value, PIECE);

		while (n > 1 && n == PIECE && ((unsigned char)value[n] & 0xc0) == 0x80)
			n--;
		add_piece(order, s, node, key, value, n);
		value += n;
	}
}

static char *order_text(const struct step *s, const char *node)
{
	json_t *event = event_new(EV_RUN);
	struct text order;
	struct error err;
	char *line;

	text_init(&order);
	for (int i = 0; s->check->params[i].name; i++)
		if (s->values[i])
			add_knob(&order, s, node, s->check->params[i].name, s->values[i]);
	json_object_set_new(event, "to", json_string(node));
	json_object_set_new(event, "step", json_string(s->id));
	json_object_set_new(event, "check", json_string(s->check->name));
	json_object_set_new(event, "unit", json_string(s->unit));
	json_object_set_new(event, "deadline", json_real(s->deadline));
	line = event_line(event, &err);
	if (!line)
		BUG("%s", err.text);
	text_add(&order, line);
	free(line);
	return text_detach(&order);
}

static void start_step(struct run *r, int step)
{
	const struct step *s = &r->c->plan->steps[step];
	struct link *l = &r->links[s->node];
	json_t *event = event_new(EV_START);
	char *order;

	json_object_set_new(event, "at", json_string(node_name(r, s->node)));
	json_object_set_new(event, "step", json_string(s->id));
	add_own(r, event, 0);
	if (r->failed)
		return;
	r->orders[step].running = 1;
	r->orders[step].started = clock_now();
	l->busy |= s->occupies;
	order = order_text(s, node_name(r, s->node));
	child_send(l->agent, order);
	free(order);
}

/* A step that occupies something never overtakes an earlier one that waits for it. */
static void start_steps(struct run *r, struct link *l)
{
	const struct node_steps *of = &r->of_node;
	uint64_t waiting = 0;

	if (l->state != NODE_READY || l->retired)
		return;
	for (int k = of->from[l->node]; k < of->from[l->node + 1] && !r->stopping; k++) {
		const struct step *s = &r->c->plan->steps[of->at[k]];
		const struct order *o = &r->orders[of->at[k]];

		if (s->phase != r->phase || o->ended || o->running)
			continue;
		if (s->occupies & (l->busy | waiting))
			waiting |= s->occupies;
		else
			start_step(r, of->at[k]);
	}
}

/* ---- repeats ---- */

/* Steps from `from` on are new to this controller; those that the journal ended are done. */
static void take_steps(struct run *r, int from)
{
	const struct results *results = r->c->results;

	for (int i = from; i < r->c->plan->count; i++) {
		const struct step *s = &r->c->plan->steps[i];
		int ended = results_ended(results, s->id);

		r->orders[i] = (struct order){ .ended = ended };
		r->orders[i].failed =
			ended && results->steps[results_step(results, s->id)].word != END_DONE;
		r->open[s->phase] += !ended;
	}
	index_nodes(r);
}

/* Only this phase: what a later one left inconclusive may still have a repeat to come. */
static int keep_phase(const struct run *r, const char **bases, int count)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
		if (r->c->plan->steps[plan_find(r->c->plan, bases[i])].phase == r->phase)
			bases[kept++] = bases[i];
	return kept;
}

/* Plans repeats of what this phase left inconclusive. Whether there are any. */
static int extend(struct run *r)
{
	struct judgement *j = judge(r->c->spec, r->c->fleet, r->c->plan, r->c->results);
	int count, before = r->c->plan->count, added;
	const char **bases = judge_undecided(j, r->c->plan, &count);

	count = keep_phase(r, bases, count);
	added = plan_extend(r->c->plan, bases, count, r->c->profile->repeat);
	free(bases);
	judgement_free(j);
	if (!added)
		return 0;
	r->orders = xrealloc(r->orders, (size_t)r->c->plan->count, sizeof(*r->orders));
	take_steps(r, before);
	for (int i = before; i < r->c->plan->count; i++)
		if (r->links[r->c->plan->steps[i].node].retired && !r->orders[i].ended)
			end_as_lost(r, i, r->links[r->c->plan->steps[i].node].why);
	return 1;
}

/* ---- the end of the run ---- */

static void leave(struct run *r)
{
	struct error err;
	char *line;

	if (r->over)
		return;
	r->over = 1;
	r->stop_began = clock_now();
	for (int i = 0; i < r->c->fleet->count; i++) {
		struct link *l = &r->links[i];

		if (l->state == NODE_GONE || !l->agent)
			continue;
		line = event_line(event_new(EV_STOP), &err);
		child_send(l->agent, line);
		child_close_input(l->agent);
		free(line);
		l->state = NODE_LEAVING;
	}
}

/*
 * Starts what can be started, on one node or (NULL) on all; a finished phase opens the next, with
 * the repeats that its judging asks for in between.
 */
static void advance(struct run *r, struct link *only)
{
	if (r->over)
		return;
	while (!r->stopping && r->phase < r->c->profile->phase_count && !r->open[r->phase]) {
		only = NULL;
		if (!extend(r))
			r->phase++;
	}
	if (r->stopping || r->phase == r->c->profile->phase_count) {
		leave(r);
		return;
	}
	for (int i = 0; i < r->c->fleet->count && !only; i++)
		start_steps(r, &r->links[i]);
	if (only)
		start_steps(r, only);
	if (r->stopping)
		leave(r);
}

/* ---- lines from agents ---- */

static int running_step(const struct run *r, const struct link *l, const char *id)
{
	int i = plan_find(r->c->plan, id);

	return i >= 0 && r->orders[i].running && r->c->plan->steps[i].node == l->node ? i : -1;
}

static void retire(struct run *r, struct link *l, const char *why)
{
	if (l->retired)
		return;
	l->retired = 1;
	snprintf(l->why, sizeof(l->why), "%s", why);
	lose_steps(r, l->node);
}

static void start_agents(struct run *r);

/* A node is no longer being reached, with or without success: the next one may be. */
static void reached(struct run *r, struct link *l)
{
	if (l->state == NODE_STARTING)
		r->reaching--;
	uv_timer_stop(&l->hello);
	start_agents(r);
}

static void on_hello(struct run *r, struct link *l, const struct event *ev)
{
	char why[300];

	if (l->state != NODE_STARTING)
		return;
	reached(r, l);
	l->state = NODE_READY;
	if (l->bad_lines) {
		snprintf(why, sizeof(why),
			 "%d lines came before its agent spoke and are left out: a banner?",
			 l->bad_lines);
		note(r, node_name(r, l->node), why);
		l->bad_lines = 0;
	}
	if (strcmp(event_text(ev, "version"), ASSAY_VERSION) ||
	    strcmp(event_text(ev, "commit"), ASSAY_COMMIT)) {
		snprintf(why, sizeof(why), "its agent is version %.40s (%.40s), this is %s (%s)",
			 event_text(ev, "version"), event_text(ev, "commit"), ASSAY_VERSION,
			 ASSAY_COMMIT);
		retire(r, l, why);
	}
}

static void take_line(struct run *r, struct link *l, const struct event *ev, const char *line,
		      size_t len)
{
	int step = *ev->step ? running_step(r, l, ev->step) : -1;
	int is_end = ev->kind == EV_END;

	if (step < 0 && ev->kind != EV_HELLO && ev->kind != EV_NOTE) {
		note(r, node_name(r, l->node),
		     "sent a line for a step it was not given; it is left out");
		return;
	}
	if (r->c->line)
		r->c->line(r->c->arg, line);
	if (journal_append_line(r->c->journal, line, len, is_end, r->err) < 0) {
		fail(r);
		return;
	}
	results_add(r->c->results, ev);
	if (ev->kind == EV_HELLO)
		on_hello(r, l, ev);
	if (!is_end)
		return;
	mark_ended(r, step, (enum end_word)end_word_find(event_text(ev, "word")));
	if (end_word_find(event_text(ev, "word")) == END_STUCK)
		retire(r, l, "a step there is stuck: the node takes no further steps");
}

/* A shell's banner is no harm, and a node that talks without end must not fill our disk. */
static void note_bad_line(struct run *r, struct link *l, const char *why)
{
	char text[700];

	l->bad_lines++;
	if (l->state == NODE_STARTING || l->bad_lines > BAD_LINES_NOTED)
		return;
	snprintf(text, sizeof(text), "a line of its agent is left out: %s%s", why,
		 l->bad_lines == BAD_LINES_NOTED ? "; further ones are not noted" : "");
	note(r, node_name(r, l->node), text);
}

static void on_agent_line(void *arg, char *line, size_t len, int cut)
{
	struct link *l = arg;
	struct run *r = l->run;
	struct error err = { "a line without an end" };
	struct event ev;

	if (r->failed)
		return;
	if (cut || event_parse(line, len, &ev, &err) < 0) {
		note_bad_line(r, l, err.text);
		return;
	}
	if (strcmp(ev.at, node_name(r, l->node)) != 0)
		note(r, node_name(r, l->node),
		     "sent a line in the name of another node; it is left out");
	else if (ev.kind == EV_HELLO || ev.kind == EV_FACT || ev.kind == EV_DATA ||
		 ev.kind == EV_NOTE || ev.kind == EV_END)
		take_line(r, l, &ev, line, len);
	event_release(&ev);
	advance(r, l);
}

static void on_agent_noise(void *arg, char *line, size_t len, int cut)
{
	struct link *l = arg;

	(void)len;
	(void)cut;
	snprintf(l->noise, sizeof(l->noise), "%s", line);
}

/* Why an agent is gone that nobody sent away. */
static void ending_text(const struct run *r, const struct link *l, const struct child_end *end,
			char *out, size_t room)
{
	const struct launcher *launcher = r->c->launcher;
	const char *meaning = launcher->explain && !end->signal
				      ? launcher->explain(end->exit_code, l->noise)
				      : NULL;

	if (end->signal)
		snprintf(out, room, "its agent was killed by signal %d", end->signal);
	else if (meaning)
		snprintf(out, room, "%s%s%s", meaning, *l->noise ? ": " : "", l->noise);
	else
		snprintf(out, room, "its agent left with code %d%s%s", end->exit_code,
			 *l->noise ? ": " : "", l->noise);
}

static void on_agent_ended(void *arg, const struct child_end *end)
{
	struct link *l = arg;
	struct run *r = l->run;
	enum node_state was = l->state;
	char why[800];

	child_free(l->agent);
	l->agent = NULL;
	if (was != NODE_LEAVING && !r->over) {
		ending_text(r, l, end, why, sizeof(why));
		note(r, node_name(r, l->node), why);
		retire(r, l, why);
	}
	reached(r, l);
	l->state = NODE_GONE;
	advance(r, NULL);
}

static void on_no_hello(uv_timer_t *timer)
{
	struct link *l = timer->data;

	retire(l->run, l, "no agent answered");
	if (l->agent)
		child_stop(l->agent);
	advance(l->run, NULL);
}

/* ---- time ---- */

static void tell_progress(struct run *r)
{
	struct progress p = { .phase = "" };
	double left = 0, now = clock_now();

	if (!r->c->progress)
		return;
	if (r->phase < r->c->profile->phase_count)
		p.phase = r->c->profile->phases[r->phase].name;
	p.total = r->c->plan->count;
	for (int i = 0; i < p.total; i++) {
		const struct order *o = &r->orders[i];
		double expected = r->c->plan->steps[i].seconds;

		p.done += o->ended;
		p.running += o->running;
		p.failed += o->failed;
		if (o->running)
			p.step = r->c->plan->steps[i].id;
		if (o->running && now - o->started < expected)
			left += expected - (now - o->started);
		else if (!o->running && !o->ended)
			left += expected;
	}
	/* The plan's own ratio of schedule to sum turns the sum that is left into time. */
	for (int i = 0; i < r->c->plan->first_count; i++)
		p.left += r->c->plan->steps[i].seconds;
	p.left = p.left > 0 ? left * r->c->plan->seconds / p.left : 0;
	p.elapsed = now - r->began;
	r->c->progress(r->c->arg, &p);
}

/* A step that is long past its deadline without an end: its agent does not work any more. */
static void find_silent(struct run *r)
{
	double now = clock_now();

	for (int i = 0; i < r->c->plan->count; i++) {
		const struct step *s = &r->c->plan->steps[i];

		if (r->orders[i].running && now - r->orders[i].started > s->deadline + LOST_SECONDS)
			retire(r, &r->links[s->node], "its agent gives no sign of life");
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct run *r = timer->data;
	int alive = 0;

	for (int i = 0; i < r->c->fleet->count; i++)
		alive += r->links[i].agent != NULL;
	if (r->over && (!alive || clock_now() - r->stop_began > STOP_SECONDS)) {
		for (int i = 0; i < r->c->fleet->count; i++)
			if (r->links[i].agent)
				child_kill(r->links[i].agent);
		if (!alive)
			uv_stop(&r->loop);
		return;
	}
	if (!r->over)
		find_silent(r);
	tell_progress(r);
	advance(r, NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct run *r = s->data;

	(void)number;
	if (r->stopping) { /* asked twice: no more patience */
		r->stop_began = 0;
		return;
	}
	note(r, "", "stopped by the user");
	r->stopping = 1;
	advance(r, NULL);
}

/* ---- setting up ---- */

static void start_agent(struct run *r, int node)
{
	struct link *l = &r->links[node];
	const struct child_calls calls = { on_agent_line, on_agent_noise, on_agent_ended, l };
	struct error err;
	const char *name = node_name(r, node);
	char **argv = r->c->launcher->command(&r->c->launch, &name, 1, &err);

	if (argv)
		l->agent = child_start(&r->loop, (const char *const *)argv, NULL, AGENT_SECONDS,
				       &calls, &err);
	launch_free(argv);
	if (!l->agent) {
		l->state = NODE_GONE;
		retire(r, l, err.text);
		return;
	}
	l->state = NODE_STARTING;
	r->reaching++;
	uv_timer_start(&l->hello, on_no_hello, HELLO_SECONDS * 1000, 0);
}

/* As many at the same time as the launcher likes: a thousand logins at once are an attack. */
static void start_agents(struct run *r)
{
	int window = r->c->launcher->window;

	while (!r->over && r->next < r->c->fleet->count && (!window || r->reaching < window))
		start_agent(r, r->next++);
}

static void watch_signal(struct run *r, uv_signal_t *s, int number)
{
	uv_signal_init(&r->loop, s);
	s->data = r;
	uv_signal_start(s, on_signal, number);
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

enum control_end control_run(struct control *c, struct error *err)
{
	struct run r = { .c = c, .err = err, .began = clock_now() };

	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&r.loop);
	r.links = xcalloc((size_t)c->fleet->count, sizeof(*r.links));
	r.orders = xcalloc((size_t)c->plan->count, sizeof(*r.orders));
	r.open = xcalloc((size_t)c->profile->phase_count, sizeof(*r.open));
	take_steps(&r, 0);
	watch_signal(&r, &r.interrupt, SIGINT);
	watch_signal(&r, &r.terminate, SIGTERM);
	uv_timer_init(&r.loop, &r.tick);
	r.tick.data = &r;
	uv_timer_start(&r.tick, on_tick, 100, 500);
	/* Phases that an earlier try finished open the next before any agent is asked for anything.
	 */
	for (int i = 0; i < c->fleet->count; i++) {
		r.links[i].run = &r;
		r.links[i].node = i;
		uv_timer_init(&r.loop, &r.links[i].hello);
		r.links[i].hello.data = &r.links[i];
	}
	start_agents(&r);
	uv_run(&r.loop, UV_RUN_DEFAULT);
	uv_walk(&r.loop, close_handle, NULL);
	uv_run(&r.loop, UV_RUN_DEFAULT);
	uv_loop_close(&r.loop);
	free(r.links);
	free(r.orders);
	free(r.open);
	free(r.of_node.at);
	free(r.of_node.from);
	return r.failed ? CONTROL_FAILED : r.stopping ? CONTROL_STOPPED : CONTROL_DONE;
}
