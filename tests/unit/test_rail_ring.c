/*
 * test_rail_ring.c - what the check of rings says of a network that is told beforehand. Meeting 0
 * is the one that "a" sends on, meeting 1 the one that it only listens on.
 */
#include "tests/unit/told_net.h"

extern const struct check check_rail_ring;

/* streams, bytes, seconds, window, group, alone, peers, nic, stride */
#define RING(peers, stride)                                                                        \
	.knobs = { NULL, NULL, "80ms", "10ms", NULL, NULL, peers, "nic3", stride }
#define HEARD(n) .sum = { {}, { .compared = n } }

/* Of three: "a" sends to "b" and hears "c". */
#define PLACES                                                                                     \
	{ "b", "listens", "nic5 " PLACE },                                                         \
	{                                                                                          \
		"c", "sends", "nic4 qp 12"                                                         \
	}
#define OVER                                                                                       \
	{ "b", "heard", "" },                                                                      \
	{                                                                                          \
		"c", "sent", ""                                                                    \
	}
#define THREE RING("a,b,c", NULL), .others = { PLACES, OVER }
#define DEAD(node, over) .others = { PLACES, { node, over, NULL } }

#define OPEN "open nic3 b\ntell b sends nic3 own 0\nopen nic3 c\ntell c listens nic3 own 1\n"
#define BEGIN OPEN "begin\n"
#define SAY_OVER "tell b sent \ntell c heard \n"
#define TO "nic3>b/nic5 "
#define FROM "nic3<c/nic4 "
#define NO_PATH "note: nic3 has no counters of what it sent, so no path is proved\n"
#define SENT "breaks " TO "1 x 0\nrate " TO "8 x 40\n" NO_PATH "retransmits " TO "1 x 0\n"
#define CAME "wrong_bytes " FROM "1 x 0\ncompared " FROM "1 x 9\n"

