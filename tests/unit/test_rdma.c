/*
 * test_rdma.c - two ends on the double of libibverbs, in threads and in processes: what they
 * measure, and what is said of NICs that are sick and of peers that are strange, dead or gone.
 */
#include "kernels/rdma.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { STREAMS = 3, WINDOWS = 6, BYTES = 64 << 20 };

/* ---- recorded machines --------------------------------------------------------------------- */

static char folder[] = "/tmp/rdma.XXXXXX";

static void put(const char *root, const char *file, const char *text)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, file);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", text);
	fclose(f);
}

static void put_in(const char *root, const char *where, const char *file, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", where, file);
	put(root, path, text);
}

/* nic0 and nic1 are InfiniBand, nic2 is RoCE, nic3 has an interface alone. */
static void nic(const char *root, int number)
{
	const int is_rdma = number < 3;
	char pci[80], port[80];

	snprintf(pci, sizeof(pci), "sys/bus/pci/devices/0000:1%d:00.0", number);
	put_in(root, pci, "class", is_rdma ? "0x020700" : "0x020000");
	put_in(root, pci, "vendor", "0x15b3");
	put_in(root, pci, "device", "0x1021");
	put_in(root, pci, "numa_node", "0");
	snprintf(port, sizeof(port), "net/ib%d/address", number);
	put_in(root, pci, port, "00");
	if (!is_rdma)
		return;
	snprintf(port, sizeof(port), "infiniband/mlx5_%d/node_guid", number);
	put_in(root, pci, port, "0");
	snprintf(port, sizeof(port), "sys/class/infiniband/mlx5_%d/ports/1", number);
	put_in(root, port, "state", "4: ACTIVE");
	put_in(root, port, "link_layer", number == 2 ? "Ethernet" : "InfiniBand");
	if (number < 2)
		return;
	put_in(root, port, "gids/0", "fe80:0000:0000:0000:5054:00ff:fe00:0001");
	put_in(root, port, "gid_attrs/types/0", "RoCE v2");
	put_in(root, port, "gids/1", "0000:0000:0000:0000:0000:ffff:0a00:0001");
	put_in(root, port, "gid_attrs/types/1", "IB/RoCE v1");
	put_in(root, port, "gids/2", "2001:0db8:0000:0000:0000:0000:0000:0001");
	put_in(root, port, "gid_attrs/types/2", "RoCE v2");
	put_in(root, port, "gids/3", "0000:0000:0000:0000:0000:ffff:0a00:0001");
	put_in(root, port, "gid_attrs/types/3", "RoCE v2");
}

static void shell(const char *fmt, const char *a, const char *b)
{
	char *command = xasprintf(fmt, a, b);

	assert_int_equal(system(command), 0);
	free(command);
}

/* A copy of the double in each, or they would be one library with one root. */
static void machine_make(const char *root)
{
	const char *doubles = getenv("ASSAY_VERBS");

	assert_non_null(doubles);
	for (int i = 0; i < 4; i++)
		nic(root, i);
	put(root, "lib/verbs.txt", "");
	shell("cp %s/libibverbs.so.1 %s/lib/", doubles, root);
}

static char root_a[64], root_b[64];

static int make_machines(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(root_a, sizeof(root_a), "%s/a", folder);
	snprintf(root_b, sizeof(root_b), "%s/b", folder);
	machine_make(root_a);
	machine_make(root_b);
	return 0;
}

static int remove_machines(void **state)
{
	(void)state;
	shell("rm -r %s%s", folder, "");
	return 0;
}

/* What the NICs of both do until the next test. */
static void play(const char *of_a, const char *of_b)
{
	put(root_a, "lib/verbs.txt", of_a);
	put(root_b, "lib/verbs.txt", of_b);
}

static int healthy(void **state)
{
	(void)state;
	play("", "");
	return 0;
}

/* ---- two ends ------------------------------------------------------------------------------ */

struct end {
	struct machine machine;
	struct meeting *rdma;
	char place[NET_PLACE];
	const char *other;
	struct net_rate rate;
	struct net_sum sum;
	double gbs[WINDOWS];
	int sends, waits; /* runs of its own, and runs that it waits for */
	int leaves;       /* closes right after it has met */
	int rc;
	struct error err;
	double took;
	pthread_t thread;
};

