# shellcheck shell=bash
# lab.sh - two QEMU guests as nodes vm1 and vm2; sourced by tests/e2e/vm.sh behind lib.sh.
#
# Guests run on emulation (no KVM) and read this machine's own files, so nothing is installed in them. Each has
# an NVMe disk, two memory modules, a network card for ssh and two rails that end in unix sockets of the other
# guest: no network of this machine is touched but a port of 127.0.0.1, which QEMU chooses. Guests are children
# of the test's shell and die with it, however it ends.
: "${work:?source lib.sh first}" "${ASSAY_SOURCE:?}"
lab=$ASSAY_SOURCE/tests/lab/vm
guests="1 2"
disk_rate=100000000 # bytes a second; see boot
in_guest=(ssh -F "$work/ssh/config" -o BatchMode=yes) # vmN COMMAND
# One processor for each guest and all that QEMU does for it: on two, reads from the NVMe disk of QEMU 7.2 hang
# now and then until the guest resets its controller (3 of 4 runs of disk_rand; 0 of 24 on one).
read -ra cpus <<<"$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')"

# lab_make CACHE: files, keys and disks of the guests; nothing runs yet.
lab_make() {
	local n g cache=$1 program=$1/plain/assay
	[ -e "$program" ] || program=$ASSAY
	mkdir -p "$work/initrd/bin" "$work/ssh"
	chmod 700 "$work/ssh"
	cp "$(command -v busybox)" "$work/initrd/bin/busybox"
	cp -r "$cache/kernel/modules" "$work/initrd/modules"
	install -m 755 "$lab/init" "$lab/node" "$work/initrd"
	mkdir -p "$work"/initrd/{proc,sys,dev,root}
	(cd "$work/initrd" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd.gz"
	cp "$cache/kernel/vmlinuz" "$work/vmlinuz"
	ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/id"
	ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/stranger"
	: >"$work/ssh/known"
	for n in $guests; do
		g=$work/vm$n
		mkdir "$g" "$g/lab"
		ssh-keygen -q -t ed25519 -N '' -f "$g/lab/hostkey"
		echo "vm$n $(cut -d' ' -f1,2 "$g/lab/hostkey.pub")" >>"$work/ssh/known"
		cp "$work/ssh/id.pub" "$g/lab/authorized"
		strip -o "$g/lab/program" "$program" 2>/dev/null || cp "$program" "$g/lab/program"
		start_with "vm$n" 'exec /run/assay "$@"'
		truncate -s 4G "$g/disk"
		mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$g/disk"
	done
}

# start_with GUEST SCRIPT: what `--program /mnt/lab/assay` starts there.
start_with() {
	printf '#!/bin/bash\n%s\n' "$2" >"$work/$1/lab/assay.new"
	chmod 755 "$work/$1/lab/assay.new"
	mv "$work/$1/lab/assay.new" "$work/$1/lab/assay"
}

# boot N SERIAL-OF-DIMM,...: starts guest N. QEMU's NVMe trains to 2.5 GT/s x1 whatever its slot can do, so it is
# throttled below what such a link carries: with the 0.1 s that QEMU lets pass at once, a file of 32 MiB is not
# faster than physics allows.
boot() {
	local n=$1 g=$work/vm$1 peer=$work/vm$((3 - $1)) i args=()
	# shellcheck disable=SC2086
	"$lab/dimms" "$g" ${2//,/ }
	for i in "$g"/dimm*.bin; do args+=(-smbios "file=$i"); done
	for i in 0 1; do
		rm -f "$g/rail$i"
		args+=(-netdev "dgram,id=rail$i,local.type=unix,local.path=$g/rail$i,remote.type=unix,remote.path=$peer/rail$i")
		args+=(-device "virtio-net-pci,id=nic$i,netdev=rail$i,mac=52:54:00:0$i:00:0$n")
	done
	rm -f "$g/qmp" "$g/console"
	setpriv --pdeathsig KILL taskset -c "${cpus[$((n % ${#cpus[@]}))]}" \
		qemu-system-x86_64 -name "vm$n" -machine q35 -accel tcg,thread=multi -cpu max -smp 1 -m 1024 \
		-nodefaults -display none -no-reboot -kernel "$work/vmlinuz" -initrd "$work/initrd.gz" \
		-append "console=ttyS0 quiet panic=1 mitigations=off tsc=reliable lab=$n" \
		-serial "file:$g/console" -qmp "unix:$g/qmp,server=on,wait=off" \
		-smbios "type=1,manufacturer=Acme,product=GPU-8U,serial=CHASSIS-000$n" \
		-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
		-virtfs "local,path=$g/lab,mount_tag=lab,security_model=none" \
		-device "pcie-root-port,id=slot1,chassis=1,slot=1,x-speed=2_5,x-width=1,hotplug=off" \
		-object "throttle-group,id=link,x-bps-total=$disk_rate" -blockdev "driver=file,node-name=file,filename=$g/disk" \
		-blockdev driver=throttle,node-name=link,throttle-group=link,file=file -blockdev driver=raw,node-name=disk,file=link \
		-device "nvme,id=nvme0,bus=slot1,serial=SN-$n-0001,drive=disk" \
		-netdev user,id=mgmt,restrict=on,hostfwd=tcp:127.0.0.1:0-:22 \
		-device "virtio-net-pci,netdev=mgmt,mac=52:54:00:ff:00:0$n" \
		"${args[@]}" >"$g/qemu.log" 2>&1 </dev/null &
	echo $! >"$g/pid"
	disown $!
}

# up N: waits for the guest, which may take a minute on a busy machine, and tells ssh where it is.
up() {
	local g=$work/vm$1
	within "${BOOT_SECONDS:-90}" grep -q 'LAB up' "$g/console" || {
		bad "vm$1 did not start: $(tail -n 3 "$g/qemu.log" "$g/console" 2>/dev/null | tr '\n' ' ')"
		return 1
	}
	"$lab/qmp" "$g/qmp" 'info usernet' >"$g/usernet"
	awk '/HOST_FORWARD/ {print $4}' "$g/usernet" >"$g/port"
	ssh_config
}

ssh_config() {
	local n
	for n in $guests; do
		[ ! -s "$work/vm$n/port" ] ||
			printf 'Host vm%s\n  HostName 127.0.0.1\n  HostKeyAlias vm%s\n  Port %s\n' "$n" "$n" "$(cat "$work/vm$n/port")"
	done >"$work/ssh/config"
	{
		printf 'Host *\n  User root\n  IdentityFile %s/ssh/id\n  IdentitiesOnly yes\n' "$work"
		printf '  UserKnownHostsFile %s/ssh/known\n  GlobalKnownHostsFile /dev/null\n' "$work"
		# Cheaper than ssh's first choice, for processors that are emulated.
		printf '  StrictHostKeyChecking yes\n  CheckHostIP no\n  KexAlgorithms curve25519-sha256\n'
	} >>"$work/ssh/config"
}

# signal_guest SIGNAL N: to the QEMU process of that guest and no other.
signal_guest() {
	kill -"$1" "$(cat "$work/vm$2/pid")"
}

# ---- troubles, while the guest runs ----------------------------------------------------------------

# monitor N COMMAND...: all of them must be taken.
monitor() {
	local n=$1
	shift
	expect 0 "$lab/qmp" "$work/vm$n/qmp" "$@"
}

# set_property N OBJECT PROPERTY VALUE
set_property() {
	monitor "$1" '{"execute": "qom-set", "arguments": {"path": "'"$2"'", "property": "'"$3"'", "value": '"$4"'}}'
}

# cable N RAIL on|off
cable() {
	monitor "$1" "set_link nic$2 $3"
}

# disk_warns N BITS: the critical warning of its health log.
disk_warns() {
	set_property "$1" /machine/peripheral/nvme0 smart_critical_warning "$2"
}

# disk_carries N BYTES-A-SECOND
disk_carries() {
	set_property "$1" /objects/link limits '{"bps-total": '"$2"'}'
}

# disk_on N NODE: what the disk's bytes come from: `link`, or `sick`, which is link with a sector that cannot be read.
disk_on() {
	monitor "$1" '{"execute": "blockdev-reopen", "arguments": {"options": [
		{"driver": "raw", "node-name": "disk", "file": "'"$2"'"}]}}'
}

# disk_sickens N SECTOR
disk_sickens() {
	monitor "$1" '{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "sick", "image": "link",
		"inject-error": [{"event": "none", "iotype": "read", "errno": 5, "sector": '"$2"', "once": false}]}}'
	disk_on "$1" sick
}
