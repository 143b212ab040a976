/*
 * gemm_wgmma.cu - matrix products by Hopper's warpgroups. See device.h for the entries.
 *
 * mma.sync, as in gemm.cu, does not fill the tensor cores of sm_90: wgmma does, which takes its
 * operands from shared memory while threads do something else. What it needs is laid out as in
 * CUTLASS' warp-specialised kernels: one thread has nothing to do but to have the copy engine fill
 * one stage after the other, and two warpgroups multiply, 64 rows of a tile each.
 *
 * Copies go through tensor maps rather than cp.async: the copy engine writes in the swizzled order
 * that wgmma reads, and in the same proxy, so that a barrier that counts bytes is all there is
 * between the two and no thread can forget a fence. There are no clusters and no multicast, which
 * would save reads of L2, because barriers of several blocks cannot be followed on paper.
 *
 * The thread that fills has a warpgroup of its own, because registers move by warpgroups only
 * (setmaxnreg): of 168 for each thread it gives most to those that multiply, whose 128 sums and all
 * else would not quite fit.
 */
#include "kernels/gpu/device.cuh"
#ifdef __CUDACC__
#include "kernels/gpu/gemm_wgmma.cuh"
#endif

/* Where the instructions are not, entries are there all the same, so that one table fits all
 * images; they answer what they were built for, and nothing else. */
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define WITH_WGMMA
#endif

