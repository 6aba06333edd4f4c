/*
 * Memory that one entry maps by 2 MiB: private anonymous memory, and blocks of files (huge_file.c).
 *
 * Concepts.  A huge level-2 entry maps 512 neighbouring frames.  They are folios of
 * their own, each with its references, and the leaf table that would map them
 * stays, filled in: `huge_links` of the level-2 table leads to a page that says
 * where it is.  The table is what the kernel reads; the huge entry is a shorter
 * way for the processor to the same.  So references, copy-on-write, pins and
 * figures know nothing of 2 MiB, and to split is to point the entry to the table:
 * it needs no memory and can't fail.
 *
 * Invariants.
 *   (1) behind a huge entry the table has 512 entries, alike but for the frame:
 *       entry i is the huge one, without PTE_HUGE, plus i pages;
 *   (2) nobody changes such a table but under its lock, and first splits the entry,
 *       or changes all 512 and then the entry the same way;
 *   (3) all entries have ACCESSED, and DIRTY if they may be written, so what the
 *       processor notes in the huge one is not missed in the table;
 *   (4) an entry becomes huge only from an empty table, and is split before a fork
 *       shares the table.  A fault that has seen an entry of the table, and finds
 *       it again under the lock, looks whether a huge one stands before it;
 *   (5) the processor never sees two sizes for one address: between them the
 *       entry is not present (PTE_HUGE alone), and all CPUs flush.
 *
 * Locking.  The entry changes under the table's lock.  It becomes huge with `lock`
 * held for reading too: who holds that for writing finds none made behind his
 * back; others, who hold the lock of a full table, look at the entry again.
 * huge_links is set before the entry and cleared after it; so who reads an entry
 * without the lock, and then finds no link, reads again.
 *
 * Policy.  A fault brings 2 MiB if the mapping holds all of them, nothing is there
 * yet, and the mode says so: with MADV_HUGEPAGE, or always.  The default is the
 * former.  They are zeroed before any lock is taken.  No memory is moved or dropped to
 * get a block.  Of a file it maps the block that is there, if the mapping holds all of
 * it and so does the file: read-only in a private mapping, whose first store splits it
 * and copies a page.  Boot switch: opt.huge_pages.
 *
 * Rejected.  One folio of 512 frames (docs/decisions/huge-pages.md); a bit in the
 * frame's record for the table (a reader without a lock may meet another owner's).
 *
 * References: Intel SDM vol. 3, 4.10.2.3 (sizes), 4.10.4.1 (INVLPG), AMD erratum 383;
 * Navarro et al., "Practical, transparent operating system support for superpages"
 * (OSDI 2002).
 */
#include "aspace_internal.h"
#include "page_internal.h"

#include <nos/counter.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/fail.h>
#include <nos/huge.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/thread.h>

static DEFINE_PERCPU(s64, huge_mapped);
static DEFINE_PERCPU(s64, huge_file_mapped);
static DEFINE_PERCPU(u64, huge_file_maps);
static DEFINE_PERCPU(u64, huge_faults);
static DEFINE_PERCPU(u64, huge_fallbacks);
static DEFINE_PERCPU(u64, huge_splits);

static bool huge_enabled __ro_after_init;
static u32 huge_mode = HUGE_MADVISE;

void huge_init(void)
{
	huge_enabled = boot_opt_enabled("huge_pages");
	if (!huge_enabled)
		huge_mode = HUGE_NEVER;
	huge_file_init();
}

enum huge_mode huge_mode_get(void)
{
	return READ_ONCE(huge_mode);
}

int huge_mode_set(enum huge_mode mode)
{
	if (!huge_enabled && mode != HUGE_NEVER)
		return -EINVAL;
	WRITE_ONCE(huge_mode, mode);
	return 0;
}

void huge_stats_read(struct huge_stats *s)
{
	s64 mapped = 0, file_mapped = 0;

	*s = (struct huge_stats){ 0 };
	for_each_cpu(cpu)
	{
		mapped += *per_cpu_ptr(huge_mapped, cpu);
		file_mapped += *per_cpu_ptr(huge_file_mapped, cpu);
		s->file_maps += *per_cpu_ptr(huge_file_maps, cpu);
		s->faults += *per_cpu_ptr(huge_faults, cpu);
		s->fallbacks += *per_cpu_ptr(huge_fallbacks, cpu);
		s->splits += *per_cpu_ptr(huge_splits, cpu);
	}
	s->mapped = (u64)max(mapped, (s64)0);
	s->file_mapped = (u64)max(file_mapped, (s64)0);
	huge_file_stats_read(s);
}

