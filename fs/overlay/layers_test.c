/*
 * Overlay where layers are not plain files of a tmpfs: all kinds of inode, links, attributes, listings
 * that change, a lower layer that fails or has its own attributes, options, and each allocation failing.
 */
/* needs: fs/p9/server_test.c */
#include "overlay.h"

#include <nos/test.h>
#include <nos/test_world.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mount.h>

#include "../p9/test_server.h"

#define OPTIONS "lowerdir=l:k,upperdir=u,workdir=w"

static int stat_of(const char *name, struct stat_info *s)
{
	return vfs_stat_at(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, 0, s);
}

static struct path find(const char *name)
{
	struct path p;

	VERIFY(!path_lookup(AT_FDCWD, name, 0, &p));
	return p;
}

static int mount_at(const char *where, const char *source, const char *type, u64 flags,
		    const char *options)
{
	struct path p = find(where);
	int err = vfs_mount(source, &p, type, flags, options);

	path_put(&p);
	return err;
}

static void umount(const char *where)
{
	struct path p = find(where);

	EXPECT_EQ(vfs_umount(&p, 0), 0);
	path_put(&p);
	rcu_barrier();
}

static void begin(void)
{
	static const char *const dirs[] = { "l", "k", "u", "w", "m", "k/d" };

	world_enter();
	for (u32 n = 0; n < ARRAY_SIZE(dirs); n++)
		VERIFY(!vfs_mkdir_at(AT_FDCWD, dirs[n], 0755));
}

static void begin_mounted(void)
{
	begin();
	EXPECT_EQ(world_put_text("k/f", "lower", O_CREAT), 0);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
}

static void end(void)
{
	umount("m");
	world_leave();
}

static bool has_name(const char *list, ssize_t len, const char *name)
{
	for (const char *at = list; at < list + len; at += strlen(at) + 1)
		if (!strcmp(at, name))
			return true;
	return false;
}

TEST(overlay_attributes_come_along)
{
	char list[256], value[8];
	struct path p;

	begin();
	EXPECT_EQ(world_put_text("k/f", "text", O_CREAT), 0);
	p = find("k/f");
	EXPECT_EQ(vfs_set_xattr(&p, "user.a", "1", 1, 0), 0);
	EXPECT_EQ(vfs_set_xattr(&p, "user.long", "22", 2, 0), 0);
	EXPECT_EQ(vfs_set_xattr(&p, OVERLAY_PREFIX "origin", "x", 1, 0),
		  0); /* of another overlay */
	path_put(&p);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
	p = find("m/f");
	for (int above = 0; above < 2; above++) {
		ssize_t n = vfs_list_xattr(&p, list, sizeof(list));

		EXPECT_EQ(n, sizeof("user.a") + sizeof("user.long"));
		EXPECT(has_name(list, n, "user.a") && has_name(list, n, "user.long"));
		EXPECT_EQ(vfs_list_xattr(&p, list, 0), n);
		EXPECT_EQ(vfs_list_xattr(&p, list, 9), -ERANGE);
		EXPECT_EQ(vfs_get_xattr(&p, "user.long", value, sizeof(value)), 2);
		EXPECT_EQ(vfs_get_xattr(&p, OVERLAY_INO, value, sizeof(value)), -ENODATA);
		TEST_EACH_ALLOCATION_FAILING({
			n = vfs_list_xattr(&p, list, sizeof(list));
			EXPECT(n == -ENOMEM || n == sizeof("user.a") + sizeof("user.long"));
		});
		EXPECT_EQ(world_put_text("m/f", "T", 0), 0); /* copies it up */
	}
	path_put(&p);
	p = find("u/f");
	EXPECT_EQ(vfs_get_xattr(&p, OVERLAY_PREFIX "origin", value, sizeof(value)), -ENODATA);
	path_put(&p);
	end();
}

