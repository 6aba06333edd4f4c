/*
 * What a start of a program touches: learnt once, mapped at once the next time.
 *
 * Concepts.  A program that is started again touches nearly the same pages of the
 * same files.  A start without a known set is learnt from: its faults in private
 * mappings of files map only the page asked for, and note it (file, page, written
 * or not).  When that address space ends, the notes become the program's start
 * set: a sorted list that hangs off the page cache of the program's file.  Each
 * later start has the pages of a mapping put in when the mapping is made: pages
 * that are read as entries of the cache's folios, pages that are written as
 * copies.  Every RELEARN_STARTS-th start is learnt from again.
 *
 * A set is a hint, and can't be wrong, only useless: files in it are compared by the
 * address of their cache and never looked into, and what is mapped are the
 * present pages of the mapping's own file.  So nothing has to be invalidated when
 * a file is written, truncated or replaced.
 *
 * ld.so maps a library whole and lays its segments over that: the set notes from which
 * page on this happens, and a mapping at a place of the kernel's choice gets
 * pages only up to there.
 *
 * Learning stops after LEARN_NS or LEARN_PAGES: it is about starting, not about
 * what a program does all day.
 *
 * Invariants.
 *   (1) a set never changes once cache->start points to it; it is found under RCU and
 *       used with a reference;
 *   (2) an entry is put in under the leaf lock only if the cache's
 *       invalidate_sequence has not moved since the page was looked up, as in
 *       fault.c; the tree is steady, for the caller holds `lock` for writing.
 *
 * Locking.  start_lock: the list of sets, and which cache has which.  Notes of threads that
 * fault at once take slots of an array by an atomic count.
 *
 * Boot switch: opt.exec_template.
 *
 * Rejected.  A fixed window around each fault alone (three times as many entries, half of
 * which are never used, and a fault for each window); bits of the accessed flag, harvested at
 * the end (a walk of all tables, and entries that the processor has to update); sets that belong
 * to libraries (the union of what all programs use); caching parsed headers (1 % of an
 * exec, and would have to be invalidated).
 *
 * References: Kleen, "Memory prefetching for exec" (bitmaps of pages, 2008).
 */
#include "aspace_internal.h"

#include <nos/counter.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/stock.h>
#include <nos/string.h>
#include <nos/timer.h>

#include <asm/mman.h>

#define LEARN_PAGES 900u
#define LEARN_FILES 32u
#define LEARN_NS (250 * NSEC_PER_MSEC)
#define RELEARN_STARTS 64u

DEFINE_COUNTER(sets_learnt, "exec.sets_learnt");
DEFINE_COUNTER(sets_used, "exec.sets_used");
DEFINE_COUNTER(pages_mapped, "exec.pages_mapped");
DEFINE_COUNTER(pages_copied, "exec.pages_copied");

/* One file of a set; `cache` is a name only. */
struct start_file {
	const struct page_cache *cache;
	u64 fixed_from; /* page from which on segments were laid over the first mapping */
};

/* A page of a set: file (from 1), page and whether it was written, so that they sort as numbers; never 0. */
#define ENTRY_WRITTEN 1ull
#define ENTRY_PAGE_SHIFT 1
#define ENTRY_FILE_SHIFT 48
#define ENTRY_PAGE_MAX ((1ull << (ENTRY_FILE_SHIFT - ENTRY_PAGE_SHIFT)) - 1)

static inline u64 entry_make(u32 file, u64 page)
{
	return (file + 1ull) << ENTRY_FILE_SHIFT | page << ENTRY_PAGE_SHIFT;
}

struct start_set {
	struct ref refs;
	u32 starts; /* that found it; atomic */
	struct list node; /* in all_sets */
	struct page_cache *owner;
	u32 nr_files, nr;
	struct start_file files[LEARN_FILES];
	u64 entries[]; /* nr, sorted */
};

/* What an address space that is learnt from has touched. */
struct start_notes {
	struct file *program;
	struct page_cache *cache; /* its */
	u64 deadline_ns;
	bool closed;
	u32 nr; /* atomic; may pass LEARN_PAGES */
	struct start_file files[LEARN_FILES];
	u64 entries[LEARN_PAGES]; /* 0: not there yet */
};

static bool templates_enabled __ro_after_init = true;
static struct spinlock start_lock = SPINLOCK_INIT(RANK_LEAF);
static struct list all_sets = LIST_INIT(all_sets);

void start_init(void)
{
	templates_enabled = boot_opt_enabled("exec_template");
}

/* ---- sets ---- */

