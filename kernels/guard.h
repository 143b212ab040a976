/*
 * guard.h - which disk work may touch what. Private to kernels/.
 */
#ifndef ASSAY_GUARD_H
#define ASSAY_GUARD_H

#include "kernels/machine.h"

/* A file that disk work writes is called like this, so that no other file can be named by mistake.
 */
#define DISK_FILE_PATTERN "assay-*.data"

/*
 * All of disk_guard. On success *fd is the device, opened for writing and exclusively before the
 * last of the checks was made: whoever writes must write through it, as any other descriptor could
 * by then belong to a disk in use. The caller closes it.
 */
int guard_open(struct machine *m, const struct disk_target *target, int *fd, struct error *err);

/*
 * The serial number of a whole disk ("nvme0n1"), exactly as a plan must name it, or NULL if it has
 * none (a loop device has "loop:" and the path of its backing file). The caller frees it.
 */
char *disk_serial(const struct machine *m, const char *device);

/* 0 if `bytes` more still leave enough free on the file system of fd; else -1 with the numbers. */
int headroom_check(int fd, const char *path, uint64_t bytes, struct error *err);
/* Switches an open file to O_DIRECT. -1 where that is not supported or the file system is memory.
 */
int go_direct(const struct machine *m, int fd, const char *path, struct error *err);

#endif
