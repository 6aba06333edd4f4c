/*
 * Mutexes: 8 bytes, taken and released by one compare-and-swap when free.
 *
 * Concepts.  The word is the owner's address with flags in its low bits.  Who
 * finds it taken first spins, if the owner is running on another CPU and no
 * one else spins (SPINNER); else it joins the sleepers (WAITERS).  Sleepers are
 * kept outside the mutex, in buckets chosen by its address: a list of records
 * on the sleepers' own stacks.
 *
 * Invariants.
 *   (1) WAITERS is set exactly while the bucket has a sleeper for the mutex; it
 *       changes only under the bucket's lock.
 *   (2) unlock with WAITERS set either names the first sleeper as the owner, or
 *       leaves the mutex free and wakes that sleeper: no wake-up is lost, for
 *       a sleeper that gives up (a signal) while it is free wakes the next.
 *   (3) the owner of a mutex is a live thread, whose memory stays at least a
 *       grace period longer: spinners read owner->on_cpu with preemption off.
 *
 * Fairness.  A free mutex may be taken by a newcomer before the woken sleeper
 * gets to it: that keeps a hot mutex busy.  A sleeper that has waited for more
 * than HANDOFF_NS gets it by name instead (hand-off), in FIFO order.
 *
 * Spinning ends when the owner leaves its CPU, when this thread should be
 * preempted, or after about SPIN_NS: on a virtual machine `on_cpu` says nothing of
 * whether the virtual CPU runs.  Boot switch: opt.mutex_spin.
 *
 * Model: tests/models/mutex.pml.
 */
#include "lock.h"

#include <nos/errno.h>
#include <nos/lock_stats.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>

#define WAITERS 1ul
#define SPINNER 2ul
#define FLAGS 7ul

#define HANDOFF_NS (1 * NSEC_PER_MSEC)
#define SPIN_NS (20 * NSEC_PER_USEC)

struct sleeper {
	struct sleeper *next;
	struct mutex *mutex;
	struct thread *thread;
	u64 since_ns;
	bool granted; /* is the owner, and no longer in the bucket */
};

#define SPIN_LOOKS 16u /* between looks at the clock */

struct bucket {
	struct spinlock lock;
	struct sleeper *first __guarded_by(&lock);
} __aligned(CACHE_LINE);

#define NR_BUCKETS 64
static struct bucket buckets[NR_BUCKETS] = {
	[0 ... NR_BUCKETS - 1] = { .lock = SPINLOCK_INIT(RANK_MUTEX_WAITERS) },
};

static struct bucket *bucket_of(const struct mutex *m)
{
	return &buckets[hash_u64((u64)m >> 3) >> 58];
}

static struct thread *owner_of(u64 word)
{
	return (struct thread *)(word & ~FLAGS);
}

static struct sleeper *first_sleeper(struct bucket *b, const struct mutex *m) __must_hold(&b->lock)
{
	struct sleeper *s = b->first;

	while (s && s->mutex != m)
		s = s->next;
	return s;
}

static void bucket_append(struct bucket *b, struct sleeper *s) __must_hold(&b->lock)
{
	struct sleeper **link = &b->first;

	while (*link)
		link = &(*link)->next;
	s->next = NULL;
	*link = s;
}

/* Takes s out and sets or clears WAITERS to match; `owner` becomes the owner if not NULL. */
static void bucket_remove(struct bucket *b, struct sleeper *s, struct thread *owner)
	__must_hold(&b->lock)
{
	struct mutex *m = s->mutex;
	struct sleeper **link = &b->first;

	while (*link != s) {
		ASSERT(*link);
		link = &(*link)->next;
	}
	*link = s->next;

	bool more = first_sleeper(b, m) != NULL;
	u64 word = READ_ONCE(m->word), new;

	do {
		new = (word & ~WAITERS) | (more ? WAITERS : 0);
		if (owner)
			new = (u64)owner | (new &FLAGS);
	} while (!atomic_cas_update(&m->word, &word, new));
}

