/* mount(2), umount2(2), pivot_root(2). */
#include <nos/cred.h>
#include <nos/file.h>
#include <nos/string.h>
#include <nos/vfs.h>
#include "user_path.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

/* A string that may be absent: NULL then. */
static int optional_string(struct user_path *p, const char __user *from, const char **text)
{
	int err = 0;

	p->large = NULL;
	*text = NULL;
	if (from) {
		err = user_path_get(p, from);
		*text = p->text;
	}
	return err == -ENAMETOOLONG ? -EINVAL : err;
}

long sys_mount(const char __user *source, const char __user *target, const char __user *type,
	       unsigned long flags, const void __user *data)
{
	struct user_path source_buffer, type_buffer, data_buffer, target_buffer;
	const char *source_text, *type_text, *options = NULL;
	struct path at;
	int err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	source_buffer.large = type_buffer.large = data_buffer.large = target_buffer.large = NULL;
	err = optional_string(&source_buffer, source, &source_text);
	if (!err)
		err = optional_string(&type_buffer, type, &type_text);
	if (!err && data)
		err = optional_string(&data_buffer, data, &options);
	if (!err)
		err = user_path_get(&target_buffer, target);
	if (!err)
		err = path_lookup(AT_FDCWD, target_buffer.text, LOOKUP_FOLLOW, &at);
	if (!err) {
		err = vfs_mount(source_text, &at, type_text, flags, options);
		path_put(&at);
	}
	user_path_end(&source_buffer);
	user_path_end(&type_buffer);
	user_path_end(&data_buffer);
	user_path_end(&target_buffer);
	return err;
}

#define UMOUNT_NOFOLLOW 8
#define UMOUNT_FLAGS 15

long sys_umount2(const char __user *target, int flags)
{
	scoped_user_path p;
	struct path at;
	int err;

	p.large = NULL;
	if (flags & ~UMOUNT_FLAGS)
		return -EINVAL;
	err = user_path_get(&p, target);
	if (!err)
		err = path_lookup(AT_FDCWD, p.text, flags & UMOUNT_NOFOLLOW ? 0 : LOOKUP_FOLLOW,
				  &at);
	if (err)
		return err;
	err = vfs_umount(&at, flags & ~UMOUNT_NOFOLLOW);
	path_put(&at);
	return err;
}

long sys_pivot_root(const char __user *new_root, const char __user *put_old)
{
	scoped_user_path new, old;
	struct path to, from;
	int err;

	new.large = old.large = NULL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	err = user_path_get(&new, new_root);
	if (!err)
		err = user_path_get(&old, put_old);
	if (!err)
		err = path_lookup(AT_FDCWD, new.text, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &to);
	if (err)
		return err;
	err = path_lookup(AT_FDCWD, old.text, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &from);
	if (!err) {
		err = vfs_pivot_root(&to, &from);
		path_put(&from);
	}
	path_put(&to);
	return err;
}
