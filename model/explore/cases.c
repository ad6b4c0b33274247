/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cases.c - the programs, how they run, and what must hold at the end of each execution
 *
 * At the end the history must be explained (history.h), the page must hold what the specification says and satisfy its
 * equations, and a map whose page was dropped must end with all of its memory back (G6, G8).
 */
#include "cases.h"
#include "history.h"

#include <explore_step.h>
#include <rmap/walk.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILL 4u
#define PAGE_INDEX 5u
#define FREED 0xA5
#define RANGE_LAST 15u

/*
 * Begins an initial program: four more ranges, of which nothing is asked, so that the index has two leaves. They begin
 * before the page's and end after it, so a split that puts a part of that into the other leaf swings two words of a
 * root that stays.
 */
#define AMONG_OTHERS "* "
#define OTHERS 2u

/* Likewise: the page has FOLIO_INDEXES; and of a TAIL the range covers all but the first. */
#define FOLIO "/ "
#define TAIL "% "
#define FOLIO_INDEXES 4u
#define WORDS_AHEAD AMONG_OTHERS FOLIO TAIL

/* Where all of a case's threads find it. In the arena: what an execution changes. */
static struct {
	struct rmap *map;
	struct rmap_reserve *setup;
	struct rmap_reserve *reserves[THREADS_MAX];
	struct rmap_page *page;
	struct rmap_object *object;
	struct rmap_range range; /* the page's, as it was in the beginning */
	unsigned indexes;        /* of the page */
	uint64_t *written; /* by label: how many of its adders have done what comes before the add: set their ptes */
	uint64_t *cleared; /* by label: how many of its ptes were cleared, as page.h has it, when a move had returned */
	uint64_t *begun;   /* by thread: how many operations it has begun */
	uint64_t *end;     /* of the object: how often it was truncated */
	struct op programs[THREADS_MAX][OPS_MAX];
	unsigned lengths[THREADS_MAX];
	struct history history;
} world;

void case_must(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "explore: preparing a case: %s: %s\n", what, strerror(-result));
		exit(2);
	}
}

static size_t last_bytes;

static void *tier_alloc(void *arg, size_t bytes, size_t align)
{
	(void)arg;
	last_bytes = bytes;
	return engine_alloc(bytes, align);
}

static void tier_free(void *arg, void *memory, size_t bytes)
{
	(void)arg;
	explore_poison(memory, bytes);
	memset(memory, FREED, bytes); /* plain accesses meet no poison: they shall find no sense */
}

/* Programs ---------------------------------------------------------------------------------- */

/* Behind a letter for counted ones may stand how many. *@word goes on behind that. */
static struct rmap_mapping read_mapping(const char **word)
{
	char letter = *(*word)++;
	uint32_t n = 1;

	if (letter == 'n' || letter == 'o')
		return rmap_named(LETTERS + (uint64_t)(letter - 'n'));
	if (letter != 'l' && letter != 'k')
		return rmap_chained((uint64_t)(letter - 'A'));
	if (**word >= '1' && **word <= '9')
		n = (uint32_t)(*(*word)++ - '0');
	return letter == 'l' ? rmap_linear_many(n) : rmap_locked_many(n);
}

static struct op read_op(const char *word)
{
	const char *behind = word + 1;
	struct op op = { .kind = OP_MOVE };

	if (word[0] == '+')
		return (struct op){ .kind = OP_ADD, .to = read_mapping(&behind) };
	if (word[0] == '-')
		return (struct op){ .kind = OP_REMOVE, .from = read_mapping(&behind) };
	if (word[0] == '=')
		return (struct op){ .kind = OP_DUPLICATE, .to = read_mapping(&behind) };
	if (word[0] == '#')
		return (struct op){ .kind = OP_COUNT };
	if (word[0] == '?')
		return (struct op){ .kind = OP_WALK };
	if (word[0] == 'c')
		return (struct op){ .kind = OP_CURSOR };
	if (word[0] == 'b')
		return (struct op){ .kind = OP_BATCHES };
	if (word[0] == 'f')
		return (struct op){ .kind = OP_FILL };
	if (word[0] == 'F')
		return (struct op){ .kind = OP_FILL_MORE };
	if (word[0] == 'd')
		return (struct op){ .kind = OP_DRAIN };
	if (word[0] == 's')
		return (struct op){ .kind = OP_SPLIT };
	if (word[0] == 'm')
		return (struct op){ .kind = OP_SHIFT };
	if (word[0] == 'e')
		return (struct op){ .kind = OP_TRUNCATE };
	if (word[0] == 'q')
		return (struct op){ .kind = OP_FAULT };
	if (word[0] == 'a')
		return (struct op){ .kind = OP_ATTACH };
	if (word[0] == 't')
		return (struct op){ .kind = OP_TAG };
	op.from = read_mapping(&word);
	word++;
	op.to = read_mapping(&word);
	return op;
}

static unsigned read_program(const char *text, struct op *ops)
{
	unsigned count = 0;

	for (; *text; text += strcspn(text, " "), text += strspn(text, " ")) {
		if (count == OPS_MAX) {
			fprintf(stderr, "explore: a program is too long: %s\n", text);
			exit(2);
		}
		ops[count++] = read_op(text);
	}
	return count;
}

/* A handle whose key differs from all others' for any multiplicity a case has. */
static struct rmap_mapping real(struct rmap_mapping mapping)
{
	if (is_labelled(mapping))
		mapping.handle = (mapping.handle + 1) << 12;
	return mapping;
}

/*
 * A visitor looks at the ptes, later than the walk read where they are, and under their lock: so it has acquired what
 * led to one that is clear. What led to one that is set it sees by the walk alone.
 */
