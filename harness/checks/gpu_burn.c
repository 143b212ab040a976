/*
 * gpu_burn.c - matrix products at full load on one GPU, every one of them verified.
 *
 * Small integers show errors that never change, for their right result is known; full mantissas
 * show what only real data stirs, and give a digest that GPUs of one model must share; neighbours
 * that differ in every bit make the most heat. Rates are judged by windows of the second kind.
 */
#include "harness/checks/gpu_watch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOWS_MOST = 1000000, KINDS = 3 };
#define WATCH_EVERY 0.25   /* seconds */
#define EXTRA_PER_BURN 4.0 /* seconds to fill operands and to know their result, expected */

static const struct param params[] = {
	{ "size", "8192", "rows and columns of the matrices" },
	{ "window", "1s", "length of one window" },
	{ "windows", "30", "windows of each precision" },
	{ "exact", "10%", "share of the windows with small integers" },
	{ "random", "60%", "share with full mantissas, which rates are judged by" },
	{ "toggle", "30%", "share with neighbours that differ in every bit" },
	{ "fp64", "1", "0: leave it out" },
	{ "tf32", "1", "0: leave it out" },
	{ "bf16", "1", "0: leave it out" },
	{ "fp16", "1", "0: leave it out" },
	{ "fp8", "1", "0: leave it out" },
	{ "int8", "1", "0: leave it out" },
	{ "rest", "0s", "toggle windows: pause after each step of work; 0: none" },
	{ "step", "0.2s", "toggle windows: work between two pauses" },
	{ "cublaslt", "1", "1: multiply by cuBLASLt where it is installed; 0: never" },
	{ "wgmma", "1", "1: kernels of our own use wgmma on Hopper; 0: mma.sync, as elsewhere" },
	{ "seed", "1", "of the data; GPUs with the same seed must have the same digest" },
	GPUS_KNOB,
	{ 0 },
};

#define RATE(name, what)                                                                           \
	{                                                                                          \
		name, "TFLOP/s", MORE, BY_SHARE, "gpu_" name, what                                 \
	}
static const struct metric metrics[] = {
	/* the first ones in the order of gpu_precision */
	RATE("fp64", "fp64 in each window of random data"),
	RATE("tf32", "tf32, fp32 out"),
	RATE("bf16", "bf16, fp32 out"),
	RATE("fp16", "fp16, fp32 out"),
	RATE("fp8", "fp8 (e4m3), fp32 out"),
	RATE("int8", "int8, int32 out: 10^12 integer operations a second"),
	{ "wrong", "", NONE, BY_EVERY, NULL, "elements with a wrong value, by precision" },
	{ "not_finite", "", NONE, BY_EVERY, NULL, "elements that are NaN or infinite" },
	{ "verify_share", "%", LESS, BY_EVERY, NULL, "share of the time that verifying took" },
	{ "temperature", "C", LESS, BY_EVERY, NULL, "of the GPU" },
	{ "memory_temperature", "C", LESS, BY_EVERY, NULL, "of its memory" },
	{ "hot_share", "%", LESS, BY_EVERY, NULL,
	  "share of readings with clocks down for heat, slowdown or power brake" },
	{ "cap_share", "%", LESS, RECORDED, NULL, "share of readings at the power limit" },
	{ "power", "W", MORE, RECORDED, NULL, "mean of each window" },
	{ "clock", "MHz", MORE, RECORDED, NULL, "of the SMs, mean of each window" },
	{ "verified_hours", "h", MORE, RECORDED, NULL, "time whose products were all verified" },
	{ "bound", "", LESS, RECORDED, NULL,
	  "faults an hour of this GPU, at most, with 95 % confidence: 3 / verified_hours" },
	{ 0 },
};

static const char *const kind_knobs[KINDS] = {
	[GPU_EXACT] = "exact", [GPU_RANDOM] = "random", [GPU_TOGGLE] = "toggle"
};

static int windows_of(const struct knobs *k, int kind)
{
	double windows = knob(k, "windows") * knob(k, kind_knobs[kind]);

	return windows <= 0 ? 0 : windows < 1 ? 1 : (int)(windows + 0.5);
}

/* Power steps take time in which nothing is multiplied. */
static double seconds(const struct knobs *k)
{
	double one = 0, step = knob(k, "step"), all = 0;

	for (int kind = 0; kind < KINDS; kind++) {
		double took = windows_of(k, kind) * knob(k, "window");

		if (kind == GPU_TOGGLE && knob(k, "rest") > 0 && step > 0)
			took *= 1 + knob(k, "rest") / step;
		if (windows_of(k, kind) > 0)
			one += took * 1.1 + EXTRA_PER_BURN;
	}
	for (int i = 0; i < GPU_PRECISION_COUNT; i++)
		all += knob(k, gpu_precision_word(i)) != 0 ? one : 0;
	return 10 + all;
}

