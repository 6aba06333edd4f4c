/*
 * Locks (core/lock*.c).
 *
 * spinlock: short, not sleeping; holds preemption off.  The _irq variants also
 * hold interrupts off and are needed where an interrupt handler takes the lock.
 * mutex: 8 bytes, sleeping, adaptive (spins while the owner runs), FIFO hand-off.
 * rwlock: sleeping, many readers or one writer, writers not starved.
 * seqlock: readers retry.
 * Debug kernels check ranks (lock_rank.h), owners, and sleeping in atomic context.
 */
#pragma once

#include <nos/cpu.h>
#include <nos/assert.h>
#include <nos/lock_rank.h>
#include <nos/preempt.h>
#include <nos/ref.h>
#include <nos/types.h>

struct thread;

struct __capability("spinlock") spinlock
{
	u32 value; /* 0 free, else taken (queued form inside core) */
#ifdef DEBUG
	u8 rank;
	u8 irq_unsafe_seen, irq_used;
	struct thread *owner;
	const char *site; /* where it was initialised: its class (core/lock_graph.c) */
#endif
};

struct __capability("mutex") mutex
{
	u64 word; /* owner pointer | flags */
#ifdef DEBUG
	u8 rank;
	const char *site;
#endif
};

struct __capability("rwlock") rwlock
{
	u64 word;
	u64 waiters;
#ifdef DEBUG
	u8 rank;
	const char *site;
#endif
};

#define LOCK_TEXT2(x) #x
#define LOCK_TEXT(x) LOCK_TEXT2(x)
#define LOCK_SITE __FILE__ ":" LOCK_TEXT(__LINE__)
#ifdef DEBUG
#define LOCK_INIT(r)                                                                               \
	{                                                                                          \
		.rank = (r), .site = LOCK_SITE                                                     \
	}
#else
#define LOCK_INIT(r)                                                                               \
	{                                                                                          \
		0                                                                                  \
	}
#endif
#define SPINLOCK_INIT(r) LOCK_INIT(r)
#define MUTEX_INIT(r) LOCK_INIT(r)
#define RWLOCK_INIT(r) LOCK_INIT(r)
#define spin_init(l, r) (*(l) = (struct spinlock)SPINLOCK_INIT(r))
#define mutex_init(l, r) (*(l) = (struct mutex)MUTEX_INIT(r))
/* Another rank and class for a mutex in use: that of a file system which came to lie below another
 * one. */
#ifdef DEBUG
#define mutex_set_rank(m, r) ((m)->rank = (r), (m)->site = LOCK_SITE)
#else
#define mutex_set_rank(m, r) ((void)(m))
#endif
#define rwlock_init(l, r) (*(l) = (struct rwlock)RWLOCK_INIT(r))

/*
 * Uncontended locks are taken and released in line, by one compare-and-swap
 * and one store; debug kernels go through the functions that check.
 */
#if defined(DEBUG) || defined(NOS_HOST)
void spin_lock(struct spinlock *l) __acquires(l);
bool spin_try_lock(struct spinlock *l) __try_acquires(true, l);
void spin_unlock(struct spinlock *l) __releases(l);
u64 spin_lock_irq(struct spinlock *l) __acquires(l); /* returns flags for the unlock */
void spin_unlock_irq(struct spinlock *l, u64 flags) __releases(l);
bool spin_is_held(const struct spinlock *l); /* by anyone; by this thread in debug kernels */
void mutex_lock(struct mutex *m) __acquires(m);
/* 0, or -ERESTARTSYS with the mutex not held when a signal is pending. */
int mutex_lock_interruptible(struct mutex *m) __must_check __try_acquires(0, m);
/* The same for fatal signals only. */
int mutex_lock_killable(struct mutex *m) __must_check __try_acquires(0, m);
bool mutex_try_lock(struct mutex *m) __try_acquires(true, m);
void mutex_unlock(struct mutex *m) __releases(m);
#else
void spin_lock_slow(struct spinlock *l);
void mutex_lock_slow(struct mutex *m);
int mutex_lock_interruptible_slow(struct mutex *m);
int mutex_lock_killable_slow(struct mutex *m);
bool mutex_try_lock_slow(struct mutex *m);
void mutex_unlock_slow(struct mutex *m);

