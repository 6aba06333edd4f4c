#include "../test.h"
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/utsname.h>

static void own(int kinds)
{
	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(unshare(kinds));
	if (kinds & CLONE_NEWNS)
		CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static int open_ns(pid_t pid, const char *kind)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	return CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
}

/* A child that lives in namespaces of its own until its pipe ends. */
static pid_t other(int kinds, int *end)
{
	int to[2], from[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(to));
	CHECK_OK(pipe(from));
	CHILD(pid) {
		CHECK_OK(close(to[1]));
		CHECK_OK(unshare(kinds));
		if (kinds & CLONE_NEWUTS)
			CHECK_OK(sethostname("elsewhere", 9));
		if (kinds & CLONE_NEWNS) {
			CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE,
				       NULL));
			CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
			test_make_file("m/inside", "x");
		}
		CHECK_EQ(write(from[1], "r", 1), 1);
		CHECK_EQ(read(to[0], &c, 1), 0);
	}
	CHECK_OK(close(to[0]));
	CHECK_EQ(read(from[0], &c, 1), 1);
	*end = to[1];
	return pid;
}

TEST(files_name_namespaces)
{
	struct stat a, b;
	char text[64] = "", name[64];
	int end, fd;
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(stat("/proc/self/ns/uts", &a));
	CHECK(S_ISREG(a.st_mode));
	CHECK_EQ(a.st_mode & 0777, 0444);
	CHECK(readlink("/proc/self/ns/uts", text, sizeof(text) - 1) > 0);
	snprintf(name, sizeof(name), "uts:[%lu]", (unsigned long)a.st_ino);
	CHECK_STR(text, name);
	CHILD(pid) {
		CHECK_OK(stat("/proc/self/ns/uts", &b));
		CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
		CHECK_OK(stat("/proc/self/ns/mnt", &b));
		CHECK(a.st_ino != b.st_ino && a.st_dev == b.st_dev);
	}
	CHECK_EXIT(pid, 0);
	pid = other(CLONE_NEWUTS, &end);
	fd = open_ns(pid, "uts");
	CHECK_OK(fstat(fd, &b));
	CHECK(a.st_ino != b.st_ino && a.st_dev == b.st_dev);
	CHECK_EQ(ioctl(fd, NS_GET_NSTYPE), CLONE_NEWUTS);
	CHECK_ERR(ioctl(fd, NS_GET_PARENT), EINVAL);
	CHECK_ERR(ioctl(fd, NS_GET_OWNER_UID), EINVAL);
	CHECK_ERR(ioctl(fd, 0x1234), ENOTTY);
	CHECK_EQ(ioctl(open_ns(getpid(), "mnt"), NS_GET_NSTYPE), CLONE_NEWNS);
	CHECK_ERR(read(fd, text, 1), EINVAL);
	CHECK_ERR(open("/proc/self/ns/none", O_RDONLY), ENOENT);
	CHECK_OK(close(end));
	CHECK_EXIT(pid, 0);
}

TEST(enter_uts)
{
	struct utsname mine, u;
	int end, fd, back;
	pid_t pid;

	own(CLONE_NEWUTS);
	CHECK_OK(sethostname("here", 4));
	CHECK_OK(uname(&mine));
	pid = other(CLONE_NEWUTS, &end);
	back = open_ns(getpid(), "uts");
	fd = open_ns(pid, "uts");
	CHECK_ERR(setns(fd, CLONE_NEWNS), EINVAL);
	CHECK_OK(setns(fd, CLONE_NEWUTS));
	CHECK_OK(uname(&u));
	CHECK_STR(u.nodename, "elsewhere");
	/* The file alone keeps it. */
	CHECK_OK(setns(back, 0));
	CHECK_OK(close(end));
	CHECK_EXIT(pid, 0);
	CHECK_OK(uname(&u));
	CHECK_STR(u.nodename, mine.nodename);
	CHECK_OK(setns(fd, 0));
	CHECK_OK(uname(&u));
	CHECK_STR(u.nodename, "elsewhere");
}

TEST(enter_mounts)
{
	char here[4096], path[5000];
	int end, fd, back;
	pid_t pid;

	own(CLONE_NEWNS);
	CHECK(getcwd(here, sizeof(here)) != NULL);
	CHECK_OK(mkdir("m", 0755));
	pid = other(CLONE_NEWNS, &end);
	CHECK_ERR(access("m/inside", F_OK), ENOENT);
	back = open_ns(getpid(), "mnt");
	fd = open_ns(pid, "mnt");
	CHECK_OK(setns(fd, CLONE_NEWNS));
	/* Root and directory are the namespace's. */
	CHECK(getcwd(path, sizeof(path)) != NULL);
	CHECK_STR(path, "/");
	snprintf(path, sizeof(path), "%s/m/inside", here);
	CHECK_OK(access(path, F_OK));
	CHECK_OK(setns(back, 0));
	CHECK_ERR(access(path, F_OK), ENOENT);
	CHECK_OK(close(end));
	CHECK_EXIT(pid, 0);
	CHECK_OK(setns(fd, 0));
	CHECK_OK(access(path, F_OK));
}

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

TEST(enter_by_pidfd)
{
	struct utsname u;
	char here[4096], path[5000];
	int end, fd;
	pid_t pid;

	own(CLONE_NEWNS | CLONE_NEWUTS);
	CHECK(getcwd(here, sizeof(here)) != NULL);
	CHECK_OK(mkdir("m", 0755));
	pid = other(CLONE_NEWNS | CLONE_NEWUTS, &end);
	fd = CHECK_OK(syscall(SYS_pidfd_open, pid, 0));
	CHECK_ERR(setns(fd, 0), EINVAL);
	CHECK_ERR(setns(fd, CLONE_FILES), EINVAL);
	CHECK_OK(setns(fd, CLONE_NEWNS | CLONE_NEWUTS));
	CHECK_OK(uname(&u));
	CHECK_STR(u.nodename, "elsewhere");
	snprintf(path, sizeof(path), "%s/m/inside", here);
	CHECK_OK(access(path, F_OK));
	CHECK_OK(close(end));
	CHECK_EXIT(pid, 0);
	CHECK_ERR(setns(fd, CLONE_NEWUTS), ESRCH);
}

static int stay(void *arg)
{
	return (int)read(*(int *)arg, arg, 1);
}

TEST(what_is_refused)
{
	static char stack[65536] __attribute__((aligned(16)));
	int fd, ends[2], in;
	pid_t pid;

	own(CLONE_NEWUTS);
	CHECK_ERR(setns(-1, 0), EBADF);
	CHECK_ERR(setns(CHECK_OK(open(".", O_RDONLY)), 0), EINVAL);
	fd = open_ns(getpid(), "mnt");
	/* Root and directory are shared. */
	CHECK_OK(pipe(ends));
	in = ends[0];
	pid = CHECK_OK(clone(stay, stack + sizeof(stack), CLONE_FS | SIGCHLD,
			     &in));
	CHECK_ERR(setns(fd, 0), EINVAL);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_OK(setuid(1000));
	CHECK_ERR(setns(fd, 0), EPERM);
	CHECK_ERR(setns(open_ns(getpid(), "uts"), 0), EPERM);
}
