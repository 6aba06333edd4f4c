/*
 * Open files: life, open(2), anonymous and pseudo files.
 *
 * A struct file comes from a cache whose freed memory keeps its type, so that
 * a lookup may try to reference one that is being freed.  Its path and inode
 * are held for its life.  The last put runs release and then lets go; it may
 * sleep, so that it is never called under a spin lock.
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/inotify.h>
#include <nos/aspace.h>
#include <nos/init.h>
#include <nos/spread.h>

static struct slab_cache *file_cache __ro_after_init;
DEFINE_SPREAD(nr_files, 32);
u64 sysctl_file_max = 1 << 20;

u64 file_count(void)
{
	return (u64)spread_sum(nr_files);
}

/* Fields that a file of the cache keeps while it is free: its count of zero. */
static void file_construct(void *object)
{
	struct file *f = object;

	ref_init(&f->refs, 0);
}

/* Would nr files more be too many? */
static inline bool is_over_limit(u32 nr)
{
	return unlikely(spread_reaches(nr_files, sysctl_file_max - nr + 1)) &&
	       !capable(CAP_SYS_ADMIN);
}

/* All but the count of the file, of its credentials, and of all files. */
static inline void file_init_fields(struct file *f, u32 flags, const struct cred *cred)
{
	f->ops = NULL;
	f->mode = 0;
	f->flags = flags;
	f->owner_signal = 0;
	f->position = 0;
	f->inode = NULL;
	f->private = NULL;
	f->path = (struct path){ 0 };
	mutex_init(&f->position_lock, RANK_FILE_POSITION);
	f->last_folio = NULL;
	f->ahead = (struct read_ahead){ 0 };
	spin_init(&f->lock, RANK_INODE_SPIN);
	list_init(&f->epolls);
	f->owner = NULL;
	f->owner_type = 0;
	f->cred = cred;
}

static struct file *file_alloc(u32 flags)
{
	struct file *f;

	if (is_over_limit(1))
		return err_ptr(-ENFILE);
	f = slab_alloc(file_cache, 0);
	if (!f)
		return err_ptr(-ENOMEM);
	file_init_fields(f, flags, cred_current());
	cred_get_opens(f->cred, 1);
	spread_add(nr_files, 1);
	return f;
}

/* Back to the cache: nothing but the count may be looked at from now on. */
static void file_free(struct file *f)
{
	cred_put_open(f->cred);
	path_put(&f->path);
	spread_add(nr_files, -1);
	slab_free(file_cache, f);
}

/*
 * Of an overlay's file both inodes: who opens it for writing is stopped at the name's
 * (a lower file would be copied up, away from this one), who writes to it at the real one.
 */
int file_deny_write(struct file *f)
{
	struct inode *named = file_lock_inode(f);
	int err = inode_deny_write(f->inode);

	if (!err && named != f->inode) {
		err = inode_deny_write(named);
		if (err)
			inode_allow_write(f->inode);
	}
	if (!err)
		f->mode |= FILE_DENIED_WRITE;
	return err;
}

static void file_allow_write(const struct file *f)
{
	struct inode *named = file_lock_inode(f);

	inode_allow_write(f->inode);
	if (named != f->inode)
		inode_allow_write(named);
}

