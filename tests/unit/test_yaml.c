/*
 * test_yaml.c - YAML trees: places, merging, and files made to hurt.
 */
#include "harness/yaml.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct yaml *parse(const char *text, struct complaints *c)
{
	return yaml_parse(text, strlen(text), "f.yaml", c);
}

static struct yaml *must_parse(const char *text)
{
	struct complaints c;
	struct yaml *y;

	complaints_init(&c);
	y = parse(text, &c);
	if (!y)
		fail_msg("%s", c.text.data);
	assert_int_equal(c.errors, 0);
	complaints_release(&c);
	return y;
}

static void values_know_their_place(void **state)
{
	struct yaml *y = must_parse("a: 1\n"
				    "b:\n"
				    "  - x\n"
				    "  - {c: \"two words\"}\n");
	const struct yaml *b = yaml_get(y, "b"), *c = yaml_get(b->items[1], "c");

	(void)state;
	assert_int_equal(y->kind, YAML_MAP);
	assert_int_equal(y->count, 2);
	assert_int_equal(b->kind, YAML_LIST);
	assert_int_equal(b->count, 2);
	assert_string_equal(c->text, "two words");
	assert_string_equal(c->at.file, "f.yaml");
	assert_int_equal(c->at.line, 4);
	assert_int_equal(c->at.column, 9);
	assert_int_equal(y->key_at[1].line, 2);
	assert_int_equal(y->key_at[1].column, 1);
	assert_null(yaml_get(y, "x"));
	assert_null(yaml_get(b, "x"));
	assert_null(yaml_get(NULL, "x"));
	yaml_delete(y);
	yaml_delete(NULL);
}

/* Scalars stay texts: nothing becomes a number, a boolean or a date behind the reader's back. */
static void scalars_are_texts(void **state)
{
	struct yaml *y = must_parse("[no, 1e3, 0x10, ~, 2026-11-21, '', 012]");
	static const char *const want[] = { "no", "1e3", "0x10", "~", "2026-11-21", "", "012" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_string_equal(y->items[i]->text, want[i]);
	yaml_delete(y);
}

static void aliases_are_copies(void **state)
{
	struct yaml *y = must_parse("a: &x {k: v}\nb: *x\n");
	struct yaml *a = yaml_get(y, "a"), *b = yaml_get(y, "b");

	(void)state;
	assert_ptr_not_equal(a, b);
	assert_string_equal(yaml_get(b, "k")->text, "v");
	yaml_drop(a, "k");
	assert_int_equal(a->count, 0);
	assert_string_equal(yaml_get(b, "k")->text, "v");
	yaml_delete(y);
}

static const struct {
	const char *name, *text, *want;
} bad[] = {
	{ "empty", "", "f.yaml: error: the file is empty\n" },
	{ "comments only", "# nothing\n\n", "f.yaml: error: the file is empty\n" },
	{ "key twice", "a: 1\nb: 2\na: 3\n",
	  "f.yaml:3:1: error: key 'a' stands here a second time\n" },
	{ "key twice, quoted once", "a: 1\n\"a\": 3\n",
	  "f.yaml:2:1: error: key 'a' stands here a second time\n" },
	{ "key twice, deep", "x:\n  - {b: 1, b: 2}\n",
	  "f.yaml:2:12: error: key 'b' stands here a second time\n" },
	{ "list as a key", "? [a]\n: b\n", "f.yaml:1:3: error: a key must be a plain word\n" },
	{ "map as a key", "{a: b}: c\n", "f.yaml:1:1: error: a key must be a plain word\n" },
	{ "zero byte in a text", "a: \"x\\0y\"\n",
	  "f.yaml:1:4: error: a text holds a zero byte\n" },
	{ "zero byte in a key", "\"x\\0y\": 1\n",
	  "f.yaml:1:1: error: a key must be a plain word\n" },
	{ "an anchor that holds itself", "a: &x\n  b: *x\n",
	  "f.yaml:1:4: error: nested deeper than 64 levels, or an alias that contains itself\n" },
	{ "a list that holds itself", "&x [*x]\n",
	  "f.yaml:1:1: error: nested deeper than 64 levels, or an alias that contains itself\n" },
	{ "no such anchor", "a: *x\n",
	  "f.yaml:1:4: error: not YAML: found undefined alias, while composing a node\n" },
};

static void refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct complaints c;

		print_message("  %s\n", bad[i].name);
		complaints_init(&c);
		assert_null(parse(bad[i].text, &c));
		assert_int_equal(c.errors, 1);
		if (!strstr(bad[i].want, "undefined alias"))
			assert_string_equal(c.text.data, bad[i].want);
		else
			assert_non_null(strstr(c.text.data, "undefined alias"));
		complaints_release(&c);
	}
}

