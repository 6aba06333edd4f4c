#include "../test.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <linux/magic.h>

/* A mount namespace of its own, so that nothing is left behind. */
static void private_mounts(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (unshare(CLONE_NEWNS) < 0)
		FAIL("unshare: %s", strerrorname_np(errno));
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

TEST(no_links_are_followed)
{
	char text[8];

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	CHECK_OK(mkdir("m/d", 0755));
	test_make_file("m/d/f", "");
	CHECK_OK(symlink("d", "m/l"));
	for (int i = 0; i < 4; i++) /* so that it is remembered */
		CHECK_OK(access("m/l/f", F_OK));
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT | MS_BIND | 256 /* MS_NOSYMFOLLOW */, NULL));
	CHECK_ERR(access("m/l/f", F_OK), ELOOP);
	CHECK_ERR(open("m/l", O_RDONLY), ELOOP);
	CHECK_EQ(readlink("m/l", text, sizeof(text)), 1);
	CHECK_OK(access("m/d/f", F_OK));
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT | MS_BIND, NULL));
	CHECK_OK(access("m/l/f", F_OK));
}

/* Stores into holes take space as writes do. */
TEST(tmpfs_limit_of_mappings)
{
	struct stat st;
	pid_t pid;
	char *p;
	int fd;

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, "size=16k"));
	fd = CHECK_OK(open("m/f", O_CREAT | O_RDWR, 0644));
	CHECK_OK(ftruncate(fd, 1 << 20));
	p = CHECK_OK(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	CHILD(pid)
		for (int i = 0; i < 256; i++)
			p[i * 4096] = 1;
	CHECK_KILLED(pid, SIGBUS);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_blocks, 32);
	CHECK(p[3 * 4096] == 1);
	CHECK_ERR(pwrite(fd, "x", 1, 200 * 4096), ENOSPC);
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * 4096));
	p[200 * 4096] = p[201 * 4096] = 2;
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_blocks, 32);
}

TEST(tmpfs)
{
	struct statfs fs;
	struct stat in, out, st;

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	test_make_file("m/hidden", "");
	CHECK_OK(stat("m", &out));
	CHECK_OK(mount("none", "m", "tmpfs", 0, "size=1m,mode=700"));
	CHECK_OK(statfs("m", &fs));
	CHECK_EQ(fs.f_type, TMPFS_MAGIC);
	CHECK_EQ(fs.f_blocks, 256);
	CHECK_OK(stat("m", &in));
	CHECK(in.st_dev != out.st_dev);
	CHECK_EQ(in.st_mode & 07777, 0700);
	CHECK_ERR(access("m/hidden", F_OK), ENOENT);
	test_make_file("m/new", "");
	CHECK_OK(stat("m/..", &st));
	CHECK_OK(stat(".", &in));
	CHECK_EQ(st.st_ino, in.st_ino);
	CHECK_ERR(rename("m/new", "x"), EXDEV);
	CHECK_ERR(link("m/new", "x"), EXDEV);
	CHECK_ERR(rmdir("m"), EBUSY);
	CHECK_OK(umount2("m", 0));
	CHECK_OK(access("m/hidden", F_OK));
	CHECK_ERR(access("m/new", F_OK), ENOENT);
}

TEST(tmpfs_is_full)
{
	static char block[65536];
	int fd;
	ssize_t n, total = 0;

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, "size=256k"));
	fd = CHECK_OK(open("m/f", O_CREAT | O_RDWR, 0666));
	while ((n = write(fd, block, sizeof(block))) > 0)
		total += n;
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(total, 256 << 10);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK_OK(close(fd));
	CHECK_OK(umount2("m", 0));
}

TEST(busy_and_lazy)
{
	int fd;
	char c;

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	test_make_file("m/f", "x");
	fd = CHECK_OK(open("m/f", O_RDONLY));
	CHECK_ERR(umount2("m", 0), EBUSY);
	CHECK_OK(umount2("m", MNT_DETACH));
	CHECK_ERR(access("m/f", F_OK), ENOENT);
	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_OK(close(fd));
	CHECK_ERR(umount2("m", 0), EINVAL);
	CHECK_ERR(umount2("none", 0), ENOENT);
	CHECK_ERR(umount2("m", 0x1000), EINVAL);
	CHECK_ERR(umount2(WILD, 0), EFAULT);
}

TEST(nothing_to_run)
{
	char *argv[] = { "f", NULL };
	int fd;
	void *p;

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", MS_NOEXEC, NULL));
	test_make_file("m/f", "x");
	CHECK_OK(chmod("m/f", 0755));
	fd = CHECK_OK(open("m/f", O_RDWR));
	CHECK_ERR(execve("m/f", argv, argv + 1), EACCES);
	CHECK_ERR(access("m/f", X_OK), EACCES);
	CHECK_ERR((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), EPERM);
	p = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	CHECK_ERR(mprotect(p, 4096, PROT_READ | PROT_EXEC), EACCES);
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT | MS_BIND, NULL));
	CHECK_OK(access("m/f", X_OK));
	CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0));
}

