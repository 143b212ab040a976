#!/usr/bin/env bash
# What a run does to nodes in Slurm: drains those that failed, resumes those that it drained, and nothing else.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/lab/slurm.sh" || exit 1
lab_start
program=$(public_copy)

# The figure of each node stands in a file.
{
	echo programs:
	program good "for i in 1 2 3 4 5 6; do echo value \$(cat $work/figure.\$SLURMD_NODENAME); done" 'timeout: 5s'
	program other "$(six 42)" 'timeout: 5s'
	program slow "sleep 3; $(six 42)" 'timeout: 6s'
	echo limits:
	at_least good 40
	at_least other 40
	at_least slow 40
} | spec spec.yaml
profile profile.yaml 0 one:good,other
profile other.yaml 0 one:other
profile slow.yaml 0 one:slow
good() {
	local n
	for n in 1 2 3 4; do echo 42 >figure.n$n; done
}
good

base=("$ASSAY" run --spec ./spec.yaml --launcher slurm --program "$program")
reason_of() {
	scontrol show node "$1" | sed -n 's/^   Reason=\(.*\) \[.*/\1/p'
}
state_of() {
	scontrol show node "$1" | sed -n 's/^   State=\([^ ]*\).*/\1/p'
}
resume_all() {
	scontrol update NodeName=n[1-4] State=RESUME 2>/dev/null
	local n
	for n in 1 2 3 4; do scontrol update NodeName=n$n State=RESUME 2>/dev/null; done
	check "all are back" within 30 lab_idle
}

# ---- a node that fails ---------------------------------------------------------------------------------
echo 1 >figure.n2
expect 1 "${base[@]}" --profile ./profile.yaml --hosts 'n[1-4]' --drain -o d1
says "assay: n2: drained: assay d1: n2 good.value 1, wanted >= 40"
check "drained" test "$(state_of n2)" = IDLE+DRAIN
check "with the reason" test "$(reason_of n2)" = 'assay d1: n2 good.value 1, wanted >= 40'
check "the others are not" within 20 lab_idle 3
check "it is in the journal" grep -q '"at":"n2","text":"drained: assay d1: n2' d1/journal.jsonl
check "lists" test "$(cat d1/hosts.pass d1/hosts.fail d1/hosts.lost d1/hosts.incomplete | tr '\n' ' ')" = 'n[1,3-4] n2   '
says "failed 1: n2"
says "passed 3: n[1,3-4]"
check "in report.json too" test "$(json d1/report.json "[j['nodes'][k] for k in ('expected', 'answered', 'passed', 'failed', 'lost', 'incomplete')] + [j['nodes']['hosts']['failed']]")" = "[4, 4, 3, 1, 0, 0, 'n2']"
if python3 -c 'import jsonschema' 2>/dev/null; then
	check "schema" python3 -c 'import json, sys, jsonschema; jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' \
		d1/report.json "$ASSAY_SOURCE/docs/report.schema.json"
else
	note "report.json against its schema: needs python3-jsonschema"
fi
expect 0 sbatch --test-only --exclude="$(cat d1/hosts.fail)" -N1 --wrap true
expect 0 sbatch --test-only --exclude="$(cat d1/hosts.lost)" -N1 --wrap true

# ---- undrain -------------------------------------------------------------------------------------------
# A drained node takes no jobs, so it is measured without Slurm's help.
local_run() {
	local code=$1
	shift
	SLURMD_NODENAME=n2 expect "$code" "$ASSAY" run --spec ./spec.yaml --launcher local --hosts n2 "$@"
}
local_run 1 --profile ./profile.yaml --undrain -o u1
check "it still fails" test "$(state_of n2)" = IDLE+DRAIN
good
local_run 0 --profile ./other.yaml --undrain -o u2
says "n2: stays drained, this run did not measure what it is drained for: assay d1"
check "other checks prove nothing" test "$(state_of n2)" = IDLE+DRAIN
local_run 2 --profile ./profile.yaml --undrain --only good -o u3
says "leave out --only"
local_run 0 --profile ./profile.yaml -o u4
check "not without being asked" test "$(state_of n2)" = IDLE+DRAIN
expect 0 "$ASSAY" resume u4 --undrain
says "assay: n2: undrained; the reason was: assay d1: n2 good.value 1"
check "all are back" within 30 lab_idle

