#!/usr/bin/env bash
# Every planted trouble of a GPU is found, named and classified, and the other GPUs go on.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/e2e/gpu_lib.sh" || exit 1
need python3

gpu_profile profile.yaml "pcie_link: {seconds: 0.1s}" "gpu_host_copy: {bytes: 256 KiB, copies: 2, samples: 6, curve: 0}" \
	"gpu_p2p: {bytes: 512 KiB, copies: 2, samples: 6, ways: 1}" "gpu_p2p_latency: {timings: 6, hops: 100}" \
	"gpu_memory_bandwidth: {samples: 6, least: 5us, slab: 256 KiB}" "gpu_memory_stress: {seconds: 0s, share: 90%}" \
	"gpu_burn: {size: 128, window: 20ns, windows: 10, fp64: 0, tf32: 0, fp16: 0, fp8: 0, int8: 0}"
gpu_spec spec.yaml hgx-h100 '  gpu_memory_stress.tested_share: {at_least: 85%, origin: contract, source: "little memory"}' \
	"nodes: {node: {gpus: [{part: h100-sxm5-80g, count: 3}]}}"

# fault NAME CODE CHECKS LINE...: one run of these checks on three GPUs with the lines in the scenario.
fault() {
	name=$1
	local code=$2 only=$3
	shift 3
	gpu_machine hgx-good hgx-h100 "latency copy 300ns" "gpu * mem 8MiB" "gpu * l2 1MiB" "$@"
	expect "$code" "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 --root "$machine" \
		--only "$only" -o "$name"
	sane "$name/journal.jsonl"
	silent ACCEPTED
}

# finding VERDICT METRIC SUBJECT [TEXT]: exists with this verdict, and its reason holds the text.
finding() {
	check "$name: $2 of $3 is $1${4:+ and says $4}" python3 - "$name/report.json" "$@" <<'END'
import json, sys
path, verdict, metric, subject, text = (sys.argv[1:] + [""])[:5]
found = [f for f in json.load(open(path))["findings"] if f["metric"] == metric and f["subject"] == "n1/" + subject]
sys.exit(not any(f["verdict"] == verdict and text in f["why"] for f in found))
END
}

# rest_is_good SUBJECT...: all findings of these subjects pass or do not apply.
rest_is_good() {
	local subject
	for subject in "$@"; do
		check "$name: $subject is good" python3 - "$name/report.json" "$subject" <<'END'
import json, sys
found = [f for f in json.load(open(sys.argv[1]))["findings"] if f["subject"] == "n1/" + sys.argv[2]]
bad = [f for f in found if f["verdict"] not in ("pass", "not-applicable", "recorded")]
sys.exit(not found or bool(bad))
END
	done
}

journal_says() {
	check "$name: the journal says $1" grep -qF -- "$1" "$name/journal.jsonl"
}

# ---- links -------------------------------------------------------------------------------------
fault slow_pair 1 gpu_p2p "fault op=peer dev=0 peer=1 slow=8"
finding fail write "gpu0>gpu1"
finding pass write "gpu1>gpu0"
rest_is_good "gpu1>gpu2" "gpu2>gpu0" "gpu2>gpu2"

fault missing_peer 1 gpu_p2p "nopeer 0 1"
finding fail reachable "gpu0>gpu1"
finding not-measured write "gpu0>gpu1" "peer"
rest_is_good "gpu1>gpu2" "gpu0>gpu2"

fault lanes 1 gpu_inventory "link 1 3 down" "link 1 4 down"
finding fail links_down gpu1
rest_is_good gpu0 gpu2
journal_says '"nvlink 3","v":"down"'

fault wrong_bytes 1 gpu_p2p "fault op=peer dev=2 peer=0 count=0 flip off=100 bit=3"
finding fail wrong_bytes "gpu2>gpu0"
rest_is_good "gpu0>gpu1" "gpu1>gpu2"

fault slow_pcie 1 gpu_host_copy "fault op=h2d dev=1 slow=4"
finding fail h2d gpu1
finding pass d2h gpu1
rest_is_good gpu0 gpu2

