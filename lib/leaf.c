/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leaf.c - rebuilding what a place of a chain leads to: growing, folding overflow in, splitting, shrinking, merging
 *
 * All of these are one mechanism. What the place leads to is frozen, copied, and left to the grace period:
 *
 *      1  shut     shrinking only: free slots are frozen, so that no more elements than now can be there in the end
 *      2  plan     the place: LINK -> LINK to a plan, which has memory for the copy, and what the place led to, below
 *      3  freeze   (anyone) every slot below, by one read-modify-write each, in order
 *      4  copy     (anyone) every element found: a slot of the copy EMPTY -> ENTRY
 *      5  swing    (anyone) the place: plan -> the copy; who succeeds retires the plan and what is below
 *
 * A helper needs no memory. What it copies where follows from the frozen words alone, so all helpers do the same; and a
 * slot of the copy is EMPTY once, so one that is late changes nothing. What is below stays as it was frozen until
 * nobody can read it: the plan is the record by which it is retired.
 *
 * An element is live in one place: below until the swing, in the copy after it. Adds into slots below succeed until the
 * slot is frozen, and are copied then; so do takes, and are not. From the plan on nothing is put on top of what is
 * below, for that is a compare-and-swap of the place. Whoever sees its element HELD has acquired the plan, helps, and
 * looks in the copy. So does an add for every plan that it meets. A thread that stops after step 1 leaves a leaf that
 * seems full to adds, which have memory of their own to rebuild it with.
 *
 * The copy is large enough for whatever is found:
 *      larger    a leaf with as many slots as there are below
 *      smaller   a leaf with as many slots as were left open by step 1
 *      split     a branch, and leaves by what is found for each; what a child's leaf has no slot for is in lines of
 *                overflow on top of it, out of the same two pieces (lines_to_split()). So elements of one key, which no
 *                branch parts, are split off from all others level by level, down to a leaf of their own
 *      merge     of the leaves of a branch: a leaf with as many slots. The words of the branch are frozen first; if
 *                they lead to more by then, or to something else, the branch is copied instead of the elements
 *
 * An element whose lines are full in the copy goes anywhere in its leaf, whose form says SPILLED: then it is searched
 * whole.
 *
 * What is empty needs no copy: a top line of overflow, and the leaf of slot 2, are shut (step 1), and if nothing was
 * put there before that, the place is swung to what is below, or to EMPTY; it was empty when it was shut, and is so for
 * ever. A plan or another line on top, put there meanwhile, makes that swing fail. A place under a branch always leads
 * somewhere, so it keeps its leaf. From EMPTY slot 2 goes on as if nothing had been behind it: who expects it EMPTY
 * finds it so; who has read the LINK expects that, and no other piece has its address in his section. Whoever searches
 * reads slot 2 first, as ever: either he reads the leaf, in which no unit is left but those that he meets there, or
 * EMPTY, and has acquired what emptied it, or what an add put there since.
 *
 * What one operation costs at worst, alone in its place, follows from the sizes: of S slots below, each is read up to
 * three times (census, count, copy) and frozen once, and each of at most S elements takes a compare-and-swap. An add
 * does one rebuild, the largest a split: S = 256 of LEAF_LINES_MAX lines, so less than 1,400 accesses with what it
 * searches, or 2,000 with as much overflow as lines_to_split() lets pass. A remove does MERGES_MAX merges (chain.c), of
 * S = 192 and at most half as many elements, less than 800 each, and a rebuild of what they made, less than 1,000; or
 * no merge, and a rebuild of any leaf. What the pool does for a block or a piece comes on top: at most it takes a
 * magazine out of a depot. tests/unit_costs.c counts.
 *
 *      label  orders                                                   breaks without it
 *      R1     a plan, its memory and a branch before the place           helpers follow garbage
 *      A1     pairs with R1, R2, and R1 (chain.c), so that what a place leads to can be read
 *      R2     all copies before the swing                              a search finds the copy without its element
 *      A3     pairs with R2, R3 (chain.c), so that the swing hands on what adders and takers did
 *      R4     a slot shut before the plan that counts on it            more elements than the copy has room for
 *      A4     pairs with R4
 */
#include "leaf.h"
#include "pool.h"

/*
 * A copy is made for a load of at most 3/4, when it shrinks of 7/10, and not for less than half unless slots were shut.
 */
