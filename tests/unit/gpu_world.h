/*
 * gpu_world.h - a machine with GPUs that is told beforehand, and a record of what a check says of
 * it. Included once by a test program.
 *
 * Below the checks stands a table of primitives that answer at once, each GPU and each pair as the
 * case wants it: so figures, holes and absences can be counted one by one.
 */
#ifndef ASSAY_GPU_WORLD_H
#define ASSAY_GPU_WORLD_H

#include "harness/checks/gpu_watch.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct check check_gpu_inventory, check_gpu_host_copy, check_gpu_p2p,
	check_gpu_p2p_latency, check_gpu_memory_bandwidth, check_gpu_memory_stress, check_gpu_burn,
	check_gpu_soak;

static const struct check *const gpu_checks[] = {
	&check_gpu_inventory,
	&check_gpu_host_copy,
	&check_gpu_p2p,
	&check_gpu_p2p_latency,
	&check_gpu_memory_bandwidth,
	&check_gpu_memory_stress,
	&check_gpu_burn,
	&check_gpu_soak,
};

/* ---- a machine as told --------------------------------------------------------------------- */

enum { NONE_OF_THEM = -2 }; /* GPU_HOST is -1 */

struct world {
	struct host_gpus gpus;
	struct host host;
	struct host_numa numas[4];
	struct host_disk disk;
	int dead;                   /* a GPU on which everything fails */
	int dies_after;             /* so many calls of it work before */
	int nopeer_from, nopeer_to; /* a pair without peer access */
	int broken_from, broken_to; /* a pair on which copies fail */
	int wrong_from, wrong_to;   /* a pair on which bytes arrive wrong */
	int no_nvml, no_memory_sensor, sensors_fail_after, no_counters, counters_vanish;
	int no_events;
	int links, links_down, fabric_bad;
	unsigned long long throttle;
	double copy_alpha_ns, copy_gbs;
	double power_limit;
	uint64_t largest; /* bytes of a copy that still fit */
	int slabs, slow_slab;
	enum gpu_precision failing; /* a burn that fails on a healthy GPU */
	int burn_fails;
	uint64_t burn_wrong;
	const char *doubt;       /* that wgmma multiplies rightly, in bf16 */
	const char *ecc_pattern; /* corrected errors grow during this one */
	double ecc, xids;
	int burns, calls, dead_calls, sensor_calls, counter_calls, after_calls;
	pthread_mutex_t lock;
};

static inline struct world *world_of(struct machine *m)
{
	return (struct world *)(void *)m;
}

static inline void world_init(struct world *w, int gpus)
{
	memset(w, 0, sizeof(*w));
	pthread_mutex_init(&w->lock, NULL);
	w->dead = w->nopeer_from = w->broken_from = w->wrong_from = NONE_OF_THEM;
	w->sensors_fail_after = 1 << 30;
	w->copy_alpha_ns = 2000;
	w->copy_gbs = 50;
	w->power_limit = 700;
	w->links = 18;
	w->slabs = 100;
	w->largest = UINT64_MAX;
	w->gpus.count = gpus;
	w->gpus.cuda_version = 13000;
	snprintf(w->gpus.library, sizeof(w->gpus.library), "/lib/libcuda.so.1");
	snprintf(w->gpus.driver, sizeof(w->gpus.driver), "580.95.05");
	for (int i = 0; i < gpus; i++) {
		struct host_gpu *g = &w->gpus.items[i];

		snprintf(g->part, sizeof(g->part), "gpu%d", i);
		snprintf(g->model, sizeof(g->model), "NVIDIA H200");
		g->usable = 1;
		g->capability = 90;
		g->sms = 132;
		g->numa = i < (gpus + 1) / 2 ? 0 : 1;
		g->bytes = 1000 << 20;
		g->precisions = (1u << GPU_PRECISION_COUNT) - 1;
	}
	w->host.numas = w->numas;
	w->host.numa_count = 2;
	w->numas[1].id = 1;
	w->host.memory_available = (uint64_t)16 << 30;
}

