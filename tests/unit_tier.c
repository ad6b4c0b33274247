/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_tier.c - the tier whose memory is a file: whose file, how long it gets, and what is left of it
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] = "somebody's own text\n";

static int new_file(void)
{
	int fd = memfd_create("chains", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	return fd;
}

static size_t length_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return (size_t)status.st_size;
}

/* What the file takes, other than length. */
static size_t bytes_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return (size_t)status.st_blocks * 512;
}

struct filed {
	struct rmap_tier tier;
	struct rmap *map;
	struct rmap_reserve *reserve;
	struct rmap_page pages[64];
	uint64_t chained;
};

static void filed_init(struct filed *filed, int fd)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	memset(filed, 0, sizeof(*filed));
	assert_int_equal(rmap_tier_file(&filed->tier, fd), 0);
	options.tier = &filed->tier;
	options.reclaim = RMAP_RECLAIM_BLOCKING;
	assert_int_equal(rmap_create(&options, &filed->map), 0);
	reader_register(filed->map);
	assert_int_equal(rmap_reserve_create(filed->map, &filed->reserve), 0);
}

static void filed_fini(struct filed *filed)
{
	rmap_reserve_destroy(filed->reserve);
	reader_unregister(filed->map);
	assert_int_equal(rmap_destroy(filed->map), 0);
	rmap_tier_fini(&filed->tier);
}

/* @n mappings more, of pages of their own. */
static void filed_add(struct filed *filed, uint64_t n, unsigned pages)
{
	for (; n > 0; n--) {
		struct rmap_page *page = &filed->pages[filed->chained % pages];

		assert_int_equal(rmap_reserve_fill(filed->reserve, 1), 0);
		rmap_read_lock(filed->map);
		assert_true(rmap_page_add(filed->reserve, page, mapping_of(RMAP_CHAINED, filed->chained)) >= 0);
		rmap_read_unlock(filed->map);
		filed->chained++;
	}
}

/* Expects that all mappings are where they were put, and takes them away. */
static void filed_clear(struct filed *filed)
{
	uint64_t found = 0;

	rmap_read_lock(filed->map);
	for (unsigned i = 0; i < LENGTH(filed->pages); i++) {
		assert_int_equal(rmap_page_check(filed->map, &filed->pages[i], NULL), 0);
		found += rmap_page_drop(filed->reserve, &filed->pages[i]);
	}
	rmap_read_unlock(filed->map);
	assert_int_equal(found, filed->chained);
	filed->chained = 0;
	rmap_reserve_drain(filed->reserve);
}

/* The descriptor may be closed once the tier is made, and its number become another file's. */
static void the_file_is_held(void **state)
{
	struct filed filed;
	char read[sizeof(text)] = "";
	int fd = new_file();
	int watched = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int other;

	(void)state;
	filed_init(&filed, fd);
	other = new_file();
	assert_int_equal(write(other, text, sizeof(text)), sizeof(text));
	assert_int_equal(dup2(other, fd), fd);
	filed_add(&filed, 5000, 64);
	assert_int_equal(length_of(other), sizeof(text));
	assert_int_equal(pread(other, read, sizeof(read), 0), sizeof(read));
	assert_string_equal(read, text);
	assert_true(length_of(watched) > 5000 * 8); /* the chains are in the file indeed */
	filed_clear(&filed);
	filed_fini(&filed);
	close(fd);
	close(other);
	close(watched);
}

/* A process that is executed later has no use for it. */
static void the_descriptor_is_not_inherited(void **state)
{
	struct rmap_tier tier;
	int fd = new_file();
	int ours;

	(void)state;
	assert_int_equal(rmap_tier_file(&tier, fd), 0);
	ours = dup(fd) - 1; /* the lowest free number is the one behind the tier's */
	assert_true(ours > fd);
	assert_true(fcntl(ours, F_GETFD) & FD_CLOEXEC);
	close(ours + 1);
	rmap_tier_fini(&tier);
	assert_int_equal(fcntl(ours, F_GETFD), -1);
	close(fd);
}

