/*
 * cpu_burn.c - all cores at full load, every result compared with a golden one.
 *
 * Rates are judged by windows, not by a mean: one throttled second in ten is what a mean hides. A
 * core's efficiency is what it did against what its own clock and its ports allow, so it does not
 * depend on which clock the machine happened to reach; the clock itself is recorded.
 */
#include "harness/checks/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const mixes[CPU_MIXES] = { "avx2", "avx512", "amx", "integer", "crypto" };

static const struct param params[] = {
	{ "window", "0.5s", "length of one window" },
	{ "windows", "10", "windows of each instruction mix" },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "wrong", "", NONE, BY_EVERY, NULL, "blocks of work with a wrong result, by core" },
	{ "flops", "GFLOP/s", MORE, BY_SHARE, "flops", "fp64 rate of all cores, in each window" },
	{ "efficiency", "%", MORE, BY_SHARE, "whole",
	  "that rate against the clock and the ports of the cores" },
	{ "throttled", "", NONE, BY_EVERY, NULL, "growth of the thermal throttle counters" },
	{ "clock", "GHz", MORE, RECORDED, NULL, "clock under this load, median of the cores" },
	{ "steps", "/s", MORE, RECORDED, NULL, "rate of mixes that are not counted in FLOP" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 2 + 4.2 * knob(k, "window") * knob(k, "windows");
}

struct burning {
	struct job *job;
	int cpus, windows;
	double threads_per_core;
};

/* Rate of all cores and median clock, window by window. */
static void report_rates(const struct burning *b, const struct cpu_burn *burn, const char *mix)
{
	double *rate = xcalloc((size_t)b->windows, sizeof(*rate));
	double *share = xcalloc((size_t)b->windows, sizeof(*share));
	double *clock = xcalloc((size_t)b->windows, sizeof(*clock));
	double *one = xcalloc((size_t)b->cpus, sizeof(*one));
	double cores = b->cpus / b->threads_per_core;
	int is_flops = burn->mix == CPU_AVX2 || burn->mix == CPU_AVX512;

	for (int w = 0; w < b->windows; w++) {
		for (int i = 0; i < b->cpus; i++) {
			rate[w] += burn->rate[i * b->windows + w];
			one[i] = burn->clock[i * b->windows + w];
		}
		clock[w] = median_of(one, b->cpus).value;
		share[w] = clock[w] > 0 && burn->ops_per_cycle > 0
				   ? 100 * rate[w] / (clock[w] * cores * burn->ops_per_cycle)
				   : 0;
		rate[w] /= is_flops ? 1e9 : 1;
		clock[w] /= 1e9;
	}
	job_samples(b->job, is_flops ? "flops" : "steps", mix, rate, b->windows);
	job_samples(b->job, "clock", mix, clock, b->windows);
	if (is_flops && burn->ops_per_cycle > 0)
		job_samples(b->job, "efficiency", mix, share, b->windows);
	else if (is_flops)
		job_hole(b->job, "efficiency", mix,
			 "the ports of this core model are not in the table");
	free(rate);
	free(share);
	free(clock);
	free(one);
}

static void report_wrong(const struct burning *b, const struct cpu_burn *burn, const char *mix)
{
	const struct host *host = b->job->hw->host(b->job->machine);
	char subject[48];

	for (int i = 0; i < b->cpus; i++) {
		snprintf(subject, sizeof(subject), "cpu%d/%s", host->cpus[i], mix);
		if (burn->blocks[i])
			job_report(b->job, "wrong", subject, (double)burn->wrong[i]);
		else
			job_hole(b->job, "wrong", subject, "this core finished no block of work");
	}
}

static int burn_mix(const struct burning *b, enum cpu_mix mix, struct error *err)
{
	size_t cells = (size_t)b->cpus * (size_t)b->windows;
	struct cpu_burn burn = {
		.mix = mix,
		.window = knob(&b->job->knobs, "window"),
		.windows = b->windows,
		.tamper_cpu = -1,
		.rate = xcalloc(cells, sizeof(double)),
		.clock = xcalloc(cells, sizeof(double)),
		.wrong = xcalloc((size_t)b->cpus, sizeof(uint64_t)),
		.blocks = xcalloc((size_t)b->cpus, sizeof(uint64_t)),
	};
	int rc = b->job->hw->cpu_burn(b->job->machine, &burn, err);

	if (rc == 0) {
		report_rates(b, &burn, mixes[mix]);
		report_wrong(b, &burn, mixes[mix]);
	}
	free(burn.rate);
	free(burn.clock);
	free(burn.wrong);
	free(burn.blocks);
	return rc;
}

/* A core that this process may not use was not tested, and must not look as if it were. */
static void report_forbidden(struct job *job, int allowed, double threads)
{
	char why[120];

	if (allowed >= threads)
		return;
	snprintf(why, sizeof(why), "affinity or cgroup allow %d of %.0f hardware threads here",
		 allowed, threads);
	job_hole(job, "wrong", "", why);
}

static int burn_all(struct job *job, struct error *err)
{
	double threads = job_count(job, "", "threads"), cores = job_count(job, "", "cores");
	struct burning b = {
		.job = job,
		.cpus = job->hw->host(job->machine)->cpu_count,
		.windows = (int)knob(&job->knobs, "windows"),
		.threads_per_core = cores > 0 && threads > cores ? threads / cores : 1,
	};

	if (b.windows < 1 || b.windows > 100000)
		return error_set(err, "windows must be from 1 to 100000");
	for (int mix = 0; mix < CPU_MIXES; mix++)
		if (job->hw->cpu_can(job->machine, (enum cpu_mix)mix) &&
		    burn_mix(&b, (enum cpu_mix)mix, err) < 0)
			return -1;
	report_forbidden(job, b.cpus, threads);
	return 0;
}

static int run(struct job *job, struct error *err)
{
	struct counters *c = xcalloc(1, sizeof(*c));
	int rc = counters_begin(c, job, err) < 0 || burn_all(job, err) < 0 ||
		 counters_end(c, job, err) < 0;

	if (!rc)
		counters_report(c, job, "throttle", "throttled");
	free(c);
	return rc ? RUN_ERROR : RUN_OK;
}

const struct check check_cpu_burn = {
	.name = "cpu_burn",
	.summary = "all cores: vector FMA, integer and crypto work with golden results",
	.how = "All allowed cores run blocks of fused multiply-adds (AVX2, AVX-512, AMX where "
	       "present), integer "
	       "and AES/SHA work at once. Each block ends in a digest that is compared with a "
	       "constant from the "
	       "source, made by portable scalar arithmetic, so a core that is always wrong is "
	       "found too and "
	       "named. The clock under load comes from a chain of dependent additions in the same "
	       "windows.",
	.scope = PER_NODE,
	.occupies = USES_CORES,
	.burns = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
