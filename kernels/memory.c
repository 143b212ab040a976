/*
 * memory.c - how fast a NUMA node's processors move arrays through memory.
 *
 * Copy and triad store past the caches: a plain store first reads the line that it is about to
 * replace, which costs traffic that STREAM's way of counting does not see. Before each sample some
 * words of the target are spoiled and looked at again afterwards, so that a rate is only reported
 * of work that was done; what READ has read must add up.
 */
#include "kernels/work.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 64, WORDS = LINE / sizeof(double), PROBES = 64 };

/*
 * One operation over `lines` lines of 64 bytes. Returns the sum of the bits of what it read, where
 * it is a read. The names are those of STREAM's triad: to = from + value * more.
 */
typedef uint64_t op_fn(double *to, const double *from, const double *more, size_t lines,
		       double value);

/* ---- plain: what every x86-64 has ------------------------------------------------------------ */

static uint64_t bits_of(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

static void stream_double(double *to, double d)
{
	_mm_stream_si64((long long *)to, (long long)bits_of(d));
}

static uint64_t read_plain(double *to, const double *from, const double *more, size_t lines,
			   double value)
{
	uint64_t sums[WORDS] = { 0 }, sum = 0;

	(void)to, (void)more, (void)value;
	for (size_t i = 0; i < lines; i++, from += WORDS)
		for (int w = 0; w < WORDS; w++)
			sums[w] += bits_of(from[w]);
	for (int w = 0; w < WORDS; w++)
		sum += sums[w];
	return sum;
}

static uint64_t write_plain(double *to, const double *from, const double *more, size_t lines,
			    double value)
{
	(void)from, (void)more;
	for (size_t i = 0; i < lines * WORDS; i++)
		to[i] = value;
	return 0;
}

static uint64_t nt_write_plain(double *to, const double *from, const double *more, size_t lines,
			       double value)
{
	(void)from, (void)more;
	for (size_t i = 0; i < lines * WORDS; i++)
		stream_double(to + i, value);
	_mm_sfence();
	return 0;
}

static uint64_t copy_plain(double *to, const double *from, const double *more, size_t lines,
			   double value)
{
	(void)more, (void)value;
	for (size_t i = 0; i < lines * WORDS; i++)
		stream_double(to + i, from[i]);
	_mm_sfence();
	return 0;
}

static uint64_t triad_plain(double *to, const double *from, const double *more, size_t lines,
			    double value)
{
	for (size_t i = 0; i < lines * WORDS; i++)
		stream_double(to + i, from[i] + value * more[i]);
	_mm_sfence();
	return 0;
}

/* ---- AVX2 ------------------------------------------------------------------------------------ */

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f")))

AVX2 static uint64_t read_avx2(double *to, const double *from, const double *more, size_t lines,
			       double value)
{
	__m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
	const __m256i *v = (const __m256i *)from;
	uint64_t sums[4];
	size_t i = 0;

	(void)to, (void)more, (void)value;
	for (; i + 2 <= lines; i += 2, v += 4) {
		s0 = _mm256_add_epi64(s0, v[0]);
		s1 = _mm256_add_epi64(s1, v[1]);
		s2 = _mm256_add_epi64(s2, v[2]);
		s3 = _mm256_add_epi64(s3, v[3]);
	}
	for (; i < lines; i++, v += 2)
		s0 = _mm256_add_epi64(s0, _mm256_add_epi64(v[0], v[1]));
	s0 = _mm256_add_epi64(_mm256_add_epi64(s0, s1), _mm256_add_epi64(s2, s3));
	_mm256_storeu_si256((__m256i *)sums, s0);
	return sums[0] + sums[1] + sums[2] + sums[3];
}

AVX2 static uint64_t write_avx2(double *to, const double *from, const double *more, size_t lines,
				double value)
{
	const __m256d v = _mm256_set1_pd(value);

	(void)from, (void)more;
	for (size_t i = 0; i < lines; i++, to += WORDS) {
		_mm256_store_pd(to, v);
		_mm256_store_pd(to + 4, v);
	}
	return 0;
}

AVX2 static uint64_t nt_write_avx2(double *to, const double *from, const double *more, size_t lines,
				   double value)
{
	const __m256d v = _mm256_set1_pd(value);

	(void)from, (void)more;
	for (size_t i = 0; i < lines; i++, to += WORDS) {
		_mm256_stream_pd(to, v);
		_mm256_stream_pd(to + 4, v);
	}
	_mm_sfence();
	return 0;
}

AVX2 static uint64_t copy_avx2(double *to, const double *from, const double *more, size_t lines,
			       double value)
{
	(void)more, (void)value;
	for (size_t i = 0; i < lines; i++, to += WORDS, from += WORDS) {
		const __m256d low = _mm256_load_pd(from), high = _mm256_load_pd(from + 4);

		_mm256_stream_pd(to, low);
		_mm256_stream_pd(to + 4, high);
	}
	_mm_sfence();
	return 0;
}

AVX2 static uint64_t triad_avx2(double *to, const double *from, const double *more, size_t lines,
				double value)
{
	const __m256d v = _mm256_set1_pd(value);

	for (size_t i = 0; i < lines * WORDS; i += 4)
		_mm256_stream_pd(to + i, _mm256_fmadd_pd(v, _mm256_load_pd(more + i),
							 _mm256_load_pd(from + i)));
	_mm_sfence();
	return 0;
}

/* ---- AVX-512 --------------------------------------------------------------------------------- */

/* The compiler's own reduction adds signed lanes, whose overflow is undefined. */
AVX512 static uint64_t sum_lanes512(__m512i v)
{
	uint64_t lanes[8], sum = 0;

	_mm512_storeu_si512(lanes, v);
	for (size_t i = 0; i < ARRAY_SIZE(lanes); i++)
		sum += lanes[i];
	return sum;
}

AVX512 static uint64_t read_avx512(double *to, const double *from, const double *more, size_t lines,
				   double value)
{
	__m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
	const __m512i *v = (const __m512i *)from;
	size_t i = 0;

	(void)to, (void)more, (void)value;
	for (; i + 4 <= lines; i += 4) {
		s0 = _mm512_add_epi64(s0, v[i]);
		s1 = _mm512_add_epi64(s1, v[i + 1]);
		s2 = _mm512_add_epi64(s2, v[i + 2]);
		s3 = _mm512_add_epi64(s3, v[i + 3]);
	}
	for (; i < lines; i++)
		s0 = _mm512_add_epi64(s0, v[i]);
	s0 = _mm512_add_epi64(_mm512_add_epi64(s0, s1), _mm512_add_epi64(s2, s3));
	return sum_lanes512(s0);
}

AVX512 static uint64_t write_avx512(double *to, const double *from, const double *more,
				    size_t lines, double value)
{
	const __m512d v = _mm512_set1_pd(value);

	(void)from, (void)more;
	for (size_t i = 0; i < lines; i++, to += WORDS)
		_mm512_store_pd(to, v);
	return 0;
}

AVX512 static uint64_t nt_write_avx512(double *to, const double *from, const double *more,
				       size_t lines, double value)
{
	const __m512d v = _mm512_set1_pd(value);

	(void)from, (void)more;
	for (size_t i = 0; i < lines; i++, to += WORDS)
		_mm512_stream_pd(to, v);
	_mm_sfence();
	return 0;
}

AVX512 static uint64_t copy_avx512(double *to, const double *from, const double *more, size_t lines,
				   double value)
{
	(void)more, (void)value;
	for (size_t i = 0; i < lines; i++, to += WORDS, from += WORDS)
		_mm512_stream_pd(to, _mm512_load_pd(from));
	_mm_sfence();
	return 0;
}

AVX512 static uint64_t triad_avx512(double *to, const double *from, const double *more,
				    size_t lines, double value)
{
	const __m512d v = _mm512_set1_pd(value);

	for (size_t i = 0; i < lines * WORDS; i += WORDS)
		_mm512_stream_pd(to + i, _mm512_fmadd_pd(v, _mm512_load_pd(more + i),
							 _mm512_load_pd(from + i)));
	_mm_sfence();
	return 0;
}

/* ---- which of them --------------------------------------------------------------------------- */

static int has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}

