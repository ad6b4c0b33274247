/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * procfs.h - what the kernel tells about memory: tasks, their maps, their page-table entries, its own counts
 *
 *      /proc/PID/stat, maps, pagemap     who there is, their vmas, one 64-bit entry for each pte
 *      PAGEMAP_SCAN (Linux 6.7), smaps   which addresses are populated, so that terabytes of reserved ones cost little
 *      /proc/kpagecount, kpageflags      for each frame, how many ptes map it, and what it is
 *      kcmp                              which tasks share one address space (vfork, CLONE_VM): it counts once
 *
 * Processes come and go while they are read. That is no error: they are reported as gone, and verify.c finds out
 * whether it mattered. Nor is it one that some may not be read by this user: they are counted. Any other call that
 * fails (no descriptors are left, no memory, a sandbox refuses it) is a *failure*: what was read is incomplete, and
 * whoever reads asks procfs_status() before concluding anything from it.
 */
#ifndef PROCFS_H
#define PROCFS_H

#include "tool.h"

#include <sys/stat.h>
#include <sys/types.h>

/** A pagemap entry, as far as it is used here. */
#define PTE_PFN ((UINT64_C(1) << 55) - 1)
#define PTE_EXCLUSIVE (UINT64_C(1) << 56) /* of a small page: no other pte maps it; verify.c tells what else it means */
#define PTE_FILE (UINT64_C(1) << 61) /* not anonymous: of a file or shared memory; pte_is_counted() tells its gaps */
#define PTE_SWAPPED (UINT64_C(1) << 62)
#define PTE_PRESENT (UINT64_C(1) << 63)

/*
 * What a swapped entry has in the place of a frame's number: what kind of entry it is, and where in its area the slot
 * lies. Types of swap areas are small ones; those from SWAP_TYPES on say what else the entry stands for.
 */
#define SWAP_TYPE(entry) ((unsigned)(entry)&31)
#define SWAP_OFFSET(entry) (((entry)&PTE_PFN) >> 5)
#define SWAP_TYPES 23

/** Bits of /proc/kpageflags used here; all of them are among the lower 32. */
#define KPF_REFERENCED (UINT32_C(1) << 2)
#define KPF_UPTODATE (UINT32_C(1) << 3)
#define KPF_DIRTY (UINT32_C(1) << 4)
#define KPF_LRU (UINT32_C(1) << 5)
#define KPF_BUDDY (UINT32_C(1) << 10)
#define KPF_ANON (UINT32_C(1) << 12)
#define KPF_SWAPBACKED (UINT32_C(1) << 14)
#define KPF_COMPOUND_HEAD (UINT32_C(1) << 15)
#define KPF_COMPOUND_TAIL (UINT32_C(1) << 16)
#define KPF_HUGE (UINT32_C(1) << 17)
#define KPF_UNEVICTABLE (UINT32_C(1) << 18)
#define KPF_NOPAGE (UINT32_C(1) << 20)
#define KPF_KSM (UINT32_C(1) << 21)
#define KPF_THP (UINT32_C(1) << 22)
#define KPF_ZERO_PAGE (UINT32_C(1) << 24)

#define COMM_SIZE 32

/** struct failure - the first call that failed; any thread may note it, and it is told once they have been joined */
struct failure {
	atomic_int error; /* an errno, 0 for none */
	char what[64];    /* what was tried, such as "/proc/1/maps"; written by the thread that set @error */
};

struct procfs {
	int root;
	int counts;
	int flags;
	const char *mm; /* the directory in which the kernel tells of huge pages and KSM; NULL: nowhere */
	struct failure *failure;
	pid_t self; /* this process's number here; 0 if this /proc does not show it */
	unsigned page_shift;
	unsigned threads;          /* how many may read one task at once; 1 at first */
	bool pagemap_scan;         /* the kernel has PAGEMAP_SCAN */
	bool pid_namespace;        /* not the first one: other processes may map the same pages unseen */
	bool ksm_unknown;          /* every anonymous page is marked as merged by KSM, as some kernels since 6.10 do */
	uint64_t zero_pfn;         /* of the zero page; 0 if that is not known */
	struct memories *memories; /* populated.c's */
};

/** struct task - one that owns an address space */
struct task {
	pid_t pid;
	pid_t tid;     /* the living thread that path names */
	char path[32]; /* below /proc: PID, or PID/task/TID if the thread named PID has ended */
	char comm[COMM_SIZE];
	uint64_t start_time; /* with pid: names the task for ever */
	uint64_t resident;   /* pages */
	uint64_t layout[3];  /* equal for all tasks of one address space */
};

/** pte_is_swapped - does the pagemap entry @pte name a slot of a swap area? */
static inline bool pte_is_swapped(uint64_t pte)
{
	return pte & PTE_SWAPPED && !(pte & PTE_PRESENT) && SWAP_TYPE(pte) < SWAP_TYPES;
}

/** struct alias - @pid has the address space of @owner */
struct alias {
	pid_t pid;
	pid_t owner;
	char comm[COMM_SIZE];
};

/** struct tasks - all tasks of one moment, one for each address space, by pid. All zero at first */
struct tasks {
	struct task *items;
	size_t n;
	size_t capacity;
	size_t kernel_threads;
	struct alias *aliases; /* tasks left out because another one has the same address space */
	size_t aliases_n;
	size_t aliases_capacity;
};

