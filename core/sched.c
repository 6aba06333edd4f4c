/*
 * The scheduler: who runs on each CPU.
 *
 * Concepts.  Each CPU has a run queue of 256 levels, FIFO lists with a bitmap of
 * four words.  Levels 0…98 are the real-time priorities 99…1 (SCHED_FIFO,
 * SCHED_RR); levels 128…255 belong to the policy for normal threads, a table of
 * operations chosen at boot (sched_fair.c).  The running thread is on no level.
 *
 * Wake-ups.  A thread that sleeps sets its state, checks its condition, and
 * calls thread_block().  A waker changes the condition, then calls thread_wake.
 * Either the sleeper sees the condition, or the waker sees the state: both are
 * separated from the check by a full barrier.  Models: tests/models/wake.pml,
 * migrate.pml.
 *
 * Direct hand-off.  thread_wake_sync is for a waker that is about to block: the
 * woken thread waits in the slot `handoff` of the waker's CPU, and the next
 * switch goes straight to it, in what is left of the slice.  In the slot it is
 * not yet part of the queue's sums: when the waker blocks it takes the place of
 * that one in them.  Whether wakers keep their promise is learnt per thread
 * (handoff_score); after a slice, or when the waker runs on until the tick, the
 * woken thread is placed as any other.  Boot switch: opt.handoff.
 *
 * Invariants.
 *   (1) `queued` is true exactly while a thread is runnable on the run queue of
 *       t->cpu: running, on a level, or in the hand-off slot; it changes under
 *       that queue's lock.  Only the way into the slot needs none: the CPU itself
 *       fills it, with interrupts off and the thread's wake_lock held; others
 *       empty it under both locks.
 *   (2) a thread that is not on_cpu has its whole context in memory; on_cpu is
 *       cleared with release order after the switch away from it.
 *   (3) every thread switches with a preemption count of one, so that the
 *       count needs not be saved.
 *   (4) WORK_RESCHEDULE of the running thread is set and the CPU is told, when a
 *       better one is on its queue.
 *
 * Locking.  wake_lock of a thread (state, parameters), then a run queue's lock;
 * a second run queue only by trying.  The run queue's lock is taken by the
 * thread that leaves and released by the one that comes.
 *
 * Idle CPUs take no timer interrupts (the tick stops), are chosen first by
 * wake-ups, and pull from loaded CPUs before they halt.
 *
 * Rejected: a tree of vruntimes (cost grows with threads; O(1) was asked for
 * and gives the same shares), a global queue (contention).
 */
#include "sched.h"

#include "rcu.h"
#include "timer.h"

#include <nos/counter.h>
#include <nos/irq.h>
#include <nos/log.h>
#include <nos/restart.h>
#include <nos/string.h>
#include <linux/sched.h>

DEFINE_PERCPU(struct run_queue, run_queue);
static struct thread boot_thread = {
	.is_kernel = true,
	.on_cpu = true,
	.seen_cpu = SEEN_CPU_NONE,
	.name = "boot",
	.affinity = U64_MAX,
	.wake_lock = SPINLOCK_INIT(RANK_THREAD_WAKE),
};
DEFINE_PERCPU(struct thread *, this_thread) = &boot_thread;
DEFINE_PERCPU(u32, preempt_word) = PREEMPT_NOT_DUE;
static DEFINE_PERCPU(struct thread, idle_thread);
static u8 boot_idle_stack[KERNEL_STACK_SIZE] __aligned(PAGE_SIZE);

/* From runnable to running, in ns, while the key is on. */
DEFINE_STATIC_KEY(sched_latency_key);
DEFINE_HISTOGRAM(run_delay, "sched.run_delay_ns");

static const struct sched_policy *const policies[] = { &sched_policy_fair,
						       &sched_policy_round_robin };
const struct sched_policy *sched_policy __ro_after_init = &sched_policy_fair;

/* handoff_score: from this on a synchronous wake-up is believed; no more than that is kept. */
static u8 handoff_trusted __ro_after_init = SCHED_HANDOFF_INITIAL;
#define HANDOFF_BEST 3
#define HANDOFF_SOON_NS ((u64)(100 * NSEC_PER_USEC))

/* ---- levels ---- */

static void run_queue_remove(struct run_queue *rq, struct thread *t)
{
	level_remove(rq, t);
	if (t->sched.level >= FIRST_FAIR_LEVEL)
		rq->nr_fair--;
}

