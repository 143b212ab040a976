/*
 * test_gpu_burn.c - whole burns on the double of libcuda: what a healthy GPU gives, and what is
 * said of bits that flip.
 *
 * A product of size 128 takes 1 ms of the double's time, by the rates of the scenarios.
 */
#include "tests/unit/gpu_case.h"

#include "kernels/gpu_burn.h"

enum { N = 128, WINDOWS_MOST = 8 };

/* Doubles multiply slowly. */
static const struct gpu_patience patient = { .queueing = 1, .slack = 60, .rate = 1e8 };

/* 2 n^3 in 1 ms, and so little cache that there are two sets of matrices. */
#define RATES                                                                                      \
	"ndev 2\ngpu * l2 96KiB mem 64MiB cc 90\n"                                                 \
	"rate tensor fp64 4.194304e9\nrate tensor tf32 4.194304e9\n"                               \
	"rate tensor bf16 4.194304e9\nrate tensor fp16 4.194304e9\n"                               \
	"rate tensor fp8 4.194304e9\nrate tensor int8 4.194304e9\n"

static struct gpu_burn burn_of(int gpu, enum gpu_precision precision, enum gpu_data data,
			       double *tflops)
{
	return (struct gpu_burn){ .gpu = gpu,
				  .other = -1,
				  .precision = precision,
				  .data = data,
				  .size = N,
				  .window = 0.02,
				  .windows = 2,
				  .seed = 7,
				  .tflops = tflops };
}

static void run(struct machine *m, struct gpu_burn *job)
{
	struct error err = { "" };

	NEED(gpu_burn_run(m, job, &patient, &err) == 0, "%s", err.text);
}

/* ---- healthy GPUs -------------------------------------------------------------------------- */

static void need_healthy_by(const struct gpu_burn *job, const char *engine)
{
	const char *name = gpu_precision_names[job->precision];

	NEED(job->wrong == 0 && job->not_finite == 0 && job->kept == 0, "%s data %d: %llu wrong",
	     name, (int)job->data, (unsigned long long)job->wrong);
	NEED(job->done == job->windows, "%s: %d windows", name, job->done);
	for (int i = 0; i < job->done; i++)
		need_near(name, job->tflops[i], 4.194304e-3);
	NEED(job->verified > 0 && job->verified <= job->gemms, "%s: %llu of %llu", name,
	     (unsigned long long)job->verified, (unsigned long long)job->gemms);
	need_near("took", job->took - job->verifying, (double)job->gemms * 1e-3);
	NEED(!strcmp(job->engine, engine), "%s", job->engine);
	NEED(!*job->doubt, "%s", job->doubt);
}

static void need_healthy(const struct gpu_burn *job)
{
	need_healthy_by(job, "own mma.sync sm_90");
}

static void healthy_gpus_are_right(struct machine *m)
{
	double tflops[WINDOWS_MOST];

	for (int p = 0; p < GPU_PRECISION_COUNT; p++)
		for (int d = GPU_EXACT; d <= GPU_TOGGLE; d++) {
			struct gpu_burn job =
				burn_of(0, (enum gpu_precision)p, (enum gpu_data)d, tflops);

			run(m, &job);
			need_healthy(&job);
			NEED(d != GPU_EXACT || job.verified == job.gemms, "%llu of %llu",
			     (unsigned long long)job.verified, (unsigned long long)job.gemms);
			NEED((d == GPU_EXACT) == (job.digest == 0), "digest");
		}
}

static uint64_t digest_of(struct machine *m, int gpu, enum gpu_data data, uint64_t seed,
			  int windows)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(gpu, GPU_BF16, data, tflops);

	job.windows = windows;
	job.seed = seed;
	run(m, &job);
	need_healthy(&job);
	return job.digest;
}

/* The second GPU has more cache, so it has more sets of matrices. */
static void digests_depend_on_the_data_alone(struct machine *m)
{
	const uint64_t one = digest_of(m, 0, GPU_RANDOM, 7, 1);

	NEED(digest_of(m, 0, GPU_RANDOM, 7, 3) == one, "by windows");
	NEED(digest_of(m, 1, GPU_RANDOM, 7, 1) == one, "by GPU");
	NEED(digest_of(m, 0, GPU_RANDOM, 8, 1) != one, "not by seed");
	NEED(digest_of(m, 0, GPU_TOGGLE, 7, 1) != one, "not by data");
}

