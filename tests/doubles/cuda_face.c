/*
 * cuda_face.c - devices, contexts, streams and events as libcuda.so.1 shows them.
 *
 * An operation that fails is told by the next call that waits for something, and by every call
 * behind that: on a real GPU an earlier call may tell it too, but a test must be able to count.
 */
#include "tests/doubles/double.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local struct context *current;

#define WITH_DRIVER(call)                                                                          \
	({                                                                                         \
		pthread_mutex_lock(&world()->lock);                                                \
		CUresult rc_ = world()->ready ? (call) : CUDA_ERROR_NOT_INITIALIZED;               \
		pthread_mutex_unlock(&world()->lock);                                              \
		rc_;                                                                               \
	})

/* ---- the driver and its devices ------------------------------------------------------------ */

CUresult cuInit(unsigned flags)
{
	struct world *w = world();

	if (w->stub)
		return CUDA_ERROR_STUB_LIBRARY;
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (!w->visible)
		return CUDA_ERROR_NO_DEVICE;
	pthread_mutex_lock(&w->lock);
	w->ready = 1;
	pthread_mutex_unlock(&w->lock);
	return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version)
{
	if (!version)
		return CUDA_ERROR_INVALID_VALUE;
	*version = world()->driver;
	return CUDA_SUCCESS;
}

static struct gpu *gpu_of(CUdevice device)
{
	struct world *w = world();

	return device >= 0 && device < w->visible ? &w->gpus[w->order[device]] : NULL;
}

static CUresult get_count(int *count)
{
	if (!count)
		return CUDA_ERROR_INVALID_VALUE;
	*count = world()->visible;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
	return WITH_DRIVER(get_count(count));
}

static CUresult get_device(CUdevice *device, int ordinal)
{
	if (!device)
		return CUDA_ERROR_INVALID_VALUE;
	if (!gpu_of(ordinal))
		return CUDA_ERROR_INVALID_DEVICE;
	*device = ordinal;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
	return WITH_DRIVER(get_device(device, ordinal));
}

static CUresult get_name(char *name, int room, const struct gpu *g)
{
	if (!g)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!name || room < 1)
		return CUDA_ERROR_INVALID_VALUE;
	snprintf(name, (size_t)room, "%s%s", g->model, g->mig ? " MIG 1g" : "");
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int room, CUdevice device)
{
	return WITH_DRIVER(get_name(name, room, gpu_of(device)));
}

/* "GPU-00112233-4455-..." is the hexadecimal text of 16 bytes. */
static CUresult get_uuid(CUuuid *uuid, const struct gpu *g)
{
	int nibbles = 0;

	if (!g)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!uuid)
		return CUDA_ERROR_INVALID_VALUE;
	memset(uuid, 0, sizeof(*uuid));
	for (const char *s = g->uuid + 4; *s && nibbles < 32; s++) {
		if (!isxdigit((unsigned char)*s))
			continue;
		int value = *s <= '9' ? *s - '0' : (*s | 32) - 'a' + 10;

		uuid->bytes[nibbles / 2] |= (char)(nibbles % 2 ? value : value << 4);
		nibbles++;
	}
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
	return WITH_DRIVER(get_uuid(uuid, gpu_of(device)));
}

static CUresult total_mem(size_t *bytes, const struct gpu *g)
{
	if (!g)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!bytes)
		return CUDA_ERROR_INVALID_VALUE;
	*bytes = gpu_memory(g);
	return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device)
{
	return WITH_DRIVER(total_mem(bytes, gpu_of(device)));
}

static unsigned pci_field(const struct gpu *g, int which)
{
	unsigned v[3];

	if (sscanf(g->pci, "%x:%x:%x", &v[0], &v[1], &v[2]) != 3)
		double_die("'%s' is no PCI address", g->pci);
	return v[which];
}

static int attribute_of(const struct gpu *g, CUdevice_attribute what, int *value)
{
	const struct {
		CUdevice_attribute what;
		int value;
	} all[] = {
		{ CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024 },
		{ CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024 },
		{ CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647 },
		{ CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048 },
		{ CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, g->mig ? (g->sms + 6) / 7 : g->sms },
		{ CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, g->cc / 10 },
		{ CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, g->cc % 10 },
		{ CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, (int)g->l2 },
		{ CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32 },
		{ CU_DEVICE_ATTRIBUTE_CLOCK_RATE, g->sm_clock * 1000 },
		{ CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, g->memory_clock * 1000 },
		{ CU_DEVICE_ATTRIBUTE_ECC_ENABLED, g->ecc },
		{ CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, (int)pci_field(g, 0) },
		{ CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, (int)pci_field(g, 1) },
		{ CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, (int)pci_field(g, 2) },
		{ CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1 },
		{ CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1 },
		{ CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1 },
		{ CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, g->exclusive },
		{ CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 3 },
		{ CU_DEVICE_ATTRIBUTE_INTEGRATED, 0 },
		{ CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT, g->display },
		{ CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1 },
		{ CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 48 * 1024 },
		{ CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, (int)gpu_shared_most(g) },
		{ CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, g->numa },
	};

	for (size_t i = 0; i < COUNT(all); i++)
		if (all[i].what == what) {
			*value = all[i].value;
			return 1;
		}
	return 0;
}

