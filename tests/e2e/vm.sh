#!/usr/bin/env bash
# Two QEMU guests as nodes: inventory of hardware that firmware tells, real checks over real ssh, and the troubles
# that only a machine of one's own can have. `vm.sh shell` starts the guests and a shell instead.
. "$(dirname "$0")/lib.sh"

# Where this test must run, a missing piece is no reason to pass.
cannot() {
	[ -z "${LAB_MUST_RUN:-}" ] || {
		echo "FAILED: the lab must run here, but $*"
		exit 1
	}
	skip "$*"
}

[ "$(id -u)" = 0 ] || cannot "it needs root"
for tool in qemu-system-x86_64 busybox python3 ssh ssh-keygen sshd rdma ip mkfs.ext4 setpriv taskset apt-get; do
	command -v "$tool" >/dev/null || cannot "it needs $tool"
done
. "$ASSAY_SOURCE/tests/lab/vm/lab.sh"
cache=${LAB_CACHE:-$(dirname "$ASSAY")/lab-vm}
"$lab/prepare" "$cache" >"$out" 2>&1 || case $? in
77) cannot "$(tail -n 1 "$out")" ;;
*) bad "the lab cannot be prepared" && finish ;;
esac

lab_make "$cache"
boot 1 S0000011,S0000012
boot 2 S0000021,S0000022
up 1
up 2
[ "$failures" = 0 ] || finish
if [ "${1:-}" = shell ]; then
	echo "ssh -F $work/ssh/config vm1 (or vm2); the end of this shell ends both"
	bash
	finish
fi

# ---- what is there ---------------------------------------------------------------------------------
expect 0 "${in_guest[@]}" vm2 '/run/assay inventory'
for fact in 'product GPU-8U' 'serial CHASSIS-0002' 'slot DIMM_A1 size 64 GiB type DDR5 speed 4800 MT/s' \
	'serial S0000022' 'netdev rail0 rdma rxe0' 'netdev rail1 rdma rxe1' 'device nvme0n1' 'serial SN-2-0001' \
	'size 4 GiB'; do
	says "$fact"
done
for n in $guests; do
	expect 0 "${in_guest[@]}" "vm$n" '/run/assay spec derive --folder /mnt/nvme 2>/dev/null'
	sed -e "s/-type/-vm$n-/g" -e "s/^  node:\$/  vm$n:/" "$out" >"derived$n.yaml"
done
check "guests that are alike have specs that are alike" diff <(sed s/vm1/vm2/g derived1.yaml) derived2.yaml
[ "$failures" = 0 ] || finish

# Both in one spec. The floors hold on whatever else this machine does beside emulating: they catch what hangs.
limit() {
	printf "%*s%s: {%s, origin: contract, source: a test}\n" "$1" '' "$2" "$3"
}
{
	printf 'assay: spec/1\nname: lab\nextends: [derived1.yaml, derived2.yaml]\nparts:\n'
	for n in $guests; do
		echo "  nic-vm$n-4: {facts: {netdev: 'rail*', rdma: 'rxe*', state: ACTIVE}}"
		printf '  disk-vm%s-5:\n    facts: {serial: SN-%s-0001}\n    limits:\n' "$n" "$n"
		limit 6 disk_seq.read 'at_least: 50 MB/s'
		limit 6 disk_seq.write 'at_least: 10 MB/s'
		for figure in read_qd1 read_qd32 read_qd256 write_qd32; do limit 6 disk_rand.$figure 'at_least: 20 IOPS'; done
		for figure in p50 p99 p999; do limit 6 disk_latency.$figure 'at_most: 4 s'; done
	done
	printf 'nodes:\n'
	for n in $guests; do
		echo "  vm$n: {hosts: vm$n, nics: [{part: nic-vm$n-3, count: 1}, {part: nic-vm$n-4, count: 2, rails: yes}]}"
	done
	printf 'limits:\n'
	for figure in rail_pair.rate rail_pair.rate_both; do limit 2 $figure 'at_least: 1 MB/s'; done
	limit 2 rail_pair.latency 'at_most: 100 ms'
	limit 2 rail_ring.rate 'at_least: 1 MB/s, share: 50%, worst: 1%'
	for figure in read write nt_write copy triad; do limit 2 memory_bandwidth.$figure 'at_least: 10 MB/s'; done
	for figure in local local_p99; do limit 2 memory_latency.$figure 'at_most: 1 ms'; done
	printf 'settings:\n  - {kind: mount_type, name: /mnt/nvme, is: ext4, source: a test}\n'
	printf '  - {kind: cmdline, name: mitigations, is: "off", source: a test}\n'
} >spec.yaml
cat >profile.yaml <<'END_OF_PROFILE'
assay: profile/1
name: lab
repeat: 1
phases:
  - name: inventory
    checks:
      inventory:
      settings:
      pcie_link: {seconds: 0.5s}
      disk_health: {seconds: 0.5s}
  - name: load
    checks:
      memory_bandwidth: {samples: 6}
      memory_latency: {bytes: 16 MiB}
      memory_stress: {most: 64 MiB, seconds: 1s}
      disk_seq: {bytes: 32 MiB, samples: 6, seconds: 2s}
      disk_rand: {bytes: 32 MiB, samples: 6, seconds: 0.1s}
      disk_latency: {bytes: 32 MiB, samples: 6, seconds: 0.1s}
      disk_integrity: {files: 2, bytes: 16 MiB}
