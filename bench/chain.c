/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain.c - `rmap bench chain`: the mappings of one page, of 1 to 10^6: the rows, and what they must be
 */
#include <stdint.h>

#include "bench.h"
#include "chain.h"

#define MILLION 1000000
#define PAGES_PUBLISHED 64853 /* of chain_distribution together */

static const struct bench_row rows[] = {
	{ "linear", 1, "ns", false, chain_linear, NULL },
	{ "pair", 1, "ns", false, chain_pair, NULL },
	{ "pair", 2, "ns", false, chain_pair, NULL },
	{ "pair", 3, "ns", false, chain_pair, NULL },
	{ "pair", 7, "ns", false, chain_pair, NULL },
	{ "pair", 64, "ns", false, chain_pair, NULL },
	{ "pair", 1024, "ns", false, chain_pair, NULL },
	{ "pair", 100000, "ns", false, chain_pair, NULL },
	{ "pair", MILLION, "ns", false, chain_pair, NULL },
	{ "fifo", 64, "ns", false, chain_fifo, NULL },
	{ "fifo", 1024, "ns", false, chain_fifo, NULL },
	{ "fifo", 100000, "ns", true, chain_fifo, NULL },
	{ "lifo", 64, "ns", false, chain_lifo, NULL },
	{ "lifo", 1024, "ns", false, chain_lifo, NULL },
	{ "lifo", 100000, "ns", true, chain_lifo, NULL },
	{ "add", 64, "ns", false, chain_add, NULL },
	{ "add", 1024, "ns", false, chain_add, NULL },
	{ "add", 100000, "ns", false, chain_add, NULL },
	{ "add", MILLION, "ns", true, chain_add, NULL },
	{ "remove", 64, "ns", false, chain_remove, NULL },
	{ "remove", 1024, "ns", false, chain_remove, NULL },
	{ "remove", 100000, "ns", true, chain_remove, NULL },
	{ "remove", MILLION, "ns", true, chain_remove, NULL },
	{ "remove-fifo", 1024, "ns", false, chain_remove, "fifo" },
	{ "remove-fifo", 100000, "ns", true, chain_remove, "fifo" },
	{ "remove-lifo", 1024, "ns", false, chain_remove, "lifo" },
	{ "remove-lifo", 100000, "ns", true, chain_remove, "lifo" },
	{ "walk", 64, "ns", false, chain_walk, NULL },
	{ "walk", 1024, "ns", false, chain_walk, NULL },
	{ "walk", 100000, "ns", false, chain_walk, NULL },
	{ "walk", MILLION, "ns", true, chain_walk, NULL },
	{ "walk-batches", 64, "ns", false, chain_walk, "batches" },
	{ "walk-batches", 1024, "ns", false, chain_walk, "batches" },
	{ "walk-batches", 100000, "ns", false, chain_walk, "batches" },
	{ "pair-batch", 1024, "ns", false, chain_batch, NULL },
	{ "pair-batch", 100000, "ns", true, chain_batch, NULL },
	{ "pair-batch", MILLION, "ns", false, chain_batch, NULL },
	{ "fork", 0, "ns", false, chain_fork, NULL },
	{ "fork", 1, "ns", false, chain_fork, NULL },
	{ "fork", 3, "ns", false, chain_fork, NULL },
	{ "lock", 1, "ns", false, chain_lock, NULL },
	{ "lock", 2, "ns", false, chain_lock, NULL },
	{ "lock", 64, "ns", false, chain_lock, NULL },
	{ "window", 1, "ns", false, chain_cluster, NULL },
	{ "window", 3, "ns", false, chain_cluster, NULL },
	{ "window", 64, "ns", false, chain_cluster, NULL },
	{ "block", 2, "ns", false, chain_block, NULL },
	{ "fill", 0, "ns", false, chain_fill, NULL },
	{ "fill", 1, "ns", false, chain_fill, NULL },
	{ "fill", 32, "ns", false, chain_fill, NULL },
	{ "mapcount-beside", 1, "ns", false, chain_mapcount, NULL },
	{ "mapcount-beside", 2, "ns", false, chain_mapcount, NULL },
	{ "mapcount-beside", 64, "ns", false, chain_mapcount, NULL },
	{ "walk-beside", 256, "us", false, chain_latency, NULL },
	{ "walk-beside", 6000, "us", false, chain_latency, NULL },
	{ "walk-beside", 20000, "us", false, chain_latency, NULL },
	{ "growing", MILLION, "bytes", false, chain_growing, NULL },
	{ "after-16n", 1024, "bytes", false, chain_churn, NULL },
	{ "after-16n", 10000, "bytes", false, chain_churn, NULL },
	{ "after-16n", 100000, "bytes", true, chain_churn, NULL },
	{ "after-16n", MILLION, "bytes", true, chain_churn, NULL },
	{ "small", 1, "bytes", false, chain_small, NULL },
	{ "small", 2, "bytes", false, chain_small, NULL },
	{ "small", 3, "bytes", false, chain_small, NULL },
	{ "published", PAGES_PUBLISHED, "bytes", false, chain_published, NULL },
	{ "windows", 16, "bytes", false, chain_clusters, NULL },
	{ "reserve", 32, "bytes", false, chain_reserve, NULL },
};

