/*
 * cpu.c - burns all allowed processors at once and looks at every result.
 *
 * Each processor goes through its windows alone: blocks of work, each compared with its golden
 * digest, and every few milliseconds a short chain of dependent additions, which take one cycle
 * each on every core and so tell the clock at which the load really runs. The chain adds a register
 * and not a constant, because Golden Cove and its followers resolve the addition of a constant
 * while renaming. Time stolen by a hypervisor lengthens a slice; the median over the window's
 * slices leaves it out.
 */
#include "kernels/cpu.h"
#include "kernels/work.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	UNITS_MOST = 4,
	CLOCK_SLICES = 1200,
	CHAIN_TURNS = 2048,
	CHAIN_ADDITIONS = 64, /* in one turn */
	TAMPERED_WORD = 3,
};

static const double slice_seconds = 2e-3; /* of load between two looks at the clock */

/* In the order of reports; a mix is all its units that the machine has. */
const struct cpu_unit *const cpu_units[] = {
	&cpu_unit_avx2, &cpu_unit_avx512, &cpu_unit_amx, &cpu_unit_integer,
	&cpu_unit_aes,  &cpu_unit_sha,    NULL,
};

static const char *const mix_needs[CPU_MIXES] = {
	[CPU_AVX2] = "AVX2 and FMA",
	[CPU_AVX512] = "AVX-512 (avx512f)",
	[CPU_AMX] = "AMX with bf16 (amx_tile, amx_bf16), or the kernel does not grant it",
	[CPU_INTEGER] = "AVX2 and POPCNT",
	[CPU_CRYPTO] = "AES-NI with PCLMULQDQ, or the SHA extensions",
};

struct burn {
	struct cpu_burn *job;
	const struct cpu_unit *units[UNITS_MOST];
	int unit_count;
	struct worker *workers;
	_Atomic double start; /* of the first window, set by whoever comes first; 0: not yet */
};

struct worker {
	struct burn *burn;
	uint64_t *operands[UNITS_MOST]; /* one after the other, CPU_VARIANTS sets each */
	unsigned long next;
	int tamper;
	uint64_t blocks, wrong;
	double clocks[CLOCK_SLICES];
};

void cpu_random_words(uint64_t *words, int count, int variant)
{
	uint64_t state = 0x61737361795f6370 + (uint64_t)variant;

	for (int i = 0; i < count; i++)
		words[i] = random_next(&state);
}

/* Each step can be undone, given its word: two inputs that differ in one word never meet again. */
uint64_t cpu_digest(const uint64_t *words, int count)
{
	uint64_t digest = 0;

	for (int i = 0; i < count; i++) {
		digest ^= words[i];
		digest = (digest << 29 | digest >> 35) * 0x9e3779b97f4a7c15;
	}
	return digest;
}

static double measure_clock(void)
{
	uint64_t sum = 1, addend = 3;
	long turns = CHAIN_TURNS;
	double start = clock_now();

	__asm__ volatile(".p2align 6\n"
			 "1:\n\t"
			 ".rept %c[additions]\n\t"
			 "add %[addend], %[sum]\n\t"
			 ".endr\n\t"
			 "dec %[turns]\n\t"
			 "jnz 1b\n\t"
			 : [sum] "+r"(sum), [turns] "+r"(turns)
			 : [addend] "r"(addend), [additions] "i"(CHAIN_ADDITIONS)
			 : "cc");

	double took = clock_now() - start;

	return took > 0 ? (double)CHAIN_TURNS * CHAIN_ADDITIONS / took : 0;
}

/* Runs and judges one block; returns the operations in it. */
static double run_block(struct worker *w)
{
	_Alignas(CPU_OPERAND_ALIGN) uint64_t out[CPU_OUT_WORDS];
	int which = (int)(w->next % w->burn->unit_count);
	int variant = (int)(w->next / w->burn->unit_count % CPU_VARIANTS);
	const struct cpu_unit *unit = w->burn->units[which];

	w->next++;
	unit->run(w->operands[which] + (size_t)variant * unit->in_words, out);
	if (w->tamper)
		out[TAMPERED_WORD] ^= 1u << 17;
	w->tamper = 0;
	w->wrong += cpu_digest(out, unit->out_words) != unit->golden[variant];
	w->blocks++;
	return unit->ops;
}

/* A processor that got no turn before `until` has done nothing in this window: rate and clock 0. */
static void run_window(struct worker *w, double until, double *rate, double *clock)
{
	double period = w->burn->job->window / 1000;
	double ops = 0, burned = 0, now;
	int slices = 0;

	if (period < slice_seconds)
		period = slice_seconds;
	while ((now = clock_now()) < until) {
		double began = now, stop = now + period < until ? now + period : until;

		do {
			ops += run_block(w);
			now = clock_now();
		} while (now < stop);
		burned += now - began;

		double hertz = measure_clock();

		if (hertz > 0 && slices < CLOCK_SLICES)
			w->clocks[slices++] = hertz;
	}
	*rate = burned > 0 ? ops / burned : 0;
	*clock = slices ? percentile_of(w->clocks, slices, 0.5) : 0;
}

/* Every processor makes its own operands: one that makes them wrong accuses no other. */
static void fill_operands(struct worker *w)
{
	for (int u = 0; u < w->burn->unit_count; u++) {
		const struct cpu_unit *unit = w->burn->units[u];

		for (int v = 0; v < CPU_VARIANTS; v++)
			unit->fill(w->operands[u] + (size_t)v * unit->in_words, v);
	}
}