/* ---- one burn: one precision, one kind of data --------------------------------------------- */

struct burning {
	struct job *job;
	const struct host_gpu *gpu;
	int other;          /* where wrong work is repeated, -1: nowhere */
	const char *driver; /* its version */
	struct gpu_watch *watch;
	double *tflops, *means[WATCHED]; /* of the windows of one burn */
	double took, verifying, verified_seconds;
	uint64_t wrong, not_finite; /* of the precision at work */
	uint64_t all_wrong;         /* both, of all precisions */
	int failures;               /* precisions that did not come to their end */
	char doubt[GPU_DOUBT];      /* wgmma was wrong in the precision at work: what it means */
	int is_engine_told;         /* of the precision at work */
};

static int after_window(void *arg, int window)
{
	struct burning *b = arg;

	for (int i = 0; i < WATCHED; i++)
		b->means[i][window] =
			gpu_watch_mean(b->watch, gpu_number(b->gpu), (enum gpu_watched)i);
	return 0;
}

/* Windows in which the driver told nothing are left out. */
static void report_windows(struct burning *b, const char *metric, const char *subject, double *v,
			   int n)
{
	int known = 0;

	for (int i = 0; i < n; i++)
		if (isfinite(v[i]))
			v[known++] = v[i];
	if (known)
		job_samples(b->job, metric, subject, v, known);
	else
		job_hole(
			b->job, metric, subject,
			"no reading in any window: the driver does not tell it, or the windows are "
			"too short");
}

static const char *again_text(enum gpu_again again)
{
	return again == GPU_RIGHT_AGAIN   ? "right"
	       : again == GPU_WRONG_AGAIN ? "wrong again"
					  : "not repeated";
}

/* "1410 MHz, 61 C" of the window in which it happened. */
static void conditions(const struct burning *b, const struct gpu_burn *burn, int window,
		       char out[64])
{
	int known = window >= 0 && window < burn->done;
	double clock = known ? b->means[WATCH_CLOCK][window] : NAN;
	double heat = known ? b->means[WATCH_TEMPERATURE][window] : NAN;

	snprintf(out, 64, "clock and temperature not known");
	if (isfinite(clock) && isfinite(heat))
		snprintf(out, 64, "%.0f MHz, %.0f C", clock, heat);
}

/* "row 5, column 6, SM 44": as much of it as is known. */
static void place(const struct gpu_wrong *w, char out[80])
{
	char row[24] = "place not known", column[24] = "", sm[24] = "SM not known";

	if (w->row >= 0)
		snprintf(row, sizeof(row), "row %d", w->row);
	if (w->row >= 0 && w->column >= 0)
		snprintf(column, sizeof(column), ", column %d", w->column);
	if (w->sm >= 0)
		snprintf(sm, sizeof(sm), "SM %d", w->sm);
	snprintf(out, 80, "%s%s, %s", row, column, sm);
}

/* The values of an element; where only a checksum was wrong, there are none. */
static void values(const struct gpu_wrong *w, char out[80])
{
	if (isnan(w->expected))
		snprintf(out, 80, "a checksum");
	else
		snprintf(out, 80, "%.9g instead of %.9g", w->actual, w->expected);
}

static void note_wrong(const struct burning *b, const struct gpu_burn *burn)
{
	char what[GPU_SUBJECT];

	snprintf(what, sizeof(what), "%s %s %s", b->gpu->part, gpu_precision_word(burn->precision),
		 kind_knobs[burn->data]);
	for (int i = 0; i < burn->kept; i++) {
		const struct gpu_wrong *w = &burn->first[i];
		char where[80], which[80], when[64];

		place(w, where);
		values(w, which);
		conditions(b, burn, w->window, when);
		job_note(b->job,
			 "%s: wrong at %s: %s, bits %" PRIx64 " instead of %" PRIx64
			 " (differ in %" PRIx64 "), after %.1f s, %s; done again on this GPU: %s, "
			 "on another: %s",
			 what, where, which, w->actual_bits, w->expected_bits,
			 w->actual_bits ^ w->expected_bits, w->at, when, again_text(w->same_gpu),
			 again_text(w->other_gpu));
	}
}

/*
 * GPUs of one model that run one image must agree on it: the judge lets them vote. What an engine
 * says in brackets (why cuBLASLt was not used) makes no difference to the result.
 */
