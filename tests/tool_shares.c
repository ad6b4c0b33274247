/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_shares.c - `rmap shares` and `rmap freed` against processes whose memory is known to the page
 *
 *      tool_shares PATH-TO-RMAP
 *
 * This program is static. It copies itself to a memfd and runs from there three times over, once as a fork of another,
 * and each of these members gives back the pages that all processes have (vdso): so everything a member maps is
 * mapped by members alone, however busy the system is. Then they lay out memory that is shared in known ways, say so
 * through a pipe and stay until another pipe is closed, so nothing here waits on a clock. Their page tables, read here
 * by themselves, tell what their sums have to be, to the byte; and so does the layout, of each file. At last two of
 * them are ended, and every frame that was said to be free then is free, or somebody else's.
 *
 * Huge pages of both kinds, swap, a file on a disk (in the working directory) and a page of the kernel's (a ring of
 * io_uring) are laid out where the system has them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PRESENT (UINT64_C(1) << 63)
#define PFN(entry) ((entry) & ((UINT64_C(1) << 55) - 1))
#define SWAPPED (UINT64_C(1) << 62)
#define NOT_ANONYMOUS (UINT64_C(1) << 61)
#define MEMBERS 3
/* Descriptors that members are given. */
enum { FD_READY = 200, FD_HOLD, FD_KEPT, FD_HELD, FD_MAPPED, FD_NAMED };

#define HUGE_SIZE ((size_t)2 << 20)
#define HUGE_AT ((char *)0x100000000000)

static size_t page_size;
static int failures, checks;
static const char *rmap;
static pid_t members[MEMBERS]; /* the first, its fork, another one */
static int kept, held, mapped; /* memfds: that all have; that this process has open; that another member maps */
static int named;              /* a file that has a name */

