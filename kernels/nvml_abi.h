/*
 * nvml_abi.h - the binary interface of libnvidia-ml, as far as this room uses it.
 *
 * NVIDIA's nvml.h is in no package that we may build against, and the library is opened at run time
 * anyway. So these are our own declarations, made from the numbers of the published interface; the
 * assertions below hold every size and offset that the library relies on.
 */
#ifndef ASSAY_NVML_ABI_H
#define ASSAY_NVML_ABI_H

#include <stddef.h>
#include <stdint.h>

struct nvml_handle; /* nvmlDevice_t */
struct nvml_set;    /* nvmlEventSet_t */

/* nvmlReturn_t, with what a site engineer should read. */
#define NVML_CODES(X)                                                                              \
	X(NVML_OK, 0, "no error")                                                                  \
	X(NVML_UNINITIALIZED, 1, "the library was not initialised")                                \
	X(NVML_INVALID_ARGUMENT, 2, "an argument is not valid")                                    \
	X(NVML_NOT_SUPPORTED, 3, "this GPU or driver does not support it")                         \
	X(NVML_NO_PERMISSION, 4, "no permission: needs root")                                      \
	X(NVML_NOT_FOUND, 6, "not found")                                                          \
	X(NVML_INSUFFICIENT_SIZE, 7, "too little room for the answer")                             \
	X(NVML_INSUFFICIENT_POWER, 8, "a power cable of the GPU is not connected")                 \
	X(NVML_DRIVER_NOT_LOADED, 9, "the NVIDIA kernel driver is not loaded")                     \
	X(NVML_TIMEOUT, 10, "the GPU did not answer in time")                                      \
	X(NVML_IRQ_ISSUE, 11, "the kernel has trouble with the GPU's interrupt")                   \
	X(NVML_LIBRARY_NOT_FOUND, 12, "a part of the library is missing")                          \
	X(NVML_NO_FUNCTION, 13, "this driver's library lacks the function")                        \
	X(NVML_CORRUPTED_INFOROM, 14, "the infoROM is corrupted")                                  \
	X(NVML_GPU_IS_LOST, 15, "GPU is lost: off the bus, or it does not answer")                 \
	X(NVML_RESET_REQUIRED, 16, "the GPU must be reset")                                        \
	X(NVML_OPERATING_SYSTEM, 17, "the operating system blocks the GPU's control device")       \
	X(NVML_VERSION_MISMATCH, 18,                                                               \
	  "library and kernel driver differ in version (updated without a reboot?)")               \
	X(NVML_IN_USE, 19, "the GPU is in use")                                                    \
	X(NVML_MEMORY, 20, "out of memory")                                                        \
	X(NVML_ARGUMENT_VERSION, 25, "this driver knows another version of the structure")         \
	X(NVML_NOT_READY, 27, "the system is not ready for it")                                    \
	X(NVML_UNKNOWN, 999, "an unknown error")

#define NVML_CODE_ENUM(id, number, words) id = number,
enum { NVML_CODES(NVML_CODE_ENUM) };

/* Names of the arguments that are enumerations there. */
enum { NVML_INIT_NO_GPUS = 1 };
enum { NVML_TEMPERATURE_GPU = 0, NVML_THRESHOLD_SLOWDOWN = 1 };
enum { NVML_CLOCK_SM = 1, NVML_CLOCK_MEMORY = 2 };
enum { NVML_ECC_CORRECTED = 0, NVML_ECC_UNCORRECTED = 1, NVML_ECC_VOLATILE = 0 };
enum { NVML_RETIRED_MULTIPLE_SINGLE_BIT = 0, NVML_RETIRED_DOUBLE_BIT = 1 };
enum { NVML_REMOTE_GPU = 0, NVML_REMOTE_SWITCH = 2 };
enum { NVML_EVENT_XID = 8 };
enum { NVML_LINKS_MOST = 18 }; /* of one GPU where field 91 does not tell */
enum { NVML_LINK_REPLAY, NVML_LINK_RECOVERY, NVML_LINK_CRC_FLIT, NVML_LINK_CRC_DATA };
enum {
	NVML_COMPUTE_DEFAULT,
	NVML_COMPUTE_EXCLUSIVE_THREAD,
	NVML_COMPUTE_PROHIBITED,
	NVML_COMPUTE_EXCLUSIVE_PROCESS
};
enum { NVML_FABRIC_NOT_SUPPORTED, NVML_FABRIC_NOT_STARTED, NVML_FABRIC_IN_PROGRESS };
enum { NVML_FABRIC_COMPLETED = 3 };

/* Field ids; of per-link ones the scope is the link. */
enum {
	NVML_FIELD_MEMORY_TEMPERATURE = 82,
	NVML_FIELD_LINK_COUNT = 91,
	NVML_FIELD_LINK_REPLAY = 161,
	NVML_FIELD_LINK_RECOVERY = 162,
	NVML_FIELD_LINK_CRC = 163,
	NVML_FIELD_LINK_MALFORMED = 206, /* from here on NVLink 5 */
	NVML_FIELD_LINK_OVERRUN = 207,
	NVML_FIELD_LINK_RECEIVE = 208,
	NVML_FIELD_LINK_INTEGRITY = 211,
	NVML_FIELD_LINK_RECOVERIES = 215,
	NVML_FIELD_RECOVERY_ACTION = 230,
};

