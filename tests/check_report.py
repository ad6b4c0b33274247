#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_report.py - what scripts/check-report makes of logs that are forged: above all, that nothing left out has passed"""
import json
import pathlib
import subprocess
import sys
import tempfile

REPORT = pathlib.Path(__file__).resolve().parent.parent / "scripts/check-report"


def entry(name, result, output="", returncode=0):
    return {"name": f"rmap:{name}", "result": result, "stdout": output, "returncode": returncode, "duration": 300.0}


def report(notes, *entries):
    """Exit status, last line and the report itself, for one variant called plain."""
    with tempfile.TemporaryDirectory(prefix="rmap-report-") as where:
        build = pathlib.Path(where)
        (build / "plain/meson-logs").mkdir(parents=True)
        (build / "plain/meson-logs/testlog.json").write_text("".join(json.dumps(line) + "\n" for line in entries))
        (build / "check.notes").write_text("".join("\t".join(words) + "\n" for words in notes))
        done = subprocess.run([REPORT, build / "check.notes", build / "check.json"], stdout=subprocess.PIPE, text=True,
                              check=False)
        return done.returncode, done.stdout.splitlines()[-1], json.loads((build / "check.json").read_text())


GOOD = entry("unit / unit_page", "OK", "1..2\nok 1 - a\nok 2 - b\n")
TESTED = ("tested", "plain", "0", "5")
failures = 0


def expect(what, notes, entries, status, line, holds=lambda json: True):
    global failures
    got = report(notes, *entries)
    if got[:2] != (status, line) or not holds(got[2]):
        print(f"check_report.py: {what}: {got}", file=sys.stderr)
        failures += 1


def one(kind, **fields):
    """The report has one entry of this kind, with these fields."""
    return lambda json: len(json[kind]) == 1 and fields.items() <= json[kind][0].items()


expect("a good run", [("version", "gcc", "12"), TESTED], [GOOD], 0, "1 passed, 0 failed",
       lambda json: json["versions"]["gcc"] == "12" and json["result"] == "passed" and not json["not_run"] and
       json["layers"] == [{"variant": "plain", "layer": "unit", "passed": 1, "failed": 0, "not_run": 0, "cases": 2,
                           "seconds": 300.0}])
expect("a failure", [("tested", "plain", "1", "5")], [GOOD, entry("unit / x", "FAIL", "", 1)], 1, "1 passed, 1 failed",
       one("failures", variant="plain", layer="unit", test="x"))
expect("no test at all", [TESTED], [], 1, "0 passed, 1 failed", one("failures", layer="build"))
expect("no variant at all", [], [], 1, "0 passed, 0 failed")
expect("a status that no test explains", [("tested", "plain", "2", "5")], [GOOD], 1, "1 passed, 1 failed")
expect("a variant that does not build", [("failed", "asan", "it does not build"), TESTED], [GOOD], 1,
       "1 passed, 1 failed", one("failures", variant="asan", layer="build"))
expect("no emulator", [("lacks", "aarch64", "emulator", "none"), TESTED], [GOOD], 3, "1 passed, 0 failed, 1 skipped",
       one("not_run", variant="aarch64", lacks="emulator", fails=True))
expect("too slow", [("tested", "plain", "1", "5")], [GOOD, entry("spin / truncate-1", "TIMEOUT", "", -15)], 3,
       "1 passed, 0 failed, 1 skipped",
       lambda json: one("not_run", layer="spin", lacks="time", fails=True)(json) and json["result"] == "incomplete" and
       "too slow here" in json["not_run"][0]["why"])
expect("no root", [TESTED], [entry("tools / live", "SKIP", "not run: root: hidden\n", 77)], 0,
       "0 passed, 0 failed, 1 skipped", one("not_run", lacks="root", why="hidden", fails=False))
expect("a case left out", [TESTED], [entry("unit / x", "OK", "1..2\nok 1 - a\n# not run: kernel: none\nok 2 # SKIP b\n")],
       0, "1 passed, 0 failed", one("not_run", test="x: b", lacks="kernel", why="none"))
expect("all cases left out", [TESTED], [entry("unit / x", "SKIP", "1..1\n# not run: build: no\nok 1 # SKIP b\n")], 0,
       "0 passed, 0 failed, 1 skipped", one("not_run", test="x: b", lacks="build"))
expect("a case left out in silence", [TESTED], [entry("unit / x", "OK", "1..2\nok 1 - a\nok 2 # SKIP b\n")], 1,
       "0 passed, 1 failed", one("failures", test="x"))
expect("a reason that was another's", [TESTED],
       [entry("unit / x", "OK", "1..2\n# not run: build: no\nok 1 # SKIP a\nok 2 # SKIP b\n")], 1, "0 passed, 1 failed")
expect("a part left out", [TESTED], [entry("tools / live", "OK", "not run: root: hidden\n")], 0, "1 passed, 0 failed",
       one("not_run", test="live", lacks="root"))
expect("a program left out in silence", [TESTED], [entry("tools / live", "SKIP", "skipped\n", 77)], 1,
       "0 passed, 1 failed")
expect("a lack that the layer may not have", [TESTED], [entry("stress / mix", "SKIP", "not run: kernel: none\n", 77)], 1,
       "0 passed, 1 failed")
expect("a promised package", [TESTED], [entry("headers / page.h", "SKIP", "not run: package: none\n", 77)], 3,
       "0 passed, 0 failed, 1 skipped", one("not_run", fails=True))
sys.exit(1 if failures else 0)