/* 0, or -1 when the GPU is dead (by now). */
static inline int touch(struct world *w, int gpu, struct error *err)
{
	int is_dead;

	pthread_mutex_lock(&w->lock);
	w->calls++;
	is_dead = gpu >= 0 && gpu == w->dead && w->dies_after-- <= 0;
	w->dead_calls += is_dead;
	pthread_mutex_unlock(&w->lock);
	return is_dead ? error_set(err, "gpu%d: GPU is lost", gpu) : 0;
}

static inline const struct host_gpus *fake_gpus(struct machine *m, struct error *err)
{
	(void)err;
	return &world_of(m)->gpus;
}

static inline const struct host *fake_host(struct machine *m)
{
	return &world_of(m)->host;
}

static inline int fake_facts(struct machine *m, fact_fn *put, void *arg, struct error *err)
{
	(void)m, (void)err;
	put(arg, "", "hypervisor", "none", NULL);
	return 0;
}

static inline void put_counters(struct world *w, counter_fn *put, void *arg, int gpu)
{
	const struct {
		const char *name;
		double value;
	} rows[] = {
		{ "gpu_ecc_corrected", w->ecc }, { "gpu_ecc_uncorrected", 0 },
		{ "gpu_row_remaps", 1 },         { "gpu_row_remap_pending", 0 },
		{ "gpu_row_remap_failed", 0 },   { "gpu_nvlink_errors", 5 },
		{ "gpu_xids", w->xids },
	};
	char part[16];

	snprintf(part, sizeof(part), "gpu%d", gpu);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		put(arg, part, rows[i].name, rows[i].value);
}

static inline int fake_counters(struct machine *m, counter_fn *put, void *arg, struct error *err)
{
	struct world *w = world_of(m);

	(void)err;
	if (w->no_nvml || w->no_counters || (w->counters_vanish && w->counter_calls++ > 0))
		return 0;
	for (int i = 0; i < w->gpus.count; i++)
		put_counters(w, put, arg, i);
	return 0;
}

static inline int fake_peer(struct machine *m, int from, int to, struct error *err)
{
	struct world *w = world_of(m);

	(void)err;
	return !(from == w->nopeer_from && to == w->nopeer_to);
}

static inline int copy_route(struct world *w, struct gpu_copy *job, struct gpu_route *r,
			     struct error *err)
{
	double ns = w->copy_alpha_ns + (double)job->bytes / w->copy_gbs;

	if (touch(w, r->from, err) < 0 || (r->to != r->from && touch(w, r->to, err) < 0))
		return -1;
	if (r->from == w->broken_from && r->to == w->broken_to)
		return error_set(err, "the link is broken");
	if (job->bytes > w->largest)
		return error_set(err, "out of memory");
	for (int s = 0; s < job->samples; s++)
		r->gbs[s] = (double)job->bytes / ns;
	r->wrong_bytes = r->from == w->wrong_from && r->to == w->wrong_to ? 7 : 0;
	return 0;
}

static inline int fake_copy(struct machine *m, struct gpu_copy *job, struct error *err)
{
	for (int i = 0; i < job->route_count; i++)
		if (copy_route(world_of(m), job, &job->routes[i], err) < 0)
			return -1;
	return 0;
}

static inline int fake_latency(struct machine *m, struct gpu_latency *job, struct error *err)
{
	struct world *w = world_of(m);

	if (touch(w, job->from, err) < 0 || touch(w, job->to, err) < 0)
		return -1;
	for (int i = 0; i < job->samples; i++) /* rounds of 100: 1, 2, .. 100 ns */
		job->ns[i] = 1 + i % 100;
	return 0;
}

static inline int fake_memory_rate(struct machine *m, struct gpu_memory_rate *job,
				   struct error *err)
{
	struct world *w = world_of(m);

	if (touch(w, job->gpu, err) < 0)
		return -1;
	for (int op = 0; op < GPU_MEMORY_OPS; op++)
		for (int s = 0; s < job->samples; s++)
			job->gbs[op][s] = 4000 + op;
	job->slab_count = job->slab_bytes ? w->slabs : 0;
	assert_true(job->slab_count <= job->slab_room);
	for (int i = 0; i < job->slab_count; i++)
		job->slab_gbs[i] = i == w->slow_slab ? 15 : 30;
	return 0;
}

