/*
 * Physical memory (mm/frame.c, mm/page_alloc.c): frames, folios, the page
 * allocator.
 *
 * The frame table has one 64-byte record a frame.  A folio is 2^order frames,
 * aligned; its first record is the head and holds the one reference count, the
 * one owner and the state of all; the others point to it (tail).  Nothing is
 * counted per 4K page, and there is no per-page reverse map.
 */
#pragma once

#include <nos/arch.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/rcu.h>
#include <nos/types.h>

enum folio_kind {
	FOLIO_FREE,
	FOLIO_KERNEL, /* page_alloc for the kernel; stacks, vmap */
	FOLIO_SLAB,
	FOLIO_PAGE_TABLE,
	FOLIO_ANON,
	FOLIO_FILE, /* in a page cache, or truncated from it */
	FOLIO_PIPE, /* buffer pages of pipes and sockets */
	FOLIO_RESERVED, /* firmware, kernel image, device */
};

/* flags, atomic */
#define FOLIO_UPTODATE (1u << 0) /* contents valid */
#define FOLIO_DIRTY (1u << 1)
#define FOLIO_WRITEBACK (1u << 2)
#define FOLIO_LOCKED (1u << 3) /* content lock; folio_lock */
#define FOLIO_REFERENCED (1u << 4) /* used lately (clock) */
#define FOLIO_WAITERS (1u << 5)
#define FOLIO_MLOCKED (1u << 6)
#define FOLIO_ERROR (1u << 8)
#define FOLIO_UNEVICTABLE (1u << 9) /* tmpfs: no backing store */
#define FOLIO_AHEAD (1u << 10) /* read ahead, not used yet */
#define FOLIO_BLOCK (1u << 11) /* of a file in memory, like all of its 2 MiB (mm/huge_file.c) */

struct page_cache;

struct folio {
	u32 flags;
	u8 kind; /* enum folio_kind */
	u8 order; /* head: 2^order frames */
	u8 is_tail;
	u8 zero; /* makes a word of kind and what follows */
	struct ref refs; /* head only */
	u32 map_count; /* head: page-table entries that map any part of it */
	union {
		struct { /* FOLIO_FILE */
			struct page_cache *cache; /* NULL once truncated */
			u64 index; /* in pages */
			struct list lru;
		};
		struct { /* FOLIO_PAGE_TABLE: one leaf or upper table */
			struct spinlock table_lock;
			u32 table_refs; /* address spaces that share it */
			u16 nr_present; /* entries that are not 0 */
			u16 nr_special; /* of them, those without a folio */
			u64 huge_links; /* level 2: page of the tables behind huge entries; 0 */
			union { /* apart from the lock: late walkers take it */
				struct rcu_head table_rcu;
				struct { /* upper tables, in their address space's list */
					struct folio *table_next;
					u64 *table_entry;
				};
			};
		};
		struct { /* FOLIO_SLAB */
			void *slab_cache;
			void *slab_free;
			u32 slab_in_use;
			struct list slab_node;
			void *slab_barn; /* of its node */
		};
		struct { /* owner's use otherwise */
			struct list node;
			u64 private;
		};
		struct folio *head; /* tails */
		struct rcu_head rcu;
	};
} __aligned(64);
#ifndef DEBUG
static_assert(sizeof(struct folio) == 64, "one cache line a frame");
#endif

#ifdef NOS_HOST
extern struct folio *host_frame_table; /* the test's: frame 0 first */
#define FRAME_TABLE host_frame_table
#else
#define FRAME_TABLE ((struct folio *)FRAME_TABLE_BASE)
#endif
static inline struct folio *phys_to_frame(phys_t p)
{
	return FRAME_TABLE + (p >> PAGE_SHIFT);
}
/* Is it an anonymous folio of one frame, and no other's tail? */
static inline bool frame_is_single_anon(const struct folio *f)
{
	u32 word;

	static_assert(offsetof(struct folio, kind) % 4 == 0 &&
		      offsetof(struct folio, zero) == offsetof(struct folio, kind) + 3);
	__builtin_memcpy(&word, &f->kind, sizeof(word));
	return word == FOLIO_ANON;
}
/* The folio (head) that holds the frame. */
static inline struct folio *frame_folio(struct folio *f)
{
	return f->is_tail ? f->head : f;
}
static inline struct folio *phys_to_folio(phys_t p)
{
	return frame_folio(phys_to_frame(p));
}
/* The record of the frame of an address in the direct map. */
static inline struct folio *direct_to_frame(const void *p)
{
#ifdef NOS_HOST
	return phys_to_frame(direct_to_phys(p));
#else
	/* The bases of map and table make one constant. */
	return (struct folio *)(((uintptr_t)p >> PAGE_SHIFT) * sizeof(struct folio) +
				(uintptr_t)FRAME_TABLE -
				(DIRECT_MAP_BASE >> PAGE_SHIFT) * sizeof(struct folio));
#endif
}
static inline struct folio *direct_to_folio(const void *p)
{
	return frame_folio(direct_to_frame(p));
}
static inline phys_t folio_to_phys(const struct folio *f)
{
	return (phys_t)(f - FRAME_TABLE) << PAGE_SHIFT;
}
static inline void *folio_address(const struct folio *f)
{
	return phys_to_virt(folio_to_phys(f));
}
static inline size_t folio_size(const struct folio *f)
{
	return PAGE_SIZE << f->order;
}
static inline u64 folio_nr_pages(const struct folio *f)
{
	return 1ull << f->order;
}

