/*
 * test_disk_guard.c - what disk_guard refuses, on real loop devices, and that nothing was written
 * then.
 *
 * Each case makes a file, shapes it, puts a loop device on it and uses it in some way; the guard
 * and a write job must both refuse with exactly the words of the table, and every byte must be as
 * before.
 */
#include "kernels/machine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* How the target is named, where it is not just the device with its right serial number. */
enum twist {
	AS_IT_IS,
	NO_DESTROY,
	NO_SERIAL,
	SHORT_SERIAL,
	FIRST_PARTITION,
	BY_LINK,
	HELD_BY_US,
	PARTITION_HELD_BY_US,
};

/* Scripts see FILE, DEV, MNT and LINK; exit status 77 means that it cannot be done here, as
 * printed. */
struct guard_case {
	const char *name;
	const char *shape; /* before the loop device is there */
	const char *use;   /* after */
	const char *undo;
	const char *losetup; /* more flags */
	enum twist twist;
	int megabytes;
	/* What must be said after "writing to ... is refused: "; @ is the device, & its mount
	 * point, $ the file. */
	const char *words;
};

/*
 * One partition of 32 MiB from sector 2048 on, type 83, as in any MBR; and told to the kernel by
 * hand where it was built without a parser for such tables.
 */
#define ADD_PARTITION "{ [ -b \"${DEV}p1\" ] || addpart \"$DEV\" 1 2048 65536; }"
#define MBR                                                                                        \
	"printf "                                                                                  \
	"'\\000\\000\\000\\000\\203\\000\\000\\000\\000\\010\\000\\000\\000\\000\\001\\000' | "    \
	"dd of=\"$FILE\" bs=1 seek=446 conv=notrunc status=none && "                               \
	"printf '\\125\\252' | dd of=\"$FILE\" bs=1 seek=510 conv=notrunc status=none"

