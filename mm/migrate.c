/*
 * Policies of mappings, and pages that move to another node.
 *
 * Moving a page.  Its entry is made not present (which keeps its place, as with
 * PROT_NONE) and every CPU's translation is dropped: from here on nobody
 * reads or writes the page but through the kernel, which takes a reference
 * first.  It is copied; if the entry is still what we left and ours is the only
 * reference, the entry gets the new page.  A thread that touches the page
 * meanwhile faults, and makes the old entry present again: then the attempt
 * has failed, and is repeated a few times.
 *
 * Only private anonymous pages of one address space move.  Pages of files, and
 * those that a fork has left to several, stay, and are reported as such.
 */
#include "aspace_internal.h"
#include "page_internal.h"

#include <nos/counter.h>
#include <nos/errno.h>
#include <nos/memory_policy.h>
#include <nos/string.h>
#include <nos/thread.h>

#include <linux/mempolicy.h>

#define MOVE_TRIES 3

DEFINE_COUNTER(moved, "mm.pages_migrated");

/* ---- one page; the address space's lock is held ---- */

/* The folio at `va` whatever has it, or -ENOENT, or -EFAULT for the page of zeros and devices. */
static int page_look_locked(struct aspace *a, u64 va)
{
	pte_t *up = leaf_entry(a, va);
	struct folio *tf = up ? table_lock(up) : NULL;

	if (!tf)
		return -ENOENT;
	pte_t e = ((pte_t *)folio_address(tf))[PTE_INDEX(va, 1)];
	int node = !e                ? -ENOENT :
		   pte_is_special(e) ? -EFAULT :
				       (int)folio_node(phys_to_folio(pte_phys(e)));

	table_unlock(tf);
	return node;
}

static inline bool entry_is_ours(pte_t e)
{
	const struct folio *f;

	if (!e || pte_is_special(e))
		return false;
	f = phys_to_folio(pte_phys(e));
	return f->kind == FOLIO_ANON && f->order == 0 && ref_read(&f->refs) == 1;
}

/* One attempt: 0, or -EBUSY, -EACCES (others have the page too). */
static int page_try_move(struct aspace *a, u64 va, pte_t *table, struct folio *to)
{
	pte_t *entry = &table[PTE_INDEX(va, 1)];
	struct spinlock *lock = &table_folio(table)->table_lock;

	spin_lock(lock);
	if (table_folio(table)->nr_present == HUGE_PAGES)
		huge_split_full_locked(a, leaf_entry(a, va), table_folio(table), va);
	pte_t e = READ_ONCE(*entry);

	if (!entry_is_ours(e)) {
		spin_unlock(lock);
		return -EACCES;
	}
	while (!atomic_cas_update(entry, &e, e & ~PTE_PRESENT)) /* the processor may set bits */
		;
	struct folio *from = phys_to_folio(pte_phys(e));

	folio_get(from);
	spin_unlock(lock);
	aspace_flush(a, va, va + PAGE_SIZE);
	page_copy(folio_address(to), folio_address(from));
	spin_lock(lock);
	bool done = READ_ONCE(*entry) == (e & ~PTE_PRESENT) && ref_read(&from->refs) == 2;

	if (done) {
		to->map_count = 1;
		from->map_count = 0;
		WRITE_ONCE(*entry, folio_to_phys(to) | (e & ~PTE_ADDRESS));
	} else if (READ_ONCE(*entry) == (e & ~PTE_PRESENT))
		WRITE_ONCE(*entry, e);
	spin_unlock(lock);
	if (done)
		folio_put(from);
	folio_put(from);
	return done ? 0 : -EBUSY;
}

