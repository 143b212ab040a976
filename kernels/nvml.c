/*
 * nvml.c - opens NVML and knows its devices.
 *
 * GPUs are numbered here, once, when the library is opened: as sysfs numbers them, and those that
 * only NVML shows (a container may hide PCI devices) behind them. Later a GPU may vanish from
 * sysfs, and the others must keep their numbers.
 */
#include "kernels/nvml_inside.h"
#include "kernels/pci.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NVML_ROW(name, arguments) { "nvml" #name, offsetof(struct nvml, name) },
static const struct {
	const char *name;
	size_t offset;
} functions[] = { NVML_FUNCTIONS(NVML_ROW) };

#define CODE_ROW(id, number, words) { number, words },
static const struct {
	int code;
	const char *words;
} codes[] = { NVML_CODES(CODE_ROW) };

const char *nvml_words(int code, char out[120])
{
	const char *words = "an error this program does not know";

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == code)
			words = codes[i].words;
	snprintf(out, 120, "%s (NVML %d)", words, code);
	return out;
}

void pci_text(char out[16], unsigned domain, unsigned bus, unsigned device, unsigned function)
{
	snprintf(out, 16, "%04x:%02x:%02x.%x", domain, bus & 0xff, device & 0x1f, function & 7);
}

/* ---- opening ------------------------------------------------------------------------------- */

static int library_load(struct machine *m, struct nvml *n)
{
	static const char name[] = "libnvidia-ml.so.1";
	char *path = *m->root ? machine_path(m, "/lib/%s", name) : xstrdup(name);

	if (*m->root && access(path, F_OK) < 0)
		error_set(&n->why_not, "the recorded machine has no driver library (/lib/%s)",
			  name);
	else if (!(n->library = dlopen(path, RTLD_NOW | RTLD_LOCAL)))
		error_set(&n->why_not, "no NVIDIA driver library: %s", dlerror());
	free(path);
	if (!n->library)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *symbol = dlsym(n->library, functions[i].name);

		memcpy((char *)n + functions[i].offset, &symbol, sizeof(symbol));
	}
	n->is_double = dlsym(n->library, "assay_double") != NULL;
	return 0;
}

/* Without GPUs it is no error here: the list is empty then. */
static int library_init(struct nvml *n)
{
	int code = n->InitWithFlags ? n->InitWithFlags(NVML_INIT_NO_GPUS) : NVML_CALL(n, Init_v2);
	char words[120];

	if (code == NVML_OK)
		return 0;
	return error_set(&n->why_not, "NVML does not start: %s", nvml_words(code, words));
}

/* A GPU that is in trouble may refuse its handle; it stays out, and nvml_health() says why. */
static int devices_list(struct nvml *n)
{
	struct nvml_pci pci;
	unsigned count = 0;
	int code = NVML_CALL(n, DeviceGetCount_v2, &count);
	char words[120];

	if (code != NVML_OK)
		return error_set(&n->why_not, "NVML lists no GPUs: %s", nvml_words(code, words));
	for (unsigned i = 0; i < count && n->device_count < GPUS_MOST; i++) {
		struct nvml_device *d = &n->devices[n->device_count];

		if (NVML_CALL(n, DeviceGetHandleByIndex_v2, i, &d->handle) != NVML_OK ||
		    NVML_CALL(n, DeviceGetPciInfo_v3, d->handle, &pci) != NVML_OK)
			continue;
		pci_text(d->pci, pci.domain, pci.bus, pci.device, 0);
		n->device_count++;
	}
	return 0;
}

/* 1 for a display adapter, which comes behind those that compute, as it does in pci.c. */
static int is_display(const struct nvml *n, const struct nvml_device *d)
{
	enum { DISPLAY = 0x03, VGA_COMPATIBLE = 0x00 };
	struct nvml_pci_class pci = { .version = NVML_PCI_CLASS };

	return NVML_CALL(n, DeviceGetPciInfoExt, d->handle, &pci) == NVML_OK &&
	       pci.base == DISPLAY && pci.sub == VGA_COMPATIBLE;
}

/* Those that sysfs does not show, from number `next` on. */
static void devices_number_hidden(struct nvml *n, int next)
{
	for (int display = 0; display < 2; display++)
		for (;;) {
			struct nvml_device *first = NULL;

			for (int i = 0; i < n->device_count; i++) {
				struct nvml_device *d = &n->devices[i];

				if (d->number < 0 && (display || !is_display(n, d)) &&
				    (!first || strcmp(d->pci, first->pci) < 0))
					first = d;
			}
			if (!first)
				break;
			first->number = next++;
		}
}

