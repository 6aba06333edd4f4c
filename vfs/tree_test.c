/*
 * The file tree as a whole: names, walks, mounts, renames, on a tmpfs; each operation also with
 * every allocation failing in turn.
 */
/* needs: vfs/world_test.c */
#include "test_world.h"

static int make_file(const char *name)
{
	struct file *f = file_open_at(AT_FDCWD, name, O_CREAT | O_RDWR, 0644, 0);

	if (is_err(f))
		return (int)ptr_err(f);
	file_put(f);
	return 0;
}

static int stat_of(const char *name, struct stat_info *s)
{
	return vfs_stat_at(AT_FDCWD, name, 0, 0, s);
}

static int exists(const char *name)
{
	struct stat_info s;

	return vfs_stat_at(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, 0, &s);
}

TEST(names_are_made_found_and_removed)
{
	struct stat_info s;

	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), -EEXIST);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d/e/", 0755), 0);
	EXPECT_EQ(make_file("d/f"), 0);
	EXPECT_EQ(make_file("d/f/x"), -ENOTDIR);
	EXPECT_EQ(exists("d/none"), -ENOENT);
	EXPECT_EQ(exists("d/none/x"), -ENOENT);
	EXPECT_EQ(exists(""), -ENOENT);
	EXPECT_EQ(exists("d/f/"), -ENOTDIR);
	EXPECT_EQ(exists("d//e/./../f"), 0);
	EXPECT_EQ(stat_of("d", &s), 0);
	EXPECT_EQ(s.nlink, 3);
	EXPECT_EQ(s.mode, S_IFDIR | 0755);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d", AT_REMOVEDIR), -ENOTEMPTY);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/e", 0), -EISDIR);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/f", AT_REMOVEDIR), -ENOTDIR);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/.", AT_REMOVEDIR), -EINVAL);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/..", AT_REMOVEDIR), -ENOTEMPTY);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/f", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/f", 0), -ENOENT);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/e", AT_REMOVEDIR), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d", AT_REMOVEDIR), 0);
	world_leave();
}

TEST(long_and_strange_names)
{
	char name[300], path[600];

	world_enter();
	for (size_t len = 1; len <= 255; len += 1 + len / 8) {
		memset(name, 'a' + (int)(len % 26), len);
		name[len] = '\0';
		EXPECT_EQ(make_file(name), 0);
		EXPECT_EQ(exists(name), 0);
		name[len - 1] ^= 1;
		EXPECT_EQ(exists(name), -ENOENT);
		name[len - 1] ^= 1;
		EXPECT_EQ(vfs_unlink_at(AT_FDCWD, name, 0), 0);
	}
	memset(name, 'n', 256);
	name[256] = '\0';
	EXPECT_EQ(make_file(name), -ENAMETOOLONG);
	EXPECT_EQ(exists(name), -ENAMETOOLONG);
	name[255] = '\0';
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, name, 0700), 0);
	snprintf(path, sizeof(path), "%s/...", name);
	EXPECT_EQ(make_file(path), 0);
	EXPECT_EQ(exists(path), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, path, 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, name, AT_REMOVEDIR), 0);
	world_leave();
}

/* Names are read in words: wherever they lie, and across the end of a page too. */
TEST(names_at_any_address)
{
	static char pages[2 * PAGE_SIZE] __aligned(PAGE_SIZE);
	static const char *const names[] = { "a", "abcdefg", "abcdefgh", "d/name-of-17-bytes" };

	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		size_t len = strlen(names[n]) + 1;

		for (size_t at = PAGE_SIZE - len - 9; at < PAGE_SIZE + 9; at++) {
			memset(pages, 'x', sizeof(pages));
			memcpy(pages + at, names[n], len);
			EXPECT_EQ(make_file(pages + at), 0);
			EXPECT_EQ(exists(names[n]), 0);
			EXPECT_EQ(exists(pages + at), 0);
			EXPECT_EQ(vfs_symlink_at(pages + at, AT_FDCWD, "l"), 0);
			EXPECT_EQ(stat_of("l", &(struct stat_info){ 0 }), 0);
			EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "l", 0), 0);
			EXPECT_EQ(vfs_unlink_at(AT_FDCWD, pages + at, 0), 0);
			EXPECT_EQ(exists(names[n]), -ENOENT);
		}
	}
	world_leave();
}

