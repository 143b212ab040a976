/*
 * gpu_wrong.c - looks into results of a burn that are not what they must be.
 *
 * A mismatch is counted and kept before anything is repeated, and no repeat takes it back: that
 * tells only whether the fault is there each time, and whether it comes with the GPU. The operands
 * are made again for it, for a bit that flipped in them would make every later result wrong, too.
 */
#include "kernels/gpu_burn.h"

#include "kernels/gpu/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEPT_MOST = ARRAY_SIZE(((struct gpu_burn *)0)->first),
	ROWS_MOST = DEVICE_TILE,   /* wrong rows that are looked at; each further one counts once */
	PIECE = 1 << 20,           /* elements that are compared at a time */
	REPEAT_SLOT = GEMM_BURSTS, /* of checks that no segment uses */
};

static const double repeat_most = 5; /* seconds that repeating one mismatch may take on one GPU */

/* ---- what is known of one mismatch --------------------------------------------------------- */

struct wrong {
	struct burn *b;
	struct gpu_burn *job; /* where it goes: the burn's, or one to look things up in */
	const struct burn_check *check;
	unsigned *sms; /* of the tiles of the product that was checked, or NULL */
	int kept;      /* entries of the job before this one */
};

/*
 * The SM is only known of the last product. Where more were added up, any of them may have been
 * wrong, and tiles move from SM to SM.
 */
static int sm_of(const struct wrong *w, int row, int column)
{
	const int side = w->b->gemm.n / DEVICE_TILE;

	if (!w->sms || w->check->products != 1 || row < 0 || column < 0)
		return -1;
	return (int)w->sms[row / DEVICE_TILE * side + column / DEVICE_TILE];
}

static struct gpu_wrong *keep(const struct wrong *w, int row, int column)
{
	struct gpu_burn *job = w->job;
	struct gpu_wrong *entry;

	if (job->kept == KEPT_MOST)
		return NULL;
	entry = &job->first[job->kept++];
	*entry = (struct gpu_wrong){ .row = row,
				     .column = column,
				     .expected = NAN,
				     .actual = NAN,
				     .sm = sm_of(w, row, column),
				     .window = w->b->window,
				     .at = clock_now() - w->b->started };
	return entry;
}

/* Only a checksum was wrong. */
static void keep_sum(const struct wrong *w, int row, uint64_t expected, uint64_t actual)
{
	struct gpu_wrong *entry = keep(w, row, -1);

	w->job->wrong++;
	if (!entry)
		return;
	entry->expected_bits = expected;
	entry->actual_bits = actual;
}

/* ---- exact data ---------------------------------------------------------------------------- */

static int list_rows(const struct wrong *w, int *list, uint64_t *sums, int *count)
{
	const struct burn_set *s = &w->b->sets[w->check->set];
	const uint64_t *rows = gemm_rows(&w->b->gemm, w->check->set);
	int all = 0;

	*count = 0;
	for (int r = 0; r < w->b->gemm.n; r++) {
		if (golden_row_is_right(s->golden, r, w->check->products, rows[r]))
			continue;
		all++;
		if (*count < ROWS_MOST) {
			sums[*count] = rows[r];
			list[(*count)++] = r;
		}
	}
	return all;
}

static uint64_t bits_of_integer(const struct gemm *m, int64_t v)
{
	const double d = (double)v;
	const float f = (float)v;
	const int32_t i = (int32_t)v;
	const void *forms[] = { &i, &f, &d };

	return gemm_bits(m, forms[m->format->is_double + 1], 0);
}

/* Compares one row of c with the golden one. Returns how many elements are wrong. */
static int compare_row(const struct wrong *w, int row, const int32_t *golden, const void *actual)
{
	const struct gemm *m = &w->b->gemm;
	const double products = (double)w->check->products;
	int wrong = 0;

	for (int j = 0; j < m->n; j++) {
		const double expected = products * golden[j],
			     got = gemm_value(m, actual, (uint64_t)j);
		struct gpu_wrong *entry;

		if (got == expected)
			continue;
		wrong++;
		entry = keep(w, row, j);
		if (!entry)
			continue;
		entry->expected = expected;
		entry->actual = got;
		entry->expected_bits = bits_of_integer(m, (int64_t)expected);
		entry->actual_bits = gemm_bits(m, actual, (uint64_t)j);
	}
	return wrong;
}

