#include "../test.h"
#include <poll.h>
#include <sys/signalfd.h>

static void block(sigset_t *set, int a, int b)
{
	sigemptyset(set);
	sigaddset(set, a);
	if (b)
		sigaddset(set, b);
	CHECK_OK(sigprocmask(SIG_BLOCK, set, NULL));
}

static int order[64], count;

static void note(int sig, siginfo_t *info, void *context TEST_UNUSED)
{
	order[count++] = sig * 100 + info->si_value.sival_int;
}

TEST(real_time_order)
{
	struct sigaction a = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	sigset_t set;

	sigfillset(&a.sa_mask);
	sigemptyset(&set);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(sigaction(SIGRTMIN + i, &a, NULL));
		sigaddset(&set, SIGRTMIN + i);
	}
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int v = 0; v < 3; v++)
		for (int i = 2; i >= 0; i--)
			CHECK_OK(sigqueue(getpid(), SIGRTMIN + i,
					  (union sigval){ .sival_int = v }));
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
	CHECK_EQ(count, 9);
	/* The lowest number first, each in the order it was sent. */
	for (int i = 0; i < 9; i++)
		CHECK_EQ(order[i], (SIGRTMIN + i / 3) * 100 + i % 3);
}

TEST(timed_wait)
{
	struct timespec zero = {}, some = { .tv_nsec = 20000000 };
	struct timespec bad = { .tv_nsec = 1000000000 };
	siginfo_t info;
	sigset_t set;
	int64_t start;

	block(&set, SIGUSR1, SIGRTMIN);
	CHECK_ERR(sigtimedwait(&set, &info, &zero), EAGAIN);
	start = test_now_ns();
	CHECK_ERR(sigtimedwait(&set, &info, &some), EAGAIN);
	CHECK(test_now_ns() - start >= 20000000);
	CHECK_ERR(sigtimedwait(&set, &info, &bad), EINVAL);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(sigtimedwait(&set, &info, &zero), SIGUSR1);
	CHECK_EQ(info.si_code, SI_USER);
	CHECK_EQ(info.si_pid, getpid());
	for (int i = 0; i < 3; i++)
		CHECK_OK(sigqueue(getpid(), SIGRTMIN,
				  (union sigval){ .sival_int = i }));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
		CHECK_EQ(info.si_value.sival_int, i);
	}
	CHECK_ERR(sigtimedwait(&set, NULL, &zero), EAGAIN);
	CHECK_ERR(syscall(SYS_rt_sigtimedwait, WILD, &info, &zero, 8), EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, &zero, 7), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, WILD, 8), EFAULT);
}

TEST(waiting_blocks_until_it_comes)
{
	siginfo_t info;
	sigset_t set;
	pid_t pid;

	block(&set, SIGUSR1, 0);
	CHILD(pid)
		CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
}

static volatile sig_atomic_t handled;

static void handler(int sig)
{
	handled = sig;
}

TEST(waiting_is_interrupted_by_another)
{
	siginfo_t info;
	sigset_t set;
	pid_t pid;

	signal(SIGUSR2, handler);
	block(&set, SIGUSR1, 0);
	CHILD(pid) {
		CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, NULL, 8),
			  EINTR);
		CHECK_EQ(handled, SIGUSR2);
	}
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR2));
	CHECK_EXIT(pid, 0);
}

TEST(suspend)
{
	sigset_t set, none, now;
	pid_t pid;

	signal(SIGUSR1, handler);
	sigemptyset(&none);
	block(&set, SIGUSR1, 0);
	CHECK_OK(raise(SIGUSR1));
	CHECK_ERR(sigsuspend(&none), EINTR);
	CHECK_EQ(handled, SIGUSR1);
	/* The mask is back. */
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1));
	CHILD(pid)
		CHECK_ERR(sigsuspend(&none), EINTR);
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
	signal(SIGUSR2, handler);
	CHILD(pid)
		CHECK_ERR(pause(), EINTR);
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR2));
	CHECK_EXIT(pid, 0);
}

TEST(signal_descriptor)
{
	struct signalfd_siginfo info[4];
	struct pollfd p = { .events = POLLIN };
	sigset_t set;
	int fd;

	block(&set, SIGUSR1, SIGRTMIN);
	fd = p.fd = CHECK_OK(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(read(fd, info, sizeof(info)), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_OK(sigqueue(getpid(), SIGRTMIN,
			  (union sigval){ .sival_int = 8 }));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_ERR(read(fd, info, 10), EINVAL);
	CHECK_ERR(read(fd, WILD, 128), EFAULT);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(read(fd, info, sizeof(info)), 2 * sizeof(info[0]));
	CHECK_EQ(info[0].ssi_signo, SIGUSR1);
	CHECK_EQ(info[0].ssi_pid, getpid());
	CHECK_EQ(info[0].ssi_code, SI_USER);
	CHECK_EQ(info[1].ssi_signo, SIGRTMIN);
	CHECK_EQ(info[1].ssi_int, 8);
	CHECK_EQ(info[1].ssi_code, SI_QUEUE);
	/* Another mask on the same descriptor. */
	CHECK_OK(kill(getpid(), SIGUSR1));
	sigdelset(&set, SIGUSR1);
	CHECK_EQ(signalfd(fd, &set, 0), fd);
	CHECK_ERR(read(fd, info, sizeof(info)), EAGAIN);
	CHECK_ERR(signalfd(0, &set, 0), EINVAL);
	CHECK_ERR(signalfd(99, &set, 0), EBADF);
	CHECK_ERR(signalfd(-1, &set, 0x1), EINVAL);
	CHECK_ERR(syscall(SYS_signalfd4, -1, WILD, 8, 0), EFAULT);
	CHECK_ERR(syscall(SYS_signalfd4, -1, &set, 7, 0), EINVAL);
	CHECK(write(fd, info, 128) == -1);
}

TEST(signal_descriptor_blocks)
{
	struct signalfd_siginfo info;
	sigset_t set;
	pid_t pid;

	block(&set, SIGUSR1, 0);
	CHILD(pid) {
		int fd = CHECK_OK(signalfd(-1, &set, 0));

		CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
		CHECK_EQ(info.ssi_pid, getppid());
	}
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
}