static unsigned lines_for(uint64_t elements)
{
	return lines_up((unsigned)((elements * 4 + 3 * LEAF_SLOTS - 1) / (3 * LEAF_SLOTS)));
}

static unsigned lines_for_fewer(uint64_t elements)
{
	unsigned lines = (unsigned)((elements * 10 + 7 * LEAF_SLOTS - 1) / (7 * LEAF_SLOTS));

	return lines ? lines_up(lines) : 1;
}

static size_t lines_bytes(unsigned lines)
{
	return (size_t)lines * LINE_BYTES;
}

/* Copying ----------------------------------------------------------------------------------- */

/* A piece of the plan, out of which leaves and lines are cut: so many @parts, @taken lines of @lines. */
struct cut {
	uint64_t *memory;
	unsigned lines;
	unsigned taken;
	unsigned parts;
};

static uint64_t *cut_off(struct cut *cut, unsigned lines)
{
	uint64_t *memory = cut->memory + (size_t)cut->taken * LINE_SLOTS;

	CHECK(cut->taken + lines <= cut->lines, "a copy is too small");
	cut->taken += lines;
	cut->parts++;
	return memory;
}

/*
 * struct copy - the copy as far as it is filled; every helper has its own, and all are alike
 * @cuts:    the pieces of the plan
 * @branch:  the branch's words, or NULL: there is one leaf
 * @leaves:  LINKs to the leaves, SPILLED if an element is outside its lines; @used: slots of each line of the @cuts
 * @tops:    LINKs to what is on top of the leaves; @overs: how many elements overflowed them
 * @moved:   elements that this helper was the first to copy
 */
struct copy {
	const struct rmap *map;
	unsigned level;
	struct cut cuts[2];
	uint64_t *branch;
	uint64_t leaves[BRANCH_WORDS];
	uint8_t used[2][LEAF_LINES_MAX];
	uint64_t tops[BRANCH_WORDS];
	unsigned overs[BRANCH_WORDS];
	unsigned moved;
};

/* An element that its leaf has no slot for goes to a line on top of it. */
static uint64_t *copy_over(struct copy *copy, unsigned leaf)
{
	unsigned at = copy->overs[leaf]++ % OVER_SLOTS;

	if (at == 0) {
		struct cut *cut = &copy->cuts[copy->cuts[0].taken == copy->cuts[0].lines];
		uint64_t *line = cut_off(cut, 1);
		uint64_t empty = SLOT_EMPTY;

		copy->leaves[leaf] |= (uint64_t)FORM_SPILLED << FORM_SHIFT;
		/* RLX: as in copy_line(). */
		cas_rlx(line, &empty, copy->tops[leaf] ? copy->tops[leaf] : copy->leaves[leaf]);
		copy->tops[leaf] = link_to(line, FORM_OVER);
	}
	return link_memory(copy->tops[leaf]) + 1 + at;
}

/* @used of the leaf at @memory. */
static uint8_t *used_of(struct copy *copy, const uint64_t *memory)
{
	unsigned i = (uintptr_t)memory - (uintptr_t)copy->cuts[0].memory >= lines_bytes(copy->cuts[0].lines);

	return &copy->used[i][((uintptr_t)memory - (uintptr_t)copy->cuts[i].memory) / LINE_BYTES];
}

/* Where in the copy an element of @hash goes next. */
static uint64_t *copy_slot(struct copy *copy, uint64_t hash)
{
	unsigned leaf = copy->branch ? hash_child(hash, copy->level) : 0;
	uint64_t *memory = link_memory(copy->leaves[leaf]);
	uint8_t *used = used_of(copy, memory);
	unsigned lines = link_lines(copy->leaves[leaf]);
	unsigned line = hash_line(hash, lines);

	for (unsigned i = 0; i < lines; i++) {
		if (used[line] < LEAF_SLOTS) {
			if (i >= LEAF_WINDOW)
				copy->leaves[leaf] |= (uint64_t)FORM_SPILLED << FORM_SHIFT;
			return memory + (size_t)line * LINE_SLOTS + used[line]++;
		}
		line = line + 1 == lines ? 0 : line + 1;
	}
	return copy_over(copy, leaf);
}

