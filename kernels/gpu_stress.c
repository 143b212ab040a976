/*
 * gpu_stress.c - fills, moves and verifies nearly all memory of a GPU until its time is over.
 *
 * A pattern is a row of passes, each over all memory before the next begins: then no cache still
 * holds what a pass has written when another compares it, but for what was written last where the
 * next pass comes back the other way, and that is driven out. Rounds differ in their seeds and
 * steps, so that a long test goes on finding what a short one cannot.
 */
#include "kernels/gpu_start.h"

#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { WORDS_A_THREAD = 16, ALIGNED = 64 << 10, SMALLEST = 2 << 20 };
/* A stream takes about a thousand launches ahead; then launching itself waits, without a deadline.
 */
enum { QUEUED_MOST = 256 };
/* Reads of each word and stride. */
enum { HAMMER_REPEAT = 8 };
/* So many times the L2 cache must be gone through until none of what it held is left in it. */
enum { CACHES = 4 };

struct piece { /* one allocation */
	CUdeviceptr at;
	uint64_t words, first; /* first: number of its first word in all that is tested */
};

struct stress_run {
	struct gpu_memory_stress *job;
	struct gpu_bag bag;
	struct gpu_context *g;
	struct gpu_timer timer;
	struct piece *pieces;
	int count;
	CUdeviceptr wrong, sink;
	const char *pattern;
	int backward; /* the last pass was */
	int queued;
	double queued_bytes;
};

/* ---- passes -------------------------------------------------------------------------------- */

static int wait_for_all(struct stress_run *run, struct error *err)
{
	const double seconds = run->queued_bytes / run->bag.patience->rate;

	run->queued = 0;
	run->queued_bytes = 0;
	return gpu_bag_wait(&run->bag, run->g, run->timer.stream, seconds, err);
}

/* `moved`: bytes that the launch reads and writes. */
static int launch(struct stress_run *run, const char *kernel, uint64_t words, uint64_t moved,
		  void **args, struct error *err)
{
	if (gpu_launch(run->g, run->timer.stream, kernel, gpu_blocks(run->g, words, WORDS_A_THREAD),
		       GPU_THREADS, args, err) < 0)
		return -1;
	run->job->moved_bytes += moved;
	run->queued_bytes += (double)moved;
	return ++run->queued < QUEUED_MOST ? 0 : wait_for_all(run, err);
}

static int act_write(struct stress_run *run, struct piece r, struct device_pattern p,
		     struct error *err)
{
	void *args[] = { &r.at, &r.words, &p, NULL };

	p.first = r.first;
	return launch(run, "stress_write", r.words, r.words * 8, args, err);
}

static int act_check(struct stress_run *run, struct piece r, struct device_pattern p,
		     struct error *err)
{
	void *args[] = { &r.at, &r.words, &p, &run->wrong, NULL };

	p.first = r.first;
	run->job->verified_bytes += r.words * 8;
	return launch(run, "stress_check", r.words, r.words * 8, args, err);
}

static int act_invert(struct stress_run *run, struct piece r, struct device_pattern p,
		      struct error *err)
{
	void *args[] = { &r.at, &r.words, &p, &run->wrong, NULL };

	p.first = r.first;
	run->job->verified_bytes += r.words * 8;
	return launch(run, "stress_invert", r.words, r.words * 16, args, err);
}

/* The lower and the upper half of a piece; both count their words from the piece's first. */
static struct piece half_of(struct piece r, int upper)
{
	r.words /= 2;
	r.at += upper ? r.words * 8 : 0;
	return r;
}

static int move(struct stress_run *run, struct piece to, struct piece from, struct error *err)
{
	void *args[] = { &to.at, &from.at, &to.words, NULL };

	return launch(run, "stress_move", to.words, to.words * 16, args, err);
}

static int act_move_up(struct stress_run *run, struct piece r, struct device_pattern p,
		       struct error *err)
{
	(void)p;
	return move(run, half_of(r, 1), half_of(r, 0), err);
}

static int act_move_down(struct stress_run *run, struct piece r, struct device_pattern p,
			 struct error *err)
{
	(void)p;
	return move(run, half_of(r, 0), half_of(r, 1), err);
}

