/*
 * expect.c - plays a plan in virtual time: how long, how much energy, how much power at the peak.
 *
 * The lower bound is what the busiest resource needs in all phases even if nothing ever waited: of
 * a node one of the things that steps occupy, of a rack the power that its feeds carry, of a leaf
 * its part of the fabric.
 */
#include "harness/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ending {
	double at;
	int step;
};

struct heap {
	struct ending *items;
	int count;
};

static void heap_push(struct heap *h, struct ending e)
{
	int i = h->count;

	h->items = grow(h->items, (size_t)h->count++, sizeof(*h->items));
	for (; i > 0 && h->items[(i - 1) / 2].at > e.at; i = (i - 1) / 2)
		h->items[i] = h->items[(i - 1) / 2];
	h->items[i] = e;
}

static struct ending heap_pop(struct heap *h)
{
	struct ending top = h->items[0], last = h->items[--h->count];
	int i = 0;

	for (int child; (child = 2 * i + 1) < h->count; i = child) {
		if (child + 1 < h->count && h->items[child + 1].at < h->items[child].at)
			child++;
		if (h->items[child].at >= last.at)
			break;
		h->items[i] = h->items[child];
	}
	h->items[i] = last;
	return top;
}

struct play {
	const struct spec *spec;
	const struct fleet *fleet;
	struct plan *plan;
	struct schedule *schedule;
	struct heap running;
	double now;
};

static double idle_watts(const struct play *x, int rack)
{
	double watts = 0;

	for (int i = 0; i < x->fleet->count; i++)
		if (rack < 0 || x->fleet->nodes[i].rack == rack)
			watts += x->spec->nodes[x->fleet->nodes[i].type].idle_power;
	return watts;
}

static void note_peaks(const struct play *x)
{
	double watts = schedule_watts(x->schedule, -1);

	x->plan->peak = watts > x->plan->peak ? watts : x->plan->peak;
	for (int r = 0; r < x->spec->racks.count; r++) {
		watts = schedule_watts(x->schedule, r);
		if (watts > x->plan->rack_peak[r])
			x->plan->rack_peak[r] = watts;
	}
}

static void start_all(struct play *x)
{
	int step, started = 0;

	while ((step = schedule_next(x->schedule, x->now)) >= 0) {
		const struct step *s = &x->plan->steps[step];

		heap_push(&x->running, (struct ending){ x->now + s->seconds, step });
		x->plan->energy += s->watts * s->seconds;
		started = 1;
	}
	if (started)
		note_peaks(x);
}

/* To the next end, or to the time at which the ramp allows more. 0 when nothing is left. */
static int advance(struct play *x)
{
	double wake = schedule_wake(x->schedule);

	if (!x->running.count && !(wake < INFINITY))
		return 0;
	if (!x->running.count || wake < x->running.items[0].at) {
		x->now = wake;
		return 1;
	}
	x->now = x->running.items[0].at;
	while (x->running.count && x->running.items[0].at <= x->now)
		schedule_close(x->schedule, heap_pop(&x->running).step);
	return 1;
}

static void play_phase(struct play *x, int phase)
{
	schedule_open(x->schedule, phase, x->now);
	do
		start_all(x);
	while (advance(x));
	if (schedule_left(x->schedule, phase))
		BUG("phase %s was planned and cannot be run to its end",
		    x->plan->profile->phases[phase].name);
}

/* ---- the lower bound ----------------------------------------------------------------------- */

struct sums {
	double *busy; /* of node n, resource r: [n * RESOURCES + r] */
	double *rack; /* joules of each rack */
	double *leaf; /* seconds of each leaf */
	int leaves;
};

static double node_bound(const struct sums *s, int nodes)
{
	double most = 0;

	for (int i = 0; i < nodes * RESOURCES; i++)
		most = s->busy[i] > most ? s->busy[i] : most;
	return most;
}

static double leaf_bound(const struct sums *s)
{
	double most = 0;

	for (int i = 0; i < s->leaves; i++)
		most = s->leaf[i] > most ? s->leaf[i] : most;
	return most;
}

/* A leaf is one batch's as long as the longest step of it that goes over it. */
static void add_batch(const struct play *x, const struct batch *b, struct sums *s)
{
	double *longest = xcalloc((size_t)s->leaves, sizeof(*longest));

	for (int i = b->first; i < b->first + b->count; i++) {
		const struct step *st = &x->plan->steps[i];

		for (int rail = 0; rail < RAILS_MOST; rail++) {
			double *of = &longest[schedule_leaf(x->fleet, st, rail)];

			if (st->occupies & (1ULL << (FIRST_RAIL_BIT + rail)))
				*of = st->seconds > *of ? st->seconds : *of;
		}
	}
	for (int i = 0; i < s->leaves; i++)
		s->leaf[i] += longest[i];
	free(longest);
}

static double rack_bound(const struct play *x, const struct sums *s)
{
	double most = 0;

	for (int r = 0; r < x->spec->racks.count; r++) {
		double room = x->spec->racks.items[r].power - idle_watts(x, r);

		if (x->spec->racks.items[r].power > 0 && room > 0 && s->rack[r] / room > most)
			most = s->rack[r] / room;
	}
	return most;
}

static double plan_bound(const struct play *x)
{
	struct sums s = { xcalloc((size_t)x->fleet->count * RESOURCES, sizeof(double)),
			  xcalloc((size_t)x->spec->racks.count + 1, sizeof(double)), NULL,
			  (x->spec->units.count + 1) * RAILS_MOST };
	double bound;

	s.leaf = xcalloc((size_t)s.leaves, sizeof(*s.leaf));

	for (int i = 0; i < x->plan->count; i++) {
		const struct step *st = &x->plan->steps[i];

		for (int r = 0; r < RESOURCES; r++)
			if (st->occupies & (1ULL << r))
				s.busy[st->node * RESOURCES + r] += st->seconds;
		if (x->fleet->nodes[st->node].rack >= 0)
			s.rack[x->fleet->nodes[st->node].rack] += st->watts * st->seconds;
	}
	for (int i = 0; i < x->plan->batch_count; i++)
		add_batch(x, &x->plan->batches[i], &s);
	bound = fmax(node_bound(&s, x->fleet->count), fmax(rack_bound(x, &s), leaf_bound(&s)));
	free(s.busy);
	free(s.rack);
	free(s.leaf);
	return bound;
}

void schedule_expect(const struct spec *s, const struct fleet *f, struct plan *p)
{
	struct play x = { .spec = s, .fleet = f, .plan = p };

	x.schedule = schedule_new(s, f, p);
	p->rack_peak = xcalloc((size_t)s->racks.count + 1, sizeof(*p->rack_peak));
	for (int n = 0; n < f->count; n++)
		schedule_ready(x.schedule, n);
	for (int phase = 0; phase < p->profile->phase_count; phase++)
		play_phase(&x, phase);
	p->bound = plan_bound(&x);
	p->seconds = x.now;
	p->energy += idle_watts(&x, -1) * p->seconds;
	p->peak += idle_watts(&x, -1);
	for (int r = 0; r < s->racks.count; r++)
		p->rack_peak[r] += idle_watts(&x, r);
	free(x.running.items);
	schedule_free(x.schedule);
}
