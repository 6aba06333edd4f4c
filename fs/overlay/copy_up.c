/*
 * Copying up: the first change of a lower file makes its copy in the upper
 * layer, built in the work directory and renamed into place when complete.
 */
#include <asm/fcntl.h>
#include <linux/limits.h>

#include "overlay.h"

#define PIECE_ORDER 5 /* 128 KiB */
#define PIECE_BYTES (PAGE_SIZE << PIECE_ORDER)

struct file *overlay_open_real(struct super_block *sb, struct dentry *real, u32 layer,
			       bool is_upper, u32 flags)
{
	struct overlay_mount *m = overlay_mount(sb);
	struct path p = { is_upper ? m->upper.mount : m->lower[layer].mount, real };

	return file_open_path(&p, flags | O_LARGEFILE, m->cred);
}

static int copy_data(struct file *from, struct file *to, u64 size)
{
	u8 *piece = page_alloc(PIECE_ORDER, 0);
	u64 at = 0;
	int err = piece ? 0 : -ENOMEM;

	while (!err && at < size) {
		ssize_t n = file_read_kernel(from, piece, (size_t)min(size - at, PIECE_BYTES), at);

		if (n <= 0) {
			err = (int)n;
			break;
		}
		for (ssize_t done = 0; done < n && !err;) {
			ssize_t w = file_write_kernel(to, piece + done, (size_t)(n - done), &at);

			if (w <= 0)
				err = w < 0 ? (int)w : -EIO;
			else
				done += w;
		}
		if (fatal_signal_is_pending())
			err = -EINTR;
	}
	if (piece)
		page_free(piece, PIECE_ORDER);
	return err;
}

static int copy_contents(struct overlay_inode *o, struct dentry *to, u64 size)
{
	struct super_block *sb = o->inode.sb;
	struct file *in = overlay_open_real(sb, o->lower[0].dentry, o->lower[0].layer, false,
					    O_RDONLY | O_NOATIME);

	if (is_err(in))
		return (int)ptr_err(in);

	struct file *out = overlay_open_real(sb, to, 0, true, O_WRONLY);
	int err = is_err(out) ? (int)ptr_err(out) : copy_data(in, out, min(size, o->inode.size));

	if (!is_err(out))
		file_put(out);
	file_put(in);
	return err;
}

/* Names the upper file system refuses are left behind, as with cp -a between file systems. */
static int copy_xattrs(struct inode *from, struct inode *to)
{
	if (!from->ops->list_xattr || !from->ops->get_xattr || !to->ops->set_xattr)
		return 0;

	ssize_t len = from->ops->list_xattr(from, NULL, 0);

	if (len <= 0)
		return len == -EOPNOTSUPP ? 0 : (int)len;

	char *names = kmalloc((size_t)len, 0);
	void *value = kmalloc(XATTR_SIZE_MAX, 0);
	int err = names && value ? 0 : -ENOMEM;

	if (!err)
		len = from->ops->list_xattr(from, names, (size_t)len);
	for (ssize_t at = 0; !err && at < len;) {
		char *name = names + at;
		ssize_t n = from->ops->get_xattr(from, name, value, XATTR_SIZE_MAX);

		at += (ssize_t)strnlen(name, (size_t)(len - at)) + 1;
		if (n < 0 || strncmp(name, OVERLAY_PREFIX, sizeof(OVERLAY_PREFIX) - 1) == 0)
			continue;
		err = to->ops->set_xattr(to, name, value, (size_t)n, 0);
		if (err == -EOPNOTSUPP || err == -EPERM)
			err = 0;
	}
	kfree(names);
	kfree(value);
	return err;
}

