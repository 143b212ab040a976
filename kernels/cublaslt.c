/*
 * cublaslt.c - one product of fixed size, by cuBLASLt.
 *
 * The algorithm is chosen once and kept, and none may split k among blocks that add up in the order
 * in which they happen to end: then the same data give the same bits each time (cuBLAS
 * documentation, 2.1.4, "Results Reproducibility"), and a digest that changes is the GPU's fault.
 */
#include "kernels/cublaslt.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What NVIDIA advises for Hopper (cuBLAS documentation, cublasSetWorkspace). */
enum { WORKSPACE = 32 << 20 };

#define FUNCTIONS(X)                                                                               \
	X(Create)                                                                                  \
	X(Destroy)                                                                                 \
	X(GetVersion)                                                                              \
	X(GetStatusName)                                                                           \
	X(Matmul)                                                                                  \
	X(MatmulDescCreate)                                                                        \
	X(MatmulDescDestroy)                                                                       \
	X(MatmulDescSetAttribute)                                                                  \
	X(MatrixLayoutCreate)                                                                      \
	X(MatrixLayoutDestroy)                                                                     \
	X(MatmulPreferenceCreate)                                                                  \
	X(MatmulPreferenceDestroy)                                                                 \
	X(MatmulPreferenceSetAttribute)                                                            \
	X(MatmulAlgoGetHeuristic)

#define POINTER(name) __typeof__(cublasLt##name) *name;
struct cublaslt {
	FUNCTIONS(POINTER)
	void *library;
	const struct gpu_context *g;
	const struct type *type;
	cublasLtHandle_t handle;
	cublasLtMatmulDesc_t product;
	cublasLtMatrixLayout_t operand, result;
	cublasLtMatmulAlgo_t algorithm;
	CUdeviceptr workspace;
};

/* Types by precision. Scales of fp8 are 1 where nobody sets them. */
static const struct type {
	cudaDataType_t operand, result, scale;
	cublasComputeType_t compute;
} types[GPU_PRECISION_COUNT] = {
	[GPU_FP64] = { CUDA_R_64F, CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F },
	[GPU_TF32] = { CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32 },
	[GPU_BF16] = { CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F },
	[GPU_FP16] = { CUDA_R_16F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F },
	[GPU_FP8] = { CUDA_R_8F_E4M3, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F },
	[GPU_INT8] = { CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I },
};

/* ---- the library --------------------------------------------------------------------------- */

#define ROW(name) { "cublasLt" #name, offsetof(struct cublaslt, name) },
static const struct {
	const char *name;
	size_t offset;
} functions[] = { FUNCTIONS(ROW) };

static int functions_find(struct cublaslt *lt, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *symbol = dlsym(lt->library, functions[i].name);

		if (!symbol)
			return error_set(err, "libcublasLt lacks %s", functions[i].name);
		memcpy((char *)lt + functions[i].offset, &symbol, sizeof(symbol));
	}
	return 0;
}

/*
 * As cuda.h says of libcuda: a recorded machine has its own libraries or none. It stays loaded:
 * what it keeps for each thread is torn down when a thread ends, by code that must be there still,
 * and to load hundreds of megabytes for every burn anew takes time.
 */
static void *library_load(struct machine *m, const char *name, struct error *err)
{
	char *path = *m->root ? machine_path(m, "/lib/%s", name) : xstrdup(name);
	void *library = NULL;

	if (*m->root && access(path, F_OK) < 0)
		error_set(err, "the recorded machine has no /lib/%s", name);
	else if (!(library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)))
		error_set(err, "%s", dlerror());
	free(path);
	return library;
}

static int check(const struct cublaslt *lt, cublasStatus_t rc, struct error *err, const char *what)
{
	if (rc == CUBLAS_STATUS_SUCCESS)
		return 0;
	return error_set(err, "gpu%d: cuBLASLt: %s: %s (%d)", lt->g->gpu, what,
			 lt->GetStatusName(rc), (int)rc);
}

/* ---- the product --------------------------------------------------------------------------- */

/*
 * cuBLASLt counts by columns, so what it takes for its result is our c turned over: c' = b' a'. Our
 * b, column after column, is its first operand, to be turned over, and our rows of a are the
 * columns of its second.
 */
static int describe(struct cublaslt *lt, int n, struct error *err)
{
	const cublasOperation_t turn = CUBLAS_OP_T, leave = CUBLAS_OP_N;
	const struct type *t = lt->type;

	if (check(lt, lt->MatmulDescCreate(&lt->product, t->compute, t->scale), err,
		  "describing the product") < 0 ||
	    check(lt,
		  lt->MatmulDescSetAttribute(lt->product, CUBLASLT_MATMUL_DESC_TRANSA, &turn,
					     sizeof(turn)),
		  err, "describing the product") < 0 ||
	    check(lt,
		  lt->MatmulDescSetAttribute(lt->product, CUBLASLT_MATMUL_DESC_TRANSB, &leave,
					     sizeof(leave)),
		  err, "describing the product") < 0 ||
	    check(lt, lt->MatrixLayoutCreate(&lt->operand, t->operand, (uint64_t)n, (uint64_t)n, n),
		  err, "describing an operand") < 0)
		return -1;
	return check(lt,
		     lt->MatrixLayoutCreate(&lt->result, t->result, (uint64_t)n, (uint64_t)n, n),
		     err, "describing the result");
}

