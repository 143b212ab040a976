/*
 * memory_bandwidth.c - rates of host memory between every two NUMA nodes.
 *
 * Read, plain write, non-temporal write, copy and triad apart, because a channel that trained badly
 * often shows in writes only, and because plain writes also read the line they overwrite.
 */
#include "harness/checks/numa.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES_MOST = 1000, CACHES = 4 };

static const struct param params[] = {
	{ "bytes", "0 B", "size of one array; 0: four times the last-level cache" },
	{ "samples", "9", "timings of each operation" },
	{ 0 },
};

#define RATE(name, what)                                                                           \
	{                                                                                          \
		name, "GB/s", MORE, BY_MEDIAN, "memory", what                                      \
	}
static const struct metric metrics[] = {
	RATE("read", "reading, cores and memory of one NUMA node"),
	RATE("write", "writing through the caches"),
	RATE("nt_write", "writing past the caches"),
	RATE("copy", "copy, both arrays counted"),
	RATE("triad", "a = b + s*c, three arrays counted"),
	RATE("remote_read", "reading memory of another NUMA node"),
	RATE("remote_write", "writing to another NUMA node"),
	RATE("remote_nt_write", "writing to another NUMA node past the caches"),
	RATE("remote_copy", "copy on another NUMA node"),
	RATE("remote_triad", "triad on another NUMA node"),
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 1 + k->numas * k->numas * (1 + knob(k, "samples") * 0.5);
}

static uint64_t array_bytes(const struct job *job)
{
	uint64_t bytes = (uint64_t)knob(&job->knobs, "bytes");

	if (bytes == 0)
		bytes = CACHES * job->hw->host(job->machine)->last_cache_bytes;
	if (bytes < 64 << 20)
		bytes = 64 << 20;
	return bytes & ~(uint64_t)4095;
}

static int measure_pair(struct job *job, const struct host_numa *cpus,
			const struct host_numa *memory, struct error *err)
{
	int samples = (int)knob(&job->knobs, "samples");
	struct memory_rate rate = { .cpu_numa = cpus->id,
				    .memory_numa = memory->id,
				    .bytes = array_bytes(job),
				    .samples = samples };
	const struct metric *m = cpus == memory ? metrics : metrics + MEMORY_OPS;
	double *all = xcalloc((size_t)samples * MEMORY_OPS, sizeof(*all));
	char subject[32];
	int rc;

	for (int op = 0; op < MEMORY_OPS; op++)
		rate.gbs[op] = all + op * samples;
	rc = job->hw->memory_rate(job->machine, &rate, err);
	snprintf(subject, sizeof(subject), "numa%d>numa%d", cpus->id, memory->id);
	for (int op = 0; op < MEMORY_OPS && rc == 0; op++)
		job_samples(job, m[op].name, subject, rate.gbs[op], samples);
	if (rc == 0)
		job_note(job, "%s: %d threads, arrays of %llu MiB, %.0f%% huge pages", subject,
			 rate.threads, (unsigned long long)(rate.bytes >> 20),
			 100 * rate.huge_share);
	free(all);
	return rc;
}

static int run(struct job *job, struct error *err)
{
	const struct host *host = job->hw->host(job->machine);
	double samples = knob(&job->knobs, "samples");

	if (samples < 1 || samples > SAMPLES_MOST)
		return error_set(err, "samples must be from 1 to %d", SAMPLES_MOST);
	for (int from = 0; from < host->numa_count; from++) {
		if (!numa_can_run(job, &host->numas[from], metrics[0].name))
			continue;
		for (int to = 0; to < host->numa_count; to++)
			if (measure_pair(job, &host->numas[from], &host->numas[to], err) < 0)
				return RUN_ERROR;
	}
	for (int op = 0; op < MEMORY_OPS && host->numa_count == 1; op++)
		job_absent(job, metrics[MEMORY_OPS + op].name, "", "one NUMA node only");
	return RUN_OK;
}

const struct check check_memory_bandwidth = {
	.name = "memory_bandwidth",
	.summary = "read, write, copy and triad between NUMA nodes",
	.how = "All allowed cores of a NUMA node stream through arrays bound to a NUMA node, in "
	       "huge pages "
	       "where there are any, each operation timed `samples` times from a common start. "
	       "Bytes are "
	       "counted as STREAM counts them: copy moves two arrays, triad three, and the hidden "
	       "read of a "
	       "plain write is not counted. Copy and triad store past the caches, as the best "
	       "STREAM builds do.",
	.scope = PER_NODE,
	.occupies = USES_CORES | USES_MEMORY,
	.burns = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
