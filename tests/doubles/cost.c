/*
 * cost.c - how long copies and kernels take, from the scenario's rates; and what each kernel's
 * arguments mean, so far as the double must know it: which are pointers, and where the output is.
 *
 * The figures of a scenario come out as they went in: a launch or a copy costs its latency or its
 * work, whichever is more, as it does where many are queued one behind the other.
 */
#include "tests/doubles/double.h"

#include "kernels/gpu/device.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* ---- copies -------------------------------------------------------------------------------- */

static int use_of(enum resource kind, int number)
{
	return (int)kind * GPUS_MOST + number;
}

double cost_capacity(int use)
{
	static const enum rate rates[RESOURCES] = {
		[USE_NVL_OUT] = RATE_NVL_GPU, [USE_NVL_IN] = RATE_NVL_GPU, [USE_UP] = RATE_UPLINK,
		[USE_DOWN] = RATE_UPLINK,     [USE_LOCAL] = RATE_LOCAL,
	};

	return world()->rates[rates[use / GPUS_MOST]];
}

static void cost_uses(struct cost *c, enum resource kind, int number)
{
	c->uses[c->use_count++] = use_of(kind, number);
}

static int links_up(const struct gpu *g)
{
	int up = 0;

	for (int i = 0; i < world()->links; i++)
		up += !g->link_down[i];
	return up;
}

/* Of all links the share that still carries data at the worse end. */
static double links_share(const struct gpu *a, const struct gpu *b)
{
	int links = world()->links, up = links_up(a) < links_up(b) ? links_up(a) : links_up(b);

	return links ? (double)up / links : 1;
}

/* Directly: by NVLink, where the scenario has links; else from port to port of PCIe. */
static void cost_peer(struct cost *c, const struct gpu *from, const struct gpu *to)
{
	const struct world *w = world();
	double share = links_share(from, to);

	if (w->links && share > 0) {
		c->rate = w->rates[RATE_NVL] * share;
		cost_uses(c, USE_NVL_OUT, from->number);
		cost_uses(c, USE_NVL_IN, to->number);
		return;
	}
	c->rate = w->rates[RATE_D2H];
	cost_uses(c, USE_UP, from->uplink);
	cost_uses(c, USE_DOWN, to->uplink);
}

/* A link that came up narrower or slower than it should carries as much less. */
static double pcie_share(const struct gpu *g)
{
	double width = (double)g->pcie_width_now / g->pcie_width;

	for (int gen = g->pcie_gen_now; gen < g->pcie_gen; gen++)
		width /= 2;
	return width;
}

static void cost_host(struct cost *c, const struct gpu *from, const struct gpu *to)
{
	const struct world *w = world();

	if (from) {
		c->rate = w->rates[RATE_D2H] * pcie_share(from);
		cost_uses(c, USE_UP, from->uplink);
	}
	if (to) {
		c->rate = w->rates[RATE_H2D] * pcie_share(to);
		cost_uses(c, USE_DOWN, to->uplink);
	}
}

static int peers_enabled(const struct gpu *a, const struct gpu *b)
{
	return a->context.peers[b->number] || b->context.peers[a->number];
}

void cost_copy(struct cost *c, const struct gpu *from, const struct gpu *to)
{
	const struct world *w = world();

	c->least = w->latencies[LATENCY_COPY];
	if (!from && !to) {
		c->rate = w->rates[RATE_LOCAL];
	} else if (!from || !to) {
		cost_host(c, from, to);
	} else if (from == to) {
		c->rate = w->rates[RATE_LOCAL];
		cost_uses(c, USE_LOCAL, from->number);
	} else if (peers_enabled(from, to)) {
		cost_peer(c, from, to);
	} else {
		c->least = w->latencies[LATENCY_STAGED];
		cost_host(c, from, to);
		c->rate = w->rates[RATE_STAGED];
	}
}

/* ---- arguments ----------------------------------------------------------------------------- */

static uint64_t arg_u64(const struct launch *l, int i)
{
	uint64_t value = 0;

	memcpy(&value, l->args[i], l->twin->arg_sizes[i]);
	return value;
}

static void *arg_pointer(const struct launch *l, int i)
{
	return (void *)(uintptr_t)arg_u64(l, i);
}

static const struct gpu *owner(const void *p)
{
	const struct memory *m = memory_at((uintptr_t)p);

	return m ? m->gpu : NULL;
}

/* ---- kernels ------------------------------------------------------------------------------- */

static double hbm(double bytes)
{
	return bytes / world()->rates[RATE_HBM];
}

/* Bytes for each unit of argument `count`, all in the GPU's own memory. */
struct kernel {
	const char *name;  /* a shell pattern; the first row that fits */
	unsigned pointers; /* bit i: argument i is a pointer; may_be_null: and may be NULL */
	unsigned may_be_null;
	int output, count;
	double bytes;
	void (*cost)(struct cost *c, const struct launch *l, const struct kernel *k);
};

