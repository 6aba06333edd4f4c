/*
 * Looking at an address space from outside the processor's own accesses:
 * populate, other processes' memory, pinned pages, futex keys, figures of /proc.
 */
#include "aspace_internal.h"

#include <nos/errno.h>
#include <nos/string.h>
#include <nos/thread.h>

/*
 * The entry at va with the rights that it really has, 0 if there is none, and
 * PTE_SOFT_SHARED_TABLE if its table is shared.  A snapshot: the table can't go,
 * the entry may change.
 */
static pte_t entry_read(struct aspace *a, u64 va)
{
	scoped_rcu();
	for (;;) {
		const pte_t *up = leaf_entry(a, va);
		pte_t link = up ? READ_ONCE(*up) : 0;

		if (unlikely((link & (PTE_PRESENT | PTE_HUGE)) != PTE_PRESENT))
			return huge_page_entry(link, va);
		const pte_t *table = phys_to_virt(pte_phys(link));
		pte_t e = READ_ONCE(table[PTE_INDEX(va, 1)]);

		/* a table that was left may be another's by now */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (likely(READ_ONCE(*up) == link))
			return e && table_entry_is_shared(link) ?
				       (e & ~PTE_WRITE) | PTE_SOFT_SHARED_TABLE :
				       e;
	}
}

s64 aspace_populate(struct aspace *a, u64 address, u64 length, bool write)
{
	u64 end = address + length;
	s64 nr = 0;

	while (address < end) {
		rwlock_read(&a->lock);
		struct mapping *m = mapping_find(a, address);
		u64 stop = m ? min(m->end, end) : end;
		u32 flags = m ? m->flags : 0;

		if (m && m->start > address)
			m = NULL;
		rwlock_read_unlock(&a->lock);
		if (!m)
			return nr ? nr : -ENOMEM;
		if ((flags & MAPPING_SPECIAL) ||
		    !(flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC))) {
			address = stop;
			continue;
		}
		/* a private writable page is made its own at once */
		bool own = mapping_is_private_writable(flags) || (write && (flags & MAPPING_WRITE));

		for (; address < stop; address += PAGE_SIZE) {
			pte_t e = entry_read(a, address);

			if (pte_is_present(e) && (!own || (e & PTE_WRITE))) {
				nr++;
				continue;
			}
			enum fault_result r =
				fault_resolve(a, address, own ? ACCESS_WRITE : ACCESS_READ);

			if (r != FAULT_DONE)
				return r == FAULT_NO_MEMORY ? -ENOMEM :
				       r == FAULT_KILLED    ? -EINTR :
							      -EFAULT;
			nr++;
		}
	}
	return nr;
}

/*
 * The folio behind a page, with a reference and the page's offset in it; for a
 * store only if the entry may be written (or, with `force`, is its owner's only).
 */
static struct folio *page_get_locked(const pte_t *table, bool shared, u64 va, bool write,
				     bool force, size_t *offset)
{
	pte_t e = table[PTE_INDEX(va, 1)];

	if (!e || (!pte_is_present(e) && !force) || (write && shared))
		return NULL;
	if (pte_is_special(e)) {
		if (write || pte_phys(e) != folio_to_phys(zero_folio))
			return NULL;
		folio_get(zero_folio);
		*offset = 0;
		return zero_folio;
	}
	struct folio *f = phys_to_folio(pte_phys(e));

	if (write && !(e & PTE_WRITE) &&
	    !(force && f->kind == FOLIO_ANON && ref_read(&f->refs) == 1))
		return NULL;
	folio_get(f);
	*offset = pte_phys(e) - folio_to_phys(f);
	return f;
}

static struct folio *page_get(struct aspace *a, u64 va, bool write, bool force, size_t *offset)
{
	pte_t *up = leaf_entry(a, va);
	struct folio *tf = up ? table_lock(up) : NULL;

	if (!tf)
		return NULL;
	struct folio *f = page_get_locked(folio_address(tf), table_entry_is_shared(*up), va, write,
					  force, offset);

	table_unlock(tf);
	return f;
}

/* The same, faulted in; NULL: no access. */
static struct folio *page_get_fault(struct aspace *a, u64 va, bool write, bool force,
				    size_t *offset)
{
	u32 access = (write ? ACCESS_WRITE : ACCESS_READ) | (force ? ACCESS_FORCE : 0);

	for (int tries = 0; tries < 64; tries++) {
		struct folio *f = page_get(a, va, write, force, offset);

		if (f || fault_resolve(a, va, access) != FAULT_DONE)
			return f;
	}
	return NULL;
}

