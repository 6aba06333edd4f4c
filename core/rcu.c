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
 * lists of all CPUs, starts a grace period, sleeps until it is over, and calls
 * the batch; meanwhile the next one gathers.  A grace period is a map of the
 * CPUs it waits for; each clears its bit (rcu_note_switch tests it with one
 * load) and the last one wakes the thread.  CPUs that idle are not waited for
 * nor woken: their counter `rcu_active` is even.  It is made odd by interrupts
 * for as long as their handlers run.
 *
 * Invariants.
 *   (1) rcu_waiting_map changes only under rcu_lock;
 *   (2) a CPU clears its own bit, at a moment when it is quiescent; or the
 *       starter leaves it out, having seen its counter even after the start;
 *   (3) an idle CPU that finds its bit set after it has made its counter even
 *       reports itself: either it sees the bit or the starter sees the counter
 *       (full barriers on both sides).
 * Model: tests/models/rcu.pml.
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

#include <nos/wait.h>
#include <linux/sched.h>

u64 rcu_waiting_map;
static struct spinlock rcu_lock = SPINLOCK_INIT(RANK_NONE);
static DEFINE_PERCPU(u64, rcu_active);
static DEFINE_PERCPU(struct rcu_head *, rcu_callbacks);

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

#define PATIENCE_NS (2 * TICK_NS) /* then CPUs are hurried */

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

/* All that is queued, newest first within a CPU. */
static struct rcu_head *take_callbacks(void)
{
	struct rcu_head *all = NULL;

	for (u64 rest = READ_ONCE(sched_online_map); rest; rest &= rest - 1) {
		struct rcu_head **list =
			per_cpu_ptr(rcu_callbacks, (unsigned)__builtin_ctzll(rest));
		struct rcu_head *h =
			READ_ONCE(*list) ? atomic_xchg(list, (struct rcu_head *)NULL) : NULL;

		while (h) {
			struct rcu_head *next = h->next;

			h->next = all;
			all = h;
			h = next;
		}
	}
	return all;
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

	struct rcu_head *h = take_callbacks();

	grace_period_start();
	grace_period_wait();
	while (h) {
		struct rcu_head *next = h->next;

		h->callback(h);
		h = next;
	}
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

void __init rcu_start(void)
{
	struct thread *t = kthread_create(rcu_main, NULL, "rcu");
	struct sched_params params = { .policy = SCHED_FIFO, .rt_priority = 1 };

	VERIFY(t && thread_set_sched(t, &params) == 0);
	rcu_thread = t;
	thread_start(t);
}

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
