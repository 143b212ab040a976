# shellcheck shell=bash
# lib.sh - what the end-to-end tests share; sourced, never run.
#
# A test calls `expect CODE COMMAND...`, looks at what was printed with `says` and `silent`, and ends with
# `finish`. All of its files lie in $work, which goes away with the test, as do its processes: they are known
# by the variable E2E_MARK in their environment.
set -u
: "${ASSAY:?set it to the program under test}" "${ASSAY_SOURCE:?set it to the source folder}"
umask 022
work=$(mktemp -d "${TMPDIR:-/var/tmp}/assay-e2e.XXXXXX")
chmod 755 "$work"
export E2E_MARK=$work
out=$work/out err=$work/err
checks=0 failures=0
at_exit=()
touch "$out" "$err"
cd "$work" || exit 1

# later COMMAND: run when the test ends, last one first.
later() {
	at_exit+=("$1")
}

# Processes that this test started and that are still there. bash itself got its environment before the mark.
leftovers() {
	local p
	for p in $(grep -lsa "E2E_MARK=$work" /proc/[0-9]*/environ 2>/dev/null); do
		p=${p#/proc/}
		p=${p%/environ}
		grep -qs '^State:.Z' "/proc/$p/status" || echo "$p"
	done
}

describe() {
	local p
	for p in "$@"; do
		echo "$p: $(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null)"
	done
}

clean() {
	local last
	for ((last = ${#at_exit[@]} - 1; last >= 0; last--)); do
		eval "${at_exit[last]}" >/dev/null 2>&1
	done
	# shellcheck disable=SC2046
	kill -9 $(leftovers) >/dev/null 2>&1
	cd /
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

skip() {
	echo "skipped: $*"
	exit 77
}

note() {
	echo "not tested here: $*"
}

bad() {
	local i=1
	while [[ ${BASH_SOURCE[i]} == *lib.sh ]]; do i=$((i + 1)); done
	failures=$((failures + 1))
	echo "FAILED (line ${BASH_LINENO[i - 1]}): $*"
	echo "  after: ${shown:-}" | cut -c1-300
	sed 's/^/  out: /' "$out" | cat -v | cut -c1-160 | tail -n "${TAIL:-12}"
	sed 's/^/  err: /' "$err" | cat -v | cut -c1-160 | tail -n "${TAIL:-12}"
}

# A report of a sanitizer is a failure whatever the exit code was; steps write theirs into the journal.
sane() {
	checks=$((checks + 1))
	if grep -aqE 'AddressSanitizer|LeakSanitizer|runtime error:' "$@" 2>/dev/null; then
		bad "a sanitizer complains: $(grep -ahoE '(Address|Leak)Sanitizer: .*|[^ ]* runtime error: .*|    #[0-4] .*' "$@" |
			grep -v interceptor | head -4 | cut -c1-120 | tr '\n' ' ')"
	fi
}

# expect CODE COMMAND...: runs it for at most $LIMIT seconds (120) and wants exactly this exit code.
expect() {
	local want=$1 got=0
	shift
	shown="$*"
	timeout -k 5 "${LIMIT:-120}" "$@" >"$out" 2>"$err" </dev/null || got=$?
	checks=$((checks + 1))
	[ "$got" = "$want" ] || bad "exit code $got instead of $want"
	sane "$out" "$err"
}

# says TEXT: stands in what the last command printed, in either stream, line ends taken as spaces.
says() {
	checks=$((checks + 1))
	cat "$out" "$err" | tr '\n' ' ' | tr -s ' ' | grep -aqF -- "$1" || bad "does not say '$1'"
}

silent() {
	checks=$((checks + 1))
	! cat "$out" "$err" | tr '\n' ' ' | tr -s ' ' | grep -aqF -- "$1" || bad "says '$1'"
}

# check WHAT COMMAND...: the command must succeed.
check() {
	local what=$1
	shift
	checks=$((checks + 1))
	"$@" >/dev/null 2>&1 || bad "$what"
}

# within SECONDS COMMAND...: becomes true in that time.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

nothing_left() {
	[ -z "$(leftovers)" ]
}

all_gone() {
	checks=$((checks + 1))
	# shellcheck disable=SC2046
	within "${1:-30}" nothing_left || bad "left behind: $(describe $(leftovers))"
}

finish() {
	all_gone 30
	echo "$checks checks, $failures failed"
	[ "$failures" = 0 ]
	exit
}

# ---- fixtures ------------------------------------------------------------------------------------

# Whether telemetry sees the kernel's log here; ordinary users and most containers do not.
sees_kernel_log() {
	[ -c /dev/kmsg ] && [ "$(stat -Lc %t:%T /dev/kmsg)" = 1:b ] && exec 7</dev/kmsg && exec 7<&-
} 2>/dev/null

# Where telemetry does not see the kernel's log a spec waives that, for a test is about something else.
need_no_log() {
	local log='{check: telemetry, metric: watch, subject: "*/kmsg", by: tests, reason: not seen here}'

	if ! (sees_kernel_log); then
		grep -q '^waivers:' "$1" || echo 'waivers:' >>"$1"
		sed -i "s|^waivers:\$|&\n  - $log|; s|^waivers: \[|&$log, |" "$1"
	fi
}

# spec FILE: standard input gives programs, limits and so on.
spec() {
	{
		printf 'assay: spec/1\nname: e2e\nnodes: {node: {}}\n'
		cat
	} >"$1"
	need_no_log "$1"
}

# waive FILE WAIVER: one more at the end of a spec.
waive() {
	grep -q '^waivers:$' "$1" || echo 'waivers:' >>"$1"
	echo "  - $2" >>"$1"
}

# program NAME SCRIPT [MORE...]: a row below `programs:` that runs a shell script (no line ends, no ').
program() {
	local name=$1 script=$2
	shift 2
	printf '  %s:\n    argv: [sh, -c, '"'%s'"']\n' "$name" "$script"
	case " $* " in *" timeout:"*) ;; *) printf '    timeout: 20s\n' ;; esac
	printf '    %s\n' "$@"
	case " $* " in *" figures:"*) ;; *) printf '    figures: {value: {better: more, regex: "value ([-0-9.]+)"}}\n' ;; esac
}

