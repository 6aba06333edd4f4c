/* timerfd_create(2), timerfd_settime(2), timerfd_gettime(2). */
#include "syscalls.h"
#include "timespec.h"

#include <nos/cred.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/time.h>
#include <linux/timerfd.h>

static u64 ns_of(const struct __kernel_timespec *t)
{
	return min(timespec_to_ns(t), (u64)S64_MAX);
}

static struct __kernel_itimerspec itimerspec_of(const struct timerfd_setting *s)
{
	return (struct __kernel_itimerspec){ .it_interval = timespec_from_ns(s->interval_ns),
					     .it_value = timespec_from_ns(s->value_ns) };
}

long sys_timerfd_create(int clock, int flags)
{
	struct file *f;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) &&
	    !capable(CAP_WAKE_ALARM))
		return -EPERM;
	f = timerfd_create(clock, (u32)flags);
	return is_err(f) ? ptr_err(f) : fd_add(f, (u32)flags & O_CLOEXEC);
}

long sys_timerfd_settime(int fd, int flags, const void __user *new, void __user *old)
{
	struct timerfd_setting to, before;
	struct __kernel_itimerspec t;
	long err;

	if (get_user(t, new))
		return -EFAULT;
	if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) ||
	    !timespec_is_valid(&t.it_interval) || !timespec_is_valid(&t.it_value))
		return -EINVAL;
	to.value_ns = ns_of(&t.it_value);
	to.interval_ns = ns_of(&t.it_interval);
	scoped_fd r = fd_lookup(fd);
	if (!r.file)
		return -EBADF;
	err = timerfd_set(r.file, (u32)flags, &to, &before);
	if (err || !old)
		return err;
	t = itimerspec_of(&before);
	return put_user(t, old);
}

long sys_timerfd_gettime(int fd, void __user *value)
{
	struct timerfd_setting s;
	struct __kernel_itimerspec t;
	long err;

	scoped_fd r = fd_lookup(fd);
	if (!r.file)
		return -EBADF;
	err = timerfd_get(r.file, &s);
	if (err)
		return err;
	t = itimerspec_of(&s);
	return put_user(t, value);
}
