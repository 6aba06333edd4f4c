/*
 * Page tables of processes: four levels, a lock and a count in each table's
 * folio.
 *
 * A leaf table is changed under its folio's table_lock; nr_present counts its
 * entries that are not 0.  Tables are linked into their parent by compare and
 * swap, so faults that run at the same time may both build.  Upper tables stay
 * until the address space ends; an empty leaf table leaves when no mapping is
 * left in its 2 MiB.
 *
 * A table that left may still be looked at: by a fault that walked before, which
 * then takes its lock, finds that tree_sequence has moved, and lets go.  So a
 * table's folio stays a page table until a grace period has passed.  Emptied
 * tables are zero; a few are kept per CPU and used again at once (they stay
 * tables, so the late walker does no harm).  Top tables are kept apart, with the
 * kernel's half filled in.
 *
 * Leaf tables may be shared by address spaces after a fork (share.c), or stand
 * behind an entry that maps their 2 MiB at once (huge.c); table_get and
 * table_find_own give only those of which neither is true.
 */
#include "aspace_internal.h"
#include "page_internal.h"

#include <nos/cpu.h>
#include <nos/string.h>
#include <nos/thread.h>

#define CPU_TABLES 64u /* what a fork of 64 MiB needs, and the end of its child gives back */

struct table_array {
	u32 count;
	struct folio *tables[CPU_TABLES];
};
static DEFINE_PERCPU(struct table_array, cpu_tables);
/* Top tables: their user half is zero, the kernel's half is the same in all for ever. */
static DEFINE_PERCPU(struct table_array, cpu_tops);

/* A zeroed table; NULL: no memory. */
struct folio *table_alloc(struct aspace *a, u32 flags)
{
	struct folio *f = NULL;

	preempt_disable();
	struct table_array *t = this_cpu_ptr(cpu_tables);

	if (likely(t->count))
		f = t->tables[--t->count];
	preempt_enable();
	if (!f) {
		f = folio_alloc(0, FOLIO_PAGE_TABLE, flags | ALLOC_ZERO);
		if (!f)
			return NULL;
		spin_init(&f->table_lock, RANK_PAGE_TABLE);
		f->table_refs = 1;
		f->nr_present = 0;
		f->nr_special = 0;
		f->huge_links = 0;
	}
	atomic_add(&a->page_table_bytes, PAGE_SIZE);
	return f;
}

static void table_release_late(struct rcu_head *head)
{
	folio_put(container_of(head, struct folio, table_rcu));
}

/* In line where an address space ends. */
static __always_inline void table_stock(struct aspace *a, struct folio *f)
{
	ASSERT(f->nr_present == 0 && f->nr_special == 0 && f->table_refs == 1);
	atomic_sub(&a->page_table_bytes, PAGE_SIZE);
	preempt_disable();
	struct table_array *t = this_cpu_ptr(cpu_tables);

	if (likely(t->count < CPU_TABLES)) {
		t->tables[t->count++] = f;
		f = NULL;
	}
	preempt_enable();
	if (f)
		rcu_call(&f->table_rcu, table_release_late);
}

void table_free(struct aspace *a, struct folio *f)
{
	table_stock(a, f);
}

u64 page_tables_in_stock(void)
{
	u64 n = 0;

	for_each_cpu(cpu) n += READ_ONCE(per_cpu_ptr(cpu_tables, cpu)->count) +
			       READ_ONCE(per_cpu_ptr(cpu_tops, cpu)->count);
	return n;
}

/* Upper tables are listed, with the entry that points to each, for the end of the address space. */
void upper_table_add(struct aspace *a, struct folio *f, pte_t *entry)
{
	struct folio *head = READ_ONCE(a->upper_tables);

	f->table_entry = entry;
	do {
		f->table_next = head;
	} while (!atomic_cas_update(&a->upper_tables, &head, f));
}

