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

#include "tests/doubles/bulk_on_cpu.h"

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
