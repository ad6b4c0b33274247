#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# tools.sh - the command line of `rmap snapshot`, `shares`, `diff`, `freed` and `who`, with recorded and forged systems;
# needs no privilege.
#
#      tools.sh RMAP TOOL_JSON TOOL_FORGE RECORDING RECORDING-OF-VERSION-1 -OF-VERSION-2 -OF-VERSION-3
#
# What needs the running system is in tools-live.sh. All failures are told, then the exit status is 1.
set -u
rmap=$1 tool_json=$2 tool_forge=$3 recording=$4 older=("${@:5:3}")
check_shares=$(dirname "$0")/check_shares.py
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
	echo "tools.sh: $*" >&2
	failures=$((failures + 1))
}

# expect STATUS WORDS COMMAND...: the command ends with this status and says these words on standard error.
expect() {
	local status=$1 words=$2 got
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	[ $got -eq "$status" ] || fail "$*: exit status $got, not $status: $(cat "$work/err")"
	grep -qF -- "$words" "$work/err" || fail "$*: does not say \"$words\" but: $(cat "$work/err")"
}

# forge OFFSET BYTES: the recording, with these bytes (as printf writes them) at this offset, in $work/forged.
forge() {
	cp "$recording" "$work/forged"
	printf "$2" | dd of="$work/forged" bs=1 seek="$1" conv=notrunc status=none
}

# Help and usage. Every complaint is one that says what to do.
for words in "--help" "help"; do
	"$rmap" $words | grep -q snapshot || fail "rmap $words does not name snapshot"
done
for words in help "snapshot --help" "shares --help" "diff --help" "freed --help" "who --help" "bench --help" "lab --help"; do
	# shellcheck disable=SC2086
	[ "$("$rmap" $words | wc -L)" -le 80 ] || fail "rmap $words is wider than 80 columns"
done
"$rmap" --version | grep -qE '^rmap [0-9]+\.[0-9]+' || fail "rmap --version tells none"
for command in snapshot shares diff freed who; do
	"$rmap" $command --help | grep -q -- --json || fail "rmap $command --help does not name --json"
done
# argp has a hidden option that waits, for an hour if no seconds are given.
for command in snapshot shares diff freed who bench lab; do
	expect 2 "HANG" "$rmap" $command --HANG=0
done
expect 2 "Usage" "$rmap"
expect 2 "rmap --help" "$rmap" frobnicate
expect 2 "rmap --help" "$rmap" w
for near in share:shares snapshto:snapshot snap:snapshot freeed:freed wo:who dif:diff brench:bench labs:lab; do
	expect 2 "did you mean rmap ${near#*:}?" "$rmap" "${near%:*}"
done
# What was typed is shown in quotes, and commands no terminal.
for command in "snapshot --load" "who --pfn 1 --load" "lab --from"; do
	# shellcheck disable=SC2086
	expect 2 "\"/no/?[31msuch\" cannot be read" "$rmap" $command $'/no/\e[31msuch'
done
# An option that there is not is met with the one that was meant, as a command is; so are too few dashes.
for command in snapshot shares diff freed who bench lab; do
	expect 2 "rmap $command: there is no option \"--jsno\"; did you mean --json?" "$rmap" $command --jsno
	expect 2 "there is no option \"--nonsense\"" "$rmap" $command --nonsense=1
	expect 2 "there is no option \"-x\"" "$rmap" $command -x
	# What was typed, be it an option's name, its value or a word too many, commands no terminal.
	for wrong in $'--no\e[31m\xc2\x9bsuch' $'--threads=\e[31m\xc2\x9bx' $'\e[31m\xc2\x9bx' $'-\e'; do
		LC_ALL=C.UTF-8 "$rmap" $command "$wrong" >"$work/out" 2>"$work/err" && fail "rmap $command takes nonsense"
		LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f-\x9f]' "$work/err" && fail "rmap $command shows a terminal what was typed: $(cat -v "$work/err")"
	done
done
expect 2 "there is no option \"-json\"; did you mean --json?" "$rmap" shares -json
expect 2 "--l may be --limit or --load" "$rmap" shares --l 1
expect 2 "--limit wants a value" "$rmap" shares --limit
expect 2 "-t wants a value" "$rmap" shares -t
expect 2 "--json takes no value: leave out \"=yes\"" "$rmap" shares --json=yes
"$rmap" shares --load "$recording" --js --lim 1 >"$work/out" || fail "options are no longer known by how they begin"
expect 2 "no option" "$rmap" snapshot extra
for bad in 0 -1 1x "" 1025 99999999999999999999; do
	expect 2 "--threads wants" "$rmap" snapshot --threads "$bad"
done
for bad in 0 -1 abc 4294967296; do
	expect 2 "--pid wants" "$rmap" snapshot --pid "$bad"
done
expect 2 "--top wants" "$rmap" snapshot --top many
expect 2 "give one of them" "$rmap" snapshot --pid 1 --load "$recording"
for bad in "" pid processes; do
	expect 2 "--by wants" "$rmap" shares --by "$bad"
