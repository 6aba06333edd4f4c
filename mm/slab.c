/*
 * Caches of kernel objects.
 *
 * Concepts.  A slab is a folio cut into objects of one cache; its free objects
 * are linked through themselves.  In front of the slabs stand sheaves, arrays
 * of pointers to free objects: two for each CPU and cache, so that a run of
 * frees after a run of allocations does not go to the slabs at the edge, and
 * more in the barn.  A full or an empty sheaf moves between CPU and barn as a
 * whole; only when the barn has none do objects move one by one.
 *
 * Nodes.  Slabs and barn are per node.  A CPU's two sheaves hold objects of its
 * own node only; what it frees of others gathers in a third and returns to its
 * owners in one batch, a lock for each of them.  A node without memory takes
 * what other nodes have free, before it makes slabs of their memory.
 *
 * Use.  slab_alloc and slab_free on a hit are a load, a test and a store in the
 * CPU's first array, a sequence that is restarted if it is preempted
 * (<nos/restart.h>); all else has preemption off.  In an interrupt handler, which may
 * have interrupted just that, objects come from the slabs and go to them, and
 * never wait.  A CPU's arrays of all caches stand side by side, apart from
 * those of other CPUs: a hit touches no line that another CPU writes.
 *
 * Invariants.
 *   (1) a CPU always has a first array, spare and remote; one that has not used
 *       them yet has `no_sheaf`, both empty and full, so that the hot path needs
 *       no test for it.
 *   (2) an object is live, or in exactly one sheaf, or on its slab's list.
 *   (3) a constructed object stays constructed while it is free: its link lies
 *       behind it, not in it, or where its cache was told to have it.
 *   (4) memory of an rcu_typed cache stays of that type for a grace period
 *       after the slab became idle; objects themselves are reused at once.
 *   (5) a slab belongs to the barn in its record.
 *   (6) a sheaf's memory stays a sheaf for a grace period: who adds up the
 *       counts of all CPUs looks at sheaves that may just have been freed.
 *   (7) below the lowest object of a sheaf stands NULL, above the highest its
 *       block ends: the hot path sees by `top` alone that it is empty or full.
 *
 * Locking.  A CPU's arrays: preemption off, or a restartable sequence.  A barn and its slabs: its lock, with
 * interrupts off, one at a time.  Sheaves come from a cache that itself has none.
 *
 * Models: tests/models/slab.pml, and slab_remote.pml for several nodes.
 *
 * References: Bonwick and Adams, "Magazines and Vmem", USENIX 2001; the sheaves
 * of Linux 6.18 (for the two arrays and the barn).
 */
#include "slab_internal.h"

#include <nos/assert.h>
#include <nos/log.h>
#include <nos/fail.h>
#include <nos/init.h>
#include <nos/irq.h>
#include <nos/rcu.h>
#include <nos/string.h>
#include <nos/thread.h>

#define BARN_MAX 8u /* full, and empty, sheaves kept */
#define IDLE_MAX 1u /* slabs without a live object kept */

DEFINE_STATIC_KEY(slab_plain_key);
DEFINE_STATIC_KEY(slab_plain_free_key);
struct slab_row slab_rows[MAX_CPUS];
static struct slab_sheaf no_sheaf;
static const struct slab_cpu no_arrays = { (void **)(&no_sheaf + 1), &no_sheaf, &no_sheaf };
static struct slab_cache sheaf_cache, cache_cache, barn_cache;
static struct list caches = LIST_INIT(caches);
static struct mutex caches_lock = MUTEX_INIT(RANK_NONE);
static bool row_entry_used[SLAB_ROW_CACHES] __guarded_by(&caches_lock); /* from the first on */

/* Each barn of the cache once. */
#define for_each_barn(c, b)                                                                        \
	for (struct slab_barn * b, *const *_b = (c)->barn; _b < (c)->barn + NUMA_MAX_NODES; _b++)  \
		if ((b = *_b) != &(c)->first_barn || _b == (c)->barn)

/* ---- slabs: all under their barn's lock ---- */

