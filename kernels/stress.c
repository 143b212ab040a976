/*
 * stress.c - fills, moves and verifies memory until its time is over.
 *
 * After each pass the threads of a NUMA node move on by one slice, so what one processor has
 * written is verified by another: a processor that computes the pattern wrongly would otherwise
 * agree with itself. A mismatch counts each time it is seen; a bad cell is seen by most patterns
 * and by several passes.
 */
#include "kernels/patterns.h"
#include "kernels/work.h"

#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAGE = 4096, LINE = 64 };

struct region { /* the memory of one NUMA node and the threads that test it */
	const struct host_numa *numa;
	struct pages pages;
	uint64_t bytes; /* whole pages, what is tested */
	int first;      /* index of its first thread */
};

struct slice {
	unsigned char *base;
	uint64_t bytes;
};

struct lane { /* one thread; lanes do not share a cache line */
	struct stress_run *run;
	const struct region *region;
	int cpu;
	uint64_t verified, mismatches;
} __attribute__((aligned(2 * LINE)));

struct stress_run {
	struct machine *m;
	struct memory_stress *job;
	const struct pattern_engine *engine;
	struct region *regions;
	int region_count;
	struct lane *lanes;
	int *cpus;
	int threads;
	int flush; /* so little memory that caches could answer for it */

	/* set by thread 0 while all others wait */
	pthread_barrier_t barrier;
	uint64_t random;
	double start;
	const struct pattern *pattern; /* NULL before the first */
	struct pattern_data data;
	unsigned turn, round; /* passes and rounds so far */
	int moved;            /* the blocks of each slice lie in reverse order */
	int over;             /* by time, but never within the first round */

	pthread_mutex_t lock; /* of job->first and: */
	atomic_int kept;
};

/* ---- mismatches ------------------------------------------------------------------------------ */

/* Where a page lies in the machine, or 0: only root is told. Linux, admin-guide/mm/pagemap.rst. */
static uint64_t physical_of(const void *at)
{
	const uint64_t virtual = (uintptr_t)at;
	const long page = sysconf(_SC_PAGESIZE);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0, frame;
	ssize_t got;

	if (fd < 0)
		return 0;
	got = pread(fd, &entry, sizeof(entry), (off_t)(virtual / (uint64_t)page * sizeof(entry)));
	close(fd);
	frame = entry & ((UINT64_C(1) << 55) - 1);
	if (got != sizeof(entry) || !(entry >> 63) || frame == 0)
		return 0;
	return frame * (uint64_t)page + virtual % (uint64_t)page;
}

static uint64_t read_again(const uint64_t *at)
{
	_mm_clflush(at);
	_mm_mfence();
	return *(const volatile uint64_t *)at;
}

static int already_kept(const struct memory_stress *job, int kept, const uint64_t *at,
			const char *pattern)
{
	for (int i = 0; i < kept; i++)
		if (job->first[i].virtual_address == (uintptr_t)at &&
		    job->first[i].pattern == pattern)
			return 1;
	return 0;
}

