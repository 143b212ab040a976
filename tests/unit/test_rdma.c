/*
 * test_rdma.c - two ends on the double of libibverbs, in threads and in processes: what they
 * measure and count, and what NICs that spoil, forget or die make of it.
 */
#include "tests/unit/rdma_case.h"

/* ---- what is measured ---------------------------------------------------------------------- */

static void data_goes_both_ways(void **state)
{
	static const char *const nics[] = { "nic0", "nic2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nics); i++) {
		struct end a, b;

		open_both(&a, &b, nics[i]);
		a.sends = b.waits = 2;
		act_both(&a, &b);
		assert_well(&a);
		assert_well(&b);
		assert_true(a.sum.wrong_bytes == 0 && b.sum.wrong_bytes == 0);
		assert_int_equal(a.rate.done, WINDOWS);
		/* of each window the last state of the half is compared: some of what was sent */
		assert_true(b.sum.compared > 0 && b.sum.compared <= a.sum.sent);
		assert_true(a.sum.compared > 0 && a.sum.compared <= b.sum.sent);
		assert_true(b.sum.received == b.sum.compared && a.sum.strangers == 0);
		assert_true(best(&a) > 0.02 && best(&a) < 0.2);
		assert_string_equal(a.sum.interface, i ? "mlx5_2 port 1" : "mlx5_0 port 1");
		assert_true(a.sum.counted >= a.sum.sent && b.sum.counted >= b.sum.sent);
		assert_true(a.rate.retransmits == 0 && b.rate.retransmits == 0);
		assert_string_equal(real_kernels.double_of(&a.machine), "libibverbs is a double");
		shut(&a);
		shut(&b);
	}
}

/* Every window's part is compared once: all that was sent, where that never fills a half. */
static void all_that_was_sent_is_compared(void **state)
{
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	b.sends = a.waits = 0;
	act_both(&a, &b);
	assert_well(&a);
	assert_true(a.sum.sent < (WINDOWS + 1) * (uint64_t)(BYTES / 2));
	assert_true(b.sum.compared == a.sum.sent);
	assert_int_equal(a.rate.busy_windows, 0); /* nothing came back meanwhile */
	shut(&a);
	shut(&b);
}

static void rates_are_those_of_the_wire(void **state)
{
	double full, half;
	struct end a, b;

	(void)state;
	for (int slow = 0; slow < 2; slow++) {
		play(slow ? "mlx5_[01] slow 0.5" : "", "");
		open_both(&a, &b, "nic0");
		a.rate.seconds = 0.1;
		b.sends = a.waits = 0;
		act_both(&a, &b);
		assert_well(&a);
		*(slow ? &half : &full) = best(&a);
		shut(&a);
		shut(&b);
	}
	print_message("  %g and %g GB/s\n", full, half);
	assert_true(full > 0.07 && full < 0.11);
	assert_true(half > 0.035 && half < 0.055);
}

static void traffic_from_the_other_is_noticed(void **state)
{
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	a.rate.seconds = 0.1;
	b.rate.seconds = 1; /* no window of it ends while a sends */
	b.rate.windows = 1;
	act_both(&a, &b);
	assert_well(&a);
	assert_well(&b);
	assert_in_range(a.rate.busy_windows, WINDOWS - 1, WINDOWS);
	assert_int_equal(b.rate.busy_windows, 0); /* its second begins when a has long done */
	shut(&a);
	shut(&b);
}

static void pings_come_back(void **state)
{
	static const char *const how[] = { "", "* inline 0" };
	double us[50];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		struct net_pings p = { .most = 50, .seconds = 10, .us = us };
		struct end a, b;

		play(how[i], how[i]);
		open_both(&a, &b, "nic1");
		act_both(&a, &b);
		assert_well(&a);
		if (net_rdma.ping(a.rdma, &p, &a.err) < 0)
			fail_msg("%s", a.err.text);
		assert_int_equal(p.count, 50);
		for (int k = 0; k < p.count; k++)
			assert_true(us[k] > 0 && us[k] < 1e6);
		print_message("  %g us\n", median_of(us, 50).value);
		p.seconds = 0;
		assert_int_equal(net_rdma.ping(b.rdma, &p, &b.err), 0);
		assert_int_equal(p.count, 0);
		shut(&b);
		p.seconds = 10;
		assert_int_equal(net_rdma.ping(a.rdma, &p, &a.err), -1);
		assert_string_equal(a.err.text, "it left before the end");
		shut(&a);
	}
}

