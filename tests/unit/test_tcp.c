/*
 * test_tcp.c - two ends on this machine: what they measure, and what strangers, traitors and the
 * dead get.
 */
#include "kernels/tcp.h"

#include <ifaddrs.h>
#include <math.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { STREAMS = 3, WINDOWS = 6 };

struct end {
	struct machine machine;
	struct meeting *tcp;
	char place[NET_PLACE];
	struct tcp_place own; /* what the place says */
	const char *other;
	struct net_rate rate;
	struct net_sum sum;
	double gbs[WINDOWS];
	int sends, waits; /* runs of its own, and runs that it waits for */
	int leaves;       /* closes right after it has met */
	int rc;
	struct error err;
	pthread_t thread;
};

static char no_root[] = "";

static void open_end(struct end *e, const char *peer)
{
	const struct net_way way = { .peer = peer, .streams = STREAMS };

	memset(e, 0, sizeof(*e));
	e->machine.root = no_root;
	e->sends = e->waits = 1;
	e->rate = (struct net_rate){ .seconds = 0.02, .windows = WINDOWS, .gbs = e->gbs };
	if (net_tcp.open(&e->machine, &way, &e->tcp, e->place, &e->err) < 0)
		fail_msg("%s", e->err.text);
	assert_int_equal(
		sscanf(e->place, "%63s %d %32s", e->own.address, &e->own.port, e->own.token), 3);
}

static void *play(void *arg)
{
	struct end *e = arg;

	e->rc = net_tcp.meet(e->tcp, e->other, &e->err);
	for (int i = 0; i < e->sends && e->rc == 0 && !e->leaves; i++)
		e->rc = tcp_send(e->tcp, &e->rate, &e->err);
	if (e->rc == 0 && !e->leaves)
		e->rc = tcp_end(e->tcp, e->waits, &e->sum, &e->err);
	if (e->leaves) {
		net_tcp.close(e->tcp);
		e->tcp = NULL;
	}
	return NULL;
}

static void start(struct end *e, const struct end *other)
{
	e->other = other->place;
	assert_int_equal(pthread_create(&e->thread, NULL, play, e), 0);
}

static void play_both(struct end *a, struct end *b)
{
	start(a, b);
	start(b, a);
	pthread_join(a->thread, NULL);
	pthread_join(b->thread, NULL);
}

static void close_both(struct end *a, struct end *b)
{
	net_tcp.close(a->tcp);
	net_tcp.close(b->tcp);
}

static void data_goes_both_ways(void **state)
{
	struct end a, b;
	double sum = 0;

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	assert_int_equal(strlen(a.own.token), TCP_TOKEN);
	assert_string_not_equal(a.own.token, b.own.token);
	assert_string_equal(a.own.address, "127.0.0.1");
	a.sends = b.waits = 2;
	play_both(&a, &b);
	if (a.rc || b.rc)
		fail_msg("%s %s", a.err.text, b.err.text);
	assert_true(a.sum.wrong_bytes == 0 && b.sum.wrong_bytes == 0);
	assert_true(a.sum.strangers == 0 && b.sum.strangers == 0);
	/* Every byte that was acknowledged was taken and compared, and there were some. */
	assert_true(b.sum.received == a.sum.sent && a.sum.received == b.sum.sent);
	assert_true(a.sum.received >= STREAMS * TCP_CHUNK);
	for (int i = 0; i < WINDOWS; i++) {
		/* on a busy machine a window may pass without a byte */
		assert_true(a.gbs[i] >= 0 && a.gbs[i] < 1000);
		sum += a.gbs[i];
	}
	assert_true(sum > 0);
	assert_string_equal(a.sum.interface, ""); /* the loopback proves no path */
	close_both(&a, &b);
}

