/*
 * test_schedule.c - what may start when: tables of small plans, played in virtual time.
 */
#include "harness/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NODES = 6, ROWS = 16, RACKS = 2 };

/* A step; of a batch (1, 2, ...), or alone (0). A row without seconds ends the list. */
struct row {
	int node;
	uint64_t occupies;
	double seconds, watts;
	int batch;
};

/* Batch 2 runs behind batch 1 and so on; nodes 0 to 2 stand in rack 0, the others in rack 1. */
struct small {
	const char *name;
	struct row rows[ROWS];
	struct ramp ramp;
	double rack, idle;  /* W that each rack carries, and that each node draws at rest */
	int units;          /* 2: nodes 0 to 2 are of unit 0, the others of unit 1 */
	int apart;          /* batches do not wait for each other */
	const char *starts; /* "SECOND: STEP STEP, ..." */
	double seconds, bound;
};

enum { CORES = USES_CORES, MEMORY = USES_MEMORY, DISKS = USES_DISKS };
#define RAIL(n) (1ULL << (FIRST_RAIL_BIT + (n)))

static const struct small cases[] = {
	{ "nodes do not wait for each other",
	  { { 0, CORES, 10 }, { 1, CORES, 20 }, { 2, CORES, 5 } },
	  .starts = "0: 0 1 2",
	  .seconds = 20,
	  .bound = 20 },
	{ "one after the other on one node",
	  { { 0, CORES, 10 }, { 0, CORES, 20 }, { 0, CORES | DISKS, 5 } },
	  .starts = "0: 0, 10: 1, 30: 2",
	  .seconds = 35,
	  .bound = 35 },
	{ "steps that share nothing",
	  { { 0, CORES, 10 }, { 0, DISKS, 20 }, { 0, MEMORY, 5 } },
	  .starts = "0: 0 1 2",
	  .seconds = 20,
	  .bound = 20 },
	{ "nobody overtakes one that waits for the same",
	  { { 0, CORES, 10 }, { 0, CORES | DISKS, 5 }, { 0, DISKS, 5 }, { 0, MEMORY, 1 } },
	  .starts = "0: 0 3, 10: 1, 15: 2",
	  .seconds = 20,
	  .bound = 15 },
	{ "steps that occupy nothing wait for nothing",
	  { { 0, CORES, 10 }, { 0, 0, 3 }, { 0, 0, 3 }, { 0, CORES, 1 }, { 0, 0, 3 } },
	  .starts = "0: 0 1 2 4, 10: 3",
	  .seconds = 11,
	  .bound = 11 },
	{ "GPUs are told apart",
	  { { 0, 1ULL << FIRST_GPU_BIT, 10 },
	    { 0, 1ULL << (FIRST_GPU_BIT + 1), 10 },
	    { 0, 3ULL << FIRST_GPU_BIT, 10 } },
	  .starts = "0: 0 1, 10: 2",
	  .seconds = 20,
	  .bound = 20 },
	{ "a batch waits for its last member",
	  { { 0, CORES, 10 }, { 0, CORES, 5, .batch = 1 }, { 1, CORES, 5, .batch = 1 } },
	  .starts = "0: 0, 10: 1 2",
	  .seconds = 15,
	  .bound = 15 },
	{ "and holds what it waits for against later steps",
	  { { 0, CORES, 10 },
	    { 0, CORES, 5, .batch = 1 },
	    { 1, CORES, 5, .batch = 1 },
	    { 1, CORES, 1 },
	    { 1, DISKS, 1 } },
	  .starts = "0: 0 4, 10: 1 2, 15: 3",
	  .seconds = 16,
	  .bound = 15 },
	{ "a batch waits for the one before, wherever that runs",
	  { { 0, CORES, 10, .batch = 1 },
	    { 1, CORES, 20, .batch = 1 },
	    { 2, CORES, 1, .batch = 2 },
	    { 3, CORES, 1, .batch = 2 },
	    { 0, CORES, 1, .batch = 3 },
	    { 2, CORES, 1, .batch = 3 } },
	  .starts = "0: 0 1, 20: 2 3, 21: 4 5",
	  .seconds = 22,
	  .bound = 20 },
	{ "batches that occupy nothing still keep their order",
	  { { 0, 0, 10, .batch = 1 },
	    { 1, 0, 10, .batch = 1 },
	    { 0, 0, 10, .batch = 2 },
	    { 1, 0, 10, .batch = 2 } },
	  .starts = "0: 0 1, 10: 2 3",
	  .seconds = 20,
	  .bound = 0 },
	{ "two batches below one leaf wait for each other",
	  { { 0, RAIL(3), 10, .batch = 1 },
	    { 1, RAIL(3), 10, .batch = 1 },
	    { 2, RAIL(3), 5, .batch = 2 },
	    { 4, RAIL(3), 5, .batch = 2 } },
	  .units = 2,
	  .apart = 1,
	  .starts = "0: 0 1, 10: 2 3",
	  .seconds = 15,
	  .bound = 15 },
	{ "those of another rail or another unit do not",
	  { { 0, RAIL(3), 10, .batch = 1 },
	    { 1, RAIL(3), 10, .batch = 1 },
	    { 2, RAIL(2), 5, .batch = 2 },
	    { 1, RAIL(2), 5, .batch = 2 },
	    { 3, RAIL(3), 5, .batch = 3 },
	    { 4, RAIL(3), 5, .batch = 3 } },
	  .units = 2,
	  .apart = 1,
	  .starts = "0: 0 1 2 3 4 5",
	  .seconds = 10,
	  .bound = 10 },
	{ "without units all nodes share leaves",
	  { { 0, RAIL(3), 10, .batch = 1 },
	    { 1, RAIL(3), 10, .batch = 1 },
	    { 3, RAIL(3), 5, .batch = 2 },
	    { 4, RAIL(3), 5, .batch = 2 } },
	  .apart = 1,
	  .starts = "0: 0 1, 10: 2 3",
	  .seconds = 15,
	  .bound = 15 },
	{ "who waits for a leaf gets it from whichever batch has it",
	  { { 0, RAIL(0), 10, .batch = 1 },
	    { 1, RAIL(0), 10, .batch = 1 },
	    { 3, RAIL(1), 4, .batch = 2 },
	    { 4, RAIL(1), 4, .batch = 2 },
	    { 2, RAIL(1), 2, .batch = 3 },
	    { 5, RAIL(1), 2, .batch = 3 } },
	  .apart = 1,
	  .starts = "0: 0 1 4 5, 2: 2 3",
	  .seconds = 10,
	  .bound = 10 },
	{ "a node of its own does not wait for a leaf",
	  { { 0, RAIL(0), 10, .batch = 1 }, { 1, RAIL(0), 10, .batch = 1 }, { 2, RAIL(0), 4 } },
	  .starts = "0: 0 1 2",
	  .seconds = 10,
	  .bound = 10 },
	{ "all rails of a round begin together",
	  { { 0, RAIL(0), 10, .batch = 1 },
	    { 1, RAIL(0), 10, .batch = 1 },
	    { 0, RAIL(1), 10, .batch = 1 },
	    { 1, RAIL(1), 10, .batch = 1 },
	    { 0, RAIL(0), 10, .batch = 2 },
	    { 2, RAIL(0), 10, .batch = 2 } },
	  .starts = "0: 0 1 2 3, 10: 4 5",
	  .seconds = 20,
	  .bound = 20 },
	{ "a rack carries one of two, the other rack its own",
	  { { 0, CORES, 10, 600 }, { 1, CORES, 10, 600 }, { 3, CORES, 10, 600 } },
	  .rack = 1000,
	  .starts = "0: 0 2, 10: 1",
	  .seconds = 20,
	  .bound = 12 },
	{ "what nodes draw at rest is taken off",
	  { { 0, CORES, 10, 400 }, { 1, CORES, 10, 400 } },
	  .rack = 1000,
	  .idle = 100,
	  .starts = "0: 0, 10: 1",
	  .seconds = 20,
	  .bound = 8000.0 / 700 },
	{ "two fit exactly",
	  { { 0, CORES, 10, 500 }, { 1, CORES, 10, 500 }, { 2, CORES, 10, 500 } },
	  .rack = 1000,
	  .starts = "0: 0 1, 10: 2",
	  .seconds = 20,
	  .bound = 15 },
	{ "more than the rack carries runs alone",
	  { { 0, CORES, 10, 5000 }, { 1, CORES, 10, 5000 } },
	  .rack = 1000,
	  .starts = "0: 0, 10: 1",
	  .seconds = 20,
	  .bound = 100 },
	{ "who is held for power holds those behind it, and no others",
	  { { 0, CORES, 10, 600 }, { 1, CORES, 10, 600 }, { 1, CORES, 1 }, { 1, DISKS, 1 } },
	  .rack = 1000,
	  .starts = "0: 0 3, 10: 1, 20: 2",
	  .seconds = 21,
	  .bound = 12 },
	{ "load grows by stages",
	  { { 0, CORES, 100, 500 },
	    { 1, CORES, 100, 500 },
	    { 2, CORES, 100, 500 },
	    { 3, CORES, 100, 500 },
	    { 4, CORES, 100, 500 } },
	  .ramp = { 0, 2, 10 },
	  .starts = "0: 0 1, 10: 2 3, 20: 4",
	  .seconds = 120,
	  .bound = 100 },
	{ "steps without load do not wait for a stage",
	  { { 0, CORES, 100, 500 }, { 1, CORES, 100, 500 }, { 2, CORES, 100 } },
	  .ramp = { 0, 1, 10 },
	  .starts = "0: 0 2, 10: 1",
	  .seconds = 110,
	  .bound = 100 },
	{ "a node under load may take more of it",
	  { { 0, CORES, 100, 500 }, { 0, DISKS, 100, 500 }, { 1, CORES, 10, 500 } },
	  .ramp = { 0, 1, 10 },
	  .starts = "0: 0 1, 10: 2",
	  .seconds = 100,
	  .bound = 100 },
	{ "so many nodes under load and no more",
	  { { 0, CORES, 10, 500 },
	    { 1, CORES, 20, 500 },
	    { 2, CORES, 10, 500 },
	    { 3, CORES, 10, 500 } },
	  .ramp = { .loaded_nodes = 2 },
	  .starts = "0: 0 1, 10: 2, 20: 3",
	  .seconds = 30,
	  .bound = 20 },
};

