/*
 * nccl_face.c - libnccl.so.2 for ranks in one process or in several, over shared memory.
 *
 * Every call becomes transfers between two ranks, each through one mailbox a pair, and a last step
 * that reduces in the order of the ranks. An operation stays pending on its stream until all its
 * transfers are done, so a rank that is missing shows as a stream that does not end. Communicators
 * always block while they are made, whatever the configuration says. Each rank has its own virtual
 * time: a straggler shows on itself only. Numbers are those of nccl.h of NCCL 2.28.
 */
#include "tests/doubles/nccl_double.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct transfer {
	int peer, is_send;
	unsigned char *at;
	size_t left;
};

/* One call: its transfers, then finish(). */
struct call {
	struct call *next;
	struct comm *comm;
	struct stream *stream;
	const struct fault *fault;
	struct transfer transfers[2 * RANKS_MOST];
	int count, type, reduction;
	const void *from;
	void *to;
	unsigned char *heap; /* what the others sent, by rank */
	size_t items, bytes;
	void (*finish)(struct call *c);
};

/* Calls between ncclGroupStart and ncclGroupEnd of this thread. */
static _Thread_local struct call *grouped, **grouped_end;
static _Thread_local int depth;

int nccl_in_group(void)
{
	return depth > 0;
}

/* ---- moving -------------------------------------------------------------------------------- */

static int transfer_step(const struct comm *c, struct transfer *t)
{
	struct mailbox *b = t->is_send ? &c->segment->boxes[c->rank][t->peer]
				       : &c->segment->boxes[t->peer][c->rank];
	size_t part = t->left < CHUNK ? t->left : CHUNK;

	if ((int)__atomic_load_n(&b->full, __ATOMIC_ACQUIRE) == t->is_send)
		return 0;
	if (t->is_send)
		memcpy(b->data, t->at, part);
	else
		memcpy(t->at, b->data, part);
	t->at += part;
	t->left -= part;
	__atomic_store_n(&b->full, (uint32_t)t->is_send, __ATOMIC_RELEASE);
	return 1;
}

/* A mailbox serves the first unfinished transfer of its pair; the others wait behind it. */
static int calls_step(struct call *first, int *moved)
{
	unsigned taken[2] = { 0, 0 };
	int open = 0;

	for (struct call *c = first; c; c = c->next)
		for (int i = 0; i < c->count; i++) {
			struct transfer *t = &c->transfers[i];

			if (!t->left)
				continue;
			open = 1;
			if (taken[t->is_send] >> t->peer & 1)
				continue;
			taken[t->is_send] |= 1u << t->peer;
			*moved |= transfer_step(c->comm, t);
		}
	return open;
}

/* With op->to the calls of one group on one stream. */
static void run_calls(struct op *op)
{
	struct call *first = op->to, *next;
	struct comm *comm = first->comm;

	for (int moved = 0; calls_step(first, &moved); moved = 0) {
		if (__atomic_load_n(&comm->segment->aborted, __ATOMIC_ACQUIRE)) {
			__atomic_store_n(&comm->failed, 1, __ATOMIC_RELEASE);
			break;
		}
		if (!moved)
			usleep(50);
	}
	for (struct call *c = first; c; c = next) {
		next = c->next;
		if (c->finish && !comm->failed)
			c->finish(c);
		free(c->heap);
		free(c);
	}
}

/* ---- reducing ------------------------------------------------------------------------------ */

enum { SUM, PROD, MAX, MIN, AVG };

#define REDUCE(name, type)                                                                         \
	static void name(void *to, const void *from, size_t n, int how)                            \
	{                                                                                          \
		type *a = to;                                                                      \
		const type *b = from;                                                              \
		for (size_t i = 0; i < n; i++)                                                     \
			a[i] = how == MAX    ? (a[i] > b[i] ? a[i] : b[i])                         \
			       : how == MIN  ? (a[i] < b[i] ? a[i] : b[i])                         \
			       : how == PROD ? (type)(a[i] * b[i])                                 \
					     : (type)(a[i] + b[i]);                                \
	}
