/*
 * test_gates.c - who goes on behind a phase: what each gate ends, and what becomes of partners.
 */
#include "harness/gates.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 4, PHASES = 3 };

/* Four steps each, one a node: alone in each phase, and in the second two pairs and a group. */
enum { FIRST = 0, ALONE = 4, PAIRS = 8, GROUP = 12, LAST = 16, STEPS = 20 };

static const struct {
	const char *name;
	int first, phase, members;
} kinds[] = {
	{ "first", FIRST, 0, 1 }, { "alone", ALONE, 1, 1 }, { "pair", PAIRS, 1, 2 },
	{ "group", GROUP, 1, 4 }, { "last", LAST, 2, 1 },
};

struct world {
	struct spec spec;
	struct node_type type;
	struct fleet fleet;
	struct fleet_node nodes[NODES];
	struct profile profile;
	struct phase phases[PHASES];
	struct plan plan;
	struct step steps[STEPS];
	struct schedule *schedule;
	struct gates gates;
	struct text said; /* "left-out pair/n1: why", a line for each step that was ended */
};

static void end(void *arg, int step, enum end_word word, const char *why)
{
	struct world *w = arg;

	assert_false(schedule_is_closed(w->schedule, step));
	schedule_close(w->schedule, step);
	text_addf(&w->said, "%s %s: %s\n", end_word_name(word), w->plan.steps[step].id, why);
}

static void fill_steps(struct world *w)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (int n = 0; n < NODES; n++) {
			int members = kinds[k].members;

			w->steps[kinds[k].first + n] = (struct step){
				.id = xasprintf("%s/n%d", kinds[k].name, n + 1),
				.name = kinds[k].name,
				.phase = kinds[k].phase,
				.node = n,
				.lead = kinds[k].first + n / members * members,
				.members = members,
				.batch = -1,
			};
		}
}

static void set_up(struct world *w, enum gate gate)
{
	static char names[NODES][4] = { "n1", "n2", "n3", "n4" };
	static const char *const phases[PHASES] = { "one", "two", "three" };

	memset(w, 0, sizeof(*w));
	text_init(&w->said);
	fill_steps(w);
	for (int n = 0; n < NODES; n++)
		w->nodes[n] = (struct fleet_node){ .name = names[n], .rack = -1, .unit = -1 };
	for (int i = 0; i < PHASES; i++)
		w->phases[i] = (struct phase){ .name = phases[i], .gate = gate };
	w->spec = (struct spec){ .nodes = &w->type, .node_count = 1 };
	w->fleet = (struct fleet){ .nodes = w->nodes, .count = NODES };
	w->profile = (struct profile){ .phases = w->phases, .phase_count = PHASES };
	w->plan = (struct plan){
		.profile = &w->profile, .steps = w->steps, .count = STEPS, .first_count = STEPS
	};
	w->schedule = schedule_new(&w->spec, &w->fleet, &w->plan);
	w->gates = (struct gates){ &w->fleet, &w->profile, &w->plan, w->schedule, end, w };
}

static void tear_down(struct world *w)
{
	schedule_free(w->schedule);
	for (int i = 0; i < STEPS; i++)
		free(w->steps[i].id);
	text_release(&w->said);
}

/* ---- partners ---- */

/* closed, running: the steps that are, in decimal digits from PAIRS on; `gone` is one of `closed`.
 */
static const struct {
	const char *name;
	int gone;
	const char *closed;
	int runs;
	const char *said;
} partners[] = {
	{ "of a pair the other has nobody to meet", 8, "0", 0,
	  "lost pair/n2: n1, which it was to meet, is lost\n" },
	{ "nor has the first", 11, "3", 0, "lost pair/n3: n4, which it was to meet, is lost\n" },
	{ "one that runs finds out by itself", 8, "0", 1, "" },
	{ "one that is over stays so", 8, "01", 0, "" },
	{ "another pair is nobody's partner", 8, "0123", 0, "" },
	{ "a group meets without one", 12, "4", 0, "" },
	{ "and without two", 13, "45", 0, "" },
	{ "the last one of a group is alone", 14, "456", 0,
	  "lost group/n4: n3, which it was to meet, is lost\n" },
	{ "a step alone has none", 4, "", 0, "" },
};

static void partners_are_ended(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(partners); i++) {
		struct world w;

		print_message("  %s\n", partners[i].name);
		set_up(&w, GATE_OPEN);
		for (int n = 0; n < NODES && partners[i].runs; n++)
			schedule_ready(w.schedule, n);
		schedule_open(w.schedule, 1, 0);
		while (schedule_next(w.schedule, 0) >= 0)
			;
		assert_int_equal(schedule_is_running(w.schedule, 9), partners[i].runs);
		schedule_close(w.schedule, partners[i].gone);
		for (const char *s = partners[i].closed; *s; s++)
			if (PAIRS + *s - '0' != partners[i].gone)
				schedule_close(w.schedule, PAIRS + *s - '0');
		gates_end_partners(&w.gates, partners[i].gone, END_LOST, "is lost");
		assert_string_equal(w.said.data, partners[i].said);
		tear_down(&w);
	}
}

