/*
 * gpu_soak.c - everything in a node at work at once, for as long as the plan says.
 *
 * Power supplies, fans and shared links are only under their full load when all that hangs on them
 * works together; and what fails once in hours needs hours. GPUs take turns in step, all of them in
 * the same kind of work, so that the node's power moves as far as it can.
 */
#include "harness/checks/gpu_soak_host.h"
#include "harness/checks/gpu_watch.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPIES = 8, COPY_SAMPLES = 3, WINDOWS_MOST = 100000 };
#define WATCH_EVERY 1.0  /* seconds */
#define CYCLE_EXTRA 20.0 /* seconds of filling and knowing results, and of copies, expected */

static const struct param params[] = {
	{ "seconds", "300s", "how long" },
	{ "gemm", "20s", "matrix products of one precision in each turn" },
	{ "window", "1s", "length of one window of products" },
	{ "memory", "5s", "patterns through GPU memory in each turn, at least one round" },
	{ "share", "50%", "share of each GPU's memory that these take" },
	{ "bytes", "256MiB", "size of one copy between GPUs" },
	{ "host", "25%", "share of host memory that is stressed meanwhile; 0%: none" },
	{ "disks", "1", "1: all disks are read from meanwhile; 0: none" },
	{ "size", "8192", "rows and columns of the matrices" },
	{ "cublaslt", "1", "1: multiply by cuBLASLt where it is installed; 0: never" },
	{ "wgmma", "1", "1: kernels of our own use wgmma on Hopper; 0: mma.sync, as elsewhere" },
	{ "seed", "1", "of all data" },
	GPUS_KNOB,
	{ 0 },
};

static const struct metric metrics[] = {
	{ "wrong", "", NONE, BY_EVERY, NULL, "elements of products with a wrong value" },
	{ "not_finite", "", NONE, BY_EVERY, NULL, "elements that are NaN or infinite" },
	{ "mismatches", "", NONE, BY_EVERY, NULL,
	  "wrong words in memory, of GPUs and of the host" },
	{ "wrong_bytes", "B", NONE, BY_EVERY, NULL, "bytes that arrived wrong between GPUs" },
	{ "disk_errors", "", NONE, BY_EVERY, NULL, "reads of a disk that failed" },
	{ "tflops", "TFLOP/s", MORE, BY_SHARE, NULL, "bf16 in each window of random data" },
	{ "hot_share", "%", LESS, BY_EVERY, NULL,
	  "share of readings with clocks down for heat, slowdown or power brake" },
	{ "link_errors", "", LESS, BY_EVERY, NULL,
	  "growth of errors of a GPU's NVLinks, retried ones too" },
	{ "ecc_uncorrected", "", NONE, BY_EVERY, NULL, "growth of uncorrected ECC errors" },
	{ "xids", "", NONE, BY_EVERY, NULL, "XIDs that the driver reported meanwhile" },
	{ "other_tflops", "TFLOP/s", MORE, RECORDED, NULL, "windows of the other precisions" },
	{ "power", "W", MORE, RECORDED, NULL, "over time, the highest of each stretch" },
	{ "temperature", "C", LESS, RECORDED, NULL, "over time, the highest of each stretch" },
	{ "clock", "MHz", MORE, RECORDED, NULL, "over time, the lowest of each stretch" },
	{ "host_verified", "GB", MORE, RECORDED, NULL, "host memory read back and compared" },
	{ "disk_read", "GB/s", MORE, RECORDED, NULL, "rate of each disk" },
	{ 0 },
};

/* The turn that is under way is ended; host memory ends its round. */
static double seconds(const struct knobs *k)
{
	return 1.1 * knob(k, "seconds") + knob(k, "gemm") + knob(k, "memory") + CYCLE_EXTRA + 60 +
	       4 * k->gpus;
}

/* ---- one GPU ------------------------------------------------------------------------------- */

