/*
 * real.c - the table that drives the real machine.
 *
 * The only file where a build may differ: what cannot be built becomes a NULL hook here, and
 * nowhere else.
 */
#include "kernels/machine.h"

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
};
