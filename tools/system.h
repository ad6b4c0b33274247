/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * system.h - a system's page tables as read or loaded, and the reverse map built from them
 *
 *      struct process     an address space: vmas, and its present ptes in extents (runs of neighbouring pages)
 *      struct file        what a vma maps: device and inode; an rmap_object once the map is built
 *      a frame's number   its page (the library's word), its identity (of which file which page), its struct frame
 *
 * How the system is laid onto the library: a frame is a page, a file an object, a vma of a file a range whose owner
 * is the process's number. A pte is *linear* if it maps a file's page, as the kernel says or a shared vma, and the vma
 * puts the file page there that the frame is known as; linear ptes are counted only. All others are *chained* under a
 * handle that names the process's number and the virtual page: anonymous memory, private copies of file pages, pages
 * that no file of /proc/PID/maps names, and aliases (one frame seen through two inodes, as overlay filesystems show
 * it).
 *
 * Scanning (scan.c) or loading (file.c) fills processes and files; system_build() makes frames and the map; from then
 * on everything but what verify.c puts into the frames' records is read-only.
 *
 * Frames are numbered in ascending order (pfnset.h), and what is known of them lies in three arrays of 8 bytes a frame:
 * pages, identities, frames. Beside them are the frames' numbers, a bit and a half each, and the library's chains; what
 * is rarely to be said of a frame has a table of its own (exceptions).
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "pfnset.h"
#include "procfs.h"
#include "sample.h"

#include <rmap/walk.h>
#include <stdatomic.h>

/** Where a pte lies outside every vma that was read: the task changed between the two readings. */
#define NO_VMA UINT32_MAX

struct vma {
	uint64_t first; /* virtual pages, both included */
	uint64_t last;
	uint64_t index; /* the file's page at @first */
	uint32_t file;  /* index into system.files, 0 for none */
	uint32_t name;  /* index into system.names */
	bool shared;
	uint8_t access; /* as struct map_line's; 0 in a recording that does not say it */
};

/** struct extent - present ptes of neighbouring pages in one vma */
struct extent {
	uint64_t vpn;
	uint64_t first; /* index into process.ptes */
	uint32_t n;
	uint32_t vma; /* index into process.vmas, or NO_VMA */
};

/** struct swapped - a pte that names a slot of a swap area */
struct swapped {
	uint64_t vpn;
	uint64_t slot; /* area << SLOT_AREA_SHIFT | offset: the area's name may be another after the next boot */
	uint32_t vma;  /* index into process.vmas, or NO_VMA */
};

/** An area of 128 TiB has offsets of so many bits. */
#define SLOT_AREA_SHIFT 35
#define SLOT_MAX (((uint64_t)SWAP_TYPES << SLOT_AREA_SHIFT) - 1)

/** system_has_pfn, system_has_slot - are ptes that name this frame or slot kept? Slots have numbers above all frames */
#define system_has_pfn(system, pfn) sample_has(&(system)->sample, pfn)
#define system_has_slot(system, slot) sample_has(&(system)->sample, (slot) | UINT64_C(1) << 63)

/** No user has this number. */
#define UID_UNKNOWN UINT32_MAX

struct process {
	struct task task;
	uint32_t uid;    /* the effective user, or UID_UNKNOWN */
	uint32_t cgroup; /* index into system.names; 0 if that is not known */
	struct vma *vmas;
	size_t vmas_n;
	size_t vmas_capacity;
	struct extent *extents;
	size_t extents_n;
	size_t extents_capacity;
	uint64_t *ptes; /* frame number, PTE_FILE and, unless recorded, PTE_EXCLUSIVE */
	size_t ptes_n;
	size_t ptes_capacity;
	struct swapped *swapped;
	size_t swapped_n;
	size_t swapped_capacity;
	uint64_t before; /* mappings of all processes before this one */
	enum outcome outcome;
};

struct file {
	uint64_t device; /* major << 32 | minor */
	uint64_t inode;
	uint32_t name;
	struct rmap_object *object;
};

/** struct names - strings and files, each kept once; number 0 is "" and no file. Guarded by its mutex while scanning */
struct names {
	char **strings;
	size_t strings_n;
	size_t strings_capacity;
	uint32_t *string_table;
	size_t string_table_size;
	struct file *files;
	size_t files_n;
	size_t files_capacity;
	uint32_t *file_table;
	size_t file_table_size;
};

