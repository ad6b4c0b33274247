#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
# init.sh - the first process on the kernels of scripts/kernels: lays out memory (sharing.c) and asks rmap about it
#
# The console is all that comes out. Each check ends with a line "check NAME: " and "passed", "failed" or "not run"; the lines
# before it say why.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
ln -s /proc/self/fd /dev/fd # without it fexecve() fails on 5.10
mkdir -p /tmp
cd /tmp || exit

failed=0

fail() {
	echo "$*"
	failed=1
}

# check NAME COMMAND...
check() {
	local name=$1

	shift
	failed=0
	"$@"
	if [ $failed = 0 ]; then
		echo "check $name: passed"
	else
		echo "check $name: failed"
	fi
}

# expect STATUS COMMAND... - with its output in the files out and err
expect() {
	local status=$1 got=0

	shift
	"$@" >out 2>err || got=$?
	[ $got = "$status" ] || fail "$*: exit status $got, not $status: $(head -c 300 err)"
}

# What the kernel keeps from a small machine, or from everyone until somebody asks.
prepare() {
	local enabled=/sys/kernel/mm/transparent_hugepage

	echo madvise >$enabled/enabled
	echo advise >$enabled/shmem_enabled
	[ ! -e $enabled/hugepages-64kB ] || echo madvise >$enabled/hugepages-64kB/enabled
	echo 2 >/proc/sys/vm/nr_hugepages
	if [ -e /dev/nvme0n1 ]; then
		mkswap /dev/nvme0n1 >/dev/null
		swapon /dev/nvme0n1
	fi
}

memory() {
	/bin/sharing >sharing || fail "sharing: exit status $?"
	grep 'left out' sharing
}

# class NAME - how many frames the report says are of this class
class() {
	sed -n '/"classes"/,/}/s/.*"'"$1"'": \([0-9]*\).*/\1/p' report | grep . || echo 0
}

# expect_class MEMORY CLASS LEAST [MOST] - if that memory was laid out
expect_class() {
	local found

	grep -q "^$1 [0-9]" sharing || return
	found=$(class "$2")
	if [ "$found" -lt "$3" ] || [ "$found" -gt "${4:-$found}" ]; then
		fail "rmap snapshot: class $2 has $found frames, expected $3 .. ${4:-}"
	fi
}

snapshot() {
	expect 0 rmap snapshot --json --save recording
	cp out report
	[ $failed = 0 ] || rmap snapshot --load recording | sed -n '/^Verified/,$p'
	tool_json <report >figures || fail "the report does not fit itself"
}

# Of each huge page as many frames as it has small pages; others may have folios, too.
classes() {
	local page_size frames

	page_size=$(sed -n 's/^page-size //p' sharing)
	frames=$((page_size / 8))
	expect_class huge-zero zero $((frames + 1)) $((frames + 1))
	expect_class hugetlb hugetlb $frames $frames
	expect_class huge thp $frames
	expect_class huge-shared thp $((2 * frames))
	if grep -q '^ksm-flag left out' sharing; then
		expect_class ksm ksm 0 0
	else
		expect_class ksm ksm 1 1
	fi
}

load() {
	expect 0 rmap snapshot --json --load recording
	tool_json <out | diff figures - || fail "a recording gives other figures than the system"
}

one_process() {
	local name pid at count

	while read -r name pid at count; do
		[ "$name" != file ] || expect 0 rmap snapshot --json --pid "$pid"
	done <sharing
	grep -q '"partial": true' out || fail "one process is said to be the whole system"
}

# who OPTION... - about each page of which sharing told
who() {
	local name pid at count got

	grep -q '^file ' sharing || fail "there is no page to ask about"
	grep ' 0x' sharing | while read -r name pid at count; do
		failed=0
		case $count in
		none)
			expect 2 rmap who --json --pid "$pid" --addr "$at" "$@"
			;;
		zero)
			expect 0 rmap who --json --pid "$pid" --addr "$at" "$@"
			;;
		*)
			expect 0 rmap who --json --pid "$pid" --addr "$at" "$@"
			got=$(sed -n 's/.*"mapcount": \([0-9]*\).*/\1/p' out)
			[ "$got" = "$count" ] || fail "rmap who: $got ptes, not $count"
			;;
		esac
		[ $failed = 0 ] || echo "that was about: $name"
	done >answers
	cat answers
	[ ! -s answers ] || failed=1
}

