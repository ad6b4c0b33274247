/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_verify.c - `rmap snapshot` and `rmap who` on kernels that this one is not
 *
 * A *forged* /proc: a directory with the stat, maps and pagemap of a few processes, and files of one word a frame in
 * the place of kpagecount and kpageflags. What the kernels of years say in them was seen on those kernels; here the
 * same words are read, built and compared by the same code, on any machine and without privileges. A word may change
 * between the reading of the page tables and the comparison, as it does where the system goes on.
 */
#include "support.h"

#include "../tools/file.h"
#include "../tools/scan.h"
#include "../tools/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUGE UINT64_C(512)
#define HUGE_FLAGS (KPF_COMPOUND_TAIL | KPF_THP)
#define LRU (UINT32_C(1) << 5)
#define AT UINT64_C(0x7f0000000) /* a page number, at which a huge page may begin */
#define PFN UINT64_C(0x1000)     /* a frame, likewise */

struct forged {
	char path[32];
	char mm[40];
	struct procfs procfs;
	struct system system;
	unsigned threads; /* that verify */
	uint64_t scanned; /* how many bytes were read while page tables were read, and while they were compared */
	uint64_t verified;
};

/* Stands in for the clock of the tools. */
static double now, step;

double __wrap_seconds_now(void);
double __wrap_seconds_now(void)
{
	return now += step;
}

static uint64_t bytes_read(void)
{
	FILE *file = fopen("/proc/self/io", "r");
	unsigned long long bytes = 0;

	if (!file)
		return 0;
	assert_int_equal(fscanf(file, "rchar: %llu", &bytes), 1);
	fclose(file);
	return bytes;
}

static int open_in(const struct forged *forged, const char *name, const char *part)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s%s", forged->path, name, part);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void write_text(const struct forged *forged, const char *name, const char *part, const char *text)
{
	int fd = open_in(forged, name, part);

	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int setup(void **state)
{
	struct forged *forged = calloc(1, sizeof(*forged));

	strcpy(forged->path, "/tmp/unit_verify.XXXXXX");
	assert_non_null(mkdtemp(forged->path));
	forged->procfs = (struct procfs){ .root = open(forged->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
					  .counts = memfd_create("kpagecount", MFD_CLOEXEC),
					  .flags = memfd_create("kpageflags", MFD_CLOEXEC),
					  .failure = calloc(1, sizeof(struct failure)),
					  .page_shift = 12,
					  .threads = 1 };
	assert_true(forged->procfs.root >= 0 && forged->procfs.counts >= 0 && forged->procfs.flags >= 0);
	write_text(forged, "stat", "", "cpu 1\nprocesses 100\n");
	system_init(&forged->system);
	forged->threads = 1;
	step = 0;
	*state = forged;
	return 0;
}

static int teardown(void **state)
{
	struct forged *forged = *state;
	char command[64];

	system_fini(&forged->system);
	procfs_close(&forged->procfs);
	snprintf(command, sizeof(command), "rm -rf %s", forged->path);
	assert_int_equal(system(command), 0);
	free(forged);
	return 0;
}

/* What the stat file of process @pid says, which executes @program. */
static void forge_program(const struct forged *forged, int pid, uint64_t pages, int program)
{
	char name[16], text[256];

	snprintf(name, sizeof(name), "%d", pid);
	snprintf(text, sizeof(text), "%d (forged) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 %d 0 %d 0 0\n", pid, pid,
		 (int)pages, program);
	write_text(forged, name, "/stat", text);
}

/* The process @pid, whose only vma has @pages pages at AT; @rest is what its line in maps says behind the addresses. */
static void forge_process(const struct forged *forged, int pid, uint64_t pages, const char *rest)
{
	char name[64], text[256];
	int fd;

	snprintf(name, sizeof(name), "%s/%d", forged->path, pid);
	assert_int_equal(mkdir(name, 0700), 0);
	snprintf(name, sizeof(name), "%d", pid);
	forge_program(forged, pid, pages, pid);
	snprintf(text, sizeof(text), "%llx-%llx %s\n", (unsigned long long)AT << 12,
		 (unsigned long long)(AT + pages) << 12, rest);
	write_text(forged, name, "/maps", text);
	fd = open_in(forged, name, "/pagemap");
	assert_int_equal(ftruncate(fd, (off_t)((AT + pages) * sizeof(uint64_t))), 0);
	close(fd);
}

static void put_words(int fd, uint64_t at, uint64_t n, uint64_t word, bool ascending)
{
	for (uint64_t i = 0; i < n; i++, word += ascending)
		assert_int_equal(pwrite(fd, &word, sizeof(word), (off_t)((at + i) * sizeof(word))), sizeof(word));
}

/* Pages @from and its followers of process @pid are mapped to frames @pfn and its followers; 0: no longer. */
static void forge_ptes(const struct forged *forged, int pid, uint64_t from, uint64_t n, uint64_t pfn, uint64_t bits)
{
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "%d", pid);
	fd = open_in(forged, name, "/pagemap");
	put_words(fd, AT + from, n, pfn ? pfn | bits | PTE_PRESENT : 0, pfn);
	close(fd);
}

static void forge_frames(const struct forged *forged, uint64_t pfn, uint64_t n, uint64_t count, uint32_t flags)
{
	put_words(forged->procfs.counts, pfn, n, count, false);
	put_words(forged->procfs.flags, pfn, n, flags, false);
}

static void scan(struct forged *forged)
{
	uint64_t before = bytes_read();

	assert_int_equal(scan_system(&forged->system, &forged->procfs, NULL, 0, 2), STATUS_OK);
	forged->scanned = bytes_read() - before;
	assert_int_equal(system_build(&forged->system, 2), STATUS_OK);
}

static uint64_t class_pages(const struct forged *forged, enum frame_class class)
{
	const struct system *system = &forged->system;
	uint64_t pages = 0;

	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++)
		pages += frame_class(system, &system->frames[i]) == class;
	rmap_read_unlock(system->map);
	return pages;
}

