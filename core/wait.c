/*
 * Wait queues: lists of who waits for a condition to change.
 *
 * A sleeper puts its waiter on the queue and sets its state, both before it
 * looks at the condition; a waker changes the condition before it looks at the
 * queue.  Taking the queue's lock, setting the state, and the fence in
 * wait_queue_is_active are full barriers, so one of the two sees the other.
 *
 * Invariants.
 *   (1) the waker takes the waiter off the queue after waking its thread, under
 *       the lock; a waiter that finds itself off the queue may leave without
 *       the lock, for the waker's last store to it was the one that it saw;
 *   (2) an exclusive wake-up counts only if it made a thread runnable, or if a
 *       callback says that it took it: none is spent on a thread that was
 *       already up;
 *   (3) who was woken exclusively and is then interrupted as well reports
 *       success, looks at the condition, and so does not lose the wake-up.
 *
 * Model: tests/models/wait.pml.
 */
#include "sched.h"

#include <nos/errno.h>
#include <nos/wait.h>

void wait_queue_init(struct wait_queue *q)
{
	spin_init(&q->lock, RANK_WAIT_QUEUE);
	list_init(&q->waiters);
}

static void enqueue(struct wait_queue *q, struct waiter *w)
{
	w->woken = false;
	if (w->exclusive)
		list_push_back(&q->waiters, &w->node);
	else
		list_push_front(&q->waiters, &w->node);
}

void wait_queue_add(struct wait_queue *q, struct waiter *w)
{
	u64 flags = spin_lock_irq(&q->lock);

	enqueue(q, w);
	spin_unlock_irq(&q->lock, flags);
}

void wait_queue_remove(struct wait_queue *q, struct waiter *w)
{
	u64 flags = spin_lock_irq(&q->lock);

	list_remove(&w->node);
	spin_unlock_irq(&q->lock, flags);
}

/* Off the queue by the waker: its store to prev is the last one. */
static bool is_off_queue(struct waiter *w)
{
	return atomic_load(&w->node.prev) == &w->node && READ_ONCE(w->node.next) == &w->node;
}

static void unlink_woken(struct waiter *w)
{
	struct list *n = &w->node;

	n->next->prev = n->prev;
	n->prev->next = n->next;
	WRITE_ONCE(n->next, n);
	atomic_store(&n->prev, n);
}

/* Interrupts are off. */
static void wake_locked(struct wait_queue *q, u32 key, bool all, bool sync)
{
	struct waiter *w, *next;

	list_for_each_safe(w, next, &q->waiters, node) {
		bool exclusive = w->exclusive;
		bool took;

		if (w->wake) {
			took = w->wake(w, key);
		} else {
			w->woken = true;
			took = thread_wake_atomic(w->thread, WAKE_NORMAL, sync);
			if (took)
				unlink_woken(w);
			else
				w->woken = false;
		}
		if (took && exclusive && !all)
			break;
	}
}

static void wake_up(struct wait_queue *q, u32 key, bool all, bool sync)
{
	u64 flags = spin_lock_irq(&q->lock);

	wake_locked(q, key, all, sync);
	spin_unlock_irq(&q->lock, flags);
}

void wake_all_key(struct wait_queue *q, u32 key)
{
	if (wait_queue_is_active(q))
		wake_up(q, key, true, false);
}

void wake_one_key(struct wait_queue *q, u32 key)
{
	if (wait_queue_is_active(q))
		wake_up(q, key, false, false);
}

void wake_one_sync(struct wait_queue *q, u32 key)
{
	if (wait_queue_is_active(q))
		wake_up(q, key, false, true);
}

/* The usual case apart: the first in line is one exclusive sleeper. */
void wake_one_sync_active(struct wait_queue *q, u32 key)
{
	u64 flags = spin_lock_irq(&q->lock);
	struct waiter *w = list_first(&q->waiters, struct waiter, node);

	if (likely(w && !w->wake && w->exclusive)) {
		w->woken = true;
		if (likely(thread_wake_atomic(w->thread, WAKE_NORMAL, true))) {
			unlink_woken(w);
			spin_unlock_irq(&q->lock, flags);
			return;
		}
		w->woken = false;
	}
	wake_locked(q, key, false, true);
	spin_unlock_irq(&q->lock, flags);
}

