/*
 * Mounts: where the trees of file systems hang in the tree of names.
 *
 * Concepts.  A mount shows a super block's tree, from `root` down, at a place:
 * a dentry of its parent mount.  A namespace is one tree of mounts.  Walks find
 * what is mounted at a place in a hash table keyed by (parent, dentry), and
 * ask only at dentries whose nr_mounts is not zero.
 *
 * References.  The tree holds one reference on each mount, each child one on
 * its parent, and users (paths) the rest.  The tree is the owner of a count that
 * each CPU keeps for itself (percpu_ref.h) while the mount is in a namespace, or
 * belongs to the kernel for ever: it
 * gathers the count before it lets go, and where umount asks for users.  umount
 * takes a mount that has none; MNT_DETACH takes it out at once and lets its
 * users finish.
 *
 * Propagation between mounts: propagate.c.
 *
 * Locking.  mount_lock serialises every change of every tree, and who gathers
 * and spreads counts.  Readers walk under RCU and check mount_sequence.
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <nos/init.h>
#include <nos/thread.h>
#include "mount.h"

#define MOUNT_BUCKETS 256
#define NAMESPACE_FIRST_ID 0xf0000000u /* Linux's PROC_DYNAMIC_FIRST */

/* umount2(2); the headers of linux-libc-dev leave them to libc. */
#define MNT_FORCE 1
#define MNT_DETACH 2
#define MNT_EXPIRE 4

struct mutex mount_lock = MUTEX_INIT(RANK_MOUNT);
struct seqlock mount_sequence;
static struct mount *buckets[MOUNT_BUCKETS];
static u32 next_id = 20;
static u32 nr_namespaces;

static struct mount **bucket_of(const struct mount *parent, const struct dentry *place)
{
	return &buckets[hash_u64((uintptr_t)parent * 3 + (uintptr_t)place) >> 56];
}

struct mount *mount_find_rcu(const struct mount *parent, const struct dentry *place)
{
	struct mount *m = rcu_load(*bucket_of(parent, place));

	while (m && !(READ_ONCE(m->parent) == parent && READ_ONCE(m->mountpoint) == place))
		m = rcu_load(m->hash_next);
	return m;
}

static void mount_free_rcu(struct rcu_head *head)
{
	kfree(container_of(head, struct mount, refs.rcu));
}

/* The last user of a detached mount is gone. */
static void mount_free(struct percpu_ref *refs)
{
	struct mount *m = container_of(refs, struct mount, refs);
	struct super_block *sb = m->sb;

	path_change_begin(PATH_CHANGE_MOUNT); /* its address may become another mount's */
	path_change_end();
	dentry_put(m->root);
	super_put(sb);
	kfree(m->source);
	rcu_call(&m->refs.rcu, mount_free_rcu);
}

int mount_want_write(struct mount *m)
{
	bool may;

	rcu_read_lock();
	may = percpu_ref_try_get_live(&m->writers);
	rcu_read_unlock();
	if (unlikely(!may))
		return -EROFS;
	if (unlikely(READ_ONCE(m->sb->flags) & MS_RDONLY)) {
		mount_end_write(m);
		return -EROFS;
	}
	return 0;
}

/* Consumes references on sb and root also when it fails. */
static struct mount *mount_alloc(struct super_block *sb, struct dentry *root, const char *source,
				 u32 flags)
{
	struct mount *m = kzalloc(sizeof(*m), 0);
	char *copy = kstrdup(source && *source ? source : "none", 0);

	if (!m || !copy) {
		kfree(m);
		kfree(copy);
		dentry_put(root);
		super_put(sb);
		return NULL;
	}
	m->sb = sb;
	m->root = root;
	m->flags = flags;
	m->source = copy;
	m->id = atomic_fetch_add(&next_id, 1);
	percpu_ref_init(&m->refs, mount_free);
	percpu_ref_init(&m->writers, NULL);
	m->writers.dead = flags & MS_RDONLY;
	list_init(&m->children);
	list_init(&m->sibling);
	list_init(&m->ns_node);
	mount_init_propagation(m);
	return m;
}

