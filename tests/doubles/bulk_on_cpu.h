/*
 * bulk_on_cpu.h - barriers in shared memory and the copy engine of sm_90 for a CPU: the lower half
 * of wgmma_on_cpu.h, which says what this is for and includes it.
 */
#ifndef ASSAY_BULK_ON_CPU_H
#define ASSAY_BULK_ON_CPU_H

#include "tests/doubles/tensor_map.h"

enum {
	WGMMA_GROUP = 128,
	WGMMA_THREADS = 384,
	WGMMA_ROOM = 227 << 10, /* of shared memory that a block may have on sm_90 */
	WGMMA_BASE = 0x410,     /* address of its first byte: aligned to 16, no more is promised */
	WGMMA_UNIT = 16,
	WGMMA_BARRIERS = 32,
	WGMMA_COPIES = 32,
	WGMMA_OPS = 64,
	WGMMA_SUMS = 128,
	WGMMA_STEP = 32, /* bytes of k of one product */
};

typedef uint32_t __attribute__((may_alias)) wgmma_word; /* of whatever type sums are */

static const uint32_t wgmma_garbage = 0x7fc5a5a5; /* a NaN, or a large integer */

enum wgmma_content : unsigned char { NOTHING_YET, UNDER_WAY, THERE };

struct wgmma_unit {
	enum wgmma_content content;
	bool is_copied;       /* else threads wrote it */
	unsigned gate, phase; /* that ended when it was copied */
};

struct wgmma_gate { /* an mbarrier */
	unsigned at, arrivals, missing, phase;
	long bytes; /* that are still to come */
	unsigned maker, syncs;
	bool is_published; /* to the asynchronous proxy */
};

struct wgmma_flight { /* a copy that was begun */
	struct tensor_map map;
	unsigned to, x, y, gate;
};

struct wgmma_op {
	uint64_t a, b;
	int add;
	unsigned kind, columns, number;
};

struct wgmma_queued {
	struct wgmma_op op;
	unsigned group;
};

struct wgmma_thread {
	struct wgmma_queued queue[WGMMA_OPS];
	unsigned first, count, issued, group;
	unsigned ended[WGMMA_BARRIERS]; /* phases that it has seen the end of */
	bool is_fenced;
	wgmma_word *sums; /* its registers, while products work on them */
	unsigned sum_count;
	uint32_t values[WGMMA_SUMS]; /* what the tensor core has of them */
};

struct wgmma_state {
	unsigned long block;
	struct wgmma_gate gates[WGMMA_BARRIERS];
	struct wgmma_flight flights[WGMMA_COPIES];
	unsigned gate_count, flight_count;
	uint32_t chance;
	struct wgmma_op ops[WGMMA_THREADS / WGMMA_GROUP][WGMMA_OPS]; /* by number */
	struct wgmma_thread threads[WGMMA_THREADS];
	unsigned char memory[WGMMA_ROOM]; /* as the asynchronous proxy sees it */
	struct wgmma_unit units[WGMMA_ROOM / WGMMA_UNIT];
};

static bool wgmma_idle(void);
static void wgmma_ended(void);

static inline struct wgmma_state &wgmma_now()
{
	struct wgmma_state *s = static_cast<struct wgmma_state *>(shim_beside.state);

	if (!s) {
		s = static_cast<struct wgmma_state *>(calloc(1, sizeof(*s)));
		if (!s)
			shim_fault("no memory to emulate wgmma");
		shim_beside.state = s;
		shim_beside.idle = wgmma_idle;
		shim_beside.ended = wgmma_ended;
	}
	if (s->block != shim_beside.block) {
		memset(s, 0, sizeof(*s));
		memcpy(s->memory, shim_shared,
		       shim_beside.shared); /* garbage, before anybody wrote */
		s->block = shim_beside.block;
	}
	return *s;
}

static inline struct wgmma_thread &wgmma_me()
{
	if (threadIdx.x >= WGMMA_THREADS)
		shim_fault("wgmma: more threads than the emulation has room for");
	return wgmma_now().threads[threadIdx.x];
}

/* ---- shared memory ------------------------------------------------------------------------- */

static inline unsigned wgmma_architecture()
{
	return 90;
}

