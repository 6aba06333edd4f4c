#include "../test.h"
#include <grp.h>

#define NEED_ROOT() do {						\
	if (geteuid() != 0)						\
		SKIP("needs root");					\
} while (0)

static void become(uid_t uid, gid_t gid)
{
	CHECK_OK(setgroups(0, NULL));
	CHECK_OK(setresgid(gid, gid, gid));
	CHECK_OK(setresuid(uid, uid, uid));
}

TEST(mode_bits_decide)
{
	pid_t pid;

	NEED_ROOT();
	test_make_file("owner", "x");
	CHECK_OK(chown("owner", 1000, 1000));
	CHECK_OK(chmod("owner", 0470));
	CHECK_OK(chmod(".", 0777));
	CHILD(pid) {
		become(1000, 1000);
		/* The first class that matches decides, even if worse. */
		CHECK_OK(open("owner", O_RDONLY));
		CHECK_ERR(open("owner", O_WRONLY), EACCES);
		CHECK_ERR(open("owner", O_RDWR), EACCES);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		become(1001, 1000);
		CHECK_OK(open("owner", O_RDWR));
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		become(1001, 1001);
		CHECK_ERR(open("owner", O_RDONLY), EACCES);
		CHECK_ERR(truncate("owner", 0), EACCES);
		CHECK_OK(access("owner", F_OK));
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(setgroups(2, (gid_t[]){ 5, 1000 }));
		CHECK_OK(setresgid(1001, 1001, 1001));
		CHECK_OK(setresuid(1001, 1001, 1001));
		CHECK_OK(open("owner", O_RDWR));
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(open("owner", O_RDWR));
}

TEST(directories)
{
	pid_t pid;

	NEED_ROOT();
	CHECK_OK(chmod(".", 0755));
	CHECK_OK(mkdir("search", 0711));
	test_make_file("search/f", "");
	CHECK_OK(mkdir("list", 0744));
	test_make_file("list/f", "");
	CHECK_OK(mkdir("write", 0777));
	test_make_file("write/f", "");
	CHECK_OK(mkdir("sticky", 01777));
	CHECK_OK(chmod("write", 0777));
	CHECK_OK(chmod("sticky", 01777));
	test_make_file("sticky/f", "");
	CHILD(pid) {
		become(1000, 1000);
		CHECK_OK(open("search/f", O_RDONLY));
		CHECK_ERR(open("search", O_RDONLY), EACCES);
		CHECK_OK(open("search", O_PATH));
		CHECK_OK(chdir("search"));
		CHECK_OK(chdir(".."));
		CHECK_OK(open("list", O_RDONLY));
		CHECK_ERR(open("list/f", O_RDONLY), EACCES);
		CHECK_ERR(access("list/none", F_OK), EACCES);
		CHECK_ERR(chdir("list"), EACCES);
		CHECK_ERR(unlink("search/f"), EACCES);
		CHECK_ERR(mkdir("search/d", 0755), EACCES);
		CHECK_ERR(open("search/g", O_CREAT | O_RDWR, 0666), EACCES);
		CHECK_OK(open("search/f", O_CREAT | O_RDONLY, 0666));
		CHECK_ERR(rename("search/f", "write/x"), EACCES);
		CHECK_ERR(symlink("x", "search/l"), EACCES);
		CHECK_OK(rename("write/f", "write/g"));
		CHECK_OK(unlink("write/g"));
		CHECK_ERR(unlink("sticky/f"), EPERM);
		CHECK_ERR(rename("sticky/f", "sticky/g"), EPERM);
		CHECK_OK(mkdir("sticky/mine", 0755));
		CHECK_OK(rmdir("sticky/mine"));
	}
	CHECK_EXIT(pid, 0);
}

TEST(chmod_rules)
{
	struct stat st;
	pid_t pid;
	int fd;

	test_make_file("f", "");
	CHECK_OK(chmod("f", 0640));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_OK(chmod("f", 0177777));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 07777);
	fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_OK(fchmod(fd, 0600));
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(chmod("l", 0644));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_ERR(chmod("none", 0644), ENOENT);
	CHECK_ERR(chmod(WILD, 0644), EFAULT);
	CHECK_ERR(fchmod(-1, 0644), EBADF);
	CHECK_OK(fchmodat(AT_FDCWD, "f", 0600, 0));
	if (geteuid() != 0)
		return;
	CHECK_OK(chmod(".", 0777));
	CHECK_OK(chown("f", 1000, 50));
	CHILD(pid) {
		become(1001, 50);
		CHECK_ERR(chmod("f", 0777), EPERM);
		CHECK_ERR(fchmod(fd, 0777), EPERM);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		become(1000, 60);
		CHECK_OK(chmod("f", 02755));
		/* Not in the file's group: the set-group-id bit goes. */
		CHECK_OK(stat("f", &st));
		CHECK_EQ(st.st_mode & 07777, 0755);
	}
	CHECK_EXIT(pid, 0);
}