static void counts_spread(struct mount *m)
{
	percpu_ref_spread(&m->refs);
	if (!(m->flags & MS_RDONLY))
		percpu_ref_spread(&m->writers);
}

struct mount *mount_create_internal(struct super_block *sb, u32 flags)
{
	struct mount *m;

	ref_get(&sb->refs);
	dentry_get(sb->root);
	m = mount_alloc(sb, sb->root, sb->type->name, flags);
	if (m)
		counts_spread(m); /* its maker keeps it for ever */
	return m;
}

int path_of_internal_mount(struct super_block *sb, u32 flags, struct path *out)
{
	struct mount *m = mount_create_internal(sb, flags);

	if (!m)
		return -ENOMEM;
	dentry_get(sb->root);
	*out = (struct path){ m, sb->root };
	return 0;
}

/* ---- tree changes: mount_lock held; hash and links change inside the sequence ---- */

static u32 nr_changes; /* that begun and did not end: they nest */

static void sequence_begin(void)
{
	path_change_begin(PATH_CHANGE_MOUNT); /* and no preemption, for readers spin */
	if (!nr_changes++)
		seq_write_begin(&mount_sequence);
}

static void sequence_end(void)
{
	if (!--nr_changes)
		seq_write_end(&mount_sequence);
	path_change_end();
}

static void hash_add(struct mount *m)
{
	struct mount **b = bucket_of(m->parent, m->mountpoint);

	m->hash_next = *b;
	rcu_store(*b, m);
}

static void hash_remove(struct mount *m)
{
	struct mount **link = bucket_of(m->parent, m->mountpoint);

	while (*link != m)
		link = &(*link)->hash_next;
	rcu_store(*link, m->hash_next);
}

void mount_attach(struct mount *m, const struct path *at)
{
	mount_get(at->mount);
	dentry_get(at->dentry);
	sequence_begin();
	m->parent = at->mount;
	m->mountpoint = at->dentry;
	atomic_add(&at->dentry->nr_mounts, 1);
	hash_add(m);
	sequence_end();
	list_push_back(&at->mount->children, &m->sibling);
}

void mount_detach(struct mount *m, struct path *was)
{
	*was = (struct path){ m->parent, m->mountpoint };
	if (!m->parent)
		return;
	list_remove(&m->sibling);
	sequence_begin();
	hash_remove(m);
	m->parent = NULL;
	atomic_sub(&m->mountpoint->nr_mounts, 1);
	sequence_end();
}

static void namespace_add(struct mount_namespace *ns, struct mount *m)
{
	m->ns = ns;
	if (!ns)
		return;
	list_push_back(&ns->mounts, &m->ns_node);
	counts_spread(m);
}

void mount_namespace_changed(struct mount_namespace *ns)
{
	if (!ns)
		return;
	atomic_add(&ns->event, 1);
	wake_all(&ns->queue);
}

/* The mount on this place, with a reference; NULL: there is none.  One look at the sequence decides, or what
 * changes between two would keep the reference. */
static struct mount *mount_get_on(const struct path *p)
{
	for (;;) {
		rcu_read_lock();
		u32 seq = seq_read_begin(&mount_sequence);
		struct mount *m = mount_find_rcu(p->mount, p->dentry);

		if (m && !percpu_ref_try_get(&m->refs))
			m = NULL;
		bool changed = seq_read_retry(&mount_sequence, seq);

		rcu_read_unlock();
		if (likely(!changed))
			return m;
		if (m)
			mount_put(m);
	}
}

void path_follow_mounts(struct path *p)
{
	while (READ_ONCE(p->dentry->nr_mounts)) {
		struct mount *m = mount_get_on(p);

		if (!m)
			return;
		path_put(p);
		p->mount = m;
		p->dentry = m->root;
		dentry_get(p->dentry);
	}
}

