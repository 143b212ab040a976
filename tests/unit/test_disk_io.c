/*
 * test_disk_io.c - what disk_io does to files: what it refuses in which words, and that its counts
 * add up.
 *
 * No figure of speed is looked at, only how the figures of one job must relate to each other.
 */
#include "kernels/machine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/magic.h>

enum { MIB = 1 << 20, PAGE = 4096 };

struct place {
	struct machine *machine;
	char folder[64];
	char *file; /* "assay-1.data" in it */
};

static int place_make(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	struct error err;

	snprintf(place->folder, sizeof(place->folder), "/var/tmp/assay-test-XXXXXX");
	place->machine = machine_open("", &err);
	*state = place;
	if (!place->machine || !mkdtemp(place->folder))
		return -1;
	place->file = xasprintf("%s/assay-1.data", place->folder);
	return 0;
}

static int place_remove(void **state)
{
	struct place *place = *state;
	char *command = xasprintf("rm -r '%s'", place->folder);
	int rc = system(command);

	free(command);
	free(place->file);
	machine_close(place->machine);
	free(place);
	return rc;
}

/* A machine that forbids or lacks what is tested is no failure of the program; anything else is. */
static void skip_if_unusable(const struct error *err)
{
	static const char *const reasons[] = {
		"io_uring",
		"must stay free",
		"does not support O_DIRECT",
		"is memory and no disk",
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (!strstr(err->text, reasons[i]))
			continue;
		print_message("skipped: %s\n", err->text);
		skip();
	}
}

static struct disk_io job_of(const struct place *place)
{
	return (struct disk_io){
		.target = { .path = place->file },
		.span = 4 * MIB,
		.block = 65536,
		.depth = 8,
		.seconds = 30,
		.max_bytes = 4 * MIB,
		.seed = 1,
	};
}

static void run_job(const struct place *place, struct disk_io *job)
{
	struct error err = { "" };

	if (disk_io(place->machine, job, &err) == 0)
		return;
	skip_if_unusable(&err);
	fail_msg("%s", err.text);
}

static void lay_out(const struct place *place)
{
	struct disk_io job = job_of(place);

	job.write = 1;
	run_job(place, &job);
}

struct shape {
	const char *name;
	unsigned block;
	int depth, random, write;
	uint64_t span, max_bytes, operations;
};

static const struct shape shapes[] = {
	{ "sequential write", 65536, 8, 0, 1, 4 * MIB, 4 * MIB, 64 },
	{ "sequential read", 65536, 8, 0, 0, 4 * MIB, 4 * MIB, 64 },
	{ "large read", MIB, 4, 0, 0, 4 * MIB, 64 * MIB, 64 },
	{ "random read, one at a time", 4096, 1, 1, 0, 4 * MIB, MIB, 256 },
	{ "random read, many at a time", 4096, 128, 1, 0, 4 * MIB, 4 * MIB, 1024 },
	{ "random write", 4096, 32, 1, 1, 4 * MIB, 4 * MIB, 1024 },
	{ "the deepest queue", 4096, DISK_DEPTH_MOST, 1, 0, 4 * MIB, 8 * MIB, 2048 },
	{ "fewer operations than depth", 4096, 64, 0, 0, 4 * MIB, 5 * 4096, 5 },
	{ "a span of one block", 4096, 4, 1, 0, 4096, 64 * 4096, 64 },
	{ "a last block that does not fit", 65536, 4, 0, 0, 65536 + 4096, 4 * 65536 + 1, 4 },
};

static void test_shapes(void **state)
{
	const struct place *place = *state;

	lay_out(place);
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct disk_io job = job_of(place);

		print_message("shape: %s\n", s->name);
		job.block = s->block;
		job.depth = s->depth;
		job.random = s->random;
		job.write = s->write;
		job.span = s->span;
		job.max_bytes = s->max_bytes;
		run_job(place, &job);
		assert_int_equal(job.operations, s->operations);
		assert_int_equal(job.bytes, s->operations * s->block);
		assert_int_equal(job.errors, 0);
		assert_string_equal(job.first_error, "");
		assert_true(job.took > 0 && job.cpu_seconds >= 0);
		assert_true(job.p50_ns > 0 && job.p50_ns <= job.p99_ns &&
			    job.p99_ns <= job.p999_ns && job.p999_ns <= job.max_ns);
		assert_true(job.mean_ns > 0 && job.mean_ns <= job.max_ns);
		assert_true(job.max_ns <= job.took * 1e9);
	}
}

