/*
 * gpu_start.h - what the GPU loads share: things that are given back together, a start that several
 * GPUs wait for, and time by their own clocks. Private to kernels/.
 */
#ifndef ASSAY_GPU_START_H
#define ASSAY_GPU_START_H

#include "kernels/cuda.h"
#include "kernels/work.h"

/* How long to wait before a GPU is said to hang. Tests are less patient. */
struct gpu_patience {
	double queueing; /* seconds that a start waits for its work to be queued */
	double slack;    /* seconds that any work may take */
	double rate;     /* bytes a second that a working path moves at least */
};

extern const struct gpu_patience gpu_patience_links, gpu_patience_memory;

/* ---- things that are given back together --------------------------------------------------- */

/*
 * Memory, streams and events of one job. gpu_bag_release gives all of them back, in reverse order;
 * of a GPU that hangs nothing is, because the driver would wait for it without end.
 */
struct gpu_bag {
	struct machine *m;
	const struct gpu_patience *patience;
	struct gpu_held *held;
	int count, hung;
};

void gpu_bag_init(struct gpu_bag *bag, struct machine *m, const struct gpu_patience *patience);
void gpu_bag_release(struct gpu_bag *bag);
/* These make g current, and return 0 or -1 with err. */
int gpu_bag_memory(struct gpu_bag *bag, struct gpu_context *g, uint64_t bytes, CUdeviceptr *at,
		   struct error *err);
/* The same, but 1 with err when so much cannot be had in one piece. */
int gpu_bag_try(struct gpu_bag *bag, struct gpu_context *g, uint64_t bytes, CUdeviceptr *at,
		struct error *err);
/* Pinned memory of a NUMA node (-1: any) that all GPUs can reach; zeroed. */
int gpu_bag_host(struct gpu_bag *bag, struct gpu_context *g, uint64_t bytes, int numa, void **at,
		 struct error *err);
int gpu_bag_stream(struct gpu_bag *bag, struct gpu_context *g, CUstream *stream, struct error *err);
int gpu_bag_event(struct gpu_bag *bag, struct gpu_context *g, CUevent *event, struct error *err);
/*
 * gpu_wait for so many seconds beyond patience->slack. All waiting goes through here: it is how the
 * bag learns that a GPU hangs.
 */
int gpu_bag_wait(struct gpu_bag *bag, struct gpu_context *g, CUstream stream, double seconds,
		 struct error *err);

/* ---- time ---------------------------------------------------------------------------------- */

/* A stream and the events that time work on it. */
struct gpu_timer {
	struct gpu_context *g;
	CUstream stream;
	CUevent begin, end;
};

int gpu_timer_init(struct gpu_bag *bag, struct gpu_context *g, struct gpu_timer *t,
		   struct error *err);
int gpu_timer_begin(const struct gpu_timer *t, struct error *err);
int gpu_timer_end(const struct gpu_timer *t, struct error *err);
/* Of finished work. A clock that stood still is an error. */
int gpu_timer_seconds(const struct gpu_timer *t, double *seconds, struct error *err);

/* ---- a common start ------------------------------------------------------------------------ */

/*
 * What is queued behind a start begins when the host says go:
 *  1. gpu_start_hold;
 *  2. gpu_start_queue on each stream, then its work;
 *  3. gpu_start_go, in any case, or the streams would wait until their patience ends;
 *  4. wait for all streams; if gpu_start_late, their times are worth nothing.
 */
struct gpu_start {
	struct gpu_start_words *words; /* pinned */
	unsigned long long most_ns;
};

int gpu_start_init(struct gpu_bag *bag, struct gpu_context *g, struct gpu_start *start,
		   struct error *err);
void gpu_start_hold(struct gpu_start *start);
int gpu_start_queue(struct gpu_start *start, const struct gpu_timer *t, struct error *err);
void gpu_start_go(struct gpu_start *start);
int gpu_start_late(const struct gpu_start *start);

/* ---- the rest ------------------------------------------------------------------------------ */

int gpu_current(struct gpu_context *g, struct error *err);
/* What the machine knows of this GPU. */
const struct host_gpu *gpu_info(const struct gpu_context *g);
/* Free memory of a GPU, without what the driver needs for itself while work runs. */
int gpu_room(struct gpu_context *g, uint64_t *bytes, struct error *err);
/*
 * Blocks of GPU_THREADS for so many items, of which a thread has `each` on the way: two to an SM at
 * most, which device.cuh finds enough to fill the memory's pipe and which any kernel of its fits.
 */
enum { GPU_THREADS = 512 };
unsigned gpu_blocks(const struct gpu_context *g, uint64_t items, unsigned each);
/* Where a GPU sees pinned memory. */
int gpu_pinned_at(struct gpu_context *g, void *host, CUdeviceptr *at, struct error *err);

/* Lets g reach memory of another GPU directly; on already is fine. */
int gpu_peer_on(struct gpu_context *g, const struct gpu_context *other, struct error *err);
/* And no longer; *was_on says how it was. */
int gpu_peer_off(struct gpu_context *g, const struct gpu_context *other, int *was_on,
		 struct error *err);

/* The doors of kernels.h with another patience than theirs. */
int gpu_copy_run(struct machine *m, struct gpu_copy *job, const struct gpu_patience *patience,
		 struct error *err);
int gpu_latency_run(struct machine *m, struct gpu_latency *job, const struct gpu_patience *patience,
		    struct error *err);
int gpu_memory_rate_run(struct machine *m, struct gpu_memory_rate *job,
			const struct gpu_patience *patience, struct error *err);
int gpu_memory_stress_run(struct machine *m, struct gpu_memory_stress *job,
			  const struct gpu_patience *patience, struct error *err);

#endif
