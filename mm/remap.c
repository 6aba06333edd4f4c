/* mremap(2): shrink, grow in place, or move page-table entries to another place. */
#include "aspace_internal.h"

#include <nos/errno.h>

#include <linux/mman.h>

/*
 * Tables of its own at the source, and at the destination for all that the source has: the move
 * itself can't fail.  tree_sequence is odd: no fault adds a page to the source.
 */
static int move_prepare(struct aspace *a, u64 from, u64 to, u64 length)
{
	for (u64 va = from; leaf_entry_next(a, &va, from + length);) {
		/* one source table meets two at the destination if the offsets differ */
		u64 stop = min(from + length, align_down(va, HUGE_SIZE) + HUGE_SIZE);

		if (!table_get(a, va, ALLOC_USER) || !table_get(a, va - from + to, ALLOC_USER) ||
		    !table_get(a, stop - 1 - from + to, ALLOC_USER))
			return -ENOMEM;
		va = stop;
	}
	return 0;
}

static void lock_two(struct folio *a, struct folio *b) __acquires(&a->table_lock)
	__acquires(&b->table_lock) __no_lock_check
{
	if (a > b)
		swap(a, b);
	spin_lock(&a->table_lock);
	if (a != b)
		spin_lock(&b->table_lock);
}

static void unlock_two(struct folio *a, struct folio *b) __releases(&a->table_lock)
	__releases(&b->table_lock) __no_lock_check
{
	spin_unlock(&a->table_lock);
	if (a != b)
		spin_unlock(&b->table_lock);
}

/*
 * Moves the process's own pages; neither range is in the tree, so no fault
 * touches them.  Pages of a cache stay behind and are found again by faults.
 * Returns how many moved.
 */
static u64 move_pages(struct aspace *a, u64 from, u64 to, u64 length, struct tlb_batch *b)
{
	u64 moved = 0;

	for (u64 at = 0; at < length;) {
		u64 va = from + at, dest = to + at;
		u64 room = min(HUGE_SIZE - va % HUGE_SIZE, HUGE_SIZE - dest % HUGE_SIZE);
		u64 step = min(length - at, room);
		pte_t *src = table_find(a, va), *dst = src ? table_find(a, dest) : NULL;

		at += step;
		if (!dst)
			continue;
		struct folio *sf = table_folio(src), *df = table_folio(dst);

		lock_two(sf, df);
		for (u64 i = 0; i < step; i += PAGE_SIZE) {
			pte_t *s = &src[PTE_INDEX(va + i, 1)], e = *s;

			if (e == 0 ||
			    (!pte_is_special(e) && phys_to_folio(pte_phys(e))->kind != FOLIO_ANON))
				continue;
			e = atomic_xchg(s, 0);
			dst[PTE_INDEX(dest + i, 1)] = e;
			sf->nr_present--;
			df->nr_present++;
			sf->nr_special -= pte_is_special(e);
			df->nr_special += pte_is_special(e);
			moved++;
			tlb_batch_add_range(b, va + i, va + i + PAGE_SIZE);
		}
		unlock_two(sf, df);
	}
	return moved;
}

/* The mapping that shows at `to` what m shows at `from`. */
static struct mapping *moved_copy(const struct mapping *m, u64 from, u64 to, u64 new_length)
{
	struct mapping *n = mapping_alloc();

	if (!n)
		return NULL;
	mapping_copy(n, m);
	n->start = to;
	n->end = to + new_length;
	n->page_offset = mapping_page_index(m, from);
	mapping_hold_object(n);
	return n;
}

/*
 * Takes the mapping of [from, from + length) out of the tree, ready to be moved: 0, or -ENOMEM
 * with nothing changed.  It is one change of the tree with the preparation: a page that a fault
 * brought in between, where the source had no table yet, would find none at the destination.
 */
static int take_out(struct aspace *a, u64 from, u64 to, u64 length, struct mapping **old)
{
	seq_write_begin(&a->tree_sequence);
	memory_fence(); /* then tables are looked for: mapping.c */

	int err = move_prepare(a, from, to, length);

	*old = mapping_find(a, from);
	if (!err) {
		mapping_remove_begun(a, *old);
		return 0;
	}
	seq_write_end(&a->tree_sequence);
	mapping_merge(a, *old);
	return err;
}

/* Moves [from, from + length) of m to the free range at `to`. */
static int move_locked(struct aspace *a, struct mapping *m, u64 from, u64 length, u64 to,
		       u64 new_length, bool keep_old)
{
	u64 nr = new_length >> PAGE_SHIFT;
	bool accounted = m->flags & MAPPING_ACCOUNTED;
	struct mapping *n, *old = NULL;
	struct tlb_batch b;
	u64 moved = 0;
	int err;

	if (a->nr_mappings + 2 >= vm_max_map_count)
		return -ENOMEM;
	if (accounted && memory_commit(nr))
		return -ENOMEM;
	n = moved_copy(m, from, to, new_length);
	err = n ? 0 : -ENOMEM;
	if (!err && length)
		err = mapping_split_range(a, from, from + length);
	if (!err && length)
		err = take_out(a, from, to, length, &old);
	if (err) {
		if (accounted)
			memory_uncommit(nr);
		if (n)
			mapping_release(n);
		return err;
	}
	if (length) {
		tlb_batch_init(&b, a);
		moved = move_pages(a, from, to, length, &b);
		tlb_batch_finish(&b);
		struct mapping *above = mapping_find(a, from);
		struct mapping *below = mapping_find_below(a, from);

		unmap_pages_locked(a, from, from + length, below ? below->end : 0,
				   above ? above->start : USER_ADDRESS_END);
	}
	if (!n->cache && moved == 0) /* never touched: as if mapped here */
		n->page_offset = to >> PAGE_SHIFT;
	mapping_insert(a, n);
	aspace_account_more(a, n->flags, nr);
	mapping_merge(a, n);
	if (old && keep_old) {
		aspace_account_fewer(a, old->flags & MAPPING_LOCKED ? MAPPING_LOCKED : 0,
				     mapping_pages(old));
		a->total_pages += mapping_pages(old);
		old->flags &= ~MAPPING_LOCKED;
		mapping_insert(a, old);
		mapping_merge(a, old);
	} else if (old) {
		aspace_account_fewer(a, old->flags, mapping_pages(old));
		mapping_release(old);
	}
	return 0;
}

