/*
 * disk_rand.c - random operations at several depths.
 *
 * Depth 1 shows the latency of the path, depth 32 what a usual application gets, depth 256 the
 * limit.
 */
#include "harness/checks/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct param params[] = {
	{ "bytes", "1GiB", "size of the area" },
	{ "block", "4KiB", "bytes of one operation" },
	{ "samples", "6", "timings at each depth" },
	{ "seconds", "0.5s", "length of one timing" },
	DISK_KNOBS,
	{ 0 },
};

#define IOPS(name, what)                                                                           \
	{                                                                                          \
		name, "IOPS", MORE, BY_MEDIAN, NULL, what                                          \
	}
static const struct metric metrics[] = {
	IOPS("read_qd1", "random reads, one in flight"),
	IOPS("read_qd32", "random reads, 32 in flight"),
	IOPS("read_qd256", "random reads, 256 in flight"),
	IOPS("write_qd32", "random writes, 32 in flight, with the final sync"),
	{ "errors", "", NONE, BY_EVERY, NULL, "operations that failed" },
	{ "cpu_per_io", "us", LESS, RECORDED, NULL, "processor time of one operation" },
	{ 0 },
};

static const struct load {
	const char *metric;
	int depth, write;
} loads[] = {
	{ "read_qd1", 1, 0 },
	{ "read_qd32", 32, 0 },
	{ "read_qd256", 256, 0 },
	{ "write_qd32", 32, 1 },
};

static double seconds(const struct knobs *k)
{
	return 2 + knob(k, "bytes") / 0.5e9 +
	       ARRAY_SIZE(loads) * knob(k, "samples") * knob(k, "seconds");
}

/* What the fill writes, and at most a whole area by random writes of each sample. */
static double writes(const struct knobs *k)
{
	return (1 + knob(k, "samples")) * knob(k, "bytes");
}

static int measure(struct job *job, struct work_area *a, const struct load *load, uint64_t *errors,
		   struct error *err)
{
	int samples = (int)knob(&job->knobs, "samples");
	double iops[DISK_SAMPLES_MOST], cpu[DISK_SAMPLES_MOST];

	for (int i = 0; i < samples; i++) {
		struct disk_io io = { .block = (unsigned)knob(&job->knobs, "block"),
				      .depth = load->depth,
				      .random = 1,
				      .write = load->write,
				      .seconds = knob(&job->knobs, "seconds"),
				      .max_bytes = load->write ? a->span : 0,
				      .seed = (uint64_t)(load->depth * 1000 + i) };

		if (work_area_run(a, job, &io, errors, err) < 0)
			return -1;
		iops[i] = (double)io.operations / io.took;
		cpu[i] = 1e6 * io.cpu_seconds / (double)io.operations;
	}
	job_samples(job, load->metric, job->unit, iops, samples);
	job_samples(job, "cpu_per_io", load->metric, cpu, samples);
	return 0;
}

static int measure_all(struct job *job, struct work_area *a, uint64_t *errors, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		if (loads[i].write && !a->writable)
			job_hole(job, loads[i].metric, job->unit, a->why_not);
		else if (measure(job, a, &loads[i], errors, err) < 0)
			return -1;
	}
	return 0;
}

static int run(struct job *job, struct error *err)
{
	return work_area_measure(job, measure_all, err);
}

const struct check check_disk_rand = {
	.name = "disk_rand",
	.summary = "random 4 KiB operations of each disk at several depths",
	.how = "io_uring with O_DIRECT, registered buffers and a registered file, by one core. "
	       "Blocks are chosen "
	       "at random over the whole area. Without a folder in the spec the device is read, "
	       "never written.",
	.scope = PER_DISK,
	.occupies = USES_DISKS | USES_CORES,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.writes = writes,
	.run = run,
};
