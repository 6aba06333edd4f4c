/*
 * Page faults.
 *
 * A fault is tried without any lock of the address space: under RCU it reads
 * tree_sequence, finds the mapping and the leaf table, makes ready what it needs
 * (a zeroed page, a copy, a page of the cache), takes the leaf table's lock, and
 * commits if the sequence, the entry and (file pages) the cache's
 * invalidate_sequence are still what they were.  Otherwise it tries again.
 *
 * Why that is enough.  A change of the tree moves the sequence first and then
 * walks the leaf tables under their locks.  A fault that holds a leaf lock and
 * reads the old sequence is therefore before the walk, which will see its entry;
 * one that comes later reads the new sequence.  Truncation does the same with
 * invalidate_sequence.
 *
 * What may sleep (reading a page, waiting for memory, a stack that grows, device
 * pages, the first store to a clean shared page) is done by fault_slow under
 * `lock` held for reading or with a reference on the file, and then the fault is
 * tried again with the result at hand.
 *
 * Private pages: a store to a page that is not writable copies it, unless it is
 * an anonymous page whose only reference is this entry.
 *
 * File pages: up to 16 neighbours that are in the cache are mapped with the one
 * asked for (opt.fault_around).
 */
#include "aspace_internal.h"
#include "page_internal.h"

#include <nos/counter.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/trap.h>
#include <nos/uaccess.h>

#include <asm/signal.h>
#include <asm/resource.h>
#include <asm-generic/siginfo.h>

DEFINE_COUNTER(anon, "fault.anonymous");
DEFINE_COUNTER(zero, "fault.zero_page");
DEFINE_COUNTER(copy, "fault.copied");
DEFINE_COUNTER(reuse, "fault.reused");
DEFINE_COUNTER(file, "fault.file");
DEFINE_COUNTER(around, "fault.mapped_around");
DEFINE_COUNTER(slow, "fault.slow");
DEFINE_COUNTER(spurious, "fault.spurious");

#define AROUND_PAGES 16u
#define AROUND_SCAN_PAGES 64u

static bool fault_around __ro_after_init = true;
static DEFINE_PERCPU(u64, faults_all);
static DEFINE_PERCPU(u64, faults_major);

/* Results of a try, beyond enum fault_result. */
#define TRY_AGAIN 64
#define TRY_SLOW 65
#define TRY_MEMORY 66

/* What an earlier try or the slow path has made ready. */
struct supply {
	struct folio *anon; /* a page of our own */
	bool anon_is_zero;
	bool is_major;
	struct folio *file; /* keeps what was read from going away */
};

/* One try: the place and what was true when it was looked at. */
struct site {
	struct aspace *a;
	u64 address;
	u32 access;
	u32 sequence;
	u32 flags; /* the mapping's */
	u64 start, end; /* its bounds */
	u64 index; /* of the page in the cache */
	struct page_cache *cache;
	pte_t *table, *entry;
	pte_t seen;
	struct supply *supply;
};

void fault_init(void)
{
	fault_around = boot_opt_enabled("fault_around");
}

static inline bool access_is_allowed(u32 flags, u32 access)
{
	if (access & ACCESS_FORCE) /* MAY_ bits stand for the rights */
		return access & ACCESS_WRITE ?
			       (flags & MAPPING_MAY_WRITE) &&
				       !((flags & MAPPING_SHARED) && !(flags & MAPPING_WRITE)) :
			       (flags & MAPPING_MAY_READ) != 0;
	if (access & ACCESS_WRITE)
		return flags & MAPPING_WRITE;
	if (access & ACCESS_EXEC)
		return flags & MAPPING_EXEC;
	return flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC);
}

static inline struct spinlock *site_lock_of(const struct site *s)
{
	return &table_folio(s->table)->table_lock;
}

/* Takes the leaf lock if nothing has changed. */
static inline bool site_lock(const struct site *s) __try_acquires(true, site_lock_of(s))
{
	spin_lock(site_lock_of(s));
	if (likely(READ_ONCE(s->a->tree_sequence.sequence) == s->sequence &&
		   READ_ONCE(*s->entry) == s->seen))
		return true;
	spin_unlock(site_lock_of(s));
	return false;
}

static inline void site_unlock(const struct site *s) __releases(site_lock_of(s))
{
	spin_unlock(site_lock_of(s));
}

