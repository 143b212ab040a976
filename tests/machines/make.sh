#!/bin/sh
# make.sh OUT NAME... - writes recorded machines as trees of files below OUT:
#   hgx       two sockets, 8 GPUs (gpu3 at x8), 8 NICs, 4 NVMe disks, 16 DIMMs (dimm05 at 4400 of 4800)
#   hgx-good  the same without what is planted in it: all lanes, all modules at full speed, settings right
#   hgx-user  hgx as a user without root sees it: no SMBIOS table, no vital product data
#   station   a DGX Station A100: one socket, 4 A100 and a display GPU between them, 8 DIMMs, 2 NVMe disks
#   vm        a small virtual machine: one virtio disk and NIC, no SMBIOS at all
# The trees are generated, for most of their files say the same thing eight times.
set -eu

out=$1
here=
planted=yes
nvidia=535.129.03
shift

# put PATH TEXT
put()
{
	[ -d "$here/${1%/*}" ] || mkdir -p "$here/${1%/*}"
	printf '%s\n' "$2" > "$here/$1"
}

# link PATH TARGET
link()
{
	[ -d "$here/${1%/*}" ] || mkdir -p "$here/${1%/*}"
	ln -sfn "$2" "$here/$1"
}

# cpu NUMBER CORE SOCKET CORE_MASK SOCKET_MASK [L1 L2 L3 L3_MASK]
cpu()
{
	c=sys/devices/system/cpu/cpu$1
	put $c/online 1
	put $c/topology/physical_package_id "$3"
	put $c/topology/core_id "$2"
	put $c/topology/core_cpus "$4"
	put $c/topology/thread_siblings "$4"
	put $c/topology/package_cpus "$5"
	put $c/topology/core_siblings "$5"
	cache $c/cache/index0 1 Data "${6:-48K}" "$4"
	cache $c/cache/index1 2 Unified "${7:-2048K}" "$4"
	cache $c/cache/index2 3 Unified "${8:-107520K}" "${9:-$5}"
}

# cache PATH LEVEL TYPE SIZE MASK
cache()
{
	put "$1/level" "$2"
	put "$1/type" "$3"
	put "$1/size" "$4"
	put "$1/shared_cpu_map" "$5"
	put "$1/coherency_line_size" 64
}

# numa NUMBER MASK KIB DISTANCES
numa()
{
	n=sys/devices/system/node/node$1
	put "$n/cpumap" "$2"
	put "$n/meminfo" "Node $1 MemTotal:       $3 kB"
	put "$n/distance" "$4"
}

# pci PATH CLASS VENDOR DEVICE NUMA DRIVER: a device, and its links from bus/
pci()
{
	put "$1/class" "$2"
	put "$1/vendor" "$3"
	put "$1/device" "$4"
	put "$1/numa_node" "$5"
	mkdir -p "$here/sys/bus/pci/drivers/$6"
	ln -sfn "$here/sys/bus/pci/drivers/$6" "$here/$1/driver"
	link "sys/bus/pci/devices/${1##*/}" "../../../../$1"
}

# width PATH CURRENT SPEED MAX MAXSPEED
width()
{
	put "$1/current_link_width" "$2"
	put "$1/current_link_speed" "$3 GT/s PCIe"
	put "$1/max_link_width" "$4"
	put "$1/max_link_speed" "$5 GT/s PCIe"
}

# bridge PATH NUMA ACS_BITS [VENDOR DEVICE SPEED]: a root port, its access control services in configuration space
bridge()
{
	pci "$1" 0x060400 "${4:-0x8086}" "${5:-0x352a}" "$2" pcieport
	width "$1" 16 "${6:-32.0}" 16 "${6:-32.0}"
	{
		head -c 256 /dev/zero
		printf "\\015\\000\\001\\000\\000\\000\\$3\\000"
	} > "$here/$1/config"
}

aer()
{
	put "$1/aer_dev_correctable" "RxErr $2
TOTAL_ERR_COR $2"
	put "$1/aer_dev_fatal" "TOTAL_ERR_FATAL 0"
	put "$1/aer_dev_nonfatal" "TOTAL_ERR_NONFATAL 0"
}

