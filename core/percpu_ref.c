/*
 * Reference counts that many CPUs change at once.
 *
 * Concepts.  A count is *shared* or *spread*.  Shared, it is one word, as a
 * struct ref is.  Spread, it has a *slot*: a number on each CPU, all numbers of
 * a CPU side by side.  A reference that is taken on one CPU may be given back
 * on another, so a number says nothing by itself and may be negative; their sum
 * counts.  It cannot be read while they change: the owner *gathers* first.
 *
 * The owner is whoever decides when the object goes (the tree of a mount, the
 * tasks with some credentials).  It holds a reference for as long as the count
 * is spread, so that nobody else's can be the last one, and nobody looks.
 *
 * How it works.  Who takes or gives back a reference reads r->slot and adds to
 * this CPU's number in one section of RCU.  Gathering makes r->slot 0, so that
 * new changes go to the shared word; a grace period later no CPU adds to the
 * slot any more, and the sum goes into the shared word.  In between, more may be
 * given back to the word than it ever had: BIAS stands in it meanwhile.
 *
 * Invariants.
 *   (1) references = the word (less BIAS) + the sum of the slot's numbers, once
 *       all sections of RCU under way are over;
 *   (2) BIAS comes into the word before the slot goes, and goes with the sum;
 *   (3) a slot's numbers are zero when it is free.  It becomes free a grace
 *       period after the last one could see it;
 *   (4) a count that is spread has its owner's reference, and is not dead.
 *
 * Changes of dead, too, are followed by a grace period before anyone relies on
 * them: percpu_ref_try_get_live looks and counts in one section.
 *
 * Locking.  slots_lock: which slots are free, and who gives a count its slot.
 * The owner sees to it that gathering meets neither another one nor a spreading.
 *
 * Limits.  There are PERCPU_REF_SLOTS slots; a count that finds none stays
 * shared, and is right.  opt.percpu_ref=off leaves none.
 *
 * Model: tests/models/percpu_ref.pml.
 *
 * Rejected.  Memory for each count from an allocator of per-CPU memory: it can
 * fail, and the address has to be added to the CPU's.  Numbers that are read
 * without a grace period until two sums agree (a reader may go on between the
 * sums for ever).
 *
 * References: Ellen, Lev, Luchangco and Moir, SNZI (2007), and Corbet, per-CPU
 * reference counts (LWN 557478, 2013), for the problem; Clements and others,
 * RadixVM (EuroSys 2013), section 3.1, for counts that are gathered by epochs.
 */
#include <nos/percpu_ref.h>

#include <nos/assert.h>
#include <nos/counter.h>
#include <nos/init.h>
#include <nos/lock.h>
#include <nos/log.h>

#define BIAS (1ull << 61)
#define LIMIT (1ull << 60) /* more than any memory holds */
#define SATURATED (3ull << 62)

#ifdef NOS_HOST
u64 percpu_ref_counts[MAX_CPUS][PERCPU_REF_SLOTS];
#define count_on(cpu, slot) (&percpu_ref_counts[cpu][slot])
#else
DEFINE_PERCPU(u64[PERCPU_REF_SLOTS], percpu_ref_counts);
#define count_on(cpu, slot) per_cpu_ptr(percpu_ref_counts[slot], cpu)
#endif

DEFINE_COUNTER(spread, "percpu_ref.spread");
DEFINE_COUNTER(gathered, "percpu_ref.gathered");
DEFINE_COUNTER(none_free, "percpu_ref.no_slot");

static struct spinlock slots_lock = SPINLOCK_INIT(RANK_LEAF);
static u64 slots_free[PERCPU_REF_SLOTS / 64] __guarded_by(&slots_lock);
static u32 nr_free __guarded_by(&slots_lock);

static int percpu_ref_start(void)
{
	if (!boot_opt_enabled("percpu_ref"))
		return 0;
	scoped_spin_irq(&slots_lock);
	for (u32 i = 0; i < ARRAY_SIZE(slots_free); i++)
		slots_free[i] = U64_MAX;
	slots_free[0] &= ~1ull; /* 0: none */
	nr_free = PERCPU_REF_SLOTS - 1;
	return 0;
}
INIT_STEP(INIT_CORE, percpu_ref_start);