/* Are the rights of the mapping at va enough?  *note: forced_write_note has to be told. */
static bool access_allowed(struct aspace *a, u64 va, bool write, bool force, bool *note)
{
	scoped_read(&a->lock);
	struct mapping *m = mapping_find(a, va);

	if (!m || m->start > va)
		return false;
	*note = write && m->file && !(m->flags & MAPPING_WRITTEN);
	if (force)
		return m->flags & (write ? MAPPING_MAY_WRITE : MAPPING_MAY_READ);
	return m->flags & (write ? MAPPING_WRITE : MAPPING_READ);
}

/* Before a debugger's store to a mapping that never was writable: from now on it may have copied pages. */
static void forced_write_note(struct aspace *a, u64 va)
{
	scoped_write(&a->lock);
	struct mapping *m = mapping_find(a, va);

	if (m && m->start <= va && !(m->flags & (MAPPING_WRITTEN | MAPPING_SHARED)))
		mapping_set_flags(a, m, m->flags | MAPPING_WRITTEN);
}

/* A page of the vDSO or another page without a folio. */
static bool access_special(struct aspace *a, u64 va, void *buffer, size_t n)
{
	pte_t e = entry_read(a, va & PAGE_MASK);

	if (!pte_is_present(e) || !pte_is_special(e) || (e & PTE_NO_CACHE))
		return false;
	memcpy(buffer, (char *)phys_to_virt(pte_phys(e)) + va % PAGE_SIZE, n);
	return true;
}

size_t aspace_access(struct aspace *a, u64 address, void *buffer, size_t len, bool write,
		     bool force)
{
	size_t done = 0;

	while (done < len) {
		u64 va = address + done;
		size_t n = min(len - done, PAGE_SIZE - va % PAGE_SIZE), offset;
		bool note = false;

		if (!range_is_user(va, n) || !access_allowed(a, va, write, force, &note))
			break;
		if (unlikely(note))
			forced_write_note(a, va);
		struct folio *f = page_get_fault(a, va & PAGE_MASK, write, force, &offset);

		if (!f) {
			if (write || !access_special(a, va, (char *)buffer + done, n))
				break;
			done += n;
			continue;
		}
		char *p = (char *)folio_address(f) + offset + va % PAGE_SIZE;

		if (write) {
			memcpy(p, (char *)buffer + done, n);
			folio_set_flag(f, FOLIO_REFERENCED);
		} else {
			memcpy((char *)buffer + done, p, n);
		}
		folio_put(f);
		done += n;
	}
	return done;
}

struct folio *aspace_pin(struct aspace *a, u64 address, bool write, size_t *offset)
{
	struct folio *f = range_is_user(address, 1) ?
				  page_get_fault(a, address & PAGE_MASK, write, false, offset) :
				  NULL;

	if (!f)
		return err_ptr(-EFAULT);
	*offset += address % PAGE_SIZE;
	return f;
}

/* The key of a word in a shared object, found without the lock; false: it is not, or things move. */
static bool futex_key_quick(struct aspace *a, u64 address, u64 *object, u64 *offset)
{
	const struct page_cache *c = NULL;
	u32 sequence;

	rcu_read_lock();
	sequence = atomic_load(&a->tree_sequence.sequence);

	const struct mapping *m = sequence & 1 ? NULL : mapping_find_rcu(a, address);

	if (likely(m)) {
		u32 flags = READ_ONCE(m->flags);
		u64 page =
			READ_ONCE(m->page_offset) + ((address - READ_ONCE(m->start)) >> PAGE_SHIFT);

		c = flags & MAPPING_SHARED ? READ_ONCE(m->cache) : NULL;
		*object = (u64)c;
		*offset = (page << PAGE_SHIFT) + address % PAGE_SIZE;
		if (unlikely(seq_read_retry(&a->tree_sequence, sequence)))
			c = NULL;
	}
	rcu_read_unlock();
	return c != NULL;
}