static inline void **object_link(const struct slab_cache *c, void *object)
{
	return (void **)((char *)object + c->free_offset);
}

static inline struct folio *object_slab(const void *object)
{
	return direct_to_folio(object);
}

static inline struct slab_barn *object_barn(const void *object)
{
	return object_slab(object)->slab_barn;
}

/* The barn of this CPU's node; preemption off. */
static inline struct slab_barn *barn_here(const struct slab_cache *c)
{
	return c->barn[this_cpu_read(this_numa_node)];
}

static void folio_set_place(struct folio *f, u8 place)
{
	memset(frame_slab_place(folio_address(f)), place, folio_nr_pages(f));
}

/* A new slab, not yet in the cache; no lock held. */
static struct folio *slab_create(struct slab_cache *c, const struct node_choice *choice, u32 flags)
{
	struct folio *f = folio_alloc_from(choice, c->order, FOLIO_SLAB,
					   flags & (ALLOC_ATOMIC | ALLOC_NORETRY | ALLOC_NOWAIT));

	if (!f)
		return NULL;
	char *base = folio_address(f);
	void *head = NULL;

	for (u32 i = c->per_slab; i-- > 0;) {
		void *object = base + (size_t)i * c->stride;

		if (c->info.construct)
			c->info.construct(object);
		slab_debug_prepare(c, object);
		*object_link(c, object) = head;
		head = object;
	}
	f->slab_cache = c;
	folio_set_place(f, (u8)(c->row_offset / sizeof(struct slab_cpu)));
	f->slab_barn = c->barn[folio_node(f)];
	f->slab_free = head;
	f->slab_in_use = 0;
	list_init(&f->slab_node);
	slab_debug_close(c, f);
	return f;
}

static void slab_give_back(struct folio *f)
{
	folio_set_place(f, 0);
	folio_put(f);
}

static void slab_release_late(struct rcu_head *head)
{
	slab_give_back(container_of(head, struct folio, rcu));
}

/* Frees an idle slab's memory. */
static void slab_release(struct slab_cache *c, struct slab_barn *b, struct folio *f)
{
	list_remove(&f->slab_node);
	b->nr_slabs--;
	b->nr_idle--;
	if (c->info.rcu_typed)
		rcu_call(&f->rcu, slab_release_late);
	else
		slab_give_back(f);
}

static void *slab_take(struct slab_cache *c, struct slab_barn *b, struct folio *f)
{
	void *object = f->slab_free;

	f->slab_free = *object_link(c, object);
	if (f->slab_in_use++ == 0)
		b->nr_idle--;
	if (!f->slab_free)
		list_remove(&f->slab_node);
	b->nr_in_use++;
	return object;
}

static void slab_give(struct slab_cache *c, struct slab_barn *b, void *object)
{
	struct folio *f = object_slab(object);

	VERIFY(f->kind == FOLIO_SLAB && f->slab_cache == c);
	ASSERT(f->slab_barn == b);
	if (!f->slab_free)
		list_push_front(&b->partial, &f->slab_node);
	*object_link(c, object) = f->slab_free;
	f->slab_free = object;
	b->nr_in_use--;
	if (--f->slab_in_use > 0)
		return;
	b->nr_idle++;
	if (b->nr_idle > IDLE_MAX && !c->info.type_stable) {
		slab_release(c, b, f);
	} else { /* last to be taken from */
		list_remove(&f->slab_node);
		list_push_back(&b->partial, &f->slab_node);
	}
}

/* Fills the sheaf from slabs that exist, up to `limit` objects. */
static void sheaf_fill(struct slab_cache *c, struct slab_barn *b, struct slab_sheaf *s, u32 limit)
{
	void **objects = sheaf_objects(s);

	while (s->count < limit) {
		struct folio *f = list_first(&b->partial, struct folio, slab_node);

		if (!f)
			return;
		while (s->count < limit && f->slab_free)
			objects[s->count++] = slab_take(c, b, f);
	}
}

