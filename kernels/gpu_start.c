/*
 * gpu_start.c - what the GPU loads share.
 *
 * Nothing of a GPU that hangs is given back: cuMemFree and its kin wait for the device, so that the
 * sentence that names it would never be seen. The process of the step ends soon, and with it goes
 * what was left.
 */
#include "kernels/gpu_start.h"

#include "kernels/gpu/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One lane of PCIe 1.0 moves 250 MB/s (PCI Express Base 1.0a, 2.5 GT/s with 8b/10b). */
const struct gpu_patience gpu_patience_links = { .queueing = 2, .slack = 30, .rate = 0.25e9 };
/* GDDR and HBM move hundreds of GB/s; a tenth of the slowest is still a GPU that works. */
const struct gpu_patience gpu_patience_memory = { .queueing = 2, .slack = 30, .rate = 20e9 };

/* ---- things that are given back together --------------------------------------------------- */

enum held_kind { HELD_MEMORY, HELD_PAGES, HELD_HOST, HELD_STREAM, HELD_EVENT };

struct gpu_held {
	enum held_kind kind;
	struct gpu_context *g;
	CUdeviceptr memory;
	struct pages pages;
	void *host;
	CUstream stream;
	CUevent event;
};

void gpu_bag_init(struct gpu_bag *bag, struct machine *m, const struct gpu_patience *patience)
{
	*bag = (struct gpu_bag){ .m = m, .patience = patience };
}

static void hold(struct gpu_bag *bag, struct gpu_held thing)
{
	bag->held = grow(bag->held, bag->count, sizeof(*bag->held));
	bag->held[bag->count++] = thing;
}

int gpu_current(struct gpu_context *g, struct error *err)
{
	return gpu_check(g, g->cuda->CtxSetCurrent(g->context), err, "making its context current");
}

int gpu_bag_try(struct gpu_bag *bag, struct gpu_context *g, uint64_t bytes, CUdeviceptr *at,
		struct error *err)
{
	struct gpu_held thing = { .kind = HELD_MEMORY, .g = g };
	char asked[32];
	CUresult rc;

	bytes_text((double)bytes, asked, sizeof(asked));
	if (gpu_current(g, err) < 0)
		return -1;
	rc = g->cuda->MemAlloc(&thing.memory, bytes);
	if (gpu_check(g, rc, err, "allocating %s", asked) < 0)
		return rc == CUDA_ERROR_OUT_OF_MEMORY ? 1 : -1;
	hold(bag, thing);
	*at = thing.memory;
	return 0;
}

int gpu_bag_memory(struct gpu_bag *bag, struct gpu_context *g, uint64_t bytes, CUdeviceptr *at,
		   struct error *err)
{
	return gpu_bag_try(bag, g, bytes, at, err) == 0 ? 0 : -1;
}

/* The NUMA nodes of a recorded machine are not those of this one: there memory has no place. */
static int host_unplaced(struct gpu_bag *bag, struct gpu_context *g, uint64_t bytes, void **at,
			 struct error *err)
{
	struct gpu_held thing = { .kind = HELD_HOST, .g = g };
	const unsigned flags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP;

	if (gpu_check(g, g->cuda->MemHostAlloc(&thing.host, bytes, flags), err,
		      "allocating %llu bytes of pinned host memory", (unsigned long long)bytes) < 0)
		return -1;
	memset(thing.host, 0, bytes);
	hold(bag, thing);
	*at = thing.host;
	return 0;
}

int gpu_bag_host(struct gpu_bag *bag, struct gpu_context *g, uint64_t bytes, int numa, void **at,
		 struct error *err)
{
	struct gpu_held thing = { .kind = HELD_PAGES, .g = g };
	const unsigned flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
	char asked[32];

	if (gpu_current(g, err) < 0)
		return -1;
	if (bag->m->root[0])
		return host_unplaced(bag, g, bytes, at, err);
	if (pages_alloc(bag->m, &thing.pages, bytes, numa, err) < 0)
		return -1;
	memset(thing.pages.base, 0, bytes);
	bytes_text((double)bytes, asked, sizeof(asked));
	if (gpu_check(g, g->cuda->MemHostRegister(thing.pages.base, bytes, flags), err,
		      "pinning %s of host memory", asked) < 0) {
		pages_free(&thing.pages);
		return -1;
	}
	hold(bag, thing);
	*at = thing.pages.base;
	return 0;
}

int gpu_bag_stream(struct gpu_bag *bag, struct gpu_context *g, CUstream *stream, struct error *err)
{
	struct gpu_held thing = { .kind = HELD_STREAM, .g = g };

	if (gpu_current(g, err) < 0 ||
	    gpu_check(g, g->cuda->StreamCreate(&thing.stream, CU_STREAM_NON_BLOCKING), err,
		      "making a stream") < 0)
		return -1;
	hold(bag, thing);
	*stream = thing.stream;
	return 0;
}

