#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: gcc-12 12.2.0-14+deb12u1 (Debian 12)
#
# gcc -fsanitize=thread has -Wtsan, on by default, to warn of fences, which ThreadSanitizer does not understand; of C11's own
# atomic_thread_fence() it does not warn. That is a macro of <stdatomic.h>, a system header, and warnings in what those expand
# to are left out. The builtin that it stands for is warned of. So the C11 program compiles in silence with all warnings
# on, and is reported as a race, though it has none: release fence and relaxed store, relaxed load and acquire fence.
#
# Expected output: "C11 fences: 0 warnings; builtin fences: 2 warnings; a correct program is reported in N of 10 runs", N at
# least 8.
# Exit status: 0 as expected; 1 the behaviour is another; 2 could not run.
set -euo pipefail

need() {
	[ "$(dpkg-query -W -f='${Version}' "$1" 2>/dev/null)" = "$2" ] ||
		apt-get install -y --no-install-recommends "$1=$2" >/dev/null 2>&1 ||
		{ echo "$0: needs the package $1 $2"; exit 2; }
}

need gcc-12 12.2.0-14+deb12u1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >c11.c <<'PROGRAM'
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int flag;
static int data;
static int seen;

static void *writer(void *unused)
{
	data = 1;
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&flag, 1, memory_order_relaxed);
	return unused;
}

static void *reader(void *unused)
{
	while (atomic_load_explicit(&flag, memory_order_relaxed) != 1) {
	}
	atomic_thread_fence(memory_order_acquire);
	seen = data;
	return unused;
}

int main(void)
{
	void *(*const bodies[])(void *) = { reader, writer };
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, bodies[i], NULL) != 0)
			return 2;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	printf("read %d\n", seen);
	return 0;
}
PROGRAM
sed 's/\tatomic_thread_fence/\t__atomic_thread_fence/' c11.c >builtin.c

# warnings FILE - how many it gets; the program is left in a.out
warnings() {
	gcc-12 -O1 -Wall -Wextra -Wtsan -pthread -fsanitize=thread "$1" 2>log || exit 2
	grep -c 'Wtsan' log || true
}

builtin=$(warnings builtin.c)
c11=$(warnings c11.c)
as_is=()
setarch -R true 2>/dev/null && as_is=(setarch -R) # more random bits than ThreadSanitizer can do with end it at once
reported=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
	"${as_is[@]}" ./a.out >log 2>&1 || true
	if grep -q 'WARNING: ThreadSanitizer: data race' log; then
		reported=$((reported + 1))
	elif ! grep -q '^read 1' log; then
		echo "$0: the program did not run: $(head -n 1 log)" >&2
		exit 2
	fi
done
echo "C11 fences: $c11 warnings; builtin fences: $builtin warnings; a correct program is reported in $reported of 10 runs"
[ "$c11" = 0 ] && [ "$builtin" = 2 ] && [ "$reported" -ge 8 ]
