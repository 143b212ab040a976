/*
 * gpu_host_copy.c - copies between host memory and GPUs, over PCIe or what stands in its place.
 *
 * Each GPU alone shows its own link; all at once show what they share above it. The host's buffer
 * lies on the GPU's own NUMA node; those on other nodes are measured too, because a GPU whose
 * affinity is told wrongly is faster from "far" than from "near".
 */
#include "harness/checks/gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURVE_LEAST = 4 << 10, CURVE_STEP = 4, CURVE_COPIES_MOST = 64, CURVE_COPIES_LEAST = 4 };
#define CURVE_MOST (1024.0 * 1024 * 1024)
#define CURVE_MOVED (64.0 * 1024 * 1024) /* of small sizes, so much in each timing */
#define SLOW_RATE 10e9                   /* bytes a second, for expected times: PCIe gen 3 */
#define PIN_RATE 1.5e9                   /* bytes a second, as the kernel zeroes and pins pages */

static const struct param params[] = {
	{ "bytes", "256MiB", "size of one copy" },
	{ "copies", "8", "copies in one timing" },
	{ "samples", "9", "timings" },
	{ "curve", "1", "1: also sizes from 4 KiB to 1 GiB, and the fixed cost of a copy" },
	{ "seed", "1", "of the data" },
	GPUS_KNOB,
	{ 0 },
};

static const struct metric metrics[] = {
	{ "h2d", "GB/s", MORE, BY_MEDIAN, "gpu_pcie", "host to GPU, one GPU alone" },
	{ "d2h", "GB/s", MORE, BY_MEDIAN, "gpu_pcie", "GPU to host, one GPU alone" },
	{ "both", "GB/s", MORE, BY_MEDIAN, NULL, "both directions at once, their sum" },
	{ "all_h2d", "GB/s", MORE, BY_MEDIAN, "gpu_pcie", "host to GPU, all GPUs at once, each" },
	{ "all_d2h", "GB/s", MORE, BY_MEDIAN, "gpu_pcie", "GPU to host, all GPUs at once, each" },
	{ "wrong_bytes", "B", NONE, BY_EVERY, NULL, "bytes that arrived wrong" },
	{ "h2d_alpha", "ns", LESS, BY_MEDIAN, NULL, "fixed cost of a copy to the GPU" },
	{ "d2h_alpha", "ns", LESS, BY_MEDIAN, NULL, "fixed cost of a copy to the host" },
	{ "far_h2d", "GB/s", MORE, RECORDED, NULL, "from memory of another NUMA node" },
	{ "far_d2h", "GB/s", MORE, RECORDED, NULL, "to memory of another NUMA node" },
	{ "curve_h2d", "GB/s", MORE, RECORDED, NULL, "host to GPU over sizes of a copy" },
	{ "curve_d2h", "GB/s", MORE, RECORDED, NULL, "GPU to host over sizes of a copy" },
	{ 0 },
};

static int curve_copies(double bytes)
{
	double copies = CURVE_MOVED / bytes;

	return copies < CURVE_COPIES_LEAST  ? CURVE_COPIES_LEAST
	       : copies > CURVE_COPIES_MOST ? CURVE_COPIES_MOST
					    : (int)copies;
}

static double copy_seconds(double bytes, double copies, double samples)
{
	return 0.5 + bytes * copies * (samples + 1) / SLOW_RATE + 4 * bytes / PIN_RATE;
}

static double seconds(const struct knobs *k)
{
	double samples = knob(k, "samples"), curve = 0;
	double one = copy_seconds(knob(k, "bytes"), knob(k, "copies"), samples);

	for (double b = CURVE_LEAST; b <= CURVE_MOST && knob(k, "curve") != 0; b *= CURVE_STEP)
		curve += 2 * copy_seconds(b, curve_copies(b), samples);
	/* alone and in company: two directions, both at once, and from all other NUMA nodes */
	return 10 + k->gpus * (3 + curve + (6 + 2 * (k->numas - 1)) * one);
}

/* ---- one measurement ----------------------------------------------------------------------- */

struct copying {
	struct job *job;
	struct gpu_team team;
	int samples, late;
	uint64_t wrong[GPUS_MOST], copied[GPUS_MOST]; /* of each GPU: wrong bytes, good timings */
};

static int gpu_of(const struct gpu_route *r)
{
	return r->from == GPU_HOST ? r->to : r->from;
}

