/*
 * Address spaces: what a process may see at each address, and what is there.
 *
 * Concepts.  A mapping is a range with one policy (rights, file, offset); all of
 * an address space stand in a tree sorted by address.  The page tables are the
 * only record of which page is where: an entry that is not 0 owns a reference on
 * its folio (unless PTE_SOFT_SPECIAL), whether it is present or not (PROT_NONE).
 * Nothing is kept per page and mapping.
 *
 * Invariants.
 *   (1) mappings do not overlap; neighbours that are alike are joined wherever
 *       Linux joins them, for /proc/PID/maps shows it;
 *   (2) every occupied entry lies in a mapping, except between the change of the
 *       tree and the end of the call that made it;
 *   (3) a private page is writable in at most one page table, and only while it
 *       has one reference when it becomes so; a table that several address
 *       spaces share counts as one, and nobody writes through it.  An entry of a
 *       private mapping without PTE_SOFT_COW is the only one of its page;
 *   (4) a folio is freed only after the flush of what mapped it.
 *
 * Locking.  `lock`: writers change the tree, readers may sleep with it steady.
 * tree_sequence: moves with each change; faults rely on it instead of the lock
 * (fault.c).  A leaf table's entries: the lock in its folio.  The bounds and
 * list links of mappings of a cache: also the cache's mappings_lock.  Order:
 * lock, mappings_lock, leaf lock.  The thread that faults must not hold any.
 *
 * Parts.  mapping.c the tree; map.c mmap, munmap, brk; protect.c mprotect; remap.c mremap;
 * advise.c madvise, mlock, msync, mincore; fault.c, fault_slow.c; cursor.c page tables; zap.c
 * removal; start.c what a start of a program touches; share.c leaf tables shared after a fork; huge.c entries that
 * map 2 MiB at once, with their leaf table behind them; rmap.c from a cache to its
 * entries; tlb.c flushing; access.c other processes' memory; aspace.c life and
 * fork.
 *
 * Simple for now: pages of files on a disk are mapped by 4 KiB; no swap.
 *
 * References: CortenMM (SOSP 2025) for the page table as the truth; Clements et
 * al., RadixVM (EuroSys 2013) and "Scalable address spaces using RCU balanced
 * trees" (ASPLOS 2012) for faults without the lock.
 */
#include "aspace_internal.h"
#include "page_internal.h"

#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/thread.h>

#include <linux/mman.h>
#include <asm/mman.h>

static struct slab_cache *aspace_cache;

struct aspace *aspace_create(void)
{
	struct aspace *a = slab_alloc(aspace_cache, ALLOC_ZERO);

	if (!a)
		return NULL;
	a->table = table_alloc_top();
	if (!a->table) {
		slab_free(aspace_cache, a);
		return NULL;
	}
	a->table_phys = virt_to_phys(a->table);
	tlb_init_aspace(a);
	a->page_table_bytes = PAGE_SIZE;
	ref_init(&a->users, 1);
	rwlock_init(&a->lock, RANK_ASPACE);
	mutex_init(&a->exe_lock, RANK_NONE);
	a->mmap_base = USER_ADDRESS_END;
	a->dumpable = 1;
	return a;
}

void aspace_get(struct aspace *a)
{
	ref_get(&a->users);
}

/* Unlinks every mapping from its cache: nobody else walks the tables afterwards. */
static void mappings_unlink(struct aspace *a)
{
	for (struct rb_node *n = rb_first(&a->mappings); n; n = rb_next(n)) {
		struct mapping *m = rb_entry(n, struct mapping, node);

		if (!m->cache)
			continue;
		scoped_mutex(&m->cache->mappings_lock);
		list_remove(&m->cache_node);
		if ((m->flags & (MAPPING_SHARED | MAPPING_MAY_WRITE)) ==
		    (MAPPING_SHARED | MAPPING_MAY_WRITE))
			m->cache->nr_writable_shared--;
	}
}

static void mappings_release(struct rb_node *n)
{
	while (n) { /* left subtrees by recursion: as deep as the tree at most */
		struct rb_node *right = n->right;

		mappings_release(n->left);
		mapping_release(rb_entry(n, struct mapping, node));
		n = right;
	}
}

static void aspace_free_late(struct rcu_head *head)
{
	slab_free(aspace_cache, container_of(head, struct aspace, rcu));
}