/* Returns the sheaf's oldest `nr` objects to their slabs. */
static void sheaf_flush(struct slab_cache *c, struct slab_barn *b, struct slab_sheaf *s, u32 nr)
{
	void **objects = sheaf_objects(s);

	for (u32 i = 0; i < nr; i++)
		slab_give(c, b, objects[i]);
	s->count -= nr;
	memmove(objects, objects + nr, s->count * sizeof(objects[0]));
}

/* Returns all objects of the sheaf to whichever barns they are of, one after the other. */
static void sheaf_return(struct slab_cache *c, struct slab_sheaf *s)
{
	void **objects = sheaf_objects(s);

	while (s->count) {
		struct slab_barn *b = object_barn(objects[0]);
		u32 left = 0;

		scoped_spin_irq(&b->lock);
		for (u32 i = 0; i < s->count; i++) {
			if (object_barn(objects[i]) == b)
				slab_give(c, b, objects[i]);
			else
				objects[left++] = objects[i];
		}
		s->count = left;
	}
}

/* ---- sheaves ---- */

static struct slab_sheaf *barn_take(struct slab_sheaf **list, u32 *nr)
{
	struct slab_sheaf *s = *list;

	if (s) {
		*list = s->next;
		--*nr;
	}
	return s;
}

static void barn_put(struct slab_sheaf **list, u32 *nr, struct slab_sheaf *s)
{
	s->next = *list;
	*list = s;
	++*nr;
}

static void *barn_take_object(struct slab_cache *c, struct slab_barn *b)
{
	struct folio *f = list_first(&b->partial, struct folio, slab_node);

	return f ? slab_take(c, b, f) : NULL;
}

static struct slab_sheaf *sheaf_create(struct slab_cache *c)
{
	struct slab_sheaf *s;

	if (c->capacity == 0)
		return NULL;
	s = slab_alloc(&sheaf_cache, ALLOC_ATOMIC);
	if (s) {
		s->count = 0;
		s->capacity = c->capacity;
		sheaf_objects(s)[-1] = NULL;
	}
	return s;
}

/* The CPU's first array with its count; until it is put back, or another one, no object goes there. */
static struct slab_sheaf *first_take(const struct slab_cpu *pc)
{
	struct slab_sheaf *s = slab_cpu_first(pc);

	s->count = slab_cpu_first_count(pc);
	return s;
}

static void first_put(struct slab_cpu *pc, struct slab_sheaf *s)
{
	WRITE_ONCE(pc->top, sheaf_objects(s) + s->count);
}

/* This CPU's arrays become real on the first use here; preemption off. */
static bool cpu_arrays_prepare(struct slab_cache *c, struct slab_cpu *pc)
{
	if (slab_cpu_first(pc) == &no_sheaf) {
		struct slab_sheaf *a = sheaf_create(c), *b = a ? sheaf_create(c) : NULL;

		if (!b) {
			if (a)
				slab_free(&sheaf_cache, a);
			return false;
		}
		first_put(pc, a);
		pc->spare = b;
	}
	return true;
}

static void first_exchange(struct slab_cpu *pc)
{
	struct slab_sheaf *s = first_take(pc);

	first_put(pc, pc->spare);
	pc->spare = s;
}

/*
 * One object when a CPU's first array was empty; preemption off; NULL: a slab is needed.  The CPU may be
 * another one by now, whose first array is not: only an empty one may go among the empty ones.
 */
static void *alloc_refill(struct slab_cache *c, struct slab_cpu *pc)
{
	void *object = NULL;

	if (pc->top[-1])
		return *--pc->top;
	if (pc->spare->count) {
		first_exchange(pc);
		return *--pc->top;
	}
	bool arrays = cpu_arrays_prepare(c, pc);
	struct slab_barn *b = barn_here(c);
	struct slab_sheaf *first = arrays ? first_take(pc) : NULL, *drop = NULL;
	u64 irq = spin_lock_irq(&b->lock);

	if (arrays && b->full) {
		drop = first;
		first = barn_take(&b->full, &b->nr_full);
		if (b->nr_empty < BARN_MAX) {
			barn_put(&b->empty, &b->nr_empty, drop);
			drop = NULL;
		}
	} else if (arrays) {
		sheaf_fill(c, b, first, (c->capacity + 1) / 2);
	} else {
		object = barn_take_object(c, b);
	}
	spin_unlock_irq(&b->lock, irq);
	if (arrays) {
		if (first->count)
			object = sheaf_objects(first)[--first->count];
		first_put(pc, first);
	}
	if (drop)
		slab_free(&sheaf_cache, drop);
	return object;
}