/* A check costs half a product here. */
static void verifying_takes_its_share(struct machine *m)
{
	double tflops[WINDOWS_MOST];

	for (int d = GPU_EXACT; d <= GPU_RANDOM; d++) {
		struct gpu_burn job = burn_of(0, GPU_INT8, (enum gpu_data)d, tflops);

		job.window = 0.1;
		run(m, &job);
		need_healthy(&job);
		NEED(job.verifying > 0 && job.verifying < 0.04 * job.took, "data %d: %g of %g", d,
		     job.verifying, job.took);
	}
}

static int stop_after_two(void *arg, int window)
{
	*(int *)arg = window;
	return window == 1;
}

static void each_ends_it_and_the_last_is_verified(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	int last = -1;

	for (int d = GPU_EXACT; d <= GPU_RANDOM; d++) {
		struct gpu_burn job = burn_of(0, GPU_BF16, (enum gpu_data)d, tflops);

		job.windows = 8;
		job.window = 0.005;
		job.each = stop_after_two;
		job.arg = &last;
		run(m, &job);
		NEED(job.done == 2 && last == 1, "%d windows, %d", job.done, last);
		NEED(d != GPU_EXACT || job.verified == job.gemms, "not all");
	}
}

static void rests_are_no_work(struct machine *m)
{
	double tflops[WINDOWS_MOST], begin = clock_now();
	struct gpu_burn job = burn_of(0, GPU_INT8, GPU_TOGGLE, tflops);

	job.step = 0.005;
	job.rest = 0.1;
	run(m, &job);
	need_healthy(&job);
	NEED(clock_now() - begin > 7 * 0.1, "%g s", clock_now() - begin);
}

/* ---- wgmma --------------------------------------------------------------------------------- */

static struct gpu_burn wgmma_of(int gpu, enum gpu_precision precision, enum gpu_data data,
				double *tflops)
{
	struct gpu_burn job = burn_of(gpu, precision, data, tflops);

	job.with_wgmma = 1;
	return job;
}

/* Both GPUs prove it by the same product. */
static void hopper_multiplies_by_wgmma(struct machine *m)
{
	double tflops[WINDOWS_MOST];

	for (int p = GPU_TF32; p < GPU_PRECISION_COUNT; p++) {
		uint64_t proof = 0, digest = 0;

		for (int gpu = 0; gpu < 2; gpu++) {
			struct gpu_burn job = wgmma_of(gpu, (enum gpu_precision)p,
						       p % 2 ? GPU_RANDOM : GPU_EXACT, tflops);

			job.windows = 1;
			run(m, &job);
			need_healthy_by(&job, "own wgmma sm_90a");
			NEED(job.proof && job.proof_size == N, "not proved");
			NEED(!gpu || (job.proof == proof && job.digest == digest), "by GPU");
			proof = job.proof;
			digest = job.digest;
		}
	}
}

static void what_has_no_wgmma_uses_mma(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn fp64 = wgmma_of(0, GPU_FP64, GPU_EXACT, tflops),
			older = wgmma_of(1, GPU_BF16, GPU_EXACT, tflops);

	run(m, &fp64);
	need_healthy(&fp64);
	NEED(!fp64.proof, "proved");
	run(m, &older);
	need_healthy_by(&older, "own mma.sync sm_80");
}

static void drivers_without_maps_use_mma(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = wgmma_of(0, GPU_BF16, GPU_EXACT, tflops);

	run(m, &job);
	need_healthy(&job);
}

static void need_doubt(const struct gpu_burn *job, const char *words, const char *engine)
{
	NEED(strstr(job->doubt, words), "%s", job->doubt);
	NEED(!strcmp(job->engine, engine), "%s", job->engine);
}

/* Each product of gpu0 by wgmma has that bit wrong, and mma.sync is right: gpu1 will tell. */
static void wrong_wgmma_is_told_and_left(struct machine *m)
{
	double tflops[WINDOWS_MOST];

	for (int d = GPU_EXACT; d <= GPU_RANDOM; d++) {
		struct gpu_burn job = wgmma_of(0, GPU_BF16, (enum gpu_data)d, tflops),
				other = wgmma_of(1, GPU_BF16, (enum gpu_data)d, tflops);

		job.other = 1;
		run(m, &job);
		need_doubt(
			&job,
			"wgmma gave wrong bf16 products on this GPU (1 of 128 rows of a known "
			"one), mma.sync right ones, and went on: if other GPUs of this model say "
			"the same it is our kernel or the driver, if this one alone does it is "
			"the GPU",
			"own mma.sync sm_90 (wgmma gave wrong products on this GPU)");
		NEED(job.wrong == 0 && job.done == job.windows, "%llu wrong",
		     (unsigned long long)job.wrong);
		run(m, &other);
		need_healthy_by(&other, "own wgmma sm_90a");
		NEED(job.proof && job.proof != other.proof, "the same digest");
	}
}

