/*
 * gpu_memory.c - the rates of a GPU's own memory, and how fast each piece of it is.
 *
 * The three arrays lie in one block and change places from sample to sample, so that all of it is
 * read and written by every operation, and a slow stack of memory cannot hide in an array that is
 * never timed.
 */
#include "kernels/gpu_start.h"

#include "kernels/gpu/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAYS = 3, PROBES = 8, UNITS_A_THREAD = 8, TRIES = 10, LAUNCHES_MOST = 500 };
enum { ALIGNED = 64 << 10 };
/* As long as that the steps of a coarse clock (1 us, see device.cuh) are half a percent. */
static const double slab_ns = 200e3;

struct rate_run {
	struct gpu_memory_rate *job;
	struct gpu_bag bag;
	struct gpu_context *g;
	struct gpu_timer timer;
	CUdeviceptr base, sink, slab_times;
	uint64_t array; /* bytes of one */
	int slabs;
};

/* What one operation works on in one sample. */
struct turn {
	CUdeviceptr to, from, more;
	uint64_t units;
	double value;
};

/* ---- operations ---------------------------------------------------------------------------- */

static int launch(struct rate_run *run, const char *kernel, uint64_t units, void **args,
		  struct error *err)
{
	return gpu_launch(run->g, run->timer.stream, kernel,
			  gpu_blocks(run->g, units, UNITS_A_THREAD), GPU_THREADS, args, err);
}

static int launch_read(struct rate_run *run, struct turn *t, struct error *err)
{
	void *args[] = { &t->from, &t->units, &run->sink, NULL };

	return launch(run, "read_units", t->units, args, err);
}

static int launch_write(struct rate_run *run, struct turn *t, struct error *err)
{
	void *args[] = { &t->to, &t->units, &t->value, NULL };

	_Static_assert(sizeof(t->value) == sizeof(uint64_t), "written as a word");
	return launch(run, "write_units", t->units, args, err);
}

static int launch_copy(struct rate_run *run, struct turn *t, struct error *err)
{
	void *args[] = { &t->to, &t->from, &t->units, NULL };

	return launch(run, "copy_units", t->units, args, err);
}

static int launch_triad(struct rate_run *run, struct turn *t, struct error *err)
{
	uint64_t count = t->units * sizeof(struct device_unit) / sizeof(double);
	void *args[] = { &t->to, &t->from, &t->more, &t->value, &count, NULL };

	return launch(run, "triad", t->units, args, err);
}

/* What is left behind is value + from x `from` + more x value x `more`. */
static const struct {
	const char *name;
	int (*launch)(struct rate_run *run, struct turn *t, struct error *err);
	int moved; /* arrays, as STREAM counts */
	double value, from, more;
	int writes;
} ops[] = {
	[GPU_READ] = { "reading", launch_read, 1, 0, 0, 0, 0 },
	[GPU_WRITE] = { "writing", launch_write, 1, 1, 0, 0, 1 },
	[GPU_COPY] = { "copying", launch_copy, 2, 0, 1, 0, 1 },
	[GPU_TRIAD] = { "triad", launch_triad, 3, 0, 1, 1, 1 },
};

static CUdeviceptr array_at(const struct rate_run *run, int i)
{
	return run->base + (uint64_t)(i % ARRAYS) * run->array;
}

/* Factors are powers of two: the product is exact, so that a fused add rounds as a plain one. */
static struct turn turn_of(const struct rate_run *run, int sample)
{
	return (struct turn){ .to = array_at(run, sample),
			      .from = array_at(run, sample + 1),
			      .more = array_at(run, sample + 2),
			      .units = run->array / sizeof(struct device_unit),
			      .value = sample % 2 ? 0.5 : 0.25 };
}

/* ---- probes: did it happen at all? --------------------------------------------------------- */

static uint64_t probe_at(const struct rate_run *run, int i)
{
	return (run->array / sizeof(double) - 1) * (uint64_t)i / (PROBES - 1) * sizeof(double);
}

