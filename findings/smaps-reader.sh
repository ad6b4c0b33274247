#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: Linux 5.10.218-1 of Debian 11, 6.1.176-1 of Debian 12, 6.12.117-1 of Debian 13, 7.3.4-1~bpo13+1
#
# A process that was killed and waited for still maps its memory, if somebody is reading its /proc/PID/smaps: the reader has
# the address space until its read() returns, and nobody but the reader gives it back. So what a tool for memory looks at
# outlives waitpid(). Here a child maps 64 MiB of a memfd, is killed and waited for; then its parent, who maps nothing of it,
# wants the memfd sealed against writing. While another process reads the child's smaps again and again, mostly that fails
# with EBUSY: the memfd is mapped for writing, by no process that there is. Without a reader it never does, nor when the reader
# has ended, too.
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
		timeout 300 qemu-system-x86_64 -M pc -cpu max -accel tcg -smp 2 -m 1024 -display none -nodefaults -no-reboot -serial stdio \
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
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((size_t)64 << 20)
#define TIMES 20

/* A child that maps all of the file, and lives until it is killed. */
static pid_t start_mapper(int file)
{
	int ready[2];
	pid_t child;
	char byte;

	if (pipe(ready) != 0)
		perror("pipe");
	child = fork();
	if (child == 0) {
		memset(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), 1, BYTES);
		if (write(ready[1], "", 1) != 1)
			perror("write");
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		perror("read");
	close(ready[0]);
	close(ready[1]);
	return child;
}

/* A child that reads the smaps of @of until there are none, and says once that it has read them. */
static pid_t start_reader(pid_t of)
{
	char path[32], text[4096];
	int ready[2], in;
	pid_t child;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)of);
	if (pipe(ready) != 0)
		perror("pipe");
	child = fork();
	if (child == 0) {
		while ((in = open(path, O_RDONLY)) >= 0) {
			while (read(in, text, sizeof(text)) > 0) {
			}
			close(in);
			if (write(ready[1], "", 1) != 1)
				perror("write");
		}
		_exit(0);
	}
	if (read(ready[0], text, 1) != 1)
		perror("read");
	close(ready[0]);
	close(ready[1]);
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Is the file still mapped for writing when its only mapper has ended, and when the reader has? */
static void look(int reads)
{
	int busy = 0, later = 0;

	for (int i = 0; i < TIMES; i++) {
		int file = memfd_create("file", MFD_ALLOW_SEALING);
		pid_t mapper, reader = 0;

		if (ftruncate(file, BYTES) != 0)
			perror("ftruncate");
		mapper = start_mapper(file);
		if (reads)
			reader = start_reader(mapper);
		end(mapper);
		busy += fcntl(file, F_ADD_SEALS, F_SEAL_WRITE) != 0 && errno == EBUSY;
		if (reads)
			end(reader);
		later += fcntl(file, F_ADD_SEALS, F_SEAL_WRITE) != 0;
		close(file);
	}
	printf("%s: %s, in the end %s\n", reads ? "a reader" : "no reader", busy ? "busy" : "sealed", later ? "busy" : "sealed");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	mkdir("/proc", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	puts("begin");
	look(0);
	look(1);
	puts("end");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
END
gcc -O1 -static -o "$work/init" "$work/init.c"
(cd "$work" && echo init | cpio -o -H newc --quiet >initramfs)
changed=0
held='no reader: sealed, in the end sealed
a reader: busy, in the end sealed'
expect bullseye linux-image-5.10.0-30-cloud-amd64=5.10.218-1 "$held"
expect bookworm linux-image-6.1.0-50-cloud-amd64=6.1.176-1 "$held"
expect trixie linux-image-6.12.117+deb13-cloud-amd64=6.12.117-1 "$held"
expect trixie-backports linux-binary-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1 "$held"
exit $changed
