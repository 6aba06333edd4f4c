/* Reading, writing, opening and closing files. */
#include <nos/task.h>
#include <nos/file.h>
#include <nos/string.h>
#include <nos/process.h>
#include <nos/vfs.h>
#include <nos/wait.h>
#include "user_path.h"

#include <linux/close_range.h>
#include <linux/falloc.h>
#include <linux/fadvise.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <asm/ioctls.h>

/* ---- read and write ---- */

/* The buffer of a plain call: 0, -EFAULT, -EINVAL. */
static inline int buffer_init(struct iobuf *b, const void __user *buf, size_t count)
{
	if (unlikely(!user_range_ok((u64)buf, count)))
		return -EFAULT;
	iobuf_init_user(b, (u64)buf, min(count, MAX_RW_BYTES));
	return 0;
}

/* For /proc/PID/io: what the call moved; passes the result on. */
static inline long count_read(ssize_t n)
{
	struct task *t = task_current();

	t->io_read_calls++;
	if (likely(n > 0))
		t->io_read_chars += (u64)n;
	return n;
}

static inline long count_write(ssize_t n)
{
	struct task *t = task_current();

	t->io_write_calls++;
	if (likely(n > 0))
		t->io_write_chars += (u64)n;
	return n;
}

/* A transfer may not reach past the largest offset (pread(2), EINVAL). */
static inline bool is_past_end(u64 pos, size_t count)
{
	return (s64)(pos + count) < 0;
}

/* Wholly in the user half, and not too long: the case without a cut or an error. */
static inline bool is_plain_buffer(const void __user *buf, size_t count)
{
	return count <= MAX_RW_BYTES && !(((u64)buf | ((u64)buf + count)) >> 47);
}

/* The file of fd where nothing stands between it and its operation; NULL: the long way. */
static inline struct file *plain_file(int fd, u32 mode, u32 not_mode)
{
	struct file *f = fd_light(fd);

	if (unlikely(!f || (f->mode & (mode | not_mode)) != mode || READ_ONCE(notify_active)))
		return NULL;
	return f;
}

static __noinline long read_any(int fd, void __user *buf, size_t count)
{
	scoped_fd r = fd_lookup(fd);
	struct iobuf b;
	int err;

	if (!r.file || !(r.file->mode & FILE_READ))
		return -EBADF;
	if (!r.file->ops->read && (r.file->inode->mode & S_IFMT) != S_IFDIR)
		return -EINVAL;
	err = buffer_init(&b, buf, count);
	return err ? err : count_read(file_read(r.file, &b, NULL));
}

__hot long sys_read(int fd, void __user *buf, size_t count)
{
	struct file *f = plain_file(fd, FILE_READ, 0);
	struct iobuf b;
	u64 none = 0; /* a stream's position */

	if (unlikely(!f || !is_plain_buffer(buf, count) || !f->ops->read ||
		     file_needs_position_lock(f)))
		return read_any(fd, buf, count);
	iobuf_init_user(&b, (u64)buf, count);
	return count_read(f->ops->read(f, &b, f->mode & FILE_STREAM ? &none : &f->position));
}

static __noinline long write_any(int fd, const void __user *buf, size_t count)
{
	scoped_fd r = fd_lookup(fd);
	struct iobuf b;
	int err;

	if (!r.file || !(r.file->mode & FILE_WRITE))
		return -EBADF;
	if (!r.file->ops->write)
		return -EINVAL;
	err = buffer_init(&b, buf, count);
	return err ? err : count_write(file_write(r.file, &b, NULL));
}

__hot long sys_write(int fd, const void __user *buf, size_t count)
{
	struct file *f = plain_file(fd, FILE_WRITE, 0);
	struct iobuf b;
	u64 none = 0; /* a stream's position */

	if (unlikely(!f || !is_plain_buffer(buf, count) || !f->ops->write ||
		     file_needs_position_lock(f)))
		return write_any(fd, buf, count);
	iobuf_init_user(&b, (u64)buf, count);
	return count_write(f->ops->write(f, &b, f->mode & FILE_STREAM ? &none : &f->position));
}

