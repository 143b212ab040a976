#!/usr/bin/env bash
# Several nodes through real sshd processes on loopback, and every way a node can refuse or leave.
. "$(dirname "$0")/lib.sh"
. "$ASSAY_SOURCE/tests/e2e/fakes_lib.sh" || exit 1
need python3 ssh sshd ssh-keygen
need_root
port=$((20000 + RANDOM % 20000))
mkdir -p "$work/ssh" /run/sshd
chmod 700 "$work/ssh"
ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/id"
ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/stranger"
cp "$work/ssh/id.pub" "$work/ssh/authorized"
: >"$work/ssh/known"

# Each has a boot id of its own, as machines have: two names of one machine are not two nodes.
run_sshd() {
	[ -e "$work/ssh/boot$1" ] || cat /proc/sys/kernel/random/uuid >"$work/ssh/boot$1"
	unshare --mount bash -c 'mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$2" -f "$3"' \
		- "$work/ssh/boot${2:-$1}" "$(command -v sshd)" "$work/ssh/host$1.conf"
}

# start_host N [LINE...]: an sshd on 127.0.1.N that answers as nN.
start_host() {
	local n=$1 f=$work/ssh/host$1
	shift
	[ -e "$f.key" ] || {
		ssh-keygen -q -t ed25519 -N '' -f "$f.key"
		echo "[127.0.1.$n]:$port $(cut -d' ' -f1,2 "$f.key.pub")" >>"$work/ssh/known"
	}
	{
		printf 'ListenAddress 127.0.1.%s:%s\nHostKey %s.key\nPidFile %s.pid\n' "$n" "$port" "$f" "$f"
		printf 'AuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n' "$work/ssh/authorized"
		printf 'PermitRootLogin yes\nUseDNS no\nMaxStartups 256\nPrintMotd no\n'
		printf '%s\n' "$@"
	} >"$f.conf"
	run_sshd "$n"
	check "sshd $n runs" within 5 test -s "$f.pid"
}

stop_host() {
	kill "$(cat "$work/ssh/host$1.pid")" 2>/dev/null
	within 5 test ! -e "$work/ssh/host$1.pid"
}

{
	for n in 1 2 3 4 5 6 7 8; do
		printf 'Host n%s\n  HostName 127.0.1.%s\n  Port %s\n' "$n" "$n" "$port"
	done
	printf 'Host nowhere\n  HostName no-such-name.invalid\n'
	printf 'Host *\n  User root\n  IdentityFile %s/ssh/id\n  IdentitiesOnly yes\n' "$work"
	printf '  UserKnownHostsFile %s/ssh/known\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n' "$work"
} >"$work/ssh/config"

for n in 1 2 3 4 5 6 7 8; do
	start_host $n
	later "stop_host $n"
done
program=$(public_copy)

{
	echo programs:
	program good "$(six 42)"
	program slow "sleep 4; $(six 42)"
	echo limits:
	at_least good 40
	at_least slow 40
} | spec spec.yaml
profile profile.yaml 0 one:good two:slow

# over CODE FOLDER HOSTS [MORE...]: a run through ssh.
over() {
	local code=$1 folder=$2 hosts=$3
	shift 3
	expect "$code" "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher ssh --ssh-config "$work/ssh/config" \
		--program "${remote:-$program}" --hosts "$hosts" -o "$folder" "$@"
	[ ! -e "$folder/journal.jsonl" ] || sane "$folder/journal.jsonl"
}

over 0 all 'n[1-8]'
says ACCEPTED
check "each node gave its figures" test "$(verdicts_of all n8)" = "pass pass"

# ---- nodes that cannot be had --------------------------------------------------------------------
stop_host 3
over 3 down 'n[1-4]' --only good
says "nothing there listens for ssh"
check "the others went on" test "$(verdicts_of down n4)" = pass
check "the lost one is a hole" test "$(verdicts_of down n3)" = not-measured
start_host 3

over 3 nowhere 'n1,nowhere' --only good
says "its name is not known"
check "the other went on" test "$(verdicts_of nowhere n1)" = pass

stop_host 2
start_host 2 "AuthorizedKeysFile $work/ssh/stranger.pub"
sed -i 1d "$work/ssh/host2.conf" # only the later line counts from now on
stop_host 2
sed -i "/AuthorizedKeysFile .*authorized/d" "$work/ssh/host2.conf"
sed -i "1i ListenAddress 127.0.1.2:$port" "$work/ssh/host2.conf"
run_sshd 2
over 3 auth 'n[1-2]' --only good
says "it refuses our login"
check "the other went on" test "$(verdicts_of auth n1)" = pass
stop_host 2
start_host 2

cp "$work/ssh/known" known.good
sed -i '/127.0.1.4/d' "$work/ssh/known"
echo "[127.0.1.4]:$port $(cut -d' ' -f1,2 "$work/ssh/stranger.pub")" >>"$work/ssh/known"
over 3 key 'n[1,4]' --only good
says "its host key is not the one that is known"
check "the other went on" test "$(verdicts_of key n1)" = pass
cp known.good "$work/ssh/known"

# one machine under two names
stop_host 2
run_sshd 2 1
over 3 twins 'n[1-2]' --only good
says "it is the same machine as n"
check "one of the two names counts" test "$(verdicts_of twins n1) $(verdicts_of twins n2)" = "pass not-measured" -o \
	"$(verdicts_of twins n1) $(verdicts_of twins n2)" = "not-measured pass"
