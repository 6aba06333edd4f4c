/* unshare(2): the parts that a task may stop sharing. */
#include "internal.h"

#include <linux/capability.h>
#include <linux/sched.h>

#define UNSHARE_KNOWN                                                                              \
	(CLONE_THREAD | CLONE_FS | CLONE_NEWNS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES |          \
	 CLONE_SYSVSEM | CLONE_NEWUTS)

int task_unshare_files(struct task *t)
{
	struct fd_table *old = t->fds, *new;

	if (ref_read(&old->refs) == 1)
		return 0;
	new = fd_table_copy(old, U32_MAX);
	if (is_err(new))
		return (int)ptr_err(new);
	{
		scoped_spin_irq(&t->lock);
		t->fds = new;
	}
	fd_table_put(old);
	return 0;
}

static int unshare_fs(struct task *t)
{
	struct fs_context *old = t->fs, *new;

	if (ref_read(&old->refs) == 1)
		return 0;
	new = fs_context_copy(old);
	if (!new || is_err(new))
		return -ENOMEM;
	{
		scoped_spin_irq(&t->lock);
		t->fs = new;
	}
	fs_context_put(old);
	return 0;
}

static int unshare_mounts(struct task *t)
{
	struct mount_namespace *old = t->mounts, *new = mount_namespace_copy(old, t->fs);

	if (!new || is_err(new))
		return new ? (int)ptr_err(new) : -ENOMEM;
	{
		scoped_spin_irq(&t->lock);
		t->mounts = new;
	}
	mount_namespace_put(old);
	return 0;
}

static int unshare_uts(struct task *t)
{
	struct uts_namespace *old = t->uts, *new = uts_copy(old);

	if (!new)
		return -ENOMEM;
	{
		scoped_spin_irq(&t->lock);
		t->uts = new;
	}
	uts_put(old);
	return 0;
}

int process_unshare(u64 flags)
{
	struct task *t = task_current();
	int err = 0;

	if (flags & ~(u64)UNSHARE_KNOWN)
		return -EINVAL;
	if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) && t->process->nr_threads > 1)
		return -EINVAL;
	if ((flags & (CLONE_SIGHAND | CLONE_VM)) && ref_read(&t->handlers->refs) > 1)
		return -EINVAL;
	if ((flags & CLONE_VM) && ref_read(&t->thread.aspace->users) > 1)
		return -EINVAL;
	if ((flags & (CLONE_NEWNS | CLONE_NEWUTS)) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	/* A new mount namespace moves root and directory, which are then the task's own. */
	if (flags & (CLONE_FS | CLONE_NEWNS))
		err = unshare_fs(t);
	if (!err && (flags & CLONE_FILES))
		err = task_unshare_files(t);
	if (!err && (flags & CLONE_NEWNS))
		err = unshare_mounts(t);
	if (!err && (flags & CLONE_NEWUTS))
		err = unshare_uts(t);
	return err;
}
