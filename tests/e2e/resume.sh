#!/usr/bin/env bash
# kill -9 at random moments, resume, and the same report as without. The number of kills is E2E_KILLS (200) or
# what fits into E2E_SECONDS (150).
. "$(dirname "$0")/lib.sh"
need python3 setsid
kills_wanted=${E2E_KILLS:-200} seconds_most=${E2E_SECONDS:-150}

{
	echo programs:
	for i in 1 2 3 4 5; do program "p$i" "sleep 0.02; $(six "4$i")"; done
	program few "for i in 1 2 3; do echo value 50; done"
	echo limits:
	for i in 1 2 3 4 5; do at_least "p$i" 40; done
	at_least few 40
} | spec spec.yaml
profile profile.yaml 2 one:p1,p2,p3,p4,p5 two:p1,p2,p3,p4,p5,few three:p1,p2,p3,p4 four:p1,p2,p3

strip() { # the report without its times
	python3 -c 'import json, sys
j = json.load(open(sys.argv[1]))
for k in ("started", "ended"): j.pop(k)
for f in j["findings"]: (f["limit"] or {}).pop("file", None)
json.dump(j, open(sys.argv[1], "w"), indent=1, sort_keys=True)' "$1"
}

began=$(date +%s%N)
run 0 reference spec.yaml profile.yaml
took=$((($(date +%s%N) - began) / 1000000))
expect 0 "$ASSAY" report reference --format json -o reference.json
strip reference.json
# A kill must be able to come after a step or two, or nothing would ever go on.
most=$((took / 8 > 400 ? took / 8 : 400))

start() { # start COMMAND...: the controller in a process group of its own
	setsid "$@" >"$out" 2>"$err" </dev/null &
	pid=$!
}

tree() { # all descendants of a process
	local p
	for p in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		echo "$p"
		tree "$p"
	done
}

kills=0 unborn=0 runs=0 ended=0
strike() { # waits a random time, kills; 1 when the run had ended before
	local ms=$((RANDOM % most)) family
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
	kill -0 $pid 2>/dev/null || return 1
	case $((kills % 3)) in
	0) kill -9 $pid ;;
	1) kill -9 -- -$pid 2>/dev/null || kill -9 $pid ;;
	2)
		family=$(tree $pid)
		# shellcheck disable=SC2086
		kill -9 $pid $family 2>/dev/null
		;;
	esac
	kills=$((kills + 1))
}

while [ $kills -lt "$kills_wanted" ] && [ $SECONDS -lt "$seconds_most" ]; do
	runs=$((runs + 1))
	folder=run$runs
	start "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o $folder
	for ((try = 0; try < 400; try++)); do
		[ $SECONDS -lt $((seconds_most + 30)) ] || most=1000000
		if ! strike; then
			wait $pid
			rc=$?
			ended=$((ended + 1))
			break
		fi
		wait $pid 2>/dev/null
		sane "$err"
		# Killed before the first line of its journal: there is nothing to resume, and it says so.
		if [ ! -s $folder/journal.jsonl ]; then
			unborn=$((unborn + 1))
			if [ -e $folder/journal.jsonl ]; then
				expect 2 "$ASSAY" resume $folder
				says "$folder"
			fi
			rm -rf $folder
			start "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o $folder
		else
			start "$ASSAY" resume $folder
		fi
	done
	shown="run $runs after $kills kills"
	checks=$((checks + 1))
	[ "$rc" = 0 ] || bad "exit code $rc instead of 0"
	expect 0 "$ASSAY" report $folder --format json -o $folder.json
	silent damaged
	strip $folder.json
	diff reference.json $folder.json >"$out" || bad "the report differs from that of a run without kills"
	sane $folder/journal.jsonl
done
all_gone 30
echo "$kills kills in $runs runs, $ended ended, $unborn killed before they began"
[ $kills -ge 20 ] || bad "only $kills kills"
finish
