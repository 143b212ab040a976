/*
 * test_rdma_trouble.c - what is said where RDMA cannot be had, and of peers that are strange, late,
 * dead or gone.
 */
#include "tests/unit/rdma_case.h"

/* ---- what cannot be opened ----------------------------------------------------------------- */

static void assert_no_open(char *root, const char *name, const char *words)
{
	struct end e;

	if (try_open(&e, root, name, 1) == 0)
		fail_msg("%s opens", name);
	assert_string_equal(e.err.text, words);
	verbs_close(&e.machine);
}

static void ways_that_lead_nowhere_are_told(void **state)
{
	char none[80], real[80], *text = NULL;
	struct machine m = { .root = root_a };
	struct net_way way = { .nic = "nic0", .streams = NET_STREAMS_MOST + 1, .bytes = BYTES };
	struct meeting *x;
	struct error err;
	char place[NET_PLACE];

	(void)state;
	assert_no_open(root_a, "nic9", "there is no nic9: this node shows 4 NICs");
	assert_no_open(root_a, "nic3",
		       "no RDMA device of nic3: no driver made one of 0000:13:00.0 (ib3)");
	play("mlx5_0 down", "");
	assert_no_open(root_a, "nic0", "port 1 of mlx5_0 is DOWN (Polling)");
	snprintf(none, sizeof(none), "%s/none", folder);
	nic(none, 0);
	assert_no_open(none, "nic0", "a recorded machine has no network");
	snprintf(real, sizeof(real), "%s/real", folder);
	nic(real, 0);
	put(real, "lib/empty", "");
	text = xasprintf("cp -L /usr/lib/*/libibverbs.so.1 %s/lib/ 2>/dev/null", real);
	if (system(text) == 0)
		assert_no_open(real, "nic0",
			       "a recorded machine has no network, and its lib folder holds a real "
			       "libibverbs");
	else
		print_message("not tested here: there is no real libibverbs\n");
	free(text);
	assert_int_equal(net_rdma.open(&m, &way, &x, place, &err), -1);
	assert_string_equal(err.text, "streams must be from 1 to 32");
	way.streams = 1;
	way.bytes = 2 * RDMA_PIECE - 1;
	assert_int_equal(net_rdma.open(&m, &way, &x, place, &err), -1);
	assert_string_equal(err.text, "bytes must be from 128 KiB to less than 128 TiB");
	net_rdma.close(NULL);
}

static void a_library_that_is_none_is_told(void **state)
{
	char root[80];
	struct end e;

	(void)state;
	snprintf(root, sizeof(root), "%s/broken", folder);
	nic(root, 0);
	put(root, "lib/libibverbs.so.1", "this is no library");
	assert_int_equal(try_open(&e, root, "nic0", 1), -1);
	assert_non_null(strstr(e.err.text, "no library for RDMA on this node: "));
	assert_null(real_kernels.double_of(&e.machine));
	snprintf(root, sizeof(root), "%s/stub", folder);
	nic(root, 0);
	put(root, "lib/empty", "");
	shell("cp %s/libstubverbs.so %s/lib/libibverbs.so.1", getenv("ASSAY_VERBS"), root);
	assert_no_open(root, "nic0", "libibverbs.so.1 of this node lacks ibv_free_device_list");
}

static void an_ethernet_port_needs_an_address(void **state)
{
	static const char types[] = "sys/class/infiniband/mlx5_2/ports/1/gid_attrs/types/";
	char path[120];
	struct end a;

	(void)state;
	/* an address that was given beats others, and version 1 is none */
	assert_int_equal(try_open(&a, root_a, "nic2", 1), 0);
	assert_int_equal(inside(&a)->port.gid_index, 3);
	assert_non_null(strstr(a.place, " 00000000000000000000ffff0a000001 "));
	shut(&a);
	snprintf(path, sizeof(path), "%s3", types);
	put(root_a, path, "IB/RoCE v1");
	assert_int_equal(try_open(&a, root_a, "nic2", 1), 0);
	assert_int_equal(inside(&a)->port.gid_index, 2);
	shut(&a);
	snprintf(path, sizeof(path), "%s2", types);
	put(root_a, path, "IB/RoCE v1");
	assert_int_equal(try_open(&a, root_a, "nic2", 1), 0);
	assert_int_equal(inside(&a)->port.gid_index, 0); /* link-local, if there is no other */
	shut(&a);
	snprintf(path, sizeof(path), "%s0", types);
	put(root_a, path, "IB/RoCE v1");
	assert_no_open(root_a, "nic2",
		       "port 1 of mlx5_2 has no address for RoCE v2: none of its 8 GIDs is one (is "
		       "its interface ib2 up, with an IP address?)");
	nic(root_a, 2);
}