static void a_stream_or_many(void **state)
{
	static const int counts[] = { 1, NET_STREAMS_MOST };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct end a, b;

		assert_int_equal(try_open(&a, root_a, "nic0", counts[i]), 0);
		assert_int_equal(try_open(&b, root_b, "nic0", counts[i]), 0);
		assert_in_range(strlen(a.place), 1, 250);
		act_both(&a, &b);
		assert_well(&a);
		assert_well(&b);
		assert_true(a.sum.wrong_bytes == 0 && a.sum.compared > 0);
		shut(&a);
		shut(&b);
	}
}

/* What is written in a window goes round the half, and only its last state can be compared. */
static void small_memory_goes_round(void **state)
{
	const struct net_way way = { .nic = "nic0", .streams = 2, .bytes = 300000 };
	struct end a, b;

	(void)state;
	open_both(&a, &b, "nic0");
	net_rdma.close(a.rdma);
	assert_int_equal(net_rdma.open(&a.machine, &way, &a.rdma, a.place, &a.err), 0);
	net_rdma.close(b.rdma);
	assert_int_equal(net_rdma.open(&b.machine, &way, &b.rdma, b.place, &b.err), 0);
	assert_int_equal(inside(&a)->half, 2 * RDMA_PIECE);
	act_both(&a, &b);
	assert_well(&a);
	assert_well(&b);
	assert_true(a.sum.wrong_bytes == 0 && b.sum.wrong_bytes == 0);
	assert_int_equal(b.sum.compared, (WINDOWS + 1) * 2 * RDMA_PIECE);
	assert_true(a.sum.sent > 2 * b.sum.compared);
	shut(&a);
	shut(&b);
}

/* ---- wrong bytes --------------------------------------------------------------------------- */

enum spoil { FLIP, SWAP, STALE, SHIFT };

struct spoiling {
	enum spoil how;
	int left;
	unsigned char before[RDMA_PIECE];
};

static void spoil(void *arg, unsigned char *piece, uint64_t offset)
{
	struct spoiling *s = arg;
	unsigned char kept[8];

	if (offset == 0)
		memcpy(s->before, piece, RDMA_PIECE);
	if (offset == 0 || s->left-- <= 0)
		return;
	if (s->how == FLIP)
		piece[5000] ^= 0x10;
	if (s->how == STALE)
		memcpy(piece + 4096, s->before + 4096, 1500);
	if (s->how == SHIFT)
		memmove(piece + 8, piece + 16, 1496);
	if (s->how == SWAP) {
		memcpy(kept, piece + 800, 8);
		memcpy(piece + 800, piece + 8000, 8);
		memcpy(piece + 8000, kept, 8);
	}
}

static const struct {
	const char *name;
	enum spoil how;
	uint64_t least, most; /* wrong bytes; a byte may be equal by chance */
} spoilings[] = {
	{ "one bit", FLIP, 1, 1 },
	{ "two words for each other", SWAP, 12, 16 },
	{ "a packet of the piece before", STALE, 1000, 1500 },
	{ "words one place too far", SHIFT, 1400, 1500 },
};

static void wrong_bytes_are_counted_by_the_receiver(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(spoilings); i++) {
		static struct spoiling s;
		struct end a, b;

		print_message("  %s\n", spoilings[i].name);
		s.how = spoilings[i].how;
		s.left = 1;
		open_both(&a, &b, "nic0");
		a.rate.tamper = spoil;
		a.rate.tamper_arg = &s;
		b.sends = a.waits = 0;
		act_both(&a, &b);
		assert_well(&a);
		assert_well(&b);
		assert_in_range(b.sum.wrong_bytes, spoilings[i].least, spoilings[i].most);
		assert_int_equal(a.sum.wrong_bytes, 0);
		/* nothing of it is left in what is sent next */
		assert_false(inside(&a)->is_filled);
		a.rate.tamper = NULL;
		assert_int_equal(net_rdma.send(a.rdma, &a.rate, &a.err), 0);
		assert_int_equal(net_rdma.end(b.rdma, 2, &b.sum, &b.err), 0);
		assert_in_range(b.sum.wrong_bytes, spoilings[i].least, spoilings[i].most);
		shut(&a);
		shut(&b);
	}
}