static int spoil(struct rate_run *run, const struct turn *t, struct error *err)
{
	static const double spoilt = -1e300;
	const struct cuda *cuda = run->g->cuda;

	for (int i = 0; i < PROBES; i++)
		if (gpu_check(run->g,
			      cuda->MemcpyHtoDAsync(t->to + probe_at(run, i), &spoilt,
						    sizeof(spoilt), run->timer.stream),
			      err, "spoiling a probe") < 0)
			return -1;
	return 0;
}

static int probe(struct rate_run *run, CUdeviceptr array, int i, double *value, struct error *err)
{
	return gpu_check(run->g,
			 run->g->cuda->MemcpyDtoH(value, array + probe_at(run, i), sizeof(*value)),
			 err, "reading a probe");
}

static int check_probes(struct rate_run *run, enum gpu_memory_op op, const struct turn *t,
			struct error *err)
{
	double to, from, more, want;

	for (int i = 0; i < PROBES; i++) {
		if (probe(run, t->to, i, &to, err) < 0 || probe(run, t->from, i, &from, err) < 0 ||
		    probe(run, t->more, i, &more, err) < 0)
			return -1;
		want = ops[op].value * t->value + ops[op].from * from +
		       ops[op].more * t->value * more;
		if (!(to == want))
			return error_set(err,
					 "%s through the memory of gpu%d left wrong data behind at "
					 "offset %llu: %g, not %g",
					 ops[op].name, run->g->gpu,
					 (unsigned long long)(t->to + probe_at(run, i) - run->base),
					 to, want);
	}
	return 0;
}

/* ---- timing -------------------------------------------------------------------------------- */

static int time_launches(struct rate_run *run, enum gpu_memory_op op, struct turn *t, int launches,
			 double *seconds, struct error *err)
{
	const double bytes = (double)ops[op].moved * run->array * launches;

	if (ops[op].writes && spoil(run, t, err) < 0)
		return -1;
	if (gpu_timer_begin(&run->timer, err) < 0)
		return -1;
	for (int i = 0; i < launches; i++)
		if (ops[op].launch(run, t, err) < 0)
			return -1;
	if (gpu_timer_end(&run->timer, err) < 0 ||
	    gpu_bag_wait(&run->bag, run->g, run->timer.stream, bytes / run->bag.patience->rate,
			 err) < 0)
		return -1;
	if (ops[op].writes && check_probes(run, op, t, err) < 0)
		return -1;
	return gpu_timer_seconds(&run->timer, seconds, err);
}

/* How many launches make a sample long enough; ends when two timings agree within 1 %. */
static int warm_up(struct rate_run *run, enum gpu_memory_op op, int *launches, struct error *err)
{
	double seconds, before = 0;

	*launches = 1;
	for (int i = 0; i < TRIES; i++) {
		struct turn t = turn_of(run, i);

		if (time_launches(run, op, &t, *launches, &seconds, err) < 0)
			return -1;
		if (seconds < run->job->least && *launches < LAUNCHES_MOST) {
			const double more = ceil(*launches * 1.1 * run->job->least / seconds);

			*launches = more < LAUNCHES_MOST ? (int)more : LAUNCHES_MOST;
			before = 0;
			continue;
		}
		if (fabs(seconds - before) <= 0.01 * seconds)
			return 0;
		before = seconds;
	}
	return 0;
}

/*
 * Operations take turns, so that a slow spell does not hit one alone: triad first and writing
 * behind it, so that the values do not sum up from sample to sample.
 */
