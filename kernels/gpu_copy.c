/*
 * gpu_copy.c - copies between GPUs, and between GPUs and host memory, timed and then compared.
 *
 * A stream takes only so much work ahead (about a thousand entries, which no manual promises), and
 * a host that waits for room there cannot say go. Many copies are therefore timed in batches, each
 * behind a start of its own, and a batch that could not be queued in time is halved.
 */
#include "kernels/gpu_block.h"

#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUED_MOST = 512, UNITS_A_THREAD = 8, TRIES_A_SAMPLE = 3 };
/* Late timings before the first good one: by then a batch has been halved down to one copy. */
enum { LATE_MOST = 10 };

struct lane { /* one route while it runs */
	struct gpu_route *route;
	struct gpu_context *drive;
	struct gpu_timer timer;
	struct gpu_block from, to;
	int (*copy)(const struct lane *lane, uint64_t offset, struct error *err);
	uint64_t bytes, buffers; /* of one copy; in rotation on each side */
	uint64_t copied, seed;
	unsigned blocks; /* of a copy by the SMs */
	double seconds;  /* of the timing under way */
	int was_on[2];   /* staged: peer access before, from -> to and to -> from */
};

struct copy_run {
	struct machine *m;
	struct gpu_copy *job;
	const struct gpu_patience *patience;
	struct gpu_bag bag;
	struct gpu_start start;
	struct lane *lanes;
	int count, batch;
	int has_start; /* copies wait until all are queued */
};

static const struct {
	int by_destination, by_kernel, staged;
} ways[] = {
	[GPU_WRITE_CE] = { 0, 0, 0 }, [GPU_READ_CE] = { 1, 0, 0 },   [GPU_WRITE_SM] = { 0, 1, 0 },
	[GPU_READ_SM] = { 1, 1, 0 },  [GPU_STAGED_CE] = { 0, 0, 1 },
};

static void side_name(int gpu, char out[32])
{
	if (gpu == GPU_HOST)
		strcpy(out, "host memory");
	else
		snprintf(out, 32, "gpu%d", gpu);
}

static int lane_prefix(const struct lane *lane, struct error *err)
{
	char from[32], to[32];

	side_name(lane->route->from, from);
	side_name(lane->route->to, to);
	return error_prefix(err, "copying from %s to %s: ", from, to);
}

/* ---- one copy ------------------------------------------------------------------------------ */

static int copy_up(const struct lane *lane, uint64_t offset, struct error *err)
{
	const struct cuda *cuda = lane->drive->cuda;

	return gpu_check(lane->drive,
			 cuda->MemcpyHtoDAsync(lane->to.at + offset, lane->from.host + offset,
					       lane->bytes, lane->timer.stream),
			 err, "queueing a copy");
}

static int copy_down(const struct lane *lane, uint64_t offset, struct error *err)
{
	const struct cuda *cuda = lane->drive->cuda;

	return gpu_check(lane->drive,
			 cuda->MemcpyDtoHAsync(lane->to.host + offset, lane->from.at + offset,
					       lane->bytes, lane->timer.stream),
			 err, "queueing a copy");
}

static int copy_within(const struct lane *lane, uint64_t offset, struct error *err)
{
	const struct cuda *cuda = lane->drive->cuda;

	return gpu_check(lane->drive,
			 cuda->MemcpyDtoDAsync(lane->to.at + offset, lane->from.at + offset,
					       lane->bytes, lane->timer.stream),
			 err, "queueing a copy");
}

static int copy_across(const struct lane *lane, uint64_t offset, struct error *err)
{
	const struct cuda *cuda = lane->drive->cuda;

	return gpu_check(lane->drive,
			 cuda->MemcpyPeerAsync(lane->to.at + offset, lane->to.g->context,
					       lane->from.at + offset, lane->from.g->context,
					       lane->bytes, lane->timer.stream),
			 err, "queueing a copy");
}

