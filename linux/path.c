/* Calls on names: link, unlink, rename, mkdir …; the working directory and the root. */
#include <nos/cred.h>
#include <nos/file.h>
#include <nos/string.h>
#include <nos/vfs.h>
#include "user_path.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#define PATH_BYTES 4096

/* ---- making ---- */

static long make_dir(int dirfd, const char __user *path, unsigned int mode)
{
	scoped_user_path p;
	int err = user_path_get(&p, path);

	return err ? err : vfs_mkdir_at(dirfd, p.text, mode);
}

long sys_mkdir(const char __user *path, unsigned int mode)
{
	return make_dir(AT_FDCWD, path, mode);
}

long sys_mkdirat(int dirfd, const char __user *path, unsigned int mode)
{
	return make_dir(dirfd, path, mode);
}

static long make_node(int dirfd, const char __user *path, unsigned int mode, unsigned int dev)
{
	scoped_user_path p;
	int err = user_path_get(&p, path);

	return err ? err : vfs_mknod_at(dirfd, p.text, mode, dev);
}

long sys_mknod(const char __user *path, unsigned int mode, unsigned int dev)
{
	return make_node(AT_FDCWD, path, mode, dev);
}

long sys_mknodat(int dirfd, const char __user *path, unsigned int mode, unsigned int dev)
{
	return make_node(dirfd, path, mode, dev);
}

static long make_symlink(const char __user *target, int dirfd, const char __user *path)
{
	scoped_user_path t;
	int err = user_path_get(&t, target);

	if (err)
		return err;
	scoped_user_path p;

	err = user_path_get(&p, path);
	return err ? err : vfs_symlink_at(t.text, dirfd, p.text);
}

long sys_symlink(const char __user *target, const char __user *path)
{
	return make_symlink(target, AT_FDCWD, path);
}

long sys_symlinkat(const char __user *target, int dirfd, const char __user *path)
{
	return make_symlink(target, dirfd, path);
}

/* ---- two names ---- */

static long make_link(int old_dirfd, const char __user *old, int new_dirfd, const char __user *new,
		      int flags)
{
	scoped_user_path from;
	int err = user_path_get(&from, old);

	if (err)
		return err;
	scoped_user_path to;

	err = user_path_get(&to, new);
	return err ? err : vfs_link_at(old_dirfd, from.text, new_dirfd, to.text, flags);
}

long sys_link(const char __user *old, const char __user *new)
{
	return make_link(AT_FDCWD, old, AT_FDCWD, new, 0);
}

long sys_linkat(int old_dirfd, const char __user *old, int new_dirfd, const char __user *new,
		int flags)
{
	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return make_link(old_dirfd, old, new_dirfd, new, flags);
}

static long rename_names(int old_dirfd, const char __user *old, int new_dirfd,
			 const char __user *new, unsigned int flags)
{
	scoped_user_path from;
	int err = user_path_get(&from, old);

	if (err)
		return err;
	scoped_user_path to;

	err = user_path_get(&to, new);
	return err ? err : vfs_rename_at(old_dirfd, from.text, new_dirfd, to.text, flags);
}

long sys_rename(const char __user *old, const char __user *new)
{
	return rename_names(AT_FDCWD, old, AT_FDCWD, new, 0);
}

long sys_renameat(int old_dirfd, const char __user *old, int new_dirfd, const char __user *new)
{
	return rename_names(old_dirfd, old, new_dirfd, new, 0);
}

long sys_renameat2(int old_dirfd, const char __user *old, int new_dirfd, const char __user *new,
		   unsigned int flags)
{
	if (!rename_flags_valid(flags))
		return -EINVAL;
	return rename_names(old_dirfd, old, new_dirfd, new, flags);
}

/* ---- removing ---- */

static long unlink_name(int dirfd, const char __user *path, int flags)
{
	scoped_user_path p;
	int err = user_path_get(&p, path);

	return err ? err : vfs_unlink_at(dirfd, p.text, flags);
}

