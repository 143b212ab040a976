/*
 * tensor_on_cpu.h - the functions of kernels/gpu/gemm_tensor.cuh for a CPU. C++17, to be included
 * behind cuda_on_cpu.h and before gemm.cu.
 *
 * Fragments are taken apart by the layouts of the PTX ISA, and by nothing that gemm.cu knows, so
 * that a fragment which is loaded or indexed wrongly gives a wrong product. A copy that is under
 * way spoils what it will overwrite until the wait that guarantees it, so that a stage which is
 * read too early, or filled while somebody still reads it, gives a wrong product too.
 */
#ifndef ASSAY_TENSOR_ON_CPU_H
#define ASSAY_TENSOR_ON_CPU_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* 0: the entries here were built for no architecture. */
static inline unsigned tensor_architecture()
{
	return 0;
}

/* ---- copies -------------------------------------------------------------------------------- */

enum { TENSOR_THREADS = 256, TENSOR_COPIES = 32 };

struct tensor_copies { /* of one thread of the block */
	struct {
		void *to;
		const void *from;
		unsigned group;
	} items[TENSOR_COPIES];
	unsigned count, group; /* group: that of the next copy */
};

/* By the CPU thread that runs a grid; then by the GPU thread. */
static inline tensor_copies &tensor_mine()
{
	static thread_local tensor_copies all[TENSOR_THREADS];

	if (threadIdx.x >= TENSOR_THREADS)
		shim_fault("cp.async: more threads than the emulation has room for");
	return all[threadIdx.x];
}

static inline void tensor_copy(void *shared, const void *global)
{
	tensor_copies &mine = tensor_mine();

	if (reinterpret_cast<uintptr_t>(shared) % 16 || reinterpret_cast<uintptr_t>(global) % 16)
		shim_fault("cp.async: misaligned address");
	if (mine.count == TENSOR_COPIES)
		shim_fault("cp.async: more copies under way than the emulation has room for");
	memset(shared, 0x5a, 16);
	mine.items[mine.count++] = { shared, global, mine.group };
}

static inline void tensor_commit()
{
	tensor_mine().group++;
}

template <int PENDING> static inline void tensor_wait()
{
	tensor_copies &mine = tensor_mine();
	unsigned left = 0;

	for (unsigned i = 0; i < mine.count; i++) {
		if (mine.items[i].group + PENDING < mine.group)
			memcpy(mine.items[i].to, mine.items[i].from, 16);
		else
			mine.items[left++] = mine.items[i];
	}
	mine.count = left;
}

/* PTX ISA, ldmatrix: thread 8 i + r has the address of row r of matrix i; thread t gets elements 2
 * (t % 4) and the next one, of 16 bits each, of row t / 4. */
static inline void tensor_load(unsigned (&to)[4], const void *shared)
{
	const void *rows[32];
	const unsigned lane = shim_lane();

	if (reinterpret_cast<uintptr_t>(shared) % 16)
		shim_fault("ldmatrix: misaligned address");
	shim_warp_exchange(&shared, sizeof(shared), rows);
	for (unsigned i = 0; i < 4; i++)
		memcpy(&to[i], static_cast<const char *>(rows[8 * i + lane / 4]) + lane % 4 * 4, 4);
}

/* ---- fragments ----------------------------------------------------------------------------- */

struct tensor_spot {
	unsigned row, column;
};

/*
 * PTX ISA, "Matrix Fragments for mma.m16n8k8" (.tf32), "mma.m16n8k16" (.f16, .bf16) and
 * "mma.m16n8k32"
 * (.s8, .e4m3): where element i of a lane's fragment belongs. EACH elements lie in one register.
 */
template <unsigned EACH> struct tensor_isa;

template <> struct tensor_isa<1> {
	static constexpr tensor_spot a(unsigned lane, unsigned i)
	{
		return { i == 0 || i == 2 ? lane / 4 : lane / 4 + 8,
			 i == 0 || i == 1 ? lane % 4 : lane % 4 + 4 };
	}
	static constexpr tensor_spot b(unsigned lane, unsigned i)
	{
		return { i == 0 ? lane % 4 : lane % 4 + 4, lane / 4 };
	}
};