static void die(const char *what)
{
	fprintf(stderr, "tool_shares: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(bool right, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void check(bool right, const char *format, ...)
{
	va_list args;

	checks++;
	if (right)
		return;
	failures++;
	fputs("tool_shares: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ---- members ---- */

static char *map(size_t pages, int flags, int fd)
{
	char *at = mmap(NULL, pages * page_size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static char *anonymous(size_t pages)
{
	return map(pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void fill(char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(at + i * page_size) = 'y';
}

static int make_file(const char *name, size_t pages)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)(pages * page_size)))
		die("memfd_create");
	return fd;
}

/* Unmap what every process has. */
static void leave_everyones(void)
{
	char line[256];
	struct {
		uintptr_t from, to;
	} ranges[8];
	size_t n = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		if ((strstr(line, "[vdso]") || strstr(line, "[vvar")) && n < 8 &&
		    sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &ranges[n].from, &ranges[n].to) == 2)
			n++;
	if (!maps)
		die("/proc/self/maps");
	fclose(maps);
	for (size_t i = 0; i < n; i++)
		if (munmap((void *)ranges[i].from, ranges[i].to - ranges[i].from))
			die("munmap");
}

static void stay(void)
{
	pid_t self = getpid();
	char byte;

	if (write(FD_READY, &self, sizeof(self)) != sizeof(self))
		_exit(1);
	while (read(FD_HOLD, &byte, 1) > 0)
		;
	_exit(0);
}

/* 4 pages at two places. */
static void map_twice(void)
{
	int fd = make_file("rmap-test-twice", 4);

	fill(map(4, MAP_SHARED, fd), 4);
	fill(map(4, MAP_SHARED, fd), 4);
}

/* A file of 12 pages of which 8 are mapped, and 6 pages without a file. */
static void map_files(void)
{
	int fd = make_file("rmap-test-last", 12);
	char *at = map(12, MAP_SHARED, fd);

	fill(at, 12);
	if (munmap(at + 8 * page_size, 4 * page_size))
		die("munmap");
	fill(map(6, MAP_SHARED | MAP_ANONYMOUS, -1), 6);
	fill(map(5, MAP_SHARED, FD_HELD), 5);
	fill(map(3, MAP_SHARED, FD_MAPPED), 3);
	fill(map(2, MAP_SHARED, FD_NAMED), 2);
}

/* A page of the kernel's, where it lets us have one. The mapping keeps it. */
static void map_ring(void)
{
	struct io_uring_params parameters = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &parameters);
	char *at;

	if (fd < 0)
		return;
	at = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	if (at == MAP_FAILED || madvise(at, page_size, MADV_DONTFORK))
		die("a ring of io_uring");
	close(fd);
}

/* Two pages of a huge one, the rest of which is given back; a hugetlb page; pages in swap. */
static void map_special(void)
{
	char *swapped = anonymous(7), *hugetlb;

	if (mmap(HUGE_AT, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) != HUGE_AT)
		die("mmap of a huge page");
	madvise(HUGE_AT, HUGE_SIZE, MADV_HUGEPAGE);
	fill(HUGE_AT, 2);
	if (madvise(HUGE_AT + 2 * page_size, HUGE_SIZE - 2 * page_size, MADV_DONTNEED))
		die("madvise");
	madvise(HUGE_AT, HUGE_SIZE, MADV_NOHUGEPAGE); /* nor shall the kernel make one anew */
	hugetlb = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (hugetlb != MAP_FAILED)
		fill(hugetlb, 1);
	fill(swapped, 7);
	madvise(swapped, 7 * page_size, MADV_PAGEOUT);
}

/* Every page that both forks will have is touched before; then the second writes to 4 of 16. */
static void first_main(void)
{
	char *common = anonymous(16), *locked = anonymous(3);

	fill(common, 16);
	map_twice();
	map_files();
	map_special();
	map_ring();
	if (mlock(locked, 3 * page_size))
		die("mlock");
	fill(locked, 3);
	fill(map(8, MAP_SHARED, FD_KEPT), 8);
	if (!fork()) {
		fill(common, 4);
		if (madvise(HUGE_AT + page_size, page_size, MADV_DONTNEED))
			die("madvise");
		stay();
	}
	stay();
}

static int member_main(const char *which)
{
	leave_everyones();
	if (*which == '1')
		first_main();
	/* The other one maps more of the file, another one without touching it, and has its own pages. */
	map(3, MAP_SHARED, FD_MAPPED);
	close(FD_HELD);
	close(FD_MAPPED);
	close(FD_NAMED);
	fill(map(12, MAP_SHARED, FD_KEPT), 12);
	fill(anonymous(5), 5);
	stay();
	return 1;
}

/* Run @copy; returns the end of a pipe from which to read who is ready. */
static int start(int copy, char *which, int hold)
{
	char *argv[] = { "member", "--member", which, NULL }, *environment[] = { NULL };
	int ready[2];
	pid_t child;

	if (pipe2(ready, O_CLOEXEC))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (child) {
		close(ready[1]);
		return ready[0];
	}
	if (dup2(ready[1], FD_READY) < 0 || dup2(hold, FD_HOLD) < 0 || dup2(kept, FD_KEPT) < 0 ||
	    dup2(held, FD_HELD) < 0 || dup2(mapped, FD_MAPPED) < 0 || dup2(named, FD_NAMED) < 0)
		die("descriptors of a member");
	fexecve(copy, argv, environment);
	die("a member");
	return -1;
}

static int copy_of_self(void)
{
	int fd = memfd_create("rmap-test-member", MFD_CLOEXEC), self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char bytes[65536];
	ssize_t got;

	if (fd < 0 || self < 0)
		die("a copy of this program");
	while ((got = read(self, bytes, sizeof(bytes))) > 0)
		if (write(fd, bytes, (size_t)got) != got)
			die("a copy of this program");
	close(self);
	return fd;
}

static pid_t await(int ready)
{
	pid_t pid;
	int status = 0;

	if (read(ready, &pid, sizeof(pid)) == sizeof(pid))
		return pid;
	wait(&status);
	fprintf(stderr, "tool_shares: a process that was started ended at once, with status %#x\n", (unsigned)status);
	exit(1);
}

/* The first and its fork tell in any order. */
static void start_all(int copy, int hold)
{
	char text[64], parent[64];
	FILE *stat;
	int of = 0, ready = start(copy, "1", hold);

	members[0] = await(ready);
	members[1] = await(ready);
	close(ready);
	ready = start(copy, "2", hold);
	members[2] = await(ready);
	close(ready);
	snprintf(text, sizeof(text), "/proc/%d/stat", (int)members[0]);
	stat = fopen(text, "r");
	if (!stat || fscanf(stat, "%*d (%*[^)]) %63s %d", parent, &of) != 2)
		die(text);
	fclose(stat);
	if (of != getpid()) {
		pid_t fork_of = members[0];

		members[0] = members[1];
		members[1] = fork_of;
	}
}

/* ---- what they have, read by other means ---- */

struct sums {
	uint64_t rss, uss, twice;
	long double pss;
};

static uint64_t word_at(const char *path, uint64_t number)
{
	uint64_t word = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &word, sizeof(word), (off_t)(number * sizeof(word))) < 0)
		die(path);
	close(fd);
	return word;
}

