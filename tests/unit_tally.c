/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_tally.c - the sums of `rmap shares` over systems whose sharing is known, to the byte
 *
 * Systems are made in memory: processes with vmas, ptes and swapped ptes, frames with what the kernel would say of
 * them. What the kernel tells of owners and sums is read from a forged /proc, a directory of such files.
 */
#include "support.h"

#include "../tools/beside.h"
#include "../tools/chosen.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define AT UINT64_C(0x7f0000000)

static struct system tested;
static struct weights weights;
static struct tally tally;

static int setup(void **state)
{
	(void)state;
	system_init(&tested);
	tested.page_shift = 12;
	tested.processes = calloc(8, sizeof(*tested.processes));
	assert_non_null(tested.processes);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tally_fini(&tally);
	weights_fini(&weights);
	system_fini(&tested);
	return 0;
}

static struct process *add_process(pid_t pid, uint32_t uid, const char *cgroup)
{
	struct process *process = &tested.processes[tested.processes_n++];

	assert_true(tested.processes_n <= 8);
	process->task.pid = pid;
	snprintf(process->task.comm, sizeof(process->task.comm), "number %d", (int)pid);
	process->uid = uid;
	process->cgroup = names_string(&tested.names, cgroup);
	return process;
}

/* Give @process @n pages from @vpn on: frames @pfn, @pfn + 1 ... of the file @inode, 0 for none. */
static void add_pages(struct process *process, uint64_t vpn, uint64_t pfn, uint64_t n, uint64_t inode, const char *name)
{
	struct vma vma = {
		.first = vpn, .last = vpn + n - 1, .name = names_string(&tested.names, name), .shared = inode
	};
	size_t at = 0;

	vma.file = names_file(&tested.names, 1, inode, vma.name);
	process_add_vma(process, &vma);
	for (uint64_t i = 0; i < n; i++)
		process_add_pte(process, &at, vpn + i, (pfn + i) | (inode ? PTE_FILE : 0));
}

static void add_swapped(struct process *process, uint64_t vpn, uint64_t slot)
{
	size_t at = 0;

	process_add_swapped(process, &at, vpn, slot);
}

static void build(void)
{
	assert_int_equal(system_build(&tested, 1), STATUS_OK);
	for (size_t i = 0; i < tested.frames_n; i++)
		tested.frames[i].flags = KPF_ANON | KPF_SWAPBACKED | KPF_LRU | KPF_UPTODATE;
}

/* Frames @pfn ... are of this kind, and the kernel counts so many mappings of each; 0: as many as there are. */
static void describe(uint64_t pfn, uint64_t n, uint32_t flags, uint32_t kernel)
{
	for (uint64_t i = 0; i < n; i++) {
		struct frame *frame = system_frame(&tested, pfn + i);

		assert_non_null(frame);
		frame->flags = flags;
		frame->kernel = kernel;
	}
}

static const struct sums *sums_of(enum by by, uint64_t key, const char *name)
{
	const struct sums *found = NULL;

	tally_fini(&tally);
	weights_fini(&weights);
	assert_int_equal(weights_init(&weights, &tested), STATUS_OK);
	tally_system(&tested, &weights, by, &tally);
	for (size_t i = 0; i < tally.n; i++) {
		if (name ? strcmp(tally.groups[i].name, name) != 0 : tally.groups[i].key != key)
			continue;
		assert_null(found);
		found = &tally.groups[i].sums;
	}
	assert_non_null(found);
	return found;
}

static void expect_sums(const struct sums *sums, uint64_t rss, uint64_t pss, uint64_t uss, uint64_t swap)
{
	assert_int_equal(sums->rss, rss);
	assert_int_equal(sums->pss, pss);
	assert_int_equal(sums->uss, uss);
	assert_int_equal(sums->swap, swap);
}

static void expect_process(pid_t pid, uint64_t rss, uint64_t pss, uint64_t uss, uint64_t swap)
{
	expect_sums(sums_of(BY_PROCESS, (uint64_t)pid, NULL), rss, pss, uss, swap);
}

