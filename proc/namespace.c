/*
 * Namespaces: unshare(2), the parts that a task may stop sharing; their files in
 * /proc/PID/ns; setns(2).
 *
 * There are two kinds, of mounts and of names of the system (UTS); the other
 * flags are answered as by a Linux kernel built without them.  A namespace's
 * file lives in a file system of its own, "nsfs".  Every look at the magic link
 * makes a fresh inode, which holds the namespace; its number is the
 * namespace's, so that two files of one have the same st_dev and st_ino.
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <linux/stat.h>

#include <nos/init.h>
#include <nos/uaccess.h>

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

/* Consume the reference on the new one. */
static void enter_mounts(struct task *t, struct mount_namespace *new)
{
	struct mount_namespace *old = t->mounts;

	{
		scoped_spin_irq(&t->lock);
		t->mounts = new;
	}
	mount_namespace_put(old);
}

static void enter_uts(struct task *t, struct uts_namespace *new)
{
	struct uts_namespace *old = t->uts;

	{
		scoped_spin_irq(&t->lock);
		t->uts = new;
	}
	kernel_page_follow(t);
	uts_put(old);
}

static int unshare_mounts(struct task *t)
{
	struct mount_namespace *new = mount_namespace_copy(t->mounts, t->fs);

	if (!new || is_err(new))
		return new ? (int)ptr_err(new) : -ENOMEM;
	enter_mounts(t, new);
	return 0;
}