/* A page of our own in *supply, zeroed if `zero`; false: memory has to be waited for. */
static inline bool supply_anon(struct supply *s, bool zero)
{
	if (!s->anon) {
		s->anon = folio_alloc(0, FOLIO_ANON,
				      ALLOC_NOWAIT | ALLOC_MOVABLE | (zero ? ALLOC_ZERO : 0));
		if (unlikely(!s->anon))
			return false;
	} else if (zero && !s->anon_is_zero) {
		page_clear(folio_address(s->anon));
	}
	s->anon_is_zero = zero;
	return true;
}

/* Entry for a private page that belongs to this mapping alone. */
static inline pte_t own_page_entry(const struct site *s, const struct folio *f)
{
	return folio_to_phys(f) | mapping_pte_bits(s->flags) | PTE_DIRTY |
	       (s->flags & MAPPING_WRITE ? PTE_WRITE : 0);
}

/* Store to untouched anonymous memory. */
static int fault_anon_write(struct site *s)
{
	struct supply *sup = s->supply;

	if (!supply_anon(sup, true))
		return TRY_MEMORY;
	if (!site_lock(s))
		return TRY_AGAIN;
	struct folio *f = sup->anon;

	f->map_count = 1;
	WRITE_ONCE(*s->entry, own_page_entry(s, f));
	table_folio(s->table)->nr_present++;
	site_unlock(s);
	sup->anon = NULL;
	atomic_add(&s->a->resident_anon, 1);
	counter_inc(anon);
	return FAULT_DONE;
}

/* Load from untouched anonymous memory: the shared page of zeros. */
static int fault_zero_page(struct site *s)
{
	if (!site_lock(s))
		return TRY_AGAIN;
	WRITE_ONCE(*s->entry, folio_to_phys(zero_folio) | mapping_pte_bits(s->flags) |
				      PTE_SOFT_SPECIAL | PTE_SOFT_COW);
	table_folio(s->table)->nr_present++;
	table_folio(s->table)->nr_special++;
	site_unlock(s);
	counter_inc(zero);
	return FAULT_DONE;
}

/* Store to a private page that is present but not writable. */
static int fault_copy(struct site *s)
{
	struct supply *sup = s->supply;
	bool zero_page = pte_is_special(s->seen);
	struct folio *old = zero_page ? NULL : phys_to_folio(pte_phys(s->seen));

	if (old && old->kind == FOLIO_ANON && ref_read(&old->refs) == 1) {
		if (!site_lock(s))
			return TRY_AGAIN;
		if (ref_read(&old->refs) == 1) { /* only this entry */
			WRITE_ONCE(*s->entry, own_page_entry(s, old));
			site_unlock(s);
			tlb_flush_page(s->address);
			counter_inc(reuse);
			return FAULT_DONE;
		}
		site_unlock(s);
	}
	if (!supply_anon(sup, zero_page))
		return TRY_MEMORY;
	/* The old page may go away meanwhile; then the entry has changed and this copy is not used. */
	if (!zero_page)
		page_copy(folio_address(sup->anon), phys_to_virt(pte_phys(s->seen)));
	if (!site_lock(s))
		return TRY_AGAIN;
	struct folio *f = sup->anon;

	f->map_count = 1;
	WRITE_ONCE(*s->entry, own_page_entry(s, f));
	if (old)
		atomic_sub(&old->map_count, 1);
	else
		table_folio(s->table)->nr_special--;
	site_unlock(s);
	sup->anon = NULL;
	if (!old || old->kind != FOLIO_ANON)
		atomic_add(&s->a->resident_anon, 1);
	if (old && old->kind != FOLIO_ANON)
		aspace_count_resident(s->a, old, -1);
	if (pte_is_present(s->seen))
		aspace_flush(s->a, s->address, s->address + PAGE_SIZE);
	if (old)
		folio_put(old);
	counter_inc(copy);
	return FAULT_DONE;
}

/* ---- file pages ---- */

static inline bool cache_tracks_stores(const struct page_cache *c)
{
	return !page_cache_is_memory(c) && (c->ops->write_folio || c->ops->make_writable);
}

static inline bool site_is_private(const struct site *s)
{
	return !(s->flags & MAPPING_SHARED);
}

/* The write bit for a page of a shared mapping, decided under the leaf lock. */
static inline pte_t shared_write_bit(const struct site *s, const struct folio *f)
{
	if ((s->flags & (MAPPING_SHARED | MAPPING_WRITE)) != (MAPPING_SHARED | MAPPING_WRITE))
		return 0;
	if (cache_tracks_stores(s->cache) && !folio_has_flag(f, FOLIO_DIRTY))
		return 0;
	return PTE_WRITE | PTE_DIRTY;
}