static inline int fake_stress(struct machine *m, struct gpu_memory_stress *job, struct error *err)
{
	static const char *const patterns[] = { "own address", "random", "fade" };
	struct world *w = world_of(m);

	if (touch(w, job->gpu, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (w->ecc_pattern && !strcmp(patterns[i], w->ecc_pattern))
			w->ecc += 3;
		if (job->after && job->after(job->arg, patterns[i]))
			break;
	}
	job->tested_bytes = 970 << 20;
	job->verified_bytes = 3 * job->tested_bytes;
	job->moved_bytes = 2 * job->verified_bytes;
	job->took = 2;
	job->patterns = (int)ARRAY_SIZE(patterns);
	if (w->burn_wrong) {
		job->mismatches = w->burn_wrong;
		job->kept = 1;
		job->first[0] = (struct gpu_mismatch){ .offset = 0x1000,
						       .expected = 1,
						       .actual = 3,
						       .again = 1,
						       .sm = 17,
						       .pattern = "random" };
	}
	return 0;
}

static inline void burn_windows(struct gpu_burn *job)
{
	for (int i = 0; i < job->windows; i++) {
		job->tflops[i] = 100 + job->precision;
		job->done++;
		if (job->each)
			job->each(job->arg, i);
	}
}

static inline int fake_burn(struct machine *m, struct gpu_burn *job, struct error *err)
{
	struct world *w = world_of(m);

	if (touch(w, job->gpu, err) < 0)
		return -1;
	if (w->burn_fails && job->precision == w->failing)
		return error_set(err, "no room for the matrices");
	usleep(2000);
	burn_windows(job);
	job->gemms = 100;
	job->verified = 100;
	job->took = job->window * job->windows;
	job->verifying = job->took / 20;
	job->digest = 0x1234;
	snprintf(job->engine, sizeof(job->engine), "own wgmma sm_90a (no cuBLASLt: not installed)");
	job->proof = job->with_wgmma ? 0x5678 : 0;
	job->proof_size = 2304;
	if (w->doubt && job->precision == GPU_BF16)
		snprintf(job->doubt, sizeof(job->doubt), "%s", w->doubt);
	job->wrong = w->burn_wrong;
	job->kept = w->burn_wrong ? 1 : 0;
	job->first[0] = (struct gpu_wrong){ .row = 5,
					    .column = 6,
					    .sm = 44,
					    .window = 0,
					    .same_gpu = GPU_WRONG_AGAIN,
					    .other_gpu = GPU_RIGHT_AGAIN };
	pthread_mutex_lock(&w->lock);
	w->burns++;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static inline int fake_sensors(struct machine *m, int gpu, struct gpu_sensors *s, struct error *err)
{
	struct world *w = world_of(m);
	int calls;

	calls = __atomic_add_fetch(&w->sensor_calls, 1, __ATOMIC_RELAXED);
	if (w->no_nvml || calls > w->sensors_fail_after)
		return error_set(err, "libnvidia-ml.so.1: no such file");
	*s = (struct gpu_sensors){ .power_w = 600 + gpu,
				   .power_limit_w = w->power_limit,
				   .power_default_w = 700,
				   .temperature_c = 60,
				   .memory_temperature_c = w->no_memory_sensor ? NAN : 70,
				   .sm_clock_hz = 1.4e9,
				   .throttle = w->throttle,
				   .throttle_known = 1,
				   .used_bytes = 500 << 20,
				   .total_bytes = 1000 << 20 };
	return 0;
}

static inline int fake_links(struct machine *m, int gpu, struct gpu_link *links, int room,
			     struct error *err)
{
	struct world *w = world_of(m);

	(void)gpu;
	if (w->no_nvml)
		return error_set(err, "libnvidia-ml.so.1: no such file");
	for (int i = 0; i < w->links && i < room; i++)
		links[i] = (struct gpu_link){ .number = i,
					      .up = i >= w->links_down,
					      .remote = "switch" };
	return w->links;
}

static inline int fake_fabric(struct machine *m, int gpu, struct gpu_fabric *fabric,
			      struct error *err)
{
	struct world *w = world_of(m);

	(void)gpu;
	if (w->no_nvml)
		return error_set(err, "libnvidia-ml.so.1: no such file");
	snprintf(fabric->state, sizeof(fabric->state), "%s",
		 w->links ? "completed" : "not supported");
	fabric->is_bad = w->fabric_bad;
	return 0;
}

static inline int fake_events(struct machine *m, int gpu, char **text, struct error *err)
{
	struct world *w = world_of(m);

	(void)gpu;
	if (w->no_nvml || w->no_events)
		return error_set(err, "libnvidia-ml.so.1: no such file");
	*text = xstrdup(w->xids > 0 ? "79 GPU has fallen off the bus" : "");
	return 0;
}

static inline int fake_memory_stress(struct machine *m, struct memory_stress *job,
				     struct error *err)
{
	(void)m, (void)err;
	job->verified_bytes = job->bytes;
	return 0;
}

static inline int fake_disk_io(struct machine *m, struct disk_io *job, struct error *err)
{
	(void)m, (void)job;
	return error_set(err, "/dev/nvme0n1: permission denied");
}

static const struct kernels fake = {
	.name = "fake",
	.host = fake_host,
	.facts = fake_facts,
	.counters = fake_counters,
	.memory_stress = fake_memory_stress,
	.disk_io = fake_disk_io,
	.gpus = fake_gpus,
	.gpu_peer = fake_peer,
	.gpu_copy = fake_copy,
	.gpu_latency = fake_latency,
	.gpu_memory_rate = fake_memory_rate,
	.gpu_memory_stress = fake_stress,
	.gpu_burn = fake_burn,
	.gpu_sensors = fake_sensors,
	.gpu_links = fake_links,
	.gpu_fabric = fake_fabric,
	.gpu_events = fake_events,
};

static const struct kernels no_gpu_code = {
	.name = "without CUDA", .host = fake_host, .facts = fake_facts, .counters = fake_counters
};

/* ---- what came out ------------------------------------------------------------------------- */

enum said { FIGURE, HOLE, ABSENT, FACT, NOTE };

struct word {
	enum said said;
	char metric[200], subject[80], text[600]; /* of facts: key, part, value */
	double first, last;
	int count;
};

struct record {
	struct word *items;
	size_t count;
	struct error err;
	int rc;
};

static inline struct word *add(struct record *r, enum said said, const char *metric,
			       const char *subject, const char *text)
{
	struct word *w;

	r->items = grow(r->items, r->count, sizeof(*r->items));
	w = &r->items[r->count++];
	memset(w, 0, sizeof(*w));
	w->said = said;
	snprintf(w->metric, sizeof(w->metric), "%s", metric);
	snprintf(w->subject, sizeof(w->subject), "%s", subject);
	snprintf(w->text, sizeof(w->text), "%s", text);
	return w;
}

static inline void on_figure(void *arg, const char *metric, const char *subject, const double *v,
			     int n)
{
	struct word *w = add(arg, FIGURE, metric, subject, "");

	assert_true(n > 0);
	for (int i = 0; i < n; i++)
		assert_true(isfinite(v[i]));
	w->first = v[0];
	w->last = v[n - 1];
	w->count = n;
}

static inline void on_absent(void *arg, const char *metric, const char *subject, const char *why,
			     int is_hole)
{
	assert_true(*why);
	add(arg, is_hole ? HOLE : ABSENT, metric, subject, why);
}

static inline void on_fact(void *arg, const char *part, const char *key, const char *value,
			   const char *hole)
{
	assert_true((value == NULL) != (hole == NULL));
	add(arg, FACT, key, part, value ? value : hole);
}

static inline void on_note(void *arg, const char *text)
{
	add(arg, NOTE, "", "", text);
}

static inline int said_count(const struct record *r, enum said said, const char *metric)
{
	int n = 0;

	for (size_t i = 0; i < r->count; i++)
		n += r->items[i].said == said && !strcmp(r->items[i].metric, metric);
	return n;
}

static inline const struct word *find(const struct record *r, enum said said, const char *metric,
				      const char *subject)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->items[i].said == said && !strcmp(r->items[i].metric, metric) &&
		    !strcmp(r->items[i].subject, subject))
			return &r->items[i];
	return NULL;
}

