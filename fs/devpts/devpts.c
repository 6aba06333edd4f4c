/*
 * devpts: the names of pty slaves.
 *
 * Every mount is an instance of its own (mount option newinstance, the only
 * behaviour since Linux 4.7): a table from numbers to inodes, and a node
 * "ptmx".  The driver adds and removes slaves (<nos/devpts.h>); names are looked
 * up in the table and revalidated at each use, so that nothing need be told to
 * the dentry cache.  An inode stays in the table while its slave lives, which
 * keeps the owner and mode that chown and chmod gave it.
 *
 * Locking.  One mutex an instance (rank DRIVER: below directory locks) guards
 * its table.
 *
 * References: the kernel's Documentation/filesystems/devpts (options), pts(4).
 */
#include <nos/devpts.h>
#include <nos/assert.h>
#include <nos/cred.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <linux/stat.h>

#define DEVPTS_MAX 4096u
#define DEVPTS_FIRST_INO 3u

struct devpts_slot {
	struct inode *inode; /* NULL: reserved */
	void *private;
	bool used;
};

struct devpts {
	struct mutex lock;
	u32 size; /* of the table; grows */
	struct devpts_slot *slots;
	struct inode *ptmx;
	u32 mode, ptmx_mode, uid, gid, max;
	bool has_uid, has_gid;
};

static const struct fs_type devpts_type;

static struct devpts *devpts_of(const struct super_block *sb)
{
	return sb->private;
}

/* ---- options ---- */

static int devpts_set_option(struct devpts *d, const char *key, size_t len, u64 value)
{
	static const struct {
		const char *name;
		size_t offset;
	} numbers[] = {
		{ "mode", offsetof(struct devpts, mode) },
		{ "ptmxmode", offsetof(struct devpts, ptmx_mode) },
		{ "uid", offsetof(struct devpts, uid) },
		{ "gid", offsetof(struct devpts, gid) },
		{ "max", offsetof(struct devpts, max) },
	};

	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (strlen(numbers[i].name) != len || strncmp(numbers[i].name, key, len) != 0)
			continue;
		if (i < 2)
			value &= 07777;
		*(u32 *)((char *)d + numbers[i].offset) = (u32)value;
		d->has_uid |= i == 2;
		d->has_gid |= i == 3;
		return 0;
	}
	return -EINVAL;
}

/* "newinstance,gid=5,mode=620,ptmxmode=666" */
static int devpts_parse(struct devpts *d, const char *options)
{
	while (options && *options) {
		const char *comma = strchr(options, ',');
		size_t len = comma ? (size_t)(comma - options) : strlen(options);
		char one[32];
		char *value;
		u64 number;
		int err;

		if (len >= sizeof(one))
			return -EINVAL;
		memcpy(one, options, len);
		one[len] = '\0';
		options += len + (comma != NULL);
		value = strchr(one, '=');
		if (len == 0 || !strcmp(one, "newinstance"))
			continue;
		if (!value)
			return -EINVAL;
		*value++ = '\0';
		err = string_to_u64(value, strstr(one, "mode") ? 8 : 10, &number);
		if (err || number > U32_MAX)
			return -EINVAL;
		err = devpts_set_option(d, one, strlen(one), number);
		if (err)
			return err;
	}
	d->max = min(d->max, DEVPTS_MAX);
	return 0;
}

static int devpts_show_options(struct super_block *sb, char *to, size_t size)
{
	struct devpts *d = devpts_of(sb);
	int n = 0;

	if (d->has_uid)
		n += snprintf(to + n, size - (size_t)n, ",uid=%u", d->uid);
	if (d->has_gid)
		n += snprintf(to + n, size - (size_t)n, ",gid=%u", d->gid);
	n += snprintf(to + n, size - (size_t)n, ",mode=%03o,ptmxmode=%03o", d->mode, d->ptmx_mode);
	return n;
}

static int devpts_remount(struct super_block *sb, u32 *flags, const char *options)
{
	struct devpts *d = devpts_of(sb);
	int err = devpts_parse(d, options);

	if (!err)
		d->ptmx->mode = S_IFCHR | d->ptmx_mode;
	return err;
}

/* ---- the directory ---- */

/* The inode of a name, referenced, or NULL. */
static struct inode *devpts_named(struct devpts *d, const char *name)
{
	struct inode *i = NULL;
	u64 index;