# The process that shares the first one's address space is named, too: the words differ, its number does not.
partner() {
	local partner pid at count

	partner=$(sed -n 's/^partner //p' sharing)
	read -r _ pid at count <<-END
		$(grep '^file ' sharing)
	END
	for recorded in '' '--load recording'; do
		# shellcheck disable=SC2086 # two words or none
		expect 0 rmap who --json --pid "$pid" --addr "$at" $recorded
		grep -qw "${partner:-none}" out || fail "rmap who $recorded: $partner, which has the memory of $pid, is not named"
	done
}

# A process with a TiB of addresses, few of them in use: in a time that does not depend on the addresses.
reserved() {
	local pid at count

	/bin/sharing 1T >reserved || fail "sharing 1T: exit status $?"
	read -r _ pid at count <reserved
	expect 0 timeout 150 rmap snapshot --json --pid "$pid"
	if [ $failed = 0 ]; then
		[ "$(sed -n 's/^  "pages": \([0-9]*\).*/\1/p' out)" -ge 100 ] || fail "rmap snapshot --pid: pages are missing"
		expect 0 timeout 150 rmap who --json --pid "$pid" --addr "$at"
		grep -q "\"mapcount\": $count" out || fail "rmap who: not $count ptes"
	fi
	kill "$pid"
}

# differential NAME - the library's test of that name, against this kernel
differential() {
	local status=0

	"$1" >tap 2>&1 || status=$?
	[ $status = 0 ] || fail "$1: exit status $status: $(tail -n 8 tap)"
	sed -n "s/^# not run: /$1 left out: /p" tap
}

# against TOOL - a test that lays out memory of its own
against() {
	"$1" /bin/rmap >told 2>&1 || fail "$1: exit status $?: $(tail -n 8 told)"
	sed -n "s/^left out: /$1 left out: /p" told
}

# The memory of a process that has moved to another cgroup stays charged to the first, and when that is gone to its parent.
charged() {
	local root=/sys/fs/cgroup pid page whom

	mount -t cgroup2 none $root || fail "there is no cgroup2"
	echo +memory >$root/cgroup.subtree_control
	mkdir $root/gone $root/kept
	sh -c "echo \$\$ >$root/gone/cgroup.procs; exec sharing 1T" >moved || fail "sharing 1T: exit status $?"
	read -r _ pid _ <moved
	expect 0 rmap freed --json gone
	grep -q '"elsewhere": 0,' out || fail "what a cgroup's own process has touched is said to be charged elsewhere: $(grep elsewhere out)"
	echo "$pid" >$root/kept/cgroup.procs
	rmdir $root/gone || fail "the cgroup is in use"
	page=$(sed -n 's/^page-size //p' sharing)
	for whom in kept /kept "$pid"; do
		expect 0 rmap freed --json "$whom"
		[ "$(sed -n 's/.*"elsewhere": \([0-9]*\).*/\1/p' out)" -ge $((100 * page)) ] ||
			fail "what a cgroup that is gone was charged is not told: $(grep elsewhere out)"
	done
	kill "$pid"
}

prepare
check memory memory
sed -n '/^page-size/p' sharing
check snapshot snapshot
check classes classes
check pid one_process
check load load
check who who
check who-load who --load recording
check partner partner
check reserved reserved
for name in kernel kernel_folio; do
	[ ! -e /bin/$name ] || check $name differential $name
done
check charged charged
check tool_who against tool_who
check tool_shares against tool_shares
check tool_unseen against tool_unseen
exec sleep 1000000 # the emulator is ended from outside: not every kernel gets to switch an emulated machine off
