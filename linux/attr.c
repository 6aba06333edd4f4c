/* stat and its kin, and the calls that change attributes. */
#include <nos/file.h>
#include <nos/string.h>
#include <nos/task.h>
#include <nos/vfs.h>
#include "user_path.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <linux/time_types.h>

/* utimensat(2); libc's names for them. */
#define UTIME_NOW ((1l << 30) - 1)
#define UTIME_OMIT ((1l << 30) - 2)

/* ---- stat ---- */

static u32 stat_dev(u64 dev)
{
	return (u32)dev;
}

/* Inline: what comes is still in registers. */
static __always_inline int put_stat(const struct stat_info *s, void __user *to)
{
	struct stat st; /* every field below: an initializer would clear it all first */

	st.st_dev = stat_dev(s->dev);
	st.st_ino = s->ino;
	st.st_nlink = s->nlink;
	st.st_mode = s->mode;
	st.st_uid = s->uid;
	st.st_gid = s->gid;
	st.st_rdev = stat_dev(s->rdev);
	st.st_size = (long)s->size;
	st.st_blksize = s->blksize;
	st.st_blocks = (long)s->blocks;
	st.st_atime = (unsigned long)s->atime.sec;
	st.st_atime_nsec = s->atime.nsec;
	st.st_mtime = (unsigned long)s->mtime.sec;
	st.st_mtime_nsec = s->mtime.nsec;
	st.st_ctime = (unsigned long)s->ctime.sec;
	st.st_ctime_nsec = s->ctime.nsec;
	st.__pad0 = 0;
	st.__unused[0] = st.__unused[1] = st.__unused[2] = 0;
	return copy_to_user(to, &st, sizeof(st)) ? -EFAULT : 0;
}

static __always_inline long stat_name(int dirfd, const char __user *path, void __user *to,
				      int flags)
{
	struct stat_info s;
	scoped_user_path p;
	int err = user_path_get(&p, path);

	if (!err)
		err = vfs_stat_at(dirfd, p.text, flags, 0, &s);
	return err ? err : put_stat(&s, to);
}

long sys_stat(const char __user *path, void __user *stat)
{
	return stat_name(AT_FDCWD, path, stat, 0);
}

long sys_lstat(const char __user *path, void __user *stat)
{
	return stat_name(AT_FDCWD, path, stat, AT_SYMLINK_NOFOLLOW);
}

__hot long sys_fstat(int fd, void __user *stat)
{
	scoped_fd r = fd_lookup_any(fd);
	struct stat_info s;
	int err;

	if (unlikely(!r.file))
		return -EBADF;
	err = vfs_stat_path(&r.file->path, STATX_BASIC_STATS, 0, &s);
	return err ? err : put_stat(&s, stat);
}

/* glibc's fstat: an empty name with AT_EMPTY_PATH is the descriptor itself. */
static bool is_empty_name(const char __user *path, unsigned int flags)
{
	char first;

	return (flags & AT_EMPTY_PATH) && (!path || (!copy_from_user(&first, path, 1) && !first));
}

long sys_newfstatat(int dirfd, const char __user *path, void __user *stat, int flags)
{
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if (dirfd >= 0 && is_empty_name(path, (unsigned int)flags))
		return sys_fstat(dirfd, stat);
	return stat_name(dirfd, path, stat, flags);
}