static void record_digest(const struct burning *b, const struct gpu_burn *burn)
{
	int len = (int)strcspn(burn->engine, "(");
	char key[200], value[24];

	while (len > 0 && burn->engine[len - 1] == ' ')
		len--;
	snprintf(key, sizeof(key), "digest %s %d %" PRIu64 " %.*s, %s",
		 gpu_precision_word(burn->precision), burn->size, burn->seed, len, burn->engine,
		 b->gpu->model);
	snprintf(value, sizeof(value), "%016" PRIx64, burn->digest);
	b->job->sink->fact(b->job->sink->arg, b->gpu->part, key, value, NULL);
}

/*
 * Who multiplied, and what wgmma made of a product whose result is known: a vote as well, so that a
 * GPU whose wgmma is wrong alone is found to be so, and one that only repeats what all say is not
 * accused. Among those of one driver, for that has its part in what comes out.
 */
static void record_engine(struct burning *b, const struct gpu_burn *burn)
{
	char key[200], value[24];

	if (*burn->doubt && !*b->doubt)
		snprintf(b->doubt, sizeof(b->doubt), "%s", burn->doubt);
	if (*burn->doubt)
		job_note(b->job, "%s: %s", b->gpu->part, burn->doubt);
	if (!*burn->engine || b->is_engine_told)
		return;
	b->is_engine_told = 1;
	snprintf(key, sizeof(key), "engine %s", gpu_precision_word(burn->precision));
	b->job->sink->fact(b->job->sink->arg, b->gpu->part, key, burn->engine, NULL);
	if (!burn->proof)
		return;
	snprintf(key, sizeof(key), "digest wgmma %s %d %" PRIu64 ", %s, driver %s",
		 gpu_precision_word(burn->precision), burn->proof_size, burn->seed, b->gpu->model,
		 b->driver);
	snprintf(value, sizeof(value), "%016" PRIx64, burn->proof);
	b->job->sink->fact(b->job->sink->arg, b->gpu->part, key, value, NULL);
}

/* A rate by mma.sync says nothing about a limit that was made for wgmma. */
static void report_rate(struct burning *b, struct gpu_burn *burn)
{
	const char *name = gpu_precision_word(burn->precision);

	if (*burn->doubt)
		job_hole(b->job, name, b->gpu->part, burn->doubt);
	else
		gpu_samples(b->job, name, b->gpu->part, burn->tflops, burn->done);
}

static void report_burn(struct burning *b, struct gpu_burn *burn)
{
	const char *name = gpu_precision_word(burn->precision);
	char what[GPU_SUBJECT];

	snprintf(what, sizeof(what), "%s %s %s", b->gpu->part, name, kind_knobs[burn->data]);
	job_note(b->job,
		 "%s: %s, %" PRIu64 " products, %" PRIu64
		 " verified, %.1f s, %.1f s of it verifying",
		 what, burn->engine, burn->gemms, burn->verified, burn->took, burn->verifying);
	report_windows(b, "power", what, b->means[WATCH_POWER], burn->done);
	report_windows(b, "clock", what, b->means[WATCH_CLOCK], burn->done);
	if (burn->data != GPU_RANDOM)
		return;
	report_rate(b, burn);
	record_digest(b, burn);
}

static void add_up(struct burning *b, const struct gpu_burn *burn)
{
	b->wrong += burn->wrong;
	b->not_finite += burn->not_finite;
	b->all_wrong += burn->wrong + burn->not_finite;
	b->took += burn->took;
	b->verifying += burn->verifying;
	if (burn->gemms)
		b->verified_seconds += (burn->took - burn->verifying) * (double)burn->verified /
				       (double)burn->gemms;
}

static void alloc_windows(struct burning *b, int windows)
{
	b->tflops = xcalloc((size_t)windows, sizeof(double));
	for (int i = 0; i < WATCHED; i++) {
		b->means[i] = xcalloc((size_t)windows, sizeof(double));
		gpu_watch_mean(b->watch, gpu_number(b->gpu), (enum gpu_watched)i); /* from now */
	}
}

static void free_windows(struct burning *b)
{
	free(b->tflops);
	for (int i = 0; i < WATCHED; i++)
		free(b->means[i]);
}

