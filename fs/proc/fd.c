/* /proc/PID/fd and fdinfo: one entry a descriptor, gone as soon as it is closed. */
#include <asm/fcntl.h>

#include "proc.h"

/* What there is to tell of a descriptor beside the file. */
struct descriptor {
	bool cloexec;
	const struct fd_table *table; /* not counted: an owner of locks */
};

/* The open file, counted, or NULL. */
static struct file *file_of(const struct inode *i, struct descriptor *d)
{
	struct task *t = proc_task(i);
	u32 fd = (u32)proc_node(i)->fd;
	struct fd_table *table = t ? task_get_fds(t) : NULL;
	struct file *f = table ? fd_table_get_file(table, fd) : NULL;

	if (f && d) {
		scoped_rcu();
		const struct fd_array *a = rcu_load(table->array);

		d->cloexec = fd < a->size && bitmap_test(a->close_on_exec, fd);
		d->table = table;
	}

	if (table)
		fd_table_put(table);
	if (t)
		task_put(t);
	return f;
}

static int may_look(const struct inode *i)
{
	struct task *t = proc_task(i);
	int err = t ? task_may_inspect(t, false) : -ENOENT;

	if (t)
		task_put(t);
	return err;
}

/* ---- links ---- */

static int fd_follow(struct inode *i, struct path *to)
{
	struct file *f;
	int err = may_look(i);

	if (err)
		return err;
	f = file_of(i, NULL);
	if (!f)
		return -ENOENT;
	*to = f->path;
	path_get(to);
	file_put(f);
	return 0;
}

static int fd_readlink(struct inode *i, char *to, size_t size)
{
	struct path p;
	int err = fd_follow(i, &p);

	return err ? err : proc_format_link(&p, to, size);
}

static int no_change(struct inode *i, const struct inode_change *c)
{
	return -EPERM;
}

static const struct inode_ops fd_link_ops = {
	.follow = fd_follow,
	.readlink = fd_readlink,
	.set_attributes = no_change,
};

/* ---- fdinfo's text ---- */

static int fdinfo_show(struct text_out *out, struct file *f, const struct descriptor *d)
{
	struct stat_info s;

	text_printf(out, "pos:\t%llu\nflags:\t0%o\n", (unsigned long long)f->position,
		    f->flags | (d->cloexec ? O_CLOEXEC : 0));
	if (vfs_stat_path(&f->path, 0, 0, &s) == 0)
		text_printf(out, "mnt_id:\t%llu\nino:\t%llu\n", (unsigned long long)s.mount_id,
			    (unsigned long long)s.ino);
	if (file_locks_show(f, d->table, out))
		out->failed = true;
	if (f->ops->show_fdinfo)
		f->ops->show_fdinfo(f, out);
	return 0;
}

static ssize_t fdinfo_read(struct file *info, struct iobuf *to, u64 *pos)
{
	struct text_out text = { 0 };
	struct descriptor d = { 0 };
	struct file *f = file_of(info->inode, &d);
	ssize_t n = 0;

	if (!f)
		return -ENOENT;
	fdinfo_show(&text, f, &d);
	file_put(f);
	if (text.failed) {
		n = -ENOMEM;
	} else if (*pos < text.len) {
		size_t want = (size_t)min((u64)(text.len - *pos), to->remaining);

		n = (ssize_t)iobuf_put(to, text.data + *pos, want);
		if (want && !n)
			n = -EFAULT;
		else
			*pos += (u64)n;
	}
	text_free(&text);
	return n;
}

static int fdinfo_open(struct inode *i, struct file *f)
{
	return may_look(i);
}

static const struct file_ops fdinfo_file_ops = {
	.open = fdinfo_open,
	.read = fdinfo_read,
	.seek = file_seek_generic,
};
static const struct inode_ops fdinfo_inode_ops = { .set_attributes = no_change };

/* ---- directories ---- */

static struct inode *make_entry(struct inode *dir, s32 fd, bool info)
{
	const struct proc_node *n = proc_node(dir);
	struct inode *i = proc_inode_create(dir->sb, n->pid, n->is_thread, NULL, fd,
					    info ? S_IFREG | 0444 : S_IFLNK);
	struct file *f = i ? file_of(i, NULL) : NULL;

	if (!i)
		return err_ptr(-ENOMEM);
	if (!f) {
		inode_put(i);
		return err_ptr(-ENOENT);
	}
	if (info) {
		i->ops = &fdinfo_inode_ops;
		i->file_ops = &fdinfo_file_ops;
	} else {
		i->ops = &fd_link_ops;
		i->mode |= (f->mode & FILE_READ ? 0500u : 0) | (f->mode & FILE_WRITE ? 0300u : 0);
		i->size = 64;
	}
	file_put(f);
	return i;
}

static int lookup(struct inode *dir, struct dentry *d, bool info)
{
	s32 fd = proc_parse_number(d->name, d->name_len);
	int err = may_look(dir);
	struct inode *i;

	if (fd < 0)
		return -ENOENT;
	if (err)
		return err;
	i = make_entry(dir, fd, info);
	if (is_err(i))
		return (int)ptr_err(i);
	dentry_set_inode(d, i);
	return 0;
}

static int fd_lookup_entry(struct inode *dir, struct dentry *d)
{
	return lookup(dir, d, false);
}

static int fdinfo_lookup_entry(struct inode *dir, struct dentry *d)
{
	return lookup(dir, d, true);
}

static int dir_open(struct inode *i, struct file *f)
{
	return may_look(i);
}

static int list(struct file *f, struct dir_context *c, u8 type)
{
	struct task *t = proc_task(f->inode);
	struct fd_table *table = t ? task_get_fds(t) : NULL;

	if (t)
		task_put(t);
	if (!table)
		return -ENOENT;
	if (proc_list_dots(f, c)) {
		for (;;) {
			int fd = fd_table_next(table, (u32)(f->position - 2));
			char name[16];

			if (fd < 0)
				break;

			u32 len = (u32)snprintf(name, sizeof(name), "%d", fd);

			if (!c->add(c, name, len, (f->inode->ino << 12) + (u64)fd, type,
				    (u64)fd + 3))
				break;
			f->position = (u64)fd + 3;
		}
	}
	fd_table_put(table);
	return 0;
}

static int fd_iterate(struct file *f, struct dir_context *c)
{
	return list(f, c, 10);
}

static int fdinfo_iterate(struct file *f, struct dir_context *c)
{
	return list(f, c, 8);
}

const struct inode_ops proc_fd_dir_ops = {
	.lookup = fd_lookup_entry,
	.set_attributes = no_change,
};
const struct inode_ops proc_fdinfo_dir_ops = {
	.lookup = fdinfo_lookup_entry,
	.set_attributes = no_change,
};
const struct file_ops proc_fd_ops = {
	.open = dir_open,
	.iterate = fd_iterate,
	.seek = file_seek_generic,
};
const struct file_ops proc_fdinfo_ops = {
	.open = dir_open,
	.iterate = fdinfo_iterate,
	.seek = file_seek_generic,
};