/* As for the other calls that make a name: that it exists counts more than what else is wrong. */
TEST(links_to_names_that_exist)
{
	struct path at;

	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(make_file("f"), 0);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "d", AT_FDCWD, "e", 0), -EPERM);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "d", AT_FDCWD, "f", 0), -EEXIST);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "d", AT_FDCWD, "d", 0), -EEXIST);
	EXPECT_EQ(path_lookup(AT_FDCWD, "d", 0, &at), 0);
	EXPECT_EQ(vfs_mount("t", &at, "tmpfs", 0, ""), 0);
	path_put(&at);
	EXPECT_EQ(make_file("d/g"), 0);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "d/g", AT_FDCWD, "f", 0), -EEXIST);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "d/g", AT_FDCWD, "h", 0), -EXDEV);
	EXPECT_EQ(path_lookup(AT_FDCWD, "d", 0, &at), 0);
	EXPECT_EQ(vfs_umount(&at, 0), 0);
	path_put(&at);
	world_leave();
}

TEST(symbolic_links)
{
	char target[64];

	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(make_file("d/f"), 0);
	EXPECT_EQ(vfs_symlink_at("d", AT_FDCWD, "l"), 0);
	EXPECT_EQ(vfs_symlink_at("l/f", AT_FDCWD, "m"), 0);
	EXPECT_EQ(vfs_symlink_at("../m", AT_FDCWD, "d/up"), 0);
	EXPECT_EQ(vfs_symlink_at("x", AT_FDCWD, "x"), 0);
	EXPECT_EQ(vfs_symlink_at("gone", AT_FDCWD, "dangling"), 0);
	EXPECT_EQ(vfs_symlink_at("", AT_FDCWD, "empty"), -ENOENT);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "l/up", 0, 0, &(struct stat_info){ 0 }), 0);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "x", 0, 0, &(struct stat_info){ 0 }), -ELOOP);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "dangling", 0, 0, &(struct stat_info){ 0 }), -ENOENT);
	EXPECT_EQ(vfs_readlink_at(AT_FDCWD, "m", target, sizeof(target)), 3);
	EXPECT_EQ(vfs_readlink_at(AT_FDCWD, "d", target, sizeof(target)), -EINVAL);
	EXPECT(is_err(file_open_at(AT_FDCWD, "l", O_NOFOLLOW, 0, 0)));
	/* O_CREAT makes what a dangling link names. */
	EXPECT_EQ(make_file("dangling"), 0);
	EXPECT_EQ(exists("gone"), 0);
	world_leave();
}

/* With LOOKUP_IN_ROOT the working directory is the root, of absolute names too (openat2(2)). */
TEST(the_working_directory_as_root)
{
	struct path d, before, p;

	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(make_file("d/f"), 0);
	EXPECT_EQ(path_lookup(AT_FDCWD, "d", 0, &d), 0);
	before = fs_context_current()->cwd;
	path_get(&before);
	EXPECT_EQ(fs_context_set_cwd(fs_context_current(), &d), 0);
	EXPECT_EQ(path_lookup(AT_FDCWD, "/world", LOOKUP_IN_ROOT, &p), -ENOENT);
	EXPECT_EQ(path_lookup(AT_FDCWD, "/../f", LOOKUP_IN_ROOT, &p), 0);
	path_put(&p);
	EXPECT_EQ(path_lookup(AT_FDCWD, "/f", LOOKUP_BENEATH, &p), -EXDEV);
	EXPECT_EQ(fs_context_set_cwd(fs_context_current(), &before), 0);
	path_put(&before);
	path_put(&d);
	world_leave();
}

