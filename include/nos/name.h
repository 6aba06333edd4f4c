/*
 * Operations on names and mounts (vfs/): what the system calls of paths come
 * down to.  Each does permission checks, locking and inotify.
 */
#pragma once

#include <nos/vfs.h>

/* Where a process stands; shared by CLONE_FS. */
struct fs_context {
	struct ref refs;
	struct spinlock lock;
	struct seqlock sequence;
	u32 umask;
	struct path root, cwd;
};
/* Whoever sets times otherwise than by inode_mark_times calls this; spin held. */
static inline void inode_times_set_locked(struct inode *i)
{
	i->changed_ns = i->atime_settled_ns = 0;
}

/* Where it lies in struct task is a link-time constant that proc defines. */
#ifdef NOS_HOST
struct fs_context *fs_context_current(void);
#else
extern char task_fs_offset[];
extern struct fs_context *init_fs;
static inline struct fs_context *fs_context_current(void)
{
	const struct thread *t = current_thread;

	if (unlikely(t->is_kernel))
		return init_fs;
	return *(struct fs_context *const *)((const char *)t + (uintptr_t)task_fs_offset);
}
#endif
struct fs_context *fs_context_copy(struct fs_context *c);
void fs_context_put(struct fs_context *c);
int fs_context_set_root(struct fs_context *c, const struct path *p);
int fs_context_set_cwd(struct fs_context *c, const struct path *p);
/* The working directory's name, at the buffer's end.  ERR: -ENOENT, -ENAMETOOLONG. */
char *fs_context_format_cwd(struct fs_context *c, char *buffer, size_t size);

int vfs_mkdir_at(int dirfd, const char *name, u32 mode);
int vfs_mknod_at(int dirfd, const char *name, u32 mode, u64 dev);
int vfs_symlink_at(const char *target, int dirfd, const char *name);
int vfs_link_at(int old_dirfd, const char *old, int new_dirfd, const char *new, int at_flags);
int vfs_unlink_at(int dirfd, const char *name, int at_flags);
bool rename_flags_valid(u32 flags); /* known ones, that go together */
int vfs_rename_at(int old_dirfd, const char *old, int new_dirfd, const char *new, u32 flags);
ssize_t vfs_readlink_at(int dirfd, const char *name, char *to, size_t size);
int vfs_access_at(int dirfd, const char *name, u32 mode, int at_flags);
int vfs_stat_path(const struct path *p, u32 request_mask, u32 at_flags, struct stat_info *s);
/* request_mask 0: no more than struct stat has. */
int vfs_stat_at(int dirfd, const char *name, int at_flags, u32 request_mask, struct stat_info *s);
int vfs_set_attributes(const struct path *p, struct inode_change *c);
int vfs_truncate(const struct path *p, u64 size);
int vfs_statfs(const struct path *p, struct fs_stats *s);
u32 path_statfs_flags(const struct path *p); /* MS_* of mount and super block together */
/* A symlink's target: the inode's own, or from its get_link, whose rules hold. */
const char *inode_link_text(struct inode *i, char **to_free);
int inode_permission(struct inode *i, u32 mask);
/* Puts a change's values into the inode: for set_attributes of file systems that keep them there. */
void inode_set_attributes_generic(struct inode *i, const struct inode_change *c);
ssize_t vfs_get_xattr(const struct path *p, const char *name, void *to, size_t size);
/* value NULL: removes. */
int vfs_set_xattr(const struct path *p, const char *name, const void *value, size_t size,
		  int flags);
ssize_t vfs_list_xattr(const struct path *p, char *to, size_t size);
/* AF_UNIX bind: makes a socket inode; path of it. */
int vfs_make_socket(const char *name, u32 mode, void *socket, struct path *out);

/* The file system's own changes below the permission checks (overlay, devtmpfs): each takes the
 * directory locks.  dentry_lookup: positive and referenced, or ERR -ENOENT ….  dentry_make creates what
 * `mode` says (dev: for nodes; target: for symlinks) and, if `made`, gives the dentry. */
struct dentry *dentry_lookup(struct dentry *dir, const char *name, u32 len);
int dentry_make(struct dentry *dir, const char *name, u32 mode, u64 dev, const char *target,
		struct dentry **made);
int dentry_link(struct dentry *target, struct dentry *dir, const char *name);
int dentry_remove(struct dentry *dir, const char *name, bool is_dir);
int dentry_rename(struct dentry *old_dir, const char *old, struct dentry *new_dir, const char *new,
		  u32 flags);
int dentry_set_attributes(struct dentry *d, struct inode_change *c); /* no permission checks */

/* ---- mounts ---- */
int vfs_mount(const char *source, const struct path *target, const char *type, u64 flags,
	      const char *options);
int vfs_umount(const struct path *p, int flags);
int vfs_pivot_root(const struct path *new_root, const struct path *put_old);
struct mount_namespace *mount_namespace_copy(struct mount_namespace *ns, struct fs_context *fs);
void mount_namespace_get(struct mount_namespace *ns);
void mount_namespace_put(struct mount_namespace *ns);
u32 mount_namespace_id(const struct mount_namespace *ns);
/* The number of a new namespace, of any kind: what stat shows of its file. */
u32 namespace_next_id(void);
/* Where a task that enters ns stands: the root of its tree, referenced. */
void mount_namespace_root(struct mount_namespace *ns, struct path *to);
/* pivot_root: calls fs_context_replace for every process's context; defined by proc. */
void fs_context_replace_all(const struct path *from, const struct path *to);
void fs_context_replace(struct fs_context *c, const struct path *from, const struct path *to);
struct mount_namespace *mount_namespace_current(void); /* defined by proc */
/* The root of a mount that no namespace shows, of a file system that the kernel keeps for itself;
 * consumes nothing. */
int path_of_internal_mount(struct super_block *sb, u32 flags, struct path *out);
/* Text of /proc/PID/{mounts,mountinfo,mountstats}: one line a mount, into `show`. */
struct text_out;
void mounts_show(struct mount_namespace *ns, const struct path *root, struct text_out *out,
		 int style); /* 0 mounts, 1 mountinfo, 2 mountstats */
struct wait_queue *mounts_wait_queue(struct mount_namespace *ns);
u64 mounts_event(struct mount_namespace *ns);
/* Boot: rootfs (tmpfs) as the root of the first namespace, returned in *fs. */
int vfs_mount_root(struct mount_namespace **ns, struct fs_context **fs);
