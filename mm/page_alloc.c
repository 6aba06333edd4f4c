/*
 * The page allocator: frames in folios of 2^0 … 2^9, without a lock.
 *
 * Concepts.  Memory is cut into chunks of 512 frames (2 MiB).  A chunk has a
 * bit for each frame (set = taken) and a counter of free frames.  Eight chunks
 * are a tree; a tree has one word: an upper bound of its free frames, and
 * whether a CPU has reserved it.  Each CPU reserves one
 * tree per mobility and takes from it until it is empty, so CPUs work on
 * different cache lines.  In front stands, per CPU and mobility, an array of
 * single frames, filled by one compare-and-swap of a bit-field word (up to 32
 * neighbours at once) and drained in runs of neighbours.
 *
 * Invariants.
 *   (1) a chunk's counter ≤ number of its zero bits: an allocation subtracts
 *       first and sets bits then, a free clears bits first and adds then.
 *       Whoever has subtracted n will find n bits, at the latest when the
 *       frees under way are done.
 *   (2) a tree's free count ≥ the sum of its chunks' counters: a free adds to
 *       the tree first, an allocation subtracts from it last.
 *   (3) counter 0 gives the owner of the subtraction of all 512 the whole bit
 *       field: an order-9 allocation touches nothing but the counter and, as
 *       sole owner, stores the bits.
 *   (4) a free frame has kind FREE, is no tail and has no flags.
 *   (5) all but ALLOC_ATOMIC leave the reserve (pool.reserve frames).
 *
 * Locking.  None.  Per-CPU arrays are used with preemption off; interrupt
 * handlers go past them.  The words are changed by CAS, so any CPU may free any
 * frame; a CPU that finds no tree of its own takes from anyone's.
 *
 * Mobility.  User pages (ALLOC_MOVABLE) and kernel objects fill different
 * chunks: who opens a wholly free one gives it its mobility, a kernel object
 * that must go elsewhere takes the chunk over.  What is partly used is filled
 * first, on other trees too, so that few 2 MiB blocks are broken up.
 *
 * When memory is short, the slow path drops clean page-cache folios, then has a
 * process killed (ALLOC_USER), and in the end returns NULL.  It never panics.
 * Nodes.  A tree belongs to the node that most of its memory is of; each node
 * has its own count of free frames, its part of the reserve, and a list of all
 * nodes by distance.  A CPU reserves trees of its own node only, and its arrays
 * for allocation are filled from there; what it frees of other nodes gathers in
 * a third array and goes back in runs.  From another node single frames are
 * taken, past the arrays.  With one node numa_key is off and costs a no-op.
 *
 * Rejected: a buddy system (its merge walk needs a lock and touches neighbours'
 * records); lists linked through the frames (a cache miss for each).
 *
 * Model: tests/models/page_alloc.pml.  Reference: Wrenger et al., "LLFree: Scalable
 * and Optionally-Persistent Page-Frame Allocation", USENIX ATC 2023.
 */
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/fail.h>
#include <nos/irq.h>
#include <nos/log.h>
#include <nos/memory_policy.h>
#include <nos/sanitize.h>
#include <nos/string.h>
#include <nos/thread.h>

#define CPU_BATCH 31u /* frames moved at once */
#define REMOTE NR_MOBILITY /* the array of frames freed here that belong to other nodes */

/* A tree's word: free frames in the low half, then the reservation. */
#define TREE_FREE 0xffffu
#define TREE_RESERVED (1u << 16)
#define NO_TREE U32_MAX

struct chunk_bits {
	u64 word[CHUNK_FRAMES / 64];
} __aligned(CACHE_LINE);

struct page_node {
	s64 free; /* frames free in the trees; CPU arrays not counted */
	u64 total; /* frames ever added */
	u64 reserve; /* left to ALLOC_ATOMIC */
	u32 first_tree, end_tree; /* its trees lie between them */
	u32 hint; /* where another node's CPU last found one */
	u8 by_distance[NUMA_MAX_NODES]; /* all nodes, itself first */
} __aligned(CACHE_LINE);

static struct {
	struct chunk_bits *bits; /* per chunk */
	u16 *chunk_free; /* per chunk */
	u8 *chunk_mobility; /* of what is in it, if anything */
	u32 *tree; /* per tree */
	u16 *tree_total; /* frames ever added to it */
	u8 *tree_node;
	u32 nr_chunks, nr_trees;
	unsigned nr_nodes;
	u64 total; /* frames ever added */
	struct page_node node[NUMA_MAX_NODES];
} pool;

