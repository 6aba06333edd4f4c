/* tmpfs files: the page cache is the file; limits, seals, holes. */
#include "tmpfs.h"

#include <nos/aspace.h>

#include <linux/mman.h>

/* Counts the pages that the file has, and `more`, which it is about to have. */
static void settle(struct inode *i, u64 more)
{
	struct tmpfs_inode *t = tmpfs_inode(i);
	s64 delta;

	spin_lock(&i->spin);
	delta = (s64)(READ_ONCE(i->cache.nr_pages) + more - t->accounted);
	t->accounted = (u64)((s64)t->accounted + delta);
	i->blocks = t->accounted * (PAGE_SIZE / 512);
	spin_unlock(&i->spin);
	if (delta)
		atomic_add(&tmpfs_super(i->sb)->used_pages, delta);
}

void tmpfs_settle(struct inode *i)
{
	settle(i, 0);
}

static u64 pages_left(struct super_block *sb)
{
	struct tmpfs_super *s = tmpfs_super(sb);
	s64 used = READ_ONCE(s->used_pages);

	if (!s->max_pages)
		return U64_MAX >> PAGE_SHIFT;
	return used < (s64)s->max_pages ? s->max_pages - (u64)used : 0;
}

static bool is_overdrawn(struct super_block *sb)
{
	struct tmpfs_super *s = tmpfs_super(sb);

	return s->max_pages && READ_ONCE(s->used_pages) > (s64)s->max_pages;
}

/* Whether every page of [start, end) bytes is there already. */
static bool is_present(struct inode *i, u64 start, u64 end)
{
	return page_cache_next_hole(&i->cache, start) >= end;
}

/* Cuts the write to the pages that are left, unless it only rewrites what is there. */
static __noinline int limit_to_space(struct inode *i, struct iobuf *from, u64 at)
{
	u64 left = pages_left(i->sb), room;

	if (is_present(i, at & PAGE_MASK, at + from->remaining))
		return 0;
	room = page_cache_next_hole(&i->cache, at & PAGE_MASK) + (left << PAGE_SHIFT);
	if (room <= at)
		return -ENOSPC;
	if (room - at < from->remaining)
		iobuf_truncate(from, room - at);
	return 0;
}

static ssize_t tmpfs_write(struct file *f, struct iobuf *from, u64 *pos)
{
	struct inode *i = f->inode;
	ssize_t n;

	if (unlikely(pages_left(i->sb) < from->remaining / PAGE_SIZE + 2)) {
		bool append = (f->flags & O_APPEND) || (from->flags & IOBUF_APPEND);
		int err = limit_to_space(i, from, append ? READ_ONCE(i->size) : *pos);

		if (err)
			return err;
	}
	n = file_write_generic(f, from, pos);
	if (READ_ONCE(i->cache.nr_pages) != tmpfs_inode(i)->accounted)
		tmpfs_settle(i);
	return n;
}

/* Seals are checked where the inode's lock is held. */
static int write_begin(struct page_cache *c, u64 offset, u64 len)
{
	struct inode *i = c->owner;
	u32 seals = tmpfs_inode(i)->seals;

	if (likely(!(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW))))
		return 0;
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	return offset + len > i->size ? -EPERM : 0;
}

/* What is not added after all is found by the next look. */
static int grow(struct page_cache *c, u64 nr, u64 more)
{
	struct inode *i = c->owner;

	if (pages_left(i->sb) < nr + more)
		tmpfs_settle(i);
	if (pages_left(i->sb) < nr + more && nr)
		return -ENOSPC;
	settle(i, nr);
	if (nr > 1 && is_overdrawn(i->sb)) { /* several saw the same room */
		settle(i, 0);
		return -ENOSPC;
	}
	return 0;
}

static enum huge_file huge(const struct page_cache *c)
{
	const struct inode *i = c->owner;

	return READ_ONCE(tmpfs_super(i->sb)->huge);
}

const struct page_cache_ops tmpfs_cache_ops = {
	.write_begin = write_begin,
	.grow = grow,
	.huge = huge,
};