/* Steps 3 and 4 for one line. */
static void copy_line(struct copy *copy, uint64_t *slots, unsigned n)
{
	uint64_t low = copy->map->key_low;

	for (unsigned i = 0; i < n; i++) {
		uint64_t word = load_acq(&slots[i]); /* A3: pairs with R2, R3 of chain.c. */
		uint64_t empty = SLOT_EMPTY;

		if (!(word & SLOT_FROZEN))
			word = fetch_or_acqrel(&slots[i], SLOT_FROZEN) | SLOT_FROZEN; /* A3: likewise. */
		if (slot_kind(word) != SLOT_HELD)
			continue;
		INJECT();
		/* RLX: who swings has acquired every element himself (A3), and found it in the copy or put it there. */
		copy->moved += cas_rlx(copy_slot(copy, key_hash(copy->map, slot_key(word, low))), &empty,
				       word & ~SLOT_FROZEN);
	}
}

/* Steps 3 and 4 for all lines under @below. */
static void copy_all(struct copy *copy, uint64_t below)
{
	struct line_walk walk = walk_lines(below);
	uint64_t *slots;
	unsigned n;

	while ((slots = next_line(&walk, &n)))
		copy_line(copy, slots, n);
}

/* Freezes the lines under @below and counts, for each child, what is found. */
static void count_children(const struct copy *copy, uint64_t below, unsigned children[BRANCH_WORDS])
{
	struct line_walk walk = walk_lines(below);
	uint64_t *slots;
	unsigned n;

	memset(children, 0, BRANCH_WORDS * sizeof(*children));
	while ((slots = next_line(&walk, &n))) {
		for (unsigned i = 0; i < n; i++) {
			/* A3: as in copy_line(). */
			uint64_t word = fetch_or_acqrel(&slots[i], SLOT_FROZEN) | SLOT_FROZEN;
			uint64_t hash = key_hash(copy->map, slot_key(word, copy->map->key_low));

			children[hash_child(hash, copy->level)] += slot_kind(word) == SLOT_HELD;
		}
	}
}

static unsigned cut_left(const struct cut *cut)
{
	return cut->lines - cut->taken;
}

static unsigned lines_full(unsigned elements)
{
	return (elements + LEAF_SLOTS - 1) / LEAF_SLOTS;
}

/*
 * Cuts a branch and its leaves, for so many elements each, out of the pieces: with room to grow, or if that does not
 * fit @tight.
 * False: it does not. Of what no leaf can hold the rest will overflow.
 */
static bool cut_children(struct copy *copy, const unsigned children[BRANCH_WORDS], bool tight)
{
	struct cut *cuts = copy->cuts;
	unsigned overs = 0;

	cuts[0].taken = cuts[0].parts = cuts[1].taken = cuts[1].parts = 0;
	copy->branch = cut_off(&cuts[0], BRANCH_LINES);
	for (unsigned i = 0; i < BRANCH_WORDS; i++) {
		unsigned lines = lines_for(children[i] + 1);
		struct cut *cut = &cuts[0];

		if (tight || lines > cuts[0].lines)
			lines = lines_within(children[i] ? lines_full(children[i]) : 1);
		if (cut_left(cut) < lines)
			cut = &cuts[1];
		if (cut_left(cut) < lines) {
			if (!tight)
				return false;
			cut = &cuts[cut_left(&cuts[0]) < cut_left(&cuts[1])];
			lines = lines_within(cut_left(cut));
		}
		copy->leaves[i] = link_to(cut_off(cut, lines), lines);
		if (children[i] > lines * LEAF_SLOTS)
			overs += (children[i] - lines * LEAF_SLOTS + OVER_SLOTS - 1) / OVER_SLOTS;
	}
	return overs <= cut_left(&cuts[0]) + cut_left(&cuts[1]);
}

/* So many lines hold a branch and all that can be found in a leaf of @lines lines and @overs of overflow, tightly. */
static unsigned lines_to_split(unsigned lines, unsigned overs)
{
	return BRANCH_LINES + BRANCH_WORDS - 1 + (lines * LEAF_SLOTS + OVER_SLOTS - 1) / OVER_SLOTS + overs;
}

/* All of the first piece becomes one leaf. */
static void cut_leaf(struct copy *copy)
{
	unsigned lines = copy->cuts[0].lines;

	copy->leaves[0] = link_to(cut_off(&copy->cuts[0], lines), lines);
}

/* The copy's leaf @i, and what is on top of it. */
static uint64_t copy_link(const struct copy *copy, unsigned i)
{
	return copy->tops[i] ? copy->tops[i] : copy->leaves[i];
}

