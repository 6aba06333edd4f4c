/*
 * Checks of debug kernels: the order of ranks, recursion, and sleep where it
 * is forbidden.  Each thread lists the ranked locks that it holds; a handler
 * starts a list of its own behind those of the thread that it interrupted.
 */
#include "lock.h"

#include <nos/irq.h>
#include <nos/thread.h>

#ifdef DEBUG

static DEFINE_PERCPU(u8, first_of_context); /* locks below belong to the interrupted thread */

/* Before that, one thread boots with interrupts off, and no lock is ever waited for. */
static bool threads_run;

void lock_debug_start(void)
{
	threads_run = true;
}

/* Ranks of which two locks may be held at once; lock_rank.h says in which order. */
static bool may_nest(u8 rank)
{
	switch (rank) {
	case RANK_STACKED_DIR:
	case RANK_STACKED_INODE:
	case RANK_INODE_DIR:
	case RANK_INODE:
	case RANK_SOCKET:
	case RANK_EPOLL:
	case RANK_PIPE:
	case RANK_FOLIO:
	case RANK_DENTRY:
	case RANK_INODE_SPIN:
	case RANK_SIGHAND:
	case RANK_PAGE_TABLE:
	case RANK_FUTEX_BUCKET:
	case RANK_WAIT_QUEUE:
	case RANK_WAIT_QUEUE_NESTED:
	case RANK_SLAB:
		return true;
	default:
		return false;
	}
}

void lock_check_order(const void *lock, u8 rank, const char *site, bool sleeps)
{
	struct thread *t = current_thread;

	if (sleeps && threads_run && unlikely(preempt_count() || !irq_is_enabled()))
		panic("sleeping lock %p (rank %u) taken in atomic context (preempt %u, irq %d)",
		      lock, rank, preempt_count(), irq_is_enabled());
	if (threads_run)
		lock_graph_check(site, rank, !sleeps, this_cpu_read(first_of_context));
	for (unsigned i = t->nr_held; i > this_cpu_read(first_of_context); i--) {
		if (unlikely(t->held_locks[i - 1] == lock))
			panic("lock %p (rank %u) taken twice by one thread", lock, rank);
		if (unlikely(rank && (t->held_ranks[i - 1] > rank ||
				      (t->held_ranks[i - 1] == rank && !may_nest(rank)))))
			panic("lock %p of rank %u taken while %p of rank %u is held", lock, rank,
			      t->held_locks[i - 1], t->held_ranks[i - 1]);
	}
}

void lock_note_taken(const void *lock, u8 rank, const char *site)
{
	u64 flags = irq_save();
	struct thread *t = current_thread;

	if (t->nr_held < ARRAY_SIZE(t->held_locks)) {
		t->held_ranks[t->nr_held] = rank;
		t->held_locks[t->nr_held] = lock;
		t->held_classes[t->nr_held] = lock_graph_class(site);
		t->nr_held++;
	}
	irq_restore(flags);
}

void lock_note_released(const void *lock)
{
	u64 flags = irq_save();
	struct thread *t = current_thread;
	unsigned i = t->nr_held;

	while (i && t->held_locks[i - 1] != lock)
		i--;
	if (i) {
		for (; i < t->nr_held; i++) {
			t->held_ranks[i - 1] = t->held_ranks[i];
			t->held_locks[i - 1] = t->held_locks[i];
			t->held_classes[i - 1] = t->held_classes[i];
		}
		t->nr_held--;
	}
	irq_restore(flags);
}

bool lock_is_held_here(const void *lock)
{
	struct thread *t = current_thread;

	for (unsigned i = 0; i < t->nr_held; i++)
		if (t->held_locks[i] == lock)
			return true;
	return false;
}

void lock_check_sleep(const char *what)
{
	if (threads_run && unlikely(preempt_count() || !irq_is_enabled()))
		panic("%s may sleep, in atomic context (preempt %u, irq %d)", what, preempt_count(),
		      irq_is_enabled());
}

void lock_check_none_held(void)
{
	struct thread *t = current_thread;

	if (unlikely(t->nr_held || preempt_count()))
		panic("user mode with lock %p (rank %u) held, preempt %u",
		      t->nr_held ? t->held_locks[0] : NULL, t->held_ranks[0], preempt_count());
}

u8 lock_irq_enter(void)
{
	u8 saved = this_cpu_read(first_of_context);

	this_cpu_write(first_of_context, current_thread->nr_held);
	return saved;
}

void lock_irq_exit(u8 saved)
{
	this_cpu_write(first_of_context, saved);
}

#endif
