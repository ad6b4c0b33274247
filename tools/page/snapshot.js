/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of `rmap snapshot`: how a system, live or recorded, shares its pages, and what the kernel says of that. */
const { system } = page;
const { verified } = report;

const designs = {
	rmap: "rmap", pte_chain: "pte_chain, Linux 2.5", kvm: "KVM", freebsd: "FreeBSD amd64", xnu_arm64: "XNU arm64",
};
const classes = {
	zero: "the zero page", no_page: "no struct page", special: "special mappings",
	averaged: "large folios, by their average", shared_tables: "shared page tables", hugetlb: "hugetlb pages",
	thp: "transparent huge pages", ksm: "merged by KSM",
};

function percent(part, whole) {
	return `${whole ? (100 * part / whole).toFixed(1) : "0.0"} %`;
}

/* A chart of bars, and the table behind it; @bars: `name`, `value`, and how it is written, `text`. */
function putBars(heading, text, series, bars, left, kind) {
	const figure = putFigure(heading, text, "half");

	putChart(figure, series, (svg, width) => drawBars(svg, width, bars, left));
	putTable(figure, series, [
		{ title: title(series), of: (bar) => bar.name, kind: "name" },
		{ title: kind === "amount" ? "Bytes" : "Number", of: (bar) => bar.value, kind },
	], bars);
	return figure;
}

function putKept() {
	const kinds = { linear: "linear: only counted", direct: "direct: in the page's word", chained: "chained" };

	putBars("How mappings are kept", "", "mappings as kept", Object.entries(kinds).map(([key, name]) => ({
		name, value: report[key], text: `${grouped(report[key])}, ${percent(report[key], report.mappings)}`,
		hover: `${counted(report[key], "mapping", "mappings")}, ${name}`,
	})), 170, "number");
}

function putBytes() {
	const bars = Object.entries(designs).map(([key, name]) => {
		const bytes = report.bytes[key];
		const each = `${report.mappings ? (bytes / report.mappings).toFixed(1) : "0.0"} bytes a mapping`;
		const hover = [name, exact(bytes), each].join("\n");

		return { name, value: bytes, text: `${sized(bytes)}, ${each}`, hover };
	});

	putBars("Memory that the reverse map takes", "And what others would take for the same pages.", "designs", bars,
		150, "amount");
}

/* ---- the most shared ---- */

function ofWhat(stretch) {
	return shown(stretch.object || "?");
}

function putTop() {
	const { stretches } = report;
	const figure = putFigure("The most shared pages", "Pages of one file that as many mappings have stand " +
		"together. Bars are mappings of each page; --top names more of them.");
	const bars = stretches.map((stretch) => {
		const name = ending(ofWhat(stretch));
		const [mappings, pages] = [stretch.mapcount, counted(stretch.pages, "page", "pages")];
		const hover = [ofWhat(stretch), `${pages} from frame ${hex(stretch.pfn)}`,
			`${counted(mappings, "mapping", "mappings")} of each`,
			`of ${counted(stretch.pids.length, "process", "processes")}`].join("\n");

		return { name, value: mappings, text: `${grouped(mappings)} x ${pages}`, hover };
	});

	if (bars.length)
		putChart(figure, "top", (svg, width) => drawBars(svg, width, bars, width < 600 ? 130 : 240));
	putTable(figure, "the most shared pages", [
		{ title: "Of", of: ofWhat, kind: "name" },
		{ title: "Mappings", of: (stretch) => stretch.mapcount, kind: "number" },
		{ title: "Pages", of: (stretch) => stretch.pages, kind: "number" },
		{ title: "First frame", of: ({ pfn }) => pfn, kind: "frame" },
		{ title: "Processes", of: (stretch) => stretch.pids.length, kind: "number" },
		{ title: "Pids", of: (stretch) => stretch.pids.join(" "), kind: "name" },
	], stretches);
}

/* ---- the kernel's counts ---- */