static const struct guard_case cases[] = {
	{ .name = "plan does not allow it",
	  .twist = NO_DESTROY,
	  .words = "the plan does not allow destroying what is on it" },
	{ .name = "no serial number in the plan",
	  .twist = NO_SERIAL,
	  .words = "the plan does not name its serial number" },
	{ .name = "serial number cut short",
	  .twist = SHORT_SERIAL,
	  .words = "its serial number is 'loop:$', the plan names 'loop:$x'" },
	{ .name = "ext4",
	  .shape = "mkfs.ext4 -q -L results \"$FILE\"",
	  .words = "it bears the signature of ext4, label results" },
	{ .name = "ext4 whose superblock is spoilt",
	  .shape = "mkfs.ext4 -q -O metadata_csum \"$FILE\" && "
		   "printf x | dd of=\"$FILE\" bs=1 seek=1100 conv=notrunc status=none",
	  .words = "it bears the signature of ext4" },
	{ .name = "xfs",
	  .shape = "mkfs.xfs -q \"$FILE\"",
	  .megabytes = 320,
	  .words = "it bears the signature of xfs" },
	{ .name = "swap space, not in use",
	  .shape = "mkswap -q \"$FILE\" 2> /dev/null",
	  .words = "it bears the signature of swap" },
	{ .name = "swap space in use",
	  .shape = "mkswap -q \"$FILE\" 2> /dev/null",
	  .use = "swapon \"$DEV\"",
	  .undo = "swapoff \"$DEV\"",
	  .words = "@ is in use as swap space" },
	{ .name = "LVM physical volume",
	  .use = "LVM_SUPPRESS_FD_WARNINGS=1 pvcreate -q \"$DEV\"",
	  .words = "it bears the signature of LVM2_member" },
	{ .name = "LVM volume in use",
	  .use = "dmsetup info 2> /dev/null || exit 77; pvcreate -q \"$DEV\" && vgcreate assaytest "
		 "\"$DEV\" && "
		 "lvcreate -y -n one -l 100%FREE assaytest",
	  .undo = "vgremove -q -f assaytest 2> /dev/null",
	  .words = "@ is part of dm-0 (assaytest-one) (LVM, RAID or device mapper)" },
	{ .name = "partition table", .shape = MBR, .words = "it bears a partition table (dos)" },
	{ .name = "partition",
	  .shape = MBR,
	  .losetup = "-P",
	  .use = ADD_PARTITION,
	  .twist = FIRST_PARTITION,
	  .words = "it is a partition; name the whole disk, /dev/@" },
	{ .name = "mounted partition",
	  .shape = MBR,
	  .losetup = "-P",
	  .use = ADD_PARTITION " && mkfs.ext4 -q \"${DEV}p1\" && mount -o ro \"${DEV}p1\" \"$MNT\"",
	  .undo = "umount \"$MNT\"",
	  .words = "@p1 is mounted at & (ext4)" },
	{ .name = "partition in use as swap space",
	  .shape = MBR,
	  .losetup = "-P",
	  .use = ADD_PARTITION " && mkswap -q \"${DEV}p1\" && swapon \"${DEV}p1\"",
	  .undo = "swapoff \"${DEV}p1\"",
	  .words = "@p1 is in use as swap space" },
	{ .name = "partition open exclusively",
	  .shape = MBR,
	  .losetup = "-P",
	  .use = ADD_PARTITION,
	  .twist = PARTITION_HELD_BY_US,
	  .words = "its partition @p1 is open exclusively by another program" },
	{ .name = "partition without a table on the disk",
	  .losetup = "-P",
	  .use = ADD_PARTITION,
	  .words = "the kernel still knows a partition on it, @p1" },
	{ .name = "mounted",
	  .shape = "mkfs.ext4 -q \"$FILE\"",
	  .use = "mount -o ro \"$DEV\" \"$MNT\"",
	  .undo = "umount \"$MNT\"",
	  .words = "@ is mounted at & (ext4)" },
	{ .name = "mounted, named by a link",
	  .shape = "mkfs.ext4 -q \"$FILE\"",
	  .use = "mount -o ro \"$DEV\" \"$MNT\" && ln -s \"$DEV\" \"$LINK\"",
	  .undo = "rm -f \"$LINK\"; umount \"$MNT\"",
	  .twist = BY_LINK,
	  .words = "@ is mounted at & (ext4)" },
	{ .name = "open exclusively",
	  .twist = HELD_BY_US,
	  .words = "it is open exclusively by another program" },
	{ .name = "read-only", .losetup = "-r", .words = "it is read-only" },
	{ .name = "under another loop device",
	  .use = "losetup --show -f \"$DEV\" > \"$LINK\"",
	  .undo = "losetup -d \"$(cat \"$LINK\")\"; rm -f \"$LINK\"",
	  .words = "@ is the backing store of " },
	{ .name = "blank", .words = NULL },
};

struct fixture {
	const struct guard_case *c;
	struct machine *machine;
	char folder[64];
	char *file, *mount, *link, *device;
	int held;        /* a descriptor, or -1 */
	int begun, used; /* the case's use of the device */
};

static int script(const char *text)
{
	int status = system(text);

	return status < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

/* Every byte counts; a mixer of 64-bit words is enough to see any change. */
static uint64_t digest(const char *path)
{
	const size_t room = 1 << 20;
	uint64_t *words = xcalloc(1, room);
	int fd = open(path, O_RDONLY);
	uint64_t sum = 0;
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, words, room)) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof(words[0]); i++)
			sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u + (sum >> 29);
	assert_int_equal(n, 0);
	close(fd);
	free(words);
	return sum;
}

static int fixture_make(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct error err;

	f->c = *state;
	f->held = -1;
	*state = f;
	snprintf(f->folder, sizeof(f->folder), "/var/tmp/assay-test-XXXXXX");
	f->machine = machine_open("", &err);
	if (!f->machine || !mkdtemp(f->folder))
		return -1;
	f->file = xasprintf("%s/backing", f->folder);
	f->mount = xasprintf("%s/mount", f->folder);
	f->link = xasprintf("%s/link", f->folder);
	setenv("FILE", f->file, 1);
	setenv("MNT", f->mount, 1);
	setenv("LINK", f->link, 1);
	return mkdir(f->mount, 0700);
}

