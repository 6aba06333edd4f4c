/* Private to core/: spinlocks without preemption count and checks, and the debug checks. */
#pragma once

#include <nos/lock.h>

/* Waits for a lock that is taken; preemption (or interrupts) off. */
void spin_wait(struct spinlock *l);

/* For locks that are handed from one thread to the next (run queues); preemption is off. */
static inline void raw_spin_lock(struct spinlock *l)
{
	u32 free = 0;

	if (unlikely(!__atomic_compare_exchange_n(&l->value, &free, 1, false, __ATOMIC_ACQUIRE,
						  __ATOMIC_RELAXED)))
		spin_wait(l);
}

static inline bool raw_spin_try_lock(struct spinlock *l)
{
	u32 free = 0;

	return __atomic_compare_exchange_n(&l->value, &free, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline void raw_spin_unlock(struct spinlock *l)
{
	__atomic_store_n((u8 *)&l->value, 0, __ATOMIC_RELEASE);
}

#ifdef DEBUG
/* Before waiting for a lock: order of ranks, no recursion, no sleep in atomic context. */
void lock_check_order(const void *lock, u8 rank, const char *site, bool sleeps);
void lock_note_taken(const void *lock, u8 rank, const char *site);
/* lock_graph.c: the same against what was seen; `first` is the first lock of this context. */
void lock_graph_check(const char *site, u8 rank, bool is_spinlock, unsigned first);
u16 lock_graph_class(const char *site);
void lock_note_released(const void *lock);
bool lock_is_held_here(const void *lock);
/* Interrupt handlers start with no lock of their own. */
u8 lock_irq_enter(void);
void lock_irq_exit(u8 saved);
void lock_debug_start(void);
/* The interrupted context is user mode: it must hold nothing. */
void lock_check_none_held(void);
#else
static inline void lock_check_none_held(void)
{
}
static inline void lock_debug_start(void)
{
}
static inline void lock_check_order(const void *lock, u8 rank, const char *site, bool sleeps)
{
	(void)lock, (void)rank, (void)site, (void)sleeps;
}
static inline void lock_note_taken(const void *lock, u8 rank, const char *site)
{
	(void)lock, (void)rank, (void)site;
}
static inline void lock_note_released(const void *lock)
{
	(void)lock;
}
static inline u8 lock_irq_enter(void)
{
	return 0;
}
static inline void lock_irq_exit(u8 saved)
{
	(void)saved;
}
#endif

/*
 * Where interrupts are off: nothing can preempt, so there is nothing to count.  Whoever turns them
 * on again looks whether a reschedule became due (preempt_check, or an unlock that counts).
 */
#if defined(DEBUG) || defined(NOS_HOST)
static inline void spin_lock_atomic(struct spinlock *l) __acquires(l)
{
	spin_lock(l);
}

static inline void spin_unlock_atomic(struct spinlock *l) __releases(l)
{
	spin_unlock(l);
}
#else
static inline void spin_lock_atomic(struct spinlock *l)
{
	raw_spin_lock(l);
}

static inline void spin_unlock_atomic(struct spinlock *l)
{
	raw_spin_unlock(l);
}
#endif

/* The rank of a lock, which only debug kernels store. */
#ifdef DEBUG
#define rank_of(l) ((l)->rank)
#define site_of(l) ((l)->site)
#else
#define rank_of(l) RANK_NONE
#define site_of(l) NULL
#endif

/* Picks the form of waiting; after the command line is known. */
void lock_init(void);