DEFINE_PERCPU(struct frame_array[NR_MOBILITY + 1], frame_arrays);
DEFINE_PERCPU(s64[16], frames_by_kind);
DEFINE_PERCPU(u64, frames_allocated);

struct folio *zero_folio;

static inline u64 frame_number(const struct folio *f)
{
	return (u64)(f - FRAME_TABLE);
}

/* ---- chunks and trees ---- */

/* Takes n from *counter if it has that many. */
static bool chunk_counter_take(u16 *counter, u32 n)
{
	u16 old = atomic_load_relaxed(counter);

	while (old >= n) {
		if (atomic_cas_update(counter, &old, (u16)(old - n)))
			return true;
	}
	return false;
}

static void chunk_give(u32 chunk, u32 n)
{
	__atomic_add_fetch(&pool.chunk_free[chunk], (u16)n, __ATOMIC_SEQ_CST);
}

static inline struct page_node *tree_owner(u32 tree)
{
	return &pool.node[pool.tree_node[tree]];
}

unsigned page_node_of(phys_t p)
{
	return pool.tree_node[(p >> PAGE_SHIFT) / TREE_FRAMES];
}

/* Accounts n frames that left `chunk` for good (invariant 2: last). */
static void tree_taken(u32 chunk, u32 n)
{
	u32 tree = chunk / TREE_CHUNKS;

	atomic_sub(&pool.tree[tree], n);
	atomic_sub(&tree_owner(tree)->free, (s64)n);
}

/* Frames of `mask` in one word come back. */
static void word_free(u64 frame, u64 mask)
{
	u32 chunk = (u32)(frame >> CHUNK_SHIFT), tree = chunk / TREE_CHUNKS;
	u32 n = (u32)__builtin_popcountll(mask);

	atomic_add(&tree_owner(tree)->free, (s64)n);
	atomic_add(&pool.tree[tree], n);
	u64 old = atomic_fetch_and(&pool.bits[chunk].word[(frame / 64) % 8], ~mask);

	VERIFY((old & mask) == mask);
	chunk_give(chunk, n);
}

/* The lowest n (< 64) of the bits; *nr: how many there were. */
static u64 lowest_bits(u64 bits, u32 n, u32 *nr)
{
	u64 got = 0;

	for (*nr = 0; bits && *nr < n;) {
		u32 first = (u32)__builtin_ctzll(bits), most = n - *nr;
		u32 run = (u32)__builtin_ctzll(~(bits >> first) | 1ull << most);
		u64 mask = ((1ull << run) - 1) << first;

		got |= mask;
		bits &= ~mask;
		*nr += run;
	}
	return got;
}

/* Up to `want` single frames of one chunk into *a; returns how many. */
static u32 chunk_take_singles(u32 chunk, u32 want, struct frame_array *a)
{
	u16 *counter = &pool.chunk_free[chunk];
	u16 old = atomic_load_relaxed(counter);
	u32 n, got = 0;

	do {
		n = min((u32)old, want);
		if (n == 0)
			return 0;
	} while (!atomic_cas_update(counter, &old, (u16)(old - n)));

	for (u32 i = 0; got < n; i = (i + 1) % 8) {
		u64 *word = &pool.bits[chunk].word[i];
		u64 seen = atomic_load_relaxed(word), mask;
		u32 nr;

		do {
			mask = lowest_bits(~seen, n - got, &nr);
		} while (mask && !atomic_cas_update(word, &seen, seen | mask));

		/* highest first: the array is popped from its end, so frames come out rising */
		struct folio *first = FRAME_TABLE + ((u64)chunk << CHUNK_SHIFT) + i * 64;
		struct folio **to = &a->frames[a->count += nr];

		for (; mask; mask &= mask - 1)
			*--to = first + __builtin_ctzll(mask);
		got += nr;
	}
	tree_taken(chunk, got);
	return got;
}

/* Positions in `free_bits` where an aligned run of 2^order ones starts. */
static u64 aligned_runs(u64 free_bits, unsigned order)
{
	static const u64 starts[] = {
		~0ull,
		0x5555555555555555ull,
		0x1111111111111111ull,
		0x0101010101010101ull,
		0x0001000100010001ull,
		0x0000000100000001ull,
		1ull,
	};

	for (unsigned i = 0; i < order; i++)
		free_bits &= free_bits >> (1u << i);
	return free_bits & starts[order];
}