# A link that rests low is looked at under a load: it comes up, or it is lost.
lower=$(readlink -f "$machine/sys/bus/pci/devices/0000:31:00.0")/current_link_speed
echo "2.5 GT/s PCIe" >"$lower"
fault low_link 1 pcie_link ""
finding fail generations_lost gpu2
finding pass generations_lost gpu1
fault low_link_of_a_dead_gpu 3 pcie_link "fault op=ctx dev=2 count=0 err=46"
finding not-measured generations_lost gpu2 "nothing could put a load on it"
echo "32.0 GT/s PCIe" >"$lower"

# ---- memory ------------------------------------------------------------------------------------
fault stuck 1 gpu_memory_stress "fault op=launch name=stress_write dev=1 stuck off=4096 bit=5 value=1"
finding fail mismatches gpu1
rest_is_good gpu0 gpu2
journal_says "stored"

fault ecc 1 gpu_memory_stress "fault op=launch name=stress_check dev=2 nth=3 async=214 xid=48"
finding not-measured mismatches gpu2 "CUDA_ERROR_ECC_UNCORRECTABLE"
finding fail xid gpu2 "XID 48"
rest_is_good gpu0 gpu1

fault slow_slab 1 gpu_memory_bandwidth "fault op=launch name=slab_read dev=0 count=0 slow=4 off=1MiB"
finding fail slab_worst gpu0
rest_is_good gpu1 gpu2

fault little_memory 3 gpu_memory_stress "free 1 2MiB"
finding not-measured mismatches gpu1 "free"
rest_is_good gpu0 gpu2

fault no_allocation 3 gpu_memory_bandwidth "fault op=alloc dev=1 nth=1 count=0 err=2"
finding not-measured read gpu1 "CUDA_ERROR_OUT_OF_MEMORY"
rest_is_good gpu0 gpu2

# ---- arithmetic --------------------------------------------------------------------------------
fault sdc_once 1 gpu_burn "fault op=launch name=gemm_bf16* dev=1 nth=15 flip off=1000 bit=6"
finding fail wrong "gpu1 bf16"
rest_is_good "gpu0 bf16" "gpu2 bf16" gpu0 gpu2
journal_says "done again on this GPU: right"

fault sdc_always 1 gpu_burn "fault op=launch name=gemm_bf16* dev=1 count=0 flip off=1000 bit=6"
finding fail wrong "gpu1 bf16"
rest_is_good "gpu0 bf16" "gpu2 bf16"
journal_says "done again on this GPU: wrong again"
journal_says "on another: right"

# Hopper's own kernel, which two launches ask and two prove: wrong on one GPU of three, then on all
fault wgmma_one 1 gpu_burn "fault op=launch name=gemm_bf16_wgmma dev=1 nth=3 count=0 flip off=1000 bit=6"
finding not-measured bf16 gpu1 "if this one alone does it is the GPU"
finding not-measured wrong "gpu1 bf16" "mma.sync right ones"
finding fail vote gpu1 "is not that of 2 of 3 GPUs"
rest_is_good "gpu0 bf16" "gpu2 bf16" gpu0 gpu2
journal_says "own mma.sync sm_90 (wgmma gave wrong products on this GPU; no cuBLASLt"

fault wgmma_all 3 gpu_burn "fault op=launch name=gemm_bf16_wgmma dev=0 nth=3 count=0 flip off=1000 bit=6" \
	"fault op=launch name=gemm_bf16_wgmma dev=1 nth=3 count=0 flip off=1000 bit=6" \
	"fault op=launch name=gemm_bf16_wgmma dev=2 nth=3 count=0 flip off=1000 bit=6"
finding not-measured bf16 gpu0 "if other GPUs of this model say the same it is our kernel or the driver"
finding not-measured bf16 gpu1
finding pass vote gpu1 "agree"

fault slow_gpu 1 gpu_burn "fault op=launch name=gemm_* dev=2 count=0 slow=5"
finding fail bf16 gpu2
rest_is_good gpu0 gpu1

fault hot 1 gpu_burn "throttle 1 0x40 share 1"
finding fail hot_share gpu1
rest_is_good gpu0 gpu2