/** What verification said of a frame. */
enum verdict {
	VERDICT_MATCHED = 0,
	VERDICT_CHANGED = 1,    /* differed at first, and agreed when read again */
	VERDICT_MOVING = 2,     /* differed, and never stood still while it was read again */
	VERDICT_BOUNDED = 3,    /* the kernel counts more, and address spaces that were not read may account for it */
	VERDICT_AVERAGED = 4,   /* in a large folio of which the kernel tells the average, and that is right */
	VERDICT_MISMATCHED = 5, /* differs, though nothing changed while it was read again */
};

/**
 * struct frame - what verification knows of one page frame; system_pfn() tells its number
 * @flags:       /proc/kpageflags, as far as procfs.h names them; until they are asked for, KPF_ANON if a pte is so
 * @verdict:     an enum verdict
 * @broken:      the map has another number of mappings of it than were read
 * @exceptional: there is a struct exception of it
 * @exclusive:   one pte of it was read, and says that it is the only one; once verified: which is the kernel's count
 * @disputed:    several were read, and one of them says that it is the only one
 * @kernel:      /proc/kpagecount, or 1 if @exclusive; until that is asked for, how many ptes were read
 */
struct frame {
	uint32_t flags : 25;
	uint32_t verdict : 3;
	uint32_t broken : 1;
	uint32_t exceptional : 1;
	uint32_t exclusive : 1;
	uint32_t disputed : 1;
	uint32_t kernel;
};
_Static_assert(sizeof(struct frame) == 8, "what a page takes, as the documentation has it");

/**
 * struct exception - ptes of a frame that are compared otherwise than others
 * @uncounted: those that the kernel does not count: special ones, that map no page it knows
 * @shareable: those of hugetlb pages that may lie in a page table that several processes share
 */
struct exception {
	_Atomic uint32_t uncounted; /* counted by many threads at once */
	_Atomic uint32_t shareable;
};

/** An identity: file << IDENTITY_INDEX_BITS | index, the page of which file a frame is; 0 if no vma says so. */
#define IDENTITY_INDEX_BITS 40
#define IDENTITY_FILE(identity) ((identity) >> IDENTITY_INDEX_BITS)
#define IDENTITY_INDEX(identity) ((identity) & ((UINT64_C(1) << IDENTITY_INDEX_BITS) - 1))

struct system {
	/* What was read. */
	char release[80];
	char machine[80];
	uint64_t time; /* seconds since 1970 */
	unsigned page_shift;
	bool kinds_only;      /* those flags suffice that a frame_class() is told from: read no more than it takes */
	struct sample sample; /* of which pages what was read is kept; set before they are */
	bool partial;         /* only some processes were read: the kernel may count more */
	bool pid_namespace;   /* processes outside this PID namespace were not seen */
	bool averaging;       /* the kernel tells averages for the pages of large folios */
	bool ksm_unknown;     /* the kernel does not tell which pages KSM has merged */
	bool has_access;      /* vmas have their access: it was read, or a recording says it */
	size_t kernel_threads;
	size_t sharing;         /* processes that share the address space of another one ... */
	struct alias *aliases;  /* ... and of which; NULL if a recording does not say it */
	size_t refused;         /* processes that may not be read ... */
	uint64_t refused_pages; /* ... and their resident pages */
	size_t gone;            /* processes that ended while they were read */
	struct process *processes;
	size_t processes_n;
	struct reader *readers; /* whose buffers the scan used; see scan.c */
	size_t readers_n;
	struct names names;
	struct frame *recorded; /* what a recording says of the frames, in ascending order of their numbers */
	size_t recorded_n;

	/* What was built of it. */
	struct rmap *map;
	struct pfnset pfns;
	size_t frames_n;
	struct rmap_page *pages; /* the reverse mapping of each frame */
	_Atomic uint64_t
		*identities;  /* of each: the smallest its ptes say, so that the order of threads does not matter */
	struct frame *frames; /* filled in by verify.c */
	struct pfnset exceptional;
	struct exception *exceptions; /* of the members of exceptional, by their numbers; verify.c's */
	uint64_t mappings;
	uint64_t ranges;
	uint64_t overflowed; /* mappings beyond what the library counts for one page */
	unsigned vpn_bits;   /* of a handle; those above name the process */
};

void system_init(struct system *system);
void system_fini(struct system *system);
/**
 * system_drop_map - take the reverse map down, and forget identities; what was read, and the frames, stay
 *
 * A thread has one map at a time. Sums (tally.h) need none, and have more memory without it.
 */
