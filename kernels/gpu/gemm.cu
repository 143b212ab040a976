/*
 * gemm.cu - matrix products on the tensor cores, their operands, and what verifies them. See
 * device.h for the entries.
 *
 * Products go through mma.sync and not through Hopper's wgmma or Blackwell's tcgen05, so they stay
 * below those chips' peak: a kernel that was never seen to be right on hardware would accuse good
 * GPUs, and mma.sync is one instruction from sm_80 on, whose fragments the CPU emulation checks.
 *
 * One skeleton serves all formats, because the fragments of all of them (but fp64's, which are
 * loaded apart) lie alike in bytes: a step is 32 bytes of k, a stage of the pipeline 128. A and B
 * of a stage lie in rows of 128 bytes whose eight units of 16 bytes are permuted by the row's
 * number, which keeps copies, ldmatrix and the 8 byte loads of fp64 free of bank conflicts.
 */
#include "kernels/gpu/device.cuh"
#include "kernels/gpu/gemm_operands.cuh"
#include "kernels/gpu/gemm_sums.cuh"
#ifdef __CUDACC__
#include "kernels/gpu/gemm_tensor.cuh"
#endif

namespace gemm
{

enum {
	TILE = DEVICE_TILE,
	THREADS = DEVICE_GEMM_THREADS,
	UNIT = 16,   /* bytes of one cp.async */
	STEP = 32,   /* bytes of k of one mma */
	CHUNK = 128, /* bytes of k of one stage */
	STEPS = CHUNK / STEP,
	STAGE = 2 * TILE * CHUNK, /* rows of a, then columns of b */
	STAGES = 3,
	GROUP = 8, /* rows of tiles that are worked on together, so that they share operands in L2
		    */
};

static_assert(STAGES * STAGE <= DEVICE_GEMM_SHARED, "the pipeline does not fit");

/* ---- formats ------------------------------------------------------------------------------- */

/*
 * A warp's share of a tile is M x N fragments of the result, each HEIGHT x 8 with EACH elements in
 * a lane: 64 x 64, where two groups of four warps take turns at k and add up at the end (SLICES),
 * or 64 x 32. The former reads a quarter less of shared memory for each product.
 */
template <class SUM, int SLICE_COUNT> struct by_ldmatrix {
	typedef SUM sum;
	enum {
		SLICES = SLICE_COUNT,
		HEIGHT = 16,
		M = 4,
		N = 4 * SLICES,
		EACH = 4,
		BUFFERS = 2,
		PROMOTES = 0
	};
	struct a_part {
		unsigned part[4];
	};
	struct b_part {
		unsigned part[2];
	};
};

struct tf32 : by_ldmatrix<float, 2> {
	static __device__ __forceinline__ void product(float (&c)[4], const a_part &a,
						       const b_part &b)
	{
		tensor_tf32(c, a.part, b.part);
	}
};

struct bf16 : by_ldmatrix<float, 2> {
	static __device__ __forceinline__ void product(float (&c)[4], const a_part &a,
						       const b_part &b)
	{
		tensor_bf16(c, a.part, b.part);
	}
};

struct fp16 : by_ldmatrix<float, 2> {
	static __device__ __forceinline__ void product(float (&c)[4], const a_part &a,
						       const b_part &b)
	{
		tensor_fp16(c, a.part, b.part);
	}
};

struct int8 : by_ldmatrix<int, 2> {
	static __device__ __forceinline__ void product(int (&c)[4], const a_part &a,
						       const b_part &b)
	{
		tensor_int8(c, a.part, b.part);
	}
};

/*
 * Hopper's tensor cores were found to keep about 14 bits when they add products of fp8 (DeepSeek-V3
 * technical report, arXiv 2412.19437, 3.3.2), so after every 128 of k the sum moves to registers of
 * full fp32. That was found for wgmma; how many bits this instruction keeps is to be measured on
 * each architecture: on sm_90 it is made of conversions and fp16 products (NVIDIA/cutlass issue
 * 1986).
 */
struct fp8 : by_ldmatrix<float, 1> {
	/* one buffer: the conversions take the registers of the other */
	enum { BUFFERS = 1, PROMOTES = 1 };
	static __device__ __forceinline__ void product(float (&c)[4], const a_part &a,
						       const b_part &b)
	{
		tensor_fp8(c, a.part, b.part);
	}
};

struct fp64 {
	typedef double sum;
	enum { SLICES = 1, HEIGHT = 8, M = 8, N = 4, EACH = 2, BUFFERS = 2, PROMOTES = 0 };
	struct a_part {
		double part;
	};
	struct b_part {
		double part;
	};
	static __device__ __forceinline__ void product(double (&c)[2], const a_part &a,
						       const b_part &b)
	{
		tensor_fp64(c, a.part, b.part);
	}
};

template <class F> struct fragments {
	typename F::a_part a[F::M];
	typename F::b_part b[F::N];
};

template <class F> struct sums {
	typename F::sum of[F::M][F::N][F::EACH];
};

/* ---- shared memory ------------------------------------------------------------------------- */

/* What a row's units are permuted with: four rows running are apart by pairs of units, eight all.
 */
static __device__ __forceinline__ unsigned fold(unsigned row)
{
	return (row & 3) << 1 | (row >> 2 & 1);
}

/* Where a warp works in the tile, and which half of the steps is its own. */
struct place {
	unsigned row, column, slice;
};

template <class F> static __device__ __forceinline__ place place_of(unsigned warp)
{
	const unsigned across = TILE / (8 * F::N), each = 2 * across; /* warps in a slice */

	return { warp % each / across * 64, warp % across * (8 * F::N), warp / each };
}

static __device__ __forceinline__ unsigned lane()
{
	return threadIdx.x % 32;
}

/* Fragments as mma wants them, of 16 rows of a or columns of b by one ldmatrix. */
template <class F>
static __device__ __forceinline__ void load(fragments<F> &f, const unsigned char *stage,
					    const place &p, unsigned step)
{
	const unsigned l = lane(), f_l = fold(l);
	const unsigned char *a =
		stage + (p.row + l % 16) * CHUNK + ((step * 2 + l / 16) ^ f_l) * UNIT;
	const unsigned char *b = stage + (TILE + p.column + l / 16 * 8 + l % 8) * CHUNK +
				 ((step * 2 + l / 8 % 2) ^ f_l) * UNIT;

#pragma unroll
	for (int m = 0; m < F::M; m++)
		tensor_load(f.a[m].part, a + m * 16 * CHUNK);
#pragma unroll
	for (int n = 0; n < F::N; n += 2) {
		unsigned two[4];

		tensor_load(two, b + n * 8 * CHUNK);
		f.b[n].part[0] = two[0], f.b[n].part[1] = two[1];
		f.b[n + 1].part[0] = two[2], f.b[n + 1].part[1] = two[3];
	}
}

/* ldmatrix hands out four bytes a lane and matrix, so doubles are loaded one by one. */
template <>
__device__ __forceinline__ void load<fp64>(fragments<fp64> &f, const unsigned char *stage,
					   const place &p, unsigned step)
{
	const unsigned l = lane(), row = l / 4;
	const unsigned char *at =
		stage + row * CHUNK + ((step * 2 + l % 4 / 2) ^ fold(row)) * UNIT + l % 2 * 8;
	const unsigned char *a = at + p.row * CHUNK, *b = at + (TILE + p.column) * CHUNK;

#pragma unroll
	for (int m = 0; m < fp64::M; m++)
		f.a[m].part = *reinterpret_cast<const double *>(a + m * 8 * CHUNK);
#pragma unroll
	for (int n = 0; n < fp64::N; n++)
		f.b[n].part = *reinterpret_cast<const double *>(b + n * 8 * CHUNK);
}

/* ---- the product --------------------------------------------------------------------------- */

/* This thread's part of what goes into the next stage. */
struct source {
	const unsigned char *a, *b;
	unsigned stride; /* bytes between two rows that this thread copies */
	unsigned to;
};

static __device__ __forceinline__ source source_of(const void *a, const void *b, size_t row_bytes,
						   unsigned row, unsigned column)
{
	const unsigned mine = threadIdx.x / 8, unit = threadIdx.x % 8;
	const size_t at = mine * row_bytes + unit * UNIT;

	return { static_cast<const unsigned char *>(a) + row * row_bytes + at,
		 static_cast<const unsigned char *>(b) + column * row_bytes + at,
		 static_cast<unsigned>(THREADS / 8 * row_bytes),
		 mine * CHUNK + (unit ^ fold(mine)) * UNIT };
}

static __device__ __forceinline__ void fetch(source &s, unsigned char *stage)
{
	const int rows = THREADS / 8; /* that all threads copy at once */

#pragma unroll
	for (int i = 0; i < TILE / rows; i++) {
		tensor_copy(stage + s.to + i * rows * CHUNK, s.a + i * s.stride);
		tensor_copy(stage + s.to + (TILE + i * rows) * CHUNK, s.b + i * s.stride);
	}
	s.a += CHUNK;
	s.b += CHUNK;
}

template <class F>
static __device__ __forceinline__ void add_products(sums<F> &c, const fragments<F> &f)
{
#pragma unroll
	for (int m = 0; m < F::M; m++)
#pragma unroll
		for (int n = 0; n < F::N; n++)
			F::product(c.of[m][n], f.a[m], f.b[n]);
}

template <class F> static __device__ __forceinline__ void clear(sums<F> &c)
{
#pragma unroll
	for (int i = 0; i < F::M * F::N * F::EACH; i++)
		(&c.of[0][0][0])[i] = 0;
}

template <class F> static __device__ __forceinline__ void promote(sums<F> &c, sums<F> &part)
{
#pragma unroll
	for (int i = 0; i < F::M * F::N * F::EACH; i++)
		(&c.of[0][0][0])[i] += (&part.of[0][0][0])[i];
	clear<F>(part);
}

/*
 * While one step is multiplied the fragments of the next are loaded, also across the border of two
 * stages: the barrier stands before the last step, not behind it. It says two things, that the next
 * stage has come, and that the one before this is read by nobody, so that it may be filled again.
 */
template <class F>
static __device__ __forceinline__ void run(sums<F> &c, sums<F> &part, source &from, const place &p,
					   unsigned char *stages, unsigned chunks)
{
	enum { OWN = STEPS / F::SLICES }; /* steps of a stage that are this warp's */
	const unsigned first = p.slice * OWN;
	fragments<F> f[F::BUFFERS];
	unsigned now = 0, free = STAGES - 1;

	for (unsigned i = 0; i < STAGES - 1; i++) {
		if (i < chunks)
			fetch(from, stages + i * STAGE);
		tensor_commit();
	}
	tensor_wait<STAGES - 2>();
	__syncthreads();
	load<F>(f[0], stages, p, first);
	for (unsigned i = 0; i < chunks; i++) {
		const unsigned next = now + 1 == STAGES ? 0 : now + 1;

#pragma unroll F::BUFFERS
		for (unsigned s = 0; s < OWN; s++) {
			fragments<F> &ahead = f[(s + 1) % F::BUFFERS];

			if (F::BUFFERS == 1)
				add_products<F>(F::PROMOTES ? part : c, f[0]);
			if (s == OWN - 1) {
				tensor_wait<STAGES - 2>();
				__syncthreads();
				load<F>(ahead, stages + next * STAGE, p, first);
			} else {
				load<F>(ahead, stages + now * STAGE, p, first + s + 1);
			}
			if (s == 0) {
				if (i + STAGES - 1 < chunks)
					fetch(from, stages + free * STAGE);
				tensor_commit();
			}
			if (F::BUFFERS == 2)
				add_products<F>(F::PROMOTES ? part : c, f[s % F::BUFFERS]);
		}
		if (F::PROMOTES)
			promote<F>(c, part);
		free = now;
		now = next;
	}
}

/* The second slice hands its sums to the first. */
template <class F>
static __device__ __forceinline__ void join(sums<F> &c, const place &p, unsigned char *stages)
{
	const unsigned each = THREADS / F::SLICES, t = threadIdx.x % each;
	typename F::sum *shared = reinterpret_cast<typename F::sum *>(stages);

	static_assert(sizeof(c) * THREADS / 2 <= STAGES * STAGE || F::SLICES == 1, "no room");
	__syncthreads();
	if (p.slice)
#pragma unroll
		for (int i = 0; i < F::M * F::N * F::EACH; i++)
			shared[i * each + t] = (&c.of[0][0][0])[i];
	__syncthreads();
	if (!p.slice)
#pragma unroll
		for (int i = 0; i < F::M * F::N * F::EACH; i++)
			(&c.of[0][0][0])[i] += shared[i * each + t];
}

/* A lane has two neighbours of a row, and with HEIGHT 16 two more eight rows below. */
template <class F>
static __device__ __forceinline__ void store(typename F::sum *to, size_t n, const sums<F> &c,
					     const place &p, int keep)
{
	struct alignas(2 * sizeof(typename F::sum)) pair {
		typename F::sum x, y;
	};
	const unsigned l = lane();

	to += (p.row + l / 4) * n + p.column + l % 4 * 2;
#pragma unroll
	for (int m = 0; m < F::M; m++)
#pragma unroll
		for (int e = 0; e < F::EACH; e += 2)
#pragma unroll
			for (int j = 0; j < F::N; j++) {
				pair *at = reinterpret_cast<pair *>(
					to + (m * F::HEIGHT + e * 4) * n + j * 8);
				pair v = { c.of[m][j][e], c.of[m][j][e + 1] };

				if (keep) {
					const pair old = *at;

					v.x += old.x, v.y += old.y;
				}
				*at = v;
			}
}

/* Tiles are taken in groups of rows, column after column, so that those under way at one time form
 * a square and not a strip. */
static __device__ __forceinline__ void tile_of(unsigned tiles, unsigned *row, unsigned *column)
{
	const unsigned first = blockIdx.x / (GROUP * tiles) * GROUP,
		       rows = tiles - first < GROUP ? tiles - first : +GROUP,
		       within = blockIdx.x - first * tiles;

	*row = first + within % rows;
	*column = within / rows;
}

template <class F, int WIDTH>
static __device__ __forceinline__ void multiply(const void *a, const void *b, void *c, unsigned n,
						unsigned *tile_sm, int keep)
{
	DYNAMIC_SHARED(unsigned char, stages);
	const place p = place_of<F>(threadIdx.x / 32);
	const unsigned tiles = n / TILE;
	const size_t row_bytes = static_cast<size_t>(n) * WIDTH;
	unsigned row, column;
	sums<F> sum, part;

	if (!n) {
		if (tile_sm && threadIdx.x == 0)
			*tile_sm = tensor_architecture();
		return;
	}
	tile_of(tiles, &row, &column);
	source from = source_of(a, b, row_bytes, row * TILE, column * TILE);

	clear<F>(sum);
	clear<F>(part);
	run<F>(sum, part, from, p, stages, static_cast<unsigned>(row_bytes / CHUNK));
	if (F::SLICES > 1)
		join<F>(sum, p, stages);
	if (!p.slice)
		store<F>(static_cast<typename F::sum *>(c) +
				 (static_cast<size_t>(row) * n + column) * TILE,
			 n, sum, p, keep);
	if (tile_sm && threadIdx.x == 0)
		tile_sm[row * tiles + column] = ptx_sm();
}

} // namespace gemm

