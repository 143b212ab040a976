/*
 * copy.cu - the start that a host gives to many streams at once, data that tells its own place, and
 * copies by the SMs. See device.h.
 *
 * Nothing takes the non-coherent path through the texture cache: either side of a copy may belong
 * to a peer or to the host.
 */
#include "kernels/gpu/device.cuh"

extern "C" __global__ void spin(volatile unsigned *go, unsigned *late, unsigned long long most_ns)
{
	const uint64_t begin = ptx_nanoseconds();

	if (!device_first_thread())
		return;
	for (unsigned long turn = 0; !ptx_load_live(go); turn++) {
		if (ptx_nanoseconds() - begin >= most_ns) {
			*late = 1;
			return;
		}
		ptx_pause(turn);
	}
}

DEVICE_ENTRY fill_unique(uint64_t *to, uint64_t words, uint64_t seed, uint64_t first)
{
	device_words<false, true>(to, words, first, 0, nullptr,
				  [=](uint64_t index) { return gpu_unique(seed, index); });
}

DEVICE_ENTRY check_unique(const uint64_t *at, uint64_t words, uint64_t seed, uint64_t first,
			  struct device_wrong *wrong)
{
	device_words<true, false>((uint64_t *)at, words, first, 0, wrong,
				  [=](uint64_t index) { return gpu_unique(seed, index); });
}

DEVICE_ENTRY copy_units(struct device_unit *to, const struct device_unit *from, uint64_t units)
{
	device_copy(to, from, units);
}