/* The rate is that of the bytes: a window's worth of what was sent. */
static void rates_are_bytes_by_time(void **state)
{
	struct end a, b;
	double sum = 0;

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	a.rate.seconds = 0.1;
	b.sends = a.waits = 0;
	play_both(&a, &b);
	assert_int_equal(a.rc, 0);
	for (int i = 0; i < WINDOWS; i++)
		sum += a.gbs[i] * 1e9 * a.rate.seconds;
	/* six windows of seven that were sent, and a little behind the last */
	assert_true(sum < (double)a.sum.sent * 1.001 && sum > (double)a.sum.sent * 0.5);
	assert_int_equal(a.rate.busy_windows, 0); /* nothing came back meanwhile */
	assert_true(b.sum.received == a.sum.sent);
	close_both(&a, &b);
}

static void traffic_from_the_other_is_noticed(void **state)
{
	struct end a, b;

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	a.rate.seconds = 0.1;
	b.rate.seconds = 0.3; /* so b still sends when a has done */
	play_both(&a, &b);
	assert_true(a.rc == 0 && b.rc == 0);
	assert_in_range(a.rate.busy_windows, WINDOWS / 2, WINDOWS);
	assert_in_range(b.rate.busy_windows, 0, WINDOWS - 1);
	close_both(&a, &b);
}

static void pings_come_back(void **state)
{
	struct net_pings p = { .most = 50, .seconds = 10 };
	struct end a, b;
	double us[50];

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	a.sends = a.waits = b.sends = b.waits = 0;
	play_both(&a, &b);
	p.us = us;
	assert_int_equal(tcp_ping(a.tcp, &p, &a.err), 0);
	assert_int_equal(p.count, 50);
	for (int i = 0; i < p.count; i++)
		assert_true(us[i] > 0 && us[i] < 1e6);
	p.seconds = 0;
	assert_int_equal(tcp_ping(b.tcp, &p, &b.err), 0);
	assert_int_equal(p.count, 0);
	net_tcp.close(b.tcp);
	p.seconds = 10;
	assert_int_equal(tcp_ping(a.tcp, &p, &a.err), -1);
	assert_true(strstr(a.err.text, "it closed the connection") ||
		    strstr(a.err.text, "the connection broke"));
	net_tcp.close(a.tcp);
}

/* ---- wrong bytes --------------------------------------------------------------------------- */

enum spoil { FLIP, SWAP, STALE, SHIFT, FIRST };

struct spoiling {
	enum spoil how;
	atomic_int left; /* chunks still to be spoiled */
	unsigned char before[TCP_CHUNK];
};

static void spoil(void *arg, unsigned char *chunk, uint64_t offset)
{
	struct spoiling *s = arg;
	unsigned char kept[8];

	/* The second chunk of a stream, so that there is one before it. */
	if (offset == 0 && s->how == STALE)
		memcpy(s->before, chunk, TCP_CHUNK);
	if (offset != TCP_CHUNK)
		return;
	if (atomic_fetch_sub(&s->left, 1) <= 0)
		return;
	if (s->how == FLIP)
		chunk[5000] ^= 0x10;
	if (s->how == FIRST)
		chunk[3] ^= 1;
	if (s->how == STALE)
		memcpy(chunk + 4096, s->before + 4096, 1500);
	if (s->how == SHIFT)
		memmove(chunk + 8, chunk + 16, 1496);
	if (s->how == SWAP) {
		memcpy(kept, chunk + 800, 8);
		memcpy(chunk + 800, chunk + 8000, 8);
		memcpy(chunk + 8000, kept, 8);
	}
}

static const struct {
	const char *name;
	enum spoil how;
	uint64_t least, most; /* wrong bytes; a byte may be equal by chance */
} spoilings[] = {
	{ "one bit", FLIP, 1, 1 },
	{ "one bit of a chunk's first word", FIRST, 1, 1 },
	{ "two words for each other", SWAP, 12, 16 },
	{ "a packet of the chunk before", STALE, 1000, 1500 }, /* its lowest bytes are the same */
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
		atomic_store(&s.left, 1);
		open_end(&a, "127.0.0.1");
		open_end(&b, "127.0.0.1");
		a.rate.seconds = 0.1;
		a.rate.tamper = spoil;
		a.rate.tamper_arg = &s;
		b.sends = a.waits = 0;
		play_both(&a, &b);
		assert_true(a.rc == 0 && b.rc == 0);
		assert_in_range(b.sum.wrong_bytes, spoilings[i].least, spoilings[i].most);
		assert_int_equal(a.sum.wrong_bytes, 0);
		close_both(&a, &b);
	}
}

