/*
 * cuda.h - the CUDA driver as this room uses it. Private to kernels/.
 *
 * libcuda is opened at the first use and its functions are asked for by name and ABI number
 * (cuGetProcAddress), so one program runs on every driver that has them. Only primary contexts are
 * used: a context of our own would not be shared with cuBLASLt and NCCL.
 *
 * With a recorded machine (a root folder) the library is ROOT/lib/libcuda.so.1 or none: the driver
 * of this machine knows nothing of that one.
 */
#ifndef ASSAY_CUDA_H
#define ASSAY_CUDA_H

#include "kernels/machine.h"

#include <cuda.h>
#include <cudaTypedefs.h>

/* X(name, ABI number): cuNAME as of that CUDA version. */
#define CUDA_FUNCTIONS(X)                                                                          \
	X(Init, 2000)                                                                              \
	X(DriverGetVersion, 2020)                                                                  \
	X(GetErrorName, 6000)                                                                      \
	X(GetErrorString, 6000)                                                                    \
	X(DeviceGetCount, 2000)                                                                    \
	X(DeviceGet, 2000)                                                                         \
	X(DeviceGetName, 2000)                                                                     \
	X(DeviceGetUuid, 11040)                                                                    \
	X(DeviceTotalMem, 3020)                                                                    \
	X(DeviceGetAttribute, 2000)                                                                \
	X(DeviceGetPCIBusId, 4010)                                                                 \
	X(DeviceCanAccessPeer, 4000)                                                               \
	X(DevicePrimaryCtxRetain, 7000)                                                            \
	X(DevicePrimaryCtxRelease, 11000)                                                          \
	X(CtxSetCurrent, 4000)                                                                     \
	X(CtxSynchronize, 2000)                                                                    \
	X(CtxEnablePeerAccess, 4000)                                                               \
	X(CtxDisablePeerAccess, 4000)                                                              \
	X(ModuleLoadDataEx, 2010)                                                                  \
	X(ModuleUnload, 2000)                                                                      \
	X(ModuleGetFunction, 2000)                                                                 \
	X(FuncSetAttribute, 9000)                                                                  \
	X(LaunchKernel, 4000)                                                                      \
	X(MemGetInfo, 3020)                                                                        \
	X(MemAlloc, 3020)                                                                          \
	X(MemFree, 3020)                                                                           \
	X(MemHostAlloc, 2020)                                                                      \
	X(MemHostRegister, 6050)                                                                   \
	X(MemHostUnregister, 4000)                                                                 \
	X(MemHostGetDevicePointer, 3020)                                                           \
	X(MemFreeHost, 2000)                                                                       \
	X(MemcpyHtoD, 3020)                                                                        \
	X(MemcpyDtoH, 3020)                                                                        \
	X(MemcpyHtoDAsync, 3020)                                                                   \
	X(MemcpyDtoHAsync, 3020)                                                                   \
	X(MemcpyDtoDAsync, 3020)                                                                   \
	X(MemcpyPeerAsync, 4000)                                                                   \
	X(MemsetD8Async, 3020)                                                                     \
	X(MemsetD32Async, 3020)                                                                    \
	X(StreamCreate, 2000)                                                                      \
	X(StreamDestroy, 4000)                                                                     \
	X(StreamSynchronize, 2000)                                                                 \
	X(StreamQuery, 2000)                                                                       \
	X(StreamWaitEvent, 3020)                                                                   \
	X(EventCreate, 2000)                                                                       \
	X(EventDestroy, 4000)                                                                      \
	X(EventRecord, 2000)                                                                       \
	X(EventQuery, 2000)                                                                        \
	X(EventSynchronize, 2000)                                                                  \
	X(EventElapsedTime, 2000)                                                                  \
	X(OccupancyMaxActiveBlocksPerMultiprocessor, 6050)

#define CUDA_POINTER(name, abi) PFN_cu##name##_v##abi name;
struct cuda {
	CUDA_FUNCTIONS(CUDA_POINTER)
	PFN_cuTensorMapEncodeTiled_v12000 TensorMapEncodeTiled; /* NULL: older than 12.0 */
	void *library;
	int version; /* of the driver: 13000 */
};

/* One GPU whose primary context this process holds. */
struct gpu_context {
	const struct cuda *cuda;
	struct machine *m;
	int gpu; /* number in gpus() */
	CUdevice device;
	CUcontext context;
	CUmodule module;
	char image[64]; /* "fatbin sm_90" or "PTX 7.8" */
};

/* Opens libcuda and initialises it; kept by the machine. NULL with err: no driver, a stub, too old.
 */
const struct cuda *cuda_open(struct machine *m, struct error *err);
/* Releases all contexts, streams' leftovers go with them; called by machine_close. */
void cuda_close(struct machine *m);

/*
 * The context of a GPU, with the device code loaded, current to the calling thread. Kept by the
 * machine: the second call only makes it current. NULL with err when the GPU is not usable. Several
 * threads may call it.
 */
struct gpu_context *gpu_use(struct machine *m, int gpu, struct error *err);

/*
 * 0 if rc is CUDA_SUCCESS; else -1 and in err: what was tried, the GPU, CUDA's name and sentence
 * for the code, what NVML says of the GPU now, and its XIDs.
 */
int gpu_check(const struct gpu_context *g, CUresult rc, struct error *err, const char *fmt, ...)
	PRINTF(4, 5);

/* A kernel of device.h, or NULL with err. */
CUfunction gpu_function(struct gpu_context *g, const char *name, struct error *err);
/* Blocks times threads; args are pointers to the arguments, in order, NULL at the end. 0 or -1. */
int gpu_launch(struct gpu_context *g, CUstream stream, const char *name, unsigned blocks,
	       unsigned threads, void **args, struct error *err);

/*
 * Waits until all work of a stream is done, at most so many seconds: a GPU that hangs must be named
 * and not waited for. 0, or -1 with err.
 */
int gpu_wait(struct gpu_context *g, CUstream stream, double seconds, struct error *err);

/* gpu_list.c: asks sysfs, NVML and CUDA; kept by the machine. */
const struct host_gpus *machine_gpus(struct machine *m, struct error *err);
const char *gpu_double_of(const struct machine *m); /* see double_of in kernels.h */
/* Says in err why a GPU of that number cannot be used, -1; 0 if it can. */
int gpu_usable(struct machine *m, int gpu, struct error *err);

/* gpu_copy.c, gpu_latency.c, gpu_memory.c, gpu_stress.c, gpu_burn.c: see kernels.h */
int machine_gpu_peer(struct machine *m, int from, int to, struct error *err);
int machine_gpu_copy(struct machine *m, struct gpu_copy *job, struct error *err);
int machine_gpu_latency(struct machine *m, struct gpu_latency *job, struct error *err);
int machine_gpu_memory_rate(struct machine *m, struct gpu_memory_rate *job, struct error *err);
int machine_gpu_memory_stress(struct machine *m, struct gpu_memory_stress *job, struct error *err);
int machine_gpu_burn(struct machine *m, struct gpu_burn *job, struct error *err);

#endif
