/* /proc/PID/ns: the process's namespaces as magic links. */
#include "proc.h"

#include <linux/sched.h>
#include <nos/process.h>

static int follow_mounts(struct task *t, struct path *to)
{
	return task_namespace_path(t, CLONE_NEWNS, to);
}

static int follow_uts(struct task *t, struct path *to)
{
	return task_namespace_path(t, CLONE_NEWUTS, to);
}

static const struct pid_file ns_files[] = {
	{ .name = "mnt", .mode = S_IFLNK | 0777, .follow = follow_mounts },
	{ .name = "uts", .mode = S_IFLNK | 0777, .follow = follow_uts },
};

static int ns_lookup(struct inode *dir, struct dentry *d)
{
	for (size_t k = 0; k < ARRAY_SIZE(ns_files); k++) {
		struct inode *i;

		if (strcmp(ns_files[k].name, d->name) != 0)
			continue;
		i = proc_file_create(dir->sb, proc_node(dir), &ns_files[k]);
		if (!i)
			return -ENOMEM;
		dentry_set_inode(d, i);
		return 0;
	}
	return -ENOENT;
}

static int ns_iterate(struct file *f, struct dir_context *c)
{
	if (!proc_list_dots(f, c))
		return 0;
	for (; f->position - 2 < ARRAY_SIZE(ns_files); f->position++) {
		const char *name = ns_files[f->position - 2].name;

		if (!c->add(c, name, (u32)strlen(name), f->inode->ino + f->position, 10,
			    f->position + 1))
			return 0;
	}
	return 0;
}

static int ns_set_attributes(struct inode *i, const struct inode_change *c)
{
	return -EPERM;
}

const struct inode_ops proc_ns_dir_ops = {
	.lookup = ns_lookup,
	.set_attributes = ns_set_attributes,
};
const struct file_ops proc_ns_ops = {
	.iterate = ns_iterate,
	.seek = file_seek_generic,
};
