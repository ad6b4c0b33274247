/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * report.c - what `rmap snapshot` and `rmap who` print; see report.h
 *
 * Text keeps within 80 columns, but for the paths of files in `rmap who`, which are told whole. JSON has the fields
 * that docs/rmap.md names; fields may be added, none is taken away.
 */
#include "report.h"

#include "figures.h"
#include "recheck.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

static const struct {
	const char *key;
	const char *name;
} designs[DESIGNS] = {
	[DESIGN_RMAP] = { "rmap", "rmap" },
	[DESIGN_PTE_CHAIN] = { "pte_chain", "pte_chain, Linux 2.5" },
	[DESIGN_KVM] = { "kvm", "KVM" },
	[DESIGN_FREEBSD] = { "freebsd", "FreeBSD amd64" },
	[DESIGN_XNU_ARM64] = { "xnu_arm64", "XNU arm64" },
};

static const struct {
	const char *key;
	const char *name;
	const char *rule;
} classes[CLASSES] = {
	[CLASS_ZERO] = { "zero", "zero page", "compared; the kernel counts none of its mappings" },
	[CLASS_NO_PAGE] = { "no_page", "no struct page", "device memory, which the kernel does not count" },
	[CLASS_SPECIAL] = { "special", "special mappings", "compared; the kernel counts no special pte" },
	[CLASS_AVERAGED] = { "averaged", "large folios", "compared by the folio's average, all that is told" },
	[CLASS_SHARED_TABLES] = { "shared_tables", "shared tables", "hugetlb; a page table in common may count once" },
	[CLASS_HUGETLB] = { "hugetlb", "hugetlb pages", "compared; a huge mapping counts for each page" },
	[CLASS_THP] = { "thp", "transparent huge", "compared; a huge mapping counts for each page" },
	[CLASS_KSM] = { "ksm", "merged by KSM", "compared like any other" },
};

/* ---- text ---- */

#define BAR_WIDTH 16

static void print_head(const struct system *system, const struct timing *timing, const struct figures *figures)
{
	char when[64] = "";
	time_t seconds = (time_t)system->time;
	struct tm tm;

	if (timing->loaded && localtime_r(&seconds, &tm))
		strftime(when, sizeof(when), ", recorded %Y-%m-%d %H:%M", &tm);
	printf("Reverse map of %s%s\nLinux %s on %s\n\n",
	       system->partial         ? "some processes"
	       : system->pid_namespace ? "this container"
				       : "the whole system",
	       when, printable(system->release), printable(system->machine));
	printf("  processes  %12s", grouped(system->processes_n));
	if (system->kernel_threads)
		printf("   and %s kernel %s without memory", grouped(system->kernel_threads),
		       plural(system->kernel_threads, "thread", "threads"));
	printf("\n");
	if (system->sharing)
		printf("  %22s   more %s the memory of one of these\n", grouped(system->sharing),
		       plural(system->sharing, "shares", "share"));
	if (system->gone)
		printf("  %22s   more ended while being read\n", grouped(system->gone));
	if (system->refused)
		printf("  %22s   more may not be read, with %s resident %s\n", grouped(system->refused),
		       grouped(system->refused_pages), plural(system->refused_pages, "page", "pages"));
	printf("  pages      %12s   %s\n", grouped(figures->pages),
	       sized((double)figures->pages * (double)(UINT64_C(1) << system->page_shift)));
	printf("  mappings   %12s   %.2f a page\n", grouped(figures->mappings),
	       figures->pages ? (double)figures->mappings / (double)figures->pages : 0);
	if (sample_is_taken(&system->sample))
		printf("  One page in %s was kept, chosen by a hash, and all figures are of these.\n"
		       "  Of all there are about %s +- %s pages\n"
		       "  with %s +- %s mappings, in 95 of 100 samples.\n",
		       grouped(system->sample.one_in), grouped(figures->pages * system->sample.one_in),
		       grouped(figures_error(system, (double)figures->pages)),
		       grouped(figures->mappings * system->sample.one_in),
		       grouped(figures_error(system, figures->squares)));
	if (system->overflowed)
		printf("  %22s   more are beyond what one page can count: left out\n", grouped(system->overflowed));
}

