/*
 * memory_latency.c - a pointer chase through caches and memory.
 *
 * Samples are means of many hops, gathered into rounds: a round's median is one sample of `local`,
 * its 99th percentile one sample of `local_p99`, so both get an interval.
 */
#include "harness/checks/numa.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 9, PER_ROUND = 100, HOPS = 1000, CACHES = 8, CURVE_SAMPLES = 9 };

static const struct param params[] = {
	{ "bytes", "0 B", "size of the chain in memory; 0: eight times the last-level cache" },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "local", "ns", LESS, BY_MEDIAN, NULL, "one hop in memory of the same NUMA node" },
	{ "local_p99", "ns", LESS, BY_MEDIAN, NULL, "99th percentile of it" },
	{ "remote", "ns", LESS, BY_MEDIAN, NULL, "one hop in memory of another NUMA node" },
	{ "remote_p99", "ns", LESS, BY_MEDIAN, NULL, "99th percentile of it" },
	{ "curve", "ns", LESS, RECORDED, NULL, "one hop over sizes from L1 to memory" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 1 + k->numas * k->numas * 3 + k->numas * 4;
}

static uint64_t chain_bytes(const struct job *job)
{
	uint64_t bytes = (uint64_t)knob(&job->knobs, "bytes");
	uint64_t least = 64 << 20;

	if (bytes == 0)
		bytes = CACHES * job->hw->host(job->machine)->last_cache_bytes;
	bytes = bytes < least ? least : bytes;
	return bytes & ~(uint64_t)0x1fffff;
}

static int measure_pair(struct job *job, const struct host_numa *cpus,
			const struct host_numa *memory, struct error *err)
{
	double ns[ROUNDS * PER_ROUND], mid[ROUNDS], p99[ROUNDS];
	struct memory_chase chase = { .cpu_numa = cpus->id,
				      .memory_numa = memory->id,
				      .bytes = chain_bytes(job),
				      .samples = ROUNDS * PER_ROUND,
				      .hops_per_sample = HOPS,
				      .ns = ns };
	int local = cpus == memory;
	char subject[32];

	if (job->hw->memory_chase(job->machine, &chase, err) < 0)
		return -1;
	for (int i = 0; i < ROUNDS; i++) {
		mid[i] = median_of(ns + i * PER_ROUND, PER_ROUND).value;
		p99[i] = percentile_of(ns + i * PER_ROUND, PER_ROUND, 0.99);
	}
	snprintf(subject, sizeof(subject), "numa%d>numa%d", cpus->id, memory->id);
	job_samples(job, local ? "local" : "remote", subject, mid, ROUNDS);
	job_samples(job, local ? "local_p99" : "remote_p99", subject, p99, ROUNDS);
	job_note(job, "%s: chain of %llu MiB, %.0f%% huge pages", subject,
		 (unsigned long long)(chase.bytes >> 20), 100 * chase.huge_share);
	return 0;
}

static int measure_curve(struct job *job, const struct host_numa *numa, struct error *err)
{
	uint64_t last = chain_bytes(job);

	for (uint64_t bytes = 16 << 10; bytes <= last; bytes *= 2) {
		double ns[CURVE_SAMPLES];
		struct memory_chase chase = { .cpu_numa = numa->id,
					      .memory_numa = numa->id,
					      .bytes = bytes,
					      .samples = CURVE_SAMPLES,
					      .hops_per_sample = 20000,
					      .ns = ns };
		char subject[48], size[24];

		if (job->hw->memory_chase(job->machine, &chase, err) < 0)
			return -1;
		bytes_text((double)bytes, size, sizeof(size));
		snprintf(subject, sizeof(subject), "numa%d/%s", numa->id, size);
		job_samples(job, "curve", subject, ns, CURVE_SAMPLES);
	}
	return 0;
}

static int run(struct job *job, struct error *err)
{
	const struct host *host = job->hw->host(job->machine);

	for (int from = 0; from < host->numa_count; from++) {
		if (!numa_can_run(job, &host->numas[from], metrics[0].name))
			continue;
		for (int to = 0; to < host->numa_count; to++)
			if (measure_pair(job, &host->numas[from], &host->numas[to], err) < 0)
				return RUN_ERROR;
		if (measure_curve(job, &host->numas[from], err) < 0)
			return RUN_ERROR;
	}
	if (host->numa_count == 1) {
		job_absent(job, "remote", "", "one NUMA node only");
		job_absent(job, "remote_p99", "", "one NUMA node only");
	}
	return RUN_OK;
}

const struct check check_memory_latency = {
	.name = "memory_latency",
	.summary = "pointer chase between NUMA nodes, and a curve from L1 to memory",
	.how = "One core follows a random cycle of 64-byte lines, so no prefetcher can guess the "
	       "next one; "
	       "huge pages keep TLB misses out of the figure. A hop is a load that depends on the "
	       "one before. "
	       "The curve repeats it for sizes from 16 KiB up.",
	.scope = PER_NODE,
	.occupies = USES_CORES | USES_MEMORY,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
