/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loops.h - included at the end of each peer's file: the loops that are timed, around that peer's inline functions
 *
 * The file has defined PEER_NAME, PEER_SCANS, its struct head, struct map and struct thread, which has an int
 * own.failed; and, static:
 *
 *   map_open(expected) map_close(map) map_bytes(map) thread_enter(map) thread_leave(thread)
 *   section_begin(thread, adds) section_end(thread)      what surrounds up to CHAIN_SECTION pairs
 *   head_add(thread, head, handle) head_remove(thread, head, handle) head_walk(thread, head) head_drop(thread, head)
 *
 * and, if it has batches of its own, PEER_BATCHES with head_batches(thread, head), batch_add() and batch_remove(thread,
 * heads, handles, n); with PEER_SETTLES, map_settle(map).
 */
#define PEER_STRING_(name) #name
#define PEER_STRING(name) PEER_STRING_(name)
#define PEER_SYMBOL_(name) peer_##name
#define PEER_SYMBOL(name) PEER_SYMBOL_(name)
#define HEAD(page) ((struct head *)(void *)(page)->head)

_Static_assert(sizeof(struct head) <= sizeof(struct peer_page), "a head lies in a struct page");

static int call_add(void *state, struct peer_page *page, uint64_t handle)
{
	struct thread *thread = state;

	section_begin(thread, 1);
	int error = head_add(thread, HEAD(page), handle);

	section_end(thread);
	return error;
}

static int call_remove(void *state, struct peer_page *page, uint64_t handle)
{
	struct thread *thread = state;

	section_begin(thread, 0);
	int error = head_remove(thread, HEAD(page), handle);

	section_end(thread);
	return error;
}

static uint64_t call_walk(void *state, struct peer_page *page)
{
	struct thread *thread = state;

	section_begin(thread, 0);
	uint64_t sum = head_walk(thread, HEAD(page));

	section_end(thread);
	return sum;
}

#ifdef PEER_BATCHES
static uint64_t call_batches(void *state, struct peer_page *page)
{
	struct thread *thread = state;

	section_begin(thread, 0);
	uint64_t sum = head_batches(thread, HEAD(page));

	section_end(thread);
	return sum;
}
#endif

static size_t call_drop(void *state, struct peer_page *page)
{
	return head_drop(state, HEAD(page));
}

static void loop_pairs(void *state, struct peer_page *page, struct chain_stream *stream, size_t pairs)
{
	struct thread *thread = state;
	int failed = 0;

	while (pairs) {
		size_t section = pairs < CHAIN_SECTION ? pairs : CHAIN_SECTION;

		pairs -= section;
		section_begin(thread, section);
		while (section--) {
			struct chain_swap swap = chain_stream_next(stream);

			failed |= head_remove(thread, HEAD(page), swap.out);
			failed |= head_add(thread, HEAD(page), swap.in);
		}
		section_end(thread);
	}
	thread->own.failed |= failed;
}

static void loop_fifo(void *state, struct peer_page *page, struct chain_stream *stream, size_t pairs)
{
	struct thread *thread = state;
	int failed = 0;

	while (pairs) {
		size_t section = pairs < CHAIN_SECTION ? pairs : CHAIN_SECTION;

		pairs -= section;
		section_begin(thread, section);
		while (section--) {
			size_t oldest = (size_t)(stream->fresh % stream->n);
			uint64_t out = stream->handles[oldest], in = chain_handle(++stream->fresh);

			stream->handles[oldest] = in;
			failed |= head_remove(thread, HEAD(page), out);
			failed |= head_add(thread, HEAD(page), in);
		}
		section_end(thread);
	}
	thread->own.failed |= failed;
}

static void loop_lifo(void *state, struct peer_page *page, struct chain_stream *stream, size_t pairs)
{
	struct thread *thread = state;
	int failed = 0;

	while (pairs) {
		size_t section = pairs < CHAIN_SECTION ? pairs : CHAIN_SECTION;
		uint64_t first = stream->fresh + 1;

		pairs -= section;
		stream->fresh += section;
		section_begin(thread, section);
		for (size_t i = 0; i < section; i++)
			failed |= head_add(thread, HEAD(page), chain_handle(first + i));
		for (size_t i = section; i-- > 0;)
			failed |= head_remove(thread, HEAD(page), chain_handle(first + i));
		section_end(thread);
	}
	thread->own.failed |= failed;
}

