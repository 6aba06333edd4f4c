/* Private to core/: run queues and the scheduling policy's table of operations. */
#pragma once

#include "lock.h"

#include <nos/thread.h>
#include <nos/timer.h>

#define NR_LEVELS 256
#define FIRST_FAIR_LEVEL 128 /* 0…98 are the real-time priorities 99…1 */
#define NR_FAIR_LEVELS 128

#define TICK_NS ((u64)(4 * NSEC_PER_MSEC))
#define SLICE_NS ((u64)(4 * NSEC_PER_MSEC)) /* at least one tick: preemption is by tick */
#define RR_SLICE_NS ((u64)(100 * NSEC_PER_MSEC))

/* handoff_score of a new thread: trusted until it breaks its word. */
#define SCHED_HANDOFF_INITIAL 2

/* sched_entity.special: what the common case of a switch need not look at one by one. */
#define SPECIAL_REALTIME 1u
#define SPECIAL_IDLE 2u
#define SPECIAL_EXPIRED 4u /* the slice ended at the last tick */
#define SPECIAL_MOVE 8u /* affinity changed while it ran: may have to leave its CPU */

/* Why a runnable thread goes (back) to a level. */
enum insert_reason {
	INSERT_WAKE, /* it slept, is new, or came from another CPU */
	INSERT_PREEMPTED, /* its slice is not over */
	INSERT_EXPIRED, /* its slice is over */
	INSERT_YIELD,
};

struct run_queue {
	struct spinlock lock; /* raw: goes from thread to thread in a switch */
	u32 cpu;
	u32 nr_running; /* runnable threads, the running one included, not idle */
	u32 nr_fair; /* on fair levels */
	struct thread *current, *idle;
	struct thread *handoff; /* woken by a thread about to block: runs next, on no level */
	u64 handoff_cycles; /* when it was woken */
	struct thread *push; /* leaves this CPU when its context is saved (affinity) */
	u64 node_map; /* the CPUs of its node */
	u64 slice_start_ns; /* when the CPU was last given by the order of levels */
	u64 levels_map[NR_LEVELS / 64];
	u64 cursor; /* fair: absolute number of the first bucket */
	u64 virtual_time, total_weight; /* fair threads that are runnable */
	u64 nr_switches;
	s64 nr_uninterruptible; /* sum over all CPUs is meaningful */
	u64 next_balance_ns, idle_start_ns;
	struct cpu_times times;
	struct list levels[NR_LEVELS];
};

DECLARE_PERCPU(struct run_queue, run_queue);

/* Each kernel thread, under a spin lock; number is 0. */
void kthread_for_each(void (*fn)(const struct thread *t, const char *name, s32 number));

/*
 * What orders normal threads (real-time ones are common to all policies).  All
 * are called with the run queue's lock held.  Chosen by the boot option
 * sched=NAME.
 */
struct sched_policy {
	const char *name;
	/* t becomes runnable here, before its first insert; t stops being runnable. */
	void (*activate)(struct run_queue *rq, struct thread *t, u64 now_ns);
	void (*deactivate)(struct run_queue *rq, struct thread *t, u64 now_ns);
	void (*insert)(struct run_queue *rq, struct thread *t, enum insert_reason why);
	/* The next thread, still on its level; NULL: no normal thread is queued. */
	struct thread *(*pick)(struct run_queue *rq);
	/* The running t yields: t to the end of the level whose first thread is next, which is
	 * taken; NULL: that is not so simple, insert and pick. */
	struct thread *(*rotate)(struct run_queue *rq, struct thread *t);
	/* t has run for delta_ns. */
	void (*charge)(struct run_queue *rq, struct thread *t, u64 delta_ns);
	/* prev has run for delta_ns and sleeps, the woken next is runnable in its place: charge,
	 * deactivate and activate in one. */
	void (*hand_over)(struct run_queue *rq, struct thread *prev, struct thread *next,
			  u64 delta_ns, u64 now_ns);
	/* At the tick: is the running thread's slice over? */
	bool (*slice_is_over)(struct run_queue *rq, struct thread *t);
	/* Does the woken t go before the running one? */
	bool (*preempts)(const struct thread *t, const struct thread *running);
	/* Slice shown by sched_rr_get_interval(2). */
	u64 slice_ns;
};

