/*
 * gpu.c - what the GPU checks have in common.
 *
 * Whether a GPU is dead after an error is found out by asking it for the smallest copy there is:
 * an allocation that did not fit leaves a healthy GPU behind, an illegal access does not.
 */
#include "harness/checks/gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_BYTES = 64 << 10 };

const char gpu_no_code[] = "this build has no GPU code (nvcc was missing)";

int gpu_number(const struct host_gpu *gpu)
{
	return atoi(gpu->part + strlen("gpu"));
}

void gpu_pair(char out[GPU_SUBJECT], int from, int to)
{
	snprintf(out, GPU_SUBJECT, "gpu%d>gpu%d", from, to);
}

/* A table of our own: kernels/ has none in a build without CUDA. */
const char *gpu_precision_word(int precision)
{
#define WORD(id, word) word,
	static const char *const words[] = { GPU_PRECISIONS(WORD) };

	return words[precision];
}

int gpu_knob_within(const struct knobs *k, const char *name, double least, double most,
		    struct error *err)
{
	double value = knob(k, name);

	if (value >= least && value <= most && value == floor(value))
		return RUN_OK;
	return error_set(err, "%s must be a whole number from %g to %g", name, least, most);
}

void gpu_samples(struct job *job, const char *metric, const char *subject, const double *v, int n)
{
	for (int i = 0; i < n; i++)
		if (!isfinite(v[i]) || v[i] <= 0) {
			job_hole(job, metric, subject, "a timing came out as no positive number");
			return;
		}
	job_samples(job, metric, subject, v, n);
}

/* ---- which GPUs ---------------------------------------------------------------------------- */

static void put_fact(struct job *job, const char *key, const char *value, const char *hole)
{
	job->sink->fact(job->sink->arg, "", key, *value ? value : NULL, *value ? NULL : hole);
}

/* Which driver did the work belongs to every figure. */
static void record_driver(struct job *job, const struct host_gpus *all)
{
	char version[32] = "";

	if (all->cuda_version > 0) /* 1000 x major + 10 x minor, as cuDriverGetVersion counts */
		snprintf(version, sizeof(version), "%d.%d", all->cuda_version / 1000,
			 all->cuda_version % 1000 / 10);
	put_fact(job, "cuda_library", all->library, "no libcuda was loaded");
	put_fact(job, "cuda_driver_version", version, "no CUDA driver answers");
	put_fact(job, "nvidia_driver", all->driver, "no library tells the driver's version");
}

/* The number of "gpu3" if there is such a GPU and it can be used; else -1 with err. */
static int wanted_gpu(const struct host_gpus *all, const char *part, struct error *err)
{
	for (int i = 0; i < all->count; i++) {
		const struct host_gpu *gpu = &all->items[i];

		if (strcmp(gpu->part, part) != 0)
			continue;
		if (gpu->usable)
			return i;
		return error_set(err, "%s", *gpu->why_not ? gpu->why_not : "it cannot be used");
	}
	return error_set(err, "this node shows %d GPUs, and no %s", all->count, part);
}

static const struct host_gpus *list_gpus(struct job *job, struct error *err)
{
	const struct host_gpus *all = job->hw->gpus(job->machine, err);

	if (all)
		record_driver(job, all);
	return all;
}

int job_gpus(struct job *job, struct job_gpus *gpus, const char *const *metrics, struct error *err)
{
	struct error why = { "the spec lets none of its GPUs compute" };
	char *list, *save = NULL;

	memset(gpus, 0, sizeof(*gpus));
	if (!job->hw->gpus)
		return job_skip(err, "%s", gpu_no_code);
	gpus->all = list_gpus(job, err);
	if (!gpus->all)
		return RUN_ERROR;
	list = xstrdup(knob_text(&job->knobs, "gpus"));
	for (char *part = strtok_r(list, " ", &save); part; part = strtok_r(NULL, " ", &save)) {
		int gpu = wanted_gpu(gpus->all, part, &why);

		if (gpu >= 0 && gpus->count < GPUS_MOST)
			gpus->numbers[gpus->count++] = gpu;
		for (int i = 0; gpu < 0 && metrics[i]; i++)
			job_hole(job, metrics[i], part, why.text);
	}
	free(list);
	return gpus->count ? RUN_OK : error_set(err, "no GPU can be used: %s", why.text);
}

