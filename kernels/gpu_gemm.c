/* gpu_gemm.c - the matrices of one GPU and what is launched on them. */
#include "kernels/gpu_gemm.h"

#include "kernels/cublaslt.h"
#include "kernels/gpu/data.h"
#include "kernels/gpu/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_THREADS = 128, WORDS_A_THREAD = 8, WORDS_A_SLOT = 2 };

static const struct gemm_format formats[GPU_PRECISION_COUNT] = {
	[GPU_FP64] = { 8, 8, 1, "rows_f64" }, [GPU_TF32] = { 4, 4, 0, "rows_f32" },
	[GPU_BF16] = { 2, 4, 0, "rows_f32" }, [GPU_FP16] = { 2, 4, 0, "rows_f32" },
	[GPU_FP8] = { 1, 4, 0, "rows_f32" },  [GPU_INT8] = { 1, 4, -1, "rows_i32" },
};

static uint64_t elements(const struct gemm *m)
{
	return (uint64_t)m->n * (uint64_t)m->n;
}

static unsigned tiles(const struct gemm *m)
{
	const unsigned side = (unsigned)m->n / DEVICE_TILE;

	return side * side;
}

/* ---- work ---------------------------------------------------------------------------------- */

int gemm_launch(struct gemm *m, const char *format, unsigned blocks, unsigned threads, void **args,
		struct error *err)
{
	const char *precision = gpu_precision_names[m->precision], *at = strchr(format, '*');
	char name[40];

	snprintf(name, sizeof(name), "%.*s%s%s", (int)(at - format), format, precision, at + 1);
	return gpu_launch(m->g, m->stream, name, blocks, threads, args, err);
}

static int make_operand(struct gemm *m, CUdeviceptr to, uint64_t seed, struct error *err)
{
	uint64_t count = elements(m);
	int data = (int)m->data;
	void *args[] = { &to, &count, &data, &seed, NULL };

	_Static_assert((int)GPU_EXACT == (int)OPERAND_EXACT &&
			       (int)GPU_RANDOM == (int)OPERAND_RANDOM &&
			       (int)GPU_TOGGLE == (int)OPERAND_TOGGLE,
		       "data.h and gpu.h count alike");
	return gemm_launch(m, "operand_*", gpu_blocks(m->g, count, WORDS_A_THREAD), GPU_THREADS,
			   args, err);
}

int gemm_make(struct gemm *m, int set, struct error *err)
{
	const struct gemm_set *s = &m->sets[set];

	if (make_operand(m, s->a, s->seed_a, err) < 0)
		return -1;
	return make_operand(m, s->b, s->seed_b, err);
}

int gemm_multiply(struct gemm *m, int set, int keep, struct error *err)
{
	const unsigned sms = (unsigned)gpu_info(m->g)->sms;
	struct gemm_set *s = &m->sets[set];
	unsigned n = (unsigned)m->n;
	void *args[] = { &s->a, &s->b, &s->c, &n, &s->tile_sm, &keep, NULL };
	void *mapped[] = { &s->map_a, &s->map_b, &s->c, &n, &s->tile_sm, &keep, NULL };

	if (m->lt)
		return cublaslt_multiply(m->lt, m->stream, s->a, s->b, s->c, keep, err);
	if (m->kernel == GEMM_WGMMA)
		return gemm_launch(m, "gemm_*_wgmma", tiles(m) < sms ? tiles(m) : sms,
				   DEVICE_WGMMA_THREADS, mapped, err);
	return gemm_launch(m, "gemm_*", tiles(m), DEVICE_GEMM_THREADS, args, err);
}

static CUdeviceptr rows_at(const struct gemm *m, int set)
{
	return m->rows + (uint64_t)set * (uint64_t)m->n * sizeof(uint64_t);
}

static CUdeviceptr tally_at(const struct gemm *m, int slot)
{
	return m->tallies + (uint64_t)slot * WORDS_A_SLOT * sizeof(uint64_t);
}

