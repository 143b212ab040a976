#!/usr/bin/env bash
# Exit codes and words of every verdict, and that no run is ever accepted with a hole.
. "$(dirname "$0")/lib.sh"

one() { # one NAME SCRIPT [MORE...]: a spec with one program, limit 40
	{
		echo programs:
		program good "$(six 42)"
		program "$@"
		echo limits:
		at_least good 40
		at_least "$1" 40
	} | spec "$1.yaml"
	profile "$1-profile.yaml" 0 "one:good,$1"
}

# hole NAME WORDS SCRIPT [MORE...]: a good program and one without a figure are never accepted
hole() {
	local name=$1 words=$2
	shift 2
	one "$name" "$@"
	run 3 "run-$name" "$name.yaml" "$name-profile.yaml"
	says INCOMPLETE
	silent ACCEPTED
	says "$words"
	says "$name value of n1"
	checks=$((checks + 1))
	grep -q '"verdict": "incomplete"' "run-$name/report.json" || bad "report.json does not say incomplete"
	[ "$(json "run-$name/report.json" 'len(j["coverage"]["holes"])')" = 1 ] || bad "no hole in report.json"
	expect 3 "$ASSAY" judge "run-$name"
	expect 3 "$ASSAY" resume "run-$name"
	silent ACCEPTED
}

# ---- accepted and rejected
one better "$(six 50)"
run 0 accepted better.yaml better-profile.yaml
says ACCEPTED
says "Everything that was promised was measured and is good."
[ "$(json accepted/report.json 'j["verdict"]')" = accepted ] || bad "report.json says otherwise"
for f in txt html json xml csv prom; do
	check "no report.$f" test -s "accepted/report.$f"
done
expect 0 "$ASSAY" report accepted
expect 0 "$ASSAY" run --spec ./better.yaml --profile ./better-profile.yaml --hosts n2 -o second --json
says '"verdict":"accepted"'
one worse "$(six 39.9)"
run 1 rejected worse.yaml worse-profile.yaml
says REJECTED
says "worse value of n1: 39.90"
says "wanted >= 40"
says "limit from: a test (contract)"
silent ACCEPTED
expect 1 "$ASSAY" judge rejected
expect 1 "$ASSAY" resume rejected
# a failure outweighs a hole
one both "$(six 1)"
sed -i 's/^  good:/  gone: {argv: [sh, -c, exit 1], timeout: 5s, figures: {value: {better: more, regex: "(x)"}}}\n  good:/' both.yaml
profile both-profile.yaml 0 one:good,both,gone
run 1 rejected-hole both.yaml both-profile.yaml
says REJECTED
says "What was not measured"

# ---- usage and spec errors
expect 2 "$ASSAY"
expect 2 "$ASSAY" frobnicate
says "unknown command 'frobnicate'"
expect 2 "$ASSAY" run --spec ./better.yaml --profile ./better-profile.yaml
says "-o is missing"
expect 2 "$ASSAY" run --spec ./better.yaml --profile ./better-profile.yaml --hosts 'n[1-3]' -o x
says "launcher local reaches one node"
expect 2 "$ASSAY" run --profile ./better-profile.yaml -o x
says "--spec is missing"
expect 2 "$ASSAY" run --spec ./better.yaml -o x
says "--profile is missing"
check "a usage error leaves no folder" test ! -e x