void run_queue_insert(struct run_queue *rq, struct thread *t, enum insert_reason why)
{
	t->wait_start_ns = t->sched.exec_start_ns;
	if (unlikely(thread_is_realtime(t)))
		level_insert(rq, t, 99u - t->params.rt_priority, why == INSERT_PREEMPTED);
	else
		sched_policy->insert(rq, t, why);
}

static void activate(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	t->cpu = rq->cpu;
	t->sched.exec_start_ns = now_ns;
	if (thread_is_realtime(t))
		t->sched.slice_end_ns = t->sched.sum_exec_ns + RR_SLICE_NS;
	else
		sched_policy->activate(rq, t, now_ns);
	atomic_store(&t->sched.queued, true);
	rq->nr_running++;
}

/* t is no longer of this queue, and runnable all the same. */
static void detach(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	if (!thread_is_realtime(t))
		sched_policy->deactivate(rq, t, now_ns);
	rq->nr_running--;
}

static void deactivate(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	detach(rq, t, now_ns);
	atomic_store(&t->sched.queued, false);
}

void run_queue_add(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	activate(rq, t, now_ns);
	run_queue_insert(rq, t, INSERT_WAKE);
}

void run_queue_take(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	if (rq->handoff == t) {
		WRITE_ONCE(rq->handoff, NULL);
		atomic_store(&t->sched.queued, false);
		return;
	}
	run_queue_remove(rq, t);
	deactivate(rq, t, now_ns);
}

/*
 * `queued` stays set.  A waker looks at it without the queues' locks, and would place a thread anew that was
 * preempted on its way to sleep: on two queues it would run twice.
 */
void run_queue_move(struct run_queue *from, struct run_queue *to, struct thread *t, u64 now_ns)
{
	run_queue_remove(from, t);
	detach(from, t, now_ns);
	run_queue_add(to, t, now_ns);
}

void run_queue_leave(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	if (rq->current != t)
		run_queue_take(rq, t, now_ns);
	else
		deactivate(rq, t, now_ns);
}

void run_queue_join(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	activate(rq, t, now_ns);
	if (rq->current != t)
		run_queue_insert(rq, t, INSERT_WAKE);
}

struct run_queue *run_queue_lock_of(const struct thread *t, u64 *flags)
{
	*flags = irq_save();
	for (;;) {
		struct run_queue *rq = run_queue_of(READ_ONCE(t->cpu));

		raw_spin_lock(&rq->lock);
		if (likely(READ_ONCE(t->cpu) == rq->cpu))
			return rq;
		raw_spin_unlock(&rq->lock);
	}
}

void run_queue_unlock(struct run_queue *rq, u64 flags)
{
	raw_spin_unlock(&rq->lock);
	irq_restore(flags);
	if (unlikely(this_cpu_read(preempt_word) == 0))
		preempt_reschedule();
}

/* ---- preemption ---- */

void run_queue_mark(struct run_queue *rq)
{
	struct thread *t = rq->current;

	if (READ_ONCE(t->work) & WORK_RESCHEDULE)
		return;
	atomic_or(&t->work, WORK_RESCHEDULE);
	if (rq->cpu == cpu_id())
		preempt_set_due();
	else
		cpu_send_reschedule(rq->cpu);
}

static bool is_better(const struct thread *t, const struct run_queue *rq)
{
	const struct thread *running = rq->current;

	if (running == rq->idle)
		return true;
	if (thread_is_realtime(t) || thread_is_realtime(running))
		return t->params.rt_priority > running->params.rt_priority;
	return sched_policy->preempts(t, running);
}

void run_queue_check_preempt(struct run_queue *rq, struct thread *t)
{
	if (is_better(t, rq))
		run_queue_mark(rq);
}

/* ---- the switch ---- */

/* The woken thread in the slot joins the levels after all. */
static void handoff_cancel(struct run_queue *rq, u64 now_ns)
{
	struct thread *t = rq->handoff;

	rq->handoff = NULL;
	run_queue_add(rq, t, now_ns);
	t->wait_start_ns = clock_cycles_to_ns(rq->handoff_cycles);
}

static struct thread *pick_next(struct run_queue *rq, u64 now_ns, bool blocked)
{
	struct thread *t = rq->handoff;
	bool realtime = (rq->levels_map[0] | rq->levels_map[1]) != 0;