static void set_put(struct start_set *s)
{
	if (ref_put(&s->refs))
		kfree_rcu(s);
}

static struct start_set *set_get(const struct page_cache *c)
{
	scoped_rcu();
	struct start_set *s = rcu_load(c->start);

	return s && ref_get_unless_zero(&s->refs) ? s : NULL;
}

/* The cache's set becomes `new`, NULL: none; the cache's owner keeps it alive. */
static void set_replace(struct page_cache *c, struct start_set *new)
{
	struct start_set *old;

	{
		scoped_spin(&start_lock);
		old = c->start;
		rcu_store(c->start, new);
		if (old)
			list_remove(&old->node);
		if (new)
			list_push_back(&all_sets, &new->node);
	}
	if (old)
		set_put(old);
}

void start_forget_slow(struct page_cache *c)
{
	set_replace(c, NULL);
}

/* Forgets up to nr sets, the oldest first. */
static u64 sets_reclaim(u64 nr)
{
	u64 done = 0;

	for (; done < nr; done++) {
		struct start_set *s = NULL;

		{
			scoped_spin(&start_lock);
			if (!list_is_empty(&all_sets)) {
				s = list_first(&all_sets, struct start_set, node);
				list_remove(&s->node);
				rcu_store(s->owner->start, NULL);
			}
		}
		if (!s)
			break;
		set_put(s);
	}
	return done;
}
REGISTER_SHRINKER(start_sets, sets_reclaim);

static void sets_drain(void)
{
	sets_reclaim(U64_MAX);
}
STOCK(sets_drain);

/* ---- learning ---- */

/* The number of the file, which may be new; LEARN_FILES: there are too many. */
static u32 notes_file(struct start_notes *n, const struct page_cache *c)
{
	for (u32 i = 0; i < LEARN_FILES; i++) {
		const struct page_cache *seen = READ_ONCE(n->files[i].cache);

		if (seen == c || (!seen && atomic_cas_update(&n->files[i].cache, &seen, c)) ||
		    seen == c)
			return i;
	}
	return LEARN_FILES;
}

bool start_is_learning(const struct aspace *a)
{
	return a->notes && !READ_ONCE(a->notes->closed);
}

void start_note(struct aspace *a, const struct page_cache *c, u64 page, bool written)
{
	struct start_notes *n = a->notes;

	if (READ_ONCE(n->closed))
		return;
	u32 file = notes_file(n, c);

	if (file == LEARN_FILES || page > ENTRY_PAGE_MAX)
		return;
	u32 slot = atomic_fetch_add(&n->nr, 1u);

	if (slot < LEARN_PAGES)
		WRITE_ONCE(n->entries[slot],
			   entry_make(file, page) | (written ? ENTRY_WRITTEN : 0));
	if (slot + 1 >= LEARN_PAGES || clock_monotonic_ns() > n->deadline_ns)
		WRITE_ONCE(n->closed, true);
}

void start_note_copy(struct aspace *a, const struct folio *f, pte_t entry)
{
	const struct page_cache *c = READ_ONCE(f->cache);

	if (c) /* not truncated meanwhile */
		start_note(a, c, f->index + ((pte_phys(entry) - folio_to_phys(f)) >> PAGE_SHIFT),
			   true);
}

/* Shell's method: short, and nearly sorted runs are what it gets. */
static void sort_entries(u64 *e, u32 nr)
{
	static const u32 gaps[] = { 301, 132, 57, 23, 10, 4, 1 };

	for (u32 g = 0; g < ARRAY_SIZE(gaps); g++) {
		u32 gap = gaps[g];

		for (u32 i = gap; i < nr; i++) {
			u64 x = e[i];
			u32 j = i;

			for (; j >= gap && e[j - gap] > x; j -= gap)
				e[j] = e[j - gap];
			e[j] = x;
		}
	}
}

/* Each page once, in order; a page that was read and then written counts as written. */
static u32 tidy_entries(u64 *e, u32 nr)
{
	u32 n = 0;

	sort_entries(e, nr);
	for (u32 i = 0; i < nr; i++) {
		if (e[i] == 0)
			continue;
		if (n > 0 && !((e[n - 1] ^ e[i]) & ~ENTRY_WRITTEN))
			n--;
		e[n++] = e[i];
	}
	return n;
}