static void memory_that_may_not_be_locked_is_told(void **state)
{
	const struct rlimit little = { 8 << 20, 8 << 20 };
	struct rlimit before;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	assert_int_equal(
		setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ little.rlim_cur, before.rlim_max }), 0);
	play("* memlock", "");
	assert_no_open(
		root_a, "nic0",
		"mlx5_0 cannot lock 64.0 MiB to receive in: Cannot allocate memory; this "
		"process may lock 8 MiB of memory and needs 64.0 MiB and some more (ulimit -l)");
	setrlimit(RLIMIT_MEMLOCK, &before);
}

/* ---- strangers ----------------------------------------------------------------------------- */

#define LID_GID "0001 fe800000000000000000000000000001"
#define GOOD "r1 " LID_GID " 5 000001 00000001 0000000000001000 000001000000 0000000000000001 "

/* What the other end gives out came over the wire and may be anything. */
static const char *const nowhere[] = {
	"",
	"r1",
	"r1 ",
	"tcp 10.0.0.1 5",
	GOOD,
	GOOD "AAAAAAAA",
	GOOD "AAABAAABAAABAAA",
	GOOD "AAABAAABAAABAAA!",
	GOOD "AAABAAABAAABAAAB ",
	"r1 " LID_GID
	" 0 000001 00000001 0000000000001000 000001000000 0000000000000001 AAABAAABAAAB",
	"r1 " LID_GID
	" 6 000001 00000001 0000000000001000 000001000000 0000000000000001 AAABAAABAAAB",
	"r1 " LID_GID
	" 5 000001 00000001 0000000000001000 000000000000 0000000000000001 AAABAAABAAAB",
	"r1 " LID_GID
	" 5 000001 00000001 0000000000001000 000001000001 0000000000000001 AAABAAABAAAB",
	"r1 " LID_GID
	" 5 000001 00000001 ffffffffffffff00 000001000000 0000000000000001 AAABAAABAAAB",
	"r1 " LID_GID
	" 5 000001 00000001 0000000000001000 000001000000 000000000000000G AAABAAABAAAB",
	"r1 " LID_GID
	" 5 00001 00000001 0000000000001000 000001000000 0000000000000001 AAABAAABAAAB",
	"r1 0001 fe80000000000000000000000000000 5 000001 00000001 0000000000001000 000001000000 1",
	"r1 0001  e800000000000000000000000000001 5 000001 00000001 0000000000001000 000001000000 "
	"1",
	"r1 000A fe800000000000000000000000000001 5 000001 00000001 0000000000001000 000001000000 "
	"1",
};

