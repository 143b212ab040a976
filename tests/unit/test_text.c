/*
 * test_text.c - growing text, escaping, lines cut out of bytes, small files, checksums, errors.
 */
#include "harness/base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cmocka.h>

static void text_grows(void **state)
{
	struct text t;
	char *whole;

	(void)state;
	text_init(&t);
	assert_string_equal(t.data, "");
	for (int i = 0; i < 1000; i++)
		text_addf(&t, "%d,", i);
	assert_int_equal(t.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_int_equal(strlen(t.data), t.len);
	assert_string_equal(t.data + t.len - 8, "998,999,");
	text_clear(&t);
	text_put(&t, "a\0b", 3);
	assert_int_equal(t.len, 3);
	assert_memory_equal(t.data, "a\0b", 4);
	text_clear(&t);
	text_add(&t, "kept");
	whole = text_detach(&t);
	assert_int_equal(t.len, 0);
	text_add(&t, "new");
	assert_string_equal(t.data, "new");
	assert_string_equal(whole, "kept");
	free(whole);
	text_release(&t);
}

static const struct {
	const char *name, *in, *printable, *xml;
} escapes[] = {
	{ "plain", "n001 ok", "n001 ok", "n001 ok" },
	{ "empty", "", "", "" },
	{ "the five of XML", "<a b=\"c\" d='e'>&", "<a b=\"c\" d='e'>&",
	  "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;" },
	{ "line end and tab", "a\nb\tc", "a?b?c", "a\nb\tc" },
	{ "return and escape", "a\r\033[31mb", "a??[31mb", "a??[31mb" },
	{ "delete", "a\x7f", "a?", "a?" },
	{ "good UTF-8",
	  "20\xc2\xb0"
	  "C \xe2\x82\xac \xf0\x9f\x98\x80",
	  "20\xc2\xb0"
	  "C \xe2\x82\xac \xf0\x9f\x98\x80",
	  "20\xc2\xb0"
	  "C \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "C1 control",
	  "a\xc2\x9b"
	  "31m",
	  "a??31m", "a??31m" },
	{ "lone continuation", "\x80z", "?z", "?z" },
	{ "cut short at the end", "a\xe2\x82", "a??", "a??" },
	{ "cut short inside", "\xf0\x9fz", "??z", "??z" },
	{ "overlong slash", "\xc0\xaf", "??", "??" },
	{ "overlong of three", "\xe0\x80\xaf", "???", "???" },
	{ "overlong of four", "\xf0\x80\x80\xaf", "????", "????" },
	{ "surrogate", "\xed\xa0\x80", "???", "???" },
	{ "beyond Unicode", "\xf4\x90\x80\x80", "????", "????" },
	{ "no lead byte", "\xff\xfe", "??", "??" },
};

static void escapes_what_harms(void **state)
{
	struct text t;

	(void)state;
	text_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++) {
		print_message("  %s\n", escapes[i].name);
		text_clear(&t);
		text_add_printable(&t, escapes[i].in);
		assert_string_equal(t.data, escapes[i].printable);
		text_clear(&t);
		text_add_xml(&t, escapes[i].in);
		assert_string_equal(t.data, escapes[i].xml);
	}
	text_release(&t);
}

/* What a reader of lines got, as "line|line!|": '!' marks one that was cut. */
static void collect(void *arg, char *line, size_t len, int was_cut)
{
	assert_int_equal(strlen(line), len);
	text_addf(arg, "%s%s|", line, was_cut ? "!" : "");
}

static const struct {
	const char *name, *in, *want;
	unsigned long cut;
} feeds[] = {
	{ "none", "", "", 0 },
	{ "two", "ab\ncd\n", "ab|cd|", 0 },
	{ "empty lines", "\n\na\n", "||a|", 0 },
	{ "last without newline", "ab\ncd", "ab|cd|", 0 },
	{ "exactly the limit", "12345678\nx\n", "12345678|x|", 0 },
	{ "one over the limit", "123456789\nx\n", "12345678!|x|", 1 },
	{ "far over, twice", "1234567890123456789012345\nok\nabcdefghijk\n",
	  "12345678!|ok|abcdefgh!|", 2 },
	{ "too long and torn", "123456789012", "12345678!|", 1 },
};

/* In pieces of every size, so that each line is also cut at each of its bytes. */
static void cuts_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(feeds); i++) {
		size_t len = strlen(feeds[i].in);

		print_message("  %s\n", feeds[i].name);
		for (size_t piece = 1; piece <= len + 1; piece++) {
			struct text got;
			struct lines l;

			text_init(&got);
			lines_init(&l, 8, collect, &got);
			for (size_t at = 0; at < len; at += piece)
				lines_feed(&l, feeds[i].in + at,
					   at + piece < len ? piece : len - at);
			lines_flush(&l);
			assert_string_equal(got.data, feeds[i].want);
			assert_int_equal(l.cut, feeds[i].cut);
			lines_release(&l);
			text_release(&got);
		}
	}
}