static void count_ptes(struct record *record, const struct rmap_visit *visit, unsigned label)
{
	uint64_t cleared = explore_load(&world.cleared[label], __ATOMIC_ACQUIRE);
	uint64_t written = explore_load(&world.written[label], __ATOMIC_RELAXED);

	record->blind |= written < visit->count;
	record->seen[label] += (uint8_t)visit->count;
	record->found[label] += (uint8_t)(visit->count < written - cleared ? visit->count : written - cleared);
}

static int count_visit(void *arg, const struct rmap_visit *visit)
{
	struct record *record = arg;

	for (unsigned i = 0; i < world.history.threads; i++)
		record->ended[i] = engine_ended(i);
	if (visit->kind != RMAP_LINEAR) {
		count_ptes(record, visit, (unsigned)(visit->handle >> 12) - 1);
	} else {
		uint64_t first = rmap_range_index(&visit->range, visit->address) - PAGE_INDEX;

		record->ranges += visit->range.owner != OTHERS;
		for (uint64_t i = first; visit->range.owner != OTHERS && i < first + visit->count; i++)
			record->indexes |= 1u << i;
		explore_load(world.begun, __ATOMIC_RELAXED); /* a step: others may go on between two visits */
	}
	return 0;
}

/* Its thread moves nothing meanwhile, so that it names its reserve must make it miss nothing. */
static void walk_by_cursor(struct rmap_reserve *reserve, struct record *record, const struct rmap_target *target)
{
	struct rmap_cursor cursor;
	struct rmap_visit visit;

	rmap_cursor_init(&cursor, world.map, target);
	cursor.mover = reserve;
	while (rmap_cursor_next(&cursor, &visit, 1) > 0)
		count_visit(record, &visit);
}

static int count_batch(void *arg, const struct rmap_visits *visits)
{
	struct rmap_visit visit;

	for (size_t i = 0; i < visits->n; i++) {
		rmap_visits_get(visits, i, &visit);
		count_visit(arg, &visit);
	}
	return 1;
}

/* Each batch in a section of its own. */
static int walk_by_batches(struct record *record, const struct rmap_target *target)
{
	struct rmap_cursor cursor;
	int result;

	rmap_cursor_init(&cursor, world.map, target);
	do {
		rmap_read_lock(world.map);
		result = rmap_walk_batches(&cursor, count_batch, record);
		rmap_read_unlock(world.map);
	} while (result == 1);
	return result;
}

/* The range that covers the page's first index that any does, as a caller that updates it finds it. */
static int find_range(void *arg, const struct rmap_range *range)
{
	*(struct rmap_range *)arg = *range;
	return range->owner != OTHERS;
}

/* What object.h asks of a truncate and of a faulter. A faulter that has the new sequence must see the new end. */
static int truncate_object(void)
{
	explore_fetch_add(world.end, 1, __ATOMIC_RELAXED);
	rmap_object_truncate_advance(world.object);
	return 0;
}

static int fault(void)
{
	uint64_t sequence = rmap_object_truncate_seq(world.object);

	return explore_load(world.end, __ATOMIC_RELAXED) < sequence ? -EFAULT : 0;
}

/* Two threads that update one range meet: then -ENOENT or -EEXIST is a right answer, and nothing has changed. */
static int update_range(enum op_kind kind)
{
	uint64_t first = world.range.first > PAGE_INDEX ? world.range.first : PAGE_INDEX;
	struct rmap_range range;
	int result;

	rmap_read_lock(world.map);
	rmap_object_stab(world.object, first, find_range, &range);
	rmap_read_unlock(world.map);
	if (kind == OP_TAG)
		result = rmap_object_tag(world.object, &range, range.tags + 1);
	else if (kind == OP_SHIFT)
		result = rmap_object_move(world.object, &range, range.address + 0x100000);
	else
		result = rmap_object_split(world.object, &range, range.first == 0 ? first : first + 1);
	return result == -ENOENT || result == -EEXIST ? 0 : result;
}

static int perform(struct rmap_reserve *reserve, struct record *record)
{
	const struct op *op = &record->op;
	struct rmap_target target = { world.page, world.object, PAGE_INDEX, PAGE_INDEX + world.indexes - 1 };

	switch (op->kind) {
	case OP_ADD:
		return rmap_page_add(reserve, world.page, real(op->to));
	case OP_REMOVE:
		return rmap_page_remove(reserve, world.page, real(op->from));
	case OP_MOVE:
		return rmap_page_move(reserve, world.page, real(op->from), real(op->to));
	case OP_DUPLICATE:
		return rmap_page_duplicate(reserve, world.page, real(op->to));
	case OP_COUNT:
		return (int)rmap_page_mapcount(world.map, world.page);
	case OP_WALK:
		return rmap_walk(world.map, &target, count_visit, record, NULL);
	case OP_CURSOR:
		walk_by_cursor(reserve, record, &target);
		return 0;
	case OP_BATCHES:
		return walk_by_batches(record, &target);
	case OP_FILL:
		return rmap_reserve_fill(reserve, FILL);
	case OP_FILL_MORE:
		return rmap_reserve_fill(reserve, 2 * FILL);
	case OP_DRAIN:
		rmap_reserve_drain(reserve);
		return 0;
	case OP_TRUNCATE:
		return truncate_object();
	case OP_FAULT:
		return fault();
	case OP_ATTACH:
		return rmap_object_attach(world.object, &world.range);
	default:
		return update_range(op->kind);
	}
}

/* What an embedder does around an operation, for others to see: relaxed, so that only the library can order it. */
static void before_op(const struct op *op, unsigned thread, unsigned place)
{
	bool adds = op->kind == OP_ADD || op->kind == OP_DUPLICATE || op->kind == OP_MOVE;

	if (adds && is_labelled(op->to))
		explore_fetch_add(&world.written[op->to.handle], 1, __ATOMIC_RELAXED);
	if (op->kind == OP_REMOVE)
		explore_store(&world.begun[thread], place + 1, __ATOMIC_RELAXED);
}

