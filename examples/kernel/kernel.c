/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.c - a small kernel whose pages know who maps them; boots under qemu-system-riscv64, machine virt, three harts
 *
 * Tasks run in user memory, fork, write to what they share with their children and look whether it is still what it
 * should be, and exit. The kernel runs in machine mode, without translation, interrupts off. It copies on write, and a
 * page is free when rmap_page_remove() says RMAP_LAST. At ticks hart 0 moves a page that tasks map to another frame,
 * finding its ptes by a walk, and stops the others now and then to compare all page tables with the mapcounts and walks
 * of all pages. When the last task has exited, every frame must be free. The verdict is qemu's exit status; see
 * Makefile.
 *
 * A handle is a pte's address. A walk may name a page table until a grace period after its last pte was removed; only
 * then is it free.
 *
 * machine.c has what a kernel brings the library, locks, RCU and memory; user.c what tasks do.
 *
 * Locks. A space's is for its ptes, a parent's is taken before a child's; under them those of frames, of deferred work
 * and of the library's memory. None is held by who waits for a grace period.
 */
#include "kernel.h"

#include <rmap/walk.h>

#define FRAMES 2048u
#define TASKS 24u
#define PTES 512u

#define PTE_V 1u
#define PTE_R 2u
#define PTE_W 4u
#define PTE_X 8u
#define PTE_U 16u
#define PTE_A 64u
#define PTE_D 128u
#define PTE_SHARED 256u    /* to be copied before it is written to */
#define PTE_MIGRATING 512u /* with V off: a fault tries again */

#define TICK 10000u /* of 10 MHz */
#define TIMECMP(hart) ((volatile uint64_t *)(0x02004000ul + 8 * (hart)))
#define TIME (*(volatile uint64_t *)0x0200bff8ul)
#define LOSE_REMOVES (*(volatile uint64_t *)0x83fffff8ul) /* set by a test that wants to see it noticed */

enum { SP = 2, A0 = 10, A7 = 17, PC = 32, REGISTERS };

struct frame {
	struct rmap_page page;
	bool used;
	struct space *space; /* whose page table it holds */
	struct frame *next;
};

struct space {
	struct env_mutex lock;
	uint64_t *tables[3]; /* root, middle, ptes */
};

struct task {
	uint64_t registers[REGISTERS];
	enum { FREE, READY, RUNNING } state;
	struct space space;
};

extern char user_begin[], user_end[], memory_begin[], stacks[];
extern void leave(uint64_t *registers) __attribute__((noreturn));

static struct task tasks[TASKS];
static struct frame frames[FRAMES];
static struct frame *free_frames;
static struct env_mutex frames_lock, tasks_lock;
static struct rmap *map;
static char *memory;
static uint64_t ready, stopping, exits, moved, checks;

/* Frames ----------------------------------------------------------------------------------------- */

static void *frame_memory(const struct frame *frame)
{
	return memory + (size_t)(frame - frames) * FRAME_BYTES;
}

static struct frame *frame_of(const void *address)
{
	return &frames[(size_t)((const char *)address - memory) / FRAME_BYTES];
}

static struct frame *frame_alloc(void)
{
	struct frame *frame;

	env_mutex_lock(&frames_lock);
	frame = free_frames;
	must(frame);
	free_frames = frame->next;
	frame->used = true;
	env_mutex_unlock(&frames_lock);
	memset(frame_memory(frame), 0, FRAME_BYTES);
	return frame;
}

static void frame_free(struct frame *frame)
{
	env_mutex_lock(&frames_lock);
	must(frame->used);
	frame->used = false;
	frame->space = NULL;
	frame->next = free_frames;
	free_frames = frame;
	env_mutex_unlock(&frames_lock);
}

/* Page tables ------------------------------------------------------------------------------------ */

static struct frame *pte_frame(uint64_t pte)
{
	return frame_of((void *)(pte >> 10 << 12));
}

