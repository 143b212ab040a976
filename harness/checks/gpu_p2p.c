/*
 * gpu_p2p.c - copies between every two GPUs of a node.
 *
 * One pair at a time shows the links of that pair; rounds and shifts, in which all GPUs copy at
 * once, show the switches that pairs share and that no single pair can fill. Each direction apart,
 * because a link often loses lanes one way only.
 */
#include "harness/checks/gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIR_SECONDS 0.4     /* all timings of a pair: slower ones are done with fewer copies */
#define PREPARE_SECONDS 0.03 /* buffers, expected */
#define PREPARE_RATE 10e9    /* bytes a second of filling and comparing, expected */
#define EXPECTED_RATE 100e9  /* bytes a second between two GPUs, for the estimate alone */
enum { COPIES_LEAST = 2, STAGED_FAILURES = 2 };

static const struct param params[] = {
	{ "bytes", "256MiB", "size of one copy" },
	{ "copies", "8", "copies in one timing, at most: slow paths get fewer" },
	{ "samples", "9", "timings" },
	{ "ways", "4", "how many of write, read, sm_write, sm_read, in this order" },
	{ "strict", "0", "1: only one pair at a time, no rounds and shifts" },
	{ "seed", "1", "of the data" },
	GPUS_KNOB,
	{ 0 },
};

#define PAIR_RATE(name, ceiling, what)                                                             \
	{                                                                                          \
		name, "GB/s", MORE, BY_MEDIAN, ceiling, what                                       \
	}
static const struct metric metrics[] = {
	PAIR_RATE("write", "nvlink", "copy engine of the source, one pair at a time"),
	PAIR_RATE("read", "nvlink", "copy engine of the destination"),
	PAIR_RATE("sm_write", "nvlink", "kernel on the source that stores"),
	PAIR_RATE("sm_read", "nvlink", "kernel on the destination that loads"),
	PAIR_RATE("both", NULL,
		  "both directions at once, their sum; on the diagonal a copy in its "
		  "own memory, read and write"),
	PAIR_RATE("round_write", "nvlink", "as write, while all other GPUs copy in pairs"),
	PAIR_RATE("shift", "nvlink", "as write, while every GPU sends to one and receives"),
	{ "reachable", "", MORE, BY_EVERY, NULL, "1 if the driver gives direct access" },
	{ "wrong_bytes", "B", NONE, BY_EVERY, NULL, "bytes that arrived wrong, all ways" },
	{ "staged", "GB/s", MORE, RECORDED, NULL, "through host memory, direct access off" },
	{ "staged_both", "GB/s", MORE, RECORDED, NULL, "the same in both directions, their sum" },
	{ 0 },
};

enum { WAYS = 4 };
static const enum gpu_way ways[WAYS] = { GPU_WRITE_CE, GPU_READ_CE, GPU_WRITE_SM, GPU_READ_SM };

/* Expected where pairs have links of their own; over shared PCIe the cap of a pair is reached. */
static double seconds(const struct knobs *k)
{
	double n = k->gpus;
	double copied = knob(k, "bytes") * knob(k, "copies") * knob(k, "samples");
	double timing =
		copied / EXPECTED_RATE < PAIR_SECONDS ? copied / EXPECTED_RATE : PAIR_SECONDS;
	double prepare = PREPARE_SECONDS + knob(k, "bytes") / PREPARE_RATE;
	/* the ways and both, and the same twice through host memory; and two probes */
	double pair = (knob(k, "ways") + 3) * (timing + prepare) + 2 * prepare;
	/* rounds both ways, and shifts: buffers of all GPUs, then a timing of all at once */
	double company = knob(k, "strict") != 0 ? 0 : 3 * n * (n * prepare + timing);

	return 10 + 4 * n + n * (n - 1) * pair + company;
}

/* ---- one measurement ----------------------------------------------------------------------- */

struct pair {
	int reachable; /* 1, 0, or -1: not known */
	int copies;    /* in one timing, by the rate of a probe */
	uint64_t copied, wrong;
	char why[300]; /* not reachable or not known: why */
};

struct p2p {
	struct job *job;
	struct gpu_team team;
	int n, ways, samples, copies, late;
	int staged_failures[2];                  /* of pairs whose GPUs live: alone, both ways */
	const int *gpus;                         /* numbers of the n */
	double *gbs;                             /* room for the samples of n routes */
	struct pair pairs[GPUS_MOST][GPUS_MOST]; /* by numbers of GPUs */
};

static void count_wrong(struct p2p *p, const struct gpu_route *r)
{
	struct pair *pair = &p->pairs[r->from][r->to];

	pair->copied++;
	/* Of a path that is broken every copy is wrong; one note a pair is enough. */
	if (r->wrong_bytes && !pair->wrong)
		job_note(p->job, "gpu%d>gpu%d: %llu wrong bytes, the first at offset %llu", r->from,
			 r->to, (unsigned long long)r->wrong_bytes,
			 (unsigned long long)r->first_wrong);
	pair->wrong += r->wrong_bytes;
}

