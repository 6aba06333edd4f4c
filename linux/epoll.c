/* epoll_create(2), epoll_ctl(2), epoll_wait(2). */
#include "syscalls.h"
#include "timespec.h"
#include "user_path.h"

#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/task.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>

#define EPOLL_MAX_EVENTS ((int)(0x7fffffff / sizeof(struct epoll_event)))

static long epoll_make(u32 flags)
{
	struct file *f = epoll_create(flags);

	return is_err(f) ? ptr_err(f) : fd_add(f, flags & O_CLOEXEC);
}

long sys_epoll_create(int size)
{
	return size <= 0 ? -EINVAL : epoll_make(0);
}

long sys_epoll_create1(int flags)
{
	return flags & ~EPOLL_CLOEXEC ? -EINVAL : epoll_make((u32)flags);
}

long sys_epoll_ctl(int epfd, int op, int fd, const void __user *event)
{
	struct epoll_event e = { 0 };

	if (op != EPOLL_CTL_DEL && get_user(e, event))
		return -EFAULT;
	scoped_fd ep = fd_lookup(epfd);
	scoped_fd target = fd_lookup(fd);
	if (!ep.file || !target.file)
		return -EBADF;
	return epoll_control(ep.file, op, fd, target.file, &e);
}

static __noinline long wait_counted(int epfd, void __user *events, int max, u64 deadline_ns)
{
	struct iobuf to;

	if (max <= 0 || max > EPOLL_MAX_EVENTS)
		return -EINVAL;
	if (!user_range_ok((u64)events, (u64)max * sizeof(struct epoll_event)))
		return -EFAULT;
	scoped_fd ep = fd_lookup(epfd);
	if (!ep.file)
		return -EBADF;
	iobuf_init_user(&to, (u64)events, (u64)max * sizeof(struct epoll_event));
	return epoll_wait_events(ep.file, &to, max, deadline_ns);
}

static inline __always_inline long epoll_wait_until(int epfd, void __user *events, int max,
						    u64 deadline_ns)
{
	struct file *f = fd_light(epfd);
	u64 bytes = (u64)(u32)max * sizeof(struct epoll_event);
	struct iobuf to;

	if (unlikely(!f || (f->mode & FILE_PATH) || (u32)max - 1 >= EPOLL_MAX_EVENTS ||
		     ((u64)events | ((u64)events + bytes)) >> 47))
		return wait_counted(epfd, events, max, deadline_ns);
	iobuf_init_user(&to, (u64)events, bytes);
	return epoll_wait_events(f, &to, max, deadline_ns);
}

static u64 deadline_after_ms(int timeout_ms)
{
	return timeout_ms < 0 ? TIME_NEVER : deadline_after((u64)timeout_ms * NSEC_PER_MSEC);
}

static int temporary_mask(const void __user *sigmask, size_t set_size)
{
	signal_set_t set;

	if (!sigmask)
		return 0;
	if (set_size != sizeof(set))
		return -EINVAL;
	if (get_user(set, sigmask))
		return -EFAULT;
	signal_set_temporary_mask(set);
	return 0;
}

__hot long sys_epoll_wait(int epfd, void __user *events, int max, int timeout_ms)
{
	u64 deadline_ns = 0;

	if (timeout_ms)
		deadline_ns = deadline_after_ms(timeout_ms);
	return epoll_wait_until(epfd, events, max, deadline_ns);
}

long sys_epoll_pwait(int epfd, void __user *events, int max, int timeout_ms,
		     const void __user *sigmask, size_t set_size)
{
	int err = temporary_mask(sigmask, set_size);

	return err ? err : epoll_wait_until(epfd, events, max, deadline_after_ms(timeout_ms));
}

long sys_epoll_pwait2(int epfd, void __user *events, int max, const void __user *timeout,
		      const void __user *sigmask, size_t set_size)
{
	u64 deadline_ns;
	int err = deadline_from_user(timeout, &deadline_ns);

	if (!err)
		err = temporary_mask(sigmask, set_size);
	return err ? err : epoll_wait_until(epfd, events, max, deadline_ns);
}
