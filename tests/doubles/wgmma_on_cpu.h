/*
 * wgmma_on_cpu.h - the functions of kernels/gpu/gemm_wgmma.cuh for a CPU. C++17, to be included
 * behind tensor_on_cpu.h and before gemm_wgmma.cu.
 *
 * A GPU does not say when the order of asynchronous things is wrong; it multiplies what happens to
 * be there, and mostly that is right. So here everything comes as late as it may: copies when all
 * threads wait, and in any order; products when somebody waits for them. Shared memory is there
 * twice, as threads see it and as the asynchronous proxy does, and sums are garbage while they are
 * worked on. What the PTX ISA (9.0) calls undefined is reported and aborts.
 *
 * Where operands lie, and which thread has which sum, is worked out from the descriptors and
 * figures of the PTX ISA, and by nothing that gemm_wgmma.cu knows.
 */
#ifndef ASSAY_WGMMA_ON_CPU_H
#define ASSAY_WGMMA_ON_CPU_H

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

/* ---- descriptors --------------------------------------------------------------------------- */

/* PTX ISA, "Matrix Descriptor Format" and "Canonical Layouts", K-major. */
struct wgmma_matrix {
	unsigned start, leading, stride, base, mode;
};

static inline struct wgmma_matrix wgmma_matrix_of(uint64_t d)
{
	const uint64_t unused = 0x3ffULL << 52 | 7ULL << 46 | 3ULL << 30 | 3ULL << 14;

	if (d & unused)
		shim_fault("wgmma: bits of a descriptor are set that mean nothing");
	return { static_cast<unsigned>(d & 0x3fff) << 4,
		 static_cast<unsigned>(d >> 16 & 0x3fff) << 4,
		 static_cast<unsigned>(d >> 32 & 0x3fff) << 4, static_cast<unsigned>(d >> 49 & 7),
		 static_cast<unsigned>(d >> 62) };
}

/* Address of 16 bytes of a row, from byte k on. Modes: none, 128, 64 and 32 bytes. */
static inline unsigned wgmma_address(const struct wgmma_matrix &m, unsigned row, unsigned k)
{
	static const unsigned bits_of[] = { 0, 3, 2, 1 };
	const unsigned bits = bits_of[m.mode], eights = m.start + row / 8 * m.stride;

	if (!m.mode)
		return eights + row % 8 * WGMMA_UNIT + k / WGMMA_UNIT * m.leading;
	/* "base offset = (pattern start addr >> 0x7) & 0x7", 0 where patterns begin anew */
	if ((((m.start & ~((WGMMA_UNIT << bits) - 1)) >> 7) - m.base) & ((1U << bits) - 1))
		shim_fault("wgmma: the pattern does not begin where the base offset says");
	return wgmma_swizzled(eights + row % 8 * (WGMMA_UNIT << bits) + k, bits, m.base);
}

/* The bytes of an operand: whatever the swizzle, they are among these. */
static inline bool wgmma_reads(uint64_t descriptor, unsigned rows, unsigned from, unsigned bytes)
{
	const struct wgmma_matrix m = wgmma_matrix_of(descriptor);

	for (unsigned row = 0; row < rows; row++)
		for (unsigned k = 0; k < WGMMA_STEP; k += WGMMA_UNIT)
			if (wgmma_address(m, row, k) - from < bytes)
				return true;
	return false;
}

static inline bool wgmma_op_reads(const struct wgmma_op &op, unsigned from, unsigned bytes)
{
	return wgmma_reads(op.a, 64, from, bytes) || wgmma_reads(op.b, op.columns, from, bytes);
}

/* By a product that any thread of its warpgroup has not yet waited for. */
static inline bool wgmma_is_read(unsigned from, unsigned bytes)
{
	struct wgmma_state &s = wgmma_now();
	unsigned long
		asked[WGMMA_THREADS / WGMMA_GROUP] = {}; /* bit: the op of that number modulo 64 */

	for (unsigned t = 0; t < WGMMA_THREADS; t++)
		for (unsigned i = 0; i < s.threads[t].count; i++) {
			const struct wgmma_op &op =
				s.threads[t].queue[(s.threads[t].first + i) % WGMMA_OPS].op;
			const unsigned long bit = 1UL << op.number % WGMMA_OPS;

			if (asked[t / WGMMA_GROUP] & bit)
				continue;
			asked[t / WGMMA_GROUP] |= bit;
			if (wgmma_op_reads(op, from, bytes))
				return true;
		}
	return false;
}

/* ---- products ------------------------------------------------------------------------------ */

