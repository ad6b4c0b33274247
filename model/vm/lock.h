/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * lock.h - the locks of the VM: classes, their order, and the checker of that order
 *
 * A VM deadlocks when two paths take two locks in opposite orders, and it does so rarely. So every lock here belongs to
 * a named class, an order gives each class a rank, and each acquisition is checked against what its thread holds: the
 * first wrong one is reported, with the places of all locks held, whether or not anyone waits at that moment.
 *
 *      class    protects                                   kind of lock
 *      MM       vmas of one mm                             sleeps; shared by faults
 *      FILE     changes of a file's size and holes         sleeps
 *      PAGE     a page against unmap, truncate, migration  spins
 *      OBJECT   a file's page cache, its size, its disk    spins
 *      VMAS     what finds vmas (backends)                 sleeps; shared by walks, or tried by them
 *      ANON     what finds vmas of anonymous pages         sleeps; likewise
 *      PTE      the entries of one leaf table              spins
 *      CHAIN    a page's reverse map (the order of 2003)   spins
 *      FAMILY   the mms of a fork family (backends)        spins
 *      SWAP     swap slots                                 spins
 *      LRU      the lists of pages                         spins
 *      FRAME    free frames                                spins
 *      TLB      translations of one thread                 spins
 *      STORE    free blocks of a backend's memory          spins
 *
 * A try is exempt from the order, because it does not wait; but taking a lock that the thread has is wrong either way.
 * Two locks of one class are taken together by vm_lock_two(), in the order of their addresses.
 *
 * Spinning locks are Concurrency Kit's, and unfair: FIFO locks starve when threads outnumber CPUs. Its assembly is
 * invisible to ThreadSanitizer, which is told about each lock, so that its own deadlock detector works, too.
 *
 * With VM_LOCK_CHECK=0 the checker is not compiled, and a lock is what it wraps.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ck_spinlock.h>

#ifndef VM_LOCK_CHECK
#define VM_LOCK_CHECK 1
#endif

enum vm_class {
	VM_CLASS_MM,
	VM_CLASS_FILE,
	VM_CLASS_PAGE,
	VM_CLASS_OBJECT,
	VM_CLASS_VMAS,
	VM_CLASS_ANON,
	VM_CLASS_PTE,
	VM_CLASS_CHAIN,
	VM_CLASS_FAMILY,
	VM_CLASS_SWAP,
	VM_CLASS_LRU,
	VM_CLASS_FRAME,
	VM_CLASS_TLB,
	VM_CLASS_STORE,
	VM_CLASSES,
};

/**
 * struct vm_order - one order of locks
 * @rank: each lock waited for ranks above all that are held; 0: this order has no such class
 */
struct vm_order {
	const char *name;
	uint8_t rank[VM_CLASSES];
};

/**
 * Today's order, mm > file > page > object > vmas > pte > lru; and that of 2003, which has chain locks below pte locks.
 */
extern const struct vm_order vm_order_today;
extern const struct vm_order vm_order_2003;

/**
 * struct vm_checker - what all threads of one VM are checked against
 * @report_only: print and count violations; otherwise the first one aborts
 */
struct vm_checker {
	const struct vm_order *order;
	bool report_only;
	_Atomic uint64_t violations;
};

/** How many locks a thread can hold at once: a collapse has those of 16 pages, and what unmapping one takes. */
#define VM_HELD_MAX 24u

/** struct vm_held - the locks that one thread holds, in the order in which it took them: [0, n). Its own only */
struct vm_held {
	struct vm_checker *checker;
	unsigned n;
	struct vm_held_lock {
		const void *lock;
		enum vm_class class;
		const char *file;
		int line;
	} locks[VM_HELD_MAX];
};

struct vm_lock {
	ck_spinlock_fas_t spin;
	enum vm_class class;
};

struct vm_sleeping_lock {
	pthread_rwlock_t lock;
	enum vm_class class;
};

void vm_lock_init(struct vm_lock *lock, enum vm_class class);
void vm_lock_fini(struct vm_lock *lock);
void vm_sleeping_init(struct vm_sleeping_lock *lock, enum vm_class class);
void vm_sleeping_fini(struct vm_sleeping_lock *lock);

/**
 * vm_lock     - wait for @lock
 * vm_trylock  - take @lock if it is free. Return: whether it was
 * vm_unlock   - let it go
 * vm_lock_two, vm_unlock_two - two locks of one class, or one that is given twice
 * vm_lock_shared, vm_lock_exclusive, vm_unlock_sleeping - wait for a sleeping lock, shared or exclusive; let it go
 * vm_try_shared, vm_try_exclusive - take one if that needs no wait. Return: whether that was so
 * Context:  any thread, with its own @held
 */
#define vm_lock(held, lock) vm_lock_at(held, lock, __FILE__, __LINE__)
#define vm_trylock(held, lock) vm_trylock_at(held, lock, __FILE__, __LINE__)
#define vm_lock_two(held, one, two) vm_lock_two_at(held, one, two, __FILE__, __LINE__)
#define vm_lock_shared(held, lock) vm_sleeping_at(held, lock, false, __FILE__, __LINE__)
#define vm_lock_exclusive(held, lock) vm_sleeping_at(held, lock, true, __FILE__, __LINE__)
#define vm_try_shared(held, lock) vm_try_sleeping_at(held, lock, false, __FILE__, __LINE__)
#define vm_try_exclusive(held, lock) vm_try_sleeping_at(held, lock, true, __FILE__, __LINE__)

void vm_lock_at(struct vm_held *held, struct vm_lock *lock, const char *file, int line);
bool vm_trylock_at(struct vm_held *held, struct vm_lock *lock, const char *file, int line);
void vm_unlock(struct vm_held *held, struct vm_lock *lock);
void vm_lock_two_at(struct vm_held *held, struct vm_lock *one, struct vm_lock *two, const char *file, int line);
void vm_unlock_two(struct vm_held *held, struct vm_lock *one, struct vm_lock *two);
void vm_sleeping_at(struct vm_held *held, struct vm_sleeping_lock *lock, bool exclusive, const char *file, int line);
bool vm_try_sleeping_at(struct vm_held *held, struct vm_sleeping_lock *lock, bool exclusive, const char *file,
			int line);
void vm_unlock_sleeping(struct vm_held *held, struct vm_sleeping_lock *lock);

/** vm_holds - does the thread hold @lock? True if the checker is not compiled */
bool vm_holds(const struct vm_held *held, const void *lock);
/** vm_holds_nothing - does the thread hold no lock at all? True if the checker is not compiled */
bool vm_holds_nothing(const struct vm_held *held);

#endif
