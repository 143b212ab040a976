/*
 * disk.h - where disk checks work: a file made for it, or a device that is read. Private to
 * checks/.
 */
#ifndef ASSAY_DISK_H
#define ASSAY_DISK_H

#include "harness/checks/check.h"

/* The knobs that every disk check has in common; the planner fills in the last three from the spec.
 */
#define DISK_KNOBS                                                                                 \
	{ "folder", "", "folder on this disk for files; from the spec", 1 },                       \
		{ "serial", "", "serial number of a disk that may be overwritten; from the spec",  \
		  1 },                                                                             \
	{                                                                                          \
		"destroy", "no", "yes: the plan allows to overwrite it (--destroy-data)", 1        \
	}

/* 0 when a folder lies on this disk; else -1 with err. */
int disk_has_folder(struct job *job, const struct host_disk *disk, const char *folder,
		    struct error *err);

struct work_area {
	struct disk_target target;
	char path[400];
	uint64_t span;   /* bytes that exist and may be read */
	uint64_t failed; /* operations of transfers that came to nothing */
	int writable;
	char why_not[600]; /* not writable: because */
};

/*
 * Finds the area of this step's disk and fills it with data, up to `bytes`: a file in the spec's
 * folder, or the device itself (only read, unless serial and destroy allow it and disk_guard
 * agrees). 0 or -1.
 */
int work_area_open(struct work_area *a, struct job *job, double bytes, struct error *err);
void work_area_close(struct work_area *a); /* removes the file */

/*
 * Runs `want` once and adds one sample. Failed operations count into *errors; -1 when nothing could
 * be done at all.
 */
int work_area_run(struct work_area *a, struct job *job, struct disk_io *want, uint64_t *errors,
		  struct error *err);

/*
 * What all rates and latencies share: checks `samples`, opens an area of `bytes`, measures, removes
 * it and reports how many operations failed. measure() reports everything else. A run() of a check.
 */
int work_area_measure(struct job *job,
		      int (*measure)(struct job *job, struct work_area *a, uint64_t *errors,
				     struct error *err),
		      struct error *err);

enum { DISK_SAMPLES_MOST = 100 };

#endif