/* One line of a table: a name, a figure, another one, what it means, and a bar for @part of @whole. */
static void print_line(const char *name, const char *figure, const char *second, const char *meaning, double part,
		       double whole)
{
	printf("  %-20s %10s  %7s  %-18s  ", name, figure, second, meaning);
	print_bar(stdout, part, whole, BAR_WIDTH);
	printf("\n");
}

static const char *percent(uint64_t part, uint64_t whole)
{
	char *out = text_buffer();

	snprintf(out, 32, "%.1f %%", whole ? 100.0 * (double)part / (double)whole : 0);
	return out;
}

static void print_shares(const struct figures *figures)
{
	const struct {
		const char *name;
		uint64_t n;
		const char *meaning;
	} shares[] = {
		{ "linear", figures->linear, "counted only" },
		{ "direct", figures->direct, "in the page's word" },
		{ "chained", figures->chained, "in chains" },
	};

	printf("\nHow mappings are kept\n");
	for (size_t i = 0; i < 3; i++)
		print_line(shares[i].name, grouped(shares[i].n), percent(shares[i].n, figures->mappings),
			   shares[i].meaning, (double)shares[i].n, (double)figures->mappings);
}

static void print_histogram(const struct figures *figures)
{
	uint64_t most = 0;
	unsigned last = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		most = figures->histogram[i] > most ? figures->histogram[i] : most;
		last = figures->histogram[i] ? i : last;
	}
	printf("\nPages by how many mappings they have\n");
	for (unsigned i = 0; i <= last; i++) {
		uint64_t n = figures->histogram[i];
		char range[64] = "1";

		if (i)
			snprintf(range, sizeof(range), "%s - %s", grouped(UINT64_C(1) << i),
				 grouped((UINT64_C(2) << i) - 1));
		print_line(range, grouped(n), percent(n, figures->pages), n == 1 ? "page" : "pages", (double)n,
			   (double)most);
	}
}

static void print_bytes(const struct system *system, const struct timing *timing, const struct figures *figures)
{
	double most = 0;

	for (int i = 0; i < DESIGNS; i++)
		most = figures->bytes[i] > most ? figures->bytes[i] : most;
	printf("\nMemory that the reverse map takes, and other systems' would for these pages\n");
	for (int i = 0; i < DESIGNS && figures->mappings; i++) {
		char each[32];

		snprintf(each, sizeof(each), "%.1f", figures->bytes[i] / (double)figures->mappings);
		print_line(designs[i].name, sized(figures->bytes[i]), each, "bytes a mapping", figures->bytes[i], most);
	}
	printf("  rmap: 8 bytes a page, and %s in %s %s\n  with %s %s (pool: %s).\n",
	       sized((double)figures->stats.chain_bytes), grouped(figures->stats.blocks),
	       plural(figures->stats.blocks, "chain", "chains"), grouped(figures->stats.pieces),
	       plural(figures->stats.pieces, "piece", "pieces"), sized((double)figures->stats.tier_bytes));
	printf("  Not in it: the index of %s %s of files, of 112 bytes each at most.\n", grouped(system->ranges),
	       plural(system->ranges, "vma", "vmas"));
	if (timing->loaded)
		printf("  Built anew from a recording, chains may have other shapes:\n"
		       "  in what order threads add decides.\n");
}

/*
 * How many of @mappers, which are sorted by process, are of processes with this @comm? Counts processes, not
 * mappings.
 */
static unsigned count_comm(const struct system *system, const struct mapper *mappers, size_t n, const char *comm)
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		count += (!i || mappers[i].process != mappers[i - 1].process) &&
			 !strcmp(system->processes[mappers[i].process].task.comm, comm);
	return count;
}

