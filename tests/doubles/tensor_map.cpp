/*
 * tensor_map.cpp - makes a tensor map and refuses what the driver refuses (CUDA driver API,
 * cuTensorMapEncodeTiled), so that a map which no driver would make is not made here either.
 *
 * It lives with the twins, for both the double of libcuda and tests of kernels alone need it.
 */
#include "tests/doubles/tensor_map.h"

#include <string.h>

/* cuda.h: CUtensorMapDataType by its number, in bytes. */
static const unsigned widths[] = { 1, 2, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4, 4 };

enum { DONE = 0, INVALID_VALUE = 1, NOT_SUPPORTED = 801 }; /* of CUresult */
enum { SWIZZLE_128B = 3, BOX_MOST = 256, STEP_MOST = 8 };

static bool is_shape(const uint64_t *dims, const uint64_t *strides, const unsigned *box,
		     const unsigned *steps)
{
	const uint64_t dim_most = UINT64_C(1) << 32, stride_most = UINT64_C(1) << 40;

	for (int i = 0; i < 2; i++)
		if (!dims[i] || dims[i] > dim_most || !box[i] || box[i] > BOX_MOST || !steps[i] ||
		    steps[i] > STEP_MOST)
			return false;
	return strides[0] % 16 == 0 && strides[0] < stride_most;
}

int tensor_map_encode(void *map, int type, unsigned rank, void *at, const uint64_t *dims,
		      const uint64_t *strides, const unsigned *box, const unsigned *steps,
		      int interleave, int swizzle, int promotion, int fill)
{
	struct tensor_map m = {
		TENSOR_MAP_MAGIC, reinterpret_cast<uintptr_t>(at), 0, 0, 0, 0, 0, 0
	};
	unsigned width;

	if (!map || reinterpret_cast<uintptr_t>(map) % 64 || m.at % 16 || !m.at || type < 0 ||
	    type >= static_cast<int>(sizeof(widths) / sizeof(*widths)) || !dims || !strides ||
	    !box || !steps || promotion < 0 || promotion > 3 || fill < 0 || fill > 1)
		return INVALID_VALUE;
	if (rank != 2 || interleave || (swizzle && swizzle != SWIZZLE_128B))
		return NOT_SUPPORTED; /* by this double */
	width = widths[type];
	if (!is_shape(dims, strides, box, steps) || box[0] * width % 16 ||
	    (swizzle && box[0] * width > 128) || strides[0] < dims[0] * width)
		return INVALID_VALUE;
	if (steps[0] != 1 || steps[1] != 1 || fill)
		return NOT_SUPPORTED;
	m.row_bytes = dims[0] * width;
	m.rows = dims[1];
	m.stride = strides[0];
	m.box_bytes = box[0] * width;
	m.box_rows = box[1];
	m.swizzle = swizzle ? 3 : 0;
	memset(map, 0, 128);
	memcpy(map, &m, sizeof(m));
	return DONE;
}
