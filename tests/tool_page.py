#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tool_page.py RMAP TOOL_FORGE CHROMIUM RECORDING... - do the pages of `rmap --html` show what --json prints?

Headless Chromium runs the page of `rmap shares` and `snapshot` of each recording, of one with hostile names, and of a part of the
groups, and those of short runs of `rmap bench` and `lab`, and tells the document that came of it. In that all marks, rows and
figures are looked up; and the console must have been silent.
"""
import html.parser
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

RMAP, FORGE, CHROMIUM = sys.argv[1:4]
RECORDINGS = sys.argv[4:]
WORK = tempfile.TemporaryDirectory()
FIGURES = ["pss", "uss", "rss", "swap"]
SHARING = ["process", "cgroup", "user"]
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Document(html.parser.HTMLParser):
    """What the tests ask of a document: elements, each with its attributes, its text and what it is in."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.stack = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "in": list(self.stack), **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()["tag"] != tag:
            pass

    def handle_data(self, text):
        for element in self.stack:
            element["text"] += text

    def inside(self, outer, **wanted):
        return [element for element in self.elements
                if any(element_in is outer for element_in in element["in"]) and has(element, wanted)]

    def find(self, **wanted):
        [element] = [element for element in self.elements if has(element, wanted)]
        return element


def has(element, wanted):
    """Has it these attributes? The class is one of its classes; an underscore stands for a hyphen."""
    wanted = dict(wanted)
    one = wanted.pop("class_", None)
    return (one is None or one in element.get("class", "").split()) and all(
        element.get(name.replace("_", "-")) == value for name, value in wanted.items())


def browse(address, *options):
    """The document at the address once its scripts have run, and what the console says."""
    ran = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={WORK.name}/profile",
                          "--enable-logging=stderr", "--virtual-time-budget=5000", *options, "--dump-dom", address],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    return ran.stdout, [line for line in ran.stderr.split("\n") if "CONSOLE" in line]


def rmap(command, *words):
    return json.loads(subprocess.run([RMAP, command, "--json", *words], stdout=subprocess.PIPE, check=True).stdout)


def expected(recording, words):
    """The report as --json prints it, with the matrices of those that share."""
    groupings = [f"--by={by}" for by in ("process", "cgroup", "user", "file", "kind")]
    report = rmap("shares", "--load", recording, *groupings, *words)
    sharing = rmap("shares", "--load", recording, *groupings[:3], "--matrix", *words)
    report["tallies"][:3] = sharing["tallies"]
    return report


def shown(name):
    return re.sub("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", "?", name) or "?"


def check_table(document, series, names, rows, foot=()):
    table = document.find(tag="table", data_series=series)
    parts = [part for part in document.inside(table, tag="tr") if part["in"][-1]["tag"] == "tbody"]
    told = [[float(amount["value"]) for amount in document.inside(row, tag="data")] for row in parts]
    assert told == rows, f"the table by {series} has other figures"
    assert [document.inside(row, tag="td")[0]["text"] for row in parts] == names, f"the table by {series} has other names"
    last = [row for row in document.inside(table, tag="tr") if row["in"][-1]["tag"] == "tfoot"]
    assert [[int(amount["value"]) for amount in document.inside(row, tag="data")] for row in last] == list(foot)


def check_marks(document, series, n):
    chart = document.find(tag="svg", data_series=series)
    marks = document.inside(chart, class_="mark")
    assert len(marks) == n, f"the chart by {series} has {len(marks)} marks of {n}"
    places = [float(mark[name]) for mark in marks for name in ("x", "y", "width", "height") if name in mark]
    assert all(0 <= place < 10000 for place in places), f"the chart by {series} has marks that are nowhere"


def label(group):
    return shown(group["name"]) + (f" ({group['pid']})" if "pid" in group else "")