/* A page-table entry: a frame, or what it has in the place of one if it is swapped. */
struct pte {
	uint64_t pfn;
	int member;
	const char *kind; /* as --by kind names it: what maps and the entry say, not the page */
};

static struct pte ptes[65536], slots[64];
static size_t ptes_n, slots_n;

/* How many slots members @from to @to have, each once. */
static uint64_t count_slots(int from, int to)
{
	uint64_t n = 0;

	for (size_t i = 0; i < slots_n; i++) {
		bool first = slots[i].member >= from && slots[i].member <= to;

		for (size_t k = 0; k < i; k++)
			first &= slots[k].pfn != slots[i].pfn || slots[k].member < from || slots[k].member > to;
		n += first;
	}
	return n;
}

static bool is_in_memory(int fd)
{
	struct statfs stat;

	if (fstatfs(fd, &stat))
		die("fstatfs");
	return stat.f_type == TMPFS_MAGIC || stat.f_type == RAMFS_MAGIC;
}

/* Of what kind is a page with this entry in the mapping that @line of maps is about? */
static const char *kind_of(const char *line, uint64_t entry)
{
	if (strstr(line, "anon_hugepage"))
		return "hugetlb";
	if (!(entry & NOT_ANONYMOUS))
		return "anonymous";
	if (strstr(line, "io_uring"))
		return "the kernel's, drivers'";
	return strstr(line, "rmap-test-named") && !is_in_memory(named) ? "files" : "tmpfs, memfd, shared";
}

static void list_ptes(int member)
{
	char path[64], line[512];
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)members[member]);
	maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)members[member]);
	while (maps && fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) != 2 || from >> 63)
			continue;
		for (; from < to; from += page_size) {
			uint64_t entry = word_at(path, from / page_size);

			if (entry & PRESENT && ptes_n < sizeof(ptes) / sizeof(ptes[0]))
				ptes[ptes_n++] = (struct pte){ PFN(entry), member, kind_of(line, entry) };
			else if (entry & SWAPPED && slots_n < sizeof(slots) / sizeof(slots[0]))
				slots[slots_n++] = (struct pte){ PFN(entry), member, "anonymous" };
		}
	}
	if (!maps)
		die(path);
	fclose(maps);
}

/* The zero page is no memory: everyone has it. */
static bool is_zero_page(uint64_t pfn)
{
	return word_at("/proc/kpageflags", pfn) >> 24 & 1;
}

static struct sums sum_up(int member)
{
	struct sums sums = { 0 };

	for (size_t i = 0; i < ptes_n; i++) {
		size_t own = 0, all = 0, before = 0;

		if (ptes[i].member != member || is_zero_page(ptes[i].pfn))
			continue;
		for (size_t k = 0; k < ptes_n; k++) {
			bool same = ptes[k].pfn == ptes[i].pfn;

			all += same;
			own += same && ptes[k].member == member;
			before += same && ptes[k].member == member && k < i;
		}
		sums.pss += (long double)page_size / (long double)all;
		check(word_at("/proc/kpagecount", ptes[i].pfn) == all,
		      "frame %" PRIx64 " is not mapped by members alone", ptes[i].pfn);
		if (before) {
			sums.twice += page_size;
			continue;
		}
		sums.rss += page_size;
		sums.uss += own == all ? page_size : 0;
	}
	return sums;
}

