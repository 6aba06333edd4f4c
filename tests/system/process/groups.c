#include "../test.h"

HELPER(pause)
{
	char c = 'x';

	if (write(60, &c, 1) != 1)
		return 1;
	pause();
	return 0;
}

static pid_t sleeping(void)
{
	pid_t pid;

	CHILD(pid)
		for (;;)
			pause();
	return pid;
}

TEST(set_group)
{
	pid_t a = sleeping(), b = sleeping();

	CHECK_EQ(getpgid(a), getpgrp());
	CHECK_OK(setpgid(a, 0));
	CHECK_EQ(getpgid(a), a);
	CHECK_OK(setpgid(b, a));
	CHECK_EQ(getpgid(b), a);
	CHECK_OK(setpgid(b, getpgrp()));
	CHECK_OK(setpgid(b, b));
	CHECK_ERR(setpgid(b, 999999), EPERM);
	CHECK_ERR(setpgid(-1, 0), EINVAL);
	CHECK_ERR(setpgid(b, -5), EINVAL);
	CHECK_ERR(setpgid(getppid(), 0), ESRCH);
	CHECK_ERR(setpgid(999999, 0), ESRCH);
	CHECK_ERR(getpgid(999999), ESRCH);
	CHECK_ERR(getsid(999999), ESRCH);
	CHECK_ERR(getpgid(-1), ESRCH);
	CHECK_EQ(getpgid(0), getpgrp());
	CHECK_OK(kill(a, SIGKILL));
	CHECK_OK(kill(b, SIGKILL));
}

TEST(sessions)
{
	pid_t pid, inner;

	/* A group leader can't start a session. */
	CHECK_ERR(setsid(), EPERM);
	CHILD(pid) {
		CHECK_EQ(setsid(), getpid());
		CHECK_EQ(getsid(0), getpid());
		CHECK_EQ(getpgrp(), getpid());
		CHECK_ERR(setsid(), EPERM);
		CHECK_ERR(setpgid(0, 0), EPERM);
		CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
		inner = sleeping();
		CHECK_EQ(getsid(inner), getpid());
		CHECK_OK(setpgid(inner, 0));
		CHECK_OK(kill(inner, SIGKILL));
		CHECK_KILLED(inner, SIGKILL);
	}
	CHECK_EXIT(pid, 0);
}

TEST(groups_of_another_session)
{
	int ends[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		CHECK_OK(setsid());
		CHECK_EQ(write(ends[1], "x", 1), 1);
		pause();
	}
	CHECK_EQ(read(ends[0], &c, 1), 1);
	CHECK_ERR(setpgid(pid, getpgrp()), EPERM);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_KILLED(pid, SIGKILL);
}

TEST(not_after_exec)
{
	int ends[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		CHECK_OK(dup2(ends[1], 60));
		test_exec("pause", NULL);
	}
	CHECK_EQ(read(ends[0], &c, 1), 1);
	CHECK_ERR(setpgid(pid, 0), EACCES);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_KILLED(pid, SIGKILL);
}

TEST(signal_a_group)
{
	pid_t a = sleeping(), b = sleeping(), c = sleeping();

	CHECK_OK(setpgid(a, a));
	CHECK_OK(setpgid(b, a));
	CHECK_OK(kill(-a, 0));
	CHECK_OK(killpg(a, SIGTERM));
	CHECK_KILLED(a, SIGTERM);
	CHECK_KILLED(b, SIGTERM);
	CHECK_EQ(waitpid(c, NULL, WNOHANG), 0);
	CHECK_ERR(kill(-a, 0), ESRCH);
	CHECK_OK(kill(c, SIGKILL));
}

static volatile sig_atomic_t hups, conts;

static void count(int sig)
{
	if (sig == SIGHUP)
		hups++;
	else
		conts++;
}

/*
 * When a group with a stopped member becomes orphaned, its members get
 * SIGHUP and then SIGCONT.
 */
TEST(a_stopped_orphaned_group_is_hung_up)
{
	int ends[2];
	pid_t pid;
	char text[2];

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		pid_t member;

		CHECK_OK(setsid());
		CHILD(member) {
			CHECK_OK(setpgid(0, 0));
			signal(SIGHUP, count);
			signal(SIGCONT, count);
			raise(SIGSTOP);
			while (!hups || !conts)
				pause();
			CHECK_EQ(write(ends[1], "ok", 2), 2);
		}
		CHECK_EQ(waitpid(member, NULL, WUNTRACED), member);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(ends[0], text, 2), 2);
}

/* Terminal stops are ignored in an orphaned group; SIGSTOP is not. */
TEST(an_orphaned_group_does_not_stop)
{
	int status;
	pid_t pid;

	CHILD(pid) {
		CHECK_OK(setsid());
		raise(SIGTSTP);
		raise(SIGTTIN);
		raise(SIGTTOU);
		_exit(3);
	}
	CHECK_EXIT(pid, 3);
	CHILD(pid) {
		CHECK_OK(setsid());
		raise(SIGSTOP);
		_exit(4);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EXIT(pid, 4);
	/* In a group that has a parent in the session it does stop. */
	CHILD(pid) {
		CHECK_OK(setpgid(0, 0));
		raise(SIGTSTP);
		_exit(5);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EXIT(pid, 5);
}