static int page_order(const void *a, const void *b)
{
	return memcmp(a, b, PAGE);
}

/* A disk that stores equal blocks once, or compresses, must not find anything to save. */
static void test_content_never_repeats(void **state)
{
	const struct place *place = *state;
	const size_t bytes = 4 * MIB;
	struct disk_io job = job_of(place);
	unsigned char *data;
	struct stat st;

	lay_out(place);
	data = xcalloc(2, bytes);
	for (int round = 0; round < 2; round++) {
		int fd;

		job.write = 1;
		job.max_bytes = bytes;
		run_job(place, &job);
		fd = open(place->file, O_RDONLY);
		assert_true(fd >= 0);
		assert_int_equal(read(fd, data + (size_t)round * bytes, bytes), bytes);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_int_equal(st.st_size, bytes);
		close(fd);
	}
	qsort(data, 2 * bytes / PAGE, PAGE, page_order);
	for (size_t i = 1; i < 2 * bytes / PAGE; i++)
		assert_int_not_equal(memcmp(data + (i - 1) * PAGE, data + i * PAGE, PAGE), 0);
	free(data);
}

/* Time ends a job that no number of bytes does. */
static void test_ends_by_time(void **state)
{
	const struct place *place = *state;
	struct disk_io job = job_of(place);

	lay_out(place);
	job.max_bytes = 0;
	job.seconds = 0.05;
	run_job(place, &job);
	assert_true(job.operations >= 1);
	assert_true(job.took >= 0.05);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void make_short(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, path, 1), 1);
	close(fd);
}

static void make_hollow(const char *path)
{
	make_short(path);
	assert_int_equal(truncate(path, 4 * MIB), 0);
}

