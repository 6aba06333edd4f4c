/* What of a page fault may sleep: pages that have to be read or made, stacks that grow, device pages. */
#include "fault_internal.h"

#include <nos/counter.h>
#include <nos/errno.h>
#include <nos/memory_policy.h>
#include <nos/thread.h>

DEFINE_COUNTER(slow, "fault.slow");

static phys_t special_page(struct aspace *a, const struct mapping *m, u64 index)
{
	if (m->file)
		return file_map_special(m->file, index);
	return index == kernel_page_index() ? kernel_page_map(a) : index << PAGE_SHIFT;
}

/* A page of a device or of the vDSO; the lock is held for reading. */
static int fault_special(struct aspace *a, struct mapping *m, u64 address)
{
	phys_t p = special_page(a, m, mapping_page_index(m, address));
	pte_t *table;

	if (!p)
		return FAULT_BUS;
	table = table_get(a, address, 0);
	if (!table)
		return FAULT_NO_MEMORY;
	scoped_spin(&table_folio(table)->table_lock);
	pte_t *entry = &table[PTE_INDEX(address, 1)];

	if (*entry == 0) {
		table_folio(table)->nr_present++;
		table_folio(table)->nr_special++;
	}
	WRITE_ONCE(*entry, p | mapping_pte_bits(m->flags) | PTE_SOFT_SPECIAL |
				   (m->flags & MAPPING_WRITE ? PTE_WRITE | PTE_DIRTY : 0));
	return FAULT_DONE;
}

/*
 * Brings page `index` into the cache, for a store to a shared mapping makes it dirty.  `flags` are the mapping's.
 */
static int file_page_prepare(struct page_cache *c, struct file *file, u64 index, u32 flags,
			     bool shared_write, struct supply *s)
{
	if (!page_cache_wait_truncated(c))
		return FAULT_KILLED;
	if (index >= div_round_up(READ_ONCE(*c->size), PAGE_SIZE))
		return FAULT_BUS;
	struct folio *f = page_cache_find(c, index);

	if (!f || !folio_has_flag(f, FOLIO_UPTODATE)) {
		if (f)
			folio_put(f);
		else
			(void)huge_file_bring(c, index, 1, flags);
		s->is_major |= !page_cache_is_memory(c);
		/* at random, a page's neighbours are not of interest */
		f = page_cache_get(c, index, flags & MAPPING_RANDOM ? NULL : file);
		if (is_err(f))
			return ptr_err(f) == -ENOMEM      ? FAULT_NO_MEMORY :
			       ptr_err(f) == -ERESTARTSYS ? FAULT_KILLED :
							    FAULT_BUS;
	}
	if (shared_write && cache_tracks_stores(c)) {
		folio_lock(f);
		if (f->cache == c)
			page_cache_mark_dirty(f);
		folio_unlock(f);
	}
	if (s->file)
		folio_put(s->file);
	s->file = f;
	return TRY_AGAIN;
}

int fault_slow(struct aspace *a, u64 address, u32 access, struct supply *s)
{
	counter_inc(slow);
	rwlock_read(&a->lock);
	struct mapping *m = mapping_find(a, address);

	if (!m || m->start > address) {
		bool may_grow = m && (m->flags & MAPPING_GROWS_DOWN);

		rwlock_read_unlock(&a->lock);
		if (!may_grow)
			return FAULT_SEGV_MAPERR;
		int err = aspace_grow_stack(a, address);

		return !err ? TRY_AGAIN : err == -EINTR ? FAULT_KILLED : FAULT_SEGV_MAPERR;
	}
	int result = TRY_AGAIN;
	struct page_cache *c = m->cache;

	if (!access_is_allowed(m->flags, access))
		result = FAULT_SEGV_ACCERR;
	else if (m->flags & MAPPING_SPECIAL)
		result = fault_special(a, m, address);
	if (result != TRY_AGAIN || !c) {
		rwlock_read_unlock(&a->lock);
		return result;
	}
	struct mapping held = { .file = m->file, .cache = c, .policy = m->policy };
	u32 flags = m->flags | (READ_ONCE(a->huge_disabled) ? MAPPING_NOHUGE : 0);
	u64 index = mapping_page_index(m, address);
	bool shared_write = (access & ACCESS_WRITE) && (flags & MAPPING_SHARED);

	mapping_hold_object(&held);
	rwlock_read_unlock(&a->lock);
	struct thread *t = current_thread;
	const struct memory_policy *own = t->memory_policy;

	if (held.policy && page_cache_is_memory(c))
		t->memory_policy = held.policy;
	result = file_page_prepare(c, held.file, index, flags, shared_write, s);
	t->memory_policy = own;
	memory_policy_put(held.policy);
	if (held.file)
		file_put_for_mapping(held.file);
	else
		shared_memory_put(c);
	return result;
}

/* Waits for memory, as far as it is sensible. */
int fault_wait_memory(struct aspace *a, u64 address, struct supply *s)
{
	if (!s->anon) {
		bool bound;

		s->anon = folio_alloc_waiting(a, address, &bound);
		s->anon_is_zero = false;
		if (!s->anon)
			return bound ? FAULT_BUS : FAULT_NO_MEMORY;
	}
	rwlock_read(&a->lock); /* tables are made only for mappings that exist */
	bool ok = table_get(a, address, ALLOC_USER) != NULL;

	rwlock_read_unlock(&a->lock);
	return ok ? TRY_AGAIN : FAULT_NO_MEMORY;
}
