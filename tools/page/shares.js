/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of `rmap shares`. */
const { system, histogram } = page;
const tallies = Object.fromEntries(report.tallies.map((tally) => [tally.by, tally]));
const figures = ["pss", "uss", "rss", "swap"];

function label(group) {
	return shown(group.name || "?") + ("pid" in group ? ` (${group.pid})` : "");
}

function describe(group) {
	const known = figures.filter((figure) => figure in group);

	return [label(group), ...known.map((figure) => `${title(figure)} ${exact(group[figure])}`)].join("\n");
}

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

function putTallyTable(figure, by) {
	const { groups, left_out: leftOut } = tallies[by];

	putTable(figure, by, columnsOf(by), groups, ["All memory, each page once", report.whole]);
	if (leftOut)
		figure.append("p").text(`${grouped(leftOut)} more are left out (--limit).`);
}

/* ---- charts ---- */

function putLegend(figure, words) {
	const legend = figure.append("div").attr("class", "legend");

	words.forEach((word, i) => legend.append("span").style("--step", `var(--s${i})`).text(word));
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
	const name = data.rest ? `${grouped(data.rest)} more` : ending(label(data));
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
	const name = x1 - x0 < 240 ? ending(label(data.group)) : label(data.group);

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
	const figure = putFigure(heading, text, "third");
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

		name.append("text").attr("y", 16).text(ending(label(groups[i])));
		name.attr("data-hover", describe(groups[i]));
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

/* ---- what no mapping shows ---- */

const unseenWords = {
	cgroups: "left by what has ended, charged to cgroups without a process",
	files: "in memfds and other files without a name, mapped by nobody",
	parts: "in huge pages that were given back in part, and not free yet",
	devices: "of addresses that map devices, of which the kernel shows no page",
};

/* A recording does not tell of it. */
function putUnseen(unseen) {
	const classes = Object.keys(unseenWords).filter((key) => unseen?.[key]?.bytes);

	if (!classes.length)
		return;
	const figure = putFigure("What no sum above shows", classes.map((key) =>
		`${sized(unseen[key].bytes)} ${unseenWords[key]}`).join("; ") + ".");

	putTable(figure, "unseen", [
		{ title: "What", of: (row) => row.what, kind: "name" },
		{ title: "Name", of: (row) => shown(row.name || ""), kind: "name" },
		{ title: "Process", of: (row) => shown(row.command || ""), kind: "name" },
		{ title: "Pid", of: (row) => row.pid, kind: "id" },
		{ title: "Bytes", of: (row) => row.bytes, kind: "amount" },
	], classes.flatMap((key) => unseen[key].items.map((item) => ({ what: key, ...item }))));
}

/* ---- the head ---- */

function putWhole() {
	const { rss, swap, locked } = report.whole;
	const facts = [["mapped", rss], ["swapped out", swap], ["cannot be reclaimed", locked]];

	if (system.memory)
		facts.unshift(["memory of the machine", system.memory]);
	for (const [name, bytes] of facts)
		putFact(name, (fact) => putAmount(fact, bytes));
}

function notes() {
	const processes = (n) => counted(n, "process", "processes");
	const { mismatched, refused, gone, sharing } = report;
	const { unsettled } = report.whole;

	return [
		[mismatched, `Pages of which the kernel counts other mappings: ${grouped(mismatched)}.`],
		[unsettled, `${sized(unsettled)} changed while it was read: its parts are not certain.`],
		[refused, `${processes(refused)} may not be read, and not in any sum.`],
		[gone, `${processes(gone)} ended while being read.`],
		[sharing, `${processes(sharing)} not listed, with the memory of another one.`],
		[report.pid_namespace, "Processes outside this container are not read; what they map is shared."],
		[report.averaging, "Of large folios this kernel tells averages: what others map there is not known."],
	];
}

putHead("Where the memory went, and who shares it", systemText(system, "The whole system"));
putWhole();
putNotes(notes());
putProcesses();
putTally("file", "By file", "What is mapped; colours as above: what a single process maps.");
putTally("kind", "By kind of memory", "What becomes of memory when nobody maps it any more depends on its kind.");
putTally("user", "By user", "Names where the users of this machine were read, else numbers.");
putMatrix("process", "Which processes share how much");
putMatrix("cgroup", "Which cgroups share how much");
putMatrix("user", "Which users share how much");
putUnseen(report.unseen);
putHistogram(histogram, report.page_size, `${grouped(system.pages)} pages have ${grouped(system.mappings)} ` +
	"mappings. One with a single mapping is somebody's own.");
