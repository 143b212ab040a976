/*
 * nvml_face.c - what libnvidia-ml.so.1 tells of the same GPUs: identity, memory, sensors, state.
 *
 * A GPU works hard or rests, nothing between: it is busy while this process has work on it and a
 * moment after. NVML numbers GPUs by PCI address, which is not CUDA's order.
 */
#include "tests/doubles/nvml_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static int started; /* guarded by the lock of the world */

static int is_missing(const char *function)
{
	const struct world *w = world();

	for (int i = 0; i < w->nvml_missing_count; i++)
		if (!strcmp(w->nvml_missing[i], function))
			return 1;
	return 0;
}

/* A symbol cannot be hidden by a scenario; newer libraries answer so for older drivers, too. */
int nvml_enter(const char *function, NVML_GPU handle, struct gpu **out)
{
	struct world *w = world();

	*out = NULL;
	if (is_missing(function))
		return NVML_NO_FUNCTION;
	if (!started)
		return NVML_UNINITIALIZED;
	for (int i = 0; i < w->gpu_count && !*out; i++)
		if ((void *)handle == (void *)&w->gpus[i])
			*out = &w->gpus[i];
	if (!*out)
		return NVML_INVALID_ARGUMENT;
	return (*out)->lost ? NVML_GPU_IS_LOST : NVML_OK;
}

/* ---- the library --------------------------------------------------------------------------- */

FACE int nvmlInitWithFlags(unsigned flags)
{
	struct world *w = world();

	(void)flags;
	if (is_missing(__func__))
		return NVML_NO_FUNCTION;
	if (w->nvml_rc)
		return w->nvml_rc;
	pthread_mutex_lock(&w->lock);
	started++;
	pthread_mutex_unlock(&w->lock);
	return NVML_OK;
}

FACE int nvmlInit_v2(void)
{
	return nvmlInitWithFlags(0);
}

FACE int nvmlShutdown(void)
{
	struct world *w = world();
	int rc;

	pthread_mutex_lock(&w->lock);
	rc = started ? NVML_OK : NVML_UNINITIALIZED;
	started -= started > 0;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static int put_text(const char *text, char *out, unsigned room)
{
	if (strlen(text) >= room)
		return NVML_INSUFFICIENT_SIZE;
	memcpy(out, text, strlen(text) + 1);
	return NVML_OK;
}

FACE int nvmlSystemGetDriverVersion(char *out, unsigned room)
{
	return started ? put_text(world()->nvml_driver, out, room) : NVML_UNINITIALIZED;
}

FACE int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
	*version = world()->driver;
	return NVML_OK;
}

/* ---- identity ------------------------------------------------------------------------------ */

FACE int nvmlDeviceGetCount_v2(unsigned *count)
{
	if (!started)
		return NVML_UNINITIALIZED;
	*count = (unsigned)world()->gpu_count;
	return NVML_OK;
}

/* How many GPUs have a lower PCI address. */
static unsigned place_of(const struct gpu *g)
{
	const struct world *w = world();
	unsigned before = 0;

	for (int i = 0; i < w->gpu_count; i++)
		before += strcmp(w->gpus[i].pci, g->pci) < 0;
	return before;
}

FACE int nvmlDeviceGetHandleByIndex_v2(unsigned index, NVML_GPU *handle)
{
	struct world *w = world();

	if (!started)
		return NVML_UNINITIALIZED;
	for (int i = 0; i < w->gpu_count; i++)
		if (place_of(&w->gpus[i]) == index) {
			*handle = (NVML_GPU)&w->gpus[i];
			return w->gpus[i].lost ? NVML_GPU_IS_LOST : NVML_OK;
		}
	return NVML_INVALID_ARGUMENT;
}

/* Domains come with four or eight digits. */
FACE int nvmlDeviceGetHandleByPciBusId_v2(const char *id, NVML_GPU *handle)
{
	struct world *w = world();
	const char *colon = strchr(id, ':');

	if (!started)
		return NVML_UNINITIALIZED;
	if (!colon || colon - id < 4)
		return NVML_INVALID_ARGUMENT;
	for (int i = 0; i < w->gpu_count; i++)
		if (!strcasecmp(w->gpus[i].pci, colon - 4)) {
			*handle = (NVML_GPU)&w->gpus[i];
			return w->gpus[i].lost ? NVML_GPU_IS_LOST : NVML_OK;
		}
	return NVML_NOT_FOUND;
}

void nvml_pci_of(const char *address, struct nvml_pci *pci)
{
	unsigned function;

	memset(pci, 0, sizeof(*pci));
	if (sscanf(address, "%x:%x:%x.%x", &pci->domain, &pci->bus, &pci->device, &function) != 4)
		double_die("'%s' is no PCI address", address);
	pci->ids = 0x000010de; /* vendor NVIDIA; the device is not modelled */
	snprintf(pci->legacy, sizeof(pci->legacy), "%04X:%02X:%02X.%X", pci->domain & 0xffff,
		 pci->bus & 0xff, pci->device & 0x1f, function & 7);
	snprintf(pci->text, sizeof(pci->text), "%08X:%02X:%02X.%X", pci->domain, pci->bus & 0xff,
		 pci->device & 0x1f, function & 7);
}