def check_report(document, report):
    whole = [[report["whole"][figure] for figure in FIGURES]]
    for tally in report["tallies"]:
        by, groups = tally["by"], tally["groups"]
        check_table(document, by, [shown(group["name"]) for group in groups],
                    [[group[figure] for figure in FIGURES] for group in groups], whole)
        if by != "cgroup":
            check_marks(document, by, len(groups))
            rest = document.inside(document.find(tag="svg", data_series=by), class_="rest")
            assert len(rest) == (tally["left_out"] > 0), f"by {by}, what is left out is not told"
        if by in SHARING:
            matrix = tally["matrix"]
            pairs = sorted((-row[k], i, k) for i, row in enumerate(matrix) for k in range(i + 1, len(row)) if row[k])
            check_marks(document, f"{by}-matrix", len(matrix) ** 2)
            check_table(document, f"pairs of {by}", [label(groups[i]) for _, i, _ in pairs],
                        [[-common] for common, _, _ in pairs], [])
    fact = document.find(tag="dd", data_fact="mapped")
    assert int(document.inside(fact, tag="data")[0]["value"]) == report["whole"]["rss"], "the head tells another sum"


def write_page(command, *words, status=0):
    """The page that the command writes, its document, and what it prints."""
    page = pathlib.Path(WORK.name) / "it's a page.html"
    ran = subprocess.run([RMAP, command, *words, f"--html={page}"], stdout=subprocess.PIPE)
    assert ran.returncode == status, f"rmap {command} {words} ended with {ran.returncode}, not {status}"
    assert os.stat(page).st_mode & 0o777 == 0o600, "others may read the page"
    text = page.read_text()
    [source] = re.findall('id="document">(.*)</script>\n<script>\n/', text)
    assert "<" not in source, "the document has what may end it"
    assert "Redistribution and use in source and binary forms" in text, "the licence of d3 is not in the page"
    return page, json.loads(source), ran.stdout


def look(page, command, words, script="", *options):
    """What a browser makes of the page, and of a script behind its own."""
    scripts = 3 + bool(script)
    if script:
        changed = page.with_name("changed.html")
        changed.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    dom, console = browse((changed if script else page).as_uri(), *options)
    assert not console, f"the console says {console}"
    document = Document(dom)
    assert sum(element["tag"] == "script" for element in document.elements) == scripts, "a name became a script"
    assert not any("src" in element or "href" in element for element in document.elements), "the page wants others"
    told = " ".join([f"rmap {command}", *words, f"'--html={page}'".replace("it's", "it'\\''s")])
    assert document.find(id="command")["text"] == told, "the page tells another command"
    return document


def check_histogram(document, histogram, page_size):
    check_marks(document, "mappings", len(histogram))
    check_table(document, "mappings", [f"{bucket['min']:,}" for bucket in histogram],
                [[bucket["pages"] * page_size] for bucket in histogram])


def check_shares(recording, *words):
    words = ["--load", recording, *words]
    page, data, _ = write_page("shares", *words)
    report = expected(recording, words[2:])
    assert data["report"] == report, "the page has another report than --json"
    histogram = rmap("snapshot", "--load", recording)["histogram"]
    assert data["histogram"] == histogram, "the page has another histogram than rmap snapshot"
    document = look(page, "shares", words)
    check_report(document, report)
    check_histogram(document, histogram, report["page_size"])
    return [group["name"] for tally in report["tallies"] for group in tally["groups"]]


def check_hostile(recording):
    """Names that would end the script element, begin another one, or are no text at all."""
    content, forged = pathlib.Path(recording).read_bytes(), str(pathlib.Path(WORK.name) / "forged")
    path, other, comm = b"/usr/lib/x86_64-linux-gnu/libc.so.6", b"/usr/bin/dash", b"\x08tool_who"
    changes = {content.index(path): b"</script><script>throw 1</script>\"\xff",
               content.index(other): "/usr/\u202ehsad ".encode(), content.index(comm) + 1: b"<!--<b>\x1b"}
    words = [str(word) for at, name in changes.items() for i, byte in enumerate(name) for word in (at + i, byte)]
    subprocess.run([FORGE, recording, forged, *words], check=True)
    names = check_shares(forged)
    # The last frame's count is made 0, too.
    subprocess.run([FORGE, forged, forged, "-3", "0"], check=True)
    check_snapshot(forged, status=1)
    assert {"</script><script>throw 1</script>\"?", "/usr/\u202ehsad ", "<!--<b>\x1b"} <= set(names), "names are not hostile"


