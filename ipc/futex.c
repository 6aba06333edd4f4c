/*
 * Futexes: sleep until another thread says that a word in memory changed.
 *
 * Concepts.  A *key* names the word: private futexes by address space and
 * address, shared ones by the object that is mapped and the offset in it.  A
 * *bucket* of a hash table holds the waiters of all keys that fall into it, in
 * the order of their arrival.
 *
 * Invariants.
 *   (1) a waiter is in the list of `w->bucket`, or `woken` is set; both change
 *       only under that bucket's lock;
 *   (2) after `woken` is set the waker does not touch the waiter: its stack
 *       frame may be gone;
 *   (3) `bucket->nr_waiters` is raised before the waiter reads the word, and
 *       falls when it leaves.
 *
 * No wake-up is lost.  The waiter raises nr_waiters (a locked instruction, so
 * a full fence) and then loads the word; the waker has stored the word, passes
 * a full fence, and loads nr_waiters.  One of the two sees the other.  So a
 * wake-up of nobody needs no lock:
 *
 *	waiter                          waker
 *	nr_waiters += 1  (fence)        store word (user mode)
 *	load word; equal: sleep         fence
 *	                                load nr_waiters; 0: return
 *
 * Locking.  Bucket locks (FUTEX_BUCKET), two by address.  The word is read
 * with user faults disabled while a bucket is locked; if it is not present the
 * lock is dropped, the page is touched, and all starts over.
 *
 * References: futex(2); Franke, Russell, Kirkwood, "Fuss, Futexes and Furwocks"
 * (OLS 2002).  Priority inheritance: futex_pi.c, with condition variables:
 * futex_requeue.c; death of owners: futex_robust.c.
 */
#include "futex_internal.h"

#include <nos/init.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/slab.h>
#include <nos/string.h>

#include <linux/futex.h>

#define NR_BUCKETS 512u /* a power of two */

static struct futex_bucket buckets[NR_BUCKETS];

static int __init futex_init(void)
{
	for (unsigned i = 0; i < NR_BUCKETS; i++) {
		spin_init(&buckets[i].lock, RANK_FUTEX_BUCKET);
		list_init(&buckets[i].waiters);
	}
	return 0;
}
INIT_STEP(INIT_CORE, futex_init);

static inline struct futex_bucket *bucket_at(u64 object, u64 offset)
{
	return &buckets[hash_u64(object + (offset >> 2)) >> (64 - 9)];
}

struct futex_bucket *futex_bucket_of(const struct futex_key *k)
{
	return bucket_at(k->object, k->offset);
}
static_assert(NR_BUCKETS == 1u << 9);

static void lock_two(struct futex_bucket *a, struct futex_bucket *b) __acquires(&a->lock)
	__acquires(&b->lock) __no_lock_check
{
	if (a > b)
		swap(a, b);
	spin_lock(&a->lock);
	if (a != b)
		spin_lock(&b->lock);
}

static void unlock_two(struct futex_bucket *a, struct futex_bucket *b) __releases(&a->lock)
	__releases(&b->lock) __no_lock_check
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

int futex_load_locked(u64 address, u32 *value)
{
	int err;

	user_fault_disable();
	err = user_load_u32(value, futex_word(address));
	user_fault_enable();
	return err;
}

int futex_touch(u64 address)
{
	u32 value;

	return user_load_u32(&value, futex_word(address)) ? -EFAULT : FUTEX_RETRY;
}

/* The same for a page that is to be written. */
static int touch_for_write(u64 address)
{
	u32 value, old;

	if (user_load_u32(&value, futex_word(address)) ||
	    user_cas_u32(futex_word(address), value, value, &old))
		return -EFAULT;
	return FUTEX_RETRY;
}

/* ---- waiting ---- */

int futex_enqueue(struct futex_waiter *w, u64 address, u32 value)
{
	struct futex_bucket *b = futex_bucket_of(&w->key);
	u32 now;
	int err;

	atomic_add(&b->nr_waiters, 1u);
	spin_lock(&b->lock);
	err = futex_load_locked(address, &now);
	if (!err && now != value)
		err = -EAGAIN;
	if (!err) {
		w->bucket = b;
		w->woken = 0;
		list_push_back(&b->waiters, &w->node);
	}
	spin_unlock(&b->lock);
	if (err)
		atomic_sub(&b->nr_waiters, 1u);
	return err;
}