static void cost_stream(struct cost *c, const struct launch *l, const struct kernel *k)
{
	c->least = hbm((double)arg_u64(l, k->count) * k->bytes);
}

static void cost_nothing(struct cost *c, const struct launch *l, const struct kernel *k)
{
	(void)l;
	(void)k;
	c->least = 0;
}

/* By SM: within one GPU as its memory goes, else as the copy engine's copy with peer access. */
static void cost_units(struct cost *c, const struct launch *l, const struct kernel *k)
{
	const struct gpu *to = owner(arg_pointer(l, 0)), *from = owner(arg_pointer(l, 1));
	double bytes = (double)arg_u64(l, k->count) * k->bytes;

	if (to == from) {
		c->least = hbm(2 * bytes);
		return;
	}
	c->bytes = bytes;
	if (to && from)
		cost_peer(c, from, to);
	else
		cost_host(c, from, to);
}

static double chase_hop(const struct launch *l)
{
	const struct gpu *at = owner(arg_pointer(l, 0));
	enum latency which = LATENCY_CHASE_PEER;

	if (at == l->gpu)
		which = LATENCY_CHASE_LOCAL;
	else if (!at)
		which = LATENCY_CHASE_HOST;
	return world()->latencies[which];
}

static void cost_chase(struct cost *c, const struct launch *l, const struct kernel *k)
{
	(void)k;
	c->least = (double)arg_u64(l, 2) * (double)arg_u64(l, 3) * chase_hop(l);
}

/* A round is two ways; within one GPU a way is a load of its own memory. */
static double flag_round(const struct launch *l)
{
	int alone = owner(arg_pointer(l, 0)) == owner(arg_pointer(l, 1));

	return 2 * world()->latencies[alone ? LATENCY_CHASE_LOCAL : LATENCY_FLAG];
}

static void cost_flag_first(struct cost *c, const struct launch *l, const struct kernel *k)
{
	(void)k;
	c->least = (double)arg_u64(l, 2) * (double)arg_u64(l, 3) * flag_round(l);
}

static void cost_flag_second(struct cost *c, const struct launch *l, const struct kernel *k)
{
	(void)k;
	c->least = (double)arg_u64(l, 2) * flag_round(l);
}

static void cost_slabs(struct cost *c, const struct launch *l, const struct kernel *k)
{
	(void)k;
	c->least = hbm((double)arg_u64(l, 1) * 16 * (double)arg_u64(l, 2) * (double)arg_u64(l, 3));
}

static void cost_hammer(struct cost *c, const struct launch *l, const struct kernel *k)
{
	(void)k;
	c->least = hbm((double)arg_u64(l, 1) * 8 * (double)arg_u64(l, 3));
}

static const struct {
	const char *name;
	int bytes; /* of an operand, of a result */
	int result;
} precisions[] = {
	{ "fp64", 8, 8 }, { "tf32", 4, 4 }, { "bf16", 2, 4 },
	{ "fp16", 2, 4 }, { "fp8", 1, 4 },  { "int8", 1, 4 },
};

static int precision_of(const char *kernel)
{
	const char *word = strchr(kernel, '_') + 1;
	const size_t length = strcspn(word, "_");

	for (int i = 0; i < (int)COUNT(precisions); i++)
		if (strlen(precisions[i].name) == length &&
		    !strncmp(word, precisions[i].name, length))
			return i;
	double_die("kernel %s: no such precision", kernel);
}

static void cost_gemm(struct cost *c, const struct launch *l, const struct kernel *k)
{
	double n = (double)arg_u64(l, 3);

	(void)k;
	c->least = 2 * n * n * n / world()->rates[RATE_FP64 + precision_of(l->twin->name)];
}

static void cost_operand(struct cost *c, const struct launch *l, const struct kernel *k)
{
	(void)k;
	c->least = hbm((double)arg_u64(l, 1) * precisions[precision_of(l->twin->name)].bytes);
}

static void cost_rows(struct cost *c, const struct launch *l, const struct kernel *k)
{
	double n = (double)arg_u64(l, 1);

	(void)k;
	c->least = hbm(n * n * (strstr(l->twin->name, "f64") ? 8 : 4));
}