END_OF_PROFILE
cat >fabric.yaml <<'END_OF_PROFILE'
assay: profile/1
name: fabric
repeat: 1
phases:
  - name: rails
    checks:
      preflight:
      rail_pair: {bytes: 2 MiB, windows: 6, seconds: 0.5s, pings: 200}
  - name: ring
    checks:
      rail_ring: {bytes: 2 MiB, seconds: 6s}
END_OF_PROFILE

# make_command FOLDER [MORE...]: a run of both guests under $spec (spec.yaml), into $run_command.
make_command() {
	run_command=("$ASSAY" run --spec "./${spec:-spec.yaml}" --profile "./${profile:-profile.yaml}" --launcher ssh
		--ssh-config "$work/ssh/config" --program /mnt/lab/assay --hosts 'vm[1-2]' -o "$@")
}

# over CODE FOLDER [MORE...]: such a run, which must leave with CODE.
over() {
	local code=$1 run_command
	shift
	make_command "$@"
	expect "$code" "${run_command[@]}"
	[ ! -e "$1/journal.jsonl" ] || sane "$1/journal.jsonl"
}

# words_of RUN NODE: the verdicts of all that was asked of the node, each once.
words_of() {
	json "$1/report.json" "' '.join(sorted({f['verdict'] for f in j['findings'] if f['subject'].split('/')[0] == '$2'}))"
}

# well RUN NODE: it was measured, and all that is judged is good.
well() {
	local words
	words=" $(words_of "$1" "$2") "
	words=${words/ not-applicable/}
	words=${words/ recorded/}
	check "$1: $2 is judged well, not '$words'" test "$words" = " pass "
}

# lost RUN NODE: not one figure of the node counts as measured.
lost() {
	local words
	words=$(words_of "$1" "$2")
	check "$1: nothing of $2 counts, not '$words'" test "$words" = not-measured
}

over 0 all
says ACCEPTED
well all vm1
well all vm2

# ---- nodes that cannot be had, or are strange ------------------------------------------------------
cp ssh/stranger.pub vm2/lab/authorized
over 3 auth --only inventory
says "disks of vm2 its result is lost: it refuses our login"
well auth vm1
lost auth vm2
cp ssh/id.pub vm2/lab/authorized

cp ssh/known known.good
sed -i "s|^vm2 .*|vm2 $(cut -d' ' -f1,2 ssh/stranger.pub)|" ssh/known
over 3 key --only inventory
says "disks of vm2 its result is lost: its host key is not the one that is known"
well key vm1
lost key vm2
cp known.good ssh/known

# The same program with another commit in it.
commit=$("$ASSAY" --version | sed 's/.*(\(.*\))/\1/')
sed "s/$commit/${commit//?/x}/g" vm2/lab/program >vm2/lab/other
chmod 755 vm2/lab/other
start_with vm2 'exec /mnt/lab/other "$@"'
over 3 version --only inventory
says "disks of vm2 its result is lost: its agent is version"
says "(${commit//?/x}), this is"
well version vm1
lost version vm2
start_with vm2 'exec /run/assay "$@"'