/* ---- strangers ----------------------------------------------------------------------------- */

static int knock(const struct end *e)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)e->own.port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, e->own.address, &to.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Closed without a word. */
static void assert_turned_away(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

static void strangers_are_turned_away(void **state)
{
	char hello[TCP_HELLO + 1], twice[TCP_HELLO + 1];
	struct end a, b;
	int silent, wrong, odd, beyond, gone;

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	silent = knock(&a);
	gone = knock(&a);
	close(gone);
	wrong = knock(&a);
	snprintf(hello, sizeof(hello), "%s00\n", b.own.token); /* the other's own */
	assert_int_equal(send(wrong, hello, TCP_HELLO, 0), TCP_HELLO);
	odd = knock(&a);
	assert_int_equal(send(odd, "GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n", 43, 0), 43);
	beyond = knock(&a);
	snprintf(twice, sizeof(twice), "%s%02x\n", a.own.token, STREAMS + 1);
	assert_int_equal(send(beyond, twice, TCP_HELLO, 0), TCP_HELLO);
	start(&a, &b);
	usleep(500000); /* so that they are heard before the one who may come in */
	start(&b, &a);
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	if (a.rc || b.rc)
		fail_msg("%s %s", a.err.text, b.err.text);
	assert_int_equal(a.sum.strangers, 5);
	assert_int_equal(b.sum.strangers, 0);
	assert_true(a.sum.wrong_bytes == 0 && a.sum.received == b.sum.sent);
	assert_turned_away(silent);
	assert_turned_away(wrong);
	assert_turned_away(odd);
	assert_turned_away(beyond);
	close_both(&a, &b);
}

static void a_crowd_of_strangers_holds_nobody_up(void **state)
{
	int crowd[100];
	struct end a, b;

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	start(&a, &b);
	usleep(100000);
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++)
		crowd[i] = knock(&a);
	start(&b, &a);
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	if (a.rc || b.rc)
		fail_msg("%s %s", a.err.text, b.err.text);
	/* who still stood in the kernel's queue when the door was closed is not counted */
	assert_in_range(a.sum.strangers, 1, ARRAY_SIZE(crowd));
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++)
		close(crowd[i]);
	close_both(&a, &b);
}

/* Nothing listens once two have met. */
static void the_door_is_closed_afterwards(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct end a, b;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	play_both(&a, &b);
	inet_pton(AF_INET, a.own.address, &to.sin_addr);
	to.sin_port = htons((uint16_t)a.own.port);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	close(fd);
	close_both(&a, &b);
}

/* ---- the dead ------------------------------------------------------------------------------ */

static void a_peer_that_closes_early_is_told(void **state)
{
	struct end a, b;

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	b.leaves = 1;
	play_both(&a, &b);
	assert_int_equal(a.rc, -1);
	assert_true(strstr(a.err.text, "it closed the connection") ||
		    strstr(a.err.text, "the connection broke") ||
		    strstr(a.err.text, "it does not say what it has got"));
	net_tcp.close(a.tcp);
	/* and while a waits for what should come */
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	a.sends = 0;
	b.leaves = 1;
	play_both(&a, &b);
	assert_int_equal(a.rc, -1);
	assert_string_equal(a.err.text, "it closed the connection before it had sent all");
	net_tcp.close(a.tcp);
}

