/*
 * cuda.c - opens libcuda, holds one primary context a GPU, and turns its errors into sentences.
 *
 * The device code is loaded whole when a context is made: since CUDA 12.2 a driver loads a kernel
 * only when somebody first asks for it, and that may wait for work that is running. A timing that
 * holds the GPU behind a waiting kernel would then never start.
 */
#include "kernels/cuda.h"
#include "kernels/gpu/device.h"
#include "kernels/nvml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* image.S */
extern const char gpu_fatbin[], gpu_ptx[];

struct held {
	struct gpu_context context;
	int hangs; /* releasing it would wait for it */
};

struct cuda_state {
	pthread_mutex_t lock; /* recursive */
	int tried, is_open;
	struct error why_not;
	struct cuda cuda;
	PFN_cuGetProcAddress_v12000 find;
	PFN_cuGetProcAddress_v11030 find_old;
	/* without these a driver waits less politely, and the image is named by the GPU */
	PFN_cuDevicePrimaryCtxGetState_v7000 primary_state;
	PFN_cuDevicePrimaryCtxSetFlags_v11000 primary_flags;
	PFN_cuFuncGetAttribute_v2020 function_attribute;
	struct held *held[GPUS_MOST];
};

/* ---- errors -------------------------------------------------------------------------------- */

/* What a site engineer should know beside CUDA's own sentence; some of it only at the start. */
static const struct {
	int code, at_start;
	const char *words;
} hints[] = {
	{ CUDA_ERROR_OUT_OF_MEMORY, 0, "do other processes hold its memory?" },
	{ CUDA_ERROR_STUB_LIBRARY, 1, "no driver, only the toolkit's stub library was found" },
	{ 35, 1, "the driver is too old" }, /* cudaErrorInsufficientDriver */
	{ CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER, 0, "the driver is too old" },
	{ CUDA_ERROR_DEVICE_UNAVAILABLE, 0,
	  "its compute mode is prohibited, or exclusive and another process uses it" },
	{ CUDA_ERROR_NO_DEVICE, 1, "the driver shows this process no GPU" },
	{ CUDA_ERROR_INVALID_DEVICE, 0,
	  "its compute mode is prohibited, or exclusive and another process uses it" },
	{ CUDA_ERROR_DEVICE_NOT_LICENSED, 0, "a virtual GPU without a licence" },
	{ CUDA_ERROR_OPERATING_SYSTEM, 1, "may this process open /dev/nvidia*?" },
	{ CUDA_ERROR_SYSTEM_NOT_READY, 0,
	  "the NVSwitch fabric is not ready: is nvidia-fabricmanager running?" },
	{ CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 1,
	  "library and kernel driver differ in version (updated without a reboot?)" },
	{ CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 1,
	  "this GPU takes no forward compatibility package (cuda-compat)" },
	{ CUDA_ERROR_MPS_CONNECTION_FAILED, 0, "an MPS server was to be used and does not answer" },
	{ CUDA_ERROR_UNKNOWN, 1, "is /dev/nvidia-uvm there, and what does the kernel log say?" },
};

static const char *hint_of(int code, int at_start)
{
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		if (hints[i].code == code && hints[i].at_start <= at_start)
			return hints[i].words;
	return NULL;
}

/* "CUDA_ERROR_NO_DEVICE (100), no CUDA-capable device is detected: a hint". */
static void code_words(const struct cuda *cuda, CUresult rc, int at_start, char *out, size_t room)
{
	const char *name = NULL, *text = NULL, *hint = hint_of((int)rc, at_start);

	if (cuda->GetErrorName && cuda->GetErrorName(rc, &name) != CUDA_SUCCESS)
		name = NULL;
	if (cuda->GetErrorString && cuda->GetErrorString(rc, &text) != CUDA_SUCCESS)
		text = NULL;
	snprintf(out, room, "%s (%d)%s%s%s%s", name ? name : "CUDA error", (int)rc,
		 text ? ", " : "", text ? text : "", hint ? ": " : "", hint ? hint : "");
}

/* Its entry in gpus(), which is there before any context is. */
static const struct host_gpu *entry_of(const struct gpu_context *g)
{
	return &__atomic_load_n(&g->m->gpus, __ATOMIC_ACQUIRE)->items[g->gpu];
}

static const char *pci_of(const struct gpu_context *g)
{
	return entry_of(g)->pci;
}