	if (!strcmp(name, "ptmx")) {
		inode_get(d->ptmx);
		return d->ptmx;
	}
	if (string_to_u64(name, 10, &index) || (name[0] == '0' && name[1]))
		return NULL;
	scoped_mutex(&d->lock);
	if (index < d->size)
		i = d->slots[index].inode;
	if (i)
		inode_get(i);
	return i;
}

static int devpts_lookup(struct inode *dir, struct dentry *dentry)
{
	struct inode *i = devpts_named(devpts_of(dir->sb), dentry->name);

	if (i)
		dentry_set_inode(dentry, i);
	return 0;
}

static bool devpts_revalidate(struct dentry *dentry)
{
	struct inode *i;
	bool valid;

	if (dentry->parent == dentry)
		return true;
	i = devpts_named(devpts_of(dentry->sb), dentry->name);
	valid = i == dentry->inode;
	if (i)
		inode_put(i);
	return valid;
}

static int devpts_iterate(struct file *f, struct dir_context *c)
{
	struct devpts *d = devpts_of(f->inode->sb);

	if (f->position == 0) {
		if (!c->add(c, ".", 1, f->inode->ino, 4, 1))
			return 0;
		f->position = 1;
	}
	if (f->position == 1) {
		if (!c->add(c, "..", 2, f->inode->ino, 4, 2))
			return 0;
		f->position = 2;
	}
	if (f->position == 2) {
		if (!c->add(c, "ptmx", 4, d->ptmx->ino, 2, 3))
			return 0;
		f->position = 3;
	}
	for (u64 n = f->position - 3; n < READ_ONCE(d->size); n++) {
		char name[16];
		struct inode *i;
		bool more;

		snprintf(name, sizeof(name), "%u", (u32)n);
		i = devpts_named(d, name);
		f->position = n + 3;
		if (!i)
			continue;
		more = c->add(c, name, (u32)strlen(name), i->ino, 2, n + 4);
		inode_put(i);
		if (!more)
			return 0;
		f->position = n + 4;
	}
	return 0;
}

static s64 devpts_seek(struct file *f, s64 offset, int whence)
{
	if (whence == 1)
		offset += (s64)f->position;
	else if (whence != 0)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	f->position = (u64)offset;
	return offset;
}

static const struct inode_ops devpts_dir_ops = {
	.lookup = devpts_lookup,
	.revalidate = devpts_revalidate,
};
static const struct file_ops devpts_dir_file_ops = {
	.iterate = devpts_iterate,
	.seek = devpts_seek,
};
static const struct inode_ops devpts_node_ops = {};

/* ---- mounting ---- */

static int devpts_stats(struct super_block *sb, struct fs_stats *s)
{
	s->type = DEVPTS_SUPER_MAGIC;
	s->block_size = PAGE_SIZE;
	s->name_max = 255;
	return 0;
}

static void devpts_free(struct devpts *d)
{
	if (d->ptmx)
		inode_put(d->ptmx);
	for (u32 n = 0; n < d->size; n++)
		if (d->slots[n].inode)
			inode_put(d->slots[n].inode);
	kfree(d->slots);
	kfree(d);
}

static void devpts_shut_down(struct super_block *sb)
{
	devpts_free(devpts_of(sb));
	sb->private = NULL;
}

static const struct super_ops devpts_super_ops = {
	.stats = devpts_stats,
	.remount = devpts_remount,
	.show_options = devpts_show_options,
	.shut_down = devpts_shut_down,
};

/* The root and "ptmx" of a new instance; 0 or -ENOMEM. */
static int devpts_fill(struct super_block *sb, struct devpts *d)
{
	struct inode *root = inode_create(sb, 1, S_IFDIR | 0755);

	d->ptmx = inode_create(sb, 2, S_IFCHR | d->ptmx_mode);
	if (!root || !d->ptmx) {
		if (root)
			inode_put(root);
		return -ENOMEM;
	}
	d->ptmx->rdev = make_dev(TTYAUX_MAJOR, 2);
	d->ptmx->ops = &devpts_node_ops;
	root->ops = &devpts_dir_ops;
	root->file_ops = &devpts_dir_file_ops;
	root->nlink = 2;
	sb->root = dentry_create_root(root);
	return sb->root ? 0 : -ENOMEM;
}