static void count_wrong(struct copying *c, const struct gpu_route *r)
{
	int gpu = gpu_of(r);

	c->copied[gpu]++;
	/* Of a path that is broken every copy is wrong; one note a GPU is enough. */
	if (r->wrong_bytes && !c->wrong[gpu])
		job_note(c->job, "gpu%d: %llu wrong bytes %s host memory, the first at offset %llu",
			 gpu, (unsigned long long)r->wrong_bytes,
			 r->from == GPU_HOST ? "from" : "to", (unsigned long long)r->first_wrong);
	c->wrong[gpu] += r->wrong_bytes;
}

/* All routes at once. 0 or -1; then the GPUs that are dead from now on are marked. */
static int copy(struct copying *c, struct gpu_route *routes, int count, double bytes, int copies,
		struct error *err)
{
	struct gpu_copy job = { .routes = routes,
				.route_count = count,
				.way = GPU_WRITE_CE,
				.bytes = (uint64_t)bytes,
				.copies = copies,
				.samples = c->samples,
				.seed = (uint64_t)knob(&c->job->knobs, "seed") };

	if (c->job->hw->gpu_copy(c->job->machine, &job, err) == 0) {
		for (int i = 0; i < count; i++)
			count_wrong(c, &routes[i]);
		c->late += job.invalid;
		return 0;
	}
	for (int i = 0; i < count; i++)
		team_probe(&c->team, gpu_of(&routes[i]), err);
	return -1;
}

static struct gpu_route route_of(int gpu, int is_up, int numa, double *gbs)
{
	return (struct gpu_route){ .from = is_up ? GPU_HOST : gpu,
				   .to = is_up ? gpu : GPU_HOST,
				   .numa = numa,
				   .gbs = gbs };
}

/* One direction of one GPU; gbs is left with the samples. 0 or -1 with err. */
static int copy_one(struct copying *c, int gpu, int is_up, int numa, double bytes, int copies,
		    double *gbs, struct error *err)
{
	struct gpu_route route = route_of(gpu, is_up, numa, gbs);
	const char *dead = team_dead(&c->team, gpu, gpu);

	if (dead)
		return error_set(err, "%s", dead);
	return copy(c, &route, 1, bytes, copies, err);
}

static void measure(struct copying *c, int gpu, int is_up, int numa, const char *metric,
		    const char *subject)
{
	double *gbs = xcalloc((size_t)c->samples, sizeof(*gbs));
	struct error err;

	if (copy_one(c, gpu, is_up, numa, knob(&c->job->knobs, "bytes"),
		     (int)knob(&c->job->knobs, "copies"), gbs, &err) < 0)
		job_hole(c->job, metric, subject, err.text);
	else
		gpu_samples(c->job, metric, subject, gbs, c->samples);
	free(gbs);
}

static void measure_both(struct copying *c, int gpu, int numa, const char *subject)
{
	double *gbs = xcalloc(2 * (size_t)c->samples, sizeof(*gbs)), *down = gbs + c->samples;
	struct gpu_route routes[] = { route_of(gpu, 1, numa, gbs), route_of(gpu, 0, numa, down) };
	const char *dead = team_dead(&c->team, gpu, gpu);
	struct error err;

	if (dead) {
		job_hole(c->job, "both", subject, dead);
	} else if (copy(c, routes, 2, knob(&c->job->knobs, "bytes"),
			(int)knob(&c->job->knobs, "copies"), &err) < 0) {
		job_hole(c->job, "both", subject, err.text);
	} else {
		for (int i = 0; i < c->samples; i++)
			gbs[i] += down[i];
		gpu_samples(c->job, "both", subject, gbs, c->samples);
	}
	free(gbs);
}

/* ---- other NUMA nodes ---------------------------------------------------------------------- */

static void measure_far(struct copying *c, const struct host_gpu *gpu, int number)
{
	const struct host *host = c->job->hw->host(c->job->machine);
	char subject[GPU_SUBJECT];

	for (int i = 0; i < host->numa_count; i++) {
		int numa = host->numas[i].id;

		if (numa == gpu->numa)
			continue;
		snprintf(subject, sizeof(subject), "numa%d>%s", numa, gpu->part);
		measure(c, number, 1, numa, "far_h2d", subject);
		snprintf(subject, sizeof(subject), "%s>numa%d", gpu->part, numa);
		measure(c, number, 0, numa, "far_d2h", subject);
	}
	if (gpu->numa < 0)
		job_note(c->job, "%s: no NUMA node is told, so its buffers lie anywhere",
			 gpu->part);
}

