/* Private to mm: mappings, page tables, flushing, faults. */
#pragma once

#include <nos/aspace.h>
#include <nos/assert.h>
#include <nos/memory_policy.h>
#include <nos/rcu.h>
#include <nos/static_key.h>
#include <nos/vdso.h>

#include "page_cache_internal.h"

#define STACK_GUARD_GAP (256 * PAGE_SIZE) /* below a mapping that grows down */
#define USER_ADDRESS_MIN PAGE_SIZE

/* ---- mapping.c: the tree; the lock is held for writing where it changes ---- */

static inline u64 mapping_pages(const struct mapping *m)
{
	return (m->end - m->start) >> PAGE_SHIFT;
}
static inline bool mapping_is_private_writable(u32 flags)
{
	return (flags & (MAPPING_WRITE | MAPPING_SHARED)) == MAPPING_WRITE;
}
/* Counts as data: RLIMIT_DATA. */
static inline bool mapping_is_data(u32 flags)
{
	return (flags & (MAPPING_WRITE | MAPPING_SHARED | MAPPING_STACK | MAPPING_GROWS_DOWN)) ==
	       MAPPING_WRITE;
}
/* Whether mappings with these flags may be one. */
static inline bool mapping_flags_join(u32 a, u32 b)
{
	return ((a ^ b) & ~MAPPING_WRITTEN) == 0;
}
/* Is m private anonymous memory with these flags, of this name? */
static inline bool mapping_is_anonymous(const struct mapping *m, u32 flags, const char *name)
{
	return mapping_flags_join(m->flags, flags) && !m->file && !m->cache && m->name == name &&
	       !m->policy;
}
static inline u64 mapping_page_index(const struct mapping *m, u64 address)
{
	return m->page_offset + ((address - m->start) >> PAGE_SHIFT);
}

/* What a mapping shows, without its place in tree and lists. */
static inline void mapping_copy(struct mapping *to, const struct mapping *from)
{
	to->start = from->start;
	to->end = from->end;
	to->flags = from->flags;
	to->file = from->file;
	to->cache = from->cache;
	to->page_offset = from->page_offset;
	to->name = from->name;
	to->policy = from->policy;
}
/* Around each change of the tree; `c` is the cache of what changes. */
static inline void tree_change_begin(struct aspace *a, struct page_cache *c) __no_lock_check
{
	if (c)
		mutex_lock(&c->mappings_lock);
	seq_write_begin(&a->tree_sequence);
}

/* A full barrier: the page tables are then read as they are after the last fault that did not see the change. */
static inline void tree_change_end(struct aspace *a, struct page_cache *c) __no_lock_check
{
	(void)atomic_xchg(&a->tree_sequence.sequence, a->tree_sequence.sequence + 1);
	if (c)
		mutex_unlock(&c->mappings_lock);
}

void mapping_init(void);
struct mapping *mapping_alloc(void);
void mapping_free(struct mapping *m);
/* First mapping with end > address; last one with start < address. */
struct mapping *mapping_find(struct aspace *a, u64 address);
struct mapping *mapping_find_below(struct aspace *a, u64 address);
static inline struct mapping *mapping_prev(const struct mapping *m)
{
	return m->prev;
}
/* The hint, if it holds the address. */
static inline struct mapping *mapping_hint(const struct aspace *a, u64 address)
{
	struct mapping *m = READ_ONCE(a->hint);

	if (m && READ_ONCE(m->start) <= address && address < READ_ONCE(m->end) &&
	    READ_ONCE(m->aspace) == a)
		return m;
	return NULL;
}
/* The same as mapping_find without any lock, under RCU: to be verified by tree_sequence. */
struct mapping *mapping_find_rcu_slow(struct aspace *a, u64 address);
static inline struct mapping *mapping_find_rcu(struct aspace *a, u64 address)
{
	return mapping_hint(a, address) ?: mapping_find_rcu_slow(a, address);
}
/* The mappings around `start`, which is free: often the one found last is below it.  NULL: none. */
static inline void mapping_neighbours(struct aspace *a, u64 start, struct mapping **low,
				      struct mapping **high)
{
	struct mapping *m = a->hint;

