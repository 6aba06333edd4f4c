/*
 * mprotect: rights of mappings, and of the entries below them.
 *
 * The range is done mapping by mapping; what can be changed before the first
 * obstacle is changed, as on Linux.  A part of a mapping that a neighbour with
 * those rights can take over only moves the bound between the two.
 *
 * Entries.  One that is not present, or has both PTE_ACCESSED and PTE_DIRTY, is
 * steady: the processor does not write to it (SDM vol. 3, 4.8), so under the leaf
 * lock it may be stored to.  Others are exchanged.  Most ranges consist of pages
 * that are alike in all but their address: what they need is found once, and is
 * the same exclusive-or for each.
 */
#include "aspace_internal.h"

#include <nos/errno.h>

#include <asm/mman.h>
#include <asm/resource.h>

static_assert(MAPPING_MAY_READ / MAPPING_READ == MAPPING_MAY_WRITE / MAPPING_WRITE &&
		      MAPPING_MAY_READ / MAPPING_READ == MAPPING_MAY_EXEC / MAPPING_EXEC,
	      "what may be added is the rights by one shift");

/* ---- entries ---- */

#define ENTRY_FLAGS (~PTE_ADDRESS)
#define STEADY (PTE_ACCESSED | PTE_DIRTY)
#define GROUP 8u

/* What entry `old`, which is not 0, becomes in a mapping with these flags. */
static pte_t protect_new(u32 flags, pte_t old)
{
	pte_t set = mapping_pte_bits(flags);
	pte_t new = (old & ~(PTE_PRESENT | PTE_NX | PTE_USER)) | set;

	if (!(flags & MAPPING_WRITE))
		return new & ~PTE_WRITE;
	/* a private page that was written, and that no fork has given to others since */
	if (!(flags & MAPPING_SHARED) &&
	    (old & (PTE_DIRTY | PTE_SOFT_SPECIAL | PTE_SOFT_COW)) == PTE_DIRTY)
		new |= PTE_WRITE;
	return new;
}

/* Did it lose rights that others may still use: bits that were set, or PTE_NX, which was not? */
static inline bool rights_are_lost(pte_t old, pte_t new)
{
	return (old ^ new) & (old ^ PTE_NX) & (PTE_PRESENT | PTE_WRITE | PTE_NX);
}

/* Entries [e, end) one by one; were rights lost? */
static __noinline bool protect_singly(pte_t *e, const pte_t *end, u32 flags)
{
	bool lost = false;

	for (; e < end; e++) {
		pte_t old = *e, new;

		if (old == 0)
			continue;
		do {
			new = protect_new(flags, old);
		} while (new != old && !atomic_cas_update(e, &old, new));
		lost |= rights_are_lost(old, new);
	}
	return lost;
}

/* What GROUP entries have in common, and what any of them has; each of them is read twice. */
#define GROUP_REDUCE(op, e) ((e)[0] op(e)[1] op(e)[2] op(e)[3] op(e)[4] op(e)[5] op(e)[6] op(e)[7])

/* Entries [e, end) of a leaf table, its lock held; were rights lost? */
static __noinline bool protect_leaf_locked(pte_t *e, const pte_t *end, u32 flags)
{
	pte_t alike = 0, change = 0; /* what the last group had, and needs */
	bool lost = false;

	for (; e + GROUP <= end; e += GROUP) {
		pte_t all = GROUP_REDUCE(&, e);

		barrier();
		pte_t any = GROUP_REDUCE(|, e);

		if (unlikely((all ^ any) & ENTRY_FLAGS)) {
			lost |= protect_singly(e, e + GROUP, flags);
			continue;
		}
		all &= ENTRY_FLAGS;
		if (unlikely(all != alike)) {
			if (any == 0)
				continue;
			if ((all & STEADY) != STEADY && pte_is_present(all)) {
				lost |= protect_singly(e, e + GROUP, flags);
				continue;
			}
			pte_t new = protect_new(flags, all);

			alike = all;
			change = all ^ new;
			lost |= rights_are_lost(all, new);
		}
		for (u32 i = 0; i < GROUP; i += 4) {
			pte_toggle(&e[i], change), pte_toggle(&e[i + 1], change);
			pte_toggle(&e[i + 2], change), pte_toggle(&e[i + 3], change);
		}
	}
	if (unlikely(e < end))
		lost |= protect_singly(e, end, flags);
	return lost;
}

struct flush_range {
	u64 start, end; /* end 0: nothing */
};

/* Applies the protection of `flags` to [start, end), which lies in one leaf table; with what is to be flushed. */
static inline struct flush_range protect_table(pte_t link, u64 start, u64 end, u32 flags)
{
	struct folio *f = phys_to_frame(pte_phys(link));
	pte_t *first = (pte_t *)phys_to_virt(pte_phys(link)) + PTE_INDEX(start, 1);
	const pte_t *last = first + ((end - start) >> PAGE_SHIFT);

	spin_lock(&f->table_lock);
	bool lost = protect_leaf_locked(first, last, flags);

	if (lost) {
		for (; unlikely(*first == 0); first++)
			start += PAGE_SIZE;
		for (; unlikely(last[-1] == 0); last--)
			end -= PAGE_SIZE;
	}
	spin_unlock(&f->table_lock);
	return (struct flush_range){ start, lost ? end : 0 };
}