/* ---- sizes --------------------------------------------------------------------------------- */

enum { SIZES_MOST = 16, SIZES_LEAST = 5 };

struct curve {
	double bytes[SIZES_MOST];
	double *gbs[SIZES_MOST]; /* samples of each size */
	int sizes;
};

/* One fit for each sample: the same timing of all sizes. */
static void report_alpha(struct copying *c, const struct curve *curve, const char *metric,
			 const char *subject)
{
	double *alphas = xcalloc((size_t)c->samples, sizeof(*alphas));
	int bad = 0;

	for (int s = 0; s < c->samples; s++) {
		double took[SIZES_MOST], per_byte = 0;

		for (int i = 0; i < curve->sizes; i++)
			took[i] = curve->bytes[i] / curve->gbs[i][s]; /* GB/s: nanoseconds */
		bad += fit_line(curve->bytes, took, curve->sizes, &alphas[s], &per_byte) < 0 ||
		       alphas[s] <= 0 || per_byte <= 0;
	}
	if (bad)
		job_hole(c->job, metric, subject, "times over sizes fit no fixed cost plus a rate");
	else
		job_samples(c->job, metric, subject, alphas, c->samples);
	free(alphas);
}

/* Ends at the first size that cannot be measured, and then says why in err. */
static void measure_sizes(struct copying *c, struct curve *curve, int gpu, int is_up, int numa,
			  const char *metric, struct error *err)
{
	char subject[GPU_SUBJECT], size[24];

	for (double b = CURVE_LEAST; b <= CURVE_MOST; b *= CURVE_STEP) {
		double *gbs = xcalloc((size_t)c->samples, sizeof(*gbs));

		bytes_text(b, size, sizeof(size));
		snprintf(subject, sizeof(subject), "gpu%d %s", gpu, size);
		if (copy_one(c, gpu, is_up, numa, b, curve_copies(b), gbs, err) < 0) {
			job_hole(c->job, metric, subject, err->text);
			free(gbs);
			return;
		}
		gpu_samples(c->job, metric, subject, gbs, c->samples);
		curve->bytes[curve->sizes] = b;
		curve->gbs[curve->sizes++] = gbs;
	}
}

/* The largest sizes may not fit into what memory is free; the fixed cost shows in the others. */
static void measure_curve(struct copying *c, int gpu, int is_up, int numa, const char *part)
{
	const char *metric = is_up ? "curve_h2d" : "curve_d2h";
	const char *alpha = is_up ? "h2d_alpha" : "d2h_alpha";
	struct curve curve = { .sizes = 0 };
	struct error err;

	measure_sizes(c, &curve, gpu, is_up, numa, metric, &err);
	if (curve.sizes < SIZES_LEAST)
		job_hole(c->job, alpha, part, err.text);
	else
		report_alpha(c, &curve, alpha, part);
	for (int i = 0; i < curve.sizes; i++)
		free(curve.gbs[i]);
}

/* ---- all at once --------------------------------------------------------------------------- */

static void measure_all(struct copying *c, int is_up, const char *metric)
{
	int living[GPUS_MOST], n = team_living(&c->team, living), rc;
	double *gbs = xcalloc((size_t)(n + 1) * (size_t)c->samples, sizeof(*gbs));
	struct gpu_route routes[GPUS_MOST];
	struct error err;

	for (int i = 0; i < c->team.gpus.count; i++) {
		int gpu = c->team.gpus.numbers[i];

		if (*c->team.dead[gpu])
			job_hole(c->job, metric, team_gpu(&c->team, gpu)->part, c->team.dead[gpu]);
	}
	for (int i = 0; i < n; i++)
		routes[i] = route_of(living[i], is_up, team_gpu(&c->team, living[i])->numa,
				     gbs + i * c->samples);
	rc = n ? copy(c, routes, n, knob(&c->job->knobs, "bytes"),
		      (int)knob(&c->job->knobs, "copies"), &err)
	       : 0;
	for (int i = 0; i < n; i++) {
		const char *part = team_gpu(&c->team, living[i])->part;

		if (rc < 0)
			job_hole(c->job, metric, part, err.text);
		else
			gpu_samples(c->job, metric, part, routes[i].gbs, c->samples);
	}
	free(gbs);
}

/* ---- the check ----------------------------------------------------------------------------- */