struct soaker {
	struct soak *soak;
	int gpu, cycle, rc;
	pthread_t thread;
	struct error err; /* of the work under way */
	struct gpu_burn exact, burn;
	struct gpu_memory_stress stress;
	double *windows; /* of the burn under way */
	/* so far */
	uint64_t wrong, not_finite, mismatches, gemms, words;
	double *tflops[GPU_PRECISION_COUNT];
	size_t tflops_count[GPU_PRECISION_COUNT];
	struct error burn_failure, stress_failure; /* the first ones */
};

struct copied {
	uint64_t times, wrong;
	struct error failure; /* the first one */
};

struct soak {
	struct job *job;
	struct gpu_team team;
	struct gpu_watch *watch;
	struct gpu_counters *counters;
	double end;
	int cycle;
	struct soaker soakers[GPUS_MOST]; /* of team.gpus */
	struct copied pairs[GPUS_MOST][GPUS_MOST];
	unsigned char reachable[GPUS_MOST][GPUS_MOST];
};

static double time_left(const struct soak *s)
{
	return s->end - clock_now();
}

/* Windows of products in this turn: the last turn may be a short one. */
static int windows_now(const struct soak *s)
{
	double gemm = knob(&s->job->knobs, "gemm"), left = time_left(s);
	double windows = ceil((left < gemm ? left : gemm) / knob(&s->job->knobs, "window"));

	return windows < 1 ? 1 : windows > WINDOWS_MOST ? WINDOWS_MOST : (int)windows;
}

static int has_bf16(const struct host_gpu *gpu)
{
	return (gpu->precisions >> GPU_BF16 & 1) != 0;
}

/*
 * Every other turn is one of bf16, whose rate is judged; between them the other precisions follow
 * one another. *visit: how often this one had its turn before. -1: the GPU has none at all.
 */
static int precision_of(const struct host_gpu *gpu, int cycle, int *visit)
{
	int others[GPU_PRECISION_COUNT], count = 0;

	for (int i = 0; i < GPU_PRECISION_COUNT; i++)
		if (i != GPU_BF16 && gpu->precisions >> i & 1)
			others[count++] = i;
	if (has_bf16(gpu) && (cycle % 2 == 0 || !count)) {
		*visit = count ? cycle / 2 : cycle;
		return GPU_BF16;
	}
	cycle = has_bf16(gpu) ? cycle / 2 : cycle;
	*visit = count ? cycle / count : 0;
	return count ? others[cycle % count] : -1;
}

static struct gpu_burn burn_of(const struct soaker *x, int precision, enum gpu_data data,
			       int windows, double *tflops)
{
	const struct knobs *k = &x->soak->job->knobs;

	return (struct gpu_burn){ .gpu = x->gpu,
				  .other = -1,
				  .precision = (enum gpu_precision)precision,
				  .data = data,
				  .size = (int)knob(k, "size"),
				  .window = knob(k, "window"),
				  .windows = windows,
				  .with_cublaslt = knob(k, "cublaslt") != 0,
				  .with_wgmma = knob(k, "wgmma") != 0,
				  .seed = (uint64_t)knob(k, "seed"),
				  .tflops = tflops };
}

/*
 * One window with a known result, then those that count. At every other visit a precision has the
 * data that make most heat in place of full mantissas.
 */
static void *burn_turn(void *arg)
{
	struct soaker *x = arg;
	struct soak *s = x->soak;
	int visit, precision = precision_of(team_gpu(&s->team, x->gpu), x->cycle, &visit);
	int windows = windows_now(s);
	double golden;

	if (precision < 0) {
		x->rc = error_set(&x->err, "this GPU has no precision to multiply in");
		return NULL;
	}
	x->windows = xcalloc((size_t)windows, sizeof(double));
	x->exact = burn_of(x, precision, GPU_EXACT, 1, &golden);
	x->burn = burn_of(x, precision, visit % 2 ? GPU_TOGGLE : GPU_RANDOM, windows, x->windows);
	x->rc = s->job->hw->gpu_burn(s->job->machine, &x->exact, &x->err);
	if (x->rc == 0)
		x->rc = s->job->hw->gpu_burn(s->job->machine, &x->burn, &x->err);
	return NULL;
}

