#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# `rmap bench`: every quick row of every benchmark runs, its peers pass their test, the JSON has every field, figures of
# memory are what they must be, and bad command lines are refused.
# Times are not judged here: a test machine is busy. Sizes do not depend on the machine, so those are; of a
# checked build they are only required to be there.
#
# usage: bench.sh PATH-TO-rmap RECORDING
set -eu

rmap=${1:?give the path of the rmap command}
recording=${2:?give the path of a recorded system}
command=bench
. "$(dirname "$0")/measured.sh"

refused 'name a benchmark'
refused 'no benchmark "nothing"' nothing
refused '"chain" is a second one' chain chain
refused '--seconds takes' chain --seconds 0
refused '--seconds takes' chain --seconds nan
refused '--seconds takes' chain --seconds 3s
refused '--repeat takes' chain --repeat 0
refused '--repeat takes' chain --repeat many
refused '--threads takes' chain --threads 1
refused '--threads takes' chain --threads 257
refused '--threads takes' chain --threads 2x
refused 'no row of "chain" has "nothing"' chain --filter nothing
refused 'and is quick' chain --quick --filter walk/1000000
refused 'for "pages"' chain --from "$recording"
refused "$scratch/none" pages --from "$scratch/none"
refused 'bench.sh' pages --from "$0"
refused 'no row of "pages" has "random/100000"' pages --from "$recording" --filter random/100000
refused 'cannot write' chain --json "$scratch/none/result"
refused_pages chain
refused 'there is no option' chain --fast

"$rmap" bench --list >"$scratch/benchmarks"
grep -q '^chain ' "$scratch/benchmarks" || fail '--list does not name chain'
"$rmap" bench --list chain | grep -q '^pair/64 ' || fail '--list chain does not name pair/64'

if [ -w /dev/full ]; then
	for arguments in '--json -' '--json /dev/full'; do
		status=0
		# shellcheck disable=SC2086
		"$rmap" bench chain --filter small/1 --repeat 1 $arguments >/dev/full 2>"$scratch/err" || status=$?
		[ "$status" -eq 2 ] || fail "with $arguments, a full disk gives exit status $status"
	done
fi
"$rmap" bench chain --filter pair/2 --seconds 0.01 --repeat 2 --json - >"$scratch/filtered" || fail 'a filtered run failed'
refused_results "$scratch/filtered" benchmark repeat seconds machine cpu load cases case n unit contenders median targets \
	target bound measured

"$rmap" bench pages --from "$recording" --seconds 0.05 --repeat 2 --json - >"$scratch/from" ||
	fail 'the pages of a recording cannot be measured'

# Every row, in as little time as can be.
for name in $(cut -d ' ' -f 1 "$scratch/benchmarks"); do
	"$rmap" bench "$name" --quick --seconds 0.2 --repeat 1 --json "$scratch/$name.json" >"$scratch/$name.table" ||
		fail "a quick run of $name failed"
	grep -q '^target .*measured' "$scratch/$name.table" || fail "no verdicts beside --json FILE for $name"
	"$rmap" bench --list "$name" | sed '/not with --quick/d; /with --from/d; s/ .*//' >"$scratch/$name.rows"
done

python3 - "$scratch" <<'PYTHON'
import json
import os
import sys

scratch = sys.argv[1]
PEERS = {"rmap", "descriptor", "pte_chain", "twopte", "chunk168", "mutex", "lfht", "ck_hs"}
BOUNDS = {"limit", "limit-one", "loop"}


def load(name):
    with open(os.path.join(scratch, name)) as file:
        return json.load(file)


def figure(row, contender="rmap", what=None):
    return row["contenders"][contender][what or row["unit"]]["median"]


def check_rows(report, repeat):
    for row in report["cases"]:
        where = (row["case"], row["n"])
        assert "rmap" in row["contenders"], where
        for name, figures in row["contenders"].items():
            for what, spread in figures.items():
                if what != "rounds":
                    assert spread["min"] <= spread["median"] <= spread["max"], (where, name, what)
            # A difference may be anything, and a thread may not have run at all in so little time.
            if row["case"] != "block" and "p99" not in figures and row["unit"] != "M/s":
                assert figures[row["unit"]]["min"] > 0, (where, name)
            assert len(figures["rounds"]) in (1, repeat), (where, name)
        first = next(iter(row["contenders"].values()))
        assert first["ratio"]["median"] == 1 or "p99" in first or row["unit"] == "M/s", where


def check(name):
    report = load(name + ".json")
    assert report["benchmark"] == name and report["quick"] is True and report["seconds"] == 0.2
    machine = report["machine"]
    assert all(machine[key] for key in ("cpu", "cores", "kernel", "compiler", "flags", "build")), machine
    assert "load" in machine
    with open(os.path.join(scratch, name + ".rows")) as file:
        wanted = file.read().split()
    assert wanted == ["%s/%d" % (row["case"], row["n"]) for row in report["cases"]], wanted
    check_rows(report, 1)
    assert report["targets"] and len({target["name"] for target in report["targets"]}) == len(report["targets"])
    for target in report["targets"]:
        if "elsewhere" in target:
            continue
        least = target["bound"] == "at least"
        assert least or target["bound"] == "at most", target
        met = target["measured"] >= target["target"] if least else target["measured"] <= target["target"]
        assert target["met"] == met, target
    return report


def check_chain(report):
    rows = {(row["case"], row["n"]): row for row in report["cases"]}
    assert set(rows["pair", 64]["contenders"]) == PEERS | BOUNDS, rows["pair", 64]
    assert set(rows["walk", 1024]["contenders"]) == PEERS | {"limit"}
    assert set(rows["add", 64]["contenders"]) == PEERS
    if report["machine"]["build"] == "checked":
        return
    # What peers take is published; a wrong distribution or a wrong peer would show here.
    published = rows["published", 64853]
    assert 25.7 < figure(published, "descriptor") < 25.9, published
    assert 12.2 < figure(published, "twopte") < 12.4, published
    assert [figure(rows["small", n], "twopte") for n in (1, 2, 3)] == [8, 32, 56]
    assert [figure(rows["small", n], "descriptor") for n in (1, 2, 3)] == [8, 136, 136]
    growing = rows["growing", 1000000]
    assert figure(growing) <= 12 and figure(growing, what="worst") <= 16, growing
    assert figure(rows["small", 1]) <= 8 and figure(rows["small", 2]) <= 40 and figure(rows["small", 3]) <= 40
    assert figure(published) <= 12.0, published
    assert figure(rows["windows", 16]) <= 0.8, rows["windows", 16]
    assert figure(rows["reserve", 32]) <= 16384, rows["reserve", 32]


filtered = load("filtered")
check_rows(filtered, 2)
assert [(row["case"], row["n"]) for row in filtered["cases"]] == [("pair", 2)], filtered["cases"]
recorded = load("from")
assert len(recorded["cases"]) == 8 and all(row["n"] == 0 for row in recorded["cases"]), recorded["cases"]
check_rows(recorded, 2)
with open(os.path.join(scratch, "benchmarks")) as file:
    for line in file:
        name = line.split()[0]
        report = check(name)
        if name == "chain":
            check_chain(report)
        if name == "pages" and report["machine"]["build"] != "checked":
            order = next(row for row in report["cases"] if row["case"] == "order-batch")
            assert figure(order, what="bytes a mapping") <= 12, order
PYTHON
echo 'bench: all checks passed'