	if (likely(m && m->aspace == a && m->end <= start &&
		   (!m->next || m->next->start >= start))) {
		*low = m;
		*high = m->next;
		return;
	}
	*high = mapping_find(a, start);
	*low = *high ? (*high)->prev : mapping_find_below(a, start);
}
/* Into and out of the tree and the cache's list. */
void mapping_insert(struct aspace *a, struct mapping *m);
/* The same between its known neighbours (NULL: none on that side). */
void mapping_insert_between(struct aspace *a, struct mapping *m, struct mapping *low,
			    struct mapping *high);
void mapping_remove(struct aspace *a, struct mapping *m);
/* The same in a change that the caller began (seq_write_begin of tree_sequence), and ends it. */
void mapping_remove_begun(struct aspace *a, struct mapping *m);
/* The page at start keeps its index when start moves. */
static inline void mapping_set_bounds(struct mapping *m, u64 start, u64 end)
{
	m->page_offset += (u64)((s64)(start - m->start) >> PAGE_SHIFT);
	m->start = start;
	m->end = end;
}
/* New bounds; the tree's order must not change. */
static inline void mapping_resize(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	tree_change_begin(a, m->cache);
	mapping_set_bounds(m, start, end);
	tree_change_end(a, m->cache);
}
static inline void mapping_set_flags(struct aspace *a, struct mapping *m, u32 flags)
{
	tree_change_begin(a, NULL);
	m->flags = flags;
	tree_change_end(a, NULL);
}
/* Cuts m at `address`; the upper part becomes *upper, a blank from mapping_alloc. */
void mapping_split(struct aspace *a, struct mapping *m, u64 address, struct mapping *upper);
/* Ensures that no mapping crosses start or end: 0 or -ENOMEM. */
int mapping_split_range(struct aspace *a, u64 start, u64 end);
/* Joins m with its neighbours where they are alike; returns the survivor. */
struct mapping *mapping_merge(struct aspace *a, struct mapping *m);
/* Do neighbours show one part of the same object, with the same name and policy? */
bool mapping_continues(const struct mapping *low, const struct mapping *high);
/* Could they be one, if they had these flags?  Mostly not, which is seen in line. */
static __always_inline bool mapping_can_join_as(const struct mapping *low,
						const struct mapping *high, u32 low_flags,
						u32 high_flags)
{
	return low->end == high->start && mapping_flags_join(low_flags, high_flags) &&
	       !(low_flags & MAPPING_SPECIAL) && mapping_continues(low, high);
}
static inline bool mapping_can_join(const struct mapping *low, const struct mapping *high)
{
	return mapping_can_join_as(low, high, low->flags, high->flags);
}
/* Another bound between neighbours of the same object; the order must not change. */
void mapping_move_bound(struct aspace *a, struct mapping *low, struct mapping *high, u64 address);
/* The same for the counts by sort only. */
static inline void aspace_count_sort(struct aspace *a, u32 flags, s64 nr)
{
	if (unlikely(flags & (MAPPING_STACK | MAPPING_GROWS_DOWN)))
		a->stack_pages += (u64)nr;
	else if (mapping_is_private_writable(flags))
		a->data_pages += (u64)nr;
	else if ((flags & (MAPPING_EXEC | MAPPING_WRITE)) == MAPPING_EXEC)
		a->exec_pages += (u64)nr;
}
/* What decides which counts a mapping is in, and what nearly all anonymous memory has of it. */
#define COUNTED_FLAGS                                                                              \
	(MAPPING_WRITE | MAPPING_EXEC | MAPPING_SHARED | MAPPING_STACK | MAPPING_GROWS_DOWN |      \
	 MAPPING_LOCKED | MAPPING_ACCOUNTED)