/* Sets an aligned run of 2^order (≤ 64) bits somewhere in the chunk; its first bit, or -1. */
static int chunk_set_run(struct chunk_bits *bits, unsigned order)
{
	u64 ones = order == 6 ? ~0ull : (1ull << (1u << order)) - 1;

	for (u32 i = 0; i < 8; i++) {
		u64 seen = atomic_load_relaxed(&bits->word[i]);

		for (;;) {
			u64 runs = aligned_runs(~seen, order);

			if (runs == 0)
				break;
			u32 b = (u32)__builtin_ctzll(runs);

			if (atomic_cas_update(&bits->word[i], &seen, seen | ones << b))
				return (int)(i * 64 + b);
		}
	}
	return -1;
}

/* The same for runs of 2 or 4 whole words (orders 7 and 8). */
static int chunk_set_words(struct chunk_bits *bits, unsigned order)
{
	u32 words = 1u << (order - 6);

	for (u32 i = 0; i < 8; i += words) {
		u32 k = 0;

		while (k < words && atomic_cas(&bits->word[i + k], 0, ~0ull))
			k++;
		if (k == words)
			return (int)(i * 64);
		while (k > 0)
			atomic_store(&bits->word[i + --k], 0);
	}
	return -1;
}

/* One run of 2^order frames of the chunk, or NULL. */
static struct folio *chunk_take_run(u32 chunk, unsigned order)
{
	struct chunk_bits *bits = &pool.bits[chunk];
	int first;

	if (!chunk_counter_take(&pool.chunk_free[chunk], 1u << order))
		return NULL;
	if (order == CHUNK_SHIFT) {
		for (u32 i = 0; i < 8; i++)
			atomic_store_relaxed(&bits->word[i], ~0ull);
		first = 0;
	} else {
		first = order <= 6 ? chunk_set_run(bits, order) : chunk_set_words(bits, order);
	}
	if (first < 0) {
		chunk_give(chunk, 1u << order);
		return NULL;
	}
	tree_taken(chunk, 1u << order);
	return FRAME_TABLE + ((u64)chunk << CHUNK_SHIFT) + (u32)first;
}

/* How a chunk suits: in use by the same mobility, wholly free, in use by the other. */
enum fit { FIT_SAME, FIT_FREE, FIT_OTHER, FIT_NONE };

static enum fit chunk_fit(u32 chunk, u32 mobility, u32 need)
{
	u32 nr_free = atomic_load_relaxed(&pool.chunk_free[chunk]);

	if (nr_free < need)
		return FIT_NONE;
	if (nr_free == CHUNK_FRAMES)
		return FIT_FREE;
	return READ_ONCE(pool.chunk_mobility[chunk]) == mobility ? FIT_SAME : FIT_OTHER;
}

/* Takes from a tree's chunks that fit so, from chunk *start on: single frames, the rest of which
 * goes into *a, or one run (other orders, or no array). */
static struct folio *tree_take(u32 tree, unsigned order, u32 mobility, enum fit fit, u32 *start,
			       struct frame_array *a)
{
	u32 first = tree * TREE_CHUNKS;
	u32 nr = min(TREE_CHUNKS, pool.nr_chunks - first);

	for (u32 i = 0; i < nr; i++) {
		u32 chunk = first + (*start + i) % nr;
		enum fit is = chunk_fit(chunk, mobility, 1u << order);
		struct folio *f;

		/* the chunk of the last time may have become free */
		if (is != fit && (is != FIT_FREE || i || !a || start != &a->chunk))
			continue;
		if (order == 0 && a) {
			if (!chunk_take_singles(chunk, CPU_BATCH, a))
				continue;
			f = a->frames[--a->count];
		} else {
			f = chunk_take_run(chunk, order);
			if (!f)
				continue;
		}
		if (is == FIT_FREE || (is == FIT_OTHER && !mobility))
			WRITE_ONCE(pool.chunk_mobility[chunk], (u8)mobility);
		*start = chunk - first;
		return f;
	}
	return NULL;
}

/* The tree becomes this CPU's, unless it is or another was quicker. */
static void tree_reserve(u32 tree, u32 start, struct frame_array *a)
{
	if (a->tree != tree + 1) {
		if (atomic_fetch_or(&pool.tree[tree], TREE_RESERVED) & TREE_RESERVED)
			return;
		if (a->tree)
			atomic_and(&pool.tree[a->tree - 1], ~TREE_RESERVED);
		a->tree = tree + 1;
	}
	a->chunk = start;
}

/* Takes from a tree of the node, the CPU's own first; on the CPU's own node reserves it if it can.
 * While half of the node is free, nobody fills gaps elsewhere. */