static inline pte_t file_page_entry(const struct site *s, const struct folio *f, u64 index)
{
	phys_t p = folio_to_phys(f) + ((index - f->index) << PAGE_SHIFT);

	return p | mapping_pte_bits(s->flags) | shared_write_bit(s, f) |
	       (site_is_private(s) ? PTE_SOFT_COW : 0);
}

/* n more entries map f: their references and the count. */
static inline void folio_add_entries(struct folio *f, u32 nr_refs, u32 n)
{
	if (nr_refs)
		atomic_add(&f->refs.count, nr_refs);
	atomic_add(&f->map_count, n);
}

static void count_mapped(struct site *s, struct folio *f, u32 nr)
{
	aspace_count_resident(s->a, f, nr);
	table_folio(s->table)->nr_present += (u16)nr;
	if (!folio_has_flag(f, FOLIO_REFERENCED))
		folio_set_flag(f, FOLIO_REFERENCED);
}

/* The stretch to map at once: 16 pages, 64 where a scan comes from the stretch before. */
static void around_range(const struct site *s, u64 size_pages, u64 *start, u64 *stop)
{
	u64 window = AROUND_PAGES * PAGE_SIZE;
	u64 va = align_down(s->address, window);

	if (va % HUGE_SIZE && s->address == va && s->entry[-1])
		window = AROUND_SCAN_PAGES * PAGE_SIZE;
	*start = max(va, s->start);
	*stop = min(min(va + window, s->end), align_down(va, HUGE_SIZE) + HUGE_SIZE);
	/* not past the end of the file */
	u64 last = s->address + ((size_pages - s->index) << PAGE_SHIFT);

	*stop = min(*stop, last);
}

/* Fills the empty ones of `span` entries with neighbouring pages from `pte` on; how many. */
static inline u32 fill_entries(pte_t *entry, pte_t pte, u64 span)
{
	u32 n = 0;

	for (u64 i = 0; i < span; i++, pte += PAGE_SIZE) {
		if (entry[i] == 0) {
			WRITE_ONCE(entry[i], pte);
			n++;
		}
	}
	return n;
}

/*
 * Maps what is in the cache around the page asked for, which `f` holds (its
 * entry, reference and count are set); the leaf lock is held.
 */
static void map_around_locked(struct site *s, struct folio *f, u64 size_pages)
{
	void *const *slot = NULL;
	u32 mapped = 0;
	u64 va, stop, span, left = 0;

	around_range(s, size_pages, &va, &stop);
	u64 index = s->index - ((s->address - va) >> PAGE_SHIFT);
	pte_t *entry = &s->table[PTE_INDEX(va, 1)];
	u64 nr = (stop - va) >> PAGE_SHIFT;
	bool tracked = cache_tracks_stores(s->cache);
	pte_t bits = mapping_pte_bits(s->flags) | (site_is_private(s) ? PTE_SOFT_COW : 0) |
		     (tracked ? 0 : shared_write_bit(s, f));

	for (u64 i = 0; i < nr; i += span, slot += span, left -= span) {
		span = 1;
		if (left == 0) {
			unsigned in_node;

			slot = radix_find_slots(&s->cache->tree, index + i, &in_node);
			if (!slot)
				break;
			left = in_node;
		}
		struct folio *next = READ_ONCE(*slot);

		if (!next ||
		    (next != f && (entry[i] || !page_cache_try_get(s->cache, index + i, next))))
			continue;
		bool ready = folio_has_flag(next, FOLIO_UPTODATE);

		if (next->order == 0) {
			if (next == f)
				continue;
			if (ready) {
				WRITE_ONCE(entry[i],
					   folio_to_phys(next) | bits |
						   (tracked ? shared_write_bit(s, next) : 0));
				atomic_add(&next->map_count, 1);
				mapped++;
			} else {
				folio_put(next);
			}
			continue;
		}
		span = min(min(next->index + folio_nr_pages(next) - (index + i), nr - i), left);
		u32 n = 0;

		if (ready)
			n = fill_entries(entry + i, file_page_entry(s, next, index + i), span);
		mapped += n;
		if (next == f)
			folio_add_entries(f, n, n);
		else if (n)
			folio_add_entries(next, n - 1, n);
		else
			folio_put(next);
	}
	count_mapped(s, f, mapped);
	counter_add(around, mapped);
}

