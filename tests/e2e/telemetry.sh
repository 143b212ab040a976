#!/usr/bin/env bash
# The sampler on a recorded machine: seconds, marks, what it keeps, and its end.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/e2e/telemetry_lib.sh" || exit 1
need python3

sh "$ASSAY_SOURCE/tests/machines/make.sh" "$work/machines" hgx-good >/dev/null
machine=$work/machines/hgx-good
mkdir -p "$machine/dev"
echo "6,1,1,-;NVRM: Xid (PCI:0000:41:00): 13, of yesterday" >"$machine/dev/kmsg"
gpu3=$(readlink -f "$machine/sys/bus/pci/devices/0000:41:00.0")
mkfifo orders

# start FILE: the sampler writes into FILE and takes orders from descriptor 8.
start() {
	exec 8<>orders
	"$ASSAY" sample --root "$machine" <orders >"$1" 2>"$err" 8>&- &
	pid=$!
}

# end: its word, and its exit code within 20 s.
end() {
	echo stop >&8
	check "the sampler leaves" within 20 gone
	wait "$pid"
	check "exit code of the sampler" test $? = 0
	exec 8>&-
	sane "$err"
}

gone() {
	! kill -0 "$pid"
}

start one
sleep 4.2
echo 8 >"$gpu3/current_link_width"
echo "3,9,9,-;NVRM: Xid (PCI:0000:41:00): 79, pid=7, GPU has fallen off the bus." >>"$machine/dev/kmsg"
sleep 1.5
printf 'TOTAL_ERR_FATAL 2\n' >"$gpu3/aer_dev_fatal"
sleep 16
end
holds one '("gpu3", "pcie_lanes", "pcie_lanes 16 to 8") in marks'
holds one '("gpu3", "aer_fatal", "aer_fatal 0 to 2") in marks'
holds one '[m[2] for m in marks if m[1] == "xid"] == ["XID 79: NVRM: Xid (PCI:0000:41:00): 79, pid=7, GPU has fallen off the bus."]'
holds one 'len([m for m in marks if m[1] == "hole" and "this is a recorded machine" in m[2]]) == 4'
# a node under other load may miss seconds: then it says so, and the windows say how many they are
holds one 'any(m[1] == "missed" for m in marks) or [l["w"] for l in tele][0] == 10'
holds one '20 <= sum(w for (t, w) in {(l["t"], l["w"]) for l in tele}) + 3 * sum(m[1] == "missed" for m in marks)'
holds one 'told["gpu3.pcie_lanes"] == [8] and told["gpu0.pcie_lanes"] == [16]'
holds one 'told["dimm:CPU_SrcID#0_MC#0_Chan#1_DIMM#0.edac_ce"] == [7]'
holds one '[kept["gpu3.pcie_lanes"][i] for i in (0, -1)] == [16, 8] and len(kept["ms"]) > 15'
holds one 'all(900 <= b - a <= 1100 for a, b in zip(kept["ms"], kept["ms"][1:])) or any(m[1] == "missed" for m in marks)'
holds one 'full[-1] == {**full[-1], "bytes": len(packed), "crc": crc(packed)} and packed[:4] == b"ATB1"'

# An agent that goes away, or a signal, ends it as well; what it kept comes.
start two
sleep 2
kill -TERM "$pid"
check "SIGTERM ends it" within 20 gone
exec 8>&-
holds two 'full[-1]["bytes"] == len(packed) > 0'
sleep 1.5 | "$ASSAY" sample --root "$machine" >three 2>"$err"
holds three 'full[-1]["bytes"] == len(packed) > 0 and tele[-1]["w"] in (1, 2)'

# Sensors of the BMC, where there is one and the library that asks it.
if [ -e "${ASSAY_IPMI:-}" ]; then
	# bmc FILE LINE...: $seconds with a BMC that says these lines.
	bmc() {
		local file=$1
		shift
		printf '%s\n' "$@" >bmc.txt
		sleep "$seconds" | ASSAY_IPMI_DOUBLE=$work/bmc.txt "$ASSAY" sample --root "$machine" >"$file" 2>"$err"
		sane "$err"
	}
	seconds=2.5
	touch "$machine/dev/ipmi0"
	bmc five "1 1 2 23.5 Inlet Temp"
	holds five 'any(m[1] == "hole" and "there is no libipmimonitoring.so.6 here" in m[2] for m in marks)'
	mkdir -p "$machine/lib"
	cp "$ASSAY_IPMI" "$machine/lib/libipmimonitoring.so.6"
	bmc six "1 1 2 23.5 Inlet Temp" "2 5 2 8412 FAN1" "3 5 1 9000 FAN1" "4 6 2 5210 Total Power" "5 3 2 12 12V" "6 1 0 0 Empty"
	holds six 'kept["node.ipmi_inlet_temp_c"][0] == 23.5 and kept["node.ipmi_fan1_rpm"][0] == 8410'
	holds six 'kept["node.ipmi_fan1_2_rpm"][0] == 9000 and kept["node.ipmi_total_power_w"][0] == 5210'
	holds six 'len([k for k in kept if "ipmi" in k]) == 4 and kept["node.ipmi_fan1_rpm"][1] is None'
	bmc seven "fail BMC busy"
	holds seven '("", "hole", "sensors of the BMC are not watched: BMC busy") in marks'
	# One that does not answer holds up nobody else, and is said; nor does it keep the process from leaving.
	seconds=10
	bmc eight "hang 7" "1 1 2 23.5 Inlet Temp"
	holds eight 'len(kept["gpu3.pcie_lanes"]) >= 8 and None not in kept["gpu3.pcie_lanes"]'
	holds eight '[m[2] for m in marks if m[1] == "silent"][0] == "sensors of the BMC (IPMI): no answer for 5 s"'
	holds eight '"sensors of the BMC (IPMI): answers again, after " in [m[2] for m in marks if m[1] == "silent"][1]'
	holds eight '23.5 in kept["node.ipmi_inlet_temp_c"]'
	seconds=2.5
	SECONDS=0
	bmc nine "hang 100"
	check "a source that hangs does not keep the process" test $SECONDS -lt 30
	holds nine 'full[-1]["bytes"] == len(packed) > 0'
	rm -rf /tmp/assay-ipmi.* # of the one that was left hanging
	bmc ten "1 1 2 23.5 Inlet Temp"
	check "no cache is left behind" test -z "$(ls -d /tmp/assay-ipmi.* 2>/dev/null)"
else
	note "sensors of the BMC: the double was not built"
fi

# A machine that cannot be opened is said, and nothing is made up.
expect 0 "$ASSAY" sample --root "$work/nothing-here"
cp "$out" four
holds four 'not any(l["v"] for l in tele) and full[-1]["bytes"] == 0'
holds four '[m[1] for m in marks] == ["hole"]'
finish