static struct folio *tree_search(struct page_node *node, u32 mobility, unsigned order,
				 struct frame_array *a)
{
	static const struct {
		u8 fit, limit; /* 0: no limit */
		bool reserved; /* by other CPUs too */
	} passes[] = { { FIT_SAME, 64, false }, { FIT_FREE, 0, false },  { FIT_SAME, 0, true },
		       { FIT_FREE, 0, true },   { FIT_OTHER, 0, false }, { FIT_OTHER, 0, true } };
	u32 need = 1u << order, nr = node->end_tree - node->first_tree;
	u32 own = a ? a->tree - 1 : NO_TREE;
	u32 begin = own != NO_TREE ? own - node->first_tree : READ_ONCE(node->hint);
	/* without an array nobody has tried the last chunk */
	u32 pass = a && atomic_load_relaxed(&node->free) > (s64)(node->total / 2);

	for (; pass < ARRAY_SIZE(passes); pass++) {
		u32 most = passes[pass].limit ? min(nr, order ? 4u : passes[pass].limit) : nr;
		enum fit fit = passes[pass].fit;

		most = need == CHUNK_FRAMES && fit != FIT_FREE ? 0 : most;
		for (u32 i = 0; i < most; i++) {
			u32 t = node->first_tree + (begin + i) % nr;
			u32 word = atomic_load_relaxed(&pool.tree[t]), start = 0;
			bool is_others = (word & TREE_RESERVED) && t != own;

			if ((word & TREE_FREE) < need || (is_others && !passes[pass].reserved) ||
			    ((word & TREE_FREE) == TREE_FRAMES && fit != FIT_FREE) ||
			    tree_owner(t) != node)
				continue;
			struct folio *f = tree_take(t, order, mobility, fit, &start, a);

			if (!f)
				continue;
			if (!a)
				WRITE_ONCE(node->hint, t - node->first_tree);
			else if (!is_others)
				tree_reserve(t, start, a);
			return f;
		}
	}
	return NULL;
}

/*
 * From one node; preemption off.  `a`: the CPU's array, if it is the CPU's own
 * node.  Respects the reserve.
 */
static struct folio *node_take(struct page_node *node, struct frame_array *a, unsigned order,
			       u32 mobility, bool atomic)
{
	u64 keep_free = atomic ? 0 : node->reserve;
	struct folio *f;

	if (atomic_load_relaxed(&node->free) < (s64)(keep_free + (1u << order)))
		return NULL;
	if (a && a->tree) {
		f = tree_take(a->tree - 1, order, mobility, FIT_SAME, &a->chunk, a);
		if (f)
			return f;
	}
	return tree_search(node, mobility, order, a);
}

/* ---- per-CPU arrays ---- */

/* Gives the `nr` oldest frames of the array back, neighbours in one operation. */
static void array_drain(struct frame_array *a, u32 nr)
{
	u32 i = 0;

	while (i < nr) {
		u64 frame = frame_number(a->frames[i]);
		u64 mask = 1ull << (frame % 64);

		for (i++; i < nr; i++) {
			u64 other = frame_number(a->frames[i]);

			if (other / 64 != frame / 64)
				break;
			mask |= 1ull << (other % 64);
		}
		word_free(frame, mask);
	}
	a->count -= nr;
	memmove(a->frames, a->frames + nr, a->count * sizeof(a->frames[0]));
}

/* In an interrupt handler: not through the arrays, which it may have interrupted. */
static __noinline struct folio *frame_take_in_irq(unsigned order)
{
	u32 begin = pool.node[this_cpu_read(this_numa_node)].first_tree * TREE_CHUNKS;

	for (enum fit fit = FIT_SAME; fit < FIT_NONE; fit++)
		for (u32 i = 0; i < pool.nr_chunks; i++) {
			u32 chunk = (begin + i) % pool.nr_chunks;
			bool fits = chunk_fit(chunk, 0, 1u << order) == fit;
			struct folio *f = fits ? chunk_take_run(chunk, order) : NULL;

			if (!f)
				continue;
			WRITE_ONCE(pool.chunk_mobility[chunk], 0);
			return f;
		}
	return NULL;
}

static struct folio *frame_take(unsigned order, enum folio_kind kind, bool atomic)
{
	u32 mobility = kind_mobility(kind);
	struct folio *f;

	if (unlikely(irq_is_in_handler()))
		return frame_take_in_irq(order);
	preempt_disable();
	struct frame_array *a = &(*this_cpu_ptr(frame_arrays))[mobility];

	if (order == 0 && a->count)
		f = a->frames[--a->count];
	else
		f = node_take(&pool.node[0], a, order, mobility, atomic);
	preempt_enable();
	return f;
}