function putVerified() {
	const words = {
		matched: "the kernel counts as many mappings, or what explains the rest is known",
		changed: "the system went on while it was read",
		mismatched: "the kernel counts others, though nothing changed",
	};
	const { mismatches } = report;
	const bars = Object.entries(words).map(([name, meaning]) => {
		const n = verified[name];

		return { name, value: n, text: `${grouped(n)}, ${percent(n, verified.pages)}`,
			hover: `${counted(n, "page", "pages")} ${name}: ${meaning}` };
	});
	const compared = `${counted(verified.pages, "page", "pages")} against /proc/kpagecount.`;
	const figure = putBars("Compared with the kernel's counts", compared, "verdicts", bars, 100, "number");

	if (mismatches.length)
		putTable(figure, "pages that differ", [
			{ title: "Of", of: ofWhat, kind: "name" },
			{ title: "Frame", of: ({ pfn }) => pfn, kind: "frame" },
			{ title: "Counted", of: ({ counted: here }) => here, kind: "number" },
			{ title: "The kernel", of: ({ kernel }) => kernel, kind: "number" },
		], mismatches).property("open", true);
}

function putClasses() {
	const bars = Object.entries(report.classes).map(([key, value]) => ({ name: classes[key] ?? shown(key), value,
		text: grouped(value), hover: counted(value, "page", "pages") }));

	if (bars.length)
		putBars("Pages of their own kind", "These are compared in ways of their own.", "kinds", bars, 200,
			"number");
}

/* ---- the head ---- */

function putWhole() {
	const each = report.pages ? (report.mappings / report.pages).toFixed(2) : "0";

	putFact("pages", (fact) => fact.text(grouped(report.pages)));
	putFact("of memory", (fact) => putAmount(fact, report.pages * system.page_size));
	putFact("mappings", (fact) => fact.text(grouped(report.mappings)));
	putFact("mappings a page", (fact) => fact.text(each));
	putFact("differ from the kernel", (fact) => fact.text(grouped(verified.mismatched)));
}

/* What is to be known of a sample of pages. */
function sampleText({ one_in: oneIn, pages, mappings, error }) {
	return `One page in ${grouped(oneIn)} was kept: of all there are about ${grouped(pages)} \u00b1 ` +
		`${grouped(error.pages)} pages with ${grouped(mappings)} \u00b1 ${grouped(error.mappings)} mappings.`;
}

function notes() {
	const { sample, seconds } = report;
	const fewer = "they match where the kernel counts no fewer mappings.";
	const times = `${system.loaded ? "Loaded" : "Scanned"} in ${measured(seconds.scan)} s, built in ` +
		`${measured(seconds.build)} s, verified in ${measured(seconds.verify)} s`;

	return [
		[true, `${times}, with ${counted(report.threads, "thread", "threads")}.`],
		[sample, sample && sampleText(sample)],
		[report.partial, `Other processes may map these pages, too: ${fewer}`],
		[system.pid_namespace, `Processes outside this container may map these pages, too: ${fewer}`],
		[verified.bounded, `Of ${grouped(verified.bounded)} that match the kernel counts more: processes ` +
			"that may not be read can map them, too."],
		[verified.moving, "Pages that never stood still, of which nothing can be said: " +
			`${grouped(verified.moving)}.`],
		[report.averaging, "Of large folios this kernel tells averages: they match where theirs is that."],
		[report.ksm_unknown, "What was merged by KSM is not told: this kernel marks every anonymous page so."],
		[report.sharing.length, "More processes, with the memory of another one: " +
			`${grouped(report.sharing.length)}.`],
	];
}

putHead("Reverse map: who shares the pages",
	systemText(system, report.partial ? "Some processes" : "The whole system"));
putWhole();
putNotes(notes());
putHistogram(report.histogram, system.page_size,
	`${grouped(report.pages)} pages have ${grouped(report.mappings)} mappings.`);
putTop();
putKept();
putBytes();
putVerified();
putClasses();