/* It has met and then hangs: neither takes nor sends anything. */
static void a_peer_that_hangs_is_told_in_time(void **state)
{
	struct end a, b;
	double began = clock_now();

	(void)state;
	open_end(&a, "127.0.0.1");
	open_end(&b, "127.0.0.1");
	start(&a, &b);
	/* b by hand: it connects and lets in, and starts no thread that receives */
	{
		const struct tcp *e = (struct tcp *)b.tcp;
		int fds[STREAMS + 1], taken[STREAMS + 1];
		char hello[TCP_HELLO + 1], word[TCP_HELLO];

		for (int i = 0; i <= STREAMS; i++) {
			fds[i] = knock(&a);
			snprintf(hello, sizeof(hello), "%s%02x\n", a.own.token, (unsigned)i);
			assert_int_equal(send(fds[i], hello, TCP_HELLO, 0), TCP_HELLO);
		}
		for (int i = 0; i <= STREAMS; i++) {
			struct pollfd p = { .fd = e->listener, .events = POLLIN };

			assert_int_equal(poll(&p, 1, 5000), 1);
			taken[i] = accept(e->listener, NULL, NULL);
			assert_int_equal(recv(taken[i], word, TCP_HELLO, MSG_WAITALL), TCP_HELLO);
			assert_int_equal(send(taken[i], "k", 1, 0), 1);
		}
		pthread_join(a.thread, NULL);
		for (int i = 0; i <= STREAMS; i++) {
			close(fds[i]);
			close(taken[i]);
		}
	}
	assert_int_equal(a.rc, -1);
	assert_true(strstr(a.err.text, "it took nothing in time") ||
		    strstr(a.err.text, "it sent nothing in time"));
	assert_true(clock_now() - began < 30);
	close_both(&a, &b);
}

#define TOKEN "fedcba9876543210fedcba9876543210"
#define UNSAID "it does not say where it can be met"

/* What the other end gives out came over the wire and may be anything. */
static const struct {
	const char *place, *why;
} nowhere[] = {
	{ "", UNSAID },
	{ "10.0.0.2", UNSAID },
	{ "10.0.0.2 5000", UNSAID },
	{ "10.0.0.2 0 " TOKEN, UNSAID },
	{ "10.0.0.2 65536 " TOKEN, UNSAID },
	{ "10.0.0.2 -1 " TOKEN, UNSAID },
	{ "10.0.0.2 5000 fedcba9876543210fedcba987654321", UNSAID },
	{ "10.0.0.2 5000 " TOKEN "0", UNSAID },
	{ "10.0.0.2 5000 fedcba9876543210fedcba987654321x", UNSAID },
	{ "10.0.0.2 5000 " TOKEN " more", UNSAID },
	{ "10.0.0.2 5000 " TOKEN " ", UNSAID },
	{ "00000000000000000000000000000000000000000000000000000000000000000000 1 " TOKEN, UNSAID },
	{ "localhost 1 " TOKEN, "no address of localhost is known here" },
	{ "300.1.1.1 1 " TOKEN, "no address of 300.1.1.1 is known here" },
	{ "127.0.0.1 1 " TOKEN, "no connection to 127.0.0.1 port 1: " },
};

static void places_that_are_none_are_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		struct end a;

		print_message("  %s\n", nowhere[i].place);
		open_end(&a, "127.0.0.1");
		assert_int_equal(net_tcp.meet(a.tcp, nowhere[i].place, &a.err), -1);
		assert_non_null(strstr(a.err.text, nowhere[i].why));
		net_tcp.close(a.tcp);
	}
}

static void ways_that_lead_nowhere_are_told(void **state)
{
	struct machine recorded = { .root = (char[]){ "/recorded" } };
	struct machine real = { .root = no_root };
	struct net_way way = { .peer = "no-such-name.invalid", .streams = 1 };
	char place[NET_PLACE];
	struct meeting *x;
	struct error err;

	(void)state;
	assert_int_equal(net_tcp.open(&real, &way, &x, place, &err), -1);
	assert_non_null(strstr(err.text, "no address of no-such-name.invalid is known here"));
	way.peer = "127.0.0.1";
	way.streams = NET_STREAMS_MOST + 1;
	assert_int_equal(net_tcp.open(&real, &way, &x, place, &err), -1);
	assert_string_equal(err.text, "streams must be from 1 to 32");
	way.streams = 1;
	assert_int_equal(net_tcp.open(&recorded, &way, &x, place, &err), -1);
	assert_string_equal(err.text, "a recorded machine has no network");
	net_tcp.close(NULL);
}

