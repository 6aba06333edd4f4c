/*
 * The tree of mappings: find, insert, cut, join, and the search for gaps.
 *
 * Every change happens with aspace->lock held for writing and inside a write
 * section of tree_sequence, so that a fault that read the tree without the lock
 * notices.  The section ends with a full barrier: the page tables are read after
 * it, so a fault that was too late to see the change has stored its entry, or
 * linked its table, by then.  A mapping of a cache changes its bounds under the
 * cache's mappings_lock too: whoever walks the list of mappings relies on them.
 *
 * Beside the tree the mappings are linked in order of address.  With the lock
 * held a search begins at the hint and its neighbours, which is where calls on
 * memory in use mostly go; the tree is for the others.
 *
 * A mapping that leaves is kept as a blank for the next one (aspace->spare), if there is none: programs that map
 * and unmap by turns need no allocator.  Boot switch: opt.spare_mapping.
 *
 * The memory of a struct mapping stays of that type for ever (type_stable), so
 * a reader without the lock may follow stale links; it bounds its steps and
 * checks the sequence.  aspace->hint may be stale too, even stored late by a
 * reader: m->aspace is set and cleared inside the write sections that put m into
 * the tree and take it out, so a hint with the right aspace and an unchanged
 * sequence is in the tree.
 */
#include "aspace_internal.h"

#include <nos/errno.h>
#include <nos/log.h>
#include <nos/memory_policy.h>
#include <nos/slab.h>
#include <nos/string.h>

#define MAX_STEPS 96 /* deeper than any tree of 2^32 mappings */

DEFINE_STATIC_KEY(mapping_no_spare_key);

static struct slab_cache *mapping_cache;

static void mapping_construct(void *object)
{
	memset(object, 0, sizeof(struct mapping));
}

void mapping_init(void)
{
	static const struct slab_cache_info info = {
		.name = "mapping",
		.size = sizeof(struct mapping),
		.align = CACHE_LINE,
		.rcu_typed = true,
		.type_stable = true,
		.account = true,
		.construct = mapping_construct,
	};

	mapping_cache = slab_cache_create(&info);
	VERIFY(mapping_cache);
	if (!boot_opt_enabled("spare_mapping"))
		static_key_set(&mapping_no_spare_key, true);
}

struct mapping *mapping_alloc(void)
{
	return slab_alloc(mapping_cache, 0);
}

void mapping_free(struct mapping *m)
{
	slab_free(mapping_cache, m);
}

/* ---- look up ---- */

/* The mapping found last, where it is in the tree; `lock` is held, so it stays there. */
static inline struct mapping *hint_locked(struct aspace *a)
{
	struct mapping *m = READ_ONCE(a->hint);

	return m && m->aspace == a ? m : NULL;
}