static int has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_plain(void)
{
	return 1;
}

static const struct instructions {
	int (*usable)(void);
	op_fn *op[MEMORY_OPS];
} instruction_sets[] = {
	{ has_avx512, { read_avx512, write_avx512, nt_write_avx512, copy_avx512, triad_avx512 } },
	{ has_avx2, { read_avx2, write_avx2, nt_write_avx2, copy_avx2, triad_avx2 } },
	{ has_plain, { read_plain, write_plain, nt_write_plain, copy_plain, triad_plain } },
};

static const struct instructions *best_instructions(void)
{
	const struct instructions *set = instruction_sets;

	while (!set->usable())
		set++;
	return set;
}

/* Arrays moved, as STREAM counts; and what the target then holds of the two sources and the value.
 */
static const struct {
	const char *name;
	int moved, from, more, value;
} ops[MEMORY_OPS] = {
	[MEMORY_READ] = { "read", 1, 0, 0, 0 },
	[MEMORY_WRITE] = { "write", 1, 0, 0, 1 },
	[MEMORY_NT_WRITE] = { "non-temporal write", 1, 0, 0, 1 },
	[MEMORY_COPY] = { "copy", 2, 1, 0, 0 },
	[MEMORY_TRIAD] = { "triad", 3, 1, 1, 0 },
};