/* A private store to a page of the cache: straight to a copy. */
static int fault_file_copy(struct site *s, struct folio *f, u32 invalidate)
{
	struct supply *sup = s->supply;

	if (!supply_anon(sup, false)) {
		folio_put(f);
		return TRY_MEMORY;
	}
	page_copy(folio_address(sup->anon),
		  (char *)folio_address(f) + ((s->index - f->index) << PAGE_SHIFT));
	folio_put(f);
	if (!site_lock(s))
		return TRY_AGAIN;
	if (atomic_load(&s->cache->invalidate_sequence) != invalidate) {
		site_unlock(s);
		return TRY_AGAIN;
	}
	sup->anon->map_count = 1;
	WRITE_ONCE(*s->entry, own_page_entry(s, sup->anon));
	table_folio(s->table)->nr_present++;
	site_unlock(s);
	sup->anon = NULL;
	atomic_add(&s->a->resident_anon, 1);
	counter_inc(copy);
	return FAULT_DONE;
}

/* No entry yet, and the mapping is of a cache. */
static int fault_file(struct site *s)
{
	struct page_cache *c = s->cache;
	u32 invalidate = atomic_load(&c->invalidate_sequence);
	u64 size_pages = div_round_up(READ_ONCE(*c->size), PAGE_SIZE);
	bool write = s->access & ACCESS_WRITE;

	if ((invalidate & 1) || s->index >= size_pages)
		return TRY_SLOW;
	struct folio *f = page_cache_find(c, s->index);

	if (!f)
		return TRY_SLOW;
	if (!folio_has_flag(f, FOLIO_UPTODATE)) {
		folio_put(f);
		return TRY_SLOW;
	}
	if (write && site_is_private(s))
		return fault_file_copy(s, f, invalidate);
	if (!site_lock(s)) {
		folio_put(f);
		return TRY_AGAIN;
	}
	bool clean = write && !shared_write_bit(s, f);

	if (clean || atomic_load(&c->invalidate_sequence) != invalidate) {
		site_unlock(s);
		folio_put(f);
		return clean ? TRY_SLOW : TRY_AGAIN;
	}
	WRITE_ONCE(*s->entry, file_page_entry(s, f, s->index));
	folio_add_entries(f, 0, 1);
	count_mapped(s, f, 1);
	if (fault_around)
		map_around_locked(s, f, size_pages);
	site_unlock(s);
	counter_inc(file);
	return FAULT_DONE;
}

/* A page is there, but its entry lacks the right that the mapping gives. */
static int fault_present(struct site *s)
{
	bool write = s->access & ACCESS_WRITE;

	if (write && !(s->seen & PTE_WRITE) && site_is_private(s))
		return fault_copy(s);
	if (!site_lock(s))
		return TRY_AGAIN;
	pte_t new = (s->seen &
		     (PTE_ADDRESS | PTE_DIRTY | PTE_WRITE | PTE_SOFT_COW | PTE_SOFT_SPECIAL)) |
		    mapping_pte_bits(s->flags);

	if (write && !(s->seen & PTE_WRITE) && !pte_is_special(s->seen)) {
		pte_t bit = shared_write_bit(s, phys_to_folio(pte_phys(s->seen)));

		if (!bit) {
			site_unlock(s);
			return TRY_SLOW;
		}
		new |= bit;
	}
	if (new == s->seen)
		counter_inc(spurious);
	WRITE_ONCE(*s->entry, new);
	site_unlock(s);
	tlb_flush_page(s->address);
	return FAULT_DONE;
}

/* ---- one try ---- */

static int fault_try(struct aspace *a, u64 address, u32 access, struct supply *supply)
{
	struct site s;

	scoped_rcu();
	s.sequence = atomic_load(&a->tree_sequence.sequence);
	if (unlikely(s.sequence & 1))
		return TRY_SLOW;
	const struct mapping *m = mapping_find_rcu(a, address);

	if (unlikely(!m))
		return TRY_SLOW;
	s.a = a;
	s.address = address;
	s.access = access;
	s.flags = READ_ONCE(m->flags);
	s.start = READ_ONCE(m->start);
	s.end = READ_ONCE(m->end);
	s.cache = READ_ONCE(m->cache);
	s.index = READ_ONCE(m->page_offset) + ((address - s.start) >> PAGE_SHIFT);
	s.supply = supply;
	/* what was read is one state of the mapping only if nothing has moved so far */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (unlikely(READ_ONCE(a->tree_sequence.sequence) != s.sequence))
		return TRY_AGAIN;
	if (unlikely((s.flags & MAPPING_SPECIAL) || !access_is_allowed(s.flags, access)))
		return TRY_SLOW;
	s.table = table_find_own(a, address);
	if (unlikely(!s.table)) {
		s.table = table_get(a, address, ALLOC_NOWAIT);
		if (!s.table)
			return TRY_MEMORY;
	}
	s.entry = &s.table[PTE_INDEX(address, 1)];
	s.seen = READ_ONCE(*s.entry);
	if (s.seen)
		return fault_present(&s);
	if (s.cache)
		return fault_file(&s);
	return access & ACCESS_WRITE ? fault_anon_write(&s) : fault_zero_page(&s);
}

