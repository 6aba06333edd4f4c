/* madvise(2), mlock(2) and its kin, msync(2), and the vDSO's place. */
#include "aspace_internal.h"

#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/read_ahead.h>
#include <nos/thread.h>
#include <nos/vdso.h>

#include <asm/mman.h>
#include <linux/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#define MADV_DONTNEED_LOCKED 24
#endif

/*
 * Sets and clears flags of the mappings in [start, end), cutting and joining
 * them; 0, or -ENOMEM: a part is not mapped (the rest is changed) or no memory.
 */
static int change_flags_locked(struct aspace *a, u64 start, u64 end, u32 clear, u32 set)
{
	bool hole = false;

	while (start < end) {
		struct mapping *m = mapping_find(a, start);

		if (!m || m->start >= end)
			return -ENOMEM;
		if (m->start > start) {
			hole = true;
			start = m->start;
		}
		u64 stop = min(end, m->end);
		u32 flags = (m->flags & ~clear) | set;

		if (flags != m->flags) {
			int err = mapping_split_range(a, start, stop);

			if (err)
				return err;
			m = mapping_find(a, start);
			s64 nr = (s64)mapping_pages(m);

			if ((m->flags ^ flags) & MAPPING_LOCKED)
				a->locked_pages += (u64)(flags & MAPPING_LOCKED ? nr : -nr);
			mapping_set_flags(a, m, flags);
			mapping_merge(a, m);
		}
		start = stop;
	}
	return hole ? -ENOMEM : 0;
}

/* ---- madvise ---- */

/* Calls fn for each piece of a mapping within the range: 0, its error, or -ENOMEM for a hole. */
static int for_each_piece(struct aspace *a, u64 start, u64 end,
			  int (*fn)(struct aspace *a, struct mapping *m, u64 start, u64 end))
{
	int result = 0;

	for (struct mapping *m = mapping_find(a, start); start < end; m = mapping_next(m)) {
		if (!m || m->start >= end)
			return -ENOMEM;
		if (m->start > start)
			result = -ENOMEM;
		int err = fn(a, m, max(start, m->start), min(end, m->end));

		if (err)
			return err;
		start = m->end;
	}
	return result;
}

/* MADV_DONTNEED_LOCKED: locked memory as well. */
static int piece_drop_any(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	struct tlb_batch b;

	if (m->flags & MAPPING_SPECIAL)
		return -EINVAL;
	int err = tables_own(a, start, end, start, end);

	if (err)
		return err;
	tlb_batch_init(&b, a);
	if (unlikely(READ_ONCE(a->nr_shared_tables)))
		tables_drop(a, start, end, start, end, &b);
	zap_range(a, start, end, NULL, &b);
	tlb_batch_finish(&b);
	return 0;
}

static int piece_drop(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	return m->flags & MAPPING_LOCKED ? -EINVAL : piece_drop_any(a, m, start, end);
}

static int piece_free(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	if (m->cache)
		return -EINVAL;
	return piece_drop(a, m, start, end);
}

static int piece_check_cold(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	return m->flags & (MAPPING_LOCKED | MAPPING_SPECIAL) ? -EINVAL : 0;
}

static int piece_any(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	return 0;
}

static int piece_check_not_special(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	return m->flags & MAPPING_SPECIAL ? -EINVAL : 0;
}

static int piece_check_private_anonymous(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	return m->cache || (m->flags & (MAPPING_SHARED | MAPPING_SPECIAL)) ? -EINVAL : 0;
}

/* Has the file's pages of a range brought into the cache. */
static int advise_will_need(struct aspace *a, u64 start, u64 end)
{
	rwlock_read(&a->lock);
	int err = for_each_piece(a, start, end, piece_any);
	struct mapping *m = mapping_find(a, start);
	struct mapping held = { 0 };
	u64 index = 0, nr = 0;

	if (m && m->start < end && m->file && m->cache) {
		start = max(start, m->start);
		index = mapping_page_index(m, start);
		nr = (min(end, m->end) - start) >> PAGE_SHIFT;
		held.file = m->file;
		held.cache = m->cache;
		mapping_hold_object(&held);
	}
	rwlock_read_unlock(&a->lock);
	if (!held.file)
		return err;
	page_cache_will_need(held.cache, held.file, index, nr);
	file_put_for_mapping(held.file);
	return err;
}

