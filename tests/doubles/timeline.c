/*
 * timeline.c - when queued work begins and ends on the clock of the events.
 *
 * Each operation begins when the one before it in its stream and all it waits for have ended, never
 * before the virtual time that the calling thread had reached when it queued it; only waiting moves
 * that. Routes that share a link at the same virtual time share its rate evenly, an outgoing NVLink
 * direction for example. So the result depends on what was queued and not on which thread of the
 * CPU was faster: all that is queued when somebody first waits is timed together. Work that is
 * queued later does not slow what has its times already. Kernels do not slow each other.
 */
#include "tests/doubles/double.h"

#include <float.h>
#include <string.h>

enum { STREAMS_MOST = 4096 };
enum { WAITS, BEGINS, FLOWS, ENDS };

double *thread_clock(void)
{
	static _Thread_local double clock;

	return &clock;
}

static int op_may_begin(const struct op *op)
{
	const volatile unsigned *gate;

	if (op->fault && op->fault->action == ACT_HANG)
		return 0;
	gate = op->done || !op->launch.twin ? NULL : launch_gate(&op->launch);
	if (gate && !*gate)
		return 0;
	for (int i = 0; i < op->after_count; i++)
		if (!op->after[i]->resolved)
			return 0;
	return 1;
}

static double op_begin(const struct op *op)
{
	double begin = op->queued > op->stream->time ? op->queued : op->stream->time;

	for (int i = 0; i < op->after_count; i++)
		if (op->after[i]->end > begin)
			begin = op->after[i]->end;
	return begin;
}

/* ---- sharing ------------------------------------------------------------------------------- */

struct users {
	int of[RESOURCES * GPUS_MOST];
};

static void users_count(struct users *u, struct op **heads, int count)
{
	memset(u, 0, sizeof(*u));
	for (int i = 0; i < count; i++)
		if (heads[i] && heads[i]->flowing == FLOWS)
			for (int k = 0; k < heads[i]->cost.use_count; k++)
				u->of[heads[i]->cost.uses[k]]++;
}

static double rate_now(const struct cost *c, const struct users *u)
{
	double rate = c->rate;

	for (int i = 0; i < c->use_count; i++) {
		double share = cost_capacity(c->uses[i]) / u->of[c->uses[i]];

		if (share < rate)
			rate = share;
	}
	return rate / c->slow;
}

/* ---- the simulation ------------------------------------------------------------------------ */

static double next_time(const struct op *op, const struct users *u, double now)
{
	if (op->flowing == FLOWS)
		return now + op->left / rate_now(&op->cost, u);
	return op->until;
}

static void op_finish(struct op *op, double now)
{
	struct stream *s = op->stream;

	op->end = s->time = now;
	op->resolved = 1;
	s->untimed = op->next;
}

/* The operation reached the end of its present state. */
static void op_step(struct op *op, double now)
{
	double least = op->cost.least * op->cost.slow;

	if (op->flowing == BEGINS && op->cost.bytes > 0) {
		op->end = now + least; /* not before that, however fast the link is */
		op->left = op->cost.bytes;
		op->flowing = FLOWS;
	} else if (op->flowing == BEGINS) {
		op->until = now + least;
		op->flowing = ENDS;
	} else if (op->flowing == FLOWS && op->end > now) {
		op->until = op->end;
		op->flowing = ENDS;
	} else {
		op_finish(op, now);
	}
}

static int start_ready(struct op **heads, int count)
{
	int working = 0;

	for (int i = 0; i < count; i++) {
		struct op *op = heads[i];

		if (op && op->flowing == WAITS && op_may_begin(op)) {
			op->until = op_begin(op);
			op->flowing = BEGINS;
		}
		working += op && op->flowing != WAITS;
	}
	return working;
}

static void advance(struct op **heads, int count, const struct users *u, double now, double then)
{
	for (int i = 0; i < count; i++)
		if (heads[i] && heads[i]->flowing == FLOWS)
			heads[i]->left -= (then - now) * rate_now(&heads[i]->cost, u);
}

/* Steps whatever is due next; `due` is a picosecond wide, so that equal routes end together. */
static double step_all(struct op **heads, int count, double now)
{
	static const double due = 1e-12;
	struct users u;
	double times[STREAMS_MOST], then = DBL_MAX;

	users_count(&u, heads, count);
	for (int i = 0; i < count; i++) {
		times[i] = DBL_MAX;
		if (heads[i] && heads[i]->flowing != WAITS)
			times[i] = next_time(heads[i], &u, now);
		if (times[i] < then)
			then = times[i];
	}
	advance(heads, count, &u, now, then);
	for (int i = 0; i < count; i++) {
		struct op *op = heads[i];

		if (times[i] > then + due)
			continue;
		op_step(op, then);
		if (!op->resolved)
			continue;
		heads[i] = op->next;
		if (op->done)
			op_forget(op);
		op_drop(op);
	}
	return then;
}

void timeline_resolve(void)
{
	struct op *heads[STREAMS_MOST];
	int count = 0;
	double now = 0;

	for (struct stream *s = streams(); s; s = s->next) {
		if (!s->untimed)
			continue;
		if (count == STREAMS_MOST)
			double_die("more than %d streams with work", STREAMS_MOST);
		heads[count++] = s->untimed;
	}
	while (start_ready(heads, count))
		now = step_all(heads, count, now);
}
