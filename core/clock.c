/*
 * Clocks: nanoseconds from the cycle counter.
 *
 * Monotonic time is (cycles − those at boot) × mult >> shift, a 128-bit product:
 * one function of the counter for the whole life of the kernel, evaluated in
 * the same way here and in the vDSO, so that the two never disagree and nothing
 * is ever rounded back.  Realtime and boottime add an offset.  Coarse clocks are
 * the values at the last tick.
 *
 * The vDSO page is written under its sequence number, by one CPU at a time
 * (clock_lock); readers in the kernel use the same sequence for the offset.
 */
#include "sched.h"
#include "timer.h"

#include <nos/arch.h>
#include <nos/lock.h>
#include <nos/timer.h>
#include <nos/vdso.h>
#include <nos/wait.h>

static u64 cycles_per_ns
	__ro_after_init; /* 2^shift / mult, with cycles_fraction bits of fraction */
static u32 cycles_fraction __ro_after_init;
static s64 realtime_offset;
static u64 coarse_monotonic;
static u64 set_count;
static struct seqlock clock_sequence;
static struct spinlock clock_lock = SPINLOCK_INIT(RANK_NONE);
static struct wait_queue set_queue = WAIT_QUEUE_INIT(set_queue);

/* The low 64 bits of product >> shift, for a shift below 64, which the compiler can't know. */
static inline u64 shift_down(unsigned __int128 product, u32 shift)
{
	u64 low = (u64)product, high = (u64)(product >> 64);

	__asm__("shrd %%cl, %1, %0" : "+r"(low) : "r"(high), "c"(shift) : "cc");
	return low;
}

u64 clock_cycles_to_ns(u64 cycles)
{
	return shift_down((unsigned __int128)(cycles - boot_info.first_cycles) * clock_tsc_mult,
			  clock_tsc_shift);
}

/*
 * Never before the moment, nor more than two cycles behind it, however long the machine has run: an
 * interrupt that comes before its deadline finds nothing to do, and is armed again and again.
 */
u64 clock_ns_to_cycles(u64 monotonic_ns)
{
	unsigned __int128 product = (unsigned __int128)monotonic_ns * cycles_per_ns;

	if (unlikely((u64)(product >> 64) >> (cycles_fraction - 1)))
		return U64_MAX; /* centuries */
	return boot_info.first_cycles + 2 + shift_down(product, cycles_fraction);
}

/* The inverse of what gives the nanoseconds, and of no other figure for the same frequency. */
static void __init cycles_init(void)
{
	cycles_fraction = 63;
	while (((unsigned __int128)1 << (clock_tsc_shift + cycles_fraction)) / clock_tsc_mult >> 64)
		cycles_fraction--;
	cycles_per_ns = (u64)(((unsigned __int128)1 << (clock_tsc_shift + cycles_fraction)) /
			      clock_tsc_mult);
}

u64 clock_monotonic_ns(void)
{
	return clock_cycles_to_ns(cpu_cycles());
}

u64 clock_boottime_ns(void)
{
	return clock_monotonic_ns();
}

s64 clock_realtime_offset_ns(void)
{
	u32 start;
	s64 offset;

	do {
		start = seq_read_begin(&clock_sequence);
		offset = READ_ONCE(realtime_offset);
	} while (seq_read_retry(&clock_sequence, start));
	return offset;
}

u64 clock_realtime_ns(void)
{
	return clock_monotonic_ns() + (u64)clock_realtime_offset_ns();
}

u64 clock_coarse_monotonic_ns(void)
{
	return READ_ONCE(coarse_monotonic);
}

u64 clock_coarse_realtime_ns(void)
{
	return READ_ONCE(coarse_monotonic) + (u64)clock_realtime_offset_ns();
}

/* Publishes the values of this moment; clock_lock held, interrupts off. */
static void publish(u64 now)
{
	struct vdso_data *d = vdso_data;

	seq_write_begin(&clock_sequence);
	if (now > coarse_monotonic)
		WRITE_ONCE(coarse_monotonic, now);
	if (d) {
		WRITE_ONCE(d->sequence, d->sequence + 1);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		d->realtime_offset_ns = (u64)realtime_offset;
		d->coarse_monotonic_ns = coarse_monotonic;
		d->nr_cpus = nr_cpus;
		__atomic_thread_fence(__ATOMIC_RELEASE);
		WRITE_ONCE(d->sequence, d->sequence + 1);
	}
	seq_write_end(&clock_sequence);
}

void clock_tick(void)
{
	if (!spin_try_lock(&clock_lock))
		return;

	u64 now = clock_monotonic_ns();

	/* Several CPUs tick; one publication a millisecond is enough. */
	if (now - coarse_monotonic >= (u64)NSEC_PER_MSEC)
		publish(now);
	spin_unlock(&clock_lock);
}

static void move_timers(void *unused)
{
	timer_clock_was_set();
}

void clock_set_realtime_ns(u64 ns)
{
	u64 flags = spin_lock_irq(&clock_lock);
	u64 now = clock_monotonic_ns();

	realtime_offset = (s64)(ns - now);
	publish(now);
	set_count++;
	spin_unlock_irq(&clock_lock, flags);
	preempt_disable();
	cpu_call_mask(READ_ONCE(sched_online_map), move_timers, NULL);
	preempt_enable();
	wake_all(&set_queue);
}

u64 clock_set_count(void)
{
	return READ_ONCE(set_count);
}

struct wait_queue *clock_set_queue(void)
{
	return &set_queue;
}

void __init clock_init(void)
{
	u64 flags = irq_save();

	cycles_init();
	realtime_offset = (s64)(arch_wall_clock_ns() - clock_monotonic_ns());
	if (vdso_data) {
		vdso_data->cycles_base = boot_info.first_cycles;
		vdso_data->mult = clock_tsc_mult;
		vdso_data->shift = clock_tsc_shift;
		vdso_data->monotonic_ns = 0;
		vdso_data->tsc_usable = 1;
	}
	publish(clock_monotonic_ns());
	timer_tick_start(clock_monotonic_ns());
	irq_restore(flags);
}
