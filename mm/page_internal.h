/* The page allocator's private face: frame.c fills it, page_alloc.c runs it. */
#pragma once

#include <nos/cpu.h>
#include <nos/numa.h>
#include <nos/page.h>

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

/* Fault injection of <nos/test.h>: true if this allocation is to fail. */
#if defined(DEBUG) || defined(NOS_HOST)
bool test_allocation_fails(void);
#else
static inline bool test_allocation_fails(void)
{
	return false;
}
#endif