/* ---- plans without a spec file --------------------------------------------------------------- */

struct world {
	struct spec spec;
	struct node_type type;
	struct standing racks[RACKS];
	struct fleet fleet;
	struct fleet_node nodes[NODES];
	struct profile profile;
	struct phase phases[2];
	struct plan plan;
	struct step steps[2 * ROWS];
	struct batch batches[ROWS];
};

static void add_row(struct world *w, const struct row *row, int phase, int apart)
{
	struct plan *p = &w->plan;
	struct step *s = &p->steps[p->count];
	int batch = row->batch - 1;

	*s = (struct step){ .phase = phase,
			    .node = row->node,
			    .batch = batch,
			    .lead = p->count,
			    .members = 1,
			    .occupies = row->occupies,
			    .seconds = row->seconds,
			    .watts = row->watts };
	if (batch >= p->batch_count)
		p->batches[p->batch_count++] =
			(struct batch){ p->count, 0, apart ? -1 : batch - 1 };
	if (batch >= 0)
		p->batches[batch].count++;
	p->first_count = ++p->count;
}

static void build(struct world *w, const struct small *c)
{
	memset(w, 0, sizeof(*w));
	w->type.idle_power = c->idle;
	w->spec = (struct spec){ .nodes = &w->type, .node_count = 1, .ramp = c->ramp };
	w->spec.racks.items = w->racks;
	w->spec.racks.count = c->rack > 0 ? RACKS : 0;
	for (int r = 0; r < RACKS; r++)
		w->racks[r].power = c->rack;
	w->fleet = (struct fleet){ .nodes = w->nodes, .count = NODES };
	for (int n = 0; n < NODES; n++)
		w->nodes[n] = (struct fleet_node){ .rack = c->rack > 0 ? n / 3 : -1,
						   .unit = c->units ? n / 3 : -1 };
	w->spec.units.count = c->units;
	w->profile = (struct profile){ .phases = w->phases, .phase_count = 1 };
	w->phases[0].name = "one";
	w->phases[1].name = "two";
	w->plan.profile = &w->profile;
	w->plan.steps = w->steps;
	w->plan.batches = w->batches;
	for (int i = 0; i < ROWS && c->rows[i].seconds > 0; i++)
		add_row(w, &c->rows[i], 0, c->apart);
}

