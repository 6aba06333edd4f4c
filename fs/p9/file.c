/* 9P regular files and symlinks: data between the host and the page cache, without a copy. */
#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <asm/fcntl.h>
#include <linux/stat.h>

#include "p9.h"

#define WRITE_ORDER 4 /* write-through in pieces of 64 KiB */
#define WRITE_BYTES (PAGE_SIZE << WRITE_ORDER)

int p9_inode_open_fid(struct inode *i, bool for_write, u32 *fid)
{
	struct p9_inode *p = p9_inode(i);
	struct p9_client *c = p9_client_of(i);
	u32 *slot = for_write ? &p->write_fid : &p->read_fid;

	*fid = READ_ONCE(*slot);
	if (*fid != P9_NO_FID)
		return 0;

	scoped_mutex(&p->fid_lock);
	*fid = *slot;
	if (*fid != P9_NO_FID)
		return 0;

	u32 new = p9_fid_allocate(c);
	struct p9_qid qid;
	int err = p9_walk(c, p->fid, new, NULL, 0, &qid);

	if (err)
		return err;
	err = p9_lopen(c, new, (for_write ? O_WRONLY : O_RDONLY) | O_LARGEFILE);
	if (err) {
		p9_clunk(c, new);
		return err;
	}
	atomic_store(slot, new);
	*fid = new;
	return 0;
}

/* ---- page cache ---- */

/* Reads len bytes at offset, in as many requests as the message size asks for. */
static ssize_t read_physical(struct inode *i, u64 offset, phys_t to, u32 len)
{
	struct p9_client *c = p9_client_of(i);
	u32 piece = min(len, c->msize - P9_READ_HEADER);
	u32 done = 0;
	u32 fid;
	int err = p9_inode_open_fid(i, false, &fid);

	if (err)
		return err;
	while (done < len) {
		struct channel_segment s = { to + done, min(piece, len - done) };
		ssize_t n = p9_read(c, fid, offset + done, &s, 1, s.len);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (u32)n;
	}
	return done;
}

static int read_folio(struct page_cache *cache, struct folio *f, struct file *file)
{
	struct inode *i = cache->owner;
	u32 size = (u32)folio_size(f);
	ssize_t n = read_physical(i, f->index << PAGE_SHIFT, folio_to_phys(f), size);

	if (n < 0)
		return (int)n;
	if ((u32)n < size)
		memset((u8 *)folio_address(f) + n, 0, size - (u32)n);
	folio_set_flag(f, FOLIO_UPTODATE);
	return 0;
}

/* A short reply counts at the end of the file only; otherwise whoever needs the folio reads it. */
static void folio_arrived(void *data, ssize_t n)
{
	struct folio *f = data;
	struct inode *i = f->cache->owner;
	u64 size = folio_size(f);

	if (n >= 0 && (u64)n < size) {
		if ((f->index << PAGE_SHIFT) + (u64)n < READ_ONCE(i->size))
			n = -EIO;
		else
			memset((u8 *)folio_address(f) + n, 0, size - (u64)n);
	}
	page_cache_read_done(f, n < 0 ? (int)n : 0);
}

static int start_read(struct page_cache *cache, struct folio *f, struct file *file)
{
	struct inode *i = cache->owner;
	u32 fid;
	int err = p9_inode_open_fid(i, false, &fid);

	if (err)
		return err;
	return p9_read_start(p9_client_of(i), fid, f->index << PAGE_SHIFT,
			     (struct channel_segment){ folio_to_phys(f), (u32)folio_size(f) },
			     folio_arrived, f);
}

static int write_folio(struct page_cache *cache, struct folio *f)
{
	struct inode *i = cache->owner;
	u64 offset = f->index << PAGE_SHIFT;
	u64 end = min(offset + folio_size(f), i->size);
	u32 fid;
	int err = p9_inode_open_fid(i, true, &fid);

	while (!err && offset < end) {
		u64 done = offset - (f->index << PAGE_SHIFT);
		struct channel_segment s = { folio_to_phys(f) + done,
					     (u32)min(end - offset, (u64)WRITE_BYTES) };
		ssize_t n = p9_write(p9_client_of(i), fid, offset, &s, 1, s.len);

		if (n <= 0)
			err = n < 0 ? (int)n : -EIO;
		else
			offset += (u64)n;
	}
	return err;
}

/* One request a folio: as large as the file has use for, up to 64 KiB. */
static const struct page_cache_ops cache_ops[] = {
	{ .read_folio = read_folio, .write_folio = write_folio, .folio_order = 0 },
	{ .read_folio = read_folio, .write_folio = write_folio, .folio_order = 2 },
	{ .read_folio = read_folio,
	  .start_read = start_read,
	  .write_folio = write_folio,
	  .folio_order = 4 },
};

const struct page_cache_ops *p9_page_cache_ops(u64 size)
{
	return &cache_ops[size <= PAGE_SIZE ? 0 : size <= 4 * PAGE_SIZE ? 1 : 2];
}