/* 0, or -1 with err when it could not be measured, or not one product was verified. */
static int burn_kind(struct burning *b, enum gpu_precision precision, int kind, struct error *err)
{
	const struct knobs *k = &b->job->knobs;
	struct gpu_burn burn = {
		.gpu = gpu_number(b->gpu),
		.other = b->other,
		.precision = precision,
		.data = (enum gpu_data)kind,
		.size = (int)knob(k, "size"),
		.window = knob(k, "window"),
		.windows = windows_of(k, kind),
		.rest = kind == GPU_TOGGLE ? knob(k, "rest") : 0,
		.step = knob(k, "step"),
		.with_cublaslt = knob(k, "cublaslt") != 0,
		.with_wgmma = knob(k, "wgmma") != 0,
		.seed = (uint64_t)knob(k, "seed"),
		.each = after_window,
		.arg = b,
	};
	int rc;

	alloc_windows(b, burn.windows);
	burn.tflops = b->tflops;
	rc = b->job->hw->gpu_burn(b->job->machine, &burn, err);
	if (rc == 0 || burn.wrong || burn.not_finite)
		add_up(b, &burn); /* what was wrong stays so when the GPU fails later */
	note_wrong(b, &burn);
	record_engine(b, &burn);
	if (rc == 0) {
		report_burn(b, &burn);
		if (burn.done < 1 || burn.verified < 1)
			rc = error_set(err, "no product of %s data was verified", kind_knobs[kind]);
	}
	free_windows(b);
	return rc;
}

/* ---- one precision ------------------------------------------------------------------------- */

static int has_rates(const struct burning *b)
{
	return windows_of(&b->job->knobs, GPU_RANDOM) > 0;
}

/* Errors found before something failed are errors; that there were none until then proves nothing.
 */
static void report_errors(struct burning *b, int precision, const char *failure)
{
	const struct {
		const char *metric;
		uint64_t count;
	} rows[] = { { "wrong", b->wrong }, { "not_finite", b->not_finite } };
	char subject[GPU_SUBJECT];

	snprintf(subject, sizeof(subject), "%s %s", b->gpu->part, gpu_precision_word(precision));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].count || !failure)
			job_report(b->job, rows[i].metric, subject, (double)rows[i].count);
		if (failure)
			job_hole(b->job, rows[i].metric, subject, failure);
	}
}

/* 0, or -1 with err when it could not be measured to its end. */
static int burn_precision(struct burning *b, int precision, struct error *err)
{
	static const int order[KINDS] = { GPU_EXACT, GPU_RANDOM, GPU_TOGGLE };
	int rc = 0, rated = !has_rates(b);

	b->wrong = b->not_finite = 0;
	b->doubt[0] = '\0';
	b->is_engine_told = 0;
	for (int i = 0; i < KINDS && rc == 0; i++) {
		if (windows_of(&b->job->knobs, order[i]) < 1)
			continue;
		rc = burn_kind(b, (enum gpu_precision)precision, order[i], err);
		rated |= rc == 0 && order[i] == GPU_RANDOM;
	}
	report_errors(b, precision, rc < 0 ? err->text : *b->doubt ? b->doubt : NULL);
	if (!rated)
		job_hole(b->job, metrics[precision].name, b->gpu->part, err->text);
	b->failures += rc < 0 || *b->doubt;
	return rc;
}

static void give_up(struct burning *b, int precision, const char *why)
{
	b->wrong = b->not_finite = 0;
	report_errors(b, precision, why);
	if (has_rates(b))
		job_hole(b->job, metrics[precision].name, b->gpu->part, why);
	b->failures++;
}

/* Why a precision is not burnt, or NULL. */
static const char *left_out(const struct burning *b, int precision, char why[80])
{
	const char *name = gpu_precision_word(precision);

	if (!(b->gpu->precisions & 1u << precision))
		snprintf(why, 80, "this GPU has no %s", name);
	else if (knob(&b->job->knobs, name) == 0)
		snprintf(why, 80, "left out by the knob %s", name);
	else
		return NULL;
	return why;
}

/* A dead GPU fails in every precision; it is not asked again for each. Returns how many it did. */
static int burn_all(struct burning *b)
{
	struct error err, asked, dead = { "" };
	char why[80];
	int burnt = 0;

	for (int i = 0; i < GPU_PRECISION_COUNT; i++) {
		if (left_out(b, i, why)) {
			job_absent(b->job, metrics[i].name, b->gpu->part, why);
			continue;
		}
		burnt++;
		if (!has_rates(b))
			job_absent(b->job, metrics[i].name, b->gpu->part,
				   "left out by the knob random");
		if (*dead.text)
			give_up(b, i, dead.text);
		else if (burn_precision(b, i, &err) < 0 &&
			 gpu_alive(b->job, gpu_number(b->gpu), &asked) < 0)
			error_set(&dead, "it stopped working at %s: %.400s", gpu_precision_word(i),
				  err.text);
	}
	return burnt;
}