static void a_nic_that_spoils_is_found(void **state)
{
	struct end a, b;

	(void)state;
	play("* corrupt 7", "");
	open_both(&a, &b, "nic0");
	act_both(&a, &b);
	assert_well(&a);
	assert_well(&b);
	/* one byte of each seventh piece */
	assert_in_range(b.sum.wrong_bytes, a.sum.sent / RDMA_PIECE / 7,
			a.sum.sent / RDMA_PIECE / 7 + 1);
	assert_int_equal(a.sum.wrong_bytes, 0);
	shut(&a);
	shut(&b);
}

/* What is stale is of another window, two before, or nothing. */
static void a_nic_that_forgets_is_found(void **state)
{
	struct end a, b;
	uint64_t pieces;

	(void)state;
	play("", "* forgets 50");
	open_both(&a, &b, "nic0");
	b.sends = a.waits = 0;
	act_both(&a, &b);
	assert_well(&a);
	assert_well(&b);
	pieces = a.sum.sent / RDMA_PIECE / 50;
	assert_true(pieces > 0);
	assert_in_range(b.sum.wrong_bytes, pieces * RDMA_PIECE * 3 / 4, pieces * RDMA_PIECE);
	shut(&a);
	shut(&b);
}

static void windows_differ_at_every_place(void **state)
{
	struct rdma r = { .span = 4 * RDMA_PIECE };
	uint64_t words[64];

	(void)state;
	rdma_fill(7, words, 0, sizeof(words));
	assert_int_equal(rdma_compare(7, words, 0, sizeof(words)), 0);
	assert_true(rdma_compare(8, words, 0, sizeof(words)) > 0);
	for (uint64_t w = 0; w < 4096; w++) {
		assert_true(rdma_shift(&r, w) < r.span && rdma_shift(&r, w) % 64 == 0);
		assert_true(rdma_shift(&r, w) != rdma_shift(&r, w + 2));
		assert_true(rdma_compare(7, words, rdma_shift(&r, w), sizeof(words)) > 0 ||
			    rdma_shift(&r, w) == 0);
	}
	words[63] ^= 0x0100010000;
	assert_int_equal(rdma_compare(7, words, 0, sizeof(words)), 2);
	assert_int_equal(rdma_compare(7, words + 63, 63 * 8, 8), 2); /* no whole block */
}

/* ---- counters ------------------------------------------------------------------------------ */

static void what_is_sent_again_is_counted(void **state)
{
	struct end a, b;

	(void)state;
	play("* loses 5", "");
	open_both(&a, &b, "nic0");
	a.rate.seconds = 0.1;
	act_both(&a, &b);
	assert_well(&a);
	assert_true(a.rate.retransmits > 20);
	assert_int_equal(b.rate.retransmits, 0);
	shut(&a);
	shut(&b);
}

static void a_port_that_counts_nothing_says_so(void **state)
{
	struct rdma_port port = { .device = "mlx5_9", .number = 1 };
	struct machine m = { .root = root_a };
	char name[32];

	(void)state;
	assert_true(rdma_retransmits(&m, &port) == -1 && rdma_counter(&m, &port) == -1);
	put(root_a, "sys/class/infiniband/mlx5_9/ports/1/counters/port_xmit_data", "250");
	put(root_a, "sys/class/infiniband/mlx5_9/ports/1/hw_counters/packet_seq_err", "3");
	put(root_a, "sys/class/infiniband/mlx5_9/ports/1/hw_counters/rnr_nak_retry_err", "4");
	assert_true(rdma_counter(&m, &port) == 1000); /* words of 32 bits */
	assert_true(rdma_retransmits(&m, &port) == 7);
	put(root_a, "sys/class/net/rail0/statistics/tx_bytes", "77");
	port.is_soft = 1;
	snprintf(port.netdev, sizeof(port.netdev), "rail0");
	rdma_counter_name(&port, name);
	assert_string_equal(name, "rail0");
	assert_true(rdma_counter(&m, &port) == 77);
	shell("rm -r %s/sys/class/infiniband/mlx5_9%s", root_a, "");
}

