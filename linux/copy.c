/* sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2). */
#include <nos/aspace.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/page.h>
#include <nos/vfs.h>
#include "user_path.h"

#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#define SPLICE_F_MOVE 1
#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_MORE 4
#define SPLICE_F_GIFT 8
#define SPLICE_F_ALL 15

long sys_copy_file_range(int in_fd, void __user *in_arg, int out_fd, void __user *out_arg,
			 size_t len, unsigned int flags)
{
	scoped_fd in = fd_lookup(in_fd);
	scoped_fd out = fd_lookup(out_fd);
	u64 in_pos = 0, out_pos = 0;
	long n = 0;

	if (!in.file || !out.file)
		return -EBADF;
	/* Negative ones are for the range check there: EOVERFLOW. */
	if ((in_arg && copy_from_user(&in_pos, in_arg, sizeof(in_pos))) ||
	    (out_arg && copy_from_user(&out_pos, out_arg, sizeof(out_pos))))
		return -EFAULT;
	n = vfs_copy_file_range(in.file, in_arg ? &in_pos : NULL, out.file,
				out_arg ? &out_pos : NULL, min(len, MAX_RW_BYTES), flags);
	if (n > 0 && ((in_arg && copy_to_user(in_arg, &in_pos, sizeof(in_pos))) ||
		      (out_arg && copy_to_user(out_arg, &out_pos, sizeof(out_pos)))))
		return -EFAULT;
	return n;
}

/* ---- splice ---- */

/* One piece of the page cache into the pipe, by reference; bytes, 0 = end of file. */
static ssize_t push_cached(struct file *in, u64 *pos, struct pipe *to, size_t len, bool nonblocking)
{
	u64 size = READ_ONCE(in->inode->size), offset;
	struct pipe_extent e;
	struct folio *f;
	int err;

	if (*pos >= size)
		return 0;
	f = page_cache_get(&in->inode->cache, *pos >> PAGE_SHIFT, in);
	if (is_err(f))
		return ptr_err(f);
	offset = *pos - (f->index << PAGE_SHIFT);
	e = (struct pipe_extent){ f, (u32)offset,
				  (u32)min(min(len, size - *pos), folio_size(f) - offset) };
	err = pipe_push_extent(to, &e, nonblocking);
	if (err) {
		folio_put(f);
		return err;
	}
	*pos += e.len;
	return e.len;
}

/* A page of anything that can be read, copied once. */
static ssize_t push_copied(struct file *in, u64 *pos, struct pipe *to, size_t len, bool nonblocking)
{
	struct pipe_extent e = { .folio = folio_alloc(0, FOLIO_PIPE, 0) };
	struct iobuf b;
	ssize_t n;
	int err;

	if (!e.folio)
		return -ENOMEM;
	iobuf_init_kernel(&b, folio_address(e.folio), min(len, PAGE_SIZE));
	b.flags = nonblocking ? IOBUF_NOWAIT : 0;
	n = file_read(in, &b, pos);
	if (n > 0) {
		e.len = (u32)n;
		err = pipe_push_extent(to, &e, nonblocking);
		if (!err)
			return n;
		n = err;
	}
	folio_put(e.folio);
	return n;
}

/* What is not a pipe: no directory, and nothing without a type (eventfd, timerfd and such). */
static bool can_splice(const struct file *f)
{
	u32 type = f->inode->mode & S_IFMT;

	return type && type != S_IFDIR;
}

static long splice_to_pipe(struct file *in, u64 *pos, struct pipe *to, size_t len, u32 flags)
{
	bool cached = (in->inode->mode & S_IFMT) == S_IFREG && in->ops->map && in->inode->cache.ops;
	u64 own = in->position, *at = pos ? pos : in->mode & FILE_STREAM ? NULL : &own;
	bool nonblocking = flags & SPLICE_F_NONBLOCK;
	size_t done = 0;
	ssize_t n = 0;

	ASSERT(!cached || at);
	if (in->ops->splice_read)
		return in->ops->splice_read(in, at ? at : &own, to, len, flags);
	if (!cached && !can_splice(in))
		return -EINVAL;
	while (done < len) {
		/* What is there is enough: only the first piece is waited for. */
		n = cached ? push_cached(in, at, to, len - done, nonblocking || done) :
			     push_copied(in, at, to, len - done, nonblocking || done);
		if (n <= 0)
			break;
		done += (size_t)n;
		if (!cached && (size_t)n < PAGE_SIZE)
			break;
	}
	if (!pos && at)
		in->position = own;
	return done ? (long)done : n;
}

