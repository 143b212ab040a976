/*
 * real.c - the table that drives the real machine.
 *
 * The only file where a build may differ: what cannot be built becomes a NULL hook here, and
 * nowhere else.
 */
#include "kernels/machine.h"
#include "kernels/sample.h"

#ifdef HAVE_CUDA
#include "kernels/cuda.h"
#include "kernels/nvml.h"
#endif

#define WORD(id, word) word,
const char *const gpu_precision_names[] = { GPU_PRECISIONS(WORD) };

const struct kernels real_kernels = {
	.name = "real",
	.simulated = 0,
	.machine_open = machine_open,
	.machine_close = machine_close,
	.host = machine_host,
	.facts = machine_facts,
	.counters = machine_counters,
	.pcie_links = machine_pcie_links,
	.setting = machine_setting,
	.busy = machine_busy,
	.memory_rate = host_memory_rate,
	.memory_chase = host_memory_chase,
	.memory_stress = host_memory_stress,
	.cpu_burn = host_cpu_burn,
	.cpu_can = host_cpu_can,
	.disk_of_folder = disk_of_folder,
	.disk_guard = disk_guard,
	.disk_io = disk_io,
	.disk_integrity = disk_integrity,
	.disk_health = disk_health,
	.sampler_open = sampler_open,
	.sampler_read = sampler_read,
	.sampler_close = sampler_close,
	.tcp = &net_tcp,
#ifdef HAVE_VERBS
	.rdma = &net_rdma,
#endif
	.double_of = machine_double_of,
#ifdef HAVE_CUDA
	.gpus = machine_gpus,
	.gpu_peer = machine_gpu_peer,
	.gpu_copy = machine_gpu_copy,
	.gpu_latency = machine_gpu_latency,
	.gpu_memory_rate = machine_gpu_memory_rate,
	.gpu_memory_stress = machine_gpu_memory_stress,
	.gpu_burn = machine_gpu_burn,
	.gpu_sensors = machine_gpu_sensors,
	.gpu_links = machine_gpu_links,
	.gpu_fabric = machine_gpu_fabric,
	.gpu_events = machine_gpu_events,
#endif
};
