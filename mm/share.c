/*
 * Leaf page tables that several address spaces have after a fork.
 *
 * Concepts.  fork does not copy a leaf table with many pages: the child's
 * level-2 entry points to the parent's table.  Both entries lack the write bit,
 * which overrides that of all entries below, and carry
 * PTE_SOFT_SHARED_TABLE; table_refs counts them.  The table holds one
 * reference on each of its pages for all who have it.  Who wants to change an
 * entry first makes the table its own: by a copy, in which every page gets
 * another reference and becomes read-only, or, when nobody else is left, by
 * taking the mark away.  Who unmaps all that it has of a table only leaves it.
 *
 * A huge entry (huge.c) is split first: its table is shared.  Only a table is shared in whose 2 MiB lie nothing but private anonymous
 * mappings, or the vDSO, that the child inherits: so whoever goes from a cache to its entries
 * meets no shared table with entries of that cache, and memory for a copy is
 * needed only where a system call may fail or a fault may wait.  Tables with
 * few pages are copied at once: a copy is then cheaper than the fault.
 *
 * Invariants.
 *   (1) while table_refs > 1 no entry of the table changes, but that a copy
 *       takes write bits, and that the processor sets PTE_ACCESSED;
 *   (2) a level-2 entry with the mark has no write bit; one without it points to
 *       a table with table_refs == 1;
 *   (3) an address space leaves a table (table_refs falls) only after all its
 *       CPUs have dropped what they cached of the way to it: the one that is
 *       left may change the table at once.
 *
 * Locking.  The level-2 entry of an existing table changes under that table's
 * table_lock; who took the lock through an entry looks at the entry again
 * (table_lock).  fork also moves tree_sequence, so that a fault that found the
 * table before, when it was its own, commits nothing to it.
 *
 * Boot switch: opt.fork_share.
 *
 * Rejected.  Sharing tables with file pages too (truncation and reclaim would have
 * to find and flush all who share); write-protecting the entries at fork (the
 * bit above them does it at once).
 *
 * References: Zhao, Gong and Fonseca, On-demand-fork (EuroSys 2021); Intel SDM
 * vol. 3, 4.6 (rights of all levels), 4.10.3 (caches of upper entries).
 */
#include "aspace_internal.h"

#include <nos/counter.h>
#include <nos/errno.h>
#include <nos/log.h>

#define SHARE_MIN_PAGES 64u /* fewer: the copy is cheaper than a fault */
#define SHARE_MAX_NEIGHBOURS 8u

DEFINE_COUNTER(tables_shared, "fork.tables_shared");
DEFINE_COUNTER(tables_copied, "fork.tables_copied_later");

static bool fork_share __ro_after_init = true;

void share_init(void)
{
	fork_share = boot_opt_enabled("fork_share");
}

/* The table that *entry points to, locked; NULL: none.  Under RCU. */
static inline __no_lock_check struct folio *table_lock_rcu(pte_t *entry)
{
	for (;;) {
		pte_t e = READ_ONCE(*entry);

		if (unlikely((e & (PTE_PRESENT | PTE_HUGE)) != PTE_PRESENT)) {
			struct folio *huge = e ? huge_table_lock(entry) : NULL;

			if (!e || huge)
				return huge;
			continue;
		}
		struct folio *f = phys_to_frame(pte_phys(e));

		spin_lock(&f->table_lock);
		if (likely(READ_ONCE(*entry) == e))
			return f;
		spin_unlock(&f->table_lock);
	}
}

struct folio *table_lock(pte_t *entry)
{
	scoped_rcu();

	return table_lock_rcu(entry);
}

/* ---- fork ---- */

static bool mapping_is_shareable(const struct mapping *m)
{
	return !m->cache && !m->file &&
	       !(m->flags & (MAPPING_SHARED | MAPPING_DONTFORK | MAPPING_WIPEONFORK));
}

