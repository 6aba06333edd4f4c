#include "../test.h"
#include <poll.h>

static int pidfd_open_(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static long pidfd_send(int fd, int sig, siginfo_t *info, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}

static pid_t sleeping(void)
{
	pid_t pid;

	CHILD(pid)
		for (;;)
			pause();
	return pid;
}

TEST(open_and_poll)
{
	pid_t pid = sleeping();
	int fd = CHECK_OK(pidfd_open_(pid, 0));
	struct pollfd p = { .fd = fd, .events = POLLIN };

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(poll(&p, 1, 9000), 1);
	CHECK(p.revents & POLLIN);
	CHECK_KILLED(pid, SIGKILL);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_ERR(pidfd_send(fd, 0, NULL, 0), ESRCH);
}

TEST(errors)
{
	int fd = CHECK_OK(pidfd_open_(getpid(), 0));
	char c;

	CHECK_ERR(pidfd_open_(-1, 0), EINVAL);
	CHECK_ERR(pidfd_open_(0, 0), EINVAL);
	CHECK_ERR(pidfd_open_(999999, 0), ESRCH);
	CHECK_ERR(pidfd_open_(getpid(), 0x10), EINVAL);
	CHECK_ERR(read(fd, &c, 1), EINVAL);
	CHECK_ERR(pidfd_send(-1, 0, NULL, 0), EBADF);
	CHECK_ERR(pidfd_send(0, 0, NULL, 0), EBADF);
	CHECK_ERR(pidfd_send(fd, 99, NULL, 0), EINVAL);
	CHECK_ERR(pidfd_send(fd, 0, NULL, 0x1000), EINVAL);
	CHECK_ERR(pidfd_send(fd, SIGUSR1, WILD, 0), EFAULT);
}

TEST(send)
{
	siginfo_t info = {}, got;
	sigset_t set;
	pid_t pid = sleeping();
	int fd = CHECK_OK(pidfd_open_(pid, 0)), self;

	CHECK_OK(pidfd_send(fd, 0, NULL, 0));
	CHECK_OK(pidfd_send(fd, SIGTERM, NULL, 0));
	CHECK_KILLED(pid, SIGTERM);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	self = CHECK_OK(pidfd_open_(getpid(), 0));
	info.si_signo = SIGUSR1;
	info.si_code = SI_QUEUE;
	info.si_value.sival_int = 99;
	CHECK_OK(pidfd_send(self, SIGUSR1, &info, 0));
	CHECK_EQ(sigwaitinfo(&set, &got), SIGUSR1);
	CHECK_EQ(got.si_value.sival_int, 99);
	CHECK_EQ(got.si_code, SI_QUEUE);
	info.si_signo = SIGUSR2;
	CHECK_ERR(pidfd_send(self, SIGUSR1, &info, 0), EINVAL);
}

TEST(get_a_descriptor)
{
	int ends[2], fd, theirs, sync[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	CHECK_OK(pipe(sync));
	CHILD(pid) {
		CHECK_OK(dup2(ends[1], 77));
		CHECK_EQ(write(sync[1], "x", 1), 1);
		pause();
	}
	CHECK_EQ(read(sync[0], &c, 1), 1);
	fd = CHECK_OK(pidfd_open_(pid, 0));
	theirs = (int)CHECK_OK(syscall(SYS_pidfd_getfd, fd, 77, 0));
	CHECK_EQ(fcntl(theirs, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(theirs, "y", 1), 1);
	CHECK_EQ(read(ends[0], &c, 1), 1);
	CHECK_ERR(syscall(SYS_pidfd_getfd, fd, 78, 0), EBADF);
	CHECK_ERR(syscall(SYS_pidfd_getfd, fd, 77, 1), EINVAL);
	CHECK_ERR(syscall(SYS_pidfd_getfd, 0, 77, 0), EBADF);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_KILLED(pid, SIGKILL);
}

#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif

TEST(release_of_memory)
{
	enum { SIZE = 16 << 20 };
	int fd, sync[2];
	siginfo_t info;
	pid_t pid;
	long r;
	char c;

	CHECK_OK(pipe(sync));
	CHILD(pid) {
		char *m = CHECK_OK(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

		memset(m, 1, SIZE);
		CHECK_EQ(write(sync[1], "x", 1), 1);
		pause();
	}
	CHECK_EQ(read(sync[0], &c, 1), 1);
	fd = CHECK_OK(pidfd_open_(pid, 0));
	CHECK_ERR(syscall(SYS_process_mrelease, -1, 0), EBADF);
	CHECK_ERR(syscall(SYS_process_mrelease, sync[0], 0), EBADF);
	CHECK_ERR(syscall(SYS_process_mrelease, fd, 1), EINVAL);
	/* It lives. */
	CHECK_ERR(syscall(SYS_process_mrelease, fd, 0), EINVAL);
	CHECK_OK(kill(pid, SIGKILL));
	r = syscall(SYS_process_mrelease, fd, 0);
	CHECK(r == 0 || errno == ESRCH);
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	CHECK_ERR(syscall(SYS_process_mrelease, fd, 0), ESRCH);
	CHECK_KILLED(pid, SIGKILL);
	CHECK_ERR(syscall(SYS_process_mrelease, fd, 0), ESRCH);
}
