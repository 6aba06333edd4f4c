/* 9P directories: lookup, changes, listing; attributes and extended attributes of any inode. */
#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <asm/fcntl.h>
#include <linux/stat.h>
#include <linux/limits.h>
#include <linux/xattr.h>

#include "p9.h"

#define LIST_ORDER 4 /* 64 KiB of entries a request */
#define LIST_BYTES (PAGE_SIZE << LIST_ORDER)
#define ENTRY_MAX (13 + 8 + 1 + 2 + 255) /* qid, offset, type, name */
#define UNLINK_DIR 0x200

static int lookup(struct inode *dir, struct dentry *d)
{
	struct p9_client *c = p9_client_of(dir);
	u32 fid = p9_fid_allocate(c);
	struct p9_qid qid;
	int err = p9_walk(c, p9_inode(dir)->fid, fid, d->name, d->name_len, &qid);

	if (err)
		return err == -ENOENT ? 0 : err;

	struct inode *i = p9_inode_get(dir->sb, fid);

	if (is_err(i))
		return (int)ptr_err(i);
	dentry_set_inode(d, i);
	if (p9_mount(dir->sb)->loose)
		p9_names_asked(dir, d->parent, d->name, d->name_len);
	return 0;
}

/*
 * Asks the host whether d still names what it did, and fetches the attributes again if so.  The dentry
 * of a directory that is still there must stay: mounts lie on it, and names below it.
 */
static bool revalidate(struct dentry *d)
{
	char name[NAME_MAX + 1];
	struct dentry *parent;
	struct p9_qid qid;
	size_t len;
	u32 fid;
	int err;

	if (d->parent == d)
		return true;
	spin_lock(&d->lock);
	parent = d->parent;
	dentry_get(parent);
	len = d->name_len;
	memcpy(name, d->name, len);
	spin_unlock(&d->lock);

	struct p9_client *c = p9_client_of(parent->inode);

	fid = p9_fid_allocate(c);
	err = p9_walk(c, p9_inode(parent->inode)->fid, fid, name, len, &qid);
	dentry_put(parent);
	if (err)
		return err == -ENOENT && !d->inode;
	p9_clunk(c, fid);
	/* A number may come back as something else. */
	return d->inode && d->inode->ino == qid.path &&
	       ((d->inode->mode & S_IFMT) == S_IFDIR) == !!(qid.type & P9_QID_DIR) &&
	       p9_inode_refresh(d->inode) == 0;
}

/* After something was made in dir under d's name. */
static int instantiate(struct inode *dir, struct dentry *d)
{
	int err;

	p9_inode_refresh(dir);
	err = lookup(dir, d);
	/* The host may have taken it away again. */
	return err || d->inode ? err : -ENOENT;
}

static int make_file(struct inode *dir, struct dentry *d, u32 mode)
{
	struct p9_client *c = p9_client_of(dir);
	u32 fid = p9_fid_allocate(c);
	struct p9_qid qid;
	int err = p9_walk(c, p9_inode(dir)->fid, fid, NULL, 0, &qid);

	if (err)
		return err;
	err = p9_lcreate(c, fid, d->name, d->name_len, O_CREAT | O_EXCL | O_RDWR | O_LARGEFILE,
			 mode & 07777, cred_current()->fsgid);
	p9_clunk(c, fid);
	return err ? err : instantiate(dir, d);
}

static int make_dir(struct inode *dir, struct dentry *d, u32 mode)
{
	int err = p9_mkdir(p9_client_of(dir), p9_inode(dir)->fid, d->name, d->name_len,
			   mode & 07777, cred_current()->fsgid);

	return err ? err : instantiate(dir, d);
}

static int make_node(struct inode *dir, struct dentry *d, u32 mode, u64 dev)
{
	int err = p9_mknod(p9_client_of(dir), p9_inode(dir)->fid, d->name, d->name_len, mode, dev,
			   cred_current()->fsgid);

	return err ? err : instantiate(dir, d);
}

static int make_symlink(struct inode *dir, struct dentry *d, const char *target)
{
	int err = p9_symlink(p9_client_of(dir), p9_inode(dir)->fid, d->name, d->name_len, target,
			     cred_current()->fsgid);

	return err ? err : instantiate(dir, d);
}

static int make_link(struct inode *dir, struct dentry *d, struct inode *target)
{
	int err = p9_link(p9_client_of(dir), p9_inode(dir)->fid, p9_inode(target)->fid, d->name,
			  d->name_len);

	if (err)
		return err;
	p9_inode_refresh(target);
	p9_inode_refresh(dir);
	inode_get(target);
	dentry_set_inode(d, target);
	return 0;
}

static int remove_name(struct inode *dir, struct dentry *d, u32 flags)
{
	int err = p9_unlinkat(p9_client_of(dir), p9_inode(dir)->fid, d->name, d->name_len, flags);

	if (err)
		return err;

	struct inode *i = d->inode;

	if (i) {
		scoped_spin(&i->spin);
		i->nlink = flags || i->nlink == 0 ? 0 : i->nlink - 1;
	}
	/* The host may give the number to a new file. */
	if (i && i->nlink == 0)
		p9_inode_unhash(p9_inode(i));
	p9_inode_refresh(dir);
	return 0;
}