/* ---- playing --------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* All that may start now, ascending: "0 1 4"; the caller frees it. */
static char *start_all(struct schedule *s, double now, double *ends, const struct plan *p)
{
	int started[2 * ROWS], count = 0, step;
	struct text t;

	while ((step = schedule_next(s, now)) >= 0) {
		assert_true(schedule_is_running(s, step));
		started[count++] = step;
		if (ends)
			ends[step] = now + p->steps[step].seconds;
	}
	qsort(started, (size_t)count, sizeof(*started), by_number);
	text_init(&t);
	for (int i = 0; i < count; i++)
		text_addf(&t, "%s%d", i ? " " : "", started[i]);
	return text_detach(&t);
}

/* Slow and plain, so that it is no copy of expect.c; the caller frees the text. */
static char *play(struct world *w, struct schedule *s)
{
	double ends[2 * ROWS], now = 0;
	struct text t;

	for (int i = 0; i < 2 * ROWS; i++)
		ends[i] = INFINITY;
	text_init(&t);
	for (;;) {
		char *started = start_all(s, now, ends, &w->plan);
		double next = schedule_wake(s);

		if (*started)
			text_addf(&t, "%s%g: %s", t.len ? ", " : "", now, started);
		free(started);
		for (int i = 0; i < w->plan.count; i++)
			next = fmin(next, ends[i]);
		if (!(next < INFINITY))
			break;
		assert_true(next > now);
		now = next;
		for (int i = 0; i < w->plan.count; i++)
			if (ends[i] <= now) {
				ends[i] = INFINITY;
				schedule_close(s, i);
			}
	}
	return text_detach(&t);
}

