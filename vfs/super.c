/*
 * Super blocks: one for each mounted file system, and the registry of types.
 *
 * A super block is referenced by its mounts; the last one gone, its root is
 * let go and the file system shuts down.  Types are const structs in the
 * section fs_types.
 */
#include "internal.h"

#include <linux/fs.h>
#include <nos/log.h>
#include <nos/thread.h>

extern const struct fs_type *const __start_fs_types[], *const __stop_fs_types[];

static struct mutex super_lock = MUTEX_INIT(RANK_MOUNT);
static struct list supers = LIST_INIT(supers);
static u32 next_minor = 1;

const struct fs_type *fs_type_find(const char *name)
{
	for (const struct fs_type *const *t = __start_fs_types; t < __stop_fs_types; t++)
		if (!strcmp((*t)->name, name))
			return *t;
	return NULL;
}

void fs_type_for_each(void (*fn)(const struct fs_type *t, void *arg), void *arg)
{
	for (const struct fs_type *const *t = __start_fs_types; t < __stop_fs_types; t++)
		fn(*t, arg);
}

u64 super_anonymous_dev(void)
{
	return make_dev(0, atomic_fetch_add(&next_minor, 1));
}

struct super_block *super_create(const struct fs_type *t, const struct super_ops *ops, u32 flags)
{
	struct super_block *sb = kzalloc(sizeof(*sb), 0);

	if (!sb)
		return NULL;
	sb->type = t;
	sb->ops = ops;
	sb->flags = flags;
	sb->dev = super_anonymous_dev();
	sb->time_granularity_ns = 1;
	sb->max_bytes = S64_MAX;
	ref_init(&sb->refs, 1);
	mutex_init(&sb->rename_lock, RANK_RENAME);
	list_init(&sb->node);
	return sb;
}

void super_publish(struct super_block *sb)
{
	scoped_mutex(&super_lock);
	if (!list_is_linked(&sb->node))
		list_push_back(&supers, &sb->node);
}

/* Takes a persistent tree apart, leaves first, so that every dentry drops its parent. */
static void super_drop_tree(struct dentry *root)
{
	struct dentry *d = root;

	for (;;) {
		struct dentry *child = NULL, *parent;

		spin_lock(&d->lock);
		child = list_first(&d->children, struct dentry, sibling);
		if (child && !ref_get_unless_zero(&child->refs))
			child = NULL;
		spin_unlock(&d->lock);
		if (child) {
			d = child;
			continue;
		}
		if (!list_is_empty(&d->children)) {
			cpu_relax(); /* a child is being evicted */
			continue;
		}
		if (d == root)
			return;
		parent = d->parent;
		dentry_drop(d);
		dentry_put(d);
		d = parent;
	}
}

void super_put(struct super_block *sb)
{
	if (!ref_put(&sb->refs))
		return;
	mutex_lock(&super_lock);
	list_remove(&sb->node);
	mutex_unlock(&super_lock);
	if (sb->ops->sync)
		(void)sb->ops->sync(sb, true);
	if (sb->root) {
		super_drop_tree(sb->root);
		/*
		 * Each dentry holds its parent until it has let its inode go.  Names below directories that were
		 * removed or invalidated are evicted; others may be about to be (dentry_reclaim).
		 */
		while (ref_read(&sb->root->refs) > 1) {
			dentry_evict_super(sb);
			thread_yield();
		}
		dentry_put(sb->root);
		sb->root = NULL;
	}
	rcu_barrier(); /* inodes look at their super block when they are freed */
	if (sb->ops->shut_down)
		sb->ops->shut_down(sb);
	kfree(sb->source_name);
	kfree(sb);
}

void vfs_sync_all(bool wait)
{
	scoped_mutex(&super_lock);
	struct super_block *sb;

	list_for_each(sb, &supers, node)
		if (sb->ops->sync && !(sb->flags & MS_RDONLY))
			(void)sb->ops->sync(sb, wait);
}