static __noinline long transfer_at(int fd, const void __user *buf, size_t count, s64 pos,
				   bool write)
{
	u64 at = (u64)pos;
	struct iobuf b;
	int err;

	if (pos < 0)
		return -EINVAL;
	scoped_fd r = fd_lookup(fd);

	if (!r.file)
		return -EBADF;
	if (r.file->mode & FILE_STREAM)
		return -ESPIPE;
	if (!(r.file->mode & (write ? FILE_WRITE : FILE_READ)))
		return -EBADF;
	err = buffer_init(&b, buf, count);
	if (err)
		return err;
	if (is_past_end(at, b.remaining))
		return -EINVAL;
	return write ? count_write(file_write(r.file, &b, &at)) :
		       count_read(file_read(r.file, &b, &at));
}

__hot long sys_pread64(int fd, void __user *buf, size_t count, s64 pos)
{
	struct file *f = plain_file(fd, FILE_READ, FILE_STREAM);
	u64 at = (u64)pos;
	struct iobuf b;

	if (unlikely(!f || !is_plain_buffer(buf, count) || !f->ops->read ||
		     (u64)pos > S64_MAX - MAX_RW_BYTES))
		return transfer_at(fd, buf, count, pos, false);
	iobuf_init_user(&b, (u64)buf, count);
	return count_read(f->ops->read(f, &b, &at));
}

__hot long sys_pwrite64(int fd, const void __user *buf, size_t count, s64 pos)
{
	struct file *f = plain_file(fd, FILE_WRITE, FILE_STREAM);
	u64 at = (u64)pos;
	struct iobuf b;

	if (unlikely(!f || !is_plain_buffer(buf, count) || !f->ops->write ||
		     (u64)pos > S64_MAX - MAX_RW_BYTES))
		return transfer_at(fd, buf, count, pos, true);
	iobuf_init_user(&b, (u64)buf, count);
	return count_write(f->ops->write(f, &b, &at));
}

/* RWF_* as buffer flags; -EOPNOTSUPP for those not known. */
static int rwf_flags(const struct file *f, int flags, struct iobuf *b)
{
	if (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND))
		return -EOPNOTSUPP;
	if (flags & RWF_NOWAIT) {
		if (!(f->ops->flags & FILE_OPS_NOWAIT) && (f->inode->mode & S_IFMT) != S_IFREG)
			return -EOPNOTSUPP;
		b->flags |= IOBUF_NOWAIT;
	}
	if (flags & (RWF_DSYNC | RWF_SYNC))
		b->flags |= IOBUF_DSYNC;
	if (flags & RWF_APPEND)
		b->flags |= IOBUF_APPEND;
	if (flags & RWF_HIPRI)
		b->flags |= IOBUF_HIPRI;
	return 0;
}

/* pos NULL: the file's own position.  Nothing to move is no error, whatever the flags say. */
static long vector_call(int fd, const void __user *vec, unsigned long nr, u64 *pos, int flags,
			bool write)
{
	scoped_fd r = fd_lookup(fd);
	scoped_user_vec v = { 0 };
	struct iobuf b;
	int err;

	if (!r.file)
		return -EBADF;
	if (pos && (r.file->mode & FILE_STREAM))
		return -ESPIPE;
	err = user_vec_get(&v, &b, vec, nr);
	if (err)
		return err;
	if (!(r.file->mode & (write ? FILE_WRITE : FILE_READ)))
		return -EBADF;
	if (!(write ? (void *)r.file->ops->write : (void *)r.file->ops->read) &&
	    (r.file->inode->mode & S_IFMT) != S_IFDIR)
		return -EINVAL;
	if (!b.remaining)
		return 0;
	if (pos && is_past_end(*pos, b.remaining))
		return -EINVAL;
	if (unlikely(flags)) {
		err = rwf_flags(r.file, flags, &b);
		if (err)
			return err;
	}
	return write ? count_write(file_write(r.file, &b, pos)) :
		       count_read(file_read(r.file, &b, pos));
}

