/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tally.c - sums over the reverse map; see tally.h
 *
 * Three passes over all mappings. The first weighs the frames: how many mappings each has. The others go through the
 * mappings group by group: one counts, in an array over all frames, those of the group, and one sums up what is counted
 * there, and puts it back to zero. So they take time in proportion to mappings, whatever the groups are, and 12 bytes a
 * frame.
 */
#include "tally.h"

#include "verify.h"

#include <stdlib.h>
#include <string.h>

enum page_kind page_kind(const struct frame *frame)
{
	if (frame->flags & KPF_HUGE)
		return PAGE_HUGETLB;
	if (frame->flags & KPF_ANON)
		return frame->flags & KPF_KSM ? PAGE_KSM : PAGE_ANONYMOUS;
	if (frame->flags & KPF_SWAPBACKED)
		return PAGE_SHARED;
	/* Files' pages hold what they should, once they can be mapped; nobody says so of a driver's. */
	return frame->flags & KPF_UPTODATE ? PAGE_FILE : PAGE_KERNEL;
}

const char *vma_label(const struct system *system, const struct process *process, uint32_t vma)
{
	const char *name = vma == NO_VMA ? "" : system->names.strings[process->vmas[vma].name];

	return *name ? name : "[anon]";
}

/* A visitor of mappings that count; @number is that of the frame. */
typedef void (*counted_visit)(void *arg, size_t number);

static void visit_extent(const struct system *system, const struct process *process, const struct extent *extent,
			 counted_visit visit, void *arg)
{
	for (uint64_t i = 0; i < extent->n; i++) {
		uint64_t pte = process->ptes[extent->first + i];
		const struct frame *frame = system_frame(system, pte & PTE_PFN);

		if (pte_is_counted(frame->flags, pte & PTE_FILE))
			visit(arg, (size_t)(frame - system->frames));
	}
}

static void visit_process(const struct system *system, const struct process *process, counted_visit visit, void *arg)
{
	for (size_t i = 0; i < process->extents_n; i++)
		visit_extent(system, process, &process->extents[i], visit, arg);
}

static void count_mapping(void *arg, size_t number)
{
	((uint32_t *)arg)[number]++;
}

void process_count(const struct system *system, const struct process *process, uint32_t *counts)
{
	visit_process(system, process, count_mapping, counts);
}

/* ---- weighing ---- */

struct weighing {
	struct weights *weights;
	uint32_t process;
};

static void weigh(void *arg, size_t number)
{
	struct weighing *weighing = arg;
	struct weights *weights = weighing->weights;

	if (!weights->counted[number]++)
		weights->single[number] = weighing->process;
	else if (weights->single[number] != weighing->process)
		weights->single[number] = NOT_SINGLE;
}

/* Mappings of others than those that were read are known where the kernel counts each page's. */
uint32_t weights_mappings(const struct weights *weights, const struct system *system, size_t number)
{
	const struct frame *frame = &system->frames[number];
	uint32_t counted = weights->counted[number];
	bool may = system->partial || system->pid_namespace || frame->verdict == VERDICT_BOUNDED;

	return counted && may && !system->averaging && frame->kernel > counted ? frame->kernel : counted;
}

static int weigh_slots(struct weights *weights, const struct system *system)
{
	for (size_t i = 0; i < system->processes_n; i++)
		for (size_t k = 0; k < system->processes[i].swapped_n; k++)
			pfnset_add(&weights->slots, system->processes[i].swapped[k].slot);
	weights->slots_n = pfnset_number(&weights->slots);
	if (weights->slots_n == PFNSET_NONE)
		return complain("more than 2^32 swap slots are in use: rmap shares does with a sample, by --sample");
	weights->slot_refs = zeroed(weights->slots_n, sizeof(*weights->slot_refs));
	for (size_t i = 0; i < system->processes_n; i++)
		for (size_t k = 0; k < system->processes[i].swapped_n; k++)
			weights->slot_refs[pfnset_find(&weights->slots, system->processes[i].swapped[k].slot)]++;
	return STATUS_OK;
}

