/*
 * stress.cu - patterns written, compared, inverted and moved. See device.h.
 *
 * One copy of each loop a pattern: the word of a pattern is a few instructions or many, and a
 * choice made for each word anew would cost more than the memory does. The index of a mismatch is
 * that of the pattern, so it counts from p.first.
 */
#include "kernels/gpu/device.cuh"

template <bool READ, bool WRITE, int KIND = 0>
__device__ static __forceinline__ void
stress(uint64_t *base, uint64_t words, const struct device_pattern &p, struct device_wrong *wrong)
{
	if (p.kind == KIND)
		device_words<READ, WRITE>(
			base, words, p.first, p.backward, wrong, [&](uint64_t index) {
				return gpu_pattern_word(KIND, p.seed, p.step, index, p.invert);
			});
	else if constexpr (KIND + 1 < PATTERN_COUNT)
		stress<READ, WRITE, KIND + 1>(base, words, p, wrong);
}

DEVICE_ENTRY stress_write(uint64_t *base, uint64_t words, struct device_pattern p)
{
	stress<false, true>(base, words, p, nullptr);
}

DEVICE_ENTRY stress_check(const uint64_t *base, uint64_t words, struct device_pattern p,
			  struct device_wrong *wrong)
{
	stress<true, false>((uint64_t *)base, words, p, wrong);
}

DEVICE_ENTRY stress_invert(uint64_t *base, uint64_t words, struct device_pattern p,
			   struct device_wrong *wrong)
{
	stress<true, true>(base, words, p, wrong);
}

/* The two ranges must not overlap: blocks run in any order. */
DEVICE_ENTRY stress_move(uint64_t *to, const uint64_t *from, uint64_t words)
{
	const uint64_t threads = (uint64_t)gridDim.x * blockDim.x;
	uint64_t at = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;

	if (((uintptr_t)to | (uintptr_t)from) % sizeof(struct device_unit) == 0) {
		device_copy((struct device_unit *)to, (const struct device_unit *)from, words / 2);
		at += words - words % 2;
	}
	for (; at < words; at += threads)
		to[at] = from[at];
}

struct hammer_pair {
	uint64_t here, there;
};

/*
 * Repeats outside, words inside: a row of DRAM is opened again only when its line has left the L2
 * cache, which no load goes past, so the range must be several times that cache and be gone through
 * as a whole. Where two words a stride apart lie in one bank, each makes it close the other's row.
 */
DEVICE_ENTRY stress_hammer(const uint64_t *base, uint64_t words, uint64_t stride, unsigned repeat,
			   uint64_t *sink)
{
	uint64_t sum = 0;

	stride %= words ? words : 1;
	for (unsigned r = 0; r < repeat; r++)
		device_stream<DEVICE_IN_FLIGHT>(
			device_grid(), words,
			[=](uint64_t i) {
				const uint64_t other = i + stride;

				return hammer_pair{
					ptx_load_live(base + i),
					ptx_load_live(base +
						      (other < words ? other : other - words))
				};
			},
			[&](uint64_t, struct hammer_pair pair) {
				sum ^= pair.here;
				sum += pair.there;
			});
	device_sink(sink, sum);
}
