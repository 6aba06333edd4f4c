/* Private to the futex files: keys, buckets, access to the word, and the queues of PI futexes. */
#pragma once

#include <nos/aspace.h>
#include <nos/errno.h>
#include <nos/ipc.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/thread.h>
#include <nos/uaccess.h>

/* What a futex is: a place in a shared object, or an address of one address space. */
struct futex_key {
	u64 object, offset;
};

static inline bool futex_key_equal(const struct futex_key *a, const struct futex_key *b)
{
	return a->object == b->object && a->offset == b->offset;
}

static inline int futex_key_get(u64 address, u32 flags, struct futex_key *k)
{
	struct aspace *a = current_thread->aspace;

	if (address % sizeof(u32))
		return -EINVAL;
	if (flags & FUTEX_OP_SHARED)
		return aspace_futex_key(a, address, true, &k->object, &k->offset);
	if (address > USER_ADDRESS_END - sizeof(u32))
		return -EFAULT;
	k->object = (u64)a;
	k->offset = address;
	return 0;
}

static inline u32 __user *futex_word(u64 address)
{
	return (u32 __user *)address;
}

/* A sleep whose deadline is on the clock that `flags` names; true: it was reached. */
static inline bool futex_block(u64 deadline_ns, u32 flags)
{
	if (likely(deadline_ns == TIME_NEVER)) {
		thread_block();
		return false;
	}
	return flags & FUTEX_OP_REALTIME ? thread_block_until_realtime(deadline_ns) :
					   thread_block_until(deadline_ns);
}

/* ---- plain queues (futex.c) ---- */

struct futex_bucket {
	struct spinlock lock;
	u32 nr_waiters;
	struct list waiters;
} __aligned(CACHE_LINE);

struct futex_waiter {
	struct list node;
	struct futex_key key;
	u32 bitset;
	u32 woken;
	struct thread *thread;
	struct futex_bucket *bucket;
	const struct futex_key *lock; /* FUTEX_WAIT_REQUEUE_PI: where it is to be moved; NULL */
};

#define FUTEX_RETRY 1 /* the page was touched: start over */

struct futex_bucket *futex_bucket_of(const struct futex_key *k);
/* The word, without sleeping; -EFAULT when it is not present right now. */
int futex_load_locked(u64 address, u32 *value);
/* With no lock held: FUTEX_RETRY when the page could be made present, -EFAULT when there is none. */
int futex_touch(u64 address);
/* In the queue if the word has the value: 0; -EAGAIN, -EFAULT. */
int futex_enqueue(struct futex_waiter *w, u64 address, u32 value);
/* Leaves the queue; true if someone took it out before. */
bool futex_dequeue(struct futex_waiter *w);

/* ---- queues of PI futexes (futex_pi.c) ---- */

struct futex_pi;

struct pi_bucket {
	struct mutex lock;
	struct list states; /* struct futex_pi.node, under lock */
};

struct pi_waiter {
	struct list node; /* in state->waiters */
	struct futex_pi *state; /* the queue it is in, NULL; under its bucket's lock */
	struct futex_owner *owner; /* who waits */
	int priority;
	u32 granted;
	bool owner_died;
};

struct pi_bucket *pi_bucket_of(const struct futex_key *k);
/*
 * For w, which may be another thread's; the bucket is locked, user memory may fault.  1: the lock at
 * `address` is w's (its owner is not told); 0: w is in its queue; -EAGAIN: try again at once; -EBUSY:
 * again, with the bucket unlocked for a moment; or the error of the call.
 */
int futex_pi_enter(u64 address, const struct futex_key *k, struct pi_waiter *w);
/* 0 once granted; -ETIMEDOUT, -ERESTARTNOINTR. */
int futex_pi_sleep(struct pi_waiter *w, u64 deadline_ns, u32 flags);
/* The bucket is locked: takes w out of its queue after `err`, unless the lock came meanwhile; the new
 * owner of a dead one's lock corrects the word. */
int futex_pi_leave(u64 address, const struct futex_key *k, struct pi_waiter *w, int err);
