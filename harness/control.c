/*
 * control.c - one loop around nodes, steps and the journal.
 *
 * A phase is a gate: its steps, then repeats of what stayed inconclusive, then the judgement of who
 * goes on, then the next phase. Lines from agents are believed only as far as they fit: a step that
 * runs on that node now.
 */
#include "harness/control.h"

#include "harness/bounds.h"
#include "harness/gates.h"
#include "harness/hearing.h"
#include "harness/heat.h"
#include "harness/joint.h"
#include "harness/orders.h"
#include "harness/reach.h"
#include "harness/remaining.h"
#include "harness/schedule.h"
#include "harness/scribe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LATE_SECONDS = 30, /* after a step's own deadline and kills, its agent does not work */
	STOP_SECONDS = 20, /* for agents to stop their children, since the last line of telemetry */
	COLLECT_SECONDS = 900, /* for all telemetry to arrive */
};

struct node {
	int rebooted;  /* since its steps in the journal */
	int retired;   /* takes no further steps */
	char why[300]; /* of that */
	struct node_sent sent;
};

struct attempt { /* at one step */
	double started;
	struct step_sent sent;
};

struct run {
	struct control *c;
	uv_loop_t loop;
	uv_timer_t tick;
	uv_signal_t interrupt, terminate;
	struct reach *reach;
	struct schedule *schedule;
	struct joints *joints;
	struct hearing *hearing;
	struct scribe scribe;
	struct node *nodes;
	struct attempt *attempts; /* of each step */
	int phase;
	int stopping, over;
	int failed_steps;
	double began, over_since, stop_began;
};

/* Asked to, or because the journal takes no more lines. */
static int is_stopping(const struct run *r)
{
	return r->stopping || r->scribe.failed;
}

