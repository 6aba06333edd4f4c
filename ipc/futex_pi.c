/*
 * Futexes with priority inheritance: FUTEX_LOCK_PI and FUTEX_UNLOCK_PI.
 *
 * Concepts.  The word of such a lock holds its owner's tid, and FUTEX_WAITERS
 * when someone sleeps for it.  While there are waiters the kernel has a *state*
 * for it: the owner, and the waiters in the order of their priority.  The
 * owner runs with the parameters of its best waiter if those are better than
 * its own, and so do the owners that it waits for in turn: owners and states
 * are a *graph*, in which every owner waits at one place at most.
 *
 * Invariants.
 *   (1) a state exists exactly while it has waiters, and is in the list of the
 *       locks that its owner holds;
 *   (2) unlocking gives the lock to the best waiter at once: nobody slips in;
 *   (3) the words of locks whose owner died are corrected by the new owner,
 *       whose memory they are surely in;
 *   (4) the graph has no circle.
 *
 * Locking.  A state is found, made and freed, and its word is changed, under the
 * mutex of its bucket (FUTEX_PI), while user memory may fault; so locks that
 * have nothing to do with each other don't meet.  The edges of the graph (who
 * owns, who waits, in which order) are changed under one spin lock as well
 * (FUTEX_GRAPH), for the walk along a chain must see all of it unchanged; it is
 * held for some tens of instructions per owner.  An edge of a state may be
 * read under either lock.
 *
 * Inside for now: the owner's parameters are replaced as sched_setscheduler
 * would (thread_set_sched) and put back, with the own ones kept beside.
 *
 * futex(2), "Priority-inheritance futexes".
 */
#include "futex_internal.h"

#include <nos/assert.h>
#include <nos/init.h>
#include <nos/slab.h>
#include <nos/string.h>

#include <linux/futex.h>
#include <linux/sched.h>

#define NR_PI_BUCKETS 64u
#define CHAIN_MAX 1024 /* owners followed: longer is taken for a deadlock */

/* NEW: it has never been in the graph, as most threads never are; its end needs no lock then. */
enum owner_state { OWNER_NEW, OWNER_LIVES, OWNER_EXITS, OWNER_DEAD };

struct futex_pi {
	struct list node; /* bucket->states */
	struct futex_key key;
	struct pi_bucket *bucket;
	struct futex_owner *owner; /* counted */
	struct list owner_node; /* in owner->held */
	struct list waiters; /* struct pi_waiter, best first */
};

static struct pi_bucket pi_buckets[NR_PI_BUCKETS];
static struct spinlock graph_lock = SPINLOCK_INIT(RANK_FUTEX_GRAPH);

static int __init pi_init(void)
{
	for (unsigned i = 0; i < NR_PI_BUCKETS; i++) {
		mutex_init(&pi_buckets[i].lock, RANK_FUTEX_PI);
		list_init(&pi_buckets[i].states);
	}
	return 0;
}
INIT_STEP(INIT_CORE, pi_init);

struct pi_bucket *pi_bucket_of(const struct futex_key *k)
{
	return &pi_buckets[hash_u64(k->object + (k->offset >> 2)) >> (64 - 6)];
}
static_assert(NR_PI_BUCKETS == 1u << 6);

void futex_owner_init(struct futex_owner *o, struct thread *t, s32 tid)
{
	*o = (struct futex_owner){ .thread = t, .tid = tid, .state = OWNER_NEW };
	list_init(&o->held);
}

/* ---- priorities: smaller is better; the graph is locked ---- */

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

	w->priority = priority_of(&w->owner->thread->params);
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

/* Takes the place in its queue that w's priority gives it now. */
static void resort(struct pi_waiter *w)
{
	if (w->priority == priority_of(&w->owner->thread->params))
		return;
	list_remove(&w->node);
	insert_waiter(w->state, w);
}

