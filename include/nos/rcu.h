/*
 * Read-copy-update by quiescent states (core/rcu.c).
 *
 * A reader section is a stretch without preemption: rcu_read_lock() turns
 * preemption off and stores nothing shared.  A CPU is quiescent when it
 * switches threads, idles or returns to user mode.  Callbacks run in batches
 * in thread context after every CPU was quiescent.
 */
#pragma once

#include <nos/preempt.h>
#include <nos/types.h>

struct rcu_head {
	struct rcu_head *next;
	void (*callback)(struct rcu_head *head);
};

#ifdef NOS_HOST
void rcu_read_lock(void);
void rcu_read_unlock(void);
#else
static __always_inline void rcu_read_lock(void)
{
	preempt_disable();
}
static __always_inline void rcu_read_unlock(void)
{
	preempt_enable();
}
#endif
/* Calls callback(head) after a grace period; any context but NMI.  The callback may not sleep. */
void rcu_call(struct rcu_head *head, void (*callback)(struct rcu_head *head));
void rcu_synchronize(void); /* waits for a grace period; sleeps */
void rcu_barrier(void); /* waits until all callbacks queued before have run; sleeps */

#define rcu_load(p) atomic_load_consume(&(p))
#define atomic_load_consume(p) __atomic_load_n((p), __ATOMIC_CONSUME)
#define rcu_store(p, v) atomic_store(&(p), (v))

static inline void scoped_rcu_end(const int *unused)
{
	(void)unused;
	rcu_read_unlock();
}
#define scoped_rcu()                                                                               \
	int SCOPED_RCU_NAME(__LINE__) __attribute__((cleanup(scoped_rcu_end), unused)) =           \
		(rcu_read_lock(), 0)
#define SCOPED_RCU_NAME(l) SCOPED_RCU_NAME2(l)
#define SCOPED_RCU_NAME2(l) _scoped_rcu_##l