/* The table below *e, an entry above level 2, made if missing. */
static pte_t *table_descend(struct aspace *a, pte_t *e, u32 flags)
{
	pte_t seen = READ_ONCE(*e);

	if (unlikely(!pte_is_present(seen))) {
		struct folio *f = table_alloc(a, flags);

		if (!f)
			return NULL;
		seen = 0;
		if (atomic_cas_update(e, &seen, folio_to_phys(f) | TABLE_LINK)) {
			upper_table_add(a, f, e);
			return folio_address(f);
		}
		table_free(a, f);
	}
	return phys_to_virt(pte_phys(seen));
}

pte_t *leaf_entry_get(struct aspace *a, u64 va, u32 flags)
{
	pte_t *t = leaf_entry(a, va);

	if (likely(t))
		return t;
	t = a->table;
	for (unsigned level = 4; level > 2; level--) {
		t = table_descend(a, &t[PTE_INDEX(va, level)], flags);
		if (!t)
			return NULL;
	}
	return &t[PTE_INDEX(va, 2)];
}

pte_t *table_get(struct aspace *a, u64 va, u32 flags)
{
	pte_t *entry = leaf_entry_get(a, va, flags), e;

	if (!entry)
		return NULL;
	while (unlikely(!table_link_is_own(e = READ_ONCE(*entry)))) {
		if (link_is_huge(e)) {
			huge_split(a, entry, va);
		} else if (table_entry_is_shared(e)) {
			if (table_unshare(a, entry, va, flags))
				return NULL;
		} else {
			struct folio *f = table_alloc(a, flags);

			if (!f)
				return NULL;
			e = 0;
			if (atomic_cas_update(entry, &e, folio_to_phys(f) | TABLE_LINK))
				return folio_address(f);
			table_free(a, f);
		}
	}
	return phys_to_virt(pte_phys(e));
}

u64 leaf_entry_skip(const struct aspace *a, u64 va, u64 end)
{
	u64 at = align_down(va, HUGE_SIZE) + HUGE_SIZE;

	while (at < end) {
		pte_t e = READ_ONCE(a->table[PTE_INDEX(at, 4)]);

		if (!pte_is_present(e)) {
			at = align_down(at, PTE_SPAN(4)) + PTE_SPAN(4);
			continue;
		}
		e = READ_ONCE(((pte_t *)phys_to_virt(pte_phys(e)))[PTE_INDEX(at, 3)]);
		u64 stop = align_down(at, PTE_SPAN(3)) + PTE_SPAN(3);

		if (!pte_is_present(e)) {
			at = stop;
			continue;
		}
		const pte_t *entry = (pte_t *)phys_to_virt(pte_phys(e)) + PTE_INDEX(at, 2);

		for (stop = min(stop, end); at < stop; entry++) {
			if (link_is_set(READ_ONCE(*entry)))
				return at;
			at += HUGE_SIZE;
		}
	}
	return end;
}

struct folio *table_detach(struct aspace *a, u64 va)
{
	pte_t *e = leaf_entry(a, va);

	if (!e || !table_link_is_own(*e))
		return NULL;
	struct folio *f = phys_to_frame(pte_phys(*e));

	spin_lock(&f->table_lock);
	bool empty = f->nr_present == 0;

	if (empty)
		WRITE_ONCE(*e, 0);
	spin_unlock(&f->table_lock);
	return empty ? f : NULL;
}

/* ---- the end of an address space ---- */

/* How many entries from p on, at most `max`, map page after page of the folio `f`. */
static inline u32 folio_run(const pte_t *p, const struct folio *f, u32 max)
{
	const u64 mask = PTE_ADDRESS | PTE_SOFT_SPECIAL;
	u64 left = folio_nr_pages(f) - ((pte_phys(*p) - folio_to_phys(f)) >> PAGE_SHIFT);
	u32 n = 1;

	max = (u32)min(left, (u64)max);
	while (n < max && ((p[n] ^ (p[0] + n * PAGE_SIZE)) & mask) == 0)
		n++;
	return n;
}

