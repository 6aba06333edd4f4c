/* sysfs: the tree of registered pseudo files below "sys". */
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/pseudo.h>
#include <nos/vfs.h>
#include <linux/magic.h>

static struct super_block *the_super;

static int stats(struct super_block *sb, struct fs_stats *s)
{
	*s = (struct fs_stats){ .type = SYSFS_MAGIC, .block_size = PAGE_SIZE, .name_max = 255 };
	return 0;
}

static const struct super_ops sysfs_super_ops = {
	.evict_inode = pseudo_tree_evict,
	.stats = stats,
};

/* One super block for all mounts, kept for ever. */
static struct super_block *sysfs_mount(const struct fs_type *t, u32 flags, const char *source,
				       const char *options)
{
	if (!the_super)
		return err_ptr(-ENODEV);
	ref_get(&the_super->refs);
	return the_super;
}

static const struct fs_type sysfs = {
	.name = "sysfs",
	.flags = FS_NODEV,
	.mount = sysfs_mount,
};
REGISTER_FS(sysfs);

/* Folders that are there even while nothing stands in them have one file at least: see entries.c. */
static int sysfs_init(void)
{
	struct super_block *sb = super_create(&sysfs, &sysfs_super_ops, 0);
	struct inode *root;

	if (!sb)
		return -ENOMEM;
	root = pseudo_tree_inode(sb, "sys");
	if (is_err(root))
		return (int)ptr_err(root);
	sb->root = dentry_create_root(root);
	if (!sb->root)
		return -ENOMEM;
	the_super = sb;
	return 0;
}
INIT_STEP(INIT_FS, sysfs_init);
