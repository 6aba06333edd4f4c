/*
 * mmap, munmap, brk: changes of the tree of mappings.
 *
 * Each takes the lock for writing, makes ready what can fail (limits, memory for
 * mappings), then changes the tree, then the page tables, and frees pages after
 * the flush.  Where a look at the entries finds none, that is all (pages_are_absent).
 *
 * Most memory is private and anonymous, and asks for nothing special: it has a way
 * of its own (aspace_map_private), which the heap shares.
 */
#include "aspace_internal.h"

#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>

#include <asm/mman.h>
#include <asm/resource.h>
#include <linux/capability.h>
#include <linux/mman.h>

bool range_is_user(u64 address, u64 length)
{
	return length <= USER_ADDRESS_END && address <= USER_ADDRESS_END - length;
}

/* ---- shared anonymous memory ---- */

struct shared_memory {
	struct ref refs;
	u64 size, pages;
	struct page_cache cache;
};

static enum huge_file shared_memory_huge(const struct page_cache *c)
{
	return HUGE_FILE_SYSTEM;
}

static const struct page_cache_ops shared_memory_ops = { .huge = shared_memory_huge };

struct page_cache *shared_memory_create(u64 length)
{
	struct shared_memory *s;

	if (memory_commit(length >> PAGE_SHIFT))
		return NULL;
	s = kzalloc(sizeof(*s), 0);
	if (!s) {
		memory_uncommit(length >> PAGE_SHIFT);
		return NULL;
	}
	ref_init(&s->refs, 1);
	s->size = length;
	s->pages = length >> PAGE_SHIFT;
	page_cache_init(&s->cache, &shared_memory_ops, s, &s->size);
	return &s->cache;
}

void shared_memory_get(struct page_cache *c)
{
	ref_get(&container_of(c, struct shared_memory, cache)->refs);
}

void shared_memory_put(struct page_cache *c)
{
	struct shared_memory *s = container_of(c, struct shared_memory, cache);

	if (!ref_put(&s->refs))
		return;
	page_cache_fini(c);
	memory_uncommit(s->pages);
	kfree_rcu(s);
}

/* ---- limits ---- */

int aspace_may_expand(struct aspace *a, u32 flags, u64 nr_pages)
{
	if (a->total_pages + nr_pages > process_rlimit(RLIMIT_AS) >> PAGE_SHIFT)
		return -ENOMEM;
	if (mapping_is_data(flags) && a->data_pages + nr_pages > process_data_limit() >> PAGE_SHIFT)
		return -ENOMEM;
	return 0;
}

int aspace_may_lock(struct aspace *a, u64 nr_pages)
{
	u64 limit = process_rlimit(RLIMIT_MEMLOCK);

	if (a->locked_pages + nr_pages <= limit >> PAGE_SHIFT ||
	    process_has_capability(CAP_IPC_LOCK))
		return 0;
	return limit ? -EAGAIN : -EPERM;
}

/* ---- unmap ---- */

/* [start, end) of mapping m, which lies wholly inside it, leaves the accounts. */
static inline void account_removal(struct aspace *a, u32 flags, u64 start, u64 end)
{
	aspace_account_fewer(a, flags, (end - start) >> PAGE_SHIFT);
}

/* Cuts a hole into one mapping; needs memory for the upper part. */
static int unmap_middle(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	struct mapping *upper;

	if (a->nr_mappings >= vm_max_map_count)
		return -ENOMEM;
	upper = mapping_take(a);
	if (!upper)
		return -ENOMEM;
	mapping_split(a, m, end, upper);
	mapping_resize(a, m, m->start, start);
	account_removal(a, m->flags, start, end);
	return 0;
}

/* The mappings from m on leave [start, end); what is above.  *gone: a list by `next` of whole ones to release. */
static struct mapping *unmap_tree(struct aspace *a, struct mapping *m, u64 start, u64 end,
				  struct mapping **gone)
{
	while (m && m->start < end) {
		struct mapping *next = m->next;

		if (unlikely(m->start < start)) {
			account_removal(a, m->flags, start, m->end);
			mapping_resize(a, m, m->start, start);
		} else if (unlikely(m->end > end)) {
			account_removal(a, m->flags, m->start, end);
			mapping_resize(a, m, end, m->end);
			return m;
		} else {
			account_removal(a, m->flags, m->start, m->end);
			mapping_remove(a, m);
			m->next = *gone;
			*gone = m;
		}
		m = next;
	}
	return m;
}

