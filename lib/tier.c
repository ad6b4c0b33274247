/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tier.c - the tiers that come with the library: the heap, huge pages, a NUMA node, a file
 *
 * All but the heap are mmap with something said about the mapping. A mapping is as long as what was asked for, rounded
 * up to the tier's page size, and is unmapped when it is given back; the pool asks for granules and for large segments
 * only.
 */
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_BYTES ((size_t)2 << 20)
#define MAPPED_GRANULE ((size_t)64 << 10)
#define NODES_MAX 1024u

/*
 * What a mapping tier's arg points to.
 * @fd:   the file, or -1; @end: where its next piece begins, moved on by fetch_add
 * @node: the NUMA node, or -1
 * @huge: ask for huge pages; @reserved: of the reserved kind
 */
struct mapping_tier {
	uint64_t end;
	size_t page;
	int fd;
	int node;
	bool huge;
	bool reserved;
};

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

/* Grows the file and maps the new part. */
static void *map_file(struct mapping_tier *mapping, size_t bytes)
{
	uint64_t offset = fetch_add_rlx(&mapping->end, bytes); /* RLX: each caller gets a place of its own */

	if (posix_fallocate(mapping->fd, (off_t)offset, (off_t)bytes) != 0)
		return MAP_FAILED;
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mapping->fd, (off_t)offset);
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

static void *mapping_alloc(void *arg, size_t bytes, size_t align)
{
	struct mapping_tier *mapping = arg;
	void *memory;

	bytes = round_up(bytes, mapping->page);
	(void)align; /* a page is aligned to more than any class asks for */
	memory = mapping->fd >= 0 ? map_file(mapping, bytes) : map_anonymous(mapping, bytes);
	if (memory == MAP_FAILED)
		return NULL;
	if (mapping->huge && !mapping->reserved)
		madvise(memory, bytes, MADV_HUGEPAGE); /* advice: small pages hold the same */
	if (mapping->node >= 0 && bind_to_node(memory, bytes, mapping->node) != 0) {
		munmap(memory, bytes);
		return NULL;
	}
	return memory;
}

static void mapping_free(void *arg, void *memory, size_t bytes)
{
	const struct mapping_tier *mapping = arg;

	munmap(memory, round_up(bytes, mapping->page));
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
	struct mapping_tier as = { .page = small_page(), .fd = fd, .node = -1 };
	struct stat status;
	void *memory;

	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return -EINVAL;
	/* A mapping may be made of any part of a regular file, its end included, if the descriptor allows it. */
	memory = mmap(NULL, as.page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	munmap(memory, as.page);
	as.end = round_up((size_t)status.st_size, as.page);
	return make_mapping(tier, as);
}

void rmap_tier_fini(struct rmap_tier *tier)
{
	free(tier->arg);
	*tier = (struct rmap_tier){ 0 };
}