void file_release(struct file *f)
{
	struct inode *i = f->inode;

	if (unlikely(f->mode & FILE_EPOLLED))
		epoll_file_released(f);
	if (unlikely(f->flags & FASYNC))
		async_file_released(f);
	if (unlikely(notify_active) && !(f->mode & FILE_PATH))
		notify_path(f->path.dentry,
			    f->mode & FILE_WRITE ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
	if (unlikely(READ_ONCE(file_lock_inode(f)->locks)))
		file_locks_close(f, NULL);
	if (f->ops->release && !(f->mode & FILE_PATH))
		f->ops->release(f);
	if (f->mode & FILE_WRITER) {
		inode_put_writer(i);
		mount_end_write(f->path.mount);
	}
	if (f->mode & FILE_DENIED_WRITE)
		file_allow_write(f);
	if (unlikely(f->owner))
		process_file_owner_put(f);
	file_free(f);
}

void file_get_for_mapping(struct file *f)
{
	file_get(f);
}

struct read_ahead *file_read_ahead(struct file *f)
{
	return &f->ahead;
}

void file_put_for_mapping(struct file *f)
{
	file_put(f);
}

int file_punch_for_mapping(struct file *f, u64 offset, u64 len)
{
	return vfs_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
}

phys_t file_map_special(struct file *f, u64 page_offset)
{
	return f->ops->map_special ? f->ops->map_special(f, page_offset) : 0;
}

int file_map_generic(struct file *f, struct map_request *r)
{
	r->cache = &f->inode->cache;
	inode_accessed(f);
	return 0;
}

/* ---- open ---- */

static const struct file_ops path_only_ops;

static const struct file_ops *ops_of(const struct inode *i)
{
	switch (i->mode & S_IFMT) {
	case S_IFCHR:
		return &char_device_file_ops;
	case S_IFIFO:
		return &fifo_file_ops;
	default:
		return i->file_ops;
	}
}

static u32 mode_of_flags(u32 flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return FILE_READ;
	case O_WRONLY:
		return FILE_WRITE;
	case O_RDWR:
		return FILE_READ | FILE_WRITE;
	default:
		return 0; /* 3: neither, for ioctl (open(2)) */
	}
}

static void set_ops(struct file *f, const struct file_ops *ops)
{
	u32 type = f->inode->mode & S_IFMT;

	f->ops = ops;
	if (ops->flags & FILE_OPS_STREAM)
		f->mode |= FILE_STREAM;
	else if (type == S_IFREG || type == S_IFDIR)
		f->mode |= FILE_POSITION_LOCK;
}

/* A device's open puts its own operations in place of the registry's. */
void file_replace_ops(struct file *f, const struct file_ops *ops)
{
	f->mode &= ~(FILE_STREAM | FILE_POSITION_LOCK);
	set_ops(f, ops);
}

/* file_open_path that consumes the reference on the path. */
static struct file *open_taking(struct path *p, u32 flags)
{
	struct inode *i = p->dentry->inode;
	struct file *f = file_alloc(flags & ~(u32)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC));
	int err = 0;

	if (is_err(f)) {
		path_put(p);
		return f;
	}
	f->path = *p;
	f->inode = i;
	if (flags & O_PATH) {
		f->mode = FILE_PATH;
		f->flags = flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW);
		f->ops = &path_only_ops;
		ref_init(&f->refs, 1);
		return f;
	}
	f->mode = mode_of_flags(flags);
	if ((f->mode & FILE_WRITE) && (i->mode & S_IFMT) == S_IFREG && p->mount) {
		err = inode_get_writer(i);
		if (!err) {
			err = mount_want_write(p->mount);
			if (err)
				inode_put_writer(i);
			else
				f->mode |= FILE_WRITER;
		}
	}
	if (err) {
		file_free(f);
		return err_ptr(err);
	}
	set_ops(f, ops_of(i));
	ref_init(&f->refs, 1);
	if ((i->mode & S_IFMT) == S_IFSOCK || (i->mode & S_IFMT) == S_IFBLK)
		err = -ENXIO;
	else if (f->ops->open)
		err = f->ops->open(i, f);
	if (!err && (f->flags & O_DIRECT) && !(f->ops->flags & FILE_OPS_STREAM) &&
	    (i->mode & S_IFMT) != S_IFREG && (i->mode & S_IFMT) != S_IFBLK)
		err = -EINVAL;
	if (err) {
		if (f->mode & FILE_WRITER) {
			inode_put_writer(i);
			mount_end_write(p->mount);
		}
		ref_init(&f->refs, 0);
		file_free(f);
		return err_ptr(err);
	}
	f->flags &= ~(u32)O_NOCTTY; /* until here: for a terminal's open */
	return f;
}