/* ---- the check ----------------------------------------------------------------------------- */

/* With no fault in T hours the rate is below 3 / T with 95 % confidence: exp(-3) is 5 %. */
static void report_bound(struct burning *b)
{
	double hours = b->verified_seconds / 3600;

	job_report(b->job, "verified_hours", b->gpu->part, hours);
	if (b->all_wrong || b->failures)
		job_absent(b->job, "bound", b->gpu->part, "not all of it went well");
	else if (hours > 0)
		job_report(b->job, "bound", b->gpu->part, 3 / hours);
	else
		job_hole(b->job, "bound", b->gpu->part, "no time was verified");
}

static void report_sensors(struct burning *b)
{
	int gpu = gpu_number(b->gpu);

	gpu_watch_series(b->watch, gpu, WATCH_TEMPERATURE, "temperature");
	gpu_watch_series(b->watch, gpu, WATCH_MEMORY_TEMPERATURE, "memory_temperature");
	gpu_watch_share(b->watch, gpu, SHARE_HOT, "hot_share");
	gpu_watch_share(b->watch, gpu, SHARE_CAPPED, "cap_share");
	gpu_watch_notes(b->watch);
}

static int burn(struct burning *b, struct error *err)
{
	int gpu = gpu_number(b->gpu), burnt;

	b->watch = gpu_watch_start(b->job, &gpu, 1, WATCH_EVERY, err);
	if (!b->watch)
		return RUN_ERROR;
	burnt = burn_all(b);
	gpu_watch_stop(b->watch);
	if (b->took > 0)
		job_report(b->job, "verify_share", b->gpu->part, 100 * b->verifying / b->took);
	else
		job_hole(b->job, "verify_share", b->gpu->part, "nothing was multiplied");
	report_bound(b);
	report_sensors(b);
	gpu_watch_free(b->watch);
	return burnt ? RUN_OK : error_set(err, "no precision is left to burn");
}

/* The next one that the spec lets compute; only asked when something was wrong. */
static int other_gpu(struct job *job, const struct host_gpu *gpu)
{
	struct error ignored; /* it was listed a moment ago */
	const struct host_gpus *all = job->hw->gpus(job->machine, &ignored);

	for (int i = 1; all && i < all->count; i++) {
		const struct host_gpu *g = &all->items[(gpu_number(gpu) + i) % all->count];

		if (g->usable && job_may_compute(job, g->part))
			return gpu_number(g);
	}
	return -1;
}

static int check_knobs(const struct knobs *k, struct error *err)
{
	double shares = 0;

	for (int i = 0; i < KINDS; i++)
		shares += knob(k, kind_knobs[i]);
	if (shares <= 0 || shares > 1.001)
		return error_set(err, "exact, random and toggle must add up to 100%% at most");
	if (fmod(knob(k, "size"), 128) != 0)
		return error_set(err, "size must be a multiple of 128");
	if (knob(k, "window") <= 0 || (knob(k, "rest") > 0 && knob(k, "step") <= 0))
		return error_set(err, "window and step must be more than 0");
	return gpu_knob_within(k, "size", 128, 65536, err) < 0 ||
			       gpu_knob_within(k, "windows", 1, WINDOWS_MOST, err) < 0
		       ? RUN_ERROR
		       : RUN_OK;
}

static int run(struct job *job, struct error *err)
{
	struct burning b = { .job = job };

	if (!job->hw->gpus || !job->hw->gpu_burn)
		return job_skip(err, "%s", gpu_no_code);
	if (check_knobs(&job->knobs, err) < 0)
		return RUN_ERROR;
	b.gpu = job_gpu(job, err);
	if (!b.gpu)
		return RUN_ERROR;
	b.other = other_gpu(job, b.gpu);
	b.driver = job->hw->gpus(job->machine, err)->driver;
	return burn(&b, err);
}

const struct check check_gpu_burn = {
	.name = "gpu_burn",
	.summary = "matrix products in all precisions at full load, verified",
	.how = "Multiplies matrices in every precision of the GPU's tensor cores, in windows that "
	       "end with the work done. Small integers give a result that is known beforehand in "
	       "any order of adding; full mantissas are compared over time by digests, and by the "
	       "judge with all GPUs of the run; data whose bits all change make heat. A wrong "
	       "element is done again here and on another GPU and named with its place, SM, clock "
	       "and temperature. Sensors are read four times a second.",
	.scope = PER_GPU,
	.occupies = USES_GPUS,
	.burns = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