/* The notes become the program's set, and are gone. */
static void notes_finish(struct start_notes *n)
{
	u32 nr = tidy_entries(n->entries, min(n->nr, LEARN_PAGES));
	struct start_set *s = NULL;

	if (nr > 0)
		s = kmalloc(sizeof(*s) + nr * sizeof(s->entries[0]), ALLOC_NORETRY);
	if (s) {
		ref_init(&s->refs, 1);
		s->starts = 0;
		s->owner = n->cache;
		s->nr = nr;
		s->nr_files = LEARN_FILES;
		while (s->nr_files > 0 && !n->files[s->nr_files - 1].cache)
			s->nr_files--;
		memcpy(s->files, n->files, sizeof(s->files));
		memcpy(s->entries, n->entries, nr * sizeof(s->entries[0]));
		set_replace(n->cache, s);
		counter_inc(sets_learnt);
	}
	file_put_for_mapping(n->program);
	kfree(n);
}

void aspace_start(struct aspace *a, struct file *program, struct page_cache *cache)
{
	if (!templates_enabled)
		return;
	struct start_set *s = set_get(cache);

	if (s && atomic_fetch_add(&s->starts, 1u) % RELEARN_STARTS != RELEARN_STARTS - 1) {
		a->start = s;
		counter_inc(sets_used);
		return;
	}
	if (s)
		set_put(s);
	struct start_notes *n = kzalloc(sizeof(*n), ALLOC_NORETRY);

	if (!n)
		return;
	for (u32 i = 0; i < LEARN_FILES; i++)
		n->files[i].fixed_from = U64_MAX;
	file_get_for_mapping(program);
	n->program = program;
	n->cache = cache;
	n->deadline_ns = clock_monotonic_ns() + LEARN_NS;
	a->notes = n;
}

void start_end(struct aspace *a)
{
	if (a->start)
		set_put(a->start);
	if (a->notes)
		notes_finish(a->notes);
}

/* ---- using ---- */

/* A mapping that is to get pages, and the part of a set that it gets. */
struct start_range {
	struct aspace *a;
	struct page_cache *cache;
	u64 start, first_page; /* of the mapping */
	u32 flags;
	u32 invalidate; /* the cache's sequence before the first look */
	u32 nr_file, nr_anon; /* put in */
};

static inline u64 entry_page(u64 e)
{
	return (e & (bit(ENTRY_FILE_SHIFT) - 1)) >> ENTRY_PAGE_SHIFT;
}

static inline u64 range_address(const struct start_range *r, u64 e)
{
	return r->start + ((entry_page(e) - r->first_page) << PAGE_SHIFT);
}

static inline bool range_copies(const struct start_range *r, u64 e)
{
	return (e & ENTRY_WRITTEN) && (r->flags & MAPPING_WRITE);
}

/* Takes the table's lock if the cache is still as it was. */
static inline bool range_lock(const struct start_range *r, struct folio *tf)
	__try_acquires(true, &tf->table_lock)
{
	spin_lock(&tf->table_lock);
	if (likely(atomic_load(&r->cache->invalidate_sequence) == r->invalidate))
		return true;
	spin_unlock(&tf->table_lock);
	return false;
}

/* n entries were put in that map f, on which the caller has one reference. */
static void range_count(struct start_range *r, struct folio *f, u32 n)
{
	if (!f)
		return;
	if (n) {
		if (!folio_has_flag(f, FOLIO_REFERENCED)) {
			folio_set_flag(f, FOLIO_REFERENCED);
			read_ahead_note_use(f);
		}
		aspace_count_resident(r->a, f, n);
		r->nr_file += n;
	}
	folio_add_entries(f, n);
}

/* Entries of the cache's pages; all of [e, end) lie in this table. */
static void range_map_table(struct start_range *r, pte_t *table, const u64 *e, const u64 *end)
{
	const pte_t bits = mapping_pte_bits(r->flags) | PTE_SOFT_COW;
	struct folio *tf = table_folio(table), *f = NULL;
	u64 first = 0, nr = 0; /* pages of f */
	u32 n = 0, all = r->nr_file;

	scoped_rcu();
	if (!range_lock(r, tf))
		return;
	for (; e < end; e++) {
		u64 page = entry_page(*e);
		pte_t *entry = &table[PTE_INDEX(range_address(r, *e), 1)];

		if (*entry || range_copies(r, *e))
			continue;
		if (page - first >= nr) {
			range_count(r, f, n);
			n = 0;
			nr = 0;
			f = radix_find(&r->cache->tree, page);
			if (!f || !page_cache_try_get(r->cache, page, f)) {
				f = NULL;
				continue;
			}
			if (folio_has_flag(f, FOLIO_UPTODATE)) {
				first = f->index;
				nr = folio_nr_pages(f);
			}
		}
		if (nr == 0)
			continue;
		WRITE_ONCE(*entry, (folio_to_phys(f) + ((page - first) << PAGE_SHIFT)) | bits);
		n++;
	}
	range_count(r, f, n);
	tf->nr_present += (u16)(r->nr_file - all);
	spin_unlock(&tf->table_lock);
}

