/*
 * test_joint.c - members of a joint step: who is told what, and when they begin.
 */
#include "harness/joint.h"
#include "harness/reach_private.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* No power of two: a walk in growing steps must not meet all of them by chance. */
enum { NODES = 5 };

/* Two rails of one batch, each a ring of all nodes: step = rail * NODES + node. */
enum { STEPS = 2 * NODES };

static const struct param params[] = { { 0 } };
static const struct check check = { .name = "ring", .scope = PER_GROUP, .params = params };

struct world {
	struct spec spec;
	struct node_type type;
	struct fleet fleet;
	struct fleet_node nodes[NODES];
	struct profile profile;
	struct phase phase;
	struct plan plan;
	struct step steps[STEPS];
	struct batch batch;
	struct reach *reach;
	struct schedule *schedule;
	struct joints *joints;
	uv_loop_t loop;
	struct text said; /* "share n[2-5] rail0 from n1 k=v", "go n[1-5] rail0", a line each */
};

static void on_sent(void *arg, int channel, const char *line)
{
	struct world *w = arg;
	struct error err;
	struct event ev;

	(void)channel;
	assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
	text_addf(&w->said, "%s %s %s", ev.kind == EV_GO ? "go" : "share", event_text(&ev, "to"),
		  strrchr(ev.step, '/') + 1);
	if (ev.kind == EV_SHARE)
		text_addf(&w->said, " from %s %s=%s", event_text(&ev, "from"), event_text(&ev, "k"),
			  event_text(&ev, "v"));
	text_add(&w->said, "\n");
	event_release(&ev);
}

static void fill(struct world *w)
{
	static char names[NODES][4] = { "n1", "n2", "n3", "n4", "n5" };
	static char *ids[STEPS];
	static int made;

	w->spec = (struct spec){ .nodes = &w->type, .node_count = 1 };
	w->phase.name = "p";
	w->profile = (struct profile){ .phases = &w->phase, .phase_count = 1 };
	w->fleet = (struct fleet){ w->nodes, NODES, json_object() };
	w->batch = (struct batch){ 0, STEPS, -1 };
	w->plan = (struct plan){ .profile = &w->profile,
				 .steps = w->steps,
				 .count = STEPS,
				 .first_count = STEPS,
				 .batches = &w->batch,
				 .batch_count = 1 };
	for (int n = 0; n < NODES; n++) {
		w->nodes[n] = (struct fleet_node){ .name = names[n], .rack = -1, .unit = -1 };
		json_object_set_new(w->fleet.index, names[n], json_integer(n));
	}
	for (int i = 0; i < STEPS; i++) {
		struct step *s = &w->steps[i];

		if (!made)
			ids[i] = xasprintf("p/ring/%s/rail%d", names[i % NODES], i / NODES);
		*s = (struct step){ .id = ids[i],
				    .check = &check,
				    .name = check.name,
				    .node = i % NODES,
				    .lead = i / NODES * NODES,
				    .members = NODES,
				    .occupies = 1ULL << (FIRST_RAIL_BIT + i / NODES) };
		snprintf(s->unit, sizeof(s->unit), "rail%d", i / NODES);
	}
	made = 1;
}

static void set_up(struct world *w)
{
	const struct launcher launcher = { .together = NODES };
	const struct launch launch = { .program = "" };
	const struct reach_calls calls = { 0 };

	memset(w, 0, sizeof(*w));
	fill(w);
	text_init(&w->said);
	uv_loop_init(&w->loop);
	w->reach = reach_new(&w->loop, &w->fleet, &launcher, &launch, &calls);
	reach_spy(w->reach, on_sent, w);
	w->schedule = schedule_new(&w->spec, &w->fleet, &w->plan);
	w->joints = joints_new(&w->plan, &w->fleet, w->reach, w->schedule);
	for (int n = 0; n < NODES; n++)
		schedule_ready(w->schedule, n);
	schedule_open(w->schedule, 0, 0);
	while (schedule_next(w->schedule, 0) >= 0)
		;
}

static void tear_down(struct world *w)
{
	joints_free(w->joints);
	schedule_free(w->schedule);
	reach_free(w->reach);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	json_decref(w->fleet.index);
	text_release(&w->said);
}

/* What members and time do: "N share KEY VALUE [FOR]", "N ready", "N over WHY", "wait SECONDS". */
struct deed {
	enum { SHARE, IS_READY, OVER, WAIT } what;
	int step;
	const char *key, *value, *to;
	double seconds;
};

