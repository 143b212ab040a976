/*
 * watch.c - the state of a run from its journal.
 *
 * A controller that goes on with a run writes no line that says so. Its lock, seen free and then
 * held, and the hello of agents that are new tell; until then what an earlier controller left
 * running is taken for running.
 */
#include "harness/watch.h"

#include <stdlib.h>
#include <string.h>

enum {
	SILENCE = 180,    /* seconds without a line that somebody should explain */
	LATE = 30,        /* seconds past its deadline until a controller gives a step up */
	QUIET_END = 30,   /* where locks cannot be seen: agents take up to 20 s to leave */
	CLOCKS_APART = 5, /* seconds of difference that are no delay of ours */
	UNSEEN_LOCK = 2,
};

#define WORD(id, word) word,
static const char *const node_words[] = { WATCH_NODES(WORD) };
static const char *const state_words[] = { RUN_STATES(WORD) };

const char *watch_node_word(enum watch_node_state s)
{
	return node_words[s];
}

const char *run_state_word(enum run_state s)
{
	return state_words[s];
}

void watch_init(struct watch *w, const char *run)
{
	*w = (struct watch){ .run = run };
}

/* Steps that the plan got since the last time. */
static void know_steps(struct watch *w)
{
	w->steps = xrealloc(w->steps, (size_t)w->plan->count, sizeof(*w->steps));
	w->next = xrealloc(w->next, (size_t)w->plan->count, sizeof(*w->next));
	for (int i = w->step_count; i < w->plan->count; i++) {
		struct watch_node *n = &w->nodes[w->plan->steps[i].node];

		w->steps[i] = (struct step_state){ 0 };
		w->next[i] = n->first;
		n->first = i;
		n->open++;
	}
	w->step_count = w->plan->count;
}

void watch_begin(struct watch *w, const struct spec *s, const struct profile *p,
		 const struct fleet *f, struct plan *plan, struct results *results)
{
	w->spec = s;
	w->profile = p;
	w->fleet = f;
	w->plan = plan;
	w->results = results;
	w->nodes = xcalloc((size_t)f->count, sizeof(*w->nodes));
	for (int i = 0; i < f->count; i++)
		w->nodes[i].first = -1;
	know_steps(w);
}

void watch_release(struct watch *w)
{
	for (int i = 0; w->nodes && i < w->fleet->count; i++) {
		json_decref(w->nodes[i].hello);
		free(w->nodes[i].why);
	}
	for (int i = 0; i < w->group_count; i++)
		free(w->groups[i].nodes);
	judgement_free(w->judgement);
	free(w->nodes);
	free(w->steps);
	free(w->next);
}

/* ---- events ---- */

static void set_running(struct watch *w, int step, int running)
{
	w->nodes[w->plan->steps[step].node].running += running - w->steps[step].running;
	w->steps[step].running = running;
}

static void set_ended(struct watch *w, int step, int ended)
{
	w->nodes[w->plan->steps[step].node].open -= ended - w->steps[step].ended;
	w->steps[step].ended = ended;
}

/* A new agent serves the node: what ran there was cut off, and what was lost is to be run again. */
static void begin_node(struct watch *w, int node)
{
	struct watch_node *n = &w->nodes[node];

	for (int i = n->first; i >= 0; i = w->next[i]) {
		set_running(w, i, 0);
		if (w->steps[i].ended && !results_ended(w->results, w->plan->steps[i].id)) {
			set_ended(w, i, 0);
			w->steps[i].failed = 0;
		}
	}
	free(n->why);
	n->why = NULL;
	n->retired = n->stuck = 0;
}

/* The very same agent may say hello again, when only its connection was cut. */
static int is_same_agent(json_t *a, json_t *b)
{
	json_t *pid = json_object_get(a, "pid"), *boot = json_object_get(a, "boot");

	return pid && json_equal(pid, json_object_get(b, "pid")) &&
	       (boot == json_object_get(b, "boot") || json_equal(boot, json_object_get(b, "boot")));
}