/*
 * The same on a machine of several nodes: from the nodes allowed, by distance
 * from the first.  Counts what became of the wish.
 */
static __noinline struct folio *frame_take_from(unsigned order, enum folio_kind kind, bool atomic,
						const struct node_choice *choice)
{
	struct folio *f = NULL;

	preempt_disable();
	unsigned here = this_cpu_read(this_numa_node);
	unsigned first = choice->first < pool.nr_nodes ? choice->first : here, wanted = NUMA_HERE;
	u64 allowed = choice->allowed;
	u32 mobility = kind_mobility(kind);

	if (unlikely(irq_is_in_handler()))
		f = frame_take_in_irq(order);
	for (unsigned i = 0; i < 2 * pool.nr_nodes && !f; i++) {
		unsigned n = pool.node[first].by_distance[i % pool.nr_nodes];
		struct frame_array *a = n == here ? &(*this_cpu_ptr(frame_arrays))[mobility] : NULL;

		if (i == pool.nr_nodes) {
			if (!choice->falls_back)
				break;
			allowed = ~allowed;
		}
		if (!(allowed & bit(n % NUMA_MAX_NODES)))
			continue;
		if (wanted == NUMA_HERE)
			wanted = n;
		if (a && order == 0 && a->count)
			f = a->frames[--a->count];
		else
			f = node_take(&pool.node[n], a, order, mobility, atomic);
	}
	if (f)
		node_count_alloc(folio_node(f), here, wanted == NUMA_HERE ? here : wanted,
				 choice->interleaved);
	preempt_enable();
	return f;
}

/* The same where the thread may have a policy for users' data. */
static __noinline struct folio *frame_take_by_policy(unsigned order, enum folio_kind kind,
						     bool atomic)
{
	const struct memory_policy *p = current_thread->memory_policy;
	struct node_choice choice = node_choice_local;

	if (unlikely(p) && !irq_is_in_handler() &&
	    (kind == FOLIO_ANON || kind == FOLIO_FILE || kind == FOLIO_PIPE))
		choice = memory_policy_choose_next(p);
	choice.falls_back |= kind != FOLIO_ANON; /* nobody is killed for where a file's page lies */
	return frame_take_from(order, kind, atomic, &choice);
}

static inline struct folio *frame_take_any(unsigned order, enum folio_kind kind, bool atomic,
					   const struct node_choice *choice)
{
	if (static_key_is_on(&numa_key))
		return choice == &node_choice_local ? frame_take_by_policy(order, kind, atomic) :
						      frame_take_from(order, kind, atomic, choice);
	return frame_take(order, kind, atomic);
}

/* ---- when memory is short ---- */

/* Has room made and tries again; a thread that is being killed may use the reserve to end. */
static __noinline __cold struct folio *frame_take_slow(unsigned order, enum folio_kind kind,
						       u32 flags, const struct node_choice *choice)
{
	if (flags & (ALLOC_ATOMIC | ALLOC_NOWAIT))
		return NULL;
	for (unsigned round = 0; memory_make_room(2ul << order, flags, round); round++) {
		struct folio *f = frame_take_any(order, kind, fatal_signal_is_pending(), choice);

		if (f)
			return f;
	}
	return NULL;
}

/* ---- folios ---- */

static __always_inline void folio_set_tails(struct folio *f, unsigned order)
{
	for (u32 i = 1; i < 1u << order; i++) {
		f[i].head = f;
		f[i].is_tail = true;
	}
}

static __always_inline struct folio *alloc_one(const struct node_choice *choice, unsigned order,
					       enum folio_kind kind, u32 flags)
{
	ASSERT(order <= PAGE_ORDER_MAX);
	if (test_allocation_fails() || fail_now(FAIL_ALLOC, "page"))
		return NULL;

	struct folio *f = frame_take_any(order, kind, flags & ALLOC_ATOMIC, choice);

	if (unlikely(!f)) {
		f = frame_take_slow(order, kind, flags, choice);
		if (!f)
			return NULL;
	}
	ASSERT(f->kind == FOLIO_FREE && !f->is_tail && ref_read(&f->refs) == 0);
	folio_begin(f, order, kind);
	if (unlikely(order))
		folio_set_tails(f, order);
	shadow_unpoison(folio_address(f), PAGE_SIZE << order);
	this_cpu_add(frames_by_kind[kind], 1 << order);
	this_cpu_add(frames_allocated, 1 << order);
	if (static_key_is_on(&numa_key))
		node_count_kind(f, kind, 1 << order);
	if (flags & ALLOC_ZERO) {
		char *p = folio_address(f);

		for (u32 i = 0; i < 1u << order; i++)
			page_clear(p + i * PAGE_SIZE);
	}
	return f;
}

