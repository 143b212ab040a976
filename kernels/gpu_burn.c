/*
 * gpu_burn.c - multiplies matrices for windows of fixed length and has the results verified.
 *
 * Exact data are added up in c, so that one check at the end of a window covers every product in
 * it; of other data a product overwrites the one before, and only those that are checked are
 * verified. Either way checking takes at most 3 % of the device's time: windows are cut into bursts
 * of products with a check behind each, and bursts grow until that holds, or as long as c is still
 * exact.
 */
#include "kernels/gpu_burn.h"

#include "kernels/gpu/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { QUEUE_MOST = 512 }; /* a driver's queue holds about a thousand; a full one would block */
enum { GOLDEN_THREADS = 16 };

static const double verify_share = 0.03;
static const double segment_least =
	0.1; /* seconds between two waits of the host: it takes up to 1 ms */
static const double least_flops = 1e12; /* of any tensor core, until it is measured */

/* device.h: a product of this size ends within seconds; 20e9 as gpu_start.c has it for memory. */
static const struct gpu_patience gpu_patience_burn = { .queueing = 2, .slack = 10, .rate = 20e9 };

static int is_exact(const struct burn *b)
{
	return b->job->data == GPU_EXACT;
}

/* ---- segments: what is queued between two waits -------------------------------------------- */

enum checks { CHECK_NONE, CHECK_LAST, CHECK_ALL };

struct plan {
	int bursts, products; /* products of each burst */
	enum checks checks;   /* behind each: of the set that was multiplied last, or of all */
};

struct segment {
	struct plan plan;
	struct burn_check checks[GEMM_BURSTS];
	int check_count;
	double work, checking; /* device seconds */
};

static int queue_products(struct burn *b, int count, struct error *err)
{
	for (int i = 0; i < count; i++) {
		struct burn_set *s = &b->sets[b->next];

		if (gemm_multiply(&b->gemm, b->next, is_exact(b) && s->since > 0, err) < 0)
			return -1;
		s->since++;
		b->job->gemms++;
		b->next = (b->next + 1) % b->gemm.set_count;
	}
	return 0;
}

static int queue_check(struct burn *b, struct segment *seg, int set, struct error *err)
{
	struct burn_set *s = &b->sets[set];
	const int slot = seg->check_count;

	if (!s->since)
		return 0;
	if (slot == GEMM_BURSTS)
		BUG("more than %d checks", slot);
	if (gemm_check(&b->gemm, set, slot, err) < 0)
		return -1;
	for (int i = 0; i < slot; i++)
		if (seg->checks[i].set == set)
			seg->checks[i].intact = 0;
	seg->checks[seg->check_count++] = (struct burn_check){
		.set = set, .slot = slot, .products = is_exact(b) ? s->since : 1, .intact = 1
	};
	s->since = 0;
	return 0;
}

static int queue_checks(struct burn *b, struct segment *seg, struct error *err)
{
	const int sets = b->gemm.set_count;

	if (seg->plan.checks == CHECK_LAST)
		return queue_check(b, seg, (b->next + sets - 1) % sets, err);
	for (int i = 0; i < sets && seg->plan.checks == CHECK_ALL; i++)
		if (queue_check(b, seg, i, err) < 0)
			return -1;
	return 0;
}

/* Marks 2 i and 2 i + 1 stand before and behind the products of burst i, 2 i + 2 behind its check.
 */
static int queue_segment(struct burn *b, struct segment *seg, struct error *err)
{
	if (gemm_mark(&b->gemm, 0, err) < 0)
		return -1;
	for (int i = 0; i < seg->plan.bursts; i++) {
		if (queue_products(b, seg->plan.products, err) < 0 ||
		    gemm_mark(&b->gemm, 2 * i + 1, err) < 0 || queue_checks(b, seg, err) < 0 ||
		    gemm_mark(&b->gemm, 2 * i + 2, err) < 0)
			return -1;
	}
	/* a set that was multiplied again after its check no longer holds what was checked */
	for (int i = 0; i < seg->check_count; i++)
		if (b->sets[seg->checks[i].set].since)
			seg->checks[i].intact = 0;
	return 0;
}

