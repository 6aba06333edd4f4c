/*
 * Threads and the scheduler (core/sched*.c).
 *
 * A thread is what a CPU runs: a kernel stack, registers, scheduling state.
 * proc embeds it in struct task for user threads; kernel threads stand alone.
 * `current` is one load from the per-CPU area.
 *
 * Sleeping: a thread sets its state, checks its condition, and calls
 * thread_block(); a wake-up between the two makes thread_block return at once.
 * Use <nos/wait.h> rather than this protocol.
 */
#pragma once

#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/preempt.h>
#include <nos/rbtree.h>
#include <nos/static_key.h>
#include <nos/types.h>

enum thread_state {
	THREAD_RUNNABLE, /* running or on a run queue */
	THREAD_INTERRUPTIBLE, /* asleep; signals wake it */
	THREAD_KILLABLE, /* asleep; fatal signals wake it */
	THREAD_UNINTERRUPTIBLE,
	THREAD_STOPPED, /* job control stop or trace stop */
	THREAD_DEAD,
};

/* Scheduling parameters, Linux's terms (sched(7)). */
struct sched_params {
	u8 policy; /* SCHED_OTHER, BATCH, IDLE, FIFO, RR of <linux/sched.h> */
	s8 nice; /* −20…19 */
	u8 rt_priority; /* 1…99 for FIFO and RR, else 0 */
	bool reset_on_fork;
};

/* Owned by the scheduler; most of it is the policy's private state. */
struct sched_entity {
	struct list run_node; /* in a level of the run queue, unless running */
	u64 vruntime; /* weighted run time, on the scale of its run queue */
	u64 deadline; /* virtual time by which the slice is due */
	s64 lag; /* while not queued: virtual time − vruntime */
	u64 sleep_start_ns;
	u64 exec_start_ns; /* up to here the run time is accounted */
	u64 slice_end_ns; /* of sum_exec_ns */
	u64 sum_exec_ns; /* run time in all */
	u32 weight, inverse_weight; /* inverse: 2^32 / weight */
	u16 level; /* 0…255: index in the bitmap */
	u64 sync_wake_ns; /* of the last synchronous wake-up that was not believed; 0: none */
	u8 handoff_score; /* how often its synchronous wake-ups were followed by sleep */
	bool queued; /* runnable: running, on a level, or handed a CPU */
	u8 special; /* SPECIAL_ of core/sched.h; 0: nothing to look at */
	u8 pushed_by; /* CPU + 1 that took it off and is to place it, unless a waker does */
};

struct thread {
	/* hot: entry code uses the first line; THREAD_*_OFFSET in <nos/arch.h> */
	u32 work; /* WORK_ flags, atomic or */
	u32 cpu; /* where it runs or last ran */
	struct arch_thread arch;
	u8 state; /* enum thread_state */
	bool on_cpu; /* context still live on a CPU */
	bool is_kernel, is_idle;
	struct sched_entity sched;
	struct sched_params params;
	u64 affinity; /* allowed CPUs */
	struct spinlock wake_lock; /* serialises wake-ups and changes of parameters */
	struct aspace *aspace; /* NULL for kernel threads (lazy TLB) */
	void *stack; /* lowest address of the kernel stack */
	u64 user_time_ns, system_time_ns, start_time_ns; /* the first two: as last shown */
	u32 user_ticks, system_ticks; /* samples that split the exact sum */
	u64 nr_switches_voluntary, nr_switches_involuntary;
	u64 wait_start_ns, run_delay_ns;
	u64 faults_minor, faults_major; /* counted by mm */
	const struct memory_policy *memory_policy; /* mm's; NULL: memory from the nearest node */
	u8 interleave_last; /* node that it got last under MPOL_INTERLEAVE */
	struct mutex *blocked_on;
	void *wait_link; /* lock and wait-queue code */
	u32 seen_cpu; /* the CPU that rseq told the user; differs after a move: WORK_TASK */
	bool wants_tick; /* WORK_TASK at each tick: CPU timers */
	const char *name; /* kernel threads; task->comm for the others */
	void (*started)(struct thread *t); /* proc: first thing a new user thread runs */
	void (*after_exit)(struct thread *dead);
#ifdef DEBUG
	u8 fails; /* bits: the points of <nos/fail.h> that it is subject to */
	bool yields; /* in core/hostile.c */
	u8 held_ranks[32];
	const void *held_locks[32];
	u16 held_classes[32];
	u8 nr_held;
#endif
};
static_assert(offsetof(struct thread, work) == THREAD_WORK_OFFSET, "entry code");
static_assert(offsetof(struct thread, arch) == THREAD_ARCH_OFFSET, "entry code");

#define SEEN_CPU_NONE U32_MAX /* seen_cpu of a thread without rseq */

#ifdef SANITIZE /* zones around each array */
#define KERNEL_STACK_SIZE (32 * 1024ul)
#else
#define KERNEL_STACK_SIZE (16 * 1024ul)
#endif