/* ---- gates ---- */

#define N2_WHY ": in phase one, disk.read of n2 is fail\n"
#define N3_WHY ": in phase one, disk.read of n3 is not-measured\n"
#define PARTNER(p, n) "left-out pair/" p ": " n ", which it was to meet, was left out\n"

struct row { /* one finding about a step */
	int step;
	enum verdict verdict;
	const char *check; /* NULL: "disk" */
	int recorded;
};

static const struct {
	const char *name;
	enum gate gate;
	struct row rows[5]; /* up to the first that has no subject: step 0 is n1's, passing */
	int count, closed;  /* closed: a step that is over already, 0: none */
	const char *said;
} gates[] = {
	{ "good nodes go on", GATE_LEAVE, { { 0, VERDICT_PASS }, { 1, VERDICT_PASS } }, 2, 0, "" },
	{ "open: so do bad ones", GATE_OPEN, { { 1, VERDICT_FAIL } }, 1, 0, "" },
	{ "alone: with nobody else",
	  GATE_ALONE,
	  { { 1, VERDICT_FAIL } },
	  1,
	  0,
	  "left-out pair/n2" N2_WHY PARTNER("n1", "n2") "left-out group/n2" N2_WHY },
	{ "leave: not at all",
	  GATE_LEAVE,
	  { { 1, VERDICT_FAIL } },
	  1,
	  0,
	  "left-out alone/n2" N2_WHY "left-out pair/n2" N2_WHY PARTNER(
		  "n1", "n2") "left-out group/n2" N2_WHY "left-out last/n2" N2_WHY },
	{ "stop: nobody does",
	  GATE_STOP,
	  { { 1, VERDICT_FAIL } },
	  1,
	  0,
	  "left-out alone/n1" N2_WHY "left-out pair/n1" N2_WHY PARTNER(
		  "n2",
		  "n1") "left-out group/n1" N2_WHY "left-out last/n1" N2_WHY
			"left-out alone/n2" N2_WHY "left-out group/n2" N2_WHY
			"left-out last/n2" N2_WHY "left-out alone/n3" N2_WHY
			"left-out pair/n3" N2_WHY PARTNER(
				"n4",
				"n3") "left-out group/n3" N2_WHY
				      "left-out group/n4: n3, which it was to meet, was left out\n"
				      "left-out last/n3" N2_WHY "left-out alone/n4" N2_WHY
				      "left-out last/n4" N2_WHY },
	{ "stop, and all is good", GATE_STOP, { { 1, VERDICT_PASS } }, 1, 0, "" },
	{ "a hole keeps out too",
	  GATE_ALONE,
	  { { 2, VERDICT_NOT_MEASURED } },
	  1,
	  0,
	  "left-out pair/n3" N3_WHY PARTNER("n4", "n3") "left-out group/n3" N3_WHY },
	{ "a hole of the watching does not",
	  GATE_LEAVE,
	  { { 2, VERDICT_NOT_MEASURED, WATCH_CHECK } },
	  1,
	  0,
	  "" },
	{ "what the watching saw does",
	  GATE_ALONE,
	  { { 2, VERDICT_FAIL, WATCH_CHECK } },
	  1,
	  0,
	  "left-out pair/n3: in phase one, telemetry.read of n3 is fail\n" PARTNER(
		  "n4", "n3") "left-out group/n3: in phase one, telemetry.read of n3 is fail\n" },
	{ "other verdicts do not",
	  GATE_LEAVE,
	  { { 0, VERDICT_INCONCLUSIVE }, { 1, VERDICT_WAIVED }, { 2, VERDICT_NOT_APPLICABLE } },
	  3,
	  0,
	  "" },
	{ "nor does what is only recorded",
	  GATE_LEAVE,
	  { { 1, VERDICT_FAIL, NULL, 1 } },
	  1,
	  0,
	  "" },
	{ "nor what another phase shows",
	  GATE_LEAVE,
	  { { ALONE + 1, VERDICT_FAIL }, { LAST + 1, VERDICT_FAIL } },
	  2,
	  0,
	  "" },
	{ "the first reason stands",
	  GATE_ALONE,
	  { { 1, VERDICT_FAIL }, { 1, VERDICT_FAIL, "later" } },
	  2,
	  0,
	  "left-out pair/n2" N2_WHY PARTNER("n1", "n2") "left-out group/n2" N2_WHY },
	{ "both of a pair: each for its own reason, and none twice",
	  GATE_ALONE,
	  { { 0, VERDICT_FAIL }, { 1, VERDICT_FAIL } },
	  2,
	  0,
	  "left-out pair/n1: in phase one, disk.read of n1 is fail\n" PARTNER(
		  "n2", "n1") "left-out group/n1: in phase one, disk.read of n1 is fail\n"
			      "left-out group/n2" N2_WHY },
	{ "what is over stays so",
	  GATE_LEAVE,
	  { { 1, VERDICT_FAIL } },
	  1,
	  ALONE + 1,
	  "left-out pair/n2" N2_WHY PARTNER("n1", "n2") "left-out group/n2" N2_WHY
							"left-out last/n2" N2_WHY },
};

