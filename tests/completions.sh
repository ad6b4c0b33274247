#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# completions.sh - what the shells complete of `rmap` is what it takes: no more, no less
#
#      completions.sh bash|zsh RMAP FILE
#
# It is compared with what `rmap COMMAND --usage` says, and what complaints list, of which FILE reads neither. All
# failures are told, then the exit status is 1.
set -u
shell=$1 rmap=$2 file=$3
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
	echo "completions.sh: $*" >&2
	failures=$((failures + 1))
}

# same WHAT GOT WANTED: both have the same words, in any order.
same() {
	diff <(sort -u <<<"$2") <(sort -u <<<"$3") >"$work/diff" ||
		fail "$1: < is completed, > is right: $(cat "$work/diff")"
}

# complaint WORDS...: the words that a complaint about --by or --sort says it wants
complaint() {
	"$rmap" "$@" 2>&1 | sed -n 's/.* wants \(.*\), not .*/\1/p' |
		sed 's/, or /, /; s/ or /, /; s/ beside.*//; s/, /\n/g'
}

if [ "$shell" = zsh ] && ! command -v zsh >/dev/null; then
	exec "$(dirname "$0")/../scripts/not-run" package "there is no zsh"
fi
"$shell" -n "$file" || fail "$file is not well-formed"

# completed WORD...: what may stand in place of the last word, a line each
if [ "$shell" = bash ]; then
	# shellcheck disable=SC1090
	. "$file"
	compopt() { :; }
	completed() {
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		COMPREPLY=()
		_rmap "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
		printf '%s\n' "${COMPREPLY[@]}"
	}
	# options COMMAND: its options, those that take an argument with a = behind them
	options() {
		completed "$rmap" "$1" --
	}
	# argument COMMAND OPTION WORD: what WORD, the argument of OPTION, may be
	argument() {
		completed "$rmap" "$1" "$2" "$3"
	}
else
	# The functions of zsh say what they are given.
	cat >"$work/complete" <<-'END'
		fpath=("$1" $fpath)
		autoload -Uz _rmap
		_arguments() { print -rl -- "$@" }
		_describe() { print -rl -- "${(P@)2%%:*}" }
		shift
		words=("$@") CURRENT=$#
		_rmap
	END
	cp "$file" "$work/_rmap"
	completed() {
		zsh -f "$work/complete" "$work" "$@"
	}
	options() {
		completed "$rmap" "$1" -- | grep -oE -- '^\*--[a-z]+=?' | tr -d '*'
	}
	argument() {
		completed "$rmap" "$1" "$2" "$3" | grep -F -- "*$2=[" |
			sed 's/.*\]:[^:]*:\([^:]*\)$/\1/; s/[()]//g; s/ /\n/g'
	}
fi

commands=$("$rmap" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
same "rmap" "$(completed "$rmap" "")" "$(printf '%s\n' help --help --version "$commands")"

# What arguments are called, and of what they are to be completed. Whoever calls one otherwise adds it here and there.
: >"$work/recording"
declare -A words=([FILE]="$work/recording" [PATH]="$work/recording" [PID]=$$ ["PID|CGROUP"]=$$)
[ "$shell" = bash ] || words=([FILE]=_files [PATH]=_files [PID]=_rmap_pids ["PID|CGROUP"]=_rmap_pids_or_cgroups)
for command in $commands; do
	usage=$("$rmap" "$command" --usage | grep -oE -- '--[a-z]+(=[A-Z|]+)?\]')
	same "rmap $command" "$(options "$command")" "$(sed 's/=.*/=/; s/]$//' <<<"$usage")"
	while IFS='=]' read -r option called; do
		called=${called%]}
		case $called in
		'' | N | S | TEXT | ADDR | OFFSET | PFN) ;;
		FILE | PATH | PID | 'PID|CGROUP')
			begun=${words[$called]}
			argument "$command" "$option" "${begun%?}" | grep -qxF "$begun" ||
				fail "$command $option completes no $called"
			;;
		SETTING)
			wanted=$("$rmap" lab --list | sed -n 's/^    \([a-z]*\) .*/\1=/p')
			same "rmap $command $option" "$(argument "$command" "$option" "")" "$wanted"
			;;
		WHAT | FIGURE)
			recordings=()
			[ "$command" != diff ] || recordings=(a b)
			wanted=$(complaint "$command" "$option" "" "${recordings[@]}")
			# Only beside --with of shares.
			[ "$command" != diff ] || [ "$called" != FIGURE ] || wanted+=$'\nshared'
			same "rmap $command $option" "$(argument "$command" "$option" "")" "$wanted"
			;;
		*)
			fail "rmap $command $option: nobody knows how to complete $called"
			;;
		esac
	done <<<"$usage"
done

# Operands, behind an option without an argument as behind none.
if [ "$shell" = bash ]; then
	for command in "diff" "diff --json" "diff a"; do
		# shellcheck disable=SC2086
		[ "$(completed "$rmap" $command "$work/rec")" = "$work/recording" ] ||
			fail "rmap $command completes no files"
	done
	completed "$rmap" freed "${words[PID]%?}" | grep -qx $$ || fail "rmap freed completes no processes"
	# Of --by=c bash makes three words.
	[ "$(completed "$rmap" shares --by = c)" = cgroup ] || fail "rmap shares --by=c completes no cgroup"
	same "rmap shares --by=" "$(completed "$rmap" shares --by =)" "$(completed "$rmap" shares --by "")"
	cgroup=$(sed -n 's/^0:://p' /proc/self/cgroup)
	[ -z "$cgroup" ] || completed "$rmap" freed / | grep -qxF "$cgroup" ||
		fail "rmap freed completes no cgroups"
	same "rmap bench" "$(completed "$rmap" bench "")" "$("$rmap" bench --list | sed 's/ .*//')"
	[ -z "$(completed "$rmap" bench --filter "")" ] ||
		fail "rmap bench --filter completes what is no text of the user's"
else
	completed "$rmap" diff "" | grep -q '^\*:OLD:_files$' || fail "rmap diff completes no files"
	completed "$rmap" freed "" | grep -q '^\*:PID|CGROUP:_rmap_pids_or_cgroups$' ||
		fail "rmap freed completes no processes"
	benchmarks=$("$rmap" bench --list | sed 's/ .*//' | paste -sd ' ')
	completed "$rmap" bench "" | grep -qxF "*:BENCHMARK:($benchmarks)" || fail "rmap bench completes no benchmarks"
fi

[ $failures -eq 0 ] && echo "completions.sh: passed"
[ $failures -eq 0 ]
