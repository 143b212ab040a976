/*
 * tcp.c - how two nodes meet over TCP, and how nobody else gets in between.
 *
 * Each listens for a few seconds on a port that the kernel chooses, bound to the one address that
 * leads to the other, and takes only connections that begin with its token, which went to the other
 * through the controller. Whoever comes without it is closed and counted, and cannot hold us up:
 * all who have not said their token yet are waited for together.
 */
#include "kernels/tcp.h"

#include <errno.h>
#include <ifaddrs.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <linux/tcp.h> /* not netinet/tcp.h: its tcp_info ends before bytes_acked */

enum {
	MEET_SECONDS = 20,
	HELLO_SECONDS = 5, /* for one who connected to say its token */
	CROWD_SECONDS = 1, /* the same while there is no place for others */
	GUESTS_MOST = 64,  /* who have not said it yet */
};

int tcp_wait(int fd, short events, double deadline, const char *what, struct error *err)
{
	struct pollfd p = { .fd = fd, .events = events };
	int rc;

	do {
		double left = deadline - clock_now();
		int ms = !(deadline < INFINITY) ? -1 : left > 0 ? (int)ceil(left * 1000) : 0;

		rc = poll(&p, 1, ms);
	} while (rc < 0 && errno == EINTR);
	if (rc > 0)
		return 0;
	return rc < 0 ? error_sys(err, "poll") : error_set(err, "%s in time", what);
}

/* ---- where we are -------------------------------------------------------------------------- */

static int resolve(const char *name, int port, int is_numeric, struct sockaddr_storage *address,
		   socklen_t *len, struct error *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICSERV |
						    (is_numeric ? AI_NUMERICHOST : 0) };
	struct addrinfo *found;
	char service[12];
	int rc;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(name, service, &hints, &found);
	if (rc)
		return error_set(err, "no address of %s is known here: %s", name, gai_strerror(rc));
	memcpy(address, found->ai_addr, found->ai_addrlen);
	*len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static void set_port(struct sockaddr_storage *a, int port)
{
	if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)a)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)(void *)a)->sin_port = htons((uint16_t)port);
}

/* The address that packets to the other would carry as their source. */
static int find_own(struct tcp *t, const char *peer, struct error *err)
{
	struct sockaddr_storage to;
	socklen_t len;
	int fd, rc;

	if (resolve(peer, 9, 0, &to, &len, err) < 0)
		return -1;
	fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(err, "socket");
	t->address_len = sizeof(t->address);
	rc = connect(fd, (struct sockaddr *)&to, len);
	if (rc == 0)
		rc = getsockname(fd, (struct sockaddr *)&t->address, &t->address_len);
	if (rc < 0)
		error_sys(err, "there is no route to %s", peer);
	close(fd);
	set_port(&t->address, 0);
	return rc;
}

static int same_address(const struct sockaddr *a, const struct sockaddr_storage *b)
{
	if (!a || a->sa_family != b->ss_family)
		return 0;
	if (a->sa_family == AF_INET6)
		return !memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
			       &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 16);
	return a->sa_family == AF_INET &&
	       ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
}

static void find_interface(struct tcp *t)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i && !*t->interface; i = i->ifa_next)
		if (same_address(i->ifa_addr, &t->address) && !(i->ifa_flags & IFF_LOOPBACK))
			snprintf(t->interface, sizeof(t->interface), "%s", i->ifa_name);
	freeifaddrs(all);
}

