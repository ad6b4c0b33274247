/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_clock.c - model/vm: the clock around calls of the backend
 *
 * What it says of time is the machine's. What it must say of calls is not: those that are timed stand for all others of
 * their kind, a call out of a walk is one of its own, and what is refused is made up for.
 */
#include "world.h"

#define PAGES 4000u
#define TASKS 9u
#define DISTANCE_MAX 64u /* between two changes that are timed */
#define TRUNCATES 200u
#define RARE_MAX 8u /* between two truncates */

/* @weight: sum of each kind. @refuses: so many */
struct told {
	uint64_t weight[VM_CALLS];
	uint64_t times[VM_CALLS];
	uint64_t refuses;
};

static bool timed(void *arg, enum vm_call call, uint64_t weight, uint64_t ns)
{
	struct told *told = arg;

	expect(call < VM_CALLS && weight > 0 && ns < UINT64_MAX / 2);
	if (told->refuses > 0) {
		told->refuses--;
		return false;
	}
	told->weight[call] += weight;
	told->times[call]++;
	return true;
}

static void init(struct world *world, struct told *told)
{
	*told = (struct told){ .refuses = 0 };
	world_init(world,
		   (struct vm_options){ .frames = PAGES + 64, .file_pages = PAGES, .timed = timed, .timed_arg = told });
}

static void touch_all(struct world *world, uint32_t mm)
{
	expect(vm_mmap(world->thread, mm, 100, PAGES, true, 0, 0) == 0);
	for (uint64_t i = 0; i < PAGES; i++)
		expect(vm_fault(world->thread, mm, 100 + i, false) == 0);
}

/* Each fault adds one mapping; of the last ones nobody may have been timed yet. */
static void calls_stand_for_all(void **state)
{
	struct world world;
	struct told told;
	uint64_t before;

	(void)state;
	init(&world, &told);
	before = told.weight[VM_CALL_CHANGE];
	touch_all(&world, new_mm(&world));
	expect(told.weight[VM_CALL_CHANGE] - before <= PAGES);
	expect(told.weight[VM_CALL_CHANGE] - before + DISTANCE_MAX > PAGES);
	expect(told.times[VM_CALL_CHANGE] < PAGES / 8);
	expect(told.times[VM_CALL_WALK] == 0);
	for (unsigned i = 1; i <= TRUNCATES; i++)
		expect(vm_truncate(world.thread, 0, PAGES - i) == 0);
	expect(told.weight[VM_CALL_TRUNCATE] <= TRUNCATES && told.weight[VM_CALL_TRUNCATE] + RARE_MAX > TRUNCATES);
	expect(told.times[VM_CALL_TRUNCATE] < told.weight[VM_CALL_TRUNCATE]);
	world_fini(&world, true);
}

/* Reclaim ages each page by a walk, looks at it by another, and unmaps it by a third. Each removal is a change. */
static void a_call_out_of_a_walk_is_one_of_its_own(void **state)
{
	struct world world;
	struct told told;
	uint64_t changes, walks, freed;
	uint32_t mm;

	(void)state;
	init(&world, &told);
	mm = new_mm(&world);
	touch_all(&world, mm);
	for (unsigned i = 1; i < TASKS; i++)
		new_fork(&world, mm);
	vm_age(world.thread, PAGES);
	changes = told.weight[VM_CALL_CHANGE];
	walks = told.weight[VM_CALL_WALK];
	freed = vm_reclaim(world.thread, PAGES / 2);
	expect(freed == PAGES / 2);
	expect(told.weight[VM_CALL_CHANGE] - changes + DISTANCE_MAX > TASKS * freed);
	expect(told.weight[VM_CALL_WALK] - walks + DISTANCE_MAX > 3 * freed);
	expect(told.times[VM_CALL_WALK] < told.weight[VM_CALL_WALK]);
	world_fini(&world, true);
}

static void what_is_refused_is_made_up_for(void **state)
{
	struct world world;
	struct told told;

	(void)state;
	init(&world, &told);
	told.refuses = 20;
	touch_all(&world, new_mm(&world));
	expect(told.refuses == 0);
	expect(told.weight[VM_CALL_CHANGE] + DISTANCE_MAX > PAGES);
	world_fini(&world, true);
}

static void mappings_are_counted(void **state)
{
	struct world world;
	struct told told;
	uint32_t mm;

	(void)state;
	init(&world, &told);
	mm = new_mm(&world);
	expect(vm_mappings(world.thread) == 0);
	touch_all(&world, mm);
	new_fork(&world, mm);
	expect(vm_mappings(world.thread) == 2 * PAGES);
	world_fini(&world, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_stand_for_all),
		cmocka_unit_test(a_call_out_of_a_walk_is_one_of_its_own),
		cmocka_unit_test(what_is_refused_is_made_up_for),
		cmocka_unit_test(mappings_are_counted),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
