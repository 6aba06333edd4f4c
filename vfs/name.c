/*
 * Changes of names: create, link, unlink, rename.
 *
 * Each has two forms.  dentry_* works on a directory's dentry without asking
 * for permission, for file systems that stand on others.  vfs_*_at resolves
 * names, checks permissions and read-only mounts, and tells inotify.
 *
 * Locking (rank INODE_DIR, then INODE): the directory exclusively, then the
 * victim; for a rename both directories, in the order of addresses, under the
 * super block's rename_lock when they differ, so that no directory becomes its
 * own ancestor.
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/inotify.h>

static inline bool is_dir(const struct inode *i)
{
	return (i->mode & S_IFMT) == S_IFDIR;
}

/* ---- permissions ---- */

int may_create_in(const struct path *dir)
{
	return inode_permission(dir->dentry->inode, MAY_WRITE | MAY_EXEC);
}

int may_delete_from(struct inode *dir, struct dentry *victim, bool want_dir)
{
	struct inode *i = victim->inode;
	int err = inode_permission(dir, MAY_WRITE | MAY_EXEC);

	if (err)
		return err;
	if (dir->flags & INODE_APPEND || i->flags & (INODE_APPEND | INODE_IMMUTABLE) ||
	    inode_is_sticky_denied(dir, i, cred_current()))
		return -EPERM;
	if (want_dir && !is_dir(i))
		return -ENOTDIR;
	if (!want_dir && is_dir(i))
		return -EISDIR;
	return 0;
}

/* ---- making ---- */

static int make_locked(struct inode *dir, struct dentry *d, u32 mode, u64 dev, const char *target)
{
	const struct inode_ops *ops = dir->ops;

	switch (mode & S_IFMT) {
	case S_IFREG:
		return ops->create ? ops->create(dir, d, mode) : -EPERM;
	case S_IFDIR:
		return ops->mkdir ? ops->mkdir(dir, d, mode) : -EPERM;
	case S_IFLNK:
		return ops->symlink ? ops->symlink(dir, d, target) : -EPERM;
	default:
		return ops->mknod ? ops->mknod(dir, d, mode, dev) : -EPERM;
	}
}

/*
 * The negative dentry to make positive: cached, or a fresh unhashed one in a complete directory.
 * dir is locked exclusively.  -EEXIST where the name exists.
 */
static struct dentry *negative_for(struct dentry *dir, const char *name, u32 len)
{
	struct dentry *d;

	if (dir->inode->flags & INODE_DELETED)
		return err_ptr(-ENOENT);
	d = dentry_lookup_any(dir, name, len, true);
	if (ptr_err(d) == -ENOENT && (dir->inode->flags & INODE_COMPLETE)) {
		d = dentry_alloc(dir, name, len);
		if (!d)
			return err_ptr(-ENOMEM);
		d->flags |= DENTRY_PERSISTENT;
		return d;
	}
	if (!is_err(d) && !dentry_is_negative(d)) {
		dentry_put(d);
		return err_ptr(-EEXIST);
	}
	return d;
}

/* Made positive by the file system: visible unless it was already. */
static void publish(struct dentry *d)
{
	if (!(d->flags & DENTRY_HASHED) && d->inode)
		dentry_insert(d);
}

static int make_named(struct dentry *dir, const char *name, u32 len, u32 mode, u64 dev,
		      const char *target, struct dentry **made)
{
	struct dentry *d;
	int err;

	rwlock_write(&dir->inode->lock);
	d = negative_for(dir, name, len);
	if (is_err(d)) {
		rwlock_write_unlock(&dir->inode->lock);
		return (int)ptr_err(d);
	}
	err = make_locked(dir->inode, d, mode, dev, target);
	if (!err)
		publish(d);
	rwlock_write_unlock(&dir->inode->lock);
	if (!err && made)
		*made = d;
	else
		dentry_put(d);
	return err;
}

int dentry_make(struct dentry *dir, const char *name, u32 mode, u64 dev, const char *target,
		struct dentry **made)
{
	return make_named(dir, name, (u32)strlen(name), mode, dev, target, made);
}

