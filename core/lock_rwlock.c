/*
 * Reader-writer locks that sleep: many readers or one writer, in FIFO order.
 *
 * The word counts readers and has two flags.  While WAITERS is set nobody
 * takes the lock by the fast path: whoever releases it last grants it to the
 * head of the line, one writer or all readers up to the next writer.  So a
 * writer waits for the readers that were there before it, and no others.
 *
 * Invariants.
 *   (1) WAITERS is set exactly while the bucket has a waiter for the lock; it
 *       changes only under the bucket's lock.
 *   (2) with WAITERS set, the count of readers only falls, or rises under the
 *       bucket's lock; WRITER is set only under it.
 */
#include "lock.h"

#include <nos/errno.h>
#include <nos/lock_stats.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>

#define WRITER 1ul
#define WAITERS 2ul
#define READER 4ul

struct waiting {
	struct waiting *next;
	struct rwlock *lock;
	struct thread *thread;
	bool is_writer, granted;
};

struct bucket {
	struct spinlock lock;
	struct waiting *first __guarded_by(&lock);
} __aligned(CACHE_LINE);

#define NR_BUCKETS 16
static struct bucket buckets[NR_BUCKETS] = {
	[0 ... NR_BUCKETS - 1] = { .lock = SPINLOCK_INIT(RANK_MUTEX_WAITERS) },
};

static struct bucket *bucket_of(const struct rwlock *l)
{
	return &buckets[hash_u64((u64)l >> 3) >> 60];
}

static struct waiting *first_waiting(struct bucket *b, const struct rwlock *l) __must_hold(&b->lock)
{
	struct waiting *w = b->first;

	while (w && w->lock != l)
		w = w->next;
	return w;
}

static void bucket_append(struct bucket *b, struct waiting *w) __must_hold(&b->lock)
{
	struct waiting **link = &b->first;

	while (*link)
		link = &(*link)->next;
	w->next = NULL;
	*link = w;
}

static void bucket_remove(struct bucket *b, struct waiting *w) __must_hold(&b->lock)
{
	struct waiting **link = &b->first;

	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	if (!first_waiting(b, w->lock))
		atomic_and(&w->lock->word, ~WAITERS);
}

/* Gives the lock to the head of the line as far as its state allows. */
static void grant(struct bucket *b, struct rwlock *l) __must_hold(&b->lock)
{
	for (;;) {
		struct waiting *w = first_waiting(b, l);
		u64 word = atomic_load(&l->word);

		if (!w || (word & WRITER))
			return;
		if (w->is_writer && word / READER)
			return;
		if (w->is_writer)
			atomic_or(&l->word, WRITER);
		else
			atomic_add(&l->word, READER);
		bucket_remove(b, w);
		w->granted = true;
		thread_wake(w->thread);
	}
}

static void grant_waiting(struct rwlock *l)
{
	struct bucket *b = bucket_of(l);
	u64 flags = spin_lock_irq(&b->lock);

	grant(b, l);
	spin_unlock_irq(&b->lock, flags);
}

static bool take_read(struct rwlock *l)
{
	u64 word = READ_ONCE(l->word);

	while (!(word & (WRITER | WAITERS)))
		if (atomic_cas_update(&l->word, &word, word + READER))
			return true;
	return false;
}

/* Takes the lock, or sets WAITERS: true if taken. */
static bool take_or_announce(struct rwlock *l, bool is_writer)
{
	u64 word = READ_ONCE(l->word);

	for (;;) {
		bool is_free = is_writer ? word == 0 : !(word & (WRITER | WAITERS));
		u64 new = !is_free ? word | WAITERS : is_writer ? WRITER : word + READER;

		if (atomic_cas_update(&l->word, &word, new))
			return is_free;
	}
}

