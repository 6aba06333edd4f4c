/*
 * Directory trees of pseudo files.
 *
 * A directory inode carries its path; a lookup asks the registry for a file of
 * that name, or for any path that goes on below it.  Inode numbers are hashes
 * of the path, so that they stay the same.
 */
#include "internal.h"

#include <nos/file.h>
#include <nos/pseudo.h>

#define PATH_BYTES 256

static const struct inode_ops tree_dir_ops, tree_file_ops, tree_link_ops;
static const struct file_ops tree_dir_file_ops;

struct search {
	const char *path;
	size_t len;
	const struct pseudo_file *file;
	bool is_dir;
};

static void match(const struct pseudo_file *p, void *arg)
{
	struct search *s = arg;

	if (p->path[s->len] == '\0')
		s->file = p;
	else if (p->path[s->len] == '/')
		s->is_dir = true;
}

static int set_attributes(struct inode *i, const struct inode_change *c)
{
	return c->valid & ATTR_SIZE ? 0 : -EPERM;
}

struct inode *pseudo_tree_inode(struct super_block *sb, const char *path)
{
	struct search s = { .path = path, .len = strlen(path) };

	pseudo_file_for_each(path, match, &s);
	if (!s.file && !s.is_dir)
		return err_ptr(-ENOENT);

	u64 ino = hash_bytes(path, s.len, 0) | 1ull << 32;
	struct inode *i;

	if (!s.file) {
		char *copy = kstrdup(path, 0);

		i = copy ? inode_create(sb, ino, S_IFDIR | 0555) : NULL;
		if (!i) {
			kfree(copy);
			return err_ptr(-ENOMEM);
		}
		i->private = copy;
		i->ops = &tree_dir_ops;
		i->file_ops = &tree_dir_file_ops;
		i->nlink = 2;
		return i;
	}

	u32 mode = s.file->mode ? s.file->mode & 07777 : 0444;

	i = inode_create(sb, ino, s.file->link ? S_IFLNK | 0777 : S_IFREG | mode);
	if (!i)
		return err_ptr(-ENOMEM);
	i->private = (void *)(uintptr_t)s.file;
	i->ops = s.file->link ? &tree_link_ops : &tree_file_ops;
	i->file_ops = s.file->ops ? s.file->ops : &pseudo_file_ops;
	return i;
}

void pseudo_tree_evict(struct inode *i)
{
	if (i->ops == &tree_dir_ops)
		kfree(i->private);
}

static int lookup(struct inode *dir, struct dentry *d)
{
	char path[PATH_BYTES];
	struct inode *i;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", (const char *)dir->private, d->name) >=
	    sizeof(path))
		return -ENOENT;
	i = pseudo_tree_inode(dir->sb, path);
	if (is_err(i))
		return (int)ptr_err(i);
	dentry_set_inode(d, i);
	return 0;
}

static const char *get_link(struct inode *i, char **to_free)
{
	return ((const struct pseudo_file *)i->private)->link;
}

static const struct inode_ops tree_dir_ops = {
	.lookup = lookup,
	.set_attributes = set_attributes,
};
static const struct inode_ops tree_file_ops = { .set_attributes = set_attributes };
static const struct inode_ops tree_link_ops = {
	.get_link = get_link,
	.set_attributes = set_attributes,
};

/* ---- listing ---- */

#define LIST_NAMES 512

struct names {
	size_t prefix_len;
	u32 nr;
	struct {
		const char *name;
		u32 len;
		u8 type;
	} item[LIST_NAMES];
};

static void collect(const struct pseudo_file *p, void *arg)
{
	struct names *n = arg;
	const char *name = p->path + n->prefix_len;
	const char *slash;
	u32 len;

	if (*name != '/')
		return;
	name++;
	slash = strchr(name, '/');
	len = slash ? (u32)(slash - name) : (u32)strlen(name);
	for (u32 i = 0; i < n->nr; i++)
		if (n->item[i].len == len && !memcmp(n->item[i].name, name, len))
			return;
	if (n->nr == LIST_NAMES)
		return;
	n->item[n->nr].name = name;
	n->item[n->nr].len = len;
	n->item[n->nr].type = slash ? 4 : p->link ? 10 : 8;
	n->nr++;
}

bool pseudo_tree_list(const char *path, struct dir_context *c, u64 *position, u64 first)
{
	struct names *n = kmalloc(sizeof(*n), 0);
	bool all = true;

	if (!n)
		return true;
	n->prefix_len = strlen(path);
	n->nr = 0;
	pseudo_file_for_each(path, collect, n);
	while (all && *position - first < n->nr) {
		u32 k = (u32)(*position - first);
		char full[PATH_BYTES];

		snprintf(full, sizeof(full), "%s/%.*s", path, (int)n->item[k].len, n->item[k].name);
		all = c->add(c, n->item[k].name, n->item[k].len,
			     hash_bytes(full, strlen(full), 0) | 1ull << 32, n->item[k].type,
			     *position + 1);
		if (all)
			++*position;
	}
	kfree(n);
	return all;
}

static int iterate(struct file *f, struct dir_context *c)
{
	if (f->position == 0) {
		if (!c->add(c, ".", 1, f->inode->ino, 4, 1))
			return 0;
		f->position = 1;
	}
	if (f->position == 1) {
		if (!c->add(c, "..", 2, f->path.dentry->parent->inode->ino, 4, 2))
			return 0;
		f->position = 2;
	}
	pseudo_tree_list(f->inode->private, c, &f->position, 2);
	return 0;
}

static const struct file_ops tree_dir_file_ops = {
	.iterate = iterate,
	.seek = file_seek_generic,
};
