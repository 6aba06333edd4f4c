/*
 * The current thread, and preemption off and on (core/sched.c).
 *
 * One per-CPU word counts the reasons not to preempt.  Its top bit is set
 * while NO reschedule is due, so that one decrement tells "count is zero and a
 * reschedule is due".  The word belongs to the CPU, not to the thread: every
 * thread switches at the same count.
 */
#pragma once

#include <nos/cpu.h>
#include <nos/types.h>

struct thread;

#ifdef NOS_HOST
extern __thread struct thread *host_current;
#define current_thread host_current

void preempt_disable(void);
void preempt_enable(void);
void preempt_enable_no_resched(void);
static inline u32 preempt_count(void)
{
	return 0;
}
#else
DECLARE_PERCPU(struct thread *, this_thread);
#define current_thread this_cpu_read(this_thread)

#define PREEMPT_NOT_DUE 0x80000000u
DECLARE_PERCPU(u32, preempt_word);

/* Runs another thread if that is allowed here; for preempt_enable. */
void preempt_reschedule(void);

static __always_inline void preempt_disable(void)
{
	__asm__ volatile("incl %%gs:%0" : "+m"(preempt_word)::"cc", "memory");
	if (unlikely(sections_measured))
		section_preemption_off();
}

/*
 * Debug kernels: with the boot option debug.preempt=hostile the thread lets others run at about
 * every 16th place where it could be preempted (core/hostile.c).
 */
#ifdef DEBUG
extern u32 preempt_hostile_rate; /* 0: off */
void preempt_hostile(void);
#else
#define preempt_hostile_rate 0u
static inline void preempt_hostile(void)
{
}
#endif

static __always_inline void preempt_enable(void)
{
	bool due;

	if (unlikely(sections_measured))
		section_preemption_on();
	__asm__ volatile("decl %%gs:%0" : "+m"(preempt_word), "=@ccz"(due)::"memory");
	if (unlikely(due))
		preempt_reschedule();
	if (unlikely(preempt_hostile_rate))
		preempt_hostile();
}

/* Interrupts were just turned on, after something that may have made a better thread runnable. */
static __always_inline void preempt_check(void)
{
	if (unlikely(this_cpu_read(preempt_word) == 0))
		preempt_reschedule();
	if (unlikely(preempt_hostile_rate))
		preempt_hostile();
}

static __always_inline void preempt_enable_no_resched(void)
{
	if (unlikely(sections_measured))
		section_preemption_on();
	__asm__ volatile("decl %%gs:%0" : "+m"(preempt_word)::"cc", "memory");
}

/* The running thread should (or need no longer) make room: the next preempt_enable looks. */
static __always_inline void preempt_set_due(void)
{
	__asm__ volatile("andl %1, %%gs:%0" : "+m"(preempt_word) : "i"(~PREEMPT_NOT_DUE) : "cc");
}
static __always_inline void preempt_clear_due(void)
{
	__asm__ volatile("orl %1, %%gs:%0" : "+m"(preempt_word) : "i"(PREEMPT_NOT_DUE) : "cc");
}

/* How many reasons there are on this CPU; 0: preemptible (if interrupts are on). */
static inline u32 preempt_count(void)
{
	return this_cpu_read(preempt_word) & ~PREEMPT_NOT_DUE;
}
#endif