static uint64_t make_pte(const void *address, uint64_t flags)
{
	return (uintptr_t)address >> 12 << 10 | flags | PTE_V | PTE_U | PTE_A | PTE_D;
}

static uint64_t *pte_of(struct space *space, uint64_t address)
{
	return &space->tables[2][address >> 12 & (PTES - 1)];
}

static struct rmap_mapping mapping_of(const uint64_t *pte)
{
	return rmap_chained((uintptr_t)pte);
}

/* A pte maps @frame. The reserve was filled. */
static void map_page(struct frame *frame, uint64_t *pte, uint64_t flags)
{
	rmap_read_lock(map);
	must(rmap_page_add(self()->reserve, &frame->page, mapping_of(pte)) >= 0);
	rmap_read_unlock(map);
	__atomic_store_n(pte, make_pte(frame_memory(frame), flags), __ATOMIC_RELEASE);
}

/* A pte does not map @frame any more. The last one frees it. */
static void unmap_page(struct frame *frame, const uint64_t *pte)
{
	int events;

	rmap_read_lock(map);
	events = rmap_page_remove(self()->reserve, &frame->page, mapping_of(pte));
	rmap_read_unlock(map);
	must(events >= 0);
	if (events & RMAP_LAST)
		frame_free(frame);
}

static void space_init(struct space *space)
{
	for (unsigned level = 0; level < 3; level++) {
		struct frame *frame = frame_alloc();

		space->tables[level] = frame_memory(frame);
		frame->space = space;
	}
	space->tables[0][USER_CODE >> 30] = (uintptr_t)space->tables[1] >> 12 << 10 | PTE_V;
	space->tables[1][0] = (uintptr_t)space->tables[2] >> 12 << 10 | PTE_V;
	for (char *code = user_begin; code < user_end; code += FRAME_BYTES)
		*pte_of(space, USER_CODE + (uint64_t)(code - user_begin)) = make_pte(code, PTE_R | PTE_X);
}

static bool is_user_data(const struct space *space, const uint64_t *pte)
{
	uint64_t index = (uint64_t)(pte - space->tables[2]);

	return index >= (USER_DATA >> 12 & (PTES - 1)) && index < (USER_END >> 12 & (PTES - 1));
}

/* A walk may yet name these ptes: the tables are free after a grace period, which is waited for here. */
static void space_fini(struct space *space)
{
	bool again;

	do {
		again = false;
		env_mutex_lock(&space->lock);
		for (uint64_t address = USER_DATA; address < USER_END; address += FRAME_BYTES) {
			uint64_t *pte = pte_of(space, address);

			if (*pte & PTE_V) {
				struct frame *frame = pte_frame(*pte);

				*pte = 0;
				if (LOSE_REMOVES && address == USER_DATA)
					continue;
				unmap_page(frame, pte);
			} else if (*pte & PTE_MIGRATING) {
				again = true;
			}
		}
		env_mutex_unlock(&space->lock);
		pass();
	} while (again);
	synchronize();
	for (unsigned level = 0; level < 3; level++)
		frame_free(frame_of(space->tables[level]));
}

/* 0: try again in user mode. */
static int fault(struct space *space, uint64_t address, bool writes)
{
	struct frame *fresh;
	uint64_t *pte;

	if (address < USER_DATA || address >= USER_END)
		return -1;
	must(rmap_reserve_fill(self()->reserve, 1) == 0);
	fresh = frame_alloc();
	pte = pte_of(space, address);
	env_mutex_lock(&space->lock);
	if (*pte == 0) {
		map_page(fresh, pte, PTE_R | PTE_W);
		fresh = NULL;
	} else if (writes && (*pte & PTE_V) && (*pte & PTE_SHARED)) {
		struct frame *old = pte_frame(*pte);

		memcpy(frame_memory(fresh), frame_memory(old), FRAME_BYTES);
		map_page(fresh, pte, PTE_R | PTE_W);
		unmap_page(old, pte);
		fresh = NULL;
	}
	env_mutex_unlock(&space->lock);
	if (fresh)
		frame_free(fresh);
	return 0;
}

