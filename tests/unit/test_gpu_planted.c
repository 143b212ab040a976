/*
 * test_gpu_planted.c - the double of libcuda does what its scenario says: faults, and times.
 *
 * Each case is a process of its own, for a scenario is read when the library is loaded.
 */
#include "tests/unit/gpu_here.h"

#include "kernels/gpu/device.h"
#include "kernels/nvml_abi.h"

#include <glob.h>
#include <signal.h>
#include <sys/wait.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* The nth launch is refused, the others are not. */
static void planted_error(struct gpu_here *g)
{
	CUdeviceptr at;

	MUST(!g->cu.MemAlloc(&at, 4096));
	MUST(!fill(g, NULL, at, 512, 1));
	MUST(fill(g, NULL, at, 512, 1) == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
	MUST(!fill(g, NULL, at, 512, 1));
	MUST(!g->cu.CtxSynchronize());
}

/* Told by the call that waits, and then by all others, until the context is no more. */
static void planted_sticky(struct gpu_here *g)
{
	CUdeviceptr at;

	MUST(!g->cu.MemAlloc(&at, 4096));
	MUST(!fill(g, NULL, at, 512, 1));
	MUST(g->cu.CtxSynchronize() == CUDA_ERROR_ECC_UNCORRECTABLE);
	MUST(g->cu.CtxSynchronize() == CUDA_ERROR_ECC_UNCORRECTABLE);
	MUST(g->cu.MemAlloc(&at, 4096) == CUDA_ERROR_ECC_UNCORRECTABLE);
	MUST(fill(g, NULL, at, 512, 1) == CUDA_ERROR_ECC_UNCORRECTABLE);
	MUST(!g->cu.DevicePrimaryCtxRelease(g->device));
	MUST(!start(g, 0));
	MUST(!g->cu.CtxSynchronize());
}

static void planted_hang(struct gpu_here *g)
{
	CUdeviceptr at;
	CUstream s, other;

	MUST(!g->cu.MemAlloc(&at, 4096));
	MUST(!g->cu.StreamCreate(&s, CU_STREAM_NON_BLOCKING));
	MUST(!g->cu.StreamCreate(&other, CU_STREAM_NON_BLOCKING));
	MUST(!fill(g, s, at, 512, 1));
	MUST(!g->cu.MemsetD8Async(at, 0, 16, other));
	MUST(!g->cu.StreamSynchronize(other));
	usleep(20000);
	MUST(g->cu.StreamQuery(s) == CUDA_ERROR_NOT_READY);
}

static void planted_flip(struct gpu_here *g)
{
	unsigned char bytes[64], back[64];
	CUdeviceptr at;

	memset(bytes, 0, sizeof(bytes));
	MUST(!g->cu.MemAlloc(&at, 4096));
	MUST(!g->cu.MemcpyHtoD(at, bytes, sizeof(bytes)));
	MUST(!g->cu.MemcpyDtoH(back, at, sizeof(back)));
	MUST(back[5] == 0x08);
	back[5] = 0;
	MUST(!memcmp(back, bytes, sizeof(back)));
}

/* Whatever is written, one bit of that byte stays. */
static void planted_stuck(struct gpu_here *g)
{
	struct device_pattern p = { .kind = PATTERN_SOLID };
	uint64_t words = 512, back[512];
	CUdeviceptr at;
	void *args[] = { &at, &words, &p };

	MUST(!g->cu.MemAlloc(&at, 4096));
	MUST(!launch(g, NULL, "stress_write", 32, args));
	MUST(!g->cu.MemcpyDtoH(back, at, sizeof(back)));
	MUST(back[2] == 0x100 && !back[1] && !back[3]);
	MUST(!g->cu.MemsetD8Async(at, 0, 4096, NULL));
	MUST(!g->cu.MemcpyDtoH(back, at, sizeof(back)));
	MUST(back[2] == 0x100);
}

/* NVML of the same library, without its header. */
static int nvml_xid_of_lost(struct gpu_here *g)
{
	int (*init)(void) = (int (*)(void))dlsym(g->cu.library, "nvmlInit_v2");
	int (*handle)(unsigned, struct nvml_handle **) =
		(int (*)(unsigned, struct nvml_handle **))dlsym(g->cu.library,
								"nvmlDeviceGetHandleByIndex_v2");
	int (*create)(struct nvml_set **) =
		(int (*)(struct nvml_set **))dlsym(g->cu.library, "nvmlEventSetCreate");
	int (*wants)(struct nvml_handle *, unsigned long long, struct nvml_set *) =
		(int (*)(struct nvml_handle *, unsigned long long, struct nvml_set *))dlsym(
			g->cu.library, "nvmlDeviceRegisterEvents");
	int (*wait_event)(struct nvml_set *, struct nvml_event *, unsigned) =
		(int (*)(struct nvml_set *, struct nvml_event *, unsigned))dlsym(
			g->cu.library, "nvmlEventSetWait_v2");
	int (*power)(struct nvml_handle *, unsigned *) =
		(int (*)(struct nvml_handle *, unsigned *))dlsym(g->cu.library,
								 "nvmlDeviceGetPowerUsage");
	struct nvml_handle *h;
	struct nvml_set *set;
	struct nvml_event event;
	unsigned mw;

	MUST(!init() && !handle(0, &h) && !create(&set) && !wants(h, NVML_EVENT_XID, set));
	MUST(!power(h, &mw) && mw > 0);
	MUST(wait_event(set, &event, 0) == NVML_TIMEOUT);
	MUST(g->cu.CtxSynchronize() == CUDA_SUCCESS);
	MUST(fill(g, NULL, 0, 0, 0) == CUDA_ERROR_UNKNOWN);
	MUST(power(h, &mw) == NVML_GPU_IS_LOST);
	MUST(!wait_event(set, &event, 10) && event.gpu == h && event.type == NVML_EVENT_XID);
	return (int)event.data;
}

static void planted_lost(struct gpu_here *g)
{
	MUST(nvml_xid_of_lost(g) == 79);
	MUST(g->cu.CtxSynchronize() == CUDA_ERROR_UNKNOWN);
}

static void planted_refusal(struct gpu_here *g)
{
	CUmodule m;

	MUST(g->cu.ModuleLoadDataEx(&m, gpu_fatbin, 0, NULL, NULL) == CUDA_ERROR_NO_BINARY_FOR_GPU);
	MUST(!g->cu.ModuleLoadDataEx(&m, gpu_ptx, 0, NULL, NULL));
}

struct route {
	CUstream s;
	CUevent begin, end;
	CUdeviceptr to, from;
};

static void route_open(struct gpu_here *g, struct route *r, size_t bytes)
{
	MUST(!g->cu.StreamCreate(&r->s, CU_STREAM_NON_BLOCKING));
	MUST(!g->cu.EventCreate(&r->begin, 0) && !g->cu.EventCreate(&r->end, 0));
	MUST(!g->cu.MemAlloc(&r->to, bytes) && !g->cu.MemAlloc(&r->from, bytes));
}

static double route_ms(struct gpu_here *g, const struct route *r)
{
	float ms = -1;

	MUST(!g->cu.EventSynchronize(r->end));
	MUST(!g->cu.EventElapsedTime(&ms, r->begin, r->end));
	return ms;
}

static int near(double a, double b)
{
	return a > b * 0.999 && a < b * 1.001;
}

/* Times come from the scenario's rates: 4 copies of 1 MiB at 1e9 B/s, two such routes at once. */
static void virtual_time(struct gpu_here *g)
{
	const size_t bytes = 1 << 20;
	const double alone = 4 * (double)bytes / 1e9 * 1e3;
	struct route r[2];
	struct held h[2];
	void *host;

	MUST(!g->cu.MemHostAlloc(&host, bytes, 0));
	for (int i = 0; i < 2; i++)
		route_open(g, &r[i], bytes);
	for (int routes = 1; routes <= 2; routes++) {
		for (int i = 0; i < routes; i++) {
			MUST(!hold(g, r[i].s, &h[i]));
			MUST(!g->cu.EventRecord(r[i].begin, r[i].s));
			for (int k = 0; k < 4; k++)
				MUST(!g->cu.MemcpyHtoDAsync(r[i].to, host, bytes, r[i].s));
			MUST(!g->cu.EventRecord(r[i].end, r[i].s));
		}
		for (int i = 0; i < routes; i++)
			let_go(&h[i]);
		for (int i = 0; i < routes; i++)
			MUST(near(route_ms(g, &r[i]), alone * routes));
	}
}

static void slow_launch(struct gpu_here *g)
{
	const size_t bytes = 1 << 20;
	struct route r;

	route_open(g, &r, bytes);
	for (int slow = 0; slow < 2; slow++) {
		MUST(!g->cu.EventRecord(r.begin, r.s));
		MUST(!fill(g, r.s, r.to, bytes / 8, 1));
		MUST(!g->cu.EventRecord(r.end, r.s));
		MUST(near(route_ms(g, &r), (double)bytes / 1e9 * 1e3 * (slow ? 3 : 1)));
	}
}

static void crash(struct gpu_here *g)
{
	fill(g, NULL, 0, 0, 0);
}

static void stub(struct gpu_here *g)
{
	CUresult (*init)(unsigned) = (CUresult(*)(unsigned))dlsym(g->cu.library, "cuInit");

	MUST(init(0) == CUDA_ERROR_STUB_LIBRARY);
}

static void old_driver(struct gpu_here *g)
{
	find_fn *find = (find_fn *)dlsym(g->cu.library, "cuGetProcAddress_v2");
	void *address;

	MUST(!find("cuDeviceGetUuid", &address, 11040, 0, NULL));
	MUST(find("cuDeviceGetUuid", &address, 12000, 0, NULL) == CUDA_ERROR_INVALID_VALUE);
}

/* What NVML tells of the state that a scenario sets. */
#define NVML(name) __typeof__(nvml_##name) *name = (__typeof__(name))dlsym(library, "nvml" #name)
typedef int nvml_Init_v2(void);
typedef int nvml_DeviceGetHandleByIndex_v2(unsigned, struct nvml_handle **);
typedef int nvml_DeviceGetSerial(struct nvml_handle *, char *, unsigned);
typedef int nvml_DeviceGetNvLinkState(struct nvml_handle *, unsigned, unsigned *);
typedef int nvml_DeviceGetMemoryInfo(struct nvml_handle *, struct nvml_memory *);
typedef int nvml_DeviceGetComputeMode(struct nvml_handle *, unsigned *);
typedef int nvml_DeviceGetNvLinkRemotePciInfo_v2(struct nvml_handle *, unsigned, struct nvml_pci *);

static void nvml_state(struct gpu_here *g)
{
	void *library = g->cu.library;
	NVML(Init_v2);
	NVML(DeviceGetHandleByIndex_v2);
	NVML(DeviceGetSerial);
	NVML(DeviceGetNvLinkState);
	NVML(DeviceGetMemoryInfo);
	NVML(DeviceGetComputeMode);
	NVML(DeviceGetNvLinkRemotePciInfo_v2);
	struct nvml_handle *h;
	struct nvml_memory memory;
	struct nvml_pci pci;
	unsigned value;
	char text[32];

	MUST(!Init_v2() && !DeviceGetHandleByIndex_v2(1, &h));
	MUST(DeviceGetSerial(h, text, sizeof(text)) == NVML_NO_FUNCTION);
	MUST(!DeviceGetNvLinkState(h, 1, &value) && value == 1);
	MUST(!DeviceGetNvLinkState(h, 2, &value) && value == 0);
	MUST(DeviceGetNvLinkState(h, 4, &value) == NVML_INVALID_ARGUMENT);
	MUST(!DeviceGetMemoryInfo(h, &memory) && memory.total == 80ULL << 30);
	MUST(!DeviceGetComputeMode(h, &value) && value == NVML_COMPUTE_EXCLUSIVE_PROCESS);
	MUST(!DeviceGetNvLinkRemotePciInfo_v2(h, 0, &pci) && pci.bus == 0x10);
	MUST(!load_functions(&g->cu) && start(g, 1) == -1); /* another process has it */
	MUST(!start(g, 0));
}

static void nvml_absent(struct gpu_here *g)
{
	void *library = g->cu.library;
	NVML(Init_v2);

	MUST(Init_v2() == NVML_DRIVER_NOT_LOADED);
}

enum { STARTED, LOADED };

static const struct planted {
	const char *name, *scenario;
	int how; /* with a GPU in use, or only the library */
	void (*run)(struct gpu_here *g);
	int signal; /* that ends the process */
} planted[] = {
	{ "error", "fault op=launch nth=2 err=701", STARTED, planted_error, 0 },
	{ "sticky", "fault op=launch name=fill_* dev=0 async=214 xid=48", STARTED, planted_sticky,
	  0 },
	{ "hang", "fault op=launch hang", STARTED, planted_hang, 0 },
	{ "flip", "fault op=h2d flip off=5 bit=3", STARTED, planted_flip, 0 },
	{ "stuck", "fault op=launch name=stress_write stuck off=17 bit=0 value=1", STARTED,
	  planted_stuck, 0 },
	{ "lost", "fault op=launch lost", STARTED, planted_lost, 0 },
	{ "refusal", "fault op=module name=fatbin nth=2 err=209", STARTED, planted_refusal, 0 },
	{ "time", "rate pcie 1e9\nlatency copy 1us", STARTED, virtual_time, 0 },
	{ "slow", "rate hbm 1e9\nfault op=launch nth=2 slow=3", STARTED, slow_launch, 0 },
	{ "crash", "fault op=launch crash", STARTED, crash, SIGABRT },
	{ "stub", "stub", LOADED, stub, 0 },
	{ "old driver", "driver 11040", LOADED, old_driver, 0 },
	{ "state",
	  "gpu * shown 80GiB\nlinks 4\nnvlink direct 3\nlink 1 2 down\nmode exclusive 1\n"
	  "process 1 pid 1 used 1MiB\nnvml missing nvmlDeviceGetSerial",
	  LOADED, nvml_state, 0 },
	{ "no NVML", "nvml absent", LOADED, nvml_absent, 0 },
	{ "typing error", "fault op=lunch err=1", LOADED, NULL, SIGABRT },
	{ "fault without action", "fault op=alloc slow=2", LOADED, NULL, SIGABRT },
	{ "unknown unit", "free 0 10MB", LOADED, NULL, SIGABRT },
};

enum { NOT_A_DOUBLE = 77 };

/* In the child: stdout is the test's own. */
static void planted_child(const struct planted *p, const char *path)
{
	struct gpu_here g = { .device = 0 };

	setenv("ASSAY_DOUBLE", path, 1);
	if (p->signal && !freopen("/dev/null", "w", stderr))
		_exit(1);
	g.cu.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!g.cu.library || !dlsym(g.cu.library, "assay_double"))
		_exit(NOT_A_DOUBLE);
	if (p->how == STARTED)
		MUST(!load_functions(&g.cu) && !start(&g, 0));
	if (p->run)
		p->run(&g);
	_exit(0);
}

