/* numa.h - which NUMA nodes a check can run on. Private to checks/. */
#ifndef ASSAY_NUMA_H
#define ASSAY_NUMA_H

#include "harness/checks/check.h"

/*
 * Whether there are processors of this NUMA node to measure with. If not for us alone, the metric
 * is a hole; a NUMA node without any has nothing to measure.
 */
int numa_can_run(struct job *job, const struct host_numa *numa, const char *metric);

#endif