# ---- holes
hole missing "nothing in its output matches" "echo nothing to see"
hole text "nothing in its output matches" "echo value none"
hole wrongexit "it left with code 3, which does not mean that it ran" "$(six 50); exit 3"
hole output "it printed more than its cap of 100 bytes" "$(six 50); yes | head -c 100000" "output: 100 B"
hole limit "it did not end within its time limit" "$(six 50); sleep 60" "timeout: 0.3s"
hole closed "it closed its output and did not end within its time limit" "$(six 50); exec >&-; sleep 60" "timeout: 0.3s"
hole signal "it was killed by signal 11" "$(six 50); kill -SEGV \$\$"
hole nan "is not a number" "for i in 1 2 3 4 5 6; do echo value ...; done"
hole json "its output is not JSON" "$(six 50)" 'figures: {value: {better: more, json: value}}'
{
	echo programs:
	program good "$(six 42)"
	printf '  absent: {argv: [/nonexistent/program], timeout: 5s, figures: {value: {better: more, regex: "([0-9])"}}}\n'
	printf 'limits:\n'
	at_least good 40
	at_least absent 40
} | spec absent.yaml
profile absent-profile.yaml 0 one:good,absent
run 3 run-absent absent.yaml absent-profile.yaml
says "cannot start /nonexistent/program: No such file or directory"
silent ACCEPTED
# no limit in the spec
{
	echo programs:
	program good "$(six 42)"
	program free "$(six 42)"
	echo limits:
	at_least good 40
} | spec nolimit.yaml
profile nolimit-profile.yaml 0 one:good,free
run 3 run-nolimit nolimit.yaml nolimit-profile.yaml
says "measured, but the spec has no limit free.value"
silent ACCEPTED
# a step that cannot run on this machine: another disk than there is
cat >nodisk.yaml <<'END'
assay: spec/1
name: e2e
parts: {some: {kind: disk, source: a test}}
nodes: {node: {disks: [{part: some, count: 200}]}}
END
profile nodisk-profile.yaml 0 one:disk_health
sed -i 's/disk_health:/disk_health: {seconds: 0.1s}/' nodisk-profile.yaml
expect 0 "$ASSAY" plan --spec ./nodisk.yaml --profile ./nodisk-profile.yaml
says "200 steps"
sed 's/count: 200/count: 1, serials: [NO-SUCH]/' nodisk.yaml >onedisk.yaml
"$ASSAY" run --spec ./onedisk.yaml --profile ./nodisk-profile.yaml -o run-onedisk --hosts n1 >"$out" 2>"$err"
rc=$?
shown="a run with a disk that is not what the spec says"
checks=$((checks + 1))
[ $rc = 3 ] || bad "exit code $rc instead of 3"
silent ACCEPTED
# figures named zero: any other number is a fault
one errors "echo errors 0" 'figures: {value: {better: zero, regex: "errors ([0-9]+)"}}'
sed -i '/errors.value/d' errors.yaml
run 0 run-errors errors.yaml errors-profile.yaml
one faults "echo errors 1" 'figures: {value: {better: zero, regex: "errors ([0-9]+)"}}'
sed -i '/faults.value/d' faults.yaml
run 1 run-faults faults.yaml faults-profile.yaml
says REJECTED
# exit codes that the spec lists
one listed "$(six 50); exit 7" "exit: [0, 7]"
run 0 run-listed listed.yaml listed-profile.yaml
# only recorded or judged nothing at all
run 3 run-none nolimit.yaml nolimit-profile.yaml --only free
silent ACCEPTED

# ---- inconclusive, repeats, and their cap
few="for i in 1 2 3 4; do echo value 50; done"
one few "$few"
run 3 run-few few.yaml few-profile.yaml
says "4 samples are too few for a 95% interval; six is the least"
says "too close to their limit to tell"
silent ACCEPTED
profile few-profile.yaml 1 one:good,few
run 0 run-few1 few.yaml few-profile.yaml
says ACCEPTED
check "a repeat in the journal" grep -q 'one/few#2/n1' run-few1/journal.jsonl
check "no third round" bash -c '! grep -q "few#3" run-few1/journal.jsonl'
expect 0 "$ASSAY" report run-few1
says ACCEPTED
expect 0 "$ASSAY" resume run-few1
one straddle "for i in 37 38 39 41 42 43; do echo value \$i; done"
profile straddle-profile.yaml 2 one:good,straddle
run 3 run-straddle straddle.yaml straddle-profile.yaml
says "the limit lies within the 95% interval of 18 samples"
check "a third round" grep -q 'one/straddle#3/n1' run-straddle/journal.jsonl
check "the cap holds" bash -c '! grep -q "straddle#4" run-straddle/journal.jsonl'
check "good needs no repeat" bash -c '! grep -q "good#2" run-straddle/journal.jsonl'
expect 3 "$ASSAY" resume run-straddle
check "resume keeps to the cap" bash -c '! grep -q "straddle#4" run-straddle/journal.jsonl'
silent ACCEPTED
# a name that could be taken for the mark of a repeat, or for a part of a step's name, is refused
for name in 'a#1' a/b 'a b' ''; do
	profile names-profile.yaml 1 "\"$name\":few"
	expect 2 "$ASSAY" run --spec ./few.yaml --profile ./names-profile.yaml --hosts n1 -o run-names
	says "names-profile.yaml:"