/* From o along the locks that owners wait for; true: the chain comes back to `start`. */
static bool propagate(struct futex_owner *o, const struct futex_owner *start)
{
	for (unsigned i = 0; o && i < CHAIN_MAX; i++) {
		if (o == start)
			return true;
		apply_priority(o);
		if (!o->waiting)
			return false;
		resort(o->waiting);
		o = o->waiting->state->owner;
	}
	return o != NULL;
}

struct sched_params futex_owner_params(struct futex_owner *o)
{
	u64 flags = spin_lock_irq(&graph_lock);
	struct sched_params p = *own_params(o);

	spin_unlock_irq(&graph_lock, flags);
	return p;
}

int futex_owner_set_params(struct futex_owner *o, const struct sched_params *p)
{
	u64 flags = spin_lock_irq(&graph_lock);
	int err = 0;

	if (o->boosted)
		o->own = *p;
	else
		err = thread_set_sched(o->thread, p);
	(void)propagate(o, NULL);
	spin_unlock_irq(&graph_lock, flags);
	return err;
}

/* ---- states: the bucket is locked ---- */

static struct futex_pi *state_find(const struct futex_key *k)
{
	struct futex_pi *s;

	list_for_each(s, &pi_bucket_of(k)->states, node) {
		if (futex_key_equal(&s->key, k))
			return s;
	}
	return NULL;
}

/* o comes into the graph, whose lock is held, unless it has ended: its state. */
static u8 enter_graph(struct futex_owner *o)
{
	u8 state = READ_ONCE(o->state);

	if (state == OWNER_NEW && atomic_cas_update(&o->state, &state, (u8)OWNER_LIVES))
		state = OWNER_LIVES;
	return state;
}

/* The owner's reference is the state's from now on; not without memory, nor for one that exits. */
static int state_create(const struct futex_key *k, struct futex_owner *owner,
			struct futex_pi **made)
{
	struct futex_pi *s = kzalloc(sizeof(*s), 0);
	int err = 0;

	if (!s)
		return -ENOMEM;
	s->key = *k;
	s->bucket = pi_bucket_of(k);
	s->owner = owner;
	list_init(&s->waiters);

	u64 flags = spin_lock_irq(&graph_lock);

	u8 state = enter_graph(owner);

	if (state == OWNER_LIVES)
		list_push_back(&owner->held, &s->owner_node);
	else
		err = state == OWNER_EXITS ? -EBUSY : -ESRCH;
	spin_unlock_irq(&graph_lock, flags);
	if (err) {
		kfree(s);
		return err;
	}
	list_push_back(&s->bucket->states, &s->node);
	*made = s;
	return 0;
}

/* After the last waiter went, and the owner's list was left. */
static void state_free(struct futex_pi *s)
{
	list_remove(&s->node);
	kfree(s);
}

/* w joins the queue; -EDEADLK if the owner waits, in the end, for w's. */
static int join(struct futex_pi *s, struct pi_waiter *w)
{
	u64 flags = spin_lock_irq(&graph_lock);
	bool circle;

	w->state = s;
	(void)enter_graph(w->owner); /* it may be handed the lock */
	w->owner->waiting = w;
	insert_waiter(s, w);
	circle = propagate(s->owner, w->owner);
	spin_unlock_irq(&graph_lock, flags);
	return circle ? -EDEADLK : 0;
}

/* w gives up. */
static void leave(struct pi_waiter *w)
{
	struct futex_pi *s = w->state;
	struct futex_owner *owner = s->owner;
	u64 flags = spin_lock_irq(&graph_lock);
	bool last;

	list_remove(&w->node);
	w->state = NULL;
	w->owner->waiting = NULL;
	last = list_is_empty(&s->waiters);
	if (last)
		list_remove(&s->owner_node);
	(void)propagate(owner, NULL);
	spin_unlock_irq(&graph_lock, flags);
	if (last) {
		state_free(s);
		futex_owner_put(owner);
	}
}

static struct pi_waiter *next_owner(struct futex_pi *s)
{
	u64 flags = spin_lock_irq(&graph_lock);
	struct pi_waiter *w = best_waiter(s);

