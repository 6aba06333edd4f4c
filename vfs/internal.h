/* Private to vfs: what its files share. */
#pragma once

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/percpu_ref.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/timer.h>
#include <nos/vfs.h>

#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif
#ifndef NAME_MAX
#define NAME_MAX 255
#endif
#define MAX_SYMLINKS 40

/* ---- dentries (dentry.c) ---- */

/* Moves and exchanges of names: a miss or a way up seen during one is not trusted. */
extern struct seqlock dentry_rename_sequence;

/*
 * One component: from `name` to the next slash or NUL.  Sets *len; the hash is of the parent's
 * identity and the bytes.
 */
u64 dentry_hash_component(const struct dentry *parent, const char *name, u32 *len);
/* All that nobody uses of a super block that is going: also what lies below directories that were removed or
 * that a failed revalidation took out of the tree, where the tree does not lead. */
void dentry_evict_super(const struct super_block *sb);
u64 dentry_hash_name(const struct dentry *parent, const char *name, u32 len);
/* Under RCU: the child with that name, its sequence in *seq; NULL.  Not referenced. */
struct dentry *dentry_find_rcu(const struct dentry *parent, const char *name, u32 len, u64 hash,
			       u32 *seq);
/* The cached child, referenced; NULL. */
struct dentry *dentry_find(struct dentry *parent, const char *name, u32 len, u64 hash);
/* A new dentry, one reference, not hashed, holding its parent.  NULL. */
struct dentry *dentry_alloc(struct dentry *parent, const char *name, u32 len);
/* The dentry in the memory of a pipe's or a socket's inode (zeroed): outside the tree, shown as name:[inode].  It
 * has the caller's reference on the inode, and one itself.  The name fills its eight bytes with zeros. */
void dentry_init_in_inode(struct dentry *d, struct inode *i, const char name[8]);
/* inode_init where all of *i is zero already. */
void inode_init_zeroed(struct inode *i, struct super_block *sb, u64 ino, u32 mode);
/* Puts d, whose name and parent are set, among the children, which is what listings go through.  The
 * directory is locked: nobody lists it before dentry_insert, which must follow. */
void dentry_list(struct dentry *d);
/* Makes d findable, and puts it among the children if it is not. */
void dentry_insert(struct dentry *d);
/* Gives d the place and the name; `name_copy` from dentry_name_prepare is consumed. */
int dentry_name_prepare(const char *name, u32 len, char **name_copy);
void dentry_replace(struct dentry *d, struct dentry *new_parent, const char *name, u32 len,
		    char *name_copy, struct dentry *victim);
void dentry_exchange(struct dentry *a, struct dentry *b, char *copy_for_a, char *copy_for_b);
/* The name is gone: unhashed, marked deleted. */
void dentry_delete(struct dentry *d);
/* Waits until the file system's lookup of d is over. */
void dentry_wait_looking(struct dentry *d);
/* Cached or looked up child, referenced, perhaps negative; -ENOENT where negatives aren't cached.
 * `locked`: the caller holds dir's lock exclusively.  ERR. */
struct dentry *dentry_lookup_any(struct dentry *dir, const char *name, u32 len, bool locked);
/* Under RCU: from here on changes of d's name end the cached prefixes; false: it has no name. */
bool dentry_mark_prefix(struct dentry *d);
bool dentry_is_ancestor(const struct dentry *ancestor, const struct dentry *d);
void dentry_cache_init(void);

static inline bool dentry_is_negative(const struct dentry *d)
{
	return READ_ONCE(d->inode) == NULL;
}

/* ---- cached prefixes (path_cache.c) ---- */

/* Around each change of what a cached prefix rests on, which may not sleep; several CPUs may be in one. */
enum path_change { PATH_CHANGE_NAME, PATH_CHANGE_MOUNT, PATH_CHANGE_ACCESS };
void path_change_begin(enum path_change what);
void path_change_end(void);

/* ---- mounts (mount.c) ---- */

/* Known to sync(2) from now on. */
void super_publish(struct super_block *sb);

struct mount {
	struct mount *hash_next; /* by parent and place */
	struct mount *parent; /* NULL: the root of its tree */
	struct dentry *mountpoint; /* in the parent */
	struct dentry *root;
	struct super_block *sb;
	u32 flags; /* MS_RDONLY, NOSUID, NODEV, NOEXEC, *ATIME */
	u32 id;
	struct percpu_ref refs; /* one is the tree's; children and users hold the rest */
	struct percpu_ref writers; /* one is the tree's; dead where MS_RDONLY is set */
	struct list children, sibling; /* under mount_lock */
	struct mount_namespace *ns; /* NULL: detached or the kernel's own */
	struct list ns_node;
	char *source;
	bool expire_mark;
	struct mount *copy; /* while a tree is copied: this one's */
	/* propagation (propagate.c), under mount_lock */
	u32 group_id; /* shared: the same in all peers; 0: not shared */
	struct list peers; /* ring of the group */
	struct mount *master; /* whose changes come here; NULL */
	struct list slaves, slave_node;
	bool unbindable;
	u32 visit; /* the walk that came here last */
	struct list visit_node, tree_node; /* of walks under way */
	struct mount *copy_here; /* of what is being mounted, for this one */
	struct mount *dead_parent; /* detached: whose reference is still to be dropped */
};

extern struct mutex mount_lock; /* every change of a mount tree */
extern struct seqlock mount_sequence; /* for RCU walks */