static void after_op(struct record *record)
{
	const struct op *op = &record->op;
	bool last = op->kind == OP_REMOVE && record->result >= 0 && (record->result & RMAP_LAST);

	if (op->kind == OP_MOVE && record->result >= 0 && is_labelled(op->from))
		explore_fetch_add(&world.cleared[op->from.handle], 1, __ATOMIC_RELEASE);
	if (!last && op->kind != OP_COUNT)
		return;
	for (unsigned i = 0; i < world.history.threads; i++)
		record->saw[i] = (unsigned)explore_load(&world.begun[i], __ATOMIC_RELAXED);
}

static void run_op(struct rmap_reserve *reserve, struct record *record, unsigned thread, unsigned place)
{
	bool section = record->op.kind < OP_CURSOR;

	memset(record->seen, 0, sizeof(record->seen));
	memset(record->found, 0, sizeof(record->found));
	memset(record->ended, 0, sizeof(record->ended));
	record->blind = false;
	record->ranges = 0;
	record->indexes = 0;
	for (unsigned i = 0; i < world.history.threads; i++)
		record->before[i] = engine_ended(i);
	before_op(&record->op, thread, place);
	if (section)
		rmap_read_lock(world.map);
	record->result = perform(reserve, record);
	if (section)
		rmap_read_unlock(world.map);
	after_op(record);
	engine_op_ends();
}

static void run_thread(void *arg, unsigned thread)
{
	(void)arg;
	world.history.counts[thread] = 0;
	for (unsigned i = 0; i < world.lengths[thread]; i++) {
		struct record *record = &world.history.records[thread][i];

		record->op = world.programs[thread][i];
		run_op(world.reserves[thread], record, thread, i);
		world.history.counts[thread]++;
	}
}

/* The end of an execution ------------------------------------------------------------------- */

static const char *check_page(void)
{
	uint32_t mapcount = spec_mapcount(&world.history.initial);
	const char *wrong = NULL;

	for (unsigned i = 0; i < world.history.threads; i++) {
		for (unsigned j = 0; j < world.history.counts[i]; j++) {
			const struct record *record = &world.history.records[i][j];

			if (record->result >= 0)
				mapcount += rmap_mapping_count(record->op.to) - rmap_mapping_count(record->op.from);
		}
	}
	rmap_read_lock(world.map);
	if (rmap_page_check(world.map, world.page, NULL))
		wrong = "the page breaks one of its equations";
	else if (rmap_page_mapcount(world.map, world.page) != mapcount)
		wrong = "the mapcount is not what was added less what was removed (G4)";
	rmap_page_drop(world.setup, world.page);
	rmap_read_unlock(world.map);
	return wrong;
}

/* How many operations of @thread had begun when the last one that did something had. */
static unsigned effective(unsigned thread)
{
	unsigned count = world.history.counts[thread];

	while (count > 0 && (world.history.records[thread][count - 1].result < 0 ||
			     world.history.records[thread][count - 1].op.kind != OP_REMOVE))
		count--;
	return count;
}

/* Whoever sees a count sees what led to it. */
static const char *check_count(const struct record *record)
{
	unsigned removed = 0;

	for (unsigned i = 0; i < world.history.threads; i++)
		for (unsigned j = 0; j < record->saw[i]; j++)
			removed += rmap_mapping_count(world.programs[i][j].from);
	if (removed + (unsigned)record->result < spec_mapcount(&world.history.initial))
		return "a mapcount is seen, and not what its removers did before (G4)";
	return NULL;
}

static const char *check_saw(const struct record *record)
{
	if (record->op.kind == OP_COUNT)
		return check_count(record);
	if (record->result < 0 || !(record->result & RMAP_LAST))
		return NULL;
	for (unsigned i = 0; i < world.history.threads; i++)
		if (record->saw[i] < effective(i))
			return "the last remover does not see what others did before their removes (G5)";
	return NULL;
}

/*
 * In a program of removes and counts only, whoever is told RMAP_LAST comes after all that removed something, and must
 * see what came before each: it is about to free the page.
 */
static const char *check_last(void)
{
	const char *wrong = NULL;

	for (unsigned i = 0; i < world.history.threads; i++)
		for (unsigned j = 0; j < world.lengths[i]; j++)
			if (world.programs[i][j].kind != OP_REMOVE && world.programs[i][j].kind != OP_COUNT)
				return NULL;
	for (unsigned i = 0; i < world.history.threads; i++)
		for (unsigned j = 0; !wrong && j < world.history.counts[i]; j++)
			wrong = check_saw(&world.history.records[i][j]);
	return wrong;
}

static const char *verify(void *arg)
{
	const char *wrong = history_check(&world.history);

	(void)arg;
	if (!wrong)
		wrong = check_last();
	if (!wrong)
		wrong = check_page();
	if (wrong)
		return wrong;
	rmap_object_destroy(world.object);
	for (unsigned i = 0; i < world.history.threads; i++)
		rmap_reserve_destroy(world.reserves[i]);
	rmap_reserve_destroy(world.setup);
	return rmap_destroy(world.map) ? "a block was lost, or retired twice (G8)" : NULL;
}

/* Preparing --------------------------------------------------------------------------------- */

static void prepare_initial(const char *text)
{
	struct op ops[OPS_MAX];
	unsigned count = read_program(text + strspn(text, WORDS_AHEAD), ops);

	for (unsigned i = 0; i < count; i++) {
		struct record record = { .op = ops[i] };

		case_must(rmap_reserve_fill(world.setup, FILL), "filling a reserve");
		run_op(world.setup, &record, 0, 0);
		case_must(record.result, "an initial operation");
		spec_apply(&world.history.initial, &ops[i]);
	}
}

struct rmap *case_map(unsigned bits)
{
	struct rmap_tier tier = { tier_alloc, tier_free, NULL, 1024 };
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap *map;

