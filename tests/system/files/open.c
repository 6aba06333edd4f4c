#include "../test.h"
#include <sys/ioctl.h>

TEST(create_and_exclusive)
{
	struct stat st;
	int fd;

	CHECK_ERR(open("a", O_RDONLY), ENOENT);
	fd = CHECK_OK(open("a", O_CREAT | O_WRONLY, 0666));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_size, 0);
	CHECK_ERR(open("a", O_CREAT | O_EXCL | O_WRONLY, 0666), EEXIST);
	CHECK_OK(open("a", O_CREAT | O_RDONLY, 0));
	CHECK_OK(open("b", O_CREAT | O_EXCL | O_RDWR, 04755));
	CHECK_OK(stat("b", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 04755);
	CHECK_ERR(open("no/such", O_CREAT | O_RDWR, 0666), ENOENT);
	CHECK_ERR(open("a/b", O_CREAT | O_RDWR, 0666), ENOTDIR);
	CHECK_ERR(open("", O_RDONLY), ENOENT);
	CHECK_ERR(open("newdir/", O_CREAT | O_RDWR, 0666), EISDIR);
	CHECK_ERR(open(".", O_CREAT | O_RDWR, 0666), EISDIR);
	CHECK_ERR(open("a/", O_RDONLY), ENOTDIR);
}

TEST(creating_with_no_permission_bits_still_opens)
{
	int fd = CHECK_OK(open("z", O_CREAT | O_RDWR | O_EXCL, 0));
	struct stat st;

	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode & 07777, 0);
}

TEST(exclusive_does_not_follow_links)
{
	CHECK_OK(symlink("target", "dangling"));
	CHECK_ERR(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0666), EEXIST);
	CHECK_ERR(open("dangling", O_RDONLY), ENOENT);
	CHECK_OK(open("dangling", O_CREAT | O_RDWR, 0666));
	CHECK_OK(access("target", F_OK));
}

TEST(truncate_flag)
{
	struct stat st;
	int fd;

	test_make_file("f", "hello");
	fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 5);
	CHECK_OK(open("f", O_WRONLY | O_TRUNC));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 0);
}

