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
 * Anonymous memory that is touched from one end of a cluster (16 pages, aligned) to
 * the other gets the next cluster by one fault: neighbouring frames, but each a folio
 * of its own (opt.anon_cluster; docs/decisions/anonymous-clusters.md).  2 MiB: huge.c.
 *
 * File pages: all of the folio, and around a small one up to 16 pages that are in
 * the cache, are mapped with the one asked for; a scan gets 64 and then the rest of
 * the leaf table (opt.fault_around).
 */
#include "fault_internal.h"
#include "page_internal.h"

#include <nos/counter.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/memory_policy.h>
#include <nos/thread.h>
#include <nos/trap.h>
#include <nos/uaccess.h>

#include <asm/signal.h>
#include <asm/resource.h>
#include <asm-generic/siginfo.h>

DEFINE_COUNTER(anon, "fault.anonymous");
DEFINE_COUNTER(cluster, "fault.anonymous_clusters");
DEFINE_COUNTER(zero, "fault.zero_page");
DEFINE_COUNTER(copy, "fault.copied");
DEFINE_COUNTER(reuse, "fault.reused");
DEFINE_COUNTER(file, "fault.file");
DEFINE_COUNTER(around, "fault.mapped_around");
DEFINE_COUNTER(spurious, "fault.spurious");

#define AROUND_ORDER 4u
#define AROUND_PAGES (1u << AROUND_ORDER)
#define AROUND_SCAN_PAGES 64u

#define CLUSTER_ORDER 4u
#define CLUSTER_PAGES (1u << CLUSTER_ORDER)
#define CLUSTER_SIZE (PAGE_SIZE << CLUSTER_ORDER)
#define CLUSTER_PAUSE 64u /* stores that get a page alone after no cluster was found */

static bool fault_around __ro_after_init = true;
static bool anon_cluster __ro_after_init = true;
static DEFINE_PERCPU(u32, cluster_pause);
static DEFINE_PERCPU(u64, faults_all);
static DEFINE_PERCPU(u64, faults_major);

/*
 * One try: the place and what was true when it was looked at.  On the straight ways, of a store to
 * untouched anonymous memory and of one that copies, it lives in registers: nothing that is not
 * inlined there gets its address.
 */
struct site {
	struct aspace *a;
	u64 address;
	u32 access;
	u32 sequence;
	u32 flags; /* the mapping's */
	struct folio *table; /* the leaf table's */
	pte_t *entry;
	pte_t seen;
	struct supply *supply; /* NULL: nothing is ready */
	const struct mapping *m; /* may have changed: for its policy alone */
	/* where there is a cache: */
	struct page_cache *cache;
	u64 start, end; /* the mapping's bounds */
	u64 index; /* of the page in the cache */
};

void fault_init(void)
{
	fault_around = boot_opt_enabled("fault_around");
	anon_cluster = boot_opt_enabled("anon_cluster");
}

static inline struct spinlock *site_lock_of(const struct site *s)
{
	return &s->table->table_lock;
}

/* Takes the leaf lock if nothing has changed. */
static __always_inline bool site_lock(const struct site *s) __try_acquires(true, site_lock_of(s))
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

static inline void site_place(struct site *s, struct aspace *a, u64 address, u32 access,
			      u32 sequence, const struct mapping *m, pte_t *entry)
{
	s->a = a;
	s->address = address;
	s->access = access;
	s->sequence = sequence;
	s->table = table_folio(entry);
	s->entry = entry;
	s->m = m;
	s->supply = NULL;
}

/* The same, and what is there.  A mapping that changes between two looks does no harm: site_lock looks
 * at the sequence. */
static inline void site_look(struct site *s, struct aspace *a, u64 address, u32 access,
			     u32 sequence, const struct mapping *m, pte_t *entry)
{
	site_place(s, a, address, access, sequence, m, entry);
	s->flags = READ_ONCE(m->flags);
	s->cache = READ_ONCE(m->cache);
	s->seen = READ_ONCE(*entry);
}

