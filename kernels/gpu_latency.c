/*
 * gpu_latency.c - how long one copy, one load and one flag take.
 *
 * Three figures that others call by one name: the time the copy engine needs for one small order,
 * the time a thread waits for a load, and the time until one GPU sees what another has written.
 */
#include "kernels/gpu_block.h"

#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"

#include <math.h>
#include <stdlib.h>

enum { COPY_BYTES = 16, LINE = 128, WORD = 8 };
/* No memory answers a load so slowly, not even a host's behind a switch. */
static const double slowest_load = 100e-6;

static int pair_prefix(const struct gpu_latency *job, struct error *err)
{
	return error_prefix(err, "gpu%d and gpu%d: ", job->from, job->to);
}

/* Time that a kernel measured. */
static int put_sample(struct gpu_latency *job, int sample, double ns, struct error *err)
{
	if (!(ns > 0) || !isfinite(ns))
		return error_set(err, "the clock of gpu%d did not move in sample %d", job->from,
				 sample);
	job->ns[sample] = ns;
	return 0;
}

/* ---- copies -------------------------------------------------------------------------------- */

static int measure_copies(struct machine *m, struct gpu_latency *job,
			  const struct gpu_patience *patience, struct error *err)
{
	struct gpu_route route = { .from = job->from, .to = job->to, .numa = -1, .gbs = job->ns };
	struct gpu_copy copy = { .routes = &route,
				 .route_count = 1,
				 .way = GPU_WRITE_CE,
				 .bytes = COPY_BYTES,
				 .copies = job->hops,
				 .samples = job->samples,
				 .seed = 1 };
	const int counted = job->from == job->to ? 2 : 1;

	if (gpu_copy_run(m, &copy, patience, err) < 0)
		return -1;
	if (route.wrong_bytes)
		return error_set(err, "gpu%d and gpu%d: %llu bytes of %d byte copies arrived wrong",
				 job->from, job->to, (unsigned long long)route.wrong_bytes,
				 COPY_BYTES);
	for (int s = 0; s < job->samples; s++) /* a GB/s is a byte a nanosecond */
		if (put_sample(job, s, counted * COPY_BYTES / job->ns[s], err) < 0)
			return -1;
	return 0;
}

/* ---- loads --------------------------------------------------------------------------------- */

struct chase_run {
	struct gpu_latency *job;
	struct gpu_bag bag;
	struct gpu_context *from, *to;
	CUstream stream;
	CUdeviceptr ring, ns, end;
	uint64_t *next; /* the ring as it is uploaded */
	uint64_t lines, at;
};

/* One random cycle through all lines (S. Sattolo, 1986), as in chase.c. */
static int make_ring(struct chase_run *run, struct error *err)
{
	const uint64_t stride = LINE / WORD;
	uint64_t state = 0x243f6a8885a308d3; /* any will do */

	run->next = calloc(run->lines, LINE);
	if (!run->next)
		return error_sys(err, "no memory for a ring of %llu lines",
				 (unsigned long long)run->lines);
	for (uint64_t i = 0; i < run->lines; i++)
		run->next[i * stride] = i * stride;
	for (uint64_t i = run->lines - 1; i > 0; i--) {
		uint64_t *a = &run->next[i * stride];
		uint64_t *b = &run->next[random_next(&state) % i * stride];
		const uint64_t held = *a;

		*a = *b;
		*b = held;
	}
	return 0;
}

static int upload_ring(struct chase_run *run, struct error *err)
{
	const uint64_t bytes = run->lines * LINE;
	const struct cuda *cuda = run->to->cuda;
	char asked[32], there[32];
	CUstream stream;
	uint64_t room;

	if (gpu_room(run->to, &room, err) < 0)
		return -1;
	if (bytes > room) {
		bytes_text((double)bytes, asked, sizeof(asked));
		bytes_text((double)room, there, sizeof(there));
		return error_set(err, "a ring of %s does not fit, %s are free", asked, there);
	}
	if (gpu_bag_stream(&run->bag, run->to, &stream, err) < 0 ||
	    gpu_bag_memory(&run->bag, run->to, bytes, &run->ring, err) < 0 ||
	    gpu_check(run->to, cuda->MemcpyHtoDAsync(run->ring, run->next, bytes, stream), err,
		      "uploading a ring of pointers") < 0)
		return -1;
	return gpu_bag_wait(&run->bag, run->to, stream, bytes / run->bag.patience->rate, err);
}

/* The host walks along: a load that came back wrong leads elsewhere. */
static int check_walk(struct chase_run *run, uint64_t hops, struct error *err)
{
	const struct cuda *cuda = run->from->cuda;
	uint64_t end = 0;

	if (gpu_check(run->from, cuda->MemcpyDtoH(&end, run->end, sizeof(end)), err,
		      "reading where the chase ended") < 0)
		return -1;
	for (uint64_t i = hops % run->lines; i > 0; i--)
		run->at = run->next[run->at];
	if (end != run->at)
		return error_set(err,
				 "the chain of pointers came back wrong from memory: it ended "
				 "at word %llu, not %llu",
				 (unsigned long long)end, (unsigned long long)run->at);
	return 0;
}