REDUCE(reduce_i8, int8_t)
REDUCE(reduce_u8, uint8_t)
REDUCE(reduce_i32, int32_t)
REDUCE(reduce_u32, uint32_t)
REDUCE(reduce_i64, int64_t)
REDUCE(reduce_u64, uint64_t)
REDUCE(reduce_f32, float)
REDUCE(reduce_f64, double)

/* By ncclDataType_t. Half formats can be moved here, not reduced. */
static const struct {
	size_t bytes;
	void (*reduce)(void *to, const void *from, size_t n, int how);
} types[] = {
	{ 1, reduce_i8 },  { 1, reduce_u8 },  { 4, reduce_i32 }, { 4, reduce_u32 },
	{ 8, reduce_i64 }, { 8, reduce_u64 }, { 2, NULL },       { 4, reduce_f32 },
	{ 8, reduce_f64 }, { 2, NULL },
};

static void finish_reduce(struct call *c)
{
	const struct comm *m = c->comm;

	memcpy(c->heap + (size_t)m->rank * c->bytes, c->from, c->bytes);
	memcpy(c->to, c->heap, c->bytes);
	for (int r = 1; r < m->ranks; r++)
		types[c->type].reduce(c->to, c->heap + (size_t)r * c->bytes, c->items,
				      c->reduction);
}

static void finish_copy(struct call *c)
{
	memmove(c->to, c->from, c->bytes);
}

/* ---- queueing ------------------------------------------------------------------------------ */

static struct stream *stream_for(const struct comm *m, CUstream handle)
{
	struct stream *s = (struct stream *)handle;

	if (!handle)
		return m->context->null_stream;
	return s->magic == STREAM_MAGIC && s->context == m->context ? s : NULL;
}

static void transfer_add(struct call *c, int peer, int is_send, const void *at)
{
	if (c->bytes)
		c->transfers[c->count++] =
			(struct transfer){ peer, is_send, (unsigned char *)(uintptr_t)at,
					   c->bytes };
}

/* All calls of the group that go to the stream of the first, as one operation. */
static void queue_stream(void)
{
	struct stream *s = grouped->stream;
	struct call *mine = NULL, **end = &mine, **at = &grouped;
	struct op *op = op_new(s, run_calls);

	op->cost.least = world()->latencies[LATENCY_FLAG];
	op->cost.rate = world()->rates[RATE_NVL_GPU];
	while (*at) {
		struct call *c = *at;

		if (c->stream != s) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		c->next = NULL;
		*end = c;
		end = &c->next;
		op->fault = op->fault ? op->fault : c->fault;
		for (int i = 0; i < c->count; i++)
			if (c->transfers[i].is_send)
				op->cost.bytes += (double)c->bytes;
	}
	op->to = mine;
	op_queue(op);
}

static int group_flush(void)
{
	pthread_mutex_lock(&world()->lock);
	while (grouped)
		queue_stream();
	pthread_mutex_unlock(&world()->lock);
	return OK;
}

NCCL(ncclGroupStart, void)
{
	depth++;
	return OK;
}

NCCL(ncclGroupEnd, void)
{
	if (!depth)
		return INVALID_USAGE;
	return --depth ? OK : group_flush();
}

/* Checks what all calls have in common. NULL with *rc. */
static struct call *call_new(const char *name, struct comm *m, CUstream handle, size_t items,
			     int type, int *rc)
{
	struct call *c = NULL;
	struct stream *s;
	const struct fault *fault = NULL;

	*rc = !m || type < 0 || type >= (int)COUNT(types) ? INVALID_ARGUMENT : OK;
	if (*rc)
		return NULL;
	s = stream_for(m, handle);
	pthread_mutex_lock(&world()->lock);
	*rc = s ? (int)fault_meet(OP_NCCL, name, m->context->gpu, NULL, &fault) : INVALID_ARGUMENT;
	pthread_mutex_unlock(&world()->lock);
	if (!*rc && !(c = calloc(1, sizeof(*c))))
		*rc = SYSTEM;
	if (*rc)
		return NULL;
	c->comm = m;
	c->stream = s;
	c->fault = fault;
	c->items = items;
	c->type = type;
	c->bytes = items * types[type].bytes;
	return c;
}