/* Runs after failed asserts too, so every step is tried whatever became of the others. */
static int fixture_remove(void **state)
{
	struct fixture *f = *state;
	int rc = 0;

	if (f->held >= 0)
		close(f->held);
	/* What a use that failed had left is undone as well, but then it is no wonder if that
	 * fails. */
	if (f->begun && f->c->undo && script(f->c->undo) != 0 && f->used)
		rc = -1;
	if (f->device && script("losetup -d \"$DEV\"") != 0)
		rc = -1;
	unlink(f->file);
	if (rmdir(f->mount) < 0 || rmdir(f->folder) < 0)
		rc = -1;
	free(f->device);
	free(f->link);
	free(f->mount);
	free(f->file);
	machine_close(f->machine);
	free(f);
	return rc;
}

static void skip_because(const char *why)
{
	print_message("skipped: %s\n", why);
	skip();
}

static char *loop_attach(const struct fixture *f)
{
	char *command = xasprintf("losetup --show -f %s \"$FILE\" 2>&1",
				  f->c->losetup ? f->c->losetup : "");
	FILE *out = popen(command, "r");
	char line[256] = "";

	free(command);
	assert_non_null(out);
	if (!fgets(line, sizeof(line), out))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (pclose(out) != 0 || strncmp(line, "/dev/loop", 9) != 0)
		skip_because(line[0] ? line : "losetup gave no device");
	return xstrdup(line);
}

/* The scripts' own words go to stderr; only a case that fails makes them interesting. */
static void run_part(const char *text, const char *why)
{
	char *quiet = text ? xasprintf("( %s ) > /dev/null", text) : NULL;
	int status = quiet ? script(quiet) : 0;

	free(quiet);
	if (status == 77 || status == 127)
		skip_because(why);
	assert_int_equal(status, 0);
}

static void case_set_up(struct fixture *f)
{
	int fd;

	if (geteuid() != 0)
		skip_because("loop devices need root");
	fd = open(f->file, O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(f->c->megabytes ? f->c->megabytes : 64) << 20), 0);
	close(fd);
	run_part(f->c->shape, "a tool that shapes the file is not installed");
	f->device = loop_attach(f);
	setenv("DEV", f->device, 1);
	f->begun = 1;
	if (f->c->use && strstr(f->c->use, "dmsetup"))
		run_part(f->c->use,
			 "no device mapper in this kernel, so no volume can be made to hold it");
	else
		run_part(f->c->use, "a tool that uses the device is not installed");
	f->used = 1;
	sync();
}

/* "@ is mounted at &" with the names of this run. */
static char *words_of(const struct fixture *f)
{
	struct text out;
	const char *device = strrchr(f->device, '/') + 1;

	text_init(&out);
	for (const char *s = f->c->words; *s; s++) {
		if (*s == '@')
			text_add(&out, device);
		else if (*s == '&')
			text_add(&out, f->mount);
		else if (*s == '$')
			text_add(&out, f->file);
		else
			text_put(&out, s, 1);
	}
	return out.data;
}

static void check_refused(struct fixture *f, const struct disk_target *target)
{
	struct disk_io job = { .target = *target,
			       .span = 1 << 20,
			       .block = 4096,
			       .depth = 4,
			       .write = 1,
			       .seconds = 1 };
	char *words = words_of(f);
	char *want = xasprintf("writing to %s is refused: %s", target->path, words);
	/* The name of the other loop device is not known beforehand. */
	size_t length = want[strlen(want) - 1] == ' ' ? strlen(want) : strlen(want) + 1;
	uint64_t before = digest(f->file);
	struct error err = { "" };

	assert_int_equal(disk_guard(f->machine, target, &err), -1);
	print_message("says: %s\n", err.text);
	err.text[length - 1] = length == strlen(want) ? ' ' : err.text[length - 1];
	assert_memory_equal(err.text, want, length);
	assert_int_equal(disk_io(f->machine, &job, &err), -1);
	assert_memory_equal(err.text, want, length);
	assert_int_equal(job.operations, 0);
	sync();
	assert_true(digest(f->file) == before);
	free(want);
	free(words);
}

/* After the guard has let it pass, a job writes it, and then it can be read: all of it, all by
 * disk_io. */