/* A new slab goes into the cache; one object of it at once if `take`. */
static void *slab_add(struct slab_cache *c, struct folio *f, bool take)
{
	struct slab_barn *b = f->slab_barn;

	scoped_spin_irq(&b->lock);
	list_push_back(&b->partial, &f->slab_node);
	b->nr_slabs++;
	b->nr_idle++;
	return take ? slab_take(c, b, f) : NULL;
}

/* One object of the slabs of any node but `node`, or its last full sheaves. */
static void *alloc_elsewhere(struct slab_cache *c, unsigned node)
{
	void *object = NULL;

	for (unsigned n = 0; n < NUMA_MAX_NODES && !object; n++) {
		struct slab_barn *b = c->barn[n];

		if (b == c->barn[node])
			continue;
		scoped_spin_irq(&b->lock);
		object = barn_take_object(c, b);
		if (!object && b->full) {
			object = sheaf_objects(b->full)[--b->full->count];
			sheaf_flush(c, b, b->full, b->full->count);
			barn_put(&b->empty, &b->nr_empty, barn_take(&b->full, &b->nr_full));
		}
	}
	return object;
}

/* In an interrupt handler: the arrays may be in use by what it interrupted. */
static __noinline void *alloc_in_irq(struct slab_cache *c)
{
	struct slab_barn *b = barn_here(c);
	u64 irq = spin_lock_irq(&b->lock);
	void *object = barn_take_object(c, b);

	spin_unlock_irq(&b->lock, irq);
	if (object)
		return object;
	struct folio *f = slab_create(c, &node_choice_local, ALLOC_ATOMIC);

	return f ? slab_add(c, f, true) : NULL;
}

/*
 * A slab of this node's memory, else an object of another node's slabs (into
 * *object), else a slab of any memory.
 */
static struct folio *slab_create_near(struct slab_cache *c, unsigned node, u32 flags, void **object)
{
	const struct node_choice here = { .allowed = bit(node), .first = (u8)node };
	struct folio *f = slab_create(c, &here, (flags & ALLOC_ATOMIC) | ALLOC_NOWAIT);

	if (f)
		return f;
	*object = alloc_elsewhere(c, node);
	return *object ? NULL : slab_create(c, &node_choice_local, flags);
}

/* An object of a cache without sheaves, of this node's memory if there is some; NULL. */
static void *alloc_on_node(struct slab_cache *c, unsigned node)
{
	const struct node_choice choice = { .allowed = U64_MAX, .first = (u8)node };
	struct slab_barn *b = c->barn[node];
	u64 irq = spin_lock_irq(&b->lock);
	void *object = barn_take_object(c, b);

	spin_unlock_irq(&b->lock, irq);
	if (!object) {
		struct folio *f = slab_create(c, &choice, ALLOC_ATOMIC);

		object = f ? slab_add(c, f, true) : NULL;
	}
	if (object)
		slab_debug_alloc(c, object);
	return object;
}

static __noinline void *alloc_slow(struct slab_cache *c, u32 flags)
{
	for (;;) {
		preempt_disable();
		unsigned node = this_cpu_read(this_numa_node);
		void *object = alloc_refill(c, slab_cpu_of(c, cpu_id()));
		struct folio *f;

		preempt_enable();
		if (object)
			return object;
		if (static_key_is_on(&numa_key))
			f = slab_create_near(c, node, flags, &object);
		else
			f = slab_create(c, &node_choice_local, flags);
		if (!f)
			return object;
		/* without waiting, no other may take it from us; nor may it be where we don't look */
		object = slab_add(c, f, (flags & ALLOC_ATOMIC) || f->slab_barn != c->barn[node]);
		if (object)
			return object;
	}
}

