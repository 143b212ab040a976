/*
 * memory.cu - streams through the GPU's own memory. See device.h.
 *
 * What is read goes into an exclusive or, which is cheap and does not ask for an order; what
 * becomes of it is told at device_sink().
 */
#include "kernels/gpu/device.cuh"

__device__ static __forceinline__ uint64_t stream_sum(struct device_crew crew,
						      const struct device_unit *from,
						      uint64_t units)
{
	uint64_t low = 0, high = 0;

	device_stream<DEVICE_IN_FLIGHT>(
		crew, units, [=](uint64_t i) { return ptx_load_unit(from + i); },
		[&](uint64_t, struct device_unit unit) {
			low ^= unit.low;
			high ^= unit.high;
		});
	return low ^ high;
}

DEVICE_ENTRY read_units(const struct device_unit *from, uint64_t units, uint64_t *sink)
{
	device_sink(sink, stream_sum(device_grid(), from, units));
}

DEVICE_ENTRY write_units(struct device_unit *to, uint64_t units, uint64_t value)
{
	device_stream<DEVICE_IN_FLIGHT>(
		device_grid(), units,
		[=](uint64_t) {
			return device_unit{ value, value };
		},
		[=](uint64_t i, struct device_unit unit) { ptx_store_unit(to + i, unit); });
}

struct triad_pair {
	double2 b, c;
};

/* Two doubles a load where all three arrays allow it, which is always but at odd offsets. */
DEVICE_ENTRY triad(double *a, const double *b, const double *c, double factor, uint64_t count)
{
	const struct device_crew grid = device_grid();
	const int aligned = ((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) % sizeof(double2) == 0;
	const uint64_t done =
		2 * device_pieces<DEVICE_IN_FLIGHT / 2>(
			    grid, aligned ? count / 2 : 0, 0,
			    [=](uint64_t i) {
				    return triad_pair{ __ldcs((const double2 *)b + i),
						       __ldcs((const double2 *)c + i) };
			    },
			    [=](uint64_t i, struct triad_pair pair) {
				    __stcs((double2 *)a + i,
					   make_double2(pair.b.x + factor * pair.c.x,
							pair.b.y + factor * pair.c.y));
			    });

	for (uint64_t i = done + grid.me; i < count; i += grid.all)
		__stcs(a + i, __ldcs(b + i) + factor * __ldcs(c + i));
}

/*
 * A pass goes over all slabs of the block before the next one begins, so that a slab has left the
 * L2 cache when its turn comes again. ns[] adds up, which also evens out the steps of the clock.
 */
DEVICE_ENTRY slab_read(const struct device_unit *base, uint64_t units_a_slab, unsigned slabs,
		       unsigned passes, uint64_t *ns, uint64_t *sink)
{
	for (unsigned pass = 0; pass < passes; pass++)
		for (unsigned slab = blockIdx.x; slab < slabs; slab += gridDim.x) {
			uint64_t begin;

			__syncthreads();
			begin = ptx_nanoseconds();
			device_sink(sink, stream_sum(device_block(), base + slab * units_a_slab,
						     units_a_slab));
			__syncthreads();
			if (threadIdx.x == 0)
				ns[slab] = (pass ? ns[slab] : 0) + ptx_nanoseconds() - begin;
		}
}