long sys_readv(int fd, const void __user *vec, unsigned long nr)
{
	return vector_call(fd, vec, nr, NULL, 0, false);
}

long sys_writev(int fd, const void __user *vec, unsigned long nr)
{
	return vector_call(fd, vec, nr, NULL, 0, true);
}

long sys_preadv(int fd, const void __user *vec, unsigned long nr, unsigned long pos_low,
		unsigned long pos_high)
{
	u64 pos = pos_low; /* 64-bit callers give it whole in the first word */

	return (s64)pos < 0 ? -EINVAL : vector_call(fd, vec, nr, &pos, 0, false);
}

long sys_pwritev(int fd, const void __user *vec, unsigned long nr, unsigned long pos_low,
		 unsigned long pos_high)
{
	u64 pos = pos_low;

	return (s64)pos < 0 ? -EINVAL : vector_call(fd, vec, nr, &pos, 0, true);
}

static long vector_call2(int fd, const void __user *vec, unsigned long nr, u64 pos, int flags,
			 bool write)
{
	if (pos == U64_MAX)
		return vector_call(fd, vec, nr, NULL, flags, write);
	return (s64)pos < 0 ? -EINVAL : vector_call(fd, vec, nr, &pos, flags, write);
}

long sys_preadv2(int fd, const void __user *vec, unsigned long nr, unsigned long pos_low,
		 unsigned long pos_high, int flags)
{
	return vector_call2(fd, vec, nr, pos_low, flags, false);
}

long sys_pwritev2(int fd, const void __user *vec, unsigned long nr, unsigned long pos_low,
		  unsigned long pos_high, int flags)
{
	return vector_call2(fd, vec, nr, pos_low, flags, true);
}

static __noinline long seek_any(int fd, s64 offset, unsigned int whence)
{
	scoped_fd r = fd_lookup(fd);

	if (!r.file)
		return -EBADF;
	return whence > SEEK_MAX ? -EINVAL : file_seek(r.file, offset, (int)whence);
}

__hot long sys_lseek(int fd, s64 offset, unsigned int whence)
{
	struct file *f = fd_light(fd);

	if (unlikely(!f || (f->mode & FILE_PATH) || whence > SEEK_MAX || !f->ops->seek ||
		     file_needs_position_lock(f)))
		return seek_any(fd, offset, whence);
	return f->ops->seek(f, offset, (int)whence);
}

/* ---- open and close ---- */

#define VALID_OPEN_FLAGS                                                                           \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |      \
	 O_DSYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |        \
	 O_CLOEXEC | O_PATH | __O_TMPFILE)

static long open_name(int dirfd, const char *name, u32 flags, u32 mode, u32 lookup)
{
	struct file *f;
	int fd = fd_allocate(0, flags);

	if (unlikely(fd < 0))
		return fd;
	f = file_open_at(dirfd, name, flags, mode, lookup);
	if (is_err(f)) {
		fd_cancel(fd);
		return ptr_err(f);
	}
	fd_install(fd, f);
	return fd;
}

static long open_user(int dirfd, const char __user *path, int flags, unsigned int mode)
{
	scoped_user_path p;
	int err;

	flags = (flags & VALID_OPEN_FLAGS) | O_LARGEFILE;
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	/* O_TMPFILE is the new bit with O_DIRECTORY, so that old kernels refuse it; it must write. */
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY) ||
	    ((flags & __O_TMPFILE) &&
	     ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_ACCMODE) == O_RDONLY))) {
		p.large = NULL;
		return -EINVAL;
	}
	err = user_path_get(&p, path);
	if (err)
		return err;
	return open_name(dirfd, p.text, (u32)flags, mode & 07777, 0);
}

long sys_open(const char __user *path, int flags, unsigned int mode)
{
	return open_user(AT_FDCWD, path, flags, mode);
}

long sys_openat(int dirfd, const char __user *path, int flags, unsigned int mode)
{
	return open_user(dirfd, path, flags, mode);
}