/* A place in the CPU's first array, by exchanging arrays; preemption off; false: none. */
static bool free_make_space(struct slab_cache *c, struct slab_cpu *pc)
{
	struct slab_barn *b = barn_here(c);

	if (!cpu_arrays_prepare(c, pc))
		return false;
	if (!sheaf_top_is_full(pc->top))
		return true;
	if (pc->spare->count < pc->spare->capacity) {
		first_exchange(pc);
		return true;
	}
	/* The barn's sheaves come from here: as many as it ever held full ones. */
	struct slab_sheaf *new = b->nr_full < BARN_MAX && !b->empty ? sheaf_create(c) : NULL;
	struct slab_sheaf *first = first_take(pc);

	scoped_spin_irq(&b->lock);
	if (new)
		barn_put(&b->empty, &b->nr_empty, new);
	if (b->nr_full < BARN_MAX && b->empty) {
		barn_put(&b->full, &b->nr_full, first);
		first = barn_take(&b->empty, &b->nr_empty);
	} else {
		sheaf_flush(c, b, first, (first->count + 1) / 2);
	}
	first_put(pc, first);
	return true;
}

static __noinline void free_to_slab(struct slab_cache *c, void *object)
{
	struct slab_barn *b = object_barn(object);

	scoped_spin_irq(&b->lock);
	slab_give(c, b, object);
}

/* Another node's object: it waits for company on its way back.  Preemption off, no interrupt. */
static __noinline void free_remote(struct slab_cache *c, void *object)
{
	struct slab_cpu *pc = slab_cpu_of(c, cpu_id());

	if (pc->remote == &no_sheaf)
		pc->remote = sheaf_create(c) ?: &no_sheaf;
	if (pc->remote->count == pc->remote->capacity)
		sheaf_return(c, pc->remote);
	if (pc->remote->count < pc->remote->capacity)
		sheaf_objects(pc->remote)[pc->remote->count++] = object;
	else
		free_to_slab(c, object);
}

static __noinline void free_slow(struct slab_cache *c, void *object)
{
	preempt_disable();
	struct slab_cpu *pc = slab_cpu_of(c, cpu_id());

	if (static_key_is_on(&numa_key) && object_barn(object) != barn_here(c)) {
		free_remote(c, object); /* this is another CPU by now */
	} else if (free_make_space(c, pc)) {
		*pc->top++ = object;
	} else {
		free_to_slab(c, object);
	}
	preempt_enable();
}

/* ---- the interface ---- */

__noinline void *slab_alloc_miss(struct slab_cache *c, u32 flags)
{
	void *object = irq_is_in_handler() ? alloc_in_irq(c) : alloc_slow(c, flags);

	if (object)
		slab_debug_alloc(c, object);
	return object;
}

__noinline void *slab_alloc_plain(struct slab_cache *c, u32 flags)
{
	preempt_disable();
	struct slab_cpu *pc = slab_cpu_of(c, cpu_id());
	void *object = irq_is_in_handler() ? NULL : pc->top[-1];

	if (unlikely(!object)) {
		preempt_enable();
		return slab_alloc_miss(c, flags);
	}
	pc->top--;
	preempt_enable();
	slab_debug_alloc(c, object);
	return object;
}

__noinline void slab_free_plain(struct slab_cache *c, void *object)
{
	c = c ?: slab_cache_of(object);
	preempt_disable();
	struct slab_cpu *pc = slab_cpu_of(c, cpu_id());

	if (unlikely(sheaf_top_is_full(pc->top) || irq_is_in_handler() ||
		     (static_key_is_on(&numa_key) && slab_is_remote(c, object)))) {
		preempt_enable();
		slab_free_miss(c, object);
		return;
	}
	*pc->top++ = object;
	preempt_enable();
}

