/*
 * test_event.c - lines in and out: checksums, the bound of 1000 bytes, hostile texts.
 */
#include "harness/event.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A body with its checksum, as an event's line without newline; the caller frees it. */
static char *sealed(const char *body)
{
	return xasprintf("%s,\"c\":\"%08x\"}", body, crc32c(body, strlen(body)));
}

static char *data_line(void)
{
	json_t *o = event_new(EV_DATA);
	struct error err;
	char *line;

	json_object_set_new(o, "at", json_string("n001"));
	json_object_set_new(o, "step", json_string("p/disk_seq/n001/disk0"));
	json_object_set_new(o, "m", json_string("read"));
	json_object_set_new(o, "v", json_pack("{s:[f,f]}", "disk0", 6.25, 6.5));
	line = event_line(o, &err);
	assert_non_null(line);
	return line;
}

static void lines_come_back(void **state)
{
	char *line = data_line();
	struct event ev;
	struct error err;
	const json_t *v;

	(void)state;
	assert_int_equal(strncmp(line, "{\"e\":\"data\",", 12), 0);
	assert_string_equal(strchr(line, '\n'), "\n");
	assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
	assert_int_equal(ev.kind, EV_DATA);
	assert_string_equal(ev.at, "n001");
	assert_string_equal(ev.step, "p/disk_seq/n001/disk0");
	assert_string_equal(event_text(&ev, "m"), "read");
	assert_string_equal(event_text(&ev, "none"), "");
	assert_string_equal(event_text(&ev, "v"), "");
	assert_true(event_number(&ev, "m") == 0);
	v = json_array_get(json_object_get(json_object_get(ev.json, "v"), "disk0"), 1);
	assert_true(json_real_value(v) == 6.5);
	event_release(&ev);
	free(line);
}

/* Every single bit of every byte. */
static void every_flip_is_seen(void **state)
{
	char *line = data_line();
	size_t len = strlen(line) - 1;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			struct event ev;
			struct error err;

			line[i] = (char)(line[i] ^ (1 << bit));
			if (event_parse(line, len, &ev, &err) == 0)
				fail_msg("byte %zu, bit %d", i, bit);
			line[i] = (char)(line[i] ^ (1 << bit));
		}
	}
	free(line);
}

static void every_cut_is_seen(void **state)
{
	char *line = data_line();
	size_t len = strlen(line) - 1;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		struct event ev;
		struct error err;

		assert_int_equal(event_parse(line, n, &ev, &err), -1);
		assert_int_equal(event_parse(line + len - n, n, &ev, &err), -1);
	}
	free(line);
}

/* The checksum is right in all of them. */
static const struct {
	const char *name, *body, *want;
} bad[] = {
	{ "no kind", "{\"at\":\"n\"", "the line is no event" },
	{ "unknown kind", "{\"e\":\"dance\"", "the line is no event" },
	{ "kind is a number", "{\"e\":1", "the line is no event" },
	{ "not JSON", "{\"e\":data", "the line is not JSON" },
	{ "key twice", "{\"e\":\"note\",\"e\":\"end\"", "the line is not JSON" },
	{ "not a number", "{\"e\":\"end\",\"seconds\":nan", "the line is not JSON" },
	{ "number out of range", "{\"e\":\"end\",\"seconds\":1e999", "the line is not JSON" },
	{ "zero byte in a text", "{\"e\":\"note\",\"text\":\"a\\u0000b\"", "the line is not JSON" },
	{ "broken UTF-8", "{\"e\":\"note\",\"text\":\"\xff\"", "the line is not JSON" },
	{ "half a surrogate", "{\"e\":\"note\",\"text\":\"\\ud800\"", "the line is not JSON" },
	{ "two objects", "{\"e\":\"note\"}{\"e\":\"note\"", "the line is not JSON" },
	{ "empty object before the sum", "{", "the line is not JSON" },
};

static void refuses_what_is_no_event(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *line = sealed(bad[i].body);
		struct event ev;
		struct error err;

		print_message("  %s\n", bad[i].name);
		assert_int_equal(event_parse(line, strlen(line), &ev, &err), -1);
		assert_non_null(strstr(err.text, bad[i].want));
		free(line);
	}
}

static void refuses_deep_nesting(void **state)
{
	struct text t;
	struct event ev;
	struct error err;
	char *line;

	(void)state;
	text_init(&t);
	text_add(&t, "{\"e\":\"note\",\"x\":");
	for (int i = 0; i < 900; i++)
		text_add(&t, "[");
	line = sealed(t.data);
	assert_int_equal(event_parse(line, strlen(line), &ev, &err), -1);
	free(line);
	text_release(&t);
}