int weights_init(struct weights *weights, const struct system *system)
{
	*weights = (struct weights){ .counted = zeroed(system->frames_n, sizeof(uint32_t)),
				     .single = zeroed(system->frames_n, sizeof(uint32_t)) };
	for (size_t i = 0; i < system->processes_n; i++) {
		struct weighing weighing = { .weights = weights, .process = (uint32_t)i };

		visit_process(system, &system->processes[i], weigh, &weighing);
	}
	for (size_t i = 0; i < system->frames_n; i++)
		if (weights_mappings(weights, system, i) != weights->counted[i])
			weights->single[i] = NOT_SINGLE;
	return weigh_slots(weights, system);
}

static void mark(void *arg, size_t number)
{
	((struct weights *)arg)->marks[number] = true;
}

void weights_mark(struct weights *weights, const struct system *system, const bool *is_in)
{
	weights->marks = zeroed(system->frames_n, sizeof(*weights->marks));
	for (size_t i = 0; i < system->processes_n; i++)
		if (is_in[i])
			visit_process(system, &system->processes[i], mark, weights);
}

void weights_fini(struct weights *weights)
{
	free(weights->marks);
	free(weights->counted);
	free(weights->single);
	free(weights->slot_refs);
	pfnset_fini(&weights->slots);
	*weights = (struct weights){ 0 };
}

/* ---- summing up ---- */

/* A part of a process that belongs to one group: all of it, an extent, or a swapped pte. */
struct item {
	uint64_t key;
	uint32_t process;
	enum { ITEM_ALL, ITEM_EXTENT, ITEM_SWAPPED } what;
	uint32_t number; /* of the extent or of the swapped pte */
};

struct items {
	struct item *items;
	size_t n;
	size_t capacity;
};

static void visit_item(const struct system *system, const struct item *item, counted_visit visit, void *arg)
{
	const struct process *process = &system->processes[item->process];

	if (item->what == ITEM_ALL)
		visit_process(system, process, visit, arg);
	else if (item->what == ITEM_EXTENT)
		visit_extent(system, process, &process->extents[item->number], visit, arg);
}

/* The group that is being summed up. */
struct summing {
	const struct system *system;
	const struct weights *weights;
	uint64_t page;
	bool single; /* Uss is what a single process maps */
	struct share pss;
	struct sums sums;
	uint32_t *frames; /* how many mappings of each frame are the group's */
	uint8_t *slots;   /* does the group name it? */
};

void sums_add(struct sums *sums, const struct frame *frame, uint64_t page)
{
	sums->rss += page;
	if (frame->flags & KPF_UNEVICTABLE)
		sums->locked += page;
	if (frame->verdict == VERDICT_MOVING || frame->verdict == VERDICT_MISMATCHED)
		sums->unsettled += page;
}

/* Sum up a frame of the group, which comes again if the group has more mappings of it. */
static void sum_frame(void *arg, size_t number)
{
	struct summing *summing = arg;
	const struct weights *weights = summing->weights;
	uint32_t own = summing->frames[number], mappings = weights_mappings(weights, summing->system, number);
	bool alone = summing->single ? weights->single[number] != NOT_SINGLE : own == mappings;

	if (!own)
		return;
	sums_add(&summing->sums, &summing->system->frames[number], summing->page);
	summing->sums.common += weights->marks && weights->marks[number] ? summing->page : 0;
	share_add(&summing->pss, summing->page, own, mappings);
	summing->sums.uss += alone ? summing->page : 0;
	summing->frames[number] = 0;
}

/* Of whole pages, the squares that sample_error() asks for are what was summed up times a page. */
uint64_t sums_error(const struct system *system, uint64_t bytes)
{
	double page = (double)(UINT64_C(1) << system->page_shift);
	double seen = sample_is_taken(&system->sample) ? (double)bytes / system->sample.one_in : 0;

	return (uint64_t)(sample_error(&system->sample, page, seen * page) + 0.5);
}

uint64_t sums_error_pss(const struct system *system, const struct sums *sums)
{
	double page = (double)(UINT64_C(1) << system->page_shift);

	return (uint64_t)(sample_error(&system->sample, page, sums->squares) + 0.5);
}

/* Put in Pss, and make an estimate of what was summed up over a sample. */
static void finish_sums(const struct system *system, struct sums *sums, const struct share *pss)
{
	uint64_t one_in = sample_is_taken(&system->sample) ? system->sample.one_in : 1;

	sums->pss = share_bytes(pss) * one_in;
	sums->squares = pss->squares;
	sums->rss *= one_in;
	sums->uss *= one_in;
	sums->swap *= one_in;
	sums->locked *= one_in;
	sums->unsettled *= one_in;
	sums->common *= one_in;
}

