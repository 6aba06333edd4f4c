#include "../test.h"
#include <sys/xattr.h>

#define DIR_	"/dev/shm/nos-test-xattr"

/* On tmpfs, for other file systems need not have them. */
static int setup(void)
{
	CHECK_OK(mkdir(DIR_, 0755) < 0 && errno != EEXIST ? -1 : 0);
	CHECK_OK(chdir(DIR_));
	unlink("f");
	test_make_file("f", "");
	return CHECK_OK(open("f", O_RDWR));
}

static void cleanup(void)
{
	unlink("f");
	unlink("l");
	rmdir(DIR_);
}

TEST(trusted_set_and_get)
{
	char text[64];
	int fd;

	if (geteuid() != 0)
		SKIP("needs root");
	fd = setup();
	CHECK_ERR(getxattr("f", "trusted.a", text, 64), ENODATA);
	CHECK_OK(setxattr("f", "trusted.a", "value", 5, 0));
	CHECK_EQ(getxattr("f", "trusted.a", text, 64), 5);
	CHECK(!memcmp(text, "value", 5));
	CHECK_EQ(getxattr("f", "trusted.a", NULL, 0), 5);
	CHECK_ERR(getxattr("f", "trusted.a", text, 3), ERANGE);
	CHECK_ERR(setxattr("f", "trusted.a", "x", 1, XATTR_CREATE), EEXIST);
	CHECK_ERR(setxattr("f", "trusted.b", "x", 1, XATTR_REPLACE), ENODATA);
	CHECK_OK(setxattr("f", "trusted.a", "x", 1, XATTR_REPLACE));
	CHECK_OK(fsetxattr(fd, "trusted.empty", "", 0, XATTR_CREATE));
	CHECK_EQ(fgetxattr(fd, "trusted.a", text, 64), 1);
	CHECK_EQ(fgetxattr(fd, "trusted.empty", text, 64), 0);
	CHECK_OK(removexattr("f", "trusted.a"));
	CHECK_ERR(removexattr("f", "trusted.a"), ENODATA);
	CHECK_ERR(fgetxattr(fd, "trusted.a", text, 64), ENODATA);
	cleanup();
}

TEST(list)
{
	char text[128];
	ssize_t n, at = 0;
	int found = 0;

	if (geteuid() != 0)
		SKIP("needs root");
	setup();
	CHECK_OK(setxattr("f", "trusted.one", "1", 1, 0));
	CHECK_OK(setxattr("f", "trusted.two", "2", 1, 0));
	n = CHECK_OK(listxattr("f", text, sizeof(text)));
	CHECK_EQ(listxattr("f", NULL, 0), n);
	CHECK_ERR(listxattr("f", text, 5), ERANGE);
	for (; at < n; at += (ssize_t)strlen(text + at) + 1)
		found += !strncmp(text + at, "trusted.", 8);
	CHECK_EQ(found, 2);
	cleanup();
}

TEST(links)
{
	char text[8];

	if (geteuid() != 0)
		SKIP("needs root");
	setup();
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(lsetxattr("l", "trusted.on", "link", 4, 0));
	CHECK_EQ(lgetxattr("l", "trusted.on", text, 8), 4);
	CHECK_ERR(getxattr("l", "trusted.on", text, 8), ENODATA);
	CHECK_OK(lremovexattr("l", "trusted.on"));
	cleanup();
}

TEST(arguments)
{
	static char big[70000];
	char name[300] = "trusted.";
	int fd = setup();

	CHECK_ERR(setxattr("f", "nonsense.a", "x", 1, 0), EOPNOTSUPP);
	CHECK_ERR(setxattr("f", "noprefix", "x", 1, 0), EOPNOTSUPP);
	CHECK_ERR(setxattr("f", "", "x", 1, 0), ERANGE);
	CHECK_ERR(setxattr("f", "trusted.a", "x", 1, 0x10), EINVAL);
	memset(name + 8, 'n', 290);
	CHECK_ERR(setxattr("f", name, "x", 1, 0), ERANGE);
	CHECK_ERR(setxattr("f", "trusted.a", big, 65537, 0), E2BIG);
	CHECK_ERR(setxattr("none", "trusted.a", "x", 1, 0), ENOENT);
	CHECK_ERR(fsetxattr(-1, "trusted.a", "x", 1, 0), EBADF);
	CHECK_ERR(syscall(SYS_setxattr, "f", WILD, "x", 1, 0), EFAULT);
	CHECK_ERR(syscall(SYS_setxattr, "f", "trusted.a", WILD, 1, 0), EFAULT);
	CHECK_ERR(syscall(SYS_setxattr, WILD, "trusted.a", "x", 1, 0), EFAULT);
	if (geteuid() == 0) {
		CHECK_OK(fsetxattr(fd, "trusted.a", "abc", 3, 0));
		CHECK_ERR(syscall(SYS_fgetxattr, fd, "trusted.a", WILD, 8),
			  EFAULT);
	}
	CHECK_ERR(fgetxattr(CHECK_OK(open("f", O_PATH)), "trusted.a", big, 8),
		  EBADF);
	cleanup();
}

TEST(trusted_needs_privilege)
{
	char text[64];
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	setup();
	CHECK_OK(chmod("f", 0666));
	CHECK_OK(setxattr("f", "trusted.a", "x", 1, 0));
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(setxattr("f", "trusted.a", "x", 1, 0), EPERM);
		CHECK_ERR(getxattr("f", "trusted.a", text, 64), ENODATA);
		CHECK_EQ(listxattr("f", text, 64), 0);
	}
	CHECK_EXIT(pid, 0);
	cleanup();
}