enum {
	NVML_VALUE_DOUBLE,
	NVML_VALUE_UNSIGNED,
	NVML_VALUE_UNSIGNED_LONG,
	NVML_VALUE_UNSIGNED_LONG_LONG,
	NVML_VALUE_LONG_LONG,
	NVML_VALUE_INT,
	NVML_VALUE_UNSIGNED_SHORT
};

struct nvml_pci { /* nvmlPciInfo_t */
	char legacy[16];
	uint32_t domain, bus, device, ids, subsystem_ids;
	char text[32]; /* "00000000:1B:00.0" */
};

struct nvml_pci_class { /* nvmlPciInfoExt_v1_t */
	uint32_t version, domain, bus, device, ids, subsystem_ids, base, sub;
	char text[32];
};

struct nvml_memory { /* nvmlMemory_t of the first version */
	uint64_t total, free, used;
};

struct nvml_memory2 {
	uint32_t version;
	uint64_t total, reserved, free, used;
};

struct nvml_process {
	uint32_t pid;
	uint64_t used;
	uint32_t gpu_instance, compute_instance;
};

struct nvml_field {
	uint32_t id, scope;
	int64_t time, latency;
	int32_t type, code;
	union {
		double real;
		uint32_t u32;
		uint64_t u64;
		int64_t s64;
		int32_t s32;
		uint16_t u16;
	} value;
};

struct nvml_event {
	struct nvml_handle *gpu;
	uint64_t type, data; /* data: the XID */
	uint32_t gpu_instance, compute_instance;
};

struct nvml_fabric { /* nvmlGpuFabricInfo_v3_t; the second version ends before `summary` */
	uint32_t version;
	unsigned char cluster[16];
	uint32_t status, clique;
	unsigned char state;
	uint32_t health;
	unsigned char summary;
};

/* A versioned structure begins with its size and its version. */
#define NVML_VERSION(size, version) ((uint32_t)(size) | (uint32_t)(version) << 24)
#define NVML_MEMORY2 NVML_VERSION(40, 2)
#define NVML_PCI_CLASS NVML_VERSION(64, 1)
#define NVML_FABRIC2 NVML_VERSION(36, 2)
#define NVML_FABRIC3 NVML_VERSION(40, 3)