stop_host 2
start_host 2

remote=/nowhere/assay over 3 missing 'n1' --only good
says "assay is not there"

# ---- bringing the program ----------------------------------------------------------------------
# A plain build, because one with sanitizers is larger than a folder in memory may be.
remote=/nowhere/assay over 0 push 'n[1-2]' --only good --push
says ACCEPTED
check "nothing of it is left" test -z "$(ls -d /dev/shm/assay.* /tmp/assay.????????  2>/dev/null)"
over 0 pushed 'n[1-2]' --only good --push
remote=/nowhere/assay over 0 push2 n1 --only good --push
expect 0 "$ASSAY" resume push2

# ---- nodes that misbehave ------------------------------------------------------------------------
on_n1() {
	over "$1" "$2" n1 --only good
}
make_fakes "$program"
meet_fakes 60
LIMIT=60 fake endless 3
says "no agent answered"

# ---- nodes that leave in the middle ----------------------------------------------------------------
# in_the_middle FOLDER COMMAND: starts a run on two nodes and runs the command while n2 measures.
in_the_middle() {
	"$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher ssh --ssh-config "$work/ssh/config" \
		--program "$program" --hosts 'n[1-2]' --only slow -o "$1" >"$out" 2>"$err" </dev/null &
	local pid=$! code=0
	within 20 grep -q '"e":"start","at":"n2"' "$1/journal.jsonl" || bad "$1 did not start"
	eval "$2"
	wait "$pid" || code=$?
	checks=$((checks + 1))
	[ "$code" = "$3" ] || bad "$1: exit code $code instead of $3"
	check "$1: the other node is good" test "$(verdicts_of "$1" n1)" = pass
}
agent_of() {
	pgrep -f "^$program agent --node $1 " | head -1
}
in_the_middle killed 'kill -9 $(agent_of n2)' 3
says "n2"
check "named" grep -q 'n2' killed/report.txt
in_the_middle crashed 'pkill -9 -P "$(cat "$work/ssh/host2.pid")"; stop_host 2; start_host 2' 3
check "the cut is named" grep -q 'the connection was cut' crashed/report.txt
in_the_middle frozen 'pkill -STOP -P "$(cat "$work/ssh/host2.pid")"' 3
check "silence is named" grep -q 'it fell silent' frozen/report.txt
pkill -KILL -P "$(cat "$work/ssh/host2.pid")"
all_gone 40

# after a crash of the controller, agents leave by themselves, and the run can go on
"$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher ssh --ssh-config "$work/ssh/config" \
	--program "$program" --hosts 'n[1-2]' -o again >/dev/null 2>&1 </dev/null &
within 20 grep -q '"e":"start","at":"n2","step":"two' again/journal.jsonl || bad "did not start"
kill -9 $!
wait $! 2>/dev/null
check "agents leave within 30 s" within 30 bash -c "! pgrep -f '^$program agent' >/dev/null"
expect 0 "$ASSAY" resume again
says ACCEPTED

# a node that was started anew in between is looked at again
"$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher ssh --ssh-config "$work/ssh/config" \
	--program "$program" --hosts 'n[1-2]' -o reboot >/dev/null 2>&1 </dev/null &
within 20 grep -q '"e":"start","at":"n2","step":"two' reboot/journal.jsonl || bad "did not start"
kill -9 $!
wait $! 2>/dev/null
check "agents leave within 30 s" within 30 bash -c "! pgrep -f '^$program agent' >/dev/null"
stop_host 2
rm "$work/ssh/boot2"
run_sshd 2
check "sshd 2 runs" within 5 test -s "$work/ssh/host2.pid"
expect 0 "$ASSAY" resume reboot
says ACCEPTED
check "it is said" grep -q '"at":"n2","text":"it was started anew' reboot/journal.jsonl
check "its first phase is repeated" test "$(grep -c '"start","at":"n2","step":"one' reboot/journal.jsonl)" = 2
check "that of the other is not" test "$(grep -c '"start","at":"n1","step":"one' reboot/journal.jsonl)" = 1

# names that look like options or commands are none
for name in '-oProxyCommand=touch_x' 'n1;touch_x' '$(touch_x)'; do
	expect 2 "$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher ssh --hosts "$name" -o evil
done
remote="/nowhere/'; touch $work/touched; '" over 3 quoted n1 --only good
check "no path becomes a command" test ! -e touched

# the control plane opens no port
"$ASSAY" run --spec ./spec.yaml --profile ./profile.yaml --launcher ssh --ssh-config "$work/ssh/config" \
	--program "$program" --hosts n1 --only slow -o ports >/dev/null 2>&1 </dev/null &
within 20 grep -q '"e":"start"' ports/journal.jsonl || bad "did not start"
if command -v ss >/dev/null; then
	own=$({
		leftovers
		pgrep -f "^$program "
	} | tr '\n' '|')
	check "processes of this run are looked at" test -n "$own"
	check "no port is opened" bash -c "! ss -ltunp | grep -v sshd | grep -qE 'pid=(${own%|}),'"
else
	note "open ports: needs ss"
fi
wait $!
finish