static void devices_number(struct machine *m, struct nvml *n)
{
	struct pci_parts parts;
	struct error ignored; /* sysfs shows nothing then */
	int in_sysfs = 0;

	pci_parts_list(m, &parts, &ignored);
	for (int i = 0; i < n->device_count; i++)
		n->devices[i].number = -1;
	for (int k = 0; k < parts.count; k++) {
		struct nvml_device *d = nvml_at(n, parts.items[k].address);

		if (parts.items[k].kind != PART_GPU)
			continue;
		in_sysfs++;
		if (d)
			d->number = parts.items[k].number;
	}
	pci_parts_release(&parts);
	devices_number_hidden(n, in_sysfs);
}

static void library_close(struct nvml *n)
{
	if (n->is_open) {
		xids_close(n);
		NVML_CALL(n, Shutdown);
	}
	if (n->library)
		dlclose(n->library);
	n->library = NULL;
	n->is_open = 0;
}

static void library_open(struct machine *m, struct nvml *n)
{
	n->tried = 1;
	if (library_load(m, n) < 0)
		return;
	if (library_init(n) < 0) {
		library_close(n);
		return;
	}
	n->is_open = 1;
	if (devices_list(n) < 0) {
		library_close(n);
		return;
	}
	devices_number(m, n);
	xids_open(m, n);
}

/* Two threads may ask at once; the one that comes second takes what the first has made. */
static struct nvml *state_of(struct machine *m)
{
	struct nvml *n = __atomic_load_n(&m->nvml, __ATOMIC_ACQUIRE), *made;

