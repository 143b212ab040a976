/* parts.c - the tables behind parts.h. */
#include "harness/base/parts.h"

#include <ctype.h>
#include <string.h>

#define PART_NAME(id, name) name,
static const char *const kind_names[] = { PART_KINDS(PART_NAME) };

#define LINK_FACTS(kind)                                                                           \
	{ kind, "pci", FACT_WORD, 0, "PCI address" },                                              \
		{ kind, "link_width", FACT_NUMBER, DIM_COUNT, "PCIe lanes in use" },               \
		{ kind, "link_gen", FACT_NUMBER, DIM_COUNT, "PCIe generation in use" },            \
		{ kind, "link_width_max", FACT_NUMBER, DIM_COUNT,                                  \
		  "PCIe lanes that device and slot can do" },                                      \
		{ kind, "link_gen_max", FACT_NUMBER, DIM_COUNT,                                    \
		  "PCIe generation that both can do" },                                            \
		{ kind, "numa", FACT_NUMBER, DIM_COUNT, "NUMA node it hangs on" },                 \
	{                                                                                          \
		kind, "driver", FACT_WORD, 0, "kernel driver bound to it"                          \
	}

const struct fact_key fact_keys[] = {
	{ PART_NODE, "vendor", FACT_WORD, 0, "maker of the system" },
	{ PART_NODE, "product", FACT_WORD, 0, "product name of the system" },
	{ PART_NODE, "serial", FACT_WORD, 0, "serial number of the system" },
	{ PART_NODE, "board", FACT_WORD, 0, "product name of the main board" },
	{ PART_NODE, "bios", FACT_WORD, 0, "version of the BIOS" },
	{ PART_NODE, "bios_date", FACT_WORD, 0, "date of the BIOS" },
	{ PART_NODE, "bmc", FACT_WORD, 0, "firmware version of the BMC" },
	{ PART_NODE, "kernel", FACT_WORD, 0, "kernel release" },
	{ PART_NODE, "os", FACT_WORD, 0, "name of the distribution" },
	{ PART_NODE, "hypervisor", FACT_WORD, 0, "'none' on bare metal" },
	{ PART_NODE, "sockets", FACT_NUMBER, DIM_COUNT, "processor packages" },
	{ PART_NODE, "cores", FACT_NUMBER, DIM_COUNT, "cores of all sockets" },
	{ PART_NODE, "threads", FACT_NUMBER, DIM_COUNT, "hardware threads of all cores" },
	{ PART_NODE, "numa_nodes", FACT_NUMBER, DIM_COUNT, "NUMA nodes with memory" },
	{ PART_NODE, "memory", FACT_NUMBER, DIM_BYTES, "memory the kernel manages" },
	{ PART_NODE, "nvidia_driver", FACT_WORD, 0, "version of the NVIDIA kernel driver" },
	{ PART_NODE, "cuda_driver", FACT_WORD, 0, "newest CUDA that this driver runs" },
	{ PART_SOCKET, "model", FACT_WORD, 0, "model name" },
	{ PART_SOCKET, "vendor", FACT_WORD, 0, "GenuineIntel, AuthenticAMD" },
	{ PART_SOCKET, "cores", FACT_NUMBER, DIM_COUNT, "cores" },
	{ PART_SOCKET, "threads", FACT_NUMBER, DIM_COUNT, "hardware threads" },
	{ PART_SOCKET, "l1d", FACT_NUMBER, DIM_BYTES, "level 1 data cache of one core" },
	{ PART_SOCKET, "l2", FACT_NUMBER, DIM_BYTES, "level 2 cache of one core" },
	{ PART_SOCKET, "l3", FACT_NUMBER, DIM_BYTES, "level 3 cache, all slices of the socket" },
	{ PART_SOCKET, "microcode", FACT_WORD, 0, "microcode revision" },
	{ PART_SOCKET, "max_clock", FACT_NUMBER, DIM_FREQUENCY,
	  "highest clock the kernel knows of" },
	{ PART_SOCKET, "vector", FACT_WORD, 0, "widest vector unit: avx2, avx512, amx" },
	{ PART_NUMA, "memory", FACT_NUMBER, DIM_BYTES, "memory of this NUMA node" },
	{ PART_NUMA, "threads", FACT_NUMBER, DIM_COUNT, "hardware threads of this NUMA node" },
	{ PART_DIMM, "slot", FACT_WORD, 0, "name printed at the slot" },
	{ PART_DIMM, "size", FACT_NUMBER, DIM_BYTES, "capacity" },
	{ PART_DIMM, "type", FACT_WORD, 0, "DDR4, DDR5" },
	{ PART_DIMM, "speed", FACT_NUMBER, DIM_TRANSFERS, "configured speed" },
	{ PART_DIMM, "rated_speed", FACT_NUMBER, DIM_TRANSFERS, "speed the module is made for" },
	{ PART_DIMM, "ranks", FACT_NUMBER, DIM_COUNT, "ranks" },
	{ PART_DIMM, "vendor", FACT_WORD, 0, "maker" },
	{ PART_DIMM, "model", FACT_WORD, 0, "part number" },
	{ PART_DIMM, "serial", FACT_WORD, 0, "serial number" },
	{ PART_GPU, "model", FACT_WORD, 0, "model name" },
	{ PART_GPU, "serial", FACT_WORD, 0, "serial number" },
	{ PART_GPU, "firmware", FACT_WORD, 0, "VBIOS version" },
	{ PART_GPU, "uuid", FACT_WORD, 0, "the driver's name of this one GPU" },
	{ PART_GPU, "board", FACT_WORD, 0, "part number of the board" },
	{ PART_GPU, "inforom", FACT_WORD, 0, "version of the infoROM image" },
	{ PART_GPU, "memory", FACT_NUMBER, DIM_BYTES, "memory that the driver manages" },
	{ PART_GPU, "ecc", FACT_WORD, 0, "ECC of its memory: on or off" },
	{ PART_GPU, "mig", FACT_WORD, 0, "split into instances (MIG): on or off" },
	{ PART_GPU, "persistence", FACT_WORD, 0, "persistence mode: on or off" },
	{ PART_GPU, "power_limit", FACT_NUMBER, DIM_POWER, "power limit in force" },
	{ PART_GPU, "power_default", FACT_NUMBER, DIM_POWER, "power limit as delivered" },
	{ PART_GPU, "nvlinks", FACT_NUMBER, DIM_COUNT, "NVLinks that are up" },
	{ PART_GPU, "nvlinks_max", FACT_NUMBER, DIM_COUNT, "NVLinks that it has" },
	{ PART_GPU, "compute_mode", FACT_WORD, 0, "default, exclusive or prohibited" },
	LINK_FACTS(PART_GPU),
	{ PART_NIC, "model", FACT_WORD, 0, "model name" },
	{ PART_NIC, "serial", FACT_WORD, 0, "serial number" },
	{ PART_NIC, "firmware", FACT_WORD, 0, "firmware version" },
	{ PART_NIC, "netdev", FACT_WORD, 0, "network interface" },
	{ PART_NIC, "rdma", FACT_WORD, 0, "RDMA device" },
	{ PART_NIC, "guid", FACT_WORD, 0, "node GUID" },
	{ PART_NIC, "layer", FACT_WORD, 0, "InfiniBand or Ethernet" },
	{ PART_NIC, "state", FACT_WORD, 0, "state of the port" },
	{ PART_NIC, "rate", FACT_NUMBER, DIM_BIT_RATE, "rate of the port" },
	LINK_FACTS(PART_NIC),
	{ PART_DISK, "device", FACT_WORD, 0, "kernel name" },
	{ PART_DISK, "model", FACT_WORD, 0, "model name" },
	{ PART_DISK, "serial", FACT_WORD, 0, "serial number" },
	{ PART_DISK, "firmware", FACT_WORD, 0, "firmware version" },
	{ PART_DISK, "size", FACT_NUMBER, DIM_BYTES, "capacity" },
	{ PART_DISK, "bus", FACT_WORD, 0, "nvme, scsi, virtio, loop" },
	{ PART_DISK, "rotational", FACT_WORD, 0, "yes or no" },
	LINK_FACTS(PART_DISK),
	{ 0, NULL, 0, 0, NULL },
};