static void wrong_once_is_told_too(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = wgmma_of(0, GPU_INT8, GPU_TOGGLE, tflops);

	job.with_cublaslt = 1;
	run(m, &job);
	need_doubt(&job, "(1 of 128 rows of a known one, not the same twice)",
		   "own mma.sync sm_90 (wgmma gave wrong products on this GPU; no cuBLASLt: the "
		   "driver is a double)");
	NEED(!job.proof && job.wrong == 0, "a digest");
}

/* That mma.sync is wrong as well counts, though it is right from then on. */
static void wrong_both_ways_is_the_gpu(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = wgmma_of(0, GPU_FP8, GPU_EXACT, tflops);

	run(m, &job);
	need_doubt(
		&job,
		"(1 of 128 rows of a known one), and so did mma.sync (1): the GPU computes wrong",
		"own mma.sync sm_90 (wgmma gave wrong products on this GPU, and "
		"mma.sync too)");
	NEED(job.wrong == 1, "%llu wrong", (unsigned long long)job.wrong);
}

static void a_proof_that_hangs_is_named(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = wgmma_of(0, GPU_BF16, GPU_RANDOM, tflops);
	struct error err = { "" };

	NEED(gpu_burn_run(m, &job, &impatient, &err) == -1, "it did not hang");
	need_says(&err, "proving wgmma (the knob wgmma leaves it out): gpu0");
	need_says(&err, "hangs");
}

/* ---- what cannot be
 * ------------------------------------------------------------------------------ */

static void need_refusal(struct machine *m, struct gpu_burn job, const char *words)
{
	struct error err = { "" };

	NEED(gpu_burn_run(m, &job, &patient, &err) == -1, "not refused: %s", words);
	need_says(&err, words);
}

static void burns_refuse(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_EXACT, tflops);

	job.size = 100;
	need_refusal(m, job, "a multiple of 128");
	job.size = 0;
	need_refusal(m, job, "a multiple of 128");
	job.size = 4096;
	need_refusal(m, job,
		     "of the memory of gpu0 are free, and a bf16 product of size 4096 needs");
	job.size = N;
	job.windows = 0;
	need_refusal(m, job, "0 windows");
	job.windows = 1;
	job.rest = 1;
	need_refusal(m, job, "rests of 1 s");
	job.rest = 0;
	job.gpu = 9;
	need_refusal(m, job, "9");
}

static void a_precision_that_is_not_there_is_named(struct machine *m)
{
	double tflops[WINDOWS_MOST];

	need_refusal(m, burn_of(0, GPU_FP8, GPU_EXACT, tflops), "has no fp8 tensor cores");
}

static void no_cublaslt_is_told(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_EXACT, tflops);

	job.with_cublaslt = 1;
	run(m, &job);
	NEED(!strcmp(job.engine, "own mma.sync sm_90 (no cuBLASLt: the driver is a double)"), "%s",
	     job.engine);
}

static void a_product_that_hangs_is_named(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_RANDOM, tflops);
	struct error err = { "" };

	NEED(gpu_burn_run(m, &job, &impatient, &err) == -1, "it did not hang");
	need_says(&err, "gpu0");
	need_says(&err, "hangs");
}

/* ---- bits that flip
 * ------------------------------------------------------------------------------ */

static void need_element(const struct gpu_burn *job, int i, int row, int column, uint64_t bit)
{
	const struct gpu_wrong *w = &job->first[i];

	NEED(w->row == row && w->column == column, "at %d, %d", w->row, w->column);
	NEED((w->expected_bits ^ w->actual_bits) == bit, "bits %llx and %llx",
	     (unsigned long long)w->expected_bits, (unsigned long long)w->actual_bits);
	NEED(w->expected != w->actual, "%g and %g", w->expected, w->actual);
}

static void need_again(const struct gpu_burn *job, enum gpu_again same, enum gpu_again other)
{
	for (int i = 0; i < job->kept; i++)
		NEED(job->first[i].same_gpu == same && job->first[i].other_gpu == other,
		     "entry %d: %d here, %d there", i, (int)job->first[i].same_gpu,
		     (int)job->first[i].other_gpu);
}

