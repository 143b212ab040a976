/*
 * guard.h - which disk work may touch what. Private to kernels/.
 */
#ifndef ASSAY_GUARD_H
#define ASSAY_GUARD_H

#include "kernels/folder.h"

/* A file that disk work writes is called like this, so that no other file can be named by mistake.
 */
#define DISK_FILE_PATTERN "assay-*.data"

/*
 * All of disk_guard. On success *fd is the device, opened for writing and exclusively before the
 * last of the checks was made: whoever writes must write through it, as any other descriptor could
 * by then belong to a disk in use. The caller closes it.
 */
int guard_open(struct machine *m, const struct disk_target *target, int *fd, struct error *err);

#endif