/* ---- asking ---- */

static json_t *ask(const char *words)
{
	char command[512];
	json_error_t error;
	json_t *answer;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "'%s' %s --json", rmap, words);
	pipe = popen(command, "r");
	if (!pipe)
		die("popen");
	answer = json_loadf(pipe, 0, &error);
	status = pclose(pipe);
	check(status == 0 && answer, "rmap %s: status %d, %s", words, status, answer ? "JSON" : error.text);
	return answer;
}

static json_int_t integer(const json_t *object, const char *name)
{
	const json_t *field = json_object_get(object, name);

	check(json_is_integer(field), "\"%s\" is no number", name);
	return json_integer_value(field);
}

static const json_t *group_of(const json_t *report, size_t tally, const char *name, pid_t pid)
{
	const json_t *groups = json_object_get(json_array_get(json_object_get(report, "tallies"), tally), "groups"),
		     *group;
	size_t i;

	json_array_foreach(groups, i, group)
	{
		const char *its = json_string_value(json_object_get(group, "name"));

		if (pid ? json_integer_value(json_object_get(group, "pid")) == pid : its && strstr(its, name))
			return group;
	}
	check(false, "no group %s %d", name, (int)pid);
	return NULL;
}

/* No difference but those that are known, and these as large as they should be. */
static void check_beside(const json_t *group, const struct sums *sums)
{
	static const char *const figures[] = { "rss", "pss", "uss", "swap" };
	const json_t *differences = json_object_get(json_object_get(group, "kernel"), "differences");
	const int64_t twice[] = { -(int64_t)sums->twice, 0, (int64_t)sums->twice, 0 };

	for (int i = 0; i < 4; i++) {
		const json_t *parts = json_object_get(differences, figures[i]);

		check(json_is_object(parts) && !json_object_get(parts, "changed"), "a difference of %s has no reason",
		      figures[i]);
		check(json_integer_value(json_object_get(parts, "twice")) == twice[i],
		      "%s: pages mapped twice make a difference of %" PRId64 ", not %" PRId64, figures[i],
		      (int64_t)json_integer_value(json_object_get(parts, "twice")), twice[i]);
	}
}

static void check_processes(const json_t *report)
{
	for (int i = 0; i < MEMBERS; i++)
		list_ptes(i);
	for (int i = 0; i < MEMBERS; i++) {
		struct sums sums = sum_up(i);
		const json_t *group = group_of(report, 0, "", members[i]);
		uint64_t pss = (uint64_t)(sums.pss + 0.5L);

		check((uint64_t)integer(group, "rss") == sums.rss, "member %d: Rss is %" PRIu64, i, sums.rss);
		check((uint64_t)integer(group, "pss") == pss, "member %d: Pss is %" PRIu64, i, pss);
		check((uint64_t)integer(group, "uss") == sums.uss, "member %d: Uss is %" PRIu64, i, sums.uss);
		check((uint64_t)integer(group, "swap") == count_slots(i, i) * page_size, "member %d: Swap", i);
		check_beside(group, &sums);
	}
}

static void check_file(const json_t *report, const char *name, uint64_t rss, uint64_t uss)
{
	const json_t *group = group_of(report, 1, name, 0);

	check((uint64_t)integer(group, "rss") == rss * page_size && (uint64_t)integer(group, "pss") == rss * page_size,
	      "%s has %" PRIu64 " pages", name, rss);
	check((uint64_t)integer(group, "uss") == uss * page_size, "%s has %" PRIu64 " pages of one process", name, uss);
}