/* What libyaml itself refuses: its own words, our form "FILE[:LINE:COL]: error: not YAML: ...". */
static const struct {
	const char *name, *text;
	size_t len;
} broken[] = {
#define BYTES(s) (s), sizeof(s) - 1
	{ "open bracket", BYTES("a: [1, 2\n") },
	{ "open quote", BYTES("a: \"x\n") },
	{ "tab as indent", BYTES("a:\n\tb: 1\n") },
	{ "two values", BYTES("a: b: c\n") },
	{ "raw zero byte", BYTES("a: x\0y\n") },
	{ "control character", BYTES("a: \x01\n") },
	{ "broken UTF-8", BYTES("a: \xff\xfe\xfd\n") },
	{ "an executable", BYTES("\x7f"
				 "ELF\x02\x01\x01\0\0\0") },
	{ "half of UTF-16", BYTES("\xff\xfe"
				  "a\0:") },
	{ "anchor twice on a value", BYTES("a: &x &y 1\n") },
};

static void refuses_what_is_not_yaml(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct complaints c;

		print_message("  %s\n", broken[i].name);
		complaints_init(&c);
		assert_null(yaml_parse(broken[i].text, broken[i].len, "f.yaml", &c));
		assert_int_equal(c.errors, 1);
		assert_int_equal(strncmp(c.text.data, "f.yaml:", 7), 0);
		assert_non_null(strstr(c.text.data, "error: not YAML: "));
		complaints_release(&c);
	}
}

/* Ten levels of ten aliases: 10^10 values out of a few hundred bytes. */
static void refuses_a_billion_laughs(void **state)
{
	struct complaints c;
	struct text t;

	(void)state;
	text_init(&t);
	text_add(&t, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 10; i++) {
		text_addf(&t, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			text_addf(&t, "%s*a%d", k ? "," : "", i - 1);
		text_add(&t, "]\n");
	}
	complaints_init(&c);
	assert_null(parse(t.data, &c));
	assert_int_equal(c.errors, 1);
	assert_non_null(
		strstr(c.text.data, "error: aliases unfold this file to more than 200000 values"));
	complaints_release(&c);
	text_release(&t);
}

static char *nested(int depth)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < depth; i++)
		text_add(&t, "[");
	text_add(&t, "x");
	for (int i = 0; i < depth; i++)
		text_add(&t, "]");
	return text_detach(&t);
}

static void bounds_the_depth(void **state)
{
	struct complaints c;
	char *text = nested(64);
	struct yaml *y;

	(void)state;
	complaints_init(&c);
	y = parse(text, &c);
	assert_non_null(y);
	yaml_delete(y);
	free(text);
	text = nested(65);
	assert_null(parse(text, &c));
	assert_non_null(strstr(c.text.data, "nested deeper than 64 levels"));
	free(text);
	text = nested(100000);
	assert_null(parse(text, &c));
	assert_int_equal(c.errors, 2);
	free(text);
	complaints_release(&c);
}

/* A limit that hides behind "---" would be dropped without a word. */
static void refuses_a_second_document(void **state)
{
	struct complaints c;

	(void)state;
	complaints_init(&c);
	assert_null(parse("a: 1\n---\nb: 2\n", &c));
	assert_int_equal(c.errors, 1);
	complaints_release(&c);
	complaints_init(&c);
	assert_null(parse("a: 1\n...\n[ broken\n", &c));
	assert_int_equal(c.errors, 1);
	complaints_release(&c);
	yaml_delete(must_parse("---\na: 1\n...\n"));
}

static void merges_by_key_and_keeps_places(void **state)
{
	static const char base_text[] = "keep: 1\n"
					"map: {a: 1, b: 2}\n"
					"list: [1, 2, 3]\n"
					"text: {was: map}\n";
	static const char over_text[] = "map: {b: 3, c: 4}\n"
					"\n"
					"list: [9]\n"
					"text: now text\n";
	struct complaints c;
	struct yaml *y;
	char *text;

	(void)state;
	complaints_init(&c);
	y = yaml_merge(yaml_parse(base_text, strlen(base_text), "base.yaml", &c),
		       yaml_parse(over_text, strlen(over_text), "over.yaml", &c));
	text = yaml_text(y);
	assert_string_equal(text, "map:\n  b: 3\n  c: 4\n  a: 1\n"
				  "list:\n- 9\n"
				  "text: now text\n"
				  "keep: 1\n");
	free(text);
	assert_string_equal(yaml_get(y, "keep")->at.file, "base.yaml");
	assert_string_equal(yaml_get(yaml_get(y, "map"), "a")->at.file, "base.yaml");
	assert_int_equal(yaml_get(yaml_get(y, "map"), "a")->at.line, 2);
	assert_string_equal(yaml_get(yaml_get(y, "map"), "b")->at.file, "over.yaml");
	assert_int_equal(yaml_get(yaml_get(y, "map"), "b")->at.line, 1);
	assert_int_equal(yaml_get(y, "list")->count, 1);
	yaml_delete(y);
	complaints_release(&c);
}

