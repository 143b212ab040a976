/*
 * test_judge.c - figures and facts against limits: every verdict, every way to get it, every hole.
 */
#include "harness/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Ceilings: disk 4 lanes of generation 4 are 7.876 GB/s; 2 sockets x 32 cores x 3 GHz x 16 = 3072.
 */
static const char spec_top[] =
	"assay: spec/1\n"
	"name: t\n"
	"parts:\n"
	"  cpu: {kind: socket, source: s, facts: {cores: '32'},\n"
	"    physics: {clock: 3 GHz, flops_per_cycle: 16}}\n"
	"  slow: {kind: disk, source: s, facts: {link_gen: '4', link_width: '4'}}\n"
	"  fast: {kind: disk, source: s, facts: {link_gen: '4', link_width: '4'}, limits: {\n"
	"    disk_seq.read: {at_least: 6 GB/s, source: s, origin: datasheet}}}\n"
	"nodes: {n: {sockets: [{part: cpu, count: 2}],\n"
	"  disks: [{part: slow, count: 1}, {part: fast, count: 1}]}}\n"
	"programs:\n"
	"  hello:\n"
	"    argv: [echo]\n"
	"    timeout: 7s\n"
	"    figures: {rate: {better: more, json: a}, wrong: {better: zero, json: b}}\n";

struct fixture {
	struct spec *spec;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;
	struct text journal;
	struct results *results;
	struct judgement *out;
};

/* more: what the spec says besides spec_top, or a whole spec. */
static struct fixture make(const char *more, const char *hosts, const char *checks)
{
	struct fixture x = { 0 };
	struct plan_options options = { 0 };
	struct complaints c;
	struct hostlist list;
	struct error err;
	int whole = !strncmp(more, "assay:", 6);
	char *spec = xasprintf("%s%s", whole ? "" : spec_top, more);
	char *profile =
		xasprintf("assay: profile/1\nname: t\nphases: [{name: p, checks: {%s}}]\n", checks);

	complaints_init(&c);
	x.spec = spec_from(yaml_parse(spec, strlen(spec), "s.yaml", &c), &c);
	x.profile = profile_from(yaml_parse(profile, strlen(profile), "p.yaml", &c), &c);
	if (x.spec && x.profile)
		profile_check_against(x.profile, x.spec, &c);
	if (c.errors)
		fail_msg("%s", c.text.data);
	assert_int_equal(hostlist_parse(hosts, &list, &err), 0);
	x.fleet = fleet_build(x.spec, &list, &err);
	x.plan = plan_build(x.spec, x.fleet, x.profile, &options, &err);
	if (!x.plan)
		fail_msg("%s", err.text);
	text_init(&x.journal);
	hostlist_release(&list);
	complaints_release(&c);
	free(spec);
	free(profile);
	return x;
}

static void add(struct fixture *x, const char *fmt, ...) PRINTF(2, 3);
static void add(struct fixture *x, const char *fmt, ...)
{
	char *body = NULL, *line;
	json_error_t why;
	struct error err;
	json_t *o;
	va_list args;

	va_start(args, fmt);
	assert_true(vasprintf(&body, fmt, args) >= 0);
	va_end(args);
	o = json_loads(body, 0, &why);
	if (!o)
		fail_msg("%s: %s", body, why.text);
	line = event_line(o, &err);
	assert_non_null(line);
	text_add(&x->journal, line);
	free(line);
	free(body);
}

static void add_end(struct fixture *x, const char *step, const char *word, int lines)
{
	add(x, "{\"e\":\"end\",\"step\":\"%s\",\"word\":\"%s\",\"why\":\"%s\",\"lines\":%d}", step,
	    word, strcmp(word, "done") ? "because" : "", lines);
}

static void add_samples(struct fixture *x, const char *step, const char *metric,
			const char *subject, const char *samples)
{
	add(x, "{\"e\":\"data\",\"step\":\"%s\",\"m\":\"%s\",\"v\":{\"%s\":[%s]}}", step, metric,
	    subject, samples);
}

static void run_judge(struct fixture *x)
{
	results_free(x->results);
	judgement_free(x->out);
	x->results = results_new();
	results_feed(x->results, x->journal.data, x->journal.len);
	assert_int_equal(x->results->damaged, 0);
	x->out = judge(x->spec, x->fleet, x->plan, x->results);
}

static void drop(struct fixture *x)
{
	judgement_free(x->out);
	results_free(x->results);
	text_release(&x->journal);
	plan_free(x->plan);
	fleet_free(x->fleet);
	profile_free(x->profile);
	spec_free(x->spec);
}

/* The only finding of this metric and subject. */
static const struct finding *finding(const struct fixture *x, const char *metric,
				     const char *subject)
{
	const struct finding *found = NULL;

	for (int i = 0; i < x->out->count; i++) {
		const struct finding *f = &x->out->items[i];

		if (strcmp(f->metric, metric) != 0 || strcmp(f->subject, subject) != 0)
			continue;
		if (found)
			fail_msg("%s of %s twice", metric, subject);
		found = f;
	}
	if (!found)
		fail_msg("no finding %s of %s", metric, subject);
	return found;
}

/* ---- one figure, one limit ---- */

#define LIMIT(key, text) "limits: {" key ": {" text ", source: page 3, origin: datasheet}}\n"
#define TEN(a, b) a "," a "," a "," a "," a "," b "," b "," b "," b "," b
#define TWENTY(a, b) TEN(a, a) "," TEN(a, b)

