/* Overlay directories: changes of names.  vfs holds the overlay directory's lock. */
#include <linux/fs.h>

#include "overlay.h"

/* The upper directory of dir, copied up if need be; ERR. */
static struct dentry *upper_dir(struct inode *dir)
{
	int err = overlay_copy_up(dir, U64_MAX);

	return err ? err_ptr(err) : overlay_upper(overlay_inode(dir));
}

static int set_opaque(struct dentry *d)
{
	struct inode *i = d->inode;

	return i->ops->set_xattr ? i->ops->set_xattr(i, OVERLAY_OPAQUE, "y", 1, 0) : -EOPNOTSUPP;
}

/* A whiteout that holds the name in the upper directory makes room; true if there was one. */
static bool remove_whiteout(struct dentry *above, const char *name, u32 len)
{
	struct dentry *d = dentry_lookup(above, name, len);

	if (is_err(d))
		return false;

	bool was = overlay_is_whiteout(d);

	dentry_put(d);
	return was && dentry_remove(above, name, false) == 0;
}

static int make_whiteout(struct dentry *above, const char *name)
{
	return dentry_make(above, name, S_IFCHR, 0, NULL, NULL);
}

/* The owner of what vfs lets the current process make: the real operation took the same ones. */
static int instantiate(struct inode *dir, struct dentry *d, struct dentry *made)
{
	struct inode *i = overlay_inode_create(dir->sb, made, 0, NULL, NULL);

	if (is_err(i))
		return (int)ptr_err(i);
	dentry_set_inode(d, i);
	overlay_refresh(dir);
	return 0;
}

static int make(struct inode *dir, struct dentry *d, u32 mode, u64 dev, const char *target)
{
	struct dentry *above = upper_dir(dir), *made;

	if (is_err(above))
		return (int)ptr_err(above);
	/* Nothing may look like a whiteout of ours. */
	if ((mode & S_IFMT) == S_IFCHR && dev == 0)
		return -EPERM;

	bool hidden = remove_whiteout(above, d->name, d->name_len);
	int err = dentry_make(above, d->name, mode, dev, target, &made);

	if (!err) {
		bool is_dir = (mode & S_IFMT) == S_IFDIR;

		if (hidden && is_dir)
			err = set_opaque(made);
		if (err)
			dentry_put(made);
		else
			err = instantiate(dir, d, made);
		if (err)
			dentry_remove(above, d->name, is_dir);
	}
	if (err && hidden)
		make_whiteout(above, d->name);
	return err;
}

static int create(struct inode *dir, struct dentry *d, u32 mode)
{
	return make(dir, d, (mode & 07777) | S_IFREG, 0, NULL);
}

static int make_dir(struct inode *dir, struct dentry *d, u32 mode)
{
	return make(dir, d, (mode & 07777) | S_IFDIR, 0, NULL);
}

/* O_TMPFILE: a nameless file of the upper directory's file system. */
static int make_unnamed(struct inode *dir, struct inode **made, u32 mode)
{
	struct dentry *above = upper_dir(dir), *upper;
	struct inode *real;
	int err;

	if (is_err(above))
		return (int)ptr_err(above);
	if (!above->inode->ops->tmpfile)
		return -EOPNOTSUPP;
	err = above->inode->ops->tmpfile(above->inode, &real, mode);
	if (err)
		return err;
	upper = dentry_create_unnamed(above, real);
	if (!upper)
		return -ENOMEM;
	*made = overlay_inode_create(dir->sb, upper, 0, NULL, NULL);
	return is_err(*made) ? (int)ptr_err(*made) : 0;
}

static int make_node(struct inode *dir, struct dentry *d, u32 mode, u64 dev)
{
	return make(dir, d, mode, dev, NULL);
}

static int make_symlink(struct inode *dir, struct dentry *d, const char *target)
{
	return make(dir, d, S_IFLNK | 0777, 0, target);
}

static int make_link(struct inode *dir, struct dentry *d, struct inode *target)
{
	struct dentry *above = upper_dir(dir);
	int err = is_err(above) ? (int)ptr_err(above) : overlay_copy_up(target, U64_MAX);

	if (err)
		return err;

	bool hidden = remove_whiteout(above, d->name, d->name_len);

	err = dentry_link(overlay_inode(target)->upper, above, d->name);
	if (err) {
		if (hidden)
			make_whiteout(above, d->name);
		return err;
	}
	overlay_refresh(target);
	overlay_refresh(dir);
	inode_get(target);
	dentry_set_inode(d, target);
	return 0;
}

/* Does the upper directory really have d's file under this name? */
static bool is_above(const struct dentry *d)
{
	return overlay_upper(overlay_inode(d->inode)) != NULL;
}

static int remove_above(struct dentry *above, struct dentry *d, bool is_dir)
{
	int err = is_dir ? overlay_clear_whiteouts(overlay_inode(d->inode)) : 0;

	return err ? err : dentry_remove(above, d->name, is_dir);
}

/*
 * A whiteout takes d's place above.  It is made elsewhere first: what was there is not gone before what
 * is below is hidden.
 */