/* MADV_REMOVE: a hole in the shared file behind the mapping. */
static int advise_remove(struct aspace *a, u64 start, u64 end)
{
	rwlock_read(&a->lock);
	struct mapping *m = mapping_find(a, start);
	struct mapping held = { 0 };
	u64 first = 0;
	int err = 0;

	if (!m || m->start > start)
		err = -ENOMEM;
	else if (!m->cache || (m->flags & (MAPPING_LOCKED | MAPPING_SPECIAL)) ||
		 !page_cache_is_memory(m->cache))
		err = -EINVAL;
	else if (!(m->flags & MAPPING_SHARED) || !(m->flags & MAPPING_WRITE))
		err = -EACCES;
	else if (m->end < end)
		err = -ENOMEM;
	if (!err) {
		first = mapping_page_index(m, start) << PAGE_SHIFT;
		held.file = m->file;
		held.cache = m->cache;
		mapping_hold_object(&held);
	}
	rwlock_read_unlock(&a->lock);
	if (err)
		return err;
	if (held.file) {
		err = file_punch_for_mapping(held.file, first, end - start);
		file_put_for_mapping(held.file);
	} else {
		page_cache_truncate(held.cache, first, first + (end - start));
		shared_memory_put(held.cache);
	}
	return err;
}

/* Advice that sets a policy flag: 0 = it is another kind. */
static bool advice_flags(int advice, u32 *clear, u32 *set)
{
	*clear = *set = 0;
	switch (advice) {
	case MADV_NORMAL:
		*clear = MAPPING_RANDOM | MAPPING_SEQUENTIAL;
		return true;
	case MADV_RANDOM:
		*clear = MAPPING_SEQUENTIAL;
		*set = MAPPING_RANDOM;
		return true;
	case MADV_SEQUENTIAL:
		*clear = MAPPING_RANDOM;
		*set = MAPPING_SEQUENTIAL;
		return true;
	case MADV_DONTFORK:
		*set = MAPPING_DONTFORK;
		return true;
	case MADV_DOFORK:
		*clear = MAPPING_DONTFORK;
		return true;
	case MADV_WIPEONFORK:
		*set = MAPPING_WIPEONFORK;
		return true;
	case MADV_KEEPONFORK:
		*clear = MAPPING_WIPEONFORK;
		return true;
	case MADV_DONTDUMP:
		*set = MAPPING_DONTDUMP;
		return true;
	case MADV_DODUMP:
		*clear = MAPPING_DONTDUMP;
		return true;
	case MADV_HUGEPAGE:
		*clear = MAPPING_NOHUGE;
		*set = MAPPING_HUGE;
		return true;
	case MADV_NOHUGEPAGE:
		*clear = MAPPING_HUGE;
		*set = MAPPING_NOHUGE;
		return true;
	case MADV_MERGEABLE:
		*set = MAPPING_MERGEABLE;
		return true;
	case MADV_UNMERGEABLE:
		*clear = MAPPING_MERGEABLE;
		return true;
	}
	return false;
}

static int advise_flags(struct aspace *a, u64 start, u64 end, int advice, u32 clear, u32 set)
{
	int err = 0;

	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	if (advice == MADV_WIPEONFORK)
		err = for_each_piece(a, start, end, piece_check_private_anonymous);
	else if (advice == MADV_DOFORK || advice == MADV_DODUMP)
		err = for_each_piece(a, start, end, piece_check_not_special);
	if (!err || err == -ENOMEM)
		err = change_flags_locked(a, start, end, clear, set);
	rwlock_write_unlock(&a->lock);
	return err;
}

static int advise_read_locked(struct aspace *a, u64 start, u64 end,
			      int (*fn)(struct aspace *a, struct mapping *m, u64 start, u64 end))
{
	scoped_read(&a->lock);
	return for_each_piece(a, start, end, fn);
}