bool path_follow_up(struct path *p)
{
	struct path up;
	u32 seq;
	bool good;

	for (;;) {
		rcu_read_lock();
		seq = seq_read_begin(&mount_sequence);
		up.mount = READ_ONCE(p->mount->parent);
		up.dentry = READ_ONCE(p->mount->mountpoint);
		if (!up.mount) {
			rcu_read_unlock();
			return false;
		}
		good = percpu_ref_try_get(&up.mount->refs);
		if (good && !ref_get_unless_zero(&up.dentry->refs)) {
			rcu_read_unlock();
			mount_put(up.mount);
			continue;
		}
		if (good && !seq_read_retry(&mount_sequence, seq)) {
			rcu_read_unlock();
			path_put(p);
			*p = up;
			return true;
		}
		rcu_read_unlock();
		if (good)
			path_put(&up);
	}
}

/* ---- trees ---- */

struct mount *mount_next_in_tree(struct mount *m, const struct mount *top)
{
	if (!list_is_empty(&m->children))
		return list_entry(m->children.next, struct mount, sibling);
	while (m != top) {
		struct mount *parent = m->parent;

		if (m->sibling.next != &parent->children)
			return list_entry(m->sibling.next, struct mount, sibling);
		m = parent;
	}
	return NULL;
}

void mount_dissolve(struct mount *m, struct list *dead)
{
	for (;;) {
		struct mount *leaf = m;

		while (!list_is_empty(&leaf->children))
			leaf = list_entry(leaf->children.next, struct mount, sibling);
		struct path was;

		mount_detach(leaf, &was);
		mount_set_propagation(leaf, MS_PRIVATE);
		list_remove(&leaf->ns_node);
		leaf->ns = NULL;
		(void)percpu_ref_gather_begin(&leaf->refs);
		(void)percpu_ref_gather_begin(&leaf->writers);
		list_push_back(dead, &leaf->ns_node);
		/* The place's references go with the mount; both end outside the lock. */
		leaf->mountpoint = was.dentry;
		leaf->dead_parent = was.mount;
		if (leaf == m)
			return;
	}
}

void mounts_bury(struct list *dead)
{
	struct list *n;

	while ((n = list_pop_front(dead))) {
		struct mount *m = list_entry(n, struct mount, ns_node);
		struct path was = { m->dead_parent, m->mountpoint };

		rcu_synchronize(); /* quick walks may still go up through it, and count its users */
		percpu_ref_gather_end(&m->refs);
		percpu_ref_gather_end(&m->writers);
		m->mountpoint = NULL;
		if (was.mount)
			path_put(&was);
		mount_put(m);
	}
}

struct mount *mount_copy_tree(struct mount *from, struct dentry *root, bool recursive,
			      enum mount_copy how)
{
	struct mount *top, *m, *n;

	ref_get(&from->sb->refs);
	dentry_get(root);
	top = mount_alloc(from->sb, root, from->source, from->flags);
	if (!top)
		return NULL;
	mount_relate_copy(top, from, how);
	if (!recursive)
		return top;
	for (m = mount_next_in_tree(from, from); m; m = mount_next_in_tree(m, from)) {
		/* Its parent's copy: the copies remember what they are copies of. */
		struct mount *parent = m->parent == from ? top : m->parent->copy;
		struct path at = { parent, m->mountpoint };

		m->copy = NULL;
		if (!parent || (m->parent == from && !dentry_is_ancestor(root, m->mountpoint)) ||
		    (m->unbindable && how != COPY_NAMESPACE))
			continue;
		ref_get(&m->sb->refs);
		dentry_get(m->root);
		n = mount_alloc(m->sb, m->root, m->source, m->flags);
		if (!n) {
			struct list dead = LIST_INIT(dead);

			mount_dissolve(top, &dead);
			mounts_bury(&dead);
			return NULL;
		}
		m->copy = n;
		mount_relate_copy(n, m, how);
		mount_attach(n, &at);
	}
	return top;
}