/* Name the processes that map @frame, the most frequent first, in about @width columns. */
static void print_sharers(const struct system *system, const struct mapper *mappers, size_t n, size_t width)
{
	const char *before = "";
	unsigned below = UINT32_MAX, best, listed = 0;
	size_t column = 0;

	/*
	 * In each turn, all names of the highest count below the last one's. A page is mapped under a handful of
	 * names.
	 */
	do {
		best = 0;
		for (size_t i = 0; i < n; i++) {
			unsigned count =
				count_comm(system, mappers, n, system->processes[mappers[i].process].task.comm);

			best = count < below && count > best ? count : best;
		}
		for (size_t i = 0; i < n && best; i++) {
			const char *comm = system->processes[mappers[i].process].task.comm;
			char text[COMM_SIZE + 16];

			if (count_comm(system, mappers, n, comm) != best || count_comm(system, mappers, i, comm))
				continue;
			snprintf(text, sizeof(text), best > 1 ? "%s%s x%u" : "%s%s", before, printable(comm), best);
			if (listed && column + strlen(text) > width) {
				printf(" ...");
				return;
			}
			printf("%s", text);
			column += strlen(text);
			before = ", ";
			listed++;
		}
		below = best;
	} while (best > 0);
}

static void print_top(const struct system *system, unsigned max)
{
	struct stretch *stretches;
	size_t n = figures_top(system, max, true, &stretches);

	if (n)
		printf("\nMost shared pages\n  mappings  pages  first frame  of                      shared by\n");
	for (size_t i = 0; i < n; i++) {
		bool zero = stretches[i].frame->flags & KPF_ZERO_PAGE;
		struct mapper *mappers;
		size_t mappers_n = system_mappers(system, stretches[i].frame, &mappers);
		char frame[32];

		snprintf(frame, sizeof(frame), "0x%" PRIx64, system_pfn(system, stretches[i].frame));
		printf("  %8s %6s %12s  ", grouped(stretches[i].mapcount), grouped(stretches[i].pages), frame);
		print_name(zero        ? "the zero page"
			   : mappers_n ? system_mapper_name(system, &mappers[0])
				       : "?",
			   22, true);
		printf("  ");
		print_sharers(system, mappers, mappers_n < 4096 ? mappers_n : 4096, 20);
		printf("\n");
		free(mappers);
	}
	free(stretches);
}

static void print_classes(const struct system *system, const struct figures *figures)
{
	bool any = false;

	for (int i = 0; i < CLASSES; i++) {
		if (!figures->classes[i])
			continue;
		if (!any)
			printf("\nPages of their own kind\n");
		any = true;
		printf("  %-17s %8s  %s\n", classes[i].name, grouped(figures->classes[i]), classes[i].rule);
	}
	if (system->ksm_unknown)
		printf("%s  Merged by KSM: left out, for this kernel marks every anonymous page so.\n",
		       any ? "" : "\n");
}

/* A frame of which the kernel counts other mappings; what it is of, or ""; and how many of ours the kernel counts. */
struct mismatch {
	const struct frame *frame;
	const char *object;
	uint64_t counted;
};

#define MISMATCHES_SHOWN 10

/* The first of them; returns how many. */
static size_t find_mismatches(const struct system *system, struct mismatch mismatches[MISMATCHES_SHOWN])
{
	size_t n = 0;

	for (size_t i = 0; i < system->frames_n && n < MISMATCHES_SHOWN; i++) {
		const struct frame *frame = &system->frames[i];
		struct mapper *mappers;

		if (frame->verdict != VERDICT_MISMATCHED)
			continue;
		mismatches[n].frame = frame;
		mismatches[n].object =
			system_mappers(system, frame, &mappers) ? system_mapper_name(system, &mappers[0]) : "";
		rmap_read_lock(system->map);
		mismatches[n++].counted = frame_counted(system, frame);
		rmap_read_unlock(system->map);
		free(mappers);
	}
	return n;
}