static inline void wgmma_check_operand(uint64_t descriptor, unsigned rows)
{
	const struct wgmma_state &s = wgmma_now();
	const struct wgmma_matrix m = wgmma_matrix_of(descriptor);

	for (unsigned row = 0; row < rows; row++)
		for (unsigned k = 0; k < WGMMA_STEP; k += WGMMA_UNIT) {
			const unsigned at = wgmma_offset(wgmma_address(m, row, k), WGMMA_UNIT);

			if (s.units[at / WGMMA_UNIT].content != THERE)
				shim_fault("wgmma: reads what no copy has brought yet");
			if (memcmp(s.memory + at, shim_shared + at, WGMMA_UNIT))
				shim_fault("wgmma: reads what threads wrote without "
					   "fence.proxy.async");
		}
}

/*
 * That a copy has ended is of use to those who have waited for it. One unit tells, for operands
 * come in one piece.
 */
static inline void wgmma_check_waited(uint64_t descriptor)
{
	const unsigned at =
		wgmma_offset(wgmma_address(wgmma_matrix_of(descriptor), 0, 0), WGMMA_UNIT);
	const struct wgmma_unit &unit = wgmma_now().units[at / WGMMA_UNIT];

	if (unit.is_copied && wgmma_me().ended[unit.gate] <= unit.phase)
		shim_fault("wgmma: reads what this thread has not waited for");
}

/* PTX ISA: all warps of the warpgroup must have the same descriptors. */
static inline void wgmma_check_group(const struct wgmma_op &op)
{
	struct wgmma_op *known = &wgmma_now().ops[threadIdx.x / WGMMA_GROUP][op.number % WGMMA_OPS];

	if (known->number < op.number) {
		wgmma_check_operand(op.a, 64);
		wgmma_check_operand(op.b, op.columns);
		*known = op;
	}
	if (known->number != op.number || known->a != op.a || known->b != op.b ||
	    known->add != op.add || known->kind != op.kind)
		shim_fault("wgmma: the threads of its warpgroup are at different products");
}

static inline void wgmma_check_warp(const struct wgmma_op &op)
{
	struct wgmma_op all[warpSize];

	shim_warp_exchange(&op, sizeof(op), all);
	for (const struct wgmma_op &other : all)
		if (other.a != op.a || other.b != op.b || other.number != op.number)
			shim_fault("wgmma: the lanes of its warp are at different products");
}

/* The tensor core takes the registers, and nobody may look at them. */
static inline void wgmma_take_sums(struct wgmma_thread &me, wgmma_word *sums, unsigned count)
{
	if (me.count && (me.sums != sums || me.sum_count != count))
		shim_fault("wgmma: several sums under way are more than the emulation knows");
	for (unsigned i = 0; i < count; i++) {
		if (me.count && sums[i] != wgmma_garbage)
			shim_fault("wgmma: a thread has written to sums that are worked on");
		if (!me.count)
			me.values[i] = sums[i];
		sums[i] = wgmma_garbage;
	}
	me.sums = sums;
	me.sum_count = count;
}

static inline void wgmma_give_sums(struct wgmma_thread &me)
{
	for (unsigned i = 0; i < me.sum_count; i++) {
		if (me.sums[i] != wgmma_garbage)
			shim_fault("wgmma: a thread has written to sums that were worked on");
		me.sums[i] = me.values[i];
	}
	me.is_fenced = false; /* from now on they can be touched */
}

static inline void wgmma_begin()
{
	__syncwarp();
	wgmma_me().is_fenced = true;
}

static inline void wgmma_commit()
{
	__syncwarp();
	wgmma_me().group++;
}

static inline void wgmma_issue(wgmma_word *sums, unsigned kind, unsigned count, uint64_t a,
			       uint64_t b, int add)
{
	struct wgmma_thread &me = wgmma_me();
	const struct wgmma_op op = { a, b, add != 0, kind, 2 * count, ++me.issued };

	if (blockDim.x < (threadIdx.x / WGMMA_GROUP + 1) * WGMMA_GROUP)
		shim_fault("wgmma: not a whole warpgroup");
	if (!me.is_fenced)
		shim_fault("wgmma: no wgmma.fence since its sums could be touched");
	if (me.count == WGMMA_OPS)
		shim_fault("wgmma: more products under way than the emulation has room for");
	wgmma_check_warp(op);
	wgmma_check_group(op);
	wgmma_check_waited(op.a);
	wgmma_check_waited(op.b);
	wgmma_take_sums(me, sums, count);
	me.queue[(me.first + me.count++) % WGMMA_OPS] = { op, me.group };
}

/* ---- multiplying --------------------------------------------------------------------------- */