static inline const struct word *must(const struct record *r, enum said said, const char *metric,
				      const char *subject)
{
	const struct word *w = find(r, said, metric, subject);

	if (!w) {
		fail_msg("nothing of this kind (%d) about %s of '%s'", said, metric, subject);
		abort(); /* not reached; compilers do not know that */
	}
	return w;
}

static inline int has_note(const struct record *r, const char *part)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->items[i].said == NOTE && strstr(r->items[i].text, part))
			return 1;
	return 0;
}

/* ---- running a check ----------------------------------------------------------------------- */

static inline const char **knob_values(const struct check *check, const char *const *pairs)
{
	int n = 0;
	const char **values;

	while (check->params[n].name)
		n++;
	values = xcalloc((size_t)n + 1, sizeof(*values));
	for (; pairs && pairs[0]; pairs += 2) {
		int i = 0;

		while (check->params[i].name && strcmp(check->params[i].name, pairs[0]) != 0)
			i++;
		if (check->params[i].name)
			values[i] = pairs[1];
	}
	return values;
}

static const char all_gpus[] = "gpu0 gpu1 gpu2 gpu3 gpu4 gpu5 gpu6 gpu7";

/* knobs: name, value, .. NULL; the knob gpus names all GPUs of the world. */
static inline struct record run_on(const struct kernels *hw, const struct check *check,
				   struct world *w, const char *const *knobs)
{
	char list[sizeof(all_gpus)];
	const char *all[32] = { "gpus", list };
	struct record r = { .items = NULL };
	const struct sink sink = { on_figure, on_absent, on_fact, on_note, &r };
	struct job job = { .hw = hw, .machine = (struct machine *)(void *)w, .sink = &sink };
	const char **values;