done
expect 2 "--sort wants" "$rmap" shares --sort size
expect 2 "--sort shared goes with" "$rmap" shares --sort shared
expect 2 "--with wants" "$rmap" shares --with 0
expect 2 "--matrix does not go with" "$rmap" shares --matrix --by kind
expect 2 "--limit wants" "$rmap" shares --limit -1
# Without d3 there are no pages, and that is said.
pages=1
"$rmap" shares --html "$work/page" --load "$recording" 2>"$work/err" || pages=0
[ $pages = 1 ] || grep -q "install node-d3" "$work/err" || fail "it is not said why there are no pages"
for other in --json --csv --watch=1 --matrix --kernel --sample=2 "--by user" "--sort rss" "--with 1"; do
	expect 2 "--html shows all" "$rmap" shares --html "$work/page" $other
done
expect 2 "--threads wants" "$rmap" shares --threads 0
expect 2 "no option" "$rmap" shares 1
expect 2 "give one of them" "$rmap" shares --kernel --load "$recording"
expect 2 "--kernel goes with" "$rmap" shares --kernel --by cgroup
expect 2 "--matrix and --kernel" "$rmap" shares --csv --matrix
expect 2 "--matrix and --kernel" "$rmap" shares --csv --kernel
for command in shares "diff a b" "freed 1"; do
	# shellcheck disable=SC2086
	expect 2 "give one of them" "$rmap" $command --json --csv
done
for bad in 0 -1 86401 1s ""; do
	expect 2 "--watch wants" "$rmap" shares --watch "$bad"
done
expect 2 "give one of them" "$rmap" shares --watch 1 --load "$recording"
expect 2 "give one of them" "$rmap" shares --watch 1 --with 1
expect 2 "--csv is one table" "$rmap" shares --watch 1 --csv
for bad in 0 1 1000001 x 3: 3:x :3 "" 3:-1; do
	expect 2 "--sample wants" "$rmap" shares --sample "$bad"
	expect 2 "--sample wants" "$rmap" snapshot --sample "$bad"
done
expect 2 "give one of them" "$rmap" shares --sample 2 --watch 1
expect 2 "give one of them" "$rmap" snapshot --sample 2 --save "$work/none"
expect 2 "--sample estimates" "$rmap" shares --sample 2 --matrix
expect 2 "--sample estimates" "$rmap" shares --sample 2 --kernel
expect 2 "name two recordings" "$rmap" diff "$recording"
expect 2 "is a third one" "$rmap" diff "$recording" "$recording" "$recording"
expect 2 "--sort wants" "$rmap" diff --sort shared "$recording" "$recording"
expect 2 "--by wants" "$rmap" diff --by all "$recording" "$recording"
expect 2 "name processes" "$rmap" freed
for bad in 0 "" 99999999999; do
	expect 2 "neither a process's number nor" "$rmap" freed "$bad"
done
expect 2 "--frames goes with" "$rmap" freed --frames 1
expect 2 "name the page" "$rmap" who
expect 2 "name the page" "$rmap" who --pid 1
expect 2 "name the page" "$rmap" who --addr 0x1000
expect 2 "name the page" "$rmap" who --pfn 1 --pid 1
expect 2 "belongs to the --file" "$rmap" who --offset 1
for bad in 0x1000- 0x2000-0x1000 0x1000+0 -0x1000 0x1000-0x2000-0x3000; do
	expect 2 "--addr wants" "$rmap" who --pid 1 --addr "$bad"
done
expect 2 "--offset wants" "$rmap" who --file /bin/sh --offset x
expect 2 "--addr wants" "$rmap" who --pid 1 --addr 12xyz
expect 2 "--addr wants" "$rmap" who --pid 1 --addr 0x0x1000
expect 2 "--pfn wants" "$rmap" who --pfn 0xffffffffffffffff

# A recording: its figures fit each other, are the same however many threads build, and are the same when saved again.
"$rmap" snapshot --load "$recording" --json >"$work/json" || fail "the recording is not verified"
"$tool_json" <"$work/json" >"$work/figures" || fail "the recording's report is wrong"
for threads in 1 2 7; do
	"$rmap" snapshot --load "$recording" --json --threads $threads --save "$work/again" | "$tool_json" >"$work/figures.again" ||
		fail "the recording's report with $threads threads is wrong"
	cmp -s "$work/figures" "$work/figures.again" || fail "with $threads threads the figures are others"
	cmp -s "$recording" "$work/again" || fail "saved again, the recording is another"
done
"$rmap" snapshot --load "$recording" >"$work/text" || fail "no text of the recording"
for words in "How mappings are kept" "bytes a mapping" "Most shared pages" "Verified:" "Seconds:" "Linux 2.5" "XNU arm64" "Built anew from a recording"; do
	grep -qF "$words" "$work/text" || fail "the report does not say \"$words\""
done
[ "$(LC_ALL=C.UTF-8 wc -L <"$work/text")" -le 80 ] || fail "the report is wider than 80 columns"
LC_ALL=C "$rmap" snapshot --load "$recording" | LC_ALL=C grep -q '[^ -~]' && fail "the report in the C locale is not ASCII"

