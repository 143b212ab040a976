#!/usr/bin/env bash
# Programs that do not end as they should, agents that die, and Ctrl-C.
# shellcheck disable=SC2046
. "$(dirname "$0")/lib.sh"
need python3

{
	echo programs:
	program good "$(six 42)"
	program deaf 'trap "" TERM; while :; do sleep 0.2; done' "timeout: 1s"
	program holder 'sleep 300 & for i in 1 2 3 4 5 6; do echo value 42; done' "timeout: 1s"
	program quiet 'sleep 300 >/dev/null 2>&1 & for i in 1 2 3 4 5 6; do echo value 42; done'
	program killed 'kill -9 $$'
	program noisy 'yes error >&2' "timeout: 1s"
	program frozen 'kill -STOP $$; echo value 1' "timeout: 1s"
	program parent 'kill -STOP $PPID; sleep 299' "timeout: 0.1s"
	program slow 'echo value 42; sleep 300' "timeout: 200s"
	program once 'test -e '"$work"'/go && for i in 1 2 3 4 5 6; do echo value 42; done || sleep 300' "timeout: 200s"
	echo limits:
	for p in good deaf holder quiet killed noisy frozen parent slow once; do at_least $p 40; done
} | spec spec.yaml

# A step that is frozen itself ends at its own deadline, half a minute later; meanwhile the rest.
profile parent.yaml 0 one:parent,good
"$ASSAY" run --spec ./spec.yaml --profile ./parent.yaml --hosts n1 -o run-parent >parent.out 2>&1 </dev/null &
parent=$!

ends() { # ends NAME WORDS: the program is a hole for this reason, the next one runs, nothing stays
	profile "$1.yaml" 0 "one:$1,good"
	LIMIT=60 run 3 "run-$1" spec.yaml "$1.yaml"
	says INCOMPLETE
	says "$2"
	says "42 >= 40"
	silent ACCEPTED
}
ends deaf "it did not end within its time limit"
ends holder "it did not end within its time limit"
ends killed "it was killed by signal 9 (Killed)"
ends noisy "it did not end within its time limit"
check "notes are bounded" test "$(wc -l <run-noisy/journal.jsonl)" -lt 300
ends frozen "it did not end within its time limit"
# a grandchild that holds nothing does not matter, and does not outlive its step
profile quiet.yaml 0 one:quiet,good
run 0 run-quiet spec.yaml quiet.yaml
sleepers() {
	local p n=0
	for p in $(leftovers); do
		[ "$(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null)" = "sleep 300 " ] && n=$((n + 1))
	done
	echo $n
}
no_sleepers() { [ "$(sleepers)" = 0 ]; }
checks=$((checks + 1))
within 20 no_sleepers || bad "grandchildren outlive their steps: $(describe $(leftovers))"

# ---- Ctrl-C, SIGTERM, and twice
start() {
	"$ASSAY" run --spec ./spec.yaml --profile "./$1" --hosts n1 -o "$2" >"$out" 2>"$err" </dev/null &
	pid=$!
	shown="run -o $2"
	checks=$((checks + 1))
	within 20 grep -q "\"e\":\"start\".*one/$3/n1" "$2/journal.jsonl" || bad "the step $3 does not start"
	within 20 has_sleep || bad "no program of $3 was seen"
}
has_sleep() { [ "$(sleepers)" -ge 1 ]; }
ended() { # ended CODE SECONDS
	local rc=0
	within "$2" gone $pid || bad "still there after $2 seconds"
	wait $pid || rc=$?
	checks=$((checks + 1))
	[ $rc = "$1" ] || bad "exit code $rc instead of $1"
	sane "$out" "$err"
}
gone() { ! kill -0 "$1"; }
profile once.yaml 0 one:good,once two:good
for signal in INT TERM; do
	rm -f go
	start once.yaml run-$signal once
	kill -$signal $pid
	ended 3 40
	says "stopped; the journal is whole. Go on with: assay resume run-$signal"
	silent ACCEPTED
	checks=$((checks + 1))
	within 30 no_sleepers || bad "left behind after SIG$signal: $(describe $(leftovers))"
	expect 0 "$ASSAY" report run-$signal --format json
	says '"verdict": "incomplete"'
	expect 3 "$ASSAY" judge run-$signal
	says "the step was started and has no end"
	says "the step was not run"
	touch go
	expect 0 "$ASSAY" resume run-$signal
	says ACCEPTED
	check "good was not run again" test "$(grep -c '"start".*one/good/n1' run-$signal/journal.jsonl)" = 1
done
rm -f go
start once.yaml run-twice once
kill -INT $pid
sleep 0.3
kill -INT $pid 2>/dev/null
ended 3 40
checks=$((checks + 1))
within 30 no_sleepers || bad "left behind after two interrupts: $(describe $(leftovers))"
# a controller that is killed takes all with it
start once.yaml run-dead once
kill -9 $pid
wait $pid 2>/dev/null
checks=$((checks + 1))
within 30 no_sleepers || bad "left behind after kill -9 of the controller: $(describe $(leftovers))"

# ---- an agent that dies
agent_of() { # the controller's child
	tr -d ' ' <"/proc/$1/task/$1/children"
}
profile slow.yaml 0 one:slow,good two:good
start slow.yaml run-agent slow
kill -9 $(agent_of $pid)
ended 3 60
says INCOMPLETE
says "its result is lost: its agent was killed by signal 9"
says "slow value of n1"
says "good value of n1"
silent ACCEPTED
[ "$(json run-agent/report.json 'len(j["coverage"]["holes"])')" = 3 ] || bad "not three holes"
checks=$((checks + 1))
within 30 no_sleepers || bad "left behind after kill -9 of the agent: $(describe $(leftovers))"
kill -9 $(for p in $(leftovers); do
	[ "$(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null)" = "sleep 300 " ] && echo "$p"
done) 2>/dev/null
# a step that dies
profile slow2.yaml 0 one:slow,good
start slow2.yaml run-step slow
step=
for p in $(tr -d '\n' <"/proc/$(agent_of $pid)/task/$(agent_of $pid)/children"); do
	tr '\0' ' ' <"/proc/$p/cmdline" | grep -q ' step ' && step=$p
done
kill -9 $step
ended 3 60
says "it died: killed by signal 9"
says "42 >= 40"
checks=$((checks + 1))
within 30 no_sleepers || bad "left behind after kill -9 of the step: $(describe $(leftovers))"
# ---- the frozen step from the beginning
wait $parent
rc=$?
cp parent.out "$out"
: >"$err"
shown="a step that is frozen"
checks=$((checks + 1))
[ $rc = 3 ] || bad "exit code $rc instead of 3"
says "it was killed: not done after its deadline of 30 s"
says "42 >= 40"
finish
