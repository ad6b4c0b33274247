/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hand.c - what a reserve has in hand: first blocks, and lines
 *
 * Lines are there as *runs*, up to 32 that lie one behind the other. An add that pushes takes one, a rebuild a piece of
 * several; each is cut from the end of the shortest run that has it. So a run's first line, in which a pop of the depot
 * that is late may still look, comes first in whatever it ends in.
 *
 *      lines in hand = promised, one to each add and move to come  + for records of batches (pool.c)  + for rebuilds
 *
 * A piece is cut if all that adds to come were promised is there after it; and each add that needs no line leaves its
 * own, for its promise ends with it (page.c). To grow a chain takes about as much in all, so one fill serves any number
 * of adds. And as soon as somebody has lacked a piece, each fill sees to it that two of the longest can be cut besides.
 *
 * All is of one reserve, so of one thread, and PRIV.
 */
#include "pool.h"
#include "slab.h"

/* CLEAR: plain stores of zeroes. TAKEN: from here on nobody may find in @memory what it held before. */
#ifdef RMAP_EXPLORE
#define CLEAR(memory, bytes) explore_clear(memory, bytes)
#define TAKEN(memory, bytes) explore_taken(memory, bytes)
#else
#define CLEAR(memory, bytes) memset(memory, 0, bytes)
#define TAKEN(memory, bytes) ((void)(memory))
#endif

/* Blocks that a fill gets for plans, and lines that a reserve may have beyond what fills see to. */
#ifdef RMAP_EXPLORE
#define SPARE_BLOCKS 1u
#else
#define SPARE_BLOCKS 16u
#endif
#define SURPLUS_LINES 48u
#define BLOCKS_A_LINE (LINE_BYTES / (unsigned)sizeof(struct block))

/* Runs -------------------------------------------------------------------------------------- */

static void run_push(struct rmap_reserve *reserve, uint64_t *run, unsigned lines)
{
	struct hand *hand = &reserve->hand;

	magazine_link(run, hand->runs[lines - 1]);
	hand->runs[lines - 1] = run;
	hand->lengths |= (uint64_t)1 << (lines - 1);
	count_private(&hand->lines, lines);
}

static uint64_t *run_pop(struct rmap_reserve *reserve, unsigned lines)
{
	struct hand *hand = &reserve->hand;
	uint64_t *run = hand->runs[lines - 1];

	hand->runs[lines - 1] = magazine_next(run);
	if (!hand->runs[lines - 1])
		hand->lengths &= ~((uint64_t)1 << (lines - 1));
	count_private(&hand->lines, -(uint64_t)lines);
	return run;
}

/* Takes @lines lines off the shortest run that has them; NULL: none has. */
static uint64_t *run_cut(struct rmap_reserve *reserve, unsigned lines)
{
	uint64_t fit = reserve->hand.lengths >> (lines - 1);
	uint64_t *run;
	unsigned left;

	if (!fit)
		return NULL;
	left = (unsigned)__builtin_ctzll(fit);
	run = run_pop(reserve, lines + left);
	if (left)
		run_push(reserve, run, left);
	return run + (size_t)left * LINE_SLOTS;
}

/*
 * The shortest piece of at least @least and at most @most lines that is free; *@lines: its length. NULL: there is none.
 */
static uint64_t *free_piece(struct rmap *map, unsigned least, unsigned most, unsigned *lines)
{
	for (unsigned class = piece_class(least); class < PIECE_CLASSES && piece_lines(class) <= most; class++) {
		unsigned count = 0;
		uint64_t *piece = rmap_depot_pop(map, CLASS_LINE + class, &count);

		if (!piece)
			continue;
		CHECK(count == 1, "a magazine of %u pieces", count);
		*lines = piece_lines(class);
		return piece;
	}
	return NULL;
}

/*
 * As many lines of the shortest free piece that has @least of them, up to @most; *@lines of them. NULL: there is none.
 */
static uint64_t *part_of_piece(struct rmap *map, unsigned least, unsigned most, unsigned *lines)
{
	uint64_t *piece = free_piece(map, least, LEAF_LINES_MAX, lines);

	/* Nobody can have seen the rest of it in the depots since a grace period began. */
	if (piece && *lines > most) {
		rmap_depot_push_lines(map, piece + (size_t)most * LINE_SLOTS, *lines - most);
		*lines = most;
	}
	return piece;
}

/* Taking and putting back ------------------------------------------------------------------- */

/* The first line, in which a late pop may still look, not in bulk. PRIV. */
static uint64_t *clear_piece(uint64_t *piece, unsigned lines)
{
	TAKEN(piece, (size_t)lines * LINE_BYTES);
	for (unsigned i = 0; i < LINE_SLOTS; i++)
		store_rlx(&piece[i], SLOT_EMPTY);
	if (lines > 1)
		CLEAR(piece + LINE_SLOTS, (size_t)(lines - 1) * LINE_BYTES);
	return piece;
}