# Who, of a recorded page: the most shared one, by its number, then by the first address that is told.
pfn=$(sed -n '/"top"/,$s/.*"pfn": \([0-9]*\).*/\1/p' "$work/json" | head -n 1)
count=$(sed -n '/"top"/,$s/.*"mapcount": \([0-9]*\).*/\1/p' "$work/json" | head -n 1)
"$rmap" who --load "$recording" --pfn "$pfn" --json >"$work/who" || fail "who --pfn $pfn fails"
[ "$(grep -c '"pid"' "$work/who")" = "$count" ] || fail "who --pfn $pfn names not $count mappings"
pid=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' "$work/who" | head -n 1)
addr=$(sed -n 's/.*"addr": "\(0x[0-9a-f]*\)".*/\1/p' "$work/who" | head -n 1)
"$rmap" who --load "$recording" --pid "$pid" --addr "$addr" --json | cmp -s - "$work/who" ||
	fail "who --pid $pid --addr $addr answers otherwise than --pfn $pfn"
"$rmap" who --load "$recording" --pid "$pid" --addr "$addr" | grep -q "$pid" || fail "who as text does not name $pid"
expect 2 "no page in memory" "$rmap" who --load "$recording" --pid "$pid" --addr 0

# A frame that no recorded one lies behind may be none at all.
expect 2 "beyond the last one" "$rmap" who --load "$recording" --pfn 0xffffffffff
last=$(sed -n 's/.*that was mapped, \(0x[0-9a-f]*\)$/\1/p' "$work/err")
expect 2 "beyond the last one" "$rmap" who --load "$recording" --pfn $((last + 1))
"$rmap" who --load "$recording" --pfn "$last" >"$work/out" || fail "who --pfn $last, the last frame of the recording, fails"
expect 2 "cannot be read" "$rmap" who --load "$recording" --pid 2147483647 --addr "$addr"

# Several at once: of a range of addresses the pages in memory, of a file those that are mapped, each as it is told alone.
python3 - "$rmap" "$recording" "$pid" "$addr" <<-'END' || fail "several pages are not told as each of them alone"
	import json, subprocess, sys
	rmap, recording, pid, addr = sys.argv[1:]
	def who(*words):
	    return json.loads(subprocess.run([rmap, "who", "--load", recording, "--json", *words], check=True, stdout=subprocess.PIPE).stdout)
	start = int(addr, 0) & ~0xffff
	some = who("--pid", pid, "--addr", f"{start}-{start + 0x10000}")
	assert some == who("--addr", f"{start:#x}+65536", "--pid", pid)
	assert len(some["pages"]) + some["absent"] == 16 and len(some["pages"]) > 0
	for page in some["pages"]:
	    assert page == who("--pfn", str(page["pfn"]))
	one = some["pages"][0]
	[libc] = {mapping["object"] for page in some["pages"] for mapping in page["mappings"]}
	offsets = sorted({mapping["offset"] for page in some["pages"] for mapping in page["mappings"]})
	assert [offset % 4096 for offset in offsets] == [0] * len(offsets) and len(offsets) == len(some["pages"])
	for offset in offsets:
	    [page] = who("--file", libc, "--offset", str(offset))["pages"]
	    assert page in some["pages"]
	whole = who("--file", libc)["pages"]
	assert all(page in whole for page in some["pages"])
	assert who("--file", libc, "--offset", f"{offsets[0]}-{offsets[-1] + 1}", "--pfn", str(one["pfn"]))["pages"][-1] == one
	assert {mapping["permissions"] for mapping in one["mappings"]} <= {"r--p", "r-xp"} and "dirty" not in one["flags"]
	two = who("--pfn", str(one["pfn"]), "--pfn", str(one["pfn"]))
	assert two == {"pages": [one, one], "absent": 0}
END
"$rmap" who --load "$recording" --pid "$pid" --addr "$addr+0x10000" | grep -q '^[0-9]* pages\?, and [0-9]* more that' || fail "of a range it is not said how many pages there are"
expect 2 "no page in memory" "$rmap" who --load "$recording" --pid "$pid" --addr 0-0x1000
expect 2 "nobody maps any page of" "$rmap" who --load "$recording" --file /no/such/file
"$rmap" who --load "${older[1]}" --pfn "$("$rmap" snapshot --load "${older[1]}" --json | sed -n '/"top"/,$s/.*"pfn": \([0-9]*\).*/\1/p' | head -n 1)" |
	grep -q 'linear   ?  ' || fail "permissions that were not recorded are told"

# A process that shares the address space of another one is named with it, and may be asked about by its own number.
"$rmap" who --load "$recording" --pfn "$pfn" | grep -q "shares the memory of" || fail "who --pfn $pfn does not name who shares memory"
sharing=$(tr -d '\n' <"$work/who" | sed -n 's/.*"sharing": *\[ *\([0-9][0-9]*\) *\].*/\1/p')
addr=$(tr -d '\n' <"$work/who" | sed -n 's/.*"addr": "\(0x[0-9a-f]*\)"[^}]*"sharing": *\[ *'"$sharing"' *\].*/\1/p')
"$rmap" who --load "$recording" --pid "$sharing" --addr "$addr" --json | cmp -s - "$work/who" ||
	fail "who --pid $sharing --addr $addr, which shares memory, answers otherwise than --pfn $pfn"

