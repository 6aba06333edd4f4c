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

/*
 * Entries [first, last) of one leaf table, its lock held, until the batch is
 * full; returns the index reached.
 */
static u32 zap_leaf_locked(struct aspace *a, pte_t *table, u32 first, u32 last, u64 base,
			   const struct zap_filter *filter, struct tlb_batch *b)
{
	struct folio *tf = table_folio(table);
	struct folio **to = b->folios + b->nr, **full = b->folios + TLB_BATCH_FOLIOS;
	struct zap_count n = { 0 };
	u32 i, left = tf->nr_present, low = last, high = first;

	for (i = first; i < last && left && to < full; i++) {
		pte_t e = table[i];

		if (e == 0)
			continue;
		left--;
		if (!pte_is_special(e)) {
			struct folio *f = phys_to_folio(pte_phys(e));

			if (unlikely(filter && zap_skips(filter, f)))
				continue;
			if (f->kind == FOLIO_ANON)
				n.anon++;
			else if (folio_has_flag(f, FOLIO_UNEVICTABLE))
				n.shmem++;
			else
				n.file++;
			atomic_sub(&f->map_count, 1);
			*to++ = f;
		} else if (filter && filter->only_cache) {
			continue;
		} else {
			tf->nr_special--;
		}
		/* the processor may set bits in a present entry at any time */
		atomic_xchg(&table[i], 0);
		tf->nr_present--;
		low = min(low, i);
		high = i + 1;
	}
	b->nr = (u32)(to - b->folios);
	if (high > low)
		tlb_batch_add_range(b, base + (u64)low * PAGE_SIZE, base + (u64)high * PAGE_SIZE);
	zap_count_apply(a, &n);
	return left || to == full ? i : last;
}

void zap_range(struct aspace *a, u64 start, u64 end, const struct zap_filter *filter,
	       struct tlb_batch *b)
{
	const pte_t *entry;

	for (u64 va = start; (entry = leaf_entry_next(a, &va, end));) {
		u64 stop = min(end, align_down(va, HUGE_SIZE) + HUGE_SIZE);
		pte_t link = READ_ONCE(*entry);

		/* a table that is still shared has nothing in this range: tables_own */
		if (!pte_is_present(link) || table_entry_is_shared(link)) {
			va = stop;
			continue;
		}
		pte_t *table = phys_to_virt(pte_phys(link));
		struct folio *tf = table_folio(table);
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

/* How entries change under new rights, but for the write bit when it is to be set. */
struct protect_change {
	pte_t clear, set;
	bool may_write; /* private pages without sharers, and shared mappings, become writable */
	bool shared;
};

static struct protect_change protect_plan(u32 flags)
{
	struct protect_change c = {
		.set = mapping_pte_bits(flags),
		.may_write = flags & MAPPING_WRITE,
		.shared = flags & MAPPING_SHARED,
	};

	c.clear = (PTE_PRESENT | PTE_NX | PTE_USER) & ~c.set;
	if (!c.may_write)
		c.clear |= PTE_WRITE;
	return c;
}

static inline pte_t pte_protect(pte_t e, const struct protect_change *c)
{
	pte_t new = (e & ~c->clear) | c->set;

	if (c->may_write && !(e & PTE_WRITE) && (e & PTE_DIRTY) && !c->shared &&
	    !pte_is_special(e)) {
		const struct folio *f = phys_to_folio(pte_phys(e));

		if (f->kind == FOLIO_ANON && ref_read(&f->refs) == 1)
			new |= PTE_WRITE;
	}
	return new;
}

/* Entries [first, last) of a leaf table, its lock held. */
static void protect_leaf_locked(pte_t *table, u32 first, u32 last, u64 base,
				const struct protect_change *c, struct tlb_batch *b)
{
	u32 left = table_folio(table)->nr_present, low = last, high = first;

	for (u32 i = first; i < last && left; i++) {
		pte_t old = table[i];

		if (old == 0)
			continue;
		left--;
		pte_t new = pte_protect(old, c);

		if (new == old)
			continue;
		/* present: the processor may set DIRTY between read and write */
		while (unlikely(!atomic_cas_update(&table[i], &old, new)))
			new = pte_protect(old, c);
		/* rights that others may still use */
		if ((old & ~new &(PTE_PRESENT | PTE_WRITE)) ||
		    ((new & ~old &PTE_NX) && (old & PTE_PRESENT))) {
			low = min(low, i);
			high = i + 1;
		}
	}
	if (high > low)
		tlb_batch_add_range(b, base + (u64)low * PAGE_SIZE, base + (u64)high * PAGE_SIZE);
}

void protect_range(struct aspace *a, u64 start, u64 end, u32 flags, struct tlb_batch *b)
{
	const struct protect_change c = protect_plan(flags);

	const pte_t *entry;

	for (u64 va = start; (entry = leaf_entry_next(a, &va, end));) {
		u64 stop = min(end, align_down(va, HUGE_SIZE) + HUGE_SIZE);
		pte_t link = READ_ONCE(*entry);

		if (!pte_is_present(link) || table_entry_is_shared(link)) {
			va = stop;
			continue;
		}
		pte_t *table = phys_to_virt(pte_phys(link));
		u32 first = (u32)PTE_INDEX(va, 1);
		u32 last = first + (u32)((stop - va) >> PAGE_SHIFT);

		spin_lock(&table_folio(table)->table_lock);
		protect_leaf_locked(table, first, last, align_down(va, HUGE_SIZE), &c, b);
		spin_unlock(&table_folio(table)->table_lock);
		va = stop;
	}
}