static long splice_from_pipe(struct pipe *from, struct file *out, u64 *pos, size_t len, u32 flags)
{
	size_t done = 0;
	ssize_t n = 0;

	if (out->ops->splice_write)
		return out->ops->splice_write(from, out, pos ? pos : &out->position, len, flags);
	if (!can_splice(out))
		return -EINVAL;
	while (done < len) {
		struct pipe_extent e;
		struct iobuf b;

		n = pipe_pull_extent(from, &e, len - done, (flags & SPLICE_F_NONBLOCK) || done);
		if (n <= 0)
			break;
		iobuf_init_kernel(&b, (u8 *)folio_address(e.folio) + e.offset, e.len);
		b.flags = IOBUF_FOLIOS;
		n = file_write(out, &b, pos);
		if (n < (ssize_t)e.len) {
			u32 taken = n > 0 ? (u32)n : 0;

			e.offset += taken;
			e.len -= taken;
			done += taken;
			pipe_return_extent(from, &e);
			break;
		}
		folio_put(e.folio);
		done += (size_t)n;
	}
	return done ? (long)done : n;
}

static long splice_files(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos, size_t len,
			 u32 flags)
{
	struct pipe *from = pipe_of_file(in), *to = pipe_of_file(out);

	if (!(in->mode & FILE_READ) || !(out->mode & FILE_WRITE))
		return -EBADF;
	if ((!from && !to) || from == to)
		return -EINVAL;
	if ((in_pos && ((in->mode & FILE_STREAM) || (s64)*in_pos < 0)) ||
	    (out_pos && ((out->mode & FILE_STREAM) || (s64)*out_pos < 0)))
		return -EINVAL;
	if (!to && (out->flags & O_APPEND))
		return -EINVAL;
	if (from && (in->flags & O_NONBLOCK))
		flags |= SPLICE_F_NONBLOCK;
	if (to && (out->flags & O_NONBLOCK))
		flags |= SPLICE_F_NONBLOCK;
	if (to)
		return splice_to_pipe(in, in_pos, to, len, flags);
	return splice_from_pipe(from, out, out_pos, len, flags);
}

long sys_sendfile(int out_fd, int in_fd, void __user *offset, size_t count)
{
	scoped_fd out = fd_lookup(out_fd);
	scoped_fd in = fd_lookup(in_fd);
	u64 pos = 0;
	long n;

	if (offset && copy_from_user(&pos, offset, sizeof(pos)))
		return -EFAULT;
	if (!in.file || !(in.file->mode & FILE_READ))
		return -EBADF;
	if (offset && (in.file->mode & FILE_STREAM))
		return -ESPIPE;
	if ((s64)pos < 0 || (s64)count < 0 || (s64)(pos + count) < 0)
		return -EINVAL;
	if (!out.file)
		return -EBADF;
	n = vfs_sendfile(out.file, in.file, offset ? &pos : NULL, min(count, MAX_RW_BYTES));
	/*
	 * What has no place to go back to must be taken whole: only a pipe holds what comes.  It is as if splice
	 * was called: it looks at both descriptors itself.
	 */
	if (unlikely(n == -EINVAL) && (in.file->mode & FILE_STREAM) && !pipe_of_file(in.file) &&
	    pipe_of_file(out.file))
		return sys_splice(in_fd, NULL, out_fd, NULL, count, 0);
	if (n > 0 && offset && copy_to_user(offset, &pos, sizeof(pos)))
		return -EFAULT;
	return n;
}