struct block *rmap_pool_take_block(struct rmap_reserve *reserve)
{
	struct hand *hand = &reserve->hand;
	uint64_t *block = hand->blocks;

	if (!block && (block = hand->magazines)) /* PRIV, as all that is in hand */
		hand->magazines = (uint64_t *)(uintptr_t)load_rlx(&block[MAGAZINE_MAGAZINE]);
	if (!block)
		return NULL;
	hand->blocks = magazine_next(block);
	__builtin_prefetch(hand->blocks, 1); /* Nobody has touched it since it was retired. */
	count_private(&hand->n_blocks, -(uint64_t)1);
	UNPOISON(block, sizeof(struct block));
	TAKEN(block, sizeof(struct block));
	return (struct block *)block;
}

void rmap_pool_put_block(struct rmap_reserve *reserve, struct block *block)
{
	uint64_t *words = (uint64_t *)block;

	magazine_link(words, reserve->hand.blocks);
	reserve->hand.blocks = words;
	count_private(&reserve->hand.n_blocks, 1);
}

/* A magazine as it comes out of the depot: its blocks are not touched before they are needed. */
static void put_magazine(struct rmap_reserve *reserve, uint64_t *magazine, unsigned count)
{
	store_rlx(&magazine[MAGAZINE_MAGAZINE], (uintptr_t)reserve->hand.magazines); /* PRIV */
	reserve->hand.magazines = magazine;
	count_private(&reserve->hand.n_blocks, count);
}

uint64_t *rmap_pool_take_line(struct rmap_reserve *reserve)
{
	uint64_t *line = run_cut(reserve, 1);

	return line ? clear_piece(line, 1) : NULL;
}

void rmap_pool_put_line(struct rmap_reserve *reserve, uint64_t *line)
{
	run_push(reserve, line, 1);
}

/* Can a piece be cut that no add was promised? */
static bool has_run(const struct rmap_reserve *reserve, unsigned lines)
{
	return reserve->hand.lengths >> (lines - 1) && reserve->hand.lines >= reserve_promised(reserve) + lines;
}

/*
 * A row of *@count blocks from elsewhere than their depot: fresh, and at last those of any free piece, if the caller
 * @sleeps; otherwise those of a line in hand. NULL: there is none.
 */
static struct block *row_of_blocks(struct rmap_reserve *reserve, bool sleeps, unsigned *count)
{
	struct block *row = sleeps ? rmap_carve(reserve->map, sizeof(*row), count) : NULL;
	unsigned lines = 1;

	if (row)
		return row;
	if (sleeps)
		row = (struct block *)free_piece(reserve->map, 1, LEAF_LINES_MAX, &lines);
	else if (has_run(reserve, 1))
		row = (struct block *)run_cut(reserve, 1);
	*count = BLOCKS_A_LINE * lines;
	return row;
}

/* Gets blocks until there are @wanted. 0; -ENOMEM; -EAGAIN: not without sleeping. */
static int fill_blocks(struct rmap_reserve *reserve, uint64_t wanted, bool sleeps)
{
	while (reserve->hand.n_blocks < wanted) {
		unsigned count = MAGAZINE_BLOCKS;
		uint64_t *magazine = rmap_depot_pop(reserve->map, CLASS_BLOCK, &count);
		struct block *row = magazine ? NULL : row_of_blocks(reserve, sleeps, &count);

		if (!magazine && !row)
			return sleeps ? -ENOMEM : -EAGAIN;
		if (magazine)
			put_magazine(reserve, magazine, count);
		else
			for (unsigned i = 0; i < count; i++)
				rmap_pool_put_block(reserve, &row[i]);
	}
	return 0;
}

struct block *rmap_pool_take_spare(struct rmap_reserve *reserve)
{
	unsigned promised = reserve_promised(reserve);

	return fill_blocks(reserve, promised + 1, false) == 0 ? rmap_pool_take_block(reserve) : NULL;
}

/* Fills to come see to it, of all reserves: who comes to a long chain for the first time needs as much as others. */
static void missed(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;

	if (!load_rlx(&map->pool.wanted))                    /* RLX: a hint */
		store_rlx(&map->pool.wanted, map->leaf_lines); /* RLX: likewise */
}

bool rmap_pool_has_piece(struct rmap_reserve *reserve, unsigned lines)
{
	bool has = has_run(reserve, lines);

	for (unsigned class = CLASS_LINE + piece_class(lines); !has && class < SLOT_CLASSES; class++)
		has = load_rlx(&reserve->map->pool.depots[class]) != 0; /* RLX: a hint */
	if (!has)
		missed(reserve);
	return has;
}

uint64_t *rmap_pool_take_piece(struct rmap_reserve *reserve, unsigned lines)
{
	bool has = has_run(reserve, lines);
	unsigned found;
	/* What is in hand is for when nothing is free, or for one line only longer pieces. */
	uint64_t *piece = has && lines == 1 ? free_piece(reserve->map, 1, 1, &found)
					    : part_of_piece(reserve->map, lines, lines, &found);

	if (!piece && has)
		piece = run_cut(reserve, lines);
	if (!piece)
		missed(reserve);
	return piece ? clear_piece(piece, lines) : NULL;
}