static struct gpu_route route_of(struct p2p *p, int from, int to, int place)
{
	return (struct gpu_route){
		.from = from, .to = to, .numa = -1, .gbs = p->gbs + place * p->samples
	};
}

/* All routes at once. 0 or -1; then the GPUs that are dead from now on are marked. */
static int copy(struct p2p *p, struct gpu_route *routes, int count, enum gpu_way way, int copies,
		int samples, struct error *err)
{
	struct gpu_copy job = { .routes = routes,
				.route_count = count,
				.way = way,
				.bytes = (uint64_t)knob(&p->job->knobs, "bytes"),
				.copies = copies,
				.samples = samples,
				.seed = (uint64_t)knob(&p->job->knobs, "seed") };

	if (p->job->hw->gpu_copy(p->job->machine, &job, err) == 0) {
		p->late += job.invalid;
		for (int i = 0; i < count; i++)
			count_wrong(p, &routes[i]);
		return 0;
	}
	for (int i = 0; i < count; i++) {
		team_probe(&p->team, routes[i].from, err);
		team_probe(&p->team, routes[i].to, err);
	}
	return -1;
}

/* Why nothing can be copied directly from one to the other, or NULL. */
static const char *obstacle(const struct p2p *p, int from, int to)
{
	const char *dead = team_dead(&p->team, from, to);

	return dead ? dead : p->pairs[from][to].reachable == 1 ? NULL : p->pairs[from][to].why;
}

/* ---- one pair at a time -------------------------------------------------------------------- */

static void measure(struct p2p *p, int from, int to, enum gpu_way way, int copies,
		    const char *metric)
{
	struct gpu_route route = route_of(p, from, to, 0);
	const char *dead = team_dead(&p->team, from, to);
	char subject[GPU_SUBJECT];
	struct error err;

	gpu_pair(subject, from, to);
	if (dead)
		job_hole(p->job, metric, subject, dead);
	else if (copy(p, &route, 1, way, copies, p->samples, &err) < 0)
		job_hole(p->job, metric, subject, err.text);
	else
		gpu_samples(p->job, metric, subject, p->gbs, p->samples);
}

static int measure_both(struct p2p *p, int from, int to, enum gpu_way way, int copies,
			const char *metric)
{
	struct gpu_route routes[] = { route_of(p, from, to, 0), route_of(p, to, from, 1) };
	const char *dead = team_dead(&p->team, from, to);
	char subject[GPU_SUBJECT];
	struct error err;

	gpu_pair(subject, from, to);
	if (dead || copy(p, routes, 2, way, copies, p->samples, &err) < 0) {
		job_hole(p->job, metric, subject, dead ? dead : err.text);
		return -1;
	}
	for (int i = 0; i < p->samples; i++)
		p->gbs[i] += p->gbs[p->samples + i];
	gpu_samples(p->job, metric, subject, p->gbs, p->samples);
	return 0;
}

/* Timings of a path of 20 GB/s would take ten times as long as those of NVLink, to no gain. */
static int fit_copies(const struct p2p *p, double gbs)
{
	double bytes = knob(&p->job->knobs, "bytes") * (p->samples + 1);
	double most = PAIR_SECONDS * gbs * 1e9 / bytes;
	int least = p->copies < COPIES_LEAST ? p->copies : COPIES_LEAST;

	return most >= p->copies ? p->copies : most > least ? (int)most : least;
}

/* 0, or -1 with err. Leaves the number of copies that this way deserves in *copies. */
static int probe(struct p2p *p, int from, int to, enum gpu_way way, int *copies, struct error *err)
{
	struct gpu_route route = route_of(p, from, to, 0);

	if (copy(p, &route, 1, way, 1, 1, err) < 0)
		return -1;
	*copies = fit_copies(p, p->gbs[0]);
	return 0;
}

static void measure_direct(struct p2p *p, int from, int to)
{
	struct pair *pair = &p->pairs[from][to];
	const char *why = obstacle(p, from, to), *back = obstacle(p, to, from);
	char subject[GPU_SUBJECT];
	struct error err;

	gpu_pair(subject, from, to);
	if (!why && probe(p, from, to, GPU_WRITE_CE, &pair->copies, &err) < 0) {
		/* a broken link is not tried again, neither alone nor in company */
		pair->reachable = -1;
		snprintf(pair->why, sizeof(pair->why), "%.290s", err.text);
		why = pair->why;
	}
	for (int i = 0; i < p->ways; i++)
		if (why)
			job_hole(p->job, metrics[i].name, subject, why);
		else
			measure(p, from, to, ways[i], pair->copies, metrics[i].name);
	if (why || back)
		job_hole(p->job, "both", subject, why ? why : back);
	else
		measure_both(p, from, to, GPU_WRITE_CE, pair->copies, "both");
}