static __always_inline bool spin_take(struct spinlock *l)
{
	u32 free = 0;

	return __atomic_compare_exchange_n(&l->value, &free, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline void spin_lock(struct spinlock *l)
{
	preempt_disable();
	if (unlikely(!spin_take(l)))
		spin_lock_slow(l);
}

static inline bool spin_try_lock(struct spinlock *l)
{
	preempt_disable();
	if (likely(spin_take(l)))
		return true;
	preempt_enable();
	return false;
}

static inline void spin_unlock(struct spinlock *l)
{
	__atomic_store_n((u8 *)&l->value, 0, __ATOMIC_RELEASE);
	preempt_enable();
}

static inline u64 spin_lock_irq(struct spinlock *l)
{
	u64 flags = irq_save();

	spin_lock(l);
	return flags;
}

static inline void spin_unlock_irq(struct spinlock *l, u64 flags)
{
	__atomic_store_n((u8 *)&l->value, 0, __ATOMIC_RELEASE);
	irq_restore(flags);
	preempt_enable();
}

static inline bool spin_is_held(const struct spinlock *l)
{
	return (READ_ONCE(l->value) & 0xff) != 0;
}

static __always_inline bool mutex_take(struct mutex *m)
{
	u64 free = 0;

	return __atomic_compare_exchange_n(&m->word, &free, (u64)current_thread, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void mutex_lock(struct mutex *m)
{
	if (unlikely(!mutex_take(m)))
		mutex_lock_slow(m);
}

/* 0, or -ERESTARTSYS with the mutex not held when a signal is pending. */
static inline int __must_check mutex_lock_interruptible(struct mutex *m)
{
	return likely(mutex_take(m)) ? 0 : mutex_lock_interruptible_slow(m);
}

/* The same for fatal signals only. */
static inline int __must_check mutex_lock_killable(struct mutex *m)
{
	return likely(mutex_take(m)) ? 0 : mutex_lock_killable_slow(m);
}

static inline bool mutex_try_lock(struct mutex *m)
{
	return likely(mutex_take(m)) || mutex_try_lock_slow(m);
}

static inline void mutex_unlock(struct mutex *m)
{
	u64 mine = (u64)current_thread;

	if (unlikely(!__atomic_compare_exchange_n(&m->word, &mine, 0, false, __ATOMIC_RELEASE,
						  __ATOMIC_RELAXED)))
		mutex_unlock_slow(m);
}
#endif
/* Debug kernels: panics if the caller may not sleep; at the head of what sleeps only sometimes. */
#if defined(DEBUG) && !defined(NOS_HOST)
void lock_check_sleep(const char *what);
#else
static inline void lock_check_sleep(const char *what)
{
}
#endif
bool mutex_is_held(const struct mutex *m); /* by the current thread */

void rwlock_read(struct rwlock *l) __acquires_shared(l);
void rwlock_read_unlock(struct rwlock *l) __releases_shared(l);
bool rwlock_try_read(struct rwlock *l) __try_acquires_shared(true, l);
void rwlock_write(struct rwlock *l) __acquires(l);
int rwlock_write_killable(struct rwlock *l) __must_check __try_acquires(0, l);
void rwlock_write_unlock(struct rwlock *l) __releases(l);
void rwlock_downgrade(struct rwlock *l); /* writer becomes reader */
bool rwlock_is_held(const struct rwlock *l); /* by anyone, in either way */

/* Scope guards: released at the end of the enclosing block. */
static inline void scoped_mutex_end(struct mutex **m) __releases(*m) __no_lock_check
{
	if (*m)
		mutex_unlock(*m);
}
static inline void scoped_spin_end(struct spinlock **l) __releases(*l) __no_lock_check
{
	if (*l)
		spin_unlock(*l);
}
struct scoped_spin_irq {
	struct spinlock *lock;
	u64 flags;
};
static inline void scoped_spin_irq_end(struct scoped_spin_irq *s)
	__releases(s->lock) __no_lock_check
{
	if (s->lock)
		spin_unlock_irq(s->lock, s->flags);
}
static inline void scoped_read_end(struct rwlock **l) __releases_shared(*l) __no_lock_check
{
	if (*l)
		rwlock_read_unlock(*l);
}
static inline void scoped_write_end(struct rwlock **l) __releases(*l) __no_lock_check
{
	if (*l)
		rwlock_write_unlock(*l);
}
#define SCOPED_NAME2(a, b) a##b
#define SCOPED_NAME(a, b) SCOPED_NAME2(a, b)
#define scoped_mutex(m)                                                                            \
	struct mutex *SCOPED_NAME(_scope, __LINE__)                                                \
		__attribute__((cleanup(scoped_mutex_end), unused)) = (mutex_lock(m), (m))
#define scoped_spin(l)                                                                             \
	struct spinlock *SCOPED_NAME(_scope, __LINE__)                                             \
		__attribute__((cleanup(scoped_spin_end), unused)) = (spin_lock(l), (l))
#ifdef NOS_CHECK_LOCKS /* the analysis follows a pointer, not a member */
#define scoped_spin_irq(l) scoped_spin(l)
#else
#define scoped_spin_irq(l)                                                                         \
	struct scoped_spin_irq SCOPED_NAME(_scope, __LINE__)                                       \
		__attribute__((cleanup(scoped_spin_irq_end), unused)) = { (l), spin_lock_irq(l) }
#endif
#define scoped_read(l)                                                                             \
	struct rwlock *SCOPED_NAME(_scope, __LINE__)                                               \
		__attribute__((cleanup(scoped_read_end), unused)) = (rwlock_read(l), (l))
#define scoped_write(l)                                                                            \
	struct rwlock *SCOPED_NAME(_scope, __LINE__)                                               \
		__attribute__((cleanup(scoped_write_end), unused)) = (rwlock_write(l), (l))

/* Sequence lock: the writer side is serialised by the caller. */
struct seqlock {
	u32 sequence;
};
static inline u32 seq_read_begin(const struct seqlock *s)
{
	u32 v = atomic_load(&s->sequence);

	while (unlikely(v & 1)) {
		cpu_relax();
		v = atomic_load(&s->sequence);
	}
	return v;
}
static inline bool seq_read_retry(const struct seqlock *s, u32 start)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return READ_ONCE(s->sequence) != start;
}
static inline void seq_write_begin(struct seqlock *s)
{
	WRITE_ONCE(s->sequence, s->sequence + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void seq_write_end(struct seqlock *s)
{
	atomic_store(&s->sequence, s->sequence + 1);
}
