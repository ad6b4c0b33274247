#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# tools-live.sh - `rmap snapshot` and `rmap who` on the running system. Needs root with CAP_SYS_ADMIN, otherwise it is not run.
#
#      tools-live.sh RMAP TOOL_JSON TOOL_WHO
set -u
rmap=$1 tool_json=$2 tool_who=$3
capabilities=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
lacking=kernel
[ "$(id -u)" = 0 ] || lacking=root
if ! head -c 8 /proc/kpagecount >/dev/null 2>&1; then
	exec "$(dirname "$0")/../scripts/not-run" $lacking "/proc/kpagecount cannot be read"
fi
if [ $((0x$capabilities >> 21 & 1)) -eq 0 ]; then
	exec "$(dirname "$0")/../scripts/not-run" $lacking "frame numbers are hidden from users without CAP_SYS_ADMIN"
fi

work=$(mktemp -d) || exit 1
background=
trap '[ -z "$background" ] || kill $background; rm -rf "$work"' EXIT
failures=0

fail() {
	echo "tools-live.sh: $*" >&2
	failures=$((failures + 1))
}

# snapshot OPTION...: exit status 0, nothing said on what is no terminal, and a report that fits itself.
snapshot() {
	"$rmap" snapshot --json --save "$work/recording" "$@" >"$work/json" 2>"$work/err" || {
		fail "rmap snapshot $*: exit status $?: $(cat "$work/err")"
		"$rmap" snapshot --load "$work/recording" | tail -n 20 >&2
	}
	[ ! -s "$work/err" ] || fail "rmap snapshot $* says, though all is well: $(cat "$work/err")"
	"$tool_json" <"$work/json" >"$work/figures" || fail "rmap snapshot $*: the report is wrong"
}

# The whole system, with any number of threads; recorded and loaded it gives the same figures.
for threads in 1 2 8; do
	snapshot --threads $threads
	"$rmap" snapshot --load "$work/recording" --json >"$work/json.loaded" || fail "what was recorded does not load"
	"$tool_json" <"$work/json.loaded" | diff "$work/figures" - >&2 || fail "what was recorded gives other figures"
	grep -q '"partial": false' "$work/json" || fail "the whole system is said to be a part"
done

# One process; a part knows that it is one.
snapshot --pid $$
grep -q '"processes": 1,' "$work/json" || fail "--pid $$ reads not one process"
grep -q '"partial": true' "$work/json" || fail "one process is said to be the whole system"
"$rmap" snapshot --pid $$ | grep -q "no more mappings than the kernel counts" || fail "--pid does not say what it verifies"

# While processes and memory come and go as fast as they can, what has changed is told from what is wrong, and most of it is
# found to agree when it is read again.
(while :; do /bin/true; done) &
background=$!
(while :; do text=$(head -c 4000000 /dev/zero | tr '\0' x); done) &
background="$background $!"
changed=0 moving=0
for round in 1 2 3; do
	snapshot
	changed=$((changed + $(sed -n 's/.*"changed": \([0-9]*\).*/\1/p' "$work/json")))
	moving=$((moving + $(sed -n 's/.*"moving": \([0-9]*\).*/\1/p' "$work/json")))
done
kill $background
wait $background 2>/dev/null
background=
[ $changed -lt 50 ] || [ $moving -lt $changed ] || fail "none of $changed changed pages agreed when read again"

# In a PID namespace of its own, where other processes are not seen.
if unshare --pid --fork --mount-proc true 2>/dev/null; then
	unshare --pid --fork --mount-proc "$rmap" snapshot >"$work/out" || fail "in a PID namespace: exit status $?"
	grep -q "outside this container" "$work/out" || fail "in a PID namespace, it is not said that others are not seen"
else
	echo "left out: a PID namespace, as none can be made"
fi

# Lack of privilege, and processes that are none.
chmod 755 "$work"
nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}
if nobody "$rmap" --version >/dev/null 2>&1; then
	nobody "$rmap" snapshot >"$work/out" 2>"$work/err"
	[ $? -eq 2 ] || fail "without privileges the exit status is not 2"
	grep -q sudo "$work/err" || fail "without privileges it says not what to do but: $(cat "$work/err")"
	nobody "$rmap" snapshot --load "$work/recording" >"$work/out" 2>&1 || fail "without privileges a recording does not load"
else
	echo "left out: what happens without privileges, as other users may not run $rmap"
fi
if setpriv --bounding-set=-sys_admin true 2>/dev/null; then
	setpriv --bounding-set=-sys_admin "$rmap" who --pid $$ --addr 0x1000 >"$work/out" 2>"$work/err"
	[ $? -eq 2 ] || fail "without CAP_SYS_ADMIN the exit status is not 2"
	grep -q CAP_SYS_ADMIN "$work/err" || fail "without CAP_SYS_ADMIN it says not what to do but: $(cat "$work/err")"
fi
for pid in 2 $(($(cat /proc/sys/kernel/pid_max) + 1)); do
	for command in "snapshot --pid $pid" "who --pid $pid --addr 0x1000"; do
		"$rmap" $command >"$work/out" 2>"$work/err"
		[ $? -eq 2 ] || fail "rmap $command: the exit status is not 2"
		grep -q "no process $pid" "$work/err" || fail "rmap $command says: $(cat "$work/err")"
	done
done

# Programs that share pages in known ways.
"$tool_who" "$rmap" || fail "rmap who is wrong"

[ $failures -eq 0 ] && echo "tools-live.sh: passed"
[ $failures -eq 0 ]