static bool grow_in_place(struct aspace *a, struct mapping *m, u64 new_end)
{
	struct mapping *next = mapping_next(m);
	u64 nr = (new_end - m->end) >> PAGE_SHIFT;

	if (!range_is_user(m->start, new_end - m->start) ||
	    (next && mapping_room_end(next) < new_end && next->start != m->end) ||
	    (next && next->start < new_end))
		return false;
	if ((m->flags & MAPPING_ACCOUNTED) && memory_commit(nr))
		return false;
	mapping_resize(a, m, m->start, new_end);
	aspace_account_more(a, m->flags, nr);
	mapping_merge(a, m);
	return true;
}

struct remap {
	u64 old, old_length, new_length, new_address;
	u32 flags;
};

/* Checks of the arguments alone. */
static int remap_check(struct remap *r)
{
	if (r->flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if ((r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(r->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && r->old_length != r->new_length)
		return -EINVAL;
	if (r->old % PAGE_SIZE)
		return -EINVAL;
	r->old_length = align_up(r->old_length, PAGE_SIZE);
	r->new_length = align_up(r->new_length, PAGE_SIZE);
	return r->new_length == 0 ? -EINVAL : 0;
}

/* MREMAP_FIXED: after it is known that there is something to move. */
static int remap_check_place(const struct remap *r)
{
	if (r->new_address % PAGE_SIZE || !range_is_user(r->new_address, r->new_length) ||
	    ((r->flags & MREMAP_FIXED) && r->new_address < vm_mmap_min_addr))
		return -EINVAL;
	if (r->old + r->old_length > r->new_address && r->new_address + r->new_length > r->old)
		return -EINVAL;
	return 0;
}

static s64 remap_locked(struct aspace *a, struct remap *r, bool *populate)
{
	bool fixed = r->flags & MREMAP_FIXED, keep = r->flags & MREMAP_DONTUNMAP;
	s64 to = (s64)r->new_address;
	struct mapping *m = mapping_find(a, r->old);
	int err;

	if (!m || m->start > r->old)
		return -EFAULT;
	err = fixed || keep ? remap_check_place(r) : 0;
	if (err)
		return err;
	if (!fixed && !keep && r->old_length == r->new_length)
		return (s64)r->old;
	if (fixed) {
		err = unmap_locked(a, r->new_address, r->new_address + r->new_length);
		if (err)
			return err;
	}
	if (!keep && r->old_length > r->new_length) {
		if (!range_is_user(r->old, r->old_length))
			return -EINVAL;
		err = unmap_locked(a, r->old + r->new_length, r->old + r->old_length);
		if (err)
			return err;
		r->old_length = r->new_length;
		if (!fixed)
			return (s64)r->old;
	}
	m = mapping_find(a, r->old); /* what was unmapped may have been part of it */
	if (!m || m->start > r->old)
		return -EFAULT;
	if (r->old_length == 0 && !(m->flags & MAPPING_SHARED))
		return -EINVAL;
	if (keep && (m->flags & MAPPING_SPECIAL))
		return -EINVAL;
	if (r->old_length > m->end - r->old)
		return -EFAULT;
	u64 more = (r->new_length - (keep ? 0 : r->old_length)) >> PAGE_SHIFT;

	if (more && (m->flags & MAPPING_SPECIAL))
		return -EFAULT;
	if (more && (aspace_may_expand(a, m->flags, more) ||
		     m->page_offset + (r->new_length >> PAGE_SHIFT) < m->page_offset))
		return -ENOMEM;
	if (more && (m->flags & MAPPING_LOCKED) && aspace_may_lock(a, more))
		return -EAGAIN;
	*populate = m->flags & MAPPING_LOCKED;
	if (!fixed && !keep && r->old_length && r->old + r->old_length == m->end &&
	    grow_in_place(a, m, r->old + r->new_length))
		return (s64)r->old;
	if (!(r->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	if (!fixed)
		to = aspace_find_gap(a, keep ? r->new_address : 0, r->new_length, false);
	if (to < 0)
		return to;
	err = move_locked(a, m, r->old, r->old_length, (u64)to, r->new_length, keep);
	return err ? err : to;
}

s64 aspace_remap(struct aspace *a, u64 old, u64 old_len, u64 new_len, u32 flags, u64 new_address)
{
	struct remap r = { old, old_len, new_len, new_address, flags };
	bool populate = false;
	s64 result = remap_check(&r);

	if (result)
		return result;
	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	result = remap_locked(a, &r, &populate);
	rwlock_write_unlock(&a->lock);
	if (result >= 0 && populate)
		(void)aspace_populate(a, (u64)result, r.new_length, true);
	return result;
}
