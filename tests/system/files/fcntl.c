#include "../test.h"
#include <asm/sockios.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sched.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <linux/close_range.h>

TEST(dup_family)
{
	int fd = CHECK_OK(open(".", O_RDONLY | O_CLOEXEC));
	int other = CHECK_OK(dup(fd));

	CHECK_EQ(fcntl(other, F_GETFD), 0);
	CHECK_EQ(dup2(fd, 50), 50);
	CHECK_EQ(fcntl(50, F_GETFD), 0);
	CHECK_EQ(dup2(fd, fd), fd);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dup3(fd, 51, O_CLOEXEC), 51);
	CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(dup3(fd, fd, 0), EINVAL);
	CHECK_ERR(dup3(fd, 52, O_NONBLOCK), EINVAL);
	CHECK_ERR(dup2(fd, -1), EBADF);
	CHECK_ERR(dup2(99, 98), EBADF);
	CHECK_ERR(dup2(99, 99), EBADF);
	CHECK_ERR(dup(-5), EBADF);
	CHECK_ERR(dup2(fd, 1 << 30), EBADF);
}

TEST(dup2_closes_the_old_file)
{
	int a[2], b[2];
	char c;

	CHECK_OK(pipe(a));
	CHECK_OK(pipe(b));
	CHECK_OK(dup2(b[1], a[1]));
	CHECK_EQ(read(a[0], &c, 1), 0);
}

TEST(dup_fd_commands)
{
	int fd = CHECK_OK(open(".", O_RDONLY));
	struct rlimit limit;

	CHECK_EQ(fcntl(fd, F_DUPFD, 70), 70);
	CHECK_EQ(fcntl(fd, F_DUPFD, 70), 71);
	CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 70), 72);
	CHECK_EQ(fcntl(72, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(fcntl(fd, F_DUPFD, -1), EINVAL);
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	CHECK_ERR(fcntl(fd, F_DUPFD, (long)limit.rlim_cur), EINVAL);
	limit.rlim_cur = 80;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(fcntl(fd, F_DUPFD, 79), 79);
	CHECK_ERR(fcntl(fd, F_DUPFD, 79), EMFILE);
	CHECK_ERR(dup2(fd, 80), EBADF);
}

TEST(status_flags)
{
	int ends[2], fd;

	CHECK_OK(pipe2(ends, O_NONBLOCK));
	CHECK_EQ(fcntl(ends[0], F_GETFL) & (O_NONBLOCK | O_ACCMODE),
		 O_NONBLOCK | O_RDONLY);
	CHECK_EQ(fcntl(ends[1], F_GETFL) & O_ACCMODE, O_WRONLY);
	CHECK_OK(fcntl(ends[0], F_SETFL, 0));
	CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
	/* Only some flags change; the access mode is ignored. */
	fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	CHECK_OK(fcntl(fd, F_SETFL, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC));
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_CREAT),
		 O_RDWR | O_APPEND);
	CHECK_ERR(fcntl(fd, 0x7777, 0), EINVAL);
	CHECK_ERR(fcntl(-1, F_GETFL), EBADF);
}

TEST(flags_belong_to_the_open_file)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	int twin = CHECK_OK(dup(fd));

	CHECK_OK(fcntl(fd, F_SETFL, O_APPEND));
	CHECK_EQ(fcntl(twin, F_GETFL) & O_APPEND, O_APPEND);
	CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
	CHECK_EQ(fcntl(twin, F_GETFD), 0);
}