#define COUNTED_AS_DATA (MAPPING_WRITE | MAPPING_ACCOUNTED)
/* All counts but that of all pages, of other mappings. */
void aspace_account_rest(struct aspace *a, u32 flags, s64 nr);
/* Page counts of the address space: `nr` more, or fewer where it is negative; what was promised stays so. */
static inline void aspace_account_counts(struct aspace *a, u32 flags, s64 nr)
{
	a->total_pages += (u64)nr;
	if (unlikely((flags & COUNTED_FLAGS) != COUNTED_AS_DATA)) {
		aspace_account_rest(a, flags, nr);
		return;
	}
	a->data_pages += (u64)nr;
	a->committed_pages += (u64)nr;
}
static inline void aspace_account_more(struct aspace *a, u32 flags, u64 nr)
{
	aspace_account_counts(a, flags, (s64)nr);
	if (a->total_pages > a->peak_total_pages)
		a->peak_total_pages = a->total_pages;
}
/* Also takes the promise back. */
static inline void aspace_account_fewer(struct aspace *a, u32 flags, u64 nr)
{
	aspace_account_counts(a, flags, -(s64)nr);
	if (flags & MAPPING_ACCOUNTED)
		memory_uncommit(nr);
}
/* Where the room below m ends: a stack keeps its guard. */
static inline u64 mapping_room_end(const struct mapping *m)
{
	if (!(m->flags & MAPPING_GROWS_DOWN))
		return m->start;
	return m->start > STACK_GUARD_GAP ? m->start - STACK_GUARD_GAP : 0;
}
/* Address of a free range as mmap(2) chooses it, or -ENOMEM. */
s64 aspace_find_gap(struct aspace *a, u64 hint, u64 length, bool below_2g);

/* Shared anonymous memory: an object with a cache of its own, file == NULL. */
struct page_cache *shared_memory_create(u64 length);
void shared_memory_get(struct page_cache *c);
void shared_memory_put(struct page_cache *c);

/* Another reference on what m maps, for a copy of m. */
static inline void mapping_hold_object(const struct mapping *m)
{
	if (unlikely(m->policy))
		memory_policy_get(m->policy);
	if (m->file)
		file_get_for_mapping(m->file);
	else if (m->cache)
		shared_memory_get(m->cache);
}
/* Drops the references that a mapping outside the tree holds. */
static inline void mapping_drop_object(struct mapping *m)
{
	if (unlikely(m->policy))
		memory_policy_put(m->policy);
	if (m->file)
		file_put_for_mapping(m->file);
	else if (m->cache)
		shared_memory_put(m->cache);
}
/* The same, and frees it. */
static inline void mapping_release(struct mapping *m)
{
	mapping_drop_object(m);
	mapping_free(m);
}
extern struct static_key mapping_no_spare_key; /* opt.spare_mapping=off */
/* The same for who is likely to map again: it stays as a blank if there is none.  `lock` is held for writing. */
static inline void mapping_leave(struct aspace *a, struct mapping *m)
{
	mapping_drop_object(m);
	if (unlikely(a->spare) || static_key_is_on(&mapping_no_spare_key))
		mapping_free(m);
	else
		a->spare = m;
}
/* A blank, left by the last one that went, or new; NULL: no memory.  `lock` is held for writing. */
static inline struct mapping *mapping_take(struct aspace *a)
{
	struct mapping *m = a->spare;

	if (unlikely(!m))
		return mapping_alloc();
	a->spare = NULL;
	return m;
}

/* ---- cursor.c: page tables ---- */