static const struct {
	const char *name, *check, *metric, *subject, *limit, *samples;
	enum verdict verdict;
	const char *why; /* part of it */
} figures[] = {
	/* by the median's interval */
	{ "all above", "disk_seq", "write", "disk0", LIMIT("disk_seq.write", "at_least: 3 GB/s"),
	  "3.1,3.2,3.3,3.4,3.5,3.6", VERDICT_PASS, "" },
	{ "at the limit", "disk_seq", "write", "disk0", LIMIT("disk_seq.write", "at_least: 3 GB/s"),
	  "3,3,3,3,3,3", VERDICT_PASS, "" },
	{ "all below", "disk_seq", "write", "disk0", LIMIT("disk_seq.write", "at_least: 3 GB/s"),
	  "2.1,2.2,2.3,2.4,2.5,2.6", VERDICT_FAIL, "" },
	{ "interval over the limit", "disk_seq", "write", "disk0",
	  LIMIT("disk_seq.write", "at_least: 3 GB/s"), "2.9,3.2,3.3,3.4,3.5,3.6",
	  VERDICT_INCONCLUSIVE, "the limit lies within the 95% interval of 6 samples" },
	{ "one outlier of nine decides nothing", "disk_seq", "write", "disk0",
	  LIMIT("disk_seq.write", "at_least: 3 GB/s"), "0.1,3.2,3.3,3.4,3.5,3.6,3.6,3.6,3.6",
	  VERDICT_PASS, "" },
	{ "five good samples", "disk_seq", "write", "disk0",
	  LIMIT("disk_seq.write", "at_least: 3 GB/s"), "4,4,4,4,4", VERDICT_INCONCLUSIVE,
	  "5 samples are too few" },
	{ "five bad samples", "disk_seq", "write", "disk0",
	  LIMIT("disk_seq.write", "at_least: 3 GB/s"), "1,1,1,1,1", VERDICT_INCONCLUSIVE,
	  "5 samples are too few" },
	{ "less is better, below", "disk_latency", "p99", "disk0",
	  LIMIT("disk_latency.p99", "at_most: 100 us"), "90,91,92,93,94,95", VERDICT_PASS, "" },
	{ "less is better, above", "disk_latency", "p99", "disk0",
	  LIMIT("disk_latency.p99", "at_most: 0.1 ms"), "101,102,103,104,105,106", VERDICT_FAIL,
	  "" },
	{ "less is better, between", "disk_latency", "p99", "disk0",
	  LIMIT("disk_latency.p99", "at_most: 100 us"), "99,99,99,101,101,101",
	  VERDICT_INCONCLUSIVE, "within" },
	{ "no limit", "disk_seq", "write", "disk0", "", "3,3,3,3,3,3", VERDICT_NOT_MEASURED,
	  "measured, but the spec has no limit disk_seq.write" },
	{ "limit of another subject", "disk_seq", "write", "disk0",
	  LIMIT("'disk_seq.write[disk1]'", "at_least: 3 GB/s"), "3,3,3,3,3,3", VERDICT_NOT_MEASURED,
	  "no limit" },
	{ "limit by a pattern", "disk_seq", "write", "disk0",
	  LIMIT("'disk_seq.write[disk*]'", "at_least: 3 GB/s"), "3,3,3,3,3,3", VERDICT_PASS, "" },
	{ "above its ceiling", "disk_seq", "read", "disk0",
	  LIMIT("disk_seq.read", "at_least: 3 GB/s"), "9,9,9,9,9,9", VERDICT_NOT_MEASURED,
	  "9 GB/s is more than physics allows (PCIe gen 4 x4 = 7.88 GB/s)" },
	{ "a little above its ceiling", "disk_seq", "read", "disk0",
	  LIMIT("disk_seq.read", "at_least: 3 GB/s"), "7.9,7.9,7.9,7.9,7.9,7.9", VERDICT_PASS, "" },
	{ "a figure of a program", "hello", "rate", "", LIMIT("hello.rate", "at_least: 5"),
	  "5,6,7,8,9,10", VERDICT_PASS, "" },
	{ "exactly", "hello", "rate", "", LIMIT("hello.rate", "exactly: 5"), "5,5,5,5,5,5",
	  VERDICT_PASS, "" },
	{ "exactly, and is not", "hello", "rate", "", LIMIT("hello.rate", "exactly: 5"),
	  "6,6,6,6,6,6", VERDICT_FAIL, "" },
	/* by every sample */
	{ "every one holds", "disk_health", "temperature", "disk0",
	  LIMIT("disk_health.temperature", "at_most: 70 C"), "60,65,70", VERDICT_PASS, "" },
	{ "one of them does not", "disk_health", "temperature", "disk0",
	  LIMIT("disk_health.temperature", "at_most: 70 C"), "60,65,71", VERDICT_FAIL,
	  "1 of 3 samples break it" },
	{ "share of spares", "disk_health", "spare", "disk0",
	  LIMIT("disk_health.spare", "at_least: 90%"), "90", VERDICT_PASS, "" },
	{ "too few spares", "disk_health", "spare", "disk0",
	  LIMIT("disk_health.spare", "at_least: 90%"), "89.9", VERDICT_FAIL, "" },
	/* any but zero is a fault */
	{ "no error", "disk_seq", "errors", "disk0", "", "0", VERDICT_PASS, "" },
	{ "one error", "disk_seq", "errors", "disk0", "", "1", VERDICT_FAIL, "" },
	{ "one error of two samples", "disk_seq", "errors", "disk0", "", "0,1", VERDICT_FAIL,
	  "1 of 2 samples break it" },
	{ "less than none", "disk_seq", "errors", "disk0", "", "-1", VERDICT_FAIL, "" },
	{ "a program's zero", "hello", "wrong", "", "", "1e-300", VERDICT_FAIL, "" },
	/* a limit that is built in, unless the spec gives one */
	{ "a clock within a second", "preflight", "clock_offset", "", "", "1", VERDICT_PASS, "" },
	{ "a clock that is off", "preflight", "clock_offset", "", "", "1.001", VERDICT_FAIL, "" },
	{ "a stricter spec", "preflight", "clock_offset", "",
	  LIMIT("preflight.clock_offset", "at_most: 10 ms"), "0.02", VERDICT_FAIL, "" },
	{ "a more patient spec", "preflight", "clock_offset", "",
	  LIMIT("preflight.clock_offset", "at_most: 2 s"), "1.5", VERDICT_PASS, "" },
	/* by the share of windows */
	{ "all windows in band", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s"), TEN("2100", "2200"), VERDICT_PASS,
	  "10 of 10 windows in band" },
	{ "one window below", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s"), "1999,2100,2100,2100,2100,2100",
	  VERDICT_FAIL, "5 of 6 windows in band" },
	{ "one of twenty may be", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s, share: 95%, worst: 90%"),
	  TEN("2100", "2100") ",1850," TEN("2100", "2100") ",2100,2100", VERDICT_PASS, "22 of 23" },
	{ "that one is too bad", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s, share: 95%, worst: 90%"),
	  TEN("2100", "2100") ",1799," TEN("2100", "2100"), VERDICT_FAIL, "worst 1799" },
	{ "the share is exactly reached", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s, share: 70%, worst: 50%"),
	  "2100,2100,2100,2100,2100,2100,2100,1500,1500,1500", VERDICT_PASS, "7 of 10" },
	{ "57 of 60 are 95%", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s, share: 95%, worst: 50%"),
	  TWENTY("2100", "2100") "," TWENTY("2100", "2100") "," TEN(
		  "2100", "2100") ",2100,2100,2100,2100,2100,2100,2100,1500,1500,1500",
	  VERDICT_PASS, "57 of 60" },
	{ "half of the windows", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s, share: 95%, worst: 10%"),
	  TEN("2100", "1999"), VERDICT_FAIL, "5 of 10" },
	{ "few windows", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s"), "2100,2100,2100,2100,2100",
	  VERDICT_INCONCLUSIVE, "5 windows are too few" },
	{ "windows above the ceiling", "cpu_burn", "flops", "avx2",
	  LIMIT("cpu_burn.flops", "at_least: 2000 GFLOP/s"), TEN("4000", "4000"),
	  VERDICT_NOT_MEASURED, "more than physics allows" },
	{ "more than a hundred percent", "cpu_burn", "efficiency", "avx2",
	  LIMIT("cpu_burn.efficiency", "at_least: 80%"), TEN("120", "120"), VERDICT_NOT_MEASURED,
	  "a share of what is possible" },
};

