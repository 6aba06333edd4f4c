/*
 * Condition variables with priority inheritance: FUTEX_WAIT_REQUEUE_PI and
 * FUTEX_CMP_REQUEUE_PI.
 *
 * Concepts.  A thread waits at a plain futex and says to which PI futex it is to
 * be moved.  Who signals takes waiters out of the plain queue, and makes each
 * the lock's owner, if that is free, or a waiter in its queue.  So of many that
 * are told at once nobody runs before it has the lock.
 *
 * Invariants.
 *   (1) a waiter with `woken` set and no place in the lock's queue is in the
 *       hands of a signaller, who holds the mutex of the lock's bucket;
 *   (2) a waiter leaves only from the plain queue (the bucket's spin lock) or
 *       with that mutex held, or because it was granted the lock.
 *
 * Locking.  The PI bucket's mutex, then the plain bucket's spin lock.
 *
 * futex(2), FUTEX_WAIT_REQUEUE_PI.
 */
#include "futex_internal.h"

#include <linux/futex.h>

struct requeue_waiter {
	struct futex_waiter plain;
	struct pi_waiter pi;
	struct futex_key lock;
};

static struct requeue_waiter *requeue_waiter_of(struct futex_waiter *w)
{
	return container_of(w, struct requeue_waiter, plain);
}

/* The sleep ended with err (0: granted).  What the call returns. */
static long settle(struct requeue_waiter *r, u64 lock, int err)
{
	struct pi_bucket *b = pi_bucket_of(&r->lock);

	while (err && futex_dequeue(&r->plain)) {
		scoped_mutex(&b->lock);
		if (r->pi.granted || r->pi.state)
			/* The word has changed since: starting over would tell the same. */
			return futex_pi_leave(lock, &r->lock, &r->pi,
					      err == -ETIMEDOUT ? err : -EWOULDBLOCK);
		/* The signaller failed and put it back. */
	}
	if (!err && r->pi.owner_died) {
		scoped_mutex(&b->lock);
		return futex_pi_leave(lock, &r->lock, &r->pi, 0);
	}
	return err;
}

long futex_wait_requeue_pi(u64 address, u32 value, u32 bitset, u64 deadline_ns, u64 lock, u32 flags)
{
	struct requeue_waiter r = { .plain = { .bitset = bitset, .thread = current_thread },
				    .pi = { .owner = futex_owner_current() } };
	int err;

	if (!bitset)
		return -EINVAL;
	r.plain.lock = &r.lock;
	do {
		err = futex_key_get(lock, flags, &r.lock);
		if (!err)
			err = futex_key_get(address, flags, &r.plain.key);
		if (!err && futex_key_equal(&r.lock, &r.plain.key))
			err = -EINVAL;
		if (err)
			return err;
		err = futex_enqueue(&r.plain, address, value);
		if (err == -EFAULT)
			err = futex_touch(address);
	} while (err == FUTEX_RETRY);
	if (err)
		return err;
	return settle(&r, lock, futex_pi_sleep(&r.pi, deadline_ns, flags));
}

/* ---- signalling ---- */

/* Up to nr waiters leave the plain queue for `taken`; none unless all are for this lock. */
static int take_locked(struct futex_bucket *b, const struct futex_key *from,
		       const struct futex_key *lock, u64 nr, struct list *taken)
{
	struct futex_waiter *w, *next;
	u64 found = 0;

	list_for_each(w, &b->waiters, node) {
		if (!futex_key_equal(&w->key, from))
			continue;
		if (found++ == nr)
			break;
		if (!w->lock || !futex_key_equal(w->lock, lock))
			return -EINVAL;
	}
	list_for_each_safe(w, next, &b->waiters, node) {
		if (!nr)
			break;
		if (!futex_key_equal(&w->key, from))
			continue;
		list_remove(&w->node);
		list_push_back(taken, &w->node);
		atomic_store(&w->woken, 1u);
		nr--;
	}
	return 0;
}

static void put_back(struct futex_bucket *b, struct list *taken)
{
	scoped_spin(&b->lock);
	while (!list_is_empty(taken)) {
		struct futex_waiter *w = list_entry(taken->prev, struct futex_waiter, node);

		list_remove(&w->node);
		list_push_front(&b->waiters, &w->node);
		atomic_store(&w->woken, 0u);
	}
}

/* The lock is theirs, or they are in its queue: how many; what is left on `taken` had no luck. */
static int hand_on(struct list *taken, u64 to, const struct futex_key *lock, struct futex_bucket *b)
{
	struct futex_waiter *w;
	int done = 0;

	while ((w = list_first(taken, struct futex_waiter, node))) {
		struct requeue_waiter *r = requeue_waiter_of(w);
		struct thread *t = w->thread;
		int err;

		/* Before it can be granted, after which it may be gone. */
		list_remove(&w->node);
		do
			err = futex_pi_enter(to, lock, &r->pi);
		while (err == -EAGAIN);
		if (err < 0) {
			list_push_front(taken, &w->node);
			return err;
		}
		atomic_sub(&b->nr_waiters, 1u);
		done++;
		if (err == 1) {
			scoped_rcu();
			atomic_store(&r->pi.granted, 1u);
			thread_wake(t);
		}
	}
	return done;
}

/* One try: the number, or an error; -EBUSY: once more; -EFAULT in *word_absent: the first word. */
static int requeue_once(u64 from, u64 to, u64 nr, u32 expected, const struct futex_key *k1,
			const struct futex_key *k2, bool *word_absent)
{
	struct futex_bucket *b = futex_bucket_of(k1);
	struct list taken = LIST_INIT(taken);
	u32 now;
	int err;

	scoped_mutex(&pi_bucket_of(k2)->lock);
	spin_lock(&b->lock);
	err = futex_load_locked(from, &now);
	*word_absent = err != 0;
	if (!err && now != expected)
		err = -EAGAIN;
	if (!err)
		err = take_locked(b, k1, k2, nr, &taken);
	spin_unlock(&b->lock);
	if (err)
		return err;
	err = hand_on(&taken, to, k2, b);
	if (!list_is_empty(&taken))
		put_back(b, &taken);
	return err;
}

long futex_requeue_pi(u64 from, u64 to, s32 nr_wake, s32 nr_requeue, u32 expected, u32 flags)
{
	struct futex_key k1, k2;
	bool word_absent;
	int err;

	if (nr_wake != 1 || nr_requeue < 0)
		return -EINVAL;
	for (;;) {
		err = futex_key_get(from, flags, &k1);
		if (!err)
			err = futex_key_get(to, flags, &k2);
		if (!err && futex_key_equal(&k1, &k2))
			err = -EINVAL;
		if (err)
			return err;
		err = requeue_once(from, to, (u64)nr_requeue + 1, expected, &k1, &k2, &word_absent);
		if (word_absent && futex_touch(from) == FUTEX_RETRY)
			continue;
		if (err != -EBUSY)
			return err;
		if (signal_is_pending())
			return -ERESTARTNOINTR;
		thread_yield();
	}
}