static uint64_t *host_rows(const struct gemm *m, int set)
{
	return m->host + (size_t)set * (size_t)m->n;
}

static uint64_t *host_tally(const struct gemm *m, int slot)
{
	return m->host + (size_t)m->set_count * (size_t)m->n + (size_t)slot * WORDS_A_SLOT;
}

static int copy_out(struct gemm *m, void *to, CUdeviceptr from, size_t bytes, struct error *err)
{
	return gpu_check(m->g, m->g->cuda->MemcpyDtoHAsync(to, from, bytes, m->stream), err,
			 "reading a checksum");
}

static int sum_rows(struct gemm *m, int set, CUdeviceptr not_finite, struct error *err)
{
	CUdeviceptr c = m->sets[set].c, rows = rows_at(m, set);
	unsigned n = (unsigned)m->n;
	void *args[] = { &c, &n, &m->weights, &rows, &not_finite, NULL };

	if (gpu_launch(m->g, m->stream, m->format->rows, n, ROW_THREADS, args, err) < 0)
		return -1;
	return copy_out(m, host_rows(m, set), rows, (size_t)n * sizeof(uint64_t), err);
}

static int sum_words(struct gemm *m, int set, CUdeviceptr digest, CUdeviceptr not_finite,
		     struct error *err)
{
	CUdeviceptr c = m->sets[set].c;
	uint64_t words = elements(m) * (uint64_t)m->format->result_width / sizeof(uint32_t);
	int is_double = m->format->is_double;
	void *args[] = { &c, &words, &is_double, &digest, &not_finite, NULL };

	return gpu_launch(m->g, m->stream, "digest_words", gpu_blocks(m->g, words, WORDS_A_THREAD),
			  GPU_THREADS, args, err);
}

int gemm_check(struct gemm *m, int set, int slot, struct error *err)
{
	const CUdeviceptr digest = tally_at(m, slot), not_finite = digest + sizeof(uint64_t);
	const size_t bytes = WORDS_A_SLOT * sizeof(uint64_t);
	int rc;

	if (gpu_check(m->g, m->g->cuda->MemsetD8Async(digest, 0, bytes, m->stream), err,
		      "clearing a checksum") < 0)
		return -1;
	rc = m->data == GPU_EXACT ? sum_rows(m, set, not_finite, err)
				  : sum_words(m, set, digest, not_finite, err);
	return rc < 0 ? -1 : copy_out(m, host_tally(m, slot), digest, bytes, err);
}

int gemm_mark(struct gemm *m, int mark, struct error *err)
{
	return gpu_check(m->g, m->g->cuda->EventRecord(m->marks[mark], m->stream), err,
			 "recording an event");
}

int gemm_keep(struct gemm *m, int set, struct error *err)
{
	const struct gemm_set *s = &m->sets[set];

	if (!s->first)
		return 0;
	return gpu_check(
		m->g,
		m->g->cuda->MemcpyDtoDAsync(
			s->first, s->c, elements(m) * (uint64_t)m->format->result_width, m->stream),
		err, "keeping the first result");
}

int gemm_wait(struct gemm *m, double seconds, struct error *err)
{
	enum { PATIENCE = 20 }; /* clocks of a throttled GPU fall to a fraction, not to this one */

	return gpu_bag_wait(&m->bag, m->g, m->stream, PATIENCE * seconds, err);
}

/* ---- results ------------------------------------------------------------------------------- */

int gemm_seconds(struct gemm *m, int from, int to, double *seconds, struct error *err)
{
	const struct gpu_timer timer = {
		.g = m->g, .stream = m->stream, .begin = m->marks[from], .end = m->marks[to]
	};

	return gpu_timer_seconds(&timer, seconds, err);
}

const uint64_t *gemm_rows(const struct gemm *m, int set)
{
	return host_rows(m, set);
}

uint64_t gemm_digest(const struct gemm *m, int slot)
{
	return host_tally(m, slot)[0];
}

