/*
 * Transfers between files: sendfile, copy_file_range.
 *
 * Where the source is in the page cache its folios are handed to the
 * destination's write as they are; otherwise the bytes pass through a buffer.
 * The source's position moves by what the destination took.
 */
#include "internal.h"

#include <linux/fs.h>
#include <linux/signal.h>
#include <nos/page.h>

#define BATCH 16 /* pages handed over in one write */
#define BUFFER_BYTES 65536

static bool is_cached(const struct file *f)
{
	const struct inode *i = f->inode;

	return (i->mode & S_IFMT) == S_IFREG && f->ops->map && i->cache.ops;
}

/* Up to BATCH folios from pos on, as segments; how many bytes, 0 at the end, or −errno. */
static ssize_t gather(struct file *in, u64 pos, size_t len, struct folio *folios[BATCH],
		      struct iobuf_segment segments[BATCH], u32 *nr)
{
	u64 size = READ_ONCE(in->inode->size);
	size_t total = 0;

	*nr = 0;
	if (pos >= size)
		return 0;
	len = min(len, size - pos);
	while (len && *nr < BATCH) {
		struct folio *f = page_cache_get(&in->inode->cache, pos >> PAGE_SHIFT, in);
		u64 offset;
		size_t n;

		if (is_err(f))
			return total ? (ssize_t)total : ptr_err(f);
		offset = pos - (f->index << PAGE_SHIFT);
		n = min(len, folio_size(f) - offset);
		folios[*nr] = f;
		segments[(*nr)++] =
			(struct iobuf_segment){ (u64)(uintptr_t)folio_address(f) + offset, n };
		pos += n;
		len -= n;
		total += n;
	}
	return (ssize_t)total;
}

static ssize_t write_cached(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos,
			    size_t len)
{
	struct folio *folios[BATCH];
	struct iobuf_segment segments[BATCH];
	struct iobuf b;
	u32 nr;
	ssize_t n = gather(in, *in_pos, len, folios, segments, &nr);

	if (n > 0) {
		iobuf_init_segments(&b, IOBUF_KERNEL, segments, nr);
		b.flags = IOBUF_FOLIOS;
		n = file_write(out, &b, out_pos);
		if (n > 0)
			*in_pos += (u64)n;
	}
	while (nr)
		folio_put(folios[--nr]);
	return n;
}

static ssize_t write_buffered(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos,
			      size_t len, void *buffer)
{
	struct iobuf b;
	u64 at = *in_pos;
	ssize_t n, written;

	iobuf_init_kernel(&b, buffer, min(len, (size_t)BUFFER_BYTES));
	n = file_read(in, &b, &at);
	if (n <= 0)
		return n;
	iobuf_init_kernel(&b, buffer, (u64)n);
	written = file_write(out, &b, out_pos);
	if (written > 0)
		*in_pos += (u64)written;
	return written;
}

/* Both positions are the caller's, or NULL for the files' own. */
static ssize_t transfer(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos, size_t len)
{
	void *buffer = is_cached(in) ? NULL : kmalloc(BUFFER_BYTES, 0);
	u64 own = in->position, *at = in_pos ? in_pos : &own;
	size_t done = 0;
	ssize_t n = 0;

	if (!is_cached(in) && !buffer)
		return -ENOMEM;
	while (done < len) {
		n = buffer ? write_buffered(in, at, out, out_pos, len - done, buffer) :
			     write_cached(in, at, out, out_pos, len - done);
		if (n <= 0)
			break;
		done += (size_t)n;
		if (signal_is_pending())
			break;
	}
	kfree(buffer);
	if (!in_pos)
		in->position = own;
	if (done)
		inode_accessed(in);
	return done ? (ssize_t)done : n;
}

ssize_t vfs_sendfile(struct file *out, struct file *in, u64 *in_pos, size_t len)
{
	if (!(in->mode & FILE_READ) || !(out->mode & FILE_WRITE))
		return -EBADF;
	if (in->mode & FILE_STREAM)
		return in_pos ? -ESPIPE : -EINVAL;
	if ((in->inode->mode & S_IFMT) == S_IFDIR || !in->ops->read || (out->flags & O_APPEND))
		return -EINVAL;
	/* As Linux, which has no way into files without a type: eventfd, timerfd and such. */
	if (unlikely(!(out->inode->mode & S_IFMT)))
		return len && (in_pos ? *in_pos : in->position) < in->inode->size ? -EINVAL : 0;
	return transfer(in, in_pos, out, NULL, len);
}

ssize_t vfs_copy_file_range(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos,
			    size_t len, u32 flags)
{
	u64 from = in_pos ? *in_pos : in->position, to = out_pos ? *out_pos : out->position;
	u64 size = READ_ONCE(in->inode->size);

	if (flags)
		return -EINVAL;
	if ((in->inode->mode & S_IFMT) == S_IFDIR || (out->inode->mode & S_IFMT) == S_IFDIR)
		return -EISDIR;
	if ((in->inode->mode & S_IFMT) != S_IFREG || (out->inode->mode & S_IFMT) != S_IFREG)
		return -EINVAL;
	if (!(in->mode & FILE_READ) || !(out->mode & FILE_WRITE) || (out->flags & O_APPEND))
		return -EBADF;
	if (in->path.dentry->sb != out->path.dentry->sb)
		return -EXDEV;
	if (from + len < from || to + len < to)
		return -EOVERFLOW;
	/* What overlaps counts only as far as there is something to copy. */
	len = (s64)from < (s64)size ? min(len, size - from) : 0;
	if (in->inode == out->inode && from < to + len && to < from + len)
		return -EINVAL;
	if ((s64)from < 0 || (s64)to < 0 || (s64)(from + len) < 0 || (s64)(to + len) < 0)
		return -EINVAL;
	return len ? transfer(in, in_pos, out, out_pos, len) : 0;
}
