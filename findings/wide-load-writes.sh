#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: libatomic1 12.2.0-14+deb12u1 under gcc-12 12.2.0-14+deb12u1; clang-14 1:14.0.6-12 with -mcx16 (Debian 12, x86-64)
#
# atomic_load() of a pointer with its tag, sixteen bytes, may be a write, and the same binary writes on one maker's processors
# and reads on another's. Without a load of that width libatomic exchanges what is there by itself, and cmpxchg16b takes the
# page for writing, whatever comes of it. Then each reader is a writer to the memory manager: a forked child that only reads
# gets copies of all pages, and memory that nobody ever wrote is allocated, where a load of eight bytes finds the page of
# zeros; relaxed order changes nothing. libatomic of gcc 12 has a plain load where the processor is Intel's and has AVX, not
# on AMD's with AVX (that of gcc 14.2 has it there, too). clang with -mcx16 has the exchange in line, so it writes on all.
#
# The processors are qemu-user's (qemu-user-static 1:7.2+dfsg-7+deb12u18+b3), so what the machine has does not matter; the last
# line is without it. Expected output: as at the end, by how many MiB of private dirty memory the child grows.
# Exit status: 0 as expected; 1 the behaviour is another; 2 could not run.
set -euo pipefail

need() {
	[ "$(dpkg-query -W -f='${Version}' "$1" 2>/dev/null)" = "$2" ] ||
		apt-get install -y --no-install-recommends "$1=$2" >/dev/null 2>&1 ||
		{ echo "$0: needs the package $1 $2"; exit 2; }
}

need gcc-12 12.2.0-14+deb12u1
need libatomic1 12.2.0-14+deb12u1
need clang-14 1:14.0.6-12
[ "$(uname -m)" = x86_64 ] || { echo "$0: not run: this is of x86-64"; exit 2; }
grep -qw cx16 /proc/cpuinfo || { echo "$0: not run: the processor has no cmpxchg16b"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 >log 2>&1 || { cat log; exit 2; }
dpkg-deb -x qemu-user-static_*.deb .
cat >loads.c <<'PROGRAM'
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((size_t)16 << 20)
#define PAGE 4096

struct tagged {
	void *pointer;
	uintptr_t tag;
};

static uintptr_t sum;

static char *memory(void)
{
	char *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		exit(2);
	madvise(at, BYTES, MADV_NOHUGEPAGE);
	return at;
}

static long private_dirty(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "Private_Dirty: %ld", &kib);
	if (kib < 0)
		exit(2);
	fclose(file);
	return kib;
}

/* MiB by which it grew, but for what the emulator takes meanwhile */
static long grown(long before)
{
	return (private_dirty() - before + 512) / 1024;
}

static void look(const char *which, char *at)
{
	long before = private_dirty();

	for (size_t i = 0; i < BYTES; i += PAGE)
		sum += atomic_load_explicit((_Atomic uintptr_t *)(void *)(at + i), memory_order_relaxed);
	printf("%s: loads of 8 bytes %ld, ", which, grown(before));
	before = private_dirty();
	for (size_t i = 0; i < BYTES; i += PAGE) {
		struct tagged word;

		word = atomic_load_explicit((_Atomic struct tagged *)(void *)(at + i), memory_order_relaxed);
		sum += word.tag;
	}
	printf("of 16 bytes %ld", grown(before));
}

int main(void)
{
	char *written = memory(), *untouched = memory();
	pid_t child;
	int status;

	memset(written, 1, BYTES);
	child = fork();
	if (child == 0) {
		look("forked", written);
		printf("; ");
		look("untouched", untouched);
		printf("\n");
		return sum == 0;
	}
	return child < 0 || waitpid(child, &status, 0) != child || status != 0 ? 2 : 0;
}
PROGRAM

gcc-12 -O2 -w loads.c -o gcc -latomic || exit 2
clang-14 -O2 -w -mcx16 loads.c -o clang || exit 2

# says TEXT COMMAND...
says() {
	printf '%s: ' "$1"
	timeout 120 "${@:2}" 2>log || { echo "$0: $2 did not run: $(tail -n 1 log)" >&2; exit 2; }
}

for compiler in gcc clang; do
	for processor in Haswell EPYC Nehalem; do
		says "$compiler, $processor" usr/bin/qemu-x86_64-static -cpu "$processor" "./$compiler"
	done
done >output
says "clang, this machine" ./clang >>output
cat output
diff - output <<'EXPECTED'
gcc, Haswell: forked: loads of 8 bytes 0, of 16 bytes 0; untouched: loads of 8 bytes 0, of 16 bytes 0
gcc, EPYC: forked: loads of 8 bytes 0, of 16 bytes 16; untouched: loads of 8 bytes 0, of 16 bytes 16
gcc, Nehalem: forked: loads of 8 bytes 0, of 16 bytes 16; untouched: loads of 8 bytes 0, of 16 bytes 16
clang, Haswell: forked: loads of 8 bytes 0, of 16 bytes 16; untouched: loads of 8 bytes 0, of 16 bytes 16
clang, EPYC: forked: loads of 8 bytes 0, of 16 bytes 16; untouched: loads of 8 bytes 0, of 16 bytes 16
clang, Nehalem: forked: loads of 8 bytes 0, of 16 bytes 16; untouched: loads of 8 bytes 0, of 16 bytes 16
clang, this machine: forked: loads of 8 bytes 0, of 16 bytes 16; untouched: loads of 8 bytes 0, of 16 bytes 16
EXPECTED