static int cover(struct inode *dir, struct dentry *above, struct dentry *d, bool is_dir)
{
	struct dentry *work = overlay_mount(dir->sb)->work.dentry;
	bool swap = is_dir && is_above(d);
	char name[OVERLAY_WORK_NAME];
	int err = overlay_make_in_work(dir->sb, S_IFCHR, 0, NULL, name, NULL);

	if (err)
		return err;
	err = dentry_rename(work, name, above, d->name, swap ? RENAME_EXCHANGE : 0);
	if (swap && err == -EINVAL) { /* not every file system can exchange */
		swap = false;
		err = remove_above(above, d, true);
		if (!err)
			err = dentry_rename(work, name, above, d->name, 0);
	}
	if (!err &&
	    swap) { /* the directory, which is out of sight; what fails here leaves it there */
		(void)overlay_clear_whiteouts(overlay_inode(d->inode));
		(void)dentry_remove(work, name, true);
	} else if (err) {
		(void)dentry_remove(work, name, false);
	}
	return err;
}

static int remove_entry(struct inode *dir, struct dentry *d, bool is_dir)
{
	struct dentry *above = upper_dir(dir);
	struct inode *i = d->inode;
	bool hides;

	if (is_err(above))
		return (int)ptr_err(above);

	int err = overlay_look_below(dir, d->name, d->name_len, &hides);

	if (!err && hides)
		err = cover(dir, above, d, is_dir);
	else if (!err && is_above(d))
		err = remove_above(above, d, is_dir);
	if (err)
		return err;
	overlay_refresh(dir);
	if (is_above(d)) {
		overlay_refresh(i);
	} else {
		scoped_spin(&i->spin);
		i->nlink = is_dir || i->nlink == 0 ? 0 : i->nlink - 1;
	}
	return 0;
}

static int unlink_file(struct inode *dir, struct dentry *d)
{
	return remove_entry(dir, d, false);
}

static int remove_dir(struct inode *dir, struct dentry *d)
{
	int err = overlay_check_empty(d->inode);

	return err ? err : remove_entry(dir, d, true);
}

/* A directory with something below can't move: nothing would tell where its lower part is. */
static bool has_lower_part(const struct inode *i)
{
	return overlay_is_dir(i) && overlay_inode(i)->nr_lower != 0;
}

/* Prepares the place in the upper directory for what will be renamed onto it. */
static int clear_target(struct dentry *above, struct dentry *d, bool for_dir)
{
	int err = 0;

	if (!d->inode) {
		if (for_dir) /* a file takes the whiteout's place */
			remove_whiteout(above, d->name, d->name_len);
		return 0;
	}
	if (overlay_is_dir(d->inode)) {
		err = overlay_check_empty(d->inode);
		if (!err && is_above(d))
			err = overlay_clear_whiteouts(overlay_inode(d->inode));
	}
	return err;
}

static int move_entry(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
		      struct dentry *new, struct dentry *from, struct dentry *to)
{
	bool hides_below, uncovers, is_dir = overlay_is_dir(old->inode);
	int err = overlay_look_below(new_dir, new->name, new->name_len, &hides_below);

	if (!err)
		err = overlay_look_below(old_dir, old->name, old->name_len, &uncovers);
	if (!err)
		err = clear_target(to, new, is_dir);
	if (!err && hides_below && is_dir)
		err = set_opaque(overlay_inode(old->inode)->upper);
	if (err)
		return err;
	err = dentry_rename(from, old->name, to, new->name, uncovers ? RENAME_WHITEOUT : 0);
	if (uncovers && err == -EINVAL) { /* not every file system can do both at once */
		err = dentry_rename(from, old->name, to, new->name, 0);
		if (!err)
			err = make_whiteout(from, old->name);
	}
	return err;
}

static int rename_entry(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
			struct dentry *new, u32 flags)
{
	/* NOREPLACE was checked by vfs, under the locks. */
	flags &= ~(u32)RENAME_NOREPLACE;
	if (flags & ~(u32)RENAME_EXCHANGE)
		return -EINVAL;
	if (has_lower_part(old->inode) || ((flags & RENAME_EXCHANGE) && has_lower_part(new->inode)))
		return -EXDEV;

	struct dentry *from = upper_dir(old_dir), *to = upper_dir(new_dir);

	if (is_err(from) || is_err(to))
		return (int)ptr_err(is_err(from) ? from : to);

	int err = overlay_copy_up(old->inode, U64_MAX);

	if (!err && (flags & RENAME_EXCHANGE)) {
		err = overlay_copy_up(new->inode, U64_MAX);
		if (!err)
			err = dentry_rename(from, old->name, to, new->name, RENAME_EXCHANGE);
	} else if (!err) {
		err = move_entry(old_dir, old, new_dir, new, from, to);
	}
	if (err)
		return err;
	overlay_refresh(old->inode);
	overlay_refresh(old_dir);
	overlay_refresh(new_dir);
	if (new->inode && !(flags & RENAME_EXCHANGE)) {
		struct inode *gone = new->inode;

		if (is_above(new)) {
			overlay_refresh(gone);
		} else {
			scoped_spin(&gone->spin);
			if (gone->nlink)
				gone->nlink = overlay_is_dir(gone) ? 0 : gone->nlink - 1;
		}
	}
	return 0;
}

#define DIR_OPS                                                                                    \
	.lookup = overlay_lookup, .create = create, .mkdir = make_dir, .mknod = make_node,         \
	.symlink = make_symlink, .link = make_link, .unlink = unlink_file, .rmdir = remove_dir,    \
	.rename = rename_entry, .tmpfile = make_unnamed, .set_attributes = overlay_set_attributes, \
	.get_xattr = overlay_get_xattr, .set_xattr = overlay_set_xattr,                            \
	.list_xattr = overlay_list_xattr

const struct inode_ops overlay_dir_lower_ops = { DIR_OPS };
const struct inode_ops overlay_dir_upper_ops = {
	DIR_OPS,
	.get_attributes = overlay_get_attributes,
};