/* Byte 4 x (128 x 3 + 5) + 3, bit 7: the sign of c[3][5], in the last product of a window. */
static void a_flipped_sum_is_found(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_EXACT, tflops);

	job.other = 1;
	run(m, &job);
	NEED(job.wrong == 1 && job.kept == 1, "%llu wrong, %d kept", (unsigned long long)job.wrong,
	     job.kept);
	need_element(&job, 0, 3, 5, 0x80000000);
	NEED(job.first[0].actual == -job.first[0].expected, "%g and %g", job.first[0].actual,
	     job.first[0].expected);
	NEED(job.first[0].sm == -1 && job.first[0].window == 0, "sm %d, window %d", job.first[0].sm,
	     job.first[0].window);
	NEED(job.verified == job.gemms && job.done == 2, "not all");
	need_again(&job, GPU_RIGHT_AGAIN, GPU_RIGHT_AGAIN);
}

/* Every product of gpu0 has that bit wrong; gpu1 is sound. */
static void a_bit_that_always_flips_comes_with_the_gpu(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_INT8, GPU_EXACT, tflops);

	job.other = 1;
	job.window = 0.022; /* an odd number for each set: two flips of a bit may cancel out */
	run(m, &job);
	NEED(job.kept > 0 && job.kept <= 8 && job.wrong >= (uint64_t)job.kept, "%d kept", job.kept);
	NEED(job.first[0].row == 127 && job.first[0].column == 127, "at %d, %d", job.first[0].row,
	     job.first[0].column);
	for (int i = 0; i < job.kept; i++)
		NEED(job.first[i].sm >= 0, "its SM is not known");
	need_again(&job, GPU_WRONG_AGAIN, GPU_RIGHT_AGAIN);
}

/* c[0][75] is -1 by the golden rule: with bit 30 its exponent is all ones. */
static void infinity_is_counted(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_FP16, GPU_EXACT, tflops);

	run(m, &job);
	NEED(job.wrong == 1 && job.not_finite == 1, "%llu wrong, %llu not finite",
	     (unsigned long long)job.wrong, (unsigned long long)job.not_finite);
	need_element(&job, 0, 0, 75, 0x40000000);
	NEED(job.first[0].expected == -1 && isinf(job.first[0].actual), "%g and %g",
	     job.first[0].expected, job.first[0].actual);
	NEED(job.first[0].sm >= 0, "its SM is not known");
	need_again(&job, GPU_RIGHT_AGAIN, GPU_NOT_REPEATED);
}

/* By wgmma, the second column of tiles of which is outside; and again by it on gpu1. */
static void a_flipped_sum_of_wgmma_is_found(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = wgmma_of(0, GPU_BF16, GPU_RANDOM, tflops);

	job.other = 1;
	job.windows = 1;
	run(m, &job);
	NEED(job.wrong == 1 && job.kept == 1, "%llu wrong, %d kept", (unsigned long long)job.wrong,
	     job.kept);
	need_element(&job, 0, 3, 5, 0x80000000);
	NEED(job.first[0].sm >= 0, "its SM is not known");
	need_again(&job, GPU_RIGHT_AGAIN, GPU_RIGHT_AGAIN);
}

static void a_digest_that_changes_is_looked_into(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_RANDOM, tflops);

	job.other = 1;
	job.windows = 1;
	run(m, &job);
	NEED(job.wrong == 1 && job.kept == 1, "%llu wrong, %d kept", (unsigned long long)job.wrong,
	     job.kept);
	need_element(&job, 0, 3, 5, 0x80000000);
	NEED(job.first[0].sm >= 0, "its SM is not known");
	need_again(&job, GPU_RIGHT_AGAIN, GPU_RIGHT_AGAIN);
	NEED(job.digest == digest_of(m, 1, GPU_RANDOM, 7, 1), "the digest is spoilt");
}

/* Overwritten before it was looked at: the digest alone is known. */
static void a_result_that_is_gone_has_no_place(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_RANDOM, tflops);

	job.windows = 1;
	run(m, &job);
	NEED(job.wrong == 1 && job.kept == 1, "%llu wrong, %d kept", (unsigned long long)job.wrong,
	     job.kept);
	NEED(job.first[0].row == -1 && job.first[0].column == -1 && job.first[0].sm == -1,
	     "at %d, %d", job.first[0].row, job.first[0].column);
	NEED(job.first[0].expected_bits != job.first[0].actual_bits, "the same bits");
	need_again(&job, GPU_RIGHT_AGAIN, GPU_NOT_REPEATED);
}

/* The very first result is wrong: those that follow must not be blamed. */
static void a_wrong_reference_is_replaced(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_RANDOM, tflops);

	job.windows = 1;
	run(m, &job);
	NEED(job.wrong == 1 && job.kept == 1, "%llu wrong, %d kept", (unsigned long long)job.wrong,
	     job.kept);
	need_element(&job, 0, 3, 5, 0x80000000);
	need_again(&job, GPU_RIGHT_AGAIN, GPU_NOT_REPEATED);
	NEED(job.digest == digest_of(m, 1, GPU_RANDOM, 7, 1), "the digest is the wrong one");
}