# Recordings of older versions have the same figures when they are saved anew; that of version 1 does not say who shares memory,
# neither it nor that of version 2 who owns processes, and none of which pages pagemap told the count.
for old in "${older[@]}"; do
	"$rmap" snapshot --load "$old" --json --save "$work/again" | "$tool_json" >"$work/figures" || fail "$old is not read"
	"$rmap" snapshot --load "$work/again" --json | "$tool_json" | cmp -s - "$work/figures" || fail "$old, saved anew, is another"
	grep -q '"exclusive": 0,' "$work/figures" || fail "$old: counts are said to come from pagemap"
	[ "$old" = "${older[2]}" ] ||
		"$rmap" shares --load "$work/again" --by cgroup --by user | grep -c '  ?$' | grep -qx 2 ||
		fail "$old: it is not said that owners are not known"
done
"$rmap" snapshot --load "$recording" --json --save "$work/again" | "$tool_json" >"$work/figures" || fail "$recording is not read"
"$rmap" snapshot --load "$work/again" --json | "$tool_json" | cmp -s - "$work/figures" || fail "$recording, saved anew, is another"
grep -q '"exclusive": 320,' "$work/figures" || fail "it is not told how many counts come from pagemap"
"$rmap" snapshot --load "$recording" >"$work/out"
grep -q '^  320 of those matched by what /proc/PID/pagemap said' "$work/out" || fail "... nor in text"
grep -q ' as it was read, 1,232 by /proc/kpagecount' "$work/out" || fail "... nor how many of kpagecount"

# Shares: parts sum up to the whole, whatever the threads; owners and swap slots are those that were recorded; text keeps within its
# columns, the largest first, and as many as are asked for.
shares() {
	"$rmap" shares --load "$recording" "$@"
}
bys=(--by process --by cgroup --by user --by file --by kind)
shares --json "${bys[@]}" | "$check_shares" --print >"$work/shares" || fail "the shares do not fit each other"
for threads in 2 7; do
	shares --json "${bys[@]}" --threads $threads | "$check_shares" --print | cmp -s - "$work/shares" ||
		fail "with $threads threads the shares are others"
done
shares --json "${bys[@]:0:8}" --matrix | "$check_shares" || fail "the matrix of shares does not fit the shares"
shares --json --by process --by file --matrix --limit 3 | "$check_shares" || fail "the matrix of three is not theirs"
[ "$(shares --matrix --limit 3 | sed '1,/^The largest/d' | tail -n +2 | wc -l)" = 3 ] || fail "the matrix of three is not of three"
for whom in 2 /service/worker worker; do
	shares --json "${bys[@]}" --with $whom | "$check_shares" --with || fail "what is shared with $whom is wrong"
done
shares --with 2 | grep -q '         2  swapped$' && fail "a process is said to share with itself"
[ "$(shares --matrix --by process --by cgroup --by file --limit 0 | LC_ALL=C.UTF-8 wc -L)" -le 80 ] || fail "the matrix is wider than 80 columns"
expect 2 "cannot be read" "$rmap" shares --load "$recording" --with 2147483647
for none in /serv serv /service/work work worke/; do
	expect 2 "in a cgroup \"$none\"" "$rmap" shares --load "$recording" --with $none
done
for near in serv:service work:worker worke/:worker servcie:service /service/work:/service/worker; do
	expect 2 "in a cgroup \"${near%:*}\"; did you mean ${near#*:}?" "$rmap" shares --load "$recording" --with "${near%:*}"
done
expect 2 "but process 2 has that name: name it by its number" "$rmap" shares --load "$recording" --with swapped
expect 2 "rmap shares --by cgroup --csv lists" "$rmap" shares --load "$recording" --with nothing-like-it
"$rmap" shares --load "$recording" --with service --json >"$work/part" && "$rmap" shares --load "$recording" --with /service/ --json |
	cmp -s - "$work/part" || fail "a part of a cgroup's path does not name it and those below"
# /ab/part and /service/b/part in the place of /service and /service/worker, which lies behind it.
at=$(grep -abo -m 1 '/service' "$recording" | head -n 1 | cut -d: -f1)
# shellcheck disable=SC2046
"$tool_forge" "$recording" "$work/forged" $(printf '/ab/part%10sb/part' | od -An -v -tu1 -w1 | awk -v at="$at" '$1 != 32 { print at + NR - 1, $1 }')
expect 2 '"part" is a part of /ab/part and of /service/b/part' "$rmap" shares --load "$work/forged" --with part
"$rmap" shares --load "$work/forged" --with /service/b/part --json | "$check_shares" --with || fail "a cgroup is not found by its path"
shares --json --by cgroup | tr -d ' \n' | grep -q '"name":"/service/worker","rss":[0-9]*,"pss":[0-9]*,"uss":[0-9]*,"swap":32768,' ||
	fail "the cgroup that has memory swapped out is not told"
shares --json | tr -d ' \n' | grep -q '"name":"swapped","pid":4,"uid":65534,"cgroup":"/service/worker","rss":[0-9]*,"pss":[0-9]*,"uss":[0-9]*,"swap":32768,' ||
	fail "the process that has memory swapped out is not told"