expect 0 "${in_guest[@]}" vm2 'yes "echo Welcome to vm2. Have a nice day." | head -50 >/root/.bashrc'
over 0 banner --only inventory
check "the banner is noted once" test "$(grep -c '50 lines came before its agent spoke' banner/journal.jsonl)" = 1
well banner vm1
well banner vm2
expect 0 "${in_guest[@]}" vm2 'rm /root/.bashrc'

# Noise before the first word, then lines between those of the agent: of no form, or in the name of others.
printf '{"e":"data"}\n' >vm2/lab/forged
journal_edit vm2/lab/forged 'lines = [seal({"e": "data", "step": "load/memory_stress/vm1", "m": "wrong", "s": "",
	"v": [9], "at": at, "n": 7}) for at in ("vm1", "vm2")] + [b"{\"e\":\"end\"}", b"", b"\0\0\0", b"no form", b"[" * 900] * 60'
# shellcheck disable=SC2016
start_with vm2 'head -c 1000000 /dev/urandom; echo
	yes "{\"e\":\"data\",\"at\":\"vm2\"}" | head -n 5000
	(sleep 2; while read -r line; do printf "%s\n" "$line"; done </mnt/lab/forged) &
	exec /run/assay "$@"'
over 0 rubbish --only memory_stress --set memory_stress.seconds=4s
well rubbish vm1
well rubbish vm2
check "rubbish fills nothing" test "$(stat -c %s rubbish/journal.jsonl)" -lt 100000
check "another's name is noted" grep -q 'left out: it is in the name of another node' rubbish/journal.jsonl
check "no forged figure is kept" bash -c "! grep -q '\"v\":\\[9\\]' rubbish/journal.jsonl"
check "rubbish is noted up to a point" grep -q 'further ones are not noted' rubbish/journal.jsonl
# shellcheck disable=SC2016
start_with vm2 'exec /run/assay "$@"'

# ---- parts -----------------------------------------------------------------------------------------
cable 2 0 off
expect 0 "${in_guest[@]}" vm2 'ip link set rail1 down'
over 1 rails --only inventory
says "inventory state of vm2/nic1: DOWN, wanted ACTIVE"
says "inventory state of vm2/nic2: DOWN, wanted ACTIVE"
well rails vm1
expect 0 "${in_guest[@]}" vm2 'ip link set rail1 up'
cable 2 0 on

disk_warns 2 8
over 1 smart --only disk_health
says "disk_health critical_warning of vm2/disk0: 8, wanted = 0"
well smart vm1
disk_warns 2 0

disk_carries 2 20000000
over 1 slow --only disk_seq --set disk_seq.seconds=0.4s --set disk_seq.depth=2
says "disk_seq read of vm2/disk0: 0.02"
well slow vm1
disk_carries 2 "$disk_rate"

# Only a disk without a folder is read from its start by disk_seq; disk_health reads every disk so.
{
	printf 'assay: spec/1\nname: bare\nextends: spec.yaml\nnodes:\n'
	for n in $guests; do echo "  vm$n: {disks: [{part: disk-vm$n-5, count: 1}]}"; done
	echo 'waivers: [{check: disk_seq, metric: write, reason: only read here, by: a test}]'
} >bare.yaml
disk_sickens 2 20480
spec=bare.yaml over 1 sector --only disk_health,disk_seq
says "disk_health read_errors of vm2/disk0: 1, wanted = 0"
says "disk_seq errors of vm2/disk0: 6, wanted = 0"
check "the place is noted" grep -q 'read of 1048576 bytes at offset 10485760' sector/journal.jsonl
check "sector: nothing of vm1 failed" test "$(words_of sector vm1)" = "not-applicable pass recorded waived"
disk_on 2 link

# All that was broken is whole again.
over 0 healed --only inventory,disk_health,disk_seq
well healed vm2

# ---- the fabric: soft-RoCE over both rails ---------------------------------------------------------
profile=fabric.yaml over 0 fabric
says ACCEPTED
check "each way over each rail, in pairs and in rings" test "$(json fabric/report.json "sorted(
	f['check'] + ' ' + f['subject'] for f in j['findings'] if f['metric'] == 'rate') == sorted(
	'%s vm%d/nic%d>vm%d/nic%d' % (c, a, n, 3 - a, n) for c in ('rail_pair', 'rail_ring') for a in (1, 2) for n in (1, 2))")" = True
