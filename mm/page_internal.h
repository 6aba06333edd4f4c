/* The page allocator's private face: frame.c fills it, page_alloc.c runs it. */
#pragma once

#include <nos/cpu.h>
#include <nos/fail.h>
#include <nos/numa.h>
#include <nos/page.h>
#include <nos/sanitize.h>

#define CHUNK_SHIFT 9
#define CHUNK_FRAMES (1u << CHUNK_SHIFT) /* frames of a 2 MiB chunk */
#define TREE_CHUNKS 8u /* chunks of a tree: 16 MiB */
#define TREE_FRAMES (TREE_CHUNKS * CHUNK_FRAMES)

/* Bytes of the allocator's own tables for frames [0, nr_frames). */
size_t page_pool_table_size(u64 nr_frames);
/* Takes the zeroed tables; every frame starts out as allocated. */
void page_pool_init(void *tables, u64 nr_frames);
/* Makes frames [first, end) free.  They count as memory from now on. */
void page_pool_add(u64 first, u64 end);
/* After SRAT and SLIT are known, before other CPUs run: cuts the pool by node. */
void page_nodes_init(void);
void page_stats_read(struct memory_stats *s);
u64 page_node_free(unsigned node);
u64 page_node_total(unsigned node);
bool page_frame_is_taken(u64 frame);

/* page_node.c: what numastat(8) shows.  Preemption off. */
void node_count_alloc(unsigned node, unsigned here, unsigned wanted, bool interleaved);
void node_count_kind(const struct folio *f, enum folio_kind kind, s64 nr);
/* Counts what was allocated so far, and turns numa_key on. */
void node_counts_init(void);
/* All of `nr` nodes by distance from `from`, itself first. */
void node_list_by_distance(u8 *list, unsigned from, unsigned nr);
/* Frames in use of the kind. */
s64 page_nr_of_kind(enum folio_kind kind);
/* The same less those that are never given back; debug kernels. */
s64 page_nr_passing(enum folio_kind kind);
/* Of page tables, those that CPUs keep free. */
u64 page_tables_in_stock(void);
/* zeroed.c: a page of kind FOLIO_ANON that is zero already, with one reference, or NULL. */
void zeroed_init(void);
DECLARE_PERCPU(u32, zeroed_count);
struct folio *zeroed_take_counted(void);
static inline struct folio *zeroed_take(void)
{
	return this_cpu_read(zeroed_count) ? zeroed_take_counted() : NULL;
}
/* Zeroes another one for this CPU's stock; false: it has enough, or memory is short.  Preemption off. */
bool zeroed_fill_one(void);
/* Gives all of them back; how many there were. */
u64 zeroed_drain(void);
u64 zeroed_in_stock(void);
void page_cache_stats_read(struct memory_stats *s);
void fault_stats_read(struct memory_stats *s);
u64 memory_oom_kills(void);
void page_cache_system_init(void);
void aspace_system_init(void);

/*
 * Makes room when an allocation has failed: true if it is worth another try.
 * `round` counts the tries; sleeps.  mm/reclaim.c; a test on the host has its own.
 */
bool memory_make_room(u64 nr_pages, u32 flags, unsigned round);
void vmap_init(void);

/*
 * Of the frame of an address in the direct map, whether slabs have it (mm/slab.c): the place of their cache in
 * the rows, or 0.  Apart from the frame's record: what frees objects all over memory reads a line of these for
 * 256 KiB, not for 4 KiB.  The table lies where the address itself leads, shifted.
 */
#ifdef NOS_HOST
extern u8 host_slab_places[]; /* the test's */
#endif
static inline u8 *frame_slab_place(const void *p)
{
#ifdef NOS_HOST
	return host_slab_places + (direct_to_phys(p) >> PAGE_SHIFT);
#else
	static_assert((s64)DIRECT_MAP_BASE >> PAGE_SHIFT == (s64)SLAB_PLACE_BASE);
	return (u8 *)((s64)p >> PAGE_SHIFT);
#endif
}

/* ---- a CPU's single frames ---- */

#define CPU_ARRAY 62u /* frames in a per-CPU array */
#define NR_MOBILITY 2u

struct frame_array {
	u32 count;
	u32 tree; /* reserved tree + 1; 0 = none */
	u32 chunk; /* where the last search ended */
	struct folio *frames[CPU_ARRAY];
};
/* By mobility; the last is of frames freed here that belong to other nodes. */
DECLARE_PERCPU(struct frame_array[NR_MOBILITY + 1], frame_arrays);
DECLARE_PERCPU(s64[16], frames_by_kind); /* in use; summed over CPUs */
DECLARE_PERCPU(u64, frames_allocated); /* ever */

static inline u32 kind_mobility(enum folio_kind kind)
{
	return kind == FOLIO_ANON || kind == FOLIO_FILE;
}

/* A free frame becomes (the head of) a folio with one reference. */
static inline void folio_begin(struct folio *f, unsigned order, enum folio_kind kind)
{
	f->flags = 0;
	f->kind = (u8)kind;
	f->order = (u8)order;
	f->map_count = 0;
	ref_init(&f->refs, 1);
}

/* Fault injection of <nos/test.h>: true if this allocation is to fail. */
#if defined(DEBUG) || defined(NOS_HOST)
bool test_allocation_fails(void);
#else
static inline bool test_allocation_fails(void)
{
	return false;
}
#endif

/*
 * A single page of kind FOLIO_ANON where there are no nodes, for a fault, or NULL: from the stock of
 * zeroed ones, or what folio_alloc gives with ALLOC_NOWAIT and, if `zero`, ALLOC_ZERO.  Preemption off.
 */
static __always_inline struct folio *folio_alloc_private(bool zero)
{
	struct frame_array *a = &(*this_cpu_ptr(frame_arrays))[kind_mobility(FOLIO_ANON)];
	struct folio *f = zero ? zeroed_take() : NULL;

	if (f)
		return f;
	if (unlikely(!a->count))
		return folio_alloc(0, FOLIO_ANON, ALLOC_NOWAIT | (zero ? ALLOC_ZERO : 0));
	if (test_allocation_fails() || fail_now(FAIL_ALLOC, "page"))
		return NULL;
	f = a->frames[--a->count];
	folio_begin(f, 0, FOLIO_ANON);
	shadow_unpoison(folio_address(f), PAGE_SIZE);
	this_cpu_add(frames_by_kind[FOLIO_ANON], 1);
	this_cpu_add(frames_allocated, 1);
	if (zero)
		page_clear(folio_address(f));
	return f;
}