done

# ---- judge --spec: one limit changed, one finding flipped
cp better.yaml strict.yaml
sed -i 's/  better.value: {at_least: "40"/  better.value: {at_least: "60"/' strict.yaml
line=$(grep -n 'better.value:' strict.yaml | cut -d: -f1)
expect 1 "$ASSAY" judge accepted --spec ./strict.yaml
says REJECTED
says "better value of n1: 50, wanted >= 60"
says "at ./strict.yaml:$line"
expect 1 "$ASSAY" judge accepted --spec ./strict.yaml --json
cp "$out" strict.json
flipped=$(python3 - accepted/report.json strict.json <<'END'
import json, sys
a, b = (json.load(open(p))["findings"] for p in sys.argv[1:])
print([(x["check"], x["verdict"], y["verdict"]) for x, y in zip(a, b) if x["verdict"] != y["verdict"]], len(a) == len(b))
END
)
[ "$flipped" = "[('better', 'pass', 'fail')] True" ] || bad "flipped: $flipped"
check "judging leaves the run alone" grep -q '"verdict": "accepted"' accepted/report.json
expect 0 "$ASSAY" judge accepted
# a spec without a program that was run cannot judge that program, and says so instead of dying or accepting
sed -e '/^  better:/,/figures/d' -e '/better.value/d' better.yaml >without.yaml
LIMIT=20 expect 2 "$ASSAY" judge accepted --spec ./without.yaml
silent ACCEPTED
# a spec that wants another figure of the same program: a hole
sed -e 's/    figures: {value:/    figures: {extra: {better: more, regex: "extra (1)"}, value:/' better.yaml >extra.yaml
expect 3 "$ASSAY" judge accepted --spec ./extra.yaml
silent ACCEPTED

# ---- waivers
cp worse.yaml waived.yaml
waive waived.yaml '{check: worse, metric: value, reason: fan tray on order, by: J. Doe}'
expect 0 "$ASSAY" judge rejected --spec ./waived.yaml
says "What was waived ("
says "fail, waived by J. Doe: fan tray on order"
run 0 waived waived.yaml worse-profile.yaml
says "waived by J. Doe"
cp missing.yaml waived-hole.yaml
waive waived-hole.yaml '{check: missing, reason: never delivered, by: J. Doe}'
expect 0 "$ASSAY" judge run-missing --spec ./waived-hole.yaml
says "waived by J. Doe: never delivered"
sed 's/check: worse, metric: value/check: worse, subject: "n2*"/' waived.yaml >elsewhere.yaml
expect 1 "$ASSAY" judge rejected --spec ./elsewhere.yaml
sed 's/check: worse/check: wrose/' waived.yaml >typo.yaml
expect 2 "$ASSAY" judge rejected --spec ./typo.yaml
says "the waiver names the unknown check 'wrose'"
sed 's/, by: J. Doe//' waived.yaml >nobody.yaml
expect 2 "$ASSAY" judge rejected --spec ./nobody.yaml
says "lacks 'by'"
sed 's/check: worse, metric: value/check: "*"/' waived.yaml >everything.yaml
expect 0 "$ASSAY" judge rejected --spec ./everything.yaml
# everything waived is not accepted: nothing was found good
{
	echo programs:
	program worse "$(six 1)"
	echo limits:
	at_least worse 40
	echo 'waivers: [{check: worse, reason: r, by: b}]'
} | spec allwaived.yaml
profile allwaived-profile.yaml 0 one:worse
run 3 allwaived allwaived.yaml allwaived-profile.yaml
silent ACCEPTED

