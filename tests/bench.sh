#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# `rmap bench`: the JSON has every field, the memory targets hold, and bad command lines are refused.
# Times are not judged here: a test machine is busy. Sizes do not depend on the machine, so those are; a checked build
# shrinks segments on purpose, and its sizes are only required to be there.
#
# usage: bench.sh PATH-TO-rmap
set -eu

rmap=${1:?give the path of the rmap command}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
	echo "bench: $*" >&2
	exit 1
}

# refused WORDS ARGUMENT...: exit status 2, nothing on standard output, and WORDS in the message
refused() {
	words=$1
	shift
	status=0
	"$rmap" bench "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
	[ "$status" -eq 2 ] || fail "'rmap bench $*' ended with $status, not 2"
	[ ! -s "$scratch/out" ] || fail "'rmap bench $*' was refused but wrote to standard output"
	grep -q -e "$words" "$scratch/err" || fail "'rmap bench $*' did not say '$words': $(cat "$scratch/err")"
}

refused 'name a benchmark'
refused "no benchmark 'nothing'" nothing
refused "'chain' is a second one" chain chain
refused '--seconds takes' chain --seconds 0
refused '--seconds takes' chain --seconds nan
refused '--seconds takes' chain --seconds 3s
refused '--repeat takes' chain --repeat 0
refused '--repeat takes' chain --repeat many
refused 'cannot write' chain --json "$scratch/none/result"
refused 'unrecognized option' chain --fast

"$rmap" bench --list | grep -q '^chain ' || fail '--list does not name chain'

"$rmap" bench chain --quick --seconds 0.2 --repeat 2 --json - >"$scratch/result" || fail 'a quick run failed'
"$rmap" bench chain --quick --seconds 0.2 --repeat 1 --json "$scratch/file" >"$scratch/table" ||
	fail 'a run to a file failed'
grep -q 'target .*measured' "$scratch/table" || fail 'no table beside --json FILE'
if [ -w /dev/full ]; then
	for arguments in '--json -' '--json /dev/full'; do
		status=0
		# shellcheck disable=SC2086
		"$rmap" bench chain --quick --seconds 0.2 --repeat 1 $arguments >/dev/full 2>"$scratch/err" || status=$?
		[ "$status" -eq 2 ] || fail "with $arguments, a full disk gives exit status $status"
	done
fi

python3 - "$scratch/result" "$scratch/file" <<'PYTHON'
import json
import sys

SIZES = [1, 2, 3, 7, 64, 1024, 100000, 1000000]
PEERS = {"limit", "loop", "rmap", "descriptor", "lfht"}


def spread(figures, where):
    assert 0 < figures["min"] <= figures["median"] <= figures["max"], where


def check_case(case, contenders, with_bytes):
    where = (case["case"], case["n"])
    assert set(case["contenders"]) == contenders, where
    for name, figures in case["contenders"].items():
        spread(figures["ns"], where)
        spread(figures["ratio"], where)
        if name in with_bytes:
            assert figures["bytes"] >= 8, where
    assert case["contenders"]["limit"]["ratio"]["median"] == 1, where


def check(path):
    with open(path) as file:
        report = json.load(file)
    assert report["benchmark"] == "chain" and report["quick"] is True and report["seconds"] == 0.2
    machine = report["machine"]
    assert all(machine[key] for key in ("cpu", "cores", "kernel", "compiler", "flags", "build")), machine
    assert "load" in machine
    cases = report["cases"]
    found = {name: [case["n"] for case in cases if case["case"] == name] for name in ("linear", "pair", "walk")}
    assert found == {"linear": [1], "pair": SIZES, "walk": SIZES[4:]}, found
    for case in cases:
        if case["case"] == "linear":
            check_case(case, {"limit", "rmap"}, set())
        elif case["case"] == "pair":
            check_case(case, PEERS, {"rmap", "descriptor", "lfht"})
        else:
            check_case(case, PEERS - {"loop"}, set())
    targets = report["targets"]
    assert len(targets) == 12 and len({target["name"] for target in targets}) == 12
    for target in targets:
        assert target["met"] == (target["measured"] <= target["target"]), target
    memory = report["memory"]
    assert memory["distribution"]["pages"] == 64853
    # What the descriptors take is published; a wrong distribution or a wrong peer would show here.
    assert 25.7 < memory["distribution"]["descriptor"] < 25.9, memory
    if machine["build"] != "checked":
        assert memory["sweep"]["average"] <= 12 and memory["sweep"]["worst"] <= 16, memory
        assert memory["small"][0] <= 8 and max(memory["small"][1:]) <= 40, memory
        assert memory["distribution"]["rmap"] <= 12.0, memory
        assert memory["clusters"]["average"] <= 0.8, memory


for path in sys.argv[1:]:
    check(path)
PYTHON
echo 'bench: all checks passed'
