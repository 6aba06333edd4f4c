/*
 * From a cache to its page-table entries: by the list of mappings, without a
 * record per page.
 *
 * The holder of mappings_lock may walk the page tables of every listed mapping
 * within the mapping's bounds: a mapping leaves the list before its tables go,
 * and its bounds change only under the lock.
 */
#include "aspace_internal.h"

/* The part of m that shows pages [first, end) of its cache; false: none. */
static bool mapping_overlap(const struct mapping *m, u64 first, u64 end, u64 *start, u64 *stop)
{
	u64 last = m->page_offset + mapping_pages(m);

	first = max(first, m->page_offset);
	end = min(end, last);
	if (first >= end)
		return false;
	*start = m->start + ((first - m->page_offset) << PAGE_SHIFT);
	*stop = m->start + ((end - m->page_offset) << PAGE_SHIFT);
	return true;
}

static void unmap_all_locked(struct page_cache *c, u64 first, u64 end, bool even_private)
	__must_hold(&c->mappings_lock)
{
	const struct zap_filter filter = { .only_cache = c };
	struct mapping *m;
	u64 start, stop;

	list_for_each(m, &c->mappings, cache_node) {
		struct tlb_batch b;

		if (!mapping_overlap(m, first, end, &start, &stop))
			continue;
		tlb_batch_init(&b, m->aspace);
		zap_range(m->aspace, start, stop, even_private ? NULL : &filter, &b);
		tlb_batch_finish(&b);
	}
}

void page_cache_unmap(struct page_cache *c, u64 start_page, u64 end_page, bool even_private)
{
	scoped_mutex(&c->mappings_lock);
	unmap_all_locked(c, start_page, end_page, even_private);
}

bool page_cache_try_unmap(struct page_cache *c, u64 start, u64 end)
{
	struct mapping *m;
	u64 first, stop;

	if (!mutex_try_lock(&c->mappings_lock))
		return false;
	bool locked = false;

	list_for_each(m, &c->mappings, cache_node)
		locked |= (m->flags & MAPPING_LOCKED) &&
			  mapping_overlap(m, start, end, &first, &stop);
	if (!locked)
		unmap_all_locked(c, start, end, false);
	mutex_unlock(&c->mappings_lock);
	return !locked;
}

/* Takes the write bit from entries [start, stop) of one shared mapping. */
static void write_protect_range(struct aspace *a, u64 start, u64 stop)
{
	struct tlb_batch b;

	tlb_batch_init(&b, a);
	for (u64 va = start; va < stop; va += PAGE_SIZE) {
		pte_t *table = table_find_own(a, va);

		if (!table)
			continue;
		scoped_spin(&table_folio(table)->table_lock);
		pte_t *e = &table[PTE_INDEX(va, 1)];

		if (atomic_fetch_and(e, ~(pte_t)PTE_WRITE) & PTE_WRITE)
			tlb_batch_add_range(&b, va, va + PAGE_SIZE);
	}
	tlb_batch_finish(&b);
}

void page_cache_write_protect(struct page_cache *c, u64 start, u64 end)
{
	struct mapping *m;
	u64 first, stop;

	if (READ_ONCE(c->nr_writable_shared) == 0)
		return;
	scoped_mutex(&c->mappings_lock);
	list_for_each(m, &c->mappings, cache_node)
		if ((m->flags & MAPPING_SHARED) && mapping_overlap(m, start, end, &first, &stop))
			write_protect_range(m->aspace, first, stop);
}
