/*
 * test_disk_integrity.c - every planted fault is found, counted under its own name, and placed.
 *
 * The faults are planted through the file system between writing and reading, as a disk would show
 * them.
 */
#include "kernels/blocks.h"
#include "kernels/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_BYTES = 1 << 20, FILES = 2 };

/* Which of the files a name is, by the number before ".data". */
static int open_numbered(const char *folder, int number)
{
	char *end = xasprintf("-%d.data", number);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int fd = -1;

	assert_non_null(dir);
	while (fd < 0 && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		char *path;

		if (len < strlen(end) || strcmp(entry->d_name + len - strlen(end), end) != 0)
			continue;
		path = xasprintf("%s/%s", folder, entry->d_name);
		fd = open(path, O_RDWR);
		free(path);
	}
	closedir(dir);
	free(end);
	assert_true(fd >= 0);
	return fd;
}

static void get(int fd, unsigned char *data, size_t bytes, uint64_t offset)
{
	assert_int_equal(pread(fd, data, bytes, (off_t)offset), bytes);
}

static void put(int fd, const unsigned char *data, size_t bytes, uint64_t offset)
{
	assert_int_equal(pwrite(fd, data, bytes, (off_t)offset), bytes);
}

/* The id that a block of file 0 carries; with another generation it makes a block as it was before.
 */
static struct block_id id_in(int fd, uint64_t offset)
{
	unsigned char block[BLOCK_BYTES];
	struct block_id id;

	get(fd, block, sizeof(block), offset);
	memcpy(&id, block, sizeof(id));
	return id;
}

static void flip_a_bit(int fd)
{
	unsigned char byte;

	get(fd, &byte, 1, 8192 + 1000);
	byte ^= 0x10;
	put(fd, &byte, 1, 8192 + 1000);
}

static void flip_the_sum(int fd)
{
	unsigned char byte;

	get(fd, &byte, 1, 8192 + 512 + 24);
	byte ^= 1;
	put(fd, &byte, 1, 8192 + 512 + 24);
}

static void zero_three_blocks(int fd)
{
	static const unsigned char zeros[3 * BLOCK_BYTES];

	put(fd, zeros, sizeof(zeros), 8192);
}

static void put_old(int fd, size_t bytes, uint32_t generation, uint64_t run_change)
{
	_Alignas(64) unsigned char block[BLOCK_BYTES];
	struct block_id id = id_in(fd, 8192);

	id.generation = generation;
	id.run ^= run_change;
	block_fill(block, &id);
	put(fd, block, bytes, 8192);
}

static void lose_a_write(int fd)
{
	put_old(fd, BLOCK_BYTES, 1, 0);
}

static void lose_half_a_write(int fd)
{
	put_old(fd, BLOCK_BYTES / 2, 1, 0);
}

static void keep_another_run(int fd)
{
	put_old(fd, BLOCK_BYTES, 2, 77);
}

static void write_elsewhere(int fd)
{
	unsigned char block[BLOCK_BYTES];

	get(fd, block, sizeof(block), 65536);
	put(fd, block, sizeof(block), 8192);
}

static void shift_by_a_sector(int fd)
{
	unsigned char block[BLOCK_BYTES];

	get(fd, block, sizeof(block), 8192 - SECTOR_BYTES);
	put(fd, block, sizeof(block), 8192);
}

static void mix_two_places(int fd)
{
	unsigned char sector[SECTOR_BYTES];

	get(fd, sector, sizeof(sector), 65536 + 7 * SECTOR_BYTES);
	put(fd, sector, sizeof(sector), 8192 + 7 * SECTOR_BYTES);
}

struct fault_case {
	const char *name;
	void (*plant)(int fd); /* in file 0, at offset 8192 */
	uint64_t bad[DISK_FAULTS];
	const char *first; /* what first_bad must say after the name of the file */
};

