# common.sh - sourced by the scripts in ci/. Finds the repository and what is missing.
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=$(nproc)

# What the program needs to be built, and what its tests need on top, as Debian 12 calls them.
build_packages="gcc libc6-dev cmake ninja-build pkg-config git ca-certificates libhwloc-dev libyaml-dev
	libjansson-dev libuv1-dev libsodium-dev liburing-dev libblkid-dev libnvme-dev libibverbs-dev libudev-dev
	zlib1g-dev"
test_packages="g++ libcmocka-dev clang libclang-rt-14-dev dpkg-dev file python3 python3-jsonschema util-linux
	openssh-client openssh-server iproute2 mount fdisk e2fsprogs xfsprogs lvm2 dmsetup procps man-db
	qemu-system-x86 busybox-static ibverbs-providers slurm-wlm munge"

missing() {
	local p
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s ' "$p"
	done
}

# Installs what is missing; without root or sudo says what to install and stops.
install_packages() {
	local list sudo=
	list=$(missing "$@")
	[ -n "$list" ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "This script installs packages on Debian 12. Install what these are called here, then go on:"
		echo "  $list"
		exit 2
	fi
	if [ "$(id -u)" != 0 ]; then
		if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && command -v sudo >/dev/null; }; then
			echo "These packages are missing, and neither root nor sudo is at hand. Install them, then go on:"
			echo "  apt-get install $list"
			exit 2
		fi
		sudo=sudo
	fi
	echo "installing: $list"
	$sudo apt-get update -qq
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $list >/dev/null
}

# build FOLDER CMAKE-OPTIONS...: configures and builds, quietly unless it fails.
build() {
	local to=$1
	shift
	cmake -S "$root" -B "$to" -G Ninja "$@"
	cmake --build "$to" -j "$jobs"
}