void rmap_pool_put_piece(struct rmap_reserve *reserve, uint64_t *piece, unsigned lines)
{
	run_push(reserve, piece, lines);
	rmap_hand_keep_asked(reserve);
}

/* Fills ------------------------------------------------------------------------------------- */

/*
 * Gets lines until there are @wanted: short pieces first, but for no more than half of a large fill, since rebuilds
 * need long ones; then long ones, then, if the caller @sleeps, fresh memory. If that is not enough it fails or, if it
 * is the @last_resort, takes any piece. 0; -ENOMEM; -EAGAIN: not without sleeping.
 */
static int fill_lines(struct rmap_reserve *reserve, uint64_t wanted, bool sleeps, bool last_resort)
{
	struct rmap *map = reserve->map;
	struct hand *hand = &reserve->hand;
	unsigned least = map->leaf_lines < MAGAZINE_BLOCKS ? map->leaf_lines : MAGAZINE_BLOCKS;
	uint64_t shorts = wanted / 2 < least ? least : wanted / 2;

	while (hand->lines < wanted) {
		uint64_t missing = wanted - hand->lines;
		uint64_t bounded = missing < map->leaf_lines ? missing : map->leaf_lines;
		unsigned most = bounded < least ? least : (unsigned)bounded;
		unsigned lines = most;
		uint64_t *run = shorts ? free_piece(map, 1, least, &lines) : NULL;

		if (run)
			shorts -= lines < shorts ? lines : shorts;
		else
			run = part_of_piece(map, least, most, &lines);
		if (!run && sleeps)
			run = rmap_carve(map, LINE_BYTES, &lines);
		if (!run && last_resort)
			run = free_piece(map, 1, LEAF_LINES_MAX, &lines);
		if (!run)
			return sleeps ? -ENOMEM : -EAGAIN;
		run_push(reserve, run, lines);
	}
	return 0;
}

/* Can two pieces of so many lines be cut? */
static bool has_two(const struct hand *hand, unsigned lines)
{
	uint64_t fit = hand->lengths >> (lines - 1);
	unsigned shortest = fit ? lines + (unsigned)__builtin_ctzll(fit) : 0;

	if (fit == 0 || (fit & (fit - 1)) || shortest >= 2 * lines)
		return fit != 0;
	return magazine_next(hand->runs[shortest - 1]) != NULL;
}

int rmap_hand_fill(struct rmap_reserve *reserve, unsigned adds, bool sleeps)
{
	unsigned promised = reserve_promised(reserve);
	unsigned keeps = adds > promised ? adds : promised;
	int error = fill_blocks(reserve, adds, sleeps);

	if (!error)
		error = fill_lines(reserve, sleeps ? keeps + RECORD_LINES : adds, sleeps, true);
	if (error)
		return error;
	reserve->promised = keeps;
	if (reserve->asked < adds)
		reserve->asked = adds;
	return 0;
}

void rmap_hand_prepare(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;
	unsigned wanted = (unsigned)load_rlx(&map->pool.wanted); /* RLX: a hint */

	if (!wanted)
		return;
	fill_blocks(reserve, reserve_promised(reserve) + SPARE_BLOCKS, true);
	while (!has_two(&reserve->hand, wanted)) {
		unsigned lines = wanted;
		uint64_t *run = part_of_piece(map, lines, lines, &lines);

		if (!run)
			run = rmap_carve(map, LINE_BYTES, &lines); /* It may be shorter: the rest of a slab. */
		if (!run)
			return;
		run_push(reserve, run, lines);
	}
	fill_lines(reserve, reserve_promised(reserve) + RECORD_LINES + 2 * wanted, true, false);
}

void rmap_hand_keep(struct rmap_reserve *reserve, uint64_t blocks, uint64_t lines)
{
	struct hand *hand = &reserve->hand;
	struct block *block;

	while (hand->n_blocks > blocks && (block = rmap_pool_take_block(reserve)))
		rmap_pool_retire_block(reserve, block, SLOT_SEALED, 0);
	while (hand->lines > lines) {
		uint64_t excess = hand->lines - lines;
		unsigned shortest = 1 + (unsigned)__builtin_ctzll(hand->lengths);
		unsigned cut = excess < shortest ? (unsigned)excess : shortest;

		rmap_pool_retire_piece(reserve, run_cut(reserve, cut), cut);
	}
}

void rmap_hand_keep_asked(struct rmap_reserve *reserve)
{
	uint64_t wanted = load_rlx(&reserve->map->pool.wanted); /* RLX: a hint */
	uint64_t adds = reserve_promised(reserve);

	adds = adds < reserve->asked ? reserve->asked : adds;
	rmap_hand_keep(reserve, adds + SPARE_BLOCKS + MAGAZINE_BLOCKS,
		       adds + RECORD_LINES + 2 * wanted + SURPLUS_LINES);
}
