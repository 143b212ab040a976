#!/usr/bin/env bash
# `assay watch` beside real runs: as lines, as JSON and on a terminal; a killed controller, a resumed run, an end.
. "$(dirname "$0")/lib.sh"
need python3 script setsid

# What a watcher sees of a moment that passes depends on how busy the machine is. So steps of these programs
# last until the test has seen what it waits for: `hold` before a run begins, `release` then.
held() { # held NAME: the beginning of its script
	echo "until [ ! -e $work/hold.$1 ]; do sleep 0.1; done; sleep 1"
}
hold() {
	touch "${@/#/hold.}"
}
release() {
	rm "${@/#/hold.}"
}
sees() { # sees FILE TEXT: a watcher that runs prints this some time
	checks=$((checks + 1))
	within 60 grep -qaF -- "$2" "$1" || bad "$1 never says '$2'"
}
{
	echo programs:
	program good "$(held good); $(six 42)" "timeout: 120s"
	program bad "$(held bad); $(six 4)" "timeout: 120s"
	program few "$(held few); echo value 42" "timeout: 120s"
	program quick "$(six 42)"
	echo limits:
	at_least good 40
	at_least bad 40
	at_least few 40
	at_least quick 40
} | spec spec.yaml
profile failing.yaml 1 one:good,bad two:few
profile passing.yaml 0 one:good two:quick three:quick
profile short.yaml 0 one:quick

# begin FOLDER PROFILE: a run on three pretended nodes, in the background
begin() {
	local folder=$1 profile=$2
	setsid "$ASSAY" run --spec ./spec.yaml --profile "./$profile" --launcher pretend --hosts 'n[1-3]' -o "$folder" \
		>"$folder.out" 2>"$folder.err" </dev/null &
	pid=$!
	within 20 test -s "$folder/journal.jsonl" || bad "the run $folder does not begin"
}

follow=(--interval 0.2)

# ---- what is no run

expect 2 "$ASSAY" watch
says "RUN is missing"
expect 2 "$ASSAY" watch nowhere
says "nowhere is no run folder: cannot open nowhere/journal.jsonl: No such file or directory"
mkdir empty
expect 2 "$ASSAY" watch empty
says "empty is no run folder: cannot open empty/journal.jsonl: No such file or directory"
expect 2 "$ASSAY" watch empty --once --json
says "empty is no run folder"
expect 2 "$ASSAY" watch empty --interval 0
says "--interval takes a time from 0.1 s to 1 day, not '0'"
expect 2 "$ASSAY" watch empty --interval 5GB
says "--interval takes a time"
: >empty/journal.jsonl
expect 0 "$ASSAY" watch empty --once
says "empty has not begun yet: its journal has no head"
expect 2 "$ASSAY" watch empty "${follow[@]}"
says "empty: its journal has no readable head, and no controller writes it; remove the folder and run again"
printf 'rubbish\n' >empty/journal.jsonl
expect 2 "$ASSAY" watch empty "${follow[@]}"
says "no readable head"

# ---- a run from its begin to its end, as lines and as JSON