/** struct map_line - one line of /proc/PID/maps; addresses and offset in pages */
struct map_line {
	uint64_t first;
	uint64_t last;
	uint64_t index;
	uint64_t device;
	uint64_t inode;
	const char *name; /* lives as long as the reader is not used again; "" if there is none */
	bool shared;
	uint8_t access; /* ACCESS_READ and so on */
};

#define ACCESS_READ 1u
#define ACCESS_WRITE 2u
#define ACCESS_EXECUTE 4u

struct page_range {
	uint64_t first;
	uint64_t last;
};

/** struct reader - one thread's buffers, kept from task to task so that reading does not change what is read */
struct reader {
	char *text;
	size_t text_capacity;
	struct map_line *lines;
	size_t lines_n;
	size_t lines_capacity;
	struct page_range *ranges;
	size_t ranges_n;
	size_t ranges_capacity;
	uint64_t *entries;
};

enum outcome {
	OUTCOME_READ,
	OUTCOME_GONE,    /* ended meanwhile */
	OUTCOME_REFUSED, /* the kernel does not let this user read it */
	OUTCOME_FAILED,  /* for another reason, which has been noted */
};

/**
 * procfs_open - open what the kernel offers, and check that it tells frame numbers; returns a status, after
 * complaining
 */
int procfs_open(struct procfs *procfs);
void procfs_close(struct procfs *procfs);

/**
 * procfs_status - has all that was read since procfs_open() been read completely?
 * Return: a status, after complaining about the first call that failed
 */
int procfs_status(const struct procfs *procfs);

/** procfs_has_failed - is it known already that it has not? Then there is no use in going on */
static inline bool procfs_has_failed(const struct procfs *procfs)
{
	return atomic_load(&procfs->failure->error);
}

/**
 * procfs_tasks - list the tasks that own an address space
 * @only: if not NULL, @only_n pids to keep; a pid that has no address space is not in the list then
 */
void procfs_tasks(const struct procfs *procfs, const pid_t *only, size_t only_n, struct tasks *tasks);
void tasks_fini(struct tasks *tasks);

/** procfs_check_pid - is there a process @pid that owns an address space, or shares one? A status, after complaining */
int procfs_check_pid(const struct procfs *procfs, pid_t pid);

/** procfs_forks - how many tasks and threads were ever created; it tells whether any was meanwhile */
uint64_t procfs_forks(const struct procfs *procfs);

void reader_init(struct reader *reader);
/** readers_free - free an array of @n readers, initialised or all zero */
void readers_free(struct reader *readers, size_t n);

/** procfs_read_text - read a file of a task into @reader->text, whole and ended by a 0 */
enum outcome procfs_read_text(const struct procfs *procfs, const struct task *task, const char *name,
			      struct reader *reader);

/** procfs_list - call @visit for each entry of a directory of a task, such as its descriptors in "fd" */
enum outcome procfs_list(const struct procfs *procfs, const struct task *task, const char *name,
			 void (*visit)(void *arg, const char *entry), void *arg);

/**
 * procfs_stat - what a link below a task's directory leads to; a file system that does not answer is not waited for
 *
 * OUTCOME_REFUSED says, too, that the file system could not tell.
 */
enum outcome procfs_stat(const struct procfs *procfs, const struct task *task, const char *name, struct statx *out);

/** statx_device - the device of a file, as struct map_line has it */
static inline uint64_t statx_device(const struct statx *stat)
{
	return (uint64_t)stat->stx_dev_major << 32 | stat->stx_dev_minor;
}

/** procfs_is_in_memory - is what it leads to a file of tmpfs or of hugetlbfs, or a memfd or the like? */
bool procfs_is_in_memory(const struct procfs *procfs, const struct task *task, const char *name);

/** procfs_read_maps - read a task's maps into @reader->lines */
enum outcome procfs_read_maps(const struct procfs *procfs, const struct task *task, struct reader *reader);

/** A visitor of pagemap entries: those of pages @vpn, @vpn + 1 ... Not all of them need be present. */
typedef void (*pte_visit)(void *arg, uint64_t vpn, const uint64_t *entries, size_t n);

/**
 * procfs_read_ptes - read the pagemap entries of @reader->lines, in ascending order, without large stretches where
 * nothing is present or swapped, which populated.h finds
 */
enum outcome procfs_read_ptes(const struct procfs *procfs, const struct task *task, struct reader *reader,
			      pte_visit visit, void *arg);

/** procfs_read_entries - read the pagemap entries of @n ascending pages; 0 for what is not there */
enum outcome procfs_read_entries(const struct procfs *procfs, const struct task *task, const uint64_t *vpns, size_t n,
				 uint64_t *entries);

/**
 * procfs_counts, procfs_flags - the kernel's mapcounts and flags of @n ascending frames; 0 beyond the last frame
 *
 * KPF_KSM is left out where it says nothing.
 */
void procfs_counts(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out);
void procfs_flags(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out);

/** procfs_cgroups - to which cgroup each of @n ascending frames is charged; see charges.c. False if nothing tells */
bool procfs_cgroups(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out);

/** procfs_has_frame - does the kernel know a page of memory in frame @pfn? */
bool procfs_has_frame(const struct procfs *procfs, uint64_t pfn);

#endif
