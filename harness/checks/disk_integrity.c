/* disk_integrity.c - does the disk give back what was written, all of it, from the right place? */
#include "harness/checks/disk.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct param params[] = {
	{ "files", "4", "how many files" },
	{ "bytes", "256MiB", "size of each" },
	DISK_KNOBS,
	{ 0 },
};

static const struct metric metrics[] = {
	{ "corrupt", "", NONE, BY_EVERY, NULL, "blocks with contents that nobody wrote" },
	{ "torn", "", NONE, BY_EVERY, NULL, "blocks made of parts of two writes" },
	{ "stale", "", NONE, BY_EVERY, NULL, "blocks that hold the write before the last" },
	{ "misplaced", "", NONE, BY_EVERY, NULL, "blocks that belong to another place" },
	{ "verified", "GB", MORE, RECORDED, NULL, "bytes read back and compared" },
	{ 0 },
};

static double total(const struct knobs *k)
{
	return knob(k, "files") * knob(k, "bytes");
}

static double seconds(const struct knobs *k)
{
	return 2 + 3 * total(k) / 0.5e9;
}

static double writes(const struct knobs *k)
{
	return 2 * total(k); /* each file twice, so that a stale block can be told */
}

static int check_place(struct job *job, const char *folder, struct error *err)
{
	const struct host_disk *disk = job_disk(job, err);

	if (!disk)
		return -1;
	if (!*folder)
		return error_set(
			err,
			"the spec names no folder on %s, and integrity is only checked on files",
			disk->device);
	return disk_has_folder(job, disk, folder, err);
}

static int run(struct job *job, struct error *err)
{
	struct disk_integrity d = { .folder = knob_text(&job->knobs, "folder"),
				    .files = (int)knob(&job->knobs, "files"),
				    .file_bytes = (uint64_t)knob(&job->knobs, "bytes"),
				    .seed = (uint64_t)time(NULL) };

	if (check_place(job, d.folder, err) < 0 ||
	    job->hw->disk_integrity(job->machine, &d, err) < 0)
		return RUN_ERROR;
	if (d.verified_bytes != (uint64_t)d.files * d.file_bytes)
		return error_set(err, "only %llu of %llu bytes were read back",
				 (unsigned long long)d.verified_bytes,
				 (unsigned long long)((uint64_t)d.files * d.file_bytes));
	if (*d.first_bad)
		job_note(job, "first bad block: %s", d.first_bad);
	for (int i = 0; i < DISK_FAULTS; i++)
		job_report(job, disk_fault_name((enum disk_fault)i), job->unit, (double)d.bad[i]);
	job_report(job, "verified", job->unit, (double)d.verified_bytes / 1e9);
	return RUN_OK;
}

const struct check check_disk_integrity = {
	.name = "disk_integrity",
	.summary = "writes files, reads all of it back, tells corrupt, torn, stale, misplaced",
	.how = "Each sector carries run, file, offset and generation, and a body that follows from "
	       "them. The set "
	       "is written twice, synced, dropped from the page cache and read back with O_DIRECT; "
	       "every sector "
	       "is generated again and compared, so a good block at a wrong place and an old block "
	       "at the right "
	       "place are told apart from damage.",
	.scope = PER_DISK,
	.occupies = USES_DISKS | USES_CORES,
	.params = params,
	.metrics = metrics,
	.seconds = seconds,
	.writes = writes,
	.run = run,
};
