/* Overlay on three tmpfs directories: merging, hiding, copying up, moving, and what is left behind. */
/* tests: fs/overlay/super.c fs/overlay/inode.c fs/overlay/dir.c fs/overlay/file.c
 fs/overlay/readdir.c fs/overlay/copy_up.c */
/* needs: vfs/world_test.c tests/host/memory.c mm/page_cache.c mm/huge_file.c mm/read_ahead.c mm/lru.c mm/folio_lock.c mm/rmap.c
 mm/page_alloc.c mm/page_node.c mm/fault_injection_test.c */
#include "overlay.h"

#include <nos/test.h>
#include <nos/test_world.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>

struct listing {
	struct dir_context context;
	char text[128];
};

static bool list_add(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type, u64 next)
{
	struct listing *l = container_of(c, struct listing, context);
	size_t at = strlen(l->text);

	if (name[0] != '.' && at + len + 1 < sizeof(l->text)) {
		memcpy(l->text + at, name, len);
		l->text[at + len] = '\0';
	}
	return true;
}

/* The names, in any order, are these letters. */
static void expect_names(const char *dir, const char *want)
{
	struct file *f = file_open_at(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, 0);
	struct listing l = { .context = { list_add } };

	EXPECT(!is_err(f));
	if (is_err(f))
		return;
	EXPECT_EQ(f->ops->iterate(f, &l.context), 0);
	file_put(f);
	EXPECT_EQ(strlen(l.text), strlen(want));
	for (const char *p = want; *p; p++)
		EXPECT(strchr(l.text, *p) != NULL);
}

static int try_mount(const char *options)
{
	struct path p;
	int err;

	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	err = vfs_mount("o", &p, "overlay", 0, options);
	path_put(&p);
	return err;
}

static void umount(void)
{
	struct path p;

	EXPECT_EQ(path_lookup(AT_FDCWD, "m", 0, &p), 0);
	EXPECT_EQ(vfs_umount(&p, 0), 0);
	path_put(&p);
	rcu_barrier();
}

static void begin(void)
{
	static const char *const dirs[] = { "l", "k", "u", "w", "m", "l/d", "k/d", "k/e" };

	world_enter();
	for (u32 n = 0; n < ARRAY_SIZE(dirs); n++)
		VERIFY(!vfs_mkdir_at(AT_FDCWD, dirs[n], 0755));
	EXPECT_EQ(world_put_text("l/a", "top", O_CREAT), 0);
	EXPECT_EQ(world_put_text("k/a", "hidden", O_CREAT), 0);
	EXPECT_EQ(world_put_text("k/b", "bottom", O_CREAT), 0);
	EXPECT_EQ(world_put_text("l/d/x", "one", O_CREAT), 0);
	EXPECT_EQ(world_put_text("k/d/y", "two", O_CREAT), 0);
	EXPECT_EQ(vfs_symlink_at("d/x", AT_FDCWD, "k/s"), 0);
}

TEST(overlay_merges_and_hides)
{
	begin();
	EXPECT_EQ(try_mount("lowerdir=l:k,upperdir=u,workdir=w"), 0);
	expect_names("m", "abdes");
	expect_names("m/d", "xy");
	world_expect_text("m/a", "top");
	world_expect_text("m/b", "bottom");
	world_expect_text("m/s", "one");
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/a", 0), 0);
	EXPECT_EQ(world_exists("m/a"), -ENOENT);
	EXPECT_EQ(world_exists("l/a"), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d/x", 0), 0);
	expect_names("m/d", "y");
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d", AT_REMOVEDIR), -ENOTEMPTY);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d/y", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d", AT_REMOVEDIR), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/d", 0755), 0); /* opaque: nothing shines through */
	expect_names("m/d", "");
	expect_names("m", "bdes");
	world_expect_text("l/d/x", "one");
	umount();
	/* What was changed is in the upper layer. */
	EXPECT_EQ(try_mount("lowerdir=l:k,upperdir=u,workdir=w"), 0);
	expect_names("m", "bdes");
	expect_names("m/d", "");
	umount();
	world_leave();
}

