/*
 * gpu_engine.c - who multiplies: cuBLASLt, or which of our own kernels.
 *
 * What the device code was built for is asked of the code itself, by a launch with n = 0: a driver
 * may run code for an older architecture, or translate the PTX, and such code has no fp8 or no
 * wgmma and traps, which would cost the whole context.
 *
 * Our wgmma kernel was proved by emulation and not by years of use, so it proves itself on every
 * GPU before it may accuse one: by a product whose result is known. If that comes out wrong the
 * same is done by mma.sync. Neither is hidden. The record says who multiplied and why, and the
 * figures that were to come from wgmma become holes: from one GPU alone nobody can tell whether it
 * or we are at fault, but from its siblings one can.
 */
#include "kernels/cublaslt.h"
#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"
#include "kernels/gpu_gemm.h"

#include <stdio.h>
#include <string.h>

/*
 * Size of the product that proves: 18 x 9 tiles of 128 x 256, so that each of the 132 SMs of H100
 * and H200 (NVIDIA's data sheets) has one, and k is longer than the pipeline.
 */
enum { PROOF_SIZE = 2304, PROOF_THREADS = 16 };

/* ---- what there is ------------------------------------------------------------------------- */

/* The answer of an entry to n = 0: a and b, which are maps or pointers, are not looked at. */
static int ask_code(struct gemm *m, const char *entry, unsigned threads, unsigned *built_for,
		    struct error *err)
{
	CUdeviceptr at = m->tallies;
	CUtensorMap any = { { at } };
	unsigned n = 0;
	int keep = 0;
	void *args[] = { &any, &any, &at, &n, &at, &keep, NULL };

	if (gpu_check(m->g, m->g->cuda->MemsetD8Async(at, 0, sizeof(n), m->stream), err,
		      "clearing a word") < 0 ||
	    gemm_launch(m, entry, 1, threads, args, err) < 0 || gemm_wait(m, 0, err) < 0)
		return -1;
	return gpu_check(m->g, m->g->cuda->MemcpyDtoH(built_for, at, sizeof(*built_for)), err,
			 "asking the device code what it was built for");
}

/* Only 9.0 has wgmma (PTX ISA, wgmma.mma_async, "Target ISA Notes"), and it has none of fp64. */
static int has_wgmma(struct gemm *m, int *has, struct error *err)
{
	unsigned built_for;

	*has = 0;
	if (gpu_info(m->g)->capability != 90 || m->precision == GPU_FP64 ||
	    !m->g->cuda->TensorMapEncodeTiled)
		return 0;
	if (ask_code(m, "gemm_*_wgmma", DEVICE_WGMMA_THREADS, &built_for, err) < 0)
		return -1;
	*has = built_for == 90;
	return 0;
}

/* ---- maps ---------------------------------------------------------------------------------- */

/*
 * As bytes, whatever the format: copies do not look at numbers, and a map of tf32 would round them.
 * Next to a box lies that of the next stage, so L2 may fetch both.
 */
