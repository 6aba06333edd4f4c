/*
 * Pseudo files: text that a subsystem shows or accepts.
 *
 * Entries that are always there are const structs in the section pseudo_files;
 * those that come and go are on a list.  An open file keeps the text that was
 * shown at its last read from position 0, so that a reader in small pieces
 * sees one state.
 */
#include "internal.h"

#include <linux/fs.h>
#include <nos/pseudo.h>

extern const struct pseudo_file __start_pseudo_files[], __stop_pseudo_files[];

struct registered {
	struct list node;
	const struct pseudo_file *file;
};

static struct mutex registry_lock = MUTEX_INIT(RANK_DRIVER);
static struct list registry = LIST_INIT(registry);

int pseudo_file_register(const struct pseudo_file *p)
{
	struct registered *r = kmalloc(sizeof(*r), 0);

	if (!r)
		return -ENOMEM;
	r->file = p;
	scoped_mutex(&registry_lock);
	list_push_back(&registry, &r->node);
	return 0;
}

void pseudo_file_unregister(const struct pseudo_file *p)
{
	struct registered *r, *next;

	scoped_mutex(&registry_lock);
	list_for_each_safe(r, next, &registry, node) {
		if (r->file == p) {
			list_remove(&r->node);
			kfree(r);
			return;
		}
	}
}

void pseudo_file_for_each(const char *prefix, void (*fn)(const struct pseudo_file *p, void *arg),
			  void *arg)
{
	size_t len = strlen(prefix);
	struct registered *r;

	for (const struct pseudo_file *p = __start_pseudo_files; p < __stop_pseudo_files; p++)
		if (!strncmp(p->path, prefix, len))
			fn(p, arg);
	scoped_mutex(&registry_lock);
	list_for_each(r, &registry, node)
		if (!strncmp(r->file->path, prefix, len))
			fn(r->file, arg);
}

/* ---- their file operations: inode->private is the entry ---- */

struct pseudo_open {
	struct mutex lock;
	const struct pseudo_file *entry;
	struct text_out text;
	bool shown;
};

static int pseudo_open(struct inode *i, struct file *f)
{
	struct pseudo_open *o = kzalloc(sizeof(*o), 0);

	if (!o)
		return -ENOMEM;
	mutex_init(&o->lock, RANK_FILE_STATE);
	o->entry = i->private;
	f->private = o;
	return 0;
}

static void pseudo_release(struct file *f)
{
	struct pseudo_open *o = f->private;

	text_free(&o->text);
	kfree(o);
}

static ssize_t pseudo_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct pseudo_open *o = f->private;
	size_t n, done;

	if (!o->entry->show)
		return -EIO;
	scoped_mutex(&o->lock);
	if (!o->shown || !*pos) {
		int err;

		text_free(&o->text);
		err = o->entry->show(&o->text, o->entry->arg);
		if (!err && o->text.failed)
			err = -ENOMEM;
		if (err)
			return err;
		o->shown = true;
	}
	if (*pos >= o->text.len)
		return 0;
	n = min(o->text.len - *pos, to->remaining);
	done = iobuf_put(to, o->text.data + *pos, n);
	*pos += done;
	return n && !done ? -EFAULT : (ssize_t)done;
}

static ssize_t pseudo_write(struct file *f, struct iobuf *from, u64 *pos)
{
	struct pseudo_open *o = f->private;
	size_t len = min(from->remaining, PAGE_SIZE - 1);
	char *text;
	ssize_t n;

	if (!o->entry->store)
		return -EIO;
	text = kmalloc(len + 1, 0);
	if (!text)
		return -ENOMEM;
	if (iobuf_get(from, text, len) != len) {
		kfree(text);
		return -EFAULT;
	}
	text[len] = '\0';
	n = o->entry->store(text, len, o->entry->arg);
	kfree(text);
	if (n > 0)
		*pos += (u64)n;
	return n;
}

static s64 pseudo_seek(struct file *f, s64 offset, int whence)
{
	if (whence == SEEK_CUR)
		offset += (s64)f->position;
	else if (whence != SEEK_SET)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	f->position = (u64)offset;
	return offset;
}

const struct file_ops pseudo_file_ops = {
	.open = pseudo_open,
	.release = pseudo_release,
	.read = pseudo_read,
	.write = pseudo_write,
	.seek = pseudo_seek,
};
