#!/usr/bin/env bash
# 100,000 events of each of four agents through a real Slurm: none lost, none twice.
#
# The events are figures of a program that prints the numbers from 1 on; every one is a data line with a value
# that nobody else sends. Many tasks of one srun share its output, which mixes lines; MANY holds the options
# that make the controller start all agents by one srun. It is empty as long as the controller cannot do that,
# and then only one srun a node is tested. LINES makes it smaller.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/lab/slurm.sh" || exit 1
lab_start
program=$(public_copy)
lines=${LINES:-100000}
many=${MANY:-}

{
	echo programs:
	program flood "seq 1 $lines | sed \"s/^/value /\"" 'timeout: 120s' 'output: 4 MiB'
	echo limits:
	at_least flood 1
} | spec spec.yaml
profile profile.yaml 0 one:flood

# Every number of every node exactly once, and the agents' own numbers without a gap.
counted() {
	python3 - "$1/journal.jsonl" "$lines" "$2" <<'PY'
import json, sys
path, lines, nodes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
values, numbers = {}, {}
for line in open(path, "rb"):
    ev = json.loads(line)
    at = ev.get("at")
    if "n" in ev:
        numbers.setdefault(at, []).append(ev["n"])
    if ev["e"] == "data":
        values.setdefault(at, []).extend(ev["v"][""])
bad = []
for i in range(1, nodes + 1):
    at = "n%d" % i
    got, n = values.get(at, []), numbers.get(at, [])
    if sorted(got) != list(range(1, lines + 1)):
        bad.append("%s: %d values, %d different, of %d" % (at, len(got), len(set(got)), lines))
    if sorted(n) != list(range(1, len(n) + 1)):
        bad.append("%s: %d lines, %d different, up to %d" % (at, len(n), len(set(n)), max(n, default=0)))
print("\n".join(bad))
sys.exit(bool(bad))
PY
}

# flood FOLDER [OPTION...]
flood() {
	local folder=$1
	shift
	LIMIT=500 expect 0 salloc --immediate=20 -N4 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml \
		--launcher slurm --program "$program" -o "$folder" --quiet "$@"
	counted "$folder" 4 >"$out" 2>&1 || bad "$folder: events are missing or there twice"
	checks=$((checks + 1))
	check "no line was damaged" bash -c "! grep -q 'a line of its agent is left out' $folder/journal.jsonl"
	sane "$folder/journal.jsonl"
	echo "$folder: $(wc -l <"$folder/journal.jsonl") lines in the journal"
}

flood alone
if [ -n "$many" ]; then
	# shellcheck disable=SC2086
	flood together $many
else
	note "four agents of one srun: MANY is empty, see the top of this file"
fi

# The wire itself, without the controller: what one srun makes of four agents that talk as fast as they can. All
# lines that the checksum lets through must be true; how many it stops is only told.
python3 - "$lines" >orders <<'PY'
import json, sys
def crc(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8):
            c = (c >> 1) ^ (0x82f63b78 if c & 1 else 0)
    return c ^ 0xffffffff
def line(**o):
    body = json.dumps(o, separators=(",", ":"))[:-1]
    print(body + ',"c":"%08x"}' % crc(body.encode()))
step = "one/flood/x"
script = 'seq 1 %s | sed "s/^/value /"' % sys.argv[1]
knobs = {"exit": "0\n", "argv": "sh\n-c\n" + script + "\n", "figures": "value\tregex\tvalue ([0-9]+)\n", "timeout": "120s", "output": "4MiB"}
for k, v in knobs.items():
    line(e="with", to="n[1-4]", step=step, k=k, v=v)
line(e="run", to="n[1-4]", step=step, check="program", unit="flood", deadline=200)
PY
started=$SECONDS
{
	cat orders
	# Its input must not end before it has said all: an agent without input leaves.
	until [ "$(grep -ao '"e":"end"' raw 2>/dev/null | wc -l)" -ge 4 ] || [ $((SECONDS - started)) -gt 200 ]; do sleep 0.5; done
	sleep 2
} | srun -N4 -n4 --wait=0 "$program" agent --node-env SLURMD_NODENAME >raw 2>"$err"
checks=$((checks + 1))
python3 - raw "$lines" 2>"$out" <<'PY'
import json, sys
path, lines = sys.argv[1], int(sys.argv[2])
table = []
for i in range(256):
    c = i
    for _ in range(8):
        c = (c >> 1) ^ (0x82f63b78 if c & 1 else 0)
    table.append(c)
def crc(data):
    c = 0xffffffff
    for b in data:
        c = (c >> 8) ^ table[(c ^ b) & 255]
    return c ^ 0xffffffff
good, bad, values, numbers = 0, 0, {}, {}
for line in open(path, "rb"):
    line = line.rstrip(b"\n")
    if line[-16:] != b',"c":"%08x"}' % crc(line[:-16]):
        bad += 1
        continue
    good += 1
    ev = json.loads(line)
    numbers.setdefault(ev["at"], []).append(ev["n"])
    if ev["e"] == "data":
        values.setdefault(ev["at"], []).extend(ev["v"][""])
print("%d lines are whole, %d are not" % (good, bad), file=sys.stderr)
assert sorted(values) == ["n1", "n2", "n3", "n4"], values.keys()
for at in values:
    assert len(values[at]) == len(set(values[at])) and set(values[at]) <= set(range(1, lines + 1)), at
    assert len(numbers[at]) == len(set(numbers[at])), at
assert sum(map(len, values.values())) >= 4 * lines * 0.99
PY
[ $? = 0 ] || bad "the wire of many tasks is worse than its recovery counts on"
cat "$out"
[ $failures = 0 ] || head -c 3000 raw
finish
