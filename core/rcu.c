/*
 * RCU: read-copy-update by quiescent states.
 *
 * Concepts.  A reader is a stretch of code without preemption.  A CPU is
 * quiescent at any moment in which it is in no such stretch: when it switches
 * threads, idles, runs user code, or takes a tick in preemptible kernel code.
 * A grace period is over when every CPU was quiescent at some moment of it.
 *
 * How it works.  rcu_call pushes the callback on a list of this CPU by
 * compare-and-swap, in any context.  One thread makes batches: it takes the
 * lists of all CPUs, starts a grace period, sleeps until it is over, and has
 * the batch called; meanwhile the next one gathers.  A grace period is a map of
 * the CPUs it waits for; each clears its bit (rcu_note_switch tests it with one
 * load) and the last one wakes the thread.  CPUs that idle are not waited for
 * nor woken: their counter `rcu_active` is even.  It is made odd by interrupts
 * for as long as their handlers run.
 *
 * Each CPU's callbacks are called on it, by a thread of its own, so that what
 * they free comes back to its caches and not to another's (opt.rcu_local=off: by
 * the batch's thread).  Who calls takes one at a time and is not preempted in
 * it, so that the batch's thread can take over the rest of a CPU on which
 * threads of higher priority don't let the caller run.
 *
 * Invariants.
 *   (1) rcu_waiting_map changes only under rcu_lock;
 *   (2) a CPU clears its own bit, at a moment when it is quiescent; or the
 *       starter leaves it out, having seen its counter even after the start;
 *   (3) a share's list is with one thread at most, who took it by an exchange and
 *       puts back what it has not called; nr_calling is the number of shares
 *       that were handed over and of which not all callbacks have returned;
 *   (4) an idle CPU that finds its bit set after it has made its counter even
 *       reports itself: either it sees the bit or the starter sees the counter
 *       (full barriers on both sides).
 * Models: tests/models/rcu.pml, rcu_callbacks.pml.
 *
 * Speed of a grace period.  Busy CPUs report within a tick.  When someone waits
 * (rcu_synchronize, rcu_barrier), or after two ticks, those missing get a
 * reschedule interrupt.
 *
 * Simple inside for now: one lock and one map, one thread.  A tree of maps (a
 * node each) and a thread per node fit behind the same functions.
 *
 * References: McKenney and Slingwine, read-copy update (1998); Hart et al.,
 * making lockless synchronization fast (2006), on quiescent states.
 */
#include "rcu.h"

#include "lock.h"
#include "sched.h"

#include <nos/init.h>
#include <nos/log.h>
#include <nos/wait.h>
#include <linux/sched.h>

u64 rcu_waiting_map;
static struct spinlock rcu_lock = SPINLOCK_INIT(RANK_NONE);
static DEFINE_PERCPU(u64, rcu_active);
static DEFINE_PERCPU(struct rcu_head *, rcu_callbacks);

/* What a batch has of one CPU's callbacks, oldest first. */
struct share {
	struct rcu_head *taken; /* until the grace period is over; of the batch's thread */
	struct rcu_head *ready; /* to be called */
	struct thread *thread; /* that calls them on this CPU; NULL: the batch's */
};
static DEFINE_PERCPU(struct share, rcu_share);
static u32 nr_calling;

static struct thread *rcu_thread;
static u32 nr_waiting; /* threads that wait for a batch: hurry the CPUs */
static u64 batches_wanted; /* up to this number even empty ones are made */
static u64 batches_started, batches_done;
static struct wait_queue rcu_batch_queue = WAIT_QUEUE_INIT(rcu_batch_queue);

/* ---- quiescent states ---- */

void rcu_cpu_up(unsigned cpu)
{
	*per_cpu_ptr(rcu_active, cpu) = 1;
}

void rcu_report_quiescent(void)
{
	u64 mine = bit(cpu_id());

	raw_spin_lock(&rcu_lock);

	bool is_last = rcu_waiting_map == mine;

	WRITE_ONCE(rcu_waiting_map, rcu_waiting_map & ~mine);
	raw_spin_unlock(&rcu_lock);
	if (is_last)
		thread_wake(rcu_thread);
}

static void wake_rcu_thread(void)
{
	if (rcu_thread)
		thread_wake(rcu_thread);
}

void rcu_idle_enter(void)
{
	if (unlikely(this_cpu_read(rcu_callbacks)))
		wake_rcu_thread();
	rcu_note_switch();
	(void)atomic_add(this_cpu_ptr(rcu_active), 1);
	rcu_note_switch();
}