/* A row whose elements are all right now was read or summed wrongly. */
static int look_at_row(const struct wrong *w, int row, uint64_t sum, const int32_t *golden,
		       void *actual, struct error *err)
{
	struct burn *b = w->b;
	const uint64_t n = (uint64_t)b->gemm.n;
	const struct golden *g = b->sets[w->check->set].golden;
	int wrong;

	if (gemm_fetch(&b->gemm, b->gemm.sets[w->check->set].c, (uint64_t)row * n, n, actual, err) <
	    0)
		return -1;
	wrong = compare_row(w, row, golden, actual);
	if (wrong)
		w->job->wrong += (uint64_t)wrong;
	else
		keep_sum(w, row, golden_row_sum(g, row, w->check->products), sum);
	return 0;
}

static int look_at_rows(const struct wrong *w, struct error *err)
{
	const struct golden *g = w->b->sets[w->check->set].golden;
	const size_t n = (size_t)w->b->gemm.n;
	int rows[ROWS_MOST], count, rc = 0, all;
	uint64_t sums[ROWS_MOST];
	int32_t *golden;
	void *actual;

	all = list_rows(w, rows, sums, &count);
	golden = xcalloc((size_t)count * n, sizeof(*golden));
	actual = xcalloc(n, sizeof(double));
	golden_rows(g, rows, count, golden);
	for (int i = 0; i < count && rc == 0; i++)
		rc = look_at_row(w, rows[i], sums[i], golden + (size_t)i * n, actual, err);
	if (rc == 0)
		w->job->wrong += (uint64_t)(all - count);
	free(golden);
	free(actual);
	return rc;
}

/* ---- other data ---------------------------------------------------------------------------- */

/* One of two results: in the GPU's memory or in the host's. */
struct side {
	CUdeviceptr at;
	const unsigned char *host;
};

static int side_read(const struct wrong *w, const struct side *side, uint64_t from, uint64_t count,
		     void *to, struct error *err)
{
	const uint64_t width = (uint64_t)w->b->gemm.format->result_width;

	if (!side->host)
		return gemm_fetch(&w->b->gemm, side->at, from, count, to, err);
	memcpy(to, side->host + from * width, count * width);
	return 0;
}

static uint64_t compare_piece(const struct wrong *w, uint64_t from, uint64_t count,
			      const void *expected, const void *actual)
{
	const struct gemm *m = &w->b->gemm;
	const uint64_t n = (uint64_t)m->n;
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < count; i++) {
		const uint64_t want = gemm_bits(m, expected, i), got = gemm_bits(m, actual, i);
		struct gpu_wrong *entry;

		if (want == got)
			continue;
		wrong++;
		entry = keep(w, (int)((from + i) / n), (int)((from + i) % n));
		if (!entry)
			continue;
		entry->expected = gemm_value(m, expected, i);
		entry->actual = gemm_value(m, actual, i);
		entry->expected_bits = want;
		entry->actual_bits = got;
	}
	return wrong;
}

static int compare_sides(const struct wrong *w, struct side expected, struct side actual,
			 uint64_t *wrong, struct error *err)
{
	const struct gemm *m = &w->b->gemm;
	const uint64_t all = (uint64_t)m->n * (uint64_t)m->n;
	const size_t width = (size_t)m->format->result_width;
	void *pieces = xcalloc(2 * PIECE, width), *second = (char *)pieces + PIECE * width;
	int rc = 0;

	for (uint64_t from = 0; from < all && rc == 0; from += PIECE) {
		const uint64_t count = all - from < PIECE ? all - from : PIECE;

		if (side_read(w, &expected, from, count, pieces, err) < 0 ||
		    side_read(w, &actual, from, count, second, err) < 0)
			rc = -1;
		else
			*wrong += compare_piece(w, from, count, pieces, second);
	}
	free(pieces);
	return rc;
}

/* A copy of c in the host's memory, for the want of room in the GPU's. NULL in *copy: no room here.
 */
static int copy_result(const struct wrong *w, unsigned char **copy, struct error *err)
{
	struct gemm *m = &w->b->gemm;
	const uint64_t all = (uint64_t)m->n * (uint64_t)m->n;

	*copy = malloc(all * (size_t)m->format->result_width);
	if (!*copy)
		return 0;
	return gemm_fetch(m, m->sets[w->check->set].c, 0, all, *copy, err);
}

/* ---- again --------------------------------------------------------------------------------- */

static enum gpu_again outcome(const struct wrong *w, const struct gemm *m, int set)
{
	const struct burn_set *s = &w->b->sets[w->check->set];
	const uint64_t *rows = gemm_rows(m, set);