long sys_creat(const char __user *path, unsigned int mode)
{
	return open_user(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* A struct that grew over time: what we don't know must be zero (openat2(2), "Extensibility"). */
static int copy_struct(void *to, size_t known, const void __user *from, size_t given)
{
	u8 rest[64];

	if (given > PAGE_SIZE)
		return -E2BIG;
	memset(to, 0, known);
	if (copy_from_user(to, from, min(known, given)))
		return -EFAULT;
	for (size_t at = known; at < given; at += sizeof(rest)) {
		size_t n = min(given - at, sizeof(rest));

		if (copy_from_user(rest, (const u8 __user *)from + at, n))
			return -EFAULT;
		while (n--)
			if (rest[n])
				return -E2BIG;
	}
	return 0;
}

static int resolve_flags(u64 resolve, u32 *lookup)
{
	static const struct {
		u64 resolve;
		u32 lookup;
	} map[] = {
		{ RESOLVE_NO_XDEV, LOOKUP_NO_XDEV },
		{ RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGICLINKS },
		{ RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS },
		{ RESOLVE_BENEATH, LOOKUP_BENEATH },
		{ RESOLVE_IN_ROOT, LOOKUP_IN_ROOT },
		{ RESOLVE_CACHED, LOOKUP_CACHED },
	};

	*lookup = 0;
	for (size_t n = 0; n < ARRAY_SIZE(map); n++) {
		if (resolve & map[n].resolve)
			*lookup |= map[n].lookup;
		resolve &= ~map[n].resolve;
	}
	if (resolve || ((*lookup & LOOKUP_BENEATH) && (*lookup & LOOKUP_IN_ROOT)))
		return -EINVAL;
	return 0;
}

long sys_openat2(int dirfd, const char __user *path, const void __user *how_arg, size_t size)
{
	struct open_how how;
	scoped_user_path p;
	u32 lookup;
	int err;

	p.large = NULL;
	if (size < sizeof(how))
		return -EINVAL;
	err = copy_struct(&how, sizeof(how), how_arg, size);
	if (err)
		return err;
	if (how.flags & ~(u64)VALID_OPEN_FLAGS)
		return -EINVAL;
	if ((how.flags & O_PATH) &&
	    (how.flags & ~(u64)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)))
		return -EINVAL;
	if ((how.flags & (O_CREAT | __O_TMPFILE)) ? how.mode & ~07777ull : how.mode)
		return -EINVAL;
	if ((how.flags & __O_TMPFILE) &&
	    ((how.flags & O_TMPFILE) != O_TMPFILE || (how.flags & O_ACCMODE) == O_RDONLY))
		return -EINVAL;
	err = resolve_flags(how.resolve, &lookup);
	if (err)
		return err;
	if ((lookup & LOOKUP_CACHED) && (how.flags & (O_TRUNC | O_CREAT | __O_TMPFILE)))
		return -EAGAIN;
	err = user_path_get(&p, path);
	if (err)
		return err;
	return open_name(dirfd, p.text, (u32)how.flags | O_LARGEFILE, (u32)how.mode, lookup);
}

__hot long sys_close(int fd)
{
	return fd_close(fd);
}

long sys_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	if ((flags & ~(unsigned int)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
		return -EINVAL;
	if (flags & CLOSE_RANGE_UNSHARE) {
		int err = process_unshare(CLONE_FILES);

		if (err)
			return err;
	}
	return fd_close_range(first, last, flags);
}

/* ---- descriptors ---- */

__hot long sys_dup(int fd)
{
	return fd_dup(fd, 0, 0);
}

long sys_dup2(int old, int new)
{
	if (old == new) {
		scoped_fd r = fd_lookup_any(old);

		return r.file ? new : -EBADF;
	}
	return fd_dup_to(old, new, 0);
}

long sys_dup3(int old, int new, int flags)
{
	if ((flags & ~O_CLOEXEC) || old == new)
		return -EINVAL;
	return fd_dup_to(old, new, (u32)flags);
}

/* ---- space, time to disk, advice ---- */

long sys_ftruncate(int fd, s64 length)
{
	if (length < 0)
		return -EINVAL;
	scoped_fd r = fd_lookup(fd);

	return r.file ? vfs_truncate_file(r.file, (u64)length) : -EBADF;
}

long sys_fallocate(int fd, int mode, s64 offset, s64 len)
{
	scoped_fd r = fd_lookup(fd);

	return r.file ? vfs_fallocate(r.file, mode, (u64)offset, (u64)len) : -EBADF;
}

long sys_fsync(int fd)
{
	scoped_fd r = fd_lookup(fd);

	return r.file ? vfs_fsync(r.file, 0, U64_MAX, false) : -EBADF;
}

long sys_fdatasync(int fd)
{
	scoped_fd r = fd_lookup(fd);

	return r.file ? vfs_fsync(r.file, 0, U64_MAX, true) : -EBADF;
}

long sys_sync(void)
{
	vfs_sync_all(true);
	return 0;
}

long sys_syncfs(int fd)
{
	scoped_fd r = fd_lookup(fd);
	struct super_block *sb;

	if (!r.file)
		return -EBADF;
	sb = r.file->inode->sb;
	return sb->ops->sync ? sb->ops->sync(sb, true) : 0;
}

long sys_sync_file_range(int fd, s64 offset, s64 nbytes, unsigned int flags)
{
	scoped_fd r = fd_lookup(fd);
	s64 end;
	u32 type;

	if (!r.file)
		return -EBADF;
	if (offset < 0 || nbytes < 0 || __builtin_add_overflow(offset, nbytes, &end) ||
	    (flags & ~7u))
		return -EINVAL;
	type = r.file->inode->mode & S_IFMT;
	if (type != S_IFREG && type != S_IFDIR && type != S_IFBLK && type != S_IFLNK)
		return -ESPIPE;
	return page_cache_sync(&r.file->inode->cache, (u64)offset, nbytes ? (u64)end : U64_MAX);
}

/* Bytes [start, end) of a regular file are brought into the cache. */
static void will_need(struct file *f, u64 start, u64 end)
{
	u64 size = READ_ONCE(f->inode->size);

	end = min(end, size);
	if (start < end)
		page_cache_will_need(&f->inode->cache, f, start >> PAGE_SHIFT,
				     div_round_up(end, PAGE_SIZE) - (start >> PAGE_SHIFT));
}

/* Advice is about the open file, for its whole length (posix_fadvise(2), Notes). */
static void advise_pattern(struct file *f, int advice)
{
	static const u8 patterns[] = {
		[POSIX_FADV_NORMAL] = READ_NORMAL,
		[POSIX_FADV_RANDOM] = READ_RANDOM,
		[POSIX_FADV_SEQUENTIAL] = READ_SEQUENTIAL,
	};

	f->ahead = (struct read_ahead){ .advice = patterns[advice] };
}

long sys_fadvise64(int fd, s64 offset, size_t len, int advice)
{
	scoped_fd r = fd_lookup(fd);
	u64 end;

	if (!r.file)
		return -EBADF;
	if ((r.file->inode->mode & S_IFMT) == S_IFIFO)
		return -ESPIPE;
	if ((s64)len < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE)
		return -EINVAL;
	end = len ? (u64)offset + len : U64_MAX;
	if ((r.file->inode->mode & S_IFMT) != S_IFREG)
		return 0;
	switch (advice) {
	case POSIX_FADV_NORMAL:
	case POSIX_FADV_RANDOM:
	case POSIX_FADV_SEQUENTIAL:
		advise_pattern(r.file, advice);
		break;
	case POSIX_FADV_WILLNEED:
		will_need(r.file, (u64)offset, end);
		break;
	case POSIX_FADV_DONTNEED:
		(void)page_cache_sync(&r.file->inode->cache, (u64)offset, end);
		(void)page_cache_invalidate(&r.file->inode->cache, (u64)offset, end);
		break;
	}
	return 0;
}

long sys_readahead(int fd, s64 offset, size_t count)
{
	scoped_fd r = fd_lookup(fd);

	if (!r.file || !(r.file->mode & FILE_READ))
		return -EBADF;
	if ((r.file->inode->mode & S_IFMT) != S_IFREG || offset < 0)
		return -EINVAL;
	will_need(r.file, (u64)offset, (u64)offset + count);
	return 0;
}

#define MEMFD_NAME_MAX 249

long sys_memfd_create(const char __user *name, unsigned int flags)
{
	char text[6 + 1 + MEMFD_NAME_MAX + 11 + 1] = "/memfd:";
	struct file *f;
	ssize_t n;

	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x18u /* MFD_NOEXEC_SEAL, MFD_EXEC */))
		return -EINVAL;
	n = string_from_user(text + 7, name, MEMFD_NAME_MAX + 1);
	if (n < 0)
		return n;
	if (n > MEMFD_NAME_MAX)
		return -EINVAL;
	string_copy(text + 7 + n, " (deleted)", sizeof(text) - 7 - (size_t)n);
	f = shmem_file_create(text, 0, flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL, 0);
	if (is_err(f))
		return ptr_err(f);
	return fd_add(f, flags & MFD_CLOEXEC ? O_CLOEXEC : 0);
}

