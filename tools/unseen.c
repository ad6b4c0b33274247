/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * unseen.c - what no mapping shows; see unseen.h
 *
 *   files     1. those that vmas map whose names say that they have none any more, by /proc/PID/map_files
 *             2. those that descriptors of any process lead to, as they are now
 *             3. how many frames of each are mapped, by all page tables that were read
 *   parts     page flags behind each run of mapped frames of a large folio that breaks off in it
 *   devices   VmFlags in the smaps of those processes, and no others, for the kernel walks all their page tables for
 *             that, that map of a device what has no entry
 */
#include "unseen.h"

#include "fds.h"
#include "folio.h"
#include "leftover.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DELETED " (deleted)"

struct unseen_item *unseen_add(struct unseen_list *list, const char *name, uint64_t bytes)
{
	struct unseen_item *item;

	list->items = grow(list->items, &list->capacity, list->n + 1, sizeof(*list->items));
	item = &list->items[list->n++];
	*item = (struct unseen_item){ .name = strcpy(zeroed(strlen(name) + 1, 1), name), .bytes = bytes };
	return item;
}

static void add_of_task(struct unseen_list *list, const struct task *task, const char *name, uint64_t bytes,
			uint64_t mapped)
{
	struct unseen_item *item = unseen_add(list, name, bytes);

	item->pid = task->pid;
	item->mapped = mapped;
	memcpy(item->comm, task->comm, sizeof(item->comm));
}

/* A file in memory without a name. */
struct found_file {
	uint64_t bytes; /* 0: it is none of these */
	uint64_t mapped;
	struct task task; /* the first one who has it */
	uint32_t name;    /* in system->names */
};

struct finding {
	struct unseen *unseen;
	struct system *system;
	const struct weights *weights;
	const struct procfs *procfs;
	struct found_file *files; /* by their numbers in system->names */
	size_t capacity;
	size_t files_n;
	size_t mapped_n; /* those with smaller numbers are mapped */
};

/* ---- files ---- */

static void note_file(struct finding *finding, uint32_t number, const struct task *task, const char *link,
		      const struct statx *stat, uint32_t name)
{
	struct found_file *file;

	/* How much of a file is mapped no sample tells. */
	if (sample_is_taken(&finding->system->sample) && number < finding->mapped_n)
		return;
	while (finding->files_n <= number) {
		finding->files =
			grow(finding->files, &finding->capacity, finding->files_n + 1, sizeof(*finding->files));
		finding->files[finding->files_n++] = (struct found_file){ .bytes = 0 };
	}
	file = &finding->files[number];
	if (file->bytes || !procfs_is_in_memory(finding->procfs, task, link))
		return;
	*file = (struct found_file){ .bytes = stat->stx_blocks * 512, .task = *task, .name = name };
}

/* Regular, without a name, and not empty: what else it is takes a call to find out. */
static bool may_be_ours(const struct statx *stat)
{
	return S_ISREG(stat->stx_mode) && !stat->stx_nlink && stat->stx_blocks;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && !strcmp(text + length - end_length, end);
}

static void link_to_vma(const struct system *system, const struct vma *vma, char *link, size_t size)
{
	snprintf(link, size, "map_files/%" PRIx64 "-%" PRIx64, vma->first << system->page_shift,
		 (vma->last + 1) << system->page_shift);
}

static void find_mapped_files(struct finding *finding)
{
	struct system *system = finding->system;
	bool *seen = zeroed(system->names.files_n, sizeof(*seen));

	for (size_t i = 0; i < system->processes_n; i++) {
		const struct process *process = &system->processes[i];

		for (size_t k = 0; k < process->vmas_n; k++) {
			const struct vma *vma = &process->vmas[k];
			struct statx stat;
			char link[64];

			if (!vma->file || seen[vma->file] || !ends_with(system->names.strings[vma->name], DELETED))
				continue;
			link_to_vma(system, vma, link, sizeof(link));
			seen[vma->file] = procfs_stat(finding->procfs, &process->task, link, &stat) == OUTCOME_READ;
			if (seen[vma->file] && may_be_ours(&stat))
				note_file(finding, vma->file, &process->task, link, &stat, vma->name);
		}
	}
	free(seen);
}

static void look_at_fd(void *arg, const struct task *task, const char *link, const struct statx *stat)
{
	struct finding *finding = arg;
	struct names *names = &finding->system->names;
	char path[96], name[4096];
	ssize_t got;

	if (!may_be_ours(stat))
		return;
	snprintf(path, sizeof(path), "%s/%s", task->path, link);
	got = readlinkat(finding->procfs->root, path, name, sizeof(name) - 1);
	if (got < 0)
		return; /* it has just been closed */
	name[got] = '\0';
	note_file(finding, names_file(names, statx_device(stat), stat->stx_ino, names_string(names, name)), task, link,
		  stat, names_string(names, name));
}

static void look_at_fds(void *arg, const struct task *task)
{
	struct finding *finding = arg;

	finding->unseen->unreadable += !fds_visit(finding->procfs, task, look_at_fd, finding);
}