static void touch_slot(struct summing *summing, const struct swapped *swapped)
{
	size_t number = pfnset_find(&summing->weights->slots, swapped->slot);

	summing->sums.swap += summing->slots[number] ? 0 : summing->page;
	summing->slots[number] = 1;
}

/* Count what an item has, or @sum it up and forget it. */
static void touch_item(struct summing *summing, const struct item *item, bool sum)
{
	const struct system *system = summing->system;
	const struct process *process = &system->processes[item->process];
	size_t from = item->what == ITEM_SWAPPED ? item->number : 0;
	size_t to = item->what == ITEM_SWAPPED ? from + 1 : item->what == ITEM_ALL ? process->swapped_n : 0;

	if (sum)
		visit_item(system, item, sum_frame, summing);
	else
		visit_item(system, item, count_mapping, summing->frames);
	for (size_t i = from; i < to; i++)
		if (sum)
			summing->slots[pfnset_find(&summing->weights->slots, process->swapped[i].slot)] = 0;
		else
			touch_slot(summing, &process->swapped[i]);
}

static void add_group(struct tally *tally, size_t *capacity, const struct group *group)
{
	tally->groups = grow(tally->groups, capacity, tally->n + 1, sizeof(*tally->groups));
	tally->groups[tally->n++] = *group;
}

static uint64_t file_key(const struct process *process, uint32_t number)
{
	const struct vma *vma = number == NO_VMA ? NULL : &process->vmas[number];

	return !vma ? 0 : vma->file ? (uint64_t)vma->file << 32 : vma->name;
}

static void list_items(const struct system *system, enum by by, struct items *items)
{
	for (uint32_t i = 0; i < system->processes_n; i++) {
		const struct process *process = &system->processes[i];
		size_t n = by == BY_FILE ? process->extents_n + process->swapped_n : 1;

		items->items = grow(items->items, &items->capacity, items->n + n, sizeof(*items->items));
		for (uint32_t k = 0; k < n; k++) {
			struct item item = { .process = i, .what = ITEM_ALL, .key = i };

			if (by == BY_CGROUP)
				item.key = process->cgroup;
			if (by == BY_USER)
				item.key = process->uid;
			if (by == BY_FILE && k < process->extents_n) {
				item.what = ITEM_EXTENT;
				item.number = k;
				item.key = file_key(process, process->extents[k].vma);
			} else if (by == BY_FILE) {
				item.what = ITEM_SWAPPED;
				item.number = k - (uint32_t)process->extents_n;
				item.key = file_key(process, process->swapped[item.number].vma);
			}
			items->items[items->n++] = item;
		}
	}
}