# gpu NUMBER BUS_DIGIT NUMA LANES
gpu()
{
	port=sys/devices/pci0000:${2}0/0000:${2}0:01.0
	acs=000
	[ "$1$planted" != 0yes ] || acs=014
	bridge "$port" "$3" "$acs"
	pci "$port/0000:${2}1:00.0" 0x030200 0x10de 0x2330 "$3" nvidia
	width "$port/0000:${2}1:00.0" "$4" 32.0 16 32.0
	aer "$port/0000:${2}1:00.0" "$1"
	put "proc/driver/nvidia/gpus/0000:${2}1:00.0/information" "Model: 		 NVIDIA H100 80GB HBM3
IRQ:   		 300
GPU UUID: 	 GPU-00000000-0000-0000-0000-00000000000$1
Video BIOS: 	 96.00.74.00.1A
Bus Type: 	 PCIe"
}

# nic NUMBER BUS_DIGIT NUMA
nic()
{
	port=sys/devices/pci0000:${2}0/0000:${2}0:02.0
	bridge "$port" "$3" 000
	d=$port/0000:${2}2:00.0
	pci "$d" 0x020700 0x15b3 0x1021 "$3" mlx5_core
	width "$d" 16 32.0 16 32.0
	mkdir -p "$here/$d/net/ib$1"
	put "$d/infiniband/mlx5_$1/fw_ver" 28.39.1002
	put "$d/infiniband/mlx5_$1/node_guid" "b8ce:f603:00aa:000$1"
	put "$d/infiniband/mlx5_$1/ports/1/state" "4: ACTIVE"
	put "$d/infiniband/mlx5_$1/ports/1/rate" "400 Gb/sec (4X NDR)"
	put "$d/infiniband/mlx5_$1/ports/1/link_layer" InfiniBand
	link "sys/class/infiniband/mlx5_$1" "../../../$d/infiniband/mlx5_$1"
	# PCI Local Bus 3.0 appendix I: a name, then the fields PN and SN, then the end tag
	printf '\202\004\000CX-7\220\017\000PN\003ABCSN\006MT000%s\170' "$1" > "$here/$d/vpd"
}

# nvme NUMBER BUS_DIGIT
nvme()
{
	port=sys/devices/pci0000:${2}0/0000:${2}0:03.0
	bridge "$port" 0 000
	d=$port/0000:${2}3:00.0
	pci "$d" 0x010802 0x144d 0xa80a 0 nvme
	width "$d" 4 16.0 4 32.0
	put "$port/max_link_speed" "16.0 GT/s PCIe"
	put "$d/nvme/nvme$1/model" "SAMSUNG MZWLR3T8HBLS-00007              "
	put "$d/nvme/nvme$1/serial" "S6EXNE0T$1"
	put "$d/nvme/nvme$1/firmware_rev" MPK9BC5Q
	b=$d/nvme/nvme$1/nvme${1}n1
	put "$b/size" 7501476528
	put "$b/removable" 0
	put "$b/queue/rotational" 0
	put "$b/queue/scheduler" "[none] mq-deadline"
	link "$b/device" "../../nvme$1"
	link "sys/block/nvme${1}n1" "../../$b"
}

# smbios TYPE+FIELDS (octal) STRINGS...: one structure
smbios()
{
	printf "$1"
	shift
	for s; do
		printf '%s\000' "$s"
	done
	printf '\000'
}

# module HANDLE SPEED SLOT SERIAL TYPE RATED MILLIVOLTS MODEL: 64 GiB; numbers in octal, low byte first
# (DSP0134 clause 7.18)
module()
{
	f="\\021\\050\\$1\\021\\000\\020\\376\\377\\120\\000\\100\\000\\377\\177\\011\\000\\001\\002\\$5"
	f="$f\\200\\000$6\\003\\004\\005\\006\\002\\000\\000\\001\\000$2$7$7$7"
	smbios "$f" "$3" "NODE 0" Samsung "$4" "Not Specified" "$8"
}

