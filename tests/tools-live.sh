#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# tools-live.sh - `rmap snapshot`, `shares`, `diff`, `freed` and `who` on the running system. Needs root with CAP_SYS_ADMIN, otherwise it is not run.
#
#      tools-live.sh RMAP TOOL_JSON TOOL_WHO TOOL_REASON TOOL_SHARES TOOL_UNSEEN [TOOL_REFUSE]
set -u
rmap=$1 tool_json=$2 tool_who=$3 tool_reason=$4 tool_shares=$5 tool_unseen=$6 tool_refuse=${7-}
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

# incomplete WORDS COMMAND...: it ends with exit status 2 and says what failed; no answer is given.
incomplete() {
	local words=$1 status
	shift
	"$@" >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq 2 ] || fail "$*: exit status $status, not 2: $(cat "$work/err")"
	grep -q "$words" "$work/err" || fail "$*: does not say \"$words\" but: $(cat "$work/err")"
	[ ! -s "$work/out" ] || fail "$*: gives an answer though it is incomplete"
}

# The whole system, with any number of threads; recorded and loaded it gives the same figures.
for threads in 1 2 8; do
	snapshot --threads $threads
	"$rmap" snapshot --load "$work/recording" --json >"$work/json.loaded" || fail "what was recorded does not load"
	"$tool_json" <"$work/json.loaded" | diff "$work/figures" - >&2 || fail "what was recorded gives other figures"
	grep -q '"partial": false' "$work/json" || fail "the whole system is said to be a part"
done