	if (!s->golden)
		return gemm_digest(m, REPEAT_SLOT) == s->reference ? GPU_RIGHT_AGAIN
								   : GPU_WRONG_AGAIN;
	for (int r = 0; r < m->n; r++)
		if (!golden_row_is_right(s->golden, r, 1, rows[r]))
			return GPU_WRONG_AGAIN;
	return GPU_RIGHT_AGAIN;
}

/*
 * As many products as the check had covered, within reason, but each checked alone, until one is
 * wrong. On m, which is the burn's own or another GPU's, and whose set `set` has the operands of
 * the burn's.
 */
static int work_again(const struct wrong *w, struct gemm *m, int set, enum gpu_again *again,
		      struct error *err)
{
	const double seconds = w->b->product_seconds + w->b->check_seconds;
	const double products = fmax(1, fmin((double)w->check->products, repeat_most / seconds));

	if (gpu_current(m->g, err) < 0 || gemm_make(m, set, err) < 0)
		return -1;
	for (int i = 0; i < (int)products && *again != GPU_WRONG_AGAIN; i++) {
		if (gemm_multiply(m, set, 0, err) < 0 || gemm_check(m, set, REPEAT_SLOT, err) < 0 ||
		    gemm_wait(m, seconds, err) < 0)
			return -1;
		*again = outcome(w, m, set);
	}
	return 0;
}

/* Digests of different models or engines need not agree, integers must. */
static int comparable(const struct burn *b, const struct gemm *other)
{
	return b->job->data == GPU_EXACT ||
	       (!strcmp(gpu_info(b->gemm.g)->model, gpu_info(other->g)->model) &&
		!strcmp(b->gemm.engine, other->engine));
}

/* That another GPU cannot do it is no fault of this one: then nothing is known. */
static int work_elsewhere(const struct wrong *w, enum gpu_again *again, struct error *err)
{
	struct burn *b = w->b;
	const struct gemm_want want = { .gpu = b->job->other,
					.precision = b->job->precision,
					.data = b->job->data,
					.n = b->job->size,
					.seed = b->job->seed,
					.with_cublaslt = b->gemm.lt != NULL,
					.kernel = b->gemm.kernel,
					.only_set = w->check->set };
	enum gpu_again found = GPU_NOT_REPEATED;
	struct error why;
	struct gemm other;

	if (b->job->other < 0 || b->job->other == b->job->gpu ||
	    gpu_usable(b->m, b->job->other, &why) < 0)
		return 0;
	if (gemm_open(&other, b->m, &want, b->gemm.bag.patience, &why) == 0 &&
	    comparable(b, &other) && work_again(w, &other, 0, &found, &why) == 0)
		*again = found;
	gemm_close(&other);
	return gpu_current(b->gemm.g, err);
}

/*
 * A fault that came again in a single product came on an SM that is known: that of the first wrong
 * element.
 */
static int find_sm(const struct wrong *w, struct error *err)
{
	const struct burn_check once = { .set = w->check->set, .products = 1 };
	struct gpu_burn found = { .kept = 0 };
	struct wrong single = { .b = w->b, .job = &found, .check = &once };
	int rc;

	if (gemm_sms(&w->b->gemm, once.set, &single.sms, err) < 0)
		return -1;
	rc = look_at_rows(&single, err);
	for (int i = w->kept; i < w->job->kept && found.kept > 0; i++)
		w->job->first[i].sm = found.first[0].sm;
	free(single.sms);
	return rc;
}

/*
 * The first result of a set is the reference, until a second one confirms it. If instead the second
 * and its repeat agree, it was the first that was wrong.
 */
static int change_reference(const struct wrong *w, struct error *err)
{
	struct burn *b = w->b;
	struct burn_set *s = &b->sets[w->check->set];

	for (int i = w->kept; i < w->job->kept; i++) {
		struct gpu_wrong *e = &w->job->first[i];
		const struct gpu_wrong was = *e;

		e->expected = was.actual;
		e->expected_bits = was.actual_bits;
		e->actual = was.expected;
		e->actual_bits = was.expected_bits;
		e->sm = -1; /* known of the second product only */
	}
	s->reference = w->check->digest;
	s->seen = 2;
	if (gemm_keep(&b->gemm, w->check->set, err) < 0)
		return -1;
	return gemm_wait(&b->gemm, 0, err);
}

struct again {
	enum gpu_again here, there;
};

