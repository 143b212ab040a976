#!/usr/bin/env bash
# Four nodes of a real Slurm on loopback, and every way in which one of them, or Slurm itself, can refuse or leave.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/e2e/fakes_lib.sh" || exit 1
. "$ASSAY_SOURCE/tests/lab/slurm.sh" || exit 1
lab_start
program=$(public_copy)

{
	echo programs:
	program good "$(six 42)" 'timeout: 5s'
	program slow "sleep 4; $(six 42)" 'timeout: 6s'
	echo limits:
	at_least good 40
	at_least slow 40
} | spec spec.yaml
profile profile.yaml 0 one:good two:slow

base=("$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher slurm)

# by_itself CODE FOLDER HOSTS [MORE...]: a run that asks Slurm for its own jobs.
by_itself() {
	local code=$1 folder=$2 hosts=$3
	shift 3
	expect "$code" "${base[@]}" --program "${remote:-$program}" --hosts "$hosts" -o "$folder" "$@"
	[ ! -e "$folder/journal.jsonl" ] || sane "$folder/journal.jsonl"
	check "no job is left" within 20 lab_no_jobs
	check "Slurm has no job left" within 20 bash -c '[ -z "$(squeue -h)" ]'
}

# ---- all is well -----------------------------------------------------------------------------------
by_itself 0 all 'n[1-4]'
says ACCEPTED
check "each node gave its figures" test "$(verdicts_of all n4)" = "pass pass"
check "each on its own machine" test "$(grep -c '"e":"hello"' all/journal.jsonl)" = 4
check "all passed" test "$(cat all/hosts.pass)" = 'n[1-4]'

# one srun for all of them, and a program that is brought along
by_itself 0 together 'n[1-4]' --together
check "each gave its figures" test "$(verdicts_of together n4)" = "pass pass"
remote=/nowhere/assay by_itself 0 push 'n[1-2]' --only good --push
remote=/nowhere/assay by_itself 0 push4 'n[1-4]' --only good --push --together
check "nothing of it is left" test -z "$(ls -d /dev/shm/assay.* /tmp/assay.???????? 2>/dev/null)"

# in an allocation, whose nodes need not be named
expect 0 salloc --immediate=20 -N2 -w 'n[2-3]' "${base[@]}" --program "$program" --only good -o inside
says ACCEPTED
check "its nodes" test "$(cat inside/hosts.pass)" = 'n[2-3]'
expect 2 "${base[@]}" -o nohosts
says "--hosts is missing, and SLURM_JOB_NODELIST"
SLURM_JOB_NODELIST='n[1-2' expect 2 "${base[@]}" -o nohosts
says "SLURM_JOB_NODELIST: host list"
expect 3 salloc --immediate=20 -N1 -w n2 "${base[@]}" --program "$program" --only good --hosts 'n[1-2]' -o outside
says "this Slurm job does not have the node"
check "the other went on" test "$(verdicts_of outside n2)" = pass

# what a site sets for srun must not reach our lines, and what the user asks for must reach srun
SLURM_LABELIO=1 SLURM_UNBUFFEREDIO=1 SLURM_STDOUTMODE=none SRUN_CPUS_PER_TASK=1 SLURM_WAIT=1 SLURM_KILL_BAD_EXIT=1 \
	by_itself 0 settings 'n[1-2]' --only good
by_itself 3 partition n1 --only good --srun=--partition=nowhere
says "Slurm gave no job: srun: "
says "Unable to allocate resources: Invalid partition"
by_itself 0 options n1 --only good --srun=--partition=all --srun=--time=5
check "kept for resume" grep -q -- --time=5 options/launch.json
for option in --label --lab --unbuffered --pty --multi-prog=x --output=/dev/null -n4 label --; do
	expect 2 "${base[@]}" --hosts n1 --srun="$option" -o evil
done

# one command for many nodes: each agent finds its name in its environment
expect 0 srun -N4 -n4 --wait=0 "$program" agent --node-env SLURMD_NODENAME
check "four names" test "$(grep -o '"at":"n[1-4]"' "$out" | sort -u | wc -l)" = 4
expect 2 "$ASSAY" agent --node-env NO_SUCH_VARIABLE
says "agent needs --node"

# ---- nodes that cannot be had ------------------------------------------------------------------------
scontrol update NodeName=n3 State=DRAIN Reason='bad fan, ticket 5'
LIMIT=15 by_itself 3 drained 'n[1,3],nowhere' --only good
says "Slurm has it as IDLE+DRAIN: bad fan, ticket 5"
says "Slurm has no node of this name"
check "the other went on" test "$(verdicts_of drained n1)" = pass
check "the drained one is a hole" test "$(verdicts_of drained n3)" = not-measured
check "lost" test "$(cat drained/hosts.lost)" = 'n3,nowhere'
scontrol update NodeName=n3 State=RESUME
check "n3 is back" within 30 lab_idle

srun -N1 -w n2 --exclusive sleep 100 &
within 10 bash -c '[ -n "$(squeue -h -t R)" ]'
expect 3 "${base[@]}" --program "$program" --hosts 'n[1-2]' --only good -o busy
says "Slurm did not give the node: it is busy"
scancel -u "$(id -un)"
wait $!
check "idle again" within 30 lab_idle

remote=/nowhere/assay by_itself 3 missing n1 --only good
says "assay is not there"
remote=/etc/passwd by_itself 3 noexec n1 --only good
says "assay cannot be started there"

kill -9 "$(cat "$lab/ctld.pid")"
LIMIT=300 expect 3 "${base[@]}" --program "$program" --hosts 'n[1-2]' --only good -o noctld
says "what Slurm thinks of the nodes is not known"
says "Slurm's controller does not answer"
lab_controller
# It knows jobs again that ended while it was away, or shortly before.
scancel -u "$(id -un)"
check "the controller is back" within 30 lab_idle

expect 3 env PATH=/nowhere "${base[@]}" --hosts n1 --only good -o nosrun
says "cannot start env"
mkdir bin
ln -s "$(command -v env)" bin/env
expect 3 env PATH="$work/bin" "${base[@]}" --hosts n1 --only good -o nosrun2
says "srun is not installed here"

# ---- agents that misbehave ---------------------------------------------------------------------------
on_n1() {
	by_itself "$1" "$2" n1 --only good
}
make_fakes "$program"
meet_fakes 150

# names that look like options or commands are none
for name in '-w' 'n1;touch_x' '$(touch_x)' 'n1 n2'; do
	expect 2 "${base[@]}" --hosts "$name" -o evil
done

# ---- nodes that leave in the middle --------------------------------------------------------------------
# started FOLDER HOSTS [WORD...]: a run in the background (before it, WORDs such as salloc), up to its slow step.
started() {
	local folder=$1 hosts=$2 n
	shift 2
	"$@" "${base[@]}" --program "$program" --hosts "$hosts" -o "$folder" >"$out" 2>"$err" </dev/null &
	started=$!
	for n in ${hosts//[^0-9]/ }; do
		within 20 grep -qs '"e":"start","at":"n'"$n"'","step":"two' "$folder/journal.jsonl" || bad "$folder did not start"
	done
}
# ended FOLDER CODE
ended() {
	local code=0
	wait $started || code=$?
	checks=$((checks + 1))
	[ "$code" = "$2" ] || bad "$1: exit code $code instead of $2"
	sane "$1/journal.jsonl" "$err"
	check "$1: the other node is good" test "$(verdicts_of "$1" n1)" = "pass pass"
}

started crashed 'n1,n2'
lab_crash 2
ended crashed 3
# Which of srun's lines is its last one varies.
check "the loss is named" grep -qE 'Slurm (lost the node|ended its agent)' crashed/report.txt
check "only n2" test "$(cat crashed/hosts.lost)" = n2
lab_node 2
check "n2 is back" within 40 lab_idle

started killed 'n1,n2'
# shellcheck disable=SC2046
lab_signal KILL $(lab_of 2 'assay agent')
ended killed 3
check "named" grep -qE 'its agent was killed|Slurm ended its agent' killed/report.txt
check "no job is left" within 20 lab_no_jobs

started revoked 'n1,n2'
scancel "$(squeue -h -o %i -w n2)"
ended revoked 3
check "named" grep -qE 'Slurm ended its agent|the Slurm job was cancelled|the Slurm job is over' revoked/report.txt
check "no job is left" within 20 lab_no_jobs

# One stops answering for good: its agent alone, its agent and slurmstepd, slurmstepd killed (srun waits for ever).
started frozen 'n1,n2,n3,n4'
# shellcheck disable=SC2046
{
	lab_signal STOP $(lab_of 2 'assay agent')
	lab_signal STOP $(lab_of 3 'assay agent') $(lab_of 3 '^slurmstepd')
	lab_signal KILL $(lab_of 4 '^slurmstepd')
}
ended frozen 3
check "three are lost" test "$(cat frozen/hosts.lost)" = 'n[2-4]'
check "silence is named" grep -q 'it fell silent' frozen/report.txt
check "the job of the frozen agent is ended" within 30 bash -c "[ -z \"\$(squeue -h -w n2)\" ]"
none_of() {
	[ -z "$(lab_of "$@")" ]
}
check "nothing of it is left" within 20 none_of 2 'assay agent'
scancel -u "$(id -un)" 2>/dev/null
for n in 3 4; do lab_restart $n; done
check "all are back" within 60 lab_idle

# ---- runs that are cut off -------------------------------------------------------------------------------
started again 'n1,n2'
kill -9 $started
wait $started 2>/dev/null
check "agents leave within 30 s" within 30 lab_no_jobs
check "and their jobs" within 30 lab_idle
expect 0 "$ASSAY" resume again
says ACCEPTED

# The controller is killed while an agent is frozen: its job would keep the node for ever.
started stale 'n1,n2'
# shellcheck disable=SC2046
lab_signal STOP $(lab_of 2 'assay agent')
kill -9 $started
wait $started 2>/dev/null
expect 0 "$ASSAY" resume stale
says ACCEPTED

# A job that is cancelled, and another one that goes on.
cat >job.sh <<SH
#!/bin/bash
if [ -e cancelled/journal.jsonl ]; then
	exec $ASSAY resume cancelled
fi
exec ${base[*]} --program $program -o cancelled
SH
job=$(sbatch --parsable -N2 -w 'n[1-2]' -o job.out job.sh)
within 20 grep -qs '"e":"start","at":"n2","step":"two' cancelled/journal.jsonl || bad "the job did not start"
scancel "$job"
check "nothing is left" within 30 lab_no_jobs
check "not finished" test ! -e cancelled/report.txt
expect 0 sbatch --wait -N2 -w 'n[1-2]' -o job.out job.sh
check "accepted by the second job" grep -q ACCEPTED job.out
[ $failures = 0 ] || cat job.out
sane cancelled/journal.jsonl
finish