static int copy_by_kernel(const struct lane *lane, uint64_t offset, struct error *err)
{
	CUdeviceptr to = lane->to.at + offset, from = lane->from.at + offset;
	uint64_t units = lane->bytes / sizeof(struct device_unit);
	void *args[] = { &to, &from, &units, NULL };

	return gpu_launch(lane->drive, lane->timer.stream, "copy_units", lane->blocks, GPU_THREADS,
			  args, err);
}

static void choose_copy(struct lane *lane, enum gpu_way way)
{
	if (ways[way].by_kernel)
		lane->copy = copy_by_kernel;
	else if (!lane->from.g)
		lane->copy = copy_up;
	else if (!lane->to.g)
		lane->copy = copy_down;
	else
		lane->copy = lane->route->from == lane->route->to ? copy_within : copy_across;
}

/* ---- routes -------------------------------------------------------------------------------- */

static int check_job(const struct gpu_copy *job, struct error *err)
{
	const uint64_t unit = sizeof(struct device_unit);

	if (job->route_count < 1 || job->samples < 1 || job->copies < 1)
		return error_set(err, "copying needs a route, a sample and a copy at least");
	if (job->bytes < unit || job->bytes % unit || job->bytes > UINT64_MAX / 1024)
		return error_set(err, "%llu bytes cannot be copied in units of %llu",
				 (unsigned long long)job->bytes, (unsigned long long)unit);
	if ((unsigned)job->way >= ARRAY_SIZE(ways))
		return error_set(err, "%d is no way of copying", (int)job->way);
	return 0;
}

static int check_route(const struct gpu_copy *job, const struct gpu_route *r, struct error *err)
{
	if (r->from == GPU_HOST && r->to == GPU_HOST)
		return error_set(err, "host memory is at both ends");
	if (ways[job->way].staged && (r->from == r->to || r->from == GPU_HOST || r->to == GPU_HOST))
		return error_set(err, "only copies between two GPUs can go through host memory");
	return 0;
}

/* The way between two GPUs, direct or not, as the job wants it. */
static int open_way(struct lane *lane, enum gpu_way way, struct error *err)
{
	struct gpu_context *a = lane->from.g, *b = lane->to.g;
	struct gpu_context *other = lane->drive == a ? b : a;
	struct machine *m = lane->drive->m;
	int back;

	if (!a || !b || a->gpu == b->gpu)
		return 0;
	if (ways[way].staged)
		return gpu_peer_off(a, b, &lane->was_on[0], err) < 0
			       ? -1
			       : gpu_peer_off(b, a, &lane->was_on[1], err);
	if (gpu_peer_on(lane->drive, other, err) < 0)
		return -1;
	/* copy engines of some machines take the short way only if both ends may be reached */
	back = machine_gpu_peer(m, other->gpu, lane->drive->gpu, err);
	return back > 0 ? gpu_peer_on(other, lane->drive, err) : back;
}

static int close_ways(struct copy_run *run, struct error *err)
{
	int rc = 0;

	for (int i = 0; i < run->count && !run->bag.hung; i++) {
		struct lane *lane = &run->lanes[i];

		if (lane->was_on[0] && gpu_peer_on(lane->from.g, lane->to.g, err) < 0)
			rc = -1;
		if (lane->was_on[1] && gpu_peer_on(lane->to.g, lane->from.g, err) < 0)
			rc = -1;
	}
	return rc;
}

static int side_open(struct copy_run *run, struct gpu_block *side, int gpu, struct error *err)
{
	if (gpu == GPU_HOST)
		return 0;
	side->g = gpu_use(run->m, gpu, err);
	return side->g ? gpu_bag_stream(&run->bag, side->g, &side->stream, err) : -1;
}