int gpu_bag_event(struct gpu_bag *bag, struct gpu_context *g, CUevent *event, struct error *err)
{
	struct gpu_held thing = { .kind = HELD_EVENT, .g = g };

	if (gpu_current(g, err) < 0 ||
	    gpu_check(g, g->cuda->EventCreate(&thing.event, CU_EVENT_DEFAULT), err,
		      "making an event") < 0)
		return -1;
	hold(bag, thing);
	*event = thing.event;
	return 0;
}

/* What a stream still has to do ends soon, or its GPU hangs. */
static void settle(struct gpu_bag *bag, const struct gpu_held *thing)
{
	const struct cuda *cuda = thing->g->cuda;
	struct error ignored;

	if (thing->kind != HELD_STREAM || bag->hung)
		return;
	(void)cuda->CtxSetCurrent(thing->g->context);
	if (cuda->StreamQuery(thing->stream) == CUDA_ERROR_NOT_READY)
		(void)gpu_bag_wait(bag, thing->g, thing->stream, 0, &ignored);
}

/* Whatever fails here failed before, and was said then. */
static void give_back(struct gpu_held *thing)
{
	const struct cuda *cuda = thing->g->cuda;

	(void)cuda->CtxSetCurrent(thing->g->context);
	if (thing->kind == HELD_MEMORY)
		(void)cuda->MemFree(thing->memory);
	else if (thing->kind == HELD_HOST)
		(void)cuda->MemFreeHost(thing->host);
	else if (thing->kind == HELD_STREAM)
		(void)cuda->StreamDestroy(thing->stream);
	else if (thing->kind == HELD_EVENT)
		(void)cuda->EventDestroy(thing->event);
	else if (cuda->MemHostUnregister(thing->pages.base) == CUDA_SUCCESS)
		pages_free(&thing->pages);
}

void gpu_bag_release(struct gpu_bag *bag)
{
	for (int i = 0; i < bag->count; i++)
		settle(bag, &bag->held[i]);
	while (bag->count > 0 && !bag->hung)
		give_back(&bag->held[--bag->count]);
	free(bag->held);
	*bag = (struct gpu_bag){ 0 };
}

int gpu_bag_wait(struct gpu_bag *bag, struct gpu_context *g, CUstream stream, double seconds,
		 struct error *err)
{
	if (gpu_current(g, err) < 0)
		return -1;
	if (gpu_wait(g, stream, bag->patience->slack + seconds, err) == 0)
		return 0;
	if (g->cuda->StreamQuery(stream) == CUDA_ERROR_NOT_READY)
		bag->hung = 1;
	return -1;
}

/* ---- time ---------------------------------------------------------------------------------- */

int gpu_timer_init(struct gpu_bag *bag, struct gpu_context *g, struct gpu_timer *t,
		   struct error *err)
{
	*t = (struct gpu_timer){ .g = g };
	if (gpu_bag_stream(bag, g, &t->stream, err) < 0 ||
	    gpu_bag_event(bag, g, &t->begin, err) < 0)
		return -1;
	return gpu_bag_event(bag, g, &t->end, err);
}

int gpu_timer_begin(const struct gpu_timer *t, struct error *err)
{
	return gpu_check(t->g, t->g->cuda->EventRecord(t->begin, t->stream), err,
			 "recording an event");
}

int gpu_timer_end(const struct gpu_timer *t, struct error *err)
{
	return gpu_check(t->g, t->g->cuda->EventRecord(t->end, t->stream), err,
			 "recording an event");
}

int gpu_timer_seconds(const struct gpu_timer *t, double *seconds, struct error *err)
{
	float ms = 0;

	if (gpu_current(t->g, err) < 0 ||
	    gpu_check(t->g, t->g->cuda->EventElapsedTime(&ms, t->begin, t->end), err,
		      "reading the time of its work") < 0)
		return -1;
	if (!(ms > 0) || !isfinite(ms))
		return error_set(err, "the clock of gpu%d did not move while it worked: %g ms",
				 t->g->gpu, (double)ms);
	*seconds = (double)ms / 1e3;
	return 0;
}

/* ---- a common start ------------------------------------------------------------------------ */

/* The two words lie in lines of their own: GPUs read one again and again while another is set. */
struct gpu_start_words {
	unsigned go __attribute__((aligned(128)));
	unsigned late __attribute__((aligned(128)));
};

int gpu_start_init(struct gpu_bag *bag, struct gpu_context *g, struct gpu_start *start,
		   struct error *err)
{
	void *at;