static void count_failure(struct p2p *p, int from, int to, int both)
{
	p->staged_failures[both] += !team_dead(&p->team, from, to);
}

/*
 * Nothing is judged by it, and a driver that does not queue such copies ahead costs seconds of
 * waiting for a start at each pair: after a few failures the others are not tried.
 */
static void measure_staged(struct p2p *p, int from, int to)
{
	static const char enough[] = "left out after other pairs failed";
	const char *why = team_dead(&p->team, from, to);
	char subject[GPU_SUBJECT];
	struct error err;
	int copies;

	gpu_pair(subject, from, to);
	if (!why && p->staged_failures[0] >= STAGED_FAILURES)
		why = enough;
	if (!why && probe(p, from, to, GPU_STAGED_CE, &copies, &err) < 0) {
		count_failure(p, from, to, 0);
		why = err.text;
	}
	if (why) {
		job_hole(p->job, "staged", subject, why);
		job_hole(p->job, "staged_both", subject, why);
		return;
	}
	measure(p, from, to, GPU_STAGED_CE, copies, "staged");
	if (p->staged_failures[1] >= STAGED_FAILURES)
		job_hole(p->job, "staged_both", subject, enough);
	else if (measure_both(p, from, to, GPU_STAGED_CE, copies, "staged_both") < 0)
		count_failure(p, from, to, 1);
}

/* ---- all at once --------------------------------------------------------------------------- */

/* One set of routes at once; those that cannot be were left out and are holes already. */
static void measure_set(struct p2p *p, struct gpu_route *routes, int count, const char *metric)
{
	struct error err;
	int copies = p->copies, rc;

	for (int i = 0; i < count; i++) {
		const struct pair *pair = &p->pairs[routes[i].from][routes[i].to];

		if (pair->copies && pair->copies < copies)
			copies = pair->copies;
		routes[i].gbs = p->gbs + i * p->samples;
	}
	rc = count ? copy(p, routes, count, GPU_WRITE_CE, copies, p->samples, &err) : 0;
	for (int i = 0; i < count; i++) {
		char subject[GPU_SUBJECT];

		gpu_pair(subject, routes[i].from, routes[i].to);
		if (rc < 0)
			job_hole(p->job, metric, subject, err.text);
		else
			gpu_samples(p->job, metric, subject, routes[i].gbs, p->samples);
	}
}

/* Adds a route if it can be; else its figure is a hole. */
static void add_route(struct p2p *p, struct gpu_route *routes, int *count, int from, int to,
		      const char *metric)
{
	const char *why = obstacle(p, from, to);
	char subject[GPU_SUBJECT];

	gpu_pair(subject, from, to);
	if (why)
		job_hole(p->job, metric, subject, why);
	else
		routes[(*count)++] = (struct gpu_route){ .from = from, .to = to, .numa = -1 };
}

static void measure_round(struct p2p *p, int round, int is_back)
{
	struct gpu_route routes[GPUS_MOST];
	int count = 0;

	for (int i = 0; i < p->n; i++) {
		int k = rounds_pair(p->n, round, i);

		if (k > i)
			add_route(p, routes, &count, p->gpus[is_back ? k : i],
				  p->gpus[is_back ? i : k], "round_write");
	}
	measure_set(p, routes, count, "round_write");
}

static void measure_shift(struct p2p *p, int shift)
{
	struct gpu_route routes[GPUS_MOST];
	int count = 0;

	for (int i = 0; i < p->n; i++)
		add_route(p, routes, &count, p->gpus[i], p->gpus[(i + shift) % p->n], "shift");
	measure_set(p, routes, count, "shift");
}

static void measure_company(struct p2p *p)
{
	if (knob(&p->job->knobs, "strict") != 0) {
		job_absent(p->job, "round_write", "", "left out: strict wants one pair at a time");
		job_absent(p->job, "shift", "", "left out: strict wants one pair at a time");
		return;
	}
	for (int round = 0; round < rounds_count(p->n); round++)
		for (int is_back = 0; is_back <= 1; is_back++)
			measure_round(p, round, is_back);
	for (int shift = 1; shift < p->n; shift++)
		measure_shift(p, shift);
}

/* ---- the check ----------------------------------------------------------------------------- */

static void for_each_pair(struct p2p *p, void (*fn)(struct p2p *p, int from, int to))
{
	for (int i = 0; i < p->n; i++)
		for (int k = 0; k < p->n; k++)
			if (i != k)
				fn(p, p->gpus[i], p->gpus[k]);
}

