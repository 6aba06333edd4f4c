/*
 * Spinlocks: one word, a compare-and-swap when free, an MCS queue when not.
 *
 * Concepts.  The low byte says "taken".  The upper half names the last waiter
 * in line: (cpu + 1) << 2 | nesting.  A waiter spins on a node of its own CPU,
 * so that a contended lock costs each waiter one cache line; only the first
 * in line looks at the lock word (Mellor-Crummey and Scott, 1991; the word's
 * form after the queued locks of Linux, whose point is the 4 bytes).
 *
 * Invariants.
 *   (1) the fast path takes a word of 0 only, so that nobody overtakes a queue;
 *   (2) the holder's unlock clears the low byte and nothing else;
 *   (3) a CPU waits for at most four locks at once: thread, interrupt, and two
 *       exceptions nested in them; each has its node.
 *
 * A queue hands the lock to one certain CPU.  On a virtual machine that CPU may
 * not be running, and all behind it wait for the host's scheduler.  Under a
 * hypervisor waiters therefore compete for the byte instead; the boot option
 * spinlock=queued|unfair overrides the choice.
 */
#include "lock.h"

#include <nos/irq.h>
#include <nos/log.h>
#include <nos/string.h>

#define LOCKED 1u
#define TAIL_SHIFT 16
#define MAX_NESTING 4

struct spin_node {
	struct spin_node *next;
	u32 granted;
};

static DEFINE_PERCPU(struct spin_node, spin_nodes[MAX_NESTING]);
static DEFINE_PERCPU(u32, spin_nesting);
static bool spin_is_queued __ro_after_init;

void __init lock_init(void)
{
	const char *form = boot_option("spinlock");

	spin_is_queued = form ? strcmp(form, "unfair") != 0 : !cpu_has(CPU_HYPERVISOR);
}

static u32 tail_of(unsigned cpu, u32 nesting)
{
	return ((cpu + 1) << 2 | nesting) << TAIL_SHIFT;
}

static struct spin_node *node_of(u32 tail)
{
	u32 code = tail >> TAIL_SHIFT;

	return &(*per_cpu_ptr(spin_nodes, (code >> 2) - 1))[code & 3];
}

static void wait_unfair(struct spinlock *l)
{
	u32 seen;

	do {
		while ((seen = READ_ONCE(l->value)) & LOCKED)
			cpu_relax();
	} while (!__atomic_compare_exchange_n(&l->value, &seen, seen | LOCKED, true,
					      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
}

static void wait_queued(struct spinlock *l)
{
	u32 nesting = this_cpu_read(spin_nesting);
	u32 mine = tail_of(cpu_id(), nesting);
	struct spin_node *node = node_of(mine);
	u32 seen = READ_ONCE(l->value);

	this_cpu_write(spin_nesting, nesting + 1);
	node->next = NULL;
	node->granted = 0;

	/* Join the line, keeping the locked byte as it is. */
	while (!atomic_cas_update(&l->value, &seen, (seen & 0xffff) | mine))
		;
	if (seen >> TAIL_SHIFT) {
		atomic_store(&node_of(seen)->next, node);
		while (!atomic_load(&node->granted))
			cpu_relax();
	}

	/* First in line: nobody else can set the byte while the tail is not 0. */
	while ((seen = atomic_load(&l->value)) & 0xff)
		cpu_relax();
	if (seen == mine && atomic_cas(&l->value, mine, LOCKED)) {
		this_cpu_write(spin_nesting, nesting);
		return;
	}
	__atomic_store_n((u8 *)&l->value, LOCKED, __ATOMIC_RELAXED);

	struct spin_node *next;

	while (!(next = atomic_load(&node->next)))
		cpu_relax();
	atomic_store(&next->granted, 1);
	this_cpu_write(spin_nesting, nesting);
}

void spin_wait(struct spinlock *l)
{
	if (spin_is_queued)
		wait_queued(l);
	else
		wait_unfair(l);
}

#ifdef DEBUG

static void note_spin_taken(struct spinlock *l)
{
	l->owner = current_thread;
	lock_note_taken(l, rank_of(l), site_of(l));
}

/* A lock that a handler takes must never be held with interrupts on. */
static void check_irq_use(struct spinlock *l)
{
	if (irq_is_in_handler())
		l->irq_used = 1;
	else if (irq_is_enabled())
		l->irq_unsafe_seen = 1;
	if (unlikely(l->irq_used && l->irq_unsafe_seen))
		panic("spinlock %p (rank %u) is used by interrupt handlers, and taken with "
		      "interrupts on",
		      (void *)l, l->rank);
}

__no_lock_check void spin_lock(struct spinlock *l)
{
	preempt_disable();
	check_irq_use(l);
	lock_check_order(l, rank_of(l), site_of(l), false);
	raw_spin_lock(l);
	note_spin_taken(l);
}

__no_lock_check bool spin_try_lock(struct spinlock *l)
{
	preempt_disable();
	if (raw_spin_try_lock(l)) {
		note_spin_taken(l);
		return true;
	}
	preempt_enable();
	return false;
}

static void note_spin_released(struct spinlock *l)
{
	if (unlikely(!(l->value & 0xff)))
		panic("spinlock %p (rank %u) released but not held", (void *)l, l->rank);
	l->owner = NULL;
	lock_note_released(l);
}

__no_lock_check void spin_unlock(struct spinlock *l)
{
	note_spin_released(l);
	raw_spin_unlock(l);
	preempt_enable();
}

__no_lock_check u64 spin_lock_irq(struct spinlock *l)
{
	u64 flags = irq_save();

	spin_lock(l);
	return flags;
}

__no_lock_check void spin_unlock_irq(struct spinlock *l, u64 flags)
{
	note_spin_released(l);
	raw_spin_unlock(l);
	irq_restore(flags);
	preempt_enable();
}

bool spin_is_held(const struct spinlock *l)
{
	return (READ_ONCE(l->value) & 0xff) && READ_ONCE(l->owner) == current_thread;
}

#else

/* Not in line: then the rest of spin_lock is small enough to be it everywhere. */
__noinline void spin_lock_slow(struct spinlock *l)
{
	spin_wait(l);
}

#endif