	if (gpu_bag_host(bag, g, sizeof(*start->words), -1, &at, err) < 0)
		return -1;
	start->words = at;
	start->most_ns = (unsigned long long)(bag->patience->queueing * 1e9);
	return 0;
}

void gpu_start_hold(struct gpu_start *start)
{
	__atomic_store_n(&start->words->go, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&start->words->late, 0, __ATOMIC_SEQ_CST);
}

int gpu_start_queue(struct gpu_start *start, const struct gpu_timer *t, struct error *err)
{
	CUdeviceptr go, late;
	void *args[] = { &go, &late, &start->most_ns, NULL };

	if (gpu_pinned_at(t->g, start->words, &go, err) < 0)
		return -1;
	late = go + offsetof(struct gpu_start_words, late);
	go += offsetof(struct gpu_start_words, go);
	return gpu_launch(t->g, t->stream, "spin", 1, 1, args, err);
}

void gpu_start_go(struct gpu_start *start)
{
	__atomic_store_n(&start->words->go, 1, __ATOMIC_SEQ_CST);
}

int gpu_start_late(const struct gpu_start *start)
{
	return __atomic_load_n(&start->words->late, __ATOMIC_SEQ_CST) != 0;
}

/* ---- the rest ------------------------------------------------------------------------------ */

const struct host_gpu *gpu_info(const struct gpu_context *g)
{
	struct error err = { "" };
	const struct host_gpus *gpus = machine_gpus(g->m, &err);

	if (!gpus || g->gpu < 0 || g->gpu >= gpus->count)
		BUG("gpu%d has a context and is not listed: %s", g->gpu, err.text);
	return &gpus->items[g->gpu];
}

int gpu_room(struct gpu_context *g, uint64_t *bytes, struct error *err)
{
	size_t unused = 0, all = 0;
	uint64_t kept = 256 << 20;

	if (gpu_current(g, err) < 0 ||
	    gpu_check(g, g->cuda->MemGetInfo(&unused, &all), err, "asking for its free memory") < 0)
		return -1;
	if (kept > all / 50)
		kept = all / 50;
	*bytes = unused > kept ? unused - kept : 0;
	return 0;
}

unsigned gpu_blocks(const struct gpu_context *g, uint64_t items, unsigned each)
{
	const uint64_t block = (uint64_t)each * GPU_THREADS, wanted = (items + block - 1) / block;
	const uint64_t most = 2 * (uint64_t)gpu_info(g)->sms;

	if (wanted < 1)
		return 1;
	return (unsigned)(wanted < most ? wanted : most);
}

int gpu_pinned_at(struct gpu_context *g, void *host, CUdeviceptr *at, struct error *err)
{
	return gpu_check(g, g->cuda->MemHostGetDevicePointer(at, host, 0), err,
			 "mapping pinned host memory");
}

/* ---- peers --------------------------------------------------------------------------------- */

static int can_reach(struct gpu_context *g, const struct gpu_context *other, int *can,
		     struct error *err)
{
	return gpu_check(g, g->cuda->DeviceCanAccessPeer(can, g->device, other->device), err,
			 "asking whether it can reach memory of gpu%d", other->gpu);
}

int gpu_peer_on(struct gpu_context *g, const struct gpu_context *other, struct error *err)
{
	int can = 0;
	CUresult rc;

	if (g->gpu == other->gpu)
		return 0;
	if (gpu_current(g, err) < 0 || can_reach(g, other, &can, err) < 0)
		return -1;
	if (!can)
		return error_set(err, "gpu%d cannot reach memory of gpu%d directly", g->gpu,
				 other->gpu);
	rc = g->cuda->CtxEnablePeerAccess(other->context, 0);
	if (rc == CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED)
		return 0;
	return gpu_check(g, rc, err, "enabling access to memory of gpu%d", other->gpu);
}

int gpu_peer_off(struct gpu_context *g, const struct gpu_context *other, int *was_on,
		 struct error *err)
{
	CUresult rc;

	*was_on = 0;
	if (gpu_current(g, err) < 0)
		return -1;
	rc = g->cuda->CtxDisablePeerAccess(other->context);
	if (rc == CUDA_ERROR_PEER_ACCESS_NOT_ENABLED)
		return 0;
	*was_on = rc == CUDA_SUCCESS;
	return gpu_check(g, rc, err, "disabling access to memory of gpu%d", other->gpu);
}

int machine_gpu_peer(struct machine *m, int from, int to, struct error *err)
{
	struct gpu_context *a = gpu_use(m, from, err), *b = a ? gpu_use(m, to, err) : NULL;
	int can = 0;

	if (!a || !b)
		return -1;
	if (from == to)
		return 1;
	return can_reach(a, b, &can, err) < 0 ? -1 : can != 0;
}