static const struct fault_case cases[] = {
	{ "nothing planted", NULL, { 0 }, NULL },
	{ "one bit flipped",
	  flip_a_bit,
	  { [DISK_CORRUPT] = 1 },
	  "-0.data, offset 8192: corrupt, 1 of 4096 bytes differ, the first at 1000: " },
	{ "a bit of a checksum flipped",
	  flip_the_sum,
	  { [DISK_CORRUPT] = 1 },
	  "-0.data, offset 8192: corrupt, 1 of 4096 bytes differ, the first at 536: " },
	{ "three blocks of zeros",
	  zero_three_blocks,
	  { [DISK_CORRUPT] = 3 },
	  "-0.data, offset 8192: corrupt, all zeros" },
	{ "a block of an earlier run",
	  keep_another_run,
	  { [DISK_CORRUPT] = 1 },
	  "-0.data, offset 8192: corrupt, a block of an earlier run" },
	{ "a lost write",
	  lose_a_write,
	  { [DISK_STALE] = 1 },
	  "-0.data, offset 8192: stale, generation 1 instead of 2" },
	{ "half a lost write",
	  lose_half_a_write,
	  { [DISK_TORN] = 1 },
	  "-0.data, offset 8192: torn, sectors of different blocks or generations, the first "
	  "change at "
	  "byte 2048" },
	{ "one sector of another block",
	  mix_two_places,
	  { [DISK_TORN] = 1 },
	  "-0.data, offset 8192: torn, sectors of different blocks or generations, the first "
	  "change at "
	  "byte 3584" },
	{ "a write in the wrong place",
	  write_elsewhere,
	  { [DISK_MISPLACED] = 1 },
	  "-0.data, offset 8192: misplaced, the block of file 0, offset 65536, generation 2" },
	{ "everything one sector too far",
	  shift_by_a_sector,
	  { [DISK_MISPLACED] = 1 },
	  "-0.data, offset 8192: misplaced, the block of file 0, offset 7680, generation 2" },
};

struct place {
	struct machine *machine;
	char folder[64];
};

static int place_make(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	struct error err;

	snprintf(place->folder, sizeof(place->folder), "/var/tmp/assay-test-XXXXXX");
	place->machine = machine_open("", &err);
	*state = place;
	return place->machine && mkdtemp(place->folder) ? 0 : -1;
}

static int place_remove(void **state)
{
	struct place *place = *state;
	int rc = rmdir(place->folder);

	machine_close(place->machine);
	free(place);
	return rc;
}

static int count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* A place where the check cannot run at all is no failure of the program; anything else is. */
static void skip_if_unusable(const struct error *err)
{
	static const char *const reasons[] = { "must stay free", "does not support O_DIRECT",
					       "is memory and no disk" };

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (!strstr(err->text, reasons[i]))
			continue;
		print_message("skipped: %s\n", err->text);
		skip();
	}
}