namespace wgmma
{

enum {
	WARP = 32,
	GROUP = 128,         /* threads of a warpgroup */
	GROUPS = 2,          /* that multiply */
	REGISTERS = 168,     /* of a thread: three warps share the 512 x 32 of a quarter of an SM */
	REGISTERS_FILL = 40, /* afterwards */
	REGISTERS_MULTIPLY = 232,
	GROUP_ROWS = 64, /* of one wgmma */
	ROWS = GROUPS * GROUP_ROWS,
	STEP = 32,              /* bytes of k of one wgmma */
	CHUNK = DEVICE_MAP_BOX, /* bytes of k of one stage */
	STEPS = CHUNK / STEP,
	PATTERN = 1024, /* bytes after which the swizzled order begins anew: 8 rows */
	ROOM = DEVICE_WGMMA_SHARED - PATTERN - 256,
	TOGETHER = 16, /* rows of tiles that are worked on together, see tile_of */
};

static_assert((GROUPS + 1) * GROUP == DEVICE_WGMMA_THREADS, "the last warpgroup fills");
static_assert(GROUPS * REGISTERS_MULTIPLY + REGISTERS_FILL <= (GROUPS + 1) * REGISTERS,
	      "more registers than there are");
static_assert(+ROWS == +DEVICE_TILE && +ROWS == +DEVICE_MAP_ROWS_A, "a tile has the rows of a box");

/* ---- formats ------------------------------------------------------------------------------- */

/* A tile has ROWS rows and N columns, of which a thread of each warpgroup has N / 2 sums. */
template <class SUM, int COLUMNS> struct format {
	typedef SUM sum;
	enum {
		N = COLUMNS,
		EACH = N / 2,
		A_BYTES = ROWS * CHUNK,
		B_BYTES = N * CHUNK,
		STAGE = A_BYTES + B_BYTES,
		STAGES = ROOM / STAGE,
		PROMOTES = 0
	};
};

struct tf32 : format<float, DEVICE_MAP_ROWS_B> {
	static __device__ __forceinline__ void product(float (&c)[EACH], uint64_t a, uint64_t b,
						       int add)
	{
		wgmma_tf32(c, a, b, add);
	}
};

struct bf16 : format<float, DEVICE_MAP_ROWS_B> {
	static __device__ __forceinline__ void product(float (&c)[EACH], uint64_t a, uint64_t b,
						       int add)
	{
		wgmma_bf16(c, a, b, add);
	}
};

struct fp16 : format<float, DEVICE_MAP_ROWS_B> {
	static __device__ __forceinline__ void product(float (&c)[EACH], uint64_t a, uint64_t b,
						       int add)
	{
		wgmma_fp16(c, a, b, add);
	}
};

struct int8 : format<int, DEVICE_MAP_ROWS_B> {
	static __device__ __forceinline__ void product(int (&c)[EACH], uint64_t a, uint64_t b,
						       int add)
	{
		wgmma_int8(c, a, b, add);
	}
};

/*
 * Keeps about 14 bits while it adds (see gemm.cu), so after every chunk, 128 of k, the sum moves to
 * registers of full fp32. Those leave room for half the columns only.
 */
struct fp8 : format<float, DEVICE_MAP_ROWS_B8> {
	enum { PROMOTES = 1 };
	static __device__ __forceinline__ void product(float (&c)[EACH], uint64_t a, uint64_t b,
						       int add)
	{
		wgmma_fp8(c, a, b, add);
	}
};

#ifdef WITH_WGMMA

/* ---- stages -------------------------------------------------------------------------------- */

/* Each stage is filled, then read: `full` ends a phase when its bytes have come, `free` when all
 * warps that multiply have read them. */
template <class F> struct stages {
	unsigned char *bytes;
	uint64_t *full, *free;

	__device__ __forceinline__ unsigned char *a(unsigned i) const
	{
		return bytes + i * F::STAGE;
	}
	__device__ __forceinline__ unsigned char *b(unsigned i) const
	{
		return a(i) + F::A_BYTES;
	}
};

/* The swizzled order hangs on the address, so stages begin where it begins. */
template <class F> static __device__ __forceinline__ stages<F> stages_of(unsigned char *shared)
{
	unsigned char *bytes = shared + (-wgmma_shared_address(shared) & (PATTERN - 1));
	uint64_t *barriers = reinterpret_cast<uint64_t *>(bytes + F::STAGES * F::STAGE);

	static_assert(F::STAGE % PATTERN == 0 && F::A_BYTES % PATTERN == 0, "a stage is askew");
	static_assert(F::STAGES >= 3 && 2 * F::STAGES * sizeof(uint64_t) <= 256, "no room");
	return { bytes, barriers, barriers + F::STAGES };
}

template <class F> static __device__ __forceinline__ void stages_init(const stages<F> &s)
{
	if (threadIdx.x == 0) {
		for (unsigned i = 0; i < F::STAGES; i++) {
			wgmma_barrier_init(&s.full[i], 1);
			wgmma_barrier_init(&s.free[i], GROUPS * GROUP / WARP);
		}
		wgmma_barrier_publish();
	}
	__syncthreads();
}

/* Which stage is next, and the parity of its phase; both sides count for themselves. */
template <class F> struct turn {
	unsigned stage, parity;

	__device__ __forceinline__ void next()
	{
		if (++stage == F::STAGES) {
			stage = 0;
			parity ^= 1;
		}
	}
};

/*
 * Whether the phase ended. One that does not in seconds, of work that takes microseconds, never
 * will: something was lost. The product is then given up, and comes out wrong, for that is seen and
 * told like any wrong product, whereas a GPU that is waited for without end takes its process with
 * it. Time in which this block did not run, for others had the GPU, does not count.
 */
static __device__ __forceinline__ bool phase_wait(uint64_t *barrier, unsigned parity)
{
	const uint64_t most = 5000000000ULL, away = 1000000000ULL; /* ns */
	uint64_t began, last;

	if (wgmma_phase_ended(barrier, parity))
		return true;
	began = last = ptx_nanoseconds();
	while (!wgmma_phase_ended(barrier, parity)) {
		const uint64_t now = ptx_nanoseconds();

		if (now - last > away)
			began = now;
		if (now - began > most)
			return false;
		last = now;
	}
	return true;
}

/* ---- tiles --------------------------------------------------------------------------------- */

struct tile {
	unsigned row, column;
};

template <class F> static __device__ __forceinline__ unsigned tiles_of(unsigned n)
{
	return n / ROWS * ((n + F::N - 1) / F::N);
}

/* In groups of rows, column after column, so that those under way at one time form a square. */
template <class F> static __device__ __forceinline__ tile tile_of(unsigned i, unsigned n)
{
	const unsigned rows = n / ROWS, columns = (n + F::N - 1) / F::N,
		       first = i / (TOGETHER * columns) * TOGETHER,
		       here = rows - first < TOGETHER ? rows - first : +TOGETHER,
		       within = i - first * columns;

	return { first + within % here, within / here };
}

/* ---- the thread that fills ----------------------------------------------------------------- */

/* Rows beyond n, where the last tile is half outside, come as zeros, and count as bytes. */
template <class F>
static __device__ __forceinline__ void fill(const stages<F> &s, const device_map *a,
					    const device_map *b, unsigned n, unsigned chunks)
{
	turn<F> at = { 0, 1 }; /* nothing was read yet: the phase before the first has ended */

	for (unsigned i = blockIdx.x; i < tiles_of<F>(n); i += gridDim.x) {
		const tile t = tile_of<F>(i, n);

		for (unsigned chunk = 0; chunk < chunks; chunk++) {
			uint64_t *full = &s.full[at.stage];

			if (!phase_wait(&s.free[at.stage], at.parity))
				return;
			wgmma_arrive_expecting(full, F::STAGE);
			wgmma_copy(s.a(at.stage), a, chunk * CHUNK, t.row * ROWS, full);
			wgmma_copy(s.b(at.stage), b, chunk * CHUNK, t.column * F::N, full);
			at.next();
		}
	}
}

/* ---- the warpgroups that multiply ---------------------------------------------------------- */

/*
 * PTX ISA, "Matrix Descriptor Format": rows of 128 bytes in 128 byte swizzle, k along the row,
 * eight rows a pattern and patterns one behind the other. The leading offset is not used, but 1.
 */
static __device__ __forceinline__ uint64_t matrix_of(const void *shared)
{
	const uint64_t leading = 1, stride = PATTERN, swizzle_128 = 1;

	return (wgmma_shared_address(shared) & 0x3ffff) >> 4 | leading << 16 | (stride >> 4) << 32 |
	       swizzle_128 << 62;
}

/* `lost` once says that nothing is worth waiting for any more. Lanes of a warp may have waited one
 * longer than the other, and must be together for wgmma. */
static __device__ __forceinline__ void stage_wait(uint64_t *full, unsigned parity, bool &lost)
{
	if (!lost)
		lost = !phase_wait(full, parity);
	__syncwarp();
}

/* One stage. Within a pattern k goes on by moving the start: the swizzle is of the address that
 * comes out (there is no base offset, for the pattern itself stays where it is). */
template <class F>
static __device__ __forceinline__ void multiply(typename F::sum (&c)[F::EACH], const stages<F> &s,
						unsigned stage, int add)
{
	const uint64_t a = matrix_of(s.a(stage) + threadIdx.x / GROUP * GROUP_ROWS * CHUNK),
		       b = matrix_of(s.b(stage));

	wgmma_begin();
#pragma unroll
	for (int step = 0; step < STEPS; step++)
		F::product(c, a + (step * STEP >> 4), b + (step * STEP >> 4), step || add);
	wgmma_commit();
}

/* Each warp for itself: of a warpgroup's others it knows nothing. */
static __device__ __forceinline__ void release(uint64_t *free)
{
	if (threadIdx.x % WARP == 0)
		wgmma_arrive(free);
}

/* A chunk is multiplied while that before it ends, which is then free: so the tensor cores always
 * have work. */
template <class F>
static __device__ __forceinline__ void run(typename F::sum (&c)[F::EACH], const stages<F> &s,
					   turn<F> &at, unsigned chunks, bool &lost)
{
	unsigned before = 0;

	wgmma_hold(c);
	for (unsigned chunk = 0; chunk < chunks; chunk++) {
		stage_wait(&s.full[at.stage], at.parity, lost);
		multiply<F>(c, s, at.stage, chunk > 0);
		wgmma_wait<1>();
		if (chunk)
			release(&s.free[before]);
		before = at.stage;
		at.next();
	}
	wgmma_wait<0>();
	wgmma_hold(c);
	release(&s.free[before]);
}

/* Here the chunk is waited for; the other warpgroup has the tensor cores meanwhile. */
template <class F>
static __device__ __forceinline__ void run_promoting(typename F::sum (&c)[F::EACH],
						     const stages<F> &s, turn<F> &at,
						     unsigned chunks, bool &lost)
{
	typename F::sum part[F::EACH];

#pragma unroll
	for (int i = 0; i < F::EACH; i++)
		c[i] = part[i] = 0;
	for (unsigned chunk = 0; chunk < chunks; chunk++) {
		stage_wait(&s.full[at.stage], at.parity, lost);
		wgmma_hold(part);
		multiply<F>(part, s, at.stage, 0);
		wgmma_wait<0>();
		wgmma_hold(part);
		release(&s.free[at.stage]);
#pragma unroll
		for (int i = 0; i < F::EACH; i++)
			c[i] += part[i];
		at.next();
	}
}

/*
 * PTX ISA, figure "WGMMA .m64nNk16 register fragment layout for accumulator matrix D": a warp has
 * 16 rows; of eight columns a lane has two neighbours of row lane / 4, and two of the row eight
 * below.
 */
template <class F>
static __device__ __forceinline__ void store(void *c, unsigned n, tile t,
					     const typename F::sum (&sums)[F::EACH], int keep)
{
	struct alignas(2 * sizeof(typename F::sum)) pair {
		typename F::sum x, y;
	};
	const unsigned lane = threadIdx.x % WARP, first = t.column * F::N,
		       row = t.row * ROWS + threadIdx.x / WARP * 16 + lane / 4;
	typename F::sum *to = static_cast<typename F::sum *>(c) + static_cast<size_t>(row) * n +
			      first + lane % 4 * 2;

#pragma unroll
	for (int half = 0; half < 2; half++)
#pragma unroll
		for (int j = 0; j < F::N / 8; j++) {
			pair *at = reinterpret_cast<pair *>(to + half * 8 * static_cast<size_t>(n) +
							    j * 8);
			pair v = { sums[j * 4 + half * 2], sums[j * 4 + half * 2 + 1] };

			if (first + j * 8 >= n)
				continue;
			if (keep) {
				const pair old = *at;

				v.x += old.x, v.y += old.y;
			}
			*at = v;
		}
}

/* In tiles of DEVICE_TILE, of which one here has one or two. */
template <class F>
static __device__ __forceinline__ void tell_sm(unsigned *tile_sm, unsigned n, tile t)
{
	const unsigned side = n / DEVICE_TILE, each = F::N / DEVICE_TILE;

	if (!tile_sm || threadIdx.x)
		return;
	for (unsigned i = t.column * each; i < (t.column + 1) * each && i < side; i++)
		tile_sm[t.row * side + i] = ptx_sm();
}

template <class F>
static __device__ __forceinline__ void work(const stages<F> &s, void *c, unsigned n,
					    unsigned chunks, unsigned *tile_sm, int keep)
{
	turn<F> at = { 0, 0 };
	bool lost = false;

	for (unsigned i = blockIdx.x; i < tiles_of<F>(n); i += gridDim.x) {
		const tile t = tile_of<F>(i, n);
		typename F::sum sums[F::EACH];

		if (F::PROMOTES)
			run_promoting<F>(sums, s, at, chunks, lost);
		else
			run<F>(sums, s, at, chunks, lost);
		store<F>(c, n, t, sums, keep);
		tell_sm<F>(tile_sm, n, t);
	}
}

#endif

/* ---- the product --------------------------------------------------------------------------- */

template <class F, int WIDTH>
static __device__ __forceinline__ void entry(const device_map *a, const device_map *b, void *c,
					     unsigned n, unsigned *tile_sm, int keep)
{
	if (!n) {
		if (tile_sm && threadIdx.x == 0)
			*tile_sm = wgmma_architecture();
		return;
	}
#ifdef WITH_WGMMA
	DYNAMIC_SHARED(unsigned char, shared);
	const stages<F> s = stages_of<F>(shared);
	const unsigned chunks = n * WIDTH / CHUNK;

	stages_init<F>(s);
	if (threadIdx.x < GROUPS * GROUP) {
		wgmma_take_registers<REGISTERS_MULTIPLY>();
		work<F>(s, c, n, chunks, tile_sm, keep);
	} else {
		wgmma_give_registers<REGISTERS_FILL>();
		if (threadIdx.x == GROUPS * GROUP)
			fill<F>(s, a, b, n, chunks);
	}
#else
	(void)a, (void)b, (void)c, (void)keep;
	__trap();
#endif
}

} // namespace wgmma

#define WGMMA_ENTRY(precision, width)                                                              \
	extern "C" __global__ void __launch_bounds__(DEVICE_WGMMA_THREADS, 1)                      \
		gemm_##precision##_wgmma(const __grid_constant__ struct device_map a,              \
					 const __grid_constant__ struct device_map b, void *c,     \
					 unsigned n, unsigned *tile_sm, int keep)                  \
	{                                                                                          \
		wgmma::entry<wgmma::precision, width>(&a, &b, c, n, tile_sm, keep);                \
	}

WGMMA_ENTRY(tf32, 4)
WGMMA_ENTRY(bf16, 2)
WGMMA_ENTRY(fp16, 2)
WGMMA_ENTRY(fp8, 1)
WGMMA_ENTRY(int8, 1)