static int page_move_locked(struct aspace *a, u64 va, const struct node_choice *to)
{
	pte_t *up = leaf_entry(a, va);

	if (up)
		huge_split(a, up, va);
	pte_t *table = table_find_own(a, va);

	/* another process has the whole table, too, or just the page */
	if (!table || !entry_is_ours(READ_ONCE(table[PTE_INDEX(va, 1)])))
		return -EACCES;
	struct folio *f = folio_alloc_from(to, 0, FOLIO_ANON, ALLOC_MOVABLE | ALLOC_NORETRY);
	int err = f ? -EBUSY : -ENOMEM;

	for (int i = 0; f && i < MOVE_TRIES && err == -EBUSY; i++)
		err = page_try_move(a, va, table, f);
	if (!err)
		counter_inc(moved);
	else if (f)
		folio_put(f);
	return err;
}

int aspace_page_node(struct aspace *a, u64 address)
{
	rwlock_read(&a->lock);
	const struct mapping *m = mapping_find(a, address);
	int node = -EFAULT;

	if (m && m->start <= address)
		node = page_look_locked(a, address & PAGE_MASK);
	rwlock_read_unlock(&a->lock);
	return node;
}

int aspace_page_move(struct aspace *a, u64 address, unsigned node)
{
	const struct node_choice to = { .allowed = bit(node), .first = (u8)node };

	rwlock_read(&a->lock);
	const struct mapping *m = mapping_find(a, address);
	int result = -EFAULT;

	if (m && m->start <= address) {
		result = page_look_locked(a, address & PAGE_MASK);
		if (result >= 0 && result != (int)node)
			result = page_move_locked(a, address & PAGE_MASK, &to) ?: (int)node;
	}
	rwlock_read_unlock(&a->lock);
	return result;
}

/* ---- ranges ---- */

struct walk {
	u64 from; /* pages of these nodes */
	const struct memory_policy *to; /* go where it says, */
	s8 map[NUMA_MAX_NODES]; /* or, without one, to the node for theirs; -1: they stay */
	bool move, stop_at_first;
	u64 nr_left;
};

static void walk_range(struct aspace *a, const struct mapping *m, u64 start, u64 end,
		       struct walk *w)
{
	for (u64 va = start; va < end && leaf_entry_next(a, &va, end); va += PAGE_SIZE) {
		struct node_choice to = node_choice_local;
		int node = page_look_locked(a, va);

		if (w->move && fatal_signal_is_pending())
			return;
		if (node < 0 || !(w->from >> node & 1))
			continue;
		if (w->to) {
			to = memory_policy_choose(w->to, mapping_page_index(m, va));
		} else if (w->map[node] < 0) {
			continue;
		} else {
			to.first = (u8)w->map[node];
			to.allowed = bit(to.first);
		}
		if (w->move && page_move_locked(a, va, &to) == 0)
			continue;
		w->nr_left++;
		if (w->stop_at_first)
			return;
	}
}

s64 aspace_migrate(struct aspace *a, u64 from, u64 to)
{
	struct walk w = { .from = from, .move = true };
	unsigned rank = 0, nr_to = (unsigned)__builtin_popcountll(to);
	bool alike = (unsigned)__builtin_popcountll(from) == nr_to;

	for (unsigned n = 0; n < NUMA_MAX_NODES; n++) {
		w.map[n] = -1;
		if (!(from >> n & 1))
			continue;
		u64 rest = to;

		for (unsigned i = rank++ % nr_to; i > 0; i--)
			rest &= rest - 1;
		if (alike || !(to >> n & 1))
			w.map[n] = (s8)__builtin_ctzll(rest);
		if (w.map[n] == (s8)n)
			w.map[n] = -1;
	}
	rwlock_read(&a->lock);
	for (struct mapping *m = mapping_find(a, 0); m; m = mapping_next(m))
		if (!(m->flags & MAPPING_SPECIAL))
			walk_range(a, m, m->start, m->end, &w);
	rwlock_read_unlock(&a->lock);
	return (s64)w.nr_left;
}

/* ---- policies ---- */

static bool range_has_hole(struct aspace *a, u64 start, u64 end)
{
	for (struct mapping *m = mapping_find(a, start); m; m = mapping_next(m)) {
		if (m->start > start)
			return true;
		if (m->end >= end)
			return false;
		start = m->end;
	}
	return true;
}