/* ---- what may sleep ---- */

/* Extends a mapping that grows down, so that it holds `address`. */
static int stack_grow(struct aspace *a, u64 address)
{
	u64 start = address & PAGE_MASK;

	if (rwlock_write_killable(&a->lock))
		return FAULT_KILLED;
	struct mapping *m = mapping_find(a, address), *below;
	int result = FAULT_SEGV_MAPERR;

	if (!m || m->start <= address) {
		rwlock_write_unlock(&a->lock);
		return m ? TRY_AGAIN : FAULT_SEGV_MAPERR;
	}
	u64 nr = (m->start - start) >> PAGE_SHIFT;

	below = mapping_prev(m);
	if ((m->flags & MAPPING_GROWS_DOWN) && m->end - start <= process_rlimit(RLIMIT_STACK) &&
	    start >= vm_mmap_min_addr &&
	    !(below && !(below->flags & MAPPING_GROWS_DOWN) &&
	      (below->flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC)) &&
	      start - below->end < STACK_GUARD_GAP) &&
	    !aspace_may_expand(a, m->flags, nr) &&
	    (!(m->flags & MAPPING_ACCOUNTED) || !memory_commit(nr))) {
		mapping_resize(a, m, start, m->end);
		aspace_account(a, m->flags, (s64)nr);
		result = TRY_AGAIN;
	}
	rwlock_write_unlock(&a->lock);
	return result;
}