/* Three share 30 pages, two of them 7 more, and each has some of its own. */
static void share_three_ways(void)
{
	for (int i = 0; i < 3; i++) {
		struct process *process = add_process(10 + i, i ? 1000 : 0, i == 2 ? "/b" : "/a/deep");

		add_pages(process, AT, 0x1000, 30, 5, "/lib/common");
		if (i < 2)
			add_pages(process, AT + 100, 0x2000, 7, 0, "");
		add_pages(process, AT + 200, 0x3000 + 16 * (uint64_t)i, (uint64_t)i + 1, 0, "[heap]");
	}
	build();
	describe(0x1000, 30, KPF_LRU | KPF_UPTODATE, 0);
}

static void parts_are_exact(void **state)
{
	(void)state;
	share_three_ways();
	/* 30 pages by three are 40960 bytes each, 7 by two 14336. */
	expect_process(10, 38 * PAGE, 40960 + 14336 + PAGE, PAGE, 0);
	expect_process(11, 39 * PAGE, 40960 + 14336 + 2 * PAGE, 2 * PAGE, 0);
	expect_process(12, 33 * PAGE, 40960 + 3 * PAGE, 3 * PAGE, 0);
	expect_sums(&tally.whole, 43 * PAGE, 43 * PAGE, 43 * PAGE, 0);
}

static void a_part_is_rounded_to_the_nearest_byte(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		add_pages(add_process(10 + i, 0, "/"), AT, 0x1000, 2, 0, "");
	build();
	/* 2730.67; the three sum up to a byte more. */
	expect_process(10, 2 * PAGE, 2731, 0, 0);
	assert_int_equal(tally.whole.pss, 2 * PAGE);
}

static void groups_have_each_page_once(void **state)
{
	(void)state;
	share_three_ways();
	expect_sums(sums_of(BY_CGROUP, 0, "/a/deep"), 40 * PAGE, 2 * 40960 + 10 * PAGE, 10 * PAGE, 0);
	expect_sums(sums_of(BY_CGROUP, 0, "/b"), 33 * PAGE, 40960 + 3 * PAGE, 3 * PAGE, 0);
	expect_sums(sums_of(BY_USER, 0, NULL), 38 * PAGE, 40960 + 14336 + PAGE, PAGE, 0);
	expect_sums(sums_of(BY_USER, 1000, NULL), 42 * PAGE, 2 * 40960 + 14336 + 5 * PAGE, 5 * PAGE, 0);
	expect_sums(sums_of(BY_FILE, 0, "/lib/common"), 30 * PAGE, 30 * PAGE, 0, 0);
	expect_sums(sums_of(BY_FILE, 0, "[anon]"), 7 * PAGE, 7 * PAGE, 0, 0);
	expect_sums(sums_of(BY_FILE, 0, "[heap]"), 6 * PAGE, 6 * PAGE, 6 * PAGE, 0);
	expect_sums(sums_of(BY_KIND, PAGE_FILE, NULL), 30 * PAGE, 30 * PAGE, 0, 0);
	expect_sums(sums_of(BY_KIND, PAGE_ANONYMOUS, NULL), 13 * PAGE, 13 * PAGE, 6 * PAGE, 0);
}

