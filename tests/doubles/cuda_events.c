/* cuda_events.c - streams and events as libcuda.so.1 shows them. */
#include "tests/doubles/double.h"

#include <stdlib.h>

/* ---- streams ------------------------------------------------------------------------------- */

struct stream *stream_of(CUstream handle)
{
	struct stream *s = (struct stream *)handle;

	if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD)
		return current->null_stream;
	return s->magic == STREAM_MAGIC && s->context == current ? s : NULL;
}

static CUresult create(CUstream *out, unsigned flags)
{
	if (!out || flags & ~(unsigned)CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	*out = (CUstream)stream_new(current, !(flags & CU_STREAM_NON_BLOCKING));
	return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *out, unsigned flags)
{
	return WITH_CONTEXT(create(out, flags));
}

/* What is queued is still done, as the documentation of cuStreamDestroy says. */
static CUresult destroy(CUstream handle)
{
	struct stream *s = (struct stream *)handle;

	if (!s || s->magic != STREAM_MAGIC || s == current->null_stream)
		return CUDA_ERROR_INVALID_HANDLE;
	s->magic = 0;
	s->abandoned = 1;
	pthread_cond_signal(&s->work);
	return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream handle)
{
	return WITH_CONTEXT(destroy(handle));
}

/* A call that waits: a rule may let it fail or wait for ever. */
CUresult wait_faults(void)
{
	const struct fault *f;
	CUresult rc = fault_meet(OP_SYNC, NULL, current->gpu, NULL, &f);
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;

	while (f && f->action == ACT_HANG)
		pthread_cond_wait(&never, &world()->lock);
	return rc;
}

static CUresult synchronize(CUstream handle)
{
	struct stream *s = stream_of(handle);
	CUresult rc = s ? wait_faults() : CUDA_ERROR_INVALID_HANDLE;

	if (rc)
		return rc;
	stream_wait(s);
	return context_told(current);
}

CUresult cuStreamSynchronize(CUstream handle)
{
	return WITH_CONTEXT(synchronize(handle));
}

static CUresult query(CUstream handle)
{
	struct stream *s = stream_of(handle);

	if (!s)
		return CUDA_ERROR_INVALID_HANDLE;
	if (s->last && !s->last->done)
		return current->gpu->lost ? CUDA_ERROR_UNKNOWN : CUDA_ERROR_NOT_READY;
	stream_wait(s); /* moves this thread's clock */
	return context_told(current);
}

CUresult cuStreamQuery(CUstream handle)
{
	return WITH_CONTEXT(query(handle));
}

/* ---- events -------------------------------------------------------------------------------- */

static struct event *event_of(CUevent handle)
{
	struct event *e = (struct event *)handle;

	return e && e->magic == EVENT_MAGIC ? e : NULL;
}

static CUresult event_create(CUevent *out, unsigned flags)
{
	static struct event *all; /* never freed; guarded by the lock of the world */
	struct event *e;

	if (!out || flags & ~(unsigned)(CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING))
		return CUDA_ERROR_INVALID_VALUE;
	e = calloc(1, sizeof(*e));
	if (!e)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*e = (struct event){ .magic = EVENT_MAGIC, .next = all, .context = current };
	e->untimed = !!(flags & CU_EVENT_DISABLE_TIMING);
	all = e;
	*out = (CUevent)e;
	return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *out, unsigned flags)
{
	return WITH_CONTEXT(event_create(out, flags));
}

static CUresult event_destroy(CUevent handle)
{
	struct event *e = event_of(handle);

	if (!e)
		return CUDA_ERROR_INVALID_HANDLE;
	e->magic = 0;
	op_drop(e->op);
	e->op = NULL;
	return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent handle)
{
	return WITH_CONTEXT(event_destroy(handle));
}

static CUresult record(CUevent handle, CUstream stream)
{
	struct event *e = event_of(handle);
	struct stream *s = stream_of(stream);
	struct op *op;

	if (!e || !s || e->context != current)
		return CUDA_ERROR_INVALID_HANDLE;
	op = op_new(s, NULL);
	op_queue(op);
	op_drop(e->op);
	e->op = op_hold(op);
	return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent handle, CUstream stream)
{
	return WITH_CONTEXT(record(handle, stream));
}

static CUresult wait_event(CUstream stream, CUevent handle)
{
	struct event *e = event_of(handle);
	struct stream *s = stream_of(stream);
	struct op *op;

	if (!e || !s)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!e->op)
		return CUDA_SUCCESS;
	op = op_new(s, NULL);
	op_after(op, e->op);
	op_queue(op);
	return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent handle, unsigned flags)
{
	return flags ? CUDA_ERROR_INVALID_VALUE : WITH_CONTEXT(wait_event(stream, handle));
}

static CUresult event_query(CUevent handle)
{
	struct event *e = event_of(handle);

	if (!e)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!e->op)
		return CUDA_SUCCESS;
	if (!e->op->done)
		return CUDA_ERROR_NOT_READY;
	op_wait(e->op);
	return context_told(e->context);
}

CUresult cuEventQuery(CUevent handle)
{
	return WITH_CONTEXT(event_query(handle));
}

static CUresult event_synchronize(CUevent handle)
{
	struct event *e = event_of(handle);
	CUresult rc = e ? wait_faults() : CUDA_ERROR_INVALID_HANDLE;

	if (rc || !e->op)
		return rc;
	op_wait(e->op);
	return context_told(e->context);
}

CUresult cuEventSynchronize(CUevent handle)
{
	return WITH_CONTEXT(event_synchronize(handle));
}

static CUresult elapsed(float *ms, CUevent from, CUevent to)
{
	struct event *a = event_of(from), *b = event_of(to);

	if (!ms)
		return CUDA_ERROR_INVALID_VALUE;
	if (!a || !b || a->untimed || b->untimed || !a->op || !b->op)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!a->op->done || !b->op->done)
		return CUDA_ERROR_NOT_READY;
	timeline_resolve();
	*ms = (float)((b->op->end - a->op->end) * 1e3);
	return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float *ms, CUevent from, CUevent to)
{
	return WITH_CONTEXT(elapsed(ms, from, to));
}

CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to)
{
	return WITH_CONTEXT(elapsed(ms, from, to));
}
