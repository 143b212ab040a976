/*
 * guard.c - which device may be written, which disk a folder lies on, how full a file system may
 * get.
 *
 * Everything that can be named (a mount, a holder, a wrong serial number) is looked at twice: once
 * before the device is opened, so that the refusal gives the real reason and not just "busy", and
 * once while it is held exclusively, when nobody can mount or claim it any more. Signatures are
 * read through the held descriptor only. Whatever cannot be found out is a refusal.
 */
#include "kernels/guard.h"

#include <blkid/blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PROC_FILE_MOST = 64 << 20 };

/* ---- mounts -------------------------------------------------------------------------------- */

/* One line of mountinfo, proc(5). The strings belong to the text that mount_next walks through. */
struct mount {
	unsigned major, minor;
	char *point, *type, *source;
};

static char *mounts_read(const struct machine *m, struct error *err)
{
	char *path = machine_path(m, "/proc/self/mountinfo");
	size_t len;
	char *text = file_read(path, PROC_FILE_MOST, &len, err);

	free(path);
	return text;
}

/* 1 and the next mount, or 0 at the end. Cuts the text up as it goes. */
static int mount_next(char **text, struct mount *mount)
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

static int block_device_of(const char *path, dev_t *dev)
{
	struct stat st;

	if (strncmp(path, "/dev/", 5) != 0 || stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return 0;
	*dev = st.st_rdev;
	return 1;
}

/* ---- devices ------------------------------------------------------------------------------- */

/* The folder of a block device in sysfs, links resolved; NULL with errno. The caller frees it. */
static char *sys_folder(const struct machine *m, dev_t dev)
{
	char *path = machine_path(m, "/sys/dev/block/%u:%u", major(dev), minor(dev));
	char *real = realpath(path, NULL);

	free(path);
	return real;
}

static char *sys_line(const char *folder, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);
	char *line = file_line(path);

	free(path);
	return line;
}

static int sys_has(const char *folder, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);
	int has = access(path, F_OK) == 0;

	free(path);
	return has;
}

/* Removes white space at both ends; NULL for a text of nothing else. Takes the text over. */
static char *trimmed(char *text)
{
	char *start, *out;
	size_t len;

	if (!text)
		return NULL;
	start = text + strspn(text, " \t");
	len = strlen(start);
	while (len && strchr(" \t\n", start[len - 1]))
		len--;
	out = len ? xstrndup(start, len) : NULL;
	free(text);
	return out;
}

/* Unit serial number page (SPC-4, 7.8.13): code 80h, length in bytes 2 and 3, then the number. */
static char *scsi_serial(const struct machine *m, const char *device)
{
	char *path = machine_path(m, "/sys/block/%s/device/vpd_pg80", device), *out = NULL;
	struct error ignored;
	size_t len;
	char *page = file_read(path, 4096, &len, &ignored);

	if (page && len > 4 && (unsigned char)page[1] == 0x80) {
		size_t said = (size_t)(unsigned char)page[2] << 8 | (unsigned char)page[3];

		out = xstrndup(page + 4, said < len - 4 ? said : len - 4);
	}
	free(page);
	free(path);
	return trimmed(out);
}

char *disk_serial(const struct machine *m, const char *device)
{
	static const char *const files[] = { "device/serial", "serial" };
	char *line = machine_line(m, "/sys/block/%s/loop/backing_file", device);
	char *out = NULL;

	if (line) {
		out = xasprintf("loop:%s", line);
		free(line);
		return out;
	}
	for (size_t i = 0; !out && i < ARRAY_SIZE(files); i++)
		out = trimmed(machine_line(m, "/sys/block/%s/%s", device, files[i]));
	if (!out)
		out = scsi_serial(m, device);
	return out ? out : trimmed(machine_line(m, "/sys/block/%s/device/wwid", device));
}

/* ---- the guard ----------------------------------------------------------------------------- */

struct member { /* the disk itself or one of its partitions */
	dev_t dev;
	char name[64];
};

struct victim {
	struct machine *m;
	const struct disk_target *target;
	char path[PATH_MAX]; /* links resolved */
	char *sys;           /* its folder in sysfs */
	struct member *members;
	size_t count; /* members[0] is the disk */
	int fd;       /* -1 until it is held */
};

