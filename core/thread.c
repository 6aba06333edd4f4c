/*
 * Threads: their making, their end, their parameters.
 *
 * A kernel thread's struct stands at the top of its own stack, so that core
 * needs no allocator but that of stacks.  Stacks of dead threads are kept, a few
 * per CPU; what does not fit goes back from a worker, because it is found in
 * contexts that may not sleep.
 */
#include "sched.h"

#include <nos/errno.h>
#include <nos/rcu.h>
#include <nos/sanitize.h>
#include <nos/string.h>
#include <linux/sched.h>

struct kthread {
	struct thread thread;
	struct list node; /* kthreads */
	struct rcu_head rcu;
	void (*fn)(void *arg);
	void *arg;
};

/* ---- stacks ---- */

#define STACK_CACHE_SIZE 4

struct stack_cache {
	u32 count;
	void *stacks[STACK_CACHE_SIZE];
};

struct free_stack {
	struct free_stack *next;
};

static DEFINE_PERCPU(struct stack_cache, stack_cache);
static struct free_stack *surplus_stacks;

static void surplus_release(struct work *unused)
{
	struct free_stack *s = atomic_xchg(&surplus_stacks, (struct free_stack *)NULL);

	(void)unused;
	while (s) {
		struct free_stack *next = s->next;

		kernel_stack_free(s);
		s = next;
	}
}

static struct work surplus_work = { .fn = surplus_release };

static void *thread_stack_alloc(void)
{
	u64 flags = irq_save();
	struct stack_cache *c = this_cpu_ptr(stack_cache);
	void *stack = c->count ? c->stacks[--c->count] : NULL;

	irq_restore(flags);
	return stack ? stack : kernel_stack_alloc();
}

void thread_stack_free(void *stack)
{
	shadow_unpoison(stack, KERNEL_STACK_SIZE); /* frames that were left without return */
	u64 flags = irq_save();
	struct stack_cache *c = this_cpu_ptr(stack_cache);
	bool kept = c->count < STACK_CACHE_SIZE;

	if (kept)
		c->stacks[c->count++] = stack;
	irq_restore(flags);
	if (kept)
		return;

	struct free_stack *s = stack, *old = READ_ONCE(surplus_stacks);

	do {
		s->next = old;
	} while (!atomic_cas_update(&surplus_stacks, &old, s));
	work_queue(&surplus_work);
}

/* ---- kernel threads that there are ---- */

static struct spinlock kthreads_lock = SPINLOCK_INIT(RANK_LEAF);
static struct list kthreads __guarded_by(&kthreads_lock) = LIST_INIT(kthreads);

void kthread_for_each(void (*fn)(const struct thread *t, const char *name, s32 number))
{
	const struct kthread *k;

	scoped_spin_irq(&kthreads_lock);
	list_for_each(k, &kthreads, node)
		fn(&k->thread, k->thread.name, 0);
}

static void kthread_list(struct kthread *k)
{
	scoped_spin_irq(&kthreads_lock);
	list_push_back(&kthreads, &k->node);
}

static void kthread_unlist(struct kthread *k)
{
	scoped_spin_irq(&kthreads_lock);
	list_remove(&k->node);
}

/* ---- life ---- */

void thread_inherit_params(struct thread *t, const struct sched_params *from)
{
	t->params = *from;
	if (from->reset_on_fork) {
		t->params.reset_on_fork = false;
		if (t->params.policy == SCHED_FIFO || t->params.policy == SCHED_RR) {
			t->params.policy = SCHED_NORMAL;
			t->params.rt_priority = 0;
		}
		t->params.nice = max(t->params.nice, (s8)0);
	}
	sched_set_weight(t);
}

static void inherit(struct thread *t, const struct thread *from)
{
	t->seen_cpu = SEEN_CPU_NONE;
#ifdef DEBUG
	t->fails = from->fails;
#endif
	t->affinity = from->affinity;
	t->cpu = from->cpu;
	t->sched.handoff_score = SCHED_HANDOFF_INITIAL;
	thread_inherit_params(t, &from->params);
}

static void init_with_stack(struct thread *t, void *stack, u64 stack_top)
{
	t->stack = stack;
	t->arch.stack_top = stack_top;
	t->state = THREAD_UNINTERRUPTIBLE;
	spin_init(&t->wake_lock, RANK_THREAD_WAKE);
	t->start_time_ns = clock_monotonic_ns();
	inherit(t, current_thread);
}