static int read_times(struct burn *b, struct segment *seg, struct error *err)
{
	double seconds;

	for (int i = 0; i < seg->plan.bursts; i++) {
		if (seg->plan.products) {
			if (gemm_seconds(&b->gemm, 2 * i, 2 * i + 1, &seconds, err) < 0)
				return -1;
			seg->work += seconds;
		}
		if (seg->check_count) {
			if (gemm_seconds(&b->gemm, 2 * i + 1, 2 * i + 2, &seconds, err) < 0)
				return -1;
			seg->checking += seconds;
		}
	}
	return 0;
}

static void account(struct burn *b, const struct segment *seg)
{
	const int products = seg->plan.bursts * seg->plan.products;

	b->job->took += seg->work + seg->checking;
	b->job->verifying += seg->checking;
	if (products)
		b->product_seconds = seg->work / products;
	if (seg->check_count)
		b->check_seconds = seg->checking / seg->check_count;
}

static double product_expected(const struct burn *b)
{
	if (b->product_seconds > 0)
		return b->product_seconds;
	return 2 * pow(b->job->size, 3) / least_flops;
}

/* Results are read before any is judged, since that may repeat work into the same places. */
static int judge_all(struct burn *b, struct segment *seg, struct error *err)
{
	for (int i = 0; i < seg->check_count; i++) {
		seg->checks[i].digest = gemm_digest(&b->gemm, seg->checks[i].slot);
		seg->checks[i].not_finite = gemm_not_finite(&b->gemm, seg->checks[i].slot);
	}
	for (int i = seg->check_count - 1; i >= 0; i--)
		if (burn_judge(b, &seg->checks[i], err) < 0)
			return -1;
	return 0;
}

static int run_segment(struct burn *b, struct plan plan, struct segment *seg, struct error *err)
{
	const double expected = plan.bursts * (plan.products * product_expected(b) +
					       b->check_seconds * b->gemm.set_count);

	*seg = (struct segment){ .plan = plan };
	if (gpu_current(b->gemm.g, err) < 0 || queue_segment(b, seg, err) < 0 ||
	    gemm_wait(&b->gemm, expected, err) < 0 || read_times(b, seg, err) < 0)
		return -1;
	account(b, seg);
	return judge_all(b, seg, err);
}

/* ---- how long and what to check ------------------------------------------------------------ */

static int at_least_one(double count)
{
	return count < 1 ? 1 : count > QUEUE_MOST ? QUEUE_MOST : (int)(count + 0.5);
}

/* Whether so many checks behind so many products still take no more than their share of all time.
 */
static int affordable(const struct burn *b, int checks, int products)
{
	const double more = checks * b->check_seconds, verifying = b->job->verifying + more;

	return verifying <= verify_share * (b->job->took + products * b->product_seconds + more);
}

/* Products that must pass for each check: what it costs, and what earlier ones cost too much. */
static double products_a_check(const struct burn *b)
{
	const double more = b->check_seconds, steady = more / verify_share - more,
		     debt = (b->job->verifying + more) / verify_share - b->job->took - more;

	return fmax(steady, debt) / b->product_seconds;
}

static uint64_t most_since(const struct burn *b)
{
	uint64_t most = 0;

	for (int i = 0; i < b->gemm.set_count; i++)
		if (b->sets[i].since > most)
			most = b->sets[i].since;
	return most;
}

/*
 * As many products as c can add up. All sets are checked when one has come to its bound, and at the
 * end of a window unless that would take too large a share.
 */