static int prefer(struct cublaslt *lt, cublasLtMatmulPreference_t preference, struct error *err)
{
	const uint64_t workspace = WORKSPACE;
	const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;

	if (check(lt,
		  lt->MatmulPreferenceSetAttribute(preference,
						   CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
						   &workspace, sizeof(workspace)),
		  err, "preferring a workspace") < 0)
		return -1;
	return check(lt,
		     lt->MatmulPreferenceSetAttribute(preference,
						      CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
						      &reduction, sizeof(reduction)),
		     err, "ruling out split sums");
}

static int choose(struct cublaslt *lt, struct error *err)
{
	cublasLtMatmulPreference_t preference = NULL;
	cublasLtMatmulHeuristicResult_t found;
	int count = 0, rc;

	if (check(lt, lt->MatmulPreferenceCreate(&preference), err, "making a preference") < 0)
		return -1;
	rc = prefer(lt, preference, err);
	if (rc == 0)
		rc = check(lt,
			   lt->MatmulAlgoGetHeuristic(lt->handle, lt->product, lt->operand,
						      lt->operand, lt->result, lt->result,
						      preference, 1, &found, &count),
			   err, "looking for an algorithm");
	if (rc == 0 && (count < 1 || found.state != CUBLAS_STATUS_SUCCESS))
		rc = error_set(err, "gpu%d: cuBLASLt has no algorithm that repeats its bits",
			       lt->g->gpu);
	if (rc == 0)
		lt->algorithm = found.algo;
	lt->MatmulPreferenceDestroy(preference);
	return rc;
}

static int open_version(struct cublaslt *lt, struct gpu_bag *bag, struct gpu_context *g,
			const char *name, enum gpu_precision precision, int n, struct error *err)
{
	*lt = (struct cublaslt){ .g = g, .type = &types[precision] };
	lt->library = library_load(g->m, name, err);
	if (!lt->library || functions_find(lt, err) < 0 ||
	    check(lt, lt->Create(&lt->handle), err, "starting") < 0 || describe(lt, n, err) < 0 ||
	    choose(lt, err) < 0)
		return -1;
	return gpu_bag_memory(bag, g, WORKSPACE, &lt->workspace, err);
}

static void release(struct cublaslt *lt)
{
	if (lt->result)
		lt->MatrixLayoutDestroy(lt->result);
	if (lt->operand)
		lt->MatrixLayoutDestroy(lt->operand);
	if (lt->product)
		lt->MatmulDescDestroy(lt->product);
	if (lt->handle)
		lt->Destroy(lt->handle);
	if (lt->library)
		dlclose(lt->library);
}

/* cuBLASLt has a runtime of its own inside, which cannot work with a double of the driver. */
static int driver_is_real(struct gpu_context *g, struct error *err)
{
	const struct host_gpus *gpus = machine_gpus(g->m, err);

	if (!gpus)
		return -1;
	if (gpus->simulated && !*g->m->root)
		return error_set(err, "the driver is a double");
	return 0;
}

struct cublaslt *cublaslt_open(struct gpu_bag *bag, struct gpu_context *g,
			       enum gpu_precision precision, int n, struct error *err)
{
	static const char *const names[] = { "libcublasLt.so.13", "libcublasLt.so.12" };
	struct cublaslt *lt = xcalloc(1, sizeof(*lt));
	struct error first, second;

	if (driver_is_real(g, err) < 0) {
		free(lt);
		return NULL;
	}
	if (open_version(lt, bag, g, names[0], precision, n, &first) == 0)
		return lt;
	/* a driver that is too old for the one may do for the other */
	release(lt);
	if (open_version(lt, bag, g, names[1], precision, n, &second) == 0)
		return lt;
	*err = lt->library ? second : first;
	release(lt);
	free(lt);
	return NULL;
}

void cublaslt_close(struct cublaslt *lt)
{
	if (lt)
		release(lt);
	free(lt);
}

/* 130002 is 13.0.2 (CUBLAS_VERSION in cublas_api.h). */
void cublaslt_name(const struct cublaslt *lt, char *out, size_t room)
{
	const size_t v = lt->GetVersion();

	snprintf(out, room, "cuBLASLt %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

/* Scalars have the type of sums. */
union scalar {
	double f64;
	float f32;
	int32_t i32;
};

static union scalar scalar_of(cudaDataType_t type, int value)
{
	union scalar s = { 0 };

	if (type == CUDA_R_64F)
		s.f64 = value;
	else if (type == CUDA_R_32F)
		s.f32 = (float)value;
	else
		s.i32 = value;
	return s;
}

int cublaslt_multiply(struct cublaslt *lt, CUstream stream, CUdeviceptr a, CUdeviceptr b,
		      CUdeviceptr c, int keep, struct error *err)
{
	const union scalar alpha = scalar_of(lt->type->scale, 1),
			   beta = scalar_of(lt->type->scale, keep != 0);

	return check(lt,
		     lt->Matmul(lt->handle, lt->product, &alpha, (const void *)(uintptr_t)b,
				lt->operand, (const void *)(uintptr_t)a, lt->operand, &beta,
				(const void *)(uintptr_t)c, lt->result, (void *)(uintptr_t)c,
				lt->result, &lt->algorithm, (void *)(uintptr_t)lt->workspace,
				WORKSPACE, stream),
		     err, "multiplying");
}