/* As device.h has them. */
static const struct kernel kernels[] = {
	{ "spin", 0x3, 0, 1, 0, 0, cost_nothing },
	{ "fill_unique", 0x1, 0, 0, 1, 8, cost_stream },
	{ "check_unique", 0x11, 0, 4, 1, 8, cost_stream },
	{ "copy_units", 0x3, 0, 0, 2, 16, cost_units },
	{ "chase", 0x31, 0, 4, 0, 0, cost_chase },
	{ "flag_first", 0x63, 0, 5, 0, 0, cost_flag_first },
	{ "flag_second", 0x13, 0, 1, 0, 0, cost_flag_second },
	{ "read_units", 0x5, 0, 2, 1, 16, cost_stream },
	{ "write_units", 0x1, 0, 0, 1, 16, cost_stream },
	{ "triad", 0x7, 0, 0, 4, 24, cost_stream },
	{ "slab_read", 0x31, 0, 5, 0, 0, cost_slabs },
	{ "stress_write", 0x1, 0, 0, 1, 8, cost_stream },
	{ "stress_check", 0x9, 0, 3, 1, 8, cost_stream },
	{ "stress_invert", 0x9, 0, 0, 1, 16, cost_stream },
	{ "stress_move", 0x3, 0, 0, 2, 16, cost_stream },
	{ "stress_hammer", 0x11, 0, 4, 0, 0, cost_hammer },
	{ "gemm_*_wgmma", 0x14, 0x10, 2, 0, 0, cost_gemm },
	{ "gemm_*", 0x17, 0x10, 2, 0, 0, cost_gemm },
	{ "operand_*", 0x1, 0, 0, 0, 0, cost_operand },
	{ "rows_*", 0x19, 0, 3, 0, 0, cost_rows },
	{ "digest_words", 0x19, 0, 3, 1, 4, cost_stream },
};

static const struct kernel *kernel_find(const char *name)
{
	for (size_t i = 0; i < COUNT(kernels); i++)
		if (!fnmatch(kernels[i].name, name, 0))
			return &kernels[i];
	return NULL;
}

int cost_knows(const struct twin *t)
{
	const struct kernel *k = kernel_find(t->name);

	if (!k || k->output >= t->arg_count || k->pointers >> t->arg_count)
		return 0;
	for (int i = 0; i < t->arg_count; i++)
		if (k->pointers >> i & 1 && t->arg_sizes[i] != sizeof(void *))
			return 0;
	return 1;
}

void cost_launch(struct cost *c, const struct launch *l)
{
	const struct kernel *k = kernel_find(l->twin->name);
	double least = world()->latencies[LATENCY_LAUNCH];

	k->cost(c, l, k);
	if (c->least < least)
		c->least = least;
	if (l->slow_offset < 0)
		c->slow = l->slow;
}

unsigned char *launch_output(const struct launch *l)
{
	return arg_pointer(l, kernel_find(l->twin->name)->output);
}

int launch_pointers_good(const struct launch *l)
{
	const struct kernel *k = kernel_find(l->twin->name);

	for (int i = 0; i < l->twin->arg_count; i++) {
		void *p;

		if (!(k->pointers >> i & 1))
			continue;
		p = arg_pointer(l, i);
		if (!p && k->may_be_null >> i & 1)
			continue;
		if (!memory_at((uintptr_t)p))
			return 0;
	}
	return 1;
}

const volatile unsigned *launch_gate(const struct launch *l)
{
	return strcmp(l->twin->name, "spin") ? NULL : arg_pointer(l, 0);
}

/* ---- kernels that look at a clock themselves ----------------------------------------------- */

static void fill_ns(uint64_t *ns, uint64_t count, double seconds)
{
	for (uint64_t i = 0; i < count; i++)
		ns[i] = (uint64_t)(seconds * 1e9 + 0.5);
}

/* A block has one SM's part of the memory's rate while all are busy. */
static void slabs_after(const struct launch *l)
{
	unsigned sms = l->blocks < (unsigned)l->gpu->sms ? l->blocks : (unsigned)l->gpu->sms;
	uint64_t *ns = arg_pointer(l, 4), slabs = arg_u64(l, 2);
	double bytes = (double)arg_u64(l, 1) * 16;
	double seconds = hbm(bytes * (double)arg_u64(l, 3)) * sms;

	fill_ns(ns, slabs, seconds * (l->slow_offset < 0 ? l->slow : 1));
	if (l->slow_offset >= 0 && (uint64_t)((double)l->slow_offset / bytes) < slabs)
		fill_ns(ns + (uint64_t)((double)l->slow_offset / bytes), 1, seconds * l->slow);
}

void cost_after(const struct launch *l)
{
	const char *name = l->twin->name;

	if (!strcmp(name, "chase"))
		fill_ns(arg_pointer(l, 4), arg_u64(l, 2),
			(double)arg_u64(l, 3) * chase_hop(l) * l->slow);
	else if (!strcmp(name, "flag_first") && !*(unsigned *)arg_pointer(l, 6))
		fill_ns(arg_pointer(l, 5), arg_u64(l, 2),
			(double)arg_u64(l, 3) * flag_round(l) * l->slow);
	else if (!strcmp(name, "slab_read"))
		slabs_after(l);
}
