/*
 * guard.c - which device may be written.
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
