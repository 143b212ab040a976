#!/usr/bin/env bash
# The files of docs/site in a real Slurm: nightly jobs on idle nodes, Prolog and Epilog, and the units of systemd.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/lab/slurm.sh" || exit 1
site=$ASSAY_SOURCE/docs/site
program=$(public_copy)
mkdir site runs
cp "$site"/* site/

# Units first: they need no Slurm.
for f in "$site"/*.sbatch "$site"/*.sh "$site"/nightly-*; do
	check "syntax of ${f##*/}" bash -n "$f"
done
if command -v systemd-analyze >/dev/null; then
	sed "s|/usr/share/doc/assay/site/|$work/site/|" "$site/assay-nightly.service" >assay-nightly.service
	cp "$site/assay-nightly.timer" .
	expect 0 systemd-analyze verify "$work/assay-nightly.service" "$work/assay-nightly.timer"
	silent "Unknown"
	expect 0 systemd-analyze calendar "$(sed -n 's/^OnCalendar=//p' assay-nightly.timer)"
else
	note "the units of systemd: needs systemd-analyze"
fi

{
	echo programs:
	program good "for i in 1 2 3 4 5 6; do echo value \$(cat $work/figure.\$SLURMD_NODENAME 2>/dev/null || cat $work/figure); done" 'timeout: 5s'
	program slow "sleep 2; $(six 42)" 'timeout: 6s'
	echo limits:
	at_least good 40
	at_least slow 40
} | spec spec.yaml
profile nightly.yaml 0 one:good two:slow
profile look.yaml 0 one:good
echo 42 >figure
for n in 1 2 3 4; do echo 42 >figure.n$n; done
# The profile that comes with it loads, and has nothing that writes.
expect 0 "$ASSAY" plan --spec hgx-h100 --profile "$site/prolog.yaml" --hosts n1
says "written 0 B to disks"

# ---- a machine without a scheduler ------------------------------------------------------------------------
export ASSAY_RUNS=$work/runs ASSAY_SPEC=$work/spec.yaml
export ASSAY=$program ASSAY_PROFILE=$work/nightly.yaml ASSAY_CHECK_PROFILE=$work/look.yaml
mkdir runs/nightly-2020-01-01 runs/precious
touch -d 2020-01-01 runs/nightly-2020-01-01 runs/precious
expect 0 site/nightly-node
says ACCEPTED
check "old runs go" test ! -e runs/nightly-2020-01-01
check "nothing else does" test -e runs/precious
sed -i '$d' runs/nightly-*-*/journal.jsonl
expect 0 site/nightly-node
says ACCEPTED
echo 1 >figure
rm -r runs/nightly-*
expect 1 site/nightly-node
says REJECTED
ASSAY_SPEC='' expect 1 site/nightly-node
says "the spec of this machine"
echo 42 >figure

# ---- Prolog and Epilog by hand ----------------------------------------------------------------------------
look() {
	local code=$1 script=$2
	expect "$code" env SLURM_JOB_ID=7 SLURMD_NODENAME=n1 "site/$script"
}
look 0 prolog.sh
check "leaves nothing" test -z "$(ls runs | grep prolog)"
echo 1 >figure.n1
look 1 prolog.sh
says "prolog.sh: rejected, see $work/runs/prolog.sh-7-n1: good value of n1: 1, wanted >= 40"
check "leaves its run" test -e runs/prolog.sh-7-n1/report.html
look 1 epilog.sh
says "epilog.sh: rejected"
echo 42 >figure.n1
look 0 epilog.sh
# What says nothing about the node drains no node.
ASSAY_PROFILE='' ASSAY_CHECK_PROFILE=$work/nightly.yaml ASSAY_CHECK_SECONDS=1 look 0 prolog.sh
says "not done within 1 s"
ASSAY=/nowhere/assay look 0 prolog.sh
says "assay left with 127"
ASSAY_SPEC=/nowhere/spec.yaml look 0 prolog.sh
says "assay left with 2"
ASSAY_SPEC='' look 0 prolog.sh
says "nothing was checked"
printf 'echo nonsense\n' >figure.n1
look 0 prolog.sh
says "not all of it was measured"
echo 42 >figure.n1