hold good bad few
begin run1 failing.yaml
"$ASSAY" watch run1 "${follow[@]}" --json >json.out 2>json.err &
json=$!
"$ASSAY" watch run1 "${follow[@]}" >watch.out 2>watch.err &
watch=$!
: >"$out"
cp "$out" "$err"
shown="watch, and watch --json"
sees watch.out "one: 0 of 9 steps"
sees json.out '"running":3,'
release good
sees watch.out "one: 3 of 9 steps, about"
release bad
sees watch.out "3 nodes failing, about"
sees json.out '"phase":"two"'
release few
code=0
wait $watch || code=$?
shown="watch"
cp watch.out "$out"
cp watch.err "$err"
[ "$code" = 1 ] || bad "exit code $code instead of 1"
sane watch.out watch.err
says 'SIMULATED REJECTED: 12 of 12 steps, 3 nodes failing; the whole report: `assay report run1`'
silent stopped
silent "no event"
code=0
wait $json || code=$?
shown="watch --json"
cp json.out "$out"
cp json.err "$err"
[ "$code" = 1 ] || bad "exit code $code instead of 1"
sane json.out json.err
check "JSON says what happened" python3 - json.out <<'END'
import json, sys
seen = [json.loads(line) for line in open(sys.argv[1])]
assert all(o["schema"] == "assay.watch/1" and o["run"] == "run1" for o in seen)
states = [o["state"] for o in seen if o["state"] != "empty"]
assert states == ["running"] * (len(states) - 1) + ["finished"], states
full = [o for o in seen if o["state"] != "empty"]
assert all(o["verdict"] is None for o in full[:-1]) and full[-1]["verdict"] == "rejected"
ended = [o["steps"]["ended"] for o in full]
assert ended == sorted(ended) and ended[-1] == 12 == full[-1]["steps"]["total"]
assert {o["phase"] for o in full} == {"one", "two", None}
assert max(o["nodes"]["running"] for o in full) == 3
assert full[-1]["nodes"] == {"total": 3, "waiting": 0, "running": 0, "idle": 0, "done": 3,
                             "failing": "n[1-3]", "lost": "", "left_out": ""}
worst = full[-1]["findings"]["worst"]
assert [(w["verdict"], w["check"], w["figures"], w["nodes"]) for w in worst] == [
    ("fail", "bad", 3, "n[1-3]"), ("inconclusive", "few", 3, "n[1-3]")], worst
assert full[-1]["power"] is None and full[-1]["simulated"] is True
END
wait $pid
check "the run is what it is without a watcher" grep -q REJECTED run1.out
check "nothing is left in the folder" test -z "$(find run1 -name '*watch*')"

# ---- a run that is over; nothing is written

before=$(find run1 -type f -print0 | sort -z | xargs -0 sha256sum)
expect 0 "$ASSAY" watch run1 --once
says "SIMULATED: run1: e2e, profile e2e, 3 nodes REJECTED: At least one figure breaks its limit"
says "12 of 12 steps took"
says "nodes 3: 3 done failing 3: n[1-3] findings 3 pass, 3 fail, 3 inconclusive, 0 not measured"
says "FAIL bad value of n1: 4, wanted >= 40; the worst of 3 on n[1-3]"
says "power no telemetry in this run"
expect 1 "$ASSAY" watch run1
says "SIMULATED REJECTED: 12 of 12 steps"
[ "$before" = "$(find run1 -type f -print0 | sort -z | xargs -0 sha256sum)" ] || bad "watch changed the folder"
expect 3 "$ASSAY" run --spec ./spec.yaml --profile ./short.yaml --launcher pretend --hosts n1 -o run2
expect 3 "$ASSAY" watch run2
says "SIMULATED INCOMPLETE: 1 of 1 steps"
run 0 run3 spec.yaml short.yaml
expect 0 "$ASSAY" watch run3
says "ACCEPTED: 1 of 1 steps"
silent SIMULATED
cp run3/spec.yaml spec.before
echo '# changed' >>run3/spec.yaml
sed -i 's/name: e2e/name: e3e/' run3/spec.yaml
expect 2 "$ASSAY" watch run3
says "run3/spec.yaml was changed since the run was started"
cp spec.before run3/spec.yaml

# A torn line is one that somebody may still be writing; a damaged one is named.
cp -r run3 torn
journal_edit torn/journal.jsonl 'lines.insert(2, lines[1][:-4] + lines[1][-3:])'
printf '{"e":"note","at":"n1","te' >>torn/journal.jsonl
expect 0 "$ASSAY" watch torn --once
says "1 damaged line of the journal left out"
silent torn\ line

# ---- on a terminal of 60 columns and 12 rows

