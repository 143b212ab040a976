/*
 * uring.c - one job of reads or writes by io_uring with O_DIRECT, as fast as fio would do it.
 *
 * One thread does everything: it waits until an operation is complete, takes a few that are, and
 * puts new ones in their places before it enters the kernel again. Only a few, 1/32 of the depth
 * and never more than eight: a disk that waits for a large batch to be put together has less in
 * flight than was asked for (taking all there were cost 12 % of the rate at depth 32). Nothing is
 * written here to a device except through the descriptor that guard_open returned.
 */
#include "kernels/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	SECTOR = 512,
	STAMP_STEP = 4096, /* what devices deduplicate and compress by, at least */
	HUGE_PAGE = 2 << 20,
	TURN_MOST = 8,
	TURNS_OF_DEPTH = 32,
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- latencies ----------------------------------------------------------------------------- */

/*
 * Counts by value, in bins that are 1 ns wide up to 256 and then 1/128 of their octave: a bin's
 * middle is within 0.4 % of all in it (the idea of HdrHistogram).
 */
enum { OCTAVE_BITS = 7, OCTAVE = 1 << OCTAVE_BITS, BINS = (64 - OCTAVE_BITS + 1) * OCTAVE };

struct histogram {
	uint64_t bins[BINS];
	uint64_t count, most;
	double sum;
};

static void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned shift = ns < 2 * OCTAVE ? 0 : 63 - OCTAVE_BITS - (unsigned)__builtin_clzll(ns);

	h->bins[shift * OCTAVE + (ns >> shift)]++;
	h->count++;
	h->sum += (double)ns;
	if (ns > h->most)
		h->most = ns;
}

static double bin_middle(unsigned bin)
{
	unsigned shift = bin < 2 * OCTAVE ? 0 : bin / OCTAVE - 1;
	double width = (double)(1ull << shift);

	return (double)(bin - shift * OCTAVE) * width + (width - 1) / 2;
}

static double histogram_share(const struct histogram *h, double share)
{
	uint64_t seen = 0;
	unsigned bin = 0;

	for (; bin < BINS - 1; bin++) {
		seen += h->bins[bin];
		if ((double)seen >= share * (double)h->count)
			break;
	}
	return bin_middle(bin) < (double)h->most ? bin_middle(bin) : (double)h->most;
}

/* ---- opening ------------------------------------------------------------------------------- */

static int open_device(struct machine *m, const struct disk_io *job, int *fd, struct error *err)
{
	const char *path = job->target.path;
	uint64_t bytes;
	int sector;

	if (job->write) {
		if (guard_open(m, &job->target, fd, err) < 0)
			return -1;
		/* Only now: libblkid reads through buffers that O_DIRECT would refuse. */
		if (fcntl(*fd, F_SETFL, O_DIRECT) < 0)
			return error_sys(err, "cannot switch %s to O_DIRECT", path);
	} else {
		*fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
		if (*fd < 0)
			return error_sys(err, "cannot open %s for reading", path);
	}
	if (ioctl(*fd, BLKGETSIZE64, &bytes) < 0 || ioctl(*fd, BLKSSZGET, &sector) < 0)
		return error_sys(err, "%s is not a block device", path);
	if (job->span > bytes)
		return error_set(err, "%s has %llu bytes, %llu were to be used", path,
				 (unsigned long long)bytes, (unsigned long long)job->span);
	if (job->block % (unsigned)sector)
		return error_set(err, "blocks of %u bytes do not fit the sectors of %s, %d bytes",
				 job->block, path, sector);
	return 0;
}

/* O_NONBLOCK: a pipe of that name must not make us wait. */
static int open_file(struct machine *m, const char *path, int flags, int *fd, struct stat *st,
		     struct error *err)
{
	*fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (*fd < 0 && errno == ELOOP)
		return error_set(err, "%s is a symbolic link; name the file itself", path);
	if (*fd < 0)
		return error_sys(err, "cannot open %s", path);
	if (fstat(*fd, st) < 0)
		return error_sys(err, "cannot look at %s", path);
	if (!S_ISREG(st->st_mode))
		return error_set(err, "%s is no ordinary file", path);
	return go_direct(m, *fd, path, err);
}

