/* Private to fs/tmpfs. */
#pragma once

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/huge.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/vfs.h>

#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

struct tmpfs_super {
	u64 max_pages, max_inodes; /* 0: no limit */
	s64 used_pages, used_inodes; /* atomic */
	u32 root_mode, root_uid, root_gid;
	enum huge_file huge;
};

struct tmpfs_inode {
	struct inode inode;
	struct list xattrs; /* under inode.lock */
	u64 accounted; /* pages counted in the super block; under inode.spin */
	u64 next_offset; /* directory: position of the next new entry */
	u32 seals; /* F_SEAL_*; under inode.lock */
};

static inline struct tmpfs_inode *tmpfs_inode(struct inode *i)
{
	return container_of(i, struct tmpfs_inode, inode);
}

static inline struct tmpfs_super *tmpfs_super(struct super_block *sb)
{
	return sb->private;
}

/* A new inode of mode's type, owned as a child of dir (NULL: by the caller).  ERR. */
struct inode *tmpfs_inode_create(struct super_block *sb, const struct inode *dir, u32 mode);
struct super_block *tmpfs_mount(const struct fs_type *t, u32 flags, const char *source,
				const char *options);
/* Brings the super block's count and st_blocks up to date with the pages that the file has. */
void tmpfs_settle(struct inode *i);
int tmpfs_set_attributes(struct inode *i, const struct inode_change *c);

ssize_t tmpfs_get_xattr(struct inode *i, const char *name, void *to, size_t size);
int tmpfs_set_xattr(struct inode *i, const char *name, const void *v, size_t size, int flags);
ssize_t tmpfs_list_xattr(struct inode *i, char *to, size_t size);
void tmpfs_free_xattrs(struct tmpfs_inode *t);

extern const struct file_ops tmpfs_file_ops, tmpfs_dir_ops;
extern const struct inode_ops tmpfs_file_inode_ops;
extern const struct page_cache_ops tmpfs_cache_ops;