static void gates_let_through_what_the_profile_wants(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gates); i++) {
		struct finding items[5] = { 0 };
		struct judgement j = { .items = items, .count = gates[i].count };
		struct world w;

		print_message("  %s\n", gates[i].name);
		set_up(&w, gates[i].gate);
		for (int k = 0; k < j.count; k++) {
			const struct row *r = &gates[i].rows[k];

			items[k] = (struct finding){
				.verdict = r->verdict,
				.check = r->check ? r->check : "disk",
				.metric = "read",
				.subject = w.nodes[w.steps[r->step].node].name,
				.step = r->step,
				.recorded = r->recorded,
			};
		}
		if (gates[i].closed)
			schedule_close(w.schedule, gates[i].closed);
		gates_pass(&w.gates, 0, &j);
		assert_string_equal(w.said.data, gates[i].said);
		tear_down(&w);
	}
}

#define MET ": in phase one, rail_pair.read of n2 is fail, and so it is with each that it met\n"

/* Two rounds of pairs in the first phase: steps PAIRS + node and GROUP + node. */
static const struct {
	const char *name;
	const char *first, *second; /* units of the rounds */
	struct row rows[4];
	int count;
	const char *said;
} meetings[] = {
	{ "bad with one of two accuses nobody",
	  "r1.rail0",
	  "r2.rail0",
	  { { PAIRS + 1, VERDICT_FAIL, "rail_pair" }, { GROUP + 1, VERDICT_PASS, "rail_pair" } },
	  2,
	  "" },
	{ "bad with both is bad",
	  "r1.rail0",
	  "r2.rail0",
	  { { PAIRS + 1, VERDICT_FAIL, "rail_pair" },
	    { GROUP + 1, VERDICT_NOT_MEASURED, "rail_pair" },
	    { PAIRS + 0, VERDICT_NOT_MEASURED, "rail_pair" },
	    { GROUP + 2, VERDICT_FAIL, "rail_pair" } },
	  4,
	  "left-out alone/n2" MET "left-out last/n2" MET },
	{ "once on each of two rails is once",
	  "r1.rail0",
	  "r1.rail1",
	  { { PAIRS + 1, VERDICT_FAIL, "rail_pair" }, { GROUP + 1, VERDICT_FAIL, "rail_pair" } },
	  2,
	  "" },
	{ "what the watching saw is the node's own",
	  "r1.rail0",
	  "r2.rail0",
	  { { PAIRS + 1, VERDICT_FAIL, WATCH_CHECK } },
	  1,
	  "left-out alone/n2: in phase one, telemetry.read of n2 is fail\n"
	  "left-out last/n2: in phase one, telemetry.read of n2 is fail\n" },
};

static void a_pair_does_not_say_which_of_two_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(meetings); i++) {
		struct finding items[4] = { 0 };
		struct judgement j = { .items = items, .count = meetings[i].count };
		struct world w;

		print_message("  %s\n", meetings[i].name);
		set_up(&w, GATE_LEAVE);
		for (int n = 0; n < 2 * NODES; n++) {
			struct step *s = &w.steps[PAIRS + n];

			s->phase = 0;
			s->members = 2;
			s->round = 1;
			s->name = "rail_pair";
			snprintf(s->unit, sizeof(s->unit), "%s",
				 n < NODES ? meetings[i].first : meetings[i].second);
		}
		for (int k = 0; k < j.count; k++) {
			const struct row *r = &meetings[i].rows[k];

			items[k] = (struct finding){
				.verdict = r->verdict,
				.check = r->check,
				.metric = "read",
				.subject = w.nodes[w.steps[r->step].node].name,
				.step = r->step,
			};
		}
		gates_pass(&w.gates, 0, &j);
		assert_string_equal(w.said.len ? w.said.data : "", meetings[i].said);
		tear_down(&w);
	}
}

/* Behind a later phase, steps of earlier ones and of its own are nobody's business. */
static void only_later_phases_are_left_out(void **state)
{
	struct finding f = { .verdict = VERDICT_FAIL,
			     .check = "disk",
			     .metric = "read",
			     .subject = (char *)"n2",
			     .step = ALONE + 1 };
	struct judgement j = { .items = &f, .count = 1 };
	struct world w;

	(void)state;
	set_up(&w, GATE_LEAVE);
	gates_pass(&w.gates, 1, &j);
	assert_string_equal(w.said.data,
			    "left-out last/n2: in phase two, disk.read of n2 is fail\n");
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partners_are_ended),
		cmocka_unit_test(gates_let_through_what_the_profile_wants),
		cmocka_unit_test(a_pair_does_not_say_which_of_two_it_is),
		cmocka_unit_test(only_later_phases_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