/* Under RCU or mount_lock: what is mounted at the place; NULL.  Not referenced. */
struct mount *mount_find_rcu(const struct mount *parent, const struct dentry *place);
/* Goes down into what is mounted at *p, references moved along. */
void path_follow_mounts(struct path *p);
/* At a mount's root goes up to its place; false at the top of the tree. */
bool path_follow_up(struct path *p);
/* A mount that no namespace shows (pipes, sockets, memory files); never fails after boot. */
struct mount *mount_create_internal(struct super_block *sb, u32 flags);
static inline void mount_get(struct mount *m)
{
	percpu_ref_get(&m->refs);
}
static inline void mount_get_many(struct mount *m, u32 nr)
{
	percpu_ref_get_many(&m->refs, nr);
}
static inline void mount_put(struct mount *m)
{
	percpu_ref_put(&m->refs);
}
int mount_want_write(struct mount *m) __must_check;
static inline void mount_end_write(struct mount *m)
{
	percpu_ref_put(&m->writers);
}

/* ---- walking (walk.c) ---- */

/* The last component of a name and the directory it is to be found in. */
struct path_parent {
	struct path dir;
	const char *name; /* valid while the original name or `link` lives */
	u32 len;
	u8 type; /* enum last_type */
	bool trailing_slash;
	char *link; /* to be freed; NULL */
};
enum last_type { LAST_NORMAL, LAST_ROOT, LAST_DOT, LAST_DOTDOT };
/* path_lookup where `cred` decides which directories may be searched; past the cache of prefixes. */
int path_lookup_as(const struct cred *cred, int dirfd, const char *name, u32 flags,
		   struct path *out) __must_check;
int path_lookup_parent(int dirfd, const char *name, u32 flags,
		       struct path_parent *out) __must_check;
void path_parent_put(struct path_parent *p);
/* open(2) with O_CREAT where the lookup found nothing: the new file's path; -EEXIST if someone was
 * faster. */
int vfs_create_in(const struct path_parent *p, u32 mode, struct path *out);
/* Runs fn on the result of an RCU walk, still under RCU, sequence to be checked by the caller:
 * -ECHILD asks for the counted walk. */
int path_lookup_quick(int dirfd, const char *name, u32 flags,
		      int (*fn)(const struct path *p, struct inode *i, void *arg), void *arg);

/* ---- inodes ---- */

/* mode bits only, for c; 0 or -EACCES. */
int inode_permission_cred(const struct inode *i, u32 mask, const struct cred *c);
int inode_permission_for(struct inode *i, u32 mask, const struct cred *c);
bool inode_is_sticky_denied(const struct inode *dir, const struct inode *i, const struct cred *c);
void inode_fill_stat(const struct inode *i, struct stat_info *s);
/* New size or deletion of setuid bits without checks; inode lock held exclusively. */
int inode_change_locked(struct inode *i, struct inode_change *c);
int inode_drop_suid_locked(struct inode *i);
static inline int inode_remove_suid_locked(struct inode *i)
{
	return likely(!(i->mode & (S_ISUID | S_ISGID))) ? 0 : inode_drop_suid_locked(i);
}
int inode_get_writer(struct inode *i); /* -ETXTBSY */
void inode_put_writer(struct inode *i);
int inode_deny_write(struct inode *i); /* -ETXTBSY: somebody writes; file_deny_write */
void inode_allow_write(struct inode *i);
extern bool inode_atime_is_strict;
void inode_settle_atime(struct file *f, u64 now_ns);
/*
 * Access time under relatime (mount(8)): when older than the change, or than a day.  That it was settled
 * within the last second holds for every mount that is not strict.
 */
static inline bool inode_atime_is_due(const struct inode *i, u64 now_ns)
{
	return now_ns - READ_ONCE(i->atime_settled_ns) >= NSEC_PER_SEC ||
	       READ_ONCE(inode_atime_is_strict);
}
static inline void inode_accessed(struct file *f)
{
	u64 now_ns = clock_coarse_realtime_ns();

	if (unlikely(inode_atime_is_due(f->inode, now_ns)))
		inode_settle_atime(f, now_ns);
}
void inode_atime_set_strict(void); /* before the first mount with MS_STRICTATIME has its flags */

/* Whose locks f takes: the inode of its name, which a stacked file system's file keeps when the real
 * file behind it becomes another. */
static inline struct inode *file_lock_inode(const struct file *f)
{
	return f->path.dentry->inode;
}

/* Locks of directories for a change of names. */
void inode_lock_two(struct inode *a, struct inode *b) __acquires(&a->lock) __acquires(&b->lock);
void inode_unlock_two(struct inode *a, struct inode *b) __releases(&a->lock) __releases(&b->lock);

/* May the caller add to, or remove from, this directory? */
int may_create_in(const struct path *dir);
int may_delete_from(struct inode *dir, struct dentry *victim, bool is_dir);

/* ---- notify.c ---- */
void notify_inode_gone(struct inode *i); /* last reference: IN_IGNORED */
void notify_child(struct dentry *dir, const char *name, u32 mask, u32 cookie);
void notify_unlinked(struct inode *i);
void notify_inode(struct inode *i, u32 mask);
void notify_unmount(struct super_block *sb);
bool notify_is_watched(const struct inode *i); /* i referenced or NULL; a hint */
/* Each watch removed with its inode's last link. */

/* sysctl fs.protected_* and fs.* */
extern u32 sysctl_protected_symlinks, sysctl_protected_hardlinks, sysctl_protected_fifos,
	sysctl_protected_regular;
extern u32 sysctl_nr_open;
extern u64 sysctl_file_max;
u64 file_count(void);