/* What is in the file already stays, and nothing is left behind it. */
static void contents_stay(void **state)
{
	struct filed filed;
	char read[sizeof(text)] = "";
	int fd = new_file();

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	filed_init(&filed, fd);
	filed_add(&filed, 5000, 64);
	filed_clear(&filed);
	filed_fini(&filed);
	assert_int_equal(pread(fd, read, sizeof(read), 0), sizeof(read));
	assert_string_equal(read, text);
	assert_true(length_of(fd) <= (size_t)sysconf(_SC_PAGESIZE));
	close(fd);
}

/* Up and down again, with one long chain and with many small ones: the first times decide the length. */
static void places_are_used_again(void **state)
{
	static const unsigned pages[] = { 1, 64 };
	struct rmap_statistics stats = { .size = sizeof(stats) };
	struct filed filed;
	size_t longest = 0;
	int fd = new_file();

	(void)state;
	filed_init(&filed, fd);
	for (unsigned i = 0; i < 30; i++) {
		filed_add(&filed, LONE(60000), pages[i % 2]);
		if (i < 4 && longest < length_of(fd))
			longest = length_of(fd);
		assert_true(length_of(fd) <= longest);
		filed_clear(&filed);
		assert_int_equal(rmap_stats(filed.map, &stats), 0);
		assert_int_equal(bytes_of(fd), stats.tier_bytes); /* and no more */
	}
	filed_fini(&filed);
	assert_int_equal(length_of(fd), 0);
	close(fd);
}

/* Each begins where the file ends, and neither cuts off what is the other's. */
static void two_tiers_share_a_file(void **state)
{
	struct filed filed[2];
	int fd = new_file();

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		filed_init(&filed[i], fd);
	for (unsigned n = 0; n < 6; n++)
		for (unsigned i = 0; i < 2; i++) {
			filed_add(&filed[i], 3000, i ? 1 : 64);
			if (n % 3 == 2)
				filed_clear(&filed[i]);
		}
	for (unsigned i = 0; i < 2; i++)
		filed_fini(&filed[i]);
	close(fd);
}

/* A file that cannot grow is met by the fill. */
static void a_full_file_is_no_memory(void **state)
{
	struct filed filed;
	size_t length;
	int fd = new_file();

	(void)state;
	filed_init(&filed, fd);
	filed_add(&filed, 2000, 64);
	length = length_of(fd);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	while (rmap_reserve_fill(filed.reserve, 4096) == 0)
		filed_add(&filed, 4096, 64);
	assert_int_equal(rmap_reserve_fill(filed.reserve, 4096), -ENOMEM);
	assert_int_equal(length_of(fd), length);
	filed_clear(&filed);
	filed_fini(&filed);
	close(fd);
}

/* So is the process's limit of a file's size, beyond which the kernel sends a signal. */
static void a_limit_of_size_is_no_memory(void **state)
{
	struct rlimit before;
	struct filed filed;
	int fd = new_file();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	filed_init(&filed, fd);
	filed_add(&filed, 2000, 64);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ length_of(fd) + 1, before.rlim_max }), 0);
	while (rmap_reserve_fill(filed.reserve, 4096) == 0)
		filed_add(&filed, 4096, 64);
	assert_int_equal(rmap_reserve_fill(filed.reserve, 4096), -ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(rmap_reserve_fill(filed.reserve, 4096), 0);
	filed_clear(&filed);
	filed_fini(&filed);
	close(fd);
}

static void files_of_no_use(void **state)
{
	struct rmap_tier tier = { .granule = 42 };
	int fd = new_file();
	int huge;

	(void)state;
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(rmap_tier_file(&tier, fd), -EINVAL);
	close(fd);
	assert_int_equal(rmap_tier_file(&tier, fd), -EINVAL); /* closed */
	huge = memfd_create("huge pages", MFD_HUGETLB);
	if (huge >= 0) {
		assert_int_equal(rmap_tier_file(&tier, huge), -EINVAL);
		close(huge);
	}
	assert_int_equal(tier.granule, 42); /* untouched */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_is_held),
		cmocka_unit_test(the_descriptor_is_not_inherited),
		cmocka_unit_test(contents_stay),
		cmocka_unit_test(places_are_used_again),
		cmocka_unit_test(two_tiers_share_a_file),
		cmocka_unit_test(a_full_file_is_no_memory),
		cmocka_unit_test(a_limit_of_size_is_no_memory),
		cmocka_unit_test(files_of_no_use),
	};

	return cmocka_run_group_tests_name("tier", tests, NULL, NULL);
}
