# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
#
# Sourced by the scripts beside it: makes an image of test programs, boots a
# kernel of Debian's with it, and judges what the guest reports. The kernel is
# fetched once and unpacked in the build directory, never installed. The only
# file system is an initramfs: busybox, the programs, and `init` as process 1,
# which reports on the serial port, between what the programs print.
#
# Before: out, where everything is made, and tests, an array of program names.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
limit_s=${limit_s:-480}

skip() {
	echo "$*"
	exit 77
}

# need_commands NAME...
need_commands() {
	local command

	for command in "$@"; do
		command -v "$command" >/dev/null ||
			skip "$command is not installed"
	done
}

# The further options of apt-get and apt-cache.
apt_options=(-o APT::Sandbox::User=root)

# The package that a meta package of the kernel stands for. Nothing: not known.
kernel_package() {
	{ apt-cache "${apt_options[@]}" depends "$1" 2>/dev/null || true; } |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p'
}

# fetch PACKAGE...: leaves them in $out/download.
fetch() {
	rm -rf "$out/download"
	mkdir -p "$out/download"
	(cd "$out/download" && apt-get -qq "${apt_options[@]}" download "$@") \
		>"$out/download.log" 2>&1 ||
		skip "cannot download $*: $(tail -n 1 "$out/download.log")"
}

# need_kernel META: leaves the kernel that it stands for in $out/vmlinuz.
need_kernel() {
	local package

	[ -s "$out/vmlinuz" ] && return 0
	package=$(kernel_package "$1")
	if [ -z "$package" ]; then
		apt-get "${apt_options[@]}" update -qq >/dev/null 2>&1 || true
		package=$(kernel_package "$1")
	fi
	[ -n "$package" ] || skip "apt knows no $1 (apt-get update?)"
	fetch "$package"
	dpkg-deb --fsys-tarfile "$out/download/$package"_*.deb |
		tar -x -O --wildcards './boot/vmlinuz-*' >"$out/vmlinuz.new"
	[ -s "$out/vmlinuz.new" ] || {
		echo "$package has no boot/vmlinuz" >&2
		exit 1
	}
	mv "$out/vmlinuz.new" "$out/vmlinuz"
	rm -rf "$out/download"
}

# begin_image BUSYBOX: an empty image in $root.
begin_image() {
	root=$out/root
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,run}
	cp "$1" "$root/bin/busybox"
	cp "$here/init" "$root/init"
	echo 'root:x:0:0::/:/bin/sh' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
}

end_image() {
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$out/initramfs"
	rm -rf "$root"
}

# boot CONSOLE QEMU OPTION...: all that the guest says goes to $out/console, and
# what it reports to $out/results.
boot() {
	local console=$1 status=0

	shift
	: >"$out/console"
	timeout "$limit_s" "$@" -nodefaults -no-user-config -display none \
		-nic none -no-reboot -serial "file:$out/console" \
		-kernel "$out/vmlinuz" -initrd "$out/initramfs" \
		-append "console=$console quiet loglevel=1 panic=-1 no_timer_check" </dev/null ||
		status=$?
	sed -i 's/\r//g' "$out/console"
	sed -n 's/^result: //p' "$out/console" >"$out/results"
	if [ $status -eq 124 ]; then
		echo "the machine was still running after $limit_s s"
	elif [ $status -ne 0 ]; then
		echo "qemu ended with status $status"
	fi
}

# judge MACHINE: every program must have said that it succeeded, and the machine
# that it is what was asked for and came to the end.
judge() {
	local name line failed=0

	cat "$out/results"
	if ! grep -qx "$1" "$out/results"; then
		echo "not the machine that was asked for: $1"
		failed=1
	fi
	for name in "${tests[@]}"; do
		line=$(grep "^$name " "$out/results") || line="$name: no result"
		if [[ $line != "$name 0 "* ]]; then
			echo "FAILED $line"
			failed=1
		fi
	done
	if ! grep -qx end "$out/results"; then
		echo "the machine did not come to the end"
		failed=1
	fi
	if [ $failed -ne 0 ]; then
		echo "---- its console"
		tail -n 200 "$out/console"
	fi
	return $failed
}