# dimm HANDLE SPEED SLOT SERIAL: DDR5-4800
dimm()
{
	module "$1" "$2" "$3" "$4" 042 '\300\022' '\114\004' "M321R8GA0BB0-CQKZJ "
}

# DSP0134 clauses 7.1, 7.2, 7.3 and 7.18, and the structure that ends a table
firmware()
{
	z5='\000\000\000\000\000'
	smbios "\\000\\030\\000\\000\\001\\002\\000\\360\\003$z5$z5$z5" "American Megatrends" 1.4b 07/28/2026
	smbios "\\001\\033\\001\\000\\001\\002\\000\\003$z5$z5$z5\\000\\000\\000\\000" Supermicro SYS-821GE-TNHR S000042
	smbios '\002\017\002\000\001\002\000\003\000\000\000\000\000\000\000' Supermicro X13DEG-OAD "Default string"
	for i in 0 1 2 3 4 5 6 7; do
		speed='\300\022'
		[ $i$planted != 5yes ] || speed='\060\021'
		dimm 00$i "$speed" P1-DIMM$i 1000$i
	done
	for i in 0 1 2 3 4 5 6 7; do
		dimm 01$i '\300\022' P2-DIMM$i 2000$i
	done
	smbios '\177\004\376\377\000'
}

software()
{
	put proc/sys/kernel/osrelease 5.15.0-1053-generic
	put proc/sys/kernel/numa_balancing 0
	put proc/sys/net/ipv4/tcp_rmem "4096	131072	6291456"
	put etc/os-release 'NAME="Ubuntu"
PRETTY_NAME="Ubuntu 22.04.4 LTS"'
	put proc/cmdline "BOOT_IMAGE=/vmlinuz root=/dev/md0 ro iommu=pt pci=realloc=off quiet numa-balancing=no"
	put proc/swaps "Filename				Type		Size		Used		Priority"
	put proc/self/mounts "/dev/md0 / ext4 rw,relatime 0 0
/dev/nvme0n1 /local\\040scratch xfs rw,noatime 0 0
store:/home /home nfs4 rw,vers=4.2 0 0"
	put proc/self/limits "Limit                     Soft Limit           Hard Limit           Units     
Max open files            1048576              1048576              files     
Max locked memory         unlimited            unlimited            bytes     "
}

# nvidia_driver VERSION
nvidia_driver()
{
	put proc/driver/nvidia/version "NVRM version: NVIDIA UNIX x86_64 Kernel Module  $1  Thu Oct 19 18:56:32 UTC 2026
GCC version:  gcc version 11.4.0"
}

# cpuinfo MODEL CPUS_PER_SOCKET SOCKETS FLAGS [VENDOR]
cpuinfo()
{
	n=0
	s=0
	while [ $s -lt "$3" ]; do
		i=0
		while [ $i -lt "$2" ]; do
			printf 'processor\t: %d\nvendor_id\t: %s\nmodel name\t: %s\n' $n "${5:-GenuineIntel}" "$1"
			printf 'microcode\t: 0x2b0004d0\nphysical id\t: %d\nflags\t\t: %s\n\n' $s "$4"
			n=$((n + 1))
			i=$((i + 1))
		done
		s=$((s + 1))
	done > "$here/proc/cpuinfo"
}