TEST(overlay_all_kinds_of_inode)
{
	const struct {
		const char *name;
		u32 mode;
		u64 dev;
	} kinds[] = { { "p", S_IFIFO, 0 },
		      { "q", S_IFSOCK, 0 },
		      { "c", S_IFCHR, make_dev(1, 3) },
		      { "b", S_IFBLK, make_dev(7, 0) } };
	struct inode_change chmod = { .valid = ATTR_MODE, .mode = 0600 };
	char name[8], target[8];
	struct stat_info s;
	struct path p;

	begin();
	for (u32 n = 0; n < ARRAY_SIZE(kinds); n++) {
		snprintf(name, sizeof(name), "k/%s", kinds[n].name);
		EXPECT_EQ(vfs_mknod_at(AT_FDCWD, name, kinds[n].mode | 0644, kinds[n].dev), 0);
	}
	EXPECT_EQ(vfs_symlink_at("p", AT_FDCWD, "k/l"), 0);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
	for (u32 n = 0; n < ARRAY_SIZE(kinds); n++) {
		snprintf(name, sizeof(name), "m/%s", kinds[n].name);
		EXPECT_EQ(stat_of(name, &s), 0);
		EXPECT_EQ(s.mode, kinds[n].mode | 0644);
		EXPECT_EQ(s.rdev, kinds[n].dev);
		p = find(name);
		EXPECT_EQ(vfs_set_attributes(&p, &chmod), 0); /* copies it up */
		path_put(&p);
		EXPECT_EQ(stat_of(name, &s), 0);
		EXPECT_EQ(s.mode, kinds[n].mode | 0600);
		EXPECT_EQ(s.rdev, kinds[n].dev);
		name[0] = 'u';
		EXPECT_EQ(world_exists(name), 0);
		name[0] = 'm';
		name[2] = (char)(name[2] - 'a' + 'A'); /* and new ones */
		EXPECT_EQ(vfs_mknod_at(AT_FDCWD, name, kinds[n].mode | 0644, kinds[n].dev), 0);
		EXPECT_EQ(stat_of(name, &s), 0);
		EXPECT_EQ(s.mode & S_IFMT, kinds[n].mode);
	}
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/l", AT_FDCWD, "m/L", 0), 0);
	EXPECT_EQ(vfs_readlink_at(AT_FDCWD, "m/L", target, sizeof(target)), 1);
	EXPECT_EQ(vfs_symlink_at("target", AT_FDCWD, "m/new"), 0);
	EXPECT_EQ(vfs_readlink_at(AT_FDCWD, "m/new", target, sizeof(target)), 6);
	/* What would hide a name is not made by hand. */
	EXPECT_EQ(vfs_mknod_at(AT_FDCWD, "m/w", S_IFCHR, 0), -EPERM);
	EXPECT_EQ(world_exists("m/w"), -ENOENT);
	end();
}

/* Names of one upper file share an inode; a name that was hidden may be a link's. */
TEST(overlay_links)
{
	struct stat_info a, b;

	begin_mounted();
	EXPECT_EQ(world_put_text("m/n", "new", O_CREAT), 0);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "m/n", AT_FDCWD, "m/o", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/f", 0), 0);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "m/n", AT_FDCWD, "m/f", 0), 0);
	world_expect_text("m/f", "new");
	umount("m");
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
	EXPECT_EQ(stat_of("m/n", &a), 0);
	EXPECT_EQ(stat_of("m/f", &b), 0);
	EXPECT_EQ(a.ino, b.ino);
	EXPECT_EQ(a.nlink, 3);
	EXPECT_EQ(world_put_text("m/o", "N", 0), 0);
	world_expect_text("m/f", "New");
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/f", 0), 0);
	EXPECT_EQ(world_exists("m/f"), -ENOENT); /* not what is below */
	EXPECT_EQ(stat_of("m/n", &a), 0);
	EXPECT_EQ(a.nlink, 2);
	end();
}

TEST(overlay_files_without_a_name)
{
	struct file *f;
	char text[8];
	u64 pos = 0;

	begin_mounted();
	f = file_open_at(AT_FDCWD, "m/d", O_TMPFILE | O_RDWR, 0600,
			 0); /* copies the directory up */
	EXPECT(!is_err(f));
	if (!is_err(f)) {
		EXPECT_EQ(file_write_kernel(f, "abc", 3, &pos), 3);
		EXPECT_EQ(file_read_kernel(f, text, sizeof(text), 0), 3);
		file_put(f);
	}
	EXPECT_EQ(world_exists("u/d"), 0);
	TEST_EACH_ALLOCATION_FAILING({
		f = file_open_at(AT_FDCWD, "m", O_TMPFILE | O_RDWR, 0600, 0);
		if (is_err(f))
			EXPECT_EQ(ptr_err(f), -ENOMEM);
		else
			file_put(f);
	});
	end();
}

TEST(overlay_figures_and_options)
{
	struct fs_stats stats;
	char text[128];
	struct path p;

	begin_mounted();
	p = find("m");
	EXPECT_EQ(vfs_statfs(&p, &stats), 0);
	EXPECT_EQ(stats.type, OVERLAYFS_SUPER_MAGIC);
	EXPECT(p.dentry->sb->ops->show_options(p.dentry->sb, text, sizeof(text)) > 0);
	EXPECT(!strcmp(text, "," OPTIONS));
	path_put(&p);
	end();
}

