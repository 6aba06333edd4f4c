/*
 * Pools: elements of which some are held in reserve.
 *
 * Concepts.  Work that memory waits for (writing dirty pages, letting files of a
 * server go) must not itself fail or wait for want of memory.  A pool has its
 * elements from memory as long as there is some, and keeps a few beside it.
 * Whoever gives one back fills the reserve first.
 *
 * Invariants.
 *   (1) a sleeper on `refilled` saw the reserve empty, under the lock; with it
 *       at least nr_reserved elements are out, each of which comes back here.
 *   (2) nobody who holds an element waits for another of the same pool.
 *
 * By (1) and (2) each wait ends: elements are given back by who needs nothing of
 * the pool any more.  The reserve is asked last, so that it is there when it is
 * needed, and memory only gently (ALLOC_NORETRY), since there is the reserve.
 *
 * References: Bonwick and Adams, Vmem (USENIX 2001), section 4.1, for the
 * circle of memory that is needed to free memory.
 */
#include <nos/pool.h>

#include <nos/assert.h>
#include <nos/counter.h>
#include <nos/errno.h>
#include <nos/slab.h>

DEFINE_COUNTER(reserve, "pool.from_reserve");
DEFINE_COUNTER(waits, "pool.waits");

/* Nobody else knows it: no lock. */
int pool_init(struct pool *p, u32 nr, const struct pool_ops *ops, void *owner) __no_lock_check
{
	p->ops = ops;
	p->owner = owner;
	p->nr = 0;
	p->nr_reserved = nr;
	spin_init(&p->lock, RANK_LEAF);
	wait_queue_init(&p->refilled);
	p->elements = kcalloc(nr, sizeof(*p->elements), 0);
	while (p->elements && p->nr < nr) {
		void *element = ops->allocate(owner, 0);

		if (!element)
			break;
		p->elements[p->nr++] = element;
	}
	if (p->elements && p->nr == nr)
		return 0;
	p->nr_reserved = p->nr;
	pool_fini(p);
	return -ENOMEM;
}

/* Nor any more. */
void pool_fini(struct pool *p) __no_lock_check
{
	ASSERT(p->nr == p->nr_reserved);
	while (p->elements && p->nr)
		p->ops->release(p->owner, p->elements[--p->nr]);
	kfree(p->elements);
	p->elements = NULL;
	p->nr_reserved = 0;
}

static void *take(struct pool *p)
{
	scoped_spin_irq(&p->lock);

	return p->nr ? p->elements[--p->nr] : NULL;
}

void *pool_alloc(struct pool *p, u32 flags)
{
	void *element = p->ops->allocate(p->owner, flags | ALLOC_NORETRY);

	if (likely(element))
		return element;
	element = take(p);
	if (!element && !(flags & (ALLOC_ATOMIC | ALLOC_NOWAIT))) {
		counter_inc(waits);
		wait_event(&p->refilled, (element = take(p)) != NULL);
	}
	if (element)
		counter_inc(reserve);
	return element;
}

bool pool_refill(struct pool *p, void *element)
{
	u64 flags = spin_lock_irq(&p->lock);
	bool is_short = p->nr < p->nr_reserved;

	if (is_short)
		p->elements[p->nr++] = element;
	spin_unlock_irq(&p->lock, flags);
	if (is_short && wait_queue_is_active(&p->refilled))
		wake_one(&p->refilled);
	return is_short;
}
