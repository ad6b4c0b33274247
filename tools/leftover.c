/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * leftover.c - what cgroups are charged that have no process; see leftover.h
 *
 * /proc/kpagecgroup would name them page by page, for 70 ns each of all pages of the machine, mapped or not.
 * memory.stat of each cgroup tells the sum. In cgroup v1 it has what the cgroup itself is charged beside what it is
 * with all below it: so what is beyond itself and those below it that are there is charged to some that are gone. In
 * v2 there is the second figure alone; but one that has others below it has no process itself, and what is beyond
 * these was left by some that are gone, or by processes that have moved. One that has processes may have had others
 * below it: how many, it tells, and not what is theirs. (Linux 7.3 forgets those that are gone, and charges the one
 * above them outright.)
 *
 * A figure lags behind by as many as STAT_BATCH pages for each CPU, as long as anybody is at work there.
 */
#include "leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAT_BATCH 64

struct reading {
	struct unseen *unseen;
	uint64_t slack;
	bool failed;     /* some figure could not be read, so that no difference is one */
	bool blind;      /* v1 lists no processes that this PID namespace does not have */
	char path[4096]; /* of the cgroup that is being read, below the hierarchy's root */
};

/* One cgroup. */
struct usage {
	bool known;     /* it has figures of its own; otherwise all of it is charged to those above */
	bool v1;        /* @own is told */
	bool populated; /* some process is charged to it */
	uint64_t total; /* with all below it */
	uint64_t own;
	uint64_t gone; /* cgroups below it that are gone */
};

/* Read a file of a cgroup. That there is none, or the cgroup has just gone, or does not tell, is no failure. */
static bool read_text(struct reading *reading, int directory, const char *name, char *text, size_t size)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	reading->failed |= got < 0 && errno != ENOENT && errno != ENODEV && errno != EOPNOTSUPP;
	if (fd >= 0)
		close(fd);
	text[got < 0 ? 0 : got] = '\0';
	return got >= 0;
}

/* The figure behind @name, at the beginning of a line; 0 if there is none. */
static uint64_t figure_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n')
		if (!strncmp(line, name, length) && line[length] == ' ')
			return strtoull(line + length, NULL, 10);
	return 0;
}

static struct usage read_usage(struct reading *reading, int directory)
{
	struct usage usage = { 0 };
	char text[16384];

	/* A threaded one does not list its processes, but has some. */
	usage.populated = !read_text(reading, directory, "cgroup.procs", text, sizeof(text)) || *text;
	usage.known = read_text(reading, directory, "memory.stat", text, sizeof(text));
	usage.v1 = strstr(text, "\ntotal_cache ");
	usage.total =
		figure_of(text, usage.v1 ? "total_cache" : "file") + figure_of(text, usage.v1 ? "total_rss" : "anon");
	usage.own = figure_of(text, "cache") + figure_of(text, "rss");
	/* Before 6.12 one is counted that is gone and not yet forgotten, whatever keeps it. */
	read_text(reading, directory, "cgroup.stat", text, sizeof(text));
	usage.gone = figure_of(text, strstr(text, "nr_dying_subsys_memory ") ? "nr_dying_subsys_memory"
									     : "nr_dying_descendants");
	return usage;
}

static uint64_t beyond(uint64_t whole, uint64_t parts)
{
	return whole > parts ? whole - parts : 0;
}

/* What is left in a cgroup of @usage, those below it that are there having @below together. */
static uint64_t left_in(const struct reading *reading, const struct usage *usage, const struct usage *below)
{
	bool populated = usage->populated || (usage->v1 && reading->blind);
	uint64_t left = beyond(usage->total, usage->own + below->total);

	if (!usage->v1)
		return populated ? 0 : beyond(usage->total, below->total);
	return !populated ? left + usage->own : left > reading->slack ? left : 0;
}

/*
 * Judge one cgroup, as it was @before and @after those below it were read: they may have grown or shrunk meanwhile, and
 * what would be left by only one of the two is not told.
 */
static void judge(struct reading *reading, const struct usage *before, const struct usage *after,
		  const struct usage *below)
{
	uint64_t left = left_in(reading, before, below), later = left_in(reading, after, below);
	uint64_t gone = before->gone < after->gone ? before->gone : after->gone;

	left = left < later ? left : later;
	if (left)
		unseen_add(&reading->unseen->cgroups, *reading->path ? reading->path : "/", left);
	if (!before->v1 && before->populated)
		reading->unseen->cgroups_gone += beyond(gone, below->gone);
}

/* Read the cgroup at @directory, which is closed, and all below it. */
static struct usage read_cgroup(struct reading *reading, int directory)
{
	struct usage usage = read_usage(reading, directory), below = { 0 }, after;
	size_t length = strlen(reading->path);
	DIR *dir = fdopendir(directory);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct usage child;
		int fd;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    length + strlen(entry->d_name) + 2 > sizeof(reading->path))
			continue;
		fd = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			reading->failed |= errno != ENOENT; /* which is of one that has just been removed */
			continue;
		}
		sprintf(reading->path + length, "/%s", entry->d_name);
		child = read_cgroup(reading, fd);
		reading->path[length] = '\0';
		below.known = true; /* there is one */
		below.total += child.known ? child.total : 0;
		below.gone += child.gone;
		usage.populated |= !child.known && child.populated;
	}
	after = below.known ? read_usage(reading, directory) : usage;
	after.populated |= usage.populated;
	if (usage.known || !length)
		judge(reading, &usage, &after, &below);
	reading->failed |= !dir;
	if (dir)
		closedir(dir);
	else
		close(directory);
	return usage;
}

/* Is the hierarchy at @fd the one that accounts memory? In v2 its root need not have figures. */
static bool is_of_memory(struct reading *reading, int fd)
{
	char text[1024];

	if (read_text(reading, fd, "cgroup.controllers", text, sizeof(text)))
		return strstr(text, "memory");
	return !faccessat(fd, "memory.stat", R_OK, 0);
}

void leftover_find(struct unseen *unseen, const struct system *system)
{
	static const char *const roots[] = { "/sys/fs/cgroup/memory", "/sys/fs/cgroup" };
	uint64_t batch = (uint64_t)STAT_BATCH << system->page_shift;
	struct reading reading = { .unseen = unseen,
				   .slack = batch * (uint64_t)sysconf(_SC_NPROCESSORS_CONF),
				   .blind = system->pid_namespace };

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]) && !unseen->cgroups_known; i++) {
		int fd = open(roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			continue;
		unseen->cgroups_known = is_of_memory(&reading, fd);
		if (unseen->cgroups_known)
			read_cgroup(&reading, fd);
		else
			close(fd);
	}
	if (reading.failed) {
		unseen_clear(&unseen->cgroups);
		unseen->cgroups_known = false;
	}
}
