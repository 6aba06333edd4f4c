/* wait4(2), waitid(2). */
#include "syscalls.h"
#include "usage.h"

#include <nos/process.h>
#include <nos/string.h>

#include <asm/siginfo.h>
#include <linux/fcntl.h>
#include <linux/wait.h>

long sys_wait4(int pid, void __user *status, int options, void __user *rusage)
{
	struct wait_request r = { .type = P_ALL, .options = options | WEXITED };
	struct wait_result w;
	int err;

	if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid > 0) {
		r.type = P_PID;
		r.id = pid;
	} else if (pid != -1) {
		r.type = P_PGID;
		r.id = pid ? -pid : process_get_group(0);
	}
	err = process_wait(&r, &w);
	if (err || w.pid == 0)
		return err;
	if (status && put_user(w.status, (int __user *)status))
		return -EFAULT;
	if (rusage && usage_to_user(rusage, &w.usage))
		return -EFAULT;
	return w.pid;
}

static int resolve_pidfd(int fd, struct wait_request *r)
{
	struct file *f = fd_get_file(fd);
	struct pid_entry *p = f ? pidfd_get(f) : NULL;
	int err = f && p ? 0 : -EBADF;

	if (p) {
		r->type = P_PID;
		r->id = p->nr;
		if (f->flags & O_NONBLOCK)
			r->options |= WNOHANG;
		pid_put(p);
	}
	if (f)
		file_put(f);
	return err;
}

static int resolve_id(int which, int id, struct wait_request *r)
{
	r->type = which;
	r->id = id;
	switch (which) {
	case P_ALL:
		return 0;
	case P_PID:
		return id > 0 ? 0 : -EINVAL;
	case P_PGID:
		if (id < 0)
			return -EINVAL;
		if (id == 0)
			r->id = process_get_group(0);
		return 0;
	case P_PIDFD:
		return id < 0 ? -EINVAL : resolve_pidfd(id, r);
	default:
		return -EINVAL;
	}
}

long sys_waitid(int which, int id, void __user *info, int options, void __user *rusage)
{
	struct wait_request r = { .options = options };
	struct signal_info si;
	struct wait_result w;
	bool nonblocking;
	int err;

	if (options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
			__WCLONE | __WALL))
		return -EINVAL;
	if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	err = resolve_id(which, id, &r);
	if (err)
		return err;
	nonblocking = (r.options & WNOHANG) && !(options & WNOHANG);
	err = process_wait(&r, &w);
	if (err)
		return err;
	if (w.pid == 0 && nonblocking)
		return -EAGAIN;
	if (w.pid && rusage && usage_to_user(rusage, &w.usage))
		return -EFAULT;
	if (!info)
		return 0;
	memset(&si, 0, sizeof(si));
	if (w.pid) {
		si.signo = SIGCHLD;
		si.code = w.code;
		si.pid = w.pid;
		si.uid = w.uid;
		si.status = w.code_status;
	}
	/* Only what waitid(2) names is written: signo, errno, code, then pid, uid, status. */
	return copy_to_user(info, &si, 28) ? -EFAULT : 0;
}
