/* disk_latency.c - percentiles of single reads: the tail is what stalls a training step. */
#include "harness/checks/disk.h"

#include <stdlib.h>

static const struct param params[] = {
	{ "bytes", "1GiB", "size of the area" },
	{ "block", "4KiB", "bytes of one read" },
	{ "samples", "6", "timings" },
	{ "seconds", "0.5s", "length of one timing" },
	DISK_KNOBS,
	{ 0 },
};

static const struct metric metrics[] = {
	{ "p50", "us", LESS, BY_MEDIAN, NULL, "median of single random reads" },
	{ "p99", "us", LESS, BY_MEDIAN, NULL, "99th percentile" },
	{ "p999", "us", LESS, BY_MEDIAN, NULL, "99.9th percentile" },
	{ "worst", "us", LESS, RECORDED, NULL, "the slowest one of a timing" },
	{ "errors", "", NONE, BY_EVERY, NULL, "reads that failed" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 2 + knob(k, "bytes") / 0.5e9 + knob(k, "samples") * knob(k, "seconds");
}

static double writes(const struct knobs *k)
{
	return knob(k, "bytes");
}

static int measure(struct job *job, struct work_area *a, uint64_t *errors, struct error *err)
{
	int samples = (int)knob(&job->knobs, "samples");
	double p50[DISK_SAMPLES_MOST], p99[DISK_SAMPLES_MOST], p999[DISK_SAMPLES_MOST],
		worst[DISK_SAMPLES_MOST];

	for (int i = 0; i < samples; i++) {
		struct disk_io io = { .block = (unsigned)knob(&job->knobs, "block"),
				      .depth = 1,
				      .random = 1,
				      .seconds = knob(&job->knobs, "seconds"),
				      .seed = (uint64_t)i };

		if (work_area_run(a, job, &io, errors, err) < 0)
			return -1;
		p50[i] = io.p50_ns / 1e3;
		p99[i] = io.p99_ns / 1e3;
		p999[i] = io.p999_ns / 1e3;
		worst[i] = io.max_ns / 1e3;
	}
	job_samples(job, "p50", job->unit, p50, samples);
	job_samples(job, "p99", job->unit, p99, samples);
	job_samples(job, "p999", job->unit, p999, samples);
	job_samples(job, "worst", job->unit, worst, samples);
	return 0;
}

static int run(struct job *job, struct error *err)
{
	return work_area_measure(job, measure, err);
}

const struct check check_disk_latency = {
	.name = "disk_latency",
	.summary = "latency percentiles of single random reads of each disk",
	.how = "One read in flight, 4 KiB at random places, O_DIRECT. Percentiles come from a "
	       "histogram with "
	       "less than 1 % error; each timing gives one sample of each percentile.",
	.scope = PER_DISK,
	.occupies = USES_DISKS | USES_CORES,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.writes = writes,
	.run = run,
};
