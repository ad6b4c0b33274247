/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.c - what the kernel brings the library: functions of C, locks, RCU and memory
 *
 * RCU. A hart has left all sections that it was in when it comes into the kernel anew, or waits outside one: then it
 * counts up. So a grace period has passed when every hart has counted; and since each flushes its TLB on the way out,
 * nobody has a translation any more that was gone when it began.
 */
#include "kernel.h"

#define UART ((volatile unsigned char *)0x10000000ul)

struct hart harts[HARTS];

/* C ------------------------------------------------------------------------------------------- */

void *memset(void *to, int byte, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((unsigned char *)to)[i] = (unsigned char)byte;
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	if ((uintptr_t)to <= (uintptr_t)from)
		return memcpy(to, from, n);
	while (n-- > 0)
		((unsigned char *)to)[n] = ((const unsigned char *)from)[n];
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

void print(const char *text)
{
	while (*text)
		*UART = (unsigned char)*text++;
}

void print_number(const char *name, uint64_t value)
{
	char digits[24];
	unsigned n = sizeof(digits) - 1;

	digits[n] = 0;
	do
		digits[--n] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	print(name);
	print(digits + n);
}

void panic(const char *why)
{
	print("FAILED: ");
	print(why);
	print("\n");
	FINISHER = 1u << 16 | 0x3333;
	for (;;)
		;
}

/* Locks and RCU --------------------------------------------------------------------------------- */

void pass(void)
{
	struct hart *hart = self();

	if (hart->sections == 0)
		__atomic_fetch_add(&hart->counter, 1, __ATOMIC_ACQ_REL);
}

bool env_mutex_trylock(struct env_mutex *mutex)
{
	return __atomic_exchange_n(&mutex->taken, 1, __ATOMIC_ACQUIRE) == 0;
}

void env_mutex_lock(struct env_mutex *mutex)
{
	while (!env_mutex_trylock(mutex))
		pass();
}

void env_mutex_unlock(struct env_mutex *mutex)
{
	__atomic_store_n(&mutex->taken, 0, __ATOMIC_RELEASE);
}

void env_yield(void)
{
	pass();
}

struct moment {
	uint64_t counters[HARTS];
};

static void moment_now(struct moment *moment)
{
	for (unsigned i = 0; i < HARTS; i++)
		moment->counters[i] = __atomic_fetch_add(&harts[i].counter, 0, __ATOMIC_ACQ_REL);
}

static bool moment_has_passed(const struct moment *moment)
{
	for (unsigned i = 0; i < HARTS; i++)
		if (__atomic_load_n(&harts[i].counter, __ATOMIC_ACQUIRE) == moment->counters[i])
			return false;
	return true;
}

static void read_lock(void)
{
	self()->sections++;
}

static void read_unlock(void)
{
	self()->sections--;
}

static int read_ongoing(void)
{
	return self()->sections > 0;
}

void synchronize(void)
{
	struct moment moment;

	moment_now(&moment);
	while (!moment_has_passed(&moment))
		pass();
}

/* Deferred work: new, and what waits for the moment @since to pass; linked through its first word. */
static struct env_mutex rcu_lock;
static struct rmap_rcu_node *news, *waiting;
static struct moment since;
static uint64_t deferred, done;

static void defer(struct rmap_rcu_node *node)
{
	env_mutex_lock(&rcu_lock);
	node->words[0] = news;
	news = node;
	deferred++;
	env_mutex_unlock(&rcu_lock);
}

void run_deferred(void)
{
	struct rmap_rcu_node *list = NULL;

	env_mutex_lock(&rcu_lock);
	if (waiting && moment_has_passed(&since)) {
		list = waiting;
		waiting = NULL;
	}
	if (!waiting && news) {
		waiting = news;
		news = NULL;
		moment_now(&since);
	}
	env_mutex_unlock(&rcu_lock);
	while (list) {
		struct rmap_rcu_node *node = list;

		list = node->words[0];
		rmap_rcu_run(node);
		__atomic_fetch_add(&done, 1, __ATOMIC_ACQ_REL);
	}
}

static void barrier(void)
{
	uint64_t until = __atomic_load_n(&deferred, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < until) {
		pass();
		run_deferred();
	}
}

const struct rmap_rcu_ops rcu = {
	.size = sizeof(rcu),
	.read_lock = read_lock,
	.read_unlock = read_unlock,
	.read_ongoing = read_ongoing,
	.synchronize = synchronize,
	.defer = defer,
	.barrier = barrier,
};

/* Memory ---------------------------------------------------------------------------------------- */

/* The library's: by powers of two, which are never joined. */
static void *free_memory[24];
static struct env_mutex heap_lock;
static char *heap, *heap_end;

void heap_init(char *begin, size_t bytes)
{
	heap = begin;
	heap_end = begin + bytes;
}

static unsigned order_of(size_t bytes)
{
	unsigned order = 6;

	while ((size_t)1 << order < bytes)
		order++;
	return order;
}

void *tier_alloc(void *arg, size_t bytes, size_t align)
{
	unsigned order = order_of(bytes < align ? align : bytes);
	void *found;

	(void)arg;
	env_mutex_lock(&heap_lock);
	found = free_memory[order];
	if (found) {
		free_memory[order] = *(void **)found;
	} else {
		char *place = (char *)(((uintptr_t)heap + ((size_t)1 << order) - 1) & -((uintptr_t)1 << order));

		if (place + ((size_t)1 << order) <= heap_end) {
			heap = place + ((size_t)1 << order);
			found = place;
		}
	}
	env_mutex_unlock(&heap_lock);
	return found;
}

void tier_free(void *arg, void *place, size_t bytes)
{
	unsigned order = order_of(bytes);

	(void)arg;
	env_mutex_lock(&heap_lock);
	*(void **)place = free_memory[order];
	free_memory[order] = place;
	env_mutex_unlock(&heap_lock);
}