/* ---- where the tables are ---- */

/* The word that says where the table behind a level-2 entry is; NULL: there never was one. */
static u64 *link_of(const pte_t *entry)
{
	phys_t p = direct_to_phys(entry);
	u64 links = READ_ONCE(phys_to_frame(p)->huge_links);

	return links ? (u64 *)phys_to_virt(links) + p % PAGE_SIZE / sizeof(pte_t) : NULL;
}

struct folio *huge_table(const pte_t *entry)
{
	const u64 *link = link_of(entry);
	phys_t p = link ? READ_ONCE(*link) : 0;

	return p ? phys_to_frame(p) : NULL;
}

struct folio *huge_table_lock(const pte_t *entry) __no_lock_check
{
	struct folio *f = huge_table(entry);

	if (!f)
		return NULL;
	spin_lock(&f->table_lock);
	/* the same pages may have got another table */
	if (likely(link_is_huge(READ_ONCE(*entry)) && huge_table(entry) == f))
		return f;
	spin_unlock(&f->table_lock);
	return NULL;
}

/* The same, with room for it made; NULL: no memory.  Under RCU. */
static u64 *link_get(struct aspace *a, const pte_t *entry)
{
	struct folio *upper = phys_to_frame(direct_to_phys(entry));
	u64 none = 0;

	if (!READ_ONCE(upper->huge_links)) {
		struct folio *f = table_alloc(a, ALLOC_NOWAIT);

		if (!f)
			return NULL;
		/* all words are 0 again when the address space ends */
		if (atomic_cas_update(&upper->huge_links, &none, folio_to_phys(f)))
			upper_table_add(a, f, &upper->huge_links);
		else
			table_free(a, f);
	}
	return link_of(entry);
}

/* Is it a file's block?  Who asks keeps the pages from going. */
static inline bool entry_is_file(pte_t e)
{
	return phys_to_frame(pte_phys(e))->kind == FOLIO_FILE;
}

static void count_mapped(pte_t e, s64 nr)
{
	if (entry_is_file(e))
		this_cpu_add(huge_file_mapped, nr);
	else
		this_cpu_add(huge_mapped, nr);
}

struct folio *huge_detach(pte_t *entry, pte_t was)
{
	u64 *link = link_of(entry);
	struct folio *table = phys_to_frame(*link);

	*link = 0;
	count_mapped(was, -1);
	return table;
}

/* ---- blocks ---- */

/* A frame that lost its last reference and is not free yet. */
static inline void frame_revive(struct folio *f, unsigned order)
{
	f->kind = FOLIO_ANON;
	f->order = (u8)order;
	ref_init(&f->refs, 1);
}

static __noinline __cold void block_put_parts(struct folio *block, const u64 *gone)
{
	for (u32 i = 0; i < HUGE_PAGES; i++) {
		if (gone[i / 64] >> (i % 64) & 1) {
			frame_revive(block + i, 0);
			folio_put(block + i);
		}
	}
}

/* The entries' references on a file's block. */
static void file_block_put(struct folio *block)
{
	u32 nr;

	for (struct folio *f = block; f < block + HUGE_PAGES; f += nr) {
		nr = (u32)folio_nr_pages(f);
		folio_add_mapped(f, 1 - (s32)nr);
		atomic_sub(&f->map_count, 1);
		folio_put(f);
	}
}

/* What no entry maps any more: as one folio, unless somebody has a page of it. */
static void block_put(struct folio *block)
{
	u64 gone[HUGE_PAGES / 64], all = ~0ull;

	for (u32 word = 0; word < ARRAY_SIZE(gone); word++) {
		struct folio *f = block + (u64)word * 64;

		gone[word] = 0;
		for (u64 one = 1; one; one <<= 1, f++) {
			f->map_count = 0;
			if (unlikely(!ref_put(&f->refs)))
				continue;
			f->kind = FOLIO_FREE;
			f->flags = 0;
			gone[word] |= one;
		}
		all &= gone[word];
	}
	if (unlikely(~all)) {
		block_put_parts(block, gone);
		return;
	}
	frame_revive(block, CHUNK_SHIFT);
	folio_put(block);
}

/* ---- faults ---- */