struct folio *folio_alloc(unsigned order, enum folio_kind kind, u32 flags)
{
	return alloc_one(&node_choice_local, order, kind, flags);
}

struct folio *folio_alloc_from(const struct node_choice *choice, unsigned order,
			       enum folio_kind kind, u32 flags)
{
	return alloc_one(choice, order, kind, flags);
}

static inline bool frame_is_local(const struct folio *f)
{
	return folio_node(f) == this_cpu_read(this_numa_node);
}

/* An array for a single frame that was freed here, with room in it; preemption off. */
static inline struct frame_array *array_for(const struct folio *f, enum folio_kind kind)
{
	struct frame_array *a = *this_cpu_ptr(frame_arrays);

	if (static_key_is_on(&numa_key) && !frame_is_local(f)) {
		a += REMOTE;
		if (unlikely(a->count == CPU_ARRAY))
			array_drain(a, CPU_ARRAY);
		return a;
	}
	a += kind_mobility(kind);
	if (unlikely(a->count == CPU_ARRAY))
		array_drain(a, CPU_BATCH);
	return a;
}

struct folio *folio_alloc_cluster(unsigned order, unsigned unit, enum folio_kind kind)
{
	u32 nr = 1u << order;
	struct folio *f;

	if (test_allocation_fails() || !page_is_plenty())
		return NULL;
	f = frame_take_any(order, kind, false, &node_choice_local);
	if (unlikely(!f))
		return NULL;
	for (u32 i = 0; i < nr; i += 1u << unit) {
		ASSERT(f[i].kind == FOLIO_FREE && !f[i].is_tail);
		folio_begin(f + i, unit, kind);
		folio_set_tails(f + i, unit);
	}
	shadow_unpoison(folio_address(f), PAGE_SIZE << order);
	this_cpu_add(frames_by_kind[kind], nr);
	this_cpu_add(frames_allocated, nr);
	if (static_key_is_on(&numa_key))
		node_count_kind(f, kind, nr);
	for (u32 i = 0; i < nr; i++)
		page_clear((char *)folio_address(f) + i * PAGE_SIZE);
	return f;
}

/*
 * Frees a folio whose count is 0.  A reader of a page cache may hold a stale
 * pointer and count up and down what has become another folio, so even the
 * owner of private memory can't do without the atomic decrement.
 */
static void folio_free(struct folio *f)
{
	unsigned order = f->order;
	enum folio_kind kind = f->kind;

	ASSERT(!f->is_tail && kind != FOLIO_FREE && kind != FOLIO_RESERVED);
	ASSERT(f->map_count == 0);
	this_cpu_add(frames_by_kind[kind], -(1 << order));
	if (static_key_is_on(&numa_key))
		node_count_kind(f, kind, -(1 << order));
	shadow_poison(folio_address(f), PAGE_SIZE << order, SHADOW_PAGE_FREE);
	f->kind = FOLIO_FREE;
	f->flags = 0;
	WRITE_ONCE(f->refs.count, 0);
	if (likely(order == 0 && !irq_is_in_handler())) {
		preempt_disable();
		struct frame_array *a = array_for(f, kind);

		a->frames[a->count++] = f;
		preempt_enable();
		return;
	}
	f->order = 0;
	for (u32 i = 1; i < 1u << order; i++)
		f[i].is_tail = false;
	u64 frame = frame_number(f);

	if (order <= 6) {
		u64 ones = order == 6 ? ~0ull : (1ull << (1u << order)) - 1;

		word_free(frame, ones << (frame % 64));
	} else {
		for (u32 i = 0; i < 1u << order; i += 64)
			word_free(frame + i, ~0ull);
	}
}

void folio_get(struct folio *f)
{
	ref_get(&f->refs);
}

bool folio_get_unless_zero(struct folio *f)
{
	return ref_get_unless_zero(&f->refs);
}

void folio_put(struct folio *f)
{
	if (ref_put(&f->refs))
		folio_free(f);
}

/* Those of the own node into the array, up to half of it, the others to the front; how many are left. */
static u32 frames_keep_local(struct frame_array *a, struct folio **folios, u32 nr)
{
	u32 left = 0;

	for (u32 i = 0; i < nr; i++) {
		struct folio *f = folios[i];

		if (a->count < CPU_BATCH && frame_is_local(f))
			a->frames[a->count++] = f;
		else
			folios[left++] = f;
	}
	return left;
}