/* The words of the branch, before the swing. */
static uint64_t link_children(struct copy *copy)
{
	for (unsigned i = 0; i < BRANCH_WORDS; i++) {
		uint64_t empty = SLOT_EMPTY;

		cas_rlx(&copy->branch[i], &empty, copy_link(copy, i)); /* RLX: as in copy_line(). */
	}
	return link_to(copy->branch, FORM_BRANCH);
}

/* What is under a place that no branch is under. RLX: fixed. */
static struct extent extent_of(uint64_t link)
{
	struct extent extent = { 0, 0 };

	for (; link_form(link) == FORM_OVER; link = load_rlx(link_memory(link))) {
		extent.pieces++;
		extent.bytes += LINE_BYTES;
	}
	extent.pieces++;
	extent.bytes += lines_bytes(link_lines(link));
	return extent;
}

/* Step 5. True: it was this call. */
static bool swing(const struct place *place, uint64_t after)
{
	uint64_t plan = place->value;

	INJECT();
	return cas_acqrel(place->word, &plan, after); /* R2: pairs with A1. */
}

static void retire_plan(struct rmap_reserve *reserve, const struct place *place, struct extent below)
{
	reserve_unmade(reserve, 1 + below.pieces, sizeof(struct plan) + below.bytes);
	rmap_pool_retire_block(reserve, (struct block *)link_memory(place->value), SLOT_LINK, below.bytes);
}

/* A piece of the plan was cut up; what is left of it is in hand again, for nobody has seen that. */
static void settle(struct rmap_reserve *reserve, const struct cut *cut)
{
	reserve_unmade(reserve, 1, lines_bytes(cut->lines));
	reserve_made(reserve, cut->parts, lines_bytes(cut->taken));
	if (cut_left(cut))
		rmap_pool_put_piece(reserve, cut->memory + (size_t)cut->taken * LINE_SLOTS, cut_left(cut));
}

static void help_split(struct rmap_reserve *reserve, const struct place *place, uint64_t below, struct copy *copy)
{
	unsigned children[BRANCH_WORDS];

	count_children(copy, below, children);
	if (!cut_children(copy, children, false) && !cut_children(copy, children, true))
		CHECK(false, "a split does not fit");
	copy_all(copy, below);
	if (!swing(place, link_children(copy)))
		return;
	settle(reserve, &copy->cuts[0]);
	settle(reserve, &copy->cuts[1]);
	retire_plan(reserve, place, extent_of(below));
}

static void help_copy(struct rmap_reserve *reserve, const struct place *place, uint64_t below, struct copy *copy)
{
	cut_leaf(copy);
	copy_all(copy, below);
	if (swing(place, copy->leaves[0]))
		retire_plan(reserve, place, extent_of(below));
}

static void freeze_branch(uint64_t *branch)
{
	for (unsigned i = 0; i < BRANCH_WORDS; i++)
		if (!(load_acq(&branch[i]) & SLOT_FROZEN))          /* A1: pairs with R1, R2. */
			fetch_or_acqrel(&branch[i], SLOT_FROZEN); /* A1: likewise. */
}

static void help_merge(struct rmap_reserve *reserve, const struct place *place, const struct plan *plan,
		       struct copy *copy)
{
	uint64_t *branch = link_memory(plan->below);
	uint64_t *other = link_memory(plan->more);
	struct extent shell = { 1, lines_bytes(BRANCH_LINES) };

	freeze_branch(branch);
	if (!plan_merges(plan)) {
		for (unsigned i = 0; i < BRANCH_WORDS; i++) {
			uint64_t empty = SLOT_EMPTY;

			/* RLX: frozen, and acquired by freeze_branch(); as in copy_line(). */
			cas_rlx(&other[i], &empty, load_rlx(&branch[i]) & ~SLOT_FROZEN);
		}
		if (!swing(place, link_to(other, FORM_BRANCH)))
			return;
		settle(reserve, &copy->cuts[0]);
		retire_plan(reserve, place, shell);
		return;
	}
	cut_leaf(copy);
	for (unsigned i = 0; i < BRANCH_WORDS; i++)
		copy_all(copy, load_rlx(&branch[i])); /* RLX: likewise */
	if (!swing(place, copy->leaves[0]))
		return;
	settle(reserve, &copy->cuts[1]);
	shell.pieces += BRANCH_WORDS;
	shell.bytes += lines_bytes(branch_lines(branch));
	retire_plan(reserve, place, shell);
}

