/* Private to core/: the tick of this CPU, the workers. */
#pragma once

#include <nos/types.h>

/* A CPU comes up; interrupts off. */
void timer_cpu_up(unsigned cpu);
/* The CPU leaves idle: the tick must run again.  Interrupts off. */
void timer_tick_start(u64 now_ns);
/* The tick may stop after the one that is armed. */
void timer_tick_stop(void);
/* The wall clock was set: this CPU's timers on it are due at other moments.  Interrupts off. */
void timer_clock_was_set(void);
/* The timer interrupt. */
void timer_interrupt(bool user, bool preemptible);

/* Starts the worker threads; stacks can be allocated. */
void work_start(void);
