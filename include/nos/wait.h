/*
 * Wait queues (core/wait.c).
 *
 * wait_event*(queue, condition): sleeps until the condition holds, evaluated
 * without locks; wait_on(queue, mutex): sleeps with the mutex released and
 * returns with it held, condition variable style.  Wakers change the state
 * first, then wake.  Pollers (poll, epoll) put a waiter with a callback of
 * their own on the queue.
 */
#pragma once

#include <nos/errno.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/thread.h>
#include <nos/types.h>

struct waiter;
/* Returns true if this waiter took the wake-up (counts as exclusive); called under the queue's lock,
 * interrupts off.  `key` is a mask of EPOLL events, or 0 = any. */
typedef bool (*waiter_fn)(struct waiter *w, u32 key);

struct waiter {
	struct list node;
	waiter_fn wake; /* NULL: wake `thread` */
	struct thread *thread;
	bool exclusive; /* wake_one stops after it */
	bool woken;
};

struct wait_queue {
	struct spinlock lock; /* taken with interrupts off */
	struct list waiters;
};

#define WAIT_QUEUE_INIT(name)                                                                      \
	{                                                                                          \
		SPINLOCK_INIT(RANK_WAIT_QUEUE), LIST_INIT((name).waiters)                          \
	}
void wait_queue_init(struct wait_queue *q);
static inline bool wait_queue_is_active(const struct wait_queue *q)
{
	memory_fence(); /* pairs with the sleeper's thread_set_state */
	return !list_is_empty(&q->waiters);
}

void wait_queue_add(struct wait_queue *q, struct waiter *w);
void wait_queue_remove(struct wait_queue *q, struct waiter *w);

void wake_all_key(struct wait_queue *q, u32 key);
void wake_one_key(struct wait_queue *q, u32 key); /* all non-exclusive and one exclusive */
static inline void wake_all(struct wait_queue *q)
{
	wake_all_key(q, 0);
}
static inline void wake_one(struct wait_queue *q)
{
	wake_one_key(q, 0);
}
/* The waker blocks right after: hand the CPU over. */
void wake_one_sync(struct wait_queue *q, u32 key);
/* The same where a barrier since the change, and a look at the list, have shown that someone waits. */
void wake_one_sync_active(struct wait_queue *q, u32 key);

/* Sleeps once (exclusive), the mutex released meanwhile: 0, or -ERESTARTSYS on a signal. */
int wait_on(struct wait_queue *q, struct mutex *m) __must_check __must_hold(m);
/* Non-interruptible form, and one with a deadline: -ETIMEDOUT. */
void wait_on_uninterruptible(struct wait_queue *q, struct mutex *m) __must_hold(m);
int wait_on_until(struct wait_queue *q, struct mutex *m, u64 deadline_ns) __must_check
	__must_hold(m);

void wait_prepare(struct wait_queue *q, struct waiter *w, enum thread_state s);
void wait_finish(struct wait_queue *q, struct waiter *w);

#define WAITER_INIT                                                                                \
	{                                                                                          \
		.thread = current_thread                                                           \
	}

/* 0 when the condition holds; -ERESTARTSYS on a signal (by state); -ETIMEDOUT at the deadline. */
#define wait_event_state(q, condition, s, deadline_ns)                                             \
	({                                                                                         \
		int _wait_err = 0;                                                                 \
		if (!(condition)) {                                                                \
			struct waiter _w = WAITER_INIT;                                            \
			bool _late = false;                                                        \
			for (;;) {                                                                 \
				wait_prepare((q), &_w, (s));                                       \
				if (condition)                                                     \
					break;                                                     \
				if (((s) == THREAD_INTERRUPTIBLE && signal_is_pending()) ||        \
				    ((s) == THREAD_KILLABLE && fatal_signal_is_pending())) {       \
					_wait_err = -ERESTARTSYS;                                  \
					break;                                                     \
				}                                                                  \
				if (_late) {                                                       \
					_wait_err = -ETIMEDOUT;                                    \
					break;                                                     \
				}                                                                  \
				if ((deadline_ns) == TIME_NEVER)                                   \
					thread_block();                                            \
				else                                                               \
					_late = thread_block_until(deadline_ns);                   \
				if (condition) /* the usual case: no need to queue again */        \
					break;                                                     \
			}                                                                          \
			wait_finish((q), &_w);                                                     \
		}                                                                                  \
		_wait_err;                                                                         \
	})
#define wait_event(q, condition)                                                                   \
	((void)wait_event_state(q, condition, THREAD_UNINTERRUPTIBLE, TIME_NEVER))
#define wait_event_interruptible(q, condition)                                                     \
	wait_event_state(q, condition, THREAD_INTERRUPTIBLE, TIME_NEVER)
#define wait_event_killable(q, condition)                                                          \
	wait_event_state(q, condition, THREAD_KILLABLE, TIME_NEVER)
#define wait_event_interruptible_until(q, condition, deadline_ns)                                  \
	wait_event_state(q, condition, THREAD_INTERRUPTIBLE, deadline_ns)

/*
 * poll: a file's poll operation calls poll_wait for each queue that may change
 * its answer, then returns the EPOLL* mask that holds now.
 */
struct poll_table {
	/* NULL: the caller only wants the mask. */
	void (*add)(struct poll_table *t, struct wait_queue *q);
	u32 key; /* events of interest */
};
static inline void poll_wait(struct poll_table *t, struct wait_queue *q)
{
	if (t && t->add)
		t->add(t, q);
}

/* Counting completion: one thread waits for another's event. */
struct completion {
	struct wait_queue queue;
	u32 done;
};
void completion_init(struct completion *c);
void completion_signal(struct completion *c);
void completion_wait(struct completion *c);
int completion_wait_killable(struct completion *c) __must_check;