static int call_queue(struct call *c)
{
	if (!grouped)
		grouped_end = &grouped;
	*grouped_end = c;
	grouped_end = &c->next;
	return depth ? OK : group_flush();
}

/* ---- the calls ----------------------------------------------------------------------------- */

/* `parts`: the sender has a part for each rank; else all get the same. */
static int reduce_call(const char *name, const void *from, void *to, size_t items, int type,
		       int how, struct comm *m, CUstream stream, int parts)
{
	int rc;
	struct call *c = call_new(name, m, stream, items, type, &rc);

	if (!c)
		return rc;
	if (!types[type].reduce || how < SUM || how > MIN) {
		free(c);
		return INVALID_ARGUMENT;
	}
	c->heap = malloc((size_t)m->ranks * c->bytes + 1);
	if (!c->heap)
		double_die("out of memory");
	for (int r = 0; r < m->ranks; r++) {
		if (r == m->rank)
			continue;
		transfer_add(c, r, 1, (const char *)from + (parts ? (size_t)r * c->bytes : 0));
		transfer_add(c, r, 0, c->heap + (size_t)r * c->bytes);
	}
	c->from = (const char *)from + (parts ? (size_t)m->rank * c->bytes : 0);
	c->to = to;
	c->reduction = how;
	c->finish = finish_reduce;
	return call_queue(c);
}

NCCL(ncclAllReduce, const void *from, void *to, size_t items, int type, int how, struct comm *m,
     CUstream stream)
{
	return reduce_call("AllReduce", from, to, items, type, how, m, stream, 0);
}

NCCL(ncclReduceScatter, const void *from, void *to, size_t items, int type, int how, struct comm *m,
     CUstream stream)
{
	return reduce_call("ReduceScatter", from, to, items, type, how, m, stream, 1);
}

NCCL(ncclAllGather, const void *from, void *to, size_t items, int type, struct comm *m,
     CUstream stream)
{
	int rc;
	struct call *c = call_new("AllGather", m, stream, items, type, &rc);

	if (!c)
		return rc;
	for (int r = 0; r < m->ranks; r++) {
		if (r == m->rank)
			continue;
		transfer_add(c, r, 1, from);
		transfer_add(c, r, 0, (char *)to + (size_t)r * c->bytes);
	}
	c->from = from;
	c->to = (char *)to + (size_t)m->rank * c->bytes;
	c->finish = finish_copy;
	return call_queue(c);
}

NCCL(ncclBroadcast, const void *from, void *to, size_t items, int type, int root, struct comm *m,
     CUstream stream)
{
	int rc;
	struct call *c = call_new("Broadcast", m, stream, items, type, &rc);

	if (!c)
		return rc;
	if (m->rank != root)
		transfer_add(c, root, 0, to);
	for (int r = 0; r < m->ranks && m->rank == root; r++)
		if (r != root)
			transfer_add(c, r, 1, from);
	c->from = m->rank == root ? from : to;
	c->to = to;
	c->finish = finish_copy;
	return call_queue(c);
}

static int one_way(const char *name, const void *at, size_t items, int type, int peer, int is_send,
		   struct comm *m, CUstream stream)
{
	int rc;
	struct call *c = call_new(name, m, stream, items, type, &rc);

	if (!c)
		return rc;
	if (peer < 0 || peer >= m->ranks || peer == m->rank) { /* to oneself is not modelled */
		free(c);
		return INVALID_ARGUMENT;
	}
	transfer_add(c, peer, is_send, at);
	return call_queue(c);
}

NCCL(ncclSend, const void *from, size_t items, int type, int peer, struct comm *m, CUstream stream)
{
	return one_way("Send", from, items, type, peer, 1, m, stream);
}

NCCL(ncclRecv, void *to, size_t items, int type, int peer, struct comm *m, CUstream stream)
{
	return one_way("Recv", to, items, type, peer, 0, m, stream);
}