static struct statx_timestamp statx_time(struct timestamp t)
{
	return (struct statx_timestamp){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

static int put_statx(const struct stat_info *s, void __user *to)
{
	struct statx x;

	memset(&x, 0, sizeof(x));
	x.stx_mask = STATX_BASIC_STATS | STATX_MNT_ID | (s->has_btime ? STATX_BTIME : 0);
	x.stx_blksize = s->blksize;
	x.stx_attributes = s->attributes;
	x.stx_attributes_mask = s->attributes_mask;
	x.stx_nlink = s->nlink;
	x.stx_uid = s->uid;
	x.stx_gid = s->gid;
	x.stx_mode = (u16)s->mode;
	x.stx_ino = s->ino;
	x.stx_size = s->size;
	x.stx_blocks = s->blocks;
	x.stx_atime = statx_time(s->atime);
	x.stx_mtime = statx_time(s->mtime);
	x.stx_ctime = statx_time(s->ctime);
	if (s->has_btime)
		x.stx_btime = statx_time(s->btime);
	x.stx_rdev_major = dev_major(s->rdev);
	x.stx_rdev_minor = dev_minor(s->rdev);
	x.stx_dev_major = dev_major(s->dev);
	x.stx_dev_minor = dev_minor(s->dev);
	x.stx_mnt_id = s->mount_id;
	return copy_to_user(to, &x, sizeof(x)) ? -EFAULT : 0;
}

long sys_statx(int dirfd, const char __user *path, unsigned int flags, unsigned int mask,
	       void __user *buf)
{
	struct stat_info s;
	int err;

	if ((mask & STATX__RESERVED) ||
	    (flags & ~(unsigned int)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
				     AT_STATX_SYNC_TYPE)) ||
	    (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	if (dirfd >= 0 && is_empty_name(path, flags)) {
		scoped_fd r = fd_lookup_any(dirfd);

		if (!r.file)
			return -EBADF;
		err = vfs_stat_path(&r.file->path, mask, flags, &s);
	} else {
		scoped_user_path p;

		err = user_path_get(&p, path);
		if (!err)
			err = vfs_stat_at(dirfd, p.text, (int)flags, mask | STATX_BASIC_STATS, &s);
	}
	return err ? err : put_statx(&s, buf);
}

/* ---- statfs ---- */

static int put_statfs(const struct path *p, void __user *to)
{
	struct fs_stats s;
	struct statfs f;
	u32 flags = path_statfs_flags(p);
	int err = vfs_statfs(p, &s);

	if (err)
		return err;
	memset(&f, 0, sizeof(f));
	f.f_type = (long)s.type;
	f.f_bsize = f.f_frsize = (long)s.block_size;
	f.f_blocks = (long)s.blocks;
	f.f_bfree = (long)s.blocks_free;
	f.f_bavail = (long)s.blocks_available;
	f.f_files = (long)s.files;
	f.f_ffree = (long)s.files_free;
	f.f_fsid.val[0] = (int)s.fsid;
	f.f_fsid.val[1] = (int)(s.fsid >> 32);
	f.f_namelen = s.name_max;
	/* ST_VALID, and the mount's flags, which have MS_'s values but for relatime (4096). */
	f.f_flags = 0x20 |
		    (flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS |
			      MS_NOATIME | MS_NODIRATIME)) |
		    (flags & MS_RELATIME ? 4096 : 0);
	return copy_to_user(to, &f, sizeof(f)) ? -EFAULT : 0;
}

long sys_statfs(const char __user *path, void __user *buf)
{
	scoped_user_path p;
	struct path at;
	int err = user_path_get(&p, path);

	if (!err)
		err = path_lookup(AT_FDCWD, p.text, LOOKUP_FOLLOW, &at);
	if (err)
		return err;
	err = put_statfs(&at, buf);
	path_put(&at);
	return err;
}

long sys_fstatfs(int fd, void __user *buf)
{
	scoped_fd r = fd_lookup_any(fd);

	return r.file ? put_statfs(&r.file->path, buf) : -EBADF;
}

/* ---- changes ---- */

/* Applies c to the file that dirfd and path name; AT_ flags as in fchownat(2). */
/* In inode_change.valid: times that are refused once the file is found. */
#define TIMES_INVALID (1u << 31)

static int change_path(const struct path *at, struct inode_change *c)
{
	return c->valid & TIMES_INVALID ? -EINVAL : vfs_set_attributes(at, c);
}

static long change_name(int dirfd, const char __user *path, int at_flags, struct inode_change *c)
{
	u32 lookup = at_flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
	scoped_user_path p;
	struct path at;
	int err = user_path_get(&p, path);

	if (at_flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	if (!err)
		err = path_lookup(dirfd, p.text, lookup, &at);
	if (err)
		return err;
	if ((c->valid & ATTR_MODE) && (at.dentry->inode->mode & S_IFMT) == S_IFLNK)
		err = -EOPNOTSUPP;
	else
		err = change_path(&at, c);
	path_put(&at);
	return err;
}

static long change_fd(int fd, struct inode_change *c)
{
	scoped_fd r = fd_lookup(fd);

	return r.file ? change_path(&r.file->path, c) : -EBADF;
}

static struct inode_change mode_change(unsigned int mode)
{
	return (struct inode_change){ .valid = ATTR_MODE, .mode = mode & 07777 };
}

long sys_chmod(const char __user *path, unsigned int mode)
{
	struct inode_change c = mode_change(mode);

	return change_name(AT_FDCWD, path, 0, &c);
}

long sys_fchmod(int fd, unsigned int mode)
{
	struct inode_change c = mode_change(mode);

	return change_fd(fd, &c);
}

long sys_fchmodat(int dirfd, const char __user *path, unsigned int mode)
{
	struct inode_change c = mode_change(mode);

	return change_name(dirfd, path, 0, &c);
}

long sys_fchmodat2(int dirfd, const char __user *path, unsigned int mode, unsigned int flags)
{
	struct inode_change c = mode_change(mode);

	if (flags & ~(unsigned int)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return change_name(dirfd, path, (int)flags, &c);
}

static struct inode_change owner_change(u32 uid, u32 gid)
{
	return (struct inode_change){ .valid = (uid != ~0u ? ATTR_UID : 0) |
					       (gid != ~0u ? ATTR_GID : 0),
				      .uid = uid,
				      .gid = gid };
}

long sys_chown(const char __user *path, u32 uid, u32 gid)
{
	struct inode_change c = owner_change(uid, gid);

	return change_name(AT_FDCWD, path, 0, &c);
}

long sys_lchown(const char __user *path, u32 uid, u32 gid)
{
	struct inode_change c = owner_change(uid, gid);

	return change_name(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &c);
}

long sys_fchown(int fd, u32 uid, u32 gid)
{
	struct inode_change c = owner_change(uid, gid);

	return change_fd(fd, &c);
}

long sys_fchownat(int dirfd, const char __user *path, u32 uid, u32 gid, int flags)
{
	struct inode_change c = owner_change(uid, gid);

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return change_name(dirfd, path, flags, &c);
}

/* One of utimensat(2)'s two times; set: the bit of a given time, now: that of the clock's. */
static int add_time(struct inode_change *c, struct timestamp *to, s64 sec, s64 nsec, u32 set,
		    u32 now)
{
	if (nsec == UTIME_OMIT)
		return 0;
	if (nsec == UTIME_NOW) {
		c->valid |= now;
		return 0;
	}
	if (nsec < 0 || nsec >= NSEC_PER_SEC)
		return -EINVAL;
	*to = (struct timestamp){ .sec = sec, .nsec = (u32)nsec };
	c->valid |= set;
	return 0;
}

static int times_change(struct inode_change *c, const struct __kernel_timespec *t)
{
	int err;

	*c = (struct inode_change){ 0 };
	if (!t) {
		c->valid = ATTR_ATIME_NOW | ATTR_MTIME_NOW;
		return 0;
	}
	err = add_time(c, &c->atime, t[0].tv_sec, t[0].tv_nsec, ATTR_ATIME, ATTR_ATIME_NOW);
	if (!err)
		err = add_time(c, &c->mtime, t[1].tv_sec, t[1].tv_nsec, ATTR_MTIME, ATTR_MTIME_NOW);
	return err;
}

long sys_utimensat(int dirfd, const char __user *path, const void __user *times, int flags)
{
	struct __kernel_timespec t[2];
	struct inode_change c;

	if (times && copy_from_user(t, times, sizeof(t)))
		return -EFAULT;
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (times_change(&c, times ? t : NULL))
		c.valid = TIMES_INVALID;
	if (!c.valid)
		return 0;
	if (!path && dirfd != AT_FDCWD)
		return flags ? -EINVAL : change_fd(dirfd, &c);
	return change_name(dirfd, path, flags, &c);
}

/* utimes(2) and futimesat(2): microseconds. */
static long change_timeval(int dirfd, const char __user *path, const void __user *times)
{
	struct __kernel_old_timeval v[2];
	struct __kernel_timespec t[2];
	struct inode_change c;

	if (times) {
		if (copy_from_user(v, times, sizeof(v)))
			return -EFAULT;
		for (int n = 0; n < 2; n++) {
			if (v[n].tv_usec < 0 || v[n].tv_usec >= 1000000)
				return -EINVAL;
			t[n].tv_sec = v[n].tv_sec;
			t[n].tv_nsec = v[n].tv_usec * 1000;
		}
	}
	(void)times_change(&c, times ? t : NULL);
	return path || dirfd == AT_FDCWD ? change_name(dirfd, path, 0, &c) : change_fd(dirfd, &c);
}

long sys_utimes(const char __user *path, const void __user *times)
{
	return change_timeval(AT_FDCWD, path, times);
}

long sys_futimesat(int dirfd, const char __user *path, const void __user *times)
{
	return change_timeval(dirfd, path, times);
}

long sys_utime(const char __user *path, const void __user *times)
{
	struct __kernel_timespec t[2] = { 0 };
	struct inode_change c;
	s64 seconds[2];

	if (times) {
		if (copy_from_user(seconds, times, sizeof(seconds)))
			return -EFAULT;
		t[0].tv_sec = seconds[0];
		t[1].tv_sec = seconds[1];
	}
	(void)times_change(&c, times ? t : NULL);
	return change_name(AT_FDCWD, path, 0, &c);
}

long sys_truncate(const char __user *path, long length)
{
	scoped_user_path p;
	struct path at;
	int err;

	p.large = NULL;
	if (length < 0)
		return -EINVAL;
	err = user_path_get(&p, path);
	if (!err)
		err = path_lookup(AT_FDCWD, p.text, LOOKUP_FOLLOW, &at);
	if (err)
		return err;
	err = vfs_truncate(&at, (u64)length);
	path_put(&at);
	return err;
}

/* ---- access ---- */

static long access_name(int dirfd, const char __user *path, int mode, int flags)
{
	scoped_user_path p;
	int err;

	p.large = NULL;
	if ((mode & ~7) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	err = user_path_get(&p, path);
	return err ? err : vfs_access_at(dirfd, p.text, (u32)mode, flags);
}

long sys_access(const char __user *path, int mode)
{
	return access_name(AT_FDCWD, path, mode, 0);
}

long sys_faccessat(int dirfd, const char __user *path, int mode)
{
	return access_name(dirfd, path, mode, 0);
}

long sys_faccessat2(int dirfd, const char __user *path, int mode, int flags)
{
	return access_name(dirfd, path, mode, flags);
}