static void *memory_turn(void *arg)
{
	struct soaker *x = arg;
	struct soak *s = x->soak;

	x->stress = (struct gpu_memory_stress){
		.gpu = x->gpu,
		.share = knob(&s->job->knobs, "share"),
		.seconds = knob(&s->job->knobs, "memory"),
		.seed = (uint64_t)knob(&s->job->knobs, "seed") + (uint64_t)x->cycle,
	};
	x->rc = s->job->hw->gpu_memory_stress(s->job->machine, &x->stress, &x->err);
	return NULL;
}

static void keep_failure(struct error *first, const struct error *err)
{
	if (!*first->text)
		*first = *err;
}

static void note_wrong(const struct soaker *x, const struct gpu_burn *burn)
{
	for (int i = 0; i < burn->kept; i++) {
		const struct gpu_wrong *w = &burn->first[i];

		/* -1 where it is not known */
		job_note(x->soak->job,
			 "gpu%d %s: wrong at row %d, column %d, SM %d, bits %llx instead of %llx, "
			 "turn %d",
			 x->gpu, gpu_precision_word(burn->precision), w->row, w->column, w->sm,
			 (unsigned long long)w->actual_bits, (unsigned long long)w->expected_bits,
			 x->cycle);
	}
}

/* Work that mma.sync did because wgmma was wrong counts, but is not what was to be soaked. */
static void keep_doubt(struct soaker *x, const struct gpu_burn *burn)
{
	struct error doubt;

	if (!*burn->doubt)
		return;
	error_set(&doubt, "%s", burn->doubt);
	keep_failure(&x->burn_failure, &doubt);
}

static void add_burn(struct soaker *x, const struct gpu_burn *burn)
{
	keep_doubt(x, burn);
	x->wrong += burn->wrong;
	x->not_finite += burn->not_finite;
	x->gemms += burn->verified;
	note_wrong(x, burn);
}

static void add_windows(struct soaker *x)
{
	int p = (int)x->burn.precision;

	for (int i = 0; i < x->burn.done; i++) {
		x->tflops[p] = grow(x->tflops[p], x->tflops_count[p], sizeof(double));
		x->tflops[p][x->tflops_count[p]++] = x->windows[i];
	}
}

static void after_burn(struct soaker *x)
{
	if (x->rc < 0) {
		keep_failure(&x->burn_failure, &x->err);
	} else {
		add_burn(x, &x->exact);
		add_burn(x, &x->burn);
		if (x->burn.data == GPU_RANDOM && !*x->burn.doubt)
			add_windows(x);
	}
	free(x->windows);
	x->windows = NULL;
}

static void after_memory(struct soaker *x)
{
	const struct gpu_memory_stress *w = &x->stress;

	if (x->rc < 0) {
		keep_failure(&x->stress_failure, &x->err);
		return;
	}
	x->mismatches += w->mismatches;
	x->words += w->verified_bytes / 8;
	for (int i = 0; i < w->kept; i++)
		job_note(
			x->soak->job,
			"gpu%d: wrong word at offset 0x%llx, pattern %s, SM %d: bits %016llx, read "
			"again %s, turn %d",
			x->gpu, (unsigned long long)w->first[i].offset, w->first[i].pattern,
			w->first[i].sm,
			(unsigned long long)(w->first[i].expected ^ w->first[i].actual),
			w->first[i].again == w->first[i].expected ? "it was right" : "it was wrong",
			x->cycle);
}

/* All living GPUs do the same at once, each in a thread; what came out is added up behind it. */
static void all_at_once(struct soak *s, void *(*turn)(void *), void (*after)(struct soaker *))
{
	int started[GPUS_MOST] = { 0 };

	for (int i = 0; i < s->team.gpus.count; i++) {
		struct soaker *x = &s->soakers[i];

		if (*s->team.dead[x->gpu])
			continue;
		x->cycle = s->cycle;
		x->rc = 0;
		started[i] = pthread_create(&x->thread, NULL, turn, x) == 0;
		if (!started[i])
			x->rc = error_set(&x->err, "no thread can be started for it");
	}
	for (int i = 0; i < s->team.gpus.count; i++)
		if (started[i])
			pthread_join(s->soakers[i].thread, NULL);
	for (int i = 0; i < s->team.gpus.count; i++) {
		struct soaker *x = &s->soakers[i];

		if (*s->team.dead[x->gpu])
			continue;
		after(x);
		if (x->rc < 0)
			team_probe(&s->team, x->gpu, &x->err);
	}
}

