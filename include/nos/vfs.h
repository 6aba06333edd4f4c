/*
 * The file tree (vfs/): inodes, dentries, mounts, paths.
 *
 * An inode is a file's identity and attributes; a dentry is a name in a
 * directory, cached, negative where the name is known not to exist; a mount
 * places a file system's tree at a dentry.  Path walks run under RCU without a
 * store and fall back to counted references where they must sleep.
 */
#pragma once

#include <nos/cred.h>
#include <nos/iobuf.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/page_cache.h>
#include <nos/rcu.h>
#include <nos/types.h>
#include <nos/wait.h>

struct dentry;
struct file;
struct file_ops;
struct inode;
struct mount;
struct mount_namespace;
struct super_block;
struct fs_type;
struct pipe;
struct char_device;
struct path;
struct stat_info;

struct timestamp { /* since 1970 */
	s64 sec;
	u32 nsec;
};

/* ---- inodes ---- */

/* What chmod, chown, truncate and utimensat change; valid says which (ATTR_). */
#define ATTR_MODE 1u
#define ATTR_UID 2u
#define ATTR_GID 4u
#define ATTR_SIZE 8u
#define ATTR_ATIME 16u
#define ATTR_MTIME 32u
#define ATTR_CTIME 64u
#define ATTR_ATIME_NOW 128u
#define ATTR_MTIME_NOW 256u
#define ATTR_KILL_SUID 512u
struct inode_change {
	u32 valid;
	u32 mode, uid, gid;
	u64 size;
	struct timestamp atime, mtime, ctime;
	struct file *file; /* ftruncate, or NULL */
};

/* NULL members: the error named, or the generic behaviour. */
struct inode_ops {
	/* Directory: finds name (dentry's) in `dir`: sets the dentry positive by dentry_set_inode, or
	 * leaves it negative and returns 0; other errors negative. Dir lock held (shared). */
	int (*lookup)(struct inode *dir, struct dentry *d);
	int (*create)(struct inode *dir, struct dentry *d, u32 mode); /* EPERM */
	int (*mkdir)(struct inode *dir, struct dentry *d, u32 mode); /* EPERM */
	int (*mknod)(struct inode *dir, struct dentry *d, u32 mode, u64 dev); /* EPERM */
	int (*symlink)(struct inode *dir, struct dentry *d, const char *target); /* EPERM */
	int (*link)(struct inode *dir, struct dentry *d, struct inode *target); /* EPERM */
	int (*unlink)(struct inode *dir, struct dentry *d); /* EPERM */
	int (*rmdir)(struct inode *dir, struct dentry *d); /* EPERM */
	/* flags: RENAME_NOREPLACE is done by vfs; EXCHANGE and WHITEOUT by the file system. */
	int (*rename)(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
		      struct dentry *new, u32 flags); /* EPERM */
	int (*tmpfile)(struct inode *dir, struct inode **made, u32 mode); /* EOPNOTSUPP */
	/* Symlink: the target, valid under the inode's life, or a kmalloc'ed copy in *to_free.
	 * With to_free NULL it may not sleep: NULL if it would have to. */
	const char *(*get_link)(struct inode *i, char **to_free);
	/* Magic links (/proc/PID/exe, fd/N): the place itself, referenced. Instead of get_link. */
	int (*follow)(struct inode *i, struct path *to);
	int (*readlink)(struct inode *i, char *to, size_t size); /* default: get_link */
	int (*set_attributes)(struct inode *i,
			      const struct inode_change *c); /* default: in memory */
	int (*get_attributes)(struct inode *i, struct stat_info *s); /* refines the default */
	ssize_t (*get_xattr)(struct inode *i, const char *name, void *to, size_t size);
	int (*set_xattr)(struct inode *i, const char *name, const void *v, size_t size, int flags);
	ssize_t (*list_xattr)(struct inode *i, char *to, size_t size);
	/* Cached dentry still true? NULL: always.  false: dropped and looked up again. */
	bool (*revalidate)(struct dentry *d);
};

/* Permission masks. */
#define MAY_EXEC 1u
#define MAY_WRITE 2u
#define MAY_READ 4u