static void measure_gpu(struct copying *c, int number)
{
	const struct host_gpu *gpu = team_gpu(&c->team, number);

	measure(c, number, 1, gpu->numa, "h2d", gpu->part);
	measure(c, number, 0, gpu->numa, "d2h", gpu->part);
	measure_both(c, number, gpu->numa, gpu->part);
	measure_far(c, gpu, number);
	for (int is_up = 1; is_up >= 0 && knob(&c->job->knobs, "curve") != 0; is_up--)
		measure_curve(c, number, is_up, gpu->numa, gpu->part);
}

static void report_wrong(struct copying *c)
{
	for (int i = 0; i < c->team.gpus.count; i++) {
		int gpu = c->team.gpus.numbers[i];
		const char *part = team_gpu(&c->team, gpu)->part;

		if (c->copied[gpu])
			job_report(c->job, "wrong_bytes", part, (double)c->wrong[gpu]);
		if (*c->team.dead[gpu] || !c->copied[gpu])
			job_hole(c->job, "wrong_bytes", part,
				 *c->team.dead[gpu] ? c->team.dead[gpu]
						    : "no copy of it came to an end");
	}
}

static void report_absent(struct copying *c)
{
	if (c->job->hw->host(c->job->machine)->numa_count == 1) {
		job_absent(c->job, "far_h2d", "", "one NUMA node only");
		job_absent(c->job, "far_d2h", "", "one NUMA node only");
	}
	if (c->team.gpus.count == 1) {
		job_absent(c->job, "all_h2d", "", "one GPU only");
		job_absent(c->job, "all_d2h", "", "one GPU only");
	}
	if (knob(&c->job->knobs, "curve") != 0)
		return;
	for (const struct metric *m = metrics; m->name; m++)
		if (strstr(m->name, "alpha") || !strncmp(m->name, "curve", 5))
			job_absent(c->job, m->name, "", "left out by the knob curve");
}

static const char *const promised[] = { "h2d",       "d2h",       "both",
					"all_h2d",   "all_d2h",   "wrong_bytes",
					"h2d_alpha", "d2h_alpha", NULL };

static int measure_team(struct copying *c)
{
	for (int i = 0; i < c->team.gpus.count; i++)
		measure_gpu(c, c->team.gpus.numbers[i]);
	if (c->team.gpus.count > 1) {
		measure_all(c, 1, "all_h2d");
		measure_all(c, 0, "all_d2h");
	}
	report_wrong(c);
	report_absent(c);
	if (c->late)
		job_note(c->job, "%d timings that began late were repeated", c->late);
	return RUN_OK;
}

static int check_knobs(const struct knobs *k, struct error *err)
{
	if (fmod(knob(k, "bytes"), 16) != 0)
		return error_set(err, "bytes must be a multiple of 16");
	return gpu_knob_within(k, "samples", 1, GPU_SAMPLES_MOST, err) < 0 ||
			       gpu_knob_within(k, "copies", 1, 1000, err) < 0 ||
			       gpu_knob_within(k, "bytes", 4096, 1e12, err) < 0
		       ? RUN_ERROR
		       : RUN_OK;
}

static int run(struct job *job, struct error *err)
{
	struct copying *c;
	int rc;

	if (!job->hw->gpu_copy)
		return job_skip(err, "%s", gpu_no_code);
	if (check_knobs(&job->knobs, err) < 0)
		return RUN_ERROR;
	c = xcalloc(1, sizeof(*c));
	c->job = job;
	c->samples = (int)knob(&job->knobs, "samples");
	rc = team_open(&c->team, job, promised, err);
	if (rc == RUN_OK)
		rc = measure_team(c);
	free(c);
	return rc;
}

const struct check check_gpu_host_copy = {
	.name = "gpu_host_copy",
	.summary = "copies between host memory and each GPU, alone and all at once",
	.how = "Copy engines move pinned memory of the GPU's own NUMA node to the GPU and back, "
	       "one GPU at a time, then both directions at once, then memory of the other NUMA "
	       "nodes, then all GPUs at once. Copies are queued behind a start and timed by the "
	       "GPU; buffers rotate through more than the caches hold, and every byte is compared "
	       "with data that differ at every address. A line through the times of sizes from "
	       "4 KiB to 1 GiB gives the fixed cost of a copy.",
	.scope = ALL_GPUS,
	.occupies = USES_GPUS | USES_CORES | USES_MEMORY,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
