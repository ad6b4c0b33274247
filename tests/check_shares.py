#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_shares.py - does what `rmap shares --json` says fit itself?

     rmap shares --json --by process --by cgroup --by user | check_shares.py [--print | --with]

Parts sum up to the whole where each process is in one group, no figure is larger than it can be, and groups are in order.
--with: groups were left out that share nothing. --print: print what is the same in every run of one recording.
"""
import json
import sys

report = json.load(sys.stdin)
failures = 0


def expect(right, what):
    global failures
    if not right:
        print(f"check_shares.py: this should hold: {what}", file=sys.stderr)
        failures += 1


FIGURES = ["rss", "pss", "uss", "swap", "locked", "unsettled"]
whole, page = report["whole"], report["page_size"]
expect(page >= 4096 and whole["rss"] > 0, "there is memory")
for tally in report["tallies"]:
    by, groups = tally["by"], tally["groups"]
    expect(groups, f"there are groups by {by}")
    for group in groups:
        what = f"by {by}, {group['name']}: "
        expect(all(isinstance(group[figure], int) and group[figure] >= 0 for figure in FIGURES), what + "figures are natural numbers")
        expect(all(group[figure] % page == 0 for figure in FIGURES if figure != "pss"), what + "all but Pss are whole pages")
        expect(group["uss"] <= group["rss"] and group["pss"] <= group["rss"], what + "Uss and Pss <= Rss")
        expect(group["uss"] <= group["pss"] or by in ("file", "kind"), what + "Uss <= Pss")
        expect(group["rss"] <= whole["rss"] and group["swap"] <= whole["swap"], what + "no group is larger than the whole")
        if by == "process":
            expect(group["pid"] > 0 and "cgroup" in group and "uid" in group, what + "processes have pid, cgroup, uid")
    order = [-group["shared" if "--with" in sys.argv else "pss"] for group in groups]
    expect(order == sorted(order), f"by {by}, the largest is first")
    matrix = tally.get("matrix", [])
    expect(len(matrix) in (0, min(len(groups), 64)), f"by {by}, the matrix is of the groups that are listed")
    for i, group in enumerate(groups[: len(matrix)]):
        expect(group["rss"] == matrix[i][i], f"by {by}, the matrix's diagonal is Rss")
    for i, row in enumerate(matrix):
        for k, common in enumerate(row):
            expect(common == matrix[k][i] <= min(row[i], matrix[k][k]), f"by {by}, the matrix is symmetric, and no pair has more than each")
    expect(all(group.get("shared", 0) <= group["rss"] for group in groups), f"by {by}, what is shared is a part of Rss")
    if "--with" in sys.argv:
        expect(all(group["shared"] > 0 for group in groups), f"by {by}, all that are listed share something")
        continue
    if not tally["left_out"]:
        # Each is rounded to a byte.
        expect(abs(sum(group["pss"] for group in groups) - whole["pss"]) <= len(groups), f"by {by}, Pss sums up to the whole")
        expect(sum(group["uss"] for group in groups) <= whole["rss"], f"by {by}, nothing is exclusive twice")
if "--print" in sys.argv:
    json.dump(report, sys.stdout, indent=1, sort_keys=True)
sys.exit(failures > 0)