void aspace_put(struct aspace *a)
{
	if (!a || !ref_put(&a->users))
		return;
	aspace_unload(a);
	start_end(a);
	mappings_unlink(a);
	table_free_all(a);
	if (unlikely(a->kernel_page))
		kernel_page_free(a->kernel_page);
	mappings_release(a->mappings.node);
	if (a->spare)
		mapping_free(a->spare);
	memory_uncommit(a->committed_pages);
	if (a->exe_file)
		file_put_for_mapping(a->exe_file);
	/* /proc may have it in hand under RCU, to take a reference that it will not get */
	rcu_call(&a->rcu, aspace_free_late);
}

/* ---- fork ---- */

struct fork_count {
	u32 nr, nr_special; /* entries of the child; of them, those without a folio */
};

/* Entries [first, end) of a locked table, of which at most `left` are occupied, for the child's. */
static struct fork_count fork_entries(pte_t *table, u32 first, u32 end, u32 left, pte_t *copy)
{
	pte_t *p = table + first, *stop = table + end;
	struct fork_count n = { 0 };

	for (; left && (p = entry_next(p, stop)) < stop; p++, left--) {
		pte_t e = *p;

		if (unlikely(pte_is_special(e)))
			n.nr_special++;
		else if (unlikely(!entry_hold(e)))
			continue;
		copy[p - table] = entry_make_cow(p, e);
		n.nr++;
	}
	return n;
}

/* Copies the private pages of [va, stop), in one leaf table. */
static int fork_table(pte_t *entry, struct aspace *to, u64 va, u64 stop, s64 *nr_anon)
{
	pte_t e = READ_ONCE(*entry);
	u32 first = (u32)PTE_INDEX(va, 1);

	/* what other threads add from here on, they add after the fork */
	if (!pte_is_present(e) || READ_ONCE(phys_to_frame(pte_phys(e))->nr_present) == 0)
		return 0;
	pte_t *copy = table_get(to, va, ALLOC_USER);

	if (!copy)
		return -ENOMEM;
	struct folio *f = table_lock(entry);

	if (!f)
		return 0;
	struct fork_count n =
		fork_entries(folio_address(f), first, first + (u32)((stop - va) >> PAGE_SHIFT),
			     f->nr_present, copy);

	table_unlock(f);
	table_folio(copy)->nr_present += (u16)n.nr;
	table_folio(copy)->nr_special += (u16)n.nr_special;
	*nr_anon += n.nr - n.nr_special;
	return 0;
}

/* Shares or copies the anonymous pages of a private mapping; the child is not reachable yet. */
static int fork_pages(struct aspace *from, struct aspace *to, const struct mapping *m)
{
	s64 nr_anon = 0;
	pte_t *entry;

	for (u64 va = m->start; (entry = leaf_entry_next(from, &va, m->end));) {
		if (unlikely(link_is_huge(*entry)))
			huge_split_range(from, va, m->end);
		int result = tables_share(from, entry, to, m, &va);

		if (result < 0)
			return result;
		if (result)
			continue;
		u64 stop = min(m->end, align_down(va, HUGE_SIZE) + HUGE_SIZE);

		result = table_share(from, entry, to, m, va);
		if (result == 0)
			result = fork_table(entry, to, va, stop, &nr_anon);
		if (result < 0)
			return result;
		va = stop;
	}
	to->resident_anon += nr_anon;
	return 0;
}

/* The child's copy of one mapping, above all that it has (*last), with its pages. */
static int fork_mapping(struct aspace *from, struct aspace *to, struct mapping *m,
			struct mapping **last)
{
	struct mapping *c = mapping_alloc();

	if (!c)
		return -ENOMEM;
	u64 nr = mapping_pages(m);

	if ((m->flags & MAPPING_ACCOUNTED) && memory_commit(nr)) {
		mapping_free(c);
		return -ENOMEM;
	}
	mapping_copy(c, m);
	c->flags &= ~MAPPING_LOCKED;
	mapping_hold_object(m);
	aspace_account_more(to, c->flags, nr);
	mapping_insert_between(to, c, *last, NULL);
	*last = c;
	if (m->flags & (MAPPING_SHARED | MAPPING_WIPEONFORK))
		return 0;
	/* nothing but pages of the file or of a device: the child finds them there */
	if (m->file && (!(m->flags & MAPPING_WRITTEN) || (m->flags & MAPPING_SPECIAL)))
		return 0;
	if (!m->cache)
		return fork_pages(from, to, m);
	/* truncation must find either the parent's entry or the child's */
	scoped_mutex(&m->cache->mappings_lock);
	return fork_pages(from, to, m);
}

