#!/usr/bin/env bash
# 100,000 events of each of four agents through a real Slurm: none lost, none twice.
#
# Once each agent has an srun of its own, once one srun carries all four, whose output mixes their lines: what
# the controller cannot read it asks for again. FLOOD_LINES makes it smaller.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/lab/slurm.sh" || exit 1
lab_start
program=$(public_copy)
export FLOOD_LINES=${FLOOD_LINES:-100000} FLOOD_HELLO
FLOOD_HELLO=$("$program" agent --node x </dev/null | head -1)

{
	echo programs:
	program flood true
	echo limits:
	at_least flood 1
} | spec spec.yaml
waive spec.yaml '{check: telemetry, by: this test, reason: its agents only flood}'
profile profile.yaml 0 one:flood

# Every number of every node exactly once, and the agents' own numbers in order.
counted() {
	python3 - "$1/journal.jsonl" "$FLOOD_LINES" 4 <<'PY'
import json, sys
path, lines, nodes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
values, last, bad = {}, {}, []
for line in open(path, "rb"):
    ev = json.loads(line)
    at, n = ev.get("at"), ev.get("n")
    if n is not None:
        if n <= last.get(at, 0):
            bad.append("%s: line %d behind line %d" % (at, n, last[at]))
        last[at] = n
    if ev["e"] == "data":
        values.setdefault(at, []).extend(ev["v"][""])
for i in range(1, nodes + 1):
    got = values.get("n%d" % i, [])
    if got != list(range(1, lines + 1)):
        bad.append("n%d: %d values, %d different, of %d" % (i, len(got), len(set(got)), lines))
print("\n".join(bad[:20]))
sys.exit(bool(bad))
PY
}

# flood FOLDER [OPTION...]
flood() {
	local folder=$1
	shift
	LIMIT=500 expect 0 salloc --immediate=20 -N4 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml \
		--launcher slurm --program "$ASSAY_SOURCE/tests/lab/flood_agent" -o "$folder" --quiet "$@"
	counted "$folder" >"$out" 2>&1 || bad "$folder: events are missing or there twice"
	checks=$((checks + 1))
	sane "$folder/journal.jsonl"
}

flood alone
flood together --together
finish
