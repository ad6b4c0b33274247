/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - how long calls of the backend take, by a clock around a sample of them (vm_options.timed)
 *
 * Calls take nanoseconds, and a clock does, too: so of each kind one in some is timed, at random, and stands for those
 * since the one before. A backend so timed is a table of functions that call the other's. Calls that the backend's own
 * functions lead to are part of those. But a walk does not only look for ptes, it has the VM do something to each, and
 * then the clock stands still (clock_pause); a call of the backend out of that is one of its own.
 *
 * What reading the clock takes, at least, is taken off.
 */
#include "backend.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* The mean distance between two that are timed. */
static const unsigned distances[VM_CALLS] = {
	[VM_CALL_CHANGE] = 32, [VM_CALL_FILL] = 32, [VM_CALL_VMA] = 4, [VM_CALL_WALK] = 16, [VM_CALL_TRUNCATE] = 4,
};

/* @table: what vm->backend is, instead of @inner. @reading: what the clock says of nothing */
struct clock {
	struct vm_backend table;
	const struct vm_backend *inner;
	uint64_t reading;
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static const struct vm_backend *inner(const struct vm_thread *thread)
{
	return thread->vm->clock->inner;
}

/* --- one call ----------------------------------------------------------------------------------- */

static uint64_t draw_distance(struct stopwatch *watch, enum vm_call call)
{
	watch->random = watch->random * 6364136223846793005u + 1442695040888963407u;
	return 1 + (watch->random >> 33) % (2 * distances[call] - 1);
}

static void begin(struct vm_thread *thread, enum vm_call call)
{
	struct stopwatch *watch = &thread->watch;

	if (watch->depth++ > 0)
		return;
	if (watch->due[call] == 0)
		watch->due[call] = draw_distance(watch, call);
	if (++watch->calls[call] < watch->due[call])
		return;
	watch->runs = true;
	watch->ns = 0;
	watch->readings = 1;
	watch->since = now();
}

static void end(struct vm_thread *thread, enum vm_call call)
{
	struct stopwatch *watch = &thread->watch;
	const struct vm *vm = thread->vm;
	uint64_t off, weight;

	if (--watch->depth > 0 || !watch->runs)
		return;
	watch->runs = false;
	watch->ns += now() - watch->since;
	off = watch->readings * vm->clock->reading;
	weight = watch->calls[call];
	if (vm->options.timed(vm->options.timed_arg, call, weight, watch->ns > off ? watch->ns - off : 0)) {
		watch->calls[call] = 0;
		watch->due[call] = draw_distance(watch, call);
	} else {
		watch->due[call] = weight + draw_distance(watch, call);
	}
}

struct stopwatch_pause clock_pause(struct vm_thread *thread)
{
	struct stopwatch *watch = &thread->watch;
	struct stopwatch_pause pause = { .depth = watch->depth };

	if (watch->runs) {
		pause.runs = true;
		pause.ns = watch->ns + (now() - watch->since);
		pause.readings = watch->readings;
	}
	watch->depth = 0;
	watch->runs = false;
	return pause;
}

void clock_resume(struct vm_thread *thread, const struct stopwatch_pause *pause)
{
	struct stopwatch *watch = &thread->watch;

	watch->depth = pause->depth;
	watch->runs = pause->runs;
	if (!pause->runs)
		return;
	watch->ns = pause->ns;
	watch->readings = pause->readings + 1;
	watch->since = now();
}

/* --- the backend's functions -------------------------------------------------------------------- */

#define TIMED(thread, call, what)                                                                                      \
	do {                                                                                                           \
		begin(thread, call);                                                                                   \
		what;                                                                                                  \
		end(thread, call);                                                                                     \
	} while (0)

static int timed_mm_begin(struct vm_thread *thread, struct mm *mm)
{
	int error;

	TIMED(thread, VM_CALL_VMA, error = inner(thread)->mm_begin(thread, mm));
	return error;
}

static void timed_mm_end(struct vm_thread *thread, struct mm *mm)
{
	TIMED(thread, VM_CALL_VMA, inner(thread)->mm_end(thread, mm));
}

static int timed_prepare(struct vm_thread *thread, struct vma *vma, struct page *page)
{
	int error;

	TIMED(thread, VM_CALL_FILL, error = inner(thread)->prepare(thread, vma, page));
	return error;
}

static int timed_nonlinear(struct vm_thread *thread, struct page *page)
{
	int error;

	TIMED(thread, VM_CALL_FILL, error = inner(thread)->nonlinear(thread, page));
	return error;
}

static int timed_fill(struct vm_thread *thread, unsigned adds)
{
	int error;

	TIMED(thread, VM_CALL_FILL, error = inner(thread)->fill(thread, adds));
	return error;
}

static void timed_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	TIMED(thread, VM_CALL_CHANGE, inner(thread)->add(thread, page, leaf, vpn, pte));
}

