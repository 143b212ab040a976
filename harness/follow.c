/* follow.c - a journal that someone else is writing, read as it grows. */
#include "harness/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

void follow_init(struct follow *f, const char *run)
{
	*f = (struct follow){ .path = xasprintf("%s/journal.jsonl", run) };
}

void follow_release(struct follow *f)
{
	free(f->path);
}

/* File systems that only this machine writes to; any other may be one that others share. */
static int is_local(int fd)
{
	static const long types[] = {
		EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC, TMPFS_MAGIC,     OVERLAYFS_SUPER_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((long)fs.f_type == types[i])
			return 1;
	return 0;
}

/*
 * Taken for a moment and shared, so that two who look do not see each other; a controller that
 * comes in that moment tries again (journal.c).
 */
static enum journal_lock look_at_lock(struct follow *f, int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
		flock(fd, LOCK_UN);
		return f->was_held || is_local(fd) ? LOCK_FREE : LOCK_UNKNOWN;
	}
	f->was_held |= errno == EWOULDBLOCK;
	return errno == EWOULDBLOCK ? LOCK_HELD : LOCK_UNKNOWN;
}

static int is_other(const struct follow *f, const struct stat *st)
{
	return f->inode && (f->device != (uint64_t)st->st_dev || f->inode != (uint64_t)st->st_ino ||
			    st->st_size < f->at);
}

/* Bytes up to the last newline; all of a full chunk without one, for that is no line of ours. */
static size_t whole(const char *data, size_t n)
{
	const char *end = memrchr(data, '\n', n);

	return end ? (size_t)(end - data) + 1 : n == CHUNK ? n : 0;
}

static enum follow_news read_on(struct follow *f, int fd,
				void (*take)(void *arg, const char *data, size_t n), void *arg,
				struct error *err)
{
	enum follow_news news = FOLLOW_SAME;
	char *data = xcalloc(1, CHUNK);

	for (;;) {
		ssize_t got = pread(fd, data, CHUNK, (off_t)f->at);
		size_t n;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			error_sys(err, "cannot read %s", f->path);
			news = FOLLOW_FAILED;
			break;
		}
		n = whole(data, (size_t)got);
		if (!n)
			break;
		take(arg, data, n);
		f->at += (long long)n;
		news = FOLLOW_GREW;
	}
	free(data);
	return news;
}

enum follow_news follow_look(struct follow *f, void (*take)(void *arg, const char *data, size_t n),
			     void *arg, struct error *err)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	enum follow_news news;
	struct stat st;

	if (fd < 0) {
		error_sys(err, "cannot open %s", f->path);
		return FOLLOW_FAILED;
	}
	/* The lock first: who lets it go has written all before. */
	f->lock = look_at_lock(f, fd);
	if (fstat(fd, &st) < 0) {
		error_sys(err, "cannot look at %s", f->path);
		news = FOLLOW_FAILED;
	} else if (is_other(f, &st)) {
		f->at = 0;
		f->inode = 0;
		news = FOLLOW_AGAIN;
	} else {
		f->device = (uint64_t)st.st_dev;
		f->inode = (uint64_t)st.st_ino;
		f->written = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec * 1e-9;
		news = read_on(f, fd, take, arg, err);
	}
	close(fd);
	return news;
}
