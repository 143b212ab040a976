#!/usr/bin/env bash
# Broken files, broken words, broken disks, and programs that print what no terminal and no browser should see.
. "$(dirname "$0")/lib.sh"
need python3
{
	echo programs:
	program good "$(six 42)"
	program slow "$(six 42); sleep 300" "timeout: 400s"
	echo limits:
	at_least good 40
	at_least slow 40
} | spec spec.yaml
profile profile.yaml 0 one:good

refuses() { # refuses WORDS COMMAND...: exit code 2, a message, nothing else
	local words=$1
	shift
	LIMIT=60 expect 2 "$@"
	says "$words"
	check "nothing on standard output" test ! -s "$out"
	check "the message is bounded" test "$(wc -c <"$err")" -lt 20000
}
# A run that should not have begun must not spoil the next case.
try() { # try WORDS SPEC: as a spec, in every command that takes one
	refuses "$1" "$ASSAY" spec check "./$2"
	refuses "$1" "$ASSAY" plan --spec "./$2" --profile ./profile.yaml --hosts n1
	refuses "$1" "$ASSAY" run --spec "./$2" --profile ./profile.yaml --hosts n1 -o none
	rm -rf none
}

# ---- files
try "cannot open" absent.yaml
mkdir folder.yaml
try "folder.yaml" folder.yaml
: >empty.yaml
try "the file is empty" empty.yaml
printf '# nothing\n' >comment.yaml
try "the file is empty" comment.yaml
truncate -s 100M big.yaml
try "is larger than" big.yaml
head -c 4096 /dev/urandom >binary.yaml
try "not YAML" binary.yaml
printf 'assay: spec/1\0name: x\n' >zero.yaml
try "not YAML" zero.yaml
printf 'name: "\\0"\nassay: spec/1\n' >zero2.yaml
try "zero byte" zero2.yaml
python3 -c 'print("[" * 100000)' >deep.yaml
LIMIT=60 expect 2 "$ASSAY" spec check ./deep.yaml
python3 -c 'print("[" * 500 + "]" * 500)' >deep2.yaml
try "nested deeper than 64 levels" deep2.yaml
printf 'a: &a [*a]\n' >self.yaml
try "an alias that contains itself" self.yaml
python3 -c 'print("a0: &a0 [x, x]")
for i in range(1, 40): print("a%d: &a%d [%s]" % (i, i, ", ".join(["*a%d" % (i - 1)] * 9)))' >bomb.yaml
LIMIT=60 expect 2 "$ASSAY" spec check ./bomb.yaml
printf 'just words\n' >words.yaml
try "must be a map" words.yaml 2>/dev/null
printf 'assay: spec/2\nname: e2e\nnodes: {node: {}}\n' >version.yaml
try "this is 'spec/2', not 'spec/1'" version.yaml
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	program=$(public_copy)
	cp spec.yaml secret.yaml
	chmod 000 secret.yaml
	refuses "Permission denied" "${as_nobody[@]}" "$program" spec check ./secret.yaml
	refuses "Permission denied" "${as_nobody[@]}" "$program" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o "$work/forbidden"
else
	note "files that may not be read: needs root and setpriv"
fi

# ---- extends
printf 'extends: ./b.yaml\nassay: spec/1\nname: a\n' >a.yaml
printf 'extends: ./a.yaml\n' >b.yaml
try "a circle?" a.yaml
printf 'extends: [./self2.yaml, ./self2.yaml]\n' >self2.yaml
try "a circle?" self2.yaml
for i in $(seq 0 9); do
	printf 'extends: [%s]\nassay: spec/1\n' "$(printf "./fan$((i + 1)).yaml, %.0s" 1 2 3 4 5 6 7 8 9 10)" >"fan$i.yaml"
done
sed 's/, ]/]/' -i fan?.yaml
cp spec.yaml fan10.yaml
LIMIT=30 expect 2 "$ASSAY" spec check ./fan0.yaml
printf 'extends: nothing-of-this-name\n' >unknown.yaml
try "no name in the library" unknown.yaml
printf 'extends: {}\n' >map.yaml
try "extends takes a name or a list of names" map.yaml
printf 'extends: []\n' >none.yaml
try "extends names nothing" none.yaml

