/*
 * paths.c - files of a machine: their paths below its root, their texts, and the walk by a pattern.
 *
 * Patterns are those of glob(3). The root is no part of them: a folder with a bracket in its name
 * must not make a recorded machine look empty.
 */
#include "kernels/facts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MOST = 4 << 20 };

static char *below(const char *root, const char *fmt, va_list args)
{
	char *tail = xvasprintf(fmt, args), *path = xasprintf("%s%s", root, tail);

	free(tail);
	return path;
}

char *machine_vpath(const struct machine *m, const char *fmt, va_list args)
{
	return below(m->root, fmt, args);
}

char *machine_path(const struct machine *m, const char *fmt, ...)
{
	va_list args;
	char *path;

	va_start(args, fmt);
	path = machine_vpath(m, fmt, args);
	va_end(args);
	return path;
}

char *machine_line(const struct machine *m, const char *fmt, ...)
{
	char *path, *line;
	va_list args;
	int code;

	va_start(args, fmt);
	path = machine_vpath(m, fmt, args);
	va_end(args);
	line = file_line(path);
	code = errno;
	free(path);
	errno = code;
	return line;
}

char *machine_text(const struct machine *m, const char *path, size_t *len)
{
	char *full = machine_path(m, "%s", path), *data;
	struct error ignored;
	int code;

	errno = 0;
	data = file_read(full, FILE_MOST, len, &ignored);
	code = errno ? errno : EFBIG;
	free(full);
	errno = code;
	return data;
}

const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : NULL;
}

/* ---- folders and patterns
 * ------------------------------------------------------------------------------ */

int machine_list(const struct machine *m, const char *folder,
		 void (*fn)(void *arg, const char *name), void *arg, struct error *err)
{
	char *path = machine_path(m, "%s", folder);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int failed = 0;

	if (!dir && errno != ENOENT)
		failed = error_sys(err, "cannot list %s", path);
	free(path);
	if (!dir)
		return failed;
	while ((entry = readdir(dir)))
		fn(arg, entry->d_name);
	closedir(dir);
	return 0;
}

/* The root itself may hold characters that glob takes for patterns. The caller frees it. */
static char *literally(const char *root)
{
	struct text t;

	text_init(&t);
	for (; *root; root++)
		text_addf(&t, "%s%c", strchr("*?[\\", *root) ? "\\" : "", *root);
	return text_detach(&t);
}

int machine_glob(const struct machine *m, glob_t *found, const char *fmt, ...)
{
	char *root = literally(m->root), *pattern;
	size_t skip = strlen(m->root);
	va_list args;
	int code;

	va_start(args, fmt);
	pattern = below(root, fmt, args);
	va_end(args);
	code = glob(pattern, 0, NULL, found);
	if (code) /* so that the caller need not look before it walks and frees */
		*found = (glob_t){ 0 };
	for (size_t i = 0; i < found->gl_pathc; i++) {
		char *path = found->gl_pathv[i];

		memmove(path, path + skip, strlen(path + skip) + 1);
	}
	free(pattern);
	free(root);
	return code;
}

int machine_each(const struct machine *m, const char *pattern,
		 void (*fn)(void *arg, const char *path), void *arg)
{
	glob_t found;
	int count;

	machine_glob(m, &found, "%s", pattern);
	count = (int)found.gl_pathc;
	for (int i = 0; i < count; i++)
		fn(arg, found.gl_pathv[i]);
	globfree(&found);
	return count;
}