make_hgx()
{
	put sys/devices/system/cpu/online 0-3
	put sys/devices/system/cpu/possible 0-3
	cpu 0 0 0 1 3
	cpu 1 1 0 2 3
	cpu 2 0 1 4 c
	cpu 3 1 1 8 c
	for i in 0 1 2 3; do
		put sys/devices/system/cpu/cpu$i/cpufreq/cpuinfo_max_freq 3800000
		put sys/devices/system/cpu/cpu$i/cpufreq/scaling_governor performance
		put sys/devices/system/cpu/cpu$i/thermal_throttle/core_throttle_count $i
		put sys/devices/system/cpu/cpu$i/thermal_throttle/package_throttle_count 10
	done
	[ $planted = no ] || put sys/devices/system/cpu/cpu2/cpufreq/scaling_governor powersave
	put sys/devices/system/node/online 0-1
	numa 0 3 528200000 "10 21"
	numa 1 c 528300000 "21 10"
	software
	cpuinfo "Intel(R) Xeon(R) Platinum 8480C" 2 2 "fpu sse2 avx2 avx512f amx_tile"
	put proc/meminfo "MemTotal:       1056500000 kB
MemAvailable:   1040000000 kB
HardwareCorrupted:     4 kB"
	put proc/interrupts "           CPU0       CPU1       CPU2       CPU3
 NMI:          1          1          1          1   Non-maskable interrupts
 MCE:          0          2          0          1   Machine check exceptions
 MCP:        288        288        288        288   Machine check polls"
	nvidia_driver "$nvidia"
	put sys/module/mlx5_core/version 24.10-1.1.4
	mkdir -p "$here/sys/module/nvme"
	mkdir -p "$here/sys/class/iommu/dmar0"
	put sys/kernel/mm/transparent_hugepage/enabled "always [madvise] never"
	put sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages 1024
	put sys/devices/system/clocksource/clocksource0/current_clocksource tsc
	put sys/devices/platform/ipmi_bmc.0/firmware_revision 1.05
	e=sys/devices/system/edac/mc/mc0
	put $e/ce_noinfo_count 0
	put $e/ue_noinfo_count 0
	for i in 0 1; do
		put $e/dimm$i/dimm_label CPU_SrcID#0_MC#0_Chan#${i}_DIMM#0
		put $e/dimm$i/dimm_ce_count $((i * 7))
		put $e/dimm$i/dimm_ue_count 0
	done
	for i in 0 1 2 3 4 5 6 7; do
		lanes=16
		[ $i$planted != 3yes ] || lanes=8
		gpu $i $((i + 1)) $((i / 4)) $lanes
		nic $i $((i + 1)) $((i / 4))
	done
	nvme 0 1
	nvme 1 2
	nvme 2 3
	nvme 10 4
	put sys/block/loop0/size 2048
	put sys/block/sda/size 31457280
	put sys/block/sda/removable 1
	# the display of the BMC is not a GPU
	pci sys/devices/pci0000:00/0000:00:05.0 0x030000 0x1a03 0x2000 0 ast
	put sys/class/dmi/id/sys_vendor Supermicro
	put sys/class/dmi/id/product_name SYS-821GE-TNHR
	put sys/class/dmi/id/board_name X13DEG-OAD
	put sys/class/dmi/id/bios_version 1.4b
	put sys/class/dmi/id/bios_date "Default string"
	mkdir -p "$here/sys/firmware/dmi/tables"
	firmware > "$here/sys/firmware/dmi/tables/DMI"
}

make_hgx_user()
{
	make_hgx
	rm -r "$here/sys/firmware/dmi"
	find "$here/sys/devices" -name vpd -exec rm {} +
}

# With the driver that tests/doubles/scenarios/hgx-h100.txt plays
make_hgx_good()
{
	planted=no nvidia=580.95.05
	make_hgx
	planted=yes nvidia=535.129.03
}

# The tables of hgx, with other modules and names
station_firmware()
{
	z5='\000\000\000\000\000'
	smbios "\\000\\030\\000\\000\\001\\002\\000\\360\\003$z5$z5$z5" "American Megatrends" L16.09 05/10/2026
	smbios "\\001\\033\\001\\000\\001\\002\\000\\003$z5$z5$z5\\000\\000\\000\\000" NVIDIA \
		"DGX Station A100 920-23487-2530-0R0" 1560921000042
	smbios '\002\017\002\000\001\002\000\003\000\000\000\000\000\000\000' NVIDIA "DGX Station A100" "Default string"
	for i in 0 1 2 3 4 5 6 7; do
		module 00$i '\200\014' DIMM_$i 3000$i 032 '\200\014' '\260\004' M393A8G40AB2-CWE
	done
	smbios '\177\004\376\377\000'
}

