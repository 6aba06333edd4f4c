/*
 * The order in which locks are really taken, in debug kernels.
 *
 * Concepts.  All locks that one place of the source initialises are a class.
 * An edge A → B says that a lock of B was waited for while one of A was held.
 * A cycle is a deadlock that needs only the right moment, so it is reported
 * when the edge that closes it is first seen, whether or not anyone waits.
 * Ranks (lock_rank.h) say what the order should be; this also covers locks
 * without rank, and needs no one to declare anything.
 *
 * A class that interrupt handlers take must never be taken while interrupts
 * can come: the holder would be interrupted by one who waits for it.  Nor may
 * a lock of such a class be held while waiting for one whose holders can be
 * interrupted (they may be kept from going on by the first).
 *
 * Not seen: order between locks of one class, or of one rank that may nest
 * (lock_rank.h says by what they are ordered); locks taken by trying, which
 * can't deadlock, are only remembered as held.
 *
 * Locking.  graph_lock for insertion; readers look at bits that never go.
 */
#include "lock.h"

#include <nos/irq.h>
#include <nos/log.h>
#include <nos/thread.h>

#ifdef DEBUG

#define NR_CLASSES 1024u
#define IRQ_USED 1u /* taken by an interrupt handler */
#define IRQ_OPEN 2u /* held with interrupts on */

static struct lock_class {
	const char *site;
	u32 flags;
} classes[NR_CLASSES]; /* by hash of the site; 0 is none */
static u64 edges[NR_CLASSES][NR_CLASSES / 64];
static struct spinlock graph_lock;

static u16 class_of(const char *site)
{
	u32 at;

	if (!site)
		return 0;
	at = (u32)(((u64)site * 0x9e3779b97f4a7c15ull) >> 54);
	for (u32 i = 0; i < NR_CLASSES; i++, at = (at + 1) % NR_CLASSES) {
		const char *seen = atomic_load(&classes[at].site);

		if (at == 0)
			continue;
		if (!seen && atomic_cas_update(&classes[at].site, &seen, site))
			return (u16)at;
		if (seen == site)
			return (u16)at;
	}
	return 0;
}

static bool has_edge(u16 a, u16 b)
{
	return (READ_ONCE(edges[a][b / 64]) >> (b % 64)) & 1;
}

/* Whether edges lead from `from` to `to`; parents[] then leads back from there. */
static bool is_reachable(u16 from, u16 to, u16 *parents)
{
	static u16 queue[NR_CLASSES];
	u32 head = 0, tail = 0;

	for (u32 i = 0; i < NR_CLASSES; i++)
		parents[i] = 0;
	parents[from] = from;
	queue[tail++] = from;
	while (head < tail) {
		u16 a = queue[head++];

		if (a == to)
			return true;
		for (u32 w = 0; w < NR_CLASSES / 64; w++) {
			for (u64 bits = edges[a][w]; bits; bits &= bits - 1) {
				u16 b = (u16)(w * 64 + (u32)__builtin_ctzll(bits));

				if (!parents[b]) {
					parents[b] = a;
					queue[tail++] = b;
				}
			}
		}
	}
	return false;
}

static void edge_add(u16 a, u16 b)
{
	static u16 parents[NR_CLASSES];
	u64 flags = irq_save();

	raw_spin_lock(&graph_lock);
	if (is_reachable(b, a, parents)) {
		raw_spin_unlock(&graph_lock);
		log_set_console_level(LOG_DEBUG + 1);
		for (u16 c = a; c != b; c = parents[c])
			log_write(LOG_EMERG, "lock order: %s was taken while %s was held",
				  classes[c].site, classes[parents[c]].site);
		panic("lock order: inversion: %s is taken while %s is held", classes[b].site,
		      classes[a].site);
	}
	atomic_or(&edges[a][b / 64], 1ull << (b % 64));
	raw_spin_unlock(&graph_lock);
	irq_restore(flags);
}

static void check_irq_use(u16 class, bool is_spinlock)
{
	u32 flag = irq_is_in_handler() ? IRQ_USED : irq_is_enabled() ? IRQ_OPEN : 0;
	struct lock_class *c = &classes[class];

	if (!is_spinlock || (c->flags & flag) == flag)
		return;
	if ((atomic_fetch_or(&c->flags, flag) | flag) == (IRQ_USED | IRQ_OPEN))
		panic("lock order: %s is taken by interrupt handlers, and with interrupts on",
		      c->site);
}

void lock_graph_check(const char *site, u8 rank, bool is_spinlock, unsigned first)
{
	struct thread *t = current_thread;
	u16 class = class_of(site);

	if (!class)
		return;
	check_irq_use(class, is_spinlock);
	for (unsigned i = first; i < t->nr_held; i++) {
		u16 held = t->held_classes[i];

		if (!held || held == class || (rank && rank == t->held_ranks[i]))
			continue;
		if ((classes[held].flags & IRQ_USED) && (classes[class].flags & IRQ_OPEN))
			panic("lock order: %s, held with interrupts on elsewhere, is taken under "
			      "%s, which handlers take",
			      classes[class].site, classes[held].site);
		if (!has_edge(held, class))
			edge_add(held, class);
	}
}

u16 lock_graph_class(const char *site)
{
	return class_of(site);
}

#endif