/* Becomes the hint: the next call is likely to be about memory nearby. */
static __noinline struct mapping *tree_find(struct aspace *a, u64 address)
{
	struct rb_node *n = a->mappings.node;
	struct mapping *best = NULL;

	while (n) {
		struct mapping *m = rb_entry(n, struct mapping, node);

		if (m->end > address) {
			best = m;
			if (m->start <= address)
				break;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	if (best)
		WRITE_ONCE(a->hint, best);
	return best;
}

struct mapping *mapping_find(struct aspace *a, u64 address)
{
	struct mapping *m = hint_locked(a);

	if (likely(m)) {
		if (m->end <= address) {
			m = m->next;
			if (!m || m->end > address)
				return m;
		} else if (m->start <= address || !m->prev || m->prev->end <= address) {
			return m;
		}
	}
	return tree_find(a, address);
}

struct mapping *mapping_find_rcu_slow(struct aspace *a, u64 address)
{
	struct rb_node *n = READ_ONCE(a->mappings.node);

	for (unsigned steps = 0; n && steps < MAX_STEPS; steps++) {
		struct mapping *m = rb_entry(n, struct mapping, node);

		if (READ_ONCE(m->end) <= address)
			n = READ_ONCE(n->right);
		else if (READ_ONCE(m->start) > address)
			n = READ_ONCE(n->left);
		else {
			WRITE_ONCE(a->hint, m);
			return m;
		}
	}
	return NULL;
}

static __noinline struct mapping *tree_find_below(struct aspace *a, u64 address)
{
	struct rb_node *n = a->mappings.node;
	struct mapping *best = NULL;

	while (n) {
		struct mapping *m = rb_entry(n, struct mapping, node);

		if (m->start < address) {
			best = m;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return best;
}

struct mapping *mapping_find_below(struct aspace *a, u64 address)
{
	struct mapping *m = hint_locked(a);

	if (likely(m)) {
		if (m->start >= address) {
			m = m->prev;
			if (!m || m->start < address)
				return m;
		} else if (!m->next || m->next->start >= address) {
			return m;
		}
	}
	return tree_find_below(a, address);
}

struct mapping *aspace_find_locked(struct aspace *a, u64 address)
{
	return mapping_find(a, address);
}

/* ---- changes ---- */

static inline bool may_write_shared(u32 flags)
{
	return (flags & (MAPPING_SHARED | MAPPING_MAY_WRITE)) ==
	       (MAPPING_SHARED | MAPPING_MAY_WRITE);
}

static void link_cache_locked(struct mapping *m)
{
	if (m->cache) {
		list_push_back(&m->cache->mappings, &m->cache_node);
		m->cache->nr_writable_shared += may_write_shared(m->flags);
	}
}

static void unlink_cache_locked(struct mapping *m)
{
	if (m->cache) {
		list_remove(&m->cache_node);
		m->cache->nr_writable_shared -= may_write_shared(m->flags);
	}
}

static inline void tree_link(struct aspace *a, struct mapping *m, struct mapping *low,
			     struct mapping *high)
{
	m->aspace = a;
	m->prev = low;
	m->next = high;
	if (low)
		low->next = m;
	if (high)
		high->prev = m;
	if (low && !low->node.right)
		rb_insert(&a->mappings, &m->node, &low->node, &low->node.right);
	else if (high)
		rb_insert(&a->mappings, &m->node, &high->node, &high->node.left);
	else
		rb_insert(&a->mappings, &m->node, NULL, &a->mappings.node);
	a->nr_mappings++;
}

static inline void tree_unlink(struct aspace *a, struct mapping *m)
{
	struct mapping *low = m->prev, *high = m->next;

	if (low)
		low->next = high;
	if (high)
		high->prev = low;
	rb_remove(&a->mappings, &m->node);
	m->aspace = NULL;
	if (READ_ONCE(a->hint) == m)
		WRITE_ONCE(a->hint, high ?: low);
	a->nr_mappings--;
}

void mapping_insert_between(struct aspace *a, struct mapping *m, struct mapping *low,
			    struct mapping *high)
{
	tree_change_begin(a, m->cache);
	tree_link(a, m, low, high);
	link_cache_locked(m);
	tree_change_end(a, m->cache);
}

void mapping_insert(struct aspace *a, struct mapping *m)
{
	struct mapping *high = mapping_find(a, m->start);

	mapping_insert_between(a, m, high ? high->prev : mapping_find_below(a, m->start), high);
}

void mapping_remove(struct aspace *a, struct mapping *m)
{
	tree_change_begin(a, m->cache);
	tree_unlink(a, m);
	unlink_cache_locked(m);
	tree_change_end(a, m->cache);
}

void mapping_remove_begun(struct aspace *a, struct mapping *m) __no_lock_check
{
	if (m->cache)
		mutex_lock(&m->cache->mappings_lock);
	tree_unlink(a, m);
	unlink_cache_locked(m);
	tree_change_end(a, m->cache);
}

void mapping_split(struct aspace *a, struct mapping *m, u64 address, struct mapping *upper)
{
	ASSERT(m->start < address && address < m->end);
	mapping_copy(upper, m);
	mapping_set_bounds(upper, address, m->end);
	mapping_hold_object(m);
	tree_change_begin(a, m->cache);
	m->end = address;
	tree_link(a, upper, m, m->next);
	link_cache_locked(upper);
	tree_change_end(a, m->cache);
}

void mapping_move_bound(struct aspace *a, struct mapping *low, struct mapping *high, u64 address)
{
	tree_change_begin(a, low->cache);
	if (address > low->end)
		low->flags |= high->flags & MAPPING_WRITTEN;
	else
		high->flags |= low->flags & MAPPING_WRITTEN;
	mapping_set_bounds(high, address, high->end);
	low->end = address;
	tree_change_end(a, low->cache);
}

int mapping_split_range(struct aspace *a, u64 start, u64 end)
{
	u64 cuts[2] = { start, end };

	for (int i = 0; i < 2; i++) {
		struct mapping *m = mapping_find(a, cuts[i]);

		if (!m || m->start >= cuts[i])
			continue;
		if (a->nr_mappings >= vm_max_map_count)
			return -ENOMEM;
		struct mapping *upper = mapping_take(a);

		if (!upper)
			return -ENOMEM;
		mapping_split(a, m, cuts[i], upper);
	}
	return 0;
}

/* `low` takes over what `high` covers. */
static __noinline void mapping_join(struct aspace *a, struct mapping *low, struct mapping *high)
{
	tree_change_begin(a, low->cache);
	tree_unlink(a, high);
	unlink_cache_locked(high);
	low->end = high->end;
	low->flags |= high->flags;
	tree_change_end(a, low->cache);
	mapping_leave(a, high);
}

bool mapping_continues(const struct mapping *low, const struct mapping *high)
{
	return low->file == high->file && low->cache == high->cache && low->name == high->name &&
	       memory_policy_equal(low->policy, high->policy) &&
	       low->page_offset + mapping_pages(low) == high->page_offset;
}

struct mapping *mapping_merge(struct aspace *a, struct mapping *m)
{
	struct mapping *other = mapping_next(m);

	if (other && mapping_can_join(m, other))
		mapping_join(a, m, other);
	other = mapping_prev(m);
	if (other && mapping_can_join(other, m)) {
		mapping_join(a, other, m);
		m = other;
	}
	return m;
}

void aspace_account_rest(struct aspace *a, u32 flags, s64 nr)
{
	aspace_count_sort(a, flags, nr);
	if (flags & MAPPING_LOCKED)
		a->locked_pages += (u64)nr;
	if (flags & MAPPING_ACCOUNTED)
		a->committed_pages += (u64)nr;
}

/* ---- gaps ---- */

static bool gap_is_free(struct aspace *a, u64 start, u64 length)
{
	struct mapping *m = mapping_find(a, start);

	return !m || start + length <= mapping_room_end(m);
}

/* Highest free range below `limit`; remembers what it skipped if `remember`. */
static u64 gap_search_down(struct aspace *a, u64 limit, u64 length, bool remember)
{
	u64 floor = max(vm_mmap_min_addr, USER_ADDRESS_MIN), high = limit;
	struct mapping *m = mapping_find_below(a, limit);

	if (m && m->end > high) /* covers the limit */
		high = mapping_room_end(m), m = mapping_prev(m);
	for (;;) {
		u64 low = m ? max(m->end, floor) : floor;

		if (high > low && high - low >= length) {
			if (remember)
				a->gap_from = high - length;
			if (m)
				WRITE_ONCE(a->hint, m); /* asked for next */
			return high - length;
		}
		if (remember && high > low && high - low > a->gap_skipped)
			a->gap_skipped = high - low;
		if (!m || m->start <= floor)
			return 0;
		high = mapping_room_end(m);
		m = mapping_prev(m);
	}
}

static u64 gap_search_up(struct aspace *a, u64 from, u64 limit, u64 length)
{
	u64 at = from;

	for (struct mapping *m = mapping_find(a, at); m; m = mapping_next(m)) {
		u64 end = mapping_room_end(m);

		if (end >= at && end - at >= length)
			break;
		at = max(at, m->end);
	}
	return at <= limit && limit - at >= length ? at : 0;
}

#define LOW_AREA_START 0x40000000ul
#define LOW_AREA_END 0x80000000ul

s64 aspace_find_gap(struct aspace *a, u64 hint, u64 length, bool below_2g)
{
	u64 at;

	if (length > USER_ADDRESS_END - USER_ADDRESS_MIN)
		return -ENOMEM;
	hint = hint & PAGE_MASK;
	if (hint) {
		hint = max(hint, vm_mmap_min_addr);
		if (hint <= USER_ADDRESS_END - length &&
		    (!below_2g || hint + length <= LOW_AREA_END) && gap_is_free(a, hint, length))
			return (s64)hint;
	}
	if (below_2g) {
		at = gap_search_up(a, LOW_AREA_START, LOW_AREA_END, length);
		return at ? (s64)at : -ENOMEM;
	}
	if (length <= a->gap_skipped || !a->gap_from || a->gap_from > a->mmap_base) {
		a->gap_from = a->mmap_base;
		a->gap_skipped = 0;
	}
	at = gap_search_down(a, a->gap_from, length, true);
	if (!at)
		at = gap_search_up(a, a->mmap_base, USER_ADDRESS_END, length);
	return at ? (s64)at : -ENOMEM;
}

s64 aspace_find_room(struct aspace *a, u64 length)
{
	s64 at = aspace_find_gap(a, 0, length, false);

	a->gap_from = 0; /* who maps only a part of it leaves a gap above */
	return at;
}