/* Takes the mutex if it has no owner, leaving the flags but those in `clear`. */
static bool take_if_free(struct mutex *m, u64 clear)
{
	u64 word = READ_ONCE(m->word);

	while (!owner_of(word))
		if (atomic_cas_update(&m->word, &word,
				      (u64)current_thread | (word & FLAGS & ~clear)))
			return true;
	return false;
}

/* The clock is looked at now and then: most holders are gone before that. */
static bool spin_while_running(struct mutex *m, u64 limit_ns)
{
	u64 end = 0;

	for (u32 looks = 1;; looks++) {
		struct thread *owner = owner_of(READ_ONCE(m->word));

		if (!owner) {
			if (take_if_free(m, SPINNER))
				return true;
			continue;
		}
		if (!READ_ONCE(owner->on_cpu) ||
		    (READ_ONCE(current_thread->work) & WORK_RESCHEDULE))
			return false;
		if (looks % SPIN_LOOKS == 0) {
			u64 now = clock_monotonic_ns();

			end = end ?: now + limit_ns;
			if (now >= end)
				return false;
		}
		cpu_relax();
	}
}

/* One thread at a time waits awake for a running owner. */
static bool spin_for_owner(struct mutex *m)
{
	static s8 is_enabled = -1;
	bool taken;

	if (take_if_free(m, 0))
		return true;
	if (unlikely(is_enabled < 0))
		is_enabled = boot_opt_enabled("mutex_spin");
	if (nr_cpus == 1 || !is_enabled || (atomic_fetch_or(&m->word, SPINNER) & SPINNER))
		return false;
	preempt_disable();
	taken = spin_while_running(m, SPIN_NS);
	if (!taken)
		atomic_and(&m->word, ~SPINNER);
	preempt_enable();
	return taken;
}

static bool is_interrupted(enum thread_state state)
{
	return (state == THREAD_INTERRUPTIBLE && signal_is_pending()) ||
	       (state == THREAD_KILLABLE && fatal_signal_is_pending());
}

/* Sets WAITERS, or takes the mutex if it got free meanwhile (true). */
static bool announce(struct mutex *m)
{
	u64 word = READ_ONCE(m->word);

	for (;;) {
		if (!owner_of(word)) {
			if (atomic_cas_update(&m->word, &word,
					      (u64)current_thread | (word & FLAGS)))
				return true;
		} else if (atomic_cas_update(&m->word, &word, word | WAITERS)) {
			return false;
		}
	}
}

/* The sleeper gives up; what was to be its wake-up goes to the next one. */
static void abandon(struct bucket *b, struct sleeper *s) __must_hold(&b->lock)
{
	struct mutex *m = s->mutex;

	bucket_remove(b, s, NULL);
	if (!owner_of(READ_ONCE(m->word))) {
		struct sleeper *next = first_sleeper(b, m);

		if (next)
			thread_wake(next->thread);
	}
}

static int sleep_for(struct mutex *m, enum thread_state state)
{
	struct bucket *b = bucket_of(m);
	struct sleeper self = {
		.mutex = m,
		.thread = current_thread,
		.since_ns = clock_monotonic_ns(),
	};
	u64 flags = spin_lock_irq(&b->lock);
	int err = 0;

	if (announce(m)) {
		spin_unlock_irq(&b->lock, flags);
		return 0;
	}
	bucket_append(b, &self);
	current_thread->blocked_on = m;
	for (;;) {
		thread_set_state(state);
		spin_unlock_irq(&b->lock, flags);
		if (!is_interrupted(state))
			thread_block();
		flags = spin_lock_irq(&b->lock);
		if (self.granted)
			break;
		if (!owner_of(READ_ONCE(m->word)) && first_sleeper(b, m) == &self &&
		    take_if_free(m, 0)) {
			bucket_remove(b, &self, NULL);
			break;
		}
		if (is_interrupted(state)) {
			abandon(b, &self);
			err = -ERESTARTSYS;
			break;
		}
	}
	thread_set_state(THREAD_RUNNABLE);
	current_thread->blocked_on = NULL;
	spin_unlock_irq(&b->lock, flags);
	return err;
}