def check_snapshot(recording, *words, status=0):
    words = ["--load", recording, "--json", *words]
    page, data, printed = write_page("snapshot", *words, status=status)
    report = data["report"]
    assert report == json.loads(printed), "the page has another report than --json"
    document = look(page, "snapshot", words)
    check_histogram(document, report["histogram"], data["system"]["page_size"])
    check_marks(document, "top", len(report["stretches"]))
    rows = cells(document, "the most shared pages")
    assert [row[0] for row in rows] == [shown(stretch["object"]) for stretch in report["stretches"]]
    assert [row[1:4] for row in rows] == [[f"{stretch['mapcount']:,}", f"{stretch['pages']:,}", hex(stretch["pfn"])]
                                          for stretch in report["stretches"]], "the most shared pages are others"
    check_marks(document, "designs", len(report["bytes"]))
    check_marks(document, "verdicts", 3)
    assert [row[1] for row in cells(document, "verdicts")] == [
        f"{report['verified'][verdict]:,}" for verdict in ("matched", "changed", "mismatched")], "the verdicts are others"
    if report["mismatches"]:
        assert [row[1:] for row in cells(document, "pages that differ")] == [
            [hex(page["pfn"]), str(page["counted"]), str(page["kernel"])] for page in report["mismatches"]], "others differ"
    assert len(report["mismatches"]) == status, "a page that differs is not told"


def cells(document, series):
    table = document.find(tag="table", data_series=series)
    return [[cell["text"] for cell in document.inside(row, tag="td")] for row in document.inside(table, tag="tr")
            if row["in"][-1]["tag"] == "tbody"]


# ---- what was measured ----

# Charts are drawn again when another figure is chosen: what each then has; what shows where the pointer rests; and of a phone
# whether there is room for all.
COLLECT = """
const seen = { figures: {}, wide: document.documentElement.scrollWidth > innerWidth };
const marks = (line, kind) => [...line.querySelectorAll(kind)].map((mark) => {
	const { x, y, width, height } = mark.getBBox(), at = mark.getScreenCTM();

	if (![x, y, width, height, at.e, at.f].every(Number.isFinite) || at.e < 0 || at.e > innerWidth || !mark.dataset.hover)
		throw new Error(`a mark of ${line.dataset.contender} is nowhere, or does not tell its value`);
	return +mark.dataset.value;
});
const chart = (svg) => [svg.dataset.series, {
	lines: [...svg.querySelectorAll(".line[data-contender]")].map((line) => [line.dataset.contender, marks(line, ".mark:not(.goal)"),
		Boolean(line.querySelector(".below")), line.querySelectorAll(".star").length]),
	goals: [...svg.querySelectorAll(".goal")].map((goal) => +goal.dataset.value),
	sizes: [...svg.querySelectorAll(".mark[data-n]")].length,
}];
const select = document.getElementById("metric");
for (const figure of select ? [...select.options].map((option) => option.value) : [""]) {
	if (select) {
		select.value = figure;
		select.dispatchEvent(new Event("change"));
	}
	seen.figures[figure] = Object.fromEntries([...document.querySelectorAll("svg[data-series]")].map(chart));
}
const mark = document.querySelector(".mark");
mark.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, clientX: 9, clientY: 9 }));
seen.hover = [mark.dataset.hover, document.getElementById("hover").textContent, getComputedStyle(document.getElementById("hover")).display];
document.body.append(Object.assign(document.createElement("pre"), { id: "seen", textContent: JSON.stringify(seen) }));
"""
PHONE = "--window-size=390,800"