/* ---- the run --------------------------------------------------------------------------------- */

struct lane { /* one thread's share; a cache line and its neighbour each, since all write at once */
	double *to, *from, *more;
	size_t lines;
	uint64_t sum; /* what a read must come to */
	double start, end;
	int wrong; /* op + 1 of the first one that left wrong data */
} __attribute__((aligned(2 * LINE)));

struct rate_run {
	struct memory_rate *job;
	const struct instructions *set;
	struct lane *lanes;
	int threads;
	atomic_int waiting, turn;
};

/* Spins, since waking a sleeper takes longer than a share of a percent of one sample. */
static void line_up(struct rate_run *run)
{
	int turn = atomic_load(&run->turn);

	if (atomic_fetch_add(&run->waiting, 1) == run->threads - 1) {
		atomic_store(&run->waiting, 0);
		atomic_store(&run->turn, turn + 1);
		return;
	}
	for (int spins = 0; atomic_load(&run->turn) == turn; spins++) {
		if (spins < 1 << 14)
			_mm_pause();
		else
			sched_yield();
	}
}

/* Small whole numbers: sums of products of them are exact, fused or not. */
static void lane_fill(struct lane *lane)
{
	lane->sum = 0;
	for (size_t i = 0; i < lane->lines * WORDS; i++) {
		lane->to[i] = 0;
		lane->from[i] = (double)(i % 1021 + 1);
		lane->more[i] = (double)(i % 509 + 1);
		lane->sum += bits_of(lane->from[i]);
	}
}

static size_t probe(const struct lane *lane, int i)
{
	return (lane->lines * WORDS - 1) * i / (PROBES - 1);
}

static void lane_spoil(struct lane *lane)
{
	for (int i = 0; i < PROBES; i++)
		lane->to[probe(lane, i)] = -1;
}

static int lane_right(const struct lane *lane, enum memory_op op, double value, uint64_t sum)
{
	if (op == MEMORY_READ)
		return sum == lane->sum;
	for (int i = 0; i < PROBES; i++) {
		const size_t at = probe(lane, i);
		double want = ops[op].value * value + ops[op].from * lane->from[at] +
			      ops[op].more * value * lane->more[at];

		if (lane->to[at] != want)
			return 0;
	}
	return 1;
}

/* Seconds from the first start to the last end. Every thread works it out; they agree. */
static double span(const struct rate_run *run)
{
	double start = run->lanes[0].start, end = run->lanes[0].end;

	for (int i = 1; i < run->threads; i++) {
		start = run->lanes[i].start < start ? run->lanes[i].start : start;
		end = run->lanes[i].end > end ? run->lanes[i].end : end;
	}
	return end - start;
}

