/* Clocks and sleeping. */
#include "syscalls.h"
#include "timespec.h"

#include <nos/process.h>
#include <nos/string.h>
#include <nos/vdso.h>

#include <linux/capability.h>
#include <linux/time.h>
#include <linux/timex.h>

#define TICK_NS (NSEC_PER_SEC / 100)
#define YEARS_MAX_SEC (S64_MAX / NSEC_PER_SEC)

/* ---- reading ---- */

static int clock_read(int clock, u64 *ns)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_TAI:
	case CLOCK_REALTIME_ALARM:
		*ns = clock_realtime_ns();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
		*ns = clock_monotonic_ns();
		return 0;
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ns = clock_boottime_ns();
		return 0;
	case CLOCK_REALTIME_COARSE:
		*ns = clock_coarse_realtime_ns();
		return 0;
	case CLOCK_MONOTONIC_COARSE:
		*ns = clock_coarse_monotonic_ns();
		return 0;
	default:
		return cpu_clock_read(clock, ns);
	}
}

long sys_clock_gettime(int clock, void __user *time)
{
	struct __kernel_timespec ts;
	u64 ns;
	int err = clock_read(clock, &ns);

	if (err)
		return err;
	ts = timespec_from_ns(ns);
	return put_user(ts, (struct __kernel_timespec __user *)time);
}

long sys_clock_getres(int clock, void __user *res)
{
	struct __kernel_timespec ts = { .tv_nsec = 1 };
	u64 ns;
	int err = clock_read(clock, &ns);

	if (err)
		return err;
	if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
		ts.tv_nsec = TICK_NS;
	return res ? put_user(ts, (struct __kernel_timespec __user *)res) : 0;
}

long sys_gettimeofday(void __user *tv, void __user *tz)
{
	u64 ns = clock_realtime_ns();
	struct __kernel_old_timeval t = { (long)(ns / NSEC_PER_SEC),
					  (long)(ns % NSEC_PER_SEC / NSEC_PER_USEC) };
	struct timezone zone = { vdso_data->tz_minuteswest, vdso_data->tz_dsttime };

	if (tv && put_user(t, (struct __kernel_old_timeval __user *)tv))
		return -EFAULT;
	if (tz && put_user(zone, (struct timezone __user *)tz))
		return -EFAULT;
	return 0;
}

long sys_time(void __user *time)
{
	s64 now = (s64)(clock_realtime_ns() / NSEC_PER_SEC);

	if (time && put_user(now, (s64 __user *)time))
		return -EFAULT;
	return now;
}

/* ---- setting ---- */

static int set_realtime(const struct __kernel_timespec *ts)
{
	if (!timespec_is_valid(ts) || ts->tv_sec > YEARS_MAX_SEC)
		return -EINVAL;
	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	if (timespec_to_ns(ts) < clock_monotonic_ns())
		return -EINVAL;
	clock_set_realtime_ns(timespec_to_ns(ts));
	return 0;
}

long sys_clock_settime(int clock, const void __user *time)
{
	struct __kernel_timespec ts;

	if (clock != CLOCK_REALTIME)
		return -EINVAL;
	if (get_user(ts, (const struct __kernel_timespec __user *)time))
		return -EFAULT;
	return set_realtime(&ts);
}

long sys_settimeofday(const void __user *tv, const void __user *tz)
{
	struct __kernel_old_timeval t;
	struct timezone zone;

	if (tv) {
		if (get_user(t, (const struct __kernel_old_timeval __user *)tv))
			return -EFAULT;
		if (t.tv_usec < 0 || t.tv_usec >= 1000000)
			return -EINVAL;
		struct __kernel_timespec ts = { t.tv_sec, t.tv_usec * 1000 };
		int err = set_realtime(&ts);

		if (err)
			return err;
	}
	if (tz) {
		if (get_user(zone, (const struct timezone __user *)tz))
			return -EFAULT;
		if (!capable(CAP_SYS_TIME))
			return -EPERM;
		if (zone.tz_minuteswest > 15 * 60 || zone.tz_minuteswest < -15 * 60)
			return -EINVAL;
		vdso_data->tz_minuteswest = zone.tz_minuteswest;
		vdso_data->tz_dsttime = zone.tz_dsttime;
	}
	return 0;
}

/* ADJ_SETOFFSET: moves the clock by a time, which may be negative (nanoseconds always count up). */
static int step(const struct __kernel_timex *tx)
{
	s64 nsec = tx->modes & ADJ_NANO ? tx->time.tv_usec : tx->time.tv_usec * 1000, to;

	if (tx->time.tv_usec < 0 || nsec < 0 || nsec >= NSEC_PER_SEC ||
	    tx->time.tv_sec > YEARS_MAX_SEC || tx->time.tv_sec < -YEARS_MAX_SEC ||
	    __builtin_add_overflow((s64)clock_realtime_ns(), tx->time.tv_sec * NSEC_PER_SEC + nsec,
				   &to) ||
	    to < (s64)clock_monotonic_ns())
		return -EINVAL;
	clock_set_realtime_ns((u64)to);
	return 0;
}

