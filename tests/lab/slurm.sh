# shellcheck shell=bash
# slurm.sh - a small real Slurm on loopback: munge, the controller and four nodes, n1 to n4. Sourced by
# end-to-end tests after lib.sh; all of it lies in $work/slurm and ends with the test.
#
# Each slurmd has a mount namespace with a boot_id of its own, for two names that are one machine are refused.
# Nobody here listens to SIGTERM for long: slurmd ignored it for minutes, so everything is killed.
need python3 munged slurmctld slurmd srun sbatch salloc scancel scontrol sinfo unshare
need_root
lab=$work/slurm
lab_nodes=4
# Of this test alone, and below the range that the kernel gives away (ip_local_port_range).
lab_port=$((10000 + RANDOM % 20000))
export SLURM_CONF=$lab/slurm.conf
unset "${!SLURM_@}" SLURMD_NODENAME
export SLURM_CONF=$lab/slurm.conf

lab_configure() {
	local host n
	host=$(hostname -s)
	mkdir -p "$lab/munge" "$lab/state" "$lab"/spool.n{1..4} "$lab"/boot
	chmod 755 "$lab" "$lab/munge"
	head -c 1024 /dev/urandom >"$lab/munge/key"
	chmod 600 "$lab/munge/key"
	cat >"$SLURM_CONF" <<-LAB
	ClusterName=lab
	SlurmctldHost=$host(127.0.0.1)
	SlurmctldPort=$lab_port
	SlurmUser=root
	SlurmdUser=root
	AuthType=auth/munge
	AuthInfo=socket=$lab/munge/sock
	CredType=cred/munge
	MpiDefault=none
	ProctrackType=proctrack/linuxproc
	TaskPlugin=task/none
	SwitchType=switch/none
	SelectType=select/cons_tres
	SelectTypeParameters=CR_Core
	StateSaveLocation=$lab/state
	SlurmdSpoolDir=$lab/spool.%n
	SlurmctldPidFile=$lab/ctld.pid
	SlurmdPidFile=$lab/d.%n.pid
	SlurmctldLogFile=$lab/ctld.log
	SlurmdLogFile=$lab/d.%n.log
	PlugStackConfig=$lab/plugstack.conf
	ReturnToService=2
	SlurmctldTimeout=10
	SlurmdTimeout=10
	KillWait=3
	MinJobAge=300
	SchedulerType=sched/builtin
	AccountingStorageType=accounting_storage/none
	JobAcctGatherType=jobacct_gather/none
	JobCompType=jobcomp/none
	GresTypes=gpu
	NodeName=n[1-$lab_nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((lab_port + 1))-$((lab_port + lab_nodes))] CPUs=2 RealMemory=256 Gres=gpu:8 State=UNKNOWN
	PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
	LAB
	printf '%s\n' "$@" >>"$SLURM_CONF"
	: >"$lab/plugstack.conf"
	# Slurm only counts these files and hands out their numbers; nobody opens them.
	for ((n = 0; n < 8; n++)); do mknod "$lab/gpu$n" c 1 3; done
	for ((n = 1; n <= lab_nodes; n++)); do
		printf "NodeName=n$n Name=gpu File=$lab/gpu%s\n" 0 1 2 3 4 5 6 7
	done >"$lab/gres.conf"
}

lab_controller() {
	env -u E2E_MARK slurmctld "$@" -f "$SLURM_CONF" </dev/null >>"$lab/ctld.out" 2>&1
}

# lab_node N: starts slurmd of nN with a boot_id that no other node has.
lab_node() {
	[ -e "$lab/boot/n$1" ] || cat /proc/sys/kernel/random/uuid >"$lab/boot/n$1"
	env -u E2E_MARK unshare -m bash -c 'mount --bind "$1" /proc/sys/kernel/random/boot_id && exec slurmd -N "$2" -f "$SLURM_CONF"' \
		slurmd "$lab/boot/n$1" "n$1" </dev/null >>"$lab/d.n$1.out" 2>&1
}

# Nodes that could run a job now.
lab_idle() {
	# `-t idle` alone counts drained ones too.
	[ "$(sinfo -h -N -o '%T' 2>/dev/null | grep -c '^idle$')" = "${1:-$lab_nodes}" ]
}

# lab_of N [PATTERN]: processes of nN, known by the boot_id they see; with a command line that matches.
lab_of() {
	local p
	for p in $(grep -lsF "${work##*/}/slurm/boot/n$1 " /proc/[0-9]*/mountinfo); do
		p=${p#/proc/}
		p=${p%/mountinfo}
		tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline" | grep -q -- "${2:-.}" && echo "$p"
	done
}

# What jobs left on the nodes.
lab_jobs() {
	local n
	for ((n = 1; n <= lab_nodes; n++)); do
		lab_of $n | while read -r p; do
			grep -qs '^slurmd$' "/proc/$p/comm" || echo "$p"
		done
	done
}

lab_no_jobs() {
	[ -z "$(lab_jobs)" ]
}

# Signals of processes that may be gone by now.
lab_signal() {
	local signal=$1
	shift
	[ $# = 0 ] || kill "-$signal" "$@" 2>/dev/null
}

# lab_crash N: the node is gone at once, as if its power were cut.
lab_crash() {
	# shellcheck disable=SC2046
	lab_signal KILL $(lab_of "$1")
}

# lab_restart N: the node is gone and comes back, and Slurm forgets what it was still waiting for there.
lab_restart() {
	lab_crash "$1"
	scontrol update NodeName="n$1" State=DOWN Reason=restart
	lab_node "$1"
	scontrol update NodeName="n$1" State=RESUME 2>/dev/null
}

lab_kill() {
	local n f
	for f in ctld.pid munge/pid; do
		[ -s "$lab/$f" ] && kill -9 "$(cat "$lab/$f")" 2>/dev/null
	done
	for ((n = 1; n <= lab_nodes; n++)); do lab_crash $n; done
}

# lab_start [LINE...]: all of it, with more lines for slurm.conf. Skips the test when Slurm does not come up.
lab_start() {
	local n
	lab_configure "$@"
	later lab_kill
	# Daemons go without the mark of leftovers: they are no mistake as long as the test runs.
	env -u E2E_MARK munged --force --socket="$lab/munge/sock" --key-file="$lab/munge/key" --pid-file="$lab/munge/pid" \
		--log-file="$lab/munge/log" --seed-file="$lab/munge/seed" >"$lab/munge/out" 2>&1 ||
		skip "munged does not start: $(tail -n 1 "$lab/munge/out")"
	lab_controller -c || skip "slurmctld does not start: $(tail -n 1 "$lab/ctld.out")"
	for ((n = 1; n <= lab_nodes; n++)); do
		lab_node $n || skip "slurmd does not start: $(tail -n 1 "$lab/d.n$n.out")"
	done
	within 30 lab_idle || skip "Slurm's nodes do not come up: $(sinfo -h -N -o '%N %T %E' 2>&1 | tr '\n' ' ')"
}