/* ---- copies between GPUs ------------------------------------------------------------------- */

static void ask_reachable(struct soak *s)
{
	const struct job_gpus *g = &s->team.gpus;

	for (int i = 0; i < g->count; i++)
		for (int k = 0; k < g->count; k++) {
			int from = g->numbers[i], to = g->numbers[k], rc;
			struct error err;

			if (i == k)
				continue;
			rc = s->job->hw->gpu_peer(s->job->machine, from, to, &err);
			s->reachable[from][to] = rc == 1;
			if (rc == 0)
				error_set(&err, "no peer access");
			if (rc <= 0)
				s->pairs[from][to].failure = err;
		}
}

/* 0, or -1 with err; then the GPUs that are dead from now on are marked. */
static int copy(struct soak *s, struct gpu_route *routes, int count, struct error *err)
{
	double gbs[GPUS_MOST * COPY_SAMPLES];
	struct gpu_copy job = { .routes = routes,
				.route_count = count,
				.way = GPU_WRITE_CE,
				.bytes = (uint64_t)knob(&s->job->knobs, "bytes"),
				.copies = COPIES,
				.samples = COPY_SAMPLES,
				.seed = (uint64_t)s->cycle };

	for (int i = 0; i < count; i++)
		routes[i].gbs = gbs + i * COPY_SAMPLES;
	if (s->job->hw->gpu_copy(s->job->machine, &job, err) < 0) {
		for (int i = 0; i < count; i++) {
			team_probe(&s->team, routes[i].from, err);
			team_probe(&s->team, routes[i].to, err);
		}
		return -1;
	}
	for (int i = 0; i < count; i++) {
		struct copied *pair = &s->pairs[routes[i].from][routes[i].to];

		pair->times++;
		pair->wrong += routes[i].wrong_bytes;
		if (routes[i].wrong_bytes)
			job_note(s->job, "gpu%d>gpu%d: %llu wrong bytes, turn %d", routes[i].from,
				 routes[i].to, (unsigned long long)routes[i].wrong_bytes, s->cycle);
	}
	return 0;
}

/* When a copy by all fails, each pair is tried alone; one that fails then is not tried again. */
static void copy_one_by_one(struct soak *s, struct gpu_route *routes, int count)
{
	for (int i = 0; i < count; i++) {
		int from = routes[i].from, to = routes[i].to;
		struct error err;

		if (team_dead(&s->team, from, to) || copy(s, &routes[i], 1, &err) == 0)
			continue;
		keep_failure(&s->pairs[from][to].failure, &err);
		s->reachable[from][to] = 0;
	}
}

/* Every GPU sends to the one so many places further; the distance changes with the turns. */
static void copies_turn(struct soak *s)
{
	int living[GPUS_MOST], n = team_living(&s->team, living), count = 0;
	int shift = n > 1 ? 1 + s->cycle % (n - 1) : 0;
	struct gpu_route routes[GPUS_MOST];
	struct error err;

	for (int i = 0; i < n && shift; i++) {
		int to = living[(i + shift) % n];

		if (s->reachable[living[i]][to])
			routes[count++] =
				(struct gpu_route){ .from = living[i], .to = to, .numa = -1 };
	}
	if (count && copy(s, routes, count, &err) < 0)
		copy_one_by_one(s, routes, count);
}

/* ---- reports ------------------------------------------------------------------------------- */

/* Errors found before something failed are errors; that there were none until then proves nothing.
 */
static void report_count(struct soak *s, const char *metric, const char *subject, uint64_t count,
			 uint64_t verified, const char *failure)
{
	if (!verified && !failure)
		failure = "nothing was verified";
	if (count || !failure)
		job_report(s->job, metric, subject, (double)count);
	if (failure)
		job_hole(s->job, metric, subject, failure);
}