void rmap_leaf_help(struct rmap_reserve *reserve, const struct place *place)
{
	const struct plan *made = (const struct plan *)link_memory(place->value);
	/* RLX: fixed, and ordered by A1. */
	struct plan plan = { .into = load_rlx(&made->into),
			     .more = load_rlx(&made->more),
			     .below = load_rlx(&made->below) };
	struct copy copy = { .map = reserve->map, .level = place->level };

	copy.cuts[0] = (struct cut){ link_memory(plan.into), link_lines(plan.into), 0, 0 };
	copy.cuts[1] = (struct cut){ link_memory(plan.more), link_lines(plan.more), 0, 0 };

	if (link_form(plan.below) == FORM_BRANCH)
		help_merge(reserve, place, &plan, &copy);
	else if (plan.more)
		help_split(reserve, place, plan.below, &copy);
	else
		help_copy(reserve, place, plan.below, &copy);
	reserve_count(reserve, STAT_ENTRIES_MOVED, copy.moved);
}

/* Planning ---------------------------------------------------------------------------------- */

/*
 * What is under a place.
 * @entries: elements; @open: slots that are not frozen; @shut: free ones that are
 * @lines:   of the leaf; @overs: of overflow
 * @held:    there is a plan already
 */
struct census {
	unsigned entries;
	unsigned open;
	unsigned shut;
	unsigned lines;
	unsigned overs;
	bool held;
};

/* Where there is more overflow than a piece holds, which is not copied, the leaf is not read: it has no @lines then. */
static struct census take_census(const struct rmap *map, uint64_t link)
{
	struct line_walk walk = walk_lines(link);
	struct census census = { 0 };
	uint64_t *slots;
	unsigned n;

	while (census.overs <= map->leaf_lines && (slots = next_line(&walk, &n))) {
		census.overs += !walk.line;
		census.lines += walk.line != NULL;
		for (unsigned i = 0; i < n; i++) {
			uint64_t word = load_acq(&slots[i]); /* A3: as in copy_line(), for the plan of who froze it. */

			census.shut += (word & SLOT_FROZEN) != 0;
			census.open += (word & SLOT_FROZEN) == 0;
			census.held |= slot_kind(word) == SLOT_HELD;
			census.entries += slot_kind(word) == SLOT_ENTRY;
		}
	}
	return census;
}

/*
 * Steps 2 to 5 with a copy of @into lines and, if not 0, @more. False: there is no memory. True: it is done, or another
 * has changed the place.
 */
static bool make_plan(struct rmap_reserve *reserve, struct place *place, unsigned into, unsigned more)
{
	uint64_t *first, *second = NULL;
	struct plan *plan;
	uint64_t link;

	plan = (struct plan *)rmap_pool_take_spare(reserve);
	if (!plan)
		return false;
	first = rmap_pool_take_piece(reserve, into);
	if (first && more)
		second = rmap_pool_take_piece(reserve, more);
	if (!first || (more && !second)) {
		if (first)
			rmap_pool_put_piece(reserve, first, into);
		rmap_pool_put_block(reserve, (struct block *)plan);
		return false;
	}
	/* PRIV: not published until R1. */
	store_rlx(&plan->into, link_to(first, into));
	store_rlx(&plan->more, second ? link_to(second, more) : 0);
	store_rlx(&plan->below, place->value);
	link = link_to(plan, FORM_PLAN);
	INJECT();
	if (!cas_acqrel(place->word, &place->value, link)) { /* R1: publishes the plan; pairs with A1. */
		rmap_pool_put_piece(reserve, first, into);
		if (second)
			rmap_pool_put_piece(reserve, second, more);
		rmap_pool_put_block(reserve, (struct block *)plan);
		reserve_count(reserve, STAT_RETRIES, 1);
		return true;
	}
	reserve_made(reserve, second ? 3 : 2, sizeof(*plan) + lines_bytes(into + more));
	place->value = link;
	rmap_leaf_help(reserve, place);
	return true;
}

/*
 * Before anything is counted: is there memory for a leaf that is larger than the one of @place, or for two of the
 * largest?
 */
