/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_migrate.c - model/vm: pages get other frames while others use, unmap, move and fork them
 *
 * What meets a page that is on its way is done by another thread at the window where its ptes are moving ones: what
 * does not wait for the page is over before that goes on, what does is seen not to be.
 */
#include "world.h"

#include <errno.h>

/*
 * 8 ptes of anonymous memory at 100, of file 0 at 200 and, nonlinear, at 300, private copies of it at 400. Vpns are
 * tags.
 */
struct scene {
	struct world world;
	uint32_t mm;
	uint64_t vpn;
	bool armed;
	struct beside beside;
	void (*act)(struct vm_thread *thread, void *arg);
};

static void scene_init(struct scene *scene, struct vm_options options)
{
	world_init(&scene->world, options);
	scene->mm = new_mm(&scene->world);
	expect(vm_mmap(scene->world.thread, scene->mm, 100, 8, true, VM_ANONYMOUS, 0) == 0);
	expect(vm_mmap(scene->world.thread, scene->mm, 200, 8, true, 0, 0) == 0);
	expect(vm_mmap(scene->world.thread, scene->mm, 300, 8, true, 0, 0) == 0);
	expect(vm_remap_file_pages(scene->world.thread, scene->mm, 300, 8, 8 * scene->world.pieces) == 0);
	expect(vm_mmap_private(scene->world.thread, scene->mm, 400, 8, true, 0, 0) == 0);
	for (uint32_t at = 100; at <= 400; at += 100)
		write_tags(&scene->world, scene->mm, at, 8, at);
}

static void expect_all(struct scene *scene)
{
	for (uint32_t at = 100; at <= 400; at += 100)
		expect_tags(&scene->world, scene->mm, at, 8, at);
}

/* Of a pte of file 0. */
static uint32_t disk_tag(struct scene *scene, uint64_t vpn)
{
	uint64_t offset = vpn < 300 ? vpn - 200 : 8 * scene->world.pieces + (vpn - 300), word;

	expect(vm_disk_word(scene->world.thread, 0, offset, 1, &word) == 0);
	return vm_word_tag(word);
}

static void pages_keep_all_but_their_frames(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_MIGRATES) {
		struct vm_statistics before, after;
		struct scene scene = { .armed = false };
		uint32_t child;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		child = new_fork(&scene.world, scene.mm);
		before = world_stats(&scene.world);
		for (uint64_t at = 100; at <= 400; at += 100) {
			expect(vm_migrate(scene.world.thread, scene.mm, at + 3) == 0);
			expect(vm_check(scene.world.thread) == 0);
		}
		after = world_stats(&scene.world);
		expect(after.migrated == before.migrated + 4 && after.swap_outs == 0 && after.faults == before.faults);
		expect_all(&scene);
		expect_tags(&scene.world, child, 100, 8, 100);
		expect(vm_write_back(scene.world.thread, 0) == 0);
		expect(disk_tag(&scene, 203) == 203);
		expect(vm_mlock(scene.world.thread, scene.mm, 303, 1) == 0);
		expect(vm_migrate(scene.world.thread, scene.mm, 303) == -EPERM);
		world_fini(&scene.world, true);
	}
}

static void many_pages_need_one_flush(void **state)
{
	struct scene scene = { .armed = false };
	uint64_t flushes;

	(void)state;
	scene_init(&scene, (struct vm_options){ .cluster_bits = 0 });
	vm_age(scene.world.thread, 1000);
	expect_all(&scene);
	flushes = world_stats(&scene.world).flushes;
	expect(vm_compact(scene.world.thread, 6) == 6);
	expect(world_stats(&scene.world).flushes == flushes + 1);
	expect_all(&scene);
	world_fini(&scene.world, true);
}

/* Four pages are near, those that were made first; then four others are used, and the first are not. */
static void what_is_used_is_near(void **state)
{
	struct vm_statistics stats;
	struct world world;
	uint32_t mm;

	(void)state;
	world_init(&world, (struct vm_options){ .frames = 16, .far = 8 });
	mm = new_mm(&world);
	expect(vm_mmap(world.thread, mm, 100, 12, true, VM_ANONYMOUS, 0) == 0);
	write_tags(&world, mm, 100, 12, 100); /* 8 of them near */
	vm_age(world.thread, 100);
	expect_tags(&world, mm, 108, 4, 108);
	expect(vm_balance(world.thread, 12) > 0); /* first only what is not used can move: near memory is full */
	expect(vm_balance(world.thread, 12) + vm_balance(world.thread, 12) > 0);
	stats = world_stats(&world);
	expect(stats.promoted == 4 && stats.demoted >= 4 && stats.swap_outs == 0);
	expect_tags(&world, mm, 100, 12, 100);
	world_fini(&world, true);
}

/* As often as it takes to come by all of @mms that map the page, and to see that there are no more. */
static void look_often(struct world *world, uint32_t mms)
{
	for (uint32_t i = 0; i < mms / 32 + 2; i++)
		vm_balance(world->thread, 1);
}

#define MANY_MMS 70u

/* No look comes by all mappings, but the next goes on: so it finds the one mm that uses the page, whichever it is. */
static void a_bounded_look_goes_on_where_it_ended(void **state)
{
	struct world world;
	uint32_t mms[MANY_MMS];

	(void)state;
	world_init(&world, (struct vm_options){ .frames = 4, .far = 2, .mms = MANY_MMS });
	for (uint32_t i = 0; i < MANY_MMS; i++) {
		mms[i] = new_mm(&world);
		expect(vm_mmap(world.thread, mms[i], 100, 1, true, 0, 0) == 0);
		expect(access_error(&world, mms[i], 100) == 0);
	}
	for (uint32_t i = 0; i < MANY_MMS; i++) {
		expect(vm_age(world.thread, 1) == 1);
		vm_balance(world.thread, 1);
		expect(world_stats(&world).demoted == i); /* there may be others that use it */
		look_often(&world, MANY_MMS);
		expect(world_stats(&world).demoted == i + 1);
		expect(access_error(&world, mms[i], 100) == 0);
		look_often(&world, MANY_MMS);
		expect(world_stats(&world).promoted == i + 1);
	}
	world_fini(&world, true);
}

