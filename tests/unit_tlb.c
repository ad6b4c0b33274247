/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_tlb.c - model/vm: translations that another processor has, and what each operation owes it
 *
 * A second thread is that processor. It reads a word, and so has a translation of that pte; the test changes the pte;
 * the processor reads again. Each test runs with right flushes and with the mistakes that it is about, and expects to
 * see these: a stale access succeeds, meets a foreign word, or loses what was written.
 */
#include "world.h"

#include <errno.h>
#include <semaphore.h>

/* @go, @done: it has something to do; it has done it. @write: a tag, or 0 to read */
struct processor {
	struct vm *vm;
	pthread_t thread;
	sem_t go;
	sem_t done;
	bool ends;
	uint32_t mm;
	uint64_t vpn;
	uint32_t write;
	int result;
	uint64_t word;
};

static void *processor_main(void *arg)
{
	struct processor *processor = arg;
	struct vm_thread *thread;

	expect(vm_thread_create(processor->vm, &thread) == 0);
	while (sem_wait(&processor->go) == 0 && !processor->ends) {
		if (processor->write)
			processor->result = vm_write(thread, processor->mm, processor->vpn, 1, processor->write);
		else
			processor->result = vm_read(thread, processor->mm, processor->vpn, 1, &processor->word);
		sem_post(&processor->done);
	}
	vm_thread_destroy(thread);
	return NULL;
}

static void processor_init(struct processor *processor, struct world *world)
{
	*processor = (struct processor){ .vm = world->vm };
	sem_init(&processor->go, 0, 0);
	sem_init(&processor->done, 0, 0);
	expect(pthread_create(&processor->thread, NULL, processor_main, processor) == 0);
}

static void processor_fini(struct processor *processor)
{
	processor->ends = true;
	sem_post(&processor->go);
	expect(pthread_join(processor->thread, NULL) == 0);
	sem_destroy(&processor->go);
	sem_destroy(&processor->done);
}

static int there(struct processor *processor, uint32_t mm, uint64_t vpn, uint32_t write)
{
	processor->mm = mm;
	processor->vpn = vpn;
	processor->write = write;
	sem_post(&processor->go);
	sem_wait(&processor->done);
	return processor->result;
}

/* What the processor reads: a tag, or an error. */
static int tag_there(struct processor *processor, uint32_t mm, uint64_t vpn)
{
	int error = there(processor, mm, vpn, 0);

	return error ? error : (int)vm_word_tag(processor->word);
}

/* 8 ptes of anonymous memory at 100, of file 0 at 200; each has its vpn as its tag, and the processor translations. */
struct scene {
	struct world world;
	struct processor processor;
	uint32_t mm;
};

static void scene_init(struct scene *scene, struct vm_options options)
{
	world_init(&scene->world, options);
	processor_init(&scene->processor, &scene->world);
	scene->mm = new_mm(&scene->world);
	expect(vm_mmap(scene->world.thread, scene->mm, 100, 8, true, VM_ANONYMOUS, 0) == 0);
	expect(vm_mmap(scene->world.thread, scene->mm, 200, 8, true, 0, 0) == 0);
	for (uint64_t i = 0; i < 8; i++) {
		expect(there(&scene->processor, scene->mm, 100 + i, (uint32_t)(100 + i)) == 0);
		expect(there(&scene->processor, scene->mm, 200 + i, (uint32_t)(200 + i)) == 0);
	}
}

/* With a mistake some translation is stale at the end, or a note of one is left. */
static void scene_fini(struct scene *scene, bool sound)
{
	processor_fini(&scene->processor);
	if (sound)
		expect(vm_check(scene->world.thread) == 0);
	vm_thread_destroy(scene->world.thread);
	expect(vm_destroy(scene->world.vm) == 0);
}

#define each_flush(flush, mistake)                                                                                     \
	for (enum vm_flush flush = VM_FLUSH_RIGHT; flush <= (mistake); flush += (mistake))

/* --- what each operation owes ----------------------------------------------------------------- */

static void an_access_looks_at_no_pte(void **state)
{
	(void)state;
	each_size (bits) {
		struct vm_statistics before, after;
		struct scene scene;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		before = world_stats(&scene.world);
		for (unsigned i = 0; i < 10; i++)
			expect(tag_there(&scene.processor, scene.mm, 103) == 103);
		expect(there(&scene.processor, scene.mm, 103, 7) == 0);
		after = world_stats(&scene.world);
		expect(after.translated == before.translated + 11 && after.faults == before.faults);
		expect(tag_at(&scene.world, scene.mm, 103) == 7);
		scene_fini(&scene, true);
	}
}

