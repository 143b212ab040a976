/*
 * nccl_comm.c - communicators of the NCCL face: made, asked, aborted, given back.
 *
 * The segment is named by the unique id and loses its name when the last rank has come, so that
 * nothing is left in /dev/shm; one that never becomes complete is removed by the process that made
 * the id, when it ends.
 */
#include "tests/doubles/nccl_double.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { VERSION = 22809, IDS_MOST = 256 };

typedef struct {
	char name[128];
} ncclUniqueId;

static struct {
	char names[IDS_MOST][64];
	int count;
} made; /* guarded by the lock of the world */

static void __attribute__((destructor)) segments_remove(void)
{
	for (int i = 0; i < made.count; i++)
		shm_unlink(made.names[i]);
}

NCCL(ncclGetVersion, int *version)
{
	*version = VERSION;
	return OK;
}

FACE const char *ncclGetErrorString(int code);
const char *ncclGetErrorString(int code)
{
	static const char *const words[] = {
		"no error",
		"unhandled cuda error",
		"unhandled system error",
		"internal error",
		"invalid argument",
		"invalid usage",
		"remote process exited or there was a network error",
		"NCCL operation in progress",
	};

	return code >= 0 && code < (int)COUNT(words) ? words[code] : "unknown result code";
}

FACE const char *ncclGetLastError(struct comm *c);
const char *ncclGetLastError(struct comm *c)
{
	return c && c->failed ? "a rank aborted" : "";
}

NCCL(ncclGetUniqueId, ncclUniqueId *id)
{
	char *name = id->name;
	int n, fd;

	memset(id, 0, sizeof(*id));
	pthread_mutex_lock(&world()->lock);
	n = made.count < IDS_MOST ? made.count++ : -1;
	if (n >= 0) {
		snprintf(made.names[n], sizeof(made.names[n]), "/assay-nccl-%d-%d", (int)getpid(),
			 n);
		strcpy(name, made.names[n]);
	}
	pthread_mutex_unlock(&world()->lock);
	fd = n < 0 ? -1 : shm_open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct segment)) < 0)
		n = -1;
	if (fd >= 0)
		close(fd);
	return n < 0 ? SYSTEM : OK;
}

static struct segment *segment_open(const char *name)
{
	int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0600);
	void *p = MAP_FAILED;

	if (fd >= 0) {
		p = mmap(NULL, sizeof(struct segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	return p == MAP_FAILED ? NULL : p;
}

/* Waits for all ranks, as the real one does; in a group one thread makes several, and cannot. */
NCCL(ncclCommInitRank, struct comm **out, int ranks, ncclUniqueId id, int rank)
{
	struct comm *c;

	if (!out || ranks < 1 || ranks > RANKS_MOST || rank < 0 || rank >= ranks)
		return INVALID_ARGUMENT;
	if (!current || !current->retained)
		return UNHANDLED_CUDA;
	c = calloc(1, sizeof(*c));
	if (!c)
		return SYSTEM;
	c->segment = segment_open(id.name);
	c->context = current;
	c->rank = rank;
	c->ranks = ranks;
	if (!c->segment) {
		free(c);
		return SYSTEM;
	}
	if (__atomic_add_fetch(&c->segment->attached, 1, __ATOMIC_ACQ_REL) == (uint32_t)ranks)
		shm_unlink(id.name);
	while (!nccl_in_group() &&
	       __atomic_load_n(&c->segment->attached, __ATOMIC_ACQUIRE) < (uint32_t)ranks)
		usleep(200);
	*out = c;
	return OK;
}

NCCL(ncclCommInitRankConfig, struct comm **out, int ranks, ncclUniqueId id, int rank, void *config)
{
	(void)config;
	return ncclCommInitRank(out, ranks, id, rank);
}

static int comm_end(struct comm *c, int aborts)
{
	if (!c)
		return INVALID_ARGUMENT;
	if (aborts)
		__atomic_store_n(&c->segment->aborted, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&world()->lock);
	context_wait(c->context);
	pthread_mutex_unlock(&world()->lock);
	munmap(c->segment, sizeof(struct segment));
	free(c);
	return OK;
}

NCCL(ncclCommDestroy, struct comm *c)
{
	return comm_end(c, 0);
}

NCCL(ncclCommAbort, struct comm *c)
{
	return comm_end(c, 1);
}

NCCL(ncclCommFinalize, struct comm *c)
{
	return c ? OK : INVALID_ARGUMENT;
}

NCCL(ncclCommGetAsyncError, struct comm *c, int *code)
{
	if (!c || !code)
		return INVALID_ARGUMENT;
	*code = __atomic_load_n(&c->failed, __ATOMIC_ACQUIRE) ? REMOTE : OK;
	return OK;
}

NCCL(ncclCommCount, const struct comm *c, int *ranks)
{
	*ranks = c->ranks;
	return OK;
}

NCCL(ncclCommUserRank, const struct comm *c, int *rank)
{
	*rank = c->rank;
	return OK;
}
