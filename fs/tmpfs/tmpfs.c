/*
 * tmpfs: a file system whose files are their pages in memory.
 *
 * Directories.  A directory is INODE_COMPLETE: its entries are its hashed
 * dentries (DENTRY_PERSISTENT), so that a miss in the dentry cache is the
 * answer and nothing else is kept.  Each entry has a position for getdents in
 * dentry->private; new entries go to the end, so the list of children is in
 * the order of positions.
 *
 * Space.  Pages are counted against size= when a file's page count changed:
 * after writes and truncation (tmpfs_settle), and before a fault fills a hole.
 * A write is cut to what is left before it starts, so that two writers at once
 * can pass the limit by what both had in hand.
 *
 * The same code is rootfs, the base of devtmpfs, memfd_create and shared
 * anonymous memory (shmem.c).
 */
#include "tmpfs.h"

#include <nos/init.h>
#include <nos/page.h>

#define DIR_ENTRY_BYTES 20 /* what Linux counts for an entry in st_size */

static struct slab_cache *inode_cache __ro_after_init;
static const struct inode_ops dir_inode_ops, link_inode_ops, special_inode_ops;

/* ---- inodes ---- */

struct inode *tmpfs_inode_create(struct super_block *sb, const struct inode *dir, u32 mode)
{
	struct tmpfs_super *s = tmpfs_super(sb);
	struct tmpfs_inode *t;
	struct inode *i;

	if (atomic_add(&s->used_inodes, 1) > (s64)s->max_inodes && s->max_inodes) {
		atomic_sub(&s->used_inodes, 1);
		return err_ptr(-ENOSPC);
	}
	t = slab_alloc(inode_cache, 0);
	if (!t) {
		atomic_sub(&s->used_inodes, 1);
		return err_ptr(-ENOMEM);
	}
	i = &t->inode;
	inode_init(i, sb, 0, mode);
	list_init(&t->xattrs);
	t->accounted = 0;
	t->next_offset = 2;
	t->seals = F_SEAL_SEAL;
	if (dir)
		inode_init_owner(i, dir, mode);
	switch (mode & S_IFMT) {
	case S_IFREG:
		i->ops = &tmpfs_file_inode_ops;
		i->file_ops = &tmpfs_file_ops;
		i->cache.ops = &tmpfs_cache_ops;
		break;
	case S_IFDIR:
		i->ops = &dir_inode_ops;
		i->file_ops = &tmpfs_dir_ops;
		i->flags = INODE_COMPLETE;
		i->nlink = 2;
		break;
	case S_IFLNK:
		i->ops = &link_inode_ops;
		i->flags = INODE_LINK_STABLE;
		break;
	default:
		i->ops = &special_inode_ops;
	}
	return i;
}

static void evict_inode(struct inode *i)
{
	struct tmpfs_super *s = tmpfs_super(i->sb);
	struct tmpfs_inode *t = tmpfs_inode(i);

	atomic_sub(&s->used_pages, (s64)t->accounted);
	atomic_sub(&s->used_inodes, 1);
	if (!list_is_empty(&t->xattrs))
		tmpfs_free_xattrs(t);
}

static void free_inode(struct inode *i)
{
	slab_free(inode_cache, tmpfs_inode(i));
}

/* ---- directories ---- */

/* The end of the listing, which is where d's name is put among the children. */
static void entry_place(struct inode *dir, struct dentry *d)
{
	d->private = (void *)(uintptr_t)tmpfs_inode(dir)->next_offset++;
}

static void entry_added(struct inode *dir, struct dentry *d)
{
	entry_place(dir, d);
	dir->size += DIR_ENTRY_BYTES;
	inode_mark_times(dir, ATTR_MTIME | ATTR_CTIME);
}

static void entry_removed(struct inode *dir)
{
	dir->size -= DIR_ENTRY_BYTES;
	inode_mark_times(dir, ATTR_MTIME | ATTR_CTIME);
}

static int tmpfs_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 dev)
{
	struct inode *i = tmpfs_inode_create(dir->sb, dir, mode);

	if (is_err(i))
		return (int)ptr_err(i);
	i->rdev = dev;
	if ((mode & S_IFMT) == S_IFDIR)
		dir->nlink++;
	dentry_set_inode(d, i);
	entry_added(dir, d);
	return 0;
}

static int tmpfs_create(struct inode *dir, struct dentry *d, u32 mode)
{
	return tmpfs_mknod(dir, d, mode, 0);
}