static int unshare_uts(struct task *t)
{
	struct uts_namespace *new = uts_copy(t->uts);

	if (!new)
		return -ENOMEM;
	enter_uts(t, new);
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

/* ---- files ---- */

/* One namespace, held. */
struct namespace
{
	u32 kind; /* CLONE_NEW* */
	struct mount_namespace *mounts;
	struct uts_namespace *uts;
};

static struct path nsfs_root;

static void namespace_put(const struct namespace *n)
{
	if (n->mounts)
		mount_namespace_put(n->mounts);
	if (n->uts)
		uts_put(n->uts);
}

/* t's, held; -ENOENT when t is on its way out. */
static int namespace_of(struct task *t, u32 kind, struct namespace *n)
{
	*n = (struct namespace){ .kind = kind };
	scoped_spin_irq(&t->lock);
	if (kind == CLONE_NEWNS && t->mounts) {
		n->mounts = t->mounts;
		mount_namespace_get(n->mounts);
		return 0;
	}
	if (kind == CLONE_NEWUTS && t->uts) {
		n->uts = t->uts;
		uts_get(n->uts);
		return 0;
	}
	return -ENOENT;
}

static void nsfs_evict(struct inode *i)
{
	if (!i->private)
		return;
	namespace_put(i->private);
	kfree(i->private);
}

static int nsfs_stats(struct super_block *sb, struct fs_stats *s)
{
	*s = (struct fs_stats){ .type = NSFS_MAGIC, .block_size = PAGE_SIZE, .name_max = 255 };
	return 0;
}

/* ioctl_ns(2): there are no user namespaces to name, nor do these kinds have parents. */
static long nsfs_ioctl(struct file *f, u32 cmd, struct user_arg arg)
{
	const struct namespace *n = f->inode->private;

	switch (cmd) {
	case NS_GET_NSTYPE:
		return n->kind;
	case NS_GET_USERNS:
		return -EPERM;
	case NS_GET_PARENT:
	case NS_GET_OWNER_UID:
		return -EINVAL;
	default:
		return -ENOTTY;
	}
}

static const struct file_ops nsfs_file_ops = { .ioctl = nsfs_ioctl };
static const struct inode_ops nsfs_inode_ops = { 0 };
static const struct super_ops nsfs_super_ops = { .evict_inode = nsfs_evict, .stats = nsfs_stats };

static struct super_block *nsfs_mount(const struct fs_type *t, u32 flags, const char *source,
				      const char *options)
{
	return err_ptr(-EINVAL); /* the kernel's own */
}

static const struct fs_type nsfs = { "nsfs", FS_NODEV, nsfs_mount };

static int __init nsfs_init(void)
{
	struct super_block *sb = super_create(&nsfs, &nsfs_super_ops, 0);
	struct inode *root = sb ? inode_create(sb, 1, S_IFDIR | 0555) : NULL;

	sb->root = root ? dentry_create_root(root) : NULL;
	return sb->root ? path_of_internal_mount(sb, MS_NOEXEC | MS_NOSUID | MS_NODEV, &nsfs_root) :
			  -ENOMEM;
}
INIT_STEP(INIT_FS, nsfs_init);

int task_namespace_path(struct task *t, u32 kind, struct path *to)
{
	struct namespace *n = kmalloc(sizeof(*n), 0);
	struct inode *i;
	char name[32];
	u32 id;
	int err = n ? namespace_of(t, kind, n) : -ENOMEM;

	if (err) {
		kfree(n);
		return err;
	}
	id = n->mounts ? mount_namespace_id(n->mounts) : n->uts->id;
	i = inode_create(nsfs_root.dentry->sb, id, S_IFREG | 0444);
	if (!i) {
		namespace_put(n);
		kfree(n);
		return -ENOMEM;
	}
	i->uid = i->gid = 0;
	i->ops = &nsfs_inode_ops;
	i->file_ops = &nsfs_file_ops;
	i->private = n;
	snprintf(name, sizeof(name), "%s:[%u]", n->mounts ? "mnt" : "uts", id);

	struct path p = { nsfs_root.mount, dentry_create_disconnected(i, name) };

	if (!p.dentry)
		return -ENOMEM;
	path_get(&p);
	dentry_put(p.dentry); /* the one that it was made with */
	*to = p;
	return 0;
}

/* ---- setns ---- */

static int may_enter(const struct namespace *n)
{
	if (!capable(CAP_SYS_ADMIN) || (n->mounts && !capable(CAP_SYS_CHROOT)))
		return -EPERM;
	/* Root and directory change: they must be the task's own. */
	if (n->mounts && ref_read(&task_current()->fs->refs) != 1)
		return -EINVAL;
	return 0;
}

static int enter(const struct namespace *n)
{
	struct task *t = task_current();
	struct path root;
	int err = may_enter(n);

	if (err)
		return err;
	if (n->uts) {
		uts_get(n->uts);
		enter_uts(t, n->uts);
		return 0;
	}
	mount_namespace_root(n->mounts, &root);
	err = fs_context_set_root(t->fs, &root);
	if (!err)
		err = fs_context_set_cwd(t->fs, &root);
	path_put(&root);
	mount_namespace_get(n->mounts);
	enter_mounts(t, n->mounts);
	return err;
}

/* Those of another process: all or none. */
static int enter_those_of(struct task *t, int kinds)
{
	struct namespace uts = { 0 }, mounts = { 0 };
	int err = task_may_inspect(t, false) ? -EPERM : 0;

	if (!err && (kinds & CLONE_NEWUTS))
		err = namespace_of(t, CLONE_NEWUTS, &uts);
	if (!err && (kinds & CLONE_NEWNS))
		err = namespace_of(t, CLONE_NEWNS, &mounts);
	if (!err && mounts.mounts)
		err = may_enter(&mounts);
	if (!err && uts.uts)
		err = enter(&uts);
	if (!err && mounts.mounts)
		err = enter(&mounts);
	namespace_put(&uts);
	namespace_put(&mounts);
	return err;
}

int process_set_namespace(struct file *f, int type)
{
	struct pid_entry *e;
	struct task *t;
	int err;

	if (f->ops == &nsfs_file_ops) {
		const struct namespace *n = f->inode->private;

		return type && (u32)type != n->kind ? -EINVAL : enter(n);
	}
	e = pidfd_get(f);
	if (!e)
		return -EINVAL;
	t = task_get(e->nr);
	if (!type || (type & ~(CLONE_NEWNS | CLONE_NEWUTS)))
		err = -EINVAL;
	else
		err = t ? enter_those_of(t, type) : -ESRCH;
	if (t)
		task_put(t);
	pid_put(e);
	return err;
}
