/* Processes and threads: clone family, exit, ids, groups, pidfds, namespaces. */
#include "syscalls.h"

#include <nos/process.h>
#include <nos/slab.h>
#include <nos/string.h>

#include <asm/siginfo.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/kcmp.h>
#include <linux/limits.h>
#include <linux/pidfd.h>
#include <linux/sched.h>

#define CLONE3_SIZE_MAX 4096

long sys_fork(void)
{
	struct clone_request r = { .exit_signal = SIGCHLD };

	return process_clone(&r, trap_user_frame());
}

long sys_vfork(void)
{
	struct clone_request r = { .flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD };

	return process_clone(&r, trap_user_frame());
}

long sys_clone(unsigned long flags, unsigned long stack, void __user *parent_tid,
	       void __user *child_tid, unsigned long tls)
{
	struct clone_request r = {
		.flags = (u32)flags & ~(u32)CSIGNAL,
		.stack = stack,
		.tls = tls,
		.parent_tid = (u64)parent_tid,
		.child_tid = (u64)child_tid,
		.pidfd = (u64)parent_tid,
		.exit_signal = flags & CSIGNAL,
	};

	if ((flags & CLONE_PIDFD) && (flags & CLONE_PARENT_SETTID))
		return -EINVAL;
	if (r.exit_signal > NR_SIGNALS)
		return -EINVAL;
	return process_clone(&r, trap_user_frame());
}

/* A structure that grows over time: what the caller has beyond ours must be zero. */
static int copy_struct(void *to, size_t size, const void __user *from, size_t user_size)
{
	size_t common = min(size, user_size);
	u8 rest[64];

	memset(to, 0, size);
	if (copy_from_user(to, from, common))
		return -EFAULT;
	for (size_t at = common; at < user_size; at += sizeof(rest)) {
		size_t n = min(user_size - at, sizeof(rest));

		if (copy_from_user(rest, (const char __user *)from + at, n))
			return -EFAULT;
		for (size_t i = 0; i < n; i++) {
			if (rest[i])
				return -E2BIG;
		}
	}
	return 0;
}

static int check_clone3(const struct clone_args *a)
{
	if (a->flags & ~(0xffffffffull | CLONE_CLEAR_SIGHAND) || (a->flags & CSIGNAL))
		return -EINVAL;
	if (a->flags & (CLONE_DETACHED | CLONE_INTO_CGROUP))
		return -EINVAL;
	if (a->exit_signal > NR_SIGNALS)
		return -EINVAL;
	if ((a->flags & (CLONE_THREAD | CLONE_PARENT)) && a->exit_signal)
		return -EINVAL;
	if (!a->stack != !a->stack_size)
		return -EINVAL;
	if (a->stack &&
	    (a->stack >= USER_ADDRESS_END || a->stack_size > USER_ADDRESS_END - a->stack))
		return -EINVAL;
	if (a->set_tid_size > 32 || !a->set_tid != !a->set_tid_size)
		return -EINVAL;
	return 0;
}

long sys_clone3(void __user *args, size_t size)
{
	struct clone_args a;
	s32 set_tid[32];
	int err;

	if (size > CLONE3_SIZE_MAX)
		return -E2BIG;
	if (size < CLONE_ARGS_SIZE_VER0)
		return -EINVAL;
	err = copy_struct(&a, sizeof(a), args, size);
	if (!err)
		err = check_clone3(&a);
	if (err)
		return err;
	struct clone_request r = {
		.flags = a.flags,
		.stack = a.stack,
		.stack_size = a.stack_size,
		.tls = a.tls,
		.parent_tid = a.parent_tid,
		.child_tid = a.child_tid,
		.pidfd = a.pidfd,
		.exit_signal = (u32)a.exit_signal,
		.set_tid = set_tid,
		.nr_set_tid = (u32)a.set_tid_size,
	};

	if (a.set_tid_size > 1)
		return -EINVAL;
	if (a.set_tid_size) {
		if (!capable(CAP_SYS_ADMIN) && !capable(CAP_CHECKPOINT_RESTORE))
			return -EPERM;
		if (copy_from_user(set_tid, (const void __user *)a.set_tid, sizeof(s32)))
			return -EFAULT;
		if (set_tid[0] <= 0)
			return -EINVAL;
	}
	return process_clone(&r, trap_user_frame());
}