static void unmapped_memory_is_gone(void **state)
{
	(void)state;
	each_size (bits)
		each_flush (flush, VM_FLUSH_NEVER) {
			bool right = flush == VM_FLUSH_RIGHT;
			struct scene scene;

			scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .flush = flush });
			expect(vm_munmap(scene.world.thread, scene.mm, 101, 2) == 0);
			expect((tag_there(&scene.processor, scene.mm, 101) == -EFAULT) == right);
			expect(vm_protect(scene.world.thread, scene.mm, 103, 1, false) == 0);
			expect((there(&scene.processor, scene.mm, 103, 9) == -EACCES) == right);
			expect(vm_mremap(scene.world.thread, scene.mm, 204, 2, 304, 2) == 0);
			expect((tag_there(&scene.processor, scene.mm, 205) == -EFAULT) == right);
			expect(tag_there(&scene.processor, scene.mm, 305) == 205);
			expect(vm_remap_file_pages(scene.world.thread, scene.mm, 200, 1, 3) == 0);
			expect((tag_there(&scene.processor, scene.mm, 200) == 203) == right);
			expect(vm_exit(scene.world.thread, scene.mm) == 0);
			expect((tag_there(&scene.processor, scene.mm, 106) == -ESRCH) == right);
			scene_fini(&scene, right);
		}
}

/*
 * What the parent writes after the fork is not the child's; what the child's copy replaced, nobody of the parent's
 * sees.
 */
static void a_fork_has_what_was_there(void **state)
{
	(void)state;
	each_size (bits)
		each_flush (flush, VM_FLUSH_NEVER) {
			bool right = flush == VM_FLUSH_RIGHT;
			struct scene scene;
			uint32_t child;

			scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .flush = flush });
			child = new_fork(&scene.world, scene.mm);
			expect(there(&scene.processor, scene.mm, 102, 5) == 0);
			expect((tag_at(&scene.world, child, 102) == 102) == right);
			expect(tag_there(&scene.processor, scene.mm, 104) == 104);
			expect(vm_write(scene.world.thread, scene.mm, 104, 1, 6) == 0);
			expect((tag_there(&scene.processor, scene.mm, 104) == 6) == right);
			scene_fini(&scene, right);
		}
}

static void a_truncated_page_is_not_accessed(void **state)
{
	(void)state;
	each_size (bits)
		for (int strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++)
			each_flush (flush, VM_FLUSH_NEVER) {
				bool right = flush == VM_FLUSH_RIGHT;
				struct scene scene;

				scene_init(&scene, (struct vm_options){
							   .cluster_bits = *bits,
							   .strategy = (enum rmap_strategy)strategy,
							   .flush = flush });
				expect(vm_truncate(scene.world.thread, 0, 0) == 0);
				expect((tag_there(&scene.processor, scene.mm, 203) == -ENXIO) == right);
				scene_fini(&scene, right);
			}
}

/* Freed memory is nobody's; used again it is another's. */
static void a_stale_access_meets_a_foreign_word(void **state)
{
	static const enum vm_flush mistakes[] = { VM_FLUSH_NEVER, VM_FLUSH_LATE };

	(void)state;
	for (unsigned i = 0; i < LENGTH(mistakes); i++) {
		struct scene scene;

		scene_init(&scene, (struct vm_options){ .flush = mistakes[i] });
		expect(vm_munmap(scene.world.thread, scene.mm, 100, 8) == 0);
		expect(tag_there(&scene.processor, scene.mm, 102) == -EIO);
		expect(scene.processor.word == 0);
		expect(vm_mmap(scene.world.thread, scene.mm, 400, 8, true, VM_ANONYMOUS, 0) == 0);
		write_tags(&scene.world, scene.mm, 400, 8, 1);
		expect(tag_there(&scene.processor, scene.mm, 102) == -EIO);
		expect(world_stats(&scene.world).wrong == 2);
		scene_fini(&scene, false);
	}
}

/* All pages at once are out of the page tables before the first contents are taken. */
static void what_is_swapped_out_is_not_written(void **state)
{
	(void)state;
	each_size (bits)
		each_flush (flush, VM_FLUSH_NEVER) {
			bool right = flush == VM_FLUSH_RIGHT;
			struct vm_statistics stats;
			struct scene scene;

			scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .flush = flush });
			stats = world_stats(&scene.world);
			expect(vm_reclaim(scene.world.thread, 100) == (*bits ? 2 : 16));
			expect(world_stats(&scene.world).flushes - stats.flushes == (!right ? 0 : *bits ? 1 : 3));
			expect((there(&scene.processor, scene.mm, 101, 9) == 0) == right);
			expect((tag_at(&scene.world, scene.mm, 101) == 9) == right);
			expect(tag_at(&scene.world, scene.mm, 102) == 102);
			scene_fini(&scene, right);
		}
}