static void places_that_are_none_are_told(void **state)
{
	struct rdma_place place;
	char longer[NET_PLACE + 8];
	struct end a;

	(void)state;
	assert_int_equal(rdma_place_parse(GOOD "AAABAAABAAAB", &place), 0);
	assert_true(place.qp_count == 3 && place.qpns[2] == 1 && place.bytes == 1 << 24);
	assert_int_equal(try_open(&a, root_a, "nic0", 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		print_message("  %s\n", nowhere[i]);
		assert_int_equal(net_rdma.meet(a.rdma, nowhere[i], &a.err), -1);
		assert_string_equal(a.err.text, "it does not say where it can be met");
	}
	memset(longer, 'A', sizeof(longer));
	memcpy(longer, GOOD, strlen(GOOD));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(net_rdma.meet(a.rdma, longer, &a.err), -1);
	/* in each state there is something that it refuses, and nothing is written out of bounds */
	for (size_t i = 0; i < strlen(a.place); i++) {
		char cut[NET_PLACE];

		snprintf(cut, sizeof(cut), "%.*s", (int)i, a.place);
		assert_int_equal(rdma_place_parse(cut, &place), i && !a.place[i] ? 0 : -1);
	}
	shut(&a);
}

static void a_place_survives_its_text(void **state)
{
	struct rdma_place place = { .lid = 0xbeef,
				    .mtu = 4,
				    .psn = 0xabcdef,
				    .rkey = 0xfedcba98,
				    .address = 0x7f0011223344,
				    .bytes = 1ull << 40,
				    .token = 0x0123456789abcdef,
				    .qp_count = RDMA_QPS };
	struct rdma_place back;
	char text[NET_PLACE];

	(void)state;
	for (size_t i = 0; i < sizeof(place.gid.raw); i++)
		place.gid.raw[i] = (unsigned char)(0xf0 - i);
	for (int i = 0; i < RDMA_QPS; i++)
		place.qpns[i] = 0xffffff - (uint32_t)i * 4099;
	rdma_place_text(&place, text);
	assert_in_range(strlen(text), 200, 250);
	assert_int_equal(rdma_place_parse(text, &back), 0);
	assert_memory_equal(&place, &back, sizeof(place));
}

/* The place of another, with one thing wrong in it. */
static void strangers_are_not_met(void **state)
{
	static const struct {
		const char *what;
		size_t at, len; /* of hexadecimal digits in the text */
		const char *words;
	} cases[] = {
		{ "another's memory", 50, 8, "its NIC refuses access to the memory it gave out" },
		{ "another's token", 89, 16, "it answers at LID 1, and nothing comes from it" },
		{ "another's LID", 3, 4, "nothing answers at LID 61166 in time" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct end a, b;

		print_message("  %s\n", cases[i].what);
		open_both(&a, &b, "nic0");
		inside(&a)->meet_seconds = inside(&b)->meet_seconds = 1.5;
		memset(b.place + cases[i].at, 'e', cases[i].len);
		assert_true(b.place[cases[i].at - 1] == ' ' &&
			    b.place[cases[i].at + cases[i].len] == ' ');
		act_both(&a, &b);
		/* a wrong token is noticed by who should have got the right one */
		assert_says(i == 1 ? &b : &a, cases[i].words);
		shut(&a);
		shut(&b);
	}
}

static void ends_that_do_not_fit_are_told(void **state)
{
	struct end a, b;

	(void)state;
	assert_int_equal(try_open(&a, root_a, "nic0", 2), 0);
	assert_int_equal(try_open(&b, root_b, "nic0", 3), 0);
	assert_int_equal(net_rdma.meet(a.rdma, b.place, &a.err), -1);
	assert_string_equal(a.err.text, "it has 3 streams and this node 2");
	shut(&b);
	assert_int_equal(try_open(&b, root_b, "nic2", 2), 0);
	assert_int_equal(net_rdma.meet(a.rdma, b.place, &a.err), -1);
	assert_string_equal(a.err.text, "its port is Ethernet, and port 1 of mlx5_0 is InfiniBand");
	assert_int_equal(net_rdma.meet(b.rdma, a.place, &b.err), -1);
	assert_string_equal(b.err.text, "its port is InfiniBand, and port 1 of mlx5_2 is Ethernet");
	shut(&a);
	shut(&b);
}

static void nothing_is_done_before_the_meeting(void **state)
{
	struct net_pings p = { .most = 1, .seconds = 1 };
	struct end a;

	(void)state;
	assert_int_equal(try_open(&a, root_a, "nic0", 1), 0);
	assert_int_equal(net_rdma.send(a.rdma, &a.rate, &a.err), -1);
	assert_string_equal(a.err.text, "it was not met");
	assert_int_equal(net_rdma.ping(a.rdma, &p, &a.err), -1);
	assert_string_equal(a.err.text, "it was not met");
	assert_int_equal(net_rdma.end(a.rdma, 1, &a.sum, &a.err), -1);
	assert_string_equal(a.err.text, "it was not met");
	shut(&a);
}

/* ---- the late, the dead and the gone ------------------------------------------------------- */

/* Knocks come to nothing for longer than a queue pair sends again. */
static void who_is_late_is_met(void **state)
{
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	start(&a, &b);
	usleep(1200000);
	start(&b, &a);
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	assert_well(&a);
	assert_well(&b);
	assert_true(a.took > 1.2);
	shut(&a);
	shut(&b);
}

static void who_never_comes_is_told(void **state)
{
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	inside(&a)->meet_seconds = 0.5;
	start(&a, &b);
	pthread_join(a.thread, NULL);
	assert_says(&a, "nothing answers at LID 1 in time");
	assert_true(a.took < 3);
	shut(&b);
	/* and who was closed before */
	assert_int_equal(net_rdma.meet(a.rdma, "r2", &a.err), -1);
	shut(&a);
}

static void a_peer_that_closes_early_is_told(void **state)
{
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	b.leaves = 1;
	act_both(&a, &b);
	assert_says(&a, "it left before the end");
	assert_true(a.took < 5);
	shut(&a);
	/* and while a waits for what should come */
	open_both(&a, &b, "nic0");
	a.sends = 0;
	b.leaves = 1;
	act_both(&a, &b);
	assert_says(&a, "it left before the end");
	shut(&a);
}

/* It has met, its NIC takes everything, and nobody looks at it. */
static void a_peer_that_hangs_is_told_in_time(void **state)
{
	struct net_pings p = { .most = 1, .seconds = 1 };
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	a.sends = a.waits = b.sends = b.waits = 0;
	act_both(&a, &b);
	rdma_stop_taking(inside(&b));
	a.sends = 1;
	a.took = clock_now();
	assert_int_equal(net_rdma.send(a.rdma, &a.rate, &a.err), -1);
	assert_string_equal(a.err.text, "it does not look at what it got for 10 s");
	assert_in_range(clock_now() - a.took, 9, 13);
	assert_int_equal(a.rate.done, 1); /* two windows are sent, and the first does not count */
	assert_int_equal(net_rdma.ping(a.rdma, &p, &a.err), -1);
	assert_string_equal(a.err.text, "the connection broke before");
	shut(&a);
	shut(&b);
}

static void a_nic_that_dies_is_told_in_time(void **state)
{
	struct end a, b;

	(void)state;
	play("* dead 20e6", "");
	open_both(&a, &b, "nic0");
	b.sends = 0;
	act_both(&a, &b);
	assert_says(&a, "it no longer answers, however often packets are sent again");
	assert_true(a.took > 1 && a.took < RDMA_PATIENCE);
	assert_in_range(a.rate.done, 1, WINDOWS - 1); /* 20 MB are four windows */
	/* who only waits finds out too */
	assert_says(&b, "it no longer answers, however often packets are sent again");
	assert_true(b.took < RDMA_PATIENCE + 2);
	shut(&a);
	shut(&b);
}

static void one_may_close_at_any_time(void **state)
{
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	shut(&a);
	shut(&b);
	open_both(&a, &b, "nic0");
	a.sends = a.waits = b.sends = b.waits = 0;
	act_both(&a, &b);
	shut(&b);
	shut(&a);
	/* while the other sends to it */
	open_both(&a, &b, "nic0");
	a.rate.seconds = 0.2;
	a.waits = b.waits = b.sends = 0;
	start(&a, &b);
	start(&b, &a);
	pthread_join(b.thread, NULL);
	usleep(300000);
	shut(&b);
	pthread_join(a.thread, NULL);
	assert_says(&a, "it left before the end");
	shut(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RDMA_TEST(ways_that_lead_nowhere_are_told),
		RDMA_TEST(a_library_that_is_none_is_told),
		RDMA_TEST(an_ethernet_port_needs_an_address),
		RDMA_TEST(memory_that_may_not_be_locked_is_told),
		RDMA_TEST(places_that_are_none_are_told),
		RDMA_TEST(a_place_survives_its_text),
		RDMA_TEST(strangers_are_not_met),
		RDMA_TEST(ends_that_do_not_fit_are_told),
		RDMA_TEST(nothing_is_done_before_the_meeting),
		RDMA_TEST(who_is_late_is_met),
		RDMA_TEST(who_never_comes_is_told),
		RDMA_TEST(a_peer_that_closes_early_is_told),
		RDMA_TEST(a_peer_that_hangs_is_told_in_time),
		RDMA_TEST(a_nic_that_dies_is_told_in_time),
		RDMA_TEST(one_may_close_at_any_time),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_machines, remove_machines);
}