static uint64_t linear_mappings(const struct forged *forged)
{
	uint64_t linear = 0;

	rmap_read_lock(forged->system.map);
	for (size_t i = 0; i < forged->system.frames_n; i++)
		linear += rmap_page_counts(forged->system.map, &forged->system.pages[i]).linear;
	rmap_read_unlock(forged->system.map);
	return linear;
}

/*
 * Verify, record what was found, and go on with the recording, which must say the same. A second thread would
 * count as a fork that the forged /proc does not know of: then the system seems never to be quiet.
 */
static struct verified verify(struct forged *forged)
{
	uint64_t classes[CLASSES];
	struct verified verified, again;
	char path[64];

	forged->verified = bytes_read();
	assert_int_equal(verify_system(&forged->system, &forged->procfs, NULL, 0, forged->threads), STATUS_OK);
	forged->verified = bytes_read() - forged->verified;
	verified = verify_sum(&forged->system);
	for (int i = 0; i < CLASSES; i++)
		classes[i] = class_pages(forged, i);
	snprintf(path, sizeof(path), "%s/recording", forged->path);
	assert_int_equal(file_save(path, &forged->system), STATUS_OK);
	system_fini(&forged->system);
	system_init(&forged->system);
	assert_int_equal(file_load(path, &forged->system), STATUS_OK);
	assert_int_equal(system_build(&forged->system, 2), STATUS_OK);
	assert_int_equal(verify_recorded(&forged->system, 2), STATUS_OK);
	again = verify_sum(&forged->system);
	assert_memory_equal(&verified, &again, sizeof(verified));
	for (int i = 0; i < CLASSES; i++)
		assert_int_equal(class_pages(forged, i), classes[i]);
	return verified;
}

/* What rmap who says of a frame that it has just read. */
static enum verdict who_says(struct forged *forged, uint64_t pfn)
{
	struct frame *frame = system_frame(&forged->system, pfn);
	struct mapper *mappers = NULL;
	size_t n = frame ? system_mappers(&forged->system, frame, &mappers) : 0;
	uint64_t surplus;
	enum verdict verdict;

	verify_prepare(&forged->system, &forged->procfs, &pfn, 1);
	verdict = verify_frame(&forged->system, &forged->procfs, pfn, mappers, &n, &surplus);
	free(mappers);
	if (frame)
		*frame = (struct frame){ 0 };
	return verdict;
}

#define ANONYMOUS "rw-p 00000000 00:00 0"
#define SHMEM "rw-s 00000000 00:01 77 /memfd:huge (deleted)"

