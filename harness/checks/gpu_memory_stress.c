/*
 * gpu_memory_stress.c - patterns through a GPU's memory, every word compared.
 *
 * ECC corrects what one bit does, so wrong words alone would miss a failing cell: the GPU's
 * counters are read around each pattern, and what grows is named with the pattern that made it
 * grow.
 */
#include "harness/checks/gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A round over the largest memories takes about 10 s; one of its patterns rests twice. */
enum { ROUND_SECONDS = 10, RESTS = 2 };

static const struct param params[] = {
	{ "share", "97.5%", "share of the memory that is tested" },
	{ "seconds", "60s", "how long, at least one round of all patterns" },
	{ "fade", "0s", "rest between writing and reading; 0: none" },
	{ "seed", "1", "of the data" },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "mismatches", "", NONE, BY_EVERY, NULL, "words that were not what was written" },
	{ "tested_share", "%", MORE, BY_EVERY, NULL, "share of the memory that was tested" },
	{ "ecc_corrected", "", LESS, BY_EVERY, NULL, "growth of corrected ECC errors" },
	{ "ecc_uncorrected", "", NONE, BY_EVERY, NULL, "growth of uncorrected ECC errors" },
	{ "row_remaps", "", NONE, BY_EVERY, NULL, "rows that were remapped meanwhile" },
	{ "retired_pages", "", NONE, BY_EVERY, NULL, "pages that were retired meanwhile" },
	{ "xids", "", NONE, BY_EVERY, NULL, "XIDs that the driver reported meanwhile" },
	{ "verified", "B", MORE, RECORDED, NULL, "bytes read back and compared" },
	{ "rate", "GB/s", MORE, RECORDED, NULL, "bytes moved by all passes over the time" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	double work = knob(k, "seconds") + ROUND_SECONDS; /* the last round is ended */

	return 15 + 1.1 * work + RESTS * knob(k, "fade");
}

struct stress {
	struct job *job;
	const struct host_gpu *gpu;
	struct gpu_memory_stress work;
	struct gpu_counters *counters;
	double last[GPU_COUNTS]; /* growth up to the pattern before */
};

static const struct {
	enum gpu_count what;
	const char *metric;
} grown[] = {
	{ COUNT_ECC_CORRECTED, "ecc_corrected" },
	{ COUNT_ECC_UNCORRECTED, "ecc_uncorrected" },
	{ COUNT_ROW_REMAPS, "row_remaps" },
	{ COUNT_RETIRED_PAGES, "retired_pages" },
	{ COUNT_XIDS, "xids" },
};

/* Behind each pattern: what grew since the one before belongs to this one. */
static int after_pattern(void *arg, const char *pattern)
{
	struct stress *s = arg;

	gpu_counters_read(s->counters, s->job);
	for (size_t i = 0; i < ARRAY_SIZE(grown); i++) {
		enum gpu_count what = grown[i].what;
		double before, growth;
		struct error err;

		if (gpu_counter(s->counters, s->gpu, what, &before, &growth, &err) < 0 ||
		    growth <= s->last[what])
			continue;
		job_note(s->job, "%s: %s grew by %g during pattern %s", s->gpu->part,
			 gpu_count_name(what), growth - s->last[what], pattern);
		s->last[what] = growth;
	}
	return 0;
}

/* What a second reading of the same word says of the first. */
static const char *kind_of(const struct gpu_mismatch *m)
{
	return m->again == m->expected ? "a bad read"
	       : m->again == m->actual ? "stored"
				       : "it changes";
}

static void note_mismatches(struct stress *s)
{
	for (int i = 0; i < s->work.kept; i++) {
		const struct gpu_mismatch *m = &s->work.first[i];

		job_note(s->job,
			 "%s: wrong word at offset 0x%llx, address 0x%llx, pattern %s, SM %d: "
			 "wrote %016llx, read %016llx, bits %016llx, read again %016llx (%s)",
			 s->gpu->part, (unsigned long long)m->offset,
			 (unsigned long long)m->address, m->pattern, m->sm,
			 (unsigned long long)m->expected, (unsigned long long)m->actual,
			 (unsigned long long)(m->expected ^ m->actual),
			 (unsigned long long)m->again, kind_of(m));
	}
}

static void report_work(struct stress *s)
{
	const struct gpu_memory_stress *w = &s->work;

	note_mismatches(s);
	job_report(s->job, "mismatches", s->gpu->part, (double)w->mismatches);
	job_report(s->job, "tested_share", s->gpu->part,
		   100 * (double)w->tested_bytes / (double)s->gpu->bytes);
	job_report(s->job, "verified", s->gpu->part, (double)w->verified_bytes);
	if (w->took > 0)
		job_report(s->job, "rate", s->gpu->part, (double)w->moved_bytes / w->took / 1e9);
	job_note(s->job, "%s: %d patterns in %.1f s", s->gpu->part, w->patterns, w->took);
}

static void report_growth(struct stress *s)
{
	gpu_counters_read(s->counters, s->job);
	for (size_t i = 0; i < ARRAY_SIZE(grown); i++)
		if (grown[i].what == COUNT_XIDS)
			gpu_report_xids(s->counters, s->job, s->gpu, grown[i].metric);
		else
			gpu_report_growth(s->counters, s->job, s->gpu, grown[i].what,
					  grown[i].metric);
}

static int stress(struct stress *s, struct error *err)
{
	const struct knobs *k = &s->job->knobs;

	s->work = (struct gpu_memory_stress){
		.gpu = gpu_number(s->gpu),
		.share = knob(k, "share"),
		.seconds = knob(k, "seconds"),
		.fade = knob(k, "fade"),
		.seed = (uint64_t)knob(k, "seed"),
		.after = after_pattern,
		.arg = s,
	};
	if (s->job->hw->gpu_memory_stress(s->job->machine, &s->work, err) < 0)
		return -1;
	if (s->work.verified_bytes == 0 || s->gpu->bytes == 0)
		return error_set(err, "no word was verified");
	report_work(s);
	report_growth(s);
	return 0;
}

static int run(struct job *job, struct error *err)
{
	double share = knob(&job->knobs, "share");
	struct stress *s;
	int rc = -1;

	if (!job->hw->gpus || !job->hw->gpu_memory_stress)
		return job_skip(err, "%s", gpu_no_code);
	if (share <= 0 || share > 1)
		return error_set(err, "share must be above 0%% and at most 100%%");
	s = xcalloc(1, sizeof(*s));
	s->job = job;
	s->gpu = job_gpu(job, err);
	if (s->gpu) {
		s->counters = gpu_counters_new(job);
		rc = stress(s, err);
		gpu_counters_free(s->counters);
	}
	free(s);
	return rc < 0 ? RUN_ERROR : RUN_OK;
}

const struct check check_gpu_memory_stress = {
	.name = "gpu_memory_stress",
	.summary = "patterns through almost all of a GPU's memory, every word compared",
	.how = "All SMs write patterns and read them back in another order: own address xor a "
	       "seed, solid, checkered and walking bits moved by inversion, random words, one word "
	       "in twenty, block moves, and reads that hammer rows of memory. A wrong word is read "
	       "a second time. ECC errors, remapped rows and XIDs are counted around each "
	       "pattern.",
	.scope = PER_GPU,
	.occupies = USES_GPUS,
	.burns = 1,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