static void loop_grow(void *state, struct peer_page *page, const uint64_t *handles, size_t n)
{
	struct thread *thread = state;
	int failed = 0;

	for (size_t i = 0; i < n;) {
		size_t section = n - i < CHAIN_SECTION ? n - i : CHAIN_SECTION;

		section_begin(thread, section);
		while (section--)
			failed |= head_add(thread, HEAD(page), handles[i++]);
		section_end(thread);
	}
	thread->own.failed |= failed;
}

static void loop_shrink(void *state, struct peer_page *page, const uint64_t *handles, size_t n)
{
	struct thread *thread = state;
	int failed = 0;

	for (size_t i = 0; i < n;) {
		size_t section = n - i < CHAIN_SECTION ? n - i : CHAIN_SECTION;

		section_begin(thread, 0);
		while (section--)
			failed |= head_remove(thread, HEAD(page), handles[i++]);
		section_end(thread);
	}
	thread->own.failed |= failed;
}

/*
 * One pair of each section is timed, in another place of it each time. The stream is this thread's own meanwhile: those
 * of all threads lie side by side, and would be what the threads wait for.
 */
static size_t loop_contend(void *state, struct peer_page *page, struct chain_stream *team_stream,
			   const struct bench_team *team, struct bench_histogram *latency)
{
	struct chain_stream stream = *team_stream;
	struct thread *thread = state;
	size_t sections = 0;
	int failed = 0;

	for (; !bench_team_stopped(team); sections++) {
		size_t watched = sections % CHAIN_SECTION;

		section_begin(thread, CHAIN_SECTION);
		for (size_t i = 0; i < CHAIN_SECTION; i++) {
			struct chain_swap swap = chain_stream_next(&stream);
			uint64_t began = i == watched ? bench_now() : 0;

			failed |= head_remove(thread, HEAD(page), swap.out);
			failed |= head_add(thread, HEAD(page), swap.in);
			if (i == watched)
				bench_histogram_add(latency, bench_now() - began);
		}
		section_end(thread);
	}
	thread->own.failed |= failed;
	*team_stream = stream;
	return sections * CHAIN_SECTION;
}

/* Replace mapping @which of @r by a fresh one. */
static inline int replace_one(struct thread *thread, struct peer_replacing *r, size_t which)
{
	struct head *head = HEAD(&r->pages[r->page_of[which]]);
	uint64_t in = chain_handle(++r->fresh);
	int failed = head_remove(thread, head, r->handles[which]);

	failed |= head_add(thread, head, in);
	r->handles[which] = in;
	return failed;
}

static void loop_reclaim(void *state, struct peer_replacing *r, size_t n)
{
	struct thread *thread = state;
	int failed = 0;

	while (n) {
		size_t section = n < CHAIN_SECTION ? n : CHAIN_SECTION;

		n -= section;
		section_begin(thread, section);
		while (section--) {
			r->random ^= r->random << 13;
			r->random ^= r->random >> 7;
			r->random ^= r->random << 17;
			failed |= replace_one(thread, r,
					      r->begin + (size_t)(((r->random >> 32) * (r->end - r->begin)) >> 32));
		}
		section_end(thread);
	}
	thread->own.failed |= failed;
}

static void loop_follow(void *state, struct peer_replacing *r, size_t n)
{
	struct thread *thread = state;
	int failed = 0;

	while (n) {
		size_t section = n < CHAIN_SECTION ? n : CHAIN_SECTION;

		n -= section;
		section_begin(thread, section);
		while (section--) {
			r->next = r->next < r->end ? r->next : r->begin;
			failed |= replace_one(thread, r, r->next++);
		}
		section_end(thread);
	}
	thread->own.failed |= failed;
}

#ifndef PEER_BATCHES
static inline int batch_add(struct thread *thread, struct head *const *heads, const uint64_t *handles, size_t n)
{
	int failed = 0;

	for (size_t i = 0; i < n; i++)
		failed |= head_add(thread, heads[i], handles[i]);
	return failed;
}