/* Says behind a failure what NVML knows of the GPU. */
static int gpu_blame(const struct gpu_context *g, struct error *err, const char *what)
{
	char health[160], xids[160];

	nvml_health(g->m, pci_of(g), health, sizeof(health));
	nvml_xids(g->m, pci_of(g), xids, sizeof(xids));
	return error_set(err, "gpu%d (%s): %s; NVML: %s%s%s", g->gpu, pci_of(g), what,
			 *health ? health : "the GPU answers", *xids ? "; XID " : "", xids);
}

int gpu_check(const struct gpu_context *g, CUresult rc, struct error *err, const char *fmt, ...)
{
	char what[100], words[260], all[372];
	va_list args;

	if (rc == CUDA_SUCCESS)
		return 0;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	code_words(g->cuda, rc, 0, words, sizeof(words));
	snprintf(all, sizeof(all), "%s: %s", what, words);
	return gpu_blame(g, err, all);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* Names that drivers before 11.3 export under another symbol at the ABI that we ask for. */
static const char *const second_versions[] = {
	"cuDeviceGetUuid",
	"cuDeviceTotalMem",
	"cuDevicePrimaryCtxRelease",
	"cuMemGetInfo",
	"cuMemAlloc",
	"cuMemFree",
	"cuMemHostRegister",
	"cuMemcpyHtoD",
	"cuMemHostGetDevicePointer",
	"cuMemcpyDtoH",
	"cuMemcpyHtoDAsync",
	"cuMemcpyDtoHAsync",
	"cuMemcpyDtoDAsync",
	"cuStreamDestroy",
	"cuEventDestroy",
	"cuDevicePrimaryCtxSetFlags",
};

static void *exported(void *library, const char *name)
{
	char second[80];

	for (size_t i = 0; i < ARRAY_SIZE(second_versions); i++)
		if (!strcmp(name, second_versions[i])) {
			snprintf(second, sizeof(second), "%s_v2", name);
			return dlsym(library, second);
		}
	return dlsym(library, name);
}

/* The function of a name as of an ABI, or NULL with CUDA's code in *rc. */
static void *function_find(const struct cuda_state *s, const char *name, int abi, CUresult *rc)
{
	CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SUCCESS;
	void *function = NULL;

	*rc = CUDA_SUCCESS;
	if (s->find)
		*rc = s->find(name, &function, abi, CU_GET_PROC_ADDRESS_DEFAULT, &status);
	else if (s->find_old)
		*rc = s->find_old(name, &function, abi, CU_GET_PROC_ADDRESS_DEFAULT);
	else
		function = exported(s->cuda.library, name);
	return *rc == CUDA_SUCCESS && status == CU_GET_PROC_ADDRESS_SUCCESS ? function : NULL;
}

static void optional_find(const struct cuda_state *s, const char *name, int abi, void *out)
{
	CUresult ignored;
	void *function = function_find(s, name, abi, &ignored);

	memcpy(out, &function, sizeof(function));
}

#define CUDA_ROW(name, abi) { "cu" #name, abi, offsetof(struct cuda, name) },
static const struct {
	const char *name;
	int abi;
	size_t offset;
} functions[] = { CUDA_FUNCTIONS(CUDA_ROW) };

static int functions_find(struct cuda_state *s)
{
	void *symbol = dlsym(s->cuda.library, "cuGetProcAddress_v2");
	char words[260];
	CUresult rc;

	memcpy(&s->find, &symbol, sizeof(symbol));
	symbol = dlsym(s->cuda.library, "cuGetProcAddress");
	memcpy(&s->find_old, &symbol, sizeof(symbol));
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		symbol = function_find(s, functions[i].name, functions[i].abi, &rc);
		memcpy((char *)&s->cuda + functions[i].offset, &symbol, sizeof(symbol));
		if (symbol)
			continue;
		if (rc == CUDA_ERROR_STUB_LIBRARY) {
			code_words(&s->cuda, rc, 1, words, sizeof(words));
			return error_set(&s->why_not, "CUDA does not start: %s", words);
		}
		if (s->cuda.DriverGetVersion)
			s->cuda.DriverGetVersion(&s->cuda.version);
		return error_set(&s->why_not,
				 "the driver (CUDA %d.%d) lacks %s (ABI %d): it is too old",
				 s->cuda.version / 1000, s->cuda.version % 1000 / 10,
				 functions[i].name, functions[i].abi);
	}
	optional_find(s, "cuDevicePrimaryCtxGetState", 7000, &s->primary_state);
	optional_find(s, "cuDevicePrimaryCtxSetFlags", 11000, &s->primary_flags);
	optional_find(s, "cuFuncGetAttribute", 2020, &s->function_attribute);
	optional_find(s, "cuTensorMapEncodeTiled", 12000, &s->cuda.TensorMapEncodeTiled);
	return 0;
}