static u16 slot_take_locked(void) __must_hold(&slots_lock)
{
	for (u32 i = 0; i < ARRAY_SIZE(slots_free); i++)
		if (slots_free[i]) {
			u32 n = (u32)__builtin_ctzll(slots_free[i]);

			slots_free[i] &= ~bit(n);
			nr_free--;
			return (u16)(i * 64 + n);
		}
	return 0;
}

/* ---- the shared word ---- */

void percpu_ref_get_shared(struct percpu_ref *r)
{
	u64 old = atomic_fetch_add(&r->shared, 1ull);

	ASSERT(old != 0);
	if (unlikely((s64)old < 0))
		atomic_store(&r->shared, SATURATED);
}

bool percpu_ref_try_get_shared(struct percpu_ref *r)
{
	u64 old = atomic_load(&r->shared);

	do {
		if (old == 0)
			return false;
		if (unlikely((s64)old < 0))
			return true;
	} while (!atomic_cas_update(&r->shared, &old, old + 1));
	return true;
}

void percpu_ref_put_shared(struct percpu_ref *r)
{
	u64 old = atomic_fetch_add(&r->shared, -1ull);

	ASSERT(old != 0);
	if (unlikely((s64)old <= 0))
		atomic_store(&r->shared, SATURATED);
	else if (old == 1 && r->release)
		r->release(r);
}

/* ---- the owner's ---- */

void percpu_ref_spread(struct percpu_ref *r)
{
	ASSERT(!r->gathering);
	atomic_store(&r->dead, false);
	if (atomic_load_relaxed(&r->slot))
		return;
	if (!atomic_load_relaxed(&nr_free)) {
		counter_inc(none_free);
		return;
	}
	scoped_spin_irq(&slots_lock);
	u16 slot = r->slot ? 0 : slot_take_locked();

	if (!slot)
		return;
	atomic_store(&r->slot, slot);
	counter_inc(spread);
}

bool percpu_ref_gather_begin(struct percpu_ref *r)
{
	ASSERT(!r->gathering);
	if (!r->slot)
		return false;
	r->gathering = r->slot;
	atomic_add(&r->shared, BIAS);
	atomic_store(&r->slot, (u16)0);
	return true;
}

void percpu_ref_gather_end(struct percpu_ref *r)
{
	u16 slot = r->gathering;
	u64 sum = 0;

	if (!slot)
		return;
	for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
		sum += atomic_load_relaxed(count_on(cpu, slot));
		atomic_store_relaxed(count_on(cpu, slot), 0ull);
	}
	r->gathering = 0;

	u64 all = atomic_add(&r->shared, sum - BIAS);

	/* The owner's is among them. */
	if (unlikely(all == 0 || all > LIMIT))
		atomic_store(&r->shared, SATURATED);
	counter_inc(gathered);
	scoped_spin_irq(&slots_lock);
	slots_free[slot / 64] |= bit(slot % 64);
	nr_free++;
}

void percpu_ref_gather(struct percpu_ref *r, bool dead)
{
	atomic_store(&r->dead, dead);
	if (percpu_ref_gather_begin(r) || dead)
		rcu_synchronize();
	percpu_ref_gather_end(r);
}

u64 percpu_ref_read(const struct percpu_ref *r)
{
	ASSERT(!r->slot && !r->gathering);
	return atomic_load(&r->shared);
}

static void killed(struct rcu_head *head)
{
	struct percpu_ref *r = container_of(head, struct percpu_ref, rcu);

	percpu_ref_gather_end(r);
	percpu_ref_put_shared(r);
}

void percpu_ref_kill_slow(struct percpu_ref *r)
{
	atomic_store(&r->dead, true);
	if (percpu_ref_gather_begin(r))
		rcu_call(&r->rcu, killed);
	else
		percpu_ref_put_shared(r);
}
