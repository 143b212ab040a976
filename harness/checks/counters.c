/*
 * counters.c - counters before and after.
 *
 * A counter that is not there is not a counter of zero: without a driver that counts, nothing was
 * seen.
 */
#include "harness/checks/counters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take(void *arg, const char *part, const char *name, double value)
{
	struct counters *c = arg;

	for (int i = 0; i < c->count; i++) {
		if (strcmp(c->items[i].part, part) != 0 || strcmp(c->items[i].name, name) != 0)
			continue;
		c->items[i].now = value;
		return;
	}
	c->too_many |= !c->now_reading && c->count == COUNTERS_MOST;
	if (c->now_reading || c->too_many)
		return;
	snprintf(c->items[c->count].part, sizeof(c->items[0].part), "%s", part);
	snprintf(c->items[c->count].name, sizeof(c->items[0].name), "%s", name);
	c->items[c->count].before = c->items[c->count].now = value;
	c->count++;
}

int counters_begin(struct counters *c, struct job *job, struct error *err)
{
	c->count = c->now_reading = c->too_many = 0;
	if (job->hw->counters(job->machine, take, c, err) < 0)
		return -1;
	return c->too_many ? error_set(err, "more than %d counters", COUNTERS_MOST) : 0;
}

int counters_end(struct counters *c, struct job *job, struct error *err)
{
	c->now_reading = 1;
	for (int i = 0; i < c->count; i++)
		c->items[i].now = NAN; /* one that is gone by now has not stood still */
	return job->hw->counters(job->machine, take, c, err);
}

void counters_report(struct counters *c, struct job *job, const char *name, const char *metric)
{
	int found = 0;

	for (int i = 0; i < c->count; i++) {
		if (strcmp(c->items[i].name, name) != 0)
			continue;
		found = 1;
		if (isnan(c->items[i].now))
			job_hole(job, metric, c->items[i].part,
				 "the counter was there before and not behind");
		else
			job_report(job, metric, c->items[i].part,
				   c->items[i].now - c->items[i].before);
	}
	if (found)
		return;
	if (job_is_virtual(job))
		job_absent(job, metric, "", "a virtual machine keeps no such counter");
	else
		job_hole(job, metric, "",
			 "no driver here keeps this counter (EDAC module not loaded?)");
}