static int act_write_lower(struct stress_run *run, struct piece r, struct device_pattern p,
			   struct error *err)
{
	return act_write(run, half_of(r, 0), p, err);
}

static int act_check_lower(struct stress_run *run, struct piece r, struct device_pattern p,
			   struct error *err)
{
	return act_check(run, half_of(r, 0), p, err);
}

static int act_check_upper(struct stress_run *run, struct piece r, struct device_pattern p,
			   struct error *err)
{
	return act_check(run, half_of(r, 1), p, err);
}

/*
 * Distances at which neighbouring rows may lie: a row of HBM has 1 KiB or 2 KiB (JESD235, page size
 * of a pseudo channel and of a channel), and addresses are spread over channels and banks in ways
 * that no vendor tells, so the powers of two above are tried as well.
 */
static const uint64_t strides[] = { 1024, 2048, 4096, 8192, 16384, 32768, 65536 };

static int hammer(struct stress_run *run, CUdeviceptr at, uint64_t words, uint64_t stride,
		  struct error *err)
{
	unsigned repeat = HAMMER_REPEAT;
	void *args[] = { &at, &words, &stride, &repeat, &run->sink, NULL };

	/* of its two reads of a word the cache answers one */
	return launch(run, "stress_hammer", words, words * 8 * repeat, args, err);
}

static int act_hammer(struct stress_run *run, struct piece r, struct device_pattern p,
		      struct error *err)
{
	/* as a row is opened only by what no cache answers */
	const uint64_t range = CACHES * gpu_info(run->g)->l2_bytes / 8 + 1;
	uint64_t words;

	(void)p;
	for (size_t s = 0; s < ARRAY_SIZE(strides); s++)
		for (uint64_t at = 0; at < r.words; at += words) {
			words = r.words - at < 2 * range ? r.words - at : range;
			if (hammer(run, r.at + at * 8, words, strides[s] / 8, err) < 0)
				return -1;
		}
	return 0;
}

/*
 * Reads the end of memory at which the next pass will end, for that is the one that was gone over
 * longest ago. By loads of the same kind as all others here, of which the cache gives up the
 * oldest.
 */
static int empty_cache(struct stress_run *run, int backward, struct error *err)
{
	uint64_t left = CACHES * gpu_info(run->g)->l2_bytes / sizeof(struct device_unit);

	for (int i = 0; i < run->count && left > 0; i++) {
		const struct piece *r = &run->pieces[backward ? i : run->count - 1 - i];
		const uint64_t all = r->words * 8 / sizeof(struct device_unit);
		uint64_t units = all < left ? all : left;
		CUdeviceptr at = r->at + (backward ? 0 : all - units) * sizeof(struct device_unit);
		void *args[] = { &at, &units, &run->sink, NULL };

		if (launch(run, "read_units", 2 * units, units * sizeof(struct device_unit), args,
			   err) < 0)
			return -1;
		left -= units;
	}
	return 0;
}

/* ---- patterns ------------------------------------------------------------------------------ */

enum act {
	END,
	WRITE,
	CHECK,
	INVERT, /* compares, and writes the complement */
	MOVE_UP,
	MOVE_DOWN,
	WRITE_LOWER,
	CHECK_LOWER,
	CHECK_UPPER, /* what the upper half got from the lower one */
	HAMMER,
	REST
};

static const struct {
	int (*run)(struct stress_run *run, struct piece r, struct device_pattern p,
		   struct error *err);
	int checks, upper;
} acts[] = {
	[WRITE] = { act_write, 0, 0 },
	[CHECK] = { act_check, 1, 0 },
	[INVERT] = { act_invert, 1, 0 },
	[MOVE_UP] = { act_move_up, 0, 0 },
	[MOVE_DOWN] = { act_move_down, 0, 0 },
	[WRITE_LOWER] = { act_write_lower, 0, 0 },
	[CHECK_LOWER] = { act_check_lower, 1, 0 },
	[CHECK_UPPER] = { act_check_upper, 1, 1 },
	[HAMMER] = { act_hammer, 0, 0 },
};