const struct physics_key physics_keys[] = {
	{ PART_SOCKET, "memory_channels", DIM_COUNT, "memory channels of one socket" },
	{ PART_SOCKET, "clock", DIM_FREQUENCY, "highest clock of all cores under vector load" },
	{ PART_SOCKET, "flops_per_cycle", DIM_COUNT, "fp64 operations of one core in one cycle" },
	{ PART_SOCKET, "power", DIM_POWER, "most that it may draw for long (TDP)" },
	{ PART_DIMM, "bus_width", DIM_BYTES, "bytes of one transfer (8 if not given)" },
	{ PART_DISK, "link_rate", DIM_BYTE_RATE, "rate of its interface before protocol" },
	{ PART_GPU, "memory_clock", DIM_FREQUENCY, "highest clock of its memory" },
	{ PART_GPU, "memory_bus", DIM_COUNT, "bits of its memory bus" },
	{ PART_GPU, "memory_rate", DIM_BYTE_RATE, "of its memory, if not clock and bus" },
	{ PART_GPU, "nvlinks", DIM_COUNT, "NVLinks that carry a copy to one other GPU" },
	{ PART_GPU, "nvlink_rate", DIM_BYTE_RATE, "rate of one NVLink, one way" },
	{ PART_GPU, "fp64_rate", DIM_FLOPS, "peak of fp64 in tensor cores" },
	{ PART_GPU, "tf32_rate", DIM_FLOPS, "peak of tf32, dense" },
	{ PART_GPU, "bf16_rate", DIM_FLOPS, "peak of bf16, dense" },
	{ PART_GPU, "fp16_rate", DIM_FLOPS, "peak of fp16, dense" },
	{ PART_GPU, "fp8_rate", DIM_FLOPS, "peak of fp8, dense" },
	{ PART_GPU, "int8_rate", DIM_FLOPS, "peak of int8, dense" },
	{ PART_GPU, "power", DIM_POWER, "most that it may draw" },
	{ PART_NIC, "rate", DIM_BIT_RATE, "nominal rate of the port" },
	{ 0, NULL, 0, NULL },
};

const char *part_kind_name(enum part_kind kind)
{
	return kind_names[kind];
}

int part_kind_find(const char *name)
{
	for (int i = 0; i < PART_KIND_COUNT; i++)
		if (!strcmp(kind_names[i], name))
			return i;
	return -1;
}

int part_kind_of(const char *part)
{
	if (!*part)
		return PART_NODE;
	for (int i = 0; i < PART_KIND_COUNT; i++) {
		size_t n = strlen(kind_names[i]);

		if (!strncmp(part, kind_names[i], n) && isdigit((unsigned char)part[n]))
			return i;
	}
	return -1;
}

const struct fact_key *fact_key_find(enum part_kind kind, const char *name)
{
	for (const struct fact_key *k = fact_keys; k->name; k++)
		if (k->kind == kind && !strcmp(k->name, name))
			return k;
	return NULL;
}

const struct physics_key *physics_key_find(enum part_kind kind, const char *name)
{
	for (const struct physics_key *k = physics_keys; k->name; k++)
		if (k->kind == kind && !strcmp(k->name, name))
			return k;
	return NULL;
}