static void rate_sample(struct rate_run *run, int index, enum memory_op op, int sample)
{
	struct lane *lane = &run->lanes[index];
	const double value = sample + 3;
	uint64_t sum;

	lane_spoil(lane);
	line_up(run);
	lane->start = clock_now();
	sum = run->set->op[op](lane->to, lane->from, lane->more, lane->lines, value);
	lane->end = clock_now();
	if (!lane_right(lane, op, value, sum) && !lane->wrong)
		lane->wrong = (int)op + 1;
	line_up(run);
	if (index == 0 && sample >= 0)
		run->job->gbs[op][sample] =
			ops[op].moved * (double)run->job->bytes / span(run) / 1e9;
	line_up(run);
}

static void rate_thread(void *arg, int index)
{
	struct rate_run *run = arg;

	lane_fill(&run->lanes[index]);
	/* sample -1 warms up; operations take turns so that a slow spell does not hit one alone */
	for (int sample = -1; sample < run->job->samples; sample++)
		for (int op = 0; op < MEMORY_OPS; op++)
			if (run->job->gbs[op])
				rate_sample(run, index, (enum memory_op)op, sample);
}

static int rate_check(const struct rate_run *run, struct error *err)
{
	const struct memory_rate *job = run->job;

	for (int i = 0; i < run->threads; i++)
		if (run->lanes[i].wrong)
			return error_set(err, "%s through memory left wrong data behind",
					 ops[run->lanes[i].wrong - 1].name);
	for (int op = 0; op < MEMORY_OPS; op++)
		for (int s = 0; job->gbs[op] && s < job->samples; s++)
			if (!(job->gbs[op][s] > 0 && job->gbs[op][s] < 1e9))
				return error_set(err, "%s was too short to be timed", ops[op].name);
	return 0;
}

/* Cuts three arrays, `stride` bytes apart, into one part for each thread. */
static void lanes_cut(struct rate_run *run, unsigned char *base, uint64_t stride)
{
	const size_t lines = run->job->bytes / LINE;

	for (int i = 0; i < run->threads; i++) {
		struct lane *lane = &run->lanes[i];
		const uint64_t first = lines * i / run->threads,
			       next = lines * (i + 1) / run->threads;

		lane->lines = next - first;
		lane->to = (double *)(base + first * LINE);
		lane->from = (double *)(base + stride + first * LINE);
		lane->more = (double *)(base + 2 * stride + first * LINE);
	}
}

static int rate_run(struct machine *m, struct rate_run *run, const struct host_numa *cpus,
		    struct error *err)
{
	const uint64_t stride = (run->job->bytes + 4095) / 4096 * 4096;
	struct pages pages;
	int rc;

	if (pages_alloc(m, &pages, 3 * stride, run->job->memory_numa, err) < 0)
		return -1;
	run->lanes = aligned_alloc(2 * LINE, run->threads * sizeof(*run->lanes));
	if (!run->lanes)
		BUG("out of memory");
	memset(run->lanes, 0, run->threads * sizeof(*run->lanes));
	lanes_cut(run, pages.base, stride);
	rc = threads_run(cpus->cpus, run->threads, rate_thread, run, err);
	pages_count_huge(&pages);
	run->job->huge_share = pages.huge_share;
	if (rc == 0)
		rc = rate_check(run, err);
	free(run->lanes);
	pages_free(&pages);
	return rc;
}

int host_memory_rate(struct machine *m, struct memory_rate *job, struct error *err)
{
	const struct host_numa *cpus = machine_numa(m, job->cpu_numa);
	struct rate_run run = { .job = job, .set = best_instructions() };

	if (!cpus || cpus->cpu_count < 1)
		return error_set(err, "NUMA node %d has no processor that may be used",
				 job->cpu_numa);
	run.threads = job->threads = cpus->cpu_count;
	if (job->samples < 1)
		return error_set(err, "%d samples were asked for", job->samples);
	if (job->bytes % LINE || job->bytes / LINE < (uint64_t)run.threads ||
	    job->bytes > UINT64_MAX / 8)
		return error_set(
			err,
			"an array of %llu bytes cannot be shared by %d threads: it must be "
			"a multiple of 64 with at least 64 for each",
			(unsigned long long)job->bytes, run.threads);
	return rate_run(m, &run, cpus, err);
}
