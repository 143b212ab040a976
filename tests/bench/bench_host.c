/*
 * bench_host.c - one call of one primitive of the real machine, for ci/bench to set against a
 * rival.
 *
 * It goes through the door of kernels/ and not through the checks, whose sizes and times are their
 * own: a ratio means something only if both sides use the same threads, bytes and seconds. Prints a
 * name and a number a line, in the units of kernels.h unless the name says otherwise.
 */
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { ARGUMENTS_MOST = 8, SAMPLES_MOST = 1000, FILL_BLOCK = 1 << 20, FILL_DEPTH = 16 };

static const double fill_seconds = 120;

struct bench {
	struct machine *machine;
	const struct host *host;
	const struct host_numa *numa;   /* the first one that has processors and memory */
	const char *const *words;       /* arguments as text */
	double numbers[ARGUMENTS_MOST]; /* and as numbers, 0 where they are none */
};

static void print(const char *name, double value)
{
	printf("%s %.9g\n", name, value);
}

static int samples_of(const struct bench *b, int argument, struct error *err)
{
	const double samples = b->numbers[argument];

	if (samples >= 1 && samples <= SAMPLES_MOST)
		return (int)samples;
	return error_set(err, "'%s' is no number of samples from 1 to %d", b->words[argument],
			 SAMPLES_MOST);
}

/* ---- the host -------------------------------------------------------------------------------- */

