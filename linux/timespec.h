/* Time values of users, for the calls that take a timeout. */
#pragma once

#include <nos/errno.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/uaccess.h>
#include <linux/time_types.h>

/* Nanoseconds; too long a time saturates just below TIME_NEVER. */
static inline u64 timespec_to_ns(const struct __kernel_timespec *t)
{
	if ((u64)t->tv_sec >= U64_MAX / NSEC_PER_SEC - 1)
		return TIME_NEVER - 1;
	return (u64)t->tv_sec * NSEC_PER_SEC + (u64)t->tv_nsec;
}

static inline bool timespec_is_valid(const struct __kernel_timespec *t)
{
	return t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < NSEC_PER_SEC;
}

static inline struct __kernel_timespec timespec_from_ns(u64 ns)
{
	return (struct __kernel_timespec){ .tv_sec = (s64)(ns / NSEC_PER_SEC),
					   .tv_nsec = (long long)(ns % NSEC_PER_SEC) };
}

/* The moment on CLOCK_MONOTONIC that lies `ns` ahead, as poll_items takes it: 0 = do not wait. */
static inline u64 deadline_after(u64 ns)
{
	u64 now;

	if (ns == 0)
		return 0;
	now = clock_monotonic_ns();
	return ns >= TIME_NEVER - now ? TIME_NEVER : now + ns;
}

static inline u64 deadline_left(u64 deadline_ns)
{
	u64 now = deadline_ns ? clock_monotonic_ns() : 0;

	return deadline_ns > now ? deadline_ns - now : 0;
}

/* A relative timeout: NULL is TIME_NEVER. */
static inline int deadline_from_user(const void __user *from, u64 *deadline_ns)
{
	struct __kernel_timespec t;

	*deadline_ns = TIME_NEVER;
	if (!from)
		return 0;
	if (get_user(t, from))
		return -EFAULT;
	if (!timespec_is_valid(&t))
		return -EINVAL;
	*deadline_ns = deadline_after(timespec_to_ns(&t));
	return 0;
}