static int walk(struct chase_run *run, unsigned samples, unsigned hops, struct error *err)
{
	const double most = slowest_load * samples * hops;
	void *args[] = { &run->ring, &run->at, &samples, &hops, &run->ns, &run->end, NULL };

	if (gpu_current(run->from, err) < 0 ||
	    gpu_launch(run->from, run->stream, "chase", 1, 1, args, err) < 0 ||
	    gpu_bag_wait(&run->bag, run->from, run->stream, most, err) < 0)
		return -1;
	return check_walk(run, (uint64_t)samples * hops, err);
}

/* A ring that the cache could hold must be in there as a whole before it is timed. */
static unsigned warm_hops(const struct chase_run *run)
{
	const uint64_t hops = (uint64_t)run->job->hops;

	if (run->lines * LINE <= gpu_info(run->to)->l2_bytes || run->lines < hops)
		return (unsigned)run->lines;
	return (unsigned)hops;
}

static int chase_samples(struct chase_run *run, struct error *err)
{
	struct gpu_latency *job = run->job;
	const struct cuda *cuda = run->from->cuda;
	const size_t bytes = (size_t)job->samples * sizeof(uint64_t);
	uint64_t *ns = xcalloc((size_t)job->samples, sizeof(*ns));
	int rc = walk(run, (unsigned)job->samples, (unsigned)job->hops, err);

	if (rc == 0)
		rc = gpu_check(run->from, cuda->MemcpyDtoH(ns, run->ns, bytes), err,
			       "reading the times");
	for (int s = 0; s < job->samples && rc == 0; s++)
		rc = put_sample(job, s, (double)ns[s] / job->hops, err);
	free(ns);
	return rc;
}

static int chase(struct chase_run *run, struct error *err)
{
	const uint64_t samples = (uint64_t)run->job->samples;

	if (gpu_peer_on(run->from, run->to, err) < 0 || make_ring(run, err) < 0 ||
	    upload_ring(run, err) < 0 ||
	    gpu_bag_stream(&run->bag, run->from, &run->stream, err) < 0 ||
	    gpu_bag_memory(&run->bag, run->from, samples * sizeof(uint64_t), &run->ns, err) < 0 ||
	    gpu_bag_memory(&run->bag, run->from, sizeof(uint64_t), &run->end, err) < 0 ||
	    walk(run, 1, warm_hops(run), err) < 0)
		return -1;
	return chase_samples(run, err);
}

static int measure_chase(struct machine *m, struct gpu_latency *job,
			 const struct gpu_patience *patience, struct error *err)
{
	struct chase_run run = { .job = job, .lines = job->bytes / LINE };
	int rc;

	if (run.lines < 2 || run.lines > UINT32_MAX)
		return error_set(err, "a pointer chase goes through 256 bytes to 512 GiB, not %llu",
				 (unsigned long long)job->bytes);
	run.from = gpu_use(m, job->from, err);
	run.to = run.from ? gpu_use(m, job->to, err) : NULL;
	if (!run.to)
		return -1;
	gpu_bag_init(&run.bag, m, patience);
	rc = chase(&run, err);
	gpu_bag_release(&run.bag);
	free(run.next);
	return rc < 0 ? pair_prefix(job, err) : 0;
}

/* ---- flags --------------------------------------------------------------------------------- */

struct flag_words { /* pinned */
	unsigned first_late, second_late;
	uint64_t ns[];
};

struct flag_run {
	struct gpu_latency *job;
	const struct gpu_patience *patience;
	struct gpu_bag bag;
	struct gpu_context *gpus[2];
	CUstream streams[2];
	CUdeviceptr flags[2];
	struct flag_words *words;
	CUdeviceptr words_at[2]; /* as each GPU sees them */
};

/* Each flag lies with the GPU that waits for it: it looks at its own memory, and writes afar. */
static int flag_prepare(struct flag_run *run, struct error *err)
{
	static const char *const kernels[] = { "flag_first", "flag_second" };
	const size_t bytes =
		sizeof(*run->words) + (size_t)run->job->samples * sizeof(run->words->ns[0]);
	void *host;

	if (gpu_bag_host(&run->bag, run->gpus[0], bytes, -1, &host, err) < 0)
		return -1;
	run->words = host;
	for (int i = 0; i < 2; i++) {
		struct gpu_context *g = run->gpus[i];

		if (gpu_peer_on(g, run->gpus[1 - i], err) < 0 ||
		    !gpu_function(g, kernels[i], err) ||
		    gpu_bag_stream(&run->bag, g, &run->streams[i], err) < 0 ||
		    gpu_bag_memory(&run->bag, g, LINE, &run->flags[i], err) < 0 ||
		    gpu_pinned_at(g, host, &run->words_at[i], err) < 0)
			return -1;
	}
	return 0;
}