long sys_unlink(const char __user *path)
{
	return unlink_name(AT_FDCWD, path, 0);
}

long sys_rmdir(const char __user *path)
{
	return unlink_name(AT_FDCWD, path, AT_REMOVEDIR);
}

long sys_unlinkat(int dirfd, const char __user *path, int flags)
{
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	return unlink_name(dirfd, path, flags);
}

/* ---- reading links ---- */

static long read_link(int dirfd, const char __user *path, void __user *buf, int size)
{
	scoped_user_path p;
	char *text;
	long n;

	p.large = NULL;
	if (size <= 0)
		return -EINVAL;
	n = user_path_get(&p, path);
	if (n)
		return n;
	text = kmalloc(PATH_BYTES, 0);
	if (!text)
		return -ENOMEM;
	n = vfs_readlink_at(dirfd, p.text, text, min((size_t)size, (size_t)PATH_BYTES));
	if (n > 0 && copy_to_user(buf, text, (size_t)n))
		n = -EFAULT;
	kfree(text);
	return n;
}

long sys_readlink(const char __user *path, void __user *buf, int size)
{
	return read_link(AT_FDCWD, path, buf, size);
}

long sys_readlinkat(int dirfd, const char __user *path, void __user *buf, int size)
{
	return read_link(dirfd, path, buf, size);
}

/* ---- where the process stands ---- */

static __noinline long getcwd_long(void __user *buf, unsigned long size)
{
	scoped_kfree char *large = kmalloc(PATH_BYTES, 0);
	char *name;
	size_t len;

	if (!large)
		return -ENOMEM;
	name = fs_context_format_cwd(fs_context_current(), large, PATH_BYTES);
	if (is_err(name))
		return ptr_err(name);
	len = (size_t)(large + PATH_BYTES - name);
	return len > size ? -ERANGE : copy_to_user(buf, name, len) ? -EFAULT : (long)len;
}

long sys_getcwd(void __user *buf, unsigned long size)
{
	char small[256];
	char *name = fs_context_format_cwd(fs_context_current(), small, sizeof(small));
	size_t len;

	if (unlikely(is_err(name)))
		return ptr_err(name) == -ENAMETOOLONG ? getcwd_long(buf, size) : ptr_err(name);
	len = (size_t)(small + sizeof(small) - name);
	return len > size ? -ERANGE : copy_to_user(buf, name, len) ? -EFAULT : (long)len;
}

static int enter_directory(const struct path *p)
{
	if ((p->dentry->inode->mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	return inode_permission(p->dentry->inode, MAY_EXEC);
}

static long change_place(const char __user *path, bool root)
{
	struct fs_context *fs = fs_context_current();
	scoped_user_path p;
	struct path at;
	int err = user_path_get(&p, path);

	if (!err)
		err = path_lookup(AT_FDCWD, p.text, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &at);
	if (err)
		return err;
	err = enter_directory(&at);
	if (!err && root && !capable(CAP_SYS_CHROOT))
		err = -EPERM;
	if (!err)
		err = root ? fs_context_set_root(fs, &at) : fs_context_set_cwd(fs, &at);
	path_put(&at);
	return err;
}

long sys_chdir(const char __user *path)
{
	return change_place(path, false);
}

long sys_chroot(const char __user *path)
{
	return change_place(path, true);
}

long sys_fchdir(int fd)
{
	scoped_fd r = fd_lookup_any(fd);
	int err;

	if (!r.file)
		return -EBADF;
	if (!r.file->path.dentry)
		return -ENOTDIR;
	err = enter_directory(&r.file->path);
	return err ? err : fs_context_set_cwd(fs_context_current(), &r.file->path);
}

long sys_umask(unsigned int mask)
{
	return (long)(__atomic_exchange_n(&fs_context_current()->umask, mask & 0777,
					  __ATOMIC_RELAXED));
}