/* As below, and noted for the place that waits. */
static __noinline int lock_slow_noted(struct mutex *m, enum thread_state state, u64 at)
{
	u64 start_ns = clock_monotonic_ns();
	bool slept = !spin_for_owner(m);
	int err = slept ? sleep_for(m, state) : 0;

	lock_stats_add(at, start_ns, slept);
	return err;
}

static __always_inline int lock_slow(struct mutex *m, enum thread_state state)
{
	if (static_key_is_on(&lock_stats_key))
		return lock_slow_noted(m, state, (u64)__builtin_return_address(0));
	return spin_for_owner(m) ? 0 : sleep_for(m, state);
}

static void unlock_slow(struct mutex *m)
{
	struct bucket *b = bucket_of(m);
	u64 word = READ_ONCE(m->word);

	VERIFY(owner_of(word) == current_thread);
	while (!(word & WAITERS))
		if (atomic_cas_update(&m->word, &word, word & FLAGS))
			return;

	u64 flags = spin_lock_irq(&b->lock);
	struct sleeper *s = first_sleeper(b, m);

	if (!s) { /* the only sleeper gave up before the bucket was locked */
		atomic_and(&m->word, FLAGS);
	} else if (clock_monotonic_ns() - s->since_ns > HANDOFF_NS) {
		bucket_remove(b, s, s->thread);
		s->granted = true;
		thread_wake(s->thread);
	} else {
		atomic_and(&m->word, FLAGS);
		thread_wake(s->thread);
	}
	spin_unlock_irq(&b->lock, flags);
}

bool mutex_is_held(const struct mutex *m)
{
	return owner_of(READ_ONCE(m->word)) == current_thread;
}

#ifdef DEBUG

static int checked_lock(struct mutex *m, enum thread_state state)
{
	int err = 0;

	lock_check_order(m, rank_of(m), site_of(m), true);
	if (unlikely(mutex_is_held(m)))
		panic("mutex %p (rank %u) taken twice by one thread", (void *)m, m->rank);
	if (!atomic_cas(&m->word, 0ul, (u64)current_thread))
		err = lock_slow(m, state);
	if (!err && m->rank)
		lock_note_taken(m, rank_of(m), site_of(m));
	return err;
}

__no_lock_check void mutex_lock(struct mutex *m)
{
	(void)checked_lock(m, THREAD_UNINTERRUPTIBLE);
}

__no_lock_check int mutex_lock_interruptible(struct mutex *m)
{
	return checked_lock(m, THREAD_INTERRUPTIBLE);
}

__no_lock_check int mutex_lock_killable(struct mutex *m)
{
	return checked_lock(m, THREAD_KILLABLE);
}

__no_lock_check bool mutex_try_lock(struct mutex *m)
{
	if (!take_if_free(m, 0))
		return false;
	if (m->rank)
		lock_note_taken(m, rank_of(m), site_of(m));
	return true;
}

__no_lock_check void mutex_unlock(struct mutex *m)
{
	if (unlikely(!mutex_is_held(m)))
		panic("mutex %p (rank %u) released by a thread that does not hold it", (void *)m,
		      m->rank);
	if (m->rank)
		lock_note_released(m);
	if (!atomic_cas(&m->word, (u64)current_thread, 0ul))
		unlock_slow(m);
}

#else

void mutex_lock_slow(struct mutex *m)
{
	(void)lock_slow(m, THREAD_UNINTERRUPTIBLE);
}

int mutex_lock_interruptible_slow(struct mutex *m)
{
	return lock_slow(m, THREAD_INTERRUPTIBLE);
}

int mutex_lock_killable_slow(struct mutex *m)
{
	return lock_slow(m, THREAD_KILLABLE);
}

bool mutex_try_lock_slow(struct mutex *m)
{
	return take_if_free(m, 0);
}

/* Not in line, for the sake of mutex_unlock, which is. */
__noinline void mutex_unlock_slow(struct mutex *m)
{
	unlock_slow(m);
}

#endif
