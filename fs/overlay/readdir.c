/*
 * Listing overlay directories.  Where one real directory has all there is, its
 * listing is passed on; otherwise the layers' names are merged once per open
 * file, at position 0, and given out from memory.
 */
#include <asm/fcntl.h>
#include <linux/fs.h>

#include "overlay.h"

#define DT_UNKNOWN 0
#define DT_CHR 2
#define DT_DIR 4

struct entry {
	struct entry *hash_next;
	u64 ino;
	u32 len;
	u8 type;
	bool hidden; /* a whiteout: keeps lower ones out */
	char name[];
};

struct listing {
	struct file *single; /* the one real directory, or NULL */
	struct entry **entries;
	u32 nr, room;
	struct entry **hash;
	u32 hash_bits;
	bool merged;
};

static void forget(struct listing *l)
{
	for (u32 i = 0; i < l->nr; i++)
		kfree(l->entries[i]);
	kfree(l->entries);
	kfree(l->hash);
	l->entries = NULL;
	l->hash = NULL;
	l->nr = 0;
	l->room = 0;
	l->merged = false;
}

struct collect {
	struct dir_context context;
	struct listing *listing;
	struct dentry *dir;
	bool is_upper;
	int err;
};

static struct entry *find(struct listing *l, const char *name, u32 len)
{
	u64 slot = hash_bytes(name, len, 0) & ((1ull << l->hash_bits) - 1);

	for (struct entry *e = l->hash[slot]; e; e = e->hash_next)
		if (e->len == len && memcmp(e->name, name, len) == 0)
			return e;
	return NULL;
}

static int grow(struct listing *l)
{
	u32 room = l->room ? l->room * 2 : 128;
	struct entry **more = krealloc(l->entries, room * sizeof(*more), 0);

	if (!more)
		return -ENOMEM;
	l->entries = more;
	l->room = room;
	return 0;
}

/* Whether a whiteout stands there; 0 or −errno. */
static int look_for_whiteout(struct collect *c, const char *name, u32 len, u8 type, bool *found)
{
	struct dentry *d;

	*found = false;
	if (type != DT_CHR && type != DT_UNKNOWN)
		return 0;
	d = dentry_lookup(c->dir, name, len);
	if (is_err(d))
		return ptr_err(d) == -ENOENT ? 0 : (int)ptr_err(d);
	*found = overlay_is_whiteout(d);
	dentry_put(d);
	return 0;
}

static bool collect_add(struct dir_context *context, const char *name, u32 len, u64 ino, u8 type,
			u64 next)
{
	struct collect *c = container_of(context, struct collect, context);
	struct listing *l = c->listing;

	if (find(l, name, len))
		return true;

	struct entry *e = kmalloc(sizeof(*e) + len, 0);

	c->err = e ? look_for_whiteout(c, name, len, type, &e->hidden) : -ENOMEM;
	if (!c->err && l->nr == l->room)
		c->err = grow(l);
	if (c->err) {
		kfree(e);
		return false;
	}
	e->ino = c->is_upper ? ino | OVERLAY_UPPER_INO : ino;
	e->len = len;
	e->type = type;
	memcpy(e->name, name, len);

	u64 slot = hash_bytes(name, len, 0) & ((1ull << l->hash_bits) - 1);

	e->hash_next = l->hash[slot];
	l->hash[slot] = e;
	l->entries[l->nr++] = e;
	return true;
}

static int collect_dir(struct super_block *sb, struct listing *l, struct dentry *dir, u32 layer,
		       bool is_upper)
{
	struct file *f = overlay_open_real(sb, dir, layer, is_upper, O_RDONLY | O_DIRECTORY);
	struct collect c = {
		.context.add = collect_add, .listing = l, .dir = dir, .is_upper = is_upper
	};
	int err;

	if (is_err(f))
		return (int)ptr_err(f);
	rwlock_read(&dir->inode->lock);

	u64 before;

	do {
		before = f->position;
		err = f->ops->iterate(f, &c.context);
	} while (!err && !c.err && f->position != before);
	rwlock_read_unlock(&dir->inode->lock);
	file_put(f);
	return err ? err : c.err;
}