	if (t) {
		if (likely(blocked && !realtime && now_ns - rq->slice_start_ns < SLICE_NS)) {
			rq->handoff = NULL;
			activate(rq, t, now_ns);
			t->wait_start_ns = now_ns;
			return t;
		}
		handoff_cancel(rq, now_ns);
	}
	rq->slice_start_ns = now_ns;
	if (unlikely(realtime)) {
		unsigned level = rq->levels_map[0] ?
					 (unsigned)__builtin_ctzll(rq->levels_map[0]) :
					 64 + (unsigned)__builtin_ctzll(rq->levels_map[1]);

		t = list_entry(rq->levels[level].next, struct thread, sched.run_node);
		level_remove(rq, t);
		return t;
	}
	t = sched_policy->pick(rq);
	if (t) {
		level_remove(rq, t);
		rq->nr_fair--;
		return t;
	}
	return NULL;
}

static struct thread *pick_or_pull(struct run_queue *rq, u64 now_ns, bool blocked)
{
	struct thread *t = pick_next(rq, now_ns, blocked);

	if (t)
		return t;
	if (sched_pull(rq, now_ns))
		return pick_next(rq, now_ns, false);
	return rq->idle;
}

/*
 * The thread that had to leave this CPU goes to one that it may run on.  It may have been on its way to
 * sleep, and then a waker may have found it on no queue and placed it; since then it may even have been
 * pushed again, by the CPU where it went.
 */
static __noinline void place_pushed(struct thread *t)
{
	scoped_spin_irq(&t->wake_lock);
	if (t->sched.pushed_by != cpu_id() + 1)
		return;
	t->sched.pushed_by = 0;
	if (t->state == THREAD_UNINTERRUPTIBLE)
		this_cpu_ptr(run_queue)->nr_uninterruptible--;
	thread_place(t);
}

/* Interrupts off; the thread switched away from has its context saved, and the lock is ours. */
static __always_inline void finish_switch(struct thread *prev)
{
	struct run_queue *rq = this_cpu_ptr(run_queue);
	void (*after)(struct thread *) = prev->state == THREAD_DEAD ? prev->after_exit : NULL;
	struct thread *push = rq->push;

	rq->push = NULL;
	atomic_store(&prev->on_cpu, false);
	raw_spin_unlock(&rq->lock);
	if (unlikely(after))
		after(prev);
	if (unlikely(push))
		place_pushed(push);
}

/* prev sleeps: did it do so soon after it woke another, as it had said? */
static void handoff_learn(struct run_queue *rq, struct thread *prev, u64 now_ns)
{
	struct sched_entity *e = &prev->sched;

	if (rq->handoff || now_ns - e->sync_wake_ns < HANDOFF_SOON_NS)
		e->handoff_score = min((u8)(e->handoff_score + 1), (u8)HANDOFF_BEST);
	else
		e->handoff_score = 0;
	e->sync_wake_ns = 0;
}

/* prev stops running: off to a level, asleep, or (affinity) to another CPU. */
static void put_previous(struct run_queue *rq, struct thread *prev, u64 now_ns, bool sleeps,
			 enum insert_reason why)
{
	u8 special = prev->sched.special;

	prev->sched.special = special & (u8) ~(SPECIAL_EXPIRED | SPECIAL_MOVE);
	if (sleeps) {
		if (prev->state == THREAD_UNINTERRUPTIBLE)
			rq->nr_uninterruptible++;
		deactivate(rq, prev, now_ns);
		prev->nr_switches_voluntary++;
		if (rq->handoff || prev->sched.sync_wake_ns)
			handoff_learn(rq, prev, now_ns);
	} else if (unlikely((special & SPECIAL_MOVE) && !(prev->affinity & bit(rq->cpu)))) {
		/* To a waker it may look asleep until it is placed. */
		if (prev->state == THREAD_UNINTERRUPTIBLE)
			rq->nr_uninterruptible++;
		prev->sched.pushed_by = (u8)(rq->cpu + 1);
		deactivate(rq, prev, now_ns);
		rq->push = prev;
	} else {
		prev->nr_switches_involuntary += why != INSERT_YIELD;
		run_queue_insert(rq, prev, special & SPECIAL_EXPIRED ? INSERT_EXPIRED : why);
	}
}