static __noinline void *slab_alloc_zeroed(struct slab_cache *c, u32 flags)
{
	void *object = slab_alloc_inline(c, c->row_offset, flags);

	if (object)
		memset(object, 0, c->size);
	return object;
}

void *slab_alloc(struct slab_cache *c, u32 flags)
{
	if (flags & ALLOC_ZERO)
		return slab_alloc_zeroed(c, flags);
	return slab_alloc_inline(c, c->row_offset, flags);
}

void slab_free(struct slab_cache *c, void *object)
{
	slab_free_inline(c, c->row_offset, object);
}

__noinline void slab_free_miss(struct slab_cache *c, void *object)
{
	c = c ?: slab_cache_of(object);
	if (irq_is_in_handler())
		free_to_slab(c, object);
	else
		free_slow(c, object);
}

void slab_free_now(struct slab_cache *c, void *object)
{
	slab_free_now_inline(c, c->row_offset, object);
}

/* Smallest order that wastes at most an eighth, or holds 8 objects. */
static u8 slab_choose_order(u32 stride)
{
	for (u8 order = 0; order < 3; order++) {
		u32 bytes = (u32)PAGE_SIZE << order;

		if (bytes / stride >= 8 ||
		    (bytes >= stride && bytes % stride <= bytes / 8 && bytes / stride >= 4))
			return order;
	}
	return stride <= PAGE_SIZE << 3 ? 3 : (u8)log2_ceil(stride >> PAGE_SHIFT);
}

static void barn_init(struct slab_barn *b)
{
	memset(b, 0, sizeof(*b));
	spin_init(&b->lock, RANK_SLAB);
	list_init(&b->partial);
}

/* A barn for each node that has memory, of that memory; where it fails, the first one serves. */
static void barns_create(struct slab_cache *c)
{
	for (u32 n = 1; n < memory_nr_nodes(); n++) {
		struct slab_barn *b = alloc_on_node(&barn_cache, n);

		if (b) {
			barn_init(b);
			c->barn[n] = b;
		}
	}
}

/* Gives the cache an entry of its own in each row; false: there is none left. */
static bool row_entry_take(struct slab_cache *c) __must_hold(&caches_lock)
{
	for (u32 i = SLAB_FIRST_PLACE; i < SLAB_ROW_CACHES; i++)
		if (!row_entry_used[i]) {
			row_entry_used[i] = true;
			c->row_offset = slab_row_offset(i);
			for (u32 cpu = 0; cpu < MAX_CPUS; cpu++)
				*slab_cpu_of(c, cpu) = no_arrays;
			return true;
		}
	return false;
}

void slab_cache_prepare(struct slab_cache *c, const struct slab_cache_info *info, bool sheaves)
{
	u32 align = info->align ? (u32)info->align : 8;
	u32 inner = align_up((u32)info->size, 8u) + SLAB_RED_ZONE;

	memset(c, 0, sizeof(*c));
	c->info = *info;
	c->size = (u32)info->size;
	c->row_offset = slab_row_offset(SLAB_NO_PLACE);
	/* (3): a link behind objects whose contents must survive */
	c->free_offset = 0;
	if (info->link_offset) {
		c->free_offset = info->link_offset;
	} else if (info->construct || info->rcu_typed) {
		c->free_offset = inner;
		inner += 8;
	}
	c->poisoned = SLAB_RED_ZONE && c->free_offset == 0;
	c->stride = align_up(max(inner, 8u), align);
	c->order = slab_choose_order(c->stride);
	c->per_slab = (u16)(((u32)PAGE_SIZE << c->order) / c->stride);
	barn_init(&c->first_barn);
	for (u32 n = 0; n < NUMA_MAX_NODES; n++)
		c->barn[n] = &c->first_barn;
	scoped_mutex(&caches_lock);
	if (sheaves && row_entry_take(c))
		c->capacity = c->stride <= 256  ? SHEAF_CAPACITY :
			      c->stride <= 1024 ? 29 :
			      c->stride <= 4096 ? 12 :
						  4;
	list_push_back(&caches, &c->node);
}