static const char *failure_of(const struct soaker *x, const struct error *own)
{
	const char *dead = x->soak->team.dead[x->gpu];

	return *dead ? dead : *own->text ? own->text : NULL;
}

static void report_rates(struct soak *s, const struct soaker *x, const struct host_gpu *gpu)
{
	const char *failure = failure_of(x, &x->burn_failure);
	char subject[GPU_SUBJECT];

	for (int p = 0; p < GPU_PRECISION_COUNT; p++) {
		snprintf(subject, sizeof(subject), "%s %s", gpu->part, gpu_precision_word(p));
		if (p != GPU_BF16 && x->tflops_count[p])
			gpu_samples(s->job, "other_tflops", subject, x->tflops[p],
				    (int)x->tflops_count[p]);
	}
	if (!has_bf16(gpu)) {
		job_absent(s->job, "tflops", gpu->part, "this GPU has no bf16");
		return;
	}
	if (x->tflops_count[GPU_BF16])
		gpu_samples(s->job, "tflops", gpu->part, x->tflops[GPU_BF16],
			    (int)x->tflops_count[GPU_BF16]);
	if (failure || !x->tflops_count[GPU_BF16])
		job_hole(s->job, "tflops", gpu->part, failure ? failure : "no window was measured");
}

static void report_links(struct soak *s, const struct host_gpu *gpu)
{
	struct gpu_link link;
	struct error err;

	if (s->job->hw->gpu_links &&
	    s->job->hw->gpu_links(s->job->machine, gpu_number(gpu), &link, 1, &err) == 0)
		job_absent(s->job, "link_errors", gpu->part, "this GPU has no NVLink");
	else
		gpu_report_growth(s->counters, s->job, gpu, COUNT_LINK_ERRORS, "link_errors");
}

static void report_gpu(struct soak *s, const struct soaker *x)
{
	const struct host_gpu *gpu = team_gpu(&s->team, x->gpu);
	const char *burn = failure_of(x, &x->burn_failure);

	report_count(s, "wrong", gpu->part, x->wrong, x->gemms, burn);
	report_count(s, "not_finite", gpu->part, x->not_finite, x->gemms, burn);
	report_count(s, "mismatches", gpu->part, x->mismatches, x->words,
		     failure_of(x, &x->stress_failure));
	report_rates(s, x, gpu);
	report_links(s, gpu);
	gpu_report_growth(s->counters, s->job, gpu, COUNT_ECC_UNCORRECTED, "ecc_uncorrected");
	gpu_report_xids(s->counters, s->job, gpu, "xids");
	gpu_watch_share(s->watch, x->gpu, SHARE_HOT, "hot_share");
	gpu_watch_series(s->watch, x->gpu, WATCH_POWER, "power");
	gpu_watch_series(s->watch, x->gpu, WATCH_TEMPERATURE, "temperature");
	gpu_watch_series(s->watch, x->gpu, WATCH_CLOCK, "clock");
}

/* Pairs whose turn did not come are left out; all have one in as many turns as there are GPUs. */
static void report_pairs(struct soak *s)
{
	const struct job_gpus *g = &s->team.gpus;
	char subject[GPU_SUBJECT];
	uint64_t copied = 0;

	for (int i = 0; i < g->count; i++)
		for (int k = 0; k < g->count; k++) {
			int from = g->numbers[i], to = g->numbers[k];
			const struct copied *pair = &s->pairs[from][to];
			const char *why = *pair->failure.text ? pair->failure.text
							      : team_dead(&s->team, from, to);

			copied += pair->times;
			gpu_pair(subject, from, to);
			if (i != k && (why || pair->times))
				report_count(s, "wrong_bytes", subject, pair->wrong, pair->times,
					     why);
		}
	if (g->count == 1)
		job_absent(s->job, "wrong_bytes", "", "one GPU only");
	else if (!copied)
		job_hole(s->job, "wrong_bytes", "", "nothing was copied between GPUs");
}

/* ---- the check ----------------------------------------------------------------------------- */