/* ---- ioctl ---- */

/* FIOASYNC: of what can tell its owner; others take F_SETFL's O_ASYNC, which does nothing. */
static long set_async(struct file *f, bool on)
{
	u32 type = f->inode->mode & S_IFMT;
	int err;

	if (on == ((f->flags & FASYNC) != 0))
		return 0;
	if (!f->ops->poll || (type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR))
		return -ENOTTY;
	err = file_set_async(f, on);
	if (err)
		return err;
	spin_lock(&f->lock);
	f->flags = on ? f->flags | FASYNC : f->flags & ~(u32)FASYNC;
	spin_unlock(&f->lock);
	return 0;
}

/* FIGETBSZ and FIOQSIZE: how large the pieces are, and what the file takes of them. */
static long put_sizes(struct file *f, unsigned int cmd, void __user *to)
{
	u32 type = f->inode->mode & S_IFMT;
	struct stat_info s;
	struct fs_stats fs;
	int err;

	if (cmd == FIGETBSZ) {
		err = vfs_statfs(&f->path, &fs);
		return err ? err : put_user((s32)fs.block_size, (s32 __user *)to);
	}
	if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK)
		return -ENOTTY;
	err = vfs_stat_path(&f->path, STATX_BASIC_STATS, 0, &s);
	return err ? err : put_user(s.blocks * 512, (u64 __user *)to);
}