static void drops_keys(void **state)
{
	struct yaml *y = must_parse("{a: 1, b: 2, c: 3}");

	(void)state;
	yaml_drop(y, "none");
	yaml_drop(y, "a");
	assert_int_equal(y->count, 2);
	assert_string_equal(y->keys[0], "b");
	assert_string_equal(y->items[1]->text, "3");
	assert_int_equal(y->key_at[0].column, 8);
	yaml_delete(y);
}

static const struct {
	const char *name, *text;
} trips[] = {
	{ "all kinds", "{a: [1, {b: c}], d: {}, e: [], f: ''}" },
	{ "texts that look like something else",
	  "['no', '1', '~', '- x', 'a: b', '# c', '*d', '&e']" },
	{ "spaces and line ends", "[' a ', \"a\\nb\", \"\\ttab\", \"end\\n\"]" },
	{ "UTF-8", "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]" },
	{ "keys with spaces", "{'a b': 1, '': 2, '? x': 3}" },
};

static void assert_same(const struct yaml *a, const struct yaml *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->count, b->count);
	if (a->kind == YAML_TEXT)
		assert_string_equal(a->text, b->text);
	for (int i = 0; i < a->count; i++) {
		if (a->kind == YAML_MAP)
			assert_string_equal(a->keys[i], b->keys[i]);
		assert_same(a->items[i], b->items[i]);
	}
}

static void writes_what_it_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(trips); i++) {
		struct yaml *y = must_parse(trips[i].text), *again;
		char *text = yaml_text(y);

		print_message("  %s\n", trips[i].name);
		again = must_parse(text);
		assert_same(y, again);
		free(text);
		yaml_delete(again);
		yaml_delete(y);
	}
}

static void complaints_are_bounded_and_printable(void **state)
{
	const struct place at = { "f.yaml", 3, 5 }, top = { "f.yaml", 0, 0 };
	struct complaints c;
	int lines = 0;

	(void)state;
	complaints_init(&c);
	complain(&c, &at, "bad \033[31m '%s'", "x");
	complain(&c, &top, "as a whole");
	complain_warning(&c, NULL, "from nowhere");
	assert_string_equal(c.text.data, "f.yaml:3:5: error: bad ?[31m 'x'\n"
					 "f.yaml: error: as a whole\n"
					 "assay: warning: from nowhere\n");
	assert_int_equal(c.errors, 2);
	assert_int_equal(c.warnings, 1);
	for (int i = 0; i < 1000; i++)
		complain(&c, &at, "%d", i);
	assert_int_equal(c.errors, 1002);
	for (const char *s = c.text.data; (s = strchr(s, '\n')); s++)
		lines++;
	assert_int_equal(lines, 41);
	assert_non_null(strstr(c.text.data, "... more of the same is not shown\n"));
	complaints_release(&c);
}

static void loads_files(void **state)
{
	char path[] = "/tmp/assay-yaml-XXXXXX";
	struct complaints c;
	struct yaml *y;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a: b\n", 5), 5);
	close(fd);
	complaints_init(&c);
	y = yaml_load(path, &c);
	assert_non_null(y);
	assert_string_equal(y->at.file, path);
	yaml_delete(y);
	assert_int_equal(truncate(path, YAML_FILE_MOST + 1), 0);
	assert_null(yaml_load(path, &c));
	assert_non_null(strstr(c.text.data, "is larger than 4096 KiB"));
	unlink(path);
	assert_null(yaml_load(path, &c));
	assert_non_null(strstr(c.text.data, "No such file"));
	assert_int_equal(c.errors, 2);
	complaints_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_know_their_place),
		cmocka_unit_test(scalars_are_texts),
		cmocka_unit_test(aliases_are_copies),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_what_is_not_yaml),
		cmocka_unit_test(refuses_a_billion_laughs),
		cmocka_unit_test(bounds_the_depth),
		cmocka_unit_test(refuses_a_second_document),
		cmocka_unit_test(merges_by_key_and_keeps_places),
		cmocka_unit_test(drops_keys),
		cmocka_unit_test(writes_what_it_read),
		cmocka_unit_test(complaints_are_bounded_and_printable),
		cmocka_unit_test(loads_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
