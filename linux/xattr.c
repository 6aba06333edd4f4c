/* Extended attributes (xattr(7)). */
#include <nos/file.h>
#include <nos/string.h>
#include <nos/vfs.h>
#include "user_path.h"

#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/xattr.h>

/* What the calls work on: a name, or a descriptor. */
struct target {
	struct path path;
	struct fd_ref fd;
};

static int target_name(struct target *t, const char __user *path, bool follow)
{
	scoped_user_path p;
	int err = user_path_get(&p, path);

	t->fd = (struct fd_ref){ 0 };
	return err ? err : path_lookup(AT_FDCWD, p.text, follow ? LOOKUP_FOLLOW : 0, &t->path);
}

static int target_fd(struct target *t, int fd)
{
	t->fd = fd_lookup(fd);
	if (!t->fd.file)
		return -EBADF;
	t->path = t->fd.file->path;
	path_get(&t->path);
	return 0;
}

static void target_end(struct target *t)
{
	path_put(&t->path);
	fd_release(t->fd);
}

static int name_get(char name[XATTR_NAME_MAX + 1], const char __user *from)
{
	ssize_t n = string_from_user(name, from, XATTR_NAME_MAX + 1);

	if (n < 0)
		return (int)n;
	return n == 0 || n > XATTR_NAME_MAX ? -ERANGE : 0;
}

static long set_on(struct target *t, const char __user *name_arg, const void __user *value,
		   size_t size, int flags)
{
	char name[XATTR_NAME_MAX + 1];
	void *copy;
	int err;

	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	err = name_get(name, name_arg);
	if (err)
		return err;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	copy = kmalloc(size + 1, 0);
	if (!copy)
		return -ENOMEM;
	err = copy_from_user(copy, value, size) ? -EFAULT :
						  vfs_set_xattr(&t->path, name, copy, size, flags);
	kfree(copy);
	return err;
}

static long get_on(struct target *t, const char __user *name_arg, void __user *value, size_t size)
{
	char name[XATTR_NAME_MAX + 1];
	void *copy;
	long n = name_get(name, name_arg);

	if (n)
		return n;
	size = min(size, (size_t)XATTR_SIZE_MAX);
	copy = kmalloc(size + 1, 0);
	if (!copy)
		return -ENOMEM;
	n = vfs_get_xattr(&t->path, name, copy, size);
	if (n > 0 && size && copy_to_user(value, copy, (size_t)n))
		n = -EFAULT;
	kfree(copy);
	return n;
}

static long list_on(struct target *t, void __user *list, size_t size)
{
	char *copy;
	long n;

	size = min(size, (size_t)XATTR_LIST_MAX);
	copy = kmalloc(size + 1, 0);
	if (!copy)
		return -ENOMEM;
	n = vfs_list_xattr(&t->path, copy, size);
	if (n > 0 && size && copy_to_user(list, copy, (size_t)n))
		n = -EFAULT;
	kfree(copy);
	return n;
}

static long remove_on(struct target *t, const char __user *name_arg)
{
	char name[XATTR_NAME_MAX + 1];
	int err = name_get(name, name_arg);

	return err ? err : vfs_set_xattr(&t->path, name, NULL, 0, XATTR_REPLACE);
}

/* The three forms of each call differ in how the file is named. */
#define ON_TARGET(find, call)                                                                      \
	({                                                                                         \
		struct target t;                                                                   \
		long _n = (find);                                                                  \
		if (!_n) {                                                                         \
			_n = (call);                                                               \
			target_end(&t);                                                            \
		}                                                                                  \
		_n;                                                                                \
	})

long sys_setxattr(const char __user *path, const char __user *name, const void __user *value,
		  size_t size, int flags)
{
	return ON_TARGET(target_name(&t, path, true), set_on(&t, name, value, size, flags));
}

long sys_lsetxattr(const char __user *path, const char __user *name, const void __user *value,
		   size_t size, int flags)
{
	return ON_TARGET(target_name(&t, path, false), set_on(&t, name, value, size, flags));
}

long sys_fsetxattr(int fd, const char __user *name, const void __user *value, size_t size,
		   int flags)
{
	return ON_TARGET(target_fd(&t, fd), set_on(&t, name, value, size, flags));
}

long sys_getxattr(const char __user *path, const char __user *name, void __user *value, size_t size)
{
	return ON_TARGET(target_name(&t, path, true), get_on(&t, name, value, size));
}

long sys_lgetxattr(const char __user *path, const char __user *name, void __user *value,
		   size_t size)
{
	return ON_TARGET(target_name(&t, path, false), get_on(&t, name, value, size));
}

long sys_fgetxattr(int fd, const char __user *name, void __user *value, size_t size)
{
	return ON_TARGET(target_fd(&t, fd), get_on(&t, name, value, size));
}

long sys_listxattr(const char __user *path, void __user *list, size_t size)
{
	return ON_TARGET(target_name(&t, path, true), list_on(&t, list, size));
}

long sys_llistxattr(const char __user *path, void __user *list, size_t size)
{
	return ON_TARGET(target_name(&t, path, false), list_on(&t, list, size));
}

long sys_flistxattr(int fd, void __user *list, size_t size)
{
	return ON_TARGET(target_fd(&t, fd), list_on(&t, list, size));
}

long sys_removexattr(const char __user *path, const char __user *name)
{
	return ON_TARGET(target_name(&t, path, true), remove_on(&t, name));
}

long sys_lremovexattr(const char __user *path, const char __user *name)
{
	return ON_TARGET(target_name(&t, path, false), remove_on(&t, name));
}

long sys_fremovexattr(int fd, const char __user *name)
{
	return ON_TARGET(target_fd(&t, fd), remove_on(&t, name));
}
