/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * aside.c - a file that appears as a whole, or not at all; see aside.h
 */
#include "aside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Write all of @bytes and close @fd; false if that fails, and errno says why. */
static bool write_and_close(int fd, const char *bytes, size_t n)
{
	size_t done = 0;
	ssize_t put = 1;
	int error = 0;

	while (done < n && put > 0) {
		put = write(fd, bytes + done, n - done);
		done += put > 0 ? (size_t)put : 0;
	}
	/* What cannot be synchronized, a pipe or a device, has no older content either. */
	if (done < n || (fsync(fd) && errno != EINVAL && errno != EROFS))
		error = put ? errno : ENOSPC;
	if (close(fd) && !error)
		error = errno;
	errno = error;
	return !error;
}

/*
 * Write beside @path, then put it in its place: an older file stays as it is until all of the new one is there.
 * Nobody else may read it, for it tells what runs, and where everything lies in every process.
 */
static bool replace(const char *path, const char *bytes, size_t n)
{
	const char *slash = strrchr(path, '/');
	int directory = slash ? (int)(slash - path) + 1 : 0;
	char *aside;
	mode_t mask;
	bool done;
	int fd;

	if (asprintf(&aside, "%.*s.rmap-XXXXXX", directory, path) < 0)
		return false;
	/* 0600, also where the owner's mask would leave less. Nobody else makes files meanwhile. */
	mask = umask(0);
	fd = mkostemp(aside, O_CLOEXEC);
	umask(mask);
	done = fd >= 0 && write_and_close(fd, bytes, n) && !rename(aside, path);
	if (fd >= 0 && !done) {
		int error = errno;

		unlink(aside);
		errno = error;
	}
	free(aside);
	return done;
}

bool aside_is_possible(const char *path)
{
	char *target = realpath(path, NULL), *directory = NULL;
	const char *file = target ? target : path, *slash = strrchr(file, '/');
	struct stat stat_of;
	bool possible;

	if (!stat(path, &stat_of) && !S_ISREG(stat_of.st_mode)) {
		free(target);
		errno = EISDIR;
		return !S_ISDIR(stat_of.st_mode) && !access(path, W_OK);
	}
	possible = asprintf(&directory, "%.*s.", slash ? (int)(slash - file) + 1 : 0, file) >= 0 &&
		   !access(directory, W_OK | X_OK);
	free(directory);
	free(target);
	return possible;
}

bool aside_write(const char *path, const void *bytes, size_t n)
{
	char *target = realpath(path, NULL);
	struct stat stat_of;
	bool done;
	int fd;

	/* A device or a pipe is written to, not replaced. */
	if (!stat(path, &stat_of) && !S_ISREG(stat_of.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		done = fd >= 0 && write_and_close(fd, bytes, n);
	} else {
		done = replace(target ? target : path, bytes, n);
	}
	free(target);
	return done;
}