static void soak_turns(struct soak *s)
{
	int living[GPUS_MOST];

	for (; time_left(s) > 0 && team_living(&s->team, living); s->cycle++) {
		all_at_once(s, burn_turn, after_burn);
		all_at_once(s, memory_turn, after_memory);
		copies_turn(s);
	}
	job_note(s->job, "%d turns of products, memory and copies", s->cycle);
}

static int soak(struct soak *s, struct error *err)
{
	const struct job_gpus *g = &s->team.gpus;
	struct host_work *host;

	for (int i = 0; i < g->count; i++) {
		s->soakers[i].soak = s;
		s->soakers[i].gpu = g->numbers[i];
	}
	s->counters = gpu_counters_new(s->job);
	s->watch = gpu_watch_start(s->job, g->numbers, g->count, WATCH_EVERY, err);
	if (s->watch) {
		ask_reachable(s);
		s->end = clock_now() + knob(&s->job->knobs, "seconds");
		host = host_work_start(s->job);
		soak_turns(s);
		host_work_end(host);
		gpu_watch_stop(s->watch);
		gpu_counters_read(s->counters, s->job);
		for (int i = 0; i < g->count; i++)
			report_gpu(s, &s->soakers[i]);
		report_pairs(s);
		host_work_report(host);
		gpu_watch_notes(s->watch);
		host_work_free(host);
	}
	return s->watch ? RUN_OK : RUN_ERROR;
}

static const char *const promised[] = { "wrong",       "not_finite", "mismatches",
					"wrong_bytes", "tflops",     "hot_share",
					"link_errors", "xids",       "ecc_uncorrected",
					NULL };

static int check_knobs(const struct knobs *k, struct error *err)
{
	if (knob(k, "share") <= 0 || knob(k, "share") > 0.97 || knob(k, "host") > 0.9)
		return error_set(err, "share must be at most 97%%, host at most 90%%");
	if (fmod(knob(k, "size"), 128) != 0 || fmod(knob(k, "bytes"), 16) != 0)
		return error_set(err, "size must be a multiple of 128, bytes of 16");
	if (knob(k, "seconds") <= 0 || knob(k, "gemm") <= 0 || knob(k, "window") <= 0)
		return error_set(err, "seconds, gemm and window must be more than 0");
	return gpu_knob_within(k, "size", 128, 65536, err) < 0 ||
			       gpu_knob_within(k, "bytes", 4096, 1e12, err) < 0
		       ? RUN_ERROR
		       : RUN_OK;
}

static void soak_free(struct soak *s)
{
	for (int i = 0; i < GPUS_MOST; i++)
		for (int p = 0; p < GPU_PRECISION_COUNT; p++)
			free(s->soakers[i].tflops[p]);
	gpu_watch_free(s->watch);
	gpu_counters_free(s->counters);
	free(s);
}

static int run(struct job *job, struct error *err)
{
	struct soak *s;
	int rc;

	if (!job->hw->gpu_burn || !job->hw->gpu_memory_stress || !job->hw->gpu_copy ||
	    !job->hw->gpu_peer)
		return job_skip(err, "%s", gpu_no_code);
	if (check_knobs(&job->knobs, err) < 0)
		return RUN_ERROR;
	s = xcalloc(1, sizeof(*s));
	s->job = job;
	rc = team_open(&s->team, job, promised, err);
	if (rc == RUN_OK)
		rc = soak(s, err);
	soak_free(s);
	return rc;
}

const struct check check_gpu_soak = {
	.name = "gpu_soak",
	.summary = "all GPUs, host memory and disks at work at once, verified and watched",
	.how = "In turns, all GPUs at once: matrix products, bf16 and the others by turns, "
	       "patterns through memory, and copies to the GPU one or more places further; "
	       "meanwhile patterns through part of host memory and reads from all disks. Every "
	       "result is verified. Power, temperature, clock and throttle bits are read each "
	       "second, errors of links and memory are counted over the whole time.",
	.scope = ALL_GPUS,
	.occupies = USES_GPUS | USES_CORES | USES_MEMORY | USES_DISKS,
	.burns = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
