#!/usr/bin/env bash
# What telemetry saw decides: marks of a real run in its journal, holes of the watching, waivers.
. "$(dirname "$0")/lib.sh"
need python3

sh "$ASSAY_SOURCE/tests/machines/make.sh" "$work/machines" hgx-good >/dev/null
machine=$work/machines/hgx-good
mkdir -p "$machine/dev"
: >"$machine/dev/kmsg"
mce='mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 5: be00000000800400'

{
	echo 'programs:'
	program first "sleep 4; $(six 20)"
	program second "sleep 2; $(six 20)"
	echo 'limits:'
	at_least first 10
	at_least second 10
} | spec spec.yaml
profile profile.yaml 0 one:first two:second
sed -i 's/^  - name: one$/&\n    gate: leave/' profile.yaml

# journal_is FILE EXPRESSION: over `marks` and `watch`, the objects of the journal.
journal_is() {
	check "$1: $2" python3 -c 'import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
marks = [l for l in lines if l["e"] == "mark"]
watch = [l for l in lines if l["e"] == "watch"]
sys.exit(not eval(sys.argv[2]))' "$1" "$2"
}

# A machine check while a step runs that counts none. The machine is a recorded one, so that its log can be
# written; such a run can be rejected, and never accepted.
(
	sleep 2
	echo "2,9,9,-;$mce" >>"$machine/dev/kmsg"
	echo "3,9,9,-;NVRM: Xid (PCI:0000:41:00): 79, pid=7, GPU has fallen off the bus." >>"$machine/dev/kmsg"
	echo "6,9,9,-;mlx5_core 0000:41:00.0: eth0: Link is Up" >>"$machine/dev/kmsg"
) &
run 1 run1 spec.yaml profile.yaml --root "$machine"
wait
says "REJECTED"
second=$(python3 -c 'import json, time
lines = [json.loads(l) for l in open("run1/journal.jsonl")]
ahead = next(l["offset"] for l in lines if l["e"] == "clock")
t = next(l["t"] for l in lines if l["e"] == "mark" and l["what"] == "mce")
print(time.strftime("%H:%M:%S", time.gmtime(t - ahead)))')
says "telemetry faults of n1: 1, wanted = 0"
says "$mce, $second UTC, while one/first/n1 ran"
says "telemetry faults of n1/gpu3: 1, wanted = 0"
says "XID 79: NVRM: Xid (PCI:0000:41:00): 79, pid=7, GPU has fallen off the bus."
says "n1/gpu3, telemetry"
journal_is run1/journal.jsonl 'sorted(m["what"] for m in marks if m["what"] != "hole") == ["link", "mce", "xid"]'
journal_is run1/journal.jsonl '[w["word"] for w in watch] == ["told"]'
check "the gate kept it out of the second phase" grep -q '"step":"two/second/n1","word":"left-out"' run1/journal.jsonl
says "in phase one, telemetry.faults of n1"
check "it is a node that failed" grep -qx n1 run1/hosts.fail
# Judged again, without telemetry too, it is the same: the journal has all of it.
rm -r run1/telemetry
expect 1 "$ASSAY" judge run1
says "telemetry faults of n1: 1, wanted = 0"
says "$mce, $second UTC, while one/first/n1 ran"
for format in text html json csv junit prometheus; do
	expect 0 "$ASSAY" report run1 --format $format
	says telemetry
done
for suffix in csv xml prom; do
	expect 0 "$ASSAY" report run1 --format "$(case $suffix in xml) echo junit ;; prom) echo prometheus ;; *) echo csv ;; esac)"
	check "report.$suffix is the same" cmp "$out" run1/report.$suffix
done
expect 1 "$ASSAY" watch run1
says "REJECTED: 2 of 2 steps, 1 node failing"

# The same mark in the second between two steps.
cp -r run1 run2
journal_edit run2/journal.jsonl '
end = next(l for l in map(load, lines) if l["e"] == "end")
for i, l in enumerate(lines):
    o = load(l)
    if o["e"] == "mark" and o["what"] == "mce":
        o["t"] = end["t"] + 0.5
        lines[i] = seal(o)
'
expect 1 "$ASSAY" judge run2
says "$mce, "
says "UTC, between its steps"

# resume: what an earlier sitting saw still counts, and nothing between the two is a gap.
profile open.yaml 0 one:first two:second
: >"$machine/dev/kmsg"
(
	sleep 2
	echo "2,9,9,-;$mce" >>"$machine/dev/kmsg"
) &
run 1 run7 spec.yaml open.yaml --root "$machine"
wait
check "no gate, no loss" grep -q '"step":"two/second/n1","word":"done"' run7/journal.jsonl
journal_edit run7/journal.jsonl '
lines = lines[:next(i for i, l in enumerate(lines) if b"two/second" in l)]
'
expect 1 "$ASSAY" resume run7
says "telemetry faults of n1: 1, wanted = 0"
says "$mce, "
silent "its telemetry did not come"
journal_is run7/journal.jsonl '[w["word"] for w in watch] == ["told", "told"]'

# One that falls silent for more than a minute leaves a hole, too, until it tells again.
{
	echo 'programs:'
	program long "sleep 85; $(six 20)" 'timeout: 100s'
	echo 'limits:'
	at_least long 10
} | spec long.yaml
profile long-profile.yaml 0 one:long
samplers() {
	local p
	for p in $(leftovers); do
		grep -qz '^sample$' "/proc/$p/cmdline" && echo "$p"
	done
}
(
	sleep 3
	frozen=$(samplers | head -1)
	kill -STOP "$frozen"
	sleep 68
	kill -CONT "$frozen"
) &
run 3 run8 long.yaml long-profile.yaml
wait
says "telemetry watch of n1"
says "its telemetry did not come from"
silent "to the end"
journal_is run8/journal.jsonl '[w["word"] for w in watch] == ["told", "gap", "back"]'
journal_is run8/journal.jsonl '60 <= watch[1]["t"] - watch[1]["since"] < 66 and watch[2]["since"] == watch[1]["since"]'

# A sampler that dies leaves a hole, however short the run is.
killed() {
	local pid
	pid=$(samplers | head -1)
	[ -n "$pid" ] && kill -9 "$pid"
}
(
	sleep 2
	within 5 killed
) &
run 3 run3 spec.yaml profile.yaml
wait
says "telemetry watch of n1"
says "its telemetry did not come from"
journal_is run3/journal.jsonl '[w["word"] for w in watch] == ["told", "gap"]'

# Nobody can run it as a check, give it a limit or take its name.
profile bad.yaml 0 measure:first,telemetry
expect 2 "$ASSAY" run --spec ./spec.yaml --profile ./bad.yaml --hosts n1 -o run4
says "'telemetry' is no check to run: every run watches by itself"
spec limits.yaml <<'END'
limits:
  telemetry.faults: {at_most: "3", origin: contract, source: a test}
END
expect 2 "$ASSAY" spec check ./limits.yaml
says "telemetry.faults: any but zero is a fault already, it takes no limit"
spec limits.yaml <<'END'
limits:
  telemetry.corrected: {at_most: "3", origin: contract, source: a test}
END
expect 2 "$ASSAY" spec check ./limits.yaml
says "telemetry.corrected is recorded only"
{
	echo 'programs:'
	program telemetry "$(six 20)"
} | spec named.yaml
expect 2 "$ASSAY" spec check ./named.yaml
says "'telemetry' is the name of a built-in check"
spec waivers.yaml <<'END'
waivers: [{check: telemetry, metric: wach, by: a, reason: b}]
END
expect 2 "$ASSAY" spec check ./waivers.yaml
says "the waiver names 'wach', which telemetry does not measure"

# An ordinary user sees no log: that is a hole with a name, and what `spec derive` writes waives it, unsigned.
sees_kernel_log || {
	note "runs on this machine: its kernel's log cannot be read"
	finish
}
{
	echo 'programs:'
	program first "$(six 20)"
	echo 'limits:'
	at_least first 10
} | spec quick.yaml
profile quick-profile.yaml 0 one:first
run 0 run5 quick.yaml quick-profile.yaml
says "findings 3 pass"
says "telemetry pass 2 more with exactly what was wanted"
if [ "$(id -u)" != 0 ] || [ "$(cat /proc/sys/kernel/dmesg_restrict)" != 1 ]; then
	note "an ordinary user: needs root, and dmesg_restrict set"
	finish
fi
program_of_all=$(public_copy)
mkdir -m 777 theirs
expect 3 "${as_nobody[@]}" "$program_of_all" run --spec ./quick.yaml --profile ./quick-profile.yaml --hosts n1 -o theirs/run6
says "telemetry watch of n1/kmsg"
says "the kernel's log is not watched: /dev/kmsg: Operation not permitted"
says "findings 2 pass, 1 not-measured"
expect 0 "${as_nobody[@]}" "$program_of_all" spec derive --folder "$work/theirs"
says 'check: telemetry, metric: watch, subject: "*/kmsg"'
says "the spec waives that, and waits for a name"
{
	cat quick.yaml
	sed -n '/^waivers:/,$p' "$out"
} >waived.yaml
expect 0 "$ASSAY" judge theirs/run6 --spec ./waived.yaml
says "findings 2 pass, 1 waived"
says "not-measured, waived by nobody yet, see the spec: the kernel's log is not watched"
expect 0 "$ASSAY" spec derive
silent waivers
finish