static CUresult get_attribute(int *value, CUdevice_attribute what, const struct gpu *g)
{
	if (!g)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!value)
		return CUDA_ERROR_INVALID_VALUE;
	if (attribute_of(g, what, value))
		return CUDA_SUCCESS;
	fprintf(stderr, "assay double: attribute %d of a device is not modelled\n", (int)what);
	return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute what, CUdevice device)
{
	return WITH_DRIVER(get_attribute(value, what, gpu_of(device)));
}

static CUresult get_pci(char *id, int room, const struct gpu *g)
{
	if (!g)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!id || room < 13)
		return CUDA_ERROR_INVALID_VALUE;
	for (int i = 0; i < 13; i++)
		id[i] = (char)toupper((unsigned char)g->pci[i]);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char *id, int room, CUdevice device)
{
	return WITH_DRIVER(get_pci(id, room, gpu_of(device)));
}

/* Display adapters and MIG instances have no peers. */
static int peers_can(const struct gpu *a, const struct gpu *b)
{
	return a != b && !a->display && !b->display && !a->mig && !b->mig &&
	       !world()->no_peer[a->number][b->number];
}

static CUresult can_peer(int *can, const struct gpu *a, const struct gpu *b)
{
	if (!a || !b)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!can)
		return CUDA_ERROR_INVALID_VALUE;
	*can = peers_can(a, b);
	return CUDA_SUCCESS;
}

CUresult cuDeviceCanAccessPeer(int *can, CUdevice a, CUdevice b)
{
	return WITH_DRIVER(can_peer(can, gpu_of(a), gpu_of(b)));
}

/* ---- contexts ------------------------------------------------------------------------------ */

CUresult context_check(void)
{
	if (!world()->ready)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (!current || !current->retained)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (current->gpu->lost)
		return CUDA_ERROR_UNKNOWN;
	return current->poisoned;
}

CUresult context_told(struct context *c)
{
	if (c->gpu->lost)
		return CUDA_ERROR_UNKNOWN;
	if (c->failing)
		c->poisoned = c->failing;
	return c->poisoned;
}

/* 3 is exclusive to one process, 2 prohibited, as NVML counts. */
static int mode_forbids(const struct gpu *g)
{
	return g->exclusive == 2 || (g->exclusive == 3 && g->process_count);
}

static CUresult retain(CUcontext *out, struct gpu *g)
{
	const struct fault *f;
	CUresult rc;

	if (!g)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!out)
		return CUDA_ERROR_INVALID_VALUE;
	rc = fault_meet(OP_CTX, NULL, g, NULL, &f);
	if (rc)
		return rc;
	if (g->lost)
		return CUDA_ERROR_UNKNOWN;
	if (mode_forbids(g))
		return CUDA_ERROR_DEVICE_UNAVAILABLE;
	g->context.magic = CONTEXT_MAGIC;
	g->context.gpu = g;
	g->context.retained++;
	if (!g->context.null_stream)
		g->context.null_stream = stream_new(&g->context, 1);
	*out = (CUcontext)&g->context;
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device)
{
	return WITH_DRIVER(retain(out, gpu_of(device)));
}

/* The last release ends the context: its faults, streams, modules, memory and peers go with it. */
static CUresult release(struct gpu *g)
{
	if (!g)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!g->context.retained)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (--g->context.retained)
		return CUDA_SUCCESS;
	for (struct stream *s = streams(); s; s = s->next)
		if (s->context == &g->context && s->magic) {
			s->magic = 0;
			s->abandoned = 1;
			pthread_cond_signal(&s->work);
		}
	memory_end(g);
	g->context.life++;
	g->context.null_stream = NULL;
	g->context.failing = g->context.poisoned = CUDA_SUCCESS;
	memset(g->context.peers, 0, sizeof(g->context.peers));
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
	return WITH_DRIVER(release(gpu_of(device)));
}

static struct context *context_of(CUcontext handle)
{
	struct context *c = (struct context *)handle;

	return c && c->magic == CONTEXT_MAGIC && c->retained ? c : NULL;
}

static CUresult set_current(CUcontext handle)
{
	if (handle && !context_of(handle))
		return CUDA_ERROR_INVALID_CONTEXT;
	current = context_of(handle);
	return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext handle)
{
	return WITH_DRIVER(set_current(handle));
}

static CUresult synchronize(void)
{
	CUresult rc = wait_faults();

	if (rc)
		return rc;
	context_wait(current);
	return context_told(current);
}

CUresult cuCtxSynchronize(void)
{
	return WITH_CONTEXT(synchronize());
}

static CUresult enable_peer(CUcontext handle)
{
	struct context *c = context_of(handle);

	if (!c || c == current)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!peers_can(current->gpu, c->gpu))
		return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
	if (current->peers[c->gpu->number])
		return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
	current->peers[c->gpu->number] = 1;
	return CUDA_SUCCESS;
}

CUresult cuCtxEnablePeerAccess(CUcontext handle, unsigned flags)
{
	return flags ? CUDA_ERROR_INVALID_VALUE : WITH_CONTEXT(enable_peer(handle));
}

static CUresult disable_peer(CUcontext handle)
{
	struct context *c = context_of(handle);

	if (!c)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!current->peers[c->gpu->number])
		return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
	current->peers[c->gpu->number] = 0;
	return CUDA_SUCCESS;
}

CUresult cuCtxDisablePeerAccess(CUcontext handle)
{
	return WITH_CONTEXT(disable_peer(handle));
}