static int library_load(struct machine *m, struct cuda_state *s)
{
	static const char name[] = "libcuda.so.1";
	char *path = *m->root ? machine_path(m, "/lib/%s", name) : xstrdup(name);

	if (*m->root && access(path, F_OK) < 0)
		error_set(&s->why_not, "the recorded machine has no driver library (/lib/%s)",
			  name);
	else if (!(s->cuda.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)))
		error_set(&s->why_not, "no NVIDIA driver library: %s", dlerror());
	free(path);
	return s->cuda.library ? 0 : -1;
}

static int driver_init(struct cuda_state *s)
{
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");
	CUresult rc = s->cuda.Init(0);
	char words[260];

	if (rc == CUDA_SUCCESS)
		rc = s->cuda.DriverGetVersion(&s->cuda.version);
	if (rc == CUDA_SUCCESS)
		return 0;
	code_words(&s->cuda, rc, 1, words, sizeof(words));
	if (rc == CUDA_ERROR_NO_DEVICE && visible)
		return error_set(&s->why_not,
				 "CUDA does not start: %s; CUDA_VISIBLE_DEVICES=%.60s hides them",
				 words, visible);
	return error_set(&s->why_not, "CUDA does not start: %s", words);
}

static struct cuda_state *state_of(struct machine *m)
{
	struct cuda_state *s = __atomic_load_n(&m->cuda, __ATOMIC_ACQUIRE), *made;
	pthread_mutexattr_t recursive;

