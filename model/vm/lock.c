/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.c - spinning and sleeping locks, checked before they are waited for
 *
 * The check comes before the wait, so an inversion is reported even by the thread that is about to deadlock.
 */
#include "lock.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <ck_backoff.h>
#include <ck_pr.h>

#if defined(__SANITIZE_THREAD__)
#define VM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VM_TSAN 1
#endif
#endif

#ifdef VM_TSAN
#include <sanitizer/tsan_interface.h>
#else
#define __tsan_mutex_create(lock, flags) ((void)0)
#define __tsan_mutex_destroy(lock, flags) ((void)0)
#define __tsan_mutex_pre_lock(lock, flags) ((void)0)
#define __tsan_mutex_post_lock(lock, flags, recursion) ((void)0)
#define __tsan_mutex_pre_unlock(lock, flags) ((void)0)
#define __tsan_mutex_post_unlock(lock, flags) ((void)0)
#define __tsan_mutex_try_lock 0u
#define __tsan_mutex_try_lock_failed 0u
#endif

const struct vm_order vm_order_today = {
	.name = "today",
	.rank = {
		[VM_CLASS_MM] = 1,
		[VM_CLASS_FILE] = 2,
		[VM_CLASS_PAGE] = 3,
		[VM_CLASS_OBJECT] = 4,
		[VM_CLASS_VMAS] = 5,
		[VM_CLASS_ANON] = 6,
		[VM_CLASS_PTE] = 7,
		[VM_CLASS_SWAP] = 10,
		[VM_CLASS_LRU] = 11,
		[VM_CLASS_FRAME] = 12,
		[VM_CLASS_TLB] = 13,
		[VM_CLASS_STORE] = 14,
	},
};

const struct vm_order vm_order_2003 = {
	.name = "2003",
	.rank = {
		[VM_CLASS_MM] = 1,
		[VM_CLASS_FILE] = 2,
		[VM_CLASS_PAGE] = 3,
		[VM_CLASS_OBJECT] = 4,
		[VM_CLASS_VMAS] = 5,
		[VM_CLASS_PTE] = 7,
		[VM_CLASS_CHAIN] = 8,
		[VM_CLASS_FAMILY] = 9,
		[VM_CLASS_SWAP] = 10,
		[VM_CLASS_LRU] = 11,
		[VM_CLASS_FRAME] = 12,
		[VM_CLASS_TLB] = 13,
		[VM_CLASS_STORE] = 14,
	},
};

/* --- the checker ------------------------------------------------------------------------------ */

#if VM_LOCK_CHECK
static const char *const class_names[VM_CLASSES] = {
	[VM_CLASS_MM] = "mm",         [VM_CLASS_FILE] = "file",     [VM_CLASS_PAGE] = "page",
	[VM_CLASS_OBJECT] = "object", [VM_CLASS_VMAS] = "vmas",     [VM_CLASS_PTE] = "pte",
	[VM_CLASS_CHAIN] = "chain",   [VM_CLASS_FAMILY] = "family", [VM_CLASS_SWAP] = "swap",
	[VM_CLASS_LRU] = "lru",       [VM_CLASS_FRAME] = "frame",   [VM_CLASS_TLB] = "tlb",
	[VM_CLASS_STORE] = "store",   [VM_CLASS_ANON] = "anon",
};

static void violation(struct vm_held *held, const struct vm_held_lock *wanted, const char *what)
{
	flockfile(stderr);
	fprintf(stderr, "vm: lock order %s: %s: wants %s %p at %s:%d\n", held->checker->order->name, what,
		class_names[wanted->class], wanted->lock, wanted->file, wanted->line);
	for (unsigned i = held->n; i-- > 0;)
		fprintf(stderr, "vm:     holds %s %p, taken at %s:%d\n", class_names[held->locks[i].class],
			held->locks[i].lock, held->locks[i].file, held->locks[i].line);
	funlockfile(stderr);
	atomic_fetch_add(&held->checker->violations, 1);
	if (!held->checker->report_only)
		abort();
}

/* @waits: a try does not. @second: the second of two, and the first is the last that was taken. */
static void check_acquire(struct vm_held *held, const struct vm_held_lock *wanted, bool waits, bool second)
{
	const uint8_t *rank = held->checker->order->rank;

	if (rank[wanted->class] == 0)
		violation(held, wanted, "no such class");
	for (unsigned i = 0; i < held->n; i++) {
		const struct vm_held_lock *one = &held->locks[i];

		if (one->lock == wanted->lock)
			violation(held, wanted, "taken already");
		else if (waits && second && i == held->n - 1 && one->class == wanted->class)
			continue;
		else if (waits && rank[one->class] >= rank[wanted->class])
			violation(held, wanted, "inversion");
	}
}

static void note_acquired(struct vm_held *held, const struct vm_held_lock *lock)
{
	if (held->n == VM_HELD_MAX) {
		fprintf(stderr, "vm: a thread holds more than %u locks\n", VM_HELD_MAX);
		abort();
	}
	held->locks[held->n++] = *lock;
}

static void note_released(struct vm_held *held, const void *lock)
{
	unsigned i = held->n;

	while (i > 0 && held->locks[i - 1].lock != lock)
		i--;
	if (i == 0) {
		fprintf(stderr, "vm: a thread lets a lock go that it does not hold\n");
		abort();
	}
	for (held->n--; i <= held->n; i++)
		held->locks[i - 1] = held->locks[i];
}

