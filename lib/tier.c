/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tier.c - the tiers that come with the library: the heap, huge pages, a NUMA node, a file
 *
 * All but the heap are mmap with something said about the mapping. A mapping is as long as what was asked for, rounded
 * up to the tier's page size, and is unmapped when it is given back; the pool asks for granules
 * only.
 *
 * A file's places are kept apart: those in use by address, those that were given back by offset, adjacent ones as one.
 * What is given back is punched out of the file, or cut off its end; what is taken is the first place that is long
 * enough, or begins where the file ends at that moment. So the file is as long as its use once made it, less what lies
 * free at its end, and has blocks for what is in use only.
 *
 * A child of fork() would share a file's pages with its parent, and may find no reserved huge pages for its copies:
 * such mappings are left out of children, and there the tier has no memory to give.
 */
#include "pool.h"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <search.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_BYTES ((size_t)2 << 20)
#define MAPPED_GRANULE ((size_t)64 << 10)
#define NODES_MAX 1024u

/*
 * struct place - a part of a tier's file
 * @memory: where it is mapped, if it is in use
 * @next:   the free place behind it
 */
struct place {
	char *memory;
	uint64_t offset;
	size_t bytes;
	struct place *next;
};

/*
 * What a mapping tier's arg points to.
 * @page:     what mappings are multiples of
 * @process:  the only process that has this memory; 0: children get copies
 * @node:     the NUMA node, or -1
 * @huge:     ask for huge pages; @reserved: of the reserved kind
 * @fd:       the file, a descriptor of our own; or -1
 * @used:     the file's places in use, a tree of search.h
 * @unused:   those given back, ordered, with something between each two
 */
struct mapping_tier {
	size_t page;
	pid_t process;
	int node;
	bool huge;
	bool reserved;
	int fd;
	void *used;
	struct place *unused;
};

/* Serialises all that is done with places of files: two tiers may have the same file. */
static pthread_mutex_t files = PTHREAD_MUTEX_INITIALIZER;

static void *heap_alloc(void *arg, size_t bytes, size_t align)
{
	(void)arg;
	return aligned_alloc(align, (bytes + align - 1) & ~(align - 1));
}

static void heap_free(void *arg, void *memory, size_t bytes)
{
	(void)arg;
	(void)bytes;
	free(memory);
}

int rmap_tier_heap(struct rmap_tier *tier)
{
	*tier = (struct rmap_tier){ heap_alloc, heap_free, NULL, 0 };
	return 0;
}

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) & ~(unit - 1);
}

static int bind_to_node(void *memory, size_t bytes, int node)
{
	unsigned long mask[NODES_MAX / (8 * sizeof(unsigned long))] = { 0 };
	unsigned bits = 8 * sizeof(unsigned long);

	mask[(unsigned)node / bits] = 1ul << ((unsigned)node % bits);
	return (int)syscall(SYS_mbind, memory, bytes, MPOL_BIND, mask, NODES_MAX + 1ul, 0u);
}

static bool is_left_out(const struct mapping_tier *mapping)
{
	return mapping->process && mapping->process != getpid();
}

/* Places of a file. Called with the lock held ------------------------------------------------ */

static int by_address(const void *one, const void *other)
{
	const struct place *a = one;
	const struct place *b = other;

	return a->memory < b->memory ? -1 : a->memory > b->memory;
}

/* Where the file ends, in whole pages. */
static uint64_t file_end(const struct mapping_tier *mapping)
{
	struct stat status;

	return fstat(mapping->fd, &status) == 0 ? round_up((size_t)status.st_size, mapping->page) : 0;
}

/* Takes @bytes of the first place that has them, from its beginning. False: none has. */
static bool reuse_place(struct mapping_tier *mapping, struct place *place, size_t bytes)
{
	for (struct place **at = &mapping->unused; *at; at = &(*at)->next) {
		struct place *from = *at;

		if (from->bytes < bytes)
			continue;
		place->offset = from->offset;
		from->offset += bytes;
		from->bytes -= bytes;
		if (from->bytes == 0) {
			*at = from->next;
			free(from);
		}
		return true;
	}
	return false;
}