soak="gpu_soak: {seconds: 2s, gemm: 200ns, window: 20ns, memory: 0s, share: 20%, bytes: 64 KiB, host: 0%, disks: 0, size: 128}"
gpu_profile soak.yaml "$soak"
cp profile.yaml checks.yaml
cp soak.yaml profile.yaml
fault soak_lost 1 gpu_soak "fault op=launch name=gemm_* dev=1 nth=40 lost"
finding fail xid gpu1 "XID 79"
finding pass wrong gpu0
cp checks.yaml profile.yaml

# ---- GPUs that fail ----------------------------------------------------------------------------
fault hang 3 gpu_burn "fault op=launch name=gemm_bf16* dev=1 nth=12 hang"
finding not-measured bf16 gpu1 "hangs"
rest_is_good gpu0 gpu2

fault lost 1 gpu_p2p "fault op=peer dev=1 nth=4 lost xid=79"
finding fail xid gpu1 "XID 79"
finding not-measured write "gpu1>gpu0" "gpu1"
finding pass write "gpu0>gpu2"
finding pass write "gpu2>gpu0"

fault context 3 gpu_burn "fault op=ctx dev=2 count=0 err=46"
finding not-measured bf16 gpu2 "context"
rest_is_good gpu0 gpu1

fault crash 3 gpu_burn "fault op=launch name=gemm_bf16* dev=0 nth=12 crash"
finding not-measured bf16 gpu0 "it died"
rest_is_good gpu1 gpu2

# ---- drivers and settings ----------------------------------------------------------------------
fault stub 3 gpu_memory_bandwidth "stub"
finding not-measured read gpu0 "stub"

rm -f "$work/machines/hgx-good/lib"/*
expect 3 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 --root "$machine" --only gpu_memory_bandwidth -o no_driver
name=no_driver
finding not-measured read gpu0 "driver library"

fault old_driver 3 gpu_memory_bandwidth "driver 11020"
finding not-measured read gpu0 "driver"

fault old_image 3 gpu_memory_bandwidth "fault op=module name=fatbin count=0 err=222"
rest_is_good gpu0 gpu1 gpu2
journal_says '"k":"image","v":"PTX'

fault no_nvml 3 gpu_inventory,gpu_memory_bandwidth "nvml absent"
finding not-measured links_down gpu0 "NVML"
finding pass read gpu0

fault nvml_function 3 gpu_inventory "nvml missing nvmlDeviceGetNvLinkState"
finding not-measured links_down gpu0 "lacks the function"
finding pass foreign_processes gpu0

fault mismatch 3 gpu_inventory "nvml mismatch"
finding not-measured links_down gpu0 "version"

fault exclusive 3 gpu_memory_bandwidth "mode exclusive 1" "fault op=ctx dev=1 count=0 err=46"
finding not-measured read gpu1
rest_is_good gpu0 gpu2

fault mig 3 gpu_memory_bandwidth "mig 2 on"
finding not-measured read gpu2 "MIG"
rest_is_good gpu0 gpu1

fault others 1 gpu_inventory "process 1 pid 4711 used 2GiB" "limit 2 500" "ecc_errors 0 0 3"
finding fail foreign_processes gpu1
finding fail power_limit_cut gpu2
finding fail ecc_uncorrected gpu0

CUDA_VISIBLE_DEVICES=0,2 fault hidden 3 gpu_memory_bandwidth ""
finding not-measured read gpu1 "CUDA_VISIBLE_DEVICES"
rest_is_good gpu0 gpu2

CUDA_VISIBLE_DEVICES=2,1,0 fault reordered 1 gpu_memory_bandwidth "fault op=launch name=read_units dev=0 count=0 slow=4"
finding fail read gpu0
rest_is_good gpu1 gpu2

# all eight, for the inventory
gpu_spec spec.yaml hgx-h100
fault ecc_off 1 inventory "ecc 1 off"
finding fail ecc gpu1
finding pass ecc gpu0
fault wrong_model 1 inventory 'gpu 5 model "NVIDIA H100 PCIe"'
finding fail model gpu5
finish
