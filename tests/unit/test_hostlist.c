/*
 * test_hostlist.c - host lists in and out, and names that would be options of other programs.
 */
#include "harness/base/base.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* text: how the names are written again; NULL: as they came. */
static const struct {
	const char *in, *names, *text;
} good[] = {
	{ "login1", "login1", NULL },
	{ "a,b,c", "a b c", NULL },
	{ "n[1-3]", "n1 n2 n3", NULL },
	{ "n[001-003,007]", "n001 n002 n003 n007", NULL },
	{ "n[8-11]", "n8 n9 n10 n11", "n[8-9],n[10-11]" },
	{ "n[08-11]", "n08 n09 n10 n11", NULL },
	{ "n[3,1-2]", "n3 n1 n2", NULL },
	{ "n[5]", "n5", "n5" },
	{ "n[1-1]", "n1", "n1" },
	{ "n[1-2],login1", "n1 n2 login1", NULL },
	{ "n1,n2,n3", "n1 n2 n3", "n[1-3]" },
	{ "n1,n3,m1", "n1 n3 m1", "n[1,3],m1" },
	{ "r1n[1-2],r2n[1-2]", "r1n1 r1n2 r2n1 r2n2", NULL },
	{ "n[1-2].site.org", "n1.site.org n2.site.org", "n1.site.org,n2.site.org" },
	{ "n[1-2]-ib", "n1-ib n2-ib", "n1-ib,n2-ib" },
	{ "[1-3]", "1 2 3", NULL },
	{ "n[1,01,001]", "n1 n01 n001", "n1,n01,n001" },
	{ "n[0-1]", "n0 n1", NULL },
	{ "A_b-c.d", "A_b-c.d", NULL },
	{ "a,b,", "a b", "a,b" },
	{ "n999999999,n1000000000", "n999999999 n1000000000", NULL },
};

static char *join(const struct hostlist *list, const char *between)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < list->count; i++)
		text_addf(&t, "%s%s", i ? between : "", list->names[i]);
	return text_detach(&t);
}

static void reads_and_writes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct hostlist list, again;
		struct error err;
		char *names, *text;

		print_message("  %s\n", good[i].in);
		if (hostlist_parse(good[i].in, &list, &err) < 0)
			fail_msg("%s", err.text);
		names = join(&list, " ");
		assert_string_equal(names, good[i].names);
		text = hostlist_text((const char *const *)list.names, list.count);
		assert_string_equal(text, good[i].text ? good[i].text : good[i].in);
		assert_int_equal(hostlist_parse(text, &again, &err), 0);
		free(text);
		text = join(&again, " ");
		assert_string_equal(text, names);
		free(text);
		free(names);
		hostlist_release(&again);
		hostlist_release(&list);
	}
}