static long ioctl_generic(struct file *f, int fd, unsigned int cmd, unsigned long arg)
{
	s32 value;

	switch (cmd) {
	case FIOCLEX:
	case FIONCLEX:
		return fd_set_cloexec(fd, cmd == FIOCLEX);
	case FIONBIO:
		if (copy_from_user(&value, (const void __user *)arg, sizeof(value)))
			return -EFAULT;
		spin_lock(&f->lock);
		f->flags = value ? f->flags | O_NONBLOCK : f->flags & ~(u32)O_NONBLOCK;
		spin_unlock(&f->lock);
		return 0;
	case FIOASYNC:
		if (copy_from_user(&value, (const void __user *)arg, sizeof(value)))
			return -EFAULT;
		return set_async(f, value != 0);
	case FIGETBSZ:
	case FIOQSIZE:
		return put_sizes(f, cmd, (void __user *)arg);
	case FIONREAD:
		if ((f->inode->mode & S_IFMT) != S_IFREG)
			return -ENOIOCTLCMD;
		value = (s32)(f->inode->size - f->position);
		return copy_to_user((void __user *)arg, &value, sizeof(value)) ? -EFAULT : 0;
	default:
		return -ENOIOCTLCMD;
	}
}

long sys_ioctl(int fd, unsigned int cmd, unsigned long arg)
{
	scoped_fd r = fd_lookup(fd);
	long err;

	if (!r.file)
		return -EBADF;
	err = ioctl_generic(r.file, fd, cmd, arg);
	if (err == -ENOIOCTLCMD && r.file->ops->ioctl)
		err = r.file->ops->ioctl(r.file, cmd, (struct user_arg){ .value = arg });
	return err == -ENOIOCTLCMD ? -ENOTTY : err;
}
