/*
 * Reclaim of page-cache folios: one clock list.  A folio that was used since
 * the hand passed gets a second round; a dirty one stays until it is synced; a mapped one is unmapped
 * first.  Memory-only folios are not in the list.
 */
#include "page_cache_internal.h"
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/list.h>
#include <nos/thread.h>

static struct spinlock lru_lock = SPINLOCK_INIT(RANK_LEAF);
static struct list lru __guarded_by(&lru_lock) = LIST_INIT(lru);
static u64 nr_lru; /* pages in the list */
static s64 nr_shmem, nr_dirty; /* pages */

void folio_lru_add(struct folio *f, bool memory)
{
	if (memory) {
		folio_set_flag(f, FOLIO_UNEVICTABLE);
		atomic_add(&nr_shmem, (s64)folio_nr_pages(f));
		return;
	}
	scoped_spin(&lru_lock);
	list_push_back(&lru, &f->lru);
	nr_lru += folio_nr_pages(f);
}

void folio_lru_remove(struct folio *f, bool memory)
{
	if (memory) {
		atomic_sub(&nr_shmem, (s64)folio_nr_pages(f));
		return;
	}
	scoped_spin(&lru_lock);
	list_remove(&f->lru);
	nr_lru -= folio_nr_pages(f);
}

void page_cache_count_dirty(s64 nr_pages)
{
	atomic_add(&nr_dirty, nr_pages);
}

/* The next folio under the hand, moved behind it; referenced, locked; NULL: try the next one. */
static struct folio *lru_next(void)
{
	scoped_spin(&lru_lock);
	struct folio *f = list_first(&lru, struct folio, lru);

	if (!f)
		return NULL;
	list_remove(&f->lru);
	list_push_back(&lru, &f->lru);
	if (folio_has_flag(f, FOLIO_REFERENCED)) {
		folio_clear_flag(f, FOLIO_REFERENCED);
		return NULL;
	}
	if (!folio_get_unless_zero(f))
		return NULL;
	if (!folio_try_lock(f)) {
		/* not the last reference: the tree has one, and its remover needs lru_lock */
		folio_put(f);
		return NULL;
	}
	return f;
}

/* Pages freed by dropping a locked, referenced folio: all or none. */
static u64 folio_reclaim(struct folio *f)
{
	struct page_cache *c = f->cache;
	u64 nr = folio_nr_pages(f);

	if (!c || folio_has_flag(f, FOLIO_WRITEBACK | FOLIO_MLOCKED))
		return 0;
	if (f->map_count && !page_cache_try_unmap(c, f->index, f->index + nr))
		return 0;
	return page_cache_evict(c, f) ? nr : 0;
}

u64 page_cache_reclaim(u64 nr_pages)
{
	u64 freed = 0;

	/* twice around at most: the first round may only clear the marks of use */
	for (u64 steps = 2 * READ_ONCE(nr_lru); steps > 0 && freed < nr_pages; steps--) {
		struct folio *f = lru_next();

		if (!f)
			continue;
		freed += folio_reclaim(f);
		folio_unlock(f);
		folio_put(f);
	}
	return freed;
}

void page_cache_stats_read(struct memory_stats *s)
{
	s->shmem = (u64)max(atomic_load_relaxed(&nr_shmem), (s64)0);
	s->dirty = (u64)max(atomic_load_relaxed(&nr_dirty), (s64)0);
}

void page_cache_system_init(void)
{
	folio_lock_init();
	page_cache_hint_init();
	read_ahead_init();
}