# Of a sample all mappings are known.
"$rmap" snapshot --sample 8 --json >"$work/json" || fail "rmap snapshot --sample: exit status $?"
grep -q '"one_in": 8' "$work/json" || fail "rmap snapshot --sample: it is not said that it is one"
"$rmap" shares --sample 8 >"$work/out" || fail "rmap shares --sample: exit status $?"
# Two processes that share 4,096 pages since a fork: of some 512 that are kept both mappings are.
coproc python3 -c 'import mmap, os, time
memory = mmap.mmap(-1, 1 << 24, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(bytes([1]) * (1 << 24))
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(1000)'
read -r child <&"${COPROC[0]}"
background="$COPROC_PID $child"
"$rmap" snapshot --sample 8 --json --pid "$COPROC_PID" --pid "$child" | python3 -c 'import json, sys
[pairs] = [bucket["pages"] for bucket in json.load(sys.stdin)["histogram"] if bucket["min"] == 2]
sys.exit(pairs < 300)' || fail "of pages that were kept not all mappings are known"
kill $background
wait $background 2>/dev/null
background=

# This shell's own memory, for one, is its alone, and the kernel says so: that is what is compared, and told.
"$rmap" snapshot --json >"$work/json" || fail "rmap snapshot: exit status $?"
grep -q '"exclusive": [1-9]' "$work/json" || fail "no page is said to be verified by pagemap"

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
	# Not every command has --load: those that do are named.
	nobody "$rmap" freed $$ >"$work/out" 2>"$work/err"
	grep -q "snapshot, shares and who can study a recorded system, with --load" "$work/err" ||
		fail "without privileges rmap freed says not what to do but: $(cat "$work/err")"
	nobody "$rmap" snapshot --load "$work/recording" >"$work/out" 2>&1 && fail "a recording may be read by all"
	chmod 644 "$work/recording"
	nobody "$rmap" snapshot --load "$work/recording" >"$work/out" 2>&1 || fail "without privileges a recording does not load"
else
	echo "left out: what happens without privileges, as other users may not run $rmap"
fi
if setpriv --bounding-set=-sys_admin true 2>/dev/null; then
	setpriv --bounding-set=-sys_admin "$rmap" who --pid $$ --addr 0x1000 >"$work/out" 2>"$work/err"
	[ $? -eq 2 ] || fail "without CAP_SYS_ADMIN the exit status is not 2"
	grep -q CAP_SYS_ADMIN "$work/err" || fail "without CAP_SYS_ADMIN it says not what to do but: $(cat "$work/err")"
fi
# A thread has a number, too, but is no process.
coproc python3 -c 'import threading, time
other = threading.Thread(target=time.sleep, args=(1000,))
other.start()
print(other.native_id, flush=True)'
background=$COPROC_PID
read -r thread <&"${COPROC[0]}"
incomplete "thread of process $background" "$rmap" snapshot --pid "$thread"
incomplete "thread of process $background" "$rmap" who --pid "$thread" --addr 0x1000
kill $background
wait $background 2>/dev/null
background=
for pid in 2 $(($(cat /proc/sys/kernel/pid_max) + 1)); do
	for command in "snapshot --pid $pid" "who --pid $pid --addr 0x1000"; do
		"$rmap" $command >"$work/out" 2>"$work/err"
		[ $? -eq 2 ] || fail "rmap $command: the exit status is not 2"
		grep -q "no process $pid" "$work/err" || fail "rmap $command says: $(cat "$work/err")"
	done
done

# honest WHAT COMMAND...: the command lacks something. Either it says so with exit status 2, or its answer is a whole one for all
# that: it has those eight processes that are there all the time.
honest() {
	local what=$1 status
	shift
	timeout 120 "$@" >"$work/json" 2>"$work/err"
	status=$?
	if [ $status -eq 2 ]; then
		# Where nothing can be written, the reason cannot be either.
		grep -q "^rmap: ." "$work/err" || [ "${what%% *}" = write ] || fail "$what: exit status 2, but it is not said why"
	elif [ $status -ne 0 ]; then
		fail "$what: exit status $status: $(cat "$work/err")"
	else
		"$tool_json" <"$work/json" >"$work/figures" || fail "$what: the report is wrong"
		[ "$(sed -n 's/.*"processes": \([0-9]*\),.*/\1/p' "$work/json")" -ge 8 ] ||
			fail "$what: processes are missing, and it is not said"
	fi
}

# refused CALL ERROR AFTER OPTION...: after so many calls all others of this kind fail.
refused() {
	honest "$1 fails with $2 after $3 calls" "$tool_refuse" "$1" "$2" "$3" \
		"$rmap" snapshot --json --threads 2 --top 1 --save "$work/recording" "${@:4}"
}

# They are forks of one process, so that kcmp has to tell their address spaces apart.
mkfifo "$work/gate"
named=
for i in 1 2 3 4 5 6 7 8; do
	(read -r _ <"$work/gate") &
	background="$background $!"
	named="$named --pid $!"
done

# Too few descriptors: for the list of processes, for one thread, for all of 64 at once.
for limit in 4 5 6 7; do
	incomplete "Too many open files" bash -c "ulimit -n $limit; exec '$rmap' snapshot"
	incomplete "Too many open files" bash -c "ulimit -n $limit; exec '$rmap' who --pid $$ --addr 0x1000"
done
# Or too few for the cgroups below the first: then what is left in them is not guessed.
groups=/sys/fs/cgroup/memory
[ -e $groups/memory.stat ] || groups=/sys/fs/cgroup
if [ -n "$(find $groups -mindepth 1 -maxdepth 1 -type d 2>/dev/null)" ] &&
	bash -c "ulimit -n 8; exec '$rmap' shares --threads 1 --json" >"$work/out" 2>"$work/err"; then
	grep -q '"cgroups": null' "$work/out" || fail "with too few descriptors it is told what is left in cgroups: $(grep -A 20 '"cgroups": {' "$work/out")"
fi
for limit in 8 12; do
	honest "ulimit -n $limit" bash -c "ulimit -n $limit; exec '$rmap' snapshot --json --threads 64"
done

# Each system call fails: in reading those eight with what containers' filters answer, from the start on (or from main() on, where
# nothing starts without the call); in reading the whole system, with shortages that come in between. Of threads, liburcu stands
# no shortage; tools/system.c looks first.
if [ -z "$tool_refuse" ]; then
	echo "left out: refused system calls, as no sanitizer stands that"
elif [ "$("$tool_refuse" read count 0 true)" = "" ]; then
	echo "left out: refused system calls, as this kernel hands none to a process (SECCOMP_RET_USER_NOTIF)"
else
	for call in $("$tool_refuse" --list); do
		after=0
		[ "$call" = write ] || { "$tool_refuse" "$call" EPERM 0 "$rmap" --version >"$work/out"; } 2>"$work/err" ||
			after=$("$tool_refuse" "$call" count 0 "$rmap" --version)
		# shellcheck disable=SC2086
		for error in EPERM ENOSYS; do
			refused "$call" $error "$after" $named
		done
	done
	for call in openat read pread64 getdents64 kcmp mmap mprotect fcntl newfstatat; do
		start=$("$tool_refuse" $call count 0 "$rmap" --version)
		refused $call EMFILE $((start + 1))
		refused $call EPERM $((start + 7))
		refused $call EINTR $((start + 60))
		refused $call ENOMEM $((start + 600))
	done
	# What cannot be told of descriptors is not guessed, and shortages are told.
	"$tool_refuse" statx EACCES 0 "$rmap" freed --json $$ >"$work/out" 2>"$work/err" || fail "refused stats: $(cat "$work/err")"
	grep -q '"unreadable": 0' "$work/out" && fail "it is not said that descriptors cannot be looked at"
	"$tool_refuse" statx EACCES 0 "$rmap" shares --json >"$work/out" 2>"$work/err" || fail "refused stats: $(cat "$work/err")"
	grep -q '"unreadable": 0' "$work/out" && fail "rmap shares does not say that descriptors cannot be looked at"
	for command in "freed $$" shares; do
		# shellcheck disable=SC2086
		incomplete "Cannot allocate memory" "$tool_refuse" statx ENOMEM 0 "$rmap" $command
	done
	# And a refusal is told as one, not as a shortage.
	# shellcheck disable=SC2086
	incomplete "filter seems to refuse" "$tool_refuse" clone3 EPERM 0 "$rmap" snapshot --threads 2 $named
	# Nor is memory that is refused, though malloc() says so: the first mappings are of stacks, those behind them are its own.
	start=$("$tool_refuse" mmap count 0 "$rmap" --version)
	for later in 0 1 2 3 4; do
		# shellcheck disable=SC2086
		"$tool_refuse" mmap EPERM $((start + later)) "$rmap" snapshot --threads 2 $named >"$work/out" 2>"$work/err" ||
			grep -q "filter seems to refuse" "$work/err" || fail "a refused mmap is told as $(cat "$work/err")"
	done
	start=$("$tool_refuse" close count 0 "$rmap" --version)
	# shellcheck disable=SC2086
	"$tool_refuse" close EPERM "$start" "$rmap" snapshot --threads 2 $named >"$work/out" 2>"$work/err"
	grep -q "filter seems to refuse" "$work/err" || fail "a refused close is told as $(cat "$work/err")"
fi
kill $background
wait $background 2>/dev/null
background=

# A kernel without PAGEMAP_SCAN gives the same answer, and reads no terabyte for it: one without pages, one with pages at its ends.
# In 16 GiB with pages strewn over it all is searched. And one lies as AddressSanitizer's shadow does, with a page for a place of the
# heap and another for one near it, far from either end.
if [ -n "$tool_refuse" ]; then
	coproc python3 -c 'import ctypes, mmap, time
def reserve(size, protection):
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, protection)  # MAP_NORESERVE
ends = reserve(1 << 40, mmap.PROT_READ | mmap.PROT_WRITE)
none = reserve(1 << 40, mmap.PROT_READ)
strewn = reserve(1 << 34, mmap.PROT_READ | mmap.PROT_WRITE)
for at in list(range(0, 1 << 24, 1 << 16)) + [-1 - i for i in range(0, 1 << 24, 1 << 16)]:
    ends[at] = 1
