/*
 * Reading, writing and seeking: from a file to its operation in a straight
 * line.
 *
 * A position is the caller's, or the file's own.  The file's is under
 * position_lock only where two threads can meet there: when the file is shared
 * (more than one reference) and has a position that matters.
 */
#include "internal.h"

#include <linux/fs.h>
#include <linux/inotify.h>
#include <linux/signal.h>
#include <nos/aspace.h>

static inline bool lock_position(struct file *f) __no_lock_check
{
	if (!(f->mode & FILE_POSITION_LOCK) || ref_read(&f->refs) == 1)
		return false;
	mutex_lock(&f->position_lock);
	return true;
}

static inline void unlock_position(struct file *f, bool locked) __no_lock_check
{
	if (locked)
		mutex_unlock(&f->position_lock);
}

/* Apart, so that the callers need no local that is passed on. */
static __noinline ssize_t read_stream(struct file *f, struct iobuf *to)
{
	u64 none = 0;

	return f->ops->read(f, to, &none);
}

static __noinline ssize_t write_stream(struct file *f, struct iobuf *from)
{
	u64 none = 0;

	return f->ops->write(f, from, &none);
}

__hot ssize_t file_read(struct file *f, struct iobuf *to, u64 *pos)
{
	ssize_t n;

	if (unlikely(!(f->mode & FILE_READ)))
		return -EBADF;
	if (unlikely(!f->ops->read))
		return (f->inode->mode & S_IFMT) == S_IFDIR ? -EISDIR : -EINVAL;
	if (pos) {
		n = f->ops->read(f, to, pos);
	} else if (f->mode & FILE_STREAM) {
		n = read_stream(f, to);
	} else {
		bool locked = lock_position(f);

		n = f->ops->read(f, to, &f->position);
		unlock_position(f, locked);
	}
	if (unlikely(notify_active) && n > 0)
		notify_file(f, IN_ACCESS);
	return n;
}

__hot ssize_t file_write(struct file *f, struct iobuf *from, u64 *pos)
{
	ssize_t n;

	if (unlikely(!(f->mode & FILE_WRITE)))
		return -EBADF;
	if (unlikely(!f->ops->write))
		return -EINVAL;
	if (pos) {
		n = f->ops->write(f, from, pos);
	} else if (f->mode & FILE_STREAM) {
		n = write_stream(f, from);
	} else {
		bool locked = lock_position(f);

		n = f->ops->write(f, from, &f->position);
		unlock_position(f, locked);
	}
	if (unlikely(notify_active) && n > 0)
		notify_file(f, IN_MODIFY);
	return n;
}

/* ---- files in the page cache ---- */

static __noinline ssize_t settle_and_read(struct file *f, struct iobuf *to, u64 *pos, u64 now_ns)
{
	inode_settle_atime(f, now_ns);
	return page_cache_read(&f->inode->cache, f, to, pos, &f->last_folio);
}

__hot ssize_t file_read_generic(struct file *f, struct iobuf *to, u64 *pos)
{
	u64 now_ns = clock_coarse_realtime_ns();

	if (unlikely(inode_atime_is_due(f->inode, now_ns)))
		return settle_and_read(f, to, pos, now_ns);
	return page_cache_read(&f->inode->cache, f, to, pos, &f->last_folio);
}

/* Cuts the write at the limits (write(2), EFBIG). */
static __noinline int cut_write(struct inode *i, struct iobuf *from, u64 pos)
{
	u64 limit = process_fsize_limit();

	if (pos >= limit) {
		process_signal_self(SIGXFSZ);
		return -EFBIG;
	}
	if (pos >= i->sb->max_bytes)
		return -EFBIG;
	limit = min(limit, i->sb->max_bytes);
	if (from->remaining > limit - pos)
		iobuf_truncate(from, limit - pos);
	return 0;
}

static inline int limit_write(struct inode *i, struct iobuf *from, u64 pos)
{
	u64 limit = min(process_fsize_limit(), i->sb->max_bytes);

	if (likely(pos < limit && from->remaining <= limit - pos))
		return 0;
	return cut_write(i, from, pos);
}

/* After a write of n bytes that end at `end`. */
static __noinline ssize_t sync_written(struct file *f, u64 end, ssize_t n)
{
	int err = vfs_fsync(f, end - (u64)n, end, !(f->flags & O_SYNC & ~O_DSYNC));

	return err && err != -EINVAL ? err : n;
}