/* ---- files ---- */

static int file_open(struct inode *i, struct file *f)
{
	return p9_mount(i->sb)->loose ? 0 : p9_inode_refresh(i);
}

static ssize_t file_read_cached(struct file *f, struct iobuf *to, u64 *pos)
{
	return page_cache_read(&f->inode->cache, f, to, pos, &f->last_folio);
}

/* One piece: to the host first, then into the pages that are cached. */
static ssize_t write_piece(struct inode *i, u32 fid, u8 *bounce, size_t len, u64 pos)
{
	struct channel_segment s = { virt_to_phys(bounce), (u32)len };
	ssize_t n = p9_write(p9_client_of(i), fid, pos, &s, 1, (u32)len);

	if (n <= 0)
		return n < 0 ? n : -EIO;
	if (pos + (u64)n > i->size)
		i->size = pos + (u64)n;
	if (i->cache.nr_pages) {
		struct folio *none = NULL;
		struct iobuf from;
		u64 at = pos;

		iobuf_init_kernel(&from, bounce, (u64)n);
		return page_cache_write(&i->cache, NULL, &from, &at, &none);
	}
	return n;
}

static ssize_t file_write_through(struct file *f, struct iobuf *from, u64 *pos)
{
	struct inode *i = f->inode;
	u32 fid;

	rwlock_write(&i->lock);
	int err = p9_inode_open_fid(i, true, &fid);
	u8 *bounce = err ? NULL : page_alloc(WRITE_ORDER, 0);
	ssize_t done = 0;

	if (!err && !bounce)
		err = -ENOMEM;
	if (!err && (f->flags & O_APPEND)) {
		err = p9_inode_refresh(i);
		*pos = i->size;
	}
	while (!err && from->remaining) {
		size_t want = (size_t)min(from->remaining, (u64)WRITE_BYTES);
		size_t got = iobuf_get(from, bounce, want);

		if (got == 0) {
			err = -EFAULT;
			break;
		}

		ssize_t n = write_piece(i, fid, bounce, got, *pos);

		if (n < 0) {
			err = (int)n;
			break;
		}
		*pos += (u64)n;
		done += n;
		if ((size_t)n < got)
			break;
	}
	if (bounce)
		page_free(bounce, WRITE_ORDER);
	if (done)
		inode_mark_times(i, ATTR_MTIME | ATTR_CTIME);
	rwlock_write_unlock(&i->lock);
	return done ? done : err;
}

/* Pages that a shared mapping made dirty reach the host when a descriptor is closed. */
static int file_flush(struct file *f)
{
	if (!(f->mode & FILE_WRITE) || !f->inode->cache.nr_pages)
		return 0;
	return page_cache_sync(&f->inode->cache, 0, U64_MAX);
}

static int file_sync(struct file *f, u64 start, u64 end, bool data_only)
{
	struct inode *i = f->inode;
	int err = page_cache_sync(&i->cache, start, end);
	u32 fid = P9_NO_FID;

	if (!err && (f->mode & FILE_WRITE))
		err = p9_inode_open_fid(i, true, &fid);
	if (!err && fid != P9_NO_FID)
		err = p9_fsync(p9_client_of(i), fid, data_only);
	return err;
}

const struct file_ops p9_file_ops = {
	.open = file_open,
	.read = file_read_cached,
	.write = file_write_through,
	.seek = file_seek_generic,
	.flush = file_flush,
	.map = file_map_generic,
	.sync = file_sync,
};

#define FILE_OPS                                                                                   \
	.set_attributes = p9_set_attributes, .get_xattr = p9_get_xattr, .set_xattr = p9_set_xattr, \
	.list_xattr = p9_list_xattr

const struct inode_ops p9_file_loose_ops = { FILE_OPS };
const struct inode_ops p9_file_inode_ops = {
	FILE_OPS,
	.get_attributes = p9_inode_attributes,
};

/* ---- symlinks ---- */

static const char *get_link(struct inode *i, char **to_free)
{
	/* A walk that may not sleep asks for what is at hand: nothing. */
	if (!to_free)
		return NULL;
	char *target = kmalloc(PAGE_SIZE, 0);

	if (!target)
		return err_ptr(-ENOMEM);

	ssize_t n = p9_readlink(p9_client_of(i), p9_inode(i)->fid, target, PAGE_SIZE - 1);

	if (n <= 0 || memchr(target, 0, (size_t)n)) {
		kfree(target);
		return err_ptr(n < 0 ? n : -EIO);
	}
	target[n] = 0;
	*to_free = target;
	return target;
}

const struct inode_ops p9_symlink_loose_ops = { FILE_OPS, .get_link = get_link };
const struct inode_ops p9_symlink_inode_ops = {
	FILE_OPS,
	.get_link = get_link,
	.get_attributes = p9_inode_attributes,
};
