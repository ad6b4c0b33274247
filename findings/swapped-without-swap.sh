#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: Linux 6.1.176-1 of Debian 12, 6.12.117-1 of Debian 13, 7.3.4-1~bpo13+1
#
# A page of shared memory that nobody has ever touched is "swapped" (bit 62 of /proc/PID/pagemap) once its range is
# write-protected through userfaultfd, on a machine that has no swap at all: the kernel notes the protection in an entry that
# looks like one of swap, and pagemap tells. smaps, which is asked about the same page, has Swap 0. On 6.1 the entry, protected
# and "swapped", outlives the userfaultfd: nothing is registered any more, and it stays. Expected: swapped 0, then 1, then 1
# after close() on 6.1, 0 on the others; Swap 0 kB and no swap area all along.
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
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* The line of smaps with this name, of the mapping at @at. */
static void smaps(const char *at, const char *name)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	char line[512];
	int here = 0;

	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from == (uintptr_t)at;
		if (here && !strncmp(line, name, strlen(name)))
			printf("smaps %s", line);
	}
}

static void say(const char *when, const char *at)
{
	uint64_t entry = pagemap(at);

	printf("%s: present %d, swapped %d, protected %d\n", when, bit(entry, 63), bit(entry, 62), bit(entry, 57));
}

static void look(void)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), line[128];
	int fd = (int)syscall(SYS_userfaultfd, 0), areas = -1;
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	struct uffdio_register range = { .range = { (uintptr_t)page, 4096 }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { .range = range.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	FILE *swaps = fopen("/proc/swaps", "r");

	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range))
		perror("userfaultfd");
	say("registered", page);
	if (ioctl(fd, UFFDIO_WRITEPROTECT, &protect))
		perror("UFFDIO_WRITEPROTECT");
	say("write-protected", page);
	smaps(page, "Swap:");
	close(fd);
	say("closed", page);
	while (fgets(line, sizeof(line), swaps))
		areas++;
	printf("swap areas: %d\n", areas);
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
head='registered: present 0, swapped 0, protected 0
write-protected: present 0, swapped 1, protected 1
smaps Swap:                  0 kB'
expect bookworm linux-image-6.1.0-50-cloud-amd64=6.1.176-1 "$head
closed: present 0, swapped 1, protected 1
swap areas: 0"
expect trixie linux-image-6.12.117+deb13-cloud-amd64=6.12.117-1 "$head
closed: present 0, swapped 0, protected 0
swap areas: 0"
expect trixie-backports linux-binary-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1 "$head
closed: present 0, swapped 0, protected 0
swap areas: 0"
exit $changed