shares --json | grep -q '"unseen": null' || fail "of a recording it is told what it does not hold"
shares --by user | grep -q '  65534$' || fail "a recorded user has a name of this machine"
[ "$(shares "${bys[@]}" --limit 0 --with 2 | LC_ALL=C.UTF-8 wc -L)" -le 80 ] || fail "what is shared with one is wider than 80 columns"
[ "$(shares "${bys[@]}" --limit 0 | LC_ALL=C.UTF-8 wc -L)" -le 80 ] || fail "the shares are wider than 80 columns"
shares --limit 3 | grep -q 'and 9 more' || fail "it is not said how many processes are left out"
[ "$(shares --sort name --limit 0 | sed -n '/command$/,$s/.*  //p' | tail -n +2)" = \
	"$(shares --sort name --limit 0 | sed -n '/command$/,$s/.*  //p' | tail -n +2 | LC_ALL=C sort)" ] || fail "names are not in order"
for sort in pss uss rss swap; do
	shares --json --sort $sort | sed -n '/"whole"/,$s/^ \{10\}"'$sort'": \([0-9]*\),/\1/p' >"$work/sorted"
	[ "$(wc -l <"$work/sorted")" = 12 ] || fail "not all processes have $sort"
	sort -c -n -r "$work/sorted" || fail "processes are not in the order of $sort"
done

# A sample of pages: the truth is within the error as often as is said, and on both sides of the estimate; and it is the same sample
# each time. The seeds are these for ever, so that what is true of them once is true always.
python3 - "$rmap" "$recording" "${bys[@]}" <<-'END' || fail "a sample of pages tells what is not so"
	import json, subprocess, sys
	rmap, recording, *bys = sys.argv[1:]
	def shares(*words):
	    words = [rmap, "shares", "--load", recording, "--json", *words]
	    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
	def figures(report):
	    groups = {"whole": report["whole"]} | {group["pid"]: group for group in report["tallies"][0]["groups"]}
	    return {(name, figure): (group[figure], group.get("error", {}).get(figure, 0))
	            for name, group in groups.items() for figure in ("rss", "pss", "uss", "swap")}
	exact = figures(shares())
	within = above = n = 0
	ratios = []
	for seed in range(20):
	    for key, (estimate, error) in figures(shares("--sample", f"{(3, 8)[seed % 2]}:{seed}")).items():
	        truth = exact[key][0]
	        n += 1
	        within += abs(estimate - truth) <= error
	        if key[0] == "whole" and key[1] in ("rss", "pss"):
	            ratios.append(estimate / truth)
	mean = sum(ratios) / len(ratios)
	assert 0.95 * n <= within < n, f"the truth is within the error {within} times of {n}"
	assert min(ratios) < 1 < max(ratios) and abs(mean - 1) < 0.05, f"estimates are {mean} of the truth in the mean"
	some = shares("--sample", "3:5", *bys)
	assert some == shares("--sample", "3:5", "--threads", "3", *bys) != shares("--sample", "3", *bys)
	assert some["sample"] == {"one_in": 3, "seed": 5, "kept": some["sample"]["kept"]}
	for tally in some["tallies"]:
	    # Each group is rounded, and then multiplied by three.
	    assert abs(sum(group["pss"] for group in tally["groups"]) - some["whole"]["pss"]) <= 3 * len(tally["groups"])
	snapshot = [rmap, "snapshot", "--load", recording, "--json"]
	whole, part = (json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
	               for words in (snapshot, [*snapshot, "--sample", "3:5"]))
	assert part["pages"] == some["sample"]["kept"] and part["sample"]["pages"] == 3 * part["pages"]
	for figure in ("pages", "mappings"):
	    assert abs(part["sample"][figure] - whole[figure]) <= part["sample"]["error"][figure]
END
for with in "" "--with 2"; do
	# shellcheck disable=SC2086
	[ "$(shares "${bys[@]}" --limit 0 --sample 3 $with | LC_ALL=C.UTF-8 wc -L)" -le 80 ] ||
		fail "shares of a sample are wider than 80 columns"
done
[ "$("$rmap" snapshot --load "$recording" --sample 3 | LC_ALL=C.UTF-8 wc -L)" -le 80 ] || fail "a sample is wider than 80 columns"
shares --sample 3 | grep -q 'pages, one in 3' || fail "it is not said that shares are estimated"

# Differences: of a recording with itself there are none; those of two sum up to that of the whole, and turned round they change sign.
"$rmap" diff "$recording" "$recording" | grep -q '^  12 did not change$' || fail "a recording differs from itself"
[ "$("$rmap" diff "${bys[@]}" --limit 0 "${older[1]}" "$recording" | LC_ALL=C.UTF-8 wc -L)" -le 80 ] || fail "differences are wider than 80 columns"
"$rmap" diff "${bys[@]}" --json "${older[1]}" "$recording" >"$work/forth" && "$rmap" diff "${bys[@]}" --json "$recording" "${older[1]}" >"$work/back" ||
	fail "no differences of two recordings"