static int member_add(struct victim *v, const char *folder, const char *name, struct error *err)
{
	char *dev = sys_line(folder, "dev");
	unsigned hi, lo;
	struct member *member;
	int ok = dev && sscanf(dev, "%u:%u", &hi, &lo) == 2;

	free(dev);
	if (!ok)
		return error_set(err, "its device number cannot be read from %s/dev", folder);
	v->members = grow(v->members, v->count, sizeof(*v->members));
	member = &v->members[v->count++];
	member->dev = makedev(hi, lo);
	snprintf(member->name, sizeof(member->name), "%s", name);
	return 0;
}

/* Every folder in the disk's folder that has a file `partition` is one. */
static int members_find(struct victim *v, struct error *err)
{
	DIR *dir = opendir(v->sys);
	struct dirent *entry;
	int rc;

	v->count = 0;
	if (!dir)
		return error_sys(err, "%s cannot be listed", v->sys);
	rc = member_add(v, v->sys, basename(v->sys), err);
	while (rc == 0 && (errno = 0, entry = readdir(dir))) {
		char *folder = xasprintf("%s/%s", v->sys, entry->d_name);

		if (entry->d_name[0] != '.' && sys_has(folder, "partition"))
			rc = member_add(v, folder, entry->d_name, err);
		free(folder);
	}
	if (rc == 0 && errno)
		rc = error_sys(err, "%s cannot be listed", v->sys);
	closedir(dir);
	return rc;
}

static const struct member *member_of(const struct victim *v, dev_t dev)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->members[i].dev == dev)
			return &v->members[i];
	return NULL;
}

static int has_the_serial(struct victim *v, struct error *err)
{
	char *serial = disk_serial(v->m, basename(v->sys));
	int rc = 0;

	if (!serial)
		rc = error_set(
			err, "the device has no serial number, so it cannot be told from another");
	else if (strcmp(serial, v->target->serial) != 0)
		rc = error_set(err, "its serial number is '%s', the plan names '%s'", serial,
			       v->target->serial);
	free(serial);
	return rc;
}

static int is_writable(struct victim *v, struct error *err)
{
	char *line = sys_line(v->sys, "ro");
	int read_only = 0, rc = 0;

	if (!line)
		rc = error_sys(err, "%s/ro cannot be read", v->sys);
	else if (strcmp(line, "0") != 0 ||
		 (v->fd >= 0 && (ioctl(v->fd, BLKROGET, &read_only) < 0 || read_only)))
		rc = error_set(err, "it is read-only");
	free(line);
	return rc;
}

static int is_not_mounted(struct victim *v, struct error *err)
{
	char *text = mounts_read(v->m, err), *rest = text;
	struct mount mount;
	int rc = 0;

	if (!text)
		return -1;
	while (rc == 0 && mount_next(&rest, &mount)) {
		const struct member *member = member_of(v, makedev(mount.major, mount.minor));
		dev_t source;

		/* btrfs mounts under a number of its own and names the device only as the source.
		 */
		if (!member && block_device_of(mount.source, &source))
			member = member_of(v, source);
		if (member)
			rc = error_set(err, "%s is mounted at %s (%s)", member->name, mount.point,
				       mount.type);
	}
	free(text);
	return rc;
}

static int is_not_swap(struct victim *v, struct error *err)
{
	char *path = machine_path(v->m, "/proc/swaps");
	size_t len;
	char *text = file_read(path, PROC_FILE_MOST, &len, err), *rest = text, *line;
	int rc = text ? 0 : -1;

	while (rc == 0 && (line = strsep(&rest, "\n"))) {
		const struct member *member;
		dev_t dev;

		line[strcspn(line, " \t")] = '\0';
		if (block_device_of(line, &dev) && (member = member_of(v, dev)))
			rc = error_set(err, "%s is in use as swap space", member->name);
	}
	free(text);
	free(path);
	return rc;
}

/* "dm-0 (vg-data)": the name that an administrator knows, if there is one. */
static void holders_add(struct victim *v, struct text *names, const char *holder)
{
	char *known = machine_line(v->m, "/sys/block/%s/dm/name", holder);

	text_addf(names, "%s%s", names->len ? ", " : "", holder);
	if (known)
		text_addf(names, " (%s)", known);
	free(known);
}