bool futex_dequeue(struct futex_waiter *w)
{
	for (;;) {
		struct futex_bucket *b = READ_ONCE(w->bucket);

		if (atomic_load(&w->woken))
			return true;
		spin_lock(&b->lock);
		if (b != w->bucket) { /* requeued meanwhile */
			spin_unlock(&b->lock);
			continue;
		}
		bool woken = w->woken;

		if (!woken) {
			list_remove(&w->node);
			atomic_sub(&b->nr_waiters, 1u);
		}
		spin_unlock(&b->lock);
		return woken;
	}
}

/* Sleeps until woken (0), deadline or signal. */
static inline int sleep_woken(const u32 *woken, u64 deadline_ns, u32 flags)
{
	bool late = false;
	int err = 0;

	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (atomic_load(woken))
			break;
		if (late) {
			err = -ETIMEDOUT;
			break;
		}
		if (signal_is_pending()) {
			err = -ERESTARTSYS;
			break;
		}
		late = futex_block(deadline_ns, flags);
	}
	thread_set_state(THREAD_RUNNABLE);
	return err;
}

long futex_wait(u64 address, u32 value, u32 bitset, u64 deadline_ns, u32 flags)
{
	struct futex_waiter w = { .bitset = bitset, .thread = current_thread };
	int err;

	if (!bitset)
		return -EINVAL;
	do {
		err = futex_key_get(address, flags, &w.key);
		if (err)
			return err;
		err = futex_enqueue(&w, address, value);
		if (err == -EFAULT)
			err = futex_touch(address);
	} while (err == FUTEX_RETRY);
	if (err)
		return err;
	err = sleep_woken(&w.woken, deadline_ns, flags);
	return err && futex_dequeue(&w) ? 0 : err;
}

/* ---- waking ---- */

/* Bucket locked.  `alone`: nobody else is woken, so the waker may be about to wait for this one. */
static void wake_waiter(struct futex_bucket *b, struct futex_waiter *w, bool alone)
{
	struct thread *t = w->thread;

	list_remove(&w->node);
	atomic_sub(&b->nr_waiters, 1u);
	atomic_store(&w->woken, 1u);
	if (alone)
		thread_wake_sync(t);
	else
		thread_wake(t);
}

/* How many; -EINVAL at one that waits for a PI futex (futex(2), EINVAL). */
static int wake_locked(struct futex_bucket *b, const struct futex_key *k, u32 nr, u32 bitset)
{
	struct futex_waiter *w, *next;
	u32 woken = 0;

	list_for_each_safe(w, next, &b->waiters, node) {
		if (woken == nr)
			break;
		if (!futex_key_equal(&w->key, k))
			continue;
		if (unlikely(w->lock != NULL))
			return -EINVAL;
		if (!(w->bitset & bitset))
			continue;
		wake_waiter(b, w, nr == 1);
		woken++;
	}
	return (int)woken;
}

static __noinline long wake_key(u64 address, u32 nr, u32 bitset, u32 flags)
{
	struct futex_bucket *b;
	struct futex_key k;
	long woken;
	int err;

	if (!bitset)
		return -EINVAL;
	err = futex_key_get(address, flags, &k);
	if (err)
		return err;
	b = futex_bucket_of(&k);
	memory_fence(); /* see "No wake-up is lost" */
	if (atomic_load_relaxed(&b->nr_waiters) == 0)
		return 0;
	spin_lock(&b->lock);
	woken = wake_locked(b, &k, nr, bitset);
	spin_unlock(&b->lock);
	return woken;
}

/* A private futex that nobody waits for: without a key in memory, and without a lock. */
long futex_wake(u64 address, u32 nr, u32 bitset, u32 flags)
{
	if (likely(!(flags & FUTEX_OP_SHARED) && address % sizeof(u32) == 0 &&
		   address <= USER_ADDRESS_END - sizeof(u32) && bitset)) {
		struct futex_bucket *b = bucket_at((u64)current_thread->aspace, address);

		memory_fence();
		if (atomic_load_relaxed(&b->nr_waiters) == 0)
			return 0;
	}
	return wake_key(address, nr, bitset, flags);
}