	if (n)
		return n;
	made = xcalloc(1, sizeof(*made));
	made->kernel_log = -1;
	pthread_mutex_init(&made->lock, NULL);
	if (__atomic_compare_exchange_n(&m->nvml, &n, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return made;
	pthread_mutex_destroy(&made->lock);
	free(made);
	return n;
}

struct nvml *nvml_open(struct machine *m, struct error *err)
{
	struct nvml *n = state_of(m);
	int is_open;

	pthread_mutex_lock(&n->lock);
	if (!n->tried)
		library_open(m, n);
	is_open = n->is_open;
	pthread_mutex_unlock(&n->lock);
	if (is_open)
		return n;
	*err = n->why_not;
	return NULL;
}

void nvml_close(struct machine *m)
{
	struct nvml *n = m->nvml;

	if (!n)
		return;
	library_close(n);
	pthread_mutex_destroy(&n->lock);
	free(n);
	m->nvml = NULL;
}

int nvml_is_double(struct nvml *n)
{
	return n->is_double;
}

/* ---- devices ------------------------------------------------------------------------------- */

struct nvml_device *nvml_at(struct nvml *n, const char *pci)
{
	for (int i = 0; i < n->device_count; i++)
		if (!strcmp(n->devices[i].pci, pci))
			return &n->devices[i];
	return NULL;
}

struct nvml_device *nvml_numbered(struct machine *m, int gpu, struct nvml **n, struct error *err)
{
	const struct host_gpus *gpus = __atomic_load_n(&m->gpus, __ATOMIC_ACQUIRE);
	char health[160] = "";

	*n = nvml_open(m, err);
	if (!*n)
		return NULL;
	for (int i = 0; i < (*n)->device_count; i++)
		if ((*n)->devices[i].number == gpu)
			return &(*n)->devices[i];
	if (gpus && gpu >= 0 && gpu < gpus->count)
		nvml_health(m, gpus->items[gpu].pci, health, sizeof(health));
	error_set(err, "NVML does not list gpu%d: %s", gpu,
		  *health ? health : "hidden from here, or off the bus");
	return NULL;
}

int nvml_mig_on(const struct nvml *n, const struct nvml_device *d)
{
	unsigned current = 0, pending;

	return NVML_CALL(n, DeviceGetMigMode, d->handle, &current, &pending) == NVML_OK && current;
}

int nvml_gpus(struct nvml *n, struct nvml_gpu *gpus, int room, struct error *err)
{
	(void)err; /* what could fail failed when it was opened */
	for (int i = 0; i < n->device_count && i < room; i++) {
		const struct nvml_device *d = &n->devices[i];

		memset(&gpus[i], 0, sizeof(gpus[i]));
		memcpy(gpus[i].pci, d->pci, sizeof(gpus[i].pci));
		if (NVML_CALL(n, DeviceGetUUID, d->handle, gpus[i].uuid, sizeof(gpus[i].uuid)))
			*gpus[i].uuid = '\0';
		if (NVML_CALL(n, DeviceGetName, d->handle, gpus[i].model, sizeof(gpus[i].model)))
			*gpus[i].model = '\0';
		gpus[i].mig = nvml_mig_on(n, d);
	}
	return n->device_count;
}

void nvml_driver(struct nvml *n, char *out, size_t room)
{
	if (NVML_CALL(n, SystemGetDriverVersion, out, (unsigned)room) != NVML_OK)
		*out = '\0';
}

int nvml_value(const struct nvml *n, const struct nvml_device *d, unsigned field, unsigned scope,
	       double *value)
{
	struct nvml_field f = { .id = field, .scope = scope };
	int code = NVML_CALL(n, DeviceGetFieldValues, d->handle, 1, &f);

	if (code == NVML_OK)
		code = f.code;
	if (code != NVML_OK)
		return code;
	*value = f.type == NVML_VALUE_DOUBLE           ? f.value.real
		 : f.type == NVML_VALUE_UNSIGNED       ? f.value.u32
		 : f.type == NVML_VALUE_LONG_LONG      ? (double)f.value.s64
		 : f.type == NVML_VALUE_INT            ? f.value.s32
		 : f.type == NVML_VALUE_UNSIGNED_SHORT ? f.value.u16
						       : (double)f.value.u64;
	return NVML_OK;
}

int nvml_link_bound(const struct nvml *n, const struct nvml_device *d)
{
	double count;

	if (nvml_value(n, d, NVML_FIELD_LINK_COUNT, 0, &count) != NVML_OK || !(count >= 0))
		return NVML_LINKS_MOST;
	return count < LINKS_ROOM ? (int)count : LINKS_ROOM;
}

int nvml_memory_of(const struct nvml *n, const struct nvml_device *d, uint64_t *total,
		   uint64_t *used)
{
	struct nvml_memory2 memory = { .version = NVML_MEMORY2 };
	struct nvml_memory old;
	int code = NVML_CALL(n, DeviceGetMemoryInfo_v2, d->handle, &memory);

	if (code != NVML_OK) {
		code = NVML_CALL(n, DeviceGetMemoryInfo, d->handle, &old);
		memory.total = code == NVML_OK ? old.total : 0;
		memory.used = code == NVML_OK ? old.used : 0;
	}
	*total = memory.total;
	*used = memory.used;
	return code;
}

static int is_family(unsigned pid)
{
	return pid && (pid == (unsigned)getpid() || getpgid((pid_t)pid) == getpgrp());
}

int nvml_foreign(const struct nvml *n, const struct nvml_device *d)
{
	enum { MOST = 256 };
	struct nvml_process *processes = xcalloc(MOST, sizeof(*processes));
	unsigned count = MOST;
	int foreign = 0;

	if (NVML_CALL(n, DeviceGetComputeRunningProcesses_v3, d->handle, &count, processes))
		foreign = -1;
	for (unsigned i = 0; foreign >= 0 && i < count && i < MOST; i++)
		foreign += !is_family(processes[i].pid);
	free(processes);
	return foreign;
}

/* ---- health -------------------------------------------------------------------------------- */

/* nvmlDeviceGpuRecoveryAction_t. */
static const char *const recoveries[] = {
	NULL,
	"a reset of the GPU",
	"a reboot of the node",
	"to drain its peer-to-peer traffic",
	"to drain and reset the GPU",
};

void nvml_health(struct machine *m, const char *pci, char *out, size_t room)
{
	struct nvml_device lone = { .number = -1 };
	const struct nvml_device *d;
	struct error err;
	struct nvml *n = nvml_open(m, &err);
	char words[120];
	unsigned celsius;
	double action;
	int code = NVML_OK;

	*out = '\0';
	if (!n) {
		/* whoever calls says "NVML" in front of it */
		snprintf(out, room, "%s", err.text + (strncmp(err.text, "NVML ", 5) ? 0 : 5));
		return;
	}
	d = nvml_at(n, pci);
	if (!d) {
		code = NVML_CALL(n, DeviceGetHandleByPciBusId_v2, pci, &lone.handle);
		d = &lone;
	}
	/* Reading a sensor must go to the GPU itself; what NVML keeps in memory proves nothing. */
	if (code == NVML_OK)
		code = NVML_CALL(n, DeviceGetTemperature, d->handle, NVML_TEMPERATURE_GPU,
				 &celsius);
	if (code != NVML_OK && code != NVML_NOT_SUPPORTED && code != NVML_NO_FUNCTION)
		snprintf(out, room, "%s", nvml_words(code, words));
	else if (nvml_value(n, d, NVML_FIELD_RECOVERY_ACTION, 0, &action) == NVML_OK &&
		 action >= 1 && action < (double)ARRAY_SIZE(recoveries))
		snprintf(out, room, "the driver asks for %s", recoveries[(int)action]);
}