/* 6.1 and 6.12: an entry of the huge zero page bears the mark of a file's. Split, its ptes map the small zero page. */
static void test_huge_zero_page(void **state)
{
	struct forged *forged = *state;
	struct verified verified;

	forge_process(forged, 100, 2 * HUGE, ANONYMOUS);
	forge_process(forged, 101, 2 * HUGE, ANONYMOUS);
	forge_ptes(forged, 100, 0, HUGE, PFN, PTE_FILE);
	forge_ptes(forged, 101, 0, HUGE, PFN, PTE_FILE);
	forge_ptes(forged, 101, HUGE, 3, PFN + HUGE, 0);
	forge_frames(forged, PFN, HUGE, 0, KPF_ZERO_PAGE | HUGE_FLAGS);
	forge_frames(forged, PFN + HUGE, 1, 0, KPF_ZERO_PAGE);
	forge_frames(forged, PFN + HUGE + 1, 2, 1, KPF_ANON | LRU);
	scan(forged);
	assert_int_equal(who_says(forged, PFN + 7), VERDICT_MATCHED);
	verified = verify(forged);
	assert_int_equal(verified.pages, HUGE + 3);
	assert_int_equal(verified.matched, HUGE + 3);
	assert_int_equal(class_pages(forged, CLASS_ZERO), HUGE + 1);
	assert_int_equal(class_pages(forged, CLASS_SPECIAL), 0);
}

/* 5.10 to 6.9: an entry of a huge page never bears the mark, what it maps may be shared memory nevertheless. */
static void test_huge_shmem_without_mark(void **state)
{
	struct forged *forged = *state;
	struct verified verified;

	forge_process(forged, 100, 2 * HUGE, SHMEM);
	forge_process(forged, 101, 2 * HUGE, SHMEM);
	forge_ptes(forged, 100, 0, HUGE, PFN, 0);
	forge_ptes(forged, 101, 0, HUGE, PFN, 0);
	forge_ptes(forged, 101, HUGE, 10, PFN + HUGE, PTE_FILE); /* mapped page by page */
	forge_frames(forged, PFN, HUGE, 2, HUGE_FLAGS);
	forge_frames(forged, PFN + HUGE, 10, 1, HUGE_FLAGS);
	scan(forged);
	assert_int_equal(who_says(forged, PFN + 7), VERDICT_MATCHED);
	assert_int_equal(linear_mappings(forged), 2 * HUGE + 10);
	verified = verify(forged);
	assert_int_equal(verified.matched, HUGE + 10);
	assert_int_equal(class_pages(forged, CLASS_THP), HUGE + 10);
}

/* The mark decides for small pages as ever: special ptes are not counted, and a wrong count is found. */
static void test_special_and_wrong(void **state)
{
	struct forged *forged = *state;
	struct verified verified;

	forge_process(forged, 100, 16, "rw-s 00000000 00:06 5 /dev/special");
	forge_ptes(forged, 100, 0, 2, PFN, 0);
	forge_ptes(forged, 100, 2, 2, PFN + 2, PTE_FILE);
	forge_ptes(forged, 100, 4, 2, PFN + 4, PTE_FILE);
	forge_frames(forged, PFN, 2, 0, UINT32_C(1) << 2);
	forge_frames(forged, PFN + 2, 2, 0, KPF_NOPAGE); /* memory of a device, mapped as pages of its file */
	forge_frames(forged, PFN + 4, 1, 1, LRU);
	forge_frames(forged, PFN + 5, 1, 2, LRU);
	scan(forged);
	assert_int_equal(who_says(forged, PFN + 5), VERDICT_MISMATCHED);
	verified = verify(forged);
	assert_int_equal(verified.matched, 5);
	assert_int_equal(verified.mismatched, 1);
	assert_int_equal(system_frame(&forged->system, PFN + 5)->verdict, VERDICT_MISMATCHED);
	assert_int_equal(class_pages(forged, CLASS_SPECIAL), 2);
	assert_int_equal(class_pages(forged, CLASS_NO_PAGE), 2);
}

static enum verdict verdict_of(const struct forged *forged, uint64_t pfn)
{
	return system_frame(&forged->system, pfn)->verdict;
}

/* A pte of anonymous memory that maps a free frame maps what was freed, however often it is seen. */
static void test_free_frames(void **state)
{
	struct forged *forged = *state;

	forge_process(forged, 100, 16, ANONYMOUS);
	forge_ptes(forged, 100, 0, 4, PFN, 0);
	forge_frames(forged, PFN, 1, 0, 0);
	forge_frames(forged, PFN + 1, 1, 0, KPF_BUDDY);
	forge_frames(forged, PFN + 2, 2, 0, 0);
	scan(forged);
	forge_ptes(forged, 100, 2, 1, 0, 0);
	assert_int_equal(verify(forged).changed, 4);
	assert_int_equal(class_pages(forged, CLASS_SPECIAL), 0);
	assert_int_equal(verify_sum(&forged->system).moving, 0);
}