/* Of each kind, what the first one has is what it shares with itself. */
static void check_kinds(void)
{
	char words[64];
	json_t *report;
	const json_t *group;
	size_t i;

	snprintf(words, sizeof(words), "shares --by kind --with %d", (int)members[0]);
	report = ask(words);
	json_array_foreach(json_object_get(json_array_get(json_object_get(report, "tallies"), 0), "groups"), i, group)
	{
		const char *kind = json_string_value(json_object_get(group, "name"));
		uint64_t pages = 0;

		for (size_t k = 0; k < ptes_n; k++) {
			bool first = ptes[k].member == 0 && !strcmp(ptes[k].kind, kind) && !is_zero_page(ptes[k].pfn);

			for (size_t m = 0; m < k && first; m++)
				first = ptes[m].pfn != ptes[k].pfn || ptes[m].member != 0;
			pages += first;
		}
		check((uint64_t)integer(group, "shared") == pages * page_size, "%s: %" PRIu64 " pages", kind, pages);
	}
	check(i >= (is_in_memory(named) ? 2 : 3), "kinds of memory are missing");
	json_decref(report);
}

/* ---- what ending them gives back ---- */

#define FLAG(flags, number) ((flags) >> (number)&1)

static uint64_t flags_of(uint64_t pfn)
{
	return word_at("/proc/kpageflags", pfn);
}

/* How many frames only members @from to @to map, and of which kind: bit @is is set and bit @is_not is not. */
static uint64_t count_exclusive(int from, int to, int is, int is_not)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ptes_n; i++) {
		bool right = FLAG(flags_of(ptes[i].pfn), is) && !FLAG(flags_of(ptes[i].pfn), is_not);

		for (size_t k = 0; k < ptes_n && right; k++)
			right = ptes[k].pfn != ptes[i].pfn ||
				(k >= i && ptes[k].member >= from && ptes[k].member <= to);
		n += right;
	}
	return n;
}

/* How many frames of members @from to @to others map, too. */
static uint64_t count_shared(int from, int to)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ptes_n; i++) {
		bool first = ptes[i].member >= from && ptes[i].member <= to && !is_zero_page(ptes[i].pfn);
		bool shared = false;

		for (size_t k = 0; k < ptes_n && first; k++) {
			bool same = ptes[k].pfn == ptes[i].pfn, inside = ptes[k].member >= from && ptes[k].member <= to;

			first = !same || !inside || k >= i;
			shared |= same && !inside;
		}
		n += first && shared;
	}
	return n;
}

static uint64_t entry_of_first(uintptr_t at)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)members[0]);
	return word_at(path, at / page_size);
}

/* Has the first one a page of the kernel's? It may have a ring of which the kernel shows none. */
static bool has_ring(void)
{
	char line[512];
	uintptr_t at;
	bool has = false;
	FILE *maps;

	snprintf(line, sizeof(line), "/proc/%d/maps", (int)members[0]);
	maps = fopen(line, "r");
	while (maps && fgets(line, sizeof(line), maps))
		has |= strstr(line, "[io_uring]") && sscanf(line, "%" SCNxPTR, &at) == 1 &&
		       entry_of_first(at) & PRESENT;
	if (!maps)
		die("maps of the first one");
	fclose(maps);
	return has;
}

/* Is the huge page, of which two parts are used, one? */
static bool is_huge(void)
{
	return FLAG(flags_of(PFN(entry_of_first((uintptr_t)HUGE_AT))), 22);
}

/* How many pages of it were given back: it may be a smaller one than was asked for. */
static uint64_t count_parts(void)
{
	uint64_t head = PFN(entry_of_first((uintptr_t)HUGE_AT)), n = 1;

	while (FLAG(flags_of(head + n), 16))
		n++;
	return is_huge() ? n - 2 : 0;
}

static void check_bytes(const json_t *answer, const char *fate, uint64_t pages)
{
	uint64_t bytes = (uint64_t)integer(json_object_get(answer, "bytes"), fate);

	check(bytes == pages * page_size, "freed: %s: %" PRIu64 " bytes are %" PRIu64 " pages", fate, bytes, pages);
}