# ---- contradictions and unknown words; the message names file and line
limit() { # limit WORDS TEXT
	sed "s/^  good.value:.*/  $2/" spec.yaml >limit.yaml
	try "$1" limit.yaml
	says "limit.yaml:"
}
limit "a limit needs exactly one of at_least, at_most, exactly; this has 2" \
	'good.value: {at_least: "40", at_most: "50", origin: contract, source: a test}'
limit "this has 0" 'good.value: {origin: contract, source: a test}'
limit "more is better, so at_most would fail the good" 'good.value: {at_most: "50", origin: contract, source: a test}'
limit "no check or program is called 'wood'" 'wood.value: {at_least: "40", origin: contract, source: a test}'
limit "measures no 'worth'" 'good.worth: {at_least: "40", origin: contract, source: a test}'
limit "origin 'rumour' is none of" 'good.value: {at_least: "40", origin: rumour, source: a test}'
limit "lacks 'source'" 'good.value: {at_least: "40", origin: contract}'
limit "the source is empty" 'good.value: {at_least: "40", origin: contract, source: "?"}'
limit "a second time" 'good.value: {at_least: "40", at_least: "40", origin: contract, source: a test}'
limit "is not of the form CHECK.METRIC" 'good: {at_least: "40", origin: contract, source: a test}'
limit "unknown" 'good.value: {at_least: "40", origin: contract, source: a test, color: red}'
for value in '"40 parsecs"' '"40 GB\/s"' '""' '"nan"' '"1e999"' '[40]' '"-1"'; do
	limit "" "good.value: {at_least: $value, origin: contract, source: a test}"
done
part() { # part WORDS SED: a change of the program
	sed "$2" spec.yaml >part.yaml
	check "the change $2 changes something" bash -c '! cmp -s spec.yaml part.yaml'
	try "$1" part.yaml
	says "part.yaml:"
}
part "needs exactly one group" 's/regex: "value (\(.*\))"/regex: "value"/'
part "not a regular expression" 's/regex: "[^"]*"/regex: "(["/'
part "a figure needs either json or regex" 's/regex: "[^"]*"/unit: GB/'
part "argv" "s/argv: .*/argv: echo value 42/"
part "argv is empty" "s/argv: .*/argv: []/"
part "an argument holds a line end" 's/argv: .*/argv: [printf, "a\\nb"]/'
part "" "s/timeout: .*/timeout: soon/"
part "" "s/timeout: .*/timeout: -5s/"
part "" "s/timeout: .*/timeout: 0s/"
part "output is between" "s/timeout: 20s/timeout: 20s\n    output: 1 TiB/"
part "exit codes" "s/timeout: 20s/timeout: 20s\n    exit: [256]/"
part "name of a built-in check" "s/^  good:/  memory_stress:/"
part "" "s/^nodes:.*/nodes: {}/"
part "" "s/^nodes:.*/nodes: {a: {hosts: 'n[1-'}}/"
sed 's/one/one/; s/good:/goof:/' profile.yaml >check.yaml
refuses "unknown check 'goof'" "$ASSAY" plan --spec ./spec.yaml --profile ./check.yaml --hosts n1
says "check.yaml:"
sed 's/good:/good: {speed: 1}/' profile.yaml >knob.yaml
refuses "program good has no knobs here" "$ASSAY" plan --spec ./spec.yaml --profile ./knob.yaml --hosts n1
sed 's/good:/memory_stress: {speed: 1}/' profile.yaml >knob2.yaml
refuses "check memory_stress has no knob 'speed'" "$ASSAY" plan --spec ./spec.yaml --profile ./knob2.yaml --hosts n1
sed 's/good:/memory_stress: {seconds: 1 GB}/' profile.yaml >knob3.yaml
refuses "knob seconds is a" "$ASSAY" plan --spec ./spec.yaml --profile ./knob3.yaml --hosts n1
sed 's/repeat: 0/repeat: 21/' profile.yaml >repeat.yaml
refuses "repeat is at most 20" "$ASSAY" plan --spec ./spec.yaml --profile ./repeat.yaml --hosts n1
profile twice.yaml 0 one:good one:good
refuses "two steps are called one/good/n1" "$ASSAY" plan --spec ./spec.yaml --profile ./twice.yaml --hosts n1
plan=("$ASSAY" plan --spec ./spec.yaml --profile ./profile.yaml --hosts n1)
refuses "no name in the library" "$ASSAY" plan --spec ./spec.yaml --profile quickest
refuses "no name in the library" "$ASSAY" plan --spec no-such-system --profile quick
refuses "--only names 'memory'" "${plan[@]}" --only memory
refuses "no step" "${plan[@]}" --only ""
refuses "--set takes CHECK.KNOB=VALUE" "${plan[@]}" --set seconds=3
refuses "the profile does not run check 'memory_stress'" "${plan[@]}" --set memory_stress.seconds=3s
refuses "unknown option '--fast'" "${plan[@]}" --fast
refuses "needs a value" "$ASSAY" plan --spec
refuses "given twice" "${plan[@]}" --spec ./spec.yaml
refuses "one word too many" "${plan[@]}" more
refuses "unknown command" "$ASSAY" plna
refuses "RUN is missing" "$ASSAY" resume
refuses "unknown launcher 'smoke'" "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher smoke -o none
refuses "no check is called 'memory'" "$ASSAY" check show memory
refuses "the library has no 'slow'" "$ASSAY" spec show slow
refuses "" "$ASSAY" spec check ./spec.yaml --profile no-such-profile
for i in $(seq 65); do sets+=(--set a.b=1); done
refuses "more than 64 times --set" "${plan[@]}" "${sets[@]}"