def measure(command, *words):
    """What a short run says as JSON, which its page has, too."""
    result = pathlib.Path(WORK.name) / "result.json"
    _, data, printed = write_page(command, *words, "--json", str(result))
    report = json.loads(result.read_text())
    assert data["report"] == report and printed, "the page has another report than --json"
    return report


def look_again(command, report):
    """The page that is made of a result, and what its charts have."""
    result = pathlib.Path(WORK.name) / "result.json"
    result.write_text(json.dumps(report))
    words = ["--load", str(result)]
    page, data, printed = write_page(command, *words)
    assert data["report"] == report and not printed, "the page has another report than was loaded"
    document = look(page, command, words, COLLECT, PHONE)
    seen = json.loads(document.find(id="seen")["text"])
    assert seen["hover"][0] == seen["hover"][1] and seen["hover"][2] == "block", "a value does not show where the pointer is"
    assert not seen["wide"], "a phone has no room for it"
    for value in (element for element in document.elements if element["tag"] == "data"):
        told = float(value["text"].replace(",", ""))
        assert abs(told - float(value["value"])) <= abs(told) / 150, f"{value['value']} is told as {value['text']}"
    assert report["machine"]["flags"] in document.find(id="machine")["text"], "the machine is not told"
    return document, seen["figures"]


def check_values(series, chart, contender, values):
    """What is not above zero has a mark, but not on a logarithmic axis: there it is told to be below."""
    [(_, drawn, below, _)] = [line for line in chart["lines"] if line[0] == contender]
    wanted = [value for value in values if value > 0 or not (below or chart["sizes"])]
    assert sorted(drawn) == sorted(wanted), f"{contender} in {series} has marks of {drawn}, not {wanted}"
    assert not below or min(values) <= 0, f"{contender} in {series} is said to be below the axis"


def goals_of(report, case, figure):
    """Where targets stand that rows of this case are measured by."""
    for target in report["targets"]:
        of = target["of"]
        for row in report["cases"]:
            if "met" not in target or (of["case"], of["figure"], row["case"]) != (case, figure, case) or \
                    not of["from"] <= row["n"] <= of["to"] or figure not in row["contenders"].get(of["contender"], {}):
                continue
            bases = [row["contenders"][name][figure]["median"] for name in of["than"] if name in row["contenders"]]
            best = max if target["bound"] == "at least" else min
            yield target["target"] * (best(bases) if of["than"] else 1)


def check_section(document, report, charts, case, figure):
    series = f"{case}, {figure}"
    found = [(name, figures) for row in report["cases"] if row["case"] == case
             for name, figures in row["contenders"].items() if figure in figures]
    goals = sorted(goals_of(report, case, figure))
    if len(found) == 1 and not goals:
        assert [case, figure] in [[row[0], row[3]] for row in cells(document, "what stands alone")], f"{series} is nowhere"
        return
    for name in {name for name, _ in found}:
        values = [figures[figure]["median"] for other, figures in found if other == name]
        rows = [line for line in charts[series]["lines"] if line[0] == name]
        merged = {**charts[series], "lines": [[name, sum((line[1] for line in rows), []), any(line[2] for line in rows), 0]]}
        check_values(series, merged, name, values)
    drawn = sorted(charts[series]["goals"])
    assert len(drawn) == len(goals) and all(abs(a - b) <= 1e-9 * b for a, b in zip(drawn, goals)), \
        f"targets of {series} are at {drawn}, not {goals}"
    check_table(document, series, [name for name, _ in found], [
        [figures[figure][part] for part in ("median", "min", "max")]
        + ([figures["ratio"]["median"]] if "ratio" in figures and figure in UNITS else []) for _, figures in found])


UNITS = ("ns", "us", "M/s", "bytes")