struct slab_cache *slab_cache_create(const struct slab_cache_info *info)
{
	struct slab_cache *c = slab_alloc(&cache_cache, 0);

	ASSERT(info->size <= PAGE_SIZE << 3);
	if (c) {
		slab_cache_prepare(c, info, true);
		barns_create(c);
	}
	return c;
}

static void sheaf_drop(struct slab_sheaf *s)
{
	if (s != &no_sheaf)
		slab_free(&sheaf_cache, s);
}

static void sheaves_drop(struct slab_sheaf *list)
{
	while (list) {
		struct slab_sheaf *s = list;

		list = s->next;
		sheaf_drop(s);
	}
}

/* Takes the full sheaves and their objects out of the barn; they are to be dropped. */
static struct slab_sheaf *barn_empty_locked(struct slab_cache *c, struct slab_barn *b)
	__must_hold(&b->lock)
{
	struct slab_sheaf *drop = NULL, *s;

	while ((s = barn_take(&b->full, &b->nr_full))) {
		sheaf_flush(c, b, s, s->count);
		s->next = drop;
		drop = s;
	}
	return drop;
}

static void barn_release_idle_locked(struct slab_cache *c, struct slab_barn *b)
	__must_hold(&b->lock)
{
	struct folio *f, *tmp;

	list_for_each_safe(f, tmp, &b->partial, slab_node)
		if (f->slab_in_use == 0)
			slab_release(c, b, f);
}

/* Empties all sheaves of CPUs; nobody uses the cache. */
static void cache_flush_cpus(struct slab_cache *c)
{
	for (u32 i = 0; i < MAX_CPUS; i++) {
		struct slab_cpu pc = *slab_cpu_of(c, i);

		*slab_cpu_of(c, i) = no_arrays;
		struct slab_sheaf *first = first_take(&pc);

		sheaf_return(c, first);
		sheaf_return(c, pc.spare);
		sheaf_return(c, pc.remote);
		sheaf_drop(first);
		sheaf_drop(pc.spare);
		sheaf_drop(pc.remote);
	}
}

/* Gives all memory of the barn back that can be; slabs that are left hold live objects. */
static u32 barn_clear(struct slab_cache *c, struct slab_barn *b)
{
	struct slab_sheaf *drop, *s;
	u32 left;

	u64 irq = spin_lock_irq(&b->lock);
	drop = barn_empty_locked(c, b);
	while ((s = barn_take(&b->empty, &b->nr_empty))) {
		s->next = drop;
		drop = s;
	}
	barn_release_idle_locked(c, b);
	left = b->nr_slabs;
	ASSERT(b->nr_in_use == 0);
	spin_unlock_irq(&b->lock, irq);
	sheaves_drop(drop);
	return left;
}

void slab_cache_destroy(struct slab_cache *c)
{
	u32 left = 0;

	if (!c)
		return;
	slab_quarantine_drain();
	cache_flush_cpus(c);
	for_each_barn(c, b) left += barn_clear(c, b);
	bool leaked = left != 0;

	mutex_lock(&caches_lock);
	list_remove(&c->node);
	if (c->row_offset != slab_row_offset(SLAB_NO_PLACE) && !leaked)
		row_entry_used[c->row_offset / sizeof(struct slab_cpu)] = false;
	mutex_unlock(&caches_lock);
	if (leaked)
		return;
	for_each_barn(c, b) if (b != &c->first_barn) slab_free(&barn_cache, b);
	slab_free(&cache_cache, c);
}

/*
 * Objects in sheaves; a snapshot.  A CPU may exchange its sheaves meanwhile: a
 * count may be that of the next user of the sheaf, but not of other memory (6).
 */
static u64 cache_nr_in_sheaves(const struct slab_cache *c)
{
	u64 n = 0;

	scoped_rcu();
	for (u32 i = 0; i < MAX_CPUS; i++) {
		const struct slab_cpu *pc = slab_cpu_of(c, i);

		n += slab_cpu_first_count(pc) + READ_ONCE(READ_ONCE(pc->spare)->count) +
		     READ_ONCE(READ_ONCE(pc->remote)->count);
	}
	for_each_barn(c, b) n += (u64)READ_ONCE(b->nr_full) * c->capacity;
	return n;
}