static int tmpfs_mkdir(struct inode *dir, struct dentry *d, u32 mode)
{
	return tmpfs_mknod(dir, d, mode | S_IFDIR, 0);
}

static int tmpfs_symlink(struct inode *dir, struct dentry *d, const char *target)
{
	char *copy = kstrdup(target, 0);
	struct inode *i;

	if (!copy)
		return -ENOMEM;
	i = tmpfs_inode_create(dir->sb, dir, S_IFLNK | 0777);
	if (is_err(i)) {
		kfree(copy);
		return (int)ptr_err(i);
	}
	i->link = copy;
	i->size = strlen(copy);
	dentry_set_inode(d, i);
	entry_added(dir, d);
	return 0;
}

static int tmpfs_link(struct inode *dir, struct dentry *d, struct inode *target)
{
	target->nlink++;
	inode_mark_times(target, ATTR_CTIME);
	inode_get(target);
	dentry_set_inode(d, target);
	entry_added(dir, d);
	return 0;
}

static int tmpfs_unlink(struct inode *dir, struct dentry *d)
{
	struct inode *i = d->inode;

	i->nlink--;
	inode_mark_times(i, ATTR_CTIME);
	entry_removed(dir);
	return 0;
}

static int tmpfs_rmdir(struct inode *dir, struct dentry *d)
{
	if (!list_is_empty(&d->children))
		return -ENOTEMPTY;
	d->inode->nlink = 0;
	dir->nlink--;
	entry_removed(dir);
	return 0;
}

static bool is_dir(const struct inode *i)
{
	return (i->mode & S_IFMT) == S_IFDIR;
}

static void move_dir_link(struct inode *moved, struct inode *from, struct inode *to)
{
	if (is_dir(moved)) {
		from->nlink--;
		to->nlink++;
	}
}

static int tmpfs_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
			struct dentry *new, u32 flags)
{
	struct inode *i = old->inode, *victim = new->inode;

	if (flags & RENAME_EXCHANGE) {
		entry_place(new_dir, old);
		entry_place(old_dir, new);
		move_dir_link(i, old_dir, new_dir);
		move_dir_link(victim, new_dir, old_dir);
		inode_mark_times(old_dir, ATTR_MTIME | ATTR_CTIME);
		inode_mark_times(new_dir, ATTR_MTIME | ATTR_CTIME);
		inode_mark_times(victim, ATTR_CTIME);
		inode_mark_times(i, ATTR_CTIME);
		return 0;
	}
	if (victim) {
		int err = is_dir(victim) ? tmpfs_rmdir(new_dir, new) : tmpfs_unlink(new_dir, new);

		if (err)
			return err;
	}
	move_dir_link(i, old_dir, new_dir);
	entry_removed(old_dir);
	entry_added(new_dir, old);
	inode_mark_times(i, ATTR_CTIME);
	return 0;
}

static int tmpfs_tmpfile(struct inode *dir, struct inode **made, u32 mode)
{
	struct inode *i = tmpfs_inode_create(dir->sb, dir, mode);

	if (is_err(i))
		return (int)ptr_err(i);
	i->nlink = 0;
	*made = i;
	return 0;
}

static const struct inode_ops dir_inode_ops = {
	.create = tmpfs_create,
	.mkdir = tmpfs_mkdir,
	.mknod = tmpfs_mknod,
	.symlink = tmpfs_symlink,
	.link = tmpfs_link,
	.unlink = tmpfs_unlink,
	.rmdir = tmpfs_rmdir,
	.rename = tmpfs_rename,
	.tmpfile = tmpfs_tmpfile,
	.set_attributes = tmpfs_set_attributes,
	.get_xattr = tmpfs_get_xattr,
	.set_xattr = tmpfs_set_xattr,
	.list_xattr = tmpfs_list_xattr,
};
static const struct inode_ops link_inode_ops = {
	.get_xattr = tmpfs_get_xattr,
	.set_xattr = tmpfs_set_xattr,
	.list_xattr = tmpfs_list_xattr,
};
static const struct inode_ops special_inode_ops = {
	.set_attributes = tmpfs_set_attributes,
	.get_xattr = tmpfs_get_xattr,
	.set_xattr = tmpfs_set_xattr,
	.list_xattr = tmpfs_list_xattr,
};