static bool can_grow(struct rmap_reserve *reserve, const struct place *place)
{
	unsigned most = reserve->map->leaf_lines;
	unsigned lines = lines_up(link_lines(leaf_under(place->value)) + 1);

	return rmap_pool_has_piece(reserve, lines <= most ? lines : most);
}

bool rmap_leaf_grow(struct rmap_reserve *reserve, struct place *place)
{
	const struct rmap *map = reserve->map;
	struct census census;
	unsigned lines, least;

	if (!can_grow(reserve, place))
		return false;
	census = take_census(map, place->value);
	if (census.held)
		return true;
	if (!census.lines)
		return false;
	lines = lines_for(census.entries + 1);
	least = census.lines + (census.overs ? census.overs : 1);
	if (census.shut)
		least = (census.open + LEAF_SLOTS - 1) / LEAF_SLOTS;
	else if (census.overs * 4 < map->leaf_lines && census.entries * 2 < lines_up(least) * LEAF_SLOTS)
		return false; /* equal keys: elsewhere it is not full */
	lines = lines_up(lines > least ? lines : least);
	if (lines <= map->leaf_lines) {
		if (!make_plan(reserve, place, lines, 0))
			return false;
	} else if (place->level == BRANCH_LEVELS ||
		   lines_to_split(census.lines, census.overs) > 2 * map->leaf_lines ||
		   !make_plan(reserve, place, map->leaf_lines, map->leaf_lines)) {
		return false;
	}
	reserve_count(reserve, STAT_PUSHES, 1);
	return true;
}

/* Step 1, for @most lines. How many slots are left open; UINT32_MAX: there is a plan already. */
static unsigned shut_lines(uint64_t link, unsigned most)
{
	struct line_walk walk = walk_lines(link);
	unsigned open = 0;
	uint64_t *slots;
	unsigned n;

	for (; most > 0 && (slots = next_line(&walk, &n)); most--) {
		for (unsigned i = 0; i < n; i++) {
			uint64_t word = load_acq(&slots[i]); /* A4: pairs with R4. */

			while (word == SLOT_EMPTY || word == SLOT_VACANT)
				if (cas_acqrel(&slots[i], &word, word | SLOT_FROZEN)) /* R4: pairs with A4. */
					word |= SLOT_FROZEN;
			if (slot_kind(word) == SLOT_HELD)
				return UINT32_MAX;
			open += (word & SLOT_FROZEN) == 0;
		}
	}
	return open;
}

/*
 * What is on top in @place, a line of overflow or the leaf of slot 2, seems empty: shuts it, and if nothing came before
 * that, the place leads to what is below it, or to nothing.
 */
static void pop(struct rmap_reserve *reserve, struct place *place)
{
	bool over = link_form(place->value) == FORM_OVER;
	uint64_t *memory = link_memory(place->value);
	unsigned lines = over ? 1 : link_lines(place->value);

	/* RLX: fixed. R2: pairs with A1: who finds nothing has seen what emptied it (A4). */
	if (shut_lines(place->value, lines) == 0 &&
	    cas_acqrel(place->word, &place->value, over ? load_rlx(memory) : SLOT_EMPTY)) {
		reserve_unmade(reserve, 1, lines_bytes(lines));
		rmap_pool_retire_piece(reserve, memory, lines);
		reserve_count(reserve, STAT_POPS, 1);
	}
}

/*
 * Merges the branch above @place, if what is in it is little. False: it is not, or there is no memory. That is asked of
 * the branch and not of the leaf that became emptier: all else in it may have gone before.
 */
static bool merge(struct rmap_reserve *reserve, const struct place *place)
{
	struct place above = { .word = place->parent, .value = place->branch, .level = place->level - 1 };
	uint64_t *branch = link_memory(place->branch);
	uint64_t leaves[BRANCH_WORDS];
	unsigned entries = 0;
	unsigned lines = 0;

	for (unsigned i = 0; i < BRANCH_WORDS; i++) {
		leaves[i] = load_acq(&branch[i]); /* A1: pairs with R1, R2. */
		lines += link_lines(leaves[i]);
		if (!link_is_leaf(leaves[i]) || lines > 3 * BRANCH_WORDS || lines > reserve->map->leaf_lines)
			return false;
	}
	for (unsigned i = 0; i < BRANCH_WORDS; i++) {
		entries += take_census(reserve->map, leaves[i]).entries;
		if (entries > MERGED_MOST(reserve->map->leaf_lines))
			return false;
	}
	if (!make_plan(reserve, &above, lines_up(lines), BRANCH_LINES))
		return false;
	reserve_count(reserve, STAT_POPS, 1);
	return true;
}