void mount_tree_join_namespace(struct mount *top, struct mount_namespace *ns)
{
	for (struct mount *m = top; m; m = mount_next_in_tree(m, top))
		namespace_add(ns, m);
}

static bool is_in_current_namespace(const struct mount *m)
{
	return m->ns == mount_namespace_current();
}

/* ---- the calls ---- */

#define PER_MOUNT_FLAGS                                                                            \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME |               \
	 MS_STRICTATIME | MS_NOSYMFOLLOW | MS_RELATIME)

static u32 mount_flags_of(u64 flags)
{
	u32 f = (u32)(flags & PER_MOUNT_FLAGS & ~(u64)MS_RELATIME);

	if (!(flags & (MS_NOATIME | MS_STRICTATIME)))
		f |= MS_RELATIME;
	if (f & MS_STRICTATIME)
		inode_atime_set_strict();
	return f;
}

/* On top of what is already mounted at the target, and wherever that place is shared to; `was`: where m
 * is moved from, or NULL for a new one. */
static int attach_at(struct mount *m, const struct path *target, struct path *was)
{
	struct path at = *target;
	struct list receivers = LIST_INIT(receivers);
	bool is_dir = (m->root->inode->mode & S_IFMT) == S_IFDIR;
	int err = 0;

	path_get(&at);
	path_follow_mounts(&at);
	if (!is_in_current_namespace(at.mount))
		err = -EINVAL;
	else if (READ_ONCE(at.dentry->flags) & DENTRY_DELETED)
		err = -ENOENT;
	else if (is_dir != ((at.dentry->inode->mode & S_IFMT) == S_IFDIR))
		err = -ENOTDIR;
	else
		err = propagate_attach_prepare(&at, m, &receivers);
	if (!err) {
		if (was)
			mount_detach(m, was);
		mount_attach(m, &at);
		if (!was)
			mount_tree_join_namespace(m, at.mount->ns);
		propagate_attach_commit(&at, &receivers);
		mount_namespace_changed(at.mount->ns);
	}
	path_put(&at);
	return err;
}

static int attach_or_bury(struct mount *m, const struct path *target) __releases(&mount_lock)
{
	struct list dead = LIST_INIT(dead);
	int err;

	err = attach_at(m, target, NULL);
	if (err)
		mount_dissolve(m, &dead);
	mutex_unlock(&mount_lock);
	mounts_bury(&dead);
	return err;
}

static int mount_new(const char *source, const struct path *target, const char *type, u64 flags,
		     const char *options)
{
	const struct fs_type *t = type ? fs_type_find(type) : NULL;
	struct super_block *sb;
	struct mount *m;

	if (!type)
		return -EINVAL;
	if (!t)
		return -ENODEV;
	sb = t->mount(t,
		      (u32)(flags & (MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC |
				     MS_SILENT | MS_LAZYTIME)),
		      source, options ? options : "");
	if (is_err(sb))
		return (int)ptr_err(sb);
	super_publish(sb);
	dentry_get(sb->root);
	m = mount_alloc(sb, sb->root, source, mount_flags_of(flags));
	if (!m)
		return -ENOMEM;
	mutex_lock(&mount_lock);
	return attach_or_bury(m, target);
}

static int mount_bind(const char *source, const struct path *target, bool recursive)
{
	struct path from;
	struct mount *m;
	int err;

	if (!source || !*source)
		return -EINVAL;
	err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
	if (err)
		return err;
	mutex_lock(&mount_lock);
	m = is_in_current_namespace(from.mount) && !from.mount->unbindable ?
		    mount_copy_tree(from.mount, from.dentry, recursive, COPY_BIND) :
		    err_ptr(-EINVAL);
	if (!m || is_err(m)) {
		mutex_unlock(&mount_lock);
		path_put(&from);
		return m ? (int)ptr_err(m) : -ENOMEM;
	}
	err = attach_or_bury(m, target);
	path_put(&from);
	return err;
}