static void ask_reachable(struct p2p *p, int from, int to)
{
	struct pair *pair = &p->pairs[from][to];
	char subject[GPU_SUBJECT];
	struct error err;

	gpu_pair(subject, from, to);
	pair->reachable = p->job->hw->gpu_peer(p->job->machine, from, to, &err);
	if (pair->reachable < 0) {
		snprintf(pair->why, sizeof(pair->why), "%.290s", err.text);
		job_hole(p->job, "reachable", subject, pair->why);
		return;
	}
	if (!pair->reachable)
		snprintf(pair->why, sizeof(pair->why), "no peer access");
	job_report(p->job, "reachable", subject, pair->reachable);
}

static void report_wrong(struct p2p *p)
{
	for (int i = 0; i < p->n; i++)
		for (int k = 0; k < p->n; k++) {
			const struct pair *pair = &p->pairs[p->gpus[i]][p->gpus[k]];
			const char *dead = team_dead(&p->team, p->gpus[i], p->gpus[k]);
			char subject[GPU_SUBJECT];

			gpu_pair(subject, p->gpus[i], p->gpus[k]);
			if (pair->copied)
				job_report(p->job, "wrong_bytes", subject, (double)pair->wrong);
			if (dead || !pair->copied)
				job_hole(p->job, "wrong_bytes", subject,
					 dead ? dead : "no copy of it came to an end");
		}
}

static void report_left_out(struct p2p *p)
{
	for (int i = p->ways; i < WAYS; i++)
		job_absent(p->job, metrics[i].name, "", "left out by the knob ways");
	if (p->n > 1)
		return;
	for (const struct metric *m = metrics; m->name; m++)
		if (strcmp(m->name, "both") != 0 && strcmp(m->name, "wrong_bytes") != 0 &&
		    !(m < metrics + WAYS && m >= metrics + p->ways))
			job_absent(p->job, m->name, "", "one GPU only");
}

static void measure_all(struct p2p *p)
{
	for_each_pair(p, ask_reachable);
	for (int i = 0; i < p->n; i++)
		measure(p, p->gpus[i], p->gpus[i], GPU_WRITE_CE, p->copies, "both");
	for_each_pair(p, measure_direct);
	if (p->n > 1)
		measure_company(p);
	for_each_pair(p, measure_staged);
	report_wrong(p);
	report_left_out(p);
	if (p->late)
		job_note(p->job, "%d timings that began late were repeated", p->late);
}

static const char *const promised[] = { "write",       "read",  "sm_write",  "sm_read",     "both",
					"round_write", "shift", "reachable", "wrong_bytes", NULL };

static int check_knobs(const struct knobs *k, struct error *err)
{
	if (fmod(knob(k, "bytes"), 16) != 0)
		return error_set(err, "bytes must be a multiple of 16");
	return gpu_knob_within(k, "bytes", 4096, 1e12, err) < 0 ||
			       gpu_knob_within(k, "samples", 1, GPU_SAMPLES_MOST, err) < 0 ||
			       gpu_knob_within(k, "copies", 1, 1000, err) < 0 ||
			       gpu_knob_within(k, "ways", 1, WAYS, err) < 0
		       ? RUN_ERROR
		       : RUN_OK;
}

static int run(struct job *job, struct error *err)
{
	struct p2p *p;
	int rc;

	if (!job->hw->gpu_copy || !job->hw->gpu_peer)
		return job_skip(err, "%s", gpu_no_code);
	if (check_knobs(&job->knobs, err) < 0)
		return RUN_ERROR;
	p = xcalloc(1, sizeof(*p));
	p->job = job;
	rc = team_open(&p->team, job, promised, err);
	if (rc == RUN_OK) {
		p->n = p->team.gpus.count;
		p->gpus = p->team.gpus.numbers;
		p->ways = (int)knob(&job->knobs, "ways");
		p->copies = (int)knob(&job->knobs, "copies");
		p->samples = (int)knob(&job->knobs, "samples");
		p->gbs = xcalloc((size_t)(p->n + 1) * (size_t)p->samples, sizeof(*p->gbs));
		measure_all(p);
		free(p->gbs);
	}
	free(p);
	return rc;
}

const struct check check_gpu_p2p = {
	.name = "gpu_p2p",
	.summary = "copies between every two GPUs: alone, in rounds and in shifts, all verified",
	.how = "Every ordered pair alone, by the copy engine and by kernels of the source and of "
	       "the destination, then both directions at once; then rounds in which all GPUs copy "
	       "in pairs (the circle method) and shifts in which all send to the one so many "
	       "places further; at last through host memory with direct access off. Buffers rotate "
	       "through more than the caches hold, and every byte is compared with data that "
	       "differ at every address. `both` of a GPU with itself is a copy in its own memory.",
	.scope = ALL_GPUS,
	.occupies = USES_GPUS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
