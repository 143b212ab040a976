/* busy.h - one process as /proc tells it. Private to kernels/ and its test. */
#ifndef ASSAY_BUSY_H
#define ASSAY_BUSY_H

#include "kernels/machine.h"

struct process {
	int pid, parent;
	unsigned flags;
	unsigned long long ticks, started; /* user and system time; since boot */
	double at;                         /* when this was read */
	char name[80];
};

/* The text of /proc/PID/stat. 0, or -1 if it is none. */
int process_parse(const char *stat, struct process *p);

#endif