/* Count each frame of @file once, as far as @counted does not have it; copies in private mappings are none of it. */
static void count_frames(const struct system *system, const uint64_t *ptes, size_t n, struct found_file *file,
			 bool *counted)
{
	for (size_t i = 0; i < n; i++) {
		const struct frame *frame = system_frame(system, ptes[i] & PTE_PFN);

		if (frame->flags & KPF_ANON || counted[frame - system->frames])
			continue;
		counted[frame - system->frames] = true;
		file->mapped += UINT64_C(1) << system->page_shift;
	}
}

static void count_mapped(struct finding *finding)
{
	const struct system *system = finding->system;
	bool *counted = zeroed(system->frames_n, sizeof(*counted));

	for (size_t i = 0; i < system->processes_n; i++) {
		const struct process *process = &system->processes[i];

		for (size_t k = 0; k < process->extents_n; k++) {
			const struct extent *extent = &process->extents[k];
			uint32_t file = extent->vma == NO_VMA ? 0 : process->vmas[extent->vma].file;

			if (file < finding->files_n && finding->files[file].bytes)
				count_frames(system, &process->ptes[extent->first], extent->n, &finding->files[file],
					     counted);
		}
	}
	free(counted);
}

static void find_files(struct finding *finding)
{
	const struct system *system = finding->system;

	finding->mapped_n = system->names.files_n;
	find_mapped_files(finding);
	fds_each_process(finding->procfs, look_at_fds, finding);
	count_mapped(finding);
	for (size_t i = 1; i < finding->files_n; i++) {
		const struct found_file *file = &finding->files[i];

		if (file->bytes > file->mapped)
			add_of_task(&finding->unseen->files, &file->task, system->names.strings[file->name],
				    file->bytes - file->mapped, file->mapped);
	}
	free(finding->files);
}

/* ---- parts of huge pages ---- */

static bool is_large(const struct frame *frame)
{
	return frame->flags & KPF_ANON && frame->flags & KPF_COMPOUND && !(frame->flags & KPF_HUGE);
}

/*
 * How many pages a large folio has of which @pfn, frame @number, is the first that is mapped, if all of it is: then it
 * is the first one of all, those that are mapped follow each other, and behind them is no more of it. 0 if not
 */
static size_t whole_pages(const struct finding *finding, size_t number, uint64_t pfn)
{
	const struct system *system = finding->system;
	const struct frame *next;
	uint64_t flags, end = pfn;

	if (!(system->frames[number].flags & KPF_COMPOUND_HEAD))
		return 0;
	do
		next = system_frame(system, ++end);
	while (next && next->flags & KPF_COMPOUND_TAIL);
	if (next)
		return end - pfn;
	procfs_flags(finding->procfs, &end, 1, &flags);
	return flags & KPF_COMPOUND_TAIL ? 0 : end - pfn;
}

#define ASKED 512

/* How many pages of a large folio nobody has. Where the kernel tells averages, it is not asked about each. */
static size_t count_parts(const struct finding *finding, struct folio folio)
{
	uint64_t pfns[ASKED], counts[ASKED] = { 0 }, pfn = folio.head, end = folio.head + folio.pages;
	size_t parts = 0;

	while (pfn < end) {
		size_t n = 0;

		for (; pfn < end && n < ASKED; pfn++)
			if (!system_frame(finding->system, pfn))
				pfns[n++] = pfn;
		if (!finding->system->averaging)
			procfs_counts(finding->procfs, pfns, n, counts);
		for (size_t i = 0; i < n; i++)
			parts += !counts[i];
	}
	return parts;
}

/* The parts of each process's huge pages, and at last of those that several map. */
static void list_parts(struct finding *finding, const uint64_t *parts)
{
	const struct system *system = finding->system;

	for (size_t i = 0; i < system->processes_n; i++)
		if (parts[i])
			add_of_task(&finding->unseen->parts, &system->processes[i].task, "", parts[i], 0);
	if (parts[system->processes_n])
		unseen_add(&finding->unseen->parts, "several processes have these", parts[system->processes_n]);
}

/* Of a sample nobody knows which pages are mapped, and of averages not whether those of others are. */
static void find_parts(struct finding *finding)
{
	const struct system *system = finding->system;
	uint64_t *parts = zeroed(system->processes_n + 1, sizeof(*parts)), pfn;
	struct folio folio = { 0 };

	finding->unseen->parts_known =
		!sample_is_taken(&system->sample) && !(system->averaging && (system->refused || system->pid_namespace));
	for (size_t i = 0; i < system->frames_n && finding->unseen->parts_known; i++) {
		uint32_t single = finding->weights->single[i];
		size_t whole;

		if (!is_large(&system->frames[i]))
			continue;
		pfn = system_pfn(system, &system->frames[i]);
		if (pfn - folio.head < folio.pages)
			continue;
		whole = whole_pages(finding, i, pfn);
		if (whole) {
			i += whole - 1;
			continue;
		}
		folio = folio_of(finding->procfs, pfn);
		parts[single < system->processes_n ? single : system->processes_n] += count_parts(finding, folio)
										      << system->page_shift;
	}
	list_parts(finding, parts);
	free(parts);
}