static const char *const the_limit[] = { "limit", NULL };
static const char *const the_descriptor[] = { "descriptor", NULL };
static const char *const the_malloc[] = { "malloc", NULL };

static const struct bench_target targets[] = {
	{ "linear pair, x limit", "linear", 1, 1, "rmap", "ns", the_limit, false, 1.3, NULL },
	{ "pair at n = 1, x limit", "pair", 1, 1, "rmap", "ns", the_limit, false, 1.15, NULL },
	{ "pair at n = 2, x descriptor", "pair", 2, 2, "rmap", "ns", the_descriptor, false, 1.25, NULL },
	{ "pair at n = 3, x limit", "pair", 3, 3, "rmap", "ns", the_limit, false, 1.1, NULL },
	{ "pair at n = 7, x limit", "pair", 7, 7, "rmap", "ns", the_limit, false, 1.4, NULL },
	{ "pair at n = 64 .. 1,024, x limit", "pair", 64, 1024, "rmap", "ns", the_limit, false, 1.8, NULL },
	{ "bytes a mapping after these, n = 64", "pair", 64, 64, "rmap", "bytes a mapping", NULL, false, 15, NULL },
	{ "bytes a mapping after these, n = 1,024", "pair", 1024, 1024, "rmap", "bytes a mapping", NULL, false, 13,
	  NULL },
	{ "pair at n = 10^5, x limit", "pair", 100000, 100000, "rmap", "ns", the_limit, false, 3, NULL },
	{ "pair at n = 10^6, x revision 2725a32", "pair", MILLION, MILLION, "rmap", "ns", NULL, false, 0.75,
	  "scripts/compare 2725a32" },
	{ "the same, batch calls, x single calls there", "pair-batch", MILLION, MILLION, "rmap", "ns", NULL, false, 0.4,
	  "scripts/compare 2725a32" },
	{ "an add, growing to 10^5, x revision 2725a32", "add", 100000, 100000, "rmap", "ns", NULL, false, 2,
	  "scripts/compare 2725a32" },
	{ "walk by batches at n = 64 .. 10^5, x limit", "walk-batches", 64, 100000, "rmap", "ns", the_limit, false, 3.5,
	  NULL },
	{ "lines of leaves a hit looks at, n = 10^5", "pair", 100000, 100000, "rmap", "ns", NULL, false, 2.2,
	  "the tests, which count accesses" },
	{ "accesses of one operation at worst", "pair", 100000, 100000, "rmap", "ns", NULL, false, 3000,
	  "the tests, which count accesses" },
	{ "a block's coming and going, x malloc and free", "block", 2, 2, "rmap", "ns", the_malloc, false, 0.5, NULL },
	{ "bytes a mapping, growing to 10^6, average", "growing", MILLION, MILLION, "rmap", "bytes", NULL, false, 10.8,
	  NULL },
	{ "bytes a mapping, growing, worst from n = 14", "growing", MILLION, MILLION, "rmap", "worst", NULL, false, 16,
	  NULL },
	{ "bytes a mapping, growing, worst from n = 128", "growing", MILLION, MILLION, "rmap", "worst from 128", NULL,
	  false, 13, NULL },
	{ "bytes a mapping after 16 n pairs, n = 1,024 .. 10^6", "after-16n", 1024, MILLION, "rmap", "bytes", NULL,
	  false, 12.5, NULL },
	{ "bytes a page with one mapping", "small", 1, 1, "rmap", "bytes", NULL, false, 8, NULL },
	{ "bytes a page with 2 or 3", "small", 2, 3, "rmap", "bytes", NULL, false, 40, NULL },
	{ "bytes a mapping, published distribution", "published", 1, MILLION, "rmap", "bytes", NULL, false, 11.9,
	  NULL },
	{ "bytes a pte, full windows of 16", "windows", 16, 16, "rmap", "bytes", NULL, false, 0.8, NULL },
	{ "bytes in hand after a fill for 32 adds, any chain", "reserve", 32, 32, "rmap", "bytes", NULL, false, 16384,
	  NULL },
};

const struct benchmark bench_chain = {
	.name = "chain",
	.summary = "the mappings of one page, 1 to 1000000 of them: adds, removes, walks, calls, bytes",
	.legend =
		"pair: one remove of a random mapping and one add of a fresh one; fifo: the oldest goes; lifo: the\n"
		"newest 32 go; add, remove: from nothing to n, and back; walk: the handles of all mappings summed, a\n"
		"mapping; walk-batches: so by arrays of mappings; pair-batch: 32 at a time; fork: pages with n\n"
		"mappings get and lose one more, 32 at a time;\n"
		"lock: a mapping is mlocked and munlocked; window: pairs of ptes in n windows of 16; block: two adds "
		"and\n"
		"two removes of a page, without and with a block, and the difference; fill: of a reserve after n "
		"blocks\n"
		"were used; -beside: while another thread makes pairs. Bytes are a mapping; in `small` a page, in\n"
		"`windows` a pte, in `reserve` in all.\n"
		"limit: the loop with only the read-modify-writes of counts and slots; limit-one: with one for both\n"
		"where that can be; loop: without any.\n",
	.rows = rows,
	.rows_n = sizeof(rows) / sizeof(rows[0]),
	.targets = targets,
	.targets_n = sizeof(targets) / sizeof(targets[0]),
};
