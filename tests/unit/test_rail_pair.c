/*
 * test_rail_pair.c - what the check of pairs over rails says of a network that is told beforehand.
 */
#include "tests/unit/told_net.h"

extern const struct check check_rail_pair;

/* streams, bytes, windows, seconds, pings, rounds, alone, peers, nic */
#define KNOBS(peers) .knobs = { NULL, NULL, "6", "10ms", NULL, NULL, NULL, peers, "nic3" }
#define GIVES(text) .others = { { "b", "place", text } }
#define OTHER KNOBS("a,b"), GIVES("nic5 " PLACE)
#define WELL OTHER, .pings = 100, .busy = { 0, 6 }
#define COMPARED(n) .sum = { { .compared = n } }

#define OPEN "open nic3 b\ntell all place nic3 own 0\n"
#define PINGS "begin\nlatency nic3>b/nic5 10 x 2\nlatency_p99 nic3>b/nic5 10 x 2\n"
#define RATES "rate nic3>b/nic5 6 x 40\nrate_both nic3>b/nic5 6 x 40\n"
#define CAME "wrong_bytes nic3<b/nic5 1 x 0\ncompared nic3<b/nic5 1 x 9\n"
#define RESENT "retransmits nic3>b/nic5 1 x 0\n"
#define NO_PATH "note: nic3 has no counters of what it sent, so no path is proved\n"
#define NO_NIC "b: it does not say which NIC it took"