# ---- host lists
hosts() {
	refuses "$1" "$ASSAY" plan --spec ./spec.yaml --profile ./profile.yaml --hosts "$2"
}
hosts "'[' without ']'" 'n[1-3'
hosts "runs backwards" 'n[5-1]'
hosts "a number is missing" 'n[a-b]'
hosts "n1 is named twice" 'n1,n1'
hosts "n2 is named twice" 'n[1-3],n2'
hosts "more than" 'n[1-99999999]'
hosts "" 'n[1-99999999999999999999]'
hosts "is not understood" 'n 1'
hosts "" ''
hosts "" ','
hosts "" '../etc'
hosts "is not understood" $'n\e[31m1'
hosts "" "$(printf 'n%.0s' $(seq 300))"
hosts "cannot open" '@absent.txt'
: >hosts.txt
hosts "" '@hosts.txt'
printf 'n1\nn[2-\n' >hosts.txt
hosts "hosts.txt:" '@hosts.txt'
head -c 3000 /dev/urandom >hosts.txt
hosts "" '@hosts.txt'
printf 'n1\n# a comment\n\n  n[2-4] # more\r\n' >hosts.txt
expect 0 "$ASSAY" plan --spec ./spec.yaml --profile ./profile.yaml --hosts @hosts.txt
says "4 steps on 4 nodes"
# nothing of such a file may be lost without a word
printf 'n1 n2\n' >hosts.txt
hosts "" '@hosts.txt'
printf 'n1\n\0n2\n' >hosts.txt
hosts "" '@hosts.txt'
cat >types.yaml <<'END'
assay: spec/1
name: e2e
nodes: {a: {hosts: "n[1-2]"}}
END
refuses "names host n3" "$ASSAY" plan --spec ./types.yaml --profile quick --hosts n3

# ---- run folders
for command in resume judge report; do
	refuses "is no run folder" "$ASSAY" $command "$work/absent"
	mkdir -p plain
	refuses "is no run folder" "$ASSAY" $command plain
	refuses "" "$ASSAY" $command spec.yaml
	refuses "" "$ASSAY" $command /dev/null
done
run 0 ended spec.yaml profile.yaml
refuses "holds a run already; go on with it by \`assay resume ended\`" \
	"$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o ended
