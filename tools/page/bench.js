/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of `rmap bench`: a chart for each figure of each case, against n where there are several sizes. */
const { about } = page;
const cases = d3.group(report.cases, (row) => row.case);

/* Of the figures of a contender these are not drawn: ratios to the first, and what the median is of. */
const derived = ["ratio", "rounds"];

function figuresOf(rows) {
	return [...new Set(rows.flatMap((row) => Object.values(row.contenders).flatMap(Object.keys)))]
		.filter((figure) => !derived.includes(figure));
}

function contendersOf(rows, figure) {
	const names = new Set(rows.flatMap((row) => Object.keys(row.contenders)));

	return [...names].filter((name) => rows.some((row) => row.contenders[name]?.[figure]));
}

function describe(row, name, figure) {
	const { median, min, max } = row.contenders[name][figure];
	const spread = min < max ? ` (${measured(min)} .. ${measured(max)})` : "";

	return [shown(name), `${shown(row.case)}, n = ${grouped(row.n)}`,
		`${measured(median)} ${shown(figure)}${spread}`].join("\n");
}

function pointsOf(rows, name, figure) {
	return rows.filter((row) => row.contenders[name]?.[figure]).map((row) => {
		const { median, min, max } = row.contenders[name][figure];

		return { n: row.n, value: median, min, max, hover: describe(row, name, figure) };
	});
}

/* ---- targets ---- */

function isAbout(target, row, figure) {
	const { of } = target;

	return of && of.case === row.case && of.figure === figure && of.from <= row.n && row.n <= of.to &&
		row.contenders[of.contender]?.[figure];
}

function verdictOf(target) {
	const bound = `${target.bound} ${measured(target.target)}`;

	if ("elsewhere" in target)
		return `${shown(target.name)}: ${bound}, told by ${shown(target.elsewhere)}`;
	return `${shown(target.name)}: ${bound}, measured ${measured(target.measured)}, ` +
		(target.met ? "met" : "missed");
}

/* Where the target stands at this row: of a ratio, so many times the best of its bases; null if there is none. */
function placeOf(target, row, figure) {
	const { than } = target.of;
	const bases = than.map((name) => row.contenders[name]?.[figure]?.median).filter((value) => value > 0);

	if (!than.length)
		return target.target;
	return bases.length ? target.target * (target.bound === "at least" ? d3.max(bases) : d3.min(bases)) : null;
}

function boundsOf(rows, figure) {
	return report.targets.filter((target) => "met" in target).map((target) => ({
		contender: target.of?.contender,
		met: target.met,
		atLeast: target.bound === "at least",
		hover: verdictOf(target),
		points: rows.filter((row) => isAbout(target, row, figure))
			.map((row) => ({ n: row.n, value: placeOf(target, row, figure) }))
			.filter((point) => point.value > 0),
	})).filter((bound) => bound.points.length);
}

/* ---- sections ---- */

function putRows(figure, series, rows, unit) {
	const lines = rows.flatMap((row) => contendersOf([row], unit).map((name) => {
		const figures = row.contenders[name];

		return { row, name, ...figures[unit], ratio: row.unit === unit ? figures.ratio?.median : null };
	}));

	putTable(figure, series, [
		{ title: "Contender", of: (line) => shown(line.name), kind: "name" },
		{ title: "n", of: (line) => line.row.n, kind: "number" },
		{ title: shown(unit), of: (line) => line.median, kind: "measured" },
		{ title: "least", of: (line) => line.min, kind: "measured" },
		{ title: "greatest", of: (line) => line.max, kind: "measured" },
		{ title: "x first", of: (line) => line.ratio, kind: "measured" },
	], lines);
}

/* A row for each contender and size; targets stand at whose they are. */
function dotsOf({ rows, unit, bounds }) {
	const goals = (row, name) => bounds.filter((bound) => bound.contender === name).flatMap((bound) =>
		bound.points.filter((point) => point.n === row.n).map(({ value }) => ({ ...bound, value })));

	return rows.flatMap((row) => contendersOf([row], unit).map((name) => ({
		name,
		label: rows.length > 1 ? `${shown(name)}, n = ${short(row.n)}` : shown(name),
		marks: pointsOf([row], name, unit),
		goals: goals(row, name),
	})));
}

/* What has several sizes, none of them zero, is drawn against n. */
function isLine({ rows, names, unit }) {
	return new Set(rows.map((row) => row.n)).size > 1 && rows.every((row) => row.n > 0) &&
		names.some((name) => pointsOf(rows, name, unit).some((point) => point.value > 0));
}

