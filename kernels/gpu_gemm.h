/*
 * gpu_gemm.h - the matrices of one GPU, their products, and the checksums of results. Private to
 * kernels/.
 *
 * Everything is queued on one stream and waited for by gemm_wait. There are several sets of
 * matrices, each with operands of its own, so that work does not come from the cache alone and not
 * every product is of the same numbers.
 */
#ifndef ASSAY_GPU_GEMM_H
#define ASSAY_GPU_GEMM_H

#include "kernels/gpu_golden.h"
#include "kernels/gpu_start.h"

enum { GEMM_SETS_MOST = 8, GEMM_BURSTS = 32, GEMM_SLOTS = GEMM_BURSTS + 1 };

struct gemm_format {
	int width, result_width; /* bytes of an operand and of an element of the result */
	int is_double;           /* as digest_words takes it */
	const char *rows;
};

/* Our own kernels, where cuBLASLt does not multiply. */
enum gemm_kernel {
	GEMM_MMA,    /* gemm.cu */
	GEMM_WGMMA,  /* gemm_wgmma.cu where the GPU has it, else the former */
	GEMM_PROVED, /* the same, but only if it multiplies rightly */
};

/* What came of proving a kernel on a product whose result is known; all 0: it was not proved. */
struct gemm_proof {
	int n, wrong, wrong_by_mma; /* rows, with one wrong element at least */
	uint64_t digest;            /* of the row sums, 0: they were not the same twice */
};

struct gemm_set {
	CUdeviceptr a, b, c, tile_sm;
	CUtensorMap map_a, map_b; /* for GEMM_WGMMA */
	CUdeviceptr first;        /* room for a copy of c, 0: there was none */
	uint64_t seed_a, seed_b;
};

struct gemm {
	struct gpu_context *g;
	struct gpu_bag bag;
	const struct gemm_format *format;
	enum gpu_precision precision;
	enum gpu_data data;
	int n;
	struct cublaslt *lt;     /* NULL: our own kernels multiply */
	enum gemm_kernel kernel; /* then: GEMM_MMA or GEMM_WGMMA */
	struct gemm_proof proof;
	char engine[GPU_ENGINE];
	CUstream stream;
	CUevent marks[2 * GEMM_BURSTS + 1];
	struct gemm_set sets[GEMM_SETS_MOST];
	int set_count;
	uint64_t weights; /* seed, of row sums */
	CUdeviceptr rows, tallies;
	uint64_t *host; /* pinned: rows of each set, then two words a slot */
};

struct gemm_want {
	int gpu;
	enum gpu_precision precision;
	enum gpu_data data;
	int n;
	uint64_t seed;
	int with_cublaslt;
	enum gemm_kernel kernel;
	int only_set; /* -1: as many as are good and fit; else that one alone, as sets[0] */
};

/*
 * Makes everything and fills the operands. 0, or -1 with err when the GPU has no such precision, or
 * too little memory. gemm_close must follow in either case.
 */
int gemm_open(struct gemm *m, struct machine *machine, const struct gemm_want *want,
	      const struct gpu_patience *patience, struct error *err);
void gemm_close(struct gemm *m);

/*
 * gpu_engine.c: finds out who multiplies and writes it down. GEMM_PROVED takes some time on the
 * GPU. 0, or -1 with err: the GPU failed, or nothing can multiply.
 */
int gemm_choose(struct gemm *m, const struct gemm_want *want, struct error *err);
/* gpu_engine.c: makes the maps of a set whose memory is there. */
int gemm_maps(struct gemm *m, struct gemm_set *s, struct error *err);
/* One map, by a function like cuTensorMapEncodeTiled. */
CUresult gemm_map(PFN_cuTensorMapEncodeTiled_v12000 encode, CUtensorMap *map, CUdeviceptr matrix,
		  int n, int width, unsigned rows);
/* What a proof that failed means, for people; "" if it did not. */
void gemm_doubt(const struct gemm *m, char *out, size_t room);

/* Queues a kernel whose name has the precision in place of the star. */
int gemm_launch(struct gemm *m, const char *format, unsigned blocks, unsigned threads, void **args,
		struct error *err);
/* Queues the making of a set's operands. */
int gemm_make(struct gemm *m, int set, struct error *err);
/* Queues c = a b, or c += a b with keep. */
int gemm_multiply(struct gemm *m, int set, int keep, struct error *err);
/* Queues a checksum of c into a slot: of exact data the row sums, of others the digest. */
int gemm_check(struct gemm *m, int set, int slot, struct error *err);
int gemm_mark(struct gemm *m, int mark, struct error *err);
/* Queues a copy of c to `first`, if there is room for one. */
int gemm_keep(struct gemm *m, int set, struct error *err);
/* Waits for all that is queued and should take `seconds`. */
int gemm_wait(struct gemm *m, double seconds, struct error *err);

/* Of finished work: */
int gemm_seconds(struct gemm *m, int from, int to, double *seconds, struct error *err);
const uint64_t *gemm_rows(const struct gemm *m, int set);
uint64_t gemm_digest(const struct gemm *m, int slot);
uint64_t gemm_not_finite(const struct gemm *m, int slot);
/* Elements from `from` on of a matrix like c. */
int gemm_fetch(struct gemm *m, CUdeviceptr matrix, uint64_t from, uint64_t count, void *to,
	       struct error *err);
/* Where each tile of the last product was worked on; NULL if only cuBLASLt knows. Caller frees. */
int gemm_sms(struct gemm *m, int set, unsigned **sms, struct error *err);
/* Element i of what gemm_fetch has fetched. */
double gemm_value(const struct gemm *m, const void *elements, uint64_t i);
uint64_t gemm_bits(const struct gemm *m, const void *elements, uint64_t i);

#endif
