/* text.c - growing strings, lines out of bytes, small files, checksums, clocks. */
#include "harness/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void text_init(struct text *t)
{
	t->room = 64;
	t->len = 0;
	t->data = xcalloc(1, t->room);
}

void text_release(struct text *t)
{
	free(t->data);
	*t = (struct text){ 0 };
}

void text_clear(struct text *t)
{
	t->len = 0;
	t->data[0] = '\0';
}

static void text_reserve(struct text *t, size_t more)
{
	if (t->len + more + 1 <= t->room)
		return;
	while (t->room < t->len + more + 1)
		t->room = t->room ? t->room * 2 : 64;
	t->data = xrealloc(t->data, t->room, 1);
}

void text_put(struct text *t, const char *data, size_t len)
{
	text_reserve(t, len);
	memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = '\0';
}

void text_add(struct text *t, const char *s)
{
	text_put(t, s, strlen(s));
}

void text_addf(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		BUG("bad format '%s'", fmt);
	text_reserve(t, (size_t)n);
	va_start(args, fmt);
	vsnprintf(t->data + t->len, (size_t)n + 1, fmt, args);
	va_end(args);
	t->len += (size_t)n;
}

char *text_detach(struct text *t)
{
	char *data = t->data;

	*t = (struct text){ 0 };
	return data;
}

/* Length of the UTF-8 character at s, 0 if it is broken, overlong or a surrogate. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80   ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* C0 and C1 control characters: what could move a terminal's cursor or recolour it. */
static int is_control(const unsigned char *s, size_t n)
{
	return (n == 1 && (s[0] < 0x20 || s[0] == 0x7f)) || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

static size_t printable_len(const unsigned char *s)
{
	size_t n = utf8_len(s);

	return n && !is_control(s, n) ? n : 0;
}

void text_add_printable(struct text *t, const char *s)
{
	while (*s) {
		size_t n = printable_len((const unsigned char *)s);

		text_put(t, n ? s : "?", n ? n : 1);
		s += n ? n : 1;
	}
}

void text_add_xml(struct text *t, const char *s)
{
	static const char *const names[][2] = {
		{ "&", "&amp;" },   { "<", "&lt;" },  { ">", "&gt;" },
		{ "\"", "&quot;" }, { "'", "&#39;" },
	};

	for (size_t n; *s; s += n) {
		const char *put = NULL;

		n = *s == '\n' || *s == '\t' ? 1 : printable_len((const unsigned char *)s);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (*s == names[i][0][0])
				put = names[i][1];
		if (put || !n)
			text_add(t, put ? put : "?");
		else
			text_put(t, s, n);
		n = n ? n : 1;
	}
}

void lines_init(struct lines *l, size_t limit, void (*line)(void *, char *, size_t, int), void *arg)
{
	*l = (struct lines){ .limit = limit, .line = line, .arg = arg };
	text_init(&l->held);
}

void lines_release(struct lines *l)
{
	text_release(&l->held);
}

static void lines_emit(struct lines *l)
{
	l->line(l->arg, l->held.data, l->held.len, l->dropping);
	l->cut += (unsigned)l->dropping;
	l->dropping = 0;
	text_clear(&l->held);
}

void lines_feed(struct lines *l, const char *data, size_t len)
{
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		size_t room = l->limit - l->held.len;

		text_put(&l->held, data, n < room ? n : room);
		if (n > room)
			l->dropping = 1;
		if (end)
			lines_emit(l);
		n += end ? 1 : 0;
		data += n;
		len -= n;
	}
}

void lines_flush(struct lines *l)
{
	if (l->held.len || l->dropping)
		lines_emit(l);
}

char *file_read(const char *path, size_t limit, size_t *len, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 65536, got = 0;
	char *data;
	ssize_t n;

	if (fd < 0) {
		error_sys(err, "cannot open %s", path);
		return NULL;
	}
	data = xcalloc(1, room + 1);
	while ((n = read(fd, data + got, room - got)) > 0) {
		got += (size_t)n;
		if (got > limit)
			break;
		if (got == room)
			data = xrealloc(data, (room *= 2) + 1, 1);
	}
	if (n < 0)
		error_sys(err, "cannot read %s", path);
	else if (got > limit)
		error_set(err, "%s is larger than %zu KiB, the most that is read here", path,
			  limit >> 10);
	close(fd);
	if (n < 0 || got > limit) {
		free(data);
		return NULL;
	}
	data[got] = '\0';
	*len = got;
	return data;
}

char *file_line(const char *path)
{
	char buf[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC), code;
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, sizeof(buf) - 1);
	code = errno;
	close(fd);
	errno = code;
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	n = (ssize_t)strlen(buf);
	while (n > 0 && strchr(" \t\r", buf[n - 1]))
		buf[--n] = '\0';
	return xstrdup(buf);
}

int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Into what is there already and must stay what it is: /dev/null, a pipe, a link. */
static int write_into(const char *path, const char *data, size_t len, struct error *err)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int rc = fd < 0 || write_all(fd, data, len) < 0 ? -1 : 0;

	if (rc < 0)
		error_sys(err, "cannot write %s", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int write_anew(const char *path, const char *data, size_t len, struct error *err)
{
	char *temp = xasprintf("%s.new", path);
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int rc = 0;

	if (fd < 0)
		rc = error_sys(err, "cannot write %s", temp);
	else if (write_all(fd, data, len) < 0 || fsync(fd) < 0)
		rc = error_sys(err, "cannot write %s", temp);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && rename(temp, path) < 0)
		rc = error_sys(err, "cannot rename %s to %s", temp, path);
	if (rc < 0 && fd >= 0)
		unlink(temp);
	free(temp);
	return rc;
}

int file_replace(const char *path, const char *data, size_t len, struct error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
		return error_set(err, "%s is a disk, and no place for a file", path);
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return write_into(path, data, len, err);
	return write_anew(path, data, len, err);
}

uint32_t crc32c(const void *data, size_t len)
{
	/* Four bits at a time, as the polynomial 82f63b78h turns them. */
	static const uint32_t table[16] = {
		0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u,
		0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
		0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
	};
	const unsigned char *p = data;
	uint32_t crc = ~0u;

	while (len--) {
		crc ^= *p++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

double clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double clock_wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void clock_text(double wall, char out[32])
{
	time_t t = (time_t)wall;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, 32, "?");
}
