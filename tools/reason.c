/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * reason.c - why a process has no page at an address; see reason.h
 *
 * The page's pagemap entry and the flags of its vma in smaps tell. What is no page and not swapped out has an entry of
 * the form of one swapped out, of a type that no swap area has.
 */
#include "reason.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PTE_WRITE_PROTECTED (UINT64_C(1) << 57) /* by userfaultfd */
#define PTE_GUARD (UINT64_C(1) << 58)
#define SWAP_MARK 31 /* as SWAP_TYPE */

static FILE *open_text(const struct procfs *procfs, const char *directory, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = openat(procfs->root, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? NULL : fdopen(fd, "r");
}

/* Find the vma at @address in @smaps; @flags becomes its line of flags. */
static bool find_vma(FILE *smaps, uint64_t address, char *flags, size_t size)
{
	size_t capacity = 0;
	char *line = NULL;
	bool found = false;

	flags[0] = '\0';
	while (getline(&line, &capacity, smaps) > 0) {
		uint64_t start, end;

		if (found && !strncmp(line, "VmFlags:", 8)) {
			snprintf(flags, size, "%s", line + 8);
			break;
		}
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
			if (found)
				break;
			found = start <= address && address < end;
		}
	}
	free(line);
	return found;
}

/* Is any swap area in use? */
static bool has_swap(const struct procfs *procfs)
{
	FILE *swaps = open_text(procfs, ".", "swaps");
	unsigned lines = 0;
	int c;

	while (swaps && (c = getc(swaps)) != EOF)
		lines += c == '\n';
	if (swaps)
		fclose(swaps);
	return lines > 1;
}

static const char *reason_of_swapped(const struct procfs *procfs, uint64_t entry)
{
	if (SWAP_TYPE(entry) < SWAP_TYPES && has_swap(procfs))
		return "it is swapped out";
	if (entry & PTE_WRITE_PROTECTED)
		return "userfaultfd has protected it from being written, and there is no page yet";
	if (SWAP_TYPE(entry) == SWAP_MARK)
		return "the kernel has a mark there instead of one: of a guard region, or of memory that failed";
	return "it is just being moved, lies in the memory of a device, or has failed";
}

static const char *reason_of(const struct procfs *procfs, const struct task *task, uint64_t address, uint64_t entry)
{
	FILE *smaps = open_text(procfs, task->path, "smaps");
	char flags[256];
	bool found = smaps && find_vma(smaps, address, flags, sizeof(flags));

	if (!smaps)
		return "why cannot be told, for its smaps cannot be read";
	fclose(smaps);
	if (entry & PTE_PRESENT)
		return "it came only after the process was read; ask again";
	if (!found)
		return "nothing is mapped there; /proc/PID/maps lists what is";
	if (strstr(flags, " pf"))
		return "memory of a device or of the kernel itself is mapped there, which the kernel shows to nobody";
	if (entry & PTE_GUARD)
		return "there is a guard region";
	if (entry & PTE_SWAPPED)
		return reason_of_swapped(procfs, entry);
	return "the process never touched it, or it was taken from the process (of a file or of shared memory it may "
	       "still be in memory, or be swapped out)";
}

static const char *reason_recorded(const struct process *process, uint64_t vpn)
{
	for (size_t i = 0; i < process->vmas_n; i++)
		if (process->vmas[i].first <= vpn && vpn <= process->vmas[i].last)
			return "when it was recorded, there was none; why is not recorded";
	return "when it was recorded, nothing was mapped there";
}

int reason_no_page(const struct procfs *procfs, const struct process *process, uint64_t address, unsigned page_shift)
{
	uint64_t vpn = address >> page_shift, entry = 0;
	const char *reason;

	if (procfs)
		procfs_read_entries(procfs, &process->task, &vpn, 1, &entry);
	reason = procfs ? reason_of(procfs, &process->task, address, entry) : reason_recorded(process, vpn);
	return complain("process %d has no page in memory at 0x%" PRIx64 ": %s", (int)process->task.pid, address,
			reason);
}
