/* /proc, /proc/PID and /proc/PID/task: directories, and the table of a process's files. */
#include "proc.h"

#define F(n, m, ...)                                                                               \
	{                                                                                          \
		.name = n, .mode = S_IFREG | (m), __VA_ARGS__                                      \
	}
#define L(n, f)                                                                                    \
	{                                                                                          \
		.name = n, .mode = S_IFLNK | 0777, .follow = f, .flags = PID_FILE_INSPECT          \
	}
#define D(n, m, i, f)                                                                              \
	{                                                                                          \
		.name = n, .mode = S_IFDIR | (m), .dir_ops = i, .ops = f                           \
	}

static const struct pid_file pid_files[] = {
	{ .name = "task",
	  .mode = S_IFDIR | 0555,
	  .flags = PID_FILE_PROCESS,
	  .dir_ops = &proc_task_dir_ops,
	  .ops = &proc_task_ops },
	D("fd", 0500, &proc_fd_dir_ops, &proc_fd_ops),
	D("fdinfo", 0500, &proc_fdinfo_dir_ops, &proc_fdinfo_ops),
	D("ns", 0511, &proc_ns_dir_ops, &proc_ns_ops),
	F("environ", 0400, .show = pid_show_environ, .flags = PID_FILE_INSPECT | PID_FILE_ASPACE),
	F("auxv", 0400, .show = pid_show_auxv, .flags = PID_FILE_INSPECT),
	F("status", 0444, .show = pid_show_status),
	F("personality", 0400, .show = pid_show_personality, .flags = PID_FILE_INSPECT),
	F("limits", 0444, .show = pid_show_limits),
	F("sched", 0444, .show = pid_show_sched),
	F("comm", 0644, .show = pid_show_comm, .store = pid_store_comm),
	F("cmdline", 0444, .show = pid_show_cmdline),
	F("stat", 0444, .show = pid_show_stat),
	F("statm", 0444, .show = pid_show_statm),
	F("maps", 0444, .show = pid_show_maps, .flags = PID_FILE_INSPECT | PID_FILE_ASPACE),
	F("mem", 0600, .ops = &proc_mem_ops, .flags = PID_FILE_INSPECT),
	L("cwd", pid_follow_cwd),
	L("root", pid_follow_root),
	L("exe", pid_follow_exe),
	F("mounts", 0444, .show = pid_show_mounts),
	F("mountinfo", 0444, .show = pid_show_mountinfo),
	{ .name = "mountstats",
	  .mode = S_IFREG | 0400,
	  .flags = PID_FILE_PROCESS,
	  .show = pid_show_mountstats },
	F("smaps", 0444, .show = pid_show_smaps, .flags = PID_FILE_INSPECT | PID_FILE_ASPACE),
	F("smaps_rollup", 0444, .show = pid_show_smaps_rollup,
	  .flags = PID_FILE_INSPECT | PID_FILE_ASPACE),
	F("pagemap", 0400, .ops = &proc_pagemap_ops, .flags = PID_FILE_INSPECT),
	F("stack", 0400, .show = pid_show_stack, .flags = PID_FILE_INSPECT),
	F("wchan", 0444, .show = pid_show_wchan, .flags = PID_FILE_INSPECT),
	F("schedstat", 0444, .show = pid_show_schedstat),
	F("cgroup", 0444, .show = pid_show_cgroup),
	F("oom_score", 0444, .show = pid_show_oom_score),
	F("oom_score_adj", 0644, .show = pid_show_oom_score_adj, .store = pid_store_oom_score_adj),
	F("io", 0400, .show = pid_show_io, .flags = PID_FILE_INSPECT),
	F("uid_map", 0444, .show = pid_show_id_map),
	F("gid_map", 0444, .show = pid_show_id_map),
	F("setgroups", 0444, .show = pid_show_setgroups),
	{ .name = "timerslack_ns",
	  .mode = S_IFREG | 0444,
	  .flags = PID_FILE_PROCESS,
	  .show = pid_show_timerslack },
};

s32 proc_parse_number(const char *name, u32 len)
{
	s32 v = 0;

	if (len == 0 || len > 9 || (name[0] == '0' && len > 1))
		return -1;
	for (u32 i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		v = v * 10 + (name[i] - '0');
	}
	return v;
}

bool proc_list_dots(struct file *f, struct dir_context *c)
{
	if (f->position == 0) {
		if (!c->add(c, ".", 1, f->inode->ino, 4, 1))
			return false;
		f->position = 1;
	}
	if (f->position == 1) {
		if (!c->add(c, "..", 2, f->path.dentry->parent->inode->ino, 4, 2))
			return false;
		f->position = 2;
	}
	return true;
}

static int set_attributes(struct inode *i, const struct inode_change *c)
{
	return c->valid & ATTR_SIZE ? 0 : -EPERM;
}

static struct inode *create_pid_dir(struct super_block *sb, struct pid_entry *pid, bool is_thread)
{
	struct inode *i = proc_inode_create(sb, pid, is_thread, NULL, -1, S_IFDIR | 0555);

