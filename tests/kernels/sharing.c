/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * sharing.c - memory that is shared in known ways, on the kernels of scripts/kernels
 *
 * A process lays out memory of many kinds, forks two children that do something else with parts of it, and starts a
 * third process that has its address space without being its thread. When all is as it should be, the program ends and
 * leaves them; it has printed one line for each page worth asking about,
 *
 *      NAME PID ADDRESS COUNT
 *
 * where COUNT is how many ptes map the page, "zero" for the zero page, whose mappings the kernel does not count, or
 * "none" if no page is there; first "page-size BYTES" and "partner PID", the third process. What this machine cannot
 * have is told as "NAME left out: REASON": that a huge page came, /proc/kpageflags must say. It needs root, and is to
 * be the only one who uses KSM.
 *
 * With an argument, a process of another kind is left, one that has reserved a TiB of addresses, as programs under
 * AddressSanitizer do, and uses few of them; the line of one page is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGES 4u
#define CHILDREN 2
#define RESERVED_PAGES 100u
#define PATIENCE 3000 /* how often to look, every 10 ms, for what the kernel does by itself */

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define GUARD_INSTALL 102 /* madvise(), since Linux 6.13 */
#define SYS_SECRET 447    /* memfd_secret() */
#define DEVICE_AT 0xf0000 /* the firmware of a PC, which may be mapped */

#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_PFN ((UINT64_C(1) << 55) - 1)
#define KPF_KSM (UINT64_C(1) << 21)
#define KPF_THP (UINT64_C(1) << 22)

static size_t page_size, huge_size;
static int ready[2], finished[2]; /* from the children to their parent, from it to main() */
static int file, private_file, huge_file;
static char *shared, *again, *copied, *anonymous, *moved, *place, *locked, *zero, *same, *swapped;
static char *huge, *huge_shared, *huge_private, *huge_zero, *hugetlb, *folio;
static char *secret, *device, *guarded, *protected; /* or NULL: what not every kernel has */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "sharing: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static char *page(char *base, size_t number)
{
	return base + number * page_size;
}

static char *map(size_t size, int flags, int fd)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

