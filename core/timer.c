/*
 * Timers: per-CPU trees of deadlines over one hardware timer each.
 *
 * Concepts.  A CPU's base holds its timers in red-black trees, one for each
 * clock, and the time of its tick.  The hardware is armed for the earliest.  A
 * deadline on CLOCK_REALTIME keeps its value when that clock is stepped; every
 * CPU is then told to arm its hardware for the new moment.  The tick runs
 * 250 times a second while the CPU runs threads; on an idle CPU it is let lapse
 * (one interrupt at most), so that an idle machine takes none.
 *
 * Invariants.
 *   (1) armed_ns ≤ every deadline of the base, and only this CPU changes it;
 *   (2) `running` is the timer whose callback runs, without the lock; after it
 *       is cleared the base doesn't touch that timer any more.
 *
 * Locking.  One lock per base (TIMER_BASE, interrupts off) for tree and states.
 * A timer belongs to the base of timer->cpu; its owner serialises start.
 */
#include "timer.h"

#include "rcu.h"
#include "sched.h"

#include <nos/arch.h>
#include <nos/timer.h>

enum timer_state { TIMER_IDLE, TIMER_QUEUED, TIMER_RUNNING };

struct timer_tree {
	struct rb_root root;
	struct timer *first; /* leftmost */
};

struct timer_base {
	struct spinlock lock;
	struct timer_tree monotonic, realtime;
	struct timer *running;
	u64 armed_ns; /* what the hardware is set to */
	u64 tick_ns; /* next tick, or TIME_NEVER */
	bool tick_wanted;
};

static DEFINE_PERCPU(struct timer_base, timer_base) = {
	.lock = SPINLOCK_INIT(RANK_TIMER_BASE),
	.armed_ns = TIME_NEVER,
	.tick_ns = TIME_NEVER,
};

/* ---- hardware ---- */

static void arm(struct timer_base *b, u64 deadline_ns)
{
	if (deadline_ns >= b->armed_ns)
		return;
	b->armed_ns = deadline_ns;
	arch_timer_arm(clock_ns_to_cycles(deadline_ns));
}

/* The moment of a timer on CLOCK_MONOTONIC, as the clocks stand. */
static u64 monotonic_of(const struct timer *t)
{
	s64 offset;

	if (!t->realtime)
		return t->deadline_ns;
	offset = clock_realtime_offset_ns();
	if (offset > 0 && t->deadline_ns <= (u64)offset)
		return 1;
	return t->deadline_ns - (u64)offset;
}

/* ---- the trees ---- */

static struct timer_tree *tree_of(struct timer_base *b, const struct timer *t)
{
	return t->realtime ? &b->realtime : &b->monotonic;
}

static void tree_insert(struct timer_base *b, struct timer *t, unsigned cpu)
{
	struct timer_tree *tree = tree_of(b, t);
	struct rb_node **link = &tree->root.node, *parent = NULL;
	bool is_first = true;

	while (*link) {
		parent = *link;
		if (t->deadline_ns < rb_entry(parent, struct timer, node)->deadline_ns) {
			link = &parent->left;
		} else {
			link = &parent->right;
			is_first = false;
		}
	}
	rb_insert(&tree->root, &t->node, parent, link);
	if (is_first)
		tree->first = t;
	t->cpu = cpu;
	atomic_store(&t->state, (u8)TIMER_QUEUED);
}

static void tree_remove(struct timer_base *b, struct timer *t)
{
	struct timer_tree *tree = tree_of(b, t);

	if (tree->first == t) {
		struct rb_node *next = rb_next(&t->node);

		tree->first = next ? rb_entry(next, struct timer, node) : NULL;
	}
	rb_remove(&tree->root, &t->node);
}

/* ---- interface ---- */

void timer_init(struct timer *t, timer_fn fn)
{
	*t = (struct timer){ .fn = fn };
}

void timer_init_realtime(struct timer *t, timer_fn fn)
{
	*t = (struct timer){ .fn = fn, .realtime = true };
}

void timer_start(struct timer *t, u64 deadline_ns)
{
	u64 flags = irq_save();
	struct timer_base *b = this_cpu_ptr(timer_base);

	(void)timer_cancel(t);
	spin_lock(&b->lock);
	t->deadline_ns = deadline_ns;
	tree_insert(b, t, cpu_id());
	if (tree_of(b, t)->first == t)
		arm(b, monotonic_of(t));
	spin_unlock(&b->lock);
	irq_restore(flags);
}

bool timer_cancel(struct timer *t)
{
	for (;;) {
		if (atomic_load(&t->state) == TIMER_IDLE)
			return false;

		struct timer_base *b = per_cpu_ptr(timer_base, READ_ONCE(t->cpu));
		u64 flags = spin_lock_irq(&b->lock);

		if (unlikely(per_cpu_ptr(timer_base, t->cpu) != b)) {
			spin_unlock_irq(&b->lock, flags);
			continue;
		}

		bool pending = t->state == TIMER_QUEUED;

		if (pending)
			tree_remove(b, t);
		t->state = TIMER_IDLE; /* a running callback is not started again */
		spin_unlock_irq(&b->lock, flags);
		return pending;
	}
}

