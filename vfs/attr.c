/* Attributes of files: stat, chmod and friends, access, truncate, statfs, xattrs. */
#include "internal.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/inotify.h>
#include <linux/securebits.h>
#include <linux/signal.h>
#include <linux/xattr.h>

/* ---- stat ---- */

/* What struct stat has. */
static inline __always_inline void fill_basic(const struct inode *i, struct stat_info *s)
{
	s->dev = i->sb->dev;
	s->ino = i->ino;
	s->rdev = i->rdev;
	s->size = READ_ONCE(i->size);
	s->blocks = READ_ONCE(i->blocks);
	s->mode = READ_ONCE(i->mode);
	s->nlink = READ_ONCE(i->nlink);
	s->uid = READ_ONCE(i->uid);
	s->gid = READ_ONCE(i->gid);
	s->blksize = PAGE_SIZE;
	s->atime = i->atime;
	s->mtime = i->mtime;
	s->ctime = i->ctime;
}

void inode_fill_stat(const struct inode *i, struct stat_info *s)
{
	fill_basic(i, s);
	s->mount_id = 0;
	s->attributes = (i->flags & INODE_IMMUTABLE ? STATX_ATTR_IMMUTABLE : 0) |
			(i->flags & INODE_APPEND ? STATX_ATTR_APPEND : 0);
	s->attributes_mask = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_MOUNT_ROOT;
	s->dio_align = 0;
	s->btime = i->btime;
	s->has_btime = i->btime.sec != 0;
	s->is_mount_root = false;
}

static void stat_add_mount(const struct path *p, struct stat_info *s)
{
	if (!p->mount)
		return;
	s->mount_id = p->mount->id;
	if (p->dentry == p->mount->root) {
		s->is_mount_root = true;
		s->attributes |= STATX_ATTR_MOUNT_ROOT;
	}
}

int vfs_stat_path(const struct path *p, u32 request_mask, u32 at_flags, struct stat_info *s)
{
	struct inode *i = p->dentry->inode;

	if (i->ops->get_attributes) {
		int err;

		inode_fill_stat(i, s);
		err = i->ops->get_attributes(i, s);
		if (err)
			return err;
	} else {
		inode_fill_stat(i, s);
	}
	stat_add_mount(p, s);
	return 0;
}

static int stat_quick_basic(const struct path *p, struct inode *i, void *arg)
{
	if (i->ops->get_attributes)
		return -ECHILD;
	fill_basic(i, arg);
	return 0;
}

static int stat_quick(const struct path *p, struct inode *i, void *arg)
{
	if (i->ops->get_attributes)
		return -ECHILD;
	inode_fill_stat(i, arg);
	stat_add_mount(p, arg);
	return 0;
}