void system_drop_map(struct system *system);

/** names_string, names_file - the number of a string or of a file, which is added if it is new; 2^32 - 1 at most */
uint32_t names_string(struct names *names, const char *string);
uint32_t names_file(struct names *names, uint64_t device, uint64_t inode, uint32_t name);

/** process_add_vma - append a vma; in ascending order of addresses, and before any pte */
void process_add_vma(struct process *process, const struct vma *vma);
/**
 * process_add_pte - append a present pte; in ascending order. @at is where the search for its vma goes on: 0 at first
 */
void process_add_pte(struct process *process, size_t *at, uint64_t vpn, uint64_t pte);

/** process_add_swapped - append a pte that names a swap slot, as process_add_pte() does */
void process_add_swapped(struct process *process, size_t *at, uint64_t vpn, uint64_t slot);

/** process_fini - free what a process has */
void process_fini(struct process *process);

/** system_process - process @pid, or the one whose address space it has; NULL if that was not read */
const struct process *system_process(const struct system *system, uint64_t pid);

/** process_find_pte - the pte of page @vpn and its extent; NULL if none was present */
const uint64_t *process_find_pte(const struct process *process, uint64_t vpn, const struct extent **extent);

/** pte_identity - which page of which file the vma says that this pte maps, 0 for none */
uint64_t pte_identity(const struct process *process, const struct extent *extent, uint64_t vpn, uint64_t pte);

/**
 * system_build - number the frames of all processes, and build the reverse map in @threads threads; returns a status
 */
int system_build(struct system *system, unsigned threads);

/** struct pte_run - mappings of neighbouring pages from @vpn on; @process is the number of the process */
struct pte_run {
	uint32_t process;
	const struct extent *extent;
	uint64_t vpn;
	const uint64_t *ptes;
	size_t n;
};

/** A visitor of all mappings of a system that is being built, or was. */
typedef void (*run_visit)(void *arg, const struct pte_run *run);

/**
 * system_visit_piece - visit the next piece of the mappings; any number of threads do so until all are taken
 * @next:  0 at first
 * Return: false if none were left
 */
bool system_visit_piece(const struct system *system, atomic_uint_fast64_t *next, run_visit visit, void *arg);

/** system_handle, system_handle_process, system_handle_vpn - a handle and its parts */
uint64_t system_handle(const struct system *system, uint64_t process, uint64_t vpn);
uint64_t system_handle_process(const struct system *system, uint64_t handle);
uint64_t system_handle_vpn(const struct system *system, uint64_t handle);

/** system_frame - the record of frame @pfn, or NULL if nothing maps it */
struct frame *system_frame(const struct system *system, uint64_t pfn);

/** system_pfn - the number of a frame */
static inline uint64_t system_pfn(const struct system *system, const struct frame *frame)
{
	uint64_t pfn;

	pfnset_pfns(&system->pfns, (size_t)(frame - system->frames), 1, &pfn);
	return pfn;
}

/** frame_page, frame_identity - the reverse mapping and the identity of a frame */
static inline struct rmap_page *frame_page(const struct system *system, const struct frame *frame)
{
	return &system->pages[frame - system->frames];
}

static inline uint64_t frame_identity(const struct system *system, const struct frame *frame)
{
	return atomic_load_explicit(&system->identities[frame - system->frames], memory_order_relaxed);
}

/** struct mapper - one pte that maps a frame, as the reverse map tells it */
struct mapper {
	uint32_t process;
	uint32_t vma; /* or NO_VMA */
	uint64_t vpn;
	enum rmap_kind kind;
};

/**
 * system_mappers - everyone who maps @frame, by walking the reverse map with a cursor
 * @out: set to an array to be freed by the caller
 * Context: as a registered reader
 * Return:  how many there are
 *
 * A range is only a candidate for a linear mapping: those whose pte does not map the frame are left out.
 */
size_t system_mappers(const struct system *system, const struct frame *frame, struct mapper **out);

/**
 * system_candidates - the same, and with them those whose vma puts the frame's page of its file where they had no pte
 * of it, @vma being NO_VMA: a fault may map it there at any time
 */
size_t system_candidates(const struct system *system, const struct frame *frame, struct mapper **out);

/** system_mapper_name - what @mapper's vma maps: a path, "[heap]" and its like, or "[anon]" */
const char *system_mapper_name(const struct system *system, const struct mapper *mapper);

#endif