/* ---- entries ------------------------------------------------------------------------------- */

extern "C" __global__ void __launch_bounds__(DEVICE_GEMM_THREADS, 1)
	gemm_fp64(const void *a, const void *b, void *c, unsigned n, unsigned *tile_sm, int keep)
{
	gemm::multiply<gemm::fp64, 8>(a, b, c, n, tile_sm, keep);
}

extern "C" __global__ void __launch_bounds__(DEVICE_GEMM_THREADS, 1)
	gemm_tf32(const void *a, const void *b, void *c, unsigned n, unsigned *tile_sm, int keep)
{
	gemm::multiply<gemm::tf32, 4>(a, b, c, n, tile_sm, keep);
}

extern "C" __global__ void __launch_bounds__(DEVICE_GEMM_THREADS, 1)
	gemm_bf16(const void *a, const void *b, void *c, unsigned n, unsigned *tile_sm, int keep)
{
	gemm::multiply<gemm::bf16, 2>(a, b, c, n, tile_sm, keep);
}

extern "C" __global__ void __launch_bounds__(DEVICE_GEMM_THREADS, 1)
	gemm_fp16(const void *a, const void *b, void *c, unsigned n, unsigned *tile_sm, int keep)
{
	gemm::multiply<gemm::fp16, 2>(a, b, c, n, tile_sm, keep);
}