struct file *file_open_path(const struct path *p, u32 flags, const struct cred *cred)
{
	struct path mine = *p;

	path_get(&mine);
	return open_taking(&mine, flags);
}

int file_become(struct file *f, struct inode *real)
{
	struct inode *was = f->inode;
	int err = f->mode & FILE_WRITER ? inode_get_writer(real) : 0;

	if (err)
		return err;
	f->inode = real;
	file_replace_ops(f, ops_of(real));
	if (f->ops->open)
		err = f->ops->open(real, f);
	if (err)
		f->inode = was;
	if (f->mode & FILE_WRITER)
		inode_put_writer(err ? real : was);
	return err;
}

/* proc(5), protected_fifos and protected_regular: O_CREAT of another's file in a sticky directory. */
static int may_create_over(const struct inode *dir, const struct inode *i)
{
	u32 level = (i->mode & S_IFMT) == S_IFREG ? sysctl_protected_regular :
		    (i->mode & S_IFMT) == S_IFIFO ? sysctl_protected_fifos :
						    0;

	if (!level || !dir || !(dir->mode & S_ISVTX) || i->uid == dir->uid ||
	    i->uid == cred_current()->fsuid)
		return 0;
	if ((dir->mode & S_IWOTH) || (level >= 2 && (dir->mode & S_IWGRP)))
		return -EACCES;
	return 0;
}

/* The checks of open(2) on a file that exists. */
static int may_open(const struct path *p, u32 flags)
{
	struct inode *i = p->dentry->inode;
	u32 type = i->mode & S_IFMT, mask = 0;
	int err;

	if (type == S_IFLNK)
		return -ELOOP;
	if (type == S_IFDIR && ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC))))
		return -EISDIR;
	if ((type == S_IFCHR || type == S_IFBLK) &&
	    ((p->mount->flags | p->mount->sb->flags) & MS_NODEV))
		return -EACCES;
	if ((flags & O_ACCMODE) != O_WRONLY)
		mask |= MAY_READ;
	if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC))
		mask |= MAY_WRITE;
	err = inode_permission(i, mask);
	if (err)
		return err;
	if (i->flags & INODE_APPEND) {
		if ((flags & O_ACCMODE) != O_RDONLY && !(flags & O_APPEND))
			return -EPERM;
		if (flags & O_TRUNC)
			return -EPERM;
	}
	if ((flags & O_NOATIME) && cred_current()->fsuid != i->uid && !capable(CAP_FOWNER))
		return -EPERM;
	return 0;
}

static int truncate_at_open(const struct path *p)
{
	struct inode *i = p->dentry->inode;
	struct inode_change c = { .valid = ATTR_SIZE | ATTR_MTIME_NOW | ATTR_KILL_SUID };
	int err = path_want_write(p);

	if (err)
		return err;
	if (capable(CAP_FSETID))
		c.valid &= ~ATTR_KILL_SUID;
	err = inode_get_writer(i);
	if (!err) {
		rwlock_write(&i->lock);
		err = inode_change_locked(i, &c);
		rwlock_write_unlock(&i->lock);
		inode_put_writer(i);
	}
	path_end_write(p);
	if (!err && unlikely(notify_active))
		notify_path(p->dentry, IN_MODIFY);
	return err;
}

/* Consumes the reference on the path. */
static struct file *open_existing(struct path *p, u32 flags, bool created)
{
	struct inode *i = p->dentry->inode;
	struct file *f;
	int err = 0;

	if (!(flags & O_PATH) && !created) {
		err = may_open(p, flags);
		if (!err && (flags & O_DIRECTORY) && (i->mode & S_IFMT) != S_IFDIR)
			err = -ENOTDIR;
		if (!err && (flags & O_TRUNC) && (i->mode & S_IFMT) == S_IFREG)
			err = truncate_at_open(p);
	} else if ((flags & O_DIRECTORY) && (i->mode & S_IFMT) != S_IFDIR) {
		err = -ENOTDIR;
	}
	if (err) {
		path_put(p);
		return err_ptr(err);
	}
	f = open_taking(p, flags);
	if (!is_err(f) && unlikely(notify_active) && !(flags & O_PATH))
		notify_path(f->path.dentry, IN_OPEN);
	return f;
}