scontrol update NodeName=n2 State=DRAIN Reason='assays: bad fan'
local_run 0 --profile ./profile.yaml --undrain --drain -o u5
says "n2: stays drained, somebody else did that: assays: bad fan"
scontrol update NodeName=n2 State=DRAIN Reason='assay it again, please'
local_run 0 --profile ./profile.yaml --undrain -o u6
check "words that only look like ours" test "$(reason_of n2)" = 'assay it again, please'
echo 1 >figure.n2
local_run 1 --profile ./profile.yaml --drain -o u7
check "a reason of ours is brought up to date" test "$(reason_of n2)" = 'assay u7: n2 good.value 1, wanted >= 40'
scontrol update NodeName=n2 State=DRAIN Reason='bad fan'
local_run 1 --profile ./profile.yaml --drain -o u8
says "n2: is drained already, by somebody else: bad fan"
check "left as it was" test "$(reason_of n2)" = 'bad fan'
resume_all

# ---- what must not drain ---------------------------------------------------------------------------------
expect 1 "${base[@]}" --profile ./profile.yaml --hosts 'n[1-2]' -o nodrain
check "not without being asked" lab_idle
SLURMD_NODENAME=n2 expect 1 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher pretend --hosts 'n[1-2]' --drain -o pretend
says "no node is drained or undrained by a simulated run"
check "a simulated run drains nothing" lab_idle
SLURMD_NODENAME=n2 expect 1 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts elsewhere --drain -o elsewhere
says "elsewhere: not drained: Slurm has no node of this name"
good
expect 3 "$ASSAY" run --spec ./spec.yaml --launcher slurm --program /nowhere/assay --profile ./profile.yaml --hosts 'n[1-2]' --drain -o unreached
says "n1: not drained: no agent of this version answered"
check "a mistake in the set-up drains nothing" lab_idle

# ---- nodes that are lost in the middle -------------------------------------------------------------------
# lost FOLDER NODE...: their agents are killed while they measure
lost() {
	local folder=$1 n code=0
	shift
	"${base[@]}" --profile ./slow.yaml --hosts 'n[1-3]' --drain -o "$folder" >"$out" 2>"$err" </dev/null &
	for n in 1 2 3; do
		within 20 grep -qs '"e":"start","at":"n'$n'"' "$folder/journal.jsonl" || bad "$folder did not start"
	done
	# shellcheck disable=SC2046
	for n in "$@"; do lab_signal KILL $(lab_of "$n" 'assay agent'); done
	wait $! || code=$?
	check "incomplete" test "$code" = 3
	sane "$err"
}
lost l1 2
says "n2: drained: assay l1: lost: its agent was killed"
check "drained" test "$(state_of n2)" = IDLE+DRAIN
local_run 0 --profile ./other.yaml --undrain -o l2
check "a loss is made good by a clean pass" within 30 lab_idle
lost l3 2 3
says "n3: not drained: half of the nodes or more were lost"
check "many at once are not drained" lab_idle

# ---- hostile names, and Slurm that refuses ----------------------------------------------------------------
echo 1 >figure.n2
evil=$'evil$(touch touched)`touch touched`;"\'|\n\e[31m State=IDLE Reason=none'
expect 1 "${base[@]}" --profile ./profile.yaml --hosts n2 --drain -o "$evil"
check "drained" test "$(state_of n2)" = IDLE+DRAIN
check "one line of plain text" test "$(reason_of n2 | tr -d '[:alnum:] ():;?=[.,>&')" = ''
check "all of it in that line" bash -c "scontrol show node n2 | grep -q '^   Reason=assay evil.*State=IDLE Reason: n2 good'"
check "nothing was run" test ! -e touched
check "no escape reaches the terminal" bash -c '! grep -q "$(printf "\033")" err'
resume_all
long=$(printf 'x%.0s' {1..240})
expect 1 "${base[@]}" --profile ./profile.yaml --hosts n2 --drain -o "$long"
check "cut, and still a reason" test "$(reason_of n2)" = "assay ${long:0:63}: n2 good.value 1, wanted >= 40"
resume_all
expect 1 "${base[@]}" --profile ./profile.yaml --hosts n2 --drain -o 'x: lost: y'
check "a name is no cause" test "$(reason_of n2)" = 'assay x_ lost_ y: n2 good.value 1, wanted >= 40'
resume_all

mkdir bin
for tool in env srun scancel sh cat; do ln -s "$(command -v $tool)" bin/$tool; done
expect 1 env PATH="$work/bin" "${base[@]}" --profile ./profile.yaml --hosts n2 --drain -o noscontrol
says "NO NODE WAS DRAINED OR UNDRAINED: cannot start scontrol"
printf '#!/bin/sh\n[ "$1" = update ] || exec %s "$@"\necho "slurm_update error: Access/permission denied" >&2\nexit 1\n' \
	"$(command -v scontrol)" >bin/scontrol
chmod 755 bin/scontrol
expect 1 env PATH="$work/bin:/bin:/usr/bin" "${base[@]}" --profile ./profile.yaml --hosts n2 --drain -o denied
says "n2: NOT DRAINED: scontrol left with code 1: slurm_update error: Access/permission denied"
check "the verdict stands" grep -q REJECTED denied/report.txt
finish
