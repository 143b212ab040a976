# shellcheck shell=bash
# gpu_lib.sh - machines whose driver libraries are doubles; sourced behind lib.sh, never run.
[ -e "${ASSAY_DOUBLES:-}/libcuda.so.1" ] || skip "needs the doubles of the GPU driver: nvcc was missing when this was built"
scenarios=$ASSAY_SOURCE/tests/doubles/scenarios

# gpu_machine RECORDED SCENARIO [LINE...]: sets $machine to a recorded machine with doubles in its lib folder;
# they play the scenario and the further lines.
gpu_machine() {
	local name=$1 scenario=$2
	shift 2
	machine=$work/machines/$name
	[ -e "$machine" ] || sh "$ASSAY_SOURCE/tests/machines/make.sh" "$work/machines" "$name" >/dev/null
	mkdir -p "$machine/lib" "$machine/dev"
	: >"$machine/dev/kmsg"
	cp -P "$ASSAY_DOUBLES"/lib*.so* "$machine/lib/"
	export ASSAY_DOUBLE=$work/scenario.txt
	{
		cat "$scenarios/$scenario.txt"
		echo 'gpu * shown 80GiB'
		printf '%s\n' "$@"
	} >"$ASSAY_DOUBLE"
}

# gpu_spec FILE SYSTEM [LINE...]: a system of the library, with what tiny matrices and buffers cannot reach.
gpu_spec() {
	local file=$1 system=$2
	shift 2
	{
		printf 'assay: spec/1\nname: on doubles\nextends: %s\nlimits:\n' "$system"
		echo '  gpu_burn.verify_share: {at_most: 100%, origin: contract, source: "small matrices are mostly verified"}'
		printf '%s\n' "$@"
	} >"$file"
}

# gpu_profile FILE CHECK...: an inventory and these checks.
gpu_profile() {
	local file=$1
	shift
	{
		printf 'assay: profile/1\nname: doubles\nrepeat: 0\nphases:\n  - name: inventory\n    checks:\n'
		printf '      inventory:\n      gpu_inventory:\n  - name: gpus\n    checks:\n'
		printf '      %s\n' "$@"
	} >"$file"
}

# all_good RUN: everything was measured and nothing failed, though a double can accept nothing.
all_good() {
	sane "$1/journal.jsonl"
	check "$1: simulated" test "$(json "$1/report.json" 'j["simulated"]')" = True
	# but the health logs of disks that are only recorded, which telemetry asks for
	check "$1: no holes" test "$(json "$1/report.json" '[h for h in j["coverage"]["holes"]
		if h["check"] != "telemetry" or "health log" not in h["why"]]')" = "[]"
	json "$1/report.json" '[(f["check"], f["metric"], f["subject"], f["value"], f["why"]) for f in j["findings"]
		if f["verdict"] in ("fail", "inconclusive", "waived")][:8]' >"$out" 2>&1
	check "$1: nothing failed" grep -qx '\[\]' "$out"
}

# figures RUN CHECK METRIC: how many of them were measured.
figures() {
	json "$1/report.json" "sum(f['check'] == '$2' and f['metric'] == '$3' and f['samples'] > 0 for f in j['findings'])"
}
