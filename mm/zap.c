/* Taking page-table entries out over a range. */
#include "aspace_internal.h"

void aspace_count_resident(struct aspace *a, const struct folio *f, s64 nr)
{
	if (f->kind == FOLIO_ANON)
		atomic_add(&a->resident_anon, nr);
	else if (folio_has_flag(f, FOLIO_UNEVICTABLE))
		atomic_add(&a->resident_shmem, nr);
	else
		atomic_add(&a->resident_file, nr);
}

/* What a pass over a leaf table took out, by sort. */
struct zap_count {
	s64 anon, file, shmem;
};

static inline void zap_count_apply(struct aspace *a, const struct zap_count *n)
{
	if (n->anon)
		atomic_sub(&a->resident_anon, n->anon);
	if (n->file)
		atomic_sub(&a->resident_file, n->file);
	if (n->shmem)
		atomic_sub(&a->resident_shmem, n->shmem);
}

/* What an entry may have but a page of anonymous memory by itself, for the counts; false: not to be
 * taken out. */
static inline bool zap_folio_other(const struct folio *f, const struct page_cache *only_cache,
				   struct zap_count *n)
{
	if (only_cache && (f->kind != FOLIO_FILE || f->cache != only_cache))
		return false;
	if (f->kind == FOLIO_ANON)
		return true;
	if (folio_has_flag(f, FOLIO_UNEVICTABLE))
		n->shmem++;
	else
		n->file++;
	return true;
}

/*
 * Entries [first, last) of one leaf table, its lock held, of which the first is
 * occupied, until the batch is full; returns the index reached.
 */
static __always_inline u32 zap_leaf_some(struct aspace *a, pte_t *table, u32 first, u32 last,
					 u64 base, const struct page_cache *only_cache,
					 struct tlb_batch *b)
{
	struct folio *tf = table_folio(table), **from = b->folios + b->nr, **to = from;
	struct folio **const full = b->folios + TLB_BATCH_FOLIOS;
	pte_t *p = table + first, *end = table + last, *high = p;
	u32 nr_special = 0, nr_left = 0;
	struct zap_count n = { 0 };

	while (p < end && to < full) {
		/* up to an absent entry no other check is needed: each fills one place at most */
		pte_t *stop = p + min((u64)(end - p), (u64)(full - to));

		for (; p < stop; p++) {
			pte_t e = *p;

			if (unlikely(e == 0))
				break;
			if (unlikely(pte_is_special(e))) {
				if (only_cache) {
					nr_left++;
					continue;
				}
				nr_special++;
			} else {
				struct folio *f = phys_to_frame(pte_phys(e));

				if (only_cache || unlikely(!frame_is_single_anon(f))) {
					f = frame_folio(f);
					if (!zap_folio_other(f, only_cache, &n)) {
						nr_left++;
						continue;
					}
				}
				atomic_sub(&f->map_count, 1);
				*to++ = f;
			}
			/* that the processor may set bits meanwhile does not matter: they are not looked at */
			WRITE_ONCE(*p, 0);
		}
		high = p;
		if ((u32)(to - from) + nr_special + nr_left == tf->nr_present)
			p = end;
		else
			p = entry_next(p, end);
	}
	u32 nr_folios = (u32)(to - from), nr = nr_folios + nr_special;

	tf->nr_present -= (u16)nr;
	tf->nr_special -= (u16)nr_special;
	b->nr += nr_folios;
	if (nr) {
		tlb_batch_add_range(b, base + (u64)first * PAGE_SIZE,
				    base + (u64)(high - table) * PAGE_SIZE);
		n.anon = (s64)nr_folios - n.file - n.shmem;
		zap_count_apply(a, &n);
	}
	return (u32)(p - table);
}

static __noinline u32 zap_leaf_cache(struct aspace *a, pte_t *table, u32 first, u32 last, u64 base,
				     const struct page_cache *only_cache, struct tlb_batch *b)
{
	return zap_leaf_some(a, table, first, last, base, only_cache, b);
}

static __noinline u32 zap_leaf(struct aspace *a, pte_t *table, u32 first, u32 last, u64 base,
			       struct tlb_batch *b)
{
	return zap_leaf_some(a, table, first, last, base, NULL, b);
}

/* Empties [va, stop), which lies in the table behind `link`, as far as the batch goes; where it got to. */
static __always_inline u64 zap_table(struct aspace *a, pte_t link, u64 va, u64 stop,
				     const struct page_cache *only_cache, struct tlb_batch *b)
{
	pte_t *table = phys_to_virt(pte_phys(link));
	struct folio *tf = phys_to_frame(pte_phys(link));
	u32 first = (u32)PTE_INDEX(va, 1);
	u32 last = first + (u32)((stop - va) >> PAGE_SHIFT);
	u64 base = align_down(va, HUGE_SIZE);

	spin_lock(&tf->table_lock);
	/* often all of a small range */
	first = (u32)(entry_next(&table[first], &table[last]) - table);
	u32 reached = last;

	if (first < last) {
		if (unlikely(tf->nr_present == HUGE_PAGES) && huge_is_mapped(a, va))
			reached = first; /* by a fault, just now */
		else
			reached = only_cache ? zap_leaf_cache(a, table, first, last, base,
							      only_cache, b) :
					       zap_leaf(a, table, first, last, base, b);
	}
	spin_unlock(&tf->table_lock);
	if (unlikely(b->nr == TLB_BATCH_FOLIOS))
		tlb_batch_finish(b);
	return base + (u64)reached * PAGE_SIZE;
}

void zap_own_table(struct aspace *a, pte_t link, u64 start, u64 end, struct tlb_batch *b)
{
	do {
		start = zap_table(a, link, start, end, NULL, b);
	} while (unlikely(start < end));
}

void zap_range(struct aspace *a, u64 start, u64 end, const struct zap_filter *filter,
	       struct tlb_batch *b)
{
	const struct page_cache *only_cache = filter ? filter->only_cache : NULL;
	const pte_t *entry;

	for (u64 va = start; (entry = leaf_entry_next(a, &va, end));) {
		u64 stop = min(end, align_down(va, HUGE_SIZE) + HUGE_SIZE);
		pte_t link = READ_ONCE(*entry);

		if (unlikely(!table_link_is_own(link))) {
			/* a shared table has nothing here any more: tables_own */
			if (!link_is_huge(link) || huge_zap(a, va, stop, only_cache))
				va = stop;
			continue;
		}
		va = zap_table(a, link, va, stop, only_cache, b);
	}
}

void zap_tables_between(struct aspace *a, u64 va, u64 stop, struct tlb_batch *b)
{
	while (leaf_entry_next(a, &va, stop)) {
		struct folio *f = table_detach(a, va);

		if (f) {
			f->table_rcu.next = (struct rcu_head *)b->tables;
			b->tables = f;
			/* walkers' caches of upper entries go with any page of the range */
			tlb_batch_add_range(b, va, va + PAGE_SIZE);
		}
		va += HUGE_SIZE;
	}
}