static void plant(void *arg, const char *folder)
{
	const struct fault_case *c = arg;
	int fd = open_numbered(folder, 0);

	if (c->plant)
		c->plant(fd);
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

static void check_case(const struct place *place, const struct fault_case *c)
{
	struct disk_integrity job = {
		.folder = place->folder,
		.files = FILES,
		.file_bytes = FILE_BYTES,
		.seed = 1,
		.tamper = plant,
		.tamper_arg = (void *)c,
	};
	struct error err;
	int rc = disk_integrity(place->machine, &job, &err);

	if (rc < 0)
		skip_if_unusable(&err);
	print_message("case: %s: %s\n", c->name, job.first_bad);
	assert_int_equal(rc, 0);
	assert_int_equal(job.written_bytes, 2 * FILES * FILE_BYTES);
	assert_int_equal(job.verified_bytes, FILES * FILE_BYTES);
	for (int i = 0; i < DISK_FAULTS; i++)
		assert_int_equal(job.bad[i], c->bad[i]);
	if (c->first)
		assert_non_null(strstr(job.first_bad, c->first));
	else
		assert_string_equal(job.first_bad, "");
	assert_true(job.took > 0);
	assert_int_equal(count_entries(place->folder), 0);
}

static void test_faults(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(*state, &cases[i]);
}

static void swap_files(void *arg, const char *folder)
{
	unsigned char a[BLOCK_BYTES], b[BLOCK_BYTES];
	int first = open_numbered(folder, 0), second = open_numbered(folder, 1);

	(void)arg;
	get(first, a, sizeof(a), 4096);
	get(second, b, sizeof(b), 4096);
	put(first, b, sizeof(b), 4096);
	put(second, a, sizeof(a), 4096);
	close(first);
	close(second);
}

static void test_swapped_files(void **state)
{
	const struct place *place = *state;
	struct disk_integrity job = { .folder = place->folder,
				      .files = FILES,
				      .file_bytes = FILE_BYTES,
				      .tamper = swap_files };
	struct error err;
	int rc = disk_integrity(place->machine, &job, &err);

	if (rc < 0)
		skip_if_unusable(&err);
	assert_int_equal(rc, 0);
	assert_int_equal(job.bad[DISK_MISPLACED], 2);
	assert_non_null(strstr(job.first_bad,
			       "-0.data, offset 4096: misplaced, the block of file 1, "
			       "offset 4096, generation 2"));
}

static void cut_short(void *arg, const char *folder)
{
	int fd = open_numbered(folder, 1);

	(void)arg;
	assert_int_equal(ftruncate(fd, 4096), 0);
	close(fd);
}

/* Production's way: no tamper hook, so the files have no names; and more than one chunk, not a
 * whole one. */
static void test_without_tamper(void **state)
{
	const struct place *place = *state;
	struct disk_integrity job = { .folder = place->folder, .files = 1, .file_bytes = 9 << 20 };
	struct error err;
	int rc = disk_integrity(place->machine, &job, &err);

	if (rc < 0)
		skip_if_unusable(&err);
	assert_int_equal(rc, 0);
	assert_int_equal(job.verified_bytes, 9 << 20);
	assert_string_equal(job.first_bad, "");
}

struct refusal {
	const char *folder; /* NULL: the place of the test */
	int files;
	uint64_t file_bytes;
	void (*tamper)(void *arg, const char *folder);
	const char *words;
};

static const struct refusal refusals[] = {
	{ "", 1, FILE_BYTES, NULL, "no folder was named" },
	{ "/nonexistent", 1, FILE_BYTES, NULL,
	  "cannot open the folder /nonexistent: No such file or directory" },
	{ "/dev/null", 1, FILE_BYTES, NULL, "cannot open the folder /dev/null: Not a directory" },
	{ NULL, 0, FILE_BYTES, NULL, "0 files are not between 1 and 512" },
	{ NULL, 1, FILE_BYTES + 4096, NULL, "1052672 bytes is not a multiple of 1 MiB" },
	{ NULL, 1, 0, NULL, "0 bytes is not a multiple of 1 MiB" },
	{ NULL, 4, 1ull << 50, NULL, "must stay free" },
	{ NULL, 2, FILE_BYTES, cut_short, "read of file 1 at offset 0 in " },
};

static void test_refusals(void **state)
{
	const struct place *place = *state;

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct disk_integrity job = { .folder = r->folder ? r->folder : place->folder,
					      .files = r->files,
					      .file_bytes = r->file_bytes,
					      .tamper = r->tamper };
		struct error err = { "" };

		assert_int_equal(disk_integrity(place->machine, &job, &err), -1);
		if (r->tamper && !strstr(err.text, r->words))
			skip_if_unusable(&err);
		print_message("says: %s\n", err.text);
		assert_non_null(strstr(err.text, r->words));
		assert_int_equal(count_entries(place->folder), 0);
	}
}

static void test_fault_names(void **state)
{
	(void)state;
	assert_string_equal(disk_fault_name(DISK_CORRUPT), "corrupt");
	assert_string_equal(disk_fault_name(DISK_TORN), "torn");
	assert_string_equal(disk_fault_name(DISK_STALE), "stale");
	assert_string_equal(disk_fault_name(DISK_MISPLACED), "misplaced");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_faults, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_swapped_files, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_without_tamper, place_make, place_remove),
		cmocka_unit_test_setup_teardown(test_refusals, place_make, place_remove),
		cmocka_unit_test(test_fault_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