extern const struct sched_policy sched_policy_fair, sched_policy_round_robin;
extern const struct sched_policy *sched_policy;

static inline struct run_queue *run_queue_of(unsigned cpu)
{
	return per_cpu_ptr(run_queue, cpu);
}

static inline bool thread_is_realtime(const struct thread *t)
{
	return t->sched.special & SPECIAL_REALTIME;
}

/* Puts the run time of the running thread on its account. */
static inline void run_queue_charge(struct run_queue *rq, u64 now_ns)
{
	struct thread *t = rq->current;
	u64 delta = now_ns - t->sched.exec_start_ns;

	t->sched.exec_start_ns = now_ns;
	t->sched.sum_exec_ns += delta;
	if (likely(!(t->sched.special & (SPECIAL_REALTIME | SPECIAL_IDLE))))
		sched_policy->charge(rq, t, delta);
}

/* Weight of a nice level, or of SCHED_IDLE; and its inverse. */
void sched_set_weight(struct thread *t);

static inline bool level_is_used(const struct run_queue *rq, unsigned level)
{
	return (rq->levels_map[level / 64] >> (level % 64)) & 1;
}

static inline void level_insert(struct run_queue *rq, struct thread *t, unsigned level, bool first)
{
	struct list *l = &rq->levels[level];

	if (first)
		list_push_front(l, &t->sched.run_node);
	else
		list_push_back(l, &t->sched.run_node);
	rq->levels_map[level / 64] |= bit(level % 64);
	t->sched.level = (u16)level;
}

static inline void level_remove(struct run_queue *rq, struct thread *t)
{
	struct list *n = &t->sched.run_node;

	n->next->prev = n->prev;
	n->prev->next = n->next;
	if (n->next == n->prev) { /* both are the head: it was the last one */
		unsigned level = t->sched.level;

		if (list_is_empty(&rq->levels[level]))
			rq->levels_map[level / 64] &= ~bit(level % 64);
	}
}

/* The run queue of t, locked, interrupts off. */
struct run_queue *run_queue_lock_of(const struct thread *t, u64 *flags);
void run_queue_unlock(struct run_queue *rq, u64 flags);
/* t is not queued anywhere: makes it runnable on rq (locked). */
void run_queue_add(struct run_queue *rq, struct thread *t, u64 now_ns);
/* t is queued on one and goes to the other; both are locked. */
void run_queue_move(struct run_queue *from, struct run_queue *to, struct thread *t, u64 now_ns);
/* t is queued but does not run; its wake_lock is held, as between the next two. */
void run_queue_take(struct run_queue *rq, struct thread *t, u64 now_ns);
/* The same for a runnable thread whose parameters change; it may be the running one. */
void run_queue_leave(struct run_queue *rq, struct thread *t, u64 now_ns);
void run_queue_join(struct run_queue *rq, struct thread *t, u64 now_ns);
void run_queue_insert(struct run_queue *rq, struct thread *t, enum insert_reason why);
/* Marks the running thread of rq (locked) for rescheduling. */
void run_queue_mark(struct run_queue *rq);
void run_queue_check_preempt(struct run_queue *rq, struct thread *t);
/* thread_wake_mask and thread_wake_sync where interrupts are off. */
bool thread_wake_atomic(struct thread *t, u32 mask, bool sync);
/* t is runnable and on no queue, its context saved. */
void thread_place(struct thread *t);

/* ---- placement and balance (sched_place.c) ---- */
extern u64 sched_online_map, sched_idle_map;
unsigned sched_select_cpu(struct thread *t);
/* The CPU is online, and knows which others are of its node. */
void sched_place_cpu_up(unsigned cpu);
/* A thread from another CPU for an idle one; it is queued on rq (locked) then. */
bool sched_pull(struct run_queue *rq, u64 now_ns);
void sched_balance(struct run_queue *rq, u64 now_ns);
/* A thread that waits on rq (locked) gets an idle CPU, a real-time one also a less urgent one, if it may go. */
void sched_offer(struct run_queue *rq, u64 now_ns);

/* ---- accounting (sched_account.c) ---- */
void sched_account_tick(struct run_queue *rq, bool user);
void sched_update_load(u64 now_ns);

/* ---- stacks (thread.c) ---- */
void thread_stack_free(void *stack);

/* The idle loop of this CPU; its thread is current, preemption is off. */
void sched_idle_loop(void) __noreturn;