static int unlink_file(struct inode *dir, struct dentry *d)
{
	return remove_name(dir, d, 0);
}

static int remove_dir(struct inode *dir, struct dentry *d)
{
	return remove_name(dir, d, UNLINK_DIR);
}

static int rename_entry(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
			struct dentry *new, u32 flags)
{
	if (flags)
		return -EINVAL;

	int err = p9_renameat(p9_client_of(old_dir), p9_inode(old_dir)->fid, old->name,
			      old->name_len, p9_inode(new_dir)->fid, new->name, new->name_len);

	if (err)
		return err;
	if (new->inode) {
		scoped_spin(&new->inode->spin);
		if (new->inode->nlink)
			new->inode->nlink--;
	}
	p9_inode_refresh(old_dir);
	if (new_dir != old_dir)
		p9_inode_refresh(new_dir);
	return 0;
}

/* ---- attributes ---- */

int p9_set_attributes(struct inode *i, const struct inode_change *c)
{
	struct p9_set s = { 0 };

	if (c->valid & ATTR_MODE) {
		s.valid |= P9_SET_MODE;
		s.mode = c->mode & 07777;
	}
	if (c->valid & ATTR_UID) {
		s.valid |= P9_SET_UID;
		s.uid = c->uid;
	}
	if (c->valid & ATTR_GID) {
		s.valid |= P9_SET_GID;
		s.gid = c->gid;
	}
	if (c->valid & ATTR_SIZE) {
		s.valid |= P9_SET_SIZE;
		s.size = c->size;
	}
	if (c->valid & (ATTR_ATIME | ATTR_ATIME_NOW)) {
		s.valid |= P9_SET_ATIME | (c->valid & ATTR_ATIME ? P9_SET_ATIME_SET : 0);
		s.atime_sec = (u64)c->atime.sec;
		s.atime_nsec = c->atime.nsec;
	}
	if (c->valid & (ATTR_MTIME | ATTR_MTIME_NOW)) {
		s.valid |= P9_SET_MTIME | (c->valid & ATTR_MTIME ? P9_SET_MTIME_SET : 0);
		s.mtime_sec = (u64)c->mtime.sec;
		s.mtime_nsec = c->mtime.nsec;
	}
	if (s.valid) {
		int err = p9_setattr(p9_client_of(i), p9_inode(i)->fid, &s);

		if (err)
			return err;
	}
	if ((c->valid & ATTR_SIZE) && c->size < i->size) {
		i->size = c->size;
		page_cache_truncate(&i->cache, c->size, U64_MAX);
	}

	struct p9_attributes a;
	int err = p9_getattr(p9_client_of(i), p9_inode(i)->fid, &a);

	if (!err) {
		p9_inode(i)->version = a.qid.version;
		p9_inode_update(i, &a);
	}
	return err;
}

int p9_inode_attributes(struct inode *i, struct stat_info *s)
{
	int err = p9_inode_refresh(i);

	if (err)
		return err;
	s->size = i->size;
	s->blocks = i->blocks;
	s->mode = i->mode;
	s->uid = i->uid;
	s->gid = i->gid;
	s->nlink = i->nlink;
	s->atime = i->atime;
	s->mtime = i->mtime;
	s->ctime = i->ctime;
	return 0;
}

/* Value of `name` ("" = the list) into a bounce page run; size 0 asks for the length. */
static ssize_t read_xattr(struct inode *i, const char *name, void *to, size_t size)
{
	struct p9_client *c = p9_client_of(i);
	u32 fid = p9_fid_allocate(c);
	u64 len = 0;
	int err = p9_xattrwalk(c, p9_inode(i)->fid, fid, name, &len);

	if (err)
		return err == -ENOENT ? -ENODATA : err;

	ssize_t result = (ssize_t)len;

	if (len > XATTR_LIST_MAX) {
		result = -E2BIG;
	} else if (size && len > size) {
		result = -ERANGE;
	} else if (size && len) {
		void *bounce = kmalloc(len, 0);
		struct channel_segment s;

		if (!bounce) {
			result = -ENOMEM;
		} else {
			s = (struct channel_segment){ virt_to_phys(bounce), (u32)len };
			result = p9_read(c, fid, 0, &s, 1, (u32)len);
			if (result > 0)
				memcpy(to, bounce, (size_t)result);
			kfree(bounce);
		}
	}
	p9_clunk(c, fid);
	return result;
}

ssize_t p9_get_xattr(struct inode *i, const char *name, void *to, size_t size)
{
	return read_xattr(i, name, to, size);
}

ssize_t p9_list_xattr(struct inode *i, char *to, size_t size)
{
	return read_xattr(i, "", to, size);
}