	snprintf(list, (size_t)w->gpus.count * 5, "%s", all_gpus);
	for (int i = 0; knobs && knobs[i]; i++)
		all[i + 2] = knobs[i];
	values = knob_values(check, all);
	job.unit = check->scope == PER_GPU ? "gpu0" : "";
	job.knobs = (struct knobs){ .check = check, .values = values };
	r.rc = check->run(&job, &r.err);
	free(values);
	return r;
}

static inline struct record run(const struct check *check, struct world *w,
				const char *const *knobs)
{
	struct record r = run_on(&fake, check, w, knobs);

	if (r.rc != RUN_OK)
		fail_msg("%s: %s", check->name, r.err.text);
	return r;
}

static inline void drop(struct record *r)
{
	free(r->items);
}

struct want {
	const char *metric;
	int figures, holes, absents;
};

static inline void expect(const struct record *r, const char *name, const struct want *wants)
{
	for (; wants->metric; wants++) {
		int f = said_count(r, FIGURE, wants->metric),
		    h = said_count(r, HOLE, wants->metric);
		int a = said_count(r, ABSENT, wants->metric);

		if (f != wants->figures || h != wants->holes || a != wants->absents)
			fail_msg("%s: %s: %d figures, %d holes, %d absent; expected %d, %d, %d",
				 name, wants->metric, f, h, a, wants->figures, wants->holes,
				 wants->absents);
	}
}

/* Every metric that a check promises and that is judged must be spoken of, whatever happens. */
static inline void expect_all_said(const struct record *r, const struct check *check,
				   const char *name)
{
	for (const struct metric *m = check->metrics; m->name; m++)
		if (m->judged != RECORDED && !said_count(r, FIGURE, m->name) &&
		    !said_count(r, HOLE, m->name) && !said_count(r, ABSENT, m->name))
			fail_msg("%s: %s says nothing of %s", name, check->name, m->name);
}

#endif