/* A page for this mapping alone, zeroed if `zero`; NULL: memory has to be waited for. */
static __always_inline struct folio *page_take(const struct site *at, bool zero)
{
	const u32 flags = ALLOC_NOWAIT | ALLOC_MOVABLE | (zero ? ALLOC_ZERO : 0);
	struct supply *s = at->supply;
	struct folio *f = s ? s->anon : NULL;

	if (likely(!f)) {
		if (static_key_is_on(&numa_key))
			return folio_alloc_by_policy(at->m, at->address, flags);
		return folio_alloc_private(zero);
	}
	if (zero && !s->anon_is_zero)
		page_clear(folio_address(f));
	s->anon = NULL;
	return f;
}

/* A page that was not used after all: for the next try. */
static __noinline __cold int page_keep(struct supply *s, struct folio *f, bool zero)
{
	if (s) {
		s->anon = f;
		s->anon_is_zero = zero;
	} else {
		folio_put(f);
	}
	return TRY_AGAIN;
}

/* Entry for a private page that belongs to this mapping alone. */
static inline pte_t own_page_entry(const struct site *s, const struct folio *f)
{
	if (likely(s->flags & MAPPING_WRITE))
		return folio_to_phys(f) | (s->flags & MAPPING_EXEC ? 0 : PTE_NX) | PTE_PRESENT |
		       PTE_USER | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY;
	return folio_to_phys(f) | mapping_pte_bits(s->flags) | PTE_DIRTY;
}

/* After an entry of the address space lost a page or rights; preemption is off. */
static inline void flush_entry(struct aspace *a, u64 address)
{
	memory_fence();
	if (!static_key_is_on(&pcid_key) && likely(READ_ONCE(a->cpus) == bit(cpu_id())))
		tlb_flush_page(address);
	else
		aspace_flush(a, address, address + PAGE_SIZE);
}

/*
 * Another page takes the place of the one that was seen; the leaf lock is held.
 * In between nobody has either: a CPU that kept the old translation for longer
 * would read what a thread on a third one has overwritten in the new page.
 */
static inline void entry_replace(const struct site *s, pte_t new)
{
	if (pte_is_present(s->seen)) {
		WRITE_ONCE(*s->entry, s->seen & ~PTE_PRESENT);
		flush_entry(s->a, s->address);
	}
	WRITE_ONCE(*s->entry, new);
}

static inline bool entry_was_written(pte_t e)
{
	return (e & (PTE_DIRTY | PTE_SOFT_SPECIAL)) == PTE_DIRTY;
}

/*
 * Whether a store at the start of a cluster continues one that goes upward: the
 * cluster below was touched from end to end.  So what comes unasked is never more
 * than what was touched before it.
 */
static bool cluster_is_next(const struct site *s)
{
	const pte_t *entry = s->entry;

	if (s->address - s->start < CLUSTER_SIZE || s->end - s->address < CLUSTER_SIZE ||
	    (s->flags & (MAPPING_NOHUGE | MAPPING_RANDOM)))
		return false;
	if (PTE_INDEX(s->address, 1) == 0) { /* below lies another table */
		entry = table_find(s->a, s->address - PAGE_SIZE);
		if (!entry)
			return false;
		entry += 512;
	}
	return entry_was_written(READ_ONCE(entry[-1])) &&
	       entry_was_written(READ_ONCE(entry[-(s64)CLUSTER_PAGES]));
}

static __noinline __cold int cluster_drop(struct folio *f, int result)
{
	for (u32 i = 0; i < CLUSTER_PAGES; i++)
		folio_put(f + i);
	return result;
}

/* A store that is to bring its whole cluster; TRY_MEMORY: a page alone will do. */
static __noinline int fault_cluster(struct site *s, const struct mapping *m)
{
	u32 i;

	s->start = READ_ONCE(m->start);
	s->end = READ_ONCE(m->end);
	if (!cluster_is_next(s))
		return TRY_MEMORY;
	if (static_key_is_on(&numa_key) && (READ_ONCE(m->policy) || current_thread->memory_policy))
		return TRY_MEMORY;
	/* the search for neighbours is long where there are none */
	if (this_cpu_read(cluster_pause)) {
		this_cpu_add(cluster_pause, -1);
		return TRY_MEMORY;
	}
	struct folio *f = folio_alloc_cluster(CLUSTER_ORDER, 0, FOLIO_ANON);

	if (!f) {
		this_cpu_write(cluster_pause, CLUSTER_PAUSE);
		return TRY_MEMORY;
	}
	if (unlikely(!site_lock(s)))
		return cluster_drop(f, TRY_AGAIN);
	for (i = 0; i < CLUSTER_PAGES; i++) {
		if (unlikely(s->entry[i])) {
			site_unlock(s);
			return cluster_drop(f, TRY_MEMORY);
		}
	}
	pte_t pte = own_page_entry(s, f);

	for (i = 0; i < CLUSTER_PAGES; i++, pte += PAGE_SIZE) {
		f[i].map_count = 1;
		WRITE_ONCE(s->entry[i], pte);
	}
	s->table->nr_present += CLUSTER_PAGES;
	site_unlock(s);
	atomic_add(&s->a->resident_anon, CLUSTER_PAGES);
	counter_inc(cluster);
	return FAULT_DONE;
}