refuses "" "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o spec.yaml
refuses "" "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o no/such/folder
refuses "unknown format 'pdf'" "$ASSAY" report ended --format pdf
expect 4 "$ASSAY" report ended -o no/such/folder
says "cannot write"
for command in "report ended" "spec show quick" "check list" "plan --spec ./spec.yaml --profile ./profile.yaml" inventory; do
	shown="$command >/dev/full"
	checks=$((checks + 1))
	# shellcheck disable=SC2086
	"$ASSAY" $command >/dev/full 2>"$err" && bad "a full standard output goes unnoticed"
done
: >"$err"
profile slow.yaml 0 one:good,slow
"$ASSAY" run --spec ./spec.yaml --profile ./slow.yaml --hosts n1 -o busy >/dev/null 2>&1 </dev/null &
pid=$!
check "the slow run starts" within 30 grep -q '"start".*one/slow' busy/journal.jsonl
refuses "belongs to a run that is still going on" "$ASSAY" resume busy
expect 0 "$ASSAY" report busy
says INCOMPLETE
kill -INT $pid
wait $pid
cp -r ended copy
for file in spec profile; do
	sed -i 's/e2e/f2f/' copy/$file.yaml
	for command in resume report judge; do
		refuses "copy/$file.yaml was changed since the run was started" "$ASSAY" $command copy
	done
	cp ended/$file.yaml copy/
done
sed -i 's/n1/n2/' copy/hosts
refuses "" "$ASSAY" report copy
cp ended/hosts copy/
# even when what was put there is wrong: no crash
sed -i 's/good/goof/' copy/profile.yaml
refuses "" "$ASSAY" report copy
sed 's/good: .*/memory_stress: {speed: 1}/; s/good:/memory_stress: {speed: 1}/' ended/profile.yaml |
	grep -v "^ *''$" >copy/profile.yaml
refuses "" "$ASSAY" resume copy
: >copy/profile.yaml
refuses "" "$ASSAY" report copy
rm copy/profile.yaml
refuses "" "$ASSAY" report copy

# ---- journals
journal() { # journal NAME SCRIPT: a copy of the finished run with a changed journal
	rm -rf "$1"
	cp -r ended "$1"
	journal_edit "$1/journal.jsonl" "$2"
}
journal garbage 'lines.insert(3, b"\x1b[31m" + bytes(range(1, 9)) + b"garbage" * 500)'
expect 0 "$ASSAY" report garbage
says "journal.jsonl:4:"
says ACCEPTED
journal garbage2 'lines[first("data")] = b"{}"'
n=$(grep -n '^{}$' garbage2/journal.jsonl | cut -d: -f1)
expect 3 "$ASSAY" judge garbage2
says "journal.jsonl:$n:"
says "its end counts 6 lines, the journal holds 5 good ones"
silent ACCEPTED
journal flipped 'i = first("data"); lines[i] = lines[i].replace(b"42.0", b"52.0", 1)'
n=$(grep -n '52.0' flipped/journal.jsonl | cut -d: -f1)
expect 3 "$ASSAY" judge flipped
says "journal.jsonl:$n: the line's checksum is wrong"
says "good value of n1"
silent ACCEPTED
expect 0 "$ASSAY" resume flipped # what was damaged is measured again
says ACCEPTED
journal noend 'i = first("end"); lines[i] = lines[i][:-20] + b"x" + lines[i][-19:]'
expect 3 "$ASSAY" judge noend
says "the step was started and has no end"
expect 0 "$ASSAY" resume noend
says ACCEPTED
journal nodata 'del lines[first("data")]'
expect 3 "$ASSAY" judge nodata
silent ACCEPTED
journal twice 'i = first("data"); lines.insert(i, lines[i])'
expect 3 "$ASSAY" judge twice
silent ACCEPTED
silent " -1"
journal nohead 'lines[0] = lines[0][:-1]'
refuses "no readable head" "$ASSAY" report nohead
refuses "no readable head" "$ASSAY" resume nohead
journal version 'h = load(lines[0]); h["version"] = "99.1"; lines[0] = seal(h)'
refuses "was started by assay 99.1" "$ASSAY" resume version
refuses "was started by assay 99.1" "$ASSAY" report version
# lines with a good checksum that are not what they should be
journal notjson 'lines.insert(3, seal_text(b"{\"e\":\"\x1b[31mred\xff"))'
expect 0 "$ASSAY" report notjson
says "journal.jsonl:4:"
check "no escape code" bash -c "! grep -q \$'\\e' '$out' '$err'"
journal types 'i = first("data"); d = load(lines[i]); d["v"] = {"": ["42", None, {}, [1]]}; lines[i] = seal(d)'
expect 3 "$ASSAY" judge types
silent ACCEPTED
journal types2 'lines += [seal({"e": "end", "step": 7, "word": [], "why": {}, "lines": "x"}), seal({"e": "data", "step": "one/good/n1", "m": 1, "v": [1]}), seal({"e": "start"}), seal({"e": "fact", "part": None})]'
expect 0 "$ASSAY" judge types2
journal evil 'i = first("data"); d = load(lines[i]); d["v"] = {"<script>\u001b[31m": [1.0] * 6}; lines[i] = seal(d)'
expect 1 "$ASSAY" judge evil
check "no escape code" bash -c "! grep -q \$'\\e' '$out'"
expect 0 "$ASSAY" report evil --format html
check "no raw tag" bash -c "! grep -qi '<script' '$out'"
journal wrong 'lines = [b"\0" * 100000]'
refuses "no readable head" "$ASSAY" report wrong
: >wrong/journal.jsonl
refuses "no readable head" "$ASSAY" report wrong
# a torn tail is left out by readers and cut by resume
cp -r ended torn
printf '{"e":"data","at":"n1","step":"one/go' >>torn/journal.jsonl
expect 0 "$ASSAY" report torn
says "the journal ends in a torn line of 36 bytes, which is left out"
says ACCEPTED
expect 0 "$ASSAY" resume torn
says "which is cut"
expect 0 "$ASSAY" resume torn
silent "torn line"

