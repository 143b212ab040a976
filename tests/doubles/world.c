/*
 * world.c - the state that the three faces share, and the faults that are planted in it.
 *
 * Rules count operations at the call, not when the work is done, so that "the third launch" is the
 * same one whatever the threads do. Counts start anew in each process, as each step of a run is
 * one.
 */
#include "tests/doubles/double.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What a program looks for to know that nothing here was measured. */
FACE char assay_double[320] = "assay double, scenario (none read)";

static struct world the_world = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.progress = PTHREAD_COND_INITIALIZER,
};

_Noreturn void double_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("assay double: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

double real_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/*
 * CUDA's ordinals: by PCI address if the environment says so; else the fastest first, which here
 * means display adapters last. CUDA_VISIBLE_DEVICES chooses and orders, up to the first bad word.
 */
static int order_before(const struct gpu *a, const struct gpu *b, int by_pci)
{
	if (!by_pci && a->display != b->display)
		return a->display < b->display;
	return strcmp(a->pci, b->pci) < 0;
}

static void order_all(struct world *w)
{
	const char *how = getenv("CUDA_DEVICE_ORDER");
	int by_pci = how && !strcmp(how, "PCI_BUS_ID");

	for (int i = 0; i < w->gpu_count; i++) {
		int at = i;

		for (; at && order_before(&w->gpus[i], &w->gpus[w->order[at - 1]], by_pci); at--)
			w->order[at] = w->order[at - 1];
		w->order[at] = i;
	}
	w->visible = w->gpu_count;
}

static int order_find(const struct world *w, const char *word)
{
	char *end;
	long n = strtol(word, &end, 10);

	if (end != word && !*end)
		return n >= 0 && n < w->gpu_count ? w->order[n] : -1;
	for (int i = 0; i < w->gpu_count; i++)
		if (strlen(word) > 4 && !strncmp(w->gpus[i].uuid, word, strlen(word)))
			return i;
	return -1;
}

static void order_choose(struct world *w)
{
	const char *list = getenv("CUDA_VISIBLE_DEVICES");
	char text[1024], *save = NULL;
	int chosen[GPUS_MOST], count = 0;

	if (!list)
		return;
	snprintf(text, sizeof(text), "%s", list);
	for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int found = order_find(w, word);

		if (found < 0 || count == GPUS_MOST)
			break;
		chosen[count++] = found;
	}
	memcpy(w->order, chosen, sizeof(int) * (size_t)count);
	w->visible = count;
}

static void __attribute__((constructor)) world_begin(void)
{
	struct world *w = &the_world;
	const char *path = getenv("ASSAY_DOUBLE");

	if (path && strlen(path) >= sizeof(w->path))
		double_die("the name of the scenario is too long");
	snprintf(w->path, sizeof(w->path), "%s", path ? path : "");
	scenario_read(w, *w->path ? w->path : NULL);
	snprintf(assay_double, sizeof(assay_double), "assay double, scenario %.255s",
		 *w->path ? w->path : "(default)");
	order_all(w);
	order_choose(w);
	for (int i = 0; i < w->gpu_count; i++)
		w->gpus[i].energy_at = real_now();
}

struct world *world(void)
{
	return &the_world;
}

/* ---- what happens to a GPU ----------------------------------------------------------------- */

void gpu_xid(struct gpu *g, int xid)
{
	struct world *w = world();

	if (!xid || !g)
		return;
	if (w->xid_count < XIDS_MOST)
		w->xids[w->xid_count++] = (struct xid){ .gpu = g->number, .number = xid };
	/* double bit error, contained and uncontained ECC error: what NVML then counts */
	if (xid == 48 || xid == 94 || xid == 95) {
		g->ecc_uncorrected++;
		g->remapped[1]++;
		g->remapped[2] = 1;
	} else if (xid == 63) {
		g->remapped[2] = 1; /* a row was remapped and waits for a reset */
	} else if (xid == 64) {
		g->remapped[3] = 1; /* remapping failed */
	}
}

void gpu_lose(struct gpu *g)
{
	if (g->lost)
		return;
	g->lost = 1;
	gpu_xid(g, 79);
}

/* A MIG instance shows as a device with a seventh of the memory. */
uint64_t gpu_memory(const struct gpu *g)
{
	return g->mig ? g->mem / 7 : g->mem;
}

/* Power does not fall the moment work ends: averages of a sensor last about that long. */
static const double busy_tail = 0.3;

void gpu_busy(struct gpu *g, int change)
{
	g->running += change;
	g->busy_until = real_now() + busy_tail;
}

/* ---- rules --------------------------------------------------------------------------------- */

static int rule_fits(const struct fault *f, enum fault_op op, const char *name,
		     const struct gpu *dev, const struct gpu *peer)
{
	if (f->op != op)
		return 0;
	if (f->dev >= 0 && (!dev || dev->number != f->dev))
		return 0;
	if (f->peer >= 0 && (!peer || peer->number != f->peer))
		return 0;
	return !*f->name || (name && !fnmatch(f->name, name, 0));
}

static int rule_fires(struct fault *f)
{
	f->seen++;
	return f->seen >= f->nth && (!f->count || f->seen < f->nth + f->count);
}

CUresult fault_meet(enum fault_op op, const char *name, const struct gpu *dev,
		    const struct gpu *peer, const struct fault **out)
{
	struct world *w = world();
	struct gpu *g = dev ? &w->gpus[dev->number] : NULL;

	*out = NULL;
	for (int i = 0; i < w->fault_count; i++) {
		struct fault *f = &w->faults[i];

		if (!rule_fits(f, op, name, dev, peer) || !rule_fires(f))
			continue;
		if (f->action == ACT_CRASH)
			abort();
		if (f->action == ACT_LOST) {
			if (g)
				gpu_lose(g);
			return CUDA_ERROR_UNKNOWN;
		}
		if (f->action == ACT_ERR) {
			gpu_xid(g, f->xid);
			return (CUresult)f->code;
		}
		if (!*out)
			*out = f;
	}
	return CUDA_SUCCESS;
}