/* ---- listings ---- */

struct listing {
	struct dir_context context;
	char text[128];
};

static void append(char *to, const char *text, size_t len)
{
	size_t at = strlen(to);

	memcpy(to + at, text, len);
	to[at + len] = '\0';
}

static bool list_add(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type, u64 next)
{
	struct listing *l = container_of(c, struct listing, context);

	if (name[0] != '.')
		append(l->text, name, len);
	return true;
}

static int list(struct file *f, char *to)
{
	struct listing l = { .context = { list_add } };
	int err;

	EXPECT_EQ(f->ops->seek(f, 0, 0 /* SEEK_SET */), 0);
	err = f->ops->iterate(f, &l.context);
	string_copy(to, l.text, sizeof(l.text));
	return err;
}

/* A directory of one layer is passed on; once it is copied up, a listing that starts anew is merged. */
TEST(overlay_listing_that_becomes_merged)
{
	struct file *f;
	char text[128];

	begin();
	EXPECT_EQ(world_put_text("k/d/x", "", O_CREAT), 0);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
	f = file_open_at(AT_FDCWD, "m/d", O_RDONLY | O_DIRECTORY, 0, 0);
	VERIFY(!is_err(f));
	EXPECT_EQ(list(f, text), 0);
	EXPECT(!strcmp(text, "x"));
	EXPECT_EQ(f->ops->sync(f, 0, U64_MAX, false), 0);
	EXPECT_EQ(world_put_text("m/d/y", "", O_CREAT), 0);
	EXPECT_EQ(list(f, text), 0);
	EXPECT(strlen(text) == 2 && strchr(text, 'x') && strchr(text, 'y'));
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d/x", 0), 0);
	EXPECT_EQ(list(f, text), 0);
	EXPECT(!strcmp(text, "y"));
	file_put(f);
	end();
}

TEST(overlay_listing_without_memory)
{
	char text[128];

	begin_mounted();
	EXPECT_EQ(world_put_text("k/d/x", "", O_CREAT), 0);
	EXPECT_EQ(world_put_text("m/g", "", O_CREAT), 0);
	TEST_EACH_ALLOCATION_FAILING({
		for (int n = 0; n < 2; n++) {
			struct file *f = file_open_at(AT_FDCWD, n ? "m/d" : "m",
						      O_RDONLY | O_DIRECTORY, 0, 0);
			int err;

			if (is_err(f)) {
				EXPECT_EQ(ptr_err(f), -ENOMEM);
				continue;
			}
			err = list(f, text);
			EXPECT(err == -ENOMEM || (err == 0 && strlen(text) == (n ? 1 : 3)));
			file_put(f);
		}
	});
	end();
}

/* ---- moves ---- */

TEST(overlay_moves_onto_directories)
{
	struct file *f;

	begin();
	EXPECT_EQ(world_put_text("k/d/x", "", O_CREAT), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "k/e", 0755), 0);
	EXPECT_EQ(world_put_text("k/g", "below", O_CREAT), 0);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/n", 0755), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/n", AT_FDCWD, "m/d", 0), -ENOTEMPTY);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d/x", 0), 0); /* leaves a whiteout in the upper one */
	EXPECT_EQ(world_put_text("m/n/y", "why", O_CREAT), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/n", AT_FDCWD, "m/d", 0), 0);
	world_expect_text("m/d/y", "why");
	EXPECT_EQ(world_exists("m/d/x"), -ENOENT); /* opaque */
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/e", AT_FDCWD, "m/d", RENAME_EXCHANGE), -EXDEV);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/d", AT_FDCWD, "m/e", RENAME_EXCHANGE), -EXDEV);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/g", AT_FDCWD, "m/h", RENAME_WHITEOUT), -EINVAL);
	/* The number of links of what is replaced, be it above or below. */
	EXPECT_EQ(world_put_text("m/h", "above", O_CREAT), 0);
	EXPECT_EQ(world_put_text("m/i", "mover", O_CREAT), 0);
	f = file_open_at(AT_FDCWD, "m/h", O_PATH, 0, 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/i", AT_FDCWD, "m/h", 0), 0);
	EXPECT_EQ(f->path.dentry->inode->nlink, 0);
	file_put(f);
	f = file_open_at(AT_FDCWD, "m/g", O_PATH, 0, 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/h", AT_FDCWD, "m/g", 0), 0);
	EXPECT_EQ(f->path.dentry->inode->nlink, 0);
	file_put(f);
	world_expect_text("m/g", "mover");
	world_expect_text("k/g", "below");
	end();
}

/* ---- options ---- */

TEST(overlay_options_that_are_odd)
{
	char many[200] = "lowerdir=l";
	static const char *const good[] = { "lowerdir=a\\:b", "lowerdir=c\\,d,index=off,xino=auto",
					    "lowerdir=l:k,", "lowerdir=l,volatile,metacopy=off" };
	static const char *const bad[] = { "lowerdir=l,upperdir=none,workdir=w",
					   "lowerdir=l,upperdir=u,workdir=r",
					   "lowerdir=l,upperdir=r,workdir=r/w", "lowerdir=a:b" };

	begin();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "a:b", 0755), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "c,d", 0755), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "r", 0755), 0);
	EXPECT_EQ(mount_at("r", "t", "tmpfs", MS_RDONLY, ""), 0);
	for (u32 n = 0; n < ARRAY_SIZE(good); n++) {
		EXPECT_EQ(mount_at("m", "o", "overlay", 0, good[n]), 0);
		umount("m");
	}
	for (u32 n = 0; n < ARRAY_SIZE(bad); n++)
		EXPECT(mount_at("m", "o", "overlay", 0, bad[n]) < 0);
	for (u32 n = 0; n < OVERLAY_MAX_LOWER; n++)
		append(many, ":k", 2);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, many), -EINVAL); /* one too many */
	many[strlen(many) - 2] = '\0';
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, many), 0);
	umount("m");
	umount("r");
	world_leave();
}

