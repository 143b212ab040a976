/*
 * test_judge_watch.c - what telemetry saw, as findings: each class of marks, where and when they
 * belong, and every way in which a node was not watched.
 */
#include "harness/judge.h"
#include "harness/marks.h"
#include "harness/nodes.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Step p ran from second 1000 to 1100, q from 1200 to 1300. */
static const char spec_text[] = "assay: spec/1\nname: t\nnodes: {n: {}}\nprograms:\n"
				"  p:\n    argv: [echo]\n    timeout: 7s\n"
				"    figures: {xids: {better: zero, json: a}}\n"
				"  q:\n    argv: [echo]\n    timeout: 7s\n"
				"    figures: {hot_share: {better: zero, json: a}}\n";
static const char profile_text[] =
	"assay: profile/1\nname: t\nphases: [{name: f, checks: {p: {}, q: {}}}]\n";

#define WATCH(word, t) "{\"e\":\"watch\",\"at\":\"n1\",\"word\":\"" word "\",\"t\":" t "}\n"
#define SINCE(word, since, t)                                                                      \
	"{\"e\":\"watch\",\"at\":\"n1\",\"word\":\"" word "\",\"since\":" since ",\"t\":" t "}\n"
#define TOLD WATCH("told", "999")
#define MARK(t, part, what, text)                                                                  \
	"{\"e\":\"mark\",\"t\":" t ",\"part\":\"" part "\",\"what\":\"" what "\",\"text\":\"" text \
	"\",\"at\":\"n1\",\"n\":7}\n"
#define STEP(check, metric, value, t)                                                              \
	"{\"e\":\"start\",\"at\":\"n1\",\"step\":\"f/" check "/n1\",\"t\":" t "}\n"                \
	"{\"e\":\"data\",\"step\":\"f/" check "/n1\",\"m\":\"" metric "\",\"v\":{\"gpu3\":[" value \
	"]}}\n"                                                                                    \
	"{\"e\":\"end\",\"step\":\"f/" check                                                       \
	"/n1\",\"word\":\"done\",\"why\":\"\",\"seconds\":100,\"lines\":1}\n"
#define STEPS STEP("p", "xids", "0", "1000") STEP("q", "hot_share", "0", "1200")
#define XID79 MARK("1050", "gpu3", "xid", "XID 79: NVRM: fallen off the bus")
#define CALM "faults n1 pass 0 f/p/n1: \n"
#define SEEN "watch n1 pass 0 f/p/n1: \n"