static void what_groups_share_is_told_in_pairs(void **state)
{
	static const bool is_in[] = { false, true, false };
	static const uint64_t theirs[] = { 37, 39, 30 };
	const struct sums *sums;
	uint64_t common[9];

	(void)state;
	share_three_ways();
	sums_of(BY_PROCESS, 10, NULL);
	tally_common(&tested, &weights, BY_PROCESS, &tally, 3, common);
	for (int i = 0; i < 3; i++) {
		int a = (int)tally.groups[i].key;

		for (int k = 0; k < 3; k++) {
			int b = (int)tally.groups[k].key;

			assert_int_equal(common[i * 3 + k],
					 a == b ? tally.groups[i].sums.rss : (a < 12 && b < 12 ? 37 : 30) * PAGE);
		}
	}
	sums_of(BY_FILE, 0, "[heap]");
	tally_common(&tested, &weights, BY_FILE, &tally, 3, common);
	for (int i = 0; i < 9; i++)
		assert_int_equal(common[i], i % 4 ? 0 : tally.groups[i / 4].sums.rss);
	weights_mark(&weights, &tested, is_in);
	for (enum by by = BY_PROCESS; by < BYS; by++) {
		uint64_t all = 0;

		tally_fini(&tally);
		tally_system(&tested, &weights, by, &tally);
		for (size_t i = 0; i < tally.n; i++) {
			sums = &tally.groups[i].sums;
			all += sums->common;
			if (by == BY_PROCESS)
				assert_int_equal(sums->common, theirs[tally.groups[i].key - 10] * PAGE);
		}
		if (by == BY_FILE || by == BY_KIND)
			assert_int_equal(all, 39 * PAGE);
	}
}

static void pages_mapped_twice_are_its_own(void **state)
{
	struct process *process;

	(void)state;
	process = add_process(10, 0, "/");
	add_pages(process, AT, 0x1000, 4, 5, "/dev/shm/twice");
	add_pages(process, AT + 100, 0x1000, 4, 5, "/dev/shm/twice");
	build();
	expect_process(10, 4 * PAGE, 4 * PAGE, 4 * PAGE, 0);
	expect_sums(sums_of(BY_FILE, 0, "/dev/shm/twice"), 4 * PAGE, 4 * PAGE, 4 * PAGE, 0);
}

static void swap_slots_count_once(void **state)
{
	struct process *parent, *child;

	(void)state;
	parent = add_process(10, 0, "/");
	add_pages(parent, AT, 0x1000, 1, 0, "");
	add_swapped(parent, AT + 10, 7);
	add_swapped(parent, AT + 11, UINT64_C(1) << SLOT_AREA_SHIFT | 7);
	child = add_process(11, 0, "/");
	add_pages(child, AT, 0x2000, 1, 0, "");
	add_swapped(child, AT + 10, 7);
	build();
	expect_process(10, PAGE, PAGE, PAGE, 2 * PAGE);
	expect_process(11, PAGE, PAGE, PAGE, PAGE);
	expect_sums(sums_of(BY_CGROUP, 0, "/"), 2 * PAGE, 2 * PAGE, 2 * PAGE, 2 * PAGE);
	expect_sums(sums_of(BY_FILE, 0, "[anon]"), 2 * PAGE, 2 * PAGE, 2 * PAGE, 2 * PAGE);
	expect_sums(sums_of(BY_KIND, PAGE_ANONYMOUS, NULL), 2 * PAGE, 2 * PAGE, 2 * PAGE, 2 * PAGE);
	assert_int_equal(tally.whole.swap, 2 * PAGE);
}

static void outsiders_take_their_part(void **state)
{
	(void)state;
	add_pages(add_process(10, 0, "/"), AT, 0x1000, 2, 0, "");
	build();
	describe(0x1000, 1, KPF_ANON, 4);
	describe(0x1001, 1, KPF_ANON, 1);
	expect_process(10, 2 * PAGE, 2 * PAGE, 2 * PAGE, 0);
	tested.pid_namespace = true;
	expect_process(10, 2 * PAGE, 1024 + PAGE, PAGE, 0);
	tested.averaging = true; /* what the kernel counts is not of this page */
	expect_process(10, 2 * PAGE, 2 * PAGE, 2 * PAGE, 0);
}

static void no_memory_is_left_out(void **state)
{
	(void)state;
	add_pages(add_process(10, 0, "/"), AT, 0x1000, 4, 0, "");
	build();
	describe(0x1000, 1, KPF_ZERO_PAGE, 0);
	describe(0x1001, 1, KPF_NOPAGE, 0);
	describe(0x1002, 1, KPF_ANON | KPF_UNEVICTABLE, 1);
	system_frame(&tested, 0x1003)->verdict = VERDICT_MOVING;
	expect_process(10, 2 * PAGE, 2 * PAGE, 2 * PAGE, 0);
	assert_int_equal(tally.groups[0].sums.locked, PAGE);
	assert_int_equal(tally.groups[0].sums.unsettled, PAGE);
}