/* Memory of a driver may have no flags either. */
static void test_driver_frames(void **state)
{
	struct forged *forged = *state;

	forge_process(forged, 100, 16, "rw-s 00000000 00:06 5 /dev/special");
	forge_ptes(forged, 100, 0, 3, PFN, 0);
	forge_frames(forged, PFN, 1, 0, 0);
	forge_frames(forged, PFN + 1, 1, 0, KPF_BUDDY);
	forge_frames(forged, PFN + 2, 1, 0, 0);
	scan(forged);
	forge_ptes(forged, 100, 2, 1, 0, 0);
	assert_int_equal(verify(forged).matched, 1);
	assert_int_equal(verdict_of(forged, PFN), VERDICT_MATCHED);
	assert_int_equal(class_pages(forged, CLASS_SPECIAL), 1);
}

/* Two processes with so many addresses that a whole reading is told from others by how much is read. */
#define MANY UINT64_C(65536)

static void forge_two(struct forged *forged)
{
	if (!bytes_read())
		test_not_run("kernel", "it does not count what is read (CONFIG_TASK_IO_ACCOUNTING)");
	forge_process(forged, 100, MANY, SHMEM);
	forge_process(forged, 101, MANY, SHMEM);
	for (int pid = 100; pid <= 101; pid++) {
		forge_ptes(forged, pid, 0, 4, PFN, PTE_FILE);
		forge_ptes(forged, pid, MANY - 4, 4, PFN + 4, PTE_FILE);
	}
	forge_frames(forged, PFN, 8, 2, LRU);
}

static uint64_t whole_readings(const struct forged *forged)
{
	return (forged->verified + forged->scanned / 2) / forged->scanned;
}

/* What is mapped less often than it was is decided by the ptes of this page alone. */
static void test_narrow(void **state)
{
	struct forged *forged = *state;

	forge_two(forged);
	scan(forged);
	forge_ptes(forged, 101, 1, 1, 0, 0);
	forge_frames(forged, PFN + 1, 1, 1, LRU);
	forge_frames(forged, PFN + 2, 1, 1, LRU); /* and this one is wrong */
	assert_int_equal(verify(forged).matched, 6);
	assert_int_equal(verdict_of(forged, PFN + 1), VERDICT_CHANGED);
	assert_int_equal(verdict_of(forged, PFN + 2), VERDICT_MISMATCHED);
	assert_int_equal(whole_readings(forged), 0);
}

/* What a new process maps is found by reading that one; so is what one maps that now executes another program. */
static void test_fresh(void **state)
{
	struct forged *forged = *state;

	forge_two(forged);
	forge_process(forged, 103, 16, SHMEM);
	scan(forged);
	forge_process(forged, 102, 16, SHMEM);
	forge_ptes(forged, 102, 1, 1, PFN + 1, PTE_FILE);
	forge_program(forged, 103, 16, 7);
	forge_ptes(forged, 103, 1, 1, PFN + 1, PTE_FILE);
	forge_frames(forged, PFN + 1, 1, 4, LRU);
	assert_int_equal(verify(forged).matched, 7);
	assert_int_equal(verdict_of(forged, PFN + 1), VERDICT_CHANGED);
	assert_int_equal(whole_readings(forged), 0);
}

/* What a process that was read has mapped meanwhile is found at once where its vma has the page, though no pte had. */
static void test_faulted(void **state)
{
	struct forged *forged = *state;

	forge_two(forged);
	forge_process(forged, 102, MANY, SHMEM);
	scan(forged);
	forge_ptes(forged, 102, 1, 2, PFN + 1, PTE_FILE);
	forge_frames(forged, PFN + 1, 1, 3, LRU);
	forge_frames(forged, PFN + 2, 1, 1, LRU); /* and this one is wrong */
	assert_int_equal(verify(forged).matched, 6);
	assert_int_equal(verdict_of(forged, PFN + 1), VERDICT_CHANGED);
	assert_int_equal(verdict_of(forged, PFN + 2), VERDICT_MISMATCHED);
	assert_int_equal(whole_readings(forged), 0);
}