u64 slab_cache_live(const struct slab_cache *c)
{
	u64 out = 0, idle = cache_nr_in_sheaves(c) + READ_ONCE(c->nr_quarantined);

	for_each_barn(c, b) out += READ_ONCE(b->nr_in_use);
	return out > idle ? out - idle : 0;
}

void slab_for_each(void (*fn)(const struct slab_cache_info *i, u64 live, u64 total, u64 slabs,
			      void *arg),
		   void *arg)
{
	struct slab_cache *c;

	scoped_mutex(&caches_lock);
	list_for_each(c, &caches, node) {
		u64 slabs = 0;

		for_each_barn(c, b) slabs += READ_ONCE(b->nr_slabs);
		fn(&c->info, slab_cache_live(c), slabs * c->per_slab, slabs, arg);
	}
}

static u64 barn_shrink(struct slab_cache *c, struct slab_barn *b)
{
	struct slab_sheaf *drop;
	u32 before;

	u64 irq = spin_lock_irq(&b->lock);
	before = b->nr_slabs;
	drop = barn_empty_locked(c, b);
	if (!c->info.type_stable)
		barn_release_idle_locked(c, b);
	u64 freed = (u64)(before - b->nr_slabs) << c->order;

	spin_unlock_irq(&b->lock, irq);
	sheaves_drop(drop);
	return freed;
}

u64 slab_reclaim(void)
{
	struct slab_cache *c;
	u64 freed = 0;

	slab_quarantine_drain();
	if (!mutex_try_lock(&caches_lock))
		return 0;
	list_for_each(c, &caches, node)
		for_each_barn(c, b) freed += barn_shrink(c, b);
	mutex_unlock(&caches_lock);
	return freed;
}

void slab_init(void)
{
	static const struct slab_cache_info sheaf_info = {
		.name = "slab_sheaf",
		.size = sizeof(struct slab_sheaf),
		.align = SHEAF_BYTES,
		.rcu_typed = true,
		.link_offset = offsetof(struct slab_sheaf, next),
	};
	static const struct slab_cache_info cache_info = {
		.name = "slab_cache",
		.size = sizeof(struct slab_cache),
		.align = CACHE_LINE,
	};

	static const struct slab_cache_info barn_info = {
		.name = "slab_barn",
		.size = sizeof(struct slab_barn),
		.align = CACHE_LINE,
	};

	for (u32 cpu = 0; cpu < MAX_CPUS; cpu++)
		slab_rows[cpu].of[SLAB_NO_PLACE] = no_arrays;
	slab_cache_prepare(&barn_cache, &barn_info, false);
	slab_cache_prepare(&sheaf_cache, &sheaf_info, false);
	slab_cache_prepare(&cache_cache, &cache_info, false);
	kmalloc_init();
}

void __init slab_nodes_init(void)
{
	static struct slab_barn own[NUMA_MAX_NODES]; /* of the cache of barns */
	struct slab_cache *c;

	if (memory_nr_nodes() == 1)
		return;
	for (u32 n = 1; n < memory_nr_nodes(); n++) {
		barn_init(&own[n]);
		barn_cache.barn[n] = &own[n];
	}
	list_for_each(c, &caches, node) {
		cache_flush_cpus(c); /* what the sheaves hold is the first barn's */
		if (c != &barn_cache)
			barns_create(c);
	}
	static_key_set(&slab_plain_free_key, true);
}

#ifndef NOS_HOST
static int slab_choose_paths(void)
{
	if (!boot_opt_enabled("slab_restart")) {
		static_key_set(&slab_plain_key, true);
		static_key_set(&slab_plain_free_key, true);
	}
	return 0;
}
INIT_STEP(INIT_CORE, slab_choose_paths);
#endif