enum { UP = 0, DOWN = 1, PLAIN = 0, INVERTED = 1 };

struct pass {
	enum act act;
	int invert, backward;
};

static const struct pass both_ways[] = {
	{ WRITE, PLAIN, UP },
	{ CHECK, PLAIN, DOWN },
	{ WRITE, INVERTED, DOWN },
	{ CHECK, INVERTED, UP },
	{ END },
};
static const struct pass inversions[] = {
	{ WRITE, PLAIN, UP },
	{ INVERT, PLAIN, UP },
	{ INVERT, INVERTED, DOWN },
	{ CHECK, PLAIN, UP },
	{ END },
};
static const struct pass once[] = {
	{ WRITE, PLAIN, UP },
	{ INVERT, PLAIN, DOWN },
	{ CHECK, INVERTED, UP },
	{ END },
};
/* A mismatch is told where it is seen, which may be one half away from where it came about. */
static const struct pass to_and_fro[] = {
	{ WRITE, PLAIN, UP },
	{ MOVE_UP },
	{ CHECK_UPPER, PLAIN, UP },
	{ WRITE_LOWER, INVERTED, UP },
	{ MOVE_DOWN },
	{ CHECK_LOWER, PLAIN, DOWN },
	{ END },
};
static const struct pass disturbed[] = {
	{ WRITE, PLAIN, UP },
	{ HAMMER },
	{ CHECK, PLAIN, UP },
	{ END },
};
static const struct pass rested[] = {
	{ WRITE, PLAIN, UP },    { REST }, { CHECK, PLAIN, UP }, { WRITE, INVERTED, UP }, { REST },
	{ CHECK, INVERTED, UP }, { END },
};

/* Steps k = 0, 1, .. of a round are round + k x apart: rounds go through all of them. */
static const struct pattern {
	const char *name;
	const struct pass *passes;
	int kind, steps, apart, rests;
} patterns[] = {
	{ "own address", both_ways, PATTERN_ADDRESS, 1, 0, 0 },
	{ "solid", inversions, PATTERN_SOLID, 1, 0, 0 },
	{ "checker", inversions, PATTERN_CHECKER, 1, 0, 0 },
	{ "walking bits", once, PATTERN_WALKING, 8, 8, 0 },
	{ "random", once, PATTERN_RANDOM, 1, 0, 0 },
	{ "block move", to_and_fro, PATTERN_RANDOM, 1, 0, 0 },
	{ "modulo 20", once, PATTERN_MODULO, 4, 5, 0 },
	{ "neighbours", disturbed, PATTERN_RANDOM, 1, 0, 0 },
	{ "fade", rested, PATTERN_RANDOM, 1, 0, 1 },
};

/* ---- mismatches ---------------------------------------------------------------------------- */

static const struct piece *piece_of(const struct stress_run *run, uint64_t index)
{
	for (int i = 0; i < run->count; i++)
		if (index - run->pieces[i].first < run->pieces[i].words)
			return &run->pieces[i];
	return NULL;
}

static int already_kept(const struct gpu_memory_stress *job, uint64_t offset, const char *pattern)
{
	for (int i = 0; i < job->kept; i++)
		if (job->first[i].offset == offset && job->first[i].pattern == pattern)
			return 1;
	return 0;
}

/* `upper`: the word lies in the upper half of its piece, and counts as one of the lower. */
static int keep(struct stress_run *run, const struct device_wrong *list, int i, int upper,
		struct error *err)
{
	struct gpu_memory_stress *job = run->job;
	const struct piece *piece = piece_of(run, list->first[i].index);
	uint64_t place;

	if (!piece)
		return error_set(err, "gpu%d reports a mismatch at word %llu, which was not tested",
				 run->g->gpu, (unsigned long long)list->first[i].index);
	place = list->first[i].index + (upper ? piece->words / 2 : 0);
	if (job->kept == (int)ARRAY_SIZE(job->first) || already_kept(job, place * 8, run->pattern))
		return 0;
	job->first[job->kept++] = (struct gpu_mismatch){
		.offset = place * 8,
		.address = piece->at + (place - piece->first) * 8,
		.expected = list->first[i].expected,
		.actual = list->first[i].actual,
		.again = list->first[i].again,
		.sm = (int)list->first[i].sm,
		.pattern = run->pattern,
	};
	return 0;
}