/* ---- devices ---- */

enum kind { KIND_UNASKED, KIND_ORDINARY, KIND_DEVICE };

static bool begins_with(const char *text, const char *begin)
{
	return !strncmp(text, begin, strlen(begin));
}

/* May what @vma maps be memory of a device? Of files on disks and in memory none is. */
static enum kind kind_of(const struct finding *finding, const struct process *process, const struct vma *vma)
{
	const char *name = finding->system->names.strings[vma->name];
	struct statx stat;
	char link[64];

	if (name[0] != '/' || begins_with(name, "/sys/") || begins_with(name, "/proc/"))
		return KIND_DEVICE;
	link_to_vma(finding->system, vma, link, sizeof(link));
	if (procfs_stat(finding->procfs, &process->task, link, &stat) != OUTCOME_READ)
		return KIND_UNASKED;
	return S_ISREG(stat.stx_mode) ? KIND_ORDINARY : KIND_DEVICE;
}

/* Does @process map of such a file what has no entry at all? @kinds: of each file, as far as it is known */
static bool may_map_device(const struct finding *finding, const struct process *process, enum kind *kinds)
{
	bool *has_entries = zeroed(process->vmas_n, sizeof(*has_entries)), found = false;

	for (size_t i = 0; i < process->extents_n; i++)
		if (process->extents[i].vma != NO_VMA)
			has_entries[process->extents[i].vma] = true;
	for (size_t i = 0; i < process->vmas_n && !found; i++) {
		const struct vma *vma = &process->vmas[i];

		if (!vma->file || has_entries[i])
			continue;
		if (kinds[vma->file] == KIND_UNASKED)
			kinds[vma->file] = kind_of(finding, process, vma);
		found = kinds[vma->file] == KIND_DEVICE;
	}
	free(has_entries);
	return found;
}

/* Add @bytes to what the process has of @name; its items are the last of the list, from @from on. */
static void add_device(struct unseen_list *list, size_t from, const struct task *task, const char *name, uint64_t bytes)
{
	for (size_t i = from; i < list->n; i++)
		if (!strcmp(list->items[i].name, name)) {
			list->items[i].bytes += bytes;
			return;
		}
	add_of_task(list, task, name, bytes, 0);
}

/* What the kernel marks as having no pages of its own ("pf"), and maps a file. */
static void read_devices(struct finding *finding, const struct process *process)
{
	struct unseen_list *list = &finding->unseen->devices;
	struct reader *reader = &finding->system->readers[0];
	size_t from = list->n;
	uint64_t bytes = 0, file = 0; /* of the vma of which these lines are */
	const char *name = "";

	if (procfs_read_text(finding->procfs, &process->task, "smaps", reader) != OUTCOME_READ)
		return;
	for (char *line = reader->text, *next; *line; line = next) {
		uint64_t start, end, inode;
		int behind = 0;

		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*x %*s %" SCNu64 " %n", &start, &end, &inode, &behind) ==
		    3) {
			bytes = end - start;
			file = inode;
			name = line + behind;
		} else if (file && begins_with(line, "VmFlags:") && strstr(line, " pf")) {
			add_device(list, from, &process->task, name, bytes);
		}
	}
}

static void find_devices(struct finding *finding)
{
	struct system *system = finding->system;
	enum kind *kinds = zeroed(system->names.files_n, sizeof(*kinds));

	for (size_t i = 0; i < system->processes_n; i++)
		if (may_map_device(finding, &system->processes[i], kinds))
			read_devices(finding, &system->processes[i]);
	free(kinds);
}

/* ---- all of it ---- */

static int compare_items(const void *left, const void *right)
{
	const struct unseen_item *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? 1 : -1;
	return order ? order : (a->pid > b->pid) - (a->pid < b->pid);
}

static void finish(struct unseen_list *list)
{
	if (list->n)
		qsort(list->items, list->n, sizeof(*list->items), compare_items);
	for (size_t i = 0; i < list->n; i++)
		list->bytes += list->items[i].bytes;
}

void unseen_find(struct unseen *unseen, struct system *system, const struct weights *weights,
		 const struct procfs *procfs)
{
	struct finding finding = { .unseen = unseen, .system = system, .weights = weights, .procfs = procfs };

	*unseen = (struct unseen){ 0 };
	leftover_find(unseen, system);
	find_devices(&finding);
	find_files(&finding);
	find_parts(&finding);
	finish(&unseen->cgroups);
	finish(&unseen->files);
	finish(&unseen->parts);
	finish(&unseen->devices);
}

void unseen_clear(struct unseen_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].name);
	free(list->items);
	*list = (struct unseen_list){ 0 };
}

void unseen_fini(struct unseen *unseen)
{
	unseen_clear(&unseen->cgroups);
	unseen_clear(&unseen->files);
	unseen_clear(&unseen->parts);
	unseen_clear(&unseen->devices);
}