	spin_unlock_irq(&graph_lock, flags);
	return w;
}

/* w becomes the owner; it is woken, and the old owner loses what it inherited.  The state goes if
 * nobody else waits. */
static void hand_over(struct futex_pi *s, struct pi_waiter *w, bool owner_died)
{
	struct futex_owner *old = s->owner, *new = w->owner, *counted = futex_owner_find(new->tid);
	bool more;

	VERIFY(counted == new); /* it sleeps here, so it lives */

	u64 flags = spin_lock_irq(&graph_lock);

	list_remove(&w->node);
	list_remove(&s->owner_node);
	w->state = NULL;
	new->waiting = NULL;
	more = !list_is_empty(&s->waiters);
	if (more) {
		s->owner = new;
		list_push_back(&new->held, &s->owner_node);
		apply_priority(new);
	}
	apply_priority(old);
	spin_unlock_irq(&graph_lock, flags);
	w->owner_died = owner_died;
	atomic_store(&w->granted, 1u);
	thread_wake(new->thread);
	if (!more) {
		state_free(s);
		futex_owner_put(counted);
	}
	futex_owner_put(old);
}

/* ---- lock ---- */

static int cas_word(u64 address, u32 from, u32 to)
{
	u32 old;

	if (user_cas_u32(futex_word(address), from, to, &old))
		return -EFAULT;
	return old == from ? 0 : -EAGAIN;
}

/* The state of a lock that the word says is another's, made if need be. */
static int state_for(u64 address, const struct futex_key *k, u32 word, struct futex_pi **s)
{
	struct futex_owner *owner;
	u32 now;
	int err = 0;

	if (!(word & FUTEX_WAITERS))
		err = cas_word(address, word, word | FUTEX_WAITERS);
	*s = err ? NULL : state_find(k);
	if (err || *s)
		return err;
	owner = futex_owner_find((s32)(word & FUTEX_TID_MASK));
	err = owner ? state_create(k, owner, s) : -ESRCH;
	if (err && owner)
		futex_owner_put(owner);
	/* Who is dead may have marked the word since it was read. */
	if (err == -ESRCH && !user_load_u32(&now, futex_word(address)) &&
	    now != (word | FUTEX_WAITERS))
		err = -EAGAIN;
	return err;
}

/* 1: the lock was free, and is `tid`'s; 0: it is another's, as *word says. */
static int take_free(u64 address, const struct futex_key *k, u32 tid, u32 *word)
{
	int err;

	if (user_load_u32(word, futex_word(address)))
		return -EFAULT;
	if ((*word & FUTEX_TID_MASK) == tid)
		return -EDEADLK;
	if ((*word & FUTEX_TID_MASK) || state_find(k))
		return 0;
	err = cas_word(address, *word, tid | (*word & FUTEX_OWNER_DIED));
	return err ? err : 1;
}

int futex_pi_enter(u64 address, const struct futex_key *k, struct pi_waiter *w)
{
	struct futex_pi *s;
	u32 word;
	int err = take_free(address, k, (u32)w->owner->tid, &word);

	if (err)
		return err;
	err = state_for(address, k, word, &s);
	if (err)
		return err;
	err = join(s, w);
	if (err)
		leave(w);
	return err;
}

int futex_pi_sleep(struct pi_waiter *w, u64 deadline_ns, u32 flags)
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

int futex_pi_leave(u64 address, const struct futex_key *k, struct pi_waiter *w, int err)
{
	if (!w->granted) {
		leave(w);
		return err;
	}
	return w->owner_died ? claim_word(address, k) : 0;
}

/* One try: 0, an error, or -EAGAIN and -EBUSY as futex_pi_enter. */
static int lock_once(u64 address, const struct futex_key *k, u64 deadline_ns, u32 flags)
{
	struct pi_waiter w = { .owner = futex_owner_current() };
	struct pi_bucket *b = pi_bucket_of(k);
	int err;

	mutex_lock(&b->lock);
	err = futex_pi_enter(address, k, &w);
	if (err == 0) {
		mutex_unlock(&b->lock);
		err = futex_pi_sleep(&w, deadline_ns, flags);
		mutex_lock(&b->lock);
		err = futex_pi_leave(address, k, &w, err);
	}
	mutex_unlock(&b->lock);
	return err == 1 ? 0 : err;
}