# station_gpu ADDRESS ROOT_BUS SLOT CLASS DEVICE MODEL NUMBER
station_gpu()
{
	port=sys/devices/pci0000:$2/0000:$2:$3.1
	bridge "$port" 0 000 0x1022 0x1483 16.0
	pci "$port/$1" "$4" 0x10de "$5" 0 nvidia
	width "$port/$1" 16 16.0 16 16.0
	aer "$port/$1" 0
	put "proc/driver/nvidia/gpus/$1/information" "Model: 		 $6
IRQ:   		 300
GPU UUID: 	 GPU-00000000-0000-0000-0000-00000000000$7
Video BIOS: 	 92.00.45.00.06
Bus Type: 	 PCIe"
}

# station_disk NUMBER SLOT SECTORS MODEL
station_disk()
{
	port=sys/devices/pci0000:80/0000:80:$2.2
	d=$port/0000:8$((1 + $1 + 1)):00.0
	b=$d/nvme/nvme$1/nvme${1}n1
	bridge "$port" 0 000 0x1022 0x1483 16.0
	pci "$d" 0x010802 0x144d 0xa824 0 nvme
	width "$d" 4 16.0 4 16.0
	put "$d/nvme/nvme$1/model" "$4"
	put "$d/nvme/nvme$1/serial" "S4YNNE0N$1"
	put "$d/nvme/nvme$1/firmware_rev" EPK9CB5Q
	put "$b/size" "$3"
	put "$b/removable" 0
	put "$b/queue/rotational" 0
	put "$b/queue/scheduler" "[none] mq-deadline"
	link "$b/device" "../../nvme$1"
	link "sys/block/nvme${1}n1" "../../$b"
}

# mask FIRST COUNT: a processor mask of 64, COUNT a divisor of 32
mask()
{
	if [ "$1" -lt 32 ]; then
		printf '%08x,%08x' 0 $((((1 << $2) - 1) << $1))
	else
		printf '%08x,%08x' $((((1 << $2) - 1) << ($1 - 32))) 0
	fi
}

# EPYC 7742: 64 cores, 4 of them to a third-level cache of 16 MiB; one NUMA node
station_cpus()
{
	put sys/devices/system/cpu/online 0-63
	put sys/devices/system/cpu/possible 0-63
	n=0
	while [ $n -lt 64 ]; do
		cpu $n $n 0 "$(mask $n 1)" ffffffff,ffffffff 32K 512K 16384K "$(mask $((n / 4 * 4)) 4)"
		put sys/devices/system/cpu/cpu$n/cpufreq/cpuinfo_max_freq 3400000
		put sys/devices/system/cpu/cpu$n/cpufreq/scaling_governor performance
		n=$((n + 1))
	done
	put sys/devices/system/node/online 0
	numa 0 ffffffff,ffffffff 528200000 10
	cpuinfo "AMD EPYC 7742 64-Core Processor" 64 1 "fpu sse2 avx2 sha_ni" AuthenticAMD
}

make_station()
{
	software
	station_cpus
	put proc/meminfo "MemTotal:       528200000 kB
MemAvailable:   520000000 kB"
	put proc/interrupts "           CPU0
 NMI:          1   Non-maskable interrupts"
	nvidia_driver 580.95.05
	mkdir -p "$here/sys/module/nvme"
	put sys/devices/system/clocksource/clocksource0/current_clocksource tsc
	put sys/devices/platform/ipmi_bmc.0/firmware_revision 1.01
	station_gpu 0000:01:00.0 00 01 0x030200 0x20b2 NVIDIA\ A100-SXM4-80GB 0
	station_gpu 0000:47:00.0 40 01 0x030200 0x20b2 NVIDIA\ A100-SXM4-80GB 1
	station_gpu 0000:81:00.0 80 01 0x030200 0x20b2 NVIDIA\ A100-SXM4-80GB 2
	station_gpu 0000:c1:00.0 c0 01 0x030000 0x1fb0 "NVIDIA DGX Display" 3
	station_gpu 0000:c2:00.0 c0 03 0x030200 0x20b2 NVIDIA\ A100-SXM4-80GB 4
	station_disk 0 03 3750748848 SAMSUNG\ MZ1L21T9HCLS-00A07
	station_disk 1 04 15002931888 SAMSUNG\ MZWLJ7T6HALA-00007
	for i in 0 1; do
		port=sys/devices/pci0000:40/0000:40:0$((i + 2)).1
		bridge "$port" 0 000 0x1022 0x1483 8.0
		d=$port/0000:4$((i + 3)):00.0
		pci "$d" 0x020000 0x8086 0x1563 0 ixgbe
		width "$d" 4 8.0 4 8.0
		put "$d/net/enp$i/operstate" up
		put "$d/net/enp$i/type" 1
		put "$d/net/enp$i/speed" 10000
		link "sys/class/net/enp$i" "../../../$d/net/enp$i"
	done
	put sys/class/dmi/id/sys_vendor NVIDIA
	put sys/class/dmi/id/product_name "DGX Station A100 920-23487-2530-0R0"
	put sys/class/dmi/id/board_name "DGX Station A100"
	put sys/class/dmi/id/bios_version L16.09
	mkdir -p "$here/sys/firmware/dmi/tables"
	station_firmware > "$here/sys/firmware/dmi/tables/DMI"
}