static struct schedule *all_ready(struct world *w)
{
	struct schedule *s = schedule_new(&w->spec, &w->fleet, &w->plan);

	for (int n = 0; n < NODES; n++)
		schedule_ready(s, n);
	schedule_open(s, 0, 0);
	return s;
}

static void steps_start_when_they_may(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct schedule *s;
		struct world w;
		char *starts;

		print_message("  %s\n", cases[i].name);
		build(&w, &cases[i]);
		s = all_ready(&w);
		starts = play(&w, s);
		assert_string_equal(starts, cases[i].starts);
		assert_int_equal(schedule_left(s, 0), 0);
		assert_true(fabs(schedule_watts(s, -1)) < 1e-6);
		free(starts);
		schedule_free(s);
	}
}

static void plans_expect_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct small *c = &cases[i];
		double energy = NODES * c->idle * c->seconds;
		struct world w;

		print_message("  %s\n", c->name);
		build(&w, c);
		schedule_expect(&w.spec, &w.fleet, &w.plan);
		assert_true(fabs(w.plan.seconds - c->seconds) < 1e-9);
		assert_true(fabs(w.plan.bound - c->bound) < 1e-9);
		assert_true(w.plan.bound <= w.plan.seconds || c->rack > 0);
		for (int k = 0; k < w.plan.count; k++)
			energy += w.plan.steps[k].seconds * w.plan.steps[k].watts;
		assert_true(fabs(w.plan.energy - energy) < 1e-6);
		free(w.plan.rack_peak);
	}
}