/* A hole or an extent never written reads as zeros without the disk being asked: no measurement. */
static int is_laid_out(int fd, const char *path, uint64_t span, struct error *err)
{
	off_t hole = lseek(fd, 0, SEEK_HOLE);

	if (hole < 0)
		return error_sys(err, "cannot find out whether %s has holes", path);
	if ((uint64_t)hole < span)
		return error_set(err,
				 "%s was never written at offset %lld, so reading there would not "
				 "ask the disk; it must be written up to %llu",
				 path, (long long)hole, (unsigned long long)span);
	return 0;
}

static int open_file_to_read(struct machine *m, const struct disk_io *job, int *fd,
			     struct error *err)
{
	const char *path = job->target.path;
	struct stat st;

	if (open_file(m, path, O_RDONLY, fd, &st, err) < 0)
		return -1;
	if ((uint64_t)st.st_size < job->span)
		return error_set(err, "%s has %lld bytes, %llu were to be read", path,
				 (long long)st.st_size, (unsigned long long)job->span);
	return is_laid_out(*fd, path, job->span, err);
}

/* An existing file is only written if it is ours by owner and by name, and has no second name. */
static int is_our_file(const char *path, const struct stat *st, struct error *err)
{
	if (st->st_uid != geteuid())
		return error_set(err, "%s belongs to another user and is not written", path);
	if (st->st_nlink != 1)
		return error_set(err, "%s has several names (hard links) and is not written", path);
	return 0;
}