/* Tasks ------------------------------------------------------------------------------------------ */

static struct task *task_new(void)
{
	struct task *task = NULL;

	env_mutex_lock(&tasks_lock);
	for (unsigned i = 0; i < TASKS && !task; i++)
		if (tasks[i].state == FREE)
			task = &tasks[i];
	if (task)
		task->state = RUNNING; /* by whoever makes it */
	env_mutex_unlock(&tasks_lock);
	if (task)
		space_init(&task->space);
	return task;
}

static void task_set(struct task *task, int state)
{
	env_mutex_lock(&tasks_lock);
	task->state = state;
	env_mutex_unlock(&tasks_lock);
}

/* What is on its way to another frame is waited for. */
static int64_t do_fork(struct task *parent)
{
	struct task *child = task_new();

	if (!child)
		return -1;
	must(rmap_reserve_fill(self()->reserve, USER_PAGES) == 0);
	for (uint64_t address = USER_DATA; address < USER_END; address += FRAME_BYTES) {
		uint64_t *pte = pte_of(&parent->space, address);
		uint64_t *copy = pte_of(&child->space, address);

		env_mutex_lock(&parent->space.lock);
		while (*pte & PTE_MIGRATING) {
			env_mutex_unlock(&parent->space.lock);
			pass();
			env_mutex_lock(&parent->space.lock);
		}
		if (*pte & PTE_V) {
			struct frame *frame = pte_frame(*pte);

			*pte = make_pte(frame_memory(frame), PTE_R | PTE_SHARED);
			env_mutex_lock(&child->space.lock);
			map_page(frame, copy, PTE_R | PTE_SHARED);
			env_mutex_unlock(&child->space.lock);
		}
		env_mutex_unlock(&parent->space.lock);
	}
	memcpy(child->registers, parent->registers, sizeof(child->registers));
	child->registers[A0] = 0;
	task_set(child, READY);
	return child - tasks;
}

static void do_exit(struct task *task)
{
	must(task->registers[A0] == 0); /* what it read was what it had written */
	space_fini(&task->space);
	__atomic_fetch_add(&exits, 1, __ATOMIC_ACQ_REL);
	task_set(task, FREE);
	self()->task = NULL;
}

static unsigned tasks_left(void)
{
	unsigned left = 0;

	env_mutex_lock(&tasks_lock);
	for (unsigned i = 0; i < TASKS; i++)
		left += tasks[i].state != FREE;
	env_mutex_unlock(&tasks_lock);
	return left;
}

/* Migration -------------------------------------------------------------------------------------- */

