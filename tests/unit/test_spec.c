/*
 * test_spec.c - specs and profiles: what good ones say, and every bad one with its exact messages.
 *
 * The bad ones are folders: tests/cases/spec/NAME/input.yaml, a profile.yaml where the profile is
 * what is wrong, and in `expect` everything that is printed of them (nothing: they are good).
 */
#include "harness/spec.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char *folder; /* of all cases, absolute */

static int is_case(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* Everything there is to say of the spec and the profile in the working directory. */
static void load_case(struct complaints *c)
{
	struct spec *s = spec_load("input.yaml", c);
	struct profile *p =
		access("profile.yaml", F_OK) == 0 ? profile_load("profile.yaml", c) : NULL;

	if (!s && !c->errors)
		text_add(&c->text, "refused without a reason\n");
	if (s)
		spec_lint(s, c);
	if (s && p)
		profile_check_against(p, s, c);
	profile_free(p);
	spec_free(s);
}

static int check_case(const char *name)
{
	char *path = xasprintf("%s/%s", folder, name), *want;
	struct complaints c;
	struct error err;
	size_t len;
	int same;

	assert_int_equal(chdir(path), 0);
	want = file_read("expect", 1 << 20, &len, &err);
	if (!want)
		fail_msg("%s: %s", name, err.text);
	complaints_init(&c);
	load_case(&c);
	same = !strcmp(c.text.data, want);
	if (!same)
		print_error("%s says\n%sinstead of\n%s", name, c.text.data, want);
	complaints_release(&c);
	free(want);
	free(path);
	return same;
}

static void every_case_says_what_it_should(void **state)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, is_case, alphasort), wrong = 0;

	(void)state;
	assert_true(n > 50);
	for (int i = 0; i < n; i++) {
		wrong += !check_case(entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	assert_int_equal(wrong, 0);
}

/* ---- good ones ---- */

static struct spec *load(const char *text)
{
	struct complaints c;
	struct spec *s;

	complaints_init(&c);
	s = spec_from(yaml_parse(text, strlen(text), "s.yaml", &c), &c);
	if (s)
		spec_lint(s, &c);
	if (c.errors || c.warnings)
		fail_msg("%s", c.text.data);
	complaints_release(&c);
	return s;
}

static const char whole[] =
	"assay: spec/1\n"
	"name: whole\n"
	"site: {name: site, customer: we}\n"
	"parts:\n"
	"  cpu:\n"
	"    kind: socket\n"
	"    source: order 7\n"
	"    facts: {model: '*Gold*', cores: '32'}\n"
	"    physics: {memory_channels: '8', clock: 3 GHz, flops_per_cycle: '32'}\n"
	"  dimm: {kind: dimm, source: order 7, facts: {size: 64 GiB, speed: 4800 MT/s}}\n"
	"  boot: {kind: disk, source: order 7, facts: {size: '>= 1 TB'}}\n"
	"  data:\n"
	"    kind: disk\n"
	"    source: order 7\n"
	"    facts: {link_gen: '4', link_width: '4'}\n"
	"    limits: {disk_seq.read: {at_least: 6 GB/s, source: page 2, origin: datasheet}}\n"
	"nodes:\n"
	"  gpu:\n"
	"    hosts: n[01-04]\n"
	"    count: 4\n"
	"    facts: {memory: '>= 500 GiB'}\n"
	"    sockets: [{part: cpu, count: 2}]\n"
	"    dimms: [{part: dimm, count: 16}]\n"
	"    disks:\n"
	"      - {part: boot, count: 1}\n"
	"      - {part: data, count: 2, folders: [/a], serials: [S1, S2]}\n"
	"limits:\n"
	"  memory_bandwidth.read: {at_least: 614 GB/s, source: own, origin: measured}\n"
	"  cpu_burn.flops[avx2]: {at_least: 5 TFLOP/s, share: 95%, worst: 90%, source: own, "
	"origin: derived}\n"
	"  hello.rate: {exactly: 5 kB/s, source: own, origin: contract}\n"
	"settings:\n"
	"  - {kind: sysctl, name: vm.swappiness, is: '1', source: guide}\n"
	"programs:\n"
	"  hello:\n"
	"    argv: [echo, a b]\n"
	"    timeout: 2 min\n"
	"    output: 2 MiB\n"
	"    exit: [0, 3]\n"
	"    figures:\n"
	"      rate: {unit: MB/s, better: more, regex: '([0-9]+)'}\n"
	"      wrong: {better: zero, json: a.b}\n"
	"waivers: [{check: 'disk_*', metric: '*', reason: known, by: Ann}]\n";

static void a_whole_spec_is_read(void **state)
{
	struct spec *s = load(whole);
	const struct node_type *t = &s->nodes[0];

	(void)state;
	assert_string_equal(s->name, "whole");
	assert_string_equal(s->site.customer, "we");
	assert_null(s->site.vendor);
	assert_int_equal(strlen(s->sha256), 64);
	assert_int_equal(s->part_count, 4);
	assert_int_equal(s->node_count, 1);
	assert_string_equal(t->hosts, "n[01-04]");
	assert_int_equal(t->count, 4);
	assert_int_equal(node_type_count(t, PART_DISK), 3);
	assert_int_equal(node_type_count(t, PART_GPU), 0);
	assert_string_equal(s->parts[node_type_part(t, PART_DISK, 0)].name, "boot");
	assert_string_equal(s->parts[node_type_part(t, PART_DISK, 2)].name, "data");
	assert_int_equal(node_type_part(t, PART_DISK, 3), -1);
	assert_null(node_type_folder(t, 0));
	assert_string_equal(node_type_folder(t, 1), "/a");
	assert_null(node_type_folder(t, 2));
	assert_null(node_type_serial(t, 0));
	assert_string_equal(node_type_serial(t, 2), "S2");
	assert_null(node_type_serial(t, 3));
	assert_true(part_physics(&s->parts[0], "clock") == 3e9);
	assert_true(part_physics(&s->parts[0], "bus_width") == -1);
	assert_true(part_fact(&s->parts[2], "size") == 1e12);
	assert_true(part_fact(&s->parts[2], "link_gen") == -1);
	spec_free(s);
	spec_free(NULL);
}

static void limits_and_programs_are_read(void **state)
{
	struct spec *s = load(whole);
	const struct limit *l = s->limits;
	const struct program *p = spec_program(s, "hello");

	(void)state;
	assert_int_equal(s->limit_count, 4);
	assert_int_equal(l[0].part, 3);
	assert_string_equal(l[0].check, "disk_seq");
	assert_true(l[0].value == 6 && l[0].op == AT_LEAST);
	assert_int_equal(l[0].at.line, 16);
	assert_int_equal(l[1].part, -1);
	assert_null(l[1].subject);
	assert_string_equal(l[2].metric, "flops");
	assert_string_equal(l[2].subject, "avx2");
	assert_true(l[2].value == 5000 && l[2].share > 0.949 && l[2].worst < 0.901);
	assert_true(l[3].value == 0.005 && l[3].op == EXACTLY);
	assert_string_equal(l[3].text, "5 kB/s");
	assert_true(l[3].share == 1 && l[3].worst == 1);
	assert_non_null(p);
	assert_int_equal(p->argc, 2);
	assert_string_equal(p->argv[1], "a b");
	assert_true(p->timeout == 120 && p->output_most == 2 << 20);
	assert_int_equal(p->exit_count, 2);
	assert_int_equal(p->exits[1], 3);
	assert_int_equal(p->figures[1].from, FROM_JSON);
	assert_int_equal(spec_metrics(s, "hello")[1].better, NONE);
	assert_int_equal(spec_metrics(s, "hello")[1].judged, BY_EVERY);
	assert_null(spec_metrics(s, "hello")[2].name);
	assert_non_null(spec_metrics(s, "disk_seq"));
	assert_null(spec_metrics(s, "program"));
	assert_null(spec_metrics(s, "none"));
	assert_null(spec_program(s, "none"));
	assert_string_equal(s->settings[0].want, "1");
	assert_null(s->settings[0].fix);
	assert_string_equal(s->waivers[0].by, "Ann");
	spec_free(s);
}

static void the_sum_is_that_of_the_text(void **state)
{
	static const char a[] = "assay: spec/1\nname: a\nnodes: {n: {}}\n";
	static const char same[] = "# a comment\nassay: 'spec/1'\nname: a\nnodes:\n  n: {}\n";
	static const char other[] = "assay: spec/1\nname: a\nnodes: {m: {}}\n";
	struct spec *s[3] = { load(a), load(same), load(other) };

	(void)state;
	assert_string_equal(s[0]->sha256, s[1]->sha256);
	assert_string_not_equal(s[0]->sha256, s[2]->sha256);
	for (int i = 0; i < 3; i++)
		spec_free(s[i]);
}

/* ---- extends ---- */

static void write_file(const char *path, const char *text)
{
	struct error err;

	if (file_replace(path, text, strlen(text), &err) < 0)
		fail_msg("%s", err.text);
}

static int enter_new_folder(void **state)
{
	char *path = xstrdup("/tmp/assay-spec-XXXXXX");

	*state = path;
	return mkdtemp(path) ? chdir(path) : -1;
}

static int leave_folder(void **state)
{
	int rc = unlink("sub/a.yaml") | unlink("sub/b.yaml") | unlink("top.yaml") | rmdir("sub") |
		 chdir("/") | rmdir(*state);

	free(*state);
	return rc;
}

/* top extends [sub/a, sub/b]; b extends a by a name beside itself; later ones win, top above all.
 */
static void later_files_win_and_places_stay(void **state)
{
	struct complaints c;
	struct spec *s;

	assert_non_null(*state);
	assert_int_equal(system("mkdir sub"), 0);
	write_file("sub/a.yaml",
		   "name: from a\nabout: from a\n"
		   "nodes: {n: {count: 1}}\n"
		   "limits:\n"
		   "  disk_seq.read: {at_least: 1 GB/s, source: a, origin: measured}\n"
		   "  disk_seq.write: {at_least: 1 GB/s, source: a, origin: measured}\n"
		   "  disk_latency.p50: {at_most: 90 us, source: a, origin: measured}\n");
	write_file("sub/b.yaml", "extends: a.yaml\nname: from b\n"
				 "nodes: {n: {count: 2, facts: {os: Debian}}}\n"
				 "limits:\n"
				 "  disk_seq.read: {at_least: 2 GB/s}\n"
				 "  disk_seq.write: {at_least: 2 GB/s, source: b}\n");
	write_file("top.yaml", "assay: spec/1\nextends: [sub/a.yaml, sub/b.yaml]\n"
			       "nodes: {n: {count: 3}}\n"
			       "limits:\n"
			       "  disk_seq.read: {at_least: 3 GB/s}\n");
	complaints_init(&c);
	s = spec_load("./top.yaml", &c);
	if (!s)
		fail_msg("%s", c.text.data);
	assert_string_equal(s->name, "from b");
	assert_string_equal(s->about, "from a");
	assert_int_equal(s->nodes[0].count, 3);
	assert_int_equal(s->nodes[0].fact_count, 1);
	assert_string_equal(s->nodes[0].facts[0].at.file, "./sub/b.yaml");
	assert_int_equal(s->limit_count, 3);
	for (int i = 0; i < s->limit_count; i++) {
		const struct limit *l = &s->limits[i];

		if (!strcmp(l->metric, "read")) {
			assert_true(l->value == 3);
			assert_string_equal(l->source, "a");
			assert_string_equal(l->at.file, "./top.yaml");
			assert_int_equal(l->at.line, 5);
		} else if (!strcmp(l->metric, "write")) {
			assert_true(l->value == 2);
			assert_string_equal(l->source, "b");
			assert_string_equal(l->at.file, "./sub/b.yaml");
			assert_int_equal(l->at.line, 6);
		} else {
			assert_string_equal(l->at.file, "./sub/a.yaml");
			assert_int_equal(l->at.line, 7);
		}
	}
	spec_free(s);
	complaints_release(&c);
}

/* ---- facts that must hold ---- */

static const struct {
	enum fact_type type;
	const char *want, *found;
	int holds;
} expects[] = {
	{ FACT_NUMBER, "8", "8", 1 },
	{ FACT_NUMBER, "8", "8.0", 1 },
	{ FACT_NUMBER, "8", "9", 0 },
	{ FACT_NUMBER, "= 8", "8", 1 },
	{ FACT_NUMBER, "=8", "7", 0 },
	{ FACT_NUMBER, ">= 8", "8", 1 },
	{ FACT_NUMBER, ">= 8", "7", 0 },
	{ FACT_NUMBER, "> 8", "8", 0 },
	{ FACT_NUMBER, "<= 8", "8", 1 },
	{ FACT_NUMBER, "<= 8", "9", 0 },
	{ FACT_NUMBER, "< 8", "8", 0 },
	{ FACT_NUMBER, "0", "0", 1 },
	{ FACT_NUMBER, "64 GiB", "65536 MiB", 1 },
	{ FACT_NUMBER, "64 GB", "64 GiB", 0 },
	{ FACT_NUMBER, "1 TB", "1000 GB", 1 },
	{ FACT_NUMBER, ">= 2 TiB", "3 T/s", 0 },
	{ FACT_NUMBER, "8", "", 0 },
	{ FACT_NUMBER, "8", "eight", 0 },
	{ FACT_NUMBER, "8", "nan", 0 },
	{ FACT_NUMBER, "*", "8", 0 },
	/* no spec that loads says any of these; if one did, nothing must pass by it */
	{ FACT_NUMBER, "== 8", "4", 0 },
	{ FACT_NUMBER, "=> 8", "4", 0 },
	{ FACT_NUMBER, "<> 8", "4", 0 },
	{ FACT_NUMBER, ">>= 8", "9", 0 },
	{ FACT_WORD, "DDR5", "DDR5", 1 },
	{ FACT_WORD, "DDR5", "DDR4", 0 },
	{ FACT_WORD, "DDR5", "ddr5", 0 },
	{ FACT_WORD, "NVIDIA H100*", "NVIDIA H100 80GB HBM3", 1 },
	{ FACT_WORD, "NVIDIA H?00", "NVIDIA H200", 1 },
	{ FACT_WORD, "H100", "NVIDIA H100", 0 },
	{ FACT_WORD, "*", "", 1 },
	{ FACT_WORD, "", "", 1 },
	{ FACT_WORD, "absent", "absent", 1 },
	{ FACT_WORD, ">= 1 TB", "2 TB", 1 },
	{ FACT_WORD, ">= 1 TB", "0.5 TB", 0 },
	{ FACT_WORD, ">= 1 TB", "absent", 0 },
	{ FACT_WORD, "<= 5", "mixed: 4, 6", 0 },
};

static void facts_hold_or_do_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expects); i++)
		if (expect_holds(expects[i].type, expects[i].want, expects[i].found) !=
		    expects[i].holds)
			fail_msg("'%s' is %s'%s'", expects[i].found, expects[i].holds ? "not " : "",
				 expects[i].want);
}