/* What is launched behind a start must be loaded before: loading may wait for the GPU. */
static int lane_open(struct copy_run *run, struct lane *lane, int index, struct error *err)
{
	const struct gpu_copy *job = run->job;

	lane->route = &job->routes[index];
	lane->bytes = job->bytes;
	lane->seed = gpu_unique(job->seed, (uint64_t)index);
	lane->route->wrong_bytes = lane->route->first_wrong = 0;
	if (check_route(job, lane->route, err) < 0 ||
	    side_open(run, &lane->from, lane->route->from, err) < 0 ||
	    side_open(run, &lane->to, lane->route->to, err) < 0)
		return -1;
	lane->drive = ways[job->way].by_destination ? lane->to.g : lane->from.g;
	if (!lane->drive) /* the host drives nothing */
		lane->drive = lane->from.g ? lane->from.g : lane->to.g;
	choose_copy(lane, job->way);
	if (gpu_timer_init(&run->bag, lane->drive, &lane->timer, err) < 0 ||
	    !gpu_function(lane->drive, "spin", err) ||
	    !gpu_function(lane->drive, "copy_units", err))
		return -1;
	return open_way(lane, job->way, err);
}

/* ---- buffers ------------------------------------------------------------------------------- */

/* How many blocks of this run lie on a GPU or in host memory. */
static int blocks_on(const struct copy_run *run, int gpu)
{
	int count = 0;

	for (int i = 0; i < run->job->route_count; i++)
		count += (run->job->routes[i].from == gpu) + (run->job->routes[i].to == gpu);
	return count;
}

/* Half of what is there: pinned memory is lost to all others, and pages_alloc asks again. */
static uint64_t host_room(const struct copy_run *run, int numa)
{
	const struct host_numa *node = machine_numa(run->m, numa);
	uint64_t room = run->m->host.memory_available;

	if (node && node->bytes < room)
		room = node->bytes;
	return room / 2;
}

/* What one side wants, twice its cache, and what it can have. */
static int side_size(const struct copy_run *run, const struct lane *lane,
		     const struct gpu_block *side, uint64_t *want, uint64_t *room,
		     struct error *err)
{
	const uint64_t count = (uint64_t)blocks_on(run, side->g ? side->g->gpu : GPU_HOST);
	uint64_t cache, there;

	if (side->g) {
		cache = gpu_info(side->g)->l2_bytes;
		if (gpu_room(side->g, &there, err) < 0)
			return -1;
	} else {
		/* all blocks of the host go round together, through one cache */
		cache = run->m->host.last_cache_bytes / count;
		there = host_room(run, lane->route->numa);
	}
	if (2 * cache > *want)
		*want = 2 * cache;
	if (there / count < *room)
		*room = there / count;
	return 0;
}

static int lane_size(const struct copy_run *run, struct lane *lane, struct error *err)
{
	const uint64_t copies = (uint64_t)run->job->copies * ((uint64_t)run->job->samples + 1);
	uint64_t want = 0, room = UINT64_MAX;
	char asked[32], there[32];

	if (side_size(run, lane, &lane->from, &want, &room, err) < 0 ||
	    side_size(run, lane, &lane->to, &want, &room, err) < 0)
		return -1;
	lane->buffers = want / lane->bytes + 1;
	if (lane->buffers > copies) /* more of them would never be used */
		lane->buffers = copies;
	if (lane->buffers < 2)
		lane->buffers = 2;
	if (lane->buffers <= room / lane->bytes)
		return 0;
	lane->buffers = room / lane->bytes;
	if (lane->buffers >= 2)
		return 0;
	bytes_text(2 * (double)lane->bytes, asked, sizeof(asked));
	bytes_text((double)room, there, sizeof(there));
	return error_set(err, "two buffers need %s, but only %s are free for them", asked, there);
}

static int side_alloc(struct copy_run *run, const struct lane *lane, struct gpu_block *side,
		      struct error *err)
{
	void *host;

	side->bytes = lane->buffers * lane->bytes;
	side->numa = lane->route->numa;
	if (side->g)
		return gpu_bag_memory(&run->bag, side->g, side->bytes, &side->at, err);
	if (gpu_bag_host(&run->bag, lane->drive, side->bytes, side->numa, &host, err) < 0 ||
	    gpu_pinned_at(lane->drive, host, &side->at, err) < 0)
		return -1;
	side->host = host;
	return 0;
}

/* ---- data ---------------------------------------------------------------------------------- */

