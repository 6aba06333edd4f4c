/* POSIX timers, interval timers, alarm. */
#include "syscalls.h"
#include "timespec.h"

#include <nos/process.h>
#include <nos/string.h>

#include <asm/siginfo.h>
#include <linux/time.h>

static u64 ns_of_timeval(const struct __kernel_old_timeval *t)
{
	if ((u64)t->tv_sec >= U64_MAX / NSEC_PER_SEC - 1)
		return TIME_NEVER - 1;
	return (u64)t->tv_sec * NSEC_PER_SEC + (u64)t->tv_usec * NSEC_PER_USEC;
}

static struct __kernel_old_timeval timeval_of_ns(u64 ns)
{
	/* A timer that still runs never reads as zero, which means disarmed. */
	u64 usec = ns ? max(ns / (u64)NSEC_PER_USEC, 1ull) : 0;

	return (struct __kernel_old_timeval){ (long)(usec / 1000000), (long)(usec % 1000000) };
}

static bool timeval_is_valid(const struct __kernel_old_timeval *t)
{
	return t->tv_sec >= 0 && t->tv_usec >= 0 && t->tv_usec < 1000000;
}

struct old_itimerval {
	struct __kernel_old_timeval interval, value;
};

static long put_itimer(void __user *to, const struct timer_setting *s)
{
	struct old_itimerval v = { timeval_of_ns(s->interval_ns), timeval_of_ns(s->value_ns) };

	return put_user(v, (struct old_itimerval __user *)to);
}

long sys_getitimer(int which, void __user *value)
{
	struct timer_setting s;

	if (which < ITIMER_REAL || which > ITIMER_PROF)
		return -EINVAL;
	itimer_get(which, &s);
	return put_itimer(value, &s);
}

long sys_setitimer(int which, const void __user *value, void __user *old)
{
	struct old_itimerval v = { 0 };
	struct timer_setting new, was;

	if (value && get_user(v, (const struct old_itimerval __user *)value))
		return -EFAULT;
	if (which < ITIMER_REAL || which > ITIMER_PROF)
		return -EINVAL;
	if (!timeval_is_valid(&v.value) || !timeval_is_valid(&v.interval))
		return -EINVAL;
	new = (struct timer_setting){ ns_of_timeval(&v.value), ns_of_timeval(&v.interval) };
	itimer_set(which, &new, &was);
	return old ? put_itimer(old, &was) : 0;
}

long sys_alarm(unsigned int seconds)
{
	struct timer_setting new = { (u64)seconds * NSEC_PER_SEC, 0 }, was;
	u64 left;

	itimer_set(ITIMER_REAL, &new, &was);
	/* Rounded, but what is left is never told as nothing. */
	left = (was.value_ns + NSEC_PER_SEC / 2) / NSEC_PER_SEC;
	return was.value_ns && !left ? 1 : (long)left;
}

/* ---- POSIX timers ---- */

long sys_timer_create(int clock, const void __user *event, void __user *timer)
{
	struct timer_event e = { .notify = SIGEV_SIGNAL, .signo = SIGALRM };
	struct sigevent given;
	s32 id;

	if (event) {
		if (get_user(given, (const struct sigevent __user *)event))
			return -EFAULT;
		e.notify = given.sigev_notify;
		e.signo = given.sigev_signo;
		e.value = (u64)given.sigev_value.sival_ptr;
		e.tid = given._sigev_un._tid;
	}
	id = posix_timer_create(clock, &e);
	if (id < 0)
		return id;
	if (put_user(id, (s32 __user *)timer)) {
		posix_timer_delete(id);
		return -EFAULT;
	}
	return 0;
}

static long put_setting(void __user *to, const struct timer_setting *s)
{
	struct __kernel_itimerspec v = { timespec_from_ns(s->interval_ns),
					 timespec_from_ns(s->value_ns) };

	return put_user(v, (struct __kernel_itimerspec __user *)to);
}

long sys_timer_settime(int timer, int flags, const void __user *new, void __user *old)
{
	struct __kernel_itimerspec v;
	struct timer_setting s, was;
	int err;

	if (!new)
		return -EINVAL;
	if (get_user(v, (const struct __kernel_itimerspec __user *)new))
		return -EFAULT;
	if (!timespec_is_valid(&v.it_value) || !timespec_is_valid(&v.it_interval))
		return -EINVAL;
	s = (struct timer_setting){ timespec_to_ns(&v.it_value), timespec_to_ns(&v.it_interval) };
	err = posix_timer_set(timer, flags & TIMER_ABSTIME, &s, &was);
	if (err)
		return err;
	return old ? put_setting(old, &was) : 0;
}

long sys_timer_gettime(int timer, void __user *value)
{
	struct timer_setting s;
	int err = posix_timer_get(timer, &s);

	return err ? err : put_setting(value, &s);
}

long sys_timer_getoverrun(int timer)
{
	return posix_timer_overrun(timer);
}

long sys_timer_delete(int timer)
{
	return posix_timer_delete(timer);
}