#define SET(out, value) (*(out) = (value), NVML_OK)

FACE int nvmlDeviceGetPciInfo_v3(NVML_GPU handle, struct nvml_pci *pci)
{
	ANSWER(handle, (nvml_pci_of(g->pci, pci), NVML_OK));
}

#define TEXT_ANSWER(function, field)                                                               \
	FACE int function(NVML_GPU handle, char *out, unsigned room)                               \
	{                                                                                          \
		ANSWER(handle, put_text(field, out, room));                                        \
	}
TEXT_ANSWER(nvmlDeviceGetUUID, g->uuid)
TEXT_ANSWER(nvmlDeviceGetName, g->model)
TEXT_ANSWER(nvmlDeviceGetSerial, g->serial)
TEXT_ANSWER(nvmlDeviceGetVbiosVersion, g->vbios)
TEXT_ANSWER(nvmlDeviceGetBoardPartNumber, g->board)
TEXT_ANSWER(nvmlDeviceGetInforomImageVersion, "G000.0000.00.00")

/* ---- memory -------------------------------------------------------------------------------- */

static uint64_t used_of(const struct gpu *g)
{
	return g->used + (g->free_most < g->mem ? g->mem - g->free_most : 0);
}

FACE int nvmlDeviceGetMemoryInfo(NVML_GPU handle, struct nvml_memory *m)
{
	ANSWER(handle,
	       SET(m, ((struct nvml_memory){ g->shown, g->shown - used_of(g), used_of(g) })));
}

static int memory2(const struct gpu *g, struct nvml_memory2 *m)
{
	if (m->version != NVML_MEMORY2)
		return NVML_ARGUMENT_VERSION;
	m->total = g->shown;
	m->reserved = 0;
	m->used = used_of(g);
	m->free = g->shown - m->used;
	return NVML_OK;
}

FACE int nvmlDeviceGetMemoryInfo_v2(NVML_GPU handle, struct nvml_memory2 *m)
{
	ANSWER(handle, memory2(g, m));
}

FACE int nvmlDeviceGetEccMode(NVML_GPU handle, unsigned *now, unsigned *pending)
{
	ANSWER(handle, SET(now, *pending = (unsigned)g->ecc));
}

static int ecc_errors(const struct gpu *g, unsigned type, unsigned long long *count)
{
	if (!g->ecc)
		return NVML_NOT_SUPPORTED;
	*count = type == NVML_ECC_CORRECTED ? g->ecc_corrected : g->ecc_uncorrected;
	return NVML_OK;
}

FACE int nvmlDeviceGetTotalEccErrors(NVML_GPU handle, unsigned type, unsigned counter,
				     unsigned long long *count)
{
	(void)counter;
	ANSWER(handle, ecc_errors(g, type, count));
}

static int rows(const struct gpu *g, unsigned **out)
{
	for (int i = 0; i < 4; i++)
		*out[i] = (unsigned)g->remapped[i];
	return NVML_OK;
}

FACE int nvmlDeviceGetRemappedRows(NVML_GPU handle, unsigned *correctable, unsigned *uncorrectable,
				   unsigned *pending, unsigned *failure)
{
	unsigned *out[] = { correctable, uncorrectable, pending, failure };

	ANSWER(handle, rows(g, out));
}

/* GPUs since 8.0 remap rows and do not retire pages. */
FACE int nvmlDeviceGetRetiredPages(NVML_GPU handle, unsigned cause, unsigned *count,
				   unsigned long long *addresses)
{
	(void)cause;
	(void)addresses;
	ANSWER(handle, g->cc >= 80 ? NVML_NOT_SUPPORTED : SET(count, 0));
}

/* ---- sensors ------------------------------------------------------------------------------- */

static int is_busy(const struct gpu *g)
{
	return g->running > 0 || real_now() < g->busy_until;
}

/* What dense work draws: a little less than the limit, which the real one approaches from below. */
static double power_now(const struct gpu *g)
{
	return is_busy(g) ? g->power_limit * 0.98 : g->power_idle;
}

/* Energy grows by the power of now for the time since it was asked last. */
static double energy_now(struct gpu *g)
{
	double now = real_now();

	g->energy += (now - g->energy_at) * power_now(g);
	g->energy_at = now;
	return g->energy;
}

unsigned nvml_temperature(const struct gpu *g)
{
	return (unsigned)(g->temperature + (is_busy(g) ? 25 : 0));
}

/* An idle GPU lowers its clock, to about a fifth. */
static unsigned clock_now(const struct gpu *g, unsigned which)
{
	if (which == NVML_CLOCK_MEMORY)
		return (unsigned)g->memory_clock;
	return (unsigned)(is_busy(g) ? g->sm_clock : g->sm_clock / 5);
}