static void check_allowed(struct fixture *f, const struct disk_target *target)
{
	struct disk_io job = { .target = *target,
			       .span = 8 << 20,
			       .block = 65536,
			       .depth = 8,
			       .write = 1,
			       .seconds = 20,
			       .max_bytes = 8 << 20 };
	uint64_t before = digest(f->file);
	struct error err = { "" };

	if (disk_guard(f->machine, target, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(digest(f->file) == before);
	if (disk_io(f->machine, &job, &err) < 0) {
		if (strstr(err.text, "io_uring"))
			skip_because(err.text);
		fail_msg("%s", err.text);
	}
	assert_int_equal(job.errors, 0);
	assert_int_equal(job.bytes, 8 << 20);
	assert_true(digest(f->file) != before);
	job.write = 0;
	job.random = 1;
	job.target.destroy = 0;
	assert_int_equal(disk_io(f->machine, &job, &err), 0);
	assert_int_equal(job.operations, 128);
	job.span = 1ull << 40;
	assert_int_equal(disk_io(f->machine, &job, &err), -1);
	assert_non_null(strstr(err.text, "has 67108864 bytes, 1099511627776 were to be used"));
}

static void hold(struct fixture *f)
{
	const char *tail = f->c->twist == PARTITION_HELD_BY_US ? "p1" : "";
	char *path = xasprintf("%s%s", f->device, tail);

	if (f->c->twist == HELD_BY_US || f->c->twist == PARTITION_HELD_BY_US) {
		f->held = open(path, O_RDONLY | O_EXCL);
		assert_true(f->held >= 0);
	}
	free(path);
}

static void test_case(void **state)
{
	struct fixture *f = *state;
	struct disk_target target = { .device = 1, .destroy = 1 };
	const char *tail = f->c->twist == FIRST_PARTITION ? "p1" : "";
	char serial[160], path[160];

	case_set_up(f);
	snprintf(serial, sizeof(serial), "loop:%s%s", f->file,
		 f->c->twist == SHORT_SERIAL ? "x" : "");
	if (f->c->twist == BY_LINK)
		snprintf(path, sizeof(path), "%s", f->link);
	else
		snprintf(path, sizeof(path), "%s%s", f->device, tail);
	target.path = path;
	target.destroy = f->c->twist != NO_DESTROY;
	target.serial = f->c->twist == NO_SERIAL ? NULL : serial;
	hold(f);
	if (f->c->words)
		check_refused(f, &target);
	else
		check_allowed(f, &target);
}

static void test_no_block_device(void **state)
{
	static const struct {
		const char *path, *words;
	} paths[] = {
		{ "/dev/null", "writing to /dev/null is refused: it is not a block device" },
		{ "/proc/version",
		  "writing to /proc/version is refused: it is not a block device" },
		{ "/dev/nonexistent",
		  "writing to /dev/nonexistent is refused: it cannot be found: No such "
		  "file or directory" },
	};
	struct error err;
	struct machine *machine = machine_open("", &err);

	(void)state;
	assert_non_null(machine);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct disk_target target = {
			.path = paths[i].path, .device = 1, .destroy = 1, .serial = "S1"
		};

		assert_int_equal(disk_guard(machine, &target, &err), -1);
		assert_string_equal(err.text, paths[i].words);
	}
	machine_close(machine);
}

/* The disk that this test runs from is the one that must never be written. */
static void test_own_disk(void **state)
{
	struct error err;
	struct machine *machine = machine_open("", &err);
	struct disk_target target = { .device = 1, .destroy = 1, .serial = "wrong" };
	char device[64], *path;

	(void)state;
	assert_non_null(machine);
	if (disk_of_folder(machine, "/var/tmp", device, sizeof(device), &err) < 0) {
		print_message("skipped: %s\n", err.text);
		machine_close(machine);
		skip();
	}
	path = xasprintf("/dev/%s", device);
	target.path = path;
	assert_int_equal(disk_guard(machine, &target, &err), -1);
	print_message("says: %s\n", err.text);
	free(path);
	machine_close(machine);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases) + 2];
	size_t count = ARRAY_SIZE(cases);

	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, test_case, fixture_make,
						fixture_remove, (void *)&cases[i] };
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_no_block_device);
	tests[count] = (struct CMUnitTest)cmocka_unit_test(test_own_disk);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