function sectionsOf() {
	return [...cases].flatMap(([name, rows]) => figuresOf(rows).map((unit) => ({ name, rows, unit,
		names: contendersOf(rows, unit), series: `${name}, ${unit}`, bounds: boundsOf(rows, unit) })));
}

function putEnd(figure, { rows, unit, series, bounds }) {
	if (bounds.length)
		figure.append("ul").attr("class", "targets").selectAll("li").data(bounds).join("li")
			.attr("class", (bound) => bound.met ? "met" : "missed").text((bound) => bound.hover);
	putRows(figure, series, rows, unit);
}

function putLines(section) {
	const { name, rows, unit, names, series, bounds } = section;
	const figure = putFigure(`${shown(name)}: ${shown(unit)}`, "", rows.length > 5 ? "half" : "third");
	/* What the page is about comes last, so that nothing hides it. */
	const lines = names.map((one) => ({ name: one, points: pointsOf(rows, one, unit) }))
		.sort((a, b) => (a.name === "rmap") - (b.name === "rmap"));

	putKeys(figure, names);
	putChart(figure, series, (svg, width) => drawLines(svg, width, lines, bounds, shown(unit)));
	putEnd(figure, section);
}

function putDotted(section) {
	const { name, rows, unit, series } = section;
	const size = rows.length > 1 ? "" : `n = ${grouped(rows[0].n)}`;
	const figure = putFigure(`${shown(name)}: ${shown(unit)}`, size, "third");

	putChart(figure, series, (svg, width) => drawDots(svg, width, dotsOf(section), shown(unit)));
	putEnd(figure, section);
}

/* One figure of one contender, and no target, is no chart. */
function isAlone({ rows, names, bounds }) {
	return rows.length === 1 && names.length === 1 && !bounds.length;
}

function putAlone(alone) {
	const figure = putFigure("What stands alone", "Figures that have nothing beside them.");

	putTable(figure, "what stands alone", [
		{ title: "Case", of: ({ name }) => shown(name), kind: "name" },
		{ title: "n", of: ({ rows }) => rows[0].n, kind: "number" },
		{ title: "Contender", of: ({ names }) => shown(names[0]), kind: "name" },
		{ title: "Figure", of: ({ unit }) => shown(unit), kind: "name" },
		{ title: "Median", of: ({ rows, names: [name], unit }) => rows[0].contenders[name][unit].median,
			kind: "measured" },
	], alone).property("open", true);
}

function putTargets() {
	const figure = putFigure("Targets", "They decide nothing: what was to be, and what this run says of it.");

	putTable(figure, "targets", [
		{ title: "Target", of: (target) => shown(target.name), kind: "name" },
		{ title: "", of: (target) => target.bound, kind: "name" },
		{ title: "Bound", of: (target) => target.target, kind: "measured" },
		{ title: "Measured", of: (target) => target.measured, kind: "measured" },
		{ title: "Verdict", of: (target) => "met" in target ? target.met ? "met" : "MISSED" :
			`told by ${shown(target.elsewhere)}`, kind: "name" },
	], report.targets).property("open", true);
}

function putWhole() {
	const judged = report.targets.filter((target) => "met" in target);

	putFact("rows", (fact) => fact.text(grouped(report.cases.length)));
	const met = judged.filter((target) => target.met);

	if (judged.length)
		putFact("targets met", (fact) => fact.text(`${met.length} of ${judged.length}`));
}

function putLegend() {
	const legend = d3.select("header").append("details");

	legend.append("summary").text("What the cases and contenders are");
	legend.append("p").attr("class", "about").text(about.legend);
}

setStyles(report.cases.flatMap((row) => Object.keys(row.contenders)), "rmap", ["limit", "limit-one", "loop"]);
putHead(`rmap bench ${shown(report.benchmark)}: ${about.summary}`, machineText());
putWhole();
putNotes(machineNotes());
putLegend();
const sections = sectionsOf();

/* Those with most sizes first. */
sections.filter(isLine).sort((a, b) => (b.rows.length > 5) - (a.rows.length > 5)).forEach(putLines);
sections.filter((section) => !isLine(section) && !isAlone(section)).forEach(putDotted);
if (sections.some(isAlone))
	putAlone(sections.filter(isAlone));
if (report.targets.length)
	putTargets();
