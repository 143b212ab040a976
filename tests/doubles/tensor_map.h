/*
 * tensor_map.h - what the doubles put into a CUtensorMap, whose inside NVIDIA does not tell. Of two
 * dimensions, which is all that device code here uses.
 */
#ifndef ASSAY_TENSOR_MAP_H
#define ASSAY_TENSOR_MAP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENSOR_MAP_MAGIC UINT64_C(0x6d61702d6f662d32)

struct tensor_map {
	uint64_t magic;
	uint64_t at;                  /* of the first byte */
	uint64_t row_bytes, rows;     /* beyond them there are zeros */
	uint64_t stride;              /* bytes from row to row */
	uint64_t box_bytes, box_rows; /* that are copied at once */
	uint64_t swizzle;             /* bits of the address that are changed: 3 is 128 bytes */
};

/* cuTensorMapEncodeTiled, with types as in cuda.h but without it. Returns a CUresult. */
int tensor_map_encode(void *map, int type, unsigned rank, void *at, const uint64_t *dims,
		      const uint64_t *strides, const unsigned *box, const unsigned *steps,
		      int interleave, int swizzle, int promotion, int fill);

#ifdef __cplusplus
}
#endif

#endif