static struct rdma *inside(const struct end *e)
{
	return (struct rdma *)e->rdma;
}

static int try_open(struct end *e, char *root, const char *name, int streams)
{
	const struct net_way way = { .nic = name, .streams = streams, .bytes = BYTES };

	memset(e, 0, sizeof(*e));
	e->machine.root = root;
	e->sends = e->waits = 1;
	e->rate = (struct net_rate){ .seconds = 0.05, .windows = WINDOWS, .gbs = e->gbs };
	return net_rdma.open(&e->machine, &way, &e->rdma, e->place, &e->err);
}

static void open_both(struct end *a, struct end *b, const char *name)
{
	if (try_open(a, root_a, name, STREAMS) < 0)
		fail_msg("%s", a->err.text);
	if (try_open(b, root_b, name, STREAMS) < 0)
		fail_msg("%s", b->err.text);
	assert_in_range(strlen(a->place), 1, 250);
	inside(a)->meet_seconds = inside(b)->meet_seconds = 5;
}

static void shut(struct end *e)
{
	net_rdma.close(e->rdma);
	e->rdma = NULL;
	verbs_close(&e->machine);
}

static void *act(void *arg)
{
	struct end *e = arg;
	double began = clock_now();

	e->rc = net_rdma.meet(e->rdma, e->other, &e->err);
	for (int i = 0; i < e->sends && e->rc == 0 && !e->leaves; i++)
		e->rc = net_rdma.send(e->rdma, &e->rate, &e->err);
	if (e->rc == 0 && !e->leaves)
		e->rc = net_rdma.end(e->rdma, e->waits, &e->sum, &e->err);
	e->took = clock_now() - began;
	if (e->leaves)
		shut(e);
	return NULL;
}

static void start(struct end *e, const struct end *other)
{
	e->other = other->place;
	assert_int_equal(pthread_create(&e->thread, NULL, act, e), 0);
}

static void act_both(struct end *a, struct end *b)
{
	start(a, b);
	start(b, a);
	pthread_join(a->thread, NULL);
	pthread_join(b->thread, NULL);
}

static void assert_well(const struct end *e)
{
	if (e->rc)
		fail_msg("%s", e->err.text);
}

static void assert_says(const struct end *e, const char *words)
{
	assert_int_equal(e->rc, -1);
	if (!strstr(e->err.text, words))
		fail_msg("'%s' instead of '%s'", e->err.text, words);
}

static double best(const struct end *e)
{
	return median_of(e->gbs, WINDOWS).value;
}

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
#define TEST(name) cmocka_unit_test_setup(name, healthy)
		TEST(data_goes_both_ways),
		TEST(all_that_was_sent_is_compared),
		TEST(rates_are_those_of_the_wire),
		TEST(traffic_from_the_other_is_noticed),
		TEST(pings_come_back),
		TEST(a_stream_or_many),
		TEST(small_memory_goes_round),
		TEST(wrong_bytes_are_counted_by_the_receiver),
		TEST(a_nic_that_spoils_is_found),
		TEST(a_nic_that_forgets_is_found),
		TEST(windows_differ_at_every_place),
		TEST(what_is_sent_again_is_counted),
		TEST(a_port_that_counts_nothing_says_so),
		TEST(bytes_that_take_another_way_are_not_accounted_for),
		TEST(ways_that_lead_nowhere_are_told),
		TEST(a_library_that_is_none_is_told),
		TEST(an_ethernet_port_needs_an_address),
		TEST(memory_that_may_not_be_locked_is_told),
		TEST(places_that_are_none_are_told),
		TEST(a_place_survives_its_text),
		TEST(strangers_are_not_met),
		TEST(ends_that_do_not_fit_are_told),
		TEST(nothing_is_done_before_the_meeting),
		TEST(who_is_late_is_met),
		TEST(who_never_comes_is_told),
		TEST(a_peer_that_closes_early_is_told),
		TEST(a_peer_that_hangs_is_told_in_time),
		TEST(a_nic_that_dies_is_told_in_time),
		TEST(one_may_close_at_any_time),
		TEST(ends_may_be_processes),
		TEST(a_process_that_is_killed_is_told),
#undef TEST
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_machines, remove_machines);
}
