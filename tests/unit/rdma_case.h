/*
 * rdma_case.h - two recorded machines with the double of libibverbs, and an end of a meeting on
 * each.
 */
#ifndef ASSAY_RDMA_CASE_H
#define ASSAY_RDMA_CASE_H

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

static inline void put(const char *root, const char *file, const char *text)
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

static inline void put_in(const char *root, const char *where, const char *file, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", where, file);
	put(root, path, text);
}

/* nic0 and nic1 are InfiniBand, nic2 is RoCE, nic3 has an interface alone. */
static inline void nic(const char *root, int number)
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

static inline void shell(const char *fmt, const char *a, const char *b)
{
	char *command = xasprintf(fmt, a, b);

	assert_int_equal(system(command), 0);
	free(command);
}

/* A copy of the double in each, or they would be one library with one root. */
static inline void machine_make(const char *root)
{
	const char *doubles = getenv("ASSAY_VERBS");

	assert_non_null(doubles);
	for (int i = 0; i < 4; i++)
		nic(root, i);
	put(root, "lib/verbs.txt", "");
	shell("cp %s/libibverbs.so.1 %s/lib/", doubles, root);
}

static char root_a[64], root_b[64];

static inline int make_machines(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(root_a, sizeof(root_a), "%s/a", folder);
	snprintf(root_b, sizeof(root_b), "%s/b", folder);
	machine_make(root_a);
	machine_make(root_b);
	return 0;
}

static inline int remove_machines(void **state)
{
	(void)state;
	shell("rm -r %s%s", folder, "");
	return 0;
}

/* What the NICs of both do until the next test. */
static inline void play(const char *of_a, const char *of_b)
{
	put(root_a, "lib/verbs.txt", of_a);
	put(root_b, "lib/verbs.txt", of_b);
}

static inline int healthy(void **state)
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

static inline struct rdma *inside(const struct end *e)
{
	return (struct rdma *)e->rdma;
}

static inline int try_open(struct end *e, char *root, const char *name, int streams)
{
	const struct net_way way = { .nic = name, .streams = streams, .bytes = BYTES };

	memset(e, 0, sizeof(*e));
	e->machine.root = root;
	e->sends = e->waits = 1;
	e->rate = (struct net_rate){ .seconds = 0.05, .windows = WINDOWS, .gbs = e->gbs };
	return net_rdma.open(&e->machine, &way, &e->rdma, e->place, &e->err);
}

static inline void open_both(struct end *a, struct end *b, const char *name)
{
	if (try_open(a, root_a, name, STREAMS) < 0)
		fail_msg("%s", a->err.text);
	if (try_open(b, root_b, name, STREAMS) < 0)
		fail_msg("%s", b->err.text);
	assert_in_range(strlen(a->place), 1, 250);
	inside(a)->meet_seconds = inside(b)->meet_seconds = 5;
}

static inline void shut(struct end *e)
{
	net_rdma.close(e->rdma);
	e->rdma = NULL;
	verbs_close(&e->machine);
}

static inline void *act(void *arg)
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

static inline void start(struct end *e, const struct end *other)
{
	e->other = other->place;
	assert_int_equal(pthread_create(&e->thread, NULL, act, e), 0);
}

static inline void act_both(struct end *a, struct end *b)
{
	start(a, b);
	start(b, a);
	pthread_join(a->thread, NULL);
	pthread_join(b->thread, NULL);
}

static inline void assert_well(const struct end *e)
{
	if (e->rc)
		fail_msg("%s", e->err.text);
}

static inline void assert_says(const struct end *e, const char *words)
{
	assert_int_equal(e->rc, -1);
	if (!strstr(e->err.text, words))
		fail_msg("'%s' instead of '%s'", e->err.text, words);
}

static inline double best(const struct end *e)
{
	return median_of(e->gbs, WINDOWS).value;
}

#define RDMA_TEST(name) cmocka_unit_test_setup(name, healthy)

#endif