static const char *step_of(const char *check)
{
	static const char *const steps[][2] = {
		{ "disk_seq", "p/disk_seq/n1/disk0" },
		{ "disk_latency", "p/disk_latency/n1/disk0" },
		{ "disk_health", "p/disk_health/n1/disk0" },
		{ "cpu_burn", "p/cpu_burn/n1" },
		{ "preflight", "p/preflight/n1" },
		{ "hello", "p/hello/n1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (!strcmp(steps[i][0], check))
			return steps[i][1];
	fail_msg("no step of %s", check);
	return NULL;
}

static void figures_meet_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		struct fixture x = make(figures[i].limit, "n1", figures[i].check);
		const struct finding *f;
		char *subject =
			xasprintf("n1%s%s", *figures[i].subject ? "/" : "", figures[i].subject);

		print_message("  %s\n", figures[i].name);
		add_samples(&x, step_of(figures[i].check), figures[i].metric, figures[i].subject,
			    figures[i].samples);
		add_end(&x, step_of(figures[i].check), "done", 1);
		run_judge(&x);
		f = finding(&x, figures[i].metric, subject);
		if (f->verdict != figures[i].verdict || !strstr(f->why, figures[i].why))
			fail_msg("%s: %s", verdict_name(f->verdict), f->why);
		assert_true(f->samples > 0);
		free(subject);
		drop(&x);
	}
}

static void a_limit_that_is_built_in_is_told(void **state)
{
	struct fixture x = make("", "n1", "preflight");
	struct complaints c;
	const struct finding *f;

	(void)state;
	add_samples(&x, "p/preflight/n1", "clock_offset", "", "0");
	add_end(&x, "p/preflight/n1", "done", 1);
	run_judge(&x);
	f = finding(&x, "clock_offset", "n1");
	assert_int_equal(f->op, AT_MOST);
	assert_true(f->limit == 1);
	assert_string_equal(f->limit_text, "1 s");
	assert_non_null(strstr(f->source, "clocks within a second (built in)"));
	complaints_init(&c);
	spec_lint_profile(x.spec, x.profile, &c);
	assert_string_equal(c.text.data, ""); /* nobody is asked for a limit of it */
	complaints_release(&c);
	drop(&x);
}

/* Figures of pairs are no part's: a general limit is what they need. */
static void pairs_need_general_limits(void **state)
{
	struct fixture x = make(LIMIT("net_pair.rate", "at_least: 1 GB/s"), "n[1-2]", "net_pair");
	struct complaints c;

	(void)state;
	complaints_init(&c);
	spec_lint_profile(x.spec, x.profile, &c);
	assert_non_null(strstr(c.text.data, "no limit for net_pair.rate_both"));
	assert_non_null(strstr(c.text.data, "no limit for net_pair.round_trip"));
	assert_null(strstr(c.text.data, "net_pair.rate:"));
	assert_null(strstr(c.text.data, "net_pair.wrong_bytes"));
	complaints_release(&c);
	drop(&x);
}

