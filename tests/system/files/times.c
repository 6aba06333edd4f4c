#include "../test.h"
#include <sys/time.h>
#include <utime.h>

static struct stat status(const char *path)
{
	struct stat st;

	CHECK_OK(lstat(path, &st));
	return st;
}

TEST(set_both)
{
	struct timespec t[2] = { { 1000, 5 }, { 2000, 999999999 } };
	struct stat st;

	test_make_file("f", "");
	CHECK_OK(utimensat(AT_FDCWD, "f", t, 0));
	st = status("f");
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK_EQ(st.st_atim.tv_nsec, 5);
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	CHECK_EQ(st.st_mtim.tv_nsec, 999999999);
	CHECK(st.st_ctim.tv_sec > 2000);
}

TEST(now_and_omit)
{
	struct timespec t[2] = { { 0, UTIME_OMIT }, { 3000, 0 } };
	struct timespec before;
	struct stat old, st;

	test_make_file("f", "");
	old = status("f");
	CHECK_OK(utimensat(AT_FDCWD, "f", t, 0));
	st = status("f");
	CHECK_EQ(st.st_mtim.tv_sec, 3000);
	CHECK_EQ(st.st_atim.tv_sec, old.st_atim.tv_sec);
	CHECK_EQ(st.st_atim.tv_nsec, old.st_atim.tv_nsec);
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	t[1].tv_nsec = UTIME_NOW;
	t[1].tv_sec = 12345;
	CHECK_OK(utimensat(AT_FDCWD, "f", t, 0));
	CHECK(status("f").st_mtim.tv_sec >= before.tv_sec);
	t[1].tv_nsec = UTIME_OMIT;
	CHECK_OK(utimensat(AT_FDCWD, "f", NULL, 0));
	CHECK(status("f").st_atim.tv_sec >= before.tv_sec);
}

TEST(links_and_descriptors)
{
	struct timespec t[2] = { { 10, 0 }, { 20, 0 } };
	int fd;

	test_make_file("f", "");
	CHECK_OK(symlink("f", "l"));
	CHECK_OK(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	CHECK_EQ(status("l").st_mtim.tv_sec, 20);
	CHECK(status("f").st_mtim.tv_sec != 20);
	fd = CHECK_OK(open("f", O_RDONLY));
	CHECK_OK(futimens(fd, t));
	CHECK_EQ(status("f").st_atim.tv_sec, 10);
}

TEST(negative_times)
{
	struct timespec t[2] = { { -100, 0 }, { -200, 1 } };

	CHECK_OK(close(CHECK_OK(open("/dev/shm/nos-test-times",
				     O_CREAT | O_RDWR, 0600))));
	CHECK_OK(utimensat(AT_FDCWD, "/dev/shm/nos-test-times", t, 0));
	CHECK_EQ(status("/dev/shm/nos-test-times").st_mtim.tv_sec, -200);
	CHECK_OK(unlink("/dev/shm/nos-test-times"));
}

TEST(errors)
{
	struct timespec t[2] = { { 1, 1000000000 }, { 1, 0 } };

	test_make_file("f", "");
	CHECK_ERR(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
	t[0].tv_nsec = -1;
	CHECK_ERR(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
	t[0].tv_nsec = 0;
	CHECK_ERR(utimensat(AT_FDCWD, "none", t, 0), ENOENT);
	CHECK_ERR(utimensat(AT_FDCWD, "f", t, 0x8000), EINVAL);
	CHECK_ERR(utimensat(-1, "f", t, 0), EBADF);
	CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, "f", WILD, 0), EFAULT);
	CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, WILD, t, 0), EFAULT);
}

TEST(old_calls)
{
	struct timeval v[2] = { { 100, 7 }, { 200, 8 } };
	struct utimbuf b = { .actime = 300, .modtime = 400 };

	test_make_file("f", "");
	CHECK_OK(syscall(SYS_utimes, "f", v));
	CHECK_EQ(status("f").st_mtim.tv_sec, 200);
	CHECK_EQ(status("f").st_mtim.tv_nsec, 8000);
	CHECK_OK(syscall(SYS_utime, "f", &b));
	CHECK_EQ(status("f").st_atim.tv_sec, 300);
	v[0].tv_usec = 1000000;
	CHECK_ERR(syscall(SYS_utimes, "f", v), EINVAL);
	v[0].tv_usec = 0;
	CHECK_OK(syscall(SYS_futimesat, AT_FDCWD, "f", v));
}

/* What changes which time; the old times are set far back first. */
static void age(const char *path)
{
	struct timespec t[2] = { { 1000, 0 }, { 1000, 0 } };

	CHECK_OK(utimensat(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW));
}