static bool mode_allows(const struct aspace *a, u32 flags)
{
	u32 mode = READ_ONCE(huge_mode), wanted = MAPPING_WRITE;

	if (mode == HUGE_MADVISE)
		wanted |= MAPPING_HUGE;
	return mode != HUGE_NEVER && !READ_ONCE(a->huge_disabled) &&
	       (flags & (wanted | MAPPING_SHARED | MAPPING_SPECIAL | MAPPING_NOHUGE |
			 MAPPING_GROWS_DOWN | MAPPING_STACK)) == wanted;
}

bool mapping_may_be_huge(const struct mapping *m)
{
	u64 base = align_up(m->start, HUGE_SIZE), index = mapping_page_index(m, base);

	if (m->cache && page_cache_is_memory(m->cache))
		return base + HUGE_SIZE <= m->end && index % HUGE_PAGES == 0 &&
		       !m->aspace->huge_disabled && huge_file_allows(m->cache, index, m->flags);
	return mode_allows(m->aspace, m->flags) && !m->cache && !m->file &&
	       base + HUGE_SIZE <= m->end;
}

/* The bounds may be of two states of the mapping: the sequence is looked at before it matters. */
bool huge_is_wanted(struct aspace *a, const struct mapping *m, u64 address, u32 flags)
{
	u64 base = align_down(address, HUGE_SIZE);

	if (!mode_allows(a, flags) || READ_ONCE(m->cache) || READ_ONCE(m->file) ||
	    READ_ONCE(m->start) > base || READ_ONCE(m->end) < base + HUGE_SIZE)
		return false;
	if (static_key_is_on(&numa_key) && (READ_ONCE(m->policy) || current_thread->memory_policy))
		return false;
	const pte_t *entry = leaf_entry(a, base);
	pte_t e = entry ? READ_ONCE(*entry) : 0;

	return !e || (table_link_is_own(e) && !READ_ONCE(phys_to_frame(pte_phys(e))->nr_present));
}

/* A leaf table, empty and locked, and its place, which are to get an entry of 2 MiB. */
struct huge_site {
	pte_t *entry;
	u64 *link;
	struct folio *table;
};

/* The pages from `e` on, whose references the table gets, by one entry. */
static void entry_make_huge(struct aspace *a, const struct huge_site *s, pte_t e, u64 base)
{
	pte_t *to = folio_address(s->table), *entry = s->entry;

	for (u32 i = 0; i < HUGE_PAGES; i++)
		WRITE_ONCE(to[i], e + i * PAGE_SIZE);
	s->table->nr_present = HUGE_PAGES;
	WRITE_ONCE(*s->link, folio_to_phys(s->table));
	WRITE_ONCE(*entry, (e | PTE_HUGE) & ~PTE_PRESENT);
	/* nothing below the table is cached, but the way to it may be: any page's flush drops that */
	aspace_flush(a, base, base + PAGE_SIZE);
	WRITE_ONCE(*entry, e | PTE_HUGE);
	count_mapped(e, 1);
}

/* Makes the place ready; false: no memory.  The lock is held for reading. */
static bool huge_site_get(struct aspace *a, u64 base, struct huge_site *s)
{
	pte_t *table = table_get(a, base, ALLOC_NOWAIT);

	s->entry = leaf_entry(a, base);
	s->link = table ? link_get(a, s->entry) : NULL;
	s->table = s->link ? table_folio(table) : NULL;
	return s->link != NULL;
}

static inline bool huge_site_is_empty(const struct huge_site *s)
{
	return !s->table->nr_present &&
	       READ_ONCE(*s->entry) == (folio_to_phys(s->table) | TABLE_LINK);
}

/* Puts the block in, if what huge_is_wanted saw still holds.  The lock is held for reading. */
static bool block_map(struct aspace *a, u64 base, struct folio *block)
{
	const struct mapping *m = mapping_find(a, base);
	struct huge_site s;

	if (!m || !huge_is_wanted(a, m, base, m->flags) || !huge_site_get(a, base, &s))
		return false;
	scoped_spin(&s.table->table_lock);
	if (!huge_site_is_empty(&s))
		return false;
	for (u32 i = 0; i < HUGE_PAGES; i++)
		block[i].map_count = 1;
	entry_make_huge(a, &s,
			folio_to_phys(block) | mapping_pte_bits(m->flags) | PTE_DIRTY | PTE_WRITE,
			base);
	return true;
}