static void peaks_are_those_of_the_schedule(void **state)
{
	static const struct small two = {
		"",
		{ { 0, CORES, 10, 400 }, { 1, CORES, 10, 400 }, { 3, CORES, 10, 300 } },
		.rack = 1000,
		.idle = 100, /* of three nodes a rack: 700 are left */
	};
	struct world w;

	(void)state;
	build(&w, &two);
	schedule_expect(&w.spec, &w.fleet, &w.plan);
	assert_true(w.plan.peak == 600 + 400 + 300);
	assert_true(w.plan.rack_peak[0] == 300 + 400);
	assert_true(w.plan.rack_peak[1] == 300 + 300);
	free(w.plan.rack_peak);
}

/* ---- what only a real run shows -------------------------------------------------------------- */

static void assert_starts(struct schedule *s, double now, const char *want)
{
	char *started = start_all(s, now, NULL, NULL);

	assert_string_equal(started, want);
	free(started);
}

static const struct small pairs = {
	"",
	{ { 0, CORES, 1, .batch = 1 },
	  { 1, CORES, 1, .batch = 1 },
	  { 2, CORES, 1, .batch = 1 },
	  { 3, CORES, 1, .batch = 1 },
	  { 0, CORES, 1, .batch = 2 },
	  { 2, CORES, 1, .batch = 2 } },
};

static void nothing_starts_on_a_node_that_is_not_there(void **state)
{
	static const struct small alone = { "", { { 0, CORES, 1 }, { 1, CORES, 1 } } };
	struct schedule *s;
	struct world w;

	(void)state;
	build(&w, &alone);
	s = schedule_new(&w.spec, &w.fleet, &w.plan);
	schedule_open(s, 0, 0);
	assert_starts(s, 0, "");
	schedule_ready(s, 1);
	assert_starts(s, 1, "1");
	schedule_ready(s, 0);
	assert_starts(s, 2, "0");
	schedule_free(s);
}

static void a_batch_waits_until_all_nodes_are_there(void **state)
{
	struct schedule *s;
	struct world w;

	(void)state;
	build(&w, &pairs);
	s = schedule_new(&w.spec, &w.fleet, &w.plan);
	schedule_open(s, 0, 0);
	for (int n = 0; n < 3; n++) {
		schedule_ready(s, n);
		assert_starts(s, n, "");
	}
	schedule_ready(s, 3);
	assert_starts(s, 3, "0 1 2 3");
	schedule_free(s);
}

static void a_batch_goes_without_members_that_are_lost(void **state)
{
	struct schedule *s;
	struct world w;

	(void)state;
	build(&w, &pairs);
	s = schedule_new(&w.spec, &w.fleet, &w.plan);
	schedule_open(s, 0, 0);
	for (int n = 0; n < 3; n++)
		schedule_ready(s, n);
	assert_starts(s, 0, "");
	schedule_close(s, 3); /* node 3 never came */
	assert_starts(s, 1, "0 1 2");
	schedule_close(s, 0);
	schedule_close(s, 1);
	assert_starts(s, 2, ""); /* the last one of the batch still runs */
	assert_int_equal(schedule_left(s, 0), 3);
	schedule_close(s, 2);
	assert_starts(s, 3, "4 5");
	schedule_close(s, 4);
	schedule_close(s, 4); /* twice is once */
	assert_int_equal(schedule_left(s, 0), 1);
	assert_true(schedule_is_closed(s, 4) && !schedule_is_closed(s, 5));
	schedule_free(s);
}

static void a_batch_of_nobody_does_not_stop_the_next(void **state)
{
	struct schedule *s;
	struct world w;

	(void)state;
	build(&w, &pairs);
	s = all_ready(&w);
	for (int i = 0; i < 4; i++)
		schedule_close(s, i);
	assert_starts(s, 0, "4 5");
	schedule_free(s);
}

