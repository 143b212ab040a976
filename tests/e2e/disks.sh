#!/usr/bin/env bash
# Disks end to end: what has no folder is only read, what has one is written in files that go away again.
. "$(dirname "$0")/lib.sh"
need_root
need python3 losetup mkfs.ext4 mount findmnt
"$ASSAY" spec derive --folder "$work" -o derived.yaml 2>/dev/null
grep -q folders: derived.yaml || skip "$work does not lie on a disk that can be told"
"$ASSAY" inventory --json >inventory.json 2>/dev/null
disks=$(json inventory.json 'len([k for k in j if k.startswith("disk")])')
which=$(grep -n 'folders:' derived.yaml >/dev/null && awk '/part: disk/ { n++; if (/folders:/) print n - 1 }' derived.yaml | head -1)
[ "$disks" = 1 ] || note "other disks than disk$which: they are only read"

spec_with() { # spec_with FILE FOLDERS: a spec whose disks have these folders; without limits nothing can pass
	cat >"$1" <<END
assay: spec/1
name: e2e
parts: {d: {kind: disk, source: a test}}
nodes: {node: {disks: [{part: d, count: 1$2}]}}
END
}
cat >profile.yaml <<'END'
assay: profile/1
name: e2e
repeat: 0
phases:
  - name: one
    checks:
      disk_seq: {bytes: 32 MiB, samples: 6, seconds: 0.2s}
      disk_integrity: {files: 2, bytes: 8 MiB}
END
disk_run() { # disk_run FOLDER SPEC [MORE...]
	local folder=$1 spec=$2
	shift 2
	rm -rf "$folder"
	LIMIT=200 expect 3 "$ASSAY" run --spec "./$spec" --profile ./profile.yaml --hosts n1 -o "$folder" "$@"
	sane "$folder/journal.jsonl"
	silent ACCEPTED
}
no_files() {
	! ls "$1"/assay-* >/dev/null 2>&1
}
mkdir files

# only read
spec_with read.yaml ""
expect 0 "$ASSAY" plan --spec ./read.yaml --profile ./profile.yaml --hosts n1
says "written 0 B to disks"
device=$(lsblk -dno PKNAME "$(findmnt -no SOURCE -T "$work")" 2>/dev/null)
device=/dev/${device:-$(basename "$(findmnt -no SOURCE -T "$work")")}
disk_run run-read read.yaml --only disk_seq
if head -c 1 "$device" >/dev/null 2>&1; then
	says "the spec names no folder on"
	says "so it is only read"
	check "read has figures" test "$(json run-read/report.json '[f["samples"] for f in j["findings"] if f["metric"] == "read"][0]')" -gt 0
else
	note "reading the whole disk: this machine forbids to open $device"
	says "cannot open $device for reading"
fi
disk_run run-integrity read.yaml --only disk_integrity

# files in a folder on this disk
spec_with write.yaml ", folders: [$work/files]"
disk_run run-write write.yaml
check "the files are gone" no_files files
check "write has figures" test "$(json run-write/report.json '[f["samples"] for f in j["findings"] if f["metric"] == "write"][0]')" -gt 0
[ "$(json run-write/report.json '[f["verdict"] for f in j["findings"] if f["check"] == "disk_integrity"][0]')" = pass ] ||
	bad "disk_integrity did not pass"

# memory is no disk, a folder that is not there is none either
mkdir tmpfs
mount -t tmpfs -o size=64m tmpfs tmpfs || skip "cannot mount"
later "umount -l '$work/tmpfs'"
spec_with tmpfs.yaml ", folders: [$work/tmpfs]"
disk_run run-tmpfs tmpfs.yaml
says "$work/tmpfs"
says tmpfs
check "nothing was written there" no_files tmpfs
spec_with absent.yaml ", folders: [$work/absent]"
disk_run run-absent absent.yaml
says "$work/absent"

# another disk than the one it is said to be on, and one that is too small to be filled
truncate -s 300M image
loop=$(losetup -f --show image 2>/dev/null)
if [ -n "$loop" ]; then
	later "losetup -d $loop"
	mkfs.ext4 -q "$loop"
	mkdir small
	mount "$loop" small
	later "umount -l '$work/small'"
	sleep 1
	spec_with small.yaml ", folders: [$work/small]"
	disk_run run-small small.yaml --only disk_seq
	says "$work/small is on ${loop#/dev/}, not on disk0"
	check "nothing was written there" no_files small
	# as a disk of its own, where the inventory knows it
	"$ASSAY" inventory >"$out" 2>/dev/null
	if grep -q "${loop#/dev/}" "$out"; then
		note "headroom: loop devices count as disks here, see the unit tests"
	fi
	# its file system has 300 MB, of which 2 GiB must stay free
	"$ASSAY" spec derive --folder "$work/small" -o small2.yaml 2>/dev/null
	if grep -q "$work/small" small2.yaml; then
		LIMIT=200 expect 3 "$ASSAY" run --spec ./small2.yaml --profile ./profile.yaml --hosts n1 --only disk_seq -o run-small2
		says "must stay free"
	else
		note "headroom on a small file system: a loop device is no disk of the inventory"
	fi
else
	note "a small disk: no loop device can be had"
fi
# more than there is on this disk
free=$(df --output=avail -B1 "$work" | tail -1)
sed "s/bytes: 32 MiB/bytes: $((free / 1048576)) MiB/" profile.yaml >huge.yaml
expect 3 "$ASSAY" run --spec ./write.yaml --profile ./huge.yaml --hosts n1 --only disk_seq -o run-huge
says "must stay free"
check "nothing is left" no_files files

# a step that is killed leaves nothing: its file has no name
sed 's/seconds: 0.2s/seconds: 30s/; s/samples: 6/samples: 20/' profile.yaml >long.yaml
"$ASSAY" run --spec ./write.yaml --profile ./long.yaml --hosts n1 --only disk_seq -o run-killed >"$out" 2>"$err" </dev/null &
pid=$!
shown="a disk step that is killed"
step_writes() {
	local p
	for p in $(leftovers); do
		ls -l "/proc/$p/fd" 2>/dev/null | grep -q 'files/assay-.*(deleted)' && return 0
	done
	return 1
}
check "the step writes" within 60 step_writes
step=$(for p in $(leftovers); do tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q '/exe step ' && echo "$p"; done)
# shellcheck disable=SC2086
kill -9 $step
wait $pid
rc=$?
[ $rc = 3 ] || bad "exit code $rc instead of 3"
says "it died: killed by signal 9"
check "nothing of it is left" no_files files
disk_run run-after write.yaml --only disk_seq
check "nor of the next one" no_files files
# files of others stay
touch files/assay-1.data files/assay-x.data files/mine "files/assay-$$.data"
disk_run run-others write.yaml --only disk_seq
for f in assay-1.data assay-x.data mine "assay-$$.data"; do
	check "$f was removed" test -e "files/$f"
done
# after Ctrl-C nothing is left either
rm -f files/*
"$ASSAY" run --spec ./write.yaml --profile ./long.yaml --hosts n1 --only disk_seq -o run-stopped >"$out" 2>"$err" </dev/null &
pid=$!
check "the step writes" within 60 step_writes
kill -INT $pid
wait $pid
rc=$?
[ $rc = 3 ] || bad "exit code $rc instead of 3"
all_gone 30
check "no file stays" no_files files
finish
