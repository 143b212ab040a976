#!/usr/bin/env bash
# An agent in the hands of somebody else, among good ones: it harms only itself.
# HOSTILE_BYTES (1 GiB) is the length of the longest line.
. "$(dirname "$0")/lib.sh"
need python3 unshare
need_root
export HOSTILE_BYTES=${HOSTILE_BYTES:-$((1 << 30))}
public_copy >/dev/null # $work/assay

# The launcher's ssh, as far as it matters here: the last word is for a shell on that node, a machine of its own.
mkdir bin
for n in 1 2 3; do cat /proc/sys/kernel/random/uuid >"boot.n$n"; done
cat >bin/ssh <<'END2'
#!/bin/bash
exec unshare --mount bash -c 'mount --bind "$1" /proc/sys/kernel/random/boot_id && eval "$2"' - \
	"$E2E_MARK/boot.${*: -2:1}" "${*: -1}"
END2
cat >wrapped <<'END2'
#!/bin/bash
[ "$3" != n2 ] || exec python3 "$E2E_MARK/hostile.py" "$(cat "$E2E_MARK/kind")" "$E2E_MARK/assay" "$@"
exec "$E2E_MARK/assay" "$@"
END2
chmod 755 bin/ssh wrapped
cp "$ASSAY_SOURCE/tests/e2e/hostile.py" .
PATH=$work/bin:$PATH
# What a sanitizer keeps for itself is not the controller's memory.
export ASAN_OPTIONS=quarantine_size_mb=1:malloc_context_size=0:${ASAN_OPTIONS:-}

{
	echo programs:
	program good "$(six 42)"
	program slow "sleep 4; $(six 42)"
	echo limits:
	at_least good 40
	at_least slow 40
} | spec spec.yaml
profile profile.yaml 0 one:slow two:good

strip() { # what was the spec given as is not what it is in the folder
	sed -i 's/"file": "[^"]*"/"file": ""/; s/"line": [0-9]*/"line": 0/' "$@"
}

# hostile CODE KIND VERDICTS SECONDS: a run in which n2 is of this kind. The others must not notice, the controller
# keep its memory, and the journal be whole.
hostile() {
	local code=$1 kind=$2 verdicts=$3 most=$4 pid rc=0 began=$SECONDS peak=0 now
	shown="hostile $kind"
	echo "$kind" >kind
	timeout -k 5 200 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher ssh --program "$work/wrapped" \
		--hosts 'n[1-3]' -o "$kind" >"$out" 2>"$err" </dev/null &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		now=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$(pgrep -P $pid -f "run --spec")/status" 2>/dev/null)
		[ -z "$now" ] || peak=$now
		sleep 0.2
	done
	wait $pid || rc=$?
	checks=$((checks + 1))
	[ "$rc" = "$code" ] || bad "exit code $rc instead of $code"
	sane "$out" "$err"
	echo "$kind: $((SECONDS - began)) s, controller at most $((peak / 1024)) MiB, journal $(($(stat -c %s "$kind/journal.jsonl") >> 10)) KiB"
	[ $((SECONDS - began)) -le "$most" ] || bad "took $((SECONDS - began)) s"
	[ "$peak" -gt 0 ] || bad "the controller was not measured"
	[ "$peak" -lt $((200 << 10)) ] || bad "the controller took $((peak >> 10)) MiB"
	[ "$(verdicts_of "$kind" n1)$(verdicts_of "$kind" n3)" = "pass passpass pass" ] || bad "another node was harmed"
	[ "$(verdicts_of "$kind" n1 True)$(verdicts_of "$kind" n3 True)" = "pass passpass pass" ] || bad "another node was not watched"
	[ "$(verdicts_of "$kind" n2)" = "$verdicts" ] || bad "n2: $(verdicts_of "$kind" n2)"
	expect 0 "$ASSAY" report "$kind" --format json -o again.json
	silent damaged
	strip "$kind/report.json" again.json
	check "$kind: it is judged equally later" cmp -s "$kind/report.json" again.json
	check "$kind: the run ended when it ended" test "$(json "$kind/report.json" 'j["ended"]' | cut -c1-10)" \
		= "$(date -u +%F)"
	shown="hostile $kind"
	cp "$kind/journal.jsonl" "$out"
}
at_most_kib() { [ "$(stat -c %s "$1/journal.jsonl")" -lt $(($2 << 10)) ]; }

hostile 0 honest "pass pass" 30
hostile 0 not-given "pass pass" 30
says "sent a line for a step it was not given"
silent "the other node is broken"
hostile 0 forged "pass pass" 30
says "it is in the name of another node"
silent '"why":"forged"'
hostile 3 odd-figures "not-measured pass" 30
hostile 3 endless-line "not-measured not-measured" 60
says "it fell silent"
hostile 3 rubbish "not-measured not-measured" 60
says "its agent sends damaged lines without end"
check "rubbish fills nothing" at_most_kib rubbish 200
hostile 0 long-line "pass pass" 60
hostile 3 data "not-measured not-measured" 60
says "its agent sends figures of one step without end"
check "the journal is bounded" at_most_kib data 40000
hostile 3 names "not-measured not-measured" 60
says "its agent sends lines without end"
check "the journal is bounded" at_most_kib names 80000
for kind in notes step-notes beats; do
	hostile 0 $kind "pass pass" 60
	check "the journal is bounded" at_most_kib $kind 1000
done
hostile 0 watches "pass pass" 60
silent '"word":"gap"'
# Who says that it has faults is believed, as far as its own parts go, and within bounds.
hostile 1 marks "pass pass" 60
check "the journal is bounded" at_most_kib marks 1500
says '"at":"n2","word":"full"'
check "all of it is of n2" test "$(json marks/report.json "{f['subject'][:2] for f in j['findings'] if f['verdict'] == 'fail'}")" = "{'n2'}"

# A step that prints without end, under an agent that does what it should.
{
	echo programs:
	program good "$(six 42)"
	figures=
	for ((i = 0; i < 20; i++)); do figures="$figures${figures:+, }f$i: {better: more, regex: \"v ([0-9])\"}"; done
	program talks 'yes "v 1" | head -10001' "figures: {$figures}"
	echo limits:
	at_least good 40
	for ((i = 0; i < 20; i++)); do at_least talks 1 | sed "s/value/f$i/"; done
} | spec talks.yaml
profile talks-profile.yaml 0 one:talks two:good
run 3 talks talks.yaml talks-profile.yaml
says "it gave more than 200000 lines of figures and facts"
says "42 >= 40"
finish