static int clear_list(struct stress_run *run, struct error *err)
{
	const size_t size = sizeof(struct device_wrong);

	return gpu_check(run->g,
			 run->g->cuda->MemsetD8Async(run->wrong, 0, size, run->timer.stream), err,
			 "clearing the list of mismatches");
}

static int collect(struct stress_run *run, int upper, struct error *err)
{
	struct device_wrong list;
	int kept;

	if (gpu_check(run->g, run->g->cuda->MemcpyDtoH(&list, run->wrong, sizeof(list)), err,
		      "reading the list of mismatches") < 0)
		return -1;
	if (list.count == 0)
		return 0;
	run->job->mismatches += list.count;
	kept = list.kept < DEVICE_WRONG_KEPT ? (int)list.kept : DEVICE_WRONG_KEPT;
	for (int i = 0; i < kept; i++)
		if (keep(run, &list, i, upper, err) < 0)
			return -1;
	return clear_list(run, err);
}

/* ---- rounds -------------------------------------------------------------------------------- */

static int rest(double seconds, struct error *err)
{
	struct timespec left = { .tv_sec = (time_t)seconds };

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	while (nanosleep(&left, &left) < 0)
		if (errno != EINTR)
			return error_sys(err, "resting for %g s", seconds);
	return 0;
}

static int run_pass(struct stress_run *run, enum act act, struct device_pattern p,
		    struct error *err)
{
	double seconds;

	if (act == REST)
		return rest(run->job->fade, err);
	if (gpu_timer_begin(&run->timer, err) < 0)
		return -1;
	if (acts[act].checks && p.backward != run->backward &&
	    empty_cache(run, p.backward, err) < 0)
		return -1;
	run->backward = p.backward;
	for (int i = 0; i < run->count; i++) {
		const struct piece *r = &run->pieces[p.backward ? run->count - 1 - i : i];

		if (acts[act].run(run, *r, p, err) < 0)
			return -1;
	}
	if (gpu_timer_end(&run->timer, err) < 0 || wait_for_all(run, err) < 0 ||
	    gpu_timer_seconds(&run->timer, &seconds, err) < 0)
		return -1;
	run->job->took += seconds;
	return acts[act].checks ? collect(run, acts[act].upper, err) : 0;
}

static int run_pattern(struct stress_run *run, const struct pattern *pattern, uint64_t seed,
		       unsigned round, struct error *err)
{
	struct device_pattern p = { .seed = seed, .kind = pattern->kind };

	run->pattern = pattern->name;
	for (int k = 0; k < pattern->steps; k++)
		for (int i = 0; pattern->passes[i].act != END; i++) {
			p.step = round + (unsigned)(k * pattern->apart);
			p.invert = pattern->passes[i].invert;
			p.backward = pattern->passes[i].backward;
			if (run_pass(run, pattern->passes[i].act, p, err) < 0)
				return error_prefix(err, "pattern \"%s\": ", pattern->name);
		}
	return 0;
}

/* Returns 1 when the caller wants no more. */
static int run_round(struct stress_run *run, unsigned round, struct error *err)
{
	struct gpu_memory_stress *job = run->job;
	const uint64_t count = ARRAY_SIZE(patterns);

	job->patterns = 0;
	for (uint64_t i = 0; i < count; i++) {
		if (patterns[i].rests && !(job->fade > 0))
			continue;
		if (run_pattern(run, &patterns[i], gpu_unique(job->seed, round * count + i), round,
				err) < 0)
			return -1;
		job->patterns++;
		if (job->after && job->after(job->arg, patterns[i].name))
			return 1;
	}
	return 0;
}

static int stress(struct stress_run *run, struct error *err)
{
	const double start = clock_now();
	unsigned round = 0;
	int rc;

	if (clear_list(run, err) < 0)
		return -1;
	do
		rc = run_round(run, round++, err);
	while (rc == 0 && clock_now() - start < run->job->seconds);
	return rc < 0 ? -1 : 0;
}

