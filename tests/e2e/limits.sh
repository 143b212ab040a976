#!/usr/bin/env bash
# Few cores, little memory, little locked memory, no root, and machines that are only files.
. "$(dirname "$0")/lib.sh"
need python3 taskset
printf 'assay: spec/1\nname: e2e\nnodes: {node: {}}\n' >spec.yaml
need_no_log spec.yaml
cat >profile.yaml <<'END'
assay: profile/1
name: e2e
repeat: 0
phases:
  - name: one
    checks:
      inventory:
      settings:
      memory_stress: {seconds: 1s, most: 64 MiB}
      disk_rand: {bytes: 16 MiB, samples: 2, seconds: 0.1s}
END

# one core
LIMIT=200 run 0 one-core spec.yaml profile.yaml --only memory_stress
mv one-core all-cores
shown="taskset -c 0"
LIMIT=200 expect 0 taskset -c 0 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --hosts n1 --only memory_stress -o one-core
says ACCEPTED
sane one-core/journal.jsonl
says "left out the rest of the profile"
expect 0 taskset -c 0 "$ASSAY" inventory --json
if [ "$(nproc)" -gt 1 ]; then # cores that were not burned are named, and nothing is accepted
	printf 'assay: profile/1\nname: burn\nrepeat: 0\nphases:\n  - {name: one, checks: {cpu_burn: {window: 0.1s, windows: 6}}}\n' >burn.yaml
	expect 3 taskset -c 0 "$ASSAY" run --spec ./spec.yaml --profile ./burn.yaml --hosts n1 -o one-core-burn
	says "affinity or cgroup allow 1 of $(nproc) hardware threads here"
	silent ACCEPTED
fi

# less memory than the plan wants: less is tested or it says why not, and nobody is killed
group=
limited_group() { # limited_group BYTES: a memory group with this limit
	local g
	if [ -w /sys/fs/cgroup/cgroup.subtree_control ] && grep -qw memory /sys/fs/cgroup/cgroup.subtree_control; then
		g=/sys/fs/cgroup/e2e-$$
		mkdir "$g" && echo "$1" >"$g/memory.max" && echo 0 >"$g/memory.swap.max"
	else
		g=/sys/fs/cgroup/memory/e2e-$$
		[ -d /sys/fs/cgroup/memory ] && mkdir "$g" 2>/dev/null && echo "$1" >"$g/memory.limit_in_bytes"
	fi || return 1
	[ -d "$g" ] && group=$g
}
oom_kills() {
	cat "$group/memory.events" "$group/memory.oom_control" 2>/dev/null | awk '$1 == "oom_kill" { n += $2 } END { print n + 0 }'
}
within_group() { # a command in the group
	# shellcheck disable=SC2016
	expect "$1" sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$group" "${@:2}"
}
if [ "$(id -u)" = 0 ] && limited_group $((900 << 20)) 2>/dev/null; then
	later "for i in 1 2 3 4 5; do rmdir '$group' && break; sleep 1; done"
	sed 's/most: 64 MiB/share: 50%/' profile.yaml >share.yaml
	LIMIT=200 within_group 0 "$ASSAY" run --spec ./spec.yaml --profile ./share.yaml --hosts n1 --only memory_stress -o group
	[ "$(oom_kills)" = 0 ] || bad "$(oom_kills) processes were killed for memory"
	if [ -e group/report.json ]; then
		tested=$(json group/report.json '[f["value"] for f in j["findings"] if f["metric"] == "tested"][0]')
		python3 -c "import sys; sys.exit(not 0 < float('$tested') < 0.95)" || bad "tested $tested GB of 0.94"
	fi
	check "a smaller limit" sh -c "echo $((400 << 20)) >'$group/memory.max' || echo $((400 << 20)) >'$group/memory.limit_in_bytes'"
	LIMIT=200 within_group 3 "$ASSAY" run --spec ./spec.yaml --profile ./share.yaml --hosts n1 --only memory_stress -o group2
	says "of memory are free, which is too little to test"
	silent ACCEPTED
	[ "$(oom_kills)" = 0 ] || bad "$(oom_kills) processes were killed for memory"
else
	note "a limit of memory: needs root and a memory cgroup that may be written"
fi

# no root
if [ "$(id -u)" = 0 ]; then
	need setpriv
	user=("${as_nobody[@]}")
else
	user=(env)
fi
program=$(public_copy)
mkdir nobody
chmod 777 nobody
expect 0 "${user[@]}" "$program" inventory
says node
expect 0 "${user[@]}" "$program" inventory --json
check "inventory is JSON" python3 -m json.tool "$out"
expect 0 "${user[@]}" "$program" spec derive -o nobody/derived.yaml
expect 0 "${user[@]}" "$program" spec check nobody/derived.yaml
says "no mistake found"
shown="an unprivileged run of inventory and settings"
timeout 100 "${user[@]}" "$program" run --spec nobody/derived.yaml --profile quick --only inventory,settings --hosts n1 \
	-o nobody/run >"$out" 2>"$err" </dev/null
