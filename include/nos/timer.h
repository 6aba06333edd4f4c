/*
 * Time (core/clock.c, core/timer.c): clocks, high-resolution timers, deferred work.
 * All times are nanoseconds as u64; CLOCK_MONOTONIC unless the name says otherwise.
 */
#pragma once

#include <nos/list.h>
#include <nos/rbtree.h>
#include <nos/types.h>

struct wait_queue;

u64 clock_monotonic_ns(void); /* any context */
u64 clock_realtime_ns(void);
u64 clock_boottime_ns(void);
u64 clock_coarse_monotonic_ns(void); /* at the last tick; cheap */
s64 clock_realtime_offset_ns(void); /* realtime − monotonic */
/* clock_settime(CLOCK_REALTIME): moves the timers of that clock on all CPUs, and wakes those who wait
 * for a change (timerfd cancel-on-set).  Interrupts on. */
void clock_set_realtime_ns(u64 ns);
u64 clock_cycles_to_ns(u64 cycles); /* absolute: same origin as monotonic */
u64 clock_ns_to_cycles(u64 monotonic_ns);
/* Inode times: realtime at tick granularity. */
u64 clock_coarse_realtime_ns(void);
/* Counts clock_settime calls, for TFD_TIMER_CANCEL_ON_SET; queue of those who wait for one. */
u64 clock_set_count(void);
struct wait_queue *clock_set_queue(void);
/* After the counter's frequency is known and sched_init; starts the tick. */
void clock_init(void);
void clock_tick(void); /* from the timer interrupt: coarse clocks, vDSO page */

struct timer;
/* Runs in the timer interrupt, interrupts off; `now_ns` and what it returns (the next deadline, or 0 =
 * not again) are on the timer's clock. */
typedef u64 (*timer_fn)(struct timer *t, u64 now_ns);

struct timer {
	struct rb_node node;
	u64 deadline_ns; /* on its clock */
	u32 cpu;
	u8 state; /* idle, queued, running */
	bool realtime; /* CLOCK_REALTIME, whose steps move it; otherwise CLOCK_MONOTONIC */
	timer_fn fn;
};

void timer_init(struct timer *t, timer_fn fn);
/* One whose deadlines are on CLOCK_REALTIME. */
void timer_init_realtime(struct timer *t, timer_fn fn);
/* (Re)arms it on this CPU. */
void timer_start(struct timer *t, u64 deadline_ns);
/* Disarms; true if it was pending.  Does not wait for a running callback. */
bool timer_cancel(struct timer *t);
/* Disarms and waits until the callback is not running; not from the callback itself. */
void timer_cancel_sync(struct timer *t);
bool timer_is_pending(const struct timer *t);

/* Deferred work: fn runs in a kernel thread of this CPU and may sleep. */
struct work {
	struct list node;
	u32 pending;
	void (*fn)(struct work *w);
};
void work_init(struct work *w, void (*fn)(struct work *w));
bool work_queue(struct work *w); /* any context; false if already queued */
void work_flush(struct work *w); /* waits until it is not queued or running; sleeps */