static struct plan plan_exact(const struct burn *b, double seconds)
{
	const double wanted = seconds / b->product_seconds;
	const uint64_t left = (b->bound - most_since(b)) * (uint64_t)b->gemm.set_count;
	const int sets = b->gemm.set_count;
	struct plan plan = { .bursts = 1, .products = at_least_one(wanted) };

	if ((uint64_t)plan.products >= left) {
		plan.products = (int)left;
		plan.checks = CHECK_ALL;
	} else if (wanted <= QUEUE_MOST) {
		plan.checks = affordable(b, sets, plan.products) ? CHECK_ALL : CHECK_NONE;
	}
	return plan;
}

static int common_divisor(int a, int b)
{
	return b ? common_divisor(b, a % b) : a;
}

/* The set that is checked is the one that was multiplied last, so bursts must not always end alike.
 */
static int burst_length(const struct burn *b, double least)
{
	int length = (int)ceil(least < 1 ? 1 : least);

	while (common_divisor(length, b->gemm.set_count) > 1)
		length++;
	return length;
}

static struct plan plan_other(const struct burn *b, double seconds)
{
	const double least = products_a_check(b),
		     most = fmin(seconds, segment_least) / b->product_seconds;
	const int wanted = at_least_one(seconds / b->product_seconds);
	struct plan plan = { .bursts = 1, .products = wanted, .checks = CHECK_LAST };

	if (least > wanted) {
		plan.checks = affordable(b, 1, wanted) ? CHECK_LAST : CHECK_NONE;
		return plan;
	}
	plan.products = burst_length(b, least);
	if (plan.products > wanted)
		plan.products = wanted;
	plan.bursts = (int)fmin(fmin(most, wanted) / plan.products, GEMM_BURSTS);
	if (plan.bursts < 1)
		plan.bursts = 1;
	return plan;
}

static struct plan plan_next(const struct burn *b, double seconds)
{
	return is_exact(b) ? plan_exact(b, seconds) : plan_other(b, seconds);
}

/* ---- windows ------------------------------------------------------------------------------- */

static void rest(struct burn *b)
{
	const double seconds = b->job->rest;
	struct timespec t = { .tv_sec = (time_t)seconds };

	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
	b->stepped = 0;
}

/* Half a product is less wrong than half a product more. */
static int is_over(const struct burn *b, double done, double wanted)
{
	return done + b->product_seconds / 2 >= wanted;
}

static int run_window(struct burn *b, struct error *err)
{
	struct gpu_burn *job = b->job;
	double work = 0, products = 0;

	do {
		double left = job->window - work;
		struct segment seg;

		if (job->rest > 0)
			left = fmin(left, job->step - b->stepped);
		if (run_segment(b, plan_next(b, left), &seg, err) < 0)
			return -1;
		work += seg.work;
		products += (double)seg.plan.bursts * seg.plan.products;
		b->stepped += seg.work;
		if (job->rest > 0 && is_over(b, b->stepped, job->step))
			rest(b);
	} while (!is_over(b, work, job->window));
	job->tflops[job->done++] = 2 * pow(job->size, 3) * products / work / 1e12;
	return 0;
}

/* What the windows left unverified. */
static int run_last(struct burn *b, struct error *err)
{
	struct segment seg;

	b->window = b->job->done - 1;
	if (!most_since(b))
		return 0;
	return run_segment(b, (struct plan){ .bursts = 1, .checks = CHECK_ALL }, &seg, err);
}

static int run_windows(struct burn *b, struct error *err)
{
	for (b->window = 0; b->window < b->job->windows; b->window++) {
		if (run_window(b, err) < 0)
			return -1;
		if (b->job->each && b->job->each(b->job->arg, b->window))
			break;
	}
	return run_last(b, err);
}

/*
 * Every set twice: the first product loads code and wakes the clocks, the second one is timed. For
 * the digests the first result becomes the reference and the second confirms it.
 */
