/*
 * gpu_list.c - which GPUs are there, and which of them this process can compute on.
 *
 * Three sources are laid over each other by PCI address, since each may hide GPUs that another
 * shows: sysfs, NVML and CUDA. A GPU that cannot be used stays in the list with its reason, so that
 * a missing one is never taken for one that was not bought.
 */
#include "kernels/cuda.h"
#include "kernels/nvml_inside.h"
#include "kernels/pci.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VENDOR_NVIDIA = 0x10de };
enum { OLDEST_CAPABILITY = 80 }; /* of the PTX that CMakeLists.txt builds */

/* Says why a GPU cannot be used. */
#define REFUSE(gpu, ...) snprintf((gpu)->why_not, sizeof((gpu)->why_not), __VA_ARGS__)

/* What is known of one GPU while the list is made. */
struct source {
	unsigned vendor; /* 0: not in sysfs */
	struct nvml_device *nvml;
	CUdevice device;
	int cuda_count; /* devices of CUDA at this address: several are parts of it, by MIG */
	int mig;
};

struct maker {
	struct machine *m;
	struct host_gpus *gpus;
	struct source sources[GPUS_MOST];
	struct nvml *nvml;       /* NULL: see nvml_why */
	const struct cuda *cuda; /* NULL: see cuda_why */
	struct error nvml_why, cuda_why;
};

/* ---- the three sources --------------------------------------------------------------------- */

static int gpu_find(const struct host_gpus *gpus, const char *pci)
{
	for (int i = 0; i < gpus->count; i++)
		if (!strcmp(gpus->items[i].pci, pci))
			return i;
	return -1;
}

/* The place of a GPU in the list, made if it is new; -1 when the list is full. */
static int gpu_place(struct host_gpus *gpus, const char *pci)
{
	int i = gpu_find(gpus, pci);
	struct host_gpu *gpu;

	if (i >= 0 || gpus->count == GPUS_MOST)
		return i;
	gpu = &gpus->items[gpus->count];
	snprintf(gpu->pci, sizeof(gpu->pci), "%.15s", pci);
	snprintf(gpu->part, sizeof(gpu->part), "gpu%d", gpus->count);
	gpu->numa = -1;
	return gpus->count++;
}

static int sysfs_read(struct maker *k, struct error *err)
{
	struct pci_parts parts;
	int failed = pci_parts_list(k->m, &parts, err);

	for (int p = 0; !failed && p < parts.count; p++) {
		const struct pci_part *part = &parts.items[p];
		int i = part->kind == PART_GPU ? gpu_place(k->gpus, part->address) : -1;

		if (i < 0)
			continue;
		k->sources[i].vendor = part->vendor;
		snprintf(k->gpus->items[i].model, sizeof(k->gpus->items[i].model), "%04x:%04x",
			 part->vendor, part->device);
	}
	pci_parts_release(&parts);
	return failed;
}

/* In the order of their numbers, which NVML's devices got in the same way. */
static void nvml_read(struct maker *k)
{
	struct nvml_gpu *list = xcalloc(GPUS_MOST, sizeof(*list));
	int count = nvml_gpus(k->nvml, list, GPUS_MOST, &k->nvml_why);

	for (int number = 0; number < GPUS_MOST; number++)
		for (int n = 0; n < count && n < GPUS_MOST; n++) {
			struct nvml_device *d = &k->nvml->devices[n];
			int i = d->number == number ? gpu_place(k->gpus, d->pci) : -1;

			if (i < 0)
				continue;
			k->sources[i].nvml = d;
			k->sources[i].mig = list[n].mig;
			memcpy(k->gpus->items[i].uuid, list[n].uuid, sizeof(list[n].uuid));
			if (*list[n].model)
				memcpy(k->gpus->items[i].model, list[n].model,
				       sizeof(list[n].model));
		}
	free(list);
}

