#!/usr/bin/env bash
# Rails: pairs and rings over the double of libibverbs. Four names of one machine, three rails; what is planted in
# its NICs must be told of that NIC and no other, and cost the others nothing.
. "$(dirname "$0")/lib.sh"
need python3
[ -e "${ASSAY_VERBS:-}/libibverbs.so.1" ] || skip "needs the double of libibverbs: its header was missing when this was built"

# ---- a recorded machine with eight NICs; rails are the first three, and the third of them is RoCE
sh "$ASSAY_SOURCE/tests/machines/make.sh" "$work/machines" hgx >/dev/null
machine=$work/machines/hgx
port=$machine/sys/class/infiniband/mlx5_2/ports/1
mkdir -p "$port/gids" "$port/gid_attrs/types" "$machine/lib"
echo Ethernet >"$port/link_layer"
echo 0000:0000:0000:0000:0000:ffff:0a00:0001 >"$port/gids/0"
echo "RoCE v2" >"$port/gid_attrs/types/0"
cp "$ASSAY_VERBS/libibverbs.so.1" "$machine/lib/"
plant() { # plant LINE...: what the NICs do from here on
	printf '%s\n' '* rate 40e6' "$@" >"$machine/lib/verbs.txt"
}

# ---- what was bought. The floors are far below what the double paces, for this machine may be busy.
cat >spec.yaml <<'END'
assay: spec/1
name: rails
parts:
  rail: {kind: nic, source: s, physics: {rate: 400 Gb/s}}
  other: {kind: nic, source: s}
nodes:
  node: {nics: [{part: rail, count: 3, rails: yes}, {part: other, count: 5}]}
units:
  su0: {hosts: "n[1-2]"}
  su1: {hosts: "n[3-4]"}
limits:
  rail_pair.rate: {at_least: 10 MB/s, origin: contract, source: a test}
  rail_pair.rate_both: {at_least: 5 MB/s, origin: contract, source: a test}
  rail_pair.latency: {at_most: 1 s, origin: contract, source: a test}
  rail_ring.rate: {at_least: 10 MB/s, share: 50%, worst: 5%, origin: contract, source: a test}
END
pair='bytes: 1 MiB, windows: 6, seconds: 0.1s, pings: 50'
head='assay: profile/1\nname: rails\nrepeat: 0\nphases:\n'
pairs="  - name: pairs\n    gate: open\n    checks: {rail_pair: {$pair}}\n"
ring='  - name: ring\n    checks: {rail_ring: {seconds: 4s, window: 0.5s, bytes: 1 MiB}}\n'
# shellcheck disable=SC2059
{
	printf "$head  - name: alone\n    gate: open\n    checks: {rail_pair: {rounds: 1, alone: 1, $pair}}\n$pairs$ring" >all.yaml
	printf "$head$pairs$ring" >profile.yaml
}

over() { # over CODE FOLDER HOSTS [MORE...]
	local code=$1 folder=$2 hosts=$3
	shift 3
	LIMIT=${LIMIT:-300} expect "$code" "$ASSAY" run --spec ./spec.yaml --profile "./${profile:-profile.yaml}" --launcher pretend \
		--root "$machine" --hosts "$hosts" -o "$folder" "$@"
	sane "$folder/journal.jsonl"
}
# findings RUN EXPRESSION: a Python expression over findings f (list of dicts) and journal events e
findings() {
	python3 - "$1" "$2" <<'END'
import collections, json, sys
f = json.load(open(sys.argv[1] + "/report.json"))["findings"]
e = [json.loads(l) for l in open(sys.argv[1] + "/journal.jsonl")]
words = {x["step"]: x["word"] for x in e if x["e"] == "end"}
begun = {x["step"]: x["t"] for x in e if x["e"] == "start"}
ended = {x["step"]: begun[x["step"]] + x["seconds"] for x in e if x["e"] == "end" and x["step"] in begun}
def of(check, metric, verdict=None):
	return sorted(x["subject"] for x in f if x["check"] == check and x["metric"] == metric and
		(verdict is None or x["verdict"] == verdict))
def bad():
	return sorted({(x["check"], x["metric"], x["subject"], x["verdict"]) for x in f
		if x["verdict"] not in ("pass", "not-applicable", "recorded")})
print(eval("(" + sys.argv[2] + ")"))  # which may have several lines
END
}
is() { # is RUN EXPRESSION
	checks=$((checks + 1))
	shown="$1"
	[ "$(findings "$1" "$2" 2>"$err")" = True ] || bad "$1: not so: $2; bad: $(findings "$1" 'bad()[:6]')"
}

# ---- all is well: every two meet once on each rail, and everybody tells what it sent itself
plant
profile=all.yaml over 3 well 'n[1-4]' # pretended, and a double: never accepted
is well "any(x['e'] == 'fact' and x.get('k') == 'simulated' and x['v'] == 'libibverbs is a double' for x in e)"
is well "bad() == []"
is well "set(words.values()) == {'done'}"
is well "all(len(of('rail_pair', m)) == 3 * 4 * (1 + 3) for m in ('rate', 'rate_both', 'latency', 'wrong_bytes'))"
is well "sorted(set(of('rail_pair', 'rate'))) == sorted('n%d/nic%d>n%d/nic%d' % (a, r, b, r)
	for a in range(1, 5) for b in range(1, 5) for r in range(3) if a != b)"
