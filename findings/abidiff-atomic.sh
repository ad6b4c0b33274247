#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: abigail-tools 2.2-2, gcc-12 12.2.0-14+deb12u1, clang-14 1:14.0.6-12 (Debian 12); also abigail-tools 2.6-2 (Debian 13)
#
# abidiff, asked whether a new version of a C library has the binary interface of the old one, does not see what C11 calls
# _Atomic. A structure loses such a member on the way (abidw writes what stands before and behind it, and leaves a hole), a
# variable of such a type is none, and what only an atomic pointer leads to is not looked at. So all of these pass with status
# 0, "no change", where with plain types the status is 4: a count becomes a double, a count becomes two of half the size, an
# exported counter becomes shorter, a node behind an atomic head grows and its member moves. A lock-free library has its
# interface in just these types. It is the debug information: both compilers write DWARF 5, which has an entry for atomic
# types, and abidiff leaves out what it does not know, without a word. DWARF 4 has none: with -gdwarf-4 it sees the same change
# of the same source.
#
# Expected output: for each compiler "atomic 0, plain 4" of the four changes, and "atomic, DWARF 4: 4" of the last one.
# Exit status: 0 as expected; 1 the behaviour is another; 2 could not run.
set -euo pipefail

need() {
	[ "$(dpkg-query -W -f='${Version}' "$1" 2>/dev/null)" = "$2" ] ||
		apt-get install -y --no-install-recommends "$1=$2" >/dev/null 2>&1 ||
		{ echo "$0: needs the package $1 $2"; exit 2; }
}

need abigail-tools 2.2-2
need gcc-12 12.2.0-14+deb12u1
need clang-14 1:14.0.6-12
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >library.c <<'PROGRAM'
struct node {
#ifdef NODE
	long more[3];
#endif
	long value;
};

struct queue {
	long before;
#ifdef DOUBLE
	ATOMIC(double) count;
#elif defined HALVES
	ATOMIC(int) count;
	ATOMIC(int) extra;
#else
	ATOMIC(long) count;
#endif
	ATOMIC(struct node *) head;
	long after;
};

#ifdef SHORTER
ATOMIC(int) created;
#else
ATOMIC(long) created;
#endif

long queue_first(struct queue *queue)
{
	struct node *first = queue->head;

	return queue->count ? first->value : 0;
}
PROGRAM

# status COMPILER CHANGE OPTION... - of abidiff, between the library as it is and with the change
status() {
	local compiler=$1 change=$2 result=0

	shift 2
	"$compiler" -std=c11 -g -fPIC -shared "$@" library.c -o old.so || exit 2
	"$compiler" -std=c11 -g -fPIC -shared "$@" -D"$change" library.c -o new.so || exit 2
	abidiff old.so new.so >log 2>&1 || result=$?
	[ $((result & 3)) = 0 ] || { echo "$0: abidiff: $(tail -n 1 log)" >&2; exit 2; }
	echo "$result"
}

atomic='-DATOMIC(type)=_Atomic(type)'
plain='-DATOMIC(type)=type'
for compiler in gcc-12 clang-14; do
	for change in DOUBLE HALVES SHORTER NODE; do
		unseen=$(status "$compiler" "$change" "$atomic")
		seen=$(status "$compiler" "$change" "$plain")
		echo "$compiler $change: atomic $unseen, plain $seen"
	done
	seen=$(status "$compiler" NODE "$atomic" -gdwarf-4)
	echo "$compiler NODE: atomic, DWARF 4: $seen"
done | tee output
diff - output <<'EXPECTED'
gcc-12 DOUBLE: atomic 0, plain 4
gcc-12 HALVES: atomic 0, plain 4
gcc-12 SHORTER: atomic 0, plain 4
gcc-12 NODE: atomic 0, plain 4
gcc-12 NODE: atomic, DWARF 4: 4
clang-14 DOUBLE: atomic 0, plain 4
clang-14 HALVES: atomic 0, plain 4
clang-14 SHORTER: atomic 0, plain 4
clang-14 NODE: atomic 0, plain 4
clang-14 NODE: atomic, DWARF 4: 4
EXPECTED
