/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * asked.c - which pages are asked about; see asked.h
 *
 * A file is found by its device and inode as maps shows them, or, where stat says others (btrfs, overlay), by the path
 * that maps shows.
 */
#include "asked.h"

#include "reason.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

bool question_parse(const char *text, uint64_t max, struct question *question)
{
	size_t length = strcspn(text, "-+");
	char *first = strndup(text, length);
	uint64_t end = 0;
	bool right;

	if (!first)
		out_of_memory();
	right = parse_number(first, 0, max, &question->first);
	free(first);
	question->range = text[length];
	question->last = question->first;
	if (!right || !question->range)
		return right;
	if (!parse_number(text + length + 1, 1, max, &end))
		return false;
	if (text[length] == '+')
		end = end > max - question->first ? max : question->first + end;
	question->last = end - 1;
	return question->last >= question->first;
}

static int add_page(struct pages *pages, uint64_t pfn, uint32_t process, uint64_t vpn)
{
	if (pages->n == ASKED_MAX)
		return complain("more than %d pages in memory are asked about: name less of them", ASKED_MAX);
	pages->items = grow(pages->items, &pages->capacity, pages->n + 1, sizeof(*pages->items));
	pages->items[pages->n++] = (struct asked){ .pfn = pfn, .process = process, .vpn = vpn };
	return STATUS_OK;
}

static int find_addresses(const struct system *system, const struct procfs *procfs, const struct question *question,
			  struct pages *pages)
{
	const struct process *process = system_process(system, question->pid);
	size_t before = pages->n;
	uint64_t first = question->first >> system->page_shift, last = question->last >> system->page_shift;
	int status = STATUS_OK;

	if (!process)
		return complain("the memory of process %" PRIu64
				" cannot be read: it is not there, or this user may not read it",
				question->pid);
	for (size_t i = 0; i < process->extents_n && !status; i++) {
		const struct extent *extent = &process->extents[i];
		uint64_t from = extent->vpn > first ? extent->vpn : first;
		uint64_t end = extent->vpn + extent->n - 1 < last ? extent->vpn + extent->n : last + 1;

		for (uint64_t vpn = from; vpn < end && !status; vpn++)
			status = add_page(pages, process->ptes[extent->first + (vpn - extent->vpn)] & PTE_PFN,
					  (uint32_t)(process - system->processes), vpn);
	}
	if (!status && pages->n == before)
		return reason_no_page(procfs, process, question->first, system->page_shift);
	pages->absent += last - first + 1 - (pages->n - before);
	return status;
}

static int find_pfns(const struct system *system, const struct procfs *procfs, const struct question *question,
		     struct pages *pages)
{
	uint64_t last = system->frames_n ? system_pfn(system, &system->frames[system->frames_n - 1]) : 0;
	int status = STATUS_OK;

	if (!question->range) {
		if (!procfs && (!system->frames_n || question->first > last))
			return complain("the recording says nothing of page frame 0x%" PRIx64
					": it lies beyond the last one that was mapped, 0x%" PRIx64,
					question->first, last);
		if (procfs && !system_frame(system, question->first) && !procfs_has_frame(procfs, question->first))
			return complain("the kernel knows no memory in page frame 0x%" PRIx64
					": it lies beyond the last one or in a hole, and nobody maps it",
					question->first);
		return add_page(pages, question->first, NOBODY, 0);
	}
	pages->absent += question->last - question->first + 1;
	for (size_t i = 0; i < system->frames_n && !status; i++) {
		uint64_t pfn = system_pfn(system, &system->frames[i]);

		if (pfn < question->first || pfn > question->last)
			continue;
		status = add_page(pages, pfn, NOBODY, 0);
		pages->absent--;
	}
	return status;
}

/* Is file @number of @system that at @path, of which stat says @of? @of: NULL if it does not say anything */
static bool is_file(const struct system *system, size_t number, const char *path, const struct stat *of)
{
	const struct file *file = &system->names.files[number];

	if (of && file->inode == of->st_ino && file->device == ((uint64_t)major(of->st_dev) << 32 | minor(of->st_dev)))
		return true;
	return !strcmp(system->names.strings[file->name], path);
}

static int find_bytes(const struct system *system, const struct procfs *procfs, const struct question *question,
		      struct pages *pages)
{
	uint64_t first = question->first >> system->page_shift, last = question->last >> system->page_shift;
	size_t before = pages->n;
	int status = STATUS_OK;
	struct stat stat_of;
	bool known = procfs && !stat(question->path, &stat_of), mapped = false;

	for (size_t i = 1; i < system->names.files_n; i++)
		mapped |= is_file(system, i, question->path, known ? &stat_of : NULL);
	for (size_t i = 0; i < system->frames_n && mapped && !status; i++) {
		uint64_t identity = frame_identity(system, &system->frames[i]);
		uint64_t index = IDENTITY_INDEX(identity);

		if (identity && index >= first && index <= last &&
		    is_file(system, IDENTITY_FILE(identity), question->path, known ? &stat_of : NULL))
			status = add_page(pages, system_pfn(system, &system->frames[i]), NOBODY, 0);
	}
	if (!status && pages->n == before)
		return complain("nobody maps %s of \"%s\": %s", mapped ? "these pages" : "any page", question->path,
				known || !procfs ? "/proc/PID/maps lists what is mapped" : strerror(errno));
	return status;
}

int pages_find(const struct system *system, const struct procfs *procfs, const struct questions *questions,
	       struct pages *pages)
{
	int status = STATUS_OK;

	*pages = (struct pages){ 0 };
	for (size_t i = 0; i < questions->n && !status; i++) {
		const struct question *question = &questions->items[i];

		if (question->by == ASKED_ADDRESS)
			status = find_addresses(system, procfs, question, pages);
		else
			status = (question->by == ASKED_PFN ? find_pfns : find_bytes)(system, procfs, question, pages);
	}
	return status;
}