/* A note of exactly so many bytes without its newline, or NULL. */
static char *note_of(size_t bytes, struct error *err)
{
	static const size_t frame = sizeof("{\"e\":\"note\",\"text\":\"\",\"c\":\"12345678\"}") - 1;
	json_t *o = event_new(EV_NOTE);
	char *text = xcalloc(bytes, 1), *line;

	memset(text, 'x', bytes - frame);
	json_object_set_new(o, "text", json_string(text));
	free(text);
	line = event_line(o, err);
	if (line)
		assert_int_equal(strlen(line), bytes + 1);
	return line;
}

static void a_line_has_1000_bytes_at_most(void **state)
{
	struct error err;
	struct event ev;
	char *line = note_of(1000, &err), *more;

	(void)state;
	assert_non_null(line);
	assert_int_equal(event_parse(line, 1000, &ev, &err), 0);
	event_release(&ev);
	assert_null(note_of(1001, &err));
	assert_string_equal(err.text, "an event of 1001 bytes does not fit into a line of 1000");
	/* one from elsewhere, with a checksum that is right */
	line[strlen(line) - 1 - strlen(",\"c\":\"12345678\"}")] = '\0';
	more = xasprintf("%.*sx\"", (int)strlen(line) - 1, line);
	free(line);
	line = sealed(more);
	assert_int_equal(strlen(line), 1001);
	assert_int_equal(event_parse(line, 1001, &ev, &err), -1);
	assert_string_equal(err.text, "a line of more than 1000 bytes");
	free(more);
	free(line);
}

static const struct {
	const char *name, *in;
	size_t most;
	const char *want;
} texts[] = {
	{ "plain", "disk0", 100, "disk0" },
	{ "cut", "abcdef", 3, "abc" },
	{ "exact", "abc", 3, "abc" },
	{ "nothing", "abc", 0, "" },
	{ "escapes count twice", "\"\"\"", 5, "\"\"" },
	{ "backslash", "a\\b", 3, "a\\" },
	{ "escape sequence", "\033[2Jx", 100, "?[2Jx" },
	{ "line ends", "a\nb\r\n", 100, "a?b??" },
	{ "broken UTF-8", "a\xff\xc3", 100, "a??" },
	{ "never half a letter", "\xe2\x82\xac\xe2\x82\xac", 5, "\xe2\x82\xac" },
	{ "not even one letter", "\xe2\x82\xac", 2, "" },
};

static void texts_are_made_to_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *s = event_string(texts[i].in, texts[i].most);

		print_message("  %s\n", texts[i].name);
		assert_string_equal(json_string_value(s), texts[i].want);
		json_decref(s);
	}
}

/* The worst text of all bytes, in any piece, gives a line that fits and comes back. */
static void hostile_texts_fit(void **state)
{
	char text[2001];

	(void)state;
	for (int first = 1; first < 256; first++) {
		json_t *o = event_new(EV_NOTE);
		struct error err;
		struct event ev;
		char *line;

		for (int i = 0; i < 2000; i++)
			text[i] = (char)(1 + (first + i * (first % 3)) % 255);
		text[2000] = '\0';
		json_object_set_new(o, "text", event_string(text, 900));
		line = event_line(o, &err);
		assert_non_null(line);
		assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
		assert_int_equal(ev.kind, EV_NOTE);
		event_release(&ev);
		free(line);
	}
}

static void words_come_back(void **state)
{
	(void)state;
	for (int w = 0; w < END_WORD_COUNT; w++)
		assert_int_equal(end_word_find(end_word_name((enum end_word)w)), w);
	assert_int_equal(end_word_find("DONE"), -1);
	assert_int_equal(end_word_find(""), -1);
	for (int k = 0; k < EVENT_KIND_COUNT; k++) {
		struct error err;
		struct event ev;
		char *line = event_line(event_new((enum event_kind)k), &err);

		assert_int_equal(event_parse(line, strlen(line) - 1, &ev, &err), 0);
		assert_int_equal(ev.kind, k);
		assert_string_equal(ev.at, "");
		assert_string_equal(ev.step, "");
		event_release(&ev);
		free(line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_back),
		cmocka_unit_test(every_flip_is_seen),
		cmocka_unit_test(every_cut_is_seen),
		cmocka_unit_test(refuses_what_is_no_event),
		cmocka_unit_test(refuses_deep_nesting),
		cmocka_unit_test(a_line_has_1000_bytes_at_most),
		cmocka_unit_test(texts_are_made_to_fit),
		cmocka_unit_test(hostile_texts_fit),
		cmocka_unit_test(words_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