bool huge_fault(struct aspace *a, u64 address)
{
	struct folio *block = fail_now(FAIL_ALLOC, "huge") ?
				      NULL :
				      folio_alloc_cluster(CHUNK_SHIFT, 0, FOLIO_ANON);

	if (!block) {
		this_cpu_add(huge_fallbacks, 1);
		return false;
	}
	rwlock_read(&a->lock);
	bool done = block_map(a, align_down(address, HUGE_SIZE), block);

	if (done)
		atomic_add(&a->resident_anon, HUGE_PAGES);
	rwlock_read_unlock(&a->lock);
	if (!done) {
		block_put(block);
		return false;
	}
	this_cpu_add(huge_faults, 1);
	return true;
}

/* ---- blocks of files ---- */

bool huge_file_fits(const struct aspace *a, const struct mapping *m, u64 address)
{
	u64 base = align_down(address, HUGE_SIZE), start = READ_ONCE(m->start);
	u64 index = READ_ONCE(m->page_offset) + ((base - start) >> PAGE_SHIFT);
	const struct page_cache *c = READ_ONCE(m->cache);

	return start <= base && base + HUGE_SIZE <= READ_ONCE(m->end) && index % HUGE_PAGES == 0 &&
	       c && index + HUGE_PAGES <= div_round_up(READ_ONCE(*c->size), PAGE_SIZE) &&
	       !(READ_ONCE(m->flags) & MAPPING_NOHUGE) && !READ_ONCE(a->huge_disabled);
}

static inline pte_t file_entry_bits(u32 flags)
{
	if (!(flags & MAPPING_SHARED))
		return mapping_pte_bits(flags) | PTE_SOFT_COW;
	return mapping_pte_bits(flags) | (flags & MAPPING_WRITE ? PTE_WRITE | PTE_DIRTY : 0);
}

/* The block at page `index`, with references for entries of all its pages; NULL: it is not whole.
 * A leaf lock is held, under which nothing was being truncated. */
static struct folio *file_block_get(struct page_cache *c, u64 index)
{
	u32 nr;

	scoped_rcu();
	struct folio *block = radix_find(&c->tree, index);

	if (!block || !folio_has_flag(block, FOLIO_BLOCK))
		return NULL;
	for (struct folio *f = block; f < block + HUGE_PAGES; f += nr) {
		ASSERT(f->cache == c && f->index == index + (u64)(f - block));
		nr = (u32)folio_nr_pages(f);
		folio_add_mapped(f, (s32)nr);
	}
	return block;
}

/* The lock is held for reading. */
static bool file_block_map(struct aspace *a, u64 base)
{
	const struct mapping *m = mapping_find(a, base);
	struct huge_site s;

	if (!m || m->start > base || !m->cache)
		return false;
	u32 invalidate = atomic_load(&m->cache->invalidate_sequence);

	if ((invalidate & 1) || !huge_file_fits(a, m, base) || !(m->flags & MAPPING_RIGHTS) ||
	    !huge_site_get(a, base, &s))
		return false;
	scoped_spin(&s.table->table_lock);
	if (!huge_site_is_empty(&s) || atomic_load(&m->cache->invalidate_sequence) != invalidate)
		return false;
	struct folio *block = file_block_get(m->cache, mapping_page_index(m, base));

	if (!block)
		return false;
	entry_make_huge(a, &s, folio_to_phys(block) | file_entry_bits(m->flags), base);
	return true;
}

bool huge_file_map(struct aspace *a, u64 address)
{
	rwlock_read(&a->lock);
	bool done = file_block_map(a, align_down(address, HUGE_SIZE));

	if (done)
		atomic_add(&a->resident_shmem, HUGE_PAGES);
	rwlock_read_unlock(&a->lock);
	if (done)
		this_cpu_add(huge_file_maps, 1);
	return done;
}

/* ---- faults at a huge entry ---- */

/* A store to a shared mapping that has been read-only: all of it may be written again. */
static void entry_add_write(pte_t *entry, struct folio *table)
{
	pte_t *to = folio_address(table);

	for (u32 i = 0; i < HUGE_PAGES; i++)
		WRITE_ONCE(to[i], to[i] | PTE_WRITE | PTE_DIRTY);
	WRITE_ONCE(*entry, *entry | PTE_WRITE | PTE_DIRTY);
}

