#include "../test.h"

TEST(dots_and_slashes)
{
	char cwd[4096], path[4200];
	struct stat a, b;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("d/e", 0755));
	test_make_file("d/f", "");
	CHECK_OK(access("d/./f", F_OK));
	CHECK_OK(access("d/../d/f", F_OK));
	CHECK_OK(access("d//f", F_OK));
	CHECK_OK(access(".//d///e/", F_OK));
	CHECK_ERR(access("d/f/", F_OK), ENOTDIR);
	CHECK_ERR(access("d/f/.", F_OK), ENOTDIR);
	CHECK_ERR(access("d/f/..", F_OK), ENOTDIR);
	CHECK_ERR(access("d/none/..", F_OK), ENOENT);
	CHECK_OK(stat("/", &a));
	CHECK_OK(stat("/..", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_OK(stat("/../../..", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK(getcwd(cwd, sizeof(cwd)));
	snprintf(path, sizeof(path), "//%s//d/./e/../f", cwd);
	CHECK_OK(access(path, F_OK));
}

TEST(parent_of_a_link)
{
	struct stat a, b;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("d/e", 0755));
	test_make_file("d/f", "");
	CHECK_OK(symlink("d/e", "l"));
	/* `..` is that of the directory itself, not of the link. */
	CHECK_OK(access("l/../f", F_OK));
	CHECK_OK(lstat("l/", &a));
	CHECK(S_ISDIR(a.st_mode));
	CHECK_OK(stat("d/e", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_OK(lstat("l/.", &a));
	CHECK_EQ(a.st_ino, b.st_ino);
}

TEST(trailing_slash_on_a_link_to_a_file)
{
	struct stat st;

	test_make_file("f", "");
	CHECK_OK(symlink("f", "l"));
	CHECK_ERR(stat("l/", &st), ENOTDIR);
	CHECK_ERR(lstat("l/", &st), ENOTDIR);
	CHECK_ERR(unlink("l/"), ENOTDIR);
	CHECK_ERR(open("l/", O_RDONLY), ENOTDIR);
	CHECK_ERR(readlink("l/", (char[8]){}, 8), ENOTDIR);
}

TEST(working_directory)
{
	char cwd[4096], small[4];
	int fd;

	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(symlink("d", "l"));
	CHECK_OK(chdir("l"));
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK_STR(strrchr(cwd, '/'), "/d");
	CHECK_ERR(syscall(SYS_getcwd, small, sizeof(small)), ERANGE);
	CHECK_ERR(syscall(SYS_getcwd, cwd, 0), ERANGE);
	CHECK_ERR(syscall(SYS_getcwd, WILD, 4096), EFAULT);
	CHECK_EQ(syscall(SYS_getcwd, cwd, sizeof(cwd)), strlen(cwd) + 1);
	CHECK_OK(chdir(".."));
	test_make_file("f", "");
	CHECK_ERR(chdir("f"), ENOTDIR);
	CHECK_ERR(chdir("none"), ENOENT);
	CHECK_ERR(chdir(""), ENOENT);
	CHECK_ERR(chdir(WILD), EFAULT);
	fd = CHECK_OK(open("d", O_RDONLY));
	CHECK_OK(fchdir(fd));
	CHECK_OK(fchdir(CHECK_OK(open("/", O_PATH))));
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK_STR(cwd, "/");
	CHECK_ERR(fchdir(-1), EBADF);
	CHECK_ERR(fchdir(CHECK_OK(open("/dev/null", O_RDONLY))), ENOTDIR);
}

TEST(link_text_is_relative_to_its_directory)
{
	char cwd[4000], target[4100];

	CHECK_OK(mkdir("d", 0755));
	test_make_file("d/f", "");
	CHECK_OK(symlink("f", "d/l"));
	CHECK_OK(access("d/l", F_OK));
	CHECK_OK(symlink("./d/../d//l", "m"));
	CHECK_OK(access("m", F_OK));
	CHECK(getcwd(cwd, sizeof(cwd)));
	snprintf(target, sizeof(target), "%s/d", cwd);
	CHECK_OK(symlink(target, "abs"));
	CHECK_OK(access("abs/f", F_OK));
	CHECK_OK(chdir("d"));
	CHECK_OK(access("../abs/f", F_OK));
}

TEST(deep_tree)
{
	char cwd[8192];
	static char name[201];
	int depth = 0;

	memset(name, 'n', 200);
	for (; depth < 25; depth++) {
		CHECK_OK(mkdir(name, 0755));
		CHECK_OK(chdir(name));
	}
	/* Deeper than PATH_MAX: paths fail, but the directory works. */
	CHECK_ERR(syscall(SYS_getcwd, cwd, sizeof(cwd)), ENAMETOOLONG);
	test_make_file("f", "");
	CHECK_OK(unlink("f"));
	while (depth-- > 0) {
		CHECK_OK(chdir(".."));
		CHECK_OK(rmdir(name));
	}
}

TEST(change_root)
{
	char cwd[4096];
	pid_t pid;

	if (geteuid() != 0) {
		CHECK_ERR(chroot("."), EPERM);
		return;
	}
	CHECK_OK(mkdir("r", 0755));
	CHECK_OK(mkdir("r/d", 0755));
	test_make_file("r/f", "in");
	test_make_file("out", "out");
	CHECK_OK(symlink("/f", "r/l"));
	CHECK_OK(symlink("../../../../out", "r/up"));
	CHECK_ERR(chroot("none"), ENOENT);
	CHECK_ERR(chroot("out"), ENOTDIR);
	CHECK_ERR(chroot(WILD), EFAULT);
	CHILD(pid) {
		CHECK_OK(chdir("r"));
		CHECK_OK(chroot("."));
		CHECK_OK(access("/f", F_OK));
		CHECK_OK(access("/../../f", F_OK));
		CHECK_OK(access("/l", F_OK));
		CHECK_ERR(access("/up", F_OK), ENOENT);
		CHECK_ERR(access("/out", F_OK), ENOENT);
		CHECK(getcwd(cwd, sizeof(cwd)));
		CHECK_STR(cwd, "/");
		CHECK_OK(chdir("d"));
		CHECK(getcwd(cwd, sizeof(cwd)));
		CHECK_STR(cwd, "/d");
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		/* A working directory outside stays usable. */
		CHECK_OK(chroot("r"));
		CHECK_OK(access("out", F_OK));
		CHECK_OK(access("/f", F_OK));
		CHECK(syscall(SYS_getcwd, cwd, sizeof(cwd)) > 0);
		CHECK(!strncmp(cwd, "(unreachable)", 13));
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(access("out", F_OK));
}
