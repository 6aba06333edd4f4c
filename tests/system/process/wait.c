#include "../test.h"
#include <sys/prctl.h>
#include <sys/resource.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static pid_t exiting(int code)
{
	pid_t pid;

	CHILD(pid)
		_exit(code);
	return pid;
}

static pid_t sleeping(void)
{
	pid_t pid;

	CHILD(pid)
		for (;;)
			pause();
	return pid;
}

TEST(statuses)
{
	int status;
	pid_t pid = exiting(300 & 0xff);

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 44);
	pid = sleeping();
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGTERM);
	CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
	CHECK_ERR(wait(&status), ECHILD);
}

TEST(no_hang)
{
	int status;
	pid_t pid = sleeping();

	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(-1, &status, 0), pid);
	CHECK_EQ(status, SIGKILL);
}

TEST(stop_and_continue)
{
	int status;
	pid_t pid = sleeping();

	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(WSTOPSIG(status), SIGSTOP);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK(WIFCONTINUED(status));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED | WUNTRACED | WNOHANG), 0);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_KILLED(pid, SIGKILL);
}

TEST(waitid_fields)
{
	siginfo_t info = {};
	pid_t pid = exiting(5);

	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	CHECK_EQ(info.si_signo, SIGCHLD);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_pid, pid);
	CHECK_EQ(info.si_uid, getuid());
	CHECK_EQ(info.si_status, 5);
	memset(&info, 0, sizeof(info));
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED));
	CHECK_EQ(info.si_pid, pid);
	CHECK_ERR(waitid(P_PID, (id_t)pid, &info, WEXITED), ECHILD);
	pid = sleeping();
	info.si_pid = info.si_signo = 77;
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG));
	CHECK_EQ(info.si_pid, 0);
	CHECK_EQ(info.si_signo, 0);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WSTOPPED));
	CHECK_EQ(info.si_code, CLD_STOPPED);
	CHECK_EQ(info.si_status, SIGSTOP);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_OK(waitid(P_ALL, 0, &info, WCONTINUED));
	CHECK_EQ(info.si_code, CLD_CONTINUED);
	CHECK_EQ(info.si_status, SIGCONT);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_OK(waitid(P_ALL, 0, &info, WEXITED));
	CHECK_EQ(info.si_code, CLD_KILLED);
	CHECK_EQ(info.si_status, SIGKILL);
}

TEST(errors)
{
	siginfo_t info;
	int status;
	pid_t pid = exiting(0);

	CHECK_ERR(waitid(P_PID, (id_t)pid, &info, 0), EINVAL);
	CHECK_ERR(waitid(P_PID, (id_t)pid, &info, WEXITED | 0x100000),
		  EINVAL);
	CHECK_ERR(waitid(99, (id_t)pid, &info, WEXITED), EINVAL);
	CHECK_ERR(waitid(P_PID, 0, &info, WEXITED), EINVAL);
	CHECK_ERR(waitid(P_PIDFD, 999, &info, WEXITED), EBADF);
	CHECK_ERR(waitpid(pid, &status, 0x10000), EINVAL);
	CHECK_ERR(waitpid(getppid(), &status, 0), ECHILD);
	CHECK_ERR(waitpid(INT32_MIN, &status, 0), ESRCH);
	/* The child is gone even when its status can't be stored. */
	CHECK_ERR(syscall(SYS_wait4, pid, WILD, 0, 0), EFAULT);
	CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
}

TEST(process_groups)
{
	siginfo_t info;
	int status;
	pid_t a = sleeping(), b = sleeping(), c = sleeping();

	CHECK_OK(setpgid(a, a));
	CHECK_OK(setpgid(b, a));
	CHECK_OK(kill(c, SIGKILL));
	CHECK_OK(waitid(P_PGID, (id_t)getpgrp(), &info, WEXITED | WNOWAIT));
	CHECK_EQ(info.si_pid, c);
	CHECK_EQ(waitpid(-a, &status, WNOHANG), 0);
	CHECK_OK(kill(-a, SIGTERM));
	CHECK(waitpid(-a, &status, 0) != c);
	CHECK(waitpid(-a, &status, 0) != c);
	CHECK_ERR(waitpid(-a, &status, 0), ECHILD);
	CHECK_EQ(waitpid(0, &status, 0), c);
	CHECK_ERR(waitid(P_PGID, (id_t)a, &info, WEXITED), ECHILD);
}

TEST(by_pidfd)
{
	siginfo_t info = {};
	pid_t pid = sleeping();
	int fd = (int)CHECK_OK(syscall(SYS_pidfd_open, pid, 0));
	int nb = (int)CHECK_OK(syscall(SYS_pidfd_open, pid, O_NONBLOCK));

	CHECK_ERR(waitid(P_PIDFD, (id_t)nb, &info, WEXITED), EAGAIN);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
	CHECK_EQ(info.si_pid, pid);
	CHECK_ERR(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
}

TEST(usage_of_children)
{
	struct rusage usage, before, after;
	int status;
	pid_t pid;

	CHECK_OK(getrusage(RUSAGE_CHILDREN, &before));
	CHILD(pid) {
		struct rusage own;

		do {
			CHECK_OK(getrusage(RUSAGE_SELF, &own));
		} while (own.ru_utime.tv_sec * 1000000 + own.ru_utime.tv_usec +
			 own.ru_stime.tv_sec * 1000000 +
			 own.ru_stime.tv_usec < 20000);
	}
	CHECK_EQ(wait4(pid, &status, 0, &usage), pid);
	CHECK_EQ(status, 0);
	CHECK(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec > 0 ||
	      usage.ru_utime.tv_usec + usage.ru_stime.tv_usec >= 19000);
	CHECK(usage.ru_maxrss > 0);
	CHECK(usage.ru_minflt > 0);
	CHECK_OK(getrusage(RUSAGE_CHILDREN, &after));
	CHECK(after.ru_minflt > before.ru_minflt);
	CHECK_ERR(getrusage(99, &after), EINVAL);
	CHECK_ERR(syscall(SYS_getrusage, RUSAGE_SELF, WILD), EFAULT);
}

TEST(subreaper)
{
	int status, ends[2];
	pid_t pid, inner;

	CHECK_OK(pipe(ends));
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHILD(pid) {
		pid_t grandchild = CHECK_OK(fork());

		if (grandchild == 0) {
			pause();
			_exit(0);
		}
		CHECK_EQ(write(ends[1], &grandchild, 4), 4);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(ends[0], &inner, 4), 4);
	CHECK_OK(kill(inner, SIGKILL));
	CHECK_EQ(waitpid(-1, &status, 0), inner);
}

TEST(parent_death_signal)
{
	int ends[2], hold[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	CHECK_OK(pipe(hold));
	CHILD(pid) {
		pid_t inner;

		CHILD(inner) {
			int value = 0;

			close(hold[0]);
			CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
			CHECK_OK(prctl(PR_GET_PDEATHSIG, &value));
			CHECK_EQ(value, SIGKILL);
			CHECK_EQ(write(ends[1], "x", 1), 1);
			for (;;)
				pause();
		}
		CHECK_EQ(read(ends[0], &c, 1), 1);
	}
	CHECK_OK(close(hold[1]));
	CHECK_EXIT(pid, 0);
	/* The grandchild held the other end until it was killed. */
	CHECK_EQ(read(hold[0], &c, 1), 0);
	CHECK_ERR(prctl(PR_SET_PDEATHSIG, 99), EINVAL);
}