template <class AS, class SUM>
static inline void wgmma_row(const struct wgmma_matrix &m, unsigned row,
			     SUM (&to)[WGMMA_STEP / 4 * AS::EACH])
{
	const struct wgmma_state &s = wgmma_now();
	unsigned words[WGMMA_STEP / 4];

	for (unsigned k = 0; k < WGMMA_STEP; k += WGMMA_UNIT)
		memcpy(words + k / 4, s.memory + wgmma_offset(wgmma_address(m, row, k), WGMMA_UNIT),
		       WGMMA_UNIT);
	for (unsigned i = 0; i < WGMMA_STEP / 4 * AS::EACH; i++)
		to[i] = AS::value(words, i);
}

/*
 * PTX ISA, figures "WGMMA .m64nNk* register fragment layout for accumulator matrix D": sum i of a
 * thread is of row 16 (warp of its warpgroup) + lane / 4, eight more where bit 1 of i is set, and
 * of column 8 (i / 4) + 2 (lane % 4) + i % 2. Added up in the order of k, as in tensor_on_cpu.h.
 */
template <class AS, class SUM>
static inline void wgmma_multiply(struct wgmma_thread &me, const struct wgmma_op &op)
{
	enum { ALL = WGMMA_STEP / 4 * AS::EACH };
	const struct wgmma_matrix a = wgmma_matrix_of(op.a), b = wgmma_matrix_of(op.b);
	const unsigned row = threadIdx.x % WGMMA_GROUP / 32 * 16 + shim_lane() / 4;
	SUM rows[2][ALL], column[ALL];

	wgmma_row<AS>(a, row, rows[0]);
	wgmma_row<AS>(a, row + 8, rows[1]);
	for (unsigned j = 0; j < me.sum_count / 2; j++) {
		wgmma_row<AS>(b, j / 2 * 8 + shim_lane() % 4 * 2 + j % 2, column);
		for (unsigned half = 0; half < 2; half++) {
			uint32_t *at = &me.values[j / 2 * 4 + half * 2 + j % 2];
			SUM sum = op.add ? shim_bits<SUM>(*at) : 0;

			for (unsigned k = 0; k < ALL; k++)
				sum = tensor_add(sum, rows[half][k], column[k]);
			*at = shim_bits<uint32_t>(sum);
		}
	}
}

enum { WGMMA_TF32, WGMMA_BF16, WGMMA_FP16, WGMMA_FP8, WGMMA_INT8 };

static inline void wgmma_do(struct wgmma_thread &me, const struct wgmma_op &op)
{
	static void (*const kinds[])(struct wgmma_thread &, const struct wgmma_op &) = {
		wgmma_multiply<tensor_as_tf32, float>, wgmma_multiply<tensor_as_bf16, float>,
		wgmma_multiply<tensor_as_fp16, float>, wgmma_multiply<tensor_as_fp8, float>,
		wgmma_multiply<tensor_as_int8, int>,
	};

	kinds[op.kind](me, op);
}

template <int PENDING> static inline void wgmma_wait()
{
	struct wgmma_thread &me = wgmma_me();
	unsigned done = 0;

	__syncwarp();
	for (; me.count && me.queue[me.first].group + PENDING < me.group; done++) {
		wgmma_do(me, me.queue[me.first].op);
		me.first = (me.first + 1) % WGMMA_OPS;
		me.count--;
	}
	if (done && !me.count)
		wgmma_give_sums(me);
}

/* A GPU's compiler must be kept from moving them; here they lie in memory. */
template <class SUM, int COUNT> static inline void wgmma_hold(SUM (&)[COUNT])
{
}

#define WGMMA(name, type, COUNT, kind)                                                             \
	static inline void name(type(&c)[COUNT], uint64_t a, uint64_t b, int add)                  \
	{                                                                                          \
		wgmma_issue(reinterpret_cast<wgmma_word *>(c), kind, COUNT, a, b, add);            \
	}
WGMMA(wgmma_tf32, float, 128, WGMMA_TF32)
WGMMA(wgmma_bf16, float, 128, WGMMA_BF16)
WGMMA(wgmma_fp16, float, 128, WGMMA_FP16)
WGMMA(wgmma_fp8, float, 64, WGMMA_FP8)
WGMMA(wgmma_int8, int, 128, WGMMA_INT8)

/* ---- the end of a block -------------------------------------------------------------------- */

static void wgmma_ended(void)
{
	const struct wgmma_state &s = wgmma_now();

	if (s.flight_count)
		shim_fault("copy: the block ended while it was under way");
	for (threadIdx.x = 0; threadIdx.x < blockDim.x && threadIdx.x < WGMMA_THREADS;
	     threadIdx.x++) {
		if (s.threads[threadIdx.x].count)
			shim_fault("wgmma: ended without waiting for its products");
		if (s.threads[threadIdx.x].issued !=
		    s.threads[threadIdx.x / WGMMA_GROUP * WGMMA_GROUP].issued)
			shim_fault("wgmma: the threads of its warpgroup made different products");
	}
}

#endif
