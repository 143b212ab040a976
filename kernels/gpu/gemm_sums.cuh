/*
 * gemm_sums.cuh - what a result is verified by: a sum of each row of integers, and a digest of its
 * bits. Included by gemm.cu.
 */
#ifndef ASSAY_GEMM_SUMS_CUH
#define ASSAY_GEMM_SUMS_CUH

#include "kernels/gpu/device.cuh"

namespace gemm
{

/* The sum over a block of whole warps; only thread 0 gets it. */
static __device__ __forceinline__ uint64_t block_sum(uint64_t value)
{
	__shared__ uint64_t warps[32];

	for (int delta = 16; delta; delta /= 2)
		value += __shfl_down_sync(0xffffffffU, value, delta);
	__syncthreads(); /* the last sum's readers are done */
	if (threadIdx.x % 32 == 0)
		warps[threadIdx.x / 32] = value;
	__syncthreads();
	value = 0;
	if (threadIdx.x == 0)
		for (unsigned w = 0; w < blockDim.x / 32; w++)
			value += warps[w];
	return value;
}

static __device__ __forceinline__ void add_to(uint64_t *total, uint64_t value)
{
	atomicAdd(reinterpret_cast<unsigned long long *>(total), value);
}

static __device__ __forceinline__ int is_finite(float v)
{
	return (__float_as_uint(v) >> 23 & 0xff) != 0xff;
}

static __device__ __forceinline__ int is_finite(double v)
{
	return (static_cast<uint64_t>(__double_as_longlong(v)) >> 52 & 0x7ff) != 0x7ff;
}

static __device__ __forceinline__ int is_finite(int)
{
	return 1;
}

/* Whether v is an integer whose neighbours can be told from it; a NaN is none. */
template <class T> static __device__ __forceinline__ int is_integer(T v)
{
	const double d = static_cast<double>(v), most = 9007199254740992.0; /* 2^53 */

	return d > -most && d < most && d == static_cast<double>(static_cast<int64_t>(d));
}

static __device__ __forceinline__ int is_integer(int)
{
	return 1;
}

template <class T>
static __device__ __forceinline__ void rows_of(const T *c, unsigned n, uint64_t seed,
					       uint64_t *rows, uint64_t *not_finite)
{
	for (unsigned r = blockIdx.x; r < n; r += gridDim.x) {
		uint64_t sum = 0, odd = 0; /* odd: no integers, and above 2^32 those not finite */

		for (unsigned j = threadIdx.x; j < n; j += blockDim.x) {
			const T v = c[static_cast<size_t>(r) * n + j];

			if (is_integer(v))
				sum += static_cast<uint64_t>(static_cast<int64_t>(v)) *
				       gpu_weight(seed, j);
			else
				odd += is_finite(v) ? 1 : 1 + (1ULL << 32);
		}
		sum = block_sum(sum);
		odd = block_sum(odd);
		if (threadIdx.x == 0) {
			rows[r] = odd ? DEVICE_ROW_SPOILED : sum;
			if (odd >> 32)
				add_to(not_finite, odd >> 32);
		}
	}
}

static __device__ __forceinline__ void digest_of(const uint32_t *c, uint64_t words, int is_double,
						 uint64_t *digest, uint64_t *not_finite)
{
	const device_crew crew = device_grid();
	const uint32_t exponent = is_double == 0 ? 0x7f800000 : 0x7ff00000;
	uint64_t sum = 0, odd = 0;

	for (uint64_t i = crew.me; i < words; i += crew.all) {
		sum += gpu_digest_term(i, c[i]);
		/* of a double the upper word tells, which is the second of two */
		if (is_double == 0 || (is_double == 1 && i % 2 == 1))
			odd += (c[i] & exponent) == exponent;
	}
	sum = block_sum(sum);
	odd = block_sum(odd);
	if (threadIdx.x == 0) {
		add_to(digest, sum);
		if (odd)
			add_to(not_finite, odd);
	}
}

} // namespace gemm

#endif