__hot ssize_t file_write_generic(struct file *f, struct iobuf *from, u64 *pos)
{
	struct inode *i = f->inode;
	u64 was = *pos;
	ssize_t n;

	if (!from->remaining)
		return 0;
	rwlock_write(&i->lock);
	if (unlikely((f->flags & O_APPEND) || (from->flags & IOBUF_APPEND)))
		*pos = i->size;
	n = limit_write(i, from, *pos);
	if (!n)
		n = inode_remove_suid_locked(i);
	if (!n)
		n = page_cache_write(&i->cache, f, from, pos, &f->last_folio);
	if (likely(n > 0))
		inode_mark_times(i, ATTR_MTIME | ATTR_CTIME);
	else
		*pos = was;
	rwlock_write_unlock(&i->lock);
	if (unlikely(((f->flags & O_DSYNC) || (from->flags & IOBUF_DSYNC)) && n > 0))
		return sync_written(f, *pos, n);
	return n;
}

/* ---- seeking ---- */

s64 file_seek_nowhere(struct file *f, s64 offset, int whence)
{
	(void)f;
	(void)offset;
	(void)whence;
	return 0;
}

/* SEEK_DATA and SEEK_HOLE. */
static __noinline s64 seek_in_data(struct inode *i, s64 offset, int whence)
{
	u64 size = READ_ONCE(i->size);
	u64 to;

	if (offset < 0 || (u64)offset >= size)
		return -ENXIO;
	if (i->cache.ops && i->cache.ops->read_folio) /* all data, one hole at the end */
		return whence == SEEK_DATA ? offset : (s64)size;
	if (whence == SEEK_HOLE)
		return (s64)min(page_cache_next_hole(&i->cache, (u64)offset), size);
	to = page_cache_next_data(&i->cache, (u64)offset);
	return to >= size ? -ENXIO : (s64)to;
}

__hot s64 file_seek_generic(struct file *f, s64 offset, int whence)
{
	struct inode *i = f->inode;
	s64 to;

	switch (whence) {
	case SEEK_SET:
		to = offset;
		break;
	case SEEK_CUR:
		if (!offset)
			return (s64)f->position;
		to = (s64)(f->position + (u64)offset);
		break;
	case SEEK_END:
		to = (s64)(READ_ONCE(i->size) + (u64)offset);
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		to = seek_in_data(i, offset, whence);
		if (to < 0)
			return to;
		break;
	default:
		return -EINVAL;
	}
	if (to < 0 || (u64)to > i->sb->max_bytes)
		return -EINVAL;
	f->position = (u64)to;
	return to;
}

__hot s64 file_seek(struct file *f, s64 offset, int whence)
{
	bool locked;
	s64 at;

	if (unlikely(!f->ops->seek))
		return -ESPIPE;
	locked = lock_position(f);
	at = f->ops->seek(f, offset, whence);
	unlock_position(f, locked);
	return at;
}

/* ---- the kernel's own, and the rest ---- */

ssize_t file_read_kernel(struct file *f, void *to, size_t len, u64 pos)
{
	struct iobuf b;
	size_t done = 0;

	if (!(f->mode & FILE_READ))
		return -EBADF;
	if (!f->ops->read)
		return -EINVAL;
	iobuf_init_kernel(&b, to, len);
	while (done < len) {
		ssize_t n = f->ops->read(f, &b, &pos);

		if (n < 0)
			return done ? (ssize_t)done : n;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t file_write_kernel(struct file *f, const void *from, size_t len, u64 *pos)
{
	struct iobuf b;
	size_t done = 0;

	iobuf_init_kernel(&b, (void *)(uintptr_t)from, len);
	while (done < len) {
		ssize_t n = file_write(f, &b, pos);

		if (n < 0)
			return done ? (ssize_t)done : n;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

u32 file_poll(struct file *f, struct poll_table *t)
{
	if (!f->ops->poll)
		return 0x145; /* EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM: always ready */
	return f->ops->poll(f, t);
}

int vfs_fsync(struct file *f, u64 start, u64 end, bool data_only)
{
	if (!f->ops->sync)
		return -EINVAL;
	return f->ops->sync(f, start, end, data_only);
}