	if (i) {
		i->ops = &proc_pid_dir_ops;
		i->file_ops = &proc_pid_file_ops;
		i->nlink = is_thread ? 7 : 9;
	}
	return i;
}

/* ---- the root ---- */

static int format_self(char *to, size_t size, bool thread)
{
	struct task *t = task_current();

	return thread ? snprintf(to, size, "%d/task/%d", t->process->tgid, t->tid) :
			snprintf(to, size, "%d", t->process->tgid);
}

static const char *self_get_link(struct inode *i, char **to_free)
{
	*to_free = kmalloc(32, 0);
	if (!*to_free)
		return err_ptr(-ENOMEM);
	format_self(*to_free, 32, false);
	return *to_free;
}

static const char *thread_self_get_link(struct inode *i, char **to_free)
{
	*to_free = kmalloc(32, 0);
	if (!*to_free)
		return err_ptr(-ENOMEM);
	format_self(*to_free, 32, true);
	return *to_free;
}

static const struct inode_ops self_ops = { .get_link = self_get_link };
static const struct inode_ops thread_self_ops = { .get_link = thread_self_get_link };

static int lookup_link(struct inode *dir, struct dentry *d, const struct inode_ops *ops)
{
	struct inode *i = inode_create(dir->sb, 0, S_IFLNK | 0777);

	if (!i)
		return -ENOMEM;
	i->ops = ops;
	dentry_set_inode(d, i);
	return 0;
}

static int root_lookup(struct inode *dir, struct dentry *d)
{
	s32 nr = proc_parse_number(d->name, d->name_len);
	struct inode *i;

	if (strcmp(d->name, "self") == 0)
		return lookup_link(dir, d, &self_ops);
	if (strcmp(d->name, "thread-self") == 0)
		return lookup_link(dir, d, &thread_self_ops);
	if (nr > 0) {
		struct pid_entry *pid = pid_get(nr);

		if (!pid)
			return -ENOENT;
		/* A thread's number works too, though it is not listed (proc(5)). */
		bool exists = READ_ONCE(pid->process) != NULL;
		bool thread = !exists && READ_ONCE(pid->task) != NULL;

		i = exists || thread ? create_pid_dir(dir->sb, pid, thread) : err_ptr(-ENOENT);
		pid_put(pid);
		if (!i)
			i = err_ptr(-ENOMEM);
	} else {
		char path[256];

		if ((size_t)snprintf(path, sizeof(path), "proc/%s", d->name) >= sizeof(path))
			return -ENOENT;
		i = pseudo_tree_inode(dir->sb, path);
	}
	if (is_err(i))
		return (int)ptr_err(i);
	dentry_set_inode(d, i);
	return 0;
}

/* Positions: 2 self, 3 thread-self, then registered files, from FIRST_PID the processes. */
#define FIRST_TREE 4
#define FIRST_PID 0x10000

static int root_iterate(struct file *f, struct dir_context *c)
{
	if (!proc_list_dots(f, c))
		return 0;
	if (f->position == 2) {
		if (!c->add(c, "self", 4, 2, 10, 3))
			return 0;
		f->position = 3;
	}
	if (f->position == 3) {
		if (!c->add(c, "thread-self", 11, 3, 10, 4))
			return 0;
		f->position = FIRST_TREE;
	}
	if (f->position < FIRST_PID) {
		if (!pseudo_tree_list("proc", c, &f->position, FIRST_TREE))
			return 0;
		f->position = FIRST_PID;
	}
	for (;;) {
		struct process *p = process_next((s32)(f->position - FIRST_PID));
		char name[16];
		u32 len;
		u64 next;

		if (!p)
			return 0;
		len = (u32)snprintf(name, sizeof(name), "%d", p->tgid);
		next = FIRST_PID + (u64)p->tgid + 1;
		process_put(p);
		if (!c->add(c, name, len, next, 4, next))
			return 0;
		f->position = next;
	}
}

const struct inode_ops proc_root_inode_ops = {
	.lookup = root_lookup,
	.set_attributes = set_attributes,
};
const struct file_ops proc_root_ops = {
	.iterate = root_iterate,
	.seek = file_seek_generic,
};

/* ---- a process ---- */

static int link_follow(struct inode *i, struct path *to)
{
	struct task *t = proc_task(i);
	int err;

	if (!t)
		return -ENOENT;
	err = task_may_inspect(t, false);
	if (!err)
		err = proc_node(i)->file->follow(t, to);
	task_put(t);
	return err;
}

int proc_format_link(struct path *p, char *to, size_t size)
{
	char *buffer = kmalloc(PAGE_SIZE, 0);
	char *text = buffer ? path_format(p, &fs_context_current()->root, buffer, PAGE_SIZE) :
			      err_ptr(-ENOMEM);
	int result;

	path_put(p);
	if (is_err(text)) {
		result = (int)ptr_err(text);
	} else {
		size_t len = strnlen(text, size);

		memcpy(to, text, len);
		result = (int)len;
	}
	kfree(buffer);
	return result;
}

