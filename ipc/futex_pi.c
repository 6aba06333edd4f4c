/*
 * Futexes with priority inheritance: FUTEX_LOCK_PI and FUTEX_UNLOCK_PI.
 *
 * Concepts.  The word of such a lock holds its owner's tid, and FUTEX_WAITERS
 * when someone sleeps for it.  While there are waiters the kernel has a *state*
 * for it: the owner, and the waiters in the order of their priority.  The
 * owner runs with the parameters of its best waiter if those are better than
 * its own, and so do the owners that it waits for in turn.
 *
 * Invariants.
 *   (1) a state exists exactly while it has waiters, and is in the list of the
 *       locks that its owner holds;
 *   (2) unlocking gives the lock to the best waiter at once: nobody slips in;
 *   (3) the words of locks whose owner died are corrected by the new owner,
 *       whose memory they are surely in.
 *
 * Locking.  One mutex for all of it (FUTEX_PI): uncontended locks never come
 * here, and chains of owners cross any finer division.  User memory may fault
 * while it is held.
 *
 * Inside for now: the owner's parameters are replaced as sched_setscheduler
 * would (thread_set_sched) and put back, with the own ones kept beside.
 *
 * futex(2), "Priority-inheritance futexes".
 */
#include "futex_internal.h"

#include <nos/assert.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/slab.h>

#include <linux/futex.h>
#include <linux/sched.h>

#define CHAIN_MAX 64 /* owners followed: longer is taken for a deadlock */
#define HELD_BY_OTHER 1 /* a try fails, which is no reason to look again */

struct futex_pi {
	struct list node; /* in `states` */
	struct futex_key key;
	struct futex_owner *owner; /* counted */
	struct list owner_node; /* in owner->held */
	struct list waiters; /* struct pi_waiter, best first */
};

struct pi_waiter {
	struct list node;
	struct futex_owner *owner; /* who waits */
	int priority;
	u32 granted;
	bool owner_died;
};

static struct mutex pi_lock = MUTEX_INIT(RANK_FUTEX_PI);
static struct list states = LIST_INIT(states);

void futex_owner_init(struct futex_owner *o, struct thread *t, s32 tid)
{
	*o = (struct futex_owner){ .thread = t, .tid = tid };
	list_init(&o->held);
}

/* ---- priorities: smaller is better ---- */

static int priority_of(const struct sched_params *p)
{
	if (p->policy == SCHED_FIFO || p->policy == SCHED_RR)
		return 99 - p->rt_priority;
	return 100 + 20 + p->nice;
}

static const struct sched_params *own_params(const struct futex_owner *o)
{
	return o->boosted ? &o->own : &o->thread->params;
}

static struct pi_waiter *best_waiter(const struct futex_pi *s)
{
	return list_first(&s->waiters, struct pi_waiter, node);
}

static void insert_waiter(struct futex_pi *s, struct pi_waiter *w)
{
	struct list *at = &s->waiters;
	struct pi_waiter *other;

	list_for_each(other, &s->waiters, node) {
		if (other->priority > w->priority) {
			at = &other->node;
			break;
		}
	}
	list_insert_between(&w->node, at->prev, at);
}

/* The best of o's own parameters and those of all who wait for its locks. */
static void apply_priority(struct futex_owner *o)
{
	const struct sched_params *own = own_params(o), *best = own;
	struct futex_pi *s;

	list_for_each(s, &o->held, owner_node) {
		struct pi_waiter *w = best_waiter(s);

		if (w && priority_of(&w->owner->thread->params) < priority_of(best))
			best = &w->owner->thread->params;
	}
	struct sched_params wanted = *best;

	wanted.reset_on_fork = own->reset_on_fork;
	if (best == own) {
		if (o->boosted && !thread_set_sched(o->thread, &o->own))
			o->boosted = false;
		return;
	}
	if (!o->boosted)
		o->own = o->thread->params;
	if (!thread_set_sched(o->thread, &wanted))
		o->boosted = true;
}