/* ---- memory -------------------------------------------------------------------------------- */

static int check_free(struct stress_run *run, uint64_t asked, struct error *err)
{
	const struct cuda *cuda = run->g->cuda;
	size_t unused = 0, all = 0;
	char there[32], whole[32];

	if (gpu_check(run->g, cuda->MemGetInfo(&unused, &all), err, "asking for its free memory") <
	    0)
		return -1;
	if (asked <= unused)
		return 0;
	bytes_text((double)gpu_info(run->g)->bytes, whole, sizeof(whole));
	bytes_text((double)unused, there, sizeof(there));
	return error_set(err, "gpu%d: %g%% of %s asked, %s free: another process holds memory?",
			 run->g->gpu, 100 * run->job->share, whole, there);
}

static int too_few(const struct stress_run *run, uint64_t asked, struct error *err)
{
	char wanted[32], got[32];

	bytes_text((double)asked, wanted, sizeof(wanted));
	bytes_text((double)run->job->tested_bytes, got, sizeof(got));
	return error_prefix(err, "of %s that are free only %s could be had: ", wanted, got);
}

/* In one piece if the driver gives one, else in halves of what it refused. */
static int alloc_pieces(struct stress_run *run, uint64_t asked, struct error *err)
{
	uint64_t size = asked, got = 0;
	int rc;

	for (; got < asked; run->job->tested_bytes = got) {
		struct piece piece = { .first = got / 8 };

		size = size < asked - got ? size : asked - got;
		rc = gpu_bag_try(&run->bag, run->g, size, &piece.at, err);
		if (rc < 0)
			return -1;
		if (rc == 1 && size <= SMALLEST)
			return too_few(run, asked, err);
		if (rc == 1) {
			size = (size / 2 + ALIGNED - 1) / ALIGNED * ALIGNED;
			continue;
		}
		piece.words = size / 8;
		run->pieces = grow(run->pieces, (size_t)run->count, sizeof(*run->pieces));
		run->pieces[run->count++] = piece;
		got += size;
	}
	return 0;
}

/* The small things first: then what is free is what can be tested. */
static int prepare(struct stress_run *run, struct error *err)
{
	const double share = run->job->share;
	uint64_t asked;

	if (!(share > 0 && share <= 1) || !(run->job->seconds >= 0))
		return error_set(err, "memory cannot be stressed for %g s with a share of %g",
				 run->job->seconds, share);
	if (gpu_timer_init(&run->bag, run->g, &run->timer, err) < 0 ||
	    gpu_bag_memory(&run->bag, run->g, sizeof(uint64_t), &run->sink, err) < 0 ||
	    gpu_bag_memory(&run->bag, run->g, sizeof(struct device_wrong), &run->wrong, err) < 0)
		return -1;
	asked = (uint64_t)(share * (double)gpu_info(run->g)->bytes) / ALIGNED * ALIGNED;
	if (asked == 0)
		return error_set(err, "gpu%d: %g%% of its memory is nothing to test", run->g->gpu,
				 100 * share);
	if (check_free(run, asked, err) < 0)
		return -1;
	return alloc_pieces(run, asked, err);
}

static void clear_results(struct gpu_memory_stress *job)
{
	job->tested_bytes = job->verified_bytes = job->moved_bytes = job->mismatches = 0;
	job->took = 0;
	job->patterns = job->kept = 0;
}

int gpu_memory_stress_run(struct machine *m, struct gpu_memory_stress *job,
			  const struct gpu_patience *patience, struct error *err)
{
	struct stress_run run = { .job = job };
	int rc;

	clear_results(job);
	run.g = gpu_use(m, job->gpu, err);
	if (!run.g)
		return -1;
	gpu_bag_init(&run.bag, m, patience);
	rc = prepare(&run, err);
	if (rc == 0)
		rc = stress(&run, err);
	gpu_bag_release(&run.bag);
	free(run.pieces);
	return rc;
}

int machine_gpu_memory_stress(struct machine *m, struct gpu_memory_stress *job, struct error *err)
{
	return gpu_memory_stress_run(m, job, &gpu_patience_memory, err);
}
