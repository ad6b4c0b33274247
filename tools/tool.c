/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool.c - complaints, memory, threads and bars for the `rmap` command; see tool.h
 */
#include "tool.h"

#include <errno.h>
#include <langinfo.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int complain(const char *format, ...)
{
	char text[COMPLAINT_BYTES];
	va_list args;

	va_start(args, format);
	printable_complaint(text, format, args);
	va_end(args);
	fprintf(stderr, "rmap: %s\n", text);
	return STATUS_LACKING;
}

void *out_of_memory(void)
{
	int error = refusal_of(ENOMEM);

	exit(complain("no more memory could be had (%s): %s", strerror(error), remedy(error)));
}

void *grow(void *items, size_t *capacity, size_t need, size_t size)
{
	size_t wanted = *capacity ? *capacity : 16;

	if (need <= *capacity)
		return items;
	while (wanted < need)
		wanted += wanted / 2;
	items = reallocarray(items, wanted, size);
	if (!items)
		return out_of_memory();
	*capacity = wanted;
	return items;
}

void *zeroed(size_t n, size_t size)
{
	void *items = calloc(n ? n : 1, size);

	return items ? items : out_of_memory();
}

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
	unsigned long long value;

	/* strtoull would also take blanks, signs and a second 0x. */
	text += hex ? 2 : 0;
	if (!*text || text[strspn(text, digits)])
		return false;
	errno = 0;
	value = strtoull(text, NULL, hex ? 16 : 10);
	if (errno || value < min || value > max)
		return false;
	*out = value;
	return true;
}

int refusal_of(int error)
{
	void *page;

	if (error != ENOMEM)
		return error;
	page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return errno;
	munmap(page, 1);
	return error;
}

const char *remedy(int error)
{
	switch (error) {
	case EMFILE:
		return "raise the limit on open files (ulimit -n), or name fewer --threads";
	case ENFILE:
	case ENOMEM:
		return "end other programs; snapshot does with some processes, named with --pid";
	case EAGAIN:
		return "end other programs, or raise the limits on memory and processes";
	case EACCES:
	case EPERM:
	case ENOSYS:
		return "a container's filter seems to refuse it, or the kernel lacks it; run this outside; " RECORDED;
	default:
		return "try again; " RECORDED;
	}
}

struct member {
	void (*work)(void *arg, unsigned number);
	void *arg;
	unsigned number;
	pthread_t thread;
};

static void *member_main(void *arg)
{
	struct member *member = arg;

	member->work(member->arg, member->number);
	return NULL;
}

unsigned team_run(unsigned threads, void (*work)(void *arg, unsigned number), void *arg)
{
	struct member *members = zeroed(threads, sizeof(*members));
	unsigned started = 0;
	int error = 0;

	for (unsigned i = 1; i < threads; i++) {
		members[i] = (struct member){ .work = work, .arg = arg, .number = i };
		error = pthread_create(&members[i].thread, NULL, member_main, &members[i]);
		if (error)
			break;
		started++;
	}
	work(arg, 0);
	for (unsigned i = 1; i <= started; i++)
		pthread_join(members[i].thread, NULL);
	free(members);
	errno = error;
	return started;
}

void progress_begin(struct progress *progress, const char *what)
{
	*progress = (struct progress){ .what = what, .began = seconds_now(), .terminal = isatty(STDERR_FILENO) };
}

static void draw(struct progress *progress, double now, double share)
{
	unsigned columns;

	progress->shown = now;
	progress->drawn = true;
	fprintf(stderr, "\r%-8s ", progress->what);
	columns = print_bar(stderr, share, 1, 50);
	fprintf(stderr, "%*s %3.0f %%", 50 - (int)columns, "", 100 * share);
	fflush(stderr);
}

void progress_show(struct progress *progress, uint64_t done, uint64_t total)
{
	double now;

	if (!progress->terminal || !total || atomic_flag_test_and_set(&progress->drawing))
		return;
	now = seconds_now();
	if (now - progress->began >= 0.3 && now - progress->shown >= 0.05)
		draw(progress, now, done < total ? (double)done / (double)total : 1);
	atomic_flag_clear(&progress->drawing);
}

void progress_end(struct progress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}

const char *printable(const char *name)
{
	static char *buffers[2];
	static size_t capacities[2];
	static unsigned turn;
	size_t length = strlen(name);

	turn = !turn;
	buffers[turn] = grow(buffers[turn], &capacities[turn], length + 1, 1);
	printable_copy(buffers[turn], name, length);
	return buffers[turn];
}

bool is_unicode(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

unsigned print_bar(FILE *out, double part, double whole, unsigned width)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	double share = whole > 0 ? part / whole : 0;
	unsigned steps = is_unicode() ? 8 : 1;
	unsigned length = (unsigned)((share > 1 ? 1 : share) * width * steps + 0.5);
	unsigned columns = 0;

	/* What is there at all is shown. */
	if (part > 0 && !length)
		length = 1;
	for (; columns < length / steps; columns++)
		fputs(steps == 8 ? "█" : "#", out);
	if (length % steps) {
		fputs(eighths[length % steps], out);
		columns++;
	}
	return columns;
}
