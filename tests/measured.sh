# SPDX-License-Identifier: BSD-2-Clause
# measured.sh - what the tests of `rmap bench` and `rmap lab` share. To be sourced, with $rmap and $command set: a folder
# $scratch that goes in the end, fail and refused.
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