rc=$?
sane "$out" "$err" nobody/run/journal.jsonl
checks=$((checks + 1))
case $rc in
0) [ "$(json nobody/run/report.json 'len(j["coverage"]["holes"])')" = 0 ] || bad "accepted with holes" ;;
3) [ "$(json nobody/run/report.json 'len(j["coverage"]["holes"])')" -gt 0 ] || bad "incomplete without a hole" ;;
*) bad "exit code $rc" ;;
esac
# what root alone may read is a named hole
cat >serial.yaml <<'END'
assay: spec/1
name: e2e
parts: {d: {kind: dimm, source: a test, facts: {serial: "*"}}}
nodes: {node: {dimms: [{part: d, count: 1}]}}
END
expect 3 "${user[@]}" "$program" run --spec ./serial.yaml --profile quick --only inventory --hosts n1 -o nobody/serial
silent ACCEPTED
says "dimm"

# little locked memory: a figure or a reason, never a crash
if command -v prlimit >/dev/null; then
	"$ASSAY" spec derive --folder "$work/nobody" -o disks.yaml 2>/dev/null
	chmod 644 disks.yaml
	if grep -q folders: disks.yaml; then
		timeout 200 "${user[@]}" prlimit --memlock=16384:16384 "$program" run --spec ./disks.yaml --profile ./profile.yaml \
			--only disk_rand --hosts n1 -o nobody/memlock >"$out" 2>"$err" </dev/null
		rc=$?
		shown="disk_rand with 16 KiB of locked memory"
		checks=$((checks + 1))
		case $rc in 0 | 1 | 3) ;; *) bad "exit code $rc" ;; esac
		silent "it died"
		sane "$out" "$err" nobody/memlock/journal.jsonl
		check "the files are gone" bash -c "! ls nobody/assay-*"
	else
		note "disk checks with little locked memory: no disk under $work"
	fi
else
	note "little locked memory: needs prlimit"
fi

# machines that are only files
if [ -x "$ASSAY_SOURCE/tests/machines/make.sh" ] || [ -f "$ASSAY_SOURCE/tests/machines/make.sh" ]; then
	sh "$ASSAY_SOURCE/tests/machines/make.sh" machines hgx hgx-user vm || bad "make.sh fails"
	for name in hgx hgx-user vm; do
		expect 0 "$ASSAY" inventory --root machines/$name
		expect 0 "$ASSAY" inventory --root machines/$name --json
		expect 0 "$ASSAY" spec derive --root machines/$name -o $name.yaml
		expect 0 "$ASSAY" spec check ./$name.yaml
		says "no mistake found"
		timeout 100 "$ASSAY" run --spec ./$name.yaml --profile quick --only inventory --hosts n1 --root machines/$name -o run-$name \
			>"$out" 2>"$err" </dev/null
		rc=$?
		shown="inventory of the recorded machine $name"
		checks=$((checks + 1))
		case $name in
		vm) case $rc in 0 | 3) ;; *) bad "exit code $rc: a machine does not match the spec derived from it" ;; esac ;;
		*) # all GPUs are alike but one
			[ $rc = 1 ] || bad "exit code $rc instead of 1"
			says gpu3
			;;
		esac
		sane "$out" "$err" run-$name/journal.jsonl
		expect $rc "$ASSAY" resume run-$name
	done
	expect 0 "$ASSAY" inventory --root machines/hgx
	says gpu7
	says nic7
	says disk3
	says dimm15
	# a part that is missing is a failure with its name
	sed 's/^\( *- {part: gpu[^,]*, count: \)[0-9]*/\19/' hgx.yaml >nine.yaml
	expect 1 "$ASSAY" run --spec ./nine.yaml --profile quick --only inventory --hosts n1 --root machines/hgx -o run-nine
	says gpu
	# a folder with a long name is the same machine on resume
	long=machines/$(printf 'long%.0s' $(seq 40))
	mv machines/vm "$long"
	timeout 100 "$ASSAY" run --spec ./vm.yaml --profile quick --only inventory --hosts n1 --root "$PWD/$long" -o run-long >"$out" 2>"$err"
	rc=$?
	check "the run began" test -s run-long/journal.jsonl
	before=$(json run-long/report.json 'j["coverage"]')
	sed -i '/"start"/,$d' run-long/journal.jsonl
	expect $rc "$ASSAY" resume run-long
	[ "$(json run-long/report.json 'j["coverage"]')" = "$before" ] || bad "resume reads another machine than run"
	expect 4 "$ASSAY" inventory --root machines/absent
fi
finish