const struct host_gpu *job_gpu(struct job *job, struct error *err)
{
	const struct host_gpus *all;
	int gpu;

	if (!job->hw->gpus) {
		error_set(err, "%s", gpu_no_code);
		return NULL;
	}
	all = list_gpus(job, err);
	gpu = all ? wanted_gpu(all, job->unit, err) : -1;
	return gpu < 0 ? NULL : &all->items[gpu];
}

/* ---- a team of which some may die ---------------------------------------------------------- */

int team_open(struct gpu_team *t, struct job *job, const char *const *metrics, struct error *err)
{
	memset(t, 0, sizeof(*t));
	t->job = job;
	return job_gpus(job, &t->gpus, metrics, err);
}

const struct host_gpu *team_gpu(const struct gpu_team *t, int gpu)
{
	return &t->gpus.all->items[gpu];
}

int gpu_alive(struct job *job, int gpu, struct error *err)
{
	double gbs = 0;
	struct gpu_route route = { .from = gpu, .to = gpu, .numa = -1, .gbs = &gbs };
	struct gpu_copy copy = { .routes = &route,
				 .route_count = 1,
				 .way = GPU_WRITE_CE,
				 .bytes = PROBE_BYTES,
				 .copies = 1,
				 .samples = 1 };

	if (!job->hw->gpu_copy)
		return error_set(err, "%s", gpu_no_code);
	return job->hw->gpu_copy(job->machine, &copy, err);
}

int team_probe(struct gpu_team *t, int gpu, const struct error *why)
{
	struct error err;

	if (*t->dead[gpu])
		return 0;
	if (gpu_alive(t->job, gpu, &err) == 0)
		return 1;
	snprintf(t->dead[gpu], sizeof(t->dead[gpu]), "gpu%d stopped working: %.250s", gpu,
		 why->text);
	job_note(t->job, "%s; asked again, it says: %.200s", t->dead[gpu], err.text);
	return 0;
}

const char *team_dead(const struct gpu_team *t, int from, int to)
{
	return *t->dead[from] ? t->dead[from] : *t->dead[to] ? t->dead[to] : NULL;
}

int team_living(const struct gpu_team *t, int numbers[GPUS_MOST])
{
	int count = 0;

	for (int i = 0; i < t->gpus.count; i++)
		if (!*t->dead[t->gpus.numbers[i]])
			numbers[count++] = t->gpus.numbers[i];
	return count;
}

/* ---- schedules and fits -------------------------------------------------------------------- */

int rounds_count(int n)
{
	return n < 2 ? 0 : (n + 1) / 2 * 2 - 1;
}

int rounds_pair(int n, int round, int i)
{
	int turning = rounds_count(n), fixed = turning, partner;

	if (i == fixed) /* whom the circle would pair with itself; half of `round` modulo odd */
		partner = (int)((long)round * ((turning + 1) / 2) % turning);
	else
		partner = ((round - i) % turning + turning) % turning;
	if (partner == i)
		partner = fixed;
	return partner < n ? partner : -1;
}

static double misfit(const double *x, const double *y, int n, double at_zero, double slope)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += fabs(y[i] - at_zero - slope * x[i]) / y[i];
	return sum;
}

/* One of the best lines passes through two of the points, and these are few: all are tried. */
int fit_line(const double *x, const double *y, int n, double *at_zero, double *slope)
{
	double best = INFINITY;

	for (int i = 0; i < n; i++)
		if (!(y[i] > 0) || !isfinite(y[i]))
			return -1;
	for (int i = 0; i < n; i++)
		for (int k = i + 1; k < n; k++) {
			double b = (y[k] - y[i]) / (x[k] - x[i]), a = y[i] - b * x[i], sum;

			if (x[k] == x[i])
				continue;
			sum = misfit(x, y, n, a, b);
			if (sum >= best)
				continue;
			best = sum;
			*at_zero = a;
			*slope = b;
		}
	return isfinite(best) ? 0 : -1;
}

/* ---- counters ------------------------------------------------------------------------------ */

/*
 * Names of kernels/nvml_counters.c. From sm_80 on GPUs replace rows of memory where older ones took
 * pages out of use (NVIDIA, GPU Memory Error Management): a GPU has one of the two.
 */