static void note_idle(struct run_queue *rq, struct thread *prev, struct thread *next, u64 now_ns)
{
	if (next == rq->idle) {
		rq->idle_start_ns = now_ns;
		atomic_or(&sched_idle_map, bit(rq->cpu));
	} else if (prev == rq->idle) {
		rq->times.idle_ns += now_ns - rq->idle_start_ns;
		atomic_and(&sched_idle_map, ~bit(rq->cpu));
		timer_tick_start(now_ns);
	}
}

static inline void note_delay(struct thread *next, u64 delay_ns)
{
	next->run_delay_ns += delay_ns;
	if (static_key_is_on(&sched_latency_key) && !next->is_idle)
		histogram_add(run_delay, delay_ns);
}

static void switch_to(struct run_queue *rq, struct thread *prev, struct thread *next, u64 now_ns)
{
	next->sched.exec_start_ns = now_ns;
	rq->nr_switches++;
	rq->current = next;
	next->on_cpu = true;
	if (unlikely(next->seen_cpu != rq->cpu && next->seen_cpu != SEEN_CPU_NONE))
		atomic_or(&next->work, WORK_TASK);
	this_cpu_write(this_thread, next);
	if (prev->aspace != next->aspace)
		aspace_switch(prev->aspace, next->aspace);
	finish_switch(arch_switch(prev, next));
}

/*
 * Runs the next thread; returns when this one is chosen again.  Preemption is off (count 1),
 * interrupts are off.
 */
static void schedule(bool may_sleep, enum insert_reason why)
{
	struct run_queue *rq = this_cpu_ptr(run_queue);
	struct thread *prev = rq->current;

	rcu_note_switch();
	raw_spin_lock(&rq->lock);

	u64 now = clock_monotonic_ns();
	bool sleeps = may_sleep && prev->state != THREAD_RUNNABLE;

	ASSERT(preempt_count() == 1);
	run_queue_charge(rq, now);
	if (READ_ONCE(prev->work) & WORK_RESCHEDULE)
		atomic_and(&prev->work, ~WORK_RESCHEDULE);
	preempt_clear_due();

	if (prev != rq->idle)
		put_previous(rq, prev, now, sleeps, why);

	struct thread *next = pick_or_pull(rq, now, sleeps);

	if (next == prev) {
		raw_spin_unlock(&rq->lock);
	} else {
		if (next == rq->idle || prev == rq->idle)
			note_idle(rq, prev, next, now);
		note_delay(next, now - next->wait_start_ns);
		switch_to(rq, prev, next, now);
	}
}

/*
 * A yield among normal threads of one level: this one goes to the end of it, and the first runs.
 * False: there is more to it.  Preemption and interrupts are off.
 */
static bool yield_within_level(void)
{
	struct run_queue *rq = this_cpu_ptr(run_queue);
	struct thread *prev = rq->current, *next;

	if (prev->sched.special)
		return false;
	rcu_note_switch();
	raw_spin_lock(&rq->lock);
	if (rq->handoff || (rq->levels_map[0] | rq->levels_map[1]) ||
	    !(next = sched_policy->rotate(rq, prev))) {
		raw_spin_unlock(&rq->lock);
		return false;
	}

	u64 now = clock_monotonic_ns();

	run_queue_charge(rq, now);
	if (READ_ONCE(prev->work) & WORK_RESCHEDULE)
		atomic_and(&prev->work, ~WORK_RESCHEDULE);
	preempt_clear_due();
	prev->wait_start_ns = now;
	rq->slice_start_ns = now;
	note_delay(next, now - next->wait_start_ns);
	switch_to(rq, prev, next, now);
	return true;
}

/* From a context in which interrupts are on. */
static void schedule_now(bool may_sleep, enum insert_reason why)
{
	preempt_disable();
	irq_disable();
	schedule(may_sleep, why);
	irq_enable();
}

/*
 * The running thread sleeps, and the one in the slot goes on in its place.  False: it is not so simple.
 * Preemption and interrupts are off.
 */
