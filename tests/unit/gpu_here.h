/*
 * gpu_here.h - a libcuda and one GPU of it, without the program's own way to open them: what the
 * contract is asked through.
 */
#ifndef ASSAY_GPU_HERE_H
#define ASSAY_GPU_HERE_H

#include "kernels/cuda.h"
#include "kernels/gpu/data.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern const unsigned char gpu_fatbin[];
extern const char gpu_ptx[];

struct gpu_here {
	struct cuda cu;
	CUdevice device;
	CUcontext context;
	CUmodule module;
};

typedef CUresult find_fn(const char *, void **, int, cuuint64_t, CUdriverProcAddressQueryResult *);

static inline int load_functions(struct cuda *cu)
{
#define ROW(name, abi) { "cu" #name, abi, offsetof(struct cuda, name) },
	static const struct {
		const char *name;
		int abi;
		size_t at;
	} rows[] = { CUDA_FUNCTIONS(ROW) };
#undef ROW
	find_fn *find = (find_fn *)dlsym(cu->library, "cuGetProcAddress_v2");

	for (size_t i = 0; find && i < ARRAY_SIZE(rows); i++) {
		void *address = NULL;

		if (find(rows[i].name, &address, rows[i].abi, 0, NULL) || !address) {
			fprintf(stderr, "%s of ABI %d is not there\n", rows[i].name, rows[i].abi);
			return -1;
		}
		memcpy((char *)cu + rows[i].at, &address, sizeof(address));
	}
	return find ? 0 : -1;
}

static inline int load_library(struct cuda *cu)
{
	cu->library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	return cu->library ? load_functions(cu) : -1;
}

static inline int start(struct gpu_here *g, int ordinal)
{
	struct cuda *cu = &g->cu;

	if (cu->Init(0) || cu->DeviceGet(&g->device, ordinal) ||
	    cu->DevicePrimaryCtxRetain(&g->context, g->device) || cu->CtxSetCurrent(g->context))
		return -1;
	return cu->ModuleLoadDataEx(&g->module, gpu_fatbin, 0, NULL, NULL) ? -1 : 0;
}

static inline CUresult launch(struct gpu_here *g, CUstream s, const char *name, unsigned threads,
			      void **args)
{
	CUfunction f;
	CUresult rc = g->cu.ModuleGetFunction(&f, g->module, name);

	return rc ? rc : g->cu.LaunchKernel(f, 1, 1, 1, threads, 1, 1, 0, s, args, NULL);
}

/* Word i becomes gpu_unique(seed, i). */
static inline CUresult fill(struct gpu_here *g, CUstream s, CUdeviceptr at, uint64_t words,
			    uint64_t seed)
{
	uint64_t first = 0;
	void *args[] = { &at, &words, &seed, &first };

	return launch(g, s, "fill_unique", 128, args);
}

/* A stream that does nothing more until go becomes 1. */
struct held {
	unsigned *go, *late;
};

static inline CUresult hold(struct gpu_here *g, CUstream s, struct held *h)
{
	unsigned long long most_ns = 20000000000ULL;
	CUdeviceptr go, late;
	void *args[] = { &go, &late, &most_ns };
	void *host;
	CUresult rc = g->cu.MemHostAlloc(&host, 4096,
					 CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);

	if (rc)
		return rc;
	memset(host, 0, 4096);
	h->go = host;
	h->late = h->go + 64;
	rc = g->cu.MemHostGetDevicePointer(&go, h->go, 0);
	late = go + 256;
	return rc ? rc : launch(g, s, "spin", 1, args);
}

static inline void let_go(const struct held *h)
{
	__atomic_store_n(h->go, 1, __ATOMIC_SEQ_CST);
}

/* NULL, and the test is over, where there is no GPU. */
static inline struct gpu_here *here(void **state)
{
	static struct gpu_here g;
	static int tried, good;

	(void)state;
	if (!tried) {
		tried = 1;
		good = !load_library(&g.cu) && !start(&g, 0);
	}
	if (!good) {
		print_message("no libcuda, or no GPU that works: not tested\n");
		skip();
	}
	return &g;
}

#endif
