/*
 * gpu_memory_bandwidth.c - rates of a GPU's own memory, and a map of it.
 *
 * A slow stack or channel takes a little from every rate and much from the places it serves, so
 * memory is also read slab by slab: the slowest one against the median of all.
 */
#include "harness/checks/gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAP_MOST = 1000 };

static const struct param params[] = {
	{ "share", "60%", "share of the memory that is streamed through" },
	{ "samples", "15", "timings of each operation" },
	{ "least", "2ms", "time of one timing: as often as that takes" },
	{ "slab", "2MiB", "size of one place of the map; 0: no map" },
	{ 0 },
};

#define RATE(name, what)                                                                           \
	{                                                                                          \
		name, "GB/s", MORE, BY_MEDIAN, "hbm", what                                         \
	}
static const struct metric metrics[] = {
	/* the first ones in the order of gpu_memory_op */
	RATE("read", "reading"),
	RATE("write", "writing"),
	RATE("copy", "copy, both arrays counted"),
	RATE("triad", "a = b + s*c in fp64, three arrays counted"),
	{ "slab_worst", "%", MORE, BY_EVERY, NULL, "slowest slab against the median slab" },
	{ "slab", "GB/s", MORE, RECORDED, NULL, "map: each slab read by one SM while all read" },
	{ 0 },
};

/* Streaming through all of a memory takes 20 to 80 ms on any of them; the map a few passes. */
static double seconds(const struct knobs *k)
{
	return 15 + 0.5 * knob(k, "samples");
}

struct rates {
	struct job *job;
	const struct host_gpu *gpu;
	struct gpu_memory_rate rate;
};

static double worst_of(const double *v, int n)
{
	double worst = v[0];

	for (int i = 1; i < n; i++)
		worst = v[i] < worst ? v[i] : worst;
	return worst;
}

/* The worst of neighbouring slabs stands for them, so that no slow one is left out. */
static void report_map(struct rates *r)
{
	const struct gpu_memory_rate *rate = &r->rate;
	int each = (rate->slab_count + MAP_MOST - 1) / MAP_MOST;
	char subject[GPU_SUBJECT];

	for (int i = 0; i < rate->slab_count; i += each) {
		int n = rate->slab_count - i < each ? rate->slab_count - i : each;
		double worst = worst_of(rate->slab_gbs + i, n);

		snprintf(subject, sizeof(subject), "%s +%lluMiB", r->gpu->part,
			 (unsigned long long)((uint64_t)i * rate->slab_bytes >> 20));
		gpu_samples(r->job, "slab", subject, &worst, 1);
	}
}

static void report_slabs(struct rates *r)
{
	const struct gpu_memory_rate *rate = &r->rate;
	double median;
	int at = 0;

	if (rate->slab_bytes == 0) {
		job_absent(r->job, "slab_worst", r->gpu->part, "left out by the knob slab");
		job_absent(r->job, "slab", r->gpu->part, "left out by the knob slab");
		return;
	}
	for (int i = 0; i < rate->slab_count; i++) {
		if (!isfinite(rate->slab_gbs[i]) || rate->slab_gbs[i] <= 0)
			at = -1;
		else if (at >= 0 && rate->slab_gbs[i] < rate->slab_gbs[at])
			at = i;
	}
	if (at < 0 || rate->slab_count == 0) {
		job_hole(r->job, "slab_worst", r->gpu->part, "not all slabs could be timed");
		return;
	}
	median = median_of(rate->slab_gbs, rate->slab_count).value;
	job_report(r->job, "slab_worst", r->gpu->part, 100 * rate->slab_gbs[at] / median);
	job_note(r->job, "%s: of %d slabs the slowest is at +%llu MiB: %.2f GB/s, median %.2f",
		 r->gpu->part, rate->slab_count,
		 (unsigned long long)((uint64_t)at * rate->slab_bytes >> 20), rate->slab_gbs[at],
		 median);
	report_map(r);
}

static int measure(struct rates *r, struct error *err)
{
	struct gpu_memory_rate *rate = &r->rate;
	double *all = xcalloc((size_t)rate->samples * GPU_MEMORY_OPS, sizeof(*all));
	int rc;

	for (int op = 0; op < GPU_MEMORY_OPS; op++)
		rate->gbs[op] = all + op * rate->samples;
	rate->slab_room = rate->slab_bytes ? (int)(r->gpu->bytes / rate->slab_bytes) + 1 : 0;
	rate->slab_gbs = xcalloc((size_t)rate->slab_room + 1, sizeof(*rate->slab_gbs));
	rc = r->job->hw->gpu_memory_rate(r->job->machine, rate, err);
	for (int op = 0; op < GPU_MEMORY_OPS && rc == 0; op++)
		gpu_samples(r->job, metrics[op].name, r->gpu->part, rate->gbs[op], rate->samples);
	if (rc == 0) {
		report_slabs(r);
		job_note(r->job, "%s: %llu of %llu MiB in rotation", r->gpu->part,
			 (unsigned long long)(rate->bytes >> 20),
			 (unsigned long long)(r->gpu->bytes >> 20));
	}
	free(rate->slab_gbs);
	free(all);
	return rc;
}

static int check_knobs(const struct knobs *k, struct error *err)
{
	double slab = knob(k, "slab"), share = knob(k, "share");

	if (share <= 0 || share > 1)
		return error_set(err, "share must be above 0%% and at most 100%%");
	if (slab != 0 && (slab < 64 << 10 || slab > 1e12 || fmod(slab, 4096) != 0))
		return error_set(err, "slab must be 0 or a multiple of 4 KiB, at least 64 KiB");
	return gpu_knob_within(k, "samples", 1, GPU_SAMPLES_MOST, err);
}

static int run(struct job *job, struct error *err)
{
	struct rates r = { .job = job };

	if (!job->hw->gpus || !job->hw->gpu_memory_rate)
		return job_skip(err, "%s", gpu_no_code);
	if (check_knobs(&job->knobs, err) < 0)
		return RUN_ERROR;
	r.gpu = job_gpu(job, err);
	if (!r.gpu)
		return RUN_ERROR;
	r.rate = (struct gpu_memory_rate){ .gpu = gpu_number(r.gpu),
					   .share = knob(&job->knobs, "share"),
					   .slab_bytes = (uint64_t)knob(&job->knobs, "slab"),
					   .least = knob(&job->knobs, "least"),
					   .samples = (int)knob(&job->knobs, "samples") };
	return measure(&r, err) < 0 ? RUN_ERROR : RUN_OK;
}

const struct check check_gpu_memory_bandwidth = {
	.name = "gpu_memory_bandwidth",
	.summary = "read, write, copy and triad of a GPU's memory, and a map of slow places",
	.how = "All SMs stream through arrays that lie far beyond the L2 cache and fill more than "
	       "half of the memory, each operation apart, timed by the GPU. Bytes are counted as "
	       "STREAM counts them: copy moves two arrays, triad three. Then every slab is read by "
	       "one SM while all others read theirs; the slowest slab is set against the median.",
	.scope = PER_GPU,
	.occupies = USES_GPUS,
	.burns = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