static const struct told_case cases[] = {
	{ .name = "all is well", THREE, HEARD(9), .said = BEGIN SAY_OVER SENT CAME },
	{ .name = "a path that is proved, wrong bytes, nothing counts what is sent again",
	  THREE,
	  .resent = { -1 },
	  .gbs = { 40, 40, 3 },
	  .sum = { { .sent = 100, .counted = 100, .interface = "mlx5_0/1" },
		   { .compared = 9, .wrong_bytes = 7 } },
	  .said = BEGIN SAY_OVER "breaks " TO "1 x 0\nrate " TO "8 x 40 down to 3\n"
				 "note: 100 bytes to b through mlx5_0/1\n"
				 "retransmits " TO "hole: nothing here counts what is sent again\n"
				 "wrong_bytes " FROM "1 x 7\ncompared " FROM "1 x 9\n" },
	{ .name = "the bytes went another way",
	  THREE,
	  .sum = { { .sent = 100, .counted = 99, .interface = "mlx5_0/1" }, { .compared = 9 } },
	  .said = BEGIN SAY_OVER
	  "breaks " TO "1 x 0\n"
	  "rate " TO "hole: the bytes did not go through mlx5_0/1: it counted 99 of 100\n"
	  "note: 100 bytes to b through mlx5_0/1\nretransmits " TO "1 x 0\n" CAME },
	{ .name = "nothing was compared",
	  THREE,
	  .said = BEGIN SAY_OVER SENT "wrong_bytes " FROM
				      "hole: nothing of what came was compared\n"
				      "compared " FROM "1 x 0\n" },
	{ .name = "it breaks in the sixth window",
	  THREE,
	  HEARD(9),
	  .fails = "send 0",
	  .done = 5,
	  .resent = { 4 },
	  .said = BEGIN SAY_OVER
	  "note: nic3>b/nic5: sending to b broke in window 6 of 8: it fails, after 0 s\n"
	  "rate " TO "5 x 40\n"
	  "rate " TO "hole: sending to b broke in window 6 of 8: it fails\n"
	  "breaks " TO "1 x 1\nretransmits " TO "1 x 4\n" CAME },
	{ .name = "it breaks before any window",
	  THREE,
	  HEARD(9),
	  .fails = "send 0",
	  .said = BEGIN SAY_OVER
	  "note: nic3>b/nic5: sending to b broke in window 1 of 8: it fails, after 0 s\n"
	  "rate " TO "hole: sending to b broke in window 1 of 8: it fails\n"
	  "breaks " TO "1 x 1\nretransmits " TO "1 x 0\n" CAME },
	{ .name = "it breaks before anything was counted",
	  THREE,
	  HEARD(9),
	  .fails = "send 0",
	  .counts_nothing = 1,
	  .said = BEGIN SAY_OVER
	  "note: nic3>b/nic5: sending to b broke in window 1 of 8: it fails, after 0 s\n"
	  "rate " TO "hole: sending to b broke in window 1 of 8: it fails\n"
	  "breaks " TO "1 x 1\n" CAME },
	{ .name = "it breaks because the other end died, which is no fault of this one",
	  RING("a,b,c", NULL),
	  DEAD("b", "heard"),
	  HEARD(9),
	  .fails = "send 0",
	  .done = 5,
	  .said = BEGIN SAY_OVER
	  "note: nic3>b/nic5: sending to b broke in window 6 of 8: it fails; b is gone: it died, "
	  "after 0 s\n"
	  "rate " TO "5 x 40\n"
	  "rate " TO "hole: sending to b broke in window 6 of 8: it fails; b is gone: it died\n"
	  "breaks " TO "hole: sending to b broke in window 6 of 8: it fails; b is gone: it died\n"
	  "retransmits " TO "1 x 0\n" CAME },
	{ .name = "windows that are missing are never taken for measured",
	  THREE,
	  HEARD(9),
	  .quits = 7,
	  .said = BEGIN SAY_OVER
	  "note: nic3>b/nic5: sending to b broke in window 8 of 8: it ended early, after 0 s\n"
	  "rate " TO "7 x 40\n"
	  "rate " TO "hole: sending to b broke in window 8 of 8: it ended early\n"
	  "breaks " TO "1 x 1\nretransmits " TO "1 x 0\n" CAME },
	{ .name = "who sends to it dies: its own windows count",
	  RING("a,b,c", NULL),
	  DEAD("c", "sent"),
	  HEARD(5),
	  .fails = "end 1",
	  .said = BEGIN SAY_OVER SENT
	  "wrong_bytes " FROM "hole: c: it fails; c is gone: it died\ncompared " FROM "1 x 5\n" },
	{ .name = "wrong bytes before it broke are a fault all the same",
	  THREE,
	  .sum = { {}, { .compared = 5, .wrong_bytes = 2 } },
	  .fails = "end 1",
	  .said = BEGIN SAY_OVER SENT "wrong_bytes " FROM "1 x 2\nwrong_bytes " FROM
				      "hole: c: it fails\n"
				      "compared " FROM "1 x 5\n" },
	{ .name = "which way it went is not known",
	  THREE,
	  HEARD(9),
	  .fails = "end 0",
	  .said = BEGIN SAY_OVER "breaks " TO "1 x 0\nrate " TO "8 x 40\nrate " TO
				 "hole: b: it fails\nretransmits " TO "1 x 0\n" CAME },
	/* Neighbours that never come, where a ring begins without them. */
	{ .name = "nobody to send to",
	  RING("a,b,c", NULL),
	  .others = { { "b", "listens", NULL }, { "c", "sends", "nic4 qp 12" } },
	  HEARD(9),
	  .said = BEGIN SAY_OVER
	  "rate nic3>b hole: b is gone: it died\nbreaks nic3>b hole: b is gone: it died\n" CAME },
	{ .name = "nobody to hear",
	  RING("a,b,c", NULL),
	  .others = { { "b", "listens", "nic5 " PLACE }, { "c", "sends", NULL } },
	  .said = BEGIN SAY_OVER SENT
	  "wrong_bytes nic3<c hole: c is gone: it died\ncompared nic3<c 1 x 0\n" },
	{ .name = "nobody at all",
	  RING("a,b,c", NULL),
	  .others = { { "b", "listens", NULL }, { "c", "sends", NULL } },
	  .said = BEGIN SAY_OVER
	  "rate nic3>b hole: b is gone: it died\nbreaks nic3>b hole: b is gone: it died\n"
	  "wrong_bytes nic3<c hole: c is gone: it died\ncompared nic3<c 1 x 0\n" },
	{ .name = "one does not meet, and lives",
	  THREE,
	  HEARD(9),
	  .fails = "meet 0",
	  .said = BEGIN SAY_OVER "rate " TO "hole: b: it fails\nbreaks " TO
				 "hole: b: it fails\n" CAME },
	{ .name = "the other does not meet, and died",
	  RING("a,b,c", NULL),
	  DEAD("c", "sent"),
	  .fails = "meet 1",
	  .said = BEGIN SAY_OVER SENT
	  "wrong_bytes " FROM "hole: c: it fails; c is gone: it died\ncompared " FROM "1 x 0\n" },
	{ .name = "what a neighbour says may be anything",
	  RING("a,b,c", NULL),
	  .others = { { "b", "listens", "nic\x1b[2J 7" }, { "c", "sends", "nic9999999 x" }, OVER },
	  .said = BEGIN SAY_OVER "rate nic3>b hole: b: it does not say which NIC it took\n"
				 "breaks nic3>b hole: b: it does not say which NIC it took\n"
				 "wrong_bytes nic3<c hole: c: it does not say which NIC it "
				 "took\ncompared nic3<c 1 x 0\n" },
	/* Where it does not begin, nobody has figures. */
	{ .name = "a member is gone, and the ring does not begin",
	  THREE,
	  .fails = "begin",
	  .rc = RUN_ERROR,
	  .said = BEGIN "it fails" },
	{ .name = "no way", THREE, .fails = "open", .rc = RUN_ERROR, .said = "it fails" },
	{ .name = "nobody can be told",
	  THREE,
	  .fails = "tell",
	  .rc = RUN_ERROR,
	  .said = "open nic3 b\ntell b sends nic3 own 0\nit fails" },
	{ .name = "two: both neighbours are one node",
	  RING("a,b", NULL),
	  .others = { { "b", "listens", "nic5 " PLACE },
		      { "b", "sends", "nic5 qp 12" },
		      { "b", "heard", "" },
		      { "b", "sent", "" } },
	  HEARD(9),
	  .said = "open nic3 b\ntell b sends nic3 own 0\nopen nic3 b\ntell b listens nic3 own 1\n"
		  "begin\ntell b sent \ntell b heard \n" SENT
		  "wrong_bytes nic3<b/nic5 1 x 0\ncompared nic3<b/nic5 1 x 9\n" },
	{ .name = "two, and the other dies",
	  RING("a,b", "1"),
	  .others = { { "b", "listens", "nic5 " PLACE },
		      { "b", "sends", "nic5 qp 12" },
		      { "b", "heard", NULL } },
	  HEARD(9),
	  .fails = "send 0",
	  .done = 7,
	  .said = "open nic3 b\ntell b sends nic3 own 0\nopen nic3 b\ntell b listens nic3 own 1\n"
		  "begin\ntell b sent \ntell b heard \n"
		  "note: nic3>b/nic5: sending to b broke in window 8 of 8: it fails; b is gone: it "
		  "died, "
		  "after 0 s\nrate " TO "7 x 40\n"
		  "rate " TO "hole: sending to b broke in window 8 of 8: it fails; b is gone: it "
		  "died\n"
		  "breaks " TO "hole: sending to b broke in window 8 of 8: it fails; b is gone: "
		  "it died\n"
		  "retransmits " TO
		  "1 x 0\nwrong_bytes nic3<b/nic5 1 x 0\ncompared nic3<b/nic5 1 x 9\n" },
	/* Strides: of five, "a" is the second. */
	{ .name = "two further",
	  RING("x,a,c,d,e", "2"),
	  .fails = "begin",
	  .rc = RUN_ERROR,
	  .said = "open nic3 d\ntell d sends nic3 own 0\nopen nic3 e\ntell e listens nic3 own 1\n"
		  "begin\nit fails" },
	{ .name = "more than once around",
	  RING("x,a,c,d,e", "14"),
	  .fails = "begin",
	  .rc = RUN_ERROR,
	  .said = "open nic3 x\ntell x sends nic3 own 0\nopen nic3 c\ntell c listens nic3 own 1\n"
		  "begin\nit fails" },
	{ .name = "around to itself",
	  RING("x,a,c,d,e", "10"),
	  .rc = RUN_ERROR,
	  .said = "no ring of 5 nodes: the one 10 further is the node itself" },
	{ .name = "not at all",
	  RING("a,b,c", "0"),
	  .rc = RUN_ERROR,
	  .said = "no ring of 3 nodes: the one 0 further is the node itself" },
	{ .name = "alone",
	  RING("a", NULL),
	  .rc = RUN_ERROR,
	  .said = "no ring of 1 nodes: the one 1 further is the node itself" },
	{ .name = "backwards",
	  RING("a,b,c", "-1"),
	  .rc = RUN_ERROR,
	  .said = "a stride is a number up to 65536" },
	{ .name = "no number",
	  RING("a,b,c", "1x"),
	  .rc = RUN_ERROR,
	  .said = "a stride is a number up to 65536" },
	{ .name = "no stride",
	  RING("a,b,c", ""),
	  .rc = RUN_ERROR,
	  .said = "a stride is a number up to 65536" },
	{ .name = "not one of them",
	  RING("b,c", NULL),
	  .rc = RUN_ERROR,
	  .said = "a is no member of this step" },
};