/* Whether nothing else than such mappings lies in the 2 MiB from `base`, of which m has a part. */
static bool span_is_shareable(const struct mapping *m, u64 base)
{
	const struct mapping *other = m;
	u32 steps = 0;

	if (!mapping_is_shareable(m))
		return false;
	while (other->start > base) {
		other = mapping_prev(other);
		if (!other || other->end <= base)
			break;
		if (!mapping_is_shareable(other) || ++steps > SHARE_MAX_NEIGHBOURS)
			return false;
	}
	other = m;
	while (other->end < base + HUGE_SIZE) {
		other = mapping_next(other);
		if (!other || other->start >= base + HUGE_SIZE)
			break;
		if (!mapping_is_shareable(other) || ++steps > SHARE_MAX_NEIGHBOURS)
			return false;
	}
	return true;
}

/* What a fork has shared, to be counted at once. */
struct share_count {
	u32 nr, nr_marked; /* tables; of them, those that the parent had alone */
	s64 nr_anon; /* pages in them */
};

/* The parent's table, locked, becomes the child's too, unless it has too few pages. */
static inline bool share_locked(pte_t *entry, pte_t *child, struct folio *f, struct share_count *n)
{
	if (f->nr_present < SHARE_MIN_PAGES)
		return false;
	pte_t e = folio_to_phys(f) | (TABLE_LINK & ~PTE_WRITE) | PTE_SOFT_SHARED_TABLE;

	if (!table_entry_is_shared(*entry)) {
		ASSERT(f->table_refs == 1);
		WRITE_ONCE(*entry, e);
		n->nr_marked++;
	}
	f->table_refs++;
	*child = e;
	n->nr++;
	n->nr_anon += f->nr_present - f->nr_special;
	return true;
}

static void share_count_apply(struct aspace *from, struct aspace *to, const struct share_count *n)
{
	if (n->nr_marked)
		atomic_add(&from->nr_shared_tables, n->nr_marked);
	to->nr_shared_tables += n->nr;
	to->resident_anon += n->nr_anon;
	to->page_table_bytes += n->nr * PAGE_SIZE;
	counter_add(tables_shared, n->nr);
}

int tables_share(struct aspace *from, pte_t *entry, struct aspace *to, const struct mapping *m,
		 u64 *va)
{
	u64 at = *va, stop = min(m->end, align_down(at, PTE_SPAN(3)) + PTE_SPAN(3));
	struct share_count n = { 0 };

	if (at % HUGE_SIZE || at + HUGE_SIZE > stop || !fork_share || !mapping_is_shareable(m))
		return 0;
	pte_t *child = leaf_entry_get(to, at, ALLOC_USER);

	if (!child)
		return -ENOMEM;
	rcu_read_lock();
	for (; at + HUGE_SIZE <= stop; at += HUGE_SIZE, entry++, child++) {
		if (unlikely(link_is_huge(*entry))) /* not the first: that one was split */
			break;
		struct folio *f = table_lock_rcu(entry);

		if (!f)
			continue;
		bool shared = share_locked(entry, child, f, &n);

		table_unlock(f);
		if (!shared)
			break;
	}
	rcu_read_unlock();
	share_count_apply(from, to, &n);
	*va = at;
	return n.nr > 0;
}

int table_share(struct aspace *from, pte_t *entry, struct aspace *to, const struct mapping *m,
		u64 va)
{
	u64 base = align_down(va, HUGE_SIZE);
	pte_t *child;

	if (unlikely(!fork_share))
		return 0;
	if (m->start > base) { /* a mapping below may have decided for all of the table */
		child = leaf_entry(to, va);
		if (child && pte_is_present(*child))
			return table_entry_is_shared(*child);
	}
	if (READ_ONCE(phys_to_frame(pte_phys(READ_ONCE(*entry)))->nr_present) < SHARE_MIN_PAGES ||
	    !span_is_shareable(m, base))
		return 0;
	child = leaf_entry_get(to, va, ALLOC_USER);
	if (!child)
		return -ENOMEM;
	struct share_count n = { 0 };
	struct folio *f = table_lock(entry);
	bool shared = share_locked(entry, child, f, &n);

	table_unlock(f);
	share_count_apply(from, to, &n);
	return shared;
}

/* ---- on one's own again ---- */

void table_leave(struct aspace *a, struct folio *f)
{
	spin_lock(&f->table_lock);
	ASSERT(f->table_refs > 0);
	bool last = --f->table_refs == 0;

	if (last)
		f->table_refs = 1;
	spin_unlock(&f->table_lock);
	if (!last) {
		atomic_sub(&a->page_table_bytes, PAGE_SIZE);
		return;
	}
	leaf_free(f, 0);
	table_free(a, f);
}

