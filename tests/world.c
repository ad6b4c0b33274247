/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.c - see world.h
 */
#include "world.h"

#include <sched.h>

const struct vm_backend *const *world_backend = vm_backends;

void world_init(struct world *world, struct vm_options options)
{
	options.size = sizeof(options);
	if (!options.backend)
		options.backend = *world_backend ? *world_backend : vm_backends[0];
	if (!options.table_bits)
		options.table_bits = 5;
	expect(vm_create(&options, &world->vm) == 0);
	expect(vm_thread_create(world->vm, &world->thread) == 0);
	world->pieces = 1u << options.cluster_bits;
	world->traits = vm_backend_traits(options.backend);
}

void world_fini(struct world *world, bool sound)
{
	expect((vm_check(world->thread) == 0) == sound);
	vm_thread_destroy(world->thread);
	expect(vm_destroy(world->vm) == 0);
}

struct vm_statistics world_stats(struct world *world)
{
	struct vm_statistics stats;

	vm_stats(world->vm, &stats);
	return stats;
}

uint32_t new_mm(struct world *world)
{
	uint32_t mm;

	expect(vm_mm_create(world->thread, &mm) == 0);
	return mm;
}

uint32_t new_fork(struct world *world, uint32_t mm)
{
	uint32_t child;

	expect(vm_fork(world->thread, mm, &child) == 0);
	return child;
}

uint32_t tag_at(struct world *world, uint32_t mm, uint64_t vpn)
{
	uint64_t word;

	expect(vm_read(world->thread, mm, vpn, 1, &word) == 0);
	return vm_word_tag(word);
}

uint64_t piece_at(struct world *world, uint32_t mm, uint64_t vpn)
{
	uint64_t word;

	expect(vm_read(world->thread, mm, vpn, 1, &word) == 0);
	return vm_word_offset(word);
}

void write_tags(struct world *world, uint32_t mm, uint64_t vpn, uint64_t n, uint32_t tag)
{
	for (uint64_t i = 0; i < n; i++)
		expect(vm_write(world->thread, mm, vpn + i, 1, tag + (uint32_t)i) == 0);
}

void expect_tags(struct world *world, uint32_t mm, uint64_t vpn, uint64_t n, uint32_t tag)
{
	for (uint64_t i = 0; i < n; i++)
		expect(tag_at(world, mm, vpn + i) == tag + (uint32_t)i);
}

int access_error(struct world *world, uint32_t mm, uint64_t vpn)
{
	return vm_fault(world->thread, mm, vpn, false);
}

static void *beside_main(void *arg)
{
	struct beside *beside = arg;
	struct vm_thread *thread;

	expect(vm_thread_create(beside->vm, &thread) == 0);
	beside->act(thread, beside->arg);
	beside->done = true;
	vm_thread_destroy(thread);
	return NULL;
}

void beside_begin(struct beside *beside, struct world *world, void (*act)(struct vm_thread *thread, void *arg),
		  void *arg)
{
	beside->vm = world->vm;
	beside->act = act;
	beside->arg = arg;
	beside->done = false;
	expect(pthread_create(&beside->thread, NULL, beside_main, beside) == 0);
}

void beside_wait(struct beside *beside, struct world *world, void (*act)(struct vm_thread *thread, void *arg),
		 void *arg)
{
	beside_begin(beside, world, act, arg);
	for (unsigned i = 0; i < 1000 && !beside->done; i++)
		sched_yield();
	expect(!beside->done);
}

void beside_end(struct beside *beside)
{
	expect(pthread_join(beside->thread, NULL) == 0);
}