static inline unsigned wgmma_shared_address(const void *shared)
{
	const unsigned char *p = static_cast<const unsigned char *>(shared);

	if (p < shim_shared || p > shim_shared + shim_beside.shared)
		shim_fault("not an address of shared memory");
	return static_cast<unsigned>(p - shim_shared) + WGMMA_BASE;
}

/* Offset in shared memory of so many bytes at an address. */
static inline unsigned wgmma_offset(unsigned address, unsigned bytes)
{
	if (address < WGMMA_BASE || address - WGMMA_BASE + bytes > shim_beside.shared)
		shim_fault("beyond the block's shared memory");
	return address - WGMMA_BASE;
}

/* By the thread that wrote. Which writes were its own is not known here, so all are shown. */
static inline void wgmma_show_writes()
{
	struct wgmma_state &s = wgmma_now();

	for (unsigned i = 0; i < shim_beside.shared / WGMMA_UNIT; i++) {
		unsigned char *to = s.memory + i * WGMMA_UNIT, *from = shim_shared + i * WGMMA_UNIT;

		if (s.units[i].content == UNDER_WAY || !memcmp(to, from, WGMMA_UNIT))
			continue;
		memcpy(to, from, WGMMA_UNIT);
		s.units[i].content = THERE;
	}
}

template <int COUNT> static inline void wgmma_give_registers()
{
	static_assert(COUNT >= 24 && COUNT <= 256 && COUNT % 8 == 0, "setmaxnreg");
	__syncwarp();
}

template <int COUNT> static inline void wgmma_take_registers()
{
	wgmma_give_registers<COUNT>();
}

/* ---- barriers ------------------------------------------------------------------------------ */

static inline unsigned wgmma_gate_of(const void *barrier, bool by_proxy)
{
	struct wgmma_state &s = wgmma_now();
	const unsigned at = wgmma_shared_address(barrier);
	unsigned i = 0;

	while (i < s.gate_count && s.gates[i].at != at)
		i++;
	if (i == s.gate_count)
		shim_fault("mbarrier: was never initialised");
	if (s.gates[i].maker != threadIdx.x && s.gates[i].syncs == shim_beside.syncs)
		shim_fault("mbarrier: another thread initialised it, and nothing was in between");
	if (by_proxy && !s.gates[i].is_published)
		shim_fault("mbarrier: not fenced for the asynchronous proxy");
	return i;
}

static inline void wgmma_gate_check(struct wgmma_gate &g)
{
	if (g.missing || g.bytes)
		return;
	g.phase++;
	g.missing = g.arrivals;
}

static inline void wgmma_barrier_init(uint64_t *barrier, unsigned arrivals)
{
	struct wgmma_state &s = wgmma_now();
	const unsigned at = wgmma_shared_address(barrier);

	if (at % 8)
		shim_fault("mbarrier: misaligned address");
	for (unsigned i = 0; i < s.gate_count; i++)
		if (s.gates[i].at == at)
			shim_fault("mbarrier: initialised twice");
	if (s.gate_count == WGMMA_BARRIERS)
		shim_fault("mbarrier: more than the emulation has room for");
	s.gates[s.gate_count++] = { at, arrivals,    arrivals,          0,
				    0,  threadIdx.x, shim_beside.syncs, false };
}

static inline void wgmma_barrier_publish()
{
	struct wgmma_state &s = wgmma_now();

	for (unsigned i = 0; i < s.gate_count; i++)
		s.gates[i].is_published |= s.gates[i].maker == threadIdx.x;
	wgmma_show_writes();
}

static inline void wgmma_arrive_expecting(uint64_t *barrier, unsigned bytes)
{
	struct wgmma_gate &g = wgmma_now().gates[wgmma_gate_of(barrier, false)];

	if (!g.missing)
		shim_fault("mbarrier: more arrivals than it was made for");
	g.bytes += bytes;
	g.missing--;
	wgmma_gate_check(g);
}

static inline void wgmma_arrive(uint64_t *barrier)
{
	wgmma_arrive_expecting(barrier, 0);
}

struct wgmma_wish {
	const struct wgmma_gate *gate;
	unsigned parity;
};

/* PTX ISA, mbarrier.test_wait: the phase of that parity is the current one, or that before. */
static inline bool wgmma_wish_came(const void *arg)
{
	const struct wgmma_wish *w = static_cast<const struct wgmma_wish *>(arg);

	return (w->gate->phase & 1) != w->parity;
}