extern struct static_key sched_latency_key; /* the histogram sched.run_delay_ns counts */

/* ---- life ---- */

/* Fills in a zeroed thread (embedded or not): stack with guard page, scheduling inherited from the
 * current thread.  Not yet runnable.  -ENOMEM. */
int thread_init(struct thread *t) __must_check;
/* Frees the stack; the thread is dead and off its CPU.  Any context.  Others may look at a thread
 * without a reference under rcu_read_lock (lock owners): free its memory after a grace period. */
void thread_fini(struct thread *t);
/* Waits (spinning: it is short) until a dead thread has left its CPU. */
void thread_wait_off_cpu(const struct thread *t);
/* Makes a prepared new thread runnable. */
void thread_start(struct thread *t);
/* A kernel thread running fn(arg); NULL when out of memory.  fn may return: the thread ends. */
struct thread *kthread_create(void (*fn)(void *arg), void *arg, const char *name);
/* The current thread never runs again; `after` is called on the next thread's stack, with
 * interrupts off, once this one is off the CPU (to drop the last reference). */
void thread_exit(void (*after)(struct thread *dead)) __noreturn;

/* ---- sleep and wake ---- */

void thread_set_state(enum thread_state s); /* of current; full barrier */
/* Switches away unless made runnable meanwhile; returns with state RUNNABLE. */
void thread_block(void);
/* The same with a limit on CLOCK_MONOTONIC; true if the time was reached. */
bool thread_block_until(u64 deadline_ns);
/* The same with one on CLOCK_REALTIME, which follows that clock's steps. */
bool thread_block_until_realtime(u64 deadline_ns);
#define TIME_NEVER U64_MAX
/* Makes t runnable if its state is in `mask` (bit per enum thread_state); true if it did. */
bool thread_wake_mask(struct thread *t, u32 mask);
#define WAKE_INTERRUPTIBLE bit(THREAD_INTERRUPTIBLE)
#define WAKE_KILLABLE (bit(THREAD_INTERRUPTIBLE) | bit(THREAD_KILLABLE))
#define WAKE_NORMAL (WAKE_KILLABLE | bit(THREAD_UNINTERRUPTIBLE))
static inline bool thread_wake(struct thread *t)
{
	return thread_wake_mask(t, WAKE_NORMAL);
}
/* Wake-up by a thread that is about to block: the woken one may get this CPU and the rest of the
 * slice (direct hand-off, opt.handoff). */
bool thread_wake_sync(struct thread *t);
void thread_yield(void);
/* Runs another thread if WORK_RESCHEDULE is set (on the way to user mode). */
void thread_reschedule(void);
/* Sets a work flag; if t runs in user mode on another CPU it is interrupted to see it. */
void thread_set_work(struct thread *t, u32 flags);
/* True when a signal should end an interruptible sleep of the current thread. */
static inline bool signal_is_pending(void)
{
	return (READ_ONCE(current_thread->work) & WORK_SIGNAL) != 0;
}
static inline bool fatal_signal_is_pending(void)
{
	return (READ_ONCE(current_thread->work) & WORK_FATAL) != 0;
}

/* ---- parameters ---- */
int thread_set_sched(struct thread *t, const struct sched_params *p);
/* What a child of a thread with these gets (SCHED_RESET_ON_FORK); t does not run yet. */
void thread_inherit_params(struct thread *t, const struct sched_params *from);
int thread_set_affinity(struct thread *t, u64 mask); /* -EINVAL: no CPU of it is up */
u64 thread_rr_interval_ns(const struct thread *t);
/* CPU time so far, including the running slice. */
void thread_cpu_times(const struct thread *t, u64 *user_ns, u64 *system_ns);
u64 thread_cpu_time_ns(const struct thread *t);

/* ---- system-wide figures for /proc ---- */
struct cpu_times {
	u64 user_ns, nice_ns, system_ns, idle_ns, iowait_ns, irq_ns, softirq_ns, steal_ns;
};
void sched_cpu_times(unsigned cpu, struct cpu_times *out);
void sched_load_average(u32 out[3]); /* fixed point, 11 bits fraction */
u64 sched_nr_running(void);
u64 sched_nr_switches(void);

/* ---- upward: defined above, used by the scheduler ---- */
/* mm: make next's address space current on this CPU (interrupts off); NULL = keep lazily. */
void aspace_switch(struct aspace *prev, struct aspace *next);
/* mm: KERNEL_STACK_SIZE bytes with a guard page below; may sleep. */
void *kernel_stack_alloc(void);
void kernel_stack_free(void *stack);

/* Boot CPU: the running context becomes a thread that may sleep once `sched_start` has run. */
void sched_init(void);
/* Kernel stacks can be allocated: starts the threads of core itself. */
void sched_start(void);
void sched_tick(u64 now_ns, bool user); /* from the timer interrupt */
