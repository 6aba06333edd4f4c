/*
 * Reference counts that many CPUs change at once (core/percpu_ref.c).
 *
 * While it is spread, a count has a number on each CPU, and a reference is one instruction on this CPU's
 * own.  Its owner, who holds a reference, gathers the numbers into one word before it asks how many there
 * are, or lets go.  Counts saturate: one that is given back too often stays for ever (Q5).
 */
#pragma once

#include <nos/cpu.h>
#include <nos/rcu.h>
#include <nos/types.h>

#define PERCPU_REF_SLOTS 2048u

struct percpu_ref {
	u16 slot; /* where each CPU counts; 0: `shared` has them all */
	u16 gathering; /* the slot that is being added up; 0 */
	bool dead; /* no percpu_ref_try_get_live */
	u64 shared;
	void (*release)(struct percpu_ref *r); /* the last one was given back; by who gave it */
	struct rcu_head rcu; /* percpu_ref_kill's; free once release is called */
};

#ifdef NOS_HOST /* threads are CPUs */
extern u64 percpu_ref_counts[MAX_CPUS][PERCPU_REF_SLOTS];
#define percpu_ref_count_add(slot, n)                                                              \
	((void)__atomic_fetch_add(&percpu_ref_counts[cpu_id()][slot], (u64)(n), __ATOMIC_RELAXED))
#else
DECLARE_PERCPU(u64[PERCPU_REF_SLOTS], percpu_ref_counts);
#define percpu_ref_count_add(slot, n) this_cpu_add(percpu_ref_counts[slot], (u64)(n))
#endif

/* One reference, the owner's, in the shared word. */
static inline void percpu_ref_init(struct percpu_ref *r, void (*release)(struct percpu_ref *r))
{
	r->slot = r->gathering = 0;
	r->dead = false;
	r->shared = 1;
	r->release = release;
}
/* Each CPU counts from now on, if a slot is free and opt.percpu_ref is on; alive again.  The caller holds a
 * reference, and no gathering is under way.  Several may call it. */
void percpu_ref_spread(struct percpu_ref *r);
/* The shared word counts from now on.  True: a grace period later percpu_ref_gather_end is due. */
bool percpu_ref_gather_begin(struct percpu_ref *r);
void percpu_ref_gather_end(struct percpu_ref *r);
/* All of that, and with dead nobody comes in by percpu_ref_try_get_live afterwards; sleeps. */
void percpu_ref_gather(struct percpu_ref *r, bool dead);
/* How many references there are; gathered. */
u64 percpu_ref_read(const struct percpu_ref *r);
void percpu_ref_kill_slow(struct percpu_ref *r);
void percpu_ref_get_shared(struct percpu_ref *r);
bool percpu_ref_try_get_shared(struct percpu_ref *r);
void percpu_ref_put_shared(struct percpu_ref *r);

/* nr references more; there is one.  Any context but NMI, as all that follows. */
static __always_inline void percpu_ref_get_many(struct percpu_ref *r, u32 nr)
{
	rcu_read_lock();
	u16 slot = atomic_load(&r->slot);

	if (likely(slot))
		percpu_ref_count_add(slot, nr);
	rcu_read_unlock();
	if (likely(slot))
		return;
	while (nr--)
		percpu_ref_get_shared(r);
}

static __always_inline void percpu_ref_get(struct percpu_ref *r)
{
	percpu_ref_get_many(r, 1);
}

/* Under RCU, which keeps the memory: a reference; false once the last one was given back. */
static __always_inline bool __must_check percpu_ref_try_get(struct percpu_ref *r)
{
	u16 slot = atomic_load(&r->slot);

	if (unlikely(!slot))
		return percpu_ref_try_get_shared(r);
	percpu_ref_count_add(slot, 1);
	return true;
}

/* The same; false also while it is dead.  What is spread is alive. */
static __always_inline bool __must_check percpu_ref_try_get_live(struct percpu_ref *r)
{
	u16 slot = atomic_load(&r->slot);

	if (unlikely(!slot))
		return !atomic_load(&r->dead) && percpu_ref_try_get_shared(r);
	percpu_ref_count_add(slot, 1);
	return true;
}

static __always_inline void percpu_ref_put(struct percpu_ref *r)
{
	rcu_read_lock();
	u16 slot = atomic_load(&r->slot);

	if (likely(slot))
		percpu_ref_count_add(slot, -1);
	rcu_read_unlock();
	if (unlikely(!slot))
		percpu_ref_put_shared(r);
}

/* The owner lets go: dead, gathered, and its reference given back, after a grace period where that needs
 * one.  Any context; release may come from RCU's thread, and must not sleep then. */
static inline void percpu_ref_kill(struct percpu_ref *r)
{
	u64 one = 1;

	if (likely(!r->slot && atomic_cas_update(&r->shared, &one, 0ull))) /* nobody else has one */
		r->release(r);
	else
		percpu_ref_kill_slow(r);
}