static inline bool may_start_cluster(u64 address)
{
	return address % CLUSTER_SIZE == 0 && anon_cluster;
}

/* Store to untouched anonymous memory, which brings one page. */
static __always_inline int fault_anon_page(struct site *s)
{
	struct folio *f = page_take(s, true);

	if (unlikely(!f))
		return TRY_MEMORY;
	if (unlikely(!site_lock(s)))
		return page_keep(s->supply, f, true);
	f->map_count = 1;
	WRITE_ONCE(*s->entry, own_page_entry(s, f));
	s->table->nr_present++;
	site_unlock(s);
	atomic_add(&s->a->resident_anon, 1);
	counter_inc(anon);
	return FAULT_DONE;
}

/* The same, perhaps with its cluster. */
static int fault_anon_write(struct site *s, const struct mapping *m)
{
	if (may_start_cluster(s->address)) {
		int result = fault_cluster(s, m);

		if (result != TRY_MEMORY)
			return result;
	}
	return fault_anon_page(s);
}

/* Load from untouched anonymous memory: the shared page of zeros. */
static __noinline int fault_zero_page(struct site *s)
{
	if (!site_lock(s))
		return TRY_AGAIN;
	WRITE_ONCE(*s->entry, folio_to_phys(zero_folio) | mapping_pte_bits(s->flags) |
				      PTE_SOFT_SPECIAL | PTE_SOFT_COW);
	s->table->nr_present++;
	s->table->nr_special++;
	site_unlock(s);
	counter_inc(zero);
	return FAULT_DONE;
}

/*
 * The same for an entry that was not empty.  The table may have been emptied, and filled
 * behind an entry of 2 MiB with what was seen: such a one is no longer to be changed.
 */
static __always_inline bool site_lock_seen(const struct site *s)
	__try_acquires(true, site_lock_of(s))
{
	if (!site_lock(s))
		return false;
	if (likely(s->table->nr_present != HUGE_PAGES || !huge_is_mapped(s->a, s->address)))
		return true;
	spin_unlock(site_lock_of(s));
	return false;
}

/* A private page that may be the only entry's: 0, or what became of the try. */
static __always_inline int fault_reuse(struct site *s, struct folio *old)
{
	bool exclusive;

	if (!site_lock_seen(s))
		return TRY_AGAIN;
	exclusive = ref_read(&old->refs) == 1; /* only this entry */
	if (exclusive)
		WRITE_ONCE(*s->entry, own_page_entry(s, old));
	site_unlock(s);
	if (!exclusive)
		return TRY_COPY;
	tlb_flush_page(s->address);
	counter_inc(reuse);
	return FAULT_DONE;
}

/* Store to a private page that is present but not writable. */
static __always_inline int fault_copy(struct site *s)
{
	bool zero_page = pte_is_special(s->seen);
	struct folio *old = zero_page ? NULL : phys_to_folio(pte_phys(s->seen));
	bool anon_page;

	if (old && old->kind == FOLIO_ANON && ref_read(&old->refs) == 1) {
		int result = fault_reuse(s, old);

		if (result != TRY_COPY)
			return result;
	}
	struct folio *f = page_take(s, zero_page);

	if (!f)
		return TRY_MEMORY;
	/* The old page may go away meanwhile; then the entry has changed and this copy is not used. */
	if (!zero_page)
		page_copy(folio_address(f), phys_to_virt(pte_phys(s->seen)));
	if (!site_lock_seen(s))
		return page_keep(s->supply, f, zero_page);
	f->map_count = 1;
	entry_replace(s, own_page_entry(s, f));
	anon_page = old && old->kind == FOLIO_ANON; /* for certain: the entry holds it */
	if (old)
		atomic_sub(&old->map_count, 1);
	else
		s->table->nr_special--;
	site_unlock(s);
	if (!anon_page)
		atomic_add(&s->a->resident_anon, 1);
	if (old && !anon_page) {
		aspace_count_resident(s->a, old, -1);
		if (unlikely(s->a->notes))
			start_note_copy(s->a, old, s->seen);
	}
	if (old)
		folio_put(old);
	counter_inc(copy);
	return FAULT_DONE;
}

