/* gpu_soak_host.h - what the host does while GPUs soak: memory and disks. Private to gpu_soak. */
#ifndef ASSAY_GPU_SOAK_HOST_H
#define ASSAY_GPU_SOAK_HOST_H

#include "harness/checks/check.h"

struct host_work; /* threads */

/* By the knobs seconds, host, disks and seed. What cannot be started is a hole at the end. */
struct host_work *host_work_start(struct job *job);
void host_work_end(struct host_work *w); /* waits for all of it */
void host_work_report(const struct host_work *w);
void host_work_free(struct host_work *w);

#endif
