# SPDX-License-Identifier: BSD-2-Clause
# measured.sh - what the tests of `rmap bench` and `rmap lab` share. To be sourced, with $rmap and $command set: a folder
# $scratch that goes in the end, fail, refused, refused_pages and refused_results.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
	echo "$command: $*" >&2
	exit 1
}

# refused WORDS ARGUMENT...: exit status 2, nothing on standard output, and WORDS in the message
refused() {
	words=$1
	shift
	status=0
	"$rmap" "$command" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
	[ "$status" -eq 2 ] || fail "'rmap $command $*' ended with $status, not 2"
	[ ! -s "$scratch/out" ] || fail "'rmap $command $*' was refused but wrote to standard output"
	grep -q -e "$words" "$scratch/err" || fail "'rmap $command $*' did not say '$words': $(cat "$scratch/err")"
}

# refused_pages WORD...: what no page is made of, or written to, is refused; WORD... is what could be measured. Without d3 all is.
refused_pages() {
	refused 'give these two alone' --load "$0"
	refused 'give these two alone' --load "$0" --html "$scratch/page" "$@" --repeat 1
	refused 'give these two alone' --load "$0" --html "$scratch/page" --json "$scratch/json"
	refused 'cannot be written (No such file\|node-d3' "$@" --html "$scratch/none/page"
	refused 'cannot be written (Is a directory\|node-d3' "$@" --html "$scratch"
	refused 'no result of this command (unable to open\|node-d3' --load "$scratch/none" --html "$scratch/page"
	refused 'no result of this command\|node-d3' --load "$0" --html "$scratch/page"
	[ ! -e "$scratch/page" ] || fail 'a page was made of no result'
}

# refused_results RESULT FIELD...: a page is made of it where there is d3; of one that calls a FIELD otherwise, is of another
# benchmark, or has no rows, none is made.
refused_results() {
	result=$1
	shift
	status=0
	"$rmap" "$command" --load "$result" --html "$scratch/page" 2>"$scratch/err" || status=$?
	[ "$status" -eq 0 ] || grep -q node-d3 "$scratch/err" || fail "no page is made of a result: $(cat "$scratch/err")"
	rm -f "$scratch/page"
	for change in '/"cases": \[/s//"cases": [], "others": [/' '/"benchmark": "[a-z]*"/s//"benchmark": "none"/' "$@"; do
		case $change in /*) ;; *) change="s/\"$change\":/\"other\":/" ;; esac
		sed "$change" "$result" >"$scratch/changed"
		refused "(it has other fields); name what rmap $command --json wrote\|node-d3" --load "$scratch/changed" \
			--html "$scratch/page"
	done
	[ ! -e "$scratch/page" ] || fail 'a page was made of what is no result'
}