static struct super_block *devpts_mount(const struct fs_type *t, u32 flags, const char *source,
					const char *options)
{
	struct devpts *d = kzalloc(sizeof(*d), 0);
	struct super_block *sb;
	int err;

	if (!d)
		return err_ptr(-ENOMEM);
	*d = (struct devpts){ .mode = 0600, .max = DEVPTS_MAX };
	mutex_init(&d->lock, RANK_DRIVER);
	err = devpts_parse(d, options);
	sb = err ? NULL : super_create(t, &devpts_super_ops, flags);
	if (!sb) {
		devpts_free(d);
		return err_ptr(err ? err : -ENOMEM);
	}
	sb->private = d;
	sb->dentry_ops = &devpts_dir_ops;
	err = devpts_fill(sb, d);
	if (err) {
		super_put(sb);
		return err_ptr(err);
	}
	return sb;
}

static const struct fs_type devpts_type = {
	.name = "devpts",
	.flags = FS_NODEV,
	.mount = devpts_mount,
};
REGISTER_FS(devpts_type);

/* ---- for the driver ---- */

static bool path_is_devpts_root(const struct path *p)
{
	return p->dentry->sb->type == &devpts_type && p->dentry == p->dentry->sb->root;
}

int devpts_find(struct file *ptmx, struct path *root)
{
	struct path parent = { .mount = ptmx->path.mount, .dentry = ptmx->path.dentry->parent };
	int err;

	if (ptmx->inode->sb->type == &devpts_type) {
		root->mount = ptmx->path.mount;
		root->dentry = ptmx->inode->sb->root;
		path_get(root);
		return 0;
	}
	err = path_lookup_from(&parent, "pts", LOOKUP_DIRECTORY, root);
	if (err)
		return -ENODEV;
	if (!path_is_devpts_root(root)) {
		path_put(root);
		return -ENODEV;
	}
	return 0;
}

static int devpts_grow_locked(struct devpts *d)
{
	u32 size = max(16u, d->size * 2);
	struct devpts_slot *slots = krealloc(d->slots, size * sizeof(*slots), 0);

	if (!slots)
		return -ENOMEM;
	memset(slots + d->size, 0, (size - d->size) * sizeof(*slots));
	d->slots = slots;
	WRITE_ONCE(d->size, size);
	return 0;
}

int devpts_reserve(const struct path *root)
{
	struct devpts *d = devpts_of(root->dentry->sb);

	scoped_mutex(&d->lock);
	for (u32 n = 0; n < d->max; n++) {
		if (n == d->size && devpts_grow_locked(d))
			return -ENOMEM;
		if (!d->slots[n].used) {
			d->slots[n].used = true;
			return (int)n;
		}
	}
	return -ENOSPC;
}

int devpts_add(const struct path *root, u32 index, void *private)
{
	struct devpts *d = devpts_of(root->dentry->sb);
	const struct cred *c = cred_current();
	struct inode *i =
		inode_create(root->dentry->sb, DEVPTS_FIRST_INO + index, S_IFCHR | d->mode);

	if (!i)
		return -ENOMEM;
	i->rdev = make_dev(UNIX98_PTY_SLAVE_MAJOR, index);
	i->ops = &devpts_node_ops;
	i->uid = d->has_uid ? d->uid : c->fsuid;
	i->gid = d->has_gid ? d->gid : c->fsgid;
	scoped_mutex(&d->lock);
	ASSERT(index < d->size && d->slots[index].used && !d->slots[index].inode);
	d->slots[index].inode = i;
	d->slots[index].private = private;
	return 0;
}

/* Without a terminal there is no table of them. */
static void devpts_shrink_locked(struct devpts *d)
{
	for (u32 n = 0; n < d->size; n++)
		if (d->slots[n].used)
			return;
	kfree(d->slots);
	d->slots = NULL;
	WRITE_ONCE(d->size, 0);
}

void devpts_remove(const struct path *root, u32 index)
{
	struct devpts *d = devpts_of(root->dentry->sb);
	struct inode *i;

	mutex_lock(&d->lock);
	i = d->slots[index].inode;
	d->slots[index] = (struct devpts_slot){ 0 };
	devpts_shrink_locked(d);
	mutex_unlock(&d->lock);
	if (i) {
		i->nlink = 0;
		inode_put(i);
	}
}

void *devpts_private(struct inode *i, void (*get)(void *private))
{
	struct devpts *d;
	void *private = NULL;

	if (i->sb->type != &devpts_type)
		return NULL;
	d = devpts_of(i->sb);
	scoped_mutex(&d->lock);

	u32 n = dev_minor(i->rdev);

	if (n < d->size && d->slots[n].inode == i)
	private = d->slots[n].private;
	if (private)
		get(private);
	return private;
}