/* The mapping lies between the cuts; it gets `p`, with a reference of its own. */
static struct mapping *mapping_set_policy(struct aspace *a, struct mapping *m,
					  const struct memory_policy *p)
{
	const struct memory_policy *old = m->policy;

	memory_policy_get(p);
	seq_write_begin(&a->tree_sequence);
	WRITE_ONCE(m->policy, p);
	seq_write_end(&a->tree_sequence);
	memory_policy_put(old);
	return mapping_merge(a, m);
}

static int bind_locked(struct aspace *a, u64 start, u64 end, struct memory_policy *p, u32 flags)
{
	bool move = flags & (BIND_MOVE | BIND_MOVE_ALL), local = !p || p->mode == MPOL_LOCAL;
	unsigned here = this_cpu_read(this_numa_node);
	struct walk w = { .to = local ? NULL : p, .move = move, .stop_at_first = !move };
	int err;

	/* back to the default: where nothing is mapped there is nothing to change (mbind(2)) */
	const struct mapping *first = mapping_find(a, start);

	if (p ? range_has_hole(a, start, end) : !first || first->start >= end)
		return -EFAULT;
	/* local memory is no set of nodes: to STRICT alone, every page is somewhere else */
	w.from = !local ? ~p->user.word[0] : move ? ~bit(here) : U64_MAX;
	memset(w.map, (int)here, sizeof(w.map));
	if ((flags & BIND_STRICT) && !w.move) { /* before anything has changed */
		for (struct mapping *m = mapping_find(a, start); m && m->start < end;
		     m = mapping_next(m))
			walk_range(a, m, max(start, m->start), min(end, m->end), &w);
		if (w.nr_left)
			return -EIO;
	}
	err = mapping_split_range(a, start, end);
	if (err)
		return err;
	for (struct mapping *m = mapping_find(a, start); m && m->start < end; m = mapping_next(m))
		m = mapping_set_policy(a, m, p);
	for (struct mapping *m = mapping_find(a, start); w.move && m && m->start < end;
	     m = mapping_next(m))
		if (!(m->flags & MAPPING_SPECIAL))
			walk_range(a, m, max(start, m->start), min(end, m->end), &w);
	return w.nr_left && (flags & BIND_STRICT) ? -EIO : 0;
}

int aspace_bind(struct aspace *a, u64 start, u64 end, struct memory_policy *p, u32 flags)
{
	int err = rwlock_write_killable(&a->lock);

	if (!err) {
		err = bind_locked(a, start, end, p, flags);
		rwlock_write_unlock(&a->lock);
	}
	memory_policy_put(p);
	return err;
}

static int home_locked(struct aspace *a, u64 start, u64 end, unsigned node)
{
	int err = mapping_split_range(a, start, end), result = -ENOENT;

	if (err)
		return err;
	for (struct mapping *m = mapping_find(a, start); m && m->start < end; m = mapping_next(m)) {
		const struct memory_policy *old = m->policy;

		if (!old)
			continue;
		if (old->mode != MPOL_BIND && old->mode != MPOL_PREFERRED_MANY)
			return -EOPNOTSUPP;
		struct memory_policy *p = memory_policy_copy(old);

		if (!p)
			return -ENOMEM;
		p->home = (s16)node;
		m = mapping_set_policy(a, m, p);
		memory_policy_put(p);
		result = 0;
	}
	return result;
}

int aspace_bind_home(struct aspace *a, u64 start, u64 end, unsigned node)
{
	int err = rwlock_write_killable(&a->lock);

	if (!err) {
		err = home_locked(a, start, end, node);
		rwlock_write_unlock(&a->lock);
	}
	return err;
}

int aspace_policy_at(struct aspace *a, u64 address, const struct memory_policy **p)
{
	rwlock_read(&a->lock);
	const struct mapping *m = mapping_find(a, address);
	bool found = m && m->start <= address;

	*p = found ? m->policy : NULL;
	memory_policy_get(*p);
	rwlock_read_unlock(&a->lock);
	return found ? 0 : -EFAULT;
}