static const struct {
	const char *name, *journal, *want;
} cases[] = {
	{ "never told", STEPS XID79, "" },
	{ "nothing happened", TOLD STEPS, CALM SEEN },
	{ "a fault in a step that does not count it", TOLD STEPS XID79,
	  "faults n1/gpu3 fail 1 f/p/n1: XID 79: NVRM: fallen off the bus, 00:17:30 UTC, while "
	  "f/p/n1 ran\n" SEEN },
	{ "a machine check between steps",
	  TOLD STEPS MARK(
		  "1150.5", "", "mce",
		  "mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 5: be00000000800400"),
	  "faults n1 fail 1 f/p/n1: mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 5: "
	  "be00000000800400, 00:19:10 UTC, between its steps\n" SEEN },
	{ "before the first step",
	  TOLD STEPS MARK("999.5", "nic1", "link_downs", "link_downs 0 to 1"),
	  "faults n1/nic1 fail 1 f/p/n1: link_downs 0 to 1, 00:16:39 UTC, between its "
	  "steps\n" SEEN },
	{ "several parts, and kinds of one",
	  TOLD STEPS MARK("1250", "disk0", "nvme", "nvme nvme0: I/O timeout")
		  MARK("1251", "disk0", "nvme", "nvme nvme0: resetting controller")
			  MARK("1249", "disk0", "live", "live 1 to 0")
				  MARK("1252", "nic0", "carrier", "carrier 1 to 1 in 2 changes"),
	  "faults n1/disk0 fail 3 f/q/n1: live 1 to 0, 00:20:49 UTC, while f/q/n1 ran; and 2 more: "
	  "nvme 2\n"
	  "faults n1/nic0 fail 1 f/q/n1: carrier 1 to 1 in 2 changes, 00:20:52 UTC, while f/q/n1 "
	  "ran\n" SEEN },
	{ "unknown kind", TOLD STEPS MARK("1050", "gpu0", "plasma", "plasma leaks"),
	  "faults n1/gpu0 fail 1 f/p/n1: plasma leaks, 00:17:30 UTC, while f/p/n1 ran (unknown "
	  "kind of "
	  "mark: plasma)\n" SEEN },
	{ "corrected errors are recorded",
	  TOLD STEPS MARK("1050", "dimm:A1", "edac_ce", "edac_ce 0 to 3")
		  MARK("1060", "dimm:A1", "edac_ce", "edac_ce 3 to 4"),
	  CALM "corrected n1/dimm:A1 not-applicable 2 f/p/n1: the first: edac_ce 0 to 3\n" SEEN },
	{ "what a healthy node does",
	  TOLD STEPS MARK("1050", "gpu0", "pcie_gts", "pcie_gts 32 to 2.5")
		  MARK("1051", "gpu0", "throttle", "throttle set: power limit")
			  MARK("1052", "nic0", "link", "mlx5: eth0: Link is Up")
				  MARK("1053", "", "missed", "2 seconds were not read"),
	  CALM SEEN },
	{ "doubt is not blame",
	  TOLD STEPS MARK("1050", "", "oom", "Out of memory: Killed process 7"),
	  "faults n1 inconclusive 1 f/p/n1: Out of memory: Killed process 7, 00:17:30 UTC, while "
	  "f/p/n1 "
	  "ran. memory was full: a load was cut short or slowed down; figures of that time are "
	  "doubtful\n" SEEN },
	{ "a fault goes before a doubt",
	  TOLD STEPS MARK("1050", "", "oom_kills", "oom_kills 0 to 1")
		  MARK("1060", "", "hwpoison_bytes", "hwpoison_bytes 0 to 4096"),
	  "faults n1 fail 2 f/p/n1: hwpoison_bytes 0 to 4096, 00:17:40 UTC, while f/p/n1 ran; and "
	  "1 more: "
	  "oom_kills 1\n" SEEN },
	/* what a step told already */
	{ "an XID that failed a step is not told twice",
	  TOLD STEP("p", "xids", "1", "1000") STEP("q", "hot_share", "0", "1200")
		  XID79 MARK("1050.2", "gpu3", "xids", "xids 0 to 1"),
	  CALM SEEN },
	{ "of another part it is",
	  TOLD STEP("p", "xids", "1", "1000") STEP("q", "hot_share", "0", "1200")
		  MARK("1050", "gpu4", "xid", "XID 79: NVRM: x"),
	  "faults n1/gpu4 fail 1 f/p/n1: XID 79: NVRM: x, 00:17:30 UTC, while f/p/n1 ran\n" SEEN },
	{ "at another time it is",
	  TOLD STEP("p", "xids", "1", "1000") STEP("q", "hot_share", "0", "1200")
		  MARK("1150", "gpu3", "xid", "XID 79: NVRM: x"),
	  "faults n1/gpu3 fail 1 f/p/n1: XID 79: NVRM: x, 00:19:10 UTC, between its steps\n" SEEN },
	{ "heat that a share judged",
	  TOLD STEPS MARK("1250", "gpu3", "throttle", "throttle set: heat (driver)"), CALM SEEN },
	{ "heat where nobody looked",
	  TOLD STEPS MARK("1050", "gpu3", "throttle", "throttle set: heat (driver)"),
	  "faults n1/gpu3 fail 1 f/p/n1: throttle set: heat (driver), 00:17:30 UTC, while f/p/n1 "
	  "ran\n" SEEN },
	/* what other marks decide */
	{ "a counter of XIDs of a process that ended",
	  TOLD STEPS MARK("1050", "gpu1", "xid", "XID 43: NVRM: x")
		  MARK("1051", "gpu1", "xids", "xids 0 to 1"),
	  CALM SEEN },
	{ "a counter of XIDs alone", TOLD STEPS MARK("1051", "gpu1", "xids", "xids 0 to 1"),
	  "faults n1/gpu1 fail 1 f/p/n1: xids 0 to 1, 00:17:31 UTC, while f/p/n1 ran\n" SEEN },
	{ "lines around a corrected machine check",
	  TOLD STEPS MARK("1050", "", "mce", "mce: [Hardware Error]: Machine check events logged")
		  MARK("1050", "", "mce", "[Hardware Error]: Corrected error, no action required."),
	  CALM "corrected n1 not-applicable 2 f/p/n1: the first: mce: [Hardware Error]: Machine "
	       "check events "
	       "logged\n" SEEN },
	{ "a machine check that says no more",
	  TOLD STEPS MARK("1050", "", "mce", "mce: [Hardware Error]: Machine check events logged"),
	  "faults n1 fail 1 f/p/n1: mce: [Hardware Error]: Machine check events logged, 00:17:30 "
	  "UTC, "
	  "while f/p/n1 ran\n" SEEN },
	{ "a part that went away",
	  TOLD STEPS MARK("1050", "disk1", "away", "read_bytes, live (2 series)"),
	  "faults n1/disk1 fail 1 f/p/n1: read_bytes, live (2 series), 00:17:30 UTC, while f/p/n1 "
	  "ran\n" SEEN },
	{ "a part that came back",
	  TOLD STEPS MARK("1050", "disk1", "away", "read_bytes, live (2 series)")
		  MARK("1060", "disk1", "back", "read_bytes, live (2 series)"),
	  CALM SEEN },
	{ "a sensor that went away",
	  TOLD STEPS MARK("1050", "disk1", "away", "temperature_c (1 series)"), CALM SEEN },
	{ "more series than are named",
	  TOLD STEPS MARK("1050", "disk1", "away", "temperature_c (3 series)"),
	  "faults n1/disk1 fail 1 f/p/n1: temperature_c (3 series), 00:17:30 UTC, while f/p/n1 "
	  "ran\n" SEEN },
	/* holes */
	{ "the kernel's log may not be read",
	  TOLD STEPS MARK("1000", "", "hole",
			  "the kernel's log is not watched: /dev/kmsg: Operation not permitted"),
	  CALM "watch n1/kmsg not-measured 0 f/p/n1: the kernel's log is not watched: /dev/kmsg: "
	       "Operation not permitted\n" },
	{ "a GPU that NVML does not list",
	  TOLD STEPS MARK("1000", "gpu2", "hole", "not watched: NVML does not list it"),
	  CALM "watch n1/gpu2 not-measured 0 f/p/n1: not watched: NVML does not list it\n" },
	{ "levels that may not be read",
	  TOLD STEPS MARK("1000", "", "hole", "sensors of the BMC are not watched: x") MARK(
		  "1000", "", "hole", "/sys/class/powercap/intel-rapl:0/energy_uj may not be read"),
	  CALM SEEN },
	{ "a source that stays silent",
	  TOLD STEPS MARK("1250", "", "silent", "GPUs (NVML): no answer for 5 s"),
	  CALM "watch n1 not-measured 0 f/q/n1: GPUs (NVML): no answer for 5 s (a source does not "
	       "answer)\n" },
	{ "one that answers again, and another",
	  TOLD STEPS MARK("1250", "", "silent", "GPUs (NVML): no answer for 5 s")
		  MARK("1251", "", "silent", "sensors (hwmon): no answer for 5 s")
			  MARK("1260", "", "silent", "GPUs (NVML): answers again, after 9 s"),
	  CALM SEEN },
	{ "marks were left out",
	  TOLD STEPS MARK("1250", "", "marks", "31 marks were left out before"),
	  CALM
	  "watch n1 not-measured 0 f/q/n1: 31 marks were left out before (what was left out may "
	  "have been a fault)\n" },
	{ "calm ones were left out",
	  TOLD STEPS MARK("1250", "", "marks",
			  "31 marks were left out before, none of them trouble")
		  MARK("1251", "", "pcie_gts",
		       "5 marks of this kind were left out before, none of them trouble"),
	  CALM SEEN },
	{ "further marks are not in the journal", TOLD STEPS WATCH("full", "1250"),
	  CALM "watch n1 not-measured 0 f/q/n1: it told of so much trouble that further marks are "
	       "not in "
	       "the journal\n" },
	{ "further calm ones are not", TOLD STEPS WATCH("enough", "1250"), CALM SEEN },
	{ "a counter that was reset",
	  TOLD STEPS MARK("1250", "gpu0", "ecc_uncorrected",
			  "ecc_uncorrected 2 to 0, it was reset"),
	  CALM
	  "watch n1/gpu0 not-measured 0 f/q/n1: ecc_uncorrected 2 to 0, it was reset (what it had "
	  "counted before is not known)\n" },
	{ "a gap", TOLD STEPS SINCE("gap", "1210", "1271") SINCE("back", "1210", "1280"),
	  CALM "watch n1 not-measured 0 f/q/n1: its telemetry did not come from 00:20:10 UTC to "
	       "00:21:20 "
	       "UTC\n" },
	{ "two gaps, the last to the end",
	  TOLD STEPS SINCE("gap", "1210", "1271") SINCE("back", "1210", "1280")
		  SINCE("gap", "1281", "1341"),
	  CALM "watch n1 not-measured 0 f/q/n1: its telemetry did not come from 00:20:10 UTC to "
	       "00:21:20 "
	       "UTC; and 1 more holes\n" },
	{ "an unknown word is a gap", TOLD STEPS WATCH("blinked", "1250"),
	  CALM "watch n1 not-measured 0 f/q/n1: its telemetry did not come from 00:20:50 UTC to "
	       "the end\n" },
	{ "it never came", TOLD STEPS SINCE("gap", "999.001", "1301"),
	  "faults n1 not-measured 0 f/p/n1: no telemetry came\n"
	  "watch n1 not-measured 0 f/p/n1: its telemetry did not come from 00:16:39 UTC to the "
	  "end\n" },
	{ "two sittings, and a pause between them is no gap",
	  TOLD STEPS XID79 WATCH("told", "5000"),
	  "faults n1/gpu3 fail 1 f/p/n1: XID 79: NVRM: fallen off the bus, 00:17:30 UTC, while "
	  "f/p/n1 ran\n" SEEN },
	{ "a lost node is lost anyway",
	  TOLD STEP("p", "xids", "0",
		    "1000") "{\"e\":\"end\",\"step\":\"f/q/"
			    "n1\",\"word\":\"lost\",\"why\":\"x\"}\n" SINCE("gap", "1210", "1271")
				    MARK("1000", "", "hole",
					 "the kernel's log is not "
					 "watched"),
	  "" },
	{ "what it told before is told",
	  TOLD STEP("p", "xids", "0",
		    "1000") "{\"e\":\"end\",\"step\":\"f/q/n1\",\"word\":\"lost\",\"why\":"
			    "\"x\"}\n" XID79,
	  "faults n1/gpu3 fail 1 f/p/n1: XID 79: NVRM: fallen off the bus, 00:17:30 UTC, while "
	  "f/p/n1 ran\n" },
	{ "a clock that is ahead",
	  "{\"e\":\"clock\",\"at\":\"n1\",\"offset\":50,\"error\":0.1,\"t\":998}\n" TOLD STEPS MARK(
		  "1300", "gpu0", "aer_fatal", "aer_fatal 0 to 1"),
	  "faults n1/gpu0 fail 1 f/q/n1: aer_fatal 0 to 1, 00:20:50 UTC, while f/q/n1 ran\n" SEEN },
	{ "each sitting has its clock",
	  "{\"e\":\"clock\",\"at\":\"n1\",\"offset\":50,\"error\":0.1,\"t\":998}\n" TOLD STEPS MARK(
		  "1300", "gpu0", "aer_fatal",
		  "aer_fatal 0 to 1") "{\"e\":\"clock\",\"at\":\"n1\",\"offset\":-900,\"error\":0."
				      "1,\"t\":"
				      "5000}\n" WATCH("told", "5000"),
	  "faults n1/gpu0 fail 1 f/q/n1: aer_fatal 0 to 1, 00:20:50 UTC, while f/q/n1 ran\n" SEEN },
	{ "hostile texts", TOLD STEPS MARK("1050", "\\u001b[31m/../x", "\\u0007", "a\\nb%s%n"),
	  "faults n1/?[31m/../x fail 1 f/p/n1: a?b%s%n, 00:17:30 UTC, while f/p/n1 ran (unknown "
	  "kind of "
	  "mark: ?)\n" SEEN },
	{ "times that are none",
	  TOLD STEPS MARK("-1e300", "gpu0", "aer_fatal", "aer_fatal 0 to 1")
		  MARK("1e300", "gpu1", "aer_fatal", "aer_fatal 0 to 1"),
	  "faults n1/gpu0 fail 1 f/p/n1: aer_fatal 0 to 1, at no time that a clock shows, between "
	  "its "
	  "steps\n"
	  "faults n1/gpu1 fail 1 f/q/n1: aer_fatal 0 to 1, at no time that a clock shows, between "
	  "its "
	  "steps\n" SEEN },
	{ "members that are missing", TOLD STEPS "{\"e\":\"mark\",\"at\":\"n1\",\"part\":7}\n",
	  "faults n1 fail 1 f/p/n1: , at no time that a clock shows, between its steps (unknown "
	  "kind of "
	  "mark: )\n" SEEN },
	{ "nodes that are none of the run's",
	  TOLD STEPS "{\"e\":\"mark\",\"at\":\"n7\",\"t\":1050,\"what\":\"mce\"}\n"
		     "{\"e\":\"watch\",\"at\":\"n7\",\"t\":1050,\"word\":\"gap\"}\n",
	  CALM SEEN },
};