/* The level-2 entry for va, NULL if there is no table for it.  The caller keeps tables alive: RCU, or the lock. */
static inline pte_t *leaf_entry(const struct aspace *a, u64 va)
{
	pte_t e = READ_ONCE(a->table[PTE_INDEX(va, 4)]);

	if (!pte_is_present(e))
		return NULL;
	e = READ_ONCE(((pte_t *)phys_to_virt(pte_phys(e)))[PTE_INDEX(va, 3)]);
	if (!pte_is_present(e))
		return NULL;
	return &((pte_t *)phys_to_virt(pte_phys(e)))[PTE_INDEX(va, 2)];
}
/* A level-2 entry has a leaf table: it points to it, or maps the pages that the table lists (huge.c). */
static inline bool link_is_set(pte_t e)
{
	return (e & (PTE_PRESENT | PTE_HUGE)) != 0;
}
static inline bool link_is_huge(pte_t e)
{
	return (e & PTE_HUGE) != 0;
}
/* The leaf table behind a huge level-2 entry; NULL: it is none any more. */
struct folio *huge_table(const pte_t *entry);
/* The leaf table that a level-2 entry has, and the entry as it was then; NULL: none. */
static inline struct folio *link_table(const pte_t *entry, pte_t *seen)
{
	struct folio *f;

	do {
		*seen = READ_ONCE(*entry);
		if (!link_is_set(*seen))
			return NULL;
		f = likely(!link_is_huge(*seen)) ? phys_to_frame(pte_phys(*seen)) :
						   huge_table(entry);
	} while (unlikely(!f));
	return f;
}
/* The leaf table for va, to be read, or NULL. */
static inline pte_t *table_find(const struct aspace *a, u64 va)
{
	const pte_t *entry = leaf_entry(a, va);
	pte_t e;
	struct folio *f = entry ? link_table(entry, &e) : NULL;

	return f ? folio_address(f) : NULL;
}
static inline struct folio *table_folio(const pte_t *table)
{
	return phys_to_frame(direct_to_phys(table));
}
/* The level-2 entry points to a leaf table that no other address space has too. */
static inline bool table_link_is_own(pte_t e)
{
	return (e & (PTE_PRESENT | PTE_SOFT_SHARED_TABLE | PTE_HUGE)) == PTE_PRESENT;
}
/* The same if this address space alone has it, so that entries may be changed; NULL: shared, or a huge entry. */
static inline pte_t *table_find_own(const struct aspace *a, u64 va)
{
	const pte_t *entry = leaf_entry(a, va);
	pte_t e = entry ? READ_ONCE(*entry) : 0;

	return table_link_is_own(e) ? phys_to_virt(pte_phys(e)) : NULL;
}
/* With tables made where they are missing, a copy where the leaf table is shared, and a huge entry split;
 * alloc flags ALLOC_NOWAIT or 0; NULL: no memory. */
pte_t *table_get(struct aspace *a, u64 va, u32 flags);
/* The level-2 entry, made with what is above it; NULL: no memory. */
pte_t *leaf_entry_get(struct aspace *a, u64 va, u32 flags);
/* The first address above the 2 MiB of va that has a leaf table; at least `end` if there is none below. */
u64 leaf_entry_skip(const struct aspace *a, u64 va, u64 end);
/* The first level-2 entry from *va on that has a leaf table, and the address where the search found
 * it; NULL: none below `end`. */
static inline pte_t *leaf_entry_next(const struct aspace *a, u64 *va, u64 end)
{
	for (u64 at = *va; at < end; at = leaf_entry_skip(a, at, end)) {
		pte_t *entry = leaf_entry(a, at);

		if (likely(entry && link_is_set(READ_ONCE(*entry)))) {
			*va = at;
			return entry;
		}
	}
	*va = end;
	return NULL;
}
/* Takes the empty leaf table of the 2 MiB at va out; NULL: there is none, or it is not empty. */
struct folio *table_detach(struct aspace *a, u64 va);
struct folio *table_alloc(struct aspace *a, u32 flags);
/* A table that stays until the address space ends; then *entry is 0 before it is freed. */
void upper_table_add(struct aspace *a, struct folio *f, pte_t *entry);
void table_free(struct aspace *a, struct folio *table);
/* Drops all pages of a leaf table that nobody else uses any more; `first`: where to look first. */
void leaf_free(struct folio *tf, u32 first);
/* The first occupied entry from p on, or `end`; of a whole table, or of the low part of one. */
static inline pte_t *entry_next(pte_t *p, pte_t *end)
{
	if (p < end && *p)
		return p;
	while (p + 4 <= end && (p[0] | p[1] | p[2] | p[3]) == 0)
		p += 4;
	while (p < end && *p == 0)
		p++;
	return p;
}
/* The same said of all, seen without the table's lock. */
static inline bool entries_are_absent(const pte_t *p, const pte_t *end)
{
	while (p + 8 <= end) {
		if (p[0] | p[1] | p[2] | p[3] | p[4] | p[5] | p[6] | p[7])
			return false;
		p += 8;
	}
	while (p < end && *p == 0)
		p++;
	return p == end;
}
/* Everything, at the end of the address space; no CPU uses it. */
void table_free_all(struct aspace *a);
pte_t *table_alloc_top(void);

/* Entry bits for a page of a mapping, without the write bit. */
static inline u64 mapping_pte_bits(u32 flags)
{
	return PTE_USER | PTE_ACCESSED | (flags & MAPPING_EXEC ? 0 : PTE_NX) |
	       (flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC) ? PTE_PRESENT : 0);
}
/* An occupied entry may be not present: PROT_NONE keeps the page. */
static inline bool pte_is_special(pte_t e)
{
	return (e & PTE_SOFT_SPECIAL) != 0;
}

