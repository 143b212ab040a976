/* error.c - error sentences, and memory that aborts when it runs out. */
#include "harness/base/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void bug(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "assay: bug at %s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

int error_set(struct error *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return -1;
}

int error_sys(struct error *err, const char *fmt, ...)
{
	int code = errno;
	size_t len;
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	len = strlen(err->text);
	snprintf(err->text + len, sizeof(err->text) - len, ": %s", strerror(code));
	return -1;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	struct error old = *err;
	size_t len;
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	len = strlen(err->text);
	snprintf(err->text + len, sizeof(err->text) - len, "%s", old.text);
	return -1;
}

static void *have(void *p)
{
	if (!p) {
		fputs("assay: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xcalloc(size_t count, size_t size)
{
	return have(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *old, size_t count, size_t size)
{
	return have(reallocarray(old, count ? count : 1, size));
}

char *xstrdup(const char *s)
{
	return have(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return have(strndup(s, n));
}

char *xvasprintf(const char *fmt, va_list args)
{
	char *out = NULL;

	return have(vasprintf(&out, fmt, args) < 0 ? NULL : out);
}

char *xasprintf(const char *fmt, ...)
{
	va_list args;
	char *out;

	va_start(args, fmt);
	out = xvasprintf(fmt, args);
	va_end(args);
	return out;
}

void *grow(void *items, size_t count, size_t size)
{
	/* Full exactly at 0 and at the powers of two from 4 on, so no capacity has to be kept. */
	if (count == 0)
		return xrealloc(items, 4, size);
	if (count >= 4 && (count & (count - 1)) == 0)
		return xrealloc(items, count * 2, size);
	return items;
}
