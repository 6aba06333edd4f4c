#include "../test.h"

TEST(hard_links)
{
	struct stat st;
	int fd;

	test_make_file("a", "x");
	CHECK_OK(link("a", "b"));
	CHECK_ERR(link("a", "b"), EEXIST);
	CHECK_ERR(link("none", "c"), ENOENT);
	CHECK_ERR(link("a", "no/c"), ENOENT);
	CHECK_ERR(link("a", "a/c"), ENOTDIR);
	CHECK_ERR(link("a", ""), ENOENT);
	CHECK_ERR(link("", "c"), ENOENT);
	CHECK_OK(mkdir("d", 0755));
	CHECK_ERR(link("d", "e"), EPERM);
	CHECK_ERR(link("d", "d"), EEXIST);
	CHECK_ERR(link("a", "c/"), ENOENT);
	CHECK_OK(unlink("a"));
	CHECK_OK(stat("b", &st));
	CHECK_EQ(st.st_nlink, 1);
	fd = CHECK_OK(open("b", O_RDONLY));
	CHECK_OK(unlink("b"));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	test_make_file("a", "x");
	CHECK_ERR(link("a", WILD), EFAULT);
	CHECK_ERR(link(WILD, "a"), EFAULT);
}

TEST(linkat_flags)
{
	struct stat st;

	test_make_file("f", "x");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(linkat(AT_FDCWD, "l", AT_FDCWD, "l2", 0));
	CHECK_OK(lstat("l2", &st));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(st.st_nlink, 2);
	CHECK_OK(linkat(AT_FDCWD, "l", AT_FDCWD, "f2", AT_SYMLINK_FOLLOW));
	CHECK_OK(lstat("f2", &st));
	CHECK(S_ISREG(st.st_mode));
	CHECK_ERR(linkat(AT_FDCWD, "f", AT_FDCWD, "x", 0x8000), EINVAL);
	CHECK_ERR(linkat(-1, "f", AT_FDCWD, "x", 0), EBADF);
	CHECK_ERR(link("f", "/dev/shm/x"), EXDEV);
}

TEST(unlinking)
{
	CHECK_OK(mkdir("d", 0755));
	test_make_file("d/f", "");
	test_make_file("f", "");
	CHECK_ERR(unlink("d"), EISDIR);
	CHECK_ERR(unlink("none"), ENOENT);
	CHECK_ERR(unlink("f/"), ENOTDIR);
	CHECK_ERR(unlink("f/x"), ENOTDIR);
	CHECK_ERR(unlink(""), ENOENT);
	CHECK_ERR(unlink("/"), EISDIR);
	CHECK_ERR(unlink("."), EISDIR);
	CHECK_ERR(unlink(WILD), EFAULT);
	CHECK_ERR(unlinkat(AT_FDCWD, "f", 1), EINVAL);
	CHECK_ERR(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	CHECK_ERR(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR), ENOTEMPTY);
	CHECK_OK(unlink("d/f"));
	CHECK_OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(unlink("l"));
	CHECK_OK(access("f", F_OK));
	CHECK_OK(symlink("none", "l"));
	CHECK_OK(unlink("l"));
}

TEST(directories)
{
	struct stat st;
	char cwd[64];

	umask(027);
	CHECK_OK(mkdir("d", 0777));
	CHECK_OK(stat("d", &st));
	CHECK_EQ(st.st_mode, S_IFDIR | 0750);
	CHECK_ERR(mkdir("d", 0777), EEXIST);
	CHECK_ERR(mkdir("d/", 0777), EEXIST);
	CHECK_ERR(mkdir(".", 0777), EEXIST);
	CHECK_ERR(mkdir("/", 0777), EEXIST);
	CHECK_ERR(mkdir("", 0777), ENOENT);
	CHECK_ERR(mkdir("x/y", 0777), ENOENT);
	CHECK_OK(mkdir("e/", 0777));
	CHECK_OK(mkdir("d/sub", 0777));
	CHECK_ERR(rmdir("d"), ENOTEMPTY);
	CHECK_ERR(rmdir("."), EINVAL);
	CHECK_ERR(rmdir("d/."), EINVAL);
	CHECK_ERR(rmdir("d/.."), ENOTEMPTY);
	CHECK_ERR(rmdir("/"), EBUSY);
	CHECK_ERR(rmdir("none"), ENOENT);
	CHECK_OK(symlink("e", "le"));
	CHECK_ERR(rmdir("le"), ENOTDIR);
	CHECK_ERR(mkdir("le", 0777), EEXIST);
	CHECK_OK(rmdir("e/"));
	CHECK_ERR(mkdir("le", 0777), EEXIST);
	test_make_file("f", "");
	CHECK_ERR(rmdir("f"), ENOTDIR);
	CHECK_ERR(mkdir("f/x", 0777), ENOTDIR);
	/* A removed working directory. */
	CHECK_OK(chdir("d/sub"));
	CHECK_OK(rmdir("../sub"));
	CHECK_ERR((long)getcwd(cwd, sizeof(cwd)) ? 0 : -1, ENOENT);
	CHECK_ERR(mkdir("new", 0777), ENOENT);
	CHECK_ERR(open("new", O_CREAT | O_RDWR, 0666), ENOENT);
	CHECK_OK(chdir(".."));
	CHECK_OK(access("../f", F_OK));
}