static int link_readlink(struct inode *i, char *to, size_t size)
{
	struct path p;
	int err = link_follow(i, &p);

	return err ? err : proc_format_link(&p, to, size);
}

static const struct inode_ops link_ops = {
	.follow = link_follow,
	.readlink = link_readlink,
	.set_attributes = set_attributes,
};
static const struct inode_ops file_inode_ops = { .set_attributes = set_attributes };

struct inode *proc_file_create(struct super_block *sb, const struct proc_node *parent,
			       const struct pid_file *file)
{
	struct inode *i =
		proc_inode_create(sb, parent->pid, parent->is_thread, file, -1, file->mode);

	if (!i)
		return NULL;
	switch (file->mode & S_IFMT) {
	case S_IFDIR:
		i->ops = file->dir_ops;
		i->file_ops = file->ops;
		i->nlink = 2;
		break;
	case S_IFLNK:
		i->ops = &link_ops;
		break;
	default:
		i->ops = &file_inode_ops;
		i->file_ops = file->ops ? file->ops : &proc_text_ops;
		break;
	}
	return i;
}

static int pid_lookup(struct inode *dir, struct dentry *d)
{
	const struct proc_node *n = proc_node(dir);

	for (size_t k = 0; k < ARRAY_SIZE(pid_files); k++) {
		const struct pid_file *file = &pid_files[k];

		if (strcmp(file->name, d->name) != 0 ||
		    (n->is_thread && (file->flags & PID_FILE_PROCESS)))
			continue;

		struct inode *i = proc_file_create(dir->sb, n, file);

		if (!i)
			return -ENOMEM;
		dentry_set_inode(d, i);
		return 0;
	}
	if (strcmp(d->name, "net") == 0) {
		struct inode *i = pseudo_tree_inode(dir->sb, "net");

		if (!is_err(i))
			dentry_set_inode(d, i);
		return is_err(i) ? (int)ptr_err(i) : 0;
	}
	return -ENOENT;
}

static int pid_iterate(struct file *f, struct dir_context *c)
{
	const struct proc_node *n = proc_node(f->inode);

	if (!proc_list_dots(f, c))
		return 0;
	while (f->position - 2 < ARRAY_SIZE(pid_files)) {
		const struct pid_file *file = &pid_files[f->position - 2];

		if (!(n->is_thread && (file->flags & PID_FILE_PROCESS)) &&
		    !c->add(c, file->name, (u32)strlen(file->name),
			    ((u64)n->pid->nr << 16) + f->position, (u8)(file->mode >> 12),
			    f->position + 1))
			return 0;
		f->position++;
	}
	if (f->position - 2 == ARRAY_SIZE(pid_files)) {
		if (!c->add(c, "net", 3, ((u64)n->pid->nr << 16) + f->position, 4, f->position + 1))
			return 0;
		f->position++;
	}
	return 0;
}

const struct inode_ops proc_pid_dir_ops = {
	.lookup = pid_lookup,
	.set_attributes = set_attributes,
};
const struct file_ops proc_pid_file_ops = {
	.iterate = pid_iterate,
	.seek = file_seek_generic,
};

/* ---- /proc/PID/task ---- */

static int task_lookup(struct inode *dir, struct dentry *d)
{
	s32 nr = proc_parse_number(d->name, d->name_len);
	struct task *t = nr > 0 ? task_get(nr) : NULL;
	struct inode *i = NULL;

	if (!t)
		return -ENOENT;
	if (t->process->tgid == proc_node(dir)->pid->nr) {
		struct pid_entry *pid = pid_get(nr);

		if (pid) {
			i = create_pid_dir(dir->sb, pid, true);
			pid_put(pid);
		}
	} else {
		i = err_ptr(-ENOENT);
	}
	task_put(t);
	if (is_err(i))
		return (int)ptr_err(i);
	if (!i)
		return -ENOMEM;
	dentry_set_inode(d, i);
	return 0;
}

/* The thread with the least number above `after`; 0 = none. */
static s32 next_thread(struct process *p, s32 after)
{
	struct task *t;
	s32 best = 0;

	scoped_spin_irq(&task_list_lock);
	list_for_each(t, &p->threads, thread_node)
		if (t->tid > after && (!best || t->tid < best))
			best = t->tid;
	return best;
}

static int task_iterate(struct file *f, struct dir_context *c)
{
	struct task *leader = proc_task(f->inode);
	int err = 0;

	if (!leader)
		return -ENOENT;
	if (proc_list_dots(f, c)) {
		for (;;) {
			s32 tid = next_thread(leader->process, (s32)(f->position - 2));
			char name[16];

			if (!tid)
				break;

			u32 len = (u32)snprintf(name, sizeof(name), "%d", tid);

			if (!c->add(c, name, len, (u64)tid << 16, 4, (u64)tid + 2))
				break;
			f->position = (u64)tid + 2;
		}
	}
	task_put(leader);
	return err;
}

const struct inode_ops proc_task_dir_ops = {
	.lookup = task_lookup,
	.set_attributes = set_attributes,
};
const struct file_ops proc_task_ops = {
	.iterate = task_iterate,
	.seek = file_seek_generic,
};