static void share(struct world *w, int step, const char *key, const char *value, const char *to)
{
	struct event ev = { .kind = EV_SHARE, .json = json_object() };

	json_object_set_new(ev.json, "k", json_string(key));
	json_object_set_new(ev.json, "v", json_string(value));
	if (to)
		json_object_set_new(ev.json, "for", json_string(to));
	joints_share(w->joints, step, &ev);
	json_decref(ev.json);
}

static void act(struct world *w, const struct deed *d)
{
	if (d->what == SHARE)
		share(w, d->step, d->key, d->value, d->to);
	if (d->what == IS_READY)
		share(w, d->step, "ready", "", NULL);
	if (d->what == WAIT)
		joints_tick(w->joints, clock_now() + d->seconds);
	if (d->what == OVER) {
		schedule_close(w->schedule, d->step);
		joints_closed(w->joints, d->step, d->value);
	}
}

#define R(a, n)                                                                                    \
	{                                                                                          \
		IS_READY, ((a) + (n)) % STEPS                                                      \
	}
#define ALL_READY_BUT(a)                                                                           \
	R(a, 1), R(a, 2), R(a, 3), R(a, 4), R(a, 5), R(a, 6), R(a, 7), R(a, 8), R(a, 9)

static const struct {
	const char *name;
	struct deed deeds[14];
	int count;
	const char *said;
} cases[] = {
	{ "what is for all goes to all others of that rail",
	  { { SHARE, NODES, "id", "x" } },
	  1,
	  "share n[2-5] rail1 from n1 id=x\n" },
	{ "what is for one goes to that one",
	  { { SHARE, 1, "place", "x", "n3" } },
	  1,
	  "share n3 rail0 from n2 place=x\n" },
	{ "nobody else, and nobody who is gone",
	  { { SHARE, 1, "place", "x", "n9" },
	    { OVER, 2, NULL, NULL },
	    { SHARE, 1, "place", "x", "n3" } },
	  3,
	  "" },
	{ "all of a batch begin together, each rail under its own id",
	  { ALL_READY_BUT(0), { IS_READY, 0 } },
	  10,
	  "go n[1-5] rail0\ngo n[1-5] rail1\n" },
	{ "and not before the last is ready", { ALL_READY_BUT(6) }, 9, "" },
	{ "who dies is not waited for, and the others hear why",
	  { ALL_READY_BUT(6), { OVER, 6, NULL, "it died" } },
	  10,
	  "share n[1,3-5] rail1 from n2 gone=it died\ngo n[1-5] rail0\ngo n[1,3-5] rail1\n" },
	{ "nor who is not ready two minutes behind the first",
	  { ALL_READY_BUT(6), { WAIT, .seconds = 119 }, { WAIT, .seconds = 121 } },
	  11,
	  "share n[1,3-5] rail1 from n2 gone=it was not ready in time\ngo n[1-5] rail0\n"
	  "go n[1,3-5] rail1\n" },
	{ "its late word changes nothing",
	  { ALL_READY_BUT(6), { WAIT, .seconds = 121 }, { IS_READY, 6 } },
	  11,
	  "share n[1,3-5] rail1 from n2 gone=it was not ready in time\ngo n[1-5] rail0\n"
	  "go n[1,3-5] rail1\n" },
	{ "as long as nobody is ready nobody is late", { { WAIT, .seconds = 1000 } }, 1, "" },
	{ "they begin once",
	  { ALL_READY_BUT(0), { IS_READY, 0 }, { OVER, 3, NULL, NULL }, { WAIT, .seconds = 500 } },
	  12,
	  "go n[1-5] rail0\ngo n[1-5] rail1\n" },
};

static void members_hear_what_they_need(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;

		print_message("  %s\n", cases[i].name);
		set_up(&w);
		for (int k = 0; k < cases[i].count; k++)
			act(&w, &cases[i].deeds[k]);
		assert_string_equal(w.said.len ? w.said.data : "", cases[i].said);
		tear_down(&w);
	}
}

/* In whatever order they come, nobody is told to begin before the last. */
static void order_does_not_matter(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		int left[STEPS];
		struct world w;

		set_up(&w);
		for (int i = 0; i < STEPS; i++)
			left[i] = i;
		for (int count = STEPS; count; count--) {
			int k = (int)(random_next(&random) % (uint64_t)count);

			assert_int_equal(w.said.len, 0);
			share(&w, left[k], "ready", "", NULL);
			left[k] = left[count - 1];
		}
		assert_string_equal(w.said.data, "go n[1-5] rail0\ngo n[1-5] rail1\n");
		tear_down(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_hear_what_they_need),
		cmocka_unit_test(order_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