python3 - "$work/forth" "$work/back" <<-'END' || fail "differences do not fit each other"
	import json, sys
	forth, back = (json.load(open(name)) for name in sys.argv[1:])
	none = dict.fromkeys(forth["old"], 0)
	assert forth["old"] == back["new"] and forth["new"] == back["old"]
	for there, here in zip(forth["tallies"], back["tallies"]):
	    groups = there["groups"]
	    assert [(group["old"], group["new"]) for group in groups] == [(group["new"], group["old"]) for group in here["groups"]]
	    changes = [(group["new"] or none)["pss"] - (group["old"] or none)["pss"] for group in groups]
	    assert abs(sum(changes) - forth["new"]["pss"] + forth["old"]["pss"]) <= 2 * len(groups) + 2 * there["unchanged"]
	    assert [-abs(change) for change in changes] == sorted(-abs(change) for change in changes)
	    assert there["left_out"] == 0 and any(group["old"] != group["new"] for group in groups)
END
"$rmap" diff "$recording" "$recording" --by cgroup --json | grep -q '"unchanged": 2' || fail "cgroups that did not change are not counted"
# All fields of the JSON are documented.
for words in "snapshot --load $recording" "shares --load $recording --by process --by file --with 1 --matrix" \
	"shares --load $recording --sample 3" "snapshot --load $recording --sample 3" \
	"who --load $recording --pfn $pfn" "who --load $recording --pfn $pfn+2" "diff ${older[1]} $recording"; do
	"$rmap" $words --json | "$(dirname "$0")/check_documented.py" || fail "rmap $words --json is not documented"
done
"$rmap" diff "${older[1]}" "$recording" --by cgroup | grep -q ' new  /service$' || fail "a cgroup that came is not told"
"$rmap" diff "${older[1]}" "$recording" --by cgroup | grep -q ' gone ?$' || fail "a cgroup that went is not told"
expect 2 "cannot be read" "$rmap" diff "$recording" "$work/none"

# CSV has the groups of JSON, in its order and with its figures, all of them unless --limit says otherwise.
cat >"$work/table.py" <<-'END'
	import csv, io, json, subprocess, sys
	FIGURES = ["rss", "pss", "uss", "swap", "locked", "unsettled"]
	def both(*words):
	    run = lambda how: subprocess.run([*words, how], check=True, stdout=subprocess.PIPE).stdout
	    table, document = run("--csv"), run("--json")
	    return list(csv.DictReader(io.StringIO(table.decode(), newline=""), strict=True)), json.loads(document)
	def cells(by, group):
	    row = {"by": by} | {name: group.get(name) for name in ("name", "pid", "uid")}
	    if "old" in group:
	        return row | {f"{side}_{f}": (group[side] or {}).get(f) for side in ("old", "new") for f in FIGURES}
	    row |= {name: group.get(name) for name in ["cgroup", *FIGURES, "shared"]}
	    return row | ({f"{f}_error": group["error"][f] for f in FIGURES[:4]} if "error" in group else {})
	table, document = both(*sys.argv[1:])
	groups = [cells(tally["by"], group) for tally in document["tallies"] for group in tally["groups"]]
	text = lambda cell: "" if cell is None else str(cell)
	assert groups and table == [{name: text(cell) for name, cell in row.items()} for row in groups]
END
for words in "" "--with 2" "--limit 3" "--sort name" "--sample 3"; do
	# shellcheck disable=SC2086
	python3 "$work/table.py" "$rmap" shares --load "$recording" "${bys[@]}" $words ||
		fail "shares $words: CSV is not as JSON"
	[ "$words" = "--with 2" ] || [ "$words" = "--sample 3" ] || # shellcheck disable=SC2086
		python3 "$work/table.py" "$rmap" diff "${older[1]}" "$recording" "${bys[@]}" $words ||
		fail "diff $words: CSV is not as JSON"
done
[ "$(shares --csv --by process --by user --limit 2 | cut -d, -f1 | tr '\n' ' ')" = "by process process user user " ] ||
	fail "CSV does not say by what its lines are"

# Files that are none. The format is described in tools/file.c.
size=$(stat -c %s "$recording")
expect 2 "cannot be read" "$rmap" snapshot --load "$work/none"
expect 2 "cannot be read" "$rmap" snapshot --load "$work"
expect 2 "no recorded system" "$rmap" snapshot --load "$0"
: >"$work/empty"
expect 2 "no recorded system" "$rmap" snapshot --load "$work/empty"
forge 8 '\005'
expect 2 "format version 5" "$rmap" snapshot --load "$work/forged"
for cut in 8 12 19 27 100 $((size / 2)) $((size - 1)); do
	head -c "$cut" "$recording" >"$work/forged"
	expect 2 "cut short" "$rmap" snapshot --load "$work/forged"
done
{ cat "$recording" && echo; } >"$work/forged"
expect 2 "damaged" "$rmap" snapshot --load "$work/forged"
for at in 12 20 40 $((size / 3)) $((size / 2)) $((size - 9)) $((size - 1)); do
	byte=$(od -An -tu1 -j "$at" -N 1 "$recording")
	forge "$at" "\\$(printf %03o $(((byte + 1) % 256)))"
	expect 2 "$work/forged" "$rmap" snapshot --load "$work/forged"
