/*
 * sample_file.c - series behind small files of /sys and /proc.
 *
 * Files stay open and are read again from their start, which both file systems answer with new
 * values: a node has two thousand of them, and opening each once a second would cost more than all
 * the rest. Where the limit of open files is near, a file is opened for each reading.
 */
#include "kernels/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/sample_inside.h"

enum { SPARE_FILES = 128, TEXT_MOST = 8192, TOLD_MOST = 64 };

struct sample_file {
	char *path; /* with the root; NULL: the text of the file before */
	int fd;
	int series;
	struct reading how;
	long due;
};

/* ---- declaring ----------------------------------------------------------------------------- */

int source_add(struct source *s, const char *part, const struct sample_series *like)
{
	struct sample_series *made;

	s->series = grow(s->series, (size_t)s->count, sizeof(*s->series));
	s->values = grow(s->values, (size_t)s->count, sizeof(*s->values));
	s->values[s->count] = NAN;
	made = &s->series[s->count];
	*made = *like;
	snprintf(made->part, sizeof(made->part), "%s", part);
	return s->count++;
}

static struct sample_file *file_add(struct source *s, int series, const struct reading *how)
{
	struct sample_file *f;

	s->files = grow(s->files, (size_t)s->file_count, sizeof(*s->files));
	f = &s->files[s->file_count++];
	*f = (struct sample_file){ .fd = -1, .series = series, .how = *how };
	f->how.every = how->every ? how->every : 1;
	f->how.scale = how->scale ? how->scale : 1;
	return f;
}

/* -1 when it cannot be opened; what is kept open leaves room for others' files. */
static int file_open(struct sample_file *f)
{
	struct rlimit limit;

	f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0)
		return -1;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && f->fd + SPARE_FILES > (int)limit.rlim_cur;
}

static void file_close(struct sample_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Adds the file if it can be read. An absent file is no series; a forbidden one is a hole. */
static int watch_path(struct source *s, int series, const struct reading *how, char *path)
{
	struct sample_file *f;
	int transient;

	if (access(path, R_OK) < 0) {
		if (errno == EACCES || errno == EPERM)
			source_tell(s, "", "hole", "%s may not be read", path + strlen(s->m->root));
		free(path);
		return -1;
	}
	f = file_add(s, series, how);
	f->path = path;
	transient = file_open(f);
	if (transient > 0)
		file_close(f);
	return 0;
}

int source_watch(struct source *s, const char *part, const struct sample_series *like,
		 const struct reading *how, const char *fmt, ...)
{
	va_list args;
	char *path;

	va_start(args, fmt);
	path = machine_vpath(s->m, fmt, args);
	va_end(args);
	if (watch_path(s, s->count, how, path) < 0)
		return -1;
	return source_add(s, part, like);
}

int source_watch_too(struct source *s, int series, const struct reading *how, const char *fmt, ...)
{
	va_list args;
	char *path;

	va_start(args, fmt);
	path = machine_vpath(s->m, fmt, args);
	va_end(args);
	return watch_path(s, series, how, path);
}

int source_watch_same(struct source *s, const char *part, const struct sample_series *like,
		      const struct reading *how)
{
	file_add(s, s->count, how);
	return source_add(s, part, like);
}

void source_tell(struct source *s, const char *part, const char *what, const char *fmt, ...)
{
	struct told *t;
	va_list args;

	if (s->told_count == TOLD_MOST) /* the rest of a storm says nothing new */
		return;
	s->told = grow(s->told, (size_t)s->told_count, sizeof(*s->told));
	t = &s->told[s->told_count++];
	snprintf(t->part, sizeof(t->part), "%s", part);
	snprintf(t->what, sizeof(t->what), "%s", what);
	va_start(args, fmt);
	vsnprintf(t->text, sizeof(t->text), fmt, args);
	va_end(args);
}

int source_due(const struct source *s, long *due, int every)
{
	if (s->turn < *due)
		return 0;
	*due = s->turn + every;
	return 1;
}

/* ---- finding ------------------------------------------------------------------------------- */

const struct pci_part *source_part_at(const struct source *s, const char *address)
{
	for (int i = 0; *address && i < s->parts->count; i++)
		if (!strcmp(s->parts->items[i].address, address))
			return &s->parts->items[i];
	return NULL;
}

const struct pci_part *source_part_of(const struct source *s, const char *path)
{
	char *full = machine_path(s->m, "%s", path), *real = realpath(full, NULL), *slash;
	const struct pci_part *part = NULL;

	while (real && !part && (slash = strrchr(real, '/'))) {
		part = source_part_at(s, slash + 1);
		*slash = '\0';
	}
	free(real);
	free(full);
	return part;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The number that is asked for, or INFINITY if there is none. */
static double number_in(const char *text, const struct reading *how)
{
	const char *at = text;
	char *end;
	double value = INFINITY;

	if (how->words) {
		size_t len = strcspn(text, " \n");

		return strlen(how->words[0]) == len && !strncmp(text, how->words[0], len);
	}
	if (how->key) {
		at = strstr(text, how->key);
		if (!at)
			return INFINITY;
		at += strlen(how->key);
	}
	for (int i = 0; i <= how->column; i++, at = end) {
		value = strtod(at, &end);
		if (end == at || !isfinite(value))
			return INFINITY;
	}
	return value * how->scale;
}

/* Text of the file, or NULL with errno. A device that was made anew needs its file opened anew. */
static const char *file_text(struct sample_file *f, char *text)
{
	int transient = 0, code;
	ssize_t got;

	if (f->fd < 0)
		transient = file_open(f);
	if (transient < 0)
		return NULL;
	got = pread(f->fd, text, TEXT_MOST - 1, 0);
	code = errno;
	if (got < 0 || transient)
		file_close(f);
	errno = code;
	if (got < 0)
		return NULL;
	text[got] = '\0';
	return text;
}

static void put(struct source *s, int series, double value)
{
	double *at = &s->values[series];

	*at = isnan(*at) ? value : *at + value;
}

void source_read_files(struct source *s)
{
	char text[TEXT_MOST];
	const char *got = NULL;
	int is_due = 0, refused = 0;

	for (int i = 0; i < s->file_count; i++) {
		struct sample_file *f = &s->files[i];

		if (f->path) {
			is_due = source_due(s, &f->due, f->how.every);
			got = is_due ? file_text(f, text) : NULL;
			/* EINVAL: an interface that is down has no carrier; ENXIO: a bay that is
			 * empty */
			refused = !got && (errno == EINVAL || errno == ENXIO);
		}
		if (!is_due)
			continue;
		if (got)
			put(s, f->series, number_in(got, &f->how));
		else
			put(s, f->series, refused && f->how.refused ? 0 : INFINITY);
	}
}

void source_release(struct source *s)
{
	if (s->kind->close)
		s->kind->close(s);
	for (int i = 0; i < s->file_count; i++) {
		file_close(&s->files[i]);
		free(s->files[i].path);
	}
	free(s->files);
	free(s->series);
	free(s->values);
	free(s->told);
}