/* ---- which way ----------------------------------------------------------------------------- */

/* An address of ours that is no loopback: what goes to it goes through the loopback all the same.
 */
static int own_address(char *text, size_t room)
{
	struct ifaddrs *all;
	int found = 0;

	assert_int_equal(getifaddrs(&all), 0);
	for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
		found = i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
			!(i->ifa_flags & IFF_LOOPBACK) && (i->ifa_flags & IFF_UP) &&
			getnameinfo(i->ifa_addr, sizeof(struct sockaddr_in), text, (socklen_t)room,
				    NULL, 0, NI_NUMERICHOST) == 0;
	freeifaddrs(all);
	return found;
}

static void bytes_that_take_another_way_are_not_accounted_for(void **state)
{
	struct end a, b;
	char address[64];

	(void)state;
	if (!own_address(address, sizeof(address))) {
		print_message("not tested here: this machine has no address but the loopback's\n");
		skip();
	}
	open_end(&a, address);
	open_end(&b, address);
	a.rate.seconds = b.rate.seconds = 0.1;
	play_both(&a, &b);
	assert_true(a.rc == 0 && b.rc == 0);
	assert_true(*a.sum.interface);
	assert_true(a.sum.counted < a.sum.sent);
	close_both(&a, &b);
}

static void write_counter(const char *folder, const char *value)
{
	char *path = xasprintf("%s/sys/class/net/if0/statistics/tx_bytes", folder);
	struct error err;

	assert_int_equal(file_replace(path, value, strlen(value), &err), 0);
	free(path);
}

/* What the interface has sent since the two met, against what was acknowledged. */
static void interfaces_are_asked_what_they_sent(void **state)
{
	static const char *const parts[] = { "sys", "class", "net", "if0", "statistics" };
	char folder[] = "/tmp/tcp.XXXXXX", path[200];
	struct machine m = { .root = folder };
	struct tcp t = { .machine = &m, .interface = "if0", .counted = 1000, .sent = 5000 };
	struct net_sum sum;
	double began;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s", folder);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t len = strlen(path);

		snprintf(path + len, sizeof(path) - len, "/%s", parts[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	write_counter(folder, "6000\n");
	tcp_account(&t, &sum);
	assert_true(sum.counted == 5000 && sum.sent == 5000);
	assert_string_equal(sum.interface, "if0");
	write_counter(folder, "5999\n");
	began = clock_now();
	tcp_account(&t, &sum); /* waits for a counter that lags */
	assert_true(sum.counted == 4999 && clock_now() - began > 2);
	write_counter(folder, "10\n");
	tcp_account(&t, &sum); /* it went backwards: it tells nothing */
	assert_true(sum.counted == 0);
	snprintf(path, sizeof(path), "rm -r %s", folder);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_goes_both_ways),
		cmocka_unit_test(rates_are_bytes_by_time),
		cmocka_unit_test(traffic_from_the_other_is_noticed),
		cmocka_unit_test(pings_come_back),
		cmocka_unit_test(wrong_bytes_are_counted_by_the_receiver),
		cmocka_unit_test(strangers_are_turned_away),
		cmocka_unit_test(a_crowd_of_strangers_holds_nobody_up),
		cmocka_unit_test(the_door_is_closed_afterwards),
		cmocka_unit_test(a_peer_that_closes_early_is_told),
		cmocka_unit_test(a_peer_that_hangs_is_told_in_time),
		cmocka_unit_test(places_that_are_none_are_told),
		cmocka_unit_test(ways_that_lead_nowhere_are_told),
		cmocka_unit_test(bytes_that_take_another_way_are_not_accounted_for),
		cmocka_unit_test(interfaces_are_asked_what_they_sent),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