long sys_splice(int in_fd, void __user *in_arg, int out_fd, void __user *out_arg, size_t len,
		unsigned int flags)
{
	scoped_fd in = fd_lookup(in_fd);
	scoped_fd out = fd_lookup(out_fd);
	u64 in_pos = 0, out_pos = 0;
	long n;

	if (!len)
		return 0;
	if (flags & ~SPLICE_F_ALL)
		return -EINVAL;
	if (!in.file || !out.file)
		return -EBADF;
	if ((in_arg && pipe_of_file(in.file)) || (out_arg && pipe_of_file(out.file)))
		return -ESPIPE;
	if ((in_arg && copy_from_user(&in_pos, in_arg, sizeof(in_pos))) ||
	    (out_arg && copy_from_user(&out_pos, out_arg, sizeof(out_pos))))
		return -EFAULT;
	n = splice_files(in.file, in_arg ? &in_pos : NULL, out.file, out_arg ? &out_pos : NULL,
			 min(len, MAX_RW_BYTES), flags);
	if (n > 0 && ((in_arg && copy_to_user(in_arg, &in_pos, sizeof(in_pos))) ||
		      (out_arg && copy_to_user(out_arg, &out_pos, sizeof(out_pos)))))
		return -EFAULT;
	return n;
}

long sys_tee(int in_fd, int out_fd, size_t len, unsigned int flags)
{
	scoped_fd in = fd_lookup(in_fd);
	scoped_fd out = fd_lookup(out_fd);
	struct pipe *from, *to;

	if (flags & ~SPLICE_F_ALL)
		return -EINVAL;
	if (!len)
		return 0;
	if (!in.file || !out.file)
		return -EBADF;
	if (!(in.file->mode & FILE_READ) || !(out.file->mode & FILE_WRITE))
		return -EBADF;
	from = pipe_of_file(in.file);
	to = pipe_of_file(out.file);
	if (!from || !to || from == to)
		return -EINVAL;
	if ((in.file->flags | out.file->flags) & O_NONBLOCK)
		flags |= SPLICE_F_NONBLOCK;
	return pipe_tee(from, to, min(len, MAX_RW_BYTES), flags);
}

/* ---- vmsplice: the user's pages into the pipe; out of it, plain reading ---- */

static long vmsplice_push(struct pipe *to, struct iobuf *from, bool nonblocking)
{
	size_t done = 0;
	int err = 0;

	while (from->remaining && !err) {
		const struct iobuf_segment *s = from->segment;
		u64 address = s->base + from->segment_offset;
		u64 left = s->len - from->segment_offset;
		struct pipe_extent e;
		size_t offset;

		if (!left) { /* an empty piece of the vector */
			from->segment++;
			from->nr_segments--;
			from->segment_offset = 0;
			continue;
		}
		e.folio = aspace_pin(current_thread->aspace, address, false, &offset);
		if (is_err(e.folio)) {
			err = (int)ptr_err(e.folio);
			break;
		}
		e.offset = (u32)offset;
		e.len = (u32)min(min(left, from->remaining),
				 PAGE_SIZE - (address & (PAGE_SIZE - 1)));
		err = pipe_push_extent(to, &e, nonblocking || done);
		if (err) {
			folio_put(e.folio);
			break;
		}
		iobuf_advance(from, e.len);
		done += e.len;
	}
	return done ? (long)done : err;
}

long sys_vmsplice(int fd, const void __user *vec, unsigned long nr, unsigned int flags)
{
	scoped_fd r = fd_lookup(fd);
	scoped_user_vec v = { 0 };
	struct pipe *pipe;
	struct iobuf b;
	int err;

	if (flags & ~SPLICE_F_ALL)
		return -EINVAL;
	if (!r.file)
		return -EBADF;
	if (!(r.file->mode & (FILE_READ | FILE_WRITE)))
		return -EBADF;
	err = user_vec_get(&v, &b, vec, nr);
	if (err || !b.remaining)
		return err;
	pipe = pipe_of_file(r.file);
	if (!pipe)
		return -EBADF;
	if (r.file->mode & FILE_WRITE)
		return vmsplice_push(pipe, &b,
				     (flags & SPLICE_F_NONBLOCK) || (r.file->flags & O_NONBLOCK));
	b.flags = flags & SPLICE_F_NONBLOCK ? IOBUF_NOWAIT : 0;
	return file_read(r.file, &b, NULL);
}