static int piece_check_readable(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	(void)a, (void)start, (void)end;
	return (m->flags & MAPPING_READ) && !(m->flags & MAPPING_SPECIAL) ? 0 : -EINVAL;
}

static int piece_check_writable(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	(void)a, (void)start, (void)end;
	return (m->flags & MAPPING_WRITE) && !(m->flags & MAPPING_SPECIAL) ? 0 : -EINVAL;
}

/* Advice that is carried out at once, and not remembered. */
static bool is_action(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_WILLNEED:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_REMOVE:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return true;
	default:
		return false;
	}
}

int aspace_advise(struct aspace *a, u64 address, u64 length, int advice)
{
	u64 end = address + align_up(length, PAGE_SIZE);
	u32 clear, set;
	bool flags = advice_flags(advice, &clear, &set);

	if (!flags && !is_action(advice))
		return -EINVAL;
	if (address % PAGE_SIZE || end < address || (length && end == address))
		return -EINVAL;
	if (end == address)
		return 0;
	if (!range_is_user(address, end - address))
		return -ENOMEM;
	if (flags)
		return advise_flags(a, address, end, advice, clear, set);
	switch (advice) {
	case MADV_DONTNEED:
		return advise_read_locked(a, address, end, piece_drop);
	case MADV_DONTNEED_LOCKED:
		return advise_read_locked(a, address, end, piece_drop_any);
	case MADV_FREE:
		return advise_read_locked(a, address, end, piece_free);
	case MADV_WILLNEED:
		return advise_will_need(a, address, end);
	case MADV_REMOVE:
		return advise_remove(a, address, end);
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE: {
		s64 nr = aspace_populate(a, address, end - address, advice == MADV_POPULATE_WRITE);

		/* What could be reached is there all the same. */
		if (nr < 0)
			return (int)nr;
		return advise_read_locked(a, address, end,
					  advice == MADV_POPULATE_WRITE ? piece_check_writable :
									  piece_check_readable);
	}
	default: /* COLD, PAGEOUT: there is no swap, and the page cache ages by itself */
		return advise_read_locked(a, address, end, piece_check_cold);
	}
}

/* ---- mlock ---- */

/* Locked memory is present memory, and this can't be. */
static int piece_check_accessible(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	(void)a, (void)start, (void)end;
	return m->flags & (MAPPING_SPECIAL | MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC) ? 0 :
											    -ENOMEM;
}

int aspace_lock_range(struct aspace *a, u64 address, u64 length, bool lock, bool on_fault)
{
	u64 start = align_down(address, PAGE_SIZE);
	u64 end = start + align_up(length + address % PAGE_SIZE, PAGE_SIZE);
	int err = 0;

	/* A length that wraps to nothing is nothing (mlock of Linux). */
	if (end < start) {
		err = lock ? aspace_may_lock(a, (end - start) >> PAGE_SHIFT) : 0;
		return err == -EAGAIN ? -ENOMEM : err ?: -EINVAL;
	}
	if (start == end)
		return 0;
	if (!range_is_user(start, end - start))
		return -ENOMEM;
	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	if (lock) {
		err = aspace_may_lock(a, (end - start) >> PAGE_SHIFT);
		if (err == -EAGAIN)
			err = -ENOMEM;
	}
	if (!err)
		err = change_flags_locked(a, start, end, lock ? 0 : MAPPING_LOCKED,
					  lock ? MAPPING_LOCKED : 0);
	rwlock_write_unlock(&a->lock);
	if (err || !lock || on_fault)
		return err;
	if (aspace_populate(a, start, end - start, false) < 0)
		return -ENOMEM;
	return advise_read_locked(a, start, end, piece_check_accessible);
}

