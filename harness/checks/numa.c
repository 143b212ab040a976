/* numa.c - NUMA nodes that we may not use are told apart from those that have no processors. */
#include "harness/checks/numa.h"

#include <stdio.h>

int numa_can_run(struct job *job, const struct host_numa *numa, const char *metric)
{
	char part[32];

	if (numa->cpu_count)
		return 1;
	snprintf(part, sizeof(part), "numa%d", numa->id);
	if (job_count(job, part, "threads") > 0)
		job_hole(job, metric, part, "affinity or cgroup allow none of its processors");
	return 0;
}