/* What it has mapped elsewhere is found by reading all once more. */
static void test_whole(void **state)
{
	struct forged *forged = *state;

	forge_two(forged);
	scan(forged);
	forge_ptes(forged, 101, 100, 1, PFN + 1, PTE_FILE);
	forge_frames(forged, PFN + 1, 1, 3, LRU);
	assert_int_equal(verify(forged).matched, 7);
	assert_int_equal(verdict_of(forged, PFN + 1), VERDICT_CHANGED);
	assert_int_equal(whole_readings(forged), 1);
}

/* What may be mapped by a process that may not be read can never agree, and one whole reading shows it. */
static void test_unread(void **state)
{
	struct forged *forged = *state;

	forge_two(forged);
	scan(forged);
	forged->system.refused = 1;
	forged->system.refused_pages = 1;
	forge_frames(forged, PFN + 1, 1, 3, LRU);
	assert_int_equal(who_says(forged, PFN + 1), VERDICT_BOUNDED);
	assert_int_equal(verify(forged).bounded, 1);
	assert_int_equal(verdict_of(forged, PFN + 1), VERDICT_BOUNDED);
	assert_int_equal(whole_readings(forged), 1);
}

/* A system that is never quiet is not read for ever, nor for long. */
static void test_limits(void **state)
{
	struct forged *forged = *state;

	forge_two(forged);
	scan(forged);
	forge_frames(forged, PFN + 1, 1, 3, LRU);
	forged->threads = 2;
	assert_int_equal(verify(forged).moving, 1);
	assert_in_range(whole_readings(forged), 1, 4);
}

static void test_limit_of_time(void **state)
{
	struct forged *forged = *state;

	forge_two(forged);
	scan(forged);
	forge_frames(forged, PFN + 1, 1, 3, LRU);
	forged->threads = 2;
	step = 6;
	assert_int_equal(verify(forged).moving, 1);
	assert_in_range(whole_readings(forged), 0, 1);
}

/* CONFIG_NO_PAGE_MAPCOUNT: the count of each page is the average over its folio, rounded, and at least 1. */
static void forge_averages(struct forged *forged, uint64_t mappings)
{
	uint64_t average = (mappings + 8) / 16;

	forge_frames(forged, PFN, 16, average ? average : 1, LRU | KPF_COMPOUND_TAIL | KPF_THP);
	forge_frames(forged, PFN, 1, average ? average : 1, LRU | KPF_COMPOUND_HEAD | KPF_THP);
}

static void test_averages(void **state)
{
	struct forged *forged = *state;

	for (int pid = 100; pid < 103; pid++)
		forge_process(forged, pid, 64, SHMEM);
	/* Three map the first page, one the next two, and the rest is not mapped; and a small page. */
	for (int pid = 100; pid < 103; pid++)
		forge_ptes(forged, pid, 0, 1, PFN, PTE_FILE);
	forge_ptes(forged, 100, 1, 2, PFN + 1, PTE_FILE);
	forge_ptes(forged, 100, 40, 1, PFN + 40, PTE_FILE);
	forge_averages(forged, 5);
	forge_frames(forged, PFN + 40, 1, 1, LRU);
	scan(forged);
	assert_int_equal(who_says(forged, PFN), VERDICT_AVERAGED);
	assert_int_equal(who_says(forged, PFN + 7), VERDICT_AVERAGED);
	assert_int_equal(verify(forged).matched, 4);
	assert_true(forged->system.averaging);
	assert_int_equal(verdict_of(forged, PFN), VERDICT_AVERAGED);
	assert_int_equal(class_pages(forged, CLASS_AVERAGED), 3);
}

/* Processes that may not be read are no excuse where the average is right. */
static void test_averages_and_unread(void **state)
{
	struct forged *forged = *state;

	for (int pid = 100; pid < 103; pid++) {
		forge_process(forged, pid, 64, SHMEM);
		forge_ptes(forged, pid, 0, pid == 100 ? 16 : 10, PFN, PTE_FILE);
	}
	forge_averages(forged, 36);
	scan(forged);
	forged->system.refused = 1;
	forged->system.refused_pages = 100;
	assert_int_equal(verify(forged).bounded, 0);
	for (uint64_t i = 0; i < 16; i++)
		assert_int_equal(verdict_of(forged, PFN + i), VERDICT_AVERAGED);
}