static uint64_t random(void)
{
	uint64_t *state = &self()->random;

	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

struct migration {
	struct frame *from;
	uint64_t *ptes[TASKS];
	uint64_t olds[TASKS];
	unsigned n;
};

/* In a section, so that the page table is one. */
static int take_out(void *arg, const struct rmap_visit *visit)
{
	struct migration *migration = arg;
	uint64_t *pte = (uint64_t *)visit->handle;
	struct space *space = frame_of(pte)->space;

	must(space);
	env_mutex_lock(&space->lock);
	if ((*pte & PTE_V) && pte_frame(*pte) == migration->from) {
		migration->ptes[migration->n] = pte;
		migration->olds[migration->n++] = *pte;
		__atomic_store_n(pte, PTE_MIGRATING, __ATOMIC_RELEASE);
	}
	env_mutex_unlock(&space->lock);
	return 0;
}

/* Its mappings stay counted until they are elsewhere, so the page stays. What forks meanwhile waits for the ptes. */
static void migrate(struct frame *from)
{
	const struct rmap_target target = { .page = &from->page };
	struct migration migration = { .from = from };
	struct frame *to = frame_alloc();

	must(rmap_reserve_fill(self()->reserve, TASKS) == 0);
	rmap_read_lock(map);
	(void)rmap_walk(map, &target, take_out, &migration, NULL);
	rmap_read_unlock(map);
	synchronize(); /* and nobody has a translation any more */
	memcpy(frame_memory(to), frame_memory(from), FRAME_BYTES);
	for (unsigned i = 0; i < migration.n; i++) {
		struct space *space = frame_of(migration.ptes[i])->space;

		env_mutex_lock(&space->lock);
		map_page(to, migration.ptes[i], migration.olds[i] & (PTE_R | PTE_W | PTE_SHARED));
		unmap_page(from, migration.ptes[i]);
		env_mutex_unlock(&space->lock);
	}
	moved += migration.n;
	if (migration.n == 0)
		frame_free(to);
}

/* The check -------------------------------------------------------------------------------------- */

struct found {
	const struct frame *frame;
	uint32_t n;
};

static int look_at(void *arg, const struct rmap_visit *visit)
{
	struct found *found = arg;
	const uint64_t *pte = (const uint64_t *)visit->handle;

	must(frame_of(pte)->space && is_user_data(frame_of(pte)->space, pte));
	must((*pte & PTE_V) && pte_frame(*pte) == found->frame);
	found->n++;
	return 0;
}

/* Nothing else runs. */
static void compare(void)
{
	static uint32_t counts[FRAMES];

	memset(counts, 0, sizeof(counts));
	for (unsigned i = 0; i < FRAMES; i++) {
		uint64_t *ptes = frame_memory(&frames[i]);

		if (!frames[i].used || !frames[i].space || frames[i].space->tables[2] != ptes)
			continue;
		for (unsigned place = 0; place < PTES; place++)
			if ((ptes[place] & PTE_V) && is_user_data(frames[i].space, &ptes[place]))
				counts[pte_frame(ptes[place]) - frames]++;
	}
	rmap_read_lock(map);
	for (unsigned i = 0; i < FRAMES; i++) {
		const struct rmap_target target = { .page = &frames[i].page };
		struct found found = { .frame = &frames[i] };

		must(rmap_page_mapcount(map, &frames[i].page) == counts[i]);
		must(counts[i] == 0 || frames[i].used);
		must(rmap_walk(map, &target, look_at, &found, NULL) == 0);
		must(found.n == counts[i]);
	}
	rmap_read_unlock(map);
	checks++;
}

static void stop_and_compare(void)
{
	__atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < HARTS; i++)
		while (!__atomic_load_n(&harts[i].parked, __ATOMIC_ACQUIRE))
			pass();
	compare();
	__atomic_store_n(&stopping, 0, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < HARTS; i++)
		while (__atomic_load_n(&harts[i].parked, __ATOMIC_ACQUIRE))
			;
}

static void park(void)
{
	struct hart *hart = self();

	if (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE))
		return;
	__atomic_store_n(&hart->parked, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&stopping, __ATOMIC_ACQUIRE))
		pass();
	__atomic_store_n(&hart->parked, false, __ATOMIC_RELEASE);
}

/* All tasks have exited. */
static void finish(void)
{
	compare();
	for (unsigned i = 0; i < HARTS; i++)
		rmap_reserve_drain(harts[i].reserve);
	must(rmap_check(map) == 0);
	for (unsigned i = 0; i < HARTS; i++)
		rmap_reserve_destroy(harts[i].reserve);
	must(rmap_destroy(map) == 0);
	for (unsigned i = 0; i < FRAMES; i++)
		must(!frames[i].used);
	print_number("passed: ", exits);
	print_number(" tasks, ", moved);
	print_number(" ptes moved, ", checks);
	print(" checks of all page tables\n");
	FINISHER = 0x5555;
}

/* The kernel's ways in ---------------------------------------------------------------------------- */

