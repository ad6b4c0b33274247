#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: Linux 6.12.117-1 of Debian 13 (linux-image-6.12.117+deb13-cloud-amd64); not so in 6.1.176-1 and 7.3.4-1~bpo13+1
#
# /proc/kpageflags marks every anonymous page as merged by KSM (bit 21, KPF_KSM), on a machine where KSM has never run and no
# memory was ever marked as mergeable. Who counts merged pages by that bit counts all anonymous memory. Expected: the bit is 1 on
# 6.12 for a private page that was written a moment ago, with run, pages_shared and pages_sharing of KSM all 0; on 6.1 and 7.3
# it is 0.
#
# The kernels are Debian's, fetched with an apt root in a temporary folder from the mirror that this machine's apt uses, and run
# under qemu-system-x86_64 (TCG) with the program below as their first process. Exit status: 0 if it is still so, 1 if the
# behaviour changed, 2 if it could not be seen.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

lack() {
	echo "$0: $*" >&2
	exit 2
}

# apt-get or apt-cache with the one suite in $work/sources.list
apt_here() {
	"$1" -q -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User=root -o Acquire::Languages=none \
		-o Dir::State="$work" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
		-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- "${@:2}"
}

# kernel SUITE PACKAGE=VERSION - leaves its vmlinuz in $work/vmlinuz
kernel() {
	local mirror

	# shellcheck disable=SC2016 # apt's own variables
	mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Origin: Debian' 'Created-By: Packages' |
		sed -n 's/^Debian //p' | sort -u | head -n 1)
	[ -n "$mirror" ] || lack "apt knows no mirror of Debian's: run apt-get update"
	echo "deb $mirror $1 main" >"$work/sources.list"
	apt_here apt-get update >"$work/log" 2>&1 || lack "no lists of $1: $(tail -n 1 "$work/log")"
	rm -f "$work"/*.deb
	(cd "$work" && apt_here apt-get download "$2") >"$work/log" 2>&1 || lack "no $2: $(tail -n 1 "$work/log")"
	dpkg-deb --fsys-tarfile "$work"/*.deb | tar -xO --wildcards '*/vmlinuz*' >"$work/vmlinuz"
}

# seen SUITE PACKAGE=VERSION - what the program prints there. An emulated kernel that breaks on its way is started again.
seen() {
	local attempt

	kernel "$@"
	for attempt in 1 2 3 4 5; do
		timeout 300 qemu-system-x86_64 -M pc -cpu max -accel tcg -m 1024 -display none -nodefaults -no-reboot -serial stdio \
			-kernel "$work/vmlinuz" -initrd "$work/initramfs" -append "console=ttyS0 quiet oops=panic panic=-1" \
			</dev/null 2>&1 | tr -d '\r' >"$work/console" || true
		if grep -q '^end$' "$work/console"; then
			sed -n '/^begin$/,/^end$/p' "$work/console" | grep -vxE 'begin|end'
			return
		fi
		echo "$2 did not come to the end, attempt $attempt" >&2
	done
	lack "$2 does not run under this emulator"
}

# expect SUITE PACKAGE=VERSION TEXT
expect() {
	local got

	got=$(seen "$1" "$2")
	printf '%s:\n%s\n' "$2" "$got"
	if [ "$got" != "$3" ]; then
		printf 'expected was:\n%s\n' "$3"
		changed=1
	fi
}

needed=(cpio gcc libc6-dev qemu-system-x86)
dpkg-query -W "${needed[@]}" >/dev/null 2>&1 || apt-get -qq install -y --no-install-recommends "${needed[@]}" >/dev/null ||
	lack "install ${needed[*]}"
cat >"$work/init.c" <<'END'
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t number(const char *path, uint64_t index)
{
	uint64_t value = 0;
	int fd = open(path, O_RDONLY);

	if (pread(fd, &value, sizeof(value), (off_t)(index * sizeof(value))) != sizeof(value))
		perror(path);
	close(fd);
	return value;
}

static uint64_t pagemap(const char *at)
{
	return number("/proc/self/pagemap", (uintptr_t)at / 4096);
}

static int bit(uint64_t value, int which)
{
	return (int)(value >> which & 1);
}

static int setting(const char *path)
{
	int value = -1;
	FILE *file = fopen(path, "r");

	if (!file || fscanf(file, "%d", &value) != 1)
		perror(path);
	return value;
}

static void look(void)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*page = 1;
	printf("KSM: run %d, pages_shared %d, pages_sharing %d\n", setting("/sys/kernel/mm/ksm/run"),
	       setting("/sys/kernel/mm/ksm/pages_shared"), setting("/sys/kernel/mm/ksm/pages_sharing"));
	printf("flag of a new anonymous page: %d\n",
	       bit(number("/proc/kpageflags", pagemap(page) & ((UINT64_C(1) << 55) - 1)), 21));
}

int main(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	puts("begin");
	look();
	puts("end");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
END
gcc -O1 -static -o "$work/init" "$work/init.c"
(cd "$work" && echo init | cpio -o -H newc --quiet >initramfs)
changed=0
idle='KSM: run 0, pages_shared 0, pages_sharing 0'
expect trixie linux-image-6.12.117+deb13-cloud-amd64=6.12.117-1 "$idle
flag of a new anonymous page: 1"
expect bookworm linux-image-6.1.0-50-cloud-amd64=6.1.176-1 "$idle
flag of a new anonymous page: 0"
expect trixie-backports linux-binary-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1 "$idle
flag of a new anonymous page: 0"
exit $changed