/* Entries from f->position on; 0 and 1 are "." and "..".  The directory is locked shared. */
static int tmpfs_iterate(struct file *f, struct dir_context *c)
{
	struct dentry *dir = f->path.dentry, *d;

	if (f->position == 0) {
		if (!c->add(c, ".", 1, dir->inode->ino, 4, 1))
			return 0;
		f->position = 1;
	}
	if (f->position == 1) {
		if (!c->add(c, "..", 2, READ_ONCE(dir->parent)->inode->ino, 4, 2))
			return 0;
		f->position = 2;
	}
	list_for_each(d, &dir->children, sibling) {
		u64 at = (uintptr_t)d->private;
		struct inode *i = d->inode;

		if (at < f->position || !i)
			continue;
		if (!c->add(c, d->name, d->name_len, i->ino, (i->mode >> 12) & 15, at + 1))
			return 0;
		f->position = at + 1;
	}
	return 0;
}

static s64 tmpfs_dir_seek(struct file *f, s64 offset, int whence)
{
	if (whence == SEEK_CUR)
		offset += (s64)f->position;
	else if (whence != SEEK_SET)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	f->position = (u64)offset;
	return offset;
}

static int tmpfs_sync(struct file *f, u64 start, u64 end, bool data_only)
{
	return 0;
}

const struct file_ops tmpfs_dir_ops = {
	.iterate = tmpfs_iterate,
	.seek = tmpfs_dir_seek,
	.sync = tmpfs_sync,
};

/* ---- super block ---- */

static int stats(struct super_block *sb, struct fs_stats *s)
{
	struct tmpfs_super *t = tmpfs_super(sb);

	s->type = 0x01021994; /* TMPFS_MAGIC of linux/magic.h */
	s->blocks = t->max_pages;
	s->blocks_free = s->blocks_available =
		t->max_pages > (u64)t->used_pages ? t->max_pages - (u64)t->used_pages : 0;
	s->files = t->max_inodes;
	s->files_free =
		t->max_inodes > (u64)t->used_inodes ? t->max_inodes - (u64)t->used_inodes : 0;
	return 0;
}

/* "64m", "25%" (of memory), plain bytes. */
static int parse_size(const char *text, u64 *pages)
{
	size_t len = strlen(text);
	char number[24];
	unsigned shift = 0;
	bool percent = false;
	u64 value;
	int err;

	if (!len || len >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, len + 1);
	switch (number[len - 1]) {
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'm':
	case 'M':
		shift = 20;
		break;
	case 'g':
	case 'G':
		shift = 30;
		break;
	case '%':
		percent = true;
		break;
	default:
		len++;
	}
	number[len - 1] = '\0';
	err = string_to_u64(number, 0, &value);
	if (err || value > U64_MAX >> 32)
		return -EINVAL;
	if (percent) {
		struct memory_stats m;

		memory_stats_read(&m);
		*pages = m.total * value / 100;
		return 0;
	}
	*pages = div_round_up(value << shift, PAGE_SIZE);
	return 0;
}

static int parse_huge(const char *value, enum huge_file *huge)
{
	int mode = huge_file_parse(value, strlen(value));

	if (mode < 0 || mode == HUGE_FILE_DENY || mode == HUGE_FILE_FORCE)
		return -EINVAL;
	*huge = (enum huge_file)mode;
	return huge_file_allow(*huge);
}

static int parse_option(struct tmpfs_super *s, char *option)
{
	char *value = strchr(option, '=');
	u64 number = 0;
	int err;

	if (value)
		*value++ = '\0';
	if (!strcmp(option, "mpol") || !strcmp(option, "noswap") || !strcmp(option, "inode64") ||
	    !strcmp(option, "inode32"))
		return 0;
	if (!value)
		return -EINVAL;
	if (!strcmp(option, "huge"))
		return parse_huge(value, &s->huge);
	if (!strcmp(option, "size"))
		return parse_size(value, &s->max_pages);
	if (!strcmp(option, "nr_blocks")) {
		err = parse_size(value, &number);
		s->max_pages = number * PAGE_SIZE;
		return err;
	}
	if (!strcmp(option, "nr_inodes")) {
		err = parse_size(value, &number);
		s->max_inodes = number * PAGE_SIZE;
		return err;
	}
	err = string_to_u64(value, !strcmp(option, "mode") ? 8 : 10, &number);
	if (err || number > U32_MAX)
		return -EINVAL;
	if (!strcmp(option, "mode"))
		s->root_mode = (u32)number & 07777;
	else if (!strcmp(option, "uid"))
		s->root_uid = (u32)number;
	else if (!strcmp(option, "gid"))
		s->root_gid = (u32)number;
	else
		return -EINVAL;
	return 0;
}

