/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * processes.c - a process that embeds the library forks, and gets signals: in every flavor, both reclaim modes, and
 * with memory of every tier
 */
#include "flavors.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ALARM_SECONDS 60

/* Fork -------------------------------------------------------------------------------------- */

enum kind { HEAP, HUGE, NODE, A_FILE, KINDS };
static const char *const kind_names[] = { "the heap", "huge pages", "a node", "a file" };

/*
 * struct household - what a process has before it forks, and both have after it. @stays: the child has no such memory
 */
struct household {
	const struct flavor *flavor;
	enum rmap_reclaim reclaim;
	enum kind kind;
	bool stays;
	struct rmap_tier tier;
	struct rmap *map;
	struct rmap_reserve *reserve;
	struct rmap_object *object;
	struct rmap_page page;
};

/* 0, or -ENOTSUP. */
static int make_tier(struct household *household)
{
	void *huge;
	int fd;
	int rc;

	switch (household->kind) {
	case HEAP:
		return rmap_tier_heap(&household->tier);
	case HUGE:
		huge = mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		household->stays = huge != MAP_FAILED;
		if (household->stays)
			munmap(huge, 2 << 20);
		return rmap_tier_huge(&household->tier);
	case NODE:
		return rmap_tier_node(&household->tier, 0);
	default:
		household->stays = true;
		fd = memfd_create("chains", MFD_CLOEXEC);
		expect(fd >= 0);
		rc = rmap_tier_file(&household->tier, fd);
		close(fd);
		return rc;
	}
}

static void add_some(struct household *household, unsigned from, unsigned to)
{
	expect(rmap_reserve_fill(household->reserve, to - from) == 0);
	rmap_read_lock(household->map);
	for (unsigned i = from; i < to; i++)
		expect(rmap_page_add(household->reserve, &household->page, mapping_of(RMAP_CHAINED, i)) >= 0);
	rmap_read_unlock(household->map);
}

static void remove_some(struct household *household, unsigned from, unsigned to)
{
	rmap_read_lock(household->map);
	for (unsigned i = from; i < to; i++)
		expect(rmap_page_remove(household->reserve, &household->page, mapping_of(RMAP_CHAINED, i)) >= 0);
	rmap_read_unlock(household->map);
}

static const struct rmap_range range = { .first = 0, .last = 9, .address = 1 << 20, .page_shift = 12 };

/* Mappings, a range, and retired memory of both that waits. False: there is no such tier here. */
static bool set_up(struct household *household)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_range other = range;
	int rc = make_tier(household);

	expect(rc == 0 || (rc == -ENOTSUP && household->kind != HEAP));
	if (rc != 0)
		return false;
	options.rcu = household->flavor->rcu;
	options.reclaim = household->reclaim;
	options.tier = &household->tier;
	expect(rmap_create(&options, &household->map) == 0);
	rmap_thread_register(household->map);
	expect(rmap_reserve_create(household->map, &household->reserve) == 0);
	expect(rmap_object_create(household->map, &household->object) == 0);
	expect(rmap_object_attach(household->object, &range) == 0);
	other.owner = 1;
	expect(rmap_object_attach(household->object, &other) == 0);
	expect(rmap_object_detach(household->object, &other) == 0);
	for (unsigned i = 0; i < 100; i++) {
		add_some(household, 0, 10);
		if (i < 99)
			remove_some(household, 0, 10);
	}
	if (household->stays)
		rmap_reserve_drain(household->reserve); /* as rmap.h asks */
	rmap_thread_unregister(household->map);
	return true;
}

/* Everything once more, and the end, at which all memory must be back. */
static void use_and_end(struct household *household)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };

	rmap_thread_register(household->map);
	add_some(household, 10, 40);
	remove_some(household, 0, 40);
	rmap_reserve_drain(household->reserve);
	expect(rmap_stats(household->map, &stats) == 0);
	expect(stats.waiting_bytes == 0 && stats.chain_bytes == 0);
	expect(rmap_object_detach(household->object, &range) == 0);
	rmap_object_destroy(household->object);
	rmap_reserve_destroy(household->reserve);
	rmap_thread_unregister(household->map);
	expect(rmap_destroy(household->map) == 0);
	rmap_tier_fini(&household->tier);
}

static void look_at(void *arg)
{
	signal(SIGSEGV, SIG_DFL); /* not cmocka's */
	(void)*(volatile char *)arg;
}