static int calibrate(struct burn *b, struct error *err)
{
	const int sets = b->gemm.set_count;
	const struct plan exact = { .bursts = 1, .products = sets, .checks = CHECK_ALL },
			  other = { .bursts = sets, .products = 1, .checks = CHECK_LAST };
	struct segment seg;

	for (int i = 0; i < 2; i++)
		if (run_segment(b, is_exact(b) ? exact : other, &seg, err) < 0)
			return -1;
	return 0;
}

/* ---- the door ------------------------------------------------------------------------------ */

static int check_job(const struct gpu_burn *job, struct error *err)
{
	if (job->size < DEVICE_TILE || job->size % DEVICE_TILE)
		return error_set(err,
				 "matrices of size %d cannot be multiplied: it must be a "
				 "multiple of %d",
				 job->size, DEVICE_TILE);
	if (job->windows < 1 || !(job->window > 0))
		return error_set(err, "%d windows of %g s were asked for", job->windows,
				 job->window);
	if (job->rest > 0 && !(job->step > 0))
		return error_set(err, "rests of %g s were asked for after steps of %g s", job->rest,
				 job->step);
	if (job->data == GPU_EXACT && golden_most(job->precision, job->size) < 2)
		return error_set(err, "%s cannot hold exact sums of size %d",
				 gpu_precision_names[job->precision], job->size);
	return 0;
}

static void make_goldens(struct burn *b)
{
	const int cpus = b->m->host.cpu_count,
		  threads = cpus < GOLDEN_THREADS ? cpus : GOLDEN_THREADS;

	for (int i = 0; i < b->gemm.set_count && is_exact(b); i++)
		b->sets[i].golden = golden_new(b->job->size, b->gemm.sets[i].seed_a,
					       b->gemm.sets[i].seed_b, b->gemm.weights, threads);
}

/* What was wrong by mma.sync, too, is the GPU's fault: it counts like any wrong element. */
static void tell_engine(struct burn *b)
{
	struct gpu_burn *job = b->job;

	snprintf(job->engine, sizeof(job->engine), "%s", b->gemm.engine);
	gemm_doubt(&b->gemm, job->doubt, sizeof(job->doubt));
	job->proof = b->gemm.proof.digest;
	job->proof_size = b->gemm.proof.n;
	job->wrong += (uint64_t)b->gemm.proof.wrong_by_mma;
}

static int run(struct burn *b, struct error *err)
{
	tell_engine(b);
	make_goldens(b);
	if (calibrate(b, err) < 0 || run_windows(b, err) < 0)
		return -1;
	b->job->digest = b->sets[0].reference;
	return 0;
}

int gpu_burn_run(struct machine *m, struct gpu_burn *job, const struct gpu_patience *patience,
		 struct error *err)
{
	struct burn b = { .m = m, .job = job, .bound = 0 };
	const struct gemm_want want = { .gpu = job->gpu,
					.precision = job->precision,
					.data = job->data,
					.n = job->size,
					.seed = job->seed,
					.with_cublaslt = job->with_cublaslt,
					.kernel = job->with_wgmma ? GEMM_PROVED : GEMM_MMA,
					.only_set = -1 };
	int rc;

	job->done = job->kept = 0;
	job->gemms = job->verified = job->wrong = job->not_finite = job->digest = 0;
	job->took = job->verifying = 0;
	job->engine[0] = job->doubt[0] = '\0';
	job->proof = 0;
	job->proof_size = 0;
	if (check_job(job, err) < 0)
		return -1;
	b.bound = golden_most(job->precision, job->size);
	b.started = clock_now();
	rc = gemm_open(&b.gemm, m, &want, patience, err);
	if (rc == 0)
		rc = run(&b, err);
	gemm_close(&b.gemm);
	for (int i = 0; i < GEMM_SETS_MOST; i++)
		golden_free(b.sets[i].golden);
	return rc;
}

int machine_gpu_burn(struct machine *m, struct gpu_burn *job, struct error *err)
{
	return gpu_burn_run(m, job, &gpu_patience_burn, err);
}
