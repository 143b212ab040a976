/*
 * inventory.c - what is there, part by part.
 *
 * It promises no metric: its facts are compared with the parts of the spec, one by one, by the
 * judge.
 */
#include "harness/checks/check.h"

static const struct param params[] = { { 0 } };
static const struct metric metrics[] = { { 0 } };

static double seconds(const struct knobs *k)
{
	(void)k;
	return 1;
}

static int run(struct job *job, struct error *err)
{
	return job->hw->facts(job->machine, job->sink->fact, job->sink->arg, err);
}

const struct check check_inventory = {
	.name = "inventory",
	.summary = "sockets, memory, GPUs, NICs and disks against the spec",
	.how = "Reads SMBIOS tables, sysfs, PCI configuration and hwloc's topology, and compares "
	       "every fact "
	       "that the spec states of a part. Found parts are matched with bought ones first by "
	       "all their "
	       "facts, then by order, so a wrong module is named by slot and serial and does not "
	       "shift the "
	       "others. What cannot be read without root is a hole with the path that refused.",
	.scope = PER_NODE,
	.occupies = USES_NOTHING,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