/* O_TMPFILE: a file without a name in the directory. */
static struct file *open_tmpfile(int dirfd, const char *name, u32 flags, u32 mode, u32 lookup)
{
	struct path dir, p;
	struct inode *i, *made;
	struct file *f;
	int err = path_lookup(dirfd, name, lookup | LOOKUP_DIRECTORY | LOOKUP_FOLLOW, &dir);

	if (err)
		return err_ptr(err);
	i = dir.dentry->inode;
	err = path_want_write(&dir);
	if (err) {
		path_put(&dir);
		return err_ptr(err);
	}
	err = inode_permission(i, MAY_WRITE | MAY_EXEC);
	if (!err)
		err = i->ops->tmpfile ?
			      i->ops->tmpfile(i, &made,
					      S_IFREG | (mode & 07777 &
							 ~READ_ONCE(fs_context_current()->umask))) :
			      -EOPNOTSUPP;
	path_end_write(&dir);
	if (err) {
		path_put(&dir);
		return err_ptr(err);
	}
	if (flags & O_EXCL)
		made->flags |= INODE_NO_LINK;
	p = (struct path){ dir.mount, dentry_create_unnamed(dir.dentry, made) };
	if (p.dentry) {
		f = file_open_path(&p, flags & ~(u32)O_TMPFILE, cred_current());
		dentry_put(p.dentry);
	} else {
		f = err_ptr(-ENOMEM);
	}
	path_put(&dir);
	return f;
}

/* One try at making what the lookup did not find: 1 = someone else made it, look again. */
static int open_create(int dirfd, const char *name, u32 flags, u32 mode, u32 lookup,
		       struct path *out)
{
	struct path_parent parent;
	int err = path_lookup_parent(dirfd, name, flags & O_EXCL ? lookup & ~LOOKUP_FOLLOW : lookup,
				     &parent);

	if (err)
		return err;
	if (parent.type != LAST_NORMAL || parent.trailing_slash)
		err = -EISDIR;
	else if ((parent.dir.dentry->inode->mode & S_IFMT) != S_IFDIR)
		err = -ENOTDIR;
	else
		err = vfs_create_in(&parent, mode, out);
	if (err == -EEXIST && !(flags & O_EXCL))
		err = 1;
	else if (flags & O_EXCL && (err == -EROFS || err == -EACCES)) {
		struct dentry *d = dentry_lookup(parent.dir.dentry, parent.name, parent.len);

		if (!is_err(d)) {
			dentry_put(d);
			err = -EEXIST;
		}
	}
	path_parent_put(&parent);
	return err;
}

/* A name that ends in a slash is never made: -EISDIR, whether or not it is there. */
static int refuse_slash(int dirfd, const char *name)
{
	struct path_parent parent;
	size_t len = strlen(name);
	int err;

	if (!len || name[len - 1] != '/')
		return 0;
	err = path_lookup_parent(dirfd, name, 0, &parent);
	if (err)
		return err;
	err = parent.type == LAST_NORMAL ? -EISDIR : 0;
	path_parent_put(&parent);
	return err;
}

static struct file *open_or_create(int dirfd, const char *name, u32 flags, u32 mode, u32 lookup)
{
	struct path p;
	bool created = false;
	int err = refuse_slash(dirfd, name);

	if (err)
		return err_ptr(err);
	for (int tries = 0; tries < 100; tries++) {
		if (!(flags & O_EXCL)) {
			err = path_lookup(dirfd, name, lookup, &p);
			if (err != -ENOENT)
				break;
		}
		err = open_create(dirfd, name, flags, mode, lookup, &p);
		if (err <= 0) {
			created = !err;
			break;
		}
	}
	if (err)
		return err_ptr(err > 0 ? -ENOENT : err);
	if (!created && !(flags & O_PATH)) {
		struct inode *dir = READ_ONCE(p.dentry->parent)->inode;

		err = may_create_over(dir, p.dentry->inode);
		if (err) {
			path_put(&p);
			return err_ptr(err);
		}
	}
	return open_existing(&p, flags, created);
}