/* An average that is wrong is a mismatch there too, and so is a small page. */
static void test_wrong_averages(void **state)
{
	struct forged *forged = *state;

	for (int pid = 100; pid < 103; pid++) {
		forge_process(forged, pid, 64, SHMEM);
		forge_ptes(forged, pid, 0, 10, PFN, PTE_FILE);
		forge_ptes(forged, pid, 32, 1, PFN + 32, PTE_FILE);
	}
	forge_averages(forged, 16);
	forge_frames(forged, PFN + 32, 1, 1, LRU);
	scan(forged);
	assert_int_equal(who_says(forged, PFN), VERDICT_MISMATCHED);
	assert_int_equal(who_says(forged, PFN + 32), VERDICT_MISMATCHED);
	assert_int_equal(verify(forged).mismatched, 11);
	assert_false(forged->system.averaging);
}

/* 6.10 and later, for a while: every anonymous page bears KSM's mark, so it says nothing. */
static void test_ksm(void **state)
{
	struct forged *forged = *state;

	forged->procfs.ksm_unknown = true;
	forge_process(forged, 100, 16, ANONYMOUS);
	forge_ptes(forged, 100, 0, 4, PFN, 0);
	forge_frames(forged, PFN, 4, 1, KPF_ANON | KPF_KSM | LRU);
	scan(forged);
	assert_int_equal(who_says(forged, PFN), VERDICT_MATCHED);
	assert_int_equal(verify(forged).matched, 4);
	assert_int_equal(class_pages(forged, CLASS_KSM), 0);
	assert_true(forged->system.ksm_unknown);
}

/* Until a test forges what the kernel says of large folios, it says nothing of them. */
static void forge_figure(struct forged *forged, const char *directory, const char *name, const char *value)
{
	char path[128];

	snprintf(forged->mm, sizeof(forged->mm), "%s/mm", forged->path);
	forged->procfs.mm = forged->mm;
	snprintf(path, sizeof(path), "mkdir -p %s/%s", forged->mm, directory);
	assert_int_equal(system(path), 0);
	snprintf(path, sizeof(path), "/mm/%s/%s", directory, name);
	write_text(forged, "", path, value);
}

static void forge_anonymous(struct forged *forged, const char *size, const char *n)
{
	char directory[64];

	snprintf(directory, sizeof(directory), "transparent_hugepage/hugepages-%s/stats", size);
	forge_figure(forged, directory, "nr_anon", n);
}

/*
 * The kernel has said of a small page that its only pte is that when that was read, and is not asked for another count
 * later, which here would be wrong. Of pages of large folios it is.
 */
static void test_exclusive(void **state)
{
	struct forged *forged = *state;
	struct verified verified;

	forge_process(forged, 100, 16, ANONYMOUS);
	forge_process(forged, 101, 16, SHMEM);
	forge_ptes(forged, 100, 0, 8, PFN, PTE_EXCLUSIVE);
	forge_ptes(forged, 101, 0, 2, PFN + 8, PTE_FILE | PTE_EXCLUSIVE);
	forge_ptes(forged, 101, 2, 1, PFN + 10, PTE_FILE);
	forge_frames(forged, PFN, 4, 7, KPF_ANON | LRU);
	forge_frames(forged, PFN + 4, 2, 1, KPF_ANON | LRU | KPF_COMPOUND_TAIL | KPF_THP);
	forge_frames(forged, PFN + 6, 2, 2, KPF_ANON | LRU | KPF_COMPOUND_TAIL | KPF_THP);
	forge_frames(forged, PFN + 8, 1, 7, LRU);
	forge_frames(forged, PFN + 9, 1, 2, KPF_HUGE | KPF_COMPOUND_TAIL);
	forge_frames(forged, PFN + 10, 1, 1, LRU);
	scan(forged);
	verified = verify(forged);
	assert_int_equal(verified.exclusive, 5);
	assert_int_equal(verified.matched, 8);
	assert_int_equal(verified.mismatched, 3);
	assert_int_equal(verdict_of(forged, PFN + 6), VERDICT_MISMATCHED);
	assert_int_equal(verdict_of(forged, PFN + 9), VERDICT_MISMATCHED);
	assert_int_equal(class_pages(forged, CLASS_THP), 4);
}

