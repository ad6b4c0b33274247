#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# `rmap lab`: every workload runs on every backend that can, with one and with two threads, and is in order at its end; the
# JSON has every field and fits itself; bad command lines are refused.
# Times are not judged here: a test machine is busy. What is counted in steps or bytes is, where all backends must agree.
#
# usage: lab.sh PATH-TO-rmap RECORDING
set -eu

rmap=${1:?give the path of the rmap command}
recording=${2:?give the path of a recorded system}
command=lab
. "$(dirname "$0")/measured.sh"

refused '"fork" is no option' fork
refused '--seconds takes' --seconds 0
refused '--repeat takes' --repeat 1001
refused '--threads takes' --threads 0
refused '--threads takes' --threads 65
refused '--seed takes' --seed x
refused 'no row has "nothing"' --filter nothing
refused 'or it needs --from' --filter recorded
refused 'no backend has "nothing"' --backend nothing
refused '--set takes a name' --set tasks
refused 'a parameter "task"' --set task=1
refused 'a parameter "windows"' --filter fork --set windows=1
refused '--set takes a whole number' --set tasks=0
refused '--set takes a whole number' --set tasks=many
refused "$scratch/none" --from "$scratch/none"
refused 'lab.sh' --from "$0"
refused 'cannot write' --json "$scratch/none/result"
refused_pages --quick
refused 'there is no option' --fast

"$rmap" lab --list >"$scratch/list"
grep -q '^fork ' "$scratch/list" || fail '--list does not name fork'
grep -q '^    tasks ' "$scratch/list" || fail '--list does not name a parameter'
for backend in hybrid hybrid-clusters hybrid-addresses; do
	grep -q "^$backend " "$scratch/list" || fail "--list does not name $backend"
done
if [ -w /dev/full ]; then
	status=0
	"$rmap" lab --quick --filter shm/1 --backend null --seconds 0.01 --repeat 1 --json /dev/full >/dev/null \
		2>"$scratch/err" || status=$?
	[ "$status" -eq 2 ] || fail "a full disk gives exit status $status"
fi

# All of it, as small as can be. Some parameters belong to some workloads alone.
small='--set tasks=3 --set vmas=8 --set pages=64 --set windows=16 --set others=2 --set reads=8 --set writes=8'
# shellcheck disable=SC2086
"$rmap" lab --quick --seconds 0.1 --repeat 1 --seed 7 --from "$recording" $small --json "$scratch/all.json" \
	>"$scratch/all.table" || fail 'a run of all failed'
sed '1,/^hybrid, target/d' "$scratch/all.table" | grep -qE ' (met|MISSED)$' || fail 'no verdicts beside --json FILE'
[ "$(wc -L <"$scratch/all.table")" -le 120 ] || fail 'a table of more than 120 columns'
grep -q '^2003, x pte chains' "$scratch/all.table" || fail 'nothing published stands beside rmap-test'
# The same steps with the same seed, by one thread: all backends do the same operations, and so do two runs.
# Vmas are four for each library: others are left out.
"$rmap" lab --quick --filter fork/1 --backend null --set vmas=6 --set others=1 --seconds 0.01 --repeat 1 >/dev/null ||
	fail "six vmas are refused"
"$rmap" lab --quick --filter shm/1 --seconds 0.01 --repeat 2 --set pages=32 --threads 1 --json - >"$scratch/one.json" ||
	fail 'a filtered run failed'
refused_results "$scratch/one.json" benchmark machine backends cases contenders min verdicts what than met

python3 - "$scratch" <<'PYTHON'
import json
import os
import sys

scratch = sys.argv[1]
CALLS = {"changes, ns", "fills, ns", "vmas, ns", "walks, ns", "truncates, ns"}
FIGURES = CALLS | {"ns", "rounds", "ratio", "rmap, ns", "x hybrid, rmap", "clocked, ns", "k ops/s", "peak, KiB", "bytes a mapping",
           "wasted, %", "failures in 1000", "left in 1000", "p99 of a walk, ns", "done, %"}


def load(name):
    with open(os.path.join(scratch, name)) as file:
        return json.load(file)


def figure(row, contender, what):
    return row["contenders"][contender][what]["median"]


def check_row(report, row):
    where = (row["case"], row["n"])
    assert row["steps"] >= 1 and row["operation"] and row["parameters"], where
    assert sorted([*row["contenders"], *row["unable"]]) == sorted(report["backends"]), where
    assert ("null" in row["unable"]) == (row["rmap"] == "clock"), where
    for name, figures in row["contenders"].items():
        assert set(figures) == FIGURES, (where, name, figures.keys())
        for what, spread in figures.items():
            if what != "rounds":
                assert spread["min"] <= spread["median"] <= spread["max"], (where, name, what)
        assert len(figures["rounds"]) == report["repeat"] and figures["ns"]["min"] > 0, (where, name)
        assert 0 <= figure(row, name, "wasted, %") <= 100 and 0 < figure(row, name, "done, %") <= 101, (where, name)
        clocked = sum(figure(row, name, call) for call in CALLS)
        assert report["repeat"] > 1 or abs(clocked - figure(row, name, "clocked, ns")) <= 1e-3 * clocked, (where, name)
        assert sum(row["parts"][name].values()) >= 0, (where, name)
    assert figure(row, "hybrid", "ratio") == figure(row, "hybrid", "x hybrid, rmap") == 1, where
    assert ("rmap-test" in row["case"]) == (row["published"] is not None), where


def check(report):
    assert report["benchmark"] == "lab" and report["quick"] is True
    assert all(report["machine"][key] for key in ("cpu", "cores", "kernel", "compiler", "flags", "build"))
    for row in report["cases"]:
        check_row(report, row)
    for verdict in report["verdicts"]:
        assert verdict["met"] == (verdict["measured"] <= verdict["target"]), verdict
        assert verdict["than"] in report["backends"] and verdict["than"] != "null", verdict


everything = load("all.json")
check(everything)
assert everything["verdicts"]
assert everything["seed"] == 7 and everything["repeat"] == 1
with open(os.path.join(scratch, "list")) as file:
    workloads = [line.split()[0] for line in file.read().split("\n\n")[0].splitlines() if line[0] != " "]
assert [(row["case"], row["n"]) for row in everything["cases"]] == [(name, n) for name in workloads for n in (1, 2)]
rows = {(row["case"], row["n"]): row for row in everything["cases"]}
assert rows["fork", 1]["parameters"]["others"] == 2 and rows["shm", 2]["parameters"]["tasks"] == 3
# What the mail promises: linear and locked mappings take no memory, and are found all the same.
assert rows["rmap-test-1", 1]["rmap"] == "clock" and rows["shm", 1]["rmap"] == "difference"
assert figure(rows["aging", 1], "hybrid", "p99 of a walk, ns") > 0
one = load("one.json")
check(one)
assert [(row["case"], row["n"]) for row in one["cases"]] == [("shm", 1)] and one["threads"] == 1
PYTHON
echo 'lab: all checks passed'