TEST(chown_rules)
{
	struct stat st;
	pid_t pid;
	int fd;

	NEED_ROOT();
	test_make_file("f", "");
	CHECK_OK(chmod(".", 0777));
	CHECK_OK(chmod("f", 06755));
	CHECK_OK(chown("f", 1000, 50));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_uid, 1000);
	CHECK_EQ(st.st_gid, 50);
	CHECK_EQ(st.st_mode & 07777, 0755);
	CHECK_OK(chown("f", (uid_t)-1, 51));
	CHECK_OK(stat("f", &st));
	CHECK(st.st_uid == 1000 && st.st_gid == 51);
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(lchown("l", 7, 8));
	CHECK_OK(lstat("l", &st));
	CHECK(st.st_uid == 7 && st.st_gid == 8);
	CHECK_OK(chown("l", 1000, 52));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_gid, 52);
	fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_OK(fchown(fd, 1000, 60));
	CHECK_OK(fchownat(fd, "", 1000, 61, AT_EMPTY_PATH));
	CHECK_ERR(fchownat(fd, "", 1000, 61, 0), ENOENT);
	CHECK_ERR(fchownat(AT_FDCWD, "f", 1, 1, 0x8000), EINVAL);
	CHECK_ERR(chown("none", 1, 1), ENOENT);
	CHECK_ERR(fchown(-1, 1, 1), EBADF);
	CHILD(pid) {
		CHECK_OK(setgroups(1, (gid_t[]){ 70 }));
		CHECK_OK(setresgid(61, 61, 61));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(chown("f", 1001, (gid_t)-1), EPERM);
		CHECK_ERR(chown("f", (uid_t)-1, 99), EPERM);
		CHECK_OK(chown("f", (uid_t)-1, 70));
		CHECK_OK(chown("f", 1000, 61));
	}
	CHECK_EXIT(pid, 0);
}

TEST(writing_clears_set_id_bits)
{
	struct stat st;
	pid_t pid;

	NEED_ROOT();
	test_make_file("f", "");
	CHECK_OK(chmod("f", 06777));
	CHILD(pid) {
		become(1000, 1000);
		CHECK_EQ(write(CHECK_OK(open("f", O_WRONLY)), "x", 1), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode & 07777, 0777);
}

TEST(access_uses_the_real_id)
{
	pid_t pid;

	test_make_file("f", "");
	CHECK_OK(chmod("f", 0600));
	CHECK_OK(access("f", F_OK));
	CHECK_OK(access("f", R_OK | W_OK));
	CHECK_ERR(access("f", X_OK), EACCES);
	CHECK_ERR(access("f", 010), EINVAL);
	CHECK_ERR(access("none", F_OK), ENOENT);
	CHECK_ERR(access(WILD, F_OK), EFAULT);
	CHECK_ERR(faccessat(AT_FDCWD, "f", R_OK, 0x8000), EINVAL);
	CHECK_ERR(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0x8000),
		  EINVAL);
	CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
	CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "", R_OK, AT_EMPTY_PATH));
	CHECK_OK(symlink("none", "l"));
	CHECK_ERR(access("l", F_OK), ENOENT);
	CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK,
			 AT_SYMLINK_NOFOLLOW));
	if (geteuid() != 0)
		return;
	CHECK_OK(chmod(".", 0755));
	CHECK_OK(mkdir("d", 0700));
	test_make_file("d/f", "");
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 0, 0));
		CHECK_ERR(access("f", R_OK), EACCES);
		CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK,
				 AT_EACCESS));
		CHECK_OK(open("f", O_RDONLY));
		/* The directories on the way, too, even when they were just passed. */
		for (int i = 0; i < 4; i++) {
			CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "d/f", F_OK,
					 AT_EACCESS));
			CHECK_ERR(access("d/f", F_OK), EACCES);
			CHECK_ERR(access("d/none", F_OK), EACCES);
		}
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) { /* the other way round */
		CHECK_OK(setresuid(0, 1000, 0));
		CHECK_OK(access("d/f", R_OK));
		CHECK_ERR(open("d/f", O_RDONLY), EACCES);
	}
	CHECK_EXIT(pid, 0);
}

TEST(creation_mask)
{
	struct stat st;

	CHECK_EQ(umask(0), 022);
	CHECK_EQ(umask(01077), 0);
	CHECK_EQ(umask(0077), 0077);
	CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	CHECK_OK(stat("f", &st));
	CHECK_EQ(st.st_mode & 07777, 0600);
	CHECK_OK(mkfifo("p", 0666));
	CHECK_OK(stat("p", &st));
	CHECK_EQ(st.st_mode & 07777, 0600);
}

TEST(new_files_belong_to_the_file_system_ids)
{
	struct stat st;
	pid_t pid;

	NEED_ROOT();
	CHECK_OK(chmod(".", 0777));
	CHECK_OK(mkdir("d", 02777));
	CHECK_OK(chown("d", 0, 77));
	CHECK_OK(chmod("d", 02777));
	CHILD(pid) {
		CHECK_OK(setresgid(1001, 1001, 0));
		CHECK_OK(setresuid(0, 1000, 0));
		test_make_file("f", "");
		test_make_file("d/f", "");
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(stat("f", &st));
	CHECK(st.st_uid == 1000 && st.st_gid == 1001);
	CHECK_OK(stat("d/f", &st));
	CHECK(st.st_uid == 1000 && st.st_gid == 77);
}
