#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_watch.py - does `rmap shares --watch` tell what changes, and does it end when and as it should?

     check_watch.py RMAP

Needs what `rmap shares` needs. All failures are told, then the exit status is 1.
"""
import array
import atexit
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

GROWN = 16 << 20
PATIENCE = 60
rmap = sys.argv[1]
failures = 0


def expect(right, what):
    global failures
    if not right:
        print(f"check_watch.py: this should hold: {what}", file=sys.stderr)
        failures += 1


def watch(*words, **how):
    how = {"stdout": subprocess.PIPE, "text": True, **how}
    child = subprocess.Popen([rmap, "shares", "--watch=1", *words], **how)
    # Killing what has ended does nothing.
    atexit.register(child.kill)
    return child


def finish(child, number, what):
    child.send_signal(number)
    rest = child.communicate(timeout=PATIENCE)[0]
    expect(child.returncode == 0, f"{what}: signal {number} ends it with exit status 0, not {child.returncode}")
    return rest


def changes():
    """A line of JSON for each reading, and a process that grows is in it."""
    grower = subprocess.Popen([sys.executable, "-c", f"""
input()
memory = bytearray(b"x" * {GROWN})
print("grown", flush=True)
input()"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = watch("--json", "--sort", "rss")
    first = json.loads(child.stdout.readline())
    expect(first["changes"] is None and first["tallies"], "the first of all readings has nothing to compare with")
    print(file=grower.stdin, flush=True)
    grower.stdout.readline()
    grown, before, readings = 0, first, 1
    while grown < GROWN or readings < 3:
        now = json.loads(child.stdout.readline())
        expect(now["time"] >= before["time"], "readings have their times")
        changed = now["changes"]
        wholes = [changed["old"], changed["new"]]
        expect(wholes == [before["whole"], now["whole"]], "changes are those since the reading before")
        for group in changed["tallies"][0]["groups"]:
            if group["pid"] == grower.pid:
                grown += sum(sign * group[side]["rss"] for side, sign in (("old", -1), ("new", 1)) if group[side])
        before, readings = now, readings + 1
        if now["time"] > first["time"] + PATIENCE:
            break
    expect(GROWN <= grown < 2 * GROWN, f"it is told that a process has grown by 16 MiB: {grown}")
    for line in finish(child, signal.SIGINT, "JSON").splitlines():
        json.loads(line)
    grower.communicate("\n", timeout=PATIENCE)


def text():
    """Reports follow each other, in 80 columns, and all are whole."""
    child = watch()
    said = ""
    while said.count("did not change") < 2 and (line := child.stdout.readline()):
        said += line
    said += finish(child, signal.SIGTERM, "text")
    parts = re.split(r"^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, every 1 second$)", said, flags=re.MULTILINE)
    expect(parts[0] == "" and len(parts) > 2, "each report has the time before it")
    ends = [part.endswith("\n\n") for part in parts[1:]]
    expect(all(ends[:-1]) and not ends[-1], "a line between reports is empty")
    changed = ["Change since" in part for part in parts[1:]]
    expect(not changed[0] and all(changed[1:]), "all but the first tell what changed")
    expect(all(part.rstrip().endswith("did not change") for part in parts[2:]), "no report is cut short")
    expect(max(len(line) for part in parts for line in part.splitlines()) <= 80, "the text has 80 columns")


def halfway():
    """A signal while a report is written, to a pipe that takes no more, leaves it whole."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    child = watch("--json", "--by", "process", "--by", "file", stdout=writing)
    os.close(writing)
    waiting, patience = array.array("i", [0]), time.monotonic() + PATIENCE
    while waiting[0] < 4096 and time.monotonic() < patience:
        fcntl.ioctl(reading, termios.FIONREAD, waiting)
    child.send_signal(signal.SIGTERM)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    child.wait(PATIENCE)
    expect(waiting[0] == 4096 and len(lines) == 1 and json.loads(lines[0]), "a signal does not cut a report in half")
    expect(child.returncode == 0, "a signal that comes while a report is written ends it with exit status 0")


def closed():
    """Who reads no more need not wait for the next report."""
    child = watch("--watch=86400", "--json")
    child.stdout.readline()
    child.stdout.close()
    expect(child.wait(PATIENCE) == 0, "it ends when the pipe is closed")
    if os.access("/dev/full", os.W_OK):
        with open("/dev/full", "w") as full:
            child = watch("--watch=86400", stdout=full, stderr=subprocess.PIPE)
            said = child.communicate(timeout=PATIENCE)[1]
            expect("could not be written" in said and child.returncode == 2, "lost output is told")


def terminal():
    """On a terminal each report takes the place of the one before, and has room there."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
    child = watch(stdout=slave)
    os.close(slave)
    shown, patience = b"", time.monotonic() + PATIENCE
    while shown.count(b"\033[H\033[J") < 3 and time.monotonic() < patience:
        shown += os.read(master, 4096)
    child.send_signal(signal.SIGTERM)
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:  # what Linux says at the end
        pass
    expect(child.wait(PATIENCE) == 0, "on a terminal a signal ends it with exit status 0")
    screens = shown.split(b"\033[H\033[J")
    expect(screens[0] == b"" and len(screens) > 3, "the screen is emptied before each report")
    expect(all(screen.count(b"\n") < 30 for screen in screens), "a report has room in a terminal of 30 rows")


for check in (changes, text, halfway, closed, terminal):
    check()
sys.exit(failures > 0)