/* Allocation flags. */
#define ALLOC_ZERO 1u /* contents zero */
#define ALLOC_ATOMIC 2u /* may not sleep or reclaim; may use the reserve */
#define ALLOC_NORETRY 4u /* fail early rather than reclaim hard or kill */
#define ALLOC_MOVABLE 8u /* user data: grouped apart from kernel allocations */
#define ALLOC_USER 16u /* on behalf of a process: OOM killer may run */
#define ALLOC_NOWAIT 32u /* may not sleep, but leaves the reserve alone */
#define PAGE_ORDER_MAX 9

/* One folio with one reference, or NULL.  kind is set for good.  Sleeps unless ALLOC_ATOMIC. */
struct folio *folio_alloc(unsigned order, enum folio_kind kind, u32 flags);
/* 2^order neighbouring frames, aligned and zeroed, as folios of 2^unit frames with one reference each: the
 * first; NULL unless there are, and memory is plenty.  For what is not asked for yet; never sleeps. */
struct folio *folio_alloc_cluster(unsigned order, unsigned unit, enum folio_kind kind);
/* More than a sixteenth of memory is free. */
bool page_is_plenty(void);
void folio_get(struct folio *f);
bool folio_get_unless_zero(struct folio *f) __must_check;
void folio_put(struct folio *f); /* frees at zero */
/* The same for each of them, not in an interrupt handler; the array is changed. */
void folio_put_many(struct folio **folios, u32 nr);
/* Kernel's own pages by address: zeroed or not, kind FOLIO_KERNEL. */
void *page_alloc(unsigned order, u32 flags);
void page_free(void *address, unsigned order);
/* Splits a folio's frames into order-0 folios, each with one reference; exclusive owner only. */
void folio_split(struct folio *f);

void folio_lock(struct folio *f); /* sleeps */
int folio_lock_killable(struct folio *f) __must_check;
bool folio_try_lock(struct folio *f);
void folio_unlock(struct folio *f);
void folio_wait_writeback(struct folio *f);
void folio_end_writeback(struct folio *f);

static inline void folio_set_flag(struct folio *f, u32 flag)
{
	atomic_or(&f->flags, flag);
}
static inline void folio_clear_flag(struct folio *f, u32 flag)
{
	atomic_and(&f->flags, ~flag);
}
static inline bool folio_has_flag(const struct folio *f, u32 flag)
{
	return (READ_ONCE(f->flags) & flag) != 0;
}

/* The shared page of zeros. */
extern struct folio *zero_folio;

/* Debug kernels: these frames are never given back, and that is no leak. */
#ifdef DEBUG
void page_note_permanent(enum folio_kind kind, u64 nr);
#else
static inline void page_note_permanent(enum folio_kind kind, u64 nr)
{
}
#endif

u64 page_nr_free(void); /* frames */
u64 page_nr_total(void); /* frames that are or were in the allocator */
struct memory_stats { /* pages; for /proc/meminfo, sysinfo, vmstat */
	u64 total, free, available;
	u64 file /* without shmem */, anon, shmem, slab, slab_reclaimable, page_tables,
		kernel_stacks, vmap, pipe;
	u64 dirty, writeback, mapped, mlocked, committed, commit_limit;
	u64 faults, faults_major, page_in, page_out, oom_kills, allocs, frees;
};
void memory_stats_read(struct memory_stats *s);

/* Overcommit (proc(5), /proc/sys/vm): promises in pages; -ENOMEM as the policy says. */
extern u32 vm_overcommit_memory, vm_overcommit_ratio, vm_max_map_count;
extern u64 vm_overcommit_kbytes, vm_mmap_min_addr;
int memory_commit(u64 nr_pages) __must_check;
void memory_commit_always(u64 nr_pages);
void memory_uncommit(u64 nr_pages);
u64 memory_commit_limit(void);

/* One page of zeros or a copy of one, by whole words. */
static inline void page_clear(void *page)
{
	u64 nr = PAGE_SIZE / 8;

	__asm__ volatile("rep stosq" : "+D"(page), "+c"(nr) : "a"(0ul) : "memory");
}
static inline void page_copy(void *to, const void *from)
{
	u64 nr = PAGE_SIZE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(nr) : : "memory");
}

void mm_init_early(void); /* frame table and page allocator from boot_info; direct map complete */
void mm_init(void); /* slab, vmap */
void mm_init_nodes(void); /* SRAT and SLIT are known, no other CPU is up */
