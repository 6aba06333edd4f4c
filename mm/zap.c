/* Taking page-table entries out, and changing their rights, over a range. */
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

/* Does the filter leave this page alone? */
static bool zap_skips(const struct zap_filter *filter, const struct folio *f)
{
	return filter && filter->only_cache &&
	       (f->kind != FOLIO_FILE || f->cache != filter->only_cache);
}

/*
 * Entries [first, last) of one leaf table, its lock held, until the batch is
 * full; returns the index reached.
 */
static u32 zap_leaf_locked(struct aspace *a, pte_t *table, u32 first, u32 last, u64 base,
			   const struct zap_filter *filter, struct tlb_batch *b)
{
	u32 i, cleared = 0;
	s64 anon = 0, start_index = -1;

	for (i = first; i < last && b->nr < TLB_BATCH_FOLIOS; i++) {
		pte_t e = table[i];

		if (e == 0)
			continue;
		if (!pte_is_special(e)) {
			struct folio *f = phys_to_folio(pte_phys(e));

			if (unlikely(zap_skips(filter, f)))
				continue;
			if (f->kind == FOLIO_ANON) {
				anon++;
			} else {
				aspace_count_resident(a, f, -1);
				/* what the hardware noted belongs to the folio now */
				if ((e & PTE_DIRTY) && (e & PTE_WRITE))
					folio_set_flag(f, FOLIO_REFERENCED);
			}
			atomic_sub(&f->map_count, 1);
			b->folios[b->nr++] = f;
		} else if (filter && filter->only_cache) {
			continue;
		}
		/* the processor may set bits in a present entry at any time */
		atomic_xchg(&table[i], 0);
		cleared++;
		if (start_index < 0)
			start_index = i;
		tlb_batch_add_range(b, base + (u64)i * PAGE_SIZE, base + (u64)(i + 1) * PAGE_SIZE);
	}
	if (anon)
		atomic_sub(&a->resident_anon, anon);
	table_folio(table)->nr_present -= cleared;
	return i;
}

void zap_range(struct aspace *a, u64 start, u64 end, const struct zap_filter *filter,
	       struct tlb_batch *b)
{
	for (u64 va = start; va < end;) {
		u64 stop = min(end, align_down(va, HUGE_SIZE) + HUGE_SIZE);
		pte_t *table = table_find(a, va);

		if (!table) {
			va = stop < end ? table_skip(a, stop, end) : stop;
			continue;
		}
		struct folio *tf = table_folio(table);

		if (READ_ONCE(tf->nr_present) == 0) {
			/* a fault that still adds a page has seen the sequence from before: it
			 * looks again under this lock */
			spin_lock(&tf->table_lock);
			bool empty = tf->nr_present == 0;

			spin_unlock(&tf->table_lock);
			if (empty) {
				va = stop;
				continue;
			}
		}
		u32 first = (u32)PTE_INDEX(va, 1);
		u32 last = first + (u32)((stop - va) >> PAGE_SHIFT);

		spin_lock(&tf->table_lock);
		u32 reached = zap_leaf_locked(a, table, first, last, align_down(va, HUGE_SIZE),
					      filter, b);

		spin_unlock(&tf->table_lock);
		va += (u64)(reached - first) * PAGE_SIZE;
		if (b->nr == TLB_BATCH_FOLIOS)
			tlb_batch_finish(b);
	}
}

void zap_tables(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling, struct tlb_batch *b)
{
	u64 va = max(align_down(start, HUGE_SIZE), align_up(floor, HUGE_SIZE));
	u64 stop = min(align_up(end, HUGE_SIZE), align_down(ceiling, HUGE_SIZE));

	while (va < stop) {
		struct folio *f = table_detach(a, va);

		if (f) {
			f->table_rcu.next = (struct rcu_head *)b->tables;
			b->tables = f;
			/* walkers' caches of upper entries go with any page of the range */
			tlb_batch_add_range(b, va, va + PAGE_SIZE);
		}
		va += HUGE_SIZE;
		if (va < stop)
			va = table_skip(a, va, stop);
	}
}

/* The entry under new rights; private pages get the write bit only when nobody shares them. */
static pte_t pte_protect(pte_t e, u32 flags)
{
	pte_t bits = mapping_pte_bits(flags);
	pte_t keep = e & (PTE_ADDRESS | PTE_DIRTY | PTE_ACCESSED | PTE_SOFT_COW | PTE_SOFT_SPECIAL |
			  PTE_NO_CACHE | PTE_WRITE_THROUGH);

	bits |= keep;
	if (!(flags & MAPPING_WRITE))
		return bits;
	if (e & PTE_WRITE)
		return bits | PTE_WRITE;
	if (!(flags & MAPPING_SHARED) && !pte_is_special(e) && (e & PTE_DIRTY)) {
		const struct folio *f = phys_to_folio(pte_phys(e));

		if (f->kind == FOLIO_ANON && ref_read(&f->refs) == 1)
			bits |= PTE_WRITE;
	}
	return bits;
}

void protect_range(struct aspace *a, u64 start, u64 end, u32 flags, struct tlb_batch *b)
{
	for (u64 va = start; va < end;) {
		u64 stop = min(end, align_down(va, HUGE_SIZE) + HUGE_SIZE);
		pte_t *table = table_find(a, va);

		if (!table) {
			va = stop < end ? table_skip(a, stop, end) : stop;
			continue;
		}
		scoped_spin(&table_folio(table)->table_lock);
		for (; va < stop; va += PAGE_SIZE) {
			pte_t *p = &table[PTE_INDEX(va, 1)], old = *p;

			if (old == 0)
				continue;
			pte_t new = pte_protect(old, flags);

			if (new == old)
				continue;
			/* present: the processor may set DIRTY between read and write */
			while (!atomic_cas_update(p, &old, new))
				new = pte_protect(old, flags);
			/* rights that others may still use */
			if ((old & PTE_PRESENT) &&
			    ((old & PTE_WRITE & ~new) || !(new & PTE_PRESENT) || (new & ~old & PTE_NX)))
				tlb_batch_add_range(b, va, va + PAGE_SIZE);
		}
	}
}
