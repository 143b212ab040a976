/*
 * cuda_table.c - cuGetProcAddress, and the names of error codes.
 *
 * A function is found by its name and the newest CUDA version the caller knows, as in the driver:
 * one that came later is not found, and asking beyond the driver's own version is an error.
 */
#include "tests/doubles/double.h"

#include <string.h>

static const struct {
	const char *name;
	int version;
	void *address;
} symbols[] = {
#define SYMBOL(name, version)                                                                      \
	{                                                                                          \
#name, version, (void *)name                                                       \
	}
#define SYMBOL_AS(plain, version, symbol)                                                          \
	{                                                                                          \
#plain, version, (void *)symbol                                                    \
	}
	SYMBOL(cuInit, 2000),
	SYMBOL(cuDriverGetVersion, 2020),
	SYMBOL(cuGetErrorName, 6000),
	SYMBOL(cuGetErrorString, 6000),
	SYMBOL(cuDeviceGetCount, 2000),
	SYMBOL(cuDeviceGet, 2000),
	SYMBOL(cuDeviceGetName, 2000),
	SYMBOL_AS(cuDeviceGetUuid, 11040, cuDeviceGetUuid_v2),
	SYMBOL_AS(cuDeviceTotalMem, 3020, cuDeviceTotalMem_v2),
	SYMBOL(cuDeviceGetAttribute, 2000),
	SYMBOL(cuDeviceGetPCIBusId, 4010),
	SYMBOL(cuDeviceCanAccessPeer, 4000),
	SYMBOL(cuDevicePrimaryCtxRetain, 7000),
	SYMBOL_AS(cuDevicePrimaryCtxRelease, 11000, cuDevicePrimaryCtxRelease_v2),
	SYMBOL(cuCtxSetCurrent, 4000),
	SYMBOL(cuCtxSynchronize, 2000),
	SYMBOL(cuCtxEnablePeerAccess, 4000),
	SYMBOL(cuCtxDisablePeerAccess, 4000),
	SYMBOL(cuModuleLoadDataEx, 2010),
	SYMBOL(cuModuleUnload, 2000),
	SYMBOL(cuModuleGetFunction, 2000),
	SYMBOL(cuFuncSetAttribute, 9000),
	SYMBOL(cuLaunchKernel, 4000),
	SYMBOL_AS(cuMemGetInfo, 3020, cuMemGetInfo_v2),
	SYMBOL_AS(cuMemAlloc, 3020, cuMemAlloc_v2),
	SYMBOL_AS(cuMemFree, 3020, cuMemFree_v2),
	SYMBOL(cuMemHostAlloc, 2020),
	SYMBOL_AS(cuMemHostRegister, 6050, cuMemHostRegister_v2),
	SYMBOL(cuMemHostUnregister, 4000),
	SYMBOL_AS(cuMemHostGetDevicePointer, 3020, cuMemHostGetDevicePointer_v2),
	SYMBOL(cuMemFreeHost, 2000),
	SYMBOL_AS(cuMemcpyHtoD, 3020, cuMemcpyHtoD_v2),
	SYMBOL_AS(cuMemcpyDtoH, 3020, cuMemcpyDtoH_v2),
	SYMBOL_AS(cuMemcpyHtoDAsync, 3020, cuMemcpyHtoDAsync_v2),
	SYMBOL_AS(cuMemcpyDtoHAsync, 3020, cuMemcpyDtoHAsync_v2),
	SYMBOL_AS(cuMemcpyDtoDAsync, 3020, cuMemcpyDtoDAsync_v2),
	SYMBOL(cuMemcpyPeerAsync, 4000),
	SYMBOL(cuMemsetD8Async, 3020),
	SYMBOL(cuMemsetD32Async, 3020),
	SYMBOL(cuStreamCreate, 2000),
	SYMBOL_AS(cuStreamDestroy, 4000, cuStreamDestroy_v2),
	SYMBOL(cuStreamSynchronize, 2000),
	SYMBOL(cuStreamQuery, 2000),
	SYMBOL(cuStreamWaitEvent, 3020),
	SYMBOL(cuEventCreate, 2000),
	SYMBOL_AS(cuEventDestroy, 4000, cuEventDestroy_v2),
	SYMBOL(cuEventRecord, 2000),
	SYMBOL(cuEventQuery, 2000),
	SYMBOL(cuEventSynchronize, 2000),
	SYMBOL(cuEventElapsedTime, 2000),
	SYMBOL_AS(cuEventElapsedTime, 12080, cuEventElapsedTime_v2),
	SYMBOL(cuOccupancyMaxActiveBlocksPerMultiprocessor, 6050),
	SYMBOL(cuTensorMapEncodeTiled, 12000),
	SYMBOL(cuGetProcAddress, 11030),
	SYMBOL_AS(cuGetProcAddress, 12000, cuGetProcAddress_v2),
};

