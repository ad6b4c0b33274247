/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the pages of rmap share: figures as text, tables, charts, what shows where the pointer rests.
 *
 * A page draws the document that stands in it as charts, with a table behind each. Names of processes and files are
 * arbitrary: they become text by text() or an attribute by attr() alone, never markup, and pass through shown(). Each
 * mark of a chart has the class "mark", and stands in an svg whose data-series says what it shows. Charts name classes,
 * not colours, which are the style sheet's, in light, in dark and on paper.
 */
"use strict";

const page = JSON.parse(document.getElementById("document").textContent);
const { command, report } = page;

/* ---- text ---- */

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

function digits(value, n) {
	return value.toLocaleString("en", { maximumSignificantDigits: n });
}

/* Three digits or so of what was measured. */
function measured(value) {
	return Math.abs(value) >= 100 ? grouped(Math.round(value)) : digits(value, 3);
}

/* At an axis there is little room: 50k, 2M. */
function short(value) {
	const [unit, by] = value >= 1e6 ? ["M", 1e6] : value >= 1e4 ? ["k", 1e3] : ["", 1];

	return digits(value / by, by > 1 ? 3 : 4) + unit;
}

function hex(n) {
	return `0x${n.toString(16)}`;
}

/* Where there is little room: of a path its end says most. */
function ending(name) {
	return name.replace(/^\/(.*\/)?(?=.)/, "");
}

function title(name) {
	return name[0].toUpperCase() + name.slice(1);
}

/* A recording may say any time. */
function timeOf(seconds) {
	const time = new Date(seconds * 1000);

	return isNaN(time) ? "at no time" : `${time.toISOString().replace("T", " ").slice(0, 16)} UTC`;
}

/* ---- the head and the foot ---- */

function putHead(heading, machine) {
	d3.select("h1").text(heading);
	d3.select("#machine").text(machine);
	d3.select("#command").text(shown(command));
}

/* A name and a value; @put(parent) puts that. */
function putFact(name, put) {
	const fact = d3.select("#whole").append("div");

	fact.append("dt").text(name);
	put(fact.append("dd").attr("data-fact", name));
}

/* Pairs of whether a note applies, and what it says. */
function putNotes(notes) {
	for (const [applies, note] of notes)
		if (applies)
			d3.select("#notes").append("li").text(note);
}

/* The system that a report of its memory is about. */
function systemText(system, whole) {
	const what = system.pid_namespace ? "A container" : whole;

	return `${what}: Linux ${shown(system.release)} on ${shown(system.machine)}, ` +
		`${system.loaded ? "recorded" : "read"} ${timeOf(system.time)}; ` +
		counted(report.processes, "process", "processes");
}

/* The machine that measured, how, and what is to be held against its figures. */
function machineText() {
	const { cpu, cores, kernel, load, compiler, flags } = report.machine;

	const machine = `${shown(cpu)}, ${counted(cores, "core", "cores")}, ${shown(kernel)}`;
	const rounds = counted(report.repeat, "round", "interleaved rounds");

	return `${machine}, load ${measured(load)} at the start; ${shown(compiler)}, ${shown(flags)}. ` +
		`Medians of ${rounds}, ${measured(report.seconds)} seconds in all${report.quick ? ", --quick" : ""}.`;
}

function machineNotes() {
	const { build, load } = report.machine;

	return [
		[build !== "plain", `This was a build for tests (${shown(build)}): its times say little.`],
		[load > 0.5, "Other programs were running, which took caches, memory and cores: ratios bear it " +
			"better than times, and rows with several threads bear it badly."],
	];
}

/* ---- what shows where the pointer rests, or a finger ---- */