check "what came was compared" test "$(json fabric/report.json "all(
	f['value'] > 0 for f in j['findings'] if f['metric'] == 'compared')")" = True

# A cable that is pulled in the middle: both ends of that rail say so, the other rail goes on, and the second is named.
profile=fabric.yaml make_command pulled --only rail_ring --set rail_ring.seconds=20s
"${run_command[@]}" >pulled.out 2>&1 </dev/null &
pid=$!
shown="${run_command[*]}, and a cable is pulled"
within 60 grep -q '"e":"start".*ring/rail_ring/vm2/group.rail1' pulled/journal.jsonl || bad "the ring did not start"
sleep 12
cable 2 1 off
code=0
wait "$pid" || code=$?
checks=$((checks + 1))
[ "$code" = 1 ] || bad "pulled: exit code $code instead of 1"
sane pulled.out pulled/journal.jsonl
cable 2 1 on
cp pulled.out "$out"
says "rail_ring breaks of vm1/nic2>vm2/nic2: 1, wanted = 0"
says "rail_ring breaks of vm2/nic2>vm1/nic2: 1, wanted = 0"
check "the other rail is well" test "$(json pulled/report.json "sorted({f['verdict'] for f in j['findings']
	if f['check'] == 'rail_ring' and 'nic1' in f['subject']} - {'recorded', 'not-applicable'})")" = "['pass']"
check "telemetry has seen it" test "$(json pulled/report.json "[f['verdict'] for f in j['findings']
	if f['check'] == 'telemetry' and f['metric'] == 'faults' and f['subject'] == 'vm2/nic2']")" = "['fail']"

# ---- guests that stop ------------------------------------------------------------------------------
# in_the_middle CODE FOLDER COMMAND: a run, and the command while vm2 measures.
in_the_middle() {
	local want=$1 folder=$2 code=0 pid run_command
	make_command "$folder" --only memory_stress --set memory_stress.seconds=4s
	"${run_command[@]}" >"$out" 2>"$err" </dev/null &
	pid=$!
	# shellcheck disable=SC2034
	shown="${run_command[*]}, and meanwhile: $3"
	within 20 grep -q '"e":"start","at":"vm2"' "$folder/journal.jsonl" || bad "$folder did not start"
	sleep 1
	eval "$3"
	wait "$pid" || code=$?
	checks=$((checks + 1))
	[ "$code" = "$want" ] || bad "$folder: exit code $code instead of $want"
	sane "$out" "$err" "$folder/journal.jsonl"
	well "$folder" vm1
}

for_a_while() {
	signal_guest STOP 2
	sleep 4
	check "it was frozen" grep -q '^State:.T' "/proc/$(cat vm2/pid)/status"
	signal_guest CONT 2
}
in_the_middle 0 thawed for_a_while
well thawed vm2

# A disk that does not answer any more: not even SIGKILL ends what waits for it, and the run goes on without it.
# The guest is killed next; nothing heals a request that waits for its turn at a byte a second.
expect 0 "${in_guest[@]}" vm2 'echo 900000 >/sys/block/nvme0n1/queue/io_timeout'
disk_carries 2 1
LIMIT=150 over 3 stuck --only disk_integrity
says "it cannot be killed: SIGKILL did not end it (state D"
well stuck vm1
check "put down to the driver" grep -q '"word":"stuck".*"hang":"driver"' stuck/journal.jsonl

in_the_middle 3 killed 'signal_guest KILL 2'
says "machine_checks of vm2 its result is lost: the connection was cut"
lost killed vm2
over 3 gone --only inventory
says "disks of vm2 its result is lost: nothing there listens for ssh"
well gone vm1
lost gone vm2

# It comes back with a module less; the run goes on all the same.
boot 2 S0000021,-
up 2 || finish
expect 0 "$ASSAY" resume killed
check "it is said that it was started anew" grep -q '"at":"vm2","text":"it was started anew' killed/journal.jsonl
well killed vm2
over 1 returned --only inventory
says "inventory dimms of vm2: 1, wanted = 2"
well returned vm1

in_the_middle 3 frozen 'signal_guest STOP 2'
says "machine_checks of vm2 its result is lost: it fell silent"
lost frozen vm2
over 3 silent --only inventory
says "disks of vm2 its result is lost: it does not answer"
well silent vm1
lost silent vm2
signal_guest KILL 1
signal_guest KILL 2
finish