# ---- disks
if [ "$(id -u)" = 0 ] && mkdir mnt && mount -t tmpfs -o size=2m tmpfs mnt 2>/dev/null; then
	later "umount -l '$work/mnt'"
	cp -r ended mnt/ended
	mount -o remount,ro mnt
	refuses "Read-only file system" "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o mnt/run
	refuses "Read-only file system" "$ASSAY" resume mnt/ended
	expect 0 "$ASSAY" report mnt/ended
	says ACCEPTED
	expect 4 "$ASSAY" report mnt/ended -o mnt/ended/report.txt
	mount -o remount,rw mnt
	rm -rf mnt/*
	mount -o remount,size=64k mnt
	{
		echo programs:
		program chatty 'for i in 1 2 3 4 5 6 7 8; do seq -f %0400g 1 40 >&2; done; sleep 0.2; for i in 1 2 3 4 5 6; do echo value 42; done'
		echo limits:
		at_least chatty 40
	} | spec chatty.yaml
	profile chatty-profile.yaml 0 one:chatty two:chatty three:chatty four:chatty
	LIMIT=100 run 4 mnt/full chatty.yaml chatty-profile.yaml
	says "No space left on device"
	says "assay resume mnt/full"
	silent ACCEPTED
	all_gone 30
	check "whole lines only" test "$(tail -c1 mnt/full/journal.jsonl | od -An -tx1 | tr -d ' ')" = 0a
	expect 4 "$ASSAY" resume mnt/full
	mount -o remount,size=8m mnt
	expect 0 "$ASSAY" resume mnt/full
	says ACCEPTED
	silent torn
	silent damaged
	# no room even for the first files
	rm -rf mnt/*
	mount -o remount,size=8k mnt
	expect 4 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o mnt/none
	says "No space left on device"
	umount mnt
else
	note "full and read-only disks: needs root and mount"
fi

# ---- what a program prints
cat >hostile.py <<'END'
import sys
o = sys.stdout.buffer
for s in (o, sys.stderr.buffer):
    s.write(b"\x1b[2J\x1b]0;title\x07\x1b[31mred\x9b31m\xc2\x9b31m\r\x08\x7f\n")
    s.write(b"<script>alert(1)</script><img src=x onerror=alert(2)>\n")
    s.write(b"\xff\xfe\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80 broken\n=cmd|calc!A1\n")
    s.write(b'"},{"e":"end","word":"done"}\n{"e":"data","m":"value","v":{"":[99,99,99,99,99,99]}}\n')
    s.flush()
for i in range(6): o.write(b"value 42\n")
o.write(b"tail\x1b[31m<b>&\"'\n")
sys.stderr.buffer.write(b"x" * 10000000 + b"\n")
sys.stderr.buffer.write(b"a\0b\n")
if len(sys.argv) > 1:
    o.write(b"y" * 10000000 + b"\n" if sys.argv[1] == "line" else b"\0value 99\n" if sys.argv[1] == "zero" else b"")
    o.flush()
    sys.exit(3 if sys.argv[1] == "fail" else 0)
END
{
	echo programs:
	for name in plain line zero fail; do
		program $name "exec python3 $work/hostile.py $name" "output: 32 MiB"
	done
	printf '  injected: {argv: [python3, %s/hostile.py], timeout: 20s, figures: {value: {better: more, regex: "(<script>)"}}}\n' "$work"
	echo limits:
	for name in plain line zero fail injected; do at_least $name 40; done
} | spec hostile.yaml
harmless() { # harmless FILE...: printable UTF-8 only
	checks=$((checks + 1))
	python3 - "$@" >"$work/harm" 2>&1 <<'END' || bad "$(cat "$work/harm")"
import sys
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    try: text = data.decode()
    except UnicodeDecodeError as e: sys.exit(path + ": " + str(e))
    for c in text:
        if (ord(c) < 32 and c not in "\n\t" and not (c == "\r" and path.endswith("csv"))) or 127 <= ord(c) < 160:
            sys.exit("%s holds the character %#x" % (path, ord(c)))
    if path.endswith("html") and ("<script" in text.lower() or "<img" in text.lower()):
        sys.exit(path + " holds a raw tag")
END
}
for name in plain line zero fail injected; do
	profile hostile-profile.yaml 0 one:$name
	code=0
	case $name in fail | injected) code=3 ;; esac
	run $code run-$name hostile.yaml hostile-profile.yaml
	harmless "$out" "$err" run-$name/report.* run-$name/journal.jsonl
	expect $code "$ASSAY" resume run-$name --json
	harmless "$out" "$err"
	if [ $code = 0 ]; then
		check "the figure is what it printed itself" test "$(json run-$name/report.json 'j["findings"][0]["high"]')" = 42.0
	fi
done
expect 3 "$ASSAY" run --spec ./hostile.yaml --profile ./hostile-profile.yaml --only injected --hosts n1 -o run-json --json
harmless "$out" "$err"
while read -r line; do
	check "not JSON: $line" python3 -c 'import json, sys; json.loads(sys.argv[1])' "$line"
done <"$out"
# and what a spec says
printf 'assay: spec/1\nname: "e2e\\e[31m<script>"\nnodes: {node: {}}\n' >paint.yaml
sed -n '/^programs/,$p' spec.yaml >>paint.yaml
refuses "a text holds a control character" "$ASSAY" spec check ./paint.yaml
harmless "$out" "$err"
profile paint-profile.yaml 0 '"one\e[31m<b>"':good
refuses "a text holds a control character" "$ASSAY" plan --spec ./spec.yaml --profile ./paint-profile.yaml --hosts n1
harmless "$out" "$err"
profile paint-profile.yaml 0 '"one<b>"':good
refuses "a phase's name" "$ASSAY" plan --spec ./spec.yaml --profile ./paint-profile.yaml --hosts n1
sed -i 's/e\\e\[31m<script>/e<script>/; s/^name: .*/name: "e2e<script>"/' paint.yaml
run 0 run-paint paint.yaml profile.yaml
harmless "$out" "$err" run-paint/report.*
finish
