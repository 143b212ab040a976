/* clang-format off: the list below is laid out by hand. */
/*
 * device.h - the kernels of this folder by name, and what they share with the host. C11 and CUDA.
 *
 * All entries are extern "C" __global__ and take plain pointers and numbers. Unless it says
 * otherwise an entry strides over its data with the whole grid, so any number of blocks and threads
 * will do. Counts are in units of the pointer's type. Entries, file by file:
 *
 * copy.cu
 *   spin(volatile unsigned *go, unsigned *late, unsigned long long most_ns)
 *       one thread: waits until *go (pinned host memory) is not 0; after most_ns sets *late and
 * leaves fill_unique(uint64_t *to, uint64_t words, uint64_t seed, uint64_t first) to[i] =
 * gpu_unique(seed, first + i) check_unique(const uint64_t *at, uint64_t words, uint64_t seed,
 * uint64_t first, struct device_wrong *wrong) indices of mismatches count from `first`
 *   copy_units(struct device_unit *to, const struct device_unit *from, uint64_t units)
 *       copies by SM; either side may be memory of a peer or of the host
 *
 * latency.cu (one thread each)
 *   chase(const uint64_t *ring, uint64_t start, unsigned samples, unsigned hops, uint64_t *ns,
 *         uint64_t *end)
 *       ring[i] is the index of the next word; ns[s] = time of `hops` dependent loads of sample s
 *   flag_first(volatile uint64_t *mine, volatile uint64_t *theirs, unsigned samples,
 *              unsigned rounds, uint64_t most_ns, uint64_t *ns, unsigned *late)
 *       for each round writes n to *theirs and waits for n in *mine; ns[s] = time of `rounds`
 *       rounds; most_ns is for all of it
 *   flag_second(volatile uint64_t *mine, volatile uint64_t *theirs, unsigned rounds_in_all,
 *               uint64_t most_ns, unsigned *late)
 *       waits for n in *mine, writes n to *theirs
 *
 * memory.cu
 *   read_units(const struct device_unit *from, uint64_t units, uint64_t *sink)
 *   write_units(struct device_unit *to, uint64_t units, uint64_t value)
 *   triad(double *a, const double *b, const double *c, double factor, uint64_t count)
 *   slab_read(const struct device_unit *base, uint64_t units_a_slab, unsigned slabs,
 *             unsigned passes, uint64_t *ns, uint64_t *sink)
 *       a block takes slab after slab (slab = block, block + gridDim, ..) and reads it alone;
 *       ns[slab] = time of `passes` passes
 *
 * stress.cu (struct device_pattern says what and in which order; indices count from p.first)
 *   stress_write(uint64_t *base, uint64_t words, struct device_pattern p)
 *   stress_check(const uint64_t *base, uint64_t words, struct device_pattern p,
 *                struct device_wrong *wrong)
 *   stress_invert(uint64_t *base, uint64_t words, struct device_pattern p,
 *                 struct device_wrong *wrong)
 *       moving inversions: compares each word with p and writes the complement behind it
 *   stress_move(uint64_t *to, const uint64_t *from, uint64_t words)
 *   stress_hammer(const uint64_t *base, uint64_t words, uint64_t stride, unsigned repeat,
 *                 uint64_t *sink)
 *       each thread reads two words one stride (in words) apart again and again, past the L1 cache
 *
 * gemm.cu: PRECISION is a word of GPU_PRECISIONS. Matrices are n x n, n a multiple of 128; a is row
 * after row, b is column after column (its columns lie in a row: "TN"), c is row after row.
 *   gemm_PRECISION(const void *a, const void *b, void *c, unsigned n, unsigned *tile_sm, int keep)
 *       c = a b (keep 0) or c += a b (keep 1); tile_sm[tile] = SM, where not NULL; tiles are
 *       DEVICE_TILE x DEVICE_TILE, row after row; DEVICE_GEMM_THREADS threads and
 *       DEVICE_GEMM_SHARED bytes of dynamic shared memory a block, one block a tile. n 0, one
 *       block: *tile_sm = what the code was built for (90 is sm_90; 0: a CPU), and nothing else
 *
 * gemm_wgmma.cu: the same for sm_90, in all precisions but fp64
 *   gemm_PRECISION_wgmma(struct device_map a, struct device_map b, void *c, unsigned n,
 *                        unsigned *tile_sm, int keep)
 *       as gemm_PRECISION, for any number of blocks of DEVICE_WGMMA_THREADS threads and
 *       DEVICE_WGMMA_SHARED bytes; a and b are maps of bytes, n rows of one column after the other
 *       of k, in boxes of DEVICE_MAP_BOX bytes x DEVICE_MAP_ROWS_A and _B rows, swizzled by 128
 *       bytes. n 0: *tile_sm = 90 where there is wgmma in the code, else 0
 *
 * gemm.cu once more
 *   operand_PRECISION(void *to, uint64_t count, int data, uint64_t seed)
 *       element i is exact, random or toggle data of gpu_unique(seed, i)
 *   rows_f32, rows_f64, rows_i32(const C *c, unsigned n, uint64_t seed, uint64_t *rows,
 *                                uint64_t *not_finite)
 *       rows[r] = sum of (integer of c[r][j]) x gpu_weight(seed, j) modulo 2^64; a c that is no
 *       integer below 2^53 makes it DEVICE_ROW_SPOILED; one block a row
 *   digest_words(const uint32_t *c, uint64_t words, int is_double, uint64_t *digest,
 *                uint64_t *not_finite)
 *       *digest += sum of gpu_digest_term(i, c[i]); counts NaN and Inf of float (is_double 0) or
 *       double (1: pairs of words) elements; is_double -1: integers
 */