/* Every unit and word of the tables that specs are checked with. */
static void tables_are_sound(void **state)
{
	enum dimension dim;
	double factor;

	(void)state;
	for (int i = 0; all_checks[i]; i++) {
		assert_ptr_equal(check_find(all_checks[i]->name), all_checks[i]);
		for (const struct metric *m = all_checks[i]->metrics; m->name; m++)
			if (unit_find(m->unit, &dim, &factor) < 0)
				fail_msg("%s.%s: unit '%s'", all_checks[i]->name, m->name, m->unit);
		for (const struct param *p = all_checks[i]->params; p->name; p++) {
			struct quantity q;
			struct error err;

			if (!p->from_spec && quantity_parse(p->preset, &q, &err) < 0)
				fail_msg("%s: %s", p->name, err.text);
		}
	}
	for (const struct fact_key *k = fact_keys; k->name; k++)
		assert_ptr_equal(fact_key_find(k->kind, k->name), k);
	for (const struct physics_key *k = physics_keys; k->name; k++)
		assert_ptr_equal(physics_key_find(k->kind, k->name), k);
	for (int k = 0; k < PART_KIND_COUNT; k++)
		assert_int_equal(part_kind_find(part_kind_name((enum part_kind)k)), k);
	assert_int_equal(part_kind_of("disk12"), PART_DISK);
	assert_int_equal(part_kind_of("disk"), -1);
	assert_int_equal(part_kind_of("diskette1"), -1);
	assert_int_equal(part_kind_of(""), PART_NODE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_says_what_it_should),
		cmocka_unit_test(a_whole_spec_is_read),
		cmocka_unit_test(limits_and_programs_are_read),
		cmocka_unit_test(the_sum_is_that_of_the_text),
		cmocka_unit_test_setup_teardown(later_files_win_and_places_stay, enter_new_folder,
						leave_folder),
		cmocka_unit_test(facts_hold_or_do_not),
		cmocka_unit_test(tables_are_sound),
	};
	int rc;

	folder = realpath("tests/cases/spec", NULL);
	if (!folder) {
		fputs("tests/cases/spec is not here: run this in the root of the source\n", stderr);
		return 1;
	}
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(folder);
	return rc;
}