bool mount_is_below(const struct mount *m, const struct mount *top)
{
	while (m && m != top)
		m = m->parent;
	return m != NULL;
}

static int mount_move(const char *source, const struct path *target)
{
	struct path from, was = { 0 };
	int err;

	if (!source || !*source)
		return -EINVAL;
	err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
	if (err)
		return err;
	mutex_lock(&mount_lock);
	if (!is_in_current_namespace(from.mount) || from.dentry != from.mount->root ||
	    !from.mount->parent || from.mount->parent->group_id ||
	    (target->mount->group_id && mount_tree_has_unbindable(from.mount)))
		err = -EINVAL;
	else if (mount_is_below(target->mount, from.mount))
		err = -ELOOP;
	else
		err = attach_at(from.mount, target, &was);
	mutex_unlock(&mount_lock);
	path_put(&was);
	path_put(&from);
	return err;
}

static int mount_remount(const struct path *target, u64 flags, const char *options)
{
	struct mount *m = target->mount;
	u32 sb_flags = m->sb->flags;
	int err = 0;

	if (target->dentry != m->root)
		return -EINVAL;
	scoped_mutex(&mount_lock);
	if (!is_in_current_namespace(m))
		return -EINVAL;
	if ((flags & MS_RDONLY) && !(m->flags & MS_RDONLY)) {
		percpu_ref_gather(&m->writers, true);
		if (percpu_ref_read(&m->writers) > 1) {
			counts_spread(m);
			return -EBUSY;
		}
	}
	if (!(flags & MS_BIND)) {
		sb_flags = (sb_flags & ~(u32)MS_RDONLY) | (flags & MS_RDONLY);
		if (m->sb->ops->remount)
			err = m->sb->ops->remount(m->sb, &sb_flags, options ? options : "");
		if (err) {
			counts_spread(m);
			return err;
		}
		m->sb->flags = sb_flags;
	}
	if (!(flags & (MS_NOATIME | MS_STRICTATIME | MS_RELATIME)))
		flags |= m->flags & (MS_NOATIME | MS_NODIRATIME | MS_STRICTATIME);
	sequence_begin(); /* what walks remember rests on MS_NOSYMFOLLOW */
	m->flags = mount_flags_of(flags);
	sequence_end();
	counts_spread(m);
	mount_namespace_changed(m->ns);
	return 0;
}

#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

static int mount_change_propagation(const struct path *target, u64 flags)
{
	u32 kind = (u32)(flags & PROPAGATION);
	struct mount *top = target->mount;

	if ((kind & (kind - 1)) || (flags & ~(u64)(PROPAGATION | MS_REC | MS_SILENT)) ||
	    target->dentry != top->root)
		return -EINVAL;
	scoped_mutex(&mount_lock);
	for (struct mount *m = top; m; m = mount_next_in_tree(m, top)) {
		mount_set_propagation(m, kind);
		if (!(flags & MS_REC))
			break;
	}
	mount_namespace_changed(top->ns);
	return 0;
}

int vfs_mount(const char *source, const struct path *target, const char *type, u64 flags,
	      const char *options)
{
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if ((flags & 0xffff0000ul) == 0xc0ed0000ul) /* an old magic number in the upper half */
		flags &= 0xffff;
	if (flags & MS_REMOUNT)
		return mount_remount(target, flags, options);
	if (flags & MS_BIND)
		return mount_bind(source, target, flags & MS_REC);
	if (flags & PROPAGATION)
		return mount_change_propagation(target, flags);
	if (flags & MS_MOVE)
		return mount_move(source, target);
	return mount_new(source, target, type, flags, options);
}

static bool gather_begin(struct mount *m)
{
	return percpu_ref_gather_begin(&m->refs);
}

static bool gather_end(struct mount *m)
{
	percpu_ref_gather_end(&m->refs);
	return false;
}

static bool spread_again(struct mount *m)
{
	percpu_ref_spread(&m->refs);
	return false;
}

/* Has users beside the tree. */
static bool has_users(struct mount *m)
{
	return percpu_ref_read(&m->refs) > 1;
}