/* The same where 2 MiB are mapped by one entry, which stays if all of them change. */
static struct flush_range protect_huge(struct aspace *a, pte_t *entry, u64 start, u64 end,
				       u32 flags)
{
	struct folio *f = table_lock(entry);

	if (!f)
		return (struct flush_range){ 0, 0 };
	pte_t *table = folio_address(f);
	bool huge = huge_protect_locked(a, entry, f, start, end, flags);
	bool lost = protect_leaf_locked(&table[PTE_INDEX(start, 1)],
					&table[PTE_INDEX(start, 1)] + ((end - start) >> PAGE_SHIFT),
					flags);

	if (huge)
		WRITE_ONCE(*entry, table[0] | PTE_HUGE);
	table_unlock(f);
	return (struct flush_range){ start, lost ? end : 0 };
}

static __noinline struct flush_range protect_tables(struct aspace *a, u64 start, u64 end, u32 flags)
{
	struct flush_range all = { U64_MAX, 0 };
	pte_t *entry;

	for (u64 va = start, stop; (entry = leaf_entry_next(a, &va, end)); va = stop) {
		stop = min(end, align_down(va, HUGE_SIZE) + HUGE_SIZE);
		pte_t link = READ_ONCE(*entry);

		if (table_entry_is_shared(link))
			continue;
		struct flush_range part = unlikely(link_is_huge(link)) ?
						  protect_huge(a, entry, va, stop, flags) :
						  protect_table(link, va, stop, flags);

		if (part.end) {
			all.start = min(all.start, part.start);
			all.end = part.end;
		}
	}
	return all;
}

/* Applies the protection of `flags` to what is there; with what is to be flushed. */
static inline struct flush_range protect_range(struct aspace *a, u64 start, u64 end, u32 flags)
{
	if (unlikely((start ^ (end - 1)) & ~(HUGE_SIZE - 1)))
		return protect_tables(a, start, end, flags);
	pte_t *entry = leaf_entry(a, start);
	pte_t link = entry ? READ_ONCE(*entry) : 0;

	if (table_link_is_own(link))
		return protect_table(link, start, end, flags);
	return link_is_huge(link) ? protect_huge(a, entry, start, end, flags) :
				    (struct flush_range){ 0, 0 };
}

/* ---- mappings ---- */

/*
 * `nr` private pages become writable: they count as data, and as promised.  The
 * flag to add, or -ENOMEM.
 */
static __noinline int protect_charge(struct aspace *a, u32 old, u32 flags, u64 nr)
{
	/* as on Linux not looked at where the limit of all pages is exceeded */
	if (mapping_is_data(flags) && !mapping_is_data(old) &&
	    a->data_pages + nr > process_data_limit() >> PAGE_SHIFT &&
	    a->total_pages + nr <= process_rlimit(RLIMIT_AS) >> PAGE_SHIFT)
		return -ENOMEM;
	if (old & (MAPPING_ACCOUNTED | MAPPING_NORESERVE | MAPPING_SPECIAL))
		return 0;
	if (memory_commit(nr))
		return -ENOMEM;
	a->committed_pages += nr;
	return MAPPING_ACCOUNTED;
}

/* [start, stop), a part of m, gets new flags; memory may be wanting. */
static __noinline int protect_part(struct aspace *a, struct mapping *m, u64 start, u64 stop,
				   u32 flags)
{
	struct mapping *low = m->prev, *high = m->next, *upper[2] = { NULL };

	if (start == m->start && low && mapping_can_join_as(low, m, low->flags, flags)) {
		mapping_move_bound(a, low, m, stop);
		return 0;
	}
	if (stop == m->end && high && mapping_can_join_as(m, high, flags, high->flags)) {
		mapping_move_bound(a, m, high, start);
		return 0;
	}
	u32 nr = (start != m->start) + (stop != m->end);

	if (a->nr_mappings + nr > vm_max_map_count)
		return -ENOMEM;
	for (u32 i = 0; i < nr; i++) {
		upper[i] = mapping_take(a);
		if (!upper[i]) {
			if (i)
				mapping_free(upper[0]);
			return -ENOMEM;
		}
	}
	if (stop != m->end)
		mapping_split(a, m, stop, upper[--nr]);
	if (start != m->start) {
		mapping_split(a, m, start, upper[--nr]);
		m = m->next;
	}
	mapping_set_flags(a, m, flags);
	return 0;
}