static bool block_to_handoff(struct run_queue *rq)
{
	struct thread *prev = rq->current, *next;

	rcu_note_switch();
	raw_spin_lock(&rq->lock);
	next = rq->handoff;

	u64 now = clock_monotonic_ns();

	if (unlikely(!next || prev->state == THREAD_RUNNABLE ||
		     (rq->levels_map[0] | rq->levels_map[1]) ||
		     (prev->sched.special & (u8)~SPECIAL_EXPIRED) ||
		     now - rq->slice_start_ns >= SLICE_NS)) {
		raw_spin_unlock(&rq->lock);
		return false;
	}

	u64 delta = now - prev->sched.exec_start_ns;

	prev->sched.exec_start_ns = now;
	prev->sched.sum_exec_ns += delta;
	sched_policy->hand_over(rq, prev, next, delta, now);
	if (unlikely(READ_ONCE(prev->work) & WORK_RESCHEDULE))
		atomic_and(&prev->work, ~WORK_RESCHEDULE);
	preempt_clear_due();
	prev->sched.special = 0;
	if (prev->state == THREAD_UNINTERRUPTIBLE)
		rq->nr_uninterruptible++;
	atomic_store(&prev->sched.queued, false);
	prev->nr_switches_voluntary++;
	if (prev->sched.handoff_score < HANDOFF_BEST)
		prev->sched.handoff_score++;
	rq->handoff = NULL;
	note_delay(next, 0);
	switch_to(rq, prev, next, now);
	return true;
}

void thread_block(void)
{
	struct run_queue *rq;

	if (READ_ONCE(current_thread->state) == THREAD_RUNNABLE)
		return;
	ASSERT(preempt_count() == 0 && irq_is_enabled());
	preempt_disable();
	irq_disable();
	rq = this_cpu_ptr(run_queue);
	if (!(READ_ONCE(rq->handoff) && block_to_handoff(rq)))
		schedule(true, INSERT_PREEMPTED);
	irq_enable();
	preempt_enable();
}

void thread_yield(void)
{
	/* Read without the lock: who becomes runnable just now was not there to yield to. */
	if (this_cpu_read(run_queue.nr_running) == 1 && !this_cpu_read(run_queue.handoff) &&
	    !(READ_ONCE(current_thread->work) & WORK_RESCHEDULE))
		return;
	preempt_disable();
	irq_disable();
	if (!yield_within_level())
		schedule(false, INSERT_YIELD);
	irq_enable();
	preempt_enable();
}

void thread_reschedule(void)
{
	while (READ_ONCE(current_thread->work) & WORK_RESCHEDULE) {
		schedule_now(false, INSERT_PREEMPTED);
		preempt_enable_no_resched();
	}
}

void preempt_reschedule(void)
{
	if (!irq_is_enabled())
		return;
	do {
		schedule_now(false, INSERT_PREEMPTED);
		preempt_enable_no_resched();
	} while (this_cpu_read(preempt_word) == 0);
}

void preempt_from_irq(struct trap_frame *frame)
{
	while (unlikely(this_cpu_read(preempt_word) == 0)) {
		preempt_disable();
		restart_preempted(frame);
		schedule(false, INSERT_PREEMPTED);
		preempt_enable_no_resched();
	}
}

void thread_started(struct thread *prev)
{
	struct thread *t = current_thread;

	finish_switch(prev);
	irq_enable();
	preempt_enable();
	if (t->started)
		t->started(t);
}

void thread_exit(void (*after)(struct thread *dead))
{
	struct thread *t = current_thread;

	t->after_exit = after;
	/* Not to be preempted once it is dead: the next switch is taken for the last one. */
	preempt_disable();
	irq_disable();
	thread_set_state(THREAD_DEAD);
	schedule(true, INSERT_PREEMPTED);
	panic("a dead thread runs");
}

/* ---- wake-ups ---- */

void thread_set_state(enum thread_state s)
{
	(void)atomic_xchg(&current_thread->state, (u8)s);
}

/* Is the hand-off slot the right place for t, which the running thread wakes? */
static bool handoff_is_promising(struct run_queue *rq, struct thread *t)
{
	struct thread *waker = rq->current;

	if (unlikely(READ_ONCE(rq->handoff) || irq_is_in_handler() ||
		     ((waker->sched.special | t->sched.special) &
		      (SPECIAL_REALTIME | SPECIAL_IDLE)) ||
		     !(t->affinity & bit(rq->cpu))))
		return false;
	if (likely(waker->sched.handoff_score >= handoff_trusted))
		return true;
	waker->sched.sync_wake_ns = clock_monotonic_ns();
	return false;
}

void thread_place(struct thread *t)
{
	u64 flags = irq_save();
	struct run_queue *rq = run_queue_of(sched_select_cpu(t));

	raw_spin_lock(&rq->lock);
	run_queue_add(rq, t, clock_monotonic_ns());
	run_queue_check_preempt(rq, t);
	raw_spin_unlock(&rq->lock);
	irq_restore(flags);
}