template <> struct tensor_isa<2> {
	static constexpr tensor_spot a(unsigned lane, unsigned i)
	{
		return { i < 2 || (4 <= i && i < 6) ? lane / 4 : lane / 4 + 8,
			 i < 4 ? lane % 4 * 2 + (i & 1) : lane % 4 * 2 + (i & 1) + 8 };
	}
	static constexpr tensor_spot b(unsigned lane, unsigned i)
	{
		return { i < 2 ? lane % 4 * 2 + (i & 1) : lane % 4 * 2 + (i & 1) + 8, lane / 4 };
	}
};

template <> struct tensor_isa<4> {
	static constexpr tensor_spot a(unsigned lane, unsigned i)
	{
		return { i < 4 || (8 <= i && i < 12) ? lane / 4 : lane / 4 + 8,
			 i < 8 ? lane % 4 * 4 + (i & 3) : lane % 4 * 4 + (i & 3) + 16 };
	}
	static constexpr tensor_spot b(unsigned lane, unsigned i)
	{
		return { i < 4 ? lane % 4 * 4 + (i & 3) : lane % 4 * 4 + (i & 3) + 16, lane / 4 };
	}
};

/* The other way round, which is what is needed: the lane and the element of a spot. */
struct tensor_holder {
	unsigned lane, i;
};

template <unsigned EACH> static constexpr tensor_holder tensor_holder_a(unsigned row, unsigned k)
{
	return { row % 8 * 4 + k / EACH % 4, (k / (4 * EACH) * 2 + row / 8) * EACH + k % EACH };
}

template <unsigned EACH> static constexpr tensor_holder tensor_holder_b(unsigned k, unsigned column)
{
	return { column * 4 + k / EACH % 4, k / (4 * EACH) * EACH + k % EACH };
}

template <unsigned EACH> static constexpr bool tensor_layouts_agree()
{
	for (unsigned lane = 0; lane < 32; lane++) {
		for (unsigned i = 0; i < 4 * EACH; i++) {
			const tensor_spot s = tensor_isa<EACH>::a(lane, i);
			const tensor_holder h = tensor_holder_a<EACH>(s.row, s.column);

			if (h.lane != lane || h.i != i)
				return false;
		}
		for (unsigned i = 0; i < 2 * EACH; i++) {
			const tensor_spot s = tensor_isa<EACH>::b(lane, i);
			const tensor_holder h = tensor_holder_b<EACH>(s.row, s.column);

			if (h.lane != lane || h.i != i)
				return false;
		}
	}
	return true;
}

static_assert(tensor_layouts_agree<1>() && tensor_layouts_agree<2>() && tensor_layouts_agree<4>(),
	      "fragments are not where the PTX ISA says");

/* ---- numbers ------------------------------------------------------------------------------- */

/* A number of so many bits of exponent and mantissa; INFINITIES 0: e4m3, which has a NaN alone. */
template <unsigned EXPONENT, unsigned MANTISSA, int INFINITIES>
static inline float tensor_number(unsigned bits)
{
	const unsigned most = (1U << EXPONENT) - 1, bias = most / 2, e = bits >> MANTISSA & most,
		       m = bits & ((1U << MANTISSA) - 1), sign = bits >> (EXPONENT + MANTISSA) & 1;
	float v = shim_bits<float>((e - bias + 127) << 23 | m << (23 - MANTISSA));

	if (e == 0)
		v = ldexpf(static_cast<float>(m), 1 - static_cast<int>(bias + MANTISSA));
	else if (INFINITIES && e == most)
		v = m ? NAN : INFINITY;
	else if (!INFINITIES && e == most && m == (1U << MANTISSA) - 1)
		v = NAN;
	return sign ? -v : v;
}

/* How element i of registers becomes a factor. */
struct tensor_as_tf32 {
	enum { EACH = 1 };
	static float value(const unsigned *part, unsigned i)
	{
		return shim_bits<float>(part[i] & 0xffffe000U);
	}
};

