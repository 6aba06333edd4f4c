/* Private to mm: the parts of the page cache that faults, reverse maps and reclaim share. */
#pragma once

#include <nos/aspace.h>
#include <nos/rcu.h>

/* Memory only: the folios are the file. */
static inline bool page_cache_is_memory(const struct page_cache *c)
{
	return !c->ops || !c->ops->read_folio;
}

/* f, which no lookup has found yet, is the cache's at `index`.  The index first: who still has a pointer to
 * the frame, and asks for its cache (page_cache_try_get), must not take it for what it was. */
static inline void folio_join_cache(struct folio *f, struct page_cache *c, u64 index)
{
	WRITE_ONCE(f->index, index);
	list_init(&f->lru);
	atomic_store(&f->cache, c);
}

/* Takes a reference on what was found at `index`; false: look again.  Under RCU. */
static inline bool page_cache_try_get(struct page_cache *c, u64 index, struct folio *f)
{
	if (!ref_get_unless_zero(&f->refs))
		return false;
	/* The cache first: it is set behind the index (folio_join_cache). */
	if (likely(atomic_load(&f->cache) == c && index - READ_ONCE(f->index) < folio_nr_pages(f)))
		return true;
	folio_put(f);
	return false;
}

/* start.c: a cache that ends is no program's any more. */
void start_forget_slow(struct page_cache *c);
static inline void start_forget(struct page_cache *c)
{
	if (unlikely(READ_ONCE(c->start)))
		start_forget_slow(c);
}
/* Until no truncation is under way; false when the thread is being killed. */
bool page_cache_wait_truncated(struct page_cache *c);
/* Drops a locked, clean, otherwise unused folio from its cache; the caller's reference stays. */
bool page_cache_evict(struct page_cache *c, struct folio *f);

/* lru.c: the clock list of evictable folios, and the counts of both sorts. */
void folio_lru_add(struct folio *f, bool memory);
void folio_lru_remove(struct folio *f, bool memory);
void page_cache_count_dirty(s64 nr_pages);

/* rmap.c: write-protects all shared mappings of pages [start, end), so that stores are seen. */
void page_cache_write_protect(struct page_cache *c, u64 start, u64 end);
/* The same as page_cache_unmap, false if the list of mappings is busy. */
bool page_cache_try_unmap(struct page_cache *c, u64 start, u64 end);

/*
 * A new folio of the unit that holds `index`: locked, not up to date, with the tree's reference only.
 * ERR: -EEXIST, -ENOMEM (it does not try hard).
 */
struct folio *page_cache_add_locked(struct page_cache *c, u64 index);
/* Takes such a folio out again and unlocks it; the caller has a reference. */
void page_cache_drop_locked(struct page_cache *c, struct folio *f);

/* read_ahead.c: a folio is used for the first time, or leaves the cache. */
void read_ahead_init(void);
void read_ahead_note_use(struct folio *f);
void read_ahead_note_drop(struct folio *f);

/* huge_file.c: 2 MiB of a file in memory.  Some file may take them: */
#define HUGE_PAGES (HUGE_SIZE / PAGE_SIZE)
extern bool huge_files;
void huge_file_init(void);
void huge_file_stats_read(struct huge_stats *s);
/* NEVER, ALWAYS, WITHIN_SIZE or ADVISE; NULL: shared anonymous memory. */
enum huge_file huge_file_mode(const struct page_cache *c);
/* Whether the 2 MiB around `index` may come at once for a mapping with these flags; 0: for a write. */
bool huge_file_allows(const struct page_cache *c, u64 index, u32 flags);
/* Brings them, where page `index` was missing and `nr` from there on are wanted in all; true: look again. */
bool huge_file_bring_slow(struct page_cache *c, u64 index, u64 nr, u32 flags);
static inline bool huge_file_bring(struct page_cache *c, u64 index, u64 nr, u32 flags)
{
	return unlikely(READ_ONCE(huge_files)) && page_cache_is_memory(c) &&
	       huge_file_bring_slow(c, index, nr, flags);
}
/* A folio with FOLIO_BLOCK is going to leave the cache, whose lock is held. */
void huge_file_break_locked(struct page_cache *c, struct folio *f);

void folio_lock_init(void);
void page_cache_hint_init(void);
