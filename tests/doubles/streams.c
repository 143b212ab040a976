/*
 * streams.c - work that is queued: each stream is a FIFO with a thread that really does the work.
 *
 * Work is done as soon as what it waits for is done; how long it took on the clock of the events is
 * another matter, see timeline.c. Threads and handles are never taken away again: a program under
 * test may use a stale one, and must then get an error and not a crash of the double.
 */
#include "tests/doubles/double.h"

#include <stdlib.h>
#include <string.h>

static struct stream *all_streams; /* guarded by the lock of the world */

struct stream *streams(void)
{
	return all_streams;
}

struct stream *stream_new(struct context *c, int blocking)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		double_die("out of memory");
	s->magic = STREAM_MAGIC;
	s->context = c;
	s->blocking = blocking;
	pthread_cond_init(&s->work, NULL);
	s->next = all_streams;
	all_streams = s;
	return s;
}

struct op *op_new(struct stream *s, void (*run)(struct op *))
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op)
		double_die("out of memory");
	op->stream = s;
	op->gpu = s->context->gpu;
	op->run = run;
	op->cost.slow = 1;
	return op;
}

struct op *op_hold(struct op *op)
{
	op->references++;
	return op;
}

void op_forget(struct op *op)
{
	for (int i = 0; i < op->after_count; i++)
		op_drop(op->after[i]);
	free(op->after);
	op->after = NULL;
	op->after_count = 0;
}

void op_drop(struct op *op)
{
	if (!op || --op->references)
		return;
	op_forget(op);
	free(op->launch.args);
	free(op);
}

void op_after(struct op *op, struct op *earlier)
{
	if (!earlier || earlier == op)
		return;
	op->after = realloc(op->after, sizeof(*op->after) * (size_t)(op->after_count + 1));
	if (!op->after)
		double_die("out of memory");
	op->after[op->after_count++] = op_hold(earlier);
}

/* ---- doing it ------------------------------------------------------------------------------ */

static void spoil(struct op *op)
{
	const struct fault *f = op->fault;
	unsigned char *at = op->output + (f->offset > 0 ? f->offset : 0);

	if (!op->output)
		double_die("no output is known that could be spoiled");
	done_clear();
	gpu_xid(op->gpu, f->xid);
	if (f->action == ACT_FLIP)
		*at ^= (unsigned char)(1 << f->bit);
	else
		memory_stick(op->gpu, at, f->bit, f->bit_value);
}

/* 1 if the work is not to be done at all. */
static int struck_down(struct op *op)
{
	struct context *c = op->stream->context;

	if (c->failing || c->poisoned || op->gpu->lost)
		return 1;
	if (!op->fault || op->fault->action != ACT_ASYNC)
		return 0;
	gpu_xid(op->gpu, op->fault->xid);
	c->failing = (CUresult)op->fault->code;
	return 1;
}

static void hang(struct op *op)
{
	gpu_xid(op->gpu, op->fault->xid);
	gpu_busy(op->gpu, 1);
	op->hung = 1;
	for (;;)
		pthread_cond_wait(&op->stream->work, &world()->lock);
}

static void op_do(struct op *op)
{
	struct world *w = world();

	if (op->fault && op->fault->action == ACT_HANG)
		hang(op);
	if (struck_down(op) || !op->run)
		return;
	gpu_busy(op->gpu, 1);
	if (!op->launch.twin)
		done_clear();
	pthread_mutex_unlock(&w->lock);
	op->run(op);
	pthread_mutex_lock(&w->lock);
	gpu_busy(op->gpu, -1);
	if (op->fault && (op->fault->action == ACT_FLIP || op->fault->action == ACT_STUCK))
		spoil(op);
	memory_settle(op->other ? op->other : op->gpu);
}

static int op_may_run(const struct op *op)
{
	for (int i = 0; i < op->after_count; i++)
		if (!op->after[i]->done)
			return 0;
	return 1;
}

static void *worker(void *arg)
{
	struct stream *s = arg;
	struct world *w = world();

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct op *op = s->first;

		if (!op && s->abandoned)
			break;
		if (!op) {
			pthread_cond_wait(&s->work, &w->lock);
			continue;
		}
		while (!op_may_run(op))
			pthread_cond_wait(&w->progress, &w->lock);
		op_do(op);
		op->done = 1;
		s->first = op->next;
		if (op->resolved)
			op_forget(op);
		op_drop(op);
		pthread_cond_broadcast(&w->progress);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void worker_start(struct stream *s)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, worker, s))
		double_die("cannot start a thread for a stream");
	pthread_attr_destroy(&attr);
	s->has_worker = 1;
}

/*
 * The null stream waits for all streams of its context that were not made non-blocking, and they
 * for it (CUDA driver API, "stream synchronization behavior", legacy default stream).
 */
static void order_with_null_stream(struct op *op)
{
	struct stream *s = op->stream, *null_stream = s->context->null_stream;

	if (s == null_stream) {
		for (struct stream *o = all_streams; o; o = o->next)
			if (o != s && o->context == s->context && o->blocking)
				op_after(op, o->last);
	} else if (s->blocking && null_stream) {
		op_after(op, null_stream->last);
	}
}

void op_queue(struct op *op)
{
	struct stream *s = op->stream;

	order_with_null_stream(op);
	op->queued = *thread_clock();
	op->references = 3; /* until it has run, until it has its time, and as the newest */
	if (s->last) {
		s->last->next = op;
		op_drop(s->last);
	}
	s->last = op;
	if (!s->first)
		s->first = op;
	if (!s->untimed)
		s->untimed = op;
	if (!s->has_worker)
		worker_start(s);
	pthread_cond_signal(&s->work);
}

/* ---- waiting for it ------------------------------------------------------------------------ */

void op_wait(struct op *op)
{
	struct world *w = world();
	double *clock = thread_clock();

	op_hold(op);
	while (!op->done)
		pthread_cond_wait(&w->progress, &w->lock);
	timeline_resolve();
	if (op->end > *clock)
		*clock = op->end;
	op_drop(op);
}

void stream_wait(struct stream *s)
{
	if (s->last)
		op_wait(s->last);
}

void context_wait(struct context *c)
{
	for (struct stream *s = all_streams; s; s = s->next)
		if (s->context == c)
			stream_wait(s);
}

int context_idle(struct context *c)
{
	for (struct stream *s = all_streams; s; s = s->next)
		if (s->context == c && s->last && !s->last->done)
			return 0;
	return 1;
}