	if (s)
		return s;
	made = xcalloc(1, sizeof(*made));
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&made->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	if (__atomic_compare_exchange_n(&m->cuda, &s, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return made;
	pthread_mutex_destroy(&made->lock);
	free(made);
	return s;
}

/*
 * What jobs set for themselves and the driver reads when it starts (CUDA C programming guide,
 * environment variables). The first makes a launch wait for its end, so that a start which waits
 * for the host would never come; with one connection two streams of a GPU follow one another,
 * and rates of both would be added up that never were at one time.
 */
static void settings_drop(void)
{
	static const char *const names[] = { "CUDA_LAUNCH_BLOCKING",
					     "CUDA_DEVICE_MAX_CONNECTIONS" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
}

const struct cuda *cuda_open(struct machine *m, struct error *err)
{
	struct cuda_state *s = state_of(m);

	pthread_mutex_lock(&s->lock);
	if (!s->tried) {
		s->tried = 1;
		settings_drop();
		s->is_open =
			library_load(m, s) == 0 && functions_find(s) == 0 && driver_init(s) == 0;
	}
	pthread_mutex_unlock(&s->lock);
	if (s->is_open)
		return &s->cuda;
	*err = s->why_not;
	return NULL;
}

void cuda_close(struct machine *m)
{
	struct cuda_state *s = m->cuda;

	if (!s)
		return;
	if (s->is_open)
		s->cuda.CtxSetCurrent(NULL);
	for (int i = 0; i < GPUS_MOST; i++) {
		if (s->held[i] && !s->held[i]->hangs)
			s->cuda.DevicePrimaryCtxRelease(s->held[i]->context.device);
		free(s->held[i]);
	}
	/* Threads of a driver that has started may still run in it, above all if a GPU failed. */
	if (s->cuda.library && !s->is_open)
		dlclose(s->cuda.library);
	pthread_mutex_destroy(&s->lock);
	free(s);
	m->cuda = NULL;
}

/* ---- contexts ------------------------------------------------------------------------------ */

/* The device of CUDA at a PCI address. */
static int device_find(const struct cuda *cuda, const char *pci, CUdevice *device,
		       struct error *err)
{
	unsigned at[4], want[4];
	char id[32];
	int count = 0;

	sscanf(pci, "%x:%x:%x.%x", &want[0], &want[1], &want[2], &want[3]);
	if (cuda->DeviceGetCount(&count) != CUDA_SUCCESS)
		count = 0;
	for (int i = 0; i < count; i++)
		if (cuda->DeviceGet(device, i) == CUDA_SUCCESS &&
		    cuda->DeviceGetPCIBusId(id, sizeof(id), *device) == CUDA_SUCCESS &&
		    sscanf(id, "%x:%x:%x.%x", &at[0], &at[1], &at[2], &at[3]) == 4 &&
		    !memcmp(at, want, sizeof(at)))
			return 0;
	return error_set(err, "CUDA no longer lists the GPU at %s", pci);
}

/* The word behind a directive of the embedded PTX: ".version 7.0". */
static void ptx_word(const char *directive, char *out, size_t room)
{
	const char *at = strstr(gpu_ptx, directive);

	at = at ? at + strlen(directive) : "";
	at += strspn(at, " \t");
	snprintf(out, room, "%.*s", (int)strcspn(at, " \t\r\n,"), at);
}

/* What a driver answers that is older than the toolkit of this build, or knows no code for a GPU.
 */
static int image_unfit(CUresult rc)
{
	return rc == CUDA_ERROR_NO_BINARY_FOR_GPU || rc == CUDA_ERROR_UNSUPPORTED_PTX_VERSION ||
	       rc == CUDA_ERROR_INVALID_IMAGE;
}

static int image_load(struct gpu_context *g, struct error *err)
{
	char log[160] = "", version[16], words[100];
	CUjit_option options[] = { CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES };
	void *values[] = { log, (void *)(uintptr_t)(sizeof(log) - 1) };
	CUresult rc = g->cuda->ModuleLoadDataEx(&g->module, gpu_fatbin, 0, NULL, NULL), again;

	if (!image_unfit(rc)) {
		snprintf(g->image, sizeof(g->image), "fatbin");
		return gpu_check(g, rc, err, "cannot load the device code");
	}
	ptx_word(".version", version, sizeof(version));
	snprintf(g->image, sizeof(g->image), "PTX %s", version);
	again = g->cuda->ModuleLoadDataEx(&g->module, gpu_ptx, ARRAY_SIZE(options), options,
					  values);
	log[strcspn(log, "\n")] = '\0';
	code_words(g->cuda, rc, 0, words, sizeof(words));
	return gpu_check(g, again, err, "device code: fatbin: %.48s; %s%s%.40s", words, g->image,
			 *log ? ": " : "", log);
}

/* Tells the architecture of the code that the driver chose: of a 8.6 it may be that of 8.0. */
static void image_name(const struct cuda_state *s, struct gpu_context *g, CUfunction function)
{
	int version = 0;

	if (strncmp(g->image, "fatbin", 6) != 0)
		return;
	if (!s->function_attribute || !function ||
	    s->function_attribute(&version, CU_FUNC_ATTRIBUTE_BINARY_VERSION, function) !=
		    CUDA_SUCCESS ||
	    version <= 0)
		version = entry_of(g)->capability;
	snprintf(g->image, sizeof(g->image), "fatbin sm_%d", version);
}

/* A kernel that is missing here is told by gpu_function() when somebody wants it. */
static void kernels_load(const struct cuda_state *s, struct gpu_context *g)
{
	static const char entry[] = ".entry ";
	CUfunction any = NULL;

	for (const char *at = strstr(gpu_ptx, entry); at; at = strstr(at, entry)) {
		CUfunction function;
		char name[80];

		at += strlen(entry);
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "( \t\r\n"), at);
		if (g->cuda->ModuleGetFunction(&function, g->module, name) == CUDA_SUCCESS)
			any = function;
	}
	image_name(s, g, any);
}

/* Waiting calls sleep instead of spinning, unless somebody made the context before us. */
static void primary_schedule(const struct cuda_state *s, CUdevice device)
{
	unsigned flags;
	int active = 1;

	if (!s->primary_state || !s->primary_flags)
		return;
	if (s->primary_state(device, &flags, &active) == CUDA_SUCCESS && !active)
		s->primary_flags(device, CU_CTX_SCHED_BLOCKING_SYNC);
}

static struct held *held_make(struct cuda_state *s, struct machine *m, int gpu, struct error *err)
{
	struct held *h = xcalloc(1, sizeof(*h));
	struct gpu_context *g = &h->context;

