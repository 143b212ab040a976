#!/usr/bin/env bash
# GPU nodes on doubles of the driver: an HGX H100 and a DGX Station A100, all good.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/e2e/gpu_lib.sh" || exit 1
need python3

# Rates of the doubles are those of real machines; times are virtual and tiny, so that CPUs can follow.
checks() {
	gpu_profile "$1" "gpu_host_copy: {bytes: 1 MiB, copies: 2, samples: 6, curve: 0}" \
		"gpu_p2p: {bytes: $2, copies: 2, samples: 6}" "gpu_p2p_latency: {timings: 6, hops: 100}" \
		"gpu_memory_bandwidth: {samples: 6, least: 5us, slab: 1 MiB}" "gpu_memory_stress: {seconds: 0s}" \
		"gpu_burn: {size: 128, window: 20ns, windows: 10$3}" \
		"gpu_soak: {seconds: 2s, gemm: 200ns, window: 20ns, memory: 0s, share: 20%, bytes: 256 KiB, host: 0%, disks: 0, size: 128}"
}
# 56 pairs and 8 GPUs: fewer precisions there, all of them below
checks hgx-profile.yaml "512 KiB" ", fp64: 0, tf32: 0, fp16: 0, int8: 0"
checks profile.yaml "2 MiB" ""

gpu_machine hgx-good hgx-h100 "latency copy 300ns" "gpu * mem 16MiB" "gpu * l2 1MiB"
gpu_spec spec.yaml hgx-h100
expect 3 "$ASSAY" run --spec ./spec.yaml --profile ./hgx-profile.yaml --hosts n1 --root "$machine" -o hgx
says "SIMULATED"
silent ACCEPTED
all_good hgx
# each wanted figure of each GPU, each pair both ways
check "pairs of an HGX" test "$(figures hgx gpu_p2p write)" = 56
check "own memory too" test "$(figures hgx gpu_p2p both)" = 64
check "precisions of 8 GPUs" test "$(figures hgx gpu_burn bf16)" = 8
# two precisions, in each the result of random data and the product that proved wgmma
check "all agree" test "$(json hgx/report.json \
	'sum(f["metric"] == "vote" and f["verdict"] == "pass" for f in j["findings"])')" = 32
check "which image" grep -q '"k":"image"' hgx/journal.jsonl
check "which library" grep -q '"k":"cuda_library"' hgx/journal.jsonl

gpu_machine station station-a100 "gpu * mem 24MiB" "gpu * l2 1MiB"
gpu_spec station.yaml dgx-station-a100
expect 3 "$ASSAY" run --spec ./station.yaml --profile ./profile.yaml --hosts n1 --root "$machine" -o station
all_good station
check "the display adapter is listed" test "$(json station/report.json \
	'sum(p["part"] == "n1/gpu4" and p["model"] == "DGX Display" for p in j["parts"])')" = 1
check "and not computed on" test "$(json station/report.json \
	'sum("gpu4" in f["subject"] and f["check"] != "inventory" for f in j["findings"])')" = 0
check "precisions of an A100" test "$(json station/report.json 'sorted({f["metric"] for f in j["findings"]
	if f["check"] == "gpu_burn" and f["unit"] == "TFLOP/s" and f["samples"]})')" = "['bf16', 'fp16', 'fp64', 'int8', 'tf32']"
check "a matrix to lay beside the guide's" test "$(json station/report.json \
	'all(abs(f["value"] - (1590 if f["subject"][3:].split(">")[0] == f["subject"][3:].split(">")[1] else 185)) < 10
		for f in j["findings"] if f["metric"] == "both" and f["check"] == "gpu_p2p")')" = True

# one check alone, and the matrix that is printed
expect 3 "$ASSAY" run --spec ./station.yaml --profile ./profile.yaml --hosts n1 --root "$machine" --only gpu_p2p -o one
says "both in GB/s, from row to column; wanted >= 176 GB/s"
check "rows of the matrix" test "$(grep -cE '^  gpu[0-3] +([0-9.]+ +){3}[0-9.]+$' "$out")" -ge 3
check "the page shows it" grep -q '<table class="matrix"><caption><b>gpu_p2p both</b>' one/report.html

# libraries of this very machine that are doubles: facts and links from them accept nothing either
printf 'assay: spec/1\nname: driver\nnodes: {n: {facts: {nvidia_driver: "580*"}}}\n' >driver.yaml
LD_LIBRARY_PATH=$ASSAY_DOUBLES expect 3 "$ASSAY" run --spec ./driver.yaml --profile ./profile.yaml --hosts n1 --only inventory -o facts
says "SIMULATED"
silent ACCEPTED

# what is there, and what would be done
expect 0 "$ASSAY" inventory --root "$machine"
says "NVIDIA A100-SXM4-80GB"
expect 0 "$ASSAY" plan --spec ./station.yaml --profile ./profile.yaml --hosts n1
says "gpus/gpu_burn/n1/gpu3"
silent "gpu_burn/n1/gpu4"

# a node without GPUs has no GPU steps, and a profile with nothing else plans nothing
spec none.yaml <<<''
expect 2 "$ASSAY" plan --spec ./none.yaml --profile ./profile.yaml --hosts n1 --only gpu_burn
says "plans no step"

# a spec of the machine itself takes no display adapter for a GPU to compute on
expect 0 "$ASSAY" spec derive --root "$machine"
says "compute: no"
cp "$out" derived.yaml
expect 0 "$ASSAY" spec check ./derived.yaml
finish
