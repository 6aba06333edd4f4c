/* Overlay file system: shared declarations.  Private to fs/overlay; theory in super.c. */
#pragma once

#include <nos/errno.h>
#include <nos/file.h>
#include <nos/lock.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/vfs.h>
#include <linux/stat.h>

#define OVERLAY_MAX_LOWER 16
#define OVERLAY_PREFIX "trusted.overlay."
#define OVERLAY_OPAQUE OVERLAY_PREFIX "opaque"
/* Inode number that a copied-up file had below, 8 bytes. */
#define OVERLAY_INO OVERLAY_PREFIX "nos.ino"
/* Upper inode numbers are told from lower ones by the top bit. */
#define OVERLAY_UPPER_INO (1ull << 63)

struct overlay_mount {
	struct path upper, work; /* dentry NULL: read-only overlay */
	u32 nr_lower;
	struct path lower[OVERLAY_MAX_LOWER];
	const struct cred *cred; /* the mounter's: rights on the real files */
	u32 next_work_name;
	struct spinlock lock; /* table of inodes by upper inode */
	struct overlay_inode *hash[256];
	char *options;
};

struct overlay_inode {
	struct inode inode; /* first */
	struct dentry *upper; /* NULL until copied up; set once, release order */
	u32 nr_lower;
	struct {
		u32 layer;
		struct dentry *dentry;
	} * lower; /* topmost first; one for what is no directory */
	struct mutex copy_lock;
	struct overlay_inode *hash_next;
};

static inline struct overlay_inode *overlay_inode(const struct inode *i)
{
	return container_of(i, struct overlay_inode, inode);
}
static inline struct overlay_mount *overlay_mount(const struct super_block *sb)
{
	return sb->private;
}
static inline struct dentry *overlay_upper(const struct overlay_inode *o)
{
	return atomic_load(&o->upper);
}
/* The dentry that answers for the inode now. */
static inline struct dentry *overlay_real(const struct overlay_inode *o)
{
	struct dentry *upper = overlay_upper(o);

	return upper ? upper : o->lower[0].dentry;
}
static inline bool overlay_is_dir(const struct inode *i)
{
	return (i->mode & S_IFMT) == S_IFDIR;
}
/* Character device 0:0 hides what is below. */
static inline bool overlay_is_whiteout(const struct dentry *d)
{
	return d->inode && (d->inode->mode & S_IFMT) == S_IFCHR && d->inode->rdev == 0;
}

/* ---- inode.c ---- */
/* A new overlay inode; takes over the references.  ERR. */
struct inode *overlay_inode_create(struct super_block *sb, struct dentry *upper, u32 nr_lower,
				   const u32 *layers, struct dentry *const *lower);
/* Operations by kind and by whether the file is above. */
void overlay_set_operations(struct inode *i);
/* Copies what stat shows from the real inode. */
void overlay_refresh(struct inode *i);
void overlay_evict_inode(struct inode *i);
void overlay_free_inode(struct inode *i);
int overlay_lookup(struct inode *dir, struct dentry *d);
/* Whether there is something below with that name, that a removal must hide; 0 or −errno. */
int overlay_look_below(struct inode *dir, const char *name, u32 len, bool *found);
void overlay_hash_upper(struct overlay_inode *o);
int overlay_inode_cache_create(void);

/* ---- copy_up.c ---- */
#define OVERLAY_WORK_NAME 16
/* As dentry_make, in the work directory, under a name that it chooses. */
int overlay_make_in_work(struct super_block *sb, u32 mode, u64 dev, const char *target,
			 char name[OVERLAY_WORK_NAME], struct dentry **made);
/* Makes sure that the file behind i is in the upper layer; -EROFS.  Sleeps long.  size: how much of the
 * contents is wanted (U64_MAX: all). */
int overlay_copy_up(struct inode *i, u64 size);

/* ---- dir.c, readdir.c, file.c ---- */
extern const struct inode_ops overlay_dir_lower_ops, overlay_dir_upper_ops;
extern const struct inode_ops overlay_file_lower_ops, overlay_file_upper_ops;
extern const struct inode_ops overlay_link_lower_ops, overlay_link_upper_ops;
extern const struct file_ops overlay_dir_file_ops, overlay_file_ops;
/* 0 if the merged directory shows no name but "." and "..". */
int overlay_check_empty(struct inode *dir);
/* Whiteouts leave an upper directory that is about to be removed. */
int overlay_clear_whiteouts(struct overlay_inode *o);
/* The real directory opened with the mounter's rights; ERR. */
struct file *overlay_open_real(struct super_block *sb, struct dentry *real, u32 layer,
			       bool is_upper, u32 flags);

int overlay_set_attributes(struct inode *i, const struct inode_change *c);
int overlay_get_attributes(struct inode *i, struct stat_info *s);
ssize_t overlay_get_xattr(struct inode *i, const char *name, void *to, size_t size);
int overlay_set_xattr(struct inode *i, const char *name, const void *v, size_t size, int flags);
ssize_t overlay_list_xattr(struct inode *i, char *to, size_t size);
int overlay_permission(struct inode *i, u32 mask);