/* Batch 2 has lost all its members while batch 1 runs: batch 3 still waits for batch 1. */
static void a_batch_of_nobody_is_not_overtaken(void **state)
{
	static const struct small three = {
		"",
		{ { 0, CORES, 1, .batch = 1 },
		  { 1, CORES, 1, .batch = 1 },
		  { 2, CORES, 1, .batch = 2 },
		  { 3, CORES, 1, .batch = 2 },
		  { 4, CORES, 1, .batch = 3 },
		  { 5, CORES, 1, .batch = 3 } },
	};
	struct schedule *s;
	struct world w;

	(void)state;
	build(&w, &three);
	s = all_ready(&w);
	assert_starts(s, 0, "0 1");
	schedule_close(s, 2);
	schedule_close(s, 3);
	assert_starts(s, 1, "");
	schedule_close(s, 0);
	assert_starts(s, 2, "");
	schedule_close(s, 1);
	assert_starts(s, 3, "4 5");
	schedule_free(s);
}

static void only_the_open_phase_starts(void **state)
{
	static const struct small one = { "", { { 0, CORES, 1 }, { 1, CORES, 1 } } };
	static const struct row later = { 0, DISKS, 1 };
	struct schedule *s;
	struct world w;

	(void)state;
	build(&w, &one);
	w.profile.phase_count = 2;
	add_row(&w, &later, 1, 0);
	s = all_ready(&w);
	assert_starts(s, 0, "0 1");
	assert_int_equal(schedule_left(s, 0), 2);
	assert_int_equal(schedule_left(s, 1), 3);
	schedule_close(s, 0);
	schedule_close(s, 1);
	assert_starts(s, 1, "");
	schedule_open(s, 1, 1);
	assert_starts(s, 1, "2");
	/* A step of an earlier phase that is done again: at once, and the phase is not over before.
	 */
	schedule_reopen(s, 1);
	schedule_reopen(s, 1);
	assert_int_equal(schedule_left(s, 0), 1);
	assert_starts(s, 2, "1");
	schedule_close(s, 1);
	schedule_close(s, 2);
	assert_int_equal(schedule_left(s, 1), 0);
	schedule_free(s);
}

static void repeats_are_taken_up(void **state)
{
	static const struct row again[] = { { 0, CORES, 1, .batch = 3 },
					    { 1, CORES, 1, .batch = 3 },
					    { 3, CORES, 1 } };
	struct schedule *s;
	struct world w;
	char *starts;

	(void)state;
	build(&w, &pairs);
	s = all_ready(&w);
	starts = play(&w, s);
	assert_string_equal(starts, "0: 0 1 2 3, 1: 4 5");
	free(starts);
	assert_starts(s, 2, "");
	for (size_t i = 0; i < ARRAY_SIZE(again); i++)
		add_row(&w, &again[i], 0, 0);
	schedule_grow(s);
	assert_int_equal(schedule_left(s, 0), 3);
	assert_starts(s, 2, "6 7 8");
	schedule_close(s, 6);
	schedule_close(s, 7);
	schedule_close(s, 8);
	/* and once more: what was counted is not counted again */
	add_row(&w, &again[2], 0, 0);
	schedule_grow(s);
	assert_int_equal(schedule_left(s, 0), 1);
	assert_starts(s, 3, "9");
	schedule_free(s);
}

/* ---- sixteen thousand nodes ------------------------------------------------------------------ */

enum { MANY = 16384, ALONE = 4, ROUNDS = 5 };

static void fill_many(struct plan *p)
{
	static const uint64_t what[ALONE] = { 0, CORES, DISKS, CORES | MEMORY };

	for (int c = 0; c < ALONE; c++)
		for (int n = 0; n < MANY; n++)
			p->steps[p->count++] = (struct step){
				.node = n, .batch = -1, .seconds = 10, .occupies = what[c]
			};
	for (int r = 0; r < ROUNDS; r++) {
		p->batches[r] = (struct batch){ p->count, MANY, r - 1 };
		for (int n = 0; n < MANY; n++)
			p->steps[p->count++] = (struct step){
				.node = n, .batch = r, .seconds = 10, .occupies = CORES
			};
	}
	p->batch_count = ROUNDS;
	p->first_count = p->count;
}

