/* inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2). */
#include <nos/file.h>
#include <nos/vfs.h>
#include "user_path.h"

#include <linux/fcntl.h>
#include <linux/inotify.h>

static long make_instance(int flags)
{
	struct file *f;

	if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
		return -EINVAL;
	f = inotify_create((u32)flags & O_NONBLOCK);
	return is_err(f) ? ptr_err(f) : fd_add(f, (u32)flags & O_CLOEXEC);
}

long sys_inotify_init(void)
{
	return make_instance(0);
}

long sys_inotify_init1(int flags)
{
	return make_instance(flags);
}

#define OPTIONS                                                                                    \
	(IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ONESHOT)
#define KNOWN (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR | OPTIONS)

long sys_inotify_add_watch(int fd, const char __user *path, unsigned int mask)
{
	scoped_fd r = fd_lookup(fd);
	scoped_user_path p;
	struct path at;
	u32 lookup = 0;
	int err;

	p.large = NULL;
	if (!(mask & KNOWN) || (mask & ~KNOWN))
		return -EINVAL;
	if (!r.file)
		return -EBADF;
	if (((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)) || !file_is_inotify(r.file))
		return -EINVAL;
	if (!(mask & IN_DONT_FOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (mask & IN_ONLYDIR)
		lookup |= LOOKUP_DIRECTORY;
	err = user_path_get(&p, path);
	if (!err)
		err = path_lookup(AT_FDCWD, p.text, lookup, &at);
	if (err)
		return err;
	err = inode_permission(at.dentry->inode, MAY_READ);
	if (!err)
		err = inotify_add(r.file, &at, mask);
	path_put(&at);
	return err;
}

long sys_inotify_rm_watch(int fd, int wd)
{
	scoped_fd r = fd_lookup(fd);

	return r.file ? inotify_remove(r.file, wd) : -EBADF;
}