struct fixture {
	struct spec *spec;
	struct profile *profile;
	struct fleet *fleet;
	struct plan *plan;
	struct results *results;
	struct judgement *out;
};

static struct fixture make(const char *more)
{
	struct plan_options options = { 0 };
	struct fixture x = { 0 };
	struct complaints c;
	struct hostlist hosts;
	struct error err;
	char *text = xasprintf("%s%s", spec_text, more);

	complaints_init(&c);
	x.spec = spec_from(yaml_parse(text, strlen(text), "s.yaml", &c), &c);
	x.profile = profile_from(yaml_parse(profile_text, strlen(profile_text), "p.yaml", &c), &c);
	if (c.errors)
		fail_msg("%s", c.text.data);
	spec_lint(x.spec, &c);
	if (c.errors)
		fail_msg("%s", c.text.data);
	assert_int_equal(hostlist_parse("n1", &hosts, &err), 0);
	x.fleet = fleet_build(x.spec, &hosts, &err);
	x.plan = plan_build(x.spec, x.fleet, x.profile, &options, &err);
	assert_non_null(x.plan);
	hostlist_release(&hosts);
	complaints_release(&c);
	free(text);
	return x;
}

static void drop(struct fixture *x)
{
	judgement_free(x->out);
	results_free(x->results);
	plan_free(x->plan);
	fleet_free(x->fleet);
	profile_free(x->profile);
	spec_free(x->spec);
}