bool rmap_leaf_shrink(struct rmap_reserve *reserve, struct place *place, bool may_merge)
{
	const struct rmap *map = reserve->map;
	struct census census;
	unsigned lines;

	if (link_form(place->value) == FORM_PLAN)
		return false;
	if (link_form(place->value) == FORM_OVER && line_entries(link_memory(place->value) + 1, OVER_SLOTS) == 0) {
		pop(reserve, place);
		return false;
	}
	census = take_census(map, place->value);
	if (census.held || !census.lines)
		return false;
	if (may_merge && place->parent && merge(reserve, place))
		return true;
	lines = lines_for_fewer(census.entries);
	if (!place->parent && census.entries == 0 && census.overs == 0)
		pop(reserve, place);
	else if (lines < census.lines + (census.overs > 0) && rmap_pool_has_piece(reserve, lines) &&
		 shut_lines(place->value, UINT32_MAX) <= lines * LEAF_SLOTS && make_plan(reserve, place, lines, 0))
		reserve_count(reserve, STAT_POPS, 1);
	return false;
}

/* The end of a chain ------------------------------------------------------------------------ */

void rmap_leaf_seal(uint64_t link, struct extent *extent)
{
	const struct plan *plan = (const struct plan *)link_memory(link);
	struct extent lines;

	switch (link_form(link)) {
	case FORM_BRANCH:
		extent->pieces++;
		extent->bytes += lines_bytes(BRANCH_LINES);
		for (unsigned i = 0; i < BRANCH_WORDS; i++)
			/* A1: pairs with R1, R2. */
			rmap_leaf_seal(fetch_or_acqrel(link_memory(link) + i, SLOT_FROZEN), extent);
		break;
	case FORM_PLAN:
		extent->pieces += 2 + (plan->more != 0);
		extent->bytes += sizeof(*plan) + lines_bytes(link_lines(plan->into) + link_lines(plan->more));
		rmap_leaf_seal(plan->below, extent);
		break;
	default:
		lines = extent_of(link);
		extent->pieces += lines.pieces;
		extent->bytes += lines.bytes;
	}
}

/* Hands every piece of what @link leads to, branches and plans included, to @sink. RLX: ordered by the grace period. */
static void each_piece(uint64_t link, piece_sink sink, void *arg)
{
	uint64_t *memory = link_memory(link);
	const struct plan *plan = (const struct plan *)memory;

	for (; link_form(link) == FORM_OVER; memory = link_memory(link)) {
		link = load_rlx(memory);
		sink(arg, memory, CLASS_LINE);
	}
	if (link_form(link) == FORM_BRANCH) {
		for (unsigned i = 0; i < BRANCH_WORDS; i++)
			each_piece(load_rlx(&memory[i]), sink, arg);
		sink(arg, memory, CLASS_LINE + piece_class(BRANCH_LINES));
	} else if (link_form(link) == FORM_PLAN) {
		each_piece(plan->below, sink, arg);
		each_piece(plan->into, sink, arg);
		if (plan->more)
			each_piece(plan->more, sink, arg);
		sink(arg, memory, CLASS_BLOCK);
	} else {
		sink(arg, memory, CLASS_LINE + piece_class(link_lines(link)));
	}
}

void rmap_leaf_each_behind(struct block *block, piece_sink sink, void *arg)
{
	const struct plan *plan = (const struct plan *)block;

	/* RLX: ordered by the grace period. */
	if (slot_kind(load_rlx(&block->slots[BLOCK_RETIRED])) == SLOT_SEALED) {
		for (unsigned i = 0; i < BLOCK_LINK; i++) {
			uint64_t behind = load_rlx(&block->slots[i]); /* RLX: likewise */

			if (slot_kind(behind) == SLOT_LINK)
				each_piece(behind, sink, arg);
		}
	} else if (link_form(plan->below) == FORM_BRANCH && !plan_merges(plan)) {
		/* The branch was copied as it was: its leaves live on. */
		sink(arg, link_memory(plan->below), CLASS_LINE + piece_class(BRANCH_LINES));
	} else {
		each_piece(plan->below, sink, arg);
	}
}