static const struct told_case cases[] = {
	{ .name = "all is well", WELL, COMPARED(9), .said = OPEN PINGS RATES CAME RESENT NO_PATH },
	{ .name = "a path that is proved, wrong bytes, packets sent again",
	  WELL,
	  .resent = { 2, 4 },
	  .sum = { { .sent = 100,
		     .counted = 100,
		     .compared = 9,
		     .wrong_bytes = 7,
		     .interface = "mlx5_0/1" } },
	  .said = OPEN PINGS RATES
	  "wrong_bytes nic3<b/nic5 1 x 7\ncompared nic3<b/nic5 1 x 9\n"
	  "retransmits nic3>b/nic5 1 x 6\nnote: 100 bytes to b through mlx5_0/1\n" },
	{ .name = "the bytes went another way",
	  WELL,
	  .sum = { { .sent = 100, .counted = 99, .compared = 9, .interface = "mlx5_0/1" } },
	  .said = OPEN PINGS
	  "rate nic3>b/nic5 hole: the bytes did not go through mlx5_0/1: it counted 99 of 100\n"
	  "rate_both nic3>b/nic5 hole: the bytes did not go through mlx5_0/1: it counted 99 of "
	  "100\n" CAME RESENT "note: 100 bytes to b through mlx5_0/1\n" },
	{ .name = "the other sends and is quiet at the wrong time",
	  OTHER,
	  .pings = 100,
	  .busy = { 4, 2 },
	  COMPARED(9),
	  .said = OPEN PINGS
	  "rate nic3>b/nic5 hole: b sent meanwhile: the two did not begin together\n"
	  "rate_both nic3>b/nic5 hole: b did not send meanwhile: the two did not begin "
	  "together\n" CAME RESENT NO_PATH },
	{ .name = "nothing was compared, so no wrong byte proves nothing",
	  WELL,
	  .said = OPEN PINGS RATES
	  "wrong_bytes nic3<b/nic5 hole: nothing of what came was compared\n"
	  "compared nic3<b/nic5 1 x 0\n" RESENT NO_PATH },
	{ .name = "nothing counts what is sent again",
	  WELL,
	  .resent = { -1, 3 },
	  COMPARED(9),
	  .said = OPEN PINGS RATES CAME
	  "retransmits nic3>b/nic5 hole: nothing here counts what is sent again\n" NO_PATH },
	{ .name = "few pings",
	  OTHER,
	  .pings = 9,
	  .busy = { 0, 6 },
	  COMPARED(9),
	  .said = OPEN "begin\nlatency nic3>b/nic5 hole: only 9 round trips in 0.8 s\n" RATES CAME
		  RESENT NO_PATH },
	{ .name = "no way to it", WELL, .fails = "open", .rc = RUN_ERROR, .said = "it fails" },
	{ .name = "it is gone",
	  KNOBS("a,b"),
	  GIVES(NULL),
	  .rc = RUN_ERROR,
	  .said = OPEN "b is gone: it died" },
	{ .name = "it does not meet",
	  WELL,
	  .fails = "meet 0",
	  .rc = RUN_ERROR,
	  .said = OPEN "b: it fails" },
	{ .name = "it is gone when all begin",
	  WELL,
	  .fails = "begin",
	  .rc = RUN_ERROR,
	  .said = OPEN "begin\nit fails" },
	{ .name = "pings fail",
	  WELL,
	  .fails = "ping 0",
	  .rc = RUN_ERROR,
	  .said = OPEN "begin\nb: it fails" },
	{ .name = "sending fails",
	  WELL,
	  .fails = "send 0",
	  .rc = RUN_ERROR,
	  .said = OPEN PINGS "b: it fails" },
	{ .name = "sending both ways fails",
	  WELL,
	  .fails = "both 0",
	  .rc = RUN_ERROR,
	  .said = OPEN PINGS "b: it fails" },
	{ .name = "its own data do not come",
	  WELL,
	  .fails = "end 0",
	  .rc = RUN_ERROR,
	  .said = OPEN PINGS "b: it fails" },
	{ .name = "alone",
	  KNOBS("a"),
	  .rc = RUN_ERROR,
	  .said = "a pair is two nodes, and here are 1" },
	{ .name = "three",
	  KNOBS("a,b,c"),
	  .rc = RUN_ERROR,
	  .said = "a pair is two nodes, and here are 3" },
	{ .name = "not one of them",
	  KNOBS("b,c"),
	  .rc = RUN_ERROR,
	  .said = "a is no member of this step" },
	/* What the other gives out may be anything. */
	{ .name = "no NIC", KNOBS("a,b"), GIVES(PLACE), .rc = RUN_ERROR, .said = OPEN NO_NIC },
	{ .name = "nothing", KNOBS("a,b"), GIVES(""), .rc = RUN_ERROR, .said = OPEN NO_NIC },
	{ .name = "a NIC alone",
	  KNOBS("a,b"),
	  GIVES("nic5"),
	  .rc = RUN_ERROR,
	  .said = OPEN NO_NIC },
	{ .name = "a NIC without a number",
	  KNOBS("a,b"),
	  GIVES("nic " PLACE),
	  .rc = RUN_ERROR,
	  .said = OPEN NO_NIC },
	{ .name = "a number that is not written so",
	  KNOBS("a,b"),
	  GIVES("nic05 " PLACE),
	  .rc = RUN_ERROR,
	  .said = OPEN NO_NIC },
	{ .name = "a number of four digits",
	  KNOBS("a,b"),
	  GIVES("nic1000 " PLACE),
	  .rc = RUN_ERROR,
	  .said = OPEN NO_NIC },
	{ .name = "a NIC of another node",
	  KNOBS("a,b"),
	  GIVES("nic5/nic3>c " PLACE),
	  .rc = RUN_ERROR,
	  .said = OPEN NO_NIC },
	{ .name = "another part",
	  KNOBS("a,b"),
	  GIVES("gpu5 " PLACE),
	  .rc = RUN_ERROR,
	  .said = OPEN NO_NIC },
	{ .name = "a signed number",
	  KNOBS("a,b"),
	  GIVES("nic-5 " PLACE),
	  .rc = RUN_ERROR,
	  .said = OPEN NO_NIC },
};

static void everything_is_told(void **state)
{
	(void)state;
	told_expect(&check_rail_pair, cases, ARRAY_SIZE(cases));
}

