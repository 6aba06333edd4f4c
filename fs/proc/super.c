/*
 * procfs: processes, and what subsystems show of themselves.
 *
 * Concepts.  The root has a directory for each process and the tree of
 * registered pseudo files below "proc".  An inode of a process holds its
 * pid_entry, not the task: when the process has ended the entry has no task any
 * more, reads answer ESRCH, and revalidate lets the name be looked up again, so
 * that a number used anew is never mistaken for the old process.
 *
 * Text is made at the first read from position 0 and kept in the open file, so
 * that a reader in small pieces sees one state.
 *
 * Rights follow proc(5): files that show memory or descriptors need what
 * ptrace(2) would need (PTRACE_MODE_READ).
 */
#include <nos/init.h>
#include <linux/magic.h>

#include "proc.h"

static struct super_block *the_super;

struct task *proc_task(const struct inode *i)
{
	struct proc_node *n = proc_node(i);
	struct task *t = NULL;

	scoped_rcu();
	if (n->is_thread) {
		t = rcu_load(n->pid->task);
	} else {
		struct process *p = rcu_load(n->pid->process);

		if (p)
			t = rcu_load(p->leader);
	}
	return t && ref_get_unless_zero(&t->refs) ? t : NULL;
}

/* As whom the task runs: who owns its files. */
static void set_owner(struct inode *i)
{
	struct task *t = proc_task(i);

	if (!t)
		return;
	rcu_read_lock();

	const struct cred *c = rcu_load(t->cred);

	i->uid = c->euid;
	i->gid = c->egid;
	rcu_read_unlock();
	task_put(t);
}

struct inode *proc_inode_create(struct super_block *sb, struct pid_entry *pid, bool is_thread,
				const struct pid_file *file, s32 fd, u32 mode)
{
	struct proc_node *n = kzalloc(sizeof(*n), 0);
	struct inode *i = n ? inode_create(sb, 0, mode) : NULL;

	if (!i) {
		kfree(n);
		return NULL;
	}
	ref_get(&pid->refs);
	n->pid = pid;
	n->is_thread = is_thread;
	n->file = file;
	n->fd = fd;
	i->private = n;
	i->flags |= INODE_PROC_NODE;
	set_owner(i);
	return i;
}

static void evict_inode(struct inode *i)
{
	if (!(i->flags & INODE_PROC_NODE)) {
		if (i->ops != &proc_root_inode_ops)
			pseudo_tree_evict(i);
		return;
	}
	pid_put(proc_node(i)->pid);
	kfree(i->private);
}

static bool revalidate(struct dentry *d)
{
	const struct inode *i = d->inode;

	if (!i || !(i->flags & INODE_PROC_NODE))
		return i != NULL;

	struct proc_node *n = proc_node(i);

	if (n->fd >= 0) /* descriptors come and go */
		return false;
	scoped_rcu();
	return n->is_thread ? rcu_load(n->pid->task) != NULL : rcu_load(n->pid->process) != NULL;
}

static const struct inode_ops revalidate_ops = { .revalidate = revalidate };

static int stats(struct super_block *sb, struct fs_stats *s)
{
	*s = (struct fs_stats){ .type = PROC_SUPER_MAGIC,
				.block_size = PAGE_SIZE,
				.name_max = 255 };
	return 0;
}

static const struct super_ops proc_super_ops = {
	.evict_inode = evict_inode,
	.stats = stats,
};

/* One super block for all mounts, kept for ever: there is one pid namespace. */
static struct super_block *proc_mount(const struct fs_type *t, u32 flags, const char *source,
				      const char *options)
{
	if (!the_super)
		return err_ptr(-ENODEV);
	ref_get(&the_super->refs);
	return the_super;
}

static const struct fs_type proc_fs = {
	.name = "proc",
	.flags = FS_NODEV,
	.mount = proc_mount,
};
REGISTER_FS(proc_fs);

static int proc_init(void)
{
	struct super_block *sb = super_create(&proc_fs, &proc_super_ops, 0);
	struct inode *root;

	if (!sb)
		return -ENOMEM;
	sb->dentry_ops = &revalidate_ops;
	root = inode_create(sb, 1, S_IFDIR | 0555);
	if (!root)
		return -ENOMEM;
	root->ops = &proc_root_inode_ops;
	root->file_ops = &proc_root_ops;
	root->nlink = 2;
	sb->root = dentry_create_root(root);
	if (!sb->root)
		return -ENOMEM;
	the_super = sb;
	return 0;
}
INIT_STEP(INIT_FS, proc_init);
