/*
 * gpu_p2p_latency.c - how long the smallest thing takes between two GPUs.
 *
 * Three different things that other tools all call latency, each under its own name: an operation
 * of the copy engine, a load by a kernel, and a flag that is passed to and fro.
 */
#include "harness/checks/gpu.h"

#include <stdio.h>
#include <stdlib.h>

/* A round's median is one sample, so that the figure gets an interval. */
enum { ROUNDS = 9 };

static const struct param params[] = {
	{ "bytes", "2MiB", "memory that is chased through" },
	{ "hops", "1000", "loads in one timing; flags and copies: a tenth of it" },
	{ "timings", "100", "timings in each of 9 rounds" },
	GPUS_KNOB,
	{ 0 },
};

#define TIME(name, judged, what)                                                                   \
	{                                                                                          \
		name, "ns", LESS, judged, NULL, what                                               \
	}
static const struct metric metrics[] = {
	TIME("copy_16b", BY_MEDIAN, "one copy of 16 bytes among many that are queued"),
	TIME("copy_16b_p99", RECORDED, "99th percentile of it"),
	TIME("copy_16b_min", RECORDED, "the fastest timing of a round"),
	TIME("chase", BY_MEDIAN, "one load that waits for the one before"),
	TIME("chase_p99", RECORDED, "99th percentile of it"),
	TIME("chase_min", RECORDED, "the fastest timing of a round"),
	TIME("flag", BY_MEDIAN, "a flag from one GPU to the other, one way"),
	TIME("flag_p99", RECORDED, "99th percentile of it"),
	TIME("flag_min", RECORDED, "the fastest timing of a round"),
	{ 0 },
};

static const struct {
	enum gpu_latency_kind kind;
	const char *name, *p99, *min;
	int hops_by; /* hops are divided by this */
	int own;     /* also of a GPU with itself */
} kinds[] = {
	{ GPU_COPY_16B, "copy_16b", "copy_16b_p99", "copy_16b_min", 10, 1 },
	{ GPU_CHASE, "chase", "chase_p99", "chase_min", 1, 1 },
	{ GPU_FLAG, "flag", "flag_p99", "flag_min", 10, 0 },
};

static double seconds(const struct knobs *k)
{
	/* 2 us a load, 3 us a copy or a round trip: twice what slow paths over PCIe take */
	double hops = ROUNDS * knob(k, "timings") * knob(k, "hops");
	double pair = 1 + hops * (2e-6 + 2 * 3e-6 / 10);

	return 10 + 3 * k->gpus + k->gpus * k->gpus * pair;
}

struct latencies {
	struct job *job;
	struct gpu_team team;
	int timings;
	double *ns; /* of all rounds */
};

static void report(struct latencies *l, int kind, const char *subject)
{
	double mid[ROUNDS], p99[ROUNDS], least[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		const double *round = l->ns + i * l->timings;

		mid[i] = median_of(round, l->timings).value;
		p99[i] = percentile_of(round, l->timings, 0.99);
		least[i] = percentile_of(round, l->timings, 0);
	}
	gpu_samples(l->job, kinds[kind].name, subject, mid, ROUNDS);
	gpu_samples(l->job, kinds[kind].p99, subject, p99, ROUNDS);
	gpu_samples(l->job, kinds[kind].min, subject, least, ROUNDS);
}

/* 0, or -1 with err; then a GPU that is dead from now on is marked. */
static int measure(struct latencies *l, int kind, int from, int to, struct error *err)
{
	int hops = (int)knob(&l->job->knobs, "hops") / kinds[kind].hops_by;
	struct gpu_latency job = { .kind = kinds[kind].kind,
				   .from = from,
				   .to = to,
				   .bytes = (uint64_t)knob(&l->job->knobs, "bytes"),
				   .samples = ROUNDS * l->timings,
				   .hops = hops < 1 ? 1 : hops,
				   .ns = l->ns };

	if (l->job->hw->gpu_latency(l->job->machine, &job, err) == 0)
		return 0;
	team_probe(&l->team, from, err);
	team_probe(&l->team, to, err);
	return -1;
}

static void measure_pair(struct latencies *l, int from, int to)
{
	struct error err = { "" };
	int reachable = from == to ? 1 : l->job->hw->gpu_peer(l->job->machine, from, to, &err);
	char subject[GPU_SUBJECT];

	if (reachable == 0)
		error_set(&err, "no peer access");
	gpu_pair(subject, from, to);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *dead = team_dead(&l->team, from, to);

		if (from == to && !kinds[i].own)
			continue;
		if (dead || reachable <= 0)
			job_hole(l->job, kinds[i].name, subject, dead ? dead : err.text);
		else if (measure(l, (int)i, from, to, &err) < 0)
			job_hole(l->job, kinds[i].name, subject, err.text);
		else
			report(l, (int)i, subject);
	}
}

static void measure_all(struct latencies *l)
{
	const struct job_gpus *gpus = &l->team.gpus;

	for (int i = 0; i < gpus->count; i++)
		for (int k = 0; k < gpus->count; k++)
			measure_pair(l, gpus->numbers[i], gpus->numbers[k]);
	if (gpus->count > 1)
		return;
	job_absent(l->job, "flag", "", "one GPU only");
	job_absent(l->job, "flag_p99", "", "one GPU only");
	job_absent(l->job, "flag_min", "", "one GPU only");
}

static const char *const promised[] = { "copy_16b", "chase", "flag", NULL };

static int run(struct job *job, struct error *err)
{
	struct latencies *l;
	int rc;

	if (!job->hw->gpu_latency || !job->hw->gpu_peer)
		return job_skip(err, "%s", gpu_no_code);
	if (gpu_knob_within(&job->knobs, "bytes", 256, 1e12, err) < 0 ||
	    gpu_knob_within(&job->knobs, "hops", 1, 1e6, err) < 0 ||
	    gpu_knob_within(&job->knobs, "timings", 1, GPU_SAMPLES_MOST, err) < 0)
		return RUN_ERROR;
	l = xcalloc(1, sizeof(*l));
	l->job = job;
	l->timings = (int)knob(&job->knobs, "timings");
	l->ns = xcalloc((size_t)l->timings * ROUNDS, sizeof(*l->ns));
	rc = team_open(&l->team, job, promised, err);
	if (rc == RUN_OK)
		measure_all(l);
	free(l->ns);
	free(l);
	return rc;
}

const struct check check_gpu_p2p_latency = {
	.name = "gpu_p2p_latency",
	.summary = "latency between every two GPUs: small copies, dependent loads, flags",
	.how = "copy_16b is the time of one 16 byte operation of the copy engine among many that "
	       "are queued. chase is one load by one thread in memory of the other GPU, where each "
	       "load says where the next one is. flag is half of a round trip of a word that two "
	       "kernels write into each other's memory. Every timing is the mean of many; a round "
	       "of timings gives one sample.",
	.scope = ALL_GPUS,
	.occupies = USES_GPUS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