/* A copy of a page that is present in the cache; NULL: it is not, or no memory. */
static struct folio *copy_make(struct page_cache *c, u64 page)
{
	struct folio *f = page_cache_find(c, page), *own = NULL;

	if (f && folio_has_flag(f, FOLIO_UPTODATE))
		own = folio_alloc(0, FOLIO_ANON, ALLOC_NOWAIT | ALLOC_MOVABLE);
	if (own)
		page_copy(folio_address(own),
			  (char *)folio_address(f) + ((page - f->index) << PAGE_SHIFT));
	if (f)
		folio_put(f);
	return own;
}

/* Copies of pages that are written; all of [e, end) lie in this table. */
static void range_copy_table(struct start_range *r, pte_t *table, const u64 *e, const u64 *end)
{
	struct folio *tf = table_folio(table);

	for (; e < end; e++) {
		pte_t *entry = &table[PTE_INDEX(range_address(r, *e), 1)];
		struct folio *own =
			range_copies(r, *e) ? copy_make(r->cache, entry_page(*e)) : NULL;

		if (!own)
			continue;
		if (range_lock(r, tf)) {
			if (*entry == 0) {
				own->map_count = 1;
				WRITE_ONCE(*entry, folio_to_phys(own) | mapping_pte_bits(r->flags) |
							   PTE_DIRTY | PTE_WRITE);
				tf->nr_present++;
				r->nr_anon++;
				own = NULL;
			}
			spin_unlock(&tf->table_lock);
		}
		if (own)
			folio_put(own);
	}
}

/* Puts in the pages [e, end) of the set. */
static void range_fill(struct start_range *r, const u64 *e, const u64 *end)
{
	while (e < end) {
		u64 va = range_address(r, *e), top = align_down(va, HUGE_SIZE) + HUGE_SIZE;
		pte_t *table = table_get(r->a, va, ALLOC_NOWAIT);
		const u64 *from = e;
		bool copies = false;

		while (e < end && range_address(r, *e) < top)
			copies |= range_copies(r, *e++);
		if (!table)
			return;
		range_map_table(r, table, from, e);
		if (copies)
			range_copy_table(r, table, from, e);
	}
}

/* The first entry that is not below `key`. */
static u32 set_lower_bound(const struct start_set *s, u64 key)
{
	u32 low = 0, high = s->nr;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (s->entries[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Puts in what the set has of the mapping's pages. */
static void set_map(struct aspace *a, const struct map_request *m, u64 start, u64 length, u32 flags)
{
	const struct start_set *s = a->start;
	u64 page = m->page_offset, end = page + (length >> PAGE_SHIFT);
	u32 file = 0;

	while (file < s->nr_files && s->files[file].cache != m->cache)
		file++;
	if (file == s->nr_files)
		return;
	if (!(m->map_flags & MAP_FIXED))
		end = min(end, s->files[file].fixed_from);
	struct start_range r = {
		.a = a,
		.cache = m->cache,
		.start = start,
		.first_page = page,
		.flags = flags,
		.invalidate = atomic_load(&m->cache->invalidate_sequence),
	};

	end = min(end, div_round_up(READ_ONCE(*m->cache->size), PAGE_SIZE));
	end = min(end, ENTRY_PAGE_MAX); /* what is beyond would be taken for the next file's */
	if ((r.invalidate & 1) || page >= end)
		return;
	range_fill(&r, &s->entries[set_lower_bound(s, entry_make(file, page))],
		   &s->entries[set_lower_bound(s, entry_make(file, end))]);
	if (r.nr_anon)
		atomic_add(&a->resident_anon, r.nr_anon);
	counter_add(pages_mapped, r.nr_file);
	counter_add(pages_copied, r.nr_anon);
}

__noinline void start_mapped_slow(struct aspace *a, const struct map_request *r, u64 start,
				  u64 length, u32 flags)
{
	if (!r->file || !r->cache || (flags & MAPPING_SHARED) ||
	    !(flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC)))
		return;
	if (a->start) {
		set_map(a, r, start, length, flags);
		return;
	}
	if (!(r->map_flags & MAP_FIXED) || READ_ONCE(a->notes->closed))
		return;
	u32 file = notes_file(a->notes, r->cache);

	if (file < LEARN_FILES)
		a->notes->files[file].fixed_from =
			min(a->notes->files[file].fixed_from, r->page_offset);
}