done
expect 2 "cannot be written" "$rmap" snapshot --load "$recording" --save "$work/no/such/file"
[ ! -w /dev/full ] || expect 2 "cannot be written" "$rmap" snapshot --load "$recording" --save /dev/full

for command in shares snapshot; do
	[ $pages = 1 ] || expect 2 "install node-d3" "$rmap" $command --load "$recording" --html "$work/page"
	# That is found out before there is anything to print.
	for reason in "No such file" "Is a directory"; do
		[ "$reason" = "Is a directory" ] && html=$work || html=$work/no/such/file
		[ $pages = 0 ] || expect 2 "cannot be written ($reason" "$rmap" $command --load "$recording" --html "$html"
		[ $pages = 0 ] || [ ! -s "$work/out" ] || fail "rmap $command printed, and wrote no page"
	done
	[ $pages = 0 ] || [ ! -w /dev/full ] || expect 2 "cannot be written" "$rmap" $command --load "$recording" --html /dev/full
done

# A recording is for its owner only, whatever the umask and whatever was there. One that fails leaves the older file, and nothing
# else; where a name leads to is replaced, not the link, and no device or pipe.
mkdir "$work/saved"
for mask in 777 277 0; do
	rm -f "$work/saved/new"
	(umask $mask && "$rmap" snapshot --load "$recording" --save "$work/saved/new" >"$work/out") || fail "no recording with umask $mask"
	[ "$(stat -c %a "$work/saved/new")" = 600 ] || fail "with umask $mask a recording has mode $(stat -c %a "$work/saved/new")"
done
echo older >"$work/saved/old"
chmod 644 "$work/saved/old"
ln -s old "$work/saved/link"
expect 2 "cannot be written" bash -c "ulimit -f 1; '$rmap' snapshot --load '$recording' --save '$work/saved/link' >/dev/null"
[ "$(cat "$work/saved/old")" = older ] || fail "a recording that fails destroys the older file"
[ "$(ls -A "$work/saved" | tr '\n' ' ')" = "link new old " ] || fail "a recording that fails leaves $(ls -A "$work/saved")"
"$rmap" snapshot --load "$recording" --save "$work/saved/link" >"$work/out" || fail "no recording in place of an older file"
cmp -s "$recording" "$work/saved/old" || fail "the recording is not where the link leads"
[ -L "$work/saved/link" ] || fail "a recording replaces the link that leads to it"
[ "$(stat -c %a "$work/saved/old")" = 600 ] || fail "a recording has the mode of the older file"
mkfifo "$work/pipe"
cmp -s "$recording" "$work/pipe" &
"$rmap" snapshot --load "$recording" --save "$work/pipe" >"$work/out" || fail "no recording into a pipe"
wait $! || fail "the recording that comes through a pipe is another"
[ -p "$work/pipe" ] || fail "a recording replaces the pipe it is written to"

# Output that is lost is told, whatever it is: to a full disk, a closed descriptor, a descriptor that is for reading only.
lost() {
	local where status
	for where in '>/dev/full' '>&-' '>&- 2>&-' '1</dev/null'; do
		[ "$where" != '>/dev/full' ] || [ -w /dev/full ] || continue
		eval '"$rmap" "$@" 2>"$work/err"' "$where"
		status=$?
		[ $status -eq 2 ] || fail "rmap $* $where: exit status $status"
		[ "$where" = '>&- 2>&-' ] || grep -q "could not be written" "$work/err" ||
			fail "rmap $* $where: it is not said that output is lost"
	done
}
lost --help
lost --version
lost help
for command in snapshot shares diff freed who bench lab; do
	lost $command --help
	lost $command --usage
done
lost bench --list
lost snapshot --load "$recording"
lost snapshot --load "$recording" --json
lost snapshot --load "$recording" --json --top 100000
lost diff "$recording" "$recording"
lost diff "$recording" "$recording" --json
lost diff "${older[1]}" "$recording" --csv
lost shares --load "$recording"
lost shares --load "$recording" --json
lost shares --load "$recording" --csv
lost who --load "$recording" --pfn "$pfn"
lost who --load "$recording" --pfn "$pfn" --json
# A file that is opened meanwhile does not become standard output or standard error.
"$rmap" snapshot --load "$recording" --save "$work/again" >&- 2>&-
cmp -s "$recording" "$work/again" || fail "with descriptors closed, the recording is another"

