/*
 * Caches of kernel objects.
 *
 * Concepts.  A slab is a folio cut into objects of one cache; its free objects
 * are linked through themselves.  In front of the slabs stand sheaves, arrays
 * of pointers to free objects: two for each CPU and cache, so that a run of
 * frees after a run of allocations does not go to the slabs at the edge, and
 * more in the cache's barn.  A full or an empty sheaf moves between CPU and
 * barn as a whole; only when the barn has none do objects move one by one.
 *
 * Use.  slab_alloc and slab_free on a hit are a load, a test and a store in
 * the CPU's first array with preemption off.  In an interrupt handler, which may
 * have interrupted just that, objects come from the slabs and go to them, and
 * never wait.
 *
 * Invariants.
 *   (1) cpu[i].main and .spare are never NULL; a CPU that has not used the
 *       cache yet has `no_sheaf` (capacity 0, count 0) twice, so that the hot
 *       path needs no test for it.
 *   (2) an object is live, or in exactly one sheaf, or on its slab's list.
 *   (3) a constructed object stays constructed while it is free: its link lies
 *       behind it, not in it.
 *   (4) memory of an rcu_typed cache stays of that type for a grace period
 *       after the slab became idle; objects themselves are reused at once.
 *
 * Locking.  A CPU's arrays: preemption off.  The barn and the slabs of a cache:
 * its lock, with interrupts off.  Sheaves come from a cache that itself has none.
 *
 * Simple for now: one barn a cache (one node).  A free from another node would
 * go into a sheaf of its own here and return in one batch.
 *
 * Model: tests/models/slab.pml.
 *
 * References: Bonwick and Adams, "Magazines and Vmem", USENIX 2001; the sheaves
 * of Linux 6.18 (for the two arrays and the barn).
 */
#include "slab_internal.h"
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/fail.h>
#include <nos/irq.h>
#include <nos/rcu.h>
#include <nos/string.h>
#include <nos/thread.h>

#define BARN_MAX 8u /* full, and empty, sheaves kept */
#define IDLE_MAX 1u /* slabs without a live object kept */

static struct slab_sheaf no_sheaf;
static struct slab_cache sheaf_cache, cache_cache;
static struct list caches = LIST_INIT(caches);
static struct mutex caches_lock = MUTEX_INIT(RANK_NONE);

/* ---- slabs: all under the cache's lock ---- */

static inline void **object_link(const struct slab_cache *c, void *object)
{
	return (void **)((char *)object + c->free_offset);
}

static inline struct folio *object_slab(const void *object)
{
	return phys_to_folio(virt_to_phys(object));
}

/* A new slab, not yet in the cache; no lock held. */
static struct folio *slab_create(struct slab_cache *c, u32 flags)
{
	struct folio *f = folio_alloc(c->order, FOLIO_SLAB, flags & (ALLOC_ATOMIC | ALLOC_NORETRY));

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
	f->slab_free = head;
	f->slab_in_use = 0;
	list_init(&f->slab_node);
	slab_debug_close(c, f);
	return f;
}

static void slab_release_late(struct rcu_head *head)
{
	folio_put(container_of(head, struct folio, rcu));
}

/* Frees an idle slab's memory. */
static void slab_release(struct slab_cache *c, struct folio *f)
{
	list_remove(&f->slab_node);
	c->nr_slabs--;
	c->nr_idle--;
	if (c->info.rcu_typed)
		rcu_call(&f->rcu, slab_release_late);
	else
		folio_put(f);
}

static void *slab_take(struct slab_cache *c, struct folio *f)
{
	void *object = f->slab_free;

	f->slab_free = *object_link(c, object);
	if (f->slab_in_use++ == 0)
		c->nr_idle--;
	if (!f->slab_free)
		list_remove(&f->slab_node);
	c->nr_in_use++;
	return object;
}

static void slab_give(struct slab_cache *c, void *object)
{
	struct folio *f = object_slab(object);

	VERIFY(f->kind == FOLIO_SLAB && f->slab_cache == c);
	if (!f->slab_free)
		list_push_front(&c->partial, &f->slab_node);
	*object_link(c, object) = f->slab_free;
	f->slab_free = object;
	c->nr_in_use--;
	if (--f->slab_in_use > 0)
		return;
	c->nr_idle++;
	if (c->nr_idle > IDLE_MAX && !c->info.type_stable) {
		slab_release(c, f);
	} else { /* last to be taken from */
		list_remove(&f->slab_node);
		list_push_back(&c->partial, &f->slab_node);
	}
}