/* Where another pte maps the page, the two do not agree, and it is looked at again, even if a count does. */
static void test_disputed(void **state)
{
	struct forged *forged = *state;

	forge_process(forged, 100, 16, SHMEM);
	forge_process(forged, 101, 16, SHMEM);
	forge_ptes(forged, 100, 0, 4, PFN, PTE_FILE | PTE_EXCLUSIVE);
	forge_ptes(forged, 101, 0, 4, PFN, PTE_FILE);
	forge_frames(forged, PFN, 3, 2, LRU);
	forge_frames(forged, PFN + 3, 1, 2, LRU | KPF_COMPOUND_TAIL);
	scan(forged);
	forge_ptes(forged, 101, 1, 3, 0, 0);
	forge_frames(forged, PFN + 2, 1, 1, LRU);
	assert_int_equal(verify(forged).exclusive, 0);
	assert_int_equal(verdict_of(forged, PFN), VERDICT_MATCHED);
	assert_int_equal(verdict_of(forged, PFN + 1), VERDICT_MISMATCHED);
	assert_int_equal(verdict_of(forged, PFN + 2), VERDICT_CHANGED);
	/* In a large folio it may say so of a page that one process has mapped twice. */
	assert_int_equal(verdict_of(forged, PFN + 3), VERDICT_MATCHED);
}

/* What has become something else since is looked at again, though its new count is that of the old. */
static void test_exclusive_gone(void **state)
{
	struct forged *forged = *state;

	forge_process(forged, 100, 16, ANONYMOUS);
	forge_ptes(forged, 100, 0, 4, PFN, PTE_EXCLUSIVE);
	forge_frames(forged, PFN, 1, 0, 0);
	forge_frames(forged, PFN + 1, 1, 0, KPF_BUDDY);
	forge_frames(forged, PFN + 2, 1, 1, LRU);
	forge_frames(forged, PFN + 3, 1, 1, KPF_ANON | LRU);
	forge_process(forged, 101, 16, SHMEM);
	forge_ptes(forged, 101, 0, 2, PFN + 4, PTE_FILE | PTE_EXCLUSIVE);
	forge_frames(forged, PFN + 4, 1, 0, 0);
	forge_frames(forged, PFN + 5, 1, 0, KPF_BUDDY);
	scan(forged);
	forge_ptes(forged, 100, 0, 3, 0, 0);
	forge_ptes(forged, 101, 0, 2, 0, 0);
	forge_process(forged, 102, 16, SHMEM);
	forge_ptes(forged, 102, 0, 1, PFN + 2, PTE_FILE);
	assert_int_equal(verify(forged).exclusive, 1);
	assert_int_equal(verify_sum(&forged->system).changed, 5);
}

/* The map is held against the kernel's own count where it is wrong, whatever ptes have said. */
static void test_exclusive_broken(void **state)
{
	struct forged *forged = *state;

	forge_process(forged, 100, 16, ANONYMOUS);
	forge_ptes(forged, 100, 0, 2, PFN, PTE_EXCLUSIVE);
	forge_frames(forged, PFN, 2, 1, KPF_ANON | LRU);
	scan(forged);
	system_frame(&forged->system, PFN)->broken = true;
	assert_int_equal(verify_system(&forged->system, &forged->procfs, NULL, 0, 1), STATUS_OK);
	assert_int_equal(verify_sum(&forged->system).exclusive, 1);
	assert_int_equal(verdict_of(forged, PFN), VERDICT_MISMATCHED);
}

/* Two blocks of anonymous memory, one a huge page, of which the kernel says as little else as it can. */
static void forge_blocks(struct forged *forged)
{
	forge_process(forged, 100, 2 * HUGE, ANONYMOUS);
	forge_ptes(forged, 100, 0, HUGE, PFN, PTE_EXCLUSIVE);
	forge_ptes(forged, 100, HUGE, HUGE, PFN + HUGE, PTE_EXCLUSIVE);
	forge_frames(forged, PFN, HUGE, 1, KPF_ANON | LRU | KPF_KSM);
	forge_frames(forged, PFN + HUGE, 1, 1, KPF_ANON | LRU | KPF_COMPOUND_HEAD | KPF_THP);
	forge_frames(forged, PFN + HUGE + 1, HUGE - 1, 1, KPF_ANON | LRU | HUGE_FLAGS);
	scan(forged);
	forged->system.kinds_only = true;
}

static void expect_kinds(struct forged *forged, uint64_t ksm, uint64_t thp)
{
	assert_int_equal(verify(forged).matched, 2 * HUGE);
	assert_int_equal(class_pages(forged, CLASS_KSM), ksm);
	assert_int_equal(class_pages(forged, CLASS_THP), thp);
}