/* Single movable frames that nobody has any more; the array stays half full of the last ones. */
static void frames_give(struct folio **folios, u32 nr)
{
	preempt_disable();
	this_cpu_add(frames_by_kind[FOLIO_ANON], -(s64)nr);
	struct frame_array *a = &(*this_cpu_ptr(frame_arrays))[kind_mobility(FOLIO_ANON)];

	if (static_key_is_on(&numa_key))
		nr = frames_keep_local(a, folios, nr);
	else
		while (nr && a->count < CPU_BATCH)
			a->frames[a->count++] = folios[--nr];
	for (u32 i = 0; i < nr;) {
		u64 frame = frame_number(folios[i]), mask = 0, other = frame;

		do {
			mask |= 1ull << (other % 64);
			if (++i == nr)
				break;
			other = frame_number(folios[i]);
		} while (other / 64 == frame / 64);
		word_free(frame, mask);
	}
	preempt_enable();
}

void folio_put_many(struct folio **folios, u32 nr)
{
	u32 n = 0;

	ASSERT(!irq_is_in_handler());
	for (u32 i = 0; i < nr; i++) {
		struct folio *f = folios[i];

		if (!ref_put(&f->refs))
			continue;
		if (f->kind != FOLIO_ANON || f->order) {
			folio_free(f);
			continue;
		}
		ASSERT(!f->is_tail && f->map_count == 0);
		if (static_key_is_on(&numa_key))
			node_count_kind(f, FOLIO_ANON, -1);
		shadow_poison(folio_address(f), PAGE_SIZE, SHADOW_PAGE_FREE);
		f->kind = FOLIO_FREE;
		f->flags = 0;
		folios[n++] = f;
	}
	if (n)
		frames_give(folios, n);
}

/*
 * A reader of a page cache with a stale pointer may count the head up and down
 * meanwhile (see folio_free): that is the first of the new folios, and harmless.
 */
void folio_split(struct folio *f)
{
	u32 nr = 1u << f->order;

	ASSERT(ref_read(&f->refs) > 0 && !f->is_tail && f->map_count == 0);
	for (u32 i = 1; i < nr; i++) {
		f[i].is_tail = false;
		f[i].flags = f->flags;
		f[i].kind = f->kind;
		f[i].order = 0;
		f[i].map_count = 0;
		ref_init(&f[i].refs, 1);
	}
	f->order = 0;
}

void *page_alloc(unsigned order, u32 flags)
{
	struct folio *f = folio_alloc(order, FOLIO_KERNEL, flags);

	return f ? folio_address(f) : NULL;
}

void page_free(void *address, unsigned order)
{
	struct folio *f;

	if (!address)
		return;
	f = phys_to_frame(virt_to_phys(address));
	VERIFY(f->order == order && f->kind == FOLIO_KERNEL);
	folio_put(f);
}

/* ---- figures ---- */

u64 page_nr_free(void)
{
	s64 n = 0;

	for (unsigned i = 0; i < pool.nr_nodes; i++)
		n += atomic_load_relaxed(&pool.node[i].free);
	for_each_cpu(cpu)
	{
		struct frame_array *a = *per_cpu_ptr(frame_arrays, cpu);

		n += READ_ONCE(a[0].count) + READ_ONCE(a[1].count) + READ_ONCE(a[REMOTE].count);
	}
	return (u64)max(n, (s64)0);
}

/* Without what remote CPUs keep of it in their arrays; with what CPUs of the node keep. */
u64 page_node_free(unsigned node)
{
	s64 n = atomic_load_relaxed(&pool.node[node].free);

	for_each_cpu(cpu)
	{
		struct frame_array *a = *per_cpu_ptr(frame_arrays, cpu);

		if (*per_cpu_ptr(this_numa_node, cpu) == node)
			n += READ_ONCE(a[0].count) + READ_ONCE(a[1].count);
	}
	return (u64)max(n, (s64)0);
}

bool page_is_plenty(void)
{
	const struct page_node *n =
		&pool.node[static_key_is_on(&numa_key) ? this_cpu_read(this_numa_node) : 0];

	return atomic_load_relaxed(&n->free) > (s64)(n->total / 16);
}

u64 page_node_total(unsigned node)
{
	return pool.node[node].total;
}

u64 page_nr_total(void)
{
	return pool.total;
}

/* ---- set-up ---- */

