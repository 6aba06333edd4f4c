#include "../test.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <linux/magic.h>

TEST(types)
{
	struct stat st;

	test_make_file("f", "12345");
	CHECK_OK(mkdir("d", 0700));
	CHECK_OK(symlink("some target", "l"));
	CHECK_OK(mkfifo("p", 0600));
	CHECK_OK(stat("f", &st));
	CHECK(S_ISREG(st.st_mode) && st.st_size == 5 && st.st_nlink == 1);
	CHECK_EQ(st.st_uid, getuid());
	CHECK_OK(stat("d", &st));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(st.st_mode & 07777, 0700);
	CHECK_OK(lstat("l", &st));
	CHECK(S_ISLNK(st.st_mode) && st.st_size == 11);
	CHECK_ERR(stat("l", &st), ENOENT);
	CHECK_OK(stat("p", &st));
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_OK(stat("/dev/null", &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev, makedev(1, 3));
}

TEST(pipes_and_sockets)
{
	struct stat st;
	int ends[2];

	CHECK_OK(pipe(ends));
	CHECK_OK(fstat(ends[0], &st));
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(st.st_uid, getuid());
}

TEST(errors)
{
	struct stat st;

	CHECK_ERR(stat("none", &st), ENOENT);
	CHECK_ERR(stat("", &st), ENOENT);
	CHECK_ERR(syscall(SYS_stat, WILD, &st), EFAULT);
	CHECK_ERR(syscall(SYS_stat, ".", WILD), EFAULT);
	CHECK_ERR(syscall(SYS_stat, ".", WILDK), EFAULT);
	CHECK_ERR(syscall(SYS_lstat, ".", WILDK), EFAULT);
	CHECK_ERR(syscall(SYS_fstat, 1, WILD), EFAULT);
	CHECK_ERR(fstat(-1, &st), EBADF);
	CHECK_ERR(fstatat(-1, "f", &st, 0), EBADF);
	CHECK_ERR(fstatat(AT_FDCWD, ".", &st, 0x8000), EINVAL);
}

TEST(at_flags)
{
	struct stat st;
	int fd;

	test_make_file("f", "12345");
	CHECK_OK(symlink("f", "l"));
	fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	CHECK_EQ(st.st_size, 5);
	CHECK_ERR(fstatat(fd, "", &st, 0), ENOENT);
	CHECK_ERR(fstatat(fd, "x", &st, 0), ENOTDIR);
	CHECK_OK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_OK(fstatat(AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_OK(fstatat(AT_FDCWD, "l", &st, AT_NO_AUTOMOUNT));
	CHECK(S_ISREG(st.st_mode));
}

TEST(identity)
{
	struct stat a, b;

	test_make_file("f", "");
	CHECK_OK(link("f", "g"));
	CHECK_OK(stat("f", &a));
	CHECK_OK(stat("g", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_dev, b.st_dev);
	CHECK_EQ(a.st_nlink, 2);
	test_make_file("h", "");
	CHECK_OK(stat("h", &b));
	CHECK(a.st_ino != b.st_ino);
}

TEST(statx_call)
{
	struct statx x;
	struct stat st;
	int fd;

	test_make_file("f", "12345");
	CHECK_OK(stat("f", &st));
	CHECK_OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	CHECK_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	CHECK_EQ(x.stx_size, 5);
	CHECK_EQ(x.stx_mode, st.st_mode);
	CHECK_EQ(x.stx_ino, st.st_ino);
	CHECK_EQ(x.stx_nlink, 1);
	CHECK_EQ(makedev(x.stx_dev_major, x.stx_dev_minor), st.st_dev);
	CHECK_EQ(x.stx_mtime.tv_sec, st.st_mtim.tv_sec);
	CHECK_EQ(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	CHECK_EQ(x.stx_blksize, st.st_blksize);
	fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_OK(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &x));
	CHECK_EQ(x.stx_size, 5);
	CHECK_OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	CHECK_ERR(statx(AT_FDCWD, "f", AT_STATX_SYNC_TYPE, STATX_SIZE, &x),
		  EINVAL);
	CHECK_ERR(statx(AT_FDCWD, "f", 0, STATX__RESERVED, &x), EINVAL);
	CHECK_ERR(statx(AT_FDCWD, "f", 0x10, STATX_SIZE, &x), EINVAL);
	CHECK_ERR(statx(AT_FDCWD, "none", 0, STATX_SIZE, &x), ENOENT);
	CHECK_ERR(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_SIZE, WILD),
		  EFAULT);
	CHECK_ERR(syscall(SYS_statx, AT_FDCWD, WILD, 0, STATX_SIZE, &x),
		  EFAULT);
}

TEST(mount_root_attribute)
{
	struct statx x;

	CHECK_OK(statx(AT_FDCWD, "/proc", 0, STATX_BASIC_STATS, &x));
	CHECK(x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
	CHECK(x.stx_attributes & STATX_ATTR_MOUNT_ROOT);
	CHECK_OK(statx(AT_FDCWD, ".", 0, STATX_BASIC_STATS, &x));
	CHECK(!(x.stx_attributes & STATX_ATTR_MOUNT_ROOT));
}

TEST(blocks_count)
{
	struct stat st;
	int fd = CHECK_OK(open("/dev/shm", O_TMPFILE | O_RDWR, 0600));

	CHECK_OK(ftruncate(fd, 1 << 20));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_blocks, 0);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_blocks, 8);
	CHECK_EQ(st.st_size, 1 << 20);
}

TEST(file_systems)
{
	struct statfs fs;
	struct statvfs vfs;
	int fd;

	CHECK_OK(statfs("/proc", &fs));
	CHECK_EQ(fs.f_type, PROC_SUPER_MAGIC);
	CHECK_EQ(fs.f_namelen, 255);
	CHECK_OK(statfs("/dev/shm", &fs));
	CHECK_EQ(fs.f_type, TMPFS_MAGIC);
	CHECK_EQ(fs.f_bsize, 4096);
	CHECK(fs.f_bavail <= fs.f_blocks);
	CHECK_OK(statvfs(".", &vfs));
	CHECK_EQ(vfs.f_namemax, 255);
	fd = CHECK_OK(open(".", O_RDONLY));
	CHECK_OK(fstatfs(fd, &fs));
	CHECK_ERR(statfs("none", &fs), ENOENT);
	CHECK_ERR(syscall(SYS_statfs, ".", WILD), EFAULT);
	CHECK_ERR(syscall(SYS_statfs, WILD, &fs), EFAULT);
	CHECK_ERR(fstatfs(-1, &fs), EBADF);
}