TEST(overlay_copies_up_at_the_first_change)
{
	struct inode_change c = { .valid = ATTR_MODE, .mode = 0600 };
	struct stat_info s;
	struct path p;
	char value[8];

	begin();
	EXPECT_EQ(try_mount("lowerdir=l:k,upperdir=u,workdir=w"), 0);
	EXPECT_EQ(world_put_text("m/b", "B", 0), 0);
	world_expect_text("m/b", "Bottom");
	world_expect_text("k/b", "bottom");
	world_expect_text("u/b", "Bottom");
	EXPECT_EQ(world_put_text("m/d/y", "new", O_TRUNC), 0);
	world_expect_text("m/d/y", "new");
	world_expect_text("k/d/y", "two");
	EXPECT_EQ(path_lookup(AT_FDCWD, "m/a", 0, &p), 0);
	EXPECT_EQ(vfs_set_attributes(&p, &c), 0);
	EXPECT_EQ(vfs_set_xattr(&p, "user.v", "1", 1, 0), 0);
	EXPECT_EQ(vfs_get_xattr(&p, "user.v", value, sizeof(value)), 1);
	EXPECT_EQ(vfs_set_xattr(&p, OVERLAY_OPAQUE, "y", 1, 0), -EPERM);
	path_put(&p);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "m/a", 0, 0, &s), 0);
	EXPECT_EQ(s.mode & 0777, 0600);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "l/a", 0, 0, &s), 0);
	EXPECT_EQ(s.mode & 0777, 0644);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "m/e", AT_FDCWD, "m/f", 0), -EPERM);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "m/s", AT_FDCWD, "m/f", 0), 0);
	EXPECT_EQ(vfs_readlink_at(AT_FDCWD, "m/f", value, sizeof(value)), 3);
	umount();
	world_leave();
}

TEST(overlay_moves)
{
	begin();
	EXPECT_EQ(try_mount("lowerdir=l:k,upperdir=u,workdir=w"), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/a", AT_FDCWD, "m/n", 0), 0);
	EXPECT_EQ(world_exists("m/a"), -ENOENT);
	world_expect_text("m/n", "top");
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/d", AT_FDCWD, "m/o", 0), -EXDEV);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/p", 0755), 0);
	EXPECT_EQ(world_put_text("m/p/q", "q", O_CREAT), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/p", AT_FDCWD, "m/e", 0), 0);
	world_expect_text("m/e/q", "q");
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/n", AT_FDCWD, "m/b", RENAME_EXCHANGE), 0);
	world_expect_text("m/b", "top");
	world_expect_text("m/n", "bottom");
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/n", AT_FDCWD, "m/d/x", 0), 0);
	world_expect_text("m/d/x", "bottom");
	expect_names("m", "bdes");
	umount();
	world_leave();
}

/* Names that are known not to be in a directory may outlive it, but not its file system. */
TEST(overlay_names_below_a_removed_directory)
{
	begin();
	EXPECT_EQ(try_mount("lowerdir=l:k,upperdir=u,workdir=w"), 0);
	EXPECT_EQ(world_exists("m/e/none"), -ENOENT);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/e", AT_REMOVEDIR), 0);
	umount();
	dentry_reclaim(1000);
	world_leave();
}

TEST(overlay_mounts_that_fail)
{
	static const char *const options[] = { "",
					       "lowerdir=",
					       "lowerdir=none",
					       "lowerdir=l/a",
					       "lowerdir=l,upperdir=u",
					       "lowerdir=l,workdir=w",
					       "lowerdir=l,upperdir=u,workdir=u",
					       "lowerdir=l,upperdir=u,workdir=none",
					       "lowerdir=l,nonsense",
					       "upperdir=u,workdir=w" };

	begin();
	for (u32 n = 0; n < ARRAY_SIZE(options); n++)
		EXPECT(try_mount(options[n]) < 0);
	EXPECT_EQ(try_mount("lowerdir=l:k"), 0); /* no upper layer: read-only */
	expect_names("m", "abdes");
	EXPECT_EQ(world_put_text("m/a", "x", 0), -EROFS);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/a", 0), -EROFS);
	umount();
	world_leave();
}

static void some_changes(void)
{
	struct path p;

	if (try_mount("lowerdir=l:k,upperdir=u,workdir=w"))
		return;
	(void)world_put_text("m/b", "B", 0);
	(void)vfs_unlink_at(AT_FDCWD, "m/a", 0);
	(void)vfs_mkdir_at(AT_FDCWD, "m/a", 0755);
	(void)vfs_rename_at(AT_FDCWD, "m/d/x", AT_FDCWD, "m/x", 0);
	/* What could not be made is not there in part. */
	if (vfs_mkdir_at(AT_FDCWD, "m/new", 0755) == -ENOMEM)
		EXPECT(vfs_mkdir_at(AT_FDCWD, "m/new", 0755) != -EEXIST);
	(void)vfs_unlink_at(AT_FDCWD, "m/new", AT_REMOVEDIR);
	while (!path_lookup(AT_FDCWD, "m", 0, &p)) {
		int err = vfs_umount(&p, 0);

		path_put(&p);
		if (err != -ENOMEM)
			break;
	}
}

TEST(overlay_every_allocation_may_fail)
{
	begin();
	TEST_EACH_ALLOCATION_FAILING(some_changes());
	world_expect_text("l/a", "top"); /* the lower layers are as they were */
	world_expect_text("k/b", "bottom");
	world_expect_text("l/d/x", "one");
	rcu_barrier();
	world_leave();
}
