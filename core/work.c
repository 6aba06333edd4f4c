/*
 * Deferred work: one worker thread per CPU, first come, first served.
 *
 * Work is queued on the CPU that asks.  `pending` is set from queueing until
 * just before the function is called, so that it may queue itself again; the
 * function may free its work.  A function that sleeps holds up the rest of its
 * CPU's queue: long jobs have threads of their own.
 */
#include "lock.h"
#include "timer.h"

#include <nos/init.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>

struct worker {
	struct spinlock lock;
	struct list queue;
	struct work *running;
	struct thread *thread;
};

static DEFINE_PERCPU(struct worker, worker);
static struct wait_queue flush_queue = WAIT_QUEUE_INIT(flush_queue);

void work_init(struct work *w, void (*fn)(struct work *w))
{
	*w = (struct work){ .fn = fn };
}

bool work_queue(struct work *w)
{
	if (atomic_xchg(&w->pending, 1u))
		return false;

	u64 flags = irq_save();
	struct worker *k = this_cpu_ptr(worker);

	spin_lock(&k->lock);
	if (!k->queue.next) /* before the workers are there */
		list_init(&k->queue);
	list_push_back(&k->queue, &w->node);

	struct thread *t = k->thread;

	spin_unlock(&k->lock);
	if (t)
		thread_wake(t);
	irq_restore(flags);
	return true;
}

static bool work_run_one(struct worker *k)
{
	u64 flags = spin_lock_irq(&k->lock);
	struct list *n = list_pop_front(&k->queue);

	if (!n) {
		spin_unlock_irq(&k->lock, flags);
		return false;
	}

	struct work *w = list_entry(n, struct work, node);

	k->running = w;
	atomic_store(&w->pending, 0u);
	spin_unlock_irq(&k->lock, flags);

	w->fn(w);
	atomic_store(&k->running, (struct work *)NULL);
	wake_all(&flush_queue);
	return true;
}

static void worker_main(void *arg)
{
	struct worker *k = arg;

	for (;;) {
		if (work_run_one(k))
			continue;
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (list_is_empty(&k->queue))
			thread_block();
		thread_set_state(THREAD_RUNNABLE);
	}
}

static bool is_running(const struct work *w)
{
	for_each_cpu(cpu) if (atomic_load(&per_cpu_ptr(worker, cpu)->running) == w) return true;
	return false;
}

void work_flush(struct work *w)
{
	wait_event(&flush_queue, !atomic_load(&w->pending) && !is_running(w));
}

void work_start(void)
{
	for_each_cpu(cpu)
	{
		struct worker *k = per_cpu_ptr(worker, cpu);

		if (k->thread)
			continue;

		struct thread *t = kthread_create(worker_main, k, "worker");

		VERIFY(t);
		t->affinity = bit(cpu);
		t->cpu = cpu;

		u64 flags = spin_lock_irq(&k->lock);

		if (!k->queue.next)
			list_init(&k->queue);
		k->thread = t;
		spin_unlock_irq(&k->lock, flags);
		thread_start(t);
	}
}

/* Those of the CPUs that have come up since. */
static int work_start_secondaries(void)
{
	work_start();
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, work_start_secondaries);