/* RFC 3720 B.4, and the usual check value. */
static void sums_as_published(void **state)
{
	unsigned char up[32], down[32], zeros[32] = { 0 }, ones[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++) {
		up[i] = (unsigned char)i;
		down[i] = (unsigned char)(31 - i);
	}
	assert_int_equal(crc32c(zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c(up, 32), 0x46dd794e);
	assert_int_equal(crc32c(down, 32), 0x113fdb5c);
	assert_int_equal(crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(crc32c("", 0), 0);
}

static int make_folder(void **state)
{
	char *path = xstrdup("/tmp/assay-text-XXXXXX");

	*state = path;
	return mkdtemp(path) ? 0 : -1;
}

static int remove_folder(void **state)
{
	int rc = rmdir(*state);

	free(*state);
	return rc;
}

static void replaces_and_reads_files(void **state)
{
	char *path = xasprintf("%s/f", (char *)*state), *data;
	struct error err;
	size_t len;

	assert_null(file_read(path, 100, &len, &err));
	assert_non_null(strstr(err.text, "cannot open"));
	assert_non_null(strstr(err.text, "No such file"));
	assert_null(file_line(path));
	assert_int_equal(errno, ENOENT);

	assert_int_equal(file_replace(path, "one\ntwo\n", 8, &err), 0);
	assert_int_equal(file_replace(path, "a\0b \t\r\nrest", 11, &err), 0);
	data = file_read(path, 11, &len, &err);
	assert_non_null(data);
	assert_int_equal(len, 11);
	assert_memory_equal(data, "a\0b \t\r\nrest", 12);
	free(data);
	assert_null(file_read(path, 10, &len, &err));
	assert_non_null(strstr(err.text, "larger than"));

	assert_int_equal(file_replace(path, "  first \t\r\nsecond", 17, &err), 0);
	data = file_line(path);
	assert_string_equal(data, "  first");
	free(data);

	assert_null(file_read(*state, 100, &len, &err));
	assert_non_null(strstr(err.text, "cannot read"));
	unlink(path);
	free(path);
}

static void refuses_to_replace(void **state)
{
	char *path = xasprintf("%s/none/f", (char *)*state);
	struct error err;

	assert_int_equal(file_replace(path, "x", 1, &err), -1);
	assert_non_null(strstr(err.text, "cannot write"));
	free(path);
}

/* As root, -o /dev/null would otherwise put a file in its place, for the whole machine. */
static void replaces_nothing_but_files(void **state)
{
	char *link = xasprintf("%s/link", (char *)*state),
	     *file = xasprintf("%s/f", (char *)*state);
	char *null = xasprintf("%s/null", (char *)*state),
	     *disk = xasprintf("%s/d", (char *)*state);
	struct error err;
	struct stat st;
	char *line;

	assert_int_equal(file_replace(file, "old", 3, &err), 0);
	assert_int_equal(symlink(file, link), 0);
	assert_int_equal(file_replace(link, "new", 3, &err), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	line = file_line(file);
	assert_string_equal(line, "new");
	if (mknod(null, S_IFCHR | 0666, makedev(1, 3)) == 0 &&
	    mknod(disk, S_IFBLK | 0600, makedev(7, 250)) == 0) {
		/* where devices may be made but not opened, it fails, and the device stays */
		if (file_replace(null, "x", 1, &err) < 0)
			print_message("  not written: %s\n", err.text);
		assert_int_equal(lstat(null, &st), 0);
		assert_true(S_ISCHR(st.st_mode));
		assert_int_equal(file_replace(disk, "x", 1, &err), -1);
		assert_non_null(strstr(err.text, "is a disk, and no place for a file"));
	} else {
		print_message("  not tested here: devices, for only root makes them\n");
	}
	unlink(disk);
	unlink(null);
	unlink(link);
	unlink(file);
	free(line);
	free(disk);
	free(null);
	free(file);
	free(link);
}

static void reads_large_files(void **state)
{
	char *path = xasprintf("%s/f", (char *)*state), *data = xcalloc(300001, 1), *back;
	struct error err;
	size_t len;

	for (int i = 0; i < 300000; i++)
		data[i] = (char)('a' + i % 26);
	assert_int_equal(file_replace(path, data, 300000, &err), 0);
	back = file_read(path, 300000, &len, &err);
	assert_non_null(back);
	assert_int_equal(len, 300000);
	assert_string_equal(back, data);
	unlink(path);
	free(back);
	free(data);
	free(path);
}

static void errors_chain(void **state)
{
	struct error err;
	char big[2000];

	(void)state;
	assert_int_equal(error_set(&err, "disk %d", 3), -1);
	assert_int_equal(error_prefix(&err, "%s: ", "n001"), -1);
	assert_string_equal(err.text, "n001: disk 3");
	errno = EACCES;
	assert_int_equal(error_sys(&err, "open %s", "x"), -1);
	assert_string_equal(err.text, "open x: Permission denied");
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	error_set(&err, "%s", big);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	error_prefix(&err, "%s", big);
	error_sys(&err, "%s", big);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void grows_arrays(void **state)
{
	int *items = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		items = grow(items, (size_t)i, sizeof(*items));
		items[i] = i;
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(items[i], i);
	free(items);
}

static void writes_time(void **state)
{
	char out[32];

	(void)state;
	clock_text(0, out);
	assert_string_equal(out, "1970-01-01T00:00:00Z");
	clock_text(1795262400.9, out);
	assert_string_equal(out, "2026-11-21T12:00:00Z");
	assert_true(clock_now() > 0);
	assert_true(clock_wall() > 1.6e9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_grows),
		cmocka_unit_test(escapes_what_harms),
		cmocka_unit_test(cuts_lines),
		cmocka_unit_test(sums_as_published),
		cmocka_unit_test_setup_teardown(replaces_and_reads_files, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(refuses_to_replace, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(replaces_nothing_but_files, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(reads_large_files, make_folder, remove_folder),
		cmocka_unit_test(errors_chain),
		cmocka_unit_test(grows_arrays),
		cmocka_unit_test(writes_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
