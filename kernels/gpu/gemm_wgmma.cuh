/*
 * gemm_wgmma.cuh - Hopper's warpgroup products, its bulk copies and the barriers that both need,
 * one small function for each instruction. Included by gemm_wgmma.cu.
 *
 * As in gemm_tensor.cuh all inline assembly is here, so that tests/doubles/wgmma_on_cpu.h can give
 * the same functions to a CPU. There they not only multiply: they also watch the order in which the
 * PTX ISA (9.0, chapter "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions")
 * wants them, which on a GPU nothing would.
 *
 * Only sm_90a has these instructions. Functions that nobody calls are not translated, so that this
 * file does no harm to code for other architectures.
 */
#ifndef ASSAY_GEMM_WGMMA_CUH
#define ASSAY_GEMM_WGMMA_CUH

#include "kernels/gpu/device.cuh"

/* 90 where this code was built for sm_90a, else 0. */
static __device__ __forceinline__ unsigned wgmma_architecture()
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
	return 90;
#else
	return 0;
#endif
}

static __device__ __forceinline__ unsigned wgmma_shared_address(const void *shared)
{
	return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/* ---- registers, by all warps of a warpgroup ------------------------------------------------- */

template <int COUNT> static __device__ __forceinline__ void wgmma_give_registers()
{
	asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}

/* Waits until others have given enough. */
template <int COUNT> static __device__ __forceinline__ void wgmma_take_registers()
{
	asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}

/* ---- barriers in shared memory ------------------------------------------------------------- */

static __device__ __forceinline__ void wgmma_barrier_init(uint64_t *barrier, unsigned arrivals)
{
	asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(wgmma_shared_address(barrier)),
		     "r"(arrivals)
		     : "memory");
}

/* Shows the barriers that this thread made to the copy engine; other threads need __syncthreads. */
static __device__ __forceinline__ void wgmma_barrier_publish()
{
	asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ void wgmma_arrive(uint64_t *barrier)
{
	asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(wgmma_shared_address(barrier))
		     : "memory");
}

/* Arrives, and lets the phase end only when so many bytes have come, too. */
static __device__ __forceinline__ void wgmma_arrive_expecting(uint64_t *barrier, unsigned bytes)
{
	asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
			     wgmma_shared_address(barrier)),
		     "r"(bytes)
		     : "memory");
}

/* Whether the phase of that parity has ended; waits a little for it. A new barrier is in phase 0,
 * so phase 1 before it counts as ended. */
static __device__ __forceinline__ bool wgmma_phase_ended(uint64_t *barrier, unsigned parity)
{
	unsigned ended;

	asm volatile("{\n"
		     ".reg .pred p;\n"
		     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
		     "selp.u32 %0, 1, 0, p;\n"
		     "}"
		     : "=r"(ended)
		     : "r"(wgmma_shared_address(barrier)), "r"(parity)
		     : "memory");
	return ended != 0;
}

/* ---- copies -------------------------------------------------------------------------------- */

/* The box at byte x of row y of a matrix, by the copy engine; the barrier hears of its bytes. */
static __device__ __forceinline__ void wgmma_copy(void *shared, const struct device_map *map,
						  unsigned x, unsigned y, uint64_t *barrier)
{
	asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::"
		     "bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(wgmma_shared_address(shared)),
		     "l"(map), "r"(x), "r"(y), "r"(wgmma_shared_address(barrier))
		     : "memory");
}

/* ---- products ------------------------------------------------------------------------------ */

/* Before the first product, and whenever threads have touched the sums since the last one. */
static __device__ __forceinline__ void wgmma_begin()
{
	asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void wgmma_commit()
{
	asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Keeps the compiler from moving sums from register to register while they are worked on. */
template <int COUNT> static __device__ __forceinline__ void wgmma_hold(float (&c)[COUNT])
{
#pragma unroll
	for (int i = 0; i < COUNT; i++)
		asm volatile("" : "+f"(c[i])::"memory");
}

template <int COUNT> static __device__ __forceinline__ void wgmma_hold(int (&c)[COUNT])
{
#pragma unroll
	for (int i = 0; i < COUNT; i++)
		asm volatile("" : "+r"(c[i])::"memory");
}

/* Waits until at most PENDING of the newest groups are worked on. Of others the sums may be read,
 * and their operands overwritten. */
template <int PENDING> static __device__ __forceinline__ void wgmma_wait()
{
	asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/* clang-format off: operands in lines of 16. */
#define WGMMA_PLACES_64                                                                            \
	"%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                   \
	"%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "         \
	"%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "         \
	"%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_PLACES_128                                                                           \
	"%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                   \
	"%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "         \
	"%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "         \
	"%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "         \
	"%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "         \
	"%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "         \
	"%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "   \
	"%111, "                                                                                   \
	"%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, "     \
	"%126, %127"
#define WGMMA_4(k, c, i) "+" k(c[i]), "+" k(c[(i) + 1]), "+" k(c[(i) + 2]), "+" k(c[(i) + 3])
#define WGMMA_16(k, c, i)                                                                          \
	WGMMA_4(k, c, i), WGMMA_4(k, c, (i) + 4), WGMMA_4(k, c, (i) + 8), WGMMA_4(k, c, (i) + 12)
#define WGMMA_SUMS_64(k, c)                                                                        \
	WGMMA_16(k, c, 0), WGMMA_16(k, c, 16), WGMMA_16(k, c, 32), WGMMA_16(k, c, 48)
#define WGMMA_SUMS_128(k, c)                                                                       \
	WGMMA_SUMS_64(k, c), WGMMA_16(k, c, 64), WGMMA_16(k, c, 80), WGMMA_16(k, c, 96),           \
		WGMMA_16(k, c, 112)
/* clang-format on */

/*
 * c += a b, or c = a b where add is 0: 64 x N from 64 x 32 bytes and 32 bytes x N, both as their
 * descriptors say. COUNT registers of sums, so the operands behind them are COUNT, COUNT + 1, ..
 */
#define WGMMA(name, type, k, COUNT, a, b, p, what, tail)                                           \
	static __device__ __forceinline__ void name(type(&c)[COUNT], uint64_t a_matrix,            \
						    uint64_t b_matrix, int add)                    \
	{                                                                                          \
		asm volatile("{\n"                                                                 \
			     ".reg .pred p;\n"                                                     \
			     "setp.ne.b32 p, %" p ", 0;\n"                                         \
			     "wgmma.mma_async.sync.aligned." what " {" WGMMA_PLACES_##COUNT        \
			     "}, %" a ", %" b ", p" tail ";\n"                                     \
			     "}"                                                                   \
			     : WGMMA_SUMS_##COUNT(k, c)                                            \
			     : "l"(a_matrix), "l"(b_matrix), "r"(add));                            \
	}

/* Behind p: the signs of a and b, and of 16 bit formats whether they are to be turned over. */
WGMMA(wgmma_tf32, float, "f", 128, "128", "129", "130", "m64n256k8.f32.tf32.tf32", ", 1, 1")
WGMMA(wgmma_bf16, float, "f", 128, "128", "129", "130", "m64n256k16.f32.bf16.bf16", ", 1, 1, 0, 0")
WGMMA(wgmma_fp16, float, "f", 128, "128", "129", "130", "m64n256k16.f32.f16.f16", ", 1, 1, 0, 0")
WGMMA(wgmma_fp8, float, "f", 64, "64", "65", "66", "m64n128k32.f32.e4m3.e4m3", ", 1, 1")
WGMMA(wgmma_int8, int, "r", 128, "128", "129", "130", "m64n256k32.s32.s8.s8", "")

#endif