function putHover() {
	const box = d3.select("body").append("div").attr("id", "hover").attr("role", "tooltip");

	function move(event) {
		const { width, height } = box.node().getBoundingClientRect();
		const left = Math.min(event.clientX + 12, innerWidth - width - 8);
		const [above, below] = [event.clientY - height - 12, event.clientY + 18];

		box.style("left", `${Math.max(8, left)}px`);
		box.style("top", `${below + height < innerHeight ? below : Math.max(8, above)}px`);
	}

	document.addEventListener("pointerover", (event) => {
		const over = event.target.closest("[data-hover]");

		box.classed("on", over).text(over ? over.dataset.hover : "");
		if (over)
			move(event);
	});
	document.addEventListener("pointermove", (event) => box.classed("on") && move(event));
	document.addEventListener("scroll", () => box.classed("on", false), { passive: true, capture: true });
}

/* ---- tables ---- */

/* A number of bytes, in binary units; the exact one on hover. */
function putAmount(parent, bytes) {
	parent.append("data").attr("value", bytes).attr("data-hover", `${grouped(bytes)} bytes`).text(sized(bytes));
}

/* What was measured, in three digits; all that there are of it on hover. */
function putMeasured(parent, value) {
	parent.append("data").attr("value", value).attr("data-hover", String(value)).text(measured(value));
}

/*
 * A column: its title, what it has of a row, and how that is shown: as a name, an id, a page frame, a number, an
 * amount, or measured.
 */
function putCell(cell, column, row) {
	const value = column.of(row);

	cell.classed("name", column.kind === "name");
	if (value === undefined || value === null)
		return;
	if (column.kind === "amount")
		putAmount(cell, value);
	else if (column.kind === "measured")
		putMeasured(cell, value);
	else if (column.kind === "number")
		cell.text(grouped(value));
	else
		cell.text(column.kind === "frame" ? hex(value) : value);
}

/* Sort by @column: numbers the largest first, names from A; the second time the other way. What is missing is last. */
function sortTable(table, head, column) {
	const first = column.kind === "name" ? "ascending" : "descending";
	const order = head.attr("aria-sort") !== first ? first : first === "ascending" ? "descending" : "ascending";
	const sign = order === "ascending" ? 1 : -1;
	const compare = column.kind === "name" ? (a, b) => a.localeCompare(b) : (a, b) => a - b;

	table.selectAll("th").attr("aria-sort", null);
	head.attr("aria-sort", order);
	table.selectAll("tbody tr").sort((a, b) => {
		const [one, other] = [column.of(a) ?? null, column.of(b) ?? null];

		return one === null || other === null ? (one === null) - (other === null) : sign * compare(one, other);
	});
}

/* @foot: the name of a last row, and that. */
function putTable(figure, series, columns, rows, foot) {
	const details = figure.append("details");
	const table = details.append("div").attr("class", "scroll").append("table").attr("data-series", series);
	const head = table.append("thead").append("tr");

	details.append("summary").lower().text(`Table of ${series}: ${counted(rows.length, "row", "rows")}`);
	for (const column of columns) {
		const cell = head.append("th").attr("scope", "col").classed("name", column.kind === "name");

		cell.append("button").text(column.title).on("click", () => sortTable(table, cell, column));
	}
	table.append("tbody").selectAll("tr").data(rows).join("tr").each(function (row) {
		for (const column of columns)
			putCell(d3.select(this).append("td"), column, row);
	});
	if (foot)
		putFoot(table.append("tfoot").append("tr"), columns, foot);
	return details;
}

function putFoot(last, columns, [name, row]) {
	columns.forEach((column, i) => {
		const cell = last.append("td");

		if (!i)
			cell.attr("class", "name").text(name);
		else if (column.kind === "amount")
			putAmount(cell, column.of(row));
	});
}

/* ---- charts ---- */

/* A figure with its caption, to be given a chart and its tables. @width: "third", "half", or nothing for all of it. */
function putFigure(heading, text, width) {
	const figure = d3.select("main").append("figure").attr("class", width);
	const caption = figure.append("figcaption");

	caption.append("h2").text(heading);
	if (text)
		caption.append("p").text(text);
	return figure;
}