static int time_ops(struct rate_run *run, struct error *err)
{
	struct gpu_memory_rate *job = run->job;
	int launches[GPU_MEMORY_OPS];
	double seconds;

	for (int op = 0; op < GPU_MEMORY_OPS; op++)
		if (job->gbs[op] && warm_up(run, op, &launches[op], err) < 0)
			return -1;
	for (int s = 0; s < job->samples; s++)
		for (int op = GPU_MEMORY_OPS - 1; op >= 0; op--) {
			struct turn t = turn_of(run, s);

			if (!job->gbs[op])
				continue;
			if (time_launches(run, op, &t, launches[op], &seconds, err) < 0)
				return -1;
			job->gbs[op][s] =
				ops[op].moved * (double)run->array * launches[op] / seconds / 1e9;
		}
	return 0;
}

/* ---- the map of slabs ---------------------------------------------------------------------- */

static int run_slabs(struct rate_run *run, unsigned passes, uint64_t *ns, struct error *err)
{
	uint64_t units = run->job->slab_bytes / sizeof(struct device_unit);
	unsigned slabs = (unsigned)run->slabs;
	const double bytes = (double)run->slabs * run->job->slab_bytes * passes;
	const size_t size = (size_t)run->slabs * sizeof(*ns);
	const struct cuda *cuda = run->g->cuda;
	void *args[] = { &run->base, &units, &slabs, &passes, &run->slab_times, &run->sink, NULL };

	/* one block to an SM */
	if (gpu_check(run->g, cuda->MemsetD8Async(run->slab_times, 0, size, run->timer.stream), err,
		      "clearing the times of slabs") < 0 ||
	    gpu_launch(run->g, run->timer.stream, "slab_read", (unsigned)gpu_info(run->g)->sms,
		       GPU_THREADS, args, err) < 0 ||
	    gpu_bag_wait(&run->bag, run->g, run->timer.stream, bytes / run->bag.patience->rate,
			 err) < 0)
		return -1;
	return gpu_check(run->g, cuda->MemcpyDtoH(ns, run->slab_times, size), err,
			 "reading the times of slabs");
}

static unsigned passes_for(const struct rate_run *run, const uint64_t *ns)
{
	double *all = xcalloc((size_t)run->slabs, sizeof(*all)), passes;

	for (int i = 0; i < run->slabs; i++)
		all[i] = (double)ns[i];
	passes = ceil(slab_ns / fmax(1, median_of(all, run->slabs).value));
	free(all);
	return passes < LAUNCHES_MOST ? (unsigned)passes : LAUNCHES_MOST;
}

static int map_slabs(struct rate_run *run, struct error *err)
{
	struct gpu_memory_rate *job = run->job;
	uint64_t *ns = xcalloc((size_t)run->slabs, sizeof(*ns));
	unsigned passes = 1;
	int rc = run_slabs(run, passes, ns, err);

	if (rc == 0) {
		passes = passes_for(run, ns);
		rc = run_slabs(run, passes, ns, err);
	}
	for (int i = 0; i < run->slabs && rc == 0; i++) {
		if (ns[i] == 0)
			rc = error_set(err, "the clock of gpu%d did not move while it read slab %d",
				       job->gpu, i);
		else
			job->slab_gbs[i] = (double)job->slab_bytes * passes / (double)ns[i];
	}
	free(ns);
	job->slab_count = rc < 0 ? 0 : run->slabs;
	return rc;
}

/* ---- memory -------------------------------------------------------------------------------- */

static int check_job(const struct gpu_memory_rate *job, struct error *err)
{
	if (job->samples < 1)
		return error_set(err, "%d samples were asked for", job->samples);
	if (!(job->share > 0 && job->share <= 1))
		return error_set(err, "%g is no share of memory", job->share);
	if (job->slab_bytes % sizeof(struct device_unit) || (job->slab_bytes && !job->slab_gbs))
		return error_set(err, "memory cannot be mapped in slabs of %llu bytes",
				 (unsigned long long)job->slab_bytes);
	return 0;
}