static bool modified(const char *path)
{
	return status(path).st_mtim.tv_sec != 1000;
}

TEST(what_modifies)
{
	int fd;
	char c;

	CHECK_OK(mkdir("d", 0755));
	test_make_file("d/f", "abc");
	age("d");
	age("d/f");
	fd = CHECK_OK(open("d/f", O_RDWR));
	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK(!modified("d/f"));
	CHECK_OK(fchmod(fd, 0600));
	CHECK(!modified("d/f"));
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK(modified("d/f") && !modified("d"));
	age("d/f");
	CHECK_OK(ftruncate(fd, 1));
	CHECK(modified("d/f"));
	CHECK_OK(link("d/f", "d/g"));
	CHECK(modified("d"));
	age("d");
	CHECK_OK(unlink("d/g"));
	CHECK(modified("d"));
	age("d");
	CHECK_OK(rename("d/f", "d/h"));
	CHECK(modified("d"));
	age("d");
	CHECK_OK(mkdir("d/sub", 0755));
	CHECK(modified("d"));
	age("d");
	CHECK_ERR(mkdir("d/sub", 0755), EEXIST);
	CHECK_EQ(write(fd, "", 0), 0);
	CHECK(!modified("d"));
}

TEST(who_may)
{
	struct timespec t[2] = { { 10, 0 }, { 20, 0 } };
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(chmod(".", 0755));
	test_make_file("f", "");
	test_make_file("w", "");
	CHECK_OK(chmod("w", 0666));
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(utimensat(AT_FDCWD, "f", t, 0), EPERM);
		CHECK_ERR(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
		CHECK_ERR(utimensat(AT_FDCWD, "w", t, 0), EPERM);
		CHECK_OK(utimensat(AT_FDCWD, "w", NULL, 0));
	}
	CHECK_EXIT(pid, 0);
}

/* A time that is set by hand stays until the next change, however soon after another that comes. */
TEST(set_between_writes)
{
	struct timespec old[2] = { { 1000, 5 }, { 2000, 6 } };
	struct stat st;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	for (int i = 0; i < 50; i++) {
		CHECK_EQ(pwrite(fd, "a", 1, 0), 1);
		CHECK_OK(futimens(fd, old));
		CHECK_OK(fstat(fd, &st));
		CHECK_EQ(st.st_mtim.tv_sec, 2000);
		CHECK_EQ(st.st_mtim.tv_nsec, 6);
		CHECK(st.st_ctim.tv_sec > 2000);
		CHECK_EQ(pwrite(fd, "b", 1, 0), 1);
		CHECK_OK(fstat(fd, &st));
		CHECK(st.st_mtim.tv_sec > 2000);
	}
}

/* Relatime (mount(8)): a read counts when the time of the last is not later than the last change. */
TEST(access_after_change)
{
	struct timespec ahead[2], behind[2] = { { 1000, 0 }, { 2000, 0 } };
	struct stat st;
	char byte;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	CHECK_EQ(write(fd, "a", 1), 1);
	CHECK_OK(futimens(fd, behind));
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	CHECK_OK(fstat(fd, &st));
	if (st.st_atim.tv_sec == 1000)
		SKIP("reads leave no trace here");
	for (int i = 0; i < 50; i++) {
		/* Later than the change: settled. */
		CHECK_OK(clock_gettime(CLOCK_REALTIME, &ahead[0]));
		ahead[0].tv_sec += 100;
		ahead[1] = behind[1];
		CHECK_OK(futimens(fd, ahead));
		CHECK_EQ(pread(fd, &byte, 1, 0), 1);
		CHECK_EQ(pread(fd, &byte, 1, 0), 1);
		CHECK_OK(fstat(fd, &st));
		CHECK_EQ(st.st_atim.tv_sec, ahead[0].tv_sec);
		/* And no longer. */
		CHECK_OK(futimens(fd, behind));
		CHECK_EQ(pread(fd, &byte, 1, 0), 1);
		CHECK_OK(fstat(fd, &st));
		CHECK(st.st_atim.tv_sec > 1000 && st.st_atim.tv_sec != ahead[0].tv_sec);
		/* A day old. */
		behind[0].tv_sec = ahead[0].tv_sec - 100 - 25 * 3600;
		behind[1].tv_sec = 500;
		CHECK_OK(futimens(fd, behind));
		behind[0].tv_sec = 1000;
		behind[1].tv_sec = 2000;
		CHECK_EQ(pread(fd, &byte, 1, 0), 1);
		CHECK_OK(fstat(fd, &st));
		CHECK(st.st_atim.tv_sec >= ahead[0].tv_sec - 101);
	}
}
