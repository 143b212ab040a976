/*
 * cmd_plan.c - what a run would do, before it does anything.
 *
 * A few nodes are shown step by step. Of more, steps that differ in their node and part alone are
 * one line, for nobody reads a million.
 */
#include "harness/runfolder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_SHOWN = 4, RACKS_SHOWN = 8 };

/* "cores memory": what steps occupy; "nothing" for those that only read. */
static void resources_text(uint64_t occupies, char *out, size_t room)
{
	static const struct {
		const char *word;
		uint64_t bits;
	} rows[] = { { "cores", USES_CORES },
		     { "memory", USES_MEMORY },
		     { "disks", USES_DISKS },
		     { "nics", USES_NICS | ~0ULL << FIRST_RAIL_BIT },
		     { "gpus", ((1ULL << GPU_BITS) - 1) << FIRST_GPU_BIT } };
	size_t n = 0;

	snprintf(out, room, "nothing");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (occupies & rows[i].bits)
			n += (size_t)snprintf(out + n, room - n, "%s%s", n ? " " : "",
					      rows[i].word);
}

static void print_line(const char *what, double seconds, double writes, uint64_t uses)
{
	char took[40], bytes[24], occupies[40];

	seconds_text(seconds, took, sizeof(took));
	bytes_text(writes, bytes, sizeof(bytes));
	resources_text(uses, occupies, sizeof(occupies));
	printf("  %-38s %11s  %s%s%s\n", what, took, occupies, writes > 0 ? ", writes " : "",
	       writes > 0 ? bytes : "");
}

/* Steps of one check in one phase, from `from` on: their number in *count. */
static void print_kind(const struct runfolder *r, int from, int *count)
{
	const struct step *first = &r->plan->steps[from];
	double longest = 0, writes = 0;
	uint64_t uses = 0;
	char *what;
	int n = 0;

	for (int i = from; i < r->plan->count; i++) {
		const struct step *s = &r->plan->steps[i];

		if (s->phase != first->phase || s->name != first->name)
			break;
		longest = s->seconds > longest ? s->seconds : longest;
		writes += s->writes;
		uses |= s->occupies;
		n++;
	}
	what = xasprintf("%s/%s, %d steps", r->profile->phases[first->phase].name, first->name, n);
	print_line(what, longest, writes, uses);
	free(what);
	*count = n;
}

/* The steps, and what they occupy together. */
static uint64_t print_steps(const struct runfolder *r)
{
	int phase = -1, count = 1, each = r->fleet->count <= NODES_SHOWN;
	uint64_t all = 0;

	for (int i = 0; i < r->plan->count; i++)
		all |= r->plan->steps[i].occupies;
	for (int i = 0; i < r->plan->count; i += count) {
		const struct step *s = &r->plan->steps[i];

		if (s->phase != phase)
			printf("\n%s\n", r->profile->phases[s->phase].name);
		phase = s->phase;
		if (each)
			print_line(s->id, s->seconds, s->writes, s->occupies);
		else
			print_kind(r, i, &count);
	}
	return all;
}

/* ---- power ---- */

static void watts_text(double watts, char *out, size_t room)
{
	if (watts >= 1e6)
		snprintf(out, room, "%.2f MW", watts / 1e6);
	else if (watts >= 1e3)
		snprintf(out, room, "%.1f kW", watts / 1e3);
	else
		snprintf(out, room, "%.0f W", watts);
}

struct rack_share {
	int rack;
	double share;
};

static int by_share(const void *a, const void *b)
{
	const struct rack_share *x = a, *y = b;

	return (x->share < y->share) - (x->share > y->share);
}

/* The racks that come closest to what they may carry, first. */
static void print_racks(const struct runfolder *r)
{
	const struct standings *racks = &r->spec->racks;
	struct rack_share *order = xcalloc((size_t)racks->count, sizeof(*order));
	char peak[24], power[24];

	for (int i = 0; i < racks->count; i++)
		order[i] = (struct rack_share){
			i,
			racks->items[i].power > 0 ? r->plan->rack_peak[i] / racks->items[i].power
						  : 0,
		};
	qsort(order, (size_t)racks->count, sizeof(*order), by_share);
	for (int i = 0; i < racks->count && i < RACKS_SHOWN; i++) {
		const struct standing *s = &racks->items[order[i].rack];

		watts_text(r->plan->rack_peak[order[i].rack], peak, sizeof(peak));
		watts_text(s->power, power, sizeof(power));
		printf("  rack %-12s %10s at the peak%s%s%s\n", s->name, peak,
		       s->power > 0 ? " of " : "", s->power > 0 ? power : "",
		       order[i].share > 1 ? ", MORE THAN IT MAY CARRY" : "");
	}
	if (racks->count > RACKS_SHOWN)
		printf("  and %d more racks, each nearer to its rest\n",
		       racks->count - RACKS_SHOWN);
	free(order);
}

static void print_power(const struct runfolder *r)
{
	char peak[24];

	if (r->plan->peak <= 0) {
		printf("power          not known: the spec does not tell %s\n",
		       r->plan->unknown ? r->plan->unknown : "what anything draws");
		return;
	}
	watts_text(r->plan->peak, peak, sizeof(peak));
	printf("power          %s at the peak, %.4g kWh in all%s%s\n", peak,
	       r->plan->energy / 3.6e6,
	       r->plan->unknown ? "; more, for the spec does not tell " : "",
	       r->plan->unknown ? r->plan->unknown : "");
	print_racks(r);
}

static void print_plan(const struct runfolder *r)
{
	char took[40], bound[40], bytes[24], occupies[40];
	const char *s = r->fleet->count == 1 ? "" : "s";

	seconds_text(r->plan->seconds, took, sizeof(took));
	seconds_text(r->plan->bound, bound, sizeof(bound));
	bytes_text(r->plan->writes, bytes, sizeof(bytes));
	printf("%s on %s: %d steps on %d node%s\n", r->profile->name, r->spec->name, r->plan->count,
	       r->fleet->count, s);
	resources_text(print_steps(r), occupies, sizeof(occupies));
	printf("\nexpected time  %s, %.2f of the %s that the busiest resource needs\n", took,
	       r->plan->bound > 0 ? r->plan->seconds / r->plan->bound : 1.0, bound);
	printf("occupied       %s of %d node%s at the peak\n", occupies, r->fleet->count, s);
	print_power(r);
	printf("repeats        at most %d of a step whose figures stay inconclusive, not counted "
	       "above\n",
	       r->profile->repeat);
	printf("written        %s to disks%s\n", bytes,
	       r->options.destroy_data ? ", DATA OF DISKS NAMED BY SERIAL MAY BE DESTROYED"
				       : ", into files that are removed again");
	printf("plan           %s\n", r->plan->sha256);
}

int cmd_plan(const struct arguments *a)
{
	struct runfolder r = { 0 };
	int rc = run_from_options(&r, a);

	if (rc == 0 && a->value[OPT_JSON]) {
		char *json = report_plan_json(r.spec, r.fleet, r.plan);

		puts(json);
		free(json);
	} else if (rc == 0) {
		print_plan(&r);
	}
	run_close(&r);
	return rc;
}