/* [start, stop) of m gets new flags: the tree's side. */
static inline int protect_tree(struct aspace *a, struct mapping *m, u64 start, u64 stop, u32 flags)
{
	struct mapping *low = m->prev, *high = m->next;

	if (unlikely(start != m->start || stop != m->end))
		return protect_part(a, m, start, stop, flags);
	mapping_set_flags(a, m, flags);
	if (unlikely((low && mapping_can_join(low, m)) || (high && mapping_can_join(m, high))))
		mapping_merge(a, m);
	return 0;
}

static __noinline void protect_uncharge(struct aspace *a, u64 nr)
{
	a->committed_pages -= nr;
	memory_uncommit(nr);
}

/* New rights for [start, stop), which lies in m: 0 or -errno.  *flush grows upwards. */
static __always_inline int protect_piece(struct aspace *a, struct mapping *m, u64 start, u64 stop,
					 u32 rights, struct flush_range *flush)
{
	u32 old = m->flags, flags = (old & ~MAPPING_RIGHTS) | rights;
	u64 nr = (stop - start) >> PAGE_SHIFT;
	int charged = 0;

	if (unlikely(rights & ~(old / MAPPING_MAY_READ)))
		return -EACCES;
	if (flags == old)
		return 0;
	int err = tables_own(a, start, stop, U64_MAX, 0);

	if (unlikely(err))
		return err;
	if (rights & MAPPING_WRITE) {
		flags |= MAPPING_WRITTEN;
		if (!((flags & MAPPING_SHARED) || (old & MAPPING_WRITE)))
			charged = protect_charge(a, old, flags, nr);
		if (unlikely(charged < 0))
			return charged;
		flags |= (u32)charged;
	}
	err = protect_tree(a, m, start, stop, flags);
	if (unlikely(err)) {
		if (charged)
			protect_uncharge(a, nr);
		return err;
	}
	if (likely(!((old | flags) &
		     (MAPPING_SHARED | MAPPING_EXEC | MAPPING_STACK | MAPPING_GROWS_DOWN)))) {
		if ((old ^ flags) & MAPPING_WRITE)
			a->data_pages += flags & MAPPING_WRITE ? nr : -nr;
	} else {
		aspace_count_sort(a, old, -(s64)nr);
		aspace_count_sort(a, flags, (s64)nr);
	}
	struct flush_range lost = protect_range(a, start, stop, flags);

	if (lost.end) {
		if (!flush->end)
			flush->start = lost.start;
		flush->end = lost.end;
	}
	return 0;
}

/* What mprotect can change before the first obstacle, it changes, as Linux does. */
static __noinline int protect_locked(struct aspace *a, u64 start, u64 end, u32 rights)
{
	struct flush_range flush = { 0, 0 };
	int err = 0;

	for (u64 stop; !err && start < end; start = stop) {
		struct mapping *m = mapping_find(a, start);

		err = -ENOMEM;
		if (!m || m->start > start)
			break;
		stop = min(end, m->end);
		err = protect_piece(a, m, start, stop, rights, &flush);
	}
	aspace_flush(a, flush.start, flush.end);
	return err;
}

/* With the flags that hardly anybody uses: PROT_SEM means nothing, PROT_GROWSDOWN all below. */
static __noinline int protect_rare(struct aspace *a, u64 start, u64 length, u64 prot)
{
	u64 grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP),
	    end = start + align_up(length, PAGE_SIZE);
	struct mapping *m;
	int err;

	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || start % PAGE_SIZE)
		return -EINVAL;
	if (end <= start)
		return length ? -ENOMEM : 0;
	if (prot & ~(u64)(MAPPING_RIGHTS | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP))
		return -EINVAL;
	if (!grows)
		return aspace_protect(a, start, length, prot & MAPPING_RIGHTS);
	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	m = mapping_find(a, start);
	if (!m || m->start >= end || end > USER_ADDRESS_END)
		err = -ENOMEM;
	else if (grows == PROT_GROWSUP || !(m->flags & MAPPING_GROWS_DOWN))
		err = -EINVAL;
	else
		err = protect_locked(a, m->start, end, prot & MAPPING_RIGHTS);
	rwlock_write_unlock(&a->lock);
	return err;
}

int aspace_protect(struct aspace *a, u64 address, u64 length, u64 prot)
{
	u64 end = address + align_up(length, PAGE_SIZE);
	int err;

	if (unlikely(prot & ~(u64)MAPPING_RIGHTS))
		return protect_rare(a, address, length, prot);
	if (unlikely(address % PAGE_SIZE))
		return -EINVAL;
	if (unlikely(end <= address || end > USER_ADDRESS_END))
		return length ? -ENOMEM : 0;
	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	struct mapping *m = mapping_hint(a, address) ?: mapping_find(a, address);

	if (likely(m && m->start <= address && m->end >= end)) {
		struct flush_range flush = { 0, 0 };

		err = protect_piece(a, m, address, end, (u32)prot, &flush);
		if (flush.end)
			aspace_flush(a, flush.start, flush.end);
	} else {
		err = protect_locked(a, address, end, (u32)prot);
	}
	rwlock_write_unlock(&a->lock);
	return err;
}