/* Where the address space's own page stands in for the one of the vDSO that says nothing: that one's frame
 * number, the page_offset of what maps it. */
static inline u64 kernel_page_index(void)
{
	return virt_to_phys(vdso_process_unknown) >> PAGE_SHIFT;
}

/* ---- share.c: leaf tables that several address spaces have after a fork ---- */

#define TABLE_LINK (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)

static inline bool table_entry_is_shared(pte_t e)
{
	return (e & PTE_SOFT_SHARED_TABLE) != 0;
}
void share_init(void);
/* The table that a level-2 entry has, locked; NULL: none. */
struct folio *table_lock(pte_t *entry);
/* The analysis cannot follow a lock that is in what a function returns. */
static inline void table_unlock(struct folio *table) __no_lock_check
{
	spin_unlock(&table->table_lock);
}
/* n more (or fewer) entries map f and hold a reference each: both counts at once. */
static inline void folio_add_mapped(struct folio *f, s32 n)
{
	static_assert(offsetof(struct folio, map_count) == offsetof(struct folio, refs) + 4 &&
		      offsetof(struct folio, refs) % 8 == 0 && sizeof(f->refs) == 4);
	atomic_add((u64 *)&f->refs, (u64)n * ((1ull << 32) + 1));
}
/* What `nr` new entries of a folio make of its counts; it comes with one reference. */
static inline void folio_add_entries(struct folio *f, u32 nr)
{
	if (nr > 1)
		atomic_add(&f->refs.count, nr - 1);
	if (nr)
		atomic_add(&f->map_count, nr);
	else
		folio_put(f);
}
/* For a second entry beside e, a reference on its folio; false: a page of a cache, where it is found again. */
static inline bool entry_hold(pte_t e)
{
	struct folio *f = phys_to_folio(pte_phys(e));

	if (f->kind != FOLIO_ANON)
		return false;
	folio_add_mapped(f, 1);
	return true;
}
/* Makes *from, which is e, read-only, for its page gets a second entry: that one's value. */
static inline pte_t entry_make_cow(pte_t *from, pte_t e)
{
	if (likely((e & (PTE_WRITE | PTE_SOFT_COW)) == PTE_SOFT_COW))
		return e;
	/* present: the processor may set DIRTY between read and write */
	while (unlikely(!atomic_cas_update(from, &e, (e & ~PTE_WRITE) | PTE_SOFT_COW)))
		;
	return (e & ~PTE_WRITE) | PTE_SOFT_COW;
}
/* At fork, for the 2 MiB of va in m, whose level-2 entry is given: 1 when the child has the parent's table, 0 when entries are to be
 * copied, or -ENOMEM. */
int table_share(struct aspace *from, pte_t *entry, struct aspace *to, const struct mapping *m,
		u64 va);
/* The same for as many tables from *va on as lie wholly in m, one after the other; moves *va behind them. */
int tables_share(struct aspace *from, pte_t *entry, struct aspace *to, const struct mapping *m,
		 u64 *va);
/* The table behind a level-2 entry becomes this address space's own: 0 or -ENOMEM. */
int table_unshare(struct aspace *a, pte_t *entry, u64 va, u32 flags);
/*
 * Before entries of [start, end) change: shared tables that have any become own, but for those that
 * tables_drop will take, wholly inside [floor, ceiling).  0 or -ENOMEM; `lock` is held.
 */
int tables_own_slow(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling);
static inline int __must_check tables_own(struct aspace *a, u64 start, u64 end, u64 floor,
					  u64 ceiling)
{
	return likely(READ_ONCE(a->nr_shared_tables) == 0) ?
		       0 :
		       tables_own_slow(a, start, end, floor, ceiling);
}
struct tlb_batch;
/* Lets go of the shared tables of [start, end) that lie wholly inside [floor, ceiling). */
void tables_drop(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling, struct tlb_batch *b);
/* One address space less has the table, and no CPU uses it through that one; the last frees it. */
void table_leave(struct aspace *a, struct folio *table);