/* Behind a node stands a part of it after a slash, or at once the arrow to another node. */
static void subjects_of_pairs_have_no_slash(void **state)
{
	static const char *const subjects[][2] = {
		{ ">n2", "n1>n2" },      { "<n2", "n1<n2" }, { "nic3>n2/nic3", "n1/nic3>n2/nic3" },
		{ "disk0", "n1/disk0" }, { "", "n1" },
	};
	struct fixture x =
		make(LIMIT("hello.rate", "at_least: 5") "waivers: [{check: hello, metric: "
							"rate, subject: 'n1>*', reason: r, by: "
							"Ann}]\n",
		     "n[1-2]", "hello");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		add_samples(&x, "p/hello/n1", "rate", subjects[i][0], "4,4,4,4,4,4");
	add_end(&x, "p/hello/n1", "done", ARRAY_SIZE(subjects));
	run_judge(&x);
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		assert_int_equal(finding(&x, "rate", subjects[i][1])->verdict,
				 i ? VERDICT_FAIL : VERDICT_WAIVED);
	drop(&x);
}

/* The samples are good; the step's end decides. */
static const struct {
	const char *word;
	int lines;
	const char *why;
} holes[] = {
	{ NULL, 0, "the step was started and has no end" },
	{ "skip", 1, "it cannot run here: because" },
	{ "error", 1, "it could not measure: because" },
	{ "timeout", 1, "it was killed: because" },
	{ "crash", 1, "it died: because" },
	{ "stuck", 1, "it cannot be killed: because" },
	{ "lost", 1, "its result is lost: because" },
	{ "done", 2, "its result is lost: its end counts 2 lines, the journal holds 1 good ones" },
};

static void a_step_that_is_not_whole_has_no_figures(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(holes); i++) {
		struct fixture x = make(LIMIT("hello.rate", "at_least: 5"), "n1", "hello");

		add(&x, "{\"e\":\"start\",\"step\":\"p/hello/n1\"}");
		add_samples(&x, "p/hello/n1", "rate", "", "6,6,6,6,6,6");
		if (holes[i].word)
			add_end(&x, "p/hello/n1", holes[i].word, holes[i].lines);
		run_judge(&x);
		assert_int_equal(x.out->count, 2);
		assert_int_equal(x.out->of[VERDICT_NOT_MEASURED], 2);
		assert_string_equal(finding(&x, "rate", "n1")->why, holes[i].why);
		assert_string_equal(finding(&x, "wrong", "n1")->why, holes[i].why);
		assert_int_equal(finding(&x, "rate", "n1")->samples, 0);
		assert_string_equal(x.out->verdict, "incomplete");
		assert_int_equal(judgement_exit(x.out), 3);
		drop(&x);
	}
}

static void what_is_missing_has_a_name(void **state)
{
	struct fixture x = make(LIMIT("hello.rate", "at_least: 5"), "n[1-2]", "hello, disk_seq");

	(void)state;
	add_samples(&x, "p/hello/n1", "rate", "", "6,6,6,6,6,6");
	add_end(&x, "p/hello/n1", "done", 1);
	run_judge(&x);
	assert_int_equal(finding(&x, "rate", "n1")->verdict, VERDICT_PASS);
	assert_string_equal(finding(&x, "wrong", "n1")->why, "the step ended without this figure");
	assert_string_equal(finding(&x, "rate", "n2")->why, "the step was not run");
	assert_string_equal(finding(&x, "read", "n2/disk1")->why, "the step was not run");
	assert_int_equal(x.out->count, 2 * 2 + 2 * 2 * 3);
	assert_string_equal(x.out->verdict, "incomplete");
	drop(&x);
}

static void absent_is_not_a_hole(void **state)
{
	struct fixture x = make("", "n1", "hello");

	(void)state;
	add(&x, "{\"e\":\"data\",\"step\":\"p/hello/n1\",\"m\":\"rate\",\"s\":\"\",\"na\":\"one "
		"GPU\"}");
	add(&x, "{\"e\":\"data\",\"step\":\"p/hello/"
		"n1\",\"m\":\"wrong\",\"s\":\"gpu1\",\"hole\":\"busy\"}");
	add_end(&x, "p/hello/n1", "done", 2);
	run_judge(&x);
	assert_int_equal(x.out->count, 2);
	assert_int_equal(finding(&x, "rate", "n1")->verdict, VERDICT_NOT_APPLICABLE);
	assert_string_equal(finding(&x, "rate", "n1")->why, "one GPU");
	assert_int_equal(finding(&x, "wrong", "n1/gpu1")->verdict, VERDICT_NOT_MEASURED);
	assert_string_equal(finding(&x, "wrong", "n1/gpu1")->why, "busy");
	drop(&x);
}

static void recorded_figures_do_not_count(void **state)
{
	struct fixture x = make("", "n1", "disk_seq");

	(void)state;
	add_samples(&x, "p/disk_seq/n1/disk0", "cpu_per_io", "disk0", "7,8");
	add_end(&x, "p/disk_seq/n1/disk0", "done", 1);
	run_judge(&x);
	assert_true(finding(&x, "cpu_per_io", "n1/disk0")->recorded);
	assert_int_equal(finding(&x, "cpu_per_io", "n1/disk0")->verdict, VERDICT_NOT_APPLICABLE);
	assert_int_equal(x.out->of[VERDICT_NOT_APPLICABLE], 0);
	assert_int_equal(x.out->of[VERDICT_NOT_MEASURED], 6);
	assert_int_equal(x.out->count, 7);
	drop(&x);
}

