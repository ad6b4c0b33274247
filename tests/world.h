/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.h - a VM with one thread's context, for the unit tests of model/vm
 */
#ifndef RMAP_TESTS_WORLD_H
#define RMAP_TESTS_WORLD_H

#include "support.h"

#include <vm.h>

struct world {
	struct vm *vm;
	struct vm_thread *thread;
	uint32_t pieces;
	unsigned traits; /* the backend's */
};

void world_init(struct world *world, struct vm_options options);
void world_fini(struct world *world, bool sound);
struct vm_statistics world_stats(struct world *world);
uint32_t new_mm(struct world *world);
uint32_t new_fork(struct world *world, uint32_t mm);
/* What is read at @vpn must be the tag, and the piece of the object, as far as it is known. */
uint32_t tag_at(struct world *world, uint32_t mm, uint64_t vpn);
uint64_t piece_at(struct world *world, uint32_t mm, uint64_t vpn);
void write_tags(struct world *world, uint32_t mm, uint64_t vpn, uint64_t n, uint32_t tag);
void expect_tags(struct world *world, uint32_t mm, uint64_t vpn, uint64_t n, uint32_t tag);
int access_error(struct world *world, uint32_t mm, uint64_t vpn);

/* struct beside - another thread at the world's VM, that does one thing. @done: it has */
struct beside {
	pthread_t thread;
	struct vm *vm;
	void (*act)(struct vm_thread *thread, void *arg);
	void *arg;
	_Atomic bool done;
};

void beside_begin(struct beside *beside, struct world *world, void (*act)(struct vm_thread *thread, void *arg),
		  void *arg);
/* The same; and what it does is seen to wait for what the caller does. */
void beside_wait(struct beside *beside, struct world *world, void (*act)(struct vm_thread *thread, void *arg),
		 void *arg);
void beside_end(struct beside *beside);

/* The backend of a world whose options name none: it points into vm_backends. */
extern const struct vm_backend *const *world_backend;

/* The test runs once for each size of pages. */
static const uint32_t cluster_bits[] = { 0, 4 };
#define each_size(bits) for (const uint32_t *bits = cluster_bits; bits < cluster_bits + LENGTH(cluster_bits); bits++)

/* And for each backend that has the traits it needs. */
#define each_backend(bits, needs)                                                                                      \
	for (world_backend = vm_backends; *world_backend; world_backend++)                                             \
		for (const uint32_t *bits = cluster_bits;                                                              \
		     (vm_backend_traits(*world_backend) & (needs)) == (needs) &&                                       \
		     bits < cluster_bits + LENGTH(cluster_bits);                                                       \
		     bits++)

#endif