static void check_end(const json_t *answer, const char *name, uint64_t pages, const char *end, pid_t holder)
{
	const json_t *files = json_object_get(answer, "files"), *file;
	bool found = false, blind = integer(answer, "unreadable") > 0;
	size_t i;

	json_array_foreach(files, i, file)
	{
		const char *its = json_string_value(json_object_get(file, "name"));
		const char *says = json_string_value(json_object_get(file, "end"));

		if (!its || !strstr(its, name))
			continue;
		found = true;
		check((uint64_t)integer(file, "mapped") == pages * page_size,
		      "freed: %" PRIu64 " pages of %s are mapped", pages, name);
		check(says && !strcmp(says, blind && !holder ? "unknown" : end), "freed: %s %s, not %s", name, end,
		      says);
		check(json_integer_value(json_object_get(file, "holder")) == holder, "freed: %s is held by %d", name,
		      (int)holder);
	}
	check(found, "freed: no file %s", name);
}

/* The fork has another part of the first one's huge page: none of it comes back without both. */
static void check_freed_alone(void)
{
	char words[64];
	json_t *answer;

	snprintf(words, sizeof(words), "freed %d", (int)members[0]);
	answer = ask(words);
	check_bytes(answer, "parts", 0);
	check_bytes(answer, "huge", is_huge() ? 1 : 0);
	check((uint64_t)integer(answer, "swap") == (count_slots(0, 2) - count_slots(1, 2)) * page_size,
	      "freed: swap slots that another one has stay");
	check_bytes(answer, "free", count_exclusive(0, 0, 12, 17) - is_huge());
	json_decref(answer);
}

/* Does @pfn hold what it held, though nobody maps it? Once it is free it may be anybody's. */
static bool is_left(uint64_t pfn)
{
	uint64_t flags = flags_of(pfn);

	return !word_at("/proc/kpagecount", pfn) && !FLAG(flags, 10) && (FLAG(flags, 12) || FLAG(flags, 14));
}

static size_t count_left(const json_t *frames, const char *fate)
{
	const json_t *list = json_object_get(frames, fate), *run;
	size_t left = 0, i;

	json_array_foreach(list, i, run)
	{
		uint64_t first = (uint64_t)json_integer_value(json_array_get(run, 0));

		for (json_int_t k = 0; k < json_integer_value(json_array_get(run, 1)); k++)
			left += is_left(first + (uint64_t)k);
	}
	return left;
}

static bool is_among(const json_t *frames, const char *fate, uint64_t pfn)
{
	const json_t *list = json_object_get(frames, fate), *run;
	bool found = false;
	size_t i;

	json_array_foreach(list, i, run)
	{
		uint64_t first = (uint64_t)json_integer_value(json_array_get(run, 0));

		found |= first <= pfn && pfn < first + (uint64_t)json_integer_value(json_array_get(run, 1));
	}
	return found;
}

/* What has just been touched may wait on the CPU that touched it, until an address space ends there. */
static void settle_each_cpu(void)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		cpu_set_t set;
		pid_t child;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		child = fork();
		if (!child)
			_exit(sched_setaffinity(0, sizeof(set), &set) != 0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			die("fork");
		if (cpu >= sysconf(_SC_NPROCESSORS_CONF))
			break;
	}
}

/* Kernels free a page some time after its last mapping has gone, but they do. */
static void check_ended(const json_t *frames, const char *file_fate)
{
	const struct timespec moment = { .tv_nsec = 10000000 };
	size_t left = 0;

	for (int i = 0; i < 2; i++)
		if (kill(members[i], SIGKILL))
			die("kill");
	for (int i = 0; i < 1000; i++) {
		settle_each_cpu();
		left = count_left(frames, "free") + count_left(frames, "parts") + count_left(frames, file_fate);
		if (!left)
			break;
		nanosleep(&moment, NULL);
	}
	check(!left, "freed: %zu frames that were said to come back have not, 10 seconds after the end", left);
}

static void check_stays(const json_t *frames, const char *fate, int fd, size_t pages)
{
	char *at = map(pages, MAP_SHARED, fd);

	for (size_t i = 0; i < pages; i++) {
		(void)*(volatile char *)(at + i * page_size);
		check(is_among(frames, fate, PFN(word_at("/proc/self/pagemap", (uintptr_t)at / page_size + i))),
		      "freed: %s: page %zu of a file that stays is where it was said to stay", fate, i);
	}
}