static double common_start(struct burn *burn)
{
	double start = 0, now = clock_now();

	if (atomic_compare_exchange_strong(&burn->start, &start, now))
		return now;
	return start;
}

static void burn_one(void *arg, int index)
{
	struct burn *burn = arg;
	struct cpu_burn *job = burn->job;
	struct worker *w = &burn->workers[index];
	size_t row = (size_t)index * job->windows;

	fill_operands(w);

	double start = common_start(burn);

	for (int i = 0; i < job->windows; i++)
		run_window(w, start + (i + 1) * job->window, &job->rate[row + i],
			   &job->clock[row + i]);
	job->blocks[index] = w->blocks;
	job->wrong[index] = w->wrong;
}

static int find_units(enum cpu_mix mix, const struct cpu_unit **units)
{
	int count = 0;

	for (int i = 0; cpu_units[i]; i++)
		if (cpu_units[i]->mix == mix && cpu_units[i]->can())
			units[count++] = cpu_units[i];
	return count;
}

int host_cpu_can(struct machine *m, enum cpu_mix mix)
{
	const struct cpu_unit *units[UNITS_MOST];

	/* A recorded machine cannot be loaded, whatever this one can do. */
	return !m->root[0] && find_units(mix, units) > 0;
}

static void free_workers(struct burn *burn, int count)
{
	for (int i = 0; burn->workers && i < count; i++)
		for (int u = 0; u < burn->unit_count; u++)
			free(burn->workers[i].operands[u]);
	free(burn->workers);
}

static int make_workers(struct burn *burn, const struct host *host, struct error *err)
{
	burn->workers = xcalloc(host->cpu_count, sizeof(burn->workers[0]));
	for (int i = 0; i < host->cpu_count; i++) {
		struct worker *w = &burn->workers[i];

		w->burn = burn;
		w->tamper = host->cpus[i] == burn->job->tamper_cpu;
		for (int u = 0; u < burn->unit_count; u++) {
			size_t bytes = sizeof(uint64_t) * CPU_VARIANTS * burn->units[u]->in_words;

			w->operands[u] = aligned_alloc(CPU_OPERAND_ALIGN, bytes);
			if (!w->operands[u])
				return error_sys(err, "%zu bytes for the operands of cpu%d", bytes,
						 host->cpus[i]);
		}
	}
	return 0;
}

static int is_allowed(const struct host *host, int cpu)
{
	for (int i = 0; i < host->cpu_count; i++)
		if (host->cpus[i] == cpu)
			return 1;
	return 0;
}

static int check_job(struct machine *m, const struct cpu_burn *job, struct error *err)
{
	if (m->root[0])
		return error_set(err, "the recorded machine in %s cannot be loaded", m->root);
	if ((int)job->mix < 0 || job->mix >= CPU_MIXES)
		return error_set(err, "there is no processor load number %d", job->mix);
	if (!(job->window > 0) || job->windows < 1)
		return error_set(err, "a processor burn needs windows: got %d of %g s",
				 job->windows, job->window);
	if (m->host.cpu_count < 1)
		return error_set(err, "no processor is allowed to this process");
	if (job->tamper_cpu >= 0 && !is_allowed(&m->host, job->tamper_cpu))
		return error_set(err,
				 "cpu%d, whose result is to be spoilt, is not among the "
				 "allowed processors",
				 job->tamper_cpu);
	return 0;
}

static void clear_results(struct cpu_burn *job, int cpu_count)
{
	size_t cells = (size_t)cpu_count * job->windows;

	memset(job->rate, 0, cells * sizeof(job->rate[0]));
	memset(job->clock, 0, cells * sizeof(job->clock[0]));
	memset(job->wrong, 0, cpu_count * sizeof(job->wrong[0]));
	memset(job->blocks, 0, cpu_count * sizeof(job->blocks[0]));
}

/* A processor that verified no block at all must not look like one without errors. */
static int check_blocks(const struct cpu_burn *job, const struct host *host, struct error *err)
{
	for (int i = 0; i < host->cpu_count; i++)
		if (job->blocks[i] == 0)
			return error_set(err, "cpu%d got no time to run in %d windows of %g s",
					 host->cpus[i], job->windows, job->window);
	return 0;
}

int host_cpu_burn(struct machine *m, struct cpu_burn *job, struct error *err)
{
	struct burn burn = { .job = job };
	const struct cpu_model *model = cpu_model_here();
	int cpu_count = m->host.cpu_count, rc;

	if (check_job(m, job, err) < 0)
		return -1;
	burn.unit_count = find_units(job->mix, burn.units);
	if (burn.unit_count == 0)
		return error_set(err, "the processor lacks %s", mix_needs[job->mix]);

	job->core = model ? model->name : "unknown";
	job->ops_per_cycle = model ? model->ops[job->mix] : 0;
	clear_results(job, cpu_count);
	rc = make_workers(&burn, &m->host, err);
	if (rc == 0)
		rc = threads_run(m->host.cpus, cpu_count, burn_one, &burn, err);
	if (rc == 0)
		rc = check_blocks(job, &m->host, err);
	free_workers(&burn, cpu_count);
	return rc;
}