	*g = (struct gpu_context){ .cuda = &s->cuda, .m = m, .gpu = gpu };
	if (device_find(g->cuda, pci_of(g), &g->device, err) < 0)
		goto drop;
	primary_schedule(s, g->device);
	if (gpu_check(g, g->cuda->DevicePrimaryCtxRetain(&g->context, g->device), err,
		      "cannot make a context") < 0)
		goto drop;
	if (gpu_check(g, g->cuda->CtxSetCurrent(g->context), err, "cannot use its context") < 0 ||
	    image_load(g, err) < 0) {
		g->cuda->CtxSetCurrent(NULL);
		g->cuda->DevicePrimaryCtxRelease(g->device);
		goto drop;
	}
	kernels_load(s, g);
	snprintf(m->gpus->items[gpu].image, sizeof(m->gpus->items[gpu].image), "%s", g->image);
	return h;
drop:
	free(h);
	return NULL;
}

struct gpu_context *gpu_use(struct machine *m, int gpu, struct error *err)
{
	struct cuda_state *s;
	struct gpu_context *g = NULL;

	if (gpu_usable(m, gpu, err) < 0)
		return NULL;
	s = state_of(m);
	pthread_mutex_lock(&s->lock);
	if (!s->held[gpu])
		s->held[gpu] = held_make(s, m, gpu, err);
	if (s->held[gpu] && s->held[gpu]->hangs) /* any call on it might wait for ever */
		gpu_blame(&s->held[gpu]->context, err, "it hangs since earlier work");
	else if (s->held[gpu])
		g = &s->held[gpu]->context;
	pthread_mutex_unlock(&s->lock);
	if (g && gpu_check(g, g->cuda->CtxSetCurrent(g->context), err, "cannot use its context"))
		return NULL;
	return g;
}

/* ---- work ---------------------------------------------------------------------------------- */

CUfunction gpu_function(struct gpu_context *g, const char *name, struct error *err)
{
	CUfunction function = NULL;
	CUresult rc = g->cuda->ModuleGetFunction(&function, g->module, name);

	if (gpu_check(g, rc, err, "no kernel %s in the device code (%s)", name, g->image) < 0)
		return NULL;
	return function;
}

int gpu_launch(struct gpu_context *g, CUstream stream, const char *name, unsigned blocks,
	       unsigned threads, void **args, struct error *err)
{
	CUfunction function = gpu_function(g, name, err);
	unsigned shared = strncmp(name, "gemm_", 5) ? 0
			  : strstr(name, "_wgmma")  ? DEVICE_WGMMA_SHARED
						    : DEVICE_GEMM_SHARED;

	if (!function)
		return -1;
	/* Beyond 48 KiB a kernel must ask for it (CUDA C programming guide, compute capabilities).
	 */
	if (shared && gpu_check(g,
				g->cuda->FuncSetAttribute(
					function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
					(int)shared),
				err, "%u bytes of shared memory for %s", shared, name) < 0)
		return -1;
	return gpu_check(g,
			 g->cuda->LaunchKernel(function, blocks, 1, 1, threads, 1, 1, shared,
					       stream, args, NULL),
			 err, "launch of %s, %u blocks of %u threads", name, blocks, threads);
}

int gpu_wait(struct gpu_context *g, CUstream stream, double seconds, struct error *err)
{
	enum { SHORTEST = 20 * 1000, LONGEST = 1000 * 1000 }; /* ns between two looks */
	struct timespec rest = { .tv_nsec = SHORTEST };
	double end = clock_now() + seconds;
	struct cuda_state *s = g->m->cuda;
	char what[80];
	CUresult rc;

	while ((rc = g->cuda->StreamQuery(stream)) == CUDA_ERROR_NOT_READY && clock_now() < end) {
		nanosleep(&rest, NULL);
		if (rest.tv_nsec < LONGEST)
			rest.tv_nsec *= 2;
	}
	if (rc != CUDA_ERROR_NOT_READY)
		return gpu_check(g, rc, err, "while it worked");
	pthread_mutex_lock(&s->lock);
	if (s->held[g->gpu])
		s->held[g->gpu]->hangs = 1;
	pthread_mutex_unlock(&s->lock);
	snprintf(what, sizeof(what), "did not finish within %.3g s: it hangs", seconds);
	return gpu_blame(g, err, what);
}