/* slow is disk0, fast is disk1; part fast brings its own limit of 6 GB/s. */
static const struct {
	const char *name, *limits;
	double disk0, disk1;
} particular[] = {
	{ "the part's own wins", "disk_seq.read: {at_least: 3 GB/s, source: s, origin: measured}",
	  3, 6 },
	{ "even when it is weaker",
	  "disk_seq.read: {at_least: 7 GB/s, source: s, origin: measured}", 7, 6 },
	{ "subject beats all",
	  "disk_seq.read: {at_least: 3 GB/s, source: s, origin: measured},"
	  "'disk_seq.read[disk0]': {at_least: 2 GB/s, source: s, origin: measured}",
	  2, 6 },
	{ "part beats subject",
	  "'disk_seq.read[*]': {at_least: 2 GB/s, source: s, origin: measured}", 2, 6 },
	{ "the stricter of two alike",
	  "'disk_seq.read[disk*]': {at_least: 2 GB/s, source: s, origin: measured},"
	  "'disk_seq.read[*0]': {at_least: 4 GB/s, source: s, origin: measured}",
	  4, 6 },
};

static void the_more_particular_limit_wins(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(particular); i++) {
		char *limits = xasprintf("limits: {%s}\n", particular[i].limits);
		struct fixture x = make(limits, "n1", "disk_seq");
		const struct finding *f;

		print_message("  %s\n", particular[i].name);
		for (int d = 0; d < 2; d++) {
			char *step = xasprintf("p/disk_seq/n1/disk%d", d);

			add_samples(&x, step, "read", d ? "disk1" : "disk0", "5,5,5,5,5,5");
			add_end(&x, step, "done", 1);
			free(step);
		}
		run_judge(&x);
		f = finding(&x, "read", "n1/disk0");
		assert_true(f->limit == particular[i].disk0);
		assert_int_equal(f->verdict, 5 >= f->limit ? VERDICT_PASS : VERDICT_FAIL);
		f = finding(&x, "read", "n1/disk1");
		assert_true(f->limit == particular[i].disk1);
		assert_int_equal(f->verdict, VERDICT_FAIL);
		assert_string_equal(f->source, "s (datasheet)");
		assert_string_equal(f->limit_text, "6 GB/s");
		assert_string_equal(f->at.file, "s.yaml");
		assert_int_equal(f->at.line, 8);
		drop(&x);
		free(limits);
	}
}

static void repeats_add_samples(void **state)
{
	struct fixture x = make(LIMIT("hello.rate", "at_least: 5"), "n1", "hello");
	const char **bases, *one = "p/hello/n1";
	int count;

	(void)state;
	add_samples(&x, one, "rate", "", "6,6,6,6,4.9");
	add_samples(&x, one, "wrong", "", "0");
	add_end(&x, one, "done", 2);
	run_judge(&x);
	assert_int_equal(finding(&x, "rate", "n1")->verdict, VERDICT_INCONCLUSIVE);
	assert_string_equal(x.out->verdict, "incomplete");
	bases = judge_undecided(x.out, x.plan, &count);
	assert_int_equal(count, 1);
	assert_string_equal(bases[0], one);
	assert_int_equal(plan_extend(x.plan, bases, count, 2), 1);
	free(bases);

	run_judge(&x); /* planned and not run: what is there already stays */
	assert_int_equal(finding(&x, "rate", "n1")->samples, 5);
	add_samples(&x, "p/hello#2/n1", "rate", "", "6,6,6,6,6");
	add_end(&x, "p/hello#2/n1", "done", 1);
	run_judge(&x);
	assert_int_equal(finding(&x, "rate", "n1")->samples, 10);
	assert_int_equal(finding(&x, "rate", "n1")->verdict, VERDICT_PASS);
	assert_string_equal(x.out->verdict, "accepted");
	assert_int_equal(judgement_exit(x.out), 0);
	free(judge_undecided(x.out, x.plan, &count));
	assert_int_equal(count, 0);
	drop(&x);
}

static void strangers_are_ignored(void **state)
{
	struct fixture x = make(LIMIT("hello.rate", "at_least: 5"), "n1", "hello");

	(void)state;
	add_samples(&x, "p/hello/n9", "rate", "", "1,1,1,1,1,1");
	add_end(&x, "p/hello/n9", "done", 1);
	add_samples(&x, "p/hello/n1", "colour", "", "1");
	add_end(&x, "p/hello/n1", "done", 1);
	run_judge(&x);
	assert_int_equal(x.out->count, 2);
	assert_int_equal(x.out->of[VERDICT_NOT_MEASURED], 2);
	drop(&x);
}

/* More figures than any built-in check has. */
static void programs_may_have_many_figures(void **state)
{
	enum { MANY = 200 };
	struct text t;
	struct fixture x;

	(void)state;
	text_init(&t);
	text_add(&t, "assay: spec/1\nname: m\nnodes: {n: {}}\nprograms:\n"
		     "  many:\n    argv: [x]\n    timeout: 1s\n    figures:\n");
	for (int i = 0; i < MANY; i++)
		text_addf(&t, "      f%d: {better: zero, json: a.%d}\n", i, i);
	x = make(t.data, "n1", "many");
	for (int i = 0; i < MANY; i += 2) {
		char *metric = xasprintf("f%d", i);

		add_samples(&x, "p/many/n1", metric, "", "0");
		free(metric);
	}
	add_end(&x, "p/many/n1", "done", MANY / 2);
	run_judge(&x);
	assert_int_equal(x.out->count, MANY);
	assert_int_equal(x.out->of[VERDICT_PASS], MANY / 2);
	assert_int_equal(x.out->of[VERDICT_NOT_MEASURED], MANY / 2);
	text_release(&t);
	drop(&x);
}

/* ---- waivers and the overall verdict ---- */