/* `link`: of the only leaf table of [start, end), or 0. */
static __noinline void pages_remove(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling,
				    pte_t link)
{
	struct tlb_batch b;

	tlb_batch_init(&b, a);
	if (unlikely(READ_ONCE(a->nr_shared_tables)))
		tables_drop(a, start, end, floor, ceiling, &b);
	if (table_link_is_own(link))
		zap_own_table(a, link, start, end, &b);
	else
		zap_range(a, start, end, NULL, &b);
	zap_tables(a, start, end, floor, ceiling, &b);
	tlb_batch_finish(&b);
}

/*
 * Is it plain that nothing goes with [start, end), which lies in the 2 MiB at `base` and has left the tree:
 * neither a page nor the leaf table, to which `link` points?  Without the table's lock: the change of the tree
 * ended with a full barrier, and a fault takes the lock by another before it looks at the sequence.  So one
 * that takes it after we saw it free finds the sequence moved, and one that had released it by then has stored
 * its entry.
 */
static inline bool pages_are_absent(pte_t link, u64 base, u64 start, u64 end, u64 floor,
				    u64 ceiling)
{
	const pte_t *first = (pte_t *)phys_to_virt(pte_phys(link)) + PTE_INDEX(start, 1);

	return !atomic_load(&phys_to_frame(pte_phys(link))->table_lock.value) &&
	       entries_are_absent(first, first + ((end - start) >> PAGE_SHIFT)) &&
	       (floor > base || ceiling < base + HUGE_SIZE);
}

static inline void unmap_pages(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling)
{
	u64 base = align_down(start, HUGE_SIZE);
	const pte_t *entry;
	pte_t link = 0;

	if (end - base > HUGE_SIZE)
		pages_remove(a, start, end, floor, ceiling, 0);
	else if ((entry = leaf_entry(a, start)) && (link = READ_ONCE(*entry)) &&
		 !(table_link_is_own(link) &&
		   pages_are_absent(link, base, start, end, floor, ceiling)))
		pages_remove(a, start, end, floor, ceiling, link);
	if (a->gap_from && end > a->gap_from && start < a->mmap_base)
		a->gap_from = min(ceiling, a->mmap_base);
}

/* Also drops page-table pages that no mapping needs any more, and notes the new gap. */
void unmap_pages_locked(struct aspace *a, u64 start, u64 end, u64 floor, u64 ceiling)
{
	unmap_pages(a, start, end, floor, ceiling);
}

/* m from `start` on goes, which is all of it or the upper part. */
static inline void unmap_top(struct aspace *a, struct mapping *m, u64 start)
{
	u64 floor = start, end = m->end;
	u64 ceiling = m->next ? m->next->start : USER_ADDRESS_END;
	bool is_part = m->start < start;

	account_removal(a, m->flags, start, end);
	if (is_part) {
		mapping_resize(a, m, m->start, start);
	} else {
		floor = m->prev ? m->prev->end : 0;
		mapping_remove(a, m);
	}
	unmap_pages(a, start, end, floor, ceiling);
	if (!is_part)
		mapping_leave(a, m);
}

/* Shared tables that lose only a part of their pages are made own. */
static __noinline int own_edges(struct aspace *a, u64 start, u64 end)
{
	struct mapping *below = mapping_find_below(a, start), *above = mapping_find(a, end);
	u64 floor = below ? min(below->end, start) : 0;
	u64 ceiling = above ? max(above->start, end) : USER_ADDRESS_END;

	return tables_own(a, start, end, floor, ceiling);
}