bool huge_settle(struct aspace *a, pte_t *entry, u64 address, u32 access, u32 flags, u32 sequence)
{
	const u32 shared_store = MAPPING_SHARED | MAPPING_WRITE;
	struct folio *table = table_lock(entry);
	bool done = false;

	if (!table)
		return false;
	if (link_is_huge(READ_ONCE(*entry)) && (access & ACCESS_WRITE) &&
	    (flags & shared_store) == shared_store && !(*entry & PTE_WRITE) &&
	    READ_ONCE(a->tree_sequence.sequence) == sequence)
		entry_add_write(entry, table);
	pte_t e = READ_ONCE(*entry);

	if (link_is_huge(e)) {
		done = (!(access & ACCESS_WRITE) || (e & PTE_WRITE)) &&
		       (!(access & ACCESS_EXEC) || !(e & PTE_NX));
		if (done)
			tlb_flush_page(address);
		else
			huge_split_locked(a, entry, table, address);
	}
	table_unlock(table);
	return done;
}

bool huge_is_mapped(const struct aspace *a, u64 va)
{
	const pte_t *entry = leaf_entry(a, va);

	return entry && link_is_huge(READ_ONCE(*entry));
}

/* ---- back to small entries ---- */

/* Nobody reaches the 2 MiB through the entry, or what was cached of it, any more. */
static void entry_flush(struct aspace *a, pte_t *entry, u64 base)
{
	WRITE_ONCE(*entry, *entry & ~PTE_PRESENT);
	aspace_flush(a, base, base + HUGE_SIZE);
}

/* The entry, which is not present, points to the table. */
static void entry_link(pte_t *entry, struct folio *table)
{
	pte_t was = *entry;

	WRITE_ONCE(*entry, folio_to_phys(table) | TABLE_LINK);
	(void)huge_detach(entry, was);
}

void huge_split_locked(struct aspace *a, pte_t *entry, struct folio *table, u64 va)
{
	ASSERT(table->nr_present == HUGE_PAGES && huge_table(entry) == table);
	entry_flush(a, entry, align_down(va, HUGE_SIZE));
	entry_link(entry, table);
	this_cpu_add(huge_splits, 1);
}

void huge_split(struct aspace *a, pte_t *entry, u64 va)
{
	if (!link_is_huge(READ_ONCE(*entry)))
		return;
	struct folio *table = table_lock(entry);

	if (!table)
		return;
	huge_split_full_locked(a, entry, table, va);
	table_unlock(table);
}

void huge_split_range(struct aspace *a, u64 start, u64 end)
{
	pte_t *entry;

	for (u64 va = start; (entry = leaf_entry_next(a, &va, end)); va += HUGE_SIZE) {
		struct folio *table = link_is_huge(READ_ONCE(*entry)) ? table_lock(entry) : NULL;

		if (!table)
			continue;
		if (link_is_huge(*entry))
			WRITE_ONCE(*entry, *entry & ~PTE_PRESENT);
		table_unlock(table);
	}
	aspace_flush(a, start, end);
	for (u64 va = start; (entry = leaf_entry_next(a, &va, end)); va += HUGE_SIZE) {
		struct folio *table = link_is_huge(READ_ONCE(*entry)) ? table_lock(entry) : NULL;

		if (!table)
			continue;
		if (link_is_huge(*entry)) {
			entry_link(entry, table);
			this_cpu_add(huge_splits, 1);
		}
		table_unlock(table);
	}
}

bool huge_protect_locked(struct aspace *a, pte_t *entry, struct folio *table, u64 start, u64 end,
			 u32 flags)
{
	if (!link_is_huge(READ_ONCE(*entry)))
		return false;
	/* an entry that is not present is one on its way between the two */
	if (end - start == HUGE_SIZE && (flags & MAPPING_RIGHTS))
		return true;
	huge_split_locked(a, entry, table, start);
	return false;
}

bool huge_zap(struct aspace *a, u64 start, u64 end, const struct page_cache *only_cache)
{
	pte_t *entry = leaf_entry(a, start);
	struct folio *table = table_lock(entry);

	if (!table)
		return false;
	pte_t e = *entry;
	bool huge = link_is_huge(e), whole = huge && end - start == HUGE_SIZE;
	struct folio *block = phys_to_frame(pte_phys(e));

	if (huge && only_cache && (!entry_is_file(e) || block->cache != only_cache)) {
		table_unlock(table);
		return true;
	}
	if (whole) {
		entry_flush(a, entry, start);
		memset(folio_address(table), 0, PAGE_SIZE);
		table->nr_present = 0;
		entry_link(entry, table);
	} else {
		huge_split_full_locked(a, entry, table, start);
	}
	table_unlock(table);
	if (!whole)
		return false;
	aspace_count_resident(a, block, -(s64)HUGE_PAGES);
	if (block->kind == FOLIO_FILE)
		file_block_put(block);
	else
		block_put(block);
	return true;
}