/* Without large folios and merged pages no flags of such pages are read: those that are here would say otherwise. */
static void test_kinds_known(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "2048kB", "0\n");
	forge_figure(forged, "transparent_hugepage/hugepages-8kB/stats", "shmem_alloc", "9\n");
	forge_figure(forged, "hugepages/hugepages-2048kB", "nr_hugepages", "0\n");
	forge_figure(forged, "ksm", "pages_shared", "0\n");
	forge_blocks(forged);
	expect_kinds(forged, 0, 0);
}

/* What the kernel says of such pages is taken for those alone of which one pte was found. */
static void test_kinds_of_disputed(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "2048kB", "0\n");
	forge_process(forged, 101, 16, ANONYMOUS);
	forge_ptes(forged, 101, 0, 5, PFN, PTE_EXCLUSIVE);
	forge_blocks(forged);
	forge_frames(forged, PFN, 5, 2, KPF_ANON | LRU | KPF_KSM);
	expect_kinds(forged, 5, 0);
	assert_int_equal(verify_sum(&forged->system).exclusive, 2 * HUGE - 5);
}

/* Nor of such as several processes have since a fork, unless the kernel counts otherwise. */
static void test_kinds_of_forked(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "2048kB", "0\n");
	for (int pid = 100; pid < 102; pid++) {
		forge_process(forged, pid, 16, ANONYMOUS);
		forge_ptes(forged, pid, 0, 16, PFN, 0);
	}
	forge_frames(forged, PFN, 13, 2, KPF_ANON | LRU | KPF_KSM);
	forge_frames(forged, PFN + 13, 1, 0, KPF_ZERO_PAGE);
	forge_frames(forged, PFN + 14, 2, 3, KPF_ANON | LRU | KPF_KSM);
	scan(forged);
	forged->system.kinds_only = true;
	assert_int_equal(verify(forged).matched, 14);
	assert_int_equal(verdict_of(forged, PFN + 14), VERDICT_MISMATCHED);
	assert_int_equal(class_pages(forged, CLASS_ZERO), 1);
	assert_int_equal(class_pages(forged, CLASS_KSM), 2);
}

/* If there are large ones, it depends on how a block begins. */
static void test_kinds_by_block(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "2048kB", "3\n");
	forge_anonymous(forged, "64kB", "0\n");
	forge_blocks(forged);
	expect_kinds(forged, 0, HUGE);
}

static void test_kinds_of_hugetlb(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "2048kB", "0\n");
	forge_figure(forged, "hugepages/hugepages-1048576kB", "nr_hugepages", "0\n");
	forge_figure(forged, "hugepages/hugepages-2048kB", "nr_hugepages", "1\n");
	forge_blocks(forged);
	expect_kinds(forged, 0, HUGE);
}

/* Blocks of 4 pages are not worth asking for. */
static void test_kinds_of_small_blocks(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "16kB", "1\n");
	forge_blocks(forged);
	expect_kinds(forged, HUGE, HUGE);
}

static void test_kinds_of_merged(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "2048kB", "0\n");
	forge_figure(forged, "ksm", "pages_shared", "1\n");
	forge_blocks(forged);
	expect_kinds(forged, HUGE, HUGE);
}

/* Kernels that know of no sizes, such as do not tell of them, and such as tell nothing. */
static void test_kinds_unknown(void **state)
{
	struct forged *forged = *state;

	forge_figure(forged, "transparent_hugepage", "enabled", "always\n");
	forge_blocks(forged);
	expect_kinds(forged, HUGE, HUGE);
}

static void test_kinds_untold(void **state)
{
	struct forged *forged = *state;

	forge_figure(forged, "transparent_hugepage/hugepages-64kB", "enabled", "always\n");
	forge_blocks(forged);
	expect_kinds(forged, HUGE, HUGE);
}

/* Who wants to know more than kinds gets it. */
static void test_all_flags(void **state)
{
	struct forged *forged = *state;

	forge_anonymous(forged, "2048kB", "0\n");
	forge_blocks(forged);
	forged->system.kinds_only = false;
	expect_kinds(forged, HUGE, HUGE);
}

static void test_kinds_nowhere(void **state)
{
	struct forged *forged = *state;

	forge_blocks(forged);
	expect_kinds(forged, HUGE, HUGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_huge_zero_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_shmem_without_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_special_and_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_driver_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_narrow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fresh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faulted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_of_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ksm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exclusive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disputed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exclusive_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exclusive_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_of_disputed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_of_forked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_by_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_of_hugetlb, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_of_small_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_of_merged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_untold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_averages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_averages_and_unread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_averages, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