/* clang-format on */
#ifndef ASSAY_GPU_DEVICE_H
#define ASSAY_GPU_DEVICE_H

#include <stdint.h>

struct device_unit { /* what one load or store moves */
	uint64_t low, high;
}
#ifdef __CUDACC__
__align__(16)
#elif defined(__GNUC__)
__attribute__((aligned(16)))
#endif
	;

enum { DEVICE_WRONG_KEPT = 16, DEVICE_TILE = 128, DEVICE_GEMM_THREADS = 256 };
enum { DEVICE_GEMM_SHARED = 96 * 1024 };

/* Of products by wgmma: a block, and the boxes in which its copies come: bytes of a row, and rows
 * (of b's that are fp8: B8). Four stages of a and b, what aligns them to 1024, and barriers. */
enum {
	DEVICE_WGMMA_THREADS = 384,
	DEVICE_MAP_BOX = 128,
	DEVICE_MAP_ROWS_A = DEVICE_TILE,
	DEVICE_MAP_ROWS_B = 256,
	DEVICE_MAP_ROWS_B8 = 128,
	DEVICE_WGMMA_SHARED =
		4 * (DEVICE_MAP_ROWS_A + DEVICE_MAP_ROWS_B) * DEVICE_MAP_BOX + 1024 + 256,
};

/* A tensor map as the driver makes it (CUtensorMap): which matrix, and the boxes it is copied in.
 */
struct device_map {
	uint64_t opaque[16];
}
#ifdef __CUDACC__
__align__(64)
#endif
	;

/* What rows_* tell of a row that holds something other than integers: wrong, whatever was expected.
 */
#define DEVICE_ROW_SPOILED 0x73706f696c656421ULL

/* Mismatches, in memory that the host clears first. */
struct device_wrong {
	unsigned long long count,
		kept; /* kept may exceed DEVICE_WRONG_KEPT: so many wanted a place */
	struct {
		uint64_t index, expected, actual, again;
		uint32_t sm, reserved;
	} first[DEVICE_WRONG_KEPT];
};

struct device_pattern {
	uint64_t seed, step, first; /* first: index of base[0] in the whole of what is tested */
	int32_t kind, invert;       /* enum gpu_pattern of data.h */
	int32_t backward;           /* from the last word to the first */
	int32_t reserved;
};

#endif
