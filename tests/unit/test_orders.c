/*
 * test_orders.c - orders of steps: each node is told once, of whole knobs, in few lines.
 */
#include "harness/orders.h"
#include "harness/reach_private.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NODES = 2000 };

static const struct param params[] = { { "bytes", "1", "" }, { "peers", "", "" }, { 0 } };
static const struct check alone = { .name = "alone", .scope = PER_NODE, .params = params };
static const struct check joint = { .name = "joint", .scope = PER_GROUP, .params = params };

static char own_bytes[] = "8192 B";

struct world {
	struct fleet fleet;
	struct plan plan;
	const char *values[2], *other[2];
	char *owned[2], *own[2]; /* of members that share all; of those with a knob of their own */
	struct reach *reach;
	uv_loop_t loop;
	int steps[NODES];
	/* what was heard */
	int lines, withs, gone;         /* gone: this node takes no part */
	int told[NODES], others[NODES]; /* others: with the knob of its own */
	int is_other;
	struct text peers;
};

/* The with lines of an order come before its run line, all to the same nodes. */
static void on_sent(void *arg, int channel, const char *line)
{
	struct world *w = arg;
	struct hostlist to;
	struct error err;
	struct event ev;

	(void)channel;
	w->lines++;
	assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
	assert_int_equal(hostlist_parse(event_text(&ev, "to"), &to, &err), 0);
	if (!strcmp(event_text(&ev, "k"), "bytes"))
		w->is_other = !strcmp(event_text(&ev, "v"), own_bytes);
	if (ev.kind == EV_RUN) {
		for (int i = 0; i < to.count; i++)
			w->told[fleet_find(&w->fleet, to.names[i])]++;
		for (int i = 0; i < to.count; i++)
			w->others[fleet_find(&w->fleet, to.names[i])] += w->is_other;
		assert_string_equal(strchr(ev.step, '/'), !strcmp(event_text(&ev, "check"), "joint")
								  ? "/joint/@/group"
								  : "/alone/@");
		w->withs = (int)event_whole(&ev, "with");
	} else if (!strcmp(event_text(&ev, "k"), "peers") && !strcmp(to.names[0], "n00000")) {
		text_add(&w->peers, event_text(&ev, "v"));
	}
	hostlist_release(&to);
	event_release(&ev);
}

static int is_member(void *arg, int step)
{
	const struct world *w = arg;

	return step != w->gone;
}

/* every: distance of two nodes' numbers; 1: their names make one range */
static void set_up(struct world *w, const struct check *check, int every, int members, int together)
{
	const struct launcher launcher = { .together = together };
	const struct launch launch = { .program = "" };
	const struct reach_calls calls = { 0 };

	*w = (struct world){ .fleet = { xcalloc(NODES, sizeof(*w->fleet.nodes)), NODES,
					json_object() },
			     .values = { "4096 B", NULL },
			     .other = { "8192 B", NULL },
			     .own = { own_bytes, NULL },
			     .gone = -1 };
	w->plan.steps = xcalloc(NODES, sizeof(*w->plan.steps));
	w->plan.count = NODES;
	text_init(&w->peers);
	for (int i = 0; i < NODES; i++) {
		char *name = xasprintf("n%05d", i * every);

		w->fleet.nodes[i].name = name;
		json_object_set_new(w->fleet.index, name, json_integer(i));
		w->plan.steps[i] = (struct step){
			.id = xasprintf("p/%s/%s%s", check->name, name,
					members > 1 ? "/group" : ""),
			.check = check,
			.name = check->name,
			.node = i,
			.lead = members > 1 ? i / members * members : i,
			.members = members,
			.values = w->values,
			.owned = w->owned,
			.deadline = 30,
		};
		w->steps[i] = NODES - 1 - i; /* as the scheduler may give them out */
	}
	uv_loop_init(&w->loop);
	w->reach = reach_new(&w->loop, &w->fleet, &launcher, &launch, &calls);
	reach_spy(w->reach, on_sent, w);
}

static void tear_down(struct world *w)
{
	reach_free(w->reach);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	for (int i = 0; i < NODES; i++) {
		free(w->fleet.nodes[i].name);
		free(w->plan.steps[i].id);
	}
	text_release(&w->peers);
	json_decref(w->fleet.index);
	free(w->fleet.nodes);
	free(w->plan.steps);
}

static void each_node_is_told_once(void **state)
{
	static const struct {
		const struct check *check;
		int every, members, together, most; /* lines */
	} cases[] = {
		{ &alone, 1, 1, NODES, 2 },
		{ &alone, 1, 1, 1, 2 * NODES },
		{ &alone, 2, 1, NODES, 2 * NODES / 20 },
		{ &joint, 1, NODES, NODES, 3 },
		{ &joint, 1, 2, NODES, 3 * NODES / 2 },
		{ &joint, 1, 8, 1, 3 * NODES },
		{ &joint, 2, 400, NODES, 10 * 50 * 20 },
	};

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		struct world w;

		set_up(&w, cases[c].check, cases[c].every, cases[c].members, cases[c].together);
		orders_send(w.reach, &w.plan, &w.fleet, w.steps, NODES, is_member, &w);
		for (int i = 0; i < NODES; i++)
			if (w.told[i] != 1)
				fail_msg("case %zu: node %d was told %d times", c, i, w.told[i]);
		assert_in_range(w.lines, 1, cases[c].most);
		tear_down(&w);
	}
}

/* A member that has another NIC on the rail is told so, and the others are not. */
static void members_may_differ_in_a_knob(void **state)
{
	for (int members = 2; members <= NODES; members *= 10) {
		struct world w;

		(void)state;
		set_up(&w, &joint, 1, members, NODES);
		for (int i = 0; i < NODES; i++) {
			if (i % 3 != 1 || w.plan.steps[i].lead == i)
				continue;
			w.plan.steps[i].values = w.other;
			w.plan.steps[i].owned = w.own;
		}
		orders_send(w.reach, &w.plan, &w.fleet, w.steps, NODES, is_member, &w);
		for (int i = 0; i < NODES; i++) {
			assert_int_equal(w.told[i], 1);
			assert_int_equal(w.others[i], w.plan.steps[i].owned == w.own);
		}
		tear_down(&w);
	}
}

/* Thousands of names that make no range are whole on the other side, but for who takes no part. */
static void a_group_hears_of_all_its_members(void **state)
{
	struct hostlist peers;
	struct error err;
	struct world w;

	(void)state;
	set_up(&w, &joint, 2, NODES, NODES);
	w.gone = 7;
	orders_send(w.reach, &w.plan, &w.fleet, w.steps, NODES, is_member, &w);
	assert_int_equal(hostlist_parse(w.peers.data, &peers, &err), 0);
	assert_int_equal(peers.count, NODES - 1);
	for (int i = 0; i < peers.count; i++)
		assert_string_equal(peers.names[i], w.fleet.nodes[i < 7 ? i : i + 1].name);
	assert_true(w.withs > 100);
	hostlist_release(&peers);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_node_is_told_once),
		cmocka_unit_test(members_may_differ_in_a_knob),
		cmocka_unit_test(a_group_hears_of_all_its_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