struct file *file_open_at(int dirfd, const char *name, u32 flags, u32 mode, u32 lookup_flags)
{
	u32 lookup = lookup_flags;
	struct path p;
	int err;

	if (!(flags & O_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & __O_TMPFILE) == __O_TMPFILE)
		return open_tmpfile(dirfd, name, flags, mode, lookup);
	if (flags & O_CREAT) {
		if (flags & O_DIRECTORY)
			return err_ptr(-EINVAL);
		return open_or_create(dirfd, name, flags, mode, lookup);
	}
	if (flags & O_DIRECTORY)
		lookup |= LOOKUP_DIRECTORY;
	err = path_lookup(dirfd, name, lookup, &p);
	if (err)
		return err_ptr(err);
	return open_existing(&p, flags, false);
}

/* ---- files without a name ---- */

/* Consumes the reference on d. */
static struct file *file_on_dentry(struct dentry *d, struct mount *m, const struct file_ops *ops,
				   void *private, u32 flags)
{
	struct file *f = file_alloc(flags & ~(u32)O_CLOEXEC);

	if (is_err(f)) {
		dentry_put(d);
		return f;
	}
	mount_get(m);
	f->path = (struct path){ m, d };
	f->inode = d->inode;
	f->mode = mode_of_flags(flags);
	f->private = private;
	set_ops(f, ops);
	ref_init(&f->refs, 1);
	return f;
}

struct file *file_create_unnamed(const struct path *where, struct inode *i, const char *name,
				 u32 flags)
{
	struct dentry *d = dentry_create_disconnected(i, name);
	struct path p = { where->mount, d };
	struct file *f;

	if (!d)
		return err_ptr(-ENOMEM);
	f = file_open_path(&p, flags, cred_current());
	dentry_put(d);
	/* Who made it is no writer that keeps it from being run (memfd_create, then fexecve). */
	if (!is_err(f) && (f->mode & FILE_WRITER)) {
		f->mode &= ~FILE_WRITER;
		inode_put_writer(i);
		mount_end_write(p.mount);
	}
	return f;
}

static struct mount *anonymous_mount, *pipe_mount, *socket_mount;
static struct inode *anonymous_inode;

struct file *file_create_anonymous(const char *name, const struct file_ops *ops, void *private,
				   u32 flags)
{
	struct dentry *d;

	inode_get(anonymous_inode);
	d = dentry_create_disconnected(anonymous_inode, name);
	if (!d)
		return err_ptr(-ENOMEM);
	return file_on_dentry(d, anonymous_mount, ops, private, flags);
}

/*
 * A pipe's or a socket's inode and its dentry live and die together: one object, which goes when the inode does.
 * Their super blocks' roots are no such objects, and never go.
 */
struct nameless {
	struct inode inode;
	struct dentry dentry;
};
static struct slab_cache *nameless_cache __ro_after_init;

static void nameless_free(struct inode *i)
{
	slab_free(nameless_cache, container_of(i, struct nameless, inode));
}

/* The new dentry with one reference; NULL. */
static struct dentry *nameless_create(struct super_block *sb, u32 inode_mode)
{
	static const char pipe_name[8] = "pipe", socket_name[8] = "socket";
	const struct cred *c = cred_current();
	struct nameless *n = slab_alloc(nameless_cache, ALLOC_ZERO);

	if (!n)
		return NULL;
	inode_init_zeroed(&n->inode, sb, 0, inode_mode);
	n->inode.uid = c->fsuid;
	n->inode.gid = c->fsgid;
	n->inode.btime = (struct timestamp){ 0 };
	dentry_init_in_inode(&n->dentry, &n->inode, S_ISFIFO(inode_mode) ? pipe_name : socket_name);
	return &n->dentry;
}