/* Each page has one fate. */
static void check_sum(const json_t *answer)
{
	const json_t *fates = json_object_get(answer, "bytes"), *bytes;
	json_int_t sum = -integer(fates, "parts");
	const char *fate;

	json_object_foreach((json_t *)fates, fate, bytes) sum += json_integer_value(bytes);
	check(sum == integer(answer, "mapped"), "freed: fates sum up to %" JSON_INTEGER_FORMAT, sum);
}

static void check_freed(void)
{
	bool blind, in_memory = is_in_memory(named);
	char words[64];
	json_t *answer;

	snprintf(words, sizeof(words), "freed --frames %d %d", (int)members[0], (int)members[1]);
	answer = ask(words);
	blind = integer(answer, "unreadable") > 0;
	check(integer(answer, "processes") == 2, "freed: two processes");
	check_bytes(answer, "free", count_exclusive(0, 1, 12, 17));
	check_bytes(answer, "hugetlb", count_exclusive(0, 1, 17, 63));
	check_bytes(answer, "parts", count_parts());
	check_bytes(answer, blind ? "unknown" : "files", 18);
	check_bytes(answer, "stays", 8 + (in_memory ? 2 : 0));
	check_bytes(answer, "cache", in_memory ? 0 : 2);
	check_bytes(answer, "kernel", has_ring());
	check_bytes(answer, "huge", 0);
	check_bytes(answer, "shared", count_shared(0, 1));
	check_sum(answer);
	check((uint64_t)integer(answer, "swap") == count_slots(0, 1) * page_size, "freed: swap");
	check((uint64_t)integer(answer, "unmapped") == 4 * page_size, "freed: 4 pages of a file are not mapped");
	check((uint64_t)integer(answer, "locked") == 3 * page_size, "freed: 3 locked pages");
	check_end(answer, "rmap-test-twice", 4, "freed", 0);
	check_end(answer, "rmap-test-last", 8, "freed", 0);
	check_end(answer, "/dev/zero", 6, "freed", 0);
	check_end(answer, "rmap-test-held", 5, "stays", getpid());
	check_end(answer, "rmap-test-mapped", 3, "stays", members[2]);
	check_ended(json_object_get(answer, "frames"), blind ? "unknown" : "files");
	check_stays(json_object_get(answer, "frames"), "stays", held, 5);
	check_stays(json_object_get(answer, "frames"), in_memory ? "stays" : "cache", named, 2);
	json_decref(answer);
}

static char name[] = "rmap-test-named.XXXXXX";

static void unname(void)
{
	unlink(name);
}

static int make_named(void)
{
	int fd = mkostemp(name, O_CLOEXEC);

	if (fd < 0 || atexit(unname) || ftruncate(fd, (off_t)(2 * page_size)))
		die(name);
	return fd;
}

int main(int argc, char **argv)
{
	int hold[2], copy;
	json_t *report;

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (argc == 3 && !strcmp(argv[1], "--member"))
		return member_main(argv[2]);
	if (argc != 2) {
		fputs("usage: tool_shares PATH-TO-RMAP\n", stderr);
		return 2;
	}
	rmap = argv[1];
	if (pipe2(hold, O_CLOEXEC))
		die("pipe");
	kept = make_file("rmap-test-kept", 12);
	held = make_file("rmap-test-held", 5);
	mapped = make_file("rmap-test-mapped", 3);
	named = make_named();
	copy = copy_of_self();
	start_all(copy, hold[0]);
	close(copy);
	close(mapped);
	report = ask("shares --kernel --by process --by file");
	check_processes(report);
	/* The fork does not inherit what is in page tables of shared memory, and touched none of it. */
	check_file(report, "/memfd:rmap-test-twice", 4, 4);
	check_file(report, "/memfd:rmap-test-kept", 12, 4);
	check(integer(group_of(report, 0, "", members[0]), "locked") == (json_int_t)(3 * page_size),
	      "3 pages of the first member are locked");
	json_decref(report);
	check_kinds();
	check_freed_alone();
	check_freed();
	close(hold[1]);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	printf("tool_shares: %d of %d checks hold\n", checks - failures, checks);
	return failures ? 1 : 0;
}
