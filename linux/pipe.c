/* pipe(2), pipe2(2). */
#include "syscalls.h"

#include <nos/file.h>
#include <nos/ipc.h>
#include <linux/fcntl.h>

static long pipe_make(s32 __user *fds, u32 flags)
{
	struct file *ends[2];
	s32 fd[2];
	int err = pipe_create_files(ends, flags);

	if (err)
		return err;
	fd[0] = fd_allocate(0, flags & O_CLOEXEC);
	fd[1] = fd[0] < 0 ? fd[0] : fd_allocate(0, flags & O_CLOEXEC);
	err = fd[1] < 0 ? fd[1] : copy_to_user(fds, fd, sizeof(fd)) ? -EFAULT : 0;
	if (err) {
		if (fd[0] >= 0)
			fd_cancel(fd[0]);
		if (fd[1] >= 0)
			fd_cancel(fd[1]);
		file_put(ends[0]);
		file_put(ends[1]);
		return err;
	}
	fd_install(fd[0], ends[0]);
	fd_install(fd[1], ends[1]);
	return 0;
}

long sys_pipe(void __user *fds)
{
	return pipe_make(fds, 0);
}

long sys_pipe2(void __user *fds, int flags)
{
	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	return pipe_make(fds, (u32)flags);
}