long sys_exit(int status)
{
	process_exit_task((status & 0xff) << 8);
}

long sys_exit_group(int status)
{
	process_exit_group((status & 0xff) << 8);
}

/* ---- ids ---- */

long sys_getpid(void)
{
	return process_current()->tgid;
}

long sys_gettid(void)
{
	return task_current()->tid;
}

long sys_getppid(void)
{
	struct process *p = process_current();
	scoped_rcu();

	return p->is_init ? 0 : rcu_load(p->parent)->tgid;
}

long sys_getpgid(int pid)
{
	return process_get_group(pid);
}

long sys_getpgrp(void)
{
	return process_get_group(0);
}

long sys_getsid(int pid)
{
	return process_get_session(pid);
}

long sys_setpgid(int pid, int pgid)
{
	return process_set_group(pid, pgid);
}

long sys_setsid(void)
{
	return process_new_session();
}

long sys_set_tid_address(void __user *tidptr)
{
	struct task *t = task_current();

	t->clear_tid = (u64)tidptr;
	return t->tid;
}

/* ---- pidfds ---- */

/* The entry behind a pidfd: counted, or ERR. */
static struct pid_entry *pidfd_lookup(int fd)
{
	struct file *f = fd_get_file(fd);
	struct pid_entry *p = f ? pidfd_get(f) : NULL;

	if (f)
		file_put(f);
	return p ? p : err_ptr(-EBADF);
}

static struct process *process_of_entry(struct pid_entry *e)
{
	scoped_rcu();
	struct process *p = rcu_load(e->process);

	return p && ref_get_unless_zero(&p->refs) ? p : NULL;
}

long sys_process_mrelease(int pidfd, unsigned int flags)
{
	struct pid_entry *e;
	struct process *p;
	int err = -ESRCH;

	if (flags)
		return -EINVAL;
	e = pidfd_lookup(pidfd);
	if (is_err(e))
		return ptr_err(e);
	p = process_of_entry(e);
	if (p) {
		err = process_release_memory(p);
		process_put(p);
	}
	pid_put(e);
	return err;
}

long sys_pidfd_open(int pid, unsigned int flags)
{
	struct pid_entry *e;
	struct file *f;

	if (flags & ~(unsigned)PIDFD_NONBLOCK || pid <= 0)
		return -EINVAL;
	e = pid_get(pid);
	if (!e)
		return -ESRCH;
	if (!READ_ONCE(e->process))
		f = err_ptr(READ_ONCE(e->task) ? -EINVAL : -ESRCH);
	else
		f = pidfd_create(e, O_RDWR | flags);
	pid_put(e);
	return is_err(f) ? ptr_err(f) : fd_add(f, O_CLOEXEC);
}

long sys_pidfd_send_signal(int pidfd, int sig, const void __user *info, unsigned int flags)
{
	struct signal_info si;
	struct pid_entry *e;
	struct process *p;
	int err = 0;

	if (flags)
		return -EINVAL;
	e = pidfd_lookup(pidfd);
	if (is_err(e))
		return ptr_err(e);
	p = process_of_entry(e);
	pid_put(e);
	if (info)
		err = signal_info_from_user(&si, info, sig);
	else
		signal_info_user(&si, sig, SI_USER);
	if (!p)
		return err ? err : info && si.signo != sig ? -EINVAL : -ESRCH;
	if (err || !info) {
		/* as it is */
	} else if (si.signo != sig) {
		err = -EINVAL;
	} else if (p != process_current() && (si.code >= 0 || si.code == SI_TKILL)) {
		err = -EPERM;
	}
	if (!err)
		err = signal_permission(p, sig, true);
	if (!err)
		err = signal_send_process(p, sig, &si);
	process_put(p);
	return err;
}

