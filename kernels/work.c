/*
 * work.c - pinned threads and placed memory, for the host loads.
 *
 * A block lies between two guard pages, so that the kernel never joins it with a neighbour: what
 * /proc/self/smaps says of its mappings is then said of this block alone, and a load that runs over
 * its end faults. Nothing is reserved that cannot be had: a node bound by policy would otherwise
 * answer a lack of memory with the OOM killer, and a pool of huge pages with SIGBUS.
 */
#include "kernels/work.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older ones refuse it, which is handled */
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26) /* log2 of the size, shifted by MAP_HUGE_SHIFT */
#endif

static const uint64_t huge_page = 2 << 20;
static const uint64_t guard = 64 << 10; /* a multiple of every page size in use */
static const uint64_t headroom = 256
				 << 20; /* for the program, the kernel's tables and the others */

static uint64_t mapped_bytes(const struct pages *p)
{
	return (p->bytes + huge_page - 1) / huge_page * huge_page;
}

/* The figure in "KEY  123 kB", anywhere in a text of the kernel's. 0, or -1 if it is not there. */
static int kib_of(const char *text, const char *key, uint64_t *bytes)
{
	const char *at = strstr(text, key);
	unsigned long long kib;

	if (!at || sscanf(at + strlen(key), " %llu", &kib) != 1)
		return -1;
	*bytes = kib * 1024;
	return 0;
}

/* Free, and held by the page cache without being shared memory. -1 when the text does not say. */
static int read_available(const char *meminfo, uint64_t *bytes)
{
	uint64_t unused, cached, shared;

	if (kib_of(meminfo, "MemFree:", &unused) < 0 ||
	    kib_of(meminfo, "FilePages:", &cached) < 0 || kib_of(meminfo, "Shmem:", &shared) < 0)
		return -1;
	*bytes = unused + (cached > shared ? cached - shared : 0);
	return 0;
}

/* What a NUMA node could still give. */
static int numa_available(struct machine *m, int numa, uint64_t *bytes, struct error *err)
{
	char *path = machine_path(m, "/sys/devices/system/node/node%d/meminfo", numa);
	size_t len;
	char *text = file_read(path, 1 << 16, &len, err);
	int rc = text ? 0 : -1;

	if (text && read_available(text, bytes) < 0)
		rc = error_set(err, "%s does not say how much memory is free", path);
	free(text);
	free(path);
	return rc;
}

/* The machine's own figure was read when it was opened; others may have taken memory since. */
static int available(struct machine *m, int numa, uint64_t *bytes, struct error *err)
{
	size_t len;
	char *text = file_read("/proc/meminfo", 1 << 16, &len, err);
	uint64_t now, node = 0;

	if (!text)
		return -1;
	*bytes = m->host.memory_available;
	if (kib_of(text, "MemAvailable:", &now) == 0 && now < *bytes)
		*bytes = now;
	free(text);
	if (numa < 0 || m->host.numa_count < 2)
		return 0;
	if (numa_available(m, numa, &node, err) < 0)
		return -1;
	if (node < *bytes)
		*bytes = node;
	return 0;
}

static int check_room(struct machine *m, uint64_t bytes, int numa, struct error *err)
{
	char asked[32], there[32], kept[32], where[32] = "";
	uint64_t room;

	if (available(m, numa, &room, err) < 0)
		return -1;
	if (bytes <= room && room - bytes >= headroom)
		return 0;
	bytes_text(bytes, asked, sizeof(asked));
	bytes_text(room, there, sizeof(there));
	bytes_text(headroom, kept, sizeof(kept));
	if (numa >= 0)
		snprintf(where, sizeof(where), " on NUMA node %d", numa);
	return error_set(err,
			 "%s of memory asked for%s, but %s are available, of which %s stay free",
			 asked, where, there, kept);
}

