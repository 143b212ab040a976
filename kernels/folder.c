/*
 * folder.c - mounts, which disk a folder lies on, and how full a file system may get.
 *
 * A folder is traced to its whole disk through the mount's device number and sysfs; whatever has
 * more than one disk below it (RAID) or none (memory, network) is no disk of ours.
 */
#include "kernels/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PROC_FILE_MOST = 64 << 20 };

char *mounts_read(const struct machine *m, struct error *err)
{
	char *path = machine_path(m, "/proc/self/mountinfo");
	size_t len;
	char *text = file_read(path, PROC_FILE_MOST, &len, err);

	free(path);
	return text;
}

/* 1 and the next mount, or 0 at the end. Cuts the text up as it goes. */
int mount_next(char **text, struct mount *mount)
{
	char *line, *rest;

	while ((line = strsep(text, "\n"))) {
		char *end = strstr(line, " - ");

		if (!end || sscanf(line, "%*d %*d %u:%u", &mount->major, &mount->minor) != 2)
			continue;
		*end = '\0';
		rest = line;
		for (int field = 0; field < 5; field++)
			mount->point = strsep(&rest, " ");
		rest = end + strlen(" - ");
		mount->type = strsep(&rest, " ");
		mount->source = strsep(&rest, " ");
		if (mount->point && mount->source)
			return 1;
	}
	return 0;
}

/* The last mount of this device number, which hides the others; 0 if there is none. */
static int mount_of(char *text, dev_t dev, struct mount *found)
{
	struct mount mount;
	int any = 0;

	while (mount_next(&text, &mount)) {
		if (makedev(mount.major, mount.minor) != dev)
			continue;
		*found = mount;
		any = 1;
	}
	return any;
}

int block_device_of(const char *path, dev_t *dev)
{
	struct stat st;

	if (strncmp(path, "/dev/", 5) != 0 || stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return 0;
	*dev = st.st_rdev;
	return 1;
}

/* The folder of a block device in sysfs, links resolved; NULL with errno. The caller frees it. */
char *sys_folder(const struct machine *m, dev_t dev)
{
	char *path = machine_path(m, "/sys/dev/block/%u:%u", major(dev), minor(dev));
	char *real = realpath(path, NULL);

	free(path);
	return real;
}

char *sys_line(const char *folder, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);
	char *line = file_line(path);

	free(path);
	return line;
}

int sys_has(const char *folder, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);
	int has = access(path, F_OK) == 0;

	free(path);
	return has;
}

/* ---- files --------------------------------------------------------------------------------- */

static char *file_system_of(const struct machine *m, int fd)
{
	struct error ignored;
	char *text = mounts_read(m, &ignored), *name;
	struct mount mount;
	struct stat st;
	int found = text && fstat(fd, &st) == 0 && mount_of(text, st.st_dev, &mount);

	name = xstrdup(found ? mount.type : "unknown");
	free(text);
	return name;
}

int headroom_check(int fd, const char *path, uint64_t bytes, struct error *err)
{
	const double keep_least = 2.0 * (1u << 30), keep_share = 0.05;
	struct statvfs fs;
	char want[32], free_now[32], keep_text[32];
	double available, keep;

	if (fstatvfs(fd, &fs) < 0)
		return error_sys(err, "cannot find out how full the file system of %s is", path);
	available = (double)fs.f_bavail * (double)fs.f_frsize;
	keep = keep_share * (double)fs.f_blocks * (double)fs.f_frsize;
	keep = keep > keep_least ? keep : keep_least;
	if (available - (double)bytes >= keep)
		return 0;
	bytes_text((double)bytes, want, sizeof(want));
	bytes_text(available, free_now, sizeof(free_now));
	bytes_text(keep, keep_text, sizeof(keep_text));
	return error_set(err,
			 "%s needs %s, its file system has %s free, and %s of that must stay free",
			 path, want, free_now, keep_text);
}

/* Newer kernels take O_DIRECT on memory file systems and then copy as ever, so they are asked for
 * first. */
int go_direct(const struct machine *m, int fd, const char *path, struct error *err)
{
	static const char *const reasons[] = { "does not support O_DIRECT",
					       "is memory and no disk" };
	struct statfs fs;
	int in_memory;
	char *type;

	if (fstatfs(fd, &fs) < 0)
		return error_sys(err, "cannot find out the file system of %s", path);
	in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC ||
		    fs.f_type == HUGETLBFS_MAGIC;
	if (!in_memory && fcntl(fd, F_SETFL, O_DIRECT) == 0)
		return 0;
	if (!in_memory && errno != EINVAL)
		return error_sys(err, "cannot switch %s to O_DIRECT", path);
	type = file_system_of(m, fd);
	error_set(err, "%s lies on the file system %s, which %s", path, type, reasons[in_memory]);
	free(type);
	return -1;
}

/* ---- the disk behind a folder -------------------------------------------------------------- */

/* The only entry of a folder, *count says how many there are. */
static void only_entry(const char *folder, char *name, size_t room, int *count)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	*count = 0;
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, room, "%s", entry->d_name);
		++*count;
	}
	if (dir)
		closedir(dir);
}

/* From a partition up to its disk, from LVM, RAID and dm-crypt down to what they lie on. */
static int disk_below(struct machine *m, char *sys, char *device, size_t room, struct error *err)
{
	char *folder = sys_has(sys, "partition") ? dirname(sys) : sys;
	char *slaves = xasprintf("%s/slaves", folder);
	char *link = NULL, *below = NULL;
	char name[NAME_MAX + 1];
	int count, rc = 0;

	only_entry(slaves, name, sizeof(name), &count);
	if (count > 1)
		rc = error_set(err, "%s lies on %d disks at once", basename(folder), count);
	else if (count == 1 && !(below = realpath(link = xasprintf("%s/%s", slaves, name), NULL)))
		rc = error_sys(err, "%s cannot be found below %s", name, basename(folder));
	else if (count == 1)
		rc = disk_below(m, below, device, room, err);
	else if ((size_t)snprintf(device, room, "%s", basename(folder)) >= room)
		rc = error_set(err, "the name of device %s is too long", basename(folder));
	free(below);
	free(link);
	free(slaves);
	return rc;
}

static int device_of_folder(struct machine *m, const char *folder, dev_t *dev, struct error *err)
{
	struct mount mount;
	struct stat st;
	char *text;
	int rc = 0;

	if (stat(folder, &st) < 0)
		return error_sys(err, "cannot look at %s", folder);
	*dev = st.st_dev;
	if (major(st.st_dev) != 0)
		return 0;
	text = mounts_read(m, err);
	if (!text)
		return -1;
	if (!mount_of(text, st.st_dev, &mount))
		rc = error_set(err, "the file system of %s is not among the mounts", folder);
	else if (!block_device_of(mount.source, dev))
		rc = error_set(err, "%s lies on %s, which has no disk of this machine behind it",
			       folder, mount.type);
	free(text);
	return rc;
}

int disk_of_folder(struct machine *m, const char *folder, char *device, size_t room,
		   struct error *err)
{
	dev_t dev;
	char *sys;
	int rc;

	if (m->root[0])
		return error_set(err, "a recorded machine has no folders to write to");
	if (device_of_folder(m, folder, &dev, err) < 0)
		return -1;
	sys = sys_folder(m, dev);
	if (!sys)
		return error_sys(err, "the kernel does not list device %u:%u of %s", major(dev),
				 minor(dev), folder);
	rc = disk_below(m, sys, device, room, err);
	free(sys);
	return rc;
}