/* From o along the locks that owners wait for; true: the chain comes back to `start`. */
static bool propagate(struct futex_owner *o, const struct futex_owner *start)
{
	for (unsigned i = 0; o && i < CHAIN_MAX; i++) {
		struct futex_pi *s = o->blocked_on;

		if (o == start)
			return true;
		apply_priority(o);
		o = s ? s->owner : NULL;
	}
	return o != NULL;
}

/* ---- states ---- */

static struct futex_pi *state_find(const struct futex_key *k)
{
	struct futex_pi *s;

	list_for_each(s, &states, node) {
		if (futex_key_equal(&s->key, k))
			return s;
	}
	return NULL;
}

static struct futex_pi *state_create(const struct futex_key *k, struct futex_owner *owner)
{
	struct futex_pi *s = kzalloc(sizeof(*s), 0);

	if (!s)
		return NULL;
	s->key = *k;
	s->owner = owner;
	list_init(&s->waiters);
	list_push_back(&states, &s->node);
	list_push_back(&owner->held, &s->owner_node);
	return s;
}

/* The best waiter becomes the owner; it is woken, and the old owner loses what it inherited.  The
 * state goes if nobody else waits.  True: others wait. */
static bool hand_over(struct futex_pi *s, bool owner_died)
{
	struct pi_waiter *w = best_waiter(s);
	struct futex_owner *old = s->owner, *new = w->owner;
	bool more;

	list_remove(&w->node);
	new->blocked_on = NULL;
	more = !list_is_empty(&s->waiters);
	if (more) {
		struct futex_owner *counted = futex_owner_find(new->tid);

		list_remove(&s->owner_node);
		VERIFY(counted == new);
		s->owner = counted;
		list_push_back(&new->held, &s->owner_node);
		apply_priority(new);
		apply_priority(old);
		futex_owner_put(old);
	} else {
		list_remove(&s->owner_node);
		list_remove(&s->node);
		kfree(s);
		apply_priority(old);
		futex_owner_put(old);
	}
	w->owner_died = owner_died;
	struct thread *t = new->thread;

	atomic_store(&w->granted, 1u);
	thread_wake(t);
	return more;
}

/* ---- lock ---- */

static int cas_word(u64 address, u32 from, u32 to)
{
	u32 old;

	if (user_cas_u32(futex_word(address), from, to, &old))
		return -EFAULT;
	return old == from ? 0 : -EAGAIN;
}

/* The state to wait at, made if need be: NULL with *err 0: the lock is ours; -EAGAIN: look again. */
static struct futex_pi *acquire_or_state(u64 address, const struct futex_key *k, bool try_only,
					 int *err)
{
	struct futex_owner *me = futex_owner_current(), *owner;
	struct futex_pi *s = state_find(k);
	u32 word, tid = (u32)me->tid;

	*err = user_load_u32(&word, futex_word(address));
	if (*err)
		return NULL;
	if ((word & FUTEX_TID_MASK) == tid) {
		*err = -EDEADLK;
		return NULL;
	}
	if (!s && (word & FUTEX_TID_MASK) == 0) {
		*err = cas_word(address, word, tid | (word & FUTEX_OWNER_DIED));
		return NULL;
	}
	if (try_only) {
		*err = HELD_BY_OTHER;
		return NULL;
	}
	if (!(word & FUTEX_WAITERS)) {
		*err = cas_word(address, word, word | FUTEX_WAITERS);
		if (*err)
			return NULL;
	}
	if (s)
		return s;
	owner = futex_owner_find((s32)(word & FUTEX_TID_MASK));
	if (!owner) {
		*err = -ESRCH;
		return NULL;
	}
	if (owner->exiting) {
		/* It is about to mark the word: come back after that. */
		futex_owner_put(owner);
		*err = -EBUSY;
		return NULL;
	}
	s = state_create(k, owner);
	if (!s) {
		futex_owner_put(owner);
		*err = -ENOMEM;
	}
	return s;
}

static int wait_granted(struct pi_waiter *w, u64 deadline_ns, u32 flags)
{
	bool late = false;
	int err = 0;

	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (atomic_load(&w->granted))
			break;
		if (late || signal_is_pending()) {
			err = late ? -ETIMEDOUT : -ERESTARTNOINTR;
			break;
		}
		late = futex_block(deadline_ns, flags);
	}
	thread_set_state(THREAD_RUNNABLE);
	return err;
}