/* The parent of a name to be made: -EEXIST for "/", "." and "..". */
static int parent_for_new(int dirfd, const char *name, bool making_dir, struct path_parent *p)
{
	int err = path_lookup_parent(dirfd, name, 0, p);

	if (err)
		return err;
	if (p->type != LAST_NORMAL)
		err = -EEXIST;
	else if (!is_dir(p->dir.dentry->inode))
		err = -ENOTDIR;
	if (err)
		path_parent_put(p);
	return err;
}

/* "name/" for something that is no directory: EEXIST if it exists, else ENOENT (mknod(2)). */
static int check_slash(struct path_parent *p, bool making_dir)
{
	struct dentry *d;

	if (!p->trailing_slash || making_dir)
		return 0;
	d = dentry_lookup(p->dir.dentry, p->name, p->len);
	if (is_err(d))
		return (int)ptr_err(d);
	dentry_put(d);
	return -EEXIST;
}

/* EEXIST comes before EROFS and EACCES, as mkdir -p expects. */
static int check_absent(struct path_parent *p, int err)
{
	struct dentry *d = dentry_lookup(p->dir.dentry, p->name, p->len);

	if (is_err(d))
		return err;
	dentry_put(d);
	return -EEXIST;
}

/* Devices are for the privileged, but for the one that stands for nothing (a whiteout). */
static bool may_make_node(u32 mode, u64 dev)
{
	u32 type = mode & S_IFMT;

	return (type != S_IFCHR && type != S_IFBLK) || (type == S_IFCHR && !dev) ||
	       capable(CAP_MKNOD);
}

static int make_at(int dirfd, const char *name, u32 mode, u64 dev, const char *target,
		   struct path *made)
{
	bool dir = (mode & S_IFMT) == S_IFDIR;
	struct path_parent p;
	struct dentry *d = NULL;
	int err = parent_for_new(dirfd, name, dir, &p);

	if (err)
		return err;
	err = check_slash(&p, dir);
	if (!err) {
		err = path_want_write(&p.dir);
		if (err) {
			err = check_absent(&p, err);
		} else {
			err = may_create_in(&p.dir);
			if (!err && !may_make_node(mode, dev))
				err = -EPERM;
			if (err)
				err = check_absent(&p, err);
			else
				err = make_named(p.dir.dentry, p.name, p.len, mode, dev, target,
						 &d);
			path_end_write(&p.dir);
		}
	}
	if (!err) {
		ASSERT(d);
		if (unlikely(notify_active))
			notify_child(p.dir.dentry, d->name, IN_CREATE | (dir ? IN_ISDIR : 0), 0);
		if (made) {
			*made = (struct path){ p.dir.mount, d };
			mount_get(made->mount);
		} else {
			dentry_put(d);
		}
	}
	path_parent_put(&p);
	return err;
}

static u32 apply_umask(u32 mode)
{
	return mode & ~READ_ONCE(fs_context_current()->umask);
}

int vfs_mkdir_at(int dirfd, const char *name, u32 mode)
{
	return make_at(dirfd, name,
		       S_IFDIR | apply_umask(mode & (S_IRWXU | S_IRWXG | S_IRWXO | S_ISVTX)), 0,
		       NULL, NULL);
}