static const struct {
	const char *name, *in, *want;
} bad[] = {
	{ "empty", "", "'' is not a host name" },
	{ "two commas", "a,,b", "'' is not a host name" },
	{ "two commas at the end", "a,,", "'' is not a host name" },
	{ "comma in front", ",a", "'' is not a host name" },
	{ "an option", "-oProxyCommand=x", "'-oProxyCommand' is not a host name" },
	{ "an option from a bracket", "-n[1-2]", "'-n1' is not a host name" },
	{ "an option behind a comma", "n1,-v", "'-v' is not a host name" },
	{ "a hidden file", ".n", "'.n' is not a host name" },
	{ "a path", "a/b", "host list: '/b' is not understood" },
	{ "a user", "root@n1", "host list: '@n1' is not understood" },
	{ "a command", "n1;reboot", "host list: ';reboot' is not understood" },
	{ "a substitution", "$(reboot)", "'' is not a host name" },
	{ "a space", "a b", "host list: ' b' is not understood" },
	{ "a line end", "a\n", "host list: '\n' is not understood" },
	{ "UTF-8", "n\xc3\xb6", "host list: '\xc3\xb6' is not understood" },
	{ "two brackets", "r[1-2]n[3-4]", "host list: '[3-4]' is not understood" },
	{ "a bracket in a bracket", "n[[1]]", "host list: a number is missing at '[1]]'" },
	{ "open bracket", "n[1-2", "host list: '[' without ']' at '[1-2'" },
	{ "closing bracket alone", "n]", "host list: ']' is not understood" },
	{ "empty bracket", "n[]", "host list: a number is missing at ']'" },
	{ "letters in the bracket", "n[a-b]", "host list: a number is missing at 'a-b]'" },
	{ "letters behind a number", "n[1x]", "host list: ',' or ']' expected at 'x]'" },
	{ "half a range", "n[1-]", "host list: a number is missing at ']'" },
	{ "comma in the bracket's end", "n[1,]", "host list: a number is missing at ']'" },
	{ "three ends", "n[1-2-3]", "host list: ',' or ']' expected at '-3]'" },
	{ "backwards", "n[2-1]", "host list: range 2-1 runs backwards" },
	{ "twice", "a,b,a", "host list: a is named twice" },
	{ "twice by a range", "n[1-5,3]", "host list: n3 is named twice" },
	{ "twice by range and name", "n[1-2],n2", "host list: n2 is named twice" },
	{ "huge range", "n[0-99999999]", "more than 65536 hosts" },
	{ "one too many", "n[0-65536]", "more than 65536 hosts" },
	{ "one too many by two ranges", "n[00000-65535],x", "more than 65536 hosts" },
};

static void refuses_the_rest(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct hostlist list;
		struct error err;

		print_message("  %s\n", bad[i].name);
		assert_int_equal(hostlist_parse(bad[i].in, &list, &err), -1);
		assert_string_equal(err.text, bad[i].want);
		assert_int_equal(list.count, 0);
		assert_null(list.names);
	}
}

static void refuses_numbers_of_ten_digits(void **state)
{
	struct hostlist list;
	struct error err;

	(void)state;
	assert_int_equal(hostlist_parse("n[1234567890]", &list, &err), -1);
	assert_int_equal(hostlist_parse("n[1-99999999999999999999]", &list, &err), -1);
	assert_int_equal(hostlist_parse("n[00000000001-00000000002]", &list, &err), -1);
}

static void bounds_the_length_of_names(void **state)
{
	char text[1200];
	struct hostlist list;
	struct error err;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	assert_true(hostname_valid(text));
	assert_int_equal(hostlist_parse(text, &list, &err), 0);
	hostlist_release(&list);
	text[255] = 'a';
	text[256] = '\0';
	assert_false(hostname_valid(text));
	assert_int_equal(hostlist_parse(text, &list, &err), -1);
	strcpy(text + 250, "[000001-000002]");
	assert_int_equal(hostlist_parse(text, &list, &err), -1); /* 256 with its number */
	strcpy(text + 200, "[1-2]");
	memset(text + 205, 'b', 100);
	text[305] = '\0';
	assert_int_equal(hostlist_parse(text, &list, &err), -1);
	assert_string_equal(err.text, "host list: a name of more than 255 letters");
}

static void carries_the_largest_list(void **state)
{
	struct hostlist list;
	struct error err;
	char *text;

	(void)state;
	assert_int_equal(hostlist_parse("n[00000-65535]", &list, &err), 0);
	assert_int_equal(list.count, 65536);
	assert_string_equal(list.names[65535], "n65535");
	text = hostlist_text((const char *const *)list.names, list.count);
	assert_string_equal(text, "n[00000-65535]");
	free(text);
	hostlist_release(&list);
}

static void knows_host_names(void **state)
{
	(void)state;
	assert_true(hostname_valid("n-1_x.y"));
	assert_true(hostname_valid("0"));
	assert_false(hostname_valid(""));
	assert_false(hostname_valid("-"));
	assert_false(hostname_valid(".."));
	assert_false(hostname_valid("a,b"));
	assert_false(hostname_valid("a=b"));
	assert_false(hostname_valid("a\tb"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(refuses_numbers_of_ten_digits),
		cmocka_unit_test(bounds_the_length_of_names),
		cmocka_unit_test(carries_the_largest_list),
		cmocka_unit_test(knows_host_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