extern "C" __global__ void __launch_bounds__(DEVICE_GEMM_THREADS, 1)
	gemm_fp8(const void *a, const void *b, void *c, unsigned n, unsigned *tile_sm, int keep)
{
	gemm::multiply<gemm::fp8, 1>(a, b, c, n, tile_sm, keep);
}

extern "C" __global__ void __launch_bounds__(DEVICE_GEMM_THREADS, 1)
	gemm_int8(const void *a, const void *b, void *c, unsigned n, unsigned *tile_sm, int keep)
{
	gemm::multiply<gemm::int8, 1>(a, b, c, n, tile_sm, keep);
}

extern "C" __global__ void operand_fp64(void *to, uint64_t count, int data, uint64_t seed)
{
	gemm::fill<uint64_t, 11, 52, 0>(to, count, data, seed);
}

extern "C" __global__ void operand_tf32(void *to, uint64_t count, int data, uint64_t seed)
{
	gemm::fill<uint32_t, 8, 10, 13>(to, count, data, seed);
}

extern "C" __global__ void operand_bf16(void *to, uint64_t count, int data, uint64_t seed)
{
	gemm::fill<uint16_t, 8, 7, 0>(to, count, data, seed);
}

extern "C" __global__ void operand_fp16(void *to, uint64_t count, int data, uint64_t seed)
{
	gemm::fill<uint16_t, 5, 10, 0>(to, count, data, seed);
}

extern "C" __global__ void operand_fp8(void *to, uint64_t count, int data, uint64_t seed)
{
	gemm::fill<uint8_t, 4, 3, 0>(to, count, data, seed);
}

extern "C" __global__ void operand_int8(void *to, uint64_t count, int data, uint64_t seed)
{
	gemm::fill_integers(to, count, data, seed);
}

extern "C" __global__ void rows_f32(const float *c, unsigned n, uint64_t seed, uint64_t *rows,
				    uint64_t *not_finite)
{
	gemm::rows_of(c, n, seed, rows, not_finite);
}

extern "C" __global__ void rows_f64(const double *c, unsigned n, uint64_t seed, uint64_t *rows,
				    uint64_t *not_finite)
{
	gemm::rows_of(c, n, seed, rows, not_finite);
}

extern "C" __global__ void rows_i32(const int *c, unsigned n, uint64_t seed, uint64_t *rows,
				    uint64_t *not_finite)
{
	gemm::rows_of(c, n, seed, rows, not_finite);
}

extern "C" __global__ void digest_words(const uint32_t *c, uint64_t words, int is_double,
					uint64_t *digest, uint64_t *not_finite)
{
	gemm::digest_of(c, words, is_double, digest, not_finite);
}
