#!/usr/bin/env bash
# What the sampler hears of GPUs from NVML, here a double.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/e2e/gpu_lib.sh" || exit 1
. "$ASSAY_SOURCE/tests/e2e/telemetry_lib.sh" || exit 1
need python3

# sampled FILE: three seconds of the machine.
sampled() {
	sleep 3.5 | "$ASSAY" sample --root "$machine" >"$1" 2>"$err"
	sane "$err"
}

gpu_machine hgx-good hgx-h100 "ecc_errors 3 5 2" "link 4 2 down" "remapped 5 1 2 0 0"
sampled healthy
holds healthy 'all(kept["gpu%d.power_w" % i][0] == 70 and kept["gpu%d.temperature_c" % i][0] == 30 for i in range(8))'
holds healthy 'kept["gpu3.ecc_corrected"][0] == 5 and kept["gpu3.ecc_uncorrected"][-1] == 2'
holds healthy 'kept["gpu2.ecc_corrected"][0] == 0 and kept["gpu5.row_remaps"][0] == 3 and kept["gpu5.row_remaps"][1] is None'
holds healthy 'kept["gpu4.nvlinks_up"][0] == 17 and kept["gpu6.nvlinks_up"][0] == 18'
holds healthy 'all("gpu%d.%s" % (i, k) in kept for i in range(8) for k in ("clock_mhz", "throttle", "pcie_replay",
	"nvlink_errors", "memory_used_bytes"))'
holds healthy '[m for m in marks if m[0].startswith("gpu")] == []'

# What the driver does not tell is not there; it is never a zero.
gpu_machine hgx-good hgx-h100 "nvml missing nvmlDeviceGetTotalEccErrors" "nvml missing nvmlDeviceGetPowerUsage"
sampled silent
holds silent '"gpu0.clock_mhz" in kept and not any("ecc" in k or "power" in k for k in kept if k.startswith("gpu"))'

gpu_machine hgx-good hgx-h100 "nvml mismatch"
sampled mismatch
holds mismatch 'len([m for m in marks if m[0].startswith("gpu") and m[1] == "hole" and "differ in version" in m[2]]) == 8'
holds mismatch '"gpu0.pcie_lanes" in kept and not any(k.endswith("power_w") for k in kept)'
finish
