/*
 * test_gpu_nccl.c - what is taken for granted of NCCL, by four ranks in threads; asked of whatever
 * libnccl.so.2 the loader finds.
 */
#include "tests/unit/gpu_here.h"

#include <pthread.h>

enum { RANKS = 4, ITEMS = 50000, NCCL_INT32 = 2, NCCL_SUM = 0 };

struct nccl_id {
	char bytes[128];
};

struct nccl {
	int (*GetUniqueId)(struct nccl_id *);
	int (*CommInitRank)(void **, int, struct nccl_id, int);
	int (*AllReduce)(const void *, void *, size_t, int, int, void *, CUstream);
	int (*ReduceScatter)(const void *, void *, size_t, int, int, void *, CUstream);
	int (*AllGather)(const void *, void *, size_t, int, void *, CUstream);
	int (*Broadcast)(const void *, void *, size_t, int, int, void *, CUstream);
	int (*Send)(const void *, size_t, int, int, void *, CUstream);
	int (*Recv)(void *, size_t, int, int, void *, CUstream);
	int (*GroupStart)(void);
	int (*GroupEnd)(void);
	int (*CommDestroy)(void *);
	int (*CommAbort)(void *);
	int (*CommGetAsyncError)(void *, int *);
};

static int nccl_load(struct nccl *n)
{
	void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
	static const struct {
		const char *name;
		size_t at;
	} rows[] = {
#define ROW(name) { "nccl" #name, offsetof(struct nccl, name) }
		ROW(GetUniqueId),       ROW(CommInitRank), ROW(AllReduce),   ROW(ReduceScatter),
		ROW(AllGather),         ROW(Broadcast),    ROW(Send),        ROW(Recv),
		ROW(GroupStart),        ROW(GroupEnd),     ROW(CommDestroy), ROW(CommAbort),
		ROW(CommGetAsyncError),
	};

	for (size_t i = 0; library && i < ARRAY_SIZE(rows); i++) {
		void *address = dlsym(library, rows[i].name);

		if (!address)
			return -1;
		memcpy((char *)n + rows[i].at, &address, sizeof(address));
	}
	return library ? 0 : -1;
}

/* One rank, on a thread or in a process of its own. Returns the line that failed, 0: none. */
struct nccl_rank {
	struct gpu_here g;
	struct nccl n;
	struct nccl_id id;
	int rank, ranks, line;
	void *comm;
	CUstream s;
	CUdeviceptr from, to;
	int32_t *host;
};

#define RANK_MUST(condition)                                                                       \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

static int rank_put(struct nccl_rank *r)
{
	for (int i = 0; i < ITEMS * r->ranks; i++)
		r->host[i] = i * (r->rank + 1);
	RANK_MUST(!r->g.cu.MemcpyHtoD(r->from, r->host, 4 * (size_t)(ITEMS * r->ranks)));
	return 0;
}

static int rank_collectives(struct nccl_rank *r)
{
	const int all = r->ranks * (r->ranks + 1) / 2;
	const void *from = (void *)(uintptr_t)r->from;
	void *to = (void *)(uintptr_t)r->to;
	int32_t *got = malloc(4 * (size_t)(ITEMS * r->ranks));
	int bad = 0, n = ITEMS, k = r->ranks;

	RANK_MUST(got);
	RANK_MUST(!r->n.AllReduce(from, to, (size_t)n, NCCL_INT32, NCCL_SUM, r->comm, r->s));
	RANK_MUST(!r->g.cu.StreamSynchronize(r->s));
	RANK_MUST(!r->g.cu.MemcpyDtoH(got, r->to, 4 * (size_t)n));
	for (int i = 0; i < n; i++)
		bad |= got[i] != i * all;
	RANK_MUST(!r->n.ReduceScatter(from, to, (size_t)n, NCCL_INT32, NCCL_SUM, r->comm, r->s));
	RANK_MUST(!r->g.cu.StreamSynchronize(r->s));
	RANK_MUST(!r->g.cu.MemcpyDtoH(got, r->to, 4 * (size_t)n));
	for (int i = 0; i < n; i++)
		bad |= (got[i] != (r->rank * n + i) * all) << 1;
	RANK_MUST(!r->n.AllGather(from, to, (size_t)n, NCCL_INT32, r->comm, r->s));
	RANK_MUST(!r->g.cu.StreamSynchronize(r->s));
	RANK_MUST(!r->g.cu.MemcpyDtoH(got, r->to, 4 * (size_t)(n * k)));
	for (int i = 0; i < n * k; i++)
		bad |= (got[i] != i % n * (i / n + 1)) << 2;
	RANK_MUST(!r->n.Broadcast(from, to, (size_t)n, NCCL_INT32, k - 1, r->comm, r->s));
	RANK_MUST(!r->g.cu.StreamSynchronize(r->s));
	RANK_MUST(!r->g.cu.MemcpyDtoH(got, r->to, 4 * (size_t)n));
	for (int i = 0; i < n; i++)
		bad |= (got[i] != i * k) << 3;
	free(got);
	RANK_MUST(!bad);
	return 0;
}