# ---- words of a program reach it as they stand in the spec, or the spec is refused
cat >words.yaml <<'END'
assay: spec/1
name: e2e
nodes: {node: {}}
programs:
  words:
    argv: [sh, -c, "for i in 1 2 3 4 5 6; do echo value $#; done", sh, "", x, ""]
    timeout: 5s
    figures: {value: {better: more, regex: "value ([0-9]+)"}}
limits:
  words.value: {at_least: "3", origin: contract, source: a test}
END
need_no_log words.yaml
profile words-profile.yaml 0 one:words
run 0 run-words words.yaml words-profile.yaml
many=$(seq -s, 1 300)
sed "s/\"\", x, \"\"/$many/; s/at_least: \"3\"/at_least: \"300\"/" words.yaml >many.yaml
"$ASSAY" run --spec ./many.yaml --profile ./words-profile.yaml --hosts n1 -o run-many >"$out" 2>"$err"
rc=$?
shown="a program with 300 arguments"
checks=$((checks + 1))
[ $rc = 0 ] || [ $rc = 2 ] || bad "exit code $rc: neither run with all of its words nor refused"
# more figures than anybody needs
{
	printf 'programs:\n  many:\n    argv: [sh, -c, "for i in 1 2 3 4 5 6; do echo v 1; done"]\n    timeout: 20s\n    figures:\n'
	for i in $(seq 1 100); do printf '      f%s: {better: more, regex: "v ([0-9]+)"}\n' "$i"; done
	echo limits:
	for i in $(seq 1 100); do printf '  many.f%s: {at_least: "1", origin: contract, source: a test}\n' "$i"; done
} | spec figures.yaml
profile figures-profile.yaml 0 one:many
"$ASSAY" run --spec ./figures.yaml --profile ./figures-profile.yaml --hosts n1 -o run-figures >"$out" 2>"$err"
rc=$?
shown="a program with 100 figures"
checks=$((checks + 1))
[ $rc = 0 ] || [ $rc = 2 ] || bad "exit code $rc: neither judged nor refused"
sane "$out" "$err"
# names that do not fit into a line of the journal are a mistake in the spec
long=$(printf 'a%.0s' $(seq 1 950))
profile long-profile.yaml 0 "$long:good"
expect 2 "$ASSAY" run --spec ./better.yaml --profile ./long-profile.yaml --hosts n1 -o run-long
sed "s/^  good:/  $long:/; s/^  good.value/  $long.value/" better.yaml >long.yaml
profile long2-profile.yaml 0 "one:$long"
expect 2 "$ASSAY" run --spec ./long.yaml --profile ./long2-profile.yaml --hosts n1 -o run-long2
# a long --only must not cut the run off from its own journal
{
	echo programs:
	for i in $(seq 1 12); do program "program_with_a_long_name_$i" "$(six 42)"; done
	echo limits:
	for i in $(seq 1 12); do at_least "program_with_a_long_name_$i" 40; done
} | spec only.yaml
names=$(for i in $(seq 1 12); do printf 'program_with_a_long_name_%s,' "$i"; done)
profile only-profile.yaml 0 "one:$names"
expect 2 "$ASSAY" run --spec ./only.yaml --profile ./only-profile.yaml --hosts n1 -o run-only --only "${names%,}"
says "at most 200 characters"
six=$(echo "$names" | cut -d, -f1-6)
run 0 run-only only.yaml only-profile.yaml --only "$six"
expect 0 "$ASSAY" report run-only
expect 0 "$ASSAY" resume run-only
# pretended nodes try the harness; they can accept nothing
expect 3 "$ASSAY" run --spec ./better.yaml --profile ./better-profile.yaml --hosts 'n[1-3]' --launcher pretend \
	-o run-pretend
says "it accepts nothing"
finish