static int compare_items(const void *left, const void *right)
{
	const struct item *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

static const char *name_of(const struct system *system, enum by by, const struct item *item)
{
	const struct process *process = &system->processes[item->process];
	const char *cgroup = system->names.strings[process->cgroup];

	switch (by) {
	case BY_PROCESS:
		return process->task.comm;
	case BY_CGROUP:
		return *cgroup ? cgroup : "?";
	case BY_FILE:
		return vma_label(system, process,
				 item->what == ITEM_EXTENT ? process->extents[item->number].vma
							   : process->swapped[item->number].vma);
	default:
		return "";
	}
}

static void tally_groups(struct summing *summing, enum by by, struct tally *tally)
{
	const struct system *system = summing->system;
	struct items items = { 0 };
	size_t capacity = 0;

	list_items(system, by, &items);
	if (items.n)
		qsort(items.items, items.n, sizeof(*items.items), compare_items);
	for (size_t i = 0, next; i < items.n; i = next) {
		const struct item *item = &items.items[i];
		struct group group = { .key = item->key, .number = item->key, .name = name_of(system, by, item) };

		summing->sums = (struct sums){ 0 };
		summing->pss = (struct share){ 0 };
		for (next = i; next < items.n && items.items[next].key == item->key; next++)
			touch_item(summing, &items.items[next], false);
		for (size_t k = i; k < next; k++)
			touch_item(summing, &items.items[k], true);
		finish_sums(system, &summing->sums, &summing->pss);
		group.sums = summing->sums;
		if (by == BY_PROCESS) {
			group.process = &system->processes[item->process];
			group.key = (uint64_t)group.process->task.pid;
		}
		add_group(tally, &capacity, &group);
	}
	free(items.items);
}

static void tally_kinds(const struct system *system, const struct weights *weights, struct tally *tally)
{
	static const char *const names[PAGE_KINDS] = {
		[PAGE_ANONYMOUS] = "anonymous", [PAGE_KSM] = "merged by KSM", [PAGE_SHARED] = "tmpfs, memfd, shared",
		[PAGE_FILE] = "files",          [PAGE_HUGETLB] = "hugetlb",   [PAGE_KERNEL] = "the kernel's, drivers'",
	};
	uint64_t page = UINT64_C(1) << system->page_shift;
	struct share pss[PAGE_KINDS] = { 0 };
	size_t capacity = 0;

	for (uint64_t kind = 0; kind < PAGE_KINDS; kind++)
		add_group(tally, &capacity, &(struct group){ .key = kind, .name = names[kind] });
	for (size_t i = 0; i < system->frames_n; i++) {
		enum page_kind kind = page_kind(&system->frames[i]);
		struct sums *sums = &tally->groups[kind].sums;

		if (!weights->counted[i])
			continue;
		sums_add(sums, &system->frames[i], page);
		sums->common += weights->marks && weights->marks[i] ? page : 0;
		share_add(&pss[kind], page, weights->counted[i], weights_mappings(weights, system, i));
		sums->uss += weights->single[i] != NOT_SINGLE ? page : 0;
	}
	tally->groups[PAGE_ANONYMOUS].sums.swap = weights->slots_n * page;
	for (int kind = 0; kind < PAGE_KINDS; kind++)
		finish_sums(system, &tally->groups[kind].sums, &pss[kind]);
}

static void tally_whole(const struct system *system, const struct weights *weights, struct sums *sums)
{
	uint64_t page = UINT64_C(1) << system->page_shift;
	struct share pss = { 0 };

	for (size_t i = 0; i < system->frames_n; i++) {
		if (!weights->counted[i])
			continue;
		sums_add(sums, &system->frames[i], page);
		share_add(&pss, page, weights->counted[i], weights_mappings(weights, system, i));
		sums->uss += weights->counted[i] == weights_mappings(weights, system, i) ? page : 0;
	}
	sums->swap = weights->slots_n * page;
	finish_sums(system, sums, &pss);
}

void tally_system(const struct system *system, const struct weights *weights, enum by by, struct tally *tally)
{
	struct summing summing = {
		.system = system, .weights = weights, .page = UINT64_C(1) << system->page_shift, .single = by == BY_FILE
	};

	*tally = (struct tally){ 0 };
	tally_whole(system, weights, &tally->whole);
	if (by == BY_KIND) {
		tally_kinds(system, weights, tally);
		return;
	}
	summing.frames = zeroed(system->frames_n, sizeof(*summing.frames));
	summing.slots = zeroed(weights->slots_n, 1);
	tally_groups(&summing, by, tally);
	free(summing.frames);
	free(summing.slots);
}

/* ---- what groups have in common ---- */

struct marking {
	uint64_t *masks; /* of each frame: which groups map it */
	uint64_t bit;
};

static void mark_bit(void *arg, size_t number)
{
	struct marking *marking = arg;

	marking->masks[number] |= marking->bit;
}

void tally_common(const struct system *system, const struct weights *weights, enum by by, const struct tally *tally,
		  size_t n, uint64_t *out)
{
	struct marking marking = { .masks = zeroed(system->frames_n, sizeof(uint64_t)) };
	uint64_t page = UINT64_C(1) << system->page_shift;
	struct items items = { 0 };

	list_items(system, by, &items);
	for (size_t i = 0; i < items.n; i++)
		for (size_t k = 0; k < n; k++)
			if (tally->groups[k].number == items.items[i].key) {
				marking.bit = UINT64_C(1) << k;
				visit_item(system, &items.items[i], mark_bit, &marking);
			}
	memset(out, 0, n * n * sizeof(*out));
	for (size_t at = 0; at < system->frames_n; at++)
		for (uint64_t left = weights->counted[at] ? marking.masks[at] : 0; left; left &= left - 1)
			for (uint64_t other = marking.masks[at]; other; other &= other - 1)
				out[(size_t)__builtin_ctzll(left) * n + (size_t)__builtin_ctzll(other)] += page;
	free(marking.masks);
	free(items.items);
}

void tally_fini(struct tally *tally)
{
	free(tally->groups);
	*tally = (struct tally){ 0 };
}