static void everything_is_told(void **state)
{
	(void)state;
	told_expect(&check_rail_ring, cases, ARRAY_SIZE(cases));
}

static void each_meeting_has_its_place_and_its_part(void **state)
{
	const struct told_case one = { THREE };
	struct told_seen *seen = told_run(&check_rail_ring, &one, 1);

	(void)state;
	assert_string_equal(seen->met[0], PLACE);
	assert_string_equal(seen->met[1], "qp 12");
	assert_int_equal(seen->runs[0], 0); /* nothing comes where it sends */
	assert_int_equal(seen->runs[1], 1);
	assert_int_equal(seen->bytes, 4 << 20);
	munmap(seen, sizeof(*seen));
}

/*
 * Three seconds to meet, then a window to warm up and eight more. The end of what is heard is
 * waited for when the other should be there, though our own sending broke at once.
 */
static void the_timetable_is_kept(void **state)
{
	const struct told_case two[] = {
		{ THREE },
		{ .knobs = { NULL, NULL, "2s", "0.2s", NULL, NULL, "a,b,c", "nic3", NULL },
		  .others = { PLACES, OVER },
		  .fails = "send 0" },
	};
	struct told_seen *seen = told_run(&check_rail_ring, two, 2);

	(void)state;
	assert_true(is_about(seen[0].sent[0], 3));
	assert_true(is_about(seen[0].ended[1], 3.09));
	assert_true(is_about(seen[1].ended[1], 3 + 2.2));
	munmap(seen, 2 * sizeof(*seen));
}