TEST(renames)
{
	struct stat_info a, b;

	world_enter();
	EXPECT_EQ(make_file("a"), 0);
	EXPECT_EQ(make_file("b"), 0);
	EXPECT_EQ(stat_of("a", &a), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), -EEXIST);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "a", AT_FDCWD, "b", 0), 0);
	EXPECT_EQ(exists("a"), -ENOENT);
	EXPECT_EQ(stat_of("b", &b), 0);
	EXPECT_EQ(a.ino, b.ino);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d/e", 0755), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d", AT_FDCWD, "d/e/x", 0), -EINVAL);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "b", AT_FDCWD, "d", 0), -EISDIR);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d", AT_FDCWD, "b", 0), -ENOTDIR);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d/e", AT_FDCWD, "d", 0), -ENOTEMPTY);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "b", AT_FDCWD, "d/e", RENAME_EXCHANGE), 0);
	EXPECT_EQ(stat_of("d/e", &b), 0);
	EXPECT_EQ(a.ino, b.ino);
	EXPECT_EQ(exists("b/"), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d/e", AT_FDCWD, "moved", RENAME_WHITEOUT), 0);
	EXPECT_EQ(stat_of("d/e", &b), 0);
	EXPECT_EQ(b.mode & S_IFMT, S_IFCHR);
	EXPECT_EQ(stat_of("moved", &b), 0);
	EXPECT_EQ(a.ino, b.ino);
	world_leave();
}

struct counting {
	struct dir_context context;
	u32 nr;
};

static bool count_name(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type, u64 next)
{
	container_of(c, struct counting, context)->nr++;
	return true;
}

static u32 nr_listed(const char *dir)
{
	struct file *f = file_open_at(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, 0);
	struct counting c = { .context = { count_name } };

	VERIFY(!is_err(f));
	EXPECT_EQ(f->ops->iterate(f, &c.context), 0);
	file_put(f);
	return c.nr - 2; /* "." and ".." */
}

/* What a move leaves at the old name is listed, be the new one in the same directory or not. */
TEST(whiteouts_are_listed)
{
	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(make_file("d/a"), 0);
	EXPECT_EQ(make_file("d/b"), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d/a", AT_FDCWD, "d/c", RENAME_WHITEOUT), 0);
	EXPECT_EQ(nr_listed("d"), 3);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d/b", AT_FDCWD, "d/c", RENAME_WHITEOUT), 0);
	EXPECT_EQ(nr_listed("d"), 3);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d/c", AT_FDCWD, "e", RENAME_WHITEOUT), 0);
	EXPECT_EQ(nr_listed("d"), 3);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/a", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/b", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "d/c", 0), 0);
	EXPECT_EQ(nr_listed("d"), 0);
	world_leave();
}

TEST(exchanged_names_are_listed)
{
	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(make_file("d/a"), 0);
	EXPECT_EQ(make_file("d/b"), 0);
	EXPECT_EQ(make_file("d/c"), 0);
	EXPECT_EQ(make_file("e"), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d/a", AT_FDCWD, "d/b", RENAME_EXCHANGE), 0);
	EXPECT_EQ(nr_listed("d"), 3);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d/a", AT_FDCWD, "e", RENAME_EXCHANGE), 0);
	EXPECT_EQ(nr_listed("d"), 3);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "e", AT_FDCWD, "d/c", RENAME_EXCHANGE), 0);
	EXPECT_EQ(nr_listed("d"), 3);
	world_leave();
}

