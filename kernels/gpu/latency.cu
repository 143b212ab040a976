/*
 * latency.cu - one thread that waits for memory. See device.h.
 *
 * Time is read off %globaltimer, whose steps are coarse on some GPUs: samples must last thousands
 * of steps, not one. A GPU issues in order but does not wait for a load before it reads the clock,
 * so each reading is put behind a branch that needs what was loaded last.
 */
#include "kernels/gpu/device.cuh"

/* No ring has so many words; a chase that meets it has left its ring. */
#define NOT_A_PLACE (~(uint64_t)0)

extern "C" __global__ void chase(const uint64_t *ring, uint64_t start, unsigned samples,
				 unsigned hops, uint64_t *ns, uint64_t *end)
{
	uint64_t at = start;

	if (!device_first_thread())
		return;
	for (unsigned s = 0; s < samples; s++) {
		const uint64_t begin = ptx_nanoseconds();

#pragma unroll 4
		for (unsigned h = 0; h < hops; h++)
			at = ptx_load_live(ring + at);
		if (at == NOT_A_PLACE)
			break;
		ns[s] = ptx_nanoseconds() - begin;
	}
	*end = at;
}

/*
 * Waits for `value` in *at; 0 when most_ns have gone by since `begin`. The clock is looked at now
 * and then only, so that it does not hold up the looks at the flag.
 */
__device__ static inline int flag_wait(const volatile uint64_t *at, uint64_t value, uint64_t begin,
				       uint64_t most_ns)
{
	enum { LOOKS = 64 };

	for (unsigned long turn = 0;; turn++) {
#pragma unroll 1
		for (int i = 0; i < LOOKS; i++)
			if (ptx_load_live(at) == value)
				return 1;
		if (ptx_nanoseconds() - begin >= most_ns)
			return 0;
		ptx_pause(turn);
	}
}

/* Here and below most_ns is for the whole of it: a peer that is slow each time must end, too. */
extern "C" __global__ void flag_first(volatile uint64_t *mine, volatile uint64_t *theirs,
				      unsigned samples, unsigned rounds, uint64_t most_ns,
				      uint64_t *ns, unsigned *late)
{
	const uint64_t begin = ptx_nanoseconds();
	uint64_t n = 0;

	if (!device_first_thread())
		return;
	for (unsigned s = 0; s < samples; s++) {
		const uint64_t since = ptx_nanoseconds();

		for (unsigned r = 0; r < rounds; r++) {
			ptx_store_live(theirs, ++n);
			if (!flag_wait(mine, n, begin, most_ns)) {
				*late = 1;
				return;
			}
		}
		ns[s] = ptx_nanoseconds() - since;
	}
}

extern "C" __global__ void flag_second(volatile uint64_t *mine, volatile uint64_t *theirs,
				       unsigned rounds_in_all, uint64_t most_ns, unsigned *late)
{
	const uint64_t begin = ptx_nanoseconds();

	if (!device_first_thread())
		return;
	for (uint64_t n = 1; n <= rounds_in_all; n++) {
		if (!flag_wait(mine, n, begin, most_ns)) {
			*late = 1;
			return;
		}
		ptx_store_live(theirs, n);
	}
}
