/*
 * test_gpu_contract.c - what this program takes for granted of libcuda, stated once and asked of
 * whatever libcuda.so.1 the loader finds: the double in CI, a real driver where there is one. So
 * the double stays honest. What only a double can be asked is in test_gpu_planted.c.
 */
#include "tests/unit/gpu_here.h"

static void test_names(void **state)
{
	struct gpu_here *g = here(state);
	find_fn *find = (find_fn *)dlsym(g->cu.library, "cuGetProcAddress_v2");
	CUdriverProcAddressQueryResult result;
	void *address = &result;
	const char *name;
	int version;

	assert_int_equal(find("cuNoSuchThing", &address, 11030, 0, &result), CUDA_ERROR_NOT_FOUND);
	assert_int_equal(result, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
	assert_int_equal(g->cu.DriverGetVersion(&version), CUDA_SUCCESS);
	assert_true(version >= 12000);
	assert_int_equal(find("cuInit", &address, version + 10000, 0, &result),
			 CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(g->cu.GetErrorName(CUDA_ERROR_ECC_UNCORRECTABLE, &name), CUDA_SUCCESS);
	assert_string_equal(name, "CUDA_ERROR_ECC_UNCORRECTABLE");
	assert_int_equal(g->cu.GetErrorString((CUresult)4711, &name), CUDA_ERROR_INVALID_VALUE);
}

static void test_devices(void **state)
{
	struct gpu_here *g = here(state);
	int count, value, bus, device;
	char pci[32];
	unsigned at[3];
	CUdevice d;
	size_t bytes;

	assert_int_equal(g->cu.DeviceGetCount(&count), CUDA_SUCCESS);
	assert_true(count > 0);
	assert_int_equal(g->cu.DeviceGet(&d, count), CUDA_ERROR_INVALID_DEVICE);
	assert_int_equal(g->cu.DeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
						  g->device),
			 CUDA_SUCCESS);
	assert_int_equal(value, 1024);
	assert_int_equal(g->cu.DeviceGetAttribute(&bus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, g->device),
			 0);
	assert_int_equal(
		g->cu.DeviceGetAttribute(&device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, g->device), 0);
	assert_int_equal(g->cu.DeviceGetPCIBusId(pci, sizeof(pci), g->device), CUDA_SUCCESS);
	assert_int_equal(sscanf(pci, "%x:%x:%x", &at[0], &at[1], &at[2]), 3);
	assert_int_equal(at[1], bus);
	assert_int_equal(at[2], device);
	assert_int_equal(g->cu.DeviceTotalMem(&bytes, g->device), CUDA_SUCCESS);
	assert_true(bytes > 0);
}

static void test_memory_errors(void **state)
{
	struct gpu_here *g = here(state);
	size_t free_bytes, total;
	CUdeviceptr at, more;
	unsigned char word[16] = { 0 };

	assert_int_equal(g->cu.MemGetInfo(&free_bytes, &total), CUDA_SUCCESS);
	assert_true(free_bytes <= total);
	assert_int_equal(g->cu.MemAlloc(&at, 0), CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(g->cu.MemAlloc(&at, total + 1), CUDA_ERROR_OUT_OF_MEMORY);
	assert_int_equal(g->cu.MemAlloc(&at, 4096), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemAlloc(&more, 4096), CUDA_SUCCESS);
	assert_int_not_equal(at, more);
	assert_int_equal(g->cu.MemcpyHtoD(0x10, word, 16), CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(g->cu.MemFree(at), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFree(at), CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(g->cu.MemFree(more), CUDA_SUCCESS);
	assert_int_equal(g->cu.CtxSynchronize(), CUDA_SUCCESS); /* none of it is sticky */
}

static void test_host_memory(void **state)
{
	struct gpu_here *g = here(state);
	void *page = aligned_alloc(4096, 4096), *pinned;
	CUdeviceptr at;

	assert_non_null(page);
	assert_int_equal(g->cu.MemHostRegister(page, 4096, 0), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemHostRegister(page, 4096, 0),
			 CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
	assert_int_equal(g->cu.MemHostGetDevicePointer(&at, page, 0), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemHostUnregister(page), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemHostUnregister(page), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
	free(page);
	assert_int_equal(g->cu.MemHostAlloc(&pinned, 4096, CU_MEMHOSTALLOC_PORTABLE), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFreeHost(pinned), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFreeHost(pinned), CUDA_ERROR_INVALID_VALUE);
}

static void test_modules(void **state)
{
	struct gpu_here *g = here(state);
	static const char rubbish[4096] = "no device code at all";
	CUmodule m;
	CUfunction f;
	CUresult rc = g->cu.ModuleLoadDataEx(&m, rubbish, 0, NULL, NULL);

	assert_true(rc == CUDA_ERROR_INVALID_IMAGE || rc == CUDA_ERROR_INVALID_PTX);
	assert_int_equal(g->cu.ModuleGetFunction(&f, g->module, "no_such_kernel"),
			 CUDA_ERROR_NOT_FOUND);
	assert_int_equal(g->cu.ModuleGetFunction(&f, g->module, "spin"), CUDA_SUCCESS);
}

static void test_launch_errors(void **state)
{
	struct gpu_here *g = here(state);
	uint64_t words = 512, seed = 1, first = 0;
	CUdeviceptr at;
	void *args[] = { &at, &words, &seed, &first };
	CUfunction f;

	assert_int_equal(g->cu.MemAlloc(&at, 4096), CUDA_SUCCESS);
	assert_int_equal(launch(g, NULL, "fill_unique", 0, args), CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(launch(g, NULL, "fill_unique", 1025, args), CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(g->cu.ModuleGetFunction(&f, g->module, "fill_unique"), CUDA_SUCCESS);
	assert_int_equal(g->cu.LaunchKernel(f, 0, 1, 1, 32, 1, 1, 0, NULL, args, NULL),
			 CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(g->cu.LaunchKernel(f, 1, 1, 1, 32, 1, 1, 1 << 20, NULL, args, NULL),
			 CUDA_ERROR_INVALID_VALUE);
	assert_int_equal(launch(g, NULL, "fill_unique", 32, args), CUDA_SUCCESS);
	assert_int_equal(g->cu.CtxSynchronize(), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFree(at), CUDA_SUCCESS);
}

static void test_no_context(void **state)
{
	struct gpu_here *g = here(state);
	CUdeviceptr at;

	assert_int_equal(g->cu.CtxSetCurrent(NULL), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemAlloc(&at, 4096), CUDA_ERROR_INVALID_CONTEXT);
	assert_int_equal(g->cu.CtxSetCurrent(g->context), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemAlloc(&at, 4096), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFree(at), CUDA_SUCCESS);
}

/* Nothing behind a kernel that waits is done, and everything is once it goes on, in order. */
static void test_fifo(void **state)
{
	struct gpu_here *g = here(state);
	CUstream s, other;
	CUevent done;
	CUdeviceptr at;
	struct held h = { 0 };
	uint64_t back[512];

	assert_int_equal(g->cu.StreamCreate(&s, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
	assert_int_equal(g->cu.StreamCreate(&other, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventCreate(&done, 0), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventQuery(done), CUDA_SUCCESS); /* never recorded */
	assert_int_equal(g->cu.MemAlloc(&at, sizeof(back)), CUDA_SUCCESS);
	assert_int_equal(hold(g, s, &h), CUDA_SUCCESS);
	assert_int_equal(fill(g, s, at, 512, 7), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventRecord(done, s), CUDA_SUCCESS);
	assert_int_equal(g->cu.StreamWaitEvent(other, done, 0), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemsetD32Async(at, 0x01020304, 2, other), CUDA_SUCCESS);
	assert_int_equal(g->cu.StreamQuery(s), CUDA_ERROR_NOT_READY);
	assert_int_equal(g->cu.StreamQuery(other), CUDA_ERROR_NOT_READY);
	assert_int_equal(g->cu.EventQuery(done), CUDA_ERROR_NOT_READY);
	let_go(&h);
	assert_int_equal(g->cu.StreamSynchronize(other), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventQuery(done), CUDA_SUCCESS);
	assert_int_equal(*h.late, 0);
	assert_int_equal(g->cu.MemcpyDtoH(back, at, sizeof(back)), CUDA_SUCCESS);
	assert_true(back[0] == 0x0102030401020304);
	for (uint64_t i = 1; i < 512; i++)
		assert_true(back[i] == gpu_unique(7, i));
	assert_int_equal(g->cu.MemFree(at), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventDestroy(done), CUDA_SUCCESS);
	assert_int_equal(g->cu.StreamDestroy(other), CUDA_SUCCESS);
	assert_int_equal(g->cu.StreamDestroy(s), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFreeHost(h.go), CUDA_SUCCESS);
}

static void test_event_times(void **state)
{
	struct gpu_here *g = here(state);
	CUevent e[3], untimed;
	float first, second, both;
	CUdeviceptr at;
	CUstream s;
	struct held h = { 0 };

	assert_int_equal(g->cu.StreamCreate(&s, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemAlloc(&at, 1 << 20), CUDA_SUCCESS);
	for (int i = 0; i < 3; i++)
		assert_int_equal(g->cu.EventCreate(&e[i], 0), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventCreate(&untimed, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventElapsedTime(&first, e[0], e[1]), CUDA_ERROR_INVALID_HANDLE);
	assert_int_equal(hold(g, s, &h), CUDA_SUCCESS);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(g->cu.EventRecord(e[i], s), CUDA_SUCCESS);
		assert_int_equal(fill(g, s, at, 1 << 17, 1), CUDA_SUCCESS);
	}
	assert_int_equal(g->cu.EventRecord(untimed, s), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventElapsedTime(&first, e[0], e[1]), CUDA_ERROR_NOT_READY);
	let_go(&h);
	assert_int_equal(g->cu.EventSynchronize(e[2]), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventElapsedTime(&first, e[0], e[1]), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventElapsedTime(&second, e[1], e[2]), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventElapsedTime(&both, e[0], e[2]), CUDA_SUCCESS);
	assert_true(first > 0 && second > 0);
	/* cuEventElapsedTime documents a resolution of about half a microsecond */
	assert_true(both > first + second - 2e-3 && both < first + second + 2e-3);
	assert_int_equal(g->cu.StreamSynchronize(s), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventElapsedTime(&first, e[0], untimed), CUDA_ERROR_INVALID_HANDLE);
	assert_int_equal(g->cu.MemFree(at), CUDA_SUCCESS);
	for (int i = 0; i < 3; i++)
		assert_int_equal(g->cu.EventDestroy(e[i]), CUDA_SUCCESS);
	assert_int_equal(g->cu.EventDestroy(untimed), CUDA_SUCCESS);
	assert_int_equal(g->cu.StreamDestroy(s), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFreeHost(h.go), CUDA_SUCCESS);
}

static void test_copies(void **state)
{
	struct gpu_here *g = here(state);
	enum { BYTES = 1 << 16 };
	unsigned char *data = malloc(BYTES), *back = calloc(1, BYTES);
	CUdeviceptr a, b;

	assert_non_null(data);
	assert_non_null(back);
	for (int i = 0; i < BYTES; i++)
		data[i] = (unsigned char)(i * 7 + i / 256);
	assert_int_equal(g->cu.MemAlloc(&a, BYTES), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemAlloc(&b, BYTES), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemcpyHtoDAsync(a, data, BYTES, NULL), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemsetD8Async(b, 0xee, BYTES, NULL), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemcpyDtoDAsync(b + 1, a + 1, BYTES - 2, NULL), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemcpyDtoHAsync(back, b, BYTES, NULL), CUDA_SUCCESS);
	assert_int_equal(g->cu.StreamSynchronize(NULL), CUDA_SUCCESS);
	assert_memory_equal(back + 1, data + 1, BYTES - 2);
	assert_int_equal(back[0], 0xee);
	assert_int_equal(back[BYTES - 1], 0xee);
	assert_int_equal(g->cu.MemFree(a), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFree(b), CUDA_SUCCESS);
	free(back);
	free(data);
}

static void test_peers(void **state)
{
	struct gpu_here *g = here(state);
	CUdevice device;
	CUcontext other;
	CUdeviceptr a, b;
	uint64_t back[512];
	int can = 0;

	if (g->cu.DeviceGet(&device, 1) || g->cu.DeviceCanAccessPeer(&can, g->device, device) ||
	    !can) {
		print_message("no two GPUs that reach each other: not tested\n");
		skip();
	}
	assert_int_equal(g->cu.DevicePrimaryCtxRetain(&other, device), CUDA_SUCCESS);
	assert_int_equal(g->cu.CtxEnablePeerAccess(g->context, 0), CUDA_ERROR_INVALID_CONTEXT);
	assert_int_equal(g->cu.CtxDisablePeerAccess(other), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
	assert_int_equal(g->cu.CtxEnablePeerAccess(other, 0), CUDA_SUCCESS);
	assert_int_equal(g->cu.CtxEnablePeerAccess(other, 0),
			 CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
	assert_int_equal(g->cu.MemAlloc(&a, sizeof(back)), CUDA_SUCCESS);
	assert_int_equal(g->cu.CtxSetCurrent(other), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemAlloc(&b, sizeof(back)), CUDA_SUCCESS);
	assert_int_equal(g->cu.CtxSetCurrent(g->context), CUDA_SUCCESS);
	assert_int_equal(fill(g, NULL, a, 512, 3), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemcpyPeerAsync(b, other, a, g->context, sizeof(back), NULL),
			 CUDA_SUCCESS);
	assert_int_equal(g->cu.MemsetD8Async(a, 0, sizeof(back), NULL), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemcpyDtoDAsync(a, b, sizeof(back), NULL), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemcpyDtoH(back, a, sizeof(back)), CUDA_SUCCESS);
	for (uint64_t i = 0; i < 512; i++)
		assert_true(back[i] == gpu_unique(3, i));
	assert_int_equal(g->cu.CtxDisablePeerAccess(other), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFree(a), CUDA_SUCCESS);
	assert_int_equal(g->cu.MemFree(b), CUDA_SUCCESS);
	assert_int_equal(g->cu.DevicePrimaryCtxRelease(device), CUDA_SUCCESS);
}

/* Last, for the context is lost: a kernel that writes where nothing is. */
static void test_illegal_address(void **state)
{
	struct gpu_here *g = here(state);
	CUdeviceptr at;

	assert_int_equal(fill(g, NULL, 0x1000, 512, 1), CUDA_SUCCESS);
	assert_int_equal(g->cu.CtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	assert_int_equal(g->cu.MemAlloc(&at, 4096), CUDA_ERROR_ILLEGAL_ADDRESS);
	assert_int_equal(g->cu.CtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),         cmocka_unit_test(test_devices),
		cmocka_unit_test(test_memory_errors), cmocka_unit_test(test_host_memory),
		cmocka_unit_test(test_modules),       cmocka_unit_test(test_launch_errors),
		cmocka_unit_test(test_no_context),    cmocka_unit_test(test_fifo),
		cmocka_unit_test(test_event_times),   cmocka_unit_test(test_copies),
		cmocka_unit_test(test_peers),         cmocka_unit_test(test_illegal_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
