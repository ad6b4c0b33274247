/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_who.c - `rmap who` against programs that share pages in known ways
 *
 *      tool_who PATH-TO-RMAP
 *
 * The parent lays out memory and forks three children, each of which does something else with it: maps a file a
 * second time, writes to a shared anonymous page (and so gets a copy of its own), writes to a private file page,
 * moves memory with mremap, rearranges a mapping with remap_file_pages. Then `rmap who --json` is asked about pages,
 * and must name exactly the addresses that the layout says, of the right kind and object. Two more address spaces are
 * awkward to find: one is shared by two processes, one belongs to a process whose first thread has ended.
 *
 * Children tell through a pipe that they are ready and stay until another pipe is closed, so nothing here waits on a
 * clock.
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 3
#define PAGES 4u
#define EXPECTED_MAX 8
#define HUGE_SIZE ((size_t)2 << 20)

struct expected {
	pid_t pid;
	const char *at;
};

static const char *rmap;
static size_t page_size;
static int failures, checks;
static int ready[2], hold[2];
static pid_t parent, child[CHILDREN], sharing, headless;
static pid_t *partner; /* lies in memory that all share */
static bool remapped;

/* The layout: made before the forks, so that every process knows all addresses. */
static int shared_fd;
static char *shared, *second, *anonymous, *copied, *moved, *moved_file, *places, *rearranged, *huge, *zero, *locked;

static void die(const char *what)
{
	fprintf(stderr, "tool_who: %s: %s\n", what, strerror(errno));
	exit(1);
}

static char *page(char *base, unsigned number)
{
	return base + number * page_size;
}