/* Fills the sheaf from slabs that exist, up to `limit` objects. */
static void sheaf_fill(struct slab_cache *c, struct slab_sheaf *s, u32 limit)
{
	while (s->count < limit) {
		struct folio *f = list_first(&c->partial, struct folio, slab_node);

		if (!f)
			return;
		while (s->count < limit && f->slab_free)
			s->objects[s->count++] = slab_take(c, f);
	}
}

/* Returns the sheaf's oldest `nr` objects to their slabs. */
static void sheaf_flush(struct slab_cache *c, struct slab_sheaf *s, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		slab_give(c, s->objects[i]);
	s->count -= nr;
	memmove(s->objects, s->objects + nr, s->count * sizeof(s->objects[0]));
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

static struct slab_sheaf *sheaf_create(struct slab_cache *c)
{
	struct slab_sheaf *s;

	if (c->capacity == 0)
		return NULL;
	s = slab_alloc(&sheaf_cache, ALLOC_ATOMIC);
	if (s) {
		s->count = 0;
		s->capacity = c->capacity;
	}
	return s;
}

/* This CPU's arrays become real on the first use here; preemption off. */
static bool cpu_arrays_prepare(struct slab_cache *c, struct slab_cpu *pc)
{
	if (pc->main == &no_sheaf) {
		struct slab_sheaf *a = sheaf_create(c), *b = a ? sheaf_create(c) : NULL;

		if (!b) {
			if (a)
				slab_free(&sheaf_cache, a);
			return false;
		}
		pc->main = a;
		pc->spare = b;
	}
	return true;
}

/*
 * One object when a CPU's first array was empty; preemption off; NULL: a slab is needed.  The CPU may be
 * another one by now, whose first array is not: only an empty one may go among the empty ones.
 */
static void *alloc_refill(struct slab_cache *c, struct slab_cpu *pc)
{
	void *object = NULL;

	if (pc->main->count)
		return pc->main->objects[--pc->main->count];
	if (pc->spare->count) {
		swap(pc->main, pc->spare);
		return pc->main->objects[--pc->main->count];
	}
	bool arrays = cpu_arrays_prepare(c, pc);
	struct slab_sheaf *drop = NULL;
	u64 irq = spin_lock_irq(&c->lock);

	if (arrays && c->full) {
		drop = pc->main;
		pc->main = barn_take(&c->full, &c->nr_full);
		if (c->nr_empty < BARN_MAX) {
			barn_put(&c->empty, &c->nr_empty, drop);
			drop = NULL;
		}
	} else if (arrays) {
		sheaf_fill(c, pc->main, (c->capacity + 1) / 2);
	} else {
		struct folio *f = list_first(&c->partial, struct folio, slab_node);

		if (f)
			object = slab_take(c, f);
	}
	spin_unlock_irq(&c->lock, irq);
	if (drop)
		slab_free(&sheaf_cache, drop);
	if (arrays && pc->main->count)
		object = pc->main->objects[--pc->main->count];
	return object;
}

/* A new slab goes into the cache; one object of it at once if `take`. */
static void *slab_add(struct slab_cache *c, struct folio *f, bool take)
{
	scoped_spin_irq(&c->lock);
	list_push_back(&c->partial, &f->slab_node);
	c->nr_slabs++;
	c->nr_idle++;
	return take ? slab_take(c, f) : NULL;
}

/* In an interrupt handler: the arrays may be in use by what it interrupted. */
static __noinline void *alloc_in_irq(struct slab_cache *c)
{
	u64 irq = spin_lock_irq(&c->lock);
	struct folio *f = list_first(&c->partial, struct folio, slab_node);
	void *object = f ? slab_take(c, f) : NULL;

	spin_unlock_irq(&c->lock, irq);
	if (object)
		return object;
	f = slab_create(c, ALLOC_ATOMIC);
	return f ? slab_add(c, f, true) : NULL;
}

static __noinline void *alloc_slow(struct slab_cache *c, u32 flags)
{
	for (;;) {
		preempt_disable();
		void *object = alloc_refill(c, &c->cpu[cpu_id()]);

		preempt_enable();
		if (object)
			return object;
		struct folio *f = slab_create(c, flags);

		if (!f)
			return NULL;
		/* without waiting, no other may take it from us */
		object = slab_add(c, f, flags & ALLOC_ATOMIC);
		if (object)
			return object;
	}
}

/* A place in the CPU's first array, by exchanging arrays; preemption off; false: none. */
static bool free_make_space(struct slab_cache *c, struct slab_cpu *pc)
{
	if (!cpu_arrays_prepare(c, pc))
		return false;
	if (pc->main->count < pc->main->capacity)
		return true;
	if (pc->spare->count < pc->spare->capacity) {
		swap(pc->main, pc->spare);
		return true;
	}
	/* The barn's sheaves come from here: as many as it ever held full ones. */
	struct slab_sheaf *new = c->nr_full < BARN_MAX && !c->empty ? sheaf_create(c) : NULL;

	scoped_spin_irq(&c->lock);
	if (new)
		barn_put(&c->empty, &c->nr_empty, new);
	if (c->nr_full < BARN_MAX && c->empty) {
		barn_put(&c->full, &c->nr_full, pc->main);
		pc->main = barn_take(&c->empty, &c->nr_empty);
	} else {
		sheaf_flush(c, pc->main, (pc->main->count + 1) / 2);
	}
	return true;
}

static __noinline void free_to_slab(struct slab_cache *c, void *object)
{
	scoped_spin_irq(&c->lock);
	slab_give(c, object);
}

static __noinline void free_slow(struct slab_cache *c, void *object)
{
	preempt_disable();
	struct slab_cpu *pc = &c->cpu[cpu_id()];

	if (free_make_space(c, pc)) {
		pc->main->objects[pc->main->count++] = object;
	} else {
		free_to_slab(c, object);
	}
	preempt_enable();
}

/* ---- the interface ---- */

void *slab_alloc(struct slab_cache *c, u32 flags)
{
	void *object;

	if (test_allocation_fails() || fail_now(FAIL_ALLOC, c->info.name))
		return NULL;
	preempt_disable();
	struct slab_sheaf *s = c->cpu[cpu_id()].main;

	if (likely(s->count && !irq_is_in_handler())) {
		object = s->objects[--s->count];
		preempt_enable();
	} else {
		preempt_enable();
		object = irq_is_in_handler() ? alloc_in_irq(c) : alloc_slow(c, flags);
		if (!object)
			return NULL;
	}
	slab_debug_alloc(c, object);
	if (flags & ALLOC_ZERO)
		memset(object, 0, c->size);
	return object;
}

void slab_free(struct slab_cache *c, void *object)
{
	slab_debug_free(c, object);
	if (!slab_quarantine_put(c, object))
		slab_free_now(c, object);
}

void slab_free_now(struct slab_cache *c, void *object)
{
	preempt_disable();
	struct slab_sheaf *s = c->cpu[cpu_id()].main;

	if (unlikely(irq_is_in_handler())) {
		preempt_enable();
		free_to_slab(c, object);
	} else if (likely(s->count < s->capacity)) {
		s->objects[s->count++] = object;
		preempt_enable();
	} else {
		preempt_enable();
		free_slow(c, object);
	}
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

void slab_cache_prepare(struct slab_cache *c, const struct slab_cache_info *info, bool sheaves)
{
	u32 align = info->align ? (u32)info->align : 8;
	u32 inner = align_up((u32)info->size, 8u) + SLAB_RED_ZONE;

	memset(c, 0, sizeof(*c));
	c->info = *info;
	c->size = (u32)info->size;
	/* (3): a link behind objects whose contents must survive */
	c->free_offset = 0;
	if (info->construct || info->rcu_typed) {
		c->free_offset = inner;
		inner += 8;
	}
	c->poisoned = SLAB_RED_ZONE && c->free_offset == 0;
	c->stride = align_up(max(inner, 8u), align);
	c->order = slab_choose_order(c->stride);
	c->per_slab = (u16)(((u32)PAGE_SIZE << c->order) / c->stride);
	if (sheaves)
		c->capacity = c->stride <= 1024 ? SHEAF_CAPACITY : c->stride <= 4096 ? 12 : 4;
	for (u32 i = 0; i < MAX_CPUS; i++)
		c->cpu[i] = (struct slab_cpu){ &no_sheaf, &no_sheaf };
	spin_init(&c->lock, RANK_SLAB);
	list_init(&c->partial);
	scoped_mutex(&caches_lock);
	list_push_back(&caches, &c->node);
}

struct slab_cache *slab_cache_create(const struct slab_cache_info *info)
{
	struct slab_cache *c = slab_alloc(&cache_cache, 0);

	ASSERT(info->size <= PAGE_SIZE << 3);
	if (c)
		slab_cache_prepare(c, info, true);
	return c;
}

/* Empties all sheaves; nobody uses the cache any more. */
static void cache_flush_all(struct slab_cache *c)
{
	struct slab_sheaf *drop = NULL, *s;

	u64 irq = spin_lock_irq(&c->lock);
	for (u32 i = 0; i < MAX_CPUS; i++) {
		struct slab_cpu *pc = &c->cpu[i];

		if (pc->main == &no_sheaf)
			continue;
		sheaf_flush(c, pc->main, pc->main->count);
		sheaf_flush(c, pc->spare, pc->spare->count);
		pc->main->next = drop;
		pc->spare->next = pc->main;
		drop = pc->spare;
		*pc = (struct slab_cpu){ &no_sheaf, &no_sheaf };
	}
	while ((s = barn_take(&c->full, &c->nr_full))) {
		sheaf_flush(c, s, s->count);
		s->next = drop;
		drop = s;
	}
	while ((s = barn_take(&c->empty, &c->nr_empty))) {
		s->next = drop;
		drop = s;
	}
	spin_unlock_irq(&c->lock, irq);
	while (drop) {
		s = drop;
		drop = s->next;
		slab_free(&sheaf_cache, s);
	}
}

void slab_cache_destroy(struct slab_cache *c)
{
	struct folio *f, *tmp;

	if (!c)
		return;
	slab_quarantine_drain();
	cache_flush_all(c);
	ASSERT(c->nr_in_use == 0);
	u64 irq = spin_lock_irq(&c->lock);
	list_for_each_safe(f, tmp, &c->partial, slab_node)
		if (f->slab_in_use == 0)
			slab_release(c, f);
	bool leaked = c->nr_slabs != 0;

	spin_unlock_irq(&c->lock, irq);
	mutex_lock(&caches_lock);
	list_remove(&c->node);
	mutex_unlock(&caches_lock);
	if (!leaked)
		slab_free(&cache_cache, c);
}

/* Objects in sheaves; a snapshot. */
static u64 cache_nr_in_sheaves(const struct slab_cache *c)
{
	u64 n = 0;

	for (u32 i = 0; i < MAX_CPUS; i++)
		n += READ_ONCE(c->cpu[i].main->count) + READ_ONCE(c->cpu[i].spare->count);
	return n + (u64)c->nr_full * c->capacity;
}

u64 slab_cache_live(const struct slab_cache *c)
{
	u64 out = c->nr_in_use, idle = cache_nr_in_sheaves(c) + c->nr_quarantined;

	return out > idle ? out - idle : 0;
}

void slab_for_each(void (*fn)(const struct slab_cache_info *i, u64 live, u64 total, u64 slabs,
			      void *arg),
		   void *arg)
{
	struct slab_cache *c;

	scoped_mutex(&caches_lock);
	list_for_each(c, &caches, node)
		fn(&c->info, slab_cache_live(c), (u64)c->nr_slabs * c->per_slab, c->nr_slabs, arg);
}

static u64 cache_shrink(struct slab_cache *c)
{
	struct slab_sheaf *drop = NULL, *s;
	struct folio *f, *tmp;
	u32 before;

	u64 irq = spin_lock_irq(&c->lock);
	before = c->nr_slabs;
	while ((s = barn_take(&c->full, &c->nr_full))) {
		sheaf_flush(c, s, s->count);
		s->next = drop;
		drop = s;
	}
	list_for_each_safe(f, tmp, &c->partial, slab_node)
		if (f->slab_in_use == 0 && !c->info.type_stable)
			slab_release(c, f);
	u64 freed = (u64)(before - c->nr_slabs) << c->order;

	spin_unlock_irq(&c->lock, irq);
	while (drop) {
		s = drop;
		drop = s->next;
		slab_free(&sheaf_cache, s);
	}
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
		freed += cache_shrink(c);
	mutex_unlock(&caches_lock);
	return freed;
}

void slab_init(void)
{
	static const struct slab_cache_info sheaf_info = {
		.name = "slab_sheaf",
		.size = sizeof(struct slab_sheaf),
		.align = 64,
	};
	static const struct slab_cache_info cache_info = {
		.name = "slab_cache",
		.size = sizeof(struct slab_cache),
		.align = CACHE_LINE,
	};

	slab_cache_prepare(&sheaf_cache, &sheaf_info, false);
	slab_cache_prepare(&cache_cache, &cache_info, false);
	kmalloc_init();
}