def check_bench():
    """Lines, with a limit and without, bytes, and rows of several contenders at one size, in one page."""
    few = ["--quick", "--seconds", "0.05", "--repeat", "2"]
    reports = [measure("bench", "chain", "--filter", rows, *few) for rows in ("walk-batches", "small", "block", "reserve")]
    report = {**reports[0], "cases": sum((one["cases"] for one in reports), []), "targets": sum((one["targets"] for one in reports), [])}
    # A difference may be below zero: it has its mark where the axis is no logarithm. And what has no target stands alone.
    block = next(row for row in report["cases"] if row["case"] == "block")
    block["contenders"]["rmap"]["ns"] = {"median": -5.0, "min": -6.0, "max": -4.0}
    report["targets"] = [target for target in report["targets"] if target["of"]["case"] != "reserve"]
    document, seen = look_again("bench", report)
    for case, figure in {(row["case"], figure) for row in report["cases"] for figures in row["contenders"].values() for figure in figures}:
        if figure not in ("rounds", "ratio"):
            check_section(document, report, seen[""], case, figure)
    assert [row[0] for row in cells(document, "targets")] == [target["name"] for target in report["targets"]]


def check_lab():
    """Workloads that null is unable to do; one run is cut, and of one the difference is below zero, another one nothing."""
    small = [word for setting in ("tasks=3", "vmas=8", "pages=64", "windows=16")
             for word in ("--set", setting)]
    report = measure("lab", "--quick", "--seconds", "0.1", "--repeat", "1", "--filter", "-t", *small)
    cut = report["cases"][0]["contenders"]["objrmap"]
    cut["done, %"] = {"median": 50.0, "min": 50.0, "max": 50.0}
    for median, name in ((-5.0, "hybrid"), (0.0, "folio"), (1.0, "objrmap"), (1000.0, "ptechain")):
        report["cases"][0]["contenders"][name]["rmap, ns"] = {"median": median, "min": median, "max": median}
    report["cases"][0]["contenders"]["folio"]["ratio"] = {"median": 0.000234567, "min": 0.0, "max": 1.0}
    document, seen = look_again("lab", report)
    assert len(seen) == 12, f"there are figures {list(seen)}"
    for figure, charts in seen.items():
        assert set(charts) == {row["case"] for row in report["cases"]}, f"charts of {figure} are {list(charts)}"
        for series, chart in charts.items():
            rows = [row for row in report["cases"] if row["case"] == series]
            for name in {name for row in rows for name in row["contenders"]}:
                check_values(series, chart, name, [row["contenders"][name][figure]["median"] for row in rows
                                                   if name in row["contenders"]])
    for series in {row["case"] for row in report["cases"]}:
        rows = [(name, row["contenders"][name]) for row in report["cases"] if row["case"] == series
                for name in report["backends"] if name in row["contenders"]]
        check_table(document, series, [name for name, _ in rows],
                    [[figures[figure]["median"] for figure in seen] for _, figures in rows])
    first = {line[0]: line for line in seen["rmap, ns"][report["cases"][0]["case"]]["lines"]}
    assert first["objrmap"][3] == 1, "a run that was cut has no star"
    assert first["hybrid"][2] and first["folio"][2] and not first["ptechain"][2], "what is below the axis is not told"
    assert len(cells(document, "verdicts")) == len(report["verdicts"])


def shift_down(report):
    """A difference may be below zero: it has its mark where the axis is no logarithm."""
    report["cases"][0]["contenders"]["rmap"]["ns"] = {"median": -5.0, "min": -6.0, "max": -4.0}


if "<html" not in browse("about:blank")[0]:
    print("not run: browser: chromium does not start here")
    sys.exit(77)
for one in RECORDINGS:
    check_shares(one)
check_shares(RECORDINGS[0], "--limit", "3")
check_hostile(RECORDINGS[0])
check_snapshot(RECORDINGS[1], "--sample", "2", "--top", "20")
check_lab()
check_bench()