/* Gives up waiting, unless the lock came meanwhile. */
static int give_up(struct futex_pi *s, struct pi_waiter *w, int err)
{
	struct futex_owner *owner;

	if (w->granted)
		return 0;
	owner = s->owner;
	list_remove(&w->node);
	w->owner->blocked_on = NULL;
	if (list_is_empty(&s->waiters)) {
		list_remove(&s->owner_node);
		list_remove(&s->node);
		kfree(s);
		apply_priority(owner);
		futex_owner_put(owner);
	} else {
		propagate(owner, NULL);
	}
	return err;
}

/* After a death the word still names the dead; only the heir can surely write it. */
static int claim_word(u64 address, const struct futex_key *k)
{
	u32 tid = (u32)futex_owner_current()->tid, word, flags;
	int err;

	do {
		if (user_load_u32(&word, futex_word(address)))
			return -EFAULT;
		flags = FUTEX_OWNER_DIED | (state_find(k) ? FUTEX_WAITERS : 0);
		err = cas_word(address, word, tid | flags);
	} while (err == -EAGAIN);
	return err;
}

static long wait_at(struct futex_pi *s, u64 address, const struct futex_key *k, u64 deadline_ns,
		    u32 flags) __must_hold(&pi_lock)
{
	struct futex_owner *me = futex_owner_current();
	struct pi_waiter w = { .owner = me, .priority = priority_of(&me->thread->params) };
	int err;

	insert_waiter(s, &w);
	me->blocked_on = s;
	if (propagate(s->owner, me))
		return give_up(s, &w, -EDEADLK);
	mutex_unlock(&pi_lock);
	err = wait_granted(&w, deadline_ns, flags);
	mutex_lock(&pi_lock);
	if (err)
		err = give_up(s, &w, err);
	if (!err && w.owner_died)
		err = claim_word(address, k);
	return err;
}

long futex_lock_pi(u64 address, u64 deadline_ns, bool try_only, u32 flags)
{
	struct futex_pi *s;
	struct futex_key k;
	long result;
	int err = futex_key_get(address, flags, &k);

	if (err)
		return err;
	for (;;) {
		mutex_lock(&pi_lock);
		s = acquire_or_state(address, &k, try_only, &err);
		if (s) {
			result = wait_at(s, address, &k, deadline_ns, flags);
			mutex_unlock(&pi_lock);
			return result;
		}
		mutex_unlock(&pi_lock);
		if (err != -EAGAIN && err != -EBUSY)
			return err == HELD_BY_OTHER ? -EAGAIN : err;
		if (try_only && err == -EBUSY)
			return -EAGAIN;
		if (signal_is_pending())
			return -ERESTARTNOINTR;
		if (err == -EBUSY)
			thread_yield();
	}
}

/* ---- unlock ---- */

static int unlock_once(u64 address, const struct futex_key *k)
{
	u32 word, tid = (u32)futex_owner_current()->tid;
	struct futex_pi *s = state_find(k);
	int err;

	if (user_load_u32(&word, futex_word(address)))
		return -EFAULT;
	if ((word & FUTEX_TID_MASK) != tid)
		return -EPERM;
	if (!s || s->owner != futex_owner_current())
		return s ? -EINVAL : cas_word(address, word, 0);
	struct pi_waiter *next = best_waiter(s);
	bool more = next->node.next != &s->waiters;

	err = cas_word(address, word, (u32)next->owner->tid | (more ? FUTEX_WAITERS : 0));
	if (!err)
		hand_over(s, false);
	return err;
}

long futex_unlock_pi(u64 address, u32 flags)
{
	struct futex_key k;
	int err = futex_key_get(address, flags, &k);

	if (err)
		return err;
	scoped_mutex(&pi_lock);
	do
		err = unlock_once(address, &k);
	while (err == -EAGAIN);
	return err;
}

/* ---- death ---- */

void futex_exit_pi(struct futex_owner *o)
{
	struct futex_pi *s;

	scoped_mutex(&pi_lock);
	o->exiting = true;
	while ((s = list_first(&o->held, struct futex_pi, owner_node)))
		hand_over(s, true);
}