uint64_t gemm_not_finite(const struct gemm *m, int slot)
{
	return host_tally(m, slot)[1];
}

int gemm_fetch(struct gemm *m, CUdeviceptr matrix, uint64_t from, uint64_t count, void *to,
	       struct error *err)
{
	const uint64_t width = (uint64_t)m->format->result_width;

	if (gpu_current(m->g, err) < 0)
		return -1;
	return gpu_check(m->g, m->g->cuda->MemcpyDtoH(to, matrix + from * width, count * width),
			 err, "reading a result");
}

int gemm_sms(struct gemm *m, int set, unsigned **sms, struct error *err)
{
	*sms = NULL;
	if (m->lt)
		return 0;
	*sms = xcalloc(tiles(m), sizeof(**sms));
	if (gpu_current(m->g, err) == 0 &&
	    gpu_check(m->g,
		      m->g->cuda->MemcpyDtoH(*sms, m->sets[set].tile_sm, tiles(m) * sizeof(**sms)),
		      err, "reading where tiles were worked on") == 0)
		return 0;
	free(*sms);
	*sms = NULL;
	return -1;
}

uint64_t gemm_bits(const struct gemm *m, const void *list, uint64_t i)
{
	const size_t width = (size_t)m->format->result_width;
	uint64_t bits = 0;

	memcpy(&bits, (const char *)list + i * width, width);
	return bits;
}

double gemm_value(const struct gemm *m, const void *list, uint64_t i)
{
	if (m->format->is_double == 1)
		return ((const double *)list)[i];
	return m->format->is_double == 0 ? (double)((const float *)list)[i]
					 : ((const int32_t *)list)[i];
}

/* ---- memory -------------------------------------------------------------------------------- */

static uint64_t operand_bytes(const struct gemm *m)
{
	return elements(m) * (uint64_t)m->format->width;
}

static uint64_t result_bytes(const struct gemm *m)
{
	return elements(m) * (uint64_t)m->format->result_width;
}

static uint64_t set_bytes(const struct gemm *m)
{
	return 2 * operand_bytes(m) + result_bytes(m) + tiles(m) * sizeof(unsigned);
}

/* Two at least, and as many as exceed the cache twice, where they fit. */
static int sets_wanted(const struct gemm *m, uint64_t room)
{
	const uint64_t kept = m->data == GPU_EXACT ? 0 : result_bytes(m);
	uint64_t sets = 2 * gpu_info(m->g)->l2_bytes / set_bytes(m) + 1;

	if (sets < 2)
		sets = 2;
	if (sets > GEMM_SETS_MOST)
		sets = GEMM_SETS_MOST;
	while (sets > 1 && sets * (set_bytes(m) + kept) > room)
		sets--;
	return (int)sets;
}

static int room_enough(const struct gemm *m, uint64_t room, struct error *err)
{
	char there[32], needed[32];

	if (set_bytes(m) <= room)
		return 0;
	bytes_text((double)room, there, sizeof(there));
	bytes_text((double)set_bytes(m), needed, sizeof(needed));
	return error_set(err,
			 "%s of the memory of gpu%d are free, and a %s product of size %d needs %s",
			 there, m->g->gpu, gpu_precision_names[m->precision], m->n, needed);
}

static int alloc_set(struct gemm *m, struct gemm_set *s, struct error *err)
{
	if (gpu_bag_memory(&m->bag, m->g, operand_bytes(m), &s->a, err) < 0 ||
	    gpu_bag_memory(&m->bag, m->g, operand_bytes(m), &s->b, err) < 0 ||
	    gpu_bag_memory(&m->bag, m->g, result_bytes(m), &s->c, err) < 0 ||
	    gpu_bag_memory(&m->bag, m->g, tiles(m) * sizeof(unsigned), &s->tile_sm, err) < 0)
		return -1;
	return m->kernel == GEMM_WGMMA ? gemm_maps(m, s, err) : 0;
}