static inline int batch_remove(struct thread *thread, struct head *const *heads, const uint64_t *handles, size_t n)
{
	int failed = 0;

	for (size_t i = 0; i < n; i++)
		failed |= head_remove(thread, heads[i], handles[i]);
	return failed;
}
#endif

/* How many of @n mappings from @first on make the next section, and of which pages they are. */
static inline size_t take_heads(const struct peer_replacing *r, struct head **heads, size_t first, size_t n)
{
	size_t section = n < CHAIN_SECTION ? n : CHAIN_SECTION;

	for (size_t i = 0; i < section; i++)
		heads[i] = HEAD(&r->pages[r->page_of[first + i]]);
	return section;
}

static void loop_build(void *state, struct peer_replacing *r)
{
	struct thread *thread = state;
	struct head *heads[CHAIN_SECTION];

	for (size_t i = r->begin, section; i < r->end; i += section) {
		section = take_heads(r, heads, i, r->end - i);
		section_begin(thread, section);
		thread->own.failed |= batch_add(thread, heads, &r->handles[i], section);
		section_end(thread);
	}
}

static void loop_sweep(void *state, struct peer_replacing *r, size_t n)
{
	struct thread *thread = state;
	struct head *heads[CHAIN_SECTION];

	for (size_t section; n; n -= section) {
		if (r->next >= r->end)
			r->next = r->begin;
		section = take_heads(r, heads, r->next, n < r->end - r->next ? n : r->end - r->next);
		section_begin(thread, section);
		thread->own.failed |= batch_remove(thread, heads, &r->handles[r->next], section);
		for (size_t i = 0; i < section; i++)
			r->handles[r->next + i] = chain_handle(++r->fresh);
		thread->own.failed |= batch_add(thread, heads, &r->handles[r->next], section);
		section_end(thread);
		r->next += section;
	}
}

/* One half of a fork and an exit: @n pages from @first on get, or lose, the handles after number @fresh. */
static inline void fork_half(struct thread *thread, struct peer_page *pages, size_t n, uint64_t fresh, bool exits)
{
	struct head *heads[CHAIN_SECTION];
	uint64_t handles[CHAIN_SECTION];

	for (size_t i = 0; i < n;) {
		size_t section = n - i < CHAIN_SECTION ? n - i : CHAIN_SECTION;

		for (size_t k = 0; k < section; k++, i++) {
			heads[k] = HEAD(&pages[i]);
			handles[k] = chain_handle(++fresh);
		}
		section_begin(thread, exits ? 0 : section);
		thread->own.failed |= exits ? batch_remove(thread, heads, handles, section)
					    : batch_add(thread, heads, handles, section);
		section_end(thread);
	}
}

static void loop_fork(void *state, struct peer_replacing *r, size_t first, size_t n)
{
	fork_half(state, &r->pages[first], n, r->fresh, false);
	fork_half(state, &r->pages[first], n, r->fresh, true);
	r->fresh += n;
}

static void *call_open(size_t expected)
{
	return map_open(expected);
}

static int call_close(void *map)
{
	return map_close(map);
}

static void *call_enter(void *map)
{
	return thread_enter(map);
}

static int call_leave(void *thread)
{
	return thread_leave(thread);
}

static uint64_t call_bytes(void *map)
{
	return map_bytes(map);
}

#ifdef PEER_SETTLES
static void call_settle(void *map)
{
	map_settle(map);
}
#endif

const struct peer PEER_SYMBOL(PEER_NAME) = {
	.name = PEER_STRING(PEER_NAME),
	.scans = PEER_SCANS,
	.head = sizeof(struct head),
	.open = call_open,
	.close = call_close,
	.enter = call_enter,
	.leave = call_leave,
	.bytes = call_bytes,
	.add = call_add,
	.remove = call_remove,
	.walk = call_walk,
#ifdef PEER_BATCHES
	.batches = call_batches,
#endif
	.drop = call_drop,
	.pairs = loop_pairs,
	.fifo = loop_fifo,
	.lifo = loop_lifo,
	.grow = loop_grow,
	.shrink = loop_shrink,
	.contend = loop_contend,
	.build = loop_build,
	.reclaim = loop_reclaim,
	.follow = loop_follow,
	.sweep = loop_sweep,
	.fork = loop_fork,
#ifdef PEER_SETTLES
	.settle = call_settle,
#endif
};