/* Places and sizes that are the same in the child. */
static void fork_layout(const struct aspace *from, struct aspace *to)
{
	to->mmap_base = from->mmap_base;
	to->brk_start = from->brk_start;
	to->brk_end = from->brk_end;
	to->brk_limit = from->brk_limit;
	to->code_start = from->code_start;
	to->code_end = from->code_end;
	to->data_start = from->data_start;
	to->data_end = from->data_end;
	to->stack_start = from->stack_start;
	to->arg_start = from->arg_start;
	to->arg_end = from->arg_end;
	to->env_start = from->env_start;
	to->env_end = from->env_end;
	to->vdso_base = from->vdso_base;
	memcpy(to->auxv, from->auxv, sizeof(to->auxv));
	to->auxv_bytes = from->auxv_bytes;
	to->dumpable = from->dumpable;
	to->huge_disabled = from->huge_disabled;
	to->membarrier_state = from->membarrier_state;
}

/*
 * Takes out the entries of the page that is this process's own, before the child gets a copy; the next
 * reader's fault brings them back.  The lock is held for writing, and all CPUs are flushed later.
 */
static void kernel_page_hide(struct aspace *a)
{
	for (struct mapping *m = mapping_find(a, 0); m; m = mapping_next(m)) {
		u64 page = kernel_page_index() - m->page_offset;

		if (!(m->flags & MAPPING_SPECIAL) || m->file || page >= mapping_pages(m))
			continue;
		/* While the entry is there the table is its own: it was for the fault, and was since. */
		pte_t *table = table_find_own(a, m->start + page * PAGE_SIZE);

		if (!table)
			continue;
		struct folio *f = table_folio(table);
		pte_t *entry = &table[PTE_INDEX(m->start + page * PAGE_SIZE, 1)];
		scoped_spin(&f->table_lock);

		if (*entry == 0)
			continue;
		WRITE_ONCE(*entry, 0);
		f->nr_present--;
		f->nr_special--;
	}
}

struct aspace *aspace_fork(struct aspace *from)
{
	struct aspace *to = aspace_create();
	struct mapping *last = NULL;
	int err = 0;

	if (!to)
		return err_ptr(-ENOMEM);
	if (rwlock_write_killable(&from->lock)) {
		aspace_put(to);
		return err_ptr(-EINTR);
	}
	fork_layout(from, to);
	mutex_lock(&from->exe_lock);
	to->exe_file = from->exe_file;
	if (to->exe_file)
		file_get_for_mapping(to->exe_file);
	mutex_unlock(&from->exe_lock);
	/*
	 * Until the flush other CPUs may store through rights that entries have lost.  A fault that copied such
	 * a page meanwhile would miss the store: so all faults wait, for this is one change of the whole.
	 */
	seq_write_begin(&from->tree_sequence);
	if (unlikely(from->kernel_page))
		kernel_page_hide(from);
	for (struct rb_node *n = rb_first(&from->mappings); n && !err; n = rb_next(n)) {
		struct mapping *m = rb_entry(n, struct mapping, node);

		if (!(m->flags & MAPPING_DONTFORK))
			err = fork_mapping(from, to, m, &last);
	}
	/* the parent's pages have become read-only, also where the copy failed half-way */
	aspace_flush(from, 0, USER_ADDRESS_END);
	seq_write_end(&from->tree_sequence);
	rwlock_write_unlock(&from->lock);
	if (err) {
		aspace_put(to);
		return err_ptr(err);
	}
	return to;
}

/* ---- start of the system ---- */

/* Every top-level entry of the kernel half exists before the first copy, so none is added later. */
static void kernel_top_level_fill(void)
{
	const u64 windows[] = { KERNEL_VMAP_BASE, PERCPU_MAP_BASE };

	for (u32 i = 0; i < ARRAY_SIZE(windows); i++) {
		pte_t *e = &kernel_page_table[PTE_INDEX(windows[i], 4)];

		if (!pte_is_present(*e)) {
			phys_t p = page_table_frame_alloc();

			VERIFY(p);
			*e = p | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
		}
	}
}

void aspace_system_init(void)
{
	static const struct slab_cache_info info = {
		.name = "aspace",
		.size = sizeof(struct aspace),
		.align = CACHE_LINE,
		.account = true,
	};

	kernel_top_level_fill();
	mapping_init();
	fault_init();
	huge_init();
	share_init();
	start_init();
	aspace_cache = slab_cache_create(&info);
	VERIFY(aspace_cache);
}
