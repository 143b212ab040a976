/*
 * gpu_inventory.c - the state of all GPUs before anything is asked of them.
 *
 * What a GPU carries with it from before (a pending row remap, a link that is down, a process that
 * somebody forgot) explains later figures, so it is looked at first and at rest.
 */
#include "harness/checks/gpu_watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINKS_MOST = 64 };

static const struct param params[] = {
	GPUS_KNOB,
	{ 0 },
};

static const struct metric metrics[] = {
	{ "links_down", "", NONE, BY_EVERY, NULL, "NVLinks that are not up" },
	{ "links_up", "", MORE, RECORDED, NULL, "NVLinks that are up" },
	{ "fabric_bad", "", NONE, BY_EVERY, NULL, "1 if the NVLink fabric says it is not healthy" },
	{ "foreign_processes", "", NONE, BY_EVERY, NULL, "other programs that use the GPU" },
	{ "foreign_memory", "B", LESS, BY_EVERY, NULL, "memory in use before the first test" },
	{ "remap_pending", "", NONE, BY_EVERY, NULL, "1 if rows wait for a reset to be remapped" },
	{ "remap_failed", "", NONE, BY_EVERY, NULL, "1 if a row could not be remapped" },
	{ "retired_pages", "", LESS, BY_EVERY, NULL, "pages out of use, in its life" },
	{ "ecc_uncorrected", "", NONE, BY_EVERY, NULL, "uncorrected errors that it has counted" },
	{ "power_limit_cut", "W", NONE, BY_EVERY, NULL, "power limit below the board's default" },
	{ "throttle_hot", "", NONE, BY_EVERY, NULL,
	  "bits of heat, slowdown or power brake, at rest" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 10 + 3 * k->gpus;
}

/* ---- NVLink -------------------------------------------------------------------------------- */

static void record_link(struct job *job, const char *part, const struct gpu_link *link)
{
	char key[24];

	snprintf(key, sizeof(key), "nvlink %d", link->number);
	job->sink->fact(job->sink->arg, part, key,
			!link->up       ? "down"
			: *link->remote ? link->remote
					: "up",
			NULL);
}

static void no_links(struct job *job, const char *part, int is_hole, const char *why)
{
	void (*say)(struct job *, const char *, const char *, const char *) =
		is_hole ? job_hole : job_absent;

	say(job, "links_down", part, why);
	say(job, "links_up", part, why);
}

/*
 * 1 if GPUs list links and not one of any GPU is up. Boards of PCIe form without a bridge do so
 * (reported of A100 80GB PCIe with driver 570), and no call tells them from a node of which all
 * links are down: so it is a hole until somebody says which.
 */
static int none_is_up(struct job *job, const struct job_gpus *gpus)
{
	struct gpu_link links[LINKS_MOST];
	struct error ignored; /* it is told where the links of that GPU are checked */

	for (int i = 0; i < gpus->count; i++) {
		int count = job->hw->gpu_links ? job->hw->gpu_links(job->machine, gpus->numbers[i],
								    links, LINKS_MOST, &ignored)
					       : -1;

		if (count < 0 || count > LINKS_MOST)
			return 0;
		for (int k = 0; k < count; k++)
			if (links[k].up)
				return 0;
	}
	return 1;
}

static void check_links(struct job *job, int gpu, const char *part, int none_up)
{
	struct gpu_link links[LINKS_MOST];
	struct error err = { "" };
	int count, up = 0;

	if (!job->hw->gpu_links) {
		no_links(job, part, 1, gpu_no_code);
		return;
	}
	count = job->hw->gpu_links(job->machine, gpu, links, LINKS_MOST, &err);
	if (count > LINKS_MOST)
		error_set(&err, "it has %d NVLinks, more than this program can list", count);
	if (count < 0 || count > LINKS_MOST) {
		no_links(job, part, 1, err.text);
		return;
	}
	if (count == 0) {
		no_links(job, part, 0, "this GPU has no NVLink");
		return;
	}
	for (int i = 0; i < count; i++) {
		record_link(job, part, &links[i]);
		up += links[i].up != 0;
	}
	if (none_up) {
		no_links(
			job, part, 1,
			"no NVLink of any GPU here is up: boards without a bridge (waive it), or a "
			"fabric that does not run");
		return;
	}
	job_report(job, "links_down", part, count - up);
	job_report(job, "links_up", part, up);
}

static void check_fabric(struct job *job, int gpu, const char *part)
{
	struct gpu_fabric fabric = { "", 0 };
	struct error err = { "" };

	if (!job->hw->gpu_fabric)
		error_set(&err, "%s", gpu_no_code);
	else if (job->hw->gpu_fabric(job->machine, gpu, &fabric, &err) == 0)
		*err.text = '\0';
	if (*err.text) {
		job_hole(job, "fabric_bad", part, err.text);
	} else if (!strcmp(fabric.state, "not supported")) {
		job_absent(job, "fabric_bad", part, "this GPU takes part in no NVLink fabric");
	} else {
		job_report(job, "fabric_bad", part, fabric.is_bad != 0);
		if (fabric.is_bad)
			job_note(job, "%s: NVLink fabric: %s", part, fabric.state);
	}
}

/* ---- sensors ------------------------------------------------------------------------------- */

static const char *const sensor_metrics[] = { "foreign_processes", "foreign_memory",
					      "power_limit_cut", "throttle_hot" };

static void check_power_limit(struct job *job, const char *part, const struct gpu_sensors *s)
{
	double cut = s->power_default_w - s->power_limit_w;

	if (!isfinite(cut))
		job_hole(job, "power_limit_cut", part, "the driver does not tell its power limits");
	else
		job_report(job, "power_limit_cut", part, cut > 0 ? cut : 0);
}

static void check_throttle(struct job *job, const char *part, const struct gpu_sensors *s)
{
	char text[200];

	if (!s->throttle_known) {
		job_hole(job, "throttle_hot", part, "the driver does not tell why clocks are low");
		return;
	}
	job_report(job, "throttle_hot", part, (double)(s->throttle & GPU_HOT));
	gpu_throttle_text(s->throttle & GPU_HOT, text, sizeof(text));
	if (*text)
		job_note(job, "%s: clocks are held down at rest: %s", part, text);
}

static void check_sensors(struct job *job, int gpu, const char *part)
{
	struct gpu_sensors s;
	struct error err;
	int rc;

	if (job->hw->gpu_sensors)
		rc = job->hw->gpu_sensors(job->machine, gpu, &s, &err);
	else
		rc = error_set(&err, "%s", gpu_no_code);
	for (size_t i = 0; rc < 0 && i < ARRAY_SIZE(sensor_metrics); i++)
		job_hole(job, sensor_metrics[i], part, err.text);
	if (rc < 0)
		return;
	if (s.processes < 0)
		job_hole(job, "foreign_processes", part, "the driver does not tell who uses it");
	else
		job_report(job, "foreign_processes", part, s.processes);
	if (s.total_bytes == 0)
		job_hole(job, "foreign_memory", part, "the driver does not tell what is in use");
	else
		job_report(job, "foreign_memory", part, (double)s.used_bytes);
	check_power_limit(job, part, &s);
	check_throttle(job, part, &s);
}

/* ---- the check ----------------------------------------------------------------------------- */

static const struct {
	enum gpu_count what;
	const char *metric;
} states[] = {
	{ COUNT_REMAP_PENDING, "remap_pending" },
	{ COUNT_REMAP_FAILED, "remap_failed" },
	{ COUNT_RETIRED_PAGES, "retired_pages" },
	{ COUNT_ECC_UNCORRECTED, "ecc_uncorrected" },
};

static const char *const promised[] = { "links_down",
					"fabric_bad",
					"foreign_memory",
					"foreign_processes",
					"remap_pending",
					"remap_failed",
					"retired_pages",
					"ecc_uncorrected",
					"power_limit_cut",
					"throttle_hot",
					NULL };

static int run(struct job *job, struct error *err)
{
	struct gpu_counters *counters;
	struct job_gpus gpus;
	int rc = job_gpus(job, &gpus, promised, err), none_up;

	if (rc != RUN_OK)
		return rc;
	none_up = none_is_up(job, &gpus);
	counters = gpu_counters_new(job);
	for (int i = 0; i < gpus.count; i++) {
		const struct host_gpu *gpu = &gpus.all->items[gpus.numbers[i]];

		check_links(job, gpus.numbers[i], gpu->part, none_up);
		check_fabric(job, gpus.numbers[i], gpu->part);
		check_sensors(job, gpus.numbers[i], gpu->part);
		for (size_t k = 0; k < ARRAY_SIZE(states); k++)
			gpu_report_state(counters, job, gpu, states[k].what, states[k].metric);
	}
	gpu_counters_free(counters);
	return RUN_OK;
}

const struct check check_gpu_inventory = {
	.name = "gpu_inventory",
	.summary = "GPUs at rest: NVLinks, fabric, processes, memory errors of before, power limit",
	.how = "Asks NVML, before any load, which NVLinks are up and where they lead, what the "
	       "NVLink fabric says of itself, which other programs use the GPU and how much of its "
	       "memory is taken, what it remembers of memory errors, whether its power limit is "
	       "below the board's default, and whether anything holds its clocks down at rest.",
	.scope = ALL_GPUS,
	.occupies = USES_GPUS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