int thread_init(struct thread *t)
{
	void *stack = thread_stack_alloc();

	if (!stack)
		return -ENOMEM;
	init_with_stack(t, stack, (u64)stack + KERNEL_STACK_SIZE);
	return 0;
}

void thread_fini(struct thread *t)
{
	thread_wait_off_cpu(t);
	thread_stack_free(t->stack);
	t->stack = NULL;
}

static void kthread_free(struct rcu_head *head)
{
	struct kthread *k = container_of(head, struct kthread, rcu);

	thread_stack_free(k->thread.stack);
}

static void kthread_reap(struct thread *dead)
{
	struct kthread *k = container_of(dead, struct kthread, thread);

	kthread_unlist(k);
	rcu_call(&k->rcu, kthread_free);
}

static void kthread_main(void *arg)
{
	struct kthread *k = arg;

	k->fn(k->arg);
	thread_exit(kthread_reap);
}

struct thread *kthread_create(void (*fn)(void *arg), void *arg, const char *name)
{
	void *stack = thread_stack_alloc();

	if (!stack)
		return NULL;

	struct kthread *k =
		(void *)(((u64)stack + KERNEL_STACK_SIZE - sizeof(*k)) & ~(u64)(CACHE_LINE - 1));

	memset(k, 0, sizeof(*k));
	k->fn = fn;
	k->arg = arg;
	init_with_stack(&k->thread, stack, (u64)k);
	k->thread.params = (struct sched_params){ .policy = SCHED_NORMAL };
	k->thread.affinity = U64_MAX;
	k->thread.is_kernel = true;
	k->thread.name = name;
	sched_set_weight(&k->thread);
	arch_thread_prepare_kernel(&k->thread.arch, kthread_main, k);
	kthread_list(k);
	return &k->thread;
}

/* ---- parameters ---- */

static bool params_are_valid(const struct sched_params *p)
{
	switch (p->policy) {
	case SCHED_NORMAL:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return p->rt_priority == 0 && p->nice >= -20 && p->nice <= 19;
	case SCHED_FIFO:
	case SCHED_RR:
		return p->rt_priority >= 1 && p->rt_priority <= 99;
	default:
		return false;
	}
}

int thread_set_sched(struct thread *t, const struct sched_params *p)
{
	if (!params_are_valid(p))
		return -EINVAL;

	u64 wake_flags = spin_lock_irq(&t->wake_lock), flags;
	struct run_queue *rq = run_queue_lock_of(t, &flags);
	u64 now = clock_monotonic_ns();
	bool queued = t->sched.queued, runs = rq->current == t;

	run_queue_charge(rq, now);
	if (queued)
		run_queue_leave(rq, t, now);
	t->params = *p;
	sched_set_weight(t);
	if (queued) {
		run_queue_join(rq, t, now);
		if (runs)
			run_queue_mark(rq);
		else
			run_queue_check_preempt(rq, t);
	}
	raw_spin_unlock(&rq->lock);
	irq_restore(flags);
	spin_unlock_irq(&t->wake_lock, wake_flags);
	return 0;
}

int thread_set_affinity(struct thread *t, u64 mask)
{
	bool moved = false;

	if (!(mask & READ_ONCE(sched_online_map)))
		return -EINVAL;

	u64 wake_flags = spin_lock_irq(&t->wake_lock), flags;
	struct run_queue *rq = run_queue_lock_of(t, &flags);

	t->affinity = mask;
	if (t->sched.queued && !(mask & bit(rq->cpu))) {
		if (rq->current == t) {
			t->sched.special |= SPECIAL_MOVE; /* the switch takes it away */
			run_queue_mark(rq);
		} else {
			run_queue_take(rq, t, clock_monotonic_ns());
			moved = true;
		}
	}
	raw_spin_unlock(&rq->lock);
	irq_restore(flags);
	if (moved)
		thread_place(t);
	spin_unlock_irq(&t->wake_lock, wake_flags);
	return 0;
}

u64 thread_rr_interval_ns(const struct thread *t)
{
	switch (t->params.policy) {
	case SCHED_FIFO:
		return 0;
	case SCHED_RR:
		return RR_SLICE_NS;
	default:
		return sched_policy->slice_ns;
	}
}