/* Here it waits to the end: the scheduler knows when it will never come. */
static inline bool wgmma_phase_ended(uint64_t *barrier, unsigned parity)
{
	const unsigned gate = wgmma_gate_of(barrier, false);
	const struct wgmma_wish wish = { &wgmma_now().gates[gate], parity };

	shim_wait_until(wgmma_wish_came, &wish);
	wgmma_me().ended[gate] = wish.gate->phase;
	return true;
}

/* ---- copies -------------------------------------------------------------------------------- */

/* Swizzle<bits, 4, 3> of CuTe, by which the PTX ISA defines all modes: these bits of the address
 * are changed by those three above, counted from the begin of the pattern. */
static inline unsigned wgmma_swizzled(unsigned address, unsigned bits, unsigned base)
{
	return address ^ (((address >> 7) - base) & ((1U << bits) - 1)) << 4;
}

static inline bool wgmma_is_read(unsigned from, unsigned bytes);

static inline void wgmma_copy(void *shared, const void *map, unsigned x, unsigned y,
			      uint64_t *barrier)
{
	struct wgmma_state &s = wgmma_now();
	struct wgmma_flight f = {
		{}, wgmma_shared_address(shared), x, y, wgmma_gate_of(barrier, true)
	};
	unsigned bytes, at;

	memcpy(&f.map, map, sizeof(f.map));
	if (f.map.magic != TENSOR_MAP_MAGIC)
		shim_fault("copy: not a tensor map");
	if (f.to % 128)
		shim_fault("copy: misaligned address");
	if (s.flight_count == WGMMA_COPIES)
		shim_fault("copy: more under way than the emulation has room for");
	bytes = static_cast<unsigned>(f.map.box_bytes * f.map.box_rows);
	at = wgmma_offset(f.to, bytes);
	if (wgmma_is_read(f.to, bytes))
		shim_fault("copy: into shared memory that a product is still reading");
	for (unsigned i = at / WGMMA_UNIT; i < (at + bytes) / WGMMA_UNIT; i++) {
		if (s.units[i].content == UNDER_WAY)
			shim_fault("copy: into shared memory that another copy is writing");
		s.units[i].content = UNDER_WAY;
	}
	memset(s.memory + at, 0x5a, bytes);
	memset(shim_shared + at, 0x5a, bytes);
	s.flights[s.flight_count++] = f;
}

static inline void wgmma_land_unit(struct wgmma_state &s, const struct wgmma_flight &f,
				   uint64_t row, uint64_t byte)
{
	const struct tensor_map &m = f.map;
	const unsigned to = f.to + static_cast<unsigned>(row * m.box_bytes + byte),
		       at = wgmma_offset(wgmma_swizzled(to, static_cast<unsigned>(m.swizzle), 0),
					 WGMMA_UNIT);
	const bool is_inside = f.y + row < m.rows && f.x + byte < m.row_bytes;

	if (is_inside)
		memcpy(s.memory + at,
		       reinterpret_cast<const char *>(m.at) + (f.y + row) * m.stride + f.x + byte,
		       WGMMA_UNIT);
	else
		memset(s.memory + at, 0, WGMMA_UNIT);
	memcpy(shim_shared + at, s.memory + at, WGMMA_UNIT);
	s.units[at / WGMMA_UNIT] = { THERE, true, f.gate, s.gates[f.gate].phase };
}

/* One copy ends, any of those under way. */
static bool wgmma_idle(void)
{
	struct wgmma_state &s = wgmma_now();
	struct wgmma_flight f;
	unsigned i;

	if (!s.flight_count)
		return false;
	s.chance = s.chance * 1664525 + 1013904223; /* Numerical Recipes' generator */
	i = (s.chance >> 16) % s.flight_count;
	f = s.flights[i];
	s.flights[i] = s.flights[--s.flight_count];
	for (uint64_t row = 0; row < f.map.box_rows; row++)
		for (uint64_t byte = 0; byte < f.map.box_bytes; byte += WGMMA_UNIT)
			wgmma_land_unit(s, f, row, byte);
	s.gates[f.gate].bytes -= static_cast<long>(f.map.box_bytes * f.map.box_rows);
	wgmma_gate_check(s.gates[f.gate]);
	return true;
}

#endif
