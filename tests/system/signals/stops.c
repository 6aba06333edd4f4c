#include "../test.h"
#include <linux/futex.h>
#include <poll.h>

static volatile sig_atomic_t handled;
static volatile siginfo_t info;

static void handler(int sig, siginfo_t *i, void *context TEST_UNUSED)
{
	info = *i;
	handled = sig;
}

static void set(int sig, int flags)
{
	struct sigaction a = { .sa_sigaction = handler,
			       .sa_flags = SA_SIGINFO | flags };

	CHECK_OK(sigaction(sig, &a, NULL));
}

static pid_t sleeping(void)
{
	pid_t pid;

	CHILD(pid)
		for (;;)
			pause();
	return pid;
}

static void wait_handled(void)
{
	while (!handled)
		usleep(100);
}

TEST(child_signal_fields)
{
	pid_t pid;

	set(SIGCHLD, 0);
	CHILD(pid)
		_exit(7);
	wait_handled();
	CHECK_EQ(info.si_signo, SIGCHLD);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_pid, pid);
	CHECK_EQ(info.si_status, 7);
	CHECK_EQ(info.si_uid, getuid());
	CHECK_EXIT(pid, 7);
	handled = 0;
	pid = sleeping();
	CHECK_OK(kill(pid, SIGSTOP));
	wait_handled();
	CHECK_EQ(info.si_code, CLD_STOPPED);
	CHECK_EQ(info.si_status, SIGSTOP);
	handled = 0;
	CHECK_OK(kill(pid, SIGCONT));
	wait_handled();
	CHECK_EQ(info.si_code, CLD_CONTINUED);
	handled = 0;
	CHECK_OK(kill(pid, SIGTERM));
	wait_handled();
	CHECK_EQ(info.si_code, CLD_KILLED);
	CHECK_EQ(info.si_status, SIGTERM);
	CHECK_KILLED(pid, SIGTERM);
}

TEST(no_signal_for_stops)
{
	int status;
	pid_t pid = sleeping();

	set(SIGCHLD, SA_NOCLDSTOP);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK_EQ(handled, 0);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_KILLED(pid, SIGKILL);
	CHECK_EQ(handled, SIGCHLD);
}

TEST(no_zombies_when_ignored)
{
	int status;
	pid_t pid;

	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 50; i++) { /* it ends beside the parent that looks */
		CHILD(pid)
			_exit(0);
		CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
		/* Linux frees the number a moment after it has told that there is no child. */
		for (int looks = 0; looks < 1000 && !kill(pid, 0); looks++)
			usleep(1000);
		CHECK_ERR(kill(pid, 0), ESRCH);
	}
	set(SIGCHLD, SA_NOCLDWAIT);
	CHILD(pid)
		_exit(0);
	CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
	CHECK_EQ(handled, SIGCHLD);
}

TEST(stop_discards_continue_and_back)
{
	sigset_t both, pending;

	sigemptyset(&both);
	sigaddset(&both, SIGCONT);
	sigaddset(&both, SIGTSTP);
	CHECK_OK(sigprocmask(SIG_BLOCK, &both, NULL));
	CHECK_OK(raise(SIGTSTP));
	CHECK_OK(sigpending(&pending));
	CHECK(sigismember(&pending, SIGTSTP));
	set(SIGCONT, 0);
	CHECK_OK(raise(SIGCONT));
	CHECK_OK(sigpending(&pending));
	CHECK(!sigismember(&pending, SIGTSTP));
	CHECK(sigismember(&pending, SIGCONT));
	CHECK_OK(raise(SIGTSTP));
	CHECK_OK(sigpending(&pending));
	CHECK(!sigismember(&pending, SIGCONT));
}

TEST(a_stopped_process_can_be_killed)
{
	int status;
	pid_t pid = sleeping();

	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(test_state(pid), 'T');
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_KILLED(pid, SIGKILL);
	/* SIGCONT lets the pending one through. */
	pid = sleeping();
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_KILLED(pid, SIGTERM);
}

/* Stopping and going on is not seen by these calls. */
static void stop_and_go(pid_t pid)
{
	int status;

	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	test_wait_state(pid, 'S');
}

TEST(a_stop_does_not_interrupt)
{
	uint32_t *word = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	struct pollfd p = { .events = POLLIN };
	int ends[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	CHILD(pid)
		CHECK_EQ(read(ends[0], &c, 1), 1);
	stop_and_go(pid);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EXIT(pid, 0);
	p.fd = ends[0];
	CHILD(pid)
		CHECK_EQ(poll(&p, 1, 100000), 1);
	stop_and_go(pid);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EXIT(pid, 0);
	CHILD(pid)
		CHECK_OK(syscall(SYS_futex, word, FUTEX_WAIT, 0,
				 &(struct timespec){ .tv_sec = 100 }));
	stop_and_go(pid);
	while (syscall(SYS_futex, word, FUTEX_WAKE, 1) != 1)
		continue;
	CHECK_EXIT(pid, 0);
}

TEST(a_sleep_goes_on_after_a_stop)
{
	pid_t pid;
	int64_t start = test_now_ns();

	CHILD(pid)
		CHECK_OK(nanosleep(&(struct timespec){
					.tv_nsec = 50000000 }, NULL));
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EXIT(pid, 0);
	CHECK(test_now_ns() - start >= 50000000);
}

TEST(kill_targets)
{
	pid_t pid, other;

	CHECK_OK(kill(getpid(), 0));
	CHECK_ERR(kill(getpid(), 65), EINVAL);
	CHECK_ERR(kill(getpid(), -1), EINVAL);
	CHECK_ERR(kill(999999, SIGTERM), ESRCH);
	CHECK_ERR(kill(-999999, SIGTERM), ESRCH);
	CHECK_ERR(kill(INT32_MIN, SIGTERM), ESRCH);
	set(SIGUSR1, 0);
	CHECK_OK(kill(0, SIGUSR1));
	CHECK_EQ(handled, SIGUSR1);
	/* A zombie takes signals until it is waited for. */
	CHILD(pid)
		_exit(0);
	test_wait_state(pid, 'Z');
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_EXIT(pid, 0);
	CHECK_ERR(kill(pid, SIGTERM), ESRCH);
	if (geteuid() != 0)
		return;
	other = sleeping();
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(kill(other, SIGTERM), EPERM);
		CHECK_ERR(kill(other, 0), EPERM);
		CHECK_ERR(kill(1, SIGTERM), EPERM);
		/* SIGCONT may go to the own session. */
		CHECK_OK(kill(other, SIGCONT));
		CHECK_OK(kill(getpid(), 0));
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(kill(other, SIGKILL));
	CHECK_KILLED(other, SIGKILL);
}

TEST(kill_everything_as_a_nobody)
{
	pid_t pid, victim;

	if (geteuid() != 0)
		SKIP("needs root");
	CHILD(pid) {
		CHECK_OK(setresuid(64321, 64321, 64321));
		victim = sleeping();
		CHECK_OK(kill(-1, SIGTERM));
		/* All but the caller. */
		CHECK_KILLED(victim, SIGTERM);
	}
	CHECK_EXIT(pid, 0);
}