static int parse_options(struct tmpfs_super *s, const char *options)
{
	char *copy = kstrdup(options, 0), *at = copy;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	while (!err && at && *at) {
		char *next = strchr(at, ',');

		if (next)
			*next++ = '\0';
		if (*at)
			err = parse_option(s, at);
		at = next;
	}
	kfree(copy);
	return err;
}

static int remount(struct super_block *sb, u32 *flags, const char *options)
{
	struct tmpfs_super *s = tmpfs_super(sb), new = *s;
	int err = parse_options(&new, options);

	if (err)
		return err;
	if ((new.max_pages && (s64) new.max_pages < s->used_pages) ||
	    (new.max_inodes && (s64) new.max_inodes < s->used_inodes))
		return -EINVAL;
	s->max_pages = new.max_pages;
	s->max_inodes = new.max_inodes;
	WRITE_ONCE(s->huge, new.huge);
	return 0;
}

static int show_options(struct super_block *sb, char *to, size_t size)
{
	struct tmpfs_super *s = tmpfs_super(sb);
	int n = 0;

	if (s->max_pages)
		n += snprintf(to + n, size - (size_t)n, ",size=%lluk",
			      (unsigned long long)s->max_pages * 4);
	if (s->max_inodes)
		n += snprintf(to + n, size - (size_t)n, ",nr_inodes=%llu",
			      (unsigned long long)s->max_inodes);
	if (s->root_mode != 01777)
		n += snprintf(to + n, size - (size_t)n, ",mode=%o", s->root_mode);
	if (s->huge != HUGE_FILE_NEVER)
		n += snprintf(to + n, size - (size_t)n, ",huge=%s", huge_file_name(s->huge));
	return n;
}

static void shut_down(struct super_block *sb)
{
	kfree(sb->private);
}

static const struct super_ops super_ops = {
	.evict_inode = evict_inode,
	.free_inode = free_inode,
	.stats = stats,
	.remount = remount,
	.show_options = show_options,
	.shut_down = shut_down,
};

static int make_cache(void)
{
	static const struct slab_cache_info info = { .name = "tmpfs_inode",
						     .size = sizeof(struct tmpfs_inode),
						     .align = CACHE_LINE,
						     .account = true };

	if (!inode_cache)
		inode_cache = slab_cache_create(&info);
	return inode_cache ? 0 : -ENOMEM;
}
INIT_STEP(INIT_CORE, make_cache);

static int make_root(struct super_block *sb)
{
	struct tmpfs_super *s = tmpfs_super(sb);
	struct inode *i = tmpfs_inode_create(sb, NULL, S_IFDIR | s->root_mode);

	if (is_err(i))
		return (int)ptr_err(i);
	i->uid = s->root_uid;
	i->gid = s->root_gid;
	sb->root = dentry_create_root(i);
	return sb->root ? 0 : -ENOMEM;
}

struct super_block *tmpfs_mount(const struct fs_type *t, u32 flags, const char *source,
				const char *options)
{
	bool is_root = !strcmp(t->name, "rootfs");
	struct tmpfs_super *s = kzalloc(sizeof(*s), 0);
	struct memory_stats m;
	struct super_block *sb;
	int err;

	if (!s)
		return err_ptr(-ENOMEM);
	memory_stats_read(&m);
	if (!is_root) {
		s->max_pages = m.total / 2;
		s->max_inodes = m.total / 2;
	}
	s->root_mode = is_root ? 0755 : 01777;
	s->huge = HUGE_FILE_NEVER;
	err = parse_options(s, options ? options : "");
	sb = err ? NULL : super_create(t, &super_ops, flags);
	if (!sb) {
		kfree(s);
		return err_ptr(err ? err : -ENOMEM);
	}
	sb->private = s;
	err = make_root(sb);
	if (err) {
		super_put(sb);
		return err_ptr(err);
	}
	return sb;
}

static const struct fs_type tmpfs_type = { "tmpfs", FS_NODEV, tmpfs_mount };
static const struct fs_type rootfs_type = { "rootfs", FS_NODEV, tmpfs_mount };
REGISTER_FS(tmpfs_type);
REGISTER_FS(rootfs_type);
