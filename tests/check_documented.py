#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_documented.py - is every field of the JSON on standard input in docs/rmap.md?"""
import json
import pathlib
import re
import sys

text = (pathlib.Path(__file__).parent.parent / "docs/rmap.md").read_text()
documented = set(re.findall(r"`(\w+)`", text[text.index("## JSON"):text.index("## CSV")]))


def fields(value):
    if isinstance(value, dict):
        return set(value).union(*map(fields, value.values()))
    return set().union(*map(fields, value)) if isinstance(value, list) else set()


missing = fields(json.load(sys.stdin)) - documented
if missing:
    sys.exit("check_documented.py: docs/rmap.md does not say what these are: " + ", ".join(sorted(missing)))