/* The newest that is not newer than `version`. */
static void *find(const char *name, int version, int *is_known)
{
	void *found = NULL;
	int newest = 0;

	*is_known = 0;
	for (size_t i = 0; i < COUNT(symbols); i++) {
		if (strcmp(symbols[i].name, name))
			continue;
		*is_known = 1;
		if (symbols[i].version <= version && symbols[i].version > newest) {
			found = symbols[i].address;
			newest = symbols[i].version;
		}
	}
	return found;
}

CUresult cuGetProcAddress_v2(const char *name, void **out, int version, cuuint64_t flags,
			     CUdriverProcAddressQueryResult *result)
{
	int is_known;

	if (!name || !out || flags & ~(cuuint64_t)3)
		return CUDA_ERROR_INVALID_VALUE;
	*out = NULL;
	if (world()->stub)
		return CUDA_ERROR_STUB_LIBRARY;
	if (version > world()->driver)
		return CUDA_ERROR_INVALID_VALUE;
	*out = find(name, version, &is_known);
	if (result && *out)
		*result = CU_GET_PROC_ADDRESS_SUCCESS;
	else if (result)
		*result = is_known ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
				   : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
	return *out ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

FACE CUresult cuGetProcAddress(const char *name, void **out, int version, cuuint64_t flags)
{
	return cuGetProcAddress_v2(name, out, version, flags, NULL);
}

/* ---- errors -------------------------------------------------------------------------------- */

/* Names are cuda.h's; the sentences say the same as the driver's in other words. */
static const struct {
	CUresult code;
	const char *name, *text;
} errors[] = {
#define ERROR(code, text)                                                                          \
	{                                                                                          \
		code, #code, text                                                                  \
	}
	ERROR(CUDA_SUCCESS, "no error"),
	ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
	ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
	ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
	ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
	ERROR(CUDA_ERROR_STUB_LIBRARY, "CUDA driver is a stub library"),
	ERROR(CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable"),
	ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
	ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
	ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
	ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
	ERROR(CUDA_ERROR_MAP_FAILED, "mapping of buffer object failed"),
	ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU,
	      "no kernel image is available for execution on the device"),
	ERROR(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered"),
	ERROR(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
	      "peer access is not supported between these two devices"),
	ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
	ERROR(CUDA_ERROR_NVLINK_UNCORRECTABLE,
	      "uncorrectable NVLink error detected during the execution"),
	ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
	      "the provided PTX was compiled with an unsupported toolchain."),
	ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
	ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
	ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
	ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
	ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
	ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
	ERROR(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled"),
	ERROR(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access has not been enabled"),
	ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
	      "part or all of the requested memory range is already mapped"),
	ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
	      "pointer does not correspond to a registered memory region"),
	ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
	ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
	ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
	ERROR(CUDA_ERROR_SYSTEM_NOT_READY, "system not yet initialized"),
	ERROR(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
	      "system has unsupported display driver / cuda driver combination"),
	ERROR(CUDA_ERROR_MPS_CONNECTION_FAILED,
	      "MPS client failed to connect to the MPS control daemon or the MPS server"),
	ERROR(CUDA_ERROR_CONTAINED,
	      "Invalid access of peer GPU memory over nvlink or a hardware error"),
	ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};

CUresult cuGetErrorName(CUresult code, const char **name)
{
	if (!name)
		return CUDA_ERROR_INVALID_VALUE;
	*name = NULL;
	for (size_t i = 0; i < COUNT(errors); i++)
		if (errors[i].code == code)
			*name = errors[i].name;
	return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult code, const char **text)
{
	if (!text)
		return CUDA_ERROR_INVALID_VALUE;
	*text = NULL;
	for (size_t i = 0; i < COUNT(errors); i++)
		if (errors[i].code == code)
			*text = errors[i].text;
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
