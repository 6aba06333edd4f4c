/*
 * The page allocator: frames in folios of 2^0 … 2^9, without a lock.
 *
 * Concepts.  Memory is cut into chunks of 512 frames (2 MiB).  A chunk has a
 * bit for each frame (set = taken) and a counter of free frames.  Eight chunks
 * are a tree; a tree has one word: an upper bound of its free frames, the
 * mobility it serves, and whether a CPU has reserved it.  Each CPU reserves one
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
 * Mobility.  User pages (ALLOC_MOVABLE) and kernel objects fill different trees
 * as long as there are enough, so that long-lived kernel pages do not break up
 * all 2 MiB blocks.
 *
 * When memory is short, the slow path drops clean page-cache folios, then
 * (ALLOC_USER) has a process killed, and in the end returns NULL.  It never
 * panics.
 *
 * Simple for now: one node (the tree array would be cut by node).
 *
 * Rejected: a buddy system (its merge walk needs a lock and touches the frame
 * table of neighbours); per-CPU lists linked through the frames (a cache miss
 * for each, where an array has none).
 *
 * Model: tests/models/page_alloc.pml.
 *
 * Reference: Wrenger et al., "LLFree: Scalable and Optionally-Persistent
 * Page-Frame Allocation", USENIX ATC 2023.
 */
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/fail.h>
#include <nos/irq.h>
#include <nos/sanitize.h>
#include <nos/string.h>
#include <nos/thread.h>

#define CPU_ARRAY 62u /* frames in a per-CPU array */
#define CPU_BATCH 31u /* frames moved at once */
#define NR_MOBILITY 2u

/* A tree's word: free frames in the low half, then mobility, then the reservation. */
#define TREE_FREE 0xffffu
#define TREE_MOVABLE (1u << 16)
#define TREE_RESERVED (1u << 17)
#define NO_TREE U32_MAX

struct chunk_bits {
	u64 word[CHUNK_FRAMES / 64];
} __aligned(CACHE_LINE);

static struct {
	struct chunk_bits *bits; /* per chunk */
	u16 *chunk_free; /* per chunk */
	u32 *tree; /* per tree */
	u32 nr_chunks, nr_trees;
	u64 total; /* frames ever added */
	u64 reserve; /* left to ALLOC_ATOMIC */
	s64 free __aligned(CACHE_LINE); /* frames free in the trees; CPU arrays not counted */
} pool;

struct frame_array {
	u32 count;
	u32 tree; /* reserved tree + 1; 0 = none */
	u32 chunk; /* where the last search ended */
	struct folio *frames[CPU_ARRAY];
};
static DEFINE_PERCPU(struct frame_array[NR_MOBILITY], frame_arrays);

/* Frames in use by kind, for /proc/meminfo; summed over CPUs. */
DEFINE_PERCPU(s64[16], frames_by_kind);
static DEFINE_PERCPU(u64, frames_allocated);
static DEFINE_PERCPU(u64, frames_freed);

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

/* Accounts n frames that left `chunk` for good (invariant 2: last). */
static void tree_taken(u32 chunk, u32 n)
{
	atomic_sub(&pool.tree[chunk / TREE_CHUNKS], n);
	atomic_sub(&pool.free, (s64)n);
}

