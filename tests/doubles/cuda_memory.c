/*
 * cuda_memory.c - device and host memory, copies and memset.
 *
 * Device memory is memory of the process, so every GPU and the CPU can reach all of it: that a
 * program forgot cuCtxEnablePeerAccess is not found here, only that its copies are then slow. New
 * device memory is filled with rubbish, for the real one is not clear either.
 */
#include "tests/doubles/double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MEMORY_MOST = 4096, PAGE = 4096 };

static struct {
	struct memory items[MEMORY_MOST];
	int count;
} known; /* guarded by the lock of the world */

const struct memory *memory_at(uintptr_t address)
{
	for (int i = 0; i < known.count; i++)
		if (address - known.items[i].base < known.items[i].size)
			return &known.items[i];
	return NULL;
}

static struct memory *memory_from(uintptr_t base, int kind)
{
	for (int i = 0; i < known.count; i++)
		if (known.items[i].base == base && known.items[i].kind == kind)
			return &known.items[i];
	return NULL;
}

static void memory_add(struct gpu *g, void *base, size_t size, int kind)
{
	if (known.count == MEMORY_MOST)
		double_die("more than %d allocations", MEMORY_MOST);
	known.items[known.count++] =
		(struct memory){ .base = (uintptr_t)base, .size = size, .kind = kind, .gpu = g };
}

static void memory_forget(struct memory *m)
{
	*m = known.items[--known.count];
}

