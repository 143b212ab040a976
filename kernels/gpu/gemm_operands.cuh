/*
 * gemm_operands.cuh - what is multiplied: exact, random and toggling numbers of each format.
 * Included by gemm.cu.
 */
#ifndef ASSAY_GEMM_OPERANDS_CUH
#define ASSAY_GEMM_OPERANDS_CUH

#include "kernels/gpu/device.cuh"

namespace gemm
{

enum {
	TOGGLE_RUN = 128
}; /* elements of one pattern; n is a multiple, so none spans two rows of k */

/*
 * Bits of a number with that many bits of exponent and mantissa. Random ones lie between 1/4 and 2.
 * Toggling ones are a number from 1 to 2, exponent 0111.., and one from 2 to 4, exponent 1000..,
 * of the other sign and mantissa: neighbours differ in every single bit.
 */
template <int EXPONENT, int MANTISSA>
static __device__ __forceinline__ uint64_t number(int data, uint64_t seed, uint64_t i)
{
	const uint64_t one = ((1ULL << (EXPONENT - 1)) - 1) << MANTISSA, step = 1ULL << MANTISSA,
		       sign = step << EXPONENT, mantissa = step - 1;

	if (data == OPERAND_EXACT) {
		const int v = gpu_exact_operand(seed, i);

		return (v < 0 ? sign : 0) | (v == 0 ? 0 : v == 1 || v == -1 ? one : one + step);
	}
	if (data == OPERAND_RANDOM) {
		const uint64_t r = gpu_unique(seed, i);

		return ((r & mantissa) | (r >> 63 ? sign : 0) | one) - (r >> 52 & 1023) % 3 * step;
	}
	const uint64_t r = gpu_unique(seed, i / TOGGLE_RUN),
		       v = (r & mantissa) | (r >> 63 ? sign : 0) | one;

	return i & 1 ? v ^ (sign | (sign - 1)) : v;
}

static __device__ __forceinline__ uint64_t integer(int data, uint64_t seed, uint64_t i)
{
	if (data == OPERAND_EXACT)
		return static_cast<uint64_t>(gpu_exact_operand(seed, i));
	if (data == OPERAND_RANDOM)
		return gpu_unique(seed, i);
	const uint64_t r = gpu_unique(seed, i / TOGGLE_RUN);

	return i & 1 ? ~r : r;
}

/* SHIFT: tf32 stands in the upper bits of a word; what mma makes of the lower ones is not defined.
 */
template <class WORD, int EXPONENT, int MANTISSA, int SHIFT>
static __device__ __forceinline__ void fill(void *to, uint64_t count, int data, uint64_t seed)
{
	const device_crew crew = device_grid();

	for (uint64_t i = crew.me; i < count; i += crew.all)
		static_cast<WORD *>(to)[i] =
			static_cast<WORD>(number<EXPONENT, MANTISSA>(data, seed, i) << SHIFT);
}

static __device__ __forceinline__ void fill_integers(void *to, uint64_t count, int data,
						     uint64_t seed)
{
	const device_crew crew = device_grid();

	for (uint64_t i = crew.me; i < count; i += crew.all)
		static_cast<uint8_t *>(to)[i] = static_cast<uint8_t>(integer(data, seed, i));
}

} // namespace gemm

#endif