/* What is behind the NIC is for the network alone to read. */
static void places_are_passed_on(void **state)
{
	static char long_one[NET_PLACE + 6], longest[NET_PLACE + 6];
	const struct told_case two[] = {
		{ WELL },
		{ KNOBS("a,b"), GIVES("nic0  \x1b[2J %n nic4 ") },
		{ KNOBS("a,b"), GIVES(longest), .pings = 100 },
		{ KNOBS("a,b"), GIVES(long_one) },
	};
	struct told_seen *seen;

	(void)state;
	memset(long_one, 'x', sizeof(long_one) - 1);
	memset(longest, 'x', sizeof(longest) - 2);
	memcpy(long_one, "nic5 ", 5);
	memcpy(longest, "nic5 ", 5);
	seen = told_run(&check_rail_pair, two, ARRAY_SIZE(two));
	assert_string_equal(seen[0].met[0], PLACE);
	assert_int_equal(seen[0].streams, 2);
	assert_int_equal(seen[0].bytes, 4 << 20);
	assert_string_equal(seen[1].met[0], " \x1b[2J %n nic4 ");
	assert_int_equal(strlen(seen[2].met[0]), NET_PLACE - 1);
	assert_int_equal(seen[3].rc, RUN_ERROR);
	assert_string_equal(seen[3].said, OPEN "b: it does not say where it can be met");
	assert_string_equal(seen[3].met[0], "");
	munmap(seen, ARRAY_SIZE(two) * sizeof(*seen));
}

/*
 * Six windows of 10 ms, one more to warm up, and half a second's gap: 0.57 s for each run. NIC and
 * rail play no part, so that all rails of a node send at the same time.
 */
static void the_timetable_is_kept(void **state)
{
	const struct told_case two[] = {
		{ WELL },
		{ KNOBS("b,a"), GIVES("nic5 " PLACE), .pings = 100 },
	};
	struct told_seen *seen = told_run(&check_rail_pair, two, 2);

	(void)state;
	assert_true(is_about(seen[0].pinged, 0));
	assert_true(is_about(seen[0].sent[0], 2));
	assert_true(is_about(seen[0].sent[1], 2 + 2 * 0.57));
	assert_true(is_about(seen[1].pinged, 1));
	assert_true(is_about(seen[1].sent[0], 2 + 0.57));
	assert_true(is_about(seen[1].sent[1], 2 + 2 * 0.57));
	assert_int_equal(seen[0].runs[0], 2);
	munmap(seen, 2 * sizeof(*seen));
}

static const struct {
	const char *knobs[10], *words;
} bad[] = {
	{ { NULL, NULL, "5", NULL, NULL, NULL, NULL, "a,b", "nic3" }, "windows must be from" },
	{ { NULL, NULL, NULL, "1ms", NULL, NULL, NULL, "a,b", "nic3" }, "seconds must be from" },
	{ { NULL, NULL, NULL, NULL, "9", NULL, NULL, "a,b", "nic3" }, "pings must be from" },
	{ { "0", NULL, NULL, NULL, NULL, NULL, NULL, "a,b", "nic3" }, "streams must be from" },
	{ { "33", NULL, NULL, NULL, NULL, NULL, NULL, "a,b", "nic3" }, "streams must be from" },
	{ { NULL, "1 KiB", NULL, NULL, NULL, NULL, NULL, "a,b", "nic3" }, "bytes must be from" },
	{ { NULL, "1 TB", NULL, NULL, NULL, NULL, NULL, "a,b", "nic3" }, "bytes must be from" },
	{ { NULL, NULL, NULL, NULL, NULL, NULL, NULL, "a,b", "" }, "no NIC of this node" },
	{ { NULL, NULL, NULL, NULL, NULL, NULL, NULL, "a,b", "nic3 " }, "no NIC of this node" },
};

static void senseless_knobs_are_refused(void **state)
{
	struct job job = { .hw = &told_kernels, .unit = "r1", .node = "a" };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		job.knobs = (struct knobs){ .check = &check_rail_pair, .values = bad[i].knobs };
		assert_int_equal(check_rail_pair.run(&job, &err), RUN_ERROR);
		assert_non_null(strstr(err.text, bad[i].words));
	}
}

static void a_build_without_rdma_says_so(void **state)
{
	const struct kernels none = { .name = "none" };
	struct job job = { .hw = &none };
	struct error err;

	(void)state;
	assert_int_equal(check_rail_pair.run(&job, &err), RUN_SKIP);
	assert_string_equal(err.text, "this build knows no RDMA");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_told),
		cmocka_unit_test(places_are_passed_on),
		cmocka_unit_test(the_timetable_is_kept),
		cmocka_unit_test(senseless_knobs_are_refused),
		cmocka_unit_test(a_build_without_rdma_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