long sys_pidfd_getfd(int pidfd, int target, unsigned int flags)
{
	struct pid_entry *e;
	struct process *p;
	struct file *f = NULL;
	int err;

	if (flags)
		return -EINVAL;
	e = pidfd_lookup(pidfd);
	if (is_err(e))
		return ptr_err(e);
	p = process_of_entry(e);
	pid_put(e);
	if (!p)
		return -ESRCH;

	struct task *leader = process_get_leader(p);

	err = leader ? task_may_inspect(leader, true) : -ESRCH;
	if (!err) {
		struct fd_table *fds = task_get_fds(leader);

		err = fds ? 0 : -ESRCH;
		if (fds) {
			f = fd_table_get_file(fds, (u32)target);
			err = f ? 0 : -EBADF;
			fd_table_put(fds);
		}
	}
	if (leader)
		task_put(leader);
	process_put(p);
	return err ? err : fd_add(f, O_CLOEXEC);
}

/* ---- kcmp(2) ---- */

static int compare(const void *a, const void *b)
{
	/* An order that does not tell addresses: hashed with the boot's key. */
	u64 x, y;

	if (a == b)
		return 0;
	x = hash_bytes(&a, sizeof(a), 7);
	y = hash_bytes(&b, sizeof(b), 7);
	return x < y ? 1 : 2;
}

static int compare_files(struct task *a, struct task *b, u32 fd_a, u32 fd_b)
{
	struct fd_table *ta = task_get_fds(a), *tb = task_get_fds(b);
	struct file *fa = ta ? fd_table_get_file(ta, fd_a) : NULL;
	struct file *fb = tb ? fd_table_get_file(tb, fd_b) : NULL;
	int result = fa && fb ? compare(fa, fb) : -EBADF;

	if (fa)
		file_put(fa);
	if (fb)
		file_put(fb);
	if (ta)
		fd_table_put(ta);
	if (tb)
		fd_table_put(tb);
	return result;
}

static int compare_tasks(struct task *a, struct task *b, int type, u64 idx1, u64 idx2)
{
	int err = task_may_inspect(a, false);

	if (!err)
		err = task_may_inspect(b, false);
	if (err)
		return -EPERM;
	switch (type) {
	case KCMP_FILE:
		return compare_files(a, b, (u32)idx1, (u32)idx2);
	case KCMP_VM:
		return compare(a->thread.aspace, b->thread.aspace);
	case KCMP_FILES:
		return compare(a->fds, b->fds);
	case KCMP_FS:
		return compare(a->fs, b->fs);
	case KCMP_SIGHAND:
		return compare(a->handlers, b->handlers);
	case KCMP_IO:
	case KCMP_SYSVSEM:
		return 0;
	default:
		return -EINVAL;
	}
}

long sys_kcmp(int pid1, int pid2, int type, unsigned long idx1, unsigned long idx2)
{
	struct task *a = task_get(pid1), *b = task_get(pid2);
	int result = a && b ? compare_tasks(a, b, type, idx1, idx2) : -ESRCH;

	if (a)
		task_put(a);
	if (b)
		task_put(b);
	return result;
}

/* ---- namespaces ---- */

long sys_unshare(unsigned long flags)
{
	return process_unshare(flags);
}

long sys_setns(int fd, int type)
{
	scoped_fd r = fd_lookup(fd);

	return r.file ? process_set_namespace(r.file, type) : -EBADF;
}

/* ---- lists of locks in user memory ---- */

long sys_set_robust_list(const void __user *head, size_t len)
{
	if (len != 24) /* struct robust_list_head */
		return -EINVAL;
	task_current()->robust_list = (u64)head;
	return 0;
}

long sys_get_robust_list(int pid, void __user *head, void __user *len)
{
	struct task *t = pid ? task_get(pid) : task_current();
	u64 address;
	int err = 0;

	if (!t)
		return -ESRCH;
	if (task_may_inspect(t, false))
		err = -EPERM;
	address = t->robust_list;
	if (pid)
		task_put(t);
	if (err)
		return err;
	if (put_user((u64)24, (u64 __user *)len))
		return -EFAULT;
	return put_user(address, (u64 __user *)head);
}