for at in range(1, 20):
    strewn[(1 << 34) // 20 * at] = 1
map_at = ctypes.CDLL(None).mmap
map_at.restype, map_at.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
start, end, offset, heap = 0x2008fff7000, 0x10007fff8000, 0x7fff8000, 0x400000000000
for at, size in (start, end - start), (heap, 4096):
    if map_at(at, size, mmap.PROT_READ | mmap.PROT_WRITE, 0x104022, -1, 0) != at:  # as above, MAP_FIXED_NOREPLACE
        raise SystemExit("the place of a shadow is taken")
for address in heap, (heap >> 3) + offset, (heap - (1 << 30) >> 3) + offset:
    ctypes.c_byte.from_address(address).value = 1
print("ready", flush=True)
time.sleep(1000)'
	background=$COPROC_PID
	read -r word <&"${COPROC[0]}"
	[ "$word" = ready ] || fail "no address space of terabytes could be made"
	"$rmap" snapshot --json --pid $background | "$tool_json" >"$work/figures" || fail "a sparse process is read wrongly"
	"$tool_refuse" ioctl ENOTTY 0 "$rmap" snapshot --json --pid $background | "$tool_json" >"$work/figures.again" ||
		fail "a sparse process is read wrongly without PAGEMAP_SCAN"
	# Which of its pages of files others map, too, changes with those.
	sed -i '/"exclusive"/d' "$work/figures" "$work/figures.again"
	cmp -s "$work/figures" "$work/figures.again" || fail "without PAGEMAP_SCAN the figures are others"
	reads=$("$tool_refuse" pread64 count 0 "$tool_refuse" ioctl ENOTTY 0 "$rmap" snapshot --pid $background)
	[ "$reads" -lt 20000 ] || fail "without PAGEMAP_SCAN, a sparse process takes $reads reads"
	kill $background
	wait $background 2>/dev/null
	background=
fi

# Programs that share pages in known ways.
"$tool_who" "$rmap" || fail "rmap who is wrong"
# And what there is to say where there is no page.
"$tool_reason" "$rmap" || fail "rmap who gives wrong reasons"
# A process grows by 16 MiB between two recordings, and is the same process.
coproc python3 -c 'import mmap, sys
print("ready", flush=True)
sys.stdin.readline()
memory = mmap.mmap(-1, 1 << 24, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, 1 << 24, 4096):
    memory[at] = 1
print("grown", flush=True)
sys.stdin.readline()'
background=$COPROC_PID
read -r word <&"${COPROC[0]}"
"$rmap" snapshot --save "$work/recording" >"$work/out" || fail "no recording to be compared"
echo >&"${COPROC[1]}"
read -r word <&"${COPROC[0]}"
[ "$word" = grown ] || fail "the process did not grow"
"$rmap" snapshot --save "$work/recording.new" >"$work/out" || fail "no recording to compare with"
"$rmap" diff "$work/recording" "$work/recording.new" --sort rss --json | python3 -c 'import json, sys
[group] = [group for group in json.load(sys.stdin)["tallies"][0]["groups"] if group["pid"] == int(sys.argv[1])]
grown = group["new"]["rss"] - group["old"]["rss"]
sys.exit(not 1 << 24 <= grown < 17 << 20)' "$background" || fail "rmap diff does not tell that a process has grown by 16 MiB"
kill $background
wait $background 2>/dev/null
background=

# The same while it goes on.
"$(dirname "$0")/check_watch.py" "$rmap" || fail "rmap shares --watch is wrong"

# What nobody is asked about cannot be told; one's own shell and everything can, in text of 80 columns.
incomplete "cannot be read" "$rmap" freed $(($(cat /proc/sys/kernel/pid_max) + 1))
incomplete "no process that was read is in a cgroup" "$rmap" freed /no/such/group
for whom in $$ /; do
	"$rmap" freed "$whom" >"$work/out" || fail "rmap freed $whom: exit status $?"
	grep -q "free at once: anonymous memory" "$work/out" || fail "rmap freed $whom tells nothing: $(cat "$work/out")"
	[ "$(LC_ALL=C.UTF-8 wc -L <"$work/out")" -le 80 ] || fail "rmap freed $whom is wider than 80 columns"
done
"$rmap" freed $$ --csv >"$work/csv" || fail "rmap freed $$: no table"
"$rmap" freed $$ --json >"$work/json" || fail "rmap freed $$: no document"
python3 - "$work/csv" "$work/json" <<-'END' || fail "the table of rmap freed is none, or names not what its JSON does"
	import csv, json, sys
	rows, report = list(csv.DictReader(open(sys.argv[1]))), json.load(open(sys.argv[2]))
	assert {row["what"] for row in rows} == {*report["bytes"], "unmapped", "swap", "page_tables"}
	assert all(int(row["bytes"]) >= 0 for row in rows) and int(rows[0]["bytes"]) > 0
END
# All fields of the JSON are documented; tools.sh looks at those that recordings have.
for words in "freed $$ --frames" "shares --kernel --limit 3"; do
	"$rmap" $words --json | "$(dirname "$0")/check_documented.py" || fail "rmap $words --json is not documented"
done
# Processes of which every page is known.
"$tool_shares" "$rmap" || fail "rmap shares is wrong"
# And what no mapping shows.
"$tool_unseen" "$rmap" || fail "rmap shares is wrong about what no mapping shows"
"$rmap" shares --with $$ --json | grep -q '"unseen": null' || fail "rmap shares --with tells what is shared with nobody"
coproc python3 -c 'import mmap, os, time
for name in "\x1b[31m" + 100 * "x", *"abc":
    os.write(os.memfd_create(name), bytes(1 << 24))
twice = os.memfd_create("twice")
os.ftruncate(twice, 1 << 24)
mappings = [mmap.mmap(twice, 1 << 24) for _ in "ab"]
for mapping in mappings:
    mapping.write(bytes(1 << 24))
print("ready", flush=True)
time.sleep(1000)'
background=$COPROC_PID
read -r word <&"${COPROC[0]}"
LC_ALL=C.UTF-8 "$rmap" shares >"$work/out"
# Others may have some, too.
grep -Eq "^ +(6[4-9]\.[0-9] MiB|[7-9][0-9]\.[0-9] MiB|[0-9]{3,4}(\.[0-9])? MiB|[0-9.]+ GiB)  in memfds" "$work/out" || fail "rmap shares does not tell of four memfds: $(cat "$work/out")"
grep -q "and [1-9][0-9,]* more: --json" "$work/out" || fail "rmap shares does not tell that there is more than it tells"
[ "$(LC_ALL=C.UTF-8 wc -L <"$work/out")" -le 80 ] || fail "rmap shares is wider than 80 columns"
LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f]' "$work/out" && fail "a name controls the terminal"
"$rmap" shares --kernel --limit 0 >"$work/out"
grep -q " -16.0 MiB: mapped more than once by the process$" "$work/out" || fail "it is not told what a process maps twice: $(cat "$work/out")"
[ "$(LC_ALL=C.UTF-8 wc -L <"$work/out")" -le 80 ] || fail "rmap shares --kernel is wider than 80 columns"
# Where descriptors cannot be looked at, its file may be somebody's, too.
if [ -n "$tool_refuse" ] && [ "$("$tool_refuse" read count 0 true)" ]; then
	"$tool_refuse" statx EACCES 0 "$rmap" freed $background >"$work/out" 2>"$work/err"
	grep -q "^([1-9][0-9.]* MiB, if no process that cannot be read" "$work/out" || fail "what may come back, too, is not in the head: $(cat "$work/out" "$work/err")"
fi
kill $background
wait $background 2>/dev/null
background=

[ $failures -eq 0 ] && echo "tools-live.sh: passed"
[ $failures -eq 0 ]