void wait_prepare(struct wait_queue *q, struct waiter *w, enum thread_state s)
{
	u64 flags = spin_lock_irq(&q->lock);

	if (!w->node.next || is_off_queue(w))
		enqueue(q, w);
	thread_set_state(s);
	spin_unlock_irq(&q->lock, flags);
}

void wait_finish(struct wait_queue *q, struct waiter *w)
{
	WRITE_ONCE(current_thread->state, THREAD_RUNNABLE);
	if (!is_off_queue(w))
		wait_queue_remove(q, w);
}

static __always_inline int wait_once(struct wait_queue *q, struct mutex *m, enum thread_state s,
				     u64 deadline_ns) __must_hold(m)
{
	struct thread *me = current_thread;
	struct waiter w;
	bool late = false;

	w.wake = NULL;
	w.thread = me;
	w.exclusive = true;
	w.woken = false;
	irq_disable();
	spin_lock_atomic(&q->lock);
	list_push_back(&q->waiters, &w.node);
	spin_unlock_atomic(&q->lock);
	irq_enable();
	/* The condition changes under the mutex: giving it up is the barrier. */
	WRITE_ONCE(me->state, s);
	mutex_unlock(m);
	if (s == THREAD_UNINTERRUPTIBLE || !(READ_ONCE(me->work) & WORK_SIGNAL)) {
		if (deadline_ns == TIME_NEVER)
			thread_block();
		else
			late = thread_block_until(deadline_ns);
	}
	WRITE_ONCE(me->state, THREAD_RUNNABLE);
	if (unlikely(!is_off_queue(&w)))
		wait_queue_remove(q, &w);
	mutex_lock(m);
	if (w.woken)
		return 0;
	if (s == THREAD_INTERRUPTIBLE && signal_is_pending())
		return -ERESTARTSYS;
	return late ? -ETIMEDOUT : 0;
}

int wait_on(struct wait_queue *q, struct mutex *m)
{
	return wait_once(q, m, THREAD_INTERRUPTIBLE, TIME_NEVER);
}

void wait_on_uninterruptible(struct wait_queue *q, struct mutex *m)
{
	(void)wait_once(q, m, THREAD_UNINTERRUPTIBLE, TIME_NEVER);
}

int wait_on_until(struct wait_queue *q, struct mutex *m, u64 deadline_ns)
{
	return wait_once(q, m, THREAD_INTERRUPTIBLE, deadline_ns);
}

/* ---- completions ---- */

void completion_init(struct completion *c)
{
	wait_queue_init(&c->queue);
	c->done = 0;
}

/* Under the lock, so that the waiter, which may own c, leaves only after the last access. */
void completion_signal(struct completion *c)
{
	u64 flags = spin_lock_irq(&c->queue.lock);

	c->done++;
	wake_locked(&c->queue, 0, false, false);
	spin_unlock_irq(&c->queue.lock, flags);
}

static bool completion_take(struct completion *c)
{
	u64 flags = spin_lock_irq(&c->queue.lock);
	bool taken = c->done != 0;

	if (taken)
		c->done--;
	spin_unlock_irq(&c->queue.lock, flags);
	return taken;
}

static int completion_wait_state(struct completion *c, enum thread_state s)
{
	struct waiter w = { .thread = current_thread, .exclusive = true };
	int err = 0;

	for (;;) {
		wait_prepare(&c->queue, &w, s);
		if (completion_take(c))
			break;
		if (s == THREAD_KILLABLE && fatal_signal_is_pending()) {
			err = -ERESTARTSYS;
			break;
		}
		thread_block();
	}
	wait_finish(&c->queue, &w);
	return err;
}

void completion_wait(struct completion *c)
{
	(void)completion_wait_state(c, THREAD_UNINTERRUPTIBLE);
}

int completion_wait_killable(struct completion *c)
{
	return completion_wait_state(c, THREAD_KILLABLE);
}