void leaf_free(struct folio *tf, u32 first)
{
	pte_t *table = folio_address(tf), *end = table + PAGE_SIZE / sizeof(pte_t);
	struct folio *pages[64];
	u32 left = tf->nr_present, nr = 0, n;

	for (pte_t *p = table + first; left; left -= n) {
		p = entry_next(p, end);
		if (p == end) {
			p = entry_next(table, end);
			VERIFY(p != end); /* as many as nr_present says */
		}
		n = 1;
		if (unlikely(pte_is_special(*p))) {
			*p++ = 0;
			continue;
		}
		struct folio *page = phys_to_frame(pte_phys(*p));

		if (page->is_tail || page->order) {
			page = frame_folio(page);
			n = folio_run(p, page, min((u32)(end - p), left));
			atomic_sub(&page->refs.count, n - 1);
		}
		for (u32 i = 0; i < n; i++)
			*p++ = 0;
		atomic_sub(&page->map_count, n);
		pages[nr++] = page;
		if (nr == ARRAY_SIZE(pages)) {
			folio_put_many(pages, nr);
			nr = 0;
		}
	}
	if (nr)
		folio_put_many(pages, nr);
	tf->nr_present = tf->nr_special = 0;
}

static void table_free_top(struct folio *f)
{
	preempt_disable();
	struct table_array *t = this_cpu_ptr(cpu_tops);

	if (likely(t->count < CPU_TABLES)) {
		t->tables[t->count++] = f;
		f = NULL;
	}
	preempt_enable();
	if (f)
		folio_put(f);
}

/* The table behind a huge entry; NULL: it was shared, and is left. */
static __noinline struct folio *table_release(struct aspace *a, pte_t *entry)
{
	pte_t e = *entry;

	if (link_is_huge(e))
		return huge_detach(entry, e);
	*entry = 0;
	table_leave(a, phys_to_frame(pte_phys(e)));
	return NULL;
}

/* The leaf tables that have a part of [start, end), with all their pages; returns where the last of them ends. */
static u64 tables_free(struct aspace *a, u64 start, u64 end)
{
	u64 va = start, reached = start;
	pte_t *e;

	while ((e = leaf_entry_next(a, &va, end))) {
		struct folio *tf = phys_to_frame(pte_phys(*e));
		bool own = table_link_is_own(*e);

		if (unlikely(!own))
			tf = table_release(a, e);
		*e = 0;
		if (likely(tf)) {
			leaf_free(tf, (u32)PTE_INDEX(va, 1));
			table_stock(a, tf);
		}
		va = reached = align_down(va, HUGE_SIZE) + HUGE_SIZE;
	}
	return reached;
}

void table_free_all(struct aspace *a)
{
	u64 upper_bytes = 0, done = 0;

	for (struct rb_node *n = rb_first(&a->mappings); n; n = rb_next(n)) {
		const struct mapping *m = rb_entry(n, struct mapping, node);

		if (m->end > done)
			done = tables_free(a, max(m->start, done), m->end);
	}
	for (struct folio *f = a->upper_tables; f; f = f->table_next)
		upper_bytes += PAGE_SIZE;
	/* a fault that came too late may have left an empty leaf table anywhere */
	if (a->page_table_bytes != upper_bytes + PAGE_SIZE)
		tables_free(a, 0, USER_ADDRESS_END);
	/* All before one is free: two faults may have put a table on the list before the one it hangs in. */
	for (struct folio *f = a->upper_tables; f; f = f->table_next)
		*f->table_entry = 0;
	while (a->upper_tables) {
		struct folio *f = a->upper_tables;

		a->upper_tables = f->table_next;
		table_stock(a, f);
	}
	table_free_top(phys_to_frame(a->table_phys));
}

pte_t *table_alloc_top(void)
{
	struct folio *f = NULL;

	preempt_disable();
	struct table_array *stock = this_cpu_ptr(cpu_tops);

	if (likely(stock->count))
		f = stock->tables[--stock->count];
	preempt_enable();
	if (f)
		return folio_address(f);
	f = folio_alloc(0, FOLIO_PAGE_TABLE, 0);
	if (!f)
		return NULL;
	spin_init(&f->table_lock, RANK_PAGE_TABLE);
	f->nr_present = 0;
	pte_t *t = folio_address(f);

	memset(t, 0, PAGE_SIZE / 2);
	memcpy(t + 256, kernel_page_table + 256, PAGE_SIZE / 2);
	return t;
}