/* A dirty translation lets a write pass that its pte does not know of. */
static void write_back_sees_what_is_written_after_it(void **state)
{
	(void)state;
	each_size (bits)
		each_flush (flush, VM_FLUSH_NEVER) {
			struct scene scene;
			uint64_t word;

			scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .flush = flush });
			for (uint32_t round = 1; round < 4; round++) {
				expect(there(&scene.processor, scene.mm, 203, round) == 0);
				expect(vm_write_back(scene.world.thread, 0) == 0);
				expect(vm_disk_word(scene.world.thread, 0, 3, 1, &word) == 0);
				expect(flush != VM_FLUSH_RIGHT || vm_word_tag(word) == round);
			}
			expect((vm_word_tag(word) == 3) == (flush == VM_FLUSH_RIGHT));
			scene_fini(&scene, flush == VM_FLUSH_RIGHT);
		}
}

/* --- when ------------------------------------------------------------------------------------- */

/* @met: how often the processor has read what is mapped at 603, at the window @in of a pass over some page */
struct meeting {
	struct scene scene;
	enum vm_window in;
	bool armed;
	unsigned met;
};

static void read_in_the_window(void *arg, enum vm_window where)
{
	struct meeting *meeting = arg;

	if (meeting->armed && where == meeting->in)
		meeting->met += tag_there(&meeting->scene.processor, meeting->scene.mm, 603) == 603;
}

/* Nonlinear mappings of what comes after 8 pages, where no bulk pass comes by, cut off by page passes. */
static void meet(struct meeting *meeting, uint32_t bits, enum vm_window in, enum vm_flush flush, unsigned met)
{
	struct scene *scene = &meeting->scene;

	*meeting = (struct meeting){ .in = in };
	scene_init(scene, (struct vm_options){ .cluster_bits = bits,
					       .strategy = RMAP_UNMAP,
					       .flush = flush,
					       .window = read_in_the_window,
					       .window_arg = meeting });
	expect(vm_mmap(scene->world.thread, scene->mm, 600, 8, true, 0, 0) == 0);
	expect(vm_remap_file_pages(scene->world.thread, scene->mm, 600, 8, 8 * scene->world.pieces) == 0);
	expect(there(&scene->processor, scene->mm, 603, 603) == 0);
	meeting->armed = true;
	expect(vm_truncate(scene->world.thread, 0, 8) == 0);
	meeting->armed = false;
	expect(meeting->met == met);
}

static void a_flush_before_the_pte_is_cleared_is_in_vain(void **state)
{
	(void)state;
	each_size (bits) {
		struct meeting meeting;

		/* At the visits of its page, each of a pte, and of those before. */
		meet(&meeting, *bits, VM_WINDOW_FLUSHED, VM_FLUSH_EARLY, *bits ? 8 : 4);
		expect(tag_there(&meeting.scene.processor, meeting.scene.mm, 603) == -EIO);
		scene_fini(&meeting.scene, false);
	}
}

/* The last time its pte was empty, and its flush owed. */
static void a_translation_is_used_until_the_flush(void **state)
{
	(void)state;
	each_size (bits) {
		struct meeting meeting;

		/* At the passes over its page, and over those before. */
		meet(&meeting, *bits, VM_WINDOW_OWED, VM_FLUSH_RIGHT, *bits ? 1 : 4);
		expect(tag_there(&meeting.scene.processor, meeting.scene.mm, 603) == -ENXIO);
		expect(world_stats(&meeting.scene.world).wrong == 0);
		scene_fini(&meeting.scene, true);
	}
}

/* A reclaimer in its window, and the test that goes on meanwhile. */
struct reclaimer {
	struct beside beside;
	sem_t met;
	sem_t go;
	bool armed;
};

static void wait_in_the_window(void *arg, enum vm_window where)
{
	struct reclaimer *reclaimer = arg;

	if (!reclaimer->armed || where != VM_WINDOW_OWED)
		return;
	reclaimer->armed = false;
	sem_post(&reclaimer->met);
	sem_wait(&reclaimer->go);
}