/* What is to be the directory of work is something else. */
TEST(overlay_work_that_is_a_file)
{
	begin();
	EXPECT_EQ(world_put_text("k/f", "lower", O_CREAT), 0);
	EXPECT_EQ(world_put_text("w/work", "", O_CREAT), 0);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), -ENOTDIR);
	world_leave();
}

/* ---- a lower layer on 9P ---- */

static void begin_p9(void)
{
	begin();
	test_server_start();
	EXPECT_EQ(mount_at("l", TEST_SERVER, "9p", 0, "cache=none"), 0);
	test_server_put("f", "remote");
	test_server_put("g", "other");
	EXPECT_EQ(vfs_symlink_at("f", AT_FDCWD, "l/s"), 0);
	EXPECT_EQ(world_put_text("k/f", "below", O_CREAT), 0);
	EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
}

static void end_p9(void)
{
	test_server.fail = 0;
	umount("m");
	umount("l");
	EXPECT_EQ(test_server.nr_fids, 0);
	world_leave();
}

/* An error of a lower layer is told, not taken for "not there". */
TEST(overlay_lower_layer_that_fails)
{
	char text[128];
	struct file *f;

	begin_p9();
	world_expect_text("m/f", "remote");
	test_server.fail = P9_TWALK;
	EXPECT_EQ(world_exists("m/h"), -EIO);
	EXPECT_EQ(world_put_text("m/h", "x", O_CREAT), -EIO);
	test_server.fail = P9_TREAD;
	EXPECT_EQ(world_put_text("m/g", "X", 0), -EIO); /* can't be copied up */
	test_server.fail = P9_TREADLINK;
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/s", AT_FDCWD, "m/t", 0), -EIO);
	test_server.fail = P9_TREADDIR;
	f = file_open_at(AT_FDCWD, "m", O_RDONLY | O_DIRECTORY, 0, 0);
	VERIFY(!is_err(f));
	EXPECT_EQ(list(f, text), -EIO);
	test_server.fail = 0;
	EXPECT_EQ(list(f, text), 0);
	EXPECT_EQ(strlen(text), 4); /* d f g s */
	file_put(f);
	world_expect_text("m/g", "other");
	EXPECT_EQ(world_exists("u/g"), -ENOENT);
	EXPECT_EQ(world_exists("u/t"), -ENOENT);
	EXPECT_EQ(world_put_text("m/g", "X", 0), 0);
	world_expect_text("m/g", "Xther");
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/s", AT_FDCWD, "m/t", 0), 0);
	EXPECT_EQ(vfs_readlink_at(AT_FDCWD, "m/t", text, sizeof(text)), 1);
	end_p9();
}

/* If it can't be known whether something would shine through, the name is not removed. */
TEST(overlay_removal_that_can_not_look_below)
{
	begin_p9();
	EXPECT_EQ(world_put_text("m/f", "R", 0), 0);
	test_server.fail = P9_TWALK;
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/f", 0), -EIO);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/f", AT_FDCWD, "m/d/f", 0), -EIO);
	test_server.fail = 0;
	world_expect_text("m/f", "Remote");
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/f", 0), 0);
	EXPECT_EQ(world_exists("m/f"), -ENOENT);
	end_p9();
}

