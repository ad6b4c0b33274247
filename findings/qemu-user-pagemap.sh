#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# qemu-user-pagemap.sh - under qemu-user, a process's maps and its pagemap speak of different address spaces
#
# Version: qemu-user-static 1:7.2+dfsg-7+deb12u18+b3, busybox-static 1:1.35.0-4+deb12u1+b1 (armhf and amd64)
#
# /proc/PID/maps and /proc/PID/pagemap are two views of one address space: the page of an address that maps names is the entry
# at (address / page size) in pagemap. qemu-user translates the first for its guest and hands out the host's second one. Where
# guest addresses are not host addresses, which is the rule for 32-bit guests, a program that looks up a page that it is
# executing at that very moment reads an entry of zeroes: not present, not swapped, no frame.
#
# Seen: natively, the entry of the first page of the running program has bit 63 (present); of the same program built for
# another machine and run by qemu-arm-static, the entry is 0, with no error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fetch ARCHITECTURE PACKAGE=VERSION... - unpacks them into $work/ARCHITECTURE
fetch() {
	local arch=$1 state=$work/apt-$1

	shift
	mkdir -p "$state/lists/partial" "$state/archives/partial" "$work/$arch"
	local apt=(apt-get -q -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State="$state"
		-o Dir::State::lists="$state/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$state"
		-o APT::Sandbox::User=root)
	# An update that lacks one of several lists may still have what is needed.
	"${apt[@]}" update >"$work/log" 2>&1 || true
	(cd "$state" && "${apt[@]}" download "$@" >>"$work/log" 2>&1) || { cat "$work/log"; exit 2; }
	for package in "$state"/*.deb; do
		dpkg-deb -x "$package" "$work/$arch"
	done
}

# first_page COMMAND... - the pagemap entry of the first page that maps names, read by the process whose page it is. Each run
# of the program lies at the same addresses: without randomisation, or under an emulator that has none.
first_page() {
	local address
	address=$("$@" cat /proc/self/maps | sed 's/-.*//;q')
	"$@" dd if=/proc/self/pagemap bs=8 count=1 skip=$((0x$address / 4096)) 2>/dev/null | od -An -tx8 | tr -d ' '
}

fetch amd64 qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 busybox-static=1:1.35.0-4+deb12u1+b1
fetch armhf busybox-static=1:1.35.0-4+deb12u1+b1
native=$(first_page setarch -R "$work/amd64/bin/busybox")
emulated=$(first_page "$work/amd64/usr/bin/qemu-arm-static" "$work/armhf/bin/busybox")
echo "entry of a page that is being executed: native $native, under qemu-arm $emulated"
[ $((0x$native >> 63 & 1)) = 1 ] && [ "$emulated" = 0000000000000000 ]