/* Removal is a create of size 0 with value NULL, as the protocol has it. */
int p9_set_xattr(struct inode *i, const char *name, const void *v, size_t size, int flags)
{
	struct p9_client *c = p9_client_of(i);
	u32 fid = p9_fid_allocate(c);
	struct p9_qid qid;
	int err = p9_walk(c, p9_inode(i)->fid, fid, NULL, 0, &qid);

	if (err)
		return err;
	err = p9_xattrcreate(c, fid, name, v ? size : 0, (u32)flags);
	if (!err && v && size) {
		void *bounce = kmalloc(size, 0);

		if (!bounce) {
			err = -ENOMEM;
		} else {
			memcpy(bounce, v, size);

			struct channel_segment s = { virt_to_phys(bounce), (u32)size };
			ssize_t n = p9_write(c, fid, 0, &s, 1, (u32)size);

			err = n < 0 ? (int)n : (size_t)n == size ? 0 : -EIO;
			kfree(bounce);
		}
	}
	p9_clunk(c, fid);
	return err;
}

/* ---- listing ---- */

struct p9_listing {
	u32 fid;
	u32 at, len; /* unread part of the buffer */
	u64 position; /* of the entry at `at` */
	bool at_end; /* the host has nothing behind `len` */
	u8 *buffer;
};

static int dir_open(struct inode *i, struct file *f)
{
	struct p9_client *c = p9_client_of(i);
	struct p9_listing *l = kzalloc(sizeof(*l), 0);
	struct p9_qid qid;

	if (!l)
		return -ENOMEM;
	l->fid = p9_fid_allocate(c);

	int err = p9_walk(c, p9_inode(i)->fid, l->fid, NULL, 0, &qid);

	if (!err) {
		err = p9_lopen(c, l->fid, O_RDONLY | O_DIRECTORY | O_LARGEFILE);
		if (err)
			p9_clunk(c, l->fid);
	}
	if (err) {
		kfree(l);
		return err;
	}
	f->private = l;
	return 0;
}

static void dir_release(struct file *f)
{
	struct p9_listing *l = f->private;

	p9_clunk(p9_client_of(f->inode), l->fid);
	if (l->buffer)
		page_free(l->buffer, LIST_ORDER);
	kfree(l);
}

static int fill(struct file *f, struct p9_listing *l)
{
	struct p9_client *c = p9_client_of(f->inode);

	if (!l->buffer) {
		l->buffer = page_alloc(LIST_ORDER, 0);
		if (!l->buffer)
			return -ENOMEM;
	}

	u32 size = min((u32)LIST_BYTES, c->msize - P9_READ_HEADER);
	ssize_t n = p9_readdir(c, l->fid, f->position, l->buffer, size);

	if (n < 0)
		return (int)n;
	l->at = 0;
	l->len = (u32)n;
	l->position = f->position;
	/* The host fills the reply with what fits: room for any entry left means that was all. */
	l->at_end = (u32)n + ENTRY_MAX <= size;
	if (n > 0 && p9_mount(f->inode->sb)->loose)
		p9_names_listed(f->inode, l->buffer, (u32)n, f->position == 0);
	return 0;
}

static int iterate(struct file *f, struct dir_context *ctx)
{
	struct p9_listing *l = f->private;

	for (;;) {
		if (l->at == l->len || l->position != f->position) {
			int err = l->at_end && l->position == f->position ? 0 : fill(f, l);

			if (err || l->at == l->len)
				return err;
		}

		struct p9_reader r = { .data = l->buffer, .at = l->at, .len = l->len };
		struct p9_qid qid = p9_get_qid(&r);
		u64 next = p9_get_u64(&r);
		u8 type = p9_get_u8(&r);
		u16 len;
		const char *name = p9_get_string(&r, &len);

		if (r.failed || len == 0 || memchr(name, '/', len) || memchr(name, 0, len))
			return -EIO;
		if (!ctx->add(ctx, name, len, qid.path, type, next))
			return 0;
		l->at = r.at;
		l->position = next;
		f->position = next;
	}
}

static s64 dir_seek(struct file *f, s64 offset, int whence)
{
	return file_seek_generic(f, offset, whence);
}

static int dir_sync(struct file *f, u64 start, u64 end, bool data_only)
{
	return 0;
}

const struct file_ops p9_dir_ops = {
	.open = dir_open,
	.release = dir_release,
	.iterate = iterate,
	.seek = dir_seek,
	.sync = dir_sync,
};

#define DIR_OPS                                                                                    \
	.lookup = lookup, .create = make_file, .mkdir = make_dir, .mknod = make_node,              \
	.symlink = make_symlink, .link = make_link, .unlink = unlink_file, .rmdir = remove_dir,    \
	.rename = rename_entry, .set_attributes = p9_set_attributes, .get_xattr = p9_get_xattr,    \
	.set_xattr = p9_set_xattr, .list_xattr = p9_list_xattr

const struct inode_ops p9_dir_loose_ops = { DIR_OPS };
const struct inode_ops p9_dir_inode_ops = {
	DIR_OPS,
	.get_attributes = p9_inode_attributes,
	.revalidate = revalidate,
};