static void make_folder(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_pipe(const char *path)
{
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void make_link(const char *path)
{
	assert_int_equal(symlink("/etc/passwd", path), 0);
}

static void make_two_names(const char *path)
{
	char *other = xasprintf("%s.too", path);

	make_short(path);
	assert_int_equal(link(path, other), 0);
	free(other);
}

static void make_foreign(const char *path)
{
	make_short(path);
	assert_int_equal(chown(path, 1, 1), 0);
}

static void set_depth_0(struct disk_io *job)
{
	job->depth = 0;
}

static void set_depth_1025(struct disk_io *job)
{
	job->depth = 1025;
}

static void set_block_1000(struct disk_io *job)
{
	job->block = 1000;
}

static void set_span_small(struct disk_io *job)
{
	job->span = 4096;
}

static void set_span_huge(struct disk_io *job)
{
	job->span = 1ull << 50;
}

static void set_no_seconds(struct disk_io *job)
{
	job->seconds = 0;
}

static void set_few_bytes(struct disk_io *job)
{
	job->max_bytes = 100;
}

static void set_device(struct disk_io *job)
{
	job->target.device = 1;
}

struct refusal {
	const char *name; /* of the file in the place; NULL: assay-1.data */
	void (*make)(const char *path);
	void (*change)(struct disk_io *job);
	int write;
	const char *words;
};

static const struct refusal refusals[] = {
	{ NULL, NULL, set_depth_0, 0, "0 operations in flight are not between 1 and 1024" },
	{ NULL, NULL, set_depth_1025, 0, "1025 operations in flight are not between 1 and 1024" },
	{ NULL, NULL, set_block_1000, 0, "a block of 1000 bytes is not a multiple of 512" },
	{ NULL, NULL, set_span_small, 0, "a span of 4096 bytes does not hold one block of 65536" },
	{ NULL, NULL, set_no_seconds, 0, "0 seconds is no length for a job" },
	{ NULL, NULL, set_few_bytes, 0, "100 bytes are less than one block of 65536" },
	{ NULL, NULL, NULL, 0, "assay-1.data: No such file or directory" },
	{ NULL, make_short, NULL, 0, "has 1 bytes, 4194304 were to be read" },
	{ NULL, make_hollow, NULL, 0, "was never written at offset 4096" },
	{ NULL, make_folder, NULL, 0, "assay-1.data is no ordinary file" },
	{ NULL, make_pipe, NULL, 0, "assay-1.data is no ordinary file" },
	{ NULL, make_link, NULL, 0, "is a symbolic link; name the file itself" },
	{ NULL, make_short, set_device, 0, "is not a block device" },
	{ NULL, make_folder, NULL, 1, "assay-1.data: Is a directory" },
	{ NULL, make_pipe, NULL, 1, "assay-1.data is no ordinary file" },
	{ NULL, make_link, NULL, 1, "is a symbolic link; name the file itself" },
	{ NULL, make_two_names, NULL, 1, "has several names (hard links) and is not written" },
	{ NULL, NULL, set_span_huge, 1, "must stay free" },
	{ NULL, make_short, set_device, 1, "the plan does not allow destroying what is on it" },
	{ "results.data", make_short, NULL, 1, "only files called assay-*.data are" },
	{ "no/assay-1.data", NULL, NULL, 1, "No such file or directory" },
	{ NULL, make_foreign, NULL, 1, "belongs to another user and is not written" },
};

static void remove_any(const char *path)
{
	char *other = xasprintf("%s.too", path);

	unlink(other);
	if (unlink(path) < 0)
		rmdir(path);
	free(other);
}

static void check_refusal(const struct place *place, const struct refusal *r)
{
	char path[128];
	struct disk_io job = job_of(place);
	struct error err = { "" };
	struct stat before, after;
	int existed;

	snprintf(path, sizeof(path), "%s/%s", place->folder, r->name ? r->name : "assay-1.data");
	job.target.path = path;
	job.write = r->write;
	if (r->make)
		r->make(path);
	if (r->change)
		r->change(&job);
	existed = lstat(path, &before) == 0;
	assert_int_equal(disk_io(place->machine, &job, &err), -1);
	print_message("says: %s\n", err.text);
	if (!strstr(err.text, r->words))
		skip_if_unusable(&err);
	assert_non_null(strstr(err.text, r->words));
	/* What was there is untouched, and nothing new is left. */
	assert_int_equal(lstat(path, &after) == 0, existed);
	assert_int_equal(job.operations, 0);
	if (existed)
		assert_int_equal(after.st_size, before.st_size);
	remove_any(path);
}

static void test_refusals(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		if (refusals[i].make == make_foreign && geteuid() != 0)
			print_message("skipped: only root can give a file away\n");
		else
			check_refusal(*state, &refusals[i]);
	}
}

/* ---- memory that looks like a disk --------------------------------------------------------- */

static void test_memory_is_no_disk(void **state)
{
	static const char path[] = "/dev/shm/assay-test-io.data";
	const struct place *place = *state;
	struct disk_io job = job_of(place);
	struct error err = { "" };
	struct statfs fs;
	char device[64];

	if (statfs("/dev/shm", &fs) < 0 || fs.f_type != TMPFS_MAGIC ||
	    access("/dev/shm", W_OK) < 0) {
		print_message("skipped: no writable tmpfs at /dev/shm\n");
		skip();
	}
	job.target.path = path;
	job.write = 1;
	assert_int_equal(disk_io(place->machine, &job, &err), -1);
	assert_string_equal(err.text,
			    "/dev/shm/assay-test-io.data lies on the file system tmpfs, which is "
			    "memory and no disk");
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(disk_of_folder(place->machine, "/dev/shm", device, sizeof(device), &err),
			 -1);
	assert_string_equal(err.text,
			    "/dev/shm lies on tmpfs, which has no disk of this machine behind it");
}

static void test_disk_of_folder(void **state)
{
	const struct place *place = *state;
	struct error err = { "" };
	char device[64], *sys;

	if (disk_of_folder(place->machine, place->folder, device, sizeof(device), &err) < 0) {
		print_message("skipped: %s\n", err.text);
		skip();
	}
	sys = xasprintf("/sys/block/%s", device);
	print_message("%s lies on %s\n", place->folder, device);
	assert_int_equal(access(sys, F_OK), 0);
	assert_int_equal(disk_of_folder(place->machine, place->folder, device, 2, &err), -1);
	assert_int_equal(
		disk_of_folder(place->machine, "/nonexistent", device, sizeof(device), &err), -1);
	assert_string_equal(err.text, "cannot look at /nonexistent: No such file or directory");
	free(sys);
}

/* Without an NVMe disk at hand only the refusals can be seen. */
static void test_health_refusals(void **state)
{
	static const char *const devices[] = { "loop0", "sda", "nvme99n1", "../nvme0" };
	const struct place *place = *state;
	struct disk_health health;

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct error err = { "" };

		assert_int_equal(disk_health(place->machine, devices[i], &health, &err), -1);
		assert_non_null(strstr(err.text, devices[i]));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shapes, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_content_never_repeats, place_make,
						place_remove),
		cmocka_unit_test_setup_teardown(test_ends_by_time, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_refusals, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_memory_is_no_disk, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_disk_of_folder, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_health_refusals, place_make, place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