/* Whatever the number of windows, 600 samples are told at most, and no dip is lost in them. */
static void many_windows_are_told_in_few_samples(void **state)
{
	static const struct {
		const char *seconds, *samples, *note;
	} runs[] = {
		{ "6s", "rate " TO "600 x 40 down to 3\n", "retransmits" },
		{ "6.01s", "rate " TO "301 x 40 down to 3\n",
		  "note: a sample of rate is the slowest of 2 windows of 0.01 s\n" },
		{ "12.01s", "rate " TO "401 x 40 down to 3\n",
		  "note: a sample of rate is the slowest of 3 windows of 0.01 s\n" },
	};
	struct told_case all[ARRAY_SIZE(runs)];
	struct told_seen *seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		all[i] = (struct told_case){ THREE, .gbs = { 40, 40, 40, 40, 3 } };
		all[i].knobs[2] = runs[i].seconds;
	}
	seen = told_run(&check_rail_ring, all, ARRAY_SIZE(runs));
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		assert_non_null(strstr(seen[i].said, runs[i].samples));
		assert_non_null(strstr(seen[i].said, runs[i].note));
	}
	assert_null(strstr(seen[0].said, "a sample of rate"));
	munmap(seen, ARRAY_SIZE(runs) * sizeof(*seen));
}

static const struct {
	const char *knobs[10], *words;
} bad[] = {
	{ { NULL, NULL, NULL, "1ms", NULL, NULL, "a,b", "nic3" }, "window must be from" },
	{ { NULL, NULL, "12h", "2h", NULL, NULL, "a,b", "nic3" }, "window must be from" },
	{ { NULL, NULL, "5s", "1s", NULL, NULL, "a,b", "nic3" }, "seconds must be from 6 to" },
	{ { NULL, NULL, "30h", "0.1s", NULL, NULL, "a,b", "nic3" }, "seconds must be from 6 to" },
	{ { "0", NULL, NULL, NULL, NULL, NULL, "a,b", "nic3" }, "streams must be from" },
	{ { NULL, "1 KiB", NULL, NULL, NULL, NULL, "a,b", "nic3" }, "bytes must be from" },
	{ { NULL, NULL, NULL, NULL, NULL, NULL, "a,b", "nic3x" }, "no NIC of this node" },
};

static void senseless_knobs_are_refused(void **state)
{
	struct job job = { .hw = &told_kernels, .node = "a" };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		job.knobs = (struct knobs){ .check = &check_rail_ring, .values = bad[i].knobs };
		assert_int_equal(check_rail_ring.run(&job, &err), RUN_ERROR);
		assert_non_null(strstr(err.text, bad[i].words));
	}
}

static void a_build_without_rdma_says_so(void **state)
{
	const struct kernels none = { .name = "none" };
	struct job job = { .hw = &none };
	struct error err;

	(void)state;
	assert_int_equal(check_rail_ring.run(&job, &err), RUN_SKIP);
	assert_string_equal(err.text, "this build knows no RDMA");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_told),
		cmocka_unit_test(each_meeting_has_its_place_and_its_part),
		cmocka_unit_test(the_timetable_is_kept),
		cmocka_unit_test(many_windows_are_told_in_few_samples),
		cmocka_unit_test(senseless_knobs_are_refused),
		cmocka_unit_test(a_build_without_rdma_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
