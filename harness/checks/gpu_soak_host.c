/*
 * gpu_soak_host.c - host memory and disks at work while GPUs soak.
 *
 * A load that could not be put on is a hole: a soak that left the disks cold is not the one that
 * was planned.
 */
#include "harness/checks/gpu_soak_host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISKS_MOST = 128 };
#define HEADROOM 2e9 /* bytes of memory that are left alone: GPUs need pinned memory too */

struct host_load {
	struct job *job;
	pthread_t thread;
	int is_running, rc;
	struct error err;
	struct memory_stress memory;
};

struct disk_load {
	struct job *job;
	pthread_t thread;
	int is_running, rc;
	struct error err;
	struct disk_io io;
};

struct host_work {
	struct job *job;
	struct host_load memory;
	struct disk_load disks[DISKS_MOST];
	int disk_count;
};

static void *stress_memory(void *arg)
{
	struct host_load *l = arg;

	l->rc = l->job->hw->memory_stress(l->job->machine, &l->memory, &l->err);
	return NULL;
}

static void *read_disk(void *arg)
{
	struct disk_load *l = arg;

	l->rc = l->job->hw->disk_io(l->job->machine, &l->io, &l->err);
	return NULL;
}

static void start_memory(struct job *job, struct host_load *l)
{
	const struct knobs *k = &job->knobs;
	double room = (double)job->hw->host(job->machine)->memory_available - HEADROOM;
	double bytes = room * knob(k, "host");

	if (knob(k, "host") <= 0)
		return;
	l->job = job;
	l->memory.bytes = bytes > 0 ? (uint64_t)bytes & ~(uint64_t)0x1fffff : 0;
	l->memory.seconds = knob(k, "seconds");
	l->memory.seed = (uint64_t)knob(k, "seed");
	l->rc = -1;
	error_set(&l->err, "no thread can be started for it");
	if (l->memory.bytes == 0)
		error_set(&l->err, "too little host memory is free");
	else
		l->is_running = pthread_create(&l->thread, NULL, stress_memory, l) == 0;
}

static void start_disks(struct job *job, struct host_work *w)
{
	const struct host *host = job->hw->host(job->machine);

	if (knob(&job->knobs, "disks") == 0)
		return;
	for (int i = 0; i < host->disk_count && i < DISKS_MOST; i++) {
		struct disk_load *l = &w->disks[w->disk_count++];

		l->job = job;
		l->io = (struct disk_io){ .target = { .path = host->disks[i].path, .device = 1 },
					  .span = host->disks[i].bytes & ~(uint64_t)0xfffff,
					  .block = 1 << 20,
					  .depth = 16,
					  .seconds = knob(&job->knobs, "seconds") };
		l->rc = error_set(&l->err, "no thread can be started for it");
		l->is_running = pthread_create(&l->thread, NULL, read_disk, l) == 0;
	}
}

void host_work_end(struct host_work *w)
{
	if (w->memory.is_running)
		pthread_join(w->memory.thread, NULL);
	for (int i = 0; i < w->disk_count; i++)
		if (w->disks[i].is_running)
			pthread_join(w->disks[i].thread, NULL);
}

static void report_memory(struct job *job, const struct host_load *l)
{
	if (knob(&job->knobs, "host") <= 0) {
		job_absent(job, "host_verified", "", "left out by the knob host");
	} else if (l->rc < 0 || l->memory.verified_bytes == 0) {
		job_hole(job, "mismatches", "host",
			 l->rc < 0 ? l->err.text : "no word was verified");
	} else {
		job_report(job, "mismatches", "host", (double)l->memory.mismatches);
		job_report(job, "host_verified", "", (double)l->memory.verified_bytes / 1e9);
	}
	for (int i = 0; i < l->memory.kept; i++)
		job_note(job, "host memory: wrong word at 0x%llx, pattern %s, bits %016llx",
			 (unsigned long long)l->memory.first[i].physical_address,
			 l->memory.first[i].pattern,
			 (unsigned long long)(l->memory.first[i].expected ^
					      l->memory.first[i].actual));
}

static void report_disks(struct job *job, const struct host_work *w)
{
	char subject[32];

	for (int i = 0; i < w->disk_count; i++) {
		const struct disk_load *l = &w->disks[i];

		snprintf(subject, sizeof(subject), "disk%d", i);
		if (l->rc < 0) {
			job_hole(job, "disk_errors", subject, l->err.text);
			continue;
		}
		job_report(job, "disk_errors", subject, (double)l->io.errors);
		if (l->io.took > 0)
			job_report(job, "disk_read", subject,
				   (double)l->io.bytes / l->io.took / 1e9);
		if (l->io.errors)
			job_note(job, "%s: %s", subject, l->io.first_error);
	}
	if (w->disk_count)
		return;
	job_absent(job, "disk_errors", "",
		   knob(&job->knobs, "disks") == 0 ? "left out by the knob disks"
						   : "this node has no disk");
}

struct host_work *host_work_start(struct job *job)
{
	struct host_work *w = xcalloc(1, sizeof(*w));

	w->job = job;
	start_memory(job, &w->memory);
	start_disks(job, w);
	return w;
}

void host_work_report(const struct host_work *w)
{
	report_memory(w->job, &w->memory);
	report_disks(w->job, w);
}

void host_work_free(struct host_work *w)
{
	free(w);
}