/* Memory for one set, and for no copy of the first result: elements come from the work done again.
 */
static void elements_are_found_without_a_copy(struct machine *m)
{
	double tflops[WINDOWS_MOST];
	struct gpu_burn job = burn_of(0, GPU_BF16, GPU_RANDOM, tflops);

	job.windows = 1;
	run(m, &job);
	NEED(job.wrong == 1 && job.kept == 1, "%llu wrong, %d kept", (unsigned long long)job.wrong,
	     job.kept);
	need_element(&job, 0, 3, 5, 0x80000000);
	need_again(&job, GPU_RIGHT_AGAIN, GPU_NOT_REPEATED);
}

/* ---- cases
 * --------------------------------------------------------------------------------------- */

/*
 * Products are counted from 1, which asks what the code was built for; 2 to 5 calibrate, two of
 * each set, and 6 to 25 are the first window.
 */
static const struct gpu_case cases[] = {
	CASE(healthy_gpus_are_right, RATES),
	CASE(digests_depend_on_the_data_alone, RATES "gpu 1 l2 1MiB\n"),
	CASE(verifying_takes_its_share, RATES "rate hbm 0.13e9\n"),
	CASE(each_ends_it_and_the_last_is_verified, RATES),
	CASE(rests_are_no_work, RATES),
	CASE(hopper_multiplies_by_wgmma, RATES),
	CASE(what_has_no_wgmma_uses_mma, RATES "gpu 1 cc 80\n"),
	CASE(drivers_without_maps_use_mma, RATES "driver 11080\n"),
	/* by wgmma 1 and 2 ask, and 3 and 4 prove */
	CASE(wrong_wgmma_is_told_and_left, RATES
	     "fault op=launch name=gemm_bf16_wgmma dev=0 nth=3 count=0 flip off=1559 bit=7\n"),
	CASE(wrong_once_is_told_too, RATES
	     "fault op=launch name=gemm_int8_wgmma dev=0 nth=4 count=1 flip off=1559 bit=7\n"),
	CASE(wrong_both_ways_is_the_gpu,
	     RATES "fault op=launch name=gemm_fp8_wgmma dev=0 nth=3 count=1 flip off=1559 bit=7\n"
		   "fault op=launch name=gemm_fp8 dev=0 nth=2 count=1 flip off=1559 bit=7\n"),
	CASE(a_proof_that_hangs_is_named,
	     RATES "fault op=launch name=gemm_bf16_wgmma dev=0 nth=3 hang\n"),
	CASE(burns_refuse, RATES),
	CASE(a_precision_that_is_not_there_is_named, RATES "gpu 0 cc 80\n"),
	CASE(no_cublaslt_is_told, RATES),
	CASE(a_product_that_hangs_is_named,
	     RATES "fault op=launch name=gemm_bf16 dev=0 nth=12 hang\n"),
	CASE(a_flipped_sum_is_found,
	     RATES "fault op=launch name=gemm_bf16 dev=0 nth=25 count=1 flip off=1559 bit=7\n"),
	CASE(a_bit_that_always_flips_comes_with_the_gpu,
	     RATES "fault op=launch name=gemm_int8 dev=0 nth=6 count=0 flip off=65533 bit=2\n"),
	CASE(infinity_is_counted,
	     RATES "fault op=launch name=gemm_fp16 dev=0 nth=2 count=1 flip off=303 bit=6\n"),
	CASE(a_digest_that_changes_is_looked_into,
	     RATES "fault op=launch name=gemm_bf16 dev=0 nth=25 count=1 flip off=1559 bit=7\n"),
	/* as the one before, behind asking and proving */
	CASE(a_flipped_sum_of_wgmma_is_found, RATES
	     "fault op=launch name=gemm_bf16_wgmma dev=0 nth=28 count=1 flip off=1559 bit=7\n"),
	CASE(a_result_that_is_gone_has_no_place,
	     RATES "fault op=launch name=gemm_bf16 dev=0 nth=12 count=1 flip off=1559 bit=7\n"),
	CASE(a_wrong_reference_is_replaced,
	     RATES "fault op=launch name=gemm_bf16 dev=0 nth=2 count=1 flip off=1559 bit=7\n"),
	CASE(elements_are_found_without_a_copy,
	     RATES "gpu 0 mem 200KiB\n"
		   "fault op=launch name=gemm_bf16 dev=0 nth=23 count=1 flip off=1559 bit=7\n"),
};

int main(void)
{
	return run_cases(cases, ARRAY_SIZE(cases));
}