static int planted_run(const struct planted *p)
{
	char path[] = "/tmp/assay-scenario-XXXXXX";
	int fd = mkstemp(path), status;
	pid_t pid;

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "ndev 2\n%s\n", p->scenario) > 0);
	close(fd);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		planted_child(p, path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(path);
	return status;
}

static int is_double(void)
{
	static const struct planted nothing = { "", "", LOADED, NULL, 0 };

	return WEXITSTATUS(planted_run(&nothing)) != NOT_A_DOUBLE;
}

static void test_planted(void **state)
{
	(void)state;
	if (!is_double()) {
		print_message("no double here: planted faults were not tested\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(planted); i++) {
		int status = planted_run(&planted[i]);
		int good = planted[i].signal
				   ? WIFSIGNALED(status) && WTERMSIG(status) == planted[i].signal
				   : WIFEXITED(status) && !WEXITSTATUS(status);

		if (!good)
			fail_msg("%s: status %#x", planted[i].name, (unsigned)status);
	}
}

/* The scenarios of the source tree can be read, the one with every word in it as well. */
static void test_scenarios(void **state)
{
	static const struct planted only_load = { "", "", LOADED, NULL, 0 };
	const char *source = getenv("ASSAY_SOURCE");
	char pattern[400];
	glob_t found;

	(void)state;
	snprintf(pattern, sizeof(pattern), "%s/tests/doubles/scenarios/*.txt",
		 source ? source : ".");
	if (!is_double() || glob(pattern, 0, NULL, &found))
		skip();
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			planted_child(&only_load, found.gl_pathv[i]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail_msg("%s: status %#x", found.gl_pathv[i], (unsigned)status);
	}
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_planted),
					    cmocka_unit_test(test_scenarios) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