static void on_hello(struct watch *w, const struct event *ev)
{
	int node = fleet_find(w->fleet, ev->at);
	struct watch_node *n = node < 0 ? NULL : &w->nodes[node];

	if (!n)
		return;
	if (!n->hello || !is_same_agent(n->hello, ev->json))
		begin_node(w, node);
	json_decref(n->hello);
	n->hello = json_incref(ev->json);
	n->touched = w->looks;
}

static void on_start(struct watch *w, const struct event *ev)
{
	int step = plan_recall(w->plan, ev->step);
	struct watch_node *n;
	double t = event_number(ev, "t");

	if (w->step_count < w->plan->count)
		know_steps(w);
	if (step < 0)
		return;
	n = &w->nodes[w->plan->steps[step].node];
	set_running(w, step, 1);
	set_ended(w, step, 0);
	w->steps[step].failed = 0;
	w->steps[step].started = t;
	n->retired = n->stuck = 0;
	n->touched = w->looks;
	/* A line that came since the last look is of now, whatever its clock says. */
	if (w->looks)
		w->ahead = t > w->now + CLOCKS_APART || t < w->now - CLOCKS_APART ? t - w->now : 0;
}

/* Ends of steps of a node that is gone come from the controller, the first with the reason. */
static void on_lost(struct watch_node *n, const char *why)
{
	n->retired = 1;
	if (!n->why)
		n->why = xstrdup(why);
}

static void on_end(struct watch *w, const struct event *ev)
{
	int step = plan_recall(w->plan, ev->step), said = end_word_find(event_text(ev, "word"));
	struct watch_node *n;

	if (w->step_count < w->plan->count)
		know_steps(w);
	if (step < 0)
		return;
	n = &w->nodes[w->plan->steps[step].node];
	set_running(w, step, 0);
	set_ended(w, step, 1);
	w->steps[step].failed =
		w->results->steps[results_step(w->results, ev->step)].word != END_DONE;
	n->stuck |= said == END_STUCK;
	if (said == END_LOST)
		on_lost(n, event_text(ev, "why"));
	w->news++;
}

static void add_event(struct watch *w, const struct event *ev)
{
	static void (*const on[EVENT_KIND_COUNT])(struct watch *, const struct event *) = {
		[EV_HELLO] = on_hello,
		[EV_START] = on_start,
		[EV_END] = on_end,
	};

	results_add(w->results, ev);
	if (on[ev->kind])
		on[ev->kind](w, ev);
}

void watch_feed(struct watch *w, const char *data, size_t len)
{
	const char *end;
	struct error err;
	struct event ev;

	for (; len && (end = memchr(data, '\n', len));
	     len -= (size_t)(end - data) + 1, data = end + 1)
		if (event_parse(data, (size_t)(end - data), &ev, &err) < 0) {
			w->results->damaged++;
		} else {
			add_event(w, &ev);
			event_release(&ev);
		}
	w->results->damaged += len > 0; /* so long without an end that it is no line of ours */
}

/* ---- what that makes ---- */

static double there(const struct watch *w)
{
	return w->now + w->ahead;
}

/*
 * Whether the lock tells that nobody writes the journal. A server of NFS does not see the locks of
 * its clients, but it sees their lines.
 */
static int is_left(const struct watch *w)
{
	return w->lock == LOCK_FREE && w->unlocked_growth < UNSEEN_LOCK;
}

static enum watch_node_state node_state(const struct watch *w, const struct watch_node *n)
{
	if (n->stuck)
		return WATCH_LEFT_OUT;
	if (n->retired) {
		json_t *version = json_object_get(n->hello, "version");

		/* It answers, but as another program than the one that began the run. */
		return version && !json_equal(version, json_object_get(w->results->head, "version"))
			       ? WATCH_LEFT_OUT
			       : WATCH_LOST;
	}
	if (!n->open)
		return WATCH_DONE;
	if (!is_left(w) && n->running)
		return WATCH_RUNNING;
	return n->hello && !is_left(w) ? WATCH_IDLE : WATCH_WAITING;
}