static void bytes_that_take_another_way_are_not_accounted_for(void **state)
{
	struct end a, b;

	(void)state;
	play("mlx5_0 wrong_path", "");
	open_both(&a, &b, "nic0");
	act_both(&a, &b);
	assert_well(&a);
	assert_string_equal(a.sum.interface, "mlx5_0 port 1");
	assert_true(a.sum.counted < a.sum.sent && b.sum.counted >= b.sum.sent);
	shut(&a);
	shut(&b);
}

/* ---- processes ----------------------------------------------------------------------------- */

static void swap_places(struct end *e, int from, int to, char other[NET_PLACE])
{
	assert_int_equal(write(to, e->place, NET_PLACE), NET_PLACE);
	assert_int_equal(read(from, other, NET_PLACE), NET_PLACE);
	e->other = other;
}

/* One root for both, as where several names are played on one recorded machine. */
static void ends_may_be_processes(void **state)
{
	char other[NET_PLACE];
	int up[2], down[2], status;
	struct end e;
	pid_t child;

	(void)state;
	assert_true(pipe(up) == 0 && pipe(down) == 0);
	child = fork();
	if (child == 0) {
		if (try_open(&e, root_a, "nic1", STREAMS) < 0)
			_exit(2);
		swap_places(&e, down[0], up[1], other);
		act(&e);
		if (e.rc)
			fprintf(stderr, "child: %s\n", e.err.text);
		shut(&e);
		_exit(e.rc || e.sum.wrong_bytes || !e.sum.compared);
	}
	assert_int_equal(try_open(&e, root_a, "nic1", STREAMS), 0);
	swap_places(&e, up[0], down[1], other);
	act(&e);
	assert_well(&e);
	assert_true(e.sum.wrong_bytes == 0 && e.sum.compared > 0);
	assert_true(e.sum.counted >= e.sum.sent);
	shut(&e);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_process_that_is_killed_is_told(void **state)
{
	char other[NET_PLACE];
	int up[2], down[2];
	struct end e;
	pid_t child;

	(void)state;
	assert_true(pipe(up) == 0 && pipe(down) == 0);
	child = fork();
	if (child == 0) {
		if (try_open(&e, root_b, "nic1", STREAMS) < 0)
			_exit(2);
		swap_places(&e, down[0], up[1], other);
		if (net_rdma.meet(e.rdma, e.other, &e.err) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(try_open(&e, root_a, "nic1", STREAMS), 0);
	swap_places(&e, up[0], down[1], other);
	act(&e);
	assert_says(&e, "it no longer answers, however often packets are sent again");
	assert_true(e.took < RDMA_PATIENCE);
	shut(&e);
	waitpid(child, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RDMA_TEST(data_goes_both_ways),
		RDMA_TEST(all_that_was_sent_is_compared),
		RDMA_TEST(rates_are_those_of_the_wire),
		RDMA_TEST(traffic_from_the_other_is_noticed),
		RDMA_TEST(pings_come_back),
		RDMA_TEST(a_stream_or_many),
		RDMA_TEST(small_memory_goes_round),
		RDMA_TEST(wrong_bytes_are_counted_by_the_receiver),
		RDMA_TEST(a_nic_that_spoils_is_found),
		RDMA_TEST(a_nic_that_forgets_is_found),
		RDMA_TEST(windows_differ_at_every_place),
		RDMA_TEST(what_is_sent_again_is_counted),
		RDMA_TEST(a_port_that_counts_nothing_says_so),
		RDMA_TEST(bytes_that_take_another_way_are_not_accounted_for),
		RDMA_TEST(ends_may_be_processes),
		RDMA_TEST(a_process_that_is_killed_is_told),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_machines, remove_machines);
}