static const struct {
	const char *name, *waiver, *rate, *wrong;
	enum verdict rate_verdict, wrong_verdict;
	const char *overall;
	int code;
} overall[] = {
	{ "all pass", NULL, "6,6,6,6,6,6", "0", VERDICT_PASS, VERDICT_PASS, "accepted", 0 },
	{ "one fails", NULL, "4,4,4,4,4,4", "0", VERDICT_FAIL, VERDICT_PASS, "rejected", 1 },
	{ "fault beats hole", NULL, NULL, "1", VERDICT_NOT_MEASURED, VERDICT_FAIL, "rejected", 1 },
	{ "a hole", NULL, NULL, "0", VERDICT_NOT_MEASURED, VERDICT_PASS, "incomplete", 3 },
	{ "undecided", NULL, "6,6", "0", VERDICT_INCONCLUSIVE, VERDICT_PASS, "incomplete", 3 },
	{ "nothing came", NULL, NULL, NULL, VERDICT_NOT_MEASURED, VERDICT_NOT_MEASURED,
	  "incomplete", 3 },
	{ "waived fault", "{check: hello, metric: rate, reason: old fan, by: Ann}", "4,4,4,4,4,4",
	  "0", VERDICT_WAIVED, VERDICT_PASS, "accepted", 0 },
	{ "waived hole", "{check: hello, metric: rate, reason: old fan, by: Ann}", NULL, "0",
	  VERDICT_WAIVED, VERDICT_PASS, "accepted", 0 },
	{ "waived by patterns", "{check: 'h*', metric: '*', subject: 'n?', reason: r, by: Ann}",
	  "4,4,4,4,4,4", "0", VERDICT_WAIVED, VERDICT_PASS, "accepted", 0 },
	{ "another subject", "{check: hello, metric: rate, subject: n2, reason: r, by: Ann}",
	  "4,4,4,4,4,4", "0", VERDICT_FAIL, VERDICT_PASS, "rejected", 1 },
	{ "another metric", "{check: hello, metric: wrong, reason: r, by: Ann}", "4,4,4,4,4,4", "0",
	  VERDICT_FAIL, VERDICT_PASS, "rejected", 1 },
	{ "everything waived is not accepted", "{check: '*', metric: '*', reason: r, by: Ann}",
	  NULL, NULL, VERDICT_WAIVED, VERDICT_WAIVED, "incomplete", 3 },
};

/* Returns how many lines that is: samples may be NULL. */
static int add_one(struct fixture *x, const char *metric, const char *samples)
{
	if (samples)
		add_samples(x, "p/hello/n1", metric, "", samples);
	return samples != NULL;
}

static void verdicts_add_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(overall); i++) {
		char *more = xasprintf(LIMIT("hello.rate", "at_least: 5") "%s%s%s",
				       overall[i].waiver ? "waivers: [" : "",
				       overall[i].waiver ? overall[i].waiver : "",
				       overall[i].waiver ? "]\n" : "");
		struct fixture x = make(more, "n1", "hello");
		int lines = 0;

		print_message("  %s\n", overall[i].name);
		lines += add_one(&x, "rate", overall[i].rate);
		lines += add_one(&x, "wrong", overall[i].wrong);
		add_end(&x, "p/hello/n1", "done", lines);
		run_judge(&x);
		assert_int_equal(finding(&x, "rate", "n1")->verdict, overall[i].rate_verdict);
		assert_int_equal(finding(&x, "wrong", "n1")->verdict, overall[i].wrong_verdict);
		assert_string_equal(x.out->verdict, overall[i].overall);
		assert_int_equal(judgement_exit(x.out), overall[i].code);
		if (overall[i].rate_verdict == VERDICT_WAIVED)
			assert_non_null(strstr(finding(&x, "rate", "n1")->why, "waived by Ann: "));
		drop(&x);
		free(more);
	}
}

/* A run of a check that promises nothing, under a spec that expects nothing. */
static void zero_findings_are_never_accepted(void **state)
{
	struct fixture x =
		make("assay: spec/1\nname: e\nnodes: {n: {}}\n", "n1", "inventory, settings");

	(void)state;
	add_end(&x, "p/inventory/n1", "done", 0);
	add_end(&x, "p/settings/n1", "done", 0);
	run_judge(&x);
	assert_int_equal(x.out->count, 0);
	assert_string_equal(x.out->verdict, "incomplete");
	assert_int_equal(judgement_exit(x.out), 3);
	drop(&x);
}

static void not_applicable_alone_is_not_accepted(void **state)
{
	struct fixture x = make("", "n1", "hello");

	(void)state;
	add(&x, "{\"e\":\"data\",\"step\":\"p/hello/n1\",\"m\":\"rate\",\"s\":\"\",\"na\":\"x\"}");
	add(&x, "{\"e\":\"data\",\"step\":\"p/hello/n1\",\"m\":\"wrong\",\"s\":\"\",\"na\":\"x\"}");
	add_end(&x, "p/hello/n1", "done", 2);
	run_judge(&x);
	assert_int_equal(x.out->of[VERDICT_NOT_APPLICABLE], 2);
	assert_string_equal(x.out->verdict, "incomplete");
	drop(&x);
}

/* ---- inventory ---- */

static const char inventory_spec[] =
	"assay: spec/1\n"
	"name: i\n"
	"parts:\n"
	"  dimm: {kind: dimm, source: order 7, facts: {size: 64 GiB, type: DDR5, speed: '>= 4800 "
	"MT/s'}}\n"
	"  boot: {kind: disk, source: order 7, facts: {model: 'BOOT*', size: 1 TB}}\n"
	"  data: {kind: disk, source: order 7, facts: {model: 'DATA*', size: 4 TB}}\n"
	"nodes:\n"
	"  n:\n"
	"    facts: {sockets: '2', os: 'Debian*'}\n"
	"    dimms: [{part: dimm, count: 3}]\n"
	"    disks: [{part: boot, count: 1}, {part: data, count: 2}]\n";

static const char inventory_step[] = "p/inventory/n1";