/* ---- file pages ---- */

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

/* How many pages may be mapped before the one asked for, and from it on: by mapping, table and file. */
struct room {
	u64 before, from;
};

static inline struct room around_room(const struct site *s, u64 size_pages)
{
	u64 i = PTE_INDEX(s->address, 1);

	return (struct room){
		.before = min(i, (s->address - s->start) >> PAGE_SHIFT),
		.from = min(min(512 - i, (s->end - s->address) >> PAGE_SHIFT),
			    size_pages - s->index),
	};
}

/*
 * The stretch to map at once, as far as it goes beyond f: 16 pages, or nothing
 * more than a large folio.  Where all before it is mapped a scan may be under
 * way, and the stretch grows with what lies behind: 64 pages, then all of the leaf table.
 */
static inline struct room around_wanted(const struct site *s, const struct folio *f)
{
	u64 i = PTE_INDEX(s->address, 1), at = s->index % AROUND_PAGES;
	bool is_first = at == 0 || (f->order >= AROUND_ORDER && s->index == f->index);

	if (is_first && i && s->entry[-1])
		return (struct room){ 0,
				      i >= AROUND_SCAN_PAGES && s->entry[-(s64)AROUND_SCAN_PAGES] ?
					      512 :
					      AROUND_SCAN_PAGES };
	if (f->order >= AROUND_ORDER)
		return (struct room){ 0, 0 };
	return (struct room){ at, AROUND_PAGES - at };
}

/* Fills the empty ones of `span` entries with neighbouring pages from `pte` on; how many. */
static inline u32 fill_entries(pte_t *entry, pte_t pte, u64 span)
{
	const pte_t *const end = entry + span, *const last_four = end - 4;
	u32 occupied = 0;

	while (entry < end) {
		if (entry <= last_four && (entry[0] | entry[1] | entry[2] | entry[3]) == 0) {
			WRITE_ONCE(entry[0], pte);
			WRITE_ONCE(entry[1], pte + PAGE_SIZE);
			WRITE_ONCE(entry[2], pte + 2 * PAGE_SIZE);
			WRITE_ONCE(entry[3], pte + 3 * PAGE_SIZE);
			entry += 4;
			pte += 4 * PAGE_SIZE;
			continue;
		}
		if (*entry == 0)
			WRITE_ONCE(*entry, pte);
		else
			occupied++;
		entry++;
		pte += PAGE_SIZE;
	}
	return (u32)span - occupied;
}

/*
 * Entries [entry, entry + nr) for pages from `index` on, as far as the cache has
 * them; the leaf lock is held.  How many were empty and are filled.
 */
static u32 map_cached_locked(struct site *s, pte_t *entry, u64 index, u64 nr)
{
	void *const *slot = NULL;
	u64 span, left = 0;
	u32 mapped = 0;

	for (u64 i = 0; i < nr; i += span, slot += span, left -= span) {
		span = 1;
		if (left == 0) {
			unsigned in_node;

			slot = radix_find_slots(&s->cache->tree, index + i, &in_node);
			if (!slot)
				break;
			left = in_node;
		}
		struct folio *f = READ_ONCE(*slot);

		if (!f || entry[i] || !page_cache_try_get(s->cache, index + i, f))
			continue;
		span = min(min(f->index + folio_nr_pages(f) - (index + i), nr - i), left);
		u32 n = 0;

		if (folio_has_flag(f, FOLIO_UPTODATE))
			n = fill_entries(entry + i, file_page_entry(s, f, index + i), span);
		folio_add_entries(f, n);
		mapped += n;
	}
	return mapped;
}

/*
 * Maps f, which the caller has a reference on and which goes with it, at the page
 * asked for, and if `around` what is in the cache around that; the leaf lock is held.
 */