# ---- Slurm ------------------------------------------------------------------------------------------------
# slurmd cleans the environment of its Prolog, so what stands in /etc/default/assay elsewhere is set in front of it.
for f in prolog epilog; do
	{
		echo '#!/bin/bash'
		export -p | grep -E ' (ASSAY[A-Z_]*|E2E_MARK)='
		echo "exec $work/site/$f.sh"
	} >$f
	chmod 755 $f
done
lab_start "Prolog=$work/prolog" "Epilog=$work/epilog" "PrologFlags=Alloc"
expect 0 srun -N1 -w n1 --immediate=20 true
check "n1 takes jobs" within 20 lab_idle
echo 1 >figure.n1
timeout 20 srun -N1 -w n1 --immediate=20 touch ran >/dev/null 2>&1
check "n1 is drained" within 20 bash -c 'scontrol show node n1 | grep -q "State=.*DRAIN"'
check "for its Prolog" bash -c 'scontrol show node n1 | grep -qi "Reason=.*prolog"'
check "the job never ran" test ! -e ran
scancel -u "$(id -un)"
echo 42 >figure.n1
check "n1 comes back" within 30 bash -c 'scontrol update NodeName=n1 State=RESUME; [ "$(sinfo -h -N -o %T | grep -c "^idle\$")" = 4 ]'
srun -N1 -w n2 --immediate=20 bash -c "echo 1 >$work/figure.n2"
check "n2 is drained" within 20 bash -c 'scontrol show node n2 | grep -q "State=.*DRAIN"'
check "for its Epilog" bash -c 'scontrol show node n2 | grep -qi "Reason=.*epilog"'
echo 42 >figure.n2
check "n2 comes back" within 30 bash -c 'scontrol update NodeName=n2 State=RESUME; [ "$(sinfo -h -N -o %T | grep -c "^idle\$")" = 4 ]'

# ---- nightly jobs: idle nodes only, one each -----------------------------------------------------------------
# The looks before and behind are quick, the night finds what they did not look at.
sed -i 's/^ASSAY_CHECK_PROFILE.*//' prolog epilog
sed -i '2i exit 0' prolog epilog
srun -N1 -w n4 --exclusive --immediate=20 sleep 6 >/dev/null 2>&1 &
within 10 bash -c '[ -n "$(squeue -h -t R)" ]'
echo 1 >figure.n2
rm -rf runs/*
expect 0 site/nightly-submit
check "three jobs" test "$(squeue -h -n assay-nightly | wc -l)" = 3
expect 0 site/nightly-submit
check "none twice" test "$(squeue -h -n assay-nightly | wc -l)" = 3
check "they end" within 60 bash -c '[ -z "$(squeue -h -n assay-nightly)" ]'
wait $!
check "n1 and n3 passed" test "$(cat runs/nightly-n[13]-*/hosts.pass | tr '\n' ' ')" = 'n1 n3 '
check "n2 failed" test "$(cat runs/nightly-n2-*/hosts.fail)" = n2
check "n2 is drained by us" bash -c 'scontrol show node n2 | grep -q "Reason=assay nightly-n2-[0-9]*: n2 good.value 1"'
check "the busy one was let be" bash -c '! ls -d runs/nightly-n4-* 2>/dev/null'
for n in 1 3; do sane runs/nightly-n$n-*/journal.jsonl; done

# preempted: the same job goes on where it was
job=$(sbatch --parsable -w n1 site/nightly.sbatch)
run=runs/nightly-n1-$job
check "started" within 20 grep -q '"e":"start","at":"n1","step":"two' "$run/journal.jsonl"
scontrol requeue "$job"
# A requeued job waits for two minutes of its own (BeginTime), which an operator may end.
check "queued again" within 20 bash -c "squeue -h -j $job -t PD | grep -q ."
check "goes on" within 90 bash -c "scontrol update JobId=$job StartTime=now 2>/dev/null; [ -e $run/hosts.pass ]"
check "passed" test "$(cat "$run/hosts.pass")" = n1
check "the first half was kept" test "$(grep -c '"e":"start","at":"n1","step":"one' "$run/journal.jsonl")" = 1
check "they end" within 30 bash -c '[ -z "$(squeue -h -n assay-nightly)" ]'
finish
