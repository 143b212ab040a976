/*
 * disk_health.c - what the disk says of itself, and what it adds while it works.
 *
 * Totals tell of a used or damaged disk, growth under a short load of one that is failing now.
 */
#include "harness/checks/disk.h"

#include <stdio.h>
#include <string.h>

static const struct param params[] = {
	{ "seconds", "2s", "load between the two readings" },
	{ 0 },
};

static const struct metric metrics[] = {
	{ "critical_warning", "", NONE, BY_EVERY, NULL, "bits of the critical warning" },
	{ "media_errors", "", NONE, BY_EVERY, NULL, "unrecovered errors in its life" },
	{ "media_errors_grown", "", NONE, BY_EVERY, NULL, "unrecovered errors during the load" },
	{ "error_log_grown", "", NONE, BY_EVERY, NULL, "entries of the error log during the load" },
	{ "unsafe_shutdowns_grown", "", NONE, BY_EVERY, NULL, "power losses during the load" },
	{ "read_errors", "", NONE, BY_EVERY, NULL, "reads that failed during the load" },
	{ "used", "%", LESS, BY_EVERY, NULL, "share of its rated life that is used up" },
	{ "temperature", "C", LESS, BY_EVERY, NULL, "composite temperature after the load" },
	{ "spare", "%", MORE, BY_EVERY, NULL, "spare blocks that are left" },
	{ "power_on", "h", LESS, RECORDED, NULL, "hours it has run" },
	{ "written", "TB", LESS, RECORDED, NULL, "bytes written in its life" },
	{ "unsafe_shutdowns", "", LESS, RECORDED, NULL, "power losses in its life" },
	{ 0 },
};

static double seconds(const struct knobs *k)
{
	return 1 + knob(k, "seconds");
}

static void report(struct job *job, const struct disk_health *before, const struct disk_health *now,
		   const struct disk_io *io)
{
	const struct row {
		const char *metric;
		double value;
	} rows[] = {
		{ "critical_warning", now->critical_warning },
		{ "media_errors", now->media_errors },
		{ "media_errors_grown", now->media_errors - before->media_errors },
		{ "error_log_grown", now->error_log_entries - before->error_log_entries },
		{ "unsafe_shutdowns_grown", now->unsafe_shutdowns - before->unsafe_shutdowns },
		{ "read_errors", (double)io->errors },
		{ "used", now->used_percent },
		{ "temperature", now->temperature_c },
		{ "power_on", now->power_on_hours },
		{ "written", now->written_bytes / 1e12 },
		{ "unsafe_shutdowns", now->unsafe_shutdowns },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		job_report(job, rows[i].metric, job->unit, rows[i].value);
	/* Some controllers keep no spare count and say 0 of 0. */
	if (now->spare_percent == 0 && now->spare_threshold == 0)
		job_absent(job, "spare", "", "the disk keeps no count of spare blocks");
	else
		job_report(job, "spare", job->unit, now->spare_percent);
}

static int run(struct job *job, struct error *err)
{
	const struct host_disk *disk = job_disk(job, err);
	struct disk_health before, now;
	struct disk_io io;
	struct error load;
	char why[160];

	if (!disk)
		return RUN_ERROR;
	if (strcmp(disk->bus, "nvme") != 0) {
		snprintf(why, sizeof(why), "%s is a %s disk, which keeps no NVMe health log",
			 disk->device, *disk->bus ? disk->bus : "unknown");
		for (const struct metric *m = metrics; m->name; m++)
			job_absent(job, m->name, "", why);
		return RUN_OK;
	}
	if (job->hw->disk_health(job->machine, disk->device, &before, err) < 0)
		return RUN_ERROR;
	io = (struct disk_io){ .target = { .path = disk->path, .device = 1 },
			       .span = disk->bytes & ~(uint64_t)0xfffff,
			       .block = 1 << 20,
			       .depth = 16,
			       .seconds = knob(&job->knobs, "seconds") };
	if (job->hw->disk_io(job->machine, &io, &load) < 0)
		return error_set(err, "no load could be put on it: %s", load.text);
	if (job->hw->disk_health(job->machine, disk->device, &now, err) < 0)
		return RUN_ERROR;
	if (io.errors) /* not every disk enters them into its log */
		job_note(job, "%s: %s", disk->path, io.first_error);
	report(job, &before, &now, &io);
	return RUN_OK;
}

const struct check check_disk_health = {
	.name = "disk_health",
	.summary = "NVMe health log: errors, wear, warnings, temperature, and their growth",
	.how = "Reads the SMART / health log (NVM Express Base 2.0, 5.16.1.3), reads from the disk "
	       "for a few "
	       "seconds, and reads the log again. Reads that fail count, whatever the log says of "
	       "them.",
	.scope = PER_DISK,
	.occupies = USES_DISKS,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.run = run,
};