/* @size bytes at a multiple of @size: only such an area can be a huge page. */
static char *map_aligned(size_t size, int flags, int fd)
{
	char *area = map(2 * size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	char *at = (char *)(((uintptr_t)area + size - 1) & ~(uintptr_t)(size - 1));

	if (mmap(at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
		die("mmap at an aligned address");
	return at;
}

static void advise(char *at, size_t size, int advice)
{
	if (madvise(at, size, advice))
		die("madvise");
}

static int make_file(const char *name, size_t size)
{
	int fd = memfd_create(name, 0);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		die(name);
	return fd;
}

static void fill(char *at, size_t size, char byte)
{
	for (size_t i = 0; i < size; i += page_size)
		*(volatile char *)(at + i) = byte;
}

static void touch(char *at, size_t size)
{
	for (size_t i = 0; i < size; i += page_size)
		(void)*(volatile char *)(at + i);
}

/* ---- what the kernel says ---- */

static uint64_t read_number(const char *path, uint64_t index)
{
	uint64_t number = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || pread(fd, &number, sizeof(number), (off_t)(index * sizeof(number))) != sizeof(number))
		die(path);
	close(fd);
	return number;
}

static uint64_t pagemap(const char *at)
{
	return read_number("/proc/self/pagemap", (uintptr_t)at / page_size);
}

static bool has_flag(const char *at, uint64_t flag)
{
	uint64_t entry = pagemap(at);

	return entry & PAGEMAP_PRESENT && read_number("/proc/kpageflags", entry & PAGEMAP_PFN) & flag;
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return written;
}

static void wait_a_moment(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

static bool is_merged(void)
{
	uint64_t first = pagemap(same) & PAGEMAP_PFN;

	for (unsigned i = 1; i < PAGES; i++)
		if ((pagemap(page(same, i)) & PAGEMAP_PFN) != first)
			return false;
	return true;
}

/* ---- the memory ---- */

static void lay_out_small(size_t size)
{
	file = make_file("sharing", size);
	shared = map(size, MAP_SHARED, file);
	again = map(size, MAP_SHARED, file);
	private_file = make_file("copied", size);
	copied = map(size, MAP_SHARED, private_file);
	fill(copied, size, 'f');
	munmap(copied, size);
	copied = map(size, MAP_PRIVATE, private_file);
	anonymous = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	moved = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	place = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	locked = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	zero = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	same = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	swapped = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(shared, size, 's');
	touch(again, size);
	touch(copied, size);
	fill(anonymous, size, 'a');
	fill(moved, size, 'm');
	fill(locked, size, 'l');
	touch(zero, size);
	fill(same, size, 'k');
	fill(swapped, size, 'w');
	if (mlock(locked, size))
		die("mlock");
	advise(locked, size, MADV_DONTFORK);
	advise(zero, size, MADV_DONTFORK);
	advise(same, size, MADV_DONTFORK);
	advise(swapped, size, MADV_DONTFORK);
}

static void lay_out_huge(void)
{
	huge = map_aligned(huge_size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	advise(huge, huge_size, MADV_HUGEPAGE);
	fill(huge, huge_size, 'h');

	huge_file = make_file("huge", huge_size);
	huge_shared = map_aligned(huge_size, MAP_SHARED, huge_file);
	advise(huge_shared, huge_size, MADV_HUGEPAGE);
	fill(huge_shared, huge_size, 'S');
	huge_private = map_aligned(huge_size, MAP_PRIVATE, huge_file);
	advise(huge_private, huge_size, MADV_DONTFORK);
	touch(huge_private, huge_size);
	fill(huge_private, page_size, 'P');
	touch(huge_private, huge_size);

	huge_zero = map_aligned(huge_size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	advise(huge_zero, huge_size, MADV_HUGEPAGE);
	advise(huge_zero, huge_size, MADV_DONTFORK);
	touch(huge_zero, 1);

	/* A folio of 16 pages, where the kernel has such. */
	folio = map_aligned(16 * page_size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	advise(folio, 16 * page_size, MADV_HUGEPAGE);
	fill(folio, 16 * page_size, 'o');

	hugetlb = mmap(NULL, huge_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (hugetlb != MAP_FAILED)
		fill(hugetlb, huge_size, 'H');
}

/* Memory that the kernel itself does not have mapped. */
static void lay_out_secret(void)
{
	int fd = (int)syscall(SYS_SECRET, 0);

	if (fd < 0 || ftruncate(fd, (off_t)page_size))
		return;
	secret = map(page_size, MAP_SHARED, fd);
	fill(secret, page_size, 'x');
}

static void lay_out_device(void)
{
	int fd = open("/dev/mem", O_RDONLY);
	char *at = fd < 0 ? MAP_FAILED : mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, DEVICE_AT);

	if (at == MAP_FAILED)
		return;
	device = at;
	touch(device, page_size);
}

/* A page whose access is an error, in the place of one that was there; its neighbours are as they were. */
static void lay_out_guard(void)
{
	char *at = map(3 * page_size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	advise(at, 3 * page_size, MADV_DONTFORK);
	fill(at, 3 * page_size, 'g');
	if (!madvise(page(at, 1), page_size, GUARD_INSTALL))
		guarded = at;
}

/* Of a file two pages, write-protected by userfaultfd; of the second only that mark is left. */
static void lay_out_protected(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	char *at = map(2 * page_size, MAP_SHARED, make_file("protected", 2 * page_size));
	struct uffdio_register range = { .range = { (uintptr_t)at, 2 * page_size }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { .range = range.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	advise(at, 2 * page_size, MADV_DONTFORK);
	fill(at, 2 * page_size, 'p');
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range) ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &protect))
		return;
	advise(page(at, 1), page_size, MADV_DONTNEED);
	protected = at;
}

/* ---- the processes ---- */

static _Noreturn void stay(int told)
{
	char byte = 'y';

	if (write(told, &byte, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void await(int told)
{
	char byte;

	if (read(told, &byte, 1) != 1)
		die("a process that was started ended at once");
}

static _Noreturn void child_main(int number, size_t size)
{
	touch(shared, size);
	touch(huge_shared, huge_size);
	if (hugetlb != MAP_FAILED)
		touch(hugetlb, huge_size);
	if (secret)
		touch(secret, page_size);
	if (number == 0) {
		touch(copied, size);
		munmap(again, size);
		if (mremap(moved, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED)
			_exit(1);
	} else {
		/* Its half of the huge pages is mapped by small ptes from now on. */
		munmap(page(huge, huge_size / page_size / 2), huge_size / 2);
		munmap(page(huge_shared, huge_size / page_size / 2), huge_size / 2);
		touch(huge_shared, huge_size / 2);
		munmap(again, size);
		fill(copied, size, 'C');
		fill(anonymous, page_size, 'A');
	}
	stay(ready[1]);
}

static int partner_main(void *arg)
{
	(void)arg;
	stay(ready[1]);
}

/* Until the kernel has merged the equal pages; then it is told to stand still, as the counts are to. */
static bool merge(size_t size)
{
	if (madvise(same, size, MADV_MERGEABLE) || !write_text("/sys/kernel/mm/ksm/sleep_millisecs", "10") ||
	    !write_text("/sys/kernel/mm/ksm/run", "1"))
		return false;
	for (int i = 0; i < PATIENCE && !is_merged(); i++)
		wait_a_moment();
	write_text("/sys/kernel/mm/ksm/run", "0");
	return is_merged();
}

static bool page_out(size_t size)
{
	for (int i = 0; i < PATIENCE / 30 && !(pagemap(swapped) & PAGEMAP_SWAPPED); i++) {
		madvise(swapped, size, MADV_PAGEOUT);
		wait_a_moment();
	}
	return pagemap(swapped) & PAGEMAP_SWAPPED;
}

static void tell(const char *name, pid_t pid, const char *at, const char *count)
{
	printf("%s %d %p %s\n", name, (int)pid, (const void *)at, count);
}

static void tell_if(bool there, const char *reason, const char *name, pid_t pid, const char *at, const char *count)
{
	if (there)
		tell(name, pid, at, count);
	else
		printf("%s left out: %s\n", name, reason);
}

/* All that is worth asking about; @merged, @out: KSM and swap did their part. */
static void tell_all(pid_t first, pid_t second, pid_t partner, bool merged, bool out)
{
	const char *none_huge = "no huge page came";
	size_t high = huge_size / page_size / 2 + 1;
	pid_t me = getpid();
	bool is_huge = has_flag(huge, KPF_THP), is_shared = has_flag(huge_shared, KPF_THP);

	printf("page-size %zu\npartner %d\n", page_size, (int)partner);
	tell("file", me, page(shared, 1), "4");
	tell("file-copied", me, page(copied, 1), "2");
	tell("file-copy", second, page(copied, 1), "1");
	tell("forked", me, page(anonymous, 1), "3");
	tell("forked-copy", second, anonymous, "1");
	tell("moved", first, page(place, 2), "3");
	tell("locked", me, page(locked, 1), "1");
	tell("zero", me, page(zero, 1), "zero");
	tell("folio", first, page(folio, 5), "3");
	tell_if(is_huge, none_huge, "huge", me, page(huge, 3), "3");
	tell_if(is_huge, none_huge, "huge-half", me, page(huge, high), "2");
	tell_if(is_shared, none_huge, "huge-shared", me, page(huge_shared, 3), "4");
	tell_if(is_shared, none_huge, "huge-shared-half", me, page(huge_shared, high), "3");
	tell_if(is_shared, none_huge, "huge-shared-copied", me, huge_shared, "3");
	tell("huge-shared-copy", me, huge_private, "1");
	tell_if(has_flag(huge_zero, KPF_THP), none_huge, "huge-zero", me, page(huge_zero, 7), "zero");
	tell_if(hugetlb != MAP_FAILED, "no huge page is reserved", "hugetlb", me, page(hugetlb, 3), "3");
	tell_if(merged, "KSM did not merge", "ksm", me, page(same, 2), "4");
	tell_if(out, "no swap", "swapped", me, swapped, "none");
	tell_if(secret, "no secret memory", "secret", me, secret, "3");
	tell_if(device, "no device memory to be mapped", "device", me, device, "none");
	tell_if(guarded, "no guard regions", "guard", me, page(guarded, 1), "none");
	tell_if(guarded, "no guard regions", "guarded", me, page(guarded, 2), "1");
	tell_if(protected, "userfaultfd protects no files", "protected", me, protected, "1");
	tell_if(protected, "userfaultfd protects no files", "protected-mark", me, page(protected, 1), "none");
	if (has_flag(locked, KPF_KSM))
		printf("ksm-flag left out: this kernel says so of pages that KSM never saw\n");
}

static _Noreturn void parent_main(size_t size)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t child[CHILDREN], partner;
	bool merged, out;

	lay_out_small(size);
	lay_out_huge();
	lay_out_secret();
	lay_out_device();
	lay_out_guard();
	lay_out_protected();
	for (int i = 0; i < CHILDREN; i++) {
		child[i] = fork();
		if (child[i] < 0)
			die("fork");
		if (!child[i])
			child_main(i, size);
		await(ready[0]);
	}
	merged = merge(size);
	out = page_out(size);
	partner = clone(partner_main, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (partner < 0)
		die("clone");
	await(ready[0]);

	tell_all(child[0], child[1], partner, merged, out);
	if (fflush(stdout))
		die("standard output");
	stay(finished[1]);
}

static _Noreturn void reserving_main(void)
{
	size_t size = (size_t)1 << 40;
	char *area = map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

	for (size_t i = 0; i < RESERVED_PAGES; i++)
		area[size / RESERVED_PAGES * i] = 'r';
	tell("reserved", getpid(), area, "1");
	if (fflush(stdout))
		die("standard output");
	stay(finished[1]);
}

int main(int argc, char **argv)
{
	pid_t pid;

	(void)argv;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	huge_size = page_size / sizeof(uint64_t) * page_size;
	if (pipe(ready) || pipe(finished))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid && argc > 1)
		reserving_main();
	if (!pid)
		parent_main(PAGES * page_size);
	close(finished[1]);
	await(finished[0]);
	return 0;
}