TEST(directory_link_counts)
{
	struct stat st;
	nlink_t base;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(stat("d", &st));
	base = st.st_nlink;
	if (base < 2)
		SKIP("this file system does not count directories");
	CHECK_EQ(base, 2);
	CHECK_OK(mkdir("d/a", 0755));
	CHECK_OK(mkdir("d/b", 0755));
	CHECK_OK(stat("d", &st));
	CHECK_EQ(st.st_nlink, 4);
	CHECK_OK(rename("d/a", "x"));
	CHECK_OK(rmdir("d/b"));
	CHECK_OK(stat("d", &st));
	CHECK_EQ(st.st_nlink, 2);
}

TEST(set_group_bit_is_inherited)
{
	struct stat st;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(chown("d", (uid_t)-1, getegid()));
	CHECK_OK(chmod("d", 02755));
	CHECK_OK(mkdir("d/sub", 0755));
	CHECK_OK(stat("d/sub", &st));
	CHECK_EQ(st.st_mode & 07777, 02755);
}

TEST(make_nodes)
{
	struct stat st;

	CHECK_OK(mknod("f", S_IFREG | 0640, 0));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_OK(mknod("g", 0600, 0));
	CHECK_OK(stat("g", &st));
	CHECK(S_ISREG(st.st_mode));
	CHECK_OK(mknod("p", S_IFIFO | 0600, 0));
	CHECK_OK(mknod("s", S_IFSOCK | 0600, 0));
	CHECK_OK(stat("s", &st));
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_ERR(open("s", O_RDWR), ENXIO);
	CHECK_ERR(mknod("f", S_IFREG | 0640, 0), EEXIST);
	CHECK_ERR(mknod("d", S_IFDIR | 0755, 0), EPERM);
	CHECK_ERR(mknod("l", S_IFLNK | 0755, 0), EINVAL);
	CHECK_ERR(mknod("none/f", S_IFREG | 0640, 0), ENOENT);
	CHECK_ERR(mknod("t/", S_IFREG | 0640, 0), ENOENT);
	if (geteuid() == 0) {
		CHECK_OK(mknod("null", S_IFCHR | 0600, 0x103));
		CHECK_OK(stat("null", &st));
		CHECK(S_ISCHR(st.st_mode));
		CHECK_EQ(st.st_rdev, 0x103);
	}
}

TEST(links_and_loops)
{
	char text[64], name[16], next[16];

	CHECK_OK(symlink("x", "l"));
	CHECK_EQ(readlink("l", text, sizeof(text)), 1);
	CHECK_ERR(symlink("y", "l"), EEXIST);
	CHECK_ERR(symlink("", "m"), ENOENT);
	CHECK_ERR(symlink("x", ""), ENOENT);
	CHECK_ERR(symlink("x", "none/l"), ENOENT);
	CHECK_ERR(readlink("l", text, 0), EINVAL);
	CHECK_ERR(syscall(SYS_readlink, "l", text, -1), EINVAL);
	CHECK_ERR(readlink("none", text, sizeof(text)), ENOENT);
	CHECK_ERR(readlink(".", text, sizeof(text)), EINVAL);
	CHECK_ERR(syscall(SYS_readlink, "l", WILD, 10), EFAULT);
	CHECK_OK(symlink("abcdef", "long"));
	CHECK_EQ(readlink("long", text, 3), 3);
	CHECK(!memcmp(text, "abc", 3));
	CHECK_OK(symlink("loop", "loop"));
	CHECK_ERR(open("loop", O_RDONLY), ELOOP);
	CHECK_ERR(chdir("loop"), ELOOP);
	CHECK_ERR(access("loop/x", F_OK), ELOOP);
	/* Forty links are followed, forty-one are not. */
	test_make_file("c0", "");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "c%d", i - 1);
		snprintf(next, sizeof(next), "c%d", i);
		CHECK_OK(symlink(name, next));
	}
	CHECK_OK(access("c40", F_OK));
	CHECK_ERR(access("c41", F_OK), ELOOP);
	memset(text, 0, sizeof(text));
}

TEST(long_link_targets)
{
	static char target[4200], back[4200];

	memset(target, 'a', sizeof(target));
	target[4096] = 0;
	CHECK_ERR(symlink(target, "l"), ENAMETOOLONG);
	target[1000] = 0;
	CHECK_OK(symlink(target, "l"));
	CHECK_EQ(readlink("l", back, sizeof(back)), 1000);
	CHECK(!memcmp(target, back, 1000));
	CHECK_ERR(open("l", O_RDONLY), ENAMETOOLONG);
}