static void sixteen_thousand_nodes_take_seconds(void **state)
{
	struct phase phase = { .name = "one" };
	struct profile profile = { .phases = &phase, .phase_count = 1 };
	struct node_type type = { 0 };
	struct spec spec = { .nodes = &type, .node_count = 1 };
	struct fleet fleet = { .nodes = xcalloc(MANY, sizeof(struct fleet_node)), .count = MANY };
	struct plan plan = { .profile = &profile };
	double began;

	(void)state;
	for (int n = 0; n < MANY; n++)
		fleet.nodes[n].rack = fleet.nodes[n].unit = -1;
	plan.steps = xcalloc(MANY * (ALONE + ROUNDS), sizeof(*plan.steps));
	plan.batches = xcalloc(ROUNDS, sizeof(*plan.batches));
	fill_many(&plan);
	began = clock_now();
	schedule_expect(&spec, &fleet, &plan);
	print_message("  %.2f s\n", clock_now() - began);
	assert_true(clock_now() - began < 20); /* of a build with sanitizers on a busy machine */
	assert_true(plan.seconds == 10 + 10 + 10 * ROUNDS);
	free(plan.rack_peak);
	free(plan.batches);
	free(plan.steps);
	free(fleet.nodes);
}

/* Most of them wait for the ramp most of the time, and must not be looked at each time one ends. */
static void a_ramp_of_sixteen_thousand_nodes_takes_seconds(void **state)
{
	enum { STEPS = 8 };
	struct phase phase = { .name = "one" };
	struct profile profile = { .phases = &phase, .phase_count = 1 };
	struct node_type type = { 0 };
	struct spec spec = { .nodes = &type, .node_count = 1, .ramp = { 1024, 16, 1 } };
	struct fleet fleet = { .nodes = xcalloc(MANY, sizeof(struct fleet_node)), .count = MANY };
	struct plan plan = { .profile = &profile };
	double began;

	(void)state;
	plan.steps = xcalloc(MANY * STEPS, sizeof(*plan.steps));
	for (int n = 0; n < MANY; n++) {
		fleet.nodes[n].rack = fleet.nodes[n].unit = -1;
		for (int k = 0; k < STEPS; k++, plan.count++)
			plan.steps[plan.count] = (struct step){ .node = n,
								.batch = -1,
								.lead = plan.count,
								.members = 1,
								.occupies = CORES,
								.seconds = 60,
								.watts = 500 };
	}
	plan.first_count = plan.count;
	began = clock_now();
	schedule_expect(&spec, &fleet, &plan);
	print_message("  %.2f s\n", clock_now() - began);
	assert_true(clock_now() - began < 60); /* of a build with sanitizers on a busy machine */
	/* 1024 at a time, less while the ramp climbs: 64 stages of a second each */
	assert_true(plan.seconds >= 60.0 * STEPS * MANY / 1024);
	assert_true(plan.seconds <= 60.0 * STEPS * MANY / 1024 + 64 + 60 * STEPS);
	assert_true(plan.peak <= 500.0 * 1024 + 1);
	free(plan.rack_peak);
	free(plan.steps);
	free(fleet.nodes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_start_when_they_may),
		cmocka_unit_test(plans_expect_the_same),
		cmocka_unit_test(peaks_are_those_of_the_schedule),
		cmocka_unit_test(nothing_starts_on_a_node_that_is_not_there),
		cmocka_unit_test(a_batch_waits_until_all_nodes_are_there),
		cmocka_unit_test(a_batch_goes_without_members_that_are_lost),
		cmocka_unit_test(a_batch_of_nobody_does_not_stop_the_next),
		cmocka_unit_test(a_batch_of_nobody_is_not_overtaken),
		cmocka_unit_test(only_the_open_phase_starts),
		cmocka_unit_test(repeats_are_taken_up),
		cmocka_unit_test(sixteen_thousand_nodes_take_seconds),
		cmocka_unit_test(a_ramp_of_sixteen_thousand_nodes_takes_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