struct stat_info {
	u64 dev, ino, rdev, size, blocks, mount_id, attributes, attributes_mask;
	u32 mode, nlink, uid, gid, blksize, dio_align;
	struct timestamp atime, mtime, ctime, btime;
	bool has_btime, is_mount_root;
};

struct inode {
	u32 mode;
	u32 uid, gid;
	u32 nlink;
	const struct inode_ops *ops;
	const struct file_ops *file_ops; /* for opens */
	struct super_block *sb;
	u64 ino;
	u64 size;
	u64 rdev;
	struct timestamp atime, mtime, ctime, btime;
	u64 blocks; /* 512-byte units */
	struct ref refs; /* dentries, opens, mappings */
	struct spinlock spin; /* times, small state */
	struct rwlock lock; /* content and directory changes; rank INODE / INODE_DIR */
	struct page_cache cache; /* regular files */
	u32 flags; /* INODE_ flags */
	s32 write_count; /* > 0: opens for writing; < 0: denied (running text) */
	struct list dentries; /* aliases, under spin */
	struct file_lock_list *locks; /* POSIX, OFD, flock; or NULL (vfs/lock.c) */
	struct watch_list *watches; /* inotify: NULL until first used */
	union {
		struct pipe *pipe; /* FIFO */
		const struct char_device *char_device;
		void *socket; /* bound AF_UNIX name */
		void *private; /* file system's */
	};
	char *link; /* symlink's target once known, if INODE_LINK_STABLE; kfree'd */
	/* Coarse real times, or 0: mtime and ctime are that moment's; relatime had nothing to do then. */
	u64 changed_ns, atime_settled_ns; /* under spin, read without */
	struct rcu_head rcu;
};
#define INODE_IMMUTABLE 1u
#define INODE_APPEND 2u
#define INODE_DELETED 4u /* rmdir'ed: no new entries */
#define INODE_NO_CACHE 8u /* drop at last reference */
#define INODE_COMPLETE 16u /* directory: every entry is in the dentry cache */
#define INODE_NO_LINK 64u /* O_TMPFILE | O_EXCL: linkat is refused */
#define INODE_LINK_STABLE 32u /* symlink: get_link always gives the same; vfs keeps it */

void inode_get(struct inode *i);
void inode_put(struct inode *i);
void inode_mark_times(struct inode *i, u32 attr_mask); /* ATTR_ATIME… set to now */
/* Around a change of mode and owner of an inode that others see: what walks remember of it ends. */
struct inode_access {
	u32 mode, uid, gid;
};
bool inode_access_change_begin(const struct inode *i, struct inode_access to);
void inode_access_change_end(bool begun); /* what begin returned */
struct timestamp timestamp_now(void);

/* ---- dentries ---- */

#define DENTRY_INLINE 40
struct dentry {
	/* what a walk reads */
	struct dentry *hash_next;
	u64 hash; /* of parent and name */
	struct dentry *parent; /* a root's: itself */
	struct inode *inode; /* NULL: negative */
	char *name; /* inline_name or kmalloc'ed; ends in NUL */
	struct seqlock sequence; /* name, parent, inode, hashed or not */
	u32 name_len;
	u32 flags; /* DENTRY_; atomic */
	u32 nr_mounts; /* mounts on it, any namespace */
	struct super_block *sb;
	char inline_name[DENTRY_INLINE] __aligned(8);
	struct ref refs; /* one is the cache's while hashed; children hold their parent */
	struct spinlock lock;
	struct list children, sibling; /* under parent's lock */
	struct list alias; /* inode->dentries */
	struct list lru;
	void *private; /* file system's */
	struct rcu_head rcu;
};
#define DENTRY_HASHED 1u
#define DENTRY_PERSISTENT 2u /* tmpfs & co.: the dentry is the directory entry; never evicted */
#define DENTRY_DISCONNECTED 4u /* no name in the tree: O_TMPFILE, anonymous */
#define DENTRY_LOOKING 8u /* the file system's lookup is under way */
#define DENTRY_REFERENCED 16u /* used since the evictor last came by */
#define DENTRY_DELETED 32u /* its name was removed */
#define DENTRY_NUMBERED 128u /* disconnected, and shown as name:[inode] */
#define DENTRY_REVALIDATE 64u /* the super block's dentry_ops has revalidate */
#define DENTRY_PREFIX 256u /* a cached prefix leads through it: a change of its name invalidates */
#define DENTRY_IN_INODE 512u /* lies in the memory of its inode, and goes with it */