static int fill(struct copy_run *run, struct lane *lane, struct error *err)
{
	if (gpu_block_fill(&run->bag, &lane->from, lane->seed, err) < 0)
		return -1;
	return gpu_block_clear(&run->bag, &lane->to, err);
}

/* Of the buffers that were copied to at all. */
static int compare(struct copy_run *run, struct lane *lane, struct error *err)
{
	const uint64_t used = lane->copied < lane->buffers ? lane->copied : lane->buffers;
	struct gpu_block_wrong wrong;

	if (gpu_block_compare(&run->bag, &lane->to, used * lane->bytes, lane->seed, &wrong, err) <
	    0)
		return -1;
	lane->route->wrong_bytes = wrong.bytes;
	lane->route->first_wrong = wrong.first % lane->bytes;
	return 0;
}

/* ---- timing -------------------------------------------------------------------------------- */

static int queue_lane(struct copy_run *run, struct lane *lane, int count, struct error *err)
{
	if (gpu_current(lane->drive, err) < 0 ||
	    (run->has_start && gpu_start_queue(&run->start, &lane->timer, err) < 0) ||
	    gpu_timer_begin(&lane->timer, err) < 0)
		return -1;
	for (int i = 0; i < count; i++, lane->copied++)
		if (lane->copy(lane, lane->copied % lane->buffers * lane->bytes, err) < 0)
			return -1;
	return gpu_timer_end(&lane->timer, err);
}

static int wait_lanes(struct copy_run *run, int count, struct error *err)
{
	const double bytes = (double)run->job->bytes * count * run->count;
	int rc = 0;

	for (int i = 0; i < run->count && rc == 0; i++) {
		struct lane *lane = &run->lanes[i];

		rc = gpu_bag_wait(&run->bag, lane->drive, lane->timer.stream,
				  run->patience->queueing + bytes / run->patience->rate, err);
		if (rc < 0)
			lane_prefix(lane, err);
	}
	return rc;
}

/* Adds the time of `count` copies to each lane. *late: the times are worth nothing. */
static int time_batch(struct copy_run *run, int count, int *late, struct error *err)
{
	struct error ignored;
	double seconds;
	int rc = 0;

	gpu_start_hold(&run->start);
	for (int i = 0; i < run->count && rc == 0; i++) {
		rc = queue_lane(run, &run->lanes[i], count, err);
		if (rc < 0)
			lane_prefix(&run->lanes[i], err);
	}
	gpu_start_go(&run->start);
	if (wait_lanes(run, count, rc < 0 ? &ignored : err) < 0 || rc < 0)
		return -1;
	*late = gpu_start_late(&run->start);
	for (int i = 0; i < run->count && !*late; i++) {
		if (gpu_timer_seconds(&run->lanes[i].timer, &seconds, err) < 0)
			return lane_prefix(&run->lanes[i], err);
		run->lanes[i].seconds += seconds;
	}
	return 0;
}

static int time_copies(struct copy_run *run, int *late, struct error *err)
{
	int count;

	for (int i = 0; i < run->count; i++)
		run->lanes[i].seconds = 0;
	*late = 0;
	for (int left = run->job->copies; left > 0 && !*late; left -= count) {
		count = left < run->batch ? left : run->batch;
		if (time_batch(run, count, late, err) < 0)
			return -1;
	}
	if (*late && run->batch > run->job->copies)
		run->batch = run->job->copies;
	if (*late && run->batch > 1)
		run->batch /= 2;
	return 0;
}

static void keep_sample(struct copy_run *run, int sample)
{
	const double bytes = (double)run->job->bytes * run->job->copies;

	for (int i = 0; i < run->count; i++) {
		struct lane *lane = &run->lanes[i];
		const int moved = lane->route->from == lane->route->to ? 2 : 1;

		lane->route->gbs[sample] = moved * bytes / lane->seconds / 1e9;
	}
}