static void tick(void)
{
	static unsigned ticks;

	if (self() != &harts[0])
		return;
	run_deferred();
	for (unsigned i = 0; i < 64; i++) {
		struct frame *frame = &frames[random() % FRAMES];

		if (rmap_page_mapcount(map, &frame->page)) {
			migrate(frame);
			break;
		}
	}
	if (++ticks % 8 == 0)
		stop_and_compare();
}

static uint64_t *schedule(void)
{
	struct hart *hart = self();

	if (hart->task)
		task_set(hart->task, READY);
	hart->task = NULL;
	for (;;) {
		unsigned from = (unsigned)(random() % TASKS);

		env_mutex_lock(&tasks_lock);
		for (unsigned i = 0; i < TASKS && !hart->task; i++)
			if (tasks[(from + i) % TASKS].state == READY)
				hart->task = &tasks[(from + i) % TASKS];
		if (hart->task)
			hart->task->state = RUNNING;
		env_mutex_unlock(&tasks_lock);
		if (hart->task)
			break;
		pass();
		park();
		if (hart == &harts[0]) {
			tick();
			if (tasks_left() == 0)
				finish();
		}
	}
	hart->task->registers[0] = (uintptr_t)stacks + ((uint64_t)(hart - harts + 1) << 14);
	csr_write(satp, 8ul << 60 | (uintptr_t)hart->task->space.tables[0] >> 12);
	return hart->task->registers;
}

uint64_t *trap(uint64_t *registers);
uint64_t *trap(uint64_t *registers)
{
	uint64_t cause = csr_read(mcause);
	struct task *task = self()->task;

	pass();
	park();
	if (cause >> 63) {
		*TIMECMP(csr_read(mhartid)) = TIME + TICK;
		tick();
		return schedule();
	}
	if (cause == 8 && registers[A7] == CALL_FORK) {
		registers[PC] += 4;
		registers[A0] = (uint64_t)do_fork(task);
	} else if (cause == 8) {
		do_exit(task);
		return schedule();
	} else {
		if ((cause != 13 && cause != 15) || fault(&task->space, csr_read(mtval), cause == 15) != 0) {
			print_number("cause ", cause);
			print_number(" address ", csr_read(mtval));
			print_number(" at ", registers[PC]);
			panic(" a task's fault");
		}
	}
	return registers;
}

/* Boot -------------------------------------------------------------------------------------------- */

static void boot(void)
{
	struct rmap_tier tier = { tier_alloc, tier_free, NULL, 4096 };
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	memory = memory_begin;
	heap_init(memory + FRAMES * FRAME_BYTES, 8u << 20);
	for (unsigned i = FRAMES; i-- > 0;) {
		frames[i].next = free_frames;
		free_frames = &frames[i];
	}
	options.rcu = &rcu;
	options.tier = options.metadata = &tier;
	options.waiting_max = 64 << 10;
	must(rmap_create(&options, &map) == 0);
	for (unsigned i = 0; i < HARTS; i++)
		must(rmap_reserve_create(map, &harts[i].reserve) == 0);
	for (unsigned i = 0; i < 3; i++) {
		struct task *task = task_new();

		task->registers[PC] = USER_CODE + (uint64_t)((char *)user_main - user_begin);
		task->registers[SP] = USER_END;
		task->registers[A0] = 88172645463325252ul * (i + 1);
		task_set(task, READY);
	}
	__atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
}

void hart_main(void);
void hart_main(void)
{
	unsigned hart = (unsigned)csr_read(mhartid);

	csr_write(pmpaddr0, ~0ul);
	csr_write(pmpcfg0, 0x1f);
	csr_write(mstatus, 1u << 7); /* user mode next, interrupts on there */
	harts[hart].random = 88172645463325252ul + hart;
	if (hart == 0)
		boot();
	while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		;
	*TIMECMP(hart) = TIME + TICK;
	csr_write(mie, 1u << 7);
	leave(schedule());
}