struct file *file_create_socket(const struct file_ops *ops, void *private, u32 flags)
{
	struct dentry *d = nameless_create(socket_mount->sb, S_IFSOCK | 0777);

	return d ? file_on_dentry(d, socket_mount, ops, private, flags) : err_ptr(-ENOMEM);
}

static inline void pipe_end_init(struct file *f, struct dentry *d, const struct file_ops *ops,
				 void *private, u32 flags)
{
	file_init_fields(f, flags, cred_current());
	f->path = (struct path){ pipe_mount, d };
	f->inode = d->inode;
	f->mode = mode_of_flags(flags);
	f->private = private;
	set_ops(f, ops);
	ref_init(&f->refs, 1);
}

int file_create_pipe(const struct file_ops *const ops[2], void *private, const u32 flags[2],
		     struct file *ends[2])
{
	struct dentry *d;

	if (is_over_limit(2))
		return -ENFILE;
	ends[0] = slab_alloc(file_cache, 0);
	ends[1] = ends[0] ? slab_alloc(file_cache, 0) : NULL;
	d = ends[1] ? nameless_create(pipe_mount->sb, S_IFIFO | 0600) : NULL;
	if (unlikely(!d)) {
		if (ends[1])
			slab_free(file_cache, ends[1]);
		if (ends[0])
			slab_free(file_cache, ends[0]);
		return -ENOMEM;
	}
	ref_init(&d->refs, 2);
	mount_get_many(pipe_mount, 2);
	pipe_end_init(ends[0], d, ops[0], private, flags[0]);
	pipe_end_init(ends[1], d, ops[1], private, flags[1]);
	cred_get_opens(ends[0]->cred, 2);
	spread_add(nr_files, 2);
	return 0;
}

/* ---- the pseudo file systems ---- */

static const struct super_ops pseudo_super_ops;
static const struct super_ops nameless_super_ops = { .free_inode = nameless_free };

static struct super_block *mount_never(const struct fs_type *t, u32 flags, const char *source,
				       const char *options)
{
	return err_ptr(-EINVAL); /* the kernel's own: not for mount(2) */
}

static const struct fs_type anonymous_type = { "anon_inodefs", FS_NODEV, mount_never };
static const struct fs_type pipe_type = { "pipefs", FS_NODEV, mount_never };
static const struct fs_type socket_type = { "sockfs", FS_NODEV, mount_never };
REGISTER_FS(pipe_type);
REGISTER_FS(socket_type);

static struct mount *pseudo_mount(const struct fs_type *t, const struct super_ops *ops)
{
	struct super_block *sb = super_create(t, ops, 0);
	struct inode *root;
	struct mount *m;

	VERIFY(sb);
	root = inode_create(sb, 1, S_IFDIR | 0555);
	VERIFY(root);
	sb->root = dentry_create_root(root);
	VERIFY(sb->root);
	m = mount_create_internal(sb, MS_NOEXEC | MS_NOSUID | MS_NODEV);
	VERIFY(m);
	return m;
}

static int file_init(void)
{
	static const struct slab_cache_info info = { .name = "file",
						     .size = sizeof(struct file),
						     .align = CACHE_LINE,
						     .rcu_typed = true,
						     .account = true,
						     .construct = file_construct };

	static const struct slab_cache_info nameless_info = { .name = "nameless_inode",
							      .size = sizeof(struct nameless),
							      .align = CACHE_LINE,
							      .account = true };

	if (file_cache)
		return 0;
	file_cache = slab_cache_create(&info);
	nameless_cache = slab_cache_create(&nameless_info);
	VERIFY(file_cache && nameless_cache);
	anonymous_mount = pseudo_mount(&anonymous_type, &pseudo_super_ops);
	pipe_mount = pseudo_mount(&pipe_type, &nameless_super_ops);
	socket_mount = pseudo_mount(&socket_type, &nameless_super_ops);
	anonymous_inode = inode_create(anonymous_mount->sb, 0, 0600);
	VERIFY(anonymous_inode);
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, file_init);