static size_t whole_pages(size_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

/* ---- bits that are stuck ------------------------------------------------------------------- */

void memory_stick(struct gpu *g, unsigned char *at, int bit, int value)
{
	if (g->stuck_count == STUCK_MOST)
		double_die("more than %d stuck bits", STUCK_MOST);
	g->stuck[g->stuck_count++] = (struct stuck){ at, bit, value };
}

void memory_settle(struct gpu *g)
{
	for (int i = 0; i < g->stuck_count; i++) {
		struct stuck *s = &g->stuck[i];
		unsigned char mask = (unsigned char)(1 << s->bit);

		*s->at = (unsigned char)(s->value ? *s->at | mask : *s->at & ~mask);
	}
}

static void unstick(struct gpu *g, const struct memory *m)
{
	for (int i = g->stuck_count; i--;)
		if ((uintptr_t)g->stuck[i].at - m->base < m->size)
			g->stuck[i] = g->stuck[--g->stuck_count];
}

/* ---- allocating ---------------------------------------------------------------------------- */

static uint64_t memory_free(const struct gpu *g)
{
	uint64_t room = gpu_memory(g) < g->free_most ? gpu_memory(g) : g->free_most;

	return g->used < room ? room - g->used : 0;
}

static CUresult alloc(CUdeviceptr *out, size_t size)
{
	struct gpu *g = current->gpu;
	const struct fault *f;
	CUresult rc = fault_meet(OP_ALLOC, NULL, g, NULL, &f);
	void *p;

	if (rc)
		return rc;
	if (!out || !size)
		return CUDA_ERROR_INVALID_VALUE;
	if (size > memory_free(g) || whole_pages(size) > memory_free(g))
		return CUDA_ERROR_OUT_OF_MEMORY;
	size = whole_pages(size);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return CUDA_ERROR_OUT_OF_MEMORY;
	memset(p, 0xcd, size);
	memory_add(g, p, size, MEMORY_DEVICE);
	g->used += size;
	*out = (CUdeviceptr)(uintptr_t)p;
	return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr *out, size_t size)
{
	return WITH_CONTEXT(alloc(out, size));
}

/* Waits for the GPU first, as the real one does: work that is queued may still use the memory. */
static CUresult free_device(uintptr_t at)
{
	struct memory *m = memory_from(at, MEMORY_DEVICE);
	struct gpu *g;

	if (!m)
		return CUDA_ERROR_INVALID_VALUE;
	g = m->gpu;
	context_wait(&g->context);
	m = memory_from(at, MEMORY_DEVICE);
	if (!m)
		return CUDA_ERROR_INVALID_VALUE;
	unstick(g, m);
	g->used -= m->size;
	munmap((void *)m->base, m->size);
	memory_forget(m);
	return context_told(&g->context);
}

CUresult cuMemFree(CUdeviceptr at)
{
	return at ? WITH_CONTEXT(free_device((uintptr_t)at)) : CUDA_SUCCESS;
}

/* What still runs, on a GPU that hangs, must not find its memory gone: that stays mapped. */
void memory_end(struct gpu *g)
{
	int idle = context_idle(&g->context);

	for (int i = known.count; i--;) {
		struct memory *m = &known.items[i];

		if (m->kind != MEMORY_DEVICE || m->gpu != g)
			continue;
		unstick(g, m);
		if (idle)
			munmap((void *)m->base, m->size);
		memory_forget(m);
	}
	g->used = 0;
}

static CUresult get_info(size_t *free_bytes, size_t *total)
{
	if (!free_bytes || !total)
		return CUDA_ERROR_INVALID_VALUE;
	*free_bytes = memory_free(current->gpu);
	*total = gpu_memory(current->gpu);
	return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *free_bytes, size_t *total)
{
	return WITH_CONTEXT(get_info(free_bytes, total));
}

static CUresult host_alloc(void **out, size_t size)
{
	void *p;

	if (!out || !size)
		return CUDA_ERROR_INVALID_VALUE;
	p = mmap(NULL, whole_pages(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	if (p == MAP_FAILED)
		return CUDA_ERROR_OUT_OF_MEMORY;
	memory_add(NULL, p, whole_pages(size), MEMORY_HOST);
	*out = p;
	return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **out, size_t size, unsigned flags)
{
	if (flags & ~(unsigned)(CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP |
				CU_MEMHOSTALLOC_WRITECOMBINED))
		return CUDA_ERROR_INVALID_VALUE;
	return WITH_CONTEXT(host_alloc(out, size));
}

static CUresult free_host(uintptr_t at)
{
	struct memory *m = memory_from(at, MEMORY_HOST);

	if (!m)
		return CUDA_ERROR_INVALID_VALUE;
	munmap((void *)m->base, m->size);
	memory_forget(m);
	return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *p)
{
	return WITH_CONTEXT(free_host((uintptr_t)p));
}

static CUresult host_register(void *p, size_t size)
{
	if (!p || !size)
		return CUDA_ERROR_INVALID_VALUE;
	if (memory_at((uintptr_t)p))
		return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	memory_add(NULL, p, size, MEMORY_REGISTERED);
	return CUDA_SUCCESS;
}

CUresult cuMemHostRegister(void *p, size_t size, unsigned flags)
{
	(void)flags;
	return WITH_CONTEXT(host_register(p, size));
}

static CUresult host_unregister(uintptr_t at)
{
	struct memory *m = memory_from(at, MEMORY_REGISTERED);

	if (!m)
		return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
	memory_forget(m);
	return CUDA_SUCCESS;
}

CUresult cuMemHostUnregister(void *p)
{
	return WITH_CONTEXT(host_unregister((uintptr_t)p));
}

static CUresult host_pointer(CUdeviceptr *out, void *p)
{
	const struct memory *m = memory_at((uintptr_t)p);

	if (!out || !m || m->kind == MEMORY_DEVICE)
		return CUDA_ERROR_INVALID_VALUE;
	*out = (CUdeviceptr)(uintptr_t)p;
	return CUDA_SUCCESS;
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr *out, void *p, unsigned flags)
{
	return flags ? CUDA_ERROR_INVALID_VALUE : WITH_CONTEXT(host_pointer(out, p));
}

/* ---- copies -------------------------------------------------------------------------------- */

static void run_copy(struct op *op)
{
	memmove(op->to, op->from, op->bytes);
}

/* The whole range lies in one allocation that the GPU knows. */
static const struct memory *range(CUdeviceptr at, size_t bytes)
{
	const struct memory *m = memory_at((uintptr_t)at);

	return m && bytes <= m->base + m->size - (uintptr_t)at ? m : NULL;
}

struct copy {
	void *to;
	const void *from;
	size_t bytes;
	const struct gpu *to_gpu, *from_gpu; /* NULL: host memory */
};

static enum fault_op copy_kind(const struct copy *c)
{
	if (!c->from_gpu)
		return OP_H2D;
	if (!c->to_gpu)
		return OP_D2H;
	return c->to_gpu == c->from_gpu ? OP_LOCAL : OP_PEER;
}

static CUresult copy_queue(struct stream *s, const struct copy *c, struct op **out)
{
	const struct gpu *dev = c->from_gpu ? c->from_gpu : c->to_gpu;
	const struct fault *f;
	CUresult rc = fault_meet(copy_kind(c), NULL, dev, c->to_gpu, &f);
	struct op *op;

	if (rc)
		return rc;
	op = op_new(s, run_copy);
	op->to = op->output = c->to;
	op->from = c->from;
	op->bytes = c->bytes;
	op->other = c->to_gpu ? &world()->gpus[c->to_gpu->number] : NULL;
	op->fault = f;
	cost_copy(&op->cost, c->from_gpu, c->to_gpu);
	op->cost.bytes = (double)c->bytes * (copy_kind(c) == OP_LOCAL ? 2 : 1);
	if (f && f->action == ACT_SLOW)
		op->cost.slow = f->factor;
	op_queue(op);
	if (out)
		*out = op;
	return CUDA_SUCCESS;
}

/* A copy whose caller waits: in the null stream, as the real one. */
static CUresult copy_now(const struct copy *c)
{
	struct op *op;
	CUresult rc = copy_queue(current->null_stream, c, &op);

	if (rc)
		return rc;
	op_wait(op);
	return context_told(current);
}

static CUresult copy_async(CUstream handle, const struct copy *c)
{
	struct stream *s = stream_of(handle);

	return s ? copy_queue(s, c, NULL) : CUDA_ERROR_INVALID_HANDLE;
}

static int copy_to_device(struct copy *c, CUdeviceptr to, const void *from, size_t bytes)
{
	const struct memory *m = range(to, bytes);

	if (!m || !from)
		return 0;
	*c = (struct copy){ (void *)(uintptr_t)to, from, bytes, m->gpu, NULL };
	return 1;
}

static int copy_to_host(struct copy *c, void *to, CUdeviceptr from, size_t bytes)
{
	const struct memory *m = range(from, bytes);

	if (!m || !to)
		return 0;
	*c = (struct copy){ to, (const void *)(uintptr_t)from, bytes, NULL, m->gpu };
	return 1;
}

static int copy_between(struct copy *c, CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
	const struct memory *m = range(to, bytes), *n = range(from, bytes);

	if (!m || !n)
		return 0;
	*c = (struct copy){ (void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes, m->gpu,
			    n->gpu };
	return 1;
}

#define COPY(made, how)                                                                            \
	({                                                                                         \
		struct copy c;                                                                     \
		!bytes ? CUDA_SUCCESS : WITH_CONTEXT((made) ? (how) : CUDA_ERROR_INVALID_VALUE);   \
	})

CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes)
{
	return COPY(copy_to_device(&c, to, from, bytes), copy_now(&c));
}

CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes)
{
	return COPY(copy_to_host(&c, to, from, bytes), copy_now(&c));
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
	return COPY(copy_to_device(&c, to, from, bytes), copy_async(stream, &c));
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	return COPY(copy_to_host(&c, to, from, bytes), copy_async(stream, &c));
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	return COPY(copy_between(&c, to, from, bytes), copy_async(stream, &c));
}

static int context_is(const void *handle)
{
	const struct context *c = handle;

	return c && c->magic == CONTEXT_MAGIC && c->retained;
}

CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
			   CUcontext from_context, size_t bytes, CUstream stream)
{
	if (!context_is(to_context) || !context_is(from_context))
		return CUDA_ERROR_INVALID_CONTEXT;
	return COPY(copy_between(&c, to, from, bytes), copy_async(stream, &c));
}

/* ---- memset -------------------------------------------------------------------------------- */

static void run_memset(struct op *op)
{
	uint32_t *words = op->to;

	if (op->width == 1)
		memset(op->to, (int)op->value, op->bytes);
	else
		for (size_t i = 0; i < op->bytes / 4; i++)
			words[i] = op->value;
}

static CUresult set(CUdeviceptr to, uint32_t value, int width, size_t count, CUstream handle)
{
	const struct memory *m = range(to, count * (size_t)width);
	struct stream *s = stream_of(handle);
	const struct fault *f;
	CUresult rc;
	struct op *op;

	if (!m || !count || to % (CUdeviceptr)width)
		return CUDA_ERROR_INVALID_VALUE;
	if (!s)
		return CUDA_ERROR_INVALID_HANDLE;
	rc = fault_meet(OP_MEMSET, NULL, m->gpu, NULL, &f);
	if (rc)
		return rc;
	op = op_new(s, run_memset);
	op->to = op->output = (void *)(uintptr_t)to;
	op->bytes = count * (size_t)width;
	op->value = value;
	op->width = width;
	op->other = m->gpu;
	op->fault = f;
	op->cost.least = (double)op->bytes / world()->rates[RATE_HBM];
	if (f && f->action == ACT_SLOW)
		op->cost.slow = f->factor;
	op_queue(op);
	return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream)
{
	return WITH_CONTEXT(set(to, value, 1, count, stream));
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream)
{
	return WITH_CONTEXT(set(to, value, 4, count, stream));
}