/* A page of a device or of the vDSO; the lock is held for reading. */
static int fault_special(struct aspace *a, struct mapping *m, u64 address)
{
	u64 index = mapping_page_index(m, address);
	phys_t p = m->file ? file_map_special(m->file, index) : index << PAGE_SHIFT;
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

/* Until no truncation is under way; false when the thread is being killed. */
static bool wait_for_truncation(struct page_cache *c)
{
	while (atomic_load(&c->invalidate_sequence) & 1) {
		thread_set_state(THREAD_KILLABLE);
		if (fatal_signal_is_pending()) {
			thread_set_state(THREAD_RUNNABLE);
			return false;
		}
		thread_block_until(clock_monotonic_ns() + 50 * NSEC_PER_USEC);
	}
	return true;
}

/* Brings page `index` into the cache, for a store to a shared mapping makes it dirty. */
static int file_page_prepare(struct page_cache *c, struct file *file, u64 index, bool shared_write,
			     struct supply *s)
{
	if (!wait_for_truncation(c))
		return FAULT_KILLED;
	if (index >= div_round_up(READ_ONCE(*c->size), PAGE_SIZE))
		return FAULT_BUS;
	struct folio *f = page_cache_find(c, index);

	if (!f || !folio_has_flag(f, FOLIO_UPTODATE)) {
		if (f)
			folio_put(f);
		s->is_major |= !page_cache_is_memory(c);
		f = page_cache_get(c, index, file);
		if (is_err(f))
			return ptr_err(f) == -ENOMEM      ? FAULT_NO_MEMORY :
			       ptr_err(f) == -ERESTARTSYS ? FAULT_KILLED :
							    FAULT_BUS;
	}
	int err = 0;

	if (shared_write && cache_tracks_stores(c)) {
		folio_lock(f);
		if (f->cache == c) {
			if (c->ops->make_writable)
				err = c->ops->make_writable(c, f);
			if (!err)
				page_cache_mark_dirty(f);
		}
		folio_unlock(f);
	}
	if (s->file)
		folio_put(s->file);
	s->file = f;
	return err ? FAULT_BUS : TRY_AGAIN;
}

static int fault_slow(struct aspace *a, u64 address, u32 access, struct supply *s)
{
	counter_inc(slow);
	rwlock_read(&a->lock);
	struct mapping *m = mapping_find(a, address);

	if (!m || m->start > address) {
		bool may_grow = m && (m->flags & MAPPING_GROWS_DOWN);

		rwlock_read_unlock(&a->lock);
		return may_grow ? stack_grow(a, address) : FAULT_SEGV_MAPERR;
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
	struct mapping held = { .file = m->file, .cache = c };
	u64 index = mapping_page_index(m, address);
	bool shared_write = (access & ACCESS_WRITE) && (m->flags & MAPPING_SHARED);

	mapping_hold_object(&held);
	rwlock_read_unlock(&a->lock);
	result = file_page_prepare(c, held.file, index, shared_write, s);
	if (held.file)
		file_put_for_mapping(held.file);
	else
		shared_memory_put(c);
	return result;
}

/* Waits for memory, as far as it is sensible. */
static int fault_wait_memory(struct aspace *a, u64 address, struct supply *s)
{
	if (!s->anon) {
		s->anon = folio_alloc(0, FOLIO_ANON, ALLOC_USER | ALLOC_MOVABLE);
		s->anon_is_zero = false;
		if (!s->anon)
			return FAULT_NO_MEMORY;
	}
	rwlock_read(&a->lock); /* tables are made only for mappings that exist */
	bool ok = table_get(a, address, ALLOC_USER) != NULL;

	rwlock_read_unlock(&a->lock);
	return ok ? TRY_AGAIN : FAULT_NO_MEMORY;
}

enum fault_result fault_resolve(struct aspace *a, u64 address, u32 access)
{
	struct supply s = { 0 };
	int result;

	address &= PAGE_MASK;
	for (;;) {
		result = fault_try(a, address, access, &s);
		if (likely(result == FAULT_DONE))
			break;
		if (result == TRY_SLOW)
			result = fault_slow(a, address, access, &s);
		else if (result == TRY_MEMORY)
			result = fault_wait_memory(a, address, &s);
		if (result != TRY_AGAIN)
			break;
		if (unlikely(fatal_signal_is_pending())) {
			result = FAULT_KILLED;
			break;
		}
	}
	if (unlikely(s.anon))
		folio_put(s.anon);
	if (unlikely(s.file))
		folio_put(s.file);
	this_cpu_add(faults_all, 1);
	if (unlikely(s.is_major)) {
		this_cpu_add(faults_major, 1);
		current_thread->faults_major++;
	} else {
		current_thread->faults_minor++;
	}
	return (enum fault_result)result;
}

static void fault_report(enum fault_result result, u64 address, u64 code)
{
	switch (result) {
	case FAULT_DONE:
	case FAULT_KILLED:
		return;
	case FAULT_SEGV_MAPERR:
		process_fault_signal(SIGSEGV, SEGV_MAPERR, address, code);
		return;
	case FAULT_SEGV_ACCERR:
		process_fault_signal(SIGSEGV, SEGV_ACCERR, address, code);
		return;
	case FAULT_BUS:
		process_fault_signal(SIGBUS, BUS_ADRERR, address, code);
		return;
	case FAULT_NO_MEMORY:
		/* The access is repeated; the victim, perhaps this process, gives memory back. */
		if (!fatal_signal_is_pending() && !process_kill_for_memory())
			process_fault_signal(SIGBUS, BUS_ADRERR, address, code);
		else
			thread_yield();
		return;
	}
}

bool page_fault_handle(struct trap_frame *frame, u64 address, u64 code)
{
	struct aspace *a = current_thread->aspace;
	bool user = trap_is_from_user(frame);

	if (unlikely(address >= USER_ADDRESS_END || !a || (code & FAULT_RESERVED))) {
		if (user)
			process_fault_signal(SIGSEGV, SEGV_MAPERR, address, code | FAULT_PRESENT);
		return user;
	}
	if (!user && user_fault_is_disabled())
		return false;
	u32 access = code & FAULT_WRITE ? ACCESS_WRITE :
		     code & FAULT_EXEC  ? ACCESS_EXEC :
					  ACCESS_READ;
	enum fault_result result = fault_resolve(a, address, access);

	if (likely(result == FAULT_DONE))
		return true;
	if (!user)
		return false;
	fault_report(result, address, code);
	return true;
}

void fault_stats_read(struct memory_stats *s)
{
	for_each_cpu(cpu)
	{
		s->faults += *per_cpu_ptr(faults_all, cpu);
		s->faults_major += *per_cpu_ptr(faults_major, cpu);
	}
}
