/*
 * memory_stress.c - patterns through memory, every word verified.
 *
 * One wrong word is a failure; there is no tolerance and no retry. Corrected errors count too,
 * because a cell that needs correcting on the day of delivery will not get better.
 */
#include "harness/checks/counters.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADROOM (512.0 * 1024 * 1024)

static const struct param params[] = {
	{ "share", "50%", "share of the memory that is free now" },
	{ "most", "0 B", "never more than this; 0: no bound" },
	{ "seconds", "20s", "how long, at least one round of all patterns" },
	{ "seed", "1", "of the data" },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "wrong", "", NONE, BY_EVERY, NULL, "reads that did not give back what was written" },
	{ "ecc_corrected", "", NONE, BY_EVERY, NULL, "growth of EDAC's corrected errors" },
	{ "ecc_uncorrected", "", NONE, BY_EVERY, NULL, "growth of EDAC's uncorrected errors" },
	{ "machine_checks", "", NONE, BY_EVERY, NULL, "growth of machine check exceptions" },
	{ "verified", "GB/s", MORE, RECORDED, NULL, "bytes read back and compared" },
	{ "tested", "GB", MORE, RECORDED, NULL, "memory that was tested" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return knob(k, "seconds") * 1.3 + 10;
}

static uint64_t choose_bytes(struct job *job)
{
	double room = (double)job->hw->host(job->machine)->memory_available - HEADROOM;
	double bytes = room * knob(&job->knobs, "share"), most = knob(&job->knobs, "most");

	if (most > 0 && bytes > most)
		bytes = most;
	return bytes < 0 ? 0 : (uint64_t)bytes & ~(uint64_t)0x1fffff;
}

static void note_mismatches(struct job *job, const struct memory_stress *s)
{
	for (int i = 0; i < s->kept; i++) {
		const struct memory_mismatch *m = &s->first[i];

		job_note(job,
			 "wrong word: virtual 0x%llx, physical 0x%llx%s, pattern %s, cpu %d, wrote "
			 "%016llx, read "
			 "%016llx, bits %016llx, second read %016llx (%s)",
			 (unsigned long long)m->virtual_address,
			 (unsigned long long)m->physical_address,
			 m->physical_address ? "" : " (needs root)", m->pattern, m->cpu,
			 (unsigned long long)m->expected, (unsigned long long)m->actual,
			 (unsigned long long)(m->expected ^ m->actual),
			 (unsigned long long)m->again,
			 m->again == m->expected ? "a bad read" : "a bad cell");
	}
}

static int stress(struct job *job, struct error *err)
{
	struct memory_stress *s = xcalloc(1, sizeof(*s));
	int rc;

	s->bytes = choose_bytes(job);
	s->seconds = knob(&job->knobs, "seconds");
	s->seed = (uint64_t)knob(&job->knobs, "seed");
	rc = s->bytes
		     ? job->hw->memory_stress(job->machine, s, err)
		     : error_set(
			       err, "only %llu MiB of memory are free, which is too little to test",
			       (unsigned long long)(job->hw->host(job->machine)->memory_available >>
						    20));
	if (rc == 0 && s->verified_bytes == 0)
		rc = error_set(err, "no word was verified");
	if (rc == 0) {
		note_mismatches(job, s);
		job_report(job, "wrong", "", (double)s->mismatches);
		job_report(job, "verified", "", (double)s->verified_bytes / s->took / 1e9);
		job_report(job, "tested", "", (double)s->tested_bytes / 1e9);
	}
	free(s);
	return rc;
}

static int run(struct job *job, struct error *err)
{
	struct counters *c = xcalloc(1, sizeof(*c));
	int rc = counters_begin(c, job, err) < 0 || stress(job, err) < 0 ||
		 counters_end(c, job, err) < 0;

	if (!rc) {
		counters_report(c, job, "edac_ce", "ecc_corrected");
		counters_report(c, job, "edac_ue", "ecc_uncorrected");
		counters_report(c, job, "mce", "machine_checks");
	}
	free(c);
	return rc ? RUN_ERROR : RUN_OK;
}

const struct check check_memory_stress = {
	.name = "memory_stress",
	.summary = "fills, moves and verifies memory with seven kinds of patterns",
	.how = "All cores fill their share of memory with data that differ in every word (own "
	       "address xor a "
	       "seed, written upwards and read downwards), then moving inversions, random data, "
	       "walking bits, "
	       "checkerboards and block moves. Every word is compared; a mismatch is read a second "
	       "time past "
	       "the caches, which tells a bad read from a bad cell. Counters of EDAC and machine "
	       "checks are "
	       "read before and after.",
	.scope = PER_NODE,
	.occupies = USES_CORES | USES_MEMORY,
	.burns = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