static char *map(size_t size, int protection, int flags, int fd)
{
	char *at = mmap(NULL, size, protection, flags, fd, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static char *map_anonymous(size_t size, int protection)
{
	return map(size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int make_file(const char *name)
{
	int fd = memfd_create(name, 0);

	if (fd < 0 || ftruncate(fd, (off_t)(PAGES * page_size)))
		die("memfd_create");
	for (unsigned i = 0; i < PAGES; i++)
		if (pwrite(fd, "x", 1, (off_t)(i * page_size)) != 1)
			die("pwrite");
	return fd;
}

static void touch(char *at, unsigned pages)
{
	for (unsigned i = 0; i < pages; i++)
		(void)*(volatile char *)page(at, i);
}

static void fill(char *at, unsigned pages)
{
	for (unsigned i = 0; i < pages; i++)
		*(volatile char *)page(at, i) = 'y';
}

static void lay_out(void)
{
	size_t size = PAGES * page_size;
	char *area;

	shared_fd = make_file("rmap-test-shared");
	shared = map(size, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd);
	second = map_anonymous(size, PROT_NONE);
	anonymous = map_anonymous(size, PROT_READ | PROT_WRITE);
	copied = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE, make_file("rmap-test-copied"));
	moved = map_anonymous(size, PROT_READ | PROT_WRITE);
	moved_file = map(size, PROT_READ | PROT_WRITE, MAP_SHARED, make_file("rmap-test-moved"));
	places = map_anonymous(2 * size, PROT_NONE);
	rearranged = map(size, PROT_READ | PROT_WRITE, MAP_SHARED, make_file("rmap-test-rearranged"));
	zero = map_anonymous(size, PROT_READ);
	/* A huge page, if the kernel gives one; a small one passes as well. */
	area = map_anonymous(2 * HUGE_SIZE, PROT_READ | PROT_WRITE);
	huge = (char *)(((uintptr_t)area + HUGE_SIZE - 1) & ~(uintptr_t)(HUGE_SIZE - 1));
	madvise(huge, HUGE_SIZE, MADV_HUGEPAGE);
	fill(huge, PAGES);
	fill(shared, PAGES);
	fill(anonymous, PAGES);
	fill(moved, PAGES);
	fill(moved_file, PAGES);
	fill(rearranged, PAGES);
	touch(copied, PAGES);
	touch(zero, PAGES);
}

/* Tell the parent, and stay until it has seen enough. */
static void stay(char says)
{
	char byte;

	if (write(ready[1], &says, 1) != 1)
		_exit(1);
	close(hold[1]);
	while (read(hold[0], &byte, 1) > 0)
		;
	_exit(0);
}

static void child_main(int number)
{
	size_t size = PAGES * page_size;
	char says = 'y';

	touch(shared, PAGES);
	touch(copied, PAGES);
	touch(moved_file, PAGES);
	touch(rearranged, PAGES);
	if (number == 0) {
		/* The file once more, from its page 1 on. */
		if (mmap(second, size, PROT_READ, MAP_SHARED | MAP_FIXED, shared_fd, (off_t)page_size) == MAP_FAILED)
			_exit(1);
		touch(second, PAGES - 1);
		if (mremap(moved, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, places) == MAP_FAILED)
			_exit(1);
	} else if (number == 1) {
		fill(anonymous, 1);
		if (mremap(moved_file, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, places + size) == MAP_FAILED)
			_exit(1);
		touch(places + size, PAGES);
	} else {
		fill(copied, 1);
		says = remap_file_pages(rearranged, page_size, 0, PAGES - 1, 0) ? 'n' : 'y';
		touch(rearranged, PAGES);
	}
	stay(says);
}

/* Wait until a process that was just started is where it wants to be; returns what it says. */
static char await(void)
{
	char says;

	if (read(ready[0], &says, 1) != 1)
		die("a process that was started ended at once");
	return says;
}

static pid_t start(void (*main)(int number), int number)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		main(number);
	return pid;
}

static int sharing_partner(void *arg)
{
	(void)arg;
	stay('y');
	return 0;
}

/* A process whose address space is also another's. Both are told apart by neither maps nor pagemap. */
static void sharing_main(int number)
{
	static char stack[65536];

	(void)number;
	fill(anonymous, 1);
	*partner = clone(sharing_partner, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (*partner < 0)
		_exit(1);
	stay('y');
}

static void *headless_thread(void *arg)
{
	/* The first thread has ended, and /proc/PID/maps with it. */
	pthread_join(*(pthread_t *)arg, NULL);
	stay('y');
	return NULL;
}

static void headless_main(int number)
{
	static pthread_t first;
	pthread_t thread;

	(void)number;
	fill(anonymous, 1);
	first = pthread_self();
	if (pthread_create(&thread, NULL, headless_thread, &first))
		_exit(1);
	pthread_exit(NULL);
}

static void start_all(void)
{
	for (int i = 0; i < CHILDREN; i++) {
		child[i] = start(child_main, i);
		if (await() == 'y' && i == 2)
			remapped = true;
	}
	sharing = start(sharing_main, 0);
	(void)await();
	(void)await();
	headless = start(headless_main, 0);
	(void)await();
}

/* ---- asking ---- */

static json_t *ask_words(int *status, const char *format, ...) __attribute__((format(printf, 2, 3)));

static json_t *ask_words(int *status, const char *format, ...)
{
	char words[256], command[512];
	json_error_t error;
	json_t *answer;
	FILE *pipe;
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	snprintf(command, sizeof(command), "'%s' who --json %s", rmap, words);
	pipe = popen(command, "r");
	if (!pipe)
		die("popen");
	answer = json_loadf(pipe, 0, &error);
	*status = pclose(pipe);
	return answer;
}

static json_t *ask(pid_t pid, const char *at, int *status)
{
	return ask_words(status, "--pid %d --addr %p", (int)pid, (const void *)at);
}

static bool is_expected(const json_t *mapping, const struct expected *expected, size_t n, const char *kind,
			const char *object)
{
	const char *at = json_string_value(json_object_get(mapping, "addr"));
	const char *its_kind = json_string_value(json_object_get(mapping, "kind"));
	const char *its_object = json_string_value(json_object_get(mapping, "object"));
	pid_t pid = (pid_t)json_integer_value(json_object_get(mapping, "pid"));

	if (!at || strncmp(at, "0x", 2) || !its_kind || strcmp(its_kind, kind) || !its_object ||
	    !strstr(its_object, object))
		return false;
	for (size_t i = 0; i < n; i++)
		if (expected[i].pid == pid && (uintptr_t)expected[i].at == strtoull(at, NULL, 16))
			return true;
	return false;
}

/*
 * Ask about expected[0]; all of @expected must be named and nothing else. Each is named once: as many mappings are
 * named as are expected, all of them expected, no two alike.
 */
static void check(const char *what, const struct expected *expected, size_t n, const char *kind, const char *object)
{
	int status;
	json_t *answer = ask(expected[0].pid, expected[0].at, &status);
	json_t *mappings = json_object_get(answer, "mappings");
	bool right = status == 0 && json_array_size(mappings) == n &&
		     json_integer_value(json_object_get(answer, "mapcount")) == (json_int_t)n &&
		     json_integer_value(json_object_get(answer, "pfn")) > 0;

	for (size_t i = 0; i < json_array_size(mappings); i++) {
		right = right && is_expected(json_array_get(mappings, i), expected, n, kind, object);
		for (size_t k = 0; k < i; k++)
			right = right && !json_equal(json_array_get(mappings, i), json_array_get(mappings, k));
	}
	checks++;
	if (!right) {
		failures++;
		fprintf(stderr, "tool_who: %s: expected %zu, %s, of %s:\n", what, n, kind, object);
		for (size_t i = 0; i < n; i++)
			fprintf(stderr, "  %d %p\n", (int)expected[i].pid, (const void *)expected[i].at);
		fprintf(stderr, "and exit status 0; got %d and\n", status);
		json_dumpf(answer, stderr, JSON_INDENT(2));
		fputc('\n', stderr);
	}
	json_decref(answer);
}

#define CHECK(what, kind, object, ...)                                                                                 \
	do {                                                                                                           \
		const struct expected list[] = { __VA_ARGS__ };                                                        \
		check(what, list, sizeof(list) / sizeof(list[0]), kind, object);                                       \
	} while (0)

static void check_files(void)
{
	CHECK("a shared file's page, mapped twice by one process", "linear", "/memfd:rmap-test-shared",
	      { parent, page(shared, 2) }, { child[0], page(shared, 2) }, { child[0], page(second, 1) },
	      { child[1], page(shared, 2) }, { child[2], page(shared, 2) });
	CHECK("the same, asked for at its second place", "linear", "/memfd:rmap-test-shared",
	      { child[0], page(second, 1) }, { parent, page(shared, 2) }, { child[0], page(shared, 2) },
	      { child[1], page(shared, 2) }, { child[2], page(shared, 2) });
	CHECK("a private file page that one process has a copy of", "linear", "/memfd:rmap-test-copied",
	      { parent, copied }, { child[0], copied }, { child[1], copied });
	CHECK("that copy", "chained", "/memfd:rmap-test-copied", { child[2], copied });
	CHECK("a shared file's page, moved in one process", "linear", "/memfd:rmap-test-moved", { parent, moved_file },
	      { child[0], moved_file }, { child[1], page(places, PAGES) }, { child[2], moved_file });
	if (remapped)
		CHECK("a page that remap_file_pages put twice into one process", "linear",
		      "/memfd:rmap-test-rearranged", { parent, page(rearranged, 3) }, { child[0], page(rearranged, 3) },
		      { child[1], page(rearranged, 3) }, { child[2], rearranged }, { child[2], page(rearranged, 3) });
}

static void check_anonymous(void)
{
	CHECK("an anonymous page shared by fork, of which others have copies", "chained", "[anon]",
	      { parent, anonymous }, { child[0], anonymous }, { child[2], anonymous });
	CHECK("a copy", "chained", "[anon]", { child[1], anonymous });
	CHECK("an anonymous page, moved in one process", "chained", "[anon]", { parent, page(moved, 1) },
	      { child[0], page(places, 1) }, { child[1], page(moved, 1) }, { child[2], page(moved, 1) },
	      { sharing, page(moved, 1) }, { headless, page(moved, 1) });
	CHECK("a page in the middle of a huge one", "chained", "[anon]", { parent, page(huge, 3) },
	      { child[0], page(huge, 3) }, { child[1], page(huge, 3) }, { child[2], page(huge, 3) },
	      { sharing, page(huge, 3) }, { headless, page(huge, 3) });
	CHECK("a page of a process whose first thread has ended", "chained", "[anon]", { headless, anonymous });
}

/* Asked by the number of either process, the answer is the same, for there is one mapping. */
static void check_sharing(void)
{
	int status[2];
	json_t *answers[2] = { ask(sharing, anonymous, &status[0]), ask(*partner, anonymous, &status[1]) };

	CHECK("an address space that two processes share", "chained", "[anon]", { sharing, anonymous });
	checks++;
	if (status[0] || status[1] || !json_equal(answers[0], answers[1])) {
		failures++;
		fprintf(stderr,
			"tool_who: processes %d and %d share an address space, but rmap who answers differently\n",
			(int)sharing, (int)*partner);
	}
	json_decref(answers[0]);
	json_decref(answers[1]);
}

static bool has_flag(const json_t *answer, const char *name)
{
	const json_t *flags = json_object_get(answer, "flags"), *flag;
	size_t i;

	json_array_foreach(flags, i, flag)
	{
		if (!strcmp(json_string_value(flag), name))
			return true;
	}
	return false;
}

static void expect(bool right, const char *what)
{
	checks++;
	failures += !right;
	if (!right)
		fprintf(stderr, "tool_who: %s\n", what);
}

/* What a mapping of page 1 of the shared file at @at says of itself. */
static void check_mapping(const json_t *mapping, const char *at, const char *permissions)
{
	const char *its = json_string_value(json_object_get(mapping, "permissions"));

	if ((uintptr_t)at != strtoull(json_string_value(json_object_get(mapping, "addr")), NULL, 16))
		return;
	expect(its && !strcmp(its, permissions), "a mapping has other permissions");
	expect(json_integer_value(json_object_get(mapping, "offset")) == (json_int_t)page_size,
	       "a page is elsewhere in its file");
}

/* Permissions, offsets and flags; a range of addresses, whose second half has no page, and the file by its path. */
static void check_properties(void)
{
	json_t *answer, *mapping, *page_of;
	char *range, path[64];
	int status;
	size_t i, k;

	answer = ask(parent, page(shared, 1), &status);
	json_array_foreach(json_object_get(answer, "mappings"), i, mapping)
	{
		check_mapping(mapping, page(shared, 1), "rw-s");
		check_mapping(mapping, second, "r--s");
	}
	expect(!status && has_flag(answer, "dirty") && has_flag(answer, "swapbacked") && !has_flag(answer, "anonymous"),
	       "a written page of a memfd is dirty and no anonymous one");
	json_decref(answer);
	answer = ask(parent, anonymous, &status);
	expect(!status && has_flag(answer, "anonymous") && !has_flag(answer, "locked"),
	       "an anonymous page is one, and not locked");
	json_decref(answer);
	if (mlock(locked, page_size))
		die("mlock");
	if (asprintf(&range, "%p+%zu", (void *)locked, 2 * page_size) < 0)
		die("asprintf");
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)parent, shared_fd);
	answer = ask_words(&status, "--pid %d --addr %s --file %s --offset %zu", (int)parent, range, path, page_size);
	expect(!status && json_array_size(json_object_get(answer, "pages")) == 2 &&
		       json_integer_value(json_object_get(answer, "absent")) == 1,
	       "a range of two pages has one, and a file's page is there");
	json_array_foreach(json_object_get(answer, "pages"), k, page_of)
	{
		bool of_file = json_array_size(json_object_get(page_of, "mappings")) > 1;

		expect(has_flag(page_of, of_file ? "dirty" : "locked"), "pages of one answer have their own flags");
	}
	expect(k == 2, "both pages are looked at");
	json_decref(answer);
	free(range);
}

/* Everyone maps the zero page, so only look for one who surely does. */
static void check_zero(void)
{
	struct expected expected = { parent, zero };
	int status;
	json_t *answer = ask(parent, zero, &status);
	json_t *mappings = json_object_get(answer, "mappings");
	bool found = false;

	for (size_t i = 0; i < json_array_size(mappings) && !found; i++)
		found = is_expected(json_array_get(mappings, i), &expected, 1, "chained", "[anon]");
	checks++;
	if (status || !found) {
		failures++;
		fprintf(stderr, "tool_who: the zero page: exit status %d, and the mapping that is there is %s\n",
			status, found ? "named" : "not named");
	}
	json_decref(answer);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: tool_who PATH-TO-RMAP\n", stderr);
		return 2;
	}
	rmap = argv[1];
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	parent = getpid();
	if (pipe(ready) || pipe(hold))
		die("pipe");
	lay_out();
	locked = map_anonymous(2 * page_size, PROT_READ | PROT_WRITE);
	partner = (pid_t *)map(page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	start_all();
	check_files();
	check_anonymous();
	check_sharing();
	check_zero();
	check_properties();
	close(hold[1]);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	if (!remapped)
		printf("tool_who: this kernel has no remap_file_pages; its case was left out\n");
	printf("tool_who: %d of %d answers are right\n", checks - failures, checks);
	return failures ? 1 : 0;
}