/* What is in [start, end) goes: something of m, which is the first there, and perhaps more. */
static __noinline int unmap_parts(struct aspace *a, struct mapping *m, u64 start, u64 end)
{
	struct mapping *above, *gone = NULL;
	int err;

	/* what the neighbours leave free around the range */
	u64 floor = m->start < start ? start : m->prev ? m->prev->end : 0;
	u64 ceiling = end;

	if (m->start < start && m->end > end) {
		err = unmap_middle(a, m, start, end);
		if (err)
			return err;
	} else {
		above = unmap_tree(a, m, start, end, &gone);
		ceiling = above ? above->start : USER_ADDRESS_END;
	}
	unmap_pages(a, start, end, floor, ceiling);
	while (gone) {
		m = gone;
		gone = m->next;
		mapping_leave(a, m);
	}
	return 0;
}

int unmap_locked(struct aspace *a, u64 start, u64 end)
{
	struct mapping *m = mapping_find(a, start);
	int err;

	if (!m || m->start >= end)
		return 0;
	if (unlikely(READ_ONCE(a->nr_shared_tables)) && (err = own_edges(a, start, end)))
		return err;
	if (m->start > start || m->end != end)
		return unmap_parts(a, m, start, end);
	unmap_top(a, m, start);
	return 0;
}

int aspace_unmap(struct aspace *a, u64 address, u64 length)
{
	if (address % PAGE_SIZE || !range_is_user(address, length))
		return -EINVAL;
	length = align_up(length, PAGE_SIZE);
	if (length == 0)
		return -EINVAL;
	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	int err = unmap_locked(a, address, address + length);

	rwlock_write_unlock(&a->lock);
	return err;
}

/* What goes has no mapping afterwards: a thread on its way out finds no zeros where data was. */
int aspace_release_private(struct aspace *a)
{
	int err = 0;

	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	for (struct mapping *m = mapping_find(a, 0); m && !err;) {
		u64 start = m->start, end = m->end;

		if (m->flags & (MAPPING_SHARED | MAPPING_SPECIAL)) {
			m = mapping_next(m);
			continue;
		}
		err = unmap_locked(a, start, end);
		m = mapping_find(a, end);
	}
	rwlock_write_unlock(&a->lock);
	return err;
}

/* ---- map ---- */

static_assert(MAPPING_READ == PROT_READ && MAPPING_WRITE == PROT_WRITE && MAPPING_EXEC == PROT_EXEC,
	      "rights are taken over as they are");

/* Rights that the file gives, and what few requests ask for: 0 or −errno. */
static __noinline int request_flags_rare(const struct map_request *r, u32 *flags)
{
	u32 f = *flags;

	f |= r->map_flags & MAP_GROWSDOWN ? MAPPING_GROWS_DOWN : 0;
	f |= r->map_flags & MAP_LOCKED ? MAPPING_LOCKED : 0;
	f |= r->special ? MAPPING_SPECIAL : 0;
	if (r->special && !r->file)
		f &= ~(MAPPING_MAY_WRITE | MAPPING_MAY_EXEC) |
		     (r->prot & MAPPING_RIGHTS) * MAPPING_MAY_READ;
	if ((r->map_flags & MAP_NORESERVE) && vm_overcommit_memory != 2)
		f |= MAPPING_NORESERVE;
	if (r->file) {
		if (!r->file_may_exec) {
			if (r->prot & PROT_EXEC)
				return -EPERM;
			f &= ~MAPPING_MAY_EXEC;
		}
		if ((f & MAPPING_SHARED) && !r->file_may_write) {
			if (r->prot & PROT_WRITE)
				return -EACCES;
			f &= ~MAPPING_MAY_WRITE;
		}
		if (r->map_flags & MAP_GROWSDOWN)
			return -EINVAL;
	}
	*flags = f;
	return 0;
}

/* The flags of what is asked for: 0 or −errno. */
static inline int request_flags(const struct map_request *r, u32 *flags)
{
	u32 type = r->map_flags & MAP_TYPE;
	u32 f = MAPPING_MAY_READ | MAPPING_MAY_WRITE | MAPPING_MAY_EXEC | r->extra_flags |
		(r->prot & MAPPING_RIGHTS);
	int err = 0;

	if (type != MAP_PRIVATE) {
		if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
			return -EINVAL;
		f |= MAPPING_SHARED;
	}
	if (r->prot & PROT_WRITE)
		f |= MAPPING_WRITTEN;
	*flags = f;
	if (r->file || r->special || (r->map_flags & (MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE)))
		err = request_flags_rare(r, flags);
	if (mapping_is_private_writable(*flags) &&
	    !(*flags & (MAPPING_NORESERVE | MAPPING_SPECIAL)))
		*flags |= MAPPING_ACCOUNTED;
	return err;
}