static int add_fact(struct fixture *x, const char *part, const char *key, const char *value)
{
	add(x, "{\"e\":\"fact\",\"step\":\"%s\",\"part\":\"%s\",\"k\":\"%s\",\"v\":\"%s\"}",
	    inventory_step, part, key, value);
	return 1;
}

static int add_dimm(struct fixture *x, int n, const char *size, const char *serial)
{
	char *part = xasprintf("dimm%d", n), *slot = xasprintf("A%d", n);
	int lines = add_fact(x, part, "slot", slot) + add_fact(x, part, "size", size) +
		    add_fact(x, part, "type", "DDR5") + add_fact(x, part, "speed", "5600 MT/s") +
		    add_fact(x, part, "serial", serial);

	free(part);
	free(slot);
	return lines;
}

static int add_disk(struct fixture *x, int n, const char *model, const char *size)
{
	char *part = xasprintf("disk%d", n);
	int lines = add_fact(x, part, "model", model) + add_fact(x, part, "size", size);

	free(part);
	return lines;
}

static int add_node(struct fixture *x)
{
	return add_fact(x, "", "sockets", "2") + add_fact(x, "", "os", "Debian 12");
}

static void a_machine_as_bought_passes(void **state)
{
	struct fixture x = make(inventory_spec, "n1", "inventory");
	int lines = add_node(&x);

	(void)state;
	/* found in another order than the spec lists */
	lines += add_disk(&x, 2, "BOOT 1", "1000 GB") + add_disk(&x, 0, "DATA x", "4 TB") +
		 add_disk(&x, 1, "DATA y", "4 TB");
	for (int i = 2; i >= 0; i--)
		lines += add_dimm(&x, i, "65536 MiB", "S");
	add_end(&x, inventory_step, "done", lines);
	run_judge(&x);
	assert_int_equal(x.out->count, 2 + 1 + 3 * 3 + 1 + 3 * 2);
	assert_int_equal(x.out->of[VERDICT_PASS], x.out->count);
	assert_string_equal(finding(&x, "size", "n1/disk2")->limit_text, "1 TB");
	assert_string_equal(finding(&x, "size", "n1/disk2")->source, "order 7");
	assert_string_equal(x.out->verdict, "accepted");
	drop(&x);
}

static void one_wrong_module_is_named(void **state)
{
	struct fixture x = make(inventory_spec, "n1", "inventory");
	const struct finding *f;
	int lines = add_node(&x);

	(void)state;
	lines += add_dimm(&x, 0, "32 GiB", "S100") + add_dimm(&x, 1, "64 GiB", "S101") +
		 add_dimm(&x, 2, "64 GiB", "S102");
	lines += add_disk(&x, 0, "BOOT", "1 TB") + add_disk(&x, 1, "DATA", "4 TB") +
		 add_disk(&x, 2, "DATA", "4 TB");
	add_end(&x, inventory_step, "done", lines);
	run_judge(&x);
	assert_int_equal(x.out->of[VERDICT_FAIL], 1);
	f = finding(&x, "size", "n1/dimm0");
	assert_int_equal(f->verdict, VERDICT_FAIL);
	assert_string_equal(f->found, "32 GiB");
	assert_string_equal(f->why, "found 32 GiB, expected 64 GiB; slot A0, serial S100");
	assert_int_equal(finding(&x, "dimms", "n1")->verdict, VERDICT_PASS);
	assert_int_equal(f->at.line, 4);
	drop(&x);
}

static void one_missing_disk_is_named(void **state)
{
	struct fixture x = make(inventory_spec, "n1", "inventory");
	const struct finding *f;
	int lines = add_node(&x);

	(void)state;
	for (int i = 0; i < 3; i++)
		lines += add_dimm(&x, i, "64 GiB", "S");
	/* the boot disk is gone; the data disks stand where it was */
	lines += add_disk(&x, 0, "DATA", "4 TB") + add_disk(&x, 1, "DATA", "4 TB");
	add_end(&x, inventory_step, "done", lines);
	run_judge(&x);
	assert_int_equal(x.out->of[VERDICT_FAIL], 1);
	f = finding(&x, "disks", "n1");
	assert_int_equal(f->verdict, VERDICT_FAIL);
	assert_true(f->value == 2 && f->limit == 3);
	assert_string_equal(f->why, "1 of 1 boot missing");
	assert_string_equal(x.out->verdict, "rejected");
	drop(&x);
}

static void kinds_that_cannot_be_listed_are_holes(void **state)
{
	struct fixture x = make(inventory_spec, "n1", "inventory");
	int lines = add_node(&x) + 1;

	(void)state;
	add(&x,
	    "{\"e\":\"fact\",\"step\":\"%s\",\"part\":\"dimm\",\"k\":\"\",\"hole\":\"needs root\"}",
	    inventory_step);
	lines += add_disk(&x, 0, "BOOT", "1 TB") + add_disk(&x, 1, "DATA", "4 TB");
	lines += add_fact(&x, "disk2", "model", "DATA");
	add(&x,
	    "{\"e\":\"fact\",\"step\":\"%s\",\"part\":\"disk2\",\"k\":\"size\",\"hole\":\"no "
	    "medium\"}",
	    inventory_step);
	add_end(&x, inventory_step, "done", lines + 1);
	run_judge(&x);
	assert_int_equal(finding(&x, "dimms", "n1")->verdict, VERDICT_NOT_MEASURED);
	assert_string_equal(finding(&x, "dimms", "n1")->why, "needs root");
	assert_int_equal(finding(&x, "disks", "n1")->verdict, VERDICT_PASS);
	assert_int_equal(finding(&x, "size", "n1/disk2")->verdict, VERDICT_NOT_MEASURED);
	assert_string_equal(finding(&x, "size", "n1/disk2")->why, "no medium");
	assert_int_equal(x.out->of[VERDICT_FAIL], 0);
	drop(&x);
}