static inline u32 map_around_locked(struct site *s, struct folio *f, u64 size_pages, bool around)
{
	struct room room = { 0, 1 }, wanted = { 0, 0 };

	if (around) {
		room = around_room(s, size_pages);
		wanted = around_wanted(s, f);
	}
	u64 before = min(s->index - f->index, room.before);
	u64 from = min(f->index + folio_nr_pages(f) - s->index, room.from);
	u32 n = fill_entries(s->entry - before, file_page_entry(s, f, s->index - before),
			     before + from);

	folio_add_entries(f, n);
	wanted.before = min(wanted.before, room.before);
	wanted.from = min(wanted.from, room.from);
	if (unlikely(wanted.before > before))
		n += map_cached_locked(s, s->entry - wanted.before, s->index - wanted.before,
				       wanted.before - before);
	if (unlikely(wanted.from > from))
		n += map_cached_locked(s, s->entry + from, s->index + from, wanted.from - from);
	return n;
}

/* f's sort stands for all: they are pages of one file. */
static inline void count_mapped(struct site *s, struct folio *f, u32 nr)
{
	s->table->nr_present += (u16)nr;
	if (folio_has_flag(f, FOLIO_UNEVICTABLE))
		atomic_add(&s->a->resident_shmem, nr);
	else
		atomic_add(&s->a->resident_file, nr);
	if (!folio_has_flag(f, FOLIO_REFERENCED)) {
		folio_set_flag(f, FOLIO_REFERENCED);
		read_ahead_note_use(f);
	}
	counter_add(around, nr - 1);
}

/* A private store to a page of the cache: straight to a copy. */
static __noinline int fault_file_copy(struct site *s, struct folio *old, u32 invalidate)
{
	struct folio *f = page_take(s, false);

	if (!f) {
		folio_put(old);
		return TRY_MEMORY;
	}
	page_copy(folio_address(f),
		  (char *)folio_address(old) + ((s->index - old->index) << PAGE_SHIFT));
	folio_put(old);
	if (!site_lock(s))
		return page_keep(s->supply, f, false);
	if (atomic_load(&s->cache->invalidate_sequence) != invalidate) {
		site_unlock(s);
		return page_keep(s->supply, f, false);
	}
	f->map_count = 1;
	WRITE_ONCE(*s->entry, own_page_entry(s, f));
	s->table->nr_present++;
	site_unlock(s);
	atomic_add(&s->a->resident_anon, 1);
	if (unlikely(s->a->notes))
		start_note(s->a, s->cache, s->index, true);
	counter_inc(copy);
	return FAULT_DONE;
}

/* The folio of a page, referenced, if it is in the cache and ready. */
static inline struct folio *folio_find_ready(struct page_cache *c, u64 index)
{
	for (;;) {
		struct folio *f = radix_find(&c->tree, index);

		if (!f)
			return NULL;
		if (unlikely(!page_cache_try_get(c, index, f)))
			continue;
		if (likely(folio_has_flag(f, FOLIO_UPTODATE)))
			return f;
		folio_put(f);
		return NULL;
	}
}

static __noinline bool site_takes_block(const struct site *s, const struct mapping *m)
{
	return !s->table->nr_present && !(s->supply && s->supply->no_huge) &&
	       huge_file_fits(s->a, m, s->address);
}

/* No entry yet, and the mapping is of a cache. */
static __noinline int fault_file(struct site *s, const struct mapping *m)
{
	struct page_cache *c = s->cache;

	s->start = READ_ONCE(m->start);
	s->end = READ_ONCE(m->end);
	s->index = READ_ONCE(m->page_offset) + ((s->address - s->start) >> PAGE_SHIFT);
	/* what was read is one state of the mapping only if nothing has moved so far */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (unlikely(READ_ONCE(s->a->tree_sequence.sequence) != s->sequence))
		return TRY_AGAIN;
	u32 invalidate = atomic_load(&c->invalidate_sequence);
	u64 size_pages = div_round_up(READ_ONCE(*c->size), PAGE_SIZE);
	bool write = s->access & ACCESS_WRITE;

	if ((invalidate & 1) || s->index >= size_pages)
		return TRY_SLOW;
	struct folio *f = folio_find_ready(c, s->index);

	if (!f)
		return TRY_SLOW;
	if (write && site_is_private(s))
		return fault_file_copy(s, f, invalidate);
	if (unlikely(folio_has_flag(f, FOLIO_BLOCK)) && site_takes_block(s, m)) {
		folio_put(f);
		return TRY_BLOCK;
	}
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
	bool learning = unlikely(s->a->notes) && site_is_private(s) && start_is_learning(s->a);

	count_mapped(s, f, map_around_locked(s, f, size_pages, fault_around && !learning));
	site_unlock(s);
	if (unlikely(learning))
		start_note(s->a, c, s->index, false);
	counter_inc(file);
	return FAULT_DONE;
}