void rcu_idle_exit(void)
{
	(void)atomic_add(this_cpu_ptr(rcu_active), 1);
}

bool rcu_irq_enter(void)
{
	bool was_idle = !(this_cpu_read(rcu_active) & 1);

	if (was_idle)
		(void)atomic_add(this_cpu_ptr(rcu_active), 1);
	return was_idle;
}

void rcu_irq_exit(bool was_idle)
{
	if (was_idle) {
		(void)atomic_add(this_cpu_ptr(rcu_active), 1);
		rcu_note_switch();
	}
}

void rcu_tick(bool preemptible)
{
	if (unlikely(this_cpu_read(rcu_callbacks)))
		wake_rcu_thread();
	rcu_hurry(preemptible);
}

void rcu_hurry(bool preemptible)
{
	if (!(READ_ONCE(rcu_waiting_map) & bit(cpu_id())))
		return;
	if (preemptible) {
		rcu_report_quiescent();
	} else {
		struct run_queue *rq = this_cpu_ptr(run_queue);

		raw_spin_lock(&rq->lock);
		run_queue_mark(rq);
		raw_spin_unlock(&rq->lock);
	}
}

/* ---- grace periods ---- */

/* Then CPUs are hurried; after twice that, their callbacks are called for them. */
#define PATIENCE_NS (2 * TICK_NS)

static void grace_period_start(void)
{
	u64 flags = irq_save();

	raw_spin_lock(&rcu_lock);

	u64 map = READ_ONCE(sched_online_map) & ~bit(cpu_id());

	WRITE_ONCE(rcu_waiting_map, map);
	memory_fence();
	for (u64 rest = map; rest; rest &= rest - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(rest);

		if (!(atomic_load(per_cpu_ptr(rcu_active, cpu)) & 1))
			map &= ~bit(cpu);
	}
	WRITE_ONCE(rcu_waiting_map, map);
	raw_spin_unlock(&rcu_lock);
	irq_restore(flags);
}

static void hurry_cpus(void)
{
	preempt_disable();
	for (u64 rest = READ_ONCE(rcu_waiting_map) & ~bit(cpu_id()); rest; rest &= rest - 1)
		cpu_send_reschedule((unsigned)__builtin_ctzll(rest));
	preempt_enable();
}

static void grace_period_wait(void)
{
	u64 hurry_ns = clock_monotonic_ns() + PATIENCE_NS;

	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (!READ_ONCE(rcu_waiting_map))
			break;
		if (READ_ONCE(nr_waiting))
			hurry_cpus();
		/* Ticks of CPUs that have new callbacks wake this thread: they don't put it off. */
		if (thread_block_until(hurry_ns)) {
			hurry_cpus();
			hurry_ns = clock_monotonic_ns() + PATIENCE_NS;
		}
	}
	thread_set_state(THREAD_RUNNABLE);
}

/* ---- callbacks ---- */

void rcu_call(struct rcu_head *head, void (*callback)(struct rcu_head *head))
{
	preempt_disable();

	struct rcu_head **list = this_cpu_ptr(rcu_callbacks);
	struct rcu_head *old = READ_ONCE(*list);

	head->callback = callback;
	do {
		head->next = old;
	} while (!atomic_cas_update(list, &old, head));
	preempt_enable();
}

/* All that is queued goes to the shares. */
static void take_callbacks(void)
{
	for (u64 rest = READ_ONCE(sched_online_map); rest; rest &= rest - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(rest);
		struct rcu_head **list = per_cpu_ptr(rcu_callbacks, cpu);
		struct rcu_head *h =
			READ_ONCE(*list) ? atomic_xchg(list, (struct rcu_head *)NULL) : NULL;
		struct rcu_head *taken = NULL;

		while (h) {
			struct rcu_head *next = h->next;

			h->next = taken;
			taken = h;
			h = next;
		}
		per_cpu_ptr(rcu_share, cpu)->taken = taken;
	}
}

/* Calls the first of a share's callbacks; false: there is none, or another thread has them. */
static bool call_one(struct share *s)
{
	struct rcu_head *h, *next;

	if (!READ_ONCE(s->ready))
		return false;
	preempt_disable();
	h = atomic_xchg(&s->ready, (struct rcu_head *)NULL);
	if (h) {
		next = h->next;
		h->callback(h);
		if (next)
			atomic_store(&s->ready, next);
		else if (atomic_sub(&nr_calling, 1u) == 0)
			thread_wake(rcu_thread);
	}
	preempt_enable();
	return h != NULL;
}

static void call_share(struct share *s)
{
	while (call_one(s))
		;
}