static int member_is_not_held(struct victim *v, const struct member *member, struct error *err)
{
	char *path = machine_path(v->m, "/sys/dev/block/%u:%u/holders", major(member->dev),
				  minor(member->dev));
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct text names;
	int rc = 0;

	text_init(&names);
	if (!dir)
		rc = error_sys(err, "%s cannot be listed", path);
	while (dir && (errno = 0, entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			holders_add(v, &names, entry->d_name);
	if (dir && errno)
		rc = error_sys(err, "%s cannot be listed", path);
	if (names.len)
		rc = error_set(err, "%s is part of %s (LVM, RAID or device mapper)", member->name,
			       names.data);
	if (dir)
		closedir(dir);
	text_release(&names);
	free(path);
	return rc;
}

static int is_not_held(struct victim *v, struct error *err)
{
	for (size_t i = 0; i < v->count; i++)
		if (member_is_not_held(v, &v->members[i], err) < 0)
			return -1;
	return 0;
}

/* The kernel notes no holder for what lies under a loop device; the loop device itself knows. */
static int is_not_under_a_loop(struct victim *v, struct error *err)
{
	char *path = machine_path(v->m, "/sys/block");
	DIR *dir = opendir(path);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		rc = error_sys(err, "%s cannot be listed", path);
	while (rc == 0 && (errno = 0, entry = readdir(dir))) {
		char *backing =
			machine_line(v->m, "/sys/block/%s/loop/backing_file", entry->d_name);
		const struct member *member;
		dev_t dev;

		if (backing && block_device_of(backing, &dev) && (member = member_of(v, dev)))
			rc = error_set(err, "%s is the backing store of %s", member->name,
				       entry->d_name);
		free(backing);
		errno = 0;
	}
	if (dir && rc == 0 && errno)
		rc = error_sys(err, "%s cannot be listed", path);
	if (dir)
		closedir(dir);
	free(path);
	return rc;
}

/* Only while the disk is not held: afterwards its partitions are busy because of us. */
static int partitions_are_idle(struct victim *v, struct error *err)
{
	for (size_t i = 1; v->fd < 0 && i < v->count; i++) {
		char *path = machine_path(v->m, "/dev/%s", v->members[i].name);
		int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC), rc = 0;

		if (fd < 0 && errno == EBUSY)
			rc = error_set(err,
				       "its partition %s is open exclusively by another program",
				       v->members[i].name);
		else if (fd < 0)
			rc = error_sys(
				err,
				"its partition %s cannot be opened to see whether it is in use",
				path);
		if (fd >= 0)
			close(fd);
		free(path);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int (*const named_checks[])(struct victim *, struct error *) = {
	has_the_serial, is_writable,         is_not_mounted,      is_not_swap,
	is_not_held,    is_not_under_a_loop, partitions_are_idle,
};

static int named_checks_pass(struct victim *v, struct error *err)
{
	if (members_find(v, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(named_checks); i++)
		if (named_checks[i](v, err) < 0)
			return -1;
	return 0;
}

static int is_whole_disk(struct victim *v, const struct stat *st, struct error *err)
{
	if (!S_ISBLK(st->st_mode))
		return error_set(err, "it is not a block device");
	v->sys = sys_folder(v->m, st->st_rdev);
	if (!v->sys)
		return error_sys(err, "the kernel does not list it as a block device");
	if (sys_has(v->sys, "partition")) {
		char *disk = xstrdup(v->sys);

		error_set(err, "it is a partition; name the whole disk, /dev/%s",
			  basename(dirname(disk)));
		free(disk);
		return -1;
	}
	return 0;
}

static const char *probe_value(blkid_probe probe, const char *name)
{
	const char *value;

	return blkid_probe_lookup_value(probe, name, &value, NULL) == 0 ? value : NULL;
}

static int signature_found(blkid_probe probe, struct error *err)
{
	const char *type = probe_value(probe, "TYPE"), *table = probe_value(probe, "PTTYPE");
	const char *label = probe_value(probe, "LABEL");

	if (table)
		return error_set(err, "it bears a partition table (%s)", table);
	return error_set(err, "it bears the signature of %s%s%s", type ? type : "something unnamed",
			 label ? ", label " : "", label ? label : "");
}

static int probe_signatures(blkid_probe probe, struct error *err)
{
	int found;

	if (blkid_probe_enable_superblocks(probe, 1) < 0 ||
	    blkid_probe_set_superblocks_flags(
		    probe, BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE |
				   BLKID_SUBLKS_LABEL | BLKID_SUBLKS_BADCSUM) < 0 ||
	    blkid_probe_enable_partitions(probe, 1) < 0 ||
	    blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT) < 0)
		return error_set(err, "libblkid cannot be set up to look for signatures on it");
	if (!blkid_probe_is_wholedisk(probe))
		return error_set(err, "libblkid does not take it for a whole disk");

	/* The plain probe stops at anything it knows, the safe one also sees what contradicts
	 * itself. */
	found = blkid_do_probe(probe);
	if (found == 0)
		return signature_found(probe, err);
	if (found == 1) {
		blkid_reset_probe(probe);
		found = blkid_do_safeprobe(probe);
	}
	if (found == 0)
		return signature_found(probe, err);
	if (found == -2)
		return error_set(err, "it bears several signatures that contradict each other");
	if (found != 1)
		return error_set(err, "libblkid could not read it to look for signatures");
	return 0;
}

static int bears_no_signature(struct victim *v, struct error *err)
{
	blkid_probe probe = blkid_new_probe();
	int rc;

	if (!probe)
		return error_set(err, "libblkid cannot be used to look for signatures on it");
	if (blkid_probe_set_device(probe, v->fd, 0, 0) != 0 || blkid_probe_get_size(probe) <= 0)
		rc = error_set(err,
			       "libblkid could not open it to look for signatures, or it is empty");
	else
		rc = probe_signatures(probe, err);
	blkid_free_probe(probe);
	return rc;
}

/* Takes the disk: from here on nobody can mount it or claim it, nor any of its partitions. */
static int hold(struct victim *v, struct error *err)
{
	struct stat st;

	v->fd = open(v->path, O_RDWR | O_EXCL | O_CLOEXEC | O_NOFOLLOW);
	if (v->fd < 0 && errno == EBUSY)
		return error_set(err, "it is open exclusively by another program");
	if (v->fd < 0)
		return error_sys(err, "it cannot be opened for writing");
	if (fstat(v->fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != v->members[0].dev)
		return error_set(err, "the device behind its name has just changed");
	return 0;
}

static int guard_steps(struct victim *v, struct error *err)
{
	struct stat st;

	if (v->m->root[0])
		return error_set(err, "this is a recorded machine, not a real one");
	if (!v->target->device)
		return error_set(err, "it was not named as a device");
	if (!v->target->destroy)
		return error_set(err, "the plan does not allow destroying what is on it");
	if (!v->target->serial || !v->target->serial[0])
		return error_set(err, "the plan does not name its serial number");
	if (!realpath(v->target->path, v->path) || stat(v->path, &st) < 0)
		return error_sys(err, "it cannot be found");
	if (is_whole_disk(v, &st, err) < 0 || named_checks_pass(v, err) < 0 || hold(v, err) < 0 ||
	    named_checks_pass(v, err) < 0 || bears_no_signature(v, err) < 0)
		return -1;
	if (v->count > 1)
		return error_set(err, "the kernel still knows a partition on it, %s",
				 v->members[1].name);
	return 0;
}

int guard_open(struct machine *m, const struct disk_target *target, int *fd, struct error *err)
{
	struct victim v = { .m = m, .target = target, .fd = -1 };
	int rc = guard_steps(&v, err);

	if (rc < 0)
		error_prefix(err, "writing to %s is refused: ", target->path);
	if (rc < 0 && v.fd >= 0)
		close(v.fd);
	free(v.members);
	free(v.sys);
	*fd = rc < 0 ? -1 : v.fd;
	return rc;
}

int disk_guard(struct machine *m, const struct disk_target *target, struct error *err)
{
	int fd;

	if (guard_open(m, target, &fd, err) < 0)
		return -1;
	close(fd);
	return 0;
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
