/* Text files of a process: shown at the first read from position 0, kept in the open file. */
#include "proc.h"

struct text_file {
	struct mutex lock;
	const void *aspace; /* at open, only to compare: after an exec the file shows nothing */
	struct text_out text;
	bool shown;
};

static const void *aspace_of(struct task *t)
{
	struct aspace *a = task_get_aspace(t);

	if (a)
		aspace_put(a);
	return a;
}

static int text_open(struct inode *i, struct file *f)
{
	const struct pid_file *file = proc_node(i)->file;
	struct task *t = proc_task(i);
	const void *aspace = t ? aspace_of(t) : NULL;
	int err = t ? 0 : -ESRCH;

	if (!err && (file->flags & PID_FILE_INSPECT))
		err = task_may_inspect(t, false);
	if (t)
		task_put(t);
	if (err)
		return err;

	struct text_file *x = kzalloc(sizeof(*x), 0);

	if (!x)
		return -ENOMEM;
	mutex_init(&x->lock, RANK_NONE);
	x->aspace = aspace;
	f->private = x;
	return 0;
}

static void text_release(struct file *f)
{
	struct text_file *x = f->private;

	text_free(&x->text);
	kfree(x);
}

static int fill(struct file *f, struct text_file *x)
{
	const struct pid_file *file = proc_node(f->inode)->file;
	struct task *t = proc_task(f->inode);
	int err;

	if (!t)
		return -ESRCH;
	text_free(&x->text);
	if ((file->flags & PID_FILE_ASPACE) && aspace_of(t) != x->aspace)
		err = 0;
	else
		err = file->show ? file->show(&x->text, t) : -EINVAL;
	task_put(t);
	if (!err && x->text.failed)
		err = -ENOMEM;
	x->shown = err == 0;
	return err;
}

static ssize_t text_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct text_file *x = f->private;
	size_t n, done;

	scoped_mutex(&x->lock);
	if (!x->shown || *pos == 0) {
		int err = fill(f, x);

		if (err)
			return err;
	}
	if (*pos >= x->text.len)
		return 0;
	n = (size_t)min((u64)(x->text.len - *pos), to->remaining);
	done = iobuf_put(to, x->text.data + *pos, n);
	*pos += done;
	return n && !done ? -EFAULT : (ssize_t)done;
}

static ssize_t file_text_write(struct file *f, struct iobuf *from, u64 *pos)
{
	const struct pid_file *file = proc_node(f->inode)->file;
	struct task *t;
	char text[128];
	size_t len = (size_t)min(from->remaining, (u64)sizeof(text) - 1);
	ssize_t n;

	if (!file->store)
		return -EINVAL;
	if (iobuf_get(from, text, len) != len)
		return -EFAULT;
	text[len] = 0;
	t = proc_task(f->inode);
	if (!t)
		return -ESRCH;
	n = file->store(t, text, len);
	task_put(t);
	return n;
}

const struct file_ops proc_text_ops = {
	.open = text_open,
	.release = text_release,
	.read = text_read,
	.write = file_text_write,
	.seek = file_seek_generic,
};