static void differs(void *arg, const uint64_t *at, uint64_t expected, uint64_t actual)
{
	struct lane *lane = arg;
	struct stress_run *run = lane->run;
	int kept;

	lane->mismatches++;
	if (atomic_load(&run->kept) == MISMATCHES_KEPT)
		return;
	pthread_mutex_lock(&run->lock);
	kept = atomic_load(&run->kept);
	if (kept < MISMATCHES_KEPT && !already_kept(run->job, kept, at, run->pattern->name)) {
		run->job->first[kept] = (struct memory_mismatch){
			.virtual_address = (uintptr_t)at,
			.physical_address = physical_of(at),
			.expected = expected,
			.actual = actual,
			.again = read_again(at),
			.cpu = lane->cpu,
			.pattern = run->pattern->name,
		};
		atomic_store(&run->kept, kept + 1);
	}
	pthread_mutex_unlock(&run->lock);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static struct slice slice_of(const struct region *r, int i)
{
	const uint64_t pages = r->bytes / PAGE, count = (uint64_t)r->numa->cpu_count;
	const uint64_t from = pages * (uint64_t)i / count, to = pages * (uint64_t)(i + 1) / count;

	return (struct slice){ .base = r->pages.base + from * PAGE, .bytes = (to - from) * PAGE };
}

static void flush(struct slice s)
{
	_mm_mfence();
	for (uint64_t i = 0; i < s.bytes; i += LINE)
		_mm_clflush(s.base + i);
	_mm_mfence();
}

static void pass_fill(struct lane *lane, struct slice s, int down)
{
	const struct stretch all = { s.base, (uintptr_t)s.base, s.bytes, down };

	lane->run->engine->fill(&lane->run->data, all);
}

static void pass_move(struct lane *lane, struct slice s, int down)
{
	(void)down;
	for (uint64_t low = 0; low + PAGE < s.bytes - low; low += PAGE)
		lane->run->engine->swap(s.base + low, s.base + s.bytes - PAGE - low, PAGE);
}

/* Pages in the asked order, but each of them upwards: a page's data now run against their
 * addresses. */
static void verify_moved(struct lane *lane, struct slice s, int down,
			 const struct pattern_sink *sink)
{
	for (uint64_t i = 0; i < s.bytes; i += PAGE) {
		const uint64_t at = down ? s.bytes - PAGE - i : i, from = s.bytes - PAGE - at;
		const struct stretch page = { s.base + at, (uintptr_t)s.base + from, PAGE, 0 };

		lane->run->engine->verify(&lane->run->data, page, sink);
	}
}

static void pass_verify(struct lane *lane, struct slice s, int down)
{
	const struct pattern_sink sink = { differs, lane };
	const struct stretch all = { s.base, (uintptr_t)s.base, s.bytes, down };

	if (lane->run->flush)
		flush(s);
	if (lane->run->moved)
		verify_moved(lane, s, down, &sink);
	else
		lane->run->engine->verify(&lane->run->data, all, &sink);
	lane->verified += s.bytes;
}

static void pass_invert(struct lane *lane, struct slice s, int down)
{
	const struct pattern_sink sink = { differs, lane };
	const struct stretch all = { s.base, (uintptr_t)s.base, s.bytes, down };

	if (lane->run->flush)
		flush(s);
	lane->run->engine->invert(&lane->run->data, all, &sink);
	lane->verified += s.bytes;
}

static const struct {
	void (*run)(struct lane *lane, struct slice s, int down);
	int writes, verifies;
} passes[] = {
	[PASS_FILL] = { pass_fill, 1, 0 },
	[PASS_VERIFY] = { pass_verify, 0, 1 },
	[PASS_INVERT] = { pass_invert, 1, 1 },
	[PASS_MOVE] = { pass_move, 1, 0 },
};

static enum pass_kind kind_at(const struct pattern *p, int i)
{
	return i < PATTERN_PASSES ? p->passes[i].kind : PASS_NONE;
}

/* What must hold between two passes; all threads but this one wait. */
static void after_pass(struct stress_run *run, int i)
{
	const enum pass_kind kind = kind_at(run->pattern, i), next = kind_at(run->pattern, i + 1);
	const struct memory_stress *job = run->job;

	run->turn++;
	if (kind == PASS_INVERT)
		pattern_invert(&run->data);
	if (kind == PASS_MOVE)
		run->moved = 1;
	if (!job->tamper || !passes[kind].writes || next == PASS_NONE || !passes[next].verifies)
		return;
	for (int r = 0; r < run->region_count; r++)
		job->tamper(job->tamper_arg, run->pattern->name, run->regions[r].pages.base,
			    run->regions[r].bytes);
}

static void next_pattern(struct stress_run *run)
{
	const int first_round = !run->pattern || (run->round == 0 && run->pattern[1].name);

	run->pattern = run->pattern ? run->pattern + 1 : patterns;
	if (!run->pattern->name) {
		run->pattern = patterns;
		run->round++;
	}
	run->over = !first_round && clock_now() - run->start >= run->job->seconds;
	run->moved = 0;
	run->data = (struct pattern_data){ 0 };
	run->pattern->make(&run->data, random_next(&run->random));
}

static void run_pattern(struct lane *lane, int index)
{
	struct stress_run *run = lane->run;
	const struct region *r = lane->region;
	/* after the last pass thread 0 already changes the run's pattern while others look for a
	 * next */
	const struct pattern *p = run->pattern;
	const unsigned own = (unsigned)(index - r->first), count = (unsigned)r->numa->cpu_count;

	for (int i = 0; kind_at(p, i) != PASS_NONE; i++) {
		const struct slice s = slice_of(r, (int)((own + run->turn) % count));

		passes[p->passes[i].kind].run(lane, s, p->passes[i].down);
		pthread_barrier_wait(&run->barrier);
		if (index == 0)
			after_pass(run, i);
		pthread_barrier_wait(&run->barrier);
	}
}

static void stress_thread(void *arg, int index)
{
	struct stress_run *run = arg;

	for (;;) {
		if (index == 0)
			next_pattern(run);
		pthread_barrier_wait(&run->barrier);
		if (run->over)
			return;
		run_pattern(&run->lanes[index], index);
	}
}

/* Makes the pages appear before the clock starts, each from a thread of its own node. */
static void touch_thread(void *arg, int index)
{
	struct stress_run *run = arg;
	const struct region *r = run->lanes[index].region;
	const struct slice s = slice_of(r, index - r->first);

	for (uint64_t i = 0; i < s.bytes; i += PAGE)
		((volatile unsigned char *)s.base)[i] = 0;
}

/* ---- memory and threads ---------------------------------------------------------------------- */

static void find_regions(struct stress_run *run)
{
	const struct host *host = &run->m->host;

	run->regions = xcalloc((size_t)host->numa_count + 1, sizeof(*run->regions));
	for (int i = 0; i < host->numa_count; i++) {
		if (host->numas[i].cpu_count < 1)
			continue;
		run->regions[run->region_count++] =
			(struct region){ .numa = &host->numas[i], .first = run->threads };
		run->threads += host->numas[i].cpu_count;
	}
}

/* Each node's share is that of its memory in the whole. */
static int share_out(struct stress_run *run, struct error *err)
{
	const uint64_t pages = run->job->bytes / PAGE;
	uint64_t given = 0;
	double all = 0, so_far = 0;

	for (int i = 0; i < run->region_count; i++)
		all += (double)run->regions[i].numa->bytes;
	for (int i = 0; i < run->region_count; i++) {
		struct region *r = &run->regions[i];
		uint64_t upto = pages;

		so_far += (double)r->numa->bytes;
		if (i + 1 < run->region_count)
			upto = (uint64_t)((double)pages * (so_far / all));
		r->bytes = (upto - given) * PAGE;
		given = upto;
		if (r->bytes / PAGE < (uint64_t)r->numa->cpu_count)
			return error_set(
				err,
				"%llu bytes are too few to stress: each processor needs a page",
				(unsigned long long)run->job->bytes);
	}
	return 0;
}

static int alloc_regions(struct stress_run *run, struct error *err)
{
	struct pages trial;

	/* nothing is touched yet, so several nodes must be asked for at once to see if all will fit
	 */
	if (run->region_count > 1) {
		if (pages_alloc(run->m, &trial, run->job->bytes, -1, err) < 0)
			return -1;
		pages_free(&trial);
	}
	for (int i = 0; i < run->region_count; i++) {
		struct region *r = &run->regions[i];

		if (pages_alloc(run->m, &r->pages, r->bytes, r->numa->id, err) < 0)
			return -1;
		run->job->tested_bytes += r->bytes;
	}
	return 0;
}

static void make_lanes(struct stress_run *run)
{
	run->cpus = xcalloc((size_t)run->threads, sizeof(*run->cpus));
	run->lanes = aligned_alloc(2 * LINE, (size_t)run->threads * sizeof(*run->lanes));
	if (!run->lanes)
		BUG("out of memory");
	for (int i = 0; i < run->region_count; i++) {
		const struct region *r = &run->regions[i];

		for (int k = 0; k < r->numa->cpu_count; k++) {
			run->cpus[r->first + k] = r->numa->cpus[k];
			run->lanes[r->first + k] =
				(struct lane){ .run = run, .region = r, .cpu = r->numa->cpus[k] };
		}
	}
}

static void count_huge(struct stress_run *run)
{
	double huge = 0;

	for (int i = 0; i < run->region_count; i++) {
		pages_count_huge(&run->regions[i].pages);
		huge += run->regions[i].pages.huge_share * (double)run->regions[i].bytes;
	}
	run->job->huge_share = huge / (double)run->job->tested_bytes;
}

static int stress(struct stress_run *run, struct error *err)
{
	struct memory_stress *job = run->job;

	make_lanes(run);
	if (threads_run(run->cpus, run->threads, touch_thread, run, err) < 0)
		return -1;
	count_huge(run);
	run->start = clock_now();
	if (threads_run(run->cpus, run->threads, stress_thread, run, err) < 0)
		return -1;
	job->took = clock_now() - run->start;
	for (int i = 0; i < run->threads; i++) {
		job->verified_bytes += run->lanes[i].verified;
		job->mismatches += run->lanes[i].mismatches;
	}
	job->kept = atomic_load(&run->kept);
	return 0;
}

static int prepare(struct stress_run *run, struct error *err)
{
	if (run->threads < 1)
		return error_set(err, "no NUMA node has a processor that may be used");
	if (!(run->job->seconds >= 0))
		return error_set(err, "%g s is no time to stress memory", run->job->seconds);
	if (share_out(run, err) < 0 || alloc_regions(run, err) < 0)
		return -1;
	run->flush = run->job->tested_bytes < 4 * run->m->host.last_cache_bytes;
	return 0;
}

int host_memory_stress(struct machine *m, struct memory_stress *job, struct error *err)
{
	struct stress_run run = { .m = m,
				  .job = job,
				  .engine = pattern_engine_best(),
				  .random = job->seed,
				  .lock = PTHREAD_MUTEX_INITIALIZER };
	int rc = -1;

	find_regions(&run);
	job->threads = run.threads;
	job->tested_bytes = job->verified_bytes = job->mismatches = 0;
	job->kept = 0;
	if (prepare(&run, err) == 0) {
		if (pthread_barrier_init(&run.barrier, NULL, (unsigned)run.threads) != 0)
			BUG("a barrier for %d threads", run.threads);
		rc = stress(&run, err);
		pthread_barrier_destroy(&run.barrier);
	}
	for (int i = 0; i < run.region_count; i++)
		pages_free(&run.regions[i].pages);
	free(run.regions);
	free(run.lanes);
	free(run.cpus);
	return rc;
}
