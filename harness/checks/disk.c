/*
 * disk.c - work areas on disks.
 *
 * The folder must lie on the disk that the step names: a rate of another disk, or of a network file
 * system, under this disk's name would be worse than none.
 */
#include "harness/checks/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILL_SECONDS = 120, FILL_BLOCK = 1 << 20, FILL_DEPTH = 16 };

int disk_has_folder(struct job *job, const struct host_disk *disk, const char *folder,
		    struct error *err)
{
	char device[64];

	if (job->hw->disk_of_folder(job->machine, folder, device, sizeof(device), err) < 0)
		return -1;
	if (strcmp(device, disk->device) != 0)
		return error_set(err, "folder %s is on %s, not on %s, which is %s here", folder,
				 device, job->unit, disk->device);
	return 0;
}

static int fill(struct work_area *a, struct job *job, double bytes, struct error *err)
{
	struct disk_io io = { .target = a->target,
			      .span = (uint64_t)bytes & ~(uint64_t)(FILL_BLOCK - 1),
			      .block = FILL_BLOCK,
			      .depth = FILL_DEPTH,
			      .write = 1,
			      .seconds = FILL_SECONDS,
			      .seed = 1 };

	int rc;

	io.max_bytes = io.span;
	rc = job->hw->disk_io(job->machine, &io, err);
	a->failed += io.errors;
	if (rc < 0)
		return -1;
	if (io.errors)
		return error_set(err, "writing %s: %s", a->path, io.first_error);
	a->span = io.bytes;
	return 0;
}

static int open_file(struct work_area *a, struct job *job, const char *folder,
		     const struct host_disk *disk, double bytes, struct error *err)
{
	if (disk_has_folder(job, disk, folder, err) < 0)
		return -1;
	snprintf(a->path, sizeof(a->path), "%s/assay-%d.data", folder, (int)getpid());
	a->target.nameless = open(a->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (a->target.nameless < 0) {
		a->target.nameless = 0;
		return error_sys(err, "cannot make %s", a->path);
	}
	/* Without a name it goes away with this process, even if that is killed. */
	if (unlink(a->path) < 0)
		return error_sys(err, "cannot take the name of %s away", a->path);
	a->writable = 1;
	return fill(a, job, bytes, err);
}

static int open_device(struct work_area *a, struct job *job, const struct host_disk *disk,
		       double bytes, struct error *err)
{
	struct error refusal;

	snprintf(a->path, sizeof(a->path), "%s", disk->path);
	a->target.device = 1;
	a->span = disk->bytes < (uint64_t)bytes ? disk->bytes : (uint64_t)bytes;
	a->span &= ~(uint64_t)(FILL_BLOCK - 1);
	if (strcmp(knob_text(&job->knobs, "destroy"), "yes") != 0) {
		snprintf(a->why_not, sizeof(a->why_not),
			 "the spec names no folder on %s, so it is only read", disk->device);
		return 0;
	}
	a->target.destroy = 1;
	a->target.serial = knob_text(&job->knobs, "serial");
	if (job->hw->disk_guard(job->machine, &a->target, &refusal) == 0) {
		a->writable = 1;
		return fill(a, job, bytes, err);
	}
	a->target.destroy = 0;
	snprintf(a->why_not, sizeof(a->why_not), "refused to write: %s", refusal.text);
	return 0;
}

int work_area_open(struct work_area *a, struct job *job, double bytes, struct error *err)
{
	const char *folder = knob_text(&job->knobs, "folder");
	const struct host_disk *disk = job_disk(job, err);
	int rc;

	*a = (struct work_area){ 0 };
	a->target.path = a->path;
	if (!disk)
		return -1;
	if (bytes < FILL_BLOCK)
		return error_set(err, "bytes must be at least 1 MiB");
	if (strlen(folder) > 300)
		return error_set(err, "the folder's name is too long");
	rc = *folder ? open_file(a, job, folder, disk, bytes, err)
		     : open_device(a, job, disk, bytes, err);
	if (rc < 0)
		work_area_close(a);
	return rc;
}

void work_area_close(struct work_area *a)
{
	if (a->target.nameless)
		close(a->target.nameless);
}

int work_area_run(struct work_area *a, struct job *job, struct disk_io *want, uint64_t *errors,
		  struct error *err)
{
	want->target = a->target;
	if (!want->write)
		want->target.destroy = 0;
	want->span = a->span;
	if (job->hw->disk_io(job->machine, want, err) < 0) {
		a->failed += want->errors;
		return -1;
	}
	if (want->errors && *errors == 0)
		job_note(job, "%s: %s", a->path, want->first_error);
	*errors += want->errors;
	return 0;
}

int work_area_measure(struct job *job,
		      int (*measure)(struct job *job, struct work_area *a, uint64_t *errors,
				     struct error *err),
		      struct error *err)
{
	double samples = knob(&job->knobs, "samples");
	struct work_area a;
	uint64_t errors = 0;
	int rc;

	if (samples < 1 || samples > DISK_SAMPLES_MOST)
		return error_set(err, "samples must be from 1 to %d", DISK_SAMPLES_MOST);
	rc = work_area_open(&a, job, knob(&job->knobs, "bytes"), err);
	if (rc == 0) {
		rc = measure(job, &a, &errors, err);
		work_area_close(&a);
	}
	/* A disk that answers with nothing but errors is a bad disk, and no hole in the set-up. */
	if (rc < 0 && !a.failed)
		return RUN_ERROR;
	if (rc < 0)
		job_note(job, "%s", err->text);
	job_report(job, "errors", job->unit, (double)(errors + a.failed));
	return RUN_OK;
}