/* A ring: all send before any receives, which only a group can do. */
static int rank_ring(struct nccl_rank *r)
{
	int next = (r->rank + 1) % r->ranks, last = (r->rank + r->ranks - 1) % r->ranks, bad = 0;

	RANK_MUST(!r->n.GroupStart());
	RANK_MUST(!r->n.Send((void *)(uintptr_t)r->from, ITEMS, NCCL_INT32, next, r->comm, r->s));
	RANK_MUST(!r->n.Recv((void *)(uintptr_t)r->to, ITEMS, NCCL_INT32, last, r->comm, r->s));
	RANK_MUST(!r->n.GroupEnd());
	RANK_MUST(!r->g.cu.StreamSynchronize(r->s));
	RANK_MUST(!r->g.cu.MemcpyDtoH(r->host, r->to, 4 * (size_t)ITEMS));
	for (int i = 0; i < ITEMS; i++)
		bad |= r->host[i] != i * (last + 1);
	RANK_MUST(!bad);
	return 0;
}

static int rank_open(struct nccl_rank *r)
{
	size_t bytes = 4 * (size_t)(ITEMS * r->ranks);

	RANK_MUST(!start(&r->g, r->rank));
	r->host = calloc(1, bytes);
	RANK_MUST(r->host && !r->g.cu.StreamCreate(&r->s, CU_STREAM_NON_BLOCKING));
	RANK_MUST(!r->g.cu.MemAlloc(&r->from, bytes) && !r->g.cu.MemAlloc(&r->to, bytes));
	RANK_MUST(!rank_put(r));
	RANK_MUST(!r->n.CommInitRank(&r->comm, r->ranks, r->id, r->rank));
	return 0;
}

static void rank_close(struct nccl_rank *r)
{
	free(r->host);
	r->g.cu.MemFree(r->from);
	r->g.cu.MemFree(r->to);
	r->g.cu.DevicePrimaryCtxRelease(r->g.device);
}

static void *rank_run(void *arg)
{
	struct nccl_rank *r = arg;

	r->line = rank_open(r);
	if (!r->line)
		r->line = rank_collectives(r);
	if (!r->line)
		r->line = rank_ring(r);
	if (!r->line && r->n.CommDestroy(r->comm))
		r->line = __LINE__;
	rank_close(r);
	return NULL;
}

static void test_nccl(void **state)
{
	struct gpu_here *g = here(state);
	struct nccl_rank ranks[RANKS] = { 0 };
	pthread_t threads[RANKS];
	struct nccl n;
	struct nccl_id id;
	int count = 0;

	g->cu.DeviceGetCount(&count);
	if (count < RANKS || nccl_load(&n) < 0) {
		print_message("no NCCL, or fewer than %d GPUs: not tested\n", RANKS);
		skip();
	}
	assert_int_equal(n.GetUniqueId(&id), 0);
	for (int i = 0; i < RANKS; i++) {
		ranks[i] = (struct nccl_rank){ .g = *g, .n = n, .id = id, .rank = i };
		ranks[i].ranks = RANKS;
		assert_int_equal(pthread_create(&threads[i], NULL, rank_run, &ranks[i]), 0);
	}
	for (int i = 0; i < RANKS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < RANKS; i++)
		assert_int_equal(ranks[i].line, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nccl) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
