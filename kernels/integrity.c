/*
 * integrity.c - writes files that name every sector, reads them back past the page cache, compares.
 *
 * Without a tamper hook the files lose their names as soon as they are open, so that even a killed
 * run leaves nothing behind on the disk. Each run has its own mark in the data besides the seed:
 * blocks of an earlier run with the same seed, still on the disk where a write was lost, must not
 * look right.
 */
#include "kernels/blocks.h"
#include "kernels/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	FILES_MOST = 512, /* below the usual 1024 open files of a process */
	FILE_UNIT = 1 << 20,
	CHUNK = 4 << 20,
	GENERATIONS = 2,
};

struct set { /* the files of one run */
	struct machine *m;
	struct disk_integrity *job;
	uint64_t run;
	int *fds; /* of job->files, the first `made` are open */
	int made;
	unsigned char *buffer; /* CHUNK bytes */
};

static char *file_name(const struct set *set, int file)
{
	return xasprintf("%s/assay-integrity-%016llx-%d.data", set->job->folder,
			 (unsigned long long)set->run, file);
}

static int file_make(struct set *set, int file, struct error *err)
{
	char *name = file_name(set, file);
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = 0;

	if (fd < 0)
		rc = error_sys(err, "cannot make %s", name);
	else
		set->fds[set->made++] = fd;
	if (rc == 0 && !set->job->tamper && unlink(name) < 0)
		rc = error_sys(err, "cannot take the name of %s away", name);
	if (rc == 0)
		rc = go_direct(set->m, fd, name, err);
	if (rc == 0 && fallocate(fd, 0, 0, (off_t)set->job->file_bytes) < 0 && errno != EOPNOTSUPP)
		rc = error_sys(err, "cannot reserve %llu bytes for %s",
			       (unsigned long long)set->job->file_bytes, name);
	free(name);
	return rc;
}

static void fill_chunk(struct set *set, struct block_id id, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += BLOCK_BYTES, id.offset += BLOCK_BYTES)
		block_fill(set->buffer + at, &id);
}

static size_t chunk_at(const struct set *set, uint64_t offset)
{
	uint64_t left = set->job->file_bytes - offset;

	return left < CHUNK ? (size_t)left : CHUNK;
}

static int file_write(struct set *set, int file, unsigned generation, struct error *err)
{
	struct block_id id = { .run = set->run, .file = (uint32_t)file, .generation = generation };

	while (id.offset < set->job->file_bytes) {
		size_t bytes = chunk_at(set, id.offset);
		ssize_t n;

		fill_chunk(set, id, bytes);
		n = pwrite(set->fds[file], set->buffer, bytes, (off_t)id.offset);
		if (n < 0)
			return error_sys(err, "write to file %d at offset %llu in %s", file,
					 (unsigned long long)id.offset, set->job->folder);
		if ((size_t)n != bytes)
			return error_set(err,
					 "write to file %d at offset %llu in %s moved only %zd of "
					 "%zu bytes",
					 file, (unsigned long long)id.offset, set->job->folder, n,
					 bytes);
		id.offset += bytes;
		set->job->written_bytes += bytes;
	}
	if (fsync(set->fds[file]) < 0)
		return error_sys(err, "file %d in %s could not be synced to the disk", file,
				 set->job->folder);
	return 0;
}

static void count_bad(struct set *set, const unsigned char *block, const struct block_id *id)
{
	struct disk_integrity *job = set->job;
	struct block_finding found;
	char *name;

	block_examine(block, id, &found);
	job->bad[found.fault]++;
	if (job->first_bad[0])
		return;
	name = file_name(set, (int)id->file);
	snprintf(job->first_bad, sizeof(job->first_bad), "%s, offset %llu: %s, %s",
		 strrchr(name, '/') + 1, (unsigned long long)id->offset,
		 disk_fault_name(found.fault), found.text);
	free(name);
}