/* Frames of `mask` in one word come back. */
static void word_free(u64 frame, u64 mask)
{
	u32 chunk = (u32)(frame >> CHUNK_SHIFT);
	u32 n = (u32)__builtin_popcountll(mask);

	atomic_add(&pool.free, (s64)n);
	atomic_add(&pool.tree[chunk / TREE_CHUNKS], n);
	u64 old = atomic_fetch_and(&pool.bits[chunk].word[(frame / 64) % 8], ~mask);

	VERIFY((old & mask) == mask);
	chunk_give(chunk, n);
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
		u64 seen = atomic_load_relaxed(word), mask = 0;

		do {
			u64 avail = ~seen;

			if (avail == 0)
				break;
			mask = 0;
			for (u32 k = got; k < n && avail; k++, avail &= avail - 1)
				mask |= avail & -avail;
		} while (!atomic_cas_update(word, &seen, seen | mask));
		if (~seen == 0)
			continue;
		u64 first = ((u64)chunk << CHUNK_SHIFT) + i * 64;

		/* highest first: the array is popped from its end, so frames come out rising */
		for (u64 m = mask; m;) {
			u32 b = 63 - (u32)__builtin_clzll(m);

			a->frames[a->count++] = FRAME_TABLE + first + b;
			m &= ~(1ull << b);
			got++;
		}
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

/*
 * Takes from one tree, starting at chunk hint *start: single frames into *a
 * (order 0, result is a non-NULL token), or one run.
 */
static struct folio *tree_take(u32 tree, unsigned order, u32 *start, struct frame_array *a)
{
	u32 first = tree * TREE_CHUNKS;
	u32 nr = min(TREE_CHUNKS, pool.nr_chunks - first);

	for (u32 i = 0; i < nr; i++) {
		u32 chunk = first + (*start + i) % nr;
		struct folio *f;

		if (order == 0) {
			if (!chunk_take_singles(chunk, CPU_BATCH, a))
				continue;
			f = a->frames[--a->count];
		} else {
			f = chunk_take_run(chunk, order);
			if (!f)
				continue;
		}
		*start = chunk - first;
		return f;
	}
	return NULL;
}

/*
 * Pass 0: a tree of our mobility that is partly used; 1: a wholly free one;
 * 2: any that no CPU has reserved; 3: any.
 */
static bool tree_suits(u32 word, u32 mobility, u32 need, int pass)
{
	u32 nr_free = word & TREE_FREE;

	if (nr_free < need)
		return false;
	if (pass < 3 && (word & TREE_RESERVED))
		return false;
	if (pass == 0)
		return nr_free < TREE_FRAMES && !(word & TREE_MOVABLE) == !mobility;
	if (pass == 1)
		return nr_free == TREE_FRAMES;
	return true;
}

/* Finds another tree, reserves it if it can, and takes from it. */
static struct folio *tree_search(u32 mobility, unsigned order, struct frame_array *a)
{
	u32 need = 1u << order, begin = a->tree ? a->tree - 1 : 0;

	for (int pass = 0; pass < 4; pass++) {
		for (u32 i = 0; i < pool.nr_trees; i++) {
			u32 t = (begin + i) % pool.nr_trees;
			u32 word = atomic_load_relaxed(&pool.tree[t]), start = 0;

			if (!tree_suits(word, mobility, need, pass))
				continue;
			struct folio *f = tree_take(t, order, &start, a);

			if (!f)
				continue;
			if (pass < 3 &&
			    !(atomic_fetch_or(&pool.tree[t], TREE_RESERVED) & TREE_RESERVED)) {
				if (a->tree)
					atomic_and(&pool.tree[a->tree - 1], ~TREE_RESERVED);
				a->tree = t + 1;
				a->chunk = start;
				if (mobility)
					atomic_or(&pool.tree[t], TREE_MOVABLE);
				else
					atomic_and(&pool.tree[t], ~TREE_MOVABLE);
			}
			return f;
		}
	}
	return NULL;
}

/* From this CPU's tree, else from another; preemption off.  Respects the reserve. */
static struct folio *pool_take(struct frame_array *a, unsigned order, u32 mobility, bool atomic)
{
	u64 keep_free = atomic ? 0 : pool.reserve;
	struct folio *f;

	if (atomic_load_relaxed(&pool.free) < (s64)(keep_free + (1u << order)))
		return NULL;
	if (a->tree) {
		f = tree_take(a->tree - 1, order, &a->chunk, a);
		if (f)
			return f;
	}
	return tree_search(mobility, order, a);
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

static inline u32 kind_mobility(enum folio_kind kind)
{
	return kind == FOLIO_ANON || kind == FOLIO_FILE;
}

/* In an interrupt handler: not through the arrays, which it may have interrupted. */
static __noinline struct folio *frame_take_in_irq(unsigned order)
{
	for (u32 chunk = 0; chunk < pool.nr_chunks; chunk++) {
		struct folio *f = chunk_take_run(chunk, order);

		if (f)
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
		f = pool_take(a, order, mobility, atomic);
	preempt_enable();
	return f;
}

/* ---- when memory is short ---- */

/* Has room made and tries again; a thread that is being killed may use the reserve to end. */
static __noinline __cold struct folio *frame_take_slow(unsigned order, enum folio_kind kind,
						       u32 flags)
{
	if (flags & (ALLOC_ATOMIC | ALLOC_NOWAIT))
		return NULL;
	for (unsigned round = 0; memory_make_room(2ul << order, flags, round); round++) {
		struct folio *f = frame_take(order, kind, fatal_signal_is_pending());

		if (f)
			return f;
	}
	return NULL;
}

/* ---- folios ---- */

static void folio_set_tails(struct folio *f, unsigned order)
{
	for (u32 i = 1; i < 1u << order; i++) {
		f[i].head = f;
		f[i].is_tail = true;
	}
}

struct folio *folio_alloc(unsigned order, enum folio_kind kind, u32 flags)
{
	ASSERT(order <= PAGE_ORDER_MAX);
	if (test_allocation_fails() || fail_now(FAIL_ALLOC, "page"))
		return NULL;

	struct folio *f = frame_take(order, kind, flags & ALLOC_ATOMIC);

	if (unlikely(!f)) {
		f = frame_take_slow(order, kind, flags);
		if (!f)
			return NULL;
	}
	ASSERT(f->kind == FOLIO_FREE && !f->is_tail && f->refs.count == 0);
	f->flags = 0;
	f->kind = (u8)kind;
	f->order = (u8)order;
	f->map_count = 0;
	if (unlikely(order))
		folio_set_tails(f, order);
	ref_init(&f->refs, 1);
	shadow_unpoison(folio_address(f), PAGE_SIZE << order);
	this_cpu_add(frames_by_kind[kind], 1 << order);
	this_cpu_add(frames_allocated, 1);
	if (flags & ALLOC_ZERO) {
		char *p = folio_address(f);

		for (u32 i = 0; i < 1u << order; i++)
			page_clear(p + i * PAGE_SIZE);
	}
	return f;
}

struct folio *folio_alloc_cluster(unsigned order, enum folio_kind kind)
{
	u32 nr = 1u << order;

	if (test_allocation_fails() || !page_is_plenty())
		return NULL;

	struct folio *f = frame_take(order, kind, false);

	if (unlikely(!f))
		return NULL;
	for (u32 i = 0; i < nr; i++) {
		ASSERT(f[i].kind == FOLIO_FREE && !f[i].is_tail);
		f[i].flags = 0;
		f[i].kind = (u8)kind;
		f[i].order = 0;
		f[i].map_count = 0;
		ref_init(&f[i].refs, 1);
	}
	shadow_unpoison(folio_address(f), PAGE_SIZE << order);
	this_cpu_add(frames_by_kind[kind], nr);
	this_cpu_add(frames_allocated, nr);
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
	this_cpu_add(frames_freed, 1);
	shadow_poison(folio_address(f), PAGE_SIZE << order, SHADOW_PAGE_FREE);
	f->kind = FOLIO_FREE;
	f->flags = 0;
	f->refs.count = 0;
	if (likely(order == 0 && !irq_is_in_handler())) {
		preempt_disable();
		struct frame_array *a = &(*this_cpu_ptr(frame_arrays))[kind_mobility(kind)];

		if (unlikely(a->count == CPU_ARRAY))
			array_drain(a, CPU_BATCH);
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

/* Single movable frames that nobody has any more; the array stays half full of the last ones. */
static void frames_give(struct folio *const *folios, u32 nr)
{
	preempt_disable();
	this_cpu_add(frames_by_kind[FOLIO_ANON], -(s64)nr);
	this_cpu_add(frames_freed, nr);
	struct frame_array *a = &(*this_cpu_ptr(frame_arrays))[kind_mobility(FOLIO_ANON)];

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
		shadow_poison(folio_address(f), PAGE_SIZE, SHADOW_PAGE_FREE);
		f->kind = FOLIO_FREE;
		f->flags = 0;
		folios[n++] = f;
	}
	if (n)
		frames_give(folios, n);
}

void folio_split(struct folio *f)
{
	u32 nr = 1u << f->order;

	ASSERT(ref_read(&f->refs) == 1);
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

static s64 kind_sum(enum folio_kind kind)
{
	s64 sum = 0;

	for_each_cpu(cpu) sum += (*per_cpu_ptr(frames_by_kind, cpu))[kind];
	return max(sum, (s64)0);
}

#ifdef DEBUG
static s64 permanent[16];

void page_note_permanent(enum folio_kind kind, u64 nr)
{
	(void)atomic_add(&permanent[kind], (s64)nr);
}

s64 page_nr_passing(enum folio_kind kind)
{
	return kind_sum(kind) - atomic_load_relaxed(&permanent[kind]);
}
#endif

u64 page_nr_free(void)
{
	s64 n = atomic_load_relaxed(&pool.free);

	for_each_cpu(cpu)
	{
		struct frame_array *a = *per_cpu_ptr(frame_arrays, cpu);

		n += READ_ONCE(a[0].count) + READ_ONCE(a[1].count);
	}
	return (u64)max(n, (s64)0);
}

bool page_is_plenty(void)
{
	return atomic_load_relaxed(&pool.free) > (s64)(pool.total / 16);
}

u64 page_nr_total(void)
{
	return pool.total;
}

/* The page allocator's part of the figures; the other owners add theirs. */
void page_stats_read(struct memory_stats *s)
{
	s->total = pool.total;
	s->free = page_nr_free();
	s->slab = (u64)kind_sum(FOLIO_SLAB);
	s->page_tables = (u64)kind_sum(FOLIO_PAGE_TABLE);
	s->anon = (u64)kind_sum(FOLIO_ANON);
	s->file = (u64)kind_sum(FOLIO_FILE);
	s->pipe = (u64)kind_sum(FOLIO_PIPE);
	for_each_cpu(cpu)
	{
		s->allocs += *per_cpu_ptr(frames_allocated, cpu);
		s->frees += *per_cpu_ptr(frames_freed, cpu);
	}
}

/* ---- set-up ---- */

size_t page_pool_table_size(u64 nr_frames)
{
	u64 chunks = div_round_up(nr_frames, CHUNK_FRAMES);
	u64 trees = div_round_up(chunks, TREE_CHUNKS);

	return chunks * (sizeof(struct chunk_bits) + sizeof(u16)) + trees * sizeof(u32) + 64;
}

void page_pool_init(void *tables, u64 nr_frames)
{
	memset(&pool, 0, sizeof(pool));
	pool.nr_chunks = (u32)div_round_up(nr_frames, CHUNK_FRAMES);
	pool.nr_trees = div_round_up(pool.nr_chunks, TREE_CHUNKS);
	pool.bits = tables;
	pool.tree = (u32 *)(pool.bits + pool.nr_chunks);
	pool.chunk_free = (u16 *)(pool.tree + pool.nr_trees);
	for (u32 c = 0; c < pool.nr_chunks; c++)
		for (u32 i = 0; i < 8; i++)
			pool.bits[c].word[i] = ~0ull;
}

void page_pool_add(u64 first, u64 end)
{
	for (u64 frame = first; frame < end;) {
		u64 stop = min(end, align_up(frame + 1, 64));
		u64 nr = stop - frame;
		u64 mask = nr == 64 ? ~0ull : ((1ull << nr) - 1) << (frame % 64);

		word_free(frame, mask);
		frame = stop;
	}
	pool.total += end - first;
	/* 1/256 of memory, at least 512 KiB and at most 16 MiB */
	pool.reserve = clamp(pool.total / 256, 128ul, 4096ul);
}