static int measure(struct copy_run *run, struct error *err)
{
	struct gpu_copy *job = run->job;
	const int most = TRIES_A_SAMPLE * job->samples;
	int late, done = 0;

	if (time_copies(run, &late, err) < 0) /* warms up */
		return -1;
	for (int tries = 0; tries < most && done < job->samples; tries++) {
		if (!done && job->invalid == LATE_MOST)
			break;
		if (time_copies(run, &late, err) < 0)
			return -1;
		if (late)
			job->invalid++;
		else
			keep_sample(run, done++);
	}
	if (done < job->samples)
		return error_set(err,
				 "%d of %d timings were invalid: the copies could not be queued "
				 "within %g s",
				 job->invalid, job->invalid + done, run->patience->queueing);
	return 0;
}

/* Streams of a GPU share what it takes ahead, and its SMs: the second would wait for the first. */
static void share_gpus(struct copy_run *run)
{
	run->batch = QUEUED_MOST;
	for (int i = 0; i < run->count; i++) {
		struct lane *lane = &run->lanes[i];
		const struct gpu_context *g = lane->drive;
		const uint64_t units = lane->bytes / sizeof(struct device_unit);
		unsigned streams = 0, most;

		for (int k = 0; k < run->count; k++)
			streams += run->lanes[k].drive->gpu == g->gpu;
		most = gpu_blocks(g, UINT64_MAX / 2, 1) / streams;
		lane->blocks = gpu_blocks(g, units, UNITS_A_THREAD);
		if (lane->blocks > most)
			lane->blocks = most > 1 ? most : 1;
		if (run->batch > (int)(QUEUED_MOST / streams))
			run->batch = QUEUED_MOST / (int)streams;
	}
	if (run->batch < 1)
		run->batch = 1;
}

/* Sizes first: what is free now is shared out among all routes. */
static int prepare(struct copy_run *run, struct error *err)
{
	for (int i = 0; i < run->count; i++)
		if (lane_size(run, &run->lanes[i], err) < 0)
			return lane_prefix(&run->lanes[i], err);
	for (int i = 0; i < run->count; i++) {
		struct lane *lane = &run->lanes[i];

		if (side_alloc(run, lane, &lane->from, err) < 0 ||
		    side_alloc(run, lane, &lane->to, err) < 0)
			return lane_prefix(lane, err);
	}
	for (int i = 0; i < run->count; i++)
		if (fill(run, &run->lanes[i], err) < 0)
			return lane_prefix(&run->lanes[i], err);
	share_gpus(run);
	return gpu_start_init(&run->bag, run->lanes[0].drive, &run->start, err);
}

static int copy_all(struct copy_run *run, struct error *err)
{
	for (; run->count < run->job->route_count; run->count++) {
		struct lane *lane = &run->lanes[run->count];

		if (lane_open(run, lane, run->count, err) < 0) {
			run->count++;
			return lane_prefix(lane, err);
		}
	}
	if (prepare(run, err) < 0 || measure(run, err) < 0)
		return -1;
	for (int i = 0; i < run->count; i++)
		if (compare(run, &run->lanes[i], err) < 0)
			return lane_prefix(&run->lanes[i], err);
	return 0;
}

int gpu_copy_run(struct machine *m, struct gpu_copy *job, const struct gpu_patience *patience,
		 struct error *err)
{
	struct copy_run run = { .m = m, .job = job, .patience = patience };
	struct error later;
	int rc;

	job->invalid = 0;
	if (check_job(job, err) < 0)
		return -1;
	/*
	 * Drivers are reported to hold up the host while it queues copies through host memory
	 * behind other work. One route alone needs nobody to start with, and its copies take far
	 * longer than queueing them.
	 */
	run.has_start = !ways[job->way].staged || job->route_count > 1;
	gpu_bag_init(&run.bag, m, patience);
	run.lanes = xcalloc((size_t)job->route_count, sizeof(*run.lanes));
	rc = copy_all(&run, err);
	if (close_ways(&run, rc < 0 ? &later : err) < 0)
		rc = -1;
	gpu_bag_release(&run.bag);
	free(run.lanes);
	return rc;
}

int machine_gpu_copy(struct machine *m, struct gpu_copy *job, struct error *err)
{
	return gpu_copy_run(m, job, &gpu_patience_links, err);
}