static int change_size(struct inode *i, u64 size)
{
	u32 seals = tmpfs_inode(i)->seals;
	u64 old = i->size;

	if ((size < old && (seals & F_SEAL_SHRINK)) || (size > old && (seals & F_SEAL_GROW)))
		return -EPERM;
	WRITE_ONCE(i->size, size);
	if (size < old)
		page_cache_truncate(&i->cache, size, U64_MAX);
	else if (old % PAGE_SIZE && size > old) /* what a mapping wrote behind the end */
		page_cache_truncate(&i->cache, old, min(size, align_up(old, PAGE_SIZE)));
	tmpfs_settle(i);
	return 0;
}

int tmpfs_set_attributes(struct inode *i, const struct inode_change *c)
{
	if (c->valid & ATTR_SIZE) {
		int err = (i->mode & S_IFMT) == S_IFREG ? change_size(i, c->size) : -EINVAL;

		if (err)
			return err;
	}
	inode_set_attributes_generic(i, c);
	return 0;
}

static int punch(struct inode *i, u64 offset, u64 end)
{
	if (tmpfs_inode(i)->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	page_cache_truncate(&i->cache, offset, end);
	tmpfs_settle(i);
	inode_mark_times(i, ATTR_MTIME | ATTR_CTIME);
	return 0;
}

/* Fills the holes of [start, end). */
static int fill(struct inode *i, u64 start, u64 end)
{
	u64 pages = div_round_up(end, PAGE_SIZE) - start / PAGE_SIZE;

	if (pages > pages_left(i->sb) && !is_present(i, start & PAGE_MASK, end))
		return -ENOSPC;
	for (u64 at = start & PAGE_MASK; at < end; at += PAGE_SIZE, pages--) {
		struct folio *folio =
			page_cache_get_for_write(&i->cache, at >> PAGE_SHIFT, pages, true);

		if (!folio)
			return -ENOSPC;
		folio_unlock(folio);
		folio_put(folio);
		if (fatal_signal_is_pending())
			return -EINTR;
	}
	return 0;
}

static int tmpfs_fallocate(struct file *f, int mode, u64 offset, u64 len)
{
	struct inode *i = f->inode;
	u64 old_pages, end = offset + len;
	int err;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	scoped_write(&i->lock);
	if (mode & FALLOC_FL_PUNCH_HOLE)
		return punch(i, offset, end);
	err = inode_check_growth(i, end); /* even what the size will not show counts */
	if (err)
		return err;
	if ((tmpfs_inode(i)->seals & F_SEAL_GROW) && end > i->size)
		return -EPERM;
	old_pages = i->cache.nr_pages;
	err = fill(i, offset, end);
	if (!err) {
		if (!(mode & FALLOC_FL_KEEP_SIZE) && end > i->size)
			WRITE_ONCE(i->size, end);
		inode_mark_times(i, ATTR_MTIME | ATTR_CTIME);
	} else if (i->cache.nr_pages != old_pages) {
		page_cache_truncate(&i->cache, max(i->size, offset), end);
	}
	tmpfs_settle(i);
	return err;
}

static int tmpfs_map(struct file *f, struct map_request *r)
{
	u32 seals = tmpfs_inode(f->inode)->seals;
	bool shared = (r->map_flags & MAP_TYPE) != MAP_PRIVATE;

	if (shared && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))) {
		if (r->prot & PROT_WRITE)
			return -EPERM;
		r->file_may_write = false;
	}
	return file_map_generic(f, r);
}

static int tmpfs_file_sync(struct file *f, u64 start, u64 end, bool data_only)
{
	return 0;
}

const struct file_ops tmpfs_file_ops = {
	.read = file_read_generic,
	.write = tmpfs_write,
	.seek = file_seek_generic,
	.map = tmpfs_map,
	.sync = tmpfs_file_sync,
	.fallocate = tmpfs_fallocate,
};

const struct inode_ops tmpfs_file_inode_ops = {
	.set_attributes = tmpfs_set_attributes,
	.get_xattr = tmpfs_get_xattr,
	.set_xattr = tmpfs_set_xattr,
	.list_xattr = tmpfs_list_xattr,
};