/*
 * Takes m and its copies elsewhere out, unless one of them has users (of m, beside the caller).  Their counts
 * are gathered first.  Then walks find mounts at rest, take references, and look at the sequence again: whoever
 * took one before the sequence was odd is seen here, and whoever did later gives it back.
 */
static int umount_unless_busy(struct mount *m, int flags, struct list *dead)
	__must_hold(&mount_lock)
{
	bool wait;
	int err = 0;

	if (!list_is_empty(&m->children))
		return -EBUSY;
	wait = gather_begin(m);
	if (propagate_any_copy(m, gather_begin) || wait)
		rcu_synchronize();
	gather_end(m);
	propagate_any_copy(m, gather_end);

	sequence_begin();
	memory_fence();
	if (percpu_ref_read(&m->refs) > 2 || propagate_any_copy(m, has_users)) {
		err = -EBUSY;
	} else if ((flags & MNT_EXPIRE) && !m->expire_mark) {
		m->expire_mark = true;
		err = -EAGAIN;
	} else {
		propagate_umount(m, dead);
		mount_dissolve(m, dead);
	}
	sequence_end();
	if (err) {
		spread_again(m);
		propagate_any_copy(m, spread_again);
	}
	return err;
}

/* The caller's path holds one reference on the mount. */
int vfs_umount(const struct path *p, int flags)
{
	struct mount *m = p->mount;
	struct list dead = LIST_INIT(dead);
	struct mount_namespace *ns;
	int err = 0;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (p->dentry != m->root)
		return -EINVAL;
	if ((flags & MNT_EXPIRE) && (flags & (MNT_DETACH | MNT_FORCE)))
		return -EINVAL;
	mutex_lock(&mount_lock);
	ns = m->ns;
	if (!is_in_current_namespace(m) || !m->parent) {
		err = -EINVAL;
	} else if (flags & MNT_DETACH) {
		propagate_umount(m, &dead);
		mount_dissolve(m, &dead);
	} else {
		err = umount_unless_busy(m, flags, &dead);
	}
	if (!err) {
		notify_unmount(m->sb);
		mount_namespace_changed(ns);
	}
	mutex_unlock(&mount_lock);
	mounts_bury(&dead);
	return err;
}

int vfs_pivot_root(const struct path *new_root, const struct path *put_old)
{
	struct fs_context *fs = fs_context_current();
	struct mount *new = new_root->mount, *old;
	struct path root, new_was = { 0 }, old_was = { 0 };
	int err = 0;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	spin_lock(&fs->lock);
	root = fs->root;
	path_get(&root);
	spin_unlock(&fs->lock);
	old = root.mount;
	mutex_lock(&mount_lock);
	if (new == old || put_old->mount == old)
		err = -EBUSY;
	else if (!is_in_current_namespace(new) || !is_in_current_namespace(old) || old->group_id ||
		 (new->parent &&new->parent->group_id) || (old->parent && old->parent->group_id) ||
		 new_root->dentry != new->root || !new->parent || root.dentry != old->root ||
		 !mount_is_below(put_old->mount, new))
		err = -EINVAL;
	else if ((new_root->dentry->inode->mode & S_IFMT) != S_IFDIR ||
		 (put_old->dentry->inode->mode & S_IFMT) != S_IFDIR)
		err = -ENOTDIR;
	if (!err) {
		struct mount_namespace *ns = old->ns;
		struct path top = { old->parent, old->mountpoint };

		mount_detach(new, &new_was);
		mount_detach(old, &old_was);
		if (top.mount)
			mount_attach(new, &top);
		else
			ns->root = new;
		mount_attach(old, put_old);
		mount_namespace_changed(ns);
	}
	mutex_unlock(&mount_lock);
	if (!err) {
		struct path to = { new, new->root };

		fs_context_replace_all(&root, &to);
	}
	path_put(&new_was);
	path_put(&old_was);
	path_put(&root);
	return err;
}