/* Interrupts off, t's wake_lock held. */
static bool handoff_place(struct thread *t)
{
	struct run_queue *rq = this_cpu_ptr(run_queue);

	if (!handoff_is_promising(rq, t))
		return false;
	t->cpu = rq->cpu;
	rq->handoff_cycles = cpu_cycles();
	atomic_store(&t->sched.queued, true);
	WRITE_ONCE(rq->handoff, t);
	return true;
}

/* t is runnable again without having left its run queue; true if so. */
static __noinline bool wake_queued(struct thread *t)
{
	u64 flags;
	struct run_queue *rq = run_queue_lock_of(t, &flags);
	bool queued = t->sched.queued;

	if (queued)
		WRITE_ONCE(t->state, THREAD_RUNNABLE);
	raw_spin_unlock(&rq->lock);
	irq_restore(flags);
	return queued;
}

/* Taking wake_lock is the full barrier that pairs with thread_set_state. */
bool thread_wake_atomic(struct thread *t, u32 mask, bool sync)
{
	u8 state;

	spin_lock_atomic(&t->wake_lock);
	state = READ_ONCE(t->state);
	if (!(bit(state) & mask)) {
		spin_unlock_atomic(&t->wake_lock);
		return false;
	}
	if (likely(!(atomic_load(&t->sched.queued) && wake_queued(t)))) {
		if (state == THREAD_UNINTERRUPTIBLE)
			this_cpu_ptr(run_queue)->nr_uninterruptible--;
		WRITE_ONCE(t->state, THREAD_RUNNABLE);
		t->sched.pushed_by = 0;
		/* Its CPU is still in the switch away from it: a few instructions. */
		while (unlikely(atomic_load(&t->on_cpu)))
			cpu_relax();
		if (!(sync && handoff_place(t)))
			thread_place(t);
	}
	spin_unlock_atomic(&t->wake_lock);
	return true;
}

bool thread_wake_mask(struct thread *t, u32 mask)
{
	u64 flags = irq_save();
	bool woken = thread_wake_atomic(t, mask, false);

	irq_restore(flags);
	preempt_check();
	return woken;
}

bool thread_wake_sync(struct thread *t)
{
	u64 flags = irq_save();
	bool woken = thread_wake_atomic(t, WAKE_NORMAL, true);

	irq_restore(flags);
	preempt_check();
	return woken;
}

void thread_start(struct thread *t)
{
	u64 flags = spin_lock_irq(&t->wake_lock);

	t->state = THREAD_RUNNABLE;
	thread_place(t);
	spin_unlock_irq(&t->wake_lock, flags);
}

void thread_set_work(struct thread *t, u32 flags)
{
	atomic_or(&t->work, flags); /* full barrier: seen on the way to user mode, or on_cpu is */
	if (READ_ONCE(t->on_cpu) && t != current_thread)
		cpu_send_reschedule(READ_ONCE(t->cpu));
}

void thread_wait_off_cpu(const struct thread *t)
{
	while (atomic_load(&t->on_cpu))
		cpu_relax();
}

/* ---- the tick ---- */

static bool slice_is_over(struct run_queue *rq, struct thread *t)
{
	if (!thread_is_realtime(t))
		return sched_policy->slice_is_over(rq, t);
	if (t->params.policy != SCHED_RR || t->sched.sum_exec_ns < t->sched.slice_end_ns)
		return false;
	t->sched.slice_end_ns = t->sched.sum_exec_ns + RR_SLICE_NS;
	return level_is_used(rq, 99u - t->params.rt_priority);
}

void sched_tick(u64 now_ns, bool user)
{
	struct run_queue *rq = this_cpu_ptr(run_queue);

	raw_spin_lock(&rq->lock);
	run_queue_charge(rq, now_ns);
	sched_account_tick(rq, user);
	if (unlikely(rq->current->wants_tick))
		atomic_or(&rq->current->work, WORK_TASK);
	if (rq->current != rq->idle) {
		if (rq->handoff) {
			rq->current->sched.handoff_score = 0;
			run_queue_mark(rq);
		} else if (slice_is_over(rq, rq->current)) {
			rq->current->sched.special |= SPECIAL_EXPIRED;
			run_queue_mark(rq);
		}
	}
	if (rq->nr_running > 1)
		sched_offer(rq, now_ns);
	raw_spin_unlock(&rq->lock);
	sched_update_load(now_ns);
	if (now_ns >= rq->next_balance_ns)
		sched_balance(rq, now_ns);
}