int futex_wake_address(u64 address, u32 nr)
{
	long woken = futex_wake(address, nr, FUTEX_BITSET_MATCH_ANY, FUTEX_OP_SHARED);

	return woken < 0 ? (int)woken : 0;
}

/* ---- two futexes ---- */

static int requeue_locked(struct futex_bucket *from, struct futex_bucket *to,
			  const struct futex_key *from_key, const struct futex_key *to_key, u32 nr)
{
	struct futex_waiter *w, *next;
	u32 moved = 0;

	list_for_each_safe(w, next, &from->waiters, node) {
		if (moved == nr)
			break;
		if (!futex_key_equal(&w->key, from_key))
			continue;
		if (w->lock)
			return -EINVAL;
		w->key = *to_key;
		if (from != to) {
			list_remove(&w->node);
			atomic_sub(&from->nr_waiters, 1u);
			atomic_add(&to->nr_waiters, 1u);
			list_push_back(&to->waiters, &w->node);
			WRITE_ONCE(w->bucket, to);
		}
		moved++;
	}
	return (int)moved;
}

long futex_requeue(u64 from, u64 to, s32 nr_wake, s32 nr_requeue, const u32 *expected, u32 flags)
{
	struct futex_key k1, k2;
	long result;
	int err;

	if (nr_wake < 0 || nr_requeue < 0)
		return -EINVAL;
	for (;;) {
		struct futex_bucket *b1, *b2;
		int moved;
		u32 now;

		err = futex_key_get(from, flags, &k1);
		if (!err)
			err = futex_key_get(to, flags, &k2);
		if (err)
			return err;
		b1 = futex_bucket_of(&k1);
		b2 = futex_bucket_of(&k2);
		/* Who comes meanwhile must see waiters where they are being moved to. */
		atomic_add(&b2->nr_waiters, 1u);
		lock_two(b1, b2);
		err = expected ? futex_load_locked(from, &now) : 0;
		if (!err && expected && now != *expected)
			err = -EAGAIN;
		if (!err) {
			result = wake_locked(b1, &k1, (u32)nr_wake, FUTEX_BITSET_MATCH_ANY);
			moved = result < 0 ? 0 : requeue_locked(b1, b2, &k1, &k2, (u32)nr_requeue);
			result = moved < 0 ? moved : result + moved;
		}
		unlock_two(b1, b2);
		atomic_sub(&b2->nr_waiters, 1u);
		if (!err)
			return result;
		if (err == -EFAULT)
			err = futex_touch(from);
		if (err != FUTEX_RETRY)
			return err;
	}
}

static bool compare(u32 operation, u32 old)
{
	s32 with = (s32)(operation << 20) >> 20, value = (s32)old;

	switch ((operation >> 24) & 0xf) {
	case FUTEX_OP_CMP_EQ:
		return value == with;
	case FUTEX_OP_CMP_NE:
		return value != with;
	case FUTEX_OP_CMP_LT:
		return value < with;
	case FUTEX_OP_CMP_GE:
		return value >= with;
	case FUTEX_OP_CMP_LE:
		return value <= with;
	default:
		return value > with;
	}
}

static u32 operate(u32 operation, u32 old)
{
	u32 argument = (u32)((s32)(operation << 8) >> 20);

	if ((operation >> 28) & FUTEX_OP_OPARG_SHIFT)
		argument = 1u << (argument & 31);
	switch ((operation >> 28) & 7) {
	case FUTEX_OP_SET:
		return argument;
	case FUTEX_OP_ADD:
		return old + argument;
	case FUTEX_OP_OR:
		return old | argument;
	case FUTEX_OP_ANDN:
		return old & ~argument;
	default:
		return old ^ argument;
	}
}

static bool operation_is_known(u32 operation)
{
	return ((operation >> 28) & 7) <= FUTEX_OP_XOR &&
	       ((operation >> 24) & 0xf) <= FUTEX_OP_CMP_GT;
}