static void run(struct fixture *x, const char *journal)
{
	judgement_free(x->out);
	results_free(x->results);
	x->results = results_new();
	while (*journal) {
		size_t n = strcspn(journal, "\n");
		json_t *o = json_loadb(journal, n, 0, NULL);
		struct error err;
		char *line;

		if (!o)
			fail_msg("%.*s", (int)n, journal);
		line = event_line(o, &err);
		assert_non_null(line);
		results_feed(x->results, line, strlen(line));
		free(line);
		journal += n + (journal[n] == '\n');
	}
	assert_int_equal(x->results->damaged, 0);
	x->out = judge(x->spec, x->fleet, x->plan, x->results);
}

static char *telemetry_findings(const struct fixture *x)
{
	struct text out;

	text_init(&out);
	for (int i = 0; i < x->out->count; i++) {
		const struct finding *f = &x->out->items[i];

		if (!strcmp(f->check, WATCH_CHECK))
			text_addf(&out, "%s %s %s %g %s: %s\n", f->metric, f->subject,
				  verdict_name(f->verdict), f->value, x->plan->steps[f->step].id,
				  f->why);
	}
	return text_detach(&out);
}

static void classes(void **state)
{
	struct fixture x = make("");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *got;

		run(&x, cases[i].journal);
		got = telemetry_findings(&x);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: wanted\n%sgot\n%s", cases[i].name, cases[i].want, got);
		free(got);
	}
	drop(&x);
}