static int file_verify(struct set *set, int file, struct error *err)
{
	struct block_id id = { .run = set->run, .file = (uint32_t)file, .generation = GENERATIONS };

	while (id.offset < set->job->file_bytes) {
		size_t bytes = chunk_at(set, id.offset);
		ssize_t n = pread(set->fds[file], set->buffer, bytes, (off_t)id.offset);

		if (n < 0)
			return error_sys(err, "read of file %d at offset %llu in %s", file,
					 (unsigned long long)id.offset, set->job->folder);
		if ((size_t)n != bytes)
			return error_set(err,
					 "read of file %d at offset %llu in %s moved only %zd of "
					 "%zu bytes",
					 file, (unsigned long long)id.offset, set->job->folder, n,
					 bytes);
		for (size_t at = 0; at < bytes; at += BLOCK_BYTES, id.offset += BLOCK_BYTES)
			if (!block_is(set->buffer + at, &id))
				count_bad(set, set->buffer + at, &id);
		set->job->verified_bytes += bytes;
	}
	return 0;
}

/* O_DIRECT reads pass the page cache anyway; this is for file systems that fall back to it. */
static int files_drop(struct set *set, struct error *err)
{
	for (int i = 0; i < set->made; i++) {
		errno = posix_fadvise(set->fds[i], 0, 0, POSIX_FADV_DONTNEED);
		if (errno)
			return error_sys(err, "file %d in %s cannot be dropped from the page cache",
					 i, set->job->folder);
	}
	return 0;
}

static int set_run(struct set *set, struct error *err)
{
	struct disk_integrity *job = set->job;

	for (int file = 0; file < job->files; file++)
		if (file_make(set, file, err) < 0)
			return -1;
	for (unsigned generation = 1; generation <= GENERATIONS; generation++)
		for (int file = 0; file < job->files; file++)
			if (file_write(set, file, generation, err) < 0)
				return -1;
	if (files_drop(set, err) < 0)
		return -1;
	if (job->tamper) {
		job->tamper(job->tamper_arg, job->folder);
		if (files_drop(set, err) < 0)
			return -1;
	}
	for (int file = 0; file < job->files; file++)
		if (file_verify(set, file, err) < 0)
			return -1;
	return 0;
}

static int set_room(struct set *set, struct error *err)
{
	const struct disk_integrity *job = set->job;
	int fd = open(job->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return error_sys(err, "cannot open the folder %s", job->folder);
	rc = headroom_check(fd, job->folder, job->file_bytes * (uint64_t)job->files, err);
	close(fd);
	return rc;
}

/* A rest of files that cannot be removed is an error of its own, unless there already is one. */
static int set_release(struct set *set, int rc, struct error *err)
{
	for (int i = 0; i < set->made; i++) {
		char *name = file_name(set, i);

		close(set->fds[i]);
		if (set->job->tamper && unlink(name) < 0 && errno != ENOENT && rc == 0)
			rc = error_sys(err, "cannot remove %s", name);
		free(name);
	}
	free(set->fds);
	if (set->buffer)
		munmap(set->buffer, CHUNK);
	return rc;
}

static int job_check(const struct disk_integrity *job, struct error *err)
{
	if (!job->folder || !job->folder[0])
		return error_set(err, "no folder was named for the files of the integrity check");
	if (job->files < 1 || job->files > FILES_MOST)
		return error_set(err, "%d files are not between 1 and %d", job->files, FILES_MOST);
	if (!job->file_bytes || job->file_bytes % FILE_UNIT || job->file_bytes > 1ull << 50)
		return error_set(err, "a file of %llu bytes is not a multiple of 1 MiB up to 1 PiB",
				 (unsigned long long)job->file_bytes);
	return 0;
}

static void job_clear(struct disk_integrity *job)
{
	job->written_bytes = job->verified_bytes = 0;
	memset(job->bad, 0, sizeof(job->bad));
	job->first_bad[0] = '\0';
	job->took = 0;
}

static uint64_t run_mark(uint64_t seed)
{
	uint64_t state = seed ^ (uint64_t)(clock_wall() * 1e6) ^ (uint64_t)getpid() << 48;

	return random_next(&state);
}

int disk_integrity(struct machine *m, struct disk_integrity *job, struct error *err)
{
	struct set set = { .m = m, .job = job, .run = run_mark(job->seed) };
	double start = clock_now();
	int rc;

	job_clear(job);
	if (job_check(job, err) < 0 || set_room(&set, err) < 0)
		return -1;
	set.fds = xcalloc((size_t)job->files, sizeof(*set.fds));
	set.buffer = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (set.buffer == MAP_FAILED) {
		set.buffer = NULL;
		rc = error_sys(err, "no memory for a buffer of %d bytes", CHUNK);
	} else {
		rc = set_run(&set, err);
	}
	rc = set_release(&set, rc, err);
	job->took = clock_now() - start;
	return rc;
}