static int bind_to(struct machine *m, struct pages *p, int numa, struct error *err)
{
	hwloc_bitmap_t nodes;
	int rc;

	/* containers may forbid mbind, and with one node there is nothing to choose */
	if (numa < 0 || m->host.numa_count < 2)
		return 0;
	nodes = hwloc_bitmap_alloc();
	if (!nodes || hwloc_bitmap_only(nodes, numa) < 0) {
		hwloc_bitmap_free(nodes);
		return error_set(err, "out of memory for a set of NUMA nodes");
	}
	rc = hwloc_set_area_membind(m->topology, p->base, mapped_bytes(p), nodes,
				    HWLOC_MEMBIND_BIND,
				    HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_STRICT);
	hwloc_bitmap_free(nodes);
	if (rc < 0)
		return error_sys(err, "memory cannot be bound to NUMA node %d", numa);
	return 0;
}

static int map_over(const struct pages *p, int flags)
{
	void *got = mmap(p->base, mapped_bytes(p), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);

	return got == MAP_FAILED ? -1 : 0;
}

/*
 * The pool of huge pages is per node but reserved as a whole, so a page may still be missing when
 * it is touched. They are therefore all made here, where their lack is an answer and not a signal.
 */
static int map_hugetlb(struct machine *m, struct pages *p, int numa)
{
	struct error why;

	if (map_over(p, MAP_HUGETLB | MAP_HUGE_2MB) < 0)
		return -1;
	if (bind_to(m, p, numa, &why) < 0)
		return -1;
	return madvise(p->base, mapped_bytes(p), MADV_POPULATE_WRITE);
}

static int map_plain(struct machine *m, struct pages *p, int numa, struct error *err)
{
	char asked[32];

	if (check_room(m, mapped_bytes(p), numa, err) < 0)
		return -1;
	if (map_over(p, 0) < 0) {
		bytes_text(p->bytes, asked, sizeof(asked));
		return error_sys(err, "%s of memory cannot be mapped", asked);
	}
	/* a kernel built without huge pages refuses; the share that is counted later says so */
	(void)madvise(p->base, mapped_bytes(p), MADV_HUGEPAGE);
	return bind_to(m, p, numa, err);
}

/* Takes the addresses: a guard, the block at a multiple of 2 MiB, a guard. */
static int map_addresses(struct pages *p, struct error *err)
{
	uint64_t inner = mapped_bytes(p), all = inner + huge_page + 2 * guard;
	unsigned char *raw, *end;
	char asked[32];

	raw = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED) {
		bytes_text(p->bytes, asked, sizeof(asked));
		return error_sys(err, "no address space for %s of memory", asked);
	}
	p->base =
		(unsigned char *)(((uintptr_t)raw + guard + huge_page - 1) / huge_page * huge_page);
	end = p->base + inner + guard;
	if (p->base - guard > raw)
		munmap(raw, p->base - guard - raw);
	if (raw + all > end)
		munmap(end, raw + all - end);
	return 0;
}

int pages_alloc(struct machine *m, struct pages *p, uint64_t bytes, int numa, struct error *err)
{
	*p = (struct pages){ .bytes = bytes };
	if (m->root[0])
		return error_set(err, "%s is a recorded machine, and no load can run on it",
				 m->root);
	if (bytes == 0 || bytes > UINT64_MAX / 4)
		return error_set(err, "%llu is no size for a block of memory",
				 (unsigned long long)bytes);
	if (numa >= 0 && !machine_numa(m, numa))
		return error_set(err, "there is no NUMA node %d", numa);
	if (map_addresses(p, err) < 0) {
		p->base = NULL;
		return -1;
	}
	if (map_hugetlb(m, p, numa) == 0)
		return 0;
	if (map_plain(m, p, numa, err) == 0)
		return 0;
	pages_free(p);
	return -1;
}

void pages_free(struct pages *p)
{
	if (p->base)
		munmap(p->base - guard, mapped_bytes(p) + 2 * guard);
	*p = (struct pages){ 0 };
}

