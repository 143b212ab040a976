/*
 * disk_seq.c - sequential rates of one disk.
 *
 * Each sample reads or writes the whole area once, so caches of the disk cannot answer for its
 * flash and the bytes written are known before the run.
 */
#include "harness/checks/disk.h"

#include <stdlib.h>

static const struct param params[] = {
	{ "bytes", "1GiB", "size of the area" },
	{ "block", "1MiB", "bytes of one operation" },
	{ "depth", "16", "operations in flight" },
	{ "samples", "6", "passes of each direction" },
	{ "seconds", "10s", "longest time of one pass" },
	DISK_KNOBS,
	{ 0 },
};

static const struct metric metrics[] = {
	{ "read", "GB/s", MORE, BY_MEDIAN, "disk", "sequential reading" },
	{ "write", "GB/s", MORE, BY_MEDIAN, "disk", "sequential writing, with the final sync" },
	{ "errors", "", NONE, BY_EVERY, NULL, "operations that failed" },
	{ "cpu_per_io", "us", LESS, RECORDED, NULL, "processor time of one operation" },
	{ 0 },
};

/* Expected at 500 MB/s; a slower disk is bounded by `seconds`. */
static double seconds(const struct knobs *k)
{
	double pass = knob(k, "bytes") / 0.5e9, most = knob(k, "seconds");

	return 2 + (1 + 2 * knob(k, "samples")) * (pass < most ? pass : most);
}

static double writes(const struct knobs *k)
{
	return (1 + knob(k, "samples")) * knob(k, "bytes");
}

static int measure(struct job *job, struct work_area *a, int write, uint64_t *errors,
		   struct error *err)
{
	int samples = (int)knob(&job->knobs, "samples");
	double rates[DISK_SAMPLES_MOST], cpu[DISK_SAMPLES_MOST];

	for (int i = 0; i < samples; i++) {
		struct disk_io io = { .block = (unsigned)knob(&job->knobs, "block"),
				      .depth = (int)knob(&job->knobs, "depth"),
				      .write = write,
				      .seconds = knob(&job->knobs, "seconds"),
				      .max_bytes = a->span,
				      .seed = (uint64_t)i + 2 };

		if (work_area_run(a, job, &io, errors, err) < 0)
			return -1;
		rates[i] = (double)io.bytes / io.took / 1e9;
		cpu[i] = 1e6 * io.cpu_seconds / (double)io.operations;
	}
	job_samples(job, write ? "write" : "read", job->unit, rates, samples);
	job_samples(job, "cpu_per_io", write ? "write" : "read", cpu, samples);
	return 0;
}

static int measure_both(struct job *job, struct work_area *a, uint64_t *errors, struct error *err)
{
	if (!a->writable)
		job_hole(job, "write", job->unit, a->why_not);
	else if (measure(job, a, 1, errors, err) < 0)
		return -1;
	return measure(job, a, 0, errors, err);
}

static int run(struct job *job, struct error *err)
{
	return work_area_measure(job, measure_both, err);
}

const struct check check_disk_seq = {
	.name = "disk_seq",
	.summary = "sequential read and write rate of each disk",
	.how = "io_uring with O_DIRECT, registered buffers and a registered file. A file in the "
	       "folder that the "
	       "spec names is written, then written and read in whole passes; each pass is one "
	       "sample. Without "
	       "a folder the device itself is read, never written.",
	.scope = PER_DISK,
	.occupies = USES_DISKS | USES_CORES,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.writes = writes,
	.run = run,
};
