/* Private to vfs: mount namespaces, and what the files on mounts share. */
#pragma once

#include <nos/vfs.h>
#include <nos/wait.h>

struct mount;

struct mount_namespace {
	struct ref refs;
	u32 id; /* inode number of /proc/PID/ns/mnt */
	struct mount *root;
	struct list mounts; /* in the order of mounting; under mount_lock */
	u64 event; /* counts changes */
	struct wait_queue queue;
};

/* ---- trees (mount.c); mount_lock held ---- */

/* What a copy is to the original. */
enum mount_copy {
	COPY_BIND, /* a peer or slave as it is; unbindable ones are left out */
	COPY_NAMESPACE, /* the same, with the unbindable ones */
	COPY_SLAVE,
	COPY_SLAVE_SHARED, /* a slave, and shared in a group of its own */
};
/* A copy of the tree at `from`, beginning at `root`; not attached.  NULL: no memory. */
struct mount *mount_copy_tree(struct mount *from, struct dentry *root, bool recursive,
			      enum mount_copy how);
/* The next of the tree at `top`, parents first; NULL at the end. */
struct mount *mount_next_in_tree(struct mount *m, const struct mount *top);
/* Hangs m at the place; the tree's reference is the caller's.  `at` gets its own references. */
void mount_attach(struct mount *m, const struct path *at);
/* Takes m from its place; *was gets the references on it. */
void mount_detach(struct mount *m, struct path *was);
/* The whole tree at m apart, onto `dead`: for mounts_bury, with the lock given up. */
void mount_dissolve(struct mount *m, struct list *dead);
void mounts_bury(struct list *dead);
void mount_tree_join_namespace(struct mount *top, struct mount_namespace *ns);
void mount_namespace_changed(struct mount_namespace *ns);
bool mount_is_below(const struct mount *m, const struct mount *top);

/* ---- propagation (propagate.c); mount_lock held ---- */

void mount_init_propagation(struct mount *m);
/* MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE. */
void mount_set_propagation(struct mount *m, u32 kind);
/* A copy n of m gets its place among peers and slaves. */
void mount_relate_copy(struct mount *n, struct mount *m, enum mount_copy how);
bool mount_tree_has_unbindable(struct mount *top);
/*
 * The tree at `top` is to be attached at `at`: makes the copies for all who share or follow at->mount.
 * -ENOMEM: none are left.  commit attaches them.
 */
int propagate_attach_prepare(const struct path *at, struct mount *top, struct list *receivers);
void propagate_attach_commit(const struct path *at, struct list *receivers);
/* fn for each mount that would go with m, which has no children: the copies elsewhere that have none either.
 * Whether one said yes. */
bool propagate_any_copy(struct mount *m, bool (*fn)(struct mount *copy));
/* The copies elsewhere of what the tree at m holds go to `dead`, but for those with mounts of their own. */
void propagate_umount(struct mount *m, struct list *dead);
/* The group that m's master belongs to as ns sees it, other than the master's own; 0. */
u32 propagate_dominating_group(const struct mount *m, const struct mount_namespace *ns);