make_vm()
{
	put sys/devices/system/cpu/online 0-1
	put sys/devices/system/cpu/possible 0-1
	cpu 0 0 0 1 3
	cpu 1 1 0 2 3
	put sys/devices/system/node/online 0
	numa 0 3 24684084 10
	software
	cpuinfo "AMD EPYC" 2 1 "fpu sse2 avx2 hypervisor"
	put proc/meminfo "MemTotal:       24684084 kB
MemAvailable:   24334904 kB"
	put proc/interrupts "           CPU0       CPU1
 NMI:          0          0   Non-maskable interrupts"
	d=sys/devices/pci0000:00/0000:00:02.0
	pci $d 0x018000 0x1af4 0x1042 -1 virtio-pci
	put $d/virtio1/block/vda/size 536870912
	put $d/virtio1/block/vda/serial overlayblk
	put $d/virtio1/block/vda/queue/rotational 1
	link $d/virtio1/block/vda/device ../../../virtio1
	link sys/block/vda ../../$d/virtio1/block/vda
	put sys/block/zram0/size 1024
	d=sys/devices/pci0000:00/0000:00:03.0
	pci $d 0x020000 0x1af4 0x1041 -1 virtio-pci
	put $d/virtio2/net/eth0/operstate up
	put $d/virtio2/net/eth0/type 1
	put $d/virtio2/net/eth0/speed -1
	link sys/class/net/eth0 ../../../$d/virtio2/net/eth0
	d=sys/devices/pci0000:00/0000:00:04.0
	pci $d 0x020000 0x1af4 0x1041 -1 virtio-pci
	put $d/virtio3/net/rail0/operstate up
	link sys/class/net/rail0 ../../../$d/virtio3/net/rail0
	put sys/class/infiniband/rxe0/parent rail0
	put sys/class/infiniband/rxe0/node_guid 5054:00ff:fe00:0001
	put sys/class/infiniband/rxe0/ports/1/state "1: DOWN"
	put sys/class/infiniband/rxe0/ports/1/rate "2.5 Gb/sec (1X SDR)"
	put sys/class/infiniband/rxe0/ports/1/link_layer Ethernet
	# what a memory cgroup of version 2 leaves: 4 GiB above, 2 GiB less 512 MiB below
	put proc/self/cgroup "0::/slurm/job_7"
	put proc/self/mountinfo "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
	put sys/fs/cgroup/slurm/memory.max 4294967296
	put sys/fs/cgroup/slurm/memory.current 1073741824
	put sys/fs/cgroup/slurm/job_7/memory.max 2147483648
	put sys/fs/cgroup/slurm/job_7/memory.current 536870912
}

for name; do
	mkdir -p "$out/$name"
	here=$(cd "$out/$name" && pwd)
	case $name in
	hgx) make_hgx ;;
	hgx-good) make_hgx_good ;;
	hgx-user) make_hgx_user ;;
	station) make_station ;;
	vm) make_vm ;;
	*) echo "make.sh: no machine is called $name" >&2; exit 1 ;;
	esac
done