static int cuda_address(const struct cuda *cuda, int ordinal, CUdevice *device, char out[16])
{
	unsigned domain, bus, slot, function;
	char id[32];

	if (cuda->DeviceGet(device, ordinal) != CUDA_SUCCESS ||
	    cuda->DeviceGetPCIBusId(id, sizeof(id), *device) != CUDA_SUCCESS ||
	    sscanf(id, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return -1;
	pci_text(out, domain, bus, slot, function);
	return 0;
}

static void cuda_names(const struct maker *k, int i)
{
	struct host_gpu *gpu = &k->gpus->items[i];
	CUdevice device = k->sources[i].device;
	CUuuid id;
	const unsigned char *b = (const unsigned char *)id.bytes;

	if (k->sources[i].nvml)
		return;
	if (k->cuda->DeviceGetName(gpu->model, sizeof(gpu->model), device) != CUDA_SUCCESS)
		*gpu->model = '\0';
	if (k->cuda->DeviceGetUuid(&id, device) == CUDA_SUCCESS)
		snprintf(gpu->uuid, sizeof(gpu->uuid),
			 "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
			 b[12], b[13], b[14], b[15]);
}

/* In ascending addresses, so that GPUs that only CUDA shows are numbered as all others. */
static void cuda_read(struct maker *k)
{
	char seen[GPUS_MOST][16], name[96];
	CUdevice devices[GPUS_MOST];
	int count = 0, order[GPUS_MOST];
	CUresult rc;

	rc = k->cuda->DeviceGetCount(&count);
	if (rc != CUDA_SUCCESS) {
		error_set(&k->cuda_why, "CUDA lists no GPUs: error %d", (int)rc);
		k->cuda = NULL;
		return;
	}
	k->gpus->cuda_sees = count;
	if (count > GPUS_MOST)
		count = GPUS_MOST;
	for (int c = 0; c < count; c++) {
		int at = c;

		if (cuda_address(k->cuda, c, &devices[c], seen[c]) < 0)
			*seen[c] = '\0';
		for (; at > 0 && strcmp(seen[order[at - 1]], seen[c]) > 0; at--)
			order[at] = order[at - 1];
		order[at] = c;
	}
	for (int c = 0; c < count; c++) {
		const char *pci = seen[order[c]];
		int i = *pci ? gpu_place(k->gpus, pci) : -1;

		if (i < 0)
			continue;
		k->sources[i].device = devices[order[c]];
		k->sources[i].cuda_count++;
		if (k->cuda->DeviceGetName(name, sizeof(name), devices[order[c]]) == CUDA_SUCCESS)
			k->sources[i].mig |= strstr(name, "MIG") != NULL;
		cuda_names(k, i);
	}
}

/* ---- what a usable one can do -------------------------------------------------------------- */

/*
 * Formats of mma in the PTX ISA, by compute capability. fp64 in tensor cores is a thing of the
 * data-centre GPUs 8.0, 9.0 and 10.0 (CUDA C programming guide, compute capabilities).
 */
static unsigned precisions_of(int capability)
{
	unsigned set = 0;

	if (capability >= 80)
		set |= 1U << GPU_TF32 | 1U << GPU_BF16 | 1U << GPU_FP16 | 1U << GPU_INT8;
	if (capability >= 89)
		set |= 1U << GPU_FP8;
	if (capability == 80 || capability == 90 || capability == 100)
		set |= 1U << GPU_FP64;
	return set;
}

/* 0 where CUDA does not tell, with its code in why_not. */
static int attribute(const struct maker *k, int i, CUdevice_attribute which)
{
	int value = 0;
	CUresult rc = k->cuda->DeviceGetAttribute(&value, which, k->sources[i].device);

	if (rc == CUDA_SUCCESS)
		return value;
	REFUSE(&k->gpus->items[i], "CUDA does not tell its properties: error %d", (int)rc);
	return 0;
}

static void gpu_fill(const struct maker *k, int i)
{
	struct host_gpu *gpu = &k->gpus->items[i];
	size_t bytes = 0;

	gpu->capability = attribute(k, i, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
			  attribute(k, i, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
	gpu->sms = attribute(k, i, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
	gpu->l2_bytes = (uint64_t)attribute(k, i, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
	if (k->cuda->DeviceTotalMem(&bytes, k->sources[i].device) == CUDA_SUCCESS)
		gpu->bytes = bytes;
	gpu->precisions = precisions_of(gpu->capability);
}

static int numa_of(const struct machine *m, const char *pci)
{
	char *line = machine_line(m, PCI_DEVICES "/%s/numa_node", pci);
	int numa = line && *line != '-' ? atoi(line) : -1;

	free(line);
	return numa;
}

/* ---- what keeps the others from use --------------------------------------------------------- */

static void mode_refuse(const struct maker *k, int i)
{
	struct host_gpu *gpu = &k->gpus->items[i];
	int mode = attribute(k, i, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
	int others = k->sources[i].nvml ? nvml_foreign(k->nvml, k->sources[i].nvml) : 0;

	if (mode == CU_COMPUTEMODE_PROHIBITED)
		REFUSE(gpu, "its compute mode is prohibited (nvidia-smi -c DEFAULT)");
	else if (mode == CU_COMPUTEMODE_EXCLUSIVE_PROCESS && others > 0)
		REFUSE(gpu, "its compute mode is exclusive, and another process uses it");
}

/* The driver that sysfs shows below a device; "" if there is none. */
static void bound_driver(const struct machine *m, const char *pci, char *out, size_t room)
{
	char *path = machine_path(m, PCI_DEVICES "/%s/driver", pci), *real = realpath(path, NULL);

	snprintf(out, room, "%s", real ? strrchr(real, '/') + 1 : "");
	free(real);
	free(path);
}

static void hidden_refuse(const struct maker *k, int i)
{
	struct host_gpu *gpu = &k->gpus->items[i];
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");
	char health[160], driver[32];
	unsigned mode = NVML_COMPUTE_DEFAULT;

	nvml_health(k->m, gpu->pci, health, sizeof(health));
	if (!k->sources[i].nvml) {
		bound_driver(k->m, gpu->pci, driver, sizeof(driver));
		REFUSE(gpu,
		       "not visible to the driver's libraries here: hidden by a container, or "
		       "off the bus (kernel driver: %s%s%.100s)",
		       *driver ? driver : "none", *health ? "; NVML: " : "", health);
		return;
	}
	if (NVML_CALL(k->nvml, DeviceGetComputeMode, k->sources[i].nvml->handle, &mode) != NVML_OK)
		mode = NVML_COMPUTE_DEFAULT;
	if (*health)
		REFUSE(gpu, "NVML lists it, CUDA does not; NVML: %s", health);
	else if (mode == NVML_COMPUTE_PROHIBITED)
		REFUSE(gpu, "its compute mode is prohibited (nvidia-smi -c DEFAULT)");
	else if (visible)
		REFUSE(gpu, "CUDA_VISIBLE_DEVICES=%.100s hides it", visible);
	else
		REFUSE(gpu, "NVML lists it, CUDA does not, and neither says why");
}

static void gpu_judge(const struct maker *k, int i)
{
	struct host_gpu *gpu = &k->gpus->items[i];
	const struct source *source = &k->sources[i];

	gpu->numa = numa_of(k->m, gpu->pci);
	if (source->vendor && source->vendor != VENDOR_NVIDIA)
		REFUSE(gpu, "not an NVIDIA GPU");
	else if (source->mig)
		REFUSE(gpu, "split by MIG; only whole GPUs are tested (nvidia-smi -mig 0)");
	else if (!k->cuda)
		REFUSE(gpu, "%.239s", k->cuda_why.text);
	else if (!source->cuda_count)
		hidden_refuse(k, i);
	else
		mode_refuse(k, i);
	if (*gpu->why_not)
		return;
	gpu_fill(k, i);
	if (*gpu->why_not)
		return;
	if (gpu->capability < OLDEST_CAPABILITY)
		REFUSE(gpu, "compute capability %d.%d: this build has device code from %d.%d on",
		       gpu->capability / 10, gpu->capability % 10, OLDEST_CAPABILITY / 10,
		       OLDEST_CAPABILITY % 10);
	else
		gpu->usable = 1;
}

/* ---- the list ------------------------------------------------------------------------------ */

static void libraries_read(struct maker *k)
{
	struct host_gpus *gpus = k->gpus;
	struct error ignored; /* an unknown version stays "" */
	struct link_map *map = NULL;
	char *loaded = NULL;

	/* A double that plays a broken driver is one all the same. */
	gpus->simulated = nvml_is_double(k->m->nvml);
	if (k->nvml)
		nvml_driver(k->nvml, gpus->driver, sizeof(gpus->driver));
	if (!*gpus->driver && machine_setting(k->m, "driver", "nvidia", &loaded, &ignored) == 0 &&
	    strcmp(loaded, "absent") != 0)
		snprintf(gpus->driver, sizeof(gpus->driver), "%s", loaded);
	free(loaded);
	if (!k->cuda)
		return;
	gpus->cuda_version = k->cuda->version;
	gpus->simulated |= dlsym(k->cuda->library, "assay_double") != NULL;
	if (dlinfo(k->cuda->library, RTLD_DI_LINKMAP, &map) == 0 && map)
		snprintf(gpus->library, sizeof(gpus->library), "%s", map->l_name);
}

static struct host_gpus *list_make(struct machine *m, struct error *err)
{
	struct maker *k = xcalloc(1, sizeof(*k));
	struct host_gpus *gpus = xcalloc(1, sizeof(*gpus));
	int failed;

	k->m = m;
	k->gpus = gpus;
	k->nvml = nvml_open(m, &k->nvml_why);
	k->cuda = cuda_open(m, &k->cuda_why);
	failed = sysfs_read(k, err);
	if (k->nvml)
		nvml_read(k);
	if (k->cuda)
		cuda_read(k);
	for (int i = 0; i < gpus->count; i++)
		gpu_judge(k, i);
	libraries_read(k);
	if (failed && !k->nvml && !k->cuda) {
		free(gpus);
		gpus = NULL;
	}
	free(k);
	return gpus;
}

const struct host_gpus *machine_gpus(struct machine *m, struct error *err)
{
	struct host_gpus *gpus = __atomic_load_n(&m->gpus, __ATOMIC_ACQUIRE), *made;

	if (gpus)
		return gpus;
	made = list_make(m, err);
	if (!made)
		return NULL;
	/* Another thread may have been faster; its list holds then. */
	if (__atomic_compare_exchange_n(&m->gpus, &gpus, made, 0, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return made;
	free(made);
	return gpus;
}

int gpu_usable(struct machine *m, int gpu, struct error *err)
{
	const struct host_gpus *gpus = machine_gpus(m, err);

	if (!gpus)
		return -1;
	if (gpu < 0 || gpu >= gpus->count)
		return error_set(err, "there is no gpu%d: this node shows %d GPUs", gpu,
				 gpus->count);
	if (!gpus->items[gpu].usable)
		return error_set(err, "gpu%d (%s) cannot be used: %s", gpu, gpus->items[gpu].pci,
				 gpus->items[gpu].why_not);
	return 0;
}

const char *gpu_double_of(const struct machine *m)
{
	if (m->gpus && m->gpus->simulated)
		return "libcuda or NVML is a double";
	return m->nvml && nvml_is_double(m->nvml) ? "NVML is a double" : NULL;
}