TEST(owner)
{
	int sv[2];

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_EQ(fcntl(sv[0], F_GETOWN), 0);
	CHECK_OK(fcntl(sv[0], F_SETOWN, getpid()));
	CHECK_EQ(fcntl(sv[0], F_GETOWN), getpid());
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

TEST(close_range_call)
{
	for (int fd = 60; fd < 70; fd++)
		CHECK_OK(dup2(0, fd));
	CHECK_OK(close_range(62, 64, 0));
	CHECK(is_open(61) && !is_open(62) && !is_open(64) && is_open(65));
	CHECK_OK(close_range(66, 67, CLOSE_RANGE_CLOEXEC));
	CHECK_EQ(fcntl(66, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(68, F_GETFD), 0);
	CHECK_ERR(close_range(10, 5, 0), EINVAL);
	CHECK_ERR(syscall(SYS_close_range, 60, 61, 0x100), EINVAL);
	CHECK_OK(close_range(65, ~0u, 0));
	CHECK(!is_open(65) && !is_open(69) && is_open(61));
	/* An empty range is fine. */
	CHECK_OK(close_range(1000000, ~0u, 0));
}

TEST(close_range_unshares)
{
	int status;
	pid_t pid;

	CHECK_OK(dup2(0, 60));
	pid = (pid_t)CHECK_OK(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0,
				      0, 0));
	if (pid == 0) {
		if (close_range(60, 60, CLOSE_RANGE_UNSHARE) < 0)
			_exit(2);
		_exit(is_open(60));
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK(is_open(60));
}

TEST(signal_driven_io)
{
	int sv[2];
	sigset_t set;
	siginfo_t info;
	struct timespec limit = { .tv_sec = 5 };

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_OK(fcntl(sv[0], F_SETOWN, getpid()));
	CHECK_OK(fcntl(sv[0], F_SETFL, O_ASYNC | O_NONBLOCK));
	CHECK_EQ(write(sv[1], "x", 1), 1);
	CHECK_EQ(sigtimedwait(&set, &info, &limit), SIGIO);
	/* With a signal of its own come the descriptor's events. */
	CHECK_OK(fcntl(sv[0], F_SETSIG, SIGRTMIN));
	sigaddset(&set, SIGRTMIN);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_EQ(write(sv[1], "y", 1), 1);
	CHECK_EQ(sigtimedwait(&set, &info, &limit), SIGRTMIN);
	CHECK_EQ(info.si_code, POLL_IN);
	CHECK_OK(fcntl(sv[0], F_SETFL, O_NONBLOCK));
	CHECK_EQ(write(sv[1], "z", 1), 1);
	limit = (struct timespec){};
	CHECK_ERR(sigtimedwait(&set, &info, &limit), EAGAIN);
	CHECK_OK(fcntl(sv[0], F_SETFL, O_ASYNC));
}

TEST(the_same_by_ioctl)
{
	int sv[2], file, me = getpid(), got = 0, on = 1, off = 0, fd;
	struct timespec limit = { .tv_sec = 5 };
	struct stat st;
	int64_t size = -1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_OK(ioctl(sv[0], FIOSETOWN, &me));
	CHECK_OK(ioctl(sv[0], SIOCGPGRP, &got));
	CHECK_EQ(got, me);
	CHECK_OK(ioctl(sv[0], FIOASYNC, &on));
	CHECK_EQ(fcntl(sv[0], F_GETFL), O_RDWR | O_ASYNC);
	CHECK_EQ(write(sv[1], "x", 1), 1);
	CHECK_EQ(sigtimedwait(&set, NULL, &limit), SIGIO);
	CHECK_OK(ioctl(sv[0], FIOASYNC, &off));
	CHECK_EQ(write(sv[1], "x", 1), 1);
	limit = (struct timespec){};
	CHECK_ERR(sigtimedwait(&set, NULL, &limit), EAGAIN);
	me = -99999999;
	CHECK_ERR(ioctl(sv[0], SIOCSPGRP, &me), ESRCH);
	CHECK_ERR(ioctl(sv[0], FIOSETOWN, WILD), EFAULT);
	test_make_file("f", "text");
	file = CHECK_OK(open("f", O_RDONLY));
	CHECK_ERR(ioctl(file, FIOASYNC, &on), ENOTTY);
	CHECK_OK(ioctl(file, FIOASYNC, &off));
	CHECK_ERR(ioctl(file, FIOSETOWN, &on), ENOTTY);
	CHECK_OK(ioctl(file, FIGETBSZ, &got));
	CHECK(got >= 512);
	fd = CHECK_OK(memfd_create("m", 0));
	CHECK_EQ(write(fd, "text", 4), 4);
	CHECK_OK(fstat(fd, &st));
	CHECK_OK(ioctl(fd, FIOQSIZE, &size));
	CHECK_EQ(size, st.st_blocks * 512);
	CHECK_ERR(ioctl(sv[0], FIOQSIZE, &size), ENOTTY);
}