static int make_token(char *token, struct error *err)
{
	unsigned char random[TCP_TOKEN / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_sys(err, "getrandom");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
	return 0;
}

static int listen_there(struct tcp *t, struct error *err)
{
	struct sockaddr_storage bound = t->address;
	socklen_t len = sizeof(bound);
	char port[12];

	t->listener = socket(bound.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->listener < 0 || bind(t->listener, (struct sockaddr *)&bound, t->address_len) < 0 ||
	    listen(t->listener, GUESTS_MOST) < 0 ||
	    getsockname(t->listener, (struct sockaddr *)&bound, &len) < 0)
		return error_sys(err, "cannot listen for the other node");
	if (getnameinfo((struct sockaddr *)&bound, len, t->own.address, sizeof(t->own.address),
			port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return error_set(err, "this node's own address cannot be written");
	t->own.port = atoi(port);
	return 0;
}

static void tcp_close(struct meeting *x);

static int tcp_open(struct machine *m, const struct net_way *way, struct meeting **x,
		    char place[NET_PLACE], struct error *err)
{
	struct tcp *t;

	if (*m->root)
		return error_set(err, "a recorded machine has no network");
	if (way->streams < 1 || way->streams > NET_STREAMS_MOST)
		return error_set(err, "streams must be from 1 to %d", NET_STREAMS_MOST);
	t = xcalloc(1, sizeof(*t));
	t->meeting.net = &net_tcp;
	t->machine = m;
	t->listener = -1;
	t->streams = way->streams;
	for (int i = 0; i <= NET_STREAMS_MOST; i++) {
		t->out[i].fd = t->in[i].fd = -1;
		t->out[i].tcp = t->in[i].tcp = t;
	}
	if (find_own(t, way->peer, err) < 0 || make_token(t->own.token, err) < 0 ||
	    listen_there(t, err) < 0) {
		tcp_close(&t->meeting);
		return -1;
	}
	find_interface(t);
	snprintf(place, NET_PLACE, "%s %d %s", t->own.address, t->own.port, t->own.token);
	*x = &t->meeting;
	return 0;
}

/* ---- meeting ------------------------------------------------------------------------------- */

/* What a stream carries begins at a place of its own, which both ends know by the token. */
static uint64_t seed_of(const char *token, int stream)
{
	uint64_t state = (uint64_t)crc32c(token, TCP_TOKEN) << 32 | crc32c(token, TCP_TOKEN / 2);

	state += (uint64_t)stream;
	return random_next(&state);
}

static int connect_one(struct tcp *t, const struct tcp_place *peer, int stream, double deadline,
		       struct error *err)
{
	struct flow *f = &t->out[stream];
	struct sockaddr_storage to;
	char hello[TCP_HELLO + 1];
	int one = 1, failure = 0;
	socklen_t len, size = sizeof(failure);

	if (resolve(peer->address, peer->port, 1, &to, &len, err) < 0)
		return -1;
	f->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* From the address whose interface is looked at, or the proof would be of another path. */
	if (f->fd < 0 || bind(f->fd, (struct sockaddr *)&t->address, t->address_len) < 0)
		return error_sys(err, "socket");
	setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(f->fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		return error_sys(err, "no connection to %s port %d", peer->address, peer->port);
	if (tcp_wait(f->fd, POLLOUT, deadline, "nothing answers", err) < 0)
		return error_prefix(err, "no connection to %s port %d: ", peer->address,
				    peer->port);
	getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
	errno = failure;
	snprintf(hello, sizeof(hello), "%.*s%02x\n", TCP_TOKEN, peer->token, (unsigned)stream);
	if (failure || send(f->fd, hello, TCP_HELLO, MSG_NOSIGNAL) != TCP_HELLO)
		return error_sys(err, "no connection to %s port %d", peer->address, peer->port);
	f->seed = seed_of(peer->token, stream);
	return 0;
}

struct guest {
	int fd, have;
	double since;
	char hello[TCP_HELLO];
};

struct door {
	struct tcp *tcp;
	struct guest guests[GUESTS_MOST];
	int count, welcome; /* streams that are there */
};

static void turn_away(struct door *d, int i)
{
	close(d->guests[i].fd);
	d->guests[i] = d->guests[--d->count];
	d->tcp->strangers++;
}

/* The stream that this hello is for, or -1. Reads all of the token, so its time tells nothing. */
static int read_hello(const struct tcp *t, const char *hello)
{
	static const char digits[] = "0123456789abcdef";
	const char *high = memchr(digits, hello[TCP_TOKEN], 16);
	const char *low = memchr(digits, hello[TCP_TOKEN + 1], 16);
	int wrong = !high || !low || hello[TCP_HELLO - 1] != '\n', stream;

	for (int i = 0; i < TCP_TOKEN; i++)
		wrong |= hello[i] ^ t->own.token[i];
	if (wrong)
		return -1;
	stream = (int)(high - digits) * 16 + (int)(low - digits);
	return stream <= t->streams && t->in[stream].fd < 0 ? stream : -1;
}

/* Takes what a guest says; with its whole hello it is let in or turned away. */
static void hear(struct door *d, int i)
{
	struct guest *g = &d->guests[i];
	ssize_t n = recv(g->fd, g->hello + g->have, (size_t)(TCP_HELLO - g->have), MSG_DONTWAIT);
	struct flow *f;
	int stream, one = 1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	g->have += n > 0 ? (int)n : 0;
	if (n > 0 && g->have < TCP_HELLO)
		return;
	stream = n > 0 ? read_hello(d->tcp, g->hello) : -1;
	if (stream < 0 || send(g->fd, "k", 1, MSG_NOSIGNAL) != 1) {
		turn_away(d, i);
		return;
	}
	f = &d->tcp->in[stream];
	f->fd = g->fd;
	f->seed = seed_of(d->tcp->own.token, stream);
	setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	d->guests[i] = d->guests[--d->count];
	d->welcome++;
}

static void open_door(struct door *d)
{
	int fd;

	while (d->count < GUESTS_MOST &&
	       (fd = accept4(d->tcp->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		d->guests[d->count++] = (struct guest){ .fd = fd, .since = clock_now() };
}

static void look(struct door *d, double deadline)
{
	const int is_full = d->count == GUESTS_MOST, count = d->count;
	struct pollfd fds[GUESTS_MOST + 1] = { { .events = POLLIN } };
	double left = fmin(deadline - clock_now(), 0.2);

	fds[0].fd = is_full ? -1 : d->tcp->listener;
	for (int i = 0; i < count; i++)
		fds[i + 1] = (struct pollfd){ .fd = d->guests[i].fd, .events = POLLIN };
	if (poll(fds, (nfds_t)count + 1, left > 0 ? (int)ceil(left * 1000) : 0) < 0)
		return;
	for (int i = count - 1; i >= 0; i--) /* from the end: the last one takes a free place */
		if (fds[i + 1].revents)
			hear(d, i);
		else if (clock_now() - d->guests[i].since >
			 (is_full ? CROWD_SECONDS : HELLO_SECONDS))
			turn_away(d, i);
	if (fds[0].revents)
		open_door(d);
}

static int accept_all(struct tcp *t, double deadline, struct error *err)
{
	struct door d = { .tcp = t };

	while (d.welcome <= t->streams && clock_now() < deadline)
		look(&d, deadline);
	while (d.count)
		turn_away(&d, 0);
	close(t->listener);
	t->listener = -1;
	if (d.welcome > t->streams)
		return 0;
	return error_set(err,
			 "it did not connect to %s port %d in time (%d of %d connections came%s)",
			 t->own.address, t->own.port, d.welcome, t->streams + 1,
			 t->strangers ? "; others came without our token" : "");
}

/* That the other end has let us in. */
static int await_welcome(struct flow *f, double deadline, struct error *err)
{
	char answer;
	ssize_t n;

	if (tcp_wait(f->fd, POLLIN, deadline, "it did not let us in", err) < 0)
		return -1;
	n = recv(f->fd, &answer, 1, MSG_DONTWAIT);
	if (n < 0)
		return error_sys(err, "it did not let us in");
	return n == 1 && answer == 'k' ? 0 : error_set(err, "it turned us away");
}

static double interface_counter(const struct tcp *t)
{
	char *line =
		machine_line(t->machine, "/sys/class/net/%s/statistics/tx_bytes", t->interface);
	double value = line ? atof(line) : -1;

	free(line);
	return value;
}

static int parse_place(const char *text, struct tcp_place *place)
{
	int end = 0;

	return sscanf(text, "%63s %d %32s%n", place->address, &place->port, place->token, &end) ==
				       3 &&
			       !text[end] && place->port > 0 && place->port < 65536 &&
			       strlen(place->token) == TCP_TOKEN &&
			       strspn(place->token, "0123456789abcdef") == TCP_TOKEN
		       ? 0
		       : -1;
}

static int tcp_meet(struct meeting *x, const char *place, struct error *err)
{
	struct tcp *t = (struct tcp *)x;
	double deadline = clock_now() + MEET_SECONDS;
	struct tcp_place peer;

	if (parse_place(place, &peer) < 0)
		return error_set(err, "it does not say where it can be met");
	for (int i = 0; i <= t->streams; i++)
		if (connect_one(t, &peer, i, deadline, err) < 0)
			return -1;
	if (accept_all(t, deadline, err) < 0)
		return -1;
	for (int i = 0; i <= t->streams; i++)
		if (await_welcome(&t->out[i], deadline, err) < 0)
			return -1;
	if (*t->interface)
		t->counted = interface_counter(t);
	if (t->counted < 0)
		*t->interface = '\0';
	return tcp_start_receiving(t, err);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Some drivers bring their counters up to date only once a second. */
enum { COUNTER_SECONDS = 3 };

void tcp_account(struct tcp *t, struct net_sum *sum)
{
	double until = clock_now() + COUNTER_SECONDS, now;

	snprintf(sum->interface, sizeof(sum->interface), "%s", t->interface);
	sum->sent = t->sent;
	sum->counted = 0;
	while (*t->interface) {
		now = interface_counter(t);
		sum->counted = now > t->counted ? (uint64_t)(now - t->counted) : 0;
		if (sum->counted >= t->sent || clock_now() > until)
			return;
		usleep(50000);
	}
}

static void tcp_close(struct meeting *x)
{
	struct tcp *t = (struct tcp *)x;

	if (!t)
		return;
	tcp_stop_flows(t);
	for (int i = 0; i <= NET_STREAMS_MOST; i++) {
		if (t->out[i].fd >= 0)
			close(t->out[i].fd);
		if (t->in[i].fd >= 0)
			close(t->in[i].fd);
	}
	if (t->listener >= 0)
		close(t->listener);
	free(t);
}

const struct net net_tcp = {
	.name = "tcp",
	.open = tcp_open,
	.meet = tcp_meet,
	.ping = tcp_ping,
	.send = tcp_send,
	.end = tcp_end,
	.close = tcp_close,
};