int aspace_lock_all(struct aspace *a, int flags)
{
	bool lock = flags & MCL_CURRENT;
	int err = 0;

	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	if (lock)
		err = aspace_may_lock(a, a->total_pages - a->locked_pages);
	if (err == -EAGAIN)
		err = -ENOMEM;
	if (!err) {
		a->default_locked = (u64)(flags & (MCL_FUTURE | MCL_ONFAULT));
		if (lock || flags == 0)
			(void)change_flags_locked(a, 0, USER_ADDRESS_END, lock ? 0 : MAPPING_LOCKED,
						  lock ? MAPPING_LOCKED : 0);
	}
	rwlock_write_unlock(&a->lock);
	if (err || !lock || (flags & MCL_ONFAULT))
		return err;
	for (u64 at = 0;;) {
		rwlock_read(&a->lock);
		struct mapping *m = mapping_find(a, at);
		u64 start = m ? m->start : 0, end = m ? m->end : 0;

		rwlock_read_unlock(&a->lock);
		if (!end)
			return 0;
		(void)aspace_populate(a, start, end - start, false);
		at = end;
		if (fatal_signal_is_pending())
			return -EINTR;
	}
}

/* ---- msync ---- */

int aspace_sync(struct aspace *a, u64 address, u64 length, int flags)
{
	u64 end = address + align_up(length, PAGE_SIZE);
	bool hole = false;

	if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || address % PAGE_SIZE ||
	    ((flags & MS_ASYNC) && (flags & MS_SYNC)))
		return -EINVAL;
	if (end == address) /* also where rounding up wraps to nothing */
		return 0;
	if (end < address || !range_is_user(address, end - address))
		return -ENOMEM;
	while (address < end) {
		struct mapping held = { 0 };
		u64 first = 0, last = 0;

		rwlock_read(&a->lock);
		struct mapping *m = mapping_find(a, address);

		if (!m || m->start >= end) {
			rwlock_read_unlock(&a->lock);
			return -ENOMEM;
		}
		if (m->start > address)
			hole = true;
		u64 start = max(m->start, address), stop = min(m->end, end);

		if ((flags & MS_INVALIDATE) && (m->flags & MAPPING_LOCKED)) {
			rwlock_read_unlock(&a->lock);
			return -EBUSY;
		}
		if ((flags & MS_SYNC) && m->file && m->cache && (m->flags & MAPPING_SHARED)) {
			held.file = m->file;
			held.cache = m->cache;
			first = mapping_page_index(m, start) << PAGE_SHIFT;
			last = first + (stop - start);
			mapping_hold_object(&held);
		}
		rwlock_read_unlock(&a->lock);
		if (held.file) {
			int err = page_cache_sync(held.cache, first, last);

			file_put_for_mapping(held.file);
			if (err)
				return err;
		}
		address = stop;
	}
	return hole ? -ENOMEM : 0;
}

/* ---- the vDSO ---- */

/* Maps kernel pages for the user, who never gets the right to write to them. */
static int map_kernel_pages(struct aspace *a, u64 at, const void *pages, u64 length, u32 prot,
			    const char *name)
{
	struct map_request r = {
		.address = at,
		.length = length,
		.prot = prot,
		.map_flags = MAP_PRIVATE | MAP_FIXED,
		.special = true,
		.name = name,
		.page_offset = virt_to_phys(pages) >> PAGE_SHIFT,
	};
	s64 result = aspace_map(a, &r);

	return result < 0 ? (int)result : 0;
}

int aspace_map_vdso(struct aspace *a)
{
	u64 image = align_up((u64)(vdso_image_end - vdso_image_start), PAGE_SIZE);
	int err;

	rwlock_write(&a->lock);
	const u64 variables = VDSO_NR_VARIABLE_PAGES * PAGE_SIZE;
	s64 at = aspace_find_gap(a, a->vdso_base, variables + image, false);

	rwlock_write_unlock(&a->lock);
	if (at < 0)
		return (int)at;
	err = map_kernel_pages(a, (u64)at, vdso_process_unknown, variables, PROT_READ, "[vvar]");
	if (err)
		return err;
	err = map_kernel_pages(a, (u64)at + variables, vdso_image_start, image,
			       PROT_READ | PROT_EXEC, "[vdso]");
	if (!err)
		a->vdso_base = (u64)at + variables;
	return err;
}