/* Lines of smaps; Rss counts transparent huge pages, but not those of hugetlb. */
static const struct {
	const char *key;
	int huge, present;
} page_counts[] = {
	{ "Rss:", 0, 1 },
	{ "AnonHugePages:", 1, 0 },
	{ "Private_Hugetlb:", 1, 1 },
	{ "Shared_Hugetlb:", 1, 1 },
};

void pages_count_huge(struct pages *p)
{
	uint64_t huge = 0, present = 0, bytes;
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	char line[512];
	int ours = 0;

	p->huge_share = 0;
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = from >= (uintptr_t)p->base &&
			       to <= (uintptr_t)p->base + mapped_bytes(p);
		for (size_t i = 0; ours && i < ARRAY_SIZE(page_counts); i++) {
			if (kib_of(line, page_counts[i].key, &bytes) < 0)
				continue;
			huge += page_counts[i].huge ? bytes : 0;
			present += page_counts[i].present ? bytes : 0;
		}
	}
	fclose(f);
	if (present)
		p->huge_share = (double)huge / present;
}

enum go { WAIT, GO, GIVE_UP };

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t arrived, start;
	int there;
	enum go go;
	void (*fn)(void *arg, int index);
	void *arg;
};

struct worker {
	struct crew *crew;
	int index;
	pthread_t thread;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct crew *crew = w->crew;
	enum go go;

	pthread_mutex_lock(&crew->lock);
	crew->there++;
	pthread_cond_signal(&crew->arrived);
	while (crew->go == WAIT)
		pthread_cond_wait(&crew->start, &crew->lock);
	go = crew->go;
	pthread_mutex_unlock(&crew->lock);
	if (go == GO)
		crew->fn(crew->arg, w->index);
	return NULL;
}

/* Starts a thread that never runs anywhere but on `cpu`. 0, or an errno. */
static int worker_start(struct worker *w, int cpu)
{
	size_t size = CPU_ALLOC_SIZE(cpu + 1);
	cpu_set_t *only = CPU_ALLOC(cpu + 1);
	pthread_attr_t attr;
	int code = only ? pthread_attr_init(&attr) : ENOMEM;

	if (code == 0) {
		CPU_ZERO_S(size, only);
		CPU_SET_S(cpu, size, only);
		code = pthread_attr_setaffinity_np(&attr, size, only);
		if (code == 0)
			code = pthread_create(&w->thread, &attr, worker_main, w);
		pthread_attr_destroy(&attr);
	}
	if (only)
		CPU_FREE(only);
	return code;
}

static void let_go(struct crew *crew, int count, enum go go)
{
	pthread_mutex_lock(&crew->lock);
	while (crew->there < count)
		pthread_cond_wait(&crew->arrived, &crew->lock);
	crew->go = go;
	pthread_cond_broadcast(&crew->start);
	pthread_mutex_unlock(&crew->lock);
}

int threads_run(const int *cpus, int count, void (*fn)(void *arg, int index), void *arg,
		struct error *err)
{
	struct crew crew = { .lock = PTHREAD_MUTEX_INITIALIZER,
			     .arrived = PTHREAD_COND_INITIALIZER,
			     .start = PTHREAD_COND_INITIALIZER,
			     .fn = fn,
			     .arg = arg };
	struct worker *workers;
	int made = 0, code = 0;

	if (count < 1)
		return error_set(err, "no processor is allowed to run the load");
	workers = xcalloc(count, sizeof(*workers));
	for (; made < count; made++) {
		workers[made] = (struct worker){ .crew = &crew, .index = made };
		code = worker_start(&workers[made], cpus[made]);
		if (code)
			break;
	}
	let_go(&crew, made, code ? GIVE_UP : GO);
	for (int i = 0; i < made; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
	if (code == 0)
		return 0;
	errno = code;
	return error_sys(err, "a thread cannot be started on processor %d", cpus[made]);
}
