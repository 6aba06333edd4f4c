#include "../test.h"

#define NOREPLACE	1u
#define EXCHANGE	2u
#define WHITEOUT	4u

static int rename2(const char *from, const char *to, unsigned flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to,
			    flags);
}

static ino_t inode(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : st.st_ino;
}

TEST(files)
{
	ino_t a, b;
	struct stat st;
	int fd;

	test_make_file("a", "a");
	test_make_file("b", "b");
	a = inode("a");
	fd = CHECK_OK(open("b", O_RDONLY));
	CHECK_OK(rename("a", "b"));
	CHECK_EQ(inode("b"), a);
	CHECK_EQ(inode("a"), 0);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_ERR(rename("none", "x"), ENOENT);
	CHECK_ERR(rename("b", "none/x"), ENOENT);
	CHECK_ERR(rename("b", "b/x"), ENOTDIR);
	CHECK_ERR(rename("b", ""), ENOENT);
	CHECK_OK(rename("b", "b"));
	/* Two names of one file: nothing happens. */
	CHECK_OK(link("b", "c"));
	CHECK_OK(rename("b", "c"));
	CHECK(inode("b") && inode("c"));
	b = inode("b");
	CHECK_OK(rename("b", "./d"));
	CHECK_EQ(inode("d"), b);
	CHECK_ERR(rename("d", "e/"), ENOTDIR);
	CHECK_ERR(rename("d/", "e"), ENOTDIR);
	CHECK_ERR(rename(WILD, "e"), EFAULT);
	CHECK_ERR(rename("d", WILD), EFAULT);
	CHECK_ERR(rename("d", "/proc/x"), EXDEV);
}

TEST(directories)
{
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("b", 0755));
	CHECK_OK(mkdir("a/sub", 0755));
	test_make_file("f", "");
	CHECK_ERR(rename("a", "f"), ENOTDIR);
	CHECK_ERR(rename("f", "a"), EISDIR);
	CHECK_ERR(rename("b", "a"), ENOTEMPTY);
	CHECK_OK(rename("a", "b"));
	CHECK(inode("b/sub"));
	CHECK_ERR(rename("b", "b/x"), EINVAL);
	CHECK_ERR(rename("b", "b/sub/x"), EINVAL);
	CHECK_ERR(rename("b/sub", "b"), ENOTEMPTY);
	CHECK_ERR(rename("b/.", "x"), EBUSY);
	CHECK_ERR(rename("b/..", "x"), EBUSY);
	CHECK_ERR(rename("b", "."), EBUSY);
	CHECK(rename("/", "x") == -1 && (errno == EBUSY || errno == EXDEV));
	CHECK_OK(rename("b/", "c/"));
	/* `..` of a moved directory is its new parent. */
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(rename("c/sub", "d/sub"));
	CHECK_EQ(inode("d/sub/.."), inode("d"));
}

TEST(links)
{
	char text[8];

	test_make_file("f", "");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(rename("l", "m"));
	CHECK_EQ(readlink("m", text, 8), 1);
	test_make_file("g", "");
	CHECK_OK(rename("g", "m"));
	CHECK_ERR(readlink("m", text, 8), EINVAL);
	CHECK(inode("f"));
}

TEST(no_replace)
{
	test_make_file("a", "");
	test_make_file("b", "");
	CHECK_ERR(rename2("a", "b", NOREPLACE), EEXIST);
	CHECK_ERR(rename2("a", "a", NOREPLACE), EEXIST);
	CHECK_ERR(rename2("a", ".", NOREPLACE), EEXIST);
	CHECK_OK(rename2("a", "c", NOREPLACE));
	CHECK(inode("c") && !inode("a"));
	CHECK_OK(symlink("nowhere", "l"));
	CHECK_ERR(rename2("c", "l", NOREPLACE), EEXIST);
}

TEST(exchange)
{
	ino_t a, d;

	test_make_file("a", "");
	CHECK_OK(mkdir("d", 0755));
	CHECK_OK(mkdir("d/sub", 0755));
	a = inode("a");
	d = inode("d");
	CHECK_OK(rename2("a", "d", EXCHANGE));
	CHECK_EQ(inode("d"), a);
	CHECK_EQ(inode("a"), d);
	CHECK(inode("a/sub"));
	CHECK_ERR(rename2("a", "none", EXCHANGE), ENOENT);
	CHECK_ERR(rename2("a", "a/sub", EXCHANGE), EINVAL);
	CHECK_ERR(rename2("a/sub", "a", EXCHANGE), EINVAL);
	CHECK_OK(rename2("d", "d", EXCHANGE));
}

TEST(flags)
{
	test_make_file("a", "");
	test_make_file("b", "");
	CHECK_ERR(rename2("a", "b", NOREPLACE | EXCHANGE), EINVAL);
	CHECK_ERR(rename2("a", "b", 0x100), EINVAL);
	CHECK_ERR(rename2("a", "b", WHITEOUT | EXCHANGE), EINVAL);
	CHECK_ERR(syscall(SYS_renameat2, -1, "a", AT_FDCWD, "b", 0), EBADF);
}

TEST(a_whiteout_needs_no_privilege)
{
	struct stat st;
	pid_t pid;

	test_make_file("a", "");
	if (geteuid() == 0)
		CHECK_OK(chmod(".", 0777));
	CHILD(pid) {
		if (geteuid() == 0)
			CHECK_OK(setresuid(1000, 1000, 1000));
		if (rename2("a", "b", WHITEOUT) < 0 && errno == EINVAL)
			SKIP("a file system without whiteouts");
		CHECK_OK(stat("a", &st));
		CHECK(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	}
	CHECK_EXIT(pid, 0);
}

TEST(working_directory_follows)
{
	char cwd[4096];

	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(chdir("a"));
	CHECK_OK(rename("../a", "../b"));
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK_STR(strrchr(cwd, '/'), "/b");
}

static int nr_names(const char *name)
{
	DIR *dir = opendir(name);
	int nr = 0;

	CHECK(dir != NULL);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr - 2; /* "." and ".." */
}

TEST(exchanged_names_are_listed)
{
	CHECK_OK(mkdir("d", 0700));
	for (const char *p = "abc"; *p; p++) {
		char name[] = { 'd', '/', *p, 0 };

		CHECK_OK(close(CHECK_OK(open(name, O_CREAT | O_WRONLY, 0600))));
	}
	CHECK_OK(close(CHECK_OK(open("e", O_CREAT | O_WRONLY, 0600))));
	CHECK_OK(renameat2(AT_FDCWD, "d/a", AT_FDCWD, "d/b", RENAME_EXCHANGE));
	CHECK_EQ(nr_names("d"), 3);
	CHECK_OK(renameat2(AT_FDCWD, "d/a", AT_FDCWD, "e", RENAME_EXCHANGE));
	CHECK_EQ(nr_names("d"), 3);
	CHECK_OK(rename("d/b", "d/x"));
	CHECK_OK(renameat2(AT_FDCWD, "e", AT_FDCWD, "d/x", RENAME_EXCHANGE));
	CHECK_EQ(nr_names("d"), 3);
}