/*
 * All steps have an end and nobody works: the run is over, unless what stayed inconclusive may be
 * repeated. Those repeats are what `assay resume` would run, so they belong to the plan.
 */
static enum run_state over_or_not(struct watch *w)
{
	const char **bases;
	int count, added;

	if (w->news || !w->judgement)
		watch_judge(w);
	bases = judge_undecided(w->judgement, w->plan, &count);
	added = plan_extend(w->plan, bases, count, w->profile->repeat);
	free(bases);
	if (!added)
		return RUN_FINISHED;
	know_steps(w);
	w->remaining = plan_remaining(w->plan, w->steps, there(w));
	return RUN_STOPPED;
}

static enum run_state find_state(struct watch *w)
{
	int is_quiet = w->lock != LOCK_HELD && w->now - w->last_event > QUIET_END;

	if (w->remaining.done < w->remaining.total)
		return is_left(w) ? RUN_STOPPED : RUN_RUNNING;
	return is_left(w) || is_quiet ? over_or_not(w) : RUN_RUNNING;
}

/* A controller took the journal over; nodes that already speak to it are known to be its. */
static void begin_again(struct watch *w)
{
	for (int i = 0; i < w->fleet->count; i++)
		if (w->nodes[i].touched < w->looks - 1) {
			begin_node(w, i);
			json_decref(w->nodes[i].hello);
			w->nodes[i].hello = NULL;
		}
}

void watch_look(struct watch *w, double now, enum journal_lock lock, int grew, double written)
{
	if (!w->looks)
		w->last_event = written < now ? written : now;
	else if (grew)
		w->last_event = now;
	w->unlocked_growth = lock != LOCK_FREE || !w->looks || !grew ? 0 : w->unlocked_growth + 1;
	if (w->looks && w->plan && w->lock == LOCK_FREE && lock == LOCK_HELD)
		begin_again(w);
	w->lock = lock;
	w->now = now;
	w->looks++;
	if (!w->plan)
		return;
	w->remaining = plan_remaining(w->plan, w->steps, there(w));
	w->state = find_state(w);
	for (int i = 0; i < w->fleet->count; i++)
		w->nodes[i].state = node_state(w, &w->nodes[i]);
}

void watch_judge(struct watch *w)
{
	judgement_free(w->judgement);
	w->judgement = judge(w->spec, w->fleet, w->plan, w->results);
	w->news = 0;
	watch_group_findings(w);
}

double watch_silence(const struct watch *w)
{
	double silent = w->now - w->last_event;

	if (w->state != RUN_RUNNING || silent < SILENCE)
		return 0;
	for (int i = 0; i < w->step_count; i++)
		if (w->steps[i].running &&
		    w->steps[i].started + w->plan->steps[i].deadline + LATE > there(w))
			return 0;
	return silent;
}

int watch_count(const struct watch *w, enum watch_node_state s)
{
	int count = 0;

	for (int i = 0; w->nodes && i < w->fleet->count; i++)
		count += s == WATCH_NODE_STATES ? w->nodes[i].failing : w->nodes[i].state == s;
	return count;
}

char *watch_names(const struct watch *w, enum watch_node_state s, int *count)
{
	const char **names = xcalloc((size_t)w->fleet->count, sizeof(*names));
	char *text;

	*count = 0;
	for (int i = 0; i < w->fleet->count; i++)
		if (s == WATCH_NODE_STATES ? w->nodes[i].failing : w->nodes[i].state == s)
			names[(*count)++] = w->fleet->nodes[i].name;
	text = hostlist_text(names, *count);
	free(names);
	return text;
}

double watch_elapsed(const struct watch *w)
{
	double until = w->state == RUN_RUNNING ? there(w) : w->results->ended;

	return until > w->results->started ? until - w->results->started : 0;
}

int watch_percent(const struct watch *w)
{
	const struct remaining *r = &w->remaining;

	return r->total ? (int)(100.0 * r->done / r->total) : 0;
}