static int make_room(int fd, const struct disk_io *job, const struct stat *st, struct error *err)
{
	uint64_t have = (uint64_t)st->st_blocks * SECTOR; /* st_blocks counts 512 bytes, stat(2) */

	if (headroom_check(fd, job->target.path, job->span > have ? job->span - have : 0, err) < 0)
		return -1;
	if (fallocate(fd, 0, 0, (off_t)job->span) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return error_sys(err, "cannot reserve %llu bytes for %s",
				 (unsigned long long)job->span, job->target.path);
	if ((uint64_t)st->st_size < job->span && ftruncate(fd, (off_t)job->span) < 0)
		return error_sys(err, "cannot extend %s", job->target.path);
	return 0;
}

static int open_file_to_write(struct machine *m, const struct disk_io *job, int *fd, int *created,
			      struct error *err)
{
	const char *path = job->target.path;
	const char *slash = strrchr(path, '/');
	struct stat st;
	int missing, rc;

	if (fnmatch(DISK_FILE_PATTERN, slash ? slash + 1 : path, 0) != 0)
		return error_set(err, "%s is not written: only files called %s are", path,
				 DISK_FILE_PATTERN);
	missing = lstat(path, &st) < 0 && errno == ENOENT;
	rc = open_file(m, path, O_RDWR | (missing ? O_CREAT | O_EXCL : 0), fd, &st, err);
	*created = missing && *fd >= 0;
	if (rc < 0 || is_our_file(path, &st, err) < 0)
		return -1;
	return make_room(*fd, job, &st, err);
}

/* A descriptor of its own, for O_DIRECT must not change the one that the caller holds. */
static int open_nameless(struct machine *m, const struct disk_io *job, int *fd, struct error *err)
{
	const char *path = job->target.path;
	struct stat st;
	char link[40];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", job->target.nameless);
	*fd = open(link, (job->write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (*fd < 0)
		return error_sys(err, "cannot open %s again", path);
	if (fstat(*fd, &st) < 0)
		return error_sys(err, "cannot look at %s", path);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 0)
		return error_set(err, "%s is no file without a name", path);
	if (go_direct(m, *fd, path, err) < 0)
		return -1;
	if (job->write)
		return make_room(*fd, job, &st, err);
	if ((uint64_t)st.st_size < job->span)
		return error_set(err, "%s has %lld bytes, %llu were to be read", path,
				 (long long)st.st_size, (unsigned long long)job->span);
	return is_laid_out(*fd, path, job->span, err);
}

static int open_target(struct machine *m, const struct disk_io *job, int *fd, int *created,
		       struct error *err)
{
	if (job->target.device)
		return open_device(m, job, fd, err);
	if (job->target.nameless)
		return open_nameless(m, job, fd, err);
	if (job->write)
		return open_file_to_write(m, job, fd, created, err);
	return open_file_to_read(m, job, fd, err);
}

/* ---- the ring ------------------------------------------------------------------------------ */

struct slot { /* one operation in flight */
	uint64_t offset, started;
};

struct transfer {
	struct disk_io *job;
	struct io_uring ring;
	int has_ring;
	unsigned char *buffers; /* depth of them, each of `stride` bytes */
	size_t stride;
	struct slot *slots;
	struct histogram *latencies;
	uint64_t blocks; /* in the span */
	uint64_t issued; /* operations */
	uint64_t most;   /* operations, UINT64_MAX if only time ends the job */
	uint64_t random; /* state of the generator */
	uint64_t mark;   /* differs from job to job */
	unsigned flying;
	unsigned turn; /* completions taken before the kernel is entered again */
};

/* Best first; what a kernel does not know it refuses with EINVAL. Kernels: 6.1, 6.0, 5.19, 5.1. */
static const unsigned ring_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
	IORING_SETUP_COOP_TASKRUN,
	0,
};

static int ring_open(struct transfer *t, struct error *err)
{
	int rc = -EINVAL;

	for (size_t i = 0; rc == -EINVAL && i < ARRAY_SIZE(ring_flags); i++)
		rc = io_uring_queue_init((unsigned)t->job->depth, &t->ring, ring_flags[i]);
	t->has_ring = rc == 0;
	if (rc == 0)
		return 0;
	errno = -rc;
	if (rc == -EPERM || rc == -EACCES)
		return error_sys(err,
				 "io_uring is forbidden here (sysctl kernel.io_uring_disabled, or "
				 "the seccomp filter of a container)");
	if (rc == -ENOSYS)
		return error_set(err, "this kernel has no io_uring (it needs Linux 5.1 or later)");
	return error_sys(err, "io_uring cannot be set up");
}

static int ring_register(struct transfer *t, int fd, struct error *err)
{
	unsigned depth = (unsigned)t->job->depth;
	struct iovec *vectors = xcalloc(depth, sizeof(*vectors));
	int rc;

	for (unsigned i = 0; i < depth; i++)
		vectors[i] = (struct iovec){ t->buffers + i * t->stride, t->job->block };
	rc = io_uring_register_buffers(&t->ring, vectors, depth);
	free(vectors);
	errno = -rc;
	if (rc == -ENOMEM)
		return error_sys(err,
				 "%u buffers of %u bytes cannot be registered with io_uring (see "
				 "ulimit -l)",
				 depth, t->job->block);
	if (rc < 0)
		return error_sys(err, "buffers cannot be registered with io_uring");
	rc = io_uring_register_files(&t->ring, &fd, 1);
	errno = -rc;
	if (rc < 0)
		return error_sys(err, "%s cannot be registered with io_uring", t->job->target.path);
	/* Saves a look-up at each entry into the kernel; older ones lack it and lose little. */
	(void)io_uring_register_ring_fd(&t->ring);
	return 0;
}

static int buffers_make(struct transfer *t, struct error *err)
{
	size_t bytes;
	uint64_t random = t->job->seed;

	t->stride = (t->job->block + STAMP_STEP - 1) / STAMP_STEP * STAMP_STEP;
	bytes = t->stride * (size_t)t->job->depth;
	t->buffers = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->buffers == MAP_FAILED) {
		t->buffers = NULL;
		return error_sys(err, "no memory for %d buffers of %u bytes", t->job->depth,
				 t->job->block);
	}
	if (bytes >= HUGE_PAGE)
		(void)madvise(t->buffers, bytes, MADV_HUGEPAGE); /* fewer segments; works without */
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
		uint64_t word = random_next(&random);

		memcpy(t->buffers + i, &word, sizeof(word));
	}
	return 0;
}