static void print_mismatches(const struct system *system)
{
	struct mismatch mismatches[MISMATCHES_SHOWN];
	size_t n = find_mismatches(system, mismatches);

	for (size_t i = 0; i < n; i++) {
		printf("  frame %" PRIx64 ": %" PRIu64 " at first, and the kernel counts %" PRIu32 "; of ",
		       system_pfn(system, mismatches[i].frame), mismatches[i].counted, mismatches[i].frame->kernel);
		print_name(*mismatches[i].object ? mismatches[i].object : "?", 22, false);
		printf("\n");
	}
}

static void print_verdict(const struct system *system, const struct timing *timing, const struct figures *figures)
{
	const struct verified *verified = &figures->verified;

	printf("\nSeconds: %s %.4f, build %.4f, verify %.4f, with %u %s\n", timing->loaded ? "load" : "scan",
	       timing->scan.seconds, timing->build.seconds, timing->verify.seconds, timing->threads,
	       plural(timing->threads, "thread", "threads"));
	printf("\nVerified: %s %s against the kernel's counts:\n"
	       "  %s matched, %s changed, %s mismatched\n",
	       grouped(verified->pages), plural(verified->pages, "page", "pages"), grouped(verified->matched),
	       grouped(verified->changed), grouped(verified->mismatched));
	if (verified->exclusive)
		printf("  %s of those matched by what /proc/PID/pagemap said\n"
		       "  of their only mapping as it was read, %s by /proc/kpagecount later.\n",
		       grouped(verified->exclusive), grouped(verified->matched - verified->exclusive));
	if (verified->changed)
		printf("  Changed: the system went on while it was read; read again, %s agreed.\n",
		       grouped(verified->changed - verified->moving));
	if (system->partial)
		printf("  Other processes may map these pages too, so \"matched\" is:\n"
		       "  no more mappings than the kernel counts.\n");
	else if (system->pid_namespace)
		printf("  Processes outside this container may map these pages too, so \"matched\" is:\n"
		       "  no more mappings than the kernel counts.\n");
	if (verified->bounded)
		printf("  Of %s matched %s the kernel counts more:\n"
		       "  processes that may not be read can map them too.\n",
		       grouped(verified->bounded), plural(verified->bounded, "page", "pages"));
	if (verified->moving)
		printf("  Of %s of the changed ones nothing can be said: they never stood still\n"
		       "  while they were read again, for %d seconds at most.\n",
		       grouped(verified->moving), RECHECK_SECONDS);
	if (system->averaging)
		printf("  Of pages in large folios this kernel tells the average only:\n"
		       "  \"matched\" is that their mappings have it.\n");
	print_mismatches(system);
}

/* ---- JSON ---- */

json_t *json_histogram(const struct figures *figures)
{
	json_t *histogram = json_array();

	for (unsigned i = 0; i < BUCKETS; i++)
		if (figures->histogram[i])
			json_array_append_new(histogram,
					      json_pack("{s:o, s:o, s:o}", "min", json_of_number(UINT64_C(1) << i),
							"max", json_of_number((UINT64_C(2) << i) - 1), "pages",
							json_of_number(figures->histogram[i])));
	return histogram;
}

static json_t *json_pids(const struct system *system, const struct mapper *mappers, size_t n)
{
	json_t *pids = json_array();

	for (size_t i = 0; i < n; i++)
		if (!i || mappers[i].process != mappers[i - 1].process)
			json_array_append_new(pids, json_integer(system->processes[mappers[i].process].task.pid));
	return pids;
}

/* The most shared pages: each by itself, or as text has them, those together that belong so. */
static json_t *json_top(const struct system *system, unsigned max, bool join)
{
	struct stretch *stretches;
	size_t n = figures_top(system, max, join, &stretches);
	json_t *top = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct frame *frame = stretches[i].frame;
		struct mapper *mappers;
		size_t mappers_n = system_mappers(system, frame, &mappers);
		json_t *json = json_pack("{s:o, s:o, s:o, s:o}", "pfn", json_of_number(system_pfn(system, frame)),
					 "mapcount", json_of_number(stretches[i].mapcount), "object",
					 json_of_name(mappers_n ? system_mapper_name(system, &mappers[0]) : ""), "pids",
					 json_pids(system, mappers, mappers_n));

		if (join)
			json_object_set_new(json, "pages", json_of_number(stretches[i].pages));
		json_array_append_new(top, json);
		free(mappers);
	}
	free(stretches);
	return top;
}