static __noinline int stat_counted(int dirfd, const char *name, int at_flags, u32 request_mask,
				   struct stat_info *s)
{
	u32 lookup = (at_flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
		     (at_flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
	struct path p;
	int err = path_lookup(dirfd, name, lookup, &p);

	if (err)
		return err;
	err = vfs_stat_path(&p, request_mask, (u32)at_flags, s);
	path_put(&p);
	return err;
}

int vfs_stat_at(int dirfd, const char *name, int at_flags, u32 request_mask, struct stat_info *s)
{
	u32 lookup = at_flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
	int err = path_lookup_quick(dirfd, name, lookup,
				    request_mask ? stat_quick : stat_quick_basic, s);

	return likely(err != -ECHILD) ? err : stat_counted(dirfd, name, at_flags, request_mask, s);
}

/* ---- changes ---- */

static void change_in_memory(struct inode *i, const struct inode_change *c)
{
	struct inode_access to = {
		.mode = c->valid & ATTR_MODE ? (i->mode & S_IFMT) | (c->mode & 07777) : i->mode,
		.uid = c->valid & ATTR_UID ? c->uid : i->uid,
		.gid = c->valid & ATTR_GID ? c->gid : i->gid,
	};
	bool begun = inode_access_change_begin(i, to);

	spin_lock(&i->spin);
	if (c->valid & ATTR_UID)
		WRITE_ONCE(i->uid, c->uid);
	if (c->valid & ATTR_GID)
		WRITE_ONCE(i->gid, c->gid);
	if (c->valid & ATTR_MODE)
		WRITE_ONCE(i->mode, to.mode);
	inode_times_set_locked(i);
	if (c->valid & ATTR_ATIME)
		i->atime = c->atime;
	if (c->valid & ATTR_MTIME)
		i->mtime = c->mtime;
	if (c->valid & ATTR_CTIME)
		i->ctime = c->ctime;
	spin_unlock(&i->spin);
	inode_access_change_end(begun);
}

/* For file systems that keep attributes in the inode: their set_attributes may end with it. */
void inode_set_attributes_generic(struct inode *i, const struct inode_change *c)
{
	change_in_memory(i, c);
}

/* Times "now", setuid bits and the change time are filled in; then the file system decides. */
int inode_change_locked(struct inode *i, struct inode_change *c)
{
	struct timestamp now = timestamp_now();

	if (c->valid & ATTR_ATIME_NOW) {
		c->atime = now;
		c->valid |= ATTR_ATIME;
	}
	if (c->valid & ATTR_MTIME_NOW) {
		c->mtime = now;
		c->valid |= ATTR_MTIME;
	}
	if ((c->valid & ATTR_KILL_SUID) && !(c->valid & ATTR_MODE)) {
		u32 mode = i->mode & ~S_ISUID;

		if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
			mode &= ~S_ISGID;
		if (mode != i->mode) {
			c->mode = mode;
			c->valid |= ATTR_MODE;
		}
	}
	if (!(c->valid & ATTR_CTIME)) {
		c->ctime = now;
		c->valid |= ATTR_CTIME;
	}
	if (i->ops->set_attributes)
		return i->ops->set_attributes(i, c);
	if (c->valid & ATTR_SIZE)
		return -EPERM;
	change_in_memory(i, c);
	return 0;
}

/* Writing takes set-id bits away unless the writer may keep them (inode(7)). */
__noinline int inode_drop_suid_locked(struct inode *i)
{
	struct inode_change c = { .valid = ATTR_KILL_SUID };

	if ((i->mode & S_IFMT) != S_IFREG)
		return 0;
	if (!(i->mode & S_ISUID) && !(i->mode & S_IXGRP))
		return 0;
	if (capable(CAP_FSETID))
		return 0;
	return inode_change_locked(i, &c);
}

/* chown(2), chmod(2), utimensat(2): who may, and what else changes. */
static int change_permitted(struct inode *i, struct inode_change *c)
{
	const struct cred *cred = cred_current();
	bool owner = cred->fsuid == i->uid || cred_has(cred, CAP_FOWNER);

	if (i->flags & (INODE_IMMUTABLE | INODE_APPEND) &&
	    (c->valid & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME)))
		return -EPERM;
	if ((c->valid & ATTR_UID) && !cred_has(cred, CAP_CHOWN) &&
	    !(cred->fsuid == i->uid && c->uid == i->uid))
		return -EPERM;
	if ((c->valid & ATTR_GID) && !cred_has(cred, CAP_CHOWN) &&
	    !(cred->fsuid == i->uid && (cred_in_group(cred, c->gid) || c->gid == i->gid)))
		return -EPERM;
	if (c->valid & ATTR_MODE) {
		u32 gid = c->valid & ATTR_GID ? c->gid : i->gid;

		if (!owner)
			return -EPERM;
		if (!cred_in_group(cred, gid) && !cred_has(cred, CAP_FSETID))
			c->mode &= ~S_ISGID;
	}
	if ((c->valid & (ATTR_ATIME | ATTR_MTIME)) && !owner)
		return -EPERM;
	if ((c->valid & (ATTR_ATIME_NOW | ATTR_MTIME_NOW)) && !owner) {
		/* Only both at once may be touched by a mere writer. */
		if (!(c->valid & ATTR_ATIME_NOW) || !(c->valid & ATTR_MTIME_NOW))
			return -EPERM;
		return inode_permission(i, MAY_WRITE);
	}
	return 0;
}

int vfs_set_attributes(const struct path *p, struct inode_change *c)
{
	struct inode *i = p->dentry->inode;
	int err = path_want_write(p);

	if (err)
		return err;
	rwlock_write(&i->lock);
	err = change_permitted(i, c);
	if (!err) {
		if ((c->valid & (ATTR_UID | ATTR_GID)) && (i->mode & S_IFMT) != S_IFDIR)
			c->valid |= ATTR_KILL_SUID;
		err = inode_change_locked(i, c);
	}
	rwlock_write_unlock(&i->lock);
	path_end_write(p);
	if (!err && unlikely(notify_active))
		notify_path(p->dentry, IN_ATTRIB);
	return err;
}

int dentry_set_attributes(struct dentry *d, struct inode_change *c)
{
	scoped_write(&d->inode->lock);
	return inode_change_locked(d->inode, c);
}

/* ---- size ---- */

int inode_check_growth(const struct inode *i, u64 size)
{
	if (size > i->sb->max_bytes)
		return -EFBIG;
	if (size > i->size && size > process_fsize_limit()) {
		process_signal_self(SIGXFSZ);
		return -EFBIG;
	}
	return 0;
}

static int change_size(struct inode *i, u64 size, struct file *f)
{
	struct inode_change c = { .valid = ATTR_SIZE | ATTR_MTIME_NOW | ATTR_KILL_SUID,
				  .size = size,
				  .file = f };
	int err = inode_check_growth(i, size);

	if (err)
		return err;
	if (capable(CAP_FSETID))
		c.valid &= ~ATTR_KILL_SUID;
	scoped_write(&i->lock);
	return inode_change_locked(i, &c);
}

int vfs_truncate(const struct path *p, u64 size)
{
	struct inode *i = p->dentry->inode;
	int err;

	if ((i->mode & S_IFMT) == S_IFDIR)
		return -EISDIR;
	if ((i->mode & S_IFMT) != S_IFREG)
		return -EINVAL;
	err = path_want_write(p);
	if (err)
		return err;
	err = inode_permission(i, MAY_WRITE);
	if (!err && (i->flags & INODE_APPEND))
		err = -EPERM;
	if (!err)
		err = inode_get_writer(i);
	if (!err) {
		err = change_size(i, size, NULL);
		inode_put_writer(i);
	}
	path_end_write(p);
	if (!err && unlikely(notify_active))
		notify_path(p->dentry, IN_MODIFY);
	return err;
}

int vfs_truncate_file(struct file *f, u64 size)
{
	int err;

	if (!(f->mode & FILE_WRITE) || (f->inode->mode & S_IFMT) != S_IFREG)
		return -EINVAL;
	if (f->inode->flags & INODE_APPEND)
		return -EPERM;
	err = change_size(f->inode, size, f);
	if (!err && unlikely(notify_active))
		notify_file(f, IN_MODIFY);
	return err;
}

/* Which modes there are, and which of them go together (fallocate(2)). */
static int fallocate_check_mode(int mode)
{
	const int all = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
			FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;

	if (mode & ~all)
		return -EOPNOTSUPP;
	if ((mode & FALLOC_FL_PUNCH_HOLE) &&
	    ((mode & FALLOC_FL_ZERO_RANGE) || !(mode & FALLOC_FL_KEEP_SIZE)))
		return -EOPNOTSUPP;
	if (((mode & FALLOC_FL_COLLAPSE_RANGE) && mode != FALLOC_FL_COLLAPSE_RANGE) ||
	    ((mode & FALLOC_FL_INSERT_RANGE) && mode != FALLOC_FL_INSERT_RANGE))
		return -EINVAL;
	if ((mode & FALLOC_FL_UNSHARE_RANGE) &&
	    (mode & ~(FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE)))
		return -EINVAL;
	return 0;
}

int vfs_fallocate(struct file *f, int mode, u64 offset, u64 len)
{
	struct inode *i = f->inode;
	u64 end;
	int err;

	if (!len || (s64)offset < 0 || (s64)len < 0)
		return -EINVAL;
	err = fallocate_check_mode(mode);
	if (err)
		return err;
	if (!(f->mode & FILE_WRITE))
		return -EBADF;
	if ((i->flags & INODE_IMMUTABLE) ||
	    ((i->flags & INODE_APPEND) && (mode & ~FALLOC_FL_KEEP_SIZE)))
		return -EPERM;
	if ((i->mode & S_IFMT) == S_IFIFO)
		return -ESPIPE;
	if ((i->mode & S_IFMT) == S_IFDIR)
		return -EISDIR;
	if ((i->mode & S_IFMT) != S_IFREG)
		return -ENODEV;
	if (__builtin_add_overflow(offset, len, &end) || end > i->sb->max_bytes)
		return -EFBIG;
	if (!f->ops->fallocate)
		return -EOPNOTSUPP;
	err = f->ops->fallocate(f, mode, offset, len);
	if (!err && unlikely(notify_active))
		notify_file(f, IN_MODIFY);
	return err;
}

/* ---- access, readlink, statfs ---- */

/* access(2): the real user and group, and the capabilities that exec would give that user; false: as c. */
static bool cred_real(const struct cred *c, struct cred *real)
{
	*real = *c;
	real->fsuid = c->uid;
	real->fsgid = c->gid;
	if (!(c->securebits & issecure_mask(SECURE_NO_SETUID_FIXUP)))
		real->cap_effective = c->uid == 0 ? c->cap_permitted : 0;
	return real->fsuid != c->fsuid || real->fsgid != c->fsgid ||
	       real->cap_effective != c->cap_effective;
}

int vfs_access_at(int dirfd, const char *name, u32 mode, int at_flags)
{
	u32 lookup = at_flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
	const struct cred *c = cred_current();
	struct cred real;
	struct path p;
	int err;

	if ((mode & ~7u) || (at_flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	if (at_flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	if (!(at_flags & AT_EACCESS) && cred_real(c, &real)) {
		c = &real;
		err = path_lookup_as(c, dirfd, name, lookup, &p);
	} else {
		err = path_lookup(dirfd, name, lookup, &p);
	}
	if (err)
		return err;
	if (mode) {
		struct inode *i = p.dentry->inode;

		if ((mode & MAY_EXEC) && (i->mode & S_IFMT) == S_IFREG && path_is_noexec(&p))
			err = -EACCES;
		else
			err = inode_permission_for(i, mode, c);
		if (!err && (mode & MAY_WRITE) &&
		    ((i->mode & S_IFMT) == S_IFREG || (i->mode & S_IFMT) == S_IFDIR ||
		     (i->mode & S_IFMT) == S_IFLNK) &&
		    ((p.mount->flags | p.mount->sb->flags) & MS_RDONLY))
			err = -EROFS;
	}
	path_put(&p);
	return err;
}

const char *inode_link_text(struct inode *i, char **to_free)
{
	const char *text = rcu_load(i->link);

	if (text)
		return text;
	return i->ops->get_link ? i->ops->get_link(i, to_free) : err_ptr(-EINVAL);
}

static ssize_t readlink_inode(const struct path *p, char *to, size_t size)
{
	struct inode *i = p->dentry->inode;
	char *to_free = NULL;
	const char *text;
	size_t len;

	if ((i->mode & S_IFMT) != S_IFLNK)
		return -EINVAL;
	if (i->ops->readlink)
		return i->ops->readlink(i, to, size);
	text = inode_link_text(i, &to_free);
	if (is_err(text))
		return ptr_err(text);
	len = min(strlen(text), size);
	memcpy(to, text, len);
	kfree(to_free);
	return (ssize_t)len;
}

ssize_t vfs_readlink_at(int dirfd, const char *name, char *to, size_t size)
{
	struct path p;
	ssize_t n = path_lookup(dirfd, name, LOOKUP_EMPTY, &p);

	if (n)
		return n;
	n = readlink_inode(&p, to, size);
	if (n == -EINVAL && !*name)
		n = -ENOENT;
	path_put(&p);
	return n;
}

int vfs_statfs(const struct path *p, struct fs_stats *s)
{
	struct super_block *sb = p->dentry->sb;

	*s = (struct fs_stats){ .block_size = PAGE_SIZE, .name_max = NAME_MAX, .fsid = sb->dev };
	return sb->ops->stats ? sb->ops->stats(sb, s) : 0;
}

u32 path_statfs_flags(const struct path *p)
{
	return p->mount ? p->mount->flags | p->mount->sb->flags : 0;
}

/* ---- extended attributes (xattr(7)) ---- */

/* The name of a kind alone names no attribute. */
static bool xattr_is_prefix(const char *name)
{
	return !strcmp(name, XATTR_SECURITY_PREFIX) || !strcmp(name, XATTR_TRUSTED_PREFIX) ||
	       !strcmp(name, XATTR_USER_PREFIX);
}

static int xattr_permission(struct inode *i, const char *name, bool write)
{
	u32 type = i->mode & S_IFMT;

	if (write && (i->sb->flags & MS_RDONLY))
		return -EROFS;
	if (write && (i->flags & (INODE_IMMUTABLE | INODE_APPEND)))
		return -EPERM;
	if (!strncmp(name, XATTR_SECURITY_PREFIX, XATTR_SECURITY_PREFIX_LEN))
		return write && !capable(CAP_SYS_ADMIN) && !capable(CAP_SETFCAP) ? -EPERM : 0;
	if (!strncmp(name, XATTR_SYSTEM_PREFIX, XATTR_SYSTEM_PREFIX_LEN))
		return -EOPNOTSUPP;
	if (!strncmp(name, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN))
		return capable(CAP_SYS_ADMIN) ? 0 : write ? -EPERM : -ENODATA;
	if (strncmp(name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) != 0) {
		int err = inode_permission(i, write ? MAY_WRITE : MAY_READ);

		return err ? err : -EOPNOTSUPP;
	}
	if (type != S_IFREG && type != S_IFDIR)
		return write ? -EPERM : -ENODATA;
	if (write && type == S_IFDIR && (i->mode & S_ISVTX) && cred_current()->fsuid != i->uid &&
	    !capable(CAP_FOWNER))
		return -EPERM;
	return inode_permission(i, write ? MAY_WRITE : MAY_READ);
}

ssize_t vfs_get_xattr(const struct path *p, const char *name, void *to, size_t size)
{
	struct inode *i = p->dentry->inode;
	int err = xattr_permission(i, name, false);

	if (err)
		return err;
	if (!i->ops->get_xattr)
		return -EOPNOTSUPP;
	return xattr_is_prefix(name) ? -EINVAL : i->ops->get_xattr(i, name, to, size);
}

/* value NULL: removes (flags XATTR_REPLACE). */
int vfs_set_xattr(const struct path *p, const char *name, const void *value, size_t size, int flags)
{
	struct inode *i = p->dentry->inode;
	int err = path_want_write(p);

	if (err)
		return err;
	rwlock_write(&i->lock);
	err = xattr_permission(i, name, true);
	if (!err && i->ops->set_xattr && xattr_is_prefix(name))
		err = -EINVAL;
	if (!err)
		err = i->ops->set_xattr ? i->ops->set_xattr(i, name, value, size, flags) :
					  -EOPNOTSUPP;
	if (!err)
		inode_mark_times(i, ATTR_CTIME);
	rwlock_write_unlock(&i->lock);
	path_end_write(p);
	if (!err && unlikely(notify_active))
		notify_path(p->dentry, IN_ATTRIB);
	return err;
}

/* Takes the names of trusted attributes out of a list, in place; the length that is left. */
static size_t hide_trusted(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strlen(list + at) + 1;
		if (!strncmp(list + at, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN))
			continue;
		memmove(list + kept, list + at, n);
		kept += n;
	}
	return kept;
}

/* Only the privileged see that there are trusted attributes (xattr(7)). */
static ssize_t list_visible(struct inode *i, char *to, size_t size)
{
	ssize_t n = i->ops->list_xattr(i, NULL, 0);
	char *all;

	if (n <= 0)
		return n;
	all = kmalloc((size_t)n, 0);
	if (!all)
		return -ENOMEM;
	n = i->ops->list_xattr(i, all, (size_t)n);
	if (n > 0)
		n = (ssize_t)hide_trusted(all, (size_t)n);
	if (n > 0 && size) {
		if ((size_t)n <= size)
			memcpy(to, all, (size_t)n);
		else
			n = -ERANGE;
	}
	kfree(all);
	return n;
}

ssize_t vfs_list_xattr(const struct path *p, char *to, size_t size)
{
	struct inode *i = p->dentry->inode;

	if (!i->ops->list_xattr)
		return 0;
	return capable(CAP_SYS_ADMIN) ? i->ops->list_xattr(i, to, size) : list_visible(i, to, size);
}