static int sleep_for(struct rwlock *l, bool is_writer, enum thread_state state)
{
	struct bucket *b = bucket_of(l);
	struct waiting self = { .lock = l, .thread = current_thread, .is_writer = is_writer };
	u64 flags = spin_lock_irq(&b->lock);
	int err = 0;

	if (take_or_announce(l, is_writer)) {
		spin_unlock_irq(&b->lock, flags);
		return 0;
	}
	bucket_append(b, &self);
	while (!self.granted) {
		if (state == THREAD_KILLABLE && fatal_signal_is_pending()) {
			bucket_remove(b, &self);
			grant(b, l);
			err = -ERESTARTSYS;
			break;
		}
		thread_set_state(state);
		spin_unlock_irq(&b->lock, flags);
		if (state != THREAD_KILLABLE || !fatal_signal_is_pending())
			thread_block();
		flags = spin_lock_irq(&b->lock);
	}
	thread_set_state(THREAD_RUNNABLE);
	spin_unlock_irq(&b->lock, flags);
	return err;
}

/*
 * What lock_stats_add notes is the place that waits.  A release kernel has the fast paths in the callers, or
 * jumps here from them; a debug kernel returns to them, and has this in each.
 */
#ifdef DEBUG
#define WAIT_PLACE __always_inline
#else
#define WAIT_PLACE __noinline
#endif

static WAIT_PLACE int wait_for(struct rwlock *l, bool is_writer, enum thread_state state)
{
	u64 start_ns;
	int err;

	if (!static_key_is_on(&lock_stats_key))
		return sleep_for(l, is_writer, state);
	start_ns = clock_monotonic_ns();
	err = sleep_for(l, is_writer, state);
	lock_stats_add((u64)__builtin_return_address(0), start_ns, true);
	return err;
}

__no_lock_check void rwlock_read(struct rwlock *l)
{
	lock_check_order(l, rank_of(l), site_of(l), true);
	if (!take_read(l))
		(void)wait_for(l, false, THREAD_UNINTERRUPTIBLE);
	if (rank_of(l))
		lock_note_taken(l, rank_of(l), site_of(l));
}

__no_lock_check bool rwlock_try_read(struct rwlock *l)
{
	if (!take_read(l))
		return false;
	if (rank_of(l))
		lock_note_taken(l, rank_of(l), site_of(l));
	return true;
}

__no_lock_check void rwlock_read_unlock(struct rwlock *l)
{
	if (rank_of(l))
		lock_note_released(l);
	ASSERT(l->word / READER);
	if (atomic_sub(&l->word, READER) == WAITERS)
		grant_waiting(l);
}

__no_lock_check int rwlock_write_killable(struct rwlock *l)
{
	int err = 0;

	lock_check_order(l, rank_of(l), site_of(l), true);
	if (unlikely(!atomic_cas(&l->word, 0ul, WRITER)))
		err = wait_for(l, true, THREAD_KILLABLE);
	if (!err && rank_of(l))
		lock_note_taken(l, rank_of(l), site_of(l));
	return err;
}

__no_lock_check void rwlock_write(struct rwlock *l)
{
	lock_check_order(l, rank_of(l), site_of(l), true);
	if (unlikely(!atomic_cas(&l->word, 0ul, WRITER)))
		(void)wait_for(l, true, THREAD_UNINTERRUPTIBLE);
	if (rank_of(l))
		lock_note_taken(l, rank_of(l), site_of(l));
}

static __noinline void release_contended(struct rwlock *l)
{
	if (atomic_fetch_and(&l->word, ~WRITER) & WAITERS)
		grant_waiting(l);
}

__no_lock_check void rwlock_write_unlock(struct rwlock *l)
{
	if (rank_of(l))
		lock_note_released(l);
	ASSERT(l->word & WRITER);
	if (unlikely(!atomic_cas(&l->word, WRITER, 0ul)))
		release_contended(l);
}

__no_lock_check void rwlock_downgrade(struct rwlock *l)
{
	ASSERT(l->word & WRITER);
	if (atomic_add(&l->word, READER - WRITER) & WAITERS)
		grant_waiting(l);
}

bool rwlock_is_held(const struct rwlock *l)
{
	return (READ_ONCE(l->word) & ~WAITERS) != 0;
}
