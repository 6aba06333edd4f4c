/* signalfd(2), signalfd4(2). */
#include "syscalls.h"

#include <nos/file.h>
#include <nos/ipc.h>
#include <linux/fcntl.h>

long sys_signalfd4(int fd, const void __user *mask, size_t set_size, int flags)
{
	struct file *f;
	u64 set;

	if (set_size != sizeof(set))
		return -EINVAL;
	if (get_user(set, mask))
		return -EFAULT;
	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (fd != -1) {
		long err;

		scoped_fd r = fd_lookup(fd);
		if (!r.file)
			return -EBADF;
		err = signalfd_set_mask(r.file, set);
		return err ? err : fd;
	}
	f = signalfd_create(set, (u32)flags);
	return is_err(f) ? ptr_err(f) : fd_add(f, (u32)flags & O_CLOEXEC);
}

long sys_signalfd(int fd, const void __user *mask, size_t set_size)
{
	return sys_signalfd4(fd, mask, set_size, 0);
}