int vfs_mknod_at(int dirfd, const char *name, u32 mode, u64 dev)
{
	switch (mode & S_IFMT) {
	case 0:
		mode |= S_IFREG;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFCHR:
	case S_IFBLK:
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	return make_at(dirfd, name, (mode & S_IFMT) | apply_umask(mode & 07777), dev, NULL, NULL);
}

int vfs_symlink_at(const char *target, int dirfd, const char *name)
{
	if (!*target)
		return -ENOENT;
	return make_at(dirfd, name, S_IFLNK | 0777, 0, target, NULL);
}

int vfs_make_socket(const char *name, u32 mode, void *socket, struct path *out)
{
	int err = make_at(AT_FDCWD, name, S_IFSOCK | apply_umask(mode & 0777), 0, NULL, out);

	if (err)
		return err == -EEXIST ? -EADDRINUSE : err;
	out->dentry->inode->socket = socket;
	return 0;
}

/*
 * open(2) with O_CREAT where the lookup found nothing: the new file in *out, or -EEXIST when someone
 * was faster.  dir is the parent's path.
 */
int vfs_create_in(const struct path_parent *p, u32 mode, struct path *out)
{
	struct dentry *d = NULL;
	int err = path_want_write(&p->dir);

	if (err)
		return err;
	err = may_create_in(&p->dir);
	if (!err)
		err = make_named(p->dir.dentry, p->name, p->len,
				 S_IFREG | apply_umask(mode & 07777), 0, NULL, &d);
	path_end_write(&p->dir);
	if (err)
		return err;
	ASSERT(d);
	if (unlikely(notify_active))
		notify_child(p->dir.dentry, d->name, IN_CREATE, 0);
	*out = (struct path){ p->dir.mount, d };
	mount_get(out->mount);
	return 0;
}

/* ---- hard links ---- */

static int link_named(struct dentry *target, struct dentry *dir, const char *name, u32 len)
{
	struct inode *i = target->inode;
	struct dentry *d;
	int err;

	if (i->sb != dir->sb)
		return -EXDEV;
	if (is_dir(i) || !dir->inode->ops->link)
		return -EPERM;
	rwlock_write(&dir->inode->lock);
	d = negative_for(dir, name, len);
	if (is_err(d)) {
		rwlock_write_unlock(&dir->inode->lock);
		return (int)ptr_err(d);
	}
	rwlock_write(&i->lock);
	if ((!i->nlink && !(target->flags & DENTRY_DISCONNECTED)) || (i->flags & INODE_NO_LINK))
		err = -ENOENT;
	else
		err = dir->inode->ops->link(dir->inode, d, i);
	rwlock_write_unlock(&i->lock);
	if (!err)
		publish(d);
	rwlock_write_unlock(&dir->inode->lock);
	dentry_put(d);
	return err;
}

int dentry_link(struct dentry *target, struct dentry *dir, const char *name)
{
	return link_named(target, dir, name, (u32)strlen(name));
}

/* proc(5), protected_hardlinks: of others' files only what one may read and write. */
static int may_link(struct inode *i)
{
	const struct cred *c = cred_current();

	if (!sysctl_protected_hardlinks || c->fsuid == i->uid || cred_has(c, CAP_FOWNER))
		return 0;
	if ((i->mode & S_IFMT) == S_IFREG && !(i->mode & S_ISUID) &&
	    (i->mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP) &&
	    !inode_permission(i, MAY_READ | MAY_WRITE))
		return 0;
	return -EPERM;
}

static int link_at(const struct path *from, const struct path_parent *to)
{
	int err = from->mount == to->dir.mount ? may_link(from->dentry->inode) : -EXDEV;

	if (!err)
		err = path_want_write(&to->dir);
	if (err)
		return err;
	err = may_create_in(&to->dir);
	if (!err)
		err = link_named(from->dentry, to->dir.dentry, to->name, to->len);
	path_end_write(&to->dir);
	return err;
}

int vfs_link_at(int old_dirfd, const char *old, int new_dirfd, const char *new, int at_flags)
{
	u32 lookup = at_flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0;
	struct path from;
	struct path_parent p;
	int err;

	if (at_flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (at_flags & AT_EMPTY_PATH) {
		if (!capable(CAP_DAC_READ_SEARCH))
			return -ENOENT;
		lookup |= *old ? 0 : LOOKUP_EMPTY;
	}
	err = path_lookup(old_dirfd, old, lookup, &from);
	if (err)
		return err;
	err = parent_for_new(new_dirfd, new, false, &p);
	if (err) {
		path_put(&from);
		return err;
	}
	err = check_slash(&p, false);
	if (!err) {
		err = link_at(&from, &p);
		if (err)
			err = check_absent(&p, err);
	}
	if (!err && notify_active) {
		notify_inode(from.dentry->inode, IN_ATTRIB);
		notify_child(p.dir.dentry, p.name, IN_CREATE, 0);
	}
	path_parent_put(&p);
	path_put(&from);
	return err;
}

/* ---- removal ---- */

static int remove_locked(struct dentry *dir, struct dentry *d, bool want_dir)
{
	const struct inode_ops *ops = dir->inode->ops;
	struct inode *i = d->inode;
	int err;

	if (READ_ONCE(d->nr_mounts))
		return -EBUSY;
	rwlock_write(&i->lock);
	if (want_dir)
		err = ops->rmdir ? ops->rmdir(dir->inode, d) : -EPERM;
	else
		err = ops->unlink ? ops->unlink(dir->inode, d) : -EPERM;
	if (!err && want_dir)
		i->flags |= INODE_DELETED;
	rwlock_write_unlock(&i->lock);
	if (!err)
		dentry_delete(d);
	return err;
}

static int remove_named(struct dentry *dir, const char *name, u32 len, bool want_dir,
			bool check_permission)
{
	struct dentry *d;
	int err = 0;

	rwlock_write(&dir->inode->lock);
	d = dentry_lookup_any(dir, name, len, true);
	if (is_err(d)) {
		rwlock_write_unlock(&dir->inode->lock);
		return (int)ptr_err(d);
	}
	if (dentry_is_negative(d))
		err = -ENOENT;
	else if (check_permission)
		err = may_delete_from(dir->inode, d, want_dir);
	if (!err)
		err = remove_locked(dir, d, want_dir);
	rwlock_write_unlock(&dir->inode->lock);
	if (!err && unlikely(notify_active) && check_permission) {
		struct inode *i = d->inode;

		notify_child(dir, d->name, IN_DELETE | (want_dir ? IN_ISDIR : 0), 0);
		notify_unlinked(i);
	}
	dentry_put(d);
	return err;
}

int dentry_remove(struct dentry *dir, const char *name, bool want_dir)
{
	return remove_named(dir, name, (u32)strlen(name), want_dir, false);
}

int vfs_unlink_at(int dirfd, const char *name, int at_flags)
{
	bool want_dir = at_flags & AT_REMOVEDIR;
	struct path_parent p;
	int err;

	if (at_flags & ~AT_REMOVEDIR)
		return -EINVAL;
	err = path_lookup_parent(dirfd, name, 0, &p);
	if (err)
		return err;
	if (p.type == LAST_DOTDOT && want_dir)
		err = -ENOTEMPTY;
	else if (p.type == LAST_DOT && want_dir)
		err = -EINVAL;
	else if (p.type == LAST_ROOT && want_dir)
		err = -EBUSY;
	else if (p.type != LAST_NORMAL)
		err = -EISDIR;
	if (!err && p.trailing_slash && !want_dir) {
		struct dentry *d = dentry_lookup(p.dir.dentry, p.name, p.len);

		err = is_err(d) ? (int)ptr_err(d) : is_dir(d->inode) ? -EISDIR : -ENOTDIR;
		if (!is_err(d))
			dentry_put(d);
	}
	if (!err && !is_dir(p.dir.dentry->inode))
		err = -ENOTDIR;
	if (!err)
		err = path_want_write(&p.dir);
	if (!err) {
		err = remove_named(p.dir.dentry, p.name, p.len, want_dir, true);
		path_end_write(&p.dir);
	}
	path_parent_put(&p);
	return err;
}

/* ---- renaming ---- */

struct rename {
	struct dentry *old_dir, *new_dir;
	struct dentry *old, *new;
	u32 flags;
	bool check_permission, old_slash, new_slash;
};

/* rename(2)'s rules for the pair that was found. */
static int rename_check(const struct rename *r)
{
	struct inode *old = r->old->inode, *new = r->new ? r->new->inode : NULL;
	bool exchange = r->flags & RENAME_EXCHANGE;
	int err;

	if (!old || (exchange && !new))
		return -ENOENT;
	if (new && (r->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if ((r->old_slash || (!exchange && r->new_slash)) && !is_dir(old))
		return -ENOTDIR;
	if (exchange && r->new_slash && !is_dir(new))
		return -ENOTDIR;
	if (is_dir(old) && dentry_is_ancestor(r->old, r->new_dir))
		return -EINVAL;
	if (new &&dentry_is_ancestor(r->new, r->old_dir) && is_dir(new))
		return exchange ? -EINVAL : -ENOTEMPTY;
	/* Two links of one file: nothing to do, whoever asks (rename(2)). */
	if (new == old)
		return 0;
	if (r->check_permission) {
		err = may_delete_from(r->old_dir->inode, r->old, is_dir(old));
		if (!err && new)
			err = may_delete_from(r->new_dir->inode, r->new,
					      exchange ? is_dir(new) : is_dir(old));
		else if (!err)
			err = inode_permission(r->new_dir->inode, MAY_WRITE | MAY_EXEC);
		/* A directory that changes its parent is written: its `..` changes. */
		if (!err && is_dir(old) && r->old_dir != r->new_dir)
			err = inode_permission(old, MAY_WRITE);
		if (!err && exchange && is_dir(new) && r->old_dir != r->new_dir)
			err = inode_permission(new, MAY_WRITE);
		if (err)
			return err;
	} else if (new && !exchange && is_dir(old) != is_dir(new)) {
		return is_dir(old) ? -ENOTDIR : -EISDIR;
	}
	if (READ_ONCE(r->old->nr_mounts) || (r->new &&READ_ONCE(r->new->nr_mounts)))
		return -EBUSY;
	return r->old_dir->inode->ops->rename ? 0 : -EPERM;
}

/*
 * What stays at the old name: character device 0/0, made before the move and shown after it.  Only
 * where directories are their dentries; other file systems make it themselves.
 */
static int whiteout_prepare(const struct rename *r, struct dentry **out)
{
	struct inode *dir = r->old_dir->inode;
	struct dentry *d;
	int err;

	if (!(dir->flags & INODE_COMPLETE))
		return 0;
	if (!dir->ops->mknod)
		return -EINVAL;
	d = dentry_alloc(r->old_dir, r->old->name, r->old->name_len);
	if (!d)
		return -ENOMEM;
	d->flags |= DENTRY_PERSISTENT;
	err = dir->ops->mknod(dir, d, S_IFCHR, 0);
	if (err)
		dentry_put(d);
	else
		*out = d;
	return err;
}

/* All is locked and checked: the file system's part, then the names. */
static int rename_commit(struct rename *r, const char *new_name, u32 new_len)
{
	struct inode *victim = r->new ? r->new->inode : NULL;
	char *copy = NULL, *copy_back = NULL;
	bool exchange = r->flags & RENAME_EXCHANGE;
	struct dentry *whiteout = NULL;
	int err = dentry_name_prepare(new_name, new_len, &copy);

	if (!err && exchange)
		err = dentry_name_prepare(r->old->name, r->old->name_len, &copy_back);
	if (!err && (r->flags & RENAME_WHITEOUT))
		err = whiteout_prepare(r, &whiteout);
	if (!err)
		err = r->old_dir->inode->ops->rename(r->old_dir->inode, r->old, r->new_dir->inode,
						     r->new, r->flags);
	if (err) {
		kfree(copy);
		kfree(copy_back);
		if (whiteout) {
			(void)r->old_dir->inode->ops->unlink(r->old_dir->inode, whiteout);
			dentry_put(whiteout);
		}
		return err;
	}
	if (exchange) {
		dentry_exchange(r->old, r->new, copy, copy_back);
		return 0;
	}
	if (victim && is_dir(victim))
		victim->flags |= INODE_DELETED;
	/* Its place in a listing is in front of what was made after it. */
	if (whiteout)
		dentry_list(whiteout);
	dentry_replace(r->old, r->new_dir, new_name, new_len, copy, r->new);
	if (whiteout) {
		dentry_insert(whiteout);
		dentry_put(whiteout);
	}
	return 0;
}

static int rename_locked(struct rename *r, const char *old, u32 old_len, const char *new,
			 u32 new_len)
{
	int err;

	r->old = dentry_lookup_any(r->old_dir, old, old_len, true);
	if (is_err(r->old)) {
		err = (int)ptr_err(r->old);
		r->old = NULL;
		return err;
	}
	if (r->new_dir->inode->flags & INODE_DELETED)
		return -ENOENT;
	r->new = dentry_lookup_any(r->new_dir, new, new_len, true);
	if (ptr_err(r->new) == -ENOENT) {
		/* Complete directories have no negative dentries; file systems expect one. */
		r->new = dentry_alloc(r->new_dir, new, new_len);
		if (!r->new)
			return -ENOMEM;
	}
	if (is_err(r->new)) {
		err = (int)ptr_err(r->new);
		r->new = NULL;
		return err;
	}
	err = rename_check(r);
	if (!err && r->new->inode != r->old->inode)
		err = rename_commit(r, new, new_len);
	return err;
}

/* Between two directories, no other rename of the file system may move one below the other. */
static void rename_lock_dirs(struct rename *r) __acquires(&r->old_dir->inode->lock) __no_lock_check
{
	if (r->old_dir != r->new_dir)
		mutex_lock(&r->old_dir->sb->rename_lock);
	inode_lock_two(r->old_dir->inode, r->new_dir->inode);
}

static void rename_unlock_dirs(struct rename *r)
	__releases(&r->old_dir->inode->lock) __no_lock_check
{
	inode_unlock_two(r->old_dir->inode, r->new_dir->inode);
	if (r->old_dir != r->new_dir)
		mutex_unlock(&r->old_dir->sb->rename_lock);
}

static int rename_named(struct rename *r, const char *old, u32 old_len, const char *new,
			u32 new_len)
{
	int err;

	if (r->old_dir->sb != r->new_dir->sb)
		return -EXDEV;
	rename_lock_dirs(r);
	err = rename_locked(r, old, old_len, new, new_len);
	rename_unlock_dirs(r);
	return err;
}

static void rename_release(struct rename *r)
{
	if (r->old)
		dentry_put(r->old);
	if (r->new)
		dentry_put(r->new);
}

int dentry_rename(struct dentry *old_dir, const char *old, struct dentry *new_dir, const char *new,
		  u32 flags)
{
	struct rename r = { .old_dir = old_dir, .new_dir = new_dir, .flags = flags };
	int err = rename_named(&r, old, (u32)strlen(old), new, (u32)strlen(new));

	rename_release(&r);
	return err;
}

static int rename_parents(struct path_parent *from, struct path_parent *to, u32 flags)
{
	struct rename r = { .old_dir = from->dir.dentry,
			    .new_dir = to->dir.dentry,
			    .flags = flags,
			    .check_permission = true,
			    .old_slash = from->trailing_slash,
			    .new_slash = to->trailing_slash };
	struct inode *replaced;
	int err;

	if (from->dir.mount != to->dir.mount)
		return -EXDEV;
	if (from->type != LAST_NORMAL)
		return -EBUSY;
	if (to->type != LAST_NORMAL)
		return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	err = path_want_write(&from->dir);
	if (err)
		return err;
	err = rename_named(&r, from->name, from->len, to->name, to->len);
	path_end_write(&from->dir);
	if (err == 0 && notify_active) {
		char old_name[NAME_MAX + 1], new_name[NAME_MAX + 1];

		ASSERT(r.old && r.new);
		string_copy(old_name, from->name, min((size_t)from->len + 1, sizeof(old_name)));
		string_copy(new_name, to->name, min((size_t)to->len + 1, sizeof(new_name)));
		notify_move(from->dir.dentry->inode, old_name, to->dir.dentry->inode, new_name,
			    r.old->inode);
		replaced = flags & RENAME_EXCHANGE ? NULL : r.new->inode;
		if (replaced && replaced != r.old->inode)
			notify_unlinked(replaced);
	}
	rename_release(&r);
	return err;
}

bool rename_flags_valid(u32 flags)
{
	return !(flags & ~(u32)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) &&
	       (!(flags & RENAME_EXCHANGE) || !(flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)));
}

int vfs_rename_at(int old_dirfd, const char *old, int new_dirfd, const char *new, u32 flags)
{
	struct path_parent from, to;
	int err;

	if (!rename_flags_valid(flags))
		return -EINVAL;
	err = path_lookup_parent(old_dirfd, old, 0, &from);
	if (err)
		return err;
	err = path_lookup_parent(new_dirfd, new, 0, &to);
	if (!err) {
		if (!is_dir(from.dir.dentry->inode) || !is_dir(to.dir.dentry->inode))
			err = -ENOTDIR;
		else
			err = rename_parents(&from, &to, flags);
		path_parent_put(&to);
	}
	path_parent_put(&from);
	return err;
}