/* Half an inventory proves neither what is there nor what is missing. */
static void half_an_inventory_proves_nothing(void **state)
{
	static const char *const words[] = { "timeout", "crash", "error", "done" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct fixture x = make(inventory_spec, "n1", "inventory");
		int lines = add_node(&x) + add_dimm(&x, 0, "64 GiB", "S");

		print_message("  %s\n", words[i]);
		add_end(&x, inventory_step, words[i], lines + 1);
		run_judge(&x);
		assert_int_equal(x.out->of[VERDICT_FAIL], 0);
		assert_int_equal(x.out->of[VERDICT_PASS], 0);
		assert_int_equal(finding(&x, "dimms", "n1")->verdict, VERDICT_NOT_MEASURED);
		assert_int_equal(finding(&x, "sockets", "n1")->verdict, VERDICT_NOT_MEASURED);
		assert_string_equal(x.out->verdict, "incomplete");
		drop(&x);
	}
}

static void no_inventory_is_a_hole_in_every_kind(void **state)
{
	struct fixture x = make(inventory_spec, "n1", "inventory");

	(void)state;
	run_judge(&x);
	assert_int_equal(x.out->count, 2 + 1 + 1);
	assert_int_equal(x.out->of[VERDICT_NOT_MEASURED], 4);
	assert_string_equal(finding(&x, "disks", "n1")->why, "the step was not run");
	drop(&x);
}

/* ---- settings ---- */

static const char settings_spec[] =
	"assay: spec/1\n"
	"name: s\n"
	"nodes: {n: {}}\n"
	"settings:\n"
	"  - {kind: sysctl, name: vm.swappiness, is: '1', source: guide 4}\n"
	"  - {kind: governor, is: performance, source: guide 5}\n"
	"  - {kind: module_version, name: mlx5_core, is: '24.*', source: g, fix: call the vendor}\n"
	"  - {kind: mount_free, name: /scratch, is: '>= 1 TB', source: g}\n"
	"  - {kind: driver, name: nouveau, is: absent, source: g}\n";

static void settings_carry_their_command(void **state)
{
	static const char step[] = "p/settings/n1";
	static const struct {
		const char *key, *value, *hole;
	} found[] = {
		{ "sysctl vm.swappiness", "60", NULL },
		{ "governor", NULL, "needs root" },
		{ "module_version mlx5_core", "5.8", NULL },
		{ "mount_free /scratch", "500 GB", NULL },
		{ "driver nouveau", "absent", NULL },
	};
	struct fixture x = make(settings_spec, "n1", "settings");
	const struct finding *f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(found); i++)
		add(&x, "{\"e\":\"fact\",\"step\":\"%s\",\"part\":\"\",\"k\":\"%s\",\"%s\":\"%s\"}",
		    step, found[i].key, found[i].hole ? "hole" : "v",
		    found[i].hole ? found[i].hole : found[i].value);
	add_end(&x, step, "done", (int)ARRAY_SIZE(found));
	run_judge(&x);
	assert_int_equal(x.out->count, 5);
	f = finding(&x, "sysctl", "n1/vm.swappiness");
	assert_int_equal(f->verdict, VERDICT_FAIL);
	assert_string_equal(f->found, "60");
	assert_string_equal(f->why, "found 60, expected 1");
	assert_string_equal(f->next,
			    "sysctl -w vm.swappiness='1', and that line in /etc/sysctl.d/");
	assert_string_equal(f->source, "guide 4");
	assert_int_equal(f->at.line, 5);
	f = finding(&x, "governor", "n1");
	assert_int_equal(f->verdict, VERDICT_NOT_MEASURED);
	assert_string_equal(f->why, "needs root");
	f = finding(&x, "module_version", "n1/mlx5_core");
	assert_int_equal(f->verdict, VERDICT_FAIL);
	assert_string_equal(f->next, "call the vendor");
	f = finding(&x, "mount_free", "n1//scratch");
	assert_int_equal(f->verdict, VERDICT_FAIL);
	assert_string_equal(f->next, "remove files below /scratch until 1 TB are free");
	f = finding(&x, "driver", "n1/nouveau");
	assert_int_equal(f->verdict, VERDICT_PASS);
	assert_string_equal(f->next, "");
	drop(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_meet_limits),
		cmocka_unit_test(a_limit_that_is_built_in_is_told),
		cmocka_unit_test(pairs_need_general_limits),
		cmocka_unit_test(subjects_of_pairs_have_no_slash),
		cmocka_unit_test(a_step_that_is_not_whole_has_no_figures),
		cmocka_unit_test(what_is_missing_has_a_name),
		cmocka_unit_test(absent_is_not_a_hole),
		cmocka_unit_test(recorded_figures_do_not_count),
		cmocka_unit_test(the_more_particular_limit_wins),
		cmocka_unit_test(repeats_add_samples),
		cmocka_unit_test(strangers_are_ignored),
		cmocka_unit_test(programs_may_have_many_figures),
		cmocka_unit_test(verdicts_add_up),
		cmocka_unit_test(zero_findings_are_never_accepted),
		cmocka_unit_test(not_applicable_alone_is_not_accepted),
		cmocka_unit_test(a_machine_as_bought_passes),
		cmocka_unit_test(one_wrong_module_is_named),
		cmocka_unit_test(one_missing_disk_is_named),
		cmocka_unit_test(kinds_that_cannot_be_listed_are_holes),
		cmocka_unit_test(half_an_inventory_proves_nothing),
		cmocka_unit_test(no_inventory_is_a_hole_in_every_kind),
		cmocka_unit_test(settings_carry_their_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