static void caller_main(void *share)
{
	struct share *s = share;

	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (!READ_ONCE(s->ready)) {
			thread_block();
			continue;
		}
		thread_set_state(THREAD_RUNNABLE);
		call_share(s);
	}
}

/* A CPU that has not called all of its callbacks after a while may be kept from it: they are called here. */
static void wait_for_callers(void)
{
	u64 start_ns = clock_monotonic_ns();

	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (!atomic_load(&nr_calling))
			break;
		u64 patience = READ_ONCE(nr_waiting) ? TICK_NS : 2 * PATIENCE_NS;

		if (thread_block_until(start_ns + patience)) {
			for_each_cpu(cpu) call_share(per_cpu_ptr(rcu_share, cpu));
			start_ns = clock_monotonic_ns();
		}
	}
	thread_set_state(THREAD_RUNNABLE);
}

/* The grace period is over.  This CPU's share, and those of CPUs without a thread, are called here. */
static void call_batch(void)
{
	u64 online = READ_ONCE(sched_online_map); /* all that were asked: no CPU leaves */
	u64 mine = bit(cpu_id()); /* should this thread move, it calls another one's: no harm */

	for (u64 rest = online; rest; rest &= rest - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(rest);
		struct share *s = per_cpu_ptr(rcu_share, cpu);
		struct thread *caller = atomic_load(&s->thread);

		if (!s->taken)
			continue;
		(void)atomic_add(&nr_calling, 1u);
		atomic_store(&s->ready, s->taken);
		s->taken = NULL;
		if (!caller)
			mine |= bit(cpu);
		else if (!(mine & bit(cpu)))
			thread_wake(caller);
	}
	for (u64 rest = online & mine; rest; rest &= rest - 1)
		call_share(per_cpu_ptr(rcu_share, (unsigned)__builtin_ctzll(rest)));
	wait_for_callers();
}

static bool is_work_waiting(void)
{
	if (READ_ONCE(batches_wanted) > batches_started)
		return true;
	for (u64 rest = READ_ONCE(sched_online_map); rest; rest &= rest - 1)
		if (READ_ONCE(*per_cpu_ptr(rcu_callbacks, (unsigned)__builtin_ctzll(rest))))
			return true;
	return false;
}

static void run_batch(void)
{
	atomic_store(&batches_started, batches_started + 1);
	memory_fence();

	take_callbacks();
	grace_period_start();
	grace_period_wait();
	call_batch();
	atomic_store(&batches_done, batches_done + 1);
	wake_all(&rcu_batch_queue);
}

static void rcu_main(void *unused)
{
	(void)unused;
	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (!is_work_waiting()) {
			thread_block();
			continue;
		}
		thread_set_state(THREAD_RUNNABLE);
		run_batch();
	}
}

static struct thread *create_thread(void (*fn)(void *), void *arg)
{
	struct thread *t = kthread_create(fn, arg, "rcu");
	struct sched_params params = { .policy = SCHED_FIFO, .rt_priority = 1 };

	VERIFY(t && thread_set_sched(t, &params) == 0);
	return t;
}

void __init rcu_start(void)
{
	rcu_thread = create_thread(rcu_main, NULL);
	thread_start(rcu_thread);
}

/* One CPU alone needs no more than the batch's thread. */
static int rcu_start_callers(void)
{
	if (nr_cpus == 1 || !boot_opt_enabled("rcu_local"))
		return 0;
	for_each_cpu(cpu)
	{
		struct share *s = per_cpu_ptr(rcu_share, cpu);
		struct thread *t = create_thread(caller_main, s);

		t->affinity = bit(cpu); /* it may not have come online yet */
		thread_start(t);
		atomic_store(&s->thread, t);
	}
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, rcu_start_callers);

/* ---- waiting ---- */

/* Waits until a batch that starts from now on is done. */
static void wait_for_batch(void)
{
	lock_check_sleep("waiting for a grace period");
	if (!rcu_thread) /* boot: one CPU, one thread */
		return;
	(void)atomic_add(&nr_waiting, 1);

	u64 target = atomic_load(&batches_started) + 1;
	u64 wanted = READ_ONCE(batches_wanted);

	while (wanted < target && !atomic_cas_update(&batches_wanted, &wanted, target))
		;
	thread_wake(rcu_thread);
	hurry_cpus();
	wait_event(&rcu_batch_queue, atomic_load(&batches_done) >= target);
	(void)atomic_sub(&nr_waiting, 1);
}

void rcu_synchronize(void)
{
	wait_for_batch();
}

void rcu_barrier(void)
{
	wait_for_batch();
}