/* ---- huge.c: entries that map 2 MiB ---- */

void huge_init(void);
/* Whether a fault at `address` of m, with these flags and this cache, may bring 2 MiB.  Under RCU. */
bool huge_is_wanted(struct aspace *a, const struct mapping *m, u64 address, u32 flags);
/* Brings them; false: it can't, one page will do.  May sleep. */
bool huge_fault(struct aspace *a, u64 address);
/* Whether a fault at `address` of m may map 2 MiB of a file, if it has them, by one entry.  Under RCU. */
bool huge_file_fits(const struct aspace *a, const struct mapping *m, u64 address);
/* Does it; false: it can't, or they are not whole any more. */
bool huge_file_map(struct aspace *a, u64 address);
/* A fault that met a huge entry: true if it gives the access (ACCESS_) now, else it is split, or was.
 * `flags` are the mapping's, in this state of the tree. */
bool huge_settle(struct aspace *a, pte_t *entry, u64 address, u32 access, u32 flags, u32 sequence);
/* The entry points to its table again, which is locked and may then be changed. */
void huge_split_locked(struct aspace *a, pte_t *entry, struct folio *table, u64 va);
/* The same if it is huge, for who has found the table full. */
static inline void huge_split_full_locked(struct aspace *a, pte_t *entry, struct folio *table,
					  u64 va)
{
	if (unlikely(link_is_huge(READ_ONCE(*entry))))
		huge_split_locked(a, entry, table, va);
}
void huge_split(struct aspace *a, pte_t *entry, u64 va);
/* All of [start, end), with one flush; the lock is held for writing. */
void huge_split_range(struct aspace *a, u64 start, u64 end);
/* The table behind a huge entry, locked; NULL: look at the entry again.  Under RCU. */
struct folio *huge_table_lock(const pte_t *entry);
__cold bool huge_is_mapped(const struct aspace *a, u64 va);
/* What the table behind a huge entry, or 0, has for va: by the entry alone. */
static inline pte_t huge_page_entry(pte_t e, u64 va)
{
	return e ? ((e & ~PTE_HUGE) | PTE_PRESENT) + (va & (HUGE_SIZE - PAGE_SIZE)) : 0;
}
/* Before entries of [start, end) get other rights: splits what is not wholly in it; true: still huge. */
bool huge_protect_locked(struct aspace *a, pte_t *entry, struct folio *table, u64 start, u64 end,
			 u32 flags);
/* Takes out the pages of a huge entry: true; or splits it, if [start, end) is not all that it maps.  With a
 * cache, pages of that one only. */
__cold bool huge_zap(struct aspace *a, u64 start, u64 end, const struct page_cache *only_cache);
/* At the end of the address space: the table, which the entry, with this value, no longer has. */
struct folio *huge_detach(pte_t *entry, pte_t was);

/* ---- tlb.c ---- */

#define TLB_BATCH_FOLIOS 60u
#define TLB_BATCH_TABLES 16u

struct tlb_batch {
	struct aspace *aspace;
	u64 start, end; /* to flush */
	u32 nr, nr_tables;
	struct folio *tables; /* linked by head */
	struct folio *folios[TLB_BATCH_FOLIOS]; /* references to drop after the flush */
	struct folio *shared[TLB_BATCH_TABLES]; /* shared tables to leave */
};
static inline void tlb_batch_init(struct tlb_batch *b, struct aspace *a)
{
	b->aspace = a;
	b->start = U64_MAX;
	b->end = 0;
	b->nr = b->nr_tables = 0;
	b->tables = NULL;
}
static inline void tlb_batch_add_range(struct tlb_batch *b, u64 start, u64 end)
{
	b->start = min(b->start, start);
	b->end = max(b->end, end);
}
/* Flushes on every CPU that may hold entries, then drops the folios; sleeps not, but needs
 * interrupts on and no spin lock held. */
void tlb_batch_finish_slow(struct tlb_batch *b);
static inline void tlb_batch_finish(struct tlb_batch *b)
{
	if (b->end) /* nothing is in the batch without a range */
		tlb_batch_finish_slow(b);
}
extern struct static_key pcid_key; /* CPUs keep entries of what they have not loaded */
void tlb_name_aspace(struct aspace *a);
/* Of a fresh one: what tells it from all others. */
static inline void tlb_init_aspace(struct aspace *a)
{
	if (static_key_is_on(&pcid_key))
		tlb_name_aspace(a);
}
void aspace_flush(struct aspace *a, u64 start, u64 end);
/* No CPU has the address space loaded afterwards. */
void aspace_unload(struct aspace *a);

