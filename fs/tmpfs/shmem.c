/*
 * Memory as a file: memfd_create, System V segments, shared anonymous memory.
 * Files of one tmpfs that no namespace shows, without names.
 */
#include "tmpfs.h"

#include <linux/fs.h>
#include <nos/init.h>

static struct path shmem_root;

struct file *shmem_file_create(const char *name, u64 size, u32 seals, u32 flags)
{
	struct inode *i = tmpfs_inode_create(shmem_root.dentry->sb, NULL, S_IFREG | 0777);
	const struct cred *c = cred_current();
	struct file *f;

	if (is_err(i))
		return err_ptr(ptr_err(i));
	i->uid = c->fsuid;
	i->gid = c->fsgid;
	i->nlink = 0;
	i->size = size;
	tmpfs_inode(i)->seals = seals;
	f = file_create_unnamed(&shmem_root, i, name, O_RDWR | O_LARGEFILE | flags);
	return f;
}

int file_get_seals(struct file *f)
{
	if (f->ops != &tmpfs_file_ops)
		return -EINVAL;
	return (int)READ_ONCE(tmpfs_inode(f->inode)->seals);
}

int file_add_seals(struct file *f, u32 seals)
{
	struct inode *i = f->inode;
	struct tmpfs_inode *t;

	if (f->ops != &tmpfs_file_ops || (seals & ~(u32)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
							 F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return -EINVAL;
	if (!(f->mode & FILE_WRITE))
		return -EPERM;
	t = tmpfs_inode(i);
	scoped_write(&i->lock);
	if (t->seals & F_SEAL_SEAL)
		return -EPERM;
	if ((seals & F_SEAL_WRITE) && !(t->seals & F_SEAL_WRITE) &&
	    READ_ONCE(i->cache.nr_writable_shared))
		return -EBUSY;
	t->seals |= seals;
	return 0;
}

static int shmem_init(void)
{
	static const struct fs_type type = { "tmpfs", FS_NODEV, tmpfs_mount };
	struct super_block *sb = tmpfs_mount(&type, 0, "shm", "size=0,nr_inodes=0");

	if (is_err(sb))
		return (int)ptr_err(sb);
	tmpfs_super(sb)->huge = HUGE_FILE_SYSTEM;
	/* Programs are run out of memfd_create's files, and code is mapped from them. */
	return path_of_internal_mount(sb, MS_NOSUID | MS_NODEV, &shmem_root);
}
INIT_STEP(INIT_SUBSYSTEM, shmem_init);