static int too_small(const struct rate_run *run, struct error *err)
{
	const uint64_t cache = gpu_info(run->g)->l2_bytes;
	char have[32], least[32];

	if (run->array > cache)
		return 0;
	bytes_text((double)run->array, have, sizeof(have));
	bytes_text((double)cache, least, sizeof(least));
	return error_set(err,
			 "gpu%d: only three arrays of %s can be had, and none smaller than its "
			 "cache of %s shows the rate of its memory",
			 run->g->gpu, have, least);
}

/* The driver may hold less in one piece than it says is free, so a little less is tried, too. */
static int alloc_block(struct rate_run *run, uint64_t bytes, struct error *err)
{
	int rc = 1;

	for (int i = 0; i < TRIES && rc == 1; i++, bytes -= bytes / 16) {
		run->array = bytes / ARRAYS / ALIGNED * ALIGNED;
		if (too_small(run, err) < 0)
			return -1;
		rc = gpu_bag_try(&run->bag, run->g, run->array * ARRAYS, &run->base, err);
	}
	return rc == 0 ? 0 : -1;
}

static int alloc_slab_times(struct rate_run *run, uint64_t bytes, struct error *err)
{
	const struct gpu_memory_rate *job = run->job;
	const uint64_t most = job->slab_bytes ? bytes / job->slab_bytes : 0;

	if (!job->slab_bytes)
		return 0;
	if (most > (uint64_t)job->slab_room)
		return error_set(err, "%llu slabs do not fit into a map of %d",
				 (unsigned long long)most, job->slab_room);
	return gpu_bag_memory(&run->bag, run->g, (most + 1) * sizeof(uint64_t), &run->slab_times,
			      err);
}

/* Doubles that are in order: what was left in memory may be none. */
static int fill(struct rate_run *run, struct error *err)
{
	struct turn all = { .to = run->base,
			    .units = run->array * ARRAYS / sizeof(struct device_unit),
			    .value = 1 };

	if (launch_write(run, &all, err) < 0)
		return -1;
	return gpu_bag_wait(&run->bag, run->g, run->timer.stream,
			    (double)run->array * ARRAYS / run->bag.patience->rate, err);
}

/* The small things first: then what is free is for the arrays. */
static int prepare(struct rate_run *run, struct error *err)
{
	uint64_t bytes = (uint64_t)(run->job->share * (double)gpu_info(run->g)->bytes), room;

	if (gpu_timer_init(&run->bag, run->g, &run->timer, err) < 0 ||
	    gpu_bag_memory(&run->bag, run->g, sizeof(uint64_t), &run->sink, err) < 0 ||
	    alloc_slab_times(run, bytes, err) < 0 || gpu_room(run->g, &room, err) < 0 ||
	    alloc_block(run, bytes < room ? bytes : room, err) < 0)
		return -1;
	run->job->bytes = run->array * ARRAYS;
	if (run->job->slab_bytes)
		run->slabs = (int)(run->job->bytes / run->job->slab_bytes);
	if (run->job->slab_bytes && run->slabs < 1)
		return error_set(err, "not one slab of %llu bytes fits",
				 (unsigned long long)run->job->slab_bytes);
	return fill(run, err);
}

int gpu_memory_rate_run(struct machine *m, struct gpu_memory_rate *job,
			const struct gpu_patience *patience, struct error *err)
{
	struct rate_run run = { .job = job };
	int rc = -1;

	job->bytes = 0;
	job->slab_count = 0;
	if (check_job(job, err) < 0)
		return -1;
	run.g = gpu_use(m, job->gpu, err);
	if (!run.g)
		return -1;
	gpu_bag_init(&run.bag, m, patience);
	if (prepare(&run, err) == 0 && time_ops(&run, err) == 0)
		rc = run.slabs ? map_slabs(&run, err) : 0;
	gpu_bag_release(&run.bag);
	return rc;
}

int machine_gpu_memory_rate(struct machine *m, struct gpu_memory_rate *job, struct error *err)
{
	return gpu_memory_rate_run(m, job, &gpu_patience_memory, err);
}