/* Whether it is the page that has to become another one. */
static inline bool site_wants_copy(const struct site *s)
{
	return (s->access & ACCESS_WRITE) && !(s->seen & PTE_WRITE) && site_is_private(s);
}

/* A page is there, and stays, but its entry lacks the right that the mapping gives. */
static __noinline int fault_present(struct site *s)
{
	bool write = s->access & ACCESS_WRITE;

	if (!site_lock_seen(s))
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

/* Off the straight way: after a race, or with a page at hand. */
static __noinline int fault_copy_anew(struct site *s)
{
	return fault_copy(s);
}

static __always_inline int fault_at(struct site *s)
{
	if (s->seen)
		return site_wants_copy(s) ? fault_copy_anew(s) : fault_present(s);
	if (s->cache)
		return fault_file(s, s->m);
	return s->access & ACCESS_WRITE ? fault_anon_write(s, s->m) : fault_zero_page(s);
}

/* Whatever is to be done at this entry. */
static __noinline int fault_at_entry(struct aspace *a, u64 address, u32 access, u32 sequence,
				     const struct mapping *m, pte_t *entry)
{
	struct site s;

	site_look(&s, a, address, access, sequence, m, entry);
	return fault_at(&s);
}

static __noinline int fault_supplied(struct aspace *a, u64 address, u32 access, u32 sequence,
				     const struct mapping *m, pte_t *entry, struct supply *supply)
{
	struct site s;

	site_look(&s, a, address, access, sequence, m, entry);
	s.supply = supply;
	return fault_at(&s);
}

/* A page is there: the straight way is to copy it. */
static __noinline int fault_occupied(struct aspace *a, u64 address, u32 access, u32 sequence,
				     const struct mapping *m, pte_t *entry)
{
	struct site s;

	site_look(&s, a, address, access, sequence, m, entry);
	if (likely(s.seen && site_wants_copy(&s)))
		return fault_copy(&s);
	return fault_at_entry(a, address, access, sequence, m, entry);
}

static __noinline bool huge_is_welcome(struct aspace *a, const struct mapping *m, u64 address,
				       const struct supply *supply)
{
	return !READ_ONCE(m->cache) && !(supply && supply->no_huge) &&
	       huge_is_wanted(a, m, address, READ_ONCE(m->flags));
}

/* There is no table to put an entry into: makes one, unless an entry of 2 MiB gives the access. */
static __noinline int fault_no_table(struct aspace *a, u64 address, u32 access, u32 sequence,
				     const struct mapping *m, struct supply *supply)
{
	pte_t *up = leaf_entry(a, address), *table;
	pte_t link = up ? READ_ONCE(*up) : 0;

	if (link_is_huge(link))
		return huge_settle(a, up, address, access, READ_ONCE(m->flags), sequence) ?
			       FAULT_DONE :
			       TRY_AGAIN;
	if (!link && huge_is_welcome(a, m, address, supply))
		return TRY_HUGE;
	table = table_get(a, address, ALLOC_NOWAIT);
	if (!table)
		return TRY_MEMORY;
	return fault_supplied(a, address, access, sequence, m, &table[PTE_INDEX(address, 1)],
			      supply);
}

/* Inlined twice: without a supply it is the straight way, on which hardly anything is kept in memory. */
static __always_inline int fault_try(struct aspace *a, u64 address, u32 access,
				     struct supply *supply)
{
	scoped_rcu();
	u32 sequence = atomic_load(&a->tree_sequence.sequence);
	if (unlikely(sequence & 1))
		return TRY_SLOW;
	const struct mapping *m = mapping_find_rcu(a, address);

	if (unlikely(!m))
		return TRY_SLOW;
	u32 flags = READ_ONCE(m->flags);

	if (unlikely((flags & (MAPPING_SPECIAL | MAPPING_HUGE)) ||
		     !access_is_allowed(flags, access))) {
		if ((flags & MAPPING_SPECIAL) || !access_is_allowed(flags, access))
			return TRY_SLOW;
		if (huge_is_welcome(a, m, address, supply))
			return TRY_HUGE;
	}
	pte_t *table = table_find_own(a, address);

	if (unlikely(!table))
		return fault_no_table(a, address, access, sequence, m, supply);
	pte_t *entry = &table[PTE_INDEX(address, 1)];

	if (supply)
		return fault_supplied(a, address, access, sequence, m, entry, supply);
	if (READ_ONCE(*entry))
		return fault_occupied(a, address, access, sequence, m, entry);
	if (!(access & ACCESS_WRITE) || READ_ONCE(m->cache) || may_start_cluster(address))
		return fault_at_entry(a, address, access, sequence, m, entry);
	struct site s;

	site_place(&s, a, address, access, sequence, m, entry);
	s.flags = flags;
	s.cache = NULL;
	s.seen = 0;
	return fault_anon_page(&s);
}

/* What the first try, with `result`, has left to do. */
static __noinline enum fault_result fault_resolve_slow(struct aspace *a, u64 address, u32 access,
						       int result)
{
	struct supply s = { 0 };

	for (;;) {
		if (result == TRY_SLOW)
			result = fault_slow(a, address, access, &s);
		else if (result == TRY_MEMORY)
			result = fault_wait_memory(a, address, &s);
		else if (result == TRY_HUGE)
			result = (s.no_huge = !huge_fault(a, address)) ? TRY_AGAIN : FAULT_DONE;
		else if (result == TRY_BLOCK)
			result = (s.no_huge = !huge_file_map(a, address)) ? TRY_AGAIN : FAULT_DONE;
		if (result != TRY_AGAIN)
			break;
		if (unlikely(fatal_signal_is_pending())) {
			result = FAULT_KILLED;
			break;
		}
		result = fault_try(a, address, access, &s);
	}
	if (s.anon)
		folio_put(s.anon);
	if (s.file)
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

static __always_inline void count_fault(void)
{
	this_cpu_add(faults_all, 1);
	current_thread->faults_minor++;
}

enum fault_result fault_resolve(struct aspace *a, u64 address, u32 access)
{
	int result;

	address &= PAGE_MASK;
	result = fault_try(a, address, access, NULL);
	if (unlikely(result != FAULT_DONE))
		return fault_resolve_slow(a, address, access, result);
	count_fault();
	return FAULT_DONE;
}

static __noinline void fault_report(enum fault_result result, u64 address, u64 code)
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

static inline u32 access_of(u64 code)
{
	return code & FAULT_WRITE ? ACCESS_WRITE : code & FAULT_EXEC ? ACCESS_EXEC : ACCESS_READ;
}

/* The first try, with `result`, did not do. */
static __noinline bool page_fault_user_slow(struct aspace *a, u64 address, u64 code, int result)
{
	enum fault_result end = FAULT_SEGV_MAPERR;

	/* what is not the user's has no mapping, so the try has touched nothing */
	if (address < USER_ADDRESS_END && !(code & FAULT_RESERVED))
		end = fault_resolve_slow(a, address & PAGE_MASK, access_of(code), result);
	if (end == FAULT_DONE)
		return true;
	fault_report(end, address, code);
	return false;
}

__hot bool page_fault_user(u64 address, u64 code)
{
	struct aspace *a = current_thread->aspace;
	int result = TRY_SLOW;

	if (likely(!(code & FAULT_RESERVED)))
		result = fault_try(a, address & PAGE_MASK, access_of(code), NULL);
	if (unlikely(result != FAULT_DONE))
		return page_fault_user_slow(a, address, code, result);
	count_fault();
	return true;
}

bool page_fault_kernel(u64 address, u64 code)
{
	struct aspace *a = current_thread->aspace;

	if (address >= USER_ADDRESS_END || !a || (code & FAULT_RESERVED) ||
	    user_fault_is_disabled())
		return false;
	return fault_resolve(a, address, access_of(code)) == FAULT_DONE;
}

void fault_stats_read(struct memory_stats *s)
{
	for_each_cpu(cpu)
	{
		s->faults += *per_cpu_ptr(faults_all, cpu);
		s->faults_major += *per_cpu_ptr(faults_major, cpu);
	}
}
