/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peer_lfht.c - the lock-free peer: liburcu's split-ordered hash table
 *
 * What a user of liburcu has at hand for a lock-free set of mappings: cds_lfht, keyed by the handle. A node is
 * allocated by every add and given to call_rcu by every remove, as the table's users must. The table is made with as
 * many buckets as it has mappings, rounded up to a power of two, and never resizes nor counts: its best case.
 * Duplicates are not looked for.
 */
#include <malloc.h>
#include <stdlib.h>

#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#include "chain.h"

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

struct peer {
	struct cds_lfht *table;
	struct chain_stream *stream;
	unsigned long buckets;
	int failed;
};

#define MAPPING(pointer, field) caa_container_of(pointer, struct mapping, field)

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

static void free_mapping(struct rcu_head *head)
{
	TAKE_OVER(head);
	free(MAPPING(head, rcu));
}

static void add(struct peer *peer, uint64_t handle)
{
	struct mapping *mapping = malloc(sizeof(*mapping));

	if (!mapping) {
		peer->failed = 1;
		return;
	}
	cds_lfht_node_init(&mapping->node);
	mapping->handle = handle;
	HAND_OVER(&mapping->node);
	cds_lfht_add(peer->table, hash(handle), &mapping->node);
}

static void del(struct peer *peer, uint64_t handle)
{
	struct cds_lfht_iter iter;

	cds_lfht_lookup(peer->table, hash(handle), match, &handle, &iter);
	struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);

	if (!node || cds_lfht_del(peer->table, node)) {
		peer->failed = 1;
		return;
	}
	HAND_OVER(&MAPPING(node, node)->rcu);
	urcu_memb_call_rcu(&MAPPING(node, node)->rcu, free_mapping);
}

static void lfht_pairs(void *state, size_t pairs)
{
	struct peer *peer = state;

	while (pairs) {
		size_t section = pairs < CHAIN_SECTION ? pairs : CHAIN_SECTION;

		pairs -= section;
		urcu_memb_read_lock();
		while (section--) {
			struct chain_swap swap = chain_stream_next(peer->stream);

			del(peer, swap.out);
			add(peer, swap.in);
		}
		urcu_memb_read_unlock();
	}
}

static void lfht_settle(void *state)
{
	(void)state;
	urcu_memb_barrier();
}

/* The mapping that @iter stands at; NULL at the end. (liburcu's macro for this does arithmetic on the null pointer.) */
static struct mapping *iter_mapping(struct cds_lfht_iter *iter)
{
	struct cds_lfht_node *node = cds_lfht_iter_get_node(iter);

	if (!node)
		return NULL;
	TAKE_OVER(node);
	return MAPPING(node, node);
}

static uint64_t lfht_walk(void *state)
{
	struct peer *peer = state;
	struct cds_lfht_iter iter;
	const struct mapping *mapping;
	uint64_t sum = 0;

	urcu_memb_read_lock();
	for (cds_lfht_first(peer->table, &iter); (mapping = iter_mapping(&iter)); cds_lfht_next(peer->table, &iter))
		sum += mapping->handle;
	urcu_memb_read_unlock();
	return sum;
}

static int lfht_destroy(void *state)
{
	struct peer *peer = state;
	struct cds_lfht_iter iter;
	struct mapping *mapping;

	urcu_memb_read_lock();
	for (cds_lfht_first(peer->table, &iter); (mapping = iter_mapping(&iter)); cds_lfht_next(peer->table, &iter)) {
		if (cds_lfht_del(peer->table, &mapping->node))
			peer->failed = 1;
		HAND_OVER(&mapping->rcu);
		urcu_memb_call_rcu(&mapping->rcu, free_mapping);
	}
	urcu_memb_read_unlock();
	urcu_memb_barrier();
	int failed = cds_lfht_destroy(peer->table, NULL) || peer->failed;

	free(peer);
	return failed ? -1 : 0;
}

static void *lfht_create(struct chain_stream *stream)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->stream = stream;
	for (peer->buckets = 1; peer->buckets < stream->n; peer->buckets *= 2)
		;
	peer->table = cds_lfht_new_flavor(peer->buckets, 1, 0, 0, &urcu_memb_flavor, NULL);
	if (!peer->table) {
		free(peer);
		return NULL;
	}
	urcu_memb_read_lock();
	for (size_t i = 0; i < stream->n; i++)
		add(peer, stream->handles[i]);
	urcu_memb_read_unlock();
	if (peer->failed) {
		lfht_destroy(peer);
		return NULL;
	}
	return peer;
}

/*
 * The nodes as malloc rounds them up, with the word that it keeps beside each, and one table node a bucket. The table
 * itself is not counted: its users have one for all pages.
 */
static uint64_t lfht_bytes(void *state)
{
	struct peer *peer = state;
	void *sample = malloc(sizeof(struct mapping));
	uint64_t node = sample ? malloc_usable_size(sample) + sizeof(size_t) : sizeof(struct mapping);

	free(sample);
	return peer->stream->n * node + peer->buckets * sizeof(struct cds_lfht_node);
}

const struct chain_contender chain_lfht = {
	.name = "lfht",
	.create = lfht_create,
	.pairs = lfht_pairs,
	.settle = lfht_settle,
	.walk = lfht_walk,
	.bytes = lfht_bytes,
	.destroy = lfht_destroy,
};