static int show_host(struct bench *b, struct error *err)
{
	(void)err;
	print("processors", b->host->cpu_count);
	print("threads", b->numa->cpu_count);
	print("last_cache", (double)b->host->last_cache_bytes);
	printf("cpus ");
	for (int i = 0; i < b->numa->cpu_count; i++)
		printf("%s%d", i ? "," : "", b->numa->cpus[i]);
	printf("\n");
	return 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int rate(struct bench *b, struct error *err)
{
	double copy[SAMPLES_MOST], triad[SAMPLES_MOST];
	struct memory_rate job = {
		.cpu_numa = b->numa->id,
		.memory_numa = b->numa->id,
		.bytes = (uint64_t)b->numbers[0],
		.samples = samples_of(b, 1, err),
		.gbs = { [MEMORY_COPY] = copy, [MEMORY_TRIAD] = triad },
	};

	if (job.samples < 0 || real_kernels.memory_rate(b->machine, &job, err) < 0)
		return -1;
	print("copy", median_of(copy, job.samples).value);
	print("triad", median_of(triad, job.samples).value);
	return 0;
}

static int chase(struct bench *b, struct error *err)
{
	double ns[SAMPLES_MOST];
	struct memory_chase job = {
		.cpu_numa = b->numa->id,
		.memory_numa = b->numa->id,
		.bytes = (uint64_t)b->numbers[0],
		.hops_per_sample = (int)b->numbers[1],
		.samples = samples_of(b, 2, err),
		.ns = ns,
	};

	if (job.samples < 0 || real_kernels.memory_chase(b->machine, &job, err) < 0)
		return -1;
	print("ns", median_of(ns, job.samples).value);
	return 0;
}

static int stress(struct bench *b, struct error *err)
{
	struct memory_stress job = {
		.bytes = (uint64_t)b->numbers[0],
		.seconds = b->numbers[1],
		.seed = 1,
	};

	if (real_kernels.memory_stress(b->machine, &job, err) < 0)
		return -1;
	if (job.mismatches)
		return error_set(err, "%llu words of memory came back wrong",
				 (unsigned long long)job.mismatches);
	print("verified", (double)job.verified_bytes / job.took / 1e9);
	return 0;
}

/* ---- processors ------------------------------------------------------------------------------ */

struct counts {
	double threads, cores;
};

static void take_count(void *arg, const char *part, const char *key, const char *value,
		       const char *hole)
{
	struct counts *counts = arg;

	if (hole || *part)
		return;
	if (strcmp(key, "threads") == 0)
		counts->threads = atof(value);
	if (strcmp(key, "cores") == 0)
		counts->cores = atof(value);
}

/* Threads of one core share its ports. */
static double cores_of(struct bench *b, struct error *err)
{
	struct counts counts = { 0 };

	if (real_kernels.facts(b->machine, take_count, &counts, err) < 0)
		return -1;
	if (!(counts.cores > 0 && counts.threads >= counts.cores))
		return error_set(err, "the number of cores is not known");
	return b->host->cpu_count * counts.cores / counts.threads;
}

/* The window in the middle by the share of what was allowed, as the check judges it. */
static void print_burn(struct bench *b, const struct cpu_burn *job, double cores)
{
	double shares[SAMPLES_MOST], clocks[SAMPLES_MOST];
	double *one = xcalloc((size_t)b->host->cpu_count, sizeof(*one)), allowed, share;

	for (int w = 0; w < job->windows; w++) {
		double done = 0;

		for (int i = 0; i < b->host->cpu_count; i++) {
			done += job->rate[i * job->windows + w];
			one[i] = job->clock[i * job->windows + w];
		}
		clocks[w] = median_of(one, b->host->cpu_count).value;
		shares[w] = done / (clocks[w] * cores * job->ops_per_cycle);
	}
	free(one);
	share = median_of(shares, job->windows).value;
	allowed = median_of(clocks, job->windows).value * cores * job->ops_per_cycle / 1e9;
	print("gflops", share * allowed);
	print("allowed_gflops", allowed);
}

static int check_burn(struct bench *b, const struct cpu_burn *job, struct error *err)
{
	if (!job->ops_per_cycle)
		return error_set(err, "what the ports of this processor allow is not known");
	for (int i = 0; i < b->host->cpu_count; i++)
		if (job->wrong[i])
			return error_set(err, "cpu%d computes wrongly", b->host->cpus[i]);
	for (int i = 0; i < b->host->cpu_count * job->windows; i++)
		if (!(job->clock[i] > 0))
			return error_set(err, "a processor got no time in a window");
	return 0;
}

static int burn_mix(struct bench *b, enum cpu_mix mix, struct error *err)
{
	const int windows = samples_of(b, 1, err), cpus = b->host->cpu_count;
	const double cores = windows < 0 ? -1 : cores_of(b, err);
	struct cpu_burn job = {
		.mix = mix, .window = b->numbers[0], .windows = windows, .tamper_cpu = -1
	};
	int rc;

	if (cores < 0)
		return -1;
	job.rate = xcalloc((size_t)cpus * (size_t)windows, sizeof(double));
	job.clock = xcalloc((size_t)cpus * (size_t)windows, sizeof(double));
	job.wrong = xcalloc((size_t)cpus, sizeof(uint64_t));
	job.blocks = xcalloc((size_t)cpus, sizeof(uint64_t));
	rc = real_kernels.cpu_burn(b->machine, &job, err);
	if (rc == 0)
		rc = check_burn(b, &job, err);
	if (rc == 0)
		print_burn(b, &job, cores);
	free(job.rate);
	free(job.clock);
	free(job.wrong);
	free(job.blocks);
	return rc;
}

static int burn_avx2(struct bench *b, struct error *err)
{
	return burn_mix(b, CPU_AVX2, err);
}

static int burn_avx512(struct bench *b, struct error *err)
{
	return burn_mix(b, CPU_AVX512, err);
}

/* ---- disks ----------------------------------------------------------------------------------- */

static int run_disk(struct bench *b, struct disk_io *job, struct error *err)
{
	job->target.path = b->words[0];
	job->span = (uint64_t)b->numbers[1];
	job->seed = (uint64_t)(clock_now() * 1e9);
	if (real_kernels.disk_io(b->machine, job, err) < 0)
		return -1;
	if (job->errors)
		return error_set(err, "%s", job->first_error);
	return 0;
}

static int fill(struct bench *b, struct error *err)
{
	struct disk_io job = { .block = FILL_BLOCK,
			       .depth = FILL_DEPTH,
			       .write = 1,
			       .seconds = fill_seconds,
			       .max_bytes = (uint64_t)b->numbers[1] };

	if (run_disk(b, &job, err) < 0)
		return -1;
	if (job.bytes < job.span)
		return error_set(err, "%s could not be written in %g s", b->words[0], fill_seconds);
	return 0;
}

static int disk(struct bench *b, int random, int write, struct error *err)
{
	struct disk_io job = {
		.block = (unsigned)b->numbers[2],
		.depth = (int)b->numbers[3],
		.seconds = b->numbers[4],
		.random = random,
		.write = write,
	};

	if (run_disk(b, &job, err) < 0)
		return -1;
	print("gbs", (double)job.bytes / job.took / 1e9);
	print("iops", (double)job.operations / job.took);
	print("cpu_us", job.cpu_seconds / (double)job.operations * 1e6);
	return 0;
}

static int disk_read(struct bench *b, struct error *err)
{
	return disk(b, 0, 0, err);
}

static int disk_write(struct bench *b, struct error *err)
{
	return disk(b, 0, 1, err);
}

/* As a rival without huge pages has it: then the buffers are scattered over 256 pages each. */
static int small_pages(struct error *err)
{
	return prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0
		       ? error_sys(err, "huge pages cannot be switched off")
		       : 0;
}

static int disk_read_small(struct bench *b, struct error *err)
{
	return small_pages(err) < 0 ? -1 : disk(b, 0, 0, err);
}

static int disk_write_small(struct bench *b, struct error *err)
{
	return small_pages(err) < 0 ? -1 : disk(b, 0, 1, err);
}

static int disk_randread(struct bench *b, struct error *err)
{
	return disk(b, 1, 0, err);
}

/* ---- which ----------------------------------------------------------------------------------- */

static const struct command {
	const char *name, *takes;
	int arguments;
	int (*run)(struct bench *b, struct error *err);
} commands[] = {
	{ "host", "", 0, show_host },
	{ "rate", " BYTES SAMPLES", 2, rate },
	{ "chase", " BYTES HOPS SAMPLES", 3, chase },
	{ "stress", " BYTES SECONDS", 2, stress },
	{ "burn-avx2", " SECONDS WINDOWS", 2, burn_avx2 },
	{ "burn-avx512", " SECONDS WINDOWS", 2, burn_avx512 },
	{ "fill", " FILE SPAN", 2, fill },
	{ "read", " FILE SPAN BLOCK DEPTH SECONDS", 5, disk_read },
	{ "write", " FILE SPAN BLOCK DEPTH SECONDS", 5, disk_write },
	{ "read-small-pages", " FILE SPAN BLOCK DEPTH SECONDS", 5, disk_read_small },
	{ "write-small-pages", " FILE SPAN BLOCK DEPTH SECONDS", 5, disk_write_small },
	{ "randread", " FILE SPAN BLOCK DEPTH SECONDS", 5, disk_randread },
};

static int usage(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(stderr, "%s bench_host %s%s\n", i ? "      " : "usage:", commands[i].name,
			commands[i].takes);
	return 2;
}

static const struct command *find_command(const char *name, int arguments)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0 && commands[i].arguments == arguments)
			return &commands[i];
	return NULL;
}

static int open_bench(struct bench *b, struct error *err)
{
	b->machine = real_kernels.machine_open("", err);
	if (!b->machine)
		return -1;
	b->host = real_kernels.host(b->machine);
	for (int i = 0; i < b->host->numa_count && !b->numa; i++)
		if (b->host->numas[i].cpu_count)
			b->numa = &b->host->numas[i];
	if (!b->numa)
		return error_set(err, "no NUMA node has processors and memory");
	return 0;
}

int main(int argc, char **argv)
{
	const struct command *command = argc > 1 ? find_command(argv[1], argc - 2) : NULL;
	struct bench b = { .words = (const char *const *)argv + 2 };
	struct error err;
	int rc;

	if (!command)
		return usage();
	for (int i = 0; i < command->arguments; i++) {
		struct quantity q;

		b.numbers[i] = quantity_parse(b.words[i], &q, &err) == 0 ? q.value : 0;
	}
	rc = open_bench(&b, &err);
	if (rc == 0)
		rc = command->run(&b, &err);
	if (b.machine)
		real_kernels.machine_close(b.machine);
	if (rc < 0)
		fprintf(stderr, "bench_host %s: %s\n", command->name, err.text);
	return rc < 0 ? 1 : 0;
}