/* ---- zap.c ---- */

struct zap_filter {
	struct page_cache *only_cache; /* NULL: all pages; else only those of this cache */
};
/* Empties [start, end); the batch is not finished. */
void zap_range(struct aspace *a, u64 start, u64 end, const struct zap_filter *filter,
	       struct tlb_batch *b);
/* The same where [start, end) lies in one leaf table, which is the address space's own and stays so: `lock` is
 * held for writing. */
void zap_own_table(struct aspace *a, pte_t link, u64 start, u64 end, struct tlb_batch *b);
/* Frees the empty leaf tables of [va, stop), whole ones. */
void zap_tables_between(struct aspace *a, u64 va, u64 stop, struct tlb_batch *b);
/* Frees leaf tables wholly inside [floor, ceiling) that overlap [start, end). */
static inline void zap_tables(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling,
			      struct tlb_batch *b)
{
	u64 va = max(align_down(start, HUGE_SIZE), align_up(floor, HUGE_SIZE));
	u64 stop = min(align_up(end, HUGE_SIZE), align_down(ceiling, HUGE_SIZE));

	if (va < stop)
		zap_tables_between(a, va, stop, b);
}
void aspace_count_resident(struct aspace *a, const struct folio *f, s64 nr);

/* ---- fault.c ---- */

enum fault_result {
	FAULT_DONE,
	FAULT_SEGV_MAPERR,
	FAULT_SEGV_ACCERR,
	FAULT_BUS,
	FAULT_NO_MEMORY,
	FAULT_KILLED,
};
#define ACCESS_READ 1u
#define ACCESS_WRITE 2u
#define ACCESS_EXEC 4u
#define ACCESS_FORCE 8u /* debugger: protection counts as MAY_ flags */
void fault_init(void);
enum fault_result fault_resolve(struct aspace *a, u64 address, u32 access);

/* ---- start.c: pages that a start of a program touches ---- */
void start_init(void);
/* The end of an address space: what it has touched is learnt, or the set it used is let go. */
void start_end(struct aspace *a);
/* A page of a private mapping of a file was faulted in, if start_is_learning. */
void start_note(struct aspace *a, const struct page_cache *c, u64 page, bool written);
/* The same for a page of a cache that was mapped by `entry` and has been copied. */
void start_note_copy(struct aspace *a, const struct folio *f, pte_t entry);
bool start_is_learning(const struct aspace *a);
void start_mapped_slow(struct aspace *a, const struct map_request *r, u64 start, u64 length,
		       u32 flags);
/* A mapping was made; the lock is held for writing. */
static inline void start_mapped(struct aspace *a, const struct map_request *r, u64 start,
				u64 length, u32 flags)
{
	if (a->start || a->notes)
		start_mapped_slow(a, r, start, length, flags);
}

/* ---- map.c: with the lock held for writing ---- */
int unmap_locked(struct aspace *a, u64 start, u64 end);
/* The page-table side of it: the range is out of the tree. */
void unmap_pages_locked(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling);
/* A page for a fault of m, which may have changed, on a machine of several nodes.  Under RCU. */
struct folio *folio_alloc_by_policy(const struct mapping *m, u64 address, u32 flags);
/* The same, waiting for memory.  *bound: of some nodes only, where no victim makes room. */
struct folio *folio_alloc_waiting(struct aspace *a, u64 address, bool *bound);
/* Extends a mapping that grows down, so that it holds `address`, unless one does: 0, -ENOMEM (it must not, or
 * there is none), -EINTR (killed).  Takes the lock. */
int aspace_grow_stack(struct aspace *a, u64 address);
/* Can `nr` pages with these flags be added: limits of address space, data, count. */
int aspace_may_expand(struct aspace *a, u32 flags, u64 nr_pages);
int aspace_may_lock(struct aspace *a, u64 nr_pages);
bool range_is_user(u64 address, u64 length);