/* The first result is kept only where there is room for it: errors are found without it, too. */
static int alloc_first(struct gemm *m, struct gemm_set *s, struct error *err)
{
	uint64_t room;

	if (m->data == GPU_EXACT)
		return 0;
	if (gpu_room(m->g, &room, err) < 0)
		return -1;
	if (result_bytes(m) > room)
		return 0;
	return gpu_bag_try(&m->bag, m->g, result_bytes(m), &s->first, err) < 0 ? -1 : 0;
}

static int alloc_sets(struct gemm *m, const struct gemm_want *want, struct error *err)
{
	uint64_t room;

	if (gpu_room(m->g, &room, err) < 0 || room_enough(m, room, err) < 0)
		return -1;
	m->set_count = want->only_set >= 0 ? 1 : sets_wanted(m, room);
	for (int i = 0; i < m->set_count; i++) {
		const uint64_t number = (uint64_t)(want->only_set >= 0 ? want->only_set : i);

		m->sets[i].seed_a = gpu_unique(want->seed, 2 * number);
		m->sets[i].seed_b = gpu_unique(want->seed, 2 * number + 1);
		if (alloc_set(m, &m->sets[i], err) < 0)
			return -1;
	}
	for (int i = 0; i < m->set_count && want->only_set < 0; i++)
		if (alloc_first(m, &m->sets[i], err) < 0)
			return -1;
	return 0;
}

static int alloc_results(struct gemm *m, struct error *err)
{
	const uint64_t rows = (uint64_t)GEMM_SETS_MOST * (uint64_t)m->n * sizeof(uint64_t),
		       tallies = GEMM_SLOTS * WORDS_A_SLOT * sizeof(uint64_t);
	void *host;

	if (gpu_bag_memory(&m->bag, m->g, rows, &m->rows, err) < 0 ||
	    gpu_bag_memory(&m->bag, m->g, tallies, &m->tallies, err) < 0 ||
	    gpu_bag_host(&m->bag, m->g, rows + tallies, -1, &host, err) < 0)
		return -1;
	m->host = host;
	for (size_t i = 0; i < ARRAY_SIZE(m->marks); i++)
		if (gpu_bag_event(&m->bag, m->g, &m->marks[i], err) < 0)
			return -1;
	return 0;
}

/* ---- open and close ------------------------------------------------------------------------ */

static int precision_there(const struct gemm *m, struct error *err)
{
	const struct host_gpu *gpu = gpu_info(m->g);

	if (gpu->precisions >> m->precision & 1)
		return 0;
	return error_set(err, "gpu%d (%s) has no %s tensor cores", m->g->gpu, gpu->model,
			 gpu_precision_names[m->precision]);
}

static int make_all(struct gemm *m, struct error *err)
{
	const double bytes = 2.0 * (double)operand_bytes(m) * m->set_count;

	for (int i = 0; i < m->set_count; i++)
		if (gemm_make(m, i, err) < 0)
			return -1;
	return gemm_wait(m, bytes / m->bag.patience->rate, err);
}

int gemm_open(struct gemm *m, struct machine *machine, const struct gemm_want *want,
	      const struct gpu_patience *patience, struct error *err)
{
	*m = (struct gemm){ .format = &formats[want->precision],
			    .precision = want->precision,
			    .data = want->data,
			    .n = want->n,
			    .weights = want->seed };
	gpu_bag_init(&m->bag, machine, patience);
	m->g = gpu_use(machine, want->gpu, err);
	if (!m->g || precision_there(m, err) < 0 ||
	    gpu_bag_stream(&m->bag, m->g, &m->stream, err) < 0 || alloc_results(m, err) < 0 ||
	    gemm_choose(m, want, err) < 0 || alloc_sets(m, want, err) < 0)
		return -1;
	return make_all(m, err);
}

void gemm_close(struct gemm *m)
{
	struct error ignored;

	if (!m->bag.hung && m->lt && gpu_current(m->g, &ignored) == 0)
		cublaslt_close(m->lt);
	gpu_bag_release(&m->bag);
}