static void timed_duplicate(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	TIMED(thread, VM_CALL_CHANGE, inner(thread)->duplicate(thread, page, leaf, vpn, pte));
}

static void timed_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			 uint64_t vpn, uint64_t pte)
{
	TIMED(thread, VM_CALL_CHANGE, inner(thread)->remove(thread, page, mm, leaf, vpn, pte));
}

static void timed_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to)
{
	TIMED(thread, VM_CALL_CHANGE, inner(thread)->move(thread, page, from, to));
}

static uint32_t timed_mapcount(struct vm_thread *thread, const struct page *page)
{
	uint32_t mapcount;

	TIMED(thread, VM_CALL_CHANGE, mapcount = inner(thread)->mapcount(thread, page));
	return mapcount;
}

static void timed_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	TIMED(thread, VM_CALL_WALK, inner(thread)->walk(thread, page, walk));
}

static int timed_unmap(struct pass *pass, struct page *page, struct rmap_unmap_report *report)
{
	int result;

	TIMED(pass->thread, VM_CALL_WALK, result = inner(pass->thread)->unmap(pass, page, report));
	return result;
}

static int timed_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
{
	int result;

	TIMED(pass->thread, VM_CALL_TRUNCATE, result = inner(pass->thread)->truncate(pass, cut, report));
	return result;
}

static int timed_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	int error;

	TIMED(thread, VM_CALL_VMA, error = inner(thread)->attach(thread, vma, like));
	return error;
}

static void timed_detach(struct vm_thread *thread, struct vma *vma)
{
	TIMED(thread, VM_CALL_VMA, inner(thread)->detach(thread, vma));
}

static int timed_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	int error;

	TIMED(thread, VM_CALL_VMA, error = inner(thread)->split(thread, vma, high));
	return error;
}

static int timed_resize(struct vm_thread *thread, struct vma *vma, uint64_t end_vpn)
{
	int error;

	TIMED(thread, VM_CALL_VMA, error = inner(thread)->resize(thread, vma, end_vpn));
	return error;
}

static int timed_tag(struct vm_thread *thread, struct vma *vma)
{
	int error;

	TIMED(thread, VM_CALL_VMA, error = inner(thread)->tag(thread, vma));
	return error;
}

/* --- the clock of a VM -------------------------------------------------------------------------- */

#define READINGS 1000u

static uint64_t measure_reading(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < READINGS; i++) {
		uint64_t since = now(), ns = now() - since;

		least = ns < least ? ns : least;
	}
	return least;
}

int clock_begin(struct vm *vm)
{
	struct clock *clock;
	struct vm_backend *table;

	if (!vm->options.timed)
		return 0;
	clock = calloc(1, sizeof(*clock));
	if (!clock)
		return -ENOMEM;
	*clock = (struct clock){ .table = *vm->backend, .inner = vm->backend, .reading = measure_reading() };
	table = &clock->table;
	table->fill = timed_fill;
	table->add = timed_add;
	table->remove = timed_remove;
	table->move = timed_move;
	table->mapcount = timed_mapcount;
	table->walk = timed_walk;
	table->unmap = timed_unmap;
	table->truncate = timed_truncate;
	table->attach = timed_attach;
	table->detach = timed_detach;
	table->split = timed_split;
	table->resize = timed_resize;
	/* What the backend does not have stays so. */
	table->mm_begin = table->mm_begin ? timed_mm_begin : NULL;
	table->mm_end = table->mm_end ? timed_mm_end : NULL;
	table->prepare = table->prepare ? timed_prepare : NULL;
	table->nonlinear = table->nonlinear ? timed_nonlinear : NULL;
	table->duplicate = table->duplicate ? timed_duplicate : NULL;
	table->tag = table->tag ? timed_tag : NULL;
	vm->clock = clock;
	vm->backend = table;
	return 0;
}

void clock_end(struct vm *vm)
{
	free(vm->clock);
}