void timer_cancel_sync(struct timer *t)
{
	for (;;) {
		struct timer_base *b = per_cpu_ptr(timer_base, READ_ONCE(t->cpu));

		(void)timer_cancel(t);
		while (atomic_load(&b->running) == t)
			cpu_relax();
		if (atomic_load(&t->state) == TIMER_IDLE)
			return;
	}
}

bool timer_is_pending(const struct timer *t)
{
	return READ_ONCE(t->state) == TIMER_QUEUED;
}

/* ---- the interrupt ---- */

static void run_expired(struct timer_base *b, struct timer_tree *tree, u64 now)
{
	spin_lock(&b->lock);
	while (tree->first && tree->first->deadline_ns <= now) {
		struct timer *t = tree->first;

		tree_remove(b, t);
		t->state = TIMER_RUNNING;
		atomic_store(&b->running, t);
		spin_unlock(&b->lock);

		u64 next = t->fn(t, now);

		spin_lock(&b->lock);
		/* A callback or another CPU may have cancelled or restarted it meanwhile. */
		if (t->state == TIMER_RUNNING) {
			t->state = TIMER_IDLE;
			if (next) {
				t->deadline_ns = next;
				tree_insert(b, t, cpu_id());
			}
		}
		atomic_store(&b->running, (struct timer *)NULL);
	}
	spin_unlock(&b->lock);
}

/* For the earliest of all that the base waits for; the lock is held. */
static void arm_first(struct timer_base *b)
{
	arm(b, b->tick_ns);
	if (b->monotonic.first)
		arm(b, b->monotonic.first->deadline_ns);
	if (unlikely(b->realtime.first))
		arm(b, monotonic_of(b->realtime.first));
}

void timer_clock_was_set(void)
{
	struct timer_base *b = this_cpu_ptr(timer_base);

	spin_lock(&b->lock);
	arm_first(b);
	spin_unlock(&b->lock);
}

void timer_interrupt(bool user, bool preemptible)
{
	struct timer_base *b = this_cpu_ptr(timer_base);
	u64 now = clock_monotonic_ns();

	b->armed_ns = TIME_NEVER;
	run_expired(b, &b->monotonic, now);
	if (unlikely(b->realtime.first))
		run_expired(b, &b->realtime, now + (u64)clock_realtime_offset_ns());
	if (now >= b->tick_ns) {
		if (b->tick_wanted) {
			b->tick_ns += TICK_NS;
			if (b->tick_ns <= now)
				b->tick_ns = now + TICK_NS;
			clock_tick();
			sched_tick(now, user);
			rcu_tick(preemptible);
		} else {
			b->tick_ns = TIME_NEVER;
		}
	}

	spin_lock(&b->lock);
	arm_first(b);
	spin_unlock(&b->lock);
}

void timer_tick_start(u64 now_ns)
{
	struct timer_base *b = this_cpu_ptr(timer_base);

	b->tick_wanted = true;
	if (b->tick_ns != TIME_NEVER)
		return;
	/* CPUs tick at different moments. */
	b->tick_ns = align_up(now_ns + 1, TICK_NS) + cpu_id() * TICK_NS / MAX_CPUS;
	clock_tick();
	arm(b, b->tick_ns);
}

void timer_tick_stop(void)
{
	this_cpu_ptr(timer_base)->tick_wanted = false;
}

void timer_cpu_up(unsigned cpu)
{
	struct timer_base *b = per_cpu_ptr(timer_base, cpu);

	b->armed_ns = TIME_NEVER;
	b->tick_ns = TIME_NEVER;
}

/* ---- sleeping with a limit ---- */

struct sleep_timer {
	struct timer timer;
	struct thread *thread;
	bool expired;
};

static u64 sleep_timer_expire(struct timer *t, u64 now_ns)
{
	struct sleep_timer *s = container_of(t, struct sleep_timer, timer);

	(void)now_ns;
	WRITE_ONCE(s->expired, true);
	thread_wake(s->thread);
	return 0;
}

static inline bool block_until(u64 deadline_ns, bool realtime)
{
	struct sleep_timer s = { .thread = current_thread };

	if (deadline_ns == TIME_NEVER) {
		thread_block();
		return false;
	}
	if (deadline_ns <= (realtime ? clock_realtime_ns() : clock_monotonic_ns())) {
		WRITE_ONCE(current_thread->state, THREAD_RUNNABLE);
		return true;
	}
	timer_init(&s.timer, sleep_timer_expire);
	s.timer.realtime = realtime;
	timer_start(&s.timer, deadline_ns);
	thread_block();
	timer_cancel_sync(&s.timer);
	return READ_ONCE(s.expired);
}

bool thread_block_until(u64 deadline_ns)
{
	return block_until(deadline_ns, false);
}

bool thread_block_until_realtime(u64 deadline_ns)
{
	return block_until(deadline_ns, true);
}