/* The state of a clock that nobody steers; a step is the one change that is done. */
static long adjust(struct __kernel_timex *tx)
{
	u64 now;

	if (tx->modes && !(tx->modes == ADJ_OFFSET_SS_READ) && !capable(CAP_SYS_TIME))
		return -EPERM;
	if (tx->modes & ADJ_SETOFFSET) {
		int err = step(tx);

		if (err)
			return err;
	}
	now = clock_realtime_ns();
	memset(tx, 0, sizeof(*tx));
	tx->status = STA_UNSYNC;
	tx->maxerror = 16000000;
	tx->esterror = 16000000;
	tx->constant = 2;
	tx->precision = 1;
	tx->tolerance = 32768000;
	tx->tick = 10000;
	tx->time.tv_sec = (s64)(now / NSEC_PER_SEC);
	tx->time.tv_usec = (s64)(now % NSEC_PER_SEC / NSEC_PER_USEC);
	return TIME_ERROR;
}

long sys_clock_adjtime(int clock, void __user *buf)
{
	struct __kernel_timex tx;
	long state;

	if (clock != CLOCK_REALTIME)
		return -EINVAL;
	if (get_user(tx, (struct __kernel_timex __user *)buf))
		return -EFAULT;
	state = adjust(&tx);
	if (state >= 0 && put_user(tx, (struct __kernel_timex __user *)buf))
		return -EFAULT;
	return state;
}

long sys_adjtimex(void __user *buf)
{
	return sys_clock_adjtime(CLOCK_REALTIME, buf);
}

/* ---- sleeping ---- */

/* 0 at the time, -ERESTARTSYS before. */
static int sleep_until(u64 deadline_ns, bool realtime)
{
	int err = 0;

	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (signal_is_pending()) {
			err = -ERESTARTSYS;
			break;
		}
		if (realtime ? thread_block_until_realtime(deadline_ns) :
			       thread_block_until(deadline_ns))
			break;
	}
	thread_set_state(THREAD_RUNNABLE);
	return err;
}

/* CPU time passes at most as fast as all threads run at once. */
static int sleep_until_cpu_time(int clock, u64 target_ns)
{
	u64 now;

	for (;;) {
		int err = cpu_clock_read(clock, &now);
		u64 share;

		if (err)
			return err;
		if (now >= target_ns)
			return 0;
		share = (target_ns - now) / min(process_current()->nr_live, nr_cpus);
		err = sleep_until(clock_monotonic_ns() + max(share, (u64)NSEC_PER_MSEC), false);
		if (err)
			return err;
	}
}

static int put_left(u64 address, u64 deadline_ns)
{
	u64 now = clock_monotonic_ns();
	struct __kernel_timespec ts = timespec_from_ns(deadline_ns > now ? deadline_ns - now : 0);

	if (!address)
		return 0;
	return put_user(ts, (struct __kernel_timespec __user *)address);
}

/* restart_data: deadline on CLOCK_MONOTONIC, address for what is left. */
static long sleep_again(struct task *t)
{
	u64 deadline = t->restart_data[0], address = t->restart_data[1];

	if (!sleep_until(deadline, false))
		return 0;
	if (put_left(address, deadline))
		return -EFAULT;
	t->restart = sleep_again;
	return -ERESTART_RESTARTBLOCK;
}

static long sleep_relative(u64 ns, void __user *remain)
{
	struct task *t = task_current();
	u64 now = clock_monotonic_ns();

	t->restart_data[0] = ns >= TIME_NEVER - now ? TIME_NEVER - 1 : now + ns;
	t->restart_data[1] = (u64)remain;
	return sleep_again(t);
}

long sys_nanosleep(const void __user *request, void __user *remain)
{
	struct __kernel_timespec ts;

	if (get_user(ts, (const struct __kernel_timespec __user *)request))
		return -EFAULT;
	if (!timespec_is_valid(&ts))
		return -EINVAL;
	return sleep_relative(timespec_to_ns(&ts), remain);
}

static long sleep_cpu_clock(int clock, bool absolute, u64 ns)
{
	u64 now;
	int err = cpu_clock_read(clock, &now);

	if (err)
		return err;
	err = sleep_until_cpu_time(clock, absolute ? ns : now + ns);
	return err == -ERESTARTSYS ? (absolute ? -ERESTARTNOHAND : -EINTR) : err;
}

long sys_clock_nanosleep(int clock, int flags, const void __user *request, void __user *remain)
{
	bool absolute = flags & TIMER_ABSTIME;
	struct __kernel_timespec ts;
	u64 ns;
	int err;

	if (clock == CLOCK_THREAD_CPUTIME_ID || clock == CLOCK_MONOTONIC_COARSE ||
	    clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_RAW)
		return -EOPNOTSUPP;
	if (clock >= 0) {
		err = clock_read(clock, &ns);
		if (err)
			return err;
	}
	if (get_user(ts, (const struct __kernel_timespec __user *)request))
		return -EFAULT;
	if (!timespec_is_valid(&ts))
		return -EINVAL;
	if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) &&
	    !capable(CAP_WAKE_ALARM))
		return -EPERM;
	/* A thread can't wait for its own CPU time. */
	if (clock < 0 && (clock & 4) &&
	    (~(clock >> 3) == 0 || ~(clock >> 3) == task_current()->tid))
		return -EINVAL;
	ns = timespec_to_ns(&ts);
	if (clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID)
		return sleep_cpu_clock(clock, absolute, ns);
	if (!absolute)
		return sleep_relative(ns, remain);
	err = sleep_until(ns, clock == CLOCK_REALTIME || clock == CLOCK_TAI ||
				      clock == CLOCK_REALTIME_ALARM);
	return err ? -ERESTARTNOHAND : 0;
}