/* Puts @place among the unused, or off the end of the file. Needs no memory. */
static void give_place(struct mapping_tier *mapping, struct place *place)
{
	struct place **at = &mapping->unused;
	struct place *next;

	/* What a file system cannot punch it keeps: the place will be used again. */
	(void)!fallocate(mapping->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)place->offset,
			 (off_t)place->bytes);
	while (*at && (*at)->offset + (*at)->bytes < place->offset)
		at = &(*at)->next;
	if (*at && (*at)->offset + (*at)->bytes == place->offset) {
		(*at)->bytes += place->bytes;
		free(place);
		place = *at;
	} else {
		place->next = *at;
		*at = place;
	}
	next = place->next;
	if (next && place->offset + place->bytes == next->offset) {
		place->bytes += next->bytes;
		place->next = next->next;
		free(next);
	}
	if (place->offset + place->bytes == file_end(mapping) && ftruncate(mapping->fd, (off_t)place->offset) == 0) {
		*at = place->next;
		free(place);
	}
}

/* To go beyond the process's limit of a file's size is a signal, which ends the process, and no error. */
static bool within_limit(const struct place *place)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) != 0 || place->offset + place->bytes <= limit.rlim_cur;
}

/* A place with blocks of its own, so that a full file system is met here and not at a store. NULL: there is none. */
static struct place *take_place(struct mapping_tier *mapping, size_t bytes)
{
	struct place *place = calloc(1, sizeof(*place));
	bool reused;

	if (!place)
		return NULL;
	place->bytes = bytes;
	reused = reuse_place(mapping, place, bytes);
	if (!reused)
		place->offset = file_end(mapping);
	if (within_limit(place) && posix_fallocate(mapping->fd, (off_t)place->offset, (off_t)bytes) == 0)
		return place;
	if (reused) {
		give_place(mapping, place);
		return NULL;
	}
	(void)!ftruncate(mapping->fd, (off_t)place->offset); /* it may have grown by a part */
	free(place);
	return NULL;
}

static void *map_file(struct mapping_tier *mapping, size_t bytes)
{
	struct place *place;
	char *memory = MAP_FAILED;

	pthread_mutex_lock(&files);
	place = take_place(mapping, bytes);
	if (place)
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mapping->fd, (off_t)place->offset);
	if (memory != MAP_FAILED) {
		place->memory = memory;
		if (!tsearch(place, &mapping->used, by_address)) {
			munmap(memory, bytes);
			memory = MAP_FAILED;
		}
	}
	if (place && memory == MAP_FAILED)
		give_place(mapping, place);
	pthread_mutex_unlock(&files);
	return memory;
}

static void unmap_file(struct mapping_tier *mapping, void *memory, size_t bytes)
{
	const struct place key = { .memory = memory };
	struct place **found;
	struct place *place;

	pthread_mutex_lock(&files);
	found = tfind(&key, &mapping->used, by_address);
	CHECK(found, "memory that the file's tier did not give");
	place = *found;
	tdelete(&key, &mapping->used, by_address);
	munmap(memory, bytes);
	give_place(mapping, place);
	pthread_mutex_unlock(&files);
}

/* Anonymous memory aligned to the tier's page, by mapping too much and trimming. */
static void *map_anonymous(const struct mapping_tier *mapping, size_t bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (mapping->reserved ? MAP_HUGETLB : 0);
	size_t slack = mapping->huge && !mapping->reserved ? mapping->page : 0;
	char *memory = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, flags, -1, 0);
	size_t lead;

	if (memory == MAP_FAILED || slack == 0)
		return memory;
	lead = round_up((uintptr_t)memory, mapping->page) - (uintptr_t)memory;
	if (lead)
		munmap(memory, lead);
	if (slack - lead)
		munmap(memory + lead + bytes, slack - lead);
	return memory + lead;
}

static void mapping_free(void *arg, void *memory, size_t bytes)
{
	struct mapping_tier *mapping = arg;

	bytes = round_up(bytes, mapping->page);
	if (is_left_out(mapping))
		return; /* it is not here, and in the file it is another's */
	if (mapping->fd >= 0)
		unmap_file(mapping, memory, bytes);
	else
		munmap(memory, bytes);
}