/* ---- no memory ---- */

/* What was changed above is there until it is removed; what is below does not shine through. */
TEST(overlay_removals_without_memory)
{
	u32 failed = true;

	begin_mounted();
	EXPECT_EQ(world_put_text("k/d/x", "", O_CREAT), 0);
	for (u32 n = 1; failed; n++) {
		int file, dir, move;

		EXPECT_EQ(world_put_text("m/f", "upper", O_CREAT | O_TRUNC), 0);
		EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d/x", 0), 0);
		test_fail_allocation(n);
		dir = vfs_unlink_at(AT_FDCWD, "m/d", AT_REMOVEDIR);
		move = vfs_rename_at(AT_FDCWD, "m/f", AT_FDCWD, "m/g", 0);
		file = move ? vfs_unlink_at(AT_FDCWD, "m/f", 0) : 0;
		failed = test_allocation_failed();
		test_fail_allocation(0);
		EXPECT(file == 0 || file == -ENOMEM);
		EXPECT(move == 0 || move == -ENOMEM);
		EXPECT_EQ(dir == 0 ? -ENOMEM : dir, -ENOMEM);
		if (file)
			world_expect_text("m/f", "upper");
		else
			EXPECT_EQ(world_exists("m/f"), -ENOENT);
		if (!move)
			world_expect_text("m/g", "upper");
		EXPECT_EQ(world_exists("m/d"), dir ? 0 : -ENOENT);
		EXPECT_EQ(world_exists("m/d/x"), -ENOENT);
		/* As it was, for the next round. */
		if (!move)
			EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/g", 0), 0);
		if (dir)
			EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d", AT_REMOVEDIR), 0);
		EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "u/d", 0), 0); /* the whiteout */
		umount("m");
		EXPECT_EQ(mount_at("m", "o", "overlay", 0, OPTIONS), 0);
	}
	end();
}

static void other_changes(void)
{
	struct path p;
	char list_text[64];

	(void)vfs_symlink_at("t", AT_FDCWD, "m/s");
	(void)vfs_mknod_at(AT_FDCWD, "m/p", S_IFIFO | 0600, 0);
	(void)vfs_link_at(AT_FDCWD, "m/f", AT_FDCWD, "m/h", 0);
	(void)vfs_unlink_at(AT_FDCWD, "m/g", 0);
	if (vfs_mkdir_at(AT_FDCWD, "m/g", 0755) == 0)
		EXPECT_EQ(world_exists("m/g/x") == 0, 0); /* nothing shines through */
	(void)vfs_rename_at(AT_FDCWD, "m/g", AT_FDCWD, "m/e", 0);
	(void)vfs_rename_at(AT_FDCWD, "m/f", AT_FDCWD, "m/h", RENAME_EXCHANGE);
	if (!path_lookup(AT_FDCWD, "m/d/x", 0, &p)) {
		(void)vfs_set_xattr(&p, "user.a", "1", 1, 0);
		(void)vfs_list_xattr(&p, list_text, sizeof(list_text));
		path_put(&p);
	}
	(void)vfs_unlink_at(AT_FDCWD, "m/d/x", 0);
	(void)vfs_unlink_at(AT_FDCWD, "m/d", AT_REMOVEDIR);
}

TEST(overlay_every_allocation_of_other_changes_may_fail)
{
	struct path p;

	begin();
	EXPECT_EQ(world_put_text("k/f", "lower", O_CREAT), 0);
	EXPECT_EQ(world_put_text("k/g", "lower", O_CREAT), 0);
	EXPECT_EQ(world_put_text("k/d/x", "lower", O_CREAT), 0);
	p = find("k/d/x");
	EXPECT_EQ(vfs_set_xattr(&p, "user.b", "2", 1, 0), 0);
	path_put(&p);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "k/e", 0755), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "t", 0755), 0);
	for (u32 n = 1, failed = true; failed; n++) {
		EXPECT_EQ(mount_at("t", "t", "tmpfs", 0, ""), 0);
		EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "t/u", 0755), 0);
		EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "t/w", 0755), 0);
		test_fail_allocation(n);
		bool mounted =
			!mount_at("m", "o", "overlay", 0, "lowerdir=l:k,upperdir=t/u,workdir=t/w");

		if (mounted)
			other_changes();
		failed = test_allocation_failed();
		test_fail_allocation(0);
		if (mounted)
			umount("m");
		umount("t");
	}
	world_expect_text("k/f", "lower");
	world_expect_text("k/d/x", "lower");
	world_leave();
}
