/* counters.h - growth of the machine's counters while a check runs. Private to harness/checks/. */
#ifndef ASSAY_COUNTERS_H
#define ASSAY_COUNTERS_H

#include "harness/checks/check.h"

enum { COUNTERS_MOST = 8192 };

struct counters {
	struct counter {
		char part[48], name[32];
		double before, now; /* now: NAN when it is gone */
	} items[COUNTERS_MOST];
	int count, now_reading, too_many;
};

/* 0, or -1 with err. The struct is large: allocate it. */
int counters_begin(struct counters *c, struct job *job, struct error *err);
int counters_end(struct counters *c, struct job *job, struct error *err);
/*
 * Reports the growth of all counters of this name as `metric`, one figure a part. If there is none,
 * says so: not applicable in a virtual machine, which keeps no such counters, else a hole.
 */
void counters_report(struct counters *c, struct job *job, const char *name, const char *metric);

#endif