hold good
begin run4 failing.yaml
TERM=xterm timeout -k 5 120 script -qec "stty cols 60 rows 12; exec '$ASSAY' watch run4" /dev/null >pty.out </dev/null &
watch=$!
sees pty.out "one, phase 1 of 2  ["
release good
code=0
wait $watch || code=$?
shown="watch on a terminal"
tail -n 12 pty.out >"$out"
: >"$err"
[ "$code" = 1 ] || bad "exit code $code instead of 1"
sane pty.out
check "the screens are drawn in place and fit" python3 - pty.out <<'END'
import re, sys
raw = open(sys.argv[1], newline="").read()
frames = raw.split("\033[J")[:-1]
assert len(frames) > 3, len(frames)
height = 0
for f in frames:
    up = re.match(r"\r\033\[(\d+)A", f.lstrip("\n"))
    assert (int(up.group(1)) if up else 0) == height, (f, height)
    lines = re.sub(r"^\r\033\[\d+A", "", f).split("\r\n")
    assert lines.pop() == "" and 0 < len(lines) < 12
    assert all(l.startswith("\033[K") and len(l) <= 3 + 60 and "\033" not in l[3:] for l in lines), lines
    height = len(lines)
assert "one, phase 1 of 2  [" in raw and "REJECTED" in frames[-1] and "REJECTED" not in frames[-2]
END
wait $pid

# What is no terminal that moves its cursor gets lines.
expect 1 env TERM=dumb timeout 20 script -qec "exec '$ASSAY' watch run4" /dev/null
says "SIMULATED REJECTED"
check "no escape" test -z "$(tr -cd '\033' <"$out")"

# ---- the controller is killed, and another one goes on

hold good
begin run5 passing.yaml
"$ASSAY" watch run5 "${follow[@]}" >watch.out 2>watch.err &
watch=$!
sees run5/journal.jsonl '"e":"start"'
sees watch.out "of 9 steps, about"
kill -9 $pid
wait $pid 2>/dev/null
shown="watch after kill -9"
cp watch.err "$err"
check "a killed controller is noticed at once" within 10 grep -qF \
	'stopped: no controller runs; `assay resume run5` goes on' watch.out
check "a stopped run is not over" kill -0 $watch
# Nothing may run beside leftovers, which would find it.
all_but_watch() { [ "$(leftovers)" = "$watch" ]; }
within 20 all_but_watch || bad "agents stay: $(describe $(leftovers))"
expect 0 "$ASSAY" watch run5 --once
says "cut off: one/good/n"
says 'STOPPED: no controller runs; `assay resume run5` goes on'
says "nodes 3: 3 waiting"
release good
expect 3 "$ASSAY" resume run5
says "INCOMPLETE"
code=0
wait $watch || code=$?
cp watch.out "$out"
cp watch.err "$err"
[ "$code" = 3 ] || bad "exit code $code of watch instead of 3"
sane watch.out watch.err
says 'SIMULATED INCOMPLETE: 9 of 9 steps; the whole report: `assay report run5`'

# ---- power, from files that a controller appends to

mkdir run5/telemetry
printf '' >lines
journal_edit lines 'lines += [seal({"e": "tele", "at": "n1", "t": 1, "w": 1, "v": {"gpu0.power_w": [1, 600.2, 700],
 "gpu0.temperature_c": [50, 60, 71]}}), b"{\"e\":\"tele\",\"v\":{\"gpu0.power_w\":[1,9,9]},\"c\":\"00000000\"}"]'
cp lines run5/telemetry/n1.jsonl
printf '\033[31m' >run5/telemetry/n2.jsonl
expect 0 "$ASSAY" watch run5 --once
says "power 600 W of 1 gpu on 1 of 3 nodes; hottest n1/gpu0, 71 C"
touch -d '10 minutes ago' run5/telemetry/*
expect 0 "$ASSAY" watch run5 --once
says "power nothing told for 10 min"

# ---- signals

hold good
begin run6 failing.yaml
"$ASSAY" watch run6 >watch.out 2>watch.err &
watch=$!
shown="watch that is interrupted"
sees watch.out "SIMULATED [  0%] one: 0 of 9 steps"
kill -INT $watch
code=0
wait $watch || code=$?
cp watch.out "$out"
cp watch.err "$err"
[ "$code" = 130 ] || bad "exit code $code instead of 130"
sane watch.out watch.err
release good
wait $pid

finish