# Files with a right checksum and a wrong content. The last frame's count is made 0: a mismatch, which is named.
"$tool_forge" "$recording" "$work/forged" -3 0 || fail "tool_forge fails"
"$rmap" shares --load "$work/forged" >"$work/out"
[ $? -eq 1 ] || fail "of shares, a mismatch does not give exit status 1"
grep -q "its parts are not certain" "$work/out" || fail "it is not said that shares of a mismatched page are not certain"
"$rmap" snapshot --load "$work/forged" >"$work/out"
[ $? -eq 1 ] || fail "a mismatch does not give exit status 1"
grep -q " 1 mismatched" "$work/out" || fail "a mismatch is not reported"
grep -q "the kernel counts 0" "$work/out" || fail "a mismatched page is not named"
# It was recorded in a PID namespace, outside of which the kernel counted more. Without the flag that says so, that differs.
"$tool_forge" "$recording" "$work/forged" 21 0 || fail "tool_forge fails"
"$rmap" snapshot --load "$work/forged" >"$work/out"
[ $? -eq 1 ] || fail "fewer mappings than the kernel counts are no mismatch"
# Names may be any bytes. None is a command to the terminal: here C1, C0, DEL and a change of direction, then a byte that is no
# UTF-8. They are kept as they are.
at=$(grep -abo -m 1 'libc.so.6' "$recording" | head -n 1 | cut -d: -f1)
"$tool_forge" "$recording" "$work/forged" "$at" 0xc2 $((at + 1)) 0x9b $((at + 2)) 0x1b $((at + 3)) 0x7f $((at + 4)) 0xe2 \
	$((at + 5)) 0x80 $((at + 6)) 0xae $((at + 7)) 0xc3 $((at + 8)) 0xa4 || fail "tool_forge fails"
for locale in C.UTF-8 C; do
	LC_ALL=$locale "$rmap" snapshot --load "$work/forged" --save "$work/again" >"$work/out" || fail "forged names do not load"
	cmp -s "$work/forged" "$work/again" || fail "saved again, forged names are others"
	LC_ALL=C grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae' "$work/out" &&
		fail "in the locale $locale, a name controls the terminal"
	LC_ALL=$locale "$rmap" shares --by file --limit 0 --load "$work/forged" | LC_ALL=C grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae' &&
		fail "in the locale $locale, a name among shares controls the terminal"
done
grep -q '/???????' "$work/out" || fail "a forged name is not shown"
LC_ALL=C.UTF-8 "$rmap" snapshot --load "$work/forged" | grep -q '/????ä' || fail "a letter of a forged name is not shown"
"$rmap" snapshot --load "$work/forged" --json --top 1000 >"$work/out" || fail "no JSON with forged names"
grep -qaP '[^\n\x20-\x7f]' "$work/out" && fail "JSON with forged names is not ASCII"
grep -qF '/\u009B\u001B'$'\x7f''\u202E\u00E4"' "$work/out" || fail "in JSON, a forged name is another"
# CSV quotes what parts cells and lines, and keeps no other control character; a name that is no UTF-8 is as in JSON.
"$tool_forge" "$recording" "$work/forged" "$at" 0x2c $((at + 1)) 0x22 $((at + 2)) 0x0a $((at + 3)) 0x0d \
	$((at + 4)) 0xe2 $((at + 5)) 0x80 $((at + 6)) 0xae $((at + 7)) 0xc2 $((at + 8)) 0x9b || fail "tool_forge fails"
LC_ALL=C "$rmap" shares --load "$work/forged" --by file --csv >"$work/out" || fail "no CSV with forged names"
grep -A 1 -F '/,""' "$work/out" | grep -A 1 '^file,"/.*/,""$' | tail -n 1 | grep -q '^???",,,,[0-9]' ||
	fail "in CSV, a forged name is another: $(grep -a -A 1 -F '/,""' "$work/out")"
"$tool_forge" "$recording" "$work/forged" "$at" 0x0a $((at + 1)) 0x7f $((at + 2)) 0xc3 $((at + 3)) 0xa4 ||
	fail "tool_forge fails"
LC_ALL=C "$rmap" shares --load "$work/forged" --by file --csv | grep -A 1 '^file,"[^"]*/$' | grep -q '^?ä.so.6",' ||
	fail "CSV lacks a letter of a name, or quotes for a newline"
"$tool_forge" "$recording" "$work/forged" $((at + 1)) 0xff || fail "tool_forge fails"
python3 "$work/table.py" "$rmap" shares --load "$work/forged" --by file ||
	fail "in CSV a name that is no UTF-8 is not as in JSON"
# A recording of a kernel that tells averages says so.
"$tool_forge" "$recording" "$work/forged" 21 6 || fail "tool_forge fails"
"$rmap" snapshot --load "$work/forged" | grep -q "tells the average only" || fail "it is not said that averages are compared"
# A verdict that there is not, a page shift of 63, and a page that has two mappings though pagemap said it has one.
for bytes in "-3 15" "20 63" "-33 16"; do
	"$tool_forge" "$recording" "$work/forged" $bytes || fail "tool_forge fails"
	expect 2 "makes no sense" "$rmap" snapshot --load "$work/forged"
done
# Anything at all: no crash, and an exit status that is one of ours.
for ((seed = 1; seed <= 300; seed++)); do
	"$tool_forge" "$recording" "$work/forged" --seed $seed || fail "tool_forge fails"
	command="snapshot"
	[ $((seed % 3)) -ne 0 ] || command="shares ${bys[*]}"
	# shellcheck disable=SC2086
	timeout 60 "$rmap" $command --load "$work/forged" --json >"$work/out" 2>"$work/err"
	status=$?
	[ $status -le 2 ] || fail "forged with seed $seed, $command: exit status $status: $(cat "$work/err")"
done

[ $failures -eq 0 ] && echo "tools.sh: passed"
[ $failures -eq 0 ]
