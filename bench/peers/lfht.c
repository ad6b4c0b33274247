/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lfht.c - the lock-free peer: liburcu's split-ordered hash table
 *
 * What a user of liburcu has at hand for a lock-free set of mappings: cds_lfht, keyed by the handle, one for each
 * page. A node is allocated by every add and given to call_rcu by every remove, as the table's users must. The table
 * is made with as many buckets as it is to have mappings, rounded up to a power of two, and never resizes nor counts:
 * its best case. Duplicates are not looked for.
 */
#include <malloc.h>

#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#include "peer.h"
#include "threads.h"

/* liburcu is not instrumented, so ThreadSanitizer must be told what its table and its grace periods order. */
#if defined(__SANITIZE_THREAD__)
#define PEER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PEER_TSAN 1
#endif
#endif
#ifdef PEER_TSAN
#include <sanitizer/tsan_interface.h>
#define HAND_OVER(address) __tsan_release(address)
#define TAKE_OVER(address) __tsan_acquire(address)
#else
#define HAND_OVER(address) ((void)(address))
#define TAKE_OVER(address) ((void)(address))
#endif

struct mapping {
	struct cds_lfht_node node;
	uint64_t handle;
	struct rcu_head rcu;
};

struct head {
	struct cds_lfht *_Atomic table;
};

struct map {
	struct registry registry;
	unsigned long buckets;
	int64_t node_bytes; /* as malloc rounds them up, with the word that it keeps beside each */
	int64_t table_bytes;
};

struct thread {
	struct thread_own own;
};

#define MAPPING(pointer, field) caa_container_of(pointer, struct mapping, field)

static struct map *map_open(size_t expected)
{
	struct map *map = registry_open(sizeof(*map));
	void *sample = malloc(sizeof(struct mapping));

	if (map && sample) {
		for (map->buckets = 1; map->buckets < expected; map->buckets *= 2)
			;
		map->node_bytes = (int64_t)(malloc_usable_size(sample) + sizeof(size_t));
		map->table_bytes = (int64_t)(map->buckets * sizeof(struct cds_lfht_node));
	} else if (map) {
		registry_close(map);
		map = NULL;
	}
	free(sample);
	return map;
}

static struct thread *thread_enter(struct map *map)
{
	return registry_enter(map, sizeof(struct thread));
}

static void map_settle(struct map *map)
{
	(void)map;
	urcu_memb_barrier();
}

static int map_close(struct map *map)
{
	urcu_memb_barrier();
	return registry_close(map);
}

static unsigned long hash(uint64_t handle)
{
	handle *= 0x9e3779b97f4a7c15u;
	return (unsigned long)(handle ^ (handle >> 32));
}

static int match(struct cds_lfht_node *node, const void *key)
{
	TAKE_OVER(node);
	return MAPPING(node, node)->handle == *(const uint64_t *)key;
}

/* What readers have done is ahead of what a grace period lets happen. */
static char grace_period;

static void free_mapping(struct rcu_head *head)
{
	TAKE_OVER(head);
	TAKE_OVER(&grace_period);
	free(MAPPING(head, rcu));
}

static inline void section_begin(struct thread *thread, size_t adds)
{
	(void)thread;
	(void)adds;
	urcu_memb_read_lock();
}

static inline void section_end(struct thread *thread)
{
	(void)thread;
	HAND_OVER(&grace_period);
	urcu_memb_read_unlock();
}

/* The page's table; the first add makes one. NULL if there is no memory. */
static struct cds_lfht *table_make(struct thread *thread, struct head *head)
{
	struct cds_lfht *found = NULL, *table;

	table = cds_lfht_new_flavor(thread->own.map->buckets, 1, 0, 0, &urcu_memb_flavor, NULL);
	if (!table)
		return NULL;
	if (!atomic_compare_exchange_strong(&head->table, &found, table)) {
		cds_lfht_destroy(table, NULL);
		return found;
	}
	thread->own.bytes += thread->own.map->table_bytes;
	return table;
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	struct cds_lfht *table = atomic_load_explicit(&head->table, memory_order_acquire);
	struct mapping *mapping;

	if (!table)
		table = table_make(thread, head);
	mapping = table ? malloc(sizeof(*mapping)) : NULL;
	if (!mapping)
		return -1;
	cds_lfht_node_init(&mapping->node);
	mapping->handle = handle;
	HAND_OVER(&mapping->node);
	cds_lfht_add(table, hash(handle), &mapping->node);
	thread->own.bytes += thread->own.map->node_bytes;
	return 0;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	struct cds_lfht *table = atomic_load_explicit(&head->table, memory_order_acquire);
	struct cds_lfht_node *node = NULL;
	struct cds_lfht_iter iter;

	if (table) {
		cds_lfht_lookup(table, hash(handle), match, &handle, &iter);
		node = cds_lfht_iter_get_node(&iter);
	}
	if (!node || cds_lfht_del(table, node))
		return -1;
	HAND_OVER(&MAPPING(node, node)->rcu);
	urcu_memb_call_rcu(&MAPPING(node, node)->rcu, free_mapping);
	thread->own.bytes -= thread->own.map->node_bytes;
	return 0;
}

/* The mapping that @iter stands at; NULL at the end. (liburcu's macro for this does arithmetic on the null pointer.) */
static inline struct mapping *iter_mapping(struct cds_lfht_iter *iter)
{
	struct cds_lfht_node *node = cds_lfht_iter_get_node(iter);

	if (!node)
		return NULL;
	TAKE_OVER(node);
	return MAPPING(node, node);
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	struct cds_lfht *table = atomic_load_explicit(&head->table, memory_order_acquire);
	const struct mapping *mapping;
	struct cds_lfht_iter iter;
	uint64_t sum = 0;

	(void)thread;
	if (!table)
		return 0;
	for (cds_lfht_first(table, &iter); (mapping = iter_mapping(&iter)); cds_lfht_next(table, &iter))
		sum += mapping->handle;
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	struct cds_lfht *table = atomic_load(&head->table);
	struct mapping *mapping;
	struct cds_lfht_iter iter;
	size_t dropped = 0;

	if (!table)
		return 0;
	urcu_memb_read_lock();
	for (cds_lfht_first(table, &iter); (mapping = iter_mapping(&iter)); cds_lfht_next(table, &iter)) {
		if (cds_lfht_del(table, &mapping->node))
			thread->own.failed = -1;
		HAND_OVER(&mapping->rcu);
		urcu_memb_call_rcu(&mapping->rcu, free_mapping);
		thread->own.bytes -= thread->own.map->node_bytes;
		dropped++;
	}
	urcu_memb_read_unlock();
	if (cds_lfht_destroy(table, NULL))
		thread->own.failed = -1;
	atomic_store(&head->table, NULL);
	thread->own.bytes -= thread->own.map->table_bytes;
	return dropped;
}

#define PEER_SETTLES
#define PEER_NAME lfht
#define PEER_SCANS false
#include "loops.h"