/* A copy of the locked table that this address space has instead of it. */
static void copy_locked(struct folio *from, struct folio *to)
{
	pte_t *source = folio_address(from), *copy = folio_address(to);
	u32 left = from->nr_present;

	for (u32 i = 0; left; i++) {
		pte_t e = source[i];

		if (e == 0)
			continue;
		/* no page of a cache is in a shared table */
		VERIFY(pte_is_special(e) || entry_hold(e));
		copy[i] = entry_make_cow(&source[i], e);
		left--;
	}
	to->nr_present = from->nr_present;
	to->nr_special = from->nr_special;
}

int table_unshare(struct aspace *a, pte_t *entry, u64 va, u32 flags)
{
	struct folio *f, *copy = NULL;

	for (;;) {
		f = table_lock(entry);
		if (!f)
			break;
		if (!table_entry_is_shared(*entry) || f->table_refs == 1) {
			/* nobody else has it: entries that others copied are read-only */
			if (table_entry_is_shared(*entry)) {
				WRITE_ONCE(*entry, folio_to_phys(f) | TABLE_LINK);
				atomic_sub(&a->nr_shared_tables, 1u);
			}
			table_unlock(f);
			break;
		}
		if (copy) {
			copy_locked(f, copy);
			WRITE_ONCE(*entry, folio_to_phys(copy) | TABLE_LINK);
			atomic_sub(&a->nr_shared_tables, 1u);
			table_unlock(f);
			/* one page's flush drops all upper entries too (SDM vol. 3, 4.10.4.1) */
			aspace_flush(a, va & PAGE_MASK, (va & PAGE_MASK) + PAGE_SIZE);
			table_leave(a, f);
			counter_inc(tables_copied);
			return 0;
		}
		table_unlock(f);
		copy = table_alloc(a, flags);
		if (!copy)
			return -ENOMEM;
	}
	if (copy)
		table_free(a, copy);
	return 0;
}

/* ---- ranges ---- */

/* Whether the table has entries for the part of [start, end) in its 2 MiB. */
static bool table_is_used(pte_t *entry, u64 va, u64 stop)
{
	struct folio *f = table_lock(entry);
	bool used = false;

	if (!f)
		return false;
	for (const pte_t *table = folio_address(f); va < stop && !used; va += PAGE_SIZE)
		used = table[PTE_INDEX(va, 1)] != 0;
	table_unlock(f);
	return used;
}

int tables_own_slow(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling)
{
	pte_t *entry;

	for (u64 va = start; (entry = leaf_entry_next(a, &va, end));) {
		u64 base = align_down(va, HUGE_SIZE), stop = min(end, base + HUGE_SIZE);
		bool whole = base >= floor && base + HUGE_SIZE <= ceiling;

		if (!whole && table_entry_is_shared(READ_ONCE(*entry)) &&
		    table_is_used(entry, va, stop)) {
			int err = table_unshare(a, entry, va, ALLOC_USER);

			if (err)
				return err;
		}
		va = stop;
	}
	return 0;
}

void tables_drop(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling, struct tlb_batch *b)
{
	pte_t *entry;

	for (u64 va = start; (entry = leaf_entry_next(a, &va, end));) {
		u64 base = align_down(va, HUGE_SIZE);
		struct folio *f;

		va = min(end, base + HUGE_SIZE);
		if (base < floor || base + HUGE_SIZE > ceiling ||
		    !table_entry_is_shared(READ_ONCE(*entry)))
			continue;
		f = table_lock(entry);
		if (f && table_entry_is_shared(*entry)) {
			WRITE_ONCE(*entry, 0);
			atomic_sub(&a->nr_shared_tables, 1u);
			atomic_sub(&a->resident_anon, (s64)(f->nr_present - f->nr_special));
			b->shared[b->nr_tables++] = f;
			tlb_batch_add_range(b, base, base + HUGE_SIZE);
		}
		if (f)
			table_unlock(f);
		if (b->nr_tables == TLB_BATCH_TABLES)
			tlb_batch_finish(b);
	}
}