TEST(append_flag)
{
	char text[16];
	int fd, other;

	test_make_file("f", "abc");
	fd = CHECK_OK(open("f", O_RDWR | O_APPEND));
	other = CHECK_OK(open("f", O_RDWR));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(write(fd, "de", 2), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(pwrite(other, "XYZ", 3, 5), 3);
	CHECK_EQ(write(fd, "f", 1), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 9);
	/* Linux appends on pwrite too when the descriptor is O_APPEND. */
	CHECK_EQ(pwrite(fd, "!", 1, 0), 1);
	CHECK_EQ(pread(other, text, sizeof(text), 0), 10);
	CHECK(!memcmp(text, "abcdeXYZf!", 10));
	/* The flag can be taken off and put back. */
	CHECK_OK(fcntl(fd, F_SETFL, 0));
	CHECK_EQ(pwrite(fd, "A", 1, 0), 1);
	CHECK_OK(fcntl(fd, F_SETFL, O_APPEND));
	CHECK_EQ(fcntl(fd, F_GETFL) & O_APPEND, O_APPEND);
}

TEST(access_modes)
{
	char c;
	int fd;

	test_make_file("f", "abc");
	fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_ERR(write(fd, "x", 1), EBADF);
	CHECK_ERR(pwrite(fd, "x", 1, 0), EBADF);
	CHECK_ERR(ftruncate(fd, 0), EINVAL);
	fd = CHECK_OK(open("f", O_WRONLY));
	CHECK_ERR(read(fd, &c, 1), EBADF);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	/* Mode 3 gives a descriptor for ioctl only. */
	fd = CHECK_OK(open("f", O_ACCMODE));
	CHECK_ERR(read(fd, &c, 1), EBADF);
	CHECK_ERR(write(fd, &c, 1), EBADF);
}

TEST(directories)
{
	char c;
	int fd;

	CHECK_OK(mkdir("d", 0755));
	test_make_file("f", "");
	CHECK_ERR(open("d", O_WRONLY), EISDIR);
	CHECK_ERR(open("d", O_RDWR), EISDIR);
	fd = CHECK_OK(open("d", O_RDONLY));
	CHECK_ERR(read(fd, &c, 1), EISDIR);
	CHECK_OK(open("d", O_RDONLY | O_DIRECTORY));
	CHECK_ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERR(open("d", O_RDONLY | O_CREAT, 0666), EISDIR);
	CHECK_ERR(open("d", O_RDONLY | O_TRUNC), EISDIR);
	CHECK_OK(symlink("d", "ld"));
	CHECK_OK(open("ld", O_RDONLY | O_DIRECTORY));
	CHECK_ERR(open("ld", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
	CHECK_OK(open("ld/", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

TEST(no_follow)
{
	test_make_file("f", "");
	CHECK_OK(symlink("f", "l"));
	CHECK_ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_OK(open("f", O_RDONLY | O_NOFOLLOW));
	CHECK_OK(mkdir("d", 0755));
	test_make_file("d/x", "");
	CHECK_OK(symlink("d", "ld"));
	/* Only the last component counts. */
	CHECK_OK(open("ld/x", O_RDONLY | O_NOFOLLOW));
}

TEST(path_only)
{
	struct stat st;
	char text[32], c;
	int fd, again;

	test_make_file("f", "hi");
	CHECK_OK(symlink("f", "l"));
	fd = CHECK_OK(open("f", O_PATH));
	CHECK_ERR(read(fd, &c, 1), EBADF);
	CHECK_ERR(write(fd, &c, 1), EBADF);
	CHECK_ERR(fchmod(fd, 0600), EBADF);
	CHECK_ERR(fchown(fd, 0, 0), EBADF);
	CHECK_ERR(lseek(fd, 0, SEEK_SET), EBADF);
	CHECK_ERR(ftruncate(fd, 0), EBADF);
	CHECK_ERR(syscall(SYS_ioctl, fd, FIONREAD, &c), EBADF);
	CHECK_ERR((long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0),
		  EBADF);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 2);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
	again = CHECK_OK(dup(fd));
	CHECK_OK(close(again));
	/* The link itself. */
	fd = CHECK_OK(open("l", O_PATH | O_NOFOLLOW));
	CHECK_OK(fstat(fd, &st));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(readlinkat(fd, "", text, sizeof(text)), 1);
	CHECK_EQ(text[0], 'f');
	/* A directory for the *at calls. */
	fd = CHECK_OK(open(".", O_PATH | O_DIRECTORY));
	CHECK_OK(openat(fd, "f", O_RDONLY));
	CHECK_OK(fchdir(fd));
	/* Reopened through /proc. */
	fd = CHECK_OK(open("f", O_PATH));
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	again = CHECK_OK(open(text, O_RDONLY));
	CHECK_EQ(read(again, &c, 1), 1);
	CHECK_EQ(c, 'h');
}

TEST(temporary_file)
{
	struct stat st;
	char text[64];
	int fd = CHECK_OK(open(".", O_TMPFILE | O_RDWR, 0600));

	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	CHECK_EQ(write(fd, "abc", 3), 3);
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	CHECK_OK(linkat(AT_FDCWD, text, AT_FDCWD, "named",
			AT_SYMLINK_FOLLOW));
	CHECK_OK(stat("named", &st));
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(st.st_nlink, 1);
	/* With O_EXCL it can't get a name. */
	fd = CHECK_OK(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	CHECK_ERR(linkat(AT_FDCWD, text, AT_FDCWD, "other",
			 AT_SYMLINK_FOLLOW), ENOENT);
	CHECK_ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	CHECK_ERR(open("named", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	CHECK_ERR(open("none", O_TMPFILE | O_RDWR, 0600), ENOENT);
}

TEST(close_on_exec_flag)
{
	int fd = CHECK_OK(open(".", O_RDONLY | O_CLOEXEC));

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_CLOEXEC, 0);
	fd = CHECK_OK(open(".", O_RDONLY));
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
}

TEST(lowest_descriptor)
{
	int a = CHECK_OK(open(".", O_RDONLY));
	int b = CHECK_OK(open(".", O_RDONLY));
	int c = CHECK_OK(open(".", O_RDONLY));

	CHECK_EQ(b, a + 1);
	CHECK_EQ(c, a + 2);
	CHECK_OK(close(b));
	CHECK_EQ(open(".", O_RDONLY), b);
	CHECK_OK(close(b));
	CHECK_ERR(close(b), EBADF);
	CHECK_ERR(close(-1), EBADF);
	CHECK_ERR(close(1 << 30), EBADF);
}

TEST(at_descriptors)
{
	int dir, file;

	CHECK_OK(mkdir("d", 0755));
	dir = CHECK_OK(open("d", O_RDONLY));
	file = CHECK_OK(openat(dir, "f", O_CREAT | O_RDWR, 0666));
	CHECK_OK(access("d/f", F_OK));
	CHECK_ERR(openat(file, "x", O_RDONLY), ENOTDIR);
	CHECK_ERR(openat(-1, "x", O_RDONLY), EBADF);
	CHECK_ERR(openat(9999, "x", O_RDONLY), EBADF);
	CHECK_OK(openat(-1, "/", O_RDONLY));
	CHECK_OK(openat(AT_FDCWD, "d/f", O_RDONLY));
	/* A removed directory takes no new names. */
	CHECK_OK(unlinkat(dir, "f", 0));
	CHECK_OK(rmdir("d"));
	CHECK_ERR(openat(dir, "g", O_CREAT | O_RDWR, 0666), ENOENT);
	CHECK_OK(openat(dir, ".", O_RDONLY));
}

TEST(bad_paths)
{
	char name[5000];

	CHECK_ERR(open(WILD, O_RDONLY), EFAULT);
	CHECK_ERR(open(WILDK, O_RDONLY), EFAULT);
	CHECK_ERR(open(WILDN, O_RDONLY), EFAULT);
	memset(name, 'a', sizeof(name));
	name[256] = 0;
	CHECK_ERR(open(name, O_RDONLY), ENAMETOOLONG);
	name[255] = 0;
	CHECK_ERR(open(name, O_RDONLY), ENOENT);
	CHECK_OK(open(name, O_RDWR | O_CREAT, 0666));
	CHECK_OK(unlink(name));
	for (int i = 0; i < 4999; i += 2) {
		name[i] = '.';
		name[i + 1] = '/';
	}
	name[4096] = 0;
	CHECK_ERR(open(name, O_RDONLY), ENAMETOOLONG);
	name[4095] = 0;
	CHECK_OK(open(name, O_RDONLY));
}

TEST(path_at_the_end_of_memory)
{
	char *page = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	CHECK_OK(munmap(page + 4096, 4096));
	strcpy(page + 4096 - 2, ".");
	CHECK_OK(open(page + 4096 - 2, O_RDONLY));
	page[4095] = 'x';
	CHECK_ERR(open(page + 4096 - 2, O_RDONLY), EFAULT);
}
