/*
 * folder.h - mounts, block devices in sysfs, free space. Private to kernels/.
 */
#ifndef ASSAY_FOLDER_H
#define ASSAY_FOLDER_H

#include "kernels/machine.h"

#include <sys/types.h>

/* One line of mountinfo, proc(5). The strings belong to the text that mount_next walks through. */
struct mount {
	unsigned major, minor;
	char *point, *type, *source;
};

/* The text of mountinfo, to be walked through by mount_next; the caller frees it. */
char *mounts_read(const struct machine *m, struct error *err);
/* 1 and the next mount, or 0 at the end. Cuts the text up as it goes. */
int mount_next(char **text, struct mount *mount);
/* Whether path is a block device, and which. */
int block_device_of(const char *path, dev_t *dev);
/* The folder of a block device in sysfs, links resolved; NULL with errno. The caller frees it. */
char *sys_folder(const struct machine *m, dev_t dev);
/* First line of a file in such a folder, or NULL with errno; the caller frees it. */
char *sys_line(const char *folder, const char *name);
int sys_has(const char *folder, const char *name);

/* 0 if `bytes` more still leave enough free on the file system of fd; else -1 with the numbers. */
int headroom_check(int fd, const char *path, uint64_t bytes, struct error *err);
/* Switches an open file to O_DIRECT. -1 where that is not supported or the file system is memory.
 */
int go_direct(const struct machine *m, int fd, const char *path, struct error *err);

#endif