	engine_reset();
	options.rcu = &engine_rcu;
	options.tier = options.metadata = &tier;
	options.multiplicity_bits = bits;
	case_must(rmap_create(&options, &map), "making the map");
	return map;
}

struct rmap_reserve *case_reserve(struct rmap *map)
{
	struct rmap_reserve *reserve;

	case_must(rmap_reserve_create(map, &reserve), "making a reserve");
	engine_private(reserve, last_bytes);
	case_must(rmap_reserve_fill(reserve, FILL), "filling a reserve");
	return reserve;
}

static bool has_word(const struct explore_case *test, const char *letters)
{
	for (unsigned i = 0; i < THREADS_MAX && test->threads[i]; i++)
		for (const char *word = test->threads[i]; *word; word++)
			if ((word == test->threads[i] || word[-1] == ' ') && strchr(letters, *word))
				return true;
	return false;
}

/* Does its initial program begin with @word, or with others and that? */
static bool has_word_ahead(const struct explore_case *test, const char *word)
{
	return memchr(test->initial, word[0], strspn(test->initial, WORDS_AHEAD)) != NULL;
}

static bool has_name(const struct explore_case *test)
{
	bool has = strpbrk(test->initial, "no");

	for (unsigned i = 0; i < THREADS_MAX && test->threads[i]; i++)
		has |= strpbrk(test->threads[i], "no") != NULL;
	return has;
}

static void prepare_object(const struct explore_case *test)
{
	bool tail = has_word_ahead(test, TAIL);

	world.indexes = has_word_ahead(test, FOLIO) ? FOLIO_INDEXES : 1;
	world.range = (struct rmap_range){ tail ? PAGE_INDEX + 1 : 0, RANGE_LAST, 0x100000, 1, 12, 0 };
	world.history.has_object = has_word(test, "smteqa") || has_name(test);
	if (world.history.has_object)
		case_must(rmap_object_create(world.map, &world.object), "making the object");
	if (world.history.has_object && !has_word(test, "a")) {
		world.history.indexes = ((1u << world.indexes) - 1) & ~(tail ? 1u : 0);
		case_must(rmap_object_attach(world.object, &world.range), "attaching the range");
	}
	for (uint64_t i = 0; i < 4 && has_word_ahead(test, AMONG_OTHERS); i++) {
		static const uint64_t firsts[] = { 0, 3, 4, 2 };
		const struct rmap_range other = { .first = firsts[i], .last = i ? RANGE_LAST + 1 : 0, .owner = OTHERS };

		case_must(rmap_object_attach(world.object, &other), "attaching another range");
	}
}

struct engine_run case_prepare(const struct explore_case *test)
{
	memset(&world, 0, sizeof(world));
	world.map = case_map(test->bits);
	world.page = engine_alloc(sizeof(*world.page), 64);
	world.written = engine_alloc(LABELS * sizeof(*world.written), 64);
	world.cleared = engine_alloc(LABELS * sizeof(*world.cleared), 64);
	world.end = engine_alloc(sizeof(*world.end), 64);
	world.begun = engine_alloc(THREADS_MAX * sizeof(*world.begun), 64);
	world.setup = case_reserve(world.map);
	while (world.history.threads < THREADS_MAX && test->threads[world.history.threads]) {
		unsigned i = world.history.threads++;

		world.lengths[i] = read_program(test->threads[i], world.programs[i]);
		world.reserves[i] = case_reserve(world.map);
	}
	if (has_word(test, "Fd"))
		rmap_reserve_destroy(case_reserve(world.map)); /* its blocks are in the depot now */
	prepare_object(test);
	prepare_initial(test->initial);
	return (struct engine_run){
		.threads = world.history.threads,
		.body = run_thread,
		.verify = verify,
		.victim = -1,
	};
}

bool case_blocks(const struct explore_case *test)
{
	return has_word(test, "fFdsmta");
}

/* The cases --------------------------------------------------------------------------------- */

/* So many that a branch leads to them. */
#define BRANCHED "+A +B +C +D +E +F +G +H +I +J "

/*
 * Most pins have changed since the search tries whoever can lead to the other order of a race (engine.c), where it
 * tried the racing thread, or all; since a compare-and-swap that fails only reads when races are looked for; and since
 * the end of a section never writes, that of a callback is a step, and a barrier waits for what is queued when it
 * begins. Those of plain maps with a chain, since slots 0 and 1 are claimed there: count and slot in one step, where a
 * walk reads meta first; and nothing moves there. Those of walks, since these hand over batches: they read the log of
 * moves behind each, of up to eight mappings, no longer behind every second mapping, and once more when the last has
 * been looked at; and a cursor reads no further than it has room for. Those of chains that have more than two elements,
 * or end: frozen leaves instead of segments. Those of updates of ranges, since a map has one record for nodes
 * that wait, whose callback takes them all. Those of walks, once more, since these look at the word, and with an object
 * at the counts and at crossings, before they ask ranges, and ask none if all is chained; and of moves between ranges
 * and chains, which begin and end crossings. The VM's, since its linear mappings are named. Those of moves beside
 * walks, since movers clear the old pte, which visitors look at; and those in which an element alone moves, here and in
 * the VM, since that is written down.
 */