static void reclaim_all(struct vm_thread *thread, void *arg)
{
	(void)arg;
	expect(vm_reclaim(thread, 100) > 0);
}

static struct vm_options reclaimer_options(struct reclaimer *reclaimer, uint32_t bits, bool right)
{
	return (struct vm_options){ .cluster_bits = bits,
				    .flush = right ? VM_FLUSH_RIGHT : VM_FLUSH_UNSETTLED,
				    .window = wait_in_the_window,
				    .window_arg = reclaimer };
}

/* Until it owes a flush. */
static void reclaimer_begin(struct reclaimer *reclaimer, struct world *world)
{
	sem_init(&reclaimer->met, 0, 0);
	sem_init(&reclaimer->go, 0, 0);
	reclaimer->armed = true;
	beside_begin(&reclaimer->beside, world, reclaim_all, NULL);
	sem_wait(&reclaimer->met);
}

static void reclaimer_end(struct reclaimer *reclaimer)
{
	beside_end(&reclaimer->beside);
	sem_destroy(&reclaimer->met);
	sem_destroy(&reclaimer->go);
}

/* While the flush is owed the pte is empty, and its address is given to other memory; or it is copied by a fork. */
static void renew_while_a_flush_is_owed(uint32_t bits, bool right)
{
	struct reclaimer reclaimer = { .armed = false };
	struct scene scene;
	uint32_t child;

	scene_init(&scene, reclaimer_options(&reclaimer, bits, right));
	reclaimer_begin(&reclaimer, &scene.world);
	expect(vm_munmap(scene.world.thread, scene.mm, 101, 1) == 0);
	expect(vm_mmap(scene.world.thread, scene.mm, 101, 1, true, VM_ANONYMOUS, 0) == 0);
	expect((tag_there(&scene.processor, scene.mm, 101) == 0) == right);
	child = new_fork(&scene.world, scene.mm);
	if (!right)
		expect(there(&scene.processor, scene.mm, 100, 7) == 0);
	sem_post(&reclaimer.go);
	if (right) /* it faults, and waits for what the reclaimer has */
		expect(there(&scene.processor, scene.mm, 100, 7) == 0);
	reclaimer_end(&reclaimer);
	expect(tag_at(&scene.world, child, 101) == 0);
	expect(tag_at(&scene.world, child, 100) == (right ? 100 : 7));
	expect(right == (world_stats(&scene.world).settled > 0));
	scene_fini(&scene, right);
}

/* A private copy, of which no page is in the file, is on its way to swap when a truncate takes it. */
static void cut_while_a_flush_is_owed(uint32_t bits, bool right)
{
	struct reclaimer reclaimer = { .armed = false };
	struct processor processor;
	struct world world;
	uint32_t mm;

	world_init(&world, reclaimer_options(&reclaimer, bits, right));
	processor_init(&processor, &world);
	mm = new_mm(&world);
	expect(vm_mmap_private(world.thread, mm, 100, 1, true, 0, 0) == 0);
	expect(there(&processor, mm, 100, 5) == 0);
	expect(vm_punch(world.thread, 0, 0, 0) == 0);
	expect(tag_there(&processor, mm, 100) == 5);
	reclaimer_begin(&reclaimer, &world);
	expect(vm_truncate(world.thread, 0, 0) == 0);
	expect(tag_there(&processor, mm, 100) == (right ? -ENXIO : 5));
	sem_post(&reclaimer.go);
	reclaimer_end(&reclaimer);
	processor_fini(&processor);
	world_fini(&world, true);
}

static void an_empty_pte_may_be_in_use(void **state)
{
	(void)state;
	each_size (bits) {
		cut_while_a_flush_is_owed(*bits, true);
		cut_while_a_flush_is_owed(*bits, false);
		renew_while_a_flush_is_owed(*bits, true);
		renew_while_a_flush_is_owed(*bits, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_access_looks_at_no_pte),
		cmocka_unit_test(unmapped_memory_is_gone),
		cmocka_unit_test(a_fork_has_what_was_there),
		cmocka_unit_test(a_truncated_page_is_not_accessed),
		cmocka_unit_test(a_stale_access_meets_a_foreign_word),
		cmocka_unit_test(what_is_swapped_out_is_not_written),
		cmocka_unit_test(write_back_sees_what_is_written_after_it),
		cmocka_unit_test(a_flush_before_the_pte_is_cleared_is_in_vain),
		cmocka_unit_test(a_translation_is_used_until_the_flush),
		cmocka_unit_test(an_empty_pte_may_be_in_use),
	};

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