bool vm_holds(const struct vm_held *held, const void *lock)
{
	for (unsigned i = 0; i < held->n; i++)
		if (held->locks[i].lock == lock)
			return true;
	return false;
}

bool vm_holds_nothing(const struct vm_held *held)
{
	return held->n == 0;
}
#else
static inline void check_acquire(struct vm_held *held, const struct vm_held_lock *wanted, bool waits, bool second)
{
	(void)held, (void)wanted, (void)waits, (void)second;
}

static inline void note_acquired(struct vm_held *held, const struct vm_held_lock *lock)
{
	(void)held, (void)lock;
}

static inline void note_released(struct vm_held *held, const void *lock)
{
	(void)held, (void)lock;
}

bool vm_holds(const struct vm_held *held, const void *lock)
{
	(void)held, (void)lock;
	return true;
}

bool vm_holds_nothing(const struct vm_held *held)
{
	(void)held;
	return true;
}
#endif

/* --- spinning locks --------------------------------------------------------------------------- */

/* How long a waiter spins between two looks before it gives the CPU away: the holder may be waiting for it. */
#define SPIN_MAX (1u << 12)

void vm_lock_init(struct vm_lock *lock, enum vm_class class)
{
	ck_spinlock_fas_init(&lock->spin);
	lock->class = class;
	__tsan_mutex_create(lock, 0);
}

void vm_lock_fini(struct vm_lock *lock)
{
	__tsan_mutex_destroy(lock, 0);
	(void)lock;
}

static void lock_checked(struct vm_held *held, struct vm_lock *lock, const char *file, int line, bool second)
{
	const struct vm_held_lock wanted = { lock, lock->class, file, line };
	ck_backoff_t backoff = CK_BACKOFF_INITIALIZER;

	check_acquire(held, &wanted, true, second);
	__tsan_mutex_pre_lock(lock, 0);
	while (!ck_spinlock_fas_trylock(&lock->spin)) {
		if (backoff < SPIN_MAX)
			ck_backoff_eb(&backoff);
		else
			sched_yield();
	}
	__tsan_mutex_post_lock(lock, 0, 0);
	note_acquired(held, &wanted);
}

void vm_lock_at(struct vm_held *held, struct vm_lock *lock, const char *file, int line)
{
	lock_checked(held, lock, file, line, false);
}

bool vm_trylock_at(struct vm_held *held, struct vm_lock *lock, const char *file, int line)
{
	const struct vm_held_lock wanted = { lock, lock->class, file, line };
	bool taken;

	check_acquire(held, &wanted, false, false);
	__tsan_mutex_pre_lock(lock, __tsan_mutex_try_lock);
	taken = ck_spinlock_fas_trylock(&lock->spin);
	__tsan_mutex_post_lock(lock, __tsan_mutex_try_lock | (taken ? 0u : __tsan_mutex_try_lock_failed), 0);
	if (taken)
		note_acquired(held, &wanted);
	return taken;
}

void vm_unlock(struct vm_held *held, struct vm_lock *lock)
{
	note_released(held, lock);
	__tsan_mutex_pre_unlock(lock, 0);
	ck_spinlock_fas_unlock(&lock->spin);
	__tsan_mutex_post_unlock(lock, 0);
}

void vm_lock_two_at(struct vm_held *held, struct vm_lock *one, struct vm_lock *two, const char *file, int line)
{
	struct vm_lock *first = (uintptr_t)one < (uintptr_t)two ? one : two;

	lock_checked(held, first, file, line, false);
	if (one != two)
		lock_checked(held, first == one ? two : one, file, line, true);
}

void vm_unlock_two(struct vm_held *held, struct vm_lock *one, struct vm_lock *two)
{
	vm_unlock(held, one);
	if (one != two)
		vm_unlock(held, two);
}

/* --- sleeping locks --------------------------------------------------------------------------- */

void vm_sleeping_init(struct vm_sleeping_lock *lock, enum vm_class class)
{
	if (pthread_rwlock_init(&lock->lock, NULL))
		abort();
	lock->class = class;
}

void vm_sleeping_fini(struct vm_sleeping_lock *lock)
{
	pthread_rwlock_destroy(&lock->lock);
}

void vm_sleeping_at(struct vm_held *held, struct vm_sleeping_lock *lock, bool exclusive, const char *file, int line)
{
	const struct vm_held_lock wanted = { lock, lock->class, file, line };

	check_acquire(held, &wanted, true, false);
	if (exclusive ? pthread_rwlock_wrlock(&lock->lock) : pthread_rwlock_rdlock(&lock->lock))
		abort();
	note_acquired(held, &wanted);
}

bool vm_try_sleeping_at(struct vm_held *held, struct vm_sleeping_lock *lock, bool exclusive, const char *file, int line)
{
	const struct vm_held_lock wanted = { lock, lock->class, file, line };

	check_acquire(held, &wanted, false, false);
	if (exclusive ? pthread_rwlock_trywrlock(&lock->lock) : pthread_rwlock_tryrdlock(&lock->lock))
		return false;
	note_acquired(held, &wanted);
	return true;
}

void vm_unlock_sleeping(struct vm_held *held, struct vm_sleeping_lock *lock)
{
	note_released(held, lock);
	pthread_rwlock_unlock(&lock->lock);
}