static void kinds_are_told_apart(void **state)
{
	static const struct {
		uint32_t flags;
		enum page_kind kind;
	} cases[] = {
		{ KPF_ANON | KPF_SWAPBACKED, PAGE_ANONYMOUS },
		{ KPF_ANON, PAGE_ANONYMOUS }, /* given away by MADV_FREE */
		{ KPF_ANON | KPF_KSM, PAGE_KSM },
		{ KPF_SWAPBACKED | KPF_UPTODATE, PAGE_SHARED },
		{ KPF_UPTODATE | KPF_LRU, PAGE_FILE },
		{ KPF_HUGE | KPF_ANON, PAGE_HUGETLB },
		{ KPF_HUGE | KPF_UPTODATE, PAGE_HUGETLB },
		{ 0, PAGE_KERNEL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(page_kind(&(struct frame){ .flags = cases[i].flags }), cases[i].kind);
}

static void words_choose_processes(void **state)
{
	struct chosen chosen = { 0 };

	(void)state;
	share_three_ways();
	assert_false(chosen_add(&chosen, "0"));
	assert_false(chosen_add(&chosen, ""));
	assert_true(chosen_add(&chosen, "12"));
	assert_true(chosen_add(&chosen, "/a/"));
	assert_int_equal(chosen_find(&chosen, &tested), STATUS_OK);
	assert_int_equal(chosen.n, 3);
	chosen_fini(&chosen);
	assert_true(chosen_add(&chosen, "a"));
	assert_int_equal(chosen_find(&chosen, &tested), STATUS_OK);
	assert_int_equal(chosen.n, 2);
	chosen_fini(&chosen);
	assert_true(chosen_add(&chosen, "/a/d"));
	assert_int_equal(chosen_find(&chosen, &tested), STATUS_LACKING);
	chosen_fini(&chosen);
	assert_true(chosen_add(&chosen, "13"));
	assert_int_equal(chosen_find(&chosen, &tested), STATUS_LACKING);
	chosen_fini(&chosen);
}

static void who_goes_on_in_the_same_memory_is_counted(void **state)
{
	struct chosen chosen = { 0 };

	(void)state;
	share_three_ways();
	tested.aliases = calloc(1, sizeof(*tested.aliases));
	tested.aliases[0] = (struct alias){ .pid = 20, .owner = 12 };
	tested.sharing = 1;
	assert_true(chosen_add(&chosen, "20"));
	assert_int_equal(chosen_find(&chosen, &tested), STATUS_OK);
	assert_true(chosen.is_in[2] && chosen.n == 1 && chosen.outside == 1);
	chosen_fini(&chosen);
	assert_true(chosen_add(&chosen, "20") && chosen_add(&chosen, "12"));
	assert_int_equal(chosen_find(&chosen, &tested), STATUS_OK);
	assert_true(chosen.n == 1 && chosen.outside == 0);
	chosen_fini(&chosen);
}

/* A forged /proc ---------------------------------------------------------------------------- */

static char forged[] = "/tmp/unit_tally.XXXXXX";

static void forge(struct procfs *procfs, const char *name, const char *text)
{
	int fd = openat(procfs->root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void begin_forging(struct procfs *procfs)
{
	strcpy(forged + sizeof(forged) - 7, "XXXXXX");
	assert_non_null(mkdtemp(forged));
	*procfs = (struct procfs){ .root = open(forged, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				   .counts = -1,
				   .flags = -1,
				   .failure = calloc(1, sizeof(struct failure)),
				   .page_shift = 12 };
	assert_true(procfs->root >= 0);
	assert_int_equal(mkdirat(procfs->root, "10", 0700), 0);
	tested.readers = calloc(1, sizeof(*tested.readers));
	reader_init(&tested.readers[0]);
	tested.readers_n = 1;
	strcpy(tested.processes[0].task.path, "10");
}

static void end_forging(struct procfs *procfs)
{
	char command[64];

	procfs_close(procfs);
	snprintf(command, sizeof(command), "rm -rf %s", forged);
	assert_int_equal(system(command), 0);
}

static void expect_cgroup(struct procfs *procfs, const char *text, const char *path)
{
	forge(procfs, "10/cgroup", text);
	assert_int_equal(owners_read(&tested, procfs), STATUS_OK);
	assert_string_equal(tested.names.strings[tested.processes[0].cgroup], path);
}

static void owners_are_read(void **state)
{
	struct procfs procfs;

	(void)state;
	add_process(10, 0, "");
	begin_forging(&procfs);
	assert_int_equal(owners_read(&tested, &procfs), STATUS_OK);
	assert_int_equal(tested.processes[0].uid, UID_UNKNOWN);
	forge(&procfs, "10/status", "Name:\tUid:\nUmask:\t0022\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n");
	expect_cgroup(&procfs, "0::/two\n", "/two");
	assert_int_equal(tested.processes[0].uid, 2);
	expect_cgroup(&procfs, "3:cpu,memory:/one/of it\n2:memoryless:/no\n0::/two\n", "/one/of it");
	expect_cgroup(&procfs, "2:memoryless:/no\n1:name=memory:/no\n0::/a:b\n", "/a:b");
	expect_cgroup(&procfs, "4:pids:/no\n3:memory:/one\n", "/one");
	end_forging(&procfs);
}

static void expect_parts(const struct beside *beside, enum figure figure, enum reason reason, int64_t bytes)
{
	for (int i = 0; i < REASONS; i++)
		assert_int_equal(beside->parts[figure][i], i == (int)reason ? bytes : 0);
}

/* 4 pages twice in one process, 512 of hugetlb, 3 shared by two; then the kernel says something else. */
static void differences_have_reasons(void **state)
{
	struct procfs procfs;
	struct beside beside;
	struct process *process;
	char text[256];

	(void)state;
	process = add_process(10, 0, "/");
	add_pages(process, AT, 0x1000, 4, 5, "/twice");
	add_pages(process, AT + 100, 0x1000, 4, 5, "/twice");
	add_pages(process, AT + 512, 0x2000, 512, 6, "/huge");
	add_pages(process, AT + 2000, 0x3000, 3, 0, "");
	add_pages(add_process(11, 0, "/"), AT, 0x3000, 3, 0, "");
	add_swapped(process, AT + 3000, 7);
	build();
	describe(0x1000, 4, KPF_SWAPBACKED | KPF_UPTODATE, 2);
	describe(0x2000, 512, KPF_HUGE | KPF_UPTODATE, 1);
	describe(0x3000, 3, KPF_ANON, 2);
	begin_forging(&procfs);
	sums_of(BY_PROCESS, 10, NULL);
	for (size_t i = 0; tally.groups[i].key != 10; i++)
		assert_true(i + 1 < tally.n);
	beside_kernel(&tested, &procfs, &weights, &tally.groups[0], &beside);
	assert_false(beside.known);
	/* Pss is 4 + 1.5 pages: 22 KiB. Of shared memory 9 more pages are swapped. */
	snprintf(text, sizeof(text),
		 "Rss: %d kB\nPss: %d kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: 0 kB\nSwap: %d kB\nSwapPss: 4 kB\n",
		 11 * 4, 21, 10 * 4);
	forge(&procfs, "10/smaps_rollup", text);
	beside_kernel(&tested, &procfs, &weights, &tally.groups[0], &beside);
	assert_true(beside.known);
	assert_int_equal(beside.parts[FIGURE_RSS][REASON_HUGETLB], 512 * PAGE);
	assert_int_equal(beside.parts[FIGURE_RSS][REASON_TWICE], -4 * (int64_t)PAGE);
	assert_int_equal(beside.parts[FIGURE_RSS][REASON_CHANGED], 0);
	assert_int_equal(beside.parts[FIGURE_USS][REASON_HUGETLB], 512 * PAGE);
	assert_int_equal(beside.parts[FIGURE_USS][REASON_TWICE], 4 * PAGE);
	assert_int_equal(beside.parts[FIGURE_USS][REASON_CHANGED], 0);
	assert_int_equal(beside.parts[FIGURE_PSS][REASON_HUGETLB], 512 * PAGE);
	assert_int_equal(beside.parts[FIGURE_PSS][REASON_ROUNDING], 1024);
	assert_int_equal(beside.parts[FIGURE_PSS][REASON_CHANGED], 0);
	expect_parts(&beside, FIGURE_SWAP, REASON_SHARED_SWAP, -9 * (int64_t)PAGE);
	describe(0x3000, 3, KPF_ANON, 1);
	beside_kernel(&tested, &procfs, &weights, &tally.groups[0], &beside);
	assert_int_equal(beside.parts[FIGURE_USS][REASON_CHANGED], 0);
	/* What no rule gives has changed, or is counted by averages. */
	tested.averaging = true;
	describe(0x1000, 4, KPF_SWAPBACKED | KPF_UPTODATE | KPF_COMPOUND_TAIL, 1);
	beside_kernel(&tested, &procfs, &weights, &tally.groups[0], &beside);
	assert_int_equal(beside.parts[FIGURE_PSS][REASON_AVERAGE], -4 * (int64_t)PAGE);
	assert_int_equal(beside.parts[FIGURE_USS][REASON_AVERAGE], -4 * (int64_t)PAGE);
	assert_int_not_equal(beside.parts[FIGURE_USS][REASON_CHANGED], 0);
	end_forging(&procfs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Numbers lead to frames as frames to numbers: across words, chunks of 2^15 frames, and what lies between these. */
static void frames_have_numbers(void **state)
{
	static const uint64_t members[] = { 0, 1, 63, 64, 200, 32767, 32768, 40000, 1 << 20, 1 << 28, PFN_MAX };
	const size_t n = sizeof(members) / sizeof(members[0]);
	uint64_t pfns[sizeof(members) / sizeof(members[0])];
	static struct pfnset set;

	(void)state;
	for (size_t i = n; i--;)
		pfnset_add(&set, members[i]);
	assert_int_equal(pfnset_number(&set), n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pfnset_find(&set, members[i]), i);
		pfnset_pfns(&set, i, n - i, pfns);
		assert_memory_equal(pfns, &members[i], (n - i) * sizeof(pfns[0]));
	}
	pfnset_fini(&set);
}

/*
 * Memory that eight processes map at eight places each, and files beside it that are mapped where they all are: each
 * mapping is added once, and chains leave little behind though they all grow with each process.
 */
static void what_all_share_is_built_in_parts(void **state)
{
	const uint64_t pages = 6000, files = 100, mappings = 64 * pages;
	struct rmap_statistics stats = { .size = sizeof(stats) };

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct process *process = add_process(10 + i, 0, "/a");

		for (uint64_t k = 0; k < 8; k++)
			add_pages(process, AT + k * pages, 0x100000, pages, 0, "[heap]");
		add_pages(process, AT + 8 * pages, 0x1000, files, 5, "/lib/common");
		/* The frames of one file seen through another, as overlays show them, are chained there. */
		add_pages(process, AT + 9 * pages, 0x1000, i ? 1 : files, 6, "/lib/overlaid");
	}
	assert_int_equal(system_build(&tested, 2), STATUS_OK);
	assert_int_equal(tested.mappings, mappings + 8 * files + 7 + files);
	rmap_read_lock(tested.map);
	for (size_t i = 0; i < tested.frames_n; i++) {
		assert_int_equal(rmap_page_mapcount(tested.map, &tested.pages[i]), i >= files ? 64 : i ? 9 : 16);
		assert_false(tested.frames[i].broken);
	}
	rmap_read_unlock(tested.map);
	assert_int_equal(rmap_stats(tested.map, &stats), 0);
	/* Checked builds have other sizes. */
	if (!CHECKED)
		assert_in_range(stats.tier_bytes, 8 * mappings, 18 * mappings);
}

/* What is kept of three processes of known sharing, by @seed. */
static void take_sample(uint64_t seed)
{
	system_fini(&tested);
	setup(NULL);
	tested.sample = (struct sample){ .one_in = 5, .seed = seed };
	for (uint64_t i = 0; i < 3; i++) {
		struct process *process = add_process(10 + (pid_t)i, 0, "/a");
		size_t at = 0;

		for (uint64_t vpn = 0; vpn < 900; vpn++) {
			/* 300 pages that all three map, 400 of two, and 200 of its own. */
			uint64_t own = vpn < 300 || (vpn < 700 && i < 2) ? 0 : i + 1, pfn = 1000 * own + vpn;

			if (system_has_pfn(&tested, pfn))
				process_add_pte(process, &at, AT + vpn, pfn);
		}
		for (uint64_t vpn = 1000; vpn < 1100; vpn++)
			if (system_has_slot(&tested, vpn))
				add_swapped(process, AT + vpn, vpn);
	}
	build();
}

/* Is it right in the mean, is its error right, and is the truth within the error as often as it should be? */
static void a_sample_tells_its_error(void **state)
{
	enum { RSS, PSS, USS, SWAP, ESTIMATES, SEEDS = 150 };
	const double truth[ESTIMATES] = { 900 * PAGE, 300 * PAGE / 3.0 + 400 * PAGE / 2.0 + 200 * PAGE, 200 * PAGE,
					  100 * PAGE };
	double mean[ESTIMATES] = { 0 }, squares[ESTIMATES] = { 0 }, errors[ESTIMATES] = { 0 };
	int within[ESTIMATES] = { 0 };

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		const struct sums *sums;
		uint64_t estimates[ESTIMATES], bars[ESTIMATES];

		take_sample(seed);
		sums = sums_of(BY_PROCESS, 10, NULL);
		memcpy(estimates, (uint64_t[]){ sums->rss, sums->pss, sums->uss, sums->swap }, sizeof(estimates));
		for (int i = 0; i < ESTIMATES; i++) {
			double off = (double)estimates[i] - truth[i];

			bars[i] = i == PSS ? sums_error_pss(&tested, sums) : sums_error(&tested, estimates[i]);
			mean[i] += off / SEEDS;
			squares[i] += off * off / SEEDS;
			errors[i] += (double)bars[i] / SEEDS;
			within[i] += fabs(off) <= (double)bars[i];
		}
	}
	for (int i = 0; i < ESTIMATES; i++) {
		double deviation = sqrt(squares[i]);

		/* Of 150 samples the mean is within a quarter of one's deviation, and that is about half the error. */
		assert_true(fabs(mean[i]) < deviation / 4);
		assert_true(errors[i] > 1.8 * deviation && errors[i] < 2.8 * deviation);
		assert_in_range(within[i], SEEDS * 93 / 100, SEEDS);
	}
	assert_true(within[RSS] + within[PSS] + within[USS] + within[SWAP] < ESTIMATES * SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(parts_are_exact),
		TEST(a_part_is_rounded_to_the_nearest_byte),
		TEST(groups_have_each_page_once),
		TEST(what_groups_share_is_told_in_pairs),
		TEST(pages_mapped_twice_are_its_own),
		TEST(swap_slots_count_once),
		TEST(outsiders_take_their_part),
		TEST(no_memory_is_left_out),
		TEST(kinds_are_told_apart),
		TEST(words_choose_processes),
		TEST(who_goes_on_in_the_same_memory_is_counted),
		TEST(owners_are_read),
		TEST(differences_have_reasons),
		TEST(frames_have_numbers),
		TEST(what_all_share_is_built_in_parts),
		TEST(a_sample_tells_its_error),
	};

	return cmocka_run_group_tests_name("unit_tally", tests, NULL, NULL);
}