# six NUMBER: a script that prints a figure often enough for a verdict.
six() {
	printf 'for i in 1 2 3 4 5 6; do echo value %s; done' "$1"
}

at_least() {
	printf '  %s.value: {at_least: "%s", origin: contract, source: a test}\n' "$1" "$2"
}

# profile FILE REPEAT PHASE:CHECK,CHECK...
profile() {
	local file=$1 repeat=$2 phase c
	shift 2
	{
		printf 'assay: profile/1\nname: e2e\nrepeat: %s\nphases:\n' "$repeat"
		for phase in "$@"; do
			printf '  - name: %s\n    checks:\n' "${phase%%:*}"
			for c in $(echo "${phase#*:}" | tr , ' '); do
				printf '      %s:\n' "$c"
			done
		done
	} >"$file"
}

# run CODE FOLDER SPEC PROFILE [MORE...]: one run on the host n1.
run() {
	local code=$1 folder=$2 spec=$3 profile=$4
	shift 4
	expect "$code" "$ASSAY" run --spec "./$spec" --profile "./$profile" --hosts n1 -o "$folder" "$@"
	[ ! -e "$folder/journal.jsonl" ] || sane "$folder/journal.jsonl"
}

# json FILE EXPRESSION: value of a Python expression over the object j.
json() {
	python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"
}

# verdicts_of RUN NODE [True]: of its findings, in their order, without those of its telemetry; True: those alone
verdicts_of() {
	json "$1/report.json" "' '.join(f['verdict'] for f in j['findings'] if f['subject'] == '$2' and (f['check'] == 'telemetry') == ${3:-False})"
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip "needs $tool"
	done
}

# A copy of the program that any user may start.
public_copy() {
	[ -x "$work/assay" ] || install -m 755 "$ASSAY" "$work/assay"
	echo "$work/assay"
}

as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)

# journal_edit FILE SCRIPT: Python over `lines` (bytes, no line ends) with seal(object) -> line, both ways safe.
journal_edit() {
	python3 - "$1" "$2" <<'END'
import json, sys
def crc(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8):
            c = (c >> 1) ^ (0x82f63b78 if c & 1 else 0)
    return c ^ 0xffffffff
def seal_text(text):
    body = text.encode() if isinstance(text, str) else text
    return body + b',"c":"%08x"}' % crc(body)
def seal(obj):
    obj = {k: v for k, v in obj.items() if k != "c"}
    return seal_text(json.dumps(obj, separators=(",", ":"))[:-1])
def load(line):
    return json.loads(line)
def first(kind):
    return next(i for i, l in enumerate(lines) if l.startswith(b'{"e":"%s"' % kind.encode()) )
path = sys.argv[1]
lines = open(path, "rb").read().split(b"\n")[:-1]
exec(sys.argv[2])
open(path, "wb").write(b"".join(l + b"\n" for l in lines))
END
}