TEST(binds)
{
	struct stat a, b;

	private_mounts();
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/sub", 0755));
	CHECK_OK(mkdir("b", 0755));
	test_make_file("a/f", "x");
	test_make_file("file", "y");
	CHECK_OK(mount("a", "b", NULL, MS_BIND, NULL));
	CHECK_OK(stat("a/f", &a));
	CHECK_OK(stat("b/f", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_dev, b.st_dev);
	/* Even within one file system. */
	CHECK_ERR(link("a/f", "b/g"), EXDEV);
	CHECK_ERR(rename("a/f", "b/g"), EXDEV);
	test_make_file("b/new", "");
	CHECK_OK(access("a/new", F_OK));
	/* Files too. */
	CHECK_OK(mount("file", "a/f", NULL, MS_BIND, NULL));
	CHECK_OK(stat("a/f", &a));
	CHECK_OK(stat("file", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_ERR(unlink("a/f"), EBUSY);
	CHECK_ERR(mount("file", "b", NULL, MS_BIND, NULL), ENOTDIR);
	CHECK_OK(umount2("a/f", 0));
	CHECK_OK(umount2("b", 0));
	CHECK_ERR(access("b/f", F_OK), ENOENT);
}

TEST(recursive_bind)
{
	private_mounts();
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/m", 0755));
	CHECK_OK(mkdir("b", 0755));
	CHECK_OK(mkdir("c", 0755));
	CHECK_OK(mount("none", "a/m", "tmpfs", 0, NULL));
	test_make_file("a/m/f", "");
	CHECK_OK(mount("a", "b", NULL, MS_BIND, NULL));
	CHECK_ERR(access("b/m/f", F_OK), ENOENT);
	CHECK_OK(mount("a", "c", NULL, MS_BIND | MS_REC, NULL));
	CHECK_OK(access("c/m/f", F_OK));
}

TEST(read_only)
{
	int fd;

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	test_make_file("m/f", "x");
	fd = CHECK_OK(open("m/f", O_RDWR));
	CHECK_ERR(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL),
		  EBUSY);
	CHECK_OK(close(fd));
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	CHECK_OK(open("m/f", O_RDONLY));
	CHECK_ERR(open("m/f", O_RDWR), EROFS);
	CHECK_ERR(open("m/g", O_CREAT | O_RDWR, 0666), EROFS);
	CHECK_ERR(unlink("m/f"), EROFS);
	CHECK_ERR(mkdir("m/d", 0755), EROFS);
	CHECK_ERR(mkdir("m/f", 0755), EEXIST);
	CHECK_ERR(chmod("m/f", 0600), EROFS);
	CHECK_ERR(access("m/f", W_OK), EROFS);
	CHECK_ERR(truncate("m/f", 0), EROFS);
	CHECK_ERR(rename("m/f", "m/g"), EROFS);
	CHECK_ERR(utimensat(AT_FDCWD, "m/f", NULL, 0), EROFS);
	CHECK_OK(umount2("m", MNT_DETACH));
}

TEST(mount_errors)
{
	pid_t pid;

	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	test_make_file("f", "");
	CHECK_ERR(mount("none", "m", "nosuchfs", 0, NULL), ENODEV);
	CHECK_ERR(mount("none", "none", "tmpfs", 0, NULL), ENOENT);
	CHECK_ERR(mount("none", "f", "tmpfs", 0, NULL), ENOTDIR);
	CHECK_ERR(mount("none", "m", "tmpfs", 0, "nonsense=1"), EINVAL);
	CHECK_ERR(mount("none", "m", WILD, 0, NULL), EFAULT);
	CHECK_ERR(mount("none", WILD, "tmpfs", 0, NULL), EFAULT);
	CHECK_ERR(mount(WILD, "m", "tmpfs", 0, NULL), EFAULT);
	CHECK_ERR(mount("none", "m", NULL, 0, NULL), EINVAL);
	CHECK_ERR(mount("none", "m", NULL, MS_REMOUNT, NULL), EINVAL);
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(mount("none", "m", "tmpfs", 0, NULL), EPERM);
		CHECK_ERR(umount2("m", 0), EPERM);
		CHECK_ERR(unshare(CLONE_NEWNS), EPERM);
	}
	CHECK_EXIT(pid, 0);
}

TEST(change_the_root_by_pivot)
{
	struct statfs fs;

	private_mounts();
	CHECK_OK(mkdir("r", 0755));
	CHECK_OK(mount("none", "r", "tmpfs", 0, NULL));
	CHECK_OK(mkdir("r/old", 0755));
	test_make_file("r/here", "");
	CHECK_ERR(syscall(SYS_pivot_root, "r", "none"), ENOENT);
	CHECK(syscall(SYS_pivot_root, "r", ".") == -1);
	CHECK_OK(syscall(SYS_pivot_root, "r", "r/old"));
	CHECK_OK(access("/here", F_OK));
	CHECK_OK(access("/old/proc", F_OK));
	CHECK_OK(chdir("/"));
	CHECK_OK(umount2("/old", MNT_DETACH));
	CHECK_ERR(access("/old/proc", F_OK), ENOENT);
	CHECK_OK(statfs("/", &fs));
	CHECK_EQ(fs.f_type, TMPFS_MAGIC);
}

TEST(a_namespace_is_private)
{
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(mkdir("m", 0755));
	CHILD(pid) {
		private_mounts();
		CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
		test_make_file("m/f", "");
	}
	CHECK_EXIT(pid, 0);
	CHECK_ERR(access("m/f", F_OK), ENOENT);
}

TEST(stacked)
{
	private_mounts();
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	test_make_file("m/first", "");
	CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
	CHECK_ERR(access("m/first", F_OK), ENOENT);
	test_make_file("m/second", "");
	CHECK_OK(umount2("m", 0));
	CHECK_OK(access("m/first", F_OK));
	CHECK_OK(umount2("m", 0));
	CHECK_ERR(access("m/first", F_OK), ENOENT);
}