/* ---- idle, boot ---- */

bool (*idle_work)(void) __ro_after_init;

void sched_idle_loop(void)
{
	struct thread *me = current_thread;

	for (;;) {
		if (idle_work)
			while (!(READ_ONCE(me->work) & WORK_RESCHEDULE) && idle_work())
				section_idles(); /* it was looked whether another is to run */
		irq_disable();
		if (!(READ_ONCE(me->work) & WORK_RESCHEDULE)) {
			/* A waker that chose this CPU cleared the bit, and may have been late. */
			if (!(READ_ONCE(sched_idle_map) & bit(me->cpu)))
				atomic_or(&sched_idle_map, bit(me->cpu));
			timer_tick_stop();
			rcu_idle_enter();
			if (!(READ_ONCE(me->work) & WORK_RESCHEDULE)) {
				section_idles();
				cpu_idle_wait();
			}
			irq_disable();
			rcu_idle_exit();
		}
		if (READ_ONCE(me->work) & WORK_RESCHEDULE)
			schedule(false, INSERT_PREEMPTED);
		irq_enable();
	}
}

static void idle_main(void *unused)
{
	(void)unused;
	preempt_disable();
	sched_idle_loop();
}

static void run_queue_init(struct run_queue *rq, unsigned cpu, struct thread *running)
{
	struct thread *idle = per_cpu_ptr(idle_thread, cpu);

	rq->cpu = cpu;
	rq->current = running ? running : idle;
	rq->nr_running = running != NULL;
	rq->virtual_time = 1ull << 40;
	rq->idle = idle;
	for (unsigned i = 0; i < NR_LEVELS; i++)
		list_init(&rq->levels[i]);
	idle->is_idle = true;
	idle->sched.special = SPECIAL_IDLE;
	idle->is_kernel = true;
	idle->seen_cpu = SEEN_CPU_NONE;
	idle->name = "idle";
	idle->cpu = cpu;
	idle->affinity = bit(cpu);
	idle->on_cpu = !running;
	spin_init(&idle->wake_lock, RANK_THREAD_WAKE);
	sched_set_weight(idle);
}

void __init sched_init(void)
{
	struct run_queue *rq = run_queue_of(0);
	struct thread *idle = per_cpu_ptr(idle_thread, 0);
	const char *policy = boot_option("sched");

	lock_init();
	for (unsigned i = 0; policy && i < ARRAY_SIZE(policies); i++)
		if (!strcmp(policy, policies[i]->name))
			sched_policy = policies[i];
	if (!boot_opt_enabled("handoff"))
		handoff_trusted = HANDOFF_BEST + 1;
	run_queue_init(rq, 0, &boot_thread);
	idle->stack = boot_idle_stack;
	idle->arch.stack_top = (u64)boot_idle_stack + KERNEL_STACK_SIZE;
	arch_thread_prepare_kernel(&idle->arch, idle_main, NULL);

	boot_thread.sched.queued = true;
	boot_thread.sched.vruntime = boot_thread.sched.deadline = rq->virtual_time;
	sched_set_weight(&boot_thread);
	rq->total_weight = boot_thread.sched.weight;
	rcu_cpu_up(0);
	timer_cpu_up(0);
	sched_place_cpu_up(0);
}

void __init sched_start(void)
{
	const char *policy = boot_option("sched");

	if (policy && strcmp(policy, sched_policy->name) != 0)
		log_warning("sched=%s: there is no such policy; it is %s", policy,
			    sched_policy->name);
	lock_debug_start();
	rcu_start();
	work_start();
}

void cpu_secondary_main(void)
{
	unsigned cpu = cpu_id();
	struct run_queue *rq = run_queue_of(cpu);
	struct thread *idle = per_cpu_ptr(idle_thread, cpu);

	this_cpu_write(this_thread, idle);
	this_cpu_write(preempt_word, PREEMPT_NOT_DUE | 1);
	run_queue_init(rq, cpu, NULL);
	rq->idle_start_ns = clock_monotonic_ns();
	rcu_cpu_up(cpu);
	timer_cpu_up(cpu);
	sched_place_cpu_up(cpu);
	atomic_or(&sched_idle_map, bit(cpu));
	sched_idle_loop();
}