static int copy_attributes(struct overlay_inode *o, struct dentry *to)
{
	const struct inode *i = &o->inode;
	struct inode_change c = {
		.valid = ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME,
		.uid = i->uid,
		.gid = i->gid,
		.mode = i->mode & 07777,
		.atime = i->atime,
		.mtime = i->mtime,
	};

	int err = dentry_set_attributes(to, &c);

	/* After the owner, for chown clears setuid. */
	if (!err && (i->mode & S_IFMT) != S_IFLNK) {
		c.valid = ATTR_MODE;
		err = dentry_set_attributes(to, &c);
	}
	if (!err && to->inode->ops->set_xattr) {
		err = to->inode->ops->set_xattr(to->inode, OVERLAY_INO, &i->ino, sizeof(i->ino), 0);
		if (err == -EOPNOTSUPP)
			err = 0;
	}
	return err;
}

int overlay_make_in_work(struct super_block *sb, u32 mode, u64 dev, const char *target,
			 char name[OVERLAY_WORK_NAME], struct dentry **made)
{
	struct overlay_mount *m = overlay_mount(sb);
	int err;

	do { /* an earlier mount may have left something there */
		snprintf(name, OVERLAY_WORK_NAME, "#%x", atomic_add(&m->next_work_name, 1));
		err = dentry_make(m->work.dentry, name, mode, dev, target, made);
	} while (err == -EEXIST);
	return err;
}

static int make_copy_in_work(struct overlay_inode *o, char name[OVERLAY_WORK_NAME],
			     struct dentry **made)
{
	struct inode *real = o->lower[0].dentry->inode;
	char *to_free = NULL;
	const char *target = NULL;
	u32 mode = o->inode.mode;

	if ((mode & S_IFMT) == S_IFLNK) {
		target = inode_link_text(real, &to_free);
		if (is_err(target))
			return (int)ptr_err(target);
	}

	int err = overlay_make_in_work(o->inode.sb, mode, o->inode.rdev, target, name, made);

	kfree(to_free);
	return err;
}

/* Builds the copy and puts it into the parent's upper directory under `name`. */
static int build(struct overlay_inode *o, struct dentry *upper_dir, const char *name, u64 size)
{
	struct overlay_mount *m = overlay_mount(o->inode.sb);
	struct dentry *made = NULL;
	char work_name[OVERLAY_WORK_NAME];
	int err = make_copy_in_work(o, work_name, &made);

	if (err || !made)
		return err ? err : -EIO;
	if ((o->inode.mode & S_IFMT) == S_IFREG && size)
		err = copy_contents(o, made, size);
	if (!err)
		err = copy_xattrs(o->lower[0].dentry->inode, made->inode);
	if (!err)
		err = copy_attributes(o, made);
	if (!err)
		err = dentry_rename(m->work.dentry, work_name, upper_dir, name, 0);
	if (err) {
		dentry_remove(m->work.dentry, work_name, overlay_is_dir(&o->inode));
		dentry_put(made);
		return err;
	}
	atomic_store(&o->upper, made);
	if (!overlay_is_dir(&o->inode))
		overlay_hash_upper(o);
	overlay_set_operations(&o->inode);
	return 0;
}

/* A referenced dentry of the inode in the overlay's own tree. */
static struct dentry *find_alias(struct inode *i)
{
	struct dentry *d = NULL;

	scoped_spin(&i->spin);
	if (!list_is_empty(&i->dentries)) {
		d = list_entry(i->dentries.next, struct dentry, alias);
		dentry_get(d);
	}
	return d;
}

static int copy_up_locked(struct overlay_inode *o, u64 size)
{
	struct dentry *d = find_alias(&o->inode);

	if (!d)
		return -ESTALE;

	struct inode *parent = d->parent->inode;
	int err = overlay_copy_up(parent, U64_MAX);

	if (!err)
		err = build(o, overlay_upper(overlay_inode(parent)), d->name, size);
	dentry_put(d);
	return err;
}

int overlay_copy_up(struct inode *i, u64 size)
{
	struct overlay_inode *o = overlay_inode(i);

	if (overlay_upper(o))
		return 0;
	if (!overlay_mount(i->sb)->upper.dentry)
		return -EROFS;

	int err = mutex_lock_killable(&o->copy_lock);

	if (err)
		return err;
	if (!o->upper)
		err = copy_up_locked(o, size);
	mutex_unlock(&o->copy_lock);
	return err;
}