/* --- at the window ---------------------------------------------------------------------------- */

static void act_and_join(void *arg, enum vm_window where)
{
	struct scene *scene = arg;

	if (!scene->armed || where != VM_WINDOW_MOVING)
		return;
	scene->armed = false;
	beside_begin(&scene->beside, &scene->world, scene->act, scene);
	beside_end(&scene->beside);
}

static void act_and_wait_at(struct scene *scene)
{
	if (!scene->armed)
		return;
	scene->armed = false;
	beside_wait(&scene->beside, &scene->world, scene->act, scene);
}

static void act_and_wait(void *arg, enum vm_window where)
{
	if (where == VM_WINDOW_MOVING)
		act_and_wait_at(arg);
}

static void act_when_replaced(void *arg, enum vm_window where)
{
	if (where == VM_WINDOW_REPLACED)
		act_and_wait_at(arg);
}

static void unmap_it(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;

	expect(vm_munmap(thread, scene->mm, scene->vpn, 1) == 0);
}

static void move_it(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;

	expect(vm_mremap(thread, scene->mm, scene->vpn, 1, 1000, 1) == 0);
}

static void protect_it(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;

	expect(vm_protect(thread, scene->mm, scene->vpn, 1, false) == 0);
}

static void exit_all(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;

	expect(vm_exit(thread, scene->mm) == 0);
}

static int migrate_meanwhile(struct scene *scene, uint32_t bits, uint64_t vpn,
			     void (*window)(void *arg, enum vm_window where),
			     void (*act)(struct vm_thread *thread, void *arg))
{
	*scene = (struct scene){ .vpn = vpn, .act = act };
	scene_init(scene, (struct vm_options){ .cluster_bits = bits, .window = window, .window_arg = scene });
	scene->armed = true;
	return vm_migrate(scene->world.thread, scene->mm, vpn);
}

static void what_does_not_wait_finds_the_entries(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_MIGRATES)
		for (uint64_t vpn = 103; vpn <= 403; vpn += 100) {
			uint32_t tag = (uint32_t)vpn;
			struct scene scene;

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_join, unmap_it) == 0);
			expect(access_error(&scene.world, scene.mm, vpn) == -EFAULT);
			world_fini(&scene.world, true);

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_join, move_it) == 0);
			expect(tag_at(&scene.world, scene.mm, 1000) == tag);
			world_fini(&scene.world, true);

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_join, protect_it) == 0);
			expect(vm_write(scene.world.thread, scene.mm, vpn, 1, 1) == -EACCES);
			expect_all(&scene);
			world_fini(&scene.world, true);

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_join, exit_all) == 0);
			world_fini(&scene.world, true);
		}
}

static void write_it(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;

	expect(vm_write(thread, scene->mm, scene->vpn, 1, 9) == 0);
}

static void fork_it(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;
	uint32_t child;

	expect(vm_fork(thread, scene->mm, &child) == 0);
	expect(vm_write(thread, child, scene->vpn, 2, 9) == 0);
}

static void mlock_it(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;

	expect(vm_mlock(thread, scene->mm, scene->vpn, 1) == 0);
}

static void cut_it(struct vm_thread *thread, void *arg)
{
	(void)arg;
	expect(vm_truncate(thread, 0, 0) == 0);
}

static void write_back_it(struct vm_thread *thread, void *arg)
{
	(void)arg;
	expect(vm_write_back(thread, 0) == 0);
}

static void what_waits_finds_the_new_frame(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_MIGRATES)
		for (uint64_t vpn = 103; vpn <= 403; vpn += 100) {
			struct scene scene;

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_wait, write_it) == 0);
			beside_end(&scene.beside);
			expect(tag_at(&scene.world, scene.mm, vpn) == 9);
			world_fini(&scene.world, true);

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_wait, fork_it) == 0);
			beside_end(&scene.beside);
			expect_all(&scene);
			world_fini(&scene.world, true);

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_wait, mlock_it) == 0);
			beside_end(&scene.beside);
			expect(vm_migrate(scene.world.thread, scene.mm, vpn) == -EPERM);
			expect_all(&scene);
			world_fini(&scene.world, true);

			if (vpn != 203 && vpn != 303)
				continue;
			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_wait, cut_it) == 0);
			beside_end(&scene.beside);
			expect(access_error(&scene.world, scene.mm, vpn) == -ENXIO);
			world_fini(&scene.world, true);

			expect(migrate_meanwhile(&scene, *bits, vpn, act_when_replaced, cut_it) == 0);
			beside_end(&scene.beside);
			expect(access_error(&scene.world, scene.mm, vpn) == -ENXIO);
			world_fini(&scene.world, true);

			expect(migrate_meanwhile(&scene, *bits, vpn, act_and_wait, write_back_it) == 0);
			beside_end(&scene.beside);
			expect(disk_tag(&scene, vpn) == vpn);
			world_fini(&scene.world, true);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_keep_all_but_their_frames),
		cmocka_unit_test(many_pages_need_one_flush),
		cmocka_unit_test(what_is_used_is_near),
		cmocka_unit_test(a_bounded_look_goes_on_where_it_ended),
		cmocka_unit_test(what_does_not_wait_finds_the_entries),
		cmocka_unit_test(what_waits_finds_the_new_frame),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