static int flag_clear(struct flag_run *run, struct error *err)
{
	run->words->first_late = run->words->second_late = 0;
	for (int i = 0; i < 2; i++) {
		struct gpu_context *g = run->gpus[i];

		if (gpu_current(g, err) < 0 ||
		    gpu_check(g, g->cuda->MemsetD8Async(run->flags[i], 0, LINE, run->streams[i]),
			      err, "clearing a flag") < 0 ||
		    gpu_bag_wait(&run->bag, g, run->streams[i], 0, err) < 0)
			return -1;
	}
	return 0;
}

static int flag_launch(struct flag_run *run, unsigned samples, unsigned rounds,
		       unsigned long long most_ns, struct error *err)
{
	unsigned all = samples * rounds;
	CUdeviceptr first_late = run->words_at[0] + offsetof(struct flag_words, first_late);
	CUdeviceptr second_late = run->words_at[1] + offsetof(struct flag_words, second_late);
	CUdeviceptr ns = run->words_at[0] + offsetof(struct flag_words, ns);
	void *second[] = { &run->flags[1], &run->flags[0], &all, &most_ns, &second_late, NULL };
	void *first[] = {
		&run->flags[0], &run->flags[1], &samples, &rounds, &most_ns, &ns, &first_late, NULL
	};

	if (gpu_current(run->gpus[1], err) < 0 ||
	    gpu_launch(run->gpus[1], run->streams[1], "flag_second", 1, 1, second, err) < 0 ||
	    gpu_current(run->gpus[0], err) < 0)
		return -1;
	return gpu_launch(run->gpus[0], run->streams[0], "flag_first", 1, 1, first, err);
}

static int flag_pass(struct flag_run *run, unsigned samples, unsigned rounds, struct error *err)
{
	const double most = run->patience->queueing + slowest_load * 2 * samples * rounds;

	if (flag_clear(run, err) < 0 ||
	    flag_launch(run, samples, rounds, (unsigned long long)(most * 1e9), err) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		if (gpu_bag_wait(&run->bag, run->gpus[i], run->streams[i], most, err) < 0)
			return -1;
	if (run->words->first_late || run->words->second_late)
		return error_set(err, "a flag that one wrote did not reach the other within %g s",
				 most);
	return 0;
}

static int flags(struct flag_run *run, struct error *err)
{
	struct gpu_latency *job = run->job;

	if (flag_prepare(run, err) < 0 || flag_pass(run, 1, (unsigned)job->hops, err) < 0 ||
	    flag_pass(run, (unsigned)job->samples, (unsigned)job->hops, err) < 0)
		return -1;
	for (int s = 0; s < job->samples; s++)
		if (put_sample(job, s, (double)run->words->ns[s] / job->hops / 2, err) < 0)
			return -1;
	return 0;
}

static int measure_flags(struct machine *m, struct gpu_latency *job,
			 const struct gpu_patience *patience, struct error *err)
{
	struct flag_run run = { .job = job, .patience = patience };
	int rc;

	if (job->from == job->to)
		return error_set(err, "a flag passes between two GPUs, not within one");
	run.gpus[0] = gpu_use(m, job->from, err);
	run.gpus[1] = run.gpus[0] ? gpu_use(m, job->to, err) : NULL;
	if (!run.gpus[1])
		return -1;
	gpu_bag_init(&run.bag, m, patience);
	rc = flags(&run, err);
	gpu_bag_release(&run.bag);
	return rc < 0 ? pair_prefix(job, err) : 0;
}

/* ---- either -------------------------------------------------------------------------------- */

static int (*const kinds[])(struct machine *m, struct gpu_latency *job,
			    const struct gpu_patience *patience, struct error *err) = {
	[GPU_COPY_16B] = measure_copies,
	[GPU_CHASE] = measure_chase,
	[GPU_FLAG] = measure_flags,
};

int gpu_latency_run(struct machine *m, struct gpu_latency *job, const struct gpu_patience *patience,
		    struct error *err)
{
	if ((unsigned)job->kind >= ARRAY_SIZE(kinds))
		return error_set(err, "%d is no kind of latency", (int)job->kind);
	if (job->samples < 1 || job->hops < 1 || job->hops > INT32_MAX / job->samples)
		return error_set(err, "%d samples of %d hops cannot be measured", job->samples,
				 job->hops);
	return kinds[job->kind](m, job, patience, err);
}

int machine_gpu_latency(struct machine *m, struct gpu_latency *job, struct error *err)
{
	return gpu_latency_run(m, job, &gpu_patience_links, err);
}