static void on_note(void *arg, int node, const char *text)
{
	struct run *r = arg;

	if (node < 0 || !bounds_note(&r->nodes[node].sent.notes, NODE_NOTES_MOST, &text))
		scribe_note(&r->scribe, node, text);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void close_step(struct run *r, int step, enum end_word word, const char *why)
{
	if (schedule_is_closed(r->schedule, step))
		return;
	schedule_close(r->schedule, step);
	r->failed_steps += word != END_DONE;
	joints_closed(r->joints, step, word == END_DONE ? NULL : why);
}

/* An end that the agent could not give. */
static void end_step(struct run *r, int step, enum end_word word, const char *why)
{
	scribe_end(&r->scribe, step, word, why);
	close_step(r, step, word, why);
}

static void end_for_gates(void *arg, int step, enum end_word word, const char *why)
{
	end_step(arg, step, word, why);
}

static struct gates gates_of(struct run *r)
{
	return (struct gates){
		.fleet = r->c->fleet,
		.profile = r->c->profile,
		.plan = r->c->plan,
		.schedule = r->schedule,
		.end = end_for_gates,
		.arg = r,
	};
}

/* Every open step of a node that is gone ends as lost; the rest of the fleet goes on. */
static void lose_steps(struct run *r, int node)
{
	int count;
	const int *steps = schedule_of_node(r->schedule, node, &count);
	const struct gates gates = gates_of(r);

	for (int i = 0; i < count && !is_stopping(r); i++) {
		if (schedule_is_closed(r->schedule, steps[i]))
			continue;
		end_step(r, steps[i], END_LOST, r->nodes[node].why);
		gates_end_partners(&gates, steps[i], END_LOST, "is lost");
	}
}

static void retire(struct run *r, int node, const char *why)
{
	struct node *n = &r->nodes[node];

	if (n->retired)
		return;
	n->retired = 1;
	snprintf(n->why, sizeof(n->why), "%s", why);
	hearing_lost(r->hearing, node);
	lose_steps(r, node);
}

/* ---- starting steps ------------------------------------------------------------------------ */

static int is_member(void *arg, int step)
{
	const struct run *r = arg;

	return schedule_is_running(r->schedule, step);
}

static void start_step(struct run *r, int step)
{
	scribe_start(&r->scribe, step);
	r->attempts[step] = (struct attempt){ .started = clock_now() };
}

/* Starts all that may start now; orders of one moment go out together. */
static void start_steps(struct run *r)
{
	int *steps = NULL, count = 0, step;

	while (!is_stopping(r) && (step = schedule_next(r->schedule, clock_now())) >= 0) {
		steps = grow(steps, (size_t)count, sizeof(*steps));
		steps[count++] = step;
		start_step(r, step);
	}
	if (count && !r->scribe.failed)
		orders_send(r->reach, r->c->plan, r->c->fleet, steps, count, is_member, r);
	free(steps);
}

/* ---- between phases ------------------------------------------------------------------------ */

/* A joint step is done when all its members are: those that ended well meet the others again. */
static int joint_ended(const struct run *r, const struct step *s)
{
	for (int i = s->lead; i < s->lead + s->members; i++)
		if (!results_ended(r->c->results, r->c->plan->steps[i].id))
			return 0;
	return 1;
}

/* Steps from `from` on are new to this controller; those that the journal ended are done. */
static void take_steps(struct run *r, int from)
{
	const struct results *results = r->c->results;
	const struct plan *p = r->c->plan;

	r->attempts = xrealloc(r->attempts, (size_t)p->count + 1, sizeof(*r->attempts));
	for (int i = from, ended = 0; i < p->count; i++) {
		r->attempts[i] = (struct attempt){ 0 };
		if (i == p->steps[i].lead)
			ended = joint_ended(r, &p->steps[i]);
		if (ended)
			close_step(r, i, results->steps[results_step(results, p->steps[i].id)].word,
				   NULL);
	}
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
static int extend(struct run *r, const struct judgement *j)
{
	int count, before = r->c->plan->count, added;
	const char **bases = judge_undecided(j, r->c->plan, &count);

	count = keep_phase(r, bases, count);
	added = plan_extend(r->c->plan, bases, count, r->c->profile->repeat);
	free(bases);
	if (!added)
		return 0;
	schedule_grow(r->schedule);
	joints_grow(r->joints);
	take_steps(r, before);
	for (int n = 0; n < r->c->fleet->count; n++)
		if (r->nodes[n].retired)
			lose_steps(r, n);
	return 1;
}

/* A phase without open steps is judged: repeats keep it open, else the gate is passed. */
static void next_phase(struct run *r)
{
	struct judgement *j = judge(r->c->spec, r->c->fleet, r->c->plan, r->c->results);
	const struct gates gates = gates_of(r);

	if (!extend(r, j)) {
		gates_pass(&gates, r->phase, j);
		r->phase++;
		if (r->phase < r->c->profile->phase_count)
			schedule_open(r->schedule, r->phase, clock_now());
	}
	judgement_free(j);
}

/* Megawatts that go away at once are as hard on a site as those that come at once. */
static void leave_in_stages(struct run *r)
{
	const struct ramp *ramp = &r->c->spec->ramp;
	int is_loaded = schedule_watts(r->schedule, -1) > 0;

	if (!is_loaded || !ramp->stage_nodes) {
		reach_leave(r->reach, 0, 0);
		return;
	}
	r->stop_began += ramp->stage * r->c->fleet->count / ramp->stage_nodes;
	reach_leave(r->reach, ramp->stage_nodes, ramp->stage);
}

static void leave(struct run *r)
{
	if (r->over)
		return;
	r->over = 1;
	r->over_since = r->stop_began = clock_now();
	hearing_over(r->hearing);
	scribe_over(&r->scribe);
	leave_in_stages(r);
}

/* Starts what can be started; a finished phase opens the next. */
static void advance(struct run *r)
{
	if (r->over)
		return;
	while (!is_stopping(r) && r->phase < r->c->profile->phase_count &&
	       !schedule_left(r->schedule, r->phase))
		next_phase(r);
	if (!is_stopping(r) && r->phase < r->c->profile->phase_count)
		start_steps(r);
	if (is_stopping(r) || r->phase == r->c->profile->phase_count)
		leave(r);
}

/* ---- nodes --------------------------------------------------------------------------------- */

/* A node that was started anew may have lost a part: what is there is looked at again. */
static void look_again(struct run *r, int node)
{
	int count;
	const int *steps = schedule_of_node(r->schedule, node, &count);

	on_note(r, node,
		"it was started anew since its earlier steps; the first phase is repeated");
	for (int i = 0; i < count; i++)
		if (r->c->plan->steps[steps[i]].phase == 0 &&
		    r->c->plan->steps[steps[i]].members == 1)
			schedule_reopen(r->schedule, steps[i]);
}

static void take_clock(struct run *r, int node)
{
	double offset, error;

	if (reach_clock(r->reach, node, &offset, &error))
		scribe_clock(&r->scribe, node, offset, error);
}

static void on_ready(void *arg, int node)
{
	struct run *r = arg;

	if (r->nodes[node].rebooted)
		look_again(r, node);
	take_clock(r, node);
	if (hearing_is_on(r->hearing)) {
		reach_send(r->reach, &node, 1, event_new(EV_TELE));
		hearing_told(r->hearing, node, instant_now());
	}
	schedule_ready(r->schedule, node);
	advance(r);
}

static void on_lost(void *arg, int node, const char *why)
{
	struct run *r = arg;

	on_note(r, node, why);
	retire(r, node, why);
	advance(r);
}

static int running_step(const struct run *r, int node, const char *id)
{
	int i = plan_find(r->c->plan, id);

	return i >= 0 && schedule_is_running(r->schedule, i) && r->c->plan->steps[i].node == node
		       ? i
		       : -1;
}

/* A node is lost that sends without end, for it would fill our disk. */
static int is_flood(struct run *r, int node, int step, const struct event *ev, size_t len)
{
	struct step_sent *of_step = step < 0 ? NULL : &r->attempts[step].sent;
	const char *what = bounds_count(&r->nodes[node].sent, of_step, ev, len);

	if (what)
		reach_lose(r->reach, node, what);
	return what != NULL;
}

/* Notes of a step are bounded by its agent, and once more here. */
static void take_note(struct run *r, int node, int step, const struct event *ev, const char *line,
		      size_t len)
{
	int step_most = step >= 0;
	int *count = step_most ? &r->attempts[step].sent.notes : &r->nodes[node].sent.notes;
	const char *text = NULL;

	if (bounds_note(count, step_most ? STEP_NOTES_MOST : NODE_NOTES_MOST, &text))
		return;
	if (!text)
		scribe_line(&r->scribe, ev, line, len);
	else
		scribe_note(&r->scribe, node, text);
}

static void take_end(struct run *r, int node, int step, const struct event *ev)
{
	int word = end_word_find(event_text(ev, "word"));

	close_step(r, step, word < 0 ? END_LOST : (enum end_word)word, event_text(ev, "why"));
	if (word == END_STUCK)
		retire(r, node, "a step there is stuck: the node takes no further steps");
}

static int is_other_boot(const struct run *r, int node, const struct event *ev)
{
	const char *before = results_boot(r->c->results, r->c->fleet->nodes[node].name);

	return *before && strcmp(before, event_text(ev, "boot")) != 0;
}

static void take_telemetry(struct run *r, int node, const struct event *ev, const char *line,
			   size_t len)
{
	char why[300];

	if (r->over && clock_now() > r->stop_began)
		r->stop_began = clock_now();
	hearing_take(r->hearing, node, ev, line, len, instant_now());
	if (ev->kind == EV_TELE && !r->over &&
	    heat_is_too_much(&r->c->spec->ramp, ev, why, sizeof(why)))
		reach_lose(r->reach, node, why);
	hearing_file(r->hearing, node, ev, line, len);
}

static void on_line(void *arg, int node, const struct event *ev, const char *line, size_t len)
{
	struct run *r = arg;
	int step = *ev->step ? running_step(r, node, ev->step) : -1;

	if (ev->kind == EV_TELE || ev->kind == EV_MARK || ev->kind == EV_FULL) {
		take_telemetry(r, node, ev, line, len);
		return;
	}
	/* A node that was retired still works on what it was given. */
	if (r->scribe.failed || (step < 0 && *ev->step && r->nodes[node].retired))
		return;
	if (ev->kind == EV_HELLO)
		r->nodes[node].rebooted = is_other_boot(r, node, ev);
	if (step < 0 && (*ev->step || (ev->kind != EV_HELLO && ev->kind != EV_NOTE))) {
		on_note(r, node, "sent a line for a step it was not given; it is left out");
		return;
	}
	if (is_flood(r, node, step, ev, len))
		return;
	if (ev->kind == EV_SHARE)
		joints_share(r->joints, step, ev);
	else if (ev->kind == EV_NOTE)
		take_note(r, node, step, ev, line, len);
	else
		scribe_line(&r->scribe, ev, line, len);
	if (ev->kind == EV_END)
		take_end(r, node, step, ev);
	advance(r);
}

/* ---- time ---------------------------------------------------------------------------------- */

static void tell_progress(struct run *r)
{
	const struct plan *plan = r->c->plan;
	struct step_state *at;
	struct progress p;

	if (!r->c->progress)
		return;
	at = xcalloc((size_t)plan->count, sizeof(*at));
	for (int i = 0; i < plan->count; i++)
		at[i] = (struct step_state){ .running = schedule_is_running(r->schedule, i),
					     .ended = schedule_is_closed(r->schedule, i),
					     .started = r->attempts[i].started };
	p = plan_progress(plan, at, r->phase, clock_now());
	free(at);
	p.failed = r->failed_steps;
	p.elapsed = clock_now() - r->began;
	r->c->progress(r->c->arg, &p);
}

/* A step that is long past its deadline without an end: its agent does not work any more. */
static void find_late(struct run *r)
{
	double now = clock_now();

	for (int i = 0; i < r->c->plan->count; i++) {
		const struct step *s = &r->c->plan->steps[i];

		if (schedule_is_running(r->schedule, i) &&
		    now - r->attempts[i].started > s->deadline + LATE_SECONDS)
			reach_lose(r->reach, s->node, "its agent does not end a step that is late");
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct run *r = timer->data;
	int alive = reach_alive(r->reach);

	if (r->over && (!alive || clock_now() - r->stop_began > STOP_SECONDS ||
			clock_now() - r->over_since > COLLECT_SECONDS)) {
		reach_kill(r->reach);
		if (!alive)
			uv_stop(&r->loop);
		return;
	}
	if (!r->over) {
		find_late(r);
		joints_tick(r->joints, clock_now());
	}
	if (!r->over)
		hearing_find_gaps(r->hearing, instant_now());
	tell_progress(r);
	advance(r);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct run *r = s->data;

	(void)number;
	if (is_stopping(r)) { /* asked twice: no more patience */
		r->over_since = 0;
		return;
	}
	on_note(r, -1, "stopped by the user");
	r->stopping = 1;
	advance(r);
}

/* ---- setting up ---------------------------------------------------------------------------- */

static void watch_signal(struct run *r, uv_signal_t *s, int number)
{
	uv_signal_init(&r->loop, s);
	s->data = r;
	uv_signal_start(s, on_signal, number);
}

static void set_up(struct run *r)
{
	struct control *c = r->c;
	const struct reach_calls calls = { on_ready, on_line, on_lost, on_note, r };

	uv_loop_init(&r->loop);
	r->nodes = xcalloc((size_t)c->fleet->count, sizeof(*r->nodes));
	r->reach = reach_new(&r->loop, c->fleet, c->launcher, &c->launch, &calls);
	r->schedule = schedule_new(c->spec, c->fleet, c->plan);
	r->joints = joints_new(c->plan, c->fleet, r->reach, r->schedule);
	r->hearing = hearing_new(c->launcher->pretends ? NULL : c->run, c->fleet, &r->scribe,
				 on_note, r);
	take_steps(r, 0);
	schedule_open(r->schedule, 0, clock_now());
	watch_signal(r, &r->interrupt, SIGINT);
	watch_signal(r, &r->terminate, SIGTERM);
	uv_timer_init(&r->loop, &r->tick);
	r->tick.data = r;
	uv_timer_start(&r->tick, on_tick, 100, 500);
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* Asked twice to stop, the second time while all is being put away: that is what we do already. */
static void ignore_signals(const struct run *r, int how)
{
	sigset_t both;

	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	if (how == SIG_UNBLOCK && is_stopping(r)) {
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
	}
	sigprocmask(how, &both, NULL);
}

static void tear_down(struct run *r)
{
	ignore_signals(r, SIG_BLOCK);
	hearing_end(r->hearing, is_stopping(r), instant_now());
	hearing_free(r->hearing);
	reach_free(r->reach);
	uv_walk(&r->loop, close_handle, NULL);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	uv_loop_close(&r->loop);
	ignore_signals(r, SIG_UNBLOCK);
	joints_free(r->joints);
	schedule_free(r->schedule);
	free(r->nodes);
	free(r->attempts);
}

enum control_end control_run(struct control *c, struct error *err)
{
	struct run r = {
		.c = c,
		.began = clock_now(),
		.scribe = {
			.journal = c->journal,
			.results = c->results,
			.fleet = c->fleet,
			.plan = c->plan,
			.line = c->line,
			.arg = c->arg,
			.err = err,
		},
	};

	signal(SIGPIPE, SIG_IGN);
	set_up(&r);
	reach_start(r.reach);
	uv_run(&r.loop, UV_RUN_DEFAULT);
	tear_down(&r);
	return r.scribe.failed ? CONTROL_FAILED : r.stopping ? CONTROL_STOPPED : CONTROL_DONE;
}
