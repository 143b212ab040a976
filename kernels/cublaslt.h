/*
 * cublaslt.h - products by cuBLASLt where it is installed: closer to the chip's peak than our own
 * kernels. Private to kernels/.
 */
#ifndef ASSAY_CUBLASLT_H
#define ASSAY_CUBLASLT_H

#include "kernels/gpu_start.h"

struct cublaslt; /* the library, opened for one GPU, one precision and one size */

/*
 * Opens libcublasLt.so.13, else .12, and picks one algorithm for all products to come. Its
 * workspace lives in the bag. NULL with err when there is none, or none that fits: then err says
 * why.
 */
struct cublaslt *cublaslt_open(struct gpu_bag *bag, struct gpu_context *g,
			       enum gpu_precision precision, int n, struct error *err);
void cublaslt_close(struct cublaslt *lt);
/* "cuBLASLt 13.0.2" */
void cublaslt_name(const struct cublaslt *lt, char *out, size_t room);

/* Queues c = a b, or c += a b with keep; matrices as gemm.cu has them. 0 or -1. */
int cublaslt_multiply(struct cublaslt *lt, CUstream stream, CUdeviceptr a, CUdeviceptr b,
		      CUdeviceptr c, int keep, struct error *err);

#endif
