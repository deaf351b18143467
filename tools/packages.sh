# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
#
# Sourced by tools/test and tools/quickstart, after progress.sh: makes sure that
# Debian's packages are there. Asks dpkg first and touches apt only for what is
# missing, so a second run needs no network and no rights.

# For a build of everything.
tapio_build_packages=(
	cmake ninja-build gcc g++ pkg-config
	liburing-dev libconfuse-dev libjansson-dev libxxhash-dev check
)

# Collectors that are built where their libraries are there, and the regular expressions of
# tapio-correlate, which refuses them without PCRE2.
tapio_collector_packages=(
	libsystemd-dev libcurl4-openssl-dev libyaml-dev libpcre2-dev
)

# For tapio-shmstat: its full-screen view (watch), and its server of metrics (serve), each built
# where its library is there.
tapio_view_packages=(
	libncurses-dev libmicrohttpd-dev
)

# For tapio-collect-ebpf: a compiler for the kernel's programs, what makes a header of them,
# and the library that loads them.
tapio_ebpf_packages=(
	clang bpftool libbpf-dev
)

# For the tests, on top.
tapio_test_packages=(
	git python3 strace valgrind spin clang libclang-rt-14-dev clang-format
	mandoc shellcheck util-linux gcc-aarch64-linux-gnu
	libc6-dev-arm64-cross qemu-system-x86 qemu-system-arm
	busybox-static cpio abigail-tools musl-tools
	systemd systemd-journal-remote openssl bpftrace
	tmux zsh fish
)

# For --long alone: a browser for the page of `tapio-shmstat serve`, of 80 MB (290 MB installed),
# for one test of five seconds.
tapio_long_packages=(
	chromium
)

# The peers of tapio-bench, each if it is there.
tapio_bench_packages=(
	libck-dev libdpdk-dev libjemalloc-dev
	libiceoryx-binding-c-dev iceoryx
	liblttng-ust-dev lttng-tools
)

tapio_package_installed() {
	dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null |
		grep -qx installed
}

# tapio_missing PACKAGE...: those that are not installed, one a line.
tapio_missing() {
	local package

	for package in "$@"; do
		tapio_package_installed "$package" || echo "$package"
	done
}

# Sets tapio_as_root to what makes a command run as root. Returns 1 without a way. A
# password is asked for here, before progress is shown.
tapio_become_root() {
	tapio_as_root=()
	[ "$(id -u)" -ne 0 ] || return 0
	command -v sudo >/dev/null || return 1
	tapio_as_root=(sudo)
	if [ -t 0 ]; then
		sudo -v
	else
		tapio_as_root+=(-n)
	fi
}

# tapio_apt WHAT PACKAGE...: as steps. The first install in a fresh image has no
# package lists to look in.
tapio_apt() {
	local what=$1

	shift
	if [ -z "${tapio_apt_updated:-}" ]; then
		tapio_step "package lists" \
			"${tapio_as_root[@]}" apt-get update -qq || return 1
		tapio_apt_updated=yes
	fi
	tapio_step "$what" "${tapio_as_root[@]}" \
		env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "$@"
}

# tapio_list TEXT WORD...: the words behind the text, in lines of 80 columns.
tapio_list() {
	echo "$*" | fold -s -w 78 | sed '2,$ s/^/  /'
}

# Installs those of the given packages that are missing. Returns 1 with a
# message when it cannot.
tapio_need_packages() {
	local missing

	if ! command -v dpkg-query >/dev/null; then
		tapio_list "This is not a Debian system: nothing is installed. If" \
			"the build fails, look for what these packages are called" \
			"here: $*" >&2
		return 0
	fi
	mapfile -t missing < <(tapio_missing "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	tapio_list "Installing packages: ${missing[*]}"
	if ! tapio_become_root; then
		tapio_list "Installing them needs root, and sudo does not work here." \
			"As root: apt-get install ${missing[*]}" >&2
		return 1
	fi
	if ! tapio_apt "installing ${#missing[@]} packages" "${missing[@]}"; then
		tapio_list "These packages could not be installed: ${missing[*]}" >&2
		return 1
	fi
}

# Installs what is available of the given packages, and says what is not.
tapio_try_packages() {
	local package missing without=()

	command -v dpkg-query >/dev/null || return 0
	mapfile -t missing < <(tapio_missing "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	tapio_list "Installing optional packages: ${missing[*]}"
	if ! tapio_become_root; then
		without=("${missing[@]}")
	elif ! tapio_apt "all of them" "${missing[@]}" 2>/dev/null; then
		for package in "${missing[@]}"; do
			tapio_apt "$package" "$package" 2>/dev/null ||
				without+=("$package")
		done
	fi
	if [ ${#without[@]} -gt 0 ]; then
		tapio_list "Going on without: ${without[*]}"
	fi
}

# tapio_unpack PACKAGE DIRECTORY: the files of a package that must not be installed, as it
# collides with others. Nothing is done where they are there already. Returns 1 with a message
# when they cannot be fetched.
tapio_unpack() {
	local package=$1 directory=$2 here

	[ ! -e "$directory/usr" ] || return 0
	command -v dpkg-deb >/dev/null || return 0
	mkdir -p "$directory"
	here=$(cd "$directory" && pwd)
	if ! (cd "$here" && apt-get -qq download "$package") 2>/dev/null; then
		# A fresh image has no package lists.
		if ! tapio_become_root ||
			! "${tapio_as_root[@]}" apt-get update -qq ||
			! (cd "$here" && apt-get -qq download "$package"); then
			tapio_list "Going on without: $package" >&2
			return 1
		fi
	fi
	dpkg-deb -x "$here/$package"_*.deb "$here"
	rm -f "$here/$package"_*.deb
}