/* Makes the content unlike any written before, without making all of it anew. */
static void stamp(unsigned char *buffer, unsigned block, uint64_t offset, uint64_t counter)
{
	for (unsigned at = 0; at < block; at += STAMP_STEP) {
		uint64_t words[2] = { offset + at, counter };

		memcpy(buffer + at, words, sizeof(words));
	}
}

static void issue(struct transfer *t, unsigned index, uint64_t now)
{
	const struct disk_io *job = t->job;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&t->ring);
	unsigned char *buffer = t->buffers + index * t->stride;
	struct slot *slot = &t->slots[index];
	uint64_t block;

	if (!sqe)
		BUG("no free entry in a ring of %d", job->depth);
	if (job->random) /* the high half of the product: evenly spread, without a division */
		block = (uint64_t)(((unsigned __int128)random_next(&t->random) * t->blocks) >> 64);
	else
		block = t->issued % t->blocks;
	*slot = (struct slot){ .offset = block * job->block, .started = now };
	if (job->write) {
		stamp(buffer, job->block, slot->offset, t->mark + t->issued);
		io_uring_prep_write_fixed(sqe, 0, buffer, job->block, slot->offset, (int)index);
	} else {
		io_uring_prep_read_fixed(sqe, 0, buffer, job->block, slot->offset, (int)index);
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = index;
	t->issued++;
	t->flying++;
}

static void count_failure(struct disk_io *job, uint64_t offset, int result)
{
	const char *what = job->write ? "write" : "read";

	if (job->errors++)
		return;
	if (result < 0)
		snprintf(job->first_error, sizeof(job->first_error),
			 "%s of %u bytes at offset %llu: %s", what, job->block,
			 (unsigned long long)offset, strerror(-result));
	else
		snprintf(job->first_error, sizeof(job->first_error),
			 "%s of %u bytes at offset %llu moved only %d", what, job->block,
			 (unsigned long long)offset, result);
}

static void finish(struct transfer *t, const struct slot *slot, int result, uint64_t now)
{
	t->flying--;
	if (result != (int)t->job->block) {
		count_failure(t->job, slot->offset, result);
		return;
	}
	t->job->operations++;
	t->job->bytes += t->job->block;
	histogram_add(t->latencies, now - slot->started);
}

static int wait_for_some(struct transfer *t, struct error *err)
{
	int rc = io_uring_submit_and_wait(&t->ring, 1);

	/* A signal, or a moment without memory in the kernel: what is not submitted yet stays
	 * queued. */
	if (rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY)
		return 0;
	errno = -rc;
	return error_sys(err, "io_uring stopped working after %llu operations",
			 (unsigned long long)t->job->operations);
}

static int transfer_run(struct transfer *t, struct error *err)
{
	const struct disk_io *job = t->job;
	uint64_t now = now_ns();
	uint64_t deadline = now + (uint64_t)(job->seconds * 1e9);

	for (unsigned i = 0; i < (unsigned)job->depth && t->issued < t->most; i++)
		issue(t, i, now);
	while (t->flying) {
		struct io_uring_cqe *cqe;
		unsigned head, done = 0;

		if (wait_for_some(t, err) < 0)
			return -1;
		now = now_ns();
		io_uring_for_each_cqe(&t->ring, head, cqe)
		{
			unsigned index = (unsigned)cqe->user_data;

			finish(t, &t->slots[index], cqe->res, now);
			if (now < deadline && t->issued < t->most)
				issue(t, index, now);
			if (++done == t->turn)
				break;
		}
		io_uring_cq_advance(&t->ring, done);
	}
	return 0;
}

