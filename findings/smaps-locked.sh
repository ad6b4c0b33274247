#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: Linux 5.10.218-1 of Debian 11, 6.1.176-1 of Debian 12, 6.12.117-1 of Debian 13, 7.3.4-1~bpo13+1
#
# "Locked" in /proc/PID/smaps, which sounds like how much of a mapping is locked, is its Pss if it was locked and 0 if not:
# divided by who else maps the pages. A process locks 256 KiB and forks: its Locked is 128 kB, with three children 64 kB, and
# not a page is less locked. In a child, which inherits no locks, it is 0, though not one of the pages that it maps can be
# reclaimed: kpageflags has them all as unevictable. VmLck in status goes the other way. It adds the lengths of mappings, so a
# file that is mapped and locked twice counts twice there, and once in Locked; of a file that is locked in one of two mappings
# Locked has the half. What is kept in memory neither of them tells, only the pages do.
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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* The number behind name, of all mappings if path is smaps */
static long kib(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	char line[512];
	long sum = 0;

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			sum += atol(line + strlen(name));
	if (file)
		fclose(file);
	return sum;
}

/* Pages that are on their way to the list of the unevictable ones arrive there. */
static void settle(void)
{
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);

	if (write(fd, "1", 1) != 1)
		perror("compact_memory");
	close(fd);
}

#define BYTES ((size_t)256 << 10)

static void say(const char *when, const char *at)
{
	int unevictable = 0;

	settle();
	for (size_t i = 0; i < BYTES; i += 4096)
		unevictable += bit(number("/proc/kpageflags", pagemap(at + i) & ((UINT64_C(1) << 55) - 1)), 18);
	printf("%s: Locked %ld, VmLck %ld, unevictable %d\n", when, kib("/proc/self/smaps", "Locked:"),
	       kib("/proc/self/status", "VmLck:"), unevictable * 4);
	fflush(stdout);
}

/* A child that lives until something is written to the pipe or nobody can any more; it says where it is, if told to. */
static pid_t start(int *ends, const char *when, const char *at)
{
	pid_t child = fork();
	char byte;

	if (child != 0)
		return child;
	close(ends[1]);
	if (when)
		say(when, at);
	_exit(read(ends[0], &byte, 1) != 0);
}

static char *map(int flags, int fd)
{
	char *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

	madvise(at, BYTES, MADV_NOHUGEPAGE);
	memset(at, 1, BYTES);
	return at;
}

static void look(void)
{
	char *memory = map(MAP_PRIVATE | MAP_ANONYMOUS, -1), *again;
	int ends[2], fd = memfd_create("file", 0);

	if (pipe(ends) != 0 || ftruncate(fd, BYTES) != 0 || mlock(memory, BYTES) != 0)
		perror("look");
	say("alone", memory);
	start(ends, NULL, NULL);
	say("one child", memory);
	start(ends, NULL, NULL);
	start(ends, NULL, NULL);
	say("three children", memory);
	close(ends[1]);
	while (wait(NULL) > 0) {
	}
	if (pipe(ends) != 0)
		perror("pipe");
	start(ends, "a child", memory);
	close(ends[1]);
	wait(NULL);
	say("alone again", memory);
	munlock(memory, BYTES);
	memory = map(MAP_SHARED, fd);
	again = map(MAP_SHARED, fd);
	mlock(memory, BYTES);
	say("file, one of two mappings", memory);
	mlock(again, BYTES);
	say("file, both mappings", memory);
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
locked='alone: Locked 256, VmLck 256, unevictable 256
one child: Locked 128, VmLck 256, unevictable 256
three children: Locked 64, VmLck 256, unevictable 256
a child: Locked 0, VmLck 0, unevictable 256
alone again: Locked 256, VmLck 256, unevictable 256
file, one of two mappings: Locked 128, VmLck 256, unevictable 256
file, both mappings: Locked 256, VmLck 512, unevictable 256'
expect bullseye linux-image-5.10.0-30-cloud-amd64=5.10.218-1 "$locked"
expect bookworm linux-image-6.1.0-50-cloud-amd64=6.1.176-1 "$locked"
expect trixie linux-image-6.12.117+deb13-cloud-amd64=6.12.117-1 "$locked"
expect trixie-backports linux-binary-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1 "$locked"
exit $changed