static int try_once(u64 address, const struct futex_key *k)
{
	struct pi_bucket *b = pi_bucket_of(k);
	u32 word;
	int err;

	scoped_mutex(&b->lock);
	do
		err = take_free(address, k, (u32)futex_owner_current()->tid, &word);
	while (err == -EAGAIN);
	return err == 1 ? 0 : err == 0 ? -EAGAIN : err;
}

long futex_lock_pi(u64 address, u64 deadline_ns, bool try_only, u32 flags)
{
	struct futex_key k;
	int err = futex_key_get(address, flags, &k);

	if (err)
		return err;
	if (try_only)
		return try_once(address, &k);
	for (;;) {
		err = lock_once(address, &k, deadline_ns, flags);
		if (err != -EAGAIN && err != -EBUSY)
			return err;
		if (signal_is_pending())
			return -ERESTARTNOINTR;
		if (err == -EBUSY)
			thread_yield();
	}
}

/* ---- unlock ---- */

static int unlock_once(u64 address, const struct futex_key *k)
{
	struct futex_owner *me = futex_owner_current();
	struct futex_pi *s = state_find(k);
	struct pi_waiter *next;
	u32 word;
	int err;

	if (user_load_u32(&word, futex_word(address)))
		return -EFAULT;
	if ((word & FUTEX_TID_MASK) != (u32)me->tid)
		return -EPERM;
	if (!s || s->owner != me)
		return s ? -EINVAL : cas_word(address, word, 0);
	next = next_owner(s);
	bool more = s->waiters.next->next != &s->waiters;

	err = cas_word(address, word, (u32)next->owner->tid | (more ? FUTEX_WAITERS : 0));
	if (!err)
		hand_over(s, next, false);
	return err;
}

long futex_unlock_pi(u64 address, u32 flags)
{
	struct futex_key k;
	int err = futex_key_get(address, flags, &k);

	if (err)
		return err;
	scoped_mutex(&pi_bucket_of(&k)->lock);
	do
		err = unlock_once(address, &k);
	while (err == -EAGAIN);
	return err;
}

/* ---- death ---- */

static void set_owner_state(struct futex_owner *o, enum owner_state state)
{
	u64 flags = spin_lock_irq(&graph_lock);

	o->state = (u8)state;
	spin_unlock_irq(&graph_lock, flags);
}

/* A lock that o holds, in this bucket (NULL: in any); only with the bucket locked may it be used. */
static struct futex_pi *held_by(struct futex_owner *o, struct pi_bucket **b)
{
	struct futex_pi *s, *found = NULL;
	u64 flags = spin_lock_irq(&graph_lock);

	list_for_each(s, &o->held, owner_node) {
		if (!*b || s->bucket == *b) {
			found = s;
			*b = s->bucket;
			break;
		}
	}
	spin_unlock_irq(&graph_lock, flags);
	return found;
}

void futex_exit_pi(struct futex_owner *o, bool dies)
{
	struct pi_bucket *b = NULL;
	struct futex_pi *s;
	u8 new = OWNER_NEW;

	if (likely(READ_ONCE(o->state) == OWNER_NEW &&
		   (!dies || atomic_cas_update(&o->state, &new, (u8)OWNER_DEAD))))
		return; /* it holds nothing, and who is dead never comes in */
	set_owner_state(o, OWNER_EXITS);
	while (held_by(o, &b)) {
		mutex_lock(&b->lock);
		while ((s = held_by(o, &b)))
			hand_over(s, next_owner(s), true);
		mutex_unlock(&b->lock);
		b = NULL;
	}
	set_owner_state(o, dies ? OWNER_DEAD : OWNER_LIVES);
}
