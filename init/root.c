/*
 * The first file system: an empty rootfs, then what the boot loader's
 * initramfs holds.  /dev/console is made here, so that init can open it before
 * it mounts anything.
 */
#include <nos/arch.h>
#include <nos/cpio.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/task.h>
#include <nos/vfs.h>

#include <linux/fcntl.h>
#include <linux/stat.h>

/* First names of files with several, for the later ones. */
struct link_name {
	struct link_name *next;
	u64 ino;
	char name[];
};

struct unpack {
	struct link_name *links;
	char path[4096 + 2];
	unsigned nr_entries;
};

static int root_mount(void)
{
	int err = vfs_mount_root(&init_mounts, &init_fs);

	if (err)
		panic("no root file system: error %d", -err);
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, root_mount);

/* Another name of a file that came before: 1 if it was linked. */
static int link_earlier(struct unpack *u, const struct cpio_entry *e)
{
	struct link_name *l;

	if (e->nlink < 2 || (e->mode & S_IFMT) == S_IFDIR)
		return 0;
	for (l = u->links; l; l = l->next)
		if (l->ino == e->ino)
			return vfs_link_at(AT_FDCWD, l->name, AT_FDCWD, u->path, 0) ?: 1;
	l = kmalloc(sizeof(*l) + strlen(u->path) + 1, 0);
	if (!l)
		return -ENOMEM;
	l->ino = e->ino;
	string_copy(l->name, u->path, strlen(u->path) + 1);
	l->next = u->links;
	u->links = l;
	return 0;
}

static int write_file(const char *path, const struct cpio_entry *e)
{
	struct file *f = file_open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_LARGEFILE, 0600, 0);
	u64 pos = 0;
	ssize_t n = 0;

	if (is_err(f))
		return (int)ptr_err(f);
	if (e->size)
		n = file_write_kernel(f, e->data, e->size, &pos);
	file_put(f);
	if (n < 0)
		return (int)n;
	return (u64)n == e->size ? 0 : -ENOSPC;
}

static int set_attributes(const char *path, const struct cpio_entry *e)
{
	struct inode_change c = { .valid = ATTR_UID | ATTR_GID | ATTR_MTIME,
				  .uid = e->uid,
				  .gid = e->gid,
				  .mtime.sec = e->mtime };
	struct inode_change mode = { .valid = ATTR_MODE, .mode = e->mode & 07777 };
	struct path p;
	int err = path_lookup(AT_FDCWD, path, 0, &p);

	if (err)
		return err;
	err = vfs_set_attributes(&p, &c);
	if (!err && (e->mode & S_IFMT) != S_IFLNK) /* after the owner, which clears set-id bits */
		err = vfs_set_attributes(&p, &mode);
	path_put(&p);
	return err;
}

static int make_link(const char *path, const struct cpio_entry *e)
{
	char *target;
	int err;

	if (!e->size || e->size >= 4096)
		return -EINVAL;
	target = kmalloc(e->size + 1, 0);
	if (!target)
		return -ENOMEM;
	memcpy(target, e->data, e->size);
	target[e->size] = '\0';
	err = vfs_symlink_at(target, AT_FDCWD, path);
	kfree(target);
	return err;
}

static int unpack_entry(const struct cpio_entry *e, void *arg)
{
	struct unpack *u = arg;
	const char *name = e->name;
	int err;

	while (*name == '/' || (name[0] == '.' && (name[1] == '/' || !name[1])))
		name++;
	u->nr_entries++;
	if (!*name)
		return 0;
	u->path[0] = '/';
	string_copy(u->path + 1, name, sizeof(u->path) - 1);
	err = link_earlier(u, e);
	if (err < 0)
		return err;
	if (err > 0)
		return (e->mode & S_IFMT) == S_IFREG && e->size ? write_file(u->path, e) : 0;
	switch (e->mode & S_IFMT) {
	case S_IFDIR:
		err = vfs_mkdir_at(AT_FDCWD, u->path, 0755);
		err = err == -EEXIST ? 0 : err;
		break;
	case S_IFREG:
		err = write_file(u->path, e);
		break;
	case S_IFLNK:
		(void)vfs_unlink_at(AT_FDCWD, u->path, 0);
		err = make_link(u->path, e);
		break;
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		(void)vfs_unlink_at(AT_FDCWD, u->path, 0);
		err = vfs_mknod_at(AT_FDCWD, u->path, e->mode, e->rdev);
		break;
	default:
		return -EINVAL;
	}
	if (!err)
		err = set_attributes(u->path, e);
	if (err)
		log_err("initramfs: %s: error %d", u->path, -err);
	return err == -ENOSPC || err == -ENOMEM ? err : 0;
}

static int initramfs_unpack(void)
{
	size_t len = boot_info.initrd_end - boot_info.initrd_start;
	struct unpack *u;
	int err;

	(void)vfs_mkdir_at(AT_FDCWD, "/dev", 0755);
	(void)vfs_mkdir_at(AT_FDCWD, "/root", 0700);
	(void)vfs_mknod_at(AT_FDCWD, "/dev/console", S_IFCHR | 0600, make_dev(5, 1));
	if (!boot_info.initrd_start || !len)
		return 0;
	u = kzalloc(sizeof(*u), 0);
	if (!u)
		return -ENOMEM;
	err = cpio_for_each(phys_to_virt(boot_info.initrd_start), len, unpack_entry, u);
	while (u->links) {
		struct link_name *l = u->links;

		u->links = l->next;
		kfree(l);
	}
	log_info("initramfs: %u entries", u->nr_entries);
	kfree(u);
	boot_memory_release(boot_info.initrd_start, boot_info.initrd_end);
	boot_info.initrd_start = boot_info.initrd_end = 0;
	return err;
}
INIT_STEP(INIT_LATE, initramfs_unpack);