#define NVML_AT(type, member, at)                                                                  \
	_Static_assert(offsetof(struct type, member) == (at), #type "." #member)
#define NVML_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

NVML_SIZE(nvml_pci, 68);
NVML_AT(nvml_pci, domain, 16);
NVML_AT(nvml_pci, bus, 20);
NVML_AT(nvml_pci, device, 24);
NVML_AT(nvml_pci, ids, 28);
NVML_AT(nvml_pci, subsystem_ids, 32);
NVML_AT(nvml_pci, text, 36);
NVML_SIZE(nvml_pci_class, 64);
NVML_AT(nvml_pci_class, base, 24);
NVML_AT(nvml_pci_class, sub, 28);
NVML_SIZE(nvml_memory, 24);
NVML_SIZE(nvml_memory2, 40);
NVML_AT(nvml_memory2, total, 8);
NVML_AT(nvml_memory2, reserved, 16);
NVML_AT(nvml_memory2, free, 24);
NVML_AT(nvml_memory2, used, 32);
NVML_SIZE(nvml_process, 24);
NVML_AT(nvml_process, used, 8);
NVML_AT(nvml_process, gpu_instance, 16);
NVML_AT(nvml_process, compute_instance, 20);
NVML_SIZE(nvml_field, 40);
NVML_AT(nvml_field, scope, 4);
NVML_AT(nvml_field, time, 8);
NVML_AT(nvml_field, latency, 16);
NVML_AT(nvml_field, type, 24);
NVML_AT(nvml_field, code, 28);
NVML_AT(nvml_field, value, 32);
NVML_SIZE(nvml_event, 32);
NVML_AT(nvml_event, type, 8);
NVML_AT(nvml_event, data, 16);
NVML_AT(nvml_event, gpu_instance, 24);
NVML_AT(nvml_event, compute_instance, 28);
NVML_SIZE(nvml_fabric, 40);
NVML_AT(nvml_fabric, cluster, 4);
NVML_AT(nvml_fabric, status, 20);
NVML_AT(nvml_fabric, clique, 24);
NVML_AT(nvml_fabric, state, 28);
NVML_AT(nvml_fabric, health, 32);
NVML_AT(nvml_fabric, summary, 36);
_Static_assert(NVML_MEMORY2 == 0x02000028, "nvmlMemory_v2");
_Static_assert(NVML_FABRIC2 == 0x02000024, "nvmlGpuFabricInfo_v2");
_Static_assert(NVML_FABRIC3 == 0x03000028, "nvmlGpuFabricInfo_v3");

/* X(name, arguments): int nvmlNAME(arguments). GPU stands for the handle. */
#define NVML_GPU struct nvml_handle *
#define NVML_TEXT (NVML_GPU, char *, unsigned)
#define NVML_NUMBER (NVML_GPU, unsigned *)
#define NVML_LONG (NVML_GPU, unsigned long long *)
#define NVML_FUNCTIONS(X)                                                                          \
	X(Init_v2, (void))                                                                         \
	X(InitWithFlags, (unsigned))                                                               \
	X(Shutdown, (void))                                                                        \
	X(SystemGetDriverVersion, (char *, unsigned))                                              \
	X(SystemGetCudaDriverVersion_v2, (int *))                                                  \
	X(DeviceGetCount_v2, (unsigned *))                                                         \
	X(DeviceGetHandleByIndex_v2, (unsigned, NVML_GPU *))                                       \
	X(DeviceGetHandleByPciBusId_v2, (const char *, NVML_GPU *))                                \
	X(DeviceGetPciInfo_v3, (NVML_GPU, struct nvml_pci *))                                      \
	X(DeviceGetPciInfoExt, (NVML_GPU, struct nvml_pci_class *))                                \
	X(DeviceGetUUID, NVML_TEXT)                                                                \
	X(DeviceGetName, NVML_TEXT)                                                                \
	X(DeviceGetSerial, NVML_TEXT)                                                              \
	X(DeviceGetVbiosVersion, NVML_TEXT)                                                        \
	X(DeviceGetBoardPartNumber, NVML_TEXT)                                                     \
	X(DeviceGetInforomImageVersion, NVML_TEXT)                                                 \
	X(DeviceGetMemoryInfo, (NVML_GPU, struct nvml_memory *))                                   \
	X(DeviceGetMemoryInfo_v2, (NVML_GPU, struct nvml_memory2 *))                               \
	X(DeviceGetEccMode, (NVML_GPU, unsigned *, unsigned *))                                    \
	X(DeviceGetMigMode, (NVML_GPU, unsigned *, unsigned *))                                    \
	X(DeviceGetPersistenceMode, NVML_NUMBER)                                                   \
	X(DeviceGetComputeMode, NVML_NUMBER)                                                       \
	X(DeviceGetTotalEccErrors, (NVML_GPU, unsigned, unsigned, unsigned long long *))           \
	X(DeviceGetRemappedRows, (NVML_GPU, unsigned *, unsigned *, unsigned *, unsigned *))       \
	X(DeviceGetRetiredPages, (NVML_GPU, unsigned, unsigned *, unsigned long long *))           \
	X(DeviceGetTemperature, (NVML_GPU, unsigned, unsigned *))                                  \
	X(DeviceGetTemperatureThreshold, (NVML_GPU, unsigned, unsigned *))                         \
	X(DeviceGetPowerUsage, NVML_NUMBER)                                                        \
	X(DeviceGetEnforcedPowerLimit, NVML_NUMBER)                                                \
	X(DeviceGetPowerManagementDefaultLimit, NVML_NUMBER)                                       \
	X(DeviceGetTotalEnergyConsumption, NVML_LONG)                                              \
	X(DeviceGetClockInfo, (NVML_GPU, unsigned, unsigned *))                                    \
	X(DeviceGetMaxClockInfo, (NVML_GPU, unsigned, unsigned *))                                 \
	X(DeviceGetCurrentClocksEventReasons, NVML_LONG)                                           \
	X(DeviceGetCurrentClocksThrottleReasons, NVML_LONG)                                        \
	X(DeviceGetComputeRunningProcesses_v3, (NVML_GPU, unsigned *, struct nvml_process *))      \
	X(DeviceGetNvLinkState, (NVML_GPU, unsigned, unsigned *))                                  \
	X(DeviceGetNvLinkVersion, (NVML_GPU, unsigned, unsigned *))                                \
	X(DeviceGetNvLinkErrorCounter, (NVML_GPU, unsigned, unsigned, unsigned long long *))       \
	X(DeviceGetNvLinkRemotePciInfo_v2, (NVML_GPU, unsigned, struct nvml_pci *))                \
	X(DeviceGetNvLinkRemoteDeviceType, (NVML_GPU, unsigned, unsigned *))                       \
	X(DeviceGetPcieReplayCounter, NVML_NUMBER)                                                 \
	X(DeviceGetGpuFabricInfoV, (NVML_GPU, struct nvml_fabric *))                               \
	X(DeviceGetFieldValues, (NVML_GPU, int, struct nvml_field *))                              \
	X(EventSetCreate, (struct nvml_set **))                                                    \
	X(DeviceRegisterEvents, (NVML_GPU, unsigned long long, struct nvml_set *))                 \
	X(EventSetWait_v2, (struct nvml_set *, struct nvml_event *, unsigned))                     \
	X(EventSetFree, (struct nvml_set *))

#endif
