#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# qemu-user-exclusives.sh - under qemu-user, a store-exclusive succeeds though another thread has written the word in between
#
# Version: qemu-user-static 1:7.2+dfsg-7+deb12u18+b3, gcc-12-aarch64-linux-gnu 12.2.0-14cross1
#
# A load-exclusive and a store-exclusive are more than a compare-and-swap: a write by another processor in between makes the
# store fail, also one that leaves the value as it was. So A -> B -> A cannot deceive them, and some algorithms for Arm rely on
# that. qemu-user on x86-64 makes a compare-and-swap of the pair, which compares values only: code with an ABA fault and code
# that is safe by the exclusive monitor behave alike there, and a passing or a failing stress test says nothing of hardware.
#
# Seen: a thread loads exclusively, waits until another has stored 2 and then 1 again, and stores exclusively: the architecture
# never lets that succeed, and it succeeds 20 times of 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$work" && apt-get -q download qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 binutils-aarch64-linux-gnu=2.40-2 \
	{gcc-12-aarch64-linux-gnu,cpp-12-aarch64-linux-gnu,libgcc-12-dev-arm64-cross}=12.2.0-14cross1 \
	{libc6-dev-arm64-cross,libc6-arm64-cross}=2.36-8cross1 linux-libc-dev-arm64-cross=6.1.4-1cross1 \
	libisl23=0.25-1.1 libmpc3=1.3.1-1 libmpfr6=4.2.0-1 libgmp10=2:6.2.1+dfsg1-1.1 libjansson4=2.14-2 \
	>log 2>&1) || { cat "$work/log"; exit 2; }
for package in "$work"/*.deb; do
	dpkg-deb -x "$package" "$work"
done

cat >"$work/guest.c" <<'C'
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

static _Atomic uint64_t word;
static atomic_uint turn;

static void *write_twice(void *arg)
{
	while (atomic_load(&turn) != 1)
		;
	atomic_store(&word, 2);
	atomic_store(&word, 1);
	atomic_store(&turn, 2);
	return arg;
}

/* 0: the store has succeeded. */
static unsigned exclusive(void)
{
	uint64_t seen;
	unsigned failed, now;

	__asm__ volatile("ldaxr %0, [%3]\n\t"
			 "stlr %w4, [%5]\n"
			 "1:\tldar %w2, [%5]\n\t"
			 "cmp %w2, #2\n\t"
			 "b.ne 1b\n\t"
			 "stlxr %w1, %6, [%3]"
			 : "=&r"(seen), "=&r"(failed), "=&r"(now)
			 : "r"(&word), "r"(1), "r"(&turn), "r"((uint64_t)3)
			 : "memory", "cc");
	return failed;
}

int main(void)
{
	unsigned succeeded = 0;
	pthread_t thread;

	for (int i = 0; i < 20; i++) {
		atomic_store(&word, 1);
		atomic_store(&turn, 0);
		if (pthread_create(&thread, NULL, write_twice, NULL))
			return 1;
		succeeded += !exclusive();
		pthread_join(thread, NULL);
	}
	printf("%u of 20 store-exclusives succeeded behind another thread's two stores\n", succeeded);
	return 0;
}
C

export LD_LIBRARY_PATH=$work/usr/lib/x86_64-linux-gnu
"$work/usr/bin/aarch64-linux-gnu-gcc-12" -B"$work/usr/aarch64-linux-gnu/bin/" -B"$work/usr/aarch64-linux-gnu/lib/" \
	-isystem "$work/usr/aarch64-linux-gnu/include" -L"$work/usr/aarch64-linux-gnu/lib" \
	-O1 -static -pthread "$work/guest.c" -o "$work/guest"
unset LD_LIBRARY_PATH
said=$("$work/usr/bin/qemu-aarch64-static" "$work/guest")
echo "$said"
[ "${said%% *}" = 20 ]