/* ---- namespaces ---- */

static struct mount_namespace *namespace_create(void)
{
	struct mount_namespace *ns = kzalloc(sizeof(*ns), 0);

	if (!ns)
		return NULL;
	ref_init(&ns->refs, 1);
	list_init(&ns->mounts);
	wait_queue_init(&ns->queue);
	ns->id = namespace_next_id();
	return ns;
}

u32 namespace_next_id(void)
{
	return NAMESPACE_FIRST_ID + atomic_fetch_add(&nr_namespaces, 1);
}

void mount_namespace_root(struct mount_namespace *ns, struct path *to)
{
	mutex_lock(&mount_lock);
	*to = (struct path){ ns->root, ns->root->root };
	path_get(to);
	mutex_unlock(&mount_lock);
	path_follow_mounts(to);
}

void mount_namespace_get(struct mount_namespace *ns)
{
	ref_get(&ns->refs);
}

void mount_namespace_put(struct mount_namespace *ns)
{
	struct list dead = LIST_INIT(dead);

	if (!ref_put(&ns->refs))
		return;
	mutex_lock(&mount_lock);
	mount_dissolve(ns->root, &dead);
	mutex_unlock(&mount_lock);
	mounts_bury(&dead);
	kfree(ns);
}

u32 mount_namespace_id(const struct mount_namespace *ns)
{
	return ns->id;
}

/* The place in the copy of the tree that corresponds to p. */
static void move_to_copy(struct fs_context *fs, struct path *which)
{
	struct mount *copy = which->mount->copy;
	struct path to = { copy, which->dentry };

	if (!copy)
		return;
	if (which == &fs->root)
		(void)fs_context_set_root(fs, &to);
	else
		(void)fs_context_set_cwd(fs, &to);
}

struct mount_namespace *mount_namespace_copy(struct mount_namespace *from, struct fs_context *fs)
{
	struct mount_namespace *ns = namespace_create();

	if (!ns)
		return err_ptr(-ENOMEM);
	mutex_lock(&mount_lock);
	ns->root = mount_copy_tree(from->root, from->root->root, true, COPY_NAMESPACE);
	if (!ns->root) {
		mutex_unlock(&mount_lock);
		kfree(ns);
		return err_ptr(-ENOMEM);
	}
	from->root->copy = ns->root;
	mount_tree_join_namespace(ns->root, ns);
	if (fs) {
		move_to_copy(fs, &fs->root);
		move_to_copy(fs, &fs->cwd);
	}
	for (struct mount *m = from->root; m; m = mount_next_in_tree(m, from->root))
		m->copy = NULL;
	mutex_unlock(&mount_lock);
	return ns;
}

struct wait_queue *mounts_wait_queue(struct mount_namespace *ns)
{
	return &ns->queue;
}

u64 mounts_event(struct mount_namespace *ns)
{
	return READ_ONCE(ns->event);
}

int vfs_mount_root(struct mount_namespace **out, struct fs_context **fs_out)
{
	const struct fs_type *t = fs_type_find("rootfs");
	struct mount_namespace *ns = namespace_create();
	struct fs_context *fs = kzalloc(sizeof(*fs), 0);
	struct super_block *sb;
	struct mount *m;

	if (!t || !ns || !fs)
		return -ENOMEM;
	sb = t->mount(t, 0, "rootfs", "");
	if (is_err(sb))
		return (int)ptr_err(sb);
	super_publish(sb);
	dentry_get(sb->root);
	m = mount_alloc(sb, sb->root, "rootfs", MS_RELATIME);
	if (!m)
		return -ENOMEM;
	namespace_add(ns, m);
	ns->root = m;
	ref_init(&fs->refs, 1);
	spin_init(&fs->lock, RANK_FD_TABLE);
	fs->umask = 022;
	fs->root = fs->cwd = (struct path){ m, m->root };
	path_get(&fs->root);
	path_get(&fs->cwd);
	*out = ns;
	*fs_out = fs;
	return 0;
}
