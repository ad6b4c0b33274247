/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * beside.c - why the kernel's sums of a process are others than ours; see beside.h
 *
 * What the kernel would say is computed from what was read, by the kernel's own rule: each mapping adds a page to Rss,
 * a page / mapcount to Pss, and to Uss if the mapcount is 1. Each step away from ours is put down to its reason. What
 * the kernel says otherwise than that has changed since it was read.
 */
#include "beside.h"

#include "folio.h"

#include <stdlib.h>

struct comparing {
	const struct system *system;
	const struct weights *weights;
	struct beside *beside;
	struct share ours[REASONS]; /* of Pss; a difference is taken of sums */
	struct share kernels[REASONS];
	uint64_t shared; /* mappings of which the kernel takes a part of the page */
};

/* The frame's part of each figure, ours and the kernel's. */
static void compare_frame(struct comparing *comparing, size_t number, uint32_t own)
{
	const struct frame *frame = &comparing->system->frames[number];
	uint32_t mappings = weights_mappings(comparing->weights, comparing->system, number);
	uint32_t kernel = frame->kernel ? frame->kernel : 1;
	int64_t page = INT64_C(1) << comparing->system->page_shift;
	int64_t uss = own == mappings ? page : 0, kernels = kernel == 1 ? own * page : 0;
	int64_t(*parts)[REASONS] = comparing->beside->parts;
	enum reason other =
		comparing->system->averaging && frame->flags & KPF_COMPOUND ? REASON_AVERAGE : REASON_CHANGED;
	enum reason reason = kernel == mappings ? REASON_TWICE : other;

	if (frame->flags & KPF_HUGE) {
		parts[FIGURE_RSS][REASON_HUGETLB] += page;
		parts[FIGURE_USS][REASON_HUGETLB] += uss;
		share_add(&comparing->ours[REASON_HUGETLB], (uint64_t)page, own, mappings);
		return;
	}
	comparing->shared += kernel > 1 ? own : 0;
	parts[FIGURE_RSS][REASON_TWICE] += page - own * page;
	parts[FIGURE_USS][reason] += uss - kernels;
	if (kernel != mappings) {
		share_add(&comparing->ours[other], (uint64_t)page, own, mappings);
		share_add(&comparing->kernels[other], (uint64_t)page, own, kernel);
	}
}

static void compare_frames(struct comparing *comparing, const struct process *process)
{
	const struct system *system = comparing->system;
	uint32_t *own = zeroed(system->frames_n, sizeof(*own)); /* how many mappings of each frame it has */

	process_count(system, process, own);
	for (size_t i = 0; i < system->frames_n; i++)
		if (own[i])
			compare_frame(comparing, i, own[i]);
	free(own);
	for (int reason = 0; reason < REASONS; reason++)
		comparing->beside->parts[FIGURE_PSS][reason] =
			(int64_t)(share_bytes(&comparing->ours[reason]) - share_bytes(&comparing->kernels[reason]));
}

void beside_kernel(struct system *system, const struct procfs *procfs, const struct weights *weights,
		   const struct group *group, struct beside *beside)
{
	struct comparing comparing = { .system = system, .weights = weights, .beside = beside };
	const struct sums *ours = &group->sums;
	const struct rollup *kernel = &beside->kernel;
	int64_t differences[FIGURES];

	*beside = (struct beside){ 0 };
	beside->known = rollup_read(system, procfs, group->process, &beside->kernel);
	if (!beside->known)
		return;
	compare_frames(&comparing, group->process);
	differences[FIGURE_RSS] = (int64_t)(ours->rss - kernel->rss);
	differences[FIGURE_PSS] = (int64_t)(ours->pss - kernel->pss);
	differences[FIGURE_USS] = (int64_t)(ours->uss - kernel->uss);
	differences[FIGURE_SWAP] = (int64_t)(ours->swap - kernel->swap);
	for (int figure = 0; figure < FIGURES; figure++) {
		int64_t left = differences[figure];
		/* Each part of a page is rounded down to 1/4096 of a byte, the sum to KiB; and ours to a byte. */
		int64_t rounding = 1024 + (int64_t)(comparing.shared / 4096) + 2;
		enum reason reason = REASON_CHANGED;

		for (int i = 0; i < REASONS; i++)
			left -= beside->parts[figure][i];
		if (figure == FIGURE_PSS && left >= -2 && left <= rounding)
			reason = REASON_ROUNDING;
		if (figure == FIGURE_SWAP && left < 0)
			reason = REASON_SHARED_SWAP;
		beside->parts[figure][reason] += left;
	}
}
