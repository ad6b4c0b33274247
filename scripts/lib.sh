# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# lib.sh - what quickstart and check share: the packages, and how a build directory comes to be. To be sourced.
#
# Nothing here waits for an answer: standard input is empty, apt-get and sudo are told not to ask.
set -euo pipefail
exec </dev/null

cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(abigail-tools build-essential clang groff-base libck-dev libclang-rt-dev libcmocka-dev libjansson-dev liburcu-dev
	meson ninja-build node-d3 pkg-config python3 spin util-linux zsh)

# For the variant aarch64 and the tests "freestanding", of which only check has need.
cross_packages=(gcc-aarch64-linux-gnu gcc-riscv64-linux-gnu libc6-dev-arm64-cross libcmocka-dev:arm64
	libjansson-dev:arm64 liburcu-dev:arm64 qemu-system-misc qemu-user)

# For the test "tool_page", of which only check has need.
browser_packages=(chromium)

say() {
	printf '\n==> %s\n' "$*"
}

die() {
	printf '\n%s: %s\n' "$0" "$*" >&2
	exit 2
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif sudo -n true 2>/dev/null; then
		sudo -n -- "$@"
	else
		die "'$*' needs root: run this script as root, or with a sudo that asks for no password."
	fi
}

# Of a package that is installed for two architectures, dpkg-query tells both.
installed() {
	dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "$1" 2>/dev/null |
		grep -Eqx "(all|${1##*:}|$(dpkg --print-architecture)) installed"
}

# Waits a while for another apt, such as the one that a new machine starts by itself.
quiet_apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@"
}

# install PACKAGE... - those that are missing
install() {
	local package missing=()

	for package in "$@"; do
		installed "$package" || missing+=("$package")
	done
	if [ ${#missing[@]} = 0 ]; then
		say "All packages needed are installed"
		return
	fi
	say "Installing ${missing[*]}"
	quiet_apt update ||
		die "apt-get update failed: see its message above; is there a network, and a mirror in /etc/apt?"
	quiet_apt install -y --no-install-recommends "${missing[@]}" ||
		die "apt-get could not install ${missing[*]}: see its message above."
}

install_packages() {
	command -v dpkg-query >/dev/null || die "this is no Debian: install what these packages hold, then build as" \
		"CONTRIBUTING.md says: ${packages[*]}."
	install "${packages[@]}"
}

install_cross_packages() {
	[ "$(dpkg --print-architecture)" = arm64 ] || dpkg --print-foreign-architectures | grep -qx arm64 ||
		as_root dpkg --add-architecture arm64
	install "${cross_packages[@]}"
}

# logged WHAT LOG COMMAND... - runs the command quietly; where it fails, shows the end of its log and says where all of it is
logged() {
	local what=$1 log=$2

	shift 2
	if ! "$@" >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		printf '%s: %s failed; all of the output is in %s.\n' "$0" "$what" "$log" >&2
		return 1
	fi
}

build_directory() {
	if ! { mkdir -p build && [ -w build ]; }; then
		die "cannot write to $PWD/build: run this as the user who owns it, or remove it."
	fi
}

# build NAME TARGET... - builds build/NAME, configured as scripts/native/NAME.ini or scripts/cross/NAME.ini says. No target means all.
# A directory that another version of that file configured, or that was copied here from elsewhere, is made anew.
build() {
	local dir=build/$1 kind=native ini stamp

	[ -e "scripts/native/$1.ini" ] || kind=cross
	ini=scripts/$kind/$1.ini
	shift
	stamp=$(echo "$PWD"; cat "$ini")
	build_directory
	if [ "$(cat "$dir/configured-by" 2>/dev/null)" != "$stamp" ]; then
		rm -rf "$dir"
		logged "configuring $dir" "$dir-setup.log" meson setup "--$kind-file" "$ini" "$dir" || return
		echo "$stamp" >"$dir/configured-by"
	fi
	logged "building $dir" "$dir-build.log" ninja -C "$dir" "$@"
}
