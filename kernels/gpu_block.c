/*
 * gpu_block.c - fills blocks with data that are different everywhere, and compares them.
 *
 * Each memory is filled and compared by its own processors: what arrived is judged by the side
 * where it arrived, so that a wrong read on the way back is not taken for a wrong copy.
 */
#include "kernels/gpu_block.h"

#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS_A_THREAD = 8, CLEARED = 0x5a };
enum { SHARE = 16 << 20 }; /* bytes of host memory that are worth a thread */

static unsigned differing_bytes(uint64_t difference)
{
	unsigned n = 0;

	for (; difference; difference >>= 8)
		n += (difference & 0xff) != 0;
	return n;
}

static uint64_t first_byte(uint64_t index, uint64_t difference)
{
	return index * 8 + (unsigned)__builtin_ctzll(difference) / 8;
}

/* ---- host memory --------------------------------------------------------------------------- */

struct host_work {
	uint64_t *words, count, seed;
	int compare, threads;
	struct gpu_block_wrong *wrong; /* of each thread */
};

static void host_compare(const struct host_work *work, uint64_t from, uint64_t end,
			 struct gpu_block_wrong *wrong)
{
	for (uint64_t i = from; i < end; i++) {
		const uint64_t differs = work->words[i] ^ gpu_unique(work->seed, i);

		if (differs && wrong->bytes == 0)
			wrong->first = first_byte(i, differs);
		wrong->bytes += differing_bytes(differs);
	}
}

static void host_thread(void *arg, int index)
{
	struct host_work *work = arg;
	const uint64_t from = work->count * (uint64_t)index / (uint64_t)work->threads;
	const uint64_t end = work->count * (uint64_t)(index + 1) / (uint64_t)work->threads;

	if (work->compare)
		host_compare(work, from, end, &work->wrong[index]);
	else
		for (uint64_t i = from; i < end; i++)
			work->words[i] = gpu_unique(work->seed, i);
}

/* By the processors of the memory's NUMA node if it has any, in as many threads as it is worth. */
static int host_run(struct machine *m, struct host_work *work, int numa, struct error *err)
{
	const struct host_numa *node = machine_numa(m, numa);
	const int near = node && node->cpu_count > 0;
	const int cpus = near ? node->cpu_count : m->host.cpu_count;
	const uint64_t shares = work->count * 8 / SHARE;
	int rc = 0;

	work->threads = shares < (uint64_t)cpus ? (int)shares : cpus;
	/* the processors of a recorded machine are not those of this one */
	if (m->root[0] || work->threads < 1)
		work->threads = 1;
	work->wrong = xcalloc((size_t)work->threads, sizeof(*work->wrong));
	if (work->threads > 1)
		rc = threads_run(near ? node->cpus : m->host.cpus, work->threads, host_thread, work,
				 err);
	else
		host_thread(work, 0);
	return rc;
}

static int host_data(struct gpu_bag *bag, const struct gpu_block *b, struct host_work *work,
		     struct gpu_block_wrong *wrong, struct error *err)
{
	int rc;

	work->words = (uint64_t *)(void *)b->host;
	rc = host_run(bag->m, work, b->numa, err);
	for (int i = work->threads - 1; i >= 0 && rc == 0; i--) {
		wrong->bytes += work->wrong[i].bytes;
		if (work->wrong[i].bytes)
			wrong->first = work->wrong[i].first;
	}
	free(work->wrong);
	return rc;
}

/* ---- GPU memory ---------------------------------------------------------------------------- */

static unsigned blocks_for(const struct gpu_block *b, uint64_t words)
{
	return gpu_blocks(b->g, words, WORDS_A_THREAD);
}

static int fill_on_gpu(struct gpu_bag *bag, const struct gpu_block *b, uint64_t seed,
		       struct error *err)
{
	CUdeviceptr at = b->at;
	uint64_t words = b->bytes / 8, first = 0;
	void *args[] = { &at, &words, &seed, &first, NULL };

	if (gpu_current(b->g, err) < 0 ||
	    gpu_launch(b->g, b->stream, "fill_unique", blocks_for(b, words), GPU_THREADS, args,
		       err) < 0)
		return -1;
	return gpu_bag_wait(bag, b->g, b->stream, 0, err);
}

static int clear_on_gpu(struct gpu_bag *bag, const struct gpu_block *b, struct error *err)
{
	if (gpu_current(b->g, err) < 0 ||
	    gpu_check(b->g, b->g->cuda->MemsetD8Async(b->at, CLEARED, b->bytes, b->stream), err,
		      "clearing its buffers") < 0)
		return -1;
	return gpu_bag_wait(bag, b->g, b->stream, 0, err);
}

static void count_wrong(const struct device_wrong *list, struct gpu_block_wrong *wrong)
{
	uint64_t kept = list->kept < DEVICE_WRONG_KEPT ? list->kept : DEVICE_WRONG_KEPT;

	for (uint64_t i = 0; i < kept; i++) {
		const uint64_t differs = list->first[i].expected ^ list->first[i].actual;
		const uint64_t at = differs ? first_byte(list->first[i].index, differs) : 0;

		if (wrong->bytes == 0 || at < wrong->first)
			wrong->first = at;
		wrong->bytes += differs ? differing_bytes(differs) : 8;
	}
	wrong->bytes += 8 * (list->count - kept);
}

static int compare_on_gpu(struct gpu_bag *bag, const struct gpu_block *b, uint64_t words,
			  uint64_t seed, struct gpu_block_wrong *wrong, struct error *err)
{
	const struct cuda *cuda = b->g->cuda;
	struct device_wrong list;
	CUdeviceptr at = b->at, kept;
	uint64_t first = 0;
	void *args[] = { &at, &words, &seed, &first, &kept, NULL };

	if (gpu_bag_memory(bag, b->g, sizeof(list), &kept, err) < 0 ||
	    gpu_check(b->g, cuda->MemsetD8Async(kept, 0, sizeof(list), b->stream), err,
		      "clearing the list of mismatches") < 0 ||
	    gpu_launch(b->g, b->stream, "check_unique", blocks_for(b, words), GPU_THREADS, args,
		       err) < 0 ||
	    gpu_bag_wait(bag, b->g, b->stream, 0, err) < 0 ||
	    gpu_check(b->g, cuda->MemcpyDtoH(&list, kept, sizeof(list)), err,
		      "reading the list of mismatches") < 0)
		return -1;
	count_wrong(&list, wrong);
	return 0;
}

/* ---- either -------------------------------------------------------------------------------- */

int gpu_block_fill(struct gpu_bag *bag, const struct gpu_block *b, uint64_t seed, struct error *err)
{
	struct host_work work = { .count = b->bytes / 8, .seed = seed };
	struct gpu_block_wrong none = { 0 };

	if (b->g)
		return fill_on_gpu(bag, b, seed, err);
	return host_data(bag, b, &work, &none, err);
}

int gpu_block_clear(struct gpu_bag *bag, const struct gpu_block *b, struct error *err)
{
	if (b->g)
		return clear_on_gpu(bag, b, err);
	memset(b->host, CLEARED, b->bytes);
	return 0;
}

int gpu_block_compare(struct gpu_bag *bag, const struct gpu_block *b, uint64_t bytes, uint64_t seed,
		      struct gpu_block_wrong *wrong, struct error *err)
{
	struct host_work work = { .count = bytes / 8, .seed = seed, .compare = 1 };

	*wrong = (struct gpu_block_wrong){ 0 };
	if (b->g)
		return compare_on_gpu(bag, b, bytes / 8, seed, wrong, err);
	return host_data(bag, b, &work, wrong, err);
}
