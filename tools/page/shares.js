/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page of `rmap shares`: draws the document that stands in this page as charts, with a table behind each.
 *
 * Names of processes and files are arbitrary: they become text by text() alone, never markup, and pass through shown().
 * Each mark of a chart has the class "mark", and stands in an svg whose data-series says what it shows.
 */
"use strict";

const { command, system, histogram, report } = JSON.parse(document.getElementById("document").textContent);
const tallies = Object.fromEntries(report.tallies.map((tally) => [tally.by, tally]));
const figures = ["pss", "uss", "rss", "swap"];

/* What controls a terminal or turns the direction of writing is a question mark, as rmap prints it. */
function shown(name) {
	return name.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "?");
}

function sized(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;

	for (; bytes >= 1024 && unit < 4; unit++)
		bytes /= 1024;
	return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function grouped(n) {
	return n.toLocaleString("en");
}

function counted(n, one, many) {
	return `${grouped(n)} ${n === 1 ? one : many}`;
}

function exact(bytes) {
	return `${sized(bytes)} (${grouped(bytes)} bytes)`;
}

function title(name) {
	return name[0].toUpperCase() + name.slice(1);
}

function label(group) {
	return shown(group.name || "?") + ("pid" in group ? ` (${group.pid})` : "");
}

/* Where there is little room: of a path its end says most. */
function short(group) {
	return label(group).replace(/^\/(.*\/)?(?=.)/, "");
}

function describe(group) {
	const known = figures.filter((figure) => figure in group);

	return [label(group), ...known.map((figure) => `${title(figure)} ${exact(group[figure])}`)].join("\n");
}

/* A number of bytes, in binary units; the exact one on hover. */
function putAmount(parent, bytes) {
	parent.append("data").attr("value", bytes).attr("title", `${grouped(bytes)} bytes`).text(sized(bytes));
}

/* ---- tables ---- */

/* A column: its title, what it has of a row, and how that is shown: as a name, an id, a number or an amount. */
const figureColumns = figures.map((figure) => ({ title: title(figure), of: (row) => row[figure], kind: "amount" }));
const tableColumns = {
	process: [
		{ title: "Process", of: (row) => shown(row.name), kind: "name" },
		{ title: "Pid", of: (row) => row.pid, kind: "id" },
		{ title: "Cgroup", of: (row) => shown(row.cgroup || "?"), kind: "name" },
	],
};

function columnsOf(by) {
	return [...(tableColumns[by] || [{ title: title(by), of: label, kind: "name" }]), ...figureColumns];
}

function putCell(cell, column, row) {
	const value = column.of(row);

	cell.classed("name", column.kind === "name");
	if (value === undefined || value === null)
		return;
	if (column.kind === "amount")
		putAmount(cell, value);
	else
		cell.text(column.kind === "number" ? grouped(value) : value);
}

/* Sort by @column: numbers the largest first, names from A; the second time the other way. */
function sortTable(table, head, column) {
	const first = column.kind === "name" ? "ascending" : "descending";
	const order = head.attr("aria-sort") !== first ? first : first === "ascending" ? "descending" : "ascending";
	const sign = order === "ascending" ? 1 : -1;
	const compare = column.kind === "name" ? (a, b) => a.localeCompare(b) : (a, b) => a - b;

	table.selectAll("th").attr("aria-sort", null);
	head.attr("aria-sort", order);
	table.selectAll("tbody tr").sort((a, b) => sign * compare(column.of(a), column.of(b)));
}

function putTable(figure, series, columns, rows, foot) {
	const details = figure.append("details");
	const table = details.append("div").attr("class", "scroll").append("table").attr("data-series", series);
	const head = table.append("thead").append("tr");

	details.append("summary").lower().text(`Table by ${series}: ${counted(rows.length, "row", "rows")}`);
	for (const column of columns) {
		const cell = head.append("th").attr("scope", "col").classed("name", column.kind === "name");

		cell.append("button").text(column.title).on("click", () => sortTable(table, cell, column));
	}
	table.append("tbody").selectAll("tr").data(rows).join("tr").each(function (row) {
		for (const column of columns)
			putCell(d3.select(this).append("td"), column, row);
	});
	if (!foot)
		return;
	const last = table.append("tfoot").append("tr");

	columns.forEach((column, i) => {
		const cell = last.append("td");

		if (!i)
			cell.attr("class", "name").text("All memory, each page once");
		else if (column.kind === "amount")
			putAmount(cell, column.of(foot));
	});
}

function putTallyTable(figure, by) {
	const { groups, left_out: leftOut } = tallies[by];

	putTable(figure, by, columnsOf(by), groups, report.whole);
	if (leftOut)
		figure.append("p").text(`${grouped(leftOut)} more are left out (--limit).`);
}

/* ---- charts ---- */

/* A figure with its caption, to be given a chart and its tables. */
function putFigure(heading, text, third) {
	const figure = d3.select("main").append("figure").classed("third", third);
	const caption = figure.append("figcaption");

	caption.append("h2").text(heading);
	caption.append("p").text(text);
	return figure;
}

function putLegend(figure, words) {
	const legend = figure.append("div").attr("class", "legend");

	words.forEach((word, i) => legend.append("span").style("--step", `var(--s${i})`).text(word));
}

/* @draw(svg, width) draws it, anew whenever its width changes, and returns its width and height. */
function putChart(figure, series, draw) {
	const chart = figure.append("div").attr("class", "chart");
	const name = figure.select("h2").text();
	let drawn = 0;

	function redraw() {
		const available = chart.node().clientWidth;

		if (available === drawn)
			return;
		drawn = available;
		const svg = chart.text("").append("svg").attr("data-series", series);
		const [width, height] = draw(svg, available);

		svg.attr("role", "img").attr("aria-label", name);
		svg.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`);
	}

	redraw();
	new ResizeObserver(redraw).observe(chart.node());
}

/* A box that cuts what is too large for it. */
function putBox(parent, kind, x, y, width, height, hover) {
	const box = parent.append("svg").attr("class", kind).attr("x", x).attr("y", y);

	box.attr("width", Math.max(0, width)).attr("height", Math.max(0, height));
	box.append("rect").attr("width", "100%").attr("height", "100%");
	box.append("title").text(hover);
	return box;
}

/* Of a file or a kind, Uss may be more than Pss: what one process alone maps, with others that were not read. */
function ownStep(group) {
	return group.pss ? Math.min(4, Math.floor(5 * group.uss / group.pss)) : 0;
}

/* What is beyond --limit has its place, too. */
function restOf(tally) {
	const rest = report.whole.pss - d3.sum(tally.groups, (group) => group.pss);

	return tally.left_out ? [{ rest: tally.left_out, pss: Math.max(0, rest) }] : [];
}

function putTile(svg, node) {
	const { x0, y0, x1, y1, data } = node;
	const [width, height] = [x1 - x0, y1 - y0];
	const name = data.rest ? `${grouped(data.rest)} more` : short(data);
	const box = putBox(svg, data.rest ? "tile rest" : `tile mark s${ownStep(data)}`, x0, y0, width, height,
		data.rest ? `${name}\nPss ${exact(data.pss)}` : describe(data));

	if (width > 34 && height > 17)
		box.append("text").attr("x", 5).attr("y", 14).text(name);
	if (width > 54 && height > 33)
		box.append("text").attr("x", 5).attr("y", 29).text(sized(data.pss));
}

function isNamed({ x0, y0, x1, y1 }) {
	return x1 - x0 > 34 && y1 - y0 > 44;
}

function putBranch(svg, node) {
	const { x0, y0, x1, y1, data } = node;
	const box = putBox(svg, "branch", x0, y0, x1 - x0, y1 - y0, describe(data.group));
	const name = x1 - x0 < 240 ? short(data.group) : label(data.group);

	if (isNamed(node))
		box.append("text").attr("x", 5).attr("y", 14).text(`${name}, ${sized(node.value)}`);
}

function drawTreemap(svg, width, children, height) {
	const root = d3.hierarchy({ children }).sum((data) => data.children ? 0 : data.pss);

	root.sort((a, b) => b.value - a.value);
	/* A small branch has room for its tiles alone. */
	d3.treemap().size([width, height]).paddingInner(1).paddingOuter((node) => node.depth ? 2 : 0)
		.paddingTop((node) => !node.depth ? 0 : isNamed(node) ? 20 : 2)(root);
	for (const node of root.descendants().slice(1))
		if (node.children)
			putBranch(svg, node);
		else
			putTile(svg, node);
	return [width, height];
}

const ownWords = ["its own: under 20 % of Pss", "20 %", "40 %", "60 %", "80 % and more"];

function putProcesses() {
	const figure = putFigure("By cgroup and process",
		"Areas are Pss: each process has its part of every page that it maps. The stronger the colour, the " +
		"more of it nobody else maps (Uss).");
	const branches = new Map(tallies.cgroup.groups.map((group) => [group.name, { group, children: [] }]));

	/* A cgroup may be beyond --limit where some of its processes are not. */
	for (const process of tallies.process.groups) {
		const name = process.cgroup || "?";

		if (!branches.has(name))
			branches.set(name, { group: { name }, children: [] });
		branches.get(name).children.push(process);
	}
	const children = [...branches.values()].filter((branch) => branch.children.length);

	children.push(...restOf(tallies.process));
	putLegend(figure, ownWords);
	putChart(figure, "process", (svg, width) => drawTreemap(svg, width, children, width < 600 ? 460 : 440));
	putTallyTable(figure, "cgroup");
	putTallyTable(figure, "process");
}

function putTally(by, heading, text) {
	const figure = putFigure(heading, text, true);
	const children = [...tallies[by].groups, ...restOf(tallies[by])];

	putChart(figure, by, (svg, width) => drawTreemap(svg, width, children, 260));
	putTallyTable(figure, by);
}

/* ---- who shares with whom ---- */

function pairsOf(groups, matrix) {
	const pairs = [];

	matrix.forEach((row, i) => row.forEach((common, k) => {
		if (i < k && common)
			pairs.push({ one: groups[i], other: groups[k], common });
	}));
	return pairs.sort((a, b) => b.common - a.common);
}

function drawMatrix(svg, width, groups, matrix, most) {
	const n = matrix.length;
	const left = width < 600 ? 110 : 190;
	const cell = Math.max(18, Math.min(76, (width - left) / n));
	const [top, height] = [20, 24];

	matrix.forEach((row, i) => {
		const y = top + i * height;
		const name = svg.append("svg").attr("y", y).attr("width", left - 26).attr("height", height);

		name.append("text").attr("y", 16).text(short(groups[i]));
		name.append("title").text(describe(groups[i]));
		svg.append("text").attr("class", "faint").attr("text-anchor", "end")
			.attr("x", left - 6).attr("y", y + 16).text(i + 1);
		svg.append("text").attr("class", "faint middle")
			.attr("x", left + (i + 0.5) * cell).attr("y", 14).text(i + 1);
		row.forEach((common, k) => {
			const step = Math.min(4, Math.floor(5 * Math.sqrt(common / most)));
			const kind = i === k ? "self" : common ? `s${step}` : "none";
			const hover = i === k ? describe(groups[i]) :
				`${label(groups[i])}\n${label(groups[k])}\nboth map ${exact(common)}`;
			const box = putBox(svg, `cell mark ${kind}`, left + k * cell, y, cell, height, hover);

			if (common && cell > 62)
				box.append("text").attr("class", "middle").attr("x", "50%").attr("y", 16)
					.text(sized(common));
		});
	});
	return [left + n * cell, top + n * height];
}

/* Colours go by the square root: most pairs share little beside the one that shares most. */
function matrixWords(most) {
	return d3.range(5).map((step) => step ? `from ${sized(Math.ceil(most * step * step / 25))}` : "less");
}

function putMatrix(by, heading) {
	const { groups, matrix, left_out: leftOut } = tallies[by];
	const pairs = pairsOf(groups, matrix);
	const most = pairs.length ? pairs[0].common : 1;
	const figure = putFigure(heading, matrix.length < groups.length + leftOut ?
		`What the largest ${matrix.length} map in pairs; in the diagonal, all that each maps (Rss).` :
		"What they map in pairs; in the diagonal, all that each maps (Rss).");

	if (pairs.length)
		putLegend(figure, matrixWords(most));
	putChart(figure, `${by}-matrix`, (svg, width) => drawMatrix(svg, width, groups, matrix, most));
	putTable(figure, `pairs of ${by}`, [
		{ title: "One", of: (pair) => label(pair.one), kind: "name" },
		{ title: "Other", of: (pair) => label(pair.other), kind: "name" },
		{ title: "Both map", of: (pair) => pair.common, kind: "amount" },
	], pairs);
}

/* ---- pages by their mappings ---- */

function rangeOf({ min, max }) {
	return min === max ? grouped(min) : `${grouped(min)} \u2013 ${grouped(max)}`;
}

function drawHistogram(svg, width) {
	const [left, right, height] = [110, 160, 24];
	const length = d3.scaleLinear([0, d3.max(histogram, (bucket) => bucket.pages)], [0, width - left - right]);

	histogram.forEach((bucket, i) => {
		const bytes = bucket.pages * report.page_size;
		const pages = counted(bucket.pages, "page", "pages");
		const bar = svg.append("g").attr("class", "bar mark").attr("transform", `translate(0, ${i * height})`);
		const end = left + Math.max(1, length(bucket.pages));

		bar.append("text").attr("x", left - 8).attr("y", 16).attr("text-anchor", "end").text(rangeOf(bucket));
		bar.append("rect").attr("x", left).attr("y", 3).attr("height", height - 6).attr("width", end - left);
		bar.append("text").attr("class", "faint").attr("x", end + 6).attr("y", 16)
			.text(`${pages}, ${sized(bytes)}`);
		bar.append("title").text(`${pages} with ${rangeOf(bucket)} mappings: ${exact(bytes)}`);
	});
	return [width, histogram.length * height];
}

function putHistogram() {
	const figure = putFigure("Pages by how many mappings they have",
		`${grouped(system.pages)} pages have ${grouped(system.mappings)} mappings. One with a single mapping ` +
		"is somebody's own.");

	putChart(figure, "mappings", drawHistogram);
	putTable(figure, "mappings", [
		{ title: "Mappings, from", of: (bucket) => bucket.min, kind: "number" },
		{ title: "to", of: (bucket) => bucket.max, kind: "number" },
		{ title: "Pages", of: (bucket) => bucket.pages, kind: "number" },
		{ title: "Bytes", of: (bucket) => bucket.pages * report.page_size, kind: "amount" },
	], histogram);
}

/* ---- the head ---- */

/* A recording may say any time. */
function timeOf(seconds) {
	const time = new Date(seconds * 1000);

	return isNaN(time) ? "at no time" : `${time.toISOString().replace("T", " ").slice(0, 16)} UTC`;
}

function putHead() {
	const whole = d3.select("#whole");
	const { rss, swap, locked } = report.whole;
	const facts = [["mapped", rss], ["swapped out", swap], ["cannot be reclaimed", locked]];
	const what = report.pid_namespace ? "A container" : "The whole system";

	const processes = counted(report.processes, "process", "processes");

	d3.select("#machine").text(`${what}: Linux ${shown(system.release)} on ${shown(system.machine)}, ` +
		`${system.loaded ? "recorded" : "read"} ${timeOf(system.time)}; ${processes}`);
	if (system.memory)
		facts.unshift(["memory of the machine", system.memory]);
	for (const [name, bytes] of facts) {
		const fact = whole.append("div");

		fact.append("dt").text(name);
		putAmount(fact.append("dd").attr("data-fact", name), bytes);
	}
	d3.select("#command").text(shown(command));
}

function putNotes() {
	const processes = (n) => counted(n, "process", "processes");
	const { mismatched, refused, gone, sharing } = report;
	const { unsettled } = report.whole;
	const notes = [
		[mismatched, `Pages of which the kernel counts other mappings: ${grouped(mismatched)}.`],
		[unsettled, `${sized(unsettled)} changed while it was read: its parts are not certain.`],
		[refused, `${processes(refused)} may not be read, and not in any sum.`],
		[gone, `${processes(gone)} ended while being read.`],
		[sharing, `${processes(sharing)} not listed, with the memory of another one.`],
		[report.pid_namespace, "Processes outside this container are not read; what they map is shared."],
		[report.averaging, "Of large folios this kernel tells averages: what others map there is not known."],
	];

	for (const [applies, note] of notes)
		if (applies)
			d3.select("#notes").append("li").text(note);
}

putHead();
putNotes();
putProcesses();
putTally("file", "By file", "What is mapped; colours as above: what a single process maps.");
putTally("kind", "By kind of memory", "What becomes of memory when nobody maps it any more depends on its kind.");
putTally("user", "By user", "Names where the users of this machine were read, else numbers.");
putMatrix("process", "Which processes share how much");
putMatrix("cgroup", "Which cgroups share how much");
putMatrix("user", "Which users share how much");
putHistogram();
/* Paper has nothing to open. */
window.addEventListener("beforeprint", () => d3.selectAll("details").property("open", true));