/* The verdict of a run with one mark, with and without waivers. */
static void verdicts(void **state)
{
	static const struct {
		const char *waiver, *mark, *verdict;
		enum node_class class;
	} rows[] = {
		{ "", "", "accepted", NODE_PASSED },
		{ "", XID79, "rejected", NODE_FAILED },
		{ "", MARK("1050", "", "hang", "task x blocked for more than 120 seconds"),
		  "incomplete", NODE_INCOMPLETE },
		{ "", MARK("1050", "", "hole", "the kernel's log is not watched"), "incomplete",
		  NODE_INCOMPLETE },
		{ "", MARK("1050", "dimm:A1", "edac_ce", "edac_ce 0 to 3"), "accepted",
		  NODE_PASSED },
		{ "waivers: [{check: telemetry, metric: watch, subject: '*/kmsg', by: a, reason: "
		  "b}]\n",
		  MARK("1050", "", "hole", "the kernel's log is not watched"), "accepted",
		  NODE_PASSED },
		{ "waivers: [{check: telemetry, metric: watch, subject: '*/kmsg', by: a, reason: "
		  "b}]\n",
		  SINCE("gap", "1050", "1111"), "incomplete", NODE_INCOMPLETE },
		{ "waivers: [{check: telemetry, subject: n1/gpu3, by: a, reason: b}]\n", XID79,
		  "accepted", NODE_PASSED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture x = make(rows[i].waiver);
		char *journal = xasprintf(
			"{\"e\":\"hello\",\"at\":\"n1\",\"version\":\"1\",\"commit\":\"c\"}\n%s%s",
			TOLD STEPS, rows[i].mark);
		struct node_outcome *nodes;
		int undecided;
		const char **bases;

		run(&x, journal);
		assert_string_equal(x.out->verdict, rows[i].verdict);
		nodes = node_outcomes(x.fleet, x.plan, x.results, x.out);
		assert_int_equal(nodes[0].class, rows[i].class);
		bases = judge_undecided(x.out, x.plan, &undecided);
		assert_int_equal(undecided, 0);
		free(bases);
		free(nodes);
		free(journal);
		drop(&x);
	}
}

/* Nothing was seen, and nothing was found good either. */
static void silence_accepts_nothing(void **state)
{
	struct fixture x =
		make("waivers: [{check: p, by: a, reason: b}, {check: q, by: a, reason: b}]\n");
	struct node_outcome *nodes;

	(void)state;
	run(&x, "{\"e\":\"hello\",\"at\":\"n1\",\"version\":\"1\",\"commit\":\"c\"}\n" TOLD);
	assert_int_equal(x.out->of[VERDICT_PASS], 2);
	assert_int_equal(x.out->of[VERDICT_WAIVED], 2);
	assert_string_equal(x.out->verdict, "incomplete");
	nodes = node_outcomes(x.fleet, x.plan, x.results, x.out);
	assert_int_equal(nodes[0].passes, 0);
	free(nodes);
	drop(&x);
}

/* Rows of the table that no journal above has. */
static void meanings(void **state)
{
	static const struct {
		const char *what, *text;
		enum mark_class class;
	} rows[] = {
		{ "aer", "pcieport 0000:00:1c.0: AER: Corrected error received: 0000:01:00.0",
		  MARK_CORRECTED },
		{ "aer", "nvme 0000:01:00.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal)",
		  MARK_FAULT },
		{ "aer", "nvme 0000:01:00.0: AER:   [ 0] RxErr", MARK_COMPANION },
		{ "away", "temperature_c, fan(1_rpm, port2_x_c (3 series)", MARK_NOTE },
		{ "away", "temperature_c, port2_carrier (2 series)", MARK_AWAY },
		{ "away", ", (1 series)", MARK_NOTE },
		{ "away", "(0 series)", MARK_AWAY },
		{ "away", "nothing said", MARK_AWAY },
		{ "mce", "mce 0 to 1", MARK_FAULT },
		{ "mce", "[Hardware Error]: CPU 1: Machine Check: 0 Bank 7: 8c00004000010090",
		  MARK_CORRECTED },
		{ "mce", "[Hardware Error]: CPU:2 MC4_STATUS[-|CE|MiscV|-]: 0x9c", MARK_CORRECTED },
		{ "mce", "[Hardware Error]: event severity: fatal", MARK_FAULT },
		{ "mce", "[Hardware Error]: TSC 0 ADDR 7f MISC 1", MARK_COMPANION },
		{ "mce", "mce: CPU7: Core temperature/speed normal", MARK_NOTE },
		{ "edac", "EDAC MC0: 1 CE memory read error", MARK_CORRECTED },
		{ "edac", "EDAC MC0: 1 UE memory read error", MARK_FAULT },
		{ "carrier", "carrier 0 to 1", MARK_NOTE },
		{ "carrier", "carrier 1 to 0", MARK_FAULT },
		{ "port2_carrier", "port2_carrier 0 to 1", MARK_NOTE },
		{ "port2_carrier", "port2_carrier 1 to 0 (eth1)", MARK_FAULT },
		{ "port_phys", "port_phys 5 to 6", MARK_FAULT },
		{ "port_phys", "port_phys 2 to 5 in 2 changes", MARK_NOTE },
		{ "pcie_lanes", "pcie_lanes 8 to 16", MARK_NOTE },
		{ "pcie_lanes", "pcie_lanes 16 to 16 in 2 changes", MARK_FAULT },
		{ "nvlinks_up", "nvlinks_up 18 to 17", MARK_FAULT },
		{ "link", "eth0: NIC Link is Down", MARK_FAULT },
		{ "link", "eth0: link becomes ready", MARK_NOTE },
		{ "hang", "watchdog: BUG: soft lockup - CPU#3 stuck for 26s!", MARK_DOUBT },
		{ "hang", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 3", MARK_FAULT },
		{ "kernel", "traps: a.out[7] general protection fault ip:1", MARK_NOTE },
		{ "kernel", "BUG: unable to handle page fault", MARK_FAULT },
		{ "throttle", "throttle 3 to 5", MARK_FAULT },
		{ "throttle", "throttle set: ", MARK_FAULT },
		{ "throttle", "throttle no more for 10 s: heat (driver)", MARK_NOTE },
		{ "critical_warning", "critical_warning set: 4", MARK_FAULT },
		{ "nvme", "nvme nvme0: Shutdown timeout set to 8 seconds", MARK_NOTE },
		{ "xid", "XID 13: NVRM: x", MARK_DOUBT },
		{ "xid", "XID 130: NVRM: x", MARK_FAULT },
		{ "xid", "nvidia-nvswitch0: SXid (PCI:0000:0a:00.0): 22013, Minion Link DLREQ",
		  MARK_FAULT },
		{ "xid", "5 marks of this kind were left out before", MARK_HOLE },
		{ "hole", "/sys/devices/x/edac/mc/mc0/ue_count may not be read", MARK_HOLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (mark_meaning(rows[i].what, rows[i].text)->class != rows[i].class)
			fail_msg("%s '%s' is %d, not %d", rows[i].what, rows[i].text,
				 mark_meaning(rows[i].what, rows[i].text)->class, rows[i].class);
}

/* Whatever a node sends, its findings stay few and short enough to be read. */
static void bounds(void **state)
{
	struct fixture x = make("");
	struct text journal;
	int faults = 0;

	(void)state;
	text_init(&journal);
	text_add(&journal, TOLD STEPS);
	for (int i = 0; i < 900; i++)
		text_addf(&journal,
			  "{\"e\":\"mark\",\"at\":\"n1\",\"t\":%d,\"part\":\"gpu0\",\"what\":"
			  "\"kind%d\",\"text\":\"%0700d\"}\n",
			  1001 + i % 50, i, i);
	run(&x, journal.data);
	for (int i = 0; i < x.out->count; i++) {
		faults += x.out->items[i].verdict == VERDICT_FAIL;
		assert_true(strlen(x.out->items[i].why) < 700);
	}
	assert_int_equal(faults, 1);
	text_release(&journal);
	drop(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(silence_accepts_nothing),
		cmocka_unit_test(meanings),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