/* The reasons of the scenario show in the given share of the answers, evenly spread. */
static unsigned long long reasons_now(struct gpu *g)
{
	unsigned asked = g->throttle_asked;

	if (!is_busy(g))
		return 1; /* idle */
	g->throttle_asked++;
	if ((unsigned)((asked + 1) * g->throttle_share) == (unsigned)(asked * g->throttle_share))
		return 0;
	return g->throttle;
}

FACE int nvmlDeviceGetTemperature(NVML_GPU handle, unsigned sensor, unsigned *out)
{
	ANSWER(handle, sensor ? NVML_INVALID_ARGUMENT : SET(out, nvml_temperature(g)));
}

FACE int nvmlDeviceGetTemperatureThreshold(NVML_GPU handle, unsigned which, unsigned *out)
{
	ANSWER(handle, which == NVML_THRESHOLD_SLOWDOWN ? SET(out, (unsigned)g->slowdown)
							: NVML_NOT_SUPPORTED);
}

FACE int nvmlDeviceGetPowerUsage(NVML_GPU handle, unsigned *mw)
{
	ANSWER(handle, SET(mw, (unsigned)(power_now(g) * 1000)));
}

FACE int nvmlDeviceGetEnforcedPowerLimit(NVML_GPU handle, unsigned *mw)
{
	ANSWER(handle, SET(mw, (unsigned)(g->power_limit * 1000)));
}

FACE int nvmlDeviceGetPowerManagementDefaultLimit(NVML_GPU handle, unsigned *mw)
{
	ANSWER(handle, SET(mw, (unsigned)(g->power_default * 1000)));
}

FACE int nvmlDeviceGetTotalEnergyConsumption(NVML_GPU handle, unsigned long long *mj)
{
	ANSWER(handle, SET(mj, (unsigned long long)(energy_now(g) * 1000)));
}

FACE int nvmlDeviceGetClockInfo(NVML_GPU handle, unsigned which, unsigned *mhz)
{
	ANSWER(handle, SET(mhz, clock_now(g, which)));
}

FACE int nvmlDeviceGetMaxClockInfo(NVML_GPU handle, unsigned which, unsigned *mhz)
{
	ANSWER(handle,
	       SET(mhz, (unsigned)(which == NVML_CLOCK_MEMORY ? g->memory_clock : g->sm_clock)));
}

FACE int nvmlDeviceGetCurrentClocksEventReasons(NVML_GPU handle, unsigned long long *out)
{
	ANSWER(handle, SET(out, reasons_now(g)));
}

FACE int nvmlDeviceGetCurrentClocksThrottleReasons(NVML_GPU handle, unsigned long long *out)
{
	ANSWER(handle, SET(out, reasons_now(g)));
}

/* ---- state --------------------------------------------------------------------------------- */

static int mig_mode(const struct gpu *g, unsigned *now, unsigned *pending)
{
	if (g->display)
		return NVML_NOT_SUPPORTED;
	*now = *pending = (unsigned)g->mig;
	return NVML_OK;
}

FACE int nvmlDeviceGetMigMode(NVML_GPU handle, unsigned *now, unsigned *pending)
{
	ANSWER(handle, mig_mode(g, now, pending));
}

FACE int nvmlDeviceGetPersistenceMode(NVML_GPU handle, unsigned *mode)
{
	ANSWER(handle, SET(mode, 1));
}

FACE int nvmlDeviceGetComputeMode(NVML_GPU handle, unsigned *mode)
{
	ANSWER(handle, SET(mode, (unsigned)g->exclusive));
}

/* Those of the scenario, and this one while it has a context. */
static int processes(const struct gpu *g, unsigned *count, struct nvml_process *out)
{
	unsigned all = (unsigned)g->process_count + (g->context.retained > 0), room = *count;

	*count = all;
	if (all > room)
		return NVML_INSUFFICIENT_SIZE;
	memset(out, 0, sizeof(*out) * all);
	for (int i = 0; i < g->process_count; i++) {
		out[i].pid = g->processes[i].pid;
		out[i].used = g->processes[i].used;
	}
	if (g->context.retained) {
		out[all - 1].pid = (uint32_t)getpid();
		out[all - 1].used = g->used;
	}
	for (unsigned i = 0; i < all; i++) /* no MIG instance */
		out[i].gpu_instance = out[i].compute_instance = UINT32_MAX;
	return NVML_OK;
}

FACE int nvmlDeviceGetComputeRunningProcesses_v3(NVML_GPU handle, unsigned *count,
						 struct nvml_process *out)
{
	ANSWER(handle, processes(g, count, out));
}

FACE int nvmlDeviceGetPcieReplayCounter(NVML_GPU handle, unsigned *count)
{
	ANSWER(handle, SET(count, 0));
}