TEST(names_of_places)
{
	char buffer[64], *name;
	struct path p;

	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d", 0755), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "d/e", 0755), 0);
	EXPECT_EQ(path_lookup(AT_FDCWD, "d/e", 0, &p), 0);
	name = path_format(&p, &world_root, buffer, sizeof(buffer));
	EXPECT_EQ(strcmp(name, "/d/e"), 0);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "d", AT_FDCWD, "other", 0), 0);
	name = path_format(&p, &world_root, buffer, sizeof(buffer));
	EXPECT_EQ(strcmp(name, "/other/e"), 0);
	EXPECT(is_err(path_format(&p, &world_root, buffer, 5)));
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "other/e", AT_REMOVEDIR), 0);
	name = path_format(&p, &world_root, buffer, sizeof(buffer));
	EXPECT_EQ(strcmp(name, "/other/e (deleted)"), 0);
	/* Nothing is made in a directory that is gone. */
	EXPECT_EQ(dentry_make(p.dentry, "x", S_IFREG | 0644, 0, NULL, NULL), -ENOENT);
	path_put(&p);
	world_leave();
}

TEST(mounts_are_crossed_both_ways)
{
	struct path at, up;
	struct stat_info outer, inner;

	world_enter();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m", 0755), 0);
	EXPECT_EQ(stat_of("m", &outer), 0);
	EXPECT_EQ(path_lookup(AT_FDCWD, "m", 0, &at), 0);
	EXPECT_EQ(vfs_mount("t", &at, "tmpfs", 0, "size=64k,mode=700"), 0);
	EXPECT_EQ(vfs_mount("t", &at, "nothing", 0, ""), -ENODEV);
	path_put(&at);
	EXPECT_EQ(stat_of("m", &inner), 0);
	EXPECT(inner.dev != outer.dev);
	EXPECT_EQ(inner.mode & 07777, 0700);
	EXPECT_EQ(make_file("m/f"), 0);
	EXPECT_EQ(exists("m/../m/f"), 0);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "m/f", AT_FDCWD, "g", 0), -EXDEV);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/f", AT_FDCWD, "g", 0), -EXDEV);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m", AT_REMOVEDIR), -EBUSY);
	EXPECT_EQ(path_lookup(AT_FDCWD, "m/f", LOOKUP_NO_XDEV, &up), -EXDEV);
	EXPECT_EQ(path_lookup(AT_FDCWD, "m", 0, &at), 0);
	EXPECT_EQ(path_lookup(AT_FDCWD, "m/f", 0, &up), 0);
	EXPECT_EQ(vfs_umount(&at, 0), -EBUSY);
	path_put(&up);
	EXPECT_EQ(vfs_umount(&at, 0), 0);
	path_put(&at);
	EXPECT_EQ(exists("m/f"), -ENOENT);
	world_leave();
}

static void some_operations(void)
{
	struct path p;

	(void)vfs_mkdir_at(AT_FDCWD, "d", 0755);
	(void)make_file("d/a-name-that-is-longer-than-what-lies-in-the-dentry-itself");
	(void)vfs_symlink_at("d", AT_FDCWD, "l");
	(void)vfs_rename_at(AT_FDCWD, "l/a-name-that-is-longer-than-what-lies-in-the-dentry-itself",
			    AT_FDCWD, "another-name-that-is-longer-than-forty-bytes",
			    RENAME_WHITEOUT);
	(void)vfs_link_at(AT_FDCWD, "another-name-that-is-longer-than-forty-bytes", AT_FDCWD, "h",
			  0);
	if (!path_lookup(AT_FDCWD, "d", 0, &p)) {
		(void)vfs_mount("x", &p, "tmpfs", 0, "size=1m");
		path_put(&p);
	}
	(void)make_file("d/inside");
	if (!path_lookup(AT_FDCWD, "d", 0, &p)) {
		(void)vfs_umount(&p, 2 /* MNT_DETACH */);
		path_put(&p);
	}
	(void)vfs_unlink_at(AT_FDCWD, "l", 0);
	(void)vfs_unlink_at(AT_FDCWD, "h", 0);
}

TEST(every_allocation_of_the_tree_may_fail)
{
	struct path p;

	world_enter();
	TEST_EACH_ALLOCATION_FAILING(some_operations());
	/* Mounts that could not be found for want of memory. */
	while (!path_lookup(AT_FDCWD, "d", 0, &p)) {
		int err = vfs_umount(&p, 2);

		path_put(&p);
		if (err)
			break;
	}
	world_leave();
}
