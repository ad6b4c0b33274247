/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of `rmap lab`: a small chart for each workload, all of the figure that the reader chooses. */
const { about } = page;
const workloads = d3.group(report.cases, (row) => row.case);
const threads = [...new Set(report.cases.map((row) => row.n))].sort((a, b) => a - b);

const metrics = [
	{ figure: "rmap, ns", title: "Time in the reverse map, ns an operation", unit: "ns" },
	{ figure: "x hybrid, rmap", title: "Time in the reverse map, x hybrid's", unit: "x hybrid", same: true },
	{ figure: "ns", title: "Time of all, ns an operation in its thread", unit: "ns" },
	{ figure: "ratio", title: "Time of all, x hybrid's", unit: "x hybrid", same: true },
	{ figure: "k ops/s", title: "Thousand operations a second, of all threads", unit: "k/s" },
	{ figure: "peak, KiB", title: "Most memory, KiB", unit: "KiB" },
	{ figure: "bytes a mapping", title: "Bytes a mapping, at the end", unit: "bytes" },
	{ figure: "wasted, %", title: "Visits of walks in vain, %", unit: "%" },
	{ figure: "failures in 1000", title: "Failures, of 1,000 operations", unit: "of 1,000" },
	{ figure: "left in 1000", title: "Pages left mapped, of 1,000 operations", unit: "of 1,000" },
	{ figure: "p99 of a walk, ns", title: "99 of 100 walks take at most, ns", unit: "ns" },
	{ figure: "done, %", title: "Work done, %", unit: "%" },
];
let metric = metrics[0];

function isCut(figures) {
	return figures["done, %"]?.median < 99.9;
}

function describe(row, name) {
	const figures = row.contenders[name];
	const { median, min, max } = figures[metric.figure];

	return [shown(name), `${shown(row.case)}, ${counted(row.n, "thread", "threads")}`,
		`${measured(median)} ${metric.unit} (${measured(min)} .. ${measured(max)})`,
		...isCut(figures) ? [`cut: ${measured(figures["done, %"].median)} % of the work`] : []].join("\n");
}

/* A row for each backend, in it a mark for each number of threads. */
function dotsOf(rows) {
	return report.backends.filter((name) => rows.some((row) => row.contenders[name])).map((name) => ({
		name,
		label: shown(name),
		marks: rows.filter((row) => row.contenders[name]?.[metric.figure]).map((row) => ({
			value: row.contenders[name][metric.figure].median,
			min: row.contenders[name][metric.figure].min,
			max: row.contenders[name][metric.figure].max,
			second: row.n > threads[0],
			star: isCut(row.contenders[name]),
			hover: describe(row, name),
		})),
	}));
}

/* Ratios have one scale in all charts. */
function sameValues() {
	const all = report.cases.flatMap((row) => Object.values(row.contenders));

	return metric.same ? all.map((figures) => figures[metric.figure]?.median).filter((value) => value > 0) : [];
}

/* ---- what the reader chooses ---- */

const redraws = [];

function putChooser() {
	const chooser = d3.select("main").append("form").attr("id", "chooser");
	const select = chooser.append("label").text("Figure: ").append("select").attr("id", "metric");

	select.selectAll("option").data(metrics).join("option").attr("value", (one) => one.figure)
		.text((one) => one.title);
	select.on("change", () => {
		metric = metrics[select.property("selectedIndex")];
		for (const redraw of redraws)
			redraw();
	});
	const keys = chooser.append("span").attr("class", "keys");

	threads.forEach((n, i) => {
		const key = keys.append("span");
		const svg = key.append("svg").attr("width", 14).attr("height", 14);

		putSymbol(svg.append("g").attr("class", "line subject"), styles.get("hybrid"), 7, 7)
			.classed("second", i > 0);
		key.append("span").text(`${i ? "hollow" : "filled"}: ${counted(n, "thread", "threads")}`);
	});
	keys.append("span").text("* cut");
}

/* ---- workloads ---- */