/* Replaces the word by the operation's result, atomically; *old is what was there. */
static int change_word_locked(u64 address, u32 operation, u32 *old)
{
	u32 seen;
	int err;

	user_fault_disable();
	err = user_load_u32(old, futex_word(address));
	while (!err) {
		err = user_cas_u32(futex_word(address), *old, operate(operation, *old), &seen);
		if (err || seen == *old)
			break;
		*old = seen;
	}
	user_fault_enable();
	return err;
}

long futex_wake_op(u64 address, u64 address2, u32 nr, u32 nr2, u32 operation, u32 flags)
{
	struct futex_key k1, k2;
	int err;

	for (;;) {
		struct futex_bucket *b1, *b2;
		long woken = 0;
		u32 old;

		err = futex_key_get(address, flags, &k1);
		if (!err)
			err = futex_key_get(address2, flags, &k2);
		if (!err && !operation_is_known(operation))
			err = -ENOSYS;
		if (err)
			return err;
		b1 = futex_bucket_of(&k1);
		b2 = futex_bucket_of(&k2);
		lock_two(b1, b2);
		err = change_word_locked(address2, operation, &old);
		if (!err) {
			woken = wake_locked(b1, &k1, nr, FUTEX_BITSET_MATCH_ANY);
			if (woken >= 0 && compare(operation, old)) {
				int more = wake_locked(b2, &k2, nr2, FUTEX_BITSET_MATCH_ANY);

				woken = more < 0 ? more : woken + more;
			}
		}
		unlock_two(b1, b2);
		if (!err)
			return woken;
		err = touch_for_write(address2);
		if (err != FUTEX_RETRY)
			return err;
	}
}

/* ---- many futexes ---- */

/* Leaves the first nr queues; the index of one that was woken, or −1. */
static int dequeue_many(struct futex_waiter *w, u32 nr)
{
	int woken = -1;

	for (u32 i = 0; i < nr; i++) {
		if (futex_dequeue(&w[i]) && woken < 0)
			woken = (int)i;
	}
	return woken;
}

/* In all queues: 0; otherwise in none, with FUTEX_RETRY, an error, or in *woken who was woken already. */
static int enqueue_many(struct futex_waiter *w, const struct futex_wait_entry *e, u32 nr,
			int *woken)
{
	for (u32 i = 0; i < nr; i++) {
		int err = futex_key_get(e[i].address, e[i].flags, &w[i].key);

		w[i].bitset = FUTEX_BITSET_MATCH_ANY;
		w[i].thread = current_thread;
		if (!err)
			err = futex_enqueue(&w[i], e[i].address, e[i].value);
		if (!err)
			continue;
		*woken = dequeue_many(w, i);
		if (*woken >= 0)
			return -EAGAIN;
		return err == -EFAULT ? futex_touch(e[i].address) : err;
	}
	return 0;
}

static bool any_woken(const struct futex_waiter *w, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		if (atomic_load(&w[i].woken))
			return true;
	}
	return false;
}

static int sleep_any(const struct futex_waiter *w, u32 nr, u64 deadline_ns, u32 flags)
{
	bool late = false;
	int err = 0;

	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (any_woken(w, nr))
			break;
		if (late || signal_is_pending()) {
			err = late ? -ETIMEDOUT : -ERESTARTSYS;
			break;
		}
		late = futex_block(deadline_ns, flags);
	}
	thread_set_state(THREAD_RUNNABLE);
	return err;
}

long futex_wait_many(const struct futex_wait_entry *entries, u32 nr, u64 deadline_ns, u32 flags)
{
	scoped_kfree struct futex_waiter *w = kcalloc(nr, sizeof(*w), 0);
	int err, woken = -1;

	if (!w)
		return -ENOMEM;
	do
		err = enqueue_many(w, entries, nr, &woken);
	while (err == FUTEX_RETRY);
	if (err)
		return woken >= 0 ? woken : err;
	err = sleep_any(w, nr, deadline_ns, flags);
	woken = dequeue_many(w, nr);
	return woken >= 0 ? woken : err;
}
