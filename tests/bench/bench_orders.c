/*
 * bench_orders.c - what it takes to order a whole plan on many nodes: lines, bytes, CPU time.
 *
 * No command runs; the lines are counted on their way to where it would be.
 */
#include "harness/load.h"
#include "harness/orders.h"
#include "harness/reach_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct count {
	long lines;
	double bytes;
};

static void on_sent(void *arg, int channel, const char *line)
{
	struct count *c = arg;

	(void)channel;
	c->lines++;
	c->bytes += (double)strlen(line);
}

static int is_member(void *arg, int step)
{
	(void)arg;
	(void)step;
	return 1;
}

/* What can start at the same time goes out together: the steps of one check of one phase. */
static void send_all(struct reach *reach, const struct plan *plan, const struct fleet *fleet)
{
	int *steps = xcalloc((size_t)plan->count, sizeof(*steps));

	for (int from = 0, to; from < plan->count; from = to) {
		const struct step *first = &plan->steps[from];

		for (to = from; to < plan->count && plan->steps[to].name == first->name &&
				plan->steps[to].phase == first->phase;
		     to++)
			steps[to - from] = to;
		orders_send(reach, plan, fleet, steps, to - from, is_member, NULL);
	}
	free(steps);
}

static void measure(const struct plan *plan, const struct fleet *fleet, int together)
{
	const struct launcher launcher = { .together = together };
	const struct launch launch = { .program = "" };
	const struct reach_calls calls = { 0 };
	struct count count = { 0 };
	struct reach *reach;
	clock_t began;
	uv_loop_t loop;

	uv_loop_init(&loop);
	reach = reach_new(&loop, fleet, &launcher, &launch, &calls);
	reach_spy(reach, on_sent, &count);
	began = clock();
	send_all(reach, plan, fleet);
	printf("%ld %.0f %.2f\n", count.lines, count.bytes,
	       (double)(clock() - began) / CLOCKS_PER_SEC);
	reach_free(reach);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
}

/* bench_orders HOSTS SPEC PROFILE TOGETHER: prints lines, bytes and seconds */
int main(int argc, char **argv)
{
	const struct plan_options options = { 0 };
	struct complaints complaints;
	struct hostlist hosts;
	struct profile *profile;
	struct fleet *fleet;
	struct error err;
	struct spec *spec;
	struct plan *plan;

	if (argc != 5)
		return 2;
	complaints_init(&complaints);
	spec = spec_load(argv[2], &complaints);
	profile = spec ? profile_load(argv[3], &complaints) : NULL;
	if (!profile || hostlist_parse(argv[1], &hosts, &err) < 0)
		return 2;
	fleet = fleet_build(spec, &hosts, &err);
	plan = fleet ? plan_build(spec, fleet, profile, &options, &err) : NULL;
	if (!plan) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	measure(plan, fleet, atoi(argv[4]));
	plan_free(plan);
	fleet_free(fleet);
	hostlist_release(&hosts);
	profile_free(profile);
	spec_free(spec);
	complaints_release(&complaints);
	return 0;
}
