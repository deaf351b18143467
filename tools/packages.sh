# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
#
# Sourced by tools/test and tools/quickstart: makes sure that Debian's packages
# are there. Asks dpkg first and touches apt only for what is missing, so a
# second run needs no network and no rights.

# What a build of everything needs.
tapio_build_packages=(
	cmake ninja-build gcc g++ pkg-config
	liburing-dev libconfuse-dev libjansson-dev check
)

# What the tests want on top.
tapio_test_packages=(
	git python3 strace valgrind spin clang libclang-rt-14-dev clang-format
	mandoc shellcheck util-linux gcc-aarch64-linux-gnu
	libc6-dev-arm64-cross qemu-system-x86 qemu-system-arm
	busybox-static cpio abigail-tools
)

# What tapio-bench compares Tapio with, each if it is there.
tapio_bench_packages=(
	libck-dev libdpdk-dev libjemalloc-dev
	libiceoryx-binding-c-dev iceoryx
	liblttng-ust-dev lttng-tools
)

tapio_package_installed() {
	dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null |
		grep -qx installed
}

# Installs those of the given packages that are missing. Returns 1 with a
# message when it cannot.
tapio_need_packages() {
	local package missing=() as_root=()

	if ! command -v dpkg-query >/dev/null; then
		echo "This is not a Debian system: nothing is installed." \
			"If the build fails, look for what these are called" \
			"here: $*" >&2
		return 0
	fi
	for package in "$@"; do
		tapio_package_installed "$package" || missing+=("$package")
	done
	if [ ${#missing[@]} -eq 0 ]; then
		return 0
	fi
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "Missing packages: ${missing[*]}" >&2
			echo "Installing them needs root, and there is no" \
				"sudo. As root: apt-get install ${missing[*]}" >&2
			return 1
		fi
		as_root=(sudo)
		[ -t 0 ] || as_root+=(-n)
	fi
	echo "Installing ${missing[*]}"
	# The first install in a fresh image has no package lists to look in.
	if ! "${as_root[@]}" apt-get update -qq ||
		! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends \
			"${missing[@]}" >/dev/null; then
		echo "Could not install: ${missing[*]}" >&2
		return 1
	fi
}

# Installs what is to be had of the given packages, and says what is not.
tapio_try_packages() {
	local package without=()

	# At once is quicker, and how it nearly always is.
	if tapio_need_packages "$@" 2>/dev/null; then
		return
	fi
	for package in "$@"; do
		tapio_need_packages "$package" >/dev/null 2>&1 ||
			without+=("$package")
	done
	if [ ${#without[@]} -gt 0 ]; then
		echo "Going on without: ${without[*]}"
	fi
}