struct tensor_as_bf16 {
	enum { EACH = 2 };
	static float value(const unsigned *part, unsigned i)
	{
		return shim_bits<float>((part[i / 2] >> i % 2 * 16) << 16);
	}
};

struct tensor_as_fp16 {
	enum { EACH = 2 };
	static float value(const unsigned *part, unsigned i)
	{
		return tensor_number<5, 10, 1>(part[i / 2] >> i % 2 * 16 & 0xffff);
	}
};

struct tensor_as_fp8 {
	enum { EACH = 4 };
	static float value(const unsigned *part, unsigned i)
	{
		return tensor_number<4, 3, 0>(part[i / 4] >> i % 4 * 8 & 0xff);
	}
};

struct tensor_as_int8 {
	enum { EACH = 4 };
	static int value(const unsigned *part, unsigned i)
	{
		return static_cast<int8_t>(part[i / 4] >> i % 4 * 8 & 0xff);
	}
};

/* ---- mma ----------------------------------------------------------------------------------- */

struct tensor_parts {
	unsigned a[4], b[2];
};

static inline float tensor_add(float c, float a, float b)
{
	return c + a * b; /* the product of any two of these formats is exact in fp32 */
}

static inline int tensor_add(int c, int a, int b)
{
	return static_cast<int>(static_cast<unsigned>(c) + static_cast<unsigned>(a * b));
}

/*
 * PTX ISA, the same chapters, C and D: element i of a lane is of row lane / 4, eight more for i >=
 * 2, and of column 2 (lane % 4) + i % 2. Sums go in the order of k, each rounded to the format of
 * c: a tensor core adds in an order, and drops bits, that NVIDIA does not tell.
 */
template <class AS, class SUM>
static inline void tensor_mma(SUM (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
	const unsigned lane = shim_lane(), each = AS::EACH;
	tensor_parts mine = { { a[0], a[1], a[2], a[3] }, { b[0], b[1] } };
	const tensor_parts *all =
		static_cast<const tensor_parts *>(shim_warp_view(&mine, sizeof(mine)));

	for (unsigned k = 0; k < 8 * each; k++) {
		SUM row[2], column[2];

		for (unsigned i = 0; i < 2; i++) {
			const tensor_holder r = tensor_holder_a<AS::EACH>(lane / 4 + 8 * i, k),
					    s = tensor_holder_b<AS::EACH>(k, lane % 4 * 2 + i);

			row[i] = AS::value(all[r.lane].a, r.i);
			column[i] = AS::value(all[s.lane].b, s.i);
		}
		for (unsigned i = 0; i < 4; i++)
			c[i] = tensor_add(c[i], row[i / 2], column[i % 2]);
	}
}

static inline void tensor_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
	tensor_mma<tensor_as_tf32>(c, a, b);
}

static inline void tensor_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
	tensor_mma<tensor_as_bf16>(c, a, b);
}

static inline void tensor_fp16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
	tensor_mma<tensor_as_fp16>(c, a, b);
}

static inline void tensor_fp8(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
	tensor_mma<tensor_as_fp8>(c, a, b);
}

static inline void tensor_int8(int (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
	tensor_mma<tensor_as_int8>(c, a, b);
}

/*
 * PTX ISA, "Matrix Fragments for mma.m8n8k4 with .f64": a is of row lane / 4 and column lane % 4, b
 * of row lane % 4 and column lane / 4, element i of c of row lane / 4 and column 2 (lane % 4) + i.
 */
static inline void tensor_fp64(double (&c)[2], double a, double b)
{
	const unsigned lane = shim_lane();
	const double mine[2] = { a, b };
	const double(*all)[2] = static_cast<const double(*)[2]>(shim_warp_view(mine, sizeof(mine)));

	for (unsigned k = 0; k < 4; k++)
		for (unsigned i = 0; i < 2; i++)
			c[i] = fma(all[lane / 4 * 4 + k][0], all[(lane % 4 * 2 + i) * 4 + k][1],
				   c[i]);
}

#endif
