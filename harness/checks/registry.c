/* registry.c - all checks, in the order they are listed. Kept by hand: greppable, and the linker
 * cannot drop one. */
#include "harness/checks/check.h"

extern const struct check check_inventory, check_settings, check_pcie_link, check_memory_bandwidth,
	check_memory_latency, check_memory_stress, check_cpu_burn, check_disk_seq, check_disk_rand,
	check_disk_latency, check_disk_integrity, check_disk_health, check_gpu_inventory,
	check_gpu_host_copy, check_gpu_p2p, check_gpu_p2p_latency, check_gpu_memory_bandwidth,
	check_gpu_memory_stress, check_gpu_burn, check_gpu_soak, check_program;
extern const struct check check_preflight, check_net_pair, check_rail_pair, check_rail_ring;

const struct check *const all_checks[] = {
	&check_preflight, /* first, as it runs first */
	&check_inventory,
	&check_settings,
	&check_pcie_link,
	&check_memory_bandwidth,
	&check_memory_latency,
	&check_memory_stress,
	&check_cpu_burn,
	&check_disk_seq,
	&check_disk_rand,
	&check_disk_latency,
	&check_disk_integrity,
	&check_disk_health,
	&check_gpu_inventory,
	&check_gpu_host_copy,
	&check_gpu_p2p,
	&check_gpu_p2p_latency,
	&check_gpu_memory_bandwidth,
	&check_gpu_memory_stress,
	&check_gpu_burn,
	&check_gpu_soak,
	&check_net_pair,
	&check_rail_pair,
	&check_rail_ring,
	&check_program,
	NULL,
};