/*
 * @draw(svg, width) draws it, anew whenever its width changes, and returns its width and height. Returned is what
 * redraws.
 */
function putChart(figure, series, draw) {
	const chart = figure.append("div").attr("class", "chart");
	const name = figure.select("h2").text();
	let drawn = 0;

	function redraw() {
		drawn = chart.node().clientWidth;
		const svg = chart.text("").append("svg").attr("data-series", series);
		const [width, height] = draw(svg, drawn);

		svg.attr("role", "img").attr("aria-label", name);
		svg.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`);
	}

	redraw();
	/* Not at once: what is drawn may change a width again. */
	new ResizeObserver(() => requestAnimationFrame(() => {
		if (chart.node().clientWidth !== drawn)
			redraw();
	})).observe(chart.node());
	return redraw;
}

/* A box that cuts what is too large for it. */
function putBox(parent, kind, x, y, width, height, hover) {
	const box = parent.append("svg").attr("class", kind).attr("x", x).attr("y", y);

	box.attr("width", Math.max(0, width)).attr("height", Math.max(0, height)).attr("data-hover", hover);
	box.append("rect").attr("width", "100%").attr("height", "100%");
	return box;
}

function putText(parent, kind, x, y, text) {
	return parent.append("text").attr("class", kind).attr("x", x).attr("y", y).text(text);
}

/*
 * Bars, each with its `name` before it and behind it what it is, `text`; where there is little room these are above.
 * @left: room for names.
 */
function drawBars(svg, width, bars, left) {
	const right = Math.max(...bars.map((bar) => bar.text.length)) * 6.5 + 14;
	const narrow = width < left + right + 120;
	const [begin, room, top, thick, step, base] = narrow ? [0, 0, 18, 12, 38, 13] : [left, right, 3, 18, 24, 16];
	const length = d3.scaleLinear([0, d3.max(bars, (bar) => bar.value) || 1], [0, width - begin - room]);

	bars.forEach((bar, i) => {
		const line = svg.append("g").attr("class", "bar mark").attr("transform", `translate(0, ${i * step})`);
		const size = bar.value && Math.max(1, length(bar.value));
		const name = line.append("svg").attr("width", narrow ? width - right : left - 8).attr("height", 24);

		putText(name, narrow ? "" : "end", narrow ? 0 : "100%", base, bar.name);
		line.append("rect").attr("x", begin).attr("y", top).attr("height", thick).attr("width", size);
		putText(line, narrow ? "faint end" : "faint", narrow ? width : begin + size + 6, base, bar.text);
		line.attr("data-hover", bar.hover);
	});
	return [width, bars.length * step];
}

/* Pages by how many mappings they have, of a histogram with bytes of @pageSize a page. */
function putHistogram(histogram, pageSize, text) {
	const figure = putFigure("Pages by how many mappings they have", text);
	const rangeOf = ({ min, max }) => min === max ? grouped(min) : `${grouped(min)} \u2013 ${grouped(max)}`;
	const bars = histogram.map((bucket) => {
		const pages = counted(bucket.pages, "page", "pages");
		const [name, bytes] = [rangeOf(bucket), bucket.pages * pageSize];
		const hover = `${pages} with ${name} ${bucket.max === 1 ? "mapping" : "mappings"}: ${exact(bytes)}`;

		return { name, value: bucket.pages, text: `${pages}, ${sized(bytes)}`, hover };
	});

	putChart(figure, "mappings", (svg, width) => drawBars(svg, width, bars, 110));
	putTable(figure, "mappings", [
		{ title: "Mappings, from", of: (bucket) => bucket.min, kind: "number" },
		{ title: "to", of: (bucket) => bucket.max, kind: "number" },
		{ title: "Pages", of: (bucket) => bucket.pages, kind: "number" },
		{ title: "Bytes", of: (bucket) => bucket.pages * pageSize, kind: "amount" },
	], histogram);
}

/* ---- charts of what was measured: a contender has its colour, its symbol and its dashes throughout a page ---- */

/* A triangle that stands on its tip. */
const symbolTip = {
	draw(context, size) {
		const side = Math.sqrt(size * 4 / Math.sqrt(3)), height = side * Math.sqrt(3) / 2;

		context.moveTo(0, 2 * height / 3);
		context.lineTo(side / 2, -height / 3);
		context.lineTo(-side / 2, -height / 3);
		context.closePath();
	},
};
const symbols = [d3.symbolSquare, d3.symbolTriangle, d3.symbolDiamond, d3.symbolCross, symbolTip, d3.symbolWye,
	d3.symbolStar];
const dashes = ["", "7 3", "2 2", "8 3 2 3", "12 3", "4 4", "1 3"];
const boundDashes = ["5 3", "2 3", "1 4"];
const colours = 7;
const styles = new Map();

/* @subject is what the page is about, @bounds what nothing can be better than: these have styles of their own. */
function setStyles(names, subject, bounds) {
	let others = 0, limits = 0;

	for (const name of new Set(names))
		if (name === subject)
			styles.set(name, { kind: "subject", symbol: d3.symbolCircle, dash: "" });
		else if (bounds.includes(name))
			styles.set(name, { kind: "bound", symbol: d3.symbolCircle, dash: boundDashes[limits++ % 3] });
		else {
			const turn = Math.floor(others / colours);

			styles.set(name, { kind: `k${others % colours}`, symbol: symbols[(others + 3 * turn) % colours],
				dash: dashes[(others + 2 * turn) % colours] });
			others++;
		}
}

function putSymbol(parent, style, x, y) {
	const symbol = d3.symbol().type(style.symbol).size(style.kind === "subject" ? 60 : 42);

	return parent.append("path").attr("d", symbol())
		.attr("transform", `translate(${x.toFixed(1)}, ${y.toFixed(1)})`);
}

/* What each line or symbol is. */
function putKeys(figure, names) {
	const keys = figure.append("div").attr("class", "keys");

	for (const name of names) {
		const style = styles.get(name);
		const key = keys.append("span");
		const line = key.append("svg").attr("width", 30).attr("height", 14).append("g");

		line.attr("class", `line ${style.kind}`);
		line.append("path").attr("class", "way").attr("d", "M0,7H30").attr("stroke-dasharray", style.dash);
		putSymbol(line, style, 15, 7);
		key.append("span").text(shown(name));
	}
	return keys;
}

/* A scale for @values, with room beyond them. */
function scaleOf(values, range, isLog) {
	const [least, most] = d3.extent(values);

	if (isLog)
		return d3.scaleLog([least / 1.2, most * 1.2], range);
	return d3.scaleLinear([Math.min(0, least), most > 0 ? most * 1.05 : 1], range);
}

/* Of a logarithmic scale the whole decades, and what is between them where they are few. */
function ticksOf(scale, isLog, length) {
	if (!isLog)
		return scale.ticks(Math.max(2, Math.floor(length / 60)));
	const [least, most] = scale.domain();
	const spread = Math.log10(most / least);

	if (spread < 0.6)
		return d3.ticks(least, most, 4);
	const decades = d3.range(Math.floor(Math.log10(least)), Math.ceil(Math.log10(most)) + 1);
	const steps = spread < 1.2 ? [1, 2, 3, 5, 7] : spread < 3 ? [1, 2, 5] : [1];
	const ticks = decades.flatMap((power) => steps.map((step) => +(step * 10 ** power).toPrecision(1)))
		.filter((tick) => tick >= least && tick <= most);
	const each = Math.ceil(ticks.length * 34 / length);

	return ticks.filter((_, i) => i % each === 0);
}

function putTickLine(svg, x1, y1, x2, y2) {
	svg.append("line").attr("class", "grid").attr("x1", x1).attr("y1", y1).attr("x2", x2).attr("y2", y2);
}

/* The sizes that there are, but for those too near to another. */
function putSizes(svg, x, sizes, top, bottom) {
	let last = -Infinity;

	for (const n of sizes) {
		const at = x(n);

		putTickLine(svg, at, top, at, bottom);
		if (at - last < 12 + 3.5 * (short(n).length))
			continue;
		last = at + 3.5 * short(n).length;
		putText(svg, "faint middle", at, bottom + 15, short(n));
	}
}

/*
 * Lines against n, both axes logarithmic. @series: `name`, and `points` of `n`, `value`, `min`, `max`, `hover`; what is
 * not above zero has no place there. @bounds: targets, each with `points`, `hover`, whether it is `met`, and whether it
 * is to be reached, `atLeast`.
 */
function drawLines(svg, width, series, bounds, unit) {
	const [left, right, top, height] = [48, 12, 22, Math.round(Math.max(210, Math.min(320, width * 0.62)))];
	const bottom = height - 34;
	const points = series.flatMap((one) => one.points.filter((point) => point.value > 0));
	const marks = bounds.flatMap((bound) => bound.points);
	const sizes = [...new Set(points.map((point) => point.n))].sort((a, b) => a - b);
	const x = d3.scaleLog(d3.extent(sizes), [left + 12, width - right - 12]);
	/* Of many the spread of one shall not squeeze the others. */
	const ends = series.length > 2 ? [] : points.flatMap((point) => [point.min, point.max]);
	const values = [...[...points, ...marks].map((point) => point.value), ...ends.filter((value) => value > 0)];
	const y = scaleOf(values, [bottom, top], true);
	const inside = (value) => Math.max(top, Math.min(bottom, y(value)));

	putSizes(svg, x, sizes, top, bottom);
	for (const tick of ticksOf(y, true, (bottom - top) * 1.4)) {
		putTickLine(svg, left, y(tick), width - right, y(tick));
		putText(svg, "faint end", left - 6, y(tick) + 4, short(tick));
	}
	putText(svg, "faint", 0, 11, unit);
	putText(svg, "faint end", width - right, height - 4, "n");
	for (const one of series)
		putLine(svg, one, x, y, inside);
	for (const bound of bounds)
		putBound(svg, bound, x, y);
	return [width, height];
}

function wayOf(x, y) {
	return d3.line().x((point) => x(point.n)).y((point) => y(point.value));
}

function putLine(svg, { name, points }, x, y, inside) {
	const style = styles.get(name);
	const line = svg.append("g").attr("class", `line ${style.kind}`).attr("data-contender", name);
	const placed = points.filter((point) => point.value > 0);

	line.append("path").attr("class", "way").attr("d", wayOf(x, y)(placed)).attr("stroke-dasharray", style.dash);
	for (const point of placed) {
		if (point.max > 1.02 * point.min)
			line.append("path").attr("class", "spread")
				.attr("d", `M${x(point.n)},${inside(Math.max(point.min, 1e-12))}V${inside(point.max)}`);
		putSymbol(line, style, x(point.n), y(point.value)).classed("mark", true).attr("data-hover", point.hover)
			.attr("data-n", point.n).attr("data-value", point.value);
	}
}

/* A target at each size: across the line, and an arrow to where figures are to be. */
function putBound(svg, bound, x, y) {
	const group = putTarget(svg, bound);
	const toward = bound.atLeast ? -6 : 6;

	group.append("path").attr("class", "way").attr("d", wayOf(x, y)(bound.points));
	for (const point of bound.points)
		group.append("path").attr("class", "goal mark").attr("data-n", point.n).attr("data-value", point.value)
			.attr("d", `M${x(point.n) - 9},${y(point.value)}h18m-9,0v${toward}` +
				`m-3,${-toward / 2}l3,${toward / 2}l3,${-toward / 2}`);
}

function putTarget(svg, { met, hover }) {
	return svg.append("g").attr("class", `target ${met ? "met" : "missed"}`).attr("data-hover", hover);
}

/* Is it of use to draw these values on a logarithmic scale? */
function spansDecades(values) {
	const above = values.filter((value) => value > 0);

	return above.length > 0 && d3.max(above) >= 8 * d3.min(above);
}

/*
 * A row for each contender, with a symbol for each of its values. @rows: `name`, `label`, `marks` of `value`, `min`,
 * `max`, `hover`, and whether it is `second` and has a `star`; and `goals`, targets of a `value` each. What is not
 * above zero has no place on a logarithmic scale: that is said, and the table has it. @given: values that the scale has
 * to have, such as those of other charts.
 */
function drawDots(svg, width, rows, unit, given = []) {
	const longest = d3.max(rows, (row) => row.label.length);
	const [left, right, top, step] = [12 + 6.6 * longest, 16, 4, 21];
	const marks = rows.flatMap((row) => [...row.marks, ...row.goals ?? []]);
	const values = [...marks.map((mark) => mark.value), ...given];
	const isLog = spansDecades(values) && unit !== "%";
	const bottom = top + rows.length * step;
	const least = d3.min(marks, (mark) => mark.value);
	const room = !isLog || least > 0 ? 10 : least < 0 ? 58 : 24;
	const x = scaleOf(isLog ? values.filter((value) => value > 0) : unit === "%" ? [0, 100] : values,
		[left + room, width - right], isLog);

	for (const tick of ticksOf(x, isLog, width - left - right)) {
		putTickLine(svg, x(tick), top, x(tick), bottom);
		putText(svg, "faint middle", x(tick), bottom + 14, short(tick));
	}
	if (unit.length <= longest)
		putText(svg, "faint end", left - 2, bottom + 14, unit);
	rows.forEach((row, i) => putDots(svg, row, x, left, top + (i + 0.5) * step, isLog));
	return [width, bottom + 20];
}

function putDots(svg, row, x, left, at, isLog) {
	const style = styles.get(row.name);
	const line = svg.append("g").attr("class", `line ${style.kind}`).attr("data-contender", row.name);
	const [least, most] = x.range();
	const inside = (value) => Math.max(least, Math.min(most, isLog && value <= 0 ? least : x(value)));
	const below = row.marks.filter((mark) => isLog && mark.value <= 0);

	putText(line, "end", left - 2, at + 4, row.label);
	row.marks.forEach((mark, i) => {
		if (below.includes(mark))
			return;
		const y = at + (i - (row.marks.length - 1) / 2) * 5;

		if (mark.max > mark.min)
			line.append("path").attr("class", "spread")
				.attr("d", `M${inside(mark.min)},${y}H${inside(mark.max)}`);
		putSymbol(line, style, x(mark.value), y).classed("mark", true).classed("second", mark.second)
			.attr("data-hover", mark.hover).attr("data-value", mark.value);
		if (mark.star)
			putText(line, "star", x(mark.value) + 6, y + 3, "*");
	});
	for (const goal of row.goals ?? [])
		putGoal(svg, goal, x(goal.value), at);
	if (below.length)
		putText(line, "faint below", left + 4, at + 4, below.some((mark) => mark.value < 0) ? "below 0" : "0")
			.attr("data-hover", below.map((mark) => mark.hover).join("\n"));
}

/* A target across a row of dots. */
function putGoal(svg, goal, x, y) {
	const toward = goal.atLeast ? 6 : -6;

	putTarget(svg, goal).append("path").attr("class", "goal mark").attr("data-value", goal.value)
		.attr("d", `M${x},${y - 9}v18m0,-9h${toward}m${-toward / 2},-3l${toward / 2},3l${-toward / 2},3`);
}

/* Paper has nothing to open. */
window.addEventListener("beforeprint", () => d3.selectAll("details").property("open", true));
putHover();
