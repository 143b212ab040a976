/* journal.c - appending to the journal, and surviving what cuts it short. */
#include "harness/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal {
	int fd;
	off_t end; /* of the last whole line */
};

static char *journal_path(const char *run)
{
	return xasprintf("%s/journal.jsonl", run);
}

enum { LOCK_TRIES = 5, LOCK_PAUSE = 20000 }; /* microseconds */

/* More than one try, because `assay watch` holds it for a moment to see whether anybody does. */
static int lock(int fd, const char *run, struct error *err)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			break;
		usleep(LOCK_PAUSE);
	}
	if (errno == EWOULDBLOCK)
		return error_set(err, "%s belongs to a run that is still going on", run);
	return error_sys(err, "cannot lock the journal of %s", run);
}

static struct journal *start(const char *run, int flags, struct error *err)
{
	char *path = journal_path(run);
	int fd = open(path, flags | O_RDWR | O_APPEND | O_CLOEXEC, 0644);
	struct journal *j = NULL;

	if (fd < 0 && errno == EEXIST)
		error_set(err,
			  "%s holds a run already; go on with it by `assay resume %s`, or choose "
			  "another "
			  "folder",
			  run, run);
	else if (fd < 0 && errno == ENOENT)
		error_set(err, "%s is no run folder: it has no journal.jsonl", run);
	else if (fd < 0)
		error_sys(err, "cannot open %s", path);
	else if (lock(fd, run, err) < 0)
		close(fd);
	else {
		j = xcalloc(1, sizeof(*j));
		j->fd = fd;
	}
	free(path);
	return j;
}

struct journal *journal_create(const char *run, struct error *err)
{
	return start(run, O_CREAT | O_EXCL, err);
}

/* Offset behind the last newline, found from the back. */
static off_t whole_lines(int fd, off_t size)
{
	char buf[4096];

	while (size > 0) {
		off_t from = size > (off_t)sizeof(buf) ? size - (off_t)sizeof(buf) : 0;
		ssize_t n = pread(fd, buf, (size_t)(size - from), from);

		if (n <= 0)
			return -1;
		for (ssize_t i = n; i > 0; i--)
			if (buf[i - 1] == '\n')
				return from + i;
		size = from;
	}
	return 0;
}

struct journal *journal_open(const char *run, size_t *cut, struct error *err)
{
	struct journal *j = start(run, 0, err);
	struct stat st;

	if (!j)
		return NULL;
	if (fstat(j->fd, &st) < 0 || (j->end = whole_lines(j->fd, st.st_size)) < 0 ||
	    (j->end < st.st_size && ftruncate(j->fd, j->end) < 0)) {
		error_sys(err, "cannot read the journal of %s", run);
		journal_close(j);
		return NULL;
	}
	*cut = (size_t)(st.st_size - j->end);
	return j;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	close(j->fd);
	free(j);
}

static int put(struct journal *j, const char *line, size_t len, int sync, struct error *err)
{
	ssize_t n;

	do
		n = write(j->fd, line, len);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len) {
		if (n >= 0)
			errno = ENOSPC;
		error_sys(err, "cannot write the journal");
		if (ftruncate(j->fd, j->end) < 0)
			error_prefix(err, "a torn line stays behind: ");
		return -1;
	}
	j->end += (off_t)len;
	if (sync && fdatasync(j->fd) < 0)
		return error_sys(err, "cannot sync the journal");
	return 0;
}

int journal_append(struct journal *j, json_t *object, int sync, struct results *into,
		   struct error *err)
{
	char *line = event_line(object, err);
	struct event ev;
	int rc;

	if (!line)
		return -1;
	rc = put(j, line, strlen(line), sync, err);
	if (rc == 0 && into) {
		if (event_parse(line, strlen(line) - 1, &ev, err) < 0)
			BUG("a line of our own: %s", err->text);
		results_add(into, &ev);
		event_release(&ev);
	}
	free(line);
	return rc;
}

int journal_append_line(struct journal *j, const char *line, size_t len, int sync,
			struct error *err)
{
	char buf[EVENT_MOST + 1];

	if (len > EVENT_MOST)
		BUG("a line of %zu bytes for the journal", len);
	memcpy(buf, line, len);
	buf[len] = '\n';
	return put(j, buf, len + 1, sync, err);
}
