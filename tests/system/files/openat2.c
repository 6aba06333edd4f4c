#include "../test.h"
#include <linux/openat2.h>

static long openat2(int dir, const char *path, uint64_t flags, uint64_t mode,
		    uint64_t resolve)
{
	struct open_how how = {
		.flags = flags, .mode = mode, .resolve = resolve,
	};

	return syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

TEST(plain)
{
	int fd = CHECK_OK(openat2(AT_FDCWD, "f", O_CREAT | O_RDWR, 0640, 0));
	struct stat st;

	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_ERR(openat2(AT_FDCWD, "f", O_CREAT | O_EXCL | O_RDWR, 0640, 0),
		  EEXIST);
}

TEST(strict_flags)
{
	test_make_file("f", "");
	CHECK_ERR(openat2(AT_FDCWD, "f", 1ull << 40, 0, 0), EINVAL);
	CHECK_ERR(openat2(AT_FDCWD, "f", O_RDONLY, 0600, 0), EINVAL);
	CHECK_ERR(openat2(AT_FDCWD, "f", O_CREAT | O_RDWR, 010000, 0), EINVAL);
	CHECK_ERR(openat2(AT_FDCWD, "f", O_RDONLY, 0, 1ull << 20), EINVAL);
	CHECK_ERR(openat2(AT_FDCWD, "f", O_PATH | O_RDWR, 0, 0), EINVAL);
	CHECK_ERR(openat2(AT_FDCWD, "f", O_RDONLY, 0,
			  RESOLVE_IN_ROOT | RESOLVE_BENEATH), EINVAL);
}

TEST(sizes)
{
	struct { struct open_how how; uint64_t more[4]; } big = {};

	test_make_file("f", "");
	CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, "f", &big, 8), EINVAL);
	CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, "f", &big, 0), EINVAL);
	CHECK_OK(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(big)));
	big.more[3] = 1;
	CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(big)),
		  E2BIG);
	CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, "f", WILD, sizeof(big.how)),
		  EFAULT);
	CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, WILD, &big.how,
			  sizeof(big.how)), EFAULT);
	CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, "f", &big, 1 << 20), E2BIG);
}

static int setup(void)
{
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("d/sub", 0755));
	test_make_file("d/f", "inner");
	test_make_file("outer", "outer");
	CHECK_OK(symlink("f", "d/rel"));
	CHECK_OK(symlink("../outer", "d/up"));
	CHECK_OK(symlink("/f", "d/abs"));
	CHECK_OK(symlink("sub/../f", "d/in"));
	return CHECK_OK(open("d", O_PATH | O_DIRECTORY));
}

TEST(beneath)
{
	int d = setup();

	CHECK_OK(openat2(d, "f", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_OK(openat2(d, "rel", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_OK(openat2(d, "in", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_OK(openat2(d, "sub/../f", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_ERR(openat2(d, "..", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2(d, "../outer", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2(d, "sub/../../outer", O_RDONLY, 0, RESOLVE_BENEATH),
		  EXDEV);
	CHECK_ERR(openat2(d, "up", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2(d, "/f", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
}

TEST(in_root)
{
	int d = setup(), fd;
	char text[8];

	fd = CHECK_OK(openat2(d, "/f", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_EQ(read(fd, text, 5), 5);
	CHECK(!memcmp(text, "inner", 5));
	CHECK_OK(openat2(d, "abs", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_OK(openat2(d, "../../f", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_ERR(openat2(d, "up", O_RDONLY, 0, RESOLVE_IN_ROOT), ENOENT);
	CHECK_OK(fchdir(d));
	fd = CHECK_OK(openat2(AT_FDCWD, "/f", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_EQ(read(fd, text, 5), 5);
	CHECK(!memcmp(text, "inner", 5));
	CHECK_ERR(openat2(AT_FDCWD, "/proc", O_PATH, 0, RESOLVE_IN_ROOT), ENOENT);
}

TEST(no_links)
{
	int d = setup();

	CHECK_OK(openat2(d, "f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
	CHECK_ERR(openat2(d, "rel", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
	CHECK_OK(openat2(d, "rel", O_PATH | O_NOFOLLOW, 0,
			 RESOLVE_NO_SYMLINKS));
	CHECK_ERR(openat2(d, "/proc/self/cwd", O_RDONLY, 0,
			  RESOLVE_NO_SYMLINKS), ELOOP);
}

TEST(no_magic_links)
{
	setup();
	CHECK_ERR(openat2(AT_FDCWD, "/proc/self/cwd", O_RDONLY, 0,
			  RESOLVE_NO_MAGICLINKS), ELOOP);
	CHECK_ERR(openat2(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0,
			  RESOLVE_NO_MAGICLINKS), ELOOP);
	/* /proc/self is an ordinary link. */
	CHECK_OK(openat2(AT_FDCWD, "/proc/self/stat", O_RDONLY, 0,
			 RESOLVE_NO_MAGICLINKS));
	CHECK_OK(openat2(AT_FDCWD, "d/rel", O_RDONLY, 0,
			 RESOLVE_NO_MAGICLINKS));
}

TEST(no_mount_crossing)
{
	CHECK_OK(openat2(AT_FDCWD, "/proc", O_PATH, 0, 0));
	CHECK_ERR(openat2(AT_FDCWD, "/proc", O_PATH, 0, RESOLVE_NO_XDEV),
		  EXDEV);
	test_make_file("f", "");
	CHECK_OK(openat2(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_NO_XDEV));
}