# two units of two: the stride leads across
is well "of('rail_ring', 'rate') == sorted('n%d/nic%d>n%d/nic%d' % (a, r, (a + 1) % 4 + 1, r)
	for a in range(1, 5) for r in range(3))"
is well "all(x['value'] > 0 for x in f if x['metric'] == 'compared')"
# alone: a rail begins when the one before has ended; at once: all begin before any ends
is well "all(begun[s] >= ended[t] - 0.01 for s in begun for t in begun
	if s.startswith('alone/') and t.startswith('alone/') and s[-1] > t[-1])"
is well "all(max(begun[s] for s in begun if s.startswith('pairs/') and '/r%d.' % r in s) <
	min(ended[s] for s in begun if s.startswith('pairs/') and '/r%d.' % r in s) for r in (1, 2, 3))"
check "maps of each rail" grep -q 'rail 2' well/report.html

# ---- a slow NIC, a byte that differs, packets that are lost: each told of its own NIC alone
plant 'n3:mlx5_1 slow 0.1' 'n1:mlx5_2 corrupt 40' 'n4:mlx5_0 loses 50'
over 1 sick 'n[1-4]'
is sick "of('rail_pair', 'rate', 'fail') == ['n3/nic1>n%d/nic1' % n for n in (1, 2, 4)]"
is sick "set(of('rail_pair', 'wrong_bytes', 'fail')) <= {'n%d/nic2<n1/nic2' % n for n in (2, 3, 4)}"
is sick "of('rail_pair', 'wrong_bytes', 'fail') != []"
is sick "of('rail_ring', 'rate', 'fail') == ['n3/nic1>n1/nic1']"
is sick "all(x['value'] > 0 for x in f if x['metric'] == 'retransmits' and x['subject'].startswith('n4/nic0>'))"
is sick "not [x for x in bad() if 'nic0' in x[2]]"
says "n3/nic1"

# ---- a NIC that is slow with all of its partners keeps its node out of the ring, and leaves its partners in
sed '/gate: open/d' profile.yaml >gates.yaml
plant 'n3:mlx5_1 slow 0.1'
profile=gates.yaml over 1 gates 'n[1-4]'
says "and so it is with each that it met"
is gates "sorted(s.split('/')[2] for s, w in words.items() if w == 'left-out') == ['n3'] * 3"
is gates "len(of('rail_ring', 'rate', 'pass')) == 9 and of('rail_ring', 'rate', 'fail') == []"

# ---- a port that is down, bytes that go another way: holes that say why, and the rest is measured
# All names of this machine share the files of its counters, so a way that is wrong is wrong for all of them.
plant 'n2:mlx5_0 down' 'mlx5_1 wrong_path'
over 3 holes 'n[1-4]' --only rail_pair
says "port 1 of mlx5_0 is DOWN"
is holes "all('/rail_pair/n2/' in s or w == 'done' or 'rail0' in s for s, w in words.items())"
is holes "set(of('rail_pair', 'rate', 'pass')) == {'n%d/nic%d>n%d/nic%d' % (a, r, b, r)
	for a in range(1, 5) for b in range(1, 5) for r in range(3) if a != b and
	not (r == 0 and 2 in (a, b)) and r != 1}"
is holes "all('the bytes did not go through mlx5_1 port 1' in x['why'] for x in f if x['metric'] == 'rate' and '/nic1>' in x['subject'])"
is holes "of('rail_pair', 'rate', 'fail') == []"

# ---- a NIC that dies in the middle of a ring: its two neighbours say so, and lose nothing else
plant 'n2:mlx5_1 dead 80e6'
over 1 dead 'n[1-4]' --only rail_ring --set rail_ring.seconds=8s
is dead "of('rail_ring', 'breaks', 'fail') != [] and set(of('rail_ring', 'breaks', 'fail')) <= {'n2/nic1>n4/nic1', 'n4/nic1>n2/nic1'}"
is dead "[x['samples'] for x in f if x['metric'] == 'rate' and x['subject'] == 'n4/nic1>n2/nic1'] != [0]"
is dead "{'n%d/nic%d>n%d/nic%d' % (a, r, (a + 1) % 4 + 1, r) for a in range(1, 5) for r in (0, 2)} <=
	set(of('rail_ring', 'rate', 'pass'))"
is dead "{'n1/nic1>n3/nic1', 'n3/nic1>n1/nic1'} <= set(of('rail_ring', 'rate', 'pass'))"

# ---- a step that is killed in a ring costs its neighbours one direction each
plant
timeout -k 5 200 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher pretend --root "$machine" \
	--hosts 'n[1-4]' -o killed --only rail_ring --set rail_ring.seconds=8s >killed.out 2>&1 </dev/null &
pid=$!
check "the ring begins" within 60 grep -qs '"e":"start".*ring/rail_ring/n4/group.rail2' killed/journal.jsonl
sleep 6
for p in $(leftovers); do
	# a step has its node in its arguments and its order on its input, so which rail this is shows later
	tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q " step .*--node n3 " && victim=$p
done
kill -9 "$victim"
rc=0
wait $pid || rc=$?
check "not accepted" test $rc = 3
is killed "sorted(words.values()) == ['crash'] + ['done'] * 11"
is killed "of('rail_ring', 'breaks', 'fail') == []"
is killed "len(of('rail_ring', 'rate', 'pass')) >= 9"

# ---- nobody to meet: a hole with a reason, not an acceptance and not an error
over 3 lonely n1
says "rail_pair"
is lonely "set(words.values()) == {'error'} and of('rail_pair', 'rate', 'pass') == []"
finish