const struct explore_case explore_cases[] = {
	{ "count-count", 0, "", { "+l -l", "+l #" }, 44, NULL },
	{ "count-lock", 0, "+l", { "l>k", "+k -k" }, 24, NULL },
	{ "count-last", 0, "+l +k", { "-l", "-k" }, 7, NULL },
	{ "direct-direct", 0, "", { "+A -A", "+B -B" }, 184, NULL },
	{ "direct-linear", 0, "+A", { "-A", "+l -l" }, 86, NULL },
	{ "direct-lock", 0, "+A", { "A>k", "+l #" }, 40, NULL },
	{ "direct-walk", 0, "", { "+A", "?" }, 4, NULL },
	{ "promote-linear", 0, "+A", { "+B", "+l" }, 8, NULL },
	{ "promote-move", 0, "+A", { "+B", "A>C" }, 7, NULL },
	{ "promote-remove", 0, "+A", { "-A", "+B" }, 7, NULL },
	{ "promote-promote", 0, "+A", { "+B", "+C" }, 8, NULL },
	{ "promote-walk", 0, "+A", { "+B", "?" }, 4, NULL },
	{ "collapse-add", 0, "+A +B", { "-A -B", "+C" }, 47 /* claims: both read */, NULL },
	{ "collapse-remove", 0, "+A +B", { "-A", "-B" }, 8, NULL },
	{ "collapse-count", 0, "+A +B", { "-A -B", "# #" }, 84, NULL },
	{ "collapse-walk", 0, "+A +B", { "-A -B", "?" }, 47, NULL },
	{ "collapse-linear", 0, "+A +B", { "-A -B", "+l" }, 41, NULL },
	{ "collapse-move", 0, "+A +B", { "-A", "B>l" }, 12, NULL },
	{ "collapse-absent", 0, "+A +B", { "-A -B", "-C" }, 42, NULL },
	{ "collapse-reuse", 0, "+A +B", { "-A -B f +C +D", "+E" }, 2770 /* claims: both read */, NULL },
	/*
	 * Moves and walks step through the log of moves: both its head and an entry are words that others may change.
	 */
	{ "move-move", 0, "+A +B", { "A>C", "B>D" }, 228, NULL },
	{ "move-direct-walk", 0, "+A", { "A>B", "?" }, 15, NULL },
	{ "move-direct-cursor", 0, "+A", { "A>B B>A", "c" }, 1187, NULL },
	{ "move-direct-units", 9, "+A +A", { "A>B", "?" }, 24, NULL },
	{ "unlock-walk", 0, "+B +C +D +k", { "k>A", "?" }, 18, NULL },
	{ "unlock-cursor", 0, "+B +C +k", { "k>A A>D", "c" }, 10248, NULL },
	{ "move-walk", 0, "+A +B +C", { "A>D", "?" }, 39, NULL },
	{ "move-cursor", 0, "+A +B", { "A>D", "c" }, 311, NULL },
	{ "move-twice", 0, "+A +B", { "A>D D>E", "c" }, 30748, NULL },
	{ "move-gone", 0, "+A +B", { "A>D -D", "c" }, 1278, NULL },
	{ "move-lapped", 0, "+A +B", { "A>C C>D D>E", "?" }, 22992, NULL },
	{ "move-counted-walk", 0, "+A +B", { "A>C", "B>l", "?" }, 0, NULL },
	{ "move-both-walk", 0, "+A +B", { "A>C", "B>D", "?" }, 0, NULL },
	/* Batches of one visit: a cursor resumes in a chain that has gained or lost parts meanwhile. */
	{ "cursor-promote", 0, "+A", { "+B -B", "c" }, 16, NULL },
	{ "cursor-collapse", 0, "+A +B", { "-A -B +C +D", "c" }, 1370, NULL },
	{ "cursor-push", 0, "+A +B +C", { "+D +E", "c" }, 2413, NULL },
	{ "cursor-branch", 0, BRANCHED, { "-F +K", "c" }, 144, NULL },
	{ "family-units-cursor", 1, "+A +B +J +J +C +C +C", { "-J", "c" }, 42, NULL },
	{ "family-leaf-cursor", 9, "+A +B +C +D -A -B", { "-C +E +F +G", "c" }, 713, NULL },
	/* Slots 0 and 1 (claim.h): a slot that is claimed again and again, beside those who look into it. */
	{ "claim-add", 0, "+A +B -A", { "+C", "+D" }, 4, NULL },
	{ "claim-remove", 0, "+A +B", { "-A +C", "-B +D" }, 982 /* claims: both read */, NULL },
	{ "claim-collapse", 0, "+A +B -A", { "-B", "+C", "#" }, 313 /* claims: both read */, NULL },
	{ "claim-walk", 0, "+A +B -A", { "+C -C", "?" }, 13, NULL },
	{ "claim-again-walk", 0, "+A +B", { "-A +C -C +D", "# ?" }, 189, NULL },
	{ "claim-again-cursor", 0, "+A +B", { "-A +C -C +D", "# c" }, 257, NULL },
	{ "claim-again-remove", 0, "+A +B", { "+C -C +D", "-A +A -A" }, 861 /* claims: both read */, NULL },
	{ "claim-three", 0, "+A +B -A", { "+C -C", "-B", "+D" }, 0, NULL },
	{ "claim-move-in", 0, "+A +B +C -A", { "C>D", "?" }, 40, NULL },
	{ "claim-move-out", 0, "+A +B", { "A>D", "-B +E", "?" }, 18191 /* claims: both read */, NULL },
	{ "claim-move-over", 0, "+A +B -A", { "B>C", "?" }, 69, NULL },
	{ "claim-move-twice", 0, "+A +B -A", { "B>C C>D", "# c" }, 47356, NULL },
	{ "claim-linear", 0, "+A +B +l", { "A>l l>A", "-B", "?" }, 0, NULL },
	{ "claim-last-move", 0, "+A +B -B", { "A>l", "+C" }, 33 /* claims: both read */, NULL },
	{ "claim-promote", 0, "+A", { "+B -A", "+C" }, 20, NULL },
	/* Batches of up to a line, each in a section of its own. */
	{ "batches-promote", 0, "+A", { "+B -B", "b" }, 14, NULL },
	{ "batches-collapse", 0, "+A +B", { "-A -B +C +D", "b" }, 1050, NULL },
	{ "split-batches", 0, "+A +B +C +D +E", { "+F", "b" }, 438, NULL },
	{ "batches-branch", 0, BRANCHED, { "+K", "b" }, 5, NULL },
	{ "merge-batches", 0, "+A +B +C +D +E +F -C", { "-F", "b" }, 1405, NULL },
	{ "over-batches", 0, "+A +B +C +D +E -D +F", { "-F", "b" }, 93, NULL },
	{ "fewer-batches", 0, "+A +B +C +D +E -C", { "-D", "b" }, 277, NULL },
	{ "batches-move", 0, BRANCHED, { "A>K", "b" }, 146, NULL },
	{ "batches-linear", 0, "+A +B -B", { "a A>l", "b" }, 2383, NULL },
	{ "batches-split", 0, "+l", { "s s", "b" }, 34244, NULL },
	{ "batches-family", 9, BRANCHED "-A -B -C", { "-D", "+J -J", "b" }, 10452, NULL },
	{ "lock-unlock", 0, "+A +B", { "A>k k>A", "B>k" }, 4495 /* claims: both read */, NULL },
	{ "block-walk", 0, "+A +B +C -A", { "+D", "?" }, 5, NULL },
	{ "push-push", 0, "+A +B +C", { "+D", "+E" }, 48, NULL },
	{ "push-remove", 0, "+A +B +C", { "+D", "-C" }, 13, NULL },
	{ "push-walk", 0, "+A +B +C", { "+D", "?" }, 5, NULL },
	{ "branch-remove", 0, BRANCHED, { "+K", "-C" }, 5, NULL },
	{ "branch-walk", 0, BRANCHED, { "-E", "?" }, 8, NULL },
	{ "end-walk", 9, "+A +B +C +D -A -B", { "-C -D", "?" }, 219, NULL },
	{ "end-remove", 9, "+A +B +C +D -A -B", { "-C", "-D" }, 180 /* thin: counted before */, NULL },
	{ "family-leaf", 9, "+A +B +C +D -A -B", { "-C", "+D" }, 9 /* thin: counted before */, NULL },
	{ "family-leaf-adds", 9, "+A +B +C +D -A -B", { "-C", "+E +F +G -D" }, 0, NULL },
	{ "leaf-move", 9, "+A +F +B +G +C +H -A -F -B -G", { "-C ?", "H>I" }, 196 /* thin: counted before */, NULL },
	{ "leaf-move-full", 9, "+A +F +B +G +C +H -A -F -B -G", { "-C ?", "+J +K -J H>I" },
	  6208 /* thin: counted before */, NULL },
	{ "empty-both", 0, "+A +B +C +D", { "-C", "-D" }, 24 /* thin: counted before */, NULL },
	{ "empty-lines", 0, "+A +B +C +D +E -C", { "-D", "-E" }, 0, NULL },
	{ "empty-three", 0, "+A +B +C +D -C", { "-D", "+E +F", "-B" }, 0, NULL },
	{ "family-leaf-walk", 9, "+A +B +C +D -A -B", { "-C", "+D", "?" }, 463 /* thin: counted before */, NULL },
	{ "family-duplicate", 9, "+A +A", { "=A", "-A" }, 9, NULL },
	{ "family-merge", 9, "+A +B", { "+A", "+A -A" }, 108, NULL },
	/*
	 * Updates step through the root's word and the version, and through the map's lock for their nodes. Those that
	 * have waited leave the map's figure before they are given back, so another's update comes between the two.
	 */
	{ "range-split-walk", 0, "+l", { "s s", "?" }, 6552, NULL },
	{ "range-move-walk", 0, AMONG_OTHERS "+l", { "m", "?" }, 9, NULL },
	{ "range-move-cursor", 0, "+l", { "m", "c" }, 29, NULL },
	{ "range-split-cursor", 0, "+l", { "s s", "c" }, 34244, NULL },
	{ "range-split-below", 0, AMONG_OTHERS "+l", { "s", "?" }, 13, NULL },
	{ "range-update-both", 0, "", { "m", "t" }, 4076, NULL },
	{ "range-updates", 0, "", { "s", "m t" }, 0, NULL },
	{ "range-becomes-linear", 0, "+A +B", { "A>l s", "?" }, 245, NULL },
	/* A page of several indexes: a range is split inside it, or covers a part of it. */
	{ "folio-split-walk", 0, FOLIO "+l", { "s s", "?" }, 6552, NULL },
	{ "folio-split-cursor", 0, FOLIO "+l", { "s s", "c" }, 41052, NULL },
	{ "folio-part-walk", 0, FOLIO TAIL "+l", { "s", "?" }, 9, NULL },
	{ "folio-part-cursor", 0, FOLIO TAIL "+l", { "s", "c" }, 41, NULL },
	{ "folio-part-batches", 0, FOLIO TAIL "+l", { "s", "b" }, 29, NULL },
	{ "folio-part-move", 0, FOLIO TAIL "+l", { "m", "c" }, 29, NULL },
	{ "folio-part-below", 0, AMONG_OTHERS FOLIO TAIL "+l", { "s", "?" }, 9, NULL },
	{ "folio-part-attach", 0, FOLIO TAIL "+A +B", { "a A>l", "?" }, 56, NULL },
	/* A name is kept while its mapping is alone, and is handed over in the place of ranges. */
	{ "name-name", 0, "", { "+n -n", "+o -o" }, 142, NULL },
	{ "name-counted", 0, "+n", { "-n", "+l -l" }, 25, NULL },
	{ "name-chained", 0, "+n", { "-n", "+A -A" }, 67, NULL },
	{ "name-locked", 0, "+n", { "n>k k>n", "+l #" }, 43, NULL },
	{ "name-last", 0, "+n +o", { "-n", "-o" }, 6, NULL },
	{ "name-walk", 0, "+n", { "+o -o", "?" }, 14, NULL },
	{ "name-walk-new", 0, "", { "+n", "?" }, 5, NULL },
	{ "name-walk-chained", 0, "+n", { "+A -A", "?" }, 85, NULL },
	{ "name-moves", 0, "+n", { "n>o o>n", "?" }, 215, NULL },
	{ "name-moves-batches", 0, "+n", { "n>o", "b" }, 28, NULL },
	{ "name-becomes-chained", 0, "+n", { "n>A A>B", "?" }, 59, NULL },
	{ "chained-becomes-name", 0, "+A", { "A>n n>B", "?" }, 211, NULL },
	{ "name-cursor", 0, "+n +A", { "-A n>B", "c" }, 724, NULL },
	/* A walk that passes over ranges, since nothing is linear, while a mapping becomes so. */
	{ "pass-linear", 0, "+A +B", { "A>n", "?" }, 56, NULL },
	{ "pass-linear-and-back", 0, "+A +B", { "A>n +E n>D", "?" }, 1112, NULL },
	{ "pass-direct", 0, "+A", { "A>n n>D", "b" }, 738, NULL },
	/* One that is locked where a range finds it has no other place. */
	{ "pass-locked", 0, "+n -n +A +B", { "A>k", "?" }, 56, NULL },
	{ "pass-locked-direct", 0, "+n -n +A", { "A>k", "?" }, 60, NULL },
	{ "pass-unlocked", 0, "+n -n +B +C +D +k", { "k>A", "?" }, 40, NULL },
	{ "pass-twice", 0, "+A +B", { "A>n n>D", "B>o", "?" }, 0, NULL },
	/* Several mappings in one step. */
	{ "many-many", 0, "", { "+l3 -l3", "+l2 #" }, 44, NULL },
	{ "many-refused", 0, "+l2", { "-l3 -l2", "+l #" }, 23, NULL },
	{ "many-last", 0, "+l3 +k2", { "-l3", "-k2", "#" }, 44, NULL },
	{ "many-lock", 0, "+l4", { "l3>k3", "k2>l2 #", "-l" }, 95, NULL },
	{ "many-direct", 0, "+A", { "-A", "+l3 -l2" }, 86, NULL },
	{ "many-collapse", 0, "+A +B", { "-A -B", "+l3 l2>k2", "#" }, 6134, NULL },
	{ "many-chain-lock", 0, "+A +B +l3", { "l3>k3 k3>l3", "-A -B" }, 277, NULL },
	{ "family-equal", 9, "+A +B +C +E", { "+D -D", "+D -D" }, 0, NULL },
	/* Misuse (page.h): one pte twice, and a mapping that is removed while its owner moves it. */
	{ "misuse-equal", 0, "+A +B +C +D", { "-D", "+D -D" }, 0, NULL },
	{ "misuse-equal-move", 0, "+A +B +C +D", { "D>E", "+D -D" }, 0, NULL },
	{ "misuse-equal-claim", 0, "+A +B", { "-B", "+B -B" }, 10, NULL },
	{ "misuse-moved", 0, "+A +B +C", { "A>l", "-A" }, 6, NULL },
	{ "misuse-moved-slot", 0, "+A +B +C", { "C>l", "-C" }, 30, NULL },
	{ "misuse-moved-late", 0, "+A +B -A", { "B>C", "-B" }, 273 /* claims: both read */, NULL },
	{ "misuse-removed-twice", 0, "+A +B", { "-A", "-A +C -C +D" }, 0,
	  "no order of the operations explains what they answered (G4, G5)" },
	/* These moves step through the log of moves, too, and these attaches as updates above. */
	{ "linear-collapse", 0, "+A +B -B", { "a A>l", "?" }, 331, NULL },
	{ "linear-claim-walk", 0, "+A +B -A", { "a B>l", "?" }, 347, NULL },
	{ "linear-move-walk", 0, "+A", { "a A>l", "?" }, 60, NULL },
	{ "linear-leave-walk", 0, "+A +B", { "a A>l", "?" }, 56, NULL },
	{ "linear-slot-walk", 0, "+A +B +C -A -B", { "a C>l", "?" }, 457, NULL },
	{ "linear-slot-help-walk", 0, "+A +B +C -A -B", { "?", "a C>l", "-A" }, 13633, NULL },
	{ "linear-help-walk", 0, "+A +B -B", { "?", "a A>l", "-C" }, 8346 /* claims: both read */, NULL },
	{ "family-branch", 9, BRANCHED "-A -B -C", { "-D", "+J", "?" }, 615, NULL },
	{ "truncate-fault", 0, "", { "e e", "q q" }, 19, NULL },
	{ "truncate-both", 0, "", { "e", "e", "q" }, 22, NULL },
	{ "collapse-remove-count", 0, "+A +B", { "-A", "-B", "# #" }, 744, NULL },
	{ "depot-depot", 0, "+A +B", { "-A f", "-B f" }, 280, NULL },
	{ "depot-pop-pop", 0, "", { "F", "F" }, 0, NULL },
	{ "depot-pop-push", 0, "+A +B", { "-A -B", "F" }, 0, NULL },
	{ "depot-reuse", 0, "+A +B", { "-A -B +C +D f -C -D +E +F", "#" }, 0, NULL },
	{ "drain-pop", 0, "", { "F", "d" }, 0, NULL },
	{ "drain-push", 0, "+A +B", { "-A -B", "d" }, 0, NULL },
	{ "drain-owner", 0, "+A +B", { "-A", "d" }, 0, NULL },
	{ "drain-drain", 0, "", { "d", "d" }, 0, NULL },
	{ "drain-reuse", 0, "+A +B", { "-A -B F +C +D", "d f" }, 0, NULL },
	{ "three-promote", 0, "+A", { "+B", "-A", "#" }, 29, NULL },
	{ "three-last", 0, "+A +B +l", { "-A", "-B", "-l" }, 432, NULL },
	{ "three-slot-2-again", 0, "+A +B +C", { "-C", "+D", "?" }, 252, NULL },
	{ "three-branch", 0, BRANCHED "-A -B -C", { "-D", "-E", "?" }, 2814 /* thin: counted before */, NULL },
	/*
	 * Leaves (lib/leaf.c). With the explorer's sizes, slots 0 and 1 hold A and B; C and D fill a leaf of one line,
	 * of which E makes two, and F a branch with C, F and D, E. A leaf shrinks for its last element, a branch merges
	 * for three.
	 */
	{ "grow-add", 0, "+A +B +C +D", { "+E", "+F" }, 0, NULL },
	{ "grow-remove", 0, "+A +B +C +D", { "+E", "-C" }, 0, NULL },
	{ "grow-remove-again", 0, "+A +B +C +D", { "+E", "-C +C -C" }, 0, NULL },
	{ "grow-walk", 0, "+A +B +C +D", { "+E", "?" }, 44, NULL },
	{ "grow-cursor", 0, "+A +B +C +D", { "+E", "c" }, 2209, NULL },
	{ "grow-three", 0, "+A +B +C +D", { "+E", "-C", "-D" }, 0, NULL },
	{ "split-add", 0, "+A +B +C +D +E", { "+F", "+G" }, 0, NULL },
	{ "split-remove", 0, "+A +B +C +D +E", { "+F", "-C" }, 0, NULL },
	{ "split-remove-again", 0, "+A +B +C +D +E", { "+F", "-E +E -E" }, 0, NULL },
	{ "split-walk", 0, "+A +B +C +D +E", { "+F", "?" }, 116, NULL },
	{ "split-cursor", 0, "+A +B +C +D +E", { "+F", "c" }, 0, NULL },
	{ "split-hand-over", 0, "+A +B +C +D +E", { "+F", "+J", "?" }, 0, NULL },
	{ "fewer-add", 0, "+A +B +C +D +E -C", { "-D", "+F" }, 1748, NULL },
	{ "fewer-adds", 0, "+A +B +C +D +E -C", { "-D", "+F +H" }, 0, NULL },
	{ "fewer-remove", 0, "+A +B +C +D +E -C", { "-D", "-E" }, 0, NULL },
	{ "fewer-remove-again", 0, "+A +B +C +D +E -C", { "-D", "-E +E -E" }, 0, NULL },
	{ "fewer-walk", 0, "+A +B +C +D +E -C", { "-D", "?" }, 77, NULL },
	{ "fewer-cursor", 0, "+A +B +C +D +E -C", { "-D", "c" }, 2739, NULL },
	{ "merge-add", 0, "+A +B +C +D +E +F -C", { "-F", "+H" }, 0, NULL },
	{ "merge-hand-over", 0, "+A +B +C +D +E +F -C", { "-F", "+H", "?" }, 0, NULL },
	{ "merge-grow", 0, "+A +B +C +D +E +F -C", { "-F", "+G" }, 0, NULL },
	{ "merge-remove", 0, "+A +B +C +D +E +F -C", { "-F", "-D" }, 0, NULL },
	{ "merge-remove-again", 0, "+A +B +C +D +E +F -C", { "-F", "-D +D -D" }, 0, NULL },
	{ "merge-walk", 0, "+A +B +C +D +E +F -C", { "-F", "?" }, 359, NULL },
	{ "merge-cursor", 0, "+A +B +C +D +E +F -C", { "-F", "c" }, 0, NULL },
	{ "merge-last", 0, "+D +E +A +B +C +F -C -D -E", { "-F", "-A -B" }, 0, NULL },
	/* Who makes the copy, or only swings, has acquired what others added to a leaf meanwhile. */
	{ "merge-add-walk", 0, "+A +B +C +D +E +F -C", { "+H", "-F ?" }, 0, NULL },
	{ "merge-split-walk", 0, "+A +B +C +D +E +F -C", { "+G", "-F", "+H ?" }, 0, NULL },
	/* The leaf of slot 2 with D alone goes with it; F, in a line on top of a leaf with C and E, with that line. */
	{ "empty-add", 0, "+A +B +C +D -C", { "-D", "+E" }, 474 /* thin: counted before */, NULL },
	{ "empty-adds", 0, "+A +B +C +D -C", { "-D", "+E +F" }, 0, NULL },
	{ "empty-remove-again", 0, "+A +B +C +D -C", { "-D +D -D", "+E -E" }, 0, NULL },
	{ "empty-walk", 0, "+A +B +C +D -C", { "-D", "?" }, 29, NULL },
	{ "empty-cursor", 0, "+A +B +C +D -C", { "-D +E +F", "c" }, 8527, NULL },
	{ "empty-hand-over", 0, "+A +B +C +D -C", { "-D", "+E", "?" }, 0, NULL },
	{ "empty-last", 0, "+A +B +C +D -C", { "-D", "-A -B" }, 618, NULL },
	{ "over-add", 0, "+A +B +C +D +E -D +F", { "-F", "+G" }, 397, NULL },
	{ "over-adds", 0, "+A +B +C +D +E -D +F", { "-F", "+G +H" }, 1270, NULL },
	{ "over-remove", 0, "+A +B +C +D +E -D +F", { "-F", "-C" }, 45, NULL },
	{ "over-remove-again", 0, "+A +B +C +D +E -D +F", { "-F +F -F", "+G -G" }, 0, NULL },
	{ "over-walk", 0, "+A +B +C +D +E -D +F", { "-F", "?" }, 31, NULL },
	{ "over-cursor", 0, "+A +B +C +D +E -D +F", { "-F +G", "c" }, 15927, NULL },
	{ "three-collapse", 0, "+A +B", { "-A", "-B", "+C" }, 412 /* claims: both read */, NULL },
};

const unsigned explore_cases_count = sizeof(explore_cases) / sizeof(explore_cases[0]);