/* Is memory left out of children when it is asked for? qemu-user says so and does not do it. */
static bool is_left_out_at_all(void)
{
	char *page = mmap(NULL, 1, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool out;

	expect(page != MAP_FAILED);
	expect(madvise(page, 1, MADV_DONTFORK) == 0);
	out = in_child(look_at, page) != 0;
	munmap(page, 1);
	return out;
}

static void look_at_the_chain(void *arg)
{
	struct household *household = arg;

	signal(SIGSEGV, SIG_DFL);
	rmap_page_counts(household->map, &household->page);
}

/*
 * Memory that stayed with the parent: it is not there to be looked at, the calls say so, and the parent has it still.
 */
static void be_refused(struct household *household)
{
	expect(!is_left_out_at_all() || in_child(look_at_the_chain, household) != 0);
	rmap_thread_register(household->map);
	expect(household->tier.alloc(household->tier.arg, household->tier.granule, 64) == NULL);
	expect(rmap_reserve_fill(household->reserve, 1) == -ENOTSUP);
	rmap_thread_unregister(household->map);
	expect(rmap_destroy(household->map) == -ENOTSUP);
	rmap_tier_fini(&household->tier);
}

static int go_on_in_child(struct household *household)
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	rmap_before_fork(household->map);
	child = fork();
	expect(child >= 0);
	if (child == 0) {
		alarm(ALARM_SECONDS);
		rmap_after_fork_child(household->map);
		(household->stays ? be_refused : use_and_end)(household);
		_exit(0);
	}
	rmap_after_fork_parent(household->map);
	expect(waitpid(child, &status, 0) == child);
	return status;
}

static void fork_with_each_tier(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	alarm(ALARM_SECONDS);
	for (enum kind kind = HEAP; kind < KINDS; kind++) {
		struct household household = { .flavor = flavor, .reclaim = reclaim, .kind = kind };

		if (!set_up(&household))
			continue;
		if (go_on_in_child(&household) != 0) {
			fprintf(stderr, "the child fails with memory of %s\n", kind_names[kind]);
			exit(1);
		}
		use_and_end(&household);
	}
}

static void a_fork_gives_two_maps(void **state)
{
	(void)state;
	if (TSAN)
		test_not_run("build", "ThreadSanitizer starts no threads after a fork");
	in_each_flavor(fork_with_each_tier);
}

/* The child's first call that may meet readers that are no more. */
static void *stay_registered(void *arg)
{
	struct household *household = arg;

	rmap_thread_register(household->map);
	expect(aborted(go_on_in_child(household)));
	rmap_thread_unregister(household->map);
	return NULL;
}

static void fork_beside_a_reader(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	struct household household = { .flavor = flavor, .reclaim = reclaim };
	pthread_t thread;

	alarm(ALARM_SECONDS);
	if (flavor->implicit_sections)
		return; /* it would not even come to the fork, while the helper waits for it */
	expect(set_up(&household));
	expect(pthread_create(&thread, NULL, stay_registered, &household) == 0);
	pthread_join(thread, NULL);
	use_and_end(&household);
}

static void a_fork_beside_a_reader_is_noticed(void **state)
{
	(void)state;
	if (TSAN)
		test_not_run("build", "ThreadSanitizer starts no threads after a fork");
	if (!CHECKED)
		test_not_run("build", "without checks nobody looks for this");
	in_each_flavor(fork_beside_a_reader);
}

/* Signals ----------------------------------------------------------------------------------- */

/*
 * A signal for the process that its one thread has blocked waits until it is asked for, unless there is another thread
 * that takes it, and ends the process.
 */
static void expect_signal(void)
{
	const struct timespec patience = { ALARM_SECONDS, 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	expect(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	expect(kill(getpid(), SIGUSR1) == 0);
	expect(sigtimedwait(&set, NULL, &patience) == SIGUSR1);
	expect(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
}

/* In a child liburcu starts a helper anew, with the mask of whoever calls it; and bp's calls set that of before. */
static void expect_signal_in_child(struct household *household)
{
	sigset_t all;
	sigset_t before;
	int status = 0;
	pid_t child;

	fflush(NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rmap_before_fork(household->map);
	child = fork();
	expect(child >= 0);
	if (child == 0) {
		rmap_after_fork_child(household->map);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		expect_signal();
		_exit(0);
	}
	rmap_after_fork_parent(household->map);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	expect(waitpid(child, &status, 0) == child);
	expect(status == 0);
}

static void get_a_signal(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	struct household household = { .flavor = flavor, .reclaim = reclaim };
	sigset_t before;
	sigset_t after;

	expect(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
	expect(set_up(&household));
	expect(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
	expect(sigismember(&after, SIGUSR1) == sigismember(&before, SIGUSR1));
	expect_signal();
	if (!TSAN)
		expect_signal_in_child(&household);
	use_and_end(&household);
}

static void signals_are_the_embedders(void **state)
{
	(void)state;
	in_each_flavor(get_a_signal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fork_gives_two_maps),
		cmocka_unit_test(a_fork_beside_a_reader_is_noticed),
		cmocka_unit_test(signals_are_the_embedders),
	};

	return cmocka_run_group_tests_name("processes", tests, NULL, NULL);
}
