#!/usr/bin/env bash
# From the sampler's lines to the second that a report names, and to tables for plotting.
. "$(dirname "$0")/lib.sh"
need python3

sh "$ASSAY_SOURCE/tests/machines/make.sh" "$work/machines" hgx-good >/dev/null
machine=$work/machines/hgx-good
mkdir -p "$machine/dev"
: >"$machine/dev/kmsg"
gpu3=$(readlink -f "$machine/sys/bus/pci/devices/0000:41:00.0")
mkfifo orders
exec 8<>orders
"$ASSAY" sample --root "$machine" <orders >sampled 2>sampler-err 8>&- &
sampler=$!

{
	echo 'programs:'
	program slow "sleep 3; $(six 5)"
	echo 'limits:'
	at_least slow 10
} | spec spec.yaml
profile profile.yaml 0 measure:slow
sleep 5
{
	sleep 1.5
	echo "3,9,9,-;Out of memory: Killed process 4711 (a.out)" >>"$machine/dev/kmsg"
	echo 8 >"$gpu3/current_link_width"
} &
run 1 run1 spec.yaml profile.yaml
# What the run collected by itself was too short; the sampler beside it has more to tell.
rm -r run1/telemetry
expect 1 "$ASSAY" judge run1
silent "When it began"
check "without telemetry a moment is null" test "$(json run1/report.json 'all(f["moment"] is None for f in j["findings"])')" = True
expect 2 "$ASSAY" telemetry run1
says "cannot list run1/telemetry"
sleep 3
echo stop >&8
wait "$sampler"
exec 8>&-
sane sampler-err

# What the controller does with these lines.
mkdir run1/telemetry
grep -E '^\{"e":"(tele|mark)"' sampled >run1/telemetry/n1.jsonl
python3 - sampled run1/telemetry/n1.full <<'END'
import base64, json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
open(sys.argv[2], "wb").write(b"".join(base64.b64decode(l["z"]) for l in lines if "z" in l))
END

began='[0-9:]\{8\} ([12] s into the step): Out of memory: Killed process 4711 (a.out); also gpu3 pcie_lanes 16 to 8; at that second gpu3.pcie_lanes 16 to 8'
expect 1 "$ASSAY" judge run1
says "When it began (UTC)"
check "the second, and what else changed" grep -q "from $began" <(tr '\n' ' ' <"$out" | tr -s ' ')
expect 0 "$ASSAY" report run1 --format json
cp "$out" with.json
check "JSON has the moment" test "$(json with.json '[f["moment"]["what"] for f in j["findings"] if f["verdict"] == "fail"]')" = \
	"['Out of memory: Killed process 4711 (a.out)']"
if python3 -c 'import jsonschema' 2>/dev/null; then
	check "JSON obeys its schema" python3 -c 'import json, jsonschema, sys
jsonschema.validate(*(json.load(open(p)) for p in sys.argv[1:]))' with.json "$ASSAY_SOURCE/docs/report.schema.json"
else
	note "JSON against its schema: needs python3-jsonschema"
fi
expect 0 "$ASSAY" report run1 --format html
says "<h2>When it began</h2>"
says "Killed process 4711"

# The series of this machine have no GPU sensors; lines that do make a chart.
python3 - run1/telemetry/n1.jsonl <<'END'
import json, sys
def crc(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8):
            c = (c >> 1) ^ (0x82f63b78 if c & 1 else 0)
    return c ^ 0xffffffff
start = next(json.loads(l)["t"] for l in open("run1/journal.jsonl") if '"e":"start"' in l)
with open(sys.argv[1], "ab") as f:
    for i in range(3):
        body = json.dumps({"e": "tele", "t": start + i, "w": 10, "v": {"gpu0.power_w": [600 + i], "gpu1.power_w": [1, 2, 3]}},
            separators=(",", ":"))[:-1].encode()
        f.write(body + b',"c":"%08x"}\n' % crc(body))
END
rm run1/telemetry/n1.full
expect 0 "$ASSAY" report run1 --format html
says "Power of GPUs, from 1 to 602 W"
says '<svg viewBox="0 0 900 110" class="chart"'
check "two lines" test "$(grep -c '<path' "$out")" = 2

# Tables
expect 0 "$ASSAY" telemetry run1
says "n1 20"
expect 0 "$ASSAY" telemetry run1 n1
says "gpu3 pcie_lanes: pcie_lanes 16 to 8"
says "node oom: Out of memory"
expect 0 "$ASSAY" telemetry run1 n1 'gpu[01].power_w'
says '"gpu1.power_w",2,1,3'
check "a header and six rows" test "$(wc -l <"$out")" = 7
expect 2 "$ASSAY" telemetry run1 n2
says "there is no telemetry of n2 in run1"
expect 2 "$ASSAY" telemetry run1 ../n1
says "is no name of a node"

# Damage is left out, and nothing of it reaches a report.
printf 'nonsense\n' >run1/telemetry/n1.full
printf 'nonsense\n\033[31m' >>run1/telemetry/n1.jsonl
expect 1 "$ASSAY" judge run1
says "Killed process 4711"
silent nonsense
finish