static void *mapping_alloc(void *arg, size_t bytes, size_t align)
{
	struct mapping_tier *mapping = arg;
	void *memory;

	if (is_left_out(mapping))
		return NULL;
	bytes = round_up(bytes, mapping->page);
	(void)align; /* a page is aligned to more than any class asks for */
	memory = mapping->fd >= 0 ? map_file(mapping, bytes) : map_anonymous(mapping, bytes);
	if (memory == MAP_FAILED)
		return NULL;
	if (mapping->huge && !mapping->reserved)
		madvise(memory, bytes, MADV_HUGEPAGE); /* advice: small pages hold the same */
	if ((mapping->process && madvise(memory, bytes, MADV_DONTFORK) != 0) ||
	    (mapping->node >= 0 && bind_to_node(memory, bytes, mapping->node) != 0)) {
		mapping_free(mapping, memory, bytes);
		return NULL;
	}
	return memory;
}

bool env_tier_is_here(const struct rmap_tier *tier)
{
	return tier->alloc != mapping_alloc || !is_left_out(tier->arg);
}

static int make_mapping(struct rmap_tier *tier, struct mapping_tier as)
{
	struct mapping_tier *mapping = malloc(sizeof(*mapping));

	if (!mapping)
		return -ENOMEM;
	*mapping = as;
	*tier = (struct rmap_tier){ mapping_alloc, mapping_free, mapping, as.huge ? HUGE_BYTES : MAPPED_GRANULE };
	return 0;
}

static size_t small_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Reserved huge pages if some are free now, otherwise transparent ones. */
int rmap_tier_huge(struct rmap_tier *tier)
{
	struct mapping_tier as = { .page = HUGE_BYTES, .fd = -1, .node = -1, .huge = true };
	void *memory = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	as.reserved = memory != MAP_FAILED;
	if (!as.reserved)
		memory = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	if (!as.reserved && madvise(memory, HUGE_BYTES, MADV_HUGEPAGE) != 0) {
		munmap(memory, HUGE_BYTES);
		return -ENOTSUP;
	}
	munmap(memory, HUGE_BYTES);
	if (as.reserved)
		as.process = getpid();
	return make_mapping(tier, as);
}

int rmap_tier_node(struct rmap_tier *tier, unsigned node)
{
	struct mapping_tier as = { .page = small_page(), .fd = -1, .node = (int)node };
	void *memory;
	int error = 0;

	if (node >= NODES_MAX)
		return -EINVAL;
	memory = mmap(NULL, as.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	if (bind_to_node(memory, as.page, as.node) != 0)
		error = errno == ENOSYS || errno == EPERM ? -ENOTSUP : -EINVAL;
	munmap(memory, as.page);
	return error ? error : make_mapping(tier, as);
}

int rmap_tier_file(struct rmap_tier *tier, int fd)
{
	struct mapping_tier as = { .page = small_page(), .process = getpid(), .node = -1 };
	struct stat status;
	void *memory;
	int error;

	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return -EINVAL;
	/*
	 * A mapping may be made of any part of a regular file, its end included, if the descriptor allows it; not so of
	 * a file of huge pages.
	 */
	memory = mmap(NULL, as.page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)as.page);
	if (memory == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	munmap(memory, as.page);
	as.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (as.fd < 0)
		return -errno;
	error = make_mapping(tier, as);
	if (error)
		close(as.fd);
	return error;
}

static void forget_file(struct mapping_tier *mapping)
{
	struct place *next;

	close(mapping->fd);
	tdestroy(mapping->used, free); /* empty but in a child that has the memory of none of them */
	for (struct place *place = mapping->unused; place; place = next) {
		next = place->next;
		free(place);
	}
}

void rmap_tier_fini(struct rmap_tier *tier)
{
	struct mapping_tier *mapping = tier->arg;

	if (mapping && mapping->fd >= 0)
		forget_file(mapping);
	free(mapping);
	*tier = (struct rmap_tier){ 0 };
}