static int merge(struct inode *i, struct listing *l)
{
	struct overlay_inode *o = overlay_inode(i);
	struct dentry *upper = overlay_upper(o);
	int err = 0;

	forget(l);
	l->hash_bits = 10;
	l->hash = kcalloc(1ul << l->hash_bits, sizeof(*l->hash), 0);
	if (!l->hash)
		return -ENOMEM;
	if (upper)
		err = collect_dir(i->sb, l, upper, 0, true);
	for (u32 n = 0; !err && n < o->nr_lower; n++)
		err = collect_dir(i->sb, l, o->lower[n].dentry, o->lower[n].layer, false);
	if (err)
		forget(l);
	else
		l->merged = true;
	return err;
}

static int dir_open(struct inode *i, struct file *f)
{
	struct listing *l = kzalloc(sizeof(*l), 0);

	if (!l)
		return -ENOMEM;
	f->private = l;
	return 0;
}

static void dir_release(struct file *f)
{
	struct listing *l = f->private;

	forget(l);
	if (l->single)
		file_put(l->single);
	kfree(l);
}

static int iterate_single(struct file *f, struct listing *l, struct dir_context *c)
{
	l->single->position = f->position;

	int err = l->single->ops->iterate(l->single, c);

	f->position = l->single->position;
	return err;
}

static int iterate(struct file *f, struct dir_context *c)
{
	struct inode *i = f->path.dentry->inode;
	struct overlay_inode *o = overlay_inode(i);
	struct listing *l = f->private;
	int err = 0;

	if (!l->single && !l->merged && !overlay_upper(o) && o->nr_lower == 1) {
		l->single = overlay_open_real(i->sb, o->lower[0].dentry, o->lower[0].layer, false,
					      O_RDONLY | O_DIRECTORY);
		if (is_err(l->single)) {
			err = (int)ptr_err(l->single);
			l->single = NULL;
			return err;
		}
	}
	/* Copied up since: a listing that starts anew sees the merged directory. */
	if (l->single && f->position == 0 && overlay_upper(o)) {
		file_put(l->single);
		l->single = NULL;
	}
	if (l->single)
		return iterate_single(f, l, c);
	if (!l->merged || f->position == 0)
		err = merge(i, l);
	for (u64 at = f->position; !err && at < l->nr; at++) {
		struct entry *e = l->entries[at];

		if (!e->hidden && !c->add(c, e->name, e->len, e->ino, e->type, at + 1))
			break;
		f->position = at + 1;
	}
	return err;
}

static s64 dir_seek(struct file *f, s64 offset, int whence)
{
	return file_seek_generic(f, offset, whence);
}

static int dir_sync(struct file *f, u64 start, u64 end, bool data_only)
{
	return 0;
}

const struct file_ops overlay_dir_file_ops = {
	.open = dir_open,
	.release = dir_release,
	.iterate = iterate,
	.seek = dir_seek,
	.sync = dir_sync,
};

static bool is_dot(const struct entry *e)
{
	return e->name[0] == '.' && (e->len == 1 || (e->len == 2 && e->name[1] == '.'));
}

int overlay_check_empty(struct inode *dir)
{
	struct listing l = { 0 };
	int err = merge(dir, &l);

	for (u32 i = 0; !err && i < l.nr; i++)
		if (!l.entries[i]->hidden && !is_dot(l.entries[i]))
			err = -ENOTEMPTY;
	forget(&l);
	return err;
}

int overlay_clear_whiteouts(struct overlay_inode *o)
{
	struct listing l = { 0 };
	int err = merge(&o->inode, &l);
	char name[256];

	for (u32 i = 0; !err && i < l.nr; i++) {
		struct entry *e = l.entries[i];

		if (!e->hidden || e->len >= sizeof(name))
			continue;
		memcpy(name, e->name, e->len);
		name[e->len] = 0;
		err = dentry_remove(o->upper, name, false);
		if (err == -ENOENT) /* a whiteout of a lower layer */
			err = 0;
	}
	forget(&l);
	return err;
}
