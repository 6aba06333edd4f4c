/* Extended attributes of tmpfs: a list on the inode. */
#include "tmpfs.h"

#include <linux/xattr.h>

#define XATTR_VALUE_MAX 65536

struct xattr {
	struct list node;
	size_t size;
	char *value; /* behind the name */
	char name[];
};

static struct xattr *find(struct tmpfs_inode *t, const char *name)
{
	struct xattr *x;

	list_for_each(x, &t->xattrs, node)
		if (!strcmp(x->name, name))
			return x;
	return NULL;
}

ssize_t tmpfs_get_xattr(struct inode *i, const char *name, void *to, size_t size)
{
	struct xattr *x;

	scoped_read(&i->lock);
	x = find(tmpfs_inode(i), name);
	if (!x)
		return -ENODATA;
	if (size) {
		if (x->size > size)
			return -ERANGE;
		memcpy(to, x->value, x->size);
	}
	return (ssize_t)x->size;
}

int tmpfs_set_xattr(struct inode *i, const char *name, const void *v, size_t size, int flags)
{
	struct tmpfs_inode *t = tmpfs_inode(i);
	struct xattr *old = find(t, name), *x = NULL;
	size_t name_len = strlen(name);

	if (old && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!old && (flags & XATTR_REPLACE))
		return -ENODATA;
	if (v) {
		if (size > XATTR_VALUE_MAX)
			return -E2BIG;
		x = kmalloc(sizeof(*x) + name_len + 1 + size, 0);
		if (!x)
			return -ENOMEM;
		memcpy(x->name, name, name_len + 1);
		x->value = x->name + name_len + 1;
		x->size = size;
		memcpy(x->value, v, size);
		list_push_back(&t->xattrs, &x->node);
	}
	if (old) {
		list_remove(&old->node);
		kfree(old);
	}
	return 0;
}

ssize_t tmpfs_list_xattr(struct inode *i, char *to, size_t size)
{
	struct xattr *x;
	size_t n = 0;

	scoped_read(&i->lock);
	list_for_each(x, &tmpfs_inode(i)->xattrs, node) {
		size_t len = strlen(x->name) + 1;

		if (size) {
			if (n + len > size)
				return -ERANGE;
			memcpy(to + n, x->name, len);
		}
		n += len;
	}
	return (ssize_t)n;
}

void tmpfs_free_xattrs(struct tmpfs_inode *t)
{
	struct list *n;

	while ((n = list_pop_front(&t->xattrs)))
		kfree(list_entry(n, struct xattr, node));
}