static int repeat(const struct wrong *w, struct again *again, struct error *err)
{
	struct burn *b = w->b;
	struct burn_set *s = &b->sets[w->check->set];

	if (work_again(w, &b->gemm, w->check->set, &again->here, err) < 0)
		return -1;
	if (again->here == GPU_WRONG_AGAIN && s->golden && w->check->products > 1 &&
	    find_sm(w, err) < 0)
		return -1;
	if (again->here == GPU_WRONG_AGAIN && s->seen == 1 &&
	    gemm_digest(&b->gemm, REPEAT_SLOT) == w->check->digest) {
		if (change_reference(w, err) < 0)
			return -1;
		again->here = GPU_RIGHT_AGAIN;
	}
	return work_elsewhere(w, &again->there, err);
}

static void keep_again(const struct wrong *w, const struct again *again)
{
	for (int i = w->kept; i < w->job->kept; i++) {
		w->job->first[i].same_gpu = again->here;
		w->job->first[i].other_gpu = again->there;
	}
}

/* ---- judging ------------------------------------------------------------------------------- */

/*
 * Elements of a result with a wrong digest: against the first result where that was kept, else
 * against the same work done again, if that comes out right. *copy is the wrong result for the
 * latter.
 */
static int look_at_digest(const struct wrong *w, unsigned char **copy, uint64_t *wrong,
			  struct error *err)
{
	const struct gemm_set *s = &w->b->gemm.sets[w->check->set];
	const struct side c = { .at = s->c }, first = { .at = s->first };

	if (!w->check->intact)
		return 0;
	if (!s->first)
		return copy_result(w, copy, err);
	return compare_sides(w, first, c, wrong, err);
}

static int judge_digest(const struct wrong *w, struct error *err)
{
	struct burn_set *s = &w->b->sets[w->check->set];
	const struct side c = { .at = w->b->gemm.sets[w->check->set].c };
	const uint64_t reference = s->reference, digest = w->check->digest;
	const int is_full = w->job->kept == KEPT_MOST;
	struct again again = { GPU_NOT_REPEATED, GPU_NOT_REPEATED };
	unsigned char *copy = NULL;
	uint64_t wrong = 0;
	int rc = look_at_digest(w, &copy, &wrong, err);

	if (rc == 0 && !is_full)
		rc = repeat(w, &again, err);
	if (rc == 0 && copy && !is_full && gemm_digest(&w->b->gemm, REPEAT_SLOT) == reference)
		rc = compare_sides(w, c, (struct side){ .host = copy }, &wrong, err);
	free(copy);
	w->job->wrong += wrong;
	if (!wrong)
		keep_sum(w, -1, s->reference, s->reference == reference ? digest : reference);
	keep_again(w, &again);
	return rc;
}

static int judge_rows(const struct wrong *w, struct error *err)
{
	const int is_full = w->job->kept == KEPT_MOST;
	struct again again = { GPU_NOT_REPEATED, GPU_NOT_REPEATED };
	int rc = look_at_rows(w, err);

	if (rc == 0 && !is_full)
		rc = repeat(w, &again, err);
	keep_again(w, &again);
	return rc;
}

static int is_right(struct burn *b, const struct burn_check *check)
{
	struct burn_set *s = &b->sets[check->set];

	if (s->golden) {
		const uint64_t *rows = gemm_rows(&b->gemm, check->set);

		for (int r = 0; r < b->gemm.n; r++)
			if (!golden_row_is_right(s->golden, r, check->products, rows[r]))
				return 0;
		return 1;
	}
	if (s->seen && check->digest != s->reference)
		return 0;
	s->reference = check->digest;
	s->seen++;
	return 1;
}

int burn_judge(struct burn *b, const struct burn_check *check, struct error *err)
{
	struct burn_set *s = &b->sets[check->set];
	struct wrong w = { .b = b, .job = b->job, .check = check, .kept = b->job->kept };
	const int is_first = !s->golden && !s->seen;
	int rc;

	b->job->verified += check->products;
	b->job->not_finite += check->not_finite;
	if (is_right(b, check)) {
		if (!is_first || !check->intact)
			return 0;
		return gemm_keep(&b->gemm, check->set, err);
	}
	if (check->products == 1 && check->intact &&
	    gemm_sms(&b->gemm, check->set, &w.sms, err) < 0)
		return -1;
	rc = s->golden ? judge_rows(&w, err) : judge_digest(&w, err);
	free(w.sms);
	if (rc == 0 && b->job->kept == w.kept)
		rc = gemm_make(&b->gemm, check->set, err); /* it was not repeated */
	return rc;
}