void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
/* Makes d positive; consumes the caller's reference on the inode. */
void dentry_set_inode(struct dentry *d, struct inode *i);
/* A new root dentry for a super block (consumes the inode reference); NULL. */
struct dentry *dentry_create_root(struct inode *i);
/* The dentry of what a directory's tmpfile made: in `dir` without a name (consumes the inode reference);
 * NULL. */
struct dentry *dentry_create_unnamed(struct dentry *dir, struct inode *i);
/* A nameless file's dentry with one reference, outside the tree: consumes the inode's.  NULL. */
struct dentry *dentry_create_disconnected(struct inode *i, const char *name);
/* Finds or allocates the child, hashed, not looked up; dir's lock held.  ERR. For file systems that
 * make their own entries (proc, devtmpfs). */
struct dentry *dentry_create_child(struct dentry *parent, const char *name, struct inode *i);
/* Frees up to nr unused dentries and their inodes, least recently used first; how many. */
u64 dentry_reclaim(u64 nr);
/* What a file system learnt of a name before anyone asked: unless the name is cached already.  Consumes
 * the inode reference; the directory's lock is held, shared will do. */
void dentry_preload(struct dentry *parent, const char *name, u32 len, struct inode *i);
void dentry_drop(struct dentry *d); /* unhash: the next walk looks it up again */
/* ---- super blocks and file-system types ---- */

struct fs_stats { /* statfs(2) */
	u64 type, block_size, blocks, blocks_free, blocks_available, files, files_free, fsid;
	u32 name_max;
};
struct super_ops {
	void (*evict_inode)(struct inode *i); /* last reference gone, nlink may be > 0 */
	void (*free_inode)(struct inode *i); /* memory, after RCU; NULL: kfree */
	int (*stats)(struct super_block *sb, struct fs_stats *s);
	int (*sync)(struct super_block *sb, bool wait);
	int (*remount)(struct super_block *sb, u32 *flags, const char *options);
	void (*shut_down)(struct super_block *sb); /* last mount gone */
	int (*show_options)(struct super_block *sb, char *to, size_t size); /* ",size=…" */
};
struct super_block {
	const struct fs_type *type;
	const struct super_ops *ops;
	const struct inode_ops *dentry_ops; /* its revalidate applies to all dentries */
	u64 dev; /* st_dev */
	u32 flags; /* SB_RDONLY … as MS_* */
	u32 time_granularity_ns;
	u64 max_bytes;
	struct dentry *root;
	struct ref refs; /* mounts */
	struct mutex rename_lock;
	struct list node; /* all super blocks */
	char *source_name; /* kfree'd */
	void *private;
};
struct fs_type {
	const char *name;
	u32 flags;
	/* Makes (or finds, for single-instance types) the super block, with ->root set. ERR. */
	struct super_block *(*mount)(const struct fs_type *t, u32 flags, const char *source,
				     const char *options);
};
#define FS_NODEV 1u /* "nodev" in /proc/filesystems */
#define REGISTER_FS(var)                                                                           \
	static const struct fs_type *const fs_type_##var __section("fs_types") = &(var)

const struct fs_type *fs_type_find(const char *name);
void fs_type_for_each(void (*fn)(const struct fs_type *t, void *arg), void *arg);
void vfs_sync_all(bool wait);
struct super_block *super_create(const struct fs_type *t, const struct super_ops *ops, u32 flags);
void super_put(struct super_block *sb);
u64 super_anonymous_dev(void); /* next st_dev with major 0 */
/* A fresh inode of sb with one reference, ino unset if 0 is given (then the next number), times now. */
struct inode *inode_create(struct super_block *sb, u64 ino, u32 mode);
/* The same in the file system's own memory (embedded struct inode first). */
void inode_init(struct inode *i, struct super_block *sb, u64 ino, u32 mode);
/* Owner and mode of a new child of dir: setgid rules, umask is already applied by vfs. */
void inode_init_owner(struct inode *i, const struct inode *dir, u32 mode);

#include <nos/path.h>

#include <nos/name.h>
