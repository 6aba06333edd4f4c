/* eventfd(2), eventfd2(2). */
#include "syscalls.h"

#include <nos/file.h>
#include <nos/ipc.h>
#include <linux/fcntl.h>

#define EFD_SEMAPHORE 1 /* libc's header has it, the kernel's of Debian 12 do not */

long sys_eventfd2(unsigned int count, int flags)
{
	struct file *f;

	if (flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	f = eventfd_create(count, (flags & EFD_SEMAPHORE) != 0, (u32)flags);
	return is_err(f) ? ptr_err(f) : fd_add(f, (u32)flags & O_CLOEXEC);
}

long sys_eventfd(unsigned int count)
{
	return sys_eventfd2(count, 0);
}