/* ---- the job ------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
	struct rusage use;

	/* Of the process, because the kernel's helpers for io_uring are threads of it. */
	if (getrusage(RUSAGE_SELF, &use) < 0)
		BUG("getrusage failed");
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

static int transfer_timed(struct transfer *t, int fd, struct error *err)
{
	struct disk_io *job = t->job;
	double cpu = cpu_seconds(), start = clock_now();

	if (transfer_run(t, err) < 0)
		return -1;
	if (job->write && fsync(fd) < 0)
		return error_sys(err, "what was written to %s could not be synced to the disk",
				 job->target.path);
	job->took = clock_now() - start;
	job->cpu_seconds = cpu_seconds() - cpu;
	if (!job->operations)
		return error_set(err, "not one operation on %s succeeded: %s", job->target.path,
				 job->first_error);
	job->mean_ns = t->latencies->sum / (double)t->latencies->count;
	job->p50_ns = histogram_share(t->latencies, 0.50);
	job->p99_ns = histogram_share(t->latencies, 0.99);
	job->p999_ns = histogram_share(t->latencies, 0.999);
	job->max_ns = (double)t->latencies->most;
	return 0;
}

static int job_check(const struct disk_io *job, struct error *err)
{
	if (!job->target.path || !job->target.path[0])
		return error_set(err, "no file or device was named");
	if (job->depth < 1 || job->depth > DISK_DEPTH_MOST)
		return error_set(err, "%d operations in flight are not between 1 and %d",
				 job->depth, DISK_DEPTH_MOST);
	if (!job->block || job->block % SECTOR || job->block > 1u << 30)
		return error_set(err, "a block of %u bytes is not a multiple of 512 up to 1 GiB",
				 job->block);
	if (job->span < job->block)
		return error_set(err, "a span of %llu bytes does not hold one block of %u",
				 (unsigned long long)job->span, job->block);
	if (!(job->seconds > 0 && job->seconds < 1e9))
		return error_set(err, "%g seconds is no length for a job", job->seconds);
	if (job->max_bytes && job->max_bytes < job->block)
		return error_set(err, "%llu bytes are less than one block of %u",
				 (unsigned long long)job->max_bytes, job->block);
	return 0;
}

static void job_clear(struct disk_io *job)
{
	job->operations = job->bytes = job->errors = 0;
	job->took = job->cpu_seconds = 0;
	job->mean_ns = job->p50_ns = job->p99_ns = job->p999_ns = job->max_ns = 0;
	job->first_error[0] = '\0';
}

static void transfer_release(struct transfer *t)
{
	if (t->has_ring)
		io_uring_queue_exit(&t->ring);
	if (t->buffers)
		munmap(t->buffers, t->stride * (size_t)t->job->depth);
	free(t->latencies);
	free(t->slots);
}

int disk_io(struct machine *m, struct disk_io *job, struct error *err)
{
	struct transfer t = { .job = job, .random = job->seed, .mark = now_ns() };
	int fd = -1, created = 0, rc = -1;

	job_clear(job);
	if (job_check(job, err) < 0)
		return -1;
	t.blocks = job->span / job->block;
	t.most = job->max_bytes ? job->max_bytes / job->block : UINT64_MAX;
	t.turn = (unsigned)job->depth / TURNS_OF_DEPTH;
	t.turn = t.turn < 1 ? 1 : t.turn > TURN_MOST ? TURN_MOST : t.turn;
	t.slots = xcalloc((size_t)job->depth, sizeof(*t.slots));
	t.latencies = xcalloc(1, sizeof(*t.latencies));
	if (open_target(m, job, &fd, &created, err) == 0 && ring_open(&t, err) == 0 &&
	    buffers_make(&t, err) == 0 && ring_register(&t, fd, err) == 0)
		rc = transfer_timed(&t, fd, err);
	transfer_release(&t);
	if (fd >= 0)
		close(fd);
	if (rc < 0 && created)
		unlink(job->target.path);
	return rc;
}
