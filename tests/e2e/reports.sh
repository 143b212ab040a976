#!/usr/bin/env bash
# One run in six formats, read by the programs that will read them; man page, completion, installation.
. "$(dirname "$0")/lib.sh"
need python3
{
	printf 'site: {name: "A <b>site</b>", contract: "=1+1", vendor: "V & W \\"x\\""}\n'
	echo programs:
	program good "$(six 42)"
	program worse "$(six 3.5); echo \"<script>alert(1)</script> a,b;\\\"c\\\"\" >&2" 'figures: {value: {unit: GB/s, better: more, regex: "value ([0-9.]+)"}}'
	program few "echo value 50"
	program none "echo \"<img src=x>\" >&2; exit 9"
	program free "$(six 1)"
	program waived "$(six 1)"
	program a_program_with_quite_a_long_one "$(six 1)" \
		'figures: {a_figure_with_quite_a_long_name_: {unit: GB/s, better: more, regex: "value ([0-9]+)"}}'
	program errors "echo errors 0" 'figures: {value: {better: zero, regex: "errors ([0-9]+)"}}'
	echo limits:
	for p in good few none waived; do at_least $p 40; done
	printf '  worse.value: {at_least: 40 GB/s, origin: contract, source: "<script>=x, \\"y\\" & z"}\n'
	printf '  a_program_with_quite_a_long_one.a_figure_with_quite_a_long_name_:\n'
	printf '    {at_least: 40 GB/s, origin: contract, source: "a long source %s"}\n' "$(seq -s ' ' 1 60)"
	printf 'waivers: [{check: waived, reason: "<script>later</script>", by: "A. N. Other"}]\n'
} | spec spec.yaml
sed -i 's/^name: e2e/name: "e2e <script>"/' spec.yaml
profile profile.yaml 0 one:good,worse,few,none,free,waived,a_program_with_quite_a_long_one,errors two:inventory,good
expect 1 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 -o run
sane run/journal.jsonl

suffix() {
	case $1 in text) echo txt ;; junit) echo xml ;; prometheus) echo prom ;; *) echo "$1" ;; esac
}
for format in text html json junit csv prometheus; do
	expect 0 "$ASSAY" report run --format $format
	cp "$out" "first.$format"
	expect 0 "$ASSAY" report run --format $format -o "second.$format"
	check "$format is the same when made twice" cmp "first.$format" "second.$format"
	cp -r run moved
	expect 0 "$ASSAY" report moved --format $format
	# these two name the file of a limit
	[ $format = text ] || [ $format = json ] || check "$format is the same from another folder" cmp "first.$format" "$out"
	rm -rf moved
	expect 0 env TZ=Asia/Tokyo LC_ALL=C.UTF-8 LANG=de_DE.UTF-8 "$ASSAY" report run --format $format
	check "$format depends on no environment" cmp "first.$format" "$out"
done
# what the run itself wrote is the same record
for format in html junit csv prometheus; do
	check "report.$(suffix $format) is the same as later" cmp "run/report.$(suffix $format)" "first.$format"
done
python3 - run/report.json first.json >"$out" 2>&1 <<'END' || bad "report.json says something else than later"
import json, sys
a, b = (json.load(open(p)) for p in sys.argv[1:])
for j in (a, b):
    for f in j["findings"]:
        if f["limit"]: [f["limit"].pop(k, None) for k in ("file", "line")] # of the copy
for k in a:
    assert a[k] == b[k], "%s: %.300s; later %.300s" % (k, a[k], b[k])
assert a.keys() == b.keys()
END

schema=$ASSAY_SOURCE/docs/report.schema.json
if [ -e "$schema" ] && python3 -c 'import jsonschema' 2>/dev/null; then
	python3 -c 'import json, sys, jsonschema
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' first.json "$schema" >"$out" 2>&1 ||
		bad "report.json does not fit its schema"
else
	note "JSON against its schema: needs docs/report.schema.json and python3-jsonschema"
fi

python3 - >"$out" 2>&1 <<'END' || bad "a format is broken"
import csv, json, re, sys, xml.etree.ElementTree as tree
j = json.load(open("first.json"))
judged = [f for f in j["findings"] if f["verdict"] != "recorded"]
assert j["schema"] == "assay.report/1" and j["verdict"] == "rejected", j["verdict"]
words = {f["verdict"] for f in judged}
assert {"pass", "fail", "inconclusive", "waived"} <= words, words
suite = tree.parse("first.junit").getroot().find("testsuite")
cases = suite.findall("testcase")
assert int(suite.get("tests")) == len(cases) == len(judged), (suite.get("tests"), len(cases), len(judged))
for element, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
    n = sum(c.find(element) is not None for c in cases)
    assert n == int(suite.get(key)), (element, n, suite.get(key))
assert len([c for c in cases if c.find("failure") is not None]) == sum(f["verdict"] == "fail" for f in judged)
rows = list(csv.reader(open("first.csv", newline="", encoding="utf-8"), strict=True))
assert len({len(r) for r in rows}) == 1, {len(r) for r in rows}
assert len(rows) == 1 + len(j["findings"])
assert open("first.csv", "rb").read().count(b"\r\n") == len(rows)
for r in rows:
    for c in r:
        assert not re.match(r"[=+@]|-[^0-9.]", c) or len(c) == 1, "a formula: " + c
number = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|Inf|NaN)"
label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
line = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{%s(?:,%s)*,?\})? %s(?: [0-9]+)?$' % (label, label, number))
comment = re.compile(r"# (?:HELP [a-zA-Z_:][a-zA-Z0-9_:]* .*|TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (?:counter|gauge|histogram|summary|untyped))$")
text = open("first.prometheus", encoding="utf-8").read()
assert text.endswith("\n")
seen, families, last, broken = set(), [], None, []
for l in text.splitlines():
    assert (comment if l.startswith("#") else line).match(l), l
    if l.startswith("#"):
        continue
    series, name = l.rsplit(" ", 1)[0], re.match(r"[a-zA-Z_:][a-zA-Z0-9_:]*", l).group()
    if series in seen:
        broken.append("twice: " + series)
    seen.add(series)
    if name != last:
        assert name not in families, "not together: " + name
        families.append(name)
    last = name
html = open("first.html", encoding="utf-8").read()
for word in ("<script", "<img", "<b>site", "javascript:", "http://", "https://", " onerror=x>"):
    assert word not in html.lower(), word
assert "&lt;script&gt;" in html
class Balance(__import__("html.parser").parser.HTMLParser):
    void = {"meta", "br", "hr", "img", "link", "input", "col"}
    def __init__(self): super().__init__(); self.open = []
    def handle_starttag(self, tag, attrs):
        if tag not in self.void: self.open.append(tag)
    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, "unbalanced </%s> at %s" % (tag, self.getpos())
p = Balance(); p.feed(html); p.close()
assert not p.open, p.open
for n, l in enumerate(open("first.text", encoding="utf-8"), 1):
    if len(l.rstrip("\n")) > 80:
        broken.append("line %d of the text has %d columns: %s" % (n, len(l) - 1, l))
    if l != "\n" and l != l.rstrip() + "\n":
        broken.append("line %d of the text ends in spaces: %r" % (n, l))
assert not broken, "\n".join(broken)
END

# man page and completion
expect 0 "$ASSAY" manual
if command -v man >/dev/null && man --version >/dev/null 2>&1; then
	cp "$out" assay.1
	LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l assay.1 >"$out" 2>"$err" </dev/null || bad "man does not take the page"
	check "man warns" test ! -s "$err"
	for word in NAME SYNOPSIS memory_stress resume; do
		grep -q "$word" "$out" || [ "$word" = memory_stress ] || bad "no $word in the man page"
	done
else
	note "the man page: needs man"
fi
expect 0 "$ASSAY" completion
cp "$out" completion.bash
check "the completion is bash" bash -n completion.bash
shown="completion"
bash -c '. ./completion.bash; f=$(complete -p assay | sed "s/.*-F \([^ ]*\).*/\1/")
	COMP_WORDS=(assay re) COMP_CWORD=1 COMP_LINE="assay re" COMP_POINT=8; $f assay re assay; echo "${COMPREPLY[@]}"' >"$out" 2>"$err"
for word in report resume; do
	says "$word"
done

# every command explains itself
for c in inventory "spec list" "spec show" "spec check" "spec derive" "check list" "check show" plan run resume judge report \
	agent step manual completion; do
	# shellcheck disable=SC2086
	expect 0 "$ASSAY" $c --help
	says "usage: assay $c"
	[ -z "$(awk 'length > 90' "$out")" ] || bad "a line of more than 90 columns: $(awk 'length > 90' "$out" | head -1)"
done
for c in $("$ASSAY" check list | awk '{print $1}'); do
	expect 0 "$ASSAY" check show "$c"
done
for s in $("$ASSAY" spec list | awk '/^  [^ ]/ {print $1}'); do
	expect 0 "$ASSAY" spec show "$s"
done
for s in $("$ASSAY" spec list | awk '/^systems/ {on = 1} /^profiles/ {on = 0} /^  [^ ]/ && on {print $1}'); do
	expect 0 "$ASSAY" spec check "$s"
done
expect 0 "$ASSAY" --version
says "assay "

# the same figure of many nodes is one line of text, and one line a node in the other formats
{
	echo programs:
	program good 'n=$(tr "\\0" "\\n" </proc/$PPID/cmdline | sed -n "s/^n\\([0-9]*\\)$/\\1/p"); for i in 1 2 3 4 5 6; do echo "value 4$n"; done'
	echo limits:
	at_least good 40
} | spec many.yaml
profile many-profile.yaml 0 one:good
expect 3 "$ASSAY" run --spec ./many.yaml --profile ./many-profile.yaml --hosts 'n[1-9]' --launcher pretend -o many
says "value, 9 nodes 41 to 49 >= 40"
silent "value n3"
check "each is in the table" test "$(grep -c '^"good","value","n[1-9]",' many/report.csv)" = 9
expect 3 "$ASSAY" run --spec ./many.yaml --profile ./many-profile.yaml --hosts 'n[1-8]' --launcher pretend -o few
says "value n3 43 >= 40"

# installation
build=$(dirname "$ASSAY")
if [ -e "$build/cmake_install.cmake" ] && command -v cmake >/dev/null; then
	if [ ! -e "$build/assay.1" ] || [ ! -e "$build/assay.bash" ]; then
		note "installation: the documents are not built in $build"
	elif [ ! -e "$ASSAY_SOURCE/README.md" ]; then
		note "installation: README.md is absent"
	else
		expect 0 env DESTDIR="$work/dest" cmake --install "$build" --prefix /usr
		for f in bin/assay share/man/man1/assay.1 share/bash-completion/completions/assay \
			share/assay/specs/profiles/quick.yaml share/doc/assay/LICENSE share/doc/assay/README.md; do
			check "$f is not installed" test -s "dest/usr/$f"
		done
		expect 0 dest/usr/bin/assay --version
		check "nothing outside of the prefix" test "$(ls dest)" = usr
	fi
else
	note "installation: $build is no build folder"
fi
finish