static const char no_rows[] = "this GPU retires pages and remaps no rows";
static const struct source {
	const char *name, *what;
	int since, until; /* capabilities that have it; 0: any */
	const char *else_why;
} sources[GPU_COUNTS] = {
	[COUNT_ECC_CORRECTED] = { "gpu_ecc_corrected", "corrected ECC errors" },
	[COUNT_ECC_UNCORRECTED] = { "gpu_ecc_uncorrected", "uncorrected ECC errors" },
	[COUNT_ROW_REMAPS] = { "gpu_row_remaps", "remapped rows", 80, 0, no_rows },
	[COUNT_REMAP_PENDING] = { "gpu_row_remap_pending", "pending row remaps", 80, 0, no_rows },
	[COUNT_REMAP_FAILED] = { "gpu_row_remap_failed", "failed row remaps", 80, 0, no_rows },
	[COUNT_RETIRED_PAGES] = { "gpu_retired_pages", "retired pages", 0, 79,
				  "this GPU remaps rows and retires no pages" },
	[COUNT_LINK_ERRORS] = { "gpu_nvlink_errors", "NVLink errors" },
	[COUNT_XIDS] = { "gpu_xids", "XIDs" },
};

struct gpu_counters *gpu_counters_new(struct job *job)
{
	struct gpu_counters *g = xcalloc(1, sizeof(*g));

	if (counters_begin(&g->c, job, &g->failure) == 0)
		*g->failure.text = '\0';
	return g;
}

void gpu_counters_free(struct gpu_counters *g)
{
	free(g);
}

/* A counter that is gone at the second reading must not look as if it had stood still. */
void gpu_counters_read(struct gpu_counters *g, struct job *job)
{
	struct error err;

	if (counters_end(&g->c, job, &err) < 0 && !*g->failure.text)
		g->failure = err;
}

/* NULL with err: nothing tells how far it moved. */
static const struct counter *find_counter(const struct gpu_counters *g, const struct host_gpu *gpu,
					  enum gpu_count what, struct error *err)
{
	const struct source *source = &sources[what];

	if (*g->failure.text) {
		error_set(err, "counters cannot be read: %.400s", g->failure.text);
		return NULL;
	}
	for (int i = 0; i < g->c.count; i++) {
		const struct counter *item = &g->c.items[i];

		if (strcmp(item->part, gpu->part) != 0 || strcmp(item->name, source->name) != 0)
			continue;
		if (!isnan(item->now))
			return item;
		error_set(err, "the driver stopped telling %s of this GPU", source->what);
		return NULL;
	}
	error_set(err, "the driver does not tell %s of this GPU", source->what);
	return NULL;
}

int gpu_counter(const struct gpu_counters *g, const struct host_gpu *gpu, enum gpu_count what,
		double *before, double *growth, struct error *err)
{
	const struct counter *item = find_counter(g, gpu, what, err);

	if (!item)
		return -1;
	*before = item->before;
	*growth = item->now - item->before;
	return 0;
}

const char *gpu_count_name(enum gpu_count what)
{
	return sources[what].what;
}

/* Whether GPUs of this generation have no such counter at all. */
static int has_none(const struct host_gpu *gpu, enum gpu_count what)
{
	const struct source *s = &sources[what];

	return gpu->capability > 0 && ((s->since && gpu->capability < s->since) ||
				       (s->until && gpu->capability > s->until));
}

static void report_counter(const struct gpu_counters *g, struct job *job,
			   const struct host_gpu *gpu, enum gpu_count what, const char *metric,
			   double before_by, double growth_by)
{
	double before, growth;
	struct error err;

	if (gpu_counter(g, gpu, what, &before, &growth, &err) == 0)
		job_report(job, metric, gpu->part, before_by * before + growth_by * growth);
	else if (has_none(gpu, what))
		job_absent(job, metric, gpu->part, sources[what].else_why);
	else
		job_hole(job, metric, gpu->part, err.text);
}

void gpu_report_growth(const struct gpu_counters *g, struct job *job, const struct host_gpu *gpu,
		       enum gpu_count what, const char *metric)
{
	report_counter(g, job, gpu, what, metric, 0, 1);
}

void gpu_report_state(const struct gpu_counters *g, struct job *job, const struct host_gpu *gpu,
		      enum gpu_count what, const char *metric)
{
	report_counter(g, job, gpu, what, metric, 1, 0);
}

/* Counted since this step opened the driver: what came before the first reading is ours too. */
void gpu_report_xids(const struct gpu_counters *g, struct job *job, const struct host_gpu *gpu,
		     const char *metric)
{
	char *text = NULL;
	struct error err;

	report_counter(g, job, gpu, COUNT_XIDS, metric, 1, 1);
	if (!job->hw->gpu_events ||
	    job->hw->gpu_events(job->machine, gpu_number(gpu), &text, &err) < 0)
		return;
	if (*text)
		job_note(job, "%s: XID %s", gpu->part, text);
	free(text);
}
