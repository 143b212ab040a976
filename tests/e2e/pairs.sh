#!/usr/bin/env bash
# Pairs of nodes: who meets whom, what becomes of a pair whose partner dies, gates, repeats, resume, and
# TCP between network namespaces that have interfaces of their own.
. "$(dirname "$0")/lib.sh"
need python3

# ---- specs and profiles. Nodes are addresses of the loopback, for a node must be known by its name.
limits() { # limits GB_PER_S
	echo limits:
	printf '  net_pair.%s: {at_least: %s GB/s, origin: contract, source: a test}\n' rate "$1" rate_both "$1"
	printf '  net_pair.round_trip: {at_most: 1 s, origin: contract, source: a test}\n'
}
# On a busy machine whole windows may pass without a byte; what is looked at first is who meets whom.
limits 0 | spec spec.yaml
knobs='streams: 2, windows: 6, seconds: 0.1s, pings: 100'
pair_profile() { # pair_profile FILE REPEAT
	printf 'assay: profile/1\nname: e2e\nrepeat: %s\nphases:\n  - name: pairs\n    checks: {net_pair: {%s}}\n' \
		"$2" "$knobs" >"$1"
}
pair_profile pairs.yaml 0
pair_profile again.yaml 1
pair_profile often.yaml 3

# pairs RUN EXPRESSION: a Python expression over the journal
pairs() {
	python3 - "$1" "$2" <<'END'
import collections, json, sys
events = [json.loads(l) for l in open(sys.argv[1] + "/journal.jsonl")]
def step(e):
	return e.get("step", "").split("/") + ["", "", "", ""]
starts = collections.Counter(e["step"] for e in events if e["e"] == "start")
words = {e["step"]: e["word"] for e in events if e["e"] == "end"}
why = {e["step"]: e["why"] for e in events if e["e"] == "end"}
told = collections.defaultdict(int)  # (metric, node, subject): samples
rounds = collections.defaultdict(set)
for e in events:
	if e["e"] == "data":
		for subject, v in e.get("v", {}).items():
			told[e["m"], e["at"], subject] += len(v)
			if e["m"] == "rate":
				rounds[step(e)[3]].add(frozenset((e["at"], subject[1:])))
nodes = sorted({e["at"] for e in events if e["e"] == "start"})
all_pairs = {frozenset((a, b)) for a in nodes for b in nodes if a < b}
def once():  # every two meet once, in rounds in which nobody has two partners
	met = [p for r in rounds.values() for p in r]
	odd = len(nodes) % 2
	return (sorted(map(sorted, met)) == sorted(map(sorted, all_pairs)) and
		len(rounds) == len(nodes) - 1 + odd and
		all(len(set().union(*r)) == len(nodes) - odd and len(r) == len(nodes) // 2 for r in rounds.values()))
def whole():  # both members have told their own direction
	return all(told["rate", a, ">" + b] == told["rate_both", a, ">" + b] == 6 and told["round_trip", a, ">" + b] == 10 and
		told["wrong_bytes", a, "<" + b] == 1 for a in nodes for b in nodes if a != b)
print(eval(sys.argv[2]))
END
}
is() { # is RUN EXPRESSION: the expression is true
	checks=$((checks + 1))
	shown="$1"
	[ "$(pairs "$1" "$2" 2>"$err")" = True ] || bad "$1: not so: $2"
}
begin() { # begin FOLDER HOSTS PROFILE [MORE...]: a run in the background
	local folder=$1 hosts=$2 profile=$3
	shift 3
	timeout -k 5 300 "$ASSAY" run --spec ./spec.yaml --profile "./$profile" --launcher pretend --hosts "$hosts" \
		-o "$folder" "$@" >"$folder.out" 2>&1 </dev/null &
	pid=$!
}
ended() { # ended PID FOLDER CODE: it ends with this code; what it printed is looked at from here on
	local rc=0
	wait "$1" || rc=$?
	cp "$2.out" "$out"
	checks=$((checks + 1))
	shown="the run $2"
	[ "$rc" = "$3" ] || bad "exit code $rc instead of $3"
	grep -hE "\"hole\"|\"word\":\"[^d]" "$2/journal.jsonl" >"$err"
	sane "$out" "$2/journal.jsonl"
}
processes() { # processes ROLE NODE: of this test
	local p
	for p in $(leftovers); do
		tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q " $1 .*--node $2 " && echo "$p"
	done
}
started() { # started RUN STEP
	grep -qs "\"e\":\"start\".*\"$2\"" "$1/journal.jsonl"
}
begun() { # begun RUN STEP: its pings are told, so both of its members are at work
	grep -qs "\"m\":\"round_trip\".*\"$2\"" "$1/journal.jsonl"
}

# ---- every two meet once, and each tells its own direction
declare -A pids
for n in 2 3 5 8; do
	begin "all$n" "127.0.0.[1-$n]" pairs.yaml
	pids[$n]=$pid
done
for n in 2 3 5 8; do
	ended "${pids[$n]}" "all$n" 3 # a pretended fleet is never accepted
	says "findings $((4 * n * (n - 1))) pass"
	is "all$n" "len(nodes) == $n"
	is "all$n" "once()"
	is "all$n" "whole()"
	is "all$n" "set(words.values()) == {'done'} and max(starts.values()) == 1"
done

# ---- nobody is left without a partner in silence: who is alone says so, and who sits out gets a round more
expect 3 "$ASSAY" run --spec ./spec.yaml --profile ./pairs.yaml --hosts 127.0.0.1 -o lonely
says "a pair is two nodes, and here are 1"
says "not-measured"
expect 0 "$ASSAY" plan --spec ./spec.yaml --profile ./pairs.yaml --hosts '127.0.0.[1-3]' --set net_pair.rounds=1 --json
says '"id": "pairs/net_pair/127.0.0.1/r2"'
silent "/r3"

# ---- fewer rounds, when the profile says so; and hosts that do not resolve
begin few "127.0.0.[1-4]" pairs.yaml --set net_pair.rounds=1
few=$pid
begin names "no-such-host-[1-2]" pairs.yaml
ended $pid names 3
says "no address of no-such-host-2 is known here"
ended $few few 3
is few "len(rounds) == 1 and sum(starts.values()) == 4"
expect 2 "$ASSAY" run --spec ./spec.yaml --profile ./pairs.yaml --launcher pretend --hosts '127.0.0.[1-2]' -o x \
	--set net_pair.peers=127.0.0.1
check "who meets whom is not for a profile" test ! -e x

# ---- a step that is killed, and an agent that is killed: the partner names it, the others go on
begin step '127.0.0.[1-4]' pairs.yaml
step_run=$pid
begin agent '127.0.0.[5-8]' pairs.yaml
agent_run=$pid
check "a pair begins" within 30 begun step pairs/net_pair/127.0.0.3/r1
# shellcheck disable=SC2046
kill -9 $(processes step 127.0.0.3)
check "a pair begins" within 30 begun agent pairs/net_pair/127.0.0.6/r1
# shellcheck disable=SC2046
kill -9 $(processes agent 127.0.0.6)
ended $step_run step 3
says "it died: killed by signal 9"
other=$(pairs step '[p for s, p in why.items() if s.endswith("/r1") and "127.0.0.3: " in p]')
checks=$((checks + 1))
echo "$other" | grep -qE "127.0.0.3: (it closed the connection|the connection broke|it does not say)" ||
	bad "its partner does not name it: $other"
is step "sorted(w for s, w in words.items() if s.endswith('/r1')) == ['crash', 'done', 'done', 'error']"
is step "all(w == 'done' for s, w in words.items() if not s.endswith('/r1'))"
says "findings 40 pass, 8 not-measured"
ended $agent_run agent 3
is agent "sorted(w for s, w in words.items() if s.endswith('/r1')) == ['done', 'done', 'error', 'lost']"
is agent "any('127.0.0.6: ' in p for s, p in why.items() if words[s] == 'error')"
is agent "sum('127.0.0.6, which it was to meet, is lost' in p for p in why.values()) == 2"
is agent "sum(w == 'done' for w in words.values()) == 6"
says "its agent was killed by signal 9"
says "findings 24 pass, 24 not-measured"

# ---- gates: a node that fails before is left out of pairs, of everything, with all, or not at all
{
	echo programs:
	# the agent of one node stands in the command line of its parent
	program picky 'tr "\\0" " " </proc/$PPID/cmdline | grep -q "127.0.0.3" && v=1 || v=42; for i in 1 2 3 4 5 6; do echo value $v; done'
	program later "$(six 42)"
	limits 0
	at_least picky 40
	at_least later 40
} | spec gates.yaml
for gate in default open leave stop; do
	{
		printf 'assay: profile/1\nname: e2e\nrepeat: 0\nphases:\n  - name: before\n'
		[ $gate = default ] || echo "    gate: $gate"
		printf '    checks:\n      picky:\n  - name: pairs\n    checks:\n      later:\n      net_pair: {%s}\n' "$knobs"
	} >$gate.yaml
	timeout -k 5 200 "$ASSAY" run --spec ./gates.yaml --profile ./$gate.yaml --launcher pretend --hosts '127.0.0.[1-4]' \
		-o gate-$gate >gate-$gate.out 2>&1 </dev/null &
	pids[$gate]=$!
done
left="it was left out: in phase before, picky.value of 127.0.0.3 is fail"
for gate in default open leave stop; do
	ended "${pids[$gate]}" gate-$gate 1
	says "picky value of 127.0.0.3: 1"
	[ $gate = open ] || says "$left"
done
cp gate-open.out "$out"
: >"$err"
silent "left out"
is gate-open "once() and whole()"
for gate in default leave; do
	cp gate-$gate.out "$out"
	says "it was left out: 127.0.0.3, which it was to meet, was left out"
	is gate-$gate "sum(words[s] == 'done' for s in words if '/net_pair/' in s) == 6"
	is gate-$gate "sum(words[s] == 'left-out' for s in words if '/net_pair/' in s) == 6"
	is gate-$gate "all('127.0.0.3' in w for s, w in why.items() if words[s] == 'left-out')"
done
is gate-default "words['pairs/later/127.0.0.3'] == 'done'"
is gate-leave "words['pairs/later/127.0.0.3'] == 'left-out' and words['pairs/later/127.0.0.1'] == 'done'"
is gate-stop "all(words[s] == 'left-out' for s in words if s.startswith('pairs/')) and len(words) == 4 + 4 + 12"

# ---- kill -9 of the controller in the middle of a round
begin killed '127.0.0.[1-4]' pairs.yaml
check "the second round begins" within 60 begun killed pairs/net_pair/127.0.0.1/r2
kill -9 "$(cat "/proc/$pid/task/$pid/children")" # timeout is between
wait $pid 2>/dev/null
is killed "len(words) == 4"
expect 3 "$ASSAY" resume killed
says "findings 48 pass"
is killed "once() and set(words.values()) == {'done'}"
[ "$(json killed/report.json '[f["samples"] for f in j["findings"] if f["metric"] == "rate"] == 12 * [6]')" = True ] ||
	bad "samples of a step that was cut short were counted"
is killed "all(n == (2 if s.endswith('/r2') else 1) for s, n in starts.items())"

# ---- repeats: both members of a pair once more, one pair behind the other
limits 0.00001 | spec spec.yaml
# On a busy machine a figure may stay inconclusive by itself; here all must begin without repeats.
for _ in 1 2 3; do
	rm -rf again
	begin again '127.0.0.[1-4]' again.yaml
	ended $pid again 3
	grep -q 'net_pair#' again/journal.jsonl || break
done
is again "once() and not any('#' in s for s in starts)"
journal_edit again/journal.jsonl '
for i, l in enumerate(lines):
	e = load(l)
	# one member of each pair of the first round has scattered
	if e["e"] == "data" and e["m"] == "rate" and e["step"].endswith("/r1") and e["at"] in ("127.0.0.1", "127.0.0.2"):
		for k in e["v"]:
			e["v"][k] = [0, 2, 2, 2, 2, 2]
		lines[i] = seal(e)
'
LIMIT=60 expect 3 "$ASSAY" resume again
says "findings 48 pass"
is again "sorted(s.split('/')[2] for s in starts if '#2' in s) == nodes and sum('#' in s for s in starts) == 4"
is again "all(words[s] == 'done' for s in words)"
is again "all(told['rate', a, '>' + b] == 12 for p in rounds['r1'] for a in p for b in p if a != b)"

# ---- reports: what failing pairs have in common, and a map of each metric
cp -r again one-slow
journal_edit one-slow/journal.jsonl '
for i, l in enumerate(lines):
	e = load(l)
	if e["e"] == "data" and e["m"] == "rate":
		e["v"] = {k: [0.000001] * len(v) if "127.0.0.3" in (e["at"], k[1:]) else v for k, v in e["v"].items()}
		lines[i] = seal(e)
'
expect 0 "$ASSAY" report one-slow
says "net_pair rate: 6 figures, wanted >= 0.00001 GB/s 127.0.0."
says "127.0.0.1>127.0.0.3: 0.000001"
says "Between nodes net_pair rate: 6 of 12 fail 127.0.0.3: low with 3 of 3 partners, both ways (median 0.000001"
expect 0 "$ASSAY" report one-slow --format html
says "<li>127.0.0.3: low with 3 of 3 partners, both ways"
says "<title>127.0.0.3&gt;127.0.0.1: 0.000001 GB/s, wanted &gt;= 0.00001 GB/s, fail</title>"
silent "url(#hatch-fine)"
check "each pair is a cell of three maps, and of two of what is not judged" \
	test "$(grep -oE '<title>127.0.0.[1-4]&gt;' "$out" | wc -l)" = 60
check "no row for each pair in the list of all figures" \
	test "$(grep -c '<td>127.0.0.[1-4]&gt;127.0.0.[1-4]</td>' "$out")" = 6
expect 0 "$ASSAY" report step --format html # one step of it was killed
says "<title>127.0.0.3 to 127.0.0."
says ": not measured: it died: killed by signal 9"

# ---- real interfaces: a namespace for each node, and a bridge between them
if [ "$(id -u)" != 0 ] || ! unshare -n true 2>/dev/null || ! command -v ip >/dev/null; then
	note "TCP through interfaces: needs root, network namespaces and ip"
	finish
fi
mark=e2e$$
for i in 1 2 3; do later "ip netns del $mark-$i"; done
namespaces() {
	ip netns add $mark-0 && later "ip netns del $mark-0" && ip -n $mark-0 link add bridge type bridge &&
		ip -n $mark-0 link set bridge up || return 1
	for i in 1 2 3; do
		ip netns add $mark-$i && ip -n $mark-$i link add net0 type veth peer name port$i netns $mark-0 &&
			ip -n $mark-0 link set port$i master bridge && ip -n $mark-0 link set port$i up &&
			ip -n $mark-$i addr add 10.99.0.$i/24 dev net0 && ip -n $mark-$i link set net0 up &&
			ip -n $mark-$i link set lo up || return 1
		cat /proc/sys/kernel/random/uuid >boot$i
	done
}
if ! namespaces >"$out" 2>&1; then
	note "TCP through interfaces: $(tail -n 1 "$out")"
	finish
fi
# What the launcher takes for ssh goes into the namespace of that node, which has a boot id of its own.
mkdir bin
cat >bin/ssh <<END
#!/usr/bin/env bash
node=\${*: -2:1} line=\${*: -1}
exec ip netns exec $mark-\${node##*.} sh -c 'mount --bind "\$1" /proc/sys/kernel/random/boot_id && eval "\$2"' \\
	- "$work/boot\${node##*.}" "\$line"
END
chmod 755 bin/ssh
limits 0.02 | spec spec.yaml
through() { # through CODE FOLDER [MORE...]
	local code=$1 folder=$2
	shift 2
	PATH=$work/bin:$PATH expect "$code" "$ASSAY" run --spec ./spec.yaml --profile ./often.yaml --launcher ssh --hosts '10.99.0.[1-3]' \
		-o "$folder" "$@"
	sane "$folder/journal.jsonl"
}
through 0 real
says ACCEPTED
is real "once() and all(told['rate', a, '>' + b] for a in nodes for b in nodes if a != b)"
is real "sum('through net0' in e.get('text', '') and '#' not in e['step'] for e in events) == 6"

# one node's interface sends at 100 Mb/s: its own direction fails with each partner, the other does not
if ip netns exec $mark-2 tc qdisc add dev net0 root tbf rate 100mbit burst 32k latency 20ms 2>/dev/null; then
	through 1 slow
	for other in 1 3; do
		says "net_pair rate of 10.99.0.2>10.99.0.$other"
		silent "net_pair rate of 10.99.0.$other>10.99.0.2"
	done
	silent "net_pair rate of 10.99.0.1>10.99.0.3"
	ip netns exec $mark-2 tc qdisc del dev net0 root
else
	note "an interface that is slow: no tbf here"
fi

# a cable that is pulled: whoever sends or waits says so in time, and names the other
PATH=$work/bin:$PATH timeout -k 5 200 "$ASSAY" run --spec ./spec.yaml --profile ./pairs.yaml --launcher ssh \
	--hosts '10.99.0.[1-3]' --set net_pair.rounds=1 --set net_pair.seconds=1s -o pulled >pulled.out 2>&1 </dev/null &
pid=$!
check "a pair begins" within 30 begun pulled pairs/net_pair/10.99.0.3/r1
ip -n $mark-0 link set port3 down
ended $pid pulled 3
is pulled "list(words.values()) == 4 * ['error']" # the second round is for who sat out the first
is pulled "any('10.99.0.3: it ' in p and 'in time' in p for p in why.values())"
finish