static json_t *json_mismatches(const struct system *system)
{
	struct mismatch mismatches[MISMATCHES_SHOWN];
	size_t n = find_mismatches(system, mismatches);
	json_t *json = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(json, json_pack("{s:o, s:o, s:o, s:o}", "pfn",
						      json_of_number(system_pfn(system, mismatches[i].frame)),
						      "counted", json_of_number(mismatches[i].counted), "kernel",
						      json_of_number(mismatches[i].frame->kernel), "object",
						      json_of_name(mismatches[i].object)));
	return json;
}

static json_t *json_sharing(const struct system *system)
{
	json_t *sharing = json_array();

	for (size_t i = 0; system->aliases && i < system->sharing; i++)
		json_array_append_new(sharing, json_pack("{s:i, s:i}", "pid", (int)system->aliases[i].pid, "memory_of",
							 (int)system->aliases[i].owner));
	return sharing;
}

static json_t *json_figures(const struct system *system, const struct timing *timing, const struct figures *figures,
			    unsigned top)
{
	const struct verified *verified = &figures->verified;
	json_t *bytes = json_object(), *apart = json_object();

	for (int i = 0; i < DESIGNS; i++)
		json_object_set_new(bytes, designs[i].key, json_of_number((uint64_t)(figures->bytes[i] + 0.5)));
	for (int i = 0; i < CLASSES; i++)
		if (figures->classes[i])
			json_object_set_new(apart, classes[i].key, json_of_number(figures->classes[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
			 " s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o}, s:{s:f, s:f, s:f}, s:{s:f, s:f, s:f},"
			 " s:i, s:b, s:b, s:b, s:o}",
			 "processes", json_of_number(system->processes_n), "pages", json_of_number(figures->pages),
			 "mappings", json_of_number(figures->mappings), "linear", json_of_number(figures->linear),
			 "direct", json_of_number(figures->direct), "chained", json_of_number(figures->chained),
			 "histogram", json_histogram(figures), "bytes", bytes, "classes", apart, "top",
			 json_top(system, top, false), "verified", "pages", json_of_number(verified->pages), "matched",
			 json_of_number(verified->matched), "exclusive", json_of_number(verified->exclusive), "changed",
			 json_of_number(verified->changed), "mismatched", json_of_number(verified->mismatched),
			 "bounded", json_of_number(verified->bounded), "moving", json_of_number(verified->moving),
			 "seconds", "scan", timing->scan.seconds, "build", timing->build.seconds, "verify",
			 timing->verify.seconds, "processor", "scan", timing->scan.processor, "build",
			 timing->build.processor, "verify", timing->verify.processor, "threads", (int)timing->threads,
			 "partial", system->partial, "averaging", system->averaging, "ksm_unknown", system->ksm_unknown,
			 "sharing", json_sharing(system));
}

/* What a sample says of all pages. */
static json_t *json_estimates(const struct system *system, const struct figures *figures)
{
	json_t *json = json_of_sample(&system->sample, system->frames_n);

	json_object_set_new(json, "pages", json_of_number(figures->pages * system->sample.one_in));
	json_object_set_new(json, "mappings", json_of_number(figures->mappings * system->sample.one_in));
	json_object_set_new(json, "error",
			    json_pack("{s:o, s:o}", "pages",
				      json_of_number(figures_error(system, (double)figures->pages)), "mappings",
				      json_of_number(figures_error(system, figures->squares))));
	return json;
}

json_t *json_snapshot(const struct system *system, const struct timing *timing, const struct figures *figures,
		      unsigned top)
{
	json_t *report = json_figures(system, timing, figures, top);

	json_object_set_new(report, "stretches", json_top(system, top, true));
	json_object_set_new(report, "mismatches", json_mismatches(system));
	if (sample_is_taken(&system->sample))
		json_object_set_new(report, "sample", json_estimates(system, figures));
	return report;
}

void report_snapshot(const struct system *system, const struct timing *timing, const struct figures *figures,
		     unsigned top)
{
	print_head(system, timing, figures);
	print_shares(figures);
	print_histogram(figures);
	print_bytes(system, timing, figures);
	print_top(system, top);
	print_classes(system, figures);
	print_verdict(system, timing, figures);
}

/* ---- who ---- */

static const char *kind_name(enum rmap_kind kind)
{
	return kind == RMAP_LINEAR ? "linear" : "chained";
}

static const struct vma *vma_of(const struct system *system, const struct mapper *mapper)
{
	return mapper->vma == NO_VMA ? NULL : &system->processes[mapper->process].vmas[mapper->vma];
}

/* As maps shows them; "?" where that was not recorded. */
static const char *permissions_of(const struct system *system, const struct mapper *mapper)
{
	const struct vma *vma = vma_of(system, mapper);
	char *out = text_buffer();

	if (!vma || !system->has_access)
		return strcpy(out, "?");
	out[0] = vma->access & ACCESS_READ ? 'r' : '-';
	out[1] = vma->access & ACCESS_WRITE ? 'w' : '-';
	out[2] = vma->access & ACCESS_EXECUTE ? 'x' : '-';
	out[3] = vma->shared ? 's' : 'p';
	out[4] = '\0';
	return out;
}

static json_t *json_mapper(const struct system *system, const struct mapper *mapper)
{
	pid_t pid = system->processes[mapper->process].task.pid;
	const struct vma *vma = vma_of(system, mapper);
	json_t *sharing = json_array(), *json;
	char address[32];

	for (size_t i = 0; system->aliases && i < system->sharing; i++)
		if (system->aliases[i].owner == pid)
			json_array_append_new(sharing, json_integer(system->aliases[i].pid));
	snprintf(address, sizeof(address), "0x%" PRIx64, mapper->vpn << system->page_shift);
	json = json_pack("{s:i, s:s, s:s, s:o, s:o, s:s}", "pid", (int)pid, "addr", address, "kind",
			 kind_name(mapper->kind), "object", json_of_name(system_mapper_name(system, mapper)), "sharing",
			 sharing, "permissions", permissions_of(system, mapper));
	if (vma && vma->file)
		json_object_set_new(json, "offset",
				    json_of_number((vma->index + (mapper->vpn - vma->first)) << system->page_shift));
	return json;
}

/* A write through a mapping makes a page dirty, and an access referenced, once the kernel has looked at the entry. */
static const struct {
	uint32_t flag;
	const char *name;
} page_flags[] = {
	{ KPF_DIRTY, "dirty" },    { KPF_REFERENCED, "referenced" }, { KPF_UNEVICTABLE, "locked" },
	{ KPF_ANON, "anonymous" }, { KPF_SWAPBACKED, "swapbacked" }, { KPF_KSM, "ksm" },
	{ KPF_THP, "huge" },       { KPF_HUGE, "hugetlb" },          { KPF_ZERO_PAGE, "zero" },
	{ KPF_NOPAGE, "no-page" },
};

#define PAGE_FLAGS (sizeof(page_flags) / sizeof(page_flags[0]))

static void print_flags(const struct frame *frame)
{
	const char *before = "  ";

	for (size_t i = 0; i < PAGE_FLAGS; i++) {
		if (!(frame->flags & page_flags[i].flag))
			continue;
		printf("%s%s", before, page_flags[i].name);
		before = ", ";
	}
	if (before[0] == ',')
		printf("\n");
}

static json_t *json_flags(const struct frame *frame)
{
	json_t *flags = json_array();

	for (size_t i = 0; i < PAGE_FLAGS && frame; i++)
		if (frame->flags & page_flags[i].flag)
			json_array_append_new(flags, json_string(page_flags[i].name));
	return flags;
}

/* What is to be said of the page itself. */
static void print_page(const struct frame *frame)
{
	if (frame->flags & KPF_ZERO_PAGE)
		printf("  It is the %szero page, which stands for memory that was read\n"
		       "  and never written; the kernel counts none of its mappings.\n",
		       frame->flags & KPF_THP ? "huge " : "");
	else if (frame->verdict == VERDICT_AVERAGED)
		printf("  It is in a large folio, of which this kernel tells the average only: %" PRIu32 ".\n",
		       frame->kernel);
	else if (frame->verdict == VERDICT_BOUNDED)
		printf("  The kernel counts %" PRIu32 ": processes that may not be read can map it too.\n",
		       frame->kernel);
	else if (frame->verdict == VERDICT_MISMATCHED)
		printf("  The kernel counts %" PRIu32 ".\n", frame->kernel);
	else if (frame->verdict != VERDICT_MATCHED)
		printf("  Its mappings changed while it was looked at; the kernel counted %" PRIu32 ".\n",
		       frame->kernel);
}

/* Those that share the address space of process @number, whose mappings have just been told. */
static void print_sharing(const struct system *system, uint32_t number)
{
	pid_t owner = system->processes[number].task.pid;

	for (size_t i = 0; system->aliases && i < system->sharing; i++)
		if (system->aliases[i].owner == owner)
			printf("  %7d  %-16s  shares the memory of %d\n", (int)system->aliases[i].pid,
			       printable(system->aliases[i].comm), (int)owner);
}

static void print_who(const struct system *system, const struct answer *answer)
{
	const struct frame *frame = system_frame(system, answer->pfn);
	const struct mapper *mappers = answer->mappers;

	printf("Page frame 0x%" PRIx64 ": %s %s\n", answer->pfn, grouped(answer->n),
	       plural(answer->n, "mapping", "mappings"));
	if (frame)
		print_flags(frame);
	if (frame)
		print_page(frame);
	if (answer->n)
		printf("\n      pid  command                   address  kind     perm  of\n");
	for (size_t i = 0; i < answer->n; i++) {
		printf("  %7d  %-16s  0x%014" PRIx64 "  %-7s  %-4s  %s\n",
		       (int)system->processes[mappers[i].process].task.pid,
		       printable(system->processes[mappers[i].process].task.comm), mappers[i].vpn << system->page_shift,
		       kind_name(mappers[i].kind), permissions_of(system, &mappers[i]),
		       printable(system_mapper_name(system, &mappers[i])));
		if (i + 1 == answer->n || mappers[i + 1].process != mappers[i].process)
			print_sharing(system, mappers[i].process);
	}
}

static json_t *json_who(const struct system *system, const struct answer *answer)
{
	const struct frame *frame = system_frame(system, answer->pfn);
	json_t *list = json_array();

	for (size_t i = 0; i < answer->n; i++)
		json_array_append_new(list, json_mapper(system, &answer->mappers[i]));
	return json_pack("{s:o, s:o, s:b, s:o, s:o}", "pfn", json_of_number(answer->pfn), "mapcount",
			 json_of_number(answer->n), "zero", frame && frame->flags & KPF_ZERO_PAGE, "flags",
			 json_flags(frame), "mappings", list);
}

void report_who(const struct system *system, const struct answer *answer, bool json)
{
	if (json)
		print_json(json_who(system, answer));
	else
		print_who(system, answer);
}

void report_who_all(const struct system *system, const struct answer *answers, size_t n, uint64_t absent, bool json)
{
	json_t *list = json ? json_array() : NULL;

	for (size_t i = 0; i < n; i++) {
		if (json) {
			json_array_append_new(list, json_who(system, &answers[i]));
			continue;
		}
		print_who(system, &answers[i]);
		printf("\n");
	}
	if (json)
		print_json(json_pack("{s:o, s:o}", "pages", list, "absent", json_of_number(absent)));
	else
		printf("%s %s, and %s more that %s not in memory or that nobody maps\n", grouped(n),
		       plural(n, "page", "pages"), grouped(absent), plural(absent, "is", "are"));
}