size_t page_pool_table_size(u64 nr_frames)
{
	u64 chunks = div_round_up(nr_frames, CHUNK_FRAMES);
	u64 trees = div_round_up(chunks, TREE_CHUNKS);

	return chunks * (sizeof(struct chunk_bits) + sizeof(u16) + sizeof(u8)) +
	       trees * (sizeof(u32) + sizeof(u16) + sizeof(u8)) + 64;
}

void page_pool_init(void *tables, u64 nr_frames)
{
	memset(&pool, 0, sizeof(pool));
	pool.nr_chunks = (u32)div_round_up(nr_frames, CHUNK_FRAMES);
	pool.nr_trees = div_round_up(pool.nr_chunks, TREE_CHUNKS);
	pool.bits = tables;
	pool.tree = (u32 *)(pool.bits + pool.nr_chunks);
	pool.tree_total = (u16 *)(pool.tree + pool.nr_trees);
	pool.chunk_free = pool.tree_total + pool.nr_trees;
	pool.chunk_mobility = (u8 *)(pool.chunk_free + pool.nr_chunks);
	pool.tree_node = pool.chunk_mobility + pool.nr_chunks;
	pool.nr_nodes = 1;
	pool.node[0].end_tree = pool.nr_trees;
	for (u32 c = 0; c < pool.nr_chunks; c++)
		for (u32 i = 0; i < 8; i++)
			pool.bits[c].word[i] = ~0ull;
}

/* 1/256 of memory, at least 512 KiB and at most 16 MiB; each node has its share. */
static void reserve_share(void)
{
	u64 reserve = clamp(pool.total / 256, 128ul, 4096ul);

	for (unsigned i = 0; i < pool.nr_nodes; i++)
		pool.node[i].reserve = reserve * pool.node[i].total / pool.total;
}

/* The node is searched from its first to its last tree: memory may come beyond them (the initramfs). */
static void node_reach(struct page_node *node, u32 tree)
{
	node->first_tree = node->end_tree ? min(node->first_tree, tree) : tree;
	node->end_tree = max(node->end_tree, tree + 1);
}

void page_pool_add(u64 first, u64 end)
{
	for (u64 frame = first; frame < end;) {
		u64 stop = min(end, align_up(frame + 1, 64));
		u64 nr = stop - frame;
		u64 mask = nr == 64 ? ~0ull : ((1ull << nr) - 1) << (frame % 64);
		u32 tree = (u32)(frame / TREE_FRAMES);

		node_reach(tree_owner(tree), tree);
		word_free(frame, mask);
		pool.tree_total[tree] += (u16)nr;
		tree_owner(tree)->total += nr;
		frame = stop;
	}
	pool.total += end - first;
	reserve_share();
}

/* The node that most of the tree's chunks are of. */
static u8 __init tree_find_node(u32 tree)
{
	u8 votes[NUMA_MAX_NODES] = { 0 }, best = 0;
	u32 first = tree * TREE_CHUNKS, end = min(first + TREE_CHUNKS, pool.nr_chunks);

	for (u32 chunk = first; chunk < end; chunk++)
		votes[numa_node_of_phys((phys_t)chunk * HUGE_SIZE)]++;
	for (unsigned n = 1; n < pool.nr_nodes; n++)
		if (votes[n] > votes[best])
			best = (u8)n;
	return best;
}

void __init page_nodes_init(void)
{
	struct frame_array *a = *this_cpu_ptr(frame_arrays);

	if (numa_nr_nodes() == 1 || !boot_opt_enabled("numa"))
		return;
	pool.nr_nodes = numa_nr_nodes();
	for (u32 i = 0; i < NR_MOBILITY; i++) { /* of whatever node */
		array_drain(&a[i], a[i].count);
		if (a[i].tree)
			atomic_and(&pool.tree[a[i].tree - 1], ~TREE_RESERVED);
		a[i].tree = 0;
	}
	memset(pool.node, 0, sizeof(pool.node));
	for (u32 t = 0; t < pool.nr_trees; t++) {
		u8 n = tree_find_node(t);
		struct page_node *node = &pool.node[n];

		pool.tree_node[t] = n;
		if (pool.tree_total[t] == 0)
			continue;
		node_reach(node, t);
		node->total += pool.tree_total[t];
		node->free += pool.tree[t] & TREE_FREE;
	}
	for (unsigned n = 0; n < pool.nr_nodes; n++)
		node_list_by_distance(pool.node[n].by_distance, n, pool.nr_nodes);
	reserve_share();
	node_counts_init();
}

bool page_frame_is_taken(u64 frame)
{
	return pool.bits[frame >> CHUNK_SHIFT].word[(frame / 64) % 8] >> (frame % 64) & 1;
}