int aspace_futex_key(struct aspace *a, u64 address, bool shared, u64 *object, u64 *offset)
{
	if (unlikely(address > USER_ADDRESS_END - sizeof(u32)))
		return -EFAULT;
	if (!shared) {
		*object = (u64)a;
		*offset = address;
		return 0;
	}
	if (likely(futex_key_quick(a, address, object, offset)))
		return 0;
	scoped_read(&a->lock);
	struct mapping *m = mapping_find(a, address);

	if (!m || m->start > address)
		return -EFAULT;
	if (m->cache && (m->flags & MAPPING_SHARED)) {
		*object = (u64)m->cache;
		*offset = (mapping_page_index(m, address) << PAGE_SHIFT) + address % PAGE_SIZE;
	} else {
		*object = (u64)a;
		*offset = address;
	}
	return 0;
}

/* ---- figures ---- */

/* `tables`: how many address spaces have the table of the entry. */
static void usage_add(struct mapping_usage *u, pte_t e, u32 tables)
{
	if (pte_is_special(e))
		return;
	const struct folio *f = phys_to_folio(pte_phys(e));
	u32 maps = READ_ONCE(f->map_count) + tables - 1;
	u64 sharers = max(1u, div_round_up(maps, (u32)folio_nr_pages(f)));
	bool dirty = (e & PTE_DIRTY) || folio_has_flag(f, FOLIO_DIRTY);

	u->resident += PAGE_SIZE;
	u->pss += PAGE_SIZE / sharers;
	if (sharers > 1)
		*(dirty ? &u->shared_dirty : &u->shared_clean) += PAGE_SIZE;
	else
		*(dirty ? &u->private_dirty : &u->private_clean) += PAGE_SIZE;
	if ((e & PTE_ACCESSED) || folio_has_flag(f, FOLIO_REFERENCED))
		u->referenced += PAGE_SIZE;
	if (f->kind == FOLIO_ANON)
		u->anonymous += PAGE_SIZE;
}

void mapping_usage_locked(struct mapping *m, struct mapping_usage *u)
{
	struct aspace *a = m->aspace;

	*u = (struct mapping_usage){ 0 };
	pte_t *entry;

	for (u64 va = m->start; (entry = leaf_entry_next(a, &va, m->end));) {
		u64 stop = min(m->end, align_down(va, HUGE_SIZE) + HUGE_SIZE);
		struct folio *f = table_lock(entry);

		if (f) {
			const pte_t *table = folio_address(f);

			if (link_is_huge(READ_ONCE(*entry)))
				*(m->cache ? &u->shmem_huge : &u->anonymous_huge) += stop - va;
			for (; va < stop; va += PAGE_SIZE)
				if (table[PTE_INDEX(va, 1)])
					usage_add(u, table[PTE_INDEX(va, 1)], f->table_refs);
			table_unlock(f);
		}
		va = stop;
	}
	if (m->flags & MAPPING_LOCKED)
		u->locked = u->pss;
}

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FILE (1ull << 61)
#define PAGEMAP_EXCLUSIVE (1ull << 56)

u64 aspace_pagemap_entry(struct aspace *a, u64 address)
{
	pte_t e = range_is_user(address, 1) ? entry_read(a, address) : 0;
	u64 bits;

	if (!pte_is_present(e))
		return 0;
	bits = PAGEMAP_PRESENT | pte_phys(e) >> PAGE_SHIFT;
	if (pte_is_special(e))
		return bits;
	const struct folio *f = phys_to_folio(pte_phys(e));

	if (f->kind == FOLIO_FILE)
		bits |= PAGEMAP_FILE;
	if (READ_ONCE(f->map_count) == 1 && !table_entry_is_shared(e))
		bits |= PAGEMAP_EXCLUSIVE;
	return bits;
}

int aspace_mincore(struct aspace *a, u64 address, u64 nr_pages, u8 *out)
{
	scoped_read(&a->lock);
	struct mapping *m = mapping_find(a, address);

	for (u64 i = 0; i < nr_pages; i++) {
		u64 va = address + i * PAGE_SIZE;

		while (m && m->end <= va)
			m = mapping_next(m);
		if (!m || m->start > va)
			return -ENOMEM;
		out[i] = entry_read(a, va) != 0;
		if (!out[i] && m->cache) {
			struct folio *f = page_cache_find(m->cache, mapping_page_index(m, va));

			if (f) {
				out[i] = folio_has_flag(f, FOLIO_UPTODATE);
				folio_put(f);
			}
		}
	}
	return 0;
}
