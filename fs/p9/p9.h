/* Inodes and mounts of the 9P file system.  Private to fs/p9. */
#pragma once

#include <nos/file.h>
#include <nos/vfs.h>

#include "client.h"

struct p9_inode {
	struct inode inode; /* first */
	u32 fid; /* walked, never opened */
	u32 read_fid; /* opened for reading by the page cache, or P9_NO_FID */
	u32 write_fid; /* opened for writing by write-back, or P9_NO_FID */
	u32 version; /* qid version of the cached pages */
	struct mutex fid_lock;
	struct p9_inode *hash_next;
	struct p9_names *names; /* directory: what was listed last, see ahead.c */
};

#define P9_HASH_BITS 12
#define P9_RECENT_LISTS 64

struct p9_mount {
	struct list node; /* of all mounts */
	struct p9_client *client;
	bool loose; /* the host's tree does not change: nothing is revalidated */
	struct spinlock lock; /* hash */
	struct p9_inode *hash[1 << P9_HASH_BITS]; /* by qid path */
	struct spinlock names_lock;
	struct p9_inode *recent[P9_RECENT_LISTS]; /* directories that keep names */
	u64 names_clock; /* counts uses of lists */
};

static inline struct p9_inode *p9_inode(struct inode *i)
{
	return container_of(i, struct p9_inode, inode);
}
static inline struct p9_mount *p9_mount(const struct super_block *sb)
{
	return sb->private;
}
static inline struct p9_client *p9_client_of(const struct inode *i)
{
	return p9_mount(i->sb)->client;
}

/* The inode behind a walked fid, from the table or new (attributes are fetched); takes the fid over,
 * also on error.  ERR. */
struct inode *p9_inode_get(struct super_block *sb, u32 fid);
/* The same with attributes that are known. */
struct inode *p9_inode_install(struct super_block *sb, u32 fid, const struct p9_attributes *a);
void p9_inode_update(struct inode *i, const struct p9_attributes *a);
int p9_inode_refresh(struct inode *i); /* getattr; changed contents leave the page cache */
void p9_inode_unhash(struct p9_inode *p);
int p9_inode_open_fid(struct inode *i, bool for_write, u32 *fid);

/* The loose ones have neither get_attributes nor revalidate, which keeps walks and stat quick. */
extern const struct inode_ops p9_dir_inode_ops, p9_file_inode_ops, p9_symlink_inode_ops;
extern const struct inode_ops p9_dir_loose_ops, p9_file_loose_ops, p9_symlink_loose_ops;
extern const struct file_ops p9_file_ops, p9_dir_ops;
const struct page_cache_ops *p9_page_cache_ops(u64 size);

/* ---- ahead.c: names looked up before they are asked for ---- */
/* One piece of a listing, as Rreaddir lays it out; first: the listing starts anew. */
void p9_names_listed(struct inode *dir, const u8 *data, u32 len, bool first);
/* The name was looked up: if names are asked for in the order of the list, the next ones are fetched. */
void p9_names_asked(struct inode *dir, struct dentry *parent, const char *name, u32 len);
void p9_names_forget(struct p9_inode *p);
void p9_names_forget_all(struct p9_mount *m);

/* Shared by all three kinds of inode. */
int p9_set_attributes(struct inode *i, const struct inode_change *c);
int p9_inode_attributes(struct inode *i, struct stat_info *s);
ssize_t p9_get_xattr(struct inode *i, const char *name, void *to, size_t size);
int p9_set_xattr(struct inode *i, const char *name, const void *v, size_t size, int flags);
ssize_t p9_list_xattr(struct inode *i, char *to, size_t size);