/* Instead of `at`, which was not asked for, a place where 2 MiB of a file may be mapped by one entry. */
static __noinline s64 place_for_blocks(struct aspace *a, const struct map_request *r, s64 at,
				       u64 length)
{
	const struct page_cache *c = r->cache;
	u64 offset = c ? r->page_offset * PAGE_SIZE % HUGE_SIZE : 0;
	bool is_file = c ? page_cache_is_memory(c) :
			   (r->map_flags & MAP_TYPE) != MAP_PRIVATE && !r->file && !r->special;

	if (at < 0 || (u64)at == (r->address & PAGE_MASK) || (u64)at % HUGE_SIZE == offset ||
	    !is_file || length < HUGE_SIZE || huge_file_mode(c) == HUGE_FILE_NEVER)
		return at;
	a->gap_from = 0; /* the place that was found stays free */
	s64 room = aspace_find_gap(a, 0, length + HUGE_SIZE - PAGE_SIZE, r->map_flags & MAP_32BIT);

	a->gap_from = 0; /* and a part of this one */
	return room < 0 ? at : room + (s64)((offset - (u64)room) % HUGE_SIZE);
}

/* Where the new mapping goes; checks of mmap(2) on the address. */
static s64 request_place(struct aspace *a, const struct map_request *r, u64 length)
{
	if (!(r->map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		s64 at = aspace_find_gap(a, r->address, length, r->map_flags & MAP_32BIT);

		return unlikely(READ_ONCE(huge_files)) ? place_for_blocks(a, r, at, length) : at;
	}
	if (r->address % PAGE_SIZE)
		return -EINVAL;
	if (!range_is_user(r->address, length))
		return -ENOMEM;
	if (r->address < vm_mmap_min_addr && !process_has_capability(CAP_SYS_RAWIO))
		return -EPERM;
	if (r->map_flags & MAP_FIXED_NOREPLACE) {
		struct mapping *m = mapping_find(a, r->address);

		if (m && m->start < r->address + length)
			return -EEXIST;
	}
	return (s64)r->address;
}

/* Private anonymous memory beside one of its kind just makes that one longer. */
static __always_inline bool map_extend(struct aspace *a, const char *name, u64 start, u64 end,
				       u32 flags, struct mapping *low, struct mapping *high)
{
	bool joins_high = high && high->start == end && mapping_is_anonymous(high, flags, name) &&
			  high->page_offset == end >> PAGE_SHIFT;

	if (low && low->end == start && mapping_is_anonymous(low, flags, name) &&
	    low->page_offset + mapping_pages(low) == start >> PAGE_SHIFT) {
		mapping_resize(a, low, low->start, end);
		if (joins_high)
			mapping_merge(a, low);
		return true;
	}
	if (joins_high)
		mapping_resize(a, high, start, high->end);
	return joins_high;
}

/*
 * [start, end), free and between these neighbours, becomes private anonymous memory of one of them or of a new
 * mapping: 0, or -ENOMEM.
 */
static inline int add_private(struct aspace *a, const char *name, u64 start, u64 end, u32 flags,
			      struct mapping *low, struct mapping *high)
{
	u64 nr = (end - start) >> PAGE_SHIFT;

	if (aspace_may_expand(a, flags, nr) || ((flags & MAPPING_ACCOUNTED) && memory_commit(nr)))
		return -ENOMEM;
	if (!map_extend(a, name, start, end, flags, low, high)) {
		struct mapping *m = a->nr_mappings < vm_max_map_count ? mapping_take(a) : NULL;

		if (unlikely(!m)) {
			if (flags & MAPPING_ACCOUNTED)
				memory_uncommit(nr);
			return -ENOMEM;
		}
		m->start = start;
		m->end = end;
		m->flags = flags;
		m->file = NULL;
		m->cache = NULL;
		m->name = name;
		m->policy = NULL;
		m->page_offset = start >> PAGE_SHIFT;
		mapping_insert_between(a, m, low, high);
		WRITE_ONCE(a->hint, m);
	}
	aspace_account_more(a, flags, nr);
	return 0;
}

/* Puts the mapping in; `start` is free.  0 or −errno. */
static int map_insert(struct aspace *a, const struct map_request *r, u64 start, u64 length,
		      u32 flags)
{
	bool anonymous = !(r->file || r->cache || r->special);
	struct mapping *high = mapping_find(a, start), *m;
	struct mapping *low = high ? high->prev : mapping_find_below(a, start);

	if (anonymous && !(flags & MAPPING_SHARED) &&
	    map_extend(a, r->name, start, start + length, flags, low, high))
		return 0;
	if (a->nr_mappings >= vm_max_map_count)
		return -ENOMEM;
	m = mapping_take(a);
	if (!m)
		return -ENOMEM;
	m->start = start;
	m->end = start + length;
	m->flags = flags;
	m->file = r->file;
	m->cache = r->cache;
	m->name = r->name;
	m->policy = NULL;
	m->page_offset = anonymous ? start >> PAGE_SHIFT : r->page_offset;
	if (anonymous && (flags & MAPPING_SHARED)) {
		m->page_offset = 0;
		m->name = "/dev/zero (deleted)";
		m->cache = shared_memory_create(length);
		if (!m->cache) {
			mapping_free(m);
			return -ENOMEM;
		}
	} else {
		mapping_hold_object(m);
	}
	mapping_insert_between(a, m, low, high);
	WRITE_ONCE(a->hint, m);
	if (m->file)
		mapping_merge(a, m);
	return 0;
}

static s64 map_locked(struct aspace *a, const struct map_request *r, u64 length, u32 flags)
{
	u64 nr = length >> PAGE_SHIFT;
	s64 start = request_place(a, r, length);

	if (start < 0)
		return start;
	if (r->map_flags & MAP_FIXED) {
		/* what is replaced does not count twice */
		int err = unmap_locked(a, (u64)start, (u64)start + length);

		if (err)
			return err;
	}
	int err = aspace_may_expand(a, flags, nr);

	if (!err && (flags & MAPPING_LOCKED))
		err = aspace_may_lock(a, nr);
	if (!err && (flags & MAPPING_ACCOUNTED))
		err = memory_commit(nr);
	if (err)
		return err;
	err = map_insert(a, r, (u64)start, length, flags);
	if (err) {
		if (flags & MAPPING_ACCOUNTED)
			memory_uncommit(nr);
		return err;
	}
	aspace_account_more(a, flags, nr);
	start_mapped(a, r, (u64)start, length, flags);
	return start;
}

s64 aspace_map(struct aspace *a, const struct map_request *r)
{
	u64 length = align_up(r->length, PAGE_SIZE);
	u32 flags;

	if (r->length == 0)
		return -EINVAL;
	if (length == 0 || length > USER_ADDRESS_END)
		return -ENOMEM;
	if (r->file && !r->special && r->page_offset > ((u64)S64_MAX - length) >> PAGE_SHIFT)
		return -EOVERFLOW;
	int err = request_flags(r, &flags);

	if (err)
		return err;
	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	if (a->default_locked & MCL_FUTURE)
		flags |= MAPPING_LOCKED;
	s64 start = map_locked(a, r, length, flags);
	rwlock_write_unlock(&a->lock);
	bool on_fault = a->default_locked & MCL_ONFAULT;

	if (start >= 0 && (((r->map_flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE) ||
			   ((flags & MAPPING_LOCKED) && !on_fault)))
		(void)aspace_populate(a, (u64)start, length, flags & MAPPING_WRITE);
	return start;
}

/* For memory that is to be locked. */
static __noinline s64 map_private_locked(struct aspace *a, u64 address, u64 length, u32 prot)
{
	const struct map_request r = {
		.address = address,
		.length = length,
		.prot = prot,
		.map_flags = MAP_PRIVATE | MAP_ANONYMOUS,
	};

	return aspace_map(a, &r);
}

s64 aspace_map_private(struct aspace *a, u64 address, u64 length, u32 prot)
{
	u32 flags =
		MAPPING_MAY_READ | MAPPING_MAY_WRITE | MAPPING_MAY_EXEC | (prot & MAPPING_RIGHTS);
	struct mapping *low, *high;

	if (length == 0)
		return -EINVAL;
	length = align_up(length, PAGE_SIZE);
	if (unlikely(length - 1 >= USER_ADDRESS_END))
		return -ENOMEM;
	if (prot & PROT_WRITE)
		flags |= MAPPING_WRITTEN | MAPPING_ACCOUNTED;
	if (unlikely(rwlock_write_killable(&a->lock)))
		return -EINTR;
	if (unlikely(a->default_locked & MCL_FUTURE)) {
		rwlock_write_unlock(&a->lock);
		return map_private_locked(a, address, length, prot);
	}
	s64 start = aspace_find_gap(a, address, length, false);

	if (likely(start >= 0)) {
		mapping_neighbours(a, (u64)start, &low, &high);
		int err = add_private(a, NULL, (u64)start, (u64)start + length, flags, low, high);

		if (unlikely(err))
			start = err;
	}
	rwlock_write_unlock(&a->lock);
	return start;
}

/* ---- brk ---- */

#define HEAP_FLAGS                                                                                 \
	(MAPPING_READ | MAPPING_WRITE | MAPPING_MAY_READ | MAPPING_MAY_WRITE | MAPPING_MAY_EXEC |  \
	 MAPPING_ACCOUNTED)
static const char heap_name[] = "[heap]";

/* [start, end) is to be heap; false: it can't. */
static bool heap_grow_locked(struct aspace *a, u64 start, u64 end)
{
	u32 flags = HEAP_FLAGS;
	struct mapping *low, *high;

	mapping_neighbours(a, start, &low, &high);
	if (high && end > mapping_room_end(high))
		return false;
	if (unlikely(a->default_locked & MCL_FUTURE)) {
		if (aspace_may_lock(a, (end - start) >> PAGE_SHIFT))
			return false;
		flags |= MAPPING_LOCKED;
	}
	return add_private(a, heap_name, start, end, flags, low, high) == 0;
}

u64 aspace_brk(struct aspace *a, u64 end)
{
	bool populate = false;
	u64 old_top, new_top;

	if (rwlock_write_killable(&a->lock))
		return a->brk_end;
	u64 limit = process_rlimit(RLIMIT_DATA);
	u64 data = a->data_end - a->data_start;

	if (end < a->brk_start || end > USER_ADDRESS_END ||
	    (limit < U64_MAX && end - a->brk_start + data > limit))
		goto out;
	old_top = align_up(a->brk_end, PAGE_SIZE);
	new_top = align_up(end, PAGE_SIZE);
	if (new_top < old_top) {
		if (unmap_locked(a, new_top, old_top))
			goto out;
	} else if (new_top > old_top) {
		if (!heap_grow_locked(a, old_top, new_top))
			goto out;
		populate = a->default_locked & MCL_FUTURE && !(a->default_locked & MCL_ONFAULT);
	}
	a->brk_end = end;
out:
	end = a->brk_end;
	rwlock_write_unlock(&a->lock);
	if (unlikely(populate))
		(void)aspace_populate(a, old_top, new_top - old_top, true);
	return end;
}

/* ---- stacks ---- */

int aspace_grow_stack(struct aspace *a, u64 address)
{
	u64 start = address & PAGE_MASK;

	if (rwlock_write_killable(&a->lock))
		return -EINTR;
	struct mapping *m = mapping_find(a, address), *below;
	int err = -ENOMEM;

	if (!m || m->start <= address) {
		rwlock_write_unlock(&a->lock);
		return m ? 0 : -ENOMEM;
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
		aspace_account_more(a, m->flags, nr);
		err = 0;
	}
	rwlock_write_unlock(&a->lock);
	return err;
}