function parametersOf(row) {
	return Object.entries(row.parameters ?? {}).map(([name, value]) => `${shown(name)} ${grouped(value)}`)
		.join(", ");
}

function putRows(figure, name, rows) {
	const lines = rows.flatMap((row) => report.backends.filter((one) => row.contenders[one])
		.map((one) => ({ name: one, n: row.n, figures: row.contenders[one] })));

	putTable(figure, name, [
		{ title: "Backend", of: (line) => shown(line.name), kind: "name" },
		{ title: "Threads", of: (line) => line.n, kind: "number" },
		...metrics.map(({ figure: one }) => ({ title: one, of: (line) => line.figures[one]?.median,
			kind: "measured" })),
	], lines);
}

/* Ratios to pte chains, as published, and here. */
function putPublished(figure, name, rows) {
	const lines = rows.filter((row) => row.published).flatMap(({ n, published }) => [
		...published.elsewhere.flatMap(({ year, ...ratios }) => Object.entries(ratios).map(([one, ratio]) =>
			({ where: `published ${year}`, n: null, name: one, ratio }))),
		...Object.entries(published.here).map(([one, ratio]) => ({ where: "here", n, name: one, ratio })),
	]);
	const seen = new Set();
	const once = lines.filter((line) => !seen.has(JSON.stringify(line)) && seen.add(JSON.stringify(line)));

	if (once.length)
		putTable(figure, `${name}, as published`, [
			{ title: "Time of all, x pte chains", of: (line) => line.where, kind: "name" },
			{ title: "Backend", of: (line) => shown(line.name), kind: "name" },
			{ title: "Threads", of: (line) => line.n, kind: "number" },
			{ title: "Ratio", of: (line) => line.ratio, kind: "measured" },
		], once);
}

function putWorkload(name, rows) {
	const how = rows[0].rmap === "clock" ? "time by the clock" : "time as the difference to null";
	const figure = putFigure(shown(name), `${title(shown(about.workloads[name] ?? name))}. An operation is ` +
		`${shown(rows[0].operation ?? "one")}; ${how}; ${parametersOf(rows[0])}.`, "third");
	const unable = rows[0].unable ?? [];

	redraws.push(putChart(figure, name, (svg, width) =>
		drawDots(svg, width, dotsOf(rows), metric.unit, sameValues())));
	if (unable.length)
		figure.append("p").attr("class", "about").text(`Not done by ${unable.map(shown).join(", ")}.`);
	putRows(figure, name, rows);
	putPublished(figure, name, rows);
}

/* ---- backends and verdicts ---- */

function putBackends() {
	const list = putFigure("Backends").append("dl").attr("class", "words");

	for (const name of report.backends) {
		list.append("dt").text(shown(name));
		list.append("dd").text(shown(about.backends[name] ?? ""));
	}
}

function putVerdicts() {
	const figure = putFigure("Verdicts", "They decide nothing: what hybrid was to be beside the best that does " +
		"all of the work, or beside another design, and what this run says of it.");

	putTable(figure, "verdicts", [
		{ title: "Workload", of: (verdict) => shown(verdict.case), kind: "name" },
		{ title: "Threads", of: (verdict) => verdict.n, kind: "number" },
		{ title: "Hybrid's", of: (verdict) => shown(verdict.what), kind: "name" },
		{ title: "x", of: (verdict) => shown(verdict.than), kind: "name" },
		{ title: "At most", of: (verdict) => verdict.target, kind: "measured" },
		{ title: "Measured", of: (verdict) => verdict.measured, kind: "measured" },
		{ title: "Verdict", of: (verdict) => verdict.met ? "met" : "MISSED", kind: "name" },
	], report.verdicts);
}

setStyles(report.backends, "hybrid", ["null"]);
putHead("rmap lab: designs of reverse maps on the same workloads", `${machineText()} Seed ${report.seed}.`);
putNotes(machineNotes());
putChooser();
for (const [name, rows] of workloads)
	putWorkload(name, rows);
putBackends();
putVerdicts();