CUresult gemm_map(PFN_cuTensorMapEncodeTiled_v12000 encode, CUtensorMap *map, CUdeviceptr matrix,
		  int n, int width, unsigned rows)
{
	const cuuint64_t bytes = (cuuint64_t)n * (cuuint64_t)width,
			 dims[] = { bytes, (cuuint64_t)n };
	const cuuint32_t box[] = { DEVICE_MAP_BOX, rows }, steps[] = { 1, 1 };

	_Static_assert(sizeof(*map) == sizeof(struct device_map), "not what the kernel takes");
	return encode(map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, (void *)(uintptr_t)matrix, dims,
		      &bytes, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
		      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

int gemm_maps(struct gemm *m, struct gemm_set *s, struct error *err)
{
	const PFN_cuTensorMapEncodeTiled_v12000 encode = m->g->cuda->TensorMapEncodeTiled;
	const int width = m->format->width;
	const unsigned b_rows = m->precision == GPU_FP8 ? DEVICE_MAP_ROWS_B8 : DEVICE_MAP_ROWS_B;

	if (gpu_check(m->g, gemm_map(encode, &s->map_a, s->a, m->n, width, DEVICE_MAP_ROWS_A), err,
		      "making a tensor map") < 0)
		return -1;
	return gpu_check(m->g, gemm_map(encode, &s->map_b, s->b, m->n, width, b_rows), err,
			 "making a tensor map");
}

/* ---- the proof ----------------------------------------------------------------------------- */

/* One product, and its row sums. */
static int multiply_once(struct gemm *m, struct error *err)
{
	const double least_flops = 1e12; /* as gpu_burn.c has it */

	if (gemm_multiply(m, 0, 0, err) < 0 || gemm_check(m, 0, 0, err) < 0)
		return -1;
	return gemm_wait(m, 2.0 * m->n * m->n * m->n / least_flops, err);
}

static uint64_t digest_of(const struct gemm *m)
{
	uint64_t digest = 0;

	for (int r = 0; r < m->n; r++)
		digest += gpu_digest_term((uint64_t)r, gemm_rows(m, 0)[r]);
	return digest;
}

/* Two products: of a fault that comes and goes, and of a kernel that races, they differ. */
static int multiply_known(struct gemm *m, int *wrong, uint64_t *digest, struct error *err)
{
	const int cpus = m->g->m->host.cpu_count;
	struct golden *g = golden_new(m->n, m->sets[0].seed_a, m->sets[0].seed_b, m->weights,
				      cpus < PROOF_THREADS ? cpus : PROOF_THREADS);
	uint64_t first = 0, second = 0;
	int rc = 0;

	*wrong = 0;
	for (int i = 0; i < 2 && rc == 0; i++) {
		int here = 0;

		rc = multiply_once(m, err);
		for (int r = 0; r < m->n && rc == 0; r++)
			here += !golden_row_is_right(g, r, 1, gemm_rows(m, 0)[r]);
		first = second;
		second = rc == 0 ? digest_of(m) : 0;
		*wrong = here > *wrong ? here : *wrong;
	}
	*digest = first == second ? second : 0;
	golden_free(g);
	return rc;
}

static int prove_one(struct gemm *m, enum gemm_kernel kernel, const struct gemm_want *want,
		     int *wrong, uint64_t *digest, struct error *err)
{
	const struct gemm_want known = { .gpu = want->gpu,
					 .precision = want->precision,
					 .data = GPU_EXACT,
					 .n = want->n < PROOF_SIZE ? want->n : PROOF_SIZE,
					 .seed = want->seed,
					 .kernel = kernel,
					 .only_set = 0 };
	struct gemm small;
	int rc = gemm_open(&small, m->g->m, &known, m->bag.patience, err);

	if (rc == 0)
		rc = multiply_known(&small, wrong, digest, err);
	m->bag.hung |= small.bag.hung;
	gemm_close(&small);
	return rc;
}

/* Says in m->proof what came of it. */
static int prove(struct gemm *m, const struct gemm_want *want, struct error *err)
{
	struct gemm_proof *p = &m->proof;
	uint64_t ignored;

	p->n = want->n < PROOF_SIZE ? want->n : PROOF_SIZE;
	if (prove_one(m, GEMM_WGMMA, want, &p->wrong, &p->digest, err) < 0)
		return error_prefix(err, "proving wgmma (the knob wgmma leaves it out): ");
	if (p->wrong && prove_one(m, GEMM_MMA, want, &p->wrong_by_mma, &ignored, err) < 0)
		return error_prefix(err, "proving mma.sync, for wgmma gave wrong products: ");
	return gpu_current(m->g, err);
}

void gemm_doubt(const struct gemm *m, char *out, size_t room)
{
	const struct gemm_proof *p = &m->proof;
	const char *name = gpu_precision_names[m->precision];

	out[0] = '\0';
	if (!p->wrong)
		return;
	if (p->wrong_by_mma)
		snprintf(out, room,
			 "wgmma gave wrong %s products on this GPU (%d of %d rows of a known one), "
			 "and so did mma.sync (%d): the GPU computes wrong",
			 name, p->wrong, p->n, p->wrong_by_mma);
	else
		snprintf(out, room,
			 "wgmma gave wrong %s products on this GPU (%d of %d rows of a known "
			 "one%s), "
			 "mma.sync right ones, and went on: if other GPUs of this model say the "
			 "same "
			 "it is our kernel or the driver, if this one alone does it is the GPU",
			 name, p->wrong, p->n, p->digest ? "" : ", not the same twice");
}

/* ---- our own kernels ----------------------------------------------------------------------- */

/*
 * On sm_90 and sm_10x the compiler makes mma.sync of fp8 from conversions and products of fp16
 * (NVIDIA/cutlass issue 1986; so does the toolkit 13.0): whoever reads a rate must know that.
 */
static int fp8_by_fp16(unsigned built_for)
{
	return built_for >= 90 && built_for < 120;
}

/* " (a; b)" of those that are not empty, or "". */
static void in_brackets(const char *a, const char *b, char *out, size_t room)
{
	snprintf(out, room, "%s%s%s%s%s", *a || *b ? " (" : "", a, *a && *b ? "; " : "", b,
		 *a || *b ? ")" : "");
}

static int choose_mma(struct gemm *m, const char *why, struct error *err)
{
	const int capability = gpu_info(m->g)->capability;
	const char *image = strstr(m->g->image, "PTX");
	unsigned built_for;

	m->kernel = GEMM_MMA;
	if (ask_code(m, "gemm_*", DEVICE_GEMM_THREADS, &built_for, err) < 0)
		return -1;
	if (m->precision == GPU_FP8 && built_for && built_for < 89)
		return error_set(err,
				 "gpu%d has fp8, but the device code that its driver took (%s) was "
				 "built for sm_%u, which has none",
				 m->g->gpu, m->g->image, built_for);
	snprintf(m->engine, sizeof(m->engine), "own mma.sync sm_%u%s%s%s%s",
		 built_for ? built_for : (unsigned)capability, image ? " " : "", image ? image : "",
		 m->precision == GPU_FP8 && fp8_by_fp16(built_for) ? ", fp8 by fp16" : "", why);
	return 0;
}

static int choose_own(struct gemm *m, const struct gemm_want *want, const char *no_cublaslt,
		      struct error *err)
{
	char doubt[64] = "", why[GPU_ENGINE - 64];
	int has = 0;

	if (want->kernel != GEMM_MMA && has_wgmma(m, &has, err) < 0)
		return -1;
	if (has && want->kernel == GEMM_PROVED && prove(m, want, err) < 0)
		return -1;
	if (m->proof.wrong)
		snprintf(doubt, sizeof(doubt), "wgmma gave wrong products on this GPU%s",
			 m->proof.wrong_by_mma ? ", and mma.sync too" : "");
	in_brackets(doubt, no_cublaslt, why, sizeof(why));
	if (!has || m->proof.wrong)
		return choose_mma(m, why, err);
	m->kernel = GEMM_WGMMA;
	snprintf(m->engine, sizeof(m->engine), "own wgmma sm_90a%s", why);
	return 0;
}

int gemm_choose(struct gemm *m, const struct gemm_want *want, struct error *err)
{
	char no_cublaslt[200];
	struct error why;

	if (!want->with_cublaslt)
		return choose_own(m, want, "", err);
	m->lt = cublaslt_open(&m->bag, m->g, m->precision, m->n, &why);
	if (!m->lt) {
		snprintf(no_cublaslt, sizeof(no_cublaslt), "no cuBLASLt: %.180s", why.text);
		return choose_own(m, want, no_cublaslt, err);
	}
	cublaslt_name(m->lt, m->engine, sizeof(m->engine));
	return 0;
}
